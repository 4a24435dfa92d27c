r"""**When does the divergence cover both modes, and when does it choose one?**

You fit one bell curve $q$ to a target $p$ with two humps. The Kullback-Leibler divergence can be read in two
directions, and they want different things. Move the humps apart and watch one fit stretch over both, and the
other let go of one of them, all at once.

$$
D(p \,\|\, q) = \int p \ln \frac{p}{q}
$$

$$
H(p, q) = H(p) + D(p \,\|\, q)
$$

- $D(p\|q)$, **forward**: the average is over the target, so $q$ must be present wherever $p$ is
- $D(q\|p)$, **reverse**: the average is over the fit, so $q$ must stay away from where $p$ is not
- $H(p,q)$: the **cross-entropy**, what it costs to code $p$ with a code made for $q$

The forward fit matches moments. For unit humps $s$ apart with equal weights:

$$
\mathbb{E}_q x = \mathbb{E}_p x, \qquad \sigma^2 = 1 + \frac{s^2}{4}
$$

The reverse fit $q = N(m, \sigma^2)$ has no such formula, only two conditions, with $f = \ln p$:

$$
\mathbb{E}_q f' = 0, \qquad -\mathbb{E}_q f'' = \frac{1}{\sigma^2}
$$

The second says more than it seems. The curvature of $D(q\|p)$ along $m$ is $-\mathbb{E}_q f''$, so at every
such point it is $1/\sigma^2$, which is positive. The covering fit of two equal humps therefore never slides
off to one side. It stays a minimum, and a mode has to win by being lower. A fit on a hump of weight $w$ pays
at most $-\ln w$; covering pays for the valley between, and that bill grows with $s$. With $\sigma$ at its
best it is

$$
D_{\text{cover}} \approx \tfrac12\left(\sigma^2 - 2c\sigma + \tfrac{s^2}{4} - 1\right)
$$

$$
{} + \ln\frac{2}{\sigma} - \frac{k}{\sigma}
$$

$$
c = \frac{s}{\sqrt{2\pi}}, \quad
k = \frac{\pi^2}{6 s \sqrt{2\pi}}
$$

It passes the price of a hump, about $\ln 2$, at $s \approx 5.6$.

Between two Gaussians both directions have a closed form; a variational autoencoder pays the first of these
for each code $q = N(\mu, \sigma^2)$ against its prior $N(0, 1)$:

$$
D(q\|p) = \tfrac12\left(\mu^2 + \sigma^2 - 1 - \ln \sigma^2\right)
$$

$$
D(p\|q) = \tfrac12\left(\frac{1 + \mu^2}{\sigma^2} - 1 + \ln \sigma^2\right)
$$

**What to try.** Put the separation at 5.2 and start once at a mode, once at the centre: two ends, and the
mode is the worse one. Give the right hump a weight of 0.7 or a width of 2. Read only 100 letters of a text
and ask what it costs to code the rest.

**What surprises.** "Reverse KL picks one mode" is false for humps that any eye tells apart: up to 5.6
standard deviations covering is the better fit, and up to 4.8 it is the only one.

*References.* S. Kullback and R. Leibler (1951), On information and sufficiency. M. Opper and C. Archambeau
(2009), The variational Gaussian approximation revisited, for the two conditions. T. Minka (2005), Divergence
measures and message passing. D. Kingma and M. Welling (2014), Auto-encoding variational Bayes. G. Hinton,
O. Vinyals and J. Dean (2015), Distilling the knowledge in a neural network. D. Ziegler and others (2019),
Fine-tuning language models from human preferences. M. Pinsker (1964) for the bound $D \ge \frac12
\|P - Q\|_1^2$. Data: E. Anderson and R. A. Fisher (1936), petals of irises; the data-set descriptions of
scikit-learn as English text.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from math import inf, log, nan, pi, sqrt
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, rel_entr

from lab import contract
from lab.contract import (
    Array,
    Challenge,
    Check,
    Claim,
    Relation,
    Tick,
    Tolerance,
    control,
    no_tick,
    seed_control,
)
from lab.data import english, iris, letters

STEP = 0.2  # of the separations
SEPARATIONS = np.round(np.arange(51) * STEP, 10)
STARTS = ("centre", "right", "left")
Z = np.arange(-384, 385) / 48  # nodes in standard deviations of the fit, ±8
Z_WEIGHT = np.exp(-(Z**2) / 2) / sqrt(2 * pi) / 48  # trapezoid rule: exact to rounding for smooth integrands
LATTICE = np.linspace(-8.5, 8.5, 1025)  # in standard deviations of the target: the descents integrate here
REACH = 0.3  # longest step of a descent, in standard deviations: it must not leap into another basin
X = np.arange(-88, 89) / 8  # where densities are drawn
DRAWS = 100_000
PAIRS, SYMBOLS = 1000, 8
SHIFTS = (0.2, 1.0, 2.53)
OBSERVED = 2.0  # x of the model z ~ N(0, 1), x | z ~ N(z, 1); its posterior is N(1, 1/2)
BANDWIDTH = 0.25  # cm, of the density of petal lengths
GAP = 2.5  # cm; no petal is between 1.9 and 3.0
BETAS = np.array([0.2, 0.3, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0])
ALPHABET = " abcdefghijklmnopqrstuvwxyz"
VOWEL = np.array([letter in "aeiou" for letter in ALPHABET], dtype=float)
DIFFERENCE = 1e-4  # step of the numerical gradient


class Settings(contract.Settings):
    """What you can turn."""

    separation: float = control(
        6.0, "Separation s", ge=0, le=10, step=STEP, help="Distance between the humps, in left widths."
    )
    weight: float = control(
        0.5, "Weight of the right hump w", ge=0.1, le=0.9, step=0.05, help="The left one has the rest."
    )
    width: float = control(
        1.0, "Width of the right hump", ge=0.5, le=2, step=0.1, help="Its standard deviation; left: 1."
    )
    start: Literal["mode", "centre"] = control(
        "mode", "Start of the reverse fit", help="On the right hump, or at the forward fit."
    )
    mu: float = control(1.0, "Code mean μ", ge=-3, le=3, step=0.1, help="Of the code q of an autoencoder.")
    sigma: float = control(
        0.5, "Code width σ", ge=0.1, le=3, step=0.1, help="Standard deviation of q; the prior has 1."
    )
    read: int = control(
        300, "Letters read", ge=20, le=20_000, log=True, help="How much of the text the code was made from."
    )
    seed: int = seed_control()


class Target(NamedTuple):
    """Gaussian mixtures, one a row: weights, means and standard deviations (n, C)."""

    weight: Array
    mean: Array
    sd: Array


class Sweep(NamedTuple):
    """Fits at every separation; reverse ones from each of STARTS."""

    centre: Array  # (51, 3)
    sd: Array  # (51, 3)
    kl: Array  # (51, 3) D(q‖p) in nats
    forward_centre: Array  # (51,)
    forward_sd: Array  # (51,)
    forward_kl: Array  # (51,) D(p‖q) in nats


@dataclass(frozen=True)
class Result:
    """Everything the charts, the claims and the tests need."""

    settings: Settings
    sweep: Sweep  # of your target
    even: Sweep  # of equal weights and widths
    even_crossing: float  # separation at which a mode gets as good as covering, equal weights and widths
    even_curvature: Array  # (51,) σ² times that of D(q‖p) along the mean, at the fits from the centre
    crossing: float  # the same for your target; NaN where there is no such jump
    path: Array  # (t, 2) centre and sd along the descent from your start
    means: Array  # (91,) of the surface
    sds: Array  # (61,)
    reverse_surface: Array  # (61, 91) D(q‖p)
    forward_surface: Array  # (61, 91) D(p‖q)
    basin: Array  # (61, 91) which optimum a descent from here ends in
    optima: Array  # (k, 3) centre, sd, D(q‖p), lowest first
    forward_minima: int  # counted on the surface
    drawn_moments: Array  # (2,) mean and sd of draws from your target
    pairs: Array  # (2, 1000, 8) Dirichlet pairs
    shifted: Array  # (3, 2) both directions for the SHIFTS of a unit Gaussian, integrated
    triangle: Array  # (3,) D between Gaussians shifted by 0 and 1, 1 and 2, 0 and 2, integrated
    codes: Array  # (2,) D(q‖p) and D(p‖q) of your code, averaged over draws
    ties: Array  # (30, 7) D(q‖p) − D(p‖q) over σ and μ, integrated
    noise: Array  # (2, 2) mean of ε and ε² of the two sets of draws
    bound: Array  # (3,) ELBO of your code; at the exact posterior; the same with the forward term
    letter_share: Array  # (2, 27) of the whole text, of what was read
    letter_cost: float  # bits a letter: what was read, coded letter by letter with the whole text's code
    reading: Array  # (24, 3) letters read, D(read‖whole), D(whole‖read) in bits
    petals: Sweep  # (1, 3) rows: fits to the petal lengths, from centre, long and short
    vowels: Array  # (2, 8) share of vowels of the best policy at each of BETAS: D(π‖ref), D(ref‖π) as penalty
    rewards: Array  # (8,) reward less penalty reached with D(π‖ref)
    distilled: Array  # (2, 27) numerical gradient of D(T‖S), and student minus teacher
    summary: dict[str, float]


# --- The mathematics ----------------------------------------------------------------------------------


def two_humps(separation: Array, weight: float, width: float) -> Target:
    """Targets (n, 2): humps at ∓s/2, the left one of width 1, the right one of your weight and width."""
    s = np.atleast_1d(separation)
    ones = np.ones_like(s)
    return Target(
        np.stack([(1 - weight) * ones, weight * ones], 1), np.stack([-s / 2, s / 2], 1),
        np.stack([ones, width * ones], 1),
    )  # fmt: skip


def repeated(target: Target, times: int) -> Target:
    """Each target of the rows that many times in a row."""
    return Target(*(np.repeat(part, times, axis=0) for part in target))


def log_parts(x: Array, target: Target) -> Array:
    """ln of weight times density of each component at x (n, K): (n, C, K)."""
    weight, mean, sd = (part[:, :, None] for part in target)  # (n, C, 1)
    away = (x[:, None, :] - mean) / sd
    return np.log(weight / sd) - 0.5 * log(2 * pi) - 0.5 * away**2


def log_density(x: Array, target: Target) -> Array:
    """$f = ln p$ at x (n, K), stable far out."""
    logs = log_parts(x, target)
    top = logs.max(axis=1)
    return top + np.log(np.exp(logs - top[:, None]).sum(axis=1))


def log_slopes(x: Array, target: Target) -> tuple[Array, Array]:
    """The first two derivatives of ln p at x (n, K).

    With responsibilities r and slopes d = (μ − x)/σ² of the components: $f' = Σ r d$ and
    $f'' = Σ r (d² − 1/σ²) − f'²$.
    """
    logs = log_parts(x, target)
    share = np.exp(logs - logs.max(axis=1)[:, None])
    share /= share.sum(axis=1)[:, None]
    mean, sd = target.mean[:, :, None], target.sd[:, :, None]
    slope = -((x[:, None, :] - mean) / sd) / sd
    first = np.sum(share * slope, axis=1)
    return first, np.sum(share * (slope**2 - sd**-2), axis=1) - first**2


def density(x: Array, target: Target) -> Array:
    """p at x (n, K)."""
    return np.exp(log_density(x, target))


def normal(x: Array, mean: Array | float, sd: Array | float) -> Array:
    """Density of N(mean, sd²)."""
    return np.exp(-(((x - mean) / sd) ** 2) / 2) / (sd * sqrt(2 * pi))


def reverse_kl(mean: Array, sd: Array, target: Target) -> Array:
    """D(q‖p) in nats (n,): minus the entropy of q, minus the mean of ln p over q."""
    f = log_density(mean[:, None] + sd[:, None] * Z, target)
    return -np.log(sd) - 0.5 * log(2 * pi * np.e) - f @ Z_WEIGHT


def lattice_of(target: Target) -> tuple[Array, Array, Array]:
    """Points x (n, J) over the target and the two derivatives of ln p there, times the spacing."""
    mean, sd = (part[:, None] for part in moments(target))
    x = mean + sd * LATTICE
    first, second = log_slopes(x, target)
    spacing = sd * (LATTICE[1] - LATTICE[0])
    return x, first * spacing, second * spacing


def reverse_slopes(mean: Array, sd: Array, x: Array, first: Array, second: Array) -> tuple[Array, Array]:
    """Gradient (n, 2) and Hessian (n, 2, 2) of D(q‖p), for a step of m in units of sd and one of ln sd.

    With x = m + σz the derivatives fall on f: $∂_m = -E f'$ and $∂_{ln σ} = -1 - E[σ z f']$.
    """
    z = (x - mean[:, None]) / sd[:, None]
    q = np.exp(z**2 / -2) / sqrt(2 * pi)  # σ times the density: the units of the step
    f1, f2 = q * first, q * second * sd[:, None]
    f2z = f2 * z
    one, two = f1.sum(axis=1), np.einsum("nj,nj->n", f1, z)
    level, tilt, bend = f2.sum(axis=1), f2z.sum(axis=1), np.einsum("nj,nj->n", f2z, z)
    gradient = np.stack([-one, -1 - two], 1)
    return gradient, -np.stack([np.stack([level, tilt], 1), np.stack([tilt, two + bend], 1)], 1)


def nodes_of(target: Target) -> tuple[Array, Array]:
    """Nodes (n, CK) and weights that integrate over the target itself; of many parts, fewer each."""
    weight, mean, sd = (part[:, :, None] for part in target)
    every = 2 if mean.shape[1] == 2 else 8
    nodes, weights = mean + sd * Z[::every], weight * Z_WEIGHT[::every] * every
    return nodes.reshape(len(nodes), -1), weights.reshape(len(nodes), -1)


def forward_slopes(mean: Array, sd: Array, nodes: Array, weights: Array) -> tuple[Array, Array]:
    """Gradient and Hessian of D(p‖q) in the same units; only ln q moves with m and σ."""
    away = (nodes - mean[:, None]) / sd[:, None]
    one, two = np.sum(weights * away, axis=1), np.sum(weights * away**2, axis=1)
    gradient = np.stack([-one, 1 - two], 1)
    ones = np.ones_like(one)
    return gradient, np.stack([np.stack([ones, 2 * one], 1), np.stack([2 * one, 2 * two], 1)], 1)


def forward_kl(mean: Array, sd: Array, target: Target) -> Array:
    """D(p‖q) in nats (n,), integrated over the target."""
    nodes, weights = nodes_of(target)
    log_q = -(((nodes - mean[:, None]) / sd[:, None]) ** 2) / 2 - np.log(sd[:, None] * sqrt(2 * pi))
    return np.sum(weights * (log_density(nodes, target) - log_q), axis=1)


def descend(slopes: Callable[..., tuple[Array, Array]], mean: Array, sd: Array, *data: Array) -> Array:
    """Newton's method with short steps, always downhill: centre and sd (t, 2, n) after each step.

    Steps against the gradient, divided by the size of the curvature in each eigen-direction, whatever its
    sign, and never longer than ``REACH``. Fits that have arrived are left alone.
    """
    place = np.stack([mean, np.log(sd)]).astype(float)  # (2, n)
    path, going = [place.copy()], np.arange(len(mean))
    while len(going) and len(path) < 100:
        m, s = place[0, going], np.exp(place[1, going])
        gradient, hessian = slopes(m, s, *data)
        curvature, axes = np.linalg.eigh(hessian)
        along = np.einsum("nij,ni->nj", axes, gradient) / np.maximum(np.abs(curvature), 1e-3)
        step = -np.einsum("nij,nj->ni", axes, along)
        length = np.linalg.norm(step, axis=1)
        step *= np.minimum(1, REACH / np.maximum(length, 1e-300))[:, None]
        place[:, going] += np.stack([s * step[:, 0], step[:, 1]])
        path.append(place.copy())
        on = length > 1e-11
        if not on.all():
            going, data = going[on], tuple(part[on] for part in data)
    steps = np.stack(path)
    return np.stack([steps[:, 0], np.exp(steps[:, 1])], axis=1)


def fit_reverse(mean: Array, sd: Array, target: Target) -> Array:
    """The descent of D(q‖p) from each start (t, 2, n); several starts for each row of the target will do."""
    times = len(mean) // len(target.weight)
    return descend(reverse_slopes, mean, sd, *(np.repeat(part, times, axis=0) for part in lattice_of(target)))


def fit_forward(target: Target) -> Array:
    """Centre and sd (2, n) of the lowest D(p‖q), by the same descent from N(0, 1)."""
    n = len(target.weight)
    return descend(forward_slopes, np.zeros(n), np.ones(n), *nodes_of(target))[-1]


def moments(target: Target) -> tuple[Array, Array]:
    """Mean and standard deviation of mixtures (n,): the forward fit, in closed form."""
    mean = np.sum(target.weight * target.mean, axis=1)
    second = np.sum(target.weight * (target.mean**2 + target.sd**2), axis=1)
    return mean, np.sqrt(second - mean**2)


def gaussian_kl(mu: Array | float, sigma: Array | float) -> tuple[Array, Array]:
    """D(q‖p) and D(p‖q) in nats for q = N(μ, σ²), p = N(0, 1)."""
    mu, variance = np.asarray(mu, float), np.asarray(sigma, float) ** 2
    reverse = (mu**2 + variance - 1 - np.log(variance)) / 2
    return reverse, ((1 + mu**2) / variance - 1 + np.log(variance)) / 2


def integrated_kl(mean_p: ArrayLike, sd_p: ArrayLike, mean_q: ArrayLike, sd_q: ArrayLike) -> Array:
    """D(p‖q) between Gaussians by the trapezoid rule over p; arrays broadcast."""
    parts = np.broadcast_arrays(mean_p, sd_p, mean_q, sd_q)
    mean_p, sd_p, mean_q, sd_q = (part[..., None].astype(float) for part in parts)
    away = (mean_p + sd_p * Z - mean_q) / sd_q
    value: Array = (np.log(sd_q / sd_p) + (away**2 - Z**2) / 2) @ Z_WEIGHT
    return value


# --- The theory of the crossing, for equal weights and unit widths ------------------------------------


@lru_cache(maxsize=256)
def cover_kl(s: float) -> tuple[float, float]:
    """D(q‖p) of the covering fit of humps s apart, and a bound of what is neglected.

    ln p is that of the nearer hump plus ln(1 + e^{-s|x|}); q is flat where that matters, within 1/s of 0.
    """
    c, k = s / sqrt(2 * pi), pi**2 / (6 * s * sqrt(2 * pi))
    roots = np.roots([1, -c, -1, k])  # of the slope in σ, times σ²
    sd = float(roots.real[np.abs(roots.imag) < 1e-9].max())
    value = (sd**2 - 2 * c * sd + s**2 / 4 - 1) / 2 + log(2 / sd) - k / sd
    return value, 7 * pi**4 / 360 / s**3 / (sd**3 * sqrt(2 * pi))


def mode_kl(s: float) -> tuple[float, float]:
    """D(q‖p) of a fit on one hump, ln 2 less what the other lends, and the size of what is neglected.

    The other hump lends 2πφ(s/2)/s. Neglected: that q bends there, and that the fit leans over. The lean
    gains ½g_m² + ¼g_τ², with the slopes g_m = πφ and g_τ = g_m s/2 and the curvatures 1 and 2 of one hump.
    """
    there = float(normal(np.array(s / 2), 0, 1))
    curved = (pi**3 + 8 * pi) / s**3 * there
    lean = (pi * there) ** 2 * (0.5 + s**2 / 16)
    return log(2) - 2 * pi * there / s, curved + lean


@cache
def predicted_crossing() -> tuple[float, float]:
    """The separation at which both are equal, by halving, and what the neglected terms can move it."""
    low, high = 4.0, 8.0
    for _ in range(50):
        s = (low + high) / 2
        low, high = (s, high) if cover_kl(s)[0] < mode_kl(s)[0] else (low, s)
    ahead, behind = (cover_kl(t)[0] - mode_kl(t)[0] for t in (s + 0.01, s - 0.01))
    slope = (ahead - behind) / 0.02
    return s, (cover_kl(s)[1] + mode_kl(s)[1]) / slope


# --- Sweeps and surfaces ------------------------------------------------------------------------------


@lru_cache(maxsize=32)
def sweep_of(weight: float, width: float) -> Sweep:
    """All fits at all separations: they serve every other setting."""
    target = two_humps(SEPARATIONS, weight, width)
    (mean, sd), ones = moments(target), np.ones_like(SEPARATIONS)
    mean = np.stack([mean, target.mean[:, 1], target.mean[:, 0]], 1).ravel()  # (153,)
    sd = np.stack([sd, width * ones, ones], 1).ravel()
    return _fits(target, mean, sd)


def _fits(target: Target, mean: Array, sd: Array) -> Sweep:
    """The forward fit of each target, and the reverse ones from three starts each (3n,)."""
    (centre, width), (middle, spread) = fit_reverse(mean, sd, target)[-1], fit_forward(target)
    kl = reverse_kl(centre, width, repeated(target, 3))
    return Sweep(
        centre.reshape(-1, 3), width.reshape(-1, 3), kl.reshape(-1, 3), middle, spread,
        forward_kl(middle, spread, target),
    )  # fmt: skip


def best_of(sweep: Sweep) -> Array:
    """Which start found the lowest D(q‖p) (51,): the first of equals."""
    return np.round(sweep.kl, 10).argmin(axis=1)


def same_end(sweep: Sweep, a: int, b: int) -> NDArray[np.bool_]:
    """Whether two starts ended in one optimum (51,)."""
    gap = np.hypot(sweep.centre[:, a] - sweep.centre[:, b], sweep.sd[:, a] - sweep.sd[:, b])
    close: NDArray[np.bool_] = gap < 1e-3 * sweep.sd[:, a]
    return close


def crossing_of(sweep: Sweep) -> float:
    """The first separation at which a mode is as low as the fit from the centre; NaN without a jump."""
    rows = np.arange(len(SEPARATIONS))
    mode = 1 + np.round(sweep.kl[:, 1:], 10).argmin(axis=1)
    apart = ~np.where(mode == 1, same_end(sweep, 0, 1), same_end(sweep, 0, 2))
    gap = sweep.kl[:, 0] - sweep.kl[rows, mode]
    wins = np.flatnonzero(apart & (gap > 1e-9))
    if not len(wins):
        return nan
    i = wins[0]
    if i == 0 or not apart[i - 1]:
        return float(SEPARATIONS[i])
    return float(SEPARATIONS[i - 1] + STEP * gap[i - 1] / (gap[i - 1] - gap[i]))


@cache
def even_crossing() -> float:
    """The crossing for equal weights and widths, by the secant rule on fits from centre and mode."""
    low, high = 5.0, 6.0
    gap = {end: even_gap(end) for end in (low, high)}
    for _ in range(8):
        middle = high - gap[high] * (high - low) / (gap[high] - gap[low])
        if middle in gap:
            break
        gap[middle], low, high = even_gap(middle), high, middle
    return high


def even_gap(s: float) -> float:
    """D(q‖p) of covering less that of one hump, for equal weights and widths."""
    target = two_humps(np.array([s]), 0.5, 1.0)
    start = np.array([0.0, s / 2]), np.array([sqrt(1 + s**2 / 4), 1.0])
    mean, sd = fit_reverse(*start, target)[-1]
    cover, mode = reverse_kl(mean, sd, repeated(target, 2))
    return float(cover - mode)


def curvatures(sweep: Sweep) -> Array:
    """σ² times the curvature of D(q‖p) along the mean (51,), at the fits from the centre, equal humps."""
    mean, sd = sweep.centre[:, :1], sweep.sd[:, :1]
    second = log_slopes(mean + sd * Z, two_humps(SEPARATIONS, 0.5, 1.0))[1]
    return -(sd[:, 0] ** 2) * (second @ Z_WEIGHT)


def surfaces(target: Target, means: Array, sds: Array) -> tuple[Array, Array]:
    """D(q‖p) and D(p‖q) (61, 91) for one target.

    The mean of ln p over q is a sum over a window that slides with the mean: one product of matrices.
    """
    stride = int(np.ceil((means[1] - means[0]) / 0.05))
    h = (means[1] - means[0]) / stride
    half = int(np.ceil(8 * sds[-1] / h))
    y = np.arange(-half, half + 1) * h
    x = means[0] + np.arange(-half, half + stride * (len(means) - 1) + 1) * h
    f = log_density(x[None], target)[0]
    windows = sliding_window_view(f, len(y))[::stride]  # (91, J)
    mean_f = normal(y, 0, sds[:, None]) * h @ windows.T
    reverse = -np.log(sds)[:, None] - 0.5 * log(2 * pi * np.e) - mean_f
    nodes, weights = nodes_of(target)
    entropy = -float(np.sum(weights * log_density(nodes, target)))
    away = np.sum(weights * (nodes - means[:, None]) ** 2, axis=1)  # (91,)
    forward = -entropy + np.log(sds * sqrt(2 * pi))[:, None] + away / (2 * sds[:, None] ** 2)
    return reverse, forward


def downhill(surface: Array) -> Array:
    """The cell (61·91,) where steepest descent from each cell ends, always to the lowest neighbour."""
    rows, columns = surface.shape
    padded = np.pad(surface, 1, constant_values=inf)
    around = sliding_window_view(padded, (3, 3)).reshape(rows, columns, 9)
    step = around.argmin(axis=2)
    row, column = np.indices(surface.shape)
    to = ((row + step // 3 - 1) * columns + column + step % 3 - 1).ravel()
    for _ in range(8):  # doubles the length of the way each time
        to = to[to]
    return to


def basins_of(target: Target, means: Array, sds: Array, surface: Array) -> tuple[Array, Array]:
    """Which optimum each cell belongs to (61, 91), and the optima (k, 3): centre, sd, D(q‖p)."""
    end = downhill(surface)
    low, cell = np.unique(end, return_inverse=True)
    mean, sd = fit_reverse(means[low % len(means)], sds[low // len(means)], target)[-1]
    found = np.column_stack([mean, sd, reverse_kl(mean, sd, repeated(target, len(low)))])
    order = np.lexsort((-found[:, 0], np.round(found[:, 2], 9)))
    optima: list[Array] = []
    name = np.zeros(len(low), dtype=int)
    for i in order:
        near = [j for j, o in enumerate(optima) if np.hypot(*(found[i, :2] - o[:2])) < 1e-3 * o[1]]
        name[i] = near[0] if near else len(optima)
        if not near:
            optima.append(found[i])
    return name[cell].reshape(surface.shape), np.array(optima)


def stretch(y: Array, surface: Array, height: Array | float) -> tuple[Array, Array]:
    """Where each column of a surface (rows at y) is below a height: lowest and highest y, NaN if nowhere.

    Ends are interpolated to the next row; where that is another basin (NaN), they lie half-way. Of many
    heights (L,) there is a row each.
    """
    level = np.asarray(height)[..., None]
    inside = level[..., None] >= surface.T  # (..., columns, rows)
    columns, anywhere, ends = np.arange(surface.shape[1]), inside.any(axis=-1), []
    for way in (1, -1):
        values, rows = surface[::way], y[::way]
        first = inside[..., ::way].argmax(axis=-1)
        here, before = values[first, columns], values[np.maximum(first - 1, 0), columns]
        known = (first > 0) & ~np.isnan(before)
        share = np.where(known, (level - here) / np.where(known, before - here, 1), 0.5)
        end = rows[first] - share * (rows[1] - rows[0])
        ends.append(np.where(anywhere, np.clip(end, y[0], y[-1]), nan))
    return ends[0], ends[1]


# --- Letters, petals and policies ---------------------------------------------------------------------


@cache
def text_codes() -> Array:
    """The text as symbols 0 to 26: a space, then a to z."""
    raw = np.frombuffer(letters(english()).encode(), dtype=np.uint8).astype(int)
    codes = np.where(raw == ord(" "), 0, raw - ord("a") + 1)
    codes.flags.writeable = False
    return codes


def letter_shares(codes: Array) -> Array:
    """The share of each of 27 symbols."""
    return np.bincount(codes, minlength=27) / len(codes)


def entropy(p: Array) -> Array:
    """−Σ p ln p over the last axis."""
    return -np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0), axis=-1)


def cross_entropy(p: Array, q: Array) -> Array:
    """−Σ p ln q over the last axis, for q > 0."""
    return -np.sum(p * np.log(q), axis=-1)


def divergence(p: Array, q: Array) -> Array:
    """D(p‖q) = Σ p ln(p/q) in nats over the last axis: infinite where p has what q has not."""
    return np.sum(rel_entr(p, q), axis=-1)


@cache
def petal_target() -> Target:
    """The lengths of 150 petals, each a Gaussian of ``BANDWIDTH``: equal lengths are one component."""
    length, count = np.unique(iris()[0][:, 2], return_counts=True)
    return Target(count[None] / 150, length[None], np.full((1, len(length)), BANDWIDTH))


@cache
def petal_fits() -> Sweep:
    """Fits to the petal lengths, the reverse ones from the forward fit, the long and the short petals."""
    lengths = iris()[0][:, 2]
    groups = [lengths, lengths[lengths > GAP], lengths[lengths < GAP]]
    return _fits(petal_target(), *(np.array([f(g) for g in groups]) for f in (np.mean, np.std)))


@cache
def policies() -> tuple[Array, Array]:
    """Policies (8, 27) that earn most at each of BETAS, D(π‖ref) or D(ref‖π) being the penalty.

    One earns 1 for each vowel; the reference is the text. By natural-gradient steps on 27 logits.
    """
    ref, beta = letter_shares(text_codes()), BETAS[:, None]
    found = []
    for forward in (False, True):
        policy = ref + 0 * beta
        for _ in range(400 if forward else 60):
            if forward:
                step = (VOWEL + beta * ref / policy) / (0.5 + beta)
            else:
                step = (VOWEL - beta * np.log(policy / ref)) / (2 * beta)
            policy = policy * np.exp(step - step.max(axis=1, keepdims=True))
            policy /= policy.sum(axis=1, keepdims=True)
        found.append(policy)
    return found[0], found[1]


def best_vowel_share(share: float) -> tuple[Array, Array]:
    """What those policies give to vowels, in closed form (8,) each; v is the reference's share.

    With D(π‖ref): $π ∝ ref · e^{r/β}$. With D(ref‖π): $π = β ref / (λ - r)$, λ from Σ π = 1.
    """
    tilted = share * np.exp(1 / BETAS)
    level = (1 + BETAS + np.sqrt((1 + BETAS) ** 2 - 4 * BETAS * (1 - share))) / 2
    return tilted / (tilted + 1 - share), BETAS * share / (level - 1)


def distil(teacher: Array) -> Array:
    """Gradient of D(T‖S) in the student's logits by central differences, and S − T (2, 27)."""
    logits = np.log(teacher) / 2  # a student at twice the teacher's temperature
    moved = logits + DIFFERENCE * np.stack([np.eye(27), -np.eye(27)])  # (2, 27, 27)
    log_student = moved - np.log(np.sum(np.exp(moved), axis=2, keepdims=True))
    up, down = -log_student @ teacher  # D(T‖S) but for H(T), which does not move
    return np.stack([(up - down) / (2 * DIFFERENCE), np.exp(logits) / np.exp(logits).sum() - teacher])


class Text(NamedTuple):
    """What the whole text gives, however little of it is read."""

    share: Array  # (27,)
    reading: Array  # (24, 3)
    vowels: Array  # (2, 8) as in the result
    rewards: Array  # (8,)
    distilled: Array  # (2, 27)


@cache
def whole_text() -> Text:
    """Letters, best policies and the gradient of distillation."""
    share, (near, spread) = letter_shares(text_codes()), policies()
    rewards = near @ VOWEL - BETAS * divergence(near, share)
    vowels = np.stack([near @ VOWEL, spread @ VOWEL])
    return Text(share, reading(text_codes()), vowels, rewards, distil(share))


def reading(codes: Array) -> Array:
    """Letters read, D(read‖whole) and D(whole‖read) in bits (24, 3)."""
    whole = letter_shares(codes)
    lengths = np.unique(np.geomspace(20, len(codes), 24).astype(int))
    shares = np.stack([letter_shares(codes[:n]) for n in lengths])
    return np.stack([lengths, divergence(shares, whole) / log(2), divergence(whole, shares) / log(2)], 1)


def drawn_kl(mu: Array | float, sigma: Array | float, noise: Array) -> tuple[Array, Array]:
    """D(q‖p) and D(p‖q) as averages of the log-ratio over draws, q = N(μ, σ²), p = N(0, 1).

    Draws are z = μ + σε of q, and ε of p; the log-ratio is quadratic in ε, so two averages of ε carry all.
    """
    mu, sigma = np.asarray(mu, float), np.asarray(sigma, float)
    (one, two), (one_p, two_p) = noise
    reverse = -np.log(sigma) - two / 2 + (mu**2 + 2 * mu * sigma * one + sigma**2 * two) / 2
    return reverse, np.log(sigma) - two_p / 2 + (two_p - 2 * mu * one_p + mu**2) / (2 * sigma**2)


def drawn_errors(mu: float, sigma: float) -> tuple[float, float]:
    """Standard errors of the two averages: the log-ratio is a + bε + cε², of variance b² + 2c²."""
    reverse = mu**2 * sigma**2 + (sigma**2 - 1) ** 2 / 2
    forward = mu**2 / sigma**4 + (1 / sigma**2 - 1) ** 2 / 2
    return sqrt(reverse / DRAWS), sqrt(forward / DRAWS)


def elbo(mu: float, sigma: float) -> float:
    """E_q ln p(x | z) − D(q‖prior) for x = ``OBSERVED``, both integrated, in nats."""
    z = mu + sigma * Z
    fit = -((OBSERVED - z) ** 2) / 2 @ Z_WEIGHT - log(2 * pi) / 2
    return float(fit - integrated_kl(mu, sigma, 0, 1))


def hump_spread(target: Target) -> tuple[float, float]:
    """Standard errors of the mean and the sd of ``DRAWS`` draws, from the fourth moment of the mixture."""
    mean, sd = (float(part[0]) for part in moments(target))
    away, own = target.mean[0] - mean, target.sd[0]
    fourth = float(target.weight[0] @ (away**4 + 6 * away**2 * own**2 + 3 * own**4))
    return sd / sqrt(DRAWS), sqrt((fourth - sd**4) / (4 * sd**2 * DRAWS))


def group_bound(q: float, p: float) -> float:
    """D between two shares: what is lost on one group is the least that is lost in all."""
    return float(np.sum(rel_entr([q, 1 - q], [p, 1 - p])))


# --- The run ------------------------------------------------------------------------------------------


class Landscape(NamedTuple):
    """Both divergences from one target, over the means and widths of a Gaussian; as in the result."""

    means: Array
    sds: Array
    reverse: Array
    forward: Array
    basin: Array
    optima: Array
    forward_minima: int


@lru_cache(maxsize=8)
def landscape(separation: float, weight: float, width: float) -> Landscape:
    """The surfaces of your target, and the basins of the reverse one."""
    target = two_humps(np.array([separation]), weight, width)
    edge, widest = separation / 2 + 2.5, sweep_of(weight, width).forward_sd[round(separation / STEP)]
    means = np.linspace(-edge, edge, 91)
    sds = np.geomspace(0.8 * min(1.0, width), 1.35 * widest, 61)
    reverse, forward = surfaces(target, means, sds)
    basin, optima = basins_of(target, means, sds, reverse)
    return Landscape(means, sds, reverse, forward, basin, optima, len(np.unique(downhill(forward))))


@lru_cache(maxsize=8)
def descent(separation: float, weight: float, width: float, mean: float, sd: float) -> tuple[Array, float]:
    """Centre and sd along the descent of D(q‖p) from a start (t, 2), and D(q‖p) at its end."""
    target = two_humps(np.array([separation]), weight, width)
    path = fit_reverse(np.array([mean]), np.array([sd]), target)[:, :, 0]
    return path, float(reverse_kl(path[-1:, 0], path[-1:, 1], target)[0])


@lru_cache(maxsize=1)
def drawn(seed: int) -> tuple[Array, Array, Array, Array]:
    """ε and u (DRAWS,), the mean of ε and ε² of two sets of draws (2, 2), and the pairs (2, 1000, 8)."""
    rng = np.random.default_rng(seed)
    noise, uniform = rng.standard_normal((2, DRAWS)), rng.random(DRAWS)
    pairs = rng.standard_exponential((2, PAIRS, SYMBOLS))
    small = np.stack([noise.mean(axis=1), np.mean(noise**2, axis=1)], 1)
    return noise[0].copy(), uniform, small, pairs / pairs.sum(axis=2, keepdims=True)


@lru_cache(maxsize=8)
def drawn_moments(seed: int, separation: float, weight: float, width: float) -> Array:
    """Mean and standard deviation of draws from your target (2,)."""
    noise, uniform = drawn(seed)[:2]
    right = uniform < weight
    draws = np.where(right, separation / 2, -separation / 2)
    draws += np.where(right, width, 1.0) * noise
    return np.array([draws.mean(), draws.std()])


class Gaussians(NamedTuple):
    """Divergences between Gaussians that nothing moves, integrated; as in the result."""

    shifted: Array
    triangle: Array
    ties: Array
    bound: tuple[float, float]  # ELBO at the exact posterior; the same with the forward term


@cache
def gaussians() -> Gaussians:
    """Shifts, a triangle, ties, and the bounds at the exact posterior."""
    sigma, mu = np.arange(1, 31)[:, None] / 10, np.arange(-3, 4)
    posterior = (OBSERVED / 2, sqrt(0.5))
    swap = integrated_kl(*posterior, 0, 1) - integrated_kl(0, 1, *posterior)
    nodes = np.array([0.0, 1.0, 0.0]), np.array([1.0, 2.0, 2.0])
    return Gaussians(
        np.stack([integrated_kl(SHIFTS, 1, 0, 1), integrated_kl(0, 1, SHIFTS, 1)], 1),
        integrated_kl(nodes[0], 1, nodes[1], 1),
        integrated_kl(mu, sigma, 0, 1) - integrated_kl(0, 1, mu, sigma),
        (elbo(*posterior), elbo(*posterior) + float(swap)),
    )


@cache
def even_curvatures() -> Array:
    """Those of the fits for equal weights and widths."""
    return curvatures(sweep_of(0.5, 1.0))


def run(settings: Settings, tick: Tick = no_tick) -> Result:
    """Fit in both directions at every separation, map the surface, and try both directions elsewhere."""
    target = settings.separation, settings.weight, settings.width
    sweep, even = sweep_of(settings.weight, settings.width), sweep_of(0.5, 1.0)
    tick(0.4)
    row = round(settings.separation / STEP)
    start = (float(sweep.forward_centre[row]), float(sweep.forward_sd[row]))
    if settings.start == "mode":
        start = (settings.separation / 2, settings.width)
    path, end_kl = descent(*target, *start)
    surface = landscape(*target)
    tick(0.7)
    small, pairs = drawn(settings.seed)[2:]
    fixed = gaussians()
    tick(0.85)
    text, read = whole_text(), text_codes()[: settings.read]
    share = np.stack([text.share, letter_shares(read)])
    result = Result(
        settings, sweep, even, even_crossing(), even_curvatures(), crossing_of(sweep), path, *surface,
        drawn_moments(settings.seed, *target), pairs, fixed.shifted, fixed.triangle,
        np.stack(drawn_kl(settings.mu, settings.sigma, small)), fixed.ties, small,
        np.array([elbo(settings.mu, settings.sigma), *fixed.bound]),
        share, float(-np.log2(share[0][read]).mean()), text.reading, petal_fits(), text.vowels, text.rewards,
        text.distilled, {},
    )  # fmt: skip
    best = int(best_of(sweep)[row])
    result.summary.update(
        forward_centre=float(sweep.forward_centre[row]), forward_sd=float(sweep.forward_sd[row]),
        forward_kl=float(sweep.forward_kl[row]), reverse_centre=float(sweep.centre[row, best]),
        reverse_sd=float(sweep.sd[row, best]), reverse_kl=float(sweep.kl[row, best]),
        end_centre=float(path[-1, 0]), end_sd=float(path[-1, 1]),
        end_kl=end_kl, optima=len(surface.optima),
        price_right=-log(settings.weight), price_left=-log(1 - settings.weight),
        crossing=result.crossing, crossing_equal=result.even_crossing,
        crossing_predicted=predicted_crossing()[0], code_reverse=float(result.codes[0]),
        code_forward=float(result.codes[1]), letters_missing=int(np.sum(share[1] == 0)),
        whole_from_read_bits=float(divergence(share[0], share[1]) / log(2)),
        read_from_whole_bits=float(divergence(share[1], share[0]) / log(2)),
    )  # fmt: skip
    tick(1.0)
    return result


# --- Theory against measurement -----------------------------------------------------------------------


def claims(result: Result) -> list[Claim]:
    """The seven claims on the divergence and its directions."""
    return [
        _gibbs(result), _not_a_distance(result), _shifts(result), _forward_covers(result),
        _reverse_chooses(result), _autoencoder(result), _uses(result),
    ]  # fmt: skip


def _check(what: str, predicted: Any, measured: Any, tolerance: Tolerance, relation: Relation = "=") -> Check:
    return Check(
        what=what, predicted=float(predicted), measured=float(measured), relation=relation, **tolerance
    )


def _bound(rule: str, tolerance: float = 1e-9) -> Tolerance:
    return {"tolerance": tolerance, "rule": rule}


def _draws(standard_error: float, formula: str) -> Tolerance:
    """Four standard errors; and float64 rounding where nothing varies."""
    rule = contract.four_standard_errors(standard_error, formula)
    return {"tolerance": rule["tolerance"] + 1e-9, "rule": rule["rule"]}


def _gibbs(result: Result) -> Claim:
    p, q = result.pairs
    gap, value = cross_entropy(p, q) - entropy(p) - divergence(p, q), divergence(p, q)
    whole, read = result.letter_share
    missing = int(np.sum(read == 0))
    return Claim(
        id="2.5-kl-01",
        statement=f"Cross-entropy is entropy plus divergence: H(P, Q) = H(P) + D(P‖Q), for {PAIRS:,} "
        "random pairs of distributions (shown: the largest gap). D is never negative, and 0 only for equals.",
        predicted=0.0,
        measured=float(gap[np.abs(gap).argmax()]),
        **contract.identity(),
        also=(
            _check("least D(P‖Q) − ½‖P − Q‖₁² of all pairs: Pinsker's bound", 0,
                   np.min(value - np.abs(p - q).sum(axis=1) ** 2 / 2), _bound("Pinsker 1964"), ">="),
            _check("largest D(P‖P)", 0, divergence(p, p).max(), contract.exact()),
            _check("bits a letter of what was read, coded letter by letter for the whole text: H + D",
                   (entropy(read) + divergence(read, whole)) / log(2), result.letter_cost,
                   contract.identity(5)),
            _check(f"{missing} of 27 letters unread: D(whole‖read) is infinite (1) or not (0)", missing > 0,
                   np.isinf(divergence(whole, read)), contract.exact()),
        ),
        reason="ln p/q = ln 1/q − ln 1/p. The mean of ln q/p is at most ln of the mean, which is ln 1 = 0.",
    )  # fmt: skip


def _not_a_distance(result: Result) -> Claim:
    sigma = np.arange(1, 31)[:, None] / 10
    larger = np.where(np.abs(result.ties) < 1e-9, 0, np.sign(result.ties))
    one, two, both = result.triangle
    mu, width = result.settings.mu, result.settings.sigma
    reverse, forward = gaussian_kl(mu, width)
    measured = integrated_kl(mu, width, 0, 1) - integrated_kl(0, 1, mu, width)
    return Claim(
        id="2.5-kl-02",
        statement="The two directions differ in general, and tie for Gaussians of equal width. Nor is D a "
        "distance: from N(0, 1) to N(2, 1) it is more than by way of N(1, 1), ½ + ½.",
        often_taught="D(P‖Q) ≠ D(Q‖P): the divergence is asymmetric.",
        text_verdict="conditional",
        predicted=float(one + two),
        measured=float(both),
        relation=">",
        **_bound("integrated to float64 rounding"),
        also=(
            _check("the long way, ½ + ½", 1, one + two, contract.identity()),
            _check("the short way, 2²/2", 2, both, contract.identity()),
            _check(f"of {larger.size} codes, D(q‖p) is the larger exactly if σ > 1, a tie exactly if σ = 1",
                   larger.size, np.sum(larger == np.sign(np.round(sigma - 1, 9))), contract.exact()),
            _check("D(q‖p) − D(p‖q) of your code", float(reverse - forward), float(measured),
                   contract.identity(float(forward))),
        ),
        reason="With v = σ², the difference at μ = 0 is ½(v − 1/v) − ln v. It rises with v and is 0 at 1; "
        "μ only adds to it, with the same sign.",
    )  # fmt: skip


def _shifts(result: Result) -> Claim:
    theory = [shift**2 / 2 for shift in SHIFTS]
    ways = ("N(δ, 1) from N(0, 1)", "N(0, 1) from N(δ, 1)")
    return Claim(
        id="2.5-kl-03",
        statement="Shift a unit Gaussian by δ = 0.2, 1 and 2.53: the divergence is δ²/2: 0.02, 0.5 and 3.2. "
        "Shown: δ = 1.",
        predicted=theory[1],
        measured=float(result.shifted[1, 0]),
        **contract.identity(),
        also=tuple(
            _check(f"δ = {shift:g}, {way}", theory[i], result.shifted[i, j], contract.identity(theory[i]))
            for i, shift in enumerate(SHIFTS)
            for j, way in enumerate(ways)
            if (i, j) != (1, 0)
        ),
        reason="The log-ratio is a straight line in x, δx − δ²/2, and x is δ on average.",
    )


def _forward_covers(result: Result) -> Claim:
    s = result.settings.separation
    target = two_humps(np.array([s]), result.settings.weight, result.settings.width)
    mean, sd = (float(part[0]) for part in moments(target))
    row, (mean_error, sd_error) = round(s / STEP), hump_spread(target)
    lengths, fits = iris()[0][:, 2], result.petals
    also = [
        _check("its centre", mean, result.sweep.forward_centre[row], contract.identity(5)),
        *(_check(f"sd for equal unit humps {at:g} apart: √(1 + s²/4)", sqrt(1 + at**2 / 4),
                 result.even.forward_sd[round(at / STEP)], contract.identity(5)) for at in (4, 8)),
        _check("minima on the surface of D(p‖q)", 1, result.forward_minima, contract.exact()),
        _check("150 petals: centre [cm]", lengths.mean(), fits.forward_centre[0], contract.identity(5)),
        _check("150 petals: sd [cm]", sqrt(lengths.var() + BANDWIDTH**2), fits.forward_sd[0],
               contract.identity(5)),
        _check("maximum likelihood from draws: centre", mean, result.drawn_moments[0],
               _draws(mean_error, f"sd/√{DRAWS:,}")),
        _check("maximum likelihood from draws: sd", sd, result.drawn_moments[1],
               _draws(sd_error, "√((μ₄ − sd⁴)/(4 sd² N))")),
    ]  # fmt: skip
    return Claim(
        id="2.5-kl-04",
        statement=f"The forward fit covers: the Gaussian of lowest D(p‖q) has the target's mean and spread. "
        f"Its standard deviation at your s = {s:g}:",
        predicted=sd,
        measured=float(result.sweep.forward_sd[row]),
        **contract.identity(sd),
        also=tuple(also),
        reason="Only −E ln q moves with the fit, and that is lowest at the moments of the target: maximum "
        "likelihood with endless data. In the right coordinates it is convex, so there is one minimum.",
    )


def _reverse_chooses(result: Result) -> Claim:
    even, at = result.even, {s: round(s / STEP) for s in (4.8, 5.0, 10.0)}
    predicted, band = predicted_crossing()
    new = ~same_end(even, 0, 1), ~(same_end(even, 0, 2) | same_end(even, 1, 2))
    ends = {s: 1 + new[0][i] + new[1][i] for s, i in at.items()}
    cover, mode = even.kl[at[5.0], :2]
    (theory, neglected), (hump, bends) = cover_kl(5), mode_kl(10)
    row, weight, petals = round(result.settings.separation / STEP), result.settings.weight, result.petals
    likely = max(weight, 1 - weight)
    kernels = petal_target()
    share = float(np.sum(kernels.weight * ndtr((GAP - kernels.mean) / kernels.sd)))
    short = [ndtr((GAP - petals.centre[0, i]) / petals.sd[0, i]) for i in (1, 2)]
    settled = SEPARATIONS <= 8  # farther apart the valley is too sharp for rounding-level integrals
    curvature = result.even_curvature[settled]
    next_order = _bound("bound of the next-order term", neglected)
    also = [
        _check("optima from three starts at s = 4.8: covering is the only one", 1, ends[4.8],
               contract.exact()),
        _check("optima from three starts at s = 5: each mode is one now", 3, ends[5.0], contract.exact()),
        _check("at s = 5, D(q‖p) of covering", theory, cover, next_order),
        _check("at s = 5, covering against a mode", mode, cover, _bound("integrated to rounding"), "<"),
        _check("at s = 10, D(q‖p) of a mode: ln 2", log(2), even.kl[at[10.0], 1],
               _bound("what the other hump lends, 2πφ(s/2)/s", log(2) - hump + bends)),
        _check("σ² × curvature along the mean at each covering fit up to s = 8 (worst)", 1,
               curvature[np.abs(curvature - 1).argmax()], contract.identity()),
        _check(f"your target: D(q‖p) of the best fit, at most −ln {likely:g}", -log(likely),
               result.sweep.kl[row].min(), _bound("p ≥ w times the hump"), "<="),
        *(_check(f"fit to the {name} petals: D(q‖p), at least that between the groups",
                 group_bound(short[i], share), petals.kl[0, i + 1], _bound("data processing"), ">=")
          for i, name in enumerate(("long", "short"))),
    ]  # fmt: skip
    return Claim(
        id="2.5-kl-05",
        statement="The reverse fit chooses one mode only if the modes are far apart: for equal weights and "
        "unit widths covering is the only optimum up to s = 4.8, and stays the best up to this separation.",
        often_taught="Reverse KL locks onto one mode.",
        text_verdict="conditional",
        predicted=predicted,
        measured=result.even_crossing,
        **_bound(f"neglected next-order terms over the slope: {band:.3g}", band),
        also=tuple(also),
        reason="A hump costs ln 2 at most. Covering costs the valley, which deepens with s and overtakes.",
    )


def _autoencoder(result: Result) -> Claim:
    mu, sigma = result.settings.mu, result.settings.sigma
    reverse, forward = (float(value) for value in gaussian_kl(mu, sigma))
    errors = drawn_errors(mu, sigma)
    evidence = float(np.log(normal(np.array(OBSERVED), 0, sqrt(2))))
    to_posterior = float(gaussian_kl((mu - OBSERVED / 2) / sqrt(0.5), sigma / sqrt(0.5))[0])
    back, forth = (float(value) for value in gaussian_kl(OBSERVED / 2, sqrt(0.5)))
    total = contract.identity(max(1.0, abs(evidence - to_posterior)))
    return Claim(
        id="2.5-kl-06",
        statement="The regulariser of a variational autoencoder is D(q(z|x)‖p(z)), averaged over its own "
        f"code: the reverse direction. For q = N({mu:g}, {sigma:g}²):",
        often_taught="VAEs use forward KL.",
        text_verdict="wrong",
        predicted=reverse,
        measured=float(result.codes[0]),
        **_draws(errors[0], "√((μ²σ² + ½(σ² − 1)²)/N)"),
        also=(
            _check("the other direction, D(p‖q), from draws of the prior", forward, result.codes[1],
                   _draws(errors[1], "√((μ²/σ⁴ + ½(1/σ² − 1)²)/N)")),
            _check("ELBO of your code at x = 2: ln p(x) less D(q‖posterior)", evidence - to_posterior,
                   result.bound[0], total),
            _check("ELBO at the exact posterior: ln p(x), nothing missing", evidence, result.bound[1], total),
            _check("with the forward term instead, missing at the exact posterior", evidence + back - forth,
                   result.bound[2], total),
            _check("so the forward term gives no tight bound", evidence, result.bound[2],
                   _bound("integrated to rounding"), "<"),
        ),
        reason="The bound averages ln p(x, z) − ln q(z) over the code, so its divergence does too. Forward "
        "is the outer fit: maximum likelihood of x lowers D(data‖model).",
    )  # fmt: skip


def _uses(result: Result) -> Claim:
    vowels = float(result.letter_share[0] @ VOWEL)
    near, spread = best_vowel_share(vowels)
    one = int(np.flatnonzero(BETAS == 0.5)[0])
    value = BETAS * np.log(1 - vowels + vowels * np.exp(1 / BETAS))
    numerical, theory = result.distilled
    worst = int(np.abs(numerical - theory).argmax())
    rounding = 2 * np.finfo(float).eps * 8 / DIFFERENCE
    rule = _bound("h²/6 · 0.1, as |third derivative| ≤ 0.097, and rounding", DIFFERENCE**2 / 60 + rounding)
    return Claim(
        id="2.5-kl-07",
        statement="Both directions are in use. Distillation lowers D(teacher‖student), forward; tuning by "
        "rewards is held back by D(policy‖reference), reverse, and ends at π ∝ ref·e^{r/β}. Reward vowels: "
        "their share at β = 0.5:",
        often_taught="KL is used in distillation and in RLHF, whichever the direction.",
        text_verdict="conditional",
        predicted=float(near[one]),
        measured=float(result.vowels[0, one]),
        **contract.identity(),
        also=(
            _check("reward less penalty there: β ln Σ ref·e^{r/β}", value[one], result.rewards[one],
                   contract.identity()),
            _check("with D(ref‖π) as penalty: another share", spread[one], result.vowels[1, one],
                   contract.identity()),
            _check("left to unrewarded letters at β = 0.2: less than under D(ref‖π)",
                   1 - result.vowels[1, 0], 1 - result.vowels[0, 0], _bound("float64 rounding"), "<"),
            _check(f"slope of D(teacher‖student) in the logit of “{ALPHABET[worst]}” (worst): S − T",
                   theory[worst], numerical[worst], rule),
        ),
        reason="A student must cover what its teacher says. A tuned policy may drop what the reference says, "
        "but pays for saying what it does not.",
    )  # fmt: skip


# --- Tables -------------------------------------------------------------------------------------------


def tables(result: Result) -> dict[str, pd.DataFrame]:
    """Tidy tables: fits by separation, their frames, the surface, codes, reading, petals, policies."""
    centre, sd = result.path.T
    return {
        "main": _main(result),
        "frames": _frames(result),
        "surface": _surface(result),
        "optima": pd.DataFrame(result.optima, columns=["centre", "sd", "kl"]),
        "path": pd.DataFrame({"centre": centre, "sd": sd, "step": np.arange(len(centre))}),
        "codes": _codes(result),
        "reading": _reading(result),
        "letters": pd.DataFrame(
            {"letter": list(ALPHABET), "whole": result.letter_share[0], "read": result.letter_share[1]}
        ),
        "petals": _petals(result),
        "policies": _policies(result),
    }


def _main(result: Result) -> pd.DataFrame:
    """A row a separation: the best reverse fit, the forward fit, the price from each start, the theory."""
    sweep, best, rows = result.sweep, best_of(result.sweep), np.arange(len(SEPARATIONS))
    even = result.settings.weight == 0.5 and result.settings.width == 1
    theory = [cover_kl(s)[0] if even and s >= 3 else nan for s in SEPARATIONS]  # nearer: no valley yet
    return pd.DataFrame(
        {
            "separation": SEPARATIONS, "centre": sweep.centre[rows, best], "sd": sweep.sd[rows, best],
            "kl": sweep.kl[rows, best], "from": np.array(STARTS)[best],
            "centre_from_centre": sweep.centre[:, 0], "kl_from_centre": sweep.kl[:, 0],
            "centre_from_right": np.where(same_end(sweep, 0, 1), nan, sweep.centre[:, 1]),
            "kl_from_right": np.where(same_end(sweep, 0, 1), nan, sweep.kl[:, 1]),
            "centre_from_left": np.where(same_end(sweep, 0, 2), nan, sweep.centre[:, 2]),
            "kl_from_left": np.where(same_end(sweep, 0, 2), nan, sweep.kl[:, 2]),
            "forward_centre": sweep.forward_centre, "forward_sd": sweep.forward_sd,
            "forward_kl": sweep.forward_kl, "predicted_cover": theory,
            "left_hump": -SEPARATIONS / 2, "right_hump": SEPARATIONS / 2,
        }
    )  # fmt: skip


def _frames(result: Result) -> pd.DataFrame:
    """Densities at every separation: the target, the forward fit, the best reverse fit, one it beats."""
    settings, sweep = result.settings, result.sweep
    best, rows = best_of(sweep), np.arange(len(SEPARATIONS))
    other = np.where(best == 0, np.where(sweep.kl[:, 1] <= sweep.kl[:, 2], 1, 2), 0)
    gone = np.abs(sweep.kl[rows, other] - sweep.kl[rows, best]) < 1e-9
    drawn = {
        "target": density(X[None] + 0 * SEPARATIONS[:, None],
                          two_humps(SEPARATIONS, settings.weight, settings.width)),
        "forward": normal(X, sweep.forward_centre[:, None], sweep.forward_sd[:, None]),
        "reverse": normal(X, sweep.centre[rows, best][:, None], sweep.sd[rows, best][:, None]),
        "beaten": np.where(gone[:, None], nan, normal(X, sweep.centre[rows, other][:, None],
                                                      sweep.sd[rows, other][:, None])),
    }  # fmt: skip
    place = {"frame": np.repeat(rows, len(X)), "x": np.tile(X, len(rows))}
    return pd.DataFrame({**place, **{name: part.ravel().round(5) for name, part in drawn.items()}})


def _surface(result: Result) -> pd.DataFrame:
    """Contours of both divergences: for each basin, height and mean the lowest and highest sd below it."""
    one = np.zeros_like(result.basin)
    maps = {"reverse": (result.reverse_surface, result.basin), "forward": (result.forward_surface, one)}
    parts = []
    for direction, (surface, basin) in maps.items():
        heights = np.append(surface.min() + 0.05 * np.arange(1, 13) ** 2, inf)
        for name in range(int(basin.max()) + 1):
            low, high = stretch(np.log(result.sds), np.where(basin == name, surface, nan), heights)
            level, column = np.nonzero(np.isfinite(low))
            parts.append((
                np.full(len(level), direction, dtype=object), np.full(len(level), name + 1), level,
                result.means[column], np.exp(low[level, column]), np.exp(high[level, column]),
            ))  # fmt: skip
    columns = ("direction", "basin", "level", "mean", "sd_low", "sd_high")
    return pd.DataFrame(dict(zip(columns, map(np.concatenate, zip(*parts, strict=True)), strict=True)))


def _codes(result: Result) -> pd.DataFrame:
    """Both divergences of codes against μ at your σ: in closed form, and from draws."""
    mu = np.arange(-30, 31) / 10
    reverse, forward = gaussian_kl(mu, result.settings.sigma)
    drawn = drawn_kl(mu, result.settings.sigma, result.noise)
    return pd.DataFrame({"mu": mu, "reverse": reverse, "forward": forward,
                         "drawn_reverse": drawn[0], "drawn_forward": drawn[1]})  # fmt: skip


def _reading(result: Result) -> pd.DataFrame:
    """Both divergences by letters read; predicted is the mean for independent letters, (27 − 1)/2n nats."""
    read, from_whole, from_read = result.reading.T
    return pd.DataFrame(
        {
            "read": read, "read_from_whole": from_whole, "whole_from_read": from_read,
            "log10_read": np.log10(read), "predicted": 13 / log(2) / read,
        }
    )  # fmt: skip


def _petals(result: Result) -> pd.DataFrame:
    """Density of the petal lengths, and the three fits."""
    x, fits = np.linspace(-1, 9, 201), result.petals
    return pd.DataFrame(
        {
            "length": x, "target": density(x[None], petal_target())[0],
            "forward": normal(x, fits.forward_centre[0], fits.forward_sd[0]),
            "reverse": normal(x, fits.centre[0, 1], fits.sd[0, 1]),
            "beaten": normal(x, fits.centre[0, 2], fits.sd[0, 2]),
        }
    )  # fmt: skip


def _policies(result: Result) -> pd.DataFrame:
    """Share of vowels by β and by direction of the penalty, climbed and in closed form."""
    theory = best_vowel_share(float(result.letter_share[0] @ VOWEL))
    return pd.DataFrame(
        {
            "beta": np.tile(BETAS, 2),
            "penalty": np.repeat(np.array(["reverse", "forward"], dtype=object), len(BETAS)),
            "measured": result.vowels.ravel(),
            "predicted": np.concatenate(theory),
        }
    )


# --- Predict, then see --------------------------------------------------------------------------------

_ENDS = ("it slides to the middle and covers both", "it stays on the hump, and that is the best fit",
         "it stays on the hump, though covering is better")  # fmt: skip


def _end(result: Result) -> str:
    summary = result.summary
    if abs(summary["end_centre"]) < result.settings.separation / 4:
        return _ENDS[0]
    return _ENDS[1 if summary["end_kl"] < summary["reverse_kl"] + 1e-9 else 2]


CHALLENGES = (
    Challenge(
        prompt="Two unit humps of equal weight move apart. From what separation on does a single hump beat "
        "covering both, in D(q‖p)?",
        options=(),
        settings={},
        answer=lambda result: result.summary["crossing"],
        why="A hump costs ln 2 = 0.69 at most. Covering costs next to nothing while the humps overlap, and "
        "passes 0.69 only when the valley is deep.",
    ),
    Challenge(
        prompt="The humps are 8 apart. How wide, in standard deviations, is the Gaussian of lowest D(p‖q)?",
        options=(),
        settings={"separation": 8.0},
        answer=lambda result: float(result.sweep.forward_sd[40]),
        curve=("main", "separation", "forward_sd"),
        at=8.0,
        why="It matches moments: variance 1 inside a hump, and 4² between them. √17 is 4.12.",
    ),
    Challenge(
        prompt="At a separation of 5.2 a descent of D(q‖p) starts on the right hump. Where does it end?",
        options=_ENDS,
        settings={"separation": 5.2, "start": "mode"},
        answer=_end,
        why="From s = 5 on each hump has a basin of its own. Up to 5.6 covering lies lower.",
    ),
)
