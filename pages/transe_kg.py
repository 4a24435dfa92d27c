"""TransE on a knowledge graph: the page."""

from ui import charts
from ui.page import open_page

from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from experiments.transe_kg import WHY, query

NAMED = 24  # labels that fit on the plane
ORDINAL = {"1": "first", "2": "second", "3": "third"}
TICKS = [0, 10, 50, 100, 200, 400, 800, 1200, 2000]
METRICS = ["MRR", "hits@1", "hits@3", "hits@10"]
STEP = alt.X(
    "step:Q",
    title="step (square-root scale)",
    scale=alt.Scale(type="sqrt", nice=False),
    axis=alt.Axis(values=TICKS),
)


@charts.drawing
def plane(
    points: pd.DataFrame, arrows: pd.DataFrame, walk: pd.DataFrame, steps: pd.DataFrame, named: set[str],
    title: str, subtitle: str,
) -> alt.LayerChart:  # fmt: skip
    """Entities, an arrow from each head, a dotted line for what it misses; one frame at a time."""
    ends = [points[["x", "y"]], arrows[["tip_x", "tip_y"]], walk[["x2", "y2"]]]
    corners = pd.concat([part.set_axis(["x", "y"], axis=1) for part in ends if len(part)]).astype(float)
    low, high = corners.min(), corners.max()
    pad = 0.07 * (high - low) + 0.02
    scale = {c: alt.Scale(domain=[low[c] - pad[c], high[c] + pad[c]], nice=False, zero=False) for c in "xy"}

    def at(x: str = "x", y: str = "y") -> dict[str, Any]:
        return {
            "x": alt.X(f"{x}:Q", scale=scale["x"], title="widest direction"),
            "y": alt.Y(f"{y}:Q", scale=scale["y"], title="second widest direction"),
        }

    last = int(points["frame"].max())
    k = charts.scrubber("transe_kg_frame", "frame", last, last)
    now = alt.datum.frame == k
    # A wedge turned the way the arrow points on the screen, where each axis has its own scale.
    across, up = (f"(datum.tip_{c} - datum.head_{c}) / {high[c] - low[c] + 2 * pad[c]}" for c in "xy")
    facts = alt.Chart(arrows).transform_filter(now)
    facts = facts.transform_calculate(turn=f"180 / PI * atan2({across} * width, {up} * height)")
    facts = facts.encode(tooltip=["fact", alt.Tooltip("residual:Q", title="error", format=".3f"), "trained"])
    relations, tip = list(dict.fromkeys(arrows["relation"])), at("tip_x", "tip_y")
    shafts = facts.mark_rule(strokeWidth=1.8, opacity=0.7).encode(
        **at("head_x", "head_y"), x2="tip_x:Q", y2="tip_y:Q", color=charts.classes("relation:N", relations)
    )
    heads = facts.mark_point(shape="M0,0L0.4,1L-0.4,1Z", filled=True, size=330, opacity=1).encode(
        **tip, angle=alt.Angle("turn:Q", scale=None), color=charts.classes("relation:N", relations, legend="")
    )
    missed = facts.mark_rule(strokeWidth=1.6, strokeDash=[2, 3]).encode(**tip, x2="tail_x:Q", y2="tail_y:Q")
    lost = alt.Chart(walk[walk["leg"] == "missing"]).transform_filter(now)
    gap = lost.mark_rule(strokeWidth=1.6, strokeDash=[2, 3]).encode(**at(), x2="x2:Q", y2="y2:Q")
    way = alt.Chart(walk[walk["leg"] != "missing"]).transform_filter(now).encode(tooltip="leg:N")
    way = way.mark_rule(strokeWidth=2.5, strokeDash=[7, 4]).encode(**at(), x2="x2:Q", y2="y2:Q")
    stop = lost.mark_point(shape="cross", angle=45, size=130, filled=True, opacity=1).encode(**at())
    spots = alt.Chart(points).transform_filter(now).encode(**at(), tooltip="entity")
    clock = alt.Chart(steps).transform_filter(now).mark_text(align="left", fontSize=13)
    clock = clock.transform_calculate(text="'step ' + datum.step").encode(
        x=alt.value(6), y=alt.value(10), text="text:N"
    )
    dots = spots.mark_circle(size=45, opacity=0.75).encode(color=alt.value("#8590a0")).add_params(k)
    faults = [charts.paint(missed, "violation"), charts.paint(gap, "violation")]
    layers = [shafts, *faults, *(charts.paint(layer, "theory") for layer in (way, stop, clock)), heads, dots]
    for turn, dy in enumerate((-11, 13)):  # every other name below its point, so that neighbours can be read
        few = alt.FieldOneOfPredicate("entity", sorted(named)[turn::2])
        names = spots.transform_filter(few).mark_text(dy=dy, fontSize=12).encode(text="entity:N")
        layers.append(charts.paint(names, "theory"))
    chart = alt.layer(*layers)
    return charts.titled(chart.resolve_scale(color="independent"), title, subtitle, height=500)


@charts.drawing
def answers(ranked: pd.DataFrame, title: str, subtitle: str) -> alt.LayerChart:
    y = alt.Y("tail:N", sort=None, title=None, axis=alt.Axis(labelLimit=130, labelOverlap=False))
    room = alt.Scale(domain=[0, 1.15 * float(ranked["distance"].max())], nice=False)
    x = alt.X("distance:Q", title="distance from where it leads", scale=room)
    shade = alt.condition("datum.right", alt.value(1), alt.value(0.4))
    bars = alt.Chart(ranked).mark_bar(height={"band": 0.7}).encode(x=x, y=y, opacity=shade)
    values = alt.Chart(ranked).mark_text(align="left", dx=4).encode(
        x=x, y=y, text=alt.Text("distance:Q", format=".2f")
    )  # fmt: skip
    chart = charts.paint(bars, "measured") + charts.paint(values, "measured")
    return charts.titled(chart, title, subtitle, height=150 + 19 * len(ranked))


@charts.drawing
def over_training(frame: pd.DataFrame, y: str, label: str, title: str, subtitle: str) -> alt.Chart:
    lines = alt.Chart(frame).mark_line(strokeWidth=2.2).encode(
        x=STEP, y=alt.Y(f"{y}:Q", title=label),
        tooltip=["relation", "step", alt.Tooltip(f"{y}:Q", format=".3f")],
        color=charts.classes("relation:N", list(dict.fromkeys(frame["relation"]))),
    )  # fmt: skip
    return charts.titled(lines, title, subtitle, height=370)


@charts.drawing
def progress(training: pd.DataFrame, chance: float, title: str, subtitle: str) -> alt.LayerChart:
    y = alt.Y("mrr:Q", title="mean reciprocal rank", scale=alt.Scale(domain=[0, 1.08], nice=False))
    chart = charts.measured_line(training, STEP, y) + charts.horizontal(chance, f"chance {chance:.2f}")
    if "held_out_mrr" in training:
        hidden = alt.Chart(training).mark_line(strokeWidth=2, strokeDash=[3, 2])
        chart += charts.paint(hidden.encode(x=STEP, y="held_out_mrr:Q"), "measured")
    return charts.titled(chart, title, subtitle, height=320)


@charts.drawing
def ranks(ranking: pd.DataFrame, title: str, subtitle: str) -> alt.LayerChart:
    shown = ranking[ranking["metric"].isin(METRICS)]
    base = alt.Chart(shown).encode(
        x=alt.X("metric:N", sort=METRICS, title=None, axis=alt.Axis(labelAngle=0)),
        y=alt.Y("value:Q", title="share", scale=alt.Scale(domain=[0, 1.1], nice=False)),
        xOffset=alt.XOffset("when:N", sort=["before", "after"]),
        tooltip=["metric", "when", "value", "chance"],
    )
    faint = alt.condition("datum.when == 'after'", alt.value(1), alt.value(0.4))
    bars, values = base.mark_bar().encode(opacity=faint), base.mark_text(dy=-7)
    level = alt.Chart(shown).mark_tick(thickness=2.5, bandSize=22).encode(
        x=alt.X("metric:N", sort=METRICS), xOffset="when:N", y="chance:Q", tooltip=["metric", "chance"]
    )  # fmt: skip
    chart = charts.paint(bars, "measured") + charts.paint(level, "theory")
    chart += charts.paint(values.encode(text=alt.Text("value:Q", format=".2f")), "measured")
    return charts.titled(chart, title, subtitle, height=320)


page = open_page("transe_kg")
result, tables, summary = page.result, page.tables, page.summary
graph, arrows, relations, training = (
    result.model.graph,
    tables["arrows"],
    tables["relations"],
    tables["training"],
)
asked = tables["restarts"].groupby("question", sort=False)
head, tail = tables["restarts"].loc[0, ["head", "tail"]]
composed, error, share = next(iter(asked.groups)), summary["mean_residual"], result.film.plane_share
place = tables["restarts"]["rank"][0]

left, right = st.columns([3, 2])
with left:
    used = list(dict.fromkeys(arrows["relation"]))
    every = ["all", *used]
    shown = page.view("arrows", "Arrows", every, "all" if len(graph.train) <= 40 else used[-1])
    drawn = arrows if shown == "all" else arrows[arrows["relation"] == shown]
    facts = [graph.words(fact) for fact in result.film.facts.tolist()]
    facts = [fact for fact in facts if shown in ("all", fact[1])]
    named = {name for h, _, t in facts for name in (h, t)}
    named = named if len(named) <= NAMED else {t for _, _, t in facts[:NAMED]} | {head}
    finding, way = f"Arrows miss their tails by {error:.2f} on average", ""
    if len(tables["walk"]):
        finding = f"Two arrows from {head} lead {'closest' if place == 1 else 'near, not closest,'} to {tail}"
        way = f". Dashed, to the cross: from {head} along {composed}"
    missed = f"Dotted: what an arrow misses, {error:.2f} on average"
    page.chart(
        plane(tables["points"], drawn, tables["walk"], training, named, finding, missed + way),
        alt="Entities in a plane. "
        f"{len(graph.entities)} entities in a plane with {share:.0%} of their variance, and an arrow "
        f"for each of {len(facts)} facts; mean error {error:.3f}. {finding}.",
    )  # fmt: skip
    rest = (
        "so what you see is nearly all."
        if share > 0.95
        else "so what looks close may be apart: trust the bars."
    )
    st.caption(
        "Drag the slider through training. The plane is the one in which the final points spread most; "
        f"it holds {share:.0%} of their variance, {rest}"
    )
with right:
    for question, rows in asked:
        places = [f"{rank:.0f}" for rank in rows["rank"]]
        nearest = tables["questions"][tables["questions"]["question"] == question].head(6)
        where = f"{head} + {question}: {tail} comes {ORDINAL.get(places[0], places[0] + 'th')}"
        page.chart(
            answers(nearest, where, f"rank in the {len(places)} random starts: {', '.join(places)}"),
            alt=f"{where}. Nearest: "
            + ", ".join(f"{t} {d:.2f}" for t, d in zip(nearest["tail"], nearest["distance"], strict=True)),
        )

st.subheader("Who is forced together", anchor=False)
if result.forced or result.vanishing:
    why = WHY.get(result.source, "Facts that share an arrow and one end force their other ends together.")
    st.markdown(f"{why} A margin keeps apart what an exact fit would merge, and errors remain.")
    st.dataframe(tables["forced"], hide_index=True, width="stretch")
else:
    st.markdown("Nobody: these facts can all be met exactly, each entity in a place of its own.")

st.subheader("Does it rank the right answer first?", anchor=False)
choose = st.columns(3)
sets = list(dict.fromkeys(tables["ranking"]["facts"]))
with choose[0]:
    which = page.view("facts", "Facts", sets, sets[-1]) if len(sets) > 1 else sets[0]
with choose[1]:
    side = page.view("side", "Asked for the", ["tail", "head"], "tail")
with choose[2]:
    kind = page.view(
        "kind", "Other right answers", ["filtered", "raw"], "filtered",
        help="Filtered: other known right answers are not counted. Raw: they are, and push this one down.",
    )  # fmt: skip
ranking = tables["ranking"].query("facts == @which and side == @side and kind == @kind")
score = ranking.set_index(["metric", "when"])[["value", "chance"]]
first, mean = score["value"]["hits@1"], score.loc[("mean rank", "after")]
level = tables["ranking"].query("facts == 'trained' and kind == 'filtered' and metric == 'MRR'")
level = float(level["chance"].mean())
begin, final = training["mrr"].iloc[[0, -1]]
left, right = st.columns(2)
with left:
    page.chart(
        ranks(
            ranking, f"{first['after']:.0%} of {which} facts rank first, {first['before']:.0%} at the start",
            f"Pale: before. Dashes: chance. Mean rank {mean['value']:.1f}, by chance {mean['chance']:.1f}",
        ),
        alt=f"Rank metrics of {which} facts, asked for the {side}, {kind}: "
        + ", ".join(f"{m} {when} {v:.2f}" for (m, when), v in score["value"].items()),
    )  # fmt: skip
with right:
    hidden = ". Dotted: hidden facts, their tails" if "held_out_mrr" in training else ""
    page.main(
        progress(
            training, level, f"Training lifts the MRR from {begin:.2f} to {final:.2f}",
            f"First random start, trained facts, filtered; loss {training['loss'].iloc[-1]:.3f}" + hidden,
        ),
        alt=f"Mean reciprocal rank against step: from {begin:.3f} to {final:.3f}; chance {level:.3f}.",
    )  # fmt: skip

st.subheader("What each relation becomes", anchor=False)
end = relations[relations["frame"] == relations["frame"].max()].set_index("relation")
lines = {
    "residual": ("mean error of its facts", "{} misses most: {:.2f}", "idxmax", "First random start"),
    "length": (
        "length of the arrow",
        "The shortest arrow is {}: {:.2f}",
        "idxmin",
        "All begin with length 1",
    ),
}
for column, (what, (label, words, pick, note)) in zip(st.columns(2), lines.items(), strict=True):
    which = getattr(end[what], pick)()
    with column:
        page.chart(
            over_training(relations, what, label, words.format(which, end[what][which]), note),
            alt=f"{label} at the end: " + ", ".join(f"{r} {v:.3f}" for r, v in end[what].items()),
        )

st.subheader("Ask for yourself", anchor=False)
left, right = st.columns(2)
typed: dict[str, Any] = {"bind": "query-params", "max_chars": 128}
one = left.text_input("Head", key="transe_kg_view_head", placeholder=head, **typed)
two = right.text_input(
    "Relation, or a path of them with +", key="transe_kg_view_relation", placeholder=composed, **typed
)
try:
    found = query(result, one.strip() or head, two.strip() or composed)
except ValueError as problem:
    st.text(str(problem))
else:
    st.dataframe(found.head(20), hide_index=True, width="stretch", column_config={"fact": "a known fact"})
    st.caption(
        "Tails, nearest first, in the first random start. Whether it is a fact is said of single relations."
    )
page.close()
