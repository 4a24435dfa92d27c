"""Each engine against its peers: the same work and quality, in turn, in one process, on one thread.

    python -m benchmarks.engines [--runs 5] [--only NAME] [--out FOLDER]

Peers that are not installed (``benchmarks/requirements.txt``) are named and left out. Writes
``engines.md`` and ``engines.svg`` into FOLDER.
"""

import os

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import gc
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import altair as alt
import click
import numpy as np
import pandas as pd

from benchmarks import peers
from experiments import clt_batch_variance, em_gmm, gcn_cora, gd_lr_sweep, pca_digits, sgd_noise, transe_kg
from lab.contract import no_tick
from lab.data import digits
from lab.evaluate import load, versions

SLOW = 2.0  # seconds from which a peer is run twice only


@dataclass
class Work:
    """One row: ours first, then the peers; each call gives the quality it reached."""

    name: str
    quality: str
    contenders: dict[str, Callable[[], float]]
    wanted: str = ""
    seconds: dict[str, list[float]] = field(default_factory=dict)
    reached: dict[str, list[float]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def race(self, runs: int) -> None:
        """Run everybody once to warm up, then in turn; whoever is slow runs twice."""
        for who, call in list(self.contenders.items()):
            try:
                call()
            except ImportError as error:
                self.missing.append(f"{who} ({error.name})")
                del self.contenders[who]
        for turn in range(runs):
            for who, call in self.contenders.items():
                if turn > 1 and statistics.median(self.seconds[who]) > SLOW:
                    continue
                gc.collect()
                start = time.perf_counter()
                quality = call()
                self.seconds.setdefault(who, []).append(time.perf_counter() - start)
                self.reached.setdefault(who, []).append(quality)

    def rows(self) -> list[dict[str, Any]]:
        """Median seconds, times ours, and median quality of each."""
        medians = {who: statistics.median(taken) for who, taken in self.seconds.items()}
        ours = next(iter(medians.values()))
        return [
            {
                "work": self.name, "who": who, "seconds": taken, "times ours": taken / ours,
                self.quality: statistics.median(self.reached[who]), "wanted": self.wanted,
            }
            for who, taken in medians.items()
        ]  # fmt: skip


def last(walk: Iterable[Any]) -> Any:
    """The end of an iterator."""
    return deque(walk, maxlen=1)[0]


# --- GCN ----------------------------------------------------------------------------------------------


def our_gcn(networks: int) -> float:
    """Build the problem and train: mean test accuracy."""
    recipe = gcn_cora.Recipe()
    gcn_cora.word_shares.cache_clear()
    problems = [gcn_cora.problem_for(recipe, "public", 20, 0, 0)] * networks
    accuracy, _, _ = gcn_cora.train_together(recipe, problems, 0, no_tick, 1.0)
    return float(accuracy[:, -1, 2].mean())


def gcn() -> list[Work]:
    """200 epochs on Cora, all three parts evaluated after each; and twenty networks at once."""
    return [
        Work(
            "GCN on Cora, 200 epochs, evaluated after each", "test accuracy",
            {"ours": lambda: our_gcn(1), "PyTorch Geometric": lambda: peers.pyg_gcn(0)},
            "at most 0.25 s, 40 times as fast as PyTorch Geometric",
        ),
        Work("GCN, 20 networks", "test accuracy", {"ours": lambda: our_gcn(20)}, "below 3 s"),
    ]  # fmt: skip


# --- TransE -------------------------------------------------------------------------------------------


def facts() -> tuple[str, transe_kg.Graph]:
    """UMLS where PyKEEN is installed, else a random graph of its size."""
    found = peers.umls()
    if found is None:
        rng = np.random.default_rng(0)
        found = tuple(np.column_stack([rng.integers(s, size=k) for s in (135, 46, 135)]) for k in (5216, 661))
    train, test = (part.astype(np.int64) for part in found)
    names = tuple(str(i) for i in range(135)), tuple(str(i) for i in range(46))
    return ("UMLS" if peers.umls() else "a random graph"), transe_kg.Graph(*names, train, test)


def filtered_mrr(graph: transe_kg.Graph, entity: np.ndarray, relation: np.ndarray) -> float:
    """Filtered mean reciprocal rank over heads and tails; ties count against the answer."""
    rank = [
        transe_kg.ranks(entity, relation, graph.held_out, side, "L2", masks)[1]
        for side in (0, 2)
        for masks in [transe_kg.other_answers(graph, graph.held_out, side)]
    ]
    return float(np.mean(1 / np.concatenate(rank)))


def transe() -> list[Work]:
    """100 epochs on a graph of the size of UMLS, and the ranking of 661 triples."""
    name, graph = facts()
    steps = 100 * -(-len(graph.train) // 256)
    # Beyond the page's bounds. Margin and rate are the best of twenty on UMLS's validation triples; the
    # others run with margin 1 and Adam at 0.01, untuned.
    larger = {"dimension": 50, "steps": steps, "margin": 0.5, "alpha": 0.01}
    settings = transe_kg.Settings.model_construct(**{**transe_kg.Settings().model_dump(), **larger})

    def trained() -> tuple[np.ndarray, np.ndarray]:
        _, entity, relation, _ = last(transe_kg.training(graph, settings, batch_size=256))
        return entity[0], relation[0]

    vectors = trained()
    return [
        Work(
            f"TransE, {name}: 5,216 triples, 50 numbers, 100 epochs", "filtered MRR",
            {
                "ours": lambda: filtered_mrr(graph, *trained()),
                "torchkge": lambda: filtered_mrr(graph, *peers.torchkge_transe(graph.train, 0)),
                "PyKEEN": lambda: peers.pykeen_transe(0),
            },
            "at most 0.6 s at equal MRR (the ranking included)",
        ),
        Work(
            "TransE, ranking 661 triples, filtered, both sides", "filtered MRR",
            {"ours": lambda: filtered_mrr(graph, *vectors)}, "at most 10 ms",
        ),
    ]  # fmt: skip


# --- EM -----------------------------------------------------------------------------------------------


def mixture_work(n: int, d: int, k: int, steps: int, wanted: str) -> Work:
    """EM with full covariances on n points of a random mixture, from one start."""
    rng = np.random.default_rng(0)
    centre = 4 * rng.standard_normal((k, d))
    data = centre[rng.integers(k, size=n)] + rng.standard_normal((n, d))
    start = em_gmm.Mixture(np.full((1, k), 1 / k), data[None, :k].copy(), np.tile(np.eye(d), (1, k, 1, 1)))

    def ours() -> float:
        return float(em_gmm.climb_many_points(data, start, 1e-6, steps)[1][-2] / n)

    return Work(
        f"EM, n = {n:,}, d = {d}, K = {k}, {steps} steps", "mean log-likelihood",
        {"ours": ours, "scikit-learn": lambda: peers.sklearn_mixture(data, *(p[0] for p in start), steps)},
        wanted,
    )  # fmt: skip


def em() -> list[Work]:
    """A large and a wide mixture."""
    return [
        mixture_work(100_000, 2, 5, 50, "at most 0.35 s"),
        mixture_work(10_000, 8, 5, 50, "at most 0.10 s"),
    ]


# --- PCA, descent, noise, means -----------------------------------------------------------------------


def pca() -> list[Work]:
    """Two components of the digits and the scores on them."""
    pixels = digits()[0]

    def ours() -> float:
        data = pca_digits.prepare(pixels, True, False)[0]
        variances, components = pca_digits.by_covariance(data)
        data @ components[:2].T
        return float(variances[:2].sum() / variances.sum())

    contenders = {"ours": ours, "scikit-learn": lambda: peers.sklearn_pca(pixels)}
    return [Work("PCA on digits, 2 components with scores", "share kept", contenders, "scikit-learn's")]


def softmax_slope(x: np.ndarray, hot: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The gradient of the softmax loss at many weights at once (64·10, R), all scores in one product."""
    n, d = x.shape
    share = np.float32(1 / n)

    def gradient(w: np.ndarray) -> np.ndarray:
        runs = w.shape[1]
        scores = (x @ w.reshape(d, 10 * runs)).reshape(n, 10, runs)
        scores -= scores.max(axis=1, keepdims=True)
        p = np.exp(scores, out=scores)
        p /= p.sum(axis=1, keepdims=True)
        p -= hot[:, :, None]
        return (x.T @ p.reshape(n, 10 * runs) * share).reshape(10 * d, runs)

    return gradient


def sweep() -> list[Work]:
    """64 learning rates, 500 full-batch steps each, of softmax regression on digits."""
    pixels, label = digits()
    x, label = (pixels / 16).astype(np.float32), label.astype(int)
    hot, rates = np.eye(10, dtype=np.float32)[label], np.geomspace(0.01, 1, 64).astype(np.float32)

    def ours() -> float:
        start = np.zeros(640, dtype=np.float32)
        w = last(gd_lr_sweep.descend(softmax_slope(x, hot), start, rates, 500))
        scores = (x @ w.reshape(64, 640)).reshape(-1, 10, 64)
        scores -= scores.max(axis=1, keepdims=True)
        own = np.take_along_axis(scores, label[:, None, None], axis=1)[:, 0]
        return float(np.mean(np.log(np.exp(scores).sum(axis=1)) - own))

    arguments = (x, label, rates, 500)
    return [
        Work(
            "Learning-rate sweep, 64 rates, 500 steps, softmax on digits", "mean final loss",
            {
                "ours": ours,
                "NumPy, a loop": lambda: float(peers.numpy_softmax_loop(*arguments).mean()),
                "torch.optim, a loop": lambda: float(peers.torch_softmax_loop(*arguments).mean()),
            },
            "at most 3.5 s",
        )
    ]  # fmt: skip


def noise() -> list[Work]:
    """64 seeds, 500 steps of SGD with batches of 32, on the patients."""
    problem, x_y = sgd_noise.patients(), sgd_noise.standardised_diabetes()
    weight = np.full(32, 1 / 32)

    def ours() -> float:
        rng = np.random.default_rng(0)
        draws = rng.integers(len(problem.rows), size=(500, 64, 32))
        start = np.tile(problem.start, (64, 1))
        last = sgd_noise.descend(problem, start, 0.05, 0.0, draws, weight, every=500)[-1]
        lowest = 0.5 * np.mean(problem.residual**2)
        return float(np.mean(sgd_noise.excess_loss(problem, last)) + lowest)

    common = (*x_y, 0.05, 500, 64, 32)
    return [
        Work(
            "SGD noise, 64 seeds, 500 steps, batch 32", "mean final loss",
            {
                "ours": ours,
                "NumPy, a loop": lambda: peers.numpy_sgd_loop(*common),
                "torch.optim, a loop": lambda: peers.torch_sgd_loop(*common),
            },
            "at most 0.2 s",
        )
    ]  # fmt: skip


def clt() -> list[Work]:
    """3e7 draws in means of 30."""

    def ours(law: str) -> float:
        source = clt_batch_variance.Source(peers.DRAWS[law], (), 0.0)
        if law != "normal":
            source = clt_batch_variance.source_law(law, np.empty(0))
        total = square = 0.0
        for means in clt_batch_variance.means_of_many_draws(source, 30, 10**6, 0):
            total, square = total + means.sum(), square + (means**2).sum()
        return float(30 * (square / 1e6 - (total / 1e6) ** 2))

    return [
        Work(
            f"CLT, 3e7 draws in means of 30: {law}", "n · variance of the mean",
            {
                "ours": lambda law=law: ours(law),
                "NumPy, whole array": lambda law=law: peers.numpy_means(law, 30, 10**6, 0),
            },
            "as fast as the best, in bounded memory",
        )
        for law in peers.DRAWS
    ]  # fmt: skip


EVERYTHING = {
    "gcn": gcn, "transe": transe, "em": em, "pca": pca, "sweep": sweep, "noise": noise, "clt": clt,
}  # fmt: skip


# --- The report ---------------------------------------------------------------------------------------


def shown(seconds: float) -> str:
    """Seconds as people read them."""
    return f"{1e3 * seconds:.2g} ms" if seconds < 0.0995 else f"{seconds:.2f} s"


def markdown(works: list[Work]) -> str:
    """The table, with what was missing."""
    lines = ["| work | who | median | times ours | quality | ours should be |", "| --- " * 6 + "|"]
    for work in works:
        for row in work.rows():
            wanted = row["wanted"] if row["who"] == "ours" else ""
            lines.append(
                f"| {row['work']} | {row['who']} | {shown(row['seconds'])} | {row['times ours']:.1f} "
                f"| {work.quality} {row[work.quality]:.5g} | {wanted} |"
            )
    absent = [f"{work.name}: {', '.join(work.missing)}" for work in works if work.missing]
    installed = ", ".join(f"{package} {version}" for package, version in versions().items())
    return "\n".join([*lines, "", f"One thread. {installed}.", *(f"Not installed: {a}" for a in absent), ""])


def picture(works: list[Work]) -> alt.Chart:
    """How many times as long as ours each peer takes, on a logarithmic axis."""
    rows = pd.DataFrame([row for work in works for row in work.rows()])
    rows["text"] = [f"{w}: {shown(s)}" for w, s in zip(rows.who, rows.seconds, strict=True)]
    base = alt.Chart(rows).encode(
        x=alt.X("times ours:Q", scale=alt.Scale(type="log", domain=[0.5, 200]), title="times ours (log)"),
        y=alt.Y("work:N", sort=None, title=None, axis=alt.Axis(labelLimit=420)),
    )
    dots = base.mark_circle(size=90, opacity=1).encode(
        color=alt.condition("datum.who == 'ours'", alt.value("#0072b2"), alt.value("#23272f"))
    )
    return (dots + base.mark_text(align="left", dx=8).encode(text="text:N")).properties(width=620)


@click.command()
@click.option("--runs", default=5, show_default=True, help="Counted runs of each; the slow run twice.")
@click.option("--only", type=click.Choice(list(EVERYTHING)), multiple=True, help="Only these rows.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("benchmarks/results"), show_default=True)
def main(runs: int, only: tuple[str, ...], out: Path) -> None:
    """Race every engine against its peers and write the table and the chart."""
    load("pca_digits")  # one thread, and freed memory is kept, as on a page
    works = []
    for name in only or EVERYTHING:
        for work in EVERYTHING[name]():
            work.race(runs)
            works.append(work)
            for row in work.rows():
                click.echo(f"{row['work']}: {row['who']} {shown(row['seconds'])}, {work.quality} "
                           f"{row[work.quality]:.6g}")  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    (out / "engines.md").write_text(markdown(works), encoding="utf-8")
    picture(works).save(out / "engines.svg")


if __name__ == "__main__":
    main()
