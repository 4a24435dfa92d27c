"""Signal through depth: against autograd and closed forms, invariants, a case by hand, spoiled results."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import integrate, stats

from experiments import signal_propagation as module
from experiments.signal_propagation import CHALLENGES, CURE_WORDS, LAB_RUNS, Net, Settings, claims, run
from lab.contract import problems
from tests.conftest import outcome_of

ACTIVATIONS = ("ReLU", "tanh", "sigmoid", "linear")
TORCH = {"ReLU": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "linear": lambda u: u}
NETS = [
    Net(kind, residual, norm) for kind in ACTIVATIONS for residual in (False, True) for norm in (False, True)
]


@pytest.fixture(scope="module")
def result():
    return run(Settings())


def claim_of(result, claim_id):
    return next(claim for claim in claims(result) if claim.id == claim_id)


def small(seed=0, depth=4, nets=2, width=7, inputs=5, scans=3):
    """Random weights, scans and labels of a small network in double precision."""
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal((inputs, scans)),
        rng.integers(0, 4, scans),
        rng.standard_normal((nets, width, inputs)),
        rng.standard_normal((depth - 1, nets, width, width)) / 2,
        rng.standard_normal((nets, 4, width)),
    )


# --- reference ---


def by_autograd(x, label, first, hidden, last, net, which):
    """Signals, their gradients (sum of the scans' losses) and the mean loss's weight gradients, by torch."""
    weights = [torch.tensor(w[which], requires_grad=True) for w in (first, *hidden, last)]
    h = [weights[0] @ torch.tensor(x)]

    def output(signal):
        u = torch.layer_norm(signal.T, signal.T.shape[1:]).T if net.layernorm else signal
        return TORCH[net.activation](u)

    for w in weights[1:-1]:
        h.append(w @ output(h[-1]) + (h[-1] if net.residual else 0))
    for signal in h:
        signal.retain_grad()
    logits = weights[-1] @ output(h[-1])
    torch.nn.functional.cross_entropy(logits.T, torch.tensor(label), reduction="sum").backward()
    return h, [signal.grad for signal in h], [w.grad / x.shape[1] for w in weights]


@pytest.mark.parametrize("net", NETS, ids=str)
def test_signals_and_gradients_equal_those_of_autograd(net):
    x, label, first, hidden, last = small()
    h, g, norm = module.there_and_back(x, label, first, hidden, last, net)
    for which in range(2):
        signals, gradients, weights = by_autograd(x, label, first, hidden, last, net, which)
        for layer in range(4):
            assert np.allclose(h[layer, which], signals[layer].detach(), atol=1e-12)
            assert np.allclose(g[layer, which], gradients[layer], atol=1e-12)
        assert norm[which] == pytest.approx(float(torch.sqrt(sum((w**2).sum() for w in weights))))


def test_clipping_equals_that_of_torch():
    for gradient in ([3.0, 4.0], [1e-9, 2e-9]):
        weight = torch.zeros(2, requires_grad=True)
        weight.grad = torch.tensor(gradient)
        torch.nn.utils.clip_grad_norm_([weight], 1.0)
        expected = np.array(gradient) * module.clip_factor(np.linalg.norm(gradient), 1.0)
        # torch divides by the length plus 1e-6.
        assert np.allclose(weight.grad, expected, rtol=1e-6, atol=0)


def test_the_library_default_has_the_spread_of_a_fresh_linear_layer():
    torch.manual_seed(0)
    theirs = torch.nn.Linear(200, 300).weight.detach().numpy().ravel()
    ours = module.draw(np.random.default_rng(0), "default", (300, 200)).ravel()
    assert stats.ks_2samp(theirs, ours).pvalue > 1e-4
    assert np.abs(ours).max() <= 1 / np.sqrt(200) * (1 + 1e-6)


@pytest.mark.parametrize("kind", ACTIVATIONS)
@pytest.mark.parametrize("q", [0.01, 1.0, 30.0])
def test_gaussian_moments_equal_adaptive_quadrature(kind, q):
    def against_the_density(f):
        return integrate.quad(lambda z: f(np.sqrt(q) * z) * stats.norm.pdf(z), -8, 8, points=[0.0])[0]

    value = against_the_density(lambda u: float(module.activate(np.array(u), kind)) ** 2)
    steepness = against_the_density(lambda u: float(module.slope(np.array(u), kind)) ** 2)
    assert np.allclose(module.gaussian_moments(kind, q), (value, steepness), rtol=1e-6)


# --- invariant ---


@pytest.mark.parametrize(
    ("net", "sigma2"), [*LAB_RUNS, (Net("tanh"), 1.5), (Net("tanh", layernorm=True), 2.0)]
)
def test_theory_meets_every_kind_of_network_it_is_used_for(net, sigma2):
    rng = np.random.default_rng(5)
    width, nets, depth = 200, 6, 8
    x, label = module.ten_scans()
    first = np.sqrt(sigma2) * module.draw(rng, "LeCun", (nets, width, 64))
    hidden = np.sqrt(sigma2) * module.draw(rng, "LeCun", (depth - 1, nets, width, width))
    h, g, _ = module.there_and_back(
        x, label, first, hidden, module.draw(rng, "LeCun", (nets, 10, width)), net
    )
    q, ratio = module.predict(net, sigma2, sigma2, depth)
    per_net = np.log(module.second_moment(h)).mean(axis=-1)[[0, -1]]
    back = 2 * module.mean_of_known(module.log_length(g), -1)[[0, -1]]
    # A layer's log factor has variance of at most about 5/n, and a mean below the infinite width's by half.
    bias, noise = 2.5 * (depth - 1) / width, np.sqrt(5 * depth / (width * nets))
    assert abs((per_net[1] - per_net[0]).mean() - np.log(q[-1] / q[0])) < bias + 4 * noise
    assert abs((back[0] - back[1]).mean() - np.log(ratio).sum()) < bias + 4 * noise


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.2, 5))
def test_scaling_the_weights_of_a_relu_network_scales_each_layer_by_a_power(seed, scale):
    x, _, first, hidden, _ = small(seed)
    h, _ = module.forward(x, first, hidden, Net("ReLU"))
    scaled, _ = module.forward(x, scale * first, scale * hidden, Net("ReLU"))
    powers = scale ** np.arange(1, 5).reshape(-1, 1, 1, 1)
    assert np.allclose(scaled, powers * h, rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_weight_times_its_gradient_is_the_same_in_every_layer_of_a_relu_network(seed):
    x, label, first, hidden, last = small(seed)
    h, a = module.forward(x, first, hidden, Net("ReLU"))
    error = module.loss_gradient(last @ a[-1], label)
    top = module.output_backward(h[-1], last.swapaxes(1, 2) @ error, Net("ReLU"))
    g = module.backward(h, hidden, top, Net("ReLU"))
    products = [np.sum(g[layer + 1] * (w @ a[layer])) for layer, w in enumerate(hidden)]
    assert np.allclose(products, np.sum(g[0] * (first @ x)), atol=1e-9)


@given(st.floats(0, 1e30), st.floats(0.01, 100))
def test_clipping_never_lengthens_and_never_leaves_more_than_the_bound(norm, most):
    after = float(module.clipped(np.array(norm), most))
    assert after <= most * (1 + 1e-12)
    assert after == norm or norm > most


def test_networks_of_one_run_are_independent_of_each_other(result):
    """Run in one array or alone: the same numbers."""
    x, label, first, hidden, last = small(nets=3)
    together = module.there_and_back(x, label, first, hidden, last, Net("tanh"))
    alone = module.there_and_back(x, label, first[1:2], hidden[:, 1:2], last[1:2], Net("tanh"))
    assert np.allclose(together[1][:, 1:2], alone[1])
    assert np.allclose(together[2][1], alone[2])


# --- known case ---


def test_two_layers_of_one_unit_by_hand():
    """h = (2, 3), sigmoid; with g_2 = 1: g_1 = W σ'(2) = 3 · 0.105, as h_2 = 3 σ(2) is left open."""
    hidden, one = np.full((1, 1, 1, 1), 3.0), np.ones((1, 1, 1))
    h, _ = module.forward(np.array([[1.0]]), 2 * one, hidden, Net("sigmoid"))
    sigma = 1 / (1 + np.exp(-2))
    assert np.allclose(h.ravel(), [2, 3 * sigma])
    assert np.allclose(module.backward(h, hidden, one, Net("sigmoid")).ravel(), [3 * sigma * (1 - sigma), 1])


def test_relu_factors_are_one_half_and_one_sixth_of_he():
    for rule, factor in (("He", 1), ("LeCun", 1 / 2), ("default", 1 / 6), ("Glorot", 1 / 2)):
        q, ratio = module.predict(Net("ReLU"), 100 * module.variance(rule, 100, 100), 1.0, 5)
        assert np.allclose(q[1:] / q[:-1], factor)
        assert np.allclose(ratio, factor)


def test_residual_layernorm_relu_grows_like_the_number_of_layers():
    q, _ = module.predict(Net("ReLU", residual=True, layernorm=True), 2.0, 2.0, 30)
    assert np.allclose(q, np.arange(2, 32), rtol=1e-4)


def test_the_finite_width_exponent_and_its_next_term_are_those_of_a_mean_of_squares():
    """By simulation of one layer, which needs no network: n halves of chi-squares."""
    rng = np.random.default_rng(0)
    factor = np.mean(2 * np.maximum(rng.standard_normal((400_000, 24)), 0) ** 2, axis=1)
    logs = np.log(factor)
    error = 4 * logs.std() / np.sqrt(len(logs))
    assert abs(factor.mean() - 1) < error
    assert abs(logs.mean() + 2.5 / 24 + 4.08 / 24**2) < error + 30 / 24**3


def test_float16_overflows_where_the_powers_say():
    """Scale 4 with He multiplies amplitudes by 4: of N(0, 32) at layer 1, 5,120 numbers reach 65,504 at 7."""
    outcome = outcome_of("signal_propagation", scale=4, precision="float16")
    layer = outcome.result.overflow_layer
    largest = np.sqrt(32) * 4.0 ** np.arange(30) * stats.norm.isf(0.5 / 5120)
    assert abs(layer - (np.argmax(largest > 65504) + 1)) <= 1
    main = outcome.tables["main"]
    assert main.log10_measured.isna().tolist() == [n >= layer for n in main.layer]
    assert np.isnan(outcome.summary["gradient_factor"])
    assert outcome_of("signal_propagation", scale=4).result.overflow_layer == 0


def test_a_gradient_below_half_precision_is_exactly_zero():
    outcome = outcome_of("signal_propagation", activation="sigmoid", init="LeCun", precision="float16")
    zero_to = int(outcome.summary["gradient_exactly_0_to_layer"])
    assert 0 < zero_to < 30
    assert outcome.tables["gradient"].log10_measured.isna().sum() == zero_to


def test_a_gradient_can_overflow_on_the_way_back_only():
    """tanh keeps the signal below 1, but weights 4 times too large make its gradient grow without end."""
    chosen = {"activation": "tanh", "scale": 4, "depth": 60, "width": 64, "precision": "float16"}
    outcome = outcome_of("signal_propagation", **chosen)
    layer = outcome.result.gradient_overflow_layer
    assert outcome.result.overflow_layer == 0
    assert 0 < layer < 60
    assert outcome.tables["gradient"].log10_measured.isna().sum() == layer
    assert outcome.summary["gradient_factor"] > 1


def test_a_silent_network_says_so():
    outcome = outcome_of("signal_propagation", init="default", scale=0.1, depth=60, width=32)
    assert outcome.summary["signal_exactly_0_from_layer"] > 0
    assert outcome.tables["gradient"].log10_measured.isna().all()
    assert "refuted" not in {claim.verdict for claim in outcome.claims}


def test_the_headline_factors_are_near_those_known(result):
    assert result.summary["predicted_signal_factor"] == pytest.approx(1)
    lecun = outcome_of("signal_propagation", init="LeCun").summary
    default = outcome_of("signal_propagation", init="default").summary
    # Two networks of 29 layers: SE √(5/(256 · 58)) = 1.8 %, and e^{−5/512} below the infinite width.
    assert lecun["signal_factor"] == pytest.approx(0.5 * np.exp(-5 / 512), rel=0.074)
    assert default["signal_factor"] == pytest.approx(np.exp(-5 / 512) / 6, rel=0.074)


# --- extremes ---

ENDS = [
    {"scale": 0.1}, {"scale": 4}, {"depth": 2}, {"depth": 60}, {"width": 32}, {"width": 512}, {"nets": 1},
    {"nets": 8}, {"clip": 0.01}, {"clip": 100}, {"init": "Glorot"}, {"activation": "tanh"},
    {"activation": "linear", "scale": 4, "depth": 60, "width": 32},
    {"residual": True, "scale": 4, "depth": 60},
    {"residual": True, "layernorm": True, "precision": "float16"}, {"layernorm": True, "scale": 0.1},
    {"residual": True, "scale": 4, "precision": "float16"}, {"seed": 9999},
]  # fmt: skip


@pytest.mark.parametrize("chosen", ENDS, ids=str)
def test_the_ends_of_every_control_run_without_a_warning_or_a_refuted_claim(chosen):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = run(Settings(**{"width": 64, **chosen}))
        module.tables(result)
        assert {claim.verdict for claim in claims(result)} == {"confirmed"}


def test_too_many_weights_are_refused_by_name():
    with pytest.raises(ValidationError) as caught:
        Settings(nets=8, width=512)
    assert problems(caught.value, Settings) == [
        "nets = 8: 30 layers of width 512 allow 1 to 4 networks",
    ]


# --- challenges ---


def test_the_answers_are_those_of_theory():
    first, second, third = (
        c.answer(outcome_of("signal_propagation", **c.settings).result) for c in CHALLENGES
    )
    # 29 layers of ½, two networks: 4 SE of the sum of logarithms, and the finite width's 2.5 · 29/256.
    assert first == pytest.approx(-29 * np.log10(2), abs=(4 * np.sqrt(5 * 29 / 512) + 0.29) / np.log(10))
    assert second == "it explodes"
    assert third == "clipping"
    assert set(module.VIEWS["alone"]) == set(range(5))
    assert len(CURE_WORDS) == len(module.CURES) == 5


# --- negative control ---


def lab(result, **changed):
    return {"lab": replace(result.lab, **changed)}


def bent(array, index, factor):
    copy = array.copy()
    copy[index] *= factor
    return copy


def as_bad_as_the_start(result, which):
    """The gradients with those of run ``which`` replaced by the start's: the cure did nothing."""
    copy = result.lab.log_gradient.copy()
    copy[which] = copy[0]
    return copy


SPOILED = [
    ("2.2-vanish-01", lambda r: lab(r, chains=bent(r.lab.chains, 0, 1.01))),
    ("2.2-vanish-01", lambda r: lab(r, chains=bent(r.lab.chains, 1, 1.0001))),
    ("2.2-vanish-01", lambda r: lab(r, chains=bent(r.lab.chains, 2, 1 + 1e-8))),
    ("2.2-vanish-02", lambda r: lab(r, log_gradient=bent(r.lab.log_gradient, 0, 0.9))),
    ("2.2-vanish-02", lambda r: lab(r, log_gradient=bent(r.lab.log_gradient, 0, 1.1))),
    ("2.2-vanish-02", lambda r: lab(r, steepest=0.26)),
    *[("2.2-vanish-03", lambda r, k=k: lab(r, log_gradient=as_bad_as_the_start(r, k))) for k in (1, 2, 3, 4)],
    ("2.2-vanish-03", lambda r: {"scaled_after": bent(r.scaled_after, 0, 1.5)}),
    ("2.2-vanish-03", lambda r: {"scaled_after": bent(r.scaled_after, -1, 1.001)}),
    ("2.2-vanish-03", lambda r: {"tiny_after": r.tiny_after * 2}),
    ("2.3-init-01", lambda r: lab(r, glorot=bent(r.lab.glorot, 1, 256 / 266))),
    ("2.3-init-01", lambda r: lab(r, glorot=r.lab.glorot[[0, 0]])),
    ("2.3-init-01", lambda r: lab(r, glorot=bent(r.lab.glorot, (1, 2), 1.5))),
    ("2.3-init-02", lambda r: lab(r, width_factors={n: f * 0 for n, f in r.lab.width_factors.items()})),
    ("2.3-init-02", lambda r: lab(r, log_signal=bent(r.lab.log_signal, 1, 1.2))),
    ("2.3-init-02", lambda r: lab(r, default_log_signal=bent(r.lab.default_log_signal, -1, 1.1))),
    ("2.3-init-02", lambda r: {"summary": {**r.summary, "signal_factor": 0.9}}),
]


@pytest.mark.parametrize(("claim_id", "spoil"), SPOILED)
def test_a_spoiled_result_refutes_its_claim(result, claim_id, spoil):
    assert claim_of(result, claim_id).verdict == "confirmed"
    assert claim_of(replace(result, **spoil(result)), claim_id).verdict == "refuted"


@pytest.mark.parametrize(
    "chosen", [{"residual": True}, {"activation": "tanh"}, {"precision": "float16"}], ids=str
)
def test_your_network_is_judged_only_where_the_relu_law_applies(result, chosen):
    def judged(one):
        return any("your network" in check.what for check in claim_of(one, "2.3-init-02").also)

    assert judged(result)
    assert not judged(run(Settings(width=64, **chosen)))
