"""Entropy and perplexity: against SciPy and plain counting, laws for all inputs, and spoiled results."""

import math
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats
from scipy.optimize import brentq

from experiments import entropy_perplexity as info
from experiments.entropy_perplexity import CHALLENGES, Settings, claims, run, tables
from lab.contract import bounds, choices, problems
from lab.data import english, letters

weights = st.lists(st.floats(0, 100), min_size=8, max_size=8).filter(lambda w: sum(w) > 1e-3)


@pytest.fixture(scope="module")
def result():
    return run(Settings())


def claim(result, claim_id):
    return next(c for c in claims(result) if c.id == claim_id)


# --- reference ---


@examples(max_examples=100, deadline=None)
@given(weights, weights, st.sampled_from([2.0, math.e]))
def test_entropy_cross_entropy_and_divergence_equal_those_of_scipy(a, b, base):
    p, q = np.array(a) / sum(a), (np.array(b) + 1) / (sum(b) + 8)
    assert info.entropy(p, base) == pytest.approx(stats.entropy(p, base=base), abs=1e-12)
    assert info.divergence(p, q, base) == pytest.approx(stats.entropy(p, q, base=base), abs=1e-10)
    both = info.entropy(p, base) + info.divergence(p, q, base)
    assert info.cross_entropy(p, q, base) == pytest.approx(both, abs=1e-10)


def witten_bell(texts, run_before, symbol, v):
    """The model's probability by counting strings, one run after the other; ``texts`` are what was read."""
    size = len(run_before)
    follow = Counter()
    for text in texts:
        for i in range(5, len(text)):  # a symbol is counted where its longest run is in the same stretch
            if text[i - size : i] == run_before:
                follow[text[i]] += 1
    shorter = witten_bell(texts, run_before[1:], symbol, v) if size else 1 / v
    total, kinds = sum(follow.values()), len(follow)
    return (follow[symbol] + kinds * shorter) / (total + kinds) if total else shorter


def cut(kind):
    """The stretches of the text as strings or lists of words."""
    text = letters(english()) if kind == "letter" else letters(english()).split()
    block = np.arange(len(text)) * 20 // len(text)
    edges = np.searchsorted(block, np.arange(21))
    return [text[a:b] for a, b in pairwise(edges)]


@pytest.mark.parametrize(("kind", "order"), [("letter", 4), ("letter", 6), ("word", 3)])
def test_the_sentence_is_scored_as_plain_counting_scores_it(kind, order):
    settings = Settings(symbols=kind, order=order, sentence="number of attributes qqq", share=1.0)
    result, text = run(settings), cut(kind)
    v = len(set(chain.from_iterable(text)))
    said = " number of" if kind == "letter" else ["number", "of", "attributes"]
    lead = 1 if kind == "letter" else 0
    for i in range(lead, len(said)):
        p = witten_bell(text, said[max(0, i - order + 1) : i], said[i], v)
        assert result.surprise[i - lead] == pytest.approx(-math.log2(p))
    if kind == "word":
        assert np.isnan(result.surprise[3])  # qqq is not on the list


def test_a_stretch_is_scored_by_a_model_that_has_not_read_it():
    settings, text = Settings(order=3, share=0.2, seed=4), cut("letter")
    rng = np.random.default_rng(settings.seed)
    held, read = info.folds(rng, settings.share)[2]
    assert not set(held) & set(read)
    assert len(read) == 3
    score = cache(lambda before, symbol: witten_bell([text[b] for b in read], before, symbol, 27))
    piece = text[held[1]][:205]
    bits = [-math.log2(score(piece[i - 2 : i], piece[i])) for i in range(5, 205)]
    codes, names, _ = info.corpus("letter")
    levels = info.number_runs(codes, 27)
    block, inside = info.stretches(len(codes))
    tallies = info.count(levels, (np.isin(block, read) & inside).astype(float), 27)
    p = info.probabilities(levels, tallies, 27)[2]
    at = np.flatnonzero((block == held[1]) & inside)[:200]
    assert np.allclose(-np.log2(p[at]), bits)
    assert "".join(names[c] for c in codes[at]) == piece[5:]
    every = -np.log2(p[(block == held[1]) & inside]).mean()
    assert run(settings).held[2, held[1]] == pytest.approx(every)


def test_the_p_that_leaves_half_a_bit_is_the_root_scipy_finds(result):
    root = brentq(lambda p: stats.entropy([p, *[(1 - p) / 7] * 7], base=2) - 0.5, 0.5, 0.999)
    assert result.half_bit[0] == pytest.approx(root)


@pytest.mark.parametrize("p", [0.003, 0.1, 0.5, 0.97])
def test_the_bound_on_a_mean_covers_the_quantiles_of_the_binomial_distribution(p):
    width = abs(math.log2(p / (1 - p)))
    allowed = info.mean_bound(math.sqrt(p * (1 - p)) * width, max(p, 1 - p) * width, 10_000)["tolerance"]
    ends = stats.binom.ppf([info.FALSE_ALARM / 2, 1 - info.FALSE_ALARM / 2], 10_000, p) / 10_000
    assert np.abs(ends - p).max() * width <= allowed


# --- invariant ---


@examples(max_examples=200, deadline=None)
@given(weights)
def test_no_distribution_leaves_the_range_of_its_largest_probability(w):
    p = np.array(w) / sum(w)
    least, most = info.entropy_range(p.max())
    assert least - 1e-9 <= info.entropy(p) <= most + 1e-9
    assert most <= 3 + 1e-12


@examples(max_examples=100, deadline=None)
@given(weights, weights, st.floats(0, 1))
def test_mixing_never_lowers_entropy_below_the_mean(a, b, share):
    p, q = np.array(a) / sum(a), np.array(b) / sum(b)
    mean = share * info.entropy(p) + (1 - share) * info.entropy(q)
    assert info.entropy(share * p + (1 - share) * q) >= mean - 1e-9


@pytest.mark.parametrize("kind", ["letter", "word"])
def test_every_distribution_of_the_model_adds_to_one_and_agrees_with_the_text(kind):
    text, names, _ = info.corpus(kind)
    v, rng = len(names), np.random.default_rng(0)
    levels = info.number_runs(text, v)
    tallies = info.count(levels, (rng.random(len(text)) < 0.5).astype(float), v)
    places = rng.choice(len(text), 20, replace=False)
    for order in (1, 3, 6):
        p = info.distributions(levels[:order], tallies[:order], places, v)
        assert np.allclose(p.sum(axis=1), 1)
        in_place = info.probabilities(levels, tallies, v)[order - 1, places]
        assert np.allclose(p[np.arange(20), text[places]], in_place)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "other",
    [
        {"share": 0.1}, {"symbols": "word"}, {"symbols": "word", "share": 0.1, "order": 6},
        {"weights": "0.9 0.1", "belief": 0.01}, {"weights": "1e6 1 0 1e-9", "belief": 0.99, "order": 1},
    ],
    ids=str,
)  # fmt: skip
def test_claims_hold_at_other_settings(seed, other):
    assert {c.verdict for c in claims(run(Settings(seed=seed, **other)))} == {"confirmed", "not checkable"}


# --- known case ---


def test_surprises_of_powers_of_two_count_the_halvings():
    assert info.surprise(np.array([1, 0.5, 0.25, 1 / 1024])).tolist() == [0, 1, 2, 10]
    assert info.surprise(0.0) == np.inf
    assert info.entropy(np.array([0.5, 0.25, 0.125, 0.125, 0, 0, 0, 0])) == 1.75


def test_three_letters_give_the_probabilities_worked_by_hand():
    # Of "abab" and three letters: p1(a) = p1(b) = (2 + 2/3)/6 = 4/9, p1(c) = (2/3)/6 = 1/9. After a, b came
    # twice and nothing else: p2(b | a) = (2 + 4/9)/3 = 22/27, p2(c | a) = (1/9)/3. After c, unseen, p1 stays.
    text = np.array([0, 1, 0, 1, 2, 0])
    levels = info.number_runs(text, 3)
    tallies = info.count(levels, np.array([1, 1, 1, 1, 0, 0.0]), 3)
    p = info.probabilities(levels, tallies, 3)
    assert p[0, 0] == pytest.approx(4 / 9)
    assert p[1, 1] == pytest.approx(22 / 27)
    assert p[1, 5] == pytest.approx(4 / 9)
    assert info.distributions(levels[:2], tallies[:2], np.array([1]), 3)[0, 2] == pytest.approx(1 / 27)


def test_the_tables_of_the_field_come_out():
    assert [round(float(x), 3) for x in info.entropy_range(0.9)] == [0.469, 0.75]
    assert math.exp(info.cross_entropy(info.two(0.5), info.two(0.9), math.e)) == pytest.approx(10 / 3)
    assert info.inverse_geometric_mean(np.array([0.5, 0.125]), 2) == pytest.approx(4)
    assert [round(x, 3) for x in run(Settings()).twenty] == [2.996, 4.322]


@pytest.mark.parametrize(
    ("text", "expected"), [("1 1", [1, 1]), ("0.9, 0.1;", [0.9, 0.1]), (" 63\n1\t1", [63, 1, 1])]
)
def test_weights_are_read_however_they_are_separated(text, expected):
    assert info.parse_weights(text) == expected
    assert run(Settings(weights=text)).p[:2] == pytest.approx(np.array(expected[:2]) / sum(expected))


@pytest.mark.parametrize("text", ["", "0 0", "1 -1", "a b", "nan", "inf 1", "1 " * 9, "2e6", "1/8"])
def test_weights_that_cannot_be_normalised_are_refused_by_name(text):
    with pytest.raises(ValidationError) as caught:
        Settings(weights=text)
    assert problems(caught.value, Settings)[0].startswith("weights = ")


@pytest.mark.parametrize("sentence", ["", "123 !", "<>", "…"])
def test_a_sentence_without_letters_is_refused_by_name(sentence):
    with pytest.raises(ValidationError) as caught:
        Settings(sentence=sentence)
    assert "sentence = " in problems(caught.value, Settings)[0]


def test_markup_in_a_sentence_is_only_letters():
    sentence = tables(run(Settings(sentence="<b>![x](y)</b> $z$")))["sentence"]
    assert set(sentence.symbol) <= set("abcdefghijklmnopqrstuvwxyz␣")


def test_the_challenges_have_the_answers_of_the_formulas():
    answers = [challenge.answer(run(Settings(**challenge.settings))) for challenge in CHALLENGES]
    assert answers[0] == pytest.approx(0.46900 + 0.1 * math.log2(7), abs=1e-5)
    assert answers[1:] == ["4 or 5", "over 10,000"]


# --- special cases ---


def test_words_that_are_not_listed_have_no_probability_and_no_claim():
    outcome = run(Settings(symbols="word", sentence="zebra quagga"))
    assert np.isnan(outcome.surprise).all()
    assert math.isnan(outcome.summary["sentence_perplexity"])
    assert claim(outcome, "2.5-info-01").verdict == "confirmed"


def test_a_belief_that_is_the_truth_is_said_not_to_tell_the_two_apart():
    assert "q = 0.5" in claim(run(Settings(belief=0.5)), "2.5-ppl-01").unmet


ENDS = [
    {field: end}
    for field, i in Settings.model_fields.items()
    for end in (choices(i) or bounds(i))
    if end is not None
]
TEXTS = [{"sentence": "z" * 60}, {"sentence": "a"}, {"weights": "1"}, {"weights": "0 0 0 0 0 0 0 3"},
         {"symbols": "word", "sentence": "a " * 30}, {"weights": "1e-320 1e-320"}]  # fmt: skip


@pytest.mark.parametrize("extreme", ENDS + TEXTS, ids=str)
def test_the_ends_of_every_control_run(extreme):
    outcome = run(Settings(**extreme))
    assert "refuted" not in {c.verdict for c in claims(outcome)}
    assert sum(len(frame) for frame in tables(outcome).values()) < 1000


# --- negative control ---


def bump(array, at, by):
    """The array with one entry changed."""
    spoiled = array.copy()
    spoiled[at] += by
    return spoiled


@pytest.mark.parametrize(
    ("claim_id", "spoil"),
    [
        ("2.5-info-01", lambda r: {"table_surprise": bump(r.table_surprise, 1, 0.0005)}),
        ("2.5-info-01", lambda r: {"table_surprise": bump(r.table_surprise, 2, 0.001)}),
        ("2.5-info-01", lambda r: {"surprise": bump(r.surprise, 3, 1e-6)}),
        ("2.5-ent-01", lambda r: {"even": bump(r.even, 7, -1e-6)}),
        ("2.5-ent-01", lambda r: {"random": bump(r.random, (1, 9), 3.0)}),
        ("2.5-ent-01", lambda r: {"entropy": r.entropy - 0.01}),
        ("2.5-ent-01", lambda r: {"p": info.peaked_with(7)}),
        ("2.5-ent-01", lambda r: {"coin": np.roll(r.coin, 1)}),
        ("2.5-ent-01", lambda r: {"coin_drawn": bump(r.coin_drawn, 3, 0.1)}),
        ("2.5-ent-01", lambda r: {"digit_count": np.roll(r.digit_count, 1) * np.linspace(1, 1.1, 10)}),
        ("2.5-ent-01", lambda r: {"digit_entropy": r.digit_entropy + 1e-6}),
        ("2.5-ent-02", lambda r: {"rivals": r.rivals[::-1]}),
        ("2.5-ent-02", lambda r: {"peaked": bump(r.peaked, 5, 0.5)}),
        ("2.5-ent-02", lambda r: {"peaked": r.peaked - 0.1}),
        ("2.5-ent-02", lambda r: {"half_bit": (0.9, 0.75)}),
        ("2.5-ent-02", lambda r: {"random": r.random[:, ::-1] * [[1], [0.9]]}),
        ("2.5-ppl-01", lambda r: {"cross_nats": r.fair_bits * math.log(2)}),
        ("2.5-ppl-01", lambda r: {"heads": 0.53}),
        ("2.5-ppl-01", lambda r: {"entropy_nats": r.entropy}),
        ("2.5-ppl-01", lambda r: {"settings": Settings(belief=0.8)}),
        ("2.5-ppl-02", lambda r: {"twenty": r.twenty[::-1]}),
        ("2.5-ppl-02", lambda r: {"product": r.product * 1.000001}),
        ("2.5-ppl-03", lambda r: {"held": np.tile(r.train[:, None], 20) + 0 * r.held}),
        ("2.5-ppl-03", lambda r: {"train": r.train[::-1]}),
        ("2.5-ppl-03", lambda r: {"floor": r.floor + 0.1}),
        ("2.5-ppl-03", lambda r: {"held": r.held[[0, 1, 2, 3, 5, 4]]}),
        ("2.5-ppl-03", lambda r: {"recounted": r.product}),
        ("2.5-ppl-03", lambda r: {"units": (r.units[1], r.units[1])}),
    ],
)  # fmt: skip
def test_a_spoiled_result_refutes_its_claim(result, claim_id, spoil):
    assert claim(result, claim_id).verdict == "confirmed"
    assert claim(replace(result, **spoil(result)), claim_id).verdict == "refuted"


def test_draws_from_another_distribution_do_not_have_your_mean_surprise():
    yours = run(Settings(weights="63 1 1 1 1 1 1 1"))
    other = run(Settings(weights="50 1 1 1 1 1 1 1"))
    swapped = replace(yours, drawn_surprise=float(info.cross_entropy(other.drawn, yours.p)))
    assert claim(yours, "2.5-ent-01").verdict == "confirmed"
    assert claim(swapped, "2.5-ent-01").verdict == "refuted"
