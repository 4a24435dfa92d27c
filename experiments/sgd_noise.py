r"""**What does the noise of small batches cost, and what does it buy?**

You fit 442 patients with a linear model by stochastic gradient descent: for every update you draw a fresh
batch of $B$ patients and follow the mean of their gradients instead of the whole gradient. Theory knows the
loss to expect after every update, and the floor it ends on.

Write $g$ for the whole gradient and $g_B$ for that of a batch.

$$
v \leftarrow \beta v + g_B(w), \qquad w \leftarrow w - \alpha v
$$

$$
\mathbb{E}\, g_B = g, \qquad \operatorname{Cov} g_B = \frac{\Sigma(w)}{B}
$$

- $\alpha$: the learning rate; $\beta$: the momentum; $B$: the batch size
- $\Sigma(w)$: the covariance of the gradients of single patients; $C$ is its value at the optimum
- $H$: the curvature (Hessian) of the loss, with eigenvalues $\lambda_i$
- $S$: the covariance of $w$ around the optimum once the run has settled

**What the noise costs.** At a constant $\alpha$ the loss never reaches its minimum. It stops above it at
$\tfrac12\operatorname{tr}(HS)$, and $S$ is known in advance. Written along the eigenvectors of $H$,

$$
S_{ij} = T_{ij}\,\frac{\Sigma(S)_{ij}}{B}
$$

$$
\Sigma(S) = C + \mathbb{E}[xx^\top S\,xx^\top] - HSH
$$

$$
T_{ij} = \frac{\alpha^2(1-\beta^2)}{(1-\beta^2)^2 - (1+\beta^2)\,a_i a_j + \beta\,(a_i^2 + a_j^2)}
$$

$$
a_i = 1 + \beta - \alpha\lambda_i
$$

That is a linear equation for $S$, on both sides because noise grows with the distance from the optimum. For
small $\alpha$ the floor is about $\alpha\operatorname{tr}(C)/4B$. The same equation tells when nothing
settles at all: the *stability limit* of a small batch lies below the $2/\lambda_{\max}$ of the full batch.

**What the noise buys.** Updates: one pass over the data holds $N$ of them at $B = 1$ and a single one at
$B = N$. It also leaves saddles. And at the same training loss a larger $\alpha/B$ ends in a flatter place,
though flatter need not mean more accurate.

**How large should a batch be?** The *gradient noise scale* $\operatorname{tr}\Sigma/\lVert g\rVert^2$ is the
batch at which noise and signal are equally long. It starts small and grows as you near the optimum.

**What to try.** Halve $\alpha$, or double $B$, and watch the floor halve. Put $\alpha$ at 0.2: one patient at
a time explodes, eight do not. Set the momentum to 0.9 and the floor rises tenfold, because the steps that
count are $\alpha/(1-\beta)$ long. Then add up $K$ small gradients before each update: the same path as one
large batch, to the last digits, until the parts are unequal or BatchNorm looks at each part alone.

**What surprises.** The full batch is the slowest per update and the fastest per pass, and after ten passes
it has hardly moved.

*Details.* Batches are drawn with replacement, except $B = 442$, which takes every patient once. Measurements
and target are standardised; the model has an intercept. *References.* H. Robbins and S. Monro (1951), A
stochastic approximation method. B. Polyak (1964) for the momentum. S. Ioffe and C. Szegedy (2015), Batch
normalization. S. Mandt, M. Hoffman and D. Blei (2017), Stochastic gradient descent as approximate Bayesian
inference. S. Jastrzębski et al. (2017), Three factors influencing minima in SGD. S. McCandlish et al.
(2018), An empirical model of large-batch training.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import model_validator

from lab import contract
from lab.contract import Array, Challenge, Check, Claim, Tick, control, no_tick, seed_control
from lab.data import diabetes, digits
from lab.memory import remembered

N = 442  # patients
BATCHES = (1, 8, 64, N)  # shown beside your own
RUNS = 16  # runs from the same start, each with its own draws
POINTS = 100  # recorded per run, at least
PLANE = (0, 4)  # the two eigen-directions in which the start is furthest from the optimum
GATHERED = 8192  # rows fetched at once, about as many as stay in the processor's cache
HUGE = 1e150  # its square is still a float64; a run is drawn up to there
FAR = 1e3  # a run has exploded when its excess loss is this many times that of the start

# Settled runs: four pairs to check the floor with, then more for the chart.
FLOOR_PAIRS = ((0.02, 1), (0.01, 1), (0.02, 4), (0.02, 16))
MORE_PAIRS = ((0.05, 1), (0.05, 4), (0.1, 4), (0.05, 16), (0.1, 16), (0.2, 16))
FLOOR_RUNS, FLOOR_WARM_UP, FLOOR_STEPS = 32, 600, 1500

DIGIT_BATCHES, DIGIT_RATE, DIGIT_EPOCHS, DIGIT_RUNS = (1, 8, 64, 1797), 0.5, 5, 4

SADDLE_RATE, SADDLE_NOISE, SADDLE_STEPS, SADDLE_RUNS = 0.05, 0.01, 250, 64
NUDGE, LEFT = 1e-6, 0.5  # a start beside the ridge, and the |y| that counts as having left it

# Sharpness at equal loss: the first two share α/B, the last two share α.
FLAT_PAIRS = ((2, 0.1), (4, 0.2), (32, 0.2))
FLAT_RUNS, FLAT_ROWS, FLAT_HIDDEN, FLAT_LOSS = 12, 256, 16, 0.05

WAYS = ("equal parts, 1/K", "unequal parts", "BatchNorm", "missing 1/K")
HIDDEN = 8
DRIFT_UPDATES = 40
GRADIENTS = (
    "whole", "equal parts", "missing 1/K", "unequal parts", "first 40", "last 24",
    "BatchNorm, whole", "BatchNorm, parts", "fixed statistics, whole", "fixed statistics, parts",
)  # fmt: skip


class Settings(contract.Settings):
    """What you can turn."""

    batch: int = control(
        32, "Batch size B", ge=1, le=N, log=True, unit="patients", help="Gradients averaged at a time."
    )
    alpha: float = control(
        0.05, "Learning rate α", ge=0.001, le=1, log=True, help="Step per unit of gradient, held constant."
    )
    epochs: int = control(10, "Epochs", ge=1, le=50, step=1, help="Passes: 442 gradients each.")
    momentum: float = control(
        0.0, "Momentum β", ge=0, le=0.99, step=0.01, help="Share of the last step kept. Steps grow 1/(1 − β)."
    )
    accumulation: int = control(
        1, "Accumulation K", ge=1, le=8, step=1, help="Batches added up before one update; B·K at most 442."
    )
    unequal_parts: bool = control(
        False,
        "Unequal parts",
        help="Make the first of the K parts larger by a quarter, the last one smaller.",
    )
    batch_norm: bool = control(
        False, "BatchNorm", help="Normalise inside the small network of the accumulation chart."
    )
    seed: int = seed_control()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.batch * self.accumulation > N:
            most = N // self.batch
            raise contract.setting_error(
                "accumulation", self.accumulation, f"B·K must not exceed {N} patients; try {most}"
            )
        return self


@dataclass(frozen=True)
class Result:
    """Everything the charts, the claims and the tests need. P points: of all five batch sizes, in turn."""

    settings: Settings
    batches: Array  # (5,) batch sizes: BATCHES, and yours (B·K) last
    noise: Array  # (5,) Cov g_B / Σ: 1/B for equal weights, 0 for all rows at once
    floor: Array  # (5,) predicted ½tr(HS); NaN where the run does not settle
    small_alpha_floor: Array  # (5,) α tr(C) / 4B(1 − β)
    limit: Array  # (5,) α at which the expected loss starts to grow without end
    exploded_at: Array  # (5,) update at which the first run was seen FAR above its start; NaN if never
    expected_to_explode_at: Array  # (5,) the same of the expected loss
    which: NDArray[np.int64]  # (P,) index into batches
    update: NDArray[np.int64]  # (P,)
    excess: Array  # (P, RUNS) measured loss above the minimum
    expected: Array  # (P,) its exact expectation
    expected_sd: Array  # (P,) its standard deviation, w being Gaussian
    path: Array  # (P, 2) first run, in PLANE
    noise_scale: Array  # (P,) tr Σ / |g|² along the first run
    floor_batches: Array  # (9,) 1, 2, 4 ... 256: the floor at your α and β
    floor_by_batch: Array  # (9,)
    settled: Array  # (10, FLOOR_RUNS) measured excess loss of settled runs, a row for each pair
    settled_floor: Array  # (10,) predicted
    digit_loss: Array  # (4, DIGIT_RUNS, epochs + 1) softmax on digits, a row for each of DIGIT_BATCHES
    digit_updates: NDArray[np.int64]  # (4,) counted per epoch
    digit_gradients: NDArray[np.int64]  # (4,) counted per epoch
    saddle_exact: Array  # (steps + 1, 2) from (1, 0), no noise
    saddle_noisy: Array  # (2, steps + 1, SADDLE_RUNS, 2) from (1, 0) with noise: momentum 0 and 0.9
    saddle_nudged: Array  # (2, steps + 1, 2) from (1, NUDGE), no noise: momentum 0 and 0.9
    sharpness: Array  # (3, FLAT_RUNS) at equal training loss, a row for each of FLAT_PAIRS
    accuracy: Array  # (3, FLAT_RUNS) on the digits left out
    flat_loss: Array  # (3, FLAT_RUNS) the training loss they were compared at
    gradients: Array  # (10, weights) a row for each of GRADIENTS: 64 patients, whole and in parts
    ways: Array  # (4, 8) relative error of the accumulated gradient: a row for each of WAYS, K = 1..8
    your_parts: Array  # (K, weights) gradients of your K parts
    your_sizes: NDArray[np.int64]  # (K,)
    your_gradients: Array  # (2, weights) your large batch; your parts, added up and divided by K
    drift: Array  # (U, 3) of the small network: distance of the two paths, loss of each
    summary: dict[str, float]


# --- The problem: least squares along the eigenvectors of H -----------------------------------------------


@dataclass(frozen=True, eq=False)
class Problem:
    """Rows, residuals at the optimum and their moments, all along the eigenvectors of H."""

    rows: Array  # (n, d) x
    residual: Array  # (n,) r = y − x·w*
    curvature: Array  # (d,) λ, largest first: H = diag(λ)
    start: Array  # (d,) w₀ − w*, with w₀ = 0
    covariance: Array  # (d, d) C = E[xxᵀ r²]
    third: Array  # (d, d, d) E[xxᵀ x_k r], the last axis k
    fourth: Array  # (d², d²) S ↦ E[xxᵀ S xxᵀ], on S as a vector


def build(features: Array, target: Array) -> Problem:
    """Turn a least-squares problem so that its Hessian is diagonal, and take the moments theory needs."""
    n, d = features.shape
    curvature, vectors = np.linalg.eigh(features.T @ features / n)
    curvature, vectors = curvature[::-1], vectors[:, ::-1]
    optimum = np.linalg.solve(features.T @ features, features.T @ target)
    rows, residual = features @ vectors, target - features @ optimum
    squares = (rows[:, :, None] * rows[:, None, :]).reshape(n, d * d)
    pairs = (squares.T @ squares / n).reshape(d, d, d, d)  # E[x_i x_k x_j x_l] at [i, k, j, l]
    return Problem(
        rows, residual, curvature, -(vectors.T @ optimum),
        covariance=(squares.T @ residual**2 / n).reshape(d, d),
        third=(squares.T @ (rows * residual[:, None]) / n).reshape(d, d, d),
        fourth=pairs.transpose(0, 2, 1, 3).reshape(d * d, d * d),
    )  # fmt: skip


@cache
def standardised_diabetes() -> tuple[Array, Array]:
    """Ten measurements at mean 0 and deviation 1 and a constant (442, 11); the score, standardised (442,)."""
    raw, score = diabetes()
    features = (raw - raw.mean(axis=0)) / raw.std(axis=0)
    return np.column_stack([features, np.ones(N)]), (score - score.mean()) / score.std()


@cache
def patients() -> Problem:
    """The diabetes data as a problem."""
    return build(*standardised_diabetes())


def excess_loss(problem: Problem, error: Array) -> Array:
    """L(w) − L(w*) = ½ Σ λ e² for e = w − w* (..., d)."""
    return 0.5 * (error**2) @ problem.curvature


def noise_scale(problem: Problem, error: Array) -> Array:
    """tr Σ / |g|² at each e (P, d): noise as long as signal (McCandlish et al., 2018)."""
    slips = error @ problem.rows.T - problem.residual  # (P, n)
    squared = slips**2 @ np.sum(problem.rows**2, axis=1) / len(problem.rows)  # mean |g_i|²
    signal = (error**2) @ problem.curvature**2
    return (squared - signal) / signal


# --- Descent ------------------------------------------------------------------------------------------


def _quiet(done: float) -> None:
    """No progress to report."""


def descend(
    problem: Problem,
    start: Array,
    alpha: float | Array,
    beta: float,
    draws: NDArray[np.int64],
    weight: Array,
    every: int = 1,
    pulse: Callable[[float], None] = _quiet,
) -> Array:
    """SGD with heavy-ball momentum: e = w − w* of all runs at the updates of ``recorded`` (P, runs, d).

    ``draws`` (updates, runs, B) are the rows of each batch, ``weight`` (B,) how much each counts (1/B).
    """
    error, velocity, seen = start, np.zeros_like(start), [start]
    several = max(1, GATHERED // draws[0].size) if len(draws) else 1  # updates whose rows are fetched at once
    for first in range(0, len(draws), several):
        chosen = draws[first : first + several]
        batches = zip(problem.rows[chosen], problem.residual[chosen], strict=True)
        for t, (x, residual) in enumerate(batches, start=first + 1):  # (runs, B, d), (runs, B)
            slip = (x @ error[..., None])[..., 0] - residual
            gradient = ((weight * slip)[:, None] @ x)[:, 0]  # (runs, d)
            velocity = beta * velocity + gradient if beta else gradient
            error = error - alpha * velocity
            if t < every or t % every == 0:
                seen.append(error)
            if t % 400 == 0:
                pulse(t / len(draws))
    return np.array(seen)


def recorded(updates: int, every: int) -> NDArray[np.int64]:
    """Which updates are kept: each of the first few, then every so many."""
    return np.concatenate([np.arange(every), np.arange(every, updates + 1, every)])


def part_sizes(total: int, parts: int, unequal: bool) -> NDArray[np.int64]:
    """How many rows each of the parts gets (K,); unequal ones move a quarter of a part from last to first."""
    sizes = np.full(parts, total // parts)
    if unequal and parts > 1:
        moved = min(max(1, total // (4 * parts)), int(sizes[-1]) - 1)
        sizes[0], sizes[-1] = sizes[0] + moved, sizes[-1] - moved
    return sizes


def row_weights(sizes: NDArray[np.int64]) -> Array:
    """Weight of each row when part means are added and divided by K (B·K,): 1/(K n_k)."""
    return np.repeat(1.0 / (len(sizes) * sizes), sizes)


def noise_factor(weight: Array) -> float:
    """Cov g_B / Σ: Σw² for draws with replacement; for all N rows once, shuffled, (Σw² − 1/N)·N/(N − 1)."""
    total = float(np.sum(weight**2))
    if len(weight) < N:
        return total
    return 0.0 if np.ptp(weight) == 0 else (total - 1 / N) * N / (N - 1)


def draw(rng: np.random.Generator, epochs: int, weight: Array) -> NDArray[np.int64]:
    """The rows of every batch (updates, runs, B): one stream for each run, cut at B; all N once at B = N.

    The stream depends on the seed alone, so every batch size meets the same patients in the same order.
    """
    size, updates = len(weight), epochs * N // len(weight)
    if size < N:
        stream = rng.integers(N, size=(RUNS, epochs * N))
        return stream[:, : updates * size].reshape(RUNS, updates, size).swapaxes(0, 1)
    everyone = np.tile(np.arange(N), (updates, RUNS, 1))
    return rng.permuted(everyone, axis=2) if np.ptp(weight) > 0 else everyone[:, :1]


# --- Theory -------------------------------------------------------------------------------------------


def gain(problem: Problem, alpha: float, beta: float) -> Array:
    """T (d, d): how strongly heavy ball turns white noise into spread, so that S = T ∘ noise.

    The sum over t of h_i(t) h_j(t), h_i being the response of direction i to one kick. It is a product of
    Chebyshev polynomials, summed by their Poisson kernel; at β = 0 it is α²/(1 − a_i a_j).
    """
    a = 1 + beta - alpha * problem.curvature
    below = (1 - beta**2) ** 2 - (1 + beta**2) * np.outer(a, a) + beta * np.add.outer(a**2, a**2)
    return alpha**2 * (1 - beta**2) / below


def spread_map(problem: Problem, alpha: float, beta: float, noise: float) -> Array:
    """The symmetric matrix √T (f (E[xxᵀ S xxᵀ] − HSH)) √T on S as a vector (d², d²): noise feeding itself."""
    root = np.sqrt(gain(problem, alpha, beta)).ravel()
    curvature = np.outer(problem.curvature, problem.curvature).ravel()
    return noise * root[:, None] * (problem.fourth - np.diag(curvature)) * root


def settles(problem: Problem, alpha: float, beta: float, noise: float) -> bool:
    """Whether the expected loss stays finite: errors decay, and noise feeds itself less than once."""
    if alpha * problem.curvature[0] >= 2 * (1 + beta):
        return False
    try:
        size = len(problem.curvature) ** 2
        np.linalg.cholesky(np.eye(size) - spread_map(problem, alpha, beta, noise))
    except np.linalg.LinAlgError:
        return False
    return True


@lru_cache(maxsize=64)
def stability_limit(problem: Problem, beta: float, noise: float) -> float:
    """The α at which the expected loss starts to grow, by bisection to 1 part in 4,000.

    2(1 + β)/λ_max without noise; below it with noise.
    """
    low, high = 0.0, 2 * (1 + beta) / float(problem.curvature[0])
    if noise == 0:
        return high
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if settles(problem, middle, beta, noise) else (low, middle)
    return (low + high) / 2


def stationary_covariance(problem: Problem, alpha: float, beta: float, noise: float) -> Array:
    """S (d, d), from S = T ∘ f (C + E[xxᵀ S xxᵀ] − HSH); NaN where nothing settles."""
    d = len(problem.curvature)
    if not settles(problem, alpha, beta, noise):
        return np.full((d, d), np.nan)
    root = np.sqrt(gain(problem, alpha, beta)).ravel()
    fed = np.eye(d * d) - spread_map(problem, alpha, beta, noise)
    return (root * np.linalg.solve(fed, root * noise * problem.covariance.ravel())).reshape(d, d)


@lru_cache(maxsize=256)
def stationary_floor(problem: Problem, alpha: float, beta: float, noise: float) -> float:
    """½ tr(HS): the excess loss that a constant learning rate ends with."""
    return float(0.5 * problem.curvature @ np.diag(stationary_covariance(problem, alpha, beta, noise)))


def moment_matrix(problem: Problem, alpha: float, beta: float, noise: float) -> Array:
    """One update as a matrix on the moments (1, E z, upper half of E zzᵀ) of z = e, or (e, v) with momentum.

    Exact, because the gradient is linear in e and its covariance quadratic.
    """
    d, curvature = len(problem.curvature), np.diag(problem.curvature)
    one = np.eye(d)
    step, inject = one - alpha * curvature, -alpha * one  # e ← step e + inject ξ
    if beta:
        step = np.block([[step, -alpha * beta * one], [curvature, beta * one]])
        inject = np.vstack([inject, one])
    n = len(step)
    i, j = np.triu_indices(n)
    basis = np.zeros((len(i), n, n))  # a symmetric matrix for each entry of the upper half
    basis[np.arange(len(i)), i, j] = basis[np.arange(len(i)), j, i] = 1.0
    errors = basis[:, :d, :d].reshape(len(i), -1)
    fed = (errors @ (problem.fourth - np.kron(curvature, curvature))).reshape(-1, d, d)
    matrix = np.zeros((1 + n + len(i), 1 + n + len(i)))
    matrix[0, 0], matrix[1 : n + 1, 1 : n + 1] = 1.0, step
    matrix[n + 1 :, n + 1 :] = (step @ basis @ step.T + noise * inject @ fed @ inject.T)[:, i, j].T
    lean = -2 * noise * inject @ problem.third.transpose(2, 0, 1) @ inject.T  # a mean e ≠ 0 tilts the noise
    matrix[n + 1 :, 1 : d + 1] = lean[:, i, j].T
    matrix[n + 1 :, 0] = (noise * inject @ problem.covariance @ inject.T)[i, j]
    return matrix


def expected_excess(
    problem: Problem, alpha: float, beta: float, noise: float, updates: NDArray[np.int64]
) -> tuple[Array, Array]:
    """E[L − L*] and its standard deviation for Gaussian w after these updates (P,) each; the first is 0."""
    matrix, gaps = moment_matrix(problem, alpha, beta, noise), np.diff(updates)
    leap = {gap: np.linalg.matrix_power(matrix, gap) for gap in np.unique(gaps)}
    d, n = len(problem.start), len(problem.start) * (2 if beta else 1)
    i, j = np.triu_indices(n)
    z = np.append(problem.start, np.zeros(n - d))
    moments = [np.concatenate([[1.0], z, np.outer(z, z)[i, j]])]
    for gap in gaps:
        moments.append(leap[gap] @ moments[-1])
    seen, second = np.array(moments), np.zeros((len(updates), n, n))
    second[:, i, j] = second[:, j, i] = seen[:, n + 1 :]
    second, mean = second[:, :d, :d], seen[:, 1 : d + 1]
    mean_excess = 0.5 * np.einsum("pii,i->p", second, problem.curvature)
    spread = (second - mean[:, :, None] * mean[:, None, :]) * problem.curvature[:, None]  # H cov(e)
    lean = mean * problem.curvature
    variance = 0.5 * np.einsum("pij,pji->p", spread, spread) + np.einsum("pi,pij,pj->p", mean, spread, lean)
    return mean_excess, np.sqrt(np.maximum(variance, 0.0))


# --- Settled runs -------------------------------------------------------------------------------------


@lru_cache(maxsize=24)
def settled_runs(seed: int, batch: int) -> list[tuple[float, Array]]:
    """For each α paired with ``batch``: the α, and the mean excess loss of runs from the optimum (runs,)."""
    problem = patients()
    alphas = tuple(a for a, b in FLOOR_PAIRS + MORE_PAIRS if b == batch)
    rng = np.random.default_rng([seed, batch])
    runs, updates = len(alphas) * FLOOR_RUNS, FLOOR_WARM_UP + FLOOR_STEPS
    draws = rng.integers(N, size=(updates, runs, batch))
    rate = np.repeat(alphas, FLOOR_RUNS)[:, None]
    start = np.zeros((runs, len(problem.start)))
    error = descend(problem, start, rate, 0.0, draws, np.full(batch, 1 / batch), every=5)
    settled = excess_loss(problem, error[-(FLOOR_STEPS // 5) :]).mean(axis=0)
    return list(zip(alphas, settled.reshape(len(alphas), FLOOR_RUNS), strict=True))


@cache
def floors() -> Array:
    """The predicted floor of every pair (10,)."""
    return np.array([stationary_floor(patients(), a, 0.0, 1 / b) for a, b in FLOOR_PAIRS + MORE_PAIRS])


# --- Softmax regression on digits: what an epoch buys -----------------------------------------------------


@cache
def pixels_and_labels() -> tuple[Array, Array]:
    """The digits with grey levels from 0 to 1 (1797, 64), and their labels as unit vectors (1797, 10)."""
    pixels, label = digits()
    return pixels / 16, np.eye(10)[label.astype(int)]


def softmax(scores: Array) -> Array:
    """exp(s) / Σ exp(s) along the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def cross_entropy(probability: Array, label: Array) -> Array:
    """The mean of −ln p of the true class, over rows; the labels are unit vectors."""
    return -np.log(np.maximum(np.sum(probability * label, axis=-1), 1e-300)).mean(axis=-1)


@lru_cache(maxsize=32)
def digit_epochs(seed: int, batch: int) -> tuple[Array, int, int]:
    """Softmax regression from zero weights, rows reshuffled each epoch.

    Returns the loss of all rows after each epoch (runs, epochs + 1), and counted in one epoch: the updates,
    and the gradients of single digits.
    """
    pixels, label = pixels_and_labels()
    n, runs = len(pixels), 1 if batch == len(pixels) else DIGIT_RUNS
    rng = np.random.default_rng([seed, batch])
    weights = np.zeros((runs, pixels.shape[1], 10))
    losses, updates, gradients = [cross_entropy(softmax(pixels @ weights), label)], 0, 0
    for _ in range(DIGIT_EPOCHS):
        order = np.stack([rng.permutation(n) for _ in range(runs)])
        updates, gradients = 0, 0
        for first in range(0, n, batch):
            chosen = order[:, first : first + batch]
            x = pixels[chosen]  # (runs, B, 64)
            slip = softmax(x @ weights) - label[chosen]
            weights -= DIGIT_RATE / chosen.shape[1] * (x.swapaxes(1, 2) @ slip)
            updates, gradients = updates + 1, gradients + chosen.shape[1]
        losses.append(cross_entropy(softmax(pixels @ weights), label))
    return np.broadcast_to(np.array(losses).T, (DIGIT_RUNS, DIGIT_EPOCHS + 1)), updates, gradients


# --- A saddle -----------------------------------------------------------------------------------------


def saddle_gradient(point: Array) -> Array:
    """The gradient of x² − y² + y⁴ (..., 2): a saddle at (0, 0), minima at (0, ±1/√2)."""
    x, y = point[..., 0], point[..., 1]
    return np.stack([2 * x, -2 * y + 4 * y**3], axis=-1)


def saddle_run(start: Array, beta: float, kicks: Array) -> Array:
    """Descent with momentum, ``kicks`` (steps, ...) added to the gradient: all points (steps + 1, ..., 2)."""
    point, velocity, seen = start, np.zeros_like(start), [start]
    for kick in kicks:
        velocity = beta * velocity + saddle_gradient(point) + kick
        point = point - SADDLE_RATE * velocity
        seen.append(point)
    return np.array(seen)


@lru_cache(maxsize=16)
def saddle(seed: int) -> tuple[Array, Array, Array]:
    """The exact run, the noisy ones and the nudged ones, as ``Result`` holds them."""
    rng = np.random.default_rng([seed, 3])
    kicks = SADDLE_NOISE * rng.standard_normal((2, SADDLE_STEPS, SADDLE_RUNS, 2))
    none, start = np.zeros((SADDLE_STEPS, 2)), np.array([1.0, 0.0])
    many = np.tile(start, (SADDLE_RUNS, 1))
    noisy = np.stack([saddle_run(many, beta, kicks[k]) for k, beta in enumerate((0.0, 0.9))])
    nudged = np.stack([saddle_run(np.array([1.0, NUDGE]), beta, none) for beta in (0.0, 0.9)])
    return saddle_run(start, 0.0, none), noisy, nudged


def growth_factors(beta: float) -> tuple[float, float]:
    """The roots of z² − (1 + β + 2α)z + β = 0: what multiplies y per step beside the saddle."""
    half = (1 + beta + 2 * SADDLE_RATE) / 2
    root = math.sqrt(half**2 - beta)
    return half + root, half - root


def steps_to_leave(beta: float) -> int:
    """Steps from |y| = NUDGE to LEFT while the cubic force is neglected: y_t = y₀(c z₁ᵗ + (1 − c) z₂ᵗ)."""
    fast, slow = growth_factors(beta)
    share = fast * (1 - slow) / (fast - slow)
    return math.ceil(math.log(LEFT / NUDGE / share) / math.log(fast))


def cubic_delay() -> float:
    """At most so many more steps of plain descent with the cubic force.

    It makes a factor 1 + 2α − 4αy² of 1 + 2α. Going back from LEFT, y falls by at least 1 + 2α − 4αLEFT².
    """
    plain = 1 + 2 * SADDLE_RATE
    slowest = plain - 4 * SADDLE_RATE * LEFT**2
    y = LEFT * slowest ** -np.arange(1, 400.0)
    return float(-np.sum(np.log1p(-4 * SADDLE_RATE * y**2 / plain)) / math.log(plain))


@cache
def share_left(beta: float, steps: int) -> Array:
    """Predicted share of noisy runs with |y| > LEFT after each step (steps + 1,), the cubic force neglected.

    y is Gaussian; the kick of one step returns as h(s) s steps later, so its variance is σ²α² Σ h².
    """
    fast, slow = growth_factors(beta)
    s = np.arange(1, steps + 1)
    response = (fast**s - slow**s) / (fast - slow)
    deviation = SADDLE_NOISE * SADDLE_RATE * np.sqrt(np.cumsum(response**2))
    return np.append(0.0, [math.erfc(LEFT / (sd * math.sqrt(2))) for sd in deviation])


def first_beyond(y: Array) -> float:
    """The first step with |y| at or beyond LEFT, NaN if there is none."""
    beyond = np.abs(y) >= LEFT
    return float(beyond.argmax()) if beyond.any() else math.nan


# --- Flatness at equal loss: a small network on digits -----------------------------------------------------


def network_gradient(weights: Sequence[Array], x: Array, label: Array) -> tuple[tuple[Array, Array], Array]:
    """Cross-entropy of softmax(tanh(x W₁) W₂) for a stack of nets: its gradients, and the probabilities."""
    hidden = np.tanh(x @ weights[0])
    probability = softmax(hidden @ weights[1])
    slip = (probability - label) / x.shape[-2]
    back = (slip @ weights[1].swapaxes(-1, -2)) * (1 - hidden**2)
    return (x.swapaxes(-1, -2) @ back, hidden.swapaxes(-1, -2) @ slip), probability


def sharpness(weights: Sequence[Array], x: Array, label: Array, rounds: int = 25) -> Array:
    """The largest eigenvalue of the Hessian of each net (nets,), by power iteration on H·u ≈ Δgradient/ε."""
    rng, epsilon = np.random.default_rng(0), 1e-5
    here = network_gradient(weights, x, label)[0]
    u = [rng.standard_normal(w.shape) for w in weights]
    size = np.ones((len(weights[0]), 1, 1))
    for _ in range(rounds):
        size = np.sqrt(sum(np.sum(part**2, axis=(1, 2), keepdims=True) for part in u))
        u = [part / size for part in u]
        there = network_gradient([w + epsilon * p for w, p in zip(weights, u, strict=True)], x, label)[0]
        u = [(b - a) / epsilon for a, b in zip(here, there, strict=True)]
    size = np.sqrt(sum(np.sum(part**2, axis=(1, 2), keepdims=True) for part in u))
    return size[:, 0, 0]


def train_to_loss(
    x: Array, label: Array, weights: list[Array], rng: np.random.Generator, batch: int, alpha: float
) -> tuple[list[Array], Array]:
    """SGD on a stack of nets; each is kept as it was when its training loss first fell below FLAT_LOSS.

    The loss is looked at every 1.6/α updates. Returns those weights and their loss (nets,).
    """
    runs, between = len(weights[0]), round(1.6 / alpha)
    kept, reached = [w.copy() for w in weights], np.full(runs, np.nan)
    for _ in range(300):
        for chosen in rng.integers(len(x), size=(between, runs, batch)):
            step, _ = network_gradient(weights, x[chosen], label[chosen])
            weights = [w - alpha * g for w, g in zip(weights, step, strict=True)]
        loss = cross_entropy(network_gradient(weights, x, label)[1], label)
        new = np.isnan(reached) & (loss < FLAT_LOSS)
        reached[new] = loss[new]
        for keep, w in zip(kept, weights, strict=True):
            keep[new] = w[new]
        if not np.isnan(reached).any():
            break
    return kept, reached


@lru_cache(maxsize=24)
def flatness(seed: int, batch: int, alpha: float) -> tuple[Array, Array, Array]:
    """Networks at equal training loss: sharpness, accuracy on the digits left out, loss (runs,) each."""
    pixels, label = pixels_and_labels()
    x = np.column_stack([pixels, np.ones(len(pixels))])
    rng = np.random.default_rng([seed, 4])  # the same rows and first weights for every pair
    order = rng.permutation(len(x))
    weights = [
        rng.standard_normal((FLAT_RUNS, x.shape[1], FLAT_HIDDEN)) / math.sqrt(x.shape[1]),
        rng.standard_normal((FLAT_RUNS, FLAT_HIDDEN, 10)) / math.sqrt(FLAT_HIDDEN),
    ]
    train, test = order[:FLAT_ROWS], order[FLAT_ROWS:]
    own = np.random.default_rng([seed, batch, round(1000 * alpha)])
    kept, loss = train_to_loss(x[train], label[train], weights, own, batch, alpha)
    guess = network_gradient(kept, x[test], label[test])[1].argmax(axis=-1)
    accuracy = np.mean(guess == label[test].argmax(axis=1), axis=1)
    return sharpness(kept, x[train], label[train]), accuracy, loss


# --- Accumulation: a small network, with or without BatchNorm ----------------------------------------------


def batch_norm(z: Array, gain: Array, shift: Array, epsilon: float = 1e-5) -> tuple[Array, Array, Array]:
    """Each column of z (B, h) to mean 0 and deviation 1 over the batch, then gain and shift.

    Returns the output, the normalised z and 1/deviation (Ioffe and Szegedy, 2015).
    """
    inverse = 1 / np.sqrt(z.var(axis=0) + epsilon)
    normal = (z - z.mean(axis=0)) * inverse
    return gain * normal + shift, normal, inverse


def batch_norm_backward(up: Array, normal: Array, inverse: Array, gain: Array) -> tuple[Array, Array, Array]:
    """Gradients for z, gain and shift from ``up``, that of the output: mean and variance depend on z too."""
    d_normal = up * gain
    centred = d_normal - d_normal.mean(axis=0) - normal * np.mean(d_normal * normal, axis=0)
    return centred * inverse, np.sum(up * normal, axis=0), up.sum(axis=0)


def unpack(weights: Array, d: int) -> tuple[Array, Array, Array, Array]:
    """First layer (d, h), gain (h,), shift (h,) and last layer (h,) out of one vector."""
    first, gain_, shift = d * HIDDEN, (d + 1) * HIDDEN, (d + 2) * HIDDEN
    return weights[:first].reshape(d, HIDDEN), weights[first:gain_], weights[gain_:shift], weights[shift:]


def regression_gradient(
    weights: Array, x: Array, y: Array, normalise: bool, statistics: tuple[Array, Array] | None = None
) -> tuple[Array, float]:
    """Gradient and value of ½ mean (u·tanh(BN(xW)) − y)²; without BN, tanh(gain·xW + shift).

    With fixed ``statistics`` (mean, deviation) BN normalises every batch by those, as it does in use.
    """
    first, gain_, shift, last = unpack(weights, x.shape[1])
    z = x @ first  # (B, h)
    normal, inverse = (z, np.ones(HIDDEN)) if statistics is None else (z - statistics[0], 1 / statistics[1])
    normal = normal * inverse
    out = gain_ * normal + shift
    if normalise:
        out, normal, inverse = batch_norm(z, gain_, shift)
    hidden = np.tanh(out)
    slip = (hidden @ last - y) / len(y)
    up = np.outer(slip, last) * (1 - hidden**2)
    if normalise:
        dz, d_gain, d_shift = batch_norm_backward(up, normal, inverse, gain_)
    else:
        dz, d_gain, d_shift = up * gain_ * inverse, np.sum(up * normal, axis=0), up.sum(axis=0)
    gradient = np.concatenate([(x.T @ dz).ravel(), d_gain, d_shift, hidden.T @ slip])
    return gradient, float(0.5 * len(y) * slip @ slip)


def part_gradients(
    weights: Array, x: Array, y: Array, sizes: NDArray[np.int64], normalise: bool, **fixed: Any
) -> Array:
    """The gradient of each part's own mean loss (K, weights)."""
    cuts = np.cumsum(sizes)[:-1]
    parts = zip(np.split(x, cuts), np.split(y, cuts), strict=True)
    return np.array([regression_gradient(weights, a, b, normalise, **fixed)[0] for a, b in parts])


def first_weights(rng: np.random.Generator, d: int) -> Array:
    """Random layers, gain 1 and shift 0, as one vector."""
    first, last = rng.standard_normal((d, HIDDEN)) / math.sqrt(d), rng.standard_normal(HIDDEN)
    return np.concatenate([first.ravel(), np.ones(HIDDEN), np.zeros(HIDDEN), last / math.sqrt(HIDDEN)])


def relative_error(gradient: Array, reference: Array) -> float:
    """|g − reference| / |reference|."""
    return float(np.linalg.norm(gradient - reference) / np.linalg.norm(reference))


@lru_cache(maxsize=16)
def accumulation_ways(seed: int) -> tuple[Array, Array]:
    """Ten gradients of 64 patients (4 parts; 40 + 24), and the error of four ways for K = 1..8 (4, 8)."""
    features, target = standardised_diabetes()
    rng = np.random.default_rng([seed, 5])
    weights, rows = first_weights(rng, features.shape[1]), rng.choice(N, 64, replace=False)
    x, y = features[rows], target[rows]
    z = x @ unpack(weights, x.shape[1])[0]
    fixed = {"statistics": (z.mean(axis=0), z.std(axis=0))}
    four = part_sizes(64, 4, False)
    parts = part_gradients(weights, x, y, four, False)
    forty, rest = part_gradients(weights, x, y, np.array([40, 24]), False)
    gradients = np.array([
        regression_gradient(weights, x, y, False)[0],
        parts.mean(axis=0), parts.sum(axis=0), (forty + rest) / 2, forty, rest,
        regression_gradient(weights, x, y, True)[0],
        part_gradients(weights, x, y, four, True).mean(axis=0),
        regression_gradient(weights, x, y, False, **fixed)[0],
        part_gradients(weights, x, y, four, False, **fixed).mean(axis=0),
    ])  # fmt: skip
    return gradients, np.array([errors_of_parts(weights, x, y, k) for k in range(1, 9)]).T


def errors_of_parts(weights: Array, x: Array, y: Array, k: int) -> list[float]:
    """Relative error of K parts against one batch: equal, unequal, with BatchNorm, added but not divided."""
    n = len(x) // k * k  # 63 rows make 7 parts of 9
    x, y = x[:n], y[:n]
    errors = []
    for unequal, normalise in ((False, False), (True, False), (False, True)):
        parts = part_gradients(weights, x, y, part_sizes(n, k, unequal), normalise)
        errors.append(relative_error(parts.mean(axis=0), regression_gradient(weights, x, y, normalise)[0]))
    parts = part_gradients(weights, x, y, part_sizes(n, k, False), False)
    return [*errors, relative_error(parts.sum(axis=0), regression_gradient(weights, x, y, False)[0])]


@lru_cache(maxsize=4)
def accumulate(
    seed: int, batch: int, accumulation: int, unequal: bool, normalise: bool, alpha: float
) -> tuple[Array, NDArray[np.int64], Array, Array]:
    """Your K parts against one batch of B·K: part gradients, sizes, both gradients, how the paths part."""
    features, target = standardised_diabetes()
    rng = np.random.default_rng([seed, 6])
    total = batch * accumulation
    sizes = part_sizes(total, accumulation, unequal)
    large = parted = first_weights(rng, features.shape[1])
    parts = both = np.zeros(0)
    drift = []
    for update in range(DRIFT_UPDATES + 1):
        rows = rng.choice(N, total, replace=False)
        x, y = features[rows], target[rows]
        one, loss = regression_gradient(large, x, y, normalise)
        many = part_gradients(parted, x, y, sizes, normalise)
        if update == 0:
            parts, both = many, np.array([one, many.mean(axis=0)])
        other = regression_gradient(parted, x, y, normalise)[1]
        drift.append([relative_error(parted, large), loss, other])
        large, parted = large - alpha * one, parted - alpha * many.mean(axis=0)
    return parts, sizes, both, np.array(drift)


# --- The run ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """One batch size: its runs, and what was expected of them. P points."""

    update: NDArray[np.int64]  # (P,)
    excess: Array  # (P, RUNS)
    expected: Array  # (P,)
    expected_sd: Array  # (P,)
    path: Array  # (P, 2)
    noise_scale: Array  # (P,)
    exploded_at: float
    expected_to_explode_at: float


def follow(
    alpha: float,
    beta: float,
    weight: Array,
    draws: NDArray[np.int64],
    pulse: Callable[[float], None] = _quiet,
) -> Curve:
    """All runs at your α and β over these draws, and their expectation, up to the last finite point."""
    problem = patients()
    every = max(1, len(draws) // POINTS)
    update = recorded(len(draws), every)
    start = np.tile(problem.start, (draws.shape[1], 1))
    with np.errstate(over="ignore", invalid="ignore"):
        error = descend(problem, start, alpha, beta, draws, weight, every, pulse)
        expected, sd = expected_excess(problem, alpha, beta, noise_factor(weight), update)
        excess = np.broadcast_to(excess_loss(problem, error), (len(error), RUNS))
    finite = (excess < HUGE).all(axis=1) & (expected < HUGE) & (sd < HUGE)
    last = len(finite) if finite.all() else int(finite.argmin())
    if last < len(finite) and update[last] <= len(draws) / 2:
        return follow(alpha, beta, weight, draws[: update[last]])  # exploded early: look more often
    update = update[:last]
    return Curve(
        update, excess[:last], expected[:last], sd[:last], error[:last, 0][:, list(PLANE)],
        noise_scale(problem, error[:last, 0]), first_far(excess[:last, 0], update),
        first_far(expected[:last], update),
    )  # fmt: skip


def first_far(excess: Array, update: NDArray[np.int64]) -> float:
    """The update at which the loss is first seen beyond FAR times that of the start; NaN if never."""
    far = excess > FAR * excess[0]
    return float(update[far.argmax()]) if far.any() else math.nan


# Curves followed before: those of ``BATCHES`` are the same whatever batch is yours. 2 to 60 kB each.
_followed: dict[Any, Curve] = {}


def run(settings: Settings, tick: Tick = no_tick) -> Result:
    """Descend with five batch sizes, and do the side experiments, which depend on the seed alone."""
    seed, epochs, alpha, beta = settings.seed, settings.epochs, settings.alpha, settings.momentum
    parts = settings.batch, settings.accumulation, settings.unequal_parts
    yours = part_sizes(parts[0] * parts[1], *parts[1:])
    sizes = [*(np.array([b]) for b in BATCHES), yours]
    weights = [row_weights(each) for each in sizes]

    def curve_of(i: int) -> Curve:
        draws = draw(np.random.default_rng(seed), epochs, weights[i])
        return follow(alpha, beta, weights[i], draws, lambda done: tick(0.06 * i + 0.06 * done))

    curves = []
    for i, each in enumerate(sizes):
        key = (seed, epochs, alpha, beta, tuple(each.tolist()))
        curves.append(remembered(_followed, key, 16, partial(curve_of, i)))
        tick(0.06 * (i + 1))
    settled = {}
    for i, batch in enumerate((1, 4, 16)):
        settled.update({(rate, batch): row for rate, row in settled_runs(seed, batch)})
        tick(0.35 + 0.05 * i)
    digit = []
    for i, batch in enumerate(DIGIT_BATCHES):
        digit.append(digit_epochs(seed, batch))
        tick(0.5 + 0.05 * i)
    flat = []
    for i, (batch, rate) in enumerate(FLAT_PAIRS):
        flat.append(flatness(seed, batch, rate))
        tick(0.7 + 0.1 * i)
    exact, noisy, nudged = saddle(seed)
    gradients, ways = accumulation_ways(seed)
    with np.errstate(over="ignore", invalid="ignore"):
        your_parts, your_sizes, your_gradients, drift = accumulate(seed, *parts, settings.batch_norm, alpha)
    theory = floors_and_limits(settings, weights)
    result = Result(
        settings, *theory,
        exploded_at=np.array([c.exploded_at for c in curves]),
        expected_to_explode_at=np.array([c.expected_to_explode_at for c in curves]),
        which=np.repeat(np.arange(5), [len(c.update) for c in curves]),
        update=np.concatenate([c.update for c in curves]),
        excess=np.concatenate([c.excess for c in curves]),
        expected=np.concatenate([c.expected for c in curves]),
        expected_sd=np.concatenate([c.expected_sd for c in curves]),
        path=np.concatenate([c.path for c in curves]),
        noise_scale=np.concatenate([c.noise_scale for c in curves]),
        **floors_at_every_batch(settings),
        settled=np.array([settled[pair] for pair in FLOOR_PAIRS + MORE_PAIRS]), settled_floor=floors(),
        digit_loss=np.array([loss for loss, _, _ in digit]),
        digit_updates=np.array([updates for _, updates, _ in digit]),
        digit_gradients=np.array([count for _, _, count in digit]),
        saddle_exact=exact, saddle_noisy=noisy, saddle_nudged=nudged,
        sharpness=np.array([f[0] for f in flat]), accuracy=np.array([f[1] for f in flat]),
        flat_loss=np.array([f[2] for f in flat]),
        gradients=gradients, ways=ways, your_parts=your_parts, your_sizes=your_sizes,
        your_gradients=your_gradients, drift=drift[np.isfinite(drift).all(axis=1)],
        summary=summarise(settings, curves[-1], *theory),
    )  # fmt: skip
    tick(1.0)
    return result


def floors_and_limits(settings: Settings, weights: list[Array]) -> tuple[Array, Array, Array, Array, Array]:
    """Batch sizes, noise factors, predicted floors, their small-α form and stability limits (5,) each."""
    problem, alpha, beta = patients(), settings.alpha, settings.momentum
    noise = np.array([noise_factor(weight) for weight in weights])
    return (
        np.array([float(len(weight)) for weight in weights]),
        noise,
        np.array([stationary_floor(problem, alpha, beta, f) for f in noise]),
        alpha * float(np.trace(problem.covariance)) * noise / (4 * (1 - beta)),
        np.array([stability_limit(problem, beta, f) for f in noise]),
    )


def floors_at_every_batch(settings: Settings) -> dict[str, Array]:
    """The predicted floor at your α and β for B = 1, 2, 4 ... 256."""
    sizes = 2.0 ** np.arange(9)
    floor = [stationary_floor(patients(), settings.alpha, settings.momentum, 1 / b) for b in sizes]
    return {"floor_batches": sizes, "floor_by_batch": np.array(floor)}


def summarise(
    settings: Settings, yours: Curve, batches: Array, noise: Array, floor: Array, small: Array, limit: Array
) -> dict[str, float]:
    """The headline numbers of your batch size."""
    return {
        "updates": float(settings.epochs * N // int(batches[-1])),
        "gradients_per_update": float(batches[-1]),
        "excess_loss_at_the_end": float(yours.excess[-1].mean()),
        "expected_excess_loss_at_the_end": float(yours.expected[-1]),
        "floor": float(floor[-1]),
        "floor_for_small_alpha": float(small[-1]),
        "stability_limit": float(limit[-1]),
        "noise_scale_at_the_start": float(yours.noise_scale[0]),
        "noise_scale_at_the_end": float(yours.noise_scale[-1]),
    }


# --- Theory against measurement -----------------------------------------------------------------------


def claims(result: Result) -> list[Claim]:
    """The five claims on batch noise and accumulation."""
    return [_updates(result), _floor(result), _saddle(result), _flatness(result), _accumulation(result)]


def _updates(result: Result) -> Claim:
    final = result.digit_loss[:, :, -1]  # (4, runs)
    one, full = final[0], final[-1]
    per_update = result.digit_gradients / result.digit_updates
    n = DIGIT_BATCHES[-1]
    return Claim(
        id="2.6-batch-01",
        statement=f"One update of the full batch costs {n:,} gradients instead of one, but an epoch costs "
        f"the same at every $B$. What small batches buy is updates: after {DIGIT_EPOCHS} epochs of softmax "
        r"regression on digits ($\alpha$ = 0.5) the loss is far lower at $B = 1$ than with the full batch.",
        often_taught="The full batch is very slow.",
        text_verdict="conditional",
        predicted=float(full.mean()),
        measured=float(one.mean()),
        relation="<",
        **contract.separation(float(one.std(ddof=1)), len(one), float(full.std(ddof=1)), len(full)),
        also=(
            Check(what="gradients per update, full batch", predicted=n, measured=float(per_update[-1]),
                  **contract.exact()),
            Check(what="gradients per update, B = 1", predicted=1, measured=float(per_update[0]),
                  **contract.exact()),
            Check(what="gradients per epoch at B = 1, against the full batch",
                  predicted=float(result.digit_gradients[-1]), measured=float(result.digit_gradients[0]),
                  **contract.exact()),
            Check(what="updates per epoch, full batch: one large product, so the fastest epoch",
                  predicted=1, measured=float(result.digit_updates[-1]), **contract.exact()),
        ),
        reason="Gradients of nearby weights are nearly the same, so early small steps beat late exact ones.",
    )  # fmt: skip


def _floor(result: Result) -> Claim:
    first, *rest = (_settled(result, i) for i in range(len(FLOOR_PAIRS)))
    alpha, limit, unmet = result.settings.alpha, float(result.limit[-1]), ""
    if alpha >= limit:
        unmet = (
            f"α = {alpha:g} is beyond the stability limit {limit:.3g}: the expected loss grows without end"
        )
    elif alpha > limit / 2:
        unmet = (
            f"α = {alpha:g} is above half the stability limit {limit:.3g}: rare excursions make up the mean, "
            f"and {RUNS} runs do not average them"
        )
    return Claim(
        id="2.6-batch-02",
        statement="At a constant learning rate the loss settles above its minimum, by "
        r"$\tfrac12\operatorname{tr}(HS)$, about $\alpha\operatorname{tr}(C)/4B$ for small $\alpha$ "
        f"(shown: {first.what}).",
        predicted=first.predicted, measured=first.measured, tolerance=first.tolerance, rule=first.rule,
        also=(*rest, _your_end(result)),
        unmet=unmet,
        reason="Each update adds noise of size α²/B and takes away a share α; the balance is of size α/B.",
    )  # fmt: skip


def _your_end(result: Result) -> Check:
    """The loss after your last update: exact in expectation, settled or not."""
    last = np.flatnonzero(result.which == 4)[-1]
    runs, predicted = result.excess[last], float(result.expected[last])
    standard_error = max(float(result.expected_sd[last]), float(runs.std(ddof=1))) / math.sqrt(RUNS)
    return Check(
        what=f"your settings: excess loss after {result.update[last]} updates, mean of {RUNS} runs",
        predicted=predicted,
        measured=float(runs.mean()),
        tolerance=4 * standard_error + contract.identity(predicted)["tolerance"],
        rule=f"4 SE + rounding; SE = {standard_error:.3g}, the larger of s/√{RUNS} and that of a Gaussian w",
    )


def _settled(result: Result, i: int) -> Check:
    (alpha, batch), runs = FLOOR_PAIRS[i], result.settled[i]
    return Check(
        what=f"floor at α = {alpha:g}, B = {batch}",
        predicted=float(result.settled_floor[i]),
        measured=float(runs.mean()),
        **contract.four_standard_errors(float(runs.std(ddof=1)) / math.sqrt(len(runs)), f"s/√{len(runs)}"),
    )


def _saddle(result: Result) -> Claim:
    y = np.abs(result.saddle_noisy[0, -1, :, 1])
    behind = 1 - share_left(0.0, SADDLE_STEPS)[-1]
    curvature = 4.0  # of −y² + y⁴ at y² = ½
    deviation = SADDLE_NOISE * math.sqrt(SADDLE_RATE / (curvature * (2 - SADDLE_RATE * curvature)))
    plain, heavy = (first_beyond(run[:, 1]) for run in result.saddle_nudged)
    delay = cubic_delay()
    return Claim(
        id="2.6-batch-03",
        statement="Noise leaves saddles. On $x^2 - y^2 + y^4$ from $(1, 0)$ exact descent stays at $y = 0$ "
        rf"for ever; with noise of $\sigma$ = {SADDLE_NOISE:g} all {SADDLE_RUNS} runs leave for "
        r"$y = \pm 1/\sqrt2$.",
        predicted=float(SADDLE_RUNS),
        measured=float(np.sum(y > LEFT)),
        tolerance=0.0,
        rule=f"exact: theory leaves {behind:.0e} of the runs behind after {SADDLE_STEPS} steps",
        also=(
            Check(what="largest |y| of exact descent", predicted=0.0,
                  measured=float(np.abs(result.saddle_exact[:, 1]).max()), **contract.exact()),
            Check(what="mean |y| of the noisy runs in the end", predicted=math.sqrt(0.5),
                  measured=float(y.mean()),
                  **contract.four_standard_errors(deviation / math.sqrt(len(y)), "σ√(α/4(2 − 4α))/√runs")),
            Check(what=f"steps from y = {NUDGE:g} to {LEFT:g} without noise", predicted=steps_to_leave(0.0),
                  measured=plain, tolerance=delay + 1,
                  rule=f"whole steps, and the neglected cubic force delays by at most {delay:.1f}"),
            Check(what="the same with momentum 0.9: no sooner than the linear law",
                  predicted=steps_to_leave(0.9), measured=heavy, relation=">=",
                  rule="the neglected cubic force can only delay"),
            Check(what="the same with momentum 0.9: sooner than without", predicted=plain, measured=heavy,
                  relation="<", rule="ordering: per step y grows by 1.32 instead of 1.10"),
        ),
        reason="Beside the ridge y grows by 1 + 2α a step, whatever the noise made it; zero stays zero.",
    )  # fmt: skip


def _flatness(result: Result) -> Claim:
    names = [f"B = {b}, α = {a:g}" for b, a in FLAT_PAIRS]
    mean, sd = result.sharpness.mean(axis=1), result.sharpness.std(axis=1, ddof=1)
    right, right_sd = result.accuracy.mean(axis=1), result.accuracy.std(axis=1, ddof=1)
    return Claim(
        id="2.6-batch-04",
        statement=r"At equal training loss the ratio $\alpha/B$ sets the sharpness, not $B$: "
        f"{names[0]} ends as sharp as {names[1]}, {names[2]} sharper. The accuracies cannot be told apart.",
        often_taught="Small batches find flatter minima and so generalise better.",
        text_verdict="conditional",
        predicted=float(mean[1]),
        measured=float(mean[0]),
        **contract.separation(sd[0], FLAT_RUNS, sd[1], FLAT_RUNS),
        also=(
            Check(what=f"sharpness of {names[2]} above that of {names[1]}, same α", predicted=float(mean[1]),
                  measured=float(mean[2]), relation=">",
                  **contract.separation(sd[2], FLAT_RUNS, sd[1], FLAT_RUNS)),
            Check(what=f"accuracy of {names[1]} and of {names[2]}: not separable",
                  predicted=float(right[2]), measured=float(right[1]),
                  **contract.separation(right_sd[1], FLAT_RUNS, right_sd[2], FLAT_RUNS)),
            Check(what="largest training loss they were compared at", predicted=FLAT_LOSS, relation="<=",
                  measured=float(result.flat_loss.max()), rule="taken when the loss first falls below"),
        ),
        reason="For small α the path depends on the noise through α/B alone (Jastrzębski et al., 2017).",
    )  # fmt: skip


def _accumulation(result: Result) -> Claim:
    g = dict(zip(GRADIENTS, result.gradients, strict=True))
    whole = g["whole"]
    split = float(np.linalg.norm(g["first 40"] - g["last 24"]) / 8 / np.linalg.norm(whole))
    fixed = relative_error(g["fixed statistics, parts"], g["fixed statistics, whole"])
    broken = relative_error(g["BatchNorm, parts"], g["BatchNorm, whole"])
    return Claim(
        id="2.6-accum-01",
        statement="Adding up the gradients of 4 × 16 patients equals one batch of 64, if you divide by "
        "$K = 4$, the parts are equal and no BatchNorm looks at each part alone (relative difference).",
        often_taught="Gradient accumulation is the same as a larger batch.",
        text_verdict="conditional",
        predicted=0.0,
        measured=relative_error(g["equal parts"], whole),
        **contract.identity(),
        also=(
            Check(what="without 1/K the gradient is longer by", predicted=4.0,
                  measured=float(np.linalg.norm(g["missing 1/K"]) / np.linalg.norm(whole)),
                  **contract.identity(4)),
            Check(what="parts of 40 and 24: relative error, predicted as |g₄₀ − g₂₄|/8|g|", predicted=split,
                  measured=relative_error(g["unequal parts"], whole), **contract.identity()),
            Check(what="BatchNorm: relative error, more than rounding", predicted=0.0, measured=broken,
                  relation=">", **contract.identity()),
            Check(what="normalised by the statistics of all 64: equal again", predicted=0.0, measured=fixed,
                  **contract.identity()),
            _your_accumulation(result),
        ),
        reason="A mean of equal means is the mean; unequal parts are weighted wrongly, BatchNorm is no mean.",
    )  # fmt: skip


def _your_accumulation(result: Result) -> Check:
    large, added = result.your_gradients
    k, share = len(result.your_sizes), result.your_sizes / result.your_sizes.sum()
    measured = relative_error(added, large)
    if result.settings.batch_norm and k > 1:
        what = f"your {k} parts with BatchNorm: more than rounding"
        return Check(what=what, predicted=0.0, measured=measured, relation=">", **contract.identity())
    off = (1 / k - share) @ result.your_parts
    predicted = float(np.linalg.norm(off) / np.linalg.norm(share @ result.your_parts))
    what = f"your {k} part{'s' * (k > 1)}: relative error, predicted from each part's weight"
    return Check(what=what, predicted=predicted, measured=measured, **contract.identity())


# --- Tables -------------------------------------------------------------------------------------------


def tables(result: Result) -> dict[str, pd.DataFrame]:
    """Tidy tables: the runs, the floors, what an epoch buys, the saddle, flatness and accumulation."""
    runs = _runs_table(result)
    shown = ["epoch", "update", "gradient_evaluations", "mean", "lowest", "highest", "expected"]
    yours = {name.replace("mean", "excess_loss"): runs[name].to_numpy()[result.which == 4] for name in shown}
    return {
        "main": pd.DataFrame(yours),
        "runs": runs,
        "contours": _contours_table(),
        "batches": _batches_table(result),
        "floors": _floors_table(result),
        "floor_by_batch": pd.DataFrame({"batch": result.floor_batches, "floor": result.floor_by_batch}),
        "digits": _digits_table(result),
        **_saddle_tables(result),
        "flatness": pd.DataFrame(
            {
                "shown_as": np.repeat([f"B = {b}, α = {a:g}" for b, a in FLAT_PAIRS], FLAT_RUNS),
                "batch": np.repeat([b for b, _ in FLAT_PAIRS], FLAT_RUNS),
                "alpha": np.repeat([a for _, a in FLAT_PAIRS], FLAT_RUNS),
                "alpha_over_batch": np.repeat([a / b for b, a in FLAT_PAIRS], FLAT_RUNS),
                "run": np.tile(np.arange(FLAT_RUNS), len(FLAT_PAIRS)),
                "sharpness": result.sharpness.ravel(),
                "accuracy": result.accuracy.ravel(),
                "training_loss": result.flat_loss.ravel(),
            }
        ),
        "accumulation": pd.DataFrame(
            {
                "parts": np.tile(np.arange(1, 9), 4),
                "way": np.repeat(WAYS, 8),
                "relative_error": result.ways.ravel(),
            }
        ),
        "drift": pd.DataFrame(
            {
                "update": np.arange(len(result.drift)),
                "distance": result.drift[:, 0],
                "loss_large_batch": result.drift[:, 1],
                "loss_accumulated": result.drift[:, 2],
            }
        ),
    }


def _runs_table(result: Result) -> pd.DataFrame:
    batch = result.batches[result.which].astype(int)
    names = np.array([*(f"B = {b}" for b in BATCHES), "yours"], dtype=object)
    return pd.DataFrame(
        {
            "shown_as": names[result.which],
            "batch": batch,
            "update": result.update,
            "epoch": result.update * batch / N,
            "gradient_evaluations": result.update * batch,
            "one_run": result.excess[:, 0],
            "mean": result.excess.mean(axis=1),
            "lowest": result.excess.min(axis=1),
            "highest": result.excess.max(axis=1),
            "expected": result.expected,
            "floor": result.floor[result.which],
            "steep": result.path[:, 0],
            "gentle": result.path[:, 1],
            "noise_scale": result.noise_scale,
        }
    )


def _contours_table() -> pd.DataFrame:
    """Lines of equal loss in PLANE, the other directions being at their optimum."""
    across, up = patients().curvature[list(PLANE)]
    level, angle = np.meshgrid(0.25 / 4.0 ** np.arange(5), np.linspace(0, 2 * math.pi, 61), indexing="ij")
    return pd.DataFrame(
        {
            "excess_loss": level.ravel(),
            "point": np.tile(np.arange(61), 5),
            "steep": (np.sqrt(2 * level / across) * np.cos(angle)).ravel(),
            "gentle": (np.sqrt(2 * level / up) * np.sin(angle)).ravel(),
        }
    )


def _batches_table(result: Result) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "shown_as": [f"B = {b}" for b in BATCHES] + ["yours"],
            "batch": result.batches.astype(int),
            "gradients_per_update": result.batches.astype(int),
            "updates_per_epoch": N / result.batches,
            "floor": result.floor,
            "floor_for_small_alpha": result.small_alpha_floor,
            "stability_limit": result.limit,
            "predicted_to_explode": result.settings.alpha >= result.limit,
            "expected_to_explode_at": result.expected_to_explode_at,
            "exploded_at": result.exploded_at,
        }
    )


def _floors_table(result: Result) -> pd.DataFrame:
    pairs = np.array(FLOOR_PAIRS + MORE_PAIRS)
    trace = float(np.trace(patients().covariance))
    return pd.DataFrame(
        {
            "alpha": pairs[:, 0],
            "batch": pairs[:, 1].astype(int),
            "alpha_over_batch": pairs[:, 0] / pairs[:, 1],
            "measured": result.settled.mean(axis=1),
            "standard_error": result.settled.std(axis=1, ddof=1) / math.sqrt(FLOOR_RUNS),
            "predicted": result.settled_floor,
            "small_alpha": pairs[:, 0] / pairs[:, 1] * trace / 4,
        }
    )


def _digits_table(result: Result) -> pd.DataFrame:
    which, epoch = (a.ravel() for a in np.indices((len(DIGIT_BATCHES), DIGIT_EPOCHS + 1)))
    return pd.DataFrame(
        {
            "shown_as": [f"B = {DIGIT_BATCHES[i]:,}" for i in which],
            "batch": np.array(DIGIT_BATCHES)[which],
            "epoch": epoch,
            "update": epoch * result.digit_updates[which],
            "gradient_evaluations": epoch * result.digit_gradients[which],
            "loss": result.digit_loss.mean(axis=1).ravel(),
        }
    )


def _saddle_tables(result: Result) -> dict[str, pd.DataFrame]:
    steps, some = SADDLE_STEPS + 1, 6
    kinds = ["exact", *["noise"] * some, *["noise, momentum 0.9"] * some, "nudged", "nudged, momentum 0.9"]
    runs = [0, *range(some), *range(some), 0, 0]
    noisy = result.saddle_noisy[:, :, :some].swapaxes(1, 2)  # (2, some, steps, 2)
    path = np.concatenate([result.saddle_exact, noisy.reshape(-1, 2), result.saddle_nudged.reshape(-1, 2)])
    away = np.mean(np.abs(result.saddle_noisy[..., 1]) >= LEFT, axis=2)  # (2, steps)
    betas = 0.0, 0.9
    return {
        "saddle": pd.DataFrame(
            {
                "kind": np.repeat(np.array(kinds, dtype=object), steps),
                "run": np.repeat(runs, steps),
                "step": np.tile(np.arange(steps), len(kinds)),
                "x": path[:, 0],
                "y": path[:, 1],
            }
        ),
        "saddle_share": pd.DataFrame(
            {
                "momentum": np.repeat(betas, steps),
                "step": np.tile(np.arange(steps), len(betas)),
                "measured": away.ravel(),
                "predicted": np.concatenate([share_left(beta, SADDLE_STEPS) for beta in betas]),
            }
        ),
    }


# --- Predict, then see --------------------------------------------------------------------------------


def _closest(value: float, options: dict[str, float]) -> str:
    return min(options, key=lambda name: abs(math.log(value / options[name])))


CHALLENGES = (
    Challenge(
        prompt="You double the batch from 16 to 32 and keep α. What becomes of the noise floor?",
        options=("it stays", "about half", "about a quarter"),
        settings={"batch": 32},
        answer=lambda result: _closest(
            result.floor_by_batch[5] / result.floor_by_batch[4],
            {"it stays": 1.0, "about half": 0.5, "about a quarter": 0.25},
        ),
        why="The variance of a mean of B gradients is Σ/B, and the floor is proportional to it.",
    ),
    Challenge(
        prompt="You raise α to 0.2. The full batch is stable up to 0.497. Which of the four runs explode?",
        options=("none", "B = 1", "B = 1 and B = 8", "all but the full batch"),
        settings={"alpha": 0.2},
        answer=lambda result: ("none", "B = 1", "B = 1 and B = 8", "all but the full batch", "all")[
            int(np.sum(result.exploded_at[:4] > 0))
        ],
        why="Single patients have longer rows than the average one, so steps along them overshoot sooner.",
    ),
    Challenge(
        prompt="α = 0.005, one run without momentum, one with β = 0.9. How much higher is the floor with it?",
        options=("no higher", "about 3 times", "about 10 times"),
        settings={"alpha": 0.005, "momentum": 0.9},
        answer=lambda result: _closest(
            result.floor[-1] / stationary_floor(patients(), result.settings.alpha, 0.0, result.noise[-1]),
            {"no higher": 1.0, "about 3 times": 3.0, "about 10 times": 10.0},
        ),
        why="A gradient keeps pushing for 1/(1 − β) steps, so momentum multiplies rate and noise by 10.",
    ),
)
