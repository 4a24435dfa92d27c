"""Run an experiment and judge it: the one function behind page, command line, export and tests."""

import hashlib
import platform
import time
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module, metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from lab.catalogue import BY_NAME
from lab.contract import Claim, Settings, Tick, no_tick, plain

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("numpy", "scipy", "torch", "scikit-learn", "networkx", "pandas", "streamlit", "altair")


@dataclass(frozen=True)
class Outcome:
    """A finished run with its verdicts and its tidy tables."""

    name: str
    settings: Settings
    result: Any
    summary: dict[str, float]
    claims: list[Claim]
    tables: dict[str, pd.DataFrame]
    seconds: float


@cache
def load(name: str) -> ModuleType:
    """The module of the experiment ``name``; ``KeyError`` where the catalogue has no such row."""
    module = import_module(f"experiments.{BY_NAME[name].name}")
    # The matrices are small: a second BLAS thread costs more in waiting than it brings, and rounding
    # must not depend on how many cores a machine has. Again for each module, as it may load a library.
    threadpool_limits(limits=1)
    _keep_freed_memory()
    return module


@cache
def _keep_freed_memory() -> None:
    """Let the C library reuse the memory of arrays instead of fetching each one's pages anew.

    glibc raises its threshold for that to the size of the largest block it saw freed, at most 32 MB. Costs
    nothing here, as an empty array touches no page; trainings of many middle-sized arrays gain a quarter.
    """
    np.empty(31 * 2**20, dtype=np.uint8)


def evaluate(name: str, settings: Settings, tick: Tick = no_tick, **files: Any) -> Outcome:
    """Run ``name`` at ``settings``, judge every claim and build every table. ``seconds`` is the run alone."""
    module = load(name)
    start = time.perf_counter()
    result = module.run(settings, tick, **files)
    seconds = time.perf_counter() - start
    return Outcome(
        name, settings, result, result.summary, module.claims(result), module.tables(result), seconds
    )


def report(outcome: Outcome) -> dict[str, Any]:
    """The outcome as one JSON-ready object: settings, summary, claims, seconds and versions."""
    return {
        "experiment": outcome.name,
        "chapter": BY_NAME[outcome.name].chapter,
        "settings": outcome.settings.model_dump(),
        "summary": plain(outcome.summary),
        "claims": [claim.as_dict() for claim in outcome.claims],
        "seconds": round(outcome.seconds, 4),
        "versions": versions(),
    }


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Python's and the packages' versions, read without importing them."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def code_version(name: str) -> str:
    """A fingerprint of the code behind ``name``'s results: its own module and what ``lab`` lends it."""
    digest = hashlib.sha256()
    for path in (ROOT / "experiments" / f"{name}.py", *sorted((ROOT / "lab").glob("*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
