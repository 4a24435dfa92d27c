"""The frame of an experiment's page: the same parts in the same order, so nobody has to search.

Above the charts what it is about and the controls; below the claims the challenges, explanation, code,
comparison and files. None of it depends on the results, so when a control of an instant experiment is
moved only the page itself runs again, and a browser has half as much to look through.
"""

import inspect
from contextlib import suppress
from copy import copy

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from lab.catalogue import BY_NAME, EXPERIMENTS
from lab.evaluate import Outcome, load
from ui import ahead, challenges, controls, crowd, pins, running, seeds, share
from ui.page import NothingYet

# Streamlit keeps the pictures of a page until all of it has run again.
MOVES = 20


def run(page: StreamlitPage) -> None:
    """Run a page, and around that of an experiment its frame."""
    with crowd.drawn():
        if page.url_path in BY_NAME:
            with crowd.turn():
                _experiment(page)
        else:
            page.run()


def _experiment(page: StreamlitPage) -> None:
    name = page.url_path
    module = load(name)
    instant = BY_NAME[name].kind == "instant"
    controls.moves_left(name, 0)  # until all of this has been drawn
    st.markdown(_lead(module.__doc__ or ""))
    controls.sidebar(name, module.Settings)

    def results() -> None:
        before = running.last_good(name)
        with suppress(NothingYet):
            copy(page).run()  # a page runs once, its copy once more
            if instant:
                ahead.draw_next(page, before, running.last_good(name))

    def results_alone() -> None:
        st.session_state["_routed"] = True
        with crowd.drawn(), crowd.turn():
            results()

    (st.fragment(results_alone, key=controls.RESULTS) if instant else results)()
    outcome = running.last_good(name)
    if outcome is not None:
        st.sidebar.button(
            "Pin this run", icon=":material/keep:", key=f"_{name}_pin", on_click=_pin, args=(name,),
            help="Keeps its curve behind the main chart, and its numbers under Compare.",
        )  # fmt: skip
        challenges.panel(name, module)
    follows_results = _about(name, outcome)
    _neighbours(name)
    if instant and outcome is not None and not follows_results:
        controls.moves_left(name, MOVES)


def _pin(name: str) -> None:
    outcome = running.last_good(name)
    if outcome is not None:
        pins.add(outcome)


def _lead(doc: str) -> str:
    """The first paragraph of the docstring after the question: what you are about to see."""
    paragraphs = inspect.cleandoc(doc).split("\n\n")
    return paragraphs[1] if len(paragraphs) > 1 else ""


def _about(name: str, outcome: Outcome | None) -> bool:
    """Explanation, code, comparison and files, one at a time; gives whether it depends on the results.

    Not as tabs, although they look like it: at every move of a slider those keep the browser busy for a sixth
    of the time.
    """
    module = load(name)
    parts = ["Explain", "Code", "Compare", "Take it away"]
    part = st.segmented_control(
        "More about this experiment", parts, default=parts[0], required=True, key=f"_{name}_about",
        persist_state="session", label_visibility="collapsed",
    )  # fmt: skip
    if part == "Code":
        st.caption(f"`experiments/{name}.py`, as it ran")
        st.code(inspect.getsource(module), language="python", line_numbers=True)
    elif part == "Compare":
        pins.panel(name)
        if outcome is not None:
            seeds.panel(outcome)
    elif part == "Take it away" and outcome is not None:
        share.take_away(outcome, st.session_state["_drawn"])
    elif part == "Take it away":
        st.caption("Run the experiment first.")
    else:
        st.markdown(inspect.cleandoc(module.__doc__ or ""))
    return part in ("Compare", "Take it away")


def _neighbours(name: str) -> None:
    """Links to the experiments before and after this one, in the catalogue's order."""
    at = [row.name for row in EXPERIMENTS].index(name)
    st.space("medium")
    before, after = st.columns(2)
    if at > 0:
        before.page_link(
            f"pages/{EXPERIMENTS[at - 1].name}.py", label=f"Before: {EXPERIMENTS[at - 1].title}",
            icon=":material/arrow_back:",
        )  # fmt: skip
    if at < len(EXPERIMENTS) - 1:
        after.page_link(
            f"pages/{EXPERIMENTS[at + 1].name}.py", label=f"Next: {EXPERIMENTS[at + 1].title}",
            icon=":material/arrow_forward:",
        )  # fmt: skip
