"""Decoding: against torch, SciPy and plain counting, over random tails, and with spoiled results."""

import re
from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError
from scipy.special import softmax as scipy_softmax

from experiments import decoding
from experiments.decoding import ALPHABET, CHALLENGES, Settings, claims, run
from lab.contract import problems
from lab.data import english, letters

weights = arrays(float, st.integers(2, 8), elements=st.floats(0.01, 1))


@pytest.fixture(scope="module")
def result():
    return run(Settings())


def verdict(result, claim_id):
    return next(claim.verdict for claim in claims(result) if claim.id == claim_id)


def unmet(result, claim_id):
    return next(claim.unmet for claim in claims(result) if claim.id == claim_id)


# --- reference ---


@pytest.mark.parametrize("tau", [0.05, 0.5, 1.0, 3.0, 10.0])
def test_temperature_is_the_softmax_of_divided_logits_in_torch_and_scipy(result, tau):
    z = np.log(result.base)
    mine = decoding.temper(result.base, tau)
    assert np.allclose(mine, torch.softmax(torch.tensor(z) / tau, 0).numpy(), atol=1e-13)
    assert np.allclose(mine, scipy_softmax(z / tau), atol=1e-13)


def torch_filtered(p, tau, k, share):
    """Temperature, top-k and top-p on logits, each by masking with minus infinity, one row at a time."""
    z = torch.log(torch.tensor(p)) / tau
    z = z.masked_fill(z < torch.topk(z, k).values[-1], -torch.inf)
    ordered, index = torch.sort(z, descending=True)
    before = torch.cumsum(torch.softmax(ordered, 0), 0) - torch.softmax(ordered, 0)
    z[index[before >= share]] = -torch.inf
    return torch.softmax(z, 0).numpy()


@pytest.mark.parametrize(("tau", "k", "share"), [(1, 27, 0.9), (2, 5, 0.77), (0.7, 27, 0.33), (4, 12, 0.95)])
def test_the_filters_equal_masked_logits_in_torch(tau, k, share):
    rng = np.random.default_rng(3)
    rows = rng.dirichlet(np.full(27, 0.3), size=40) + 1e-6
    rows /= rows.sum(axis=1, keepdims=True)
    mine = decoding.reshape(rows, tau, k, share)
    assert np.allclose(mine, [torch_filtered(row, tau, k, share) for row in rows], atol=1e-12)


def witten_bell(text, run, symbol):
    """The model's probability, by a search through the text."""
    counts = Counter(re.findall(f"(?<={run})." if run else ".", text))
    shorter = witten_bell(text, run[1:], symbol) if run else 1 / 27
    total = sum(counts.values()) + len(counts)
    return (counts[symbol] + len(counts) * shorter) / total if total else shorter


@pytest.mark.parametrize(
    ("order", "context"), [(1, "the"), (2, "q"), (4, "the"), (4, "zzq"), (6, "data "), (6, "xqjaz")]
)
def test_the_model_counts_what_a_search_through_the_text_counts(order, context):
    model = decoding.model(order)
    node, _ = decoding.node_after(model, context)
    run_seen = context[max(0, len(context) - order + 1) :]
    expected = [witten_bell(letters(english()), run_seen, symbol) for symbol in ALPHABET]
    assert np.allclose(model.probability[node], expected, atol=1e-12)


def test_the_automaton_always_stands_at_the_longest_run_seen():
    model, text = decoding.model(5), letters(english())
    rng = np.random.default_rng(1)
    typed = "".join(rng.choice(list(ALPHABET), size=60, p=np.r_[0.2, np.full(26, 0.8 / 26)]))
    for end in range(1, 60):
        ends = [typed[max(0, end - j) : end] for j in range(4, -1, -1)]
        longest = next(e for e in ends if e in text[:-1])
        node = 0
        for symbol in typed[:end]:
            node = model.step[node, ALPHABET.index(symbol)]
        length = np.searchsorted(model.first, node, side="right") - 1
        code = model.codes[length][node - model.first[length]]
        assert (length, code) == (
            len(longest),
            int(sum(ALPHABET.index(c) * 27**i for i, c in enumerate(longest[::-1]))),
        )


def test_drawn_symbols_follow_the_model_for_every_chain_setting():
    model = decoding.model(3)
    start, _ = decoding.node_after(model, "th")
    n, tau, k, share = 20_000, 1.7, 6, 0.9
    uniform = np.random.default_rng(5).random((1, n))
    first = decoding.sample(
        model, start, np.full(n, tau), np.full(n, k), np.full(n, share), uniform, lambda *_: None
    )
    p = decoding.reshape(model.probability[[start]], tau, k, share)[0]
    observed = np.bincount(first[:, 0], minlength=27)
    assert set(np.flatnonzero(observed)) <= set(np.flatnonzero(p))
    assert np.all(np.abs(observed / n - p) <= 4 * np.sqrt(p * (1 - p) / n) + 1e-12)


def test_distinct_4_equals_a_set_of_substrings(result):
    for text in result.texts:
        runs = [text[i : i + 4] for i in range(len(text) - 3)]
        value = decoding.distinct_4(np.array([[ALPHABET.index(c) for c in text]]))[0]
        assert value == pytest.approx(len(set(runs)) / len(runs))


# --- invariant ---


@settings(max_examples=80, deadline=None)
@given(weights, st.floats(0.1, 8), st.floats(0.05, 0.99))
def test_top_p_finds_the_smallest_set_among_all_subsets(w, tau, share):
    p = decoding.temper(w / w.sum(), tau)
    size = decoding.nucleus_sizes(p[None], share)[0]
    enough = [s for n in range(1, len(p) + 1) for s in combinations(p, n) if sum(s) >= share - 1e-12]
    fewest = min(len(s) for s in enough)
    barely = any(abs(sum(s) - share) < 1e-9 for s in enough)
    assert size == fewest or barely


@settings(max_examples=80, deadline=None)
@given(weights, st.floats(-700, 700), st.floats(0.05, 10))
def test_softmax_ignores_shifts_and_temperatures_compose(w, shift, tau):
    z = np.log(w)
    assert np.allclose(decoding.softmax(z), decoding.softmax(z + shift), atol=1e-11)
    assert np.allclose(decoding.temper(decoding.temper(w, tau), 1 / tau), w / w.sum(), atol=1e-9)


@pytest.mark.parametrize("share", [0.1, 0.37, 0.5, 0.9, 0.99])
def test_no_distribution_leaves_the_entropy_limits_of_its_set(share):
    rng = np.random.default_rng(7)
    alphas = np.repeat([0.02, 0.1, 0.5, 2, 20], 300)
    p = np.array([rng.dirichlet(np.full(27, a)) for a in alphas])
    low, high = decoding.entropy_range(share)
    size, h = decoding.nucleus_sizes(p, share), decoding.entropy_bits(p)
    assert np.all(h >= low[size - 1] - 1e-9)
    assert np.all(h <= high[size - 1] + 1e-9)


def test_no_random_tail_beats_the_bound_on_the_table():
    rng, bounds = (
        np.random.default_rng(11),
        (decoding.smallest_miss((1, 3, 4)), decoding.smallest_miss((0, 1, 3, 4))),
    )
    best = [1.0, 1.0]
    for _ in range(4000):
        big = rng.uniform(0.2, 0.27)
        rest = rng.dirichlet(np.full(rng.integers(2, 12), rng.choice([0.5, 2, 10, 50]))) * (0.4 - big)
        off = np.abs(decoding.top_after(np.append(big, rest), decoding.TABLE_TAU) - decoding.TABLE_P)
        best = [min(best[0], off[[1, 3, 4]].max()), min(best[1], off.max())]
    assert bounds[0] <= best[0] < 0.012
    assert bounds[1] <= best[1] < 0.012
    assert min(bounds) > decoding.PRINTED


def test_the_bound_is_zero_for_a_table_that_some_tail_gives(monkeypatch):
    true = decoding.top_after(decoding.tail(0.2, 4), decoding.TABLE_TAU)
    monkeypatch.setattr(decoding, "TABLE_P", true)
    assert decoding.miss_given(0.2 / 0.6, (0, 1, 3, 4)) < 1e-4
    assert decoding.miss_given(0.3 / 0.6, (0, 1, 3, 4)) > 0.005


@pytest.mark.parametrize(("rival", "others"), [(0.0, 1), (0.4, 7), (0.233, 5), (0.1, 900)])
def test_the_closed_form_of_a_tail_equals_the_sum_over_its_tokens(rival, others):
    p = decoding.top_after(decoding.tail(rival, others), decoding.TAUS)
    assert np.allclose(p, decoding.top_in_theory(rival, others, decoding.TAUS), atol=1e-12)


@pytest.mark.parametrize("order", range(1, 7))
def test_rows_are_distributions_and_every_symbol_stays_possible(order):
    p = decoding.model(order).probability
    assert np.allclose(p.sum(axis=1), 1)
    assert p.min() > 0


# --- known case ---


def test_two_tokens_worked_by_hand():
    assert np.allclose(decoding.temper(np.array([0.8, 0.2]), 0.5), [16 / 17, 1 / 17])
    assert np.allclose(decoding.temper(np.array([0.8, 0.2]), 2.0), [2 / 3, 1 / 3])
    p = np.array([[0.1, 0.4, 0.2, 0.3]])
    assert np.allclose(decoding.reshape(p, 1.0, 2, 1.0), [[0, 4 / 7, 0, 3 / 7]])
    assert np.allclose(decoding.reshape(p, 1.0, 4, 0.8), [[0, 4 / 9, 2 / 9, 3 / 9]])
    # Top-k first: 0.4 of 0.7 is 4/7 > 0.5, so top-p keeps one. The other way round it would keep two.
    assert np.allclose(decoding.reshape(p, 1.0, 2, 0.5), [[0, 1, 0, 0]])


def test_the_row_099_forces_a_rival_that_the_row_085_forbids():
    rival, half = decoding.rival_needed()
    assert rival == pytest.approx(0.3486, abs=1e-4)
    assert half == pytest.approx(0.7477, abs=1e-4)
    # One rival alone, as strong as it must be: the others add nothing but shares of S_2.
    assert 1 / (1 + (rival / 0.6) ** 2) == pytest.approx(half)


def test_50_000_equal_rivals_worked_by_hand(result):
    r = 0.4 / 50_000 / 0.6
    assert result.crowd[0] == pytest.approx(1 / (1 + 50_000 * r**0.5))
    assert result.crowd[1] == pytest.approx(1 / (1 + 50_000 * r**0.2))
    assert result.crowd[2] == 5  # five leave 0.230, six 0.206


def test_the_naive_softmax_breaks_where_the_stable_one_does_not():
    z = np.array([1000.0, 999.0])
    assert np.isnan(decoding.naive_softmax(z)).all()
    assert np.allclose(decoding.softmax(z), [np.e / (1 + np.e), 1 / (1 + np.e)])


def test_merging_takes_overlapping_pairs_from_the_left():
    assert decoding.merge(np.array([1, 1, 1, 2, 1, 1, 1, 1]), 1, 1, 9).tolist() == [9, 1, 2, 9, 9]
    assert decoding.merge(np.array([1, 2, 1, 2, 2]), 1, 2, 9).tolist() == [9, 9, 2]


def test_greedy_text_is_a_circle_of_the_length_it_says(result):
    text, n = result.texts[-1], result.period
    assert text[result.run_in + n :] == text[result.run_in : -n]
    assert all(text[result.run_in + d :] != text[result.run_in : -d] for d in range(1, n))
    assert len({text[i : i + 4] for i in range(len(text) - 3)}) <= result.run_in + n


def test_tokens_join_up_to_the_word_and_none_spans_two():
    tokens = decoding.encode(" data and zebras")
    assert "".join(tokens) == " data and zebras"
    assert not any(" " in token[1:] for token in tokens)
    assert len(tokens) < len(" data and zebras")


def test_letters_in_real_words_are_counted_by_hand():
    assert decoding.in_words(" the data qqqq") == pytest.approx(7 / 11)
    assert decoding.in_words("   ") == 0


# --- negative control ---


@pytest.mark.parametrize(
    ("claim_id", "spoil"),
    [
        ("2.3-softmax-01", lambda r: {"softmax_sums": r.softmax_sums * 1.0001}),
        ("2.3-softmax-01", lambda r: {"softmax_shift": r.softmax_shift + 1e-6}),
        ("2.3-softmax-01", lambda r: {"naive_broken": 0}),
        ("2.3-softmax-01", lambda r: {"overflow_at": 88.7}),
        ("2.3-vocab-01", lambda r: {"words": (*r.words[:4], r.words[4] // 2)}),
        ("2.3-vocab-01", lambda r: {"misspelt": 1}),
        ("2.3-vocab-01", lambda r: {"tokens": (r.tokens[0], 0)}),
        ("2.3-temp-01", lambda r: {"base": decoding.temper(r.base, 1.01)[::-1]}),
        ("2.3-temp-01", lambda r: {"sharp": (r.sharp[0], 0.01, r.sharp[2])}),
        ("2.3-temp-01", lambda r: {"flat": (r.flat[0], 0.01, r.flat[2])}),
        ("2.3-temp-01", lambda r: {"after": r.after[::-1]}),
        ("2.3-temp-01", lambda r: {"drawn": r.drawn * 0.95}),
        ("2.3-temp-02", lambda r: {"best_three": (0.004, 0.2, 5)}),
        ("2.3-temp-02", lambda r: {"best_all": (0.004, 0.2, 5)}),
        ("2.3-temp-02", lambda r: {"bound_three": 0.004}),
        ("2.3-temp-02", lambda r: {"half_given_tenth": 0.85}),
        ("2.3-temp-02", lambda r: {"yours_miss": 0.001}),
        ("2.3-temp-03", lambda r: {"crowd": np.array([0.35, 0.22, 5])}),
        ("2.3-temp-03", lambda r: {"crowd": np.append(r.crowd[:2], 50_000)}),
        ("2.3-topp-01", lambda r: {"sizes": r.sizes + 1}),
        ("2.3-topp-01", lambda r: {"sizes": np.maximum(r.sizes - 1, 1)}),
        ("2.3-topp-01", lambda r: {"entropy": r.entropy[::-1]}),
        ("2.3-topp-01", lambda r: {"k_is_one": np.roll(r.k_is_one, 1)}),
        ("2.3-greedy-01", lambda r: {"distinct_greedy": 0.9}),
        ("2.3-greedy-01", lambda r: {"distinct": np.zeros_like(r.distinct)}),
        ("2.3-greedy-01", lambda r: {"distinct_real": np.zeros_like(r.distinct_real)}),
    ],
)  # fmt: skip
def test_a_spoiled_result_refutes_its_claim(result, claim_id, spoil):
    assert verdict(result, claim_id) == "confirmed"
    assert verdict(replace(result, **spoil(result)), claim_id) == "refuted"


# --- settings and their ends ---


@pytest.mark.parametrize(
    "ends",
    [
        {"order": 1}, {"order": 6, "tau": 10.0, "length": 600}, {"tau": 0.05}, {"tau": 10.0}, {"top_k": 1},
        {"top_p": 0.1}, {"length": 50}, {"rival": 0.0, "others": 50_000}, {"rival": 0.4, "others": 1},
        {"context": "ZZ top 1969!", "order": 6},
    ],
)  # fmt: skip
def test_the_ends_of_the_controls_refute_nothing_and_give_distributions(ends):
    result = run(Settings(**ends))
    assert "refuted" not in {claim.verdict for claim in claims(result)}
    assert np.allclose(result.after.sum(axis=1), 1)
    assert all(
        np.isfinite(frame.select_dtypes("number")).all(axis=None)
        for frame in decoding.tables(result).values()
    )


def test_a_model_of_single_symbols_has_one_set_and_nothing_to_adapt():
    assert "one size" in unmet(run(Settings(order=1)), "2.3-topp-01")
    assert "too few" in unmet(run(Settings(order=2, tau=8.0, top_p=0.3)), "2.3-topp-01")
    assert not unmet(run(Settings(order=2)), "2.3-topp-01")


def test_a_text_that_ends_before_the_circle_closes_makes_no_claim():
    assert "come round" in unmet(run(Settings(order=6, length=50)), "2.3-greedy-01")


def test_an_unseen_context_falls_back_to_the_longest_end_that_was_seen():
    result = run(Settings(context="zzq"))
    assert (result.asked, result.used) == ("zzq", "q")
    seen = run(Settings(context="the"))
    assert (seen.asked, seen.used) == ("the", "the")


@pytest.mark.parametrize("context", ["", "   ", "1234", "!?"])
def test_a_context_without_letters_is_refused_by_name(context):
    with pytest.raises(ValidationError) as caught:
        Settings(context=context)
    assert problems(caught.value, Settings)[0].startswith("context = ")


def test_greedy_ignores_temperature_and_length_only_cuts_it(result):
    other = run(Settings(tau=3.0, length=100, seed=4))
    assert np.array_equal(other.greedy, result.greedy[:100])
    assert np.array_equal(other.k_is_one, other.greedy)


def test_the_challenges_have_the_answers_that_arithmetic_gives():
    crowd, circle, sets = (challenge.answer(run(Settings(**challenge.settings))) for challenge in CHALLENGES)
    assert crowd == pytest.approx(1 / (1 + 50_000**0.8 * (2 / 3) ** 0.2))
    assert circle == "fewer than a tenth as many"
    hot = decoding.temper(decoding.model(4).probability[decoding.model(4).first[-1] :], 3.0)
    by_hand = np.mean([np.searchsorted(np.cumsum(np.sort(row)[::-1]), 0.9) + 1 for row in hot])
    assert sets == pytest.approx(by_hand)
