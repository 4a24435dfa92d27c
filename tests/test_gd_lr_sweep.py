"""The learning-rate sweep: against torch, scikit-learn and SciPy, laws, cases by hand, spoiled results."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.linalg import eigh
from sklearn.linear_model import LinearRegression, LogisticRegression

from experiments import gd_lr_sweep as gd
from experiments.gd_lr_sweep import CHALLENGES, Settings, claims, run, tables
from lab.data import diabetes

PROBLEMS = [(name, on) for name in ("diabetes", "breast_cancer") for on in (True, False)]
NAMED = pytest.mark.parametrize(("name", "standardise"), PROBLEMS)


@pytest.fixture(scope="module")
def result():
    return run(Settings())


@pytest.fixture(scope="module")
def diverged():
    return run(Settings(multiple=2.5, steps=1000))


def verdict(result, claim_id):
    return next(claim.verdict for claim in claims(result) if claim.id == claim_id)


def walk(loss, X, y, rates, steps, beta=0.0):
    start = np.zeros(X.shape[1])
    return np.stack(
        list(gd.descend(lambda W: gd.slope(loss, X, y, W), start, np.asarray(rates), steps, beta))
    )


def small_problem(seed, n=12, d=3):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)), rng.standard_normal((n, 1))


# --- reference ---


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_loss_and_gradient_equal_those_of_torch_autograd(loss):
    import torch

    X, _, label = gd.problem("diabetes", True)
    w = np.random.default_rng(0).standard_normal(10)
    weights = torch.tensor(w, requires_grad=True)
    scores = torch.from_numpy(X.copy()) @ weights
    target = torch.from_numpy(label.copy())
    if loss == "squared":
        expected = 0.5 * torch.nn.functional.mse_loss(scores, target)
    else:
        expected = torch.nn.functional.binary_cross_entropy_with_logits(scores, target)
    expected.backward()
    y = label[:, None]
    assert gd.mean_loss(loss, X @ w[:, None], y)[0] == pytest.approx(expected.item(), rel=1e-12)
    assert np.allclose(gd.slope(loss, X, y, w[:, None])[:, 0], weights.grad.numpy(), atol=1e-12)


def test_heavy_ball_walks_as_torch_does():
    import torch

    X, y = small_problem(1)
    weights = torch.zeros(3, 1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.SGD([weights], lr=0.1, momentum=0.8)
    ours = walk("squared", X, y, [0.1], 30, np.array([0.8]))
    for step in range(31):
        assert np.allclose(ours[step], weights.detach().numpy(), atol=1e-12)
        optimiser.zero_grad()
        (0.5 * ((torch.from_numpy(X) @ weights - torch.from_numpy(y)) ** 2).mean()).backward()
        optimiser.step()


@NAMED
def test_eigen_directions_equal_those_of_scipy(name, standardise):
    X, target, _ = gd.problem(name, standardise)
    lam, V = gd.directions(X, X.T @ target)
    expected, _ = eigh(X.T @ X / len(X))
    assert np.allclose(lam, expected[::-1], atol=1e-9 * lam[0])
    assert np.allclose(V.T @ V, np.eye(len(lam)))
    assert np.allclose(X.T @ (X @ V) / len(X), V * lam, atol=1e-9 * lam[0])
    assert np.all(V.T @ (X.T @ target) >= 0)


def test_the_lowest_points_equal_those_of_scikit_learn():
    X, target, label = gd.problem("diabetes", True)
    squared = LinearRegression(fit_intercept=False).fit(X, target)
    assert np.allclose(gd.least_squares(X, target), squared.coef_)
    logistic = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-12, solver="newton-cholesky")
    assert np.allclose(gd.newton(X, label), logistic.fit(X, label).coef_[0], atol=1e-8)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("name", ["diabetes", "breast_cancer"])
def test_no_rate_of_the_sweep_ends_below_the_lowest_loss(name, loss):
    swept = run(Settings(data=name, loss=loss, steps=500))
    assert np.nanmin(swept.sweep_loss) >= swept.lowest_loss - 1e-12
    assert np.all(swept.curve_loss[np.isfinite(swept.curve_loss)] >= swept.lowest_loss - 1e-12)


def test_the_curvature_of_the_logistic_loss_is_the_slope_of_its_gradient():
    X, _, label = gd.problem("diabetes", True)
    w, h = np.random.default_rng(2).standard_normal(10), 1e-5
    nudged = w[:, None] + h * np.eye(10), w[:, None] - h * np.eye(10)
    ahead, behind = (gd.slope("logistic", X, label[:, None], W) for W in nudged)
    assert np.allclose(gd.curvature_at(X, w), (ahead - behind) / (2 * h), atol=1e-8)


# --- invariant ---


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 10_000),
    arrays(float, 4, elements=st.floats(0.01, 2.5)),
    st.integers(1, 60),
)
def test_every_error_follows_one_minus_alpha_lambda(seed, multiples, steps):
    X, y = small_problem(seed)
    lam, V = gd.directions(X, (X.T @ y)[:, 0])
    error = V.T @ (
        walk("squared", X, y, multiples / lam[0], steps)[-1] - gd.least_squares(X, y[:, 0])[:, None]
    )
    start = -V.T @ gd.least_squares(X, y[:, 0])
    expected = start[:, None] * (1 - np.outer(lam, multiples / lam[0])) ** steps
    scale = np.maximum(np.abs(expected).max(axis=0), np.linalg.norm(start))
    assert np.all(np.abs(error - expected) <= 1e-9 * scale)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 1.99))
def test_below_the_wall_the_squared_loss_never_rises(seed, multiple):
    X, y = small_problem(seed)
    lam, _ = gd.directions(X, (X.T @ y)[:, 0])
    path = walk("squared", X, y, [multiple / lam[0]], 60)
    loss = np.array([gd.mean_loss("squared", X @ W, y)[0] for W in path])
    assert np.all(np.diff(loss) <= 1e-14 * loss[0])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 10))
def test_ten_times_the_feature_is_a_hundred_times_the_curvature(seed, factor):
    X, y = small_problem(seed)
    lam, _ = gd.directions(X, (X.T @ y)[:, 0])
    scaled, _ = gd.directions(factor * X, (X.T @ y)[:, 0])
    assert np.allclose(scaled, factor**2 * lam)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.01, 100), st.floats(1.5, 1e4))
def test_no_rate_beats_the_best_one(lam_min, kappa):
    lam = np.array([lam_min * kappa, lam_min])
    best = 2 / lam.sum()
    factor = np.abs(1 - best * lam).max()
    assert factor == pytest.approx((kappa - 1) / (kappa + 1), rel=1e-9)
    others = np.abs(1 - np.outer(np.linspace(0.05, 3, 60) / lam[0], lam)).max(axis=1)
    assert np.all(others >= factor - 1e-12)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_one_batch_of_rates_equals_each_rate_alone(loss):
    X, _, label = gd.problem("diabetes", True)
    rates = np.array([0.05, 0.3, 0.6, 5.0])
    together = walk(loss, X, label[:, None], rates, 40)
    for column, rate in enumerate(rates):
        alone = walk(loss, X, label[:, None], [rate], 40)[:, :, 0]
        scale = max(1.0, np.abs(alone).max())
        assert np.allclose(together[:, :, column], alone, atol=1e-9 * scale)


@NAMED
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_claims_hold_whatever_the_controls_show(name, standardise, loss):
    for chosen in ({"multiple": 0.05, "steps": 10}, {"multiple": 2.5, "steps": 300, "float32": True}):
        seen = run(Settings(data=name, standardise=standardise, loss=loss, **chosen))
        verdicts = [claim.verdict for claim in claims(seen)]
        assert verdicts == ["confirmed"] * 4 + ["not checkable", "confirmed"]


@NAMED
def test_the_sweep_ends_where_theory_says(name, standardise):
    swept = run(Settings(data=name, standardise=standardise))
    excess = swept.sweep_loss - swept.lowest_loss
    assert np.allclose(excess, swept.sweep_theory, rtol=1e-6, atol=1e-9 * swept.curve_loss[0, 0])


@pytest.mark.parametrize("multiple", [2.1, 2.3, 2.5])
@pytest.mark.parametrize("float32", [True, False])
def test_the_overflow_step_is_met_to_one_step(multiple, float32):
    steps = 2000 if multiple > 2.1 and not float32 else 600
    seen = run(Settings(multiple=multiple, steps=steps, float32=float32))
    if seen.overflow_theory > steps:
        assert math.isnan(seen.overflow)
    else:
        assert abs(seen.overflow - seen.overflow_theory) <= 1


def test_a_diverging_run_keeps_its_finite_points_and_draws_no_others(diverged):
    assert diverged.overflow == pytest.approx(diverged.overflow_theory, abs=1)
    frames = tables(diverged)
    chosen = frames["curves"][frames["curves"].chosen]
    assert 0 < chosen.step.max() < diverged.overflow
    for name, frame in frames.items():
        numbers = frame.select_dtypes("number").drop(columns="predicted_excess_loss", errors="ignore")
        assert np.isfinite(numbers.to_numpy()).all(), name


def test_the_main_curve_stops_at_a_thousand_times_the_start(diverged):
    main, sweep = tables(diverged)["main"], tables(diverged)["sweep"]
    assert len(main) < len(sweep)
    assert 10 ** main.log10_excess_loss.iloc[-1] == pytest.approx(1000 * diverged.curve_loss[0, 0])
    assert 2 < main.multiple.iloc[-1] < 2.02
    assert np.allclose(main.log10_excess_loss, main.log10_predicted, atol=1e-3)


def test_both_racers_stay_on_their_law(result):
    race = tables(result)["race"]
    assert np.allclose(race.measured, race.predicted, rtol=0, atol=1e-9)
    last = race.groupby("method").measured.last()
    assert last["heavy ball"] < 1e-6 < 0.1 < last["gradient descent"]


def test_oscillation_is_seen_in_the_sign_and_not_in_the_loss(result):
    column = list(result.curve_multiples).index(1.9)
    steepest, loss = result.curve_steepest[:21, column], result.curve_loss[:21, column]
    assert np.all(np.diff(np.sign(steepest)) != 0)
    assert np.all(np.diff(loss) < 0)


def test_the_path_is_seen_along_the_chosen_directions():
    for name, axes in (
        ("steepest and flattest", (0, 29)),
        ("steepest and middle", (0, 14)),
        ("two steepest", (0, 1)),
    ):
        seen = run(Settings(data="breast_cancer", path_axes=name))
        assert seen.axes == axes
        assert np.allclose(seen.path[0], 0)
        assert np.allclose(seen.path[-1] - seen.minimum, seen.coordinates[-1, list(axes)], atol=1e-9)


def test_the_path_is_drawn_as_long_as_it_is_near(diverged, result):
    assert len(tables(result)["path"]) == len(gd._thin(200, 200))
    path = tables(diverged)["path"]
    assert np.array_equal(path.frame, np.arange(len(path)))
    assert np.abs(path.x).max() <= 20 * np.ptp(diverged.plane_x)
    assert 2 < len(path) < 30


def test_the_plane_is_lowest_at_the_minimum(result):
    row, column = np.unravel_index(result.plane_loss.argmin(), result.plane_loss.shape)
    nearest = result.plane_x[column], result.plane_y[row]
    gaps = np.diff(result.plane_x[:2])[0], np.diff(result.plane_y[:2])[0]
    assert np.all(np.abs(np.array(nearest) - result.minimum) <= gaps)
    assert result.plane_loss.min() >= result.lowest_loss


def test_single_precision_differs_from_double_by_its_rounding_only(result):
    single = run(Settings(float32=True))
    assert not np.array_equal(single.curve_loss, result.curve_loss)
    assert np.allclose(single.curve_loss[:, 0], result.curve_loss[:, 0], rtol=1e-4)


# --- known case ---


def test_a_valley_with_curvatures_four_and_one():
    X, y = (
        np.sqrt(2) * np.diag([2.0, 1.0]),
        np.sqrt(2) * np.array([[2.0], [1.0]]),
    )  # H = diag(4, 1), w* = (1, 1)
    lam, _ = gd.directions(X, (X.T @ y)[:, 0])
    assert np.allclose(lam, [4, 1])
    path = walk("squared", X, y, [0.4], 2)[:, :, 0]  # the best rate 2/5: both errors shrink by 3/5
    assert np.allclose(path, [[0, 0], [1.6, 0.4], [0.64, 0.64]])
    assert np.allclose(gd.heavy_ball(4, 1), (4 / 9, 1 / 9))
    assert np.allclose(gd.remaining(lam, np.array([-1.0, -1.0]), np.array([0.4]), 1), 0.5 * 5 * 0.36)


def test_one_weight_by_hand():
    wall, width, landing = gd.toy()
    assert abs(wall - 1 / 9) <= width < 1e-5
    assert landing == pytest.approx(7 / 3, abs=1e-15)


def test_the_overflow_step_by_hand():
    assert gd.overflow_step(1000.0, 1.0, 2.0) == 10  # 512 < 1000 < 1024
    assert gd.overflow_step(1e38, 5.0, 10.0) == 38


def test_bisection_brackets_a_known_edge():
    middle, width = gd.first_rate(lambda rates: rates > math.pi, 0.1, 40.0, 4, 32)
    assert abs(middle - math.pi) <= width / 2 < 1e-4
    assert math.isnan(gd.first_rate(lambda rates: rates > math.pi, 0.1, 3.0, 4, 32)[0])


def test_the_logistic_loss_of_separable_points_has_no_lowest_point():
    assert gd.newton(np.array([[-1.0], [2.0]]), np.array([0.0, 1.0])) is None
    overlap = gd.newton(np.array([[1.0], [1.0], [1.0], [1.0]]), np.array([1.0, 1.0, 1.0, 0.0]))
    assert overlap[0] == pytest.approx(math.log(3))  # p = 3/4


def test_the_published_numbers_of_the_diabetes_data(result):
    summary = result.summary
    assert round(summary["lambda_max"], 3) == 4.024
    assert round(summary["condition_number"]) == 470
    assert round(summary["wall_measured"], 3) == 0.497
    assert round(summary["best_factor_per_step"], 5) == 0.99575
    factor = gd.shrinkage(result.probe_error, gd.PROBE_STEPS).max(axis=0)
    assert round(factor[1], 5) == 0.99787
    assert round(factor[3], 4) == 1.01
    assert summary["float32_overflow_step"] == 440
    assert result.float32_nan_step == 877


def test_columns_come_standardised_or_as_shipped():
    X, target, label = gd.problem("diabetes", True)
    assert np.allclose([X.mean(axis=0), X.std(axis=0) - 1], 0)
    assert np.allclose([target.mean(), target.std() - 1], 0)
    assert abs(label.mean() - 0.5) < 0.01
    assert np.array_equal(gd.problem("diabetes", False)[0], diabetes()[0])


def test_flips_stay_visible_when_steps_are_thinned_out():
    steps = gd._thin(2000, 160)
    assert (steps[0], steps[-1]) == (0, 2000)
    assert np.all(np.diff(steps) > 0)
    assert len(steps) <= 160
    assert set(steps % 2) == {0, 1}


@pytest.mark.parametrize(
    ("multiple", "name"), [(1, "monotone"), (1.01, "oscillating"), (1.99, "oscillating"), (2.01, "divergent")]
)
def test_regimes_are_named_by_their_multiple(multiple, name):
    assert gd.regime(multiple) == name


def test_the_challenges_have_the_right_answers():
    answers = [challenge.answer(run(Settings(**challenge.settings))) for challenge in CHALLENGES]
    assert (answers[0], answers[2]) == ("The steepest", "It diverges")
    eigenvalues, start = run(Settings()).eigenvalues, run(Settings()).start_error
    left = 0.5 * np.sum(eigenvalues * ((1 - 1.5 * eigenvalues / eigenvalues[0]) ** 200 * start) ** 2)
    assert answers[1] == pytest.approx(np.log10(left), abs=0.01)
    blown = run(Settings(**CHALLENGES[0].settings))
    everywhere = replace(blown, coordinates=blown.coordinates * np.arange(1, 202)[:, None] ** 9)
    assert CHALLENGES[0].answer(everywhere) == "All of them together"
    assert CHALLENGES[2].answer(run(Settings())) == "It converges, slowly"


# --- negative control: a spoiled result is refuted ---


def changed(array, index, value):
    spoiled = array.copy()
    spoiled[index] = value
    return spoiled


SPOILS = [
    ("2.6-gd-01", lambda r: {"probe_error": changed(r.probe_error, (-1, -1, 1), 0.7)}),
    ("2.6-gd-01", lambda r: {"probe_error": changed(r.probe_error, (-1, 0, 3), 1.0)}),
    ("2.6-gd-01", lambda r: {"probe_error": changed(r.probe_error, (-1, -1, 5), 0.7)}),
    ("2.6-gd-01", lambda r: {"probe_error": changed(r.probe_error, (100, 4, 2), 1e-6)}),
    ("2.6-gd-01", lambda r: {"probe_error": changed(r.probe_error, (7, 0, 2), 0.0)}),
    ("2.6-gd-01", lambda r: {"eigenvalues": r.eigenvalues * np.linspace(1, 1.001, 10)}),
    ("2.6-gd-02", lambda r: {"best": r.best * 1.0001}),
    ("2.6-gd-02", lambda r: {"best": r.wall}),
    ("2.6-gd-02", lambda r: {"probe_error": r.probe_error[:, :, [0, 1, 2, 3, 1, 5]]}),
    ("2.6-gd-02", lambda r: {"heavy_error": r.probe_error[:, :, 4]}),
    ("2.6-gd-02", lambda r: {"heavy_error": changed(r.heavy_error, (50, -1), 0.0)}),
    ("2.6-gd-03", lambda r: {"float32_squares": r.float32_squares[2:]}),
    ("2.6-gd-03", lambda r: {"float32_squares": r.float32_squares[:-1]}),
    ("2.6-gd-03", lambda r: {"float32_nan_step": r.float32_nan_step + 2}),
    ("2.6-gd-03", lambda r: {"float32_nan_step": math.nan}),
    ("2.6-gd-03", lambda r: {"start_error": 2 * r.start_error}),
    ("2.6-gd-04", lambda r: {"large_loss": changed(r.large_loss, (400, 2), 1.0)}),
    ("2.6-gd-04", lambda r: {"large_loss": changed(r.large_loss, (1, 1), 1.0)}),
    ("2.6-gd-04", lambda r: {"large_sharpness": changed(r.large_sharpness, (-1, 2), 2.0)}),
    ("2.6-gd-04", lambda r: {"edge": 2.0}),
    ("2.6-gd-04", lambda r: {"edge": math.nan}),
    ("2.2-gd-01", lambda r: {"wall": r.wall * 1.0001}),
    ("2.2-gd-01", lambda r: {"wall": r.best}),
    ("2.2-gd-01", lambda r: {"toy_wall": 0.11}),
    ("2.2-gd-01", lambda r: {"toy_landing": 2.3}),
]


@pytest.mark.parametrize(
    ("claim_id", "spoil"), SPOILS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_spoiled_result_is_refuted(result, claim_id, spoil):
    assert verdict(result, claim_id) == "confirmed"
    assert verdict(replace(result, **spoil(result)), claim_id) == "refuted"


def test_what_nobody_has_measured_is_not_called_confirmed(result):
    assert verdict(result, "2.6-gd-05") == "not checkable"
