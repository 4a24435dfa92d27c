"""The command line: its answers, its exit codes, and its one-line refusals."""

import json

import pandas as pd
import pytest

from lab import __main__ as command
from lab.catalogue import BY_NAME, EXPERIMENTS
from lab.contract import bounds
from lab.cora import CoraFileError
from lab.evaluate import evaluate, load, report
from tests.conftest import outcome_of

NAMES = list(BY_NAME)


@pytest.fixture
def lab(capsys):
    """Run the command line; give the exit code, what was printed and what was said on stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = command.cli([str(a) for a in arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_list_names_every_experiment(lab):
    code, out, _ = lab("list")
    assert code == 0
    assert all(row.name in out and row.question in out for row in EXPERIMENTS)


def test_list_as_json_has_the_five_facts_of_a_row(lab):
    rows = json.loads(lab("list", "--json")[1])
    assert [row["name"] for row in rows] == NAMES
    assert all(set(row) == {"name", "chapter", "title", "question", "kind"} for row in rows)


@pytest.mark.parametrize("name", NAMES)
def test_run_prints_the_numbers_of_the_page(lab, name):
    code, out, _ = lab("run", name, "--json")
    printed, expected = json.loads(out), report(outcome_of(name))
    assert code == 0
    for part in ("experiment", "chapter", "settings", "summary", "claims", "versions"):
        assert printed[part] == json.loads(json.dumps(expected[part]))
    assert printed["seconds"] > 0


def test_run_writes_the_result_and_a_file_for_each_table(lab, tmp_path):
    folder = tmp_path / "deep" / "out"
    assert lab("run", "pca_digits", "--k", "7", "--out", folder)[0] == 0
    assert json.loads((folder / "result.json").read_text())["settings"]["k"] == 7
    outcome = evaluate("pca_digits", load("pca_digits").Settings(k=7))
    for table, frame in outcome.tables.items():
        pd.testing.assert_frame_equal(pd.read_csv(folder / f"{table}.csv"), frame, check_dtype=False)


def test_run_without_json_shows_every_claim(lab):
    out = lab("run", "pca_digits")[1]
    assert all(claim_id in out for claim_id in BY_NAME["pca_digits"].claim_ids)


def test_a_value_between_two_steps_is_moved_and_said(lab):
    code, out, err = lab("run", "pca_digits", "--noise", "0.3", "--json")
    assert code == 0
    assert json.loads(out)["settings"]["noise"] == 0.5
    assert err.startswith("noise = 0.3 was moved to 0.5")


def test_verify_confirms_and_exits_with_zero(lab):
    code, out, _ = lab("verify", "pca_digits", "--seeds", "2")
    assert code == 0
    assert all(claim_id in out for claim_id in BY_NAME["pca_digits"].claim_ids)
    assert "5 claims, 10 checks, 0 refuted" in out


def test_verify_exits_with_one_when_a_claim_is_refuted(lab, monkeypatch):
    module = load("pca_digits")
    honest = module.lauchli
    monkeypatch.setattr(module, "lauchli", lambda: honest() * [1, 2, 1])
    code, out, _ = lab("verify", "pca_digits")
    assert code == 1
    assert "2.1-pca-04" in out
    assert "refuted (seed 0, 1 of 1)" in out


def test_verify_as_json_has_a_row_for_each_claim_and_seed(lab):
    rows = json.loads(lab("verify", "pca_digits", "--seeds", "2", "--json")[1])
    assert len(rows) == 10
    assert {row["seed"] for row in rows} == {0, 1}
    assert {row["verdict"] for row in rows} == {"confirmed"}


HOSTILE = [
    (["run", "no_such_experiment"], "no_such_experiment"),
    (["run", "../../etc/passwd"], "../../etc/passwd"),
    (["run", "PCA_DIGITS"], "PCA_DIGITS"),
    (["run", ""], "''"),
    (["run", "pca_digits", "--bogus", "1"], "--bogus"),
    (["run", "pca_digits", "-k", "1"], "-k"),
    (["run", "pca_digits", "surplus"], "surplus"),
    (["run", "pca_digits", "--k"], "--k"),
    (["run", "pca_digits", "--k", ""], "k = "),
    (["run", "pca_digits", "--k", "0"], "k = 0: must be a whole number from 1 to 64"),
    (["run", "pca_digits", "--k", "65"], "k = 65"),
    (["run", "pca_digits", "--k", "-1"], "k = -1"),
    (["run", "pca_digits", "--k", "2.5"], "k = 2.5"),
    (["run", "pca_digits", "--k", "1e400"], "k = 1e400"),
    (["run", "pca_digits", "--k", "abc"], "k = abc"),
    (["run", "pca_digits", "--k", "9" * 5000], "k = 999"),
    (["run", "pca_digits", "--k", "1; rm -rf /"], "k = 1; rm"),
    (["run", "pca_digits", "--noise", "nan"], "noise = nan"),
    (["run", "pca_digits", "--noise", "inf"], "noise = inf"),
    (["run", "pca_digits", "--noise", "-inf"], "noise = -inf"),
    (["run", "pca_digits", "--noise", "8.1"], "noise = 8.1: must be a number from 0 to 8"),
    (["run", "pca_digits", "--noise", "<script>"], "noise = <script>"),
    (["run", "pca_digits", "--centre", "maybe"], "centre = maybe: must be true or false"),
    (["run", "pca_digits", "--seed", "-1"], "seed = -1"),
    (["run", "pca_digits", "--seed", "10000"], "seed = 10000"),
    (["run", "pca_digits", "--seed", "1\n2"], "seed = 1 2"),
    (["run", "pca_digits", "--k", "99", "--noise", "99"], "noise = 99"),
    (["run", "gcn_cora", "--hidden", "1000000"], "hidden = 1000000"),
    (["run", "gcn_cora", "--edges", "imaginary"], "edges = imaginary: must be one of"),
    (["run", "em_gmm", "--data", "{0}"], "data = {0}"),
    (["verify", "pca_digits", "nope"], "nope"),
    (["verify", "--seeds", "0"], "--seeds 0"),
    (["verify", "--seeds", "1e9"], "--seeds 1e9"),
    (["verify", "--seeds", "-5"], "--seeds -5"),
    (["list", "--yaml"], "--yaml"),
    (["launch"], "launch"),
]


@pytest.mark.parametrize(("arguments", "named"), HOSTILE, ids=lambda value: " ".join(value)[:40])
def test_a_hostile_command_line_is_refused_in_one_line(lab, arguments, named):
    code, out, err = lab(*arguments)
    assert code == 2
    assert out == ""
    assert named in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert len(err) < 400


@pytest.mark.parametrize("name", NAMES)
def test_every_bound_is_refused_on_the_command_line(lab, name):
    for field, info in load(name).Settings.model_fields.items():
        _, high = bounds(info)
        if high is not None:
            code, _, err = lab("run", name, f"--{field}", str(high + 1))
            assert code == 2
            assert err.startswith(f"error: {field} = ")


def test_a_damaged_data_file_gives_one_line_and_the_command_that_rebuilds_it(lab, monkeypatch):
    module = load("gcn_cora")

    def damaged(*_, **__):
        raise CoraFileError("experiments/data/cora.npz is truncated: build it again with build_cora.py")

    monkeypatch.setattr(module, "run", damaged)
    code, out, err = lab("run", "gcn_cora")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "build_cora.py" in err


def test_an_output_folder_that_cannot_be_made_is_refused(lab, tmp_path):
    (tmp_path / "file").write_text("in the way")
    code, _, err = lab("run", "pca_digits", "--out", tmp_path / "file")
    assert code == 2
    assert err.startswith("error: --out ")
