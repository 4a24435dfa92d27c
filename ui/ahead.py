"""The next value of a slider, computed before it is asked for: after one step most people take another.

While somebody looks at a result that took long enough to be felt, and nobody is being served, the server
computes what comes next in the same direction. It gives that up as soon as something else is wanted.
"""

import threading
from collections.abc import Callable, Hashable
from typing import Any

import streamlit as st
from pydantic import ValidationError

from lab.contract import Settings, Tick, extra, grid
from ui import crowd

# Seconds that are worth it. Less is computed when it is asked for; for more, who waits gets a progress bar.
FELT, LONG = 0.02, 1.0
PATIENCE = 2.0  # seconds to wait until all pages are drawn


class Unwanted(Exception):
    """Raised in a run that nobody waits for when somebody waits for another."""


class Ahead:
    """What is being computed ahead: one thing at a time on a server."""

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


def begin(what: Hashable, compute: Callable[[Tick], Any]) -> None:
    """Compute ``what`` when all pages are drawn, unless something is being computed ahead already."""
    ahead = _ahead()
    if ahead.lock.acquire(blocking=False):
        ahead.what = what
        ahead.unwanted.clear()
        threading.Thread(
            target=_compute, args=(ahead, crowd.crowd(), compute), name="ahead", daemon=True
        ).start()


def _compute(ahead: Ahead, people: crowd.Crowd, compute: Callable[[Tick], Any]) -> None:
    def tick(fraction: float, /, **live: float) -> None:
        if ahead.unwanted.is_set():
            raise Unwanted

    try:
        if people.all_drawn.wait(PATIENCE):
            tick(0)
            compute(tick)
    except Exception:  # whoever asks for it computes it again, and is told what is wrong
        return
    finally:
        ahead.lock.release()


def make_way(what: Hashable) -> None:
    """``what`` is wanted now: anything else that is being computed ahead is not."""
    ahead = _ahead()
    if ahead.what != what:
        ahead.unwanted.set()
