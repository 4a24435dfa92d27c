"""The command line: ``python -m lab list | run | verify | sweep``.

The same settings, the same evaluation and the same numbers as the pages. Flags are made from each
experiment's ``Settings``; pydantic judges their values, so a bad one is answered as on a page.
"""

import csv
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from lab.catalogue import BY_NAME, CHAPTERS, EXPERIMENTS
from lab.contract import Claim, Settings, Tick, allowed, extra, no_tick, problems
from lab.cora import CoraFileError
from lab.evaluate import Outcome, evaluate, load, report
from lab.numbers import number

RELATIONS = {"=": "", "<=": "≤ ", ">=": "≥ ", "<": "< ", ">": "> "}


class Refused(click.ClickException):
    """Bad input: one line, exit code 2."""

    exit_code = 2


class Experiments(click.Group):
    """``run``'s sub-commands: the rows of the catalogue, each built when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The experiments in the catalogue's order."""
        return list(BY_NAME)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command of one experiment, with a flag for every setting."""
        if ctx.resilient_parsing:
            return None
        return _run_command(_known(name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the questions without importing an experiment."""
        with formatter.section("Experiments"):
            formatter.write_dl([(row.name, row.question) for row in EXPERIMENTS])


def _known(name: str) -> str:
    if name not in BY_NAME:
        raise Refused(f"experiment {name!r}: there is none of that name; there are {', '.join(BY_NAME)}")
    return name


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Experiments in the mathematics of machine learning: predicted, measured, checked."""


@main.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List the experiments."""
    if as_json:
        rows = [
            {"name": r.name, "chapter": r.chapter, "title": r.title, "question": r.question, "kind": r.kind}
            for r in EXPERIMENTS
        ]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    for row in EXPERIMENTS:
        click.echo(f"{row.name:20} {row.chapter} {CHAPTERS[row.chapter]:24} {row.question}")


@main.group(cls=Experiments)
def run() -> None:
    """Run one experiment: run NAME --FIELD VALUE ... [--json] [--out DIR]."""


def _run_command(name: str) -> click.Command:
    module = load(name)
    options: list[click.Parameter] = [
        click.Option([f"--{field}", field], help=f"{info.title}: {allowed(info)} [default: {info.default}]")
        for field, info in module.Settings.model_fields.items()
    ]
    files = getattr(module, "FILES", {})
    options += [
        click.Option(
            [f"--{flag}", f"file_{flag}"], metavar="FILE", help=(reader.__doc__ or "").split("\n")[0]
        )
        for flag, reader in files.items()
    ]
    options += [
        click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object."),
        click.Option(["--out"], metavar="DIR", help="Write result.json and a CSV for each table there."),
    ]

    def callback(as_json: bool, out: str | None, **given: str | None) -> None:
        texts = {k: v for k, v in given.items() if v is not None and k in module.Settings.model_fields}
        settings = _settings(module.Settings, texts)
        inputs = {flag: _read(flag, reader, given[f"file_{flag}"]) for flag, reader in files.items()}
        folder = _folder(out)
        outcome = evaluate(name, settings, _progress(), **{k: v for k, v in inputs.items() if v is not None})
        if folder:
            _write(outcome, folder)
        click.echo(
            json.dumps(report(outcome), indent=2, ensure_ascii=False) if as_json else _readable(outcome)
        )

    return click.Command(name, params=options, callback=callback, help=BY_NAME[name].question)


def _settings(kind: type[Settings], texts: dict[str, str]) -> Settings:
    try:
        settings = kind.model_validate(texts)
    except ValidationError as error:
        raise Refused("; ".join(problems(error, kind))) from None
    for field, text in texts.items():
        value = getattr(settings, field)
        if isinstance(value, int | float) and not isinstance(value, bool) and float(text) != value:
            kept = "logarithmic grid" if extra(kind.model_fields[field], "log") else "step"
            click.echo(f"{field} = {text} was moved to {value}, the nearest value on its {kept}", err=True)
    return settings


def _read(flag: str, reader: Any, path: str | None) -> Any:
    if path is None:
        return None
    try:
        return reader(Path(path))
    except (OSError, ValueError) as error:
        raise Refused(f"--{flag} {path}: {' '.join(str(error).split())}") from None


def _folder(out: str | None) -> Path | None:
    if out is None:
        return None
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"--out {out}: not a folder that can be written ({error.strerror})") from None
    return folder


def _write(outcome: Outcome, folder: Path) -> None:
    text = json.dumps(report(outcome), indent=2, ensure_ascii=False)
    (folder / "result.json").write_text(text + "\n", encoding="utf-8")
    for table, frame in outcome.tables.items():
        frame.to_csv(folder / f"{table}.csv", index=False)


def _progress() -> Tick:
    if not sys.stderr.isatty():
        return no_tick

    def tick(fraction: float, /, **live: float) -> None:
        click.echo(f"\r{fraction:4.0%} ", nl=fraction >= 1, err=True)

    return tick


def _readable(outcome: Outcome) -> str:
    lines = [f"{BY_NAME[outcome.name].question}  ({outcome.seconds:.2f} s)", ""]
    lines += [f"  {name:32} {number(value)}" for name, value in outcome.summary.items()]
    return "\n".join([*lines, "", *(_claim_line(claim, claim.verdict) for claim in outcome.claims)])


def _claim_line(claim: Claim, verdict: str) -> str:
    if claim.text_verdict == "unverifiable":
        return f"  {claim.id:16} {verdict}"
    within = f" ± {number(claim.tolerance)}" if claim.tolerance else ""
    predicted = f"{RELATIONS[claim.relation]}{number(claim.predicted)}{within}"
    return f"  {claim.id:16} {verdict:22} predicted {predicted:26} measured {number(claim.measured)}"


@main.command()
@click.argument("names", nargs=-1)
@click.option("--seeds", default="1", help="How many seeds, from 0, for the experiments that draw numbers.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one object for each claim and seed.")
def verify(names: tuple[str, ...], seeds: str, as_json: bool) -> None:
    """Check every claim of the named experiments, or of all; exit 1 if one is refuted."""
    count = _count("--seeds", seeds, 100)
    rows: list[dict[str, Any]] = []
    for name in [_known(n) for n in names] or list(BY_NAME):
        kind = load(name).Settings
        runs = [kind(seed=s) for s in range(count)] if "seed" in kind.model_fields else [kind()]
        outcomes = [evaluate(name, settings) for settings in runs]
        for settings, outcome in zip(runs, outcomes, strict=True):
            seed = getattr(settings, "seed", None)
            rows += [{"experiment": name, "seed": seed, **claim.as_dict()} for claim in outcome.claims]
        if not as_json:
            click.echo(f"{name}: {len(runs)} run{'s' * (len(runs) > 1)}, "
                       f"{sum(o.seconds for o in outcomes) / len(runs):.2f} s each")  # fmt: skip
            for same in zip(*(outcome.claims for outcome in outcomes), strict=True):
                click.echo(_over_seeds(list(same)))
    refuted = [row for row in rows if row["verdict"] == "refuted"]
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        ids = {row["id"] for row in rows}
        click.echo(f"{len(ids)} claims, {len(rows)} checks, {len(refuted)} refuted")
    if refuted:
        sys.exit(1)


def _over_seeds(same: list[Claim]) -> str:
    """One line for a claim over its seeds: a refuted run is shown before any other."""
    verdicts = [claim.verdict for claim in same]
    if "refuted" not in verdicts:
        return _claim_line(same[0], verdicts[0])
    worst = verdicts.index("refuted")
    return _claim_line(same[worst], f"refuted (seed {worst}, {verdicts.count('refuted')} of {len(same)})")


@main.command("sweep")
@click.argument("name")
@click.option(
    "--set", "sets", multiple=True, metavar="FIELD=V1,V2,...", help="Values of a setting; once per setting."
)
@click.option("--seeds", metavar="N", help="Run every combination for seeds 0 to N-1.")
@click.option("--jobs", default="1", metavar="J", help="How many processes [default: 1].")
@click.option(
    "--backend",
    default="loky",
    type=click.Choice(["loky", "dask", "ray"]),
    show_default=True,
    help="What runs them: processes of this machine, Dask or Ray.",
)
@click.option("--scheduler", default="", metavar="ADDRESS", help="A running Dask or Ray cluster.")
@click.option(
    "--out", required=True, metavar="FILE", help="CSV file: one line per run, resumed if it exists."
)
def sweep_(
    name: str, sets: tuple[str, ...], seeds: str | None, jobs: str, backend: Any, scheduler: str, out: str
) -> None:
    """Run experiment NAME over all combinations of settings: one line of a CSV file for each run.

    A run that FILE already holds is not run again; delete its line to have it anew. A run that fails is a
    line with its error.
    """
    from lab.sweep import SweepError, grid, sweep

    count = None if seeds is None else _count("--seeds", seeds, 10_000)
    workers = _count("--jobs", jobs, 256)
    if scheduler and backend == "loky":
        raise Refused("--scheduler: only for --backend dask or ray")
    values: dict[str, list[str]] = {}
    for part in sets:
        field, equals, texts = part.partition("=")
        if not equals or field in values:
            fault = "given twice" if equals else "must be FIELD=V1,V2,..."
            raise Refused(f"--set {part}: {fault}; try --set seed=0,1,2")
        values[field] = next(csv.reader([texts], skipinitialspace=True), [""])
    try:
        points = grid(_known(name), values, count)
        _follow(sweep(name, points, _file(out), backend, workers, scheduler))
    except SweepError as error:
        raise Refused(str(error)) from None


def _follow(steps: Iterator[tuple[int, int]]) -> None:
    """Say how far a sweep is: on a terminal after every run, in a log after every tenth part."""
    start, before, said = time.monotonic(), None, -1
    for done, total in steps:
        before = done if before is None else before  # lines that the file held
        left = (time.monotonic() - start) / max(done - before, 1) * (total - done)
        words = f"{done} of {total} runs" + (f", about {left:.0f} s left" if before < done < total else "")
        if sys.stderr.isatty():
            click.echo(f"\r{words}    ", nl=done == total, err=True)
        elif 10 * done // total > said or done == total:
            said = 10 * done // total
            click.echo(words, err=True)


def _count(flag: str, text: str, most: int) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise Refused(f"{flag} {text}: must be a whole number from 1 to {most}; try 2")
    return int(text)


def _file(out: str) -> Path:
    path = Path(out)
    if path.is_dir() or not path.parent.is_dir():
        raise Refused(f"--out {out}: not a file that can be written (is its folder there?)")
    return path


def cli(arguments: list[str] | None = None) -> int:
    """Run the command line; bad input gives one line on stderr and 2."""
    try:
        main.main(arguments, prog_name="python -m lab", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except click.ClickException as error:
        click.echo(f"error: {' '.join(error.format_message().split())}", err=True)
        return 2
    except CoraFileError as error:
        click.echo(f"error: {' '.join(str(error).split())}", err=True)
        return 1
    except (click.Abort, KeyboardInterrupt):
        return 130
    except SystemExit as error:
        return int(error.code or 0)
    return 0


if __name__ == "__main__":
    sys.exit(cli())
