"""Theory against measurement: a row for each claim, the same on every page."""

import streamlit as st

from lab.contract import Check, Claim
from lab.numbers import number

BADGES = {
    "confirmed": ":green-badge[:material/check_circle: confirmed]",
    "refuted": ":red-badge[:material/cancel: refuted]",
    "not at these settings": ":orange-badge[:material/tune: not at these settings]",
    "not checkable": ":gray-badge[:material/help: not checkable]",
}
TEXT_VERDICTS = {
    "holds": "",
    "conditional": "True under a condition",
    "wrong": "Often taught wrongly",
    "unverifiable": "No data can settle it",
}
RELATIONS = {"=": "", "<=": "at most ", ">=": "at least ", "<": "below ", ">": "above "}


def tally(claims: list[Claim]) -> str:
    """How many of the claims that can be checked here are confirmed."""
    open_to_check = [c for c in claims if c.verdict in ("confirmed", "refuted")]
    confirmed = sum(c.verdict == "confirmed" for c in open_to_check)
    return f"{confirmed} of {len(open_to_check)} confirmed"


def table(claims: list[Claim]) -> None:
    """Every claim with its verdict, prediction, measurement and tolerance."""
    st.header("Theory against measurement", anchor="claims")
    st.caption(
        f"{tally(claims)} at these settings. Tolerances come from theory: rounding, a standard error, "
        "or the first term that the formula leaves out."
    )
    for claim in claims:
        card(claim)


def card(claim: Claim) -> None:
    """One claim: verdict, statement, what is often taught, and the numbers."""
    with st.container(border=True, key=f"claim-{claim.id.replace('.', '-')}"):
        _row(claim)


def quiet(text: str) -> str:
    """Text in grey, unless a bracket in it (an interval, say) would end the grey early."""
    return text if "[" in text or "]" in text else f":gray[{text}]"


def _row(claim: Claim) -> None:
    note = TEXT_VERDICTS[claim.text_verdict]
    st.markdown(f"{BADGES[claim.verdict]} `{claim.id}`" + (f" · {note}" if note else ""))
    if claim.verdict == "not checkable":
        st.markdown(claim.statement + (f" {claim.reason}" if claim.reason else ""))
        return
    words, numbers = st.columns([6, 7])
    taught = f"\n\n*As often taught:* {claim.often_taught}" if claim.often_taught else ""
    why = f"\n\n{quiet(claim.unmet or claim.reason)}" if claim.unmet or claim.reason else ""
    words.markdown(claim.statement + taught + why)
    within = f"± {number(claim.tolerance)}" if claim.tolerance else "none"
    with numbers.container(horizontal=True):
        predicted = f"{RELATIONS[claim.relation]}{number(claim.predicted)}"
        st.markdown(f":gray[Predicted]  \n**{predicted}**", width=100)
        st.markdown(f":gray[Measured]  \n**{number(claim.measured)}**", width=100)
        st.markdown(f":gray[Tolerance]  \n**{within}**  \n{quiet(claim.rule)}", width=165)
    if claim.also:
        passed = sum(check.passed for check in claim.also)
        with st.expander(f"{passed} of {len(claim.also)} further checks of this claim pass"):
            st.markdown("\n".join(_check(check) for check in claim.also))


def _check(check: Check) -> str:
    icon = ":green[:material/check:]" if check.passed else ":red[:material/close:]"
    within = f" ± {number(check.tolerance)}" if check.tolerance else ""
    rule = f" {quiet(f'({check.rule})')}" if check.rule else ""
    return (
        f"- {icon} {check.what}: predicted {RELATIONS[check.relation]}**{number(check.predicted)}**{within}, "
        f"measured **{number(check.measured)}**{rule}"
    )
