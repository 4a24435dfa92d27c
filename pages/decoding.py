"""Decoding: the page."""

from ui import charts
from ui.page import open_page

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

LOG_TAU = alt.X(
    "log10_tau:Q", title="temperature τ (log)", scale=alt.Scale(domain=[-1.31, 1.01], nice=False),
    axis=alt.Axis(values=[float(np.log10(t)) for t in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)],
                  labelExpr="format(pow(10, datum.value), '~r')"),
)  # fmt: skip
PERCENT = alt.Axis(format="%", values=[0, 0.1, 0.25, 0.5, 0.75, 1], labelOverlap=False)
ONE = "τ\u00a0=\u00a01"  # not to be broken over two lines


def within(low: float, high: float) -> alt.Scale:
    return alt.Scale(domain=[low, high], nice=False)


@charts.drawing
def bars(frame: pd.DataFrame, start: int, title: str) -> alt.LayerChart:
    """Before in outline, 10,000 draws filled, the prediction as a dash, at the slider's temperature."""
    slider = charts.scrubber("decoding_frame", "colder ◂ τ ▸ hotter", int(frame.frame.max()), start)
    now = alt.Chart(frame).transform_filter(alt.datum.frame == slider)
    x = alt.X("symbol:N", title="next symbol (␣ is the space)", sort=None, axis=alt.Axis(labelAngle=0))
    root = alt.Scale(type="sqrt", domain=[0, 1])
    y = alt.Y("measured:Q", title="probability (√ scale)", axis=PERCENT, scale=root)
    tips = ["symbol:N", *(alt.Tooltip(f"{c}:Q", format=".2%") for c in ("before", "predicted", "measured"))]
    drawn = charts.paint(now.mark_bar(opacity=0.75).encode(x=x, y=y, tooltip=tips), "measured")
    before = now.mark_bar(filled=False, stroke=charts.GREY, strokeWidth=1.5).encode(x=x, y="before:Q")
    dashes = now.mark_tick(orient="horizontal", thickness=2, width={"band": 0.95})
    dashes = charts.paint(dashes.encode(x=x, y="predicted:Q"), "theory")
    says = "'τ = ' + format(datum.tau, '~g') + ': ' + format(datum.predicted, '.1%')"
    words = now.transform_filter(alt.datum.rank == 1).transform_calculate(says=says)
    words = words.mark_text(align="right", dx=-4, baseline="top", fontSize=15, fontWeight=600)
    words = words.encode(text="says:N", x=alt.value("width"), y=alt.value(2))
    chart = (drawn + before + dashes + charts.paint(words, "theory")).add_params(slider)
    return charts.titled(chart, title, height=340)


@charts.drawing
def repetition(frame: pd.DataFrame, real: float, most: float, filtered: bool, tau: float) -> alt.LayerChart:
    y = alt.Y("distinct_4:Q", title="distinct-4", axis=PERCENT, scale=within(0, 1.12))
    frame = frame.assign(low=frame.distinct_4 - frame.sd, high=frame.distinct_4 + frame.sd)
    spread = alt.Chart(frame).mark_area(opacity=0.2, clip=True).encode(x=LOG_TAU, y="low:Q", y2="high:Q")
    chart = charts.paint(spread, "measured")
    if filtered:
        alone = alt.Chart(frame).mark_line(strokeWidth=1.5, color=charts.GREY, opacity=0.8)
        chart += alone.encode(x=LOG_TAU, y="temperature_alone:Q")
    chart += charts.measured_line(frame, LOG_TAU, y, point=True)
    chart += charts.horizontal(most, "greedy: at most this") + charts.vertical(np.log10(tau), "your τ")
    chart += charts.horizontal(real, f"English: {real:.0%}", "measured")
    at_one, coldest = frame.distinct_4[frame.tau == 1].item(), frame.distinct_4.iloc[0]
    title = f"Cold text repeats: {at_one:.0%} of runs of four differ at {ONE}, {coldest:.0%} at 0.05"
    return charts.titled(chart, title, height=380)


@charts.drawing
def sets(frame: pd.DataFrame, limits: pd.DataFrame, p: float) -> alt.LayerChart:
    least, most = frame["size"].min(), frame["size"].max()
    x = alt.X("entropy_bits:Q", title="entropy of the next symbol [bits]", scale=within(-0.05, 4.8))
    room, axis = within(0, most + 2), alt.Axis(tickMinStep=1)
    y = alt.Y("size:Q", title=f"symbols that hold {p:.0%}", scale=room, axis=axis)
    dots = alt.Chart(frame).mark_circle(opacity=0.7, clip=True).encode(
        x=x, y=y, size=alt.Size("contexts:Q", legend=None, scale=alt.Scale(range=[12, 350])),
        tooltip=["contexts:Q", "size:Q", alt.Tooltip("entropy_bits:Q", format=".1f")],
    )  # fmt: skip
    ends = limits[limits["size"] <= most + 2].melt("size", ["least", "largest"], "end", "entropy_bits")
    lines = charts.theory_line(ends, x, y).encode(detail="end:N", order="size:Q")
    title = f"Top-p keeps {least} of 27 where the model is sure, {most} where it is not"
    return charts.titled(charts.paint(dots, "measured") + lines, title, height=380)


@charts.drawing
def fitted(curves: pd.DataFrame, rows: pd.DataFrame, miss: float) -> alt.LayerChart:
    y = alt.Y("your_tail:Q", title="what 0.60 becomes", scale=within(0, 1.06))
    chart = charts.measured_line(curves, LOG_TAU, y)
    rows = rows.assign(log10_tau=np.log10(rows.tau), says=[f"{p:.2f}" for p in rows.printed])
    marks = alt.Chart(rows).mark_point(filled=True, size=90, shape="diamond", opacity=1)
    chart += charts.paint(marks.encode(x=LOG_TAU, y="printed:Q"), "violation")
    for some, align, dx, dy in ((rows[:3], "right", -9, 11), (rows[3:], "left", 9, -9)):
        words = alt.Chart(some).mark_text(align=align, dx=dx, dy=dy)
        chart += charts.paint(words.encode(x=LOG_TAU, y="printed:Q", text="says:N"), "violation")
    limits = {"one_rival": ("one rival, 0.40", 2.4, -14), "crowd": ("50,000 equal rivals", 2, -9)}
    for column, (text, at, dy) in limits.items():
        chart += charts.theory_line(curves, LOG_TAU, f"{column}:Q")
        name = alt.Chart(curves[curves.tau == at]).mark_text(text=text, align="left", dy=dy)
        chart += charts.paint(name.encode(x=LOG_TAU, y=f"{column}:Q"), "theory")
    return charts.titled(chart, f"Your tail misses the table by {miss:.3f}", height=380)


@charts.drawing
def misses(rows: pd.DataFrame, best: float) -> alt.LayerChart:
    rows = rows.assign(row=[f"{t:g}" for t in rows.tau])
    reach = max(0.02, 1.1 * float(rows[["yours_off", "best_off"]].abs().max(axis=None)))
    y = alt.Y("row:N", title="row τ", sort=None)
    x = alt.X("yours_off:Q", title="tail minus table", scale=within(-reach, reach))
    band = alt.Chart().mark_rect(opacity=0.25, color=charts.GREY, aria=False)
    yours = alt.Chart(rows).mark_point(filled=True, size=130, opacity=1).encode(x=x, y=y)
    found = alt.Chart(rows).mark_point(shape="diamond", size=170, strokeWidth=2, opacity=1)
    chart = band.encode(x=alt.datum(-0.005), x2=alt.datum(0.005)) + charts.paint(yours, "measured")
    chart += charts.paint(found.encode(x="best_off:Q", y=y), "theory")
    title = f"Not even the best tail fits: it misses by {best:.4f}, and rounding excuses 0.005"
    return charts.titled(chart, title, height=380)


def reading(texts: pd.DataFrame, context: str) -> None:
    for column, row in zip(3 * st.columns(2), texts.itertuples(), strict=False):
        with column:
            name = "always the favourite" if row.kind == "greedy" else f"τ = {row.tau:g}"
            st.caption(f"{name} · distinct-4 {row.distinct_4:.0%} · in real words {row.in_words:.0%}")
            st.code(context + row.text, language=None, wrap_lines=True)


def side_by_side(*drawn: tuple) -> None:
    for column, (draw, chart, text, caption) in zip(st.columns(2), drawn, strict=True):
        with column:
            draw(chart, alt=text)
            st.caption(caption)


page = open_page("decoding")
tables, summary, settings, result = page.tables, page.summary, page.settings, page.result
tau, context = settings.tau, page.module.letters(settings.context)
if result.used != result.asked:
    known = f"“{result.used}”." if result.used else "none, only how often each symbol comes."
    st.info(f"The model has never read “{result.asked}”. It backs off to the longest end it knows: {known}")

filtered = settings.top_k < 27 or settings.top_p < 1
before, after, kept = (summary[k] for k in ("p_top_before", "p_top_after", "kept"))
first, rows = tables["next_symbol"].symbol[0], tables["temperature_table"]
title = f"After “{context}”: {first} goes from {before:.1%} to {after:.1%}; {kept:.0f} of 27 symbols are left"
if tau == 1 and not filtered:
    title = f"After “{context}” comes {first} with {before:.1%}; {ONE} leaves it so. Slide to heat or cool"
page.chart(
    bars(tables["next_symbol"], int(np.searchsorted(result.taus, tau)), title),
    alt=f"Next-symbol probabilities after {context}: {first} has {before:.1%} before and {after:.1%} after "
    f"τ = {tau:g}, top-k {settings.top_k} and top-p {settings.top_p:g}; {kept:.0f} symbols are left.",
)
st.caption("Outline: before. Blue: 10,000 draws after. Dash: predicted. The slider moves τ, not k and p.")

st.header("What it writes")
texts = tables["texts"].set_index("kind", drop=False)
reading(texts.loc[["yours"]], context)
with st.expander("From always the favourite to hot, at your k and p"):
    reading(texts.loc[["greedy", "ladder"]], context)

most, real = (result.run_in + result.period) / (settings.length - 3), summary["distinct_real"]
some = tables["distinct"][::4]
measured = ", ".join(f"{d:.2f} at τ = {t:g}" for t, d in zip(some.tau, some.distinct_4, strict=True))
grey = " Thin grey: without your k and p." if filtered else ""
side_by_side(
    (page.main, repetition(tables["distinct"], real, min(most, 1.0), filtered, tau),
     f"Share of different runs of four in drawn text: {measured}; greedy {summary['distinct_greedy']:.3f}, "
     f"English {real:.2f}.",
     f"Ten texts at each temperature; band: ± one standard deviation.{grey}"),
    (page.chart, sets(tables["sets"], tables["set_limits"], result.set_p),
     f"Size of the top-p set against entropy at τ = {tau:g}: {result.sizes.min()} to {result.sizes.max()}.",
     f"All contexts at your τ; the mean is {summary['mean_set']:.1f}. Dashed: the entropy possible."),
)  # fmt: skip

st.header("The table that no distribution gives")
values = ", ".join(f"τ = {r.tau:g} table {r.printed:.2f}, yours {r.yours:.3f}" for r in rows.itertuples())
off = ", ".join(f"τ = {r.tau:g} {r.yours_off:.3f} and {r.best_off:.4f}" for r in rows.itertuples())
side_by_side(
    (page.chart, fitted(tables["top_probability"], rows, summary["table_miss_yours"]),
     f"What 0.60 becomes: {values}.",
     "Vermillion: the table as often taught. Blue: your tail, from the two rival controls."),
    (page.chart, misses(rows, summary["table_miss_best"]),
     f"Your tail and the best one, minus the table: {off}.",
     "Blue: yours. Diamond: the best found. Grey: what two printed decimals can hide."),
)  # fmt: skip

listed, once, _, held, new = result.words
st.header("Why tokens, not words")
st.markdown(
    f"List the words of a random half of the text: **{new / held:.1%}** of the other half are not on the "
    f"list ({once / listed:.1%} foretold by the {once} words met once). Tokens spell every one of them:"
)
st.dataframe(tables["pieces"], hide_index=True)
page.close()
