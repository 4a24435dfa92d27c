"""SGD noise: the page."""

from ui import charts
from ui.page import open_page

from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from lab.numbers import number

AXES = {"epochs": "epoch", "updates": "update", "gradient evaluations": "gradient_evaluations"}
SEEN = 1e6  # a loss beyond this is off the chart


def across(axis: str, frame: pd.DataFrame) -> alt.X:
    """The horizontal axis all batch sizes share; their updates differ 442-fold, so those are in logs."""
    logs, last = axis == "updates", float(frame[AXES[axis]].max())
    scale = alt.Scale(type="symlog" if logs else "linear", domain=[0, last], nice=False)
    ticks = alt.Axis(values=[0, 1, 10, 100, 1e3, 1e4], format=",d") if logs else alt.Axis(tickCount=4)
    return alt.X(f"{AXES[axis]}:Q", title=axis + " (log)" * logs, scale=scale, axis=ticks)


def up(column: str, title: str, *values: pd.Series, every: int = 1) -> alt.Y:
    """A logarithmic vertical axis around these values, with a line for every power of ten."""
    shown = pd.concat([v[v > 0] for v in values])
    low, high = shown.min() / 1.4, shown.max() * 1.4
    ticks = [m * 10.0**n for n in range(-17, 7, every) for m in ((1, 2, 5) if high < 30 * low else (1,))]
    axis = alt.Axis(values=[t for t in ticks if low <= t <= high], format="~e" if every > 1 else "~g")
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    return alt.Y(f"{column}:Q", title=title, scale=scale, axis=axis)


@charts.drawing
def own_run(main: pd.DataFrame, axis: str, floor: float, exploded: float, title: str) -> alt.LayerChart:
    shown = main[(main.highest < SEEN) | (main.index == 0)]
    x, height = across(axis, shown), [shown.lowest, shown.highest, pd.Series(floor)]
    band = alt.Chart(shown).mark_area(opacity=0.18).encode(x=x, y="lowest:Q", y2="highest:Q")
    both = charts.long(shown, AXES[axis], "excess_loss", "expected").query(f"value < {SEEN}")
    y = up("value", "loss above the minimum (log)", *height)
    chart = alt.Chart(both).mark_line(strokeWidth=2.5)
    chart = chart.encode(x=x, y=y, color=charts.kind(legend="top"), strokeDash=charts.dash())
    chart = chart + charts.paint(band, "measured")
    if floor > 0:
        chart = chart + charts.horizontal(floor, f"predicted floor ½tr(HS) = {floor:.3g}")
    if exploded in shown["update"].to_numpy():
        where = float(shown.set_index("update").loc[exploded, AXES[axis]])
        chart = chart + charts.vertical(where, "a thousandfold", "violation", align="right")
    return charts.titled(chart, title, height=340)


@charts.drawing
def floors(frame: pd.DataFrame, title: str) -> alt.LayerChart:
    x = alt.X(
        "alpha_over_batch:Q", title="α/B (log)", scale=alt.Scale(type="log"), axis=alt.Axis(tickCount=4)
    )
    y = up("measured", "settled excess loss (log)", frame.measured, frame.small_alpha)
    tips = [
        "alpha:Q",
        "batch:Q",
        alt.Tooltip("measured:Q", format=".4g"),
        alt.Tooltip("predicted:Q", format=".4g"),
    ]
    base, ends = alt.Chart(frame), frame.sort_values("alpha_over_batch").iloc[[0, -1]]
    dots = base.mark_point(filled=True, size=70).encode(x=x, y=y, tooltip=tips)
    exact = base.mark_point(shape="stroke", size=260, strokeWidth=2).encode(x=x, y="predicted:Q")
    words = alt.Chart(ends.head(1)).mark_text(align="left", dy=6, dx=16, text="α tr(C)/4B")
    words = charts.paint(words.encode(x=x, y="small_alpha:Q"), "theory")
    line = charts.theory_line(ends, x, "small_alpha:Q")
    return charts.titled(
        charts.paint(dots, "measured") + line + words + charts.paint(exact, "theory"), title, height=340
    )


@charts.drawing
def multiple(mine: pd.DataFrame, runs: pd.DataFrame, axis: str, title: str) -> alt.LayerChart:
    shown, x = runs[runs.one_run < SEEN], across(axis, runs)
    y = up("one_run", "above minimum (log)", shown.one_run)
    measured = alt.Chart(mine[mine.one_run < SEEN]).mark_line(strokeWidth=2).encode(x=x, y=y)
    theory = charts.theory_line(mine[mine.expected < SEEN], x, "expected:Q")
    return charts.titled(charts.paint(measured, "measured") + theory, title, height=250)


@charts.drawing
def walk(mine: pd.DataFrame, contours: pd.DataFrame) -> alt.LayerChart:
    axis = alt.Axis(tickCount=3, grid=False)
    x = alt.X("steep:Q", title="steep direction", scale=alt.Scale(domain=[-0.3, 0.4]), axis=axis)
    y = alt.Y("gentle:Q", title="gentle direction", scale=alt.Scale(domain=[-0.5, 0.4]), axis=axis)
    rings = alt.Chart(contours).mark_line(opacity=0.35, strokeWidth=1, clip=True)
    rings = rings.encode(x=x, y=y, detail="excess_loss:Q", order="point:Q")
    path = alt.Chart(mine).mark_line(strokeWidth=1.5, clip=True).encode(x=x, y=y, order="update:Q")
    start = alt.Chart(mine.iloc[[0]]).mark_point(filled=True, size=60, clip=True).encode(x=x, y=y)
    chart = charts.paint(rings, "theory") + charts.paint(path, "measured") + charts.paint(start, "measured")
    return chart.properties(height=250)


@charts.drawing
def lines(frame: pd.DataFrame, x: alt.X, y: alt.Y, field: str, title: str, **more: Any) -> alt.Chart:
    colour = charts.classes(f"{field}:N", list(dict.fromkeys(frame[field])))
    return charts.titled(
        alt.Chart(frame).mark_line(strokeWidth=2, **more).encode(x=x, y=y, color=colour), title, height=340
    )


@charts.drawing
def saddle(frame: pd.DataFrame) -> alt.LayerChart:
    step, names = (
        charts.scrubber("sgd_noise_step", "Step", 120, 50),
        ["exact", "noise", "noise, momentum 0.9"],
    )
    base = alt.Chart(frame[frame.kind.isin(names) & (frame.step <= 120)]).encode(
        x=alt.X("y:Q", title="y: saddle at 0, minima at ±0.71", scale=alt.Scale(domain=[-1, 1])),
        y=alt.Y("x:Q", title="x", scale=alt.Scale(domain=[-0.8, 1.1])),
        color=charts.classes("kind:N", names),
    )
    trail = base.mark_line(opacity=0.4, clip=True).encode(detail="run:N", order="step:Q")
    dots = base.mark_point(filled=True, size=80, clip=True).transform_filter(alt.datum.step == step)
    chart = trail.transform_filter(alt.datum.step <= step).add_params(step) + dots
    return charts.titled(chart, "Exact descent walks to the saddle and stays", height=340)


@charts.drawing
def escape(share: pd.DataFrame) -> alt.LayerChart:
    tidy = share[share.step <= 120].melt(["momentum", "step"], ["measured", "predicted"], "kind")
    x = alt.X("step:Q", title="step", scale=alt.Scale(domain=[0, 120], nice=False))
    y = alt.Y("value:Q", title="runs with |y| beyond ½", axis=alt.Axis(format="%"))
    curves = (
        alt.Chart(tidy.replace("predicted", "theory"))
        .mark_line(strokeWidth=2.5)
        .encode(x=x, y=y, color=charts.kind(legend="top"), strokeDash=charts.dash(), detail="momentum:N")
    )
    half = share[share.predicted >= 0.5].groupby("momentum", as_index=False).first()
    half["text"] = [f"β = {beta:g}" for beta in half.momentum]
    words = (
        alt.Chart(half)
        .mark_text(align="left", dx=12, dy=14)
        .encode(x="step:Q", y="predicted:Q", text="text:N")
    )
    title = "Noise leaves the saddle, sooner with momentum"
    return charts.titled(curves + charts.paint(words, "theory"), title, height=340)


@charts.drawing
def strip(frame: pd.DataFrame, column: str, title: str, words: str) -> alt.LayerChart:
    two_lines = alt.Axis(labelAngle=0, labelExpr="split(datum.label, ', ')")
    base = alt.Chart(frame).encode(x=alt.X("shown_as:N", title=None, sort=None, axis=two_lines))
    y = alt.Y(f"{column}:Q", title=words, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5))
    dots, means = base.mark_point(size=50, opacity=0.6).encode(y=y), base.mark_tick(thickness=3, size=44)
    means = means.encode(y=f"mean({column}):Q")
    return charts.titled(charts.paint(dots, "measured") + charts.paint(means, "measured"), title, height=300)


page = open_page("sgd_noise")
summary, tables, chosen = page.summary, page.tables, page.settings
runs, batches, settled = tables["runs"], tables["batches"], tables["floors"]
size, limit, floor = batches.batch.iloc[-1], summary["stability_limit"], summary["floor"]
end, expected = summary["excess_loss_at_the_end"], summary["expected_excess_loss_at_the_end"]
axis = page.view("axis", "Horizontal axis", list(AXES), "epochs")

exploded, by = batches.exploded_at.iloc[-1], batches.expected_to_explode_at.iloc[-1]

if batches.predicted_to_explode.iloc[-1]:
    st.warning(
        f"α = {chosen.alpha:g} is beyond {limit:.3g}, the stability limit of batches of {size}: the expected "
        "loss grows without end. Runs are drawn to their last finite point."
    )
left, right = st.columns([3, 2])
with left:
    title = f"B = {size}: {end:.2g} above the minimum after {chosen.epochs} epochs, expected {expected:.2g}"
    if by > 0:
        seen = f"by {number(exploded)}" if exploded > 0 else "not yet"
        title = f"B = {size} explodes: expected a thousandfold by update {number(by)}, the first run {seen}"
    chart = own_run(tables["main"], axis, floor, exploded, title)
    (page.main if axis == "epochs" else page.chart)(
        chart, alt=f"Loss of your runs. {title}. Predicted floor {number(floor)}."
    )
    st.caption(f"Mean of 16 runs, and their range. Batches of {size} are stable up to α = {limit:.3g}.")
with right:
    title = f"Where it settles is known within {(settled.measured / settled.predicted - 1).abs().max():.0%}"
    page.chart(
        floors(settled, title), alt=f"{title}: measured and predicted loss of ten settled runs against α/B."
    )
    st.caption("Dots: ten settled runs. Bars: their floors, predicted. The line is the law for small α.")

st.header("The same patients in the same order, with an update after every B")
for column, row in zip(st.columns(4), batches.iloc[:4].itertuples(), strict=True):
    mine = runs[runs.shown_as == row.shown_as]
    exploded = f"{row.shown_as} explodes at {row.exploded_at:.0f}"
    title = exploded if row.exploded_at > 0 else f"{row.shown_as} ends at {mine.one_run.iloc[-1]:.1g}"
    with column:
        page.chart(
            multiple(mine, runs, axis, title),
            alt=f"Loss of this batch size. {title}; stable up to α = {row.stability_limit:.3g}.",
        )
        page.chart(
            walk(mine[mine.one_run < SEEN], tables["contours"]),
            alt=f"The path of a run. {row.shown_as}: its path over the contours of the loss.",
        )

left, right = st.columns(2)
with left:
    start, late = summary["noise_scale_at_the_start"], summary["noise_scale_at_the_end"]
    title = f"Noise equals signal at {start:.0f} patients first, at {late:,.0f} where you end"
    scale = runs[(runs.shown_as != "yours") & (runs.noise_scale < SEEN)]
    y = up("noise_scale", "noise scale tr Σ/|g|² (log)", scale.noise_scale)
    page.chart(
        lines(scale, across(axis, runs), y, "shown_as", title), alt=f"{title}: noise scale along each run."
    )
with right:
    digits = tables["digits"]
    first, *_, last = digits[digits.epoch == 5].loss
    title = f"Five epochs on digits: B = 1 gets to {first:.2f}, the full batch to {last:.2f}"
    y = alt.Y("loss:Q", title="cross-entropy")
    page.chart(lines(digits, across(axis, digits), y, "shown_as", title, point=True), alt=title + ".")

st.header("What the noise buys: away from saddles, into flatter places")
flat = tables["flatness"]
sharp, right_share = flat.groupby("shown_as", sort=False)[["sharpness", "accuracy"]].mean().to_numpy().T
left, right = st.columns(2)
with left:
    page.chart(saddle(tables["saddle"]), alt="Runs on x² − y² + y⁴ from (1, 0), to be moved step by step.")
    chart = strip(flat, "sharpness", "The same α/B ends as sharp", "largest curvature")
    page.chart(chart, alt="Mean sharpness of the three pairs: " + ", ".join(f"{v:.2f}" for v in sharp))
with right:
    page.chart(escape(tables["saddle_share"]), alt="Share of 64 noisy runs that left, and the Gaussian law.")
    chart = strip(flat, "accuracy", "Accuracy does not tell them apart", "accuracy on other digits")
    page.chart(chart, alt="Mean accuracy of the three pairs: " + ", ".join(f"{v:.1%}" for v in right_share))
st.caption(
    "Sharpness and accuracy of 12 networks a pair, taken when their training loss first falls below 0.05."
)

st.header("Adding up gradients")
left, right = st.columns(2)
with left:
    title = "Only equal parts, divided by K, are the large batch"
    ways = (
        tables["accumulation"].query("parts > 1").assign(error=lambda f: f.relative_error.clip(lower=1e-17))
    )
    y = up("error", "relative error (log)", ways.error, every=4)
    x = alt.X("parts:Q", title="parts K, of 64 patients", axis=alt.Axis(tickMinStep=1, format="d"))
    page.chart(lines(ways, x, y, "way", title, point=True), alt=f"{title}: relative error against K.")
with right:
    drift = tables["drift"]
    apart, names = drift.distance.iloc[-1], ["one large batch", f"K = {chosen.accumulation}, added up"]
    title = "Your parts walk the same path" if apart < 1e-9 else f"Your parts end {apart:.1%} away"
    tidy = drift.set_axis(["update", "distance", *names], axis=1).melt("update", names, "run", "loss")
    y, x = alt.Y("loss:Q", title="loss of the small network"), alt.X("update:Q", title="updates")
    page.chart(lines(tidy, x, y, "run", title), alt=f"{title}: loss of a small network, both ways.")

page.close()
