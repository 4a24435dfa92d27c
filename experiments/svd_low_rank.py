r"""**How few terms can stand in for a whole matrix, even one with gaps?**

A photograph is a matrix of grey values. You cut it down to a few simple layers, see what is lost, and then
hide some of its entries and ask which way of filling the gaps brings them back.

$$
A = U \Sigma V^\top = \sum_{i=1}^{r} \sigma_i u_i v_i^\top, \qquad
A_k = \sum_{i \le k} \sigma_i u_i v_i^\top
$$

- $A$ ($m \times n$): any matrix at all; $r = \min(m, n)$
- $u_i$, $v_i$: orthogonal directions of length 1; $u_i v_i^\top$ is a column pattern times a row pattern
- $\sigma_1 \ge \sigma_2 \ge \dots \ge 0$: the **singular values**, how strong each term is
- $A_k$: the first $k$ terms; $k(m+n+1)$ numbers store it

**No matrix of rank $k$ comes closer**, and how close is known before you look:

$$
\lVert A - A_k \rVert_F = \sqrt{\textstyle\sum_{i>k} \sigma_i^2}, \qquad
\lVert A - A_k \rVert_2 = \sigma_{k+1}
$$

The first norm adds up all squared entries, the second is the largest stretch of any unit vector.

**Gaps.** A matrix with holes has no SVD until something is put into them. Fill with zeros, and a share $h$ of
holes scales the whole picture by $1-h$. Fill with column means, and the gaps look average. Or leave the gaps
out of the sum and fit two factors to the observed entries $\Omega$ alone, in turns, each turn a small ridge
regression (**alternating least squares**, ALS):

$$
\min_{U, V} \sum_{(i,j) \in \Omega} (a_{ij} - u_i^\top v_j)^2
+ \lambda \left( \lVert U \rVert_F^2 + \lVert V \rVert_F^2 \right)
$$

With nothing hidden, the answer is $A_k$ with every $\sigma_i$ lowered by $\lambda$, down to zero.

**What to try.** Drag the rank under the picture until you see no difference; then look how far the break-even
still is. Hide half of the pixels, fill with zeros, and raise $k$: the gaps get *worse*, because more terms
copy the holes more faithfully. Switch to ALS. Then take λ = 5 and raise $k$ from 10 to 30: almost
nothing changes, for now λ decides the rank, and $k$ is only an upper bound.

**What surprises.** Halving $\sigma_{k+1}$ need not halve the error: the next one takes its place. And ALS is
no free lunch. On the digits it loses to the means up to rank 3, since the mean digit is a good guess that ALS
has to spend a term on. On the table of eighteen women and fourteen events there is too little to learn from,
and the means win at most settings. Storage has its small print, too: orthogonal factors can be packed into
$k(m+n-k)$ numbers, never more than $mn$; stored as they are, they break even near $mn/(m+n+1)$.

*References.* C. Eckart and G. Young (1936), The approximation of one matrix by another of lower rank. L.
Mirsky (1960), Symmetric gauge functions and unitarily invariant norms. M. Hestenes (1958), Inversion of
matrices by biorthogonalization, for the rotations. N. Halko, P.-G. Martinsson and J. Tropp (2011), Finding
structure with randomness, for the rivals. Y. Koren, R. Bell and C. Volinsky (2009), Matrix factorization
techniques for recommender systems. R. Mazumder, T. Hastie and R. Tibshirani (2010), Spectral regularization
algorithms for learning large incomplete matrices. A. Davis, B. Gardner and M. Gardner (1941), Deep South.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import eigh

from lab import contract
from lab.contract import Array, Challenge, Check, Claim, Tick, control, no_tick, seed_control
from lab.data import digits, photograph

Mask = NDArray[np.bool_]
Factors = tuple[Array, Array, Array]  # U, σ, Vᵀ
Image = Literal["china", "flower", "davis", "digits"]
FILLS = ("zero", "mean", "ALS")
FRAME_RANKS = (1, 2, 5, 10, 20, 40, 80, 160, 255)  # what the slider under the picture moves through
GAP_RANKS = (1, 2, 3, 5, 8, 12, 20, 30)
SWEEPS = 10  # of alternating least squares: the hidden error has settled to the third digit
REFERENCE_HIDDEN = 0.5  # used where the hidden share is left at 0, and by the claim on gaps
REFERENCE_RANK, REFERENCE_LAM = 10, 2.0
MOST_RIVALS = 24
GAP_SCANS = 600  # digits with gaps: this many scans keep a fit short
SHEET = (4, 10)  # digits are shown as a sheet of this many rows and columns of scans


class Settings(contract.Settings):
    """What you can turn."""

    image: Image = control(
        "china", "Matrix",
        help="Two photographs, who of 18 women came to which of 14 events, or 1,797 scans of digits.",
    )  # fmt: skip
    k: int = control(20, "Terms k", ge=1, le=255, step=1, help="How many terms to keep.")
    hidden: float = control(
        0.0, "Hidden share h", ge=0, le=0.8, step=0.05,
        help="Share of entries hidden at random. At 0 the part on gaps uses one half.",
    )  # fmt: skip
    fill: Literal["zero", "mean", "ALS"] = control(
        "zero", "Fill", help="Which way of dealing with the gaps to look at. All three are compared."
    )
    lam: float = control(
        2.0, "Penalty λ", ge=0.1, le=5, log=True, help="How hard ALS keeps its factors small."
    )
    seed: int = seed_control()


class Reference(NamedTuple):
    """Digits with half of the pixels hidden, rank 10, λ = 2: what the claim on gaps is judged by."""

    squares: Array  # (3, 600) squared error on the hidden pixels of each scan, by fill
    hidden: Array  # (600,) hidden pixels of each scan
    leading: Array  # (4,) σ₁ after zero fill: predicted, measured, standard error, next order
    leak: float  # how much the ALS factors change when other values are hidden


@dataclass(frozen=True)
class Result:
    """Everything the charts, the claims and the tests need."""

    settings: Settings
    shape: tuple[int, int]  # (m, n)
    terms: int  # k, or the rank the matrix can have at most if that is less
    singular_values: Array  # (r,)
    ranks: Array  # (p,) the ranks at which the error was measured
    squared_error: Array  # (p,) measured there, from the entries
    frobenius_error: float  # of the k terms, measured on the rebuilt matrix
    spectral_error: float  # likewise, as the largest stretch of what is left
    rival_errors: Array  # (rivals,) Frobenius error of other rank-k matrices
    stored: Array  # (r,) numbers in the arrays that hold k = 1..r terms
    factor_names: tuple[str, ...]  # the matrices whose factors were checked
    factor_faults: Array  # (matrices, 4) worst fault of U'U = 1, V'V = 1, order, and U S V' = A
    rotated: Array  # (2, 14) singular values of davis: from LAPACK, and by rotations written out here
    frame_ranks: Array  # (f,)
    frame_errors: Array  # (f,) relative error there
    hidden: float  # the share of hidden entries that was used
    gap_seen: Mask  # (a, b) true where an entry of the matrix with gaps is observed
    gap_rebuilt: Array  # (3, a, b) by zero fill, mean fill, ALS
    gap_rmse: Array  # (3,) error on the hidden entries, in that order
    gap_ranks: Array  # (q,)
    gap_rmse_by_rank: Array  # (q, 3)
    sweep_objective: Array  # (SWEEPS,) what ALS minimises, after each sweep
    sweep_rmse: Array  # (SWEEPS,) on the hidden entries
    brightness: float  # slope of the filled-in hidden entries against the truth, at your fill
    reference: Reference
    summary: dict[str, float]

    # Pictures are made where they are looked at: their size is many times that of all the rest.

    @property
    def original(self) -> Array:
        """What you see of the matrix (h, w), 0-1."""
        return _original(self.settings.image)

    @property
    def residual(self) -> Array:
        """What k terms leave out of it (h, w)."""
        image = self.settings.image
        return picture(matrix(image) - rebuild(*_whole(image)[0], self.terms), image)

    @property
    def frames(self) -> NDArray[np.uint8]:
        """The picture at each of ``frame_ranks`` (f, h, w), 0-255."""
        image, k = self.settings.image, self.terms
        if len(_film(image)) == len(self.frame_ranks):
            return _film(image)
        yours = grey(picture(rebuild(*_whole(image)[0], k), image))
        return np.insert(_film(image), int(np.searchsorted(self.frame_ranks, k)), yours, axis=0)

    @property
    def gap_truth(self) -> Array:
        """The matrix with gaps, before they were cut (a, b)."""
        return gap_matrix(self.settings.image)


# --- The matrices -------------------------------------------------------------------------------------


@cache
def matrix(image: Image) -> Array:
    """The matrix behind a name, entries from 0 to 1: (427, 640), (427, 640), (18, 14) or (1797, 64)."""
    if image == "digits":
        return digits()[0] / 16
    if image == "davis":
        import networkx as nx

        graph = nx.davis_southern_women_graph()
        women, events = graph.graph["top"], graph.graph["bottom"]
        return nx.bipartite.biadjacency_matrix(graph, women, events).toarray().astype(float)
    return photograph(image)


@cache
def gap_matrix(image: Image) -> Array:
    """The matrix that gaps are cut into: photographs a quarter as wide and high, the first 600 digits."""
    if image == "digits":
        return matrix(image)[:GAP_SCANS]
    return matrix(image) if image == "davis" else shrink(matrix(image), 4)


def shrink(values: Array, block: int) -> Array:
    """Means over blocks of ``block`` × ``block`` entries; a rest at the rim is cut off."""
    m, n = (side // block for side in values.shape)
    values = values[: m * block, : n * block]
    rows = (sum(values[i::block, j::block] for j in range(block)) for i in range(block))
    return np.asarray(sum(rows) / block**2)


def picture(values: Array, image: Image, between: float = 0.0) -> Array:
    """A matrix as you look at it (h, w): photographs at half size, davis lying down, digits as a sheet.

    The sheet shows the first forty scans, 0 to 9 from left to right, with ``between`` in the gaps.
    """
    if image == "digits":
        rows, columns = SHEET
        scans = values[: rows * columns].reshape(rows, columns, 8, 8)
        framed = np.pad(scans, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=between)
        return framed.transpose(0, 2, 1, 3).reshape(10 * rows, 10 * columns)
    if image == "davis":
        return values.T
    return values if min(values.shape) < 200 else shrink(values, 2)


# --- The mathematics ----------------------------------------------------------------------------------


def factorise(values: Array) -> Factors:
    """U (m, r), σ (r,) and Vᵀ (r, n) with $A = U \\, diag(σ) \\, V^T$, r = min(m, n)."""
    left, singular_values, right = np.linalg.svd(values, full_matrices=False)
    return left, singular_values, right


def rebuild(left: Array, singular_values: Array, right: Array, k: int) -> Array:
    """$A_k$ (m, n): the sum of the first k terms."""
    return (left[:, :k] * singular_values[:k]) @ right[:k]


def tail(singular_values: Array) -> Array:
    """Predicted $\\lVert A - A_k \\rVert_F^2$ for k = 0..r (r+1,): the squares left out."""
    return np.append(np.cumsum(singular_values[::-1] ** 2)[::-1], 0.0)


def largest_stretch(values: Array) -> float:
    """$\\lVert A \\rVert_2$: root of the largest eigenvalue of the smaller of $AA^T$ and $A^TA$."""
    gram = values @ values.T if len(values) < values.shape[1] else values.T @ values
    last = len(gram) - 1
    return math.sqrt(max(float(eigh(gram, eigvals_only=True, subset_by_index=[last, last])[0]), 0.0))


def errors_by_rank(values: Array, factors: Factors) -> tuple[Array, Array]:
    """Ranks (p,) and the squared error measured there (p,), taking term after term off the entries."""
    left, singular_values, right = factors
    r = len(singular_values)
    ranks = np.unique(np.append(np.arange(1, 61), np.geomspace(60, max(r, 60), 40).astype(int)))
    ranks = np.append(ranks[ranks < r], r)
    residual, errors = values.copy(), []
    for low, high in zip((0, *ranks[:-1]), ranks, strict=True):
        residual -= (left[:, low:high] * singular_values[low:high]) @ right[low:high]
        errors.append(float(np.vdot(residual, residual)))
    return ranks.astype(float), np.array(errors)


def rival_errors(values: Array, k: int, rng: np.random.Generator) -> Array:
    """Frobenius errors (rivals,) of other matrices of rank k: A projected onto the span of AΩ.

    Ω (n, k) is Gaussian, so the span already leans towards the strong directions: these are the good
    rivals of Halko, Martinsson and Tropp (2011), not straw men.
    """
    count = int(np.clip(1000 // k, 4, MOST_RIVALS))
    spans, _ = np.linalg.qr(values @ rng.standard_normal((count, values.shape[1], k)))
    whole, errors = float(np.sum(values**2)), []
    for span in spans:
        kept = span.T @ values
        left = whole - float(np.sum(kept**2))
        if left < 1e-3 * whole:  # too few digits are left of a difference this small
            left = float(np.sum((values - span @ kept) ** 2))
        errors.append(math.sqrt(left))
    return np.array(errors)


def break_even(m: int, n: int) -> int:
    """The largest k with $k(m + n + 1) < mn$: past it, the factors hold more numbers than the matrix."""
    return math.ceil(m * n / (m + n + 1)) - 1


def factor_faults(values: Array) -> Array:
    """How far the factors of a matrix are from their definition (4,), relative to the matrix's size."""
    left, singular_values, right = factorise(values)
    size = max(float(np.linalg.norm(values)), 1.0)
    return np.array(
        [
            np.abs(left.T @ left - np.eye(left.shape[1])).max(),
            np.abs(right @ right.T - np.eye(len(right))).max(),
            max(0.0, float(np.diff(singular_values, append=0.0).max())),  # a rise, or one below zero
            np.abs(rebuild(left, singular_values, right, len(right)) - values).max() / size,
        ]
    )


def by_rotations(values: Array) -> Array:
    """Singular values (n,) of a tall matrix, built by turning pairs of columns until all are orthogonal.

    Hestenes (1958): each turn makes one pair orthogonal and brings $A^TA$ nearer to a diagonal; the
    lengths of the final columns are the singular values. That it ends is a proof that an SVD exists.
    """
    columns = values.T.copy()  # a column of A a row
    small = 1e-15 * float(np.sum(values**2))
    turned = True
    while turned:
        turned = False
        for p in range(len(columns)):
            for q in range(p + 1, len(columns)):
                a, b = columns[p], columns[q]
                product = float(a @ b)
                if abs(product) <= small:
                    continue
                zeta = (b @ b - a @ a) / (2 * product)
                tangent = math.copysign(1 / (abs(zeta) + math.hypot(1, zeta)), zeta)
                cosine = 1 / math.hypot(1, tangent)
                sine = cosine * tangent
                columns[p], columns[q] = cosine * a - sine * b, sine * a + cosine * b
                turned = True
    return np.sort(np.linalg.norm(columns, axis=1))[::-1]


# --- Gaps ---------------------------------------------------------------------------------------------


def hide(shape: tuple[int, ...], share: float, rng: np.random.Generator) -> Mask:
    """True where an entry stays observed (m, n); each is hidden with probability ``share``."""
    seen = rng.random(shape) >= share
    if seen.all() or not seen.any():  # a tiny matrix by bad luck
        seen[0, 0] = not seen[0, 0]
    return seen


def with_means(values: Array, seen: Mask) -> Array:
    """The matrix with each gap filled by the mean of its column's observed entries (m, n)."""
    count = seen.sum(axis=0)
    overall = values[seen].mean()
    means = np.where(count > 0, (values * seen).sum(axis=0) / np.maximum(count, 1), overall)
    return np.where(seen, values, means)


def half_sweep(values: Array, seen: Array, other: Array, lam: float) -> Array:
    """The best row factors (m, k) for fixed column factors ``other`` (n, k): one ridge regression a row.

    $u_i = (\\sum_{j \\in Ω_i} v_j v_j^T + λI)^{-1} \\sum_{j \\in Ω_i} a_{ij} v_j$; ``seen`` is 0 or 1.
    With fewer observed entries than factors, the dual form is smaller.
    """
    n, k = other.shape
    if seen.sum() < k * len(seen):
        return half_sweep_dual(values, seen, other, lam)
    squares = (other[:, :, None] * other[:, None, :]).reshape(n, k * k)
    gram = (seen @ squares).reshape(-1, k, k) + lam * np.eye(k)  # (m, k, k)
    right = ((seen * values) @ other)[:, :, None]
    return np.asarray(np.linalg.solve(gram, right)[:, :, 0], dtype=float)


def half_sweep_dual(values: Array, seen: Array, other: Array, lam: float) -> Array:
    """The same (m, k), with as many equations a row as it has observed entries.

    $u_i = V_i^T (V_i V_i^T + λI)^{-1} a_i$, with the observed entries $a_i$ of row i and their rows $V_i$ of
    ``other``.
    """
    gram = other @ other.T + lam * np.eye(len(other))
    weights = np.zeros(values.shape)
    for i, row in enumerate(seen):
        at = np.flatnonzero(row)
        weights[i, at] = np.linalg.solve(gram[at[:, None], at], values[i, at])
    return weights @ other


def als(
    values: Array, seen: Mask, k: int, lam: float, sweeps: int, start: Factors | None = None
) -> Iterator[tuple[Array, Array]]:
    """Row and column factors (m, k), (n, k) after each sweep, starting from the mean-filled matrix.

    ``start`` is its SVD, where that is known.
    """
    _, singular_values, right = start or factorise(with_means(values, seen))
    v = right[:k].T * np.sqrt(singular_values[:k])
    weight = seen.astype(float)
    for _ in range(sweeps):
        u = half_sweep(values, weight, v, lam)
        v = half_sweep(values.T, weight.T, u, lam)
        yield u, v


def objective(values: Array, seen: Mask, u: Array, v: Array, lam: float) -> float:
    """What ALS minimises: squared error on the observed entries plus λ(‖U‖² + ‖V‖²)."""
    misfit = (values - u @ v.T)[seen]
    return float(misfit @ misfit + lam * (np.sum(u**2) + np.sum(v**2)))


def rmse_on_hidden(rebuilt: Array, truth: Array, seen: Mask) -> float:
    """Root mean squared error on the entries that were hidden."""
    return float(np.sqrt(np.mean((rebuilt - truth)[~seen] ** 2)))


def leading_after_zero_fill(values: Array, seen: Mask, share_seen: float) -> Array:
    """σ₁ of the zero-filled matrix: predicted, measured, standard error, next order (4,).

    With $p$ the observed share, $M \\odot A = pA + E$, where E has mean 0 and variances $p(1-p)a_{ij}^2$.
    To first order σ₁ moves by $u_1^T E v_1$, to second by at most
    $(\\lVert Ev_1 \\rVert^2 + \\lVert E^Tu_1 \\rVert^2) / 2p(σ_1 - σ_2)$, whose mean is taken.
    """
    left, singular_values, right = factorise(values)
    u, v, p = left[:, 0] ** 2, right[0] ** 2, share_seen
    variances = p * (1 - p) * values**2
    standard_error = math.sqrt(u @ variances @ v)
    gap = 2 * p * (singular_values[0] - singular_values[1])
    next_order = float((variances @ v).sum() + (u @ variances).sum()) / gap
    measured = float(np.linalg.svd(values * seen, compute_uv=False)[0])
    return np.array([p * singular_values[0], measured, standard_error, next_order])


# --- The run ------------------------------------------------------------------------------------------


@cache
def _whole(image: Image) -> tuple[Factors, Array, Array]:
    """Factors and measured errors of a whole matrix: the slow part, and the same at every k."""
    factors = factorise(matrix(image))
    return factors, *errors_by_rank(matrix(image), factors)


@lru_cache(maxsize=64)
def _left_out(image: Image, k: int) -> tuple[float, float]:
    """Frobenius norm and largest stretch of what k terms leave out: gaps have no part in it."""
    residual = matrix(image) - rebuild(*_whole(image)[0], k)
    return float(np.linalg.norm(residual)), largest_stretch(residual)


@lru_cache(maxsize=64)
def _rivals(image: Image, k: int, seed: int) -> Array:
    """``rival_errors`` of a whole matrix: gaps have no part in it."""
    return rival_errors(matrix(image), k, np.random.default_rng([seed, 0]))


@cache
def _original(image: Image) -> Array:
    return picture(matrix(image), image)


@cache
def _film(image: Image) -> NDArray[np.uint8]:
    """The picture at ``FRAME_RANKS``, as far as the matrix has them (f, h, w)."""
    factors = _whole(image)[0]
    ranks = [k for k in FRAME_RANKS if k < len(factors[1])]
    return np.array([grey(picture(rebuild(*factors, k), image)) for k in ranks])


def grey(values: Array) -> NDArray[np.uint8]:
    """Entries from 0 to 1 as whole grey levels from 0 to 255; what lies outside is cut."""
    return np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)


@cache
def _factors_checked() -> tuple[tuple[str, ...], Array, Array]:
    """Faults of the factors of odd shapes, and davis by rotations."""
    rng = np.random.default_rng(0)
    odd = {
        "one entry": np.array([[-2.0]]),
        "a row": np.array([[3.0, 0.0, 4.0]]),
        "a column": np.array([[3.0], [4.0]]),
        "wide, 3 × 7": rng.standard_normal((3, 7)),
        "tall, 7 × 3": rng.standard_normal((7, 3)),
        "rank one, 4 × 6": np.outer(np.arange(1.0, 5), np.arange(6.0)),
        "all zero, 3 × 2": np.zeros((3, 2)),
        "equal columns, 5 × 2": np.ones((5, 2)),
    }
    davis = matrix("davis")
    rotated = np.array([factorise(davis)[1], by_rotations(davis)])
    return tuple(odd), np.array([factor_faults(values) for values in odd.values()]), rotated


@cache
def _faults_of(image: Image) -> Array:
    return factor_faults(matrix(image))


@lru_cache(maxsize=64)
def _reference(seed: int) -> Reference:
    """The three fills on digits with half of the pixels hidden."""
    truth = gap_matrix("digits")
    seen = hide(truth.shape, REFERENCE_HIDDEN, np.random.default_rng([seed, 2]))
    *_, (u, v) = als(truth, seen, REFERENCE_RANK, REFERENCE_LAM, SWEEPS)
    others = np.where(seen, truth, 9.0)  # other values under the gaps: nothing may change
    *_, (u2, v2) = als(others, seen, REFERENCE_RANK, REFERENCE_LAM, SWEEPS)
    zero, mean = (
        rebuild(*factorise(filled), REFERENCE_RANK) for filled in (truth * seen, with_means(truth, seen))
    )
    squares = [np.sum((rebuilt - truth) ** 2 * ~seen, axis=1) for rebuilt in (zero, mean, u @ v.T)]
    leading = leading_after_zero_fill(truth, seen, 1 - REFERENCE_HIDDEN)
    leak = max(float(np.abs(u - u2).max()), float(np.abs(v - v2).max()))
    return Reference(np.array(squares), (~seen).sum(axis=1).astype(float), leading, leak)


class Gaps(NamedTuple):
    """A matrix with gaps, filled in two ways."""

    seen: Mask  # (a, b) true where an entry is observed
    zero: Factors  # the SVD with zeros in the gaps
    mean: Factors  # with column means
    rmse: Array  # (q, 2) error on the hidden entries, at ``GAP_RANKS`` as far as there are


@lru_cache(maxsize=2)
def _filled(image: Image, hidden: float, seed: int) -> Gaps:
    """Cut the gaps and fill them: the same whatever k and λ you look at."""
    truth = gap_matrix(image)
    seen = hide(truth.shape, hidden, np.random.default_rng([seed, 1]))
    zero, mean = factorise(truth * seen), factorise(with_means(truth, seen))
    ranks = [k for k in GAP_RANKS if k <= min(truth.shape)]
    rmse = [[rmse_on_hidden(rebuild(*f, k), truth, seen) for f in (zero, mean)] for k in ranks]
    return Gaps(seen, zero, mean, np.array(rmse))


class Fit(NamedTuple):
    """Where alternating least squares ended, and its way there."""

    u: Array  # (a, k)
    v: Array  # (b, k)
    objective: Array  # (SWEEPS,)
    rmse: Array  # (SWEEPS,) on the hidden entries


@lru_cache(maxsize=12)
def _fit(image: Image, hidden: float, lam: float, seed: int, k: int) -> Fit:
    """ALS at one rank, which no higher k changes than the matrix has."""
    truth, gaps = gap_matrix(image), _filled(image, hidden, seed)
    path, rmse = [], []
    for u, v in als(truth, gaps.seen, k, lam, SWEEPS, gaps.mean):
        path.append(objective(truth, gaps.seen, u, v, lam))
        rmse.append(rmse_on_hidden(u @ v.T, truth, gaps.seen))
    return Fit(u, v, np.array(path), np.array(rmse))


@lru_cache(maxsize=256)
def _als_rmse(image: Image, hidden: float, lam: float, seed: int, k: int) -> float:
    """Error of ALS on the hidden entries at one rank: the same whatever k you look at."""
    return float(_fit(image, hidden, lam, seed, k).rmse[-1])


def run(settings: Settings, tick: Tick = no_tick) -> Result:
    """Take the matrix apart, rebuild it from k terms, let rivals try, and bring back hidden entries."""
    image, values = settings.image, matrix(settings.image)
    (left, singular_values, right), ranks, squared_error = _whole(image)
    m, n, r = *values.shape, len(singular_values)
    k = min(settings.k, r)
    tick(0.2)

    frobenius, spectral = _left_out(image, k)
    rivals = _rivals(image, k, settings.seed)
    stored = np.array([left[:, :j].size + j + right[:j].size for j in range(1, r + 1)])
    names, faults, rotated = _factors_checked()
    tick(0.35)

    frame_ranks = sorted({*(j for j in FRAME_RANKS if j < r), k})
    total = float(np.linalg.norm(values))
    frame_errors = np.sqrt(tail(singular_values)[frame_ranks]) / total
    tick(0.4)

    hidden = settings.hidden or REFERENCE_HIDDEN
    truth, gaps = gap_matrix(image), _filled(image, hidden, settings.seed)
    seen, gap_k = gaps.seen, min(k, *truth.shape)
    fit = _fit(image, hidden, settings.lam, settings.seed, gap_k)
    gap_rebuilt = np.array([rebuild(*gaps.zero, gap_k), rebuild(*gaps.mean, gap_k), fit.u @ fit.v.T])
    gap_rmse = np.array([rmse_on_hidden(guess, truth, seen) for guess in gap_rebuilt])
    tick(0.7)

    gap_ranks = [j for j in GAP_RANKS if j <= min(truth.shape)]
    fitted = []
    for done, j in enumerate(gap_ranks, 1):
        fitted.append(_als_rmse(image, hidden, settings.lam, settings.seed, j))
        tick(0.7 + 0.25 * done / len(gap_ranks))
    guess = gap_rebuilt[FILLS.index(settings.fill)]
    brightness = float(np.sum((guess * truth)[~seen]) / np.sum(truth[~seen] ** 2))
    reference = _reference(settings.seed)
    tick(1.0)

    summary = {
        "terms": k,
        "relative_error": frobenius / total,
        "spectral_error": spectral,
        "numbers_kept": float(stored[k - 1] / values.size),
        "break_even": break_even(m, n),
        "best_rival_ratio": float(rivals.min() / frobenius) if frobenius > 1e-9 * total else math.nan,
        **{f"rmse_{fill}".lower(): float(error) for fill, error in zip(FILLS, gap_rmse, strict=True)},
        "brightness": brightness,
    }
    return Result(
        settings, (m, n), k, singular_values, ranks, squared_error, frobenius, spectral, rivals, stored,
        (image, *names), np.vstack([_faults_of(image), faults]), rotated, np.array(frame_ranks), frame_errors,
        hidden, seen, gap_rebuilt, gap_rmse, np.array(gap_ranks), np.column_stack([gaps.rmse, fitted]),
        fit.objective, fit.rmse, brightness, reference, summary,
    )  # fmt: skip


# --- Theory against measurement -----------------------------------------------------------------------


def claims(result: Result) -> list[Claim]:
    """The four claims on the singular value decomposition."""
    return [_exists(result), _eckart_young(result), _storage(result), _gaps(result)]


def _exists(result: Result) -> Claim:
    worst = np.unravel_index(result.factor_faults.argmax(), result.factor_faults.shape)
    what = ("UᵀU = 1", "VᵀV = 1", "σ sorted and not negative", "UΣVᵀ = A")[worst[1]]
    lapack, rotations = result.rotated
    apart = int(np.abs(lapack - rotations).argmax())
    return Claim(
        id="2.1-svd-01",
        statement="Every matrix has an SVD with orthogonal factors and sorted $σ_i ≥ 0$: the one you chose, "
        f"and {len(result.factor_names) - 1} odd ones, down to a single entry and all zeros "
        f"(worst: {what} on *{result.factor_names[worst[0]]}*).",
        predicted=0.0,
        measured=float(result.factor_faults.max()),
        **contract.identity(),
        also=(
            Check(
                what=f"davis, built by turning columns: σ of term {apart + 1}, where it is furthest off",
                predicted=float(lapack[apart]),
                measured=float(rotations[apart]),
                **contract.identity(float(lapack[0])),
            ),
        ),
        reason="Turning pairs of columns until all are orthogonal always ends; their lengths are the σ.",
    )


def _eckart_young(result: Result) -> Claim:
    k, left_out = result.terms, tail(result.singular_values)
    total = float(np.sqrt(left_out[0]))
    at_ranks = left_out[result.ranks.astype(int)]
    worst = int(np.abs(at_ranks - result.squared_error).argmax())
    spectral = float(np.append(result.singular_values, 0.0)[k])
    return Claim(
        id="2.1-svd-03",
        statement=rf"{k} terms leave exactly $\sqrt{{\sum_{{i>{k}}} \sigma_i^2}}$ (Frobenius), and no other "
        "matrix of that rank leaves less.",
        predicted=float(np.sqrt(left_out[k])),
        measured=result.frobenius_error,
        **contract.identity(total),
        also=(
            Check(
                what=rf"largest stretch of what is left: $\sigma_{{{k + 1}}}$",
                predicted=spectral, measured=result.spectral_error, **contract.identity(total),
            ),
            Check(
                what=f"squared error at {len(result.ranks)} ranks (worst: {result.ranks[worst]:.0f})",
                predicted=float(at_ranks[worst]), measured=float(result.squared_error[worst]),
                **contract.identity(float(left_out[0])),
            ),
            Check(
                what=f"the best of {len(result.rival_errors)} rivals of the same rank", relation=">=",
                predicted=float(np.sqrt(left_out[k])), measured=float(result.rival_errors.min()),
                **contract.identity(total),
            ),
        ),
        reason="The terms are orthogonal to each other, so what is left out adds up in squares.",
    )  # fmt: skip


def _storage(result: Result) -> Claim:
    (m, n), predicted = result.shape, break_even(*result.shape)
    pays = int(np.sum(result.stored < m * n))
    also = [
        Check(
            what=f"numbers that hold {result.terms} terms: k(m + n + 1)",
            predicted=result.terms * (m + n + 1),
            measured=float(result.stored[result.terms - 1]),
            **contract.exact(),
        )
    ]
    if (m, n) == (427, 640):
        share = float(result.stored[49] / (m * n))
        also.append(
            Check(what="share kept by 50 terms", predicted=0.195, measured=share, **contract.rounded(3))
        )
    return Claim(
        id="2.1-svd-04",
        statement=f"Keeping k terms saves space only while $k < mn/(m+n+1)$: for {m} × {n}, up to "
        f"k = {predicted}.",
        often_taught="Keeping the first k terms of an SVD compresses a matrix.",
        text_verdict="conditional",
        predicted=predicted,
        measured=pays,
        **contract.exact(),
        also=tuple(also),
        reason="Each term brings m + n + 1 numbers; all terms of a square matrix hold twice its numbers.",
    )


def _gaps(result: Result) -> Claim:
    squares, hidden, leading, leak = result.reference
    zero, mean, fitted = np.sqrt(squares.sum(axis=1) / hidden.sum())
    largest_rise = float(np.diff(result.sweep_objective).max())
    predicted, measured, standard_error, next_order = (float(x) for x in leading)
    return Claim(
        id="2.1-svd-06",
        statement="A matrix with gaps has no SVD to take. With half the pixels of 600 digits hidden, factors "
        f"of rank {REFERENCE_RANK} fitted to the *observed* ones alone restore the rest better than an SVD "
        "after filling in means, and that better than after zeros.",
        often_taught="An SVD of the ratings won the Netflix Prize.",
        text_verdict="wrong",
        predicted=float(mean),
        measured=float(fitted),
        relation="<",
        **contract.four_standard_errors(paired_error(squares[1], squares[2], hidden), "paired, over scans"),
        also=(
            Check(what="mean fill against zero fill", relation="<", predicted=float(zero),
                  measured=float(mean),
                  **contract.four_standard_errors(paired_error(squares[0], squares[1], hidden),
                                                  "paired, over scans")),
            Check(what="zero fill halves the strongest term: σ₁ becomes (1 − h)σ₁",
                  predicted=predicted, measured=measured, tolerance=4 * standard_error + next_order,
                  rule=f"4 SE + next order = 4 · {standard_error:.3g} + {next_order:.3g}"),
            Check(what="change in the fitted factors when other values lie under the gaps",
                  predicted=0.0, measured=leak, **contract.exact()),
            Check(what="largest rise of the ALS objective in a sweep, at your settings", relation="<=",
                  predicted=0.0, measured=largest_rise,
                  **contract.identity(float(result.sweep_objective[0]))),
        ),
        reason="The prize of 2009 went to a blend of hundreds of predictors (history, not checked here); its "
        "factor models were fitted to the known ratings, because zeros are not ratings.",
    )  # fmt: skip


def paired_error(worse: Array, better: Array, count: Array) -> float:
    """Standard error of the difference of two RMSEs over the same hidden entries, rows as the sample.

    a − b = (a² − b²)/(a + b), and a² − b² is a ratio of sums over rows, (Σ dᵢ)/(Σ nᵢ), whose error is
    √Σ(dᵢ − (a² − b²)nᵢ)² / Σ nᵢ.
    """
    total = float(count.sum())
    a, b = math.sqrt(worse.sum() / total), math.sqrt(better.sum() / total)
    scatter = (worse - better) - (a**2 - b**2) * count
    return float(np.linalg.norm(scatter) / total / (a + b))


# --- Tables -------------------------------------------------------------------------------------------


def limits(result: Result) -> list[float]:
    """Predicted error of zero and mean fill when all terms are kept: the filling itself comes back."""
    truth, seen = result.gap_truth, result.gap_seen
    return [rmse_on_hidden(filled, truth, seen) for filled in (truth * seen, with_means(truth, seen))]


def brightness(result: Result) -> pd.DataFrame:
    """Hidden entries in bins of 0.1 by their true value: how bright they were, and are after each fill."""
    hidden = ~result.gap_seen
    truth = result.gap_truth[hidden]
    values = pd.DataFrame(np.vstack([truth, result.gap_rebuilt[:, hidden]]).T, columns=["true", *FILLS])
    by_bin = np.minimum(truth * 10, 9).astype(int)
    means, count = values.groupby(by_bin).mean(), np.bincount(by_bin)
    return pd.DataFrame(
        {
            "true": np.tile(means["true"], len(FILLS)),
            "entries": np.tile(count[count > 0], len(FILLS)),
            "fill": np.repeat(FILLS, len(means)),
            "brought_back": means[list(FILLS)].to_numpy().T.ravel(),
        }
    )


def _gap_table(result: Result) -> pd.DataFrame:
    """Error on the hidden entries by fill and rank, your own rank included."""
    yours = min(result.terms, *result.gap_truth.shape)
    ranks, at = np.unique([yours, *result.gap_ranks], return_index=True)
    rmse = np.vstack([result.gap_rmse, result.gap_rmse_by_rank])[at]
    return pd.DataFrame(
        {
            "k": np.tile(ranks, len(FILLS)),
            "fill": np.repeat(FILLS, len(ranks)),
            "rmse_on_hidden": rmse.T.ravel(),
        }
    )


def tables(result: Result) -> dict[str, pd.DataFrame]:
    """Tidy tables: error by rank, spectrum, rivals, factors, gaps, sweeps and the picture in small."""
    total = math.sqrt(float(tail(result.singular_values)[0]))
    ranks, (m, n) = result.ranks.astype(int), result.shape
    block = max(1, min(result.original.shape) // 40)
    original, residual = shrink(result.original, block), shrink(result.residual, block)
    row, column = np.indices(original.shape)
    return {
        "main": pd.DataFrame(
            {
                "k": ranks,
                "relative_error": np.sqrt(result.squared_error) / total,
                "predicted": np.sqrt(tail(result.singular_values)[ranks]) / total,
                "numbers_kept": result.stored[ranks - 1] / (m * n),
            }
        ),
        "spectrum": pd.DataFrame(
            {
                "term": np.arange(1, len(result.singular_values) + 1),
                "singular_value": result.singular_values,
                "share_of_squares": result.singular_values**2 / total**2,
            }
        ),
        "rivals": pd.DataFrame({"k": result.terms, "relative_error": result.rival_errors / total}),
        "frames": pd.DataFrame(
            {
                "frame": np.arange(len(result.frame_ranks)),
                "k": result.frame_ranks,
                "relative_error": result.frame_errors,
                "numbers_kept": result.stored[result.frame_ranks - 1] / (m * n),
            }
        ),
        "factors": pd.DataFrame(
            result.factor_faults, columns=["u_orthogonal", "v_orthogonal", "order", "rebuilt"]
        ).assign(matrix=result.factor_names),
        "gaps": _gap_table(result),
        "limits": pd.DataFrame({"fill": FILLS[:2], "rmse_on_hidden": limits(result)}),
        "brightness": brightness(result),
        "sweeps": pd.DataFrame(
            {
                "sweep": np.arange(1, SWEEPS + 1),
                "objective": result.sweep_objective,
                "rmse_on_hidden": result.sweep_rmse,
            }
        ),
        "picture": pd.DataFrame(
            {
                "row": row.ravel(),
                "column": column.ravel(),
                "original": original.ravel(),
                "left_out": residual.ravel(),
            }
        ),
    }


# --- Predict, then see --------------------------------------------------------------------------------


def halved_next(result: Result) -> float:
    """By what factor the spectral error at k changes when σₖ₊₁ alone is halved: the next may take over."""
    left = result.singular_values[result.terms :].copy()
    before = left.max()
    left[0] /= 2
    return float(left.max() / before)


CHALLENGES = (
    Challenge(
        prompt="china has 427 terms. What relative error (0 to 1) is left after the first 50?",
        options=(),
        settings={"k": 50},
        answer=lambda result: result.summary["relative_error"],
        curve=("main", "k", "relative_error"),
        at=50,
        why="A few terms carry light and shade; the fine detail is spread thinly over hundreds of others.",
    ),
    Challenge(
        prompt="Keep one term of china. Someone halves σ₂ and touches nothing else. By what factor does the "
        "largest stretch of what is left out change?",
        options=(),
        settings={"k": 1},
        answer=halved_next,
        why="It is the largest σ left out. Once σ₂ is halved, σ₃ is larger and takes its place.",
    ),
    Challenge(
        prompt="Half of the pixels are hidden and set to zero, and one term is kept. What share of its true "
        "brightness does a hidden pixel get back?",
        options=(),
        settings={"hidden": 0.5, "fill": "zero", "k": 1},
        answer=lambda result: result.brightness,
        why="A zero is taken for black, so the best term is the true one scaled by the observed half; and "
        "one term does not hold all of the picture.",
    ),
)
