"""Slope and curvature: the page."""

from ui import charts
from ui.page import open_page

from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from lab.numbers import number

AT_X, AT_Y, POINT = (f"taylor_curvature_{name}" for name in ("at_x", "at_y", "critical"))
MODELS = ["first order: plane", "second order: bent patch"]
PALETTE = [MODELS[0], "", MODELS[1]]  # the colour between them is that of the ground
POWER = "replace('1e' + datum.label, '1e0', '1')"


SAYS = (
    "'slope ' + format(datum.slope, '.2f') + ', curvatures ' + format(datum.smaller, '.2f') + ' and ' + "
    "format(datum.larger, '.2f')",
    "'plane off by at most ' + format(datum.plane_error, '.2f') + ', patch by ' + "
    "format(datum.patch_error, '.2f')",
)


def powers(kind: Any, field: str, title: str, **scale: Any) -> Any:
    """An axis of logarithms, labelled with the numbers themselves."""
    axis = alt.Axis(labelExpr=POWER, tickMinStep=1, format="d")
    return kind(f"{field}:Q", title=f"{title} (log)", axis=axis, scale=alt.Scale(zero=False, **scale))


def log(kind: Any, field: str, title: str, **axis: Any) -> Any:
    tens = "replace(replace(replace(format(datum.value, '~e'), 'e+0', ''), 'e+', 'e'), '−', '-')"
    axis = axis or {"values": [10.0**k for k in range(-14, 1, 2)], "labelExpr": tens}
    scale = alt.Scale(type="log", nice=False)
    return kind(f"{field}:Q", title=f"{title} (log)", scale=scale, axis=alt.Axis(**axis))


@charts.drawing
def u_curve(main: pd.DataFrame, chosen: pd.DataFrame, title: str) -> alt.LayerChart:
    x = powers(alt.X, "log10_h", "step h", domain=[-15, 0], nice=False)
    top = max(1.0, main[["log10_error", "log10_predicted"]].max().max()) + 1
    y = powers(alt.Y, "log10_error", "error of the slope", domain=[-15, top], nice=False, clamp=True)
    chart = charts.measured_line(main, x, y)
    faint = charts.measured_line(main, x, "log10_central:Q").encode(opacity=alt.value(0.75))
    chart += faint + charts.theory_line(main, x, "log10_predicted:Q")
    chart += charts.theory_line(main, x, "log10_central_predicted:Q")
    for row, side in zip(chosen.itertuples(), ("right", "left"), strict=True):
        if row.log10_best_predicted == row.log10_best_predicted:
            chart += charts.vertical(row.log10_best_predicted, f"best {row.method}", align=side)
    here = alt.Chart(chosen.dropna(subset="log10_error")).encode(x=x, y=y)
    dots = here.mark_point(filled=True, size=90, opacity=1, aria=False)
    chart += charts.paint(dots, "measured")
    for k, (align, dx, dy) in enumerate((("right", 8, -13), ("left", 7, 11))):
        if chosen.log10_h[k] > -1.5:  # no room on the right
            align, dx, dy = "right", -7, -9
        words = here.transform_filter(alt.datum.method == chosen.method[k])
        words = words.mark_text(align=align, dx=dx, dy=dy).encode(text="method:N")
        chart += charts.paint(words, "measured")
    return charts.titled(chart, title, height=400)


@charts.drawing
def remainder(frame: pd.DataFrame, title: str) -> alt.LayerChart:
    frame = frame[frame.measured > 0]
    x, y = log(alt.X, "distance", "distance ‖δ‖ from the point"), log(alt.Y, "measured", "what is left over")
    chart = charts.measured_line(frame, x, y).encode(detail="model:N")
    chart += charts.theory_line(frame[frame.predicted > 0], x, "predicted:Q").encode(detail="model:N")
    for (_, rows), side, dx in zip(frame.groupby("model"), ("right", "left"), (-6, 8), strict=False):
        names = alt.Chart(rows[rows.distance.round(4) == 0.01]).mark_text(align=side, dx=dx, dy=2 * dx)
        chart += charts.paint(names.encode(x=x, y=y, text="model:N"), "measured")
    return charts.titled(chart, title, height=400)


def plain(channel: Any, field: str, values: pd.Series, room: float) -> Any:
    domain = [values.min() - room, values.max() + room]
    return channel(f"{field}:Q", title=None, axis=None, scale=alt.Scale(domain=domain, nice=False))


@charts.drawing
def surface(tables: dict[str, pd.DataFrame], title: str) -> alt.LayerChart:
    tiles, places = tables["tiles"], tables["places"]
    x, y = plain(alt.X, "across", tiles.across, 0.1), plain(alt.Y, "up", tiles.up, 0.45)
    low, high = tiles.height.min(), tiles.height.max()  # the lighter half of the theme's colours
    shade = alt.Color("height:Q", scale=alt.Scale(domain=[low, 2 * high - low]), legend=None)
    ground = alt.Chart(tiles).mark_line(filled=True, strokeWidth=0.4, interpolate="linear-closed")
    ground = ground.encode(x=x, y=y, color=shade, detail="tile:N", order="corner:Q")
    at = [
        alt.param(
            name=name, value=start, bind=alt.binding_range(min=-1.25, max=1.25, step=0.25, name=f"{axis} ")
        )
        for name, start, axis in ((AT_X, 0.75, "x"), (AT_Y, 0.5, "y"))
    ]
    now = f"datum.x == {AT_X} && datum.y == {AT_Y}"
    drawn = alt.Chart(tables["models"]).transform_filter(now)
    colour = charts.classes("model:N", PALETTE).legend(values=MODELS, title=None, orient="top")
    drawn = drawn.encode(x=x, y=y, color=colour, detail="line:N", order="order:Q")
    plane = drawn.transform_filter("datum.line == 0").mark_line(filled=True, fillOpacity=0.45, clip=True)
    bent = drawn.transform_filter("datum.line > 0").mark_line(strokeWidth=2.5, clip=True)
    here = alt.Chart(places).transform_filter(now).encode(x=x, y=y).add_params(*at)
    dot = here.mark_point(filled=True, size=90, opacity=1)
    chart = ground + (plane + bent) + charts.paint(dot, "theory")
    for line, says in enumerate(SAYS):
        words = here.transform_calculate(says=says).mark_text(align="left", baseline="top", fontSize=13)
        words = words.encode(x=alt.value(4), y=alt.value(4 + 18 * line), text="says:N")
        chart += charts.paint(words, "theory")
    marks = alt.Chart(tables["marks"]).encode(x=x, y=y)
    chart += charts.paint(marks.mark_point(shape="diamond", size=110, filled=True, opacity=1), "measured")
    chart += charts.paint(marks.mark_text(dy=15, fontWeight=700).encode(text="found:N"), "measured")
    return charts.titled(chart.resolve_scale(color="independent"), title, height=430)


@charts.drawing
def ring(frame: pd.DataFrame, title: str) -> alt.LayerChart:
    names = list(dict.fromkeys(frame.point))
    chosen = alt.param(name=POINT, value=names[0], bind=alt.binding_select(options=names, name="point "))
    axis, scale = alt.Axis(values=list(range(-180, 181, 90))), alt.Scale(domain=[-180, 180], nice=False)
    x = alt.X("angle:Q", title="direction [degrees]", scale=scale, axis=axis)
    y = alt.Y("measured:Q", title="height above the point")
    chart = charts.measured_line(frame, x, y) + charts.theory_line(frame, x, "predicted:Q").add_params(chosen)
    chart.layer = [layer.transform_filter(alt.datum.point == chosen) for layer in chart.layer]
    return charts.titled(chart, title, height=390)


@charts.drawing
def share(frame: pd.DataFrame, title: str) -> alt.LayerChart:
    x = alt.X("n:Q", title="size n of the Hessian", axis=alt.Axis(tickMinStep=1, format="d"))
    x = x.scale(domain=[0.7, frame.n.max() + 0.5], nice=False)
    y = log(alt.Y, "share", "share all positive", format="~%", values=[10.0**-k for k in range(7)])
    coins = alt.Chart(frame).mark_line(strokeDash=[2, 2], strokeWidth=2).encode(x=x, y="coins:Q")
    label = alt.Chart(frame.tail(1)).mark_text(text="as coins: 2⁻ⁿ", align="right", dx=-2, dy=14)
    bars = alt.Chart(frame[frame.low > 0]).mark_rule(strokeWidth=1.5).encode(x=x, y="low:Q", y2="high:Q")
    chart = charts.paint(coins, "violation") + charts.paint(label.encode(x=x, y="coins:Q"), "violation")
    chart += charts.paint(bars, "measured") + charts.measured_line(frame, x, y, point=True)
    return charts.titled(chart + charts.theory_line(frame.dropna(), x, "predicted:Q"), title, height=340)


def on_the_law(frame: pd.DataFrame, x: alt.X, y: alt.Y, title: str) -> alt.LayerChart:
    dots = alt.Chart(frame).mark_point(filled=True, size=50, opacity=1).encode(x=x, y=y, color=charts.kind())
    return charts.titled(dots + charts.theory_line(frame, x, "predicted:Q"), title, height=340)


@charts.drawing
def delay(frame: pd.DataFrame, title: str) -> alt.LayerChart:
    x = powers(alt.X, "log10_offset", "distance δ from the ridge")
    return on_the_law(frame.assign(kind="measured"), x, alt.Y("measured:Q", title="steps to leave"), title)


@charts.drawing
def decrease(frame: pd.DataFrame, title: str) -> alt.LayerChart:
    x = alt.X("multiple:Q", title="rate × curvature αλ", scale=alt.Scale(domain=[0, 2.5], nice=False))
    y = alt.Y("ratio:Q", title="share of the promise", axis=alt.Axis(format="%"))
    kinds = frame.assign(kind=["measured" if c else "violation" for c in frame.converges])
    chart = on_the_law(kinds, x, y, title)
    return chart + charts.vertical(2, "diverges")


@charts.drawing
def climbs(frame: pd.DataFrame, title: str) -> alt.LayerChart:
    frame = frame.assign(name=frame.ball + ", " + frame.step)
    y = alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=200))
    base = alt.Chart(frame).encode(y=y)
    x = alt.X("measured:Q", title="climb per unit of step", scale=alt.Scale(domain=[0, 8], nice=False))
    bars = charts.paint(base.mark_bar(size=22).encode(x=x), "measured")
    words = base.mark_text(align="left", dx=6).encode(x=x, text=alt.Text("measured:Q", format=".2f"))
    ticks = base.mark_tick(size=34, thickness=2, strokeDash=[6, 4]).encode(x="predicted:Q")
    chart = bars + charts.paint(words, "measured") + charts.paint(ticks, "theory")
    return charts.titled(chart, title, height=340)


page = open_page("taylor_curvature")
tables, summary, settings = page.tables, page.summary, page.settings
chosen = tables["chosen"]
at_h = [number(error) for error in chosen.error]
best, theory = (
    [number(float(f"{summary[f'{which}_{method}_h']:.1e}")) for method in chosen.method]
    for which in ("best", "predicted")
)

left, right = st.columns([3, 2])
with left:
    title = f"Smaller forward steps help down to {best[0]}, central ones to {best[1]}"
    if chosen.log10_best_predicted.isna().any():
        title = "Here a leading term of the theory is zero, and a curve has no bend to predict"
    text = (
        f"Error of the slope of {settings.function} at {settings.point:g} against the step, forward and "
        f"central. Least at {best[0]} and {best[1]}; predicted {theory[0]} and {theory[1]}. "
        f"At your h = {settings.h:g}: {at_h[0]} and {at_h[1]}."
    )
    page.main(u_curve(tables["main"], chosen, title), alt=text)
with right:
    powers_left = [summary[f"remainder_slope_{order}"] for order in (1, 2)]
    title = f"What is left falls by powers {powers_left[0]:.3f} and {powers_left[1]:.3f}"
    page.chart(
        remainder(tables["remainders"], title),
        alt=f"Tumour loss less its models, by distance. {title}; law 2, 3.",
    )
st.caption(
    f"At your h = {settings.h:g} the forward difference is wrong by {at_h[0]}, the central one by {at_h[1]}. "
    "Dashed: truncation plus the most that rounding can add. "
    "The second chart: the tumour loss in 30 dimensions."
)

st.header("Carry the models over a surface")
points = tables["critical"][tables["critical"].surface == settings.surface]
off, bent = tables["places"][["plane_error", "patch_error"]].mean()
carried = f"The plane is off by {off:.2f}, the patch by {bent:.2f}"
walk = f"The Hessian says {points.by_eigenvalues.iloc[0]}, and so does a walk around"
if "undecided" in walk:
    walk = f"The Hessian is undecided; a walk around finds a {points.by_walk.iloc[0]}"
walk = walk if len(points) == 1 else "The Hessian and a walk around agree four times"
page.side_by_side(
    (
        surface(tables, carried),
        f"The surface {settings.surface}, its critical points ({', '.join(points.by_walk)}) and both models "
        f"at a point you move. Half a step away, on average over the places: {carried}.",
    ),
    (ring(tables["rings"], walk), f"Height on a circle around a critical point, and by the Hessian. {walk}."),
    widths=[3, 2],
)
st.caption(
    "The surface: errors half a step away, in the title on average over all places. The walk: at distance "
    "0.5; dashed, the second order model. The sliders and the choice of point work in your browser."
)
with st.expander("All critical points of all surfaces", icon=":material/terrain:"):
    names = {"by_eigenvalues": "by eigenvalues", "by_walk": "by walking around"}
    st.dataframe(tables["critical"].rename(columns=names), hide_index=True)

st.header("How rare is a minimum, and how long does a saddle hold?")
seen, steps = tables["share"][tables["share"].share > 0], tables["saddle"].measured.astype(int)
last = seen.iloc[-1]
rare = f"Of {settings.draws:,} random {last.n:.0f}×{last.n:.0f} Hessians {last.matrices:.0f} are all positive"
held = f"A saddle holds {steps.iloc[0]} steps from 0.1 and {steps.iloc[-1]} from 1e-12"
every = ", ".join(f"{row.share:.3g} at n = {row.n}" for row in seen.itertuples())
page.side_by_side(
    (share(seen, rare), f"Share of Gaussian Hessians with all eigenvalues positive: {every}."),
    (delay(tables["saddle"], held), f"{held}; the logarithm law predicts the same."),
)

st.header("What a slope promises")
gains = tables["climbs"].measured
kept = f"At 1.9/λ a step brings {summary['arrived_at_1.9']:.0%} of the promise, and still converges"
signs = f"Per entry, the signs climb faster: {gains[3]:.2f} against {gains[2]:.2f}"
page.side_by_side(
    (decrease(tables["decrease"], kept), f"Decrease over promised decrease by αλ: 1 − αλ/2. {kept}."),
    (
        climbs(tables["climbs"], signs),
        f"Climb of the gradient and of its signs: {gains[0]:.3f} and {gains[1]:.3f} at Euclidean length 1, "
        f"{gains[2]:.3f} and {gains[3]:.3f} with entries of at most 1.",
    ),
)

page.close()
