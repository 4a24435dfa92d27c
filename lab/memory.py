"""What was computed before and takes long enough to be kept.

``functools.lru_cache`` does for functions of plain arguments. This is for those that are also handed a tick,
which must not be part of the key: it belongs to one visitor.
"""

from collections.abc import Callable, Hashable
from threading import Lock
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)
T = TypeVar("T")

_lock = Lock()  # visitors compute in threads of their own


def keep(memory: dict[Key, T], key: Key, value: T, most: int) -> T:
    """Put a value in; of the ``most`` that are kept the oldest goes first."""
    with _lock:
        memory.pop(key, None)
        memory[key] = value
        while len(memory) > most:
            del memory[next(iter(memory))]
    return value


def remembered(memory: dict[Key, T], key: Key, most: int, make: Callable[[], T]) -> T:
    """What was made for ``key`` before, or now and then kept."""
    if (known := memory.get(key)) is None:
        known = keep(memory, key, make(), most)
    return known
