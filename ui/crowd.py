"""Many people at once: they share one processor, as Python computes in one thread at a time.

A page takes some 50 ms to draw. Twenty drawn side by side are all late, and wait for each other at every
step; one after the other, most are early. And a training, which takes seconds anyway, lets them go first.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

import streamlit as st

SIDE_BY_SIDE = 1  # page is drawn at a time, of those that do not take long
PATIENCE = 2.0  # seconds to wait for one's turn at most
STANDS_ASIDE = 0.1  # seconds that a training waits at most at each of its ticks

_mine: ContextVar[ExitStack | None] = ContextVar("_mine", default=None)


class Crowd:
    """Who is being served."""

    def __init__(self) -> None:
        """Nobody yet."""
        self.pages, self.waiting, self.lock = 0, 0, threading.Lock()
        self.all_drawn = threading.Event()
        self.turns = threading.BoundedSemaphore(SIDE_BY_SIDE)
        self.add(0)

    def add(self, pages: int) -> None:
        """Count pages that are being drawn, or with a minus are so no longer."""
        with self.lock:
            self.pages += pages
            (self.all_drawn.clear if self.pages else self.all_drawn.set)()

    def take_turn(self) -> bool:
        """Wait for a turn; gives whether it came."""
        with self.lock:
            self.waiting += 1
        try:
            return self.turns.acquire(timeout=PATIENCE)
        finally:
            with self.lock:
                self.waiting -= 1


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
    give_up_turn()
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
    """While a page is drawn for somebody, or the part of it that follows the controls."""
    if _mine.get() is not None:
        yield
        return
    people = crowd()
    with ExitStack() as mine:
        if people.take_turn():
            mine.callback(people.turns.release)
        token = _mine.set(mine)
        try:
            yield
        finally:
            _mine.reset(token)


def give_up_turn() -> None:
    """Let others draw: what comes next takes long."""
    if (mine := _mine.get()) is not None:
        mine.close()


def in_no_hurry() -> bool:
    """Whether this is drawn for somebody while nobody else waits for a turn."""
    return _mine.get() is not None and crowd().waiting == 0
