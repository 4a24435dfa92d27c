"""Edge of stability: the page."""

from ui import charts
from ui.page import open_page

from math import isfinite, isnan, log10

import altair as alt
import pandas as pd
import streamlit as st

from lab.numbers import number

LOOK = "edge_of_stability_look"


@charts.drawing
def sharpness(
    walks: pd.DataFrame, main: pd.DataFrame, alpha: float, T: int, tolerance: float, title: str, more: str
) -> alt.Chart:
    edge = 2 / alpha
    x = alt.X("step:Q", title="step", scale=alt.Scale(domain=[0, T], nice=False))
    high = max(1.25 * edge, walks.sharpness.max()) if edge < 2 * walks.sharpness.max() else None
    y = alt.Y("sharpness:Q", title="sharpness S", axis=alt.Axis(tickCount=6)).scale(zero=False)
    others = walks[walks.rate < alpha]
    thin = alt.Chart(others).mark_line(strokeWidth=1.5, opacity=0.55).encode(x=x, y=y, detail="rate:N")
    edges = others[others.edge < (high or others.sharpness.max() * 1.2)].groupby("rate").tail(1)
    more_edges = charts.paint(alt.Chart(edges).mark_rule(strokeDash=[3, 4], opacity=0.6), "theory")
    ends = others.groupby("rate").tail(1).assign(text=lambda f: [f"α = {rate:g}" for rate in f.rate])
    names = alt.Chart(ends).mark_text(align="right", dx=-2, dy=-9).encode(x=x, y=y, text="text:N")
    chart = charts.paint(thin, "measured") + charts.paint(names, "measured")
    chart += more_edges.encode(y="edge:Q")
    if isfinite(tolerance):
        swing = {"from": [0.8 * T], "to": [T], "low": [edge * (1 - tolerance / 2)]}
        box = alt.Chart(pd.DataFrame({**swing, "high": [edge * (1 + tolerance / 2)]}))
        box = box.mark_rect(opacity=0.15).encode(x="from:Q", x2="to:Q", y="low:Q", y2="high:Q")
        chart += charts.paint(box, "theory")
    chart += charts.measured_line(main, x, y, point=len(main) < 5)
    if edge < 2 * walks.sharpness.max():
        chart += charts.horizontal(edge, f"2/α = {edge:.3g}")
    return charts.titled(chart, title, more, height=420)


def powers(values: pd.Series) -> alt.Axis:
    """Ticks at 1, 2 and 5 times the powers of ten; at the powers alone where there are many."""
    low, high = values[values > 0].min(), values.max()
    marks = (1, 2, 5) if high < 300 * low else (1,)
    every = 1 + int(log10(high / low) / 8)
    ticks = [m * 10.0**n for n in range(-30, 90, every) for m in marks]
    shown = [t for t in ticks if low / 2 <= t <= high * 2]
    return alt.Axis(values=shown, format="~g" if low > 1e-3 and high < 1e5 else "~e")


@charts.drawing
def losses(frame: pd.DataFrame, alpha: float, steps: int, title: str, more: str) -> alt.LayerChart:
    x = alt.X("step:Q", title="step", scale=alt.Scale(domain=[0, steps], nice=False))
    shown = frame[frame.loss < 20 * frame.loss.iloc[0]]
    y = alt.Y("loss:Q", title="loss (log)", axis=powers(shown.loss))
    y.scale = alt.Scale(type="log", nice=False)
    thin = alt.Chart(shown[shown.rate < alpha]).mark_line(strokeWidth=1.5, opacity=0.55)
    mine = shown[shown.rate == alpha]
    ups = alt.Chart(mine[mine.rose]).mark_point(filled=True, size=16, opacity=1).encode(x=x, y=y)
    ends = shown[shown.rate < alpha].groupby("rate").tail(1)
    ends = ends.assign(text=[f"α = {rate:g}" for rate in ends.rate])
    names = alt.Chart(ends).mark_text(align="right", dx=-2, dy=-8).encode(x=x, y=y, text="text:N")
    chart = charts.paint(thin.encode(x=x, y=y, detail="rate:N"), "measured") + charts.paint(names, "measured")
    chart += charts.measured_line(mine, x, y) + charts.paint(ups, "violation")
    return charts.titled(chart, title, more, height=420)


@charts.drawing
def valley(slices: pd.DataFrame, frames: pd.DataFrame, title: str, more: str) -> alt.LayerChart:
    at = charts.scrubber(LOOK, "look", int(frames.frame.max()), int(frames.frame.max()))
    now = f"datum.frame == {LOOK}"
    x = alt.X("place:Q", title="along u, from the bottom").scale(
        domain=[slices.place.min(), slices.place.max()], nice=False
    )
    high = slices.parabola.max()
    y = alt.Y("height:Q", title="loss above the bottom", axis=alt.Axis(tickCount=5))
    y.scale = alt.Scale(domain=[-high / 15, high], nice=False)
    base = alt.Chart(slices).transform_filter(now)
    wall = charts.paint(base.mark_line(strokeWidth=2.5, clip=True).encode(x=x, y=y), "measured")
    touch = base.mark_line(strokeDash=[6, 4], strokeWidth=2, clip=True).encode(x=x, y="parabola:Q")
    step = alt.Chart(frames).transform_filter(now)
    jump = step.mark_rule(strokeWidth=1.5, clip=True).encode(
        x="from:Q", x2="to:Q", y="from_height:Q", y2="to_height:Q"
    )
    here = step.mark_point(filled=True, size=130, opacity=1, clip=True).encode(x="from:Q", y="from_height:Q")
    there = step.mark_point(size=110, strokeWidth=2, opacity=1, clip=True).encode(x="to:Q", y="to_height:Q")
    words = step.transform_calculate(
        text="'step ' + datum.step + ': αS = ' + format(datum.rate_times_sharpness, '.2f')"
        f" + (max(abs(datum.from), abs(datum.to)) > {slices.place.max()} ? ', jump wider than this' : '')"
    )
    words = words.mark_text(align="left", fontSize=13).encode(text="text:N", x=alt.value(8), y=alt.value(10))
    chart = wall.add_params(at) + charts.paint(touch, "theory")
    for layer in (jump, here, there, words):
        chart += charts.paint(layer, "measured")
    return charts.titled(chart, title, more, height=390)


@charts.drawing
def rule(steps: pd.DataFrame, title: str, more: str) -> alt.LayerChart:
    named = steps.assign(kind=["violation" if up > 0 else "measured" for up in steps.change])
    x = alt.X("rate_times_curvature:Q", title="rate × curvature along the step, α·s̄")
    y = alt.Y("change:Q", title="change ÷ promised descent", axis=alt.Axis(tickCount=6))
    x.scale, y.scale = (alt.Scale(domain=alt.DomainUnionWith(unionWith=d)) for d in ([0, 2.2], [-1, 0.25]))
    dots = alt.Chart(named).mark_point(filled=True, size=70, opacity=0.9)
    dots = dots.encode(x=x, y=y, color=charts.kind(), tooltip=["step", "rate_times_curvature", "change"])
    law = charts.theory_line(steps.sort_values("rate_times_curvature"), x, "predicted:Q")
    return charts.titled(law + dots + charts.vertical(2, "2", align="right"), title, more, height=390)


@charts.drawing
def cycle(main: pd.DataFrame, title: str, more: str) -> alt.LayerChart:
    seen = main[main.step >= main.step.max() * 0.2]
    x = alt.X("rate_times_sharpness:Q", title="α·S", scale=alt.Scale(zero=False))
    y = alt.Y("zigzag:Q", title="size of the zigzag (log)", axis=powers(seen.zigzag))
    y.scale = alt.Scale(type="log")
    base = alt.Chart(seen).encode(x=x, y=y, tooltip=["step", "rate_times_sharpness", "zigzag"])
    path = base.mark_line(strokeWidth=1, opacity=0.7).encode(order="step:Q")
    dots = base.mark_point(filled=True, size=45).encode(opacity=alt.Opacity("step:Q", legend=None))
    chart = charts.paint(path, "measured") + charts.paint(dots, "measured")
    return charts.titled(chart + charts.vertical(2, "2"), title, more, height=390)


@charts.drawing
def frozen(frame: pd.DataFrame, title: str, more: str) -> alt.LayerChart:
    x = alt.X("step:Q", title="step", scale=alt.Scale(nice=False, zero=False))
    seen = frame[(frame.network > 0) & (frame.predicted > 1e-9 * frame.predicted.iloc[0])]
    y = alt.Y("network:Q", title="slope along u, |uᵀg| (log)", axis=powers(seen.quadratic))
    y.scale = alt.Scale(type="log", zero=False)
    off = alt.Chart(seen).mark_line(strokeWidth=2.5).encode(x=x, y="quadratic:Q")
    chart = charts.measured_line(seen, x, y) + charts.paint(off, "violation")
    return charts.titled(chart + charts.theory_line(seen, x, "predicted:Q"), title, more, height=380)


page = open_page("edge_of_stability")
tables, summary, chosen = page.tables, page.summary, page.settings
edge, lost = summary["edge"], summary["lost_at_step"]
hover, *_ = page.outcome.claims
alive, ups = isnan(lost), int(summary["rises"])

late, peak = number(float(f"{summary['sharpness_late']:.3g}")), summary["rate_times_sharpness_peak"]
title = f"The sharpness settles at {late}; theory: 2/α = {edge:.3g}"
if not alive:
    title = f"At α = {chosen.alpha:g} the network is lost at step {lost:.0f}"
elif peak < 2:
    title = f"The sharpness climbs to {summary['sharpness_end']:.3g} and has not reached 2/α = {edge:.3g}"
left, right = st.columns([3, 2])
with left:
    more = "Dashed: 2/α. Shaded: how far self-stabilisation lets it stray"
    page.main(
        sharpness(
            tables["walks"], tables["main"], chosen.alpha, chosen.steps,
            hover.tolerance if not hover.unmet else float("nan"),
            title, more if not hover.unmet else "Dashed: 2/α of each rate",
        ),
        alt=f"Sharpness against the step at rates {', '.join(f'{r:g}' for r in page.result.rates)}. {title}.",
    )  # fmt: skip
with right:
    title = f"{ups} of {chosen.steps} steps go up, and the loss falls from "
    title += f"{summary['loss_start']:.2g} to {summary['loss_end']:.2g}"
    title = title if ups else "Not one step goes up"
    title = title if alive else f"Within {lost:.0f} steps the loss is out of sight"
    more = f"Last fifth: {summary['kept_late']:.1%} of the promised descent is kept, "
    more += f"{summary['kept_late_careful']:.0%} at α = {page.result.rates[0]:g}"
    more = more.replace("-", "−")
    page.chart(
        losses(tables["loss"], chosen.alpha, chosen.steps, title, more if alive else ""),
        alt=f"Loss against the step. {title}.",
    )
if not alive:
    st.info(
        f"This rate is beyond what the network can answer: the loss grew past 10,000 times its start at step "
        f"{lost:.0f}. The walks at half and a quarter of the rate are shown beside it.",
        icon=":material/trending_up:",
    )

st.header("One step, seen from the side")
left, right = st.columns(2)
with left:
    title = "Each step jumps across the valley and lands as high as it began"
    title = title if peak > 2 else "Each step lands lower than it began"
    title = title if alive else "Each step lands beyond the bottom, and higher"
    more = "Drag the slider. Filled: the weights; ring: where the step along u ends; dashed: the parabola"
    page.chart(valley(tables["slices"], tables["frames"], title, more), alt=f"Loss along u. {title}.")
with right:
    tested = tables["steps"]
    rose = int((tested.change > 0).sum())
    title = f"{rose} of {len(tested)} steps tried go up: those with α·s̄ beyond 2"
    title = title if chosen.activation == "tanh" else f"{title}, or nearly: ReLU has kinks"
    title = title if rose else "No step tried goes up: α·s̄ stays below 2"
    more = "Dashed: α·s̄/2 − 1, exactly. −1 is all the descent that the gradient promises"
    page.chart(rule(tested, title, more), alt=f"Change of loss against α·s̄. {title}.")

if alive:
    st.header("What holds it there")
    left, right = st.columns(2)
    with left:
        title = "Right of 2 the zigzag grows, left of 2 it fades"
        title = title if peak > 2 else "Left of 2 no zigzag can grow"
        more = "The walk after its first fifth; later is stronger"
        page.chart(cycle(tables["main"], title, more), alt=f"Size of the zigzag against αS. {title}.")
    with right:
        last, factor = tables["frozen"].iloc[-1], page.outcome.claims[-1].predicted
        title = f"Freeze the curvature, and the zigzag grows {factor:.3g}-fold a step"
        if abs(factor) <= 1:
            title = "Here the curvature is below the edge: frozen, it lets the zigzag fade"
        more = "Blue: the network. Red: the quadratic that touches it where the last fifth begins"
        page.chart(
            frozen(tables["frozen"], title, more),
            alt=f"{title}: after {chosen.steps // 5} steps the slope along u is {number(last.quadratic)}, "
            f"predicted {number(last.predicted)}, and {number(last.network)} in the network.",
        )

page.close()
