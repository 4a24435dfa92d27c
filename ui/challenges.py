"""Predict, then see: a question, a guess, and the answer read from a run."""

from functools import partial
from types import ModuleType
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from lab.catalogue import BY_NAME
from lab.contract import Challenge, Settings
from lab.numbers import number
from ui import charts, controls, running
from ui.once import drawn_once

CLOSE = 0.1  # a guessed number within a tenth of the answer counts as seen


def panel(name: str, module: ModuleType) -> None:
    """The page's challenges. Answering is optional; nothing is locked."""
    st.header("Predict, then see", anchor="challenges")
    st.caption("Commit to an answer, then look. The right one is read from a run, not stored.")
    columns = st.columns(len(module.CHALLENGES))
    for index, (column, challenge) in enumerate(zip(columns, module.CHALLENGES, strict=True)):
        with column.container(border=True, height="stretch", key=f"{name}_challenge_{index}"):
            _challenge(name, module, index, challenge)


def _challenge(name: str, module: ModuleType, index: int, challenge: Challenge) -> None:
    key = f"_{name}_challenge_{index}"
    st.markdown(f"**{challenge.prompt}**")
    kept: dict[str, Any] = {"key": f"{key}_guess", "persist_state": "session"}
    if challenge.options:
        guess: Any = st.radio("Your prediction", challenge.options, index=None, **kept)
    else:
        guess = st.number_input("Your prediction", value=None, format="%g", placeholder="a number", **kept)
    st.button(
        "Reveal", key=f"{key}_reveal", icon=":material/visibility:", on_click=_reveal,
        args=(name, index, module.Settings, dict(challenge.settings)),
        help="Applies the settings of the question, runs, and shows prediction and measurement.",
    )  # fmt: skip
    outcome = None
    if index in _revealed(name):
        outcome = running.compute(name, module.Settings(**challenge.settings))
    if challenge.curve is not None:
        words = f"Your guess at {challenge.at:g}: {'none yet' if guess is None else number(guess)}"
        measured = None if outcome is None else outcome.tables[challenge.curve[0]]
        draw = partial(_sketch, challenge.curve[1:], challenge.at, guess, measured, words)
        drawn_once(draw, running.version(name))
    if outcome is None:
        return
    answer = challenge.answer(outcome.result)
    _answers()[(name, index)] = {"guess": guess, "answer": answer, "seen": seen(guess, answer)}
    st.markdown(reaction(guess, answer))
    st.markdown(f"**{_shown(answer)}.** {challenge.why}")


def _sketch(
    axes: tuple[str, str], at: float, guess: float | None, measured: pd.DataFrame | None, words: str
) -> None:
    """Draw the place where the curve will be, with the guess on it; once revealed, the curve itself."""
    x, y = axes
    scale = alt.Scale(domain=[0, 2 * at]) if measured is None else alt.Undefined
    place = pd.DataFrame({x: [at], y: [guess]})
    base = alt.Chart(place, height=150).encode(x=alt.X(f"{x}:Q", title=x.replace("_", " "), scale=scale))
    chart = charts.paint(base.mark_rule(strokeDash=[2, 3]), "theory")
    if guess is not None:
        mine = base.encode(y=alt.Y(f"{y}:Q", title=None, scale=alt.Scale(zero=False)))
        chart += charts.paint(mine.mark_point(shape="cross", size=120, filled=True, angle=45), "violation")
    if measured is not None:
        line = (
            alt.Chart(measured[[x, y]].dropna())
            .mark_line(strokeWidth=2)
            .encode(x=f"{x}:Q", y=alt.Y(f"{y}:Q", title=None))
        )
        chart = charts.paint(line, "measured") + chart
    st.altair_chart(chart, width="stretch", alt=words)


def _reveal(name: str, index: int, kind: type[Settings], values: dict[str, Any]) -> None:
    """Apply the settings of a challenge and run (a callback)."""
    st.session_state.setdefault("_revealed", set()).add((name, index))
    controls.apply(name, kind, values)
    running.request(name, kind(**values))


def _revealed(name: str) -> set[int]:
    return {index for page, index in st.session_state.get("_revealed", set()) if page == name}


def _answers() -> dict[tuple[str, int], dict[str, Any]]:
    answers: dict[tuple[str, int], dict[str, Any]] = st.session_state.setdefault("_answers", {})
    return answers


def _shown(answer: str | float) -> str:
    return answer if isinstance(answer, str) else number(answer)


def seen(guess: Any, answer: str | float) -> bool:
    """Whether a guess was right: the option, or a number within a tenth."""
    if guess is None or isinstance(answer, str):
        return bool(guess == answer)
    return abs(guess - answer) <= CLOSE * abs(answer)


def reaction(guess: Any, answer: str | float) -> str:
    """How far off the guess was, in words."""
    if guess is None:
        return ":gray[You did not guess. The answer:]"
    if isinstance(answer, str):
        right = ":green[:material/check: You saw it coming.]"
        return right if guess == answer else f":orange[:material/close: Not “{guess}”. It is:]"
    off = abs(guess - answer)
    if off <= 0.005 * abs(answer):
        return ":green[:material/check: Spot on.]"
    distance = f"You said {number(guess)}, which is off by {number(off)}. It is:"
    near = seen(guess, answer)
    return f":green[:material/check: Close. {distance}]" if near else f":orange[:material/close: {distance}]"


def session_summary() -> None:
    """What has been predicted in this session, on the home page."""
    answers = _answers()
    if not answers:
        return
    right = sum(a["seen"] for a in answers.values())
    st.header(f"Your predictions: {right} of {len(answers)} seen coming", anchor="predictions")
    rows = [
        {
            "experiment": BY_NAME[name].title,
            "your prediction": "none" if a["guess"] is None else _shown(a["guess"]),
            "measured": _shown(a["answer"]),
            "seen coming": "yes" if a["seen"] else "no",
        }
        for (name, _), a in answers.items()
    ]
    st.table(pd.DataFrame(rows).set_index("experiment"))
