"""Entropy and perplexity: the page."""

from ui import charts
from ui.page import open_page

import json

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from lab.numbers import number

PERPLEXITIES = [1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000]
LOG = alt.Axis(
    values=[float(np.log2(p)) for p in PERPLEXITIES], labelExpr="format(round(pow(2, datum.value)), ',')"
)


def short(value: float) -> str:
    return number(float(f"{value:.3g}"))


def plain(field: str, title: str, low: float, high: float, **axis: object) -> alt.X:
    scale = alt.Scale(domain=[low, high], nice=False)
    return alt.X(f"{field}:Q", title=title, scale=scale, axis=alt.Axis(**axis))


@charts.drawing
def orders(frame: pd.DataFrame, listed: int, order: int, title: str) -> alt.LayerChart:
    x = plain("n", "order n: the model sees n − 1 symbols", 0.9, 6.25, values=[1, 2, 3, 4, 5, 6], format="d")
    y = alt.Y("held_out_bits:Q", title="perplexity (log)", axis=LOG)
    tips = ["n:Q", *(alt.Tooltip(f"{c}:Q", format=".4~g") for c in frame.columns[1:])]
    band = alt.Chart(frame).mark_area(opacity=0.2).encode(x=x, y=alt.Y("low_bits:Q"), y2="high_bits:Q")
    read = alt.Chart(frame).mark_line(strokeWidth=2, color=charts.GREY, point={"color": charts.GREY})
    chart = charts.paint(band, "measured") + charts.horizontal(np.log2(listed), f"knows nothing: {listed:,}")
    chart += charts.theory_line(frame, x, "floor_bits:Q") + read.encode(
        x=x, y="training_bits:Q", tooltip=tips
    )
    chart += charts.measured_line(frame, x, y, point=True).encode(tooltip=tips)
    values = alt.Chart(frame[frame.n > 1]).mark_text(dy=-12, dx=8).encode(x=x, y=y)
    chart += charts.paint(values.encode(text=alt.Text("held_out_perplexity:Q", format=".3~g")), "measured")
    last = alt.Chart(frame.tail(1)).encode(x=x)
    chart += charts.paint(last.mark_text(text="held out", align="right", dy=16).encode(y=y), "measured")
    words = last.mark_text(text="training", align="right", dx=-8, dy=-14, color=charts.GREY)
    chart += words.encode(y="training_bits:Q") + charts.vertical(order, "")
    return charts.titled(chart, title, height=400)


@charts.drawing
def reading(frame: pd.DataFrame, unit: str, wide: bool, title: str) -> alt.LayerChart:
    """A bar a symbol, a dash for what was expected; the slider says what the model thought."""
    slider = charts.scrubber("entropy_perplexity_read", "symbols read", len(frame), len(frame))
    names, size = json.dumps(list(frame.symbol)), alt.ExprRef(f"min(13, 1.5 * width / {len(frame)})")
    place = {"labelAngle": -35, "labelLimit": 90} if wide else {"labelAngle": 0, "labelFontSize": size}
    axis = alt.Axis(labelExpr=f"{names}[datum.value]", labelOverlap=False, ticks=False, **place)
    frame = frame.assign(at=np.arange(len(frame)))
    x = alt.X("at:O", title=None, axis=axis)
    top = float(np.nanmax(frame[[unit, f"expected_{unit}"]])) * 1.35
    scale = alt.Scale(domain=[0, top], nice=False)
    y = alt.Y(f"{unit}:Q", title=f"surprise [{unit}]", scale=scale)
    tips = ["symbol:N", "expected:N", alt.Tooltip("probability:Q", format=".2~%"),
            alt.Tooltip(f"{unit}:Q", format=".3~f")]  # fmt: skip
    seen = alt.condition(alt.datum.place <= slider, alt.value(0.85), alt.value(0.25))
    bars = alt.Chart(frame).mark_bar().encode(x=x, y=y, opacity=seen, tooltip=tips)
    dashes = alt.Chart(frame).mark_tick(orient="horizontal", thickness=2, width={"band": 0.95})
    says = (
        f"(datum.after ? datum.after + ' … ' : 'first ') + datum.symbol + ': ' + (isValid(datum.{unit}) ? "
        f"format(datum.{unit}, '.2~f') + ' {unit}' : 'not on the list') + '; so far ' + "
        f"format(datum.so_far_{unit}, '.2f') + ' each\\nexpected ' + datum.expected"
    )
    now = alt.Chart(frame).transform_filter(alt.datum.place == slider).transform_calculate(says=says)
    words = now.mark_text(align="left", baseline="top", lineBreak="\n", fontSize=13, lineHeight=18,
                          limit=alt.ExprRef("width"))  # fmt: skip
    words = words.encode(text="says:N", x=alt.value(4), y=alt.value(4))
    chart = charts.paint(bars, "measured")
    chart += charts.paint(dashes.encode(x=x, y=f"expected_{unit}:Q"), "theory")
    missing = alt.Chart(frame[frame[unit].isna()]).mark_text(text="not listed", angle=270, align="left", dx=4)
    chart += charts.paint(missing.encode(x=x, y=alt.datum(0)), "violation") + charts.paint(words, "theory")
    return charts.titled(chart.add_params(slider), title, height=340)


@charts.drawing
def outcomes(frame: pd.DataFrame, title: str) -> alt.LayerChart:
    x = alt.X("outcome:O", title="outcome", axis=alt.Axis(labelAngle=0))
    y = alt.Y("measured:Q", title="probability", axis=alt.Axis(format="%"))
    bars = charts.paint(alt.Chart(frame).mark_bar(opacity=0.75).encode(x=x, y=y), "measured")
    dashes = alt.Chart(frame).mark_tick(orient="horizontal", thickness=2, width={"band": 0.95})
    dashes = charts.paint(dashes.encode(x=x, y="predicted:Q"), "theory")
    return charts.titled(bars + dashes, title, height=380)


@charts.drawing
def ranges(tables: dict[str, pd.DataFrame], unit: str, yours: pd.DataFrame, title: str) -> alt.LayerChart:
    frame, peak = tables["entropy_range"], tables["peak"]
    x = plain("largest", "largest probability", 0.1, 1.12, format="%", values=[0.2, 0.4, 0.6, 0.8, 0.9, 1])
    y = alt.Y(f"least_{unit}:Q", title=f"entropy [{unit}]")
    area = alt.Chart(frame).mark_area(opacity=0.12, color=charts.GREY)
    chart = area.encode(x=x, y=y, y2=f"most_{unit}:Q")
    dots = alt.Chart(tables["random"]).mark_circle(size=14, opacity=0.5, color=charts.GREY)
    chart += dots.encode(x=x, y=f"{unit}:Q")
    for column in (f"least_{unit}", f"most_{unit}"):
        chart += charts.theory_line(frame, x, f"{column}:Q")
    taught = alt.Chart(peak).encode(x=x, y=f"often_taught_{unit}:Q")
    chart += charts.paint(taught.mark_point(shape="diamond", filled=True, size=110, opacity=1), "violation")
    words = taught.mark_text(text=["as often", "taught"], align="right", dx=-9, dy=6)
    chart += charts.paint(words, "violation")
    point = alt.Chart(yours).mark_point(filled=True, size=150, opacity=1).encode(x=x, y=f"{unit}:Q")
    name = alt.Chart(yours).mark_text(text="yours", align="left", dx=11, dy=-9, fontWeight=600)
    chart += charts.paint(point, "measured") + charts.paint(name.encode(x=x, y=f"{unit}:Q"), "measured")
    return charts.titled(chart, title, height=380)


@charts.drawing
def coins(frame: pd.DataFrame, unit: str, title: str) -> alt.LayerChart:
    x, y = plain("p", "probability of heads", 0, 1), alt.Y(f"{unit}:Q", title=f"entropy [{unit}]")
    return charts.titled(tossed(frame, x, y, f"drawn_{unit}"), title, height=340)


@charts.drawing
def beliefs(frame: pd.DataFrame, held: float, title: str) -> alt.LayerChart:
    x, y = plain("belief", "belief q in heads", 0, 1), alt.Y("predicted:Q", title="perplexity")
    chart = tossed(frame, x, y, "measured") + charts.horizontal(2, "") + charts.vertical(held, "", "measured")
    return charts.titled(chart, title, height=340)


def tossed(frame: pd.DataFrame, x: alt.X, y: alt.Y, dots: str) -> alt.LayerChart:
    marks = alt.Chart(frame.dropna(subset=dots)).mark_point(filled=True, size=60, opacity=1)
    return charts.theory_line(frame, x, y) + charts.paint(marks.encode(x=x, y=f"{dots}:Q"), "measured")


page = open_page("entropy_perplexity")
tables, summary, settings, result = page.tables, page.summary, page.settings, page.result
main, sentence, kind = tables["main"], tables["sentence"], settings.symbols
unit = page.view("unit", "Count information in", ["bits", "nats"], "bits")

best = int(summary["best_n"])
shown = {n: short(p) for n, p in zip(main.n, main.held_out_perplexity, strict=True)}
title = f"Unread text is best foretold at n\u00a0=\u00a0{best}: perplexity {shown[best]}"
title += f". By n\u00a0=\u00a06 it is back at {shown[6]}, while training falls" if best < 6 else ""
held, mean = ", ".join(f"{p} at n = {n}" for n, p in shown.items()), summary[f"held_out_{unit}"]
page.main(
    orders(main, result.listed, settings.order, title),
    alt=f"Perplexity against n. Held out: {held}. Training: {main.training_perplexity[0]:.3g} at n = 1, "
    f"{main.training_perplexity[5]:.3g} at n = 6. Knowing nothing: {result.listed}.",
)
other = f"{short(summary['perplexity_per_word'])} per word"
if kind == "word":
    other = f"{summary['perplexity_per_letter']:.3g} per letter, with the list of words given for nothing"
st.caption(
    f"Blue: text not read, ± 2 SE. Grey: text read. Dashed: the least it could be there; vertical: your n. "
    f"There it is {mean:.3f} {unit} per {kind}. Counted otherwise, the same model is at {other}."
)

st.header("Your sentence, symbol by symbol")
if not np.isfinite(summary["sentence_perplexity"]):
    st.info("None of these words is on the list of the model, so it has no probability for any of them.")
    title = "Words that are not listed have no probability"
else:
    worst = sentence.loc[sentence[unit].idxmax()]
    title = f"“{worst.symbol}” at place {worst.place} costs {worst[unit]:.1f} {unit}; the sentence has a "
    title += f"perplexity of {summary['sentence_perplexity']:.3g}"
    unlisted = sentence.symbol[sentence[unit].isna()]
    if len(unlisted):
        title = f"“{unlisted.iloc[0]}” is not on the list, so it has no probability; what is listed has a "
        title += f"perplexity of {summary['sentence_perplexity']:.3g}"
page.chart(
    reading(sentence, unit, kind == "word", title),
    alt=f"Surprise of each {kind} in {unit}: "
    + ", ".join(f"{s} {b:.1f}" for s, b in zip(sentence.symbol, sentence[unit], strict=True)),
)
st.caption("Dash: the surprise the model expected, which is its entropy in that place.")

st.header("Eight outcomes of your own")
weights = page.module.parse_weights(settings.weights)
if abs(sum(weights) - 1) > 1e-9:
    missing = f" The other {8 - len(weights)} have none." if len(weights) < 8 else ""
    st.info(f"Your weights add up to {number(sum(weights))}, so each is divided by that.{missing}")
entropy, perplexity = summary[f"entropy_{unit}"], summary["perplexity"]
yours = pd.DataFrame({"largest": [result.p.max()], unit: [entropy]})
low, high = tables["peak"][f"least_{unit}"][0], tables["peak"][f"most_{unit}"][0]
left, right = st.columns(2)
with left:
    title = f"Yours: {entropy:.3f} {unit}, as uncertain as {perplexity:.3g} even outcomes"
    parts = ", ".join(f"{p:.3g}" for p in result.p)
    page.chart(
        outcomes(tables["outcomes"], title),
        alt=f"Probabilities of the outcomes: {parts}; {entropy:.3f} {unit}.",
    )
    st.caption("Dash: probability. Bar: share of 10,000 draws.")
with right:
    title = f"One outcome at 90 % leaves {low:.3f} to {high:.3f} {unit}, not one number"
    text = f"Entropy by largest probability: at 0.9 from {low:.3f} to {high:.3f}; yours {entropy:.3f}."
    page.chart(ranges(tables, unit, yours, title), alt=text)
    st.caption("Dashed: the least and the most there can be. Dots: random distributions.")

st.header("A coin, and what you believe of it")
cost, most = summary["cross_perplexity"], tables["coin"][unit].max()
left, right = st.columns(2)
with left:
    title = f"A coin is most uncertain when it is fair: {short(most)} {'bit' if unit == 'bits' else unit}"
    page.chart(coins(tables["coin"], unit, title), alt=f"{title}; none at 0 and 1.")
    listed = "; ".join(f"{r.p:g}: {r.bits:.6g}" for r in tables["surprise_table"].itertuples())
    st.caption(f"Dots: mean surprise of 10,000 tosses. One outcome of p brings, in bits, {listed}.")
with right:
    title = f"A fair coin has perplexity 2; to one who believes {settings.belief:g}, it has {cost:.3g}"
    page.chart(beliefs(tables["belief"], settings.belief, title), alt=f"{title}.")
    st.caption("Lower dashed line: 2 to the entropy. Curve: e to the cross-entropy. Dots: 10,000 tosses.")

page.close()
