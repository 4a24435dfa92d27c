"""Signal through depth: the page."""

from ui import charts
from ui.page import open_page

import altair as alt
import pandas as pd
import streamlit as st

from lab.numbers import number

POWER = "abs(datum.value) < 3.5 ? format(pow(10, datum.value), '~r') : '1e' + format(datum.value, 'd')"
POWERS = f"replace(abs(datum.value - round(datum.value)) > 0.01 ? '' : {POWER}, '-', '−')"
LAYER, CURE = "signal_propagation_layer", "signal_propagation_cure"


def reaching(low: float, high: float) -> alt.Scale:
    """At least from low to high; a pinned run may need more."""
    return alt.Scale(domain=alt.DomainUnionWith(unionWith=[low, high]), nice=False, zero=False)


def powers(field: str, title: str, *columns: pd.Series) -> alt.Y:
    """An axis of log10 values with their powers as labels, two decades high at least."""
    values = pd.concat(columns)
    room = max(0.0, 1 - (values.max() - values.min()) / 2)
    scale = reaching(values.min() - room, values.max() + room)
    scale.padding = 6
    return alt.Y(
        f"{field}:Q", title=f"{title} (log)", scale=scale, axis=alt.Axis(labelExpr=POWERS, tickMinStep=1)
    )


def layers(depth: int) -> alt.X:
    axis = alt.Axis(tickMinStep=1, format="d")
    return alt.X("layer:Q", title="layer l", scale=reaching(1, depth), axis=axis)


def through_depth(frame: pd.DataFrame, nets: pd.DataFrame, field: str, title: str, y: str) -> alt.LayerChart:
    x = layers(int(frame.layer.max()))
    up = powers("log10_predicted", y, frame.log10_measured, frame.log10_predicted, nets[field])
    theory, lines = charts.theory_line(frame, x, up), []
    seen, each = frame.dropna(), nets.dropna(subset=field)
    if len(seen):  # else nothing but theory is left
        lines.append(charts.measured_line(seen, "layer:Q", "log10_measured:Q"))
    if len(each):
        thin = alt.Chart(each).mark_line(strokeWidth=1, opacity=0.5)
        lines.append(charts.paint(thin.encode(x="layer:Q", y=f"{field}:Q", detail="net:N"), "measured"))
    chart = alt.layer(*lines, theory)
    return charts.titled(chart, title, height=400)


def flawed(chart: alt.LayerChart, layer: int, depth: int, text: str) -> alt.LayerChart:
    """The chart with a line where numbers get too large or too small; at layer 0, without."""
    side = "left" if layer < depth / 2 else "right"
    return chart + charts.vertical(layer, f"{text} {layer}", "violation", side) if layer else chart


@charts.drawing
def signal(
    frame: pd.DataFrame, nets: pd.DataFrame, factor: str, theory: str, overflow: int
) -> alt.LayerChart:
    title = f"Each layer multiplies the second moment by {factor}; theory: {theory}"
    chart = through_depth(frame, nets, "log10_signal", title, "second moment of the signal")
    return flawed(chart, overflow, int(frame.layer.max()), "overflow at layer")


@charts.drawing
def gradient(
    frame: pd.DataFrame, nets: pd.DataFrame, factor: str, theory: str, burst: int, zero_to: int
) -> alt.LayerChart:
    title = f"Each layer back multiplies the gradient by {factor}; "
    if frame.log10_measured.isna().all():
        title = "There is no gradient to measure; "
    title += f"theory: {theory}"
    chart = through_depth(frame, nets, "log10_gradient", title, "gradient ÷ the last layer's")
    text = "overflow at layer" if burst else "exactly 0 up to layer"
    return flawed(chart, burst or zero_to, int(frame.layer.max()), text)


@charts.drawing
def sizes(frame: pd.DataFrame, depth: int, start: int) -> alt.LayerChart:
    """Histogram of log10 |h| at the slider's layer."""
    slider = alt.binding_range(min=1, max=depth, step=1, name="layer ")
    at = alt.param(name=LAYER, value=start, bind=slider)
    frame = frame.assign(middle=(frame.left + frame.right) / 2)
    top = float(frame[["share", "predicted"]].max().max())
    axis = alt.Axis(labelExpr=POWERS, tickMinStep=1)
    domain = alt.Scale(domain=[frame.left.min(), frame.right.max()], nice=False)
    x = alt.X("left:Q", title="size of a number |h| (log)", scale=domain, axis=axis)
    y = alt.Y("share:Q", title="share of the numbers", axis=alt.Axis(format="%"))
    y.scale = alt.Scale(domain=[0, 1.1 * top], nice=False)
    base = alt.Chart(frame).transform_filter(f"datum.layer == {LAYER}")
    bars = base.mark_bar(opacity=0.6, binSpacing=0).encode(x=x, x2="right:Q", y=y, y2=alt.datum(0))
    line = base.mark_line(strokeDash=[6, 4], strokeWidth=2).encode(x="middle:Q", y="predicted:Q")
    chart = charts.paint(bars.add_params(at), "measured") + charts.paint(line, "theory")
    words = alt.Chart(frame.drop_duplicates("layer")).transform_filter(f"datum.layer == {LAYER}")
    words = words.transform_calculate(text="'layer ' + datum.layer").mark_text(align="right", fontSize=13)
    words = words.encode(text="text:N", x=alt.value("width"), y=alt.value(8))
    title = "Drag the layer: the numbers stay Gaussian, only their size moves"
    return charts.titled(chart + charts.paint(words, "theory"), title, height=330)


@charts.drawing
def widths(frame: pd.DataFrame) -> alt.LayerChart:
    axis = alt.Axis(values=[16, 32, 64, 128, 256, 512])
    x = alt.X("width:Q", title="width n (log)", scale=alt.Scale(type="log", nice=False), axis=axis)
    y = alt.Y("measured:Q", title="second moment kept a layer", scale=alt.Scale(zero=False))
    seen = frame.dropna()
    bars = alt.Chart(seen).mark_rule(strokeWidth=1.5).encode(x=x, y=alt.Y("low:Q"), y2="high:Q")
    dots = alt.Chart(seen).mark_point(filled=True, size=60, opacity=1).encode(x=x, y=y)
    chart = charts.paint(dots, "measured") + charts.paint(bars, "measured")
    chart += charts.theory_line(frame, x, "predicted:Q")
    least = seen.iloc[0]
    title = f"At width {least.width:.0f}, He keeps {least.measured:.2f} a layer: a narrow network fades"
    return charts.titled(chart, title, height=330)


@charts.drawing
def cures(frame: pd.DataFrame, factors: pd.DataFrame) -> alt.LayerChart:
    """All networks in grey; the chosen one with its theory."""
    frame = frame.merge(factors[["order", "measured", "predicted"]], on="order")
    x = layers(30)
    y = powers("log10_measured", "length of the gradient", frame.log10_measured, frame.log10_predicted)
    names = alt.binding_radio(options=list(range(6)), labels=list(factors.cure), name="show ")
    pick = alt.param(name=CURE, value=1, bind=names)
    every = alt.Chart(frame).mark_line(strokeWidth=1.2, opacity=0.7, color=charts.GREY)
    now = alt.Chart(frame).transform_filter(f"datum.order == {CURE}")
    solid = charts.measured_line(frame, "layer:Q", "log10_measured:Q")
    solid = solid.transform_filter(f"datum.order == {CURE}")
    dashed = now.mark_line(strokeDash=[6, 4], strokeWidth=2).encode(x="layer:Q", y="log10_predicted:Q")
    kept = "datum.cure + ' keeps ' + format(datum.measured, '.3f') + ' a layer, theory '"
    words = now.transform_filter("datum.layer == 1")
    words = words.transform_calculate(text=f"{kept} + format(datum.predicted, '.3f')")
    words = words.mark_text(align="left", baseline="bottom", fontSize=13)
    words = words.encode(text="text:N", x=alt.value(4), y=alt.value(-4))
    chart = every.encode(x=x, y=y, detail="order:N").add_params(pick) + solid
    return chart + charts.paint(dashed, "theory") + charts.paint(words, "theory")


@charts.drawing
def ladder(factors: pd.DataFrame) -> alt.LayerChart:
    x = alt.X("measured:Q", title="gradient kept a layer", scale=alt.Scale(domain=[0, 1.7], nice=False))
    y = alt.Y("cure:N", sort=None, title=None, axis=alt.Axis(labelLimit=140))
    base = alt.Chart(factors).encode(y=y)
    dots = charts.paint(base.mark_bar(height=14, opacity=0.75).encode(x=x), "measured")
    law = base.mark_tick(thickness=2, height=24).encode(x="predicted:Q")
    text = base.mark_text(align="left", dx=8).encode(x=x, text=alt.Text("measured:Q", format=".2f"))
    rule = charts.paint(alt.Chart(pd.DataFrame({"at": [1]})).mark_rule(strokeDash=[2, 3]), "theory")
    return dots + charts.paint(law, "theory") + charts.paint(text, "measured") + rule.encode(x="at:Q")


@charts.drawing
def clipping(frame: pd.DataFrame, c: float) -> alt.LayerChart:
    ends = (frame.log10_before, frame.log10_predicted)
    y = powers("log10_predicted", "length of the gradient", *ends)
    axis = alt.Axis(values=[0.5, 0.7, 1, 1.4, 2], format="~g")
    x = alt.X("scale:Q", title="scale of the weights (log)", axis=axis)
    x.scale = alt.Scale(type="log", domain=[0.5, 2], nice=False)
    before = alt.Chart(frame).mark_point(size=60, strokeWidth=2).encode(x="scale:Q", y="log10_before:Q")
    after = charts.measured_line(frame, "scale:Q", "log10_after:Q", point=True)
    chart = after + charts.paint(before, "measured") + charts.theory_line(frame, x, y)
    title = f"Clipping cuts an explosion to {c:g} and cannot bring back what vanished"
    return charts.titled(chart, title, height=330)


def short(key: str) -> str:
    return number(float(f"{summary[key]:.3g}"))


page = open_page("signal_propagation")
tables, summary, settings = page.tables, page.summary, page.settings
overflow, burst = page.result.overflow_layer, page.result.gradient_overflow_layer
silent, zero_to = (int(summary[f"{key}_layer"]) for key in ("signal_exactly_0_from", "gradient_exactly_0_to"))

left, right = st.columns(2)
with left:
    page.main(
        signal(
            tables["main"],
            tables["networks"],
            short("signal_factor"),
            short("predicted_signal_factor"),
            overflow,
        ),
        alt=f"Second moment of the signal by layer, measured and predicted: times {short('signal_factor')} a "
        f"layer, theory {short('predicted_signal_factor')}.",
    )
with right:
    page.chart(
        gradient(
            tables["gradient"],
            tables["networks"],
            short("gradient_factor"),
            short("predicted_gradient_factor"),
            burst,
            zero_to,
        ),
        alt=f"Length of the activation gradient by layer, relative to the last: times "
        f"{short('gradient_factor')} a layer back, theory {short('predicted_gradient_factor')}.",
    )
form = settings.precision
notes = {
    f"At layer {overflow} a number is too large for {form}. It becomes infinite, the loss is no number any "
    "more, and so is every gradient.": overflow,
    f"On its way back the gradient gets too large for {form} at layer {burst}.": burst,
    f"From layer {silent} on every number is 0 in {form}, so there is nothing to send back.": silent,
    f"Up to layer {zero_to} the gradient is exactly 0 in {form}: these layers cannot learn.": zero_to,
}  # fmt: skip
for note in (text for text, layer in notes.items() if layer):
    st.warning(note, icon=":material/memory:")
st.caption("Solid: measured, one thin line for each network. Dashed: the theory, for infinite width.")

left, right = st.columns(2)
with left:
    deepest = overflow - 1 if overflow else silent - 1 if silent else settings.depth
    page.chart(
        sizes(tables["histogram"], settings.depth, max(deepest, 1)),
        alt="Histogram of the sizes of a layer's numbers at the layer you choose, and the normal curve.",
    )
with right:
    shown = "; ".join(f"{r.measured:.3f} at {r.width:.0f}" for r in tables["widths"].dropna().itertuples())
    page.chart(
        widths(tables["widths"]),
        alt=f"Second moment a ReLU network with He's variance keeps a layer, by width: {shown}. The curve "
        "is e to the −5/2n.",
    )

st.header("Five cures, switched on one by one")
st.markdown(
    "Thirty layers of sigmoids with variance 1/n have lost their gradient. What does each cure bring?"
)
view = page.view("cures", "Cures", ["alone", "added"], "alone")
rungs = tables["cure_factors"][tables["cure_factors"]["view"] == view]
said = ", ".join(f"{r.cure} {r.measured:.3f} (theory {r.predicted:.3f})" for r in rungs.itertuples())
kept = rungs.measured.tolist()
titles = {
    "alone": f"Alone, residuals keep {kept[3]:.2f} of the gradient a layer, ReLU {kept[1]:.2f}, "
    f"clipping {kept[5]:.2f}",
    "added": f"ReLU helps ({kept[1]:.2f} a layer), He holds ({kept[2]:.2f}), residuals overshoot "
    f"({kept[3]:.2f}), LayerNorm tames ({kept[4]:.2f})",
}
left, right = st.columns([3, 2])
with left:
    lines = tables["cures"][tables["cures"]["view"] == view]
    page.chart(
        charts.titled(cures(lines, rungs), titles[view], height=400),
        alt=f"Length of the gradient by layer for the start and each cure {view}. Kept a layer: {said}.",
    )
with right:
    page.chart(
        charts.titled(ladder(rungs), "Kept a layer; 1 would be perfect", height=360),
        alt=f"Gradient kept a layer: {said}.",
    )

left, right = st.columns(2)
with left:
    cut = tables["clipping"]
    page.chart(
        clipping(cut, settings.clip),
        alt=f"Length of the weights' gradient by scale, before and after clipping at {settings.clip:g}: "
        f"10 to the {cut.log10_before.iloc[0]:.1f} stays at scale ½, 10 to the "
        f"{cut.log10_before.iloc[-1]:.1f} is cut at 2.".replace("-", "−"),
    )
    st.caption(
        "Rings: before clipping; line: after; dashed: s³⁰. He and ReLU, 30 layers of width 32. Your network's"
        f" gradient of all weights is {short('weight_gradient_norm')} long, after clipping "
        f"{short('weight_gradient_norm_clipped')}."
    )
with right:
    st.markdown("**Which way to keep the size? From 256 numbers to 10**")
    table = tables["from_256_to_10"].rename(columns=lambda name: name.replace("_", " "))
    st.dataframe(table.set_index("rule").T.round(4))
    st.caption(
        "Glorot's variance is a compromise: its factors forward and backward add up to 2. In a square layer "
        "both are 1, and it is LeCun's."
    )
page.close()
