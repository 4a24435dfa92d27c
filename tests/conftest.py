"""Shared fixtures: outcomes are computed once, as pages do."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from functools import cache

import pytest

from lab.catalogue import BY_NAME
from lab.evaluate import Outcome, evaluate, load


@cache
def outcome_of(name: str, seed: int | None = None, **settings) -> Outcome:
    """The outcome of an experiment at its defaults but for what is given; the same call is run once."""
    if seed is not None:
        settings["seed"] = seed
    return evaluate(name, load(name).Settings(**settings))


@pytest.fixture(autouse=True)
def _main_module(monkeypatch):
    """Put back the main module, which AppTest replaces and processes that a test starts would run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture(autouse=True)
def _nothing_ahead():
    """Give up what a page began to draw ahead, before another test changes what that needs."""
    yield
    if "ui.ahead" in sys.modules:
        from ui.ahead import make_way, rest

        make_way(None)
        rest()


@pytest.fixture
def outcome():
    return outcome_of


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items):
    """Tests of one experiment run in one process: its outcomes are computed and its page is opened once."""
    for item in items:
        parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
        names = [p for p in parameters if isinstance(p, str) and p in BY_NAME]
        if names or (stem := item.path.stem.removeprefix("test_")) in BY_NAME:
            item.add_marker(pytest.mark.xdist_group(names[0] if names else stem))
