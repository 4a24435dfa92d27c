"""Attention as a graph: the page."""

from ui import charts
from ui.page import open_page

from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from lab.numbers import number

HEIGHT = 320
QUERY = "attention_graph_query"
STEPS = {"axis": alt.Axis(tickMinStep=1), "scale": alt.Scale(domainMin=1, nice=False)}
FORMS = {"−∞ added": "added", "× before": "before", "× after": "after"}
# Matrix and graph stand side by side, and on a narrow screen one above the other.
NARROW = "(width < 520)"
SIDE = f"({NARROW} ? min(width - 26, height / 2 - 34) : min(width / 2 - 40, height - 44))"
MATRIX_LEFT = f"{NARROW} ? (width - {SIDE}) / 2 : 26"
LEFT, TOP = f"({NARROW} ? (width - {SIDE}) / 2 : width - {SIDE})", f"({NARROW} ? height - {SIDE} : 44)"


def square(left: str, top: str, domain: list[float]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Scales of a square of SIDE pixels, its corner at left and top."""
    return tuple(
        {"axis": None, "scale": alt.Scale(
            domain=domain, range=[alt.ExprRef(start), alt.ExprRef(f"{start} + {SIDE}")], nice=False)}
        for start in (left, top)
    )  # fmt: skip


def matrix(cells: pd.DataFrame, nodes: pd.DataFrame, largest: float) -> alt.LayerChart:
    count = len(nodes)
    across, down = square(f"({MATRIX_LEFT})", "44", [0, count])
    base = alt.Chart(cells).transform_calculate(x2="datum.key + 0.94", y2="datum.query + 0.94")
    base = base.encode(
        x=alt.X("key:Q", **across), x2="x2:Q", y=alt.Y("query:Q", **down), y2="y2:Q",
        tooltip=["query_name", "key_name", alt.Tooltip("weight:Q", format=".4f")],
    )  # fmt: skip
    scale = alt.Scale(type="sqrt", domain=[0, largest], range=[0.04, 0.75], clamp=True)
    cell = base.transform_filter("datum.kind != 'none'").mark_rect()
    cell = cell.encode(opacity=alt.Opacity("weight:Q", scale=scale, legend=None), color=charts.kind())
    none = base.transform_filter("datum.kind == 'none'").mark_rect(color=charts.GREY, opacity=0.1)
    said = alt.Chart(nodes).transform_filter(f"datum.token + 1 == {QUERY}")
    frame = said.transform_calculate(x="0", x2=f"{count}", y2="datum.token + 1")
    frame = frame.mark_rect(filled=False, strokeWidth=2).encode(
        x=alt.X("x:Q", **across), x2="x2:Q", y=alt.Y("token:Q", **down), y2="y2:Q"
    )
    fits = f"datum.query + 1 == {QUERY} && {SIDE} / {count} > 27 && datum.kind != 'none'"
    numbers = alt.Chart(cells).transform_filter(fits)
    numbers = numbers.transform_calculate(x="datum.key + 0.47", y="datum.query + 0.47")
    numbers = numbers.mark_text(fontSize=11).encode(
        x=alt.X("x:Q", **across), y=alt.Y("y:Q", **down), text=alt.Text("weight:Q", format=".2f")
    )
    some = alt.Chart(nodes).transform_filter(f"datum.token % ceil(15 * {count} / {SIDE}) == 0")
    some = some.transform_calculate(middle="datum.token + 0.5", zero="0")
    rows = some.mark_text(align="right", fontSize=11, dx=-5).encode(
        x=alt.X("zero:Q", **across), y=alt.Y("middle:Q", **down), text="name:N"
    )
    columns = some.mark_text(fontSize=11).encode(
        x=alt.X("middle:Q", **across), y=alt.value(36), text="name:N"
    )
    words = said.mark_text(align="left", baseline="top", fontSize=13, fontWeight="bold")
    words = words.encode(text="said:N", x=alt.value(0), y=alt.value(4))
    ink = [charts.paint(layer, "theory") for layer in (frame, numbers, rows, columns, words)]
    return alt.layer(none, cell, *ink)


def graph(cells: pd.DataFrame, nodes: pd.DataFrame, largest: float) -> alt.LayerChart:
    across, down = square(LEFT, TOP, [-1.32, 1.32])
    ends = {"x": alt.X("x:Q", **across), "y": alt.Y("y:Q", **down)}
    edges, to = (
        alt.Chart(cells).transform_filter("datum.kind != 'none'").encode(**ends),
        {"x2": "x2:Q", "y2": "y2:Q"},
    )
    strength = {"scale": alt.Scale(domain=[0, largest], range=[0.06, 0.7], clamp=True), "legend": None}
    faint = edges.mark_rule(color=charts.GREY).encode(opacity=alt.Opacity("weight:Q", **strength), **to)
    width = alt.Scale(domain=[0, largest], range=[0.3, 9], clamp=True)
    tip = ["query_name", "key_name", alt.Tooltip("weight:Q", format=".4f")]
    area = alt.Scale(domain=[0, largest], range=[30, 420], clamp=True)
    chosen = edges.transform_filter(f"datum.query + 1 == {QUERY}")
    strong = chosen.mark_rule(opacity=0.75).encode(
        strokeWidth=alt.StrokeWidth("weight:Q", scale=width, legend=None), color=charts.kind(),
        tooltip=tip, **to,
    )  # fmt: skip
    dots = chosen.mark_circle(opacity=1, stroke=None).encode(
        size=alt.Size("weight:Q", scale=area, legend=None),
        color=charts.kind(), tooltip=tip,
    )  # fmt: skip
    all_nodes = alt.Chart(nodes).encode(**ends)
    small = all_nodes.mark_circle(size=30, color=charts.GREY, opacity=1)
    you = all_nodes.transform_filter(f"datum.token + 1 == {QUERY}").mark_point(
        size=alt.ExprRef(f"{NARROW} ? 250 : 620"), strokeWidth=2.5
    )
    names = alt.Chart(nodes).transform_calculate(x="1.21 * datum.x", y="1.21 * datum.y").encode(**ends)
    names = names.mark_text(fontSize=11).encode(text="name:N")
    return alt.layer(faint, strong, small, dots, charts.paint(you, "theory"), charts.paint(names, "theory"))


@charts.drawing
def attention(cells: pd.DataFrame, nodes: pd.DataFrame, title: str, subtitle: str) -> alt.LayerChart:
    largest = min(max(float(cells["weight"].max()), 1e-9), 0.4)  # rows with few edges would outshine the rest
    places = nodes.set_index("token")[["x", "y"]]
    lines = cells.join(places, on="key").join(places.add_suffix("2"), on="query")
    chart = alt.layer(matrix(cells, nodes, largest), graph(lines, nodes, largest))
    chart = chart.resolve_scale(x="independent", y="independent", opacity="independent", size="independent")
    query = alt.param(
        name=QUERY, value=len(nodes) // 2 + 1,
        bind=alt.binding_range(min=1, max=len(nodes), step=1, name="query token "),
    )  # fmt: skip
    return charts.titled(chart.add_params(query), title, subtitle, height=560)


@charts.drawing
def pixels(rows: pd.DataFrame, names: list[str]) -> alt.Chart:
    base = alt.Chart(rows).mark_rect().encode(
        x=alt.X("column:O", title="pixel", axis=alt.Axis(labels=False, ticks=False)),
        y=alt.Y("token:O", title="token", axis=alt.Axis(labelExpr=f"{names}[datum.value]")),
        color=alt.Color("pixel:Q", scale=alt.Scale(scheme="greys", domain=[0, 16]), legend=None),
    )  # fmt: skip
    return charts.titled(base, "Tokens: rows of digits", height=HEIGHT)


@charts.drawing
def neighbours(main: pd.DataFrame, title: str) -> alt.LayerChart:
    x = alt.X("token:Q", title="token, in the order they come in", **STEPS)
    y = alt.Y("effective_neighbours:Q", title="neighbours", scale=alt.Scale(domainMin=0))
    limit = charts.theory_line(main, x, alt.Y("neighbours:Q", title="neighbours"))
    chart = limit + charts.measured_line(main, x, y, point=True)
    return charts.titled(chart, title, "Solid: effective neighbours. Dashed: edges in", height=HEIGHT)


@charts.drawing
def difference(frame: pd.DataFrame, title: str) -> alt.LayerChart:
    x = alt.X("token:Q", title="token", **STEPS)
    axis = alt.Axis(values=list(range(-18, -9)), labelExpr="datum.value == -18 ? 'none' : datum.label")
    scale = alt.Scale(domainMin=-18.2, nice=False, zero=False)
    y = {"title": "log₁₀ of the difference", "axis": axis, "scale": scale}
    dots = charts.paint(alt.Chart(frame).mark_point(filled=True, size=60, opacity=1), "measured")
    chart = charts.theory_line(frame, x, alt.Y("log10_bound:Q", **y))
    chart += dots.encode(x=x, y=alt.Y("log10_difference:Q", **y), tooltip=["token", "difference", "bound"])
    return charts.titled(chart, title, "Dots: measured. Dashed: what rounding allows", height=HEIGHT)


@charts.drawing
def orders(frame: pd.DataFrame, title: str) -> alt.LayerChart:
    frame = frame.assign(kind=frame["kept"].map({True: "measured", False: "violation"}))
    x = alt.X("log10_moved:Q", title="log₁₀ of what changes", scale=alt.Scale(domain=[-18.4, 2], nice=False))
    y = alt.Y("case:N", sort=None, title=None, axis=alt.Axis(labelLimit=180))
    dots = alt.Chart(frame).mark_point(filled=True, size=90, opacity=1)
    dots = dots.encode(x=x, y=y, color=charts.kind(), tooltip=["case", "moved"])
    chart = dots + charts.vertical(-9, "1e−9", align="right")
    return charts.titled(chart, title, "Blue: outputs follow the tokens. Vermillion: not", height=HEIGHT)


@charts.drawing
def example(frame: pd.DataFrame, title: str) -> alt.LayerChart:
    cells = frame.assign(
        key=[f"{s:g}{', hidden' if h else ''}" for s, h in zip(frame["score"], frame["hidden"], strict=True)]
    )
    sums = frame.groupby("mask", sort=False)["weight"].sum().reset_index().assign(key="sum", hidden=False)
    cells = pd.concat([cells, sums], ignore_index=True)
    bad = (cells["hidden"] & (cells["weight"] > 0)) | ((cells["key"] == "sum") & (cells["weight"] < 0.999))
    cells = cells.assign(kind=bad.map({True: "violation", False: "measured"}))
    labels = "{'added': '−∞ added', 'before': '× before', 'after': '× after'}[datum.value]"
    base = alt.Chart(cells).encode(
        x=alt.X("key:N", sort=None, title="score of the key", axis=alt.Axis(labelAngle=0, orient="top")),
        y=alt.Y("mask:N", sort=None, title=None, axis=alt.Axis(labelExpr=labels)),
        tooltip=["mask", "key", alt.Tooltip("weight:Q", format=".4f")],
    )  # fmt: skip
    boxes = base.mark_rect().encode(
        color=charts.kind(), opacity=alt.Opacity("weight:Q", scale=alt.Scale(range=[0.05, 0.6]), legend=None)
    )
    words = charts.paint(base.mark_text().encode(text=alt.Text("weight:Q", format=".3f")), "theory")
    return charts.titled(boxes + words, title, "Four keys, three ways to mask the last", height=HEIGHT)


@charts.drawing
def two_forms(scores: pd.DataFrame, y: str, columns: list[str], title: str, **axis: Any) -> alt.LayerChart:
    """Curves against d: measured and predicted undivided, then measured and predicted divided."""
    widths = alt.Axis(values=[2, 4, 6, 8, 10], labelExpr="pow(2, datum.value)")
    x, chart = alt.X("log2_d:Q", title="width d", axis=widths), alt.layer()
    for text, measured, predicted in (("undivided", *columns[:2]), ("divided by √d", *columns[2:])):
        line = {"title": y, **axis}
        chart += charts.measured_line(scores, x, alt.Y(f"{measured}:Q", **line), point=True)
        chart += charts.theory_line(scores, x, alt.Y(f"{predicted}:Q", **line))
        words = alt.Chart(scores.iloc[[3]].assign(text=text)).mark_text(align="right", dy=-12)
        chart += charts.paint(words.encode(x=x, y=f"{measured}:Q", text="text:N"), "measured")
    return charts.titled(chart, title, "Solid: random queries and keys. Dashed: predicted", height=HEIGHT)


@charts.drawing
def memory(carried: pd.DataFrame, title: str) -> alt.LayerChart:
    names = {"attention": "attention", "retention": "RetNet", "rwkv": "RWKV"}
    tidy = carried.rename(columns=names).melt("token", var_name="model", value_name="numbers")
    x = alt.X("token:Q", title="token", **STEPS)
    lines = alt.Chart(tidy).mark_line(strokeWidth=2.5).encode(
        x=x, y=alt.Y("numbers:Q", title="numbers kept after it"), tooltip=["model", "token", "numbers"],
        color=charts.classes("model:N", list(names.values())),
    )  # fmt: skip
    return charts.titled(lines, title, "What the next token needs of the past", height=HEIGHT)


def told(cells: pd.DataFrame, nodes: pd.DataFrame) -> list[str]:
    """A sentence for each query: how many edges it has, and the strongest."""
    seen = cells[cells["kind"] != "none"]
    strongest = seen.loc[seen.groupby("query")["weight"].idxmax()].set_index("query")
    counts, words = seen["query"].value_counts(), []
    for token, name in zip(nodes["token"], nodes["name"], strict=True):
        if token in strongest.index:
            best, edges = strongest.loc[token], f"{counts[token]} edge{'s' if counts[token] > 1 else ''}"
            words.append(f"{name}: {edges} in, the strongest from {best['key_name']} ({best['weight']:.2f})")
        else:
            words.append(f"{name} has no neighbours: no messages, output 0")
    return words


def explained(chart: Any, text: str, words: str) -> None:
    left, right = st.columns([3, 2])
    right.markdown(words)
    with left:
        page.chart(chart, alt=text)


page = open_page("attention_graph")
tables, summary, settings = page.tables, page.summary, page.settings
count, alone = settings.tokens, int(summary["without_neighbours"])
form = page.view(
    "mask", "How the mask is applied", list(FORMS), next(iter(FORMS)),
    help="Added to the scores, or multiplied before or after the softmax. The full mask hides nothing.",
)  # fmt: skip
cells, nodes = tables["attention"], tables["nodes"]
cells = cells.assign(weight=cells[FORMS[form]], kind="none")
cells.loc[~cells["edge"] & (cells["weight"] > 0), "kind"] = "violation"
cells.loc[cells["edge"], "kind"] = "measured"
nodes, leaks = nodes.assign(said=told(cells, nodes)), int((cells["kind"] == "violation").sum())
edges = f"{summary['edges']:.0f} of {count**2} edges"
title = f"The same numbers twice: {edges}"
if leaks:
    title = f"{leaks} hidden edges leak when scores are multiplied by the mask"
elif form == "× after" and summary["edges"] < count**2:
    title = "Multiplied after the softmax, the weights into a token no longer add up to 1"
page.chart(
    attention(cells, nodes, title, "A row of the matrix is the edges into a token"),
    alt=f"Attention of {count} tokens as a matrix and as a graph, {edges}; largest weight "
    f"{summary['largest_weight']:.3f}; {leaks} leaks. {'. '.join(nodes['said'])}.",
)
if alone:
    st.info(
        f"{alone} of {count} tokens have no neighbours under this mask. The formula would divide 0 by 0; as "
        "a node without messages, such a token gets weights 0 and output 0.", icon=":material/link_off:",
    )  # fmt: skip

mean, main = summary["mean_effective_neighbours"], tables["main"]
left, right = st.columns([1, 2])
with left:
    names = list(nodes["name"])
    page.chart(pixels(tables["rows"], names), alt=f"Rows of digits: {', '.join(names)}.")
with right:
    page.main(
        neighbours(main, f"On average a token has {main['neighbours'].mean():.3g} edges and uses {mean:.3g}"),
        alt="Effective neighbours of each token: "
        + ", ".join(
            f"{r.name} {r.effective_neighbours:.2f} of {r.neighbours:.0f}"
            for r in main.itertuples(index=False)
        ),
    )

order = tables["order"].set_index("case")["moved"]
gap = summary["largest_difference"]
page.side_by_side(
    (
        difference(tables["difference"], f"Matrix and messages differ by {number(gap)} at most"),
        f"Difference of the outputs by token, at most {gap:.2e}, each below its rounding bound.",
    ),
    (
        orders(tables["order"], "A new order changes no output, unless places count"),
        "What reordering changes: " + ", ".join(f"{case} {moved:.2g}" for case, moved in order.items()),
    ),
)  # fmt: skip

st.header("What a mask must do", anchor=False)
kept = tables["example"].query("mask == 'before' and hidden")["weight"].item()
hides = "causal" if summary["edges"] == count**2 else settings.mask
explained(
    example(tables["example"], f"Multiplied by 0, the hidden key still gets {kept:.3f}"),
    f"Weights under three masks; multiplied before the softmax, the hidden key gets {kept:.3f}.",
    "A decoder hides the future. Add −∞ to a hidden score and its weight is exactly 0. Multiply the score "
    "by 0 instead, and the hidden key competes with a score of 0, which may well beat the others. Multiply "
    "the weight, and what it had is missing from the sum.\n\n"
    f"Among your tokens ({hides} mask) the worst such leak has weight **{summary['largest_leak']:.3f}**: "
    "change a hidden value by 1, and an output moves by that.",
)

st.header("Why the scores are divided", anchor=False)
scores = tables["scores"]
wide, sharp = scores["variance"].iloc[-1], summary["top_weight_1024"]
power = alt.Axis(values=[-2, 0, 2, 4, 6, 8, 10], labelExpr="pow(2, datum.value)")
page.side_by_side(
    (
        two_forms(scores, "variance of q·k (log)", ["log2_variance", "log2_d", "log2_scaled", "zero"],
                  f"Undivided, scores vary by {wide:,.0f} at d = 1,024", axis=power),
        f"Variance of scores: {', '.join(f'{v:.4g}' for v in scores['variance'])} at d = 4 to 1,024.",
    ),
    (
        two_forms(scores, "weight of the strongest of 64",
                  ["top_weight", "predicted", "top_weight_scaled", "predicted_scaled"],
                  f"Undivided, one key of 64 takes {sharp:.0%}",
                  axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])),
        f"Top weight at d = 1,024: {sharp:.3f} undivided, {summary['top_weight_1024_scaled']:.3f} divided.",
    ),
)  # fmt: skip

st.header("Without comparing all pairs", anchor=False)
carried = tables["carried"].iloc[-1]
sizes = f"attention keeps {carried['attention']:,.0f} numbers, RWKV {carried['rwkv']:.0f}"
explained(
    memory(tables["carried"], f"After {count} tokens {sizes}"),
    f"Numbers kept after {count} tokens: {sizes}, RetNet {carried['retention']:.0f}.",
    "Attention keeps every key and value, because the next query will be compared with each. RWKV keeps two "
    "running sums a channel, RetNet one d × d matrix, however long the past. Both are sums over all pairs as "
    "well, and the claims below hold the two forms against each other.",
)

page.close()
