"""Every experiment of the catalogue keeps the contract; the contract's own parts do what they say."""

import ast
import inspect
import json
import math
import pickle
import re
import subprocess
import sys
import time
from dataclasses import fields, is_dataclass

import numpy as np
import pytest
from pydantic import ValidationError

from lab import contract
from lab.catalogue import BY_NAME, CHAPTERS, EXPERIMENTS, MENU
from lab.contract import Claim, Settings, allowed, bounds, choices, control, extra, grid, problems
from lab.evaluate import ROOT, evaluate, load, report
from tests.conftest import outcome_of
from ui import boot

NAMES = list(BY_NAME)
SEEDED = [name for name in NAMES if "seed" in load(name).Settings.model_fields]
BUDGET = {"instant": 0.3, "training": 10.0}


def arrays_of(result) -> dict[str, np.ndarray]:
    """Every array of a result, by field name."""
    values = {field.name: getattr(result, field.name) for field in fields(result)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


# --- the house ---


@pytest.mark.parametrize("name", NAMES)
def test_module_page_and_test_exist(name):
    for path in (f"experiments/{name}.py", f"pages/{name}.py", f"tests/test_{name}.py"):
        assert (ROOT / path).is_file(), path


def test_every_experiment_module_is_in_the_catalogue():
    stems = {path.stem for path in (ROOT / "experiments").glob("*.py")} - {"__init__"}
    assert stems == set(NAMES)


def test_claim_ids_stand_in_the_catalogue_once():
    ids = [claim_id for row in EXPERIMENTS for claim_id in row.claim_ids]
    assert len(ids) == len(set(ids))


def test_rows_name_real_chapters_and_prerequisites_that_come_before():
    assert [row.chapter for row in EXPERIMENTS] == sorted(row.chapter for row in EXPERIMENTS)
    before: set[str] = set()
    for row in EXPERIMENTS:
        assert row.chapter in CHAPTERS
        assert row.chapter in MENU
        assert set(row.read_first) <= before
        before.add(row.name)


@pytest.mark.parametrize("name", NAMES)
def test_the_contract_is_complete(name):
    module = load(name)
    assert module.__doc__
    assert "?" in module.__doc__.strip().splitlines()[0]
    assert issubclass(module.Settings, Settings)
    assert is_dataclass(module.Result)
    assert next(iter(inspect.signature(module.run).parameters)) == "settings"
    assert 2 <= len(module.CHALLENGES) <= 3
    for field, info in module.Settings.model_fields.items():
        assert info.title, field
        assert info.description, field


@pytest.mark.parametrize("name", NAMES)
def test_formulas_of_the_explanation_stand_by_themselves(name):
    # Markdown shows a formula that begins on a line and ends on a later one as an error.
    for line in inspect.cleandoc(load(name).__doc__).splitlines():
        assert "$$" not in line or line == "$$" or line.count("$$") == 2, line


def test_experiments_load_no_page_library_and_open_no_socket():
    code = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise RuntimeError('socket opened')\n"
        "socket.socket.connect = refuse\n"
        f"import importlib\nfor name in {NAMES!r}: importlib.import_module('experiments.' + name)\n"
        "heavy = {'streamlit', 'altair', 'torch', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_catalogue_alone_is_light():
    code = (
        "import sys, time; start = time.process_time(); import lab.catalogue\n"
        "assert time.process_time() - start < 0.3\n"
        "heavy = {'streamlit', 'torch', 'sklearn', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_what_a_page_needs_until_its_title_is_light_and_comes_first():
    code = (
        "import sys, ui.boot\n"
        "heavy = {'numpy', 'pandas', 'altair', 'pydantic', 'torch', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    for page in (ROOT / "pages").glob("*.py"):
        body = ast.parse(page.read_text()).body
        first = next(line for line in body if isinstance(line, ast.Import | ast.ImportFrom))
        assert ast.unparse(first).startswith("from ui"), page.name


def test_a_browser_is_told_of_the_modules_that_draw_charts():
    assert len(re.findall(r"import\(`./static/js/[\w-]+\.[\w-]+\.js`\)", boot._fetch_charts())) == 3


def test_the_readme_lists_the_catalogue():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [f"| `{row.name}` | {row.question} | {CHAPTERS[row.chapter]} |" for row in EXPERIMENTS]
    assert "\n".join(rows) in readme


# --- every experiment, run ---


@pytest.mark.parametrize("name", NAMES)
def test_the_default_run_meets_its_budget(name):
    module = load(name)

    def seconds() -> float:
        # Of the processor, which is what a run needs whatever else the machine does.
        start = time.process_time()
        module.run(module.Settings())
        return time.process_time() - start

    seconds()  # imports and data files are not the run
    assert min(seconds() for _ in range(3)) < BUDGET[BY_NAME[name].kind]


@pytest.mark.parametrize("name", NAMES)
def test_same_settings_twice_give_identical_numbers(name):
    settings = load(name).Settings()
    first, second = evaluate(name, settings), evaluate(name, settings)
    assert first.summary == second.summary or np.allclose(
        list(first.summary.values()), list(second.summary.values()), rtol=0, atol=0, equal_nan=True
    )
    for array, value in arrays_of(first.result).items():
        assert np.array_equal(value, getattr(second.result, array), equal_nan=value.dtype.kind == "f"), array


def forget(module) -> None:
    """Drop what a module remembers of earlier runs."""
    for name, value in vars(module).items():
        if hasattr(value, "cache_clear"):
            value.cache_clear()
        elif isinstance(value, dict) and name.startswith("_") and not name.startswith("__"):
            value.clear()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_remembered_of_other_runs_changes_no_number(name):
    module, near = load(name), dict(BY_NAME[name].preview_settings)
    settings = module.Settings(**near)
    if name in SEEDED:
        evaluate(name, module.Settings(**near, seed=7))
    after_others, again = evaluate(name, settings), evaluate(name, settings)
    forget(module)
    alone = evaluate(name, settings)
    for table, frame in alone.tables.items():
        assert frame.equals(after_others.tables[table]), table
        assert frame.equals(again.tables[table]), table


@pytest.mark.parametrize("name", SEEDED)
def test_another_seed_gives_other_numbers(name):
    first, second = arrays_of(outcome_of(name).result), arrays_of(outcome_of(name, seed=1).result)
    assert any(first[a].shape != second[a].shape or not np.array_equal(first[a], second[a]) for a in first)


@pytest.mark.parametrize("name", NAMES)
def test_ticks_never_fall_and_end_at_one(name):
    seen = []
    evaluate(name, load(name).Settings(), lambda fraction, /, **live: seen.append(fraction))
    assert seen == sorted(seen)
    assert seen[0] >= 0
    assert seen[-1] == 1


@pytest.mark.parametrize("name", NAMES)
def test_claims_are_those_of_the_catalogue(name):
    assert tuple(claim.id for claim in outcome_of(name).claims) == BY_NAME[name].claim_ids


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", NAMES)
def test_every_claim_is_confirmed_at_the_default_for_five_seeds(name, seed):
    if name not in SEEDED and seed:
        seed = None
    for claim in outcome_of(name, seed=seed if name in SEEDED else None).claims:
        expected = "not checkable" if claim.text_verdict == "unverifiable" else "confirmed"
        assert claim.verdict == expected, claim


@pytest.mark.parametrize("name", NAMES)
def test_claims_say_where_their_tolerance_comes_from(name):
    for claim in outcome_of(name).claims:
        assert claim.statement
        if claim.text_verdict == "unverifiable":
            continue
        assert claim.rule, claim.id
        assert all(check.rule for check in claim.also), claim.id
        if claim.text_verdict in ("conditional", "wrong"):
            assert claim.often_taught, claim.id


@pytest.mark.parametrize("name", NAMES)
def test_challenges_read_their_answer_from_the_run(name):
    for challenge in load(name).CHALLENGES:
        outcome = outcome_of(name, **challenge.settings)
        answer = challenge.answer(outcome.result)
        if challenge.options:
            assert answer in challenge.options
        else:
            assert math.isfinite(answer)
        if challenge.curve is not None:
            table, x, y = challenge.curve
            curve = outcome.tables[table].sort_values(x)
            assert answer == pytest.approx(np.interp(challenge.at, curve[x], curve[y]))


@pytest.mark.parametrize("name", NAMES)
def test_tables_are_bounded_and_have_named_columns(name):
    tables = outcome_of(name).tables
    assert 0 < sum(len(frame) for frame in tables.values()) <= 40_000
    assert all(isinstance(column, str) for frame in tables.values() for column in frame.columns)


@pytest.mark.parametrize("name", NAMES)
def test_outcomes_can_be_cached_and_stay_small(name):
    assert len(pickle.dumps(outcome_of(name))) < 10e6


@pytest.mark.parametrize("name", NAMES)
def test_the_report_is_strict_json(name):
    text = json.dumps(report(outcome_of(name)), allow_nan=False)
    claim = json.loads(text)["claims"][0]
    wanted = {
        "id",
        "statement",
        "predicted",
        "measured",
        "tolerance",
        "rule",
        "relation",
        "verdict",
        "text_verdict",
    }
    assert wanted <= set(claim)


# --- settings ---


def bad_values(info):
    """Values that a field must refuse, with its bounds in mind."""
    low, high = bounds(info)
    if info.annotation in (int, float):
        outside = [] if low is None else [low - 1, high + 1]
        return [*outside, "abc", "", None, math.nan, math.inf, [1]]
    if info.annotation is bool:
        return ["maybe", 7, None]
    return ["no such option", None] if choices(info) else ["x" * 100_000, None]


CASES = [(n, f, v) for n in NAMES for f, i in load(n).Settings.model_fields.items() for v in bad_values(i)]


@pytest.mark.parametrize(("name", "field", "value"), CASES)
def test_a_bad_value_is_refused_by_the_name_of_its_field(name, field, value):
    kind = load(name).Settings
    with pytest.raises(ValidationError) as caught:
        kind(**{field: value})
    lines = problems(caught.value, kind)
    assert any(line.startswith(f"{field} = ") for line in lines)
    assert all("\n" not in line and len(line) < 300 for line in lines)


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_setting_is_refused_by_name(name):
    kind = load(name).Settings
    with pytest.raises(ValidationError) as caught:
        kind(no_such_field=1)
    assert problems(caught.value, kind)[0].startswith("no_such_field = 1: no such setting")


@pytest.mark.parametrize("name", NAMES)
def test_defaults_lie_on_their_grid(name):
    for field, info in load(name).Settings.model_fields.items():
        assert getattr(load(name).Settings(), field) == info.default


class Sample(Settings):
    """A settings class with one field of each kind."""

    count: int = control(4, "Count", ge=1, le=9, step=2, help="odd")
    share: float = control(0.3, "Share", ge=0, le=1, step=0.1, help="a tenth")
    rate: float = control(0.1, "Rate", ge=0.001, le=10, log=True, help="any decade")
    size: int = control(32, "Size", ge=1, le=442, log=True, help="whole")


def test_values_are_snapped_to_their_grid():
    assert Sample(share=0.30000000000000004).share == 0.3
    assert Sample(share=0.97).share == 1.0
    assert Sample(rate=0.0731).rate in grid(Sample.model_fields["rate"])
    assert Sample(count=4).count in (3, 5)
    assert Sample(share=-0.0).share == 0.0
    assert math.copysign(1, Sample(share=-0.0).share) == 1


def test_equal_settings_are_equal_keys():
    assert hash(Sample(share=0.1 + 0.2)) == hash(Sample(share=0.3))
    with pytest.raises(ValidationError):
        Sample().share = 0.5


@pytest.mark.parametrize("value", [0.001, 0.002, 0.07, 0.9, 1, 3, 10])
def test_numbers_of_one_digit_stay_as_typed_on_a_logarithmic_grid(value):
    assert Sample(rate=value).rate == value


def test_a_logarithmic_grid_of_whole_numbers_has_its_ends():
    values = grid(Sample.model_fields["size"])
    assert (values[0], values[-1]) == (1, 442)
    assert all(isinstance(v, int) for v in values)
    assert values == sorted(set(values))


def test_allowed_is_said_in_words():
    assert allowed(Sample.model_fields["count"]) == "a whole number from 1 to 9"
    assert extra(Sample.model_fields["rate"], "log") is True


# --- claims ---


@pytest.mark.parametrize(
    ("relation", "measured", "expected"),
    [
        ("=", 1.05, True), ("=", 1.2, False), ("<=", 1.05, True), ("<=", 1.2, False), (">=", 0.95, True),
        (">=", 0.8, False), ("<", 0.8, True), ("<", 0.95, False), (">", 1.2, True), (">", 1.05, False),
        ("=", math.nan, False), ("<", math.nan, False), (">", math.nan, False), ("=", math.inf, False),
    ],
)  # fmt: skip
def test_relations_hold_within_their_tolerance(relation, measured, expected):
    assert contract.agrees(measured, relation, 1.0, 0.1) is expected


def test_one_failed_further_check_refutes_a_claim():
    good = contract.Check(what="a", predicted=1, measured=1)
    bad = contract.Check(what="b", predicted=1, measured=2)
    claim = Claim(id="x", statement="s", predicted=0, measured=0, also=(good,))
    assert claim.verdict == "confirmed"
    assert Claim(id="x", statement="s", predicted=0, measured=0, also=(good, bad)).verdict == "refuted"


def test_a_claim_whose_condition_is_not_met_is_neither_confirmed_nor_refuted():
    assert (
        Claim(id="x", statement="s", predicted=0, measured=9, unmet="n < 2").verdict
        == "not at these settings"
    )
    assert Claim(id="x", statement="s", text_verdict="unverifiable").verdict == "not checkable"


def test_a_claim_without_numbers_is_refuted():
    assert Claim(id="x", statement="s").verdict == "refuted"
