"""Low-rank SVD: the page."""

from ui import charts
from ui.page import open_page

import base64
from io import BytesIO

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image

FRAME = "svd_low_rank_frame"
TERMS = alt.Axis(values=[1, 2, 5, 10, 20, 50, 100, 200, 400], format="d")
FIFTHS = alt.Axis(values=[0, 0.2, 0.4, 0.6, 0.8, 1])
CALLED = {"zero": "zeros", "mean": "column means", "ALS": "ALS"}


def enlarged(picture: np.ndarray) -> np.ndarray:
    """Small pictures with each entry as a square, so that the browser does not blur them."""
    times = max(1, 480 // picture.shape[1])
    return picture.repeat(times, axis=0).repeat(times, axis=1)


def bright(picture: np.ndarray) -> np.ndarray:
    """Entries from 0 to 1, in small pictures as squares; what lies beyond is cut off."""
    return enlarged(np.clip(picture, 0, 1))


def in_link(picture: np.ndarray) -> str:
    """A grey picture as text that a chart can carry."""
    file, kind = BytesIO(), "jpeg" if max(picture.shape) > 100 else "png"
    Image.fromarray(enlarged(picture)).save(file, kind, quality=82)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


@charts.drawing
def film(frames: pd.DataFrame, pictures: np.ndarray, k: int) -> alt.LayerChart:
    """The picture at a ladder of ranks, all sent at once; the slider shows one of them."""
    says = "k = {0.k}: {0.numbers_kept:.1%} of the numbers, {0.relative_error:.1%} error"
    text = [says.format(row) for row in frames.itertuples()]
    data = frames.assign(url=[in_link(picture) for picture in pictures], text=text)
    slider = charts.scrubber(FRAME, "fewer or more terms", len(data) - 1, int(np.flatnonzero(data.k == k)[0]))
    shown = alt.condition(f"datum.frame == {FRAME}", alt.value(1), alt.value(0))
    base = alt.Chart(data).encode(x=alt.value(0), opacity=shown)
    box = {"width": alt.ExprRef("width"), "height": alt.ExprRef("height - 30")}
    images = base.mark_image(aspect=True, align="left", baseline="top", **box)
    images = images.encode(y=alt.value(28), url="url:N").add_params(slider)
    words = base.mark_text(align="left", baseline="top", fontSize=14, fontWeight=600)
    return images + charts.paint(words.encode(y=alt.value(4), text="text:N"), "measured")


@charts.drawing
def errors(main: pd.DataFrame, rivals: pd.DataFrame, k: int, limit: int) -> alt.LayerChart:
    scale = alt.Scale(type="log", domain=[1, int(main.k.max())], nice=False)
    x = alt.X("k:Q", title="terms k (log)", scale=scale, axis=TERMS)
    y = alt.Y("relative_error:Q", title="relative error ‖A − Aₖ‖ ÷ ‖A‖", axis=alt.Axis(format="%"))
    chart = charts.measured_line(main, x, y) + charts.theory_line(main, x, "predicted:Q")
    others = alt.Chart(rivals).mark_tick(orient="horizontal", thickness=1.5, size=26, color=charts.GREY)
    chart += others.encode(x=x, y="relative_error:Q")
    chart += at_k(k, main.k.max()) + charts.vertical(limit, "", "violation")
    words = alt.Chart(pd.DataFrame({"k": [limit]})).mark_text(
        text=f"break-even {limit}", align="right", dx=-5
    )
    return chart + charts.paint(words.encode(x=x, y=alt.value(26)), "violation")


def at_k(k: int, largest: int) -> alt.LayerChart:
    return charts.vertical(k, f"k = {k}", align="left" if k < 0.2 * largest else "right")


@charts.drawing
def spectrum(frame: pd.DataFrame, k: int, stretch: float) -> alt.LayerChart:
    shown = frame[frame.singular_value > 1e-9 * frame.singular_value.max()]
    scale = alt.Scale(type="log", nice=False, padding=6)
    wide = shown.singular_value.max() > 50 * shown.singular_value.min()
    tens = alt.Axis(
        values=[j * 10.0**i for i in range(-3, 4) for j in ([1] if wide else [1, 2, 5])], format="~g"
    )
    x = alt.X("term:Q", title="term i (log)", scale=scale, axis=TERMS)
    y = alt.Y("singular_value:Q", title="singular value σᵢ (log)", scale=scale, axis=tens)
    chart = charts.measured_line(shown, x, y) + at_k(k, frame.term.max())
    if k < len(shown):
        dot = alt.Chart(pd.DataFrame({"term": [k + 1], "singular_value": [stretch]})).encode(x=x, y=y)
        chart += charts.paint(dot.mark_point(size=90, strokeWidth=2.5), "measured")
    return chart


def fills(frame: pd.DataFrame, x: alt.X, y: alt.Y, fill: str) -> alt.Chart:
    """Three lines in the colours of the fills, yours the thickest."""
    colour = charts.classes("fill:N", list(CALLED))
    width = alt.condition(alt.datum.fill == fill, alt.value(4), alt.value(1.8))
    lines = alt.Chart(frame).mark_line(point={"size": 40, "filled": True})
    return lines.encode(x=x, y=y, color=colour, strokeWidth=width)


@charts.drawing
def gaps(frame: pd.DataFrame, limits: pd.DataFrame, k: int, fill: str) -> alt.LayerChart:
    scale = alt.Scale(type="log", nice=False, padding=8)
    x = alt.X("k:Q", title="terms k (log)", scale=scale, axis=TERMS)
    room = alt.Scale(domain=[0, 1.2 * max(frame.rmse_on_hidden.max(), limits.rmse_on_hidden.max())])
    y = alt.Y("rmse_on_hidden:Q", title="RMSE on the hidden entries", scale=room)
    chart = fills(frame, x, y, fill) + at_k(k, frame.k.max())
    for row in limits.itertuples():
        chart += charts.horizontal(row.rmse_on_hidden, f"{row.fill} fill, all terms")
    return chart.resolve_scale(color="independent")


@charts.drawing
def back(frame: pd.DataFrame, hidden: float, fill: str, slope: float) -> alt.LayerChart:
    x = alt.X("true:Q", title="true value of a hidden entry", scale=alt.Scale(domain=[0, 1]), axis=FIFTHS)
    y = alt.Y("brought_back:Q", title="brought back, on average")
    chart = fills(frame, x, y, fill)
    ends = pd.DataFrame({"true": [0, 1], "all of it": [0, 1], "1 − h of it": [0, 1 - hidden]})
    for line in ("all of it", "1 − h of it"):
        law = ends[["true", line]].rename(columns={line: "brought_back"})
        words = alt.Chart(law.tail(1)).mark_text(text=line, align="right", dx=-4, dy=-8)
        chart += charts.theory_line(law, x, y) + charts.paint(words.encode(x=x, y=y), "theory")
    title = f"With {CALLED[fill]} a hidden entry gets back {slope:.2f} of its value"
    return charts.titled(chart.resolve_scale(color="independent"), title, height=360)


def signed(picture: np.ndarray) -> np.ndarray:
    """What is left out, in full colour at the strongest hundredth: blue too dark, orange too light."""
    share = np.clip(picture / max(float(np.quantile(np.abs(picture), 0.99)), 1e-9), -1, 1)[..., None]
    return 1 - np.abs(share) * np.where(share > 0, [0.9, 0.5, 0.2], [0.1, 0.5, 0.9])


page = open_page("svd_low_rank")
result, tables, summary, settings = page.result, page.tables, page.summary, page.settings
k, (m, n), limit = result.terms, result.shape, int(summary["break_even"])
kept, error, name, fill = summary["numbers_kept"], summary["relative_error"], settings.image, settings.fill
terms = f"{k} term{'s' * (k > 1)}"

if k < settings.k:
    st.info(f"This {m} × {n} matrix has {k} terms, so k = {settings.k} keeps them all.")
if k > limit:
    st.warning(
        f"Past break-even: {terms} of this {m} × {n} matrix take {k * (m + n + 1):,} numbers, the matrix "
        f"itself {m * n:,}. Up to k = {limit} you save.",
        icon=":material/inventory_2:",
    )
left, right = st.columns([5, 3])
with left:
    title = f"Drag: how few of {min(m, n)} terms do you need?"
    page.chart(
        charts.titled(film(tables["frames"], result.frames, k), title, height=400),
        alt=f"{name} from {terms}: {kept:.1%} of the numbers, {error:.1%} relative error. The slider shows "
        + ", ".join(f"{r.k}: {r.relative_error:.1%}" for r in tables["frames"].itertuples()),
    )
with right:
    sides = "18 women across, 14 events down" if name == "davis" else f"{m} × {n}"
    page.picture(bright, result.original, f"The original, {sides}")
    residual = result.residual
    most = float(np.abs(residual).max())
    leave = f"What {terms} leave{'s' * (k == 1)} out"
    page.picture(bright, signed(residual), f"{leave}: blue too dark, orange too light, by up to {most:.2g}")

rival, many, first = summary["best_rival_ratio"], len(result.rival_errors), result.singular_values
left, right = st.columns([3, 2])
with left:
    title = f"{terms.capitalize()} leave{'s' * (k == 1)} {error:.1%}, as predicted"
    title += f"; the best of {many} rivals {rival * error:.1%}" if rival == rival else ""
    page.main(
        charts.titled(errors(tables["main"], tables["rivals"], k, limit), title, height=380),
        alt=f"Relative error against k: measured and predicted coincide; at k = {k} it is {error:.4f}. "
        f"{many} other matrices of that rank lie above. Break-even at k = {limit}.",
    )
with right:
    title = f"σ₁ is {first[0] / first[1]:.1f} times σ₂"
    title += f"; after {k} the next is {result.spectral_error:.3g}" if rival == rival else ""
    page.chart(
        charts.titled(spectrum(tables["spectrum"], k, result.spectral_error), title, height=380),
        alt=f"Singular values from {first[0]:.4g} down; the largest left out is {result.spectral_error:.4g}.",
    )
if rival == rival:
    words = (
        f"Grey ticks: {many} rivals of rank {k}, at least {rival:.2f} times as far off. Circle: the largest "
    )
    st.caption(words + "stretch of what is left out, measured; it sits on the next singular value.")

hidden, rmse = result.hidden, dict(zip(CALLED, result.gap_rmse, strict=True))
rank, picture = min(k, *result.gap_truth.shape), page.module.picture
truth, seen = picture(result.gap_truth, name)[..., None], picture(result.gap_seen, name, True)[..., None]
st.header(f"With {hidden:.0%} of the {'entries' if name == 'davis' else 'pixels'} hidden")
columns = st.columns(4)
with columns[0]:
    page.picture(bright, np.where(seen, truth, [0.93, 0.6, 0.25]), "Orange: hidden")
for column, (method, rebuilt) in zip(columns[1:], zip(CALLED, result.gap_rebuilt, strict=True), strict=True):
    with column:
        words = "ALS" if method == "ALS" else f"Filled with {CALLED[method]}"
        page.picture(bright, picture(rebuilt, name), f"{words}, rank {rank}: RMSE {rmse[method]:.3f}")
best = min(rmse, key=lambda f: rmse[f])
left, right = st.columns([3, 2])
with left:
    title = f"At rank {rank} {CALLED[best]} come{'s' * (best == 'ALS')} closest: RMSE {rmse[best]:.3f}"
    page.chart(
        charts.titled(gaps(tables["gaps"], tables["limits"], rank, fill), title, height=360),
        alt=f"RMSE on hidden entries at k = {rank}: "
        + ", ".join(f"{CALLED[f]} {error:.3f}" for f, error in rmse.items()),
    )
with right:
    page.chart(
        back(tables["brightness"], hidden, fill, result.brightness),
        alt=f"Hidden entries by true value; with {CALLED[fill]} they get back {result.brightness:.2f} of it.",
    )
words = (
    "Your fill is the thick line. Dashed on the left: where zeros and means end up with all terms kept, for "
)
words += "then the filling itself comes back."
if name in ("china", "flower"):
    words += " The photograph is shrunk to a quarter of its sides here."
st.caption(words)

page.close()
