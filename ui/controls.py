"""Widgets generated from an experiment's ``Settings``, each bound to the address bar."""

import math
import random
from typing import Any

import streamlit as st
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from lab.contract import Settings, bounds, choices, extra, grid, longest_text, problems
from lab.numbers import plain_number

# Streamlit's own query parameters, which mean nothing to an experiment.
_STREAMLIT_KEYS = {"embed", "embed_options"}

RESULTS = "results"  # the fragment of a page that runs again when a control is moved


def key(name: str, field: str) -> str:
    """The session key and link parameter of a field: prefixed, so that nothing leaks between pages."""
    return f"{name}_{field}"


def sidebar(name: str, settings: type[Settings]) -> None:
    """Draw the controls of an experiment, and keep what they say for ``now``."""
    wanted = read_link(name, settings)
    st.session_state.update(st.session_state.pop(f"_{name}_corrected", {}))
    with st.sidebar:
        st.header("Settings", anchor=False)
        values = {field: widget(name, settings, field) for field in settings.model_fields}
        with st.container(horizontal=True):
            st.button(
                "Reset", icon=":material/restart_alt:", key=f"_{name}_reset", on_click=apply,
                args=(name, settings, {}),
            )  # fmt: skip
            if "seed" in settings.model_fields:
                st.button(
                    "New seed",
                    icon=":material/casino:",
                    key=f"_{name}_new_seed",
                    on_click=_new_seed,
                    args=(name,),
                )
    try:
        checked = settings(**{**values, **wanted})
    except ValidationError as error:
        if not wanted:
            st.session_state[f"_{name}_now"] = (None, problems(error, settings))
            return
        for problem in problems(error, settings):  # each value of the link is good, but not together
            _note(name, f"The link's values were not used: {_clean(problem)}")
        checked = settings()
    corrected = {key(name, f): getattr(checked, f) for f, v in values.items() if getattr(checked, f) != v}
    if corrected:  # a link's value off the grid or out of bounds: let the widget show what is computed
        st.session_state[f"_{name}_corrected"] = corrected
        st.rerun()
    st.session_state[f"_{name}_now"] = (checked, [])


def now(name: str) -> tuple[Settings | None, list[str]]:
    """The settings of a page, or None and what is wrong with them."""
    settings: tuple[Settings | None, list[str]] = st.session_state[f"_{name}_now"]
    return settings


def moves_left(name: str, moves: int) -> None:
    """Say how often a control may be moved before the whole page has to run again."""
    st.session_state[f"_{name}_moves_left"] = moves


def read_link(name: str, settings: type[Settings]) -> dict[str, Any]:
    """The values of a link when it is opened: what is good as it is, else the default, with a note.

    Left alone, the widgets would drop a bad value without a word, or cut 3.7 to 3. Each key is read once, and
    only before a widget has claimed it, so later changes are the widgets' own.
    """
    wanted: dict[str, Any] = {}
    known_already: set[str] = st.session_state.setdefault(f"_{name}_read", set(_STREAMLIT_KEYS))
    for parameter in list(st.query_params):
        if (
            parameter in known_already
            or parameter in st.session_state
            or parameter.startswith(f"{name}_view_")
        ):
            continue
        known_already.add(parameter)
        field = parameter.removeprefix(f"{name}_")
        if field == parameter or field not in settings.model_fields:
            known = ", ".join(key(name, f) for f in settings.model_fields)
            stray = f"`{_clean(parameter)}` in the link is not a setting of this page."
            _note(name, f"{stray} There are: {known}.")
            continue
        raw = st.query_params.get_all(parameter)
        if len(raw) > 1:
            _note(
                name,
                f"{field} = {_clean(', '.join(raw))}: stands in the link more than once; the last counts.",
            )
        try:
            wanted[field] = getattr(settings.model_validate({field: raw[-1]}), field)
        except ValidationError as error:
            wanted[field] = settings.model_fields[field].default
            _note(name, f"The link's value was not used: {_clean(problems(error, settings)[0])}")
    return wanted


def _note(name: str, text: str) -> None:
    notes = st.session_state.setdefault(f"_{name}_notes", [])
    if text not in notes and len(notes) < 8:
        notes.append(text)


def _clean(text: str) -> str:
    """Text from a link as text: nothing in it can become a link, an image or a formula."""
    return "".join(c if c not in "`*[]()!<>$\\#|~:" else " " for c in text)[:160]


def notes(name: str) -> list[str]:
    """What was wrong with the link that opened this page; gone once a control is moved."""
    return st.session_state.get(f"_{name}_notes", [])


def changed(name: str) -> None:
    """Forget the notes on the link: the person has taken over."""
    st.session_state.pop(f"_{name}_notes", None)


def moved(name: str, settings: type[Settings]) -> None:
    """A control was moved: run the results alone, if nothing else of the page depends on it (a callback)."""
    changed(name)
    left = st.session_state.get(f"_{name}_moves_left", 0)
    values = {field: st.session_state[key(name, field)] for field in settings.model_fields}
    try:
        checked = settings(**values)
    except ValidationError:
        return
    if left and checked.model_dump() == values:
        st.session_state[f"_{name}_now"] = (checked, [])
        moves_left(name, left - 1)
        st.rerun(RESULTS)


def apply(name: str, settings: type[Settings], values: dict[str, Any]) -> None:
    """Set the controls to ``values`` and everything else to its default (a callback)."""
    changed(name)
    for field, info in settings.model_fields.items():
        st.session_state[key(name, field)] = values.get(field, info.default)


def _new_seed(name: str) -> None:
    changed(name)
    st.session_state[key(name, "seed")] = random.randint(1, 9999)


def label(info: FieldInfo) -> str:
    """The label of a control with its unit."""
    unit = extra(info, "unit")
    return f"{info.title} [{unit}]" if unit else str(info.title)


def widget(name: str, settings: type[Settings], field: str) -> Any:
    """The widget that fits a field: toggle, choice, slider, logarithmic slider, number or text."""
    info = settings.model_fields[field]
    common: dict[str, Any] = {
        "label": label(info),
        "key": key(name, field),
        "help": info.description or None,
        "bind": "query-params",
        "on_change": moved,
        "args": (name, settings),
    }
    start = info.default
    if info.annotation is bool:
        return st.toggle(value=start, **common)
    if options := choices(info):
        if sum(len(str(o)) for o in options) < 26:
            return st.segmented_control(options=options, default=start, required=True, **common)
        return st.selectbox(options=options, index=options.index(start), **common)
    if info.annotation is str:
        return st.text_area(value=start, max_chars=longest_text(info), **common)
    low, high = bounds(info)
    if low is None or high is None:
        raise TypeError(f"{field}: a number on a page needs two bounds")
    if extra(info, "log"):
        return st.select_slider(options=grid(info), value=start, format_func=plain_number, **common)
    kind = int if info.annotation is int else float
    step = kind(extra(info, "step") or (1 if kind is int else 0.01))
    number: dict[str, Any] = {"min_value": kind(low), "max_value": kind(high), "value": start, "step": step}
    if field == "seed":
        if not _finite(st.query_params.get(key(name, field), "0")):
            common["bind"] = None  # Streamlit 1.67 fails on an infinite whole number in the link
        return st.number_input(**number, **common)
    return st.slider(**number, **common)


def _finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return True  # no number at all: Streamlit drops it


def view(name: str, field: str, text: str, options: list[Any], default: Any, **more: Any) -> Any:
    """A choice of what to look at: in the link like a setting, but nothing is computed anew."""
    widget_key = key(name, f"view_{field}")
    few = len(options) < 6 and sum(len(str(o)) for o in options) < 36
    kind = st.segmented_control if few else st.selectbox
    if kind is st.segmented_control:
        more |= {"required": True, "default": default}
    else:
        more["index"] = options.index(default)
    return kind(text, options, key=widget_key, bind="query-params", **more)  # type: ignore[operator]
