"""GCN on Cora: the page."""

from ui import charts
from ui.page import open_page

import altair as alt
import pandas as pd
import streamlit as st

from experiments.gcn_cora import DEPTHS, GCN, NO_EDGES, PUBLISHED, SHUFFLED, neighbourhood
from lab.cora import CLASSES
from lab.numbers import number

PERCENT = alt.Axis(format="%")
LAYERS = alt.Axis(tickMinStep=1)
LOG = {"scale": alt.Scale(type="log"), "axis": alt.Axis(tickCount=4)}
KEY = alt.Legend(title=None, orient="top", symbolStrokeColor=charts.GREY)
SHORT = "replace(replace(datum.label, 'Reinforcement', 'Reinf.'), 'Probabilistic', 'Probab.')"
CROSS = "M-1,-1L1,1M1,-1L-1,1"
FIRST = 345  # the paper shown at first: words alone put it elsewhere


def level(value: float, text: str) -> alt.LayerChart:
    base = charts.paint(alt.Chart(pd.DataFrame({"at": [value], "text": [text]})).encode(y="at:Q"), "theory")
    words = base.mark_text(align="right", dy=-8).encode(text="text:N", x=alt.value("width"))
    return base.mark_rule(strokeDash=[6, 4], strokeWidth=1.5) + words


@charts.drawing
def over_epochs(
    curves: pd.DataFrame, field: str, title: str, subtitle: str, levels: dict[str, float]
) -> alt.LayerChart:
    share = field == "accuracy"
    axis, name = (PERCENT, "accuracy") if share else (alt.Axis(), "cross-entropy [nats]")
    dash = alt.Scale(domain=["test", "validation", "training"], range=[[1, 0], [6, 3], [2, 2]])
    lines = alt.Chart(curves).mark_line(strokeWidth=2.2)
    lines = lines.encode(
        x=alt.X("epoch:Q", title="epoch", scale=alt.Scale(domain=[0, 200], nice=False)),
        y=alt.Y(
            f"{field}:Q", title=name, axis=axis, scale=alt.Scale(domain=[0, 1] if share else alt.Undefined)
        ),
        strokeDash=alt.StrokeDash("part:N", scale=dash, legend=KEY),
        tooltip=["part", "epoch", alt.Tooltip(f"{field}:Q", format=".1%" if share else ".3f")],
    )
    chart = charts.paint(lines, "measured")
    for text, value in levels.items():
        chart += level(value, text)
    return charts.titled(chart, title, subtitle, height=420 if share else 320)


@charts.drawing
def models(networks: pd.DataFrame, title: str) -> alt.LayerChart:
    order = networks.groupby("model")["test"].mean().sort_values(ascending=False)
    base = alt.Chart(networks).encode(
        x=alt.X("test:Q", title="test accuracy", axis=PERCENT, scale=alt.Scale(zero=False)),
        y=alt.Y("model:N", title=None, sort=list(order.index), axis=alt.Axis(labelLimit=150)),
        tooltip=["model", "network", *(alt.Tooltip(f"{part}:Q", format=".1%") for part in ("test", "train"))],
    )
    strong = alt.condition("datum.model == 'yours'", alt.value(1), alt.value(0.5))
    dots = charts.paint(base.mark_point(filled=True, size=60), "measured").encode(opacity=strong)
    means = base.mark_tick(thickness=2, bandSize=18).encode(x="mean(test):Q", tooltip=["model"])
    chart = dots + charts.paint(means, "measured") + charts.vertical(PUBLISHED, "")
    return charts.titled(chart, title, "A dot a network. Dashed: published, 81.5%", height=420)


@charts.drawing
def stacked(own: pd.DataFrame, title: str) -> alt.LayerChart:
    own = own.assign(place=own.groupby((own["test"] / 0.005).round()).cumcount() + 1)
    ends = [min(own["test"].min(), PUBLISHED) - 0.01, max(own["test"].max(), PUBLISHED) + 0.01]
    dots = alt.Chart(own).mark_point(filled=True, size=90, opacity=1)
    dots = dots.encode(
        x=alt.X("test:Q", title="test accuracy", axis=alt.Axis(format=".1%"), scale=alt.Scale(domain=ends)),
        y=alt.Y(
            "place:Q", title="networks", axis=alt.Axis(tickMinStep=1),
            scale=alt.Scale(domain=[0, max(own["place"].max(), 3) + 1], nice=False),
        ),
        tooltip=["network", alt.Tooltip("test:Q", format=".1%")],
    )  # fmt: skip
    chart = charts.paint(dots, "measured") + charts.vertical(PUBLISHED, "")
    return charts.titled(chart, title, "A dot a network. Dashed: published, 81.5%", height=320)


@charts.drawing
def embedding(papers: pd.DataFrame, title: str) -> alt.LayerChart:
    pick = alt.selection_point(name="paper", fields=["paper"], on="click", empty=False)
    base = alt.Chart(papers).encode(
        x=alt.X("x:Q", title="first principal component", scale=alt.Scale(zero=False)),
        y=alt.Y("y:Q", title="second", scale=alt.Scale(zero=False)),
        tooltip=["paper", "class", "predicted", alt.Tooltip("confidence:Q", format=".0%"), "part"],
    )
    size = alt.condition(pick, alt.value(250), alt.value(36))
    dots = base.mark_circle(opacity=0.8).encode(color=charts.classes("class:N", list(CLASSES)), size=size)
    wrong = base.transform_filter("!datum.right")
    wrong = charts.paint(wrong.mark_point(shape=CROSS, size=90, strokeWidth=1.1), "violation")
    chart = (wrong + dots.add_params(pick)).resolve_scale(color="independent")
    return charts.titled(chart, title, "Last hidden layer, first network. Crossed: wrong", height=560)


@charts.drawing
def confusion(counts: pd.DataFrame, title: str) -> alt.LayerChart:
    across = alt.Axis(labelAngle=-50, labelOverlap=False, labelExpr=SHORT)
    up = alt.Axis(labelOverlap=False, labelExpr=SHORT)
    base = alt.Chart(counts).encode(
        x=alt.X("predicted:N", sort=CLASSES, title="predicted", axis=across),
        y=alt.Y("class:N", sort=CLASSES, title="true class", axis=up),
        tooltip=["class", "predicted", "papers", alt.Tooltip("share:Q", format=".0%")],
    )
    # Half the scale is left unused, so that the numbers can be read on every cell in both themes.
    cells = base.mark_rect().encode(color=alt.Color("share:Q", scale=alt.Scale(domain=[0, 2]), legend=None))
    numbers = charts.paint(base.transform_filter("datum.papers > 0").mark_text(), "theory")
    chart = (cells + numbers.encode(text="papers:Q")).resolve_scale(color="independent")
    return charts.titled(chart, title, "Test papers, first network", height=470)


@charts.drawing
def neighbours(nodes: pd.DataFrame, links: pd.DataFrame, title: str, subtitle: str) -> alt.LayerChart:
    place = {"axis": None, "scale": alt.Scale(domain=[-1.2, 1.2], nice=False)}
    lines = alt.Chart(links).mark_rule(color=charts.GREY).encode(
        x=alt.X("x:Q", **place), y=alt.Y("y:Q", **place), x2="x2:Q", y2="y2:Q",
        opacity=alt.condition("datum.direct", alt.value(0.9), alt.value(0.35)),
    )  # fmt: skip
    base = alt.Chart(nodes).encode(x=alt.X("x:Q", **place), y=alt.Y("y:Q", **place))
    numbers = [alt.Tooltip(f"{name}:Q", format=".3f") for name in ("weight", "vote")]
    dots = base.mark_circle(opacity=1).encode(
        color=charts.classes("class:N", list(CLASSES)),
        size=alt.Size("weight:Q", scale=alt.Scale(domain=[0, 0.5], range=[30, 900], clamp=True), legend=None),
        tooltip=["paper", "class", "predicted", "part", *numbers],
    )  # fmt: skip
    middle = base.transform_filter("datum.role == 'this paper'")
    ring = charts.paint(middle.mark_point(size=1300, strokeWidth=2, strokeDash=[4, 3]), "theory")
    chart = (lines + ring + dots).resolve_scale(color="independent")
    return charts.titled(chart, title, subtitle, height=430)


@charts.drawing
def by_depth(depth: pd.DataFrame, title: str) -> alt.LayerChart:
    tidy = depth.melt(["layers", "network"], ["test", "train"], var_name="part", value_name="accuracy")
    dash = alt.Scale(domain=["test", "train"], range=[[1, 0], [2, 2]])
    y = alt.Y("accuracy:Q", title="accuracy", axis=PERCENT, scale=alt.Scale(domain=[0, 1.02], nice=False))
    base = alt.Chart(tidy).encode(
        x=alt.X("layers:Q", title="layers K", axis=LAYERS, scale=alt.Scale(domain=[0.7, 8.3], nice=False))
    )
    lines = base.mark_line(strokeWidth=2.2).encode(
        y=alt.Y("mean(accuracy):Q"), strokeDash=alt.StrokeDash("part:N", scale=dash, legend=KEY)
    )
    tips = ["layers", "part", alt.Tooltip("accuracy:Q", format=".1%")]
    dots = base.mark_point(filled=True, size=45, opacity=0.6).encode(y=y, tooltip=tips)
    chart = charts.paint(dots, "measured") + charts.paint(lines, "measured")
    return charts.titled(chart, title, "A dot a network, published recipe but for K", height=320)


@charts.drawing
def smoothing(energy: pd.DataFrame, title: str) -> alt.Chart:
    named = energy.assign(depth=[f"K = {k}" for k in energy["layers"]])
    lines = alt.Chart(named).mark_line(strokeWidth=2.2, point={"size": 36, "filled": True}).encode(
        x=alt.X("after_layer:Q", title="after layer (0: the words)", axis=LAYERS),
        y=alt.Y("energy:Q", title="energy per length² (log)", **LOG),
        color=charts.classes("depth:N", list(named["depth"].unique())),
        tooltip=["depth", "after_layer", alt.Tooltip("energy:Q", format=".3f")],
    )  # fmt: skip
    return charts.titled(lines, title, "Dirichlet energy: how much neighbours differ", height=320)


@charts.drawing
def reach(hops: pd.DataFrame, title: str) -> alt.LayerChart:
    y = alt.Y("value:Q", title="papers (log)", **LOG)
    names = {"papers_seen": "measured", "papers_within_as_many_steps": "predicted"}
    lines = alt.Chart(charts.long(hops.rename(columns=names), "layers")).mark_line(strokeWidth=2.5).encode(
        x=alt.X("layers:Q", title="layers K", axis=LAYERS), y=y, color=charts.kind(), strokeDash=charts.dash()
    )  # fmt: skip
    subtitle = "Solid: seen by the network. Dashed: within K steps"
    return charts.titled(lines, title, subtitle, height=320)


def take_picked() -> None:
    """Put the paper selected in the scatter into the number field, and so into the link."""
    if picked := st.session_state["gcn_cora_scatter"].selection.get("paper"):
        st.session_state["gcn_cora_view_paper"] = int(picked[0]["paper"])


page = open_page("gcn_cora")
result, tables, summary, count = page.result, page.tables, page.summary, page.settings.seeds
networks, curves = tables["networks"], tables["curves"]
own, mean = networks[networks["model"] == "yours"], networks.groupby("model", sort=False)["test"].mean()

left, right = st.columns([3, 2])
with left:
    yours = "Your network gets" if count == 1 else f"Your {count} networks get"
    levels = {"published 81.5%": PUBLISHED}
    levels |= {f"{name} {mean[name]:.1%}": mean[name] for name in (NO_EDGES, SHUFFLED) if name in mean}
    page.main(
        over_epochs(
            curves, "accuracy", f"{yours} {mean['yours']:.1%} of the test papers right",
            "Mean of your networks. Dashed: the published one", levels,
        ),
        alt=f"Accuracy after each of 200 epochs. At the end: training {summary['train_accuracy']:.1%}, "
        f"validation {summary['validation_accuracy']:.1%}, test {mean['yours']:.1%}.",
    )  # fmt: skip
with right:
    title = "Your networks against the published accuracy"
    if NO_EDGES in mean:
        title = f"Same words: {mean[NO_EDGES]:.0%} without citations, {mean[GCN]:.0%} with them"
    values = ", ".join(f"{name} {value:.1%}" for name, value in mean.items())
    page.chart(models(networks, title), alt=f"Test accuracy by model: {values}; published 81.5%.")

left, right = st.columns(2)
with left:
    spread = f"{own['test'].min():.1%} to {own['test'].max():.1%}" if count > 1 else f"{mean['yours']:.1%}"
    page.chart(
        stacked(
            own, f"From seed to seed: {spread}" if count > 1 else f"One seed: {spread}. Try more networks"
        ),
        alt=f"Test accuracy, {count} networks: {spread}; published 81.5%.",
    )
with right:
    last = curves[curves["epoch"] == 200].set_index("part")["loss"]
    trained = f"Training: {last['training']:.2f}, asked without dropout"
    page.chart(
        over_epochs(curves, "loss", f"The test loss ends at {last['test']:.2f}", trained, {}),
        alt="Cross-entropy at the end: " + ", ".join(f"{part} {value:.3f}" for part, value in last.items()),
    )

st.subheader("Where the papers go", anchor=False)
papers, counts = tables["papers"], tables["confusion"]
which = page.view("papers", "Papers", ["test", "all"], "test")
drawn = papers if which == "all" else papers[papers["part"] == "test"]
left, right = st.columns([3, 2])
with left:
    page.chart(
        embedding(drawn, f"{drawn['right'].mean():.1%} of {len(drawn):,} papers are right. Select one."),
        on_select=take_picked, key="gcn_cora_scatter",
        alt="The papers in a plane. "
        f"{len(drawn):,} in the plane in which the last hidden layer spreads most, by class; "
        f"{int((~drawn['right']).sum())} wrong ones are crossed.",
    )  # fmt: skip
with right:
    off = counts[counts["class"] != counts["predicted"]]
    worst = off.loc[off["papers"].idxmax()]
    finding = f"{worst['papers']} papers on {worst['class']} are taken for {worst['predicted']}"
    page.chart(confusion(counts, finding), alt=f"Confusion matrix; the most frequent mistake: {finding}.")

st.subheader("Pick a paper", anchor=False)
left, right = st.columns([3, 2])
with right:
    typed = st.number_input(
        "Paper, 0 to 2707, or select one above", 0, 2707, FIRST,
        key="gcn_cora_view_paper", bind="query-params",
        help="Paper 736 has two twins in the validation set: the same words, class and citations.",
    )  # fmt: skip
paper = papers.loc[typed]
nodes, links = neighbourhood(result, int(paper["paper"]))
with left:
    verdict = "and right" if paper["right"] else f"but it is {paper['class']}"
    page.chart(
        neighbours(
            nodes, links, f"Paper {paper['paper']}: {paper['predicted']}",
            f"{paper['confidence']:.0%} sure {verdict}; {paper['part']}. A larger dot weighs more",
        ),
        alt="A paper and its neighbours. "
        f"Paper {paper['paper']}, called {paper['predicted']} {verdict}; {len(nodes) - 1} neighbours.",
    )  # fmt: skip
with right:
    st.dataframe(
        nodes[["paper", "class", "weight", "vote"]].sort_values("weight", ascending=False),
        hide_index=True, width="stretch", height=min(38 + 35 * len(nodes), 300),
        column_config={name: st.column_config.NumberColumn(format="%.3f") for name in ("weight", "vote")},
    )  # fmt: skip
    st.caption(
        f"The row that decides. Weight: how much the paper listens. Vote: what that adds to the score of "
        f"{paper['predicted']}, over the average class. All votes together are {nodes['vote'].sum():.2f}."
    )

st.subheader("Why not more layers?", anchor=False)
left, right = st.columns(2)
if DEPTHS[8] in mean:
    deep = tables["depth"].groupby("layers")[["test", "train"]].mean()
    end = {k: frame["energy"].iloc[-2] for k, frame in tables["energy"].groupby("layers")}
    with left:
        page.chart(
            by_depth(
                tables["depth"], f"Two layers: {deep['test'][2]:.0%} right, eight: {deep['test'][8]:.0%}"
            ),
            alt="Test accuracy: " + ", ".join(f"{k} layers {value:.1%}" for k, value in deep["test"].items()),
        )
    with right:
        page.chart(
            smoothing(tables["energy"], "The deeper, the more alike neighbours become"),
            alt="Energy of the last hidden layer: " + ", ".join(f"K = {k} {v:.3f}" for k, v in end.items()),
        )
else:
    left.info("Compare with all to see other depths.", icon=":material/tune:")
left, right = st.columns(2)
with left:
    seen = tables["hops"].set_index("layers")["papers_seen"]
    page.chart(
        reach(tables["hops"], f"Two layers see {seen[2]:.0f} papers, eight {seen[8]:,.0f} of 2,708"),
        alt="Papers seen, mean of 100: " + ", ".join(f"K = {k} {value:,.0f}" for k, value in seen.items()),
    )
with right:
    found = {name: number(round(value, 4)) for name, value in result.spectrum.items()}
    st.markdown(
        f"**What a layer can do to a signal.** The eigenvalues of $\\hat A$ lie between {found['lowest']} "
        f"and {found['highest']}, so no layer blows anything up. The vector $\\sqrt{{\\tilde d}}$ on each of "
        f"the {result.components} connected components has eigenvalue 1 and stays. All else fades, slowest "
        f"by a factor of {found['second']} per layer. The raw sum $A + I$ stretches by up to "
        f"{found['raw_highest']}, layer upon layer."
    )

page.close()
