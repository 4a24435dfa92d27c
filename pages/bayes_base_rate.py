"""Base rates: the page."""

from ui import charts
from ui.page import open_page

import math

import altair as alt
import pandas as pd
import streamlit as st

TESTED, SHOW = "bayes_base_rate_tested", "bayes_base_rate_show"
WHO = ["ill", "ill, missed", "false alarm"]
TIMES = ("before any test", "positive once", "positive twice", "positive 3 times", "positive 4 times")
ONE_IN = "'1 in ' + format(pow(10, -datum.value), ',.0f')"
PREVALENCE = alt.X(
    "log10_prevalence:Q", title="prevalence (log)", scale=alt.Scale(domain=[-4, -0.3], nice=False),
    axis=alt.Axis(values=[-4, -3, -2, -1, -0.30103], labelExpr=ONE_IN, labelFlush=True),
)  # fmt: skip


def share(field: str, title: str, *more: float) -> alt.Y:
    axis = alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, *more, 1])
    return alt.Y(f"{field}:Q", title=title, axis=axis, scale=alt.Scale(domain=[0, 1], nice=False))


def percent(value: float) -> str:
    """Two digits, and near 100 % as many nines as there are."""
    if value > 0.9999995:
        return "100\u00a0%"
    missing = float(f"{100 * (1 - value):.1g}")
    return f"{100 - missing:.7g}\u00a0%" if value > 0.99 else f"{100 * value:.2g}\u00a0%"


def one_in(value: float) -> str:
    return f"1 in {1 / value:,.0f} is" if 0 < value < 0.095 else f"{percent(value)} are"


@charts.drawing
def field_of_people(people: pd.DataFrame, steps: pd.DataFrame, kind: str, tests: int) -> alt.LayerChart:
    """A square a person. Those who are healthy and negative at once are dashes, one line a row."""
    slider = charts.scrubber(TESTED, "positives in a row", 4, tests)
    options = ["everyone", "only the positives"]
    show = alt.param(name=SHOW, value=options[0], bind=alt.binding_radio(options=options, name="show "))
    everyone, total = f"({SHOW} == '{options[0]}' || {TESTED} == 0)", steps.shown[0]
    sides = [max(1, math.ceil(math.sqrt(n))) for n in steps.shown]  # of a square that holds them all
    side, size = f"({everyone} ? {sides[0]} : {sides}[{TESTED}])", "min(width, height - 26)"
    domain = [0, alt.ExprRef(side)]
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=domain, range=[0, alt.ExprRef(size)], nice=False))
    down = alt.Scale(domain=domain, range=[26, alt.ExprRef(f"26 + {size}")], nice=False)
    y = alt.Y("y:Q", axis=None, scale=down)
    rows = pd.DataFrame({"x": 0, "y": [row + 0.425 for row in range(sides[0])]})
    rows["x2"] = [min(sides[0], total - row * sides[0]) for row in range(sides[0])]
    dashes = alt.ExprRef(f"[0.85 * {size} / {sides[0]}, 0.15 * {size} / {sides[0]}]")
    crowd = alt.Chart(rows).transform_filter(everyone).mark_rule(
        strokeDash=dashes, strokeWidth=alt.ExprRef(f"0.85 * {size} / {sides[0]}"), opacity=0.25, aria=False
    )  # fmt: skip
    ill, missed, alarm = WHO
    marks = alt.Chart(people[["row", "column", "ill", kind]].rename(columns={kind: "streak"}))
    marks = (
        marks.transform_filter(f"datum.streak >= {TESTED} || (datum.ill && {everyone})")
        .transform_window(rank="row_number()", sort=[alt.SortField("ill", "descending")])
        .transform_calculate(
            who=f"!datum.ill ? '{alarm}' : datum.streak >= {TESTED} ? '{ill}' : '{missed}'",
            x=f"{everyone} ? datum.column : (datum.rank - 1) % {side}",
            y=f"{everyone} ? datum.row : floor((datum.rank - 1) / {side})",
            x2="datum.x + 0.85", y2="datum.y + 0.85",
        )
        .transform_filter(f"{TESTED} > 0 || datum.ill")
    )  # fmt: skip
    legend = alt.Legend(title=None, orient="top", values=WHO)
    colour = alt.Color("who:N", scale=alt.Scale(domain=WHO), legend=legend)
    squares = marks.mark_rect(aria=False).encode(x=x, x2="x2:Q", y=y, y2="y2:Q", color=colour)
    words = alt.Chart(steps).transform_filter(alt.datum.positives == slider)
    words = words.mark_text(align="left", baseline="top", fontSize=13)
    words = charts.paint(words.encode(text="text:N", x=alt.value(0), y=alt.value(4)), "theory")
    crowd = crowd.encode(x=x, x2="x2:Q", y=y, color=alt.value(charts.GREY))
    chart = (crowd + squares + words).add_params(slider, show).resolve_scale(color="independent")
    chart = charts.titled(chart, steps.title[tests], height=545)
    # Drawn as one picture, however many are positive.
    return chart.properties(usermeta={"embedOptions": {"renderer": "canvas"}})


@charts.drawing
def posteriors(frame: pd.DataFrame, copying: float) -> alt.LayerChart:
    frame = frame.assign(text=[percent(p) for p in frame.predicted])
    x = alt.X("positives:Q", title="positives in a row", axis=alt.Axis(values=[0, 1, 2, 3, 4], format="d"))
    y, second = share("measured", "share that is ill"), frame.text[frame.positives == 2].tolist()
    chart, title = alt.layer(), f"A second positive makes it {second[0]}"
    says = "Blue: the repeats err independently."
    kinds = [("independent", "measured", {"align": "right", "dy": -12})]
    if copying:
        kinds += [("copying", "violation", {"align": "left", "dy": 14, "dx": 5})]
        title += f", or {second[1]} if repeats copy"
        says += f" Vermillion: they copy the result before with chance {copying:g}."
    for name, colour, place in kinds:
        rows = frame[frame.repeats == name]
        line = alt.Chart(rows.dropna(subset="measured")).mark_line(strokeWidth=2.5, point={"size": 60})
        words = alt.Chart(rows[rows.positives > (name == "copying")]).mark_text(**place)
        words = words.encode(x=x, y="predicted:Q", text="text:N")
        chart += charts.paint(line.encode(x=x, y=y), colour) + charts.theory_line(rows, x, "predicted:Q")
        chart += charts.paint(words, colour)
    return charts.titled(chart, title, says, height=545)


@charts.drawing
def worth(tables: dict[str, pd.DataFrame], now: pd.DataFrame, needed: float, tests: int) -> alt.LayerChart:
    y, curves = share("ppv", "P(ill | k positives)", 0.9), tables["curves"]
    others = charts.theory_line(curves[curves.positives != tests], PREVALENCE, y)
    dots = alt.Chart(tables["populations"]).mark_point(filled=True, size=55, opacity=1)
    ring = alt.Chart(now).mark_point(size=260, strokeWidth=3, aria=False)
    chart = others.encode(detail="positives:N", opacity=alt.value(0.45))
    for marks in (dots, ring):
        chart += charts.paint(marks.encode(x=PREVALENCE, y="measured:Q"), "measured")
    chart += charts.theory_line(tables["main"], PREVALENCE, y)
    places = curves.assign(far=(curves.ppv - 0.6).abs()).sort_values("far").groupby("positives").head(1)
    places = places.sort_values("positives").drop_duplicates("log10_prevalence")
    names = alt.Chart(places.assign(text=[f"k = {k}" for k in places.positives]))
    names = names.mark_text(align="left", dx=7, dy=10).encode(x=PREVALENCE, y=y, text="text:N")
    chart += charts.theory_line(tables["main"], PREVALENCE, y) + charts.paint(names, "theory")
    often = f"{tests} positives in a row mean" if tests > 1 else "A positive means"
    title = f"{often} {percent(now.predicted.item())} where {one_in(now.prevalence.item())} ill"
    title += f"; 90 % where {one_in(needed)}" if needed else "; no healthy person tests positive"
    return charts.titled(chart + charts.horizontal(0.9, ""), title, height=400)


@charts.drawing
def scores(patients: pd.DataFrame, summary: dict[str, float]) -> alt.LayerChart:
    bars = alt.Chart(patients).mark_bar(opacity=0.75).encode(
        x=alt.X("log10_odds:Q", bin=alt.Bin(maxbins=45), title="fitted log₁₀ odds of a malignant tumour"),
        y=alt.Y("count():Q", title="patients"), color=charts.classes("tumour:N", ["malignant", "benign"]),
    )  # fmt: skip
    rule = charts.vertical(summary["alarm_at_log10_odds"], "alarm")
    hit, quiet = percent(summary["real_sensitivity"]), percent(summary["real_specificity"])
    title = f"It finds {hit} of the malignant tumours and clears {quiet} of the benign"
    return charts.titled((bars + rule).resolve_scale(color="independent"), title, height=380)


@charts.drawing
def screening(curve: pd.DataFrame, tried: pd.DataFrame) -> alt.LayerChart:
    band = alt.Chart(curve).mark_area(opacity=0.15)
    band = band.encode(x=PREVALENCE, y=share("low", "share of alarms that are right"), y2="high:Q")
    dots = alt.Chart(tried).mark_point(filled=True, size=80, opacity=1).encode(x=PREVALENCE, y="drawn:Q")
    named = tried.assign(
        text=[percent(p) for p in tried.predicted], near=(3 * tried.log10_prevalence).round()
    )
    names = alt.Chart(named.drop_duplicates("near")).mark_text(align="right", dx=-9, dy=-7)
    names = names.encode(x=PREVALENCE, y="drawn:Q", text="text:N")
    chart = charts.paint(band, "theory") + charts.paint(dots, "measured")
    chart += charts.theory_line(curve, PREVALENCE, "ppv:Q") + charts.paint(names, "measured")
    clinic, rare = percent(tried.predicted[0]), percent(tried.predicted[2])
    title = f"{clinic} of its alarms are right among these patients, {rare} where 1 in 1,000 is ill"
    return charts.titled(chart, title, height=380)


@charts.drawing
def events(frame: pd.DataFrame) -> alt.LayerChart:
    base = alt.Chart(frame).encode(y=alt.Y("event:N", sort=None, title=None))
    x = alt.X("measured:Q", title="share of 1,797 scans", axis=alt.Axis(format="%"))
    bars = charts.paint(base.mark_bar(opacity=0.7).encode(x=x), "measured")
    ticks = charts.paint(base.mark_tick(thickness=3, bandSize=30).encode(x="predicted:Q"), "theory")
    title = f"Both happen in {frame.measured[2]:.1%}; independent events would in {frame.measured[4]:.1%}"
    return charts.titled(bars + ticks, title, height=300)


page = open_page("bayes_base_rate")
tables, summary, settings = page.tables, page.summary, page.settings
every, real, tests = tables["posteriors"], tables["real_test"], settings.tests
if summary["likelihood_ratio"] == 1:
    st.info(
        "This test carries no information: sensitivity + specificity = 1, so the ill are as likely to test "
        "positive as the healthy, and a result leaves the odds as they were.", icon=":material/casino:",
    )  # fmt: skip
kind = page.view("repeats", "Repeats", ["independent", "copying"], "independent")
steps = every[every.repeats == kind].reset_index(drop=True)
counts = list(zip(TIMES, steps.shown_ill, steps.shown_healthy, strict=True))
steps["text"] = [f"{when.capitalize()}: {i + h:,} people, {i:,} of them ill" for when, i, h in counts]
steps["shown"] = steps.shown_ill + steps.shown_healthy
steps["title"] = [f"Of {i + h:,} {when}, {i:,} are ill" for when, i, h in counts]
listed = [f"{r.predicted:.4g} ({r.measured:.4g} counted, {r.repeats})" for r in every.itertuples()]
page.side_by_side(
    (field_of_people(tables["people"], steps, kind, tests), ". ".join(steps.text)),
    (posteriors(every, settings.copying), f"Share ill after 0 to 4 positives: {', '.join(listed)}."),
)

now, needed = every.iloc[[tests]], summary["prevalence_for_90"]  # the independent repeats come first
page.main(
    worth(tables, now, needed, tests),
    alt=f"P(ill) after 1 to 4 positives against prevalence. After {tests}, at {settings.prevalence:g}: "
    f"{now.predicted.item():.4g}, counted {now.measured.item():.4g}. 90 % takes {needed:.4g}.",
)

st.header("A real test: is this tumour malignant?")
if len(real):
    sizes = f"sensitivity {summary['real_sensitivity']:.3f}, specificity {summary['real_specificity']:.3f}"
    right = ", ".join(f"{r.predicted:.3f} at {r.prevalence:.3g}" for r in real.itertuples())
    page.side_by_side(
        (scores(tables["patients"], summary), f"Fitted log-odds of 569 tumours; {sizes}."),
        (screening(tables["real_curve"], real), f"Share of alarms that are right by prevalence: {right}."),
    )
    st.caption(
        "Right: dots are patients drawn at that prevalence. The band is what 569 patients leave open about "
        f"the test: at 1 in 1,000, anything from {percent(real.low[2])} to {percent(real.high[2])}."
    )
else:
    st.info("No patient reaches this alarm: there is nothing to judge. Lower it.", icon=":material/tune:")

st.header("The rules underneath")
left, right = st.columns([3, 2])
with left:
    listed = [f"{r.event} {r.measured:.3f}" for r in tables["digits"].itertuples()]
    page.chart(events(tables["digits"]), alt=f"Shares of the scanned digits: {', '.join(listed)}.")
right.markdown(
    "Pick a scanned digit. *Even* and *below five* each happen half the time. If one said nothing about the "
    "other, both would happen in a quarter; but 0, 2 and 4 are three digits of ten. "
    "Bayes' rule is made of such counts, and of nothing else."
)

page.close()
