r"""**Can vectors infer that Paris is in Europe?**

Four facts, and none of them says that Paris is in Europe. TransE gives every entity a point and every
relation an arrow, and moves them until each arrow leads from head to tail. Then you walk two arrows that
were never walked together.

$$
\lVert h + r - t \rVert \approx 0, \qquad
\mathcal L = \sum_{(h,r,t)} \big[\, \gamma + \lVert h + r - t \rVert - \lVert h' + r - t' \rVert \,\big]_+
$$

- $(h, r, t)$: a fact, **head**, **relation**, **tail**, as in (Paris, isCapitalOf, France); each is a
  vector in $\mathbb R^d$
- $(h', r, t')$: the same fact **corrupted**: its head or its tail replaced by another entity, drawn at
  random; if that happens to be a known fact, the pair is left out
- $\gamma$: the **margin** by which a fact should score better than its corruption; $[x]_+ = \max(x, 0)$
- $\lVert \cdot \rVert$: the L2 or the L1 norm; after each step every entity is put back on the unit sphere
- the **rank** of the true tail among all entities, nearest to $h + r$ first; ties count against it.
  **Filtered**: other known answers are not counted. **MRR**: the mean of 1/rank. **Hits@k**: how often the
  rank is at most k

**Why can it work?** TransE has no rule of inference. But errors along a path add up at most. With $P$ for
Paris, $F$ for France and $E$ for Europe:

$$
\lVert P + r_\text{cap} + r_\text{part} - E \rVert \le
\underbrace{\lVert P + r_\text{cap} - F \rVert}_{\rho} + \lVert F + r_\text{part} - E \rVert
$$

If Europe leads the answers to (France, isPartOf, ?) by more than $2\rho$, then Europe *must* lead the
answers to the composed question. That is a theorem, and the page checks whether it applies. With
`countries` there is a third relation, locatedIn, learned from other capitals. It settles near the sum of
the two arrows, and answers for capitals it never saw.

**What to try.** Drag the slider under the first chart and watch the arrows line up. Choose `countries`.
Switch to L1: its distances are up to $\sqrt d$ times longer, so a margin of 1 is soon met and the walk need
not arrive; a margin of 3 and 8 dimensions bring it home. Add `France borders UK` and `UK borders France` to
the facts. Then try the three data sets on which TransE must fail: the page lists who is forced to become
one point.

**What surprises.** The four facts cannot all be met. $F + r_\text{part} = E = UK + r_\text{part}$ would
make France and the UK one point, and then Paris and London. So training ends with a loss of zero and errors
that are not: a fact only has to score better than its corruptions by $\gamma$.

*References.* A. Bordes, N. Usunier, A. García-Durán, J. Weston and O. Yakhnenko (2013), Translating
embeddings for modeling multi-relational data. Z. Wang, J. Zhang, J. Feng and Z. Chen (2014), Knowledge
graph embedding by translating on hyperplanes, on symmetric and one-to-many relations. Countries and
regions: United Nations, Standard Country or Area Codes for Statistical Use (M49).
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import field_validator
from scipy.sparse import coo_array, csc_array, csr_array
from scipy.spatial.distance import cdist

from lab import contract
from lab.contract import Array, Challenge, Check, Claim, Tick, control, no_tick, seed_control
from lab.memory import remembered

Triple = tuple[str, str, str]
Indices = NDArray[np.int64]
Matrices = tuple[csr_array, csc_array]

FOUR: tuple[Triple, ...] = (
    ("Paris", "isCapitalOf", "France"),
    ("France", "isPartOf", "Europe"),
    ("London", "isCapitalOf", "UK"),
    ("UK", "isPartOf", "Europe"),
)
# Small worlds that no translation fits: text as a visitor would type it.
PRESETS = {
    "symmetric": "Ada isMarriedTo Ben; Ben isMarriedTo Ada; Cleo isMarriedTo Dan; Dan isMarriedTo Cleo; "
    "Ada livesIn Oslo; Cleo livesIn Rome",
    "one-to-many": "Europe hasMember France; Europe hasMember Italy; Europe hasMember Spain; "
    "Asia hasMember Japan; Asia hasMember Nepal; Paris isCapitalOf France; Rome isCapitalOf Italy; "
    "Tokyo isCapitalOf Japan; Kathmandu isCapitalOf Nepal",
    "transitive": "Ada isAncestorOf Ben; Ben isAncestorOf Cleo; Ada isAncestorOf Cleo; "
    "Cleo isAncestorOf Dan; Ben isAncestorOf Dan; Ada isAncestorOf Dan",
}
PAIR: tuple[Triple, ...] = (("Ada", "isMarriedTo", "Ben"), ("Ben", "isMarriedTo", "Ada"))
TRIANGLE: tuple[Triple, ...] = (
    ("Ada", "isAncestorOf", "Ben"),
    ("Ben", "isAncestorOf", "Cleo"),
    ("Ada", "isAncestorOf", "Cleo"),
)

# Why an exact fit is impossible, one sentence for each data set; the page prints it.
WHY = {
    "four facts": "France and the UK share an arrow and a tail, so an exact fit makes them one point.",
    "countries": "All countries of a region share an arrow and a tail, so an exact fit makes them one point.",
    "symmetric": "a + r = b and b + r = a give 2r = 0: the arrow vanishes, the spouses become one point.",
    "one-to-many": "Europe + r is a single point, so all members stand on it, and their capitals meet too.",
    "transitive": "a + r = b, b + r = c and a + r = c give 2r = r, so r = 0: the family becomes one point.",
}

COUNTRIES = Path(__file__).parent / "data" / "countries.tsv"
NAME = re.compile(r"[\w.,'&/ -]+")  # of typed facts: they stand in links and on the page
RESTARTS = 4  # random starts trained side by side; a file of over LARGE facts gets one
LARGE = 1_000
BATCH = 512  # facts a step; smaller sets are used whole
FEW = 3  # entities of a pair: with more in the graph than FEW · BATCH, a step looks only at those it touches
TOGETHER = 32  # steps whose corruptions are made at once
FRAMES = 40
TEST_SHARE = 0.1  # of the facts of a file
EVALUATED = 300  # facts ranked at most
SHOWN = 168  # facts drawn at most
MAX_BYTES, MAX_FACTS, MAX_ENTITIES, MAX_NAME = 2_000_000, 20_000, 5_000, 200


def parse_facts(text: str) -> list[Triple]:
    """Facts as typed, one a line or parted by semicolons: head relation tail. None at all means the four."""
    triples = []
    for number, line in enumerate(text.replace(";", "\n").split("\n"), 1):
        words = [w.strip() for w in line.split("\t")] if "\t" in line.strip() else line.split()
        if not words:
            continue
        if len(words) != 3 or not all(words):
            plural = "s" * (len(words) != 1)
            raise ValueError(f"line {number} has {len(words)} word{plural}; it must be: head relation tail")
        if not all(NAME.fullmatch(word) for word in words):
            raise ValueError(
                f"line {number} has a name with a sign other than letters, digits and . , ' & / -"
            )
        triples.append((words[0], words[1], words[2]))
    return _usable(triples) if triples else list(FOUR)


def read_triples(path: Path) -> list[Triple]:
    """Facts to train on instead: a UTF-8 text file, head, relation and tail on each line, with tabs between.

    Empty lines and lines that begin with # are skipped. Raises ``ValueError`` with one line that says what
    is wrong, and where.
    """
    try:
        with open(path, "rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ValueError("there is no such file") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES // 1_000_000} MB, the most this reads")
    if b"\0" in raw:
        raise ValueError("is a binary file, not text")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = raw[: error.start].count(b"\n") + 1
        raise ValueError(f"line {number} is not UTF-8 text") from None
    triples = []
    for at, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.startswith("#"):
            triples.append(_triple(at, line.rstrip("\r")))
    if not triples:
        raise ValueError("is empty: no line holds a fact")
    return _usable(triples)


def _triple(number: int, line: str) -> Triple:
    fields = [field.strip() for field in line.split("\t")]
    if len(fields) != 3:
        plural = "s" * (len(fields) != 1)
        raise ValueError(
            f"line {number} has {len(fields)} field{plural}; it must be: head<TAB>relation<TAB>tail"
        )
    for field in fields:
        if not field or not field.isprintable() or len(field) > MAX_NAME:
            fault = "longer than 200 characters" if len(field) > MAX_NAME else "empty or not printable"
            raise ValueError(f"line {number} has a name that is {fault}")
    return fields[0], fields[1], fields[2]


def _usable(triples: list[Triple]) -> list[Triple]:
    triples = list(dict.fromkeys(triples))
    entities = {name for head, _, tail in triples for name in (head, tail)}
    if len(entities) < 2:
        raise ValueError("there is one entity only; a fact can be corrupted only if there are two")
    if len(triples) > MAX_FACTS or len(entities) > MAX_ENTITIES:
        raise ValueError(
            f"{len(triples):,} facts on {len(entities):,} entities; "
            f"the most are {MAX_FACTS:,} and {MAX_ENTITIES:,}"
        )
    return triples


FILES = {"triples": read_triples}


class Settings(contract.Settings):
    """What you can turn."""

    data: Literal["four facts", "countries", "symmetric", "one-to-many", "transitive"] = control(
        "four facts", "Data", help="The facts below, 42 countries, or a small set on which TransE must fail."
    )
    facts: str = control(
        "\n".join(" ".join(fact) for fact in FOUR), "Four facts, yours to edit", max_length=600,
        help="One a line, or parted by semicolons: head relation tail. Used when the data is 'four facts'. "
        "Empty: the four are back.",
    )  # fmt: skip
    dimension: int = control(20, "Dimension d", ge=2, le=32, step=1, help="Numbers to a vector.")
    margin: float = control(
        1.0,
        "Margin γ",
        ge=0.1,
        le=3,
        step=0.1,
        help="By how much a fact should score better than a corrupted one.",
    )
    norm: Literal["L2", "L1"] = control("L2", "Norm", help="How the length of an error is measured.")
    alpha: float = control(
        0.01, "Learning rate α", ge=0.001, le=0.1, log=True, help="Length of a step of SGD."
    )
    steps: int = control(
        1200, "Steps", ge=200, le=2000, step=100,
        help=f"Updates. Each looks at all facts, or at {BATCH} drawn at random if there are more.",
    )  # fmt: skip
    held_out: int = control(
        12, "Held-out capitals", ge=0, le=20, step=1,
        help="Of 42 countries, how many capitals' locatedIn is hidden from training and asked afterwards.",
    )  # fmt: skip
    seed: int = seed_control()

    @field_validator("facts")
    @classmethod
    def _well_formed(cls, value: str) -> str:
        return contract.readable("facts", value, parse_facts)


@dataclass(frozen=True)
class Graph:
    """Facts as numbers: each row is head, relation, tail."""

    entities: tuple[str, ...]  # n names
    relations: tuple[str, ...]  # m names
    train: Indices  # (k, 3)
    held_out: Indices  # (j, 3) never trained on

    @cached_property
    def rows(self) -> dict[Triple, int]:
        """Where each trained fact stands."""
        return {self.words(fact): i for i, fact in enumerate(self.train.tolist())}

    def words(self, fact: Sequence[int]) -> Triple:
        """A fact in words."""
        return self.entities[fact[0]], self.relations[fact[1]], self.entities[fact[2]]


@dataclass(frozen=True)
class Model:
    """The vectors of every random start, and the errors of the trained facts as training measured them."""

    graph: Graph
    norm: str
    entity: Array  # (restarts, n, d)
    relation: Array  # (restarts, m, d)
    error: Array  # (restarts, k, d) h + r - t

    def entity_of(self, name: str) -> Array:
        """An entity in each random start: (restarts, d)."""
        return self.entity[:, self.graph.entities.index(name)]

    def relation_of(self, name: str) -> Array:
        """A relation in each random start: (restarts, d)."""
        return self.relation[:, self.graph.relations.index(name)]

    def error_of(self, triple: Triple) -> Array:
        """What training measured as the error of a fact: (restarts, d)."""
        return self.error[:, self.graph.rows[triple]]

    def miss(self, triple: Triple) -> Array:
        """The length of that error: (restarts,)."""
        return length(self.error_of(triple), self.norm)


@dataclass(frozen=True)
class Film:
    """The first random start during training, on the plane in which its final entities spread most."""

    step: Array  # (frames,)
    loss: Array  # (frames,) mean hinge of a pair since the last frame, all random starts
    mrr: Array  # (frames, 2) filtered: trained facts, both sides; held-out facts, tails
    entity: Array  # (frames, entities shown, 2)
    relation: Array  # (frames, relations shown, 2)
    length: Array  # (frames, relations shown) of each relation, in all d dimensions
    residual: Array  # (frames, facts shown) ||h + r - t||, in all d dimensions
    facts: Indices  # (facts shown, 3)
    shown: Indices  # numbers of the entities shown
    relations: Indices  # numbers of the relations shown
    plane_share: float  # of the final entities' variance


@dataclass(frozen=True)
class Result:
    """Everything the charts, the claims and the tests need."""

    settings: Settings
    source: str  # four facts, countries, symmetric, one-to-many, transitive, own facts or file
    model: Model
    film: Film
    ranking: pd.DataFrame  # rank metrics with their chance level
    forced: list[tuple[str, ...]]  # entities that an exact fit makes one point
    vanishing: list[str]  # relations that an exact fit makes zero
    four_basis: Array  # (7, nullity) all exact fits of the four facts; rows as in exact_fits
    collapse_hinge: float  # of (Paris, isCapitalOf, France) against (Paris, isCapitalOf, UK) in an exact fit
    witness: Model | None  # a model that was trained on the four facts, among others perhaps
    composed: Array  # (restarts, n) from Paris + r_cap + r_part to every entity of the witness
    direct: Array  # (restarts, n) from Paris + r_part
    world: Model | None  # the countries
    world_rank: Array  # (restarts, held out) of the region, asked for capital + r_loc
    world_distance: Array  # (restarts, held out) to that region
    symmetric: Model
    transitive: Model
    flat_relations: Array  # (2, nullity) the symmetric and the transitive relation in all exact fits, padded
    summary: dict[str, float]


# --- The mathematics ----------------------------------------------------------------------------------


def length(x: Array, norm: str) -> Array:
    """L1 or L2 norm along the last axis."""
    return np.abs(x).sum(axis=-1) if norm == "L1" else np.sqrt(np.einsum("...i,...i->...", x, x))


def unit(x: Array) -> Array:
    """Every row scaled to L2 length one."""
    return x / np.maximum(length(x, "L2"), 1e-12)[..., None]


def error_matrix(facts: Indices, vectors: int) -> csr_array:
    """E (k, vectors) with +1 at h, +1 at r, -1 at t in each row, so that E V = h + r - t for a table V.

    Its transpose carries slopes back to the vectors: the gradient by V is Eᵀ ∂loss/∂(E V).
    """
    k = len(facts)
    entries = np.tile([1.0, 1.0, -1.0], k)
    return csr_array((entries, facts.ravel(), np.arange(0, 3 * k + 1, 3)), shape=(k, vectors))


def error_matrices(facts: Indices, vectors: int) -> Matrices:
    """The error matrix and its transpose, which share their memory."""
    matrix = error_matrix(facts, vectors)
    return matrix, matrix.T


def margin_loss(
    entity: Array, relation: Array, fact: Indices, corrupted: Indices, counts: NDArray[np.bool_],
    margin: float, norm: str, matrices: Matrices | None = None,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Hinges of the pairs (k,), and the gradients of their sum by entity (n, d) and by relation (m, d).

    $[γ + \\lVert u \\rVert - \\lVert v \\rVert]_+$ with $u = h + r - t$ and $v = h' + r - t'$. Where
    ``counts`` is false the pair is left out. ``matrices`` of as many pairs and vectors are filled anew, which
    is faster than making them.
    """
    k, n = len(fact), len(entity)
    vectors = np.concatenate([entity, relation])
    facts = np.concatenate([fact, corrupted])
    facts[:, 1] += n
    matrix, back = matrices or error_matrices(facts, len(vectors))
    matrix.indices[:] = facts.ravel()
    error = matrix @ vectors  # (2k, d): u above v
    size = length(error, norm)
    hinge = np.where(counts, np.maximum(margin + size[:k] - size[k:], 0.0), 0.0)
    sign = np.concatenate([hinge > 0, np.where(hinge > 0, -1.0, 0.0)])  # u is pulled in, v pushed out
    if norm == "L1":
        slope = np.sign(error) * sign[:, None]
    else:
        slope = error * (sign / np.maximum(size, 1e-12))[:, None]
    gradient = back @ slope
    return hinge, gradient[:n], gradient[n:]


def initial_vectors(rng: np.random.Generator, count: int, d: int) -> Array:
    """Uniform in $\\pm 6/\\sqrt{d}$, then scaled to length one, as in Bordes et al. (2013): (count, d)."""
    return unit(rng.uniform(-6 / np.sqrt(d), 6 / np.sqrt(d), (count, d)))


def corrupt(rng: np.random.Generator, facts: Indices, n: int) -> Indices:
    """Each fact with its head or its tail, by the toss of a coin, replaced by another of n entities."""
    return corrupt_often(rng, facts, n, 1)[0]


def corrupt_often(rng: np.random.Generator, facts: Indices, n: int, times: int) -> Indices:
    """The same for a number of steps in a row: (times, k, 3)."""
    k = len(facts)
    coin, shift = (
        np.array(d) for d in zip(*[(rng.random(k), rng.integers(1, n, k)) for _ in range(times)], strict=True)
    )
    corrupted = np.tile(facts, (times, 1, 1))
    heads, tails = corrupted[..., 0], corrupted[..., 2]
    heads[...] = np.where(coin < 0.5, (heads + shift) % n, heads)
    tails[...] = np.where(coin < 0.5, tails, (tails + shift) % n)
    return corrupted


def codes(facts: Indices, n: int, m: int) -> Indices:
    """One whole number for each fact: equal only for equal facts."""
    return (facts[..., 0] * m + facts[..., 1]) * n + facts[..., 2]


def contains(ordered: Indices, values: Indices) -> NDArray[np.bool_]:
    """Which ``values`` are among the ``ordered`` numbers."""
    at = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return ordered[at] == values


def gathered(fact: Indices, corrupted: Indices) -> tuple[Indices, Indices, Indices]:
    """The entities that some pairs touch, ascending, and the pairs with their places among them."""
    both = np.stack([fact, corrupted])
    rows, places = np.unique(both[:, :, ::2], return_inverse=True)
    both[:, :, ::2] = places.reshape(both[:, :, ::2].shape)
    return rows, both[0], both[1]


def training(
    graph: Graph, settings: Settings, batch_size: int = BATCH
) -> Iterator[tuple[int, Array, Array, float]]:
    """Train all random starts at once; give step, entities, relations and loss at every frame.

    Algorithm 1 of Bordes et al. (2013). The random starts stand below each other in one matrix: (s·n, d).
    Where a batch touches few of the entities, a step looks at no others: they do not move. So an epoch costs
    as much as there are facts, however many entities there are.
    """
    rng, n, m = np.random.default_rng(settings.seed), len(graph.entities), len(graph.relations)
    starts, size = restarts(graph), min(batch_size, len(graph.train))
    entity = initial_vectors(rng, starts * n, settings.dimension)  # (s·n, d)
    relation = initial_vectors(rng, starts * m, settings.dimension)  # (s·m, d)
    frames, losses, matrices = set(frame_steps(settings.steps)), [], None
    few = FEW * size < n
    for step, (fact, corrupted, counts) in enumerate(pairs(rng, graph, starts, size, settings.steps + 1)):
        rows: Indices | slice = slice(None)
        if few:
            rows, fact, corrupted = gathered(fact, corrupted)
        elif matrices is None:
            matrices = error_matrices(np.concatenate([fact, corrupted]), len(entity) + len(relation))
        near = entity[rows]
        hinge, by_near, by_relation = margin_loss(
            near, relation, fact, corrupted, counts, settings.margin, settings.norm, matrices
        )
        losses.append(hinge.mean())
        if step in frames:
            shape = (starts, -1, settings.dimension)
            yield step, entity.reshape(shape).copy(), relation.reshape(shape), float(np.mean(losses))
            losses = []
        entity[rows] = unit(near - settings.alpha * by_near)
        relation = relation - settings.alpha * by_relation


def pairs(
    rng: np.random.Generator, graph: Graph, starts: int, size: int, steps: int
) -> Iterator[tuple[Indices, Indices, NDArray[np.bool_]]]:
    """For each step facts and corruptions (s·size, 3), and which of these are no facts themselves (s·size,).

    The entities of the second random start are numbered from n on, and so forth.
    """
    n, m = len(graph.entities), len(graph.relations)
    known = np.sort(codes(graph.train, n, m))
    offset = np.repeat(np.arange(starts), size)[:, None] * np.array([n, m, n])  # (s·size, 3)
    batch = np.tile(graph.train, (starts, 1))
    at_a_time = 1 if size < len(graph.train) else TOGETHER
    for first in range(0, steps, at_a_time):
        if size < len(graph.train):
            batch = graph.train[rng.integers(len(graph.train), size=starts * size)]
        other = corrupt_often(rng, batch, n, min(at_a_time, steps - first))  # (steps, s·size, 3)
        fact, counts = batch + offset, ~contains(known, codes(other, n, m))
        yield from ((fact, *pair) for pair in zip(other + offset, counts, strict=True))


def restarts(graph: Graph) -> int:
    """How many random starts are trained: four, but one for a large file."""
    return RESTARTS if len(graph.train) <= LARGE else 1


def frame_steps(steps: int) -> list[int]:
    """The steps at which training is looked at: dense at first, when most happens."""
    return sorted({round(steps * (f / FRAMES) ** 2) for f in range(FRAMES + 1)})


def errors(entity: Array, relation: Array, facts: Indices) -> Array:
    """h + r - t for each fact: (..., k, d)."""
    return entity[..., facts[:, 0], :] + relation[..., facts[:, 1], :] - entity[..., facts[:, 2], :]


def pessimistic_rank(distance: Array, answer: Indices, excluded: NDArray[np.bool_] | None = None) -> Array:
    """Rank of each row's ``answer`` among the entities (k, n): one plus those as near or nearer.

    Ties count against the answer, so whoever gives all the same score is ranked last, not first.
    """
    own = np.take_along_axis(distance, answer[:, None], axis=1)
    near = distance <= own + 1e-9 * (1 + own)
    return np.sum(near if excluded is None else near & ~excluded, axis=1).astype(float)


def other_answers(graph: Graph, facts: Indices, side: int) -> NDArray[np.bool_]:
    """Which entities (k, n) besides its own complete each fact to another known one, at ``side`` 0 or 2."""
    n, m = len(graph.entities), len(graph.relations)
    turn = [2, 1, 0] if side == 0 else [0, 1, 2]
    known = np.sort(codes(np.concatenate([graph.train, graph.held_out])[:, turn], n, m))
    asked = codes(facts[:, turn], n, m) // n * n
    first, last = np.searchsorted(known, asked), np.searchsorted(known, asked + n)
    mask = np.zeros((len(facts), n), dtype=bool)
    for row, (low, high) in enumerate(zip(first, last, strict=True)):
        mask[row, known[low:high] % n] = True
    mask[np.arange(len(facts)), facts[:, side]] = False
    return mask


def ranks(
    entity: Array, relation: Array, facts: Indices, side: int, norm: str, other: NDArray[np.bool_]
) -> Array:
    """Raw and filtered rank (2, k) of the tail (side 2) or the head (side 0) of each fact."""
    known = entity[facts[:, 2 - side]]
    query = known + relation[facts[:, 1]] if side == 2 else known - relation[facts[:, 1]]
    distance = cdist(query, entity, "cityblock" if norm == "L1" else "euclidean")  # (k, n)
    answer = facts[:, side]
    return np.stack([pessimistic_rank(distance, answer), pessimistic_rank(distance, answer, other)])


def metrics(rank: Array) -> dict[str, float]:
    """Mean rank, mean reciprocal rank and hits."""
    hits = {f"hits@{k}": float(np.mean(rank <= k)) for k in (1, 3, 10)}
    return {"mean rank": float(np.mean(rank)), "MRR": float(np.mean(1 / rank)), **hits}


def chance(candidates: Array) -> dict[str, float]:
    """What a random order of each question's candidates scores on average: (n+1)/2, H_n/n and k/n."""
    harmonic = np.cumsum(1 / np.arange(1, candidates.max() + 1))
    hits = {f"hits@{k}": float(np.mean(np.minimum(k / candidates, 1))) for k in (1, 3, 10)}
    mrr = float(np.mean(harmonic[candidates.astype(int) - 1] / candidates))
    return {"mean rank": float(np.mean((candidates + 1) / 2)), "MRR": mrr, **hits}


def exact_fits(graph: Graph) -> Array:
    """A basis of all vectors of entities and relations that meet every fact exactly: (n + m, nullity).

    The null space of the matrix A with one row a fact: +1 at h and r, -1 at t. Each of the d coordinates
    of an exact fit lies in it.
    """
    n, k, symbols = len(graph.entities), len(graph.train), len(graph.entities) + len(graph.relations)
    columns = (graph.train + np.array([0, n, 0])).ravel()  # h, n + r, t of each fact
    entries = (np.tile([1.0, 1.0, -1.0], k), (np.repeat(np.arange(k), 3), columns))
    matrix = coo_array(entries, shape=(k, symbols)).tocsr()  # (k, n + m)
    eigenvalues, vectors = np.linalg.eigh((matrix.T @ matrix).toarray())
    return vectors[:, eigenvalues < 1e-9 * eigenvalues[-1]]


def coincidences(graph: Graph, basis: Array) -> tuple[list[tuple[str, ...]], list[str]]:
    """Groups of entities that are one point in every exact fit, and relations that are zero in it."""
    n, groups = len(graph.entities), []
    alone = np.ones(n, dtype=bool)
    for i in range(n):
        same = alone & np.all(np.abs(basis[:n] - basis[i]) < 1e-7, axis=1)
        alone &= ~same
        if same.sum() > 1:
            groups.append(tuple(graph.entities[j] for j in np.flatnonzero(same)))
    zero = np.all(np.abs(basis[n:]) < 1e-7, axis=1)
    return groups, [name for name, flat in zip(graph.relations, zero, strict=True) if flat]


# --- The run ------------------------------------------------------------------------------------------


@cache
def countries() -> tuple[Triple, ...]:
    """The 168 facts on 42 countries."""
    return tuple(read_triples(COUNTRIES))


def encode(train: Iterable[Triple], held_out: Iterable[Triple] = ()) -> Graph:
    """Number entities and relations in the order in which they come up."""
    train, held_out = list(train), list(held_out)
    triples = [*train, *held_out]
    entities = {e: i for i, e in enumerate(dict.fromkeys(e for h, _, t in triples for e in (h, t)))}
    relations = {r: i for i, r in enumerate(dict.fromkeys(r for _, r, _ in triples))}
    rows = np.array([(entities[h], relations[r], entities[t]) for h, r, t in triples], dtype=np.int64)
    return Graph(tuple(entities), tuple(relations), rows[: len(train)], rows[len(train) :])


def choose_graph(settings: Settings, triples: list[Triple] | None = None) -> tuple[str, Graph]:
    """What the settings ask to be learned, and its name."""
    rng = np.random.default_rng([settings.seed, 1])
    if triples is not None:
        return "file", encode(*_split(rng, list(dict.fromkeys(triples))))
    if settings.data == "countries":
        located = [fact for fact in countries() if fact[1] == "locatedIn"]
        hidden = [located[i] for i in rng.choice(len(located), settings.held_out, replace=False)]
        return "countries", encode([fact for fact in countries() if fact not in hidden], hidden)
    if settings.data in PRESETS:
        return settings.data, encode(parse_facts(PRESETS[settings.data]))
    facts = parse_facts(settings.facts)
    return ("four facts" if set(facts) == set(FOUR) else "own facts"), encode(facts)


def _split(rng: np.random.Generator, triples: list[Triple]) -> tuple[list[Triple], list[Triple]]:
    """Hide a share of the facts, but none whose entity or relation would never be seen in training."""
    left = Counter(symbol for h, r, t in triples for symbol in (("e", h), ("r", r), ("e", t)))
    hidden: set[int] = set()
    for i in rng.permutation(len(triples)):
        h, r, t = triples[i]
        if len(hidden) < min(TEST_SHARE * len(triples), EVALUATED) and h != t:
            symbols = (("e", h), ("r", r), ("e", t))
            if min(left[s] for s in symbols) > 1:
                left.subtract(symbols)
                hidden.add(int(i))
    return [t for i, t in enumerate(triples) if i not in hidden], [triples[i] for i in sorted(hidden)]


def model_of(graph: Graph, norm: str, entity: Array, relation: Array) -> Model:
    """The trained vectors with the errors they leave on the trained facts."""
    return Model(graph, norm, entity, relation, errors(entity, relation, graph.train))


def trained(graph: Graph, settings: Settings, tick: Callable[[float], None]) -> Model:
    """Train without looking in between."""
    entity = relation = np.empty(0)
    for step, *vectors, _ in training(graph, settings):
        entity, relation = vectors
        tick(step / settings.steps)
    return model_of(graph, settings.norm, entity, relation)


def watched(graph: Graph, settings: Settings, tick: Tick) -> tuple[Model, Film, pd.DataFrame]:
    """Train, and keep frames of the first random start and the ranks before and after."""
    questions = _questions(graph)
    hidden = graph.held_out[:20]
    facts = np.concatenate([graph.train[: SHOWN - len(hidden)], hidden])
    shown, pairs = np.unique(facts[:, [0, 2]]), np.unique(facts[:, 1])
    frames, rows, epoch = [], [], min(BATCH, len(graph.train)) / len(graph.train)
    for step, entity, relation, loss in training(graph, settings):
        mrr = _mrr(entity[0], relation[0], questions, settings.norm)
        residual = length(errors(entity[0], relation[0], facts), settings.norm)
        frames.append((step, loss, mrr, entity[0, shown], relation[0, pairs], residual))
        if step in (0, settings.steps):
            rows += _ranking("after" if step else "before", entity, relation, questions, settings.norm)
        live = {"epoch": step * epoch, "loss": loss, "mrr": mrr[0]}
        tick(step / settings.steps, **live)
    model = model_of(graph, settings.norm, entity, relation)
    return model, _develop(frames, entity[0], facts, shown, pairs), pd.DataFrame(rows)


Question = tuple[str, str, Indices, int, NDArray[np.bool_]]  # which facts, which side, themselves, ...


def _questions(graph: Graph) -> list[Question]:
    """What is ranked: tails and heads of trained and held-out facts, evenly thinned where there are many."""
    questions: list[Question] = []
    for which, facts in (("trained", graph.train), ("held out", graph.held_out)):
        facts = facts[:: max(1, -(-len(facts) // EVALUATED))]
        for name, side in (("tail", 2), ("head", 0)):
            if len(facts):
                questions.append((which, name, facts, side, other_answers(graph, facts, side)))
    return questions


def _mrr(entity: Array, relation: Array, questions: list[Question], norm: str) -> tuple[float, float]:
    """Filtered MRR of trained facts, heads and tails, and of held-out tails (NaN if there are none)."""
    few = slice(0, 100)
    found: dict[tuple[str, str], float] = {}
    for which, name, facts, side, other in questions:
        rank = ranks(entity, relation, facts[few], side, norm, other[few])[1]
        found[which, name] = float(np.mean(1 / rank))
    both = (found["trained", "tail"] + found["trained", "head"]) / 2
    return both, found.get(("held out", "tail"), math.nan)


def _ranking(
    when: str, entity: Array, relation: Array, questions: list[Question], norm: str
) -> list[dict[str, object]]:
    """Rows of the table of rank metrics: means over the random starts, and what chance would score."""
    rows: list[dict[str, object]] = []
    for which, name, facts, side, other in questions:
        starts = [ranks(e, r, facts, side, norm, other) for e, r in zip(entity, relation, strict=True)]
        n = float(entity.shape[1])
        candidates = {"raw": np.full(len(facts), n), "filtered": n - other.sum(axis=1)}
        for i, kind in enumerate(candidates):
            value = metrics(np.concatenate([rank[i] for rank in starts]))
            level = chance(candidates[kind])
            rows += [
                {"facts": which, "side": name, "kind": kind, "metric": metric, "when": when,
                 "value": value[metric], "chance": level[metric]}
                for metric in value
            ]  # fmt: skip
    return rows


def _develop(frames: list[Any], entity: Array, facts: Indices, shown: Indices, relations: Indices) -> Film:
    """Put all frames on the plane in which the final entities (n, d) spread most (their PCA)."""
    step, loss, mrr, points, arrows, residual = (np.array(part) for part in zip(*frames, strict=True))
    centre = entity.mean(axis=0)
    _, singular_values, axes = np.linalg.svd(entity - centre, full_matrices=False)
    plane = axes[:2].T  # (d, 2)
    share = float(np.sum(singular_values[:2] ** 2) / max(np.sum(singular_values**2), 1e-300))
    return Film(
        step, loss, mrr, (points - centre) @ plane, arrows @ plane, length(arrows, "L2"), residual, facts,
        shown, relations, share,
    )  # fmt: skip


def first_path(graph: Graph) -> tuple[int, int, int, int, int] | None:
    """Two facts in a row, as head, relation, middle, relation, tail; two different relations if possible."""
    onward: dict[int, list[tuple[int, int]]] = {}
    for h, r, t in graph.train.tolist():
        onward.setdefault(h, []).append((r, t))
    found = None
    for h, r, middle in graph.train.tolist():
        for r2, t in onward.get(middle, []):
            if len({h, middle, t}) == 3:
                if r != r2 or len(graph.relations) == 1:
                    return h, r, middle, r2, t
                found = found or (h, r, middle, r2, t)
    return found


def to_all(model: Model, query: Array) -> Array:
    """Distance from a point of each random start (restarts, d) to each of its entities: (restarts, n)."""
    return length(query[:, None, :] - model.entity, model.norm)


# Models trained before, by the settings they depend on: turning another knob does not train them again.
_learned: dict[Settings, Model] = {}  # 100 kB each
_watched: dict[Settings, tuple[Model, Film, pd.DataFrame]] = {}  # 500 kB each


def _of(data: str, settings: Settings) -> Settings:
    """The settings that learning ``data`` depends on: what is not asked of this world is left out."""
    facts = settings.facts if data == "four facts" else ""
    held_out = settings.held_out if data == "countries" else Settings().held_out
    return settings.model_copy(update={"data": data, "facts": facts, "held_out": held_out})


def run(settings: Settings, tick: Tick = no_tick, triples: list[Triple] | None = None) -> Result:
    """Train on the chosen facts, and on what the claims need besides."""
    source, graph = choose_graph(settings, triples)
    own = source in ("own facts", "file")

    def part(low: float, high: float) -> Tick:
        return lambda fraction, /, **live: tick(low + fraction * (high - low), **live)

    def watch() -> tuple[Model, Film, pd.DataFrame]:
        return watched(graph, settings, part(0.0, 0.5))

    if source == "file":
        model, film, ranking = watch()
    else:
        model, film, ranking = remembered(_watched, _of(settings.data, settings), 4, watch)

    def learned(data: str, low: float, high: float) -> Model:
        if source == data:
            return model
        key = _of(data, settings.model_copy(update={"facts": ""}))
        return remembered(_learned, key, 24, lambda: trained(choose_graph(key)[1], key, part(low, high)))

    world = None if own else learned("countries", 0.5, 0.8)
    symmetric, transitive = learned("symmetric", 0.8, 0.87), learned("transitive", 0.87, 0.94)
    if graph.rows.keys() >= set(FOUR):
        witness: Model | None = model
    else:
        witness = None if own else learned("four facts", 0.94, 1.0)
    tick(1.0)
    return _result(settings, source, model, film, ranking, witness, world, symmetric, transitive)


def _result(
    settings: Settings, source: str, model: Model, film: Film, ranking: pd.DataFrame,
    witness: Model | None, world: Model | None, symmetric: Model, transitive: Model,
) -> Result:  # fmt: skip
    small = len(model.graph.entities) + len(model.graph.relations) <= 400
    merged = coincidences(model.graph, exact_fits(model.graph)) if small else None
    forced, vanishing = merged or ([], [])
    four, basis = four_facts()
    composed = direct = world_rank = world_distance = np.empty((0, 0))
    if witness is not None:
        start = witness.entity_of("Paris") + witness.relation_of("isPartOf")
        direct, composed = to_all(witness, start), to_all(witness, start + witness.relation_of("isCapitalOf"))
    if world is not None:
        world_rank, world_distance = _answers(world)
    return Result(
        settings, source, model, film, ranking, forced, vanishing,
        basis, collapse_hinge(settings, four, basis), witness, composed, direct,
        world, world_rank, world_distance, symmetric, transitive,
        _flat(), _summary(model, film, ranking, merged),
    )  # fmt: skip


@cache
def four_facts() -> tuple[Graph, Array]:
    """The four facts, and a basis of all their exact fits."""
    graph = encode(FOUR)
    return graph, exact_fits(graph)


def collapse_hinge(settings: Settings, four: Graph, basis: Array) -> float:
    """What a random exact fit of the four facts pays for (Paris, isCapitalOf, France) against ..., UK)."""
    rng = np.random.default_rng([settings.seed, 2])
    fit = basis @ rng.standard_normal((basis.shape[1], settings.dimension))  # (7, d)
    n, fact = len(four.entities), four.train[:1]
    corrupted = fact.copy()
    corrupted[0, 2] = four.entities.index("UK")
    hinge, _, _ = margin_loss(
        fit[:n], fit[n:], fact, corrupted, np.array([True]), settings.margin, settings.norm
    )
    return float(hinge[0])


def _answers(world: Model) -> tuple[Array, Array]:
    """For each held-out fact, rank and distance of its tail, in each random start: (restarts, held out)."""
    asked = world.graph.held_out
    rank, distance = [], []
    for start in range(len(world.entity)):
        query = world.entity[start, asked[:, 0]] + world.relation[start, asked[:, 1]]
        to = length(query[:, None] - world.entity[start], world.norm)  # (held out, n)
        rank.append(pessimistic_rank(to, asked[:, 2]))
        distance.append(to[np.arange(len(asked)), asked[:, 2]])
    return np.array(rank), np.array(distance)


@cache
def _flat() -> Array:
    """The symmetric and the transitive relation in every exact fit, a row each, padded with zeros."""
    rows = []
    for data in ("symmetric", "transitive"):
        graph = encode(parse_facts(PRESETS[data]))
        rows.append(exact_fits(graph)[len(graph.entities)])
    width = max(len(row) for row in rows)
    return np.array([np.pad(row, (0, width - len(row))) for row in rows])


def _summary(
    model: Model, film: Film, ranking: pd.DataFrame, merged: tuple[list[tuple[str, ...]], list[str]] | None
) -> dict[str, float]:
    filtered = ranking[(ranking.metric == "MRR") & (ranking.kind == "filtered")]

    def mrr(which: str, when: str, column: str) -> float:
        return float(filtered[column][(filtered.facts == which) & (filtered.when == when)].mean())

    summary = {
        "facts": float(len(model.graph.train)),
        "entities": float(len(model.graph.entities)),
        "relations": float(len(model.graph.relations)),
        "final_loss": float(film.loss[-1]),
        "mean_residual": float(length(model.error, model.norm).mean()),
        "mrr_before": mrr("trained", "before", "value"),
        "mrr_after": mrr("trained", "after", "value"),
    }
    if merged is not None:
        summary["entities_forced_together"] = float(sum(len(group) for group in merged[0]))
    if len(model.graph.held_out):
        summary["held_out_mrr"] = mrr("held out", "after", "value")
        summary["held_out_chance"] = mrr("held out", "after", "chance")
    return summary


def query(result: Result, head: str, relation: str) -> pd.DataFrame:
    """All entities ranked as the tail of (head, relation, ?) in the first random start, nearest first.

    ``relation`` may be a path, as in ``isCapitalOf + isPartOf``. ``ValueError`` names what is known.
    """
    graph = result.model.graph
    steps = [relation] if relation in graph.relations else [part.strip() for part in relation.split("+")]
    for kind, name, known in (
        ("entity", head, graph.entities),
        *(("relation", s, graph.relations) for s in steps),
    ):
        if name not in known:
            more = f" and {len(known) - 40} more" if len(known) > 40 else ""
            raise ValueError(f"unknown {kind} {name!r}; there are {', '.join(known[:40])}{more}")
    at = graph.entities.index(head)
    point = result.model.entity[0, at] + sum(
        (result.model.relation[0, graph.relations.index(s)] for s in steps), np.zeros(1)
    )
    distance = length(point - result.model.entity[0], result.model.norm)  # (n,)
    answers = {t for h, r, t in (*graph.train.tolist(), *graph.held_out.tolist())
               if len(steps) == 1 and h == at and graph.relations[r] == steps[0]}  # fmt: skip
    rank = np.sum(distance <= (distance + 1e-9 * (1 + distance))[:, None], axis=1)
    order = np.argsort(distance, kind="stable")
    return pd.DataFrame(
        {
            "rank": rank[order],
            "tail": [graph.entities[i] for i in order],
            "distance": distance[order],
            "fact": [int(i) in answers for i in order],
        }
    )


# --- Theory against measurement -----------------------------------------------------------------------


CAPITAL, PART, LOCATED = "isCapitalOf", "isPartOf", "locatedIn"
NOT_HERE = "your facts do not hold the four about Paris, London and Europe"


def claims(result: Result) -> list[Claim]:
    """The three claims on TransE, and one that nothing here can check."""
    return [_exact_fit(result), _composition(result), _failures(result), _brittle()]


def _exact_fit(result: Result) -> Claim:
    basis, witness, margin = result.four_basis, result.witness, result.settings.margin
    paris, france, _, london, uk = basis[:5]
    gap = max(np.abs(france - uk).max(), np.abs(paris - london).max())
    also = [
        Check(what="dimensions left to an exact fit: 7 symbols − 4 facts", predicted=7 - len(FOUR),
              measured=basis.shape[1], **contract.exact()),
        Check(what="in an exact fit France and the UK score the same, so the hinge is all of γ",
              predicted=margin, measured=result.collapse_hinge, **contract.identity(margin)),
    ]  # fmt: skip
    if witness is not None:
        apart = length(witness.entity_of("France") - witness.entity_of("UK"), witness.norm)
        paid = witness.miss(FOUR[1]) + witness.miss(FOUR[3])
        i = int(np.argmin(paid - apart))
        also += [
            Check(what="trained: the two isPartOf errors add up to at least ‖France − UK‖", relation=">=",
                  predicted=float(apart[i]), measured=float(paid[i]), tolerance=1e-9,
                  rule="triangle inequality; float64 rounding"),
            Check(what="trained: ‖France − UK‖, in the random start where it is least", relation=">",
                  predicted=0.0, measured=float(apart.min()), **contract.identity()),
        ]  # fmt: skip
    return Claim(
        id="2.7-transe-01",
        statement="The four facts cannot all be met exactly unless France = UK and Paris = London. Margin "
        "ranking keeps them apart, so errors remain that no training removes.",
        often_taught="TransE is trained so that $h + r = t$ for every fact.",
        text_verdict="conditional",
        predicted=0.0,
        measured=float(gap),
        **contract.identity(),
        also=tuple(also),
        unmet="" if witness is not None else NOT_HERE,
        reason="Both countries are Europe $- r_{part}$, and both capitals are that point $- r_{cap}$.",
    )


def promised(second_hop: Array, answer: Indices, detour: Array) -> NDArray[np.bool_]:
    """Whether the answer must rank first: it leads at the end of the second hop by over twice the detour.

    ``second_hop`` (..., n) are distances from middle + r to every entity, ``detour`` (...) is how far the
    question starts from that point. Moving a point by ρ changes each distance by ρ at most.
    """
    own = np.take_along_axis(second_hop, answer[..., None], axis=-1)[..., 0]
    others = second_hop.copy()
    np.put_along_axis(others, answer[..., None], np.inf, axis=-1)
    return others.min(axis=-1) - own > 2 * detour


def _composition(result: Result) -> Claim:
    unmet, worst = NOT_HERE, math.nan
    also: list[Check] = []
    if result.witness is not None:
        sure, worst, also = _walk(result, result.witness)
        unmet = "" if sure else (
            "the first step misses France by more than half of Europe's lead after the second, so nothing is "
            "promised; under L2 a margin of 1 will do, under L1 it takes 3 and no more than 8 dimensions"
        )  # fmt: skip
    if result.world is not None and len(result.world.graph.held_out):
        also += _learned_shortcut(result, result.world)
    return Claim(
        id="2.7-transe-02",
        statement=r"TransE has no rule of inference, but Paris $+ r_{cap} + r_{part}$ ranks Europe first in "
        "every random start, and a locatedIn learned from other capitals answers for capitals it never saw.",
        often_taught="TransE infers that Paris is in Europe.",
        text_verdict="conditional",
        predicted=1.0,
        measured=worst,
        **contract.exact(),
        also=tuple(also),
        unmet=unmet,
        reason="Errors along a path add up at most; while below half of Europe's lead, it stays in front.",
    )


def _walk(result: Result, witness: Model) -> tuple[bool, float, list[Check]]:
    """Whether theory promises Europe the first rank, its worst rank, and the bounds on both questions."""
    europe = np.full(len(witness.entity), witness.graph.entities.index("Europe"))
    first, second = witness.miss(FOUR[0]), witness.miss(FOUR[1])
    after_france = to_all(witness, witness.entity_of("France") + witness.relation_of(PART))
    sure = bool(promised(after_france, europe, first).all())
    worst = float(pessimistic_rank(result.composed, europe).max())
    starts = np.arange(len(europe))
    walked, bound = result.composed[starts, europe], first + second
    arrow = length(witness.relation_of(CAPITAL), witness.norm)
    off = np.abs(result.direct[starts, europe] - arrow)
    i, j = int(np.argmax(walked - bound)), int(np.argmax(off - bound))
    rule = "triangle inequality; float64 rounding"
    return sure, worst, [
        Check(what="the walk misses Europe by at most the errors of its two steps", relation="<=",
              predicted=float(bound[i]), measured=float(walked[i]), tolerance=1e-9, rule=rule),
        Check(what="isPartOf alone misses Europe by ‖r_cap‖, give or take those errors", relation="<=",
              predicted=float(bound[j]), measured=float(off[j]), tolerance=1e-9, rule=rule),
    ]  # fmt: skip


def _learned_shortcut(result: Result, world: Model) -> list[Check]:
    """locatedIn against the path it stands for, and how well it answers for capitals it never saw."""
    asked, n = world.graph.held_out, len(world.graph.entities)
    gap = length(
        world.relation_of(LOCATED) - world.relation_of(CAPITAL) - world.relation_of(PART), world.norm
    )
    paths = {h: (c, k) for h, c, k in _capital_paths(world.graph)}
    walks = [(world.graph.entities[h], *paths[world.graph.entities[h]]) for h in asked[:, 0]]
    first = np.stack([world.miss((h, CAPITAL, c)) for h, c, _ in walks], axis=1)  # (restarts, held out)
    second = np.stack([world.miss((c, PART, k)) for _, c, k in walks], axis=1)
    middle = np.stack([world.entity_of(c) for _, c, _ in walks], axis=1) + world.relation_of(PART)[:, None]
    after = length(middle[:, :, None] - world.entity[:, None], world.norm)  # (restarts, held out, n)
    answer = np.broadcast_to(asked[:, 2], first.shape)
    sure = promised(after, answer, first + gap[:, None])
    bound = first + second + gap[:, None]
    worst = np.unravel_index(np.argmax(result.world_distance - bound), bound.shape)
    known = [(h, c, k) for h, (c, k) in paths.items() if (h, LOCATED, k) in world.graph.rows]
    closes = np.min(
        [
            world.miss((h, LOCATED, k)) + world.miss((h, CAPITAL, c)) + world.miss((c, PART, k))
            for h, c, k in known
        ],
        axis=0,
    )
    i = int(np.argmax(gap - closes))
    rule = "triangle inequality; float64 rounding"
    checks = [
        Check(what="countries: ‖r_loc − r_cap − r_part‖ is at most the errors of one capital's three facts",
              relation="<=", predicted=float(closes[i]), measured=float(gap[i]), tolerance=1e-9, rule=rule),
        Check(what="countries: a hidden locatedIn misses by at most the errors of its path and that gap",
              relation="<=", predicted=float(bound[worst]), measured=float(result.world_distance[worst]),
              tolerance=1e-9, rule=rule),
        Check(what="countries: hidden facts that rank first, of those whose bound promises it",
              predicted=float(sure.sum()), measured=float(np.sum(result.world_rank[sure] == 1)),
              **contract.exact()),
    ]  # fmt: skip
    if sure.mean() > 0.75:
        mrr = np.mean(1 / result.world_rank, axis=1)  # (restarts,)
        spread = float(mrr.std(ddof=1))
        checks.append(
            Check(what=f"countries: MRR of hidden locatedIn, over chance (H_n/n for n = {n})", relation=">",
                  predicted=float(np.sum(1 / np.arange(1, n + 1)) / n), measured=float(mrr.mean()),
                  **contract.separation(spread, len(mrr), 0.0, 1))
        )  # fmt: skip
    return checks


def _capital_paths(graph: Graph) -> list[Triple]:
    """Capital, country and region of every country."""
    region = {h: t for h, r, t in graph.rows if r == PART}
    return [(h, t, region[t]) for h, r, t in graph.rows if r == CAPITAL]


def _failures(result: Result) -> Claim:
    symmetric, transitive = result.symmetric, result.transitive
    there, back = symmetric.error_of(PAIR[0]), symmetric.error_of(PAIR[1])
    squares = np.sum(there**2, axis=-1) + np.sum(back**2, axis=-1)
    apart = symmetric.entity_of("Ada") - symmetric.entity_of("Ben")
    law = 2 * (np.sum(apart**2, axis=-1) + np.sum(symmetric.relation_of("isMarriedTo") ** 2, axis=-1))
    i = int(np.argmax(np.abs(squares - law)))
    arrow = length(transitive.relation_of("isAncestorOf"), transitive.norm)
    around = (
        transitive.error_of(TRIANGLE[0]) + transitive.error_of(TRIANGLE[1]) - transitive.error_of(TRIANGLE[2])
    )
    closed = length(around, transitive.norm)
    j = int(np.argmax(np.abs(arrow - closed)))
    flat = np.abs(result.flat_relations).max(axis=1)
    return Claim(
        id="2.7-transe-03",
        statement="The two facts of a symmetric pair leave a squared error of exactly "
        r"$2(\lVert a-b \rVert^2 + \lVert r \rVert^2)$, and a transitive relation can only be met with "
        "$r = 0$.",
        predicted=float(law[i]),
        measured=float(squares[i]),
        **contract.identity(float(law[i])),
        also=(
            Check(what="a symmetric relation in an exact fit", predicted=0.0, measured=float(flat[0]),
                  **contract.identity()),
            Check(what="a transitive relation in an exact fit", predicted=0.0, measured=float(flat[1]),
                  **contract.identity()),
            Check(what="trained: the errors around a transitive triangle add up to r, in length",
                  predicted=float(arrow[j]), measured=float(closed[j]), **contract.identity(float(arrow[j]))),
        ),
        reason="$(a-b+r)$ and $(b-a+r)$ obey the parallelogram law; $a+r+r=c=a+r$ leaves no room for $r$.",
    )  # fmt: skip


def _brittle() -> Claim:
    return Claim(
        id="2.7-kg-01",
        statement="Wikidata holds over 100 million items, knowledge graphs ground language models, "
        "and they are brittle.",
        text_verdict="unverifiable",
        reason="Sizes and uses of outside systems, and an opinion: nothing that can be computed here.",
    )


# --- Tables -------------------------------------------------------------------------------------------


def tables(result: Result) -> dict[str, pd.DataFrame]:
    """Tidy tables: frames of the plane, curves, ranks, composed and direct questions, forced mergers."""
    nearest, starts = questions(result)
    return {
        "training": _training_table(result),
        "points": _points(result),
        "arrows": _arrows(result),
        "walk": _walk_table(result),
        "relations": _relations(result),
        "ranking": result.ranking,
        "questions": nearest,
        "restarts": starts,
        "forced": pd.DataFrame(
            [("one point", ", ".join(group)) for group in result.forced]
            + [("zero arrow", name) for name in result.vanishing],
            columns=["becomes", "names"],
        ),
    }


def _training_table(result: Result) -> pd.DataFrame:
    film, graph = result.film, result.model.graph
    frame = {
        "frame": np.arange(len(film.step)),
        "step": film.step.astype(int),
        "epoch": film.step * min(BATCH, len(graph.train)) / len(graph.train),
        "loss": film.loss,
        "mrr": film.mrr[:, 0],
    }
    if len(graph.held_out):
        frame["held_out_mrr"] = film.mrr[:, 1]
    return pd.DataFrame(frame)


def _points(result: Result) -> pd.DataFrame:
    film, names = result.film, result.model.graph.entities
    frames, shown, _ = film.entity.shape
    return pd.DataFrame(
        {
            "frame": np.repeat(np.arange(frames), shown),
            "entity": np.tile([names[i] for i in film.shown], frames),
            "x": film.entity[..., 0].ravel(),
            "y": film.entity[..., 1].ravel(),
        }
    )


def _arrows(result: Result) -> pd.DataFrame:
    """For each frame and fact: from head to head + relation, and on to the tail (what is missed)."""
    film, graph = result.film, result.model.graph
    (h, r, t), frames = film.facts.T, len(film.step)
    head = film.entity[:, np.searchsorted(film.shown, h)]  # (frames, facts, 2)
    tip = head + film.relation[:, np.searchsorted(film.relations, r)]
    tail = film.entity[:, np.searchsorted(film.shown, t)]
    words = [graph.words(fact) for fact in film.facts.tolist()]
    return pd.DataFrame(
        {
            "frame": np.repeat(np.arange(frames), len(h)),
            "fact": np.tile([" ".join(w) for w in words], frames),
            "relation": np.tile([w[1] for w in words], frames),
            "trained": np.tile([w in graph.rows for w in words], frames),
            **{f"{name}_{axis}": part[..., i].ravel() for name, part in
               (("head", head), ("tip", tip), ("tail", tail)) for i, axis in enumerate("xy")},
            "residual": film.residual.ravel(),
        }
    )  # fmt: skip


def _walk_table(result: Result) -> pd.DataFrame:
    """For each frame, the two arrows of the composed question, and what is missing at its end."""
    film, graph, path = result.film, result.model.graph, first_path(result.model.graph)
    columns = ["frame", "leg", "x", "y", "x2", "y2"]
    if path is None or not (
        {path[0], path[4]} <= set(film.shown) and {path[1], path[3]} <= set(film.relations)
    ):
        return pd.DataFrame(columns=columns)
    head, tail = (film.entity[:, np.searchsorted(film.shown, i)] for i in (path[0], path[4]))  # (frames, 2)
    first, second = (film.relation[:, np.searchsorted(film.relations, r)] for r in (path[1], path[3]))
    stops = np.stack([head, head + first, head + first + second, tail])  # (4, frames, 2)
    names = [graph.relations[path[1]], f"then {graph.relations[path[3]]}", "missing"]
    frames, (x, y) = len(film.step), np.moveaxis(stops, -1, 0)
    return pd.DataFrame(
        {
            "frame": np.tile(np.arange(frames), len(names)),
            "leg": np.repeat(names, frames),
            "x": x[:-1].ravel(),
            "y": y[:-1].ravel(),
            "x2": x[1:].ravel(),
            "y2": y[1:].ravel(),
        }
    )


def _relations(result: Result) -> pd.DataFrame:
    """For each frame and relation: its length, and the mean error of its trained facts that are shown."""
    film, graph = result.film, result.model.graph
    used = np.array([graph.words(fact) in graph.rows for fact in film.facts.tolist()])
    rows = []
    for place, relation in enumerate(film.relations):
        own = used & (film.facts[:, 1] == relation)
        if own.any():
            error, name = film.residual[:, own].mean(axis=1), graph.relations[relation]
            rows += [
                (frame, int(film.step[frame]), name, float(film.length[frame, place]), float(error[frame]))
                for frame in range(len(film.step))
            ]
    return pd.DataFrame(rows, columns=["frame", "step", "relation", "length", "residual"])


def questions(result: Result, shown: int = 8) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A composed question against direct ones: the nearest tails, and the right one in each random start."""
    model, graph = result.model, result.model.graph
    path = first_path(graph)
    h, r, _, r2, t = path or (*graph.train[0].tolist(), -1, int(graph.train[0, 2]))
    asked = [(r, r2), (r2,)] if path else [(r,)]
    both = [*graph.train.tolist(), *graph.held_out.tolist()]
    asked += [
        (other,)
        for other in dict.fromkeys(q for a, q, b in both if (a, b) == (h, t))
        if (other,) not in asked
    ]
    nearest, starts = [], []
    for steps in asked:
        name = " + ".join(graph.relations[s] for s in steps)
        distance = to_all(model, model.entity[:, h] + sum(model.relation[:, s] for s in steps))
        rank = pessimistic_rank(distance, np.full(len(distance), t))
        order = np.argsort(distance[0], kind="stable")[:shown]
        head, tail = graph.entities[h], graph.entities[t]
        nearest += [
            (head, name, p + 1, graph.entities[i], float(distance[0, i]), bool(i == t))
            for p, i in enumerate(order)
        ]
        starts += [(head, name, tail, s + 1, float(rank[s]), float(distance[s, t])) for s in range(len(rank))]
    columns = ["head", "question", "place", "tail", "distance", "right"]
    return (
        pd.DataFrame(nearest, columns=columns),
        pd.DataFrame(starts, columns=["head", "question", "tail", "restart", "rank", "distance"]),
    )


# --- Predict, then see --------------------------------------------------------------------------------


def _fits(result: Result) -> str:
    return "no" if result.forced or result.vanishing else "yes"


def _first_of(result: Result) -> float:
    return float(np.sum(result.world_rank[0] == 1))


def _marriage(result: Result) -> str:
    length_of = result.film.length[:, 0]  # isMarriedTo is the first relation
    change = length_of[-1] / length_of[0]
    return "it shrinks" if change < 0.9 else "it grows" if change > 1.1 else "it keeps its length"


CHALLENGES = (
    Challenge(
        prompt="Four facts, five entities, twenty dimensions. Can all four be met exactly while every entity "
        "keeps a place of its own?",
        options=("yes", "no"),
        settings={},
        answer=_fits,
        why="France and the UK are both Europe − r_part, whatever the dimension. Exact means: one point.",
    ),
    Challenge(
        prompt="Of 42 capitals, 12 are never told where they are located. For how many of the 12 does the "
        "model name the right region first?",
        options=(),
        settings={"data": "countries"},
        answer=_first_of,
        why="locatedIn is learned from the other 30 as two steps in one, and both are known for all 42.",
    ),
    Challenge(
        prompt="Ada isMarriedTo Ben, and Ben isMarriedTo Ada. The arrow isMarriedTo begins with length 1. "
        "What does training do to it?",
        options=("it shrinks", "it keeps its length", "it grows"),
        settings={"data": "symmetric"},
        answer=_marriage,
        why="The pair's squared error is 2(‖a − b‖² + ‖r‖²): the only way down is less r and less distance.",
    ),
)
