"""Runs: everything pinned in this session, across experiments."""

from ui import boot, pins

import json

import pandas as pd
import streamlit as st

from lab.catalogue import BY_NAME

boot.guard()
st.title("Runs", anchor=False)
kept = pins.pins()
if not kept:
    st.markdown(
        "Nothing is pinned yet. On any experiment, *Pin this run* keeps its settings, its numbers and its "
        "main curve for this session, so that you can compare runs here and take them away."
    )
for name in dict.fromkeys(pin.name for pin in kept):
    row = BY_NAME[name]
    st.header(row.title, anchor=False)
    st.page_link(f"pages/{name}.py", label=row.question, icon=f":material/{row.icon}:")
    pins.show(pins.table(pins.pins(name)), f"runs_{name}")
if kept:
    frame = pd.json_normalize(pins.as_json(kept))
    with st.container(horizontal=True):
        st.download_button(
            "all runs (CSV)", frame.to_csv(index=False), "runs.csv", "text/csv",
            icon=":material/download:", key="_runs_csv", on_click="ignore",
        )  # fmt: skip
        st.download_button(
            "all runs (JSON)", json.dumps(pins.as_json(kept), indent=2, ensure_ascii=False), "runs.json",
            "application/json", icon=":material/download:", key="_runs_json", on_click="ignore",
        )  # fmt: skip
        st.button("Remove all pins", icon=":material/keep_off:", key="_runs_clear", on_click=pins.clear)
