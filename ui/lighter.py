"""Altair, lighter: three things that it does again for every chart, and that a page can do without.

A page makes its charts anew at every move of a slider, and most of that time was spent in here. The charts
stay the same to the last letter, which the tests check on every page. Whoever turns the debug mode of Altair
on, as the tests do, has every chart checked again. ``ui/charts.py`` asks for these only with the version of
Altair that they were written for.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

from altair.utils import schemapi
from altair.utils.schemapi import SchemaBase, Undefined

FromDict, deep_copy = schemapi._FromDict, schemapi._deep_copy
check = SchemaBase.__dict__["validate"].__func__


class Remembered(FromDict):  # type: ignore[misc, valid-type]
    """Which class wraps which part of the schema: found once, not again for every ``encode(x="k:Q")``."""

    tables: ClassVar[dict[tuple[Any, ...], Any]] = {}

    def __init__(self, wrapper_classes: Iterable[type[SchemaBase]], /) -> None:
        """Look the classes up; hash their schemas when they are new."""
        key = tuple(wrapper_classes)
        if key not in self.tables:
            super().__init__(key)
            self.tables[key] = self.class_dict
        self.class_dict = self.tables[key]


def unfinished(obj: SchemaBase) -> bool:
    """Whether a constructor still has to lift parameters out of the charts that this one is made of."""
    lists = [obj._kwds.get(name) for name in ("layer", "concat", "hconcat", "vconcat")]
    parts = [part for some in lists if isinstance(some, list) for part in some]
    return "spec" in obj._kwds or any(part._kwds.get("params", Undefined) is not Undefined for part in parts)


def copied(obj: Any, by_ref: set[str]) -> Any:
    """A deep copy of a chart or a part of one.

    Altair's own hands every part to its constructor again, and that of a layered chart copies each layer
    twice: the more layers stand in layers, the more often. A finished part needs no constructor.
    """
    if isinstance(obj, SchemaBase):
        if hasattr(type(obj), "__deepcopy__") or unfinished(obj):
            return deep_copy(obj, by_ref)
        new = object.__new__(type(obj))
        parts = {
            name: part if part is Undefined or name in by_ref else copied(part, by_ref)
            for name, part in obj._kwds.items()
        }
        new.__dict__.update(obj.__dict__, _args=tuple(copied(a, by_ref) for a in obj._args), _kwds=parts)
        return new
    if isinstance(obj, list):
        return [copied(part, by_ref) for part in obj]
    if isinstance(obj, dict):
        return {name: part if name in by_ref else copied(part, by_ref) for name, part in obj.items()}
    return obj


def validate(cls: type[SchemaBase], instance: dict[str, Any], schema: dict[str, Any] | None = None) -> None:
    """Check against the schema in debug mode only; the browser says what is wrong with a chart, too."""
    if schemapi.DEBUG_MODE:
        check(cls, instance, schema)


def lighten() -> None:
    """Put the three in place."""
    schemapi._FromDict = Remembered  # type: ignore[misc]
    schemapi._deep_copy = copied
    SchemaBase.validate = classmethod(validate)  # type: ignore[assignment]
