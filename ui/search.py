"""Search over titles, questions, claims, symbols and terms, without running or importing an experiment."""

import ast
from functools import cache

from lab.catalogue import BY_NAME, CHAPTERS, EXPERIMENTS
from lab.evaluate import ROOT
from lab.glossary import TERMS


@cache
def _index() -> dict[str, str]:
    """Everything an experiment says, in lower case: its row, its docstrings and its texts."""
    index = {}
    for row in EXPERIMENTS:
        source = (ROOT / "experiments" / f"{row.name}.py").read_text(encoding="utf-8")
        constants = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
        said = [text for text in constants if isinstance(text, str)]
        terms = [f"{term} {meaning}" for term, (meaning, name) in TERMS.items() if name == row.name]
        facts = [row.name, row.title, row.question, CHAPTERS[row.chapter], *row.claim_ids]
        index[row.name] = "\n".join([*facts, *terms, *said]).casefold()
    return index


def find(query: str) -> list[str]:
    """The experiments that contain every word of the query, in the catalogue's order."""
    words = query.casefold().split()
    if not words:
        return list(BY_NAME)  # the index takes a second to build: not before somebody searches
    return [name for name, text in _index().items() if all(word in text for word in words)]


def terms(query: str) -> dict[str, tuple[str, str]]:
    """The glossary's terms that contain every word of the query."""
    words = query.casefold().split()
    return {
        t: v
        for t, v in TERMS.items()
        if v[1] in BY_NAME and all(word in f"{t} {v[0]}".casefold() for word in words)
    }
