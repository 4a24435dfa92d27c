"""Pinned runs: kept for the session, drawn behind the main chart, tabulated by what differs."""

from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from lab.catalogue import BY_NAME
from lab.contract import Settings, plain
from lab.evaluate import Outcome
from lab.numbers import number
from ui import charts, share

MOST = 8  # pins a page; more lines on one chart cannot be told apart
_POINTS = 300  # of a pinned curve


@dataclass(frozen=True)
class Pin:
    """What is kept of a run: its settings, headline numbers, verdicts and main curve."""

    name: str
    label: int
    settings: Settings
    summary: dict[str, float]
    verdicts: str
    curve: pd.DataFrame


def pins(name: str | None = None) -> list[Pin]:
    """The session's pins, oldest first: of one experiment, or of all."""
    kept: list[Pin] = st.session_state.get("_pins", [])
    return [pin for pin in kept if name in (None, pin.name)]


def add(outcome: Outcome) -> None:
    """Pin a run (a callback): the same settings once, and past eight the oldest leaves, which is said."""
    mine = pins(outcome.name)
    if any(pin.settings == outcome.settings for pin in mine):
        st.toast("These settings are pinned already.", icon=":material/keep:")
        return
    table, x, y = BY_NAME[outcome.name].preview
    curve = outcome.tables[table][[x, y]]
    confirmed = sum(claim.verdict == "confirmed" for claim in outcome.claims)
    pin = Pin(
        outcome.name, max((p.label for p in mine), default=0) + 1, outcome.settings, outcome.summary,
        f"{confirmed} of {len(outcome.claims)} confirmed", curve.iloc[:: len(curve) // _POINTS + 1],
    )  # fmt: skip
    everything = [*st.session_state.get("_pins", []), pin]
    if len(mine) == MOST:
        everything.remove(mine[0])
        gone = f"A page holds {MOST} pins: pin {mine[0].label} left."
        st.toast(gone, icon=":material/keep_off:", duration="long")
    st.session_state["_pins"] = everything


def clear(name: str | None = None) -> None:
    """Drop the pins of one experiment, or all (a callback)."""
    st.session_state["_pins"] = [pin for pin in pins() if name is not None and pin.name != name]


def with_ghosts(chart: alt.Chart | alt.LayerChart, name: str) -> alt.Chart | alt.LayerChart:
    """The chart with the pinned curves of this experiment as thin grey lines, numbered at their end."""
    _, x, y = BY_NAME[name].preview
    for pin in pins(name):
        ghost = alt.Chart(pin.curve).encode(x=f"{x}:Q", y=f"{y}:Q", color=alt.value(charts.GREY))
        last = ghost.properties(data=pin.curve.dropna().tail(1))
        line = ghost.mark_line(strokeWidth=1.5, opacity=0.8)
        chart = chart + line + last.mark_text(text=f"pin {pin.label}", align="right", dy=-8)
    return chart


def differing(kept: list[Pin]) -> list[str]:
    """The settings in which the pins, or one of them and the default, differ."""
    fields = type(kept[0].settings).model_fields
    return [f for f in fields if len({getattr(p.settings, f) for p in kept} | {fields[f].default}) > 1]


def table(kept: list[Pin]) -> pd.DataFrame:
    """Pins of one experiment as rows: settings that differ, headline numbers, verdicts and a link."""
    rows = [
        {
            "pin": pin.label,
            **{field: getattr(pin.settings, field) for field in differing(kept)},
            **{key: number(value) for key, value in pin.summary.items()},
            "claims": pin.verdicts,
            "link": share.link(pin.name, pin.settings),
        }
        for pin in kept
    ]
    return pd.DataFrame(rows)


def panel(name: str) -> None:
    """The pinned runs of a page, with only what tells them apart."""
    kept = pins(name)
    if not kept:
        st.caption(
            "Nothing is pinned. *Pin this run*, under the settings, keeps a run here and on the main chart."
        )
        return
    show(table(kept), f"{name}_pins")
    st.button(
        "Remove all pins of this page",
        icon=":material/keep_off:",
        key=f"_{name}_unpin",
        on_click=clear,
        args=(name,),
    )


def as_json(kept: list[Pin]) -> list[dict[str, Any]]:
    """Pins as plain values: everything but the curve."""
    return [
        {
            "experiment": pin.name, "pin": pin.label, "settings": pin.settings.model_dump(),
            "summary": plain(pin.summary), "claims": pin.verdicts, "link": share.link(pin.name, pin.settings),
        }
        for pin in kept
    ]  # fmt: skip


def show(frame: pd.DataFrame, key: str) -> None:
    """A table of pins with its links to click."""
    link = st.column_config.LinkColumn("link", display_text="open")
    st.dataframe(frame, hide_index=True, column_config={"link": link}, key=f"_{key}_table")
