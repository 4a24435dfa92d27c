"""The optimiser race: the page."""

from ui import charts
from ui.page import open_page

from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from experiments.optimizer_race import KAPPAS, NAMES
from lab.numbers import number

POWERS = alt.Axis(labelExpr="'1e' + format(datum.value, 'd')", tickMinStep=1, tickCount=6)
WINDOW = alt.Scale(domain=[-2.2, 2.2], nice=False)


def colour(legend: str = "top") -> alt.Color:
    seven = charts.classes("optimiser:N", list(NAMES), legend=legend)
    if not legend:
        return seven
    columns = alt.ExprRef("max(2, floor(width / 75))")
    small = {"labelFontSize": 11, "symbolSize": 50, "columnPadding": 6, "rowPadding": 0}
    return seven.legend(title=None, orient=legend, values=list(NAMES), columns=columns, **small)


def power(column: str, title: str) -> alt.Y:
    return alt.Y(f"{column}:Q", title=f"{title} (log)", axis=POWERS, scale=alt.Scale(zero=False))


def small(power_of_ten: float) -> str:
    return f"{10**power_of_ten:.0e}".replace("e-0", "e-").replace("e+0", "e").replace("-", "−")


@charts.drawing
def by_angle(
    frame: pd.DataFrame, main: pd.DataFrame, mine: float, title: str, subtitle: str
) -> alt.LayerChart:
    axis = alt.Axis(values=[0, 15, 30, 45, 60, 75, 90], labelExpr="datum.label + '°'")
    x = alt.X("rotation:Q", title="angle between canyon and axes", axis=axis, scale=alt.Scale(nice=False))
    y = power("log10_loss", "loss at the end").scale(zero=False, domainMax=0)  # room for the words
    tips = [
        "optimiser",
        *(alt.Tooltip(f"{c}:Q", format=".3") for c in ("rotation", "log10_loss", "log10_retuned")),
    ]
    lines = alt.Chart(frame).mark_line(strokeWidth=2.2, point={"size": 30, "filled": True})
    chart = lines.encode(x=x, y=y, color=colour(), tooltip=tips)
    chart += charts.theory_line(main, x, "log10_sgd_predicted:Q")
    chart += charts.vertical(mine, "yours", "measured", "left" if mine < 75 else "right")
    return charts.titled(chart.resolve_scale(color="independent"), title, subtitle, height=460)


@charts.drawing
def walk(paths: pd.DataFrame, rings: pd.DataFrame, title: str, subtitle: str) -> alt.LayerChart:
    axis = alt.Axis(tickCount=5, grid=False)
    x = alt.X("x:Q", title="first weight, from the minimum", scale=WINDOW, axis=axis)
    y = alt.Y("y:Q", title="second weight", scale=WINDOW, axis=axis)
    last = int(paths.step.max())
    k = charts.scrubber("optimizer_race_step", "Step", last, min(20, last))
    ground = alt.Chart(rings).mark_line(opacity=0.35, strokeWidth=1, clip=True)
    ground = ground.encode(x=x, y=y, detail="loss:Q", order="point:Q")
    base = alt.Chart(paths).encode(
        x=x, y=y, color=colour(), tooltip=["optimiser", "step", alt.Tooltip("log10_loss:Q", format=".2f")]
    )
    trail = base.mark_line(strokeWidth=1.6, clip=True).transform_filter(alt.datum.step <= k)
    here = base.mark_point(filled=True, size=90, clip=True, opacity=1).encode(color=colour(""))
    here = here.transform_filter(alt.datum.step == k)
    chart = charts.paint(ground, "theory") + trail.encode(order="step:Q").add_params(k) + here
    return charts.titled(chart.resolve_scale(color="independent"), title, subtitle, height=460)


@charts.drawing
def lines(
    frame: pd.DataFrame, x: alt.X, y: alt.Y, title: str, subtitle: str = "", point: bool = False,
    law: pd.DataFrame | None = None,
) -> Any:  # fmt: skip
    mark = alt.Chart(frame).mark_line(
        strokeWidth=2, clip=True, point={"size": 36, "filled": True} if point else False
    )
    chart = mark.encode(x=x, y=y, color=colour(), tooltip=list(frame))
    if law is not None:
        chart = (chart + charts.theory_line(law, x, y)).resolve_scale(color="independent")
    return charts.titled(chart, title, subtitle, height=370)


@charts.drawing
def accuracies(scores: pd.DataFrame, means: pd.DataFrame, title: str, subtitle: str) -> alt.LayerChart:
    y = alt.Y("optimiser:N", title=None, sort=list(NAMES))
    x = alt.X(
        "accuracy:Q",
        title="test accuracy",
        axis=alt.Axis(format=".0%", tickCount=5),
        scale=alt.Scale(zero=False),
    )
    dots = alt.Chart(scores).mark_point(size=40, opacity=0.5).encode(x=x, y=y, tooltip=list(scores))
    bars = alt.Chart(means).mark_rule(strokeWidth=3).encode(x=alt.X("low:Q"), x2="high:Q", y=y)
    middle = alt.Chart(means).mark_tick(thickness=3, bandSize=18).encode(x="accuracy:Q", y=y)
    chart = charts.paint(dots, "measured") + charts.paint(bars, "measured") + charts.paint(middle, "measured")
    return charts.titled(chart, title, subtitle, height=370)


@charts.drawing
def pairs(frame: pd.DataFrame, x: alt.X, y: alt.Y, name: str, title: str, subtitle: str) -> alt.LayerChart:
    """Measured and predicted lines, a pair for each ``name``, which stands at the second point."""
    chart = charts.measured_line(frame, x, y, point=True).encode(detail=f"{name}:N")
    chart += charts.theory_line(frame, x, "predicted:Q").encode(detail=f"{name}:N")
    seconds = frame.groupby(name, sort=False).nth(1).sort_values("measured")
    for row, below in ((0, 16), (1, -12)):
        words = alt.Chart(seconds.iloc[[row]]).mark_text(align="left", dx=6, dy=below)
        chart += charts.paint(words.encode(x=x, y=y, text=f"{name}:N"), "measured")
    return charts.titled(chart, title, subtitle, height=370)


@charts.drawing
def trapped(frame: pd.DataFrame, title: str, subtitle: str) -> alt.LayerChart:
    x = alt.X("step:Q", title="step", scale=alt.Scale(nice=False))
    y = alt.Y("x:Q", title="where it stands", scale=alt.Scale(domain=[-1.1, 1.15], nice=False))
    chart = charts.horizontal(-1, "")
    for name, kind in (("Adam", "violation"), ("AMSGrad", "measured")):
        line = alt.Chart(frame[frame.optimiser == name]).encode(x=x, y=y)
        words = line.transform_filter(f"datum.step == {frame.step.max()}").mark_text(align="right", dy=-12)
        chart += charts.paint(line.mark_line(strokeWidth=1.8), kind)
        chart += charts.paint(words.encode(text="optimiser:N"), kind)
    return charts.titled(chart, title, subtitle, height=370)


@charts.drawing
def memory(state: pd.DataFrame, title: str, subtitle: str) -> alt.LayerChart:
    y = alt.Y("optimiser:N", title=None, sort=list(NAMES))
    x = alt.X("per_weight:Q", title="numbers kept per weight", scale=alt.Scale(domain=[0, 2.4], nice=False))
    x = x.axis(values=[0, 0.5, 1, 1.5, 2])
    base = alt.Chart(state).encode(x=x, y=y)
    words = charts.paint(
        base.mark_text(align="left", dx=5).encode(text=alt.Text("numbers_kept:Q", format=",")), "theory"
    )
    return charts.titled(charts.paint(base.mark_bar(), "measured") + words, title, subtitle, height=370)


page = open_page("optimizer_race")
result, tables, summary, chosen = page.result, page.tables, page.summary, page.settings
T, angle, turned, paths = chosen.steps, chosen.rotation, tables["rotations"], tables["paths"]
adam, means = tables["main"].set_index("rotation"), tables["digit_means"].set_index("optimiser")
step = alt.X("step:Q", title="step", scale=alt.Scale(nice=False))
which = page.view("shown", "Optimisers", ["all", *NAMES], "all")


def picked(frame: pd.DataFrame) -> pd.DataFrame:
    return frame if which == "all" else frame[frame.optimiser == which]


left, right = st.columns(2)
with left:
    along, tilted, again = (
        small(v) for v in (adam.log10_loss[0], *adam.loc[45, ["log10_loss", "log10_retuned"]])
    )
    title = f"Turn the canyon by 45°: Adam ends at {tilted}, not {along}"
    more = f"Rates that are best at 0°. With a new rate at 45°: {again}. Dashed: SGD in theory, at any angle"
    page.main(
        by_angle(picked(turned), tables["main"], angle, title, more),
        alt=f"{title}. Loss after {T} steps against the angle, κ = {chosen.kappa:g}, for seven optimisers; "
        f"SGD ends at {small(adam.log10_sgd_predicted[0])} at every angle.",
    )
with right:
    end, lost = paths.groupby("optimiser").log10_loss.last(), dict(zip(NAMES, result.diverged, strict=True))
    lost = {name: when for name, when in lost.items() if when == when}
    winner = end.drop(list(lost)).idxmin()
    title = f"At {angle:g}° {winner} ends lowest, at {small(end[winner])}"
    solved = list(end.index[end <= -16])
    title = f"At {angle:g}° {' and '.join(solved)} get below 1e−16" if solved else title
    page.chart(
        walk(picked(paths), tables["contours"], title, "Drag the step. Grey: places of equal loss"),
        alt=f"Paths over {T} steps at {angle:g}°: "
        + ", ".join(f"{n} {small(v)}" for n, v in end.items())
        + ".",
    )
if lost:
    at = summary["sgd_predicted_to_diverge_at"]
    law = f" Theory says step {number(at)} for SGD." if "SGD" in lost else ""
    when = ", ".join(f"{name} at step {number(at)}" for name, at in lost.items())
    st.info(
        f"At this rate some leave the canyon: {when}. Their curves end there.{law}",
        icon=":material/trending_up:",
    )

left, right = st.columns(2)
with left:
    law = tables["sgd_theory"] if which in ("all", "SGD") else None
    title = f"After {T} steps: {end.idxmax()} {small(end.max())}, {winner} {small(end[winner])}"
    chart = lines(
        picked(paths),
        step,
        power("log10_loss", "loss"),
        title,
        "Your angle and rate. Dashed: SGD in theory",
        law=law,
    )
    page.chart(chart, alt=f"Loss against the step at {angle:g}°, rates {chosen.rate:g} times the best.")
with right:
    rates, x = (
        tables["rates"],
        alt.X("log10_rate:Q", title="rate α (power of ten)", axis=alt.Axis(format="d", tickMinStep=1)),
    )
    mine = rates[rates.angle == "your angle"]
    widths = (
        mine[mine.log10_loss < mine.groupby("optimiser").log10_loss.transform("min") + 1]
        .groupby("optimiser")
        .size()
    )
    title = f"Of 41 rates {widths['SGD']} serve SGD, {widths['Adam']} serve Adam"
    page.chart(
        lines(
            picked(mine),
            x,
            power("log10_loss", "loss at the end"),
            title,
            f"At {angle:g}°. Serves: at most ten times its best loss",
        ),
        alt=title + ".",
    )

st.header("The same race on handwritten digits")
left, right = st.columns(2)
scores, by_rate = tables["digit_scores"], tables["digit_rates"]
with left:
    order = means.loss.sort_values()
    title = f"Training loss: {order.index[0]} {order.iloc[0]:.3f}, {order.index[-1]} {order.iloc[-1]:.3f}"
    curves = power("log10_loss", "training loss")
    page.chart(
        lines(
            picked(tables["digit_curves"]),
            step,
            curves,
            title,
            "Mean of your networks, each rule at its best rate",
            point=True,
        ),
        alt="Training loss at the end: " + ", ".join(f"{n} {v:.4f}" for n, v in order.items()) + ".",
    )
with right:
    best = means.accuracy.idxmax()
    apart = ", ".join(means.index[means.separable])
    title = f"Test accuracy: {f'only {apart}' if apart else 'nobody'} can be told from {best}"
    page.chart(
        accuracies(
            picked(scores),
            picked(tables["digit_means"]),
            title,
            "A ring a network. Bar: the mean, and one standard error",
        ),
        alt="Test accuracy: " + ", ".join(f"{n} {v:.1%}" for n, v in means.accuracy.items()) + ".",
    )
left, right = st.columns(2)
with left:
    spread = by_rate[by_rate.optimiser == "Adam"].accuracy
    title = f"The rate matters more: it moves Adam from {spread.min():.0%} to {spread.max():.0%}"
    y = alt.Y(
        "accuracy:Q",
        title="test accuracy",
        axis=alt.Axis(format=".0%"),
        scale=alt.Scale(domain=[0.5, 1], nice=False),
    )
    page.chart(
        lines(picked(by_rate), x, y, title, "Two rates a decade; off the chart: diverged", point=True),
        alt=title + ".",
    )
with right:
    state = tables["state"].set_index("optimiser").numbers_kept
    title = f"Adafactor keeps {state['Adafactor']:,} numbers, Adam {state['Adam']:,}"
    error = f"Its outer product misses the network's g² by {result.factored[-1]:.0%}"
    page.chart(memory(tables["state"], title, error), alt=f"State for the digit network: {dict(state)}.")

st.header("Up close: what momentum buys, what decay means, where Adam fails")
left, right = st.columns(2)
with left:
    law, middle = tables["momentum"], tables["momentum"].query("kappa == 100").measured.to_list()
    k = alt.X(
        "kappa:Q",
        title="condition number κ (log)",
        scale=alt.Scale(type="log", domain=[20, 2000], nice=False),
    )
    y = alt.Y(
        "measured:Q", title="steps to 10⁻⁶ (log)", scale=alt.Scale(type="log"), axis=alt.Axis(tickCount=4)
    )
    title = f"At κ = 100 SGD needs {middle[0]} steps, the heavy ball {middle[1]}"
    page.chart(
        pairs(law, k, y, "method", title, "Best constants. Dashed: closed form"),
        alt=f"{title}; κ from {KAPPAS[0]:g} to {KAPPAS[-1]:g}.",
    )
with right:
    decay = tables["decay"]
    kept = decay[decay.rule == "Adam + L2"].measured
    size = alt.X(
        "gradient_size:Q",
        title="size of the gradient (log)",
        scale=alt.Scale(type="log"),
        axis=alt.Axis(tickCount=3),
    )
    y = alt.Y(
        "measured:Q", title="weight left of 1", scale=alt.Scale(domain=[min(0, kept.min()), 1.1], nice=False)
    )
    low, high, always = (round(v, 2) + 0 for v in (kept.iloc[0], kept.iloc[-1], decay.measured.iloc[-1]))
    title = f"Adam + L2 keeps {low:.2f} to {high:.2f}, AdamW {always:.2f}"
    page.chart(
        pairs(decay, size, y, "rule", title, f"λ = {chosen.decay:g}, 1,000 steps of noise. Dashed: theory"),
        alt=title + ".",
    )
left, right = st.columns(2)
with left:
    title = "Gradients 3, −1, −1: Adam climbs to the worst point"
    page.chart(
        trapped(tables["trap"], title, "β₂ = 0.1. The optimum is −1; AMSGrad finds it"),
        alt=f"Adam in a trap. {title}: it ends every round at +1.",
    )
with right:
    st.markdown("**What large models report**")
    st.table(tables["reports"].astype({"year": str}).set_index("model"))
page.close()
