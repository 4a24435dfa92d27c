"""Eigenvectors: the page."""

from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

import ui
from lab.numbers import number
from ui import charts

FRAME, STEP, STAGE = "eigen_explorer_frame", "eigen_explorer_step", "eigen_explorer_stage"
KINDS = ["eigenvector", "singular vector"]
ANGLE = alt.Axis(values=[0, 30, 60, 90, 120, 150, 180], labelExpr="datum.label + '°'")


def plane(x: str, y: str, reach: float, title: tuple[str, str] = ("", "")) -> tuple[alt.X, alt.Y]:
    """Axes on which a circle is round, however wide the chart is."""
    wide, high = (f"{reach} * max(1, {ratio})" for ratio in ("width / height", "height / width"))
    scales = [
        alt.Scale(domain=[alt.ExprRef(f"-{half}"), alt.ExprRef(half)], nice=False) for half in (wide, high)
    ]
    few = alt.Axis(tickCount=5, grid=False)
    return alt.X(f"{x}:Q", title=title[0] or None, scale=scales[0], axis=few), alt.Y(
        f"{y}:Q", title=title[1] or None, scale=scales[1], axis=few
    )


def ellipse(circle: pd.DataFrame, lines: pd.DataFrame, title: str, reach: float) -> alt.LayerChart:
    x, y = plane("x", "y", reach)
    image = {"x": alt.X("image_x:Q", scale=x.scale), "y": alt.Y("image_y:Q", scale=y.scale)}
    round_ = alt.Chart(circle).encode(order="frame:Q")
    chart = round_.mark_line(strokeWidth=1.5, color=charts.GREY).encode(x=x, y=y)
    chart += charts.paint(round_.mark_line(strokeWidth=2.5).encode(**image), "measured")
    both = pd.concat([lines, lines.assign(**{c: -lines[c] for c in ("x", "y", "image_x", "image_y")})])
    rays = alt.Chart(both.assign(zero=0)).encode(color=charts.classes("kind:N", KINDS))
    rays = rays.encode(x=image["x"], y=image["y"])
    chart += rays.mark_rule(strokeWidth=2).encode(x2="zero:Q", y2="zero:Q")
    ends = rays.transform_filter("datum.image_y > 0 || (datum.image_y == 0 && datum.image_x > 0)")
    chart += rays.mark_point(filled=True, size=40, opacity=1)
    chart += ends.mark_text(dx=6, dy=-9, align="left").encode(text="name:N")
    k = charts.scrubber(FRAME, "turn v", len(circle) - 1, 10)
    now = alt.Chart(circle.assign(zero=0)).transform_filter(alt.datum.frame == k)
    v = now.mark_rule(strokeWidth=4, color=charts.GREY).encode(x=x, y=y, x2="zero:Q", y2="zero:Q")
    w = now.mark_rule(strokeWidth=4).encode(x2="zero:Q", y2="zero:Q", **image)
    says = "'v at ' + datum.direction + '°: Av is ' + format(datum.stretch, '.3~g') + ' times as long'"
    says += " + (isValid(datum.turn) ? ', turned by ' + format(datum.turn, '.0f') + '°' : '')"
    words = now.transform_calculate(text=says).mark_text(align="left", baseline="top", fontSize=13)
    chart += v + charts.paint(w, "measured")
    chart += charts.paint(words.encode(x=alt.value(4), y=alt.value(4), text="text:N"), "measured")
    chart = chart.add_params(k).resolve_scale(color="independent")
    return charts.titled(chart, title, "Grey: a circle. Blue: where it goes", height=440)


def turns(main: pd.DataFrame, kept: pd.DataFrame, title: str, says: str) -> alt.LayerChart:
    x = alt.X("direction:Q", title="direction of v", axis=ANGLE, scale=alt.Scale(nice=False))
    axis = alt.Axis(values=list(range(-540, 541, 90)), labelExpr="datum.label + '°'")
    y = alt.Y("turn:Q", title="turn from v to Av", axis=axis)
    chart = charts.measured_line(main, x, y)
    low, high = min(main.turn.min(), -180), max(main.turn.max(), 180)
    levels = [level for level in range(-540, 541, 180) if low - 1 <= level <= high + 1]
    for level in levels:
        chart += charts.horizontal(level, "flipped: λ < 0" if level % 360 else "same way: λ > 0")
    at = alt.Chart(kept).encode(x=x, y=y)
    chart += charts.paint(at.mark_point(filled=True, size=110, opacity=1), "measured")
    for row in kept.itertuples():
        chart += charts.vertical(row.direction, row.name, align="left" if row.direction < 110 else "right")
    return charts.titled(chart, title, says, height=440)


def walk(iterates: pd.DataFrame, lines: pd.DataFrame, title: str) -> alt.LayerChart:
    x, y = plane("x", "y", 1.15)
    last = int(iterates.step.max())
    k = charts.scrubber(STEP, "step", last, min(last, 3))
    chart = alt.Chart(lines[lines.kind == KINDS[0]]).transform_calculate(x2="-datum.x", y2="-datum.y")
    chart = chart.mark_rule(strokeWidth=2).encode(x=x, y=y, x2="x2:Q", y2="y2:Q")
    chart = chart.encode(color=charts.classes("kind:N", KINDS[:1]))
    names = alt.Chart(lines[lines.kind == KINDS[0]]).mark_text(align="left", dx=5, dy=-7)
    chart += charts.paint(names.encode(x=x, y=y, text="name:N"), "theory")
    base = alt.Chart(iterates.assign(zero=0)).transform_calculate(text="'x' + datum.step")
    before = base.transform_filter(alt.datum.step < k).mark_point(filled=True, size=40, opacity=0.6)
    now = base.transform_filter(alt.datum.step == k)
    arrow = now.mark_rule(strokeWidth=4).encode(x=x, y=y, x2="zero:Q", y2="zero:Q")
    label = now.mark_text(fontSize=14, fontWeight=600, dy=-12).encode(x=x, y=y, text="text:N")
    for marks in (before.encode(x=x, y=y), arrow, label):
        chart += charts.paint(marks, "measured")
    return charts.titled(chart.add_params(k).resolve_scale(color="independent"), title, height=400)


def club(members: pd.DataFrame, links: pd.DataFrame, title: str) -> alt.LayerChart:
    x, y = (alt.X("x:Q", axis=None), alt.Y("y:Q", axis=None))
    last = int(members.step.max())
    k = charts.scrubber(STEP, "step", last, min(last, 3))
    chart = alt.Chart(links).mark_rule(color=charts.GREY, opacity=0.4).encode(x=x, y=y, x2="x2:Q", y2="y2:Q")
    area = alt.Size("weight:Q", scale=alt.Scale(domain=[0, 0.5], range=[8, 1100], clamp=True), legend=None)
    base = alt.Chart(members).transform_filter(alt.datum.step == k).encode(x=x, y=y)
    tips = ["member", "links", alt.Tooltip("weight:Q", format=".3f")]
    discs = base.mark_point(filled=True, opacity=0.85).encode(size=area, tooltip=tips)
    chart += charts.paint(discs.add_params(k), "measured")
    strong = base.transform_filter("datum.weight > 0.2").mark_text(fontSize=12, dy=-1)
    return charts.titled(chart + strong.encode(text="member:N", color=alt.value("#fff")), title, height=400)


def error(power: pd.DataFrame, title: str, says: str) -> alt.LayerChart:
    x = alt.X("step:Q", title="step k", axis=alt.Axis(format="d", tickMinStep=1))
    powers = alt.Axis(labelExpr="'1e' + datum.label", tickMinStep=1, format="d")
    y = alt.Y("log10_error:Q", title="error tan∠(xₖ, v₁) (log)", axis=powers)
    chart = charts.measured_line(power, x, y, point=True)
    return charts.titled(chart + charts.theory_line(power, x, "log10_predicted:Q"), title, says, height=400)


def stages(frame: pd.DataFrame, title: str, reach: float) -> alt.LayerChart:
    x, y = plane("x", "y", reach)
    k = charts.scrubber(STAGE, "turn ▸ stretch ▸ turn", 24, 24)
    base = alt.Chart(frame).transform_filter(alt.datum.frame == k).encode(x=x, y=y, order="point:Q")
    ring = base.transform_filter("datum.shape == 'circle'").mark_line(strokeWidth=2.5)
    letter = base.transform_filter("datum.shape == 'letter'").mark_line(filled=True, opacity=0.85)
    letter = letter.transform_calculate(what="'letter'")
    letter = letter.encode(color=charts.classes("what:N", ["letter"], legend=""))
    chart = (charts.paint(ring, "measured") + letter).add_params(k).resolve_scale(color="independent")
    return charts.titled(chart, title, height=400)


def spectrum(frame: pd.DataFrame, title: str, reach: float) -> alt.LayerChart:
    x, y = plane("real", "imaginary", reach, ("real part", "imaginary part"))
    rings = []
    for name, sizes in (("theory", frame["size"]), ("measured", frame.sigma)):
        for size in sizes:
            angle = pd.Series(range(0, 361, 4)) * 3.141592653589793 / 180
            at = {"real": size * angle.map(cos), "imaginary": size * angle.map(sin)}
            rings.append(pd.DataFrame({**at, "kind": name, "ring": f"{name}{size}", "at": angle}))
    lines = alt.Chart(pd.concat(rings)).mark_line(strokeWidth=1.8).encode(
        x=x, y=y, order="at:Q", detail="ring:N", color=charts.kind(), strokeDash=charts.dash()
    )  # fmt: skip
    return lines


page = ui.open_page("eigen_explorer")
page.close()
