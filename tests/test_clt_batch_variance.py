"""Batch variance and the CLT: against SciPy, torch and brute force, invariants, by hand, spoiled results."""

from dataclasses import replace
from itertools import combinations, product
from math import sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.optimize import minimize
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression

from experiments import clt_batch_variance as clt
from experiments.clt_batch_variance import DRAWS_PER_MEAN, PATIENTS, Settings, claims, run

SOURCES = clt.SourceName.__args__
SCIPY = {
    "exponential": stats.expon(),
    "uniform": stats.uniform(),
    "Bernoulli": stats.bernoulli(clt.P_ONE),
    "Poisson": stats.poisson(1),
    "lognormal": stats.lognorm(1),
    "Pareto": stats.pareto(clt.PARETO_TAIL),
}
populations = arrays(float, st.tuples(st.integers(4, 6), st.integers(1, 3)), elements=st.integers(-9, 9))


@pytest.fixture(scope="module")
def result():
    return run(Settings())


@pytest.fixture(scope="module")
def gradients():
    design, target, best = clt.regression()
    return clt.per_example_gradients(design, target, np.zeros_like(best))


def verdict(result, claim_id):
    return next(claim.verdict for claim in claims(result) if claim.id == claim_id)


def all_batches(values, size, replacement):
    """Every batch mean, each as likely as the others."""
    n = range(len(values))
    members = product(n, repeat=size) if replacement else combinations(n, size)
    return np.array([values[list(batch)].mean(axis=0) for batch in members])


# --- reference ---


def test_the_regression_is_that_of_scikit_learn():
    design, target, best = clt.regression()
    features, score = load_diabetes(return_X_y=True)
    assert np.allclose(design[:, :-1], features * sqrt(PATIENTS))
    assert np.allclose(target * score.std() + score.mean(), score)
    reference = LinearRegression().fit(design[:, :-1], target)
    assert np.allclose(best, [*reference.coef_, reference.intercept_])


def test_each_patients_gradient_is_that_of_autograd():
    design, target, _ = clt.regression()
    weights = np.linspace(-1, 1, 11)
    gradients = clt.per_example_gradients(design, target, weights)
    for i in (0, 17, 441):
        w = torch.tensor(weights, requires_grad=True)
        ((torch.from_numpy(design[i]) @ w - target[i]) ** 2).backward()
        assert np.allclose(gradients[i], w.grad.numpy())


@settings(max_examples=25, deadline=None)
@given(populations, st.integers(1, 3), st.booleans())
def test_both_laws_hold_over_every_batch_there_is(values, size, replacement):
    deviations = values - values.mean(axis=0)
    squared = np.sum(all_batches(deviations, size, replacement) ** 2, axis=1)
    one = np.mean(np.sum(deviations**2, axis=1))
    law = clt.predicted_variance(one, np.array(size), replacement, population=len(values))
    assert squared.mean() == pytest.approx(float(law), abs=1e-9)
    exact = clt.variance_of_squared_error(deviations, size, replacement)
    assert exact == pytest.approx(squared.var(), rel=1e-6, abs=1e-6)


def test_a_batch_of_everyone_has_no_spread_at_all():
    deviations = np.array([[3.0], [-1.0], [-2.0], [0.0], [0.0]])
    assert clt.variance_of_squared_error(deviations, 5, False) == pytest.approx(0, abs=1e-12)


def test_the_slope_is_that_of_numpy():
    rng = np.random.default_rng(1)
    size = np.array([1.0, 2, 4, 8, 16])
    error = np.array([0.05, 0.02, 0.03, 0.01, 0.04])
    variance = 3 / size * np.exp(error * rng.standard_normal(5))
    coefficients, covariance = np.polyfit(np.log(size), np.log(variance), 1, w=1 / error, cov="unscaled")
    slope, standard_error = clt.fit_slope(size, variance, error)
    assert slope == pytest.approx(coefficients[0])
    assert standard_error == pytest.approx(sqrt(covariance[0, 0]))


@pytest.mark.parametrize("size", [25, 34, 442])
def test_means_over_batches_equal_a_plain_loop(gradients, size):
    parts = [gradients[i : i + size] for i in range(0, PATIENTS, size)]
    plain = np.mean([part.mean(axis=0) for part in parts], axis=0)
    weighted = sum(part.mean(axis=0) * len(part) for part in parts) / PATIENTS
    assert np.allclose(clt.mean_over_batches(gradients, size, False), plain)
    assert np.allclose(clt.mean_over_batches(gradients, size, True), weighted)
    error = np.linalg.norm(plain - gradients.mean(axis=0))
    assert clt.short_batch_error(gradients, size) == pytest.approx(error, abs=1e-12)


def test_features_normalised_inside_a_batch_equal_those_of_torch():
    design, target, best = clt.regression()
    expected = []
    for start in range(0, PATIENTS, 34):
        block = torch.from_numpy(design[start : start + 34, :-1].copy())
        inner = torch.nn.functional.batch_norm(block, None, None, training=True, eps=1e-12).numpy()
        batch = np.column_stack([inner, np.ones(34)])
        expected.append(clt.per_example_gradients(batch, target[start : start + 34], best).mean(axis=0))
    assert np.allclose(clt.batch_normalised_mean(design, target, best, 34), np.mean(expected, axis=0))


def test_the_expected_excess_loss_is_that_over_all_pairs_of_patients():
    design, target, best = clt.regression()
    second, (first_rate, second_rate) = design.T @ design / PATIENTS, clt.rates()[:2]
    one = -first_rate * clt.per_example_gradients(design, target, np.zeros(11))  # (442, 11)
    excess = np.sum(((one - best) @ second) * (one - best), axis=1)
    assert clt.expected_excess()[1] == pytest.approx(excess.mean())
    residual = one @ design.T - target  # (442 first patients, 442 second patients)
    two = one[:, None, :] - 2 * second_rate * residual[:, :, None] * design[None, :, :] - best
    excess = np.einsum("ijd,de,ije->ij", two, second, two, optimize=True)
    assert clt.expected_excess()[2] == pytest.approx(excess.mean())


@pytest.mark.parametrize("name", SCIPY)
def test_moments_of_the_sources_are_those_of_scipy(name):
    law, reference = clt.source_law(name, np.ones(1)), SCIPY[name]
    known = reference.stats("mvsk")
    shape = clt.standardised(law.raw_moments)
    assert law.mean == pytest.approx(known[0])
    assert law.deviation == pytest.approx(sqrt(known[1]))
    assert shape[2] == pytest.approx(known[2])
    if name == "Pareto":
        assert len(shape) == 3
    else:
        assert shape[3] - 3 == pytest.approx(known[3])
    third = reference.expect(lambda x: np.abs(x - law.mean) ** 3)
    assert law.absolute_third == pytest.approx(third, rel=1e-3)


@pytest.mark.parametrize("name", SCIPY)
def test_draws_come_from_the_distribution_they_are_said_to(name):
    draws = clt.source_law(name, np.ones(1)).draw(np.random.default_rng(3), (5000, 4)).ravel()
    value, count = np.unique(draws, return_counts=True)
    share, exact = np.cumsum(count) / len(draws), SCIPY[name].cdf(value)
    assert np.max(np.abs(share - exact)) < clt.distance_noise(len(draws))


@pytest.mark.parametrize("n", [1, 4, 64])
def test_moments_of_a_mean_are_those_of_gamma_and_binomial(n):
    exponential = clt.standardised(clt.source_law("exponential", np.ones(1)).raw_moments)
    moments = clt.moments_of_mean(exponential, n)
    reference = stats.gamma(n, loc=-sqrt(n), scale=1 / sqrt(n))
    assert np.allclose(moments, [reference.moment(k) for k in range(1, 9)], rtol=1e-6, atol=1e-8)
    toss = clt.standardised(clt.source_law("Bernoulli", np.ones(1)).raw_moments)
    whole, p = np.arange(n + 1), clt.P_ONE
    z = (whole - n * p) / sqrt(n * p * (1 - p))
    expected = [np.sum(stats.binom(n, p).pmf(whole) * z**k) for k in range(1, 9)]
    assert np.allclose(clt.moments_of_mean(toss, n), expected, atol=1e-8)


@pytest.mark.parametrize("name", ["exponential", "Poisson", "gradient", "Cauchy"])
def test_the_measured_distance_is_scipys_ks_statistic(name, gradients):
    law = clt.source_law(name, gradients[:, clt.BMI])
    z = np.sort((law.draw(np.random.default_rng(0), (500, 8)).mean(axis=1) - law.mean) / law.deviation)
    assert clt.kolmogorov_distance(z) == pytest.approx(stats.kstest(z, "norm").statistic, abs=1e-12)


@pytest.mark.parametrize("n", DRAWS_PER_MEAN)
def test_exact_distances_are_those_of_scipys_distributions(n):
    z = np.linspace(-8, 12, 200_001)
    gamma = stats.gamma(n, loc=-sqrt(n), scale=1 / sqrt(n)).cdf(z)
    assert clt.exact_distance("exponential", n) == pytest.approx(
        np.max(np.abs(gamma - stats.norm.cdf(z))), abs=1e-5
    )
    p = clt.P_ONE
    for name, law in (("Bernoulli", stats.binom(n, p)), ("Poisson", stats.poisson(n))):
        steps = law.cdf(law.mean() + law.std() * z)
        gap = np.max(np.abs(steps - stats.norm.cdf(z)))
        assert clt.exact_distance(name, n) == pytest.approx(gap, abs=1e-4)


def test_no_normal_curve_is_nearer_to_cauchy_whatever_its_centre():
    x = np.concatenate([-np.geomspace(1e3, 1e-3, 3000), np.geomspace(1e-3, 1e3, 3000)])
    cauchy = stats.cauchy.cdf(x)

    def distance(parameters):
        return np.max(np.abs(cauchy - stats.norm.cdf((x - parameters[0]) / np.exp(parameters[1]))))

    starts = [(m, s) for m in (-0.5, 0.0, 0.5) for s in (0.0, 0.5, 1.0)]
    best = min(minimize(distance, s, method="Nelder-Mead").fun for s in starts)
    sigma, nearest = clt.nearest_normal_to_cauchy()
    assert nearest == pytest.approx(best, abs=1e-4)
    assert distance((0.0, np.log(sigma))) == pytest.approx(nearest, abs=1e-4)


# --- invariant ---


@settings(max_examples=40, deadline=None)
@given(st.integers(1, PATIENTS), st.booleans(), st.integers(0, 99))
def test_a_batch_has_its_size_and_repeats_nobody_without_replacement(size, replacement, seed):
    counts = clt.batch_counts(np.random.default_rng(seed), size, replacement, 20)
    assert counts.shape == (20, PATIENTS)
    assert np.all(counts.sum(axis=1) == size)
    assert np.all(counts >= 0)
    assert replacement or counts.max() == 1


def test_lottery_numbers_that_differ_less_than_single_precision_are_told_apart():
    class Close:
        def random(self, shape):
            return np.broadcast_to(np.linspace(0.5 + 1e-9, 0.5, PATIENTS), shape)

    counts = clt.batch_counts(Close(), 5, False, 2)
    assert np.all(counts[:, -5:] == 1)
    assert counts.sum() == 10


@pytest.mark.parametrize("replacement", [True, False])
def test_every_patient_is_drawn_equally_often(replacement):
    repeats, size = 4000, 40
    drawn = clt.batch_counts(np.random.default_rng(0), size, replacement, repeats).sum(axis=0)
    p = size / PATIENTS
    spread = sqrt(repeats * p * (1 if replacement else 1 - p))
    assert np.max(np.abs(drawn - repeats * p)) < 5 * spread


@pytest.mark.parametrize("name", [s for s in SOURCES if s != "Cauchy"])
def test_exact_distances_stay_under_the_bound_of_berry_and_esseen(name, gradients):
    law = clt.source_law(name, gradients[:, clt.BMI])
    assert law.rho >= 1  # Lyapunov: E|Z|³ ≥ (E Z²)^(3/2)
    for n in (1, 2, 3, 5, 16, 64, 200):
        exact = clt.exact_distance(name, n)
        assert np.isnan(exact) or 0 < exact <= clt.berry_esseen(law.rho, n)


@settings(max_examples=40, deadline=None)
@given(arrays(float, st.integers(3, 8), elements=st.integers(-9, 9), unique=True), st.integers(1, 50))
def test_skewness_falls_like_one_over_root_n_and_kurtosis_like_one_over_n(values, n):
    one = clt.standardised(clt.empirical_law(values).raw_moments)
    mean = clt.moments_of_mean(one, n)
    assert np.allclose(mean[:2], [0, 1], atol=1e-9)
    for what, power in (("skewness", 0.5), ("excess kurtosis", 1.0)):
        expected = clt.expected_shape(what, one) / n**power
        assert clt.expected_shape(what, mean) == pytest.approx(expected, abs=1e-9)


def test_the_errors_of_shape_are_the_usual_ones_for_a_normal():
    normal = (0.0, 1.0, 0.0, 3.0, 0.0, 15.0, 0.0, 105.0)
    errors = [clt.shape_error(what, normal, 600) ** 2 * 600 for what in clt.SHAPES]
    assert errors == pytest.approx([1, 2, 6, 24])
    assert clt.shape_error("skewness", normal[:3], 600) == np.inf


@pytest.mark.parametrize("weights", ["zero", "fitted"])
@pytest.mark.parametrize("source", SOURCES)
def test_claims_hold_for_every_source_and_weights(source, weights):
    outcome = run(Settings(source=source, weights=weights, seed=7))
    unmet = {"2.3-clt-03", "2.3-clt-04"} if source == "Cauchy" else set()
    for claim in claims(outcome):
        assert claim.verdict == ("not at these settings" if claim.id in unmet else "confirmed"), claim


@pytest.mark.parametrize("batch", [1, 2, 3, 221, 441])
def test_claims_hold_for_every_largest_batch(batch):
    outcome = run(Settings(batch=batch, replacement=False, repeats=200, draws=1000))
    assert [claim.verdict for claim in claims(outcome)] == ["confirmed"] * 6
    assert outcome.sizes[-1] == batch
    assert max(batch // 2, 1) in outcome.sizes
    frames = clt.tables(outcome)
    assert frames["main"].measured.min() > 0
    assert np.isfinite(frames["laws"].log10_predicted).all()


@pytest.mark.parametrize("source", ["exponential", "Poisson", "Bernoulli"])
def test_histograms_hold_nearly_all_means_in_bins_of_equal_width(source):
    frame = clt.tables(run(Settings(source=source, repeats=200)))["histogram"]
    for n, bins in frame.groupby("n"):
        width = bins.right - bins.left
        assert np.allclose(width, width.iloc[0])
        assert np.sum(bins.density * width) > (0.95 if n == 1 else 0.99)


def test_whole_numbers_fall_evenly_into_bins():
    law = clt.source_law("Poisson", np.ones(1))
    for n in DRAWS_PER_MEAN:
        edges = clt.bin_edges(law, n)
        z = (np.arange(0, 30 * n) - n) / sqrt(n)
        counts = np.histogram(z, edges)[0]
        assert len(set(counts[(edges[:-1] > z[0]) & (edges[1:] < z[-1])])) <= 1


# --- known case ---


def test_a_gradient_worked_by_hand():
    gradient = clt.per_example_gradients(np.array([[1.0, 2.0]]), np.array([3.0]), np.array([1.0, 0.0]))
    assert gradient.tolist() == [[-4.0, -8.0]]  # 2·(1, 2)·(1 - 3)


def test_two_patients_worked_by_hand():
    # g = ±1. Two draws with replacement: mean ±1 or 0, its square 1 half of the time.
    deviations = np.array([[1.0], [-1.0]])
    assert clt.predicted_variance(1.0, np.array(2), True, 2) == 0.5
    assert clt.variance_of_squared_error(deviations, 2, True) == pytest.approx(0.25)
    assert clt.predicted_variance(1.0, np.array(2), False, 2) == 0.0


def test_the_variances_of_the_diabetes_gradient(result):
    assert result.predicted[0, 0] == pytest.approx(42.474, abs=5e-4)
    law = dict(zip(result.sizes, result.predicted[0], strict=True))
    without = dict(zip(result.sizes, result.predicted[1], strict=True))
    assert law[442] == pytest.approx(0.0961, abs=5e-5)
    assert without[221] == pytest.approx(0.0963, abs=5e-5)
    assert without[442] == 0
    assert run(Settings(weights="fitted", repeats=200)).predicted[0, 0] == pytest.approx(19.564, abs=5e-4)


def test_the_exponential_has_the_textbook_distances_and_bound():
    law = clt.source_law("exponential", np.ones(1))
    assert law.rho == pytest.approx(2.415, abs=5e-4)
    assert clt.exact_distance("exponential", 1) == pytest.approx(stats.norm.cdf(-1), abs=1e-5)
    assert clt.berry_esseen(2.0, 16) == pytest.approx(0.2374)


def test_a_last_batch_of_one_worked_by_hand():
    gradients = np.array([[0.0], [0.0], [9.0]])
    assert clt.mean_over_batches(gradients, 2, False) == pytest.approx([4.5])
    assert clt.mean_over_batches(gradients, 2, True) == pytest.approx([3.0])
    assert clt.short_batch_error(gradients, 2) == pytest.approx(1.5)


def test_the_noise_of_a_distance_covers_what_is_measured():
    rng = np.random.default_rng(0)
    distances = [clt.kolmogorov_distance(np.sort(rng.standard_normal(500))) for _ in range(1000)]
    assert max(distances) < clt.distance_noise(500)
    assert max(distances) > 0.75 * clt.distance_noise(500)  # and is not far too wide


def test_the_batch_sizes_are_doublings_the_half_and_the_largest():
    assert clt.batch_sizes(1) == [1]
    assert clt.batch_sizes(10) == [1, 2, 4, 5, 8, 10]
    assert clt.batch_sizes(442) == [1, 2, 4, 8, 16, 32, 64, 128, 221, 256, 442]


def test_a_cauchy_mean_is_as_wide_as_one_draw_and_others_narrow(result):
    assert np.all(np.abs(result.cauchy.quartile_range - 2) < 4 * np.pi / sqrt(20_000))
    narrowing = result.means.quartile_range[0] / result.means.quartile_range[-1]
    # ln 3 wide for one exponential draw, 1.349/8 for the mean of 64, nearly normal
    assert narrowing == pytest.approx(np.log(3) * 8 / 1.349, rel=0.05)


# --- negative control ---


def scaled(array, row, factor):
    copy = array.copy()
    copy[row] *= factor
    return copy


def means_with(means, **changes):
    return replace(means, **changes)


@pytest.mark.parametrize(
    ("claim_id", "spoil"),
    [
        ("2.3-batch-01", lambda r: {"equal_batches": r.equal_batches * 1.001}),
        ("2.3-batch-01", lambda r: {"short_last": r.full_gradient}),
        ("2.3-batch-01", lambda r: {"short_last_weighted": r.short_last}),
        ("2.3-batch-01", lambda r: {"batch_normalised": r.full_gradient}),
        ("2.3-clt-01", lambda r: {"variance": scaled(r.variance, 0, 1.3)}),
        ("2.3-clt-01", lambda r: {"variance": scaled(r.variance, 0, r.sizes**0.1)}),
        ("2.3-clt-01", lambda r: {"variance": r.variance[::-1]}),
        ("2.3-clt-02", lambda r: {"variance": r.variance[[0, 0]]}),
        ("2.3-clt-02", lambda r: {"variance": scaled(r.variance, 1, r.sizes**-0.1)}),
        ("2.3-clt-02", lambda r: {"variance": scaled(r.variance, 1, np.nan)}),
        ("2.3-clt-03", lambda r: {"means": means_with(r.means, distance=r.means.distance + 0.2)}),
        ("2.3-clt-03", lambda r: {"means": means_with(r.means, distance=r.means.distance[::-1])}),
        ("2.3-clt-03", lambda r: {"means": means_with(r.means, shape=r.means.shape[[0] * 7])}),
        ("2.3-clt-03", lambda r: {"cauchy": means_with(r.cauchy, quartile_range=r.means.quartile_range)}),
        ("2.3-clt-03", lambda r: {"cauchy": means_with(r.cauchy, distance=r.means.distance)}),
        ("2.3-clt-04", lambda r: {"means": means_with(r.means, shape=r.means.shape * 1.1)}),
        ("2.3-clt-04", lambda r: {"means": means_with(r.means, shape=r.means.shape + np.eye(4)[0] / 10)}),
        ("2.3-clt-04", lambda r: {"means": means_with(r.means, close=r.means.close[[0] * 7])}),
        ("2.3-clt-05", lambda r: {"sgd_excess": r.sgd_excess * 1.2}),
        ("2.3-clt-05", lambda r: {"sgd_excess": r.sgd_excess[[0] * len(r.sgd_excess)]}),
        ("2.3-clt-05", lambda r: {"bias_at_one": r.bias_at_one + r.full_gradient}),
        ("2.3-clt-05", lambda r: {"one_gradient_distance": 0.03}),
    ],
)
def test_a_spoiled_result_refutes_its_claim(result, claim_id, spoil):
    assert verdict(result, claim_id) == "confirmed"
    assert verdict(replace(result, **spoil(result)), claim_id) == "refuted"


def test_cauchy_makes_no_claim_of_a_normal_limit():
    outcome = run(Settings(source="Cauchy", repeats=200))
    assert verdict(outcome, "2.3-clt-03") == verdict(outcome, "2.3-clt-04") == "not at these settings"
    assert outcome.means is outcome.cauchy
    frame = clt.tables(outcome)["distance"]
    assert list(frame.source) == ["Cauchy"] * 7
    assert frame.bound.isna().all()


@pytest.mark.parametrize("name", ["uniform", "exponential", "Bernoulli", "Poisson"])
def test_means_of_many_draws_have_the_mean_and_variance_that_theory_gives(name):
    source = clt.source_law(name, np.ones(1))
    blocks = list(clt.means_of_many_draws(source, 30, 20_000, seed=0, block=4096))
    means = np.concatenate(blocks)
    assert len(means) == 20_000
    assert max(map(len, blocks)) <= 4096 // 30
    error = source.deviation / np.sqrt(30)
    assert abs(means.mean() - source.mean) < 4 * error / np.sqrt(20_000)
    assert abs(means.std() / error - 1) < 4 * np.sqrt((2 + 9 / 30) / 4 / 20_000)  # excess kurtosis ≤ 9/30
