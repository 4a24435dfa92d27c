"""Message passing: the page."""

from ui import charts
from ui.page import open_page

import math
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

HEIGHT = 320
PERCENT = alt.Axis(format="%")


@charts.drawing
def against_layers(main: pd.DataFrame, k: int, title: str) -> alt.LayerChart:
    x = alt.X("layers:Q", title="layers K")
    y = {"title": "share", "axis": PERCENT}
    seen, left = alt.Y("seen:Q", **y), alt.Y("left:Q", **y)
    chart = charts.theory_line(main, x, alt.Y("bound:Q", **y)) + charts.measured_line(main, x, left)
    chart += charts.measured_line(main, x, seen, point=True) + charts.theory_line(main, x, "within:Q")
    above = -12 if main["bound"][9] - main["left"][9] > 0.1 else -26  # clear of the label below
    for field, text, down in (("seen", "pairs seen", 16), ("bound", "at most |λ₂|ᴷ", above),
                              ("left", "differences left", -10)):  # fmt: skip
        words = alt.Chart(main.iloc[[9]].assign(text=text)).mark_text(align="left", dy=down, dx=4)
        words = words.encode(x=x, y=f"{field}:Q", text="text:N")
        chart += charts.paint(words, "theory" if field == "bound" else "measured")
    return charts.titled(chart + charts.vertical(k, f"K = {k}"), title, height=440)


def network(nodes: alt.LayerChart | alt.Chart, links: pd.DataFrame, **more: Any) -> Any:
    """Nodes on top of their links; places in the columns x and y, without axes."""
    x, y = (alt.X("x:Q", axis=None, scale=alt.Scale(padding=18, nice=False, zero=False)),
            alt.Y("y:Q", axis=None, scale=alt.Scale(padding=18, nice=False, zero=False)))  # fmt: skip
    lines = alt.Chart(links).mark_rule(color=charts.GREY, opacity=0.45, aria=False)
    return lines.encode(x=x, y=y, x2="x2:Q", y2="y2:Q", **more) + nodes


@charts.drawing
def view(frames: pd.DataFrame, links: pd.DataFrame, start: int, title: str) -> alt.LayerChart:
    last = int(frames["frame"].max())
    k = charts.scrubber("message_passing_layer", "layers K", last, min(start, last))
    base = alt.Chart(frames).transform_filter(alt.datum.frame == k)
    base = base.encode(
        x="x:Q", y="y:Q", tooltip=["node", "hops", "seen", alt.Tooltip("share:Q", format=".1%")]
    )
    rings = base.transform_filter("datum.within").mark_point(size=330, strokeWidth=1.5, strokeDash=[3, 2])
    unseen = base.transform_filter("!datum.seen").mark_circle(color=charts.GREY, size=110, opacity=1)
    dots = base.transform_filter("datum.seen").mark_circle(opacity=1)
    dots = dots.encode(size=alt.Size("share:Q", legend=None, scale=alt.Scale(domain=[0, 1], range=[50, 330])))
    wrong = base.transform_filter("datum.seen != datum.within").mark_point(shape="cross", size=60, angle=45)
    self = base.transform_filter("datum.hops == 0").mark_text(text="you", dy=-17, fontWeight="bold")
    marks = charts.paint(rings, "theory") + unseen + charts.paint(dots, "measured")
    marks = marks + charts.paint(wrong, "violation") + charts.paint(self, "theory")
    subtitle = "Blue: heard of. Dashed ring: within K steps. Larger: weighs more"
    return charts.titled(network(marks.add_params(k), links), title, subtitle, height=400)


@charts.drawing
def smoothing(frame: pd.DataFrame, k: int, title: str) -> alt.LayerChart:
    x = alt.X("layers:Q", title="layers K")
    frame = frame[frame["log10_bound"] > -14]
    y = {"title": "log₁₀ of what is left"}
    chart = charts.theory_line(frame, x, alt.Y("log10_bound:Q", **y))
    chart = charts.measured_line(frame, x, alt.Y("log10_left:Q", **y)) + chart
    subtitle = "Solid: distance from the limit. Dashed: |λ₂|ᴷ"
    return charts.titled(chart + charts.vertical(k, ""), title, subtitle, height=HEIGHT)


@charts.drawing
def cora(frame: pd.DataFrame, end: float, majority: float, title: str) -> alt.LayerChart:
    axis = alt.Axis(
        values=list(frame["log2_layers"]), labelExpr="datum.value < 0 ? '0' : pow(2, datum.value)"
    )
    x = alt.X("log2_layers:Q", title="linear layers (log)", axis=axis)
    y = alt.Y("accuracy:Q", title="test accuracy", axis=PERCENT, scale=alt.Scale(domainMin=0))
    chart = charts.measured_line(frame, x, y, point=True) + charts.horizontal(end, f"limit: {end:.1%}")
    return charts.titled(
        chart + charts.horizontal(majority, f"largest class: {majority:.1%}"), title, height=HEIGHT
    )


@charts.drawing
def colours(nodes: pd.DataFrame, links: pd.DataFrame, title: str) -> alt.LayerChart:
    k = charts.scrubber("message_passing_round", "round", int(nodes["round"].max()), 1)
    base = alt.Chart(nodes).transform_filter(alt.datum.round == k).encode(x="x:Q", y="y:Q")
    names = sorted(nodes["colour"].unique())
    dots = base.mark_circle(size=520, opacity=1).encode(color=charts.classes("colour:N", names, legend=""))
    numbers = base.mark_text(fontWeight="bold", color="#000").encode(text="colour:N")
    chart = network((dots + numbers).add_params(k), links)
    return charts.titled(chart, title, "The same number: not told apart so far", height=HEIGHT)


@charts.drawing
def aggregators(frame: pd.DataFrame, title: str) -> alt.LayerChart:
    words = frame["told_apart"].map({True: "told apart", False: "the same"})
    base = alt.Chart(
        frame.assign(text=words, kind=frame["told_apart"].map({True: "measured", False: "violation"}))
    )
    base = base.encode(
        x=alt.X("aggregator:N", sort=None, title=None, axis=alt.Axis(labelAngle=0, orient="top")),
        y=alt.Y("pair:N", sort=None, title=None),
        tooltip=["pair", "aggregator", alt.Tooltip("log10_distance:Q", title="log₁₀ distance", format=".1f")],
    )  # fmt: skip
    cells = base.mark_rect(opacity=0.22).encode(color=charts.kind())
    chart = cells + charts.paint(base.mark_text().encode(text="text:N"), "theory")
    return charts.titled(chart, title, "A random network, five rounds, no training", height=HEIGHT)


@charts.drawing
def missed(nodes: pd.DataFrame, links: pd.DataFrame, title: str) -> alt.LayerChart:
    dots = alt.Chart(nodes).mark_circle(size=70, opacity=1).encode(x="x:Q", y="y:Q")
    dots = dots.encode(tooltip=["triangles"])
    chart = network(charts.paint(dots, "measured"), links)
    return charts.titled(chart, title, "In each column two graphs that look alike", height=HEIGHT)


@charts.drawing
def variance(frame: pd.DataFrame, size: int, title: str) -> alt.LayerChart:
    x = alt.X("sampled:Q", title="neighbours asked, S", axis=alt.Axis(tickMinStep=1))
    chart = charts.vertical(size, "")
    for which, fade in (("_with_replacement", 0.45), ("", 1.0)):
        y = alt.Y(f"measured{which}:Q", title="variance, in units of s²/S", scale=alt.Scale(domainMin=0))
        line = charts.measured_line(frame, x, y, point=True).encode(opacity=alt.value(fade))
        chart = chart + line + charts.theory_line(frame, x, f"predicted{which}:Q")
    return charts.titled(chart, title, "Pale: drawn with replacement. Dashed: predicted", height=HEIGHT)


@charts.drawing
def sampled_cora(frame: pd.DataFrame, title: str) -> alt.LayerChart:
    x = alt.X("sampled:N", sort=None, title="neighbours asked, S", axis=alt.Axis(labelAngle=0))
    y = alt.Y("accuracy:Q", title="test accuracy", axis=PERCENT, scale=alt.Scale(domain=[0, 1]))
    bars = charts.paint(alt.Chart(frame).mark_bar(opacity=0.75).encode(x=x, y=y), "measured")
    words = alt.Chart(frame).mark_text(dy=-8).encode(x=x, y=y, text=alt.Text("accuracy:Q", format=".1%"))
    chart = bars + charts.paint(words, "measured") + charts.horizontal(frame["words_alone"][0], "")
    alone = f"Dashed: words alone, {frame['words_alone'][0]:.1%}"
    return charts.titled(chart, title, alone, height=HEIGHT)


@charts.drawing
def widths(frame: pd.DataFrame, title: str) -> alt.LayerChart:
    base = alt.Chart(frame).encode(
        x=alt.X("after:O", title="width after, d′", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("before:O", title="width before, d"), tooltip=["before", "after", "figure", "general"],
    )  # fmt: skip
    meaning = {"fits": "measured", "silently stretched": "violation", "refused": "theory"}
    cells = base.transform_calculate(kind=f"{meaning}[datum.figure]").mark_rect(opacity=0.22)
    sign = base.transform_calculate(
        sign="{'fits': '✓', 'refused': '×', 'silently stretched': '!'}[datum.figure]"
    )
    chart = cells.encode(color=charts.kind()) + charts.paint(sign.mark_text().encode(text="sign:N"), "theory")
    return charts.titled(chart, title, "✓ fits, × refused, ! stretched without a word", height=HEIGHT)


page = open_page("message_passing")
result, tables, summary, settings = page.result, page.tables, page.summary, page.settings
k, main, frames, members = settings.layers, tables["main"], tables["view"], len(page.result.adjacency)
sees, keeps = ("layers see", "keep") if k > 1 else ("layer sees", "keeps")
now = frames[frames["frame"] == min(k, frames["frame"].max())]
who = f"node {min(settings.node, members - 1)} has heard of {int(now['seen'].sum())} of {members}"
listed = [f"{r.layers}: {r.seen:.1%}, {r.left:.1%}" for r in main[:8].itertuples()]
left, right = st.columns([3, 2])
with left:
    share = f"{summary['seen_at_k']:.0%} of all pairs and {keeps} {summary['left_at_k']:.0%}"
    page.main(
        against_layers(main, k, f"{k} {sees} {share} of the differences"),
        alt=f"Pairs seen and differences left, by layers: {'; '.join(listed)}.",
    )
with right:
    heard = [f"{n} after {f}" for f, n in frames.groupby("frame")["seen"].sum().items()]
    page.chart(
        view(frames, tables["links"], k, f"After {k} layer{'s' * (k > 1)} {who}"),
        alt=f"The graph, and how many nodes the chosen one has heard of by layers: {', '.join(heard)}.",
    )

depth, rate = tables["cora"].set_index("layers")["accuracy"], summary["second_eigenvalue"]
last = f"Each layer keeps {rate:.1%} of the differences, in the end"
listed = [f"{n}: {a:.1%}" for n, a in depth.items()]
page.side_by_side(
    (
        smoothing(tables["smoothing"], k, last if rate > 1e-9 else "One layer leaves no differences"),
        f"Differences left after {k}: {summary['left_at_k']:.3g}; at most {rate:.4f} to the power {k}.",
    ),
    (
        cora(
            tables["cora"], summary["cora_limit"], result.cora_majority,
            f"Cora: {depth[0]:.0%} right from words, {depth[2]:.0%} by 2 layers, {depth[256]:.0%} by 256",
        ),
        f"Test accuracy by linear layers: {', '.join(listed)}; in the limit {summary['cora_limit']:.1%}.",
    ),
)  # fmt: skip

st.header("How finely it sees")
tell, names = summary["round_that_tells_the_pair_apart"], settings.pair.replace("/", " and ")
verdict = f"told apart in round {tell:.0f}" if tell < math.inf else "the same for ever"
told = tables["aggregators"].groupby("aggregator")["told_apart"].sum()
count = f"Of five pairs sum tells {told['sum']} apart, mean {told['mean']}, max {told['max']}"
same = tables["aggregators"].query("not told_apart")
listed = [f"{r.pair} by {r.aggregator}" for r in same.itertuples()]
page.side_by_side(
    (
        colours(tables["pair_nodes"], tables["pair_links"], f"By {settings.aggregator}, {names}: {verdict}"),
        f"Two graphs with the colours of their nodes, by round. {names}: {verdict}.",
    ),
    (aggregators(tables["aggregators"], count), f"{count}. The same: {', '.join(listed)}."),
    widths=[3, 2],
)
kinds, missing = summary["classes_of_156_graphs"], tables["missed_nodes"]
triangles = missing.drop_duplicates(["group", "graph"]).groupby("group")["triangles"]
listed = [" and ".join(map(str, counts)) for _, counts in triangles]
left, right = st.columns([3, 2])
with left:
    page.chart(
        missed(missing, tables["missed_links"], f"156 graphs on six nodes look like {kinds}"),
        alt="Graphs that look alike. "
        f"{len(triangles)} pairs of graphs on six nodes that no network of messages tells apart.",
    )
right.markdown(
    f"All 156 graphs on six nodes went through the same rounds, and {156 - kinds} end in a class that was "
    "taken. In each column nodes have the same neighbours, who have the same neighbours, and so on. Count "
    f"the triangles above and below: {', '.join(listed)}. No sum of messages can. A network that is to see "
    "more needs more than messages: node numbers, distances, or counts of triangles."
)

st.header("What a layer costs, and what fits")
table, size = tables["sampling"], min(settings.sample, len(tables["sampling"]))
sampled = tables["cora_sampled"].set_index("sampled")["accuracy"]
listed = [f"{n}: {a:.1%}" for n, a in sampled.items()]
left, right = st.columns(2)
with left:
    if len(table) > 1:
        row = table.iloc[size - 1]
        of = f"Asking {size} of {len(table)}: {row['measured']:.2f} of the variance with replacement"
        page.chart(
            variance(table, size, of),
            alt="Variance by the number of neighbours asked. "
            f"{of}, predicted {row['predicted']:.4f}; the variance is {row['variance']:.4g}.",
        )
    else:
        st.info(
            "No node of this graph has two neighbours, so there is nothing to sample. The mean of no "
            "messages is 0.", icon=":material/scatter_plot:",
        )  # fmt: skip
with right:
    few = f"Cora: {sampled['2']:.0%} with two neighbours asked, {sampled['all']:.0%} with all"
    page.chart(sampled_cora(tables["cora_sampled"], few), alt=f"Accuracy by sample: {', '.join(listed)}.")
left, right = st.columns([3, 2])
with left:
    square = int((tables["widths"]["figure"] == "fits").sum())
    page.chart(
        widths(tables["widths"], f"W·AGG + v fits {square} of {len(tables['widths'])} pairs of widths"),
        alt="The sum fits where both widths are equal, and is stretched where one of them is 1.",
    )
right.markdown(
    "As it is often drawn, an update adds the node's state to what W makes of its messages. The two can be "
    "added only where they are equally long. Worse, NumPy and PyTorch stretch an array of one number without "
    "a word. With weights for the state too, $W_1 v + W_2 \\text{AGG}$, every pair of widths fits."
)

page.close()
