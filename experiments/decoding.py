r"""**How do temperature, top-k and top-p reshape the next symbol?**

A model that has read 33,000 letters of English gives each next symbol a probability. Three knobs change that
before one is drawn: watch the bars, then read the text they write.

The model counts what follows each run of $n-1$ symbols (a to z and the space). Where it has not seen enough,
it leans on the shorter run, and that one on a shorter one still (Witten and Bell, 1991):

$$
p(s \mid c) = \frac{N(c, s) + T(c)\, p(s \mid c')}{N(c) + T(c)}
$$

- $N(c, s)$: how often $s$ followed the run $c$; $N(c)$: how often anything did; $T(c)$: how many different
  symbols did; $c'$ is $c$ without its first symbol
- an unseen run has $N = T = 0$ and falls back to $c'$ altogether; below the empty run all 27 are alike

The logarithms $z_i = \ln p_i$ are what a network would call **logits**, and the **softmax** turns them back.
**Temperature** $\tau$ divides them first:

$$
\mathrm{softmax}(z)_i = \frac{e^{z_i}}{\sum_j e^{z_j}}, \qquad
p_i(\tau) = \mathrm{softmax}(z/\tau)_i = \frac{p_i^{1/\tau}}{\sum_j p_j^{1/\tau}}
$$

- $\tau \to 0$ leaves only the most likely symbol (**greedy** decoding), $\tau = 1$ changes nothing,
  $\tau \to \infty$ makes all alike
- **top-k** keeps the $k$ most likely symbols; **top-p** keeps the fewest that hold a share $p$ together
- here as usual: temperature first, then top-k, then top-p, then one draw
- **distinct-4**: of all runs of four symbols in a text, the share that are different

**What to try.** Set $\tau = 0.05$ and read: greedy text goes round in a circle, because a rule that always
picks the favourite has finitely many places to be. Set $\tau = 3$: noise. Now lower $p$ to 0.3 and the words
are back. Then fit the temperature table by hand: one strong rival, and how many others?

**What surprises.** The table many people learn temperature from (0.60 becoming 0.99, 0.85, 0.35 and 0.22)
belongs to no distribution at all. And drawn text repeats itself *less* than English does.

*References.* C. Shannon (1948), A mathematical theory of communication, for text drawn from letter counts.
I. Good (1953), The population frequencies of species. D. Ackley, G. Hinton and T. Sejnowski (1985), A
learning algorithm for Boltzmann machines, for the temperature. I. Witten and T. Bell (1991), The
zero-frequency problem. J. Li et al. (2016), A diversity-promoting objective function, for distinct-n. R.
Sennrich, B. Haddow and A. Birch (2016), Neural machine translation of rare words with subword units. A. Fan,
M. Lewis and Y. Dauphin (2018), Hierarchical neural story generation, for top-k. A. Holtzman et al. (2020),
The curious case of neural text degeneration, for top-p.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import field_validator

from lab import contract
from lab.contract import Array, Challenge, Check, Claim, Tick, control, no_tick, seed_control
from lab.data import english, letters
from lab.memory import remembered

Indices = NDArray[np.int64]

ALPHABET = " abcdefghijklmnopqrstuvwxyz"
V = len(ALPHABET)
NUMBER = {symbol: number for number, symbol in enumerate(ALPHABET)}
TAUS = np.array([
    0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.4, 1.7, 2, 2.4, 3, 4, 5, 7, 10,
])  # fmt: skip
LADDER = (0.2, 0.5, 1.0, 2.0, 5.0)  # temperatures whose text is shown beside yours
SAMPLES, REPEATS, DRAWS = 4, 10, 10_000
FEW = 64  # contexts: four standard errors of a correlation are then more than one half
# Of REPEATS texts at each of TAUS, the first at each of LADDER.
ON_LADDER = [REPEATS * int(np.argmin(np.abs(TAUS - tau))) for tau in LADDER]
USUAL_P = 0.9  # for the sizes of sets, where top-p is switched off

# The table that temperature is often taught with: what a probability of 0.60 becomes.
TABLE_TAU = np.array([0.1, 0.5, 1.0, 2.0, 5.0])
TABLE_P = np.array([0.99, 0.85, 0.60, 0.35, 0.22])
TOP, PRINTED = 0.6, 0.005  # the probability it starts from; half a unit of its last digit
MERGES = 150  # byte-pair merges learnt from the text


class Settings(contract.Settings):
    """What you can turn."""

    order: int = control(4, "Order n", ge=1, le=6, step=1, help="The model sees the last n − 1 symbols.")
    context: str = control(
        "the", "Context", max_length=40,
        help="What has been written so far. Small letters a to z; anything else counts as a space.",
    )  # fmt: skip
    tau: float = control(
        1.0, "Temperature τ", ge=0.05, le=10, log=True, help="Below 1 favours the likely, above 1 the others."
    )
    top_k: int = control(V, "Top-k", ge=1, le=V, step=1, help="Keep the k most likely. 27 keeps all.")
    top_p: float = control(
        1.0, "Top-p", ge=0.1, le=1, step=0.01, help="Keep the fewest with this share. 1 keeps all."
    )
    length: int = control(300, "Length", ge=50, le=600, step=10, unit="symbols", help="Of each text drawn.")
    rival: float = control(
        0.1, "Strongest rival of 0.60", ge=0, le=0.4, step=0.001,
        help="For the table: the second most likely token's probability. The others share what is left.",
    )  # fmt: skip
    others: int = control(
        8, "Other rivals", ge=1, le=50_000, log=True, help="For the table: how many share the rest equally."
    )
    seed: int = seed_control()

    @field_validator("context")
    @classmethod
    def _has_letters(cls, value: str) -> str:
        if not letters(value).strip():
            raise contract.setting_error("context", value, "needs at least one letter a to z; try the")
        return value


Words = tuple[int, int, int, int, int]
Pieces = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Model:
    """An n-gram model as an automaton: a node for each run seen, of every length below n."""

    order: int
    codes: tuple[Indices, ...]  # for each length, the runs seen as numbers to the base 27, ascending
    first: tuple[int, ...]  # for each length, the node of its first run
    probability: Array  # (m, 27) of the next symbol
    ranked: Indices  # (m, 27) symbols, most likely first
    log_ranked: Array  # (m, 27) their log-probabilities, falling
    step: Indices  # (m, 27) the node after a symbol: the longest run seen that ends there


@dataclass(frozen=True)
class Result:
    """Everything the charts, the claims and the tests need."""

    settings: Settings
    asked: str  # the symbols the model would look at
    used: str  # the longest end of them that it has seen
    base: Array  # (27,) next-symbol probabilities after the context
    taus: Array  # (f,) the temperatures of the bars: TAUS and yours
    after: Array  # (f, 27) predicted, at your k and p
    drawn: Array  # (f, 27) share of 10,000 draws
    sharp: tuple[float, float, float]  # a low τ, what is not on the favourite there, its bound
    flat: tuple[float, float, float]  # a high τ, the largest distance from 1/27 there, its bound
    softmax_sums: Array  # (m,) over all contexts
    softmax_shift: Array  # (m,) largest change when 1,000 is added to every logit
    naive_broken: int  # how many of 27 are not numbers without the shift, 1,000 added
    overflow_at: float  # the largest z with a finite exponential, by bisection
    texts: tuple[str, ...]  # your samples, then the ladder, then greedy
    greedy: Indices  # (length,) by walking to the favourite
    k_is_one: Indices  # (length,) by the sampler at k = 1, whatever was drawn
    run_in: int  # steps before the greedy walk comes round
    period: int  # steps of its circle
    distinct: Array  # (23, 10) distinct-4 at TAUS, temperature alone
    distinct_kept: Array  # (23, 10) the same with your k and p
    distinct_greedy: float
    distinct_real: Array  # (w,) of the text's own windows of this length
    set_p: float  # the share at which sets are measured
    contexts: Array  # (c, 27) distributions of all contexts of n - 1 symbols, at your τ
    sizes: Indices  # (c,) symbols kept by top-p there
    entropy: Array  # (c,) in bits
    yours: Array  # (23,) your tail's P(0.60 token) at TAUS
    yours_miss: float  # its largest miss over all rows of the table
    crowd: Array  # (3,) P at τ = 2, τ = 5, and the most equal rivals that leave 0.22 at τ = 5
    best_three: tuple[float, float, int]  # miss, rival, others over rows 0.5, 2 and 5
    best_all: tuple[float, float, int]  # the same over all rows
    bound_three: float  # what no tail can go below
    bound_all: float
    half_given_tenth: float  # the largest P(0.5) of all tails tried with P(0.1) printed as 0.99
    words: Words  # listed, seen once, seen twice, held out, held out and unlisted
    pieces: Pieces  # unlisted words and the tokens they are written in
    misspelt: int  # of them, how many their tokens do not spell
    tokens: tuple[int, int]  # learnt tokens, and those that are not whole words
    summary: dict[str, float]


# --- From logits to a choice --------------------------------------------------------------------------


def softmax(z: Array) -> Array:
    """Probabilities (..., v) of logits (..., v); the largest is taken off first, so nothing overflows."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def naive_softmax(z: Array) -> Array:
    """The formula as written: e^z is infinite from z = 709.8 on, and ∞/∞ is not a number."""
    with np.errstate(over="ignore", invalid="ignore"):
        e = np.exp(z)
        return e / e.sum(axis=-1, keepdims=True)


def temper(p: Array, tau: Array | float) -> Array:
    """$p_i^{1/τ} / \\sum_j p_j^{1/τ}$ along the last axis, through logarithms; zero stays zero."""
    with np.errstate(divide="ignore"):
        return softmax(np.log(p) / tau)


def kept(weights: Array, k: Array, p: Array) -> NDArray[np.bool_]:
    """Which of the weights (b, v), largest first, survive top-k and then top-p; k and p are (b,)."""
    first = np.arange(weights.shape[1]) < k[:, None]
    mass = np.cumsum(np.where(first, weights, 0.0), axis=1)
    before = np.concatenate([np.zeros((len(mass), 1)), mass[:, :-1]], axis=1)
    return first & ((before < p[:, None] * mass[:, -1:]) | (p[:, None] >= 1))


def reshape(p: Array, tau: Array | float, k: int, share: float) -> Array:
    """Distributions (b, v) after temperature, one or a column of them, top-k and top-p, renormalised."""
    hot = temper(p, tau)
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(hot, order, axis=1)
    ranked = np.where(kept(ranked, np.full(len(p), k), np.full(len(p), share)), ranked, 0.0)
    out = np.empty_like(ranked)
    np.put_along_axis(out, order, ranked / ranked.sum(axis=1, keepdims=True), axis=1)
    return out


def entropy_bits(p: Array) -> Array:
    """$-\\sum_i p_i \\log_2 p_i$ along the last axis."""
    return -np.sum(p * np.log2(np.where(p > 0, p, 1.0)), axis=-1)


def nucleus_sizes(p: Array, share: float) -> Indices:
    """How many symbols top-p keeps of each row of p (b, v)."""
    ranked = -np.sort(-p, axis=1)
    return kept(ranked, np.full(len(p), p.shape[1]), np.full(len(p), share)).sum(axis=1)


@lru_cache(maxsize=64)
def entropy_range(share: float) -> tuple[Array, Array]:
    """Least and largest entropy that a distribution can have whose set has m = 1, 2, ... symbols.

    No set is larger than that of the even distribution, so there are ⌈27 · share⌉ entries.
    Largest: ``share`` spread evenly over m, the rest over the others. Least: entropy is concave and a falling
    distribution mixes the uniform ones on its first j symbols, so it ends at one of them or a mix of two.
    """
    uniform = np.tril(np.ones((V, V))) / np.arange(1, V + 1)[:, None]  # row j - 1: even over the first j
    most = int(np.ceil(share * V - 1e-9))
    low, high = np.zeros(most), np.full(most, np.log2(V))
    for m in range(1, most + 1):
        top = uniform[:, : m - 1].sum(axis=1)  # must stay below the share in the end
        a, b = (g.ravel() for g in np.meshgrid(np.arange(m - 1), np.flatnonzero(top < share)))
        w = (share - top[b]) / (top[a] - top[b])
        mixes = w[:, None] * uniform[a] + (1 - w)[:, None] * uniform[b]
        low[m - 1] = entropy_bits(np.concatenate([mixes, uniform[top <= share]])).min()
        if m < share * V:
            parts = np.array([share / m] * m + [(1 - share) / (V - m)] * (V - m))
            high[m - 1] = entropy_bits(parts)
    return low, high


# --- The model ----------------------------------------------------------------------------------------


@cache
def corpus() -> Indices:
    """The text as numbers: 0 for the space, 1 to 26 for a to z."""
    return read(letters(english()))


@cache
def words() -> tuple[str, ...]:
    """The words of the text, in their order."""
    return tuple(letters(english()).split())


def run_codes(text: Indices, length: int) -> Indices:
    """Every run of ``length`` symbols as a number to the base 27, the first symbol counting most."""
    code = np.zeros(len(text) - length + 1, dtype=np.int64)
    for j in range(length):
        code = code * V + text[j : len(text) - length + 1 + j]
    return code


def find(sorted_codes: Indices, wanted: Indices) -> tuple[Indices, NDArray[np.bool_]]:
    """Where the wanted codes stand, and whether they do."""
    at = np.minimum(np.searchsorted(sorted_codes, wanted), len(sorted_codes) - 1)
    return at, sorted_codes[at] == wanted


@cache
def model(order: int) -> Model:
    """Count the text and smooth by Witten and Bell, from the empty run up to n - 1 symbols."""
    text, first = corpus(), list[int]()
    codes, levels = list[Indices](), list[Array]()
    for length in range(order):
        seen, which = np.unique(run_codes(text[:-1], length), return_inverse=True)
        counts = np.bincount(which * V + text[length:], minlength=len(seen) * V).reshape(-1, V)
        kinds = np.sum(counts > 0, axis=1, keepdims=True)  # T(c)
        if length == 0:
            shorter = np.full((1, V), 1 / V)
        else:
            shorter = levels[-1][find(codes[-1], seen % V ** (length - 1))[0]]
        first.append(sum(map(len, codes)))
        codes.append(seen)
        levels.append((counts + kinds * shorter) / (counts.sum(axis=1, keepdims=True) + kinds))
    p = np.concatenate(levels)
    ranked = np.argsort(-p, axis=1, kind="stable")
    log_ranked = np.log(np.take_along_axis(p, ranked, axis=1))
    return Model(order, tuple(codes), tuple(first), p, ranked, log_ranked, _steps(order, codes, first))


def _steps(order: int, codes: list[Indices], first: list[int]) -> Indices:
    """The node (m, 27) after each symbol: the run one longer if it was seen, else as from the shorter run."""
    if order == 1:
        return np.zeros((1, V), dtype=np.int64)
    levels = [first[1] + np.arange(V)[None, :]]  # every single symbol was seen
    for length in range(1, order):
        shorter = levels[-1][find(codes[length - 1], codes[length] % V ** (length - 1))[0]]
        if length < order - 1:
            at, seen = find(codes[length + 1], codes[length][:, None] * V + np.arange(V))
            shorter = np.where(seen, first[length + 1] + at, shorter)
        levels.append(shorter)
    return np.concatenate(levels)


def node_after(m: Model, text: str) -> tuple[int, int]:
    """The node reached by reading ``text``, and how many of its last symbols the node stands for."""
    node = 0
    for symbol in letters(text):
        node = int(m.step[node, ALPHABET.index(symbol)])
    return node, int(np.searchsorted(m.first, node, side="right")) - 1


def sample(m: Model, start: int, tau: Array, k: Array, p: Array, uniform: Array, tick: Tick) -> Indices:
    """Texts (b, length) drawn side by side, each with its own τ, k and p, from ``uniform`` (length, b)."""
    (length, b), row = uniform.shape, np.arange(uniform.shape[1])
    relative = (m.log_ranked - m.log_ranked[:, :1])[:, : k.max()].copy()  # what is not kept need not be known
    node, out, column = np.full(b, start), np.empty((b, length), dtype=np.int64), tau[:, None]
    narrow = p.min() < 1
    for t in range(length):
        mass = np.cumsum(np.exp(relative.take(node, axis=0) / column), axis=1)
        total = mass[row, k - 1]
        if narrow:  # the last one kept is the first to reach this share of the k
            total = mass[row, (mass >= (p * total)[:, None]).argmax(axis=1)]
        rank = (mass > (uniform[t] * total)[:, None]).argmax(axis=1)
        out[:, t] = m.ranked[node, rank]
        node = m.step[node, out[:, t]]
        if t % 50 == 49:
            tick(t / length)
    return out


def greedy_walk(m: Model, start: int, length: int) -> tuple[Indices, int, int]:
    """Always the favourite: the text (length,), the steps before it comes round, and those of its circle."""
    node, seen, out = start, {start: 0}, []
    while True:
        out.append(int(m.ranked[node, 0]))
        node = int(m.step[node, out[-1]])
        if node in seen:
            break
        seen[node] = len(out)
    run_in, period = seen[node], len(out) - seen[node]
    at = np.arange(length)
    return np.array(out)[np.where(at < run_in, at, run_in + (at - run_in) % period)], run_in, period


def distinct_4(texts: Indices) -> Array:
    """Share of different runs of four in each text (b, length)."""
    runs = sum(texts[:, j : texts.shape[1] - 3 + j] * V ** (3 - j) for j in range(4))
    ordered = np.sort(runs, axis=1)
    return (1 + np.sum(np.diff(ordered, axis=1) != 0, axis=1)) / ordered.shape[1]


@cache
def distinct_4_of_english(length: int) -> Array:
    """The same of the text's own windows of this length (w,)."""
    whole = len(corpus()) // length
    return distinct_4(corpus()[: whole * length].reshape(whole, -1))


def in_words(text: str) -> float:
    """The share of letters that belong to words of the corpus, the cut word at either end included."""
    known, found = _known_words(), text.split()
    return sum(len(w) for w in found if w in known) / max(sum(map(len, found)), 1)


@cache
def _known_words() -> frozenset[str]:
    return frozenset(words())


def read(text: str) -> Indices:
    """Letters to numbers."""
    return np.array([NUMBER[c] for c in text])


def spell(symbols: Indices) -> str:
    """Numbers back to letters."""
    return "".join(ALPHABET[s] for s in symbols)


# --- The table for 0.60 -------------------------------------------------------------------------------


def tail(rival: float, others: int) -> Array:
    """The rivals of a token with 0.60: one of size ``rival``, and ``others`` that share the rest."""
    parts = np.array([rival] + [(1 - TOP - rival) / others] * others)
    return parts[parts > 0]


def top_after(rivals: Array, tau: Array) -> Array:
    """What 0.60 becomes at each τ (t,) in front of these rivals: a softmax over all tokens."""
    p = np.append(TOP, rivals)
    return np.array([temper(p, t)[0] for t in tau])


def top_in_theory(rival: Array | float, others: Array | float, tau: Array | float) -> Array:
    """The same in closed form: $1 / (1 + r^{1/τ} + m (s/m)^{1/τ})$, with r and s in units of 0.60."""
    r, s = np.asarray(rival) / TOP, (1 - TOP - np.asarray(rival)) / TOP
    a = 1 / np.asarray(tau)
    return np.asarray(1 / (1 + r**a + others * (s / others) ** a))


@cache
def tails_tried() -> tuple[tuple[float, float, int], tuple[float, float, int], float]:
    """Best of 401 × 60 tails over rows 0.5, 2 and 5, and over all; the largest P(0.5) if P(0.1) is 0.99."""
    rival = np.arange(401)[:, None, None] / 1000
    others = np.unique(np.round(np.geomspace(1, 50_000, 60))).astype(int)[None, :, None]
    p = top_in_theory(rival, others, TABLE_TAU)  # (401, ., 5)
    found = []
    for rows in ([1, 3, 4], [0, 1, 2, 3, 4]):
        miss = np.abs(p - TABLE_P)[..., rows].max(axis=-1)
        i, j = np.unravel_index(miss.argmin(), miss.shape)
        found.append((float(miss[i, j]), float(rival[i, 0, 0]), int(others[0, j, 0])))
    return found[0], found[1], float(p[..., 1][p[..., 0] <= TABLE_P[0] + PRINTED].max())


def miss_given(largest: float, rows: tuple[int, ...], room: float = 0.012) -> float:
    """No tail whose strongest rival is ``largest`` (in units of 0.60) misses these rows by less.

    A row says how large $S_a = \\sum_j r_j^a$ is, a = 1/τ. Given the strongest, the others are a measure on
    (0, largest] of mass 2/3 − largest, and $S_a$ is linear in it: a linear programme, in which fractions of a
    rival are allowed. The bounds on $S_a$ are loosened to straight lines in the miss.
    """
    from scipy.optimize import linprog

    a, p = 1 / TABLE_TAU[list(rows)], TABLE_P[list(rows)]
    r = np.geomspace(1e-6, largest, 200)
    scale = r ** (1 - a.min())  # the unknowns count towards the last row, so none is tiny
    moments, own = scale * r ** (a[:, None] - 1), largest**a
    chord = (1 / (p - np.minimum(room, p / 2)) - 1 / p) / np.minimum(room, p / 2)
    upper = np.column_stack([moments, -chord])  # S_a ≤ 1/p − 1 + chord · miss
    lower = np.column_stack([-moments, -1 / p**2])  # S_a ≥ 1/p − 1 − miss/p²
    level = 1 / p - 1 - own
    answer = linprog(
        np.append(np.zeros(len(r)), 1.0), np.concatenate([upper, lower]), np.concatenate([level, -level]),
        np.append(scale, 0.0)[None, :], [(1 - TOP) / TOP - largest], method="highs",
    )  # fmt: skip
    return room if answer.x is None else min(float(answer.x[-1]), room)


@cache
def smallest_miss(rows: tuple[int, ...]) -> float:
    """The same for any tail: the smallest over its strongest rival, on a grid and then between."""
    from scipy.optimize import minimize_scalar

    grid = np.linspace(0.02, (1 - TOP) / TOP - 0.02, 17)
    values = [miss_given(x, rows) for x in grid]
    i = int(np.argmin(values))
    near = (grid[max(i - 1, 0)], grid[min(i + 1, 16)])
    finer = minimize_scalar(
        lambda x: miss_given(x, rows), bounds=near, method="bounded", options={"xatol": 1e-3}
    )
    return float(min(finer.fun, values[i]))


def rival_needed() -> tuple[float, float]:
    """The strongest rival that a row 0.99 at τ = 0.1 needs, and the most that P(0.5) can then be.

    $S_{10} \\le r^9 \\cdot 2/3$ and $S_2 \\ge r^2$ for the strongest rival r, in units of 0.60.
    """
    s10 = 1 / (TABLE_P[0] + PRINTED) - 1
    r = (s10 / ((1 - TOP) / TOP)) ** (1 / 9)
    return float(TOP * r), float(1 / (1 + r**2))


# --- Words and tokens ---------------------------------------------------------------------------------


@cache
def merges() -> tuple[tuple[tuple[int, int], ...], tuple[str, ...]]:
    """Byte-pair merges learnt from the text, and what each token spells; no token spans two words."""
    stream, names, pairs = corpus().copy(), list(ALPHABET), []
    for _ in range(MERGES):
        inside = np.array([name[0] != " " for name in names])[stream[1:]]
        code = (stream[:-1] * len(names) + stream[1:])[inside]
        best = int(np.bincount(code).argmax())
        pairs.append((best // len(names), best % len(names)))
        names.append(names[pairs[-1][0]] + names[pairs[-1][1]])
        stream = merge(stream, *pairs[-1], len(names) - 1)
    return tuple(pairs), tuple(names)


def merge(stream: Indices, a: int, b: int, new: int) -> Indices:
    """Replace every a b by ``new``, from the left."""
    hit = np.flatnonzero((stream[:-1] == a) & (stream[1:] == b))
    if a == b:  # of a run of touching hits, every second one
        start = np.flatnonzero(np.diff(hit, prepend=-2) > 1)
        hit = hit[(np.arange(len(hit)) - np.repeat(start, np.diff(np.append(start, len(hit))))) % 2 == 0]
    out = stream.copy()
    out[hit] = new
    return np.delete(out, hit + 1)


def encode(text: str) -> list[str]:
    """A text in tokens: the merges, in the order in which they were learnt."""
    pairs, names = merges()
    stream = read(text)
    for i, (a, b) in enumerate(pairs):
        stream = merge(stream, a, b, V + i)
    return [names[s] for s in stream]


def unlisted(order: Indices) -> tuple[Words, list[str]]:
    """List the words of half of the text, put in this order; which words of the other half are not listed?"""
    mixed = np.array(words())[order]
    half = len(mixed) // 2
    listed, counts = np.unique(mixed[:half], return_counts=True)
    new = mixed[half:][~np.isin(mixed[half:], listed)]
    numbers = (half, int(np.sum(counts == 1)), int(np.sum(counts == 2)), len(mixed) - half, len(new))
    return numbers, sorted(set(new.tolist()))


# --- The run ------------------------------------------------------------------------------------------


def run(settings: Settings, tick: Tick = no_tick) -> Result:
    """Reshape one choice, write texts, measure sets and repetition, and try to fit the table."""
    m, k, p = model(settings.order), settings.top_k, settings.top_p
    start, reached = node_after(m, settings.context)
    asked = letters(settings.context)[max(0, len(letters(settings.context)) - settings.order + 1) :]
    base = m.probability[start]
    tick(0.05)

    share = numbers_drawn(settings.length, settings.seed)[0]
    taus = np.unique(np.append(TAUS, settings.tau))
    after = reshape(np.tile(base, (len(taus), 1)), taus[:, None], k, p)
    mass = np.cumsum(after, axis=1)
    below = np.searchsorted(share, mass / mass[:, -1:])  # draws that fall to each symbol and those before it
    drawn = np.diff(below, axis=1, prepend=0) / DRAWS

    place = (settings.order, start, settings.length, settings.seed)

    def by_tau(k: int, p: float, low: float, high: float) -> tuple[Array, tuple[str, ...]]:
        key = (*place, k, p)
        return remembered(_by_tau, key, 32, lambda: texts_by_tau(*key, _part_of(tick, low, high)))

    plain = by_tau(V, 1.0, 0.1, 0.5)
    kept_texts = by_tau(k, p, 0.5, 0.85) if k < V or p < 1 else plain
    key = (*place, settings.tau, k, p)
    yours = remembered(_yours, key, 32, lambda: your_texts(*key, _part_of(tick, 0.85, 0.9)))
    greedy, run_in, period = greedy_walk(m, start, settings.length)
    tick(0.92)

    set_p = p if p < 1 else USUAL_P
    contexts, sizes, entropy = _sets_at(settings.order, settings.tau, set_p)
    three, every, half = tails_tried()
    numbers, pieces, misspelt, tokens = _unlisted_in_tokens(settings.length, settings.seed)
    rivals = tail(settings.rival, settings.others)
    tick(0.96)
    result = Result(
        settings, asked, asked[len(asked) - min(reached, len(asked)) :], base, taus, after, drawn,
        _sharp(base), _flat(base), *_softmax_checks(settings.order, start), largest_exponent(),
        (*yours[0], *kept_texts[1], spell(greedy)), greedy, yours[1], run_in, period,
        plain[0], kept_texts[0], float(distinct_4(greedy[None])[0]), distinct_4_of_english(settings.length),
        set_p, contexts, sizes, entropy,
        top_after(rivals, TAUS), float(np.abs(top_after(rivals, TABLE_TAU) - TABLE_P).max()),
        _crowd(), three, every, smallest_miss((1, 3, 4)), smallest_miss((0, 1, 3, 4)), half,
        numbers, pieces, misspelt, tokens, {},
    )  # fmt: skip
    result.summary.update(_summary(result))
    tick(1.0)
    return result


# Texts drawn before: those by temperature alone are the same whatever you keep. 5 kB each.
_by_tau: dict[Any, tuple[Array, tuple[str, ...]]] = {}
_yours: dict[Any, tuple[tuple[str, ...], Indices]] = {}


def _part_of(tick: Tick, low: float, high: float) -> Tick:
    """A tick whose 0 to 1 is the part from ``low`` to ``high`` of another."""
    return lambda fraction, /, **live: tick(low + (high - low) * fraction, **live)


@lru_cache(maxsize=4)
def numbers_drawn(length: int, seed: int) -> tuple[Array, Array, Indices]:
    """Numbers for the draws (10,000,), ascending, for the texts (length, 15), and an order of the words."""
    rng = np.random.default_rng(seed)
    share, uniform = rng.random(DRAWS), rng.random((length, REPEATS + SAMPLES + 1))
    return np.sort(share), uniform, rng.permutation(len(words()))


def texts_by_tau(
    order: int, start: int, length: int, seed: int, k: int, p: float, tick: Tick
) -> tuple[Array, tuple[str, ...]]:
    """Distinct-4 (23, 10) of texts at TAUS, and one text at each of LADDER."""
    chains = len(TAUS) * REPEATS
    uniform = np.tile(numbers_drawn(length, seed)[1][:, :REPEATS], len(TAUS))
    ks, ps = np.full(chains, k), np.full(chains, p)
    texts = sample(model(order), start, np.repeat(TAUS, REPEATS), ks, ps, uniform, tick)
    return distinct_4(texts).reshape(-1, REPEATS), tuple(map(spell, texts[ON_LADDER]))


def your_texts(
    order: int, start: int, length: int, seed: int, tau: float, k: int, p: float, tick: Tick
) -> tuple[tuple[str, ...], Indices]:
    """Texts at your temperature, k and p, and one (length,) with k = 1, which is to equal the greedy walk."""
    uniform, each = numbers_drawn(length, seed)[1][:, REPEATS:], np.ones(SAMPLES + 1)
    ks = np.append(np.full(SAMPLES, k), 1)
    texts = sample(model(order), start, tau * each, ks, p * each, uniform, tick)
    return tuple(map(spell, texts[:-1])), texts[-1].copy()


@lru_cache(maxsize=1)
def _sets_at(order: int, tau: float, share: float) -> tuple[Array, Indices, Array]:
    """Distributions (c, 27) of all contexts of n - 1 symbols, the sizes of their sets, and entropies (c,).

    Remembered: the same whatever k is.
    """
    m = model(order)
    contexts = temper(m.probability[m.first[-1] :], tau)
    return contexts, nucleus_sizes(contexts, share), entropy_bits(contexts)


def _sharp(p: Array) -> tuple[float, float, float]:
    """A τ so low that at most a thousandth is left: the others hold at most $27\\,(p_2/p_1)^{1/τ}$."""
    best = p >= p.max() * (1 - 1e-12)
    if best.all():
        return 1.0, 0.0, 0.0
    ratio = p[~best].max() / p.max()
    tau = float(np.log(ratio) / np.log(1e-3 / V))
    return tau, float(temper(p, tau)[~best].sum()), float(V * ratio ** (1 / tau))


def _flat(p: Array) -> tuple[float, float, float]:
    """A τ of 1,000 times the range R of the logits: no entry is $(e^{R/τ} - 1)/27$ away from 1/27."""
    tau = max(float(1e3 * np.log(p.max() / p.min())), 1.0)
    bound = np.expm1(np.log(p.max() / p.min()) / tau) / V
    return tau, float(np.abs(temper(p, tau) - 1 / V).max()), float(bound)


@lru_cache(maxsize=4)
def _softmax_checks(order: int, start: int) -> tuple[Array, Array, int]:
    """Sums and shifts over all contexts; without the shift, how many entries are not numbers at z + 1,000."""
    p = model(order).probability
    z, chosen = np.log(p), p[start]
    once = softmax(z)
    shift = np.abs(softmax(z + 1000) - once).max(axis=1)
    return once.sum(axis=1), shift, int(np.sum(~np.isfinite(naive_softmax(np.log(chosen) + 1000))))


@cache
def largest_exponent() -> float:
    """The largest z for which e^z is finite, found by halving an interval."""
    low, high = 0.0, 1000.0
    with np.errstate(over="ignore"):
        while high - low > 1e-10:
            middle = (low + high) / 2
            low, high = (middle, high) if np.isfinite(np.exp(middle)) else (low, middle)
    return low


@cache
def _crowd() -> Array:
    """0.60 among 50,000 equal rivals at τ = 2 and 5; the most equal rivals that leave it 0.22 at τ = 5."""
    among = top_after(tail(0.0, 50_000), np.array([2.0, 5.0]))
    enough = [n for n in range(1, 40) if top_after(tail(0.0, n), np.array([5.0]))[0] >= TABLE_P[-1]]
    return np.append(among, max(enough))


@lru_cache(maxsize=64)
def _unlisted_in_tokens(length: int, seed: int) -> tuple[Words, Pieces, int, tuple[int, int]]:
    """Fields of ``Result``, from ``words`` to ``tokens``."""
    numbers, new = unlisted(numbers_drawn(length, seed)[2])
    return numbers, *_written(new)


def _written(new: list[str]) -> tuple[Pieces, int, tuple[int, int]]:
    """The unlisted words in tokens, how many are misspelt, and how many tokens are not whole words."""
    parts: list[list[str]] = []
    for token in encode(" " + " ".join(new)):
        if token[0] == " ":
            parts.append([])
        parts[-1].append(token)
    wrong = sum("".join(p).strip() != word for p, word in zip(parts, new, strict=True))
    longest = sorted(range(len(new)), key=lambda i: (-len(new[i]), new[i]))[:6]
    learnt, known = merges()[1][V:], _known_words()
    broken = sum(not (name[0] == " " and name[1:] in known) for name in learnt)
    shown = tuple((new[i], " · ".join(p.strip() for p in parts[i] if p.strip())) for i in longest)
    return shown, wrong, (len(learnt), broken)


def _summary(r: Result) -> dict[str, float]:
    at, top = int(np.searchsorted(r.taus, r.settings.tau)), int(r.base.argmax())
    near = int(np.argmin(np.abs(TAUS - r.settings.tau)))
    return {
        "p_top_before": float(r.base[top]),
        "p_top_after": float(r.after[at, top]),
        "kept": float(np.sum(r.after[at] > 0)) if r.settings.top_p < 1 else float(r.settings.top_k),
        "entropy_after_bits": float(entropy_bits(r.after[at])),
        "distinct_yours": float(r.distinct_kept[near].mean()),
        "distinct_tau_1": float(r.distinct[TAUS == 1].mean()),
        "distinct_greedy": r.distinct_greedy,
        "distinct_real": float(r.distinct_real.mean()),
        "mean_set": float(r.sizes.mean()),
        "table_miss_yours": r.yours_miss,
        "table_miss_best": r.best_all[0],
        "tau_5_yours": float(r.yours[TAUS == 5][0]),
    }


# --- Theory against measurement -----------------------------------------------------------------------


def claims(result: Result) -> list[Claim]:
    """The seven claims on decoding."""
    return [
        _softmax(result), _vocabulary(result), _temperature(result), _table(result), _crowded(result),
        _nucleus(result), _greedy(result),
    ]  # fmt: skip


def _softmax(r: Result) -> Claim:
    worst = int(np.abs(r.softmax_sums - 1).argmax())
    limit = 1024 * np.log(2)
    return Claim(
        id="2.3-softmax-01",
        statement=f"Softmax sums to 1 in each of {len(r.softmax_sums):,} contexts (shown: the worst), and "
        "adding 1,000 to every logit changes nothing, if the largest is taken off first.",
        predicted=1.0,
        measured=float(r.softmax_sums[worst]),
        **contract.identity(),
        also=(
            Check(what="largest change when every logit grows by 1,000", predicted=0.0,
                  measured=float(r.softmax_shift.max()), **contract.identity()),
            Check(what="the formula as written, logits grown by 1,000: entries that are not numbers",
                  predicted=V, measured=r.naive_broken, **contract.exact()),
            Check(what="largest z with a finite e^z", predicted=limit, measured=r.overflow_at,
                  **contract.identity(limit)),
        ),
        reason="A common factor e^c cancels. Float64 ends just below 2^1024, so e^1000 is infinite.",
    )  # fmt: skip


def _vocabulary(r: Result) -> Claim:
    listed, once, twice, held, new = r.words
    unseen, share = once / listed, new / held
    variance = unseen * (1 - unseen) / listed + 2 * twice / listed**2 + share * (1 - share) / held
    learnt, broken = r.tokens
    return Claim(
        id="2.3-vocab-01",
        statement="What is scored is tokens, pieces of words: a list of words lacks a share of the words to "
        "come, which Good's rule foretells, and tokens spell them all.",
        often_taught="GPT-4 scores every word of a vocabulary of 50,000 and more at each step.",
        text_verdict="wrong",
        predicted=unseen,
        measured=share,
        **contract.four_standard_errors(float(np.sqrt(variance)), "√(q(1 − q)/n + 2n₂/n² + s(1 − s)/n′)"),
        also=(
            Check(what=f"of {new} words not on the list, those that tokens do not spell", predicted=0,
                  measured=r.misspelt, **contract.exact()),
            Check(what=f"of {learnt} learnt tokens, those that are no whole word", predicted=0, relation=">",
                  measured=broken, **contract.exact()),
        ),
        reason="Words met once in the first half, over all n there (n₂ met twice), estimate the chance q "
        "of a new one (Good 1953). GPT-2 and GPT-3 have 256 bytes + 50,000 merges + 1 = 50,257 tokens, "
        "GPT-4 twice that.",
    )  # fmt: skip


def _temperature(r: Result) -> Claim:
    s, top = r.settings, int(r.base.argmax())
    (low, left, bound), (high, off, flat) = r.sharp, r.flat
    at = int(np.searchsorted(r.taus, s.tau))
    p, one = float(r.after[at, top]), reshape(r.base[None], 1.0, V, 1.0)[0]
    worst = int(np.abs(one - r.base).argmax())
    plain = [
        f"at τ = {low:.3g}: share not on the favourite",
        f"at τ = {high:,.0f}: largest distance from 1/27",
    ]
    log = np.log(32_000)  # a false alarm once in 16,000, also where p is so near 1 that draws are not normal
    bernstein = float(np.sqrt(2 * log * p * (1 - p) / DRAWS) + log / (3 * DRAWS))
    return Claim(
        id="2.3-temp-01",
        statement="τ = 1 changes no probability (shown: the symbol that moves most), τ → 0 leaves the "
        "favourite alone, and τ → ∞ makes all 27 alike.",
        predicted=float(r.base[worst]),
        measured=float(one[worst]),
        **contract.identity(),
        also=(
            Check(what=plain[0], predicted=bound, measured=left, relation="<=",
                  tolerance=1e-12, rule="27 (p₂/p₁)^(1/τ), from the runner-up"),
            Check(what=plain[1], predicted=flat, measured=off, relation="<=", tolerance=1e-12,
                  rule="(e^(R/τ) − 1)/27, R the range of the logits"),
            Check(what="largest rise of the favourite as τ grows, at your k and p", predicted=0.0,
                  measured=float(np.diff(r.after[:, top]).max()), relation="<=", **contract.identity()),
            Check(what=f"share of 10,000 draws on “{shown(ALPHABET[top])}” at τ = {s.tau:g}, your k and p",
                  predicted=p, measured=float(r.drawn[at, top]), tolerance=bernstein,
                  rule="√(2Lp(1 − p)/n) + L/3n, L = ln 32,000, n = 10,000 (Bernstein)"),
        ),
        reason="The gap between two logits is divided by τ: it grows without end, or shrinks to nothing.",
    )  # fmt: skip


def _table(r: Result) -> Claim:
    rival, half = rival_needed()
    miss, x, m = r.best_three
    everywhere, x_all, m_all = r.best_all
    linear = "linear programme over all tails with a given strongest rival, least over that rival"
    return Claim(
        id="2.3-temp-02",
        statement="No distribution gives the table. Its rows 0.85, 0.35 and 0.22 are missed by more than "
        f"rounding whatever the tail; the closest, a rival of {x:g} and {m} more, misses by {miss:.4f}.",
        often_taught="At τ = 0.1, 0.5, 2 and 5, a probability of 0.60 becomes 0.99, 0.85, 0.35 and 0.22.",
        text_verdict="wrong",
        predicted=r.bound_three,
        measured=miss,
        relation=">=",
        tolerance=1e-5,
        rule=f"{linear}; 1e-5 for its grid",
        also=(
            Check(what="that bound, against half a unit of the last printed digit", predicted=PRINTED,
                  measured=r.bound_three, relation=">", rule="a printed number is off by at most 0.005"),
            Check(what=f"all rows: a rival of {x_all:g} and {m_all} more", predicted=r.bound_all,
                  measured=everywhere, relation=">=", tolerance=1e-5, rule="the same bound with row 0.99"),
            Check(what=f"0.99 needs a rival of {rival:.3f}; largest P at τ = 0.5 then, of the tails tried",
                  predicted=half, measured=r.half_given_tenth, relation="<=", tolerance=1e-9,
                  rule="1/(1 + r²), r the rival over 0.60"),
            Check(what="largest miss of your tail", predicted=r.bound_all, measured=r.yours_miss,
                  relation=">=", tolerance=1e-5, rule="the bound for all rows"),
        ),
        reason=f"0.99 at τ = 0.1 takes a rival of {rival:.3f}, which holds τ = 0.5 to {half:.3f} at most.",
    )  # fmt: skip


def _crowded(r: Result) -> Claim:
    two, five = (float(top_in_theory(0.0, 50_000, t)) for t in (2.0, 5.0))
    level = 1 / TABLE_P[-1] - 1
    most = (level / ((1 - TOP) / TOP) ** 0.2) ** 1.25
    return Claim(
        id="2.3-temp-03",
        statement=f"At τ = 5 a probability of 0.60 among 50,000 equal rivals falls to {five:.2g}; 0.22 "
        f"belongs to a vocabulary of about {r.best_all[2] + 2} tokens, where even shares would be "
        f"{1 / (r.best_all[2] + 2):.3f}.",
        often_taught="At τ = 5 the distribution is nearly uniform, and 0.60 has become 0.22.",
        text_verdict="wrong",
        predicted=five,
        measured=float(r.crowd[1]),
        **contract.identity(five),
        also=(
            Check(what="the same at τ = 2", predicted=two, measured=float(r.crowd[0]),
                  **contract.identity(two)),
            Check(what="most equal rivals that leave 0.22 at τ = 5", predicted=float(np.floor(most)),
                  measured=float(r.crowd[2]), **contract.exact()),
        ),
        reason="Each rival is small but there are 50,000: together they count $n^{1-1/τ} (2/3)^{1/τ}$.",
    )  # fmt: skip


def _nucleus(r: Result) -> Claim:
    ranked = -np.sort(-r.contexts, axis=1)
    reached = np.take_along_axis(np.cumsum(ranked, axis=1), r.sizes[:, None] - 1, axis=1)[:, 0]
    less = reached - np.take_along_axis(ranked, r.sizes[:, None] - 1, axis=1)[:, 0]
    wrong = int(np.sum((reached < r.set_p - 1e-12) | (less >= r.set_p + 1e-12)))
    low, high = entropy_range(r.set_p)
    outside = (r.entropy < low[r.sizes - 1] - 1e-9) | (r.entropy > high[r.sizes - 1] + 1e-9)
    alike = bool(np.all(r.sizes == r.sizes[0]))
    related = 0.0 if alike else float(np.corrcoef(r.sizes, r.entropy)[0, 1])
    n = len(r.sizes)
    unclear = n < FEW and abs(related) <= 4 / np.sqrt(n)
    return Claim(
        id="2.3-topp-01",
        statement=f"Top-p keeps the fewest symbols that hold {r.set_p:g}: in none of {n:,} contexts do "
        f"fewer. The set adapts, from {r.sizes.min()} to {r.sizes.max()}, {r.sizes.mean():.1f} on average.",
        predicted=0,
        measured=wrong,
        **contract.exact(),
        also=(
            Check(what="correlation of set size and entropy", predicted=0.0, measured=related, relation=">",
                  **contract.four_standard_errors(1 / np.sqrt(n), f"1/√{n}, if unrelated")),
            Check(what="contexts whose entropy is impossible for their set", predicted=0,
                  measured=int(outside.sum()), **contract.exact()),
            Check(what="symbols in which top-k with k = 1 departs from greedy", predicted=0,
                  measured=int(np.sum(r.k_is_one != r.greedy)), **contract.exact()),
        ),
        unmet="all contexts have sets of one size here, so nothing can adapt" if alike
        else f"{n} contexts are too few to tell this correlation from none" if unclear else "",
        reason="A sure model needs few symbols to hold the share, an unsure one many; top-k ignores that.",
    )  # fmt: skip


def _greedy(r: Result) -> Claim:
    windows, drawn = r.settings.length - 3, r.distinct[TAUS == 1][0]
    most, real = (r.run_in + r.period) / windows, r.distinct_real
    short = r.run_in + r.period >= windows
    return Claim(
        id="2.3-greedy-01",
        statement=f"Greedy decoding repeats itself. After {r.run_in} steps its walk goes in circles of "
        f"{r.period}, so at most {r.run_in + r.period} of {windows} runs of four can differ.",
        predicted=most,
        measured=r.distinct_greedy,
        relation="<=",
        tolerance=1e-12,
        rule="(steps before the circle + its length) / runs of four",
        also=(
            *(
                Check(what=f"distinct-4 of {name} text, against greedy", predicted=r.distinct_greedy,
                      measured=float(x.mean()), relation=">",
                      **contract.separation(0, 1, float(x.std(ddof=1)), len(x)))
                for name, x in (("drawn", drawn), ("real", real))
            ),
        ),
        unmet="the text ends before the walk has come round; ask for a longer one" if short else "",
        reason="The next step depends only on the run at hand, and there are finitely many runs.",
    )  # fmt: skip


def shown(symbol: str) -> str:
    """A symbol that can be seen."""
    return "␣" if symbol == " " else symbol


# --- Tables -------------------------------------------------------------------------------------------


def tables(result: Result) -> dict[str, pd.DataFrame]:
    """Tidy tables: bars, texts, repetition, sets, the table for 0.60 and its curves, and words in tokens."""
    return {
        "next_symbol": _bars(result),
        "distinct": _repetition(result),
        "texts": _texts(result),
        "sets": _sets(result),
        "set_limits": _limits(result),
        "temperature_table": _rows(result),
        "top_probability": _curves(result),
        "pieces": pd.DataFrame(list(result.pieces), columns=["word", "tokens"]),
    }


def _bars(r: Result) -> pd.DataFrame:
    order = np.argsort(-r.base, kind="stable")
    f = len(r.taus)
    return pd.DataFrame(
        {
            "frame": np.repeat(np.arange(f), V),
            "tau": np.repeat(r.taus, V),
            "rank": np.tile(np.arange(1, V + 1), f),
            "symbol": np.tile([shown(ALPHABET[i]) for i in order], f),
            "before": np.tile(r.base[order], f),
            "predicted": r.after[:, order].ravel(),
            "measured": r.drawn[:, order].ravel(),
        }
    )


def _repetition(r: Result) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "tau": TAUS,
            "log10_tau": np.log10(TAUS),
            "temperature_alone": r.distinct.mean(axis=1),
            "alone_sd": r.distinct.std(axis=1, ddof=1),
            "distinct_4": r.distinct_kept.mean(axis=1),
            "sd": r.distinct_kept.std(axis=1, ddof=1),
        }
    )


def _texts(r: Result) -> pd.DataFrame:
    s = r.settings
    kinds = ["yours"] * SAMPLES + ["ladder"] * len(LADDER) + ["greedy"]
    taus = [s.tau] * SAMPLES + list(LADDER) + [0.0]
    values = distinct_4(np.stack([read(text) for text in r.texts]))
    columns = {"kind": kinds, "tau": taus, "distinct_4": values, "in_words": list(map(in_words, r.texts))}
    return pd.DataFrame({**columns, "text": list(r.texts)})


def _sets(r: Result) -> pd.DataFrame:
    bins = pd.DataFrame({"entropy_bits": np.round(r.entropy * 10) / 10, "size": r.sizes})
    return bins.value_counts().rename("contexts").reset_index().sort_values(["entropy_bits", "size"])


def _limits(r: Result) -> pd.DataFrame:
    low, high = entropy_range(r.set_p)
    return pd.DataFrame({"size": np.arange(1, len(low) + 1), "least": low, "largest": high})


def _rows(r: Result) -> pd.DataFrame:
    yours = top_after(tail(r.settings.rival, r.settings.others), TABLE_TAU)
    best = top_in_theory(r.best_all[1], r.best_all[2], TABLE_TAU)
    return pd.DataFrame(
        {
            "tau": TABLE_TAU,
            "printed": TABLE_P,
            "yours": yours,
            "best": best,
            "yours_off": yours - TABLE_P,
            "best_off": best - TABLE_P,
        }
    )


def _curves(r: Result) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "tau": TAUS,
            "log10_tau": np.log10(TAUS),
            "your_tail": r.yours,
            "best_tail": top_in_theory(r.best_all[1], r.best_all[2], TAUS),
            "one_rival": top_in_theory(0.4, 1, TAUS),
            "crowd": top_in_theory(0.0, 50_000, TAUS),
        }
    )


# --- Predict, then see --------------------------------------------------------------------------------

_GREEDY = ("about as many as in English", "about half as many", "fewer than a tenth as many")

CHALLENGES = (
    Challenge(
        prompt="A token has probability 0.60, and 50,000 equal rivals share the rest. What is it at τ = 5?",
        options=(),
        settings={"rival": 0.0, "others": 50_000},
        answer=lambda result: result.summary["tau_5_yours"],
        curve=("top_probability", "tau", "your_tail"),
        at=5,
        why="Temperature lifts every rival a little, and 50,000 times a little is nearly everything.",
    ),
    Challenge(
        prompt="Always take the most likely symbol, 300 times. How many of its runs of four are different?",
        options=_GREEDY,
        settings={"tau": 0.05},
        answer=lambda result: _GREEDY[
            int(np.searchsorted([0.1, 0.75], result.distinct_greedy / result.distinct_real.mean())) * -1 + 2
        ],
        why="The favourite after a run is always the same, so the walk soon closes a circle and stays on it.",
    ),
    Challenge(
        prompt="At τ = 1 top-p 0.9 keeps about 4 symbols on average. How many at τ = 3?",
        options=(),
        settings={"tau": 3.0, "top_p": 0.9},
        answer=lambda result: result.summary["mean_set"],
        why="Heat spreads the share over more symbols, so it takes more of them to hold it: use both knobs.",
    ),
)
