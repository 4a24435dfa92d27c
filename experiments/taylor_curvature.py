r"""**How far can slope and curvature be trusted?**

You approach a function by its slope, then by its slope and curvature, and measure what is left over:
along a line, on a surface, and on the loss of a classifier of 569 tumours.

$$
\begin{aligned}
f(x+\delta) &= f(x) + \nabla f^\top \delta + \tfrac12\, \delta^\top H \delta \\
&\quad + O(\lVert\delta\rVert^3), \qquad H_{ij} = \frac{\partial^2 f}{\partial x_i \partial x_j}
\end{aligned}
$$

- $\nabla f$: the **gradient**; keep only this term and what is left over shrinks like $\lVert\delta\rVert^2$
- $H$: the **Hessian**, symmetric; its eigenvalues are the curvatures along its eigenvectors
- **forward difference** $\frac{f(x+h)-f(x)}{h}$: wrong by $\frac h2 |f''|$, plus rounding of order $u/h$
- **central difference** $\frac{f(x+h)-f(x-h)}{2h}$: wrong by $\frac{h^2}{6}|f'''|$, plus rounding
- $u = 2^{-53} \approx 1.1 \cdot 10^{-16}$: the relative rounding error of a 64-bit number

A smaller step is a better step only until rounding takes over. If a value of $f$ and the place where it
is taken are each rounded once, the two errors balance at

$$
\begin{aligned}
h_\text{forward} &= 2\sqrt{u\,\frac{|f| + \frac12|x f'|}{|f''|}}, \\
h_\text{central} &= \Bigl(3u\,\frac{|f| + |x f'|}{|f'''|}\Bigr)^{1/3}.
\end{aligned}
$$

Where the gradient vanishes the curvature decides: all eigenvalues positive is a minimum, all negative a
maximum, both signs a saddle. A zero eigenvalue decides nothing: $x^4 + y^4$ and $-x^4 - y^4$ have the
same Hessian.

**The loss** is $L(w) = \frac1n \sum_i \log(1 + e^{s_i}) - y_i s_i$ with $s = Xw$, the features
standardised. The place is $w = x\,u$ with a random unit vector $u$, so *Point* says how far out on that
line you stand.

**What to try.** Set $h$ to 1e-15: all but the first digit or two of the slope are gone. Choose the monkey
saddle and compare what the Hessian sees of it (nothing) with what a walk around it finds. Take the two
sliders under the surface and carry the plane and the bent patch around: the plane is good only near its
point, the patch reaches further.

**What surprises.** Half the digits are the most that a forward difference can give. And gradient descent
outlives its own linear picture: at 1.9/λ a step brings 5 % of what the slope promises, and still the
descent converges.

*References.* B. Taylor (1715), Methodus incrementorum directa et inversa. N. J. Higham (2002), Accuracy
and Stability of Numerical Algorithms. B. A. Pearlmutter (1994), Fast exact multiplication by the Hessian.
D. S. Dean and S. N. Majumdar (2006), Large deviations of extreme eigenvalues of random matrices. Y. N.
Dauphin et al. (2014), Identifying and attacking the saddle point problem in high-dimensional non-convex
optimization.
"""

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import model_validator
from scipy.special import expit

from lab import contract
from lab.contract import (
    Array,
    Challenge,
    Check,
    Claim,
    Tick,
    control,
    exact,
    four_standard_errors,
    identity,
    no_tick,
    seed_control,
    setting_error,
)
from lab.data import breast_cancer
from lab.memory import fixed, remembered

U = 2.0**-53  # unit roundoff of float64
PER_DECADE = 24
# Roundings in a value of f, at most: one unit in the last place for sin and exp. A mean of 569 terms takes
# two for each term and 16 + 3 + 3 for the sum: NumPy adds blocks of 128 in eight lanes, then pairs.
ROUNDINGS = {"sin x": 2, "exp x": 2, "|x|": 1, "breast_cancer loss": 24}
STEPS = 10.0 ** (np.arange(-15 * PER_DECADE, 1) / PER_DECADE)  # the h of the U-shaped curves
FORWARD_FIT, CENTRAL_FIT = (1e-5, 1e-2), (1e-3, 1e-1)  # where truncation rules: its slope is read off here
RADII = np.geomspace(1e-4, 1.0, 49)  # ‖δ‖ of the Taylor remainders
REMAINDER_FIT = (1e-3, 3e-2)
LARGE_MODEL = 175e9  # weights of a model whose Hessian nobody can store
HESSIAN_SIZES = (5, 10, 15, 20, 25, 30)
CLIMBERS = 300  # directions against the gradient, from nearly its own to random ones
LARGEST_N = 8  # of the random Hessians
CHUNK = 50_000
MULTIPLES = np.round(0.02 + 0.04 * np.arange(63), 2)  # αλ: 1.90 is among them, the edge at 2 between two
DESCENT_STEPS = 100
OFFSETS: Array = np.array([10.0**-k for k in range(1, 13)])  # distances from the ridge of a saddle
SADDLE_RATE, SADDLE_STEPS, NOISE, NOISY = 0.05, 400, 1e-6, 200

# A surface is a sum of terms c·xⁱ·yʲ, written (c, i, j); beside it the points where its gradient is zero.
SURFACES: dict[str, tuple[tuple[float, int, int], ...]] = {
    "bowl": ((1.0, 2, 0), (0.5, 0, 2)),
    "dome": ((-1.0, 2, 0), (-0.5, 0, 2)),
    "saddle": ((1.0, 2, 0), (-1.0, 0, 2)),
    "x² + y³": ((1.0, 2, 0), (1.0, 0, 3)),
    "monkey saddle": ((1.0, 3, 0), (-3.0, 1, 2)),
    "x⁴ + y⁴": ((1.0, 4, 0), (1.0, 0, 4)),
    "−x⁴ − y⁴": ((-1.0, 4, 0), (-1.0, 0, 4)),
    "hills": ((1 / 3, 3, 0), (-1.0, 1, 0), (1 / 3, 0, 3), (-1.0, 0, 1)),
}
CRITICAL = {"hills": ((1.0, 1.0), (-1.0, 1.0), (1.0, -1.0), (-1.0, -1.0))}
ORIGIN = ((0.0, 0.0),)
REACH, PATCH = 1.5, 0.5  # half the width of the drawn surface and of the models on it
PLACES = np.round(np.arange(-1.25, 1.26, 0.25), 2)  # where the models can be carried
RING = 0.5  # radius of the drawn walk around a critical point
AROUND = np.linspace(-np.pi, np.pi, 721)


class Settings(contract.Settings):
    """What you can turn."""

    function: Literal["sin x", "exp x", "|x|", "breast_cancer loss"] = control(
        "sin x", "Function", help="What is differentiated: a curve, or the loss along a random direction."
    )
    point: float = control(1.0, "Point x", ge=-3, le=3, step=0.1, help="Where the slope is wanted.")
    h: float = control(
        1e-3, "Your step h", ge=1e-15, le=1, log=True, help="Marked on the curve of errors. Try 1e-15."
    )
    surface: Literal["bowl", "dome", "saddle", "x² + y³", "monkey saddle", "x⁴ + y⁴", "−x⁴ − y⁴", "hills"] = (
        control("saddle", "Surface", help="Its plane and its bent patch can be carried over it.")
    )
    draws: int = control(
        100_000, "Random Hessians", ge=1000, le=1_000_000, log=True,
        help="How many symmetric Gaussian matrices are drawn.",
    )  # fmt: skip
    seed: int = seed_control()

    @model_validator(mode="after")
    def _smooth(self) -> "Settings":
        if self.function == "|x|" and self.point == 0:
            why = "derivative undefined, the slope jumps from −1 to +1; try 0.1, or any other from −3 to 3"
            raise setting_error("point", 0, why)
        return self


@dataclass(frozen=True)
class Result:
    """What one run leaves behind. d = 30 features, K steps, R radii, M learning rates."""

    settings: Settings
    summary: dict[str, float]
    # Finite differences of the chosen function
    derivatives: Array  # (6,) f, f′, …, f⁽⁵⁾ at the point
    forward_error: Array  # (K,) at STEPS
    central_error: Array  # (K,)
    best: Array  # (2,) the steps with the least error, forward and central
    # The loss at w = point·u, moved by r·u
    gradient: Array  # (d,)
    hessian: Array  # (d, d)
    loss_derivatives: Array  # (6,) along u
    remainder: Array  # (2, R) what slope alone, and slope with curvature, leave over
    loss_rows: int
    # Climbing from w = 0
    start_gradient: Array  # (d,)
    climbs: Array  # (CLIMBERS,) rates of climb along other unit vectors
    steps: Array  # (4,) the same along the four steps of ``step_table``
    # What a Hessian costs
    hessian_bytes: Array  # of the first HESSIAN_SIZES features, in float32
    product: Array  # (d,) H·v from two passes of vectors
    product_full: Array  # (d,) H·v from the matrix
    costs: Array  # (3,) multiplications of a gradient, a product H·v and the full H
    # Critical points of all surfaces, in the order of ``critical_points``
    eigenvalues: Array  # (P, 2) ascending
    by_walk: tuple[str, ...]  # P kinds, by walking around the point
    gradient_norms: Array  # (P,)
    dip: float  # the lowest value of x² + y³ on the circle of radius 0.1
    # Random Hessians
    positive: Array  # (LARGEST_N,) how many draws have only positive eigenvalues
    # Gradient descent on squared loss along the steepest eigenvector
    arrived: Array  # (M,) decrease over the decrease that the slope promised, in the first step
    excess: Array  # (M,) loss above the minimum after DESCENT_STEPS, over that at the start
    # Leaving a saddle
    leaving: Array  # steps until |y| > 1 from each of OFFSETS
    ridge_end: float  # where a walk that starts on the ridge ends
    noisy_left: float  # share of the noisy walks from the ridge that leave


# --- Along a line -------------------------------------------------------------------------------------

Curve = Callable[[Array], Array]


def forward_difference(f: Curve, x: float, h: Array) -> Array:
    """$(f(x+h) - f(x))/h$ for every h (K,)."""
    return (f(x + h) - f(np.array([x]))) / h


def central_difference(f: Curve, x: float, h: Array) -> Array:
    """$(f(x+h) - f(x-h))/2h$ for every h (K,)."""
    return (f(x + h) - f(x - h)) / (2 * h)


def logistic_along(a: Array, b: Array, y: Array) -> tuple[Curve, Array]:
    """The loss at scores a + t·b as a function of t, and its six derivatives at 0: (6,).

    With $p = σ(s)$, $v = p(1-p)$: $σ' = v$, $σ'' = v(1-2p)$, $σ''' = v(1-6v)$, $σ'''' = v(1-2p)(1-12v)$.
    """

    def value(t: Array) -> Array:
        s = a + np.outer(t, b)  # (K, n): sums along the last axis round least
        return np.asarray(np.mean(np.logaddexp(0, s) - y * s, axis=1))

    p = expit(a)
    v, odd = p * (1 - p), 1 - 2 * p
    slopes = (p - y, v, v * odd, v * (1 - 6 * v), v * odd * (1 - 12 * v))
    rest = [float(np.mean(slope * b ** (k + 1))) for k, slope in enumerate(slopes)]
    return value, np.array([value(np.zeros(1))[0], *rest])


def curve(name: str, x: float, b: Array, y: Array) -> tuple[Curve, Array]:
    """The chosen function and its value and five derivatives at x (6,)."""
    if name == "sin x":
        s, c = math.sin(x), math.cos(x)
        return np.sin, np.array([s, c, -s, -c, s, c])
    if name == "exp x":
        return np.exp, np.full(6, math.exp(x))
    if name == "|x|":
        return np.abs, np.array([abs(x), math.copysign(1.0, x), 0.0, 0.0, 0.0, 0.0])
    value, _ = logistic_along(np.zeros_like(b), b, y)
    return value, logistic_along(x * b, b, y)[1]


def rounding(derivatives: Array, x: float) -> tuple[float, float]:
    """Most that rounding adds to h·(forward) and h·(central): f twice, and x + h, each rounded once."""
    size, moved = abs(derivatives[0]), abs(x * derivatives[1])
    return U * (2 * size + moved), U * (size + moved)


def predicted_errors(derivatives: Array, x: float, h: Array) -> Array:
    """Leading truncation plus rounding, forward and central: (2, K)."""
    up, both = rounding(derivatives, x)
    return np.stack([h / 2 * abs(derivatives[2]) + up / h, h**2 / 6 * abs(derivatives[3]) + both / h])


def predicted_best(derivatives: Array, x: float) -> Array:
    """The h at which truncation and rounding balance, forward and central (2,); NaN where one is zero."""
    up, both = rounding(derivatives, x)
    second, third = np.abs(derivatives[2:4])
    forward = math.sqrt(2 * up / second) if second and up else math.nan
    return np.array([forward, (3 * both / third) ** (1 / 3) if third and both else math.nan])


def measured_best(error: Array) -> float:
    """The step of least error, as a running root mean square over half a decade: single hits are luck."""
    half = PER_DECADE // 4
    sums = np.convolve(error**2, np.ones(2 * half + 1), "valid")
    return float(STEPS[half + int(sums.argmin())])


# --- Slopes in double logarithm, and how far they may be off ------------------------------------------


def _within(x: Array, ends: tuple[float, float]) -> Any:
    return (x >= ends[0] * (1 - 1e-9)) & (x <= ends[1] * (1 + 1e-9))


def fitted_slope(x: Array, y: Array, ends: tuple[float, float]) -> float:
    """Least-squares slope of log y against log x between ``ends``; NaN where y is zero."""
    keep = _within(x, ends)
    if not np.all(y[keep] > 0):
        return math.nan
    return float(np.polyfit(np.log(x[keep]), np.log(y[keep]), 1)[0])


def slope_band(
    x: Array, ends: tuple[float, float], terms: tuple[float, ...], powers: tuple[int, ...], noise: Array
) -> float:
    """How far the fitted slope can be from ``powers[0]`` if y = |Σ termsᵢ·x^powersᵢ| ± noise; inf if too far.

    A relative deviation of at most e moves log y by at most -log(1 - e); the fit weighs these moves by
    $(\\log x - m)/\\sum(\\log x - m)^2$, so the slope moves by at most the weighted sum.
    """
    keep = _within(x, ends)
    x, noise = x[keep], noise[keep]
    lead = abs(terms[0]) * x ** powers[0]
    others = sum(abs(t) * x**p for t, p in zip(terms[1:], powers[1:], strict=True)) + noise
    if not np.all(others < 0.5 * lead):
        return math.inf
    centred = np.log(x) - np.log(x).mean()
    return float(np.sum(np.abs(centred) * -np.log1p(-others / lead)) / np.sum(centred**2))


# --- The loss in thirty dimensions --------------------------------------------------------------------


class Metered:
    """A matrix that counts the multiplications it takes part in."""

    def __init__(self, matrix: Array, count: list[int] | None = None) -> None:
        """Wrap ``matrix``; its transpose shares the count."""
        self.matrix, self.count = matrix, [0] if count is None else count

    def __matmul__(self, other: Array) -> Array:
        """The product, counted."""
        self.count[0] += self.matrix.size * (other.size // len(other))
        return self.matrix @ other

    @property
    def T(self) -> "Metered":
        """The transpose."""
        return Metered(self.matrix.T, self.count)


def loss_gradient(X: Any, y: Array, w: Array) -> Array:
    """$X^\\top(p - y)/n$: (d,)."""
    return np.asarray(X.T @ (expit(X @ w) - y) / len(y))


def hessian_product(X: Any, w: Array, v: Array) -> Array:
    """$Hv = X^\\top(p(1-p) \\odot Xv)/n$ without H (Pearlmutter, 1994): (d,)."""
    p = expit(X @ w)
    return np.asarray(X.T @ (p * (1 - p) * (X @ v)) / len(p))


def loss_hessian(X: Any, features: Array, w: Array) -> Array:
    """$X^\\top \\mathrm{diag}(p(1-p)) X/n$: (d, d)."""
    p = expit(X @ w)
    return np.asarray(X.T @ (features * (p * (1 - p))[:, None]) / len(p))


@cache
def standardised() -> tuple[Array, Array]:
    """The tumours: features with mean 0 and spread 1 (569, 30), and the label, 1 for benign."""
    X, y = breast_cancer()
    return fixed((X - X.mean(axis=0)) / X.std(axis=0)), y


def step_table(g: Array) -> list[tuple[str, str, Array, float]]:
    """The ball, the step's name, the step in it, and its predicted climb: g and sign(g) under two norms."""
    size, largest = float(np.linalg.norm(g)), float(np.abs(g).max())
    signs, total = np.sign(g), float(np.abs(g).sum())
    return [
        ("‖u‖₂ = 1", "gradient", g / size, size),
        ("‖u‖₂ = 1", "its signs", signs / math.sqrt(len(g)), total / math.sqrt(len(g))),
        ("‖u‖∞ = 1", "gradient", g / largest, size**2 / largest),
        ("‖u‖∞ = 1", "its signs", signs, total),
    ]


def first_decrease(X: Array, target: Array, multiples: Array) -> tuple[Array, Array]:
    """Squared loss, from the minimum plus its steepest eigenvector, at rates multiples/λ.

    The share of the promised decrease $α\\lVert g \\rVert^2$ that the first step brings (M,), and the excess
    loss after all steps over that at the start (M,).
    """
    n = len(X)
    second, pull = X.T @ X / n, (X.T @ target / n)[:, None]
    lam, V = np.linalg.eigh(second)
    lowest = np.linalg.solve(second, pull)[:, 0]
    bottom = float(np.mean((X @ lowest - target) ** 2) / 2)
    rates, W = multiples / lam[-1], np.repeat((lowest + V[:, -1])[:, None], len(multiples), axis=1)

    def loss(weights: Array) -> Array:
        return np.asarray(np.mean((X @ weights - target[:, None]) ** 2, axis=0) / 2)

    start, g = loss(W[:, :1]), X.T @ (X @ W[:, :1] - target[:, None]) / n  # (1,), (d, 1)
    arrived = (start - loss(W - rates * g)) / (rates * np.sum(g**2))
    for _ in range(DESCENT_STEPS):
        W = W - rates * (second @ W - pull)
    return arrived, (loss(W) - bottom) / (start - bottom)


# --- Surfaces -----------------------------------------------------------------------------------------


def _power(c: float, i: int, j: int, x: Array, y: Array) -> Array:
    return c * x ** max(i, 0) * y ** max(j, 0)  # a negative power comes with c = 0


def height(name: str, x: Array, y: Array) -> Array:
    """The surface at the points (x, y), any shape."""
    return np.asarray(sum(_power(*term, x, y) for term in SURFACES[name]))


def surface_gradient(name: str, x: Array, y: Array) -> Array:
    """Its gradient, (2, ...)."""
    terms = SURFACES[name]
    across = sum(_power(c * i, i - 1, j, x, y) for c, i, j in terms)
    return np.stack([across, sum(_power(c * j, i, j - 1, x, y) for c, i, j in terms)])


def surface_hessian(name: str, x: Array, y: Array) -> Array:
    """Its Hessian, (2, 2, ...)."""
    terms = SURFACES[name]
    xx = sum(_power(c * i * (i - 1), i - 2, j, x, y) for c, i, j in terms)
    xy = sum(_power(c * i * j, i - 1, j - 1, x, y) for c, i, j in terms)
    yy = sum(_power(c * j * (j - 1), i, j - 2, x, y) for c, i, j in terms)
    return np.stack([np.stack([xx, xy]), np.stack([xy, yy])])


def models(name: str, x: Any, y: Any, dx: Array, dy: Array) -> tuple[Array, Array]:
    """First and second order models at (x, y), moved by (dx, dy)."""
    g, H = surface_gradient(name, x, y), surface_hessian(name, x, y)
    plane = height(name, x, y) + g[0] * dx + g[1] * dy
    return plane, plane + (H[0, 0] * dx**2 + 2 * H[0, 1] * dx * dy + H[1, 1] * dy**2) / 2


def critical_points() -> list[tuple[str, float, float]]:
    """Every surface with each of its critical points."""
    return [(name, x, y) for name in SURFACES for x, y in CRITICAL.get(name, ORIGIN)]


def kind_by_eigenvalues(eigenvalues: Array) -> str:
    """What the signs of the eigenvalues say; *undecided* where one is zero and the others agree."""
    low, high = float(eigenvalues.min()), float(eigenvalues.max())
    if low < 0 < high:
        return "saddle"
    return "minimum" if low > 0 else "maximum" if high < 0 else "undecided"


def kind_by_walk(name: str, x: float, y: float, radius: float = 0.01) -> str:
    """What a walk around the point finds: higher everywhere, lower everywhere, or both."""
    here = height(name, np.array(x), np.array(y))
    rise = height(name, x + radius * np.cos(AROUND), y + radius * np.sin(AROUND)) - here
    if rise.min() > 0:
        return "minimum"
    return "maximum" if rise.max() < 0 else "saddle"


def project(x: Array, y: Array, z: Array) -> tuple[Array, Array]:
    """Where a point of space lands on the page, seen from a corner and above."""
    turn, tilt = math.radians(32), math.radians(28)
    depth = x * math.sin(turn) + y * math.cos(turn)
    return x * math.cos(turn) - y * math.sin(turn), z * math.cos(tilt) + depth * math.sin(tilt)


def leave_saddle(rng: np.random.Generator) -> tuple[Array, float, float]:
    """Descend on x² − y²: steps until |y| > 1 from each offset, the end from the ridge, noisy exits."""
    walkers = np.append(OFFSETS, np.zeros(1 + NOISY))
    x, y, left = np.ones_like(walkers), walkers, np.full(len(walkers), math.nan)
    for step in range(1, SADDLE_STEPS + 1):
        gx, gy = surface_gradient("saddle", x, y)
        x, y = x - SADDLE_RATE * gx, y - SADDLE_RATE * gy
        y[-NOISY:] += NOISE * rng.standard_normal(NOISY)
        left[np.isnan(left) & (np.abs(y) > 1)] = step
    return left[: len(OFFSETS)], float(y[len(OFFSETS)]), float(np.mean(np.isfinite(left[-NOISY:])))


# --- Random Hessians ----------------------------------------------------------------------------------


def count_positive(draws: int, rng: np.random.Generator) -> Array:
    """How many of ``draws`` symmetric Gaussian matrices have only positive eigenvalues, n = 1..8: (8,).

    Entries N(0, 1), on the diagonal N(0, 2). A matrix grows by a row at a time; it stays positive definite
    as long as the new pivot $d - \\lVert L^{-1} b \\rVert^2$ of Cholesky is positive, else it is dropped.
    """
    L, alive = np.zeros((draws, LARGEST_N, LARGEST_N)), np.zeros(LARGEST_N)
    for n in range(LARGEST_N):
        b, z = rng.standard_normal((len(L), n)), np.zeros((len(L), n))
        for k in range(n):  # L z = b
            z[:, k] = (b[:, k] - np.sum(L[:, k, :k] * z[:, :k], axis=1)) / L[:, k, k]
        pivot = math.sqrt(2) * rng.standard_normal(len(L)) - np.sum(z**2, axis=1)
        keep = pivot > 0
        L = L[keep]
        L[:, n, :n], L[:, n, n] = z[keep], np.sqrt(pivot[keep])
        alive[n] = len(L)
    return alive


def positive_in_theory() -> Array:
    """The exact shares for n = 1, 2, 3 (Dean and Majumdar, 2006)."""
    return np.array([0.5, (2 - math.sqrt(2)) / 4, (math.pi - 2 * math.sqrt(2)) / (4 * math.pi)])


# --- The run ------------------------------------------------------------------------------------------


def _differences(f: Curve, derivatives: Array, x: float, h: float) -> dict[str, Any]:
    """The errors of both differences at all steps, and at the chosen one."""
    grid = np.append(STEPS, h)
    up = np.abs(forward_difference(f, x, grid) - derivatives[1])
    both = np.abs(central_difference(f, x, grid) - derivatives[1])
    best = np.array([measured_best(up[:-1]), measured_best(both[:-1])])
    return {
        "forward_error": up[:-1],
        "central_error": both[:-1],
        "best": best,
        "at_h": (float(up[-1]), float(both[-1])),
    }


class Drawn(NamedTuple):
    """What depends on the seed only."""

    u: Array  # (d,) the direction in which the loss is followed
    v: Array  # (d,) a vector that the Hessian is multiplied with
    climbs: dict[str, Any]  # of ``_climbs``
    saddle: tuple[Array, float, float]  # of ``leave_saddle``
    rng: np.random.Generator  # as these draws left it, to copy


@lru_cache(maxsize=8)
def _drawn(seed: int) -> Drawn:
    """Draw the directions, climb from w = 0 and leave the saddle: the same wherever you stand."""
    rng = np.random.default_rng(seed)
    X, y = standardised()
    u, v = rng.standard_normal((2, X.shape[1]))
    u /= np.linalg.norm(u)
    climbs, (leaving, end, left) = _climbs(X, y, rng), leave_saddle(rng)
    return fixed(Drawn(u, v, climbs, fixed((leaving, end, left)), rng))


@lru_cache(maxsize=64)
def _loss(seed: int, x: float) -> dict[str, Any]:
    """Gradient, Hessian, remainders and costs of the loss at w = x·u."""
    (X, y), u, v = standardised(), _drawn(seed).u, _drawn(seed).v
    n = len(X)
    w, b = x * u, X @ u
    value, derivatives = logistic_along(x * b, b, y)
    g, H = loss_gradient(X, y, w), loss_hessian(X, X, w)
    slope = derivatives[0] + RADII * (g @ u)
    left = value(RADII) - np.stack([slope, slope + RADII**2 / 2 * (u @ H @ u)])
    costs, meter = [], Metered(X)
    for work in (
        lambda: loss_gradient(meter, y, w), lambda: hessian_product(meter, w, v),
        lambda: loss_hessian(meter, X, w),
    ):  # fmt: skip
        meter.count[0] = 0
        work()
        costs.append(meter.count[0])
    sizes = [loss_hessian(X[:, :k], X[:, :k], w[:k]).astype(np.float32).nbytes for k in HESSIAN_SIZES]
    return {
        "gradient": fixed(g), "hessian": fixed(H), "loss_derivatives": fixed(derivatives),
        "remainder": fixed(np.abs(left)), "loss_rows": n, "hessian_bytes": fixed(np.array(sizes, float)),
        "product": fixed(hessian_product(X, w, v)), "product_full": fixed(H @ v),
        "costs": fixed(np.array(costs, float)),
    }  # fmt: skip


def _climbs(X: Array, y: Array, rng: np.random.Generator) -> dict[str, Any]:
    """Rates of climb from w = 0, by central differences: other unit vectors and the four steps."""
    g = loss_gradient(X, y, np.zeros(X.shape[1]))
    random = rng.standard_normal((X.shape[1], CLIMBERS))
    random /= np.linalg.norm(random, axis=0)
    random = random * np.geomspace(0.05, 50, CLIMBERS) + (g / np.linalg.norm(g))[:, None]
    random /= np.linalg.norm(random, axis=0)  # from a tilt of 3 degrees to anywhere
    steps = np.stack([step for _, _, step, _ in step_table(g)], axis=1)
    s, h = X @ np.hstack([random, steps]), 1e-3
    loss = [np.mean(np.logaddexp(0, t * s) - y[:, None] * t * s, axis=0) for t in (h, -h)]
    climbs = fixed((loss[0] - loss[1]) / (2 * h))
    return {"start_gradient": fixed(g), "climbs": climbs[:CLIMBERS], "steps": climbs[CLIMBERS:]}


@cache
def _descent() -> tuple[Array, Array]:
    """``first_decrease`` on the tumours, at ``MULTIPLES``: no setting has a part in it."""
    X, y = standardised()
    arrived, excess = first_decrease(X, y - y.mean(), MULTIPLES)
    return fixed((arrived, excess))


@cache
def _critical() -> dict[str, Any]:
    """Every critical point, by eigenvalues and by walking around it."""
    points = critical_points()
    places = [(name, np.array(x), np.array(y)) for name, x, y in points]
    down = np.array([*AROUND, -np.pi / 2])
    return {
        "eigenvalues": fixed(np.array([np.linalg.eigvalsh(surface_hessian(*place)) for place in places])),
        "by_walk": tuple(kind_by_walk(*point) for point in points),
        "gradient_norms": fixed(np.array([np.linalg.norm(surface_gradient(*place)) for place in places])),
        "dip": float(height("x² + y³", 0.1 * np.cos(down), 0.1 * np.sin(down)).min()),
    }


# Positive definite matrices counted before: the same wherever you stand.
_counted: dict[tuple[int, int], Array] = {}


def _count(seed: int, draws: int, tick: Tick) -> Array:
    """How many of the random matrices of each size are positive definite."""
    total, rng = np.zeros(LARGEST_N), deepcopy(_drawn(seed).rng)
    for start in range(0, draws, CHUNK):
        total += count_positive(min(CHUNK, draws - start), rng)
        tick(0.5 + 0.49 * start / draws)
    return fixed(total)


def run(settings: Settings, tick: Tick = no_tick) -> Result:
    """Difference, expand, classify, draw, descend."""
    x, (X, y), drawn = settings.point, standardised(), _drawn(settings.seed)
    f, derivatives = curve(settings.function, x, X @ drawn.u, y)
    differences = _differences(f, derivatives, x, settings.h)
    at_h = differences.pop("at_h")
    tick(0.2)
    loss, (arrived, excess) = _loss(settings.seed, x), _descent()
    leaving, ridge_end, noisy_left = drawn.saddle
    tick(0.5)
    key = (settings.seed, settings.draws)
    positive = remembered(_counted, key, 64, lambda: _count(*key, tick))
    best = predicted_best(derivatives, x)
    summary = {
        "slope": float(derivatives[1]),
        "forward_error_at_h": at_h[0],
        "central_error_at_h": at_h[1],
        "best_forward_h": float(differences["best"][0]),
        "predicted_forward_h": float(best[0]),
        "best_central_h": float(differences["best"][1]),
        "predicted_central_h": float(best[1]),
        "remainder_slope_1": fitted_slope(RADII, loss["remainder"][0], REMAINDER_FIT),
        "remainder_slope_2": fitted_slope(RADII, loss["remainder"][1], REMAINDER_FIT),
        "positive_share_3": float(positive[2] / settings.draws),
        "arrived_at_1.9": float(arrived[MULTIPLES == 1.9][0]),
    }
    tick(1.0)
    return Result(
        settings=settings, summary=summary, derivatives=derivatives, **differences, **loss, **drawn.climbs,
        **_critical(), positive=positive, arrived=arrived, excess=excess, leaving=leaving,
        ridge_end=ridge_end, noisy_left=noisy_left,
    )  # fmt: skip


# --- Theory against measurement -----------------------------------------------------------------------


def claims(result: Result) -> list[Claim]:
    """The nine claims on slope and curvature."""
    return [
        _differences_claim(result), _steepest(result), _undisclosed(), _size(result), _signs(result),
        _rarity(result), _delay(result), _remainders(result), _edge(result),
    ]  # fmt: skip


BAND = "the next terms and rounding, carried through the fit: "


def _slope_part(measured: float, band: float) -> dict[str, Any]:
    return {"measured": measured, "tolerance": band, "rule": f"{BAND}{band:.2g}"}


def _differences_claim(result: Result) -> Claim:
    d, x = result.derivatives, result.settings.point
    up, both = (ROUNDINGS[result.settings.function] * once / STEPS for once in rounding(d, x))
    bands = (
        slope_band(STEPS, FORWARD_FIT, (d[2] / 2, d[3] / 6, d[4] / 24, d[5] / 120), (1, 2, 3, 4), up),
        slope_band(STEPS, CENTRAL_FIT, (d[3] / 6, d[5] / 120), (2, 4), both),
    )
    best = np.log10(predicted_best(d, x))
    a_decade = {"tolerance": 1.0, "rule": "a decade: rounding errors down to 1/100 of their bound"}
    missing = [name for name, band in zip(("f″", "f‴"), bands, strict=True) if math.isinf(band)]
    unmet = f"the terms with f″ and f‴ must lead, here too small: {', '.join(missing)}" if missing else ""
    return Claim(
        id="2.2-deriv-01",
        statement=r"The error of a forward difference falls like $h$ (slope 1), of a central one like $h^2$ "
        "(slope 2), until rounding takes over at the predicted steps.",
        predicted=1.0,
        **_slope_part(fitted_slope(STEPS, result.forward_error, FORWARD_FIT), bands[0]),
        also=(
            Check(
                what="slope of the central error", predicted=2.0,
                **_slope_part(fitted_slope(STEPS, result.central_error, CENTRAL_FIT), bands[1]),
            ),
            Check(
                what="best forward step, power of 10", predicted=float(best[0]),
                measured=float(np.log10(result.best[0])), **a_decade,  # type: ignore[arg-type]
            ),
            Check(
                what="best central step, power of 10", predicted=float(best[1]),
                measured=float(np.log10(result.best[1])), **a_decade,  # type: ignore[arg-type]
            ),
        ),
        unmet=unmet,
        reason="In a central difference the term with f″ cancels; dividing by h magnifies rounding in both.",
    )  # fmt: skip


def _steepest(result: Result) -> Claim:
    g = result.start_gradient
    table = step_table(g)
    also = [
        Check(what=f"climb of the {step}, {ball}", predicted=p, measured=float(m), **identity(p))
        for (ball, step, _, p), m in zip(table[1:], result.steps[1:], strict=True)
    ]
    also.append(
        Check(
            what=f"best of {CLIMBERS} other unit vectors, the nearest 3° away",
            relation="<=",
            predicted=float(result.steps[0]),
            measured=float(result.climbs.max()),
            **identity(),
        )
    )
    also.append(
        Check(
            what="with every |uᵢ| ≤ 1 the signs climb faster than the gradient",
            relation=">",
            predicted=float(result.steps[2]),
            measured=float(result.steps[3]),
            **identity(),
        )
    )
    return Claim(
        id="2.2-grad-01",
        statement=r"Of steps of Euclidean length 1 the gradient climbs fastest, at $\lVert g \rVert_2$. "
        r"With every entry limited to 1 its signs do, at $\lVert g \rVert_1$. (Tumour loss at $w = 0$.)",
        predicted=table[0][3],
        measured=float(result.steps[0]),
        **identity(),
        text_verdict="conditional",
        often_taught="The gradient is the direction of steepest ascent.",
        also=tuple(also),
        reason="What is steepest depends on what counts as a step of size one.",
    )


def _undisclosed() -> Claim:
    return Claim(
        id="2.2-grad-02",
        statement="Training GPT-4 computes 1.8 trillion partial derivatives a step.",
        text_verdict="unverifiable",
        often_taught="GPT-4 has about 1.8 trillion parameters, and as many gradients.",
        reason="A gradient does have an entry for each parameter, but their number was never published.",
    )


def _size(result: Result) -> Claim:
    n, d = result.loss_rows, len(result.gradient)
    growth, offset = np.polyfit(np.log(HESSIAN_SIZES), np.log(result.hessian_bytes), 1)
    large = math.exp(offset + growth * math.log(LARGE_MODEL))
    gradient, product, full = result.costs
    worst = int(np.abs(result.product - result.product_full).argmax())
    skew = float(np.abs(result.hessian - result.hessian.T).max())
    checks = (
        Check(what="bytes grow with the power", predicted=2.0, measured=float(growth), **identity()),
        Check(what="its entries", predicted=LARGE_MODEL**2, measured=large / 4, **_extrapolated()),
        Check(what="largest |Hᵢⱼ − Hⱼᵢ|", predicted=0.0, measured=skew, **identity()),
        Check(
            what="entry of Hv without H, against the matrix",
            predicted=float(result.product_full[worst]), measured=float(result.product[worst]),
            **identity(),
        ),
        Check(what="Hv ÷ gradient, multiplications", predicted=1.5, measured=product / gradient, **exact()),
        Check(what="full H ÷ gradient", predicted=(d + 1) / 2, measured=full / gradient, **exact()),
    )  # fmt: skip
    return Claim(
        id="2.2-hess-01",
        statement="The Hessian of 175 billion weights has 3.06e22 entries, 1.2e23 bytes in float32, yet "
        f"a product $Hv$ costs 1.5 gradients. (Extrapolated from Hessians of 5 to {d} weights on {n} rows.)",
        predicted=4 * LARGE_MODEL**2,
        measured=large,
        **_extrapolated(),
        also=checks,
        reason="A product reads the data three times, a gradient twice; nobody has to write H down.",
    )


def _extrapolated() -> contract.Tolerance:
    return {"tolerance": 5e-9 * 4 * LARGE_MODEL**2, "rule": "float64 rounding of the fit over 23 decades"}


def _signs(result: Result) -> Claim:
    names = [name for name, _, _ in critical_points()]
    said = [kind_by_eigenvalues(e) for e in result.eigenvalues]
    decided = [(s, w) for s, w in zip(said, result.by_walk, strict=True) if s != "undecided"]
    silent = {name: w for name, s, w in zip(names, said, result.by_walk, strict=True) if s == "undecided"}
    flat = [w for e, w in zip(result.eigenvalues, result.by_walk, strict=True) if not np.any(e)]
    fold = result.eigenvalues[names.index("x² + y³")]
    also = (
        Check(what="undecided points", predicted=4, measured=len(silent), **exact()),
        Check(what="kinds among those with H = 0", predicted=3, measured=len(set(flat)), **exact()),
        Check(what="smaller eigenvalue of x² + y³", predicted=0, measured=float(fold[0]), **exact()),
        Check(what="larger eigenvalue of x² + y³", predicted=2, measured=float(fold[1]), **exact()),
        Check(what="lowest of x² + y³ at distance 0.1", predicted=-1e-3, measured=result.dip, **identity()),
        Check(
            what="largest gradient at a critical point",
            predicted=0, measured=float(result.gradient_norms.max()), **exact(),
        ),
    )  # fmt: skip
    return Claim(
        id="2.2-crit-01",
        statement="Where no eigenvalue is zero their signs tell minimum, maximum and saddle apart "
        f"(points of {len(decided)} where a walk around finds the same). A zero decides nothing: "
        "x² + y³ looks like a valley and falls; H = 0 belongs to a minimum, a maximum and a saddle.",
        predicted=len(decided),
        measured=sum(s == w for s, w in decided),
        **exact(),
        text_verdict="conditional",
        often_taught="The signs of the eigenvalues of the Hessian classify every critical point.",
        also=also,
        reason="Along a direction of zero curvature the third or fourth derivative decides.",
    )


def _rarity(result: Result) -> Claim:
    draws, theory = result.settings.draws, positive_in_theory()
    share = result.positive / draws

    def se(i: int) -> contract.Tolerance:
        return four_standard_errors(math.sqrt(theory[i] * (1 - theory[i]) / draws), "√(p(1 − p)/N)")

    also = tuple(
        Check(what=f"n = {i + 1}", predicted=float(theory[i]), measured=float(share[i]), **se(i))
        for i in (0, 1)
    )
    return Claim(
        id="2.2-crit-02",
        statement=r"A symmetric Gaussian $3\times3$ Hessian has only positive eigenvalues with probability "
        r"$(\pi - 2\sqrt2)/4\pi$, rarer than three coins. A model of a loss, not a proof about networks.",
        predicted=float(theory[2]),
        measured=float(share[2]),
        **se(2),
        text_verdict="conditional",
        often_taught="In high dimensions nearly all critical points of a network are saddles.",
        also=also,
        reason="Eigenvalues of a random matrix repel each other: they hardly fit on one side of zero.",
    )


def delay_in_theory(offsets: Array) -> Array:
    """Steps until $δ(1 + 2α)^t$ passes 1 on x² − y²."""
    return np.ceil(-np.log(offsets) / math.log1p(2 * SADDLE_RATE))


def _delay(result: Result) -> Claim:
    theory, sixth = delay_in_theory(OFFSETS), 5
    also = (
        Check(
            what=f"the same for {len(OFFSETS)} offsets down to 1e-12: largest difference",
            predicted=0, measured=float(np.abs(result.leaving - theory).max()), **exact(),
        ),
        Check(what="height on the ridge after 400 steps", predicted=0, measured=result.ridge_end, **exact()),
        Check(
            what="share of noisy walks from the ridge that leave",
            predicted=1, measured=result.noisy_left, **exact(),
        ),
    )  # fmt: skip
    return Claim(
        id="2.2-crit-03",
        statement=r"A saddle is a delay. From a distance $\delta$ off its ridge, gradient descent leaves in "
        r"$\lceil \ln(1/\delta) / \ln(1 + \alpha|\lambda|) \rceil$ steps (here $\delta$ = 1e-6). Only "
        "exactly on the ridge does it stay, and the least noise frees it.",
        predicted=float(theory[sixth]),
        measured=float(result.leaving[sixth]),
        **exact(),
        text_verdict="wrong",
        often_taught="Saddles are why SGD works; elsewhere: saddles are the main obstacle of training.",
        also=also,
        reason="The two sayings contradict each other. Along the falling direction a distance grows by a "
        "constant factor a step, so that even 1e-12 takes twice as long as 1e-6, not a million times.",
    )


def _remainders(result: Result) -> Claim:
    d = result.loss_derivatives
    noise = np.full(len(RADII), 2 * U * ROUNDINGS["breast_cancer loss"] * abs(d[0]))
    bands = (
        slope_band(RADII, REMAINDER_FIT, (d[2] / 2, d[3] / 6, d[4] / 24, d[5] / 120), (2, 3, 4, 5), noise),
        slope_band(RADII, REMAINDER_FIT, (d[3] / 6, d[4] / 24, d[5] / 120), (3, 4, 5), noise),
    )
    fits = [fitted_slope(RADII, left, REMAINDER_FIT) for left in result.remainder]
    return Claim(
        id="2.2-taylor-01",
        statement=r"What the slope leaves over shrinks like $\lVert\delta\rVert^2$, what slope and curvature "
        r"leave over like $\lVert\delta\rVert^3$ (tumour loss, 30 weights; shown: the power of the second).",
        predicted=3.0,
        **_slope_part(fits[1], bands[1]),
        also=(Check(what="power left by the slope", predicted=2.0, **_slope_part(fits[0], bands[0])),),
        unmet="the third derivative is (nearly) zero here" if math.isinf(max(bands)) else "",
        reason="Each term of the series removes one power; the first one left out rules what remains.",
    )


def _edge(result: Result) -> Claim:
    law = 1 - MULTIPLES / 2
    worst = int(np.abs(result.arrived - law).argmax())
    at = int(np.flatnonzero(MULTIPLES == 1.9)[0])
    grows = result.excess > 1
    edge = (
        float(MULTIPLES[grows][0] + MULTIPLES[~grows][-1]) / 2
        if grows.any() and not grows.all()
        else math.nan
    )
    also = (
        Check(
            what=f"the same for all rates (worst: {MULTIPLES[worst]:g}/λ)",
            predicted=float(law[worst]), measured=float(result.arrived[worst]), **identity(),
        ),
        Check(
            what=f"error factor a step at 1.9/λ, over {DESCENT_STEPS} steps", predicted=0.9,
            measured=max(float(result.excess[at]), 0.0) ** (0.5 / DESCENT_STEPS), **identity(),
        ),
        Check(
            what="αλ from which the loss grows", predicted=2.0, measured=edge,
            tolerance=0.02, rule="half the step between two rates",
        ),
    )  # fmt: skip
    return Claim(
        id="2.2-taylor-02",
        statement=r"Along an eigenvector a step brings $1 - \alpha\lambda/2$ of what the slope promises: "
        r"0.05 at $\alpha = 1.9/\lambda$, where descent still converges. The edge is $2/\lambda$.",
        predicted=float(law[at]),
        measured=float(result.arrived[at]),
        **identity(),
        text_verdict="conditional",
        often_taught="Gradient descent diverges when its linear model breaks down.",
        also=also,
        reason="The linear model fails long before: at 1/λ one step arrives, with half of the promise.",
    )


# --- Tables -------------------------------------------------------------------------------------------


def _log10(values: Array) -> Array:
    """Powers of ten, with NaN for zero."""
    return np.log10(np.where(values > 0, values, np.nan))


def tables(result: Result) -> dict[str, pd.DataFrame]:
    """Tidy tables for charts and export."""
    law = predicted_errors(result.derivatives, result.settings.point, STEPS)
    d = result.loss_derivatives
    leading = np.abs(np.outer([d[2] / 2, d[3] / 6], np.ones_like(RADII))) * RADII ** np.array([[2], [3]])
    balls = step_table(result.start_gradient)
    at_h = np.array([result.summary[f"{method}_error_at_h"] for method in ("forward", "central")])
    n, theory = np.arange(1, LARGEST_N + 1), positive_in_theory()
    share = result.positive / result.settings.draws
    return {
        "main": pd.DataFrame(
            {
                "log10_h": np.log10(STEPS),
                "log10_error": _log10(result.forward_error),
                "log10_predicted": _log10(law[0]),
                "log10_central": _log10(result.central_error),
                "log10_central_predicted": _log10(law[1]),
            }
        ),
        "chosen": pd.DataFrame(
            {
                "method": ["forward", "central"],
                "log10_h": math.log10(result.settings.h),
                "log10_error": _log10(at_h),
                "error": at_h,
                "log10_best": np.log10(result.best),
                "log10_best_predicted": np.log10(predicted_best(result.derivatives, result.settings.point)),
            }
        ),
        "remainders": pd.DataFrame(
            {
                "model": np.repeat(["slope alone", "slope and curvature"], len(RADII)),
                "distance": np.tile(RADII, 2),
                "measured": result.remainder.ravel(),
                "predicted": leading.ravel(),
            }
        ),
        **{name: table.copy(deep=False) for name, table in surface_tables(result.settings.surface).items()},
        "critical": critical_table(result),
        "share": pd.DataFrame(
            {
                "n": n,
                "matrices": result.positive.astype(int),
                "share": share,
                "low": np.maximum(share - 2 * np.sqrt(share * (1 - share) / result.settings.draws), 0),
                "high": share + 2 * np.sqrt(share * (1 - share) / result.settings.draws),
                "predicted": np.append(theory, np.full(LARGEST_N - 3, np.nan)),
                "coins": 0.5**n,
            }
        ),
        "decrease": pd.DataFrame(
            {
                "multiple": MULTIPLES,
                "ratio": result.arrived,
                "predicted": 1 - MULTIPLES / 2,
                "loss_left": result.excess,
                "converges": result.excess < 1,
            }
        ),
        "saddle": pd.DataFrame(
            {
                "log10_offset": np.log10(OFFSETS),
                "measured": result.leaving,
                "predicted": delay_in_theory(OFFSETS),
            }
        ),
        "climbs": pd.DataFrame(
            {
                "ball": [ball for ball, _, _, _ in balls],
                "step": [step for _, step, _, _ in balls],
                "measured": result.steps,
                "predicted": [climb for _, _, _, climb in balls],
            }
        ),
    }


def critical_table(result: Result) -> pd.DataFrame:
    """Each critical point with its eigenvalues and both verdicts."""
    frame = pd.DataFrame(critical_points(), columns=["surface", "x", "y"])
    frame["smaller"], frame["larger"] = result.eigenvalues.T
    frame["by_eigenvalues"] = [kind_by_eigenvalues(e) for e in result.eigenvalues]
    frame["by_walk"] = result.by_walk
    return frame


@lru_cache(maxsize=3)
def surface_tables(name: str, cells: int = 18) -> dict[str, pd.DataFrame]:
    """The surface: tiles from far to near, the models at every place, walks around its critical points."""
    edges = np.linspace(-REACH, REACH, cells + 1)
    scale = 1.1 / float(np.abs(height(name, *np.meshgrid(edges, edges))).max())
    i, j = (index.ravel() for index in np.meshgrid(np.arange(cells), np.arange(cells)))
    x, y = (edges[k[:, None] + np.array(c)] for k, c in ((i, (0, 1, 1, 0)), (j, (0, 0, 1, 1))))  # (tiles, 4)
    z = height(name, x, y)
    across, up = project(x, y, scale * z)
    far = np.argsort(-(x * math.sin(math.radians(32)) + y * math.cos(math.radians(32))).mean(axis=1))
    tiles = pd.DataFrame(
        {
            "tile": np.repeat(np.arange(cells**2), 4), "corner": np.tile(np.arange(4), cells**2),
            "across": across[far].ravel(), "up": up[far].ravel(), "height": np.repeat(z[far].mean(axis=1), 4),
        }
    )  # fmt: skip
    frames, lines = _carried(name, scale)
    points = CRITICAL.get(name, ORIGIN)
    rings, marks = [], []
    for x0, y0 in points:
        dx, dy = RING * np.cos(AROUND[::10]), RING * np.sin(AROUND[::10])
        here = height(name, np.array(x0), np.array(y0))
        rings.append(
            pd.DataFrame(
                {
                    "point": f"({x0:g}, {y0:g})",
                    "angle": np.degrees(AROUND[::10]),
                    "measured": height(name, x0 + dx, y0 + dy) - here,
                    "predicted": models(name, np.array(x0), np.array(y0), dx, dy)[1] - here,
                }
            )
        )
        where = project(np.array(x0), np.array(y0), scale * here)
        marks.append({"across": float(where[0]), "up": float(where[1]), "found": kind_by_walk(name, x0, y0)})
    return {
        "tiles": tiles, "places": frames, "models": lines, "rings": pd.concat(rings, ignore_index=True),
        "marks": pd.DataFrame(marks),
    }  # fmt: skip


def _carried(name: str, scale: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """At every place: where it lies, the errors of both models on the patch, and the lines that draw them."""
    x, y = (axis.ravel()[:, None] for axis in np.meshgrid(PLACES, PLACES))  # (places, 1)
    # Plane: its four corners. Bent patch: three lines each way, seven points a line.
    corner = PATCH * np.array([[-1, 1, 1, -1, -1], [-1, -1, 1, 1, -1]])
    along, beside = np.meshgrid(np.linspace(-PATCH, PATCH, 7), [-PATCH, 0, PATCH])
    bent = np.stack([np.concatenate([along, beside]).ravel(), np.concatenate([beside, along]).ravel()])
    parts, errors = [], []
    for which, (dx, dy), line in ((0, corner, np.zeros(5)), (1, bent, 1 + np.repeat(np.arange(6), 7))):
        z = models(name, x, y, dx, dy)[which]
        across, up = project(x + dx, y + dy, scale * z)
        parts.append(
            pd.DataFrame(
                {
                    "x": np.repeat(x, len(dx)),
                    "y": np.repeat(y, len(dx)),
                    "model": "first order: plane" if which == 0 else "second order: bent patch",
                    "line": np.tile(line, len(x)).astype(int),
                    "order": np.tile(np.arange(len(dx)), len(x)),
                    "across": across.ravel(),
                    "up": up.ravel(),
                }
            )
        )
    for which in (0, 1):
        errors.append(
            np.abs(models(name, x, y, *bent)[which] - height(name, x + bent[0], y + bent[1])).max(axis=1)
        )
    here = height(name, x, y)
    across, up = project(x, y, scale * here)
    curvature = np.linalg.eigvalsh(np.moveaxis(surface_hessian(name, x[:, 0], y[:, 0]), -1, 0))
    frames = pd.DataFrame(
        {
            "x": x[:, 0], "y": y[:, 0], "across": across[:, 0], "up": up[:, 0], "height": here[:, 0],
            "slope": np.linalg.norm(surface_gradient(name, x[:, 0], y[:, 0]), axis=0),
            "smaller": curvature[:, 0], "larger": curvature[:, 1],
            "plane_error": errors[0], "patch_error": errors[1],
        }
    )  # fmt: skip
    return frames, pd.concat(parts, ignore_index=True)


# --- Predict, then see --------------------------------------------------------------------------------

POWERS = (-2, -5, -8, -15)

CHALLENGES = (
    Challenge(
        prompt="The slope of sin x at 1, by a forward difference. Which step h gives the most digits?",
        options=tuple(f"1e{p}" for p in POWERS),
        settings={},
        answer=lambda result: f"1e{min(POWERS, key=lambda p: abs(p - math.log10(result.best[0])))}",
        why="Truncation falls like h/2, rounding grows like u/h; they meet near 2√u ≈ 2e-8.",
    ),
    Challenge(
        prompt="A step of 1.9/λ along the steepest eigenvector. What share of the promised decrease arrives?",
        options=(),
        settings={},
        answer=lambda result: result.summary["arrived_at_1.9"],
        curve=("decrease", "multiple", "ratio"),
        at=1.9,
        why="Curvature takes back αλ/2 of the promise: at 1.9/λ nearly all of it, at 2/λ everything.",
    ),
    Challenge(
        prompt="Of all symmetric Gaussian 3×3 Hessians, which share has three positive eigenvalues (0 to 1)?",
        options=(),
        settings={},
        answer=lambda result: result.summary["positive_share_3"],
        curve=("share", "n", "share"),
        at=3,
        why="Three coins would give 1/8; eigenvalues repel each other, and few threes fit on one side.",
    ),
)
