"""Sweeps: every combination once, the numbers of a single run, and a file that survives a killed sweep."""

import csv
import itertools
import os
import signal
import subprocess
import sys
import time

import pytest

from lab.__main__ import cli
from lab.evaluate import ROOT, evaluate, load
from lab.sweep import SweepError, grid, sweep

NAME = "pca_digits"


def lines(path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def without_seconds(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{**row, "seconds": ""} for row in rows]


def points() -> list[dict[str, str]]:
    return grid(NAME, {"k": ["2", "20"], "noise": ["0", "3"]}, seeds=2)


@pytest.fixture(scope="module")
def serial(tmp_path_factory) -> list[dict[str, str]]:
    """The file that one process writes."""
    out = tmp_path_factory.mktemp("serial") / "sweep.csv"
    assert list(sweep(NAME, points(), out))[-1] == (8, 8)
    return lines(out)


# --- what is run ---


def test_a_grid_holds_every_combination_once():
    combinations = [(p["k"], p["noise"], p["seed"]) for p in points()]
    assert combinations == list(itertools.product(["2", "20"], ["0.0", "3.0"], ["0", "1"]))


def test_values_that_snap_to_the_same_are_run_once():
    assert len(grid(NAME, {"noise": ["1", "1.0", "1.01", "0.9"]})) == 1


@pytest.mark.parametrize(
    ("values", "seeds", "words"),
    [
        ({"k": ["2", "900"]}, None, "k = 900: must be a whole number from 1 to 64"),
        ({"k": ["abc"]}, None, "k = abc"),
        ({"nose": ["1"]}, None, "nose = 1: no such setting"),
        ({"seed": ["1"]}, 2, "already given"),
    ],
)
def test_a_value_out_of_bounds_stops_the_sweep_before_it_starts(values, seeds, words):
    with pytest.raises(SweepError, match=words):
        grid(NAME, values, seeds)


# --- what is written ---


def test_a_line_holds_the_numbers_of_a_single_run(serial):
    row = serial[-1]
    outcome = evaluate(NAME, load(NAME).Settings(k=20, noise=3, seed=1))
    assert {f"summary.{key}": repr(float(value)) for key, value in outcome.summary.items()} == {
        column: text for column, text in row.items() if column.startswith("summary.")
    }
    assert {claim.id: claim.verdict for claim in outcome.claims} == {
        column.removeprefix("claim."): text for column, text in row.items() if column.startswith("claim.")
    }
    assert (row["experiment"], row["k"], row["seed"], row["error"]) == (NAME, "20", "1", "")
    assert float(row["seconds"]) > 0


def test_a_sweep_goes_on_where_it_stopped_and_mends_a_line_cut_short(serial, tmp_path):
    out = tmp_path / "sweep.csv"
    list(sweep(NAME, points()[:5], out))
    before = lines(out)
    text = out.read_text(encoding="utf-8")
    out.write_text(text[: text.rstrip().rfind("\n") + 30], encoding="utf-8")  # the fifth is half-written
    progress = list(sweep(NAME, points(), out))
    assert progress[0] == (4, 8)
    assert lines(out)[:4] == before[:4]  # seconds too: not run again
    assert without_seconds(lines(out)) == without_seconds(serial)


def test_a_finished_sweep_runs_nothing_again(tmp_path):
    out = tmp_path / "sweep.csv"
    list(sweep(NAME, points()[:2], out))
    before = out.read_bytes()
    assert list(sweep(NAME, points()[:2], out)) == [(2, 2)]
    assert out.read_bytes() == before


def test_a_run_that_fails_is_a_line_with_its_error(tmp_path, monkeypatch):
    honest = load(NAME).run

    def fragile(settings, tick):
        if settings.k == 2:
            raise ZeroDivisionError("two,\nand no more")
        return honest(settings, tick)

    monkeypatch.setattr(load(NAME), "run", fragile)
    out = tmp_path / "sweep.csv"
    list(sweep(NAME, grid(NAME, {"k": ["2", "3"]}), out))
    bad, good = lines(out)
    assert bad["error"] == "ZeroDivisionError: two, and no more"
    assert bad["summary.mse_at_k"] == ""
    assert good["error"] == ""
    assert float(good["summary.mse_at_k"]) > 0


def test_a_combination_that_is_too_much_work_is_a_line_with_its_error(tmp_path):
    out = tmp_path / "sweep.csv"
    list(sweep("gcn_cora", grid("gcn_cora", {"rule": ["gat"], "seeds": ["20"]}), out))
    (row,) = lines(out)
    assert row["error"].startswith("seeds = 20: so many networks")


def test_a_file_of_something_else_is_left_alone(tmp_path):
    out = tmp_path / "notes.csv"
    out.write_text("a,b\n1,2\n")
    with pytest.raises(SweepError, match="something else"):
        list(sweep(NAME, points(), out))
    assert out.read_text() == "a,b\n1,2\n"


# --- spread over processes ---


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "dask"])
def test_two_processes_write_the_same_file_as_one(backend, serial, tmp_path):
    out = tmp_path / "sweep.csv"
    list(sweep(NAME, points(), out, backend=backend, jobs=2))
    assert without_seconds(lines(out)) == without_seconds(serial)


@pytest.mark.slow
def test_a_sweep_killed_half_way_finishes_without_repeating(serial, tmp_path):
    out = tmp_path / "sweep.csv"
    command = [sys.executable, "-m", "lab", "sweep", NAME, "--set", "k=2,20", "--set", "noise=0,3"]
    command += ["--seeds", "2", "--out", str(out)]
    first = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while (not out.exists() or len(lines(out)) < 2) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    kept = lines(out)
    assert 2 <= len(kept) < 8
    subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    finished = lines(out)
    assert [row for row in kept if all(row.values()) or row["error"] == ""] == finished[: len(kept)]
    assert without_seconds(finished) == without_seconds(serial)


# --- the command line ---


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no_such", "--out", "x.csv"], "no_such"),
        ([NAME, "--set", "k", "--out", "x.csv"], "FIELD=V1,V2"),
        ([NAME, "--set", "k=1", "--set", "k=2", "--out", "x.csv"], "given twice"),
        ([NAME, "--seeds", "0", "--out", "x.csv"], "--seeds 0"),
        ([NAME, "--jobs", "many", "--out", "x.csv"], "--jobs many"),
        ([NAME, "--backend", "slurm", "--out", "x.csv"], "slurm"),
        ([NAME, "--scheduler", "tcp://127.0.0.1:1", "--out", "x.csv"], "--scheduler"),
        ([NAME, "--out", "no/such/folder/x.csv"], "no/such/folder"),
        ([NAME], "--out"),
    ],
)
def test_bad_input_is_refused_in_one_line(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli(["sweep", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_missing_backend_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert cli(["sweep", NAME, "--backend", "ray", "--out", str(tmp_path / "x.csv")]) == 2
    assert "pip install ray" in capsys.readouterr().err


def test_progress_goes_to_stderr_and_the_file_is_complete(tmp_path, capsys):
    out = tmp_path / "sweep.csv"
    assert cli(["sweep", NAME, "--set", "k=2,3,4", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "3 of 3 runs" in printed.err
    assert [row["k"] for row in lines(out)] == ["2", "3", "4"]
