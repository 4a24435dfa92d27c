"""Sampling and VI: the page."""

from ui import charts
from ui.page import open_page

from math import log10
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from lab.numbers import number

NOW = "mcmc_vi_draw"
POWER = "abs(datum.value) < 3.5 ? format(pow(10, datum.value), '~r') : '1e' + format(datum.value, 'd')"
POWERS = f"replace(abs(datum.value - round(datum.value)) > 0.01 ? '' : {POWER}, '-', '−')"
KINDS = {"exact": "theory", "chains": "measured", "mean-field": "violation"}


def powers(channel: Any, field: str, title: str, *reach: float) -> Any:
    """An axis of log10 values with their powers as labels, reaching at least as far as asked."""
    scale = alt.Scale(nice=False, zero=False, padding=6)
    if reach:
        scale.domain = alt.DomainUnionWith(unionWith=list(reach))
    axis = alt.Axis(labelExpr=POWERS, tickMinStep=1)
    return channel(f"{field}:Q", title=f"{title} (log)", scale=scale, axis=axis)


def around(channel: Any, field: str, title: str, *columns: pd.Series) -> Any:
    values = pd.concat(columns)
    room = 0.04 * (values.max() - values.min())
    scale = alt.Scale(domain=[values.min() - room, values.max() + room], nice=False)
    return channel(f"{field}:Q", title=title, scale=scale, axis=alt.Axis(tickCount=6))


@charts.drawing
def exploring(
    walk: pd.DataFrame, cloud: pd.DataFrame, rings: pd.DataFrame, axes: list[str], start: int
) -> alt.LayerChart:
    """The chains at the slider's draw over all that they will find, with both sets of ellipses."""
    x = around(alt.X, "x", axes[0], rings.x, walk.x)
    y = around(alt.Y, "y", axes[1], rings.y, walk.y)
    found = alt.Chart(cloud[~cloud.warm_up]).mark_circle(size=14, opacity=0.3, clip=True, aria=False)
    outlines = alt.Chart(rings).mark_line(strokeWidth=2, clip=True).encode(
        x=x, y=y, color=charts.kind(), detail="ring:N", order="corner:Q",
        strokeDash=alt.condition("datum.kind == 'theory'", alt.value([6, 4]), alt.value([1, 0])),
    )  # fmt: skip
    last = int(walk.draw.max())
    slider = charts.scrubber(NOW, "draw", last, min(start, last))
    so_far = alt.Chart(walk).transform_filter(f"datum.draw <= {NOW}")
    path = so_far.mark_line(strokeWidth=1.2, opacity=0.8, clip=True, interpolate="linear", aria=False)
    path = path.encode(x=x, y=y, detail="chain:N", order="draw:Q").add_params(slider)
    now = alt.Chart(walk).transform_filter(f"datum.draw == {NOW}")
    tips = ["chain:Q", "draw:Q", alt.Tooltip("x:Q", format=".4f"), alt.Tooltip("y:Q", format=".4f")]
    head = now.mark_point(filled=True, size=110, opacity=1, clip=True).encode(x=x, y=y, tooltip=tips)
    refused = now.transform_filter("!datum.accepted").mark_point(shape="cross", angle=45, size=90, clip=True)
    refused = refused.encode(x="tried_x:Q", y="tried_y:Q")
    solid = [charts.paint(layer, "measured") for layer in (found.encode(x=x, y=y), path, head)]
    return alt.layer(*solid, outlines, charts.paint(refused, "violation"))


@charts.drawing
def worth(frame: pd.DataFrame, step: float) -> alt.LayerChart:
    """Effective draws per 1,000 evaluations against the step."""
    x = powers(alt.X, "log10_step", "step h", -2, 0.3)
    y = powers(alt.Y, "log10_ess", "ESS per 1,000 evaluations", 0, 2)
    chart = charts.measured_line(frame.dropna(subset="log10_ess"), x, y, point=True)
    if frame.log10_bound.notna().any():
        chart += charts.theory_line(frame, x, "log10_bound:Q")
    return chart + your(step)


def your(step: float) -> alt.LayerChart:
    return charts.vertical(log10(step), "your h", align="left" if step < 0.5 else "right")


@charts.drawing
def acceptance(frame: pd.DataFrame, step: float, summary: dict[str, float]) -> alt.LayerChart:
    x = powers(alt.X, "log10_step", "step h", -2, 0.3)
    y = alt.Y(
        "acceptance:Q", title="share accepted", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])
    )
    dots = charts.paint(alt.Chart(frame).mark_point(filled=True, size=60).encode(x=x, y=y), "measured")
    if frame.predicted.notna().any():
        dots += charts.theory_line(frame, x, "predicted:Q")
    title = f"{summary['acceptance']:.1%} of the proposals are accepted"
    if frame.predicted.notna().any():
        title += f"; theory: {summary['acceptance_predicted']:.1%}"
    return charts.titled(dots + your(step), title, height=300)


@charts.drawing
def trace(
    cloud: pd.DataFrame, axis: str, chains: list[str], ess: str, summary: dict[str, float]
) -> alt.LayerChart:
    x = alt.X("draw:Q", title="draw", scale=alt.Scale(nice=False))
    y = alt.Y("x:Q", title=axis, scale=alt.Scale(zero=False))
    lines = alt.Chart(cloud).mark_line(strokeWidth=1, opacity=0.85).encode(
        x=x, y=y, color=charts.classes("chain:N", chains)
    )  # fmt: skip
    mean, sd = summary["mean_exact"], summary["sd_exact"]
    band = pd.DataFrame({"at": [mean - 2 * sd, mean, mean + 2 * sd]})
    rules = alt.Chart(band.assign(kind=" theory")).mark_rule(strokeDash=[6, 4], strokeWidth=1.5)
    agree = "agree" if summary["r_hat"] < 1.01 else "disagree"
    title = f"The halves of the chains {agree}: R-hat {summary['r_hat']:.3f}" if ess else "No chain moves"
    chart = lines + rules.encode(y="at:Q", color=charts.classes("kind:N", chains))
    return charts.titled(chart, title, height=300)


@charts.drawing
def memory(frame: pd.DataFrame, chains: list[str], kept: float, ess: str) -> alt.LayerChart:
    ends = [alt.Scale(domain=alt.DomainUnionWith(unionWith=u)) for u in ([0, int(frame.lag.max())], [0, 1])]
    x = alt.X("lag:Q", title="draws apart t", scale=ends[0])
    y = alt.Y("correlation:Q", title="autocorrelation ρₜ", scale=ends[1])
    lines = alt.Chart(frame.dropna().astype({"chain": str})).mark_line(strokeWidth=2)
    lines = lines.encode(x=x, y=y, color=charts.classes("chain:N", chains))
    zero = alt.Chart(pd.DataFrame({"at": [0]})).mark_rule(opacity=0.5, color=charts.GREY).encode(y="at:Q")
    title = f"{number(kept)} draws are worth {ess}" if ess else "No move, no worth"
    return charts.titled(zero + lines, title, height=300)


@charts.drawing
def errors(frame: pd.DataFrame, mixed: bool) -> alt.LayerChart:
    """Over many chains; the law only where it holds."""
    x, y = (
        powers(alt.X, "log10_draws", "draws n of one chain"),
        powers(alt.Y, "measured", "error of the mean"),
    )
    chart, law = charts.measured_line(frame, x, y), frame.iloc[-1]
    naive = alt.Chart(frame).mark_line(strokeWidth=1.5, color=charts.GREY)
    place = (
        {"baseline": "top", "dy": 6}
        if law.if_independent < law.measured
        else {"baseline": "bottom", "dy": -24}
    )
    words = naive.mark_text(align="right", color=charts.GREY, text="if independent", **place)
    chart += naive.encode(x=x, y="if_independent:Q")
    chart += words.properties(data=frame.tail(1)).encode(x=x, y="if_independent:Q")
    title = f"The chains have not mixed: a mean errs by {10**law.measured:.2g}"
    if mixed:
        chart += charts.theory_line(frame, x, "predicted:Q")
        title = "The mean errs by sd/√ESS, not by sd/√n"
    return charts.titled(chart, title, height=300)


@charts.drawing
def spreads(frame: pd.DataFrame, axes: list[str], share: float) -> alt.LayerChart:
    frame = frame.assign(
        kind=frame.method.map(KINDS), name=[axes[c - 1] for c in frame.coordinate],
        text=[f"{r.method} {r.sd:.3g}" for r in frame.itertuples()],
    )  # fmt: skip
    room = alt.Scale(domain=[0, 1.5 * frame.sd.max()], nice=False)
    x = alt.X("sd:Q", title="standard deviation", scale=room)
    y = alt.Y("name:N", title=None, sort=None, axis=alt.Axis(labelLimit=110))
    base = alt.Chart(frame).encode(
        x=x, y=y, yOffset=alt.YOffset("method:N", sort=list(KINDS)), color=charts.kind()
    )
    chart = base.mark_bar() + base.mark_text(align="left", dx=5).encode(text="text:N")
    return charts.titled(chart, f"Mean-field VI reports {share:.0%} of the spread of {axes[0]}", height=300)


@charts.drawing
def fitting(frame: pd.DataFrame, floor: float | None, short: float) -> alt.LayerChart:
    x = alt.X("iteration:Q", title="iteration", axis=alt.Axis(tickMinStep=1))
    y = powers(alt.Y, "log10_kl", "KL(q‖p) [nats]")
    chart = charts.measured_line(frame, x, y, point=True)
    if floor is not None:
        law = pd.DataFrame({"iteration": [0, frame.iteration.max()], "log10_kl": log10(floor)})
        words = charts.theory_line(law.tail(1), x, y).mark_text(align="right", dy=-12)
        chart += charts.theory_line(law, x, y) + words.encode(text=alt.datum(f"−½ ln(1 − ρ²) = {floor:.3g}"))
    title = f"VI stops {short:.3g} nats short of the truth"
    return charts.titled(chart, title, height=300)


page = open_page("mcmc_vi")
result, tables, summary, settings = page.result, page.tables, page.summary, page.settings
two, regression = settings.target == "two modes", settings.target == "regression"
axes = [f"weight of {name}" for name in settings.pair.split(", ")] if regression else ["x₁", "x₂"]
chains = [str(c + 1) for c in range(settings.chains)]
cloud, sweep = tables["cloud"].astype({"chain": str}), tables["sweep"]
ess = number(round(summary["ess"])) if summary["ess"] > 0 else ""
best, most = (number(float(f"{summary[key]:.2g}")) for key in ("best_step", "best_ess_per_1000"))
found = summary["right_share"]

left, right = st.columns([3, 2])
with left:
    share = summary["sd_mean_field"] / summary["sd_exact"]
    title = f"The chains find {summary['sd_chain'] / summary['sd_exact']:.0%} of the spread, VI {share:.0%}"
    if not ess:
        title = "The chains stand where they started"
    elif two:
        title = f"{found:.0%} of the draws are in the right mode, which holds half of the mass"
    page.chart(
        charts.titled(
            exploring(tables["walk"], cloud, tables["rings"], axes, 100 if settings.sampler == "MH" else 30),
            title,
            height=430,
        ),
        alt="Where the chains walk. "
        f"There are {settings.chains}, over the exact distribution (dashed, to two standard deviations) "
        f"and the mean-field ellipses. Standard deviation across: exact {number(summary['sd_exact'])}, "
        f"chains {number(summary['sd_chain'])}, mean-field {number(summary['sd_mean_field'])}.",
    )
    st.caption(
        "Dashed: one and two standard deviations of the truth. Vermillion: of mean-field VI. Blue: the "
        "chains, from their start to the draw you choose; a cross marks a jump that was refused."
    )
with right:
    title = f"The best step is near {best}: {most} draws' worth in 1,000"
    if summary["best_ess_per_1000"] < 1:
        title = f"No step helps: {most} draws' worth in 1,000 at most"
    page.main(
        charts.titled(
            worth(sweep, settings.step),
            title,
            height=430,
        ),
        alt=f"Effective draws per 1,000 evaluations against the step: at most {most}, near {best}.",
    )
    st.caption(
        "Solid: measured. Dashed: no reversible chain with these first steps can do better."
        if sweep.log10_bound.notna().any()
        else f"Four chains a step. Past a step of {summary['edge_of_stability']:.3g}, leapfrog blows up."
        if settings.sampler == "HMC"
        else "Measured over four chains a step. What they have never seen does not count against them."
    )
if not summary["acceptance"]:
    st.warning(f"Not one proposal was accepted: the step is too large. Try {best}.", icon=":material/block:")
elif two and not 0.25 < found < 0.75:
    st.warning(
        f"**{found:.0%} of the draws are on the right**, and half should be. R-hat is "
        f"{number(summary['r_hat'])}, the ESS {ess}; they are computed from what the chains have seen.",
        icon=":material/visibility_off:",
    )  # fmt: skip
elif not summary["r_hat"] < 1.01:
    st.info(
        f"R-hat is {summary['r_hat']:.3f}: these draws are not yet to be trusted.",
        icon=":material/sync_problem:",
    )

st.header("What are the draws worth?")
page.side_by_side(
    (
        trace(cloud, axes[0], chains, ess, summary),
        f"Traces of {axes[0]}, warm-up included; R-hat {number(summary['r_hat'])} after it.",
    ),
    (
        memory(tables["autocorrelation"], chains, summary["draws_kept"], ess),
        f"Autocorrelation by lag; effective sample size {ess or 0}.",
    ),
)
law = tables["errors"].iloc[-1]
page.side_by_side(
    (
        errors(tables["errors"], not page.outcome.claims[0].unmet),
        f"Error of the mean over 96 chains against draws, ending at {number(10**law.measured)}; sd/√ESS is "
        f"{number(10**law.predicted)}, sd/√n {number(10**law.if_independent)}.",
    ),
    (
        acceptance(sweep, settings.step, summary),
        f"Share accepted against the step; at yours {summary['acceptance']:.1%}.",
    ),
)
st.caption(
    "Left: 96 further chains measure the error, 32 others the ESS that predicts it. The law (dashed) sets in "
    "once there are many times more draws than one effective draw takes. Right, dashed: exact, where known."
)

st.header("What VI leaves out")
methods = ", ".join(
    f"{r.method} {axes[r.coordinate - 1]} {number(r.sd)}" for r in tables["methods"].itertuples()
)
page.side_by_side(
    (
        spreads(tables["methods"], axes, summary["sd_mean_field"] / summary["sd_exact"]),
        f"Standard deviations: {methods}.",
    ),
    (
        fitting(
            tables["fit"], None if two else page.outcome.claims[1].also[2].predicted, summary["kl_mean_field"]
        ),
        f"KL by iteration, ending at {number(summary['kl_mean_field'])} nats.",
    ),
)

page.close()
