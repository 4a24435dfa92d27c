"""Decoding: the page."""

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

import ui
from ui import charts

FRAME = "decoding_frame"
LOG_TAU = alt.X(
    "log10_tau:Q", title="temperature τ (log)", scale=alt.Scale(domain=[-1.31, 1.01], nice=False),
    axis=alt.Axis(values=[float(np.log10(t)) for t in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)],
                  labelExpr="format(pow(10, datum.value), '~r')"),
)  # fmt: skip


def bars(frame: pd.DataFrame, start: int, after: str) -> alt.LayerChart:
    """Before in outline, 10,000 draws filled, the prediction as a dash, at the slider's temperature."""
    slider = charts.scrubber(FRAME, "τ, cold to hot", int(frame.frame.max()), start)
    now = alt.Chart(frame).transform_filter(alt.datum.frame == slider)
    x = alt.X("symbol:N", title="next symbol (␣ is the space)", sort=None, axis=alt.Axis(labelAngle=0))
    y = alt.Y("measured:Q", title="probability", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%"))
    tips = ["symbol:N", *(alt.Tooltip(f"{c}:Q", format=".2%") for c in ("before", "predicted", "measured"))]
    drawn = charts.paint(now.mark_bar(opacity=0.75).encode(x=x, y=y, tooltip=tips), "measured")
    before = now.mark_bar(filled=False, stroke=charts.GREY, strokeWidth=1.5).encode(x=x, y="before:Q")
    dashes = now.mark_tick(orient="horizontal", thickness=2, width={"band": 0.95}).encode(
        x=x, y="predicted:Q"
    )
    words = now.transform_filter(alt.datum.rank == 1).transform_calculate(
        says="'τ = ' + format(datum.tau, '~g') + ': the favourite ' + format(datum.before, '.1%') + ' → '"
        " + format(datum.predicted, '.1%')"
    )
    words = words.mark_text(align="right", baseline="top", fontSize=14)
    words = words.encode(text="says:N", x=alt.value("width"), y=alt.value(6))
    chart = before + drawn + charts.paint(dashes, "theory") + charts.paint(words, "theory")
    return charts.titled(chart.add_params(slider), after, height=340)


def repetition(frame: pd.DataFrame, real: float, most: float, filtered: bool, tau: float) -> alt.LayerChart:
    y = alt.Y(
        "distinct_4:Q", title="distinct-4", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1.03])
    )
    chart = charts.measured_line(frame, LOG_TAU, y, point=True)
    spread = alt.Chart(frame).transform_calculate(
        low="datum.distinct_4 - datum.sd", high="datum.distinct_4 + datum.sd"
    )
    spread = spread.mark_area(opacity=0.2, clip=True).encode(x=LOG_TAU, y="low:Q", y2="high:Q")
    chart = charts.paint(spread, "measured") + chart
    if filtered:
        alone = alt.Chart(frame).mark_line(strokeWidth=1.5, color=charts.GREY)
        chart += alone.encode(x=LOG_TAU, y="temperature_alone:Q")
    chart += charts.horizontal(most, "greedy: at most its circle") + charts.vertical(np.log10(tau), "your τ")
    line = alt.Chart(pd.DataFrame({"at": [real], "text": [f"English: {real:.0%}"]})).encode(y="at:Q")
    words = line.mark_text(align="left", dx=4, dy=10, color=charts.GREY).encode(text="text:N", x=alt.value(0))
    chart += line.mark_rule(color=charts.GREY, strokeWidth=1.5) + words
    last = frame[frame.tau == 1].iloc[0]
    title = f"Cold text repeats itself: {frame.distinct_4[0]:.0%} of its runs of four differ, {last.distinct_4:.0%} at τ = 1"
    return charts.titled(chart, title, height=380)


def sets(frame: pd.DataFrame, limits: pd.DataFrame, p: float, mean: float) -> alt.LayerChart:
    reach = alt.Scale(domain=[0, max(frame["size"].max() + 1, 6)], nice=False)
    x = alt.X(
        "entropy_bits:Q",
        title="entropy of the next symbol [bits]",
        scale=alt.Scale(domain=[0, 4.8], nice=False),
    )
    y = alt.Y("size:Q", title=f"symbols that hold {p:.0%}", scale=reach)
    dots = alt.Chart(frame).mark_circle(opacity=0.7).encode(
        x=x, y=y, size=alt.Size("contexts:Q", legend=None, scale=alt.Scale(range=[12, 350])),
        tooltip=["contexts:Q", "size:Q", alt.Tooltip("entropy_bits:Q", format=".1f")],
    )  # fmt: skip
    ends = limits.melt("size", ["least", "largest"], "end", "entropy_bits").sort_values(["end", "size"])
    lines = alt.Chart(ends).mark_line(strokeDash=[6, 4], strokeWidth=2, clip=True)
    lines = charts.paint(lines.encode(x=x, y=y, detail="end:N", order="size:Q"), "theory")
    title = f"Top-p keeps {frame['size'].min()} symbols where the model is sure, {frame['size'].max()} where it is not"
    return charts.titled(
        charts.paint(dots, "measured") + lines, f"{title}: {mean:.1f} on average", height=380
    )


def fitted(curves: pd.DataFrame, rows: pd.DataFrame, miss: float) -> alt.LayerChart:
    y = alt.Y("your_tail:Q", title="what 0.60 becomes", scale=alt.Scale(domain=[0, 1]))
    chart = charts.measured_line(curves, LOG_TAU, y) + charts.theory_line(curves, LOG_TAU, "crowd:Q")
    chart += charts.theory_line(curves, LOG_TAU, "one_rival:Q")
    printed = alt.Chart(rows.assign(log10_tau=np.log10(rows.tau), says=[f"{p:.2f}" for p in rows.printed]))
    printed = printed.encode(x=LOG_TAU, y="printed:Q")
    marks = printed.mark_point(filled=True, size=90, shape="diamond", opacity=1)
    words = printed.mark_text(align="left", dx=8, dy=-9).encode(text="says:N")
    chart += charts.paint(marks, "violation") + charts.paint(words, "violation")
    for column, text, at, dx, align in (
        ("one_rival", "one rival of 0.40", 21, -4, "right"),
        ("crowd", "50,000 equal rivals", 14, -6, "right"),
    ):
        name = alt.Chart(curves.iloc[[at]]).mark_text(
            text=text, align=align, dx=dx, dy=-12 if column == "one_rival" else 16
        )
        chart += charts.paint(name.encode(x=LOG_TAU, y=f"{column}:Q"), "theory")
    return charts.titled(chart, f"Your tail misses the table by {miss:.3f}", height=380)


def misses(rows: pd.DataFrame, best: float) -> alt.LayerChart:
    tidy = rows.melt("tau", ["yours_off", "best_off"], "tail", "off")
    tidy["kind"] = tidy.tail.map({"yours_off": "measured", "best_off": "theory"})
    tidy["row"] = [f"{t:g}" for t in tidy.tau]
    reach = max(0.02, float(tidy.off.abs().max()) * 1.1)
    x = alt.X("off:Q", title="tail minus table", scale=alt.Scale(domain=[-reach, reach], nice=False))
    y = alt.Y("row:N", title="row τ", sort=None)
    band = alt.Chart(pd.DataFrame({"a": [-0.005], "b": [0.005]})).mark_rect(opacity=0.25, color=charts.GREY)
    band = band.encode(x="a:Q", x2="b:Q")
    dots = alt.Chart(tidy).encode(x=x, y=y, color=charts.kind())
    dots = dots.mark_point(filled=True, size=110, opacity=1).encode(
        shape=alt.Shape(
            "kind:N", scale=alt.Scale(domain=["measured", "theory"], range=["circle", "diamond"]), legend=None
        )
    )
    return charts.titled(
        band + dots,
        f"Not even the best tail fits: it misses by {best:.4f}, rounding allows 0.005",
        height=380,
    )


def reading(texts: pd.DataFrame, context: str) -> None:
    """Each text with its temperature, in letters of one width, wrapped."""
    for row in texts.itertuples():
        label = "greedy" if row.kind == "greedy" else f"τ = {row.tau:g}"
        st.caption(f"{label} · distinct-4 {row.distinct_4:.2f}")
        st.code(context + row.text, language=None, wrap_lines=True)


page = ui.open_page("decoding")
tables, summary, settings, result = page.tables, page.summary, page.settings, page.result
context = page.module.letters(settings.context)

if result.used != result.asked:
    st.info(
        f"The model has never read “{result.asked}”. It backs off to the longest end it knows: "
        + (f"“{result.used}”." if result.used else "nothing at all."),
        icon=":material/undo:",
    )
at = int(np.searchsorted(result.taus, settings.tau))
before, after = summary["p_top_before"], summary["p_top_after"]
favourite = tables["next_symbol"].symbol[0]
kept = int(summary["kept"])
page.chart(
    bars(
        tables["next_symbol"],
        at,
        f"After “{context}”: {favourite} from {before:.1%} to {after:.1%}, {kept} of 27 kept",
    ),
    alt=f"Next-symbol probabilities after {context}: {favourite} has {before:.1%} before and {after:.1%} after "
    f"τ = {settings.tau:g}, top-k {settings.top_k} and top-p {settings.top_p:g}; {kept} of 27 symbols are kept.",
)
st.caption(
    "Outline: before. Blue: 10,000 draws after. Dash: predicted. The slider moves τ; k and p are yours."
)

st.header("What they write")
mine = tables["texts"][tables["texts"].kind == "yours"]
reading(mine, context)
with st.expander("The same start from greedy to hot, with your k and p"):
    reading(tables["texts"][tables["texts"].kind == "greedy"], context)
    reading(tables["texts"][tables["texts"].kind == "ladder"], context)

left, right = st.columns(2)
with left:
    most = (result.run_in + result.period) / (settings.length - 3)
    filtered = settings.top_k < 27 or settings.top_p < 1
    page.main(
        repetition(tables["distinct"], summary["distinct_real"], min(most, 1.0), filtered, settings.tau),
        alt="Share of different runs of four against temperature: "
        + ", ".join(f"{d:.2f} at {t:g}" for t, d in tables["distinct"][["tau", "distinct_4"]].to_numpy()[::4])
        + f"; greedy {summary['distinct_greedy']:.3f}, English {summary['distinct_real']:.2f}.",
    )
with right:
    page.chart(
        sets(tables["sets"], tables["set_limits"], result.set_p, summary["mean_set"]),
        alt=f"Size of the top-p set against entropy for {len(result.sizes):,} contexts at τ = {settings.tau:g}: "
        f"{result.sizes.min()} to {result.sizes.max()} symbols, {summary['mean_set']:.1f} on average.",
    )

st.header("The table that no distribution gives")
left, right = st.columns(2)
rows = tables["temperature_table"]
with left:
    page.chart(
        fitted(tables["top_probability"], rows, summary["table_miss_yours"]),
        alt="What 0.60 becomes against temperature for your tail, one rival and 50,000, with the table: "
        + ", ".join(f"τ = {r.tau:g} table {r.printed:.2f}, yours {r.yours:.3f}" for r in rows.itertuples()),
    )
with right:
    page.chart(
        misses(rows, summary["table_miss_best"]),
        alt="Your tail and the best one minus the table: "
        + ", ".join(f"τ = {r.tau:g} {r.yours_off:.3f} and {r.best_off:.4f}" for r in rows.itertuples()),
    )
st.header("Words the list lacks, in tokens")
st.dataframe(tables["pieces"], hide_index=True)

page.close()
