"""Sampling and VI: against ArviZ's published formulas, quadrature, laws, and spoiled results."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from scipy import optimize, stats
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge

from experiments import mcmc_vi
from experiments.mcmc_vi import CHALLENGES, Settings, claims, run, tables
from lab.contract import bounds, choices

correlations = st.floats(-0.95, 0.95)


@pytest.fixture(scope="module")
def result():
    return run(Settings())


@pytest.fixture(scope="module")
def hmc():
    return run(Settings(sampler="HMC", step=0.03))


def claim(result, claim_id):
    return next(c for c in claims(result) if c.id == claim_id)


def verdicts(result):
    return [c.verdict for c in claims(result)]


def walks(seed, chains, n, memory):
    """Autoregressive chains (chains, n): each draw keeps ``memory`` of the one before."""
    noise = np.random.default_rng(seed).standard_normal((chains, n))
    for t in range(1, n):
        noise[:, t] = memory * noise[:, t - 1] + np.sqrt(1 - memory**2) * noise[:, t]
    return noise


# --- reference ---


def slow_ess(chains):
    """The effective sample size of Vehtari and others (2021), read off their section 3 and loop by loop."""
    half = chains.shape[1] // 2
    parts = [part for chain in chains for part in (chain[:half], chain[-half:])]
    m, n = len(parts), half
    means = [part.mean() for part in parts]
    covariance = np.array([
        [np.sum((p[: n - t] - mu) * (p[t:] - mu)) / n for t in range(n)]
        for p, mu in zip(parts, means, strict=True)
    ])  # fmt: skip
    within = np.mean(covariance[:, 0]) * n / (n - 1)
    pooled = within * (n - 1) / n + np.var(means, ddof=1)
    rho = [1.0] + [1 - (within - np.mean(covariance[:, t])) / pooled for t in range(1, n)]
    summed, last, t = 2.0 * (1 + rho[1]), 1 + rho[1], 1
    while True:  # over pairs of lags; the last one read counts with its even lag, once
        even, odd = rho[t + 1], rho[t + 2]
        if t + 2 >= n - 3 or even + odd <= 0:
            break
        last = min(last, even + odd)
        summed, t = summed + 2 * last, t + 2
    tau = -1 + summed + max(even, 0)
    return m * n / max(tau, 1 / np.log10(m * n))


def slow_r_hat(chains):
    """Rank-normalised split R-hat, the larger of the plain and the folded one (the same, section 4)."""
    half = chains.shape[1] // 2
    parts = np.array([part for chain in chains for part in (chain[:half], chain[-half:])])
    answers = []
    for values in (parts, abs(parts - np.median(parts))):
        order = stats.rankdata(values, axis=None).reshape(values.shape)
        z = stats.norm.ppf((order - 3 / 8) / (values.size + 1 / 4))
        between = half * np.var([row.mean() for row in z], ddof=1)
        within = np.mean([np.var(row, ddof=1) for row in z])
        answers.append(np.sqrt(((half - 1) / half * within + between / half) / within))
    return max(answers)


@pytest.mark.parametrize(("chains", "n", "memory"), [(1, 400, 0.9), (2, 501, 0.5), (4, 300, -0.6)])
def test_ess_and_r_hat_equal_the_published_formulas(chains, n, memory):
    drawn = walks(chains, chains, n, memory)
    assert mcmc_vi.effective_size(drawn) == pytest.approx(slow_ess(drawn))
    assert mcmc_vi.r_hat(drawn) == pytest.approx(slow_r_hat(drawn))
    apart = drawn + 3 * np.arange(chains)[:, None]
    assert mcmc_vi.effective_size(apart) == pytest.approx(slow_ess(apart))
    assert mcmc_vi.r_hat(apart) == pytest.approx(slow_r_hat(apart))


def test_the_diagnostics_of_the_shown_chains_are_those_formulas(result):
    kept = result.path[:, result.warm_up :, 0]
    assert result.r_hat == pytest.approx(slow_r_hat(kept))
    assert result.ess == pytest.approx(mcmc_vi.effective_size(kept))


@pytest.mark.parametrize("pair", choices(Settings.model_fields["pair"]))
def test_the_posterior_mean_is_ridge_regression(pair):
    features, score = load_diabetes(return_X_y=True)
    columns = [load_diabetes().feature_names.index(name) for name in pair.split(", ")]
    scaled = features[:, columns] / features[:, columns].std(axis=0)
    model = Ridge(alpha=0.8, fit_intercept=False).fit(scaled, (score - score.mean()) / score.std())
    target = mcmc_vi.choose(Settings(pair=pair))
    assert np.allclose(target.mean, model.coef_)
    assert np.allclose(np.linalg.inv(target.cov), scaled.T @ scaled / 0.8 + np.eye(2))


@pytest.mark.parametrize("target", [mcmc_vi.gaussian(-0.6), mcmc_vi.two_modes(2.0)], ids=["one", "two"])
def test_density_slope_normaliser_and_moments_agree_with_quadrature(target):
    axis = np.linspace(-9, 9, 361)
    x = np.stack(np.meshgrid(axis, axis)).reshape(2, -1)
    p = np.exp(mcmc_vi.log_density(target, x) - mcmc_vi.log_normaliser(target)) * (axis[1] - axis[0]) ** 2
    assert p.sum() == pytest.approx(1)
    assert np.allclose((x * p) @ x.T, target.cov)
    at, tiny = np.array([0.7, -0.4]), 1e-6
    numeric = optimize.approx_fprime(at, lambda v: mcmc_vi.log_density(target, v[:, None])[0], tiny)
    assert np.allclose(mcmc_vi.slope(target, at[:, None])[:, 0], numeric, atol=1e-5)


def test_the_density_is_the_likelihood_of_the_patients_times_the_prior():
    features, score = load_diabetes(return_X_y=True)
    x = features[:, [4, 5]] / features[:, [4, 5]].std(axis=0)
    y = (score - score.mean()) / score.std()
    places = np.array([[0.1, 0.3, -0.2], [0.0, -0.1, 0.4]])
    exact = [
        stats.norm.logpdf(y, x @ beta, np.sqrt(0.8)).sum() + stats.norm.logpdf(beta).sum()
        for beta in places.T
    ]
    found = mcmc_vi.log_density(mcmc_vi.choose(Settings()), places)
    assert np.allclose(np.diff(found), np.diff(exact))


@pytest.mark.parametrize(("rho", "step"), [(0.9, 0.3), (-0.5, 2.0)])
def test_acceptance_and_first_autocorrelation_of_mh_are_those_of_quadrature(rho, step):
    target = mcmc_vi.gaussian(rho)

    axis = np.linspace(-7, 7, 1000) * step
    jump = np.stack(np.meshgrid(axis, axis)).reshape(2, -1)
    weight = stats.norm.pdf(jump, scale=step).prod(axis=0) * (axis[1] - axis[0]) ** 2
    chance = 2 * stats.norm.cdf(-np.sqrt((jump * (target.precision @ jump)).sum(axis=0)) / 2)
    rate, square = weight @ chance, weight @ (chance * jump[0] ** 2)
    acceptance, lag_1 = mcmc_vi.metropolis_theory(target, np.array([step]))
    assert acceptance[0] == pytest.approx(rate, abs=1e-4)
    assert lag_1[0] == pytest.approx(1 - square / 2, abs=1e-4)


@pytest.mark.parametrize("step", [0.2, 0.5, 0.62, 0.9])
def test_acceptance_of_hmc_is_that_of_many_stationary_trajectories(step):
    target, rng = mcmc_vi.gaussian(0.9), np.random.default_rng(0)
    x, p = (
        np.linalg.cholesky(target.cov) @ rng.standard_normal((2, 200_000)),
        rng.standard_normal((2, 200_000)),
    )
    end, last = mcmc_vi.leapfrog(target, x, p, np.full(200_000, step))
    gain = (
        mcmc_vi.log_density(target, end) - mcmc_vi.log_density(target, x) + ((p**2 - last**2) / 2).sum(axis=0)
    )
    measured = np.minimum(1, np.exp(np.minimum(gain, 0)))
    tolerance = 4 * measured.std() / np.sqrt(200_000) + 1e-4  # the angles of the theory are on a grid
    assert mcmc_vi.hamiltonian_theory(target, np.array([step]))[0] == pytest.approx(
        measured.mean(), abs=tolerance
    )


@pytest.mark.parametrize(("mode", "start"), [(2.0, 0.5), (2.5, -4.0), (4.0, 1.0)])
def test_vi_of_two_modes_is_at_a_minimum_found_by_grid_and_simplex(mode, start):
    target, x = mcmc_vi.two_modes(mode), np.linspace(-22, 22, 4001)
    p = (stats.norm.pdf(x, -mode) + stats.norm.pdf(x, mode)) / 2

    def kl(q):  # of the first coordinate; the second is fitted without a rest
        density = stats.norm.pdf(x, q[0], np.exp(q[1]))
        return np.sum(density * (stats.norm.logpdf(x, q[0], np.exp(q[1])) - np.log(p))) * (x[1] - x[0])

    found = mcmc_vi.fit_mean_field(target, np.array([start, 1.0]), np.ones(2))[-1]
    best = optimize.minimize(kl, [found[1], np.log(found[3])], method="Nelder-Mead", tol=1e-9)
    assert found[0] == pytest.approx(best.fun, abs=1e-6)
    assert found[[1, 3]] == pytest.approx([best.x[0], np.exp(best.x[1])], abs=1e-3)
    assert found[4] == pytest.approx(1)


# --- invariant ---


@examples(max_examples=40, deadline=None)
@given(correlations)
def test_mean_field_is_the_conditional_spread_and_no_other_upright_gaussian_is_closer(rho):
    target = mcmc_vi.gaussian(rho)
    kl, *_, sd_1, sd_2 = mcmc_vi.fit_mean_field(target, np.array([2.0, -1.0]), np.array([2.0, 0.5]))[-1]
    assert (sd_1**2, sd_2**2) == pytest.approx((1 - rho**2, 1 - rho**2))
    assert kl == pytest.approx(-np.log(1 - rho**2) / 2, abs=1e-9)
    for scale in ((1.05, 1), (0.95, 1), (1.03, 1.03), (0.97, 0.97)):
        variance = np.diag(np.array([sd_1, sd_2]) * scale) ** 2
        other = np.trace(target.precision @ variance) - 2 - np.linalg.slogdet(target.precision @ variance)[1]
        assert other / 2 > kl


@examples(max_examples=60, deadline=None)
@given(st.floats(-0.8, 0.8), st.integers(0, 99))
def test_leapfrog_runs_backwards_to_where_it_came_from(rho, seed):
    target, rng = mcmc_vi.gaussian(rho), np.random.default_rng(seed)
    x, p, step = rng.standard_normal((2, 5)), rng.standard_normal((2, 5)), np.full(5, 0.2)
    end, last = mcmc_vi.leapfrog(target, x, p, step)
    back, first = mcmc_vi.leapfrog(target, end, -last, step)
    assert np.allclose(back, x)
    assert np.allclose(first, -p)


@pytest.mark.parametrize("name", ["MH", "HMC"])
def test_draws_have_the_moments_of_the_target(name):
    target, rng = mcmc_vi.two_modes(1.5), np.random.default_rng(1)
    start = rng.standard_normal((2, 400))
    drawn = mcmc_vi.SAMPLERS[name](target, start, np.full(400, 1.2 if name == "MH" else 0.2), 400, rng)
    kept = drawn.path[200:]
    covariance = np.einsum("nib,njb->ijb", kept, kept) / len(kept)
    error = covariance.std(axis=-1) / 20  # of the mean over 400 chains
    assert np.all(np.abs(covariance.mean(axis=-1) - target.cov) < 4 * error)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "other",
    [
        {"sampler": "HMC", "step": 0.03},
        {"pair": "bmi, s5", "step": 0.07, "noise": 0.5},
        {"target": "correlation 0.9", "step": 1.0, "starts": "together"},
    ],
    ids=str,
)
def test_claims_hold_at_other_settings(seed, other):
    assert verdicts(run(Settings(seed=seed, **other))) == ["confirmed", "confirmed"]


# --- known case ---


def test_the_published_acceptance_and_spreads_of_the_default(result):
    rates = mcmc_vi.metropolis_theory(result.target, np.array([0.01, 0.1, 1.0]))[0]
    assert rates.round(2).tolist() == [0.89, 0.3, 0.01]
    assert round(result.summary["sd_mean_field"], 4) == 0.0425
    assert round(result.summary["sd_exact"], 4) == 0.0953


def test_a_sum_of_autocorrelations_worked_by_hand():
    # Pairs 1.5, 0.5, then 0.6 which may not rise above 0.5, then -0.1: stop. 2·2.5 - 1 + 0 = 4.
    rho = np.array([1, 0.5, 0.25, 0.25, 0.3, 0.3, -0.1, 0.0, 0.0])
    assert mcmc_vi.geyer(rho) == (pytest.approx(4.0), 6)


def test_a_chain_that_keeps_nine_tenths_is_worth_a_nineteenth():
    drawn = walks(0, 4, 20_000, 0.9)
    assert mcmc_vi.effective_size(drawn) == pytest.approx(80_000 * 0.1 / 1.9, rel=0.15)
    assert mcmc_vi.autocovariance(np.array([1.0, -1.0, 2.0, -2.0])) == pytest.approx([2.5, -1.75, 1, -0.5])


def test_the_mean_field_ellipse_meets_the_true_one_on_the_axes_and_sticks_out_across(result):
    cov, sd = mcmc_vi.gaussian(0.9).cov, np.sqrt(0.19)
    on_axis = np.array([sd, 0.0])
    assert on_axis @ np.linalg.inv(cov) @ on_axis == pytest.approx(1)
    across = sd * np.array([1, -1]) / np.sqrt(2)
    assert across @ np.linalg.inv(cov) @ across == pytest.approx(1.9)
    along = sd * np.array([1, 1]) / np.sqrt(2)
    assert along @ np.linalg.inv(cov) @ along == pytest.approx(0.1)
    ring = (
        tables(result)["rings"].query("kind == 'theory' and ring.str.endswith(' 1')")[["x", "y"]].to_numpy()
    )
    away = ring - result.target.mean
    assert np.einsum("ni,ij,nj->n", away, result.target.precision, away) == pytest.approx(1)


def test_the_challenges_have_the_answers_of_the_formulas():
    answers = [challenge.answer(run(Settings(**challenge.settings))) for challenge in CHALLENGES]
    assert answers[0] == pytest.approx(np.sqrt(0.19))
    assert answers[1] == pytest.approx(0.0084, abs=0.003)
    assert answers[2] == "about 1: all is well"
    assert CHALLENGES[2].answer(run(Settings(target="two modes", step=1.0))).startswith("well above 1")


# --- special cases ---


def test_chains_in_one_of_two_modes_look_well_and_are_not():
    fooled = run(Settings(target="two modes", step=1.0, starts="together"))
    assert fooled.r_hat < 1.01
    assert fooled.ess > 400
    assert fooled.summary["right_share"] == 0
    assert "has not mixed" in claim(fooled, "2.4-mcmc-01").unmet
    assert claim(fooled, "2.4-vi-01").verdict == "not at these settings"
    assert fooled.summary["kl_mean_field"] == pytest.approx(np.log(2))  # one mode of two, perfectly


def test_modes_that_touch_are_both_found():
    close = run(Settings(target="two modes", mode=2, step=2.0, starts="together"))
    assert verdicts(close)[0] == "confirmed"
    assert close.summary["right_share"] == pytest.approx(0.5, abs=0.1)


def test_a_step_past_the_edge_of_stability_accepts_nothing():
    stuck = run(Settings(sampler="HMC", step=2.0))
    assert stuck.summary["acceptance"] == 0
    assert np.isnan(stuck.ess)
    assert "too large" in claim(stuck, "2.4-mcmc-01").unmet
    assert verdicts(stuck)[1] == "confirmed"


ENDS = [
    {field: end} for field, info in Settings.model_fields.items() for end in (choices(info) or bounds(info))
]


@pytest.mark.parametrize("extreme", ENDS, ids=str)
def test_the_ends_of_every_control_run(extreme):
    outcome = run(Settings(**{"draws": 2000, **extreme}))
    assert "refuted" not in verdicts(outcome)
    assert sum(len(frame) for frame in tables(outcome).values()) < 8000


# --- negative control ---


@pytest.mark.parametrize(
    ("claim_id", "spoil"),
    [
        ("2.4-mcmc-01", lambda r: {"errors": r.errors * 1.5}),
        ("2.4-mcmc-01", lambda r: {"errors": r.errors / 2}),
        ("2.4-mcmc-01", lambda r: {"tau": 1.0}),  # as if the draws were independent
        ("2.4-mcmc-01", lambda r: {"tau": r.tau / 2.5}),
        ("2.4-mcmc-01", lambda r: {"other_mode": np.eye(20, 1000)}),
        ("2.4-mcmc-01", lambda r: {"acceptance": r.acceptance * 1.02}),
        ("2.4-mcmc-01", lambda r: {"settings": Settings(step=0.12)}),
        ("2.4-mcmc-01", lambda r: {"summary": {**r.summary, "mean": r.summary["mean"] + 0.03}}),
        ("2.4-mcmc-01", lambda r: {"target": mcmc_vi.choose(Settings(noise=2.0))}),
        ("2.4-vi-01", lambda r: {"fit": r.fit * [1, 1, 1, 1.001, 1]}),
        ("2.4-vi-01", lambda r: {"fit": r.fit * [1, 1, 1, 1, 1.001]}),
        ("2.4-vi-01", lambda r: {"fit": r.fit * [1.000001, 1, 1, 1, 1]}),
        ("2.4-vi-01", lambda r: {"fit": r.fit[:3]}),
        ("2.4-vi-01", lambda r: {"fit_reference": np.ones(2)}),
        ("2.4-vi-01", lambda r: {"target": mcmc_vi.choose(Settings(noise=0.84))}),
    ],
)
def test_a_spoiled_result_refutes_its_claim(result, claim_id, spoil):
    assert claim(result, claim_id).verdict == "confirmed"
    assert claim(replace(result, **spoil(result)), claim_id).verdict == "refuted"


def test_a_spoiled_run_of_hmc_refutes_its_claim(hmc):
    assert claim(hmc, "2.4-mcmc-01").verdict == "confirmed"
    for spoiled in ({"acceptance": hmc.acceptance * 0.98}, {"errors": hmc.errors * 2}):
        assert claim(replace(hmc, **spoiled), "2.4-mcmc-01").verdict == "refuted"
