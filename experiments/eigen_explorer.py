r"""**What does a matrix leave pointing the same way?**

A matrix of 2×2 numbers turns most vectors and stretches them. You send a whole circle of directions through
one, look for those that stay on their line, and then let repeated multiplication find the strongest of them.

$$
A v = \lambda v, \qquad A = \begin{pmatrix} a & b \\ c & d \end{pmatrix}
$$

$$
\lambda^2 - (a + d)\,\lambda + (ad - bc) = 0
$$

- $v$: an **eigenvector**, which $A$ leaves on its line; $\lambda$, its **eigenvalue**, is the stretch. If
  $\lambda < 0$ the vector is flipped: it stays on its line and turns by 180°
- $a + d = \lambda_1 + \lambda_2$ is the **trace**, $ad - bc = \lambda_1 \lambda_2$ the **determinant**
- $Q$: eigenvectors as columns. If there are $n$ independent ones, $A = Q \Lambda Q^{-1}$; if not, $A$ is
  **defective**. If $A$ is symmetric, they can be chosen at right angles

$$
x_{k+1} = \frac{A x_k}{\lVert A x_k \rVert}
$$

$$
\tan\angle(x_k, v_1) \approx C \left|\frac{\lambda_2}{\lambda_1}\right|^k
$$

- **Power iteration** forgets its start $x_0$: what is not along $v_1$ shrinks by $|\lambda_2/\lambda_1|$ a
  step. $C$ says how much there was at first. Two eigenvalues of the same size leave nothing to wait for

$$
A = R_u \begin{pmatrix} \sigma_1 & 0 \\ 0 & \pm\sigma_2 \end{pmatrix} R_v^\top
$$

$$
\sigma_1 \ge |\lambda| \ge \sigma_2
$$

- $\sigma_i$: **singular values**, the longest and the shortest radius of the ellipse that the circle becomes;
  $R_u$, $R_v$ are rotations, and the sign is that of $ad - bc$. A negative one is a mirror
- $\sigma_i = |\lambda_i|$ only for a **normal** matrix, $A A^\top = A^\top A$

**What to try.** Choose the rotation: every direction is turned, none stays, and both eigenvalues leave the
real line. Make $ad - bc$ negative: the curve must fall by a full turn, so it meets both *same way* and
*flipped*. Choose the defective matrix: the curve only touches. Start power iteration at 135°, exactly on the
weaker eigenvector, with 60 steps: rounding alone frees it.

**What surprises.** A random real matrix often has no real eigenvector at all: with 2×2 Gaussian numbers it
has them 71 times in 100, and with 6×6 all six eigenvalues are real only 1 time in 180. And a large stretch
needs no large eigenvalue: a shear has $\lambda$ = 1 twice, and yet makes some vectors longer.

*References.* C. Jordan (1874) and E. Beltrami (1873) for the singular values. R. von Mises and H.
Pollaczek-Geiringer (1929) for power iteration. P. Henrici (1962) for the distance from a normal matrix. A.
Edelman (1997), The probability that a random real Gaussian matrix has k real eigenvalues. Data: W. W. Zachary
(1977), An information flow model for conflict and fission in small groups; P. Bonacich (1972) for centrality.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from math import nan
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab import contract
from lab.contract import Array, Challenge, Check, Claim, Tick, control, no_tick, seed_control
from lab.memory import fixed, remembered

Complex = NDArray[np.complex128]

WORKED = (4.0, 2.0, 1.0, 3.0)
PRESETS = {
    "shear": (1.0, 1.0, 0.0, 1.0),
    "rotation": (0.0, -1.0, 1.0, 0.0),
    "reflection": (0.6, 0.8, 0.8, -0.6),
    "defective": (3.0, 1.0, -1.0, 1.0),
    "symmetric": (1.0, 2.0, 2.0, -2.0),
    "projection": (0.8, 0.4, 0.4, 0.2),
}
JORDAN = np.array([[1.0, 1.0], [0.0, 1.0]])  # the smallest matrix with too few eigenvectors
NEARLY = 1e-6  # what is put in its corner to give it a second one
SIZES = (2, 3, 4, 5, 6)  # of the random matrices
SYMMETRIC = 500  # random symmetric matrices, 4 by 4
CLUB_STEPS = 60
ZERO = 1e-9  # entries are tenths: what is not zero by theory is at least 1e-4 below, rounding about 1e-14
RANK = 1e-5  # independent eigenvectors: at least 3e-3 on this grid, rounding leaves about 1e-8
FLOOR = 1e-7  # smallest error from which a rate is read: rounding is 1e-9 of it
U = float(np.finfo(float).eps)


class Settings(contract.Settings):
    """What you can turn."""

    preset: Literal["your own", "shear", "rotation", "reflection", "defective", "symmetric", "projection"] = (
        control("your own", "Matrix", help="A preset overrides the four entries; they wait for *your own*.")
    )
    a: float = control(4.0, "a, top left", ge=-9, le=9, step=0.1, help="First entry of the first row.")
    b: float = control(2.0, "b, top right", ge=-9, le=9, step=0.1, help="Second entry of the first row.")
    c: float = control(1.0, "c, bottom left", ge=-9, le=9, step=0.1, help="First entry of the second row.")
    d: float = control(3.0, "d, bottom right", ge=-9, le=9, step=0.1, help="Second entry, second row.")
    iterate: Literal["matrix", "karate"] = control(
        "matrix", "Power iteration on",
        help="Your matrix, or who knows whom in a karate club of 34 (Zachary, 1977).",
    )  # fmt: skip
    start: int = control(
        0, "Start x₀ at", ge=0, le=180, step=1, unit="°",
        help="Direction of the first vector. In the club all weight starts on member 1.",
    )  # fmt: skip
    steps: int = control(12, "Steps", ge=1, le=60, step=1, help="How many times to multiply.")
    draws: int = control(
        2000, "Random matrices", ge=500, le=20_000, log=True, help="Of each size, entries from N(0, 1)."
    )
    seed: int = seed_control()


@dataclass(frozen=True)
class Result:
    """Everything the charts, the claims and the tests need."""

    settings: Settings
    matrix: Array  # (2, 2)
    kept: Array  # (m,) directions that stay on their line, found by looking, in radians; m = 0, 1 or 2
    every: bool  # whether all directions do
    stretch: Array  # (m,) signed stretch along them, largest size first
    turns: Array  # (2, m) degrees by which A, and −A, turn them
    lapack_values: Complex  # (2,) eigenvalues of the matrix by LAPACK
    lapack_vectors: Complex  # (2, 2) its eigenvectors, a column each
    jordan_vectors: Array  # (2, 2) those of the smallest defective matrix
    nearly_condition: float  # condition number of Q with NEARLY in the corner
    symmetric_kept: Array  # (2,) kept directions of the symmetric part (A + Aᵀ)/2; empty if all are
    symmetric_values: Complex  # (500, 4) eigenvalues of random symmetric matrices, from a solver for any
    symmetric_gram: Array  # (500, 4, 4) QᵀQ of their eigenvectors
    symmetric_left: Array  # (500,) ‖S − QΛQᵀ‖
    parts: Array  # (2, 4) angle R_v, σ₁, ±σ₂, angle R_u of A and of A with its columns swapped
    unmirrored: Array  # (2,) what turn, stretch, turn without a mirror misses of both
    iterates: Array  # (steps+1, 2) power iteration on the matrix
    error: Array  # (steps+1,) tangent of its angle to v₁; NaN where no direction dominates
    club: Array  # (61, 34) power iteration in the karate club
    club_error: Array  # (61,)
    real_share: Array  # (5,) random matrices whose eigenvalues are all real, by SIZES
    cloud: Complex  # (300, 4) eigenvalues of the first random 4 by 4 matrices, divided by 2 = √4
    summary: dict[str, float]


# --- The mathematics: by formula ----------------------------------------------------------------------


def invariants(matrix: Array) -> tuple[float, float, float]:
    """Trace, determinant and discriminant $(a - d)^2 + 4bc$, exactly, for entries in tenths."""
    a, b, c, d = np.rint(10 * matrix.ravel())
    return float(a + d) / 10, float(a * d - b * c) / 100, float((a - d) ** 2 + 4 * b * c) / 100


def eigenvalues(matrix: Array) -> Complex:
    """Both roots of $λ^2 - tλ + Δ$ (2,), the larger in size first; of equal ones + before −.

    The second is Δ over the first, which loses no digits where the two nearly cancel; but λ, λ and λ, −λ
    come out the same in size to the last digit.
    """
    trace, det, disc = invariants(matrix)
    if disc < 0:
        half = complex(trace, np.sqrt(-disc)) / 2
        return np.array([half, half.conjugate()], dtype=complex)
    root = (1.0 if trace >= 0 else -1.0) * np.sqrt(disc)
    first = (trace + root) / 2
    second = det / first if trace and disc else (trace - root) / 2
    return np.array([first, second], dtype=complex)


def eigenvector(matrix: Array, value: complex) -> Complex:
    """A unit vector with $(A - λI)v = 0$ (2,): across the longer row of A − λI; (1, 0) if both are zero."""
    (a, b), (c, d) = matrix
    across = max(np.array([b, value - a]), np.array([value - d, c]), key=np.linalg.norm)
    length = np.linalg.norm(across)
    return across / length if length > ZERO else np.array([1, 0], dtype=complex)


def independent(matrix: Array) -> int:
    """How many independent eigenvectors there are: one only if λ is double and A is no multiple of I."""
    (_, b), (c, _) = matrix
    return 1 if invariants(matrix)[2] == 0 and (b or c) else 2


def cosine_between(matrix: Array) -> float:
    """$|\\cos|$ of the angle between the unit eigenvectors: x or 1/x, the smaller.

    $x = |b - c| / \\sqrt{(b + c)^2 + (a - d)^2}$; below 1 for real eigenvectors, above for a complex pair.
    """
    (a, b), (c, d) = matrix
    odd, even = abs(b - c), np.hypot(b + c, a - d)
    return float(min(odd, even) / max(odd, even)) if max(odd, even) else 0.0


def condition(cosine: float) -> float:
    """Condition number of two unit columns: $\\sqrt{(1 + c) / (1 - c)}$."""
    return float(np.sqrt((1 + cosine) / (1 - cosine)))


def stretches(matrix: Array) -> tuple[float, float]:
    """$σ_1$ and $±σ_2$, the sign that of the determinant: half the sum and half the difference of p and q.

    $p = \\sqrt{(a + d)^2 + (b - c)^2}$, $q = \\sqrt{(a - d)^2 + (b + c)^2}$; $p^2 - q^2 = 4Δ$.
    """
    (a, b), (c, d) = matrix
    p, q = np.hypot(a + d, b - c), np.hypot(a - d, b + c)
    return float(p + q) / 2, float(p - q) / 2


def departure(matrix: Array) -> float:
    """$σ_1^2 + σ_2^2 - |λ_1|^2 - |λ_2|^2$, zero for a normal matrix (Henrici, 1962)."""
    (a, b), (c, d) = matrix
    real = invariants(matrix)[2] >= 0
    return float((b - c) ** 2 if real else (a - d) ** 2 + (b + c) ** 2)


def all_real(n: int) -> float:
    """Chance that a Gaussian n × n matrix has real eigenvalues only: $2^{-n(n-1)/4}$ (Edelman, 1997)."""
    return float(2.0 ** (-n * (n - 1) / 4))


# --- The mathematics: by looking ----------------------------------------------------------------------


def on_circle(angle: Array) -> Array:
    """Unit vectors (..., 2) at the given angles."""
    points = np.empty((*np.shape(angle), 2))
    points[..., 0], points[..., 1] = np.cos(angle), np.sin(angle)
    return points


def crossings(f: Callable[[Array], Array]) -> Array:
    """Angles in [0, π) at which f, of period π, changes sign: seen on a scan, then halved to rounding.

    The scan has 1,800 steps of 0.1°; two crossings are at least 0.2° apart for entries in tenths up to 9.
    """
    scan = np.linspace(0, np.pi, 1801)
    up = f(scan) >= 0
    up[-1] = up[0]  # the same direction, so that no crossing at 0° is seen twice or missed
    at = np.flatnonzero(up[1:] != up[:-1])
    low, high, after = scan[at], scan[at + 1], up[at + 1]
    for _ in range(55):
        middle = (low + high) / 2
        past = (f(middle) >= 0) == after
        low, high = np.where(past, low, middle), np.where(past, middle, high)
    return high % np.pi


def kept_directions(matrix: Array) -> tuple[Array, bool]:
    """Directions that A leaves on their line (0, 1 or 2), and whether it leaves all: $v × Av = 0$.

    $v × Av$ swings around a mean as v goes round. Where it only touches zero, its slope changes sign.
    """

    def off(angle: Array) -> Array:
        v = on_circle(angle)
        w = v @ matrix.T
        return v[..., 0] * w[..., 1] - v[..., 1] * w[..., 0]

    def slope(angle: Array) -> Array:
        return off(angle + np.pi / 4) - off(angle - np.pi / 4)  # of a sinusoid in 2θ, up to a factor

    scan = np.linspace(0, np.pi, 181)
    if np.abs(slope(scan)).max() < ZERO:  # the same for all: a rotation with a stretch
        every = bool(np.abs(off(scan)).max() < ZERO)
        return np.array([0.0, np.pi / 2] if every else []), every
    tips = crossings(slope)
    touching = tips[np.abs(off(tips)) < ZERO]
    return (touching if len(touching) else crossings(off)), False


def stretch_along(matrix: Array, angle: Array) -> Array:
    """$v · Av$ (m,): the eigenvalue, where v is kept."""
    v = on_circle(angle)
    return np.sum(v * (v @ matrix.T), axis=-1)


def turn_of(matrix: Array, angle: Array) -> Array:
    """Degrees from v to Av (m,), from 0 to 180 either way; NaN where Av = 0."""
    v = on_circle(angle)
    w = v @ matrix.T
    turn = np.arctan2(v[..., 0] * w[..., 1] - v[..., 1] * w[..., 0], np.sum(v * w, axis=-1))
    return np.where(np.linalg.norm(w, axis=-1) > ZERO, np.abs(np.degrees(turn)), nan)


def turn_curve(matrix: Array, angle: Array) -> Array:
    """Degrees from v to Av (m,) without jumps, for angles in rising order; NaN where Av = 0.

    From one v to the next, Av turns by an angle with sine ∝ $Δ \\sin δ$: to the side of the sign of Δ.
    """
    w = on_circle(angle) @ matrix.T
    some = np.linalg.norm(w, axis=1) > ZERO
    turn = np.full(len(angle), nan)
    if some.any():
        w, seen = w[some], angle[some]
        sine = invariants(matrix)[1] * np.sin(np.diff(seen))
        step = np.arctan2(sine, np.sum(w[1:] * w[:-1], axis=1))
        image = np.arctan2(w[0, 1], w[0, 0]) + np.append(0.0, np.cumsum(step))
        turn[some] = np.degrees(image - seen)
    middle = (np.nanmax(turn) + np.nanmin(turn)) / 2 if some.any() else 0.0
    return turn - 360 * np.round(middle / 360)


def turn_stretch_turn(matrix: Array) -> Array:
    """Angle v, σ₁, ±σ₂, angle u (4,) with $A = R_u diag(σ_1, ±σ_2) R_v^T$, from the ellipse's longest radius.

    At the ends of the axes the radius stops growing: $Av · Av' = 0$, where v' is v turned by 90°.
    """

    def growth(angle: Array) -> Array:
        return np.sum((on_circle(angle) @ matrix.T) * (on_circle(angle + np.pi / 2) @ matrix.T), axis=-1)

    flat = np.abs(growth(np.linspace(0, np.pi, 181))).max() < ZERO  # the image is a circle
    ends = np.array([0.0]) if flat else crossings(growth)
    radius = np.linalg.norm(on_circle(ends) @ matrix.T, axis=-1)
    v = float(ends[radius.argmax()])
    long, short = on_circle(np.array([v, v + np.pi / 2])) @ matrix.T
    u = float(np.arctan2(long[1], long[0]))
    return np.array([v, radius.max(), short @ on_circle(np.array(u + np.pi / 2)), u])


def rotation(angle: float) -> Array:
    """The matrix (2, 2) that turns by an angle."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def without_mirror(matrix: Array, parts: Array) -> float:
    """$\\lVert A - R_u diag(σ_1, σ_2) R_v^T \\rVert_F$ with both stretches positive."""
    v, longest, second, u = parts
    return float(np.linalg.norm(matrix - rotation(u) @ np.diag([longest, abs(second)]) @ rotation(-v)))


# --- Power iteration ----------------------------------------------------------------------------------


def power_iteration(matrix: Array, start: Array, steps: int) -> Array:
    """$x_{k+1} = Ax_k / |Ax_k|$ from k = 0 (steps+1, n); NaN from where the vector has become zero."""
    x = np.full((steps + 1, len(start)), nan)
    x[0] = start / np.linalg.norm(start)
    for k in range(steps):
        image = matrix @ x[k]
        length = np.linalg.norm(image)
        if not length > ZERO:
            break
        x[k + 1] = image / length
    return x


def tangent(iterates: Array, direction: Array) -> Array:
    """Tangent of the angle between each iterate and a unit direction (m,): across over along."""
    along = iterates @ direction
    across = np.linalg.norm(iterates - along[:, None] * direction, axis=1)
    with np.errstate(divide="ignore"):
        return across / np.abs(along)


def dominance(matrix: Array) -> str:
    """Why there is no dominant direction, or an empty text if there is one."""
    first, second = eigenvalues(matrix)
    if first == 0:
        return "no direction dominates: both eigenvalues are 0"
    if abs(first.imag) > 0:
        return "no unique dominant direction: the two eigenvalues are complex and of equal size"
    if first == -second:
        return "no unique dominant direction: λ and −λ are of equal size"
    return "every direction is an eigenvector" if first == second and independent(matrix) == 2 else ""


def mixture(matrix: Array, start: Array) -> tuple[float, float]:
    """How much of v₂ the start has for each part of v₁, and the sine of the angle between v₁ and v₂.

    For a defective matrix v₂ is the vector across v₁, and the sine is 1.
    """
    first, second = eigenvalues(matrix)
    one = eigenvector(matrix, first).real
    two = eigenvector(matrix, second).real if first != second else np.array([-one[1], one[0]])
    with np.errstate(divide="ignore"):
        alpha, beta = np.linalg.solve(np.stack([one, two], axis=1), start)
        return float(abs(np.divide(beta, alpha))), float(abs(one[0] * two[1] - one[1] * two[0]))


def error_law(matrix: Array, start: Array, steps: int) -> Array:
    """Predicted tangent (steps+1,): $C |λ_2/λ_1|^k$, to leading order; NaN where no direction dominates.

    For a double eigenvalue with one eigenvector the shear adds up instead: $|β| / |α + kgβ/λ|$, about 1/k.
    """
    k = np.arange(steps + 1)
    if dominance(matrix):
        return np.full(steps + 1, nan)
    first, second = eigenvalues(matrix).real
    share, sine = mixture(matrix, start)
    if first != second:
        return share * sine * abs(second / first) ** k if np.isfinite(share) else np.full(steps + 1, np.inf)
    one = eigenvector(matrix, complex(first)).real
    two = np.array([-one[1], one[0]])
    alpha, beta = one @ start, two @ start
    with np.errstate(divide="ignore"):
        return np.abs(beta) / np.abs(alpha + k * (one @ matrix @ two) * beta / first)


@cache
def karate() -> tuple[Array, Array]:
    """Who met whom outside the club (34, 34), 0 or 1, and a place for each member (34, 2)."""
    import networkx as nx

    graph = nx.karate_club_graph()
    place = nx.kamada_kawai_layout(graph, weight=None)
    return nx.to_numpy_array(graph, weight=None), np.array([place[i] for i in range(34)])


@cache
def club_spectrum() -> tuple[Array, Array]:
    """Eigenvalues of the club by size (34,), and the start's coordinates (34,) along its eigenvectors."""
    values, vectors = np.linalg.eigh(karate()[0])
    order = np.argsort(-np.abs(values))
    return values[order], vectors[0, order]  # all weight on member 1: the first coordinate of each


def club_error_law() -> Array:
    """Predicted tangent in the club (61,), to leading order."""
    values, share = club_spectrum()
    return abs(share[1] / share[0]) * abs(values[1] / values[0]) ** np.arange(CLUB_STEPS + 1)


@cache
def club_iteration() -> tuple[Array, Array]:
    """Power iteration in the club (61, 34), and its tangent to the strongest eigenvector (61,)."""
    network = karate()[0]
    club = power_iteration(network, np.eye(34)[0], CLUB_STEPS)
    return fixed((club, tangent(club, np.linalg.eigh(network).eigenvectors[:, -1])))


# --- The run ------------------------------------------------------------------------------------------


def chosen_matrix(settings: Settings) -> Array:
    """The preset (2, 2), or the four entries."""
    entries = PRESETS.get(settings.preset, (settings.a, settings.b, settings.c, settings.d))
    return np.array(entries).reshape(2, 2)


def look(matrix: Array) -> tuple[Array, bool, Array]:
    """Kept directions with the larger stretch first, whether all are kept, and the stretches."""
    kept, every = kept_directions(matrix)
    stretch = stretch_along(matrix, kept)
    order = np.lexsort((-stretch, -np.round(np.abs(stretch), 9)))
    return kept[order], every, stretch[order]


class Looked(NamedTuple):
    """What looking at a matrix finds; the fields are those of ``Result``."""

    kept: Array
    every: bool
    stretch: Array
    turns: Array
    symmetric_kept: Array
    parts: Array
    unmirrored: Array


@lru_cache(maxsize=16)
def _looked(a: float, b: float, c: float, d: float) -> Looked:
    """Look at the matrix [[a, b], [c, d]] from all sides."""
    matrix = np.array([[a, b], [c, d]])
    kept, every, stretch = look(matrix)
    both = (matrix, matrix[:, ::-1])
    parts = np.stack([turn_stretch_turn(m) for m in both])
    symmetric_kept, all_kept = kept_directions((matrix + matrix.T) / 2)
    return fixed(Looked(
        kept, every, stretch, np.stack([turn_of(m, kept) for m in (matrix, -matrix)]),
        symmetric_kept[: 0 if all_kept else 2], parts,
        np.array([without_mirror(m, p) for m, p in zip(both, parts, strict=True)]),
    ))  # fmt: skip


@cache
def _defective() -> tuple[Array, float]:
    """Eigenvectors of ``JORDAN`` (2, 2), and the condition number of those with ``NEARLY`` in the corner."""
    nearly = np.linalg.eig(JORDAN + NEARLY * np.array([[0, 0], [1, 0]])).eigenvectors
    return fixed(np.linalg.eig(JORDAN).eigenvectors), float(np.linalg.cond(nearly))


class Drawn(NamedTuple):
    """What random matrices show; the fields are those of ``Result``."""

    symmetric_values: Complex
    symmetric_gram: Array
    symmetric_left: Array
    real_share: Array
    cloud: Complex


def draw(seed: int, draws: int, tick: Tick) -> Drawn:
    """Count random matrices with real eigenvalues only, and decompose symmetric ones."""
    rng = np.random.default_rng(seed)
    share, cloud, pool = [], np.zeros(0, dtype=complex), np.zeros(0)
    for n in SIZES:
        found = np.zeros((0, n), dtype=complex)
        for begin in range(0, draws, 5000):
            drawn = rng.standard_normal((min(5000, draws - begin), n, n))
            found = np.concatenate([found, np.linalg.eigvals(drawn).astype(complex)])
            if n == 4 and begin == 0:
                pool = drawn[:SYMMETRIC]
            done = SIZES.index(n) + min(1, (begin + 5000) / draws)
            tick(0.2 + 0.7 * done / len(SIZES))
        share.append(float(np.mean(np.all(found.imag == 0, axis=1))))
        cloud = found[:300] / 2 if n == 4 else cloud
    symmetric = (pool + pool.transpose(0, 2, 1)) / 2
    lams, q = np.linalg.eig(symmetric)
    left = symmetric - (q * lams[:, None]) @ q.transpose(0, 2, 1)
    return fixed(Drawn(
        lams.astype(complex), q.transpose(0, 2, 1) @ q, np.linalg.norm(left, axis=(1, 2)), np.array(share),
        cloud,
    ))  # fmt: skip


# Random matrices drawn before: yours has no part in them. 120 kB each.
_drawn: dict[tuple[int, int], Drawn] = {}


def run(settings: Settings, tick: Tick = no_tick) -> Result:
    """Look at the matrix from all sides, iterate it, and count random ones with real eigenvalues."""
    matrix = chosen_matrix(settings)
    looked = _looked(*(float(entry) for entry in matrix.ravel()))
    values, vectors = np.linalg.eig(matrix.astype(complex))
    tick(0.1)

    start = on_circle(np.radians(settings.start))
    iterates = power_iteration(matrix, start, settings.steps)
    error = np.full(settings.steps + 1, nan)
    if not dominance(matrix):
        error = tangent(iterates, eigenvector(matrix, eigenvalues(matrix)[0]).real)
    club, club_error = club_iteration()
    tick(0.2)

    key = (settings.seed, settings.draws)
    random = remembered(_drawn, key, 8, lambda: draw(*key, tick))
    result = Result(
        settings, matrix, looked.kept, looked.every, looked.stretch, looked.turns, values, vectors,
        *_defective(), looked.symmetric_kept, random.symmetric_values, random.symmetric_gram,
        random.symmetric_left, looked.parts, looked.unmirrored, iterates, error,
        club, club_error, random.real_share, random.cloud, {},
    )  # fmt: skip
    result.summary.update(_summary(result))
    tick(1.0)
    return result


def _summary(result: Result) -> dict[str, float]:
    first, second = eigenvalues(result.matrix)
    rate, club_rate = measured_rate(result, "matrix"), measured_rate(result, "karate")
    return {
        "directions_kept": np.inf if result.every else len(result.kept),
        "lambda_1": float(first.real), "lambda_2": float(second.real), "imaginary_part": float(first.imag),
        "determinant": invariants(result.matrix)[1],
        "sigma_1": float(result.parts[0, 1]), "sigma_2": float(abs(result.parts[0, 2])),
        "rate": rate.measured, "rate_predicted": rate.predicted,
        "karate_rate": club_rate.measured, "karate_rate_predicted": club_rate.predicted,
        **{f"all_real_{n}": float(share) for n, share in zip(SIZES, result.real_share, strict=True)},
    }  # fmt: skip


# --- Theory against measurement -----------------------------------------------------------------------


@dataclass(frozen=True)
class Rate:
    """A rate and an error measured at a step, their laws, the terms neglected; or why there is none."""

    predicted: float
    measured: float = nan
    band: float = nan
    step: int = 0
    error: tuple[float, float, float] = (nan, nan, nan)  # predicted, measured, band
    unmet: str = ""


def measured_rate(result: Result, which: str) -> Rate:
    """The rate of your matrix or of the karate club."""
    return _club_rate(result) if which == "karate" else _own_rate(result)


def _read(r: float, law: Array, error: Array, k: int, rate_band: float, law_band: float) -> Rate:
    """Error at step k+1 over that at k; relative bands as given, and rounding."""
    rounding = 64 * U * (1 / max(law[k + 1], FLOOR) + law[k])
    size = (float(law[k]), float(error[k]), float(law[k] * (law_band + rounding)))
    return Rate(r, float(error[k + 1] / error[k]), r * rate_band + rounding, k, size)


def last_clear(law: Array) -> int:
    """The last step after which the error still stands clear of rounding, and has a successor."""
    return max(int(np.sum(law[1:] >= FLOOR)) - 1, 0)


def _own_rate(result: Result) -> Rate:
    """With $x_k ∝ v_1 + ρ_k v_2$ and c their cosine, $\\tan = |ρ_k| s / |1 + ρ_k c|$: neglected is ρ_k c."""
    unmet = dominance(result.matrix)
    first, second = eigenvalues(result.matrix)
    r = float(abs(second / first)) if first else nan
    if unmet or first == second:
        return Rate(r, unmet=unmet or "a double eigenvalue: the error falls as 1/k, not by a factor")
    rho, _ = mixture(result.matrix, result.iterates[0])
    if not FLOOR < rho < 1 / FLOOR:
        return Rate(r, unmet=f"the start lies on v{'₁' if rho < 1 else '₂'}, up to rounding")
    law = error_law(result.matrix, result.iterates[0], result.settings.steps)
    k = last_clear(law)
    near = rho * r**k * cosine_between(result.matrix)
    if near > 0.5:
        return Rate(r, unmet="too few steps: x is still far from v₁")
    return _read(r, law, result.error, k, (1 + near) / (1 - r * near) - 1, near / (1 - near))


def _club_rate(result: Result) -> Rate:
    """With δ_k the share of all further eigenvectors against the second, $\\tan^2 ∝ 1 + δ_k$."""
    values, share = club_spectrum()
    law = club_error_law()
    k = last_clear(law)
    delta = float(np.sum((share[2:] / share[1]) ** 2 * (values[2:] / values[1]) ** (2 * k)))
    spread = np.sqrt(1 + delta)
    return _read(float(abs(values[1] / values[0])), law, result.club_error, k, 1 - 1 / spread, spread - 1)


def claims(result: Result) -> list[Claim]:
    """The five claims on eigenvectors, and the one on singular values."""
    return [
        _stretch(result), _turn(result), _decomposition(result), _symmetric(result), _power(result),
        _singular(result),
    ]  # fmt: skip


def _own(result: Result) -> bool:
    return tuple(result.matrix.ravel()) == WORKED


def _stretch(result: Result) -> Claim:
    (trace, det, disc), values = invariants(result.matrix), eigenvalues(result.matrix)
    size = contract.identity(float(np.abs(result.matrix).sum()))
    found = np.resize(result.stretch, 2) if len(result.stretch) else np.full(2, nan)  # a double one twice
    also = [
        Check(what="λ₂, the stretch along the other", predicted=float(values[1].real),
              measured=float(found[1]), **size),
        Check(what="the stretches add to the trace a + d", predicted=trace, measured=float(found.sum()),
              **size),
        Check(what="and multiply to the determinant ad − bc", predicted=det, measured=float(found.prod()),
              **contract.identity(float(np.abs(result.matrix).sum()) ** 2)),
    ]  # fmt: skip
    if _own(result):
        slope = np.tan(result.kept)
        by_hand = {"λ₁": (5, found[0]), "λ₂": (2, found[1]), "slope of v₁ = (2, 1)": (0.5, slope[0]),
                   "slope of v₂ = (−1, 1)": (-1, slope[1])}  # fmt: skip
        also += [
            Check(what=f"by hand: {what}", predicted=p, measured=float(m), **contract.identity())
            for what, (p, m) in by_hand.items()
        ]
    return Claim(
        id="2.1-eig-01",
        statement=r"$A$ stretches the directions that it keeps by the roots of $\lambda^2 - (a+d)\lambda + "
        r"(ad - bc)$. Shown: $\lambda_1$ by formula, and the stretch of the direction found by looking.",
        predicted=float(values[0].real),
        measured=float(found[0]),
        **size,
        also=tuple(also),
        unmet="" if disc >= 0 else "no direction is kept: both roots are complex",
        reason="If $Av = λv$ for some $v ≠ 0$, then $A - λI$ sends $v$ to 0, so its determinant is 0.",
    )


def _turn(result: Result) -> Claim:
    disc, n = invariants(result.matrix)[2], result.settings.draws
    count = np.inf if independent(result.matrix) == 2 and disc == 0 else float(np.sign(disc) + 1)
    values = eigenvalues(result.matrix).real
    also = [
        Check(what="kept directions of your matrix", predicted=count, **contract.exact(),
              measured=np.inf if result.every else len(result.kept)),
    ]  # fmt: skip
    for i, turns in enumerate(result.turns.T):
        for sign, turned, name in zip((1, -1), turns, ("A", "−A"), strict=True):
            if abs(values[i]) > ZERO:
                what = f"degrees that {name} turns v{'₁₂'[i]}, where λ = {sign * values[i]:.4g}"
                half = 0.0 if sign * values[i] > 0 else 180.0
                also.append(
                    Check(what=what, predicted=half, measured=float(turned), **contract.identity(180))
                )
    for k in (1, 2):
        p = all_real(SIZES[k])
        se = contract.four_standard_errors(np.sqrt(p * (1 - p) / n), "√(p(1−p)/N)")
        what = f"all real, {SIZES[k]} × {SIZES[k]}"
        also.append(Check(what=what, predicted=p, measured=float(result.real_share[k]), **se))
    p = all_real(2)
    return Claim(
        id="2.1-eig-02",
        statement="An eigenvector stays on its *line*: λ < 0 turns it by 180°. And there may be none: both "
        r"eigenvalues of a random 2 × 2 matrix are real with probability $2^{-1/2}$.",
        often_taught="An eigenvector is a vector that never rotates.",
        text_verdict="conditional",
        predicted=p,
        measured=float(result.real_share[0]),
        **contract.four_standard_errors(np.sqrt(p * (1 - p) / n), "√(p(1−p)/N)"),
        also=tuple(also),
        reason="A rotation turns every direction. For Gaussian $n × n$ matrices the chance that all are real "
        "is $2^{-n(n-1)/4}$.",
    )


def _rank(vectors: Array | Complex) -> int:
    return int(np.sum(np.linalg.svd(vectors, compute_uv=False) > RANK))


def _decomposition(result: Result) -> Claim:
    q, matrix = result.lapack_vectors, result.matrix
    enough = independent(matrix)
    grown = 1 / np.sqrt(NEARLY)
    also = [
        Check(what="of [[1, 1], [0, 1]]", predicted=1, measured=_rank(result.jordan_vectors),
              **contract.exact()),
        Check(what="κ(Q) of [[1, 1], [ε, 1]] is 1/√ε, at ε = 1e-6", predicted=grown,
              measured=result.nearly_condition, tolerance=8 * U / NEARLY * grown,
              rule="8u/ε of it: how far rounding moves a nearly double eigenvalue"),
    ]  # fmt: skip
    if enough == 2:
        left = np.linalg.norm(matrix - (q * result.lapack_values) @ np.linalg.inv(q))
        kappa = condition(cosine_between(matrix))
        distinct = invariants(matrix)[2] != 0
        also.append(
            Check(what="‖A − QΛQ⁻¹‖", predicted=0, measured=float(left), **contract.identity(kappa * 25))
        )
        if distinct:
            also.append(Check(what="κ(Q), from the angle between the eigenvectors", predicted=kappa,
                              measured=float(np.linalg.cond(q)), **contract.identity(kappa**2)))  # fmt: skip
    return Claim(
        id="2.1-eig-03",
        statement=r"$A = Q \Lambda Q^{-1}$ takes $n$ independent eigenvectors, real or complex. Yours has "
        f"{enough} of 2{'' if enough == 2 else ', so it has no such form'}.",
        predicted=enough,
        measured=_rank(q),
        **contract.exact(),
        also=tuple(also),
        reason="$Q$ must have an inverse. On the way to a defective matrix two eigenvectors close up, and "
        "$Q$ loses digits before it loses its inverse.",
    )


def _symmetric(result: Result) -> Claim:
    gram = np.abs(result.symmetric_gram - np.eye(4))
    also = [
        Check(what="largest imaginary part", predicted=0, **contract.exact(),
              measured=float(np.abs(result.symmetric_values.imag).max())),
        Check(what="largest ‖S − QΛQᵀ‖, with Qᵀ for the inverse", predicted=0,
              measured=float(result.symmetric_left.max()), **contract.identity()),
    ]  # fmt: skip
    if len(result.symmetric_kept) == 2:
        also.append(Check(what="degrees between the kept directions of (A + Aᵀ)/2", predicted=90,
                          measured=float(np.degrees(np.ptp(result.symmetric_kept))),
                          **contract.identity(180)))  # fmt: skip
    if len(result.kept) == 2 and not result.every:
        between = np.degrees(np.arccos(cosine_between(result.matrix)))
        apart = float(np.degrees(np.ptp(result.kept)))
        also.append(Check(what="degrees between those of A, from its entries", predicted=float(between),
                          measured=min(apart, 180 - apart), **contract.identity(180)))  # fmt: skip
        if _own(result):
            also.append(Check(what="the worked pair (2, 1), (−1, 1) meets at", predicted=108.4,
                              measured=apart, **contract.rounded(1)))  # fmt: skip
    return Claim(
        id="2.1-eig-04",
        statement=f"A symmetric matrix has real eigenvalues and an orthonormal $Q$. Shown: the largest entry "
        rf"of $|Q^\top Q - I|$ over {len(gram)} random symmetric 4 × 4 matrices.",
        predicted=0,
        measured=float(gram.max()),
        **contract.identity(),
        also=tuple(also),
        reason=r"$\lambda_1 v_1·v_2 = Av_1·v_2 = v_1·Av_2 = \lambda_2 v_1·v_2$, so $v_1·v_2 = 0$ unless the "
        "eigenvalues are the same. The solver used here does not know that the matrix is symmetric.",
    )


def _power(result: Result) -> Claim:
    chosen = result.settings.iterate
    rates = {which: measured_rate(result, which) for which in ("matrix", "karate")}
    rate, names = rates[chosen], {"matrix": "your matrix", "karate": "the karate club"}
    rule = "the terms neglected at step {}, and rounding"
    also = []
    for which, other in rates.items():
        if other.unmet:
            continue
        law, error, band = other.error
        also.append(Check(what=f"error at step {other.step}, {names[which]}", predicted=law, measured=error,
                          tolerance=band, rule=rule.format(other.step)))  # fmt: skip
        if which != chosen:
            also.append(Check(what=f"rate in {names[which]}", predicted=other.predicted, tolerance=other.band,
                              measured=other.measured, rule=rule.format(other.step)))  # fmt: skip
    return Claim(
        id="2.1-eig-05",
        statement=r"The error of power iteration shrinks by $|\lambda_2/\lambda_1|$ a step. Here: "
        f"{names[chosen]}, from step {rate.step} to {rate.step + 1}.",
        predicted=rate.predicted,
        measured=rate.measured,
        tolerance=rate.band,
        rule=rule.format(rate.step),
        also=tuple(also),
        unmet=rate.unmet,
        reason="Each step multiplies the part along $v_i$ by $λ_i$, so against $v_1$ the others lose by "
        "$|λ_i/λ_1|$; the slowest to go is the second.",
    )


def _singular(result: Result) -> Claim:
    matrix, parts = result.matrix, result.parts
    longest, _ = stretches(matrix)
    size = contract.identity(float(np.abs(matrix).sum()))
    square = contract.identity(float(np.abs(matrix).sum()) ** 2)
    lams = float(np.sum(np.abs(result.lapack_values) ** 2))
    also = []
    for i, (m, name) in enumerate(((matrix, ""), (matrix[:, ::-1], ", columns swapped"))):
        signed = stretches(m)[1]
        also += [
            Check(what=f"±σ₂, negative for a mirror{name}", predicted=signed, measured=float(parts[i, 2]),
                  **size),
            Check(what=f"what turn, stretch, turn misses without a mirror{name}",
                  predicted=max(0.0, -2 * signed), measured=float(result.unmirrored[i]), **size),
        ]  # fmt: skip
    also += [
        Check(what="σ₁σ₂ = |λ₁λ₂|", predicted=float(np.abs(result.lapack_values).prod()),
              measured=float(np.abs(parts[0, 1] * parts[0, 2])), **square),
        Check(what="σ₁² + σ₂² − |λ₁|² − |λ₂|², zero if A is normal", predicted=departure(matrix),
              measured=float(np.sum(parts[0, 1:3] ** 2) - lams), **square),
    ]  # fmt: skip
    if _own(result):
        for name, known, value in (("σ₁", 5.117, parts[0, 1]), ("σ₂", 1.954, abs(parts[0, 2]))):
            also.append(Check(what=f"{name} of the worked matrix, not λ", predicted=known,
                              measured=float(value), **contract.rounded(3)))  # fmt: skip
    return Claim(
        id="2.1-svd-02",
        statement="Every matrix is turn × stretch × turn, with a mirror where $ad - bc < 0$. The stretches "
        r"are the ellipse's radii, and equal $|\lambda|$ only if $A$ is normal. Shown: $\sigma_1$.",
        often_taught="The SVD generalises the eigendecomposition: rotation, scale, rotation.",
        text_verdict="conditional",
        predicted=longest,
        measured=float(parts[0, 1]),
        **size,
        also=tuple(also),
        reason="Two rotations and positive stretches cannot give a negative determinant. And a vector that "
        "is stretched most need not come back to its own line.",
    )


# --- Tables -------------------------------------------------------------------------------------------


def tables(result: Result) -> dict[str, pd.DataFrame]:
    """Tidy tables: turns, directions, circle, power iteration, club, stages, spectrum, random matrices."""
    matrix = result.matrix
    degrees = np.arange(0, 360.5, 0.5)
    v = on_circle(np.radians(degrees))
    w = v @ matrix.T
    half = np.sort(np.append(degrees[:361], np.degrees(result.kept)))  # with the crossings themselves
    circle = pd.DataFrame(
        {"direction": degrees, "x": v[:, 0], "y": v[:, 1], "image_x": w[:, 0], "image_y": w[:, 1],
         "stretch": np.linalg.norm(w, axis=1), "turn": turn_of(matrix, np.radians(degrees))}
    )  # fmt: skip
    values = eigenvalues(matrix)
    return {
        "main": pd.DataFrame({"direction": half, "turn": turn_curve(matrix, np.radians(half))}),
        "circle": circle.iloc[::6].reset_index(drop=True),
        "directions": _directions(result),
        "power": _power_table(result),
        "iterates": pd.DataFrame(
            {"step": np.arange(len(result.iterates)), "x": result.iterates[:, 0],
             "y": result.iterates[:, 1]}
        ),
        **_club_tables(result),
        "stages": _stages(matrix, result.parts[0]),
        "spectrum": pd.DataFrame({"real": values.real, "imaginary": values.imag, "size": np.abs(values)}),
        "rings": _rings(result),
        "cloud": pd.DataFrame({"real": result.cloud.real.ravel(), "imaginary": result.cloud.imag.ravel()}),
        "random": pd.DataFrame(
            {"n": SIZES, "measured": result.real_share, "predicted": [all_real(n) for n in SIZES]}
        ),
    }  # fmt: skip


def _rings(result: Result) -> pd.DataFrame:
    """Circles in the complex plane: |λ| by formula, and the ellipse's radii σ, which are around them."""
    at = np.radians(np.arange(0, 361, 4))
    sizes = {"theory": np.abs(eigenvalues(result.matrix)), "measured": np.abs(result.parts[0, 1:3])}
    rings = [(kind, i, size) for kind, both in sizes.items() for i, size in enumerate(both)]
    radius = np.repeat([size for _, _, size in rings], len(at))
    point, angle = np.tile(np.arange(len(at)), len(rings)), np.tile(at, len(rings))
    return pd.DataFrame(
        {"kind": np.repeat([kind for kind, _, _ in rings], len(at)),
         "ring": np.repeat([f"{kind} {i}" for kind, i, _ in rings], len(at)), "point": point,
         "real": radius * np.cos(angle), "imaginary": radius * np.sin(angle)}, index=point,
    )  # fmt: skip


def _directions(result: Result) -> pd.DataFrame:
    """Kept and singular directions: angle of v in degrees, v, its image, and the stretch by formula.

    ``turn`` is the multiple of 180° at which the curve of turns meets a kept direction.
    """
    values = eigenvalues(result.matrix).real
    v, _, _, _ = result.parts[0]
    angles = np.array([*result.kept, v, v + np.pi / 2])
    at = on_circle(angles)
    image = at @ result.matrix.T
    m = len(result.kept)
    half = np.sort(np.append(np.radians(np.arange(0, 180.5, 0.5)), result.kept))
    nearest = 180 * np.round(turn_curve(result.matrix, half) / 180)
    level = [*nearest[np.searchsorted(half, result.kept)], nan, nan]
    return pd.DataFrame(
        {"kind": ["eigenvector"] * m + ["singular vector"] * 2,
         "name": [f"λ{'₁₂'[i]} = {values[i]:.4g}".replace("-", "−") for i in range(m)]
         + [f"σ{'₁₂'[i]} = {abs(round(result.parts[0, 1 + i], 9)):.4g}" for i in range(2)],
         "direction": np.degrees(angles) % 180, "turn": level,
         "stretch": [*values[:m], *np.abs(result.parts[0, 1:3])],
         "x": at[:, 0], "y": at[:, 1], "image_x": image[:, 0], "image_y": image[:, 1]}
    )  # fmt: skip


def _power_table(result: Result) -> pd.DataFrame:
    """Error and law by step, of the chosen iteration, with their logarithms; below 1e-17 there is nothing."""
    steps = result.settings.steps
    error, law = result.error, error_law(result.matrix, result.iterates[0], steps)
    if result.settings.iterate == "karate":
        error, law = result.club_error[: steps + 1], club_error_law()[: steps + 1]
    columns = {"step": np.arange(steps + 1), "error": error, "predicted": law}
    for column, values in (("error", error), ("predicted", law)):
        columns[f"log10_{column}"] = np.log10(np.where(np.isfinite(values) & (values > 1e-17), values, nan))
    return pd.DataFrame(columns)


def _club_tables(result: Result) -> dict[str, pd.DataFrame]:
    """Links of the club by the places of their ends, and the weight of each member by step."""
    network, place = karate()
    one, two = np.nonzero(np.triu(network))
    links = {"x": place[one, 0], "y": place[one, 1], "x2": place[two, 0], "y2": place[two, 1]}
    steps = result.settings.steps + 1 if result.settings.iterate == "karate" else 1
    members = pd.DataFrame(
        {"step": np.repeat(np.arange(steps), 34), "member": np.tile(np.arange(1, 35), steps),
         "x": np.tile(place[:, 0], steps), "y": np.tile(place[:, 1], steps),
         "weight": result.club[:steps].ravel(), "links": np.tile(network.sum(axis=0).astype(int), steps)}
    )  # fmt: skip
    return {"links": pd.DataFrame(links), "members": members}


LETTER = np.array(
    [[0, 0], [0.2, 0], [0.2, 0.4], [0.5, 0.4], [0.5, 0.6], [0.2, 0.6], [0.2, 0.8], [0.6, 0.8], [0.6, 1],
     [0, 1], [0, 0]]
) - [0.3, 0.5]  # fmt: skip


def _stages(matrix: Array, parts: Array) -> pd.DataFrame:
    """A circle and a letter F on their way: turned (frames 0-8), stretched (8-16), turned (16-24)."""
    v, longest, second, u = parts
    v = v - np.pi if v > np.pi / 2 else v  # the shorter way round
    u = u if v == parts[0] else (u + 2 * np.pi) % (2 * np.pi) - np.pi
    shapes = {"circle": on_circle(np.radians(np.arange(0, 361, 6))), "letter": LETTER}
    moved, frames = [], 25
    for frame in range(frames):
        first, then, last = np.clip(frame / 8 - np.arange(3), 0, 1)
        scale = 1 + then * (np.array([longest, second]) - 1)
        move = rotation(last * u) @ np.diag(scale) @ rotation(-first * v)
        moved += [points @ move.T for points in shapes.values()]
    x, y = np.concatenate(moved).T
    sizes = [len(points) for points in shapes.values()]
    return pd.DataFrame(
        {"frame": np.repeat(np.arange(frames), sum(sizes)),
         "shape": np.tile(np.repeat(list(shapes), sizes), frames),
         "point": np.tile(np.concatenate([np.arange(size) for size in sizes]), frames), "x": x, "y": y}
    )  # fmt: skip


# --- Predict, then see --------------------------------------------------------------------------------

_FATES = ("It keeps its direction", "It turns by 90° and doubles", "It turns by 180° and doubles")


def _fate(result: Result) -> str:
    """What becomes of the eigenvector with the smaller eigenvalue, from its turn and its stretch."""
    turn, doubled = result.turns[0, 1], abs(result.stretch[1])
    if turn < 1:
        return _FATES[0]
    return _FATES[2] if turn > 179 and abs(doubled - 2) < ZERO else _FATES[1]


CHALLENGES = (
    Challenge(
        prompt="The matrix [[1, 2], [3, 0]] has λ = −2 for the vector (2, −3). What becomes of that vector?",
        options=_FATES,
        settings={"a": 1.0, "b": 2.0, "c": 3.0, "d": 0.0},
        answer=_fate,
        why="Av = −2v: twice as long, and pointing the other way. It stays on its line, but it does turn.",
    ),
    Challenge(
        prompt="Power iteration on [[4, 2], [1, 3]], with λ = 5 and 2, starts at (1, 0) with an error of "
        "0.5. What is the power of ten of the error after ten steps (a negative number)?",
        options=(),
        settings={},
        answer=lambda result: float(np.log10(result.error[10])),
        curve=("power", "step", "log10_error"),
        at=10,
        why="Each step leaves 2/5, which is 0.4 of a power of ten: ten steps take four.",
    ),
    Challenge(
        prompt="You fill a 4 × 4 matrix with random numbers from N(0, 1). What is the chance that all four "
        "eigenvalues are real (0 to 1)?",
        options=(),
        settings={},
        answer=lambda result: result.summary["all_real_4"],
        why="The law is 2^(−n(n−1)/4): one half to the power of three. Most matrices rotate something.",
    ),
)
