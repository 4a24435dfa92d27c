r"""**What do citations add to words?**

2,708 papers on machine learning, each a list of the words it uses, and the citations between them. You
know the subject of 140. A graph convolutional network (GCN) mixes every paper with its neighbours before
it decides, and so lets the labels travel along the citations.

$$
H^{(l+1)} = \sigma\big(\hat A\, H^{(l)} W^{(l)}\big), \qquad
\hat A = \tilde D^{-1/2} (A + I)\, \tilde D^{-1/2}, \qquad
\hat A_{ij} = \frac{1}{\sqrt{\tilde d_i \tilde d_j}}
$$

- $H^{(0)} = X$ ($2708 \times 1433$): the words of each paper, each row divided by its sum
- $H^{(l)}$: what the network knows of each paper after $l$ layers, here 16 numbers; $W^{(l)}$: learned
  weights
- $A$: 1 where two papers are linked by a citation; $I$ links each paper to itself; $\tilde d_i$: the
  number of neighbours of $i$ plus one, on the diagonal of $\tilde D$
- $\sigma$: ReLU; after the last layer the softmax gives seven probabilities instead
- $\hat A_{ij}$: how much paper $i$ listens to paper $j$. **mean** takes $1/\tilde d_i$ instead; **GAT**
  learns the weight $\alpha_{ij}$ of each edge with eight attention heads

One layer, message by message, says the same: $h_i' = \sigma\big(\sum_j \hat A_{ij}\, W^\top h_j\big)$. So
after $K$ layers a paper has heard from every paper within $K$ steps, and from no other.

**What to expect.** The same network without citations ($\hat A = I$) gets 55 % of the test papers right,
the GCN 81.5 %. The reason is that 81 % of the links join papers of one subject. Where that is not so,
averaging over neighbours can hurt: shuffle the citations and see.

**What to try.** Take 5 labels a class: words alone lose far more than words with citations. Choose the
random split and see how much of a published decimal is the choice of the 140 papers. Stack more layers: each
makes neighbours more alike, which the **Dirichlet energy** measures, a sum over all links:

$$
E(H) = \sum_{(i,j)} \Big\lVert \frac{h_i}{\sqrt{\tilde d_i}} - \frac{h_j}{\sqrt{\tilde d_j}} \Big\rVert^2
$$

**What surprises.** With shuffled citations the network gets 27 % right. It would do better by calling
every paper Neural Networks (32 %). And eight layers fail twice: with dropout they do not even fit their
140 labels; without it they fit all of them and still get only about 62 % of the test right.

**The fine print.** The 5,429 citations usually quoted are 5,278 links, since pairs that cite each other
count once. A few papers are in the set more than once: two test papers have an exact twin in validation,
and one shares words and subject with a training paper. Out of 1,000 that is nothing to worry about, but
now you know. Your settings shape your own networks; the comparisons keep the published recipe.

*References.* T. Kipf and M. Welling (2017), Semi-supervised classification with graph convolutional
networks. P. Veličković et al. (2018), Graph attention networks. C. Cai and Y. Wang (2020), A note on
over-smoothing for graph neural networks. O. Shchur et al. (2018), Pitfalls of graph neural network
evaluation, on splits. Data: A. McCallum et al. (2000), P. Sen et al. (2008); split: Z. Yang, W. Cohen and
R. Salakhutdinov (2016).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import cycle, pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import model_validator
from scipy import sparse
from scipy.optimize import minimize
from scipy.sparse.csgraph import connected_components, shortest_path
from scipy.sparse.linalg import LinearOperator, eigsh

from lab import contract
from lab.contract import Array, Challenge, Check, Claim, Tick, control, no_tick, seed_control
from lab.cora import CLASSES, Integers, load_cora

Matrix = NDArray[np.floating[Any]]  # float32 while training, float64 where an identity is checked

EPOCHS = 200
HEADS = 8  # of the attention, as in Veličković et al. (2018)
PUBLISHED = 0.815  # test accuracy, Kipf and Welling (2017), Table 2
LONGEST = 45.0  # how much work one run may be, in trainings of the published network
PARTS = ("unused", "training", "validation", "test")


class Settings(contract.Settings):
    """What you can turn. The comparisons keep the published recipe, so that you always see both."""

    edges: Literal["real", "none", "shuffled"] = control(
        "real", "Citations", help="Real ones, none, or the same pattern between papers drawn at random."
    )
    rule: Literal["gcn", "mean", "gat"] = control(
        "gcn", "Aggregation",
        help="How neighbours are weighed: by 1/√(dᵢdⱼ) (GCN), all alike, or by learned attention (GAT).",
    )  # fmt: skip
    layers: int = control(2, "Layers K", ge=1, le=8, step=1, help="How many hops a prediction can see.")
    hidden: int = control(
        16, "Hidden units", ge=4, le=64, step=4, help="Width of a hidden layer. GAT: 8 heads of half as many."
    )  # fmt: skip
    dropout: float = control(
        0.5, "Dropout p", ge=0, le=0.8, step=0.05, help="Share of inputs switched off in each layer."
    )
    weight_decay: float = control(
        5e-4, "Weight decay λ", ge=1e-6, le=0.1, log=True,
        help="L2 penalty on the first layer's weights; 1e-6 is as good as none.",
    )  # fmt: skip
    learning_rate: float = control(
        0.01, "Learning rate α", ge=1e-3, le=0.3, log=True, help="Step size of Adam."
    )
    labels_per_class: int = control(
        20, "Labels per class", ge=1, le=50, step=1, unit="papers",
        help="How many papers of each class are labelled for training.",
    )  # fmt: skip
    split: Literal["public", "random"] = control(
        "public", "Split", help="The public split, or another one for each network."
    )
    seeds: int = control(
        1, "Networks", ge=1, le=20, step=1, help="Trained side by side, each from its own seed."
    )
    compare: Literal["none", "edges", "all"] = control(
        "all", "Compare with",
        help="The published network without or with shuffled citations; all: also other depths and rules.",
    )  # fmt: skip
    seed: int = seed_control()

    @model_validator(mode="after")
    def _affordable(self) -> "Settings":
        each = work(recipe_of(self))
        if each > LONGEST:
            why = "attention with so many layers of this width takes too long; try 2"
            raise contract.setting_error("layers", self.layers, why)
        if self.seeds * each > LONGEST:
            why = f"so many networks of this size take too long; try {int(LONGEST / each)}"
            raise contract.setting_error("seeds", self.seeds, why)
        return self


@dataclass(frozen=True)
class Recipe:
    """How one network is built and trained. The defaults are the published ones."""

    edges: str = "real"
    rule: str = "gcn"
    layers: int = 2
    hidden: int = 16
    dropout: float = 0.5
    weight_decay: float = 5e-4
    learning_rate: float = 0.01


# The comparisons: name -> recipe, number of networks.
GCN, NO_EDGES, SHUFFLED, LINEAR = "GCN", "no citations", "shuffled citations", "words, linear"
SUM, MEAN, GAT = "sum, not normalised", "mean of neighbours", "GAT"
DEPTHS = {1: "1 layer", 2: GCN, 4: "4 layers", 8: "8 layers"}
COMPARISONS: dict[str, tuple[Recipe, int]] = {
    GCN: (Recipe(), 4),
    NO_EDGES: (Recipe(edges="none"), 4),
    SHUFFLED: (Recipe(edges="shuffled"), 4),
    SUM: (Recipe(rule="sum"), 3),
    MEAN: (Recipe(rule="mean"), 3),
    DEPTHS[1]: (Recipe(layers=1), 3),
    DEPTHS[4]: (Recipe(layers=4), 2),
    DEPTHS[8]: (Recipe(layers=8), 2),
    GAT: (Recipe(rule="gat"), 2),
}
CHOSEN = {"none": (), "edges": (GCN, NO_EDGES, SHUFFLED), "all": tuple(COMPARISONS)}


@dataclass(frozen=True)
class Score:
    """What is kept of one trained network."""

    train: float  # accuracies after the last epoch
    validation: float
    test: float
    correct: NDArray[np.bool_]  # (1000,) which test papers are right
    energy: Array  # (layers + 1,) Dirichlet energy per unit of squared length: words, then each layer
    contraction: float  # largest E(H') / (‖W‖² E(H)) over the layers; NaN but for the rule gcn
    attention_sum: float  # what the attention of one paper adds up to, where furthest from 1; NaN but for GAT


@dataclass(frozen=True)
class Result:
    """Everything the charts, the claims and the tests need. "First" is the first of your networks."""

    settings: Settings
    label: Integers  # (2708,)
    part: Integers  # (2708,) place in PARTS, for the first network
    accuracy: Array  # (seeds, 200, 3) after each epoch: training, validation, test
    loss: Array  # (seeds, 200, 3) mean cross-entropy
    probability: Matrix  # (2708, 7) of the first network
    message: Matrix  # (2708, 7) what each paper tells its neighbours in the last layer
    weights: sparse.csr_matrix  # (2708, 2708) how much row listens to column there: Â, or the attention
    embedding: Array  # (2708, 2) last hidden layer, at unit length, on its first two principal components
    networks: tuple[Score, ...]  # yours, one a seed
    compared: dict[str, tuple[Score, ...]]  # name -> comparison networks, trained by the published recipe
    linear: Score | None  # logistic regression on the words
    spectrum: dict[str, float]  # extreme eigenvalues, with and without normalisation
    fixed_vectors: int  # components whose vector √d̃ the normalised adjacency leaves as it is
    components: int
    forms: tuple[float, float]  # a layer in matrix form and message by message, where they differ most
    hops_seen: Array  # (8, 100) papers that can influence each sample paper through K = 1..8 layers
    hops_within: Array  # (8, 100) papers within K steps, by breadth-first search
    hops_missed: int  # pairs where the two disagree on which papers
    summary: dict[str, float]


# --- The graph ----------------------------------------------------------------------------------------


def adjacency(links: Integers, n: int) -> sparse.csr_matrix:
    """Ã = A + I (n, n): ones between linked papers, and from each paper to itself."""
    i, j = links.T
    one_way = sparse.coo_matrix((np.ones(len(i)), (i, j)), shape=(n, n))
    return (one_way + one_way.T + sparse.identity(n)).tocsr()


def propagation(links: Integers, n: int, rule: str) -> sparse.csr_matrix:
    """How much row listens to column (n, n), by ``rule``.

    gcn: Â = D̃^(-1/2) Ã D̃^(-1/2). mean: D̃^(-1) Ã. sum: Ã. For gat only the pattern counts.
    """
    neighbours = adjacency(links, n)
    degree = np.asarray(neighbours.sum(axis=1)).ravel()  # d̃ (n,), the paper itself included
    if rule == "sum":
        return neighbours
    if rule == "mean":
        return (sparse.diags(1 / degree) @ neighbours).tocsr()
    scale = sparse.diags(degree**-0.5)
    return (scale @ neighbours @ scale).tocsr()


@dataclass(frozen=True)
class Hop:
    """The edges of one layer: from the papers it reads to the papers it writes.

    Networks that are trained together have a graph each, and these graphs make one, of pieces without a
    link: one block of the matrix each. So have the heads of an attention.
    """

    matrix: sparse.csr_matrix  # (written, read) weights of the rule
    transpose: sparse.csr_matrix  # (read, written) the same for the way back
    receiver: Integers  # (edges,) place of each edge's receiver among the papers written, ascending
    own: Integers  # (written,) place of each written paper among the papers read
    paper_bounds: Integers  # (pieces + 1,) where the papers read of each piece begin, and their number
    edge_bounds: Integers  # (pieces + 1,) where its edges begin, and their number

    @property
    def sender(self) -> Integers:
        """Place of each edge's sender among the papers read (edges,)."""
        return self.matrix.indices

    @property
    def start(self) -> Integers:
        """Each receiver's first edge (written,)."""
        return self.matrix.indptr[:-1]

    @cached_property
    def for_heads(self) -> "Hop":
        """The same edges once for each of the eight heads."""
        return side_by_side([self] * HEADS)


def hop(matrix: sparse.csr_matrix, written: Integers, read: Integers) -> Hop:
    """The layer that computes ``written`` from ``read``, two ascending lists of papers."""
    part = matrix[written][:, read].tocsr()
    part.sort_indices()
    receiver = np.repeat(np.arange(len(written)), np.diff(part.indptr))
    own = np.searchsorted(read, written)
    return Hop(part, part.T.tocsr(), receiver, own, np.array([0, len(read)]), np.array([0, part.nnz]))


def blocks(matrices: Sequence[sparse.csr_matrix]) -> sparse.csr_matrix:
    """The matrices along the diagonal of one."""
    return sparse.csr_matrix(sparse.block_diag(matrices, format="csr"))


def side_by_side(hops: Sequence[Hop]) -> Hop:
    """Hops on separate graphs as one hop on all of them."""
    if len(hops) == 1:
        return hops[0]
    sizes = [(*h.matrix.shape, h.matrix.nnz) for h in hops]
    written, read, edges = np.cumsum([(0, 0, 0), *sizes[:-1]], axis=0).T  # where each hop begins
    return Hop(
        blocks([h.matrix for h in hops]),
        blocks([h.transpose for h in hops]),
        np.concatenate([h.receiver + k for h, k in zip(hops, written, strict=True)]),
        np.concatenate([h.own + k for h, k in zip(hops, read, strict=True)]),
        np.concatenate([[0], *[h.paper_bounds[1:] + k for h, k in zip(hops, read, strict=True)]]),
        np.concatenate([[0], *[h.edge_bounds[1:] + k for h, k in zip(hops, edges, strict=True)]]),
    )


def receptive_field(matrix: sparse.csr_matrix, papers: Integers, layers: int) -> tuple[list[Hop], Integers]:
    """The hops that ``papers`` can see through ``layers`` layers, and the papers at the far end.

    Training needs nothing else: 2 layers from 140 labelled papers reach 1,664 of 2,708.
    """
    chain: list[Hop] = []
    for _ in range(layers):
        further = np.flatnonzero(np.bincount(matrix[papers].indices, minlength=matrix.shape[1]))
        chain.insert(0, hop(matrix, papers, further))
        papers = further
    return chain, papers


# --- The network --------------------------------------------------------------------------------------


@dataclass
class Networks:
    """The parameters of networks with K layers, one after the other."""

    weights: list[Matrix]  # $W_l$ (networks, width before, width after)
    attention: list[Matrix]  # GAT: $a_l$ (networks, 2, heads, width of a head), 2: of sender, of receiver

    def alone(self, index: int) -> "Networks":
        """One of them, as a view."""
        one = slice(index, index + 1)
        return Networks([w[one] for w in self.weights], [a[one] for a in self.attention])


def glorot(rng: np.random.Generator, *shape: int) -> Matrix:
    """Uniform in ±√(6 / (fan in + fan out)) (Glorot and Bengio, 2010)."""
    bound = np.sqrt(6 / (shape[-1] + shape[-2]))
    return rng.uniform(-bound, bound, shape).astype(np.float32)


def new_networks(rngs: Sequence[np.random.Generator], recipe: Recipe, words: int, classes: int) -> Networks:
    """Fresh weights. GAT: eight heads of hidden/2 units each, joined; one head in the last layer."""
    gat = recipe.rule == "gat"
    width = HEADS * (recipe.hidden // 2) if gat else recipe.hidden
    widths = [words, *[width] * (recipe.layers - 1), classes]
    heads = [*[HEADS] * (recipe.layers - 1), 1]
    weights = [np.stack([glorot(rng, a, b) for rng in rngs]) for a, b in pairwise(widths)]
    pairs = zip(heads, widths[1:], strict=True) if gat else ()
    return Networks(weights, [np.stack([glorot(rng, 2, h, b // h) for rng in rngs]) for h, b in pairs])


def activate(x: Matrix, elu: bool) -> tuple[Matrix, Any]:
    """σ(x) and σ'(x): ReLU, or for GAT the exponential linear unit, eˣ - 1 below zero."""
    if not elu:
        return np.maximum(x, 0), x > 0
    below = np.exp(np.minimum(x, 0))  # 1 above zero
    return np.maximum(x, 0) + below - 1, below


Drop = Callable[..., Any]  # a dropout mask for rows of a width: drop(bounds, width), or drop(bounds)


def no_dropout(bounds: Integers, *width: int) -> np.float32:
    """The mask of networks that are asked, not trained."""
    return np.float32(1)


def random_bytes(rng: np.random.Generator, count: int) -> NDArray[np.uint8]:
    """Numbers from 0 to 255, all equally likely (count,); eight come from one draw."""
    return rng.integers(2**64, size=-(-count // 8), dtype=np.uint64).view(np.uint8)[:count]


def dropout(rngs: Sequence[np.random.Generator], p: float) -> Drop:
    """Masks: 0 with probability p, else 1/(1-p), so that the mean stays. One random byte each: p in 256ths.

    Each network draws from its own generator, and so does not depend on the others. ``bounds`` tells where
    the rows of each begin; those of further heads follow in the same order.
    """
    cut = round(256 * p)

    def drop(bounds: Integers, *width: int) -> Any:
        counts = (np.diff(bounds) * math.prod(width)).tolist()
        draws = np.concatenate([random_bytes(*each) for each in zip(cycle(rngs), counts)])
        return (draws.reshape(-1, *width) >= cut) * np.float32(256 / (256 - cut))

    return drop if p else no_dropout


def times_own(states: Matrix, weights: Matrix, bounds: Integers) -> Matrix:
    """The states (papers, before) of each network times its own weights (networks, before, after)."""
    product = np.empty((len(states), weights.shape[-1]), dtype=states.dtype)
    for (a, b), weight in zip(pairwise(bounds), weights, strict=True):
        np.matmul(states[a:b], weight, out=product[a:b])
    return product


def forward(
    networks: Networks, features: sparse.csr_matrix, chain: list[Hop], drop: Drop
) -> tuple[Matrix, list[Any]]:
    """Logits of the papers the last hop writes (papers, 7), and what the way back needs.

    A layer is H' = σ(Â H W), with dropout on its input and no σ after the last. ``features`` are the
    words of the papers that the first hop reads, (papers, words) for one network and such blocks for more.
    """
    kept: list[Any] = []
    output: Any = None
    slope: Any = None
    mask: Any = None
    for layer, (weight, hop_) in enumerate(zip(networks.weights, chain, strict=True)):
        if layer == 0:
            entries = features.data * drop(features.indptr[hop_.paper_bounds])
            inputs: Any = sparse.csr_matrix((entries, features.indices, features.indptr), features.shape)
            message = inputs @ weight.reshape(-1, weight.shape[-1])  # (read, width)
        else:
            active, slope = activate(output, elu=bool(networks.attention))
            mask = drop(hop_.paper_bounds, active.shape[1])
            inputs = active * mask
            message = times_own(inputs, weight, hop_.paper_bounds)
        if networks.attention:
            output, memory = attend(message, networks.attention[layer], hop_, drop)
        else:
            output, memory = hop_.matrix @ message, None
        kept.append((inputs, slope, mask, memory))
    return output, kept


def backward(networks: Networks, chain: list[Hop], kept: list[Any], slope_of_loss: Matrix) -> list[Matrix]:
    """Gradients of all weights, then of all attention vectors, from ∂loss/∂logits (papers, 7).

    With G the slope at a layer's output, ∂W = Hᵀ(ÂᵀG), and (ÂᵀG)Wᵀ ⊙ σ' goes on to the layer before.
    """
    weights: list[Any] = [None] * len(chain)
    attention: list[Any] = [None] * len(networks.attention)
    flow = slope_of_loss
    for layer in reversed(range(len(chain))):
        inputs, slope, mask, memory = kept[layer]
        weight, hop_ = networks.weights[layer], chain[layer]
        if networks.attention:
            flow, attention[layer] = attend_backward(flow, networks.attention[layer], hop_, memory)
        else:
            flow = hop_.transpose @ flow
        if layer:
            bounds = list(pairwise(hop_.paper_bounds))
            weights[layer] = np.stack([inputs[a:b].T @ flow[a:b] for a, b in bounds])
            flow = times_own(flow, weight.swapaxes(1, 2), hop_.paper_bounds) * mask * slope
        else:
            weights[layer] = (inputs.T @ flow).reshape(weight.shape)
    return weights + attention


def softmax(logits: Matrix) -> Matrix:
    """Probabilities (papers, 7), shifted by the largest logit so that nothing overflows."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def cross_entropy(logits: Matrix, label: Integers) -> float:
    """Mean of -log p(true class), as log-sum-exp."""
    top = logits.max(axis=-1)
    log_sum = top + np.log(np.exp(logits - top[:, None]).sum(axis=-1))
    return float(np.mean(log_sum - logits[np.arange(len(label)), label]))


# --- Attention ----------------------------------------------------------------------------------------


def by_head(states: Matrix, heads: int) -> Matrix:
    """(papers, heads · f) to (heads, papers, f)."""
    return np.ascontiguousarray(states.reshape(len(states), heads, -1).swapaxes(0, 1))


def joined(states: Matrix) -> Matrix:
    """(heads, papers, f) to (papers, heads · f)."""
    return states.swapaxes(0, 1).reshape(states.shape[1], -1)


def attend(message: Matrix, vectors: Matrix, hop_: Hop, drop: Drop) -> tuple[Matrix, Any]:
    """One attention layer: every head weighs the edges by itself; their outputs stand side by side.

    A head writes Σⱼ αᵢⱼ zⱼ, where αᵢⱼ is the softmax over j of LeakyReLU(aₛ·zⱼ + aᵣ·zᵢ). ``message``
    (read, heads · f), ``vectors`` (networks, 2, heads, f). Gives (written, heads · f).
    """
    heads = vectors.shape[2]
    edges = hop_ if heads == 1 else hop_.for_heads
    z = by_head(message, heads)
    score = [
        z[:, a:b] @ v.transpose(1, 2, 0)
        for (a, b), v in zip(pairwise(hop_.paper_bounds), vectors, strict=True)
    ]
    of_sender, of_receiver = np.concatenate(score, axis=1).reshape(-1, 2).T  # (heads · read,)
    raw = of_sender.take(edges.sender) + of_receiver.take(edges.own).take(edges.receiver)  # (edges,)
    power = np.maximum(raw, 0.2 * raw)  # LeakyReLU
    power = np.exp(power - np.maximum.reduceat(power, edges.start).take(edges.receiver))
    share = power / np.add.reduceat(power, edges.start).take(edges.receiver)  # α: sums to 1 for each receiver
    mask = drop(edges.edge_bounds)
    matrix = sparse.csr_matrix((share * mask, edges.sender, edges.matrix.indptr), edges.matrix.shape)
    output = matrix @ z.reshape(-1, z.shape[-1])
    return joined(output.reshape(heads, -1, z.shape[-1])), (z, raw, share, mask, matrix)


def attend_backward(flow: Matrix, vectors: Matrix, hop_: Hop, memory: Any) -> tuple[Matrix, Matrix]:
    """∂loss/∂message (read, heads · f) and ∂loss/∂vectors, from ∂loss/∂output ``flow`` (written, heads · f).

    The chain rule through the weighted sum, the softmax, LeakyReLU and both score vectors.
    """
    z, raw, share, mask, matrix = memory
    heads, read, f = z.shape
    edges = hop_ if heads == 1 else hop_.for_heads
    flow = by_head(flow, heads).reshape(-1, f)
    # take, because rows picked by brackets come several times slower
    along_edge = flow.take(edges.receiver, axis=0) * z.reshape(-1, f).take(edges.sender, axis=0)
    weight_slope = along_edge @ np.ones(f, dtype=z.dtype) * mask  # ∂loss/∂α (edges,)
    slope = share * weight_slope
    slope -= share * np.add.reduceat(slope, edges.start).take(edges.receiver)
    slope *= np.maximum(raw > 0, z.dtype.type(0.2))  # of LeakyReLU: 1 or 0.2
    both = np.zeros((2, heads * read), dtype=z.dtype)  # ∂loss/∂score of each sender, of each receiver
    both[0] = np.bincount(edges.sender, slope, minlength=heads * read)
    both[1, edges.own] = np.add.reduceat(slope, edges.start)
    both = both.reshape(2, heads, read).swapaxes(0, 1)  # (heads, 2, read)
    bounds = list(pairwise(hop_.paper_bounds))
    slopes = [(both[..., a:b] @ z[:, a:b]).swapaxes(0, 1) for a, b in bounds]
    through_scores = [
        both[..., a:b].swapaxes(1, 2) @ v.swapaxes(0, 1) for (a, b), v in zip(bounds, vectors, strict=True)
    ]
    through_sum = (matrix.T @ flow).reshape(z.shape)
    return joined(through_sum + np.concatenate(through_scores, axis=1)), np.stack(slopes)


# --- Training -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """What one network has to learn."""

    features: sparse.csr_matrix  # (2708, 1433) words, each row summing to 1
    label: Integers  # (2708,)
    matrix: sparse.csr_matrix  # (2708, 2708) who listens to whom
    parts: tuple[Integers, Integers, Integers]  # papers for training, validation, test


@cache
def word_shares() -> sparse.csr_matrix:
    """The words of each paper, divided by their number (2708, 1433), float32."""
    words = load_cora().words
    counts = np.diff(words.indptr)
    shares = (words.data / np.repeat(counts, counts)).astype(np.float32)
    return sparse.csr_matrix((shares, words.indices, words.indptr), words.shape)


def problem_for(recipe: Recipe, split: str, labels_per_class: int, seed: int, index: int) -> Problem:
    """The graph and the labelled papers for network ``index``; only what is random depends on it."""
    cora = load_cora()
    n, rng = len(cora.label), np.random.default_rng([seed, index, 1])
    links = {
        "real": cora.links,
        "none": cora.links[:0],
        "shuffled": rng.permutation(n)[cora.links],
    }[recipe.edges]
    matrix = propagation(links, n, recipe.rule).astype(np.float32)
    parts = divide(cora.label, (cora.train, cora.validation, cora.test), split, labels_per_class, rng)
    return Problem(word_shares(), cora.label, matrix, parts)


def divide(
    label: Integers,
    public: tuple[Integers, Integers, Integers],
    split: str,
    labels_per_class: int,
    rng: np.random.Generator,
) -> tuple[Integers, Integers, Integers]:
    """Papers for training, validation (500) and test (1000), ascending.

    Public with fewer labels: some of its training papers; with more: further ones that it does not use.
    Random: drawn afresh.
    """
    order = rng.permutation(len(label))
    if split == "public":
        taken = np.isin(order, np.concatenate(public[1:]))
        first = np.isin(order, public[0])
        order = np.concatenate([order[first], order[~first & ~taken]])  # its training papers come first
    train = np.concatenate([order[label[order] == c][:labels_per_class] for c in range(len(CLASSES))])
    if split == "public":
        return np.sort(train), public[1], public[2]
    rest = order[~np.isin(order, train)]
    return np.sort(train), np.sort(rest[:500]), np.sort(rest[500:1500])


def train(
    recipe: Recipe, problems: Sequence[Problem], rngs: Sequence[np.random.Generator]
) -> Iterator[Networks]:
    """Full-batch training by Adam, a network for each problem: yields the networks after each epoch.

    Each is what it would be alone: it draws from its own generator, and no piece of the graph hears another.
    """
    keep_freed_memory()
    classes = len(CLASSES)
    networks = new_networks(rngs, recipe, problems[0].features.shape[1], classes)
    chain, features = graph_of(problems, recipe.layers)
    label = np.concatenate([problem.label[problem.parts[0]] for problem in problems])
    target = np.eye(classes, dtype=np.float32)[label]
    count = np.float32(len(label) / len(problems))
    drop = dropout(rngs, recipe.dropout)
    parameters = networks.weights + networks.attention
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
    for step in range(1, EPOCHS + 1):
        logits, kept = forward(networks, features, chain, drop)
        gradients = backward(networks, chain, kept, (softmax(logits) - target) / count)
        gradients[0] = gradients[0] + recipe.weight_decay * networks.weights[0]
        for parameter, gradient, (mean, square) in zip(parameters, gradients, moments, strict=True):
            adam_step(parameter, gradient, mean, square, step, recipe.learning_rate)
        yield networks


def keep_freed_memory() -> None:
    """Have the C library use freed memory again, instead of giving it back and fetching it page by page.

    Every epoch frees and takes the same few megabytes, and the pages cost as much as a third of the
    arithmetic. glibc keeps up to twice the largest block below 32 MB that it has seen freed.
    """
    np.empty(30 * 2**20, dtype=np.uint8)  # never touched, so it takes neither time nor memory


def graph_of(problems: Sequence[Problem], layers: int) -> tuple[list[Hop], sparse.csr_matrix]:
    """All that training sees: the hops, and the words of the papers that the first one reads."""
    chains, features = [], []
    for problem in problems:
        chain, read = receptive_field(problem.matrix, problem.parts[0], layers)
        chains.append(chain)
        features.append(problem.features[read])
    return [side_by_side(hops) for hops in zip(*chains, strict=True)], blocks(features)


def adam_step(
    parameter: Matrix, gradient: Matrix, mean: Matrix, square: Matrix, step: int, rate: float
) -> None:
    """One step of Adam (Kingma and Ba, 2015), in place: β₁ = 0.9, β₂ = 0.999, ε = 1e-8."""
    mean += 0.1 * (gradient - mean)
    square += 0.001 * (gradient * gradient - square)
    unbiased = np.sqrt(square / (1 - 0.999**step)) + 1e-8
    parameter -= rate / (1 - 0.9**step) * mean / unbiased


def whole_graph(problem: Problem, layers: int) -> list[Hop]:
    """The chain of hops in which every paper is read and written."""
    everyone = np.arange(problem.matrix.shape[0])
    return [hop(problem.matrix, everyone, everyone)] * layers


def ask(networks: Networks, features: sparse.csr_matrix, chain: list[Hop]) -> Matrix:
    """Logits (networks, papers, 7) as ``forward`` gives them, from networks that all read the same graph."""
    if networks.attention:
        each = [networks.alone(i) for i in range(len(networks.weights[0]))]
        return np.stack([forward(network, features, chain, no_dropout)[0] for network in each])
    state: Any = None  # (papers, networks · width): a hop moves the columns of all networks at once
    for layer, (weight, hop_) in enumerate(zip(networks.weights, chain, strict=True)):
        if layer == 0:
            message = features @ weight.swapaxes(0, 1).reshape(features.shape[1], -1)
        else:
            states = np.maximum(state, 0).reshape(len(state), len(weight), -1)
            message = (states.swapaxes(0, 1) @ weight).swapaxes(0, 1).reshape(len(state), -1)
        state = hop_.matrix @ message
    return state.reshape(len(state), len(weight), -1).swapaxes(0, 1)


@dataclass(frozen=True)
class Exam:
    """The papers that are asked after every epoch, and all that they can see."""

    chain: list[Hop]
    features: sparse.csr_matrix  # (read, 1433)
    label: Integers  # (asked,)
    share: Matrix  # (asked, 3) what a paper counts in the means over training, validation and test


def exam_of(problem: Problem, layers: int) -> Exam:
    """The exam on the training, validation and test papers of a problem."""
    asked = np.unique(np.concatenate(problem.parts))
    chain, read = receptive_field(problem.matrix, asked, layers)
    share = np.column_stack([np.isin(asked, part) / len(part) for part in problem.parts])
    return Exam(chain, problem.features[read], problem.label[asked], share)


def examine(networks: Networks, exam: Exam) -> tuple[Array, Array]:
    """Accuracy and mean cross-entropy (networks, 3) of each part."""
    logits = ask(networks, exam.features, exam.chain)
    by_class = np.ascontiguousarray(logits.transpose(2, 0, 1))  # (7, networks, asked): sums run over rows
    top = by_class.max(axis=0)
    own = logits[:, np.arange(len(exam.label)), exam.label]
    loss = top + np.log(np.exp(by_class - top).sum(axis=0)) - own
    return (own == top) @ exam.share, loss @ exam.share


def accuracies(logits: Matrix, problem: Problem) -> list[float]:
    """Share of right answers in training, validation and test."""
    right = logits.argmax(axis=1) == problem.label
    return [float(right[part].mean()) for part in problem.parts]


# --- Over-smoothing -----------------------------------------------------------------------------------


def dirichlet_energy(states: Any, matrix: Any) -> float:
    """E(H) = tr Hᵀ(I - Â)H, which is |hᵢ/√d̃ᵢ - hⱼ/√d̃ⱼ|² summed over the links."""
    change = states - matrix @ states
    if isinstance(states, np.ndarray):
        return float(np.vdot(states, change))
    return float(states.multiply(change).sum())  # the words are sparse


def energies(network: Networks, kept: list[Any], logits: Matrix, problem: Problem) -> tuple[Array, float]:
    """Energy per squared length of the words and of each layer's output (layers + 1,), and the contraction.

    For every layer E(σ(ÂHW)) ≤ λ² ‖W‖² E(H) (Cai and Wang, 2020), where λ is the largest |eigenvalue| of Â
    other than 1. The contraction is the largest E(σ(ÂHW)) / (‖W‖² E(H)) over the layers whose E(H) is more
    than rounding leaves of ‖H‖².
    """
    states: list[Any] = [step[0].astype(float) for step in kept] + [logits.astype(float)]
    matrix = problem.matrix.astype(float)
    energy = np.array([dirichlet_energy(h, matrix) for h in states])
    norms = np.array([float((h.multiply(h) if step == 0 else h * h).sum()) for step, h in enumerate(states)])
    stretch = np.array([np.linalg.norm(w[0].astype(float), 2) ** 2 for w in network.weights])
    before = stretch * energy[:-1]
    known = energy[:-1] > 1e-12 * norms[:-1]
    ratio = np.divide(energy[1:], before, out=np.zeros(len(before)), where=known & (stretch > 0))
    per_length = np.divide(energy, norms, out=np.zeros(len(norms)), where=norms > 0)
    return per_length, float(ratio.max())


# --- What can be known without training ---------------------------------------------------------------

SAMPLE = np.arange(0, 2700, 27)  # 100 papers whose receptive fields are counted


@cache
def spectrum() -> dict[str, float]:
    """Extreme eigenvalues of Â and Ã = A + I, and λ, the largest |eigenvalue| of Â other than 1."""
    cora = load_cora()
    n = len(cora.label)
    normalised, raw = (propagation(cora.links, n, rule) for rule in ("gcn", "sum"))
    start = np.random.default_rng(0).standard_normal(n)
    lowest, highest = np.sort(eigsh(normalised, k=2, which="BE", v0=start, return_eigenvectors=False))
    fixed = component_vectors()
    # Taking off the known eigenvectors of eigenvalue 1 lets the next one come out on top.
    others = LinearOperator((n, n), matvec=lambda x: normalised @ x - fixed @ (fixed.T @ x), dtype=float)
    second = eigsh(others, k=1, which="LM", v0=start, return_eigenvectors=False)[0]
    top = eigsh(raw, k=1, which="LA", v0=start, return_eigenvectors=False)[0]
    largest_degree = float(raw.sum(axis=1).max())
    return {
        "lowest": float(lowest),
        "highest": float(highest),
        "second": float(abs(second)),
        "lowest_bound": -1 + 2 / largest_degree,
        "raw_highest": float(top),
    }


@cache
def component_vectors() -> sparse.csr_matrix:
    """√d̃ on each connected component, zero elsewhere, at unit length (2708, 78)."""
    cora = load_cora()
    n = len(cora.label)
    graph = adjacency(cora.links, n)
    count, component = connected_components(graph, directed=False)
    entries = np.sqrt(np.asarray(graph.sum(axis=1)).ravel())
    vectors = sparse.csr_matrix((entries, (np.arange(n), component)), shape=(n, count))
    lengths = np.sqrt(np.asarray(vectors.multiply(vectors).sum(axis=0)).ravel())
    return (vectors @ sparse.diags(1 / lengths)).tocsr()


@cache
def count_fixed_vectors() -> int:
    """How many of the component vectors satisfy Âu = u to rounding."""
    cora, vectors = load_cora(), component_vectors()
    moved = propagation(cora.links, len(cora.label), "gcn") @ vectors - vectors
    return int(np.sum(np.abs(moved).max(axis=0).toarray() < 1e-9))


@cache
def hops_of_sample() -> tuple[Array, Array, int]:
    """Papers seen through K = 1..8 layers (8, 100), papers within K steps (8, 100), pairs that disagree.

    With positive weights and inputs no ReLU cuts and nothing cancels, so the Jacobian of a K-layer network
    is non-zero exactly where the K-th power of Â is. The steps are counted by breadth-first search.
    """
    cora = load_cora()
    n = len(cora.label)
    graph = adjacency(cora.links, n)
    steps = shortest_path(graph, unweighted=True, indices=SAMPLE).T  # (2708, 100)
    matrix = propagation(cora.links, n, "gcn")
    influence = np.zeros((n, len(SAMPLE)))
    influence[SAMPLE, np.arange(len(SAMPLE))] = 1
    seen, within, missed = [], [], 0
    for layers in range(1, 9):
        influence = matrix.T @ influence
        seen.append(np.sum(influence > 0, axis=0))
        within.append(np.sum(steps <= layers, axis=0))
        missed += int(np.sum((influence > 0) != (steps <= layers)))
    return np.array(seen, dtype=float), np.array(within, dtype=float), missed


def message_form(links: Integers, message: Array) -> Array:
    """A GCN layer as message passing: paper i sums mⱼ/√(d̃ᵢd̃ⱼ) over its neighbours and itself (n, width)."""
    n = len(message)
    both = np.concatenate([links, links[:, ::-1], np.column_stack([np.arange(n)] * 2)])
    degree = np.bincount(both[:, 0], minlength=n)
    receiver, sender = both.T
    output = np.zeros_like(message)
    np.add.at(output, receiver, message[sender] / np.sqrt(degree[receiver] * degree[sender])[:, None])
    return output


def logistic_regression(problem: Problem, ridges: tuple[float, ...] = (1e-5, 1e-4, 1e-3)) -> Score:
    """Words only, fitted to the optimum by L-BFGS; the ridge penalty that validation likes best."""
    labelled, classes = problem.parts[0], len(CLASSES)
    words = problem.features.toarray().astype(float)  # (2708, 1433)
    inputs, label = words[labelled], problem.label[labelled]
    target = np.eye(classes)[label]

    def loss(flat: Array, ridge: float) -> tuple[float, Array]:
        weight = flat.reshape(-1, classes)
        logits = inputs @ weight
        slope = inputs.T @ (softmax(logits) - target) / len(label) + ridge * weight
        return cross_entropy(logits, label) + ridge / 2 * float(flat @ flat), slope.ravel()

    best: Score | None = None
    for ridge in ridges:
        start = np.zeros(words.shape[1] * classes)
        found = minimize(loss, start, args=(ridge,), jac=True, method="L-BFGS-B", options={"maxiter": 200})
        score = score_of(words @ found.x.reshape(-1, classes), problem)
        best = score if best is None or score.validation > best.validation else best
    assert best is not None
    return best


@lru_cache(maxsize=64)
def words_only(split: str, labels_per_class: int, seed: int) -> Score:
    """The linear model that the networks are compared with; no knob of theirs changes it."""
    return logistic_regression(problem_for(Recipe(edges="none"), split, labels_per_class, seed, 0))


# --- The run ------------------------------------------------------------------------------------------


def recipe_of(settings: Settings) -> Recipe:
    """How your networks are built and trained."""
    names = ("edges", "rule", "layers", "hidden", "dropout", "weight_decay", "learning_rate")
    return Recipe(**{name: getattr(settings, name) for name in names})


def work(recipe: Recipe) -> float:
    """Roughly the time one network takes, in trainings of the published one."""
    wide = recipe.hidden / 16
    if recipe.rule == "gat":
        return 4 + 3 * wide + max(recipe.layers - 2, 0) * (4.5 + 5.5 * wide)
    return 0.3 + wide * (0.25 + 0.45 * (recipe.layers - 1))


def score_of(
    logits: Matrix,
    problem: Problem,
    energy: Array | None = None,
    contraction: float = np.nan,
    attention_sum: float = np.nan,
) -> Score:
    """What is kept of a network."""
    right = (logits.argmax(axis=1) == problem.label)[problem.parts[2]]
    energy = np.zeros(0) if energy is None else energy
    train, validation, test = accuracies(logits, problem)
    return Score(train, validation, test, right, energy, contraction, attention_sum)


# Networks trained before, by everything they depend on.
_finished: dict[tuple[Any, ...], Score] = {}


def keep(key: tuple[Any, ...], score: Score) -> Score:
    """Remember a network, so that turning a knob does not train the comparisons again."""
    _finished[key] = score
    while len(_finished) > 400:  # 1 kB each
        _finished.pop(next(iter(_finished)), None)
    return score


def judge(network: Networks, recipe: Recipe, problem: Problem) -> Score:
    """Ask a trained network about every paper."""
    logits, kept = forward(network, problem.features, whole_graph(problem, recipe.layers), no_dropout)
    if recipe.rule == "gcn":
        return score_of(logits, problem, *energies(network, kept, logits, problem))
    if recipe.rule == "gat":
        return score_of(logits, problem, attention_sum=furthest(row_sums(attention_of(kept)), 1.0))
    return score_of(logits, problem)


def attention_of(kept: list[Any]) -> sparse.csr_matrix:
    """The attention (2708, 2708) of the last layer's only head, from what ``forward`` kept."""
    return kept[-1][3][-1]


def row_sums(matrix: Any) -> Array:
    """The sum of each row."""
    return np.asarray(matrix.sum(axis=1)).ravel()


QUICK = 4.0  # trainings of the published network: about half a second


def quick(settings: Settings) -> bool:
    """Whether a run is short enough to follow a slider, given the comparisons trained before."""
    draw = (settings.split, settings.labels_per_class, settings.seed)
    known = all(
        (COMPARISONS[name][0], *draw, index) in _finished
        for name in CHOSEN[settings.compare]
        for index in range(COMPARISONS[name][1])
    )
    return known and settings.seeds * work(recipe_of(settings)) <= QUICK


def run(settings: Settings, tick: Tick = no_tick) -> Result:
    """Train your networks side by side, then the comparisons."""
    recipe = recipe_of(settings)
    draw = (settings.split, settings.labels_per_class, settings.seed)
    chosen = CHOSEN[settings.compare]
    mine = settings.seeds * work(recipe)
    total = mine + sum(COMPARISONS[name][1] * work(COMPARISONS[name][0]) for name in chosen) + 1.0
    if nothing_is_drawn(settings):
        problems = [problem_for(recipe, *draw, 0)] * settings.seeds
    else:
        problems = [problem_for(recipe, *draw, index) for index in range(settings.seeds)]
    tick(0.0)

    accuracy, loss, networks = train_together(recipe, problems, settings.seed, tick, mine / total)
    scores = []
    for index, problem in enumerate(problems):
        scores.append(keep((recipe, *draw, index), judge(networks.alone(index), recipe, problem)))
        tick(mine / total)
    done, compared = mine, {}
    for name in chosen:
        other, count = COMPARISONS[name]
        share = count * work(other)
        compared[name] = comparison(other, draw, count, tick, done / total, share / total)
        done += share
    linear = words_only(*draw) if chosen else None
    tick(min(done / total, 1.0))
    first = networks.alone(0)
    return finish(settings, recipe, problems[0], first, accuracy, loss, scores, compared, linear, tick)


def nothing_is_drawn(settings: Settings) -> bool:
    """Whether all networks learn from the same graph and the same papers."""
    return settings.split == "public" and settings.labels_per_class == 20 and settings.edges != "shuffled"


def train_together(
    recipe: Recipe, problems: list[Problem], seed: int, tick: Tick, share: float
) -> tuple[Array, Array, Networks]:
    """Your networks, all in step: accuracy and loss after each epoch (seeds, 200, 3), and the networks."""
    rngs = [np.random.default_rng([seed, index]) for index in range(len(problems))]
    same = all(problem is problems[0] for problem in problems)
    exams = [exam_of(problem, recipe.layers) for problem in problems[: 1 if same else None]]
    accuracy, loss = np.zeros((2, len(problems), EPOCHS, 3))
    for epoch, networks in enumerate(train(recipe, problems, rngs)):
        if same:
            accuracy[:, epoch], loss[:, epoch] = examine(networks, exams[0])
        else:
            for i, exam in enumerate(exams):
                accuracy[i, epoch], loss[i, epoch] = (part[0] for part in examine(networks.alone(i), exam))
        now = accuracy[:, epoch].mean(axis=0)
        tick(share * (epoch + 1) / EPOCHS, epoch=epoch + 1, train=now[0], validation=now[1], test=now[2])
    return accuracy, loss, networks


def comparison(
    recipe: Recipe, draw: tuple[str, int, int], count: int, tick: Tick, done: float, share: float
) -> tuple[Score, ...]:
    """The comparison networks of one recipe: remembered from an earlier run, or trained now."""
    keys = [(recipe, *draw, index) for index in range(count)]
    scores = {key: score for key in keys if (score := _finished.get(key)) is not None}
    missing = [key for key in keys if key not in scores]
    if missing:
        problems = [problem_for(*key) for key in missing]
        rngs = [np.random.default_rng([draw[2], key[-1]]) for key in missing]
        for epoch, networks in enumerate(train(recipe, problems, rngs)):  # noqa: B007 (the last count)
            tick(done + share * epoch / EPOCHS)
        for i, key in enumerate(missing):
            scores[key] = keep(key, judge(networks.alone(i), recipe, problems[i]))
    return tuple(scores[key] for key in keys)


def finish(
    settings: Settings,
    recipe: Recipe,
    problem: Problem,
    network: Networks,
    accuracy: Array,
    loss: Array,
    scores: list[Score],
    compared: dict[str, tuple[Score, ...]],
    linear: Score | None,
    tick: Tick,
) -> Result:
    """Ask the first network about every paper, and count what needs no training."""
    n = len(problem.label)
    logits, kept = forward(network, problem.features, whole_graph(problem, recipe.layers), no_dropout)
    message = kept[-1][0] @ network.weights[-1][0]  # (2708, 7)
    weights = attention_of(kept) if recipe.rule == "gat" else problem.matrix
    # The embedding: what the last layer reads; for one layer, what it says. At unit length, since a few
    # papers with long states would squeeze all others into a corner.
    states = np.asarray(kept[-1][0] if recipe.layers > 1 else logits, dtype=float)
    states = states / np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-12)
    part = np.zeros(n, dtype=int)
    for code, papers in enumerate(problem.parts, start=1):
        part[papers] = code
    seen, within, missed = hops_of_sample()
    result = Result(
        settings=settings, label=problem.label, part=part, accuracy=accuracy, loss=loss,
        probability=softmax(logits), message=np.asarray(message), weights=weights,
        embedding=principal_plane(states), networks=tuple(scores), compared=compared, linear=linear,
        spectrum=spectrum(), fixed_vectors=count_fixed_vectors(), components=component_vectors().shape[1],
        forms=two_forms(np.asarray(message, dtype=float)), hops_seen=seen, hops_within=within,
        hops_missed=missed, summary={},
    )  # fmt: skip
    result.summary.update(headline(result))
    tick(1.0)
    return result


def furthest(values: Array, target: float) -> float:
    """The value furthest from ``target``."""
    return float(values[np.abs(values - target).argmax()])


def two_forms(message: Array) -> tuple[float, float]:
    """One entry of a GCN layer on the real citations, by matrix product and by messages: the worst one."""
    links = load_cora().links
    product = propagation(links, len(message), "gcn") @ message
    by_message = message_form(links, message)
    worst = np.unravel_index(np.abs(product - by_message).argmax(), product.shape)
    return float(product[worst]), float(by_message[worst])


def principal_plane(states: Array) -> Array:
    """Coordinates (papers, 2) along the two directions in which the states spread most."""
    centred = states - states.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    plane = directions[:, :-3:-1]
    largest = plane[np.abs(plane).argmax(axis=0), [0, 1]]
    return centred @ (plane * np.sign(largest))


def mean_test(scores: tuple[Score, ...]) -> float:
    """Mean test accuracy of a group of networks."""
    return float(np.mean([score.test for score in scores]))


def headline(result: Result) -> dict[str, float]:
    """The numbers to remember."""
    test = np.array([score.test for score in result.networks])
    summary = {
        "test_accuracy": float(test.mean()),
        "test_accuracy_sd": float(test.std(ddof=1)) if len(test) > 1 else np.nan,
        "validation_accuracy": float(np.mean([score.validation for score in result.networks])),
        "train_accuracy": float(np.mean([score.train for score in result.networks])),
    }
    names = {
        NO_EDGES: "without_citations",
        SHUFFLED: "shuffled_citations",
        DEPTHS[8]: "eight_layers",
        GAT: "gat",
    }
    for name, key in names.items():
        if name in result.compared:
            summary[key] = mean_test(result.compared[name])
    if result.linear is not None:
        summary["words_linear"] = result.linear.test
    return summary


# --- Theory against measurement -----------------------------------------------------------------------


def claims(result: Result) -> list[Claim]:
    """What citations add, normalisation, depth, attention; and one that cannot be checked here."""
    return [_citations(result), _normalised(result), _depth(result), _attention(result), _deployed()]


def unmet(result: Result, names: tuple[str, ...], fewest: int, most: int) -> str:
    """Which condition of a comparison these settings violate, if any."""
    if missing := [name for name in names if name not in result.compared]:
        return f"the comparison “{missing[0]}” was not run; choose all under “Compare with”"
    if not fewest <= result.settings.labels_per_class <= most:
        wanted = f"{fewest}" if fewest == most else f"at least {fewest}"
        return f"stated for {wanted} labels a class; with others, so few networks cannot settle it"
    return ""


def over_papers(a: tuple[Score, ...], b: tuple[Score, ...]) -> tuple[float, float, contract.Tolerance]:
    """Mean test accuracies of the networks that both groups have, and what chance could do to the difference.

    Both answer the same 1,000 papers, so the standard error is that of the difference paper by paper.
    """
    shared = min(len(a), len(b))
    difference = np.mean([x.correct.astype(float) - y.correct for x, y in zip(a, b, strict=False)], axis=0)
    error = float(difference.std(ddof=1)) / len(difference) ** 0.5
    rule = contract.four_standard_errors(error, "sd of the difference per test paper / √1000")
    return mean_test(a[:shared]), mean_test(b[:shared]), rule


def over_networks(a: tuple[Score, ...], b: tuple[Score, ...]) -> contract.Tolerance:
    """Four standard errors of the difference of two means over networks."""
    one, two = (np.array([score.test for score in group]) for group in (a, b))
    return contract.separation(float(one.std(ddof=1)), len(one), float(two.std(ddof=1)), len(two))


def _citations(result: Result) -> Claim:
    statement = (
        "Citations add what words do not have: the two-layer GCN beats the same network without citations, "
        "with shuffled ones, and a linear model of the words. Wrong citations are worse than none."
    )
    if problem := unmet(result, (GCN, NO_EDGES, SHUFFLED), 5, 50):
        return Claim(id="2.7-gcn-01", statement=statement, rule="4 SE over networks", unmet=problem)
    gcn, none, shuffled = (result.compared[name] for name in (GCN, NO_EDGES, SHUFFLED))
    also = [
        Check(what="GCN against shuffled citations", relation=">", predicted=mean_test(shuffled),
              measured=mean_test(gcn), **over_networks(gcn, shuffled)),
        Check(what="no citations against shuffled ones", relation=">", predicted=mean_test(shuffled),
              measured=mean_test(none), **over_networks(none, shuffled)),
    ]  # fmt: skip
    if result.linear is not None:
        linear, ours, rule = over_papers((result.linear,), gcn)
        also.append(Check(what="GCN against logistic regression on words", relation=">", predicted=linear,
                          measured=ours, **rule))  # fmt: skip
    if (result.settings.split, result.settings.labels_per_class) == ("public", 20):
        error = (PUBLISHED * (1 - PUBLISHED) / 1000) ** 0.5
        rule = contract.four_standard_errors(error, "√(p(1−p)/1000)")
        also.append(Check(what="GCN against the published accuracy", predicted=PUBLISHED,
                          measured=mean_test(gcn), **rule))  # fmt: skip
    return Claim(
        id="2.7-gcn-01",
        statement=statement,
        predicted=mean_test(none),
        measured=mean_test(gcn),
        relation=">",
        **over_networks(gcn, none),
        also=tuple(also),
        reason="81 % of citations join papers of one class, so averaging keeps the class and drops noise.",
    )


def _normalised(result: Result) -> Claim:
    found = result.spectrum
    also = [
        Check(what="smallest eigenvalue against −1 + 2/d̃_max", relation=">=", predicted=found["lowest_bound"],
              measured=found["lowest"], **contract.identity()),
        Check(what="components whose vector √d̃ keeps its length", predicted=result.components,
              measured=result.fixed_vectors, **contract.exact()),
        Check(what="largest eigenvalue of A + I, not normalised", relation=">", predicted=1.0,
              measured=found["raw_highest"], **contract.identity()),
        Check(what="one entry of a layer: matrix form against message by message (worst of 18,956)",
              predicted=result.forms[0], measured=result.forms[1], **contract.identity(result.forms[0])),
    ]  # fmt: skip
    if not unmet(result, (GCN, SUM), 20, 20):
        gcn, raw, rule = over_papers(result.compared[GCN], result.compared[SUM])
        also.append(Check(what="test accuracy with normalisation against the raw sum", relation=">",
                          predicted=raw, measured=gcn, **rule))  # fmt: skip
    return Claim(
        id="2.7-gcn-02",
        statement=r"The normalised adjacency $\hat A$ has its eigenvalues in $(-1, 1]$, one of them 1 "
        "per connected component, so no layer blows signals up. The raw sum does"
        + (", and classifies worse." if SUM in result.compared else "."),
        predicted=1.0,
        measured=found["highest"],
        **contract.identity(),
        also=tuple(also),
        reason="$x^T(I-\\hat A)x$ is a sum of squares over the citations, "
        "and $x^T(I+\\hat A)x \\ge 2\\sum_i x_i^2/\\tilde d_i > 0$.",
    )


def _depth(result: Result) -> Claim:
    problem = unmet(result, (GCN, DEPTHS[1], DEPTHS[8]), 20, 20)
    bound = result.spectrum["second"] ** 2
    also = [
        Check(what="pairs of papers for which “seen through K layers” and “within K steps” disagree, K = 1–8",
              predicted=0, measured=result.hops_missed, **contract.exact()),
        Check(what="mean number of papers seen through two layers, against two steps of search",
              predicted=float(result.hops_within[1].mean()), measured=float(result.hops_seen[1].mean()),
              **contract.exact()),
    ]  # fmt: skip
    two = eight = np.nan
    rule = contract.exact()
    if not problem:
        gcn, one, deep = (result.compared[DEPTHS[k]] for k in (2, 1, 8))
        two, eight, rule = over_papers(gcn, deep)
        both, single, single_rule = over_papers(gcn, one)
        also += [
            Check(what="test accuracy with two layers against one", relation=">", predicted=single,
                  measured=both, **single_rule),
            Check(what="energy per length of the last hidden layer: highest with 8 layers, lowest with 2",
                  relation="<", predicted=min(score.energy[-2] for score in gcn),
                  measured=max(score.energy[-2] for score in deep),
                  rule="every network of the one kind below every one of the other"),
            Check(what="largest E(σ(ÂHW)) / (‖W‖² E(H)) in the 8-layer networks, against λ²", relation="<=",
                  predicted=bound, measured=max(score.contraction for score in deep),
                  tolerance=1e-5, rule="theorem, up to float32 rounding of the states"),
        ]  # fmt: skip
    return Claim(
        id="2.7-gcn-03",
        statement="K layers see exactly K hops, and that is no reason to stack them: two beat one, and eight "
        "do far worse. Deep inside, neighbours become alike (over-smoothing).",
        often_taught="Repeat the layer K times to gather information from K hops away.",
        text_verdict="conditional",
        predicted=two,
        measured=eight,
        relation="<",
        **rule,
        also=tuple(also),
        unmet=problem,
        reason="Each layer averages once more: for its ‖W‖², differences between neighbours can only shrink.",
    )


def _attention(result: Result) -> Claim:
    problem = unmet(result, (GCN, GAT), 20, 20)
    fixed = learned = total = np.nan
    rule = contract.exact()
    if not problem:
        learned, fixed, rule = over_papers(result.compared[GAT], result.compared[GCN])
        total = furthest(np.array([score.attention_sum for score in result.compared[GAT]]), 1.0)
    return Claim(
        id="2.7-gat-01",
        statement="Learned edge weights are not separable from fixed ones on Cora. And plain GAT has no "
        "place for the *kind* of an edge: the weight depends on the two papers alone, so graphs with several "
        "relations need a variant that knows them.",
        often_taught="GAT learns edge weights, so it suits heterogeneous graphs and knowledge graphs.",
        text_verdict="conditional",
        predicted=fixed,
        measured=learned,
        **rule,
        also=(
            Check(what="attention of one paper over its neighbours adds up to (furthest of 2,708)",
                  predicted=1.0, measured=total, tolerance=169 * 2.0**-24,
                  rule="float32 rounding of up to 169 terms: 169 · 2⁻²⁴"),
        ),
        unmet=problem,
        reason="Most neighbours are of the same class, so there is little to gain from choosing among them; "
        "the softmax sees no relation.",
    )  # fmt: skip


def _deployed() -> Claim:
    return Claim(
        id="2.7-gnn-01",
        statement="Graph networks recommend over billions of nodes at Pinterest, and AlphaFold is one.",
        text_verdict="unverifiable",
        reason="Facts about other people's systems: nothing that can be computed here.",
    )


# --- A paper and its neighbours -----------------------------------------------------------------------


def neighbourhood(result: Result, paper: int, most: int = 60) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Who decides about ``paper`` in the last layer: its neighbours as nodes, and the links among them.

    A node's *weight* is its entry in the paper's row of Â (or the attention); *vote* is what it adds to the
    logit of the predicted class over the average of the seven, so all votes together are that logit. At most
    ``most`` papers are kept, the largest weights first. Positions come from networkx.
    """
    import networkx as nx

    row = result.weights[[paper]]
    order = np.argsort(-row.data, kind="stable")[:most]
    nodes = row.indices[order]
    if paper not in nodes:
        nodes, order = (
            np.append(nodes[:-1], paper),
            np.append(order[:-1], np.flatnonzero(row.indices == paper)),
        )
    predicted = int(result.probability[paper].argmax())
    centred = result.message - result.message.mean(axis=1, keepdims=True)
    weight = row.data[order]

    near = result.weights[nodes][:, nodes].tocoo()
    graph = nx.Graph()
    graph.add_nodes_from(nodes.tolist())
    graph.add_edges_from(
        (int(nodes[i]), int(nodes[j])) for i, j in zip(near.row, near.col, strict=True) if i != j
    )
    place = nx.spring_layout(graph, seed=0, iterations=100)
    spread = np.array([place[k] - place[paper] for k in nodes.tolist()])  # the paper in the middle
    spread = spread / max(np.linalg.norm(spread, axis=1).max(), 1e-12)
    place = dict(zip(nodes.tolist(), spread.tolist(), strict=True))
    answer = result.probability[nodes].argmax(axis=1)
    frame = pd.DataFrame(
        {
            "paper": nodes,
            "role": np.where(nodes == paper, "this paper", "neighbour"),
            "class": [CLASSES[c] for c in result.label[nodes]],
            "predicted": [CLASSES[c] for c in answer],
            "part": [PARTS[p] for p in result.part[nodes]],
            "weight": weight.astype(float),
            "vote": (weight * centred[nodes, predicted]).astype(float),
            "x": spread[:, 0],
            "y": spread[:, 1],
        }
    )
    links = [(place[a], place[b], paper in (a, b)) for a, b in graph.edges]
    lines = pd.DataFrame(
        [(*a, *b, direct) for a, b, direct in links], columns=["x", "y", "x2", "y2", "direct"]
    )
    return frame, lines


# --- Tables -------------------------------------------------------------------------------------------


def tables(result: Result) -> dict[str, pd.DataFrame]:
    """Tidy tables: your curve, all curves, every network, depth, energy, hops, confusion, papers."""
    epoch = np.arange(1, EPOCHS + 1)
    return {
        "main": pd.DataFrame({"epoch": epoch, "test_accuracy": result.accuracy[:, :, 2].mean(axis=0)}),
        "curves": curves_table(result),
        "networks": networks_table(result),
        "depth": depth_table(result),
        "energy": energy_table(result),
        "hops": pd.DataFrame(
            {
                "layers": np.arange(1, 9),
                "papers_seen": result.hops_seen.mean(axis=1),
                "papers_within_as_many_steps": result.hops_within.mean(axis=1),
            }
        ),
        "confusion": confusion_table(result),
        "papers": papers_table(result),
    }


def curves_table(result: Result) -> pd.DataFrame:
    """Accuracy and loss after each epoch: mean, lowest and highest over your networks."""
    epoch = np.arange(1, EPOCHS + 1)
    frames = []
    for k, part in enumerate(PARTS[1:]):
        values = result.accuracy[:, :, k]
        frames.append(
            pd.DataFrame(
                {
                    "epoch": epoch,
                    "part": part,
                    "accuracy": values.mean(axis=0),
                    "lowest": values.min(axis=0),
                    "highest": values.max(axis=0),
                    "loss": result.loss[:, :, k].mean(axis=0),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def networks_table(result: Result) -> pd.DataFrame:
    """One row a trained network: yours first, then the comparisons."""
    groups = {"yours": result.networks, **result.compared}
    if result.linear is not None:
        groups[LINEAR] = (result.linear,)
    rows = [
        (name, index, score.train, score.validation, score.test)
        for name, group in groups.items()
        for index, score in enumerate(group)
    ]
    return pd.DataFrame(rows, columns=["model", "network", "train", "validation", "test"])


def depth_table(result: Result) -> pd.DataFrame:
    """Accuracy by depth, one row a network."""
    rows = [
        (layers, index, score.train, score.test, score.energy[-2])
        for layers, name in DEPTHS.items()
        for index, score in enumerate(result.compared.get(name, ()))
    ]
    return pd.DataFrame(rows, columns=["layers", "network", "train", "test", "energy"])


def energy_table(result: Result) -> pd.DataFrame:
    """Dirichlet energy per length after each layer, mean over networks; layer 0 is the words."""
    rows = [
        (layers, step, value)
        for layers, name in DEPTHS.items()
        if name in result.compared
        for step, value in enumerate(np.mean([score.energy for score in result.compared[name]], axis=0))
    ]
    return pd.DataFrame(rows, columns=["layers", "after_layer", "energy"])


def confusion_table(result: Result) -> pd.DataFrame:
    """How many test papers of each class the first network puts where."""
    test = result.part == PARTS.index("test")
    counts = np.zeros((7, 7), dtype=int)
    np.add.at(counts, (result.label[test], result.probability[test].argmax(axis=1)), 1)
    true, predicted = np.indices(counts.shape).reshape(2, -1)
    return pd.DataFrame(
        {
            "class": [CLASSES[c] for c in true],
            "predicted": [CLASSES[c] for c in predicted],
            "papers": counts.ravel(),
            "share": (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)).ravel(),
        }
    )


def papers_table(result: Result) -> pd.DataFrame:
    """Every paper: where the last hidden layer puts it, its class, and what the first network says."""
    answer = result.probability.argmax(axis=1)
    return pd.DataFrame(
        {
            "paper": np.arange(len(answer)),
            "x": result.embedding[:, 0],
            "y": result.embedding[:, 1],
            "class": [CLASSES[c] for c in result.label],
            "predicted": [CLASSES[c] for c in answer],
            "right": answer == result.label,
            "confidence": result.probability.max(axis=1).astype(float),
            "part": [PARTS[p] for p in result.part],
        }
    )


# --- Predict, then see --------------------------------------------------------------------------------


def _shuffled_or_none(result: Result) -> str:
    none, shuffled = (mean_test(result.compared[name]) for name in (NO_EDGES, SHUFFLED))
    if abs(shuffled - none) < 0.02:
        return "about as good as none"
    return "better than none" if shuffled > none else "worse than none"


def _best_depth(result: Result) -> str:
    best = max(DEPTHS, key=lambda layers: mean_test(result.compared[DEPTHS[layers]]))
    return f"{best} layer" + "s" * (best > 1)


CHALLENGES = (
    Challenge(
        prompt="The GCN gets about 81 of 100 test papers right. And the same network without citations?",
        options=(),
        settings={"edges": "none", "compare": "edges"},
        answer=lambda result: 100 * mean_test(result.compared[NO_EDGES]),
        why="Twenty labelled papers a class hold too few of the 1,433 words; citations carry labels to "
        "papers with other words.",
    ),
    Challenge(
        prompt="You shuffle the citations: the same pattern, but between papers drawn at random. Is that "
        "better than no citations at all?",
        options=("better than none", "about as good as none", "worse than none"),
        settings={"edges": "shuffled", "compare": "edges"},
        answer=_shuffled_or_none,
        why="The layer averages each paper with strangers and believes them: the words drown in noise.",
    ),
    Challenge(
        prompt="Eight layers see 1,874 papers from one, two layers only 34. Which depth classifies best?",
        options=("1 layer", "2 layers", "4 layers", "8 layers"),
        settings={"layers": 8},
        answer=_best_depth,
        why="Two hops bring colleagues of the same class; more hops bring strangers, and every layer makes "
        "neighbours more alike.",
    ),
)
