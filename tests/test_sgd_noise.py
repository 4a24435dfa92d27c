"""SGD noise: against torch and SciPy, by enumeration, by hand, and spoiled results."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.linalg import solve_discrete_lyapunov

from experiments import sgd_noise as sgd
from experiments.sgd_noise import Settings, claims, run

IDS = ("2.6-batch-01", "2.6-batch-02", "2.6-batch-03", "2.6-batch-04", "2.6-accum-01")


@pytest.fixture(scope="module")
def result():
    return run(Settings())


@pytest.fixture(scope="module")
def small():
    """Five rows with two unequal columns: small enough to enumerate every batch."""
    rng = np.random.default_rng(1)
    return sgd.build(rng.standard_normal((5, 2)) * [1.5, 0.7], rng.standard_normal(5))


def verdict(result, claim_id):
    return next(claim.verdict for claim in claims(result) if claim.id == claim_id)


def network(seed):
    rng = np.random.default_rng(seed)
    weights = sgd.first_weights(rng, 5)
    weights[40:56] += 0.3 * rng.standard_normal(16)  # gain and shift
    return weights, rng.standard_normal((12, 5)), rng.standard_normal(12)


# --- reference ---


@pytest.mark.parametrize("beta", [0.0, 0.6])
def test_descent_follows_the_optimiser_of_torch(small, beta):
    draws = np.random.default_rng(3).integers(5, size=(30, 1, 2))
    ours = sgd.descend(small, small.start[None], 0.1, beta, draws, np.full(2, 0.5))[:, 0]
    rows = torch.tensor(small.rows)
    target = torch.tensor(small.residual)  # the target in coordinates with the optimum at zero
    w = torch.tensor(small.start, requires_grad=True)
    optimiser = torch.optim.SGD([w], lr=0.1, momentum=beta)
    for t, chosen in enumerate(draws[:, 0], start=1):
        optimiser.zero_grad()
        (0.5 * (rows[chosen] @ w - target[chosen]) ** 2).mean().backward()
        optimiser.step()
        assert np.allclose(ours[t], w.detach().numpy(), atol=1e-12)


def test_the_optimum_and_its_loss_are_those_of_least_squares():
    features, target = sgd.standardised_diabetes()
    best = np.linalg.lstsq(features, target, rcond=None)[0]
    problem = sgd.patients()
    loss = 0.5 * np.mean(target**2) - 0.5 * np.mean((target - features @ best) ** 2)
    assert sgd.excess_loss(problem, problem.start) == pytest.approx(loss, rel=1e-12)
    assert np.allclose(problem.rows.T @ problem.rows / 442, np.diag(problem.curvature), atol=1e-12)
    assert np.allclose(problem.rows.T @ problem.residual, 0, atol=1e-9)


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("alpha", [0.01, 0.3])
def test_the_gain_solves_the_lyapunov_equation_of_scipy(beta, alpha):
    problem = sgd.patients()
    d, curvature = 11, np.diag(problem.curvature)
    one = np.eye(d)
    step = np.block([[one - alpha * curvature, -alpha * beta * one], [curvature, beta * one]])
    inject = np.vstack([-alpha * one, one])
    expected = solve_discrete_lyapunov(step, inject @ problem.covariance @ inject.T)[:d, :d]
    ours = sgd.gain(problem, alpha, beta) * problem.covariance
    assert np.allclose(ours, expected, rtol=1e-8, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("beta", [0.0, 0.7])
def test_expected_loss_is_the_mean_over_every_possible_sequence_of_batches(small, beta):
    batches = np.array(list(product(range(5), repeat=2)))  # (25, 2)
    sequences = np.array(list(product(range(25), repeat=3)))  # (15625, 3)
    draws = batches[sequences].swapaxes(0, 1)  # (3, 15625, 2)
    start = np.tile(small.start, (len(sequences), 1))
    errors = sgd.descend(small, start, 0.2, beta, draws, np.full(2, 0.5))
    expected, _ = sgd.expected_excess(small, 0.2, beta, 0.5, np.arange(4))
    assert np.allclose(sgd.excess_loss(small, errors).mean(axis=1), expected, rtol=1e-10)


@pytest.mark.parametrize("beta", [0.0, 0.8])
def test_the_closed_form_floor_is_where_the_moments_settle(beta):
    problem = sgd.patients()
    late, _ = sgd.expected_excess(problem, 0.02, beta, 0.25, np.array([0, 2**18]))
    assert sgd.stationary_floor(problem, 0.02, beta, 0.25) == pytest.approx(late[-1], rel=1e-8)


@pytest.mark.parametrize(("beta", "noise"), [(0.0, 1.0), (0.0, 0.1), (0.9, 0.25)])
def test_the_expected_loss_grows_just_beyond_the_stability_limit_and_not_before(beta, noise):
    problem = sgd.patients()
    limit = sgd.stability_limit(problem, beta, noise)
    radius = [
        np.abs(np.linalg.eigvals(sgd.moment_matrix(problem, share * limit, beta, noise)[1:, 1:])).max()
        for share in (0.99, 1.01)
    ]
    assert radius[0] < 1 < radius[1]


@pytest.mark.parametrize("normalise", [False, True])
def test_the_gradient_of_the_regression_network_equals_that_of_torch(normalise):
    weights, x, y = network(4)
    ours, loss = sgd.regression_gradient(weights, x, y, normalise)
    w = torch.tensor(weights, requires_grad=True)
    z = torch.tensor(x) @ w[:40].reshape(5, 8)
    if normalise:
        z = torch.nn.functional.batch_norm(z, None, None, w[40:48], w[48:56], training=True, eps=1e-5)
    else:
        z = w[40:48] * z + w[48:56]
    reference = 0.5 * torch.mean((torch.tanh(z) @ w[56:] - torch.tensor(y)) ** 2)
    reference.backward()
    assert loss == pytest.approx(reference.item(), rel=1e-12)
    assert np.allclose(ours, w.grad.numpy(), atol=1e-13)


def test_batch_norm_and_its_backward_pass_equal_those_of_torch():
    rng = np.random.default_rng(2)
    z, gain, shift, up = (
        rng.standard_normal((7, 3)),
        *rng.standard_normal((2, 3)),
        rng.standard_normal((7, 3)),
    )
    tensors = [torch.tensor(a, requires_grad=True) for a in (z, gain, shift)]
    out = torch.nn.functional.batch_norm(tensors[0], None, None, *tensors[1:], training=True, eps=1e-5)
    out.backward(torch.tensor(up))
    ours, normal, inverse = sgd.batch_norm(z, gain, shift)
    assert np.allclose(ours, out.detach().numpy())
    for mine, theirs in zip(sgd.batch_norm_backward(up, normal, inverse, gain), tensors, strict=True):
        assert np.allclose(mine, theirs.grad.numpy(), atol=1e-13)


def tiny_classifier():
    rng = np.random.default_rng(6)
    weights = [rng.standard_normal((2, 4, 3)), rng.standard_normal((2, 3, 10))]
    return weights, rng.standard_normal((6, 4)), np.eye(10)[rng.integers(10, size=6)]


def torch_loss(vector, x, label):
    first, second = vector[:12].reshape(4, 3), vector[12:].reshape(3, 10)
    scores = torch.tanh(torch.tensor(x) @ first) @ second
    return torch.nn.functional.cross_entropy(scores, torch.tensor(label))


def test_the_gradient_and_sharpness_of_the_classifier_equal_those_of_torch():
    weights, x, label = tiny_classifier()
    gradients, probability = sgd.network_gradient(weights, x, label)
    sharp = sgd.sharpness(weights, x, label, rounds=200)
    for k in range(2):
        vector = torch.tensor(np.concatenate([w[k].ravel() for w in weights]), requires_grad=True)
        loss = torch_loss(vector, x, label)
        loss.backward()
        assert sgd.cross_entropy(probability, label)[k] == pytest.approx(loss.item())
        assert np.allclose(np.concatenate([g[k].ravel() for g in gradients]), vector.grad.numpy())
        hessian = torch.autograd.functional.hessian(lambda v: torch_loss(v, x, label), vector.detach())
        assert sharp[k] == pytest.approx(np.abs(np.linalg.eigvalsh(hessian.numpy())).max(), rel=1e-3)


def test_the_saddle_gradient_equals_that_of_torch():
    points = np.random.default_rng(0).standard_normal((20, 2))
    p = torch.tensor(points, requires_grad=True)
    (p[:, 0] ** 2 - p[:, 1] ** 2 + p[:, 1] ** 4).sum().backward()
    assert np.allclose(sgd.saddle_gradient(points), p.grad.numpy())


# --- invariant ---


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(1, 6), st.integers(0, 10**6))
def test_equal_parts_divided_by_their_number_are_the_large_batch(parts, rows, seed):
    rng = np.random.default_rng(seed)
    weights, x, y = (
        sgd.first_weights(rng, 3),
        rng.standard_normal((parts * rows, 3)),
        rng.standard_normal(parts * rows),
    )
    sizes = sgd.part_sizes(parts * rows, parts, unequal=False)
    added = sgd.part_gradients(weights, x, y, sizes, False).mean(axis=0)
    assert np.allclose(added, sgd.regression_gradient(weights, x, y, False)[0], atol=1e-12)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 55), st.integers(1, 8), st.booleans())
def test_parts_hold_every_row_and_weights_add_up_to_one(batch, parts, unequal):
    sizes = sgd.part_sizes(batch * parts, parts, unequal)
    weight = sgd.row_weights(sizes)
    assert sizes.sum() == batch * parts
    assert sizes.min() >= 1
    assert weight.sum() == pytest.approx(1)
    if len(weight) < sgd.N:
        assert sgd.noise_factor(weight) >= 1 / len(weight) - 1e-15  # equal weights are the quietest


def test_unequal_parts_are_louder_than_equal_ones():
    equal, unequal = (sgd.row_weights(sgd.part_sizes(64, 4, flag)) for flag in (False, True))
    assert sgd.noise_factor(equal) == pytest.approx(1 / 64)
    assert sgd.noise_factor(unequal) > 1 / 64


def test_shuffled_rows_with_unequal_weights_have_the_variance_of_the_formula():
    weight = sgd.row_weights(sgd.part_sizes(442, 2, True))
    values = np.random.default_rng(0).standard_normal(442)
    rng = np.random.default_rng(1)
    means = rng.permuted(np.tile(values, (20_000, 1)), axis=1) @ weight
    predicted = sgd.noise_factor(weight) * values.var()
    assert means.var() == pytest.approx(predicted, abs=4 * predicted * math.sqrt(2 / 20_000))


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-3, 0.1), st.floats(0, 0.9), st.integers(1, 64))
def test_a_settled_covariance_balances_noise_and_decay(alpha, beta, batch):
    problem = sgd.patients()
    if not sgd.settles(problem, alpha, beta, 1 / batch):
        assert math.isnan(sgd.stationary_floor(problem, alpha, beta, 1 / batch))
        return
    spread = sgd.stationary_covariance(problem, alpha, beta, 1 / batch)
    curvature = np.outer(problem.curvature, problem.curvature)
    fed = (problem.fourth @ spread.ravel()).reshape(11, 11) - curvature * spread
    balance = sgd.gain(problem, alpha, beta) * (problem.covariance + fed) / batch
    assert np.allclose(balance, spread, rtol=1e-6, atol=1e-9 * np.abs(spread).max())
    assert np.linalg.eigvalsh(spread).min() > -1e-12


def test_the_floor_tends_to_its_small_alpha_form():
    problem, trace = sgd.patients(), np.trace(sgd.patients().covariance)
    for beta in (0.0, 0.9):
        ratio = [
            sgd.stationary_floor(problem, a, beta, 1 / 8) * 32 * (1 - beta) / (a * trace)
            for a in (1e-3, 1e-5)
        ]
        assert abs(ratio[1] - 1) < abs(ratio[0] - 1)
        assert ratio[1] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("beta", [0.0, 0.9])
def test_without_noise_the_stability_limit_is_that_of_gradient_descent(beta):
    problem = sgd.patients()
    assert sgd.stability_limit(problem, beta, 0.0) == 2 * (1 + beta) / problem.curvature[0]


def test_smaller_batches_are_stable_up_to_smaller_rates(result):
    assert np.all(np.diff(result.limit[:4]) > 0)
    assert np.all(np.diff(result.floor[:4]) < 0)
    assert result.floor[3] == 0


def test_the_length_of_a_batch_gradient_is_signal_plus_noise_over_batch(small):
    error = np.array([[0.4, -0.3]])
    batches = np.array(list(product(range(5), repeat=2)))
    x = small.rows[batches]
    slip = np.einsum("bkd,d->bk", x, error[0]) - small.residual[batches]
    gradients = np.einsum("bk,bkd->bd", slip, x) / 2
    signal = np.sum((error[0] * small.curvature) ** 2)
    noise = signal * sgd.noise_scale(small, error)[0]
    assert np.mean(np.sum(gradients**2, axis=1)) == pytest.approx(signal + noise / 2)
    assert np.allclose(gradients.mean(axis=0), error[0] * small.curvature)


def test_every_batch_size_meets_the_same_patients_in_the_same_order():
    one, eight = (sgd.draw(np.random.default_rng(5), 2, np.full(b, 1 / b)) for b in (1, 8))
    assert np.array_equal(one[:880, :, 0].reshape(110, 8, sgd.RUNS).swapaxes(1, 2), eight)


@pytest.mark.parametrize("seed", range(3))
def test_the_full_batch_follows_its_expectation_exactly(seed):
    whole = run(Settings(batch=442, seed=seed))
    mine = whole.which == 4
    assert np.allclose(whole.excess[mine, 0], whole.expected[mine], rtol=1e-9)
    assert np.ptp(whole.excess[mine], axis=1).max() == 0


def test_the_digits_are_seen_once_in_every_epoch(result):
    assert list(result.digit_gradients) == [1797] * 4
    assert list(result.digit_updates) == [1797, 225, 29, 1]


def test_settings_with_accumulated_batches_report_the_whole_batch():
    parted = run(Settings(batch=8, accumulation=4))
    assert parted.batches[-1] == 32
    large = run(Settings(batch=32))
    assert np.allclose(parted.excess[parted.which == 4], large.excess[large.which == 4], rtol=1e-9)


def test_the_two_paths_stay_together_for_equal_parts_and_come_apart_otherwise():
    together = run(Settings(batch=16, accumulation=4)).drift[:, 0]
    assert together.max() < 1e-12
    for how in ({"unequal_parts": True}, {"batch_norm": True}):
        assert run(Settings(batch=16, accumulation=4, **how)).drift[-1, 0] > 1e-3


# --- known case ---


def line():
    """y = ±1 at x = 1: the optimum is w = 0, H = C = 1 and E[x⁴] = 1, so noise does not feed itself."""
    return sgd.build(np.ones((2, 1)), np.array([1.0, -1.0]))


def test_the_floor_of_a_line_through_two_points():
    problem = line()
    assert (problem.curvature[0], problem.covariance[0, 0]) == (1.0, 1.0)
    # S = (1 − α)² S + α²/B gives S = α/(2 − α)B: at α = ½, B = 1 a third, and the floor is half of it.
    assert sgd.stationary_floor(problem, 0.5, 0.0, 1.0) == pytest.approx(1 / 6)
    assert sgd.stationary_floor(problem, 0.5, 0.0, 0.5) == pytest.approx(1 / 12)
    assert sgd.excess_loss(problem, np.array([3.0])) == pytest.approx(4.5)


def test_the_stability_limit_of_two_unequal_rows():
    # x = 1 and 3: E[x²] = 5, E[x⁴] = 41, and E(1 − αx²)² < 1 means α < 10/41; the full batch allows 2/5.
    problem = sgd.build(np.array([[1.0], [3.0]]), np.array([1.0, -1.0]))
    assert sgd.stability_limit(problem, 0.0, 1.0) == pytest.approx(10 / 41, rel=1e-3)
    assert sgd.stability_limit(problem, 0.0, 0.0) == pytest.approx(0.4)
    assert sgd.settles(problem, 0.24, 0.0, 1.0)
    assert not sgd.settles(problem, 0.25, 0.0, 1.0)


def test_the_predicted_floors_to_their_last_printed_digit(result):
    assert [round(f, 5) for f in result.settled_floor[:4]] == [0.02845, 0.01315, 0.00643, 0.00157]


def test_five_full_steps_on_the_digits_reach_the_known_loss(result):
    assert round(float(result.digit_loss[-1, 0, -1]), 3) == 1.865
    assert result.digit_loss[:, :, 0] == pytest.approx(math.log(10))


def test_momentum_leaves_the_ridge_after_50_steps_and_plain_descent_after_141(result):
    assert [sgd.first_beyond(path[:, 1]) for path in result.saddle_nudged] == [141, 50]
    assert (sgd.steps_to_leave(0.0), sgd.steps_to_leave(0.9)) == (138, 50)
    assert np.allclose(sgd.growth_factors(0.0), (1.1, 0.0))
    assert np.array_equal(sgd.saddle_gradient(np.array([1.0, 0.0])), [2.0, 0.0])
    assert np.allclose(sgd.saddle_gradient(np.array([0.0, math.sqrt(0.5)])), 0)


def test_the_share_that_has_left_the_ridge_follows_the_gaussian_law(result):
    for k, beta in enumerate((0.0, 0.9)):
        predicted = sgd.share_left(beta, sgd.SADDLE_STEPS)
        left = np.abs(result.saddle_noisy[k, :, :, 1]) >= sgd.LEFT
        # the neglected cubic force delays plain descent by at most five steps
        early = np.searchsorted(predicted, 0.5)
        assert left[early].mean() < 0.5 + 4 * 0.5 / math.sqrt(sgd.SADDLE_RUNS)
        assert left[early + 5].mean() > 0.5 - 4 * 0.5 / math.sqrt(sgd.SADDLE_RUNS)


def test_runs_are_recorded_closely_at_first_and_as_often_as_their_expectation(small):
    assert list(sgd.recorded(10, 3)) == [0, 1, 2, 3, 6, 9]
    assert list(sgd.recorded(2, 1)) == [0, 1, 2]
    draws = np.zeros((10, 4, 1), dtype=int)
    start = np.tile(small.start, (4, 1))
    every, all_of_them = (sgd.descend(small, start, 0.1, 0.0, draws, np.ones(1), e) for e in (3, 1))
    assert np.array_equal(every, all_of_them[sgd.recorded(10, 3)])


def test_parts_of_forty_and_twenty_four():
    assert list(sgd.part_sizes(64, 2, True)) == [40, 24]
    assert list(sgd.part_sizes(8, 4, True)) == [3, 2, 2, 1]
    assert list(sgd.part_sizes(4, 4, True)) == [1, 1, 1, 1]
    assert np.allclose(sgd.row_weights(np.array([1, 2])), [0.5, 0.25, 0.25])


def test_beyond_the_limit_the_run_is_kept_to_its_last_finite_point():
    for changed in (
        {"alpha": 1, "batch": 1, "epochs": 50},
        {"alpha": 0.2, "batch": 1},
        {"alpha": 1, "batch": 442},
    ):
        wild = run(Settings(**changed))
        assert np.isfinite(wild.excess).all()
        assert wild.exploded_at[-1] > 0
        assert wild.expected_to_explode_at[-1] > 0
        assert math.isnan(wild.floor[-1])
        assert verdict(wild, "2.6-batch-02") == "not at these settings"


def test_accumulated_batches_beyond_the_data_are_refused_by_name():
    with pytest.raises(ValidationError, match="accumulation = 8: B·K must not exceed 442"):
        Settings(batch=100, accumulation=8)
    assert Settings(batch=55, accumulation=8).batch == 55


def test_a_changed_slider_does_not_repeat_the_side_experiments(result):
    before = [f.cache_info().misses for f in (sgd.flatness, sgd.digit_epochs, sgd.settled_runs)]
    run(Settings(alpha=0.02, batch=4, epochs=3))
    assert [f.cache_info().misses for f in (sgd.flatness, sgd.digit_epochs, sgd.settled_runs)] == before


# --- negative control ---


def test_all_claims_hold_at_the_default(result):
    assert tuple(claim.id for claim in claims(result)) == IDS
    assert [claim.verdict for claim in claims(result)] == ["confirmed"] * 5


def spoiled(array, change, where=...):
    copy = np.array(array, copy=True)
    copy[where] = change(copy[where])
    return copy


def spoil(result, field, change, where=...):
    return replace(result, **{field: spoiled(getattr(result, field), change, where)})


ROW = sgd.GRADIENTS.index
SPOILS = [
    ("2.6-batch-01", "digit_loss", lambda a: a + 2, (0,)),  # B = 1 no better than the full batch
    ("2.6-batch-01", "digit_updates", lambda a: a + 1, (3,)),
    ("2.6-batch-01", "digit_gradients", lambda a: a - 1, (0,)),
    ("2.6-batch-02", "settled", lambda a: a * 1.25, (0,)),  # as far off as the formula for small α
    ("2.6-batch-02", "settled", lambda a: a * 1.25, (3,)),
    ("2.6-batch-02", "settled_floor", lambda a: a * 0.8, (1,)),
    ("2.6-batch-02", "excess", lambda a: a + 0.01, ...),
    ("2.6-batch-03", "saddle_noisy", lambda a: a * 0, (0, -1, 5)),  # one run stays behind
    ("2.6-batch-03", "saddle_noisy", lambda a: a * 1.01, (0, -1)),
    ("2.6-batch-03", "saddle_exact", lambda a: a + 1e-12, (-1, 1)),
    ("2.6-batch-03", "saddle_nudged", lambda a: a * 0.4, (0,)),
    ("2.6-batch-03", "saddle_nudged", lambda a: a * 1e-6, (1,)),
    ("2.6-batch-03", "saddle_nudged", lambda a: a * 3, (1,)),
    ("2.6-batch-04", "sharpness", lambda a: a + 0.5, (0,)),  # the same α/B, another sharpness
    ("2.6-batch-04", "sharpness", lambda a: a - 0.5, (2,)),  # another α/B, the same sharpness
    ("2.6-batch-04", "accuracy", lambda a: a - 0.05, (2,)),
    ("2.6-batch-04", "flat_loss", lambda a: a + 0.01, (0,)),
    ("2.6-accum-01", "gradients", lambda a: a * (1 + 1e-6), (ROW("equal parts"),)),
    ("2.6-accum-01", "gradients", lambda a: a * 0.9, (ROW("missing 1/K"),)),
    ("2.6-accum-01", "gradients", lambda a: a * 1.01, (ROW("unequal parts"),)),
    ("2.6-accum-01", "gradients", lambda a: a * 1.01, (ROW("fixed statistics, parts"),)),
    ("2.6-accum-01", "your_gradients", lambda a: a * 1.001, (1,)),
]


@pytest.mark.parametrize(("claim_id", "field", "change", "where"), SPOILS)
def test_a_spoiled_result_is_refuted(result, claim_id, field, change, where):
    bad = spoil(result, field, change, where)
    assert {claim.id for claim in claims(bad) if claim.verdict == "refuted"} == {claim_id}


def test_batch_norm_that_changed_nothing_would_be_refuted(result):
    gradients = result.gradients.copy()
    gradients[ROW("BatchNorm, parts")] = gradients[ROW("BatchNorm, whole")]
    assert verdict(replace(result, gradients=gradients), "2.6-accum-01") == "refuted"


def test_your_own_broken_parts_are_predicted_and_refuted_when_they_are_not_broken():
    for how in ({"unequal_parts": True}, {"batch_norm": True}):
        broken = run(Settings(batch=16, accumulation=4, **how))
        assert verdict(broken, "2.6-accum-01") == "confirmed"
        mended = broken.your_gradients.copy()
        mended[1] = mended[0]
        assert verdict(replace(broken, your_gradients=mended), "2.6-accum-01") == "refuted"
