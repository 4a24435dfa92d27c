"""Batch variance and the CLT: the page."""

from ui import charts
from ui.page import open_page

import altair as alt
import pandas as pd
import streamlit as st

N_AXIS = alt.X(
    "n:Q", title="draws per mean n (log)", axis=alt.Axis(values=[1, 2, 4, 8, 16, 32, 64]),
    scale=alt.Scale(type="log", base=2, domain=[1, 64], nice=False),
)  # fmt: skip
# The main curve is kept as logarithms on linear axes, so that it is a line on the home page as well.
B_AXIS = alt.X(
    "doublings:Q", title="batch size B (log)", scale=alt.Scale(domain=[0, 8.8], nice=False),
    axis=alt.Axis(values=list(range(9)), labelExpr="format(pow(2, datum.value), 'd')"),
)  # fmt: skip
POWERS_OF_TEN = alt.Axis(values=list(range(-4, 3)), labelExpr="format(pow(10, datum.value), '~r')")


def logarithmic(field: str, title: str, *within: float) -> alt.Y:
    """A logarithmic axis whose ends make room for the values ``within``, if any."""
    ticks = [m * 10.0**k for k in range(-4, 3) for m in (1, 3)]
    axis, scale = alt.Axis(values=ticks, format="~g"), alt.Scale(type="log", nice=False, padding=8)
    if within:
        scale.domain = [min(within) / 1.3, max(within) * 1.3]
    return alt.Y(f"{field}:Q", title=f"{title} (log)", axis=axis, scale=scale)


def named(frame: pd.DataFrame, y: alt.Y, text: str, which: str, at: int = 0) -> alt.Chart:
    """A curve's name: above its first or last point, below any other."""
    row, right = frame.dropna(subset=y.shorthand[:-2]).iloc[[at]], at != 0
    side, dx, dy = ("right", -4, 13 if at > 0 else -11) if right else ("left", 6, -11)
    words = alt.Chart(row).mark_text(text=text, align=side, dx=dx, dy=dy)
    return charts.paint(words.encode(x=N_AXIS, y=y), which)


@charts.drawing
def variance(main: pd.DataFrame, laws: pd.DataFrame, slope: pd.Series, chosen: str) -> alt.LayerChart:
    y = alt.Y("log10_measured:Q", title="variance of the gradient (log)", axis=POWERS_OF_TEN)
    strong = alt.condition(alt.datum.scheme == chosen, alt.value(1), alt.value(0.6))
    lines = charts.theory_line(laws, B_AXIS, "log10_predicted:Q").encode(detail="scheme:N", opacity=strong)
    bars = alt.Chart(main).mark_rule(strokeWidth=1.5)
    bars = bars.encode(x=B_AXIS, y="log10_low:Q", y2="log10_high:Q")
    chart = charts.measured_line(main, B_AXIS, y, point=True) + charts.paint(bars, "measured") + lines
    if laws.batch.max() > 100:  # else the two laws lie on each other
        first, last = laws.iloc[[len(laws) // 5]], laws.iloc[[-1]]
        for row, align, dy in ((first, "left", -12), (last, "right", 0)):
            words = alt.Chart(row).mark_text(align=align, dx=-10 if align == "right" else 4, dy=dy)
            words = words.encode(x=B_AXIS, y="log10_predicted:Q", text="scheme:N")
            chart += charts.paint(words, "theory")
    title = f"Each doubling divides the variance by {slope.per_doubling:.2f}"
    if chosen == "without replacement":
        title = "Doubling more than halves the variance"
    if pd.isna(slope.slope):
        title = "One batch size has no slope: allow larger batches"
    return charts.titled(chart, title, height=400)


@charts.drawing
def ratio(frame: pd.DataFrame, chosen: str) -> alt.LayerChart:
    scale = alt.Scale(type="log", base=2, nice=False, padding=12)
    rows = frame[frame.scheme == chosen].dropna(subset="ratio")
    base = alt.Chart(rows).encode(x=alt.X("batch:Q", title="batch size B (log)", scale=scale))
    y = alt.Y("ratio:Q", title=f"measured ÷ law, {chosen}", scale=alt.Scale(zero=False, nice=False))
    points = base.mark_point(filled=True, size=60, opacity=1).encode(y=y)
    bars = base.mark_rule(strokeWidth=1.5).encode(y="ratio_low:Q", y2="ratio_high:Q")
    chart = charts.paint(bars, "measured") + charts.paint(points, "measured") + charts.horizontal(1, "")
    return charts.titled(chart, "The law holds, to the noise", height=400)


@charts.drawing
def histogram(bins: pd.DataFrame, normal: pd.DataFrame) -> alt.LayerChart:
    choices = alt.binding_select(options=[1, 2, 4, 8, 16, 32, 64], name="draws per mean n ")
    n = alt.param(name="clt_batch_variance_n", value=1, bind=choices)
    y = alt.Y("density:Q", title="share per unit of z", scale=alt.Scale(domain=[0, bins.density.max()]))
    bars = alt.Chart(bins).mark_bar(opacity=0.6, clip=True, binSpacing=0)
    x = alt.X("left:Q", title="standardised mean z", scale=alt.Scale(domain=[-4, 4]))
    bars = (
        bars.encode(x=x, x2="right:Q", y=y, y2=alt.datum(0)).transform_filter(alt.datum.n == n).add_params(n)
    )
    chart = charts.paint(bars, "measured") + charts.theory_line(normal, "z:Q", "density:Q")
    return charts.titled(chart, "Choose n below: do the bars reach the curve?", height=320)


@charts.drawing
def quantiles(frame: pd.DataFrame) -> alt.LayerChart:
    some, reach = frame[frame.n.isin([1, 4, 16, 64])], alt.Scale(domain=[-3.2, 3.2], nice=False)
    x = alt.X("normal_quantile:Q", title="quantile of N(0, 1)", scale=reach)
    y = alt.Y("measured_quantile:Q", title="measured quantile", scale=alt.Scale(domain=[-4, 6], nice=False))
    lines = alt.Chart(some).mark_line(strokeWidth=2, clip=True)
    lines = lines.encode(x=x, y=y, color=charts.classes("n:N", [1, 4, 16, 64], "n"))
    diagonal = pd.DataFrame({"normal_quantile": [-3.2, 3.2], "measured_quantile": [-3.2, 3.2]})
    chart = (charts.theory_line(diagonal, x, y) + lines).resolve_scale(color="independent")
    return charts.titled(chart, "Normal means would lie on the dashed line", height=365)


def both(frame: pd.DataFrame, source: str, y: alt.Y, at: int = 0) -> alt.LayerChart:
    """The chosen source against n, and Cauchy, which fails."""
    cauchy, mine = frame[frame.source == "Cauchy"], frame[frame.source == source]
    line = alt.Chart(cauchy).mark_line(strokeWidth=2.5, point=True).encode(x=N_AXIS, y=y)
    chart = charts.paint(line, "violation") + named(cauchy, y, "Cauchy", "violation", -1)
    if source == "Cauchy":
        return chart
    return chart + charts.measured_line(mine, N_AXIS, y, point=True) + named(mine, y, source, "measured", at)


@charts.drawing
def distance(frame: pd.DataFrame, source: str) -> alt.LayerChart:
    noise, title = float(frame.noise[0]), "KS distance to N(0, 1)"
    ends = (noise, frame.measured.min(), frame.measured.max(), frame.bound.max(), 0.3)
    chart = both(frame, source, logarithmic("measured", title, *(e for e in ends if e == e)))
    for theory in ("bound", "exact"):
        rows = frame[frame.source == source].dropna(subset=theory)
        chart += charts.theory_line(rows, N_AXIS, f"{theory}:Q")
    if source != "Cauchy":
        chart += named(frame, alt.Y("bound:Q"), "bound of Berry and Esseen", "theory")
    chart += charts.horizontal(noise, "noise of the measurement")
    first, last = frame.measured[0], frame.measured[6]
    title = f"KS distance {first:.3f} to {last:.3f}; Cauchy stays at {frame.measured.iloc[-1]:.3f}"
    return charts.titled(chart, "No nearer to normal" if source == "Cauchy" else title, height=340)


@charts.drawing
def spread(frame: pd.DataFrame, source: str) -> alt.LayerChart:
    frame = frame[frame.quartile_range > 0]  # half of a few coin tosses are alike, which no log can show
    ends = (frame.quartile_range.min(), frame.range_in_theory.min(), 0.3, 3)
    chart = both(frame, source, logarithmic("quartile_range", "width of the middle half", *ends), at=2)
    chart += charts.theory_line(frame, N_AXIS, "range_in_theory:Q").encode(detail="source:N")
    return charts.titled(chart, "Averaging does not narrow Cauchy", height=340)


@charts.drawing
def shape(rows: pd.DataFrame, what: str, law: str) -> alt.LayerChart:
    values = pd.concat([rows.measured, rows.predicted, pd.Series([-0.06, 0.06])])
    room = alt.Scale(domain=[values.min(), values.max()], padding=12)
    y = alt.Y("measured:Q", title=f"{what} of z", scale=room)
    dots = alt.Chart(rows).mark_point(filled=True, size=60, opacity=1).encode(x=N_AXIS, y=y)
    bars = alt.Chart(rows.dropna(subset="low")).mark_rule(strokeWidth=1.5, clip=True)
    chart = charts.paint(bars.encode(x=N_AXIS, y="low:Q", y2="high:Q"), "measured")
    chart += charts.theory_line(rows.dropna(subset="predicted"), N_AXIS, "predicted:Q")
    known, start = rows.predicted.notna().any(), abs(rows.predicted.iloc[0])
    title = f"{what.capitalize()} shrinks like {law}" if known else f"The {what} of one draw is infinite"
    if start < 1e-9:
        title = "There is no skewness to lose"
    return charts.titled(chart + charts.paint(dots, "measured"), title, height=280)


@charts.drawing
def descent(frame: pd.DataFrame) -> alt.LayerChart:
    axis, scale = alt.Axis(values=[1, 3, 10, 30, 100, 300, 1000]), alt.Scale(type="log", nice=False)
    x = alt.X("step:Q", title="step, one patient each (log)", axis=axis, scale=scale)
    band = alt.Chart(frame).mark_area(opacity=0.25)
    band = band.encode(x=x, y=logarithmic("low", "loss above the optimum"), y2="high:Q")
    line = charts.measured_line(frame, x, "measured:Q") + charts.theory_line(frame, x, "predicted:Q")
    last = frame.iloc[-1]
    title = (
        f"With B = 1 the loss falls to {last.measured:.4f} above the optimum, {last.predicted:.4f} expected"
    )
    return charts.titled(charts.paint(band, "measured") + line, title, height=320)


page = open_page("clt_batch_variance")
tables, summary, settings = page.tables, page.summary, page.settings
chosen = "with replacement" if settings.replacement else "without replacement"
slope, ratios = tables["slopes"].set_index("scheme").loc[chosen], tables["variance"]

left, right = st.columns([3, 2])
with left:
    page.main(
        variance(tables["main"], tables["laws"], slope, chosen),
        alt=f"Variance of the gradient against batch size {chosen}, and both laws: measured "
        f"{summary['variance_at_1']:.4g} at 1 and {summary['variance_at_largest']:.3g} at {settings.batch}, "
        f"predicted {summary['predicted_at_largest']:.3g}; slope {summary['slope']:.3f}.",
    )
with right:
    shown = ratios[ratios.scheme == chosen].ratio
    text = f"from {shown.min():.3f} to {shown.max():.3f}"
    page.chart(
        ratio(ratios, chosen), alt=f"Measured over predicted variance {chosen}, for each batch size: {text}."
    )
if not pd.isna(slope.slope):
    fitted = f"The fitted slope is {slope.slope:.3f} (95 % interval {slope.low:.3f} to {slope.high:.3f}); "
    fitted += f"fitted to the law it is {slope.predicted:.3f}. Bars are ±2 standard errors."
    if settings.batch == 442:
        fitted += " Without replacement nothing is left at B = 442, which a logarithmic axis cannot show."
    st.caption(fitted.replace("-", "−"))

source, far = settings.source, tables["distance"]
ends = list(far[far.n.isin([1, 64])].itertuples())
near = "; ".join(f"{r.source} {r.measured:.3f} at n = {r.n}" for r in ends)
wide = "; ".join(f"{r.source} {r.quartile_range:.3g} at n = {r.n}" for r in ends)
st.subheader(f"Means of n draws: {source}")
page.side_by_side(
    (histogram(tables["histogram"], tables["normal"]),
     f"Histogram of standardised means of n {source} draws, n to be chosen, and the normal density."),
    (quantiles(tables["qq"]),
     f"Quantiles of standardised means of {source} draws against normal ones, for n = 1, 4, 16 and 64."),
)  # fmt: skip
page.side_by_side(
    (distance(far, source), f"KS distance to the normal curve (Cauchy: the nearest one): {near}."),
    (spread(far, source), f"Width of the middle half of the means: {wide}."),
)
if source == "Cauchy":
    st.info(
        "A Cauchy draw has no mean, no variance and no skewness. Its charts use the nearest normal curve."
    )
else:
    drawn = []
    for what, law in (("skewness", "1/√n"), ("excess kurtosis", "1/n")):
        rows = tables["shape"][tables["shape"].statistic == what]
        text = f"{rows.measured.iloc[0]:.3g} at n = 1, {rows.measured.iloc[-1]:.3g} at 64"
        drawn.append((shape(rows, what, law), f"{what.capitalize()} of standardised means: {text}."))
    page.side_by_side(*drawn)

st.subheader("Is the normal curve why mini-batches work?")
st.markdown("No. One patient a step gives a gradient far from normal, and descent arrives all the same.")
text = f"{summary['sgd_excess_at_end']:.4f} after 1,000 steps"
page.chart(descent(tables["one_patient_a_step"]), alt=f"Loss above the optimum with B = 1: {text}.")
page.close()
