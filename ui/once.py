"""Drawing once what everybody sees: the second visitor with the same settings gets what the first one got."""

from collections.abc import Callable
from typing import Any

import streamlit as st


@st.cache_data(max_entries=1024, max_size="48MB", show_spinner=False)
def once(key: str, _draw: Callable[[], Any]) -> Any:
    """Draw (no widgets), or repeat what was drawn under this key; gives what drawing it gave."""
    return _draw()


@st.cache_resource(max_entries=128, show_spinner=False)
def made(key: str, _make: Callable[[], Any]) -> Any:
    """Make, or give what was made under this key: for a chart that can be selected in, which is a widget."""
    return _make()
