"""The graph behind a gradient: the page."""

from ui import charts
from ui.page import open_page

import altair as alt
import pandas as pd
import streamlit as st

FRAME = "autograd_graph_frame"
DOWNWARD = "autograd_graph_downward"  # on a narrow screen, or where the graph is deep; else to the right
LABELS = {
    "one_call": "backward",
    "sum_over_paths": "by paths",
    "central_difference": "difference",
    "grad": ".grad",
}


def on_screen(expression: str, narrow: str) -> alt.ExprRef:
    return alt.ExprRef(f"{DOWNWARD} ? {narrow} : {expression}")


def laid_out(chart: alt.Chart, along: str = "along", across: str = "across") -> alt.Chart:
    """Marks at their place in the graph, from left to right or, on a narrow screen, from top to bottom."""
    right = [on_screen("40", "-10"), on_screen("width - 40", "width - 10")]
    down = [on_screen("50", "70"), alt.ExprRef("height - 40")]
    x, y = (alt.Scale(domain=[0, 1], range=ends, nice=False) for ends in (right, down))
    return chart.transform_calculate(
        h=f"{DOWNWARD} ? datum.{across} : datum.{along}", v=f"{DOWNWARD} ? datum.{along} : datum.{across}"
    ).encode(x=alt.X("h:Q", axis=None, scale=x), y=alt.Y("v:Q", axis=None, scale=y))


@charts.drawing
def graph(tables: dict[str, pd.DataFrame], title: str) -> alt.LayerChart:
    """The nodes with their values and gradients, at the frame of the slider."""
    steps, nodes, arrows = tables["steps"], tables["nodes"], tables["arrows"]
    still = nodes[nodes.frame == 0]
    deep, wide = still.along.nunique(), int(still.along.value_counts().max())
    downward = alt.param(name=DOWNWARD, expr="true" if deep > 10 else "width < 500")
    last = int(steps.frame.max())
    frame = charts.scrubber(FRAME, "before ◂ forward, backward ▸ after", last, last)
    wires = laid_out(alt.Chart(arrows)).encode(detail="arrow:N", order="point:Q")
    chart = alt.layer(wires.mark_line(strokeWidth=1.5, opacity=0.6, color=charts.GREY))
    back = " || ".join(f"datum.back_{call} == {FRAME}" for call in (1, 2, 3))
    for moving, which in ((f"datum.forward == {FRAME}", "theory"), (back, "measured")):
        chart += charts.paint(wires.transform_filter(moving).mark_line(strokeWidth=4), which)
    slopes = alt.Chart(arrows[arrows.slope != ""]).transform_filter(f"datum.forward <= {FRAME}")
    slopes = laid_out(slopes, "middle_along", "middle_across").encode(text="slope:N")
    chart += slopes.mark_text(
        dx=on_screen("0", "5"), dy=on_screen("-8", "0"), align=on_screen("'center'", "'left'"),
        color=charts.GREY, fontSize=11,
    )  # fmt: skip
    now = laid_out(alt.Chart(nodes).transform_filter(alt.datum.frame == frame))
    known = alt.condition("datum.value != ''", alt.value(1), alt.value(0.4))
    chart += now.mark_circle(size=1250, color=charts.GREY).encode(opacity=known)
    chart += now.mark_text(color="white", fontSize=13, fontWeight=600).encode(text="label:N")
    for phase, which in (("forward", "theory"), ("backward", "measured"), ("refused", "violation")):
        ring = now.transform_filter((alt.datum.active == True) & (alt.datum.phase == phase))  # noqa: E712
        chart += charts.paint(ring.mark_point(size=1700, strokeWidth=3.5, opacity=1), which)
    for field, which, dy, narrow_dy in (
        ("value", "theory", "-28", "-9"),
        ("gradient", "measured", "29", "9"),
    ):
        for side, dx, align in (("<", "-24", "right"), (">=", "24", "left")):  # outward on a narrow screen
            words = now.transform_filter(f"datum.across {side} 0.45").mark_text(
                dx=on_screen("0", dx), dy=on_screen(dy, narrow_dy), align=on_screen("'center'", f"'{align}'"),
                fontSize=13, fontWeight=600,
            )  # fmt: skip
            chart += charts.paint(words.encode(text=f"{field}:N"), which)
    says = alt.Chart(steps).transform_filter(alt.datum.frame == frame)
    says = says.mark_text(align="left", baseline="top", fontSize=13, lineBreak="\n")
    chart += charts.paint(says.encode(text="text:N", x=alt.value(0), y=alt.value(2)), "theory")
    chart = chart.add_params(frame, downward).resolve_scale(color="independent")
    return charts.titled(chart, title, height=max(380, 160 + 66 * deep, 160 + 66 * wide))


def input_axis(name: str) -> alt.X:
    return alt.X("input:Q", title=f"input {name}", scale=alt.Scale(domain=[-10, 10], nice=False))


@charts.drawing
def gradient(slide: pd.DataFrame, name: str, at: float, title: str) -> alt.LayerChart:
    x, y = input_axis(name), alt.Y("gradient:Q", title=f"slope in {name}")
    chart = charts.measured_line(slide, x, y) + charts.theory_line(slide, x, "difference:Q")
    here = charts.vertical(at, f"{name} = {at:g}", align="left" if at < 6 else "right")
    return charts.titled(chart + here, title, height=330)


@charts.drawing
def values(
    slide: pd.DataFrame, tangent: pd.DataFrame, ends: pd.DataFrame, name: str, title: str
) -> alt.LayerChart:
    x, y = input_axis(name), alt.Y("value:Q", title="value of the graph")
    chart = charts.measured_line(slide, x, y)
    chart += charts.paint(
        alt.Chart(tangent).mark_line(strokeDash=[6, 4], clip=True).encode(x=x, y=y), "theory"
    )
    for part, shape, filled in ((ends[:1], "circle", True), (ends[1:], "diamond", False)):
        dot = alt.Chart(part).mark_point(
            shape=shape, filled=filled, size=150 if filled else 320, opacity=1, strokeWidth=2.5, clip=True
        )
        chart += charts.paint(dot.encode(x=x, y=y, tooltip=["input", "value"]), "measured")
    return charts.titled(chart, title, height=330)


@charts.drawing
def sorted_lists(names: pd.DataFrame, arcs: pd.DataFrame, title: str) -> alt.LayerChart:
    """Three lists from top to bottom, with every arrow of the graph as an arc beside them."""
    across = alt.Scale(domain=[-0.45, 2.55], nice=False)
    down = alt.Scale(domain=[-0.9, names.place.max() + 0.5], nice=False, reverse=True)

    def at(x: str, y: str) -> dict[str, alt.X | alt.Y]:
        return {"x": alt.X(f"{x}:Q", axis=None, scale=across), "y": alt.Y(f"{y}:Q", axis=None, scale=down)}

    bows = alt.Chart(arcs).mark_line(strokeWidth=1.8, opacity=0.85)
    bows = bows.encode(**at("out", "down"), order="turn:Q", detail=["column:N", "arc:N"])
    tips = alt.Chart(arcs[arcs.turn == arcs.turn.max()])
    tips = tips.mark_point(shape="triangle-left", filled=True, size=45, opacity=1, xOffset=3)
    words = alt.Chart(names).mark_text(align="right", dx=-6, fontSize=13)
    words = words.encode(**at("column", "place"), text="name:N")
    chart = alt.layer()
    for wrong, arrow, name in ((False, "measured", "theory"), (True, "violation", "violation")):
        chart += charts.paint(bows.transform_filter(alt.datum.wrong == wrong), arrow)
        chart += charts.paint(
            tips.encode(**at("out", "down")).transform_filter(alt.datum.wrong == wrong), arrow
        )
        chart += charts.paint(words.transform_filter(alt.datum.never_ready == wrong), name)
    top = alt.Chart(names.drop_duplicates("method").assign(place=-0.7))
    top = top.mark_text(dx=8, fontWeight=600, fontSize=12).encode(**at("column", "place"), text="method:N")
    return charts.titled(chart + charts.paint(top, "theory"), title, height=90 + 30 * (names.place.max() + 1))


@charts.drawing
def products(frame: pd.DataFrame, title: str) -> alt.LayerChart:
    said = "format(pow(10, datum.value), '~s')"
    x = alt.X("log10_n:Q", title="side n (log)", scale=alt.Scale(domain=[0.9, 3.1], nice=False),
              axis=alt.Axis(values=[1, 2, 3], labelExpr=said))  # fmt: skip
    axis, scale = alt.Axis(values=[2, 4, 6, 8], labelExpr=said), alt.Scale(domain=[1.8, 9.4], nice=False)
    chart = alt.layer()
    for side, which, dy in (("left", "measured", 16), ("right", "violation", -10)):
        y = alt.Y(f"{side}:Q", title="multiplications (log)", axis=axis, scale=scale)
        chart += charts.theory_line(frame, x, f"{side}_theory:Q")
        dots = alt.Chart(frame).mark_point(filled=True, size=70, opacity=1).encode(x=x, y=y)
        word = alt.Chart(frame[2:3]).mark_text(
            align="left" if dy > 0 else "right", dx=dy / 2, dy=dy, text=f"from the {side}"
        )
        chart += charts.paint(dots, which) + charts.paint(word.encode(x=x, y=y), which)
    return charts.titled(chart, title, height=330)


@charts.drawing
def network(frame: pd.DataFrame, title: str) -> alt.LayerChart:
    x, y = (
        alt.X("difference:Q", title="central difference"),
        alt.Y("engine:Q", title="gradient by the engine"),
    )
    ends = frame.difference.agg(["min", "max"])
    line = charts.theory_line(pd.DataFrame({"difference": ends, "engine": ends}), x, y)
    dots = alt.Chart(frame).mark_circle(size=60, opacity=0.7).encode(x=x, y=y)
    return charts.titled(line + charts.paint(dots, "measured"), title, height=330)


page = open_page("autograd_graph")
tables, summary, settings, result = page.tables, page.summary, page.settings, page.result
text, inputs = page.module.formula(settings)
watch, at = settings.watch, page.module.watched_at(settings)
short = page.module.short

why = page.module.undefined(result)
name = text if len(text) < 40 else "Your formula"
paths = "1 path leads" if summary["paths"] == 1 else f"{summary['paths']:.0f} paths lead"
walked = "1 arrow" if summary["arrows"] == 1 else f"{summary['arrows']:.0f} arrows"
title = f"{name} = {short(summary['value'])}: {paths} there, and backward walks {walked} once"
if why:
    title = f"{name} has no gradient at these inputs"
elif result.refused[0]:
    title = f"Call {result.refused[0]} of backward is refused: call {result.refused[0] - 1} freed the graph"
elif len(result.collected) > 1:
    title = f"After {len(result.collected)} calls every .grad holds {len(result.collected)} gradients"
if why:
    st.warning(f"Here {why}.", icon=":material/block:")
if settings.inputs == "as worked" and settings.graph != page.module.OWN:
    st.caption("Inputs as worked by hand: " + ", ".join(f"{n} = {v:g}" for n, v in inputs.items())
               + ". To move them, set *Inputs* to the sliders.")  # fmt: skip
listed = ", ".join(f"{row.input} {short(row.grad)}" for row in tables["gradients"].itertuples())
page.chart(
    graph(tables, title), alt=f"Graph of {text} with value {short(summary['value'])}; .grad: {listed}."
)
st.caption(
    "Plain: the value. Blue: the gradient. Grey, on an arrow: its local derivative. A node's gradient is the "
    "sum, over its consumers, of their gradient times the number on the arrow."
)
if result.refused[0]:
    st.info(
        "Products and functions need the numbers they were computed from, and an earlier call freed them. "
        "Switch *Keep the graph* on. What the refused call had credited by then stays credited.",
        icon=":material/block:",
    )

left, right = st.columns(2)
slope, after = summary["gradient_watched"], summary["value_after_step"]
with left:
    agrees = f"Backward and differences agree: slope {short(slope)} at {watch} = {at:g}"
    if watch not in inputs:
        agrees = f"{watch} is not in this graph: it gets no gradient"
    elif why:
        agrees = f"No gradient to compare at {watch} = {at:g}"
    page.main(
        gradient(tables["slide"], watch, at, agrees),
        alt=f"Gradient of {text} in {watch} from −10 to 10, by backward and by central differences; "
        f"{short(slope)} at {at:g}.",
    )
with right:
    stepped = (
        f"A step of α = {settings.alpha:g} takes {watch} to {short(result.stepped[0])}, "
        f"the value to {short(after)}"
    )
    if why:
        stepped = f"No step from {watch} = {at:g}"
    ends = pd.DataFrame({"input": [at, result.stepped[0]], "value": [summary["value"], after]})
    page.chart(
        values(tables["slide"], tables["tangent"], ends, watch, stepped),
        alt=f"Value of {text} against {watch}, with its tangent: {short(summary['value'])} at {at:g}, "
        f"{short(after)} after a step.",
    )  # fmt: skip
st.dataframe(tables["gradients"].rename(columns=LABELS), hide_index=True)
with st.expander("Three graphs worked by hand"):
    st.dataframe(tables["worked"], hide_index=True)

st.header("Putting a graph in order")
yours = result.yours
cycle = " > ".join([*yours.search.cycle, *yours.search.cycle[:1]])
different = len({yours.queue, yours.search.order, yours.engine[::-1]})
title = f"{different} of {yours.possible:,} orders that break no arrow, by three ways to sort"
if yours.possible == 1:
    title = "This graph has a single order, and all three find it"
if cycle:
    title = f"No order exists: {cycle} is a cycle"
    st.warning(f"The queue returns {len(yours.queue)} of {len(yours.graph)} nodes and says nothing. A "
               f"depth-first search names the cycle: `{cycle}`", icon=":material/sync_problem:")  # fmt: skip
page.chart(
    sorted_lists(tables["orders"], tables["arcs"], title),
    alt=f"Queue: {', '.join(yours.queue) or 'none'}. Depth first: {', '.join(yours.search.order)}. "
    f"Engine, reversed: {', '.join(yours.engine[::-1]) or 'none'}. {title}.",
)
st.caption(
    "Blue: an arrow that points down, as it should. Vermillion: one that points up, or a node never ready."
)

st.header("The order of a product, and a real network")
left, right = st.columns(2)
counts, gap = result.multiplications[-1], abs(tables["network"].engine - tables["network"].difference).max()
with left:
    page.chart(
        products(
            tables["products"],
            f"For n = 1000, from the loss on takes {counts[1] / counts[0]:.0f} times fewer",
        ),
        alt=f"Multiplications against n: {counts[0]:,.0f} from the left and {counts[1]:,.0f} from the right.",
    )
with right:
    page.chart(
        network(tables["network"], f"48 weights of a digit network: differences agree to {gap:.1e}"),
        alt=f"Gradient by the engine against central difference for 48 weights; largest gap {gap:.1e}.",
    )
page.close()
