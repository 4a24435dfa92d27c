"""The front door: page configuration, navigation and what holds for every page, nothing else."""

from pathlib import Path

import streamlit as st

from ui.boot import STYLE, pages
from ui.frame import run

page = st.navigation(pages(), position="top")
ICON = Path(__file__).parent / "ui" / "icon.svg"
st.set_page_config(
    page_title=f"{page.title} · Proving Ground", page_icon=str(ICON), layout="wide",
    initial_sidebar_state=264,  # pixels: all chapters then stand side by side at 1280
)  # fmt: skip
st.html(STYLE)
st.session_state["_routed"] = True
run(page)
