"""Cora: 2,708 papers, the words they use, whom they cite, and the public split. Read, and checked, once.

The archive holds plain arrays only and is opened without pickle. ``experiments/data/README.md`` tells where
it comes from; ``experiments/data/build_cora.py`` builds it again.
"""

import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from lab.memory import fixed

Integers = NDArray[np.integer[Any]]

ARCHIVE = Path(__file__).resolve().parent.parent / "experiments" / "data" / "cora.npz"
REBUILD = "python experiments/data/build_cora.py"

# In the order of the public split's files; the label of a paper is a position in this list.
CLASSES = (
    "Theory",
    "Reinforcement Learning",
    "Genetic Algorithms",
    "Neural Networks",
    "Probabilistic Methods",
    "Case Based",
    "Rule Learning",
)
WORDS = 1433
ARRAYS = {  # what the archive holds, little-endian so that the digest is the same on every machine
    "paper": "<i4",
    "label": "<u1",
    "words_per_paper": "<u1",
    "word": "<u2",
    "citing": "<u2",
    "cited": "<u2",
    "split": "<u1",
}
DIGEST = "16a49767b5dd06c916625e167d4d78256c7b780d25b26553d5fccc978e8c99db"

# What must be true of the data, whoever built the archive.
FACTS: dict[str, Any] = {
    "papers": 2708,
    "words in use": 49216,
    "most words in a paper": 30,
    "fewest words in a paper": 1,
    "citations": 5429,
    "links": 5278,
    "self-citations": 0,
    "smallest degree": 1,
    "largest degree": 168,
    "components": 78,
    "papers in the largest component": 2485,
    "links within a class, in per mille": 810,
    "papers by class": (351, 217, 418, 818, 426, 298, 180),
    "training papers by class": (20,) * 7,
    "unused, training, validation and test papers": (1068, 140, 500, 1000),
}


class CoraFileError(Exception):
    """The archive is missing or is not the one that was shipped; the message says how to build it again."""


@dataclass(frozen=True)
class Cora:
    """The data set. Papers are numbered 0 to 2707, in the order of the original ``cora.content``."""

    paper: Integers  # (2708,) the papers' public identifiers
    label: Integers  # (2708,) position in CLASSES
    words: sparse.csr_matrix  # (2708, 1433) ones where a paper uses a word (no list of words is public)
    citations: Integers  # (5429, 2) citing paper, cited paper
    links: Integers  # (5278, 2) pairs i < j where one cites the other: reciprocal citations count once
    train: Integers  # (140,) the public split
    validation: Integers  # (500,)
    test: Integers  # (1000,)


@cache
def load_cora() -> Cora:
    """Cora from the shipped archive; the same read-only arrays for every caller."""
    return read_cora(ARCHIVE)


def read_cora(path: Path) -> Cora:
    """Cora from ``path``, checked by content and by fact; ``CoraFileError`` if it is not as shipped."""
    arrays = _arrays(path)
    if digest(arrays) != DIGEST:
        raise _error(path, "does not hold the data it was shipped with")
    cora = from_arrays(arrays)
    for fact, found in facts(cora).items():
        if found != FACTS[fact]:
            raise _error(path, f"holds another data set: {fact} should be {FACTS[fact]}, found {found}")
    return cora


def from_arrays(arrays: dict[str, Integers]) -> Cora:
    """The archive's arrays as a graph with words."""
    start = np.concatenate([[0], np.cumsum(arrays["words_per_paper"], dtype=np.int32)])
    ones = np.ones(len(arrays["word"]), dtype=np.float32)
    shape = (len(arrays["paper"]), WORDS)
    words = sparse.csr_matrix((ones, arrays["word"].astype(np.int32), start), shape=shape)
    citations = np.column_stack([arrays["citing"], arrays["cited"]]).astype(np.int32)
    links = np.unique(np.sort(citations, axis=1), axis=0)
    parts = [np.flatnonzero(arrays["split"] == code) for code in (1, 2, 3)]
    label = arrays["label"].astype(np.int64)
    fixed((words.data, words.indices, words.indptr, citations, links, label, *parts))
    return Cora(arrays["paper"], label, words, citations, links, *parts)


def facts(cora: Cora) -> dict[str, Any]:
    """Every number of ``FACTS``, counted."""
    n = len(cora.paper)
    i, j = cora.links.T
    degree = np.bincount(cora.links.ravel(), minlength=n)
    graph = sparse.coo_matrix((np.ones(len(i)), (i, j)), shape=(n, n))
    components, component = connected_components(graph, directed=False)
    words_per_paper = np.diff(cora.words.indptr)
    used = len(cora.train) + len(cora.validation) + len(cora.test)
    return {
        "papers": n,
        "words in use": cora.words.nnz,
        "most words in a paper": int(words_per_paper.max()),
        "fewest words in a paper": int(words_per_paper.min()),
        "citations": len(cora.citations),
        "links": len(cora.links),
        "self-citations": int(np.sum(i == j)),
        "smallest degree": int(degree.min()),
        "largest degree": int(degree.max()),
        "components": int(components),
        "papers in the largest component": int(np.bincount(component).max()),
        "links within a class, in per mille": round(1000 * float(np.mean(cora.label[i] == cora.label[j]))),
        "papers by class": tuple(np.bincount(cora.label, minlength=7).tolist()),
        "training papers by class": tuple(np.bincount(cora.label[cora.train], minlength=7).tolist()),
        "unused, training, validation and test papers": (
            n - used, len(cora.train), len(cora.validation), len(cora.test),
        ),
    }  # fmt: skip


def digest(arrays: dict[str, Integers]) -> str:
    """SHA-256 of the arrays' content, whatever compressed them."""
    total = hashlib.sha256()
    for name, dtype in ARRAYS.items():
        array = np.ascontiguousarray(arrays[name], dtype=dtype)
        total.update(f"{name} {dtype} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def _arrays(path: Path) -> dict[str, Integers]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name].astype(dtype, copy=False) for name, dtype in ARRAYS.items()}
    except FileNotFoundError as error:
        raise _error(path, "is missing") from error
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _error(path, "cannot be read: it is cut short or damaged") from error


def _error(path: Path, fault: str) -> CoraFileError:
    return CoraFileError(f"{path} {fault}. Build it again: {REBUILD}")
