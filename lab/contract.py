"""What every experiment provides, and the few types it is written with.

An experiment is a plain module with these names, in this order::

    docstring                       the question, the formula, the symbols, what to expect, the reference
    class Settings(contract.Settings)      every knob: default, bounds, step, unit and label, once
    class Result                    a frozen dataclass: settings, arrays, summary (the headline numbers)
    run(settings, tick) -> Result   deterministic; calls tick(fraction) between chunks of work
    claims(result) -> list[Claim]   theory against measurement
    tables(result) -> dict[str, DataFrame]      what the charts draw and the CSV export writes
    CHALLENGES                      questions to answer before looking

An experiment whose runs may take long (*training* in the catalogue) waits for *Run*; it may add
``quick(settings) -> bool`` to tell which settings are answered at once, as those of an instant one are.
An experiment that can read a file from the command line adds ``FILES``, a dict from flag to reader; what
the reader returns is passed to ``run`` under the flag's name.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, TypedDict, get_args, get_origin

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

Array = NDArray[np.float64]
Relation = Literal["=", "<=", ">=", "<", ">"]
Verdict = Literal["confirmed", "refuted", "not at these settings", "not checkable"]
TextVerdict = Literal["holds", "conditional", "wrong", "unverifiable"]


# --- Progress -----------------------------------------------------------------------------------------


class Tick(Protocol):
    """Called between chunks of work, at most about 0.2 s apart; a run can be stopped inside it.

    ``fraction`` goes from 0 to 1 and never falls. ``live`` may carry numbers to draw while the run goes
    on: the first is the horizontal axis (``epoch=12``), the others are curves (``train=0.9``).
    """

    def __call__(self, fraction: float, /, **live: float) -> None:
        """Report that ``fraction`` of the work is done."""


def no_tick(fraction: float, /, **live: float) -> None:
    """Ignore progress: the tick of a run nobody watches."""


# --- Settings -----------------------------------------------------------------------------------------


def control(
    default: Any,
    label: str,
    *,
    ge: float | None = None,
    le: float | None = None,
    step: float | None = None,
    log: bool = False,
    unit: str = "",
    help: str = "",
    max_length: int | None = None,
) -> Any:
    """Declare one knob of an experiment, once, for widgets, links, command line and tests.

    ``ge`` and ``le`` are inclusive bounds, ``step`` the grid that values are snapped to (1 for whole
    numbers), ``log`` asks for a logarithmic grid of about 35 values a decade instead. ``le`` also bounds
    what a stranger's link can cost: choose it so that a run stays under about three seconds.
    """
    extra: dict[str, Any] = {"unit": unit, "step": step, "log": log}
    return Field(
        default, title=label, description=help, ge=ge, le=le, max_length=max_length, json_schema_extra=extra
    )


def seed_control() -> Any:
    """Declare the seed of an experiment that draws random numbers."""
    return control(0, "Seed", ge=0, le=9999, help="The same seed gives the same numbers on every machine.")


class Settings(BaseModel):
    """Base of every experiment's settings: frozen, finite, no unknown fields, values on their grid."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    @field_validator("*")
    @classmethod
    def _snap(cls, value: Any, info: Any) -> Any:
        return snap(cls.model_fields[info.field_name], value)


# Dense enough that every number of one significant digit is on it, and about even in the logarithm.
_MANTISSAS = [m / 10 for m in (*range(10, 20), *range(20, 50, 2), *range(50, 100, 5))]


def bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    """The inclusive bounds of a numeric field."""
    low = next((m.ge for m in field.metadata if hasattr(m, "ge")), None)
    high = next((m.le for m in field.metadata if hasattr(m, "le")), None)
    return low, high


def longest_text(field: FieldInfo) -> int | None:
    """How many characters a text field takes, if that is bounded."""
    return next((m.max_length for m in field.metadata if hasattr(m, "max_length")), None)


def extra(field: FieldInfo, key: str) -> Any:
    """What ``control`` noted under ``key`` (unit, step or log)."""
    return (field.json_schema_extra or {}).get(key)  # type: ignore[union-attr]


def grid(field: FieldInfo) -> list[float]:
    """The values a logarithmic control can take, ascending, bounds and default included."""
    low, high = bounds(field)
    if low is None or high is None or low <= 0:
        raise TypeError("a logarithmic control needs two positive bounds")
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = {float(f"{m:g}e{d}") for d in decades for m in _MANTISSAS} | {low, high, field.default}
    if field.annotation is int:
        values = {v for v in values if v == int(v)}
    kind = int if field.annotation is int else float
    return [kind(v) for v in sorted(values) if low <= v <= high]


def snap(field: FieldInfo, value: Any) -> Any:
    """The nearest value on the field's grid; anything but a number comes back as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if extra(field, "log"):
        return min(grid(field), key=lambda v: abs(v - value))
    step, (low, high) = extra(field, "step"), bounds(field)
    if step is None or low is None:
        return value
    snapped = low + round((value - low) / step) * step
    snapped = min(snapped, high) if high is not None else snapped
    # Ten decimals: 0.1 + 2 * 0.1 must come out as 0.3, or equal settings would be different cache keys.
    return int(snapped) if isinstance(value, int) else round(float(snapped), 10) + 0.0


def choices(field: FieldInfo) -> tuple[Any, ...]:
    """The options of a field declared with ``Literal``, else an empty tuple."""
    return get_args(field.annotation) if get_origin(field.annotation) is Literal else ()


def allowed(field: FieldInfo) -> str:
    """What a field takes, in words: ``a whole number from 1 to 64``."""
    if options := choices(field):
        return "one of " + ", ".join(str(o) for o in options)
    if field.annotation is bool:
        return "true or false"
    if field.annotation in (int, float):
        low, high = bounds(field)
        number = "a whole number" if field.annotation is int else "a number"
        return number if low is None else f"{number} from {low:g} to {high:g}"
    longest = longest_text(field)
    return "text" if longest is None else f"text of at most {longest} characters"


def setting_error(field: str, value: object, why: str) -> PydanticCustomError:
    """The error to raise from a validator that looks at several fields: names the field and the value."""
    # Braces would be read as a template by pydantic.
    safe = f"{field} = {_shown(value)}: {why}".replace("{", "(").replace("}", ")")
    return PydanticCustomError("setting", safe)


def readable(field: str, value: str, read: Callable[[str], object]) -> str:
    """The text of a field, if ``read`` makes sense of it; what that says in a ``ValueError`` is the fault."""
    try:
        read(value)
    except ValueError as fault:
        raise setting_error(field, value, str(fault)) from None
    return value


def problems(error: ValidationError, settings: type[Settings]) -> list[str]:
    """Each fault in one line: the field, the value, what is allowed, what to try."""
    lines = []
    for fault in error.errors():
        name = str(fault["loc"][0]) if fault["loc"] else ""
        if fault["type"] == "setting":
            lines.append(fault["msg"])
        elif name in settings.model_fields:
            field = settings.model_fields[name]
            lines.append(
                f"{name} = {_shown(fault['input'])}: must be {allowed(field)}; try {_shown(field.default)}"
            )
        else:
            known = ", ".join(settings.model_fields)
            lines.append(f"{name} = {_shown(fault['input'])}: no such setting; there are {known}")
    return lines


def _shown(value: object, longest: int = 40) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


# --- Claims -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Check:
    """One number against its prediction, as a further part of a claim."""

    what: str
    predicted: float
    measured: float
    tolerance: float = 0.0
    rule: str = ""
    relation: Relation = "="

    @property
    def passed(self) -> bool:
        """Whether the measurement stands in the relation to the prediction, within the tolerance."""
        return agrees(self.measured, self.relation, self.predicted, self.tolerance)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement with the number theory predicts for it and the number that was measured.

    ``text_verdict`` says how the usual teaching of it fares; where that is *conditional* or *wrong*,
    ``often_taught`` quotes the usual form and ``statement`` is the correction, which is what is checked.
    ``unmet`` names the condition of the theorem that these settings violate, if any. ``also`` holds
    further checks; all must pass.
    """

    id: str
    statement: str
    predicted: float = math.nan
    measured: float = math.nan
    tolerance: float = 0.0
    rule: str = ""
    relation: Relation = "="
    text_verdict: TextVerdict = "holds"
    often_taught: str = ""
    reason: str = ""
    unmet: str = ""
    also: tuple[Check, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The outcome; anything that is not a number refutes."""
        if self.text_verdict == "unverifiable":
            return "not checkable"
        if self.unmet:
            return "not at these settings"
        main = agrees(self.measured, self.relation, self.predicted, self.tolerance)
        return "confirmed" if main and all(check.passed for check in self.also) else "refuted"

    def as_dict(self) -> dict[str, Any]:
        """Everything, verdict included, as plain values for JSON; what is not a finite number is None."""
        return plain({**asdict(self), "verdict": self.verdict})


def agrees(measured: float, relation: Relation, predicted: float, tolerance: float) -> bool:
    """Whether ``measured relation predicted`` holds up to ``tolerance``; never for NaN."""
    gap = measured - predicted if measured != predicted else 0.0  # inf equals inf
    return bool(
        {
            "=": abs(gap) <= tolerance,
            "<=": gap <= tolerance,
            ">=": gap >= -tolerance,
            "<": gap < -tolerance,
            ">": gap > tolerance,
        }[relation]
    )


def plain(value: Any) -> Any:
    """``value`` with NumPy numbers made Python's and non-finite ones None, at any depth."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Tolerance(TypedDict):
    """The pair of arguments a claim takes from one of the rules below."""

    tolerance: float
    rule: str


def identity(reference: float = 1.0) -> Tolerance:
    """For an algebraic identity in float64: 1e-9 · max(1, \\|reference\\|)."""
    return {"tolerance": 1e-9 * max(1.0, abs(reference)), "rule": "float64 rounding: 1e-9 · max(1, |value|)"}


def exact() -> Tolerance:
    """For whole numbers, shapes and yes-or-no statements."""
    return {"tolerance": 0.0, "rule": "exact"}


def rounded(decimals: int) -> Tolerance:
    """For a printed number: equal after rounding to its decimals."""
    return {"tolerance": 0.5 * 10.0**-decimals, "rule": f"as printed: half a unit of decimal {decimals}"}


def four_standard_errors(standard_error: float, formula: str) -> Tolerance:
    """For a random estimate: four standard errors, a false alarm once in 16,000; ``formula`` is the SE's."""
    return {"tolerance": 4.0 * standard_error, "rule": f"4 SE, SE = {formula} = {standard_error:.3g}"}


def separation(sd_a: float, n_a: int, sd_b: float, n_b: int) -> Tolerance:
    """For two means over seeds: four standard errors of their difference."""
    spread = 4.0 * math.sqrt(sd_a**2 / n_a + sd_b**2 / n_b)
    return {"tolerance": spread, "rule": f"4·√(s₁²/{n_a} + s₂²/{n_b}) = {spread:.3g}"}


# --- Challenges ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """A question to answer before looking; the right option is read from the run, never stored.

    ``options`` is empty where a number is to be guessed. ``settings`` are applied when the answer is
    revealed (fields that are not named keep their default). ``answer`` maps the result to one of the
    options, or to the number. Where the number is a point of a curve (a table, its horizontal and
    its vertical column), ``at`` is its horizontal place: the guess is then drawn before the curve is.
    """

    prompt: str
    options: tuple[str, ...]
    settings: Mapping[str, Any]
    answer: Callable[[Any], str | float]
    why: str
    curve: tuple[str, str, str] | None = None
    at: float = 0.0
