"""The front door: page configuration and navigation, nothing else."""

from pathlib import Path

import streamlit as st

from ui.boot import pages

# A file of our own: a Material icon here would be fetched from the network by the browser.
ICON = Path(__file__).parent / "ui" / "icon.svg"

st.set_page_config(page_title="Proving Ground", page_icon=str(ICON), layout="wide")
page = st.navigation(pages(), position="top")
st.session_state["_routed"] = True
page.run()
