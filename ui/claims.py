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
    checks = further()
    with st.container(key="claims"):
        for claim in claims:
            card(claim, checks)


def further() -> bool:
    """Offer to list the further checks that some claims consist of; the choice holds on every page."""
    return st.toggle("List the further checks", key="_claims_further", persist_state="session")


def card(claim: Claim, checks: bool) -> None:
    """One claim: verdict, statement, what is often taught, and the numbers.

    Its further checks are listed if ``checks`` says so, or if one of them fails.

    All of it is one text, which ``ui.boot.STYLE`` sets in two columns: the same in a dozen pieces would keep
    the browser busy while the next chart waits.
    """
    with st.container(border=True, key=f"claim-{claim.id.replace('.', '-')}"):
        st.markdown("\n\n".join(_parts(claim, checks)))


def quiet(text: str) -> str:
    """Text in grey, unless a bracket in it (an interval, say) would end the grey early."""
    return text if "[" in text or "]" in text else f":gray[{text}]"


def _parts(claim: Claim, checks: bool) -> list[str]:
    """The paragraphs of a claim."""
    note = TEXT_VERDICTS[claim.text_verdict]
    verdict = f"{BADGES[claim.verdict]} `{claim.id}`" + (f" · {note}" if note else "")
    if claim.verdict == "not checkable":
        return [f"{verdict}  \n{claim.statement} {claim.reason}"]
    parts = [verdict, claim.statement]
    if claim.often_taught:
        parts.append(f"*As often taught:* {claim.often_taught}")
    if claim.unmet or claim.reason:
        parts.append(quiet(claim.unmet or claim.reason))
    parts.append(_numbers(claim))
    if claim.also:
        passed = sum(check.passed for check in claim.also)
        parts.append(quiet(f"{passed} of {len(claim.also)} further checks of this claim pass."))
        if checks or passed < len(claim.also):
            parts.append("\n".join(_check(check) for check in claim.also))
    return parts


def _numbers(claim: Claim) -> str:
    """A table of what was predicted and measured, and how far apart they may be."""
    within = f"**± {number(claim.tolerance)}**" if claim.tolerance else "**none**"
    rule = f" {quiet(claim.rule)}" if claim.rule else ""
    predicted = f"{RELATIONS[claim.relation]}{number(claim.predicted)}"
    cells = (f"**{predicted}**", f"**{number(claim.measured)}**", within + rule)
    row = " | ".join(cell.replace("|", "\\|") for cell in cells)
    return f"| Predicted | Measured | Tolerance |\n| --- | --- | --- |\n| {row} |"


def _check(check: Check) -> str:
    icon = ":green[:material/check:]" if check.passed else ":red[:material/close:]"
    within = f" ± {number(check.tolerance)}" if check.tolerance else ""
    rule = f" {quiet(f'({check.rule})')}" if check.rule else ""
    return (
        f"- {icon} {check.what}: predicted {RELATIONS[check.relation]}**{number(check.predicted)}**{within}, "
        f"measured **{number(check.measured)}**{rule}"
    )
