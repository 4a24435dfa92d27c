"""The two directions of the divergence: the page."""

from ui import charts
from ui.page import open_page

from math import isnan

import altair as alt
import pandas as pd
import streamlit as st

from lab.numbers import number

APART = "kl_directions_apart"
FORWARD, REVERSE, TARGET = "forward D(p‖q)", "reverse D(q‖p)", "target p"
SAYS = ("apart", "covers", "chooses", "beats")
NAMES = {"forward": FORWARD, "reverse": REVERSE}
SEPARATION = alt.X(
    "separation:Q", title="separation of the humps s", scale=alt.Scale(domain=[0, 10], nice=False)
)


@charts.drawing
def fitted_centre(main: pd.DataFrame, here: pd.DataFrame, predicted: float, title: str) -> alt.LayerChart:
    y = alt.Y("centre:Q", title="centre of the fit")
    chart = alt.layer()
    for name, dy in (("right", -7), ("left", 9)):
        words = alt.Chart(main[main.separation == 4]).mark_text(align="right", dx=-4, dy=dy)
        words = words.encode(x=SEPARATION, y=f"{name}_hump:Q", text=alt.value(f"{name} hump"))
        chart += charts.theory_line(main, SEPARATION, f"{name}_hump:Q") + charts.paint(words, "theory")
    for start in ("centre", "right", "left"):
        thin = charts.measured_line(main, SEPARATION, f"centre_from_{start}:Q")
        chart += thin.encode(opacity=alt.value(0.35))
    chart += charts.measured_line(main, SEPARATION, y).encode(strokeWidth=alt.value(4))
    dot = alt.Chart(here).mark_point(filled=True, size=110, opacity=1).encode(x=SEPARATION, y=y)
    if not isnan(predicted):
        chart += charts.vertical(predicted, f"theory: {predicted:.2f}")
    return charts.titled(chart + charts.paint(dot, "measured"), title, height=420)


def fits(frame: pd.DataFrame, x: str, shown: list[str], top: float) -> alt.LayerChart:
    """A target in grey under its fits; a reverse fit that loses is thin and dotted."""
    across = alt.X(f"{x}:Q", title=f"{x} [cm]" if x == "length" else x, scale=alt.Scale(nice=False))
    scale = alt.Scale(domain=[0, top], nice=False)
    ground = alt.Chart(frame).mark_area(opacity=0.35, color=charts.GREY)
    chart = ground.encode(x=across, y=alt.Y("target:Q", title="density", scale=scale))
    for name in shown:
        colour = charts.classes("fit:N", list(NAMES.values()))
        lines = alt.Chart(frame).transform_calculate(fit=f"'{NAMES[name]}'")
        chart += lines.mark_line(strokeWidth=3, clip=True).encode(x=across, y=f"{name}:Q", color=colour)
        if name == "reverse":
            thin = lines.mark_line(strokeWidth=1.5, strokeDash=[2, 3], clip=True)
            chart += thin.encode(x=across, y="beaten:Q", color=colour)
    return chart


@charts.drawing
def scrubbed(frames: pd.DataFrame, says: pd.DataFrame, at: int, shown: list[str]) -> alt.LayerChart:
    bound = alt.binding_range(min=0, max=10, step=0.2, name="separation s ")
    slider, now = alt.param(name=APART, value=at / 5, bind=bound), f"datum.frame == round(5 * {APART})"
    top = 1.4 * frames[["target", "forward", "reverse"]].max().max()
    chart = fits(frames, "x", shown, top)
    chart.layer = [layer.transform_filter(now) for layer in chart.layer]
    words = alt.Chart(says).transform_filter(now)
    lines = [
        words.mark_text(align="left", baseline="top", fontSize=13).encode(
            text=f"{field}:N", x=alt.value(6), y=alt.value(4 + 18 * line)
        )
        for line, field in enumerate(SAYS)
    ]
    chart = alt.layer(chart, *(charts.paint(line, "theory") for line in lines))
    chart = chart.add_params(slider).resolve_scale(color="independent")
    return charts.titled(chart, says.title[at], height=420)


@charts.drawing
def surface(tables: dict[str, pd.DataFrame], which: str, optima: pd.DataFrame, title: str) -> alt.LayerChart:
    bands = tables["surface"].query("direction == @which").astype({"basin": str})
    x = alt.X("mean:Q", title="mean of the fit", axis=alt.Axis(grid=False), scale=alt.Scale(nice=False))
    y = alt.Y(
        "sd_low:Q", title="standard deviation (log)", axis=alt.Axis(values=[0.5, 1, 2, 4, 8], grid=False)
    )
    y = y.scale(type="log", domain=[bands.sd_low.min(), bands.sd_high.max()], nice=False)
    colour = charts.classes("basin:N", [str(k) for k in range(1, 4)], legend="")
    ground = alt.Chart(bands).mark_area(
        opacity=0.12, aria=False
    )  # they lie on one another, deeper ones on all
    chart = ground.encode(x=x, y=y, y2="sd_high:Q", color=colour, detail="level:N")
    path = alt.Chart(tables["path"]).encode(x="centre:Q", y="sd:Q")
    if which == "reverse":
        line = path.mark_line(strokeWidth=2, point={"size": 30, "filled": True}).encode(order="step:Q")
        ring = path.transform_filter("datum.step == 0").mark_point(size=170, strokeWidth=2.5)
        chart += charts.paint(line, "theory") + charts.paint(ring, "theory")
    marks = alt.Chart(optima).encode(x="centre:Q", y="sd:Q")
    chart += charts.paint(marks.mark_point(shape="diamond", size=130, filled=True, opacity=1), "theory")
    words = marks.mark_text(align="left", dx=11, fontWeight=700).encode(text=alt.Text("kl:Q", format=".3f"))
    chart = (chart + charts.paint(words, "theory")).resolve_scale(color="independent")
    return charts.titled(chart, title, height=400)


@charts.drawing
def price(main: pd.DataFrame, humps: set[float], even: bool, title: str) -> alt.LayerChart:
    y = alt.Y("kl_from_centre:Q", title="D(q‖p) [nats]", scale=alt.Scale(domain=[0, 2.6], nice=False))
    chart = charts.theory_line(main[main.predicted_cover < 2.6], SEPARATION, "predicted_cover:Q")
    for name in ("centre", "right", "left")[: 2 if even else 3]:
        rows = main.dropna(subset=f"kl_from_{name}")
        line = charts.measured_line(rows, SEPARATION, y if name == "centre" else f"kl_from_{name}:Q")
        chart += line.mark_line(strokeWidth=2.5, clip=True)
        place = rows[rows.separation == 3] if name == "centre" else rows[rows.separation < 9.9].tail(1)
        merges = name != "centre" and bool(place.separation.max() < 9)
        words = alt.Chart(place).mark_text(
            align="left" if merges else "right", dx=8 * merges, dy=-12 if name == "centre" else 15
        )
        words = words.encode(x=SEPARATION, y=f"kl_from_{name}:Q", text=alt.value(f"from the {name}"))
        chart += charts.paint(words, "measured")
    for cost in humps:
        chart += charts.horizontal(cost, f"at most {cost:.3f} for a hump")
    return charts.titled(chart, title, height=400)


@charts.drawing
def codes(frame: pd.DataFrame, mu: float, title: str) -> alt.LayerChart:
    x, chart = alt.X("mu:Q", title="mean μ of the code", scale=alt.Scale(nice=False)), alt.layer()
    upper = "forward" if frame.forward[0] > frame.reverse[0] else "reverse"
    for name, colour in (("reverse", "measured"), ("forward", "violation")):
        y = alt.Y(f"drawn_{name}:Q", title="divergence [nats]")
        dots = alt.Chart(frame.iloc[::3]).mark_point(filled=True, size=45, opacity=1).encode(x=x, y=y)
        edge = frame[frame.mu == (-1.8 if name == upper else 1.8)]
        place = {"dx": 12, "dy": -6} if name == upper else {"dx": -8, "dy": 15}
        words = alt.Chart(edge).mark_text(text=NAMES[name], align="left", **place)
        words = words.encode(x=x, y=f"{name}:Q")
        chart += charts.theory_line(frame, x, f"{name}:Q") + charts.paint(dots, colour)
        chart += charts.paint(words, colour)
    return charts.titled(chart + charts.vertical(mu, "your μ", "measured"), title, height=340)


@charts.drawing
def reading(frame: pd.DataFrame, read: int, title: str) -> alt.LayerChart:
    powers = alt.Axis(values=[2, 3, 4], labelExpr="format(pow(10, datum.value), ',')")
    x = alt.X(
        "log10_read:Q", title="letters read (log)", axis=powers, scale=alt.Scale(zero=False, nice=False)
    )
    y = alt.Y("read_from_whole:Q", title="divergence [bits a letter]")
    finite = frame[frame.whole_from_read < float("inf")]
    other = (
        alt.Chart(finite).mark_line(strokeWidth=2.5, point={"size": 40}).encode(x=x, y="whole_from_read:Q")
    )
    chart = charts.theory_line(frame, x, "predicted:Q") + charts.measured_line(frame, x, y, point=True)
    chart += charts.paint(other, "violation")
    if len(finite):
        chart += charts.vertical(finite.log10_read.min(), "D(whole‖read): ∞ before", "violation", "right")
    return charts.titled(chart, title, height=340)


@charts.drawing
def policies(frame: pd.DataFrame, title: str) -> alt.LayerChart:
    x = alt.X("beta:Q", title="strength β of the penalty", scale=alt.Scale(domain=[0, 3.1], nice=False))
    y = alt.Y("measured:Q", title="share of vowels", axis=alt.Axis(format="%"), scale=alt.Scale(zero=False))
    base = alt.Chart(frame.assign(name=frame.penalty.map({"reverse": "D(π‖ref)", "forward": "D(ref‖π)"})))
    colour = charts.classes("name:N", ["D(ref‖π)", "D(π‖ref)"])
    dots = base.mark_point(filled=True, size=65, opacity=1).encode(x=x, y=y, color=colour)
    lines = base.mark_line(strokeDash=[6, 4]).encode(x=x, y="predicted:Q", color=colour)
    return charts.titled(lines + dots, title, height=340)


def signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def told(main: pd.DataFrame) -> pd.DataFrame:
    """What the scrubbed chart says at each separation, and its title there."""
    rows = []
    for r in main.to_dict("records"):
        humps = [r[f"kl_from_{side}"] for side in ("right", "left")]
        hump = min((h for h in humps if not isnan(h)), default=float("nan"))
        beaten = (
            f"a hump costs {hump:.3f}"
            if r["from"] == "centre"
            else f"covering costs {r['kl_from_centre']:.3f}"
        )
        wide, narrow = f"{r['forward_sd']:.2f}", f"{r['sd']:.2f}"
        rows.append(
            {
                "apart": f"s = {r['separation']:.1f}",
                "covers": f"forward: {signed(r['forward_centre'])} ± {wide}",
                "chooses": f"reverse: {signed(r['centre'])} ± {narrow}, costs {r['kl']:.3f}",
                "beats": "" if isnan(hump) else beaten,
                "title": f"{r['separation']:.1f} apart: forward is {wide} wide, reverse {narrow}",
            }
        )
    return pd.DataFrame(rows).assign(frame=range(len(rows)))


page = open_page("kl_directions")
tables, summary, settings = page.tables, page.summary, page.settings
main, crossing = tables["main"], summary["crossing"]
row = round(settings.separation / 0.2)
even = settings.weight == 0.5 and settings.width == 1

direction = page.view("direction", "Direction", ["both", "forward", "reverse"], "both")
shown = [name for name in NAMES if direction in ("both", name)]
left, right = st.columns([11, 9])
with left:
    title = f"Past s = {crossing:.2f} one mode wins; before, covering"
    if isnan(crossing):
        heavy = "right" if main.centre.iloc[-1] > 0 else "left"
        title = f"No jump: the best fit slides onto the {heavy} hump"
    page.main(
        fitted_centre(main, main.iloc[[row]], summary["crossing_predicted"] if even else float("nan"), title),
        alt=f"Centre of the best reverse fit against separation. {title}. At your s = "
        f"{settings.separation:g}: {summary['reverse_centre']:.2f}.",
    )
with right:
    says = told(main)
    page.chart(
        scrubbed(tables["frames"], says, row, shown),
        alt=f"Target and fits; a slider moves the humps. {'; '.join(says.loc[row, list(SAYS)])}.",
    )
st.caption(
    "Left, thick: the best reverse fit; thin: optima that it beats; dashed: the humps. Right: drag the "
    "slider, it works in your browser; dotted is the reverse fit that loses."
)

st.header("A valley with more than one floor")
which = "forward" if direction == "forward" else "reverse"
optima = tables["optima"]
if which == "forward":
    lowest = {"centre": "forward_centre", "sd": "forward_sd", "kl": "forward_kl"}
    optima = pd.DataFrame([{name: summary[key] for name, key in lowest.items()}])
floors = ", ".join(f"{o.kl:.3f} at mean {o.centre:.2f}, sd {o.sd:.2f}" for o in optima.itertuples())
basins = "one basin" if len(optima) == 1 else f"{len(optima)} basins"
ended = f"; from your start you end at {summary['end_kl']:.3f}" if which == "reverse" else ": start anywhere"
title = f"The {which} divergence has {basins}{ended}"
humps = {round(summary[f"price_{side}"], 9) for side in ("right", "left")}
cost = f"A hump costs {min(humps):.3f} at most"
cost += f"; covering passes it at s = {crossing:.2f}" if even else ", if it is the likelier"
page.side_by_side(
    (
        surface(tables, which, optima, title),
        f"Map of the divergence by mean and sd of the fit. Floors: {floors}.",
    ),
    (price(main, humps, even, cost), f"D(q‖p) from each start against separation. {cost}."),
    widths=[3, 2],
)
st.caption(
    "Left: a colour a basin, darker is lower, diamonds are the floors"
    + (", the ring is your start and the line the descent." if which == "reverse" else ".")
    + " Right, dashed: theory."
)

st.header("The same two pulls in flowers and in codes")
petals = page.result.petals
bells = fits(tables["petals"], "length", shown, 1.1 * tables["petals"].drop(columns="length").max().max())
won = (
    f"Reverse keeps the long petals, {petals.kl[0, 1]:.2f} nats, against {petals.kl[0, 2]:.2f} for the short"
)
wide = f"Forward spans both groups of petals: {petals.forward_centre[0]:.2f} ± {petals.forward_sd[0]:.2f} cm"
paid, other = summary["code_reverse"], summary["code_forward"]
pays = f"A VAE pays {paid:.3g} nats for this code; forward would be {other:.3g}"
page.side_by_side(
    (
        charts.titled(bells, wide if shown == ["forward"] else won, height=340),
        f"Lengths of 150 petals, and fits. {wide}. {won}.",
    ),
    (codes(tables["codes"], settings.mu, pays), f"Both divergences from N(0, 1) by the code's mean. {pays}."),
)

st.header("Where a code has no word, the price is infinite")
letters = tables["letters"]
missing = " ".join(letters.letter[letters.read == 0].replace(" ", "space"))
lost = number(float(f"{summary['whole_from_read_bits']:.3g}"))
gap = f"{settings.read:,} letters in, coding the whole text loses {lost} bits a letter"
if missing:
    gap = f"{settings.read:,} letters in, D(whole‖read) is infinite: no {missing}"
half = tables["policies"].query("beta == 0.2").measured.tolist()
kept = (
    f"At β = 0.2 the policy keeps {1 - half[0]:.1%} other letters, or {1 - half[1]:.1%} if held by D(ref‖π)"
)
page.side_by_side(
    (
        reading(tables["reading"], settings.read, gap),
        f"Divergence between the letters read and the whole text. {gap}. The other way "
        f"{number(summary['read_from_whole_bits'])} bits.",
    ),
    (policies(tables["policies"], kept), f"Share of vowels, which are rewarded, by β. {kept}."),
)
st.caption(
    "Left, blue: D(read‖whole); vermillion: D(whole‖read), infinite until every letter was seen; dashed: had "
    "the letters been independent. Right: dots climbed from 27 logits, dashed the closed forms."
)
page.close()
