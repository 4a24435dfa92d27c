"""Repeat a run over seeds: is a number a finding or luck?"""

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from lab.contract import Settings
from lab.evaluate import Outcome
from lab.numbers import number
from ui import charts, running


def panel(outcome: Outcome) -> None:
    """Offer to repeat the run with other seeds; show mean, standard error and every single run."""
    name, settings = outcome.name, outcome.settings
    if "seed" not in type(settings).model_fields:
        st.caption("Nothing here is drawn at random: another seed would change nothing.")
        return
    how_many = st.slider("Seeds", 1, 20, 5, key=f"_{name}_seeds_count", persist_state="session")
    st.button(
        "Repeat over seeds", icon=":material/repeat:", key=f"_{name}_repeat",
        on_click=st.session_state.update, args=({f"_{name}_repeated": (settings, how_many)},),
    )  # fmt: skip
    wanted = st.session_state.get(f"_{name}_repeated")
    if wanted is None:
        return
    if wanted != (settings, how_many):
        st.caption("The settings have changed since. Press the button to repeat these.")
        return
    frame = repeat(name, settings, how_many)
    st.dataframe(summary(frame), hide_index=True, key=f"_{name}_repeat_table")
    key = st.selectbox(
        "Number", list(frame.columns[1:]), key=f"_{name}_repeat_number", persist_state="session"
    )
    st.altair_chart(strip(frame, key), width="stretch", alt=f"{key} for {how_many} seeds: {list(frame[key])}")
    st.download_button(
        "every run (CSV)", frame.to_csv(index=False), f"{name}_seeds.csv", "text/csv",
        icon=":material/download:", key=f"_{name}_repeat_csv", on_click="ignore",
    )  # fmt: skip


def repeat(name: str, settings: Settings, how_many: int) -> pd.DataFrame:
    """The headline numbers of ``how_many`` runs, seeds 0, 1, 2 ..., a row each; kept for the session."""
    kept = st.session_state.get("_repeats", {})
    if (name, settings, how_many) not in kept:
        slot, rows = st.empty(), []
        with slot.container():
            bar = st.empty()
            st.button(
                "Stop", icon=":material/stop_circle:", key=f"_{name}_repeat_stop",
                on_click=st.session_state.pop, args=(f"_{name}_repeated", None),
            )  # fmt: skip
        for seed in range(how_many):
            bar.progress(seed / how_many, f"Seed {seed} of {how_many}")
            run = running.compute(name, settings.model_copy(update={"seed": seed}))
            rows.append({"seed": seed, **run.summary})
        slot.empty()
        kept = st.session_state["_repeats"] = {(name, settings, how_many): pd.DataFrame(rows)}
    return kept[name, settings, how_many]


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard error of the mean, smallest and largest of each number."""
    values = frame.drop(columns="seed")
    errors = values.std(ddof=1) / np.sqrt(len(values))
    rows = {
        "mean": values.mean(),
        "standard error": errors,
        "smallest": values.min(),
        "largest": values.max(),
    }
    return pd.DataFrame(rows).map(number).reset_index(names="number")


def strip(frame: pd.DataFrame, key: str) -> alt.LayerChart:
    """Every run as a dot, the mean and its standard error across."""
    x = alt.X("seed:O", title="seed")
    y = alt.Y(f"{key}:Q", title=key.replace("_", " "), scale=alt.Scale(zero=False))
    dots = charts.paint(
        alt.Chart(frame).mark_circle(size=70).encode(x=x, y=y, tooltip=["seed", key]), "measured"
    )
    mean, error = frame[key].mean(), frame[key].std(ddof=1) / np.sqrt(len(frame))
    return charts.titled(
        dots + charts.horizontal(mean, f"mean {number(mean)}"),
        f"{number(mean)} ± {number(error)} over {len(frame)} seeds", height=220,
    )  # fmt: skip
