"""What visitors take away runs as it stands and gives the page's numbers; search and pins work."""

import ast
import json
import shlex
import subprocess
import sys

import altair as alt
import nbformat
import pandas as pd
import pytest

from lab import __main__ as command
from lab.catalogue import BY_NAME
from lab.contract import bounds, choices, plain
from lab.evaluate import ROOT, evaluate, load, report
from lab.glossary import TERMS
from lab.numbers import number, plain_number
from tests.conftest import outcome_of
from ui import charts, notebook, picture, pins, search, share

NAMES = list(BY_NAME)


def another(name: str):
    """Settings that differ from the default in one field."""
    kind = load(name).Settings
    for field, info in kind.model_fields.items():
        low, _ = bounds(info)
        if (
            field != "seed"
            and not choices(info)
            and isinstance(info.default, int | float)
            and low is not None
        ):
            step = 1 if isinstance(info.default, int) else (bounds(info)[1] - low) / 10
            return kind(**{field: max(low, info.default - step)})
    return kind(seed=1)


CASES = [(name, changed) for name in NAMES for changed in (False, True)]


def settings_of(name: str, changed: bool):
    return another(name) if changed else load(name).Settings()


def expected(name: str, settings):
    """The outcome that a page shows."""
    return outcome_of(name, **settings.model_dump(exclude_defaults=True))


@pytest.mark.parametrize("name", NAMES)
def test_the_python_of_a_page_runs_as_pasted(name):
    both = [settings_of(name, changed) for changed in (False, True)]
    code = "\n".join(share.python(name, settings) for settings in both)  # one after the other, as people do
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    wanted = []
    for outcome in (expected(name, settings) for settings in both):
        wanted += [str(outcome.summary), *(f"{claim.id} {claim.verdict}" for claim in outcome.claims)]
    assert done.stdout.splitlines() == wanted


@pytest.mark.parametrize(("name", "changed"), CASES)
def test_the_command_of_a_page_gives_its_numbers(name, changed, capsys):
    settings = settings_of(name, changed)
    words = shlex.split(share.command(name, settings))
    assert words[:3] == ["python", "-m", "lab"]
    assert command.cli([*words[3:], "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    wanted = json.loads(json.dumps(report(expected(name, settings))))
    assert {**printed, "seconds": 0} == {**wanted, "seconds": 0}


@pytest.mark.parametrize(("name", "changed"), CASES)
def test_the_notebook_of_a_page_runs_and_gives_its_numbers(name, changed, monkeypatch):
    monkeypatch.chdir(ROOT)
    settings = settings_of(name, changed)
    book = nbformat.reads(notebook.notebook(name, settings), as_version=4)
    nbformat.validate(book)
    space: dict = {}
    shown = []
    for cell in book.cells:
        if cell.cell_type == "code":
            shown.append(run_cell(cell.source, space))
    assert plain(shown[1]) == plain(expected(name, settings).summary)
    assert list(shown[2]["id"]) == list(BY_NAME[name].claim_ids)
    assert shown[3].to_dict()["mark"]["type"] == "line"


def run_cell(source: str, space: dict):
    """Run a cell as a notebook does: the value of its last line is what it shows."""
    *body, last = ast.parse(source).body
    exec(compile(ast.Module(body, []), "cell", "exec"), space)
    if isinstance(last, ast.Expr):
        return eval(compile(ast.Expression(last.value), "cell", "eval"), space)
    exec(compile(ast.Module([last], []), "cell", "exec"), space)
    return None


def test_a_chart_becomes_an_svg_in_the_theme_colours():
    spec = {
        "data": {"values": [{"x": 1, "y": 2, "kind": "measured"}, {"x": 2, "y": 3, "kind": "measured"}]},
        "mark": "line",
        "encoding": {
            "x": {"field": "x", "type": "quantitative"},
            "y": {"field": "y", "type": "quantitative"},
            "color": {"field": "kind", "type": "nominal", "scale": {"domain": ["measured", "theory"]}},
        },
    }
    drawn = picture.svg(spec)
    assert drawn.startswith("<svg")
    assert "#0072b2" in drawn


def test_the_svg_of_a_chart_shows_its_title_and_says_aloud_what_it_shows():
    line = alt.Chart(pd.DataFrame({"x": [1, 2], "y": [1, 3]})).mark_line().encode(x="x:Q", y="y:Q")
    chart = charts.titled(line, "A finding of 20 in 64", "and how it was found")
    assert charts.described(chart, "Share against k. 20 keep 89 %.") == "Share against k"
    drawn = share._svg(chart)
    assert ">A finding of 20 in 64</text>" in drawn
    assert ">and how it was found</text>" in drawn
    assert 'aria-label="A finding of 20 in 64. Share against k. 20 keep 89 %."' in drawn


def test_the_name_of_a_chart_has_no_number_that_a_control_could_move():
    chart = charts.titled(alt.Chart(pd.DataFrame({"x": [1]})).mark_point().encode(x="x:Q"), "Title")
    assert charts.described(chart, "RMSE at k = 20: zeros 0.525") == "RMSE at k = …"
    untitled = alt.Chart(pd.DataFrame({"x": [1]})).mark_point().encode(x="x:Q")
    assert charts.described(untitled, "RMSE at k = 20: zeros 0.525") == "RMSE at k = 20: zeros 0.525"


def test_a_chart_that_cannot_be_drawn_says_why():
    with pytest.raises(RuntimeError, match=r"\w"):
        picture.svg({"mark": 7})


@pytest.mark.parametrize("name", NAMES)
def test_search_finds_an_experiment_by_what_it_says(name):
    row = BY_NAME[name]
    for query in (row.title, row.question, row.claim_ids[0], row.title.upper()):
        assert name in search.find(query)
    assert search.find("zzzz no such words") == []
    assert search.find("") == NAMES


def test_every_term_leads_to_an_experiment():
    assert {name for _, name in TERMS.values()} <= set(NAMES)
    assert list(TERMS) == sorted(TERMS, key=str.casefold)
    assert "singular value" in search.terms("stretches matrix")


def test_pins_differ_in_what_they_are_told_apart_by():
    kind = load("pca_digits").Settings
    kept = [
        pins.Pin(
            "pca_digits", i, kind(k=k), {"a": 1.0}, "", evaluate("pca_digits", kind()).tables["spectrum"]
        )
        for i, k in enumerate((3, 4))
    ]
    assert pins.differing(kept) == ["k"]
    assert list(pins.table(kept)["k"]) == [3, 4]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (29, "29"), (1234567, "1,234,567"), (0.123456, "0.12346"), (-2.5, "−2.5"),
        (1e-9, "1.00e−9"), (float("inf"), "∞"), (float("nan"), "none"), (321496.4464, "321,496"),
    ],
)  # fmt: skip
def test_numbers_read_well(value, text):
    assert number(value) == text


@pytest.mark.parametrize("value", [1, 442, 0.1, 0.30000000000000004, 1e-6, 123456.789, 1e-300])
def test_a_number_in_a_link_reads_back_as_itself(value):
    assert float(plain_number(value)) == value
