"""Links, commands, Python and files: everything a visitor can take away."""

import json
import shlex
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import altair as alt
import streamlit as st

from lab.contract import Settings
from lab.evaluate import Outcome, report
from lab.numbers import plain_number
from ui.controls import key
from ui.picture import svg


def changed(settings: Settings) -> dict[str, object]:
    """The settings that are not at their default."""
    fields = type(settings).model_fields
    return {f: v for f, v in settings.model_dump().items() if v != fields[f].default}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return plain_number(value) if isinstance(value, int | float) else str(value)


def link(name: str, settings: Settings) -> str:
    """The address of a page at ``settings``; what has its default value is left out."""
    query = urlencode({key(name, field): _text(value) for field, value in changed(settings).items()})
    url = st.context.url or ""
    base = "/".join(url.split("/")[:3])
    return f"{base}/{name}" + (f"?{query}" if query else "")


def command(name: str, settings: Settings) -> str:
    """The command line that gives the same numbers."""
    flags = [f" --{field} {shlex.quote(_text(value))}" for field, value in changed(settings).items()]
    return f"python -m lab run {name}" + "".join(flags)


def arguments(settings: Settings) -> str:
    """The settings that are not at their default, as Python's keyword arguments."""
    return ", ".join(f"{field}={value!r}" for field, value in changed(settings).items())


def python(name: str, settings: Settings) -> str:
    """Python that gives the same numbers, as it stands."""
    return (
        f"from experiments.{name} import Settings, claims, run\n\n"
        f"result = run(Settings({arguments(settings)}))\n"
        "print(result.summary)\n"
        "for claim in claims(result):\n"
        "    print(claim.id, claim.verdict)"
    )


def take_away(outcome: Outcome, drawn: list[tuple[str, Callable[[], Any]]]) -> None:
    """The panel: link, command, Python, notebook, tables as CSV, charts as SVG, and everything as JSON."""
    name, settings = outcome.name, outcome.settings
    st.markdown("**Link** to exactly this page")
    st.code(link(name, settings), language=None, wrap_lines=True)
    st.markdown("**Command line**, the same numbers to the last digit")
    st.code(command(name, settings), language="bash", wrap_lines=True)
    st.markdown("**Python**, from the project's folder")
    st.code(python(name, settings), language="python", wrap_lines=True)
    st.markdown("**Files**")
    with st.container(horizontal=True):
        _download(
            "settings, summary and claims (JSON)", f"{name}.json", "application/json",
            lambda: json.dumps(report(outcome), indent=2, ensure_ascii=False),
        )  # fmt: skip
        _download(
            "open as a notebook",
            f"{name}.ipynb",
            "application/x-ipynb+json",
            lambda: _notebook(name, settings),
        )
        for table, frame in outcome.tables.items():
            _download(
                f"{table} (CSV)",
                f"{name}_{table}.csv",
                "text/csv",
                lambda frame=frame: frame.to_csv(index=False),
            )
    st.markdown("**Charts** as SVG; as PNG from the menu of each chart")
    with st.container(horizontal=True):
        for number, (title, chart) in enumerate(drawn, 1):
            _download(
                f"chart {number} (SVG)", f"{name}_{number}.svg", "image/svg+xml",
                lambda chart=chart: _svg(chart()), help=title,
            )  # fmt: skip


def _svg(chart: Any) -> str:
    with alt.data_transformers.enable("default", max_rows=None):  # frames to scrub through are many rows
        return svg(chart.to_dict())


def _notebook(name: str, settings: Settings) -> str:
    from ui.notebook import notebook  # nbformat is slow to import, and few visitors take a notebook

    return notebook(name, settings)


def _download(text: str, file: str, mime: str, make: Callable[[], str], help: str | None = None) -> None:
    """A button whose file is made when it is pressed."""
    st.download_button(
        text,
        make,
        file,
        mime,
        key=f"_download_{file}",
        icon=":material/download:",
        on_click="ignore",
        help=help,
    )
