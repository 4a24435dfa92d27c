r"""**Where is the edge of stability?**

Gradient descent walks downhill: from the weights $w$ it takes the step
$w \leftarrow w - \alpha\,\nabla L(w)$. The one number you must choose is the **learning rate** $\alpha$.
Too small and nothing happens; too large and the loss explodes. On a quadratic loss the edge between the
two is known to the last digit, before the first step is taken.

**The loss.** With $n$ rows $X$ (one column per feature) and targets $y$ the squared loss is
$L(w)=\tfrac1{2n}\lVert Xw-y\rVert^2$. Its curvature is the matrix $H=X^\top X/n$, the same at every $w$. Its
eigenvectors $v_1,\dots,v_d$ are the directions along which the valley does not bend into others, its
eigenvalues $\lambda_1\ge\dots\ge\lambda_d$ how steep the walls are along each.

**The law.** Write $e_i$ for the error along $v_i$, the distance to the minimum $w^*$. One step multiplies
it by $1-\alpha\lambda_i$, so after $t$ steps

$$e_i(t) = (1-\alpha\lambda_i)^t\, e_i(0).$$

Each direction lives its own life, and all share one $\alpha$. That gives three regimes, set by the steepest
direction alone: below $1/\lambda_{\max}$ every error shrinks without changing sign (*monotone*); up to
$2/\lambda_{\max}$ the steepest error jumps from one side of the valley to the other, still shrinking
(*oscillating*); beyond, it grows by a fixed factor a step (*divergent*). The wall is at
$\alpha=2/\lambda_{\max}$.

**The best rate** makes the steepest and the flattest direction equally slow:
$\alpha^*=2/(\lambda_{\min}+\lambda_{\max})$, with the factor $(\kappa-1)/(\kappa+1)$ a step, where
$\kappa=\lambda_{\max}/\lambda_{\min}$ is the condition number. It sits a hair below the wall. **Heavy
ball** keeps a velocity, $u\leftarrow\beta u+\nabla L$, $w\leftarrow w-\alpha u$, and at its best $\alpha$
and $\beta$ replaces $\kappa$ by $\sqrt\kappa$.

**What to try.** Set $\alpha\lambda_{\max}$ to 2.01 and watch which direction blows up. Then set 1.99: a
hundredth less, and it converges. Switch *standardise* off and read the rate, not the multiple: the
wall of the same data moves by orders of magnitude. Switch to the logistic loss, whose curvature shrinks where
the model is sure, and see $2/\lambda_{\max}$ of the start being passed without harm.

**What surprised us.** In the oscillating regime the loss itself shows nothing: it falls at every step, and
only the sign of the error flips. A diverging run takes its time: at $2.1/\lambda_{\max}$ the loss grows by
only 21 % a step, and 32-bit numbers need hundreds of steps to overflow. And far beyond the wall, once the
steepest error is $10^{16}$ times the others ($10^7$ in float32), its rounding errors carry them along. On the
tumours the lowest point of the logistic loss lies so far out that hundreds of steps do not come near it: the
edge you measure there belongs to the place they have reached.

There is no intercept; the weights start at zero. *Standardise* gives every feature, and the target of the
squared loss, mean 0 and spread 1; off takes the features as the package ships them. The logistic loss on the
diabetes data asks whether the score lies above the median.

*References.* A. Cauchy (1847) for the method. B. T. Polyak (1964), "Some methods of speeding up the
convergence of iteration methods", for heavy ball and the rates. J. M. Cohen et al. (2021), "Gradient
descent on neural networks typically occurs at the edge of stability". J. Wu, P. Bartlett, M. Telgarsky and
B. Yu (2024), "Large stepsize gradient descent for logistic loss".
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from lab import contract, data
from lab.contract import Array, Challenge, Check, Claim, Tick, control, exact, identity, no_tick, rounded
from lab.memory import fixed

Floats = NDArray[Any]  # float64, or float32 where the setting asks for it
Loss = Literal["squared", "logistic"]

TWICE = 2  # the chosen rate walks twice: BLAS would sum a single column in another order
STRETCH = 10  # steps between weights that are remembered
PROBES = (0.5, 1.0, 1.5, 2.01)  # multiples of 1/λ_max the claims look at, whatever the controls show
PROBE_STEPS = 200
FLIP_STEPS = 20  # 0.5^20 = 1e-6: every sign is still far above rounding
OVERFLOW_MULTIPLE = 2.1
LARGE = (2.0, 20.0, 50.0)  # multiples of 1/λ_max(0) for the logistic loss
LARGE_STEPS = 500
EDGE_STEPS, LATE = 200, 10  # a settled walk no longer rises in its last ten steps
TOY_X, TOY_Y = 3.0, 7.0  # the one-weight loss (3w - 7)²

SWEEP: dict[
    str, Array
] = {  # multiples of 1/λ_max at the start: closer around the wall; the logistic loss far beyond it
    "squared": np.unique(np.round(np.append(np.linspace(0.05, 2.5, 50), np.linspace(1.9, 2.1, 11)), 4)),
    "logistic": np.geomspace(0.05, 200, 61),
}
WATCHED = {"squared": (0.1, 1.0, 1.9, 1.99, 2.01, 2.1), "logistic": (0.5, 2.0, 5.0, 20.0, 50.0)}
AXES = {"steepest and flattest": (0.0, 1.0), "steepest and middle": (0.0, 0.5), "two steepest": (0.0, 0.0)}


class Settings(contract.Settings):
    """Every knob of the sweep."""

    multiple: float = control(
        1.0,
        "Learning rate × curvature, α·λ_max",
        ge=0.05,
        le=2.5,
        step=0.01,
        help="The rate in units of 1/λ_max of the start. The wall of a quadratic is at 2.",
    )
    steps: int = control(
        200, "Steps", ge=10, le=2000, step=10, help="Gradient steps, the same for every rate of the sweep."
    )
    data: Literal["diabetes", "breast_cancer"] = control(
        "diabetes", "Data", help="442 patients with 10 measurements, or 569 tumours with 30."
    )
    loss: Literal["squared", "logistic"] = control(
        "squared",
        "Loss",
        help="Squared has the same curvature everywhere; logistic flattens where it is sure.",
    )
    standardise: bool = control(
        True, "Standardise", help="Give every column mean 0 and spread 1 before descending."
    )
    float32: bool = control(
        False,
        "Single precision (float32)",
        help="Run the sweep with 32-bit numbers: they overflow at 3.4e38.",
    )
    path_axes: Literal["steepest and flattest", "steepest and middle", "two steepest"] = control(
        "steepest and flattest", "Path drawn along", help="The two eigen-directions the path is projected on."
    )


@dataclass(frozen=True)
class Result:
    """What one run leaves behind. d features, T steps, R rates in the sweep, C watched curves."""

    settings: Settings
    summary: dict[str, float]
    # The squared loss on the chosen data, float64: what the claims test, whatever the charts show
    eigenvalues: Array  # (d,) of XᵀX/n, descending
    start_error: Array  # (d,) along the eigen-directions
    rows: int
    steepest_entry: float  # largest |entry| of the steepest direction
    probe_multiples: Array  # (P,): PROBES, the best rate, the chosen rate
    probe_error: Array  # (PROBE_STEPS + 1, d, P)
    heavy_error: Array  # (PROBE_STEPS + 1, d), heavy ball with its best constants
    wall: float  # by bisection, and the width of the last bracket
    wall_width: float
    best: float
    best_width: float
    toy_wall: float  # of (3w - 7)²
    toy_width: float
    toy_landing: float  # the weight after one step at α = 1/18
    float32_squares: Array  # (K,) sum of squared errors per step, as float32 holds it; ends with inf
    float32_nan_step: float
    # The logistic loss on standardised data
    large_loss: Array  # (LARGE_STEPS + 1, 3), breast_cancer, one column per multiple in LARGE
    large_steps: Array  # (K,) where the curvature was looked at
    large_sharpness: Array  # (K, 3), α·λ_max(w_t)
    edge: float  # diabetes, in multiples of 1/λ_max(0), by bisection
    edge_width: float
    edge_theory: float  # 2·λ_max(0)/λ_max(w*)
    # What the charts show: the chosen loss, rate and precision
    curvature: Array  # (d,) eigenvalues at the start
    sweep_multiples: Array  # (R,)
    sweep_loss: Array  # (R,) after the last step
    sweep_theory: Array  # (R,) squared loss; NaN for the logistic one
    lowest_loss: float  # the least this loss can be
    shown_wall_theory: float  # as a rate; NaN where there is none
    shown_wall: float
    overflow_theory: float  # step at which the chosen rate overflows; NaN where it does not
    overflow: float
    curve_multiples: Array  # (C,), the last one is the chosen rate
    curve_loss: Array  # (T + 1, C)
    curve_steepest: Array  # (T + 1, C), error along the steepest direction; logistic: slope over curvature
    coordinates: Array  # (T + 1, d), the same along every direction, at the chosen rate
    axes: tuple[int, int]  # the eigen-directions the path is drawn along, 0 the steepest
    path: Array  # (T + 1, 2), position on the axes at the chosen rate
    plane_x: Array  # (41,)
    plane_y: Array  # (41,)
    plane_loss: Array  # (41, 41), row for y, column for x
    minimum: Array  # (2,) on the axes; NaN where there is none
    scales: dict[str, tuple[float, float]]  # (λ_max, λ_min) of each data set, standardised and as shipped


# --- The mathematics ----------------------------------------------------------------------------------


def spread_one(columns: Array) -> Array:
    """Each column with mean 0 and standard deviation 1: (n, ...) in, the same shape out."""
    return (columns - columns.mean(axis=0)) / columns.std(axis=0)


@cache
def problem(name: str, standardise: bool) -> tuple[Array, Array, Array]:
    """Features (n, d), centred target of the squared loss (n,), label of the logistic loss (n,), 0 or 1."""
    features, target = data.diabetes() if name == "diabetes" else data.breast_cancer()
    label = (target > np.median(target)).astype(float) if name == "diabetes" else target
    features = spread_one(features) if standardise else features
    return fixed((features, spread_one(target) if standardise else target - target.mean(), label))


def mean_loss(loss: Loss, scores: Floats, y: Floats) -> Floats:
    """The loss of the scores Xw (n, R) against y (n, 1), averaged over rows: (R,)."""
    if loss == "squared":
        return 0.5 * np.mean((scores - y) ** 2, axis=0)
    return np.mean(np.logaddexp(0, scores) - y * scores, axis=0)


def slope(loss: Loss, X: Floats, y: Floats, W: Floats) -> Floats:
    """The gradient Xᵀ(p - y)/n at every column of W (d, R); p is Xw, or its sigmoid for the logistic loss."""
    scores = X @ W  # (n, R)
    p = scores if loss == "squared" else expit(scores)
    return X.T @ (p - y) / X.dtype.type(len(X))


def descend(
    gradient: Callable[[Any], Any], start: Floats, rates: Floats, steps: int, beta: Any = 0.0
) -> Iterator[Any]:
    """Gradient descent at many rates at once; yields the weights (d, R) of every step, the start included.

    Column r walks with rate rates[r] and momentum beta[r] (Polyak 1964; 0 is plain gradient descent). They
    start from the same weights (d,), or each from its own (d, R).
    """
    W = np.repeat(start[:, None], len(rates), axis=1) if start.ndim == 1 else start  # (d, R)
    velocity = np.zeros_like(W)
    yield W
    for _ in range(steps):
        velocity = beta * velocity + gradient(W)
        W = W - rates * velocity
        yield W


def directions(X: Array, pull: Array) -> tuple[Array, Array]:
    """Eigenvalues (d,), descending, and eigenvectors as columns (d, d) of XᵀX/n, from the SVD of X.

    Squaring X first would lose half the digits of the flat directions. An eigenvector has no sign of its
    own: each is made to point where ``pull`` does, minus the gradient at the start.
    """
    _, singular, Vt = np.linalg.svd(X, full_matrices=False)
    return singular**2 / len(X), Vt.T * np.where(Vt @ pull < 0, -1.0, 1.0)


def remaining(lam: Array, error: Array, rates: Array, steps: int) -> Array:
    """Predicted excess loss ½ Σᵢ λᵢ eᵢ² (1 - αλᵢ)^(2t) after t steps, for every rate: (R,)."""
    shrink = (1 - np.outer(rates, lam)) ** (2 * steps)  # (R, d)
    return 0.5 * shrink @ (lam * error**2)


def heavy_ball(lam_max: float, lam_min: float) -> tuple[float, float]:
    """Polyak's best rate 4/(√λ_max + √λ_min)² and momentum ((√κ - 1)/(√κ + 1))²."""
    top, flat = math.sqrt(lam_max), math.sqrt(lam_min)
    return 4.0 / (top + flat) ** 2, ((top - flat) / (top + flat)) ** 2


def shrinkage(error: Array, steps: int) -> Array:
    """Factor per step of each direction, from its errors (..., first to last) ``steps`` steps apart."""
    return np.abs(error[-1] / error[0]) ** (1 / steps)


def overflow_step(largest: float, size: float, factor: float) -> float:
    """The first step t at which size·factorᵗ reaches ``largest``."""
    return float(math.ceil((math.log(largest) - math.log(size)) / math.log(factor)))


def first_rate(
    is_past: Callable[[Array], NDArray[np.bool_]], low: float, high: float, rounds: int, count: int
) -> tuple[float, float]:
    """Bisection, ``count`` rates at a time: the first rate past the edge and the width of the last bracket.

    NaN where no rate up to ``high`` is past it.
    """
    for _ in range(rounds):
        rates = np.geomspace(low, high, count + 1)
        past = is_past(rates[1:])
        if not past.any():
            return math.nan, math.nan
        first = int(np.argmax(past))
        low, high = float(rates[first]), float(rates[first + 1])
    return (low + high) / 2, high - low


def curvature_at(X: Array, w: Array) -> Array:
    """Hessian of the logistic loss at w: Xᵀ diag(p(1 - p)) X/n, (d, d)."""
    p = expit(X @ w)
    return (X.T * (p * (1 - p))) @ X / len(X)


def sharpness(X: Array, w: Array | None) -> float:
    """Largest curvature of the logistic loss at w; NaN where there is no w."""
    return math.nan if w is None else float(np.linalg.norm(curvature_at(X, w), 2))


def least_squares(X: Array, y: Array) -> Array:
    """The minimum of the squared loss (d,), in closed form."""
    return np.asarray(np.linalg.lstsq(X, y, rcond=None)[0], np.float64)


def newton(X: Array, label: Array, rounds: int = 40) -> Array | None:
    """The minimum of the logistic loss (d,) by damped Newton steps; None where the data are separable."""
    w, y = np.zeros((X.shape[1], 1)), label[:, None]

    def value(at: Array) -> float:
        return float(mean_loss("logistic", X @ at, y)[0])

    for _ in range(rounds):
        gradient = slope("logistic", X, y, w)  # (d, 1)
        if value(w) < 1e-6:
            return None  # every row is on its side: the loss falls to 0 at infinity
        if np.linalg.norm(gradient) < 1e-12:
            return w[:, 0]
        full = np.linalg.lstsq(curvature_at(X, w[:, 0]), gradient, rcond=None)[0]
        size, fall = 1.0, float((gradient * full).sum())
        while size > 1e-6 and value(w - size * full) > value(w) - 1e-4 * size * fall:
            size /= 2
        w = w - size * full
    return None


# --- The measurements ---------------------------------------------------------------------------------


def probe(X: Array, y: Array, V: Array, lowest: Array, rates: Array, momenta: Array) -> Array:
    """Errors along the eigen-directions while descending at each of the rates (PROBE_STEPS + 1, d, P)."""
    walk = descend(lambda W: slope("squared", X, y, W), np.zeros(X.shape[1]), rates, PROBE_STEPS, momenta)
    return np.stack([V.T @ (W - lowest[:, None]) for W in walk])


def searches(
    X: Array, y: Array, V: Array, lowest: Array, lam_max: float
) -> tuple[float, float, float, float]:
    """The wall and the best rate of the squared loss by bisection, each with the width of its bracket."""
    low, high, steps = 0.1 / lam_max, 4 / lam_max, 50

    def factors(rates: Array) -> Array:  # (d, R)
        walk = list(descend(lambda W: slope("squared", X, y, W), np.zeros(X.shape[1]), rates, steps))
        return shrinkage(np.stack([V.T @ (W - lowest[:, None]) for W in (walk[0], walk[-1])]), steps)

    wall = first_rate(lambda rates: factors(rates).max(axis=0) > 1, low, high, 4, 32)
    # Below the best rate the flattest direction is the slowest to shrink, above it the steepest.
    best = first_rate(lambda rates: factors(rates).argmax(axis=0) == 0, low, high, 4, 32)
    return (*wall, *best)


def toy() -> tuple[float, float, float]:
    """(3w - 7)² from w = 1: the wall by bisection, its bracket, and where one step at α = 1/18 lands."""

    def end(rates: Array, steps: int) -> Array:
        return list(descend(lambda W: 2 * TOY_X * (TOY_X * W - TOY_Y), np.ones(1), rates, steps))[-1][0]

    goal = TOY_Y / TOY_X
    wall, width = first_rate(lambda rates: np.abs(end(rates, 50) - goal) > abs(1 - goal), 0.001, 1.0, 4, 32)
    return wall, width, float(end(np.array([1 / 18]), 1)[0])


def single_precision(X: Array, y: Array, lam_max: float) -> tuple[Array, float]:
    """At 2.1/λ_max in float32: the sum of squares until it is infinite, and the step of the first NaN."""
    X32, y32 = X.astype(np.float32), y.astype(np.float32)
    rate, start = np.array([OVERFLOW_MULTIPLE / lam_max], np.float32), np.zeros(X.shape[1], np.float32)
    squares: list[float] = []
    for step, w in enumerate(descend(lambda W: slope("squared", X32, y32, W), start, rate, 1500)):
        if np.isnan(w).any():
            return np.array(squares), float(step)
        if not squares or math.isfinite(squares[-1]):
            squares.append(float(np.sum((X32 @ w - y32) ** 2)))
    return np.array(squares), math.nan


def large_rates() -> tuple[Array, Array, Array]:
    """Logistic loss on breast_cancer at LARGE: loss (T + 1, 3), and α·λ_max(w) (K, 3) at the steps (K,)."""
    X, _, label = problem("breast_cancer", True)
    y, rates = label[:, None], np.array(LARGE) / sharpness(X, np.zeros(X.shape[1]))
    walk = descend(lambda W: slope("logistic", X, y, W), np.zeros(X.shape[1]), rates, LARGE_STEPS)
    weights = np.stack(list(walk), axis=-1)  # (d, 3, T + 1)
    loss = np.stack([mean_loss("logistic", X @ weights[:, r], y) for r in range(len(LARGE))], axis=1)
    steps = _thin(LARGE_STEPS, 24)
    sharp = [[a * sharpness(X, weights[:, r, t]) for r, a in enumerate(rates)] for t in steps]
    return loss, steps.astype(float), np.array(sharp)


def logistic_edge(X: Array, y: Array, low: float, high: float) -> tuple[float, float]:
    """The first rate whose logistic loss still rises in the last steps, and the width of its bracket."""

    def still_rises(rates: Array) -> NDArray[np.bool_]:
        rises, before = np.zeros(len(rates), bool), np.full(len(rates), np.inf)
        walk = descend(lambda W: slope("logistic", X, y, W), np.zeros(X.shape[1]), rates, EDGE_STEPS)
        for step, W in enumerate(walk):
            if step >= EDGE_STEPS - LATE:
                now = mean_loss("logistic", X @ W, y)
                rises |= now > before * (1 + 1e-12)  # more than rounding
                before = now
        return rises

    return first_rate(still_rises, low, high, 3, 12)


# --- The run ------------------------------------------------------------------------------------------


def _thin(steps: int, at_most: int) -> NDArray[np.int64]:
    """Steps to draw: all, or the first ones and ever fewer, odd and even, so that flips stay visible."""
    if steps < at_most:
        return np.arange(steps + 1)
    return np.unique(np.rint(np.geomspace(1, steps + 1, at_most)).astype(np.int64) - 1)


@cache
def _quadratic(name: str, standardise: bool) -> dict[str, Any]:
    """Everything the claims need of the squared loss but the chosen rate, probed last."""
    X, target, _ = problem(name, standardise)
    y = target[:, None]
    lam, V = directions(X, X.T @ target)
    lowest = least_squares(X, target)
    multiples = np.array([*PROBES, 2 * lam[0] / (lam[0] + lam[-1])])
    rate, beta = heavy_ball(lam[0], lam[-1])
    momenta = np.append(np.zeros(len(multiples)), beta)
    error = probe(X, y, V, lowest, np.append(multiples / lam[0], rate), momenta)
    wall, wall_width, best, best_width = searches(X, y, V, lowest, lam[0])
    squares, nan_step = single_precision(X, y, lam[0])
    toy_wall, toy_width, toy_landing = toy()
    return {
        "eigenvalues": lam,
        "start_error": -V.T @ lowest,
        "rows": len(X),
        "steepest_entry": float(np.abs(V[:, 0]).max()),
        "probe_multiples": multiples,
        "probe_error": error[:, :, :-1],
        "heavy_error": error[:, :, -1],
        "wall": wall,
        "wall_width": wall_width,
        "best": best,
        "best_width": best_width,
        "toy_wall": toy_wall,
        "toy_width": toy_width,
        "toy_landing": toy_landing,
        "float32_squares": squares,
        "float32_nan_step": nan_step,
    }


@cache
def _curved() -> dict[str, Any]:
    """Everything the claims need of the logistic loss: breast_cancer at large rates, the edge on diabetes."""
    loss, steps, sharp = large_rates()
    X, _, label = problem("diabetes", True)
    start = sharpness(X, np.zeros(X.shape[1]))
    edge, width = logistic_edge(X, label[:, None], 1 / start, 8 / start)
    return {
        "large_loss": loss,
        "large_steps": steps,
        "large_sharpness": sharp,
        "edge": edge * start,
        "edge_width": width * start,
        "edge_theory": 2 * start / sharpness(X, newton(X, label)),
    }


class Slopes(NamedTuple):
    """A loss on a data set: what the charts show of it whatever the rate."""

    loss: Loss
    X: Array  # (n, d)
    y: Array  # (n, 1)
    lam: Array  # (d,) eigenvalues at the start
    V: Array  # (d, d) eigenvectors, as columns
    bottom: Array  # (d,) the minimum; NaN where there is none
    lowest_loss: float
    wall_theory: float
    wall: float  # as a rate


@cache
def _slopes(name: str, standardise: bool, loss: Loss) -> Slopes:
    """Eigen-directions, the minimum and the wall."""
    X, target, label = problem(name, standardise)
    y = target if loss == "squared" else label
    found = least_squares(X, y) if loss == "squared" else newton(X, y)
    # Where the data are separable the logistic loss falls to 0 and nowhere has a minimum.
    bottom = np.full(X.shape[1], math.nan) if found is None else found
    least = 0.0 if found is None else float(mean_loss(loss, (X @ found)[:, None], y[:, None])[0])
    lam, V = directions(X, -slope(loss, X, y[:, None], np.zeros((X.shape[1], 1)))[:, 0])
    if loss == "squared":
        quadratic = _quadratic(name, standardise)
        theory, wall = 2 / quadratic["eigenvalues"][0], quadratic["wall"]
    else:
        lam, start = lam / 4, sharpness(X, np.zeros(X.shape[1]))  # σ' = 1/4 at w = 0
        theory = 2 / sharpness(X, found)
        wall = logistic_edge(X, y[:, None], 0.5 / start, 200 / start)[0]
    return Slopes(loss, X, y[:, None], lam, V, bottom, least, float(theory), float(wall))


def _walk(at: Slopes, multiples: Array, kind: type, start: Floats, steps: int) -> Iterator[Floats]:
    """Descend in single or double precision from start (d,) or (d, R): weights (d, R) of every step."""
    X: Floats = at.X.astype(kind)
    y: Floats = at.y.astype(kind)
    rates = (multiples / at.lam[0]).astype(kind)
    return descend(lambda W: slope(at.loss, X, y, W), start, rates, steps)


def _curve(at: Slopes, weights: Floats) -> tuple[Array, Array]:
    """Loss (T + 1,) along a walk (d, T + 1), and its error along each eigen-direction (T + 1, d)."""
    X, y, wide = at.X.astype(weights.dtype), at.y.astype(weights.dtype), weights.astype(np.float64)
    losses = mean_loss(at.loss, X @ weights, y).astype(np.float64)
    if at.loss == "squared":
        return losses, (wide - at.bottom[:, None]).T @ at.V
    # Slope over curvature: what the error would be on a quadratic.
    return losses, slope(at.loss, at.X, at.y, wide).T @ at.V / at.lam


@lru_cache(maxsize=201)  # the longest walk
def _stretch(name: str, standardise: bool, loss: Loss, float32: bool, number: int) -> tuple[Floats, Floats]:
    """Ten steps at all rates of the sweep and the watched ones; number 0 is the start alone.

    Weights at the end (d, R), and those of the watched rates after every step (C, d, 10). Remembered: the
    same however many steps follow, and whichever rate is chosen.
    """
    at, kind = _slopes(name, standardise, loss), np.float32 if float32 else np.float64
    multiples = np.append(SWEEP[loss], WATCHED[loss])
    if number:
        start = _stretch(name, standardise, loss, float32, number - 1)[0]
        _, *walk = _walk(at, multiples, kind, start, STRETCH)
    else:
        walk = list(_walk(at, multiples, kind, np.zeros(at.X.shape[1], kind), 0))
    return walk[-1], np.stack([W[:, len(SWEEP[loss]) :].T for W in walk], axis=-1)


@lru_cache(maxsize=24)
def _watched(
    name: str, standardise: bool, loss: Loss, float32: bool, steps: int, column: int
) -> tuple[Array, Array]:
    """Loss at one of the watched rates (T + 1,), and the error along the steepest direction (T + 1,)."""
    parts = [_stretch(name, standardise, loss, float32, k)[1] for k in range(steps // STRETCH + 1)]
    losses, errors = _curve(
        _slopes(name, standardise, loss), np.concatenate([part[column] for part in parts], axis=1)
    )
    return losses, errors[:, 0].copy()


@lru_cache(maxsize=4)
def _chosen(name: str, standardise: bool, loss: Loss, float32: bool, steps: int, multiple: float) -> Floats:
    """Weights (d, T + 1) at the chosen rate."""
    at, kind = _slopes(name, standardise, loss), np.float32 if float32 else np.float64
    walk = _walk(at, np.full(TWICE, multiple), kind, np.zeros(at.X.shape[1], kind), steps)
    return np.stack([W[:, 0] for W in walk], axis=-1)


def _probe_chosen(name: str, standardise: bool, multiple: float) -> Array:
    """Errors along the eigen-directions (PROBE_STEPS + 1, d, 1), as of ``probe``, at the chosen rate."""
    at = _slopes(name, standardise, "squared")
    error = at.V.T @ (
        _chosen(name, standardise, "squared", False, PROBE_STEPS, multiple) - at.bottom[:, None]
    )
    return error.T[:, :, None]


def _sweep(settings: Settings, tick: Tick) -> dict[str, Any]:
    """All rates of the sweep and the watched ones: the columns of one matrix; and the chosen rate."""
    loss, T, multiples = settings.loss, settings.steps, SWEEP[settings.loss]
    which = settings.data, settings.standardise, loss
    at, kind = _slopes(*which), np.float32 if settings.float32 else np.float64
    for number in range(T // STRETCH + 1):
        W = _stretch(*which, settings.float32, number)[0]
        if number % 2 == 0:
            tick(0.3 + 0.5 * number * STRETCH / T)
    curves = []
    for column in range(len(WATCHED[loss])):
        curves.append(_watched(*which, settings.float32, T, column))
        tick(0.8 + 0.15 * (column + 1) / (len(WATCHED[loss]) + 1))
    chosen = _chosen(*which, settings.float32, T, settings.multiple)
    losses, errors = _curve(at, chosen)
    tick(0.95)
    start_error = -at.V.T @ at.bottom
    swept = mean_loss(loss, at.X.astype(kind) @ W[:, : len(multiples)], at.y.astype(kind))
    return {
        "curvature": at.lam,
        "sweep_multiples": multiples,
        "sweep_loss": swept.astype(np.float64),
        "sweep_theory": remaining(at.lam, start_error, multiples / at.lam[0], T)
        if loss == "squared"
        else np.full(len(multiples), math.nan),
        "curve_multiples": np.array([*WATCHED[loss], settings.multiple]),
        "curve_loss": np.column_stack([*(curve[0] for curve in curves), losses]),
        "curve_steepest": np.column_stack([*(curve[1] for curve in curves), errors[:, 0]]),
        "coordinates": errors,
        **_overflow(settings, at.lam, start_error, len(at.X), losses),
        **_plane(settings, at, chosen.astype(np.float64)),
    }


def _overflow(settings: Settings, lam: Array, error: Array, n: int, losses: Array) -> dict[str, float]:
    """The step at which the chosen rate overflows: as theory says, and as it happened."""
    theory, gone = math.nan, np.flatnonzero(~np.isfinite(losses))
    if settings.loss == "squared" and settings.multiple > 2:
        largest = float(np.finfo(np.float32 if settings.float32 else np.float64).max)
        theory = overflow_step(largest, n * error[0] ** 2 * lam[0], (settings.multiple - 1) ** 2)
    return {"overflow_theory": theory, "overflow": float(gone[0]) if len(gone) else math.nan}


def _plane(settings: Settings, at: Slopes, walk: Array) -> dict[str, Any]:
    """The path on two eigen-directions, and the loss around it on a 41 x 41 grid.

    The other directions stand at the minimum, for the logistic loss where the walk ended.
    """
    first, second = AXES[settings.path_axes]
    last, bottom = len(at.lam) - 1, at.bottom
    axes = (round(first * last), max(1, round(second * last)))
    A = at.V[:, axes]  # (d, 2)
    path = walk.T @ A  # (T + 1, 2)
    goal = A.T @ bottom if settings.loss == "squared" else np.full(2, math.nan)
    ranges = [_window(path[:, axis], goal[axis]) for axis in (0, 1)]
    ended = walk[:, np.isfinite(walk).all(axis=0)][:, -1]
    rest = bottom if settings.loss == "squared" else ended
    rest = rest - A @ (A.T @ rest)
    x, y_axis = np.meshgrid(*ranges)
    grid = rest[:, None] + A @ np.stack([x.ravel(), y_axis.ravel()])  # (d, 41²)
    # In five parts that fit the processor's cache.
    loss = [mean_loss(settings.loss, at.X @ part, at.y) for part in np.array_split(grid, 5, axis=1)]
    return {
        "axes": axes,
        "path": path,
        "plane_x": ranges[0],
        "plane_y": ranges[1],
        "plane_loss": np.concatenate(loss).reshape(x.shape),
        "minimum": goal,
    }


def _window(positions: Array, goal: float) -> Array:
    """41 values around the path and the minimum, at most three times as far as the start is from it."""
    seen = positions[np.isfinite(positions)]
    if math.isfinite(goal):
        seen = np.append(np.clip(seen, goal - 3 * abs(goal), goal + 3 * abs(goal)), goal)
    margin = 0.08 * float(np.ptp(seen)) or 1.0
    return np.linspace(seen.min() - margin, seen.max() + margin, 41)


@cache
def _scales() -> dict[str, tuple[float, float]]:
    """Largest and smallest eigenvalue of XᵀX/n for each data set, standardised and as shipped."""
    found = {}
    for name in ("diabetes", "breast_cancer"):
        for standardise in (True, False):
            X = problem(name, standardise)[0]
            values = np.linalg.svd(X, compute_uv=False) ** 2 / len(X)
            found[f"{name}, {'standardised' if standardise else 'as shipped'}"] = (
                float(values[0]),
                float(values[-1]),
            )
    return found


def run(settings: Settings, tick: Tick = no_tick) -> Result:
    """Descend at every rate in one batch, find the wall, and look along each eigen-direction."""
    which = settings.data, settings.standardise
    with np.errstate(over="ignore", invalid="ignore"):  # divergence is a result
        quadratic = _quadratic(*which)
        chosen = _probe_chosen(*which, settings.multiple)
        tick(0.1)
        curved = _curved()
        tick(0.2)
        at = _slopes(*which, settings.loss)
        tick(0.3)
        shown = _sweep(settings, tick)
    lam = shown["curvature"]
    kappa = lam[0] / lam[-1]
    summary = {
        "learning_rate": settings.multiple / lam[0],
        "lambda_max": lam[0],
        "condition_number": kappa,
        "wall_predicted": at.wall_theory,
        "wall_measured": at.wall,
        "best_rate": 2 / (lam[0] + lam[-1]),
        "best_factor_per_step": (kappa - 1) / (kappa + 1),
        "heavy_ball_factor_per_step": (math.sqrt(kappa) - 1) / (math.sqrt(kappa) + 1),
        "final_loss": shown["curve_loss"][-1, -1],
        "float32_overflow_step": len(quadratic["float32_squares"]) - 1,
    }
    tick(1.0)
    return Result(
        settings=settings,
        summary={name: float(value) for name, value in summary.items()},
        lowest_loss=at.lowest_loss,
        shown_wall_theory=at.wall_theory,
        shown_wall=at.wall,
        scales=_scales(),
        **quadratic
        | {
            "probe_multiples": np.append(quadratic["probe_multiples"], settings.multiple),
            "probe_error": np.concatenate([quadratic["probe_error"], chosen], axis=2),
        },
        **curved,
        **shown,
    )


# --- Theory against measurement -----------------------------------------------------------------------


def claims(result: Result) -> list[Claim]:
    """Judge the six claims, in the order of the catalogue."""
    return [
        _factor_claim(result),
        _best_rate_claim(result),
        _overflow_claim(result),
        _curvature_claim(result),
        Claim(
            id="2.6-gd-05",
            statement="Whether the learning rate matters more than any other choice has no agreed measure.",
            text_verdict="unverifiable",
            often_taught="The learning rate is the most important setting, and the first cause of failure.",
            reason="No public count of failed trainings and their causes exists to settle it.",
        ),
        _advice_claim(result),
    ]


def _factor_claim(result: Result) -> Claim:
    lam, error = result.eigenvalues, result.probe_error
    factors = 1 - np.outer(lam, result.probe_multiples / lam[0])  # (d, P)
    slowest = np.abs(factors).max(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        closed = result.start_error[:, None] * factors ** np.arange(PROBE_STEPS + 1)[:, None, None]
        size = np.maximum(np.abs(closed).max(axis=1), np.linalg.norm(result.start_error))
        gap = np.max(np.abs(error - closed) / size[:, None, :])
    flips = np.sum(np.diff(np.sign(error[: FLIP_STEPS + 1, 0, :]), axis=0) != 0, axis=0)
    measured = shrinkage(error, PROBE_STEPS).max(axis=0)
    at = {name: column for column, name in enumerate((*PROBES, "best", "chosen"))}

    def factor(name: Any, words: str) -> Check:
        column = at[name]
        return Check(
            what=f"factor per step at {words}",
            predicted=float(slowest[column]),
            measured=float(measured[column]),
            **identity(),
        )

    return Claim(
        id="2.6-gd-01",
        statement=r"On a quadratic, a step multiplies the error along eigen-direction $i$ by "
        r"$1-\alpha\lambda_i$; the walk as a whole goes by the largest, $\max_i|1-\alpha\lambda_i|$. "
        r"At $\alpha=1/\lambda_{\max}$ that is $1-1/\kappa$ per step.",
        predicted=float(1 - lam[-1] / lam[0]),
        measured=float(measured[at[1.0]]),
        **identity(),
        reason=r"$w^*$ is where the gradient $H(w-w^*)$ is zero, so $e\leftarrow(I-\alpha H)e$, and $H$ only "
        "stretches its eigenvectors.",
        also=(
            factor(2.01, "2.01/λ_max, just past the wall"),
            factor("chosen", "the chosen rate"),
            Check(
                what="largest gap to (1 - αλᵢ)ᵗ over all rates, steps and directions, relative",
                predicted=0.0,
                measured=float(gap),
                **identity(),
            ),
            *(
                Check(
                    what=f"sign flips of the steepest error in {FLIP_STEPS} steps at {name:g}/λ_max",
                    predicted=float(FLIP_STEPS * (name > 1)),
                    measured=float(flips[at[name]]),
                    **exact(),
                )
                for name in (0.5, 1.5, 2.01)
            ),
        ),
    )


def _best_rate_claim(result: Result) -> Claim:
    lam = result.eigenvalues
    kappa = float(lam[0] / lam[-1])
    root = math.sqrt(kappa)
    r = (root - 1) / (root + 1)
    steps = np.arange(PROBE_STEPS + 1)
    flattest = result.heavy_error[:, -1] / result.start_error[-1]  # (T + 1,)
    best = float(shrinkage(result.probe_error[:, :, len(PROBES)], PROBE_STEPS).max())
    polynomial = 1 + (1 - r) * PROBE_STEPS
    return Claim(
        id="2.6-gd-02",
        statement=r"The best constant rate is $\alpha^*=2/(\lambda_{\min}+\lambda_{\max})$, and its factor "
        r"per step is $(\kappa-1)/(\kappa+1)$. Heavy ball at its best replaces $\kappa$ by "
        r"$\sqrt\kappa$.",
        predicted=float(2 / (lam[0] + lam[-1])),
        measured=result.best,
        tolerance=result.best_width,
        rule="width of the last bracket of the bisection",
        reason="Below it the flattest direction is the slowest, above it the steepest; at the best they tie.",
        also=(
            Check(
                what="factor per step at the best rate, (κ - 1)/(κ + 1)",
                predicted=(kappa - 1) / (kappa + 1),
                measured=best,
                **identity(),
            ),
            Check(
                what="heavy ball: factor per step r = (√κ - 1)/(√κ + 1), with 1 + (1 - r)t divided out",
                predicted=r,
                measured=float(abs(flattest[-1] / polynomial) ** (1 / PROBE_STEPS)),
                **identity(),
            ),
            Check(
                what="heavy ball: largest gap to (1 + (1 - r)t) rᵗ along the flattest direction",
                predicted=0.0,
                measured=float(np.max(np.abs(flattest - (1 + (1 - r) * steps) * r**steps))),
                **identity(),
            ),
        ),
    )


def _overflow_claim(result: Result) -> Claim:
    lam, largest = result.eigenvalues[0], float(np.finfo(np.float32).max)
    growth, top = OVERFLOW_MULTIPLE - 1, abs(float(result.start_error[0]))
    # A weight is lost two steps after the sums Xᵀ(Xw - y) overflow: one makes it infinite, the next ∞ - ∞.
    lost = overflow_step(largest, result.rows * lam * top * result.steepest_entry, growth) + 2
    rule = "±1 step: float32 rounds every sum, and steps are whole"
    return Claim(
        id="2.6-gd-03",
        statement=r"Past the wall the loss overflows at a step known beforehand: at $2.1/\lambda_{\max}$ the "
        r"sum of squares passes the largest float32 at "
        r"$t=(\ln 3.4\cdot10^{38}-\ln nc^2\lambda_{\max})/(2\ln 1.1)$, rounded up, where $c$ is the error "
        "of the start along the steepest direction.",
        predicted=overflow_step(largest, result.rows * top**2 * lam, growth**2),
        measured=float(len(result.float32_squares) - 1) if np.isinf(result.float32_squares[-1]) else math.nan,
        tolerance=1.0,
        rule=rule,
        reason="The steepest direction alone grows, by 1.1 a step; its squares sum to nλc²·1.1²ᵗ.",
        also=(
            Check(
                what="step at which the weights are no numbers any more (NaN)",
                predicted=lost,
                measured=result.float32_nan_step,
                tolerance=1.0,
                rule=rule,
            ),
        ),
    )


def _curvature_claim(result: Result) -> Claim:
    rises = (np.diff(result.large_loss, axis=0) > 0).sum(axis=0)
    later = (np.diff(result.large_loss[1:, -1]) > 0).sum()
    after = result.large_steps >= 1
    return Claim(
        id="2.6-gd-04",
        statement=r"$2/\lambda_{\max}$ is sharp only where the curvature is fixed. The logistic loss on "
        r"breast_cancer at $50/\lambda_{\max}(0)$, 25 times the wall of its start, overshoots once and then "
        "falls at every step.",
        predicted=0.0,
        measured=float(later),
        **exact(),
        text_verdict="conditional",
        often_taught=r"Gradient descent diverges once $\alpha>2/\lambda_{\max}$.",
        reason="Where the model is sure the curvature p(1 - p) fades, and what counts is the curvature where "
        "the weights are, not where they began.",
        also=(
            Check(
                what="largest α·λ_max(w) after the first step, at 50/λ_max(0): below the wall",
                predicted=2.0,
                measured=float(result.large_sharpness[after, -1].max()),
                relation="<",
                **exact(),
            ),
            Check(
                what="steps at which the loss rises, at 20/λ_max(0)",
                predicted=0.0,
                measured=float(rises[LARGE.index(20.0)]),
                **exact(),
            ),
            Check(
                what="diabetes: edge of the logistic loss, 2/λ_max(w*), in multiples of 1/λ_max(0)",
                predicted=result.edge_theory,
                measured=result.edge,
                tolerance=result.edge_width + result.edge_theory / EDGE_STEPS,
                rule=f"last bracket + 1/{EDGE_STEPS} of the edge: nearer, {EDGE_STEPS} steps cannot tell "
                "growth from decay",
            ),
        ),
    )


def _advice_claim(result: Result) -> Claim:
    wall = 2 / float(result.eigenvalues[0])
    printed: tuple[Check, ...] = ()
    if result.settings.data == "diabetes" and result.settings.standardise:
        printed = (Check(what="standardised diabetes", predicted=0.497, measured=result.wall, **rounded(3)),)
    return Claim(
        id="2.2-gd-01",
        statement=r"What a rate may be is set by the data: gradient descent on a quadratic converges for "
        r"$0<\alpha<2/\lambda_{\max}$ and for no other $\alpha$.",
        predicted=wall,
        measured=result.wall,
        tolerance=result.wall_width,
        rule="width of the last bracket of the bisection",
        text_verdict="conditional",
        often_taught="The learning rate is a small number, usually 0.001 to 0.01.",
        reason=r"Units move the wall: multiply a feature by 10 and its curvature grows by 100.",
        also=(
            Check(
                what="the loss (3w - 7)², curvature 18: wall 2/18 = 1/9",
                predicted=1 / 9,
                measured=result.toy_wall,
                tolerance=result.toy_width,
                rule="width of the last bracket of the bisection",
            ),
            Check(
                what="the same loss at α = 1/18: one step lands on 7/3",
                predicted=7 / 3,
                measured=result.toy_landing,
                **identity(),
            ),
            *printed,
        ),
    )


# --- What the charts draw -----------------------------------------------------------------------------


def regime(multiple: float) -> str:
    """The regime of a quadratic at α = multiple/λ_max."""
    return "monotone" if multiple <= 1 else "oscillating" if multiple < 2 else "divergent"


def tables(result: Result) -> dict[str, pd.DataFrame]:
    """Tidy tables, one per chart."""
    T = result.settings.steps
    sweep = _sweep_table(result)
    return {
        "main": _main_table(result, sweep),
        "sweep": sweep,
        "curves": _curve_table(result, _thin(T, 240)),
        "directions": _direction_table(result, _thin(T, 160)),
        "path": _path_table(result, _thin(T, 200)),
        "landscape": _landscape_table(result),
        "race": _race_table(result),
        "overflow": _overflow_table(result),
        "logistic": _logistic_table(result),
        "walls": pd.DataFrame(
            [
                {"data": name, "lambda_max": top, "condition_number": top / low, "wall": 2 / top}
                for name, (top, low) in result.scales.items()
            ]
        ),
    }


def _finite(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    keep = np.isfinite(frame[column])
    return frame if keep.all() else frame[keep].reset_index(drop=True)


def _excess(result: Result, loss: Array) -> Array:
    """How far the loss is above its lowest, at least one rounding error: a logarithmic axis has no zero."""
    floor = float(np.finfo(np.float64).eps) * float(result.curve_loss[0, 0])
    return np.maximum(loss - result.lowest_loss, floor)


def _sweep_table(result: Result) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "multiple": result.sweep_multiples,
            "learning_rate": result.sweep_multiples / result.curvature[0],
            "regime": [regime(float(m)) for m in result.sweep_multiples],
            "final_loss": result.sweep_loss,
            "excess_loss": _excess(result, result.sweep_loss),
            "predicted_excess_loss": result.sweep_theory,
        }
    )
    return _finite(table, "final_loss")


def _main_table(result: Result, sweep: pd.DataFrame) -> pd.DataFrame:
    """The sweep as far as a chart can show it: to where it crosses a thousand times the loss of the start."""
    columns = {
        "multiple": sweep.multiple.to_numpy(),
        "learning_rate": sweep.learning_rate.to_numpy(),
        "log10_excess_loss": np.log10(sweep.excess_loss.to_numpy()),
        "log10_predicted": np.log10(sweep.predicted_excess_loss.to_numpy()),
    }
    height, most = columns["log10_excess_loss"], 3 + math.log10(result.curve_loss[0, 0])
    above = np.flatnonzero(height > most)
    if len(above):
        i = above[0]
        share = (most - height[i - 1]) / (height[i] - height[i - 1])
        columns = {
            name: np.append(column[:i], column[i - 1] + share * (column[i] - column[i - 1]))
            for name, column in columns.items()
        }
    return pd.DataFrame(columns)


def _curve_table(result: Result, steps: NDArray[np.int64]) -> pd.DataFrame:
    multiples, S = result.curve_multiples, len(steps)
    loss = result.curve_loss[steps].T.ravel()  # (C·S,)
    table = pd.DataFrame(
        {
            "multiple": np.repeat(multiples, S),
            "learning_rate": np.repeat(multiples / result.curvature[0], S),
            "regime": np.repeat(np.array([regime(float(m)) for m in multiples], dtype=object), S),
            "chosen": np.repeat(np.arange(len(multiples)) == len(multiples) - 1, S),
            "step": np.tile(steps, len(multiples)),
            "loss": loss,
            "excess_loss": _excess(result, loss),
            "steepest_error": (result.curve_steepest[steps] / np.abs(result.curve_steepest[0])).T.ravel(),
        }
    )
    return _finite(table, "loss")


def _direction_table(result: Result, steps: NDArray[np.int64]) -> pd.DataFrame:
    d = len(result.curvature)
    shown = np.unique(np.rint(np.linspace(0, d - 1, 10)).astype(int))
    factor = 1 - result.settings.multiple * result.curvature[shown] / result.curvature[0]
    with np.errstate(over="ignore", invalid="ignore"):
        predicted = np.abs(factor) ** steps[:, None]  # (S, D)
        measured = np.abs(result.coordinates[steps][:, shown] / result.coordinates[0, shown])
    table = pd.DataFrame(
        {
            "step": np.repeat(steps, len(shown)),
            "direction": np.tile(shown + 1, len(steps)),
            "eigenvalue": np.tile(result.curvature[shown], len(steps)),
            "measured": measured.ravel(),
            "predicted": predicted.ravel(),
        }
    )
    return _finite(_finite(table, "measured"), "predicted")


def _path_table(result: Result, steps: NDArray[np.int64]) -> pd.DataFrame:
    """The walk on the two axes, a frame a row."""
    table = pd.DataFrame(
        {
            "frame": np.arange(len(steps)),
            "step": steps,
            "x": result.path[steps, 0],
            "y": result.path[steps, 1],
            "loss": result.curve_loss[steps, -1],
        }
    )
    # Until it is twenty windows away: a browser cannot draw 1e150.
    reach = 20 * np.array([np.ptp(result.plane_x), np.ptp(result.plane_y)])
    return table[(np.abs(result.path[steps]) <= reach).all(axis=1) & np.isfinite(table.loss)]


def _landscape_table(result: Result) -> pd.DataFrame:
    x, y = np.meshgrid(result.plane_x, result.plane_y)
    half_x, half_y = (np.diff(axis[:2])[0] / 2 for axis in (result.plane_x, result.plane_y))
    return pd.DataFrame(
        {
            "x": (x - half_x).ravel(),
            "x_end": (x + 1.5 * half_x).ravel(),  # a little overlap leaves no seams
            "y": (y - half_y).ravel(),
            "y_end": (y + 1.5 * half_y).ravel(),
            "loss": result.plane_loss.ravel(),
            "excess_loss": _excess(result, result.plane_loss).ravel(),
            # Half powers of ten: the steps between bands are drawn as contours.
            "band": np.round(2 * np.log10(_excess(result, result.plane_loss)).ravel()) / 2,
        }
    )


def _race_table(result: Result) -> pd.DataFrame:
    """Error along the flattest direction: gradient descent and heavy ball, both at their best."""
    lam, steps = result.eigenvalues, np.arange(PROBE_STEPS + 1)
    root = math.sqrt(lam[0] / lam[-1])
    r = (root - 1) / (root + 1)
    plain = (1 - 2 * lam[-1] / (lam[0] + lam[-1])) ** steps
    errors = np.concatenate([result.probe_error[:, -1, len(PROBES)], result.heavy_error[:, -1]])
    return pd.DataFrame(
        {
            "step": np.tile(steps, 2),
            "method": np.repeat(np.array(["gradient descent", "heavy ball"], dtype=object), len(steps)),
            "measured": np.abs(errors) / abs(result.start_error[-1]),
            "predicted": np.concatenate([plain, (1 + (1 - r) * steps) * r**steps]),
        }
    )


def _overflow_table(result: Result) -> pd.DataFrame:
    finite = result.float32_squares[np.isfinite(result.float32_squares)]
    steps = np.arange(len(finite))
    first = result.rows * result.start_error[0] ** 2 * result.eigenvalues[0]
    return pd.DataFrame(
        {
            "step": steps,
            "log10_sum_of_squares": np.log10(finite),
            "predicted": math.log10(first) + 2 * steps * math.log10(OVERFLOW_MULTIPLE - 1),
        }
    )


def _logistic_table(result: Result) -> pd.DataFrame:
    steps, looked = _thin(LARGE_STEPS, 120), result.large_steps.astype(int)
    values = np.concatenate([result.large_loss[steps], result.large_sharpness])  # a column a rate
    quantity = np.repeat(np.array(["loss", "rate x curvature"], dtype=object), [len(steps), len(looked)])
    return pd.DataFrame(
        {
            "multiple": np.repeat(LARGE, len(values)),
            "quantity": np.tile(quantity, len(LARGE)),
            "step": np.tile(np.concatenate([steps, looked]), len(LARGE)),
            "value": values.T.ravel(),
        }
    )


# --- Predict, then see --------------------------------------------------------------------------------


def _who_blows_up(result: Result) -> str:
    growth = np.abs(result.coordinates[-1] / result.coordinates[0])
    if (growth > 1).all():
        return "All of them together"
    return "The steepest" if growth.argmax() == 0 else "The flattest"


CHALLENGES = (
    Challenge(
        prompt="The rate is set to 2.01/λ_max, half a percent past the wall. Which direction blows up?",
        options=("The steepest", "The flattest", "All of them together"),
        settings={"multiple": 2.01},
        answer=_who_blows_up,
        why="Only where αλ is above 2 does a step overshoot by more than the error it started with. "
        "All the flatter directions go on converging beside the explosion.",
    ),
    Challenge(
        prompt="You take 200 steps at 1.5/λ_max. How far above the lowest loss do you end, as a power of ten "
        "(−3 for a thousandth)?",
        options=(),
        settings={"multiple": 1.5},
        answer=lambda result: float(
            np.interp(1.5, *tables(result)["main"][["multiple", "log10_excess_loss"]].to_numpy().T)
        ),
        curve=("main", "multiple", "log10_excess_loss"),
        at=1.5,
        why="The steep directions are long done; what is left is the flattest, which the rate hardly moves.",
    ),
    Challenge(
        prompt="You feed the tumour measurements in as they come, areas in the thousands beside ratios below "
        "0.1, and take α = 0.01, as often advised. What does gradient descent on the squared loss do?",
        options=("It converges, slowly", "It oscillates, and converges", "It diverges"),
        settings={"data": "breast_cancer", "standardise": False},
        answer=lambda result: (
            "It diverges"
            if result.wall < 0.01
            else "It oscillates, and converges"
            if result.wall < 0.02
            else "It converges, slowly"
        ),
        why="One column of large numbers makes λ_max about 1.7 million and the wall about one millionth. "
        "Standardised, the same data take a rate 100,000 times larger.",
    ),
)
