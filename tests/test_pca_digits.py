"""PCA on digits: against scikit-learn, invariants, a case worked by hand, and spoiled results."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.decomposition import PCA
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from experiments import pca_digits
from experiments.pca_digits import Settings, claims, run
from lab.data import digits

matrices = arrays(float, st.tuples(st.integers(3, 12), st.integers(1, 6)), elements=st.integers(-9, 9))


@pytest.fixture(scope="module")
def result():
    return run(Settings())


def verdict(result, claim_id):
    return next(claim.verdict for claim in claims(result) if claim.id == claim_id)


# --- reference ---


def test_components_and_variances_equal_those_of_scikit_learn(result):
    reference = PCA(svd_solver="full").fit(digits()[0])
    assert np.allclose(result.singular_values, reference.singular_values_)
    ratio = pca_digits.explained_variance_ratio(result.singular_values)
    assert np.allclose(ratio, reference.explained_variance_ratio_)
    overlap = np.abs(np.sum(result.components * reference.components_, axis=1))[:61]
    assert np.allclose(overlap, 1.0)


@pytest.mark.parametrize("k", [1, 20, 64])
def test_the_rebuilt_digits_equal_those_of_scikit_learn(k):
    reference = PCA(k, svd_solver="full").fit(digits()[0])
    expected = reference.inverse_transform(reference.transform(digits()[0]))
    assert np.allclose(run(Settings(k=k)).rebuilt(), expected)


def test_noise_is_added_once_and_a_few_scans_are_rebuilt_like_all():
    noisy = run(Settings(noise=2.0, standardise=True))
    away = noisy.shown() - digits()[0]
    assert away.std() == pytest.approx(2, rel=0.01)
    assert np.array_equal(run(Settings()).shown(), digits()[0])
    assert np.allclose(noisy.rebuilt([5, 7]), noisy.rebuilt()[[5, 7]])


def test_nearest_neighbours_equal_those_of_scikit_learn():
    pixels, label = digits()
    scores = PCA(5, svd_solver="full").fit_transform(pixels)[:300]
    classifier = KNeighborsClassifier(1, algorithm="brute")
    expected = cross_val_score(classifier, scores, label[:300], cv=LeaveOneOut()).mean()
    assert pca_digits.nearest_neighbour_accuracy(scores, label[:300]) == pytest.approx(expected)


# --- invariant ---


@settings(max_examples=60, deadline=None)
@given(matrices)
def test_both_routes_agree_on_any_matrix(data):
    singular_values, _ = pca_digits.by_svd(data)
    eigenvalues, components = pca_digits.by_covariance(data)
    d = len(singular_values)
    assert np.allclose(eigenvalues[:d], singular_values**2 / (len(data) - 1), atol=1e-9)
    assert np.allclose(components @ components.T, np.eye(data.shape[1]))


@settings(max_examples=60, deadline=None)
@given(matrices)
def test_what_is_left_over_is_the_tail_of_the_spectrum(data):
    singular_values, components = pca_digits.by_svd(data)
    left = pca_digits.squared_errors(data, data, components)
    assert np.allclose(left, pca_digits.tail_sums(singular_values), atol=1e-8)


def test_no_random_directions_leave_less_than_the_components(result):
    rng = np.random.default_rng(0)
    data = pca_digits.prepare(digits()[0], True, False)[0]
    for _ in range(20):
        directions, _ = np.linalg.qr(rng.standard_normal((64, 5)))
        left = np.sum((data - data @ directions @ directions.T) ** 2)
        assert left > result.squared_error[5]


def test_standardised_pixels_have_unit_variance_and_constant_ones_stay():
    data, _, scale = pca_digits.prepare(digits()[0], True, True)
    assert set(np.round(data.std(axis=0), 12)) == {0.0, 1.0}
    assert np.sum(data.std(axis=0) == 0) == 3
    assert np.all(scale > 0)


# --- known case ---


def test_points_on_a_line_have_one_direction():
    line = np.outer([-1.0, 0.0, 1.0], [3.0, 4.0])
    singular_values, components = pca_digits.by_svd(line)
    assert np.allclose(singular_values, [np.sqrt(50), 0])
    assert np.allclose(components[0], [0.6, 0.8])
    assert pca_digits.components_for(0.99, singular_values) == 1


def test_the_published_counts_and_accuracies(result):
    assert [result.summary[f"components_for_{s}"] for s in (80, 90, 95, 99)] == [13, 21, 29, 41]
    accuracy = dict(zip(result.neighbour_k, result.neighbour_accuracy, strict=True))
    assert [round(accuracy[k], 3) for k in (2, 10, 29, 64)] == [0.587, 0.978, 0.989, 0.988]
    standardised = run(Settings(standardise=True)).summary
    assert (standardised["components_for_90"], standardised["components_for_95"]) == (31, 40)


def test_denoising_follows_signal_cut_off_plus_noise_let_in(result):
    predicted = pca_digits.denoising_mse(np.array([4.0, 2.0]), 1.0)
    assert np.allclose(predicted, [3.0, 1.5, 1.0])
    # The components of noisy digits are turned a little, so the measurement lies above, by under a fifth.
    theory = pca_digits.denoising_mse(result.denoise_clean_variances, 4.0)
    assert np.all(result.denoise_mse > 0.98 * theory)
    assert np.all(result.denoise_mse < 1.2 * theory)


# --- negative control ---


@pytest.mark.parametrize(
    ("claim_id", "spoil"),
    [
        ("2.1-pca-01", lambda r: {"covariance_eigenvalues": r.covariance_eigenvalues * 1.001}),
        (
            "2.1-pca-02",
            lambda r: {"singular_values": np.sort(r.singular_values * np.linspace(1, 1.3, 64))[::-1]},
        ),
        ("2.1-pca-03", lambda r: {"squared_error": r.squared_error * 1.000001}),
        ("2.1-pca-04", lambda r: {"mean_angle_sine": 0.1}),
        ("2.1-pca-04", lambda r: {"lauchli": np.array([1e-9, 1e-9, 1e-9])}),
        ("2.1-pca-05", lambda r: {"denoise_mse": r.denoise_mse[::-1]}),
    ],
)
def test_a_spoiled_result_refutes_its_claim(result, claim_id, spoil):
    assert verdict(result, claim_id) == "confirmed"
    assert verdict(replace(result, **spoil(result)), claim_id) == "refuted"


def test_shares_make_no_claim_without_centring():
    assert verdict(run(Settings(centre=False)), "2.1-pca-02") == "not at these settings"
