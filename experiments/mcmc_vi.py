r"""**What do sampling and VI get wrong?**

You ask 442 patients how much of their diabetes two blood values explain. The answer is a cloud of plausible
weights. A random walk is about to explore it, and variational inference (VI) to press an upright ellipse into
it; you know the exact cloud, so you see what each of them misses.

With noise variance $\sigma^2$ and the prior $\beta \sim N(0, I)$ the posterior is Gaussian:

$$
\Lambda = \frac{X^\top X}{\sigma^2} + I, \qquad \mu = \Lambda^{-1} \frac{X^\top y}{\sigma^2}
$$

**Sampling.** Metropolis and Hastings (MH) try a jump of size $h$ and accept it with probability
$\min(1, p'/p)$. Hamiltonian Monte Carlo (HMC) rolls a ball over $-\log p$ for ten small steps first. Draws
come out correlated, so $n$ of them are worth fewer:

$$
\text{ESS} = \frac{n}{1 + 2\sum_{t \ge 1} \rho_t}
$$

$$
\text{error of a mean} = \frac{\text{sd}}{\sqrt{\text{ESS}}}
$$

On a Gaussian, the share of accepted jumps is known before you jump. With
$a = h\sqrt{u^\top \Lambda u}$, over all directions $u$:

$$
\text{acceptance} = \Big\langle 1 - \frac{a}{\sqrt{a^2 + 4}} \Big\rangle_u
$$

A chain that can be run backwards is worth at most $(1 - \rho_1)/(1 + \rho_1)$ a draw, and $\rho_1$ is known
too.

**VI.** Among Gaussians $q$ with no correlation, take the one with the least $\text{KL}(q \,\|\, p)$:

$$
s_i^2 = \frac{1}{\Lambda_{ii}} = (1 - \rho^2)\,\Sigma_{ii}
$$

$$
\text{KL} = -\tfrac{1}{2} \ln(1 - \rho^2)
$$

- $\rho_t$: the correlation of a chain with itself $t$ draws later; $\rho$: that of the two weights
- $\Sigma = \Lambda^{-1}$: the posterior covariance, in which $\text{sd}^2 = \Sigma_{11}$
- $\hat R$: spread of all chains together over the spread within one; 1 where they agree

**What to try.** Move the step: too small and the chain crawls, too large and it stands still. Switch to HMC
at step 0.03. Then take the two modes at step 1, with all chains started together: $\hat R$ is 1, the ESS is
fine, and half of the mass was never seen. Move the modes together until the chains find both.

**What surprises.** Mean-field VI gives the spread of one weight with the other *held fixed*: at $\rho$ = 0.9
less than half of the true one. Its ellipse goes through the four points where the axes cut the true one. So
it is not quite inside: too short along the ridge, it is too wide across, by $\sqrt{1 + |\rho|}$.

*References.* N. Metropolis and others (1953) and W. K. Hastings (1970) for the random walk. S. Duane and
others (1987), Hybrid Monte Carlo. C. Geyer (1992), Practical Markov chain Monte Carlo, for the sum of
$\rho_t$. A. Sokal (1997) for its error. A. Vehtari and others (2021), Rank-normalization, folding, and
localization. C. Bishop (2006), §10.1.2, for mean-field VI. M. Khan and H. Rue (2021) for the steps it takes
here. Data: B. Efron and others (2004), Least angle regression.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, lru_cache
from math import log, nan, pi, sqrt
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.special import ndtri
from scipy.stats import rankdata

from lab import contract
from lab.contract import Array, Challenge, Check, Claim, Tick, control, no_tick, seed_control
from lab.data import DIABETES_FEATURES, diabetes
from lab.memory import fixed, keep, remembered
from lab.numbers import number

CALIBRATING, REPEATS, SWEEP_CHAINS, MOST_CHAINS = 32, 96, 4, 4
SWEPT = np.append(np.arange(-12, 2) / 6, np.log10(2))  # log₁₀ of the steps of the sweep
LEAPS = 10  # leapfrog steps of one HMC draw: it costs ten evaluations of the posterior, MH one
WARM_UP = 0.1  # the share of each chain that is thrown away
BLOCK = 500  # steps between two ticks
SHOWN_STEPS = 400  # of each chain, to scrub through
ENOUGH = 50  # effective draws a chain needs before its ESS can be trusted (Sokal, 1997)
APART, CROSSING_CHAINS, CROSSING_STEPS = 10.0, 20, 1000  # the two modes that MH must not connect
KNOWN_SD = {"mean-field": 0.0425, "posterior": 0.0953}  # of the weight of s1 beside s2, at σ² = 0.8


class Settings(contract.Settings):
    """What you can turn."""

    target: Literal["regression", "correlation 0.9", "two modes"] = control(
        "regression", "Distribution", help="The posterior of two weights, a plain Gaussian, or two of them."
    )
    pair: Literal["s1, s2", "s3, s4", "bmi, s5", "bmi, bp", "age, s6"] = control(
        "s1, s2", "Features", help="Regression: the two measurements. The first pair is nearly one."
    )
    noise: float = control(
        0.8,
        "Noise variance σ²",
        ge=0.1,
        le=5,
        log=True,
        help="Regression: of the score, whose variance is 1.",
    )
    mode: float = control(
        10.0, "Modes at ±a", ge=1, le=10, step=0.5, help="Two modes: how far each is from the middle."
    )
    sampler: Literal["MH", "HMC"] = control(
        "MH", "Sampler", help="HMC spends ten evaluations on a draw, so it makes a tenth of the draws."
    )
    step: float = control(
        0.1, "Step h", ge=0.01, le=2, log=True, help="MH: size of a jump. HMC: length of one leapfrog step."
    )
    draws: int = control(
        5000, "Evaluations", ge=1000, le=20_000, step=500, help="Of the posterior, by each chain."
    )
    chains: int = control(2, "Chains", ge=1, le=MOST_CHAINS, step=1, help="Shown, and judged together.")
    starts: Literal["apart", "together"] = control(
        "apart", "Starts", help="Apart: all round the mass. Together: on one side, or in the left mode."
    )
    seed: int = seed_control()


@dataclass(frozen=True)
class Target:
    """A density in the plane, known up to a constant: a Gaussian, or two with unit variance at ±mode."""

    precision: Array  # (2, 2) Λ
    shift: Array  # (2,) Λμ
    mode: float = 0.0  # 0 for one Gaussian

    @property
    def mean(self) -> Array:
        """The exact mean (2,)."""
        return np.asarray(np.linalg.solve(self.precision, self.shift), dtype=np.float64)

    @property
    def cov(self) -> Array:
        """The exact covariance (2, 2)."""
        within = np.linalg.inv(self.precision)
        return np.asarray(within + np.diag([self.mode**2, 0.0]), dtype=np.float64)


@dataclass(frozen=True)
class Chains:
    """What a sampler leaves behind."""

    path: Array  # (n, 2, B) where each chain is after each draw
    accepted: Array  # (n, B) whether it moved there
    tried: Array  # (SHOWN_STEPS, 2, MOST_CHAINS) where the first chains tried to go


@dataclass(frozen=True)
class Result:
    """Everything the charts, the claims and the tests need."""

    settings: Settings
    target: Target
    warm_up: int  # draws thrown away
    path: Array  # (chains, n, 2) the shown chains, warm-up included
    accepted: Array  # (chains, n)
    tried: Array  # (chains, m, 2) the proposals of the first m draws
    ess: float  # of all shown chains, for the mean of the first coordinate
    r_hat: float
    correlation: Array  # (m,) ρ_t of the calibrating chains about the exact mean, to lag 100 or further
    tau: float  # their 1 + 2Σρ_t: draws per effective draw
    window: int  # how many lags it sums
    acceptance: Array  # (128,) of each calibrating and repeated chain
    counts: Array  # (m,) numbers of draws at which errors were taken
    errors: Array  # (96, m) mean of that many draws less the exact mean, for each repeated chain
    swept_acceptance: Array  # (15,) at SWEPT
    swept_ess: Array  # (15,) ESS per 1,000 evaluations
    other_mode: Array  # (20, 1000) whether a chain from the left of two modes at ±10 is on the right
    fit: Array  # (iterations, 5) of VI: KL, means and standard deviations
    fit_reference: Array  # (2,) variances by VI for unit variances and ρ = 0.9
    summary: dict[str, float]


# --- The distributions --------------------------------------------------------------------------------


def posterior(features: Array, score: Array, noise: float) -> Target:
    """Of the weights of two features (n, 2), under $y ∼ N(Xβ, σ²)$ and $β ∼ N(0, I)$."""
    return Target(features.T @ features / noise + np.eye(2), features.T @ score / noise)


def gaussian(rho: float) -> Target:
    """Unit variances, correlation ρ, mean 0."""
    return Target(np.linalg.inv(np.array([[1.0, rho], [rho, 1.0]])), np.zeros(2))


def two_modes(mode: float) -> Target:
    """Half the mass at (-mode, 0), half at (mode, 0), unit variances."""
    return Target(np.eye(2), np.zeros(2), mode)


def choose(settings: Settings) -> Target:
    """The distribution that the settings name; features and score scaled to variance 1."""
    if settings.target == "two modes":
        return two_modes(settings.mode)
    if settings.target == "correlation 0.9":
        return gaussian(0.9)
    features, score = diabetes()
    columns = [DIABETES_FEATURES.index(name) for name in settings.pair.split(", ")]
    features = features[:, columns] * sqrt(len(features))
    return posterior(features, (score - score.mean()) / score.std(), settings.noise)


def log_density(target: Target, x: Array) -> Array:
    """Log p up to a constant at the columns of x (2, B)."""
    if target.mode:  # log of the sum of two Gaussians, without the term that all places share
        side = target.mode * x[0]
        return -0.5 * (x * x).sum(axis=0) + np.logaddexp(side, -side)
    return ((target.shift[:, None] - np.dot(0.5 * target.precision, x)) * x).sum(axis=0)


def slope(target: Target, x: Array) -> Array:
    """Gradient of log p at the columns of x (2, B)."""
    if target.mode:
        pull = target.mode * np.tanh(target.mode * x[0])
        return np.stack([pull - x[0], -x[1]])
    return target.shift[:, None] - target.precision @ x


def log_normaliser(target: Target) -> float:
    """Log of the integral of exp(log_density)."""
    if target.mode:
        return log(4 * pi) + target.mode**2 / 2
    _, log_det = np.linalg.slogdet(target.precision)
    return float(log(2 * pi) - log_det / 2 + target.shift @ target.mean / 2)


# --- The samplers, all chains at once -----------------------------------------------------------------


def metropolis(
    target: Target, start: Array, step: Array, n: int, rng: np.random.Generator, tick: Tick = no_tick
) -> Chains:
    """Random-walk Metropolis: n draws of B chains from ``start`` (2, B) with jumps of size ``step`` (B,)."""
    x, count = start.copy(), start.shape[1]
    now = log_density(target, x)
    path, accepted = np.empty((n, 2, count)), np.empty((n, count), dtype=bool)
    tried = np.full((SHOWN_STEPS, 2, MOST_CHAINS), nan)
    for t in range(n):
        at = t % BLOCK
        if at == 0:
            tick(t / n)
            jump = step * rng.standard_normal((BLOCK, 2, count))
            log_uniform = -rng.standard_exponential((BLOCK, count))
        proposal = x + jump[at]
        new = log_density(target, proposal)
        accept = np.less(log_uniform[at], new - now, out=accepted[t])
        np.copyto(x, proposal, where=accept)
        np.copyto(now, new, where=accept)
        path[t] = x
        if t < SHOWN_STEPS:
            tried[t] = proposal[:, :MOST_CHAINS]
    return Chains(path, accepted, tried)


def leapfrog(target: Target, x: Array, p: Array, step: Array) -> tuple[Array, Array]:
    """Ten steps of Hamilton's equations for places x and momenta p (2, B): half kick, drift, half kick."""
    p = p + step / 2 * slope(target, x)
    for leap in range(1, LEAPS + 1):
        x = x + step * p
        p = p + (step if leap < LEAPS else step / 2) * slope(target, x)
    return x, p


def hamiltonian(
    target: Target, start: Array, step: Array, n: int, rng: np.random.Generator, tick: Tick = no_tick
) -> Chains:
    """HMC with unit mass: n draws of B chains from ``start`` (2, B) with leapfrog steps ``step`` (B,)."""
    x, count = start.copy(), start.shape[1]
    now = log_density(target, x)
    path, accepted = np.empty((n, 2, count)), np.empty((n, count), dtype=bool)
    tried = np.full((SHOWN_STEPS, 2, MOST_CHAINS), nan)
    for t in range(n):
        if t % (BLOCK // LEAPS) == 0:
            tick(t / n)
        p = rng.standard_normal((2, count))
        proposal, end = leapfrog(target, x, p, step)
        new = log_density(target, proposal)
        gain = new - now + 0.5 * (p * p - end * end).sum(axis=0)  # of energy, by the error of the steps
        accept = np.less(-rng.standard_exponential(count), gain, out=accepted[t])
        np.copyto(x, proposal, where=accept)
        np.copyto(now, new, where=accept)
        path[t] = x
        if t < SHOWN_STEPS:
            tried[t] = proposal[:, :MOST_CHAINS]
    return Chains(path, accepted, tried)


SAMPLERS: dict[str, Callable[..., Chains]] = {"MH": metropolis, "HMC": hamiltonian}


def starting_points(target: Target, starts: str, rng: np.random.Generator, count: int) -> Array:
    """Where chains begin (2, count): three sd out, at quarter turns or together; a mode each, or the left."""
    turn = np.arange(count) if starts == "apart" else np.zeros(count)
    angle = pi / 4 + pi / 2 * turn + 0.2 * rng.standard_normal(count)
    out = 3 * np.stack([np.cos(angle), np.sin(angle)])
    if target.mode:
        side = np.where(turn % 2 == 0, -1.0, 1.0)
        return np.stack([target.mode * side, np.zeros(count)]) + out
    return target.mean[:, None] + np.sqrt(np.diag(target.cov))[:, None] * out


# --- What a chain is worth ----------------------------------------------------------------------------


def autocovariance(series: Array) -> Array:
    """Along the last axis, of series (..., n) that have their mean taken off: $\\frac1n Σ_s x_s x_{s+t}$."""
    n = series.shape[-1]
    padded = next_fast_len(2 * n, real=True)
    return irfft(np.abs(rfft(series, padded)) ** 2, padded)[..., :n] / n


def geyer(rho: Array) -> tuple[float, int]:
    """$1 + 2Σρ_t$ from autocorrelations (n,), and how many were summed (Geyer, 1992).

    Sums of two neighbours must be positive and fall; where they no longer are, only noise is left. Of the
    pair that stops the sum, the even lag still counts once, as in ArviZ.
    """
    half = (len(rho) - 1) // 2
    pairs = rho[: 2 * half].reshape(half, 2).sum(axis=1)
    stop = int(np.append(pairs[:-1] <= 0, True).argmax())
    falling = np.minimum.accumulate(pairs[:stop])
    return float(2 * falling.sum() - 1 + max(rho[2 * stop], 0)), 2 * stop


def halves(chains: Array) -> Array:
    """Each of m chains (m, n) cut into two (2m, n // 2), so that a drift shows as disagreement."""
    half = chains.shape[1] // 2
    return np.concatenate([chains[:, :half], chains[:, -half:]])


def effective_size(chains: Array) -> float:
    """ESS of the mean over chains (m, n), NaN if none moves (Vehtari and others, 2021, eqs. 10-13)."""
    parts = halves(chains)
    m, n = parts.shape
    if not np.ptp(parts, axis=1).any():
        return nan
    means = parts.mean(axis=1)
    covariance = autocovariance(parts - means[:, None]).mean(axis=0)
    within = covariance[0] * n / (n - 1)
    total = covariance[0] + means.var(ddof=1)
    rho = 1 - (within - covariance) / total
    rho[0] = 1.0
    tau, _ = geyer(rho)
    return m * n / max(tau, 1 / np.log10(m * n))


def split_r_hat(parts: Array) -> float:
    """$\\sqrt{((n-1)W/n + B/n)/W}$ of half-chains (m, n), NaN if none moves (Gelman and Rubin, 1992)."""
    n = parts.shape[1]
    if not np.ptp(parts, axis=1).any():
        return nan
    within = parts.var(axis=1, ddof=1).mean()
    return float(np.sqrt((n - 1) / n + parts.mean(axis=1).var(ddof=1) / within))


def r_hat(chains: Array) -> float:
    """The larger of R̂ for place and for spread, both of normal scores of ranks (Vehtari and others, 2021)."""
    parts = halves(chains)
    folded = np.abs(parts - np.median(parts))
    scores = [ndtri((rankdata(z).reshape(z.shape) - 0.375) / (z.size + 0.25)) for z in (parts, folded)]
    return max(split_r_hat(scores[0]), split_r_hat(scores[1]))


# --- What theory knows of them ------------------------------------------------------------------------


def metropolis_theory(target: Target, step: Array) -> tuple[Array, Array]:
    """Acceptance, and lag-1 autocorrelation of the first coordinate, of MH on a Gaussian, for steps (S,).

    A jump δ at stationarity is accepted with probability $2Φ(-\\sqrt{δ^TΛδ}/2)$. Its length is integrated by
    hand, its direction by the trapezoid rule.
    """
    angle = pi * np.arange(256) / 256
    u = np.stack([np.cos(angle), np.sin(angle)])
    half = np.outer(step, np.sqrt((u * (target.precision @ u)).sum(axis=0))) / 2  # (S, 256) a/2
    c = 1 + half**2
    acceptance = (1 - half / np.sqrt(c)).mean(axis=1)
    moved = (u[0] ** 2 * (2 - half * (c**-1.5 + 2 * c**-0.5))).mean(axis=1)  # E[accepted jump²]/h²
    return acceptance, 1 - step**2 * moved / (2 * target.cov[0, 0])


def hamiltonian_theory(target: Target, step: Array) -> Array:
    """Acceptance of HMC on a Gaussian, for steps (S,): $2P(ΔH < 0)$, as leapfrog is reversible.

    Along an eigenvector of Λ, leapfrog is a matrix of determinant 1. In polar coordinates of place and
    momentum, $ΔH = ½Σ r_k^2 g_k(φ_k)$ with $r_k^2$ exponential; the angles are integrated numerically.
    """
    e = np.outer(step, np.sqrt(np.linalg.eigvalsh(target.precision)))  # (S, 2)
    turn = np.stack([1 - e**2 / 2, e, -e * (1 - e**2 / 4), 1 - e**2 / 2], axis=-1).reshape(*e.shape, 2, 2)
    trace = (np.linalg.matrix_power(turn, LEAPS) ** 2).sum(axis=(-1, -2))[..., None]  # s + 1/s
    s = np.maximum((trace + np.sqrt(np.maximum(trace**2 - 4, 0))) / 2, 1 + 1e-12)
    square = np.cos(pi / 2 * (np.arange(100) + 0.5) / 100) ** 2
    g = (s - 1) * square - (1 - 1 / s) * (1 - square)  # (S, 2, 100)
    first, second = g[:, 0, :, None], g[:, 1, None, :]
    falls = np.maximum(-first, 0) + np.maximum(-second, 0)
    return 2 * (falls / (np.abs(first) + np.abs(second))).mean(axis=(1, 2))


@cache
def crossing_bound(mode: float, step: float, steps: int) -> float:
    """Upper bound on the chance that MH, started in one of two modes, ever crosses to the other.

    A step crosses with probability $2∬ \\min(p, p') q$, at most $2∬ \\sqrt{pp'} q$; steps add up.
    """
    x = (np.arange(2000) + 0.5) / 100  # distance from the middle, to either side
    root = np.sqrt((np.exp(-0.5 * (x - mode) ** 2) + np.exp(-0.5 * (x + mode) ** 2)) / 2 / sqrt(2 * pi))
    jump = np.exp(-0.5 * (np.add.outer(x, x) / step) ** 2) / (step * sqrt(2 * pi))
    return float(2 * steps * (root @ jump @ root) / 100**2)


# --- Mean-field VI ------------------------------------------------------------------------------------


def fit_mean_field(target: Target, mean: Array, sd: Array, most: int = 600) -> Array:
    """Natural-gradient steps to the least KL(q‖p): KL, two means, two sd at each iteration (T, 5).

    Expectations under q are exact for a Gaussian target (cubature), nearly so for two modes. The curvature
    E[∂²log p] is found from slopes alone, by Stein's identity: E[z ∂log p]/sd (Khan and Rue, 2021).
    """
    first, w_1 = second, w_2 = np.polynomial.hermite_e.hermegauss(3)
    if target.mode:  # the trapezoid rule sees the narrow ridge between two modes
        first = np.arange(-80, 81) / 10
        w_1 = np.exp(-(first**2) / 2) / 10
    z = np.stack(np.meshgrid(first, second)).reshape(2, -1)  # (2, nodes)
    w = np.outer(w_2, w_1).ravel() / (2 * pi)
    constant = log_normaliser(target) - 1 - log(2 * pi)
    mean, precision, history = mean.copy(), sd**-2.0, []
    for _ in range(most):
        sd = precision**-0.5
        x = mean[:, None] + sd[:, None] * z
        kl = constant - np.log(sd).sum() - log_density(target, x) @ w
        history.append([kl, *mean, *sd])
        pull = slope(target, x)
        curvature = -(z * pull) @ w / sd
        precision = np.maximum((precision + curvature) / 2, precision / 4)  # stays positive anywhere
        force = pull @ w
        turn = len(history) % 2  # the means take turns, which converges for any Gaussian target
        mean[turn] += force[turn] / precision[turn]
        if max(np.abs(force * sd).max(), np.abs(1 - precision * sd**2).max()) < 1e-11:
            break
    return np.array(history)


@cache
def fit_reference() -> Array:
    """Variances (2,) by VI for unit variances and ρ = 0.9: the same in every run."""
    return fixed(fit_mean_field(gaussian(0.9), np.array([1.0, -1.0]), np.ones(2))[-1, 3:] ** 2)


# --- The run ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drawn:
    """All chains of a run, judged, and the few that may be shown."""

    target: Target
    chains: Chains  # MOST_CHAINS of them
    rho: Array  # the fields of Result of the same names
    tau: float
    window: int
    acceptance: Array
    counts: Array
    errors: Array
    swept_acceptance: Array
    swept_ess: Array
    other_mode: Array
    fit: Array


DEFAULT = Settings()


def _plain(settings: Settings, *names: str) -> Settings:
    return settings.model_copy(update={name: getattr(DEFAULT, name) for name in names})


def _needed(settings: Settings) -> Settings:
    """The settings with all that their chains do not depend on put back to its default."""
    asked = {"pair": "regression", "noise": "regression", "mode": "two modes"}
    return _plain(settings, "chains", *(name for name, target in asked.items() if target != settings.target))


def _begin(settings: Settings) -> tuple[np.random.Generator, Target, Array, Array]:
    """The stream of random numbers after the starts, the target, all starts (2, B) and steps (B,)."""
    rng = np.random.default_rng(settings.seed)
    target = choose(settings)
    step = np.append(np.full(CALIBRATING + REPEATS, settings.step), np.repeat(10**SWEPT, SWEEP_CHAINS))
    return rng, target, starting_points(target, settings.starts, rng, len(step)), step


@dataclass(frozen=True)
class Block:
    """BLOCK steps of random-walk Metropolis in a sixtieth of their memory: which of the jumps were taken."""

    accepted: NDArray[np.uint8]  # eight to a byte
    tried: Array  # as in Chains
    end: Array  # (2, B)
    rng: np.random.Generator  # as it stands at the end


# Blocks walked before: a longer chain begins with the same steps. 50 kB each.
_walked: dict[tuple[Settings, int], Block] = {}


def _walk(settings: Settings, tick: Tick) -> tuple[Chains, np.random.Generator]:
    """The chains of ``metropolis``, and the stream of random numbers after them."""
    rng, target, x, step = _begin(settings)
    n, count = settings.draws, len(step)
    path, accepted = np.empty((n, 2, count)), np.empty((n, count), dtype=bool)
    tried, whole = np.empty(0), _plain(settings, "draws")
    for t in range(0, n, BLOCK):
        tick(t / n)
        now, key = slice(t, t + BLOCK), (whole, t // BLOCK)
        if (block := _walked.get(key)) is None:
            chains = metropolis(target, x, step, BLOCK, rng)
            path[now], accepted[now] = chains.path, chains.accepted
            bits, end = np.packbits(chains.accepted.astype(bool), axis=1), chains.path[-1].copy()
            block = keep(_walked, key, Block(bits, chains.tried, end, deepcopy(rng)), 64)
        else:
            accepted[now] = np.unpackbits(block.accepted, axis=1, count=count)
            jump = step * rng.standard_normal((BLOCK, 2, count))
            taken = jump * accepted[now, None]
            taken[0] += x
            np.cumsum(taken, axis=0, out=path[now])
            rng = deepcopy(block.rng)
        x, tried = block.end, block.tried if t == 0 else tried
    return Chains(path, accepted, tried), rng


def _draw(settings: Settings, tick: Tick) -> Drawn:
    """Run all chains at once, judge them, and fit the mean-field Gaussian."""

    def sampling(fraction: float, /, **live: float) -> None:
        tick(0.8 * fraction, **live)

    rng, target, start, step = _begin(settings)
    many = CALIBRATING + REPEATS
    with np.errstate(over="ignore", invalid="ignore"):  # steps past the edge of stability
        if settings.sampler == "MH":
            drawn, rng = _walk(settings, sampling)
        else:
            n = settings.draws // LEAPS
            drawn = hamiltonian(target, start, step, n, rng, sampling)
    warm_up = int(WARM_UP * len(drawn.path))
    first = drawn.path[warm_up:, 0]  # (kept, B)
    tick(0.8)
    rho = autocovariance((first[:, :CALIBRATING] - target.mean[0]).T).mean(axis=0)
    rho *= len(first) / np.arange(len(first), 0, -1) / rho[0]
    tau, window = geyer(rho)
    counts = np.unique(np.geomspace(1, len(first), 25).astype(int))
    errors = np.cumsum(first[:, CALIBRATING:many], axis=0)[counts - 1].T / counts - target.mean[0]
    tick(0.85)
    swept = first[:, many:].T.reshape(len(SWEPT), SWEEP_CHAINS, -1)
    worth = np.array([effective_size(c) for c in swept]) / (SWEEP_CHAINS * len(first))  # of one draw
    swept_ess = 1000 * worth / (1 if settings.sampler == "MH" else LEAPS)
    acceptance = drawn.accepted[warm_up:].mean(axis=0)
    tick(0.9)
    far = two_modes(APART)
    left = rng.standard_normal((2, CROSSING_CHAINS)) - [[APART], [0.0]]
    crossing = metropolis(far, left, np.ones(CROSSING_CHAINS), CROSSING_STEPS, rng).path[:, 0].T > 0
    seen = slice(0, MOST_CHAINS)
    return Drawn(
        target, Chains(drawn.path[..., seen].copy(), drawn.accepted[:, seen].copy(), drawn.tried),
        rho[: max(window, 100)].copy(), tau, window, acceptance[:many].copy(), counts, errors,
        acceptance[many:].reshape(len(SWEPT), -1).mean(axis=1), swept_ess, crossing.astype(float),
        _fit(_plain(settings, "draws", "step", "sampler")),
    )  # fmt: skip


@lru_cache(maxsize=32)
def _fit(settings: Settings) -> Array:
    """The mean-field fit from where the first chain starts. Remembered: no chain's length changes it."""
    _, target, start, _ = _begin(settings)
    return fit_mean_field(
        target, start[:, 0], np.sqrt(np.diag(target.cov)) if not target.mode else np.ones(2)
    )


# Chains drawn before: showing fewer or more of them draws none anew. 0.5 to 1.5 MB each.
_drawn: dict[Settings, Drawn] = {}


def run(settings: Settings, tick: Tick = no_tick) -> Result:
    """Run all chains, and pick those that are shown."""
    needed = _needed(settings)
    all_ = remembered(_drawn, needed, 2, lambda: _draw(needed, tick))
    chains, n = all_.chains, len(all_.chains.path)
    warm_up, seen, m = int(WARM_UP * n), slice(0, settings.chains), min(n, SHOWN_STEPS)
    shown = chains.path[warm_up:, 0, seen].T
    partial = Result(
        settings, all_.target, warm_up, np.moveaxis(chains.path[..., seen], 2, 0).copy(),
        chains.accepted[:, seen].T.copy(), np.moveaxis(chains.tried[:m, :, seen], 2, 0).copy(),
        effective_size(shown), r_hat(shown), all_.rho, all_.tau, all_.window, all_.acceptance, all_.counts,
        all_.errors, all_.swept_acceptance, all_.swept_ess, all_.other_mode, all_.fit, fit_reference(), {},
    )  # fmt: skip
    partial.summary.update(_summary(partial))
    tick(1.0)
    return partial


def theory(result: Result, step: Array) -> tuple[Array, Array]:
    """Exact acceptance, and the bound on effective draws per draw, at steps (S,); NaN where unknown."""
    unknown = np.full(len(step), nan)
    if result.target.mode:
        return unknown, unknown
    if result.settings.sampler == "HMC":
        return hamiltonian_theory(result.target, step), unknown
    acceptance, lag_1 = metropolis_theory(result.target, step)
    return acceptance, (1 - lag_1) / (1 + lag_1)


def _summary(result: Result) -> dict[str, float]:
    kept, exact = result.path[:, result.warm_up :], np.sqrt(np.diag(result.target.cov))
    acceptance, _ = theory(result, np.array([result.settings.step]))
    finite = np.nan_to_num(result.swept_ess)
    mean, sd = kept[..., 0].mean(), exact[0]
    edge = 2 / sqrt(np.linalg.eigvalsh(result.target.precision)[-1])  # for leapfrog; in each mode, for two
    return {
        "acceptance": float(result.accepted[:, result.warm_up :].mean()),
        "acceptance_predicted": float(acceptance[0]),
        "draws_kept": kept.shape[0] * kept.shape[1],
        "ess": result.ess,
        "r_hat": result.r_hat,
        "mean": float(mean),
        "mean_exact": float(result.target.mean[0]),
        "error_over_predicted": float(abs(mean - result.target.mean[0]) * sqrt(result.ess) / sd),
        "sd_chain": float(kept[..., 0].std()),
        "sd_exact": float(sd),
        "sd_mean_field": float(result.fit[-1, 3]),
        "kl_mean_field": float(result.fit[-1, 0]),
        "edge_of_stability": float(edge) if result.settings.sampler == "HMC" else nan,
        "best_step": float(10 ** SWEPT[finite.argmax()]),
        "best_ess_per_1000": float(finite.max()),
        "right_share": float(np.mean(kept[..., 0] > 0)) if result.target.mode else nan,
    }


# --- Theory against measurement -----------------------------------------------------------------------


def claims(result: Result) -> list[Claim]:
    """What a chain's mean is worth, and how much mean-field VI leaves out."""
    return [_sampling(result), _mean_field(result)]


def _unmet(result: Result) -> str:
    """Why the law of the error cannot be asked for at these settings, if so."""
    kept = result.path.shape[1] - result.warm_up
    if not result.acceptance.any():
        return "no proposal was accepted: the step is too large"
    if not result.tau < kept / ENOUGH:
        return (
            f"a chain is worth fewer than {ENOUGH} draws: it has not mixed, and its ESS is no number to trust"
        )
    if result.tau < 4 * sqrt(2 * (2 * result.window + 1) / (CALIBRATING * kept)):
        return "draws alternate so well that their correlations cancel: the sum cannot be told from 0"
    return ""


def _sampling(result: Result) -> Claim:
    sd, kept = sqrt(result.target.cov[0, 0]), int(result.counts[-1])
    predicted = sd * sqrt(max(result.tau, 0) / kept)
    window, many = result.window, len(result.errors)
    spread = sqrt(1 / (2 * many) + (2 * window + 1) / (2 * CALIBRATING * kept))
    unseen = crossing_bound(APART, 1.0, result.other_mode.size)
    also = [
        Check(what="the shown chains' mean, given their ESS", measured=result.summary["mean"],
              predicted=result.target.mean[0],
              **contract.four_standard_errors(sd / sqrt(result.ess), "sd/√ESS")),
        Check(what=f"share of {result.other_mode.size:,} steps in the other of two modes at ±10",
              predicted=0.0, measured=float(result.other_mode.mean()), tolerance=0.0,
              rule=f"exact; half the mass is there, and any chain crosses with chance below {unseen:.0e}"),
        *_of_a_gaussian(result, kept),
    ]  # fmt: skip
    return Claim(
        id="2.4-mcmc-01",
        statement=r"A chain that mixes errs by $\mathrm{sd}/\sqrt{\mathrm{ESS}}$, not "
        rf"$\mathrm{{sd}}/\sqrt{{n}}$ (here {kept:,} draws are worth {kept / max(result.tau, 1e-9):,.0f}); "
        "of two modes at ±10 it finds one.",
        often_taught="MCMC is the gold standard: run it long enough and you have the exact posterior.",
        text_verdict="conditional",
        predicted=predicted,
        measured=float(np.sqrt(np.mean(result.errors[:, -1] ** 2))),
        **contract.four_standard_errors(
            predicted * spread, f"predicted·√(1/(2·{many}) + (2·{window}+1)/(2·{CALIBRATING}·n))"
        ),
        also=tuple(also),
        unmet=_unmet(result),
        reason="Neighbouring draws repeat each other, and no number of them tells of a place never visited.",
    )


def _of_a_gaussian(result: Result, kept: int) -> list[Check]:
    """What is known exactly where the target is one Gaussian: acceptance, and MH's most effective draws."""
    acceptance, most = (float(v[0]) for v in theory(result, np.array([result.settings.step])))
    if result.target.mode:
        return []
    many = len(result.acceptance)
    counted = sqrt(max(acceptance * (1 - acceptance), 0) / (many * kept))
    error = max(float(result.acceptance.std(ddof=1)) / sqrt(many), counted)
    checks = [
        Check(what="share of proposals accepted", predicted=acceptance,
              measured=float(result.acceptance.mean()),
              **contract.four_standard_errors(error, f"sd over {many} chains/√{many}"))
    ]  # fmt: skip
    if result.settings.sampler == "MH":
        worth = 1 / result.tau if result.tau > 0 else nan
        noise = worth * sqrt(2 * (2 * result.window + 1) / (CALIBRATING * kept))
        checks.append(
            Check(what="effective draws per draw, at most (1 − ρ₁)/(1 + ρ₁)", predicted=most, measured=worth,
                  relation="<=", **contract.four_standard_errors(noise, "√(2(2W+1)/(32 n))·ESS/n"))
        )  # fmt: skip
    return checks


def _mean_field(result: Result) -> Claim:
    target, (kl, *_, sd_1, sd_2) = result.target, result.fit[-1]
    cov = target.cov
    rho = cov[0, 1] / sqrt(cov[0, 0] * cov[1, 1])
    share = 1 - rho**2
    ring = ellipse(np.zeros(2), np.diag([sd_1**2, sd_2**2]))
    furthest = float(np.sqrt((ring * (target.precision @ ring)).sum(axis=0)).max())
    also = [
        Check(what="variance of the second", predicted=share * cov[1, 1], measured=sd_2**2,
              **contract.identity(cov[1, 1])),
        Check(what="unit variances at ρ = 0.9", predicted=1 - 0.9**2, measured=float(result.fit_reference[0]),
              **contract.identity()),
        Check(what="KL(q‖p) that is left, −½ ln(1 − ρ²)", predicted=-log(share) / 2, measured=kl,
              **contract.identity()),
        Check(what="reaches √(1 + |ρ|) times as far across the ridge", predicted=sqrt(1 + abs(rho)),
              measured=furthest, tolerance=sqrt(1 + abs(rho)) * (1 - np.cos(pi / RING)),
              rule=f"the ring has {RING} corners: cos(π/{RING})"),
    ]  # fmt: skip
    if (result.settings.target, result.settings.pair, result.settings.noise) == ("regression", "s1, s2", 0.8):
        found = {"mean-field": sd_1, "posterior": sqrt(cov[0, 0])}
        also += [
            Check(what=f"sd of the weight of s1, {kind}", predicted=KNOWN_SD[kind], measured=found[kind],
                  **contract.rounded(4)) for kind in KNOWN_SD
        ]  # fmt: skip
    return Claim(
        id="2.4-vi-01",
        statement=r"Mean-field VI keeps $1/\Lambda_{ii} = (1 - \rho^2)\,\Sigma_{ii}$ of a variance "
        f"(here ρ = {number(round(rho, 3))}: {share:.1%} of it), its spread with the other held fixed.",
        predicted=share * cov[0, 0],
        measured=sd_1**2,
        **contract.identity(cov[0, 0]),
        also=tuple(also),
        unmet="the formula is for one Gaussian" if target.mode else "",
        reason="KL(q‖p) punishes mass where p has little, so an upright q shrinks until it fits the ridge.",
    )


# --- Tables -------------------------------------------------------------------------------------------

RING = 96  # corners of an ellipse


def ellipse(mean: Array, cov: Array, radius: float = 1.0) -> Array:
    """Points (2, 97) of the closed ellipse ``radius`` standard deviations from the mean."""
    angle = 2 * pi * np.arange(RING + 1) / RING
    return mean[:, None] + radius * np.linalg.cholesky(cov) @ np.stack([np.cos(angle), np.sin(angle)])


def rings(result: Result) -> pd.DataFrame:
    """Ellipses one and two standard deviations out: of the target, and of the mean-field Gaussian."""
    target, fit = result.target, result.fit[-1]
    unit = np.linalg.inv(target.precision)
    centres = [np.array([s * target.mode, 0.0]) for s in (-1, 1)] if target.mode else [target.mean]
    drawn = [("theory", c, unit) for c in centres] + [("violation", fit[1:3], np.diag(fit[3:] ** 2))]
    each = [(f"{kind} {i} {radius}", kind, ellipse(c, v, radius))
            for i, (kind, c, v) in enumerate(drawn) for radius in (1, 2)]  # fmt: skip
    names, kinds, corners = zip(*each, strict=True)
    x, y = np.concatenate(corners, axis=1)
    return pd.DataFrame({
        "x": x, "y": y, "kind": np.repeat(kinds, RING + 1), "ring": np.repeat(names, RING + 1),
        "corner": np.tile(np.arange(RING + 1), len(each)),
    })  # fmt: skip


def tables(result: Result) -> dict[str, pd.DataFrame]:
    """Tidy tables: the sweep over steps, the walk, rings, traces, autocorrelation, errors, VI, methods."""
    chains, n, _ = result.path.shape
    steps = 10**SWEPT
    acceptance, bound = theory(result, steps)
    kept, sd = result.path[:, result.warm_up :], np.sqrt(np.diag(result.target.cov))
    with np.errstate(divide="ignore"):
        log_ess = np.where(result.swept_ess > 0, np.log10(result.swept_ess), nan)
    m = result.tried.shape[1]
    walk = pd.concat(
        pd.DataFrame({
            "chain": c + 1, "draw": np.arange(1, m + 1),
            "x": result.path[c, :m, 0], "y": result.path[c, :m, 1],
            "tried_x": result.tried[c, :, 0], "tried_y": result.tried[c, :, 1],
            "accepted": result.accepted[c, :m],
        }) for c in range(chains)
    )  # fmt: skip
    each = [(c, t) for c in range(chains) for t in np.unique(np.linspace(0, n - 1, 600).astype(int))]
    c, t = np.array(each).T
    cloud = pd.DataFrame({
        "chain": c + 1, "draw": t + 1, "x": result.path[c, t, 0], "y": result.path[c, t, 1],
        "warm_up": t < result.warm_up,
    })  # fmt: skip
    lags = np.arange(min(len(result.correlation), kept.shape[1] // 2))
    lags = lags[:: len(lags) // 200 + 1]
    own = [_own_correlation(kept[c, :, 0]) for c in range(chains)]
    return {
        "sweep": pd.DataFrame({
            "log10_step": SWEPT, "step": steps,
            "acceptance": result.swept_acceptance, "predicted": acceptance,
            "ess_per_1000": result.swept_ess, "log10_ess": log_ess, "log10_bound": np.log10(1000 * bound),
        }),
        "walk": walk, "cloud": cloud, "rings": rings(result),
        "autocorrelation": pd.concat(
            pd.DataFrame({"chain": c + 1, "lag": lags, "correlation": own[c][lags]}) for c in range(chains)
        ),
        "errors": pd.DataFrame({
            "log10_draws": np.log10(result.counts),
            "measured": np.log10(np.sqrt((result.errors**2).mean(axis=0))),
            "predicted": np.log10(sd[0] * np.sqrt(max(result.tau, 1e-9) / result.counts)),
            "if_independent": np.log10(sd[0] / np.sqrt(result.counts)),
        }),
        "fit": pd.DataFrame(result.fit[:16], columns=["kl", "mean_1", "mean_2", "sd_1", "sd_2"]).assign(
            iteration=range(min(len(result.fit), 16)),
            log10_kl=np.log10(np.maximum(result.fit[:16, 0], 1e-12)),
        ),
        "methods": pd.DataFrame({
            "coordinate": [1, 2, 1, 2, 1, 2], "method": np.repeat(["exact", "chains", "mean-field"], 2),
            "mean": [*result.target.mean, *kept.mean(axis=(0, 1)), *result.fit[-1, 1:3]],
            "sd": [*sd, *kept.std(axis=(0, 1)), *result.fit[-1, 3:]],
        }),
    }  # fmt: skip


def _own_correlation(series: Array) -> Array:
    """Autocorrelation (n,) of one chain about its own mean; NaN where it never moves."""
    covariance = autocovariance(series - series.mean())
    return covariance / covariance[0] if np.ptp(series) > 0 else np.full(len(series), nan)


# --- Predict, then see --------------------------------------------------------------------------------

CHALLENGES = (
    Challenge(
        prompt="Two weights of standard deviation 1 and correlation 0.9: which sd does mean-field VI report?",
        options=(),
        settings={"target": "correlation 0.9", "step": 1.0},
        answer=lambda result: float(result.fit[-1, 3]),
        why="√(1 − 0.9²): the spread of one weight once the other is known. VI calls itself twice as sure.",
    ),
    Challenge(
        prompt="The posterior is 0.095 wide. What share of MH's proposals is accepted at step 1 (0 to 1)?",
        options=(),
        settings={},
        answer=lambda result: float(result.swept_acceptance[np.flatnonzero(SWEPT == 0)[0]]),
        curve=("sweep", "step", "acceptance"),
        at=1.0,
        why="Nearly every jump lands where the posterior is empty, so the chain stands still.",
    ),
    Challenge(
        prompt="Two modes at ±10; both chains start in the left one. What does R̂ say after 5,000 draws?",
        options=("about 1: all is well", "well above 1: do not trust this"),
        settings={"target": "two modes", "step": 1.0, "starts": "together"},
        answer=lambda result: (
            "about 1: all is well" if result.r_hat < 1.05 else "well above 1: do not trust this"
        ),
        why="The chains agree, on the half that both have seen. Start them apart and R̂ cries out.",
    ),
)
