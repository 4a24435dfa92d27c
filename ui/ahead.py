"""The next value of a slider, drawn before it is asked for: after one step most people take another.

While somebody looks at a result and nobody is being served, the server runs the page at what comes next in
the same direction, for a visitor who is not there. What that computes and draws is remembered, as for
everybody. It is given up as soon as something else is wanted.
"""

import threading
from collections.abc import Callable, Hashable
from copy import copy
from dataclasses import replace

import streamlit as st
from pydantic import ValidationError
from streamlit.navigation.page import StreamlitPage
from streamlit.runtime.scriptrunner import add_script_run_ctx, get_script_run_ctx
from streamlit.runtime.state import SafeSessionState, SessionState

from lab.contract import Settings, extra, grid
from lab.evaluate import Outcome
from ui import crowd

LONG = 1.0  # seconds: who waits for more gets a progress bar
PATIENCE = 2.0  # seconds to wait until all pages are drawn
CALM = 0.03  # seconds in which nobody may want anything: among many people there is no time to get ahead


class Unwanted(BaseException):
    """Raised in a run that nobody waits for when somebody waits for another."""


class Ahead:
    """What is being done ahead: one thing at a time on a server."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.lock, self.unwanted = threading.Lock(), threading.Event()
        self.what: Hashable = None


@st.cache_resource
def _ahead() -> Ahead:
    return Ahead()


def next_step(before: Settings, now: Settings) -> Settings | None:
    """Where one number was changed: the settings after another step of it; None where there are none."""
    changed = [field for field in type(now).model_fields if getattr(before, field) != getattr(now, field)]
    if len(changed) != 1:
        return None
    info, a, b = type(now).model_fields[changed[0]], getattr(before, changed[0]), getattr(now, changed[0])
    if info.annotation not in (int, float):
        return None
    if extra(info, "log"):
        values = grid(info)
        place = 2 * values.index(b) - values.index(a)
        value = values[place] if 0 <= place < len(values) else None
    else:
        value = 2 * b - a
    try:
        return type(now)(**{**now.model_dump(), changed[0]: value})
    except ValidationError:
        return None


def draw_next(page: StreamlitPage, before: Outcome | None, now: Outcome | None) -> None:
    """After a step from one outcome to another: run the page at the settings after another step."""
    if before is None or now is None or before.name != now.name or now.seconds > LONG:
        return
    then = next_step(before.settings, now.settings)
    seen = get_script_run_ctx()
    if then is None or seen is None:
        return
    # With what the visitor has chosen to look at, and has pinned.
    chosen = {k: v for k, v in st.session_state.items() if f"{now.name}_view_" in str(k) or k == "_pins"}
    state = SessionState()
    for key, value in {**chosen, "_routed": True, f"_{now.name}_now": (then, [])}.items():
        state[str(key)] = value

    def run(check: Callable[[], None]) -> None:
        unseen = replace(
            seen, session_id="ahead", session_state=SafeSessionState(state, check),
            _enqueue=lambda message: check(), yield_check=check, fragment_ids_this_run=None, cursors={},
            shared=type(seen.shared)(), gather_usage_stats=False,
        )  # fmt: skip
        add_script_run_ctx(ctx=unseen)
        copy(page).run()

    begin((now.name, then), run)


def begin(what: Hashable, run: Callable[[Callable[[], None]], None]) -> None:
    """Do ``what`` when all pages are drawn, unless something is being done ahead already.

    ``run`` is given a function to call now and then, which raises ``Unwanted``.
    """
    ahead = _ahead()
    if ahead.lock.acquire(blocking=False):
        ahead.what = what
        ahead.unwanted.clear()
        threading.Thread(target=_run, args=(ahead, crowd.crowd(), run), name="ahead", daemon=True).start()


def _run(ahead: Ahead, people: crowd.Crowd, run: Callable[[Callable[[], None]], None]) -> None:
    def check() -> None:
        if ahead.unwanted.is_set():
            raise Unwanted

    try:
        if people.all_drawn.wait(PATIENCE) and not ahead.unwanted.wait(CALM):
            run(check)
    except (Unwanted, Exception):  # whoever asks for it runs it again, and is told what is wrong
        return
    finally:
        ahead.lock.release()


def make_way(what: Hashable) -> None:
    """``what`` is wanted now: anything else that is being done ahead is not."""
    ahead = _ahead()
    if ahead.what != what:
        ahead.unwanted.set()


def rest() -> None:
    """Wait until nothing is being done ahead (for tests and benchmarks)."""
    with _ahead().lock:
        return
