"""Attention as a graph: against torch and networkx, laws, cases worked by hand, and spoiled results."""

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import integrate, stats

from experiments import attention_graph as attention
from experiments.attention_graph import CHALLENGES, MASKS, SHUFFLE, WIDTHS, Settings, claims, run, tables
from lab.contract import bounds, choices

numbers = st.floats(-5, 5)
squares = st.integers(1, 7).flatmap(lambda n: st.tuples(
    arrays(float, (n, n), elements=numbers), arrays(float, (n, n), elements=st.sampled_from([0.0, 1.0])),
    arrays(float, (n, 3), elements=numbers),
))  # fmt: skip


@pytest.fixture(scope="module")
def result():
    return run(Settings())


def claim(result, claim_id):
    return next(c for c in claims(result) if c.id == claim_id)


# --- reference ---


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("scaled", [True, False])
def test_outputs_equal_those_of_torch(mask, scaled):
    result = run(Settings(mask=mask, scaled=scaled, positions=True, density=0.6, tokens=20))
    at = MASKS.index(mask)
    q, k, v = (torch.tensor(x)[None] for x in (result.q, result.k, result.v))
    allowed, some = torch.tensor(result.masks[at] > 0), result.masks[at].any(axis=1)
    scale = None if scaled else 1.0
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=allowed, scale=scale)[0]
    for outputs in (result.by_matrix, result.by_messages):
        assert np.allclose(outputs[at][some], expected.numpy()[some], rtol=1e-12)
        assert np.all(outputs[at][~some] == 0)


def test_the_causal_graph_is_acyclic_to_networkx_and_the_full_one_is_not(result):
    for mask, acyclic in ((0, False), (1, True)):
        pairs = result.edges[result.edges[:, 0] == mask, 1:]
        graph = nx.DiGraph((source, target) for target, source in pairs.tolist() if source != target)
        assert nx.is_directed_acyclic_graph(graph) is acyclic
        assert graph.number_of_edges() == (66 if acyclic else 132)


def test_the_weights_of_a_graph_in_networkx_give_the_same_outputs(result):
    graph = nx.from_numpy_array(result.weights[0], create_using=nx.DiGraph)
    for token in graph:
        summed = sum(graph[token][source]["weight"] * result.v[source] for source in graph[token])
        assert np.allclose(summed, result.by_messages[0, token])


@pytest.mark.parametrize("spread", [0.5, 1.0, 4.0])
def test_the_mean_top_weight_of_two_keys_is_that_of_an_integral(spread):
    """With two keys the gap is N(0, 2s²), and the top weight a logistic function of its size."""
    density = stats.norm(scale=np.sqrt(2) * spread).pdf
    expected = 2 * integrate.quad(lambda gap: density(gap) / (1 + np.exp(-gap)), 0, 60 * spread)[0]
    assert attention.expected_top_weight(spread, 2) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("spread", [1.0, 8.0])
def test_the_mean_top_weight_of_64_keys_is_that_of_many_draws(spread):
    scores = spread * np.random.default_rng(0).standard_normal((20_000, 64))
    top = torch.softmax(torch.tensor(scores), 1).max(1).values.numpy()
    assert attention.expected_top_weight(spread) == pytest.approx(top.mean(), abs=4 * top.std() / 141)


# --- invariant ---


@examples(max_examples=100, deadline=None)
@given(squares)
def test_messages_over_any_graph_give_the_outputs_of_the_matrix(case):
    scores, mask, v = case
    weights = attention.attention_weights(scores, mask)
    assert np.allclose(weights.sum(axis=1), mask.any(axis=1))
    assert np.all(weights[mask == 0] == 0)
    loop = attention.message_passing(scores, np.eye(len(v)), v, np.argwhere(mask > 0), 1.0)
    assert np.allclose(loop, weights @ v)


@examples(max_examples=100, deadline=None)
@given(squares, st.randoms())
def test_relabelling_the_tokens_and_their_graph_relabels_the_outputs(case, random):
    scores, mask, v = case
    order = list(range(len(v)))
    random.shuffle(order)
    outputs = attention.attention_weights(scores, mask) @ v
    both = np.ix_(order, order)
    assert np.allclose(attention.attention_weights(scores[both], mask[both]) @ v[order], outputs[order])


@examples(max_examples=100, deadline=None)
@given(squares)
def test_effective_neighbours_lie_between_one_and_the_number_of_edges(case):
    scores, mask, _ = case
    effective = attention.effective_neighbours(attention.attention_weights(scores, mask))
    edges = mask.sum(axis=1)
    assert np.all(effective <= edges + 1e-9)
    assert np.all(effective >= np.minimum(edges, 1) - 1e-9)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "other",
    [
        {"mask": "causal", "order": "shuffled", "tokens": 24},
        {"mask": "sparse", "density": 0.05, "tokens": 4, "positions": True},
        {"scaled": False, "d": 64, "tokens": 24, "order": "reversed"},
    ],
)
def test_claims_hold_at_other_settings(seed, other):
    assert {c.verdict for c in claims(run(Settings(seed=seed, **other)))} == {"confirmed"}


def test_another_order_gives_each_token_the_same_output(result):
    shuffled = run(Settings(order="shuffled"))
    back = np.argsort(shuffled.origin)
    assert not np.array_equal(shuffled.origin, result.origin)
    assert np.allclose(shuffled.by_matrix[0][back], result.by_matrix[0])
    assert not np.allclose(shuffled.by_matrix[1][back], result.by_matrix[1])


def test_a_later_value_changes_no_earlier_output_of_a_recurrence(result):
    later = result.v.copy()
    later[6:] += 1.0
    rwkv = attention.rwkv_recurrence(result.k, later)[0]
    retention = attention.retention_recurrence(result.q, result.k, later)[0]
    for outputs, before in zip((rwkv, retention), result.by_recurrence, strict=True):
        assert np.array_equal(outputs[:6], before[:6])
        assert not np.allclose(outputs[6:], before[6:])


# --- known case ---


def test_the_four_scores_worked_by_hand(result):
    added, before, after = result.example
    total = np.exp(2) + np.exp(1) + np.exp(0.5)
    assert np.allclose(added, [np.exp(2) / total, np.exp(1) / total, np.exp(0.5) / total, 0])
    assert round(before[3], 3) == 0.078
    assert round(after.sum(), 3) == 0.369
    assert before.sum() == pytest.approx(1)


def test_three_nodes_by_hand():
    """Scores of 0 and ln 3 are weights of a quarter and three quarters; a lone node outputs 0."""
    q, k = np.array([[1.0], [0.0], [1.0]]), np.array([[0.0], [np.log(3)], [7.0]])
    v = np.array([[4.0], [8.0], [100.0]])
    edges = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    assert np.allclose(attention.message_passing(q, k, v, edges, 1.0).ravel(), [7, 6, 0])


def test_without_decay_and_bonus_the_recurrence_is_a_running_mean(monkeypatch):
    monkeypatch.setattr(attention, "decays", lambda d: (np.zeros(d), 0.0, 1.0))
    v = np.arange(8.0).reshape(4, 2)
    means = np.cumsum(v, axis=0) / np.arange(1, 5)[:, None]
    assert np.allclose(attention.rwkv_recurrence(np.zeros((4, 2)), v)[0], means)
    assert np.allclose(attention.rwkv_sum(np.zeros((4, 2)), v), means)
    ones = np.ones((4, 2))
    assert np.allclose(attention.retention_sum(ones, ones, v), np.sqrt(2) * np.cumsum(v, axis=0))


def test_the_known_counts_and_weights(result):
    assert (result.summary["edges"], result.summary["causal_edges"]) == (144, 78)
    plain, scaled = attention.predicted_top_weights()
    assert [round(plain[WIDTHS.index(d)], 2) for d in (16, 1024)] == [0.58, 0.95]
    assert np.allclose(scaled, 0.107, atol=0.003)


def test_the_challenges_have_the_answers_of_the_formulas():
    answers = [challenge.answer(run(Settings(**challenge.settings))) for challenge in CHALLENGES]
    assert answers[:2] == [78, SHUFFLE[2]]
    assert answers[2] == pytest.approx(attention.predicted_top_weights()[0][-1], abs=0.02)


# --- special cases ---


def test_tokens_without_neighbours_get_zeros_and_say_so():
    empty = run(Settings(mask="sparse", density=0.0))
    assert empty.summary["without_neighbours"] == 12
    assert np.all(empty.by_matrix[2] == 0)
    assert np.all(empty.by_messages[2] == 0)
    assert {c.verdict for c in claims(empty)} == {"confirmed"}


def test_equal_rows_and_a_blank_one_do_no_harm():
    rows = np.array([[0.0] * 8, [0.0, 1.0] * 4])
    tokens = attention.normalised(rows)
    assert np.all(tokens[0] == 0)
    assert np.allclose([tokens[1].mean(), tokens[1].var()], [0, 1], atol=1e-4)


ENDS = [
    {field: end} for field, info in Settings.model_fields.items()
    for end in (choices(info) or ((False, True) if info.annotation is bool else bounds(info)))
]  # fmt: skip


@pytest.mark.parametrize("extreme", ENDS, ids=str)
def test_the_ends_of_every_control_run(extreme):
    outcome = run(Settings(**extreme))
    assert "refuted" not in {c.verdict for c in claims(outcome)}
    assert sum(len(frame) for frame in tables(outcome).values()) < 1500


# --- negative control ---


def changed(array, at, by):
    """A copy of the array with one number moved."""
    spoiled = array.copy()
    spoiled[at] += by
    return spoiled


@pytest.mark.parametrize(
    ("claim_id", "spoil"),
    [
        ("2.7-attn-01", lambda r: {"by_messages": changed(r.by_messages, (0, 3, 2), 1e-8)}),
        ("2.7-attn-01", lambda r: {"by_messages": changed(r.by_messages, (2, 3, 2), 1e-11)}),
        ("2.7-attn-01", lambda r: {"by_matrix": r.by_matrix[::-1]}),
        ("2.7-attn-01", lambda r: {"edges": r.edges[1:]}),
        ("2.7-attn-01", lambda r: {"edges": np.vstack([r.edges, [1, 0, 5]])}),
        ("2.7-attn-01", lambda r: {"edges": np.where(r.edges == [1, 5, 0], [1, 0, 5], r.edges)}),
        ("2.7-attn-01", lambda r: {"weights": r.weights * 1.0001}),
        ("2.7-attn-02", lambda r: {"moved": changed(r.moved, 0, 1e-6)}),
        ("2.7-attn-02", lambda r: {"moved": changed(r.moved, 2, 1e-6)}),
        ("2.7-attn-02", lambda r: {"moved": changed(r.moved, 4, 1e-6)}),
        ("2.7-attn-02", lambda r: {"moved": changed(r.moved, 6, 1e-6)}),
        ("2.7-attn-02", lambda r: {"moved": changed(r.moved, 1, -r.moved[1])}),
        ("2.7-attn-02", lambda r: {"moved": changed(r.moved, 5, -r.moved[5])}),
        ("2.7-attn-02", lambda r: {"moved": changed(r.moved, 3, 0.1 - r.moved[3])}),
        ("2.1-attn-01", lambda r: {"variance": r.variance * 1.2}),
        ("2.1-attn-01", lambda r: {"variance": np.sqrt(r.variance)}),
        ("2.1-attn-01", lambda r: {"variance": changed(r.variance, 0, -1)}),
        ("2.1-attn-02", lambda r: {"top_weight": r.top_weight[::-1]}),
        ("2.1-attn-02", lambda r: {"top_weight": r.top_weight * 1.05}),
        ("2.1-attn-02", lambda r: {"top_weight": changed(r.top_weight, (1, 2), 0.02)}),
        ("2.1-attn-03", lambda r: {"by_recurrence": changed(r.by_recurrence, (0, 5, 1), 1e-6)}),
        ("2.1-attn-03", lambda r: {"by_recurrence": changed(r.by_recurrence, (1, 5, 1), 1e-6)}),
        ("2.1-attn-03", lambda r: {"by_sum": r.by_sum[::-1]}),
        ("2.1-attn-03", lambda r: {"carried": r.carried * np.arange(1, 13)}),
        ("2.1-hadamard-02", lambda r: {"example": r.example[[0, 0, 2]]}),
        ("2.1-hadamard-02", lambda r: {"example": r.example[[0, 1, 0]]}),
        ("2.1-hadamard-02", lambda r: {"example": r.example[[1, 1, 2]]}),
        ("2.1-hadamard-02", lambda r: {"leak_moved": changed(r.leak_moved, 0, 1e-12)}),
        ("2.1-hadamard-02", lambda r: {"leak_moved": changed(r.leak_moved, 1, 1e-6)}),
        ("2.1-hadamard-02", lambda r: {"leak_edge": r.leak_edge * 0}),
    ],
)
def test_a_spoiled_result_refutes_its_claim(result, claim_id, spoil):
    assert claim(result, claim_id).verdict == "confirmed"
    assert claim(replace(result, **spoil(result)), claim_id).verdict == "refuted"
