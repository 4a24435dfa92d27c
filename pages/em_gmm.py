"""EM on a Gaussian mixture: the page."""

from ui import charts
from ui.page import open_page

from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from lab.numbers import number

FRAME = "em_gmm_frame"
NOW = f"datum.first_frame <= {FRAME} && {FRAME} <= datum.last_frame"
CORNERS = 40  # of a drawn ellipse
UNSEEN = 0.001  # a share of a colour: a screen shows steps of 1/255
GREY = "#8590a0"  # readable on both themes
INK, FAULT = " theory", " violation"  # the names these colours have on a scale of classes
HALF = {"start": "start", "E": "E-step: points choose clouds", "M": "M-step: clouds move to points"}


def log(kind: Any, field: str, title: str, **scale: Any) -> Any:
    powers = "replace(replace(format(datum.value, '~e'), 'e+0', ''), 'e+', 'e')"
    powers_of_ten = alt.Axis(values=[10.0**i for i in range(-12, 7)], labelExpr=powers)
    axis = alt.Axis(tickCount=5) if "step" in field else powers_of_ten
    return kind(f"{field}:Q", title=f"{title} (log)", scale=alt.Scale(type="log", **scale), axis=axis)


def likelihood(field: str = "log_likelihood") -> alt.Y:
    return alt.Y(f"{field}:Q", title="log-likelihood [nats]", scale=alt.Scale(zero=False))


def around(channel: Any, field: str, values: pd.Series) -> Any:
    room = 0.08 * (values.max() - values.min())
    domain = [values.min() - room, values.max() + room]
    return channel(f"{field}:Q", title=values.name, scale=alt.Scale(domain=domain, nice=False))


@charts.drawing
def clouds(tables: dict[str, pd.DataFrame], rings: pd.DataFrame, columns: list[str]) -> alt.LayerChart:
    """The points in the mixed colours of their components, with the ellipses, at the slider's half-step.

    One layer a component, with opacity r₁/r₁, r₂/(r₁ + r₂), r₃/(r₁ + r₂ + r₃) and so on: laid over each
    other they add up to the colour Σ rₖcₖ, in either theme. Shares too small to be seen are left out.
    """
    points, count = tables["points"], int(rings.component.max())
    x, y = (around(c, f, points[n]) for c, f, n in zip((alt.X, alt.Y), "xy", columns, strict=True))
    at = points.assign(x=points[columns[0]], y=points[columns[1]])[["point", "x", "y", "label"]]
    tips = ["label:N", *(alt.Tooltip(f"r{k}:Q", format=".3f") for k in range(1, count + 1))]
    shape = alt.Shape("label:N", title=None, legend=alt.Legend(orient="top", symbolFillColor=GREY))
    colour = charts.classes("component:N", [str(k) for k in range(1, count + 1)], legend="")
    layers = []
    for k in range(1, count + 1):
        so_far = "(" + " + ".join(f"datum.r{j}" for j in range(1, k + 1)) + ")"
        layer = alt.Chart().transform_filter(f"datum.r{k} > {UNSEEN}")
        layer = layer.transform_calculate(component=f"'{k}'", o=f"datum.r{k} / {so_far}")
        layer = layer.encode(x=x, y=y, color=colour, shape=shape, tooltip=tips)
        layers.append(layer.mark_point(filled=True, size=60).encode(opacity=alt.Opacity("o:Q", scale=None)))
    # Both tables are cut down to the present half-step before anything else is done with them.
    shares = tables["responsibilities"].merge(at, on="point")
    dots = alt.layer(*layers, data=shares).transform_filter(NOW)
    now = alt.Chart(rings.astype({"component": str})).transform_filter(NOW)
    curves = now.transform_calculate(turn=f"sequence({CORNERS + 1})").transform_flatten(["turn"])
    angle = f"datum.turn * {2 * np.pi / CORNERS}"
    curves = curves.transform_calculate(
        x=f"datum.mean_x + datum.cos_x * cos({angle})",
        y=f"datum.mean_y + datum.cos_y * cos({angle}) + datum.sin_y * sin({angle})",
    )
    curves = curves.mark_line(strokeWidth=2.5, clip=True).encode(x=x, y=y, color=colour, order="turn:Q")
    tops = now.transform_calculate(x="datum.mean_x", y="datum.mean_y + datum.sin_y")
    tags = tops.mark_text(dy=-9, fontSize=14, fontWeight=700, clip=True)
    tags = tags.encode(x=x, y=y, color=colour, text="component:N")
    frames = tables["frames"]
    slider = charts.scrubber(FRAME, "half-step", len(frames) - 1, len(frames) - 1)
    says = frames.assign(text=[f"step {s}, {HALF[h]}" for s, h in zip(frames.step, frames.half, strict=True)])
    words = (
        alt.Chart(says.assign(component=INK)).transform_filter(alt.datum.frame == slider).add_params(slider)
    )
    words = words.mark_text(align="left", baseline="top", fontSize=13)
    words = words.encode(text="text:N", x=alt.value(6), y=alt.value(6), color=colour)
    return dots + curves + tags + words


@charts.drawing
def climb(frame: pd.DataFrame) -> alt.LayerChart:
    x = log(alt.X, "half_step", "step: E at the half, M at the whole", nice=False)
    chart = charts.measured_line(frame, x, likelihood()) + charts.theory_line(frame, x, "elbo:Q")
    fell = alt.Chart(frame[frame.fell]).mark_point(filled=True, size=50, aria=False)
    falls = fell.encode(x=x, y=likelihood())
    return chart + charts.paint(falls, "violation")


@charts.drawing
def paths(frame: pd.DataFrame, starts: pd.DataFrame) -> alt.Chart:
    frame = frame[frame.step > 0].merge(starts[["start", "watched", "components_collapsed"]], on="start")
    frame["kind"] = np.where(frame.components_collapsed > 0, "violation", "measured")
    weight = {"strokeWidth": (3.5, 1.2), "opacity": (1, 0.55)}
    marks = {k: alt.condition("datum.watched", alt.value(a), alt.value(b)) for k, (a, b) in weight.items()}
    lines = alt.Chart(frame).mark_line().encode(
        x=log(alt.X, "step", "step", nice=False), y=likelihood(), color=charts.kind(), detail="start:N",
        tooltip=["start:Q", "step:Q", alt.Tooltip("log_likelihood:Q", format=".2f")], **marks,
    )  # fmt: skip
    return charts.titled(lines, "Every start climbs its own hill", height=380)


@charts.drawing
def ends(frame: pd.DataFrame) -> alt.LayerChart:
    marks = [" ◂ watched" if w else "" for w in frame.watched]
    frame = frame.assign(
        kind=np.where(frame.collapsed, "violation", "measured"),
        end=[f"{v:,.2f}".replace("-", "−") for v in frame.log_likelihood],
        text=[f"{a:.2f}{mark}" for a, mark in zip(frame.agreement_with_labels, marks, strict=True)],
    )
    wide = alt.Scale(domain=[0, 1.4 * frame.starts.max()], nice=False)
    axis = alt.Axis(tickMinStep=1, format="d")
    x = alt.X("starts:Q", title="starts; beside: agreement with the labels", axis=axis, scale=wide)
    y = alt.Y("end:N", sort=None, title="log-likelihood at the end [nats]", axis=alt.Axis(labelOverlap=False))
    base = alt.Chart(frame).encode(x=x, y=y, color=charts.kind())
    chart = base.mark_bar() + base.mark_text(align="left", dx=5).encode(text="text:N")
    title = f"{frame.starts.sum()} starts, {len(frame)} different end{'s' * (len(frame) > 1)}"
    return charts.titled(chart, title, height=380)


@charts.drawing
def floors(frame: pd.DataFrame, floor: float) -> alt.LayerChart:
    fell = frame[frame.deepest_fall > 0]
    x, y = (
        log(alt.X, "floor", "floor f, iris [cm²]"),
        log(alt.Y, "deepest_fall", "deepest fall in a step [nats]"),
    )
    chart = charts.measured_line(fell, x, y, point=True) + charts.theory_line(fell, x, "cost_of_floor:Q")
    deepest = frame.deepest_fall[frame.floor == 0.01].item()
    title = f"With a floor of 0.01 the likelihood falls by {deepest:.2f}"
    return charts.titled(chart + charts.vertical(floor, "your f"), title, height=320)


@charts.drawing
def collapse(frame: pd.DataFrame, floor: float) -> alt.LayerChart:
    x = log(alt.X, "sigma", "width σ of a component on one point", reverse=True, nice=False)
    dots = alt.Chart(frame).mark_point(filled=True, size=50).encode(x=x, y=likelihood("measured"))
    chart = charts.theory_line(frame, x, "predicted:Q") + charts.paint(dots, "measured")
    rule = charts.vertical(floor**0.5, "σ = √f")
    title = "A component on one point gains log 10 a decade, for ever"
    return charts.titled(chart + rule, title, height=320)


@charts.drawing
def selection(frame: pd.DataFrame) -> alt.LayerChart:
    tidy = frame.rename(columns=str.upper).melt(["COMPONENTS", "COLLAPSED"], ["BIC", "AIC"], "criterion")
    y = alt.Y("value:Q", title="lower is better", scale=alt.Scale(zero=False))
    x, colour = alt.X("COMPONENTS:Q", title="components K"), charts.classes("criterion:N", ["BIC", "AIC"])
    fault = alt.Chart(tidy[tidy.COLLAPSED > 0].assign(criterion=FAULT)).encode(x=x, y=y, color=colour)
    chart = alt.Chart(tidy).mark_line(point=True).encode(x=x, y=y, color=colour)
    best = frame[frame.collapsed == 0].set_index("components")
    title = f"BIC chooses {best.bic.idxmin()}, AIC {best.aic.idxmin()}" if len(best) else "All have collapsed"
    return charts.titled(chart + fault.mark_point(size=130, strokeWidth=2, aria=False), title, height=320)


@charts.drawing
def limit(frame: pd.DataFrame) -> alt.Chart:
    names = {"agreement_with_k_means": "same as k-means", "mean_largest_responsibility": "largest share"}
    tidy = frame.rename(columns=names).melt("variance", list(names.values()), "what")
    x = log(alt.X, "variance", "variance of every component ÷ that of the data", reverse=True, nice=False)
    y = alt.Y("value:Q", title=None, axis=alt.Axis(format="%"), scale=alt.Scale(zero=False))
    lines = alt.Chart(tidy).mark_line(strokeWidth=2.5)
    lines = lines.encode(x=x, y=y, color=charts.classes("what:N", list(names.values())))
    return charts.titled(lines, "As the variance shrinks, EM becomes k-means", height=320)


page = open_page("em_gmm")
result, tables, settings = page.result, page.tables, page.settings
starts, moves, many = tables["starts"], tables["climb"], page.settings.starts
pairs = [f"{a} × {b}" for i, a in enumerate(result.columns) for b in result.columns[i + 1 :]]

left, right = st.columns([3, 2])
with left:
    place = st.container()
    pair = page.view(f"axes_{settings.data}", "Axes", pairs, pairs[-1]) if len(pairs) > 1 else pairs[0]
    axes = pair.split(" × ")
    rings = page.module.ellipses(result, *(result.columns.index(a) for a in axes))
    agreement = page.summary["agreement_with_labels"]
    title = f"Start {result.watched + 1} agrees with the labels to {agreement:.2f}"
    with place:
        page.chart(
            charts.titled(clouds(tables, rings, axes), title, height=450),
            alt="The points and their mixture. "
            f"There are {len(result.data)}, in the mixed colours of {settings.components} components, with "
            f"their ellipses. Adjusted Rand index with the labels at the end: {agreement:.3f}.",
        )
with right:
    falls, end = int(moves.fell.sum()), number(page.summary["log_likelihood"])
    down = f"{falls} of them down" if falls else "none down"
    title = f"{end} after {page.summary['steps_taken']} steps, {down}"
    page.main(
        charts.titled(climb(moves), title, height=400),
        alt=f"Log-likelihood by half-step, ending at {end}; falls: {falls}. The bound touches it after each "
        "E-step and lies below after each M-step.",
    )
    st.caption("Dashed: the bound. An E-step makes it touch the likelihood, an M-step raises both.")
    fallen, deepest = int((~starts.monotone).sum()), number(-page.summary["deepest_fall"])
    if fallen:
        st.markdown(
            f"**It fell in {fallen} of {many} starts**, by {deepest} nats in one step: the floor's doing."
        )
    else:
        st.markdown(f"**It never fell**, in no step of {many} start{'s' * (many > 1)}.")
if result.collapsed_components:
    which = ", ".join(str(k) for k in result.collapsed_components)
    st.warning(
        f"Collapsed: component{'s' * (len(result.collapsed_components) > 1)} {which}. In some direction "
        f"there is no spread, and only the floor holds the width at √f = {number(settings.floor**0.5)}.",
        icon=":material/compress:",
    )
if not starts.converged.all():
    st.info(f"{int((~starts.converged).sum())} of {many} starts had not settled when the steps ran out.")
readable = tables["components"].rename(columns=lambda name: name.replace("_", " "))
st.dataframe(readable.round(4), hide_index=True)

st.header("Where the starts end")
lowest, highest = (number(v) for v in (starts.log_likelihood.min(), starts.log_likelihood.max()))
counts = ", ".join(f"{r.starts} at {r.log_likelihood:.2f}" for r in tables["ends"].itertuples())
page.side_by_side(
    (
        paths(tables["paths"], starts),
        f"Log-likelihood by step for {many} starts, ending between {lowest} and {highest}.",
    ),
    (ends(tables["ends"]), f"How many starts came to each end: {counts}."),
)
if (starts.components_collapsed > 0).any():
    st.caption("Vermillion: a component has collapsed, and only the floor keeps it from vanishing.")

st.header("What a floor does")
falls_by_floor = ", ".join(f"{number(r.deepest_fall)} at {r.floor:g}" for r in tables["floors"].itertuples())
grown = tables["collapse"].measured
gain = number((grown[12] - grown[8]) / 4)
page.side_by_side(
    (floors(tables["floors"], settings.floor), f"Deepest fall on iris for each floor: {falls_by_floor}."),
    (
        collapse(tables["collapse"], settings.floor),
        f"Log-likelihood by the width of a component on one point: {gain} nats a decade, predicted 2.3026.",
    ),
)
st.caption(
    "Left: five starts on iris; dashed is what the floor costs the M-step, the most a step can fall by."
)

st.header("How many components, and how hard?")
criteria = ", ".join(number(round(v, 1)) for v in tables["model_selection"].bic)
first, last = result.limit_agreement[[0, -1]]
page.side_by_side(
    (selection(tables["model_selection"]), f"BIC for K = 1 to 8: {criteria}."),
    (
        limit(tables["k_means_limit"]),
        f"Assigned as by k-means: {first:.0%} at the variance of the data, {last:.0%} at a billionth of it.",
    ),
)

page.close()
