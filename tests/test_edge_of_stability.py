"""Edge of stability: against torch autograd and dense eigenvalues, laws, cases by hand, spoiled results."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from experiments import edge_of_stability as eos
from experiments.edge_of_stability import CHALLENGES, CHOSEN, LATE, SLOW, Settings, claims, run, tables
from lab.contract import bounds, choices

SMALL = {"width": 5, "rows": 20}


@pytest.fixture(scope="module")
def result():
    return run(Settings())


@pytest.fixture(scope="module")
def lost():
    return run(Settings(alpha=2, **SMALL))


def claim(result, claim_id):
    return next(c for c in claims(result) if c.id == claim_id)


def network(seed=0, scale=1.0, **settings):
    """A small problem, weights of two walks (2, P), and as many random directions."""
    net, rng = eos.problem(Settings(seed=seed, **SMALL, **settings)), np.random.default_rng(seed)
    first = net.start(rng)
    w = first + scale * 0.2 * rng.standard_normal((2, len(first)))
    return net, w, rng.standard_normal((2, len(first)))


def dense(net, w):
    """The Hessian (P, P) at w (P,), a column for each product with a unit vector."""
    P = len(w)
    return eos.curvature(net, np.repeat(w[None], P, axis=0))(np.eye(P))


# --- reference ---


@pytest.mark.parametrize("activation", ["tanh", "ReLU"])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_loss_gradient_and_product_equal_those_of_torch_autograd(activation, layers):
    import torch

    net, w, v = network(layers=layers, activation=activation)
    X, Y = torch.tensor(net.X[:, :-1]), torch.tensor(net.Y)

    def loss(flat):
        A = X
        for layer, (part, shape) in enumerate(net.cuts):
            matrix = flat[part].reshape(shape)
            Z = A @ matrix[:-1] + matrix[-1]
            A = (torch.tanh if activation == "tanh" else torch.relu)(Z) if layer < layers else Z
        return 0.5 * ((A - Y) ** 2).sum(dim=1).mean()

    ours, g = eos.gradient(net, w)
    product = eos.curvature(net, w)(v)
    for row in range(2):
        flat = torch.tensor(w[row])
        value, expected = torch.func.grad_and_value(loss)(flat)[::-1]
        _, along = torch.autograd.functional.vhp(loss, flat, torch.tensor(v[row]))
        assert ours[row] == pytest.approx(value.item(), rel=1e-12)
        assert eos.loss_at(net, w)[row] == pytest.approx(value.item(), rel=1e-12)
        assert np.allclose(g[row], expected, atol=1e-12)
        assert np.allclose(product[row], along, atol=1e-12)


def test_lanczos_finds_the_largest_eigenvalue_of_the_dense_hessian():
    net, w, v = network()
    S, u, residual = eos.lanczos(eos.curvature(net, w), v, 60)
    for row in range(2):
        values, vectors = np.linalg.eigh(dense(net, w[row]))
        assert S[row] == pytest.approx(values[-1], rel=1e-9)
        assert abs(u[row] @ vectors[:, -1]) == pytest.approx(1, abs=1e-6)
        assert residual[row] < 1e-4


def test_the_sharpness_of_the_run_is_that_of_the_dense_hessian_along_the_walk():
    """Walk again, one rate at a time, and take the eigenvalues of the whole matrix."""
    settings = Settings(steps=250, alpha=1, **SMALL)
    seen, net = run(settings), eos.problem(settings)
    for column, rate in enumerate(seen.rates):
        w = net.start(np.random.default_rng([settings.seed, 1]))[None]
        for step in range(251):
            loss, g = eos.gradient(net, w)
            assert loss[0] == pytest.approx(seen.loss[step, column], rel=1e-6)
            if step % 50 == 0:
                largest = np.linalg.eigvalsh(dense(net, w[0]))[-1]
                assert seen.sharpness[step // 5, column] == pytest.approx(largest, rel=2e-3)
            w = w - rate * g


# --- invariant ---


@examples(max_examples=15, deadline=None)
@given(st.integers(0, 9999), st.floats(0.1, 3))
def test_the_hessian_is_symmetric_and_its_product_linear(seed, scale):
    net, w, v = network(seed, scale)
    product = eos.curvature(net, w)
    Hv, Hu = product(v), product(v[::-1])
    assert np.allclose(np.sum(v[::-1] * Hv, axis=1), np.sum(v * Hu, axis=1))
    assert np.allclose(product(2 * v - v[::-1]), 2 * Hv - Hu)


@examples(max_examples=15, deadline=None)
@given(st.integers(0, 9999), st.floats(0.01, 1.5))
def test_a_step_changes_the_loss_by_its_own_curvature(seed, rate):
    net, w, _ = network(seed)
    loss, g = eos.gradient(net, w[:1])
    bend = eos.along_step(net, w[0], -rate * g[0])
    change = eos.loss_at(net, w[:1] - rate * g) - loss
    assert change[0] == pytest.approx(-rate * np.sum(g**2) * (1 - rate * bend / 2), rel=1e-7, abs=1e-9)


@examples(max_examples=15, deadline=None)
@given(st.integers(0, 9999))
def test_the_sharpness_is_at_least_one_the_curvature_of_an_output_bias(seed):
    net, w, v = network(seed)
    assert np.all(eos.lanczos(eos.curvature(net, w), v, 40)[0] >= 1 - 1e-9)


@examples(max_examples=50, deadline=None)
@given(st.floats(1e-5, 1e-3), st.floats(0.01, 0.9))
def test_the_swing_of_the_model_stays_inside_its_band(r, q):
    """The two equations of self-stabilisation, stepped: z reaches the band but does not leave it."""
    z, strays, sizes, log_q = 0.0, [], [], math.log(q)
    for _ in range(int(40 / math.sqrt(r))):
        z += r * (1 - math.exp(2 * log_q))
        log_q += z
        strays.append(abs(z))
        sizes.append(log_q)
    F = math.exp(max(sizes) - min(sizes))
    assert max(strays) <= eos.band(r, F) * (1 + 2 * math.sqrt(r))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("other", [{"alpha": 1.2, "steps": 350}, {"layers": 1}, {"width": 6, "rows": 40}])
def test_no_claim_is_refuted_at_other_settings(seed, other):
    verdicts = {c.verdict for c in claims(run(Settings(seed=seed, **other)))}
    assert verdicts <= {"confirmed", "not at these settings"}


def test_the_plateau_moves_with_the_rate(result):
    higher = run(Settings(alpha=1.2))
    ratio = result.summary["sharpness_late"] / higher.summary["sharpness_late"]
    assert ratio == pytest.approx(1.2 / 0.8, rel=0.1)


ENDS = [
    {field: end} for field, info in Settings.model_fields.items() for end in (choices(info) or bounds(info))
]


@pytest.mark.parametrize("extreme", [e for e in ENDS if "seed" not in e], ids=str)
def test_the_ends_of_every_control_run(extreme):
    outcome = run(Settings(**{**SMALL, **extreme}))
    assert "refuted" not in {c.verdict for c in claims(outcome)}
    assert sum(len(frame) for frame in tables(outcome).values()) < 6000


def test_a_lost_walk_is_drawn_to_its_last_good_point_and_claims_nothing(lost):
    step = lost.summary["lost_at_step"]
    assert 0 < step < 50
    frames = tables(lost)
    mine = frames["loss"].query("rate == 2")
    assert mine.step.max() == step - 1
    assert mine.loss.max() < eos.LOST * mine.loss.iloc[0]
    assert frames["loss"].query("rate == 0.5").step.max() == 450
    for name, frame in frames.items():
        assert np.isfinite(frame.select_dtypes("number").to_numpy()).all(), name
    verdicts = {c.id[-2:]: c.verdict for c in claims(lost)}
    assert verdicts == {**dict.fromkeys(("01", "02", "04", "05"), "not at these settings"), "03": "confirmed"}


def test_below_the_edge_no_step_goes_up_and_nothing_is_claimed_of_the_edge():
    quiet = run(Settings(alpha=0.2))
    assert np.all(np.diff(quiet.loss, axis=0) < 0)
    verdicts = [c.verdict for c in claims(quiet)]
    assert verdicts == ["not at these settings"] * 2 + ["confirmed"] * 2 + ["not at these settings"]
    assert "below its edge" in claim(quiet, "2.6-eos-02").unmet


def test_relu_makes_no_claim_that_needs_a_second_derivative_everywhere():
    kinked = run(Settings(activation="ReLU"))
    verdicts = [c.verdict for c in claims(kinked)]
    no = "not at these settings"
    assert verdicts == [no, no, no, no, "confirmed"]


# --- known case ---


def test_the_curvature_of_a_parabola_is_found_in_two_products():
    H = np.diag([3.0, 1.0])
    S, u, residual = eos.lanczos(lambda v: v @ H, np.array([[1.0, 1.0]]), 2)
    assert S[0] == pytest.approx(3)
    assert np.allclose(np.abs(u), [[1, 0]])
    assert residual[0] < 1e-12


def test_a_frozen_walk_multiplies_each_slope_by_one_minus_rate_times_curvature():
    H = np.diag([3.0, 1.0])
    slope, length = eos.walk_frozen(lambda v: v @ H, np.array([[1.0, 2.0]]), np.array([[1.0, 0.0]]), 1.0, 3)
    assert np.allclose(slope, [1, -2, 4, -8])
    assert np.allclose(length, [math.sqrt(5), 2, 4, 8])  # 1 - 1·1 = 0: the other slope is gone in one step


def test_differences_of_a_cubic_extrapolate_to_its_slope():
    h = eos.GAPS[:, None]
    rows = 7 + 5 * h**2 - 2 * h**4 + h**6 + 0.5 * h**8
    assert eos.extrapolate(rows)[0] == pytest.approx(7, abs=1e-12)


def test_rises_and_what_is_kept_are_counted():
    loss = np.array([[4.0, 4.0], [3.0, 5.0], [3.5, 2.0]])
    assert eos.rises(loss).tolist() == [1, 1]
    squared = np.array([[1.0, 1.0], [1.0, 3.0], [9.0, 9.0]])
    assert np.allclose(eos.kept(loss, squared, np.array([0.5, 1.0])), [0.5, 0.5])


def test_the_band_by_hand():
    assert eos.band(0.02, math.e) == pytest.approx(0.2)
    assert eos.band(0.02, 1.0) == 0


def test_weights_start_with_half_the_spread_of_one_over_root_n():
    net = eos.problem(Settings(width=24, layers=3))
    first, *hidden, _ = net.layers(net.start(np.random.default_rng(0))[None])
    assert first[0, :-1].std() == pytest.approx(0.5 / 4, rel=0.1)
    assert all(m[0, :-1].std() == pytest.approx(0.5 / math.sqrt(24), rel=0.1) for m in hidden)
    assert all(np.all(m[0, -1] == 0) for m in (first, *hidden))


def test_the_page_text_tells_the_default_run(result):
    s = result.summary
    assert s["kept_late"] < 0.01 < 0.99 < s["kept_late_careful"]
    assert s["loss_end"] < s["loss_end_careful"]
    assert 0.25 < s["rises_late"] / 90 < 0.45


def test_the_challenges_have_the_right_answers():
    answers = [challenge.answer(run(Settings(**challenge.settings))) for challenge in CHALLENGES]
    assert answers[0] == pytest.approx(2 / 0.6, rel=0.1)
    assert answers[1:] == ["about one in five", "It grows more than tenfold"]
    quiet = run(Settings(alpha=0.2, steps=150))
    assert CHALLENGES[1].answer(quiet) == "none"
    assert CHALLENGES[2].answer(quiet) == "It dies down"


# --- negative control ---


def late(array, factor, column=CHOSEN):
    """The last fifth of a column of looks, multiplied."""
    spoiled = array.copy()
    spoiled[LATE:, column] *= factor
    return spoiled


def put(array, index, value):
    spoiled = array.copy()
    spoiled[index] = value
    return spoiled


def resummed(result, **spoiled):
    """The result with these arrays, and the headline numbers that follow from them."""
    new = replace(result, **spoiled)
    return {**spoiled, "summary": eos.summarise(new)}


@pytest.mark.parametrize(
    ("claim_id", "spoil"),
    [
        ("2.6-eos-01", lambda r: resummed(r, sharpness=late(r.sharpness, 1.2))),
        ("2.6-eos-01", lambda r: resummed(r, sharpness=late(r.sharpness, 0.7))),
        ("2.6-eos-01", lambda r: {"position": np.ones_like(r.position)}),
        ("2.6-eos-01", lambda r: {"sharpness": np.repeat(r.sharpness[:1], 51, axis=0)}),
        ("2.6-eos-02", lambda r: resummed(r, loss=put(r.loss, (-1, CHOSEN), 0.6))),
        ("2.6-eos-02", lambda r: resummed(r, loss=np.sort(r.loss, axis=0)[::-1])),
        ("2.6-eos-02", lambda r: resummed(r, loss=put(r.loss, (200, SLOW), 0.01))),
        ("2.6-eos-02", lambda r: {"squared_gradient": 2 * r.squared_gradient}),
        ("2.6-eos-03", lambda r: {"product": 1.001 * r.product}),
        ("2.6-eos-03", lambda r: {"product": put(r.product, 3, r.product[3] + 1e-8)}),
        ("2.6-eos-03", lambda r: {"differences": np.repeat(r.differences[-1:], 5, axis=0)}),
        ("2.6-eos-04", lambda r: {"step_curvature": 1.0001 * r.step_curvature}),
        ("2.6-eos-04", lambda r: {"loss": put(r.loss, (r.tested.astype(int) + 1, CHOSEN), 1.0)}),
        ("2.6-eos-04", lambda r: {"tested": r.tested + 1}),
        ("2.6-eos-05", lambda r: {"frozen_sharpness": 1.0001 * r.frozen_sharpness}),
        ("2.6-eos-05", lambda r: {"frozen": r.frozen[:, ::-1]}),
        ("2.6-eos-05", lambda r: {"frozen": np.array([r.tail_slope, r.frozen[1]])}),
    ],
)
def test_a_spoiled_result_refutes_its_claim(result, claim_id, spoil):
    assert claim(result, claim_id).verdict == "confirmed"
    assert claim(replace(result, **spoil(result)), claim_id).verdict == "refuted"
