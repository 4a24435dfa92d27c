"""Cost against size: how the seconds and the memory of four engines grow where theory says linear.

    python -m benchmarks.growth [--only NAME] [--largest SHARE] [--out FOLDER]

Every size runs in a process of its own, so that its peak memory is its own. Writes ``growth.md`` and
``growth.svg`` into FOLDER.
"""

import os

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import altair as alt
import click
import numpy as np
import pandas as pd

from lab.evaluate import load, versions

SIZES = 5  # of each engine, the same factor apart
FITTED = 3  # of these, the larger ones give the slope
LONG = 2.0  # seconds after which a size is not run again
RUNS = 5  # of a size at most


@dataclass(frozen=True)
class Engine:
    """What grows: the work at ``smallest`` and at ``largest``, in ``unit``."""

    title: str
    unit: str
    smallest: float
    largest: float
    prepare: Callable[[int], Callable[[], Any]]  # size -> the work that is timed

    def sizes(self, share: float) -> list[int]:
        """From the smallest to ``share`` of the largest."""
        top = max(self.largest * share, self.smallest * 2)
        return [round(size) for size in np.geomspace(self.smallest, top, SIZES)]


def gcn(papers: int) -> Callable[[], Any]:
    """A random graph with Cora's mean degree, words a paper, labelled share and classes.

    Building the graph, 10 epochs of training and one exam of every tenth paper.
    """
    from scipy import sparse

    from experiments import gcn_cora

    rng = np.random.default_rng(0)
    links = rng.integers(papers, size=(round(papers * 5278 / 2708), 2), dtype=np.int32)
    links = links[links[:, 0] != links[:, 1]]
    words = rng.integers(1433, size=18 * papers, dtype=np.int32)
    shares = np.full(18 * papers, 1 / 18, dtype=np.float32)
    start = np.arange(0, 18 * papers + 1, 18, dtype=np.int32)
    features = sparse.csr_matrix((shares, words, start), (papers, 1433))
    label, order = rng.integers(7, size=papers), rng.permutation(papers)
    cut = [round(papers * 140 / 2708), round(papers * 640 / 2708), round(papers * 1640 / 2708)]
    train, validation, test = (np.sort(part) for part in np.split(order, cut)[:3])

    def work() -> None:
        matrix = gcn_cora.propagation(links, papers, "gcn").astype(np.float32)
        problem = gcn_cora.Problem(features, label, matrix, (train, validation, test))
        *_, network = islice(gcn_cora.train(gcn_cora.Recipe(), [problem], [np.random.default_rng(0)]), 10)
        gcn_cora.examine(network, gcn_cora.exam_of(problem, 2))

    return work


def transe(triples: int) -> Callable[[], Any]:
    """Two epochs on a random graph with as many triples an entity as UMLS has, in batches of 256."""
    from experiments import transe_kg

    rng = np.random.default_rng(0)
    entities = round(triples * 135 / 5216)
    train = np.column_stack([rng.integers(size, size=triples) for size in (entities, 46, entities)])
    names = tuple(map(str, range(entities))), tuple(map(str, range(46)))
    graph = transe_kg.Graph(*names, train, train[:0])
    given = {"dimension": 50, "steps": 2 * -(-triples // 256)}  # beyond what a page allows
    settings = transe_kg.Settings.model_construct(**{**transe_kg.Settings().model_dump(), **given})

    def work() -> None:
        for _ in transe_kg.training(graph, settings, batch_size=256):
            pass

    return work


def em(points: int) -> Callable[[], Any]:
    """Ten steps of EM with five full covariances in the plane."""
    from experiments import em_gmm

    rng = np.random.default_rng(0)
    centre = 4 * rng.standard_normal((5, 2))
    data = centre[rng.integers(5, size=points)] + rng.standard_normal((points, 2))
    start = em_gmm.Mixture(np.full((1, 5), 0.2), data[None, :5].copy(), np.tile(np.eye(2), (1, 5, 1, 1)))
    return lambda: em_gmm.climb_many_points(data, start, 1e-6, 10)


def clt(draws: int) -> Callable[[], Any]:
    """Means of 30 uniform draws each, and their variance."""
    from experiments import clt_batch_variance

    source = clt_batch_variance.source_law("uniform", np.empty(0))

    def work() -> float:
        count, total, square = draws // 30, 0.0, 0.0
        for means in clt_batch_variance.means_of_many_draws(source, 30, count, 0):
            total, square = total + means.sum(), square + (means**2).sum()
        return square / count - (total / count) ** 2

    return work


ENGINES = {
    "gcn": Engine("GCN, 10 epochs", "papers", 2_708, 270_800, gcn),
    "transe": Engine("TransE, 2 epochs", "triples", 5_216, 521_600, transe),
    "em": Engine("EM, 10 steps", "points", 1_000, 1_000_000, em),
    "clt": Engine("CLT, means of 30", "draws", 1_000_000, 1_000_000_000, clt),
}


# --- One size, in a process of its own ----------------------------------------------------------------


def peak() -> float:
    """The most memory this process has had, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would count what the parent had when it started this process
        line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(name: str, size: int) -> dict[str, float]:
    """Fewest seconds of the work at ``size``, and the memory of data and work over that of the imports."""
    for module in ("gcn_cora", "transe_kg", "em_gmm", "clt_batch_variance"):
        load(module)  # one thread, and freed memory is kept, as on a page
    ENGINES[name].prepare(round(ENGINES[name].smallest))()  # what is loaded late is loaded now
    before = peak()
    work = ENGINES[name].prepare(size)
    taken: list[float] = []
    while len(taken) < RUNS and sum(taken) < LONG:
        start = time.process_time()  # of one core: whatever else runs on the machine
        work()
        taken.append(time.process_time() - start)
    return {"seconds": min(taken), "peak": peak(), "own": peak() - before}


def measured(name: str, size: int) -> dict[str, Any]:
    """The same, from a fresh process."""
    command = [sys.executable, "-m", "benchmarks.growth", "--one", name, str(size)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=3600)
    return {"engine": name, "size": size, **json.loads(answer.stdout)}


# --- The report ---------------------------------------------------------------------------------------


def slope(size: pd.Series, cost: pd.Series) -> float:
    """Of log cost against log size, over the larger sizes."""
    return float(np.polyfit(np.log(size[-FITTED:]), np.log(cost[-FITTED:].clip(lower=1e-9)), 1)[0])


def own_memory(rows: pd.DataFrame) -> str:
    """How memory grows, where the work takes more than the imports have room for."""
    if rows.own.iloc[-1] < 16:
        return "bounded"
    return f"{slope(rows['size'], rows.own):.2f}"


def markdown(frame: pd.DataFrame) -> str:
    """The table: one row a size, and the slopes below."""
    lines = ["| engine | size | seconds | peak memory, MB | of it data and work, MB |", "| --- " * 5 + "|"]
    for row in frame.itertuples():
        engine = ENGINES[row.engine]
        lines.append(
            f"| {engine.title} | {row.size:,} {engine.unit} | {row.seconds:.3g} | {row.peak:.0f} "
            f"| {row.own:.0f} |"
        )
    lines += ["", "| engine | slope of seconds | slope of memory |", "| --- " * 3 + "|"]
    for name, rows in frame.groupby("engine", sort=False):
        lines.append(
            f"| {ENGINES[name].title} | {slope(rows['size'], rows.seconds):.2f} | {own_memory(rows)} |"
        )
    installed = ", ".join(f"{package} {version}" for package, version in versions().items())
    lines += ["", f"Slopes of log cost against log size over the {FITTED} larger sizes; linear is 1. "
              f"One thread, its processor time. {installed}."]  # fmt: skip
    return "\n".join([*lines, ""])


def picture(frame: pd.DataFrame) -> alt.Chart:
    """Seconds against size, both logarithmic, with a linear law through each largest size."""
    shown = frame.assign(engine=frame.engine.map(lambda name: ENGINES[name].title))
    top = shown.groupby("engine").tail(1).set_index("engine")
    shown["linear"] = shown["size"] * shown.engine.map(top.seconds / top["size"])
    x = alt.X("size:Q", scale=alt.Scale(type="log"), title="size (log)", axis=alt.Axis(format="~s"))
    colour = alt.Color("engine:N", sort=None, title=None)
    base = alt.Chart(shown).encode(x=x, color=colour)
    scale = alt.Scale(type="log")
    seconds = base.mark_line(point=True).encode(y=alt.Y("seconds:Q", scale=scale, title="seconds (log)"))
    linear = base.mark_line(strokeDash=[6, 4], opacity=0.6).encode(y=alt.Y("linear:Q", scale=scale))
    title = alt.TitleParams("Solid: measured. Dashed: linear through the largest size.", anchor="start")
    return (linear + seconds).properties(width=620, height=360, title=title)


@click.command()
@click.option("--only", type=click.Choice(list(ENGINES)), multiple=True, help="Only these engines.")
@click.option("--largest", default=1.0, show_default=True, help="Share of the largest size to go up to.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("benchmarks/results"), show_default=True)
@click.option("--one", nargs=2, type=(click.Choice(list(ENGINES)), int), hidden=True)
def main(only: tuple[str, ...], largest: float, out: Path, one: tuple[str, int] | None) -> None:
    """Measure every engine at sizes up to a hundred or a thousand times the smallest."""
    if one:
        click.echo(json.dumps(measure(*one)))
        return
    rows = []
    for name in only or ENGINES:
        for size in ENGINES[name].sizes(largest):
            rows.append(row := measured(name, size))
            click.echo(
                f"{name}: {size:,} {ENGINES[name].unit} {row['seconds']:.3g} s, "
                f"{row['peak']:.0f} MB, {row['own']:.0f} MB its own"
            )
        mine = pd.DataFrame([row for row in rows if row["engine"] == name])
        click.echo(f"{name}: slope {slope(mine['size'], mine.seconds):.2f}, memory {own_memory(mine)}")
    frame = pd.DataFrame(rows)
    out.mkdir(parents=True, exist_ok=True)
    (out / "growth.md").write_text(markdown(frame), encoding="utf-8")
    picture(frame).save(out / "growth.svg")


if __name__ == "__main__":
    main()
