r"""**How uncertain is a symbol?**

Surprise, entropy and perplexity are one idea on three scales. You are about to meet them on English letters,
where a model is better the more it remembers until it is not, on a sentence of yours, and on eight outcomes
that you weigh yourself.

A symbol of probability $p$ brings a **surprise**; its mean is the **entropy**; put back into the exponent,
that is the **perplexity**, the number of equally likely symbols that would be as uncertain:

$$
I(x) = -\log p(x)
$$

$$
H(P) = \sum_x p(x)\, I(x)
$$

$$
\text{perplexity} = 2^{H \text{ in bits}} = e^{H \text{ in nats}}
$$

- base 2 counts **bits**, base $e$ counts **nats**; one nat is 1.443 bits, and perplexity is the same in both
- $n$ outcomes have at most $\log n$, when they are even

A model is scored by *its* probabilities $Q$ on symbols that come from $P$. The mean is then the
**cross-entropy**, which is larger than the entropy unless the model is right:

$$
H(P, Q) = -\sum_x p(x) \log q(x)
$$

$$
H(P, Q) = H(P) + D(P \,\|\, Q)
$$

The model here counts which symbol $s$ follows each run $c$ of $n - 1$, and leans on the run $c'$ that is one
shorter (Witten and Bell, 1991):

$$
p_n(s \mid c) = \frac{N(c, s) + T(c)\, p_{n-1}(s \mid c')}{N(c) + T(c)}
$$

- $N(c, s)$: how often $s$ followed $c$ in what was read; $T(c)$: how many different symbols did
- an unseen $c$ leaves $p_{n-1}$ as it is; below the empty run all symbols are alike
- the text is cut into 20 stretches; each is scored once by a model that has not read it (five folds)

**What to try.** Raise $n$: the training curve falls each time, the held-out one turns. Read a tenth of the
text, and it turns earlier. Then type your own sentence and see which letter the model did not expect. Give
one of eight outcomes the weight 63 and the rest 1 each, which is 90 %, and then give all of the rest to one
rival.

**What surprises.** That an outcome has 90 % does not say how large the entropy is: it can differ by half. And
a perplexity of 5.6 per letter and one of 40,000 per word can be the same model on the same text.

*References.* R. Hartley (1928), Transmission of information. C. Shannon (1948), A mathematical theory of
communication; (1951), Prediction and entropy of printed English. F. Jelinek, R. Mercer, L. Bahl and J. Baker
(1977), Perplexity: a measure of the difficulty of speech recognition tasks. I. Witten and T. Bell (1991), The
zero-frequency problem. S. Bernstein (1924) for the bound on a mean. Text: the descriptions of data sets that
come with scikit-learn.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import field_validator

from lab import contract
from lab.contract import Array, Challenge, Check, Claim, Tick, Tolerance, control, no_tick, seed_control
from lab.data import digits, english, letters
from lab.memory import fixed

Indices = NDArray[np.int64]

OUTCOMES, LONGEST = 8, 6
LARGEST_WEIGHT = 1e6
BLOCKS, FOLDS = 20, 5
DRAWS, RANDOM = 10_000, 400
FALSE_ALARM = 6.3e-5  # that of four standard errors
TABLE_P = np.array([0.5, 0.99, 0.001])  # of which the surprise is often tabulated
PEAK = 0.9  # the probability that is often said to leave half a bit
BRANCHES = 20  # the perplexity that is often read as a choice among so many
SHARES = np.arange(1, 100) / 100  # of a coin, and beliefs in one
COINS = np.arange(1, 20) / 20
TOPS = 4  # expected symbols named beside each symbol of the sentence


def parse_weights(text: str) -> list[float]:
    """One to eight numbers from 0 to a million, not all zero; ``ValueError`` otherwise."""
    numbers = [float(part) for part in re.split(r"[\s,;]+", text.strip(" ,;\n\t"))]
    good = len(numbers) <= OUTCOMES and all(0 <= w <= LARGEST_WEIGHT for w in numbers)
    if not good or sum(numbers) <= 0:
        raise ValueError(text)
    return numbers


Symbols = Literal["letter", "word"]


class Settings(contract.Settings):
    """What you can turn."""

    order: int = control(
        4, "Order n", ge=1, le=LONGEST, step=1, help="The model sees the last n − 1 symbols."
    )
    symbols: Symbols = control(
        "letter", "Symbol", help="27 letters (the space is one), or whole words from a list that is given."
    )
    share: float = control(
        1.0, "Text read", ge=0.1, le=1, step=0.1, help="Share of the training text that the model reads."
    )
    sentence: str = control(
        "the number of attributes is a zebra", "Your sentence", max_length=60,
        help="Scored symbol by symbol. Small letters a to z; anything else counts as a space.",
    )  # fmt: skip
    weights: str = control(
        "1 1 1 1 1 1 1 1", "Weights of eight outcomes", max_length=100,
        help="Up to eight numbers, none negative. Divided by their sum, they are probabilities.",
    )  # fmt: skip
    belief: float = control(
        0.9, "Belief q in heads", ge=0.01, le=0.99, step=0.01, help="What a model thinks of a fair coin."
    )
    seed: int = seed_control()

    @field_validator("sentence")
    @classmethod
    def _has_letters(cls, value: str) -> str:
        if not letters(value).strip():
            raise contract.setting_error("sentence", value, "needs at least one letter a to z; try the")
        return value

    @field_validator("weights")
    @classmethod
    def _are_weights(cls, value: str) -> str:
        try:
            parse_weights(value)
        except ValueError:
            why = "needs one to eight numbers from 0 to 1,000,000 that are not all 0; try 0.9 0.1"
            raise contract.setting_error("weights", value, why) from None
        return value


@dataclass(frozen=True)
class Level:
    """All runs of one length in a text, numbered."""

    context: Indices  # (n,) number of the run before each symbol
    pair: Indices  # (n,) number of that run with the symbol
    codes: Indices  # (r,) context · (v + 1) + symbol of each pair, ascending


@dataclass(frozen=True)
class Tally:
    """What was counted at one level: N(c, s) by pair (r,), N(c) and T(c) by context."""

    pairs: Array
    total: Array
    kinds: Array


@dataclass(frozen=True)
class Result:
    """Everything the charts, the claims and the tests need. All surprises in bits unless it says nats."""

    settings: Settings
    p: Array  # (8,) your outcomes
    entropy: float  # of yours
    entropy_nats: float
    drawn: Array  # (8,) shares of 10,000 draws
    drawn_surprise: float  # their mean surprise
    table_surprise: Array  # (3,) at TABLE_P
    even: Array  # (64,) entropies of 1 to 64 even outcomes
    random: Array  # (2, 400) largest probability and entropy of random distributions on eight outcomes
    peaked: Array  # (400,) entropies of random distributions whose largest is 0.9
    rivals: Array  # (2,) entropy with 0.9 and one rival, or seven equal ones
    half_bit: tuple[float, float]  # P that leaves half a bit with equal rivals, by bisection; its entropy
    coin: Array  # (99,) entropy of a coin at SHARES
    coin_drawn: Array  # (19,) mean surprise of 10,000 tosses at COINS
    digit_count: Array  # (10,) how often each digit was scanned
    digit_entropy: float
    fair_bits: float  # entropy of a fair coin
    cross_nats: float  # cross-entropy of your belief about it
    heads: float  # share of heads in 10,000 tosses
    twenty: tuple[float, float]  # entropy of 20 even outcomes in nats and bits
    listed: int  # symbols the model chooses from
    held: Array  # (6, 20) mean surprise at n = 1..6 in each stretch, unread
    scored: Indices  # (20,) symbols scored in each stretch
    train: Array  # (6,) mean surprise of what was read
    floor: Array  # (6,) the least that any model of that order could have there
    product: float  # Π p^{-1/N} over the N held-out symbols, at your order
    recounted: float  # Π p^{-1/M}, M words where symbols are letters, letters where they are words
    units: tuple[int, int]  # N and M
    spelt: tuple[str, ...]  # your sentence in symbols
    surprise: Array  # (m,) of each; NaN where the word is not on the list
    expected: Array  # (m,) entropy of what the model thought would come
    tops: tuple[str, ...]  # what it thought, in words
    chained: float  # surprise of the sentence as one event, by exact multiplication
    summary: dict[str, float]


# --- The mathematics ----------------------------------------------------------------------------------


def surprise(p: Array | float, base: float = 2.0) -> Array:
    """$-\\log p$, in bits or, with base e, in nats; infinite at zero."""
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log(p) / math.log(base)) + 0.0  # no minus zero


def cross_entropy(p: Array, q: Array, base: float = 2.0) -> Array:
    """$-\\sum_i p_i \\log q_i$ along the last axis; outcomes that never happen count nothing."""
    return np.sum(p * np.where(p > 0, surprise(np.where(p > 0, q, 1.0), base), 0.0), axis=-1)


def entropy(p: Array, base: float = 2.0) -> Array:
    """$-\\sum_i p_i \\log p_i$ along the last axis, with $0 \\log 0 = 0$."""
    return cross_entropy(p, p, base)


def two(p: Array | float) -> Array:
    """The distribution (..., 2) of a coin whose heads have probability p."""
    return np.stack([np.asarray(p), 1 - np.asarray(p)], axis=-1)


def divergence(p: Array, q: Array, base: float = 2.0) -> float:
    """$D(P \\| Q) = \\sum_i p_i \\log (p_i / q_i)$."""
    return float(np.sum(p[p > 0] * np.log(p[p > 0] / q[p > 0])) / math.log(base))


def small_surprise(rare: float, terms: int = 12) -> float:
    """$-\\log_2(1 - ε)$ by its series $\\sum_k ε^k / k$, over ln 2: what is nearly sure."""
    return sum(rare**k / k for k in range(1, terms + 1)) / math.log(2)


def entropy_range(largest: Array | float) -> tuple[Array, Array]:
    """Least and most entropy (bits) of eight outcomes of which the likeliest has this probability P.

    Entropy is concave. Over all distributions with no entry above P it is least at a corner: ⌊1/P⌋ times P,
    then what is left. Given P itself it is most when the other seven are equal.
    """
    top = np.asarray(largest, dtype=float)
    times = np.floor(1 / top + 1e-12)
    left = np.clip(1 - times * top, 0, 1)
    least = times * top * surprise(top) + left * surprise(np.where(left > 0, left, 1.0))
    rest = np.where(top < 1, (1 - top) / (OUTCOMES - 1), 1.0)
    return least, top * surprise(top) + (1 - top) * surprise(rest)


def peaked_with(rivals: int, top: float = PEAK) -> Array:
    """Eight outcomes (8,): ``top`` once, and the rest shared equally by this many rivals."""
    p = np.zeros(OUTCOMES)
    p[0], p[1 : 1 + rivals] = top, (1 - top) / rivals
    return p


def peak_for(bits: float) -> float:
    """The P whose seven equal rivals leave this entropy: it falls with P above 1/8, so halve the interval."""
    low, high = 1 / OUTCOMES, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if entropy(peaked_with(7, middle)) > bits else (low, middle)
    return high


def mean_bound(sd: float, widest: float, n: int, means: int = 1) -> Tolerance:
    """What a mean of n draws strays from its expectation at most, wrong once in 16,000 (Bernstein, 1924).

    $bL/3n + \\sqrt{(bL/3n)^2 + 2σ^2 L/n}$, b the largest deviation of one draw, L = ln(2 · means / 6.3e-5).
    Near 4.6 SE; unlike 4 SE it holds for rare outcomes as well.
    """
    log = math.log(2 * means / FALSE_ALARM)
    rare = widest * log / (3 * n)
    rule = f"Bernstein's bound on the mean of {n:,} draws, wrong once in 16,000, and rounding"
    return {"tolerance": rare + math.sqrt(rare**2 + 2 * sd**2 * log / n) + 1e-9, "rule": rule}


def inverse_geometric_mean(p: Array, count: int) -> float:
    """$\\prod_i p_i^{-1/m}$, multiplied out: each factor is near 1, so nothing overflows."""
    return float(np.prod(p ** (-1 / count)))


# --- The model ----------------------------------------------------------------------------------------


@cache
def corpus(kind: str) -> tuple[Indices, tuple[str, ...], Indices]:
    """The text as numbers (n,), what each number stands for, and how many letters each takes.

    A word takes one more, for the space after it.
    """
    text = letters(english())
    names, codes = np.unique(list(text) if kind == "letter" else text.split(), return_inverse=True)
    lengths = np.array([len(name) + (kind == "word") for name in names])
    return fixed((codes, tuple(map(str, names)), lengths))


def in_symbols(sentence: str, kind: str) -> tuple[str, ...]:
    """A sentence as the symbols that are scored."""
    text = letters(sentence).strip()
    return tuple(text) if kind == "letter" else tuple(text.split())


def number_runs(text: Indices, v: int) -> list[Level]:
    """Number the runs before every symbol, from the empty one up to n - 1 = 5; v stands for what is unknown.

    A run with its symbol is the run one longer before the next symbol, so each level is sorted once.
    """
    levels, context = list[Level](), np.zeros(len(text), dtype=np.int64)
    for _ in range(LONGEST):
        codes, pair = np.unique(context * (v + 1) + text, return_inverse=True)
        levels.append(Level(context, pair, codes))
        context = np.concatenate([[len(codes)], pair[:-1]])  # nothing is before the first symbol
    return levels


def count(levels: list[Level], read: Array, v: int) -> list[Tally]:
    """N(c, s), N(c) and T(c) over the symbols with ``read`` (n,) = 1, for every length of run."""
    tallies = []
    for level in levels:
        pairs = np.bincount(level.pair, read).astype(float)
        run = level.codes // (v + 1)
        total, kinds = (np.bincount(run, w).astype(float) for w in (pairs, pairs > 0))
        tallies.append(Tally(pairs, total, kinds))
    return tallies


def lean(seen: Array, total: Array, kinds: Array, shorter: Array) -> Array:
    """Witten and Bell's step: $(N(c,s) + T(c) p_{n-1}) / (N(c) + T(c))$, or $p_{n-1}$ where N(c) is zero."""
    return np.where(total > 0, (seen + kinds * shorter) / np.maximum(total + kinds, 1), shorter)


def probabilities(levels: list[Level], tallies: list[Tally], v: int) -> Array:
    """Probability (6, n) of each symbol of the text in its place, for n = 1..6."""
    rows = [np.full(len(levels[0].pair), 1 / v)]
    for level, tally in zip(levels, tallies, strict=True):
        at = level.context
        rows.append(lean(tally.pairs[level.pair], tally.total[at], tally.kinds[at], rows[-1]))
    return np.array(rows[1:])


def distributions(levels: list[Level], tallies: list[Tally], places: Indices, v: int) -> Array:
    """Probabilities (m, v) of all symbols at these places, at the order of the levels given."""
    p = np.full((len(places), v), 1 / v)
    for level, tally in zip(levels, tallies, strict=True):
        run = level.context[places][:, None]
        wanted = run * (v + 1) + np.arange(v)
        at = np.minimum(np.searchsorted(level.codes, wanted), len(level.codes) - 1)
        seen = np.where(level.codes[at] == wanted, tally.pairs[at], 0.0)
        p = lean(seen, tally.total[run], tally.kinds[run], p)
    return p


def conditional_entropy(tally: Tally) -> float:
    """$H(\\text{run and symbol}) - H(\\text{run})$ of what was counted: no model of that order has less."""
    n = tally.pairs.sum()
    return float(entropy(tally.pairs / n) - entropy(tally.total / n))


def stretches(n: int) -> tuple[Indices, NDArray[np.bool_]]:
    """The stretch of each symbol (n,), and whether its longest run lies in the same one."""
    block = np.arange(n) * BLOCKS // n
    return block, np.concatenate([np.full(LONGEST - 1, -1), block[: 1 - LONGEST]]) == block


def folds(rng: np.random.Generator, share: float) -> list[tuple[Indices, Indices]]:
    """Five times: the four stretches held out, and those read of the other sixteen."""
    order, out = rng.permutation(BLOCKS), []
    for fold in range(FOLDS):
        held = order[fold::FOLDS]
        rest = order[~np.isin(order, held)]
        out.append((held, rest[: max(1, round(share * len(rest)))]))
    return out


# --- The run ------------------------------------------------------------------------------------------


def run(settings: Settings, tick: Tick = no_tick) -> Result:
    """Weigh eight outcomes, score the text by models that have not read it, and read your sentence."""
    _, names, _ = corpus(settings.symbols)
    v, number = len(names), {name: i for i, name in enumerate(names)}
    spelt = in_symbols(settings.sentence, settings.symbols)
    mine = np.array([number.get(symbol, v) for symbol in spelt])
    _numbered(settings.symbols, spelt)
    tick(0.2)
    scored = _held_out(settings, spelt, tick)
    thought = _thought(settings, spelt)
    own = thought[np.arange(len(mine)), np.minimum(mine, v - 1)]
    tick(0.9)
    result = Result(
        settings=settings, **_outcomes_and_coins(settings.weights, settings.seed), **scored, listed=v,
        cross_nats=float(cross_entropy(two(0.5), two(settings.belief), math.e)),
        spelt=spelt, surprise=np.where(mine < v, surprise(own), np.nan), expected=entropy(thought),
        tops=_tops(thought, names), chained=_chained(thought, mine), summary={},
    )  # fmt: skip
    result.summary.update(_summary(result))
    tick(1.0)
    return result


def after_folds(seed: int) -> tuple[Indices, np.random.Generator]:
    """The order in which stretches are read for the sentence, and the stream of random numbers after it."""
    rng = np.random.default_rng(seed)
    rng.permutation(BLOCKS)  # that of the folds
    return rng.permutation(BLOCKS), rng


@lru_cache(maxsize=1)
def _numbered(symbols: Symbols, spelt: tuple[str, ...]) -> list[Level]:
    """All runs of the text and of the sentence after it. Remembered: the same however much is read."""
    text, names, _ = corpus(symbols)
    v, number = len(names), {name: i for i, name in enumerate(names)}
    lead = [number[" "]] if symbols == "letter" else []  # a sentence begins after a space
    mine = [number.get(symbol, v) for symbol in spelt]
    return number_runs(np.concatenate([text, [v], lead, mine]).astype(np.int64), v)


@dataclass(frozen=True)
class Scored:
    """The held-out text, scored at every order: fields of ``Result``, and each symbol's probability."""

    held: Array
    train: Array
    floor: Array
    unread: Array  # (6, N) of the held-out symbols


# Scored before: the same whatever order or belief you look at. 1.5 MB.
_scored: dict[Any, Scored] = {}


def _held_out(settings: Settings, spelt: tuple[str, ...], tick: Tick) -> dict[str, Any]:
    """The part of the result on the text: each stretch scored by a model that has not read it."""
    text, names, lengths = corpus(settings.symbols)
    block, inside = stretches(len(text))
    key = (settings.symbols, spelt, settings.share, settings.seed)
    if (scored := _scored.get(key)) is None:
        scored = _score(*key, tick)
        _scored.clear()
        _scored[key] = scored
    p, symbols = scored.unread[settings.order - 1], text[inside]
    # The same text counted otherwise: a word ends with each space, or a word is so many letters.
    others = int(np.sum(symbols == names.index(" ")) if " " in names else np.sum(lengths[symbols]))
    return {
        "held": scored.held, "scored": np.bincount(block[inside], minlength=BLOCKS),
        "train": scored.train, "floor": scored.floor,
        "product": inverse_geometric_mean(p, len(p)), "recounted": inverse_geometric_mean(p, others),
        "units": (len(p), others),
    }  # fmt: skip


def _score(symbols: Symbols, spelt: tuple[str, ...], share: float, seed: int, tick: Tick) -> Scored:
    """Score the held-out text by models of every order."""
    text, names, _ = corpus(symbols)
    levels, plan = _numbered(symbols, spelt), folds(np.random.default_rng(seed), share)
    v, n, (block, inside) = len(names), len(text), stretches(len(text))
    held, train, floor = np.empty((LONGEST, BLOCKS)), np.zeros(LONGEST), np.zeros(LONGEST)
    unread = list[Array]()
    for fold, (out, read) in enumerate(plan):
        seen = np.isin(block, read) & inside
        tallies = count(levels, _mask(seen, levels), v)
        p = probabilities(levels, tallies, v)[:, :n]
        bits = surprise(p)
        for b in out:
            held[:, b] = bits[:, (block == b) & inside].mean(axis=1)
        train += bits[:, seen].mean(axis=1) / len(plan)
        floor += np.array([conditional_entropy(tally) for tally in tallies]) / len(plan)
        unread.append(p[:, np.isin(block, out) & inside])
        tick(0.2 + 0.6 * (fold + 1) / len(plan))
    return Scored(held, train, floor, np.concatenate(unread, axis=1))


def _thought(settings: Settings, spelt: tuple[str, ...]) -> Array:
    """Probabilities (m, v) of every symbol in each place of the sentence, which ends the text."""
    text, names, _ = corpus(settings.symbols)
    block, inside = stretches(len(text))
    read = after_folds(settings.seed)[0][: max(1, round(settings.share * BLOCKS))]
    levels = _numbered(settings.symbols, spelt)[: settings.order]
    tallies = count(levels, _mask(np.isin(block, read) & inside, levels), len(names))
    total = len(levels[0].pair)
    return distributions(levels, tallies, np.arange(total - len(spelt), total), len(names))


def _mask(which: NDArray[np.bool_], levels: list[Level]) -> Array:
    """1 where a symbol is read; the sentence after the text never is."""
    return np.concatenate([which, np.zeros(len(levels[0].pair) - len(which))]).astype(float)


@lru_cache(maxsize=64)
def _outcomes_and_coins(weights: str, seed: int) -> dict[str, Any]:
    """The part of the result on eight outcomes, on coins and on the digits."""
    rng = after_folds(seed)[1]
    return {**_outcomes(weights, rng), **_coins(rng)}


def _outcomes(weights: str, rng: np.random.Generator) -> dict[str, Any]:
    """The part of the result on eight outcomes."""
    numbers = parse_weights(weights)
    p = np.array(numbers + [0.0] * (OUTCOMES - len(numbers))) / sum(numbers)
    drawn = rng.multinomial(DRAWS, p) / DRAWS
    # Concentrations from 0.05 (nearly certain) to 20 (nearly even) fill the whole range of entropies.
    gamma = rng.standard_gamma(np.geomspace(0.05, 20, RANDOM)[:, None], (RANDOM, OUTCOMES)) + 1e-12
    random = gamma / gamma.sum(axis=1, keepdims=True)
    rest = np.roll(random, RANDOM // 2, axis=0)[:, 1:]
    peaked = np.column_stack([np.full(RANDOM, PEAK), (1 - PEAK) * rest / rest.sum(axis=1, keepdims=True)])
    half, twenty = peak_for(0.5), np.full(BRANCHES, 1 / BRANCHES)
    return {
        "p": p, "entropy": float(entropy(p)), "entropy_nats": float(entropy(p, math.e)),
        "drawn": drawn, "drawn_surprise": float(cross_entropy(drawn, p)),
        "table_surprise": surprise(TABLE_P),
        "even": np.array([entropy(np.full(k, 1 / k)) for k in range(1, 65)]),
        "random": np.stack([random.max(axis=1), entropy(random)]), "peaked": entropy(peaked),
        "rivals": np.array([entropy(peaked_with(1)), entropy(peaked_with(7))]),
        "half_bit": (half, float(entropy(peaked_with(7, half)))),
        "twenty": (float(entropy(twenty, math.e)), float(entropy(twenty))),
    }  # fmt: skip


def _coins(rng: np.random.Generator) -> dict[str, Any]:
    """The part of the result on coins and on the digits."""
    tossed = rng.binomial(DRAWS, COINS) / DRAWS
    digit_count = np.bincount(digits()[1].astype(int)).astype(float)
    return {
        "coin": entropy(two(SHARES)), "coin_drawn": cross_entropy(two(tossed), two(COINS)),
        "digit_count": digit_count, "digit_entropy": float(entropy(digit_count / digit_count.sum())),
        "fair_bits": float(entropy(two(0.5))), "heads": float(rng.binomial(DRAWS, 0.5) / DRAWS),
    }  # fmt: skip


def shown(symbol: str) -> str:
    """A symbol as a chart shows it: the space as ␣."""
    return "␣" if symbol == " " else symbol


def _tops(thought: Array, names: Sequence[str]) -> tuple[str, ...]:
    """The likeliest symbols of each place in words."""
    best = np.argsort(-thought, axis=1, kind="stable")[:, :TOPS]
    return tuple(
        ", ".join(f"{shown(names[i])} {row[i]:.0%}" for i in order)
        for order, row in zip(best, thought, strict=True)
    )


def _chained(thought: Array, mine: Indices) -> float:
    """Bits of the sentence as one event: its probability in exact fractions; unlisted words left out."""
    v, whole = thought.shape[1], Fraction(1)
    for row, symbol in zip(thought, mine, strict=True):
        whole *= Fraction(float(row[symbol])) if symbol < v else 1
    return math.log2(whole.denominator) - math.log2(whole.numerator)


def held_out(r: Result) -> Array:
    """Mean surprise (6,) of all held-out symbols, for n = 1..6."""
    return r.held @ r.scored / r.scored.sum()


def known_mean(values: Array) -> float:
    """The mean of what is a number; NaN where nothing is."""
    return float(values[np.isfinite(values)].mean()) if np.isfinite(values).any() else math.nan


def _summary(r: Result) -> dict[str, float]:
    at, bits, (n, m) = r.settings.order - 1, held_out(r), r.units
    least, most = entropy_range(float(r.p.max()))
    per_other = 2 ** (float(bits[at]) * n / m)
    letter = r.settings.symbols == "letter"
    return {
        "held_out_perplexity": float(2 ** bits[at]), "held_out_bits": float(bits[at]),
        "held_out_nats": float(bits[at] * math.log(2)), "training_perplexity": float(2 ** r.train[at]),
        "best_n": float(bits.argmin() + 1), "best_perplexity": float(2 ** bits.min()),
        "perplexity_per_word": per_other if letter else float(2 ** bits[at]),
        "perplexity_per_letter": float(2 ** bits[at]) if letter else per_other,
        "sentence_bits_per_symbol": known_mean(r.surprise),
        "sentence_perplexity": 2 ** known_mean(r.surprise),
        "entropy_bits": r.entropy, "entropy_nats": r.entropy_nats, "perplexity": 2**r.entropy,
        "least_bits": float(least), "most_bits": float(most), "cross_perplexity": math.exp(r.cross_nats),
    }  # fmt: skip


# --- Theory against measurement -----------------------------------------------------------------------


def claims(result: Result) -> list[Claim]:
    """The seven claims on surprise, entropy and perplexity."""
    return [
        _surprise(result), _most_entropy(result), _peak(result), _two_quantities(result), _choices(result),
        _lower_is_better(result), _unpublished(),
    ]  # fmt: skip


def _surprise(r: Result) -> Claim:
    near = small_surprise(1 - TABLE_P[1])
    also = [
        Check(what="0.0145 minus the value, so that it rounds down", predicted=0.0, relation=">",
              measured=0.0145 - float(r.table_surprise[1]), **contract.exact()),
        Check(what="bits at p = 0.5", predicted=1.0, measured=float(r.table_surprise[0]), **contract.exact()),
        Check(what="bits at p = 0.001, which is 3 log₂ 10", predicted=3 * math.log2(10),
              measured=float(r.table_surprise[2]), **contract.identity(10)),
        Check(what="the same as printed", predicted=9.97, measured=float(r.table_surprise[2]),
              **contract.rounded(2)),
    ]  # fmt: skip
    if np.isfinite(r.surprise).any():
        also.append(
            Check(what="surprises add: bits of your sentence as one event", predicted=r.chained,
                  measured=float(np.nansum(r.surprise)), **contract.identity(r.chained))
        )  # fmt: skip
    return Claim(
        id="2.5-info-01",
        statement=r"An outcome of probability 0.99 brings $-\log_2 0.99$ = 0.0144996 bits, 0.014 to three "
        "decimals; 0.5 brings 1 bit and 0.001 brings 9.97.",
        text_verdict="wrong",
        often_taught="Probabilities 0.5, 0.99 and 0.001 bring 1, 0.015 and 9.97 bits.",
        predicted=near,
        measured=float(r.table_surprise[1]),
        **contract.identity(),
        also=tuple(also),
        reason="It lies just below the half. Rounded twice, first to 0.0145 and then up, it goes wrong.",
    )


def _most_entropy(r: Result) -> Claim:
    known = r.p[r.p > 0]
    sd = math.sqrt(max(float(known @ surprise(known) ** 2) - r.entropy**2, 0.0))
    widest = float(np.abs(surprise(known) - r.entropy).max())
    per_coin = np.abs(np.log2(COINS / (1 - COINS)))
    gaps = np.abs(r.coin_drawn - entropy(two(COINS)))
    allowed = [
        mean_bound(math.sqrt(p * (1 - p)) * w, max(p, 1 - p) * w, DRAWS, len(COINS))["tolerance"]
        for p, w in zip(COINS, per_coin, strict=True)
    ]
    worst = int(np.argmax(gaps - allowed))
    u = r.digit_count * 10 / r.digit_count.sum() - 1  # relative excess of each digit over a tenth
    share, tenth = r.digit_count / r.digit_count.sum(), np.full(10, 0.1)
    order = np.arange(1, len(r.even) + 1)
    off = int(np.abs(r.even - np.log2(order)).argmax())
    return Claim(
        id="2.5-ent-01",
        statement=r"$n$ outcomes have at most $\log_2 n$ bits, reached when they are even: 3 bits for eight, "
        "1 bit for a coin.",
        predicted=math.log2(OUTCOMES),
        measured=float(r.even[OUTCOMES - 1]),
        **contract.identity(3),
        also=(
            Check(what=f"n up to {len(order)} (worst: {off + 1})", predicted=math.log2(off + 1),
                  measured=float(r.even[off]), **contract.identity(6)),
            Check(what=f"largest of {RANDOM} random distributions", predicted=3.0, relation="<=",
                  measured=float(r.random[1].max()), **contract.identity(3)),
            Check(what="yours is 3 − D(yours ‖ even)", measured=r.entropy,
                  predicted=3 - divergence(r.p, np.full(OUTCOMES, 1 / OUTCOMES)), **contract.identity(3)),
            Check(what="mean surprise of 10,000 draws from yours", predicted=r.entropy,
                  measured=r.drawn_surprise, **mean_bound(sd, widest, DRAWS)),
            Check(what="a coin's entropy peaks at", predicted=0.5, measured=float(SHARES[r.coin.argmax()]),
                  **contract.exact()),
            Check(what="its height there", predicted=1.0, measured=float(r.coin.max()),
                  **contract.identity()),
            Check(what=f"mean surprise of 10,000 tosses at p = {COINS[worst]:g} (worst of {len(COINS)})",
                  predicted=float(entropy(two(COINS[worst]))),
                  measured=float(r.coin_drawn[worst]), tolerance=allowed[worst],
                  rule=f"Bernstein's bound, wrong once in 16,000 for all {len(COINS)} coins together"),
            Check(what="scanned digits: log₂ 10 − D(shares ‖ even)", measured=r.digit_entropy,
                  predicted=math.log2(10) - divergence(share, tenth), **contract.identity(4)),
            Check(what="what they lack is near Σ u²/20 nats, u the relative excess of a digit",
                  predicted=float(np.sum(u**2) / 20 / math.log(2)), measured=math.log2(10) - r.digit_entropy,
                  tolerance=float(np.sum(np.abs(u) ** 3) / 60 / (1 - np.abs(u).max()) ** 2 / math.log(2)),
                  rule="the next term, Σ |u|³/60 nats over (1 − max |u|)²"),
        ),
        reason="Entropy is concave and does not care which outcome is which, so evening out only raises it.",
    )  # fmt: skip


def _peak(r: Result) -> Claim:
    one, seven = entropy_range(PEAK)
    bits = np.append(r.random[1], r.entropy)
    least, most = entropy_range(np.append(r.random[0], r.p.max()))
    return Claim(
        id="2.5-ent-02",
        statement="If one of eight outcomes has probability 0.9, the entropy is between 0.469 bits (one "
        "rival has the rest) and 0.750 (seven share it). Shown: seven.",
        text_verdict="wrong",
        often_taught="One of eight outcomes with P = 0.9 leaves an entropy of about 0.5 bits.",
        predicted=float(entropy(two(PEAK)) + (1 - PEAK) * math.log2(OUTCOMES - 1)),
        measured=float(r.rivals[1]),
        **contract.identity(),
        also=(
            Check(what="one rival: H(0.9)", predicted=float(one), measured=float(r.rivals[0]),
                  **contract.identity()),
            Check(what=f"least of {RANDOM} random ways to share", predicted=float(one), relation=">=",
                  measured=float(r.peaked.min()), **contract.identity()),
            Check(what=f"most of {RANDOM} random ways", predicted=float(seven), relation="<=",
                  measured=float(r.peaked.max()), **contract.identity()),
            Check(what="half a bit with equal rivals: entropy at the P found by bisection", predicted=0.5,
                  measured=r.half_bit[1], **contract.identity()),
            Check(what="that P, as printed", predicted=0.939, measured=r.half_bit[0], **contract.rounded(3)),
            Check(what="random distributions and yours: entropy minus the least for their largest P",
                  predicted=0.0, relation=">=", measured=float((bits - least).min()),
                  **contract.identity(3)),
            Check(what="and minus the most", predicted=0.0, relation="<=",
                  measured=float((bits - most).max()), **contract.identity(3)),
        ),
        reason="By grouping, H = H(0.9) + 0.1 · (entropy of the rivals), and they can have 0 to log₂ 7 bits.",
    )  # fmt: skip


def _two_quantities(r: Result) -> Claim:
    q = r.settings.belief
    apart = abs(math.log(q / (1 - q)))
    tossed = -r.heads * math.log(q) - (1 - r.heads) * math.log(1 - q)
    gap = divergence(two(0.5), two(q), math.e)
    return Claim(
        id="2.5-ppl-01",
        statement=rf"$2^{{H(P)}}$ and $e^{{H(P,Q)}}$ are two quantities: a fair coin has perplexity 2, but "
        f"for a model that believes {q:g} in heads it has this one.",
        text_verdict="wrong",
        often_taught="Perplexity is 2 to the entropy, which is e to the cross-entropy.",
        predicted=1 / math.sqrt(q * (1 - q)),
        measured=math.exp(r.cross_nats),
        **contract.identity(10),
        also=(
            Check(what="2 to the entropy of the coin in bits", predicted=2.0, measured=2**r.fair_bits,
                  **contract.identity(2)),
            Check(what="they differ by the factor e^D(P‖Q)", predicted=math.exp(gap),
                  measured=math.exp(r.cross_nats) / 2**r.fair_bits, **contract.identity(5)),
            Check(what="so the second is larger", predicted=2.0, relation=">",
                  measured=math.exp(r.cross_nats), **contract.exact()),
            Check(what="mean surprise of 10,000 tosses under the belief, in nats",
                  predicted=-math.log(q * (1 - q)) / 2, measured=tossed,
                  **mean_bound(apart / 2, apart / 2, DRAWS)),
            Check(what="one quantity, two units: 2^bits and e^nats of your outcomes", predicted=2**r.entropy,
                  measured=math.exp(r.entropy_nats), **contract.identity(8)),
        ),
        unmet="at q = 0.5 the belief is the truth, and both quantities are 2" if apart < 1e-12 else "",
        reason="Cross-entropy is entropy plus D(P‖Q). Only a model that is exactly right has none of that.",
    )  # fmt: skip


def _choices(r: Result) -> Claim:
    bits = r.summary["held_out_bits"]
    return Claim(
        id="2.5-ppl-02",
        statement="A perplexity of 20 is the uncertainty of 20 equally likely symbols: 2.996 nats (shown) or "
        "4.322 bits.",
        predicted=math.log(BRANCHES),
        measured=r.twenty[0],
        **contract.identity(3),
        also=(
            Check(what="bits", predicted=math.log2(BRANCHES), measured=r.twenty[1], **contract.identity(4)),
            Check(what="nats as printed", predicted=2.996, measured=r.twenty[0], **contract.rounded(3)),
            Check(what="bits as printed", predicted=4.322, measured=r.twenty[1], **contract.rounded(3)),
            Check(what="2^bits of 20 even outcomes", predicted=20.0, measured=2 ** r.twenty[1],
                  **contract.identity(20)),
            Check(what="held-out text: 2^(mean bits) is Π p^(−1/N), multiplied out", predicted=2**bits,
                  measured=r.product, **contract.identity(2**bits)),
        ),
        reason="N even outcomes have log N, and the exponent takes that back to N. A text's perplexity is "
        "one over the geometric mean of its probabilities.",
    )  # fmt: skip


def _lower_is_better(r: Result) -> Claim:
    bits, (n, m), at = held_out(r), r.units, r.settings.order - 1
    gaps, se = r.held - r.train[:, None], _block_se
    wider, sixth = gaps[-1] - gaps[0], r.held[5] - r.held[4]
    other = "word" if r.settings.symbols == "letter" else "letter"
    many = r.settings.symbols == "letter"  # of 5,300 words too few are left to tell 5 from 6 every time
    return Claim(
        id="2.5-ppl-03",
        statement="Lower perplexity is better on text the model has not read, in the same symbols. On what "
        "it has read it is too low; shown: held-out minus training bits at n = 6.",
        text_verdict="conditional",
        often_taught="The lower the perplexity, the better the model.",
        predicted=0.0,
        relation=">",
        measured=float(gaps[-1].mean()),
        **se(gaps[-1]),
        also=(
            Check(what="largest rise of training bits from one n to the next", predicted=0.0, relation="<=",
                  measured=float(np.diff(r.train).max()), **contract.identity(5)),
            Check(what="training bits minus what any model of that order has at least", predicted=0.0,
                  relation=">=", measured=float((r.train - r.floor).min()), **contract.identity(5)),
            Check(what="the gap is wider at n = 6 than at n = 1, by", predicted=0.0, relation=">",
                  measured=float(wider.mean()), **se(wider)),
            Check(what="held-out bits that n = 6 costs over n = 5", predicted=0.0,
                  relation=">" if many else ">=", measured=float(sixth.mean()), **se(sixth)),
            Check(what=f"the same model, counted per {other}: perplexity^({n / m:.3f})",
                  predicted=2 ** (float(bits[at]) * n / m), measured=r.recounted,
                  **contract.identity(r.recounted)),
        ),
        reason="More memory can only raise the probability of what was read (by Jensen and Gibbs), so "
        f"training never warns you. And one {other} is {n / m:.3g} {r.settings.symbols}s, whoever scores it.",
    )  # fmt: skip


def _block_se(values: Array) -> Tolerance:
    """Four standard errors of a mean over the stretches."""
    deviation = float(values.std(ddof=1))
    return contract.four_standard_errors(deviation / math.sqrt(BLOCKS), f"s/√{BLOCKS} over the stretches")


def _unpublished() -> Claim:
    return Claim(
        id="2.5-ppl-04",
        statement="GPT-4 is often said to have a perplexity of 8 to 12.",
        text_verdict="unverifiable",
        often_taught="GPT-4 has a perplexity of 8 to 12.",
        reason="No such number was published. It would depend on the text and on what it is counted in: the "
        "same model has one perplexity per token, another per word.",
    )


# --- Tables -------------------------------------------------------------------------------------------


def tables(result: Result) -> dict[str, pd.DataFrame]:
    """What the charts draw and the export writes."""
    return {
        "main": _orders(result),
        "sentence": _sentence(result),
        "outcomes": _bars(result),
        "entropy_range": _ranges(),
        "peak": _peak_row(result),
        "random": _units({"largest": result.random[0], "bits": result.random[1]}),
        "coin": _coin_curve(result),
        "belief": _beliefs(result),
        "surprise_table": pd.DataFrame({"p": TABLE_P, "bits": result.table_surprise}),
    }


def _units(columns: dict[str, Any]) -> pd.DataFrame:
    """A frame of the columns, with each ...bits again in nats."""
    nats = {
        name.replace("bits", "nats"): np.asarray(column) * math.log(2)
        for name, column in columns.items()
        if name.endswith("bits")
    }
    return pd.DataFrame(columns | nats)


def _orders(r: Result) -> pd.DataFrame:
    bits = held_out(r)
    se = r.held.std(axis=1, ddof=1) / math.sqrt(BLOCKS)
    columns = {
        "n": np.arange(1, LONGEST + 1), "held_out_bits": bits, "low_bits": bits - 2 * se,
        "high_bits": bits + 2 * se, "training_bits": r.train, "floor_bits": r.floor,
        "held_out_perplexity": 2**bits, "training_perplexity": 2**r.train,
    }  # fmt: skip
    return pd.DataFrame(columns)


def _sentence(r: Result) -> pd.DataFrame:
    known = np.isfinite(r.surprise)
    so_far = np.cumsum(np.where(known, r.surprise, 0)) / np.maximum(np.cumsum(known), 1)
    so_far = np.where(np.cumsum(known) > 0, so_far, np.nan)
    width = r.settings.order - 1
    glue = "" if r.settings.symbols == "letter" else " "
    before = [glue.join(map(shown, r.spelt[max(0, i - width) : i])) for i in range(len(r.spelt))]
    columns = {
        "place": np.arange(1, len(r.spelt) + 1), "symbol": list(map(shown, r.spelt)), "after": before,
        "probability": 2**-r.surprise, "bits": r.surprise, "expected_bits": r.expected,
        "so_far_bits": so_far, "expected": r.tops, "perplexity_so_far": 2**so_far,
    }  # fmt: skip
    return _units(columns)


def _bars(r: Result) -> pd.DataFrame:
    bits = np.where(r.p > 0, surprise(np.where(r.p > 0, r.p, 1.0)), np.nan)
    return _units(
        {"outcome": np.arange(1, OUTCOMES + 1), "predicted": r.p, "measured": r.drawn, "bits": bits}
    )


def _ranges() -> pd.DataFrame:
    largest = np.arange(25, 201) / 200
    least, most = entropy_range(largest)
    return _units({"largest": largest, "least_bits": least, "most_bits": most})


def _peak_row(r: Result) -> pd.DataFrame:
    one, seven = r.rivals
    columns = {"largest": [PEAK], "least_bits": [one], "most_bits": [seven], "often_taught_bits": [0.5]}
    return _units(columns)


def _coin_curve(r: Result) -> pd.DataFrame:
    drawn = np.full(len(SHARES), np.nan)
    drawn[np.searchsorted(SHARES, COINS)] = r.coin_drawn
    return _units({"p": SHARES, "bits": r.coin, "drawn_bits": drawn})


def _beliefs(r: Result) -> pd.DataFrame:
    q = np.unique(np.append(SHARES, r.settings.belief))
    tossed = np.exp(-r.heads * np.log(q) - (1 - r.heads) * np.log(1 - q))
    shown_at = np.isclose(q * 20, np.round(q * 20)) | (q == r.settings.belief)
    return pd.DataFrame(
        {
            "belief": q,
            "predicted": 1 / np.sqrt(q * (1 - q)),
            "entropy": 2**r.fair_bits,
            "measured": np.where(shown_at, tossed, np.nan),
        }
    )


# --- Predict, then see --------------------------------------------------------------------------------

_BEST = ("2 or 3", "4 or 5", "6")
_PER_WORD = ("about 30", "about 1,000", "over 10,000")

CHALLENGES = (
    Challenge(
        prompt="One of eight outcomes has probability 0.9; seven equal rivals share the rest. How many bits?",
        options=(),
        settings={"weights": "63 1 1 1 1 1 1 1"},
        answer=lambda result: result.entropy,
        curve=("entropy_range", "largest", "most_bits"),
        at=0.9,
        why="H(0.9) is 0.469 bits, and one time in ten it also takes log₂ 7 to say which rival it was.",
    ),
    Challenge(
        prompt="Models that see n − 1 letters back read four fifths of a text. Which n is best on the rest?",
        options=_BEST,
        settings={"order": 6},
        answer=lambda result: _BEST[int(np.searchsorted([3, 5], result.summary["best_n"]))],
        why="A run of five letters was mostly seen once, and what followed it once is a poor guide.",
    ),
    Challenge(
        prompt="A letter model has a perplexity near 5 per letter. What is it per word, space included?",
        options=_PER_WORD,
        settings={"order": 5},
        answer=lambda result: _PER_WORD[
            int(np.searchsorted([180, 10_000], result.summary["perplexity_per_word"]))
        ],
        why="Bits add. A word has about six letters, so six times the bits: its perplexity to the sixth.",
    ),
)
