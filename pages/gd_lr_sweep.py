"""The learning-rate sweep: the page."""

from ui import charts
from ui.page import open_page

from math import isnan
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from lab.numbers import number

STEP = alt.X("step:Q", title="step", scale=alt.Scale(nice=False))
EARLY = alt.X(
    "step:Q", title="step (log)", scale=alt.Scale(type="symlog", nice=False),
    axis=alt.Axis(values=[0, 1, 3, 10, 30, 100, 300, 1000]),
)  # fmt: skip


def log_y(field: str, title: str, **axis: Any) -> alt.Y:
    axis = axis or {"format": ".0e", "tickCount": 6}
    return alt.Y(f"{field}:Q", title=f"{title} (log)", scale=alt.Scale(type="log"), axis=alt.Axis(**axis))


@charts.drawing
def sweep(main: pd.DataFrame, mine: float, wall: float, title: str, subtitle: str) -> alt.LayerChart:
    far = bool(main.multiple.max() > 2.5)
    scale = alt.Scale(type="log" if far else "linear", domain=[0.05, 200] if far else [0, 2.5], nice=False)
    x = alt.X("multiple:Q", title="rate × curvature α·λ_max" + " of the start (log)" * far, scale=scale)
    powers = alt.Axis(labelExpr="'1e' + datum.label", tickMinStep=1, format="d")
    y = alt.Y("log10_excess_loss:Q", title="final loss above the lowest (log)", axis=powers)
    y = y.scale(zero=False, domainMax=main.log10_excess_loss.max() + 0.7)  # room for the words
    chart = charts.measured_line(main, x, y, point=True)
    if main.log10_predicted.notna().any():
        chart += charts.theory_line(main, x, "log10_predicted:Q")
    if not isnan(wall):
        chart += charts.vertical(wall, f"wall {wall:.3g}")
    words = "" if mine >= wall else f"yours {mine:g}"
    chart += charts.vertical(mine, words, "measured", "left" if mine < 0.4 else "right")
    return charts.titled(chart, title, subtitle, height=340)


@charts.drawing
def directions(frame: pd.DataFrame, what: str, title: str, subtitle: str) -> alt.LayerChart:
    y = log_y("measured", f"share of the first {what}")
    seen = frame[frame.measured.between(1e-12, 1e12)]
    law = frame[frame.predicted.between(seen.measured.min() / 2, 2 * seen.measured.max())]
    shade = alt.Opacity("eigenvalue:Q", scale=alt.Scale(type="log", range=[0.35, 1]), legend=None)
    columns = ["direction", "eigenvalue", "step", "measured", "predicted"]
    lines = alt.Chart(seen).mark_line(strokeWidth=2)
    lines = lines.encode(x=STEP, y=y, detail="direction:N", opacity=shade, tooltip=columns)
    ends = seen.groupby("direction").tail(1).sort_values("direction").iloc[[0, -1]]
    names = alt.Chart(ends.assign(text=["steepest", "flattest"])[(ends.step > 1).to_numpy()])
    names = names.mark_text(align="right", dy=-9, dx=-4).encode(x=STEP, y=y, text="text:N")
    theory = charts.theory_line(law, STEP, "predicted:Q").encode(detail="direction:N")
    chart = charts.paint(lines, "measured") + theory + charts.paint(names, "measured")
    return charts.titled(chart, title, subtitle, height=340)


@charts.drawing
def by_rate(frame: pd.DataFrame, rates: list[float], x: alt.X, y: alt.Y, title: str, subtitle: str) -> Any:
    named = frame.assign(rate=[f"{m:g}" for m in frame.multiple])
    colour = charts.classes("rate:N", [f"{m:g}" for m in sorted(set(rates))], "α·λ_max")
    lines = alt.Chart(named).mark_line(strokeWidth=2, clip=True)
    lines = lines.encode(x=x, y=y, color=colour, tooltip=list(named))
    if "quantity" in frame:  # the rate times the curvature has a wall
        lines = (lines + charts.horizontal(2, "the wall: 2")).resolve_scale(color="independent")
    return charts.titled(lines, title, subtitle, height=380)


@charts.drawing
def path(walk: pd.DataFrame, plane: pd.DataFrame, goal: Any, axes: tuple[int, int], title: str) -> Any:
    def along(which: int, low: str, high: str) -> dict[str, Any]:
        domain = alt.Scale(domain=[plane[low].min(), plane[high].max()], nice=False)
        return {"shorthand": f"{low}:Q", "title": f"along eigen-direction {axes[which] + 1}", "scale": domain}

    x, y = alt.X(**along(0, "x", "x_end")), alt.Y(**along(1, "y", "y_end"))
    low, high = plane.band.min(), plane.band.max()  # the lighter half of the theme's colours
    height = alt.Color("band:Q", scale=alt.Scale(domain=[low, 2 * high - low + 1]), legend=None)
    ground = alt.Chart(plane).mark_rect(strokeWidth=0)
    ground = ground.encode(x=x, x2="x_end:Q", y=y, y2="y_end:Q", color=height)
    last = int(walk.frame.max())
    k = charts.scrubber("gd_lr_sweep_frame", "frame", last, last)
    base = alt.Chart(walk).transform_calculate(walk="'walk'")
    colour = charts.classes("walk:N", ["walk"], legend="")
    base = base.encode(x=x, y=y, tooltip=["step", "loss"], color=colour)
    trail = base.mark_line(strokeWidth=0.8, clip=True, point={"size": 12})
    trail = trail.transform_filter(alt.datum.frame <= k)
    here = base.mark_point(filled=True, size=150, clip=True, opacity=1).add_params(k)
    here = here.transform_filter(alt.datum.frame == k)
    cross = alt.Chart(pd.DataFrame({"x": goal[:1], "y": goal[1:]}).dropna())
    cross = cross.mark_point(shape="cross", angle=45, size=140, filled=True, opacity=1).encode(x=x, y=y)
    chart = ground + charts.paint(cross, "theory") + trail.encode(order="step:Q") + here
    subtitle = "Drag the slider to walk. Stronger colour is higher; the cross is the minimum"
    return charts.titled(chart.resolve_scale(color="independent"), title, subtitle, height=380)


@charts.drawing
def law(frame: pd.DataFrame, y: alt.Y, title: str, subtitle: str, full: bool = False) -> alt.LayerChart:
    """Measured and predicted lines, a pair for each ``method``, named where the lines are apart."""
    names = alt.Chart(frame[frame.step == 120]).mark_text(align="left", dx=8, dy=-8)
    chart = charts.measured_line(frame, STEP, y).encode(detail="method:N")
    chart += charts.theory_line(frame, STEP, "predicted:Q").encode(detail="method:N")
    chart += charts.paint(names.encode(x=STEP, y=y, text="name:N"), "measured")
    if full:
        chart += charts.horizontal(38.53, "largest float32, 3.4e38", "violation")
    return charts.titled(chart, title, subtitle, height=380)


page = open_page("gd_lr_sweep")
result, tables, summary, chosen = page.result, page.tables, page.summary, page.settings
squared, wall, T = chosen.loss == "squared", summary["wall_measured"], chosen.steps
start, predicted = summary["lambda_max"], summary["wall_predicted"]
seen, race, curves = tables["directions"], tables["race"], tables["curves"]

finding = f"The wall stands at α = {number(wall)}, as 2/λ_max says"
more = f"Best rate {number(summary['best_rate'])}, factor {summary['best_factor_per_step']:.5f} a step"
if not squared:
    finding = f"The logistic loss settles up to {wall * start:.3g}/λ_max, not 2"
    more = f"Of the start, in 200 steps. By the curvature at the lowest point: {predicted * start:.3g}"
    more = "Of the start, in 200 steps. Separable data have no lowest point" if isnan(predicted) else more
left, right = st.columns([3, 2])
with left:
    page.main(
        sweep(tables["main"], chosen.multiple, predicted * start, finding, more),
        alt=f"Loss after {T} steps by rate. Wall at α = {number(wall)}, predicted {number(predicted)}. "
        f"Yours ends at {number(summary['final_loss'])}.",
    )
with right:
    ends = seen[seen.step == seen.step.max()]
    growing, expected = (int((ends[column] > 1.001).sum()) for column in ("measured", "predicted"))
    what = "error" if squared else "slope"
    title = f"After {T} steps {ends.measured.iloc[-1]:.2g} of the flattest {what} is left"
    if growing:
        title = f"{growing} of {len(ends)} directions grow{'s' * (growing == 1)}"
    if squared and growing > expected > 0:
        title = f"Theory: {expected} grows. Its rounding errors carry {growing - expected} more"
    words = "Dashed: |1 − αλ|ᵗ for each direction" + ", had the curvature stayed" * (not squared)
    page.chart(directions(seen, what, title, words), alt=f"{title}, against the step. {words}.")
if not isnan(result.overflow_theory):
    met = "That is beyond the steps you allow."
    if not isnan(result.overflow):
        met = f"It did at {number(result.overflow)}; the curves end there."
    kind = "float32" if chosen.float32 else "float64"
    said = f"Theory: the loss overflows {kind} at step {number(result.overflow_theory)}."
    st.info(f"This rate is past the wall. {said} {met}", icon=":material/trending_up:")

st.header("Three regimes, one knob")
left, right = st.columns(2)
rates = list(curves.multiple)
with left:
    title, words = "Large rates overshoot first", "Rates in units of 1/λ_max of the start"
    if squared:
        title = "Below the wall the loss falls, above it climbs"
        words = "Below 1 monotone, 1 to 2 oscillating, above 2 divergent"
    shown = curves[curves.excess_loss < 1e4 * curves.excess_loss[0]]
    chart = by_rate(shown, rates, EARLY, log_y("excess_loss", "loss above the lowest"), title, words)
    final = [f"{m:g}/λ_max: {number(float(c.loss.iloc[-1]))}" for m, c in curves.groupby("multiple")]
    page.chart(chart, alt=f"Loss by rate; at the end {'; '.join(final)}.")
with right:
    y = alt.Y("steepest_error:Q", title=f"steepest {what}", scale=alt.Scale(domain=[-2, 2]))
    title = "Past 1/λ_max the steepest error changes sides" if squared else "The slope along the steepest"
    words = "From −1 to the minimum at 0" if squared else "Slope over the curvature of the start"
    some = curves[(curves.step <= 24) & (curves.chosen | ~curves.multiple.isin([1.99, 2.01]))]
    chart = by_rate(some, rates, STEP, y, title, words)
    page.chart(chart, alt=f"{title}: signed, in the first 24 steps, one curve for each rate.")

st.header("The valley, and what momentum buys")
left, right = st.columns(2)
with left:
    title = f"The walk at {chosen.multiple:g}/λ_max, {T} steps"
    chart = path(tables["path"], tables["landscape"], result.minimum, result.axes, title)
    page.chart(chart, alt=f"{title}, on eigen-directions {[axis + 1 for axis in result.axes]}.")
with right:
    plain, ball = race.groupby("method").measured.last()
    race = race.assign(name=race.method if ball < 0.9 else "")
    title = f"Heavy ball leaves {ball:.2g} where gradient descent leaves {plain:.2g}"
    title = title if ball < 0.9 else "The floor is so flat that 200 steps move neither"
    words = "Squared loss, best constants. Dashed: theory"
    chart = law(race, log_y("measured", "share of the flattest error"), title, words)
    page.chart(chart, alt=f"{title}, in 200 steps.")

st.header("Past the wall")
left, right = st.columns(2)
with left:
    y = alt.Y("log10_sum_of_squares:Q", title="sum of squares, power of 10")
    title = f"At 2.1/λ_max float32 is full at step {summary['float32_overflow_step']:.0f}"
    words = "Squared loss. Dashed: the steepest direction alone"
    chart = law(tables["overflow"].assign(method="", name=""), y, title, words, full=True)
    page.chart(chart, alt=f"{title}, as predicted.")
with right:
    y = log_y("value", "α·λ_max where the weights are", values=[0.1, 1, 10, 100])
    sharp = tables["logistic"].query("quantity == 'rate x curvature'")
    title = "Logistic loss: the curvature gives way at 2, 20 and 50/λ_max"
    words = "breast_cancer. Rates in units of 1/λ_max of the start"
    chart = by_rate(sharp, list(sharp.multiple), EARLY, y, title, words)
    later = sharp.value[sharp.step > 0].max()
    page.chart(chart, alt=f"{title}: after one step α·λ_max is at most {later:.2f}.")

st.header("The usual advice, 0.001 to 0.01, meets four walls")
names = {"lambda_max": "λ_max", "condition_number": "κ = λ_max/λ_min", "wall": "wall 2/λ_max"}
st.table(tables["walls"].rename(columns=names).set_index("data").map(number))
page.close()
