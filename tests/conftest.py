"""Shared fixtures: outcomes are computed once, as pages do."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from functools import cache

import pytest

from lab.evaluate import Outcome, evaluate, load


@cache
def outcome_of(name: str, seed: int | None = None, **settings) -> Outcome:
    """The outcome of an experiment at its defaults but for what is given; the same call is run once."""
    if seed is not None:
        settings["seed"] = seed
    return evaluate(name, load(name).Settings(**settings))


@pytest.fixture
def outcome():
    return outcome_of
