r"""**How far, and how finely, does a graph network see?**

In each layer of a graph network every node collects a message from each neighbour and updates itself. You
are about to see what a node of a real social network has heard of after $K$ layers, how everybody grows alike
on the way, and which graphs stay the same to such a network for ever.

$$
m_i = \operatorname{AGG}_{j \in N(i)} h_j
$$

$$
h_i' = \sigma(h_i W_1 + m_i W_2)
$$

- $h_i$: the state of node $i$; $N(i)$: its neighbours; $W_1, W_2$: weights, $d \times d'$; $\sigma$: tanh
- $\operatorname{AGG}$: the **sum**, the **mean** or the **max** of the messages, and 0 where there are none
- GCN: $m_i = \sum_j h_j / \sqrt{\tilde d_i \tilde d_j}$ over the neighbours and $i$ itself;
  $\tilde d$: their number. As a matrix: $\hat A = \tilde D^{-1/2}(A + I)\tilde D^{-1/2}$
- GraphSAGE: the mean of $S$ neighbours drawn at random, kept beside the node's own state
- GIN: an MLP of $(1 + \varepsilon) h_i + \sum_j h_j$

**How far.** $\partial h_i^{(K)} / \partial x_j$ is not zero for exactly the nodes $j$ within $K$ steps of
$i$. But what is seen also fades. On a connected graph

$$
\lVert \hat A^K x - \hat A^\infty x \rVert \le |\lambda_2|^K \lVert x - \hat A^\infty x \rVert
$$

with $\lambda_2$ the second largest eigenvalue of $\hat A$ in modulus, and $\hat A^\infty x$ knows a node's
degree and nothing else.

**How finely.** A sum tells multisets of messages apart, a mean their proportions, a max only which occur.
With a sum the network can do what **colour refinement** (1-WL) does: give two nodes different colours as soon
as their neighbours' colours differ as multisets. It can never do more.

**How dearly.** $S$ of $d$ neighbours, drawn without replacement, estimate the mean of all $d$ without bias;
the variance of the neighbours, $s^2$, comes back as

$$
\operatorname{Var}(\bar h_S) = \frac{s^2}{S} \cdot \frac{d - S}{d - 1}
$$

**What to try.** Move the slider under the club, one layer at a time. Put the aggregator to max: the node now
hears less than its $K$ hops. Take the ring: it takes 17 layers to see it all. Go through the pairs of graphs
from the top: each takes one aggregator out of the race, and no aggregator is left for hexagon and triangles.

**What surprises.** Two layers help Cora a lot, 256 are worse than none and worse than a constant answer: what
remains are degrees. And the error of the limit is known without running any layer.

*References.* J. Gilmer et al. (2017), Neural message passing for quantum chemistry. T. Kipf and M. Welling
(2017) for the GCN. W. Hamilton, R. Ying and J. Leskovec (2017), Inductive representation learning on large
graphs. K. Xu et al. (2019), How powerful are graph neural networks? Q. Li, Z. Han and X. Wu (2018), Deeper
insights into graph convolutional networks. F. Wu et al. (2019), Simplifying graph convolutional networks.
B. Weisfeiler and A. Leman (1968). Z. Dvořák (2010), On recognizing graphs by numbers of homomorphisms. Data:
W. Zachary (1977), the karate club; R. Read and R. Wilson (1998), An atlas of graphs; Cora.
"""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from math import inf, nan, sqrt
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import block_diag

from lab import contract
from lab.contract import Array, Challenge, Check, Claim, Tick, control, no_tick, seed_control
from lab.cora import load_cora
from lab.memory import fixed

Integers = NDArray[np.integer[Any]]
Flags = NDArray[np.bool_]

AGGREGATORS = ("sum", "mean", "max")
DEPTH = 60  # layers computed, whatever K you look at
WIDTH = 3  # of the network whose Jacobian is taken
RING = 34  # as many nodes as the karate club has
WIDEST = 6  # layer widths tried for the two forms of the update
GIN_WIDTH, GIN_ROUNDS, EPSILON = 16, 5, 0.1  # n - 1 rounds settle the colours of n = 6 nodes
ROUNDS = 4  # of colour refinement, shown
APART = 1e-9  # readouts nearer than this are the same up to rounding
TREE_NODES = 6  # of the trees counted for the prediction
QUANTILES = 60  # a multiple of 1 to 6: places at which the proportions of that many colours can change
RIGHT, DOWN = np.array([1.2, 0.0]), np.array([0.0, -1.2])  # half the distance between drawn graphs
CORA_LAYERS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)
CORA_SAMPLES = (1, 2, 3, 5, 10)


class Settings(contract.Settings):
    """What you can turn."""

    graph: Literal["karate", "ring", "atlas"] = control(
        "karate", "Graph", help="34 members of a karate club, a ring of 34, or a small graph of the atlas."
    )
    atlas: int = control(
        105, "Atlas number", ge=1, le=208, step=1,
        help="Which of the graphs on one to six nodes, where the graph is atlas; 105 is the hexagon.",
    )  # fmt: skip
    layers: int = control(2, "Layers K", ge=1, le=DEPTH, step=1, help="How many rounds of messages.")
    aggregator: Literal["sum", "mean", "max"] = control(
        "sum", "Aggregator", help="How a node makes one message of those of its neighbours."
    )
    node: int = control(
        16, "Node", ge=0, le=33, step=1,
        help="The node whose view is drawn. The last one, where the graph has fewer.",
    )  # fmt: skip
    pair: Literal["sorted/mixed", "even/uneven", "star/path", "hexagon/triangles", "prism/utility"] = control(
        "star/path", "Two graphs", help="The pair whose colours are refined."
    )
    sample: int = control(
        5, "Sampled neighbours S", ge=1, le=17, step=1,
        help="How many neighbours of the node with the most are asked; all, where it has fewer.",
    )  # fmt: skip
    draws: int = control(
        2000, "Draws", ge=1000, le=20_000, log=True, help="How often the sample is drawn to measure its mean."
    )
    seed: int = seed_control()


@dataclass(frozen=True)
class Result:
    """Everything the charts, the claims and the tests need. n: the nodes of the chosen graph."""

    settings: Settings
    adjacency: Array  # (n, n)
    place: Array  # (n, 2) where nodes are drawn
    hops: Array  # (n, n) steps from node to node, inf where there is no way
    influence: Array  # (61, n, n) largest |∂h_i/∂x_j| after K layers, in units of the largest of all
    eigenvalues: Array  # (n,) of Â, ascending
    energy: Array  # (n,) squared length of the signal along each eigenvector
    left: Array  # (61,) distance of Â^K x from its limit, as a share of that of x
    forms: Array  # (4, 2) GCN, sum, mean, max: as a matrix, and edge by edge, where they differ most
    widths: Integers  # (2, 6, 6) places in OUTCOMES, by form of the update, width before and after
    with_identity: tuple[float, float]  # the figure's update, and the general one with W₁ = I
    cora_right: Flags  # (10, 1000) which test papers are right after CORA_LAYERS
    cora_limit: Flags  # (1000,) the same after infinitely many, from the components and degrees alone
    cora_majority: float  # accuracy of always naming the most frequent class
    sage_right: Flags  # (6, 1000) which test papers are right with CORA_SAMPLES sampled, and with all
    values: Array  # (d,) one number at each neighbour of the node with the most
    moments: Array  # (2, d, 2) drawn without, with replacement, by S: mean and variance of the sampled mean
    told: Flags  # (5, 3) whether refinement tells a pair apart, by pair and AGGREGATORS
    distance: Array  # (5, 3) between the readouts of a network with random weights
    colours: Integers  # (5, m) by round 0 to 4, of the nodes of both graphs of the chosen pair
    refined: Integers  # (156,) class of each graph on six nodes by colour refinement
    by_trees: Integers  # (156,) class by the number of ways that trees map into it
    by_network: Integers  # (156,) class by the readout of a network with random weights
    summary: dict[str, float]


# --- Graphs -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drawn:
    """A small graph with colours and a place for each node."""

    adjacency: Array  # (n, n)
    colour: Integers  # (n,) at the start
    place: Array  # (n, 2)


def circle(n: int) -> Array:
    """Places on a circle (n, 2), the first at the top."""
    turn = 2 * np.pi * np.arange(n) / n
    return np.column_stack([np.sin(turn), np.cos(turn)])


def from_edges(n: int, edges: Sequence[tuple[int, int]]) -> Array:
    """The adjacency matrix (n, n) of an undirected graph."""
    adjacency = np.zeros((n, n))
    for i, j in edges:
        adjacency[i, j] = adjacency[j, i] = 1.0
    return adjacency


def ring(n: int) -> Drawn:
    """A cycle."""
    return on_circle(n, [(i, (i + 1) % n) for i in range(n)])


def on_circle(n: int, edges: Sequence[tuple[int, int]]) -> Drawn:
    """Any graph, of one colour, drawn on a circle."""
    return Drawn(from_edges(n, edges), np.zeros(n, dtype=int), circle(n))


def path(n: int) -> Drawn:
    """Nodes in a row, each tied to the next."""
    place = np.column_stack([np.linspace(-1, 1, n), np.tile([0.4, -0.4], n)[:n]])
    return Drawn(from_edges(n, [(i, i + 1) for i in range(n - 1)]), np.zeros(n, dtype=int), place)


def star(leaves: Sequence[int]) -> Drawn:
    """A centre of colour 0 and a leaf for each colour in ``leaves``."""
    n = len(leaves)
    place = np.vstack([[0.0, 0.0], circle(n)])
    return Drawn(from_edges(n + 1, [(0, i + 1) for i in range(n)]), np.array([0, *leaves]), place)


def together(left: Drawn, right: Drawn) -> Drawn:
    """One graph of two parts, side by side at half the size."""
    place = np.vstack([left.place - RIGHT, right.place + RIGHT]) / 2
    return Drawn(block_diag(left.adjacency, right.adjacency), np.append(left.colour, right.colour), place)


# Each pair but the last takes one aggregator more out of the race.
PAIRS = {
    "sorted/mixed": (together(star([1, 1]), star([2, 2])), together(star([1, 2]), star([1, 2]))),
    "even/uneven": (together(star([1, 2]), star([1, 1, 2, 2])), together(star([1, 1, 2]), star([1, 2, 2]))),
    "star/path": (star([0, 0, 0]), path(4)),
    "hexagon/triangles": (ring(6), together(ring(3), ring(3))),
    "prism/utility": (
        on_circle(6, [(0, 2), (2, 4), (4, 0), (1, 3), (3, 5), (5, 1), (0, 1), (2, 3), (4, 5)]),
        on_circle(6, [(i, j) for i in (0, 2, 4) for j in (1, 3, 5)]),
    ),
}


@cache
def atlas() -> tuple[Array, ...]:
    """The 209 graphs on at most six nodes, as adjacency matrices, from the file that networkx ships."""
    spec = find_spec("networkx")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("networkx is not installed: pip install -r requirements.txt")
    graphs: list[Array] = []
    with gzip.open(Path(spec.origin).parent / "generators" / "atlas.dat.gz", "rt") as file:
        for word, *rest in map(str.split, file):
            if word == "NODES" and rest == ["7"]:
                break
            if word == "NODES":
                graphs.append(np.zeros((int(rest[0]), int(rest[0]))))
            elif word != "GRAPH":
                i, j = int(word), int(rest[0])
                graphs[-1][i, j] = graphs[-1][j, i] = 1.0
    return tuple(graphs)


@cache
def karate() -> Drawn:
    """Zachary's karate club: 34 members, 78 friendships."""
    import networkx as nx

    graph = nx.karate_club_graph()
    place = nx.kamada_kawai_layout(graph, weight=None)
    return Drawn(from_edges(34, list(graph.edges)), np.zeros(34, dtype=int), np.array(list(place.values())))


def chosen(settings: Settings) -> Drawn:
    """The graph that the settings name."""
    return _named(*_name(settings))


def _name(settings: Settings) -> tuple[str, int]:
    """The graph's name, and its number where it is one of the atlas, else 0."""
    return settings.graph, settings.atlas if settings.graph == "atlas" else 0


@lru_cache(maxsize=16)
def _named(graph: str, number: int) -> Drawn:
    if graph == "karate":
        return karate()
    if graph == "ring":
        return ring(RING)
    adjacency = atlas()[number]
    return Drawn(adjacency, np.zeros(len(adjacency), dtype=int), circle(len(adjacency)))


def steps_between(adjacency: Array) -> Array:
    """Steps from node to node (n, n), by breadth-first search from all nodes at once."""
    hops = np.where(np.eye(len(adjacency)) > 0, 0.0, inf)
    for k in range(1, len(adjacency)):
        hops[(adjacency @ (hops == k - 1) > 0) & np.isinf(hops)] = k
    return hops


# --- Message passing ----------------------------------------------------------------------------------


def aggregate(adjacency: Array, states: Array, how: str) -> Array:
    """AGG of the neighbours' states (..., n, w), for one graph or many; 0 where there is no neighbour."""
    if how == "max":
        heard = np.where(adjacency[..., None] > 0, states[..., None, :, :], -inf)  # (..., n, n, w)
        top = heard.max(axis=-2)
        return np.where(np.isfinite(top), top, 0.0)
    total = adjacency @ states
    return total / np.maximum(adjacency.sum(axis=-1, keepdims=True), 1) if how == "mean" else total


def through(adjacency: Array, states: Array, jacobian: Array, how: str) -> Array:
    """∂AGG/∂x (n, w, n·w) from ∂states/∂x of the same shape: the chain rule through the aggregator.

    A max passes on, in each of its w numbers, the slope of the one neighbour that is largest.
    """
    if how != "max":
        return aggregate(adjacency, jacobian.reshape(len(states), -1), how).reshape(jacobian.shape)
    heard = np.where(adjacency[:, :, None] > 0, states, -inf)  # (n, n, w)
    winner = heard.argmax(axis=1)  # (n, w)
    slope = jacobian[winner, np.arange(states.shape[1])]
    return slope * (adjacency.sum(axis=1) > 0)[:, None, None]


def influences(adjacency: Array, x: Array, own: Array, other: Array, how: str) -> Array:
    """Largest |∂h_i/∂x_j| after 0 to 60 layers (61, n, n), each in units of the largest of its layer.

    With h' = tanh(z), z = h W₁ + AGG(h) W₂, the slope is (1 - h'²)(∂h W₁ + ∂AGG W₂).
    """
    n, w = x.shape
    states, jacobian = x, np.eye(n * w).reshape(n, w, n * w)
    seen = [np.eye(n)]
    for _ in range(DEPTH):
        inflow = through(adjacency, states, jacobian, how)
        states = np.tanh(states @ own + aggregate(adjacency, states, how) @ other)
        jacobian = own.T @ jacobian + other.T @ inflow
        jacobian *= (1 - states**2)[:, :, None]
        jacobian /= np.abs(jacobian).max()  # zeros stay zeros, and nothing underflows in 60 layers
        seen.append(np.abs(jacobian).reshape(n, w, n, w).max(axis=(1, 3)))
    return np.stack(seen)


def by_messages(edges: Integers, weight: Array, states: Array, how: str) -> Array:
    """One message an edge, one inbox a node (n, w): AGG written out. ``edges`` (m, 2): receiver, sender."""
    receiver, sender = edges.T
    message = weight[:, None] * states[sender]
    inbox = np.full(states.shape, -inf if how == "max" else 0.0)
    (np.maximum if how == "max" else np.add).at(inbox, receiver, message)
    if how == "mean":
        inbox /= np.maximum(np.bincount(receiver, minlength=len(states)), 1)[:, None]
    return np.where(np.isfinite(inbox), inbox, 0.0)


def both_forms(adjacency: Array, x: Array, weights: Array, layers: int, how: str) -> Array:
    """The last state as a matrix product and message by message (2,), where the two differ most."""
    n = len(adjacency)
    gcn = how == "gcn"
    neighbours = adjacency + np.eye(n) if gcn else adjacency
    edges = np.argwhere(neighbours > 0)
    degree = neighbours.sum(axis=1)
    weight = 1 / np.sqrt(degree[edges[:, 0]] * degree[edges[:, 1]]) if gcn else np.ones(len(edges))
    matrix, message, smooth = x, x, normalised(adjacency)
    for _ in range(layers):
        whole = smooth @ matrix if gcn else aggregate(adjacency, matrix, how)
        matrix = np.tanh(whole @ weights)
        message = np.tanh(by_messages(edges, weight, message, "sum" if gcn else how) @ weights)
    worst = np.unravel_index(np.abs(matrix - message).argmax(), matrix.shape)
    return np.array([matrix[worst], message[worst]])


def figure_update(states: Array, heard: Array, weights: Array) -> Array:
    """$v' = σ(W·AGG + v)$, as it is often drawn: adds a node's state as it is."""
    return np.tanh(heard @ weights + states)


def general_update(states: Array, heard: Array, weights: Array, own: Array) -> Array:
    """$v' = σ(W_1 v + W_2·AGG)$: the node's own state has weights too."""
    return np.tanh(states @ own + heard @ weights)


OUTCOMES = ("refused", "silently stretched", "fits")


def try_widths(rng: np.random.Generator) -> Integers:
    """Both updates at all widths before and after, 1 to 6 (2, 6, 6): places in OUTCOMES.

    NumPy stretches an array of width 1 to any width, so not every misfit is an error.
    """
    found = np.zeros((2, WIDEST, WIDEST), dtype=int)
    for before, after in np.ndindex(WIDEST, WIDEST):
        states, heard = rng.standard_normal((2, 7, before + 1))
        weights, own = rng.standard_normal((2, before + 1, after + 1))
        try:
            figure_update(states, heard, weights)
            found[0, before, after] = 2 if before == after else 1
        except ValueError:
            found[0, before, after] = 0
        new = general_update(states, heard, weights, own)
        found[1, before, after] = 2 if new.shape == (7, after + 1) else 1
    return found


# --- Smoothing ----------------------------------------------------------------------------------------


def normalised(adjacency: Array) -> Array:
    """$\\hat A = \\tilde D^{-1/2}(A + I)\\tilde D^{-1/2}$ (n, n)."""
    neighbours = adjacency + np.eye(len(adjacency))
    root = np.sqrt(neighbours.sum(axis=1))
    return neighbours / np.outer(root, root)


def limit(adjacency: Array, hops: Array) -> Array:
    """$\\hat A^\\infty$ (n, n): within a component √(d̃ᵢd̃ⱼ) over the sum of its d̃; 0 between components."""
    degree, same = adjacency.sum(axis=1) + 1, np.isfinite(hops)
    return same * np.sqrt(np.outer(degree, degree)) / (same @ degree)[:, None]


def distances_from_limit(matrix: Array, end: Array, x: Array) -> Array:
    """‖Â^K x - Â^∞ x‖ for K = 0 to 60 (61,)."""
    goal, found = end @ x, []
    for _ in range(DEPTH + 1):
        found.append(float(np.linalg.norm(x - goal)))
        x = matrix @ x
    return np.array(found)


def second_modulus(eigenvalues: Array) -> float:
    """Largest modulus of an eigenvalue that is not 1."""
    others = np.abs(eigenvalues[eigenvalues < 1 - 1e-9])
    return float(others.max()) if len(others) else 0.0


def neglected(eigenvalues: Array, energy: Array, k: int) -> float:
    """By how much, relatively, the ratio of steps K + 1 and K can lie below |λ₂|.

    $Σ_i (c_i/c_2)^2 (λ_i/λ_2)^{2K}$ over the eigenvalues of smaller modulus, 1 apart.
    """
    modulus, top = np.abs(eigenvalues), second_modulus(eigenvalues)
    leading = np.abs(modulus - top) < 1e-9
    smaller = modulus < top - 1e-9
    return float(np.sum(energy[smaller] * (modulus[smaller] / top) ** (2 * k)) / np.sum(energy[leading]))


# --- Cora ---------------------------------------------------------------------------------------------


@cache
def cora_matrices() -> tuple[sparse.csr_matrix, ...]:
    """Words (2708, 1433), rows summing to 1; citations A (2708, 2708); √d̃ by component (2708, 78)."""
    cora = load_cora()
    n, (i, j) = len(cora.label), cora.links.T
    counts = np.diff(cora.words.indptr)
    shares = cora.words.data / np.repeat(counts, counts)
    words = sparse.csr_matrix((shares.astype(float), cora.words.indices, cora.words.indptr), cora.words.shape)
    one_way = sparse.coo_matrix((np.ones(len(i)), (i, j)), shape=(n, n))
    links = (one_way + one_way.T).tocsr()
    _, component = sparse.csgraph.connected_components(links, directed=False)
    root = np.sqrt(np.asarray(links.sum(axis=1)).ravel() + 1)
    return words, links, sparse.csr_matrix((root, (np.arange(n), component)))


def scores(operators: Sequence[Any], words: Any) -> Array:
    """How near each paper is to each class (2708, 7): m·z - |m|²/2, the larger the nearer.

    z is a paper's words after the operators, m the mean z of the 20 labelled papers of a class. The operators
    are applied to 7 columns, back and forth, never to the 1,433 words: m = Xᵀ(Sᵀe), m·z = S(Xm).
    """
    cora = load_cora()
    back = np.zeros((len(cora.label), 7))
    back[cora.train, cora.label[cora.train]] = 1 / 20
    for operator in reversed(operators):
        back = operator.T @ back
    means = words.T @ back  # (1433, 7)
    forth = words @ means
    for operator in operators:
        forth = operator @ forth
    return forth - np.sum(means**2, axis=0) / 2


def right_on_test(score: Array) -> Flags:
    """Which of the 1,000 test papers are nearest to their own class."""
    cora = load_cora()
    right: Flags = score[cora.test].argmax(axis=1) == cora.label[cora.test]
    return right


@cache
def cora_by_depth() -> tuple[Flags, Flags]:
    """Which test papers are right after CORA_LAYERS of Â (10, 1000), and in the limit (1000,)."""
    words, links, root = cora_matrices()
    scale = sparse.diags(1 / np.asarray(root.sum(axis=1)).ravel())
    matrix = (scale @ (links + sparse.identity(links.shape[0])) @ scale).tocsr()
    right = np.stack([right_on_test(scores([matrix] * k, words)) for k in CORA_LAYERS])
    unit = root @ sparse.diags(1 / np.sqrt(np.asarray(root.power(2).sum(axis=0)).ravel()))
    end = right_on_test(scores([unit.T, unit], words))
    return fixed((right, end))


def sampled_mean(links: sparse.csr_matrix, size: int, rng: np.random.Generator) -> sparse.csr_matrix:
    """The mean over ``size`` neighbours of each paper, drawn without replacement (2708, 2708)."""
    degree = np.diff(links.indptr)
    receiver = np.repeat(np.arange(len(degree)), degree)
    order = np.lexsort([rng.random(links.nnz), receiver])  # each receiver's edges, shuffled
    kept = order[np.arange(links.nnz) - links.indptr[receiver] < size]
    weight = 1 / np.minimum(degree, size)[receiver[kept]]
    return sparse.csr_matrix((weight, (receiver[kept], links.indices[kept])), links.shape)


@cache
def cora_by_sample(seed: int) -> Flags:
    """Which test papers are right from their words, beside those one and two hops away (6, 1000).

    By CORA_SAMPLES neighbours asked, then all. Vectors side by side add their squared distances.
    """
    words, links, _ = cora_matrices()
    rng, rows = np.random.default_rng([seed, 1]), []
    for size in (*CORA_SAMPLES, links.shape[0]):
        hops = [sampled_mean(links, size, rng) for _ in range(2)]
        rows.append(right_on_test(np.sum([scores(hops[:k], words) for k in range(3)], axis=0)))
    return fixed(np.stack(rows))


def sample_moments(values: Array, draws: int, rng: np.random.Generator) -> Array:
    """The mean of S = 1 to d sampled values, over the draws (2, d, 2): its mean and its variance.

    First without replacement (the first S of a shuffled row), then with. The variance is taken about the mean
    of all values, which is known and which the sample should have.
    """
    d = len(values)
    shuffled = rng.permuted(np.tile(values, (draws, 1)), axis=1)  # (draws, d)
    repeated = values[rng.integers(d, size=(draws, d))]
    means = np.cumsum([shuffled, repeated], axis=2) / np.arange(1, d + 1)  # (2, draws, d)
    return np.stack([means.mean(axis=1), np.mean((means - values.mean()) ** 2, axis=1)], axis=2)


def sample_variance(values: Array, size: Any, replacement: bool = False) -> Any:
    """Predicted variance of the mean of S values: s²/S, times (d - S)/(d - 1) without replacement."""
    d = len(values)
    factor = 1.0 if replacement else (d - size) / max(d - 1, 1)
    return np.var(values) / size * factor


def fourth_moment(values: Array, size: int, replacement: bool = False) -> float:
    """Predicted 4th central moment of the mean of S values.

    $E(Σy)^4$ is a sum over 1 to 4 different values, each group drawn with its own chance. As all y add to 0,
    the groups' sums follow from those of y² and y⁴.
    """
    d, y = len(values), values - values.mean()
    two, four = float(np.sum(y**2)), float(np.sum(y**4))
    if replacement:
        return (size * four / d + 3 * size * (size - 1) * (two / d) ** 2) / size**4
    chance = [1.0]  # of one value being in the sample, of two, three, four
    for k in range(4):
        chance.append(chance[-1] * max(size - k, 0) / max(d - k, 1))
    _, p1, p2, p3, p4 = chance
    quads = p4 * (3 * two**2 - 6 * four)
    return (
        p1 * four - 4 * p2 * four + 3 * p2 * (two**2 - four) + 6 * p3 * (2 * four - two**2) + quads
    ) / size**4


# --- Telling graphs apart -----------------------------------------------------------------------------


def refine(adjacency: Array, colour: Integers, how: str = "sum") -> Integers:
    """One round of colour refinement (g, n): nodes keep one colour if they and their neighbours agree.

    Neighbours agree as multisets (sum), in their proportions (mean: the quantiles of their colours), or in
    which colours occur (max).
    """
    none = colour.max() + 1
    heard = np.sort(np.where(adjacency > 0, colour[:, None, :], none), axis=2)  # (g, n, n)
    if how == "mean":
        degree = adjacency.sum(axis=2).astype(int)[..., None]
        heard = np.take_along_axis(heard, np.arange(QUANTILES) * degree // QUANTILES, axis=2)
    if how == "max":
        heard[..., 1:][heard[..., 1:] == heard[..., :-1]] = none
        heard.sort(axis=2)
    signature = np.concatenate([colour[..., None], heard], axis=2)
    _, new = np.unique(signature.reshape(-1, signature.shape[2]), axis=0, return_inverse=True)
    return new.reshape(colour.shape)


def settle(adjacency: Array, colour: Integers, how: str = "sum", rounds: int = 0) -> Integers:
    """Colours (g, n) after ``rounds``, or after n rounds, which always settles them."""
    for _ in range(rounds or adjacency.shape[-1]):
        colour = refine(adjacency, colour, how)
    return colour


def classes(rows: Array | Integers) -> Integers:
    """The class of each row: equal rows, equal class."""
    inverse: Integers = np.unique(rows, axis=0, return_inverse=True)[1].ravel()
    return inverse


def refined_pair(pair: tuple[Drawn, Drawn], how: str) -> Integers:
    """Colours of both graphs of a pair (5, m) by round, one palette; an old colour stays with its first."""
    adjacency = block_diag(pair[0].adjacency, pair[1].adjacency)[None]
    rows = [np.append(pair[0].colour, pair[1].colour)]
    for _ in range(ROUNDS):
        new, shown, next_free = refine(adjacency, rows[-1][None], how)[0], rows[-1].copy(), rows[-1].max() + 1
        for colour in np.unique(rows[-1]):
            parts = list(dict.fromkeys(new[rows[-1] == colour]))  # in the order in which they occur
            for part in parts[1:]:
                shown[new == part], next_free = next_free, next_free + 1
        rows.append(shown)
    return np.stack(rows)


def first_difference(colours: Integers) -> float:
    """The round from which two graphs, half of the nodes each, have different colours; inf if none."""
    halves = np.sort(colours.reshape(len(colours), 2, -1), axis=2)
    differ = np.any(halves[:, 0] != halves[:, 1], axis=1)
    return float(differ.argmax()) if differ.any() else inf


def rooted_trees(nodes: int) -> list[tuple[Any, ...]]:
    """All rooted trees of that many nodes, each the sorted tuple of its branches."""
    found: dict[int, list[Any]] = {1: [()]}
    for size in range(2, nodes + 1):
        grown = set()
        for small in range(1, size):  # hang a branch of `small` nodes on the root of a smaller tree
            for tree in found[size - small]:
                grown |= {tuple(sorted((*tree, branch))) for branch in found[small]}
        found[size] = sorted(grown)
    return found[nodes]


def tree_counts(adjacency: Array, most: int) -> Integers:
    """In how many ways each tree of up to ``most`` nodes maps into each graph (g, trees), edges to edges.

    From the leaves up: a root at v has the product over branches of the sum over v's neighbours.
    """
    ways: dict[tuple[Any, ...], Array] = {(): np.ones(adjacency.shape[:2])}

    def at(tree: tuple[Any, ...]) -> Array:
        if tree not in ways:
            branches = [(adjacency @ at(branch)[..., None])[..., 0] for branch in tree]
            ways[tree] = np.prod(branches, axis=0)
        return ways[tree]

    trees = [tree for nodes in range(1, most + 1) for tree in rooted_trees(nodes)]
    return np.stack([at(tree).sum(axis=1) for tree in trees], axis=1).astype(int)


def random_gin(rng: np.random.Generator) -> list[tuple[Array, Array]]:
    """Weights of GIN_ROUNDS layers, each an MLP of two; three colours come in."""
    fan_in = [3] + [GIN_WIDTH] * (GIN_ROUNDS - 1)
    shapes = [((f, GIN_WIDTH), (GIN_WIDTH, GIN_WIDTH)) for f in fan_in]
    return [(rng.standard_normal(a) / sqrt(a[0]), rng.standard_normal(b) / sqrt(b[0])) for a, b in shapes]


def readout(adjacency: Array, colour: Integers, weights: list[tuple[Array, Array]], how: str) -> Array:
    """What a network says of each graph (g, 16): the sum of its nodes' last states.

    A layer is h' = MLP((1 + ε)h + AGG h_j), GIN where AGG is the sum.
    """
    states = np.eye(3)[colour]  # (g, n, 3)
    for first, second in weights:
        mixed = (1 + EPSILON) * states + aggregate(adjacency, states, how)
        states = np.tanh(np.tanh(mixed @ first) @ second)
    return states.sum(axis=-2)


def near(rows: Array, rng: np.random.Generator) -> Integers:
    """Classes of readouts that agree up to rounding (g,), along one random direction."""
    value = rows @ rng.standard_normal(rows.shape[1])
    order = np.argsort(value)
    found = np.zeros(len(value), dtype=int)
    found[order[1:]] = np.cumsum(np.diff(value[order]) > APART)
    return found


@cache
def six_nodes() -> tuple[Array, Integers, Integers]:
    """The 156 graphs on six nodes (156, 6, 6), and their classes by refinement and by tree counts."""
    graphs = np.stack([graph for graph in atlas() if len(graph) == 6])
    colours = settle(graphs, np.zeros(graphs.shape[:2], dtype=int))
    refined, by_trees = classes(np.sort(colours, axis=1)), classes(tree_counts(graphs, TREE_NODES))
    return fixed((graphs, refined, by_trees))


@cache
def colours_of(pair: str, how: str) -> Integers:
    """Colours of the nodes of a pair (5, m) by round."""
    return refined_pair(PAIRS[pair], how)


def compare_pairs(weights: list[tuple[Array, Array]]) -> tuple[Flags, Array]:
    """For each pair and aggregator (5, 3): told apart by refinement, and distance between readouts."""
    told, distance = np.zeros((len(PAIRS), 3), dtype=bool), np.zeros((len(PAIRS), 3))
    for p, (name, pair) in enumerate(PAIRS.items()):
        for a, how in enumerate(AGGREGATORS):
            told[p, a] = np.isfinite(first_difference(colours_of(name, how)))
            said = [readout(g.adjacency, g.colour, weights, how) for g in pair]
            distance[p, a] = np.abs(said[0] - said[1]).max()
    return told, distance


# --- The run ------------------------------------------------------------------------------------------


def _first(graph: str, number: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """First states (n, w) and the two weight matrices (w, w): what the seed draws first."""
    n = len(_named(graph, number).adjacency)
    x, (own, other) = rng.standard_normal((n, WIDTH)), rng.standard_normal((2, WIDTH, WIDTH)) / 2
    return x, own, other


@lru_cache(maxsize=4)
def _influence(graph: str, number: int, seed: int, how: str) -> Array:
    """Influences in your graph (61, n, n): the same whatever K you look at."""
    first = _first(graph, number, np.random.default_rng(seed))
    return influences(_named(graph, number).adjacency, *first, how)


@lru_cache(maxsize=16)
def _forms(graph: str, number: int, seed: int, layers: int) -> Array:
    """Both forms of GCN, sum, mean and max after K layers (4, 2)."""
    x, own, _ = _first(graph, number, np.random.default_rng(seed))
    adjacency = _named(graph, number).adjacency
    return np.stack([both_forms(adjacency, x, 2 * own, layers, how) for how in ("gcn", *AGGREGATORS)])


@lru_cache(maxsize=16)
def _smoothed(graph: str, number: int, seed: int) -> tuple[Array, Array, Array, Array]:
    """Hops (n, n), eigenvalues and energies of the signal (n,), and what is left after K layers (61,)."""
    adjacency, (x, _, _) = _named(graph, number).adjacency, _first(graph, number, np.random.default_rng(seed))
    hops = steps_between(adjacency)
    matrix, end = normalised(adjacency), limit(adjacency, hops)
    eigenvalues, vectors = np.linalg.eigh(matrix)
    energy = np.sum((vectors.T @ (x - end @ x)) ** 2, axis=1)
    distance = distances_from_limit(matrix, end, x)
    left = distance / distance[0] if distance[0] > APART else np.zeros(DEPTH + 1)
    return hops, eigenvalues, energy, left


class Drawings(NamedTuple):
    """What the seed draws after the first states; as in the result."""

    values: Array
    moments: Array
    told: Flags
    distance: Array
    by_network: Integers
    widths: Integers


@lru_cache(maxsize=16)
def _drawings(graph: str, number: int, seed: int, draws: int) -> Drawings:
    """Samples of neighbours, readouts of a random network, and widths tried."""
    adjacency, rng = _named(graph, number).adjacency, np.random.default_rng(seed)
    _first(graph, number, rng)
    neighbours = np.flatnonzero(adjacency[adjacency.sum(axis=1).argmax()])
    values = rng.standard_normal(len(adjacency))[neighbours]
    moments = sample_moments(values, draws, rng) if len(values) else np.zeros((2, 0, 2))
    weights, graphs = random_gin(rng), six_nodes()[0]
    by_network = near(readout(graphs, np.zeros(graphs.shape[:2], dtype=int), weights, "sum"), rng)
    return Drawings(values, moments, *compare_pairs(weights), by_network, try_widths(rng))


def run(settings: Settings, tick: Tick = no_tick) -> Result:
    """Differentiate 60 layers, smooth by 60, sample the busiest node, and refine pairs and the atlas."""
    which, seed, how = _name(settings), settings.seed, settings.aggregator
    drawn = _named(*which)
    influence, forms = _influence(*which, seed, how), _forms(*which, seed, settings.layers)
    x, _, other = _first(*which, np.random.default_rng(seed))
    heard = aggregate(drawn.adjacency, x, how)
    entry = figure_update(x, heard, other)[0, 0], general_update(x, heard, other, np.eye(WIDTH))[0, 0]
    tick(0.3)

    hops, eigenvalues, energy, left = _smoothed(*which, seed)
    cora_right, cora_limit = cora_by_depth()
    tick(0.5)
    sage_right = cora_by_sample(seed)
    tick(0.7)
    drawings = _drawings(*which, seed, settings.draws)
    tick(0.85)

    label, test = load_cora().label, load_cora().test
    result = Result(
        settings, drawn.adjacency, drawn.place, hops, influence, eigenvalues, energy, left, forms,
        drawings.widths, (float(entry[0]), float(entry[1])), cora_right, cora_limit,
        float(np.bincount(label[test]).max() / len(test)), sage_right, drawings.values, drawings.moments,
        drawings.told, drawings.distance, colours_of(settings.pair, how), *six_nodes()[1:],
        drawings.by_network, {},
    )  # fmt: skip
    result.summary.update(_summary(result))
    tick(1.0)
    return result


def _summary(result: Result) -> dict[str, float]:
    """The headline numbers."""
    settings, size = result.settings, asked(result)
    return {
        "seen_at_k": float(np.mean(result.influence[settings.layers] > 0)),
        "left_at_k": float(result.left[settings.layers]),
        "layers_to_see_all": float(layers_until_settled(result.influence)),
        "second_eigenvalue": second_modulus(result.eigenvalues),
        "cora_2_layers": float(result.cora_right[CORA_LAYERS.index(2)].mean()),
        "cora_256_layers": float(result.cora_right[-1].mean()),
        "cora_limit": float(result.cora_limit.mean()),
        "most_neighbours": len(result.values),
        "sampled_variance": float(result.moments[0, size - 1, 1]) if size else 0.0,
        "round_that_tells_the_pair_apart": first_difference(result.colours),
        "classes_of_156_graphs": int(result.refined.max()) + 1,
    }


def asked(result: Result) -> int:
    """How many neighbours the busiest node asks: S, or all it has."""
    return min(result.settings.sample, len(result.values))


def layers_until_settled(influence: Array) -> int:
    """The first K from which no further layer shows anybody anything new."""
    counts = np.count_nonzero(influence, axis=(1, 2))
    return int(np.argmax(counts == counts[-1]))


# --- Theory against measurement -----------------------------------------------------------------------


def claims(result: Result) -> list[Claim]:
    """How far (two), the forms of a layer (two), sampling, and how finely."""
    return [
        _reach(result), _smoothing(result), _square_weights(result), _two_forms(result), _sampling(result),
        _refinement(result),
    ]  # fmt: skip


def _reach(result: Result) -> Claim:
    k, n, hops = result.settings.layers, len(result.adjacency), result.hops
    seen, within = result.influence > 0, hops <= np.arange(DEPTH + 1)[:, None, None]
    edges = result.adjacency.sum() / 2
    return Claim(
        id="2.7-mp-01",
        statement=f"K = {k} layers see exactly K hops: this share of all pairs has $∂h_i/∂x_j ≠ 0$.",
        predicted=float(np.mean(within[k])),
        measured=float(np.mean(seen[k])),
        **contract.identity(),
        also=(
            Check(what="pairs and depths 0 to 60 at which Jacobian and breadth-first search disagree",
                  predicted=0, measured=int(np.sum(seen != within)), **contract.exact()),
            Check(what="share after one layer: n + 2m of n² pairs", predicted=float((n + 2 * edges) / n**2),
                  measured=float(np.mean(seen[1])), **contract.identity()),
            Check(what="layers until nothing new is seen: the longest of the shortest ways",
                  predicted=float(hops[np.isfinite(hops)].max()),
                  measured=layers_until_settled(result.influence), **contract.exact()),
        ),
        unmet="" if result.settings.aggregator != "max"
        else "a max passes on only the largest message, so a node sees at most its K hops",
        reason="A layer moves news along one edge. All that can arrive does: random weights do not cancel.",
    )  # fmt: skip


PAIRED = "√(Var of the paired difference / 1000)"


def _paired(first: Flags, second: Flags) -> tuple[float, float]:
    """Difference of two accuracies on the same papers, and its standard error (McNemar, 1947)."""
    gap = first.astype(float) - second
    return float(gap.mean()), float(gap.std() / sqrt(len(gap)))


def _smoothing(result: Result) -> Claim:
    top = second_modulus(result.eigenvalues)
    k = int(np.flatnonzero(result.left[:DEPTH] >= 1e-5).max(initial=0))  # rounding is 1e-11 of this
    short = neglected(result.eigenvalues, result.energy, k) if top > APART and result.left[0] else 0.0
    tolerance = 1e-9 + top * short
    gain, gain_se = _paired(result.cora_right[CORA_LAYERS.index(2)], result.cora_right[0])
    _, end_se = _paired(result.cora_right[-1], result.cora_limit)
    ratio = result.left[k + 1] / result.left[k] if result.left[k] else 0.0
    return Claim(
        id="2.7-mp-02",
        statement=rf"Late layers shrink what tells nodes apart by $\lvert λ_2 \rvert$ (layer {k + 1} over "
        f"layer {k}).",
        predicted=top,
        measured=float(ratio),
        tolerance=tolerance,
        rule=f"neglected: |λ₂| Σ(cᵢ/c₂)²(λᵢ/λ₂)^{2 * k} + 1e-9 = {tolerance:.2g}",
        also=(
            Check(what="largest excess of what is left over |λ₂|ᴷ, K = 1 to 60", predicted=0.0, relation="<=",
                  measured=float(np.max(result.left[1:] - top ** np.arange(1, DEPTH + 1))),
                  **contract.identity()),
            Check(what="Cora: gain of two linear layers over none", predicted=0.0, relation=">",
                  measured=gain, **contract.four_standard_errors(gain_se, PAIRED)),
            Check(what="Cora: accuracy after 256 layers, below always naming the largest class",
                  predicted=result.cora_majority, relation="<", measured=float(result.cora_right[-1].mean()),
                  **contract.exact()),
            Check(what="Cora: accuracy after 256 layers, not separable from that of the limit",
                  predicted=float(result.cora_limit.mean()), measured=float(result.cora_right[-1].mean()),
                  **contract.four_standard_errors(end_se, PAIRED)),
        ),
        unmet="" if top > APART and result.left[0]
        else "every component of this graph is complete: one layer makes its nodes alike, λ₂ = 0",
        reason="In the eigenvectors of Â each layer multiplies by λ; the one with λ = 1 knows degrees only.",
    )  # fmt: skip


def _square_weights(result: Result) -> Claim:
    figure, general = result.widths
    fits, cells = OUTCOMES.index("fits"), WIDEST**2
    one, other = result.with_identity
    return Claim(
        id="2.7-mp-03",
        text_verdict="conditional",
        often_taught="The update is v′ = σ(W·AGG + v).",
        statement=r"$σ(W_1 v + W_2 \text{AGG})$ takes any widths; $σ(W\,\text{AGG} + v)$ needs a square $W$. "
        f"Of {cells} pairs of widths it fits this many.",
        predicted=WIDEST,
        measured=int(np.sum(figure == fits)),
        **contract.exact(),
        also=(
            Check(what="pairs of widths that fit the general form", predicted=cells,
                  measured=int(np.sum(general == fits)), **contract.exact()),
            Check(what="misfits that NumPy stretches without a word: one width is 1",
                  predicted=2 * (WIDEST - 1), measured=int(np.sum(figure == 1)), **contract.exact()),
            Check(what="a state by the general form with W₁ = I, and by the special one", predicted=one,
                  measured=other, **contract.identity()),
        ),
        reason="W·AGG has as many numbers as the new state, v as many as the old one; they can be added only "
        "where the two agree.",
    )  # fmt: skip


def _two_forms(result: Result) -> Claim:
    names = ("sum", "mean of the neighbours", "max of the neighbours")
    return Claim(
        id="2.7-mp-04",
        statement=r"A GCN is message passing: messages $h_j/\sqrt{\tilde d_i \tilde d_j}$, added up, are "
        f"the matrix form (worst entry after {result.settings.layers} layers).",
        predicted=float(result.forms[0, 0]),
        measured=float(result.forms[0, 1]),
        **contract.identity(),
        also=tuple(
            Check(what=f"the same loop with another inbox: {name}", predicted=float(matrix),
                  measured=float(message), **contract.identity())
            for name, (matrix, message) in zip(names, result.forms[1:], strict=True)
        ),
        reason="Row i of a matrix product is a sum over the entries of row i, and those are the edges of i.",
    )  # fmt: skip


def _spread(values: Array, size: int, draws: int, replacement: bool) -> contract.Tolerance:
    """The tolerance for a variance over the draws, and rounding: a coin's squared distance is no chance."""
    square = sample_variance(values, size, replacement) ** 2 if size else 0.0
    error = sqrt(max(fourth_moment(values, size, replacement) - square, 0.0) / draws) if size else 0.0
    found = contract.four_standard_errors(error, "√((μ₄ − μ₂²)/draws)")
    return {"tolerance": found["tolerance"] + 1e-9, "rule": found["rule"]}


def _sampling(result: Result) -> Claim:
    size, d, draws = asked(result), len(result.values), result.settings.draws
    unmet = "" if d else "no node has a neighbour: the mean of none is defined as 0"
    without, repeated = result.moments[:, size - 1] if d else np.zeros((2, 2))
    variance = float(sample_variance(result.values, size)) if d else 0.0
    gain, gain_se = _paired(result.sage_right[-1], result.cora_right[0])
    few, few_se = _paired(result.sage_right[CORA_SAMPLES.index(5)], result.cora_right[0])
    return Claim(
        id="2.7-sage-01",
        statement=f"The mean of {size} of {d} neighbours, drawn without replacement, has variance "
        r"$\frac{s^2}{S} \cdot \frac{d-S}{d-1}$.",
        predicted=variance,
        measured=float(without[1]),
        **_spread(result.values, size, draws, False),
        also=(
            Check(what="unbiased: mean over the draws, and of all neighbours",
                  predicted=float(result.values.mean()) if d else 0.0, measured=float(without[0]),
                  tolerance=4 * sqrt(variance / draws) + 1e-9,
                  rule=f"4 SE, SE = √(Var/draws) = {sqrt(variance / draws):.3g}, and rounding"),
            Check(what="variance with replacement, s²/S",
                  predicted=float(sample_variance(result.values, size, True)) if d else 0.0,
                  measured=float(repeated[1]), **_spread(result.values, size, draws, True)),
            Check(what="Cora: gain of the mean of all neighbours over words alone", predicted=0.0,
                  relation=">", measured=gain, **contract.four_standard_errors(gain_se, PAIRED)),
            Check(what="Cora: gain with five neighbours asked", predicted=0.0, relation=">", measured=few,
                  **contract.four_standard_errors(few_se, PAIRED)),
        ),
        unmet=unmet,
        reason="Every neighbour is as likely to be asked. Without replacement the sample runs out of "
        "surprises, and none are left at S = d.",
    )  # fmt: skip


def _refinement(result: Result) -> Claim:
    def number(*rows: Integers) -> int:
        return int(classes(np.stack(rows, axis=1)).max()) + 1

    predicted, pairs = number(result.by_trees), list(PAIRS)
    star, hexagon = (result.distance[pairs.index(pair)] for pair in ("star/path", "hexagon/triangles"))
    blind = float(max(star[1], star[2], hexagon[0]))
    return Claim(
        id="2.7-gin-01",
        text_verdict="conditional",
        often_taught="GIN is maximally expressive: as powerful as the Weisfeiler-Leman test.",
        statement="A sum can tell apart what 1-dimensional Weisfeiler-Leman can, and nothing else: of the "
        "156 graphs on six nodes colour refinement makes this many classes.",
        predicted=predicted,
        measured=number(result.refined),
        **contract.exact(),
        also=(
            Check(what="graphs on six nodes, more than there are classes", predicted=predicted, relation=">",
                  measured=len(result.refined), **contract.exact()),
            Check(what="classes if trees and refinement are combined: they agree", predicted=predicted,
                  measured=number(result.refined, result.by_trees), **contract.exact()),
            Check(what="classes by the readout of a random GIN", predicted=predicted,
                  measured=number(result.by_network), **contract.exact()),
            Check(what="classes if the GIN and refinement are combined: they agree", predicted=predicted,
                  measured=number(result.refined, result.by_network), **contract.exact()),
            Check(what="pairs and aggregators where network and refinement disagree", predicted=0,
                  measured=int(np.sum((result.distance > APART) != result.told)), **contract.exact()),
            Check(what="star and path: distance of the sums", predicted=0.0, relation=">",
                  measured=float(star[0]), **contract.identity()),
            Check(what="star and path by mean and max, hexagon and triangles by sum: largest distance",
                  predicted=0.0, measured=blind, **contract.identity()),
        ),
        reason="Predicted by counting how trees map into a graph: refinement tells two graphs apart exactly "
        "if some tree maps into them in different numbers of ways (Dvořák, 2010). In a hexagon and in two "
        "triangles every node has two neighbours, who have two neighbours, and so on.",
    )  # fmt: skip


# --- Tables -------------------------------------------------------------------------------------------


def tables(result: Result) -> dict[str, pd.DataFrame]:
    """The curves, the chosen graph and the view of its node, both pairs of graphs, and the atlas."""
    depth = np.arange(DEPTH + 1)
    top = second_modulus(result.eigenvalues)
    main = pd.DataFrame(
        {
            "layers": depth,
            "seen": np.mean(result.influence > 0, axis=(1, 2)),
            "within": np.mean(result.hops <= depth[:, None, None], axis=(1, 2)),
            "left": result.left,
            "bound": np.where(depth == 0, 1.0, top**depth),
        }
    )
    smoothing = pd.DataFrame(
        {"layers": depth, "log10_left": _log10(main["left"]), "log10_bound": _log10(main["bound"])}
    )
    span, width, outcomes = (
        max(20, result.settings.layers),
        np.arange(1, WIDEST + 1),
        np.array(OUTCOMES, object),
    )
    return {
        "main": main[: span + 1],
        "smoothing": smoothing,
        "view": _view(result),
        "links": _links(result.adjacency, result.place),
        "cora": pd.DataFrame(
            {
                "log2_layers": [-1.0, *np.log2(CORA_LAYERS[1:])],  # no layer stands where half a one would
                "layers": CORA_LAYERS,
                "accuracy": result.cora_right.mean(axis=1),
            }
        ),
        **_pair_tables(result),
        "aggregators": pd.DataFrame(
            {
                "pair": np.repeat(np.array(list(PAIRS), dtype=object), len(AGGREGATORS)),
                "aggregator": np.tile(np.array(AGGREGATORS, dtype=object), len(PAIRS)),
                "told_apart": result.told.ravel(),
                "log10_distance": _log10(result.distance).ravel(),
            }
        ),
        **_missed(result),
        "sampling": _sampling_table(result),
        "cora_sampled": pd.DataFrame(
            {
                "sampled": [*map(str, CORA_SAMPLES), "all"],
                "accuracy": result.sage_right.mean(axis=1),
                "words_alone": result.cora_right[0].mean(),
            }
        ),
        "widths": pd.DataFrame(
            {
                "before": np.repeat(width, WIDEST),
                "after": np.tile(width, WIDEST),
                "figure": outcomes[result.widths[0].ravel()],
                "general": outcomes[result.widths[1].ravel()],
            }
        ),
    }  # fmt: skip


def _log10(values: Any) -> Array:
    """log₁₀, and -17 for what is 0 or below rounding."""
    return np.log10(np.maximum(np.asarray(values, dtype=float), 1e-17))


def _links(adjacency: Array, place: Array) -> pd.DataFrame:
    """Each edge once, from place to place."""
    i, j = np.nonzero(np.triu(adjacency))
    return pd.DataFrame(np.hstack([place[i], place[j]]), columns=["x", "y", "x2", "y2"])


def _view(result: Result) -> pd.DataFrame:
    """What the chosen node hears of each node, by frame: K = 0 to one more than it takes."""
    n = len(result.adjacency)
    node = min(result.settings.node, n - 1)
    hops = result.hops[node]
    last = int(hops[np.isfinite(hops)].max()) + 1
    frame, other = np.repeat(np.arange(last + 1), n), np.tile(np.arange(n), last + 1)
    influence = result.influence[: last + 1, node]
    return pd.DataFrame(
        {
            "frame": frame,
            "node": other,
            "x": result.place[other, 0],
            "y": result.place[other, 1],
            "hops": np.where(np.isfinite(hops), hops, -1)[other].astype(int),  # -1: no way
            "seen": (influence > 0).ravel(),
            "within": hops[other] <= frame,
            "share": (influence / influence.sum(axis=1, keepdims=True)).ravel(),
        }
    )


def _pair_tables(result: Result) -> dict[str, pd.DataFrame]:
    """Both graphs of the chosen pair, side by side: nodes by round, and edges."""
    pair = PAIRS[result.settings.pair]
    places = [graph.place + 2.5 * side * RIGHT for side, graph in enumerate(pair)]
    place, m = np.vstack(places), result.colours.shape[1]
    nodes = pd.DataFrame(
        {
            "round": np.repeat(np.arange(ROUNDS + 1), m),
            "graph": np.tile(np.arange(m) // (m // 2) + 1, ROUNDS + 1),
            "x": np.tile(place[:, 0], ROUNDS + 1),
            "y": np.tile(place[:, 1], ROUNDS + 1),
            "colour": result.colours.ravel() + 1,
        }
    )
    links = [_links(g.adjacency, p) for g, p in zip(pair, places, strict=True)]
    return {"pair_nodes": nodes, "pair_links": pd.concat(links, ignore_index=True)}


def _missed(result: Result) -> dict[str, pd.DataFrame]:
    """The graphs on six nodes that share their class with another: one column a class, one row a graph."""
    shared = [np.flatnonzero(result.refined == which)
              for which in np.flatnonzero(np.bincount(result.refined) > 1)]  # fmt: skip
    graphs = six_nodes()[0][np.concatenate(shared)]  # (g, 6, 6)
    column = np.repeat(np.arange(len(shared)), [len(which) for which in shared])
    row = np.concatenate([np.arange(len(which)) for which in shared])
    place = circle(6) + 2 * column[:, None, None] * RIGHT + 2 * row[:, None, None] * DOWN  # (g, 6, 2)
    triangles = np.rint(np.trace(np.linalg.matrix_power(graphs, 3), axis1=1, axis2=2) / 6).astype(int)
    g, i, j = np.nonzero(np.triu(graphs))
    nodes = pd.DataFrame(
        {
            "x": place[..., 0].ravel(),
            "y": place[..., 1].ravel(),
            "group": np.repeat(column + 1, 6),
            "graph": np.repeat(row + 1, 6),
            "triangles": np.repeat(triangles, 6),
        },
        index=np.tile(np.arange(6), len(graphs)),
    )
    (x, y), (x2, y2) = place[g, i].T, place[g, j].T
    links = pd.DataFrame(
        {"x": x, "y": y, "x2": x2, "y2": y2, "group": column[g] + 1, "graph": row[g] + 1},
        index=np.arange(len(g)) - np.searchsorted(g, g),  # within its graph
    )
    return {"missed_nodes": nodes, "missed_links": links}


def _sampling_table(result: Result) -> pd.DataFrame:
    """Variance of the sampled mean by S, and in units of s²/S, that of S draws with replacement."""
    d = len(result.values)
    size = np.arange(1, d + 1)
    unit = sample_variance(result.values, size, True) if d > 1 else np.full(d, nan)
    return pd.DataFrame(
        {
            "sampled": size,
            "variance": result.moments[0, :, 1],
            "measured": result.moments[0, :, 1] / unit,
            "predicted": sample_variance(result.values, size) / unit if d > 1 else unit,
            "measured_with_replacement": result.moments[1, :, 1] / unit,
            "predicted_with_replacement": unit / unit,
        }
    )


# --- Predict, then see --------------------------------------------------------------------------------

CHALLENGES = (
    Challenge(
        prompt="A club of 34, most of whom have two to five friends in it. What share of all pairs is at "
        "most two steps apart (0 to 1)?",
        options=(),
        settings={},
        answer=lambda result: result.summary["seen_at_k"],
        curve=("main", "layers", "seen"),
        at=2,
        why="Two members have 16 and 17 friends, and most of the club knows one of them: so two layers see "
        "well over half of all pairs.",
    ),
    Challenge(
        prompt="After how many layers has every member heard of every other?",
        options=(),
        settings={},
        answer=lambda result: result.summary["layers_to_see_all"],
        why="The longest of all shortest ways: the diameter.",
    ),
    Challenge(
        prompt="After how many rounds of messages does a sum tell a hexagon from two triangles?",
        options=("1 round", "3 rounds", "6 rounds", "never"),
        settings={"pair": "hexagon/triangles"},
        answer=lambda result: {1.0: "1 round", 3.0: "3 rounds", 6.0: "6 rounds"}.get(
            result.summary["round_that_tells_the_pair_apart"], "never"
        ),
        why="Every node sees two neighbours like itself, in both graphs and in every round. It takes more "
        "than messages: counting triangles, or numbering the nodes.",
    ),
)
