"""Two directions of KL: against SciPy and torch, laws for all inputs, cases by hand, spoiled results."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.stats import entropy as scipy_entropy
from scipy.stats import gaussian_kde, norm
from torch.distributions import Normal, kl_divergence

from experiments import kl_directions as kl
from experiments.kl_directions import CHALLENGES, Settings, Target, claims, run, tables, two_humps
from lab.contract import bounds, choices
from lab.data import english, iris, letters

weights, widths, apart = st.floats(0.1, 0.9), st.floats(0.5, 2), st.floats(0, 10)


@pytest.fixture(scope="module")
def result():
    return run(Settings())


def claim(result, claim_id):
    return next(c for c in claims(result) if c.id == claim_id)


def log_normal(x, mean, sd):
    return -(((x - mean) / sd) ** 2) / 2 - np.log(sd * np.sqrt(2 * np.pi))


def integral(s, mean, sd, forward, weight, width):
    """The divergence by adaptive quadrature."""

    def inside(x):
        parts = np.log(1 - weight) + log_normal(x, -s / 2, 1), np.log(weight) + log_normal(x, s / 2, width)
        log_p, log_q = np.logaddexp(*parts), log_normal(x, mean, sd)
        return np.exp(log_p) * (log_p - log_q) if forward else np.exp(log_q) * (log_q - log_p)

    return quad(inside, -45, 45, points=[-s / 2, 0, s / 2, mean], limit=500, epsabs=1e-11)[0]


# --- reference ---


@pytest.mark.parametrize(("s", "mean", "sd", "weight", "width"), [
    (6, 2.98, 1.02, 0.5, 1.0), (5, 0, 2.4, 0.5, 1.0), (10, 0.3, 4.2, 0.3, 2.0), (8, 1, 0.5, 0.7, 0.5),
])  # fmt: skip
def test_both_divergences_equal_adaptive_quadrature(s, mean, sd, weight, width):
    target = two_humps(np.array([s]), weight, width)
    place, case = (np.array([mean]), np.array([sd])), (weight, width)
    reverse, forward = (integral(s, mean, sd, way, *case) for way in (False, True))
    assert kl.reverse_kl(*place, target)[0] == pytest.approx(reverse, abs=1e-8)
    assert kl.forward_kl(*place, target)[0] == pytest.approx(forward, abs=1e-8)


@pytest.mark.parametrize(("s", "start"), [(5.2, (2.0, 1.0)), (5.2, (0.3, 2.5)), (8.0, (3.0, 1.5))])
def test_the_descent_ends_where_an_optimiser_of_scipy_ends(s, start):
    target = two_humps(np.array([s]), 0.5, 1.0)

    def value(place):
        return kl.reverse_kl(place[:1], np.exp(place[1:]), target)[0]

    found = minimize(value, [start[0], np.log(start[1])], method="L-BFGS-B", options={"gtol": 1e-9})
    end = kl.fit_reverse(np.array([start[0]]), np.array([start[1]]), target)[-1, :, 0]
    assert np.allclose(end, [found.x[0], np.exp(found.x[1])], atol=1e-4)


def test_slopes_and_curvatures_equal_those_of_automatic_differentiation():
    target = two_humps(np.array([5.0]), 0.3, 1.4)
    place = torch.tensor([0.7, np.log(1.8)], requires_grad=True, dtype=torch.float64)
    z, w = torch.tensor(kl.Z), torch.tensor(kl.Z_WEIGHT)
    logs = [(0.7, -2.5, 1.0), (0.3, 2.5, 1.4)]

    def value(p):
        x = p[0] + torch.exp(p[1]) * z
        f = torch.logsumexp(torch.stack([np.log(a) + Normal(m, s).log_prob(x) for a, m, s in logs]), 0)
        return -p[1] - (w * f).sum()

    gradient = torch.autograd.functional.jacobian(value, place).numpy()
    hessian = torch.autograd.functional.hessian(value, place).numpy()
    scale = np.array([1.8, 1.0])  # a step of the mean is taken in units of the sd
    mine = kl.reverse_slopes(np.array([0.7]), np.array([1.8]), *kl.lattice_of(target))
    assert np.allclose(mine[0][0], gradient * scale, atol=1e-8)
    assert np.allclose(mine[1][0], hessian * np.outer(scale, scale), atol=1e-8)


@pytest.mark.parametrize(("mu", "sigma"), [(1, 0.5), (-3, 0.1), (0, 1), (2, 3)])
def test_gaussian_divergences_equal_those_of_torch(mu, sigma):
    q, p = Normal(torch.tensor(float(mu)).double(), torch.tensor(float(sigma)).double()), Normal(0.0, 1.0)
    expected = [kl_divergence(q, p).item(), kl_divergence(p, q).item()]
    assert np.allclose(kl.gaussian_kl(mu, sigma), expected)
    assert np.allclose([kl.integrated_kl(mu, sigma, 0, 1), kl.integrated_kl(0, 1, mu, sigma)], expected)


def test_divergences_of_distributions_equal_those_of_scipy(result):
    p, q = result.pairs
    assert np.allclose(kl.divergence(p, q), scipy_entropy(p, q, axis=1))
    assert np.allclose(kl.entropy(p), scipy_entropy(p, axis=1))


def test_the_density_of_petals_is_a_kernel_density_of_scipy():
    lengths = iris()[0][:, 2]
    x = np.linspace(0, 8, 50)
    expected = gaussian_kde(lengths, kl.BANDWIDTH / lengths.std(ddof=1))(x)
    assert np.allclose(kl.density(x[None], kl.petal_target())[0], expected)


def test_the_averages_of_log_ratios_are_those_over_the_draws():
    noise = np.random.default_rng(1).standard_normal((2, 500))
    small = np.stack([noise.mean(axis=1), np.mean(noise**2, axis=1)], 1)
    q, p = norm(0.7, 1.6), norm(0, 1)
    z = 0.7 + 1.6 * noise[0]
    expected = np.mean(q.logpdf(z) - p.logpdf(z)), np.mean(p.logpdf(noise[1]) - q.logpdf(noise[1]))
    assert np.allclose(kl.drawn_kl(0.7, 1.6, small), expected)


def test_the_standard_errors_are_those_seen_over_many_runs():
    rng = np.random.default_rng(2)
    runs = np.array([kl.drawn_kl(1, 0.5, np.stack([e.mean(1), np.mean(e**2, 1)], 1))
                     for e in rng.standard_normal((4000, 2, 100))])  # fmt: skip
    expected = np.array(kl.drawn_errors(1, 0.5)) * np.sqrt(kl.DRAWS / 100)
    assert np.allclose(runs.std(axis=0), expected, rtol=4 / np.sqrt(2 * 4000) * 2)


@pytest.mark.parametrize("forward", [False, True])
def test_policies_beat_every_random_change(forward):
    ref, best = kl.letter_shares(kl.text_codes()), kl.policies()[forward][2]
    beta, rng = kl.BETAS[2], np.random.default_rng(3)
    other = best * np.exp(0.1 * rng.standard_normal((500, 27)))
    other /= other.sum(axis=1, keepdims=True)

    def earned(policy):
        return policy @ kl.VOWEL - beta * (
            kl.divergence(ref, policy) if forward else kl.divergence(policy, ref)
        )

    assert np.all(earned(other) < earned(best))


# --- invariant ---


@settings(max_examples=40, deadline=None)
@given(apart, weights, widths)
def test_the_forward_fit_has_the_moments_of_any_target(s, weight, width):
    target = two_humps(np.array([s]), weight, width)
    assert np.allclose(np.ravel(kl.fit_forward(target)), np.ravel(kl.moments(target)), atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 8), weights, st.floats(0.8, 2), st.floats(-1, 1))
def test_every_end_of_a_descent_has_curvature_one_over_its_variance(s, weight, width, start):
    """A law of all stationary points, and D there is at most −ln of the larger weight or not the best."""
    target = two_humps(np.array([s]), weight, width)
    path = kl.fit_reverse(np.array([start * s / 2]), np.array([1.0]), target)[:, :, 0]
    mean, sd = path[-1]
    first, second = kl.log_slopes(mean + sd * kl.Z[None], target)
    assert abs(first[0] @ kl.Z_WEIGHT) < 1e-6
    assert -(sd**2) * (second[0] @ kl.Z_WEIGHT) == pytest.approx(1, abs=1e-5)
    values = kl.reverse_kl(path[:, 0], path[:, 1], kl.repeated(target, len(path)))
    assert values[-1] <= values[0] + 1e-9
    assert values[-1] >= -1e-9


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(1e-6, 1), min_size=2, max_size=9), st.randoms(use_true_random=False))
def test_divergence_obeys_pinsker_and_completes_the_cross_entropy(parts, random):
    p = np.array(parts) / np.sum(parts)
    q = p.copy()
    random.shuffle(q)
    value = kl.divergence(p, q)
    assert value >= np.abs(p - q).sum() ** 2 / 2 - 1e-12
    assert kl.cross_entropy(p, q) == pytest.approx(kl.entropy(p) + value)


@settings(max_examples=60, deadline=None)
@given(st.floats(3, 10), st.floats(0.7, 6))
def test_the_price_of_covering_brackets_the_true_one(s, sd):
    """The closed form leaves out at most its stated bound, and what it leaves out is a cost."""
    value, band = kl.cover_kl(s)
    target = two_humps(np.array([s]), 0.5, 1.0)
    at = kl.reverse_kl(np.zeros(1), np.array([sd]), target)[0]
    assert at >= value - 1e-9
    fit = kl.fit_reverse(np.zeros(1), np.array([np.sqrt(1 + s**2 / 4)]), target)[-1, :, 0]
    assert kl.reverse_kl(fit[:1], fit[1:], target)[0] <= value + band + 1e-9


def test_surfaces_equal_the_integrals_at_their_cells(result):
    target = two_humps(np.array([6.0]), 0.5, 1.0)
    i, j = np.array([0, 7, 30, 60]), np.array([3, 30, 64, 90])
    place, many = (result.means[j], result.sds[i]), kl.repeated(target, 4)
    assert np.allclose(result.reverse_surface[i, j], kl.reverse_kl(*place, many))
    assert np.allclose(result.forward_surface[i, j], kl.forward_kl(*place, many))


def test_a_descent_from_any_cell_inside_a_basin_ends_at_its_floor(result):
    target = two_humps(np.array([6.0]), 0.5, 1.0)
    deep = result.reverse_surface < 1.0
    i, j = np.nonzero(deep)
    ends = kl.fit_reverse(result.means[j], result.sds[i], target)[-1].T
    floors = result.optima[result.basin[i, j], :2]
    same = np.linalg.norm(ends - floors, axis=1) < 1e-6
    assert same.mean() > 0.97  # a border cell may fall to either side


@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("other", [
    {"separation": 10, "weight": 0.9, "width": 0.5, "mu": 0.0, "sigma": 1.0},
    {"separation": 0, "weight": 0.3, "width": 2, "mu": -3, "sigma": 0.1, "read": 20_000},
])  # fmt: skip
def test_claims_hold_at_other_settings(seed, other):
    assert {c.verdict for c in claims(run(Settings(seed=seed, **other)))} == {"confirmed"}


ENDS = [{f: end} for f, info in Settings.model_fields.items() for end in (choices(info) or bounds(info))]


@pytest.mark.parametrize("extreme", ENDS, ids=str)
def test_the_ends_of_every_control_run(extreme):
    outcome = run(Settings(**extreme))
    assert {c.verdict for c in claims(outcome)} == {"confirmed"}
    assert sum(len(frame) for frame in tables(outcome).values()) < 13_000


# --- known case ---


def test_the_known_prices_at_a_separation_of_five(result):
    row = tables(result)["main"].set_index("separation").loc[5.0]
    assert (round(row.kl_from_centre, 3), round(row.kl_from_right, 3)) == (0.481, 0.666)
    assert round(row.kl_from_left, 3) == 0.666
    assert round(result.even_crossing, 2) == 5.60


def test_humps_at_four_and_eight_have_forward_widths_of_root_five_and_seventeen(result):
    assert np.allclose(result.sweep.forward_sd[[20, 40]], [5**0.5, 17**0.5])


def test_one_hump_is_fitted_by_itself_in_both_directions():
    sweep = run(Settings(separation=0)).sweep
    assert np.allclose(sweep.centre[0], 0)
    assert np.allclose([*sweep.sd[0], sweep.forward_sd[0]], 1)
    assert np.allclose([*sweep.kl[0], sweep.forward_kl[0]], 0)


def test_a_symbol_that_was_never_seen_makes_the_divergence_infinite_one_way_only():
    p, q = np.array([0.5, 0.5]), np.array([1.0, 0.0])
    assert kl.divergence(p, q) == np.inf
    assert kl.divergence(q, p) == pytest.approx(np.log(2))
    assert kl.divergence(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == np.inf


def test_letters_are_counted_as_they_stand(result):
    text = letters(english())
    assert np.allclose(result.letter_share[0], [text.count(c) / len(text) for c in kl.ALPHABET])
    unread = {c for c in kl.ALPHABET if c not in text[:300]}
    table = tables(result)["letters"]
    assert set(table.letter[table.read == 0]) == unread
    assert result.summary["letters_missing"] == len(unread) > 0


def test_a_bowl_with_two_dips_has_two_basins():
    surface = np.array([[3.0, 1, 2, 4, 2], [3, 2, 3, 5, 0], [4, 3, 4, 6, 3]])
    assert set(kl.downhill(surface)) == {1, 9}
    assert kl.downhill(surface).reshape(3, 5)[2].tolist() == [1, 1, 1, 9, 9]


def test_contours_run_between_the_rows_where_the_height_is_passed():
    bowl = np.array([[4.0, np.nan], [2, 1], [0, 1], [1, 1]])
    low, high = kl.stretch(np.arange(4.0), bowl, 1.0)
    assert np.allclose(low, [1.5, 0.5])
    assert np.allclose(high, [3, 3])
    assert np.isnan(kl.stretch(np.arange(4.0), bowl, 0.5)[0]).tolist() == [False, True]


def test_a_likely_hump_takes_the_fit_without_a_jump():
    heavy = run(Settings(weight=0.9))
    assert np.isnan(heavy.crossing)
    assert heavy.summary["reverse_centre"] > 2.5


def test_the_challenges_have_the_answers_of_the_theory():
    answers = [challenge.answer(run(Settings(**challenge.settings))) for challenge in CHALLENGES]
    assert answers[0] == pytest.approx(5.6, abs=0.01)
    assert answers[1] == pytest.approx(17**0.5)
    assert answers[2] == kl._ENDS[2]
    assert CHALLENGES[2].answer(run(Settings(separation=4.8))) == kl._ENDS[0]
    assert CHALLENGES[2].answer(run(Settings(separation=6))) == kl._ENDS[1]


# --- negative control ---


def swept(which, **change):
    return lambda r: {which: getattr(r, which)._replace(**{k: v(r) for k, v in change.items()})}


def with_entry(name, index, value):
    def spoil(r):
        array = getattr(r, name).copy()
        array[index] = value
        return {name: array}

    return spoil


def never_chooses(r):
    centre = r.even.centre.copy()
    centre[25] = 0.0
    sd = r.even.sd.copy()
    sd[25] = sd[25, 0]
    return {"even": r.even._replace(centre=centre, sd=sd)}


SPOILED = [
    ("2.5-kl-01", lambda r: {"pairs": r.pairs * np.array([1.0, 1.2])[:, None, None]}),
    ("2.5-kl-01", lambda r: {"letter_cost": r.letter_cost * 1.0001}),
    ("2.5-kl-02", lambda r: {"triangle": np.sqrt(r.triangle)}),
    ("2.5-kl-02", lambda r: {"ties": -r.ties}),
    ("2.5-kl-03", lambda r: {"shifted": r.shifted * 2}),
    ("2.5-kl-03", with_entry("shifted", (2, 1), 3.2)),
    ("2.5-kl-04", swept("sweep", forward_sd=lambda r: r.sweep.sd[:, 1])),
    ("2.5-kl-04", swept("even", forward_sd=lambda r: r.even.forward_sd * 1.0001)),
    ("2.5-kl-04", lambda r: {"forward_minima": 2}),
    ("2.5-kl-04", lambda r: {"drawn_moments": r.drawn_moments * 1.1}),
    ("2.5-kl-05", lambda r: {"even_crossing": 4.0}),
    ("2.5-kl-05", never_chooses),
    ("2.5-kl-05", swept("even", kl=lambda r: r.even.kl[:, ::-1])),
    ("2.5-kl-05", lambda r: {"even_curvature": r.even_curvature * 0.99}),
    ("2.5-kl-05", swept("sweep", kl=lambda r: r.sweep.kl + 0.1)),
    ("2.5-kl-06", lambda r: {"codes": r.codes[::-1]}),
    ("2.5-kl-06", with_entry("bound", 2, -2.2655)),
    ("2.5-kl-07", lambda r: {"vowels": r.vowels[::-1]}),
    ("2.5-kl-07", lambda r: {"rewards": r.rewards * 1.001}),
    ("2.5-kl-07", lambda r: {"distilled": np.stack([r.distilled[0] * 0.99, r.distilled[1]])}),
]


@pytest.mark.parametrize(("claim_id", "spoil"), SPOILED)
def test_a_spoiled_result_refutes_its_claim(result, claim_id, spoil):
    assert claim(result, claim_id).verdict == "confirmed"
    assert claim(replace(result, **spoil(result)), claim_id).verdict == "refuted"


def test_a_target_may_have_any_number_of_humps():
    three = Target(np.full((1, 3), 1 / 3), np.array([[-5.0, 0, 5]]), np.ones((1, 3)))
    ends = kl.fit_reverse(np.array([-5.0, 0, 5]), np.ones(3), three)[-1]
    assert np.allclose(ends[0], [-5, 0, 5], atol=0.2)
    left, middle, right = kl.reverse_kl(ends[0], ends[1], kl.repeated(three, 3))
    assert left == pytest.approx(right)
    assert middle < left < np.log(3)  # two neighbours lend more than one
