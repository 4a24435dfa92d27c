"""Claims: the ledger of every claim of every experiment, and the errata of what is often taught."""

from ui import boot, claims, running

import pandas as pd
import streamlit as st

from lab.catalogue import CHAPTERS, EXPERIMENTS
from lab.contract import Claim, plain
from lab.evaluate import load

VERDICTS = ["confirmed", "refuted", "not at these settings", "not checkable"]


def verify(names: list[str]) -> None:
    """Run the experiments at their defaults, one after the other; what is done stays when you stop."""
    slot = st.container(border=True)
    bar = slot.progress(0.0)
    slot.button(
        "Stop", icon=":material/stop_circle:", key="_ledger_stop",
        on_click=st.session_state.pop, args=("_ledger_wanted", None),
    )  # fmt: skip
    done: dict[str, list[Claim]] = st.session_state["_ledger"]
    for number, name in enumerate(names):
        bar.progress(number / len(names), f"{name} ({number + 1} of {len(names)})")
        with slot:
            done[name] = running.compute(name, load(name).Settings(), again=True).claims
    st.session_state.pop("_ledger_wanted")
    st.rerun()


def ledger(verified: dict[str, list[Claim]]) -> pd.DataFrame:
    rows = [
        {"experiment": name, "chapter": row.chapter, **plain(claim.as_dict())}
        for row in EXPERIMENTS
        if (name := row.name) in verified
        for claim in verified[name]
    ]
    return pd.DataFrame(rows)


boot.guard()
st.title("Claims", anchor=False)
st.markdown(
    "Every claim of every experiment at its default settings: what theory predicts, what was measured, and "
    "the verdict. *Verify* runs them on this server, now."
)
verified = st.session_state.setdefault("_ledger", {})
choose = st.columns(3)
chapters = [title for c, title in CHAPTERS.items() if any(r.chapter == c for r in EXPERIMENTS)]
chapter = choose[0].selectbox("Chapter", ["all", *chapters], key="claims_chapter", bind="query-params")
verdict = choose[1].selectbox("Verdict", ["any", *VERDICTS], key="claims_verdict", bind="query-params")
with choose[2]:
    st.space("small")
    wrong = st.toggle("Errata: only what is often taught wrongly", key="claims_errata", bind="query-params")
rows = [r for r in EXPERIMENTS if chapter in ("all", CHAPTERS[r.chapter])]
st.button(
    f"Verify {chapter}", key="_ledger_verify",
    icon=":material/play_arrow:", on_click=st.session_state.update,
    args=({"_ledger_wanted": [r.name for r in rows]},),
)  # fmt: skip
if "_ledger_wanted" in st.session_state:
    verify(st.session_state["_ledger_wanted"])
if not any(r.name in verified for r in rows):
    st.info(
        "Nothing has been verified in this session yet. *Verify* takes about half a minute.",
        icon=":material/info:",
    )
    st.stop()

shown = [
    (row, claim)
    for row in rows
    if row.name in verified
    for claim in verified[row.name]
    if verdict in ("any", claim.verdict) and (not wrong or claim.text_verdict in ("wrong", "conditional"))
]
st.markdown(f"**{len(shown)} claims.** " + ", ".join(
    f"{sum(c.verdict == v for _, c in shown)} {v}" for v in VERDICTS if any(c.verdict == v for _, c in shown)
))  # fmt: skip
st.download_button(
    "the ledger (CSV)", ledger(verified).to_csv(index=False), "claims.csv", "text/csv",
    icon=":material/download:", key="_ledger_csv", on_click="ignore",
)  # fmt: skip
further = claims.further()
seen = None
with st.container(key="claims"):
    for row, claim in shown:
        if row.name != seen:
            seen = row.name
            st.header(row.title, anchor=row.name)
            st.page_link(f"pages/{row.name}.py", label=row.question, icon=f":material/{row.icon}:")
        claims.card(claim, further)
