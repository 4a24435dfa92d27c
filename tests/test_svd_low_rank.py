"""Low-rank SVD: against independent implementations, invariants, cases by hand, and spoiled results."""

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.decomposition import TruncatedSVD
from sklearn.linear_model import Ridge

from experiments import svd_low_rank as svd
from experiments.svd_low_rank import CHALLENGES, FILLS, Settings, claims, run, tables
from lab.contract import bounds, choices
from lab.data import digits, photograph

matrices = arrays(float, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=st.integers(-9, 9))


@pytest.fixture(scope="module")
def result():
    return run(Settings())


def verdict(result, claim_id):
    return next(claim.verdict for claim in claims(result) if claim.id == claim_id)


def gappy(seed, shape=(30, 12), share=0.4):
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal((shape[0], 3)) @ rng.standard_normal((3, shape[1]))
    return truth, svd.hide(shape, share, rng)


# --- reference ---


@pytest.mark.parametrize("k", [1, 10, 61])
def test_the_rebuilt_digits_equal_those_of_scikit_learn(k):
    reference = TruncatedSVD(k, algorithm="arpack", random_state=0)
    expected = reference.inverse_transform(reference.fit_transform(digits()[0] / 16))
    values = svd.matrix("digits")
    assert np.allclose(svd.rebuild(*svd.factorise(values), k), expected)


def test_singular_values_equal_those_of_another_driver(result):
    expected = scipy.linalg.svd(photograph("china"), compute_uv=False, lapack_driver="gesvd")
    assert np.allclose(result.singular_values, expected)


def test_the_table_of_women_and_events_is_that_of_networkx():
    graph = nx.davis_southern_women_graph()
    values = svd.matrix("davis")
    women, events = graph.graph["top"], graph.graph["bottom"]
    expected = [[float(graph.has_edge(woman, event)) for event in events] for woman in women]
    assert np.array_equal(values, expected)
    assert values.shape == (18, 14)
    assert values.sum() == 89


def test_half_a_sweep_is_a_ridge_regression_for_each_row():
    values, seen = gappy(0)
    other = np.random.default_rng(1).standard_normal((12, 4))
    ours = svd.half_sweep(values, seen.astype(float), other, 0.7)
    for row, (target, mask) in enumerate(zip(values, seen, strict=True)):
        reference = Ridge(alpha=0.7, fit_intercept=False).fit(other[mask], target[mask])
        assert np.allclose(ours[row], reference.coef_)


def test_the_dual_form_gives_the_same_half_sweep():
    values, seen = gappy(0)
    seen[3] = False  # a row with nothing observed
    other = np.random.default_rng(1).standard_normal((12, 4))
    form = [sweep(values, seen.astype(float), other, 0.7) for sweep in (svd.half_sweep, svd.half_sweep_dual)]
    assert np.allclose(*form, rtol=1e-12)


def test_autograd_finds_no_slope_left_where_als_settles():
    values, seen = gappy(2)
    *_, (u, v) = svd.als(values, seen, 2, 0.5, 3000)
    factors = [torch.tensor(f, requires_grad=True) for f in (u, v)]
    misfit = (torch.tensor(values) - factors[0] @ factors[1].T)[torch.tensor(seen)]
    loss = (misfit**2).sum() + 0.5 * sum((f**2).sum() for f in factors)
    assert loss.item() == pytest.approx(svd.objective(values, seen, u, v, 0.5))
    loss.backward()
    assert max(float(f.grad.abs().max()) for f in factors) < 1e-6


def test_with_nothing_hidden_als_is_the_svd_with_each_strength_lowered_by_lambda():
    values, _ = gappy(3)
    everything = np.ones(values.shape, dtype=bool)
    *_, (u, v) = svd.als(values, everything, 2, 0.5, 500)
    left, strengths, right = scipy.linalg.svd(values, full_matrices=False)
    assert np.allclose(u @ v.T, (left[:, :2] * (strengths[:2] - 0.5)) @ right[:2], atol=1e-8)


# --- invariant ---


@settings(max_examples=80, deadline=None)
@given(matrices)
def test_any_matrix_has_orthogonal_factors_that_rebuild_it(values):
    assert svd.factor_faults(values).max() < 1e-12


@settings(max_examples=40, deadline=None)
@given(matrices)
def test_rotations_find_the_singular_values_of_any_matrix(values):
    tall = values if len(values) >= values.shape[1] else values.T
    assert np.allclose(svd.by_rotations(tall), scipy.linalg.svdvals(tall), atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(matrices, st.integers(0, 2**31))
def test_what_is_left_is_the_tail_and_nobody_leaves_less(values, seed):
    factors = svd.factorise(values)
    left_out, rng = svd.tail(factors[1]), np.random.default_rng(seed)
    for k in range(len(factors[1]) + 1):
        residual = values - svd.rebuild(*factors, k)
        assert np.isclose(np.sum(residual**2), left_out[k], atol=1e-8)
        assert np.isclose(np.linalg.norm(residual, 2), svd.largest_stretch(residual), atol=1e-6)
        if k:
            rival = svd.rebuild(*factors, k) + np.outer(*(rng.standard_normal(n) for n in values.shape))
            rival = svd.rebuild(*svd.factorise(rival), k)
            assert np.sum((values - rival) ** 2) >= left_out[k] - 1e-8


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 2000), st.integers(1, 2000))
def test_break_even_is_the_last_rank_that_saves_numbers(m, n):
    k = svd.break_even(m, n)
    assert k * (m + n + 1) < m * n <= (k + 1) * (m + n + 1)


@pytest.mark.parametrize("seed", range(5))
def test_als_never_raises_its_objective(seed):
    values, seen = gappy(seed)
    path = [svd.objective(values, seen, u, v, 0.3) for u, v in svd.als(values, seen, 4, 0.3, 30)]
    assert np.all(np.diff(path) <= 1e-9 * path[0])


@pytest.mark.parametrize("seed", range(5))
def test_every_claim_holds_whatever_is_hidden(seed):
    changed = run(Settings(image="davis", k=3, seed=seed))
    assert {claim.verdict for claim in claims(changed)} == {"confirmed"}


def test_random_holes_scale_a_matrix_by_the_share_observed():
    values = svd.gap_matrix("digits")
    rng, p = np.random.default_rng(0), 0.3
    mean = np.mean([values * svd.hide(values.shape, 1 - p, rng) for _ in range(200)], axis=0)
    error = np.sqrt(p * (1 - p) / 200) * np.linalg.norm(values)
    assert np.linalg.norm(mean - p * values) == pytest.approx(error, rel=0.05)


# --- known case ---


def test_a_diagonal_loses_its_smallest_entries():
    values = np.diag([3.0, 2.0, 1.0])
    residual = values - svd.rebuild(*svd.factorise(values), 1)
    assert np.linalg.norm(residual) == pytest.approx(np.sqrt(5))
    assert svd.largest_stretch(residual) == pytest.approx(2)
    assert np.allclose(svd.tail(np.array([3.0, 2.0, 1.0])), [14, 5, 1, 0])


def test_a_two_by_two_matrix_turned_by_hand():
    # [[3, 0], [4, 5]]: AᵀA has trace 50 and determinant 225, so σ² = 45 and 5.
    assert np.allclose(svd.by_rotations(np.array([[3.0, 0.0], [4.0, 5.0]])), np.sqrt([45, 5]))


@pytest.mark.parametrize(("m", "n", "k"), [(427, 640, 255), (18, 14, 7), (2, 2, 0), (3, 8, 1)])
def test_break_even_worked_by_hand(m, n, k):
    assert svd.break_even(m, n) == k


def test_holes_in_a_matrix_of_rank_one_are_restored_exactly_without_a_penalty():
    truth = np.outer(np.arange(1.0, 31), np.linspace(1, 2, 20))
    seen = svd.hide(truth.shape, 0.4, np.random.default_rng(0))
    *_, (u, v) = svd.als(truth, seen, 1, 1e-9, 200)
    assert np.allclose(u @ v.T, truth)
    zeros = svd.rebuild(*svd.factorise(truth * seen), 1)
    assert svd.rmse_on_hidden(zeros, truth, seen) > 1


def test_gaps_take_the_mean_of_what_is_observed_in_their_column():
    values = np.array([[1.0, 5.0, 9.0], [3.0, 7.0, 9.0]])
    seen = np.array([[True, True, False], [True, False, False]])
    assert np.allclose(svd.with_means(values, seen), [[1, 5, 3], [3, 5, 3]])  # last: no entry, overall mean


def test_the_paired_error_of_equal_rows_is_none():
    count = np.full(10, 4.0)
    assert svd.paired_error(4 * count, count, count) == 0


def test_a_picture_is_the_mean_of_its_blocks_and_a_sheet_shows_scans_upright():
    assert np.array_equal(svd.shrink(np.arange(16.0).reshape(4, 4), 2), [[2.5, 4.5], [10.5, 12.5]])
    sheet = svd.picture(svd.matrix("digits"), "digits")
    assert sheet.shape == (40, 100)
    assert np.array_equal(sheet[11:19, 31:39], svd.matrix("digits")[13].reshape(8, 8))


# --- the run ---


def test_frames_hold_your_rank_and_come_nearer_with_every_term(result):
    assert 20 in result.frame_ranks
    assert len(run(Settings(k=33)).frames) == len(result.frames) + 1
    away = np.abs(result.frames - 255 * result.original).mean(axis=(1, 2))
    assert np.all(np.diff(away) < 0)
    assert np.all(np.diff(result.frame_errors) < 0)


def test_hidden_entries_come_back_best_by_als_on_both_photographs():
    for image in ("china", "flower"):
        zero, mean, als = run(Settings(image=image, hidden=0.5)).gap_rmse
        assert als < mean < zero


def test_with_zeros_more_terms_copy_the_holes_up_to_the_limit():
    half = run(Settings(hidden=0.5, k=106))
    by_rank = half.gap_rmse_by_rank[svd.GAP_RANKS.index(2) :, 0]
    assert np.all(np.diff(by_rank) > 0)
    assert np.allclose(half.gap_rmse[:2], svd.limits(half))  # all 106 terms: the filling itself
    assert half.gap_rmse[0] == pytest.approx(np.sqrt(np.mean(half.gap_truth[~half.gap_seen] ** 2)))


def test_rivals_have_the_rank_they_claim_and_span_what_they_can():
    rng, values = np.random.default_rng(0), np.diag([3.0, 2.0, 1.0, 0.5])
    assert np.all(svd.rival_errors(values, 2, rng) > np.sqrt(1.25))
    assert np.allclose(svd.rival_errors(values, 4, rng), 0)
    rank_two = svd.rebuild(*svd.factorise(values), 2)
    assert np.allclose(svd.rival_errors(rank_two, 2, rng), 0)


def test_means_beat_als_where_the_docstring_says_so():
    digits_at = tables(run(Settings(image="digits")))["gaps"].pivot_table(
        index="k", columns="fill", values="rmse_on_hidden"
    )
    assert np.all((digits_at["mean"] < digits_at["ALS"])[[1, 2, 3]])
    assert np.all((digits_at["mean"] > digits_at["ALS"])[[8, 12, 20, 30]])
    wins = [r[1] < r[2] for s in range(8) for r in run(Settings(image="davis", seed=s)).gap_rmse_by_rank]
    assert np.mean(wins) > 0.5


def test_at_a_strong_penalty_the_rank_hardly_matters():
    by_rank = run(Settings(lam=5.0)).gap_rmse_by_rank
    assert np.ptp(by_rank[svd.GAP_RANKS.index(8) :, 2]) < 0.01 * by_rank[-1, 2]


def test_no_more_terms_are_kept_than_a_matrix_has():
    few = run(Settings(image="davis", k=255))
    assert few.terms == 14
    assert few.frobenius_error < 1e-12
    assert {claim.verdict for claim in claims(few)} == {"confirmed"}


ENDS = [
    {field: value}
    for field, info in Settings.model_fields.items()
    for value in (choices(info) or bounds(info))
]


@pytest.mark.parametrize("changed", [*ENDS, {"image": "davis", "hidden": 0.8, "k": 255, "lam": 0.1}], ids=str)
def test_every_claim_holds_at_the_ends_of_every_control(changed):
    assert {claim.verdict for claim in claims(run(Settings(**changed)))} == {"confirmed"}


def test_the_fill_decides_what_is_called_brightness():
    back = [run(Settings(k=1, hidden=0.5, fill=fill)).brightness for fill in FILLS]
    assert back[0] == pytest.approx(0.5 * 0.92, abs=0.02)  # the first term holds 92 % of the squares
    assert back[0] < min(back[1:])


def test_challenges_are_answered_by_the_run():
    error, factor, brightness = (c.answer(run(Settings(**c.settings))) for c in CHALLENGES)
    values = photograph("china")
    strengths = scipy.linalg.svdvals(values)
    assert error == pytest.approx(np.linalg.norm(strengths[50:]) / np.linalg.norm(values))
    assert factor == pytest.approx(strengths[2] / strengths[1])
    assert factor > 0.5
    assert brightness < 0.5


# --- negative control ---


def reference(result, **spoiled):
    return {"reference": result.reference._replace(**spoiled)}


@pytest.mark.parametrize(
    ("claim_id", "spoil"),
    [
        ("2.1-svd-01", lambda r: {"factor_faults": r.factor_faults + 1e-8}),
        ("2.1-svd-01", lambda r: {"rotated": r.rotated * [[1.0], [1.000001]]}),
        ("2.1-svd-03", lambda r: {"frobenius_error": r.frobenius_error * 1.000001}),
        ("2.1-svd-03", lambda r: {"spectral_error": r.spectral_error * 1.000001}),
        ("2.1-svd-03", lambda r: {"squared_error": r.squared_error * 1.000001}),
        ("2.1-svd-03", lambda r: {"rival_errors": r.rival_errors - r.rival_errors.min()}),
        ("2.1-svd-03", lambda r: {"singular_values": r.singular_values * 1.000001}),
        ("2.1-svd-04", lambda r: {"stored": r.stored + r.shape[0]}),
        ("2.1-svd-04", lambda r: {"stored": r.stored / 2}),
        ("2.1-svd-06", lambda r: reference(r, squares=r.reference.squares[[0, 2, 1]])),
        ("2.1-svd-06", lambda r: reference(r, squares=r.reference.squares[[1, 0, 2]])),
        ("2.1-svd-06", lambda r: reference(r, leading=r.reference.leading * [2, 1, 1, 1])),
        ("2.1-svd-06", lambda r: reference(r, leak=1e-6)),
        ("2.1-svd-06", lambda r: {"sweep_objective": r.sweep_objective[::-1]}),
    ],
)
def test_a_spoiled_result_refutes_its_claim(result, claim_id, spoil):
    assert verdict(result, claim_id) == "confirmed"
    assert verdict(replace(result, **spoil(result)), claim_id) == "refuted"
