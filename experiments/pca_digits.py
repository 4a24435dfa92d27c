r"""**How many directions carry a handwritten digit?**

A scan of 8×8 pixels is a point in 64 dimensions. Principal component analysis looks for the directions in
which 1,797 such points spread most. Write $X$ ($n \times 64$) for the pixels with the mean digit taken off.

$$
C = \frac{X^\top X}{n-1} = V \Lambda V^\top, \qquad X = U \Sigma V^\top, \qquad
\lambda_i = \frac{\sigma_i^2}{n-1}
$$

- $v_i$, a column of $V$: the $i$-th **principal component**, itself an 8×8 picture
- $\lambda_i$: the variance along $v_i$; $\lambda_i / \sum_j \lambda_j$ is its **explained variance ratio**
- $\sigma_i$: the singular values of $X$; two routes, one answer, as long as the data are centred
- $X_k = \sum_{i \le k} \sigma_i u_i v_i^\top$: the digits rebuilt from $k$ components

No other $k$ directions leave a smaller squared error, and the error is known before you look:
$\lVert X - X_k \rVert_F^2 = \sum_{i>k} \sigma_i^2$.

**What to try.** Put the noise at 4 grey levels and look for the best $k$: too few components blur the digit,
too many let the noise back in. A component pays as long as its variance $\lambda_i$ exceeds that of the
noise, so the best $k$ can be counted before it is measured. Then switch centring off: the first direction
turns into the mean digit and says nothing about differences between digits.

**What surprises.** Two components keep 28.5 % of the variance and already tell 59 % of the digits apart; 29
keep 95 % and classify slightly *better* than all 64.

*References.* K. Pearson (1901), On lines and planes of closest fit to systems of points in space. C. Eckart
and G. Young (1936), The approximation of one matrix by another of lower rank. I. Jolliffe (2002), Principal
Component Analysis. P. Läuchli (1961) for the matrix that breaks the covariance route.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from lab import contract
from lab.contract import Array, Challenge, Check, Claim, Tick, control, no_tick, seed_control
from lab.data import digits
from lab.memory import fixed

SHARES = (0.80, 0.90, 0.95, 0.99)
NEIGHBOUR_K = (1, 2, 3, 5, 7, 10, 15, 21, 29, 41, 64)
PLOTTED = 10  # components that the scatter plot offers
REFERENCE_NOISE = 4.0  # grey levels of 16: strong, but the digits can still be read

# Known before this run: components needed for 80, 90, 95 and 99 % of the variance of this data set.
KNOWN_COUNTS = {False: (13, 21, 29, 41), True: (21, 31, 40, 54)}  # raw, standardised
KNOWN_SHARES = {1: 0.149, 2: 0.285, 10: 0.738}  # raw


Scans = slice | list[int]


class Settings(contract.Settings):
    """What you can turn."""

    k: int = control(20, "Components k", ge=1, le=64, step=1, help="How many directions to keep.")
    noise: float = control(
        0.0, "Noise σ", ge=0, le=8, step=0.5, unit="grey levels",
        help="Gaussian noise added to the digits you see. At 0 the denoising chart uses 4.",
    )  # fmt: skip
    centre: bool = control(True, "Centre", help="Take the mean digit off first. PCA needs it.")
    standardise: bool = control(
        False,
        "Standardise",
        help="Divide each pixel by its standard deviation, so rare pixels count as much.",
    )
    seed: int = seed_control()


@dataclass(frozen=True)
class Result:
    """Everything the charts, the claims and the tests need."""

    settings: Settings
    mean: Array  # (64,) taken off the pixels
    scale: Array  # (64,) that they were divided by
    singular_values: Array  # (64,)
    components: Array  # (64, 64) a component a row
    covariance_eigenvalues: Array  # (64,) the second route
    covariance_eigenvectors: Array  # (64, 64) a component a row
    scores: Array  # (1797, 10) coordinates along the first components
    score_squares: Array  # (64,) squared length of the coordinates along each component
    squared_error: Array  # (65,) measured for k = 0..64, on the analysed data
    neighbour_k: Array  # the k at which nearest neighbours were counted
    neighbour_accuracy: Array  # leave-one-out 1-NN accuracy there
    denoise_sigma: float
    denoise_mse: Array  # (65,) per pixel, measured for k = 0..64
    denoise_clean_variances: Array  # (64,) variance of the clean digits along their own components
    mean_angle_sine: float  # sine of the angle between the uncentred first direction and the mean digit
    mean_angle_bound: float  # its bound from the residual of the mean as an eigenvector
    lauchli: Array  # (3,) the true small singular value, by SVD, by covariance
    summary: dict[str, float]

    def shown(self, scans: Scans = slice(None)) -> Array:
        """The digits you see (scans, 64): the original pixels plus noise."""
        return with_noise(self.settings.noise, self.settings.seed)[scans]

    def rebuilt(self, scans: Scans = slice(None)) -> Array:
        """The digits you see, rebuilt from k components (scans, 64), in grey levels."""
        return rebuild(self.shown(scans), self.mean, self.scale, self.components[: self.settings.k])


# --- The mathematics ----------------------------------------------------------------------------------


def prepare(pixels: Array, centre: bool, standardise: bool) -> tuple[Array, Array, Array]:
    """The analysed matrix, and the mean and scale that were taken off. A constant pixel keeps scale 1."""
    mean = pixels.mean(axis=0) if centre else np.zeros(pixels.shape[1])
    deviation = pixels.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0) if standardise else np.ones(pixels.shape[1])
    return (pixels - mean) / scale, mean, scale


def by_svd(data: Array) -> tuple[Array, Array]:
    """Singular values (d,) and components (d, d), a row each, from $X = U Σ V^T$."""
    _, singular_values, components = np.linalg.svd(data, full_matrices=False)
    return singular_values, fix_signs(components)


def by_covariance(data: Array) -> tuple[Array, Array]:
    """Eigenvalues (d,) and components (d, d), a row each, of $C = X^T X / (n - 1)$, largest first."""
    eigenvalues, eigenvectors = np.linalg.eigh(data.T @ data / (len(data) - 1))
    return eigenvalues[::-1], fix_signs(eigenvectors.T[::-1])


def fix_signs(components: Array) -> Array:
    """Turn each component so that its largest entry is positive: the sign is free, the page needs one."""
    largest = np.abs(components).argmax(axis=1)
    return components * np.sign(components[np.arange(len(components)), largest])[:, None]


def squared_errors(data: Array, target: Array, components: Array) -> Array:
    """$\\lVert target - X_k \\rVert_F^2$ for k = 0..d (d+1,), X_k being ``data`` on its first k components.

    Counted from the pixels, one rank-one term after the other, without using the singular values.
    """
    residual = target.copy()
    errors = [float(np.vdot(residual, residual))]
    for component in components:
        residual -= np.outer(data @ component, component)
        errors.append(float(np.vdot(residual, residual)))
    return np.array(errors)


def rebuild(shown: Array, mean: Array, scale: Array, components: Array) -> Array:
    """Digits (n, d) rebuilt from ``components`` (k, d) alone, in grey levels."""
    return ((shown - mean) / scale) @ components.T @ components * scale + mean


def tail_sums(singular_values: Array) -> Array:
    """Predicted squared error for k = 0..d (d+1,): the squares left out (Eckart and Young, 1936)."""
    return np.append(np.cumsum(singular_values[::-1] ** 2)[::-1], 0.0)


def explained_variance_ratio(singular_values: Array) -> Array:
    """Each component's share of the total variance (d,)."""
    return singular_values**2 / np.sum(singular_values**2)


def components_for(share: float, singular_values: Array) -> int:
    """The smallest k whose components keep at least ``share`` of the variance."""
    return int(np.searchsorted(np.cumsum(explained_variance_ratio(singular_values)), share) + 1)


def nearest_neighbour_accuracy(scores: Array, label: Array) -> float:
    """Leave-one-out accuracy of 1-NN: does the nearest other point carry the same label?

    $|a - b|^2 = |a|^2 - 2ab + |b|^2$; the first term is the same for all neighbours of a, so it is left out.
    """
    distance = -2 * scores @ scores.T  # (n, n)
    distance += np.sum(scores**2, axis=1)
    np.fill_diagonal(distance, np.inf)
    return float(np.mean(label[distance.argmin(axis=1)] == label))


def denoising_mse(clean_variances: Array, sigma: float) -> Array:
    """Predicted error per pixel for k = 0..d (d+1,): what is cut off plus the noise that is let in.

    $\\frac1d(\\sum_{i>k} λ_i + kσ^2)$, with the components of the clean data; noisy data turn them a little.
    """
    d = len(clean_variances)
    cut_off = np.append(np.cumsum(clean_variances[::-1])[::-1], 0.0)
    return (cut_off + np.arange(d + 1) * sigma**2) / d


def angle_to_mean(pixels: Array) -> tuple[float, float]:
    """Sine of the angle between the uncentred first direction and the mean, and its bound.

    Davis and Kahan (1970): with $M = X^T X$, unit mean m and $ρ = m^T M m$, the sine is at most
    $\\lVert M m - ρ m \\rVert / (ρ - λ_2(M))$.
    """
    moment = pixels.T @ pixels
    unit_mean = pixels.mean(axis=0) / np.linalg.norm(pixels.mean(axis=0))
    eigenvalues, eigenvectors = np.linalg.eigh(moment)
    first = eigenvectors[:, -1]
    sine = float(np.linalg.norm(unit_mean - first * (first @ unit_mean)))
    rayleigh = unit_mean @ moment @ unit_mean
    residual = np.linalg.norm(moment @ unit_mean - rayleigh * unit_mean)
    return sine, float(residual / (rayleigh - eigenvalues[-2]))


def lauchli(epsilon: float = 1e-9) -> Array:
    """Second singular value of [[1, 1], [ε, 0], [0, ε]] (Läuchli, 1961): exact, by SVD, by $A^T A$."""
    matrix = np.array([[1.0, 1.0], [epsilon, 0.0], [0.0, epsilon]])
    svd = np.linalg.svd(matrix, compute_uv=False)[1]
    covariance = np.sqrt(max(np.linalg.eigvalsh(matrix.T @ matrix)[0], 0.0))
    return np.array([epsilon, svd, covariance])


# --- The run ------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def unit_noise(seed: int) -> Array:
    """Standard normal noise (1797, 64): the same at every strength, read-only."""
    return fixed(np.random.default_rng(seed).standard_normal(digits()[0].shape))


def with_noise(sigma: float, seed: int) -> Array:
    """The scans with noise of σ grey levels (1797, 64)."""
    pixels = digits()[0]
    return pixels + sigma * unit_noise(seed) if sigma else pixels


class Analysis(NamedTuple):
    """What both routes find; the fields are those of ``Result``."""

    mean: Array
    scale: Array
    singular_values: Array
    components: Array
    covariance_eigenvalues: Array
    covariance_eigenvectors: Array
    scores: Array
    score_squares: Array
    squared_error: Array


@cache
def _analyse(centre: bool, standardise: bool) -> Analysis:
    """The clean digits by both routes, and the error for every k: the same whatever k you look at."""
    data, mean, scale = prepare(digits()[0], centre, standardise)
    singular_values, components = by_svd(data)
    scores = data @ components.T
    return fixed(Analysis(
        mean, scale, singular_values, components, *by_covariance(data), scores[:, :PLOTTED].copy(),
        np.sum(scores**2, axis=0), squared_errors(data, data, components),
    ))  # fmt: skip


@cache
def _neighbours(centre: bool, standardise: bool) -> tuple[float, ...]:
    """1-NN accuracy at ``NEIGHBOUR_K``: the slow part, and the same whatever k you look at."""
    pixels, label = digits()
    data, _, _ = prepare(pixels, centre, standardise)
    scores = data @ by_svd(data)[1].T
    return tuple(nearest_neighbour_accuracy(scores[:, :k], label) for k in NEIGHBOUR_K)


@lru_cache(maxsize=64)
def _denoised(sigma: float, seed: int) -> Array:
    """Error per pixel (65,) against the clean digits of noisy ones rebuilt from their own components."""
    pixels = digits()[0]
    noisy, mean, _ = prepare(with_noise(sigma, seed), True, False)
    return fixed(squared_errors(noisy, pixels - mean, by_svd(noisy)[1]) / pixels.size)


@cache
def _mean_angle() -> tuple[float, float]:
    """``angle_to_mean`` of the digits: no setting has a part in it."""
    return angle_to_mean(digits()[0])


def run(settings: Settings, tick: Tick = no_tick) -> Result:
    """Analyse the digits by both routes, rebuild them from k components, and denoise them."""
    pixels = digits()[0]
    shown = with_noise(settings.noise, settings.seed)
    tick(0.05)

    found = _analyse(settings.centre, settings.standardise)
    singular_values = found.singular_values
    tick(0.3)

    rebuilt = rebuild(shown, found.mean, found.scale, found.components[: settings.k])
    accuracy = _neighbours(settings.centre, settings.standardise)
    tick(0.6)

    sigma = settings.noise or REFERENCE_NOISE
    denoise_mse = _denoised(sigma, settings.seed)
    clean_variances = _analyse(True, False).covariance_eigenvalues
    tick(1.0)

    share = np.cumsum(explained_variance_ratio(singular_values))
    best_k = int(denoise_mse.argmin())
    summary = {
        "explained_variance_at_k": float(share[settings.k - 1]),
        "mse_at_k": float(np.mean((rebuilt - pixels) ** 2)),
        **{f"components_for_{s:.0%}".rstrip("%"): components_for(s, singular_values) for s in SHARES},
        "neighbour_accuracy_all": accuracy[-1],
        "denoise_best_k": best_k,
        "denoise_best_mse": float(denoise_mse[best_k]),
    }
    return Result(
        settings, *found, np.array(NEIGHBOUR_K, dtype=float), np.array(accuracy), sigma, denoise_mse,
        clean_variances, *_mean_angle(), lauchli(), summary,
    )  # fmt: skip


# --- Theory against measurement -----------------------------------------------------------------------


def claims(result: Result) -> list[Claim]:
    """The five claims on principal components."""
    return [
        _two_routes(result),
        _shares(result),
        _reconstruction(result),
        _centring(result),
        _denoising(result),
    ]


def _two_routes(result: Result) -> Claim:
    from_svd = result.singular_values**2 / (len(result.scores) - 1)
    worst = int(np.abs(from_svd - result.covariance_eigenvalues).argmax())
    return Claim(
        id="2.1-pca-01",
        statement=r"Both routes agree: $\lambda_i = \sigma_i^2/(n-1)$ for all 64 components "
        f"(shown: component {worst + 1}, where they differ most).",
        predicted=float(from_svd[worst]),
        measured=float(result.covariance_eigenvalues[worst]),
        **contract.identity(float(result.covariance_eigenvalues[0])),
        reason="With $X = UΣV^T$, the covariance is $VΣ^2V^T/(n-1)$: the same vectors, squared values.",
    )


def _shares(result: Result) -> Claim:
    standardised = result.settings.standardise
    counts = [components_for(s, result.singular_values) for s in SHARES]
    share = np.cumsum(explained_variance_ratio(result.singular_values))
    known = KNOWN_COUNTS[standardised]
    also = [
        Check(what=f"components for {s:.0%}", predicted=known[i], measured=counts[i], **contract.exact())
        for i, s in enumerate(SHARES)
        if s != 0.95
    ]
    if not standardised:
        also += [
            Check(what=f"share of the first {k}", predicted=p, measured=share[k - 1], **contract.rounded(3))
            for k, p in KNOWN_SHARES.items()
        ]
    largest = float(result.score_squares.max())
    also.append(
        Check(
            what="variance along the first component is the largest",
            predicted=largest,
            measured=float(result.singular_values[0] ** 2),
            **contract.identity(largest),
        )
    )
    return Claim(
        id="2.1-pca-02",
        statement="The first component has the most variance, and 95 % of it takes "
        f"{known[2]} of 64 components ({'standardised' if standardised else 'raw'} pixels).",
        predicted=known[2],
        measured=counts[2],
        **contract.exact(),
        also=tuple(also),
        unmet="" if result.settings.centre else "shares of variance are defined for centred data",
        reason="Neighbouring pixels move together, so few directions hold most of the variance.",
    )


def _reconstruction(result: Result) -> Claim:
    predicted, k = tail_sums(result.singular_values), result.settings.k
    worst = int(np.abs(predicted - result.squared_error).argmax())
    total = contract.identity(float(predicted[0]))
    return Claim(
        id="2.1-pca-03",
        statement=rf"Rebuilding from $k$ = {k} components leaves exactly $\sum_{{i>k}} \sigma_i^2$.",
        predicted=float(predicted[k]),
        measured=float(result.squared_error[k]),
        **total,
        also=(
            Check(
                what=f"the same for every k (worst: {worst})",
                predicted=float(predicted[worst]), measured=float(result.squared_error[worst]), **total,
            ),
        ),
        reason="The terms left out are orthogonal to each other, so their squares add up.",
    )  # fmt: skip


def _centring(result: Result) -> Claim:
    true, svd, covariance = result.lauchli
    return Claim(
        id="2.1-pca-04",
        statement="PCA is the SVD of *centred* data, up to sign and ties. Uncentred, the first direction "
        "only finds the mean digit: the sine of the angle between them stays under Davis and Kahan's bound.",
        often_taught="PCA and SVD give the same result.",
        text_verdict="conditional",
        predicted=result.mean_angle_bound,
        measured=result.mean_angle_sine,
        tolerance=0.0,
        relation="<=",
        rule="bound ‖Mm − ρm‖ / (ρ − λ₂), Davis and Kahan 1970",
        also=(
            Check(what="Läuchli matrix: σ₂ by SVD", predicted=true, measured=svd, tolerance=2.5e-16 * 4,
                  rule="backward error of the SVD: a few u·‖A‖"),
            Check(what="Läuchli matrix: relative error of σ₂ by covariance", predicted=0.1, relation=">",
                  measured=abs(covariance - true) / true,
                  rule="ε² = 1e-18 is below u·‖A‖² = 4e-16, so no digit survives squaring"),
        ),
        reason="Forming $X^TX$ squares the condition number, and the mean is a direction like any other.",
    )  # fmt: skip


def _denoising(result: Result) -> Claim:
    sigma, mse = result.denoise_sigma, result.denoise_mse
    pays = int(np.sum(result.denoise_clean_variances > sigma**2))
    standard_error = sigma**2 * np.sqrt(2 / digits()[0].size)
    full = contract.four_standard_errors(standard_error, "σ²√(2/(64 n))")
    return Claim(
        id="2.1-pca-05",
        statement=f"Noise of σ = {sigma:g} has a best $k$ in between: keeping the {pays} components whose "
        "variance exceeds σ² beats keeping all 64.",
        often_taught="PCA reduces noise.",
        text_verdict="conditional",
        predicted=float(mse[64]),
        measured=float(mse[pays]),
        relation="<",
        **full,
        also=(
            Check(what="all 64 components keep all the noise: MSE = σ²",
                  predicted=sigma**2, measured=float(mse[64]), **full),
            Check(what=f"MSE at {pays} components against {max(pays // 3, 1)}", relation="<",
                  predicted=float(mse[max(pays // 3, 1)]), measured=float(mse[pays]), **full),
        ),
        unmet="" if 3 <= pays < 60 else "noise this weak or strong leaves no room between blur and noise",
        reason="Each component brings λᵢ of signal and σ² of noise; it pays while λᵢ > σ².",
    )  # fmt: skip


# --- Tables -------------------------------------------------------------------------------------------


def tables(result: Result) -> dict[str, pd.DataFrame]:
    """Tidy tables: spectrum, reconstruction error, nearest neighbours, denoising, scores."""
    k = np.arange(65)
    ratio = explained_variance_ratio(result.singular_values)
    pixels, label = digits()
    names = [f"component {i}" for i in range(1, PLOTTED + 1)]
    return {
        "spectrum": pd.DataFrame(
            {
                "component": k[1:],
                "variance_by_svd": result.singular_values**2 / (len(pixels) - 1),
                "variance_by_covariance": result.covariance_eigenvalues,
                "share": ratio,
                "cumulative_share": np.cumsum(ratio),
            }
        ),
        "reconstruction_error": pd.DataFrame(
            {
                "k": k,
                "measured": result.squared_error / pixels.size,
                "predicted": tail_sums(result.singular_values) / pixels.size,
            }
        ),
        "nearest_neighbours": pd.DataFrame(
            {"k": result.neighbour_k.astype(int), "accuracy": result.neighbour_accuracy}
        ),
        "denoising": pd.DataFrame(
            {
                "k": k,
                "measured": result.denoise_mse,
                "predicted": denoising_mse(result.denoise_clean_variances, result.denoise_sigma),
            }
        ),
        "scores": pd.DataFrame(result.scores, columns=names).assign(
            digit=label.astype(int), index=np.arange(len(label))
        ),
    }


# --- Predict, then see --------------------------------------------------------------------------------

CHALLENGES = (
    Challenge(
        prompt="Of 64 components, how many does it take to keep 90 % of the variance of the digits?",
        options=(),
        settings={},
        answer=lambda result: result.summary["components_for_90"],
        why="Neighbouring pixels rise and fall together, so 64 pixels hold far fewer independent directions.",
    ),
    Challenge(
        prompt="Now standardise the pixels. What share of the variance do ten components keep (0 to 1)?",
        options=(),
        settings={"standardise": True, "k": 10},
        answer=lambda result: result.summary["explained_variance_at_k"],
        curve=("spectrum", "component", "cumulative_share"),
        at=10,
        why="Pixels at the rim are almost always blank; scaled up, each asks for a direction of its own.",
    ),
    Challenge(
        prompt="You add noise of 4 grey levels. Which reconstruction is closest to the clean digits?",
        options=("5 components", "15 components", "all 64"),
        settings={"noise": 4.0, "k": 15},
        answer=lambda result: ("5 components", "15 components", "all 64")[
            int(np.argmin(result.denoise_mse[[5, 15, 64]]))
        ],
        why="Five blur the digit, 64 keep all the noise; one pays while its variance exceeds σ² = 16.",
    ),
)
