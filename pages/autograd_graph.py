"""The graph behind a gradient: the page."""

import altair as alt
import pandas as pd
import streamlit as st

import ui
from ui import charts

FRAME = "autograd_graph_frame"
NARROW = "width < 500"  # there the graph runs downward, elsewhere to the right


def spot(along: str, across: str) -> dict[str, alt.X | alt.Y]:
    """Horizontal and vertical place of a mark, turned on narrow screens."""
    right = alt.Scale(
        domain=[0, 1], range=[alt.ExprRef(f"{NARROW} ? 0 : 40"), alt.ExprRef("width - 40")], nice=False
    )
    down = alt.Scale(
        domain=[0, 1], range=[alt.ExprRef(f"{NARROW} ? 70 : 50"), alt.ExprRef("height - 40")], nice=False
    )
    return {
        "x": alt.X(f"{along}_x:Q", axis=None, scale=right),
        "y": alt.Y(f"{along}_y:Q", axis=None, scale=down),
    }


def turned(chart: alt.Chart, along: str, across: str) -> alt.Chart:
    """The chart with the places that ``spot`` reads."""
    places = {
        f"{along}_x": f"{NARROW} ? datum.{across} : datum.{along}",
        f"{along}_y": f"{NARROW} ? datum.{along} : datum.{across}",
    }
    return chart.transform_calculate(**places).encode(**spot(along, across))


def beside(dx: int, dy: int, narrow_dy: int) -> dict[str, alt.ExprRef]:
    """Where a label goes: above or below its node, or to its right on narrow screens."""
    return {
        "dx": alt.ExprRef(f"{NARROW} ? {dx} : 0"),
        "dy": alt.ExprRef(f"{NARROW} ? {narrow_dy} : {dy}"),
        "align": alt.ExprRef(f"{NARROW} ? 'left' : 'center'"),
    }


def graph(tables: dict[str, pd.DataFrame], title: str) -> alt.LayerChart:
    """The nodes with their values and gradients, at the frame of the slider."""
    steps, nodes, arrows = tables["steps"], tables["nodes"], tables["arrows"]
    last = int(steps.frame.max())
    frame = charts.scrubber(FRAME, "before ◂ forward, backward ▸ after", last, last)
    wires = turned(alt.Chart(arrows), "along", "across").encode(detail="arrow:N", order="point:Q")
    chart = wires.mark_line(strokeWidth=1.5, opacity=0.6, color=charts.GREY)
    back = " || ".join(f"datum.back_{call} == {FRAME}" for call in (1, 2, 3))
    for moving, which in ((f"datum.forward == {FRAME}", "theory"), (back, "measured")):
        chart += charts.paint(wires.transform_filter(moving).mark_line(strokeWidth=4), which)
    slopes = alt.Chart(arrows[arrows.slope != ""]).transform_filter(f"datum.forward <= {FRAME}")
    slopes = turned(slopes, "middle_along", "middle_across")
    chart += slopes.mark_text(dy=-8, color=charts.GREY, fontSize=11).encode(text="slope:N")
    now = turned(alt.Chart(nodes).transform_filter(alt.datum.frame == frame), "along", "across")
    known = alt.condition("datum.value != ''", alt.value(1), alt.value(0.4))
    chart += now.mark_circle(size=1250, color=charts.GREY).encode(opacity=known)
    chart += now.mark_text(color="white", fontSize=13, fontWeight=600).encode(text="label:N")
    phase = {row.frame: row.phase for row in steps.itertuples()}
    for which, phases in (("theory", ["forward"]), ("measured", ["backward"]), ("violation", ["refused"])):
        frames = [f for f, p in phase.items() if p in phases]
        ring = now.transform_filter("datum.active").transform_filter(alt.FieldOneOfPredicate("frame", frames))
        chart += charts.paint(ring.mark_point(size=1700, strokeWidth=3.5, opacity=1), which)
    for field, which, place in (("value", "theory", (24, -28, -8)), ("gradient", "measured", (24, 29, 9))):
        words = now.mark_text(fontSize=13, fontWeight=600, **beside(*place))
        chart += charts.paint(words.encode(text=f"{field}:N"), which)
    says = alt.Chart(steps).transform_filter(alt.datum.frame == frame)
    says = says.mark_text(align="left", baseline="top", fontSize=13, lineBreak="\n")
    chart += charts.paint(says.encode(text="text:N", x=alt.value(0), y=alt.value(2)), "theory")
    chart = chart.add_params(frame).resolve_scale(color="independent")
    height = max(
        340,
        60 + 66 * nodes.along.nunique(),
        60 + 62 * int(nodes[nodes.frame == 0].along.value_counts().max()),
    )
    return charts.titled(chart, title, height=height)


def gradient(slide: pd.DataFrame, name: str, at: float, title: str) -> alt.LayerChart:
    x = alt.X("input:Q", title=f"input {name}", scale=alt.Scale(domain=[-10, 10], nice=False))
    y = alt.Y("gradient:Q", title=f"slope in {name}")
    chart = charts.measured_line(slide, x, y) + charts.theory_line(slide, x, "difference:Q")
    text, side = f"{name} = {at:g}", "left" if at < 6 else "right"
    return charts.titled(chart + charts.vertical(at, text, align=side), title, height=330)


def values(
    slide: pd.DataFrame, tangent: pd.DataFrame, ends: pd.DataFrame, name: str, title: str
) -> alt.LayerChart:
    x = alt.X("input:Q", title=f"input {name}", scale=alt.Scale(domain=[-10, 10], nice=False))
    y = alt.Y("value:Q", title="value of the graph")
    chart = charts.measured_line(slide, x, y) + charts.theory_line(tangent, x, y).mark_line(
        strokeDash=[6, 4], strokeWidth=2, clip=True
    )
    for part, shape in ((ends[:1], "circle"), (ends[1:], "diamond")):
        dot = alt.Chart(part).mark_point(shape=shape, filled=True, size=110, opacity=1, clip=True)
        chart += charts.paint(dot.encode(x=x, y=y, tooltip=["input", "value"]), "measured")
    return charts.titled(chart, title, height=330)


def sorted_lists(names: pd.DataFrame, arcs: pd.DataFrame, title: str) -> alt.LayerChart:
    x = alt.Scale(domain=[-0.45, 2.55], nice=False)
    y = alt.Scale(domain=[-0.9, names.place.max() + 0.5], nice=False, reverse=True)
    column, place = alt.X("column:Q", axis=None, scale=x), alt.Y("place:Q", axis=None, scale=y)
    bows = alt.Chart(arcs).mark_line(strokeWidth=1.8, opacity=0.85).encode(
        x=alt.X("out:Q", axis=None, scale=x), y=alt.Y("down:Q", axis=None, scale=y), order="turn:Q",
        detail=["column:N", "arc:N"],
    )  # fmt: skip
    chart = alt.layer()
    for wrong, which in ((False, "measured"), (True, "violation")):
        chart += charts.paint(bows.transform_filter(alt.datum.wrong == wrong), which)
    heads = arcs[arcs.turn == arcs.turn.max()].assign(column=lambda f: f.out, place=lambda f: f.down)
    tips = alt.Chart(heads).mark_point(shape="triangle-left", filled=True, size=45, opacity=1, xOffset=3)
    words = alt.Chart(names).encode(x=column, y=place, text="name:N")
    for never, which in ((False, "theory"), (True, "violation")):
        some = words.transform_filter(alt.datum.never_ready == never)
        chart += charts.paint(some.mark_text(align="right", dx=-6, fontSize=13), which)
    chart += tips.encode(x=column, y=place, color=alt.value(charts.GREY))
    top = alt.Chart(names.drop_duplicates("method")).mark_text(
        align="center", dx=8, fontWeight=600, fontSize=12
    )
    chart += charts.paint(top.encode(x=column, y=alt.datum(-0.7), text="method:N"), "theory")
    return charts.titled(chart, title, height=70 + 30 * int(names.place.max() + 1))


def products(frame: pd.DataFrame, title: str) -> alt.LayerChart:
    x = alt.X("log10_n:Q", title="n (log)", scale=alt.Scale(domain=[0.9, 3.1], nice=False),
              axis=alt.Axis(values=[1, 2, 3], labelExpr="pow(10, datum.value)"))  # fmt: skip
    axis = alt.Axis(values=[2, 4, 6, 8], labelExpr="'10^' + datum.value")
    y = alt.Y(
        "left:Q", title="multiplications (log)", axis=axis, scale=alt.Scale(domain=[1.8, 9.4], nice=False)
    )
    chart = alt.layer()
    for side, which, text in (
        ("left", "measured", "from the left"),
        ("right", "violation", "from the right"),
    ):
        dots = alt.Chart(frame).mark_point(filled=True, size=70, opacity=1).encode(x=x, y=y.copy(deep=False))
        chart += charts.theory_line(frame, x, alt.Y(f"{side}_theory:Q"))
        chart += charts.paint(
            dots.encode(y=alt.Y(f"{side}:Q", title="multiplications (log)", axis=axis)), which
        )
        word = alt.Chart(frame[3:4]).mark_text(align="right", dx=-10, dy=-8, text=text)
        chart += charts.paint(word.encode(x=x, y=f"{side}:Q"), which)
    return charts.titled(chart, title, height=330)


def network(frame: pd.DataFrame, title: str) -> alt.LayerChart:
    x = alt.X("difference:Q", title="central difference")
    y = alt.Y("engine:Q", title="gradient by the engine")
    ends = pd.DataFrame({"difference": [frame.difference.min(), frame.difference.max()]})
    line = charts.theory_line(ends.assign(engine=ends.difference), x, y)
    dots = alt.Chart(frame).mark_circle(size=60, opacity=0.7).encode(x=x, y=y)
    return charts.titled(line + charts.paint(dots, "measured"), title, height=330)


page = ui.open_page("autograd_graph")
tables, summary, settings, result = page.tables, page.summary, page.settings, page.result
text, inputs = page.module.formula(settings)
watch, at = settings.watch, page.module.watched_at(settings)
short = page.module.short

why = page.module.undefined(result)
title = f"{text} = {short(summary['value'])}: {summary['paths']:.0f} paths, and backward walks {summary['arrows']:.0f} arrows once"
if result.refused[0]:
    title = f"Call {result.refused[0]} of backward is refused: call {result.refused[0] - 1} freed the graph"
elif len(result.collected) > 1:
    title = f"After {len(result.collected)} calls every input has {len(result.collected)} times its gradient"
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
    "Black: the value. Blue: the gradient. Grey, on an arrow: its local derivative. A node's gradient is the sum, "
    "over its consumers, of their gradient times the number on the arrow."
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
    agrees = f"At {watch} = {at:g} the slope is {short(slope)}, by backward and by central differences"
    if watch not in inputs:
        agrees = f"{watch} is not in this graph: it gets no gradient"
    page.main(
        gradient(tables["slide"], watch, at, agrees),
        alt=f"Gradient of {text} in {watch} from −10 to 10, by backward and by central differences; "
        f"{short(slope)} at {at:g}.",
    )
with right:
    ends = pd.DataFrame({"input": [at, result.stepped[0]], "value": [summary["value"], after]})
    page.chart(
        values(tables["slide"], tables["tangent"], ends, watch,
               f"A step of α = {settings.alpha:g} takes {watch} to {short(result.stepped[0])}, "
               f"the value to {short(after)}"),
        alt=f"Value of {text} against {watch}, with its tangent: {short(summary['value'])} at {at:g}, "
        f"{short(after)} after a step.",
    )  # fmt: skip
st.dataframe(tables["gradients"], hide_index=True)
with st.expander("Three graphs worked by hand"):
    st.dataframe(tables["worked"], hide_index=True)

st.header("Putting a graph in order")
yours = result.yours
cycle = " > ".join([*yours.search.cycle, *yours.search.cycle[:1]])
title = f"Three orders out of {yours.possible:,} that break no arrow"
if yours.possible == 1:
    title = "This graph has a single order, and all three find it"
if cycle:
    title = f"No order exists: {cycle} is a cycle"
    st.warning(f"The queue returns {len(yours.queue)} of {len(yours.graph)} nodes and says nothing. A depth-first "
               f"search names the cycle: `{cycle}`", icon=":material/sync_problem:")  # fmt: skip
page.chart(
    sorted_lists(tables["orders"], tables["arcs"], title),
    alt=f"Queue: {', '.join(yours.queue) or 'none'}. Depth first: {', '.join(yours.search.order)}. "
    f"Engine, reversed: {', '.join(yours.engine[::-1]) or 'none'}. {title}.",
)
st.caption(
    "Blue: an arrow that points down, as it should. Vermillion: one that points up, or a node that is never ready."
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
        alt=f"Multiplications against n: {counts[0]:,.0f} from the left and {counts[1]:,.0f} from the right at 1000.",
    )
with right:
    page.chart(
        network(tables["network"], f"48 weights of a digit network: differences agree to {gap:.1e}"),
        alt=f"Gradient by the engine against central difference for 48 weights; largest gap {gap:.1e}.",
    )
page.close()
