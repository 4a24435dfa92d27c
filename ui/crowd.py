"""Many people at once: they share one processor, as Python computes in one thread at a time.

A page takes some 50 ms to draw. Twenty drawn side by side are all late; one after the other, most are
early. And a training, which takes seconds anyway, lets them go first.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

SIDE_BY_SIDE = 3  # results that are drawn at the same time
PATIENCE = 0.25  # seconds to wait for one's turn: results that take long to compute must not hold others up
STANDS_ASIDE = 0.1  # seconds that a training waits at most at each of its ticks


class Crowd:
    """Who is being served."""

    def __init__(self) -> None:
        """Nobody yet."""
        self.pages, self.lock = 0, threading.Lock()
        self.all_drawn = threading.Event()
        self.turns = threading.BoundedSemaphore(SIDE_BY_SIDE)
        self.add(0)

    def add(self, pages: int) -> None:
        """Count pages that are being drawn, or with a minus are so no longer."""
        with self.lock:
            self.pages += pages
            (self.all_drawn.clear if self.pages else self.all_drawn.set)()


@st.cache_resource
def crowd() -> Crowd:
    """All visitors of this server."""
    return Crowd()


@contextmanager
def drawn() -> Iterator[None]:
    """While a page is drawn."""
    crowd().add(1)
    try:
        yield
    finally:
        crowd().add(-1)


@contextmanager
def trained() -> Iterator[None]:
    """While a page that is being drawn waits for its training."""
    crowd().add(-1)
    try:
        yield
    finally:
        crowd().add(1)


def stand_aside() -> None:
    """Let the pages that are being drawn go first (at a tick of a training)."""
    crowd().all_drawn.wait(STANDS_ASIDE)


@contextmanager
def turn() -> Iterator[None]:
    """While results are drawn anew for somebody who moved a control."""
    mine = crowd().turns.acquire(timeout=PATIENCE)
    try:
        yield
    finally:
        if mine:
            crowd().turns.release()
