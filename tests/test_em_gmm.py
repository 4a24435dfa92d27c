"""EM on a Gaussian mixture: against scikit-learn and SciPy, its laws, worked cases, spoiled results."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from experiments import em_gmm
from experiments.em_gmm import Mixture, Settings, claims, run, tables

KINDS = ("full", "tied", "diagonal", "spherical")
SKLEARN_KIND = {"full": "full", "tied": "tied", "diagonal": "diag", "spherical": "spherical"}


@pytest.fixture(scope="module")
def result():
    return run(Settings())


def random_mixture(rng, k, d, size=1):
    spread = rng.standard_normal((size, k, d, 2 * d))
    weights = rng.dirichlet(np.ones(k), size)
    return Mixture(weights, rng.standard_normal((size, k, d)), spread @ spread.swapaxes(-1, -2) / (2 * d))


def by_sklearn(data, start, kind, floor, steps):
    """The mixture of scikit-learn after so many steps from the same start."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    precisions = np.linalg.inv(start.covariances[0])
    own = {
        "full": precisions,
        "tied": precisions[0],
        "diagonal": np.diagonal(precisions, axis1=-2, axis2=-1),
        "spherical": precisions[:, 0, 0],
    }[kind]
    model = GaussianMixture(
        start.weights.shape[1], covariance_type=SKLEARN_KIND[kind], reg_covar=floor, max_iter=steps, tol=0.0,
        weights_init=start.weights[0], means_init=start.means[0], precisions_init=own,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(data)


def as_full(model, kind, k, d):
    return {
        "full": lambda c: c,
        "tied": lambda c: np.tile(c, (k, 1, 1)),
        "diagonal": lambda c: c[..., None] * np.eye(d),
        "spherical": lambda c: c[:, None, None] * np.eye(d),
    }[kind](model.covariances_)


# --- Reference ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("begin", ["random", "k-means"])
@pytest.mark.parametrize("data", ["iris", "wine", "mixture"])
@pytest.mark.parametrize("kind", KINDS)
def test_parameters_equal_those_of_scikit_learn_from_the_same_start(kind, data, begin):
    points, _, _, _ = em_gmm.load(Settings(data=data))
    means = em_gmm.starting_points(points, 3, 1, np.random.default_rng(0))
    start = em_gmm.begin_at(points, means, begin, kind, 1e-6)
    end = em_gmm.climb(points, start, kind, 1e-6, 25, settled=-1).end
    model = by_sklearn(points, start, kind, 1e-6, 25)
    assert end.weights[0] == pytest.approx(model.weights_, abs=1e-6)
    assert end.means[0] == pytest.approx(model.means_, abs=1e-6)
    assert end.covariances[0] == pytest.approx(as_full(model, kind, 3, points.shape[1]), abs=1e-6)
    assert np.abs(end.means - start.means).max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_run_ends_where_scikit_learn_does(kind):
    result = run(Settings(covariance=kind, begin="k-means"))
    start = Mixture(result.weights[:1], result.means[:1], result.covariances[:1])
    model = by_sklearn(result.data, start, kind, 1e-6, len(result.weights) - 1)
    assert result.weights[-1] == pytest.approx(model.weights_, abs=1e-6)
    assert result.means[-1] == pytest.approx(model.means_, abs=1e-6)
    assert result.covariances[-1] == pytest.approx(as_full(model, kind, 3, 4), abs=1e-6)
    assert result.log_likelihood[-1] == pytest.approx(model.score(result.data) * 150, abs=1e-6)
    assert result.responsibilities[-1] == pytest.approx(model.predict_proba(result.data), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_and_criteria_are_counted_as_scikit_learn_counts_them(kind):
    rng = np.random.default_rng(0)
    data = rng.standard_normal((80, 3))
    start = em_gmm.begin_at(data, data[None, :4], "random", kind, 1e-6)
    model = by_sklearn(data, start, kind, 1e-6, 5)
    parameters = em_gmm.free_parameters(4, 3, kind)
    assert parameters == model._n_parameters()
    aic, bic = em_gmm.aic_bic(np.array(model.score(data) * 80), np.array(parameters), 80)
    assert (aic, bic) == pytest.approx((model.aic(data), model.bic(data)))


def test_joint_density_equals_that_of_scipy():
    rng = np.random.default_rng(1)
    mixture, data = random_mixture(rng, 3, 4, size=2), rng.standard_normal((20, 4))
    joint = em_gmm.log_joint(data, mixture)
    for s in range(2):
        for k in range(3):
            normal = multivariate_normal(mixture.means[s, k], mixture.covariances[s, k])
            expected = np.log(mixture.weights[s, k]) + normal.logpdf(data)
            assert joint[s, k] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_k_means_equals_that_of_scikit_learn_from_the_same_start(seed):
    from sklearn.cluster import KMeans

    rng = np.random.default_rng(seed)
    data = rng.standard_normal((120, 2))
    means = data[rng.choice(120, 4, replace=False)]
    path, inertia = em_gmm.lloyd(data, means[None])
    model = KMeans(4, init=means, n_init=1, algorithm="lloyd", tol=0.0).fit(data)
    assert np.array_equal(path[-1][0], model.labels_)
    assert inertia[0] == pytest.approx(model.inertia_)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=4, max_size=40))
def test_agreement_of_partitions_equals_that_of_scikit_learn(pairs):
    from sklearn.metrics import adjusted_rand_score

    a, b = np.array(pairs).T
    assert em_gmm.adjusted_rand_index(a, b) == pytest.approx(adjusted_rand_score(a, b), abs=1e-12)


def test_data_equal_those_of_scikit_learn():
    from sklearn.datasets import load_iris, load_wine
    from sklearn.preprocessing import StandardScaler

    bunch = load_wine()
    names = [bunch.feature_names.index(n) for n in ("alcohol", "color_intensity", "flavanoids", "proline")]
    data, label, _, _ = em_gmm.load(Settings(data="wine"))
    assert data == pytest.approx(StandardScaler().fit_transform(bunch.data[:, names]), abs=1e-12)
    assert np.array_equal(label, bunch.target)
    assert np.array_equal(em_gmm.load(Settings())[0], load_iris().data)


def test_an_end_is_a_stationary_point_of_the_likelihood(result):
    """The gradient in means, Cholesky factors and log-weights, by differences of SciPy's density."""
    lower = np.tril_indices(4)
    factors = np.linalg.cholesky(result.covariances)[:, :, *lower]  # (T + 1, 3, 10)

    def log_likelihood(theta):
        weights, means, factor = theta[:, 0], theta[:, 1:5], np.zeros((3, 4, 4))
        factor[:, *lower] = theta[:, 5:]
        normals = [multivariate_normal(m, f @ f.T) for m, f in zip(means, factor, strict=True)]
        log_w = weights - logsumexp(weights)
        return logsumexp(
            [w + n.logpdf(result.data) for w, n in zip(log_w, normals, strict=True)], axis=0
        ).sum()

    def gradient(step):
        parts = [np.log(result.weights[step])[:, None], result.means[step], factors[step]]
        theta, slopes = np.concatenate(parts, axis=1), np.zeros((3, 15))
        for i in np.ndindex(3, 15):
            change = np.zeros((3, 15))
            change[i] = 1e-5
            slopes[i] = (log_likelihood(theta + change) - log_likelihood(theta - change)) / 2e-5
        return np.abs(slopes).max()

    assert result.collapsed_components == ()
    # The run stops once a step gains less than 1e-7, and there is a floor of 1e-6.
    assert gradient(-1) < 0.1 < 100 < gradient(0)


# --- Invariants ---------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 10_000), st.sampled_from(KINDS), st.integers(1, 5), st.integers(1, 3),
    st.sampled_from([1e-9, 1e-4, 1e-2, 1.0]),
)  # fmt: skip
def test_likelihood_never_falls_by_more_than_the_floor_costs(seed, kind, k, d, floor):
    rng = np.random.default_rng(seed)
    data = rng.standard_normal((40, d)) + 3 * rng.integers(0, 2, (40, 1))
    start = random_mixture(rng, k, d, size=3)
    if kind == "tied":
        start = start._replace(covariances=np.repeat(start.covariances[:, :1], k, axis=1))
    climbed = em_gmm.climb(data, start, kind, floor, 30)
    assert climbed.excess.min() >= -1e-9 * np.nanmax(np.abs(climbed.history))
    assert np.array_equal(climbed.fall < 0, np.nanmin(np.diff(climbed.history), axis=1) < 0)


@pytest.mark.parametrize("kind", KINDS)
def test_m_step_without_a_floor_maximises_the_bound(kind):
    rng = np.random.default_rng(2)
    data = rng.standard_normal((60, 2))
    r = rng.dirichlet(np.ones(3), 60).T[None]
    best = em_gmm.m_step(data, r, kind, 0.0)
    top = em_gmm.elbo(em_gmm.log_joint(data, best), r)[0]
    for _ in range(50):
        near = em_gmm.m_step(data, np.abs(r + 0.05 * rng.standard_normal(r.shape)), kind, 0.0)
        assert (
            em_gmm.elbo(em_gmm.log_joint(data, near._replace(weights=near.weights / near.weights.sum())), r)[
                0
            ]
            <= top + 1e-9
        )


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 4))
def test_bound_and_divergence_add_up_to_the_likelihood_for_any_shares(seed, k, d):
    rng = np.random.default_rng(seed)
    data, mixture = rng.standard_normal((15, d)), random_mixture(rng, k, d)
    q = rng.dirichlet(np.ones(k) / 2, 15).T[None]
    joint = em_gmm.log_joint(data, mixture)
    r, log_likelihood = em_gmm.e_step(data, mixture)
    total = em_gmm.elbo(joint, q) + em_gmm.divergence(joint, q)
    assert total == pytest.approx(log_likelihood, rel=1e-9)
    assert em_gmm.divergence(joint, q) >= -1e-9
    assert em_gmm.divergence(joint, r) == pytest.approx(0, abs=1e-9)
    assert r.sum(axis=1) == pytest.approx(np.ones((1, 15)))


@pytest.mark.parametrize("begin", ["random", "k-means", "point"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_start_alone_climbs_as_it_does_among_others(kind, begin):
    result = run(Settings(covariance=kind, begin=begin, starts=6, watch=4))
    history = result.history[3]
    assert result.log_likelihood == pytest.approx(history[np.isfinite(history)], rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_covariances_have_the_shape_of_their_kind(kind):
    result = run(Settings(covariance=kind, starts=2))
    last = result.covariances[-1]
    if kind == "tied":
        assert np.ptp(last, axis=0).max() == 0
    if kind in ("diagonal", "spherical"):
        assert np.abs(last[:, ~np.eye(4, dtype=bool)]).max() == 0
    if kind == "spherical":
        assert np.ptp(np.diagonal(last, axis1=1, axis2=2), axis=1).max() == 0


@pytest.mark.parametrize("data", ["iris", "wine", "mixture"])
def test_as_the_variance_goes_to_zero_the_assignments_are_those_of_k_means(data):
    for seed in range(5):
        points, _, _, _ = em_gmm.load(Settings(data=data, seed=seed))
        means = np.random.default_rng(seed).standard_normal((4, points.shape[1])) + points.mean(axis=0)
        agreement, sharpness, differences = em_gmm.limit_of_k_means(points, means)
        assert differences == 0
        assert agreement[-1] == 1
        assert sharpness[-1] == pytest.approx(1)
        assert sharpness[0] < 0.9


@pytest.mark.parametrize("seed", range(3))
def test_random_starts_end_in_different_places_and_seeds_differ(seed):
    result = run(Settings(seed=seed))
    assert result.summary["different_ends"] > 1
    assert not np.array_equal(result.ends, run(Settings(seed=seed + 1)).ends)


def test_bound_touches_after_each_e_step_and_is_below_in_between(result):
    assert result.elbo_after_e == pytest.approx(result.log_likelihood, rel=1e-12)
    assert (result.elbo_after_m <= result.log_likelihood[1:] + 1e-9).all()
    assert (result.elbo_after_m >= result.elbo_after_e[:-1] - 1e-3).all()  # up to the cost of the floor


@pytest.mark.parametrize("long", [False, True])
def test_every_frame_shows_the_half_step_it_says(long):
    options = {"data": "mixture", "components": 8, "points": 500, "starts": 1} if long else {}
    result = run(Settings(**options))
    made = tables(result)
    frames = made["frames"]
    assert (np.diff(frames.frame) == 1).all()
    assert set(np.diff(frames.step)) <= {0, 1} or long
    assert len(result.kept) == len(result.log_likelihood) + 1 or long
    for table, column in (("ellipses", "at"), ("responsibilities", "shares")):
        rows = made[table].groupby("step")[["first_frame", "last_frame"]].first()
        for frame, step in zip(frames.frame, frames[column], strict=True):
            shown = rows[(rows.first_frame <= frame) & (frame <= rows.last_frame)]
            assert list(shown.index) == [step]
    assert sum(len(table) for table in made.values()) <= 40_000


def test_ellipse_lies_two_standard_deviations_from_its_mean(result):
    drawn = em_gmm.ellipses(result, 0, 2)
    last = drawn[(drawn.step == drawn.step.max()) & (drawn.component == 2)].squeeze()
    assert last[["mean_x", "mean_y"]].to_list() == result.means[-1, 1, [0, 2]].tolist()
    t = np.linspace(0, 2 * np.pi, 40)
    away = np.stack([last.cos_x * np.cos(t), last.cos_y * np.cos(t) + last.sin_y * np.sin(t)], axis=1)
    precision = np.linalg.inv(result.covariances[-1, 1][np.ix_([0, 2], [0, 2])])
    assert np.einsum("vi,ij,vj->v", away, precision, away) == pytest.approx(np.full(len(away), 4.0))


# --- Known cases --------------------------------------------------------------------------------------


def test_one_step_worked_by_hand():
    """Points 0 and 2, unit Gaussians on them: the log-odds are 2 and -2, the larger share 1 / (1 + e^-2)."""
    data = np.array([[0.0], [2.0]])
    start = Mixture(np.full((1, 2), 0.5), np.array([[[0.0], [2.0]]]), np.ones((1, 2, 1, 1)))
    share = 1 / (1 + np.exp(-2))
    r, log_likelihood = em_gmm.e_step(data, start)
    assert r[0] == pytest.approx(np.array([[share, 1 - share], [1 - share, share]]))
    density = (1 + np.exp(-2)) / (2 * np.sqrt(2 * np.pi))
    assert log_likelihood[0] == pytest.approx(2 * np.log(density))
    after = em_gmm.m_step(data, r, "full", 0.5)
    assert after.weights[0] == pytest.approx([0.5, 0.5])
    assert after.means[0, :, 0] == pytest.approx([2 * (1 - share), 2 * share])
    assert after.covariances[0, :, 0, 0] == pytest.approx([4 * share * (1 - share) + 0.5] * 2)


def test_one_component_is_the_sample_mean_and_covariance_after_one_step():
    result = run(Settings(components=1, starts=1, floor=1e-9))
    assert result.means[1, 0] == pytest.approx(result.data.mean(axis=0))
    assert result.covariances[1, 0] == pytest.approx(np.cov(result.data.T, bias=True), abs=1e-8)
    n, d = result.data.shape
    determinant = np.linalg.slogdet(np.cov(result.data.T, bias=True))[1]
    assert result.log_likelihood[-1] == pytest.approx(
        -n / 2 * (d * np.log(2 * np.pi) + determinant + d), abs=1e-4
    )


def test_bic_on_iris_is_that_of_fraley_and_raftery(result):
    """Published for the R package mclust, model VVV, up to the sign: 829.98, 574.02 and 580.84."""
    bic = tables(result)["model_selection"].bic
    assert list(bic[:3].round(2)) == [829.98, 574.02, 580.84]
    assert result.summary["bic_best_components"] == 2


def test_the_cost_of_a_floor_worked_by_hand():
    """One component of variance 3 + 1 in one column: n/2 (log(4/3) - 1/4)."""
    mixture = Mixture(np.ones((1, 1)), np.zeros((1, 1, 1)), np.full((1, 1, 1, 1), 4.0))
    assert em_gmm.floor_cost(mixture, 10, np.array([1.0])) == pytest.approx(5 * (np.log(4 / 3) - 0.25))


def test_agreement_of_partitions_worked_by_hand():
    """Sizes 2, 2 against 1, 3: one pair together in both, expected 2 * 3 / 6 = 1, as by chance."""
    assert em_gmm.adjusted_rand_index(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])) == pytest.approx(0)
    assert em_gmm.adjusted_rand_index(np.array([0, 0, 1, 1]), np.array([5, 5, 3, 3])) == 1


def test_a_component_on_one_point_is_held_by_the_floor_and_named():
    high, low = (run(Settings(begin="point", starts=1, watch=1, floor=f)) for f in (1e-6, 1e-8))
    assert high.collapsed_components == (1,)
    assert high.covariances[-1, 0] == pytest.approx(1e-6 * np.eye(4), abs=1e-12)
    assert tables(high)["components"].collapsed.tolist() == [True, False, False]
    # Width is the root of the floor: two decades of the floor are one of the width, in each of 4 columns.
    assert low.ends[0] - high.ends[0] == pytest.approx(4 * np.log(10), abs=1e-3)


def test_a_high_floor_sets_the_collapsed_component_free():
    result = run(Settings(begin="point", starts=1, watch=1, floor=0.1))
    assert result.weights[-1, 0] * 150 > 10


def test_a_floor_of_a_hundredth_lets_the_likelihood_fall_and_none_does_not():
    at = dict(zip(em_gmm.FLOORS, em_gmm.floor_sweep()[0], strict=True))
    assert at[0.0] >= -1e-9
    assert at[1e-2] < -0.05
    assert (tables(run(Settings(floor=0.01)))["starts"].monotone == 0).any()


def test_clouds_far_apart_are_found_and_coinciding_ones_are_not():
    far = run(Settings(data="mixture", separation=8, begin="k-means"))
    assert far.summary["agreement_with_labels"] > 0.98
    assert run(Settings(data="mixture", separation=0)).summary["agreement_with_labels"] < 0.3


def test_best_start_passes_over_a_collapsed_one():
    assert em_gmm.best_start(np.array([-5.0, 100.0, -3.0]), np.array([0, 1, 0])) == 2
    assert em_gmm.best_start(np.array([-5.0, 100.0, -3.0]), np.array([1, 1, 2])) == 1


def test_ends_are_the_same_up_to_a_hundredth_of_a_nat():
    assert em_gmm.distinct(np.array([-2.0, -1.0, -2.004, -1.001])).tolist() == [1, 0, 1, 0]


def test_a_start_that_does_not_exist_cannot_be_watched():
    with pytest.raises(ValidationError, match="watch = 6"):
        Settings(starts=5, watch=6)
    assert run(Settings(starts=5, watch=5)).watched == 4


def test_every_challenge_has_an_answer_of_its_options():
    for challenge in em_gmm.CHALLENGES:
        answer = challenge.answer(run(Settings(**challenge.settings)))
        assert answer in challenge.options if challenge.options else answer > 1


# --- Claims, and negative controls --------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_every_claim_is_confirmed(seed):
    assert [c.verdict for c in claims(run(Settings(seed=seed)))] == ["confirmed"] * 5


@pytest.mark.slow
@pytest.mark.parametrize("data", ["iris", "wine", "mixture"])
def test_every_claim_is_confirmed_far_from_the_defaults(data):
    for kind, begin in zip(KINDS, ("point", "random", "k-means", "point"), strict=True):
        for components, floor in ((1, 1e-9), (8, 0.1), (6, 1e-9)):
            chosen = Settings(
                data=data,
                begin=begin,
                covariance=kind,
                components=components,
                floor=floor,
                starts=2,
                points=100,
            )
            refuted = [c.id for c in claims(run(chosen)) if c.verdict != "confirmed"]
            assert refuted == []


SPOILED = {
    "a fall beyond the cost of the floor": (0, lambda r: {"excess": r.excess - 1e-3}),
    "a fall without a floor": (0, lambda r: {"floor_fall": r.floor_fall - np.eye(len(r.floor_fall))[0]}),
    "no fall with a floor": (0, lambda r: {"floor_fall": 0 * r.floor_fall}),
    "a fall with a floor that costs less": (0, lambda r: {"floor_allowed": r.floor_allowed * 0}),
    "one end only": (1, lambda r: {"reference_ends": np.full(20, -180.19)}),
    "another end from k-means": (1, lambda r: {"reference_from_k_means": -186.57}),
    "another agreement": (1, lambda r: {"reference_agreement": (0.85, 0.730)}),
    "k-means as good": (1, lambda r: {"reference_agreement": (0.904, 0.904)}),
    "a wrong boundary": (2, lambda r: {"boundary": 0.31}),
    "shares that do not sum to 1": (2, lambda r: {"responsibilities": r.responsibilities * 1.001}),
    "a point assigned otherwise": (2, lambda r: {"limit_differences": 1}),
    "a likelihood with a ceiling": (3, lambda r: {"collapse": np.minimum(r.collapse, r.collapse[:, 9:10])}),
    "all columns gain as much as one": (3, lambda r: {"collapse": r.collapse[[0, 0]]}),
    "a divergence that is off": (4, lambda r: {"random_divergence": r.random_divergence + 1e-3}),
    "a bound above": (
        4, lambda r: {"random_elbo": r.log_likelihood[-1] + 1, "random_divergence": -1.0},
    ),
    "a bound that does not touch": (4, lambda r: {"elbo_after_e": r.elbo_after_e - 1e-3}),
    "a bound above in between": (4, lambda r: {"elbo_after_m": r.elbo_after_m + 100}),
    "another likelihood": (4, lambda r: {"log_likelihood": r.log_likelihood + 1e-3}),
}  # fmt: skip


@pytest.mark.parametrize("how", SPOILED)
def test_a_spoiled_result_is_refuted(result, how):
    index, spoil = SPOILED[how]
    assert claims(replace(result, **spoil(result)))[index].verdict == "refuted"


@pytest.mark.parametrize(("n", "d"), [(500, 1), (3000, 2), (5000, 4)])
def test_em_for_many_points_climbs_like_the_plain_formula(n, d):
    rng = np.random.default_rng(n)
    data = 50 + rng.normal(size=(3, d))[rng.integers(3, size=n)] * 4 + rng.normal(size=(n, d))
    start = em_gmm.begin_at(data, em_gmm.starting_points(data, 3, 1, rng), "random", "full", 1e-6)
    end, history = em_gmm.climb_many_points(data, start, 1e-6, 30, block=700)
    plain = em_gmm.climb(data, start, "full", 1e-6, 30, settled=-1.0)
    np.testing.assert_allclose(history, plain.history[0], rtol=1e-9)
    for ours, theirs in zip(end, plain.end, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-8)
