"""What an experiment's page draws: the charts of a result, and the claims on it.

A page opens with ``page = open_page(name)``, draws its charts with ``page.chart``, and ends with
``page.close()``, which adds the claims. What stands around that, ``ui.frame`` draws.
"""

import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.elements.vega_charts import _convert_altair_to_vega_lite_spec

from lab.contract import Settings
from lab.evaluate import Outcome, load
from ui import boot, charts, claims, controls, crowd, pins, running, share
from ui.once import drawn_once, made_once

# Seconds after the first chart: it is sent by itself, and the browser draws it before it gets the rest.
HEAD_START = 0.06


class Page:
    """An open page: the outcome it shows and the parts that every page has."""

    def __init__(self, name: str, outcome: Outcome) -> None:
        """Remember what is shown."""
        self.name = name
        self.outcome = outcome
        self.module = load(name)
        self.drawn: list[tuple[str, Callable[[], Any]]] = []  # title and chart, for the downloads

    @property
    def settings(self) -> Any:
        """The settings of the results on the page (of the last good run, where the page is stale)."""
        return self.outcome.settings

    @property
    def result(self) -> Any:
        """The experiment's ``Result``."""
        return self.outcome.result

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The experiment's tidy tables."""
        return self.outcome.tables

    @property
    def summary(self) -> dict[str, float]:
        """The headline numbers."""
        return self.outcome.summary

    def main(self, chart: Any, alt: str) -> Any:
        """Draw the page's main chart, with the curves of the pinned runs behind it."""
        if not pins.pins(self.name):
            return self.chart(chart, alt)
        return self.chart(pins.with_ghosts(chart() if isinstance(chart, partial) else chart, self.name), alt)

    def chart(self, chart: Any, alt: str, **more: Any) -> Any:
        """Draw a chart as wide as its column; ``alt`` says what it shows, with the numbers.

        A chart whose function is a ``charts.drawing`` is made once for all who come to the same results.
        """
        if isinstance(chart, partial) and not more:
            title = self.once(partial(_draw, chart, alt))
            self._drew(title, chart)
            return None
        make = partial(_made, chart, alt)
        made, called, spec = (
            made_once(make, running.version(self.name)) if isinstance(chart, partial) else make()
        )
        event = st.vega_lite_chart(spec=deepcopy(spec), width="stretch", alt=called, **more)
        self._drew(charts.title_of(made), lambda: made)
        return event

    def _drew(self, title: str, chart: Callable[[], Any]) -> None:
        self.drawn.append((title, chart))
        if len(self.drawn) == 1 and crowd.in_no_hurry():
            time.sleep(HEAD_START)

    def once(self, draw: partial[Any]) -> Any:
        """Draw, or repeat what the same function drew from the same arguments, for whomever."""
        return drawn_once(draw, running.version(self.name))

    def picture(
        self, paint: Callable[..., np.ndarray], numbers: np.ndarray, caption: str, width: Any = "stretch"
    ) -> None:
        """Draw what the function ``paint`` makes of an array: pixels from 0 to 1, grey or in colours."""
        self.once(partial(_paint, paint, numbers, caption, width))

    def side_by_side(
        self, *drawn: tuple[Any, str], widths: list[int] | None = None, main: int | None = None
    ) -> None:
        """Draw charts, each with what it shows in words, in columns; ``main`` tells which is the main one."""
        for place, (column, (chart, alt)) in enumerate(
            zip(st.columns(widths or len(drawn)), drawn, strict=True)
        ):
            with column:
                (self.main if place == main else self.chart)(chart, alt=alt)

    def view(self, field: str, text: str, options: list[Any], default: Any, **more: Any) -> Any:
        """Offer a choice of what to look at; it is in the link, and computes nothing anew."""
        return controls.view(self.name, field, text, options, default, **more)

    def close(self) -> None:
        """Add the claims, and keep what was drawn for the files."""
        claims.table(self.outcome.claims)
        st.session_state["_drawn"] = self.drawn


def _paint(paint: Callable[..., np.ndarray], numbers: np.ndarray, caption: str, width: Any) -> None:
    st.image(paint(numbers), caption, width=width, alt=caption)


def _draw(make: Callable[[], Any], alt: str) -> str:
    chart = make()
    st.altair_chart(chart, width="stretch", alt=charts.described(chart, alt))
    return charts.title_of(chart)


def _made(chart: Any, alt: str) -> tuple[Any, str, dict[str, Any]]:
    """A chart, what to call it, and what Streamlit would make of it at every run."""
    chart = chart() if isinstance(chart, partial) else chart
    called = charts.described(chart, alt)
    return chart, called, _convert_altair_to_vega_lite_spec(chart)


class NothingYet(Exception):
    """Raised where a page has no result to show: what stands around it is drawn all the same."""


def open_page(name: str) -> Page:
    """Compute or recall the result and note what is amiss; what is drawn next belongs to it."""
    boot.guard()
    settings, problems = controls.now(name)
    for note in controls.notes(name):
        st.warning(note, icon=":material/link_off:")
    shown = running.show(name, settings, problems)
    if shown.outcome is None:
        st.info("There is no result yet.", icon=":material/info:")
        raise NothingYet
    if shown.stale:
        _stale(shown.stale, shown.outcome.settings)
    return Page(name, shown.outcome)


def _stale(why: str, settings: Settings) -> None:
    shown = ", ".join(f"{k} = {v}" for k, v in share.changed(settings).items()) or "the defaults"
    st.warning(f"{why} Shown below: {shown}.", icon=":material/history:")
