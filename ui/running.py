"""Computing a page's result: cached, with progress, stoppable, and never losing the last good one."""

import contextvars
import hashlib
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from lab.catalogue import BY_NAME
from lab.contract import Settings, Tick
from lab.evaluate import ROOT, Outcome, code_version, evaluate, load
from ui import ahead, charts, crowd

TRAININGS_AT_ONCE = 2  # the machines this runs on have two cores


@dataclass(frozen=True)
class Shown:
    """What a page draws: an outcome, and why it is not that of the present settings, if so."""

    outcome: Outcome | None
    stale: str = ""


@st.cache_resource
def _slots() -> threading.BoundedSemaphore:
    return threading.BoundedSemaphore(TRAININGS_AT_ONCE)


@cache  # which ends with this module, when a file changes while someone develops
def version(name: str) -> str:
    """A fingerprint of the code behind a page."""
    page = hashlib.sha256(code_version(name).encode())
    for path in (ROOT / "pages" / f"{name}.py", *sorted((ROOT / "ui").glob("*.py"))):
        page.update(path.read_bytes())
    return page.hexdigest()[:12]


@st.cache_data(max_entries=64, max_size="64MB", show_spinner=False)
def _cached(name: str, version: str, settings: Settings, _tick: Tick, _queued: Any) -> Outcome:
    """One computation for all sessions that ask for the same thing. The arguments with _ are no keys."""
    if BY_NAME[name].kind == "instant":
        return evaluate(name, settings, _tick)
    while not _slots().acquire(timeout=0.1):
        _queued()
    try:
        return evaluate(name, settings, _tick)
    finally:
        _slots().release()


def compute(name: str, settings: Settings, again: bool = False, stoppable: bool = False) -> Outcome:
    """The outcome at ``settings``, from the cache (unless ``again``) or with progress and live curves.

    ``stoppable`` adds *Stop*, which leaves the page with its last good result.
    """
    area = st.empty()
    # The context before the cache's recorder: what is drawn from here is not replayed on a cache hit.
    context = contextvars.copy_context()
    watch = _Watch(name, settings, area, stoppable)
    trains = BY_NAME[name].kind == "training"

    def tick(fraction: float, /, **live: float) -> None:
        st.session_state.get("_")  # where Streamlit stops a run that is no longer wanted
        if trains:
            crowd.stand_aside()
        watch.note(live)
        if watch.due():
            crowd.give_up_turn()
            context.run(watch.draw, fraction)

    def queued() -> None:
        st.session_state.get("_")
        if watch.due():
            context.run(watch.draw, None)

    ahead.make_way((name, settings))
    if again:
        _cached.clear(name, version(name), settings, tick, queued)
    with crowd.trained() if trains else nullcontext():
        outcome = _cached(name, version(name), settings, tick, queued)
    area.empty()
    return outcome


class _Watch:
    """What someone who waits sees: the share done, the time left, the curves so far and *Stop*."""

    def __init__(self, name: str, settings: Settings, area: Any, stoppable: bool) -> None:
        self.name, self.settings, self.area, self.stoppable = name, settings, area, stoppable
        self.start = self.drawn = time.monotonic()
        self.live: list[dict[str, float]] = []
        self.frame: Any = None

    def note(self, live: dict[str, float]) -> None:
        if live:
            self.live.append(live)

    def due(self) -> bool:
        """Whether a quarter of a second has gone by: a quick run shows nothing at all."""
        if time.monotonic() - self.drawn < 0.25:
            return False
        self.drawn = time.monotonic()
        return True

    def draw(self, fraction: float | None) -> None:
        elapsed = time.monotonic() - self.start
        if self.frame is None:
            with self.area.container(border=True):
                self.frame = (st.empty(), st.empty())
                if self.stoppable:
                    st.button(
                        "Stop", icon=":material/stop_circle:", key=f"_{self.name}_stop",
                        on_click=_stop, args=(self.name, self.settings),
                    )  # fmt: skip
        bar, curves = self.frame
        if fraction is None:
            bar.progress(0.0, f"Waiting: {TRAININGS_AT_ONCE} trainings are running. You can stop or leave.")
            return
        left = elapsed * (1 - fraction) / max(fraction, 0.01)
        st.session_state[f"_{self.name}_reached"] = fraction
        bar.progress(min(fraction, 1.0), f"Running: {fraction:.0%}, about {left:.0f} s left")
        if len(self.live) > 1:
            curves.altair_chart(_live_chart(self.live), alt="The curves of the run so far")


def _live_chart(live: list[dict[str, float]]) -> alt.Chart:
    thin = live[:: max(len(live) // 150, 1)]
    axis = next(iter(live[0]))
    frame = pd.DataFrame(thin).melt(axis, var_name="curve", value_name="value").dropna()
    return (
        alt.Chart(frame, height=220)
        .mark_line()
        .encode(
            x=alt.X(f"{axis}:Q"),
            y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False)),
            color=charts.classes("curve:N", list(dict.fromkeys(frame["curve"]))),
        )
    )


def _stop(name: str, settings: Settings) -> None:
    st.session_state[f"_{name}_requested"] = None
    reached = st.session_state.get(f"_{name}_reached", 0.0)
    st.session_state[f"_{name}_stopped"] = (settings, f"You stopped the run at {reached:.0%}.")


def _never(settings: Settings) -> bool:
    return False


def request(name: str, settings: Settings) -> None:
    """Ask for a training run (a callback)."""
    st.session_state[f"_{name}_requested"] = settings
    st.session_state.pop(f"_{name}_stopped", None)


def last_good(name: str) -> Outcome | None:
    """The outcome this session saw last on this page; one a session is kept."""
    kept = st.session_state.get("_last_good")
    return kept if kept is not None and kept.name == name else None


def show(name: str, settings: Settings | None, problems: list[str]) -> Shown:
    """Decide what the page draws and compute it if need be.

    Instant experiments follow the controls. Training ones run when the page is opened, so that a shared
    link shows its result, and from then on when *Run* is pressed; but runs that their module calls
    ``quick`` follow the controls too, unless they were stopped.
    """
    if settings is None:
        for problem in problems:
            st.error(problem, icon=":material/error:")
        return Shown(last_good(name), "These results belong to the last settings that were valid.")
    stopped = ""
    if BY_NAME[name].kind == "training":
        requested = st.session_state.setdefault(f"_{name}_requested", settings)
        stopped_at, stopped = st.session_state.get(f"_{name}_stopped", (None, ""))
        follows = stopped_at != settings and getattr(load(name), "quick", _never)(settings)
        waiting = requested != settings and not follows
        st.sidebar.button(
            "Run", icon=":material/play_arrow:", key=f"_{name}_run", width="stretch",
            on_click=request, args=(name, settings), disabled=not waiting,
            help="Train with these settings." if waiting else "These settings have been run.",
        )  # fmt: skip
        if waiting:
            old = last_good(name)
            if old is not None and old.settings == settings:
                return Shown(old)
            changed = "The settings have changed. Press **Run** to train with them."
            return Shown(old, stopped if stopped_at == settings else changed)
    try:
        outcome = compute(name, settings, stoppable=BY_NAME[name].kind == "training")
    except Exception as error:
        failure(name, settings, error)
        return Shown(last_good(name), "These results belong to the last run that worked.")
    st.session_state["_last_good"] = outcome
    return Shown(outcome)


def failure(name: str, settings: Settings, error: Exception) -> None:
    """Say that an experiment failed, with what it takes to see it again."""
    from ui.share import link

    st.error(
        f"This run failed: {type(error).__name__}. The other pages are not affected.", icon=":material/error:"
    )
    st.code(f"{error}\n\n{link(name, settings)}", language=None)
