"""Eigenvectors: the page."""

from ui import charts
from ui.page import open_page

import math
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from lab.numbers import number

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


def steady(reach: float) -> float:
    """The next of a row of numbers, each a fifth more: the axes stand still for a small change."""
    return 1.2 ** math.ceil(math.log(reach, 1.2))


@charts.drawing
def ellipse(circle: pd.DataFrame, lines: pd.DataFrame, title: str, reach: float) -> alt.LayerChart:
    x, y = plane("x", "y", reach)
    image = dict(zip("xy", plane("image_x", "image_y", reach), strict=True))
    around = alt.Chart(circle).encode(order="direction:Q")
    chart = around.mark_line(strokeWidth=1.5, color=charts.GREY).encode(x=x, y=y)
    chart += charts.paint(around.mark_line(strokeWidth=2.5).encode(**image), "measured")
    chart += axes_of(lines, "image_", *image.values(), 0.14 * reach, "top")
    angle = alt.binding_range(min=0, max=360, step=3, name="turn v [°] ")
    k = alt.param(name=FRAME, value=30, bind=angle)
    now = alt.Chart(circle.assign(zero=0)).transform_filter(alt.datum.direction == k)
    arrow = now.mark_rule(strokeWidth=4).encode(x2="zero:Q", y2="zero:Q")
    says = "'Av is ' + format(datum.stretch, '.3~g') + ' times as long'"
    says += " + (isValid(datum.turn) ? ', turned by ' + format(datum.turn, '.0f') + '°' : '')"
    words = now.transform_calculate(text=says).mark_text(align="left", baseline="top", fontSize=13)
    chart += arrow.encode(x=x, y=y, color=alt.value(charts.GREY)) + charts.paint(
        arrow.encode(**image), "measured"
    )
    chart += charts.paint(words.encode(x=alt.value(4), y=alt.value(4), text="text:N"), "measured")
    chart = chart.add_params(k).resolve_scale(color="independent")
    return charts.titled(chart, title, "Grey: a circle and v. Blue: where A takes them", height=460)


def axes_of(lines: pd.DataFrame, end: str, x: alt.X, y: alt.Y, past: float, legend: str = "") -> Any:
    """Lines through the origin; the name of an eigenvector is past its upper end, of others the lower."""
    ends = [
        lines.assign(zero=0, x_end=sign * lines[f"{end}x"], y_end=sign * lines[f"{end}y"]) for sign in (1, -1)
    ]
    both, colour = alt.Chart(pd.concat(ends)), charts.classes("kind:N", KINDS, legend=legend)
    across, up = (axis.copy() for axis in (x, y))
    across.shorthand, up.shorthand = "x_end:Q", "y_end:Q"
    chart = alt.layer()
    for kind, look in zip(KINDS[::-1], ({"strokeWidth": 7, "opacity": 0.4}, {"strokeWidth": 2}), strict=True):
        ray = both.transform_filter(alt.datum.kind == kind).mark_rule(**look)
        chart += ray.encode(x=across, y=up, x2="zero:Q", y2="zero:Q", color=colour)
    length = "sqrt(datum.x_end * datum.x_end + datum.y_end * datum.y_end)"
    named = both.transform_calculate(length=length, upper="datum.y_end || datum.x_end")
    named = named.transform_filter(f"datum.length && (datum.kind == '{KINDS[0]}') == (datum.upper > 0)")
    named = named.transform_calculate(
        x_end=f"datum.x_end * (1 + 1.5 * {past} / datum.length)",
        y_end=f"datum.y_end * (1 + {past} / datum.length)",
    ).mark_text(fontWeight=600)
    return chart + named.encode(x=across, y=up, text="name:N", color=colour)


@charts.drawing
def turns(main: pd.DataFrame, kept: pd.DataFrame, title: str, says: str) -> alt.LayerChart:
    x = alt.X("direction:Q", title="direction of v", axis=ANGLE, scale=alt.Scale(nice=False))
    where = "[datum.label + '°', datum.value % 360 ? 'flipped' : 'same way']"
    where = f"datum.value % 180 ? datum.label + '°' : {where}"
    axis = alt.Axis(values=list(range(-540, 541, 90)), labelExpr=where)
    y = alt.Y("turn:Q", title="turn from v to Av", axis=axis)
    low, high = min(-180, main.turn.min()), max(180, main.turn.max())  # in this order also for NaN
    chart = charts.measured_line(main, x, y)
    for level in range(-540, 541, 180):
        if low - 1 <= level <= high + 1:
            chart += charts.horizontal(level, "")
    at = alt.Chart(kept).encode(x=x, y=y)
    chart += charts.paint(at.mark_point(filled=True, size=110, opacity=1), "measured")
    for align, some in kept.groupby("align"):  # on the side that the curve leaves free
        words = alt.Chart(some).mark_text(
            align=align, dx=7 if align == "left" else -7, dy=-13, fontWeight=600
        )
        chart += charts.paint(words.encode(x=x, y=y, text="name:N"), "measured")
    return charts.titled(chart, title, says, height=460)


@charts.drawing
def walk(iterates: pd.DataFrame, lines: pd.DataFrame, title: str) -> alt.LayerChart:
    x, y = plane("x", "y", 1.35)
    last = int(iterates.step.max())
    k = charts.scrubber(STEP, "step", last, min(last, 2))
    says = "'x' + datum.step + ' = (' + format(datum.x, '.4f') + ', ' + format(datum.y, '.4f') + ')'"
    base = alt.Chart(iterates.assign(zero=0).dropna()).transform_calculate(text=says)
    before = base.transform_filter(alt.datum.step < k).mark_point(filled=True, size=45, opacity=0.6)
    now = base.transform_filter(alt.datum.step == k)
    arrow = now.mark_rule(strokeWidth=4).encode(x=x, y=y, x2="zero:Q", y2="zero:Q")
    words = now.mark_text(align="left", baseline="top", fontSize=13)
    words = words.encode(x=alt.value(4), y=alt.value(4), text="text:N")
    chart = axes_of(lines[lines.kind == KINDS[0]], "", x, y, 0.16)
    for marks in (before.encode(x=x, y=y), arrow, words):
        chart += charts.paint(marks, "measured")
    return charts.titled(chart.add_params(k).resolve_scale(color="independent"), title, height=400)


@charts.drawing
def club(members: pd.DataFrame, links: pd.DataFrame, title: str) -> alt.LayerChart:
    x, y = (alt.X("x:Q", axis=None), alt.Y("y:Q", axis=None))
    last = int(members.step.max())
    k = charts.scrubber(STEP, "step", last, last)
    chart = alt.Chart(links).mark_rule(color=charts.GREY, opacity=0.4).encode(x=x, y=y, x2="x2:Q", y2="y2:Q")
    area = alt.Size("weight:Q", scale=alt.Scale(domain=[0, 0.5], range=[8, 1100], clamp=True), legend=None)
    base = alt.Chart(members).transform_filter(alt.datum.step == k).encode(x=x, y=y)
    tips = ["member", "links", alt.Tooltip("weight:Q", format=".3f")]
    discs = base.mark_point(filled=True, opacity=0.5).encode(size=area, tooltip=tips)
    chart += charts.paint(discs.add_params(k), "measured")
    strong = base.transform_filter("datum.weight > 0.2").mark_text(fontSize=12, fontWeight=600)
    chart += charts.paint(strong.encode(text="member:N"), "theory")
    return charts.titled(chart, title, height=400)


@charts.drawing
def error(power: pd.DataFrame, title: str, says: str) -> alt.LayerChart:
    x = alt.X("step:Q", title="step k", axis=alt.Axis(format="d", tickMinStep=1))
    powers = alt.Axis(labelExpr="'1e' + datum.label", tickMinStep=1, format="d")
    y = alt.Y("log10_error:Q", title="error tan∠(xₖ, v₁) (log)", axis=powers)
    chart = charts.measured_line(power, x, y, point=True)
    return charts.titled(chart + charts.theory_line(power, x, "log10_predicted:Q"), title, says, height=400)


@charts.drawing
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


@charts.drawing
def spectrum(frame: pd.DataFrame, rings: pd.DataFrame, title: str, reach: float) -> alt.LayerChart:
    x, y = plane("real", "imaginary", reach, ("real part", "imaginary part"))
    lines = alt.Chart(rings).mark_line(strokeWidth=1.8).encode(
        x=x, y=y, order="point:Q", detail="ring:N", color=charts.kind(), strokeDash=charts.dash()
    )  # fmt: skip
    axes = alt.Chart(pd.DataFrame({"zero": [0]}))
    axes = axes.mark_rule(color=charts.GREY).encode(y="zero:Q") + axes.mark_rule(
        color=charts.GREY, strokeDash=[2, 3]
    ).encode(x="zero:Q")
    dots = alt.Chart(frame.assign(what="λ")).mark_point(filled=True, size=130, opacity=1)
    dots = dots.encode(x=x, y=y, color=charts.classes("what:N", ["λ"], legend=""), tooltip=list(frame))
    says = "Dots: λ. Dashed: |λ|. Blue: σ₁ and σ₂"
    chart = (axes + lines + dots).resolve_scale(color="independent")
    return charts.titled(chart, title, says, height=400)


@charts.drawing
def all_real(frame: pd.DataFrame, title: str, says: str) -> alt.LayerChart:
    base = alt.Chart(frame).encode(x=alt.X("n:O", title="size n", axis=alt.Axis(labelAngle=0)))
    y = alt.Y("measured:Q", title="share with real eigenvalues only", axis=alt.Axis(format="%"))
    bars = charts.paint(base.mark_bar(opacity=0.7).encode(y=y), "measured")
    names = base.mark_text(dy=-12).encode(y=y, text=alt.Text("measured:Q", format=".1%"))
    ticks = charts.paint(base.mark_tick(thickness=3, bandSize=44).encode(y="predicted:Q"), "theory")
    return charts.titled(bars + charts.paint(names, "measured") + ticks, title, says, height=360)


@charts.drawing
def cloud(frame: pd.DataFrame, title: str, says: str) -> alt.Chart:
    x, y = plane("real", "imaginary", 1.7, ("real part ÷ √n", "imaginary part ÷ √n"))
    dots = alt.Chart(frame).transform_calculate(kind="datum.imaginary == 0 ? 'measured' : 'theory'")
    dots = dots.mark_circle(size=14, opacity=0.55, clip=True, aria=False)
    return charts.titled(dots.encode(x=x, y=y, color=charts.kind()), title, says, height=360)


def short(value: float) -> str:
    """Four digits; what is only rounding is 0."""
    return number(float(f"{round(value, 9):.4g}"))


page = open_page("eigen_explorer")
result, tables, summary, settings = page.result, page.tables, page.summary, page.settings
(a, b), (c, d) = ([short(entry) for entry in row] for row in result.matrix)
lines, power, values = tables["directions"], tables["power"], tables["spectrum"]
kept, det, sigma = (
    lines[lines.kind == KINDS[0]],
    summary["determinant"],
    lines.stretch.tail(2).round(9).tolist(),
)
lams = [short(value) for value in values.real] if not summary["imaginary_part"] else []
pair = f"{short(values.real[0])} ± {short(values.imaginary[0])}i" if not lams else " and ".join(lams)
why = next(claim.unmet for claim in page.outcome.claims if claim.id == "2.1-eig-05")

st.markdown(
    rf"$A = \begin{{pmatrix}} {a} & {b} \\ {c} & {d} \end{{pmatrix}}$ with $\lambda$ = {pair}, "
    rf"$\sigma$ = {short(sigma[0])} and {short(sigma[1])}, determinant {short(det)}."
)
if settings.preset != "your own":
    words = f"This is the preset *{settings.preset}*. The four entries wait until you choose *your own*."
    st.info(words, icon=":material/lock:")

rises = (kept.direction > 150) | ((kept.direction > 25) & (det >= 0) & (kept.index > 0))
kept = kept.assign(align=rises.map({True: "right", False: "left"}))
stay = " and ".join(f"{short(row.direction)}° (λ = {short(row.stretch)})" for row in kept.itertuples())
turn = tables["circle"].turn
least, most = (f"{degrees:.0f}°" for degrees in (turn.min(), turn.max()))
seen = {0: f"No direction stays: each is turned by {least}" + f" to {most}" * (least != most),
        1: f"One direction stays, {stay}: the curve only touches",
        2: f"Two directions stay on their line: {stay}"}[len(kept)]  # fmt: skip
if result.every:
    seen = "Every direction stays: A only stretches" if sigma[0] else "The zero matrix leaves no direction"
shape = f"The circle becomes an ellipse with radii {short(sigma[0])} and {short(sigma[1])}"
if sigma[0] == sigma[1]:
    shape = f"The circle stays a circle, of radius {short(sigma[0])}"
if not sigma[1]:
    shape = "The circle collapses onto a line" if sigma[0] else "Everything lands on zero"
says = "It stays where the curve meets a dashed line"
if det < 0:
    says = "ad − bc < 0: the curve falls by a full turn"
page.side_by_side(
    (ellipse(tables["circle"], lines, shape, steady(1.25 * max(1, sigma[0]))),
     f"{shape}. Kept directions: {stay or 'none'}. The slider turns v and shows Av."),
    (turns(tables["main"], kept, seen, says), f"Angle from v to Av against the direction of v. {seen}."),
    main=1,
)  # fmt: skip

club_shown = settings.iterate == "karate"
st.header("Multiply again and again" + ", in a karate club" * club_shown)
who = tables["members"].query("step == step.max()").nlargest(3, "weight").member.tolist()
places = f"After {settings.steps} steps members {who[0]}, {who[1]} and {who[2]} weigh most"
left, right = st.columns(2)
with left:
    if club_shown:
        drawing = club(tables["members"], tables["links"], places)
    else:
        title = f"The arrow swings to v₁, at {short(kept.direction.iloc[0])}°" if not why else "The arrow xₖ"
        drawing = walk(tables["iterates"], lines, title)
    page.chart(drawing, alt=places if club_shown else f"Power iteration from {settings.start}° on.")
with right:
    if power.log10_error.notna().any():
        rate = summary["karate_rate" if club_shown else "rate"]
        title = f"Each step leaves {short(rate)} of the error" if not why else why[0].upper() + why[1:]
        says = "Dashed: C·|λ₂/λ₁|ᵏ" if "double" not in why else "Dashed: what the shear adds up to, about 1/k"
        page.chart(
            error(power, title, says),
            alt=f"{title}. Error against step, from {number(power.error.iloc[0])} to "
            f"{number(power.error.iloc[-1])}; predicted at the end {number(power.predicted.iloc[-1])}.",
        )
    else:
        st.info(f"{why[0].upper()}{why[1:]}. There is no error to draw.", icon=":material/sync:")
if club_shown:
    st.caption(
        "The matrix is 34 × 34: 1 where two members met outside the club. Step after step, each member gets "
        "the weight of all whom they know. What it settles to is the *eigenvector centrality*."
    )

st.header("What every matrix does: turn, stretch, turn")
before, _, signed, after = result.parts[0]
title = f"Stretch by {short(sigma[0])} and {short(signed)}"
title += ": the letter comes out mirrored" if signed < 0 and det else " between two turns"
plot = f"λ = {pair}, off the real line: nothing real stays" if not lams else f"λ = {pair}"
normal = abs(values["size"][0] - sigma[0]) < 1e-8
if lams:
    plot += ": |λ| and σ agree, A is normal" if normal else ": the circles of |λ| lie between those of σ"
reach = steady(1.1 * max(sigma[0], 0.5))
page.side_by_side(
    (
        stages(tables["stages"], title, steady(1.05 * max(1, sigma[0]))),
        f"A circle and a letter F in 24 frames. {title}.",
    ),
    (spectrum(values, tables["rings"], plot, reach), f"The complex plane. {plot}."),
)

st.header("How often is there anything real?")
random, dots = tables["random"], tables["cloud"]
title = (
    f"{random.measured[0]:.1%} of 2 × 2 matrices keep a direction, {random.measured[4]:.2%} of 6 × 6 all six"
)
share = (dots.imaginary == 0).mean()
on = f"{share:.0%} of the eigenvalues of 300 random 4 × 4 matrices are real"
page.side_by_side(
    (all_real(random, title, f"{settings.draws:,} of each. Dashes: 2 to the −n(n−1)/4"),
     "Share of random matrices that keep all directions, by size. "
     + ", ".join(f"{r.n}: {r.measured:.4f}, predicted {r.predicted:.4f}" for r in random.itertuples())),
    (cloud(dots, on, "Blue: real. The others come in pairs"), f"Eigenvalues of random matrices. {on}."),
)  # fmt: skip

page.close()
