"""PCA on digits: the page."""

from ui import charts
from ui.page import open_page

from functools import partial

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

INK = alt.Scale(scheme="greys", domain=[0, 16], clamp=True)
SIGNED = alt.Scale(scheme="blueorange", domainMid=0)


@charts.drawing
def scree(spectrum: pd.DataFrame, k: int) -> alt.LayerChart:
    x = alt.X("component:Q", title="components k", scale=alt.Scale(domain=[0, 64], nice=False))
    y = alt.Y("cumulative_share:Q", title="share of variance kept", axis=alt.Axis(format="%"))
    bars = charts.paint(
        alt.Chart(spectrum).mark_bar(size=5, opacity=0.45).encode(x=x, y="share:Q"), "measured"
    )
    needed = pd.DataFrame({"share": [0.8, 0.9, 0.95, 0.99]})
    needed["k"] = [int((spectrum.cumulative_share < s).sum()) + 1 for s in needed.share]
    needed["text"] = [f"{s:.0%}: k = {n}" for s, n in zip(needed.share, needed.k, strict=True)]
    dots = charts.paint(alt.Chart(needed).encode(x="k:Q", y="share:Q"), "measured")
    labels = dots.transform_calculate(label="width < 380 ? datum.k : datum.text")
    labels = labels.mark_text(align="left", dx=8, dy=10).encode(text="label:N")
    kept = spectrum.cumulative_share[k - 1]
    chart = bars + charts.measured_line(spectrum, x, y) + dots.mark_point(filled=True, size=60) + labels
    title = f"{k} of 64 components keep {kept:.1%} of the variance"
    return charts.titled(chart + charts.vertical(k, f"k = {k}"), title, height=320)


@charts.drawing
def against_k(frame: pd.DataFrame, title: str, y: str, k: int) -> alt.LayerChart:
    x = alt.X("k:Q", title="components k", scale=alt.Scale(domain=[0, 64], nice=False))
    lines = alt.Chart(charts.long(frame, "k")).mark_line(strokeWidth=2.5)
    y_axis = alt.Y("value:Q", title=y)
    lines = lines.encode(x=x, y=y_axis, color=charts.kind(legend="top"), strokeDash=charts.dash())
    return charts.titled(lines + charts.vertical(k, f"k = {k}"), title, height=320)


@charts.drawing
def neighbours(frame: pd.DataFrame) -> alt.LayerChart:
    x = alt.X("k:Q", title="components k (log)", scale=alt.Scale(type="log", base=2, nice=False))
    y = alt.Y("accuracy:Q", title="accuracy", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0.2, 1]))
    shown = alt.Chart(frame[frame.k.isin([2, 5, 10, 29])]).mark_text(dy=14, align="left")
    labels = charts.paint(shown.encode(x=x, y=y, text=alt.Text("accuracy:Q", format=".1%")), "measured")
    best = frame.loc[frame.accuracy.idxmax()]
    title = f"{best.k:.0f} components name the digit as well as any: {best.accuracy:.1%}"
    return charts.titled(charts.measured_line(frame, x, y, point=True) + labels, title, height=320)


@charts.drawing
def scatter(scores: pd.DataFrame, across: int, up: int) -> alt.Chart:
    scores = scores[["index", "digit", *dict.fromkeys([f"component {across}", f"component {up}"])]]
    pick = alt.selection_point(name="digit", fields=["index"], on="click", empty=False)
    points = alt.Chart(scores, height=430).mark_circle(opacity=0.75)
    points = points.encode(
        x=alt.X(f"component {across}:Q"),
        y=alt.Y(f"component {up}:Q"),
        color=charts.classes("digit:N", list(range(10))),
        size=alt.condition(pick, alt.value(260), alt.value(30)),
        tooltip=["digit:N", alt.Tooltip("index:Q", title="scan")],
    )
    return charts.titled(points.add_params(pick), "Two numbers already separate some digits. Select one.")


def ink(images: np.ndarray) -> np.ndarray:
    """Pictures (m, 64) of 0-16 side by side, dark on light."""
    return strip(1 - np.clip(images, 0, 16)[..., None] / 16 * np.array([0.9, 0.87, 0.83]))


def signed(images: np.ndarray, largest: float = 8) -> np.ndarray:
    """Pictures (m, 64) of signed numbers: orange below zero, blue above, white at zero."""
    share = np.clip(images / largest, -1, 1)[..., None]
    away = np.where(share > 0, [1.0, 0.55, 0.3], [0.2, 0.65, 0.95])
    return strip(1 - np.abs(share) * away)


def strip(pictures: np.ndarray) -> np.ndarray:
    """One row of pictures with gaps, enlarged so that the browser does not blur the squares."""
    framed = np.pad(pictures.reshape(-1, 8, 8, 3), ((0, 0), (0, 0), (0, 1), (0, 0)), constant_values=1)
    row = np.concatenate(list(framed), axis=1)
    return row[:, :-1].repeat(12, axis=0).repeat(12, axis=1)


page = open_page("pca_digits")
result, summary, k = page.result, page.summary, page.settings.k

left_out = page.tables["reconstruction_error"]
page.side_by_side(
    (
        scree(page.tables["spectrum"], k),
        f"Share of variance against k. {k} components keep {summary['explained_variance_at_k']:.1%}; "
        f"{summary['components_for_90']} keep 90 %, {summary['components_for_95']} keep 95 %.",
    ),
    (
        against_k(left_out, "What is left is the tail", "squared error per pixel", k),
        f"Error against k: measured and the predicted tail sum coincide. At k = {k} it is "
        f"{left_out.measured[k]:.2f}.",
    ),
    widths=[3, 2], main=0,
)  # fmt: skip
if k > 61 and page.settings.centre:
    st.info(
        "Three of the 64 pixels never change, so there are only 61 directions; the rest have no variance."
    )

pixels, label = page.module.digits()
first = [int(np.flatnonzero(label == digit)[0]) for digit in range(10)]
noise = f" with noise σ = {page.settings.noise:g}" if page.settings.noise else ""
st.header(f"Each digit, rebuilt from {k} numbers instead of 64")
page.picture(ink, result.shown(first), f"The scans{noise}")
page.picture(ink, result.rebuilt(first), f"Rebuilt from {k} components")
residual = result.rebuilt(first) - pixels[first]
page.picture(signed, residual, "Rebuilt minus the clean scan: blue too dark, orange too light")
components = result.components[:10]
coloured = partial(signed, largest=float(np.abs(components).max()))
page.picture(coloured, components, "The first ten components as pictures, strongest first")

best, sigma = summary["denoise_best_k"], result.denoise_sigma
page.side_by_side(
    (
        neighbours(page.tables["nearest_neighbours"]),
        "Leave-one-out nearest-neighbour accuracy against k: "
        + ", ".join(f"{a:.1%} at {n:.0f}" for n, a in page.tables["nearest_neighbours"].to_numpy()),
    ),
    (
        against_k(
            page.tables["denoising"], f"Noise σ = {sigma:g} is removed best by k = {best:.0f}",
            "squared error per pixel", best,
        ),
        f"Denoising error against k: lowest at k = {best:.0f} with {summary['denoise_best_mse']:.2f}, "
        f"{result.denoise_mse[64]:.2f} at 64.",
    ),
)  # fmt: skip

choose = st.columns(2)
with choose[0]:
    across = page.view("across", "Across", list(range(1, 11)), 1)
with choose[1]:
    up = page.view("up", "Up", list(range(1, 11)), 2)
left, right = st.columns([3, 1])
with left:
    event = page.chart(
        scatter(page.tables["scores"], across, up), on_select="rerun", key="pca_digits_scatter",
        alt=f"The digits on two components. All 1,797, on components {across} and {up}, coloured by digit.",
    )  # fmt: skip
with right:
    picked = event.selection.get("digit") or [{"index": first[3]}]
    i = int(picked[0]["index"])
    st.markdown(f"**Scan {i}**, a {label[i]:.0f}, from {k} components")
    page.picture(ink, result.shown([i]), "the scan", 120)
    page.picture(ink, result.rebuilt([i]), "rebuilt", 120)
    page.picture(signed, result.rebuilt([i]) - pixels[[i]], "what is missing", 120)

page.close()
