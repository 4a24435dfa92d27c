"""What was computed before and takes long enough to be kept.

``functools.lru_cache`` does for functions of plain arguments. ``remembered`` is for those that are also
handed a tick, which must not be part of the key: it belongs to one visitor. What either of them keeps is
shared, hence ``fixed``.
"""

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Key = TypeVar("Key", bound=Hashable)
T = TypeVar("T")
Arrays = TypeVar("Arrays", bound=NDArray[Any] | tuple[Any, ...])

_lock = Lock()  # visitors compute in threads of their own


def keep(memory: dict[Key, T], key: Key, value: T, most: int) -> T:
    """Put a value in; of the ``most`` that are kept the one that nobody needed for longest goes first."""
    with _lock:
        memory.pop(key, None)
        memory[key] = value
        while len(memory) > most:
            del memory[next(iter(memory))]
    return value


def remembered(memory: dict[Key, T], key: Key, most: int, make: Callable[[], T]) -> T:
    """What was made for ``key`` before, or now and then kept."""
    known = memory.get(key)
    return keep(memory, key, make() if known is None else known, most)


def fixed(arrays: Arrays) -> Arrays:
    """The array, or the tuple with each of its arrays, read-only, because later runs share it."""
    for array in arrays if isinstance(arrays, tuple) else (arrays,):
        if isinstance(array, np.ndarray):
            array.setflags(write=False)
    return arrays
