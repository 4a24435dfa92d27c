"""What is there before the libraries are: the navigation, a page's title, and the guard of the front door.

Nothing here imports what computes or draws, so that a browser has work while a fresh server imports that.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from functools import cache
from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from lab.catalogue import BY_NAME, CHAPTERS, EXPERIMENTS, MENU

PAGES = Path(__file__).resolve().parent.parent / "pages"

# Streamlit fades everything on a page while a run goes on, for which the browser needs a tenth of its time.
# Here most runs are over before that can be seen, and a training shows its progress. Whoever asked for less
# motion gets none. A formula that is wider than a phone scrolls by itself. A chart that was not told of an
# abrupt narrowing, as now and then happens in Streamlit 1.67, is scaled to its place. Where there is room a
# claim has its words on the left and its numbers on the right.
STYLE = """<style>
.stElementContainer { opacity: 1 !important; transition: none !important; }
.katex-display { overflow: auto hidden; padding-block: 6px; }
svg.marks, canvas.marks { max-width: 100%; height: auto !important; }
.st-key-prepared { display: none; }
.st-key-claims .stMarkdown table { font-size: 0.9rem; }
@media (min-width: 900px) {
  .st-key-claims .stMarkdown table { width: 100%; table-layout: fixed; }
  .st-key-claims .stMarkdown th:last-child { width: 48%; }
  .st-key-claims .stMarkdown [data-testid="stMarkdownContainer"] {
    display: grid; grid-template-columns: 6fr 7fr; column-gap: 2rem; align-items: start;
    > * { grid-column: 1; }
    > :is(:first-child, ul) { grid-column: 1 / -1; }
    > table { grid-area: 2 / 2 / span 9; }
  }
}
@media (prefers-reduced-motion: reduce) {
  *, *::before, *::after { animation: none !important; transition: none !important; }
}
</style>"""


def pages() -> dict[str, list[StreamlitPage]]:
    """The menu. Each visitor gets copies: Streamlit marks in a page that it may be run."""
    return {chapter: [copy(page) for page in rows] for chapter, rows in _menu().items()}


@cache
def _menu() -> dict[str, list[StreamlitPage]]:
    """Home, the experiments under their chapters, then claims and runs; an empty chapter is left out.

    No page has an icon here: the browser would fetch it from the network, for its tab.
    """
    menu = {"": [st.Page(PAGES / "home.py", title="Home", default=True)]}
    for row in EXPERIMENTS:
        page = st.Page(PAGES / f"{row.name}.py", title=row.title)
        menu.setdefault(MENU[row.chapter], []).append(page)
    menu["Record"] = [
        st.Page(PAGES / "claims.py", title="Claims"),
        st.Page(PAGES / "runs.py", title="Runs"),
    ]
    return menu


def prepare() -> None:
    """Send the style of all pages, and have the browser fetch what draws charts before there is one."""
    st.html(STYLE)
    with st.container(key="prepared"):
        st.html(_fetch_charts(), unsafe_allow_javascript=True)


@cache
def _fetch_charts() -> str:
    """A script that loads the modules with which Streamlit draws charts; it asks for them only at the first.

    They are a megabyte, and a browser has nothing else to do while a fresh server imports its libraries.
    """
    files = (Path(st.__file__).parent / "static" / "static" / "js").glob("*.js")
    wanted = ("ArrowVegaLiteChart", "embed", "vega-interpreter")
    modules = sorted(file.name for file in files if file.name.split(".")[0] in wanted)
    return f"<script>{' '.join(f'import(`./static/js/{name}`);' for name in modules)}</script>"


@contextmanager
def importing() -> Iterator[None]:
    """While libraries are imported: they make half a million objects and no garbage.

    Python would look for some again and again, in a fifth of the time that importing takes. And later it
    would look through all of them every few seconds, while everybody waits: so they are taken out, once.
    """
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():
            gc.freeze()
        gc.enable()


def heading(name: str) -> None:
    """The title of an experiment's page; the other pages write their own."""
    if name in BY_NAME:
        row = BY_NAME[name]
        st.caption(f"{CHAPTERS[row.chapter]} · {row.title}")
        st.title(row.question, anchor=False)


def guard() -> None:
    """Send a page that was run without the front door back through it.

    Streamlit treats a folder named ``pages`` as its old kind of multi-page app until some session has
    called ``st.navigation``. So on a fresh server the first deep link runs the page alone. Calling it here
    settles that for the process; the rerun then comes through ``streamlit_app.py``.
    """
    if not st.session_state.get("_routed"):
        st.navigation(pages(), position="hidden")
        st.rerun()
    st.session_state["_routed"] = False
