"""The optimiser race: against torch.optim, laws, cases by hand, spoiled results."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments import optimizer_race as race
from experiments.optimizer_race import ADAM, CHALLENGES, NAMES, RULES, Settings, claims, run, tables
from lab.data import digits


@pytest.fixture(scope="module")
def result():
    return run(Settings())


def claim(result, claim_id):
    return next(c for c in claims(result) if c.id == claim_id)


def walk(name, theta, slopes, rate, decay=0.0, **options):
    """The path of one optimiser along given gradients."""
    memory, seen = race.new_memory(name, theta.shape), [theta]
    for t, g in enumerate(slopes, start=1):
        seen.append(RULES[name](seen[-1], g, memory, t, rate, decay, **options))
    return np.array(seen)


# --- reference ---


def torch_optimiser(name, weights, rate, decay):
    import torch

    made = {
        "SGD": lambda: torch.optim.SGD(weights, lr=rate, weight_decay=decay),
        "momentum": lambda: torch.optim.SGD(weights, lr=rate, momentum=0.9, weight_decay=decay),
        "Nesterov": lambda: torch.optim.SGD(weights, rate, 0.9, nesterov=True, weight_decay=decay),
        "RMSProp": lambda: torch.optim.RMSprop(weights, lr=rate, alpha=0.99, weight_decay=decay),
        "Adam": lambda: torch.optim.Adam(weights, lr=rate, weight_decay=decay),
        "AdamW": lambda: torch.optim.AdamW(weights, lr=rate, weight_decay=decay),
        "Adafactor": lambda: torch.optim.Adafactor(weights, lr=rate, weight_decay=decay),
    }  # fmt: skip
    return made[name]()


@pytest.mark.parametrize("shape", [(5, 3), (1, 4)], ids=["matrix", "vector"])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("name", NAMES)
def test_every_rule_walks_as_torch_optim_does(name, decay, shape):
    import torch

    rng = np.random.default_rng(3)
    start, slopes = rng.standard_normal(shape), rng.standard_normal((60, *shape))
    ours = walk(name, start, slopes, 0.03, decay)
    weights = torch.tensor(start if shape[0] > 1 else start[0], requires_grad=True)
    optimiser = torch_optimiser(name, [weights], 0.03, decay)
    for step, g in enumerate(slopes, start=1):
        weights.grad = torch.tensor(g).reshape(weights.shape)
        optimiser.step()
        assert np.allclose(ours[step].ravel(), weights.detach().numpy().ravel(), rtol=0, atol=1e-13)


def test_the_memory_has_as_many_numbers_as_torchs():
    import torch

    for name in NAMES:
        weights = [torch.ones(s if s[0] > 1 else s[1:], requires_grad=True) for s in race.LAYERS]
        optimiser = torch_optimiser(name, weights, 0.01, 0.0)
        for w in weights:
            w.grad = torch.ones_like(w)
        optimiser.step()
        held = [v for kept in optimiser.state.values() for k, v in kept.items() if k != "step"]
        assert race.state_size(name, race.LAYERS) == sum(v.numel() for v in held if v is not None)


def test_network_gradients_equal_those_of_torch_autograd():
    import torch

    rng = np.random.default_rng(0)
    layers = [rng.standard_normal((2, *shape)) for shape in race.LAYERS]
    pixels, label = digits()
    x, target = pixels[:20] / 16, np.eye(10)[label[:20].astype(int)]
    ours = race.network_gradient(layers, x, target)
    weights = [torch.tensor(w, requires_grad=True) for w in layers]
    scores = torch.tanh(torch.tensor(x) @ weights[0] + weights[1]) @ weights[2] + weights[3]
    each = -(torch.log_softmax(scores, -1) * torch.tensor(target)).sum(-1).mean(-1)
    each.sum().backward()
    assert np.allclose(race.cross_entropy(layers, x, target), each.detach())
    for g, w in zip(ours, weights, strict=True):
        assert np.allclose(g, w.grad, atol=1e-13)


@pytest.mark.parametrize("degrees", [0, 20, 45, 90])
def test_the_canyon_has_the_gradient_of_its_loss(degrees):
    place = race.canyon(50, [degrees])
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    hessian = np.array([[c, -s], [s, c]]) @ np.diag([1, 1 / 50]) @ np.array([[c, s], [-s, c]])
    error = np.random.default_rng(1).standard_normal((1, 1, 1, 2))
    assert np.allclose(race.slope(place, error).ravel(), hessian @ error.ravel())
    first = (place.start - place.minimum).ravel()
    assert np.allclose(first, np.array([[c, -s], [s, c]]) @ [1, 1])


def test_the_winner_of_a_sweep_is_found_again_alone(result):
    errors, loss = race.one_race(100, 0, result.best, 200, 0.01)
    settled = np.maximum(loss[-20:].mean(axis=0), race.SOLVED)
    assert np.allclose(settled, result.settled[:, 0].min(axis=-1), rtol=1e-9)
    assert np.allclose(errors[0], [1, 1])


# --- invariant ---


@settings(max_examples=25, deadline=None)
@given(st.floats(1, 1e4), st.floats(0, 90), st.floats(0.01, 1), st.floats(0, 1))
def test_sgd_and_momentum_turn_with_the_canyon(kappa, degrees, rate, decay):
    rates = np.full(len(NAMES), rate)
    turn = math.radians(degrees)
    back = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    first, _ = race.one_race(kappa, 0, rates, 30, decay)
    second, _ = race.one_race(kappa, degrees, rates, 30, decay)
    assert np.allclose((second @ back)[:, :3], first[:, :3], rtol=0, atol=1e-9 * np.abs(first[:, :3]).max())


@settings(max_examples=25, deadline=None)
@given(st.floats(1, 1e4), st.floats(0.01, 1.99), st.integers(0, 90))
def test_sgd_follows_its_closed_form_at_any_angle(kappa, rate, degrees):
    _, loss = race.one_race(kappa, degrees, np.full(len(NAMES), rate), 40, 0.0)
    assert np.allclose(loss[:, 0], race.sgd_loss(kappa, rate, np.arange(41)), rtol=1e-6, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(-6, 6))
def test_adam_without_epsilon_does_not_see_the_scale_of_gradients(seed, power):
    slopes = np.random.default_rng(seed).standard_normal((30, 1, 3))
    start = np.ones((1, 3))
    plain = walk("Adam", start, slopes, 0.1, epsilon=0.0)
    assert np.allclose(walk("Adam", start, 10**power * slopes, 0.1, epsilon=0.0), plain, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.001, 1))
def test_adams_first_step_has_the_length_of_its_rate(seed, rate):
    g = np.random.default_rng(seed).standard_normal((1, 1, 5))
    step = np.diff(walk("Adam", np.zeros((1, 5)), g, rate), axis=0)[0]
    assert np.allclose(step, -rate * g[0] / (np.abs(g[0]) + race.EPSILON), rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_the_outer_product_keeps_rows_columns_and_rank_one(seed):
    rng = np.random.default_rng(seed)
    squares = rng.random((6, 4)) + 0.01
    kept = {"r": squares.mean(-1, keepdims=True), "c": squares.mean(-2, keepdims=True)}
    rebuilt = race.second_moment(kept)
    assert np.allclose(rebuilt.sum(axis=0), squares.sum(axis=0))
    assert np.allclose(rebuilt.sum(axis=1), squares.sum(axis=1))
    assert race.factored_error(rng.random((6, 1)) * rng.random((1, 4))) < 1e-12


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("decay", [0.01, 0.3, 1.0])
def test_adamw_decays_by_its_factor_and_l2_about_as_predicted(seed, decay):
    left = race.decayed(seed, decay).mean(axis=-1)
    assert np.allclose(left[1], (1 - race.DECAY_RATE * decay) ** race.DECAY_STEPS, atol=1e-9)
    assert np.allclose(left[0], race.l2_left(decay), atol=0.03)


def test_all_seven_at_once_equal_each_alone():
    rng = np.random.default_rng(5)
    theta, slopes = rng.standard_normal((7, 2, 3, 4, 2)), rng.standard_normal((20, 7, 2, 3, 4, 2))
    rate = rng.random((7, 2, 3))[..., None, None]
    memories = [race.new_memory(name, theta.shape[1:]) for name in NAMES]
    together = theta
    for t, g in enumerate(slopes, start=1):
        together = race.step_all(together, g, memories, t, rate, 0.1)
    for k, name in enumerate(NAMES):
        decay = 0.1 if name == "AdamW" else 0.0
        alone = walk(name, theta[k, 1, 2], slopes[:, k, 1, 2], rate[k, 1, 2], decay)[-1]
        assert np.allclose(together[k, 1, 2], alone, atol=1e-12)


@pytest.mark.parametrize(
    "chosen",
    [
        {"kappa": 1}, {"kappa": 1e4, "rotation": 45, "rate": 10, "decay": 1, "steps": 500},
        {"kappa": 1e4, "steps": 60}, {"rate": 0.1, "steps": 50, "rotation": 90},
        {"rotation": 33, "decay": 0.5},
    ],
)  # fmt: skip
def test_claims_hold_whatever_the_controls_show(chosen):
    assert {c.verdict for c in claims(run(Settings(**chosen)))} == {"confirmed"}


def test_without_decay_there_is_nothing_to_tell_apart(result):
    seen = run(Settings(decay=0))
    assert claim(seen, "2.6-wd-01").verdict == "not at these settings"
    assert "λ = 0" in claim(seen, "2.6-wd-01").unmet
    assert np.allclose(seen.left, 1, atol=1e-9)


def test_a_diverging_run_is_drawn_to_its_last_finite_point():
    seen = run(Settings(rate=10, steps=300))
    assert np.all(seen.diverged[[0, 2]] < 10)
    assert np.isnan(seen.diverged[ADAM])
    frames = tables(seen)
    last = frames["paths"].groupby("optimiser").step.max()
    assert last["SGD"] == seen.diverged[0] - 1
    assert last["Adam"] == 300
    for name, frame in frames.items():
        assert np.isfinite(frame.select_dtypes("number").to_numpy()).all(), name


def test_sgd_leaves_the_canyon_at_the_step_theory_names(result):
    seen = run(Settings(rate=10))
    rate = 10 * seen.best[0]
    growth = math.log(race.HUGE / 0.5) / (2 * math.log(rate - 1))  # ½(α − 1)²ᵗ passes HUGE
    assert seen.diverged[0] == math.ceil(growth)
    assert seen.summary["sgd_predicted_to_diverge_at"] == seen.diverged[0]
    assert math.isnan(result.summary["sgd_predicted_to_diverge_at"])


def test_networks_are_trained_once_and_then_known(monkeypatch):
    monkeypatch.setattr(race, "_finished", {})
    monkeypatch.setattr(race, "DIGIT_STEPS", 50)  # a sixth of the work
    ticks = []
    chosen = Settings(networks=3, seed=11)
    assert not race.quick(chosen)
    first = run(chosen, lambda f, /, **_: ticks.append(f))
    assert ticks == sorted(ticks)
    assert ticks[-1] == 1
    assert race.quick(chosen)
    assert race.quick(Settings(networks=3, seed=11, kappa=7))
    again = run(chosen)
    assert np.array_equal(first.digit_accuracy, again.digit_accuracy)


def test_pinned_curve_and_chart_are_one_optimiser(result):
    main = tables(result)["main"]
    assert main.rotation.is_monotonic_increasing
    assert np.allclose(main.log10_sgd_predicted, np.log10(result.settled[0, :, :].min(axis=-1)), atol=1e-6)
    assert main.log10_loss[0] == main.log10_retuned[0]
    assert (main.log10_retuned <= main.log10_loss + 1e-12).all()


# --- known case ---


def test_two_steps_by_hand():
    g = np.array([[[1.0]], [[3.0]]])
    zero = np.zeros((1, 1))

    def after(name, rate):
        return walk(name, zero, g, rate)[1:].ravel()

    assert np.allclose(after("SGD", 1), [-1, -4])
    assert np.allclose(after("momentum", 1), [-1, -1 - (0.9 + 3)])
    assert np.allclose(after("Nesterov", 1), [-1.9, -1.9 - (3 + 0.9 * 3.9)])
    assert np.allclose(after("RMSProp", 1), [-10, -10 - 3 / math.sqrt(0.99 * 0.01 + 0.09)], atol=1e-6)
    mean, square = (0.09 + 0.3) / 0.19, (0.000999 + 0.009) / 0.001999
    assert np.allclose(after("Adam", 1), [-1, -1 - mean / math.sqrt(square)], atol=1e-6)


def test_a_matrix_of_rank_one_is_rebuilt_by_hand():
    squares = np.array([[1.0, 2.0], [3.0, 6.0]])
    kept = {"r": np.array([[1.5], [4.5]]), "c": np.array([[2.0, 4.0]])}
    assert np.allclose(race.second_moment(kept), squares)
    assert race.factored_error(np.eye(2)) == pytest.approx(1 / math.sqrt(2))


def test_the_published_numbers(result):
    assert list(result.needed[:, 2]) == [709, 95]  # κ = 100
    assert round(result.valley[1].min(), 2) == -0.60
    assert [race.steps_inside(w) for w in result.valley] == [132, 257]
    assert result.large_state == 8192
    assert result.state["Adafactor"] == (64 + 24) + 24 + (24 + 10) + 10
    assert round(float(result.factor_error.mean()), 2) == 0.49
    assert result.trap[0, -1] == 1
    assert round(result.trap[1, -1], 2) == -0.99


def test_a_swing_by_hand():
    assert np.allclose(race.swing([0, 1, 2], 0.1, 0.9), [1, 0.9, 1.8 * 0.9 - 0.9])


def test_the_first_round_of_the_trap_by_hand():
    down = 0.5 * 3 / math.sqrt(8.1)
    up = 0.5 / math.sqrt(2) / math.sqrt(0.81 + 0.9)
    assert np.allclose(race.trap()[0, :3], [0, -down, -down + up])


def test_the_challenges_have_the_right_answers(result):
    first, second, third = CHALLENGES
    assert first.answer(run(Settings(**first.settings))) == "momentum"
    seen = run(Settings(**second.settings))
    kept = int(np.argmin(np.abs(race.RATES - seen.best[ADAM])))
    at = int(np.flatnonzero(seen.angles == 45)[0])
    assert second.answer(seen) == pytest.approx(math.log10(seen.settled[ADAM, at, kept]))
    assert third.answer(result) == "Nobody's"
    lucky = result.digit_accuracy.copy()
    lucky[ADAM] = 1.0
    assert third.answer(replace(result, digit_accuracy=lucky)) == "Adam's"


# --- negative control: a spoiled result is refuted ---


def changed(array, index, value):
    spoiled = array.copy()
    spoiled[index] = value
    return spoiled


def better_adam(result):
    return {"digit_accuracy": changed(result.digit_accuracy, ADAM, 0.99 + 0.005 * np.eye(5, 4))}


def faster_adam(result):
    others = changed(result.digit_loss, -1, result.digit_loss[-1] + 1.0)
    return {"digit_loss": changed(others, (-1, ADAM), result.digit_loss[-1, ADAM])}


SPOILS = [
    ("2.6-mom-01", lambda r: {"needed": changed(r.needed, (0, -1), 2 * r.needed[0, -1])}),
    ("2.6-mom-01", lambda r: {"needed": np.stack([r.needed[0], r.needed[0]])}),
    ("2.6-mom-01", lambda r: {"needed": changed(r.needed, (0, 2), 710)}),
    ("2.6-mom-01", lambda r: {"needed": changed(r.needed, (1, 2), 94)}),
    ("2.6-mom-02", lambda r: {"valley": np.stack([r.valley[0], r.valley[0]])}),
    ("2.6-mom-02", lambda r: {"valley": changed(r.valley, (0, 200), 0.1)}),
    ("2.6-mom-02", lambda r: {"valley": changed(r.valley, (1, 280), 0.1)}),
    ("2.6-mom-02", lambda r: {"flat_gain": 9.9}),
    ("2.6-adam-01", lambda r: {"first_step": changed(r.first_step, (0, 1), 1.001)}),
    ("2.6-adam-01", lambda r: {"first_step": r.first_step[[0, 0]]}),
    ("2.6-adam-01", lambda r: {"rebuilt": r.rebuilt + 1e-6}),
    ("2.6-adam-02", lambda r: {"scaled": changed(r.scaled, 0, r.scaled[2])}),
    ("2.6-adam-02", lambda r: {"scaled": changed(r.scaled, (slice(0, 2), 1), r.scaled[0, 0])}),
    ("2.6-adam-03", lambda r: {"adam_steps": r.adam_steps[::-1]}),
    ("2.6-adam-03", lambda r: {"adam_steps": r.adam_steps[[0, 0]]}),
    ("2.6-adam-03", lambda r: {"straight": changed(r.straight, (50, 0), 0.3)}),
    ("2.6-adam-03", lambda r: {"turned": changed(r.turned, (1, 50, 2), 0.3)}),
    ("2.6-adam-03", lambda r: {"turned": r.turned[[0, 0]]}),
    ("2.6-adam-04", lambda r: {"trap": r.trap[::-1]}),
    ("2.6-adam-04", lambda r: {"trap": changed(r.trap, (1, -1), -1.0)}),
    ("2.6-wd-01", lambda r: {"left": r.left[::-1]}),
    ("2.6-wd-01", lambda r: {"left": r.left[[1, 1]]}),
    ("2.6-wd-01", lambda r: {"left": changed(r.left, (0, -1), r.left[1, -1])}),
    ("2.6-wd-01", lambda r: {"coupling": changed(r.coupling, (0, 1), 1.0)}),
    ("2.6-wd-01", lambda r: {"coupling": changed(r.coupling, (1, 1), r.coupling[1, 0])}),
    ("2.6-wd-02", lambda r: {"published": (("A", 2020, "AdamW"), ("B", 2021, "not disclosed"))}),
    ("2.6-wd-02", lambda r: {"published": (("A", 2020, "Adafactor"), ("B", 2021, "AdamW"))}),
    ("2.6-ada-01", lambda r: {"state": {**r.state, "Adafactor": 0}}),
    ("2.6-ada-01", lambda r: {"large_state": 4096**2}),
    ("2.6-ada-01", lambda r: {"rank_one_error": 0.01}),
    ("2.6-ada-01", lambda r: {"factor_error": r.factor_error * 0.9}),
    ("2.6-opt-01", better_adam),
    ("2.6-opt-01", faster_adam),
    ("2.6-opt-01", lambda r: {"digit_accuracy": changed(r.digit_accuracy, ADAM, 0.95)}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("claim_id", "spoil"), SPOILS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_spoiled_result_is_refuted(result, claim_id, spoil):
    assert claim(result, claim_id).verdict == "confirmed"
    assert claim(replace(result, **spoil(result)), claim_id).verdict == "refuted"
