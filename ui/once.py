"""Drawing once what everybody sees: the second visitor gets what the first one got.

A drawing is told from others by the function that draws it and by what that function is called with. So of
the charts of a page only those are drawn anew that the moved control changed, for whoever moved it first.
"""

import hashlib
import io
import pickle
from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Any

import streamlit as st


def drawn_once(draw: partial[Any], version: str) -> Any:
    """Draw (no widgets), or repeat what was drawn by the same function from the same; gives what that gave.

    ``version`` is that of the code.
    """
    return _drawn(_name(draw, version), draw)


def made_once(make: partial[Any], version: str) -> Any:
    """Make, or give what the same function made of the same: for a chart to select in, which is a widget."""
    return _made(_name(make, version), make)


@st.cache_data(max_entries=2048, max_size="48MB", show_spinner=False)
def _drawn(name: str, _draw: Callable[[], Any]) -> Any:
    return _draw()


@st.cache_resource(max_entries=128, show_spinner=False)
def _made(name: str, _make: Callable[[], Any]) -> Any:
    return _make()


def _name(thing: partial[Any], version: str) -> str:
    written = io.BytesIO()
    pickler = pickle.Pickler(written, protocol=4)
    # Equal things are equal, whether they are one object or several, and however an array lies in memory:
    # a result that was computed a moment ago differs in that from the same one out of the cache.
    pickler.fast = True
    pickler.dump(_content(thing))
    return version + hashlib.sha256(written.getbuffer()).hexdigest()


def _content(thing: Any) -> Any:
    """Functions by their name, everything else as it is."""
    if isinstance(thing, partial):
        called_with = [_content(value) for value in thing.args]
        return _content(thing.func), called_with, {k: _content(v) for k, v in thing.keywords.items()}
    if isinstance(thing, FunctionType):
        if "<" in thing.__qualname__:
            raise ValueError(f"{thing.__qualname__} is no name to tell a drawing by")
        return thing.__qualname__
    return thing


def forget() -> None:
    """Forget all drawings (for tests)."""
    _drawn.clear()
    _made.clear()
