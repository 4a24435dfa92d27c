r"""**Is attention message passing?**

Take the rows of scanned digits as tokens and let each attend to the others. You are about to see one set of
numbers twice, as a matrix and as a weighted graph, and to move a query through both.

Each token $x_i$ asks with a query, is found by a key, and hands over a value:

$$
Q = XW_Q, \quad K = XW_K, \quad V = XW_V
$$

$$
A = \operatorname{softmax}\!\left(\frac{QK^\top}{\sqrt d} + M\right), \quad Y = AV
$$

Read row $i$ of that as a node of a graph. Each neighbour $j$ sends a message, and the node adds them up:

$$
y_i = \frac{\sum_{j \to i} e^{s_{ij}}\, v_j}{\sum_{j \to i} e^{s_{ij}}}, \quad
s_{ij} = \frac{q_i \cdot k_j}{\sqrt d}
$$

- $T$ tokens, $d$ numbers in each query, key and value
- $A_{ij}$: the **weight** of the edge from $j$ to $i$; the edges into a token add up to 1
- $M$: the **mask**, 0 where there is an edge and $-\infty$ where there is none. Without a mask the graph is
  complete, $T^2$ edges with the loops; decoders let a token see itself and what came before, a **causal**
  graph without cycles, $T(T+1)/2$ edges
- **effective neighbours**: $e^{H}$ with $H = -\sum_j A_{ij} \ln A_{ij}$, at most the number of edges
- **permutation equivariance**: for a reordering $P$, attention gives $f(PX) = P f(X)$, because the complete
  graph looks the same from everywhere

Why $\sqrt d$? If all entries of $q$ and $k$ are independent with mean 0 and variance 1, then

$$
\operatorname{Var}(q \cdot k) = d
$$

and a softmax of such scores puts nearly everything on one key as $d$ grows.

**What to try.** Shuffle the tokens: without positions and mask, every token keeps its neighbours and its
output. Then add positions, or a causal mask, and it no longer does. Take the sparse mask at a low density:
some tokens have no neighbours left, and where the formula would divide 0 by 0, a node without messages just
has nothing to add up. Switch the division by $\sqrt d$ off at $d$ = 64: of twelve neighbours a token now uses
four or five.

**What surprises.** Multiplying the scores by a mask of 0 and 1 does not hide anything: a score of 0 is one
like any other, and $e^0 = 1$ takes its share. And the product $QK^\top$ itself can be done without: RWKV and
RetNet carry a few sums from token to token instead of comparing all pairs.

*References.* A. Vaswani et al. (2017), Attention is all you need. P. Veličković et al. (2018), Graph
attention networks. M. Milakov and N. Gimelshein (2018), Online normalizer calculation for softmax. C. Joshi
(2020), Transformers are graph neural networks. B. Peng et al. (2023), RWKV: reinventing RNNs for the
transformer era. Y. Sun et al. (2023), Retentive network. A. Gu and T. Dao (2023), Mamba. N. Higham (2002),
Accuracy and stability of numerical algorithms, for the rounding bound.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from math import e, exp, inf, sqrt
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import gammaincinv, ndtr, ndtri, stdtrit

from lab import contract
from lab.contract import Array, Challenge, Check, Claim, Tick, Tolerance, control, no_tick, seed_control
from lab.data import digits
from lab.memory import fixed

Whole = NDArray[np.int64]
MASKS = ("full", "causal", "sparse")
MOST_TOKENS, MOST_D, PIXELS = 24, 64, 8
WIDTHS = (4, 16, 64, 256, 1024)  # d at which scores of random queries and keys are drawn
KEYS, BATCHES = 64, 32  # keys that compete, and how often they are drawn afresh
EXAMPLE = np.array([2.0, 1.0, 0.5, 3.0])  # four scores, the last of them masked
UNIT = 2.0**-53  # largest relative error of one rounding
FALSE_ALARM = 6.3e-5  # that of four standard errors
ROUNDING: Tolerance = {"tolerance": 1e-9, "rule": "more than the 1e-9 that rounding is allowed"}
CASES = (  # mask, do tokens have positions, do mask and positions move along with the tokens
    ("full", False, True), ("full", True, False), ("full", True, True), ("causal", False, False),
    ("causal", False, True), ("sparse", False, False), ("sparse", False, True),
)  # fmt: skip


class Settings(contract.Settings):
    """What you can turn."""

    tokens: int = control(12, "Tokens T", ge=4, le=MOST_TOKENS, step=1, help="Rows of scans, eight a digit.")
    d: int = control(16, "Width d", ge=4, le=MOST_D, step=4, help="Numbers in each query, key and value.")
    mask: Literal["full", "causal", "sparse"] = control(
        "full", "Mask", help="Who sees whom: all see all, each sees itself and the past, or chance decides."
    )
    density: float = control(
        0.3, "Density of the sparse mask", ge=0, le=1, step=0.05,
        help="The share of edges that the sparse mask keeps. Low, and some tokens have no neighbours.",
    )  # fmt: skip
    positions: bool = control(
        False, "Positions", help="Add sine and cosine codes of the place to the tokens."
    )
    order: Literal["as scanned", "reversed", "shuffled"] = control(
        "as scanned", "Order", help="The order in which the tokens come in. Labels stay with their rows."
    )
    scaled: bool = control(True, "Divide by √d", help="Without it, scores grow with d.")
    seed: int = seed_control()


@dataclass(frozen=True)
class Result:
    """Everything the charts, the claims and the tests need. Masks come in the order of MASKS."""

    settings: Settings
    origin: Whole  # (T,) row of the three scans that each token is: 0-7, 8-15, 16-23
    rows: Array  # (T, 8) its pixels, 0-16
    q: Array  # (T, d)
    k: Array  # (T, d)
    v: Array  # (T, d)
    scores: Array  # (T, T) of query i and key j
    masks: Array  # (3, T, T) 1 where there is an edge from j to i, else 0
    edges: Whole  # (E, 3) mask, target i and source j of each message that was sent
    weights: Array  # (3, T, T) mask added as −∞
    by_matrix: Array  # (3, T, d) outputs as AV
    by_messages: Array  # (3, T, d) outputs of the loop over edges
    permutation: Whole  # (T,) the token that comes to each place
    moved: Array  # (7,) largest |f(PX) − P f(X)| in each of CASES
    multiplied: Array  # (2, T, T) weights with the mask multiplied before and after the softmax
    leak_edge: Whole  # (2,) the masked edge i, j with the largest weight, under a mask that hides something
    leak_moved: Array  # (3,) what adding 1 to v_j does to y_i: mask added, multiplied before, after
    example: Array  # (3, 4) weights of EXAMPLE: mask added, multiplied before, after
    variance: Array  # (5,) of q·k at WIDTHS, over independent pairs
    top_weight: Array  # (2, 5, 32) mean weight of the strongest of 64 keys: plain or scaled, WIDTHS, batch
    by_sum: Array  # (2, T, d) RWKV and retention as sums over all pairs
    by_recurrence: Array  # (2, T, d) the same, token by token
    carried: Array  # (2, T) numbers carried on from each token: RWKV, retention
    summary: dict[str, float]


# --- The mathematics ----------------------------------------------------------------------------------


def normalised(rows: Array) -> Array:
    """Each row with mean 0 and variance 1 (T, 8), as layer normalisation does; a constant row gives 0."""
    centred = rows - rows.mean(axis=1, keepdims=True)
    return centred / np.sqrt(np.mean(centred**2, axis=1, keepdims=True) + 1e-5)


def position_codes(count: int) -> Array:
    """Sine and cosine codes of places (T, 8), wavelengths from 2π to 2π·1000 (Vaswani et al., 2017)."""
    angle = np.arange(count)[:, None] / 10_000 ** (np.arange(0, PIXELS, 2) / PIXELS)  # (T, 4)
    return np.stack([np.sin(angle), np.cos(angle)], axis=2).reshape(count, PIXELS)


def softmax(scores: Array) -> Array:
    """Softmax along the last axis; a row that is −∞ throughout has no neighbours, and gets weights 0."""
    peak = scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores - np.where(np.isfinite(peak), peak, 0.0))
    return weights / np.maximum(weights.sum(axis=-1, keepdims=True), np.finfo(float).tiny)


def attention_weights(scores: Array, mask: Array) -> Array:
    """softmax(S + M) with M = −∞ where the mask is 0: a target a row, a source a column."""
    return softmax(np.where(mask > 0, scores, -np.inf))


def multiplied_weights(scores: Array, mask: Array) -> Array:
    """The mask as a Hadamard product, before and after the softmax (2, ..., T): both are wrong."""
    return np.stack([softmax(mask * scores), mask * softmax(scores)])


def message_passing(q: Array, k: Array, v: Array, edges: Whole, scale: float) -> Array:
    """The same as a loop over edges i, j (E, 2): what each node adds up from its messages (T, d).

    A node keeps a running sum of $e^s v$ and of $e^s$, relative to the largest score so far, as in the
    online softmax of Milakov and Gimelshein (2018). It never sees a row of a matrix.
    """
    peak, total, gathered = [-inf] * len(v), [0.0] * len(v), np.zeros_like(v)
    for i, j in edges.tolist():
        score = float(q[i] @ k[j]) * scale
        if score > peak[i]:
            shrink = exp(peak[i] - score)
            total[i], gathered[i], peak[i] = total[i] * shrink, gathered[i] * shrink, score
        weight = exp(score - peak[i])
        total[i] += weight
        gathered[i] += weight * v[j]
    return gathered / np.where(np.array(total) > 0, total, 1.0)[:, None]


def rounding_bound(q: Array, k: Array, v: Array, weights: Array, scale: float) -> Array:
    """How far apart rounding can leave the two forms (T, d), to first order in the unit roundoff u.

    A score less the peak is off by at most $(d+3)u|q||k|$, entry by entry (Higham, 2002), a weight by twice
    the largest of these for itself and as much for its peak, and by 5T + 10 roundings in the sums.
    """
    score_error = (q.shape[1] + 3) * UNIT * scale * np.abs(q) @ np.abs(k).T  # (T, T)
    relative = 4 * score_error.max(axis=1) + (5 * len(v) + 10) * UNIT
    return 2 * relative[:, None] * (weights @ np.abs(v))


def effective_neighbours(weights: Array) -> Array:
    """$e^H$ for each row (T,): how many equal neighbours would be as undecided; 0 where there are none."""
    logs = np.log(np.where(weights > 0, weights, 1.0))
    return np.where(weights.sum(axis=1) > 0, np.exp(-np.sum(weights * logs, axis=1)), 0.0)


def expected_top_weight(spread: float, keys: int = KEYS) -> float:
    """Mean largest softmax weight among scores that are independent N(0, spread²), by quadrature.

    With m the largest, it is $E[1/S]$ for $S = 1 + Σ e^{-s(m-z_j)}$, and $1/S = ∫ e^{-uS} du$ makes the
    other keys, independent given m, a power. Axes: m, gap m − z in logarithm, u in logarithm.
    """
    place, share = np.polynomial.legendre.leggauss(40)
    m = ndtri(((place + 1) / 2) ** (1 / keys))[:, None, None]  # quantiles of the largest
    log_gap, log_u = np.linspace(-11, 2.5, 90), np.linspace(-14, 4, 60)
    gap, u = np.exp(log_gap)[:, None], np.exp(log_u)
    density = np.exp(-((m - gap) ** 2) / 2) / sqrt(2 * np.pi) / ndtr(m) * gap * (log_gap[1] - log_gap[0])
    lost = np.sum(-np.expm1(-u * np.exp(-spread * gap)) * density, axis=1)  # 1 − E[exp(−u e^{−s·gap})]
    inner = np.sum(u * np.exp(-u) * (1 - lost) ** (keys - 1), axis=1) * (log_u[1] - log_u[0])
    return float(share @ inner / 2)


@cache
def predicted_top_weights() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean top weight at WIDTHS (5,), plain and scaled.

    Given |q|, which is chi-distributed with d degrees of freedom, the scores are independent normals.
    """
    place, share = np.polynomial.legendre.leggauss(8)
    length = [np.sqrt(2 * gammaincinv(d / 2, (place + 1) / 2)) for d in WIDTHS]
    plain = tuple(float(share @ [expected_top_weight(r) for r in rs] / 2) for rs in length)
    scaled = (rs / sqrt(d) for rs, d in zip(length, WIDTHS, strict=True))
    return plain, tuple(float(share @ [expected_top_weight(r) for r in rs] / 2) for rs in scaled)


@lru_cache(maxsize=8)
def random_scores(seed: int) -> tuple[Array, Array]:
    """Of Gaussian queries and keys: variance of q·k (5,), and batch means of the top weight (2, 5, 32).

    Each width takes the first d columns of the same draws. Queries share the 64 keys of their batch.
    """
    rng = np.random.default_rng([seed, 1])
    q, k = rng.standard_normal((2, BATCHES, KEYS, max(WIDTHS)))
    variance, top = np.empty(len(WIDTHS)), np.empty((2, len(WIDTHS), BATCHES))
    for at, d in enumerate(WIDTHS):
        scores = q[..., :d] @ k[..., :d].swapaxes(1, 2)  # (32, 64, 64)
        variance[at] = np.diagonal(scores, axis1=1, axis2=2).var(ddof=1)  # pairs that share nothing
        for form, scale in enumerate((1.0, 1 / sqrt(d))):
            top[form, at] = softmax(scores * scale).max(axis=-1).mean(axis=1)
    return fixed((variance, top))


# --- Without comparing all pairs ----------------------------------------------------------------------


def decays(d: int) -> tuple[Array, float, float]:
    """RWKV's decay of each channel w (d,) and bonus u for the token itself; retention's factor γ."""
    return np.linspace(0.1, 2.0, d), 0.5, 1 - 2.0**-5


def rwkv_sum(k: Array, v: Array) -> Array:
    """RWKV (Peng et al., 2023) as a weighted mean over the past, for each pair and channel (T, d)."""
    w, u, _ = decays(k.shape[1])
    age = np.arange(len(k))[:, None] - np.arange(len(k))  # (T, T)
    log_weight = np.where(age[..., None] > 0, (1 - age[..., None]) * w, u) + k  # (T, T, d)
    weight = np.where(age[..., None] >= 0, np.exp(log_weight), 0.0)
    return np.sum(weight * v, axis=1) / weight.sum(axis=1)


def rwkv_recurrence(k: Array, v: Array) -> tuple[Array, Array]:
    """The same with two running sums, and how many numbers they are after each token (T,)."""
    w, u, _ = decays(k.shape[1])
    top, bottom, outputs, carried = np.zeros(k.shape[1]), np.zeros(k.shape[1]), np.empty_like(v), []
    for t in range(len(k)):
        outputs[t] = (top + np.exp(u + k[t]) * v[t]) / (bottom + np.exp(u + k[t]))
        top = np.exp(-w) * top + np.exp(k[t]) * v[t]
        bottom = np.exp(-w) * bottom + np.exp(k[t])
        carried.append(float(top.size + bottom.size))
    return outputs, np.array(carried)


def retention_sum(q: Array, k: Array, v: Array) -> Array:
    """Retention (Sun et al., 2023) over all pairs: $(QK^T ⊙ γ^{i-j}) V / √d$ for j ≤ i (T, d)."""
    age = np.arange(len(q))[:, None] - np.arange(len(q))
    decay = np.where(age >= 0, decays(q.shape[1])[2] ** np.maximum(age, 0), 0.0)
    return (q @ k.T * decay) @ v / sqrt(q.shape[1])


def retention_recurrence(q: Array, k: Array, v: Array) -> tuple[Array, Array]:
    """The same with one running d × d matrix, $S ← γS + k_t v_t^T$, read by $q_t$; and its size (T,)."""
    gamma, state, outputs, carried = decays(q.shape[1])[2], np.zeros((q.shape[1],) * 2), np.empty_like(v), []
    for t in range(len(q)):
        state = gamma * state + np.outer(k[t], v[t])
        outputs[t] = q[t] @ state / sqrt(q.shape[1])
        carried.append(float(state.size))
    return outputs, np.array(carried)


# --- The run ------------------------------------------------------------------------------------------


def reorderings(settings: Settings, rng: np.random.Generator) -> tuple[Whole, Whole]:
    """The order in which tokens come in (T,), and the permutation of the test, which moves the first."""
    count = settings.tokens
    shuffled, permutation = rng.permutation(count), rng.permutation(count)
    if permutation[0] == 0:
        permutation = np.roll(permutation, 1)
    orders = {"as scanned": np.arange(count), "reversed": np.arange(count)[::-1], "shuffled": shuffled}
    return orders[settings.order], permutation


def equivariance_errors(tokens: Array, masks: Array, maps: Array, scale: float, order: Whole) -> Array:
    """Largest |f(PX) − P f(X)| in each of CASES (7,), P taking token ``order[i]`` to place i."""
    codes, errors = position_codes(len(tokens)), []

    def attend(x: Array, mask: Array) -> Array:
        q, k, v = x @ maps  # each (T, d)
        return attention_weights(q @ k.T * scale, mask) @ v

    for name, positions, along in CASES:
        mask, code = masks[MASKS.index(name)], codes if positions else 0 * codes
        new_mask, new_code = (mask[np.ix_(order, order)], code[order]) if along else (mask, code)
        moved_first = attend(tokens[order] + new_code, new_mask)
        errors.append(np.abs(moved_first - attend(tokens + code, mask)[order]).max())
    return np.array(errors)


def leak(result_mask: Array, scores: Array, v: Array) -> tuple[Array, Whole, Array]:
    """Weights by multiplication (2, T, T), the edge i, j that leaks most (2,), how y_i follows v_j (3,)."""
    multiplied = multiplied_weights(scores, result_mask)
    hidden = np.where(result_mask > 0, -1.0, multiplied[0])
    i, j = np.unravel_index(hidden.argmax(), hidden.shape)
    changed = v.copy()
    changed[j] += 1.0
    forms = (attention_weights(scores, result_mask), *multiplied)
    return multiplied, np.array([i, j]), np.array([np.mean(a[i] @ changed - a[i] @ v) for a in forms])


def run(settings: Settings, tick: Tick = no_tick) -> Result:
    """Attend by matrix and by messages under the three masks, then test order, masks and scale."""
    rng, count, d = np.random.default_rng(settings.seed), settings.tokens, settings.d
    pixels = digits()[0]
    scans = pixels[rng.choice(len(pixels), 3, replace=False)].reshape(MOST_TOKENS, PIXELS)
    maps = rng.standard_normal((3, PIXELS, MOST_D))[..., :d] / sqrt(PIXELS)
    sparse = (rng.random((MOST_TOKENS, MOST_TOKENS)) < settings.density)[:count, :count]
    order, permutation = reorderings(settings, rng)
    masks = np.stack([np.ones((count, count)), np.tri(count), sparse]).astype(float)
    tick(0.05)

    tokens, scale = normalised(scans[order]), 1 / sqrt(d) if settings.scaled else 1.0
    q, k, v = (tokens + settings.positions * position_codes(count)) @ maps
    scores = q @ k.T * scale
    weights = np.stack([attention_weights(scores, mask) for mask in masks])
    edges = np.argwhere(masks > 0)
    messages = [message_passing(q, k, v, edges[edges[:, 0] == m, 1:], scale) for m in range(3)]
    tick(0.3)

    moved = equivariance_errors(tokens, masks, maps, scale, permutation)
    chosen = masks[MASKS.index(settings.mask)]
    multiplied, leak_edge, leak_moved = leak(chosen if chosen.min() == 0 else masks[1], scores, v)
    last = np.array([1.0, 1.0, 1.0, 0.0])
    example = np.stack([attention_weights(EXAMPLE, last), *multiplied_weights(EXAMPLE, last)])
    rwkv, rwkv_carried = rwkv_recurrence(k, v)
    retention, retention_carried = retention_recurrence(q, k, v)
    tick(0.4)

    variance, top_weight = random_scores(settings.seed)
    result = Result(
        settings, order, scans[order], q, k, v, scores, masks, edges, weights, weights @ v,
        np.stack(messages), permutation, moved, multiplied, leak_edge, leak_moved, example, variance,
        top_weight, np.stack([rwkv_sum(k, v), retention_sum(q, k, v)]), np.stack([rwkv, retention]),
        np.stack([rwkv_carried, retention_carried]), {},
    )  # fmt: skip
    result.summary.update(_summary(result))
    tick(1.0)
    return result


def _summary(result: Result) -> dict[str, float]:
    chosen = MASKS.index(result.settings.mask)
    weights, mask = result.weights[chosen], result.masks[chosen]
    return {
        "edges": int(mask.sum()),
        "causal_edges": int(np.sum(result.edges[:, 0] == 1)),
        "without_neighbours": int(np.sum(mask.sum(axis=1) == 0)),
        "largest_weight": float(weights.max()),
        "mean_effective_neighbours": float(effective_neighbours(weights).mean()),
        "largest_difference": float(np.abs(result.by_matrix - result.by_messages)[chosen].max()),
        **{f"moved_by_{name}": float(result.moved[at]) for name, at in
           (("order_alone", 0), ("positions", 1), ("causal_mask", 3))},
        "largest_leak": float(result.multiplied[0][tuple(result.leak_edge)]),
        "top_weight_1024": float(result.top_weight[0, -1].mean()),
        "top_weight_1024_scaled": float(result.top_weight[1, -1].mean()),
    }  # fmt: skip


# --- Theory against measurement -----------------------------------------------------------------------


def claims(result: Result) -> list[Claim]:
    """Two claims on the graph, three on the scores, one on masks."""
    return [
        _same_numbers(result), _order(result), _variance(result), _saturation(result), _without(result),
        _masks(result),
    ]  # fmt: skip


def _same_numbers(result: Result) -> Claim:
    count, chosen = result.settings.tokens, MASKS.index(result.settings.mask)
    gap = np.abs(result.by_matrix - result.by_messages)  # (3, T, d)
    at = (chosen, *np.unravel_index(gap[chosen].argmax(), gap[chosen].shape))
    scale = 1 / sqrt(result.settings.d) if result.settings.scaled else 1.0
    bound = np.stack([rounding_bound(result.q, result.k, result.v, a, scale) for a in result.weights])
    mask, target, source = result.edges.T
    neighbours = np.stack([np.bincount(target[mask == m], minlength=count) for m in range(3)])
    causal = np.zeros((count, count))
    causal[target[mask == 1], source[mask == 1]] = 1
    loops = np.eye(count, dtype=bool)
    walks = np.linalg.matrix_power(np.where(loops, 0.0, causal), count)
    return Claim(
        id="2.7-attn-01",
        statement=r"$\operatorname{softmax}(QK^\top/\sqrt d + M)V$ is message passing on the graph of who "
        f"sees whom: complete without a mask, causal and without cycles in decoders ({MASKS[chosen]} here; "
        "shown: the output number where matrix and messages differ most).",
        predicted=float(result.by_matrix[at]),
        measured=float(result.by_messages[at]),
        **contract.identity(float(result.by_matrix[at])),
        also=(
            Check(what="difference over its bound, the worst of all masks", predicted=1.0, relation="<=",
                  measured=float(np.max(gap / np.maximum(bound, np.finfo(float).tiny))), tolerance=0.0,
                  rule="first-order rounding bound"),
            Check(what="edges of the complete graph, T²", predicted=count**2, measured=np.sum(mask == 0),
                  **contract.exact()),
            Check(what="edges of the causal graph, T(T + 1)/2", predicted=count * (count + 1) // 2,
                  measured=np.sum(mask == 1), **contract.exact()),
            Check(what="walks of T steps in the causal graph, loops aside: no cycle", predicted=0.0,
                  measured=float(walks.sum()), **contract.exact()),
            Check(what="weights into a token add up to 1 (or 0 without neighbours), off by", predicted=0.0,
                  measured=float(np.abs(result.weights.sum(axis=2) - (neighbours > 0)).max()),
                  **contract.identity()),
        ),
        text_verdict="conditional",
        often_taught="Self-attention is message passing on a complete graph.",
        reason="Row i of AV is a sum over the tokens that i may see, each weighed by its edge.",
    )  # fmt: skip


def _order(result: Result) -> Claim:
    first = int(result.permutation[0])
    alone = float(np.abs(result.v[first] - result.by_matrix[1, first]).max())
    names = [_case(case) for case in CASES]
    kept = [
        Check(what=names[at], predicted=0.0, measured=float(result.moved[at]), **contract.identity())
        for at in (2, 4, 6)
    ]
    broken = [Check(what=names[1], predicted=0.0, relation=">", measured=float(result.moved[1]), **ROUNDING)]
    if not result.settings.positions:
        broken.append(
            Check(what=f"{names[3]}, against what the new first token must lose", predicted=alone,
                  relation=">=", measured=float(result.moved[3]), **contract.identity())
        )  # fmt: skip
    broken.append(
        Check(what=names[3], predicted=0.0, relation=">", measured=float(result.moved[3]), **ROUNDING)
    )
    sparse, order = result.masks[2], result.permutation
    if np.any(sparse != sparse[np.ix_(order, order)]):
        broken.append(
            Check(what=names[5], predicted=0.0, relation=">", measured=float(result.moved[5]), **ROUNDING)
        )
    return Claim(
        id="2.7-attn-02",
        statement=r"Reordering the tokens reorders the outputs and changes nothing else: largest "
        r"$|f(PX) - Pf(X)|$ without positions and mask. Positions break that, and so does a mask, unless "
        "they move along with their tokens.",
        predicted=0.0,
        measured=float(result.moved[0]),
        **contract.identity(),
        also=(*kept, *broken),
        reason="The complete graph has no order. A causal mask does: what comes first sees only itself.",
    )


def _case(case: tuple[str, bool, bool]) -> str:
    mask, positions, along = case
    what = "positions" if positions else "no mask" if mask == "full" else f"{mask} mask"
    if not positions and mask == "full":
        return "no mask, no positions"
    return f"{what} moved along" if along else f"{what} left in place"


def _variance(result: Result) -> Claim:
    pairs = BATCHES * KEYS
    checks = []
    for scaled in (False, True):
        for d, variance in zip(WIDTHS, result.variance, strict=True):
            by = d if scaled else 1
            error = contract.four_standard_errors(
                d / by * sqrt((2 + 6 / d) / pairs), f"{'' if scaled else 'd'}√((2 + 6/d)/{pairs:,})"
            )
            what = f"d = {d:,}, divided by √d" if scaled else f"d = {d:,}"
            checks.append(Check(what=what, predicted=d / by, measured=float(variance / by), **error))
    main = checks.pop(len(WIDTHS) - 1)
    return Claim(
        id="2.1-attn-01",
        statement=r"For independent entries of variance 1, $\operatorname{Var}(q \cdot k) = d$, and 1 after "
        rf"division by $\sqrt d$ (shown: d = {WIDTHS[-1]:,}).",
        predicted=main.predicted, measured=main.measured, tolerance=main.tolerance, rule=main.rule,
        also=tuple(checks),
        reason="The dot product is a sum of d independent products of variance 1.",
    )  # fmt: skip


def _saturation(result: Result) -> Claim:
    checks = []
    for form, predicted in enumerate(predicted_top_weights()):
        for at, d in enumerate(WIDTHS):
            batches = result.top_weight[form, at]
            checks.append(
                Check(what=f"d = {d:,}{', divided by √d' if form else ''}", predicted=predicted[at],
                      measured=float(batches.mean()), **_batch_error(batches))
            )  # fmt: skip
    main = checks.pop(len(WIDTHS) - 1)
    apart = result.top_weight[0, -1] - result.top_weight[0, 1]
    return Claim(
        id="2.1-attn-02",
        statement="Without the division the softmax saturates: the strongest of 64 keys takes this weight on "
        f"average at d = {WIDTHS[-1]:,}; with it, about 0.11 at any d.",
        predicted=main.predicted, measured=main.measured, tolerance=main.tolerance, rule=main.rule,
        also=(
            *checks,
            Check(what="rise from d = 16 to d = 1,024, undivided", predicted=0.0, relation=">",
                  measured=float(apart.mean()), **_batch_error(apart)),
        ),
        reason="Scores spread over √d, so the gap between the first and the second grows, and the softmax is "
        "exponential in that gap.",
    )  # fmt: skip


def _batch_error(batches: Array) -> Tolerance:
    """As rare a false alarm as four standard errors, with the error estimated from the batches."""
    reach = float(stdtrit(len(batches) - 1, 1 - FALSE_ALARM / 2))
    error = float(batches.std(ddof=1) / sqrt(len(batches)))
    rule = f"{reach:.2f} SE (Student t, {len(batches)} batches; as rare as 4 SE), SE = {error:.3g}"
    return {"tolerance": reach * error, "rule": rule}


def _without(result: Result) -> Claim:
    gap = np.abs(result.by_sum - result.by_recurrence)
    channel = [(m, *np.unravel_index(gap[m].argmax(), gap[m].shape)) for m in range(2)]
    d = result.settings.d
    return Claim(
        id="2.1-attn-03",
        statement=r"Language models exist without $QK^\top$. RWKV's mean over the past, written over all "
        "pairs, comes out of two running sums that never compare two tokens (where they differ most).",
        predicted=float(result.by_sum[channel[0]]),
        measured=float(result.by_recurrence[channel[0]]),
        **contract.identity(float(result.by_sum[channel[0]])),
        also=(
            Check(what="retention (RetNet) by pairs and by recurrence", measured=float(
                result.by_recurrence[channel[1]]), predicted=float(result.by_sum[channel[1]]),
                **contract.identity(float(np.abs(result.by_sum[1]).max()))),
            *(Check(what=f"numbers {name} carries after {at}", predicted=predicted, measured=carried[end],
                    **contract.exact())
              for name, predicted, carried in (("RWKV", 2 * d, result.carried[0]),
                                               ("RetNet", d * d, result.carried[1]))
              for at, end in (("the first token", 0), ("the last", -1))),
        ),
        text_verdict="wrong",
        often_taught="The product QKᵀ is at the core of every large language model.",
        reason="RWKV, RetNet and Mamba pass on a state of fixed size; attention has to keep all keys "
        "and values.",
    )  # fmt: skip


def _masks(result: Result) -> Claim:
    added, before, after = result.example
    i = int(result.leak_edge[0])
    hidden = 1 / (e**2 + e + sqrt(e) + 1)
    left = 1 - e**3 / (e**2 + e + sqrt(e) + e**3)
    chosen = result.masks[MASKS.index(result.settings.mask)]
    mask = chosen if chosen.min() == 0 else result.masks[1]
    allowed = result.scores[i, mask[i] > 0]
    others = float(np.sum(np.exp(allowed))) + result.settings.tokens - allowed.size
    return Claim(
        id="2.1-hadamard-02",
        statement="A mask is added as −∞ before the softmax. Multiplied before it, the masked one of the "
        "scores 2, 1, 0.5, 3 keeps this weight; multiplied after it, the weights no longer add up to 1.",
        predicted=hidden,
        measured=float(before[3]),
        **contract.identity(),
        also=(
            Check(what="that weight, known", predicted=0.078, measured=float(before[3]),
                  **contract.rounded(3)),
            Check(what="multiplied after: sum of the weights", predicted=left, measured=float(after.sum()),
                  **contract.identity()),
            Check(what="that sum, known", predicted=0.369, measured=float(after.sum()),
                  **contract.rounded(3)),
            Check(what="added: masked weight", predicted=0.0, measured=float(added[3]), **contract.exact()),
            Check(what="added: sum of the weights", predicted=1.0, measured=float(added.sum()),
                  **contract.identity()),
            Check(what="your tokens, multiplied before: how far a hidden value moves an output",
                  predicted=1 / others, measured=float(result.leak_moved[1]), **contract.identity()),
            Check(what="your tokens, added: how far it does", predicted=0.0,
                  measured=float(result.leak_moved[0]), **contract.exact()),
        ),
        text_verdict="wrong",
        often_taught="Attention masking is a Hadamard product of scores and mask.",
        reason="A score of 0 is not the absence of a score: e⁰ = 1 takes its share. Only −∞ has "
        "the exponential 0.",
    )  # fmt: skip


# --- Tables -------------------------------------------------------------------------------------------


def names_of(origin: Whole) -> list[str]:
    """Short names of rows: scan a, b or c and the row 1 to 8."""
    return [f"{'abc'[int(o) // PIXELS]}{int(o) % PIXELS + 1}" for o in origin]


def tables(result: Result) -> dict[str, pd.DataFrame]:
    """What the charts draw and the CSV export writes."""
    count, chosen = result.settings.tokens, MASKS.index(result.settings.mask)
    weights, mask, names = result.weights[chosen], result.masks[chosen], np.array(names_of(result.origin))
    query, key = np.divmod(np.arange(count**2), count)
    scale = 1 / sqrt(result.settings.d) if result.settings.scaled else 1.0
    bound = rounding_bound(result.q, result.k, result.v, weights, scale).max(axis=1)
    gap = np.abs(result.by_matrix - result.by_messages)[chosen].max(axis=1)
    predicted = np.array(predicted_top_weights())
    shown = result.multiplied if mask.min() == 0 else np.stack([weights, weights])
    angle = 2 * np.pi * np.arange(count) / count
    return {
        "main": pd.DataFrame(
            {"token": np.arange(1, count + 1), "name": names, "neighbours": mask.sum(axis=1),
             "effective_neighbours": effective_neighbours(weights)}
        ),
        "attention": pd.DataFrame(
            {"query": query, "key": key, "query_name": names[query], "key_name": names[key],
             "edge": mask.ravel() > 0, "added": weights.ravel(), "before": shown[0].ravel(),
             "after": shown[1].ravel()}
        ),
        "nodes": pd.DataFrame(
            {"token": np.arange(count), "name": names, "x": np.sin(angle), "y": -np.cos(angle)}
        ),
        "rows": pd.DataFrame(
            {"token": np.repeat(np.arange(count), PIXELS), "column": np.tile(np.arange(PIXELS), count),
             "pixel": result.rows.ravel()}
        ),
        "difference": pd.DataFrame(
            {"token": np.arange(1, count + 1), "difference": gap, "bound": bound,
             "log10_difference": np.log10(np.maximum(gap, 1e-18)),
             "log10_bound": np.log10(np.maximum(bound, 1e-18))}
        ),
        "order": pd.DataFrame(
            {"case": [_case(case) for case in CASES], "kept": [at in (0, 2, 4, 6) for at in range(7)],
             "moved": result.moved, "log10_moved": np.log10(np.maximum(result.moved, 1e-18))}
        ),
        "example": pd.DataFrame(
            {"mask": np.repeat(["added", "before", "after"], 4), "score": np.tile(EXAMPLE, 3),
             "place": np.tile(np.arange(1, 5), 3), "hidden": np.tile([False, False, False, True], 3),
             "weight": result.example.ravel()}
        ),
        "scores": pd.DataFrame(
            {"log2_d": np.log2(WIDTHS), "variance": result.variance,
             "log2_variance": np.log2(result.variance),
             "log2_scaled": np.log2(result.variance / np.array(WIDTHS)), "zero": 0.0,
             "top_weight": result.top_weight[0].mean(axis=1), "predicted": predicted[0],
             "top_weight_scaled": result.top_weight[1].mean(axis=1), "predicted_scaled": predicted[1]}
        ),
        "carried": pd.DataFrame(
            {"token": np.arange(1, count + 1), "attention": 2.0 * result.settings.d * np.arange(1, count + 1),
             "rwkv": result.carried[0], "retention": result.carried[1]}
        ),
    }  # fmt: skip


# --- Predict, then see --------------------------------------------------------------------------------

SHUFFLE = ("all of them", "only the first one's", "none of them")

CHALLENGES = (
    Challenge(
        prompt="Twelve tokens, a causal mask. How many edges does the graph have, loops included?",
        options=(),
        settings={"mask": "causal"},
        answer=lambda result: result.summary["edges"],
        why="Token i sees i tokens, itself included: 1 + 2 + … + 12, little more than half of 144.",
    ),
    Challenge(
        prompt="You shuffle the tokens. No mask, no positions. Whose outputs change, apart from their place?",
        options=SHUFFLE,
        settings={"order": "shuffled"},
        answer=lambda result: SHUFFLE[2] if result.moved[0] < 1e-9 else SHUFFLE[0],
        why="Each still has the same neighbours at the same weights: the complete graph has no order.",
    ),
    Challenge(
        prompt="64 keys of 1,024 = 2¹⁰ numbers, no division by √d. What weight does the strongest take on "
        "average (0 to 1)?",
        options=(),
        settings={"scaled": False, "d": 64},
        answer=lambda result: result.summary["top_weight_1024"],
        curve=("scores", "log2_d", "top_weight"),
        at=10,
        why="Scores spread over 32, so the best is usually ahead of the second by far more than 1.",
    ),
)
