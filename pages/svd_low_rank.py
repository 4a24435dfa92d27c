"""Low-rank SVD: the page."""

import base64
from io import BytesIO

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image

import ui
from ui import charts

FRAME = "svd_low_rank_frame"
THINGS = {"china": "pixels", "flower": "pixels", "davis": "entries", "digits": "pixels"}
CALLED = {"zero": "zeros", "mean": "column means", "ALS": "ALS"}


def enlarged(picture: np.ndarray) -> np.ndarray:
    """Small pictures with each entry as a square, so that the browser does not blur them."""
    times = max(1, 480 // picture.shape[1])
    return picture.repeat(times, axis=0).repeat(times, axis=1)


def in_link(picture: np.ndarray) -> str:
    """A grey picture as text that a chart can carry."""
    photograph = max(picture.shape) > 100
    file = BytesIO()
    kind = {"format": "JPEG", "quality": 82} if photograph else {"format": "PNG"}
    Image.fromarray(enlarged(picture)).save(file, **kind)
    name = "jpeg" if photograph else "png"
    return f"data:image/{name};base64,{base64.b64encode(file.getvalue()).decode()}"


def film(frames: pd.DataFrame, pictures: np.ndarray, k: int) -> alt.LayerChart:
    """The picture at a ladder of ranks, all sent at once; the slider shows one of them."""
    text = [
        f"k = {r.k}: {r.numbers_kept:.1%} of the numbers, {r.relative_error:.1%} error"
        for r in frames.itertuples()
    ]
    data = frames.assign(url=[in_link(picture) for picture in pictures], text=text)
    slider = charts.scrubber(FRAME, "fewer or more terms", len(data) - 1, int(np.flatnonzero(data.k == k)[0]))
    shown = alt.condition(f"datum.frame == {FRAME}", alt.value(1), alt.value(0))
    base = alt.Chart(data).encode(x=alt.value(0), opacity=shown)
    box = {"width": alt.ExprRef("width"), "height": alt.ExprRef("height - 30")}
    images = base.mark_image(aspect=True, align="left", baseline="top", **box)
    images = images.encode(y=alt.value(28), url="url:N").add_params(slider)
    words = base.mark_text(align="left", baseline="top", fontSize=14, fontWeight=600)
    return images + charts.paint(words.encode(y=alt.value(4), text="text:N"), "measured")


def errors(main: pd.DataFrame, rivals: pd.DataFrame, k: int, limit: int) -> alt.LayerChart:
    scale = alt.Scale(type="log", domain=[1, int(main.k.max())], nice=False)
    ticks = alt.Axis(values=[1, 2, 5, 10, 20, 50, 100, 200, 400], format="d")
    x = alt.X("k:Q", title="terms k (log)", scale=scale, axis=ticks)
    y = alt.Y("relative_error:Q", title="relative error ‖A − Aₖ‖ ÷ ‖A‖", axis=alt.Axis(format="%"))
    chart = charts.measured_line(main, x, y) + charts.theory_line(main, x, "predicted:Q")
    dots = alt.Chart(rivals).mark_tick(thickness=1.5, size=18, color=charts.GREY)
    chart += dots.encode(x=x, y="relative_error:Q")
    chart += charts.vertical(k, f"k = {k}", align="left" if k < 0.2 * main.k.max() else "right")
    if limit:
        end = charts.vertical(limit, f"break-even {limit}", "violation", align="right")
        chart += end if abs(np.log(limit / k)) > 0.7 else charts.vertical(limit, "", "violation")
    return chart


def spectrum(frame: pd.DataFrame, k: int, stretch: float) -> alt.LayerChart:
    shown = frame[frame.singular_value > 1e-9 * frame.singular_value.max()]
    scale = alt.Scale(type="log", nice=False, padding=6)
    x = alt.X("term:Q", title="term i (log)", scale=scale, axis=alt.Axis(tickCount=5, format="~s"))
    y = alt.Y("singular_value:Q", title="singular value σᵢ (log)", scale=scale, axis=alt.Axis(format="~g"))
    chart = charts.measured_line(shown, x, y) + charts.vertical(k, f"k = {k}")
    if k < len(shown):
        dot = alt.Chart(pd.DataFrame({"term": [k + 1], "singular_value": [stretch]})).encode(x=x, y=y)
        chart += charts.paint(dot.mark_point(size=90, strokeWidth=2.5), "measured")
    return chart


def gaps(frame: pd.DataFrame, limits: pd.DataFrame, k: int, fill: str) -> alt.LayerChart:
    ticks = alt.Axis(values=[1, 2, 3, 5, 10, 20, 30, 60, 100], format="d")
    scale = alt.Scale(type="log", nice=False, padding=8)
    x = alt.X("k:Q", title="terms k (log)", scale=scale, axis=ticks)
    y = alt.Y("rmse_on_hidden:Q", title="RMSE on the hidden entries (0 black, 1 white)")
    lines = alt.Chart(frame).mark_line(point={"size": 40, "filled": True}).encode(
        x=x, y=y, color=charts.classes("fill:N", list(CALLED)),
        strokeWidth=alt.condition(alt.datum.fill == fill, alt.value(4), alt.value(1.8)),
    )  # fmt: skip
    chart = alt.layer(lines, charts.vertical(k, f"k = {k}"))
    for row in limits.itertuples():
        chart += charts.horizontal(row.rmse_on_hidden, f"{row.fill} fill, all terms")
    return chart.resolve_scale(color="independent")


def signed(picture: np.ndarray) -> np.ndarray:
    """What is left out, in colour: blue where the rebuilt picture is too dark, orange where too light."""
    share = np.clip(picture / max(float(np.abs(picture).max()), 1e-9), -1, 1)[..., None]
    away = np.where(share > 0, [0.9, 0.5, 0.2], [0.1, 0.5, 0.9])
    return enlarged(1 - np.abs(share) * away)


def with_holes(picture: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Grey where an entry is seen, orange where it is hidden."""
    return enlarged(np.where(seen[..., None], picture[..., None], [0.93, 0.6, 0.25]))


def look(picture: np.ndarray, caption: str) -> None:
    st.image(picture, caption, width="stretch", alt=caption)


page = ui.open_page("svd_low_rank")
result, tables, summary, settings = page.result, page.tables, page.summary, page.settings
k, (m, n), limit = result.terms, result.shape, int(summary["break_even"])
kept, error, name = summary["numbers_kept"], summary["relative_error"], settings.image
terms = f"{k} term{'s' * (k > 1)}"

if k < settings.k:
    st.info(f"A {m} × {n} matrix has {k} terms, so k = {settings.k} keeps them all.")
if k > limit:
    st.warning(
        f"Past break-even: {terms} of a {m} × {n} matrix take {k * (m + n + 1):,} numbers, the matrix "
        f"itself {m * n:,}. Up to k = {limit} you save.",
        icon=":material/inventory_2:",
    )
left, right = st.columns([5, 3])
with left:
    page.chart(
        charts.titled(
            film(tables["frames"], result.frames, k), f"{terms.capitalize()} of {min(m, n)}", height=470
        ),
        alt=f"{name} from {terms}: {kept:.1%} of the numbers, {error:.1%} relative error. The slider shows "
        + ", ".join(f"{r.k}: {r.relative_error:.1%}" for r in tables["frames"].itertuples()),
    )
with right:
    look(enlarged(np.clip(result.original, 0, 1)), f"The original, {m} × {n}")
    strongest = float(np.abs(result.residual).max())
    look(
        signed(result.residual),
        f"What {terms} leave{'s' * (k == 1)} out: blue too dark, orange too light, by up to {strongest:.2g}",
    )

rival = summary["best_rival_ratio"]
left, right = st.columns([3, 2])
with left:
    title = f"{terms.capitalize()}: {kept:.1%} of the numbers, {error:.1%} error"
    page.main(
        charts.titled(errors(tables["main"], tables["rivals"], k, limit), title, height=380),
        alt=f"Relative error against k: measured and predicted coincide; at k = {k} it is {error:.4f}. "
        f"{len(result.rival_errors)} other matrices of that rank lie above. Break-even at k = {limit}.",
    )
with right:
    stretch = result.spectral_error
    first = result.singular_values
    page.chart(
        charts.titled(
            spectrum(tables["spectrum"], k, stretch),
            f"σ₁ is {first[0] / first[1]:.1f} times σ₂; left out at most {stretch:.3g}", height=380,
        ),
        alt=f"Singular values from {first[0]:.4g} downwards; the largest one left out is {stretch:.4g}.",
    )  # fmt: skip
if rival == rival:
    st.caption(
        f"Grey ticks: {len(result.rival_errors)} rivals of rank {k}, at least {rival:.2f} times as far off. "
        "Circle: the largest stretch of what is left out, measured; it sits on the next singular value."
    )

hidden, rmse = result.hidden, dict(zip(CALLED, result.gap_rmse, strict=True))
rank = min(k, *result.gap_truth.shape)
st.header(f"With {hidden:.0%} of the {THINGS[name]} hidden")
picture, fill = page.module.picture, settings.fill
left, middle, right = st.columns([3, 3, 4])
with left:
    look(with_holes(picture(result.gap_truth, name), picture(result.gap_seen, name)), "Orange: hidden")
with middle:
    back = result.gap_rebuilt[list(CALLED).index(fill)]
    look(
        enlarged(np.clip(picture(back, name), 0, 1)),
        f"Brought back by {CALLED[fill]}, rank {rank}: RMSE {rmse[fill]:.3f} on the hidden",
    )
with right:
    best = min(rmse, key=lambda f: rmse[f])
    page.chart(
        charts.titled(
            gaps(tables["gaps"], tables["limits"], rank, fill),
            f"At k = {rank} {CALLED[best]} come{'s' * (best == 'ALS')} closest: RMSE {rmse[best]:.3f}",
            height=380,
        ),
        alt=f"RMSE on hidden entries at k = {rank}: "
        + ", ".join(f"{CALLED[f]} {error:.3f}" for f, error in rmse.items()),
    )
size = " of the photograph at a quarter of its width and height" if THINGS[name] == "pixels" else ""
st.caption(
    f"With {CALLED[fill]} the hidden {THINGS[name]} come back at {result.brightness:.2f} of their brightness. "
    "Dashed: where zero and mean fill end up when all terms are kept, for then the filling itself comes back."
)

page.close()
