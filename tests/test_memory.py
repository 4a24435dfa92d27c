"""What experiments remember: made once, and no more of it than they say."""

from typing import NamedTuple

import numpy as np
import pytest

from lab.memory import fixed, keep, remembered


def test_what_was_made_is_not_made_again_until_it_had_to_leave():
    made: list[str] = []
    memory: dict[str, str] = {}
    for key in ("a", "b", "a", "c", "a", "b"):  # two are kept: c pushes b out, and the last b pushes c out
        assert remembered(memory, key, 2, lambda key=key: made.append(key) or key.upper()) == key.upper()
    assert made == ["a", "b", "c", "b"]
    assert list(memory) == ["a", "b"]


def test_what_is_kept_again_is_the_youngest():
    memory = {"a": 1, "b": 2}
    keep(memory, "a", 3, 2)
    keep(memory, "c", 4, 2)
    assert memory == {"a": 3, "c": 4}


class Pair(NamedTuple):
    row: np.ndarray
    other: object


@pytest.mark.parametrize("other", [np.ones(2), 1.5])
def test_what_is_fixed_is_the_same_thing_but_read_only(other):
    row = np.zeros(3)
    pair = Pair(row, other)
    assert fixed(row) is row
    assert fixed(pair) is pair
    for array in (a for a in pair if isinstance(a, np.ndarray)):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 2.0
