r"""**Does EM always climb, and where does it end?**

Some points, no labels, and a guess that they came from $K$ bell-shaped clouds. Watch expectation maximisation
find the clouds: first every point asks which cloud it belongs to, then every cloud moves to its points.

$$
p(x) = \sum_{k=1}^{K} \pi_k \, \mathcal N(x \mid \mu_k, \Sigma_k), \qquad
\mathcal L = \sum_{i=1}^{n} \log p(x_i)
$$

- $\pi_k$, $\mu_k$, $\Sigma_k$: the **weight**, **mean** and **covariance** of component $k$; the weights
  sum to 1
- $\mathcal L$: the **log-likelihood**, in nats: how well the mixture explains all $n$ points
- $r_{ik}$: the **responsibility** of component $k$ for point $i$, a share between 0 and 1

**E-step**, with the components held still, and **M-step**, with the responsibilities held still:

$$
r_{ik} = \frac{\pi_k \, \mathcal N(x_i \mid \mu_k, \Sigma_k)}
{\sum_j \pi_j \, \mathcal N(x_i \mid \mu_j, \Sigma_j)}
$$

$$
N_k = \sum_i r_{ik}, \quad \pi_k = \frac{N_k}{n}, \quad \mu_k = \frac1{N_k} \sum_i r_{ik} x_i, \quad
\Sigma_k = \frac1{N_k} \sum_i r_{ik} (x_i - \mu_k)(x_i - \mu_k)^\top + f I
$$

The last term, $fI$, is a **floor** $f$ under the covariance. It is not part of EM, but nearly every program
has it.

Why does it climb? For any shares $q$, the **evidence lower bound** (ELBO) and the Kullback-Leibler divergence
from the true responsibilities add up to the log-likelihood:

$$
\underbrace{\sum_{ik} q_{ik} \log \frac{\pi_k \, \mathcal N(x_i \mid \mu_k, \Sigma_k)}{q_{ik}}}_{\text{ELBO}}
+ \underbrace{\sum_{ik} q_{ik} \log \frac{q_{ik}}{r_{ik}}}_{\mathrm{KL}(q \Vert r) \, \ge \, 0} = \mathcal L
$$

The E-step sets $q = r$, so the bound touches $\mathcal L$. The M-step raises the bound, and $\mathcal L$ must
stay above it.

**What to try.** Go through the half-steps and watch the colours mix. Put the floor at 0.01: the likelihood
can now *fall*. Let one component begin on a single point: its likelihood has no upper limit, and only the
floor holds it. Choose the mixture and push its clouds into each other.

**What surprises.** Twenty random starts on three species of iris end in about ten different places. The
highest likelihood of all can be a bad answer: a component squeezed flat onto flowers whose petals were all
measured as 0.2 cm wide. Such a component has *collapsed*: in some direction its own points spread next to
nothing, and only the floor keeps it from vanishing. The best start is looked for among the others. And a
floor can lower the likelihood by no more than it costs the M-step, where $u_{kj}$ is the share of the floor
in eigenvalue $j$ of $\Sigma_k$:

$$
\mathcal L_{\text{after}} - \mathcal L_{\text{before}} \ge
- \sum_k \frac{N_k}{2} \sum_j \left[ -\log(1 - u_{kj}) - u_{kj} \right]
$$

*References.* A. Dempster, N. Laird and D. Rubin (1977), Maximum likelihood from incomplete data via the EM
algorithm. R. Neal and G. Hinton (1998), A view of the EM algorithm that justifies incremental, sparse, and
other variants. S. Lloyd (1982), Least squares quantization in PCM, for k-means. H. Akaike (1974) for AIC and
G. Schwarz (1978), Estimating the dimension of a model, for BIC. L. Hubert and P. Arabie (1985) for the
adjusted Rand index.
"""

import math
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import model_validator

from lab import contract
from lab.contract import Array, Challenge, Check, Claim, Tick, control, no_tick, seed_control
from lab.data import iris, wine
from lab.memory import keep

Data = Literal["iris", "wine", "mixture"]
Kind = Literal["full", "tied", "diagonal", "spherical"]
Indices = NDArray[np.int_]
Begin = Literal["random", "k-means", "point"]

CONVERGED = 1e-7  # nats: a run ends when a step changes the log-likelihood by no more
SAME_END = 0.01  # nats: ends closer than this count as one
TABLE_ROWS = 12_500  # of points and ellipses together, over all frames
SWEEP_K = range(1, 9)
SWEEP_STARTS = 4  # of these two from k-means
SWEEP_STEPS = 150
FLOORS = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
LIMIT_VARIANCES = 10.0 ** -np.arange(0, 9.5, 0.5)  # in units of the mean variance of the columns
COLLAPSE_SIGMAS = 10.0 ** -np.arange(0, 13, dtype=float)

# Known before this run, for three full components on iris: the log-likelihood that other programs report
# (their start is a clustering, too), its agreement with the species, and that of k-means.
KNOWN_BEST, KNOWN_ARI, KNOWN_ARI_K_MEANS = -180.19, 0.904, 0.730


class Settings(contract.Settings):
    """What you can turn."""

    data: Data = control(
        "iris", "Data", help="150 flowers in cm, 178 wines (four standardised measurements), or points drawn "
        "from a mixture of three that you set below.",
    )  # fmt: skip
    components: int = control(3, "Components K", ge=1, le=8, step=1, help="How many clouds to look for.")
    covariance: Kind = control(
        "full", "Covariance Σ", help="Full: any ellipse. Tied: the same for all. Diagonal: along the axes. "
        "Spherical: round.",
    )  # fmt: skip
    begin: Begin = control(
        "random", "Begin from", help="Random: at K random points, wide. K-means: at the clusters it finds. "
        "Point: the first component sits tight on one point (not with a tied covariance).",
    )  # fmt: skip
    floor: float = control(
        1e-6, "Floor f", ge=1e-9, le=0.1, log=True, help="Added to every variance so that none can vanish."
    )
    starts: int = control(20, "Starts", ge=1, le=20, step=1, help="How many times to begin anew.")
    watch: int = control(
        0,
        "Watch start",
        ge=0,
        le=20,
        step=1,
        help="Which start to go through step by step; 0 is the best one.",
    )
    steps: int = control(300, "Steps at most", ge=1, le=400, step=1, help="Most starts settle long before.")
    separation: float = control(
        3.0, "Separation Δ", ge=0, le=8, step=0.25, unit="σ",
        help="Mixture only: how far its three centres lie apart. At 0 they coincide.",
    )  # fmt: skip
    points: int = control(300, "Points n", ge=60, le=500, step=20, help="Mixture only: how many are drawn.")
    seed: int = seed_control()

    @model_validator(mode="after")
    def _watch_a_start_there_is(self) -> Self:
        if self.watch > self.starts:
            raise contract.setting_error(
                "watch", self.watch, f"there are only {self.starts} starts; try 0, the best of them"
            )
        return self


class Mixture(NamedTuple):
    """The parameters of S mixtures side by side. Every kind of covariance is stored as a full matrix."""

    weights: Array  # (S, K)
    means: Array  # (S, K, d)
    covariances: Array  # (S, K, d, d)

    def pick(self, which: Any) -> "Mixture":
        """Only the mixtures ``which``: an index, a slice or a mask over S."""
        return Mixture(self.weights[which], self.means[which], self.covariances[which])


class Climb(NamedTuple):
    """How S starts climbed."""

    end: Mixture
    history: Array  # (S, T + 1) log-likelihood before each step and at the end; NaN after a start stopped
    steps: Array  # (S,) steps taken
    fall: Array  # (S,) the deepest fall of the log-likelihood in one step, 0 or negative
    allowed: Array  # (S,) how much the floor may have cost in that step
    excess: Array  # (S,) the least of fall plus allowance over all falls; theory: never negative


@dataclass(frozen=True)
class Result:
    """Everything the charts, the claims and the tests need."""

    settings: Settings
    columns: tuple[str, ...]  # names of the d columns
    class_names: tuple[str, ...]
    data: Array  # (n, d)
    label: Array  # (n,) species, cultivar or component drawn from; EM never sees it
    ends: Array  # (S,) log-likelihood where each start ended
    steps: Array  # (S,) steps each start took
    converged: Array  # (S,) 1 where it settled before the steps ran out
    collapsed: Array  # (S,) how many components have collapsed
    agreement: Array  # (S,) adjusted Rand index with the labels
    history: Array  # (S, T + 1) log-likelihood, NaN after a start stopped
    fall: Array  # (S,) deepest fall in one step
    excess: Array  # (S,) see Climb
    watched: int  # the start that is shown step by step, counted from 0
    weights: Array  # (T + 1, K) of the watched start, before each step and at the end
    means: Array  # (T + 1, K, d)
    covariances: Array  # (T + 1, K, d, d)
    log_likelihood: Array  # (T + 1,) of these parameters
    elbo_after_e: Array  # (T + 1,) bound right after the E-step at these parameters
    elbo_after_m: Array  # (T,) bound right after the M-step that follows
    kept: NDArray[
        np.int_
    ]  # (F,) the steps whose responsibilities are kept: all of them, unless there are very many
    responsibilities: Array  # (F, n, K) from the E-step of that step; before the first, the weights
    collapsed_components: tuple[int, ...]  # of the watched start at its end, counted from 1
    random_elbo: float  # bound for random shares q at the end of the watched start
    random_divergence: float  # KL(q ‖ r) there
    boundary: float  # where two unit Gaussians at 0 and 2 share a point 80 to 20
    limit_variances: Array  # (V,) fixed spherical variances, in units of the mean variance
    limit_agreement: Array  # (V,) share of points assigned as by Lloyd's algorithm
    limit_sharpness: Array  # (V,) mean of the largest responsibility
    limit_differences: int  # over all steps at the smallest variance: assignments that differ from Lloyd's
    k_means_agreement: float  # adjusted Rand index of k-means with the labels
    sweep: Array  # (8, 4) per K = 1..8: log-likelihood, free parameters, collapsed components, sound starts
    collapse_sigmas: Array  # (C,) width of a component on one point
    collapse: Array  # (2, C) log-likelihood with that width: one column, and all columns
    collapse_rest: Array  # (2,) share of the other component in that point's density at 1e-8
    floor_fall: Array  # (len(FLOORS),) iris, five starts: deepest fall for each of FLOORS
    floor_allowed: Array  # (len(FLOORS),) and the cost of the floor in that step
    reference_ends: Array  # (20,) iris, three full components: where random starts end
    reference_from_k_means: float  # where the start from the clusters of k-means ends
    reference_agreement: tuple[float, float]  # adjusted Rand index of that end, and of k-means
    summary: dict[str, float]


# --- The mathematics ----------------------------------------------------------------------------------


def columns_of(data: Array) -> Array:
    """The data as (d, n), each column's numbers side by side: arithmetic over all points is fastest so."""
    return np.ascontiguousarray(data.T)


def log_joint(data: Array, mixture: Mixture) -> Array:
    """$\\log π_k + \\log N(x_i | μ_k, Σ_k)$ as (S, K, n), from the Cholesky factor $Σ = LL^T$.

    With $z = L^{-1}(x - μ)$ the exponent is $-|z|^2/2$, and $\\log\\det L$ the sum over its diagonal.
    """
    d = data.shape[1]
    whiten = np.linalg.inv(np.linalg.cholesky(mixture.covariances))  # (S, K, d, d)
    z = whiten @ (columns_of(data) - mixture.means[..., None])  # (S, K, d, n)
    log_scale = np.log(np.diagonal(whiten, axis1=-2, axis2=-1)).sum(axis=-1) - d / 2 * math.log(2 * math.pi)
    return (np.log(mixture.weights) + log_scale)[..., None] - 0.5 * np.einsum("skdn,skdn->skn", z, z)


def normalise(joint: Array) -> tuple[Array, Array]:
    """Responsibilities (S, K, n) and $\\log p(x_i)$ (S, n), by log-sum-exp: the largest term is taken out."""
    largest = joint.max(axis=1, keepdims=True)
    scaled = np.exp(joint - largest)
    total = scaled.sum(axis=1, keepdims=True)
    return scaled / total, (largest + np.log(total))[:, 0]


def e_step(data: Array, mixture: Mixture) -> tuple[Array, Array]:
    """Responsibilities (S, K, n) and the log-likelihood (S,)."""
    responsibilities, log_p = normalise(log_joint(data, mixture))
    return responsibilities, log_p.sum(axis=-1)


def m_step(data: Array, responsibilities: Array, kind: Kind, floor: Array | float) -> Mixture:
    """Weighted moments. The floor, one number or one per mixture (S,), is added to every variance."""
    n, d = data.shape
    count = (
        responsibilities.sum(axis=-1) + 10 * np.finfo(float).eps
    )  # (S, K); an empty component divides by it
    means = responsibilities @ data / count[..., None]
    away = data.T - means[..., None]  # (S, K, d, n)
    scatter = (responsibilities[:, :, None] * away) @ away.swapaxes(-1, -2)  # (S, K, d, d)
    spread = constrain(scatter, count, kind)
    spread[..., np.arange(d), np.arange(d)] += np.reshape(floor, (-1, 1, 1))
    return Mixture(count / n, means, spread)


def constrain(scatter: Array, count: Array, kind: Kind) -> Array:
    """The covariance of a kind that maximises the bound, from scatter (S, K, d, d) and counts (S, K)."""
    if kind == "tied":
        pooled = scatter.sum(axis=1, keepdims=True) / count.sum(axis=1)[:, None, None, None]
        return np.repeat(pooled, scatter.shape[1], axis=1)
    spread = scatter / count[..., None, None]
    if kind == "full":
        return spread
    variances = np.diagonal(spread, axis1=-2, axis2=-1)
    if kind == "spherical":
        variances = np.repeat(variances.mean(axis=-1, keepdims=True), scatter.shape[-1], axis=-1)
    return variances[..., None] * np.eye(scatter.shape[-1])


def elbo(joint: Array, q: Array) -> Array:
    """$\\sum_{ik} q_{ik} (\\log π_k N(x_i|μ_k, Σ_k) - \\log q_{ik})$ as (S,), with $0 \\log 0 = 0$."""
    return np.sum(q * (joint - np.log(np.where(q > 0, q, 1.0))), axis=(1, 2))


def divergence(joint: Array, q: Array) -> Array:
    """$KL(q ‖ r)$ as (S,), r being the responsibilities that belong to the joint density."""
    log_r = joint - normalise(joint)[1][:, None]
    return np.sum(q * (np.log(np.where(q > 0, q, 1.0)) - log_r), axis=(1, 2))


def random_shares(joint: Array, rng: np.random.Generator) -> Array:
    """Shares q (S, K, n), drawn at random times $\\sqrt{r}$.

    The root keeps them off components that lie hopelessly far away: a collapsed one puts numbers of size
    $10^{10}$ into the sum, and rounding would be all that is left of the identity.
    """
    q = rng.random(joint.shape) * np.sqrt(normalise(joint)[0])
    return q / q.sum(axis=1, keepdims=True)


def floor_cost(mixture: Mixture, n: int, floor: Array) -> Array:
    """How much the floor f keeps an M-step below the best one (S,): the most the likelihood can fall.

    $\\sum_k \\frac{N_k}{2} \\sum_j [-\\log(1-u) - u]$ with u = f / eigenvalue j of $Σ_k$: the gap of the
    bound between $S + fI$ and its maximiser S, whose eigenvalues are less by f. For every kind of covariance.
    """
    eigenvalues = np.linalg.eigvalsh(mixture.covariances)  # (S, K, d)
    share = np.minimum(floor[:, None, None] / eigenvalues, 1 - np.finfo(float).eps)
    return np.sum(n * mixture.weights[..., None] / 2 * (-np.log1p(-share) - share), axis=(1, 2))


def has_collapsed(mixture: Mixture, floor: float, data: Array) -> NDArray[np.bool_]:
    """(S, K): do a component's own points spread next to nothing in some direction, so that the floor is all?

    Their variance there is the least eigenvalue less the floor. Next to nothing: less than the floor, and
    less than a thousandth of the least variance of the data, so that a high floor alone does not count.
    """
    own = np.linalg.eigvalsh(mixture.covariances)[..., 0] - floor
    least = np.linalg.eigvalsh(np.cov(data.T, bias=True))[0]
    return own < min(floor, 1e-3 * least)


def climb(
    data: Array, start: Mixture, kind: Kind, floor: Array | float, most: int,
    tick: Tick = no_tick, settled: float = CONVERGED,
) -> Climb:  # fmt: skip
    """EM from S starts at once. A start that has settled is left alone, so the others go faster."""
    size = len(start.weights)
    floors = np.broadcast_to(np.asarray(floor, dtype=float), size)
    history = np.full((most + 1, size), np.nan)
    up = Climb(Mixture(*(part.copy() for part in start)), history, *np.zeros((4, size)))
    active, (r, before) = np.arange(size), e_step(data, start)
    history[0] = before
    for step in range(1, most + 1):
        now = m_step(data, r, kind, floors[active])
        r, after = e_step(data, now)
        history[step, active], up.steps[active] = after, step
        for whole, part in zip(up.end, now, strict=True):
            whole[active] = part
        note_falls(up, active, after - before, now, len(data), floors)
        going = np.abs(after - before) > settled
        active, r, before = active[going], r[going], after[going]
        if not active.size:
            break
        if step % 8 == 0:
            tick(step / most)
    return up._replace(history=history[: int(up.steps.max()) + 1].T)


def note_falls(up: Climb, active: Any, gain: Array, now: Mixture, n: int, floors: Array) -> None:
    """Write down which of the active starts fell, how deep, and what their floor may have cost."""
    fell = np.flatnonzero(gain < 0)
    if not fell.size:
        return
    where, cost = active[fell], floor_cost(now.pick(fell), n, floors[active[fell]])
    up.excess[where] = np.minimum(up.excess[where], gain[fell] + cost)
    deeper = gain[fell] < up.fall[where]
    up.allowed[where[deeper]] = cost[deeper]
    up.fall[where[deeper]] = gain[fell][deeper]


# --- The same for very many points: two matrix products an iteration ---------------------------------


def monomials(data: Array) -> Array:
    """Φ (M, n): 1, every $x_i$ and every $x_i x_j$ with i ≤ j of each point; M = (d + 1)(d + 2)/2."""
    i, j = np.triu_indices(data.shape[1])
    return np.concatenate([np.ones((1, len(data))), data.T, data.T[i] * data.T[j]])


def density_coefficients(mixture: Mixture) -> Array:
    """Θ (K, M) with $\\log π_k + \\log N(x | μ_k, Σ_k) = (ΘΦ)_k$ for a mixture of one start (S = 1).

    The exponent is a polynomial: $-\\frac12 x^T P x + (Pμ)^T x - \\frac12 μ^T P μ$ with $P = Σ^{-1}$.
    """
    weights, means, covariances = (part[0] for part in mixture)
    d = means.shape[1]
    i, j = np.triu_indices(d)
    precision = np.linalg.inv(covariances)
    linear = (precision @ means[..., None])[..., 0]
    log_determinant = np.linalg.slogdet(covariances)[1]
    constant = np.log(weights) - 0.5 * (
        np.sum(linear * means, axis=1) + log_determinant + d * math.log(2 * math.pi)
    )
    return np.column_stack([constant, linear, precision[:, i, j] * np.where(i == j, -0.5, -1.0)])


def mixture_from_moments(moments: Array, d: int, floor: float) -> Mixture:
    """The M-step from $r Φ^T$ (K, M): counts, then means, then second moments less the means' squares."""
    i, j = np.triu_indices(d)
    count = moments[:, 0] + 10 * np.finfo(float).eps
    means = moments[:, 1 : d + 1] / count[:, None]
    spread = np.empty((len(count), d, d))
    spread[:, i, j] = spread[:, j, i] = moments[:, d + 1 :] / count[:, None]
    spread -= means[:, :, None] * means[:, None, :]
    spread[:, np.arange(d), np.arange(d)] += floor
    return Mixture((count / moments[:, 0].sum())[None], means[None], spread[None])


def climb_many_points(
    data: Array, start: Mixture, floor: float, steps: int, tick: Tick = no_tick, block: int = 4096
) -> tuple[Mixture, Array]:
    """EM with full covariances from one start: the end, and the log-likelihood before each step (steps + 1,).

    Equal to ``climb`` up to rounding, and several times as fast for 10,000 points or more: the points come
    in blocks that fit the cache, and both steps are products with the monomials. The data are centred first,
    because second moments less squared means lose digits when the means are large.
    """
    centre = data.mean(axis=0)
    phi = monomials(data - centre)
    now = Mixture(start.weights, start.means - centre, start.covariances)
    history = []
    for step in range(steps + 1):
        theta, moments, log_likelihood = density_coefficients(now), np.zeros(1), 0.0
        for first in range(0, len(data), block):
            part = phi[:, first : first + block]
            r, log_p = normalise((theta @ part)[None])
            log_likelihood += float(log_p.sum())
            moments = moments + r[0] @ part.T
        history.append(log_likelihood)
        if step < steps:
            now = mixture_from_moments(moments, data.shape[1], floor)
        tick(step / steps)
    return Mixture(now.weights, now.means + centre, now.covariances), np.array(history)


def lloyd(data: Array, means: Array, most: int = 100) -> tuple[Array, Array]:
    """k-means (Lloyd, 1982) from S starts (S, K, d).

    Gives the assignments after each step (T, S, n) and the inertia (S,). An empty cluster stays where it is.
    """
    columns, path = columns_of(data), list[Array]()
    while len(path) < most:
        distance = np.sum((columns - means[..., None]) ** 2, axis=2)  # (S, K, n)
        path.append(distance.argmin(axis=1))
        if len(path) > 1 and np.array_equal(path[-1], path[-2]):
            break
        members = (path[-1][:, None] == np.arange(means.shape[1])[:, None]).astype(float)  # (S, K, n)
        count = members.sum(axis=-1, keepdims=True)
        means = np.where(count > 0, members @ data / np.maximum(count, 1), means)
    return np.array(path), distance.min(axis=1).sum(axis=-1)


def small_variance_em(data: Array, means: Array, variances: Array, most: int) -> tuple[Array, Array]:
    """EM that moves only the means; weights are equal and each of V runs keeps its spherical variance.

    Gives the assignments after each step (T, V, n) and the mean largest responsibility at the end (V,).
    """
    shape, d = (len(variances), len(means)), data.shape[1]
    covariances = np.broadcast_to(variances[:, None, None, None] * np.eye(d), (*shape, d, d))
    moving = np.broadcast_to(means, (*shape, d))
    path: list[Array] = []
    for _ in range(most):
        r, _ = e_step(data, Mixture(np.full(shape, 1 / shape[1]), moving, covariances))
        path.append(r.argmax(axis=1))
        count = r.sum(axis=-1, keepdims=True)
        moving = np.where(count > 0, r @ data / np.where(count > 0, count, 1.0), moving)
    return np.array(path), r.max(axis=1).mean(axis=-1)


def adjusted_rand_index(a: Array, b: Array) -> float:
    """Agreement of two partitions: 1 if the same, 0 on average by chance (Hubert and Arabie, 1985)."""
    table = np.array([[np.sum((a == i) & (b == j)) for j in np.unique(b)] for i in np.unique(a)], dtype=float)

    def pairs(counts: Array) -> float:
        return float(np.sum(counts * (counts - 1) / 2))

    together, rows, columns = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    expected, most = rows * columns / pairs(table.sum(keepdims=True)), (rows + columns) / 2
    return 1.0 if most == expected else (together - expected) / (most - expected)


def free_parameters(k: int, d: int, kind: Kind) -> int:
    """Numbers that a mixture is free to choose: K - 1 weights, K means, and its covariances."""
    one = d * (d + 1) // 2
    return k - 1 + k * d + {"full": k * one, "tied": one, "diagonal": k * d, "spherical": k}[kind]


def aic_bic(log_likelihood: Array, parameters: Array, n: int) -> tuple[Array, Array]:
    """$-2L + 2p$ (Akaike, 1974) and $-2L + p \\log n$ (Schwarz, 1978); the lower, the better."""
    return -2 * log_likelihood + 2 * parameters, -2 * log_likelihood + parameters * np.log(n)


def distinct(ends: Array) -> Array:
    """Which group of ends each one belongs to (S,), 0 for the highest; a gap of SAME_END parts two groups."""
    order = np.argsort(-ends)
    group = np.empty(len(ends), dtype=int)
    group[order] = np.cumsum(np.append(0, -np.diff(ends[order]) > SAME_END))
    return group


def best_start(ends: Array, collapsed: Array) -> int:
    """The start with the highest end among those without a collapsed component, or among all."""
    free = collapsed == 0
    return int(np.argmax(np.where(free, ends, -np.inf) if free.any() else ends))


@cache
def share_boundary(share: float = 0.8) -> float:
    """Where N(0, 1) has this share of a point against N(2, 1), at equal weights: by bisection."""
    pair = Mixture(np.full((1, 2), 0.5), np.array([[[0.0], [2.0]]]), np.ones((1, 2, 1, 1)))
    low, high = -10.0, 10.0  # the share falls from 1 to 0
    for _ in range(60):
        middle = (low + high) / 2
        r = e_step(np.array([[middle]]), pair)[0][0, 0, 0]
        low, high = (middle, high) if r > share else (low, middle)
    return (low + high) / 2


def collapse_onto(data: Array, index: int) -> tuple[Array, float]:
    """Log-likelihood of half a component of each width on one point, half the whole cloud (C,).

    The second number is the share of the cloud in that point's density at a width of 1e-8: what is neglected
    when the gain per decade is called $d \\log 10$.
    """
    d, size = data.shape[1], len(COLLAPSE_SIGMAS)
    cloud = np.cov(data.T, bias=True).reshape(d, d)
    covariances = np.empty((size, 2, d, d))
    covariances[:, 0] = COLLAPSE_SIGMAS[:, None, None] ** 2 * np.eye(d)
    covariances[:, 1] = cloud
    means = np.broadcast_to(np.stack([data[index], data.mean(axis=0)]), (size, 2, d))
    r, log_likelihood = e_step(data, Mixture(np.full((size, 2), 0.5), means, covariances))
    return log_likelihood, float(r[8, 1, index])


# --- Data and starts ----------------------------------------------------------------------------------

WINE_COLUMNS = {0: "alcohol", 9: "colour intensity", 6: "flavanoids", 12: "proline"}
MIXTURE_WEIGHTS = np.array([0.5, 0.3, 0.2])
MIXTURE_CENTRES = np.array([[0, 0], [1, 0], [0.5, math.sqrt(0.75)]])  # sides of length 1, times Δ
MIXTURE_COVARIANCES = np.array([[[1, 0], [0, 1]], [[1, -0.7], [-0.7, 1]], [[1, 0.5], [0.5, 1]]])


def load(settings: Settings) -> tuple[Array, Array, tuple[str, ...], tuple[str, ...]]:
    """Points (n, d), their labels (n,), the names of columns and classes.

    Of the wines' 13 measurements four are used, standardised: with 178 wines a full covariance in 13
    dimensions (91 numbers a component) would collapse before it taught anything.
    """
    if settings.data == "iris":
        lengths = ("sepal length [cm]", "sepal width [cm]", "petal length [cm]", "petal width [cm]")
        return *iris(), lengths, ("setosa", "versicolor", "virginica")
    if settings.data == "wine":
        chosen = wine()[0][:, list(WINE_COLUMNS)]
        columns = tuple(f"{name} [σ]" for name in WINE_COLUMNS.values())
        return (chosen - chosen.mean(axis=0)) / chosen.std(axis=0), wine()[1], columns, ("1", "2", "3")
    rng = np.random.default_rng((settings.seed, 1))
    label = rng.choice(3, settings.points, p=MIXTURE_WEIGHTS)
    spread = np.linalg.cholesky(MIXTURE_COVARIANCES)[label]  # (n, 2, 2)
    around = (spread @ rng.standard_normal((settings.points, 2, 1)))[..., 0]
    data = settings.separation * MIXTURE_CENTRES[label] + around
    return data, label.astype(float), ("x [σ]", "y [σ]"), ("1", "2", "3")


def starting_points(data: Array, k: int, size: int, rng: np.random.Generator) -> Array:
    """K different rows of the data for each start (size, K, d)."""
    return np.stack([data[rng.choice(len(data), k, replace=False)] for _ in range(size)])


def begin_at(data: Array, points: Array, begin: Begin, kind: Kind, floor: float) -> Mixture:
    """The mixtures to start from, at the points (S, K, d).

    Random: each component as wide as the cloud, its covariance divided by K. Point: the same, but the first
    is ten times narrower than the way to its nearest neighbour. K-means: the moments of the clusters.
    """
    (size, k, d), n = points.shape, len(data)
    if begin == "k-means":
        labels = lloyd(data, points)[0][-1]
        return m_step(data, (labels[:, None] == np.arange(k)[:, None]).astype(float), kind, floor)
    cloud = m_step(data, np.ones((1, 1, n)), kind, 0.0).covariances[0, 0] / k
    covariances = np.tile(cloud, (size, k, 1, 1))
    if begin == "point" and kind != "tied":
        distance = np.linalg.norm(data - points[:, :1], axis=-1)  # (size, n)
        nearest = np.where(distance > 0, distance, np.inf).min(axis=1)
        covariances[:, 0] = (nearest / 10)[:, None, None] ** 2 * np.eye(d)
    covariances[..., np.arange(d), np.arange(d)] += floor
    return Mixture(np.full((size, k), 1 / k), points, covariances)


# --- Side experiments that few settings touch: computed once, then remembered -------------------------


def side_by_side(mixtures: list[Mixture]) -> Mixture:
    """Several batches of mixtures as one."""
    return Mixture(*(np.concatenate(parts) for parts in zip(*mixtures, strict=True)))


@lru_cache(maxsize=1)
def floor_sweep(size: int = 5) -> tuple[Array, Array]:
    """Iris, three full components, five starts at each floor: the deepest fall and the floor's cost there."""
    flowers, _ = iris()
    points = starting_points(flowers, 3, size, np.random.default_rng(2))
    start = side_by_side([begin_at(flowers, points, "random", "full", floor) for floor in FLOORS])
    climbed = climb(flowers, start, "full", np.repeat(FLOORS, size), 100, settled=1e-4)
    fall, allowed = climbed.fall.reshape(-1, size), climbed.allowed.reshape(-1, size)
    worst = fall.argmin(axis=1)[:, None]
    return np.take_along_axis(fall, worst, 1)[:, 0], np.take_along_axis(allowed, worst, 1)[:, 0]


@lru_cache(maxsize=64)
def iris_reference(seed: int) -> tuple[Array, float, tuple[float, float]]:
    """Iris, three full components: ends of 20 random starts, end from k-means, its agreement and k-means'."""
    flowers, species = iris()
    points = starting_points(flowers, 3, 20, np.random.default_rng(seed))
    labels, inertia = lloyd(flowers, points)
    best = [int(inertia.argmin())]
    random = begin_at(flowers, points, "random", "full", 1e-6)
    k_means = begin_at(flowers, points[best], "k-means", "full", 1e-6)
    end = climb(flowers, side_by_side([random, k_means]), "full", 1e-6, 500, settled=1e-6).end
    r, ends = e_step(flowers, end)
    agreement = adjusted_rand_index(species, r[-1].argmax(axis=0))
    return ends[:-1], float(ends[-1]), (agreement, adjusted_rand_index(species, labels[-1][best[0]]))


@lru_cache(maxsize=256)
def best_of_k(
    k: int, data: Data, kind: Kind, floor: float, separation: float, points: int, seed: int
) -> tuple[float, int, int, int]:
    """The best of four starts: log-likelihood, parameters, collapsed components, starts without one."""
    settings = Settings(data=data, separation=separation, points=points, seed=seed)
    x = load(settings)[0]
    at = starting_points(x, k, SWEEP_STARTS, np.random.default_rng((seed, 2, k)))
    random = begin_at(x, at[2:], "random", kind, floor)
    k_means = begin_at(x, at[:2], "k-means", kind, floor)
    start = side_by_side([k_means, random])
    end = climb(x, start, kind, floor, SWEEP_STEPS, settled=1e-4).end
    ends, collapsed = e_step(x, end)[1], has_collapsed(end, floor, x).sum(axis=1)
    best = best_start(ends, collapsed)
    return (
        float(ends[best]),
        free_parameters(k, x.shape[1], kind),
        int(collapsed[best]),
        int(np.sum(collapsed == 0)),
    )


# --- The run ------------------------------------------------------------------------------------------


class Trace(NamedTuple):
    """One start, step by step: the fields of ``Result`` of the same names."""

    path: Mixture  # (T + 1, ...)
    responsibilities: Array  # (T + 2, n, K) the weights first, then after each E-step
    log_likelihood: Array  # (T + 1,)
    elbo_after_e: Array  # (T + 1,)
    elbo_after_m: Array  # (T,)


def trace(data: Array, start: Mixture, kind: Kind, floor: float, steps: int, tick: Tick = no_tick) -> Trace:
    """The same steps as ``climb`` for a single start, with everything kept, the bound in between included."""
    path, joints, shares, log_ps = [start], [log_joint(data, start)], [], []
    for step in range(steps + 1):
        r, log_p = normalise(joints[-1])
        shares.append(r)
        log_ps.append(log_p)
        if step < steps:
            tick(step / steps)
            path.append(m_step(data, r, kind, floor))
            joints.append(log_joint(data, path[-1]))
    joint, q = np.concatenate(joints), np.concatenate(shares)  # (T + 1, K, n)
    before = np.broadcast_to(start.weights[0][:, None], q[:1].shape)
    return Trace(
        side_by_side(path),
        np.concatenate([before, q]).swapaxes(1, 2),
        np.concatenate(log_ps).sum(axis=1),
        elbo(joint, q),
        elbo(joint[1:], q[:-1]),
    )


def frames_to_keep(last: int, most: int) -> NDArray[np.int_]:
    """Steps 0..last if there are at most ``most`` of them, else the early ones and ever fewer later."""
    if last < most:
        return np.arange(last + 1)
    early = max(most // 2, 1)
    late = np.geomspace(early, last, max(most - early, 2)).round().astype(int)
    return np.unique(np.append(np.arange(early), late))


def limit_of_k_means(data: Array, means: Array) -> tuple[Array, Array, int]:
    """Agreement with Lloyd's algorithm for each variance (V,), sharpness (V,), and differences."""
    path = lloyd(data, means[None])[0][:, 0]  # (T, n)
    unit = data.var(axis=0).mean()
    assigned, sharpness = small_variance_em(data, means, LIMIT_VARIANCES * unit, len(path))
    agreement = np.mean(assigned[-1] == path[-1], axis=-1)
    return agreement, sharpness, int(np.sum(assigned[:, -1] != path))


def lonely_value(data: Array) -> int:
    """The row of the smallest first-column value that no other row shares: a point to collapse onto."""
    _, first, count = np.unique(data[:, 0], return_index=True, return_counts=True)
    return int(first[count == 1][0])


def sweep_over_k(settings: Settings, tick: Tick) -> Array:
    """``best_of_k`` for K = 1..8 (8, 4), remembered under those settings that change it."""
    mixture = settings.data == "mixture"
    separation = settings.separation if mixture else Settings.model_fields["separation"].default
    points = settings.points if mixture else Settings.model_fields["points"].default
    rows = []
    for k in SWEEP_K:
        rows.append(
            best_of_k(
                k, settings.data, settings.covariance, settings.floor, separation, points, settings.seed
            )
        )
        tick(k / 8)
    return np.array(rows, dtype=float)


# Climbs made before, and their most steps, by the settings that change where a start leads. 70 kB each.
_climbed: dict[Settings, tuple[int, Climb]] = {}


def climb_once(data: Array, start: Mixture, settings: Settings, tick: Tick) -> Climb:
    """``climb``, or what it gave before if these starts are among those and end in as many steps."""
    steps, others = settings.steps, {"starts", "watch", "steps"}
    if settings.data != "mixture":
        others |= {"separation", "points"}
    key = settings.model_copy(update=dict.fromkeys(others, 0))
    if (before := _climbed.get(key)) is not None:
        most, known = before
        if len(known.steps) >= settings.starts:
            known = first_starts(known, settings.starts)
            longest = int(known.steps.max())
            if most == steps or (longest < most and longest <= steps):
                return known
    climbed = climb(data, start, settings.covariance, settings.floor, steps, tick)
    keep(_climbed, key, (steps, climbed), 32)
    return climbed


def first_starts(climbed: Climb, size: int) -> Climb:
    """The first starts of a climb alone: they know nothing of the others."""
    _, history, *numbers = climbed
    history = history[:size, : int(climbed.steps[:size].max()) + 1]
    return Climb(climbed.end.pick(slice(size)), history, *(part[:size] for part in numbers))


def part_of(tick: Tick, low: float, high: float) -> Tick:
    """A tick whose 0 to 1 is the part from ``low`` to ``high`` of another."""

    def inner(fraction: float, /, **live: float) -> None:
        tick(low + (high - low) * fraction, **live)

    return inner


def run(settings: Settings, tick: Tick = no_tick) -> Result:
    """Climb from every start, follow one of them closely, and try the side experiments."""
    data, label, columns, class_names = load(settings)
    k, kind, floor = settings.components, settings.covariance, settings.floor
    rng = np.random.default_rng(settings.seed)
    points = starting_points(data, k, settings.starts, rng)
    start = begin_at(data, points, settings.begin, kind, floor)
    tick(0.05)
    climbed = climb_once(data, start, settings, part_of(tick, 0.05, 0.6))
    tick(0.6)

    r, ends = e_step(data, climbed.end)
    collapsed = has_collapsed(climbed.end, floor, data).sum(axis=1)
    agreement = np.array([adjusted_rand_index(label, a) for a in r.argmax(axis=1)])
    watched = settings.watch - 1 if settings.watch else best_start(ends, collapsed)
    followed = trace(
        data, start.pick([watched]), kind, floor, int(climbed.steps[watched]), part_of(tick, 0.6, 0.7)
    )
    path, last = followed.path, len(followed.log_likelihood)
    kept = frames_to_keep(last, max(TABLE_ROWS // (len(data) + k), 4))
    tick(0.7)

    final = path.pick([-1])
    joint = log_joint(data, final)
    q = random_shares(joint, rng)
    limit = limit_of_k_means(data, path.means[1])
    tick(0.72)
    labels, inertia = lloyd(data, points)
    k_means_agreement = adjusted_rand_index(label, labels[-1][inertia.argmin()])
    sweep = sweep_over_k(settings, part_of(tick, 0.75, 0.95))
    lonely = lonely_value(data)
    collapse = [collapse_onto(data[:, :1], lonely), collapse_onto(data, lonely)]
    tick(0.96)
    floor_fall, floor_allowed = floor_sweep()
    tick(0.98)
    reference = iris_reference(settings.seed)
    tick(1.0)

    bic = aic_bic(sweep[:, 0], sweep[:, 1], len(data))[1]
    parameters = free_parameters(k, data.shape[1], kind)
    summary = {
        "log_likelihood": float(ends[watched]),
        "steps_taken": int(climbed.steps[watched]),
        "different_ends": int(distinct(ends).max()) + 1,
        "deepest_fall": float(climbed.fall.min()),
        "components_collapsed": int(collapsed[watched]),
        "agreement_with_labels": float(agreement[watched]),
        "k_means_agreement": k_means_agreement,
        "bic": float(aic_bic(ends[watched], np.array(parameters), len(data))[1]),
        "bic_best_components": int(np.argmin(np.where(sweep[:, 2] == 0, bic, np.inf))) + 1,
    }
    return Result(
        settings=settings, columns=columns, class_names=class_names, data=data, label=label, ends=ends,
        steps=climbed.steps, converged=has_settled(climbed), collapsed=collapsed, agreement=agreement,
        history=climbed.history, fall=climbed.fall, excess=climbed.excess, watched=watched,
        weights=path.weights, means=path.means, covariances=path.covariances,
        log_likelihood=followed.log_likelihood, elbo_after_e=followed.elbo_after_e,
        elbo_after_m=followed.elbo_after_m, kept=kept, responsibilities=followed.responsibilities[kept],
        collapsed_components=tuple(int(i) + 1 for i in np.flatnonzero(has_collapsed(final, floor, data)[0])),
        random_elbo=float(elbo(joint, q)[0]), random_divergence=float(divergence(joint, q)[0]),
        boundary=share_boundary(), limit_variances=LIMIT_VARIANCES, limit_agreement=limit[0],
        limit_sharpness=limit[1], limit_differences=limit[2], k_means_agreement=k_means_agreement,
        sweep=sweep, collapse_sigmas=COLLAPSE_SIGMAS, collapse=np.array([c[0] for c in collapse]),
        collapse_rest=np.array([c[1] for c in collapse]), floor_fall=floor_fall, floor_allowed=floor_allowed,
        reference_ends=reference[0], reference_from_k_means=reference[1], reference_agreement=reference[2],
        summary=summary,
    )  # fmt: skip


def has_settled(climbed: Climb) -> Array:
    """1 for each start whose last step changed its log-likelihood by no more than CONVERGED, else 0 (S,)."""
    last = climbed.steps.astype(int)
    row = np.arange(len(last))
    gain = climbed.history[row, last] - climbed.history[row, np.maximum(last - 1, 0)]
    return (np.abs(gain) <= CONVERGED).astype(float)


# --- Theory against measurement -----------------------------------------------------------------------


def claims(result: Result) -> list[Claim]:
    """The five claims on expectation maximisation."""
    return [_climbs(result), _where_it_ends(result), _soft(result), _unbounded(result), _bound(result)]


def _climbs(result: Result) -> Claim:
    size = float(np.nanmax(np.abs(result.history)))
    at = {floor: i for i, floor in enumerate(FLOORS)}
    none, high = at[0.0], at[1e-2]
    return Claim(
        id="2.4-em-01",
        statement="Without a floor no step lowers the log-likelihood. With a floor it may fall, but by no "
        r"more than the floor costs the M-step, $\sum_k \frac{N_k}{2} \sum_j [-\log(1-u_{kj}) - u_{kj}]$ "
        f"(shown: the least of fall plus cost over all steps of {len(result.ends)} starts; never negative).",
        often_taught="Each EM step increases the likelihood.",
        text_verdict="conditional",
        predicted=0.0,
        measured=float(result.excess.min()),
        relation=">=",
        **contract.identity(size),
        also=(
            Check(what="iris without a floor, 5 starts: deepest fall in a step", predicted=0.0, relation=">=",
                  measured=float(result.floor_fall[none]), **contract.identity(KNOWN_BEST)),
            Check(what="iris with a floor of 0.01, 5 starts: deepest fall in a step", predicted=0.0,
                  relation="<", measured=float(result.floor_fall[high]), **contract.identity(KNOWN_BEST)),
            Check(what="the same fall plus the cost of the floor in that step", predicted=0.0, relation=">=",
                  measured=float(result.floor_fall[high] + result.floor_allowed[high]),
                  **contract.identity(KNOWN_BEST)),
        ),
        reason="The M-step maximises a bound that touches the likelihood; a floored M-step stops short of "
        "the maximum by just that cost.",
    )  # fmt: skip


def _where_it_ends(result: Result) -> Claim:
    em, k_means = result.reference_agreement
    return Claim(
        id="2.4-em-02",
        statement="EM finds a local optimum: 20 random starts on iris with three full components end in more "
        f"than one place. From the clusters of k-means it ends at {KNOWN_BEST}, and agrees with the species "
        "better than k-means itself (adjusted Rand index).",
        predicted=1,
        measured=int(distinct(result.reference_ends).max()) + 1,
        relation=">",
        **contract.exact(),
        also=(
            Check(what="from k-means: the log-likelihood other programs find", predicted=KNOWN_BEST,
                  measured=result.reference_from_k_means, **contract.rounded(2)),
            Check(what="its agreement with the species", predicted=KNOWN_ARI, measured=em,
                  **contract.rounded(3)),
            Check(what="that of k-means", predicted=KNOWN_ARI_K_MEANS, measured=k_means,
                  **contract.rounded(3)),
            Check(what="EM above k-means", predicted=k_means, measured=em, relation=">",
                  **contract.exact()),
        ),
        reason="The likelihood of a mixture is not concave, and EM climbs the hill it starts on.",
    )  # fmt: skip


def _soft(result: Result) -> Claim:
    total = result.responsibilities.sum(axis=-1).ravel()
    boundary = 1 - math.log(4) / 2
    return Claim(
        id="2.4-em-03",
        statement=r"Assignments are soft and sum to 1: between $\mathcal N(0,1)$ and $\mathcal N(2,1)$ of "
        r"equal weight, the point shared 80 to 20 lies at $x = 1 - \frac12 \log 4$. As the variance falls "
        "to 0 they turn into the hard ones of k-means.",
        predicted=boundary,
        measured=result.boundary,
        **contract.identity(),
        also=(
            Check(what="the sum of one point's shares that is furthest from 1, over all kept steps",
                  predicted=1.0, measured=float(total[np.abs(total - 1).argmax()]), **contract.identity()),
            Check(what="assignments that differ from k-means, all steps, at variance "
                  f"{result.limit_variances[-1]:.0e}", predicted=0, measured=result.limit_differences,
                  **contract.exact()),
        ),
        reason=r"The log-odds are $2 - 2x$, and 80 to 20 is $\log 4$. Divided by a variance near 0, any "
        "difference of squared distances gives the nearest mean everything.",
    )  # fmt: skip


def _gain_per_decade(log_likelihood: Array) -> float:
    """The mean gain of a decade, from a width of 1e-8 to 1e-12."""
    return float(log_likelihood[12] - log_likelihood[8]) / 4


def _unbounded(result: Result) -> Claim:
    d = result.data.shape[1]

    def neglected(columns: int, rest: float) -> contract.Tolerance:
        rounding = contract.identity(columns * math.log(10))["tolerance"]
        rule = f"float64 rounding, and the other component's share of that density at σ = 1e-8: {rest:.1e}"
        return {"tolerance": rounding + rest, "rule": rule}

    return Claim(
        id="2.4-em-04",
        statement="The likelihood of a mixture has no upper limit: a component of width σ on one point "
        r"gains $\log 10$ nats per decade as σ falls (first column; the mean gain from 1e-8 to 1e-12).",
        predicted=math.log(10),
        measured=_gain_per_decade(result.collapse[0]),
        **neglected(1, float(result.collapse_rest[0])),
        also=(
            Check(what=f"in all {d} columns at once, {d} times as much", predicted=d * math.log(10),
                  measured=_gain_per_decade(result.collapse[1]),
                  **neglected(d, float(result.collapse_rest[1]))),
        ),
        reason=r"The density at the point itself is $\propto \sigma^{-d}$, while the other component keeps "
        "the rest of the likelihood from falling.",
    )  # fmt: skip


def _bound(result: Result) -> Claim:
    log_likelihood, after_e, after_m = result.log_likelihood, result.elbo_after_e, result.elbo_after_m
    worst = int(np.abs(after_e - log_likelihood).argmax())
    above = int((after_m - log_likelihood[1:]).argmax())
    rounding = contract.identity(float(np.abs(log_likelihood).max()))
    return Claim(
        id="2.4-em-05",
        statement=r"For any shares $q$, $\mathrm{ELBO}(q) + \mathrm{KL}(q \Vert r) = \log p(x)$ (shown: "
        "random shares, at the end of the watched start).",
        predicted=float(log_likelihood[-1]),
        measured=result.random_elbo + result.random_divergence,
        **rounding,
        also=(
            Check(what="the bound for these random shares lies below", predicted=float(log_likelihood[-1]),
                  measured=result.random_elbo, relation="<=", **rounding),
            Check(what=f"after each E-step the bound touches (worst: step {worst + 1})",
                  predicted=float(log_likelihood[worst]), measured=float(after_e[worst]), **rounding),
            Check(what=f"after each M-step it is not above (closest: step {above + 1})", relation="<=",
                  predicted=float(log_likelihood[above + 1]), measured=float(after_m[above]), **rounding),
        ),
        reason=r"$\log p(x) = \log p(x, z) - \log p(z \mid x)$ for every $z$, so also on "
        "average over any $q$.",
    )  # fmt: skip


# --- Tables -------------------------------------------------------------------------------------------


def frames(result: Result) -> pd.DataFrame:
    """The half-steps, and the step whose parameters (``at``) and responsibilities (``shares``) each shows."""
    last = len(result.log_likelihood) - 1
    rows = [(0, "start", 0, 0)]
    for step in (int(s) for s in result.kept[1:]):
        rows.append((step, "E", step - 1, step))
        if step <= last:
            rows.append((step, "M", step, step))
    steps, halves, at, shares = (np.array(column) for column in zip(*rows, strict=True))
    below = np.append(result.elbo_after_m, np.nan)
    bound = np.where(halves != "M", result.elbo_after_e[at], below[np.maximum(at - 1, 0)])
    bound[0] = np.nan  # no responsibilities yet, so no bound
    return pd.DataFrame(
        {
            "frame": np.arange(len(rows)),
            "step": steps,
            "half": halves,
            "at": at,
            "shares": shares,
            "log_likelihood": result.log_likelihood[at],
            "elbo": bound,
        }
    )


def _shown(frame: pd.DataFrame, column: str) -> tuple[Indices, Indices, Indices]:
    """The values of ``column``, which never fall, and the first and the last frame that shows each."""
    value, first = np.unique(frame[column], return_index=True)
    return value, first, np.append(first[1:], len(frame)) - 1


def ellipses(result: Result, across: int, up: int, shown: pd.DataFrame | None = None) -> pd.DataFrame:
    """The components as ellipses of two standard deviations in two of the columns, one a row.

    At the angle t an ellipse is at (``mean_x`` + ``cos_x`` cos t, ``mean_y`` + ``cos_y`` cos t + ``sin_y``
    sin t): the mean plus twice the Cholesky factor of the covariance on the unit circle.
    """
    at, first, last = _shown(frames(result) if shown is None else shown, "at")
    pair = np.array([across, up])
    means = result.means[at][..., pair]  # (P, K, 2)
    factor = 2 * np.linalg.cholesky(result.covariances[at][..., pair[:, None], pair])  # (P, K, 2, 2)
    size, k = means.shape[:2]
    return pd.DataFrame(
        {
            "step": np.repeat(at, k),
            "first_frame": np.repeat(first, k),
            "last_frame": np.repeat(last, k),
            "component": np.tile(np.arange(1, k + 1), size),
            "mean_x": means[..., 0].ravel(),
            "mean_y": means[..., 1].ravel(),
            "cos_x": factor[..., 0, 0].ravel(),
            "cos_y": factor[..., 1, 0].ravel(),
            "sin_y": factor[..., 1, 1].ravel(),
        }
    )


def tables(result: Result) -> dict[str, pd.DataFrame]:
    """Tidy tables: the frames to go through, starts and ends, model selection, the side experiments."""
    d = len(result.columns)
    points = pd.DataFrame(result.data, columns=list(result.columns))
    names = np.array(result.class_names)[result.label.astype(int)]
    aic, bic = aic_bic(result.sweep[:, 0], result.sweep[:, 1], len(result.data))
    shown = frames(result)
    return {
        "points": points.assign(point=np.arange(len(points)), label=names),
        "climb": _climb(result, shown),
        "frames": shown,
        "responsibilities": _responsibilities(result, shown),
        "ellipses": ellipses(result, d - 2, d - 1, shown),
        "components": _components(result),
        "starts": _starts(result),
        "paths": _paths(result),
        "ends": _ends(result),
        "model_selection": pd.DataFrame(
            {
                "components": list(SWEEP_K),
                "log_likelihood": result.sweep[:, 0],
                "parameters": result.sweep[:, 1].astype(int),
                "aic": aic,
                "bic": bic,
                "collapsed": result.sweep[:, 2].astype(int),
            }
        ),
        "k_means_limit": pd.DataFrame(
            {
                "variance": result.limit_variances,
                "agreement_with_k_means": result.limit_agreement,
                "mean_largest_responsibility": result.limit_sharpness,
            }
        ),
        "collapse": pd.DataFrame(
            {
                "sigma": result.collapse_sigmas,
                "measured": result.collapse[0],
                "predicted": result.collapse[0][8] - np.log(result.collapse_sigmas / 1e-8),
            }
        ),
        "floors": pd.DataFrame(
            {"floor": FLOORS, "deepest_fall": -result.floor_fall, "cost_of_floor": result.floor_allowed}
        ),
    }


def _responsibilities(result: Result, shown: pd.DataFrame) -> pd.DataFrame:
    size, n, k = result.responsibilities.shape
    _, first, last = _shown(shown, "shares")
    columns = {f"r{j + 1}": result.responsibilities[..., j].ravel() for j in range(k)}
    return pd.DataFrame(
        {
            "step": np.repeat(result.kept, n),
            "first_frame": np.repeat(first, n),
            "last_frame": np.repeat(last, n),
            "point": np.tile(np.arange(n), size),
            **columns,
        }
    )


def _climb(result: Result, shown: pd.DataFrame) -> pd.DataFrame:
    """The watched start by half-steps, after its first step: E at t - 1/2, M at t."""
    later = shown[shown["at"] > 0]
    change = np.append(0.0, np.diff(result.log_likelihood))[later["at"]]
    slack = contract.identity(float(np.abs(result.log_likelihood).max()))["tolerance"]
    return pd.DataFrame(
        {
            "half_step": later.step - 0.5 * (later.half == "E"),
            "half": later.half,
            "log_likelihood": later.log_likelihood,
            "elbo": later.elbo,
            "fell": (later.half == "M") & (change < -slack),
        }
    )


def _components(result: Result) -> pd.DataFrame:
    """The watched start at its end, one row a component."""
    spread = np.sqrt(np.linalg.eigvalsh(result.covariances[-1]))
    k = len(spread)
    return pd.DataFrame(
        {
            "component": np.arange(1, k + 1),
            "weight": result.weights[-1],
            "points": result.weights[-1] * len(result.data),
            **{name: result.means[-1, :, i] for i, name in enumerate(result.columns)},
            "smallest_spread": spread[:, 0],
            "largest_spread": spread[:, -1],
            "collapsed": [c in result.collapsed_components for c in range(1, k + 1)],
        }
    )


def _starts(result: Result) -> pd.DataFrame:
    slack = contract.identity(float(np.nanmax(np.abs(result.history))))["tolerance"]
    return pd.DataFrame(
        {
            "start": np.arange(1, len(result.ends) + 1),
            "log_likelihood": result.ends,
            "steps": result.steps.astype(int),
            "converged": result.converged == 1,
            "components_collapsed": result.collapsed.astype(int),
            "agreement_with_labels": result.agreement,
            "deepest_fall": result.fall,
            "monotone": result.fall >= -slack,
            "watched": np.arange(len(result.ends)) == result.watched,
        }
    )


def _paths(result: Result, most: int = 60) -> pd.DataFrame:
    """Log-likelihood against the step for every start; of long climbs, ever fewer of the late steps."""
    kept = [frames_to_keep(int(last), most) for last in result.steps]
    start, step = np.repeat(np.arange(len(kept)), [len(steps) for steps in kept]), np.concatenate(kept)
    return pd.DataFrame({"start": start + 1, "step": step, "log_likelihood": result.history[start, step]})


def _ends(result: Result) -> pd.DataFrame:
    """The different ends, highest first, and how many starts came to each."""
    group = distinct(result.ends)
    members = [group == g for g in range(group.max() + 1)]
    return pd.DataFrame(
        {
            "log_likelihood": [result.ends[own].max() for own in members],
            "starts": [int(own.sum()) for own in members],
            "collapsed": [bool((result.collapsed[own] > 0).any()) for own in members],
            "agreement_with_labels": [result.agreement[own].max() for own in members],
            "watched": np.arange(len(members)) == group[result.watched],
        }
    )


# --- Predict, then see --------------------------------------------------------------------------------

CHALLENGES = (
    Challenge(
        prompt="Most programs add a small floor to every variance. At 0.01, can the likelihood fall?",
        options=("no, EM always climbs", "yes"),
        settings={"floor": 0.01},
        answer=lambda result: "yes" if result.fall.min() < -1e-6 else "no, EM always climbs",
        why="The floored M-step no longer maximises the bound, so nothing forbids a step down.",
    ),
    Challenge(
        prompt="Twenty random starts, three components, the same 150 flowers. How many different ends?",
        options=(),
        settings={},
        answer=lambda result: result.summary["different_ends"],
        why="The likelihood has many hills, and EM only ever climbs the one it starts on.",
    ),
    Challenge(
        prompt="Iris holds three species. How many components does BIC choose, not knowing that?",
        options=("1", "2", "3", "4 or more"),
        settings={"covariance": "full"},
        answer=lambda result: ("1", "2", "3", "4 or more")[
            min(int(result.summary["bic_best_components"]), 4) - 1
        ],
        why="Two of the species overlap; a third ellipse costs 15 more numbers than it explains.",
    ),
)
