"""Many runs of one experiment over a grid of settings, spread over processes or machines by joblib.

One line per run goes to a CSV file as soon as the run ends, so a sweep that was killed goes on where it
stopped: runs that the file holds are not run again, and a line that was cut short is dropped and run anew.
"""

import csv
import io
import itertools
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import joblib
from pydantic import ValidationError

from lab.catalogue import BY_NAME
from lab.contract import Settings, problems
from lab.evaluate import evaluate, load

Backend = Literal["loky", "dask", "ray"]
Row = dict[str, str]


class SweepError(ValueError):
    """Something that keeps a sweep from starting, in one line."""


def grid(name: str, values: Mapping[str, list[str]], seeds: int | None = None) -> list[dict[str, str]]:
    """Every combination of the ``values`` (field -> texts), for seeds 0, 1, ... if ``seeds`` is given.

    Each is a dict of texts for all fields of the experiment, snapped to their grids, without repetitions.
    A single value that is out of bounds raises ``SweepError``; a combination that is (too much work, say)
    stays in and becomes a row with its error.
    """
    kind = load(name).Settings
    axes = dict(values)
    if seeds is not None:
        if "seed" not in kind.model_fields:
            raise SweepError(f"--seeds {seeds}: {name} draws nothing at random; leave it out")
        if "seed" in axes:
            raise SweepError(f"--seeds {seeds}: the seeds are already given by --set seed=...")
        axes["seed"] = [str(seed) for seed in range(seeds)]
    for field, texts in axes.items():
        for text in texts:
            _alone(kind, field, text)
    combinations = (dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values()))
    return list({tuple(full.values()): full for full in (_texts(kind, c) for c in combinations)}.values())


def _alone(kind: type[Settings], field: str, text: str) -> None:
    try:
        kind.model_validate({field: text})
    except ValidationError as error:
        if field not in kind.model_fields or any(fault["loc"] for fault in error.errors()):
            raise SweepError("; ".join(problems(error, kind))) from None


def _texts(kind: type[Settings], given: dict[str, str]) -> dict[str, str]:
    """All fields as texts: those given, snapped where the combination is valid, and the defaults."""
    defaults = {field: info.default for field, info in kind.model_fields.items()}
    try:
        full = kind.model_validate(given).model_dump()
    except ValidationError:
        full = {**defaults, **given}
    return {field: str(value) for field, value in full.items()}


def run_one(name: str, texts: Row) -> Row:
    """One line of the file: the settings, the summary, the verdict of each claim, seconds, or the error."""
    row = {"experiment": name, **texts}
    try:
        outcome = evaluate(name, load(name).Settings.model_validate(texts))
    except ValidationError as error:
        return {**row, "error": "; ".join(problems(error, load(name).Settings))}
    except Exception as error:
        return {**row, "error": " ".join(f"{type(error).__name__}: {error}".split())}
    row |= {f"summary.{key}": repr(float(value)) for key, value in outcome.summary.items()}
    row |= {f"claim.{claim.id}": claim.verdict for claim in outcome.claims}
    return {**row, "seconds": f"{outcome.seconds:.4f}", "error": ""}


class Ledger:
    """The CSV file of a sweep. Lines are appended; a new column (rare) writes the file anew."""

    def __init__(self, path: Path, name: str) -> None:
        """Open ``path``, or start it; a last line that was cut short is dropped."""
        self.path, self.name = path, name
        self.fields = list(load(name).Settings.model_fields)
        claims = [f"claim.{claim_id}" for claim_id in BY_NAME[name].claim_ids]
        self.header = ["experiment", *self.fields, *claims, "seconds", "error"]
        self.rows: list[Row] = []
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if text:
            self._read(text)
        self.write()

    def _read(self, text: str) -> None:
        reader = csv.reader(io.StringIO(text[: text.rfind("\n") + 1]))
        header = next(reader, [])
        if header and header[: 1 + len(self.fields)] != self.header[: 1 + len(self.fields)]:
            raise SweepError(f"--out {self.path}: holds something else than runs of {self.name}")
        self.header = header or self.header
        lines = [dict(zip(header, line, strict=False)) for line in reader if len(line) == len(header)]
        if any(row["experiment"] != self.name for row in lines):
            raise SweepError(f"--out {self.path}: holds runs of another experiment than {self.name}")
        self.rows = lines

    def key(self, row: Row) -> tuple[str, ...]:
        """What tells one run from another: its settings."""
        return tuple(row[field] for field in self.fields)

    def append(self, row: Row) -> None:
        """Add one run, on disk before the next."""
        self.rows.append(row)
        if new := [column for column in row if column not in self.header]:
            at = self.header.index("seconds")
            self.header = [*self.header[:at], *new, *self.header[at:]]
            self.write()
        else:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self.header, restval="", lineterminator="\n").writerow(row)

    def write(self) -> None:
        """Write the whole file beside the old one, then put it in its place."""
        beside = self.path.with_name(self.path.name + ".part")
        with beside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.header, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        os.replace(beside, self.path)

    def in_order(self, points: list[Row]) -> None:
        """Put the runs of ``points`` last, in their order, so that the file does not tell who was faster."""
        place = {self.key(point): i for i, point in enumerate(points)}
        self.rows.sort(key=lambda row: place.get(self.key(row), -1))
        self.write()


def sweep(
    name: str, points: list[Row], out: Path, backend: Backend = "loky", jobs: int = 1, scheduler: str = ""
) -> Iterator[tuple[int, int]]:
    """Run the ``points`` that ``out`` does not hold yet; after each, how many of how many are done.

    ``scheduler`` is the address of a running Dask or Ray cluster; without it one is started on this machine
    with ``jobs`` processes. Raises ``SweepError`` where the backend's package is missing or the file is not
    a sweep of this experiment.
    """
    ledger = Ledger(out, name)
    held = {ledger.key(row) for row in ledger.rows}
    missing = [point for point in points if ledger.key(point) not in held]
    done = len(points) - len(missing)
    yield done, len(points)
    if missing:
        with _workers(backend, jobs, scheduler):
            calls = (joblib.delayed(run_one)(name, point) for point in missing)
            everyone = -1 if scheduler else jobs
            for row in joblib.Parallel(n_jobs=everyone, return_as="generator_unordered")(calls):
                ledger.append(row)
                done += 1
                yield done, len(points)
    ledger.in_order(points)


@contextmanager
def _workers(backend: Backend, jobs: int, scheduler: str) -> Iterator[None]:
    """joblib's workers for the calls inside: ``jobs`` processes here, or those of a running cluster."""
    with ExitStack() as stack:
        if backend == "dask":
            distributed = _package("distributed", backend)
            here = {"n_workers": jobs, "threads_per_worker": 1, "dashboard_address": None}
            where = scheduler or stack.enter_context(distributed.LocalCluster(**here))
            stack.enter_context(distributed.Client(where))
        if backend == "ray":
            ray = _package("ray", backend)
            here = {"num_cpus": jobs, "include_dashboard": False, "log_to_driver": False}
            ray.init(**{"address": scheduler} if scheduler else here)
            stack.callback(ray.shutdown)
            import_module("ray.util.joblib").register_ray()
        stack.enter_context(joblib.parallel_config(backend))
        yield


def _package(package: str, backend: str) -> Any:
    try:
        return import_module(package)
    except ImportError:
        raise SweepError(f"--backend {backend}: needs a package that is not installed; "
                         f"try pip install {package}") from None  # fmt: skip
