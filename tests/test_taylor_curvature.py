"""Slope and curvature: against torch autograd and NumPy, invariants, worked cases, and spoiled results."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import polynomial
from pydantic import ValidationError

from experiments import taylor_curvature as taylor
from experiments.taylor_curvature import Settings, claims, run
from lab.contract import bounds, choices, problems

QUICK = {"draws": 1000}
XY = st.floats(-2, 2)


@pytest.fixture(scope="module")
def result():
    return run(Settings())


def claim(result, claim_id):
    return next(claim for claim in claims(result) if claim.id == claim_id)


def verdict(result, claim_id):
    return claim(result, claim_id).verdict


def torch_loss(w):
    X, y = (torch.tensor(part) for part in taylor.standardised())
    return torch.nn.functional.binary_cross_entropy_with_logits(X @ w, y)


def direction(seed=0):
    u = np.random.default_rng(seed).standard_normal((2, 30))[0]
    return u / np.linalg.norm(u)


# --- reference ---


def test_gradient_and_hessian_of_the_loss_equal_those_of_autograd(result):
    w = torch.tensor(direction(), requires_grad=True)
    (gradient,) = torch.autograd.grad(torch_loss(w), w)
    assert np.allclose(result.gradient, gradient.numpy(), atol=1e-12)
    hessian = torch.autograd.functional.hessian(torch_loss, w.detach())
    assert np.allclose(result.hessian, hessian.numpy(), atol=1e-12)


@pytest.mark.parametrize("name", ["sin x", "exp x", "breast_cancer loss"])
def test_all_five_derivatives_equal_those_of_repeated_autograd(name):
    X, y = taylor.standardised()
    u = direction()
    _, measured = taylor.curve(name, 0.7, X @ u, y)
    functions = {"sin x": torch.sin, "exp x": torch.exp}
    t = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    value = functions[name](t) if name in functions else torch_loss(t * torch.tensor(u))
    expected = [value]
    for _ in range(5):
        expected.append(torch.autograd.grad(expected[-1], t, create_graph=True)[0])
    assert np.allclose(measured, [e.item() for e in expected], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", list(taylor.SURFACES))
def test_derivatives_of_a_surface_equal_those_of_numpy_polynomials(name):
    c = np.zeros((5, 5))
    for value, i, j in taylor.SURFACES[name]:
        c[i, j] += value
    x, y = np.random.default_rng(0).uniform(-2, 2, (2, 40))
    assert np.allclose(taylor.height(name, x, y), polynomial.polyval2d(x, y, c))
    dx, dy = polynomial.polyder(c, axis=0), polynomial.polyder(c, axis=1)
    for part, expected in zip(taylor.surface_gradient(name, x, y), (dx, dy), strict=True):
        assert np.allclose(part, polynomial.polyval2d(x, y, expected))
    H = taylor.surface_hessian(name, x, y)
    for i, first in enumerate((dx, dy)):
        for j in (0, 1):
            second = polynomial.polyder(first, axis=j)
            assert np.allclose(H[i, j], polynomial.polyval2d(x, y, second), atol=1e-12)


def test_counting_positive_matrices_by_cholesky_agrees_with_their_eigenvalues():
    # The same law drawn another way: (A + Aᵀ)/√2 has N(0, 1) beside the diagonal and N(0, 2) on it.
    draws = 40_000
    counted = taylor.count_positive(draws, np.random.default_rng(1)) / draws
    for n in range(1, 5):
        A = np.random.default_rng(n).standard_normal((draws, n, n))
        H = (A + A.swapaxes(1, 2)) / math.sqrt(2)
        share = np.mean(np.linalg.eigvalsh(H)[:, 0] > 0)
        assert abs(counted[n - 1] - share) < 4 * math.sqrt(2 * max(share, 1e-3) / draws)


def test_the_exact_shares_equal_integrals_over_the_eigenvalues():
    # n = 2: eigenvalues m ± r, with m ~ N(0, 1) and r Rayleigh, are positive when m > r.
    from scipy.integrate import quad
    from scipy.special import ndtr

    two, _ = quad(lambda r: r * math.exp(-(r**2) / 2) * ndtr(-r), 0, 40)
    assert taylor.positive_in_theory()[1] == pytest.approx(two, abs=1e-10)


# --- invariant ---


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(taylor.SURFACES)), XY, XY, XY, XY)
def test_a_surface_less_its_second_order_model_is_of_third_order(name, x, y, dx, dy):
    at = np.array(x), np.array(y)

    def left(t):
        there = taylor.height(name, x + t * np.array(dx), y + t * np.array(dy))
        return abs(there - taylor.models(name, *at, t * np.array(dx), t * np.array(dy))[1])

    # Powers up to four: |left(t)| <= t³·c, with c at most 8·(sum of |terms|)·reach.
    assert left(1e-2) <= 1e-6 * 500 + 1e-12


@settings(max_examples=30, deadline=None)
@given(st.floats(-3, 3), st.integers(0, 20))
def test_hessian_products_equal_differences_of_gradients(scale, seed):
    X, y = taylor.standardised()
    w, v = np.random.default_rng(seed).standard_normal((2, 30)) * [[scale / 5], [1]]
    h = 1e-5
    change = (taylor.loss_gradient(X, y, w + h * v) - taylor.loss_gradient(X, y, w - h * v)) / (2 * h)
    assert np.allclose(taylor.hessian_product(X, w, v), change, atol=1e-6)


@pytest.mark.parametrize("name", ["sin x", "exp x", "breast_cancer loss"])
@pytest.mark.parametrize("point", [-3, -0.1, 1.6])
def test_difference_errors_keep_their_slopes_wherever_the_leading_terms_lead(name, point):
    for seed in range(2):
        spoken = run(Settings(function=name, point=point, seed=seed, **QUICK))
        assert verdict(spoken, "2.2-deriv-01") == "confirmed"
        assert verdict(spoken, "2.2-taylor-01") == "confirmed"


def test_no_unit_vector_climbs_faster_than_the_gradient():
    for seed in range(3):
        found = run(Settings(seed=seed, **QUICK))
        assert found.climbs.max() < found.steps[0]
        assert abs(found.climbs).max() < np.linalg.norm(found.start_gradient)


def test_a_fit_of_exact_powers_stays_within_its_band():
    x = np.geomspace(1e-3, 1e-1, 30)
    for next_term in (-3.0, 0.5, 4.0):
        band = taylor.slope_band(x, (1e-3, 1e-1), (2.0, next_term), (2, 3), np.zeros(30))
        slope = taylor.fitted_slope(x, 2 * x**2 + next_term * x**3, (1e-3, 1e-1))
        assert 0 < abs(slope - 2) <= band < 0.2
    assert taylor.slope_band(x, (1e-3, 1e-1), (0.1, 4.0), (2, 3), np.zeros(30)) == math.inf


# --- known case ---


def test_the_best_steps_for_sine_are_those_of_the_textbook():
    # Where f = -f″ and x = 0 they are 2√u and, where f = -f‴ (exp at 0), the cube root of 3u.
    u = 2.0**-53
    assert taylor.predicted_best(np.array([1.0, 0, -1, 0, 1, 0]), 0)[0] == pytest.approx(2 * math.sqrt(u))
    assert taylor.predicted_best(np.ones(6), 0)[1] == pytest.approx((3 * u) ** (1 / 3))


def test_balance_is_where_truncation_and_rounding_add_up_to_least():
    derivatives = np.array([0.8, 0.5, -0.8, -0.5, 0.8, 0.5])
    errors = taylor.predicted_errors(derivatives, 1.0, taylor.STEPS)
    best = taylor.predicted_best(derivatives, 1.0)
    for i in (0, 1):
        assert abs(math.log10(taylor.STEPS[errors[i].argmin()] / best[i])) <= 1 / taylor.PER_DECADE


def test_at_1e_15_most_digits_are_gone():
    # 1 + 1e-15 is stored as 1 + 5·2⁻⁵²: the step is 11 % too long, whatever sin does.
    spoken = run(Settings(h=1e-15, **QUICK)).summary
    assert 0.01 < spoken["forward_error_at_h"] < 1
    assert spoken["forward_error_at_h"] == abs((math.sin(1 + 1e-15) - math.sin(1)) / 1e-15 - math.cos(1))


def test_the_surface_x2_y3_falls_to_a_thousandth_below_zero():
    here = np.array(0.0), np.array(-0.1)
    assert taylor.height("x² + y³", *here) == pytest.approx(-0.001)
    H = taylor.surface_hessian("x² + y³", np.array(0.0), np.array(0.0))
    assert H.tolist() == [[2, 0], [0, 0]]


def test_every_surface_is_classified_as_its_formula_says(result):
    kinds = dict(zip([name for name, _, _ in taylor.critical_points()], result.by_walk, strict=True))
    assert kinds["bowl"] == kinds["x⁴ + y⁴"] == "minimum"
    assert kinds["dome"] == kinds["−x⁴ − y⁴"] == "maximum"
    assert kinds["saddle"] == kinds["monkey saddle"] == kinds["x² + y³"] == "saddle"
    hills = [w for (n, _, _), w in zip(taylor.critical_points(), result.by_walk, strict=True) if n == "hills"]
    assert hills == ["minimum", "saddle", "saddle", "maximum"]


def test_a_walker_ten_percent_off_the_ridge_leaves_in_25_steps(result):
    # 0.1·1.1^t > 1 first at t = 25, since ln 10 / ln 1.1 = 24.16.
    assert result.leaving[0] == taylor.delay_in_theory(np.array([0.1]))[0] == 25


def test_the_challenges_have_the_answers_that_can_be_worked_out(result):
    step, share, three = (challenge.answer(result) for challenge in taylor.CHALLENGES)
    assert step == "1e-8"
    assert share == pytest.approx(0.05)
    assert three == pytest.approx((math.pi - 2 * math.sqrt(2)) / (4 * math.pi), abs=0.002)


def test_the_models_touch_the_surface_where_they_are_carried():
    tables = taylor.tables(run(Settings(surface="hills", **QUICK)))
    middle = tables["models"][(tables["models"].line == 2) & (tables["models"].order == 10)]
    merged = middle.merge(tables["places"], on=["x", "y"], suffixes=("", "_place"))
    assert len(merged) == len(tables["places"]) == 121
    assert np.allclose(merged[["across", "up"]], merged[["across_place", "up_place"]])
    assert (tables["places"].patch_error <= tables["places"].plane_error + 1e-12).mean() > 0.8


# --- negative control ---


def at(array, index, value):
    changed = np.array(array, float)
    changed[index] = value
    return changed


SPOILED = [
    ("2.2-deriv-01", lambda r: {"forward_error": r.forward_error * taylor.STEPS**0.01}),
    ("2.2-deriv-01", lambda r: {"central_error": r.central_error * taylor.STEPS**0.01}),
    ("2.2-deriv-01", lambda r: {"best": np.array([1e-5, r.best[1]])}),
    ("2.2-deriv-01", lambda r: {"best": np.array([r.best[0], 1e-8])}),
    ("2.2-grad-01", lambda r: {"steps": at(r.steps, 0, r.steps[0] * 0.999)}),
    ("2.2-grad-01", lambda r: {"climbs": at(r.climbs, 7, 2.0)}),
    ("2.2-grad-01", lambda r: {"steps": r.steps[[0, 1, 3, 2]]}),
    ("2.2-hess-01", lambda r: {"hessian_bytes": r.hessian_bytes * np.array(taylor.HESSIAN_SIZES) ** 0.01}),
    ("2.2-hess-01", lambda r: {"hessian": r.hessian + np.triu(np.ones((30, 30))) * 1e-6}),
    ("2.2-hess-01", lambda r: {"product": at(r.product, 3, 9.0)}),
    ("2.2-hess-01", lambda r: {"costs": at(r.costs, 1, r.costs[2])}),
    ("2.2-crit-01", lambda r: {"by_walk": ("maximum", *r.by_walk[1:])}),
    ("2.2-crit-01", lambda r: {"eigenvalues": r.eigenvalues + 1e-3}),
    ("2.2-crit-01", lambda r: {"dip": 0.0}),
    ("2.2-crit-01", lambda r: {"gradient_norms": r.gradient_norms + 1e-3}),
    ("2.2-crit-02", lambda r: {"positive": r.settings.draws * 0.5 ** np.arange(1, 9)}),
    ("2.2-crit-02", lambda r: {"positive": at(r.positive, 0, 0.52 * r.settings.draws)}),
    ("2.2-crit-03", lambda r: {"leaving": r.leaving + 1}),
    ("2.2-crit-03", lambda r: {"leaving": at(r.leaving, 11, math.nan)}),
    ("2.2-crit-03", lambda r: {"ridge_end": 1e-300}),
    ("2.2-crit-03", lambda r: {"noisy_left": 0.995}),
    ("2.2-taylor-01", lambda r: {"remainder": r.remainder[[0, 0]]}),
    ("2.2-taylor-01", lambda r: {"remainder": r.remainder[[1, 1]]}),
    ("2.2-taylor-02", lambda r: {"arrived": r.arrived + 1e-6}),
    ("2.2-taylor-02", lambda r: {"excess": np.roll(r.excess, 3)}),
    ("2.2-taylor-02", lambda r: {"excess": np.where(taylor.MULTIPLES == 1.9, 2.0, r.excess)}),
]


@pytest.mark.parametrize(("claim_id", "spoil"), SPOILED)
def test_a_spoiled_result_refutes_its_claim(result, claim_id, spoil):
    assert verdict(result, claim_id) == "confirmed"
    assert verdict(replace(result, **spoil(result)), claim_id) == "refuted"


def test_every_claim_that_can_be_checked_has_a_negative_control(result):
    checkable = {c.id for c in claims(result) if c.verdict == "confirmed"}
    assert checkable == {claim_id for claim_id, _ in SPOILED}
    assert verdict(result, "2.2-grad-02") == "not checkable"


# --- settings and conditions ---


@pytest.mark.parametrize(
    ("chosen", "claim_id", "word"),
    [
        ({"function": "sin x", "point": 0}, "2.2-deriv-01", "f″"),
        ({"function": "breast_cancer loss", "point": 0}, "2.2-deriv-01", "f‴"),
        ({"function": "|x|"}, "2.2-deriv-01", "f″"),
        ({"point": 0}, "2.2-taylor-01", "third derivative"),
    ],
)
def test_where_a_leading_term_vanishes_no_slope_is_claimed(chosen, claim_id, word):
    spoken = claim(run(Settings(**chosen, **QUICK)), claim_id)
    assert spoken.verdict == "not at these settings"
    assert word in spoken.unmet


def test_the_kink_of_the_absolute_value_is_refused_by_name():
    with pytest.raises(ValidationError) as caught:
        Settings(function="|x|", point=0)
    (line,) = problems(caught.value, Settings)
    assert line.startswith("point = 0: derivative undefined")
    assert Settings(function="|x|", point=0.1).point == 0.1


ENDS = [
    (field, value)
    for field, info in Settings.model_fields.items()
    for value in (choices(info) or bounds(info))
]


@pytest.mark.parametrize(("field", "value"), ENDS)
def test_the_ends_of_every_control_run_and_refute_nothing(field, value):
    spoken = run(Settings(**{**QUICK, field: value}))
    assert "refuted" not in {c.verdict for c in claims(spoken)}
    assert all(len(frame) for frame in taylor.tables(spoken).values())
