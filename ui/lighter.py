"""Altair, lighter: work that it does again for every chart, and that a page can do without.

A page makes its charts anew at every move of a slider, and most of that time was spent in here. The charts
stay the same to the last letter, which the tests check on every page. Whoever turns the debug mode of Altair
on, as the tests do, has every chart checked again. ``ui/charts.py`` asks for these only with the version of
Altair that they were written for.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any, ClassVar

from altair import Chart
from altair.utils import schemapi
from altair.utils.schemapi import SchemaBase, Undefined
from altair.vegalite.v6.schema import core

FromDict, deep_copy, subclasses = schemapi._FromDict, schemapi._deep_copy, schemapi._subclasses
as_dict = schemapi._todict
check = SchemaBase.__dict__["validate"].__func__
check_property = SchemaBase.__dict__["validate_property"].__func__
hashed = Chart._compute_hash

PLAIN = {str, int, float, bool, type(None)}

# What a chart's methods replace, but never change from within: copies of a chart may share it.
SHARED = {"data", "encoding", "mark", "projection", "transform"}


@cache
def family(cls: type[Any]) -> tuple[type[Any], ...]:
    """All the classes that inherit from one."""
    return tuple(subclasses(cls))


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


class Later:
    """The name of a view, which holds a hash of the chart and all its data: worked out if it is asked for.

    Altair works it out for every layer, and only charts that can be selected in have views with names.
    """

    def __init__(self, chart: Chart) -> None:
        """Remember the chart as it is now."""
        self.chart = copied(chart, set())

    def __str__(self) -> str:
        """The name that Altair gives."""
        return hashed(self.chart)


def name_of_view(chart: Chart) -> Any:
    """The name that was worked out when the chart still had its data, or one for later."""
    return chart._kwds.get("_cached_hash") or Later(chart)


def unfinished(obj: SchemaBase) -> bool:
    """Whether a constructor still has to lift parameters out of the charts that this one is made of."""
    lists = [obj._kwds.get(name) for name in ("layer", "concat", "hconcat", "vconcat")]
    parts = [part for some in lists if isinstance(some, list) for part in some]
    return "spec" in obj._kwds or any(part._kwds.get("params", Undefined) is not Undefined for part in parts)


def copied(obj: Any, by_ref: set[str]) -> Any:
    """A copy of a chart or a part of one, as deep as anything that is done to a copy goes.

    Altair's own hands every part to its constructor again, and that of a layered chart copies each layer
    twice: the more layers stand in layers, the more often. A finished part needs no constructor.
    """
    if isinstance(obj, SchemaBase):
        if hasattr(type(obj), "__deepcopy__") or unfinished(obj):
            return deep_copy(obj, by_ref)
        kept = by_ref | SHARED if isinstance(obj, Chart) else by_ref
        new = object.__new__(type(obj))
        parts = {
            name: part if part is Undefined or name in kept else copied(part, by_ref)
            for name, part in obj._kwds.items()
        }
        new.__dict__.update(obj.__dict__, _args=tuple(copied(a, by_ref) for a in obj._args), _kwds=parts)
        return new
    if isinstance(obj, list):
        return [copied(part, by_ref) for part in obj]
    if isinstance(obj, dict):
        return {name: part if name in by_ref else copied(part, by_ref) for name, part in obj.items()}
    return obj


def todict(obj: Any, context: dict[str, Any] | None, np_opt: Any, pd_opt: Any) -> Any:
    """As Altair, but plain values, most of a specification, are not asked whether they are charts."""
    return obj if type(obj) in PLAIN else as_dict(obj, context, np_opt, pd_opt)


def validate(cls: type[SchemaBase], instance: dict[str, Any], schema: dict[str, Any] | None = None) -> None:
    """Check against the schema in debug mode only; the browser says what is wrong with a chart, too."""
    if schemapi.DEBUG_MODE:
        check(cls, instance, schema)


def validate_property(
    cls: type[SchemaBase], name: str, value: Any, schema: dict[str, Any] | None = None
) -> None:
    """Check a property against the schema in debug mode only, as ``properties`` of a chart does."""
    if schemapi.DEBUG_MODE:
        check_property(cls, name, value, schema)


LIGHT = {
    (schemapi, "_FromDict"): Remembered,
    (schemapi, "_deep_copy"): copied,
    (schemapi, "_todict"): todict,
    (schemapi, "_subclasses"): family,
    (core, "_subclasses"): family,
    (Chart, "_compute_hash"): name_of_view,
    (SchemaBase, "validate"): classmethod(validate),
    (SchemaBase, "validate_property"): classmethod(validate_property),
}
HEAVY = {(place, name): vars(place)[name] for place, name in LIGHT}  # to go back


def lighten() -> None:
    """Put them in place of Altair's own."""
    for (place, name), ours in LIGHT.items():
        setattr(place, name, ours)
