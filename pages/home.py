"""Home: what this is, the experiments by chapter with a live result each, and where to begin."""

from ui import boot, challenges, charts, claims, running, search

from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from lab.catalogue import BY_NAME, CHAPTERS, EXPERIMENTS, Experiment
from lab.evaluate import Outcome, load
from lab.numbers import number

BEGIN = ("pca_digits", "gd_lr_sweep", "gcn_cora")


def sparkline(row: Experiment, outcome: Outcome) -> alt.Chart:
    table, x, y = row.preview
    frame = outcome.tables[table][[x, y]].dropna()
    line = alt.Chart(frame, height=64).mark_line(strokeWidth=2, clip=True)
    hidden: dict[str, Any] = {"axis": None, "scale": alt.Scale(zero=False, nice=False)}
    return charts.paint(line.encode(x=alt.X(f"{x}:Q", **hidden), y=alt.Y(f"{y}:Q", **hidden)), "measured")


def card(row: Experiment) -> Any:
    """The words of a card; the place for its live result is filled once all cards can be read."""
    with st.container(border=True, height="stretch", key=f"card_{row.name}"):
        st.page_link(f"pages/{row.name}.py", label=f"**{row.title}**", icon=f":material/{row.icon}:")
        st.markdown(row.question)
        return st.empty()


def live(row: Experiment, place: Any) -> None:
    """Run the experiment in small and show a claim of it: what theory predicts, what came out."""
    with place.container():
        outcome = running.compute(row.name, load(row.name).Settings(**dict(row.preview_settings)))
        claim = next(c for c in outcome.claims if c.id == row.preview_claim)
        predicted = f"{claims.RELATIONS[claim.relation]}{number(claim.predicted)}"
        words = f"predicted {predicted}, measured {number(claim.measured)}"
        line = sparkline(row, outcome)
        st.altair_chart(line, width="stretch", alt=f"{row.title}, {row.preview[2]} in a live run: {words}")
        st.caption(claim.statement)
        st.markdown(f"{claims.BADGES[claim.verdict]} :small[{words}]")


def learning_path() -> alt.LayerChart:
    """A line for each experiment, in the catalogue's order, each to the right of those to read first."""
    depth: dict[str, int] = {}
    for row in EXPERIMENTS:
        depth[row.name] = 1 + max((depth[before] for before in row.read_first), default=-1)
    rows = [
        {"name": r.name, "title": r.title, "x": depth[r.name], "y": i, "url": r.name}
        for i, r in enumerate(EXPERIMENTS)
    ]
    at = {r["name"]: r for r in rows}
    edges = [
        {"x": at[b]["x"], "y": at[b]["y"], "x2": at[r.name]["x"], "y2": at[r.name]["y"]}
        for r in EXPERIMENTS
        for b in r.read_first
    ]
    hidden: dict[str, Any] = {"axis": None}
    last = max(depth.values())
    x = alt.X("x:Q", scale=alt.Scale(domain=[-0.1, last + 1.2]), **hidden)
    y = alt.Y("y:Q", scale=alt.Scale(reverse=True, domain=[-0.7, len(rows) - 0.3], nice=False), **hidden)
    lines = alt.Chart(pd.DataFrame(edges), height=26 * len(rows)).mark_rule(opacity=0.3)
    dots = alt.Chart(pd.DataFrame(rows)).encode(x=x, y=y, href="url:N", tooltip="title:N")
    names = dots.mark_text(align="left", dx=9, fontSize=13).encode(text="title:N")
    lines = charts.paint(lines.encode(x=x, y=y, x2="x2", y2="y2"), "theory")
    return (
        lines
        + charts.paint(dots.mark_circle(size=110, opacity=1), "measured")
        + charts.paint(names, "theory")
    )


boot.guard()
st.title("Proving Ground", anchor=False)
st.header("Theory predicts a number. The experiment measures it. You see both, and a verdict.", anchor=False)
st.markdown(
    "Small, runnable experiments in the mathematics of machine learning, on real data, in your hands: "
    "turn a knob, guess what happens, look. Where something is often taught wrongly, you see what is true."
)
with st.container(horizontal=True, vertical_alignment="center"):
    st.markdown("**Begin here**", width="content")
    for name in BEGIN:
        row = BY_NAME[name]
        st.page_link(f"pages/{name}.py", label=row.title, icon=f":material/{row.icon}:", width="content")

query = st.text_input(
    "Search experiments, claims, symbols and terms", key="home_search", live=True, max_chars=60,
    placeholder="for instance: variance, λ, EM, 2.1-pca-04", icon=":material/search:",
)  # fmt: skip
found = search.find(query or "")
if not found:
    st.info("Nothing contains all of these words. Try fewer.", icon=":material/search_off:")
places = []
for chapter, title in CHAPTERS.items():
    names = [row.name for row in EXPERIMENTS if row.chapter == chapter and row.name in found]
    if names:
        st.subheader(title, anchor=False)
    for start in range(0, len(names), 3):
        for column, name in zip(st.columns(3), names[start : start + 3], strict=False):
            with column:
                places.append((BY_NAME[name], card(BY_NAME[name])))

st.header("What leads to what", anchor="path")
path = learning_path()
st.altair_chart(
    path, width="stretch",
    alt="Learning path: " + "; ".join(
        f"{r.title} after {' and '.join(BY_NAME[b].title for b in r.read_first)}" if r.read_first else r.title
        for r in EXPERIMENTS
    ),
)  # fmt: skip
challenges.session_summary()
with st.expander("Glossary", icon=":material/menu_book:", expanded=bool(query)):
    for term, (meaning, name) in search.terms(query or "").items():
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**{term}** {meaning}", width="content")
            st.page_link(f"pages/{name}.py", label=BY_NAME[name].title, width="content")
st.caption(
    f"{len(EXPERIMENTS)} experiments, {sum(len(r.claim_ids) for r in EXPERIMENTS)} claims. The numbers on "
    "the cards were computed by this server, with the code that you can read and run yourself."
)
for row, place in places:
    live(row, place)
