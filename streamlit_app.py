"""The front door: page configuration, navigation and what holds for every page, nothing else."""

from pathlib import Path

import streamlit as st

from ui import boot

page = st.navigation(boot.pages(), position="top")
ICON = Path(__file__).parent / "ui" / "icon.svg"
st.set_page_config(
    page_title=f"{page.title} · Proving Ground", page_icon=str(ICON), layout="wide",
    initial_sidebar_state=264,  # pixels: all chapters then stand side by side at 1280
)  # fmt: skip
boot.prepare()
boot.heading(page.url_path)

# On a fresh server this takes half a second. By now a browser has something to draw in the meantime.
with boot.importing():
    from ui.frame import run

st.session_state["_routed"] = True
run(page)
