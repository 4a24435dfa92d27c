r"""**Where does each gradient come from, and in what order?**

A formula is a graph of small steps. You are about to walk through one, forward for the values and backward
for the gradients, a node at a time, with an engine small enough to read.

Each node $v$ is computed from its inputs; call the loss $L$. Its gradient $\bar v = \partial L/\partial v$ is
collected from those that consumed it, each times one local derivative:

$$
\bar v = \sum_{u \,\text{consumes}\, v} \bar u \, \frac{\partial u}{\partial v}, \qquad \bar L = 1
$$

Unrolled, that is a sum over all paths from $v$ to the loss, each the product of its local derivatives. On a
single path the product stands in the order in which it is evaluated, from the loss on:

$$
\frac{\partial L}{\partial x} = \left(\frac{\partial L}{\partial a} \, \frac{\partial a}{\partial z}\right)
\frac{\partial z}{\partial x}
$$

- $L$ is one number, so the bracket is a row: with $n \times n$ factors that takes $2n^2$ multiplications,
  and $n^3 + n^2$ if the two matrices are multiplied first
- a **leaf** is an input whose gradient is kept, in `.grad`; a second backward call *adds* to it
- a **valid order** runs no node before all its consumers have reported; there are usually many
- **queue**: take nodes without open inputs (Kahn); **DFS**: depth first, the last to finish comes first
- the **engine** sorts nothing: it counts open consumers and runs the newest node that has none left, as
  PyTorch's does
- central difference: $\frac{f(w + h) - f(w - h)}{2h}$, off by about $\frac{h^2}{6} f'''$

**What to try.** Put the slider under the graph at 0 and walk. Call backward twice: first it is refused,
then, with the graph kept, every `.grad` doubles. Write a formula of your own from x, w, b, y, numbers,
`+ - * / **`, relu, sigmoid, tanh, exp and log. Add `Wx+b>x` to the graph to be sorted, and it is a cycle.

**What surprises.** A refused call is not undone. For `w*x + b` the second call credits b once more, because
an addition needs no stored numbers, and only then fails at the product: b has 2, w and x have what they had.
And the sort that is often shown for graphs, by a queue of open inputs, is no depth-first search; handed a
cycle it returns a list that is too short, without a word.

*References.* A. B. Kahn (1962), Topological sorting of large networks. S. Linnainmaa (1970), for reverse
accumulation. R. E. Tarjan (1972), Depth-first search and linear graph algorithms. F. L. Bauer (1974),
Computational graphs and rounding error, for the sum over paths. D. Rumelhart, G. Hinton and R. Williams
(1986), Learning representations by back-propagating errors. A. Paszke et al. (2017), Automatic
differentiation in PyTorch.
"""

import ast
import heapq
import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import count, pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import field_validator

from lab import contract
from lab.contract import Array, Challenge, Check, Claim, Tick, control, no_tick, seed_control
from lab.data import digits

NAMES = ("x", "w", "b", "y")
FUNCTIONS = ("relu", "sigmoid", "tanh", "exp", "log")
BINARY: dict[type, str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
MOST_NODES, MOST_NAMES = 24, 12
OWN = "your own"
EXAMPLES: dict[str, tuple[str, dict[str, float]]] = {
    "sample": ("w*x**2 + 5", {"x": 2.0, "w": 3.0}),
    "squared loss": ("(w*x - y)**2", {"x": 3.0, "w": 1.0, "y": 7.0}),
    "one neuron": ("(relu(w*x + b) - y)**2", {"x": 2.0, "w": 0.5, "b": 0.1, "y": 1.0}),
    "small layer": (
        "(relu(w*x + b) + tanh(b*x - w) - y)**2",
        {"x": 2.0, "w": 0.5, "b": 0.1, "y": 1.0},
    ),
}
LAYER = "x>Wx, W>Wx, b>Wx+b, Wx>Wx+b"
CYCLIC = "x>a>b>a, b>c"
RATES = (0.01, 1 / 18, 0.95 / 9, 1.05 / 9)  # learning rates of the squared loss; 1/9 is the edge
DESCENT = 60  # steps of it
SIZES = (10, 32, 100, 316, 1000)  # sides of the square factors of a product
STEP = 1e-5  # of the differences of a graph, times the input where that is above 1
NET_STEP = 1e-3  # of those of the network: large enough that rounding is out of the way
PROBED = 48  # weights of the network whose difference is taken


class Settings(contract.Settings):
    """What you can turn."""

    graph: Literal["sample", "squared loss", "one neuron", "small layer", "your own"] = control(
        "one neuron", "Graph", help="Three worked by hand, a small layer, or the expression below."
    )
    expression: str = control(
        "sigmoid(w*x + b) * tanh(x) - log(exp(y) + 1)", "Your expression", max_length=120,
        help="For the graph “your own”: + - * / **, relu, sigmoid, tanh, exp, log of x, w, b, y and numbers.",
    )  # fmt: skip
    inputs: Literal["as worked", "sliders"] = control(
        "as worked", "Inputs", help="The values worked by hand, or the four sliders (as for your own)."
    )
    x: float = control(2.0, "x", ge=-10, le=10, step=0.1, help="Counts where the inputs are the sliders'.")
    w: float = control(3.0, "w", ge=-10, le=10, step=0.1, help="Counts where the inputs are the sliders'.")
    b: float = control(0.1, "b", ge=-10, le=10, step=0.1, help="Counts where the inputs are the sliders'.")
    y: float = control(1.0, "y", ge=-10, le=10, step=0.1, help="Counts where the inputs are the sliders'.")
    watch: Literal["x", "w", "b", "y"] = control(
        "w", "Watched input", help="The one that the curves move and that takes a step downhill."
    )
    alpha: float = control(
        0.01, "Step α", ge=0.001, le=1, log=True, help="The watched input moves by −α times its gradient."
    )
    calls: int = control(
        1, "Backward calls", ge=1, le=3, step=1, help="How often backward is called on the same graph."
    )
    retain: bool = control(
        False, "Keep the graph", help="Off, as usual: a call frees what it used. In PyTorch: retain_graph."
    )
    edges: str = control(
        LAYER, "Graph to sort", max_length=160,
        help=f"Arrows such as a>b, or a>b>c, with commas between them; at most {MOST_NAMES} names.",
    )  # fmt: skip
    seed: int = seed_control()

    @field_validator("expression")
    @classmethod
    def _readable(cls, value: str) -> str:
        return contract.readable("expression", value, parse)

    @field_validator("edges")
    @classmethod
    def _a_graph(cls, value: str) -> str:
        return contract.readable("edges", value, read_edges)


@dataclass(frozen=True)
class Result:
    """Everything the charts, the claims and the tests need. Of the n nodes the leaves come first."""

    settings: Settings
    leaves: tuple[str, ...]
    labels: tuple[str, ...]  # of the n nodes
    worded: tuple[str, ...]  # how each got its value
    ops: tuple[str, ...]  # empty for a leaf
    values: Array  # (n,)
    slopes: Array  # (n, n) the local derivative of node u in its input v
    arrows: Array  # (n, n) how often v is an input of u
    gradients: Array  # (n,) of the last node in each, by the first backward call
    courses: tuple[tuple["Course", ...], ...]  # the steps of each call
    collected: Array  # (calls, leaves) .grad after each call
    refused: tuple[int, int]  # the call that was refused and the node it stopped at; (0, 0) if none
    differences: Array  # (leaves, 3) central difference, neglected term, 1 if smooth around
    slide: Array  # (201, 4) watched input, value, gradient, central difference
    stepped: Array  # (2,) watched input and value after a step of α
    engine: dict[str, float]  # the worked numbers by the engine
    descent: Array  # (61, 4) distance of w from 7/3 at RATES
    switches: dict[str, float]  # what detach and the like do
    network: "Network"
    multiplications: Array  # (5, 3) at SIZES: from the left, from the right, gap of the products
    along: Array  # (4, n) gradients of the small layer: engine, queue reversed, DFS reversed, too early
    engine_faults: Array  # (3,) small layer: arrows broken, not the newest, places unlike the queue reversed
    layer: "Orders"  # the textbook graph
    yours: "Orders"
    short: tuple[int, bool]  # the sort as often shown: nodes it returns for CYCLIC, whether a sink is missed
    at_random: Array  # (30, 4) depth-first searches of random graphs
    summary: dict[str, float]


# --- The engine ---------------------------------------------------------------------------------------

_recording: ContextVar[bool] = ContextVar("recording", default=True)  # for each session of its own
_numbers = count()


class FreedGraphError(RuntimeError):
    """A backward call needs numbers that an earlier one has freed; ``args[1]`` is the node."""


class Value:
    """A number (or an array) that remembers how it was made. Only leaves get a ``grad``."""

    __array_ufunc__ = None  # array * Value is ours to compute

    def __init__(self, data: Any, needs_grad: bool = False, name: str = "") -> None:
        """Start a leaf; ``data`` that is an array already is shared, not copied."""
        self.data: Array = np.asarray(data, dtype=float)
        self.needs_grad, self.name = needs_grad, name
        self.grad: Any = None  # an array once backward has come
        self.op, self.inputs, self.number = "", (), -1  # type: str, tuple[Value | Any, ...], int
        self.saved: tuple[tuple[Array, ...], Array] | None = None

    def detach(self) -> "Value":
        """The same memory without the history."""
        return Value(self.data)

    # Python's own signs write the graph.
    # ruff: noqa: D105
    def __add__(self, other: Any) -> "Value":
        return apply("+", self, other)

    def __sub__(self, other: Any) -> "Value":
        return apply("-", self, other)

    def __mul__(self, other: Any) -> "Value":
        return apply("*", self, other)

    def __matmul__(self, other: Any) -> "Value":
        return apply("@", self, other)

    def __pow__(self, other: Any) -> "Value":
        return apply("**", self, other)


def _pull_power(g: Array, i: tuple[Array, ...], out: Array) -> tuple[Array, ...]:
    """A constant power of zero has slope 0, and $0^p$ does not change with a positive p."""
    base, power = i
    by_base = np.where(power == 0, 0.0, power * base ** (power - 1))
    log = np.log(np.where(base > 0, base, np.nan))
    return g * by_base, g * np.where((base == 0) & (power >= 0), 0.0, out * log)


# For each operation: what it computes, and how it hands the gradient g of its output to its inputs i.
RULES: dict[str, tuple[Any, Any]] = {
    "+": (np.add, lambda g, i, out: (g, g)),
    "-": (np.subtract, lambda g, i, out: (g, -g)),
    "neg": (np.negative, lambda g, i, out: (-g,)),
    "*": (np.multiply, lambda g, i, out: (g * i[1], g * i[0])),
    "/": (np.divide, lambda g, i, out: (g / i[1], -g * i[0] / i[1] ** 2)),
    "**": (np.power, _pull_power),
    "relu": (lambda a: np.maximum(a, 0), lambda g, i, out: (g * (out > 0),)),
    "sigmoid": (lambda a: 1 / (1 + np.exp(-a)), lambda g, i, out: (g * out * (1 - out),)),
    "tanh": (np.tanh, lambda g, i, out: (g * (1 - out**2),)),
    "exp": (np.exp, lambda g, i, out: (g * out,)),
    "log": (np.log, lambda g, i, out: (g / i[0],)),
    "@": (np.matmul, lambda g, i, out: (np.outer(g, i[1]), i[0].T @ g)),  # matrix times vector
    "sum": (np.sum, lambda g, i, out: (g * np.ones_like(i[0]),)),
}
NEEDS_NOTHING = ("+", "-", "neg")  # their gradient is the same whatever the numbers were: nothing to free


def apply(op: str, *inputs: Any) -> Value:
    """Compute ``op`` and note how, unless nothing needs a gradient or nothing is being recorded."""
    data = tuple(v.data if isinstance(v, Value) else np.asarray(v, dtype=float) for v in inputs)
    out = Value(RULES[op][0](*data))
    if _recording.get() and any(isinstance(v, Value) and v.needs_grad for v in inputs):
        out.op, out.inputs, out.needs_grad = op, inputs, True
        out.number, out.saved = next(_numbers), (data, out.data)
    return out


@contextmanager
def no_grad() -> Iterator[None]:
    """Compute without recording."""
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)


def sources(node: Value) -> list[Value]:
    """The inputs that a gradient goes to; one that is used twice stands twice."""
    return [v for v in node.inputs if isinstance(v, Value) and v.needs_grad]


def open_consumers(root: Value) -> dict[Value, int]:
    """For every node under ``root``, how many messages it has to wait for."""
    waiting, stack = {root: 0}, [root]
    while stack:
        for source in sources(stack.pop()):
            if source not in waiting:
                waiting[source] = 0
                stack.append(source)
            waiting[source] += 1
    return waiting


class Move(NamedTuple):
    """One step of a backward call: the node, its gradient, and what it sent to which input."""

    node: Value
    gradient: Array
    parts: tuple[tuple[Value, Array], ...]


def pull(node: Value, gradient: Array) -> tuple[tuple[Value, Array], ...]:
    """What ``node`` sends to each of its sources; an error if the numbers it needs are gone."""
    if node.saved is None and node.op not in NEEDS_NOTHING:
        raise FreedGraphError("an earlier call freed the numbers of this node; keep the graph", node)
    data, out = node.saved or ((), node.data)
    parts = zip(node.inputs, RULES[node.op][1](gradient, data, out), strict=True)
    return tuple((v, part) for v, part in parts if isinstance(v, Value) and v.needs_grad)


def backward(root: Value, retain: bool = False, course: list[Move] | None = None) -> None:
    """Add the gradient of ``root`` to every leaf's ``grad``; note each step in ``course``.

    Nothing is sorted: a node is ready when its last consumer has reported, and the newest ready one runs.
    Leaves come before everything else.
    """
    waiting, arrived = open_consumers(root), {root: np.ones_like(root.data)}
    ready, pushed = [(0, 0, root)], count(1)  # the smallest first: by age, then first come
    while ready:
        node = heapq.heappop(ready)[2]
        gradient = arrived.pop(node)
        parts = pull(node, gradient) if node.inputs else ()
        if not node.inputs:
            node.grad = gradient if node.grad is None else node.grad + gradient
        for source, part in parts:
            arrived[source] = arrived[source] + part if source in arrived else part
            waiting[source] -= 1
            if not waiting[source]:
                age = -source.number if source.inputs else -(10**18)
                heapq.heappush(ready, (age, next(pushed), source))
        if not retain:
            node.saved = None
        if course is not None:
            course.append(Move(node, gradient, parts))


def backward_along(order: list[Value]) -> dict[Value, Array]:
    """The gradients if nodes run in a given order, each once, with what has arrived by then."""
    arrived = {node: np.zeros_like(node.data) for node in order}
    arrived[max(order, key=lambda node: node.number)] += 1.0
    for node in order:
        for source, part in pull(node, arrived[node]) if node.inputs else ():
            arrived[source] = arrived[source] + part
    return arrived


def tape(root: Value) -> list[Value]:
    """All nodes under ``root``: leaves in the order of their names, then the others as they were made."""
    return sorted(open_consumers(root), key=lambda n: (n.number, n.name and NAMES.index(n.name)))


# --- A formula as a graph -----------------------------------------------------------------------------


def parse(text: str) -> ast.expr:
    """The syntax tree of a formula; ``ValueError`` says what is wrong with it. Nothing is executed."""
    try:
        tree = ast.parse(" ".join(text.split()), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError("is not a formula; try w*x + b") from None
    with np.errstate(all="ignore"):
        root = build(tree, {name: Value(1.0, True, name) for name in NAMES})
    if not isinstance(root, Value) or not root.inputs:
        raise ValueError(f"needs an operation on one of {', '.join(NAMES)}; try w*x + b")
    if len(open_consumers(root)) > MOST_NODES:
        raise ValueError(f"has more than {MOST_NODES} nodes; try a shorter one")
    return tree


def build(tree: ast.expr, leaves: dict[str, Value]) -> Value | float:
    """Compute what the tree says on ``leaves``; anything not listed here is refused, nothing is executed."""
    parts: tuple[Value | float, ...]
    match tree:
        case ast.Constant(value=int() | float() as number) if type(number) is not bool and abs(number) <= 1e6:
            return float(number)
        case ast.Name(id=name) if name in leaves:
            return leaves[name]
        case ast.UnaryOp(op=ast.UAdd(), operand=a):
            return build(a, leaves)
        case ast.UnaryOp(op=ast.USub(), operand=a):
            op, parts = "neg", (build(a, leaves),)
        case ast.BinOp(left=a, op=sign, right=b) if type(sign) in BINARY:
            op, parts = BINARY[type(sign)], (build(a, leaves), build(b, leaves))
        case ast.Call(func=ast.Name(id=name), args=[a], keywords=[]) if name in FUNCTIONS:
            op, parts = name, (build(a, leaves),)
        case _:
            shown = ast.unparse(tree)[:24]
            raise ValueError(
                f"“{shown}” is not allowed; use + - * / **, {', '.join(FUNCTIONS)}, x, w, b, y and "
                "numbers up to a million"
            )
    out = apply(op, *parts)
    if out.inputs:
        return out
    if not np.isfinite(out.data):
        raise ValueError("contains a number that is not finite")
    return float(out.data)


def graph_of(text: str, at: dict[str, Any]) -> Value:
    """The graph of a formula at the given inputs, numbers or arrays of one shape."""
    root = build(parse(text), {name: Value(value, True, name) for name, value in at.items()})
    assert isinstance(root, Value)
    return root


def formula(settings: Settings) -> tuple[str, dict[str, float]]:
    """The formula that is shown, and the inputs it uses with their values."""
    own = settings.graph == OWN
    text, worked = (settings.expression, {}) if own else EXAMPLES[settings.graph]
    used = {node.id for node in ast.walk(parse(text)) if isinstance(node, ast.Name)}
    sliders = {name: getattr(settings, name) for name in NAMES if name in used}
    return text, sliders if own or settings.inputs == "sliders" else worked


def watched_at(settings: Settings) -> float:
    """Where the watched input stands, in the graph or not."""
    return formula(settings)[1].get(settings.watch, getattr(settings, settings.watch))


def local_derivatives(nodes: list[Value]) -> tuple[Array, Array]:
    """$A_{uv} = ∂u/∂v$ for direct inputs (n, n), and how many arrows lead from v to u (n, n)."""
    index, n = {node: i for i, node in enumerate(nodes)}, len(nodes)
    slopes, arrows = np.zeros((n, n)), np.zeros((n, n))
    for node in nodes:
        for source, part in pull(node, np.ones_like(node.data)) if node.inputs else ():
            slopes[index[node], index[source]] += part
            arrows[index[node], index[source]] += 1
    return slopes, arrows


def path_sum(weights: Array) -> Array:
    """Sum over all paths from the last node to each other (n,), a path counting as the product of its arrows.

    $\\sum_k A^k$, of which the last row is wanted; no path is longer than n.
    """
    row = np.eye(len(weights))[-1]
    total = row.copy()
    for _ in weights:
        row = row @ weights
        total += row
    return total


def stencil(text: str, at: dict[str, float], name: str) -> tuple[float, float, bool]:
    """Central difference of one input, its neglected term, and whether the formula is smooth around it.

    The term is told by the doubled step: the error grows as h², so the two differ by three times it.
    """
    h = STEP * max(1.0, abs(at[name]))
    root = graph_of(text, {**at, name: at[name] + h * np.arange(-2, 3)})
    f = root.data
    near, far = (f[3] - f[1]) / (2 * h), (f[4] - f[0]) / (4 * h)
    turns = [np.ptp(np.sign(n.saved[0][0])) for n in open_consumers(root) if n.op == "relu" and n.saved]
    return float(near), float(abs(far - near)), bool(np.isfinite(f).all() and not any(turns))


# --- What is worked by hand ---------------------------------------------------------------------------


def by_hand() -> dict[str, float]:
    """The three graphs from their formulas: values, gradients, and the weight after a step of 0.01."""
    x, w, b, y = 2.0, 3.0, 0.1, 1.0
    found = {"sample z": w * x**2 + 5, "sample x": 2 * w * x, "sample w": x**2}
    x, w, y = 3.0, 1.0, 7.0
    error = w * x - y
    found |= {"loss L": error**2, "loss w": 2 * error * x, "loss w after": w - 0.01 * 2 * error * x}
    found["loss L after"] = (found["loss w after"] * x - y) ** 2
    x, w, y = 2.0, 0.5, 1.0
    z = w * x + b  # positive, so the ReLU lets it through unchanged
    slope = 2 * (z - y)
    found |= {"neuron z": z, "neuron L": (z - y) ** 2, "neuron a": slope, "neuron z.grad": slope}
    return found | {
        "neuron w": slope * x, "neuron b": slope, "neuron x": slope * w,
        "neuron w after": w - 0.01 * slope * x,
    }  # fmt: skip


def by_engine() -> dict[str, float]:
    """The same numbers from the engine."""
    x, w = Value(2.0, True), Value(3.0, True)
    z = w * x**2 + 5
    backward(z)
    found: dict[str, Any] = {"sample z": z.data, "sample x": x.grad, "sample w": w.grad}
    x, w, y = (Value(v, True) for v in (3.0, 1.0, 7.0))
    loss = (w * x - y) ** 2
    backward(loss)
    after = w.data - 0.01 * w.grad
    found |= {"loss L": loss.data, "loss w": w.grad, "loss w after": after}
    found["loss L after"] = ((Value(after) * x - y) ** 2).data
    x, w, b, y = (Value(v, True) for v in (2.0, 0.5, 0.1, 1.0))
    z = w * x + b
    a = apply("relu", z)
    loss = (a - y) ** 2
    course: list[Move] = []
    backward(loss, course=course)
    inner = {move.node: move.gradient for move in course}
    found |= {"neuron z": z.data, "neuron L": loss.data, "neuron a": inner[a], "neuron z.grad": inner[z]}
    found |= {"neuron w": w.grad, "neuron b": b.grad, "neuron x": x.grad}
    found["neuron w after"] = w.data - 0.01 * w.grad
    return {name: float(value) for name, value in found.items()}


def descend() -> Array:
    """Distance of w from 7/3 after each of 60 steps on $(3w - 7)^2$ (61, 4), a learning rate a column."""
    w, rates = np.ones(len(RATES)), np.array(RATES)
    distance = [abs(w - 7 / 3)]
    for _ in range(DESCENT):
        leaf = Value(w, True)
        backward((leaf * 3.0 - 7.0) ** 2)
        w = w - rates * leaf.grad
        distance.append(abs(w - 7 / 3))
    return np.array(distance)


def switches() -> dict[str, float]:
    """What backward calls, detach and no_grad do to the sample $z = wx^2 + 5$ at x = 2, w = 3."""
    x, w = Value(2.0, True), Value(3.0, True)
    square = x**2
    product = w * square
    z = product + 5
    backward(z, retain=True)
    backward(z)
    found: dict[str, Any] = {"x twice": x.grad, "w twice": w.grad}
    try:
        backward(z)
        found["freed raises"] = 0.0
    except FreedGraphError:
        found["freed raises"] = 1.0
    found["leaves with grad"] = sum(v.grad is not None for v in (x, w))
    found["others with grad"] = sum(v.grad is not None for v in (square, product, z))
    fresh_x, fresh_w = Value(2.0, True), Value(3.0, True)
    cut = (fresh_x**2).detach()
    backward(fresh_w * cut + 5)
    found["w past detach"] = fresh_w.grad
    found["x past detach"] = float(fresh_x.grad is not None)
    z.detach().data[...] = 10.0
    found["z written through detach"] = z.data
    with no_grad():
        quiet = w * x**2 + 5
    found["recorded under no_grad"] = len(quiet.inputs) + quiet.needs_grad
    return {name: float(value) for name, value in found.items()}


# --- A network on a digit -----------------------------------------------------------------------------


class Network(NamedTuple):
    """One scan through 64-16-10 with tanh: three accounts of the gradient of its cross-entropy."""

    engine: Array  # (1098,) by the engine: for the scan, W1 and b1
    product: Array  # (1098,) as a product of Jacobians
    probed: Array  # (48,) indices into those
    difference: Array  # (48,) central differences
    neglected: Array  # (48,) a bound on what they leave out


def network(seed: int) -> Network:
    """Draw weights and a scan, and find the gradients of the loss in three ways."""
    rng = np.random.default_rng(seed)
    w1, b1 = rng.standard_normal((16, 64)) / 8, 0.1 * rng.standard_normal(16)
    w2, b2 = rng.standard_normal((10, 16)) / 4, 0.1 * rng.standard_normal(10)
    chosen = rng.integers(len(digits()[1]))
    scan, target = digits()[0][chosen] / 16, np.eye(10)[int(digits()[1][chosen])]

    leaves = [Value(v, True) for v in (scan, w1, b1)]
    hidden = apply("tanh", leaves[1] @ leaves[0] + leaves[2])
    logits = Value(w2) @ hidden + b2
    backward(apply("log", apply("sum", apply("exp", logits))) - apply("sum", logits * target))
    engine = np.concatenate([np.ravel(leaf.grad) for leaf in leaves])

    a = np.tanh(w1 @ scan + b1)
    p = np.exp(w2 @ a + b2) / np.exp(w2 @ a + b2).sum()
    row = (p - target) @ w2 @ np.diag(1 - a**2)  # (16,) from the loss to the first layer's sums
    product = np.concatenate([row @ w1, np.outer(row, scan).ravel(), row])

    unit, pixel = rng.integers(16, size=PROBED), rng.choice(np.flatnonzero(scan), size=PROBED)
    moved = np.repeat(w1[None], 2 * PROBED, axis=0)  # (96, 16, 64) one weight changed in each
    moved[np.arange(2 * PROBED), np.tile(unit, 2), np.tile(pixel, 2)] += np.repeat(
        [NET_STEP, -NET_STEP], PROBED
    )
    z = np.tanh(moved @ scan + b1) @ w2.T + b2
    up, down = np.split(np.log(np.exp(z).sum(axis=1)) - z @ target, 2)
    bound = NET_STEP**2 / 6 * third_derivative(np.ptp(w2, axis=0)[unit], scan[pixel])
    return Network(engine, product, 64 + 64 * unit + pixel, (up - down) / (2 * NET_STEP), bound)


def third_derivative(spread: Array, pixel: Array) -> Array:
    """Bound on $|f'''|$ of the loss in one weight of the first layer, by Faà di Bruno's formula.

    In the hidden unit the loss has first to third derivatives of at most R, R²/4 and R³/(6√3), the cumulants
    of outgoing weights of spread R; tanh has at most 1, 4/(3√3) and 2; the pixel s scales the weight.
    """
    first, second, third = spread, spread**2 / 4, spread**3 / (6 * np.sqrt(3))
    return pixel**3 * (third + 3 * second * 4 / (3 * np.sqrt(3)) + 2 * first)


@cache
def products(n: int) -> tuple[int, int, float]:
    """Multiplications for row · matrix · matrix from the left and from the right, and how far they differ."""
    rng = np.random.default_rng(n)
    row, first, second = (rng.random(shape) / n for shape in ((1, n), (n, n), (n, n)))

    def times(a: Array, b: Array) -> tuple[Array, int]:
        return a @ b, a.shape[0] * a.shape[1] * b.shape[1]

    half, one = times(row, first)
    left, two = times(half, second)
    both, three = times(first, second)
    right, four = times(row, both)
    return one + two, three + four, float(np.abs(left - right).max())


# --- Putting a graph in order -------------------------------------------------------------------------


def read_edges(text: str) -> dict[str, list[str]]:
    """Arrows such as ``a>b>c, d`` as a dict from each name to those it points at."""
    graph: dict[str, list[str]] = {}
    for item in filter(str.strip, re.split("[,;\n]", text.replace("->", ">"))):
        names = [name.strip() for name in item.split(">")]
        for name in names:
            if not re.fullmatch(r"[\w+*^.]{1,8}", name):
                raise ValueError(
                    f"“{name[:12]}” is no name: 1 to 8 letters, digits or + * ^ . _; try {LAYER}"
                )
        graph.setdefault(names[0], [])
        for tail, head in pairwise(names):
            graph.setdefault(tail, [])
            if head not in graph[tail]:
                graph[tail].append(head)
    for head in [head for heads in graph.values() for head in heads]:
        graph.setdefault(head, [])
    if not 2 <= len(graph) <= MOST_NAMES:
        raise ValueError(f"needs 2 to {MOST_NAMES} names, has {len(graph)}; try {LAYER}")
    return graph


def queue_sort(graph: dict[str, list[str]]) -> list[str]:
    """The sort as it is often shown: a queue of nodes without open inputs. Right for complete DAGs only."""
    open_inputs = dict.fromkeys(graph, 0)
    for heads in graph.values():
        for head in heads:
            open_inputs[head] += 1  # KeyError for a sink that is no key
    queue, order = deque(node for node in graph if not open_inputs[node]), []
    while queue:
        order.append(queue.popleft())
        for head in graph[order[-1]]:
            open_inputs[head] -= 1
            if not open_inputs[head]:
                queue.append(head)
    return order  # too short if there is a cycle


class Search(NamedTuple):
    """A depth-first search: its order, the first cycle it met, and what it looked at."""

    order: tuple[str, ...]
    cycle: tuple[str, ...]
    nodes: int
    arrows: int


def depth_first(graph: dict[str, list[str]]) -> Search:
    """Visit every node and arrow once. Last to finish comes first; an arrow to an open node is a cycle."""
    path: list[str] = []
    finished: list[str] = []
    seen: set[str] = set()
    cycle: list[str] = []
    looked = 0

    def visit(node: str) -> None:
        nonlocal cycle, looked
        seen.add(node)
        path.append(node)
        for head in graph[node]:
            looked += 1
            if head not in seen:
                visit(head)
            elif head in path and not cycle:
                cycle = path[path.index(head) :]
        finished.append(path.pop())

    for node in graph:
        if node not in seen:
            visit(node)
    return Search(tuple(finished[::-1]), tuple(cycle), len(seen), looked)


def newest_first(graph: dict[str, list[str]], made: list[str]) -> list[str]:
    """The engine's rule on a DAG made in the order ``made``: the newest node without open consumers runs."""
    waiting, order = {node: len(heads) for node, heads in graph.items()}, []
    while ready := [node for node in made if waiting.get(node) == 0]:
        order.append(ready[-1])
        del waiting[ready[-1]]
        for tail in waiting:
            waiting[tail] -= ready[-1] in graph[tail]
    return order


def count_orders(graph: dict[str, list[str]]) -> int:
    """How many orders break no arrow, by counting ways to reach each set of nodes already placed."""
    names = list(graph)
    before = [sum(1 << i for i, tail in enumerate(names) if name in graph[tail]) for name in names]
    ways = {0: 1}
    for _ in names:
        longer: dict[int, int] = {}
        for placed, number in ways.items():
            for i, needed in enumerate(before):
                if not placed >> i & 1 and not needed & ~placed:
                    longer[placed | 1 << i] = longer.get(placed | 1 << i, 0) + number
        ways = longer
    return sum(ways.values())


def reach(graph: dict[str, list[str]]) -> Array:
    """Which node has a path of one arrow or more to which (n, n), by squaring the matrix of arrows."""
    names = list(graph)
    there = np.array([[head in graph[tail] for head in names] for tail in names], dtype=float)
    for _ in range(4):  # paths of up to 16 arrows; there are at most 12 nodes
        there = np.minimum(there + there @ there, 1.0)
    return there


def broken(order: Any, graph: dict[str, list[str]]) -> int:
    """How many arrows point backward in ``order``, or at a node that is not in it."""
    place = {node: i for i, node in enumerate(order)}
    pairs = [(tail, head) for tail, heads in graph.items() for head in heads]
    return sum(tail not in place or place.get(head, -1) <= place[tail] for tail, head in pairs)


class Orders(NamedTuple):
    """A graph, three ways to order it, and the number of valid orders. Without one, no engine order."""

    graph: dict[str, list[str]]
    queue: tuple[str, ...]
    search: Search
    engine: tuple[str, ...]  # backward, as it runs
    possible: int


@lru_cache(maxsize=16)
def orders_of(text: str) -> Orders:
    """Put a graph in order in three ways."""
    graph = read_edges(text)
    queue = queue_sort(graph)
    engine = newest_first(graph, queue) if len(queue) == len(graph) else []
    return Orders(graph, tuple(queue), depth_first(graph), tuple(engine), count_orders(graph))


@lru_cache(maxsize=16)
def search_at_random(seed: int) -> Array:
    """For 30 random graphs (30, 4): nodes + arrows, what DFS looked at, a cycle by matrix, a cycle by DFS."""
    rng, rows = np.random.default_rng(seed), []
    for _ in range(30):
        arrows = rng.random((8, 8)) < rng.uniform(0.02, 0.2)
        graph = {str(i): [str(j) for j in np.flatnonzero(arrows[i])] for i in range(8)}
        found = depth_first(graph)
        cyclic = bool(np.trace(reach(graph)))
        rows.append([8 + arrows.sum(), found.nodes + found.arrows, cyclic, bool(found.cycle)])
    return np.array(rows, dtype=float)


class Worked(NamedTuple):
    """What the engine does beside your graph; as in the result."""

    engine: dict[str, float]
    descent: Array
    switches: dict[str, float]
    network: Network
    along: Array
    engine_faults: Array


@lru_cache(maxsize=16)
def worked(seed: int) -> Worked:
    """The worked numbers, a descent, the switches, a network and other orders: the same for any graph."""
    return Worked(by_engine(), descend(), switches(), network(seed), *different_orders())


# --- The run ------------------------------------------------------------------------------------------

Course = tuple[int, float, tuple[tuple[int, float], ...]]  # node, its gradient, what it sent to whom


def call_backward(
    nodes: list[Value], calls: int, retain: bool
) -> tuple[tuple[tuple[Course, ...], ...], Array, tuple[int, int]]:
    """Call backward on the last node: the steps of each call, ``.grad`` after it, where it was refused."""
    index = {node: i for i, node in enumerate(nodes)}
    courses: list[tuple[Course, ...]] = []
    collected, refused = [], (0, 0)
    for call in range(1, calls + 1):
        course: list[Move] = []
        try:
            backward(nodes[-1], retain, course)
        except FreedGraphError as error:
            refused = (call, index[error.args[1]])
        courses.append(
            tuple(
                (index[m.node], float(m.gradient), tuple((index[v], float(part)) for v, part in m.parts))
                for m in course
            )
        )
        collected.append([float(node.grad) for node in nodes if node.grad is not None])
        if refused[0]:
            break
    return tuple(courses), np.array(collected), refused


def slide_along(text: str, at: dict[str, float], name: str) -> Array:
    """Watched input, value, gradient and central difference (201, 4) from −10 to 10; NaN where undefined."""
    grid = np.round(np.linspace(-10, 10, 201), 10)
    if name not in at:
        value = float(graph_of(text, at).data)
        return np.stack([grid, np.full(201, value), np.zeros(201), np.zeros(201)], axis=1)
    h = STEP * np.maximum(1.0, np.abs(grid))
    root = graph_of(text, {**at, name: grid})  # all 201 at once
    leaf = next(node for node in tape(root) if node.name == name)
    backward(root)
    up, down = (graph_of(text, {**at, name: grid + step}).data for step in (h, -h))
    found = np.stack([grid, root.data, np.asarray(leaf.grad), (up - down) / (2 * h)], axis=1)
    return np.where(np.isfinite(found), found, np.nan)


def different_orders() -> tuple[Array, Array]:
    """The small layer's gradients by four orders (4, n), and faults of the engine's order (3,)."""
    text, at = EXAMPLES["small layer"]
    nodes = tape(graph_of(text, at))
    _, arrows = local_derivatives(nodes)
    graph = {str(v): [str(u) for u in np.flatnonzero(arrows[:, v])] for v in range(len(nodes))}
    queue, deep = (list(map(int, order)) for order in (queue_sort(graph), depth_first(graph).order))
    early = [len(nodes) - 1, *range(len(nodes) - 1)]  # the loss, then forward: before consumers reported
    found = []
    for order in (queue[::-1], deep[::-1], early):
        arrived = backward_along([nodes[i] for i in order])
        found.append([float(arrived[node]) for node in nodes])
    course = call_backward(nodes, 1, False)[0][0]
    by_engine = {i: gradient for i, gradient, _ in course}
    order = [i for i, _, _ in course]
    unlike = sum(a != b for a, b in zip(order, queue[::-1], strict=True))
    faults = [*faults_of(order, arrows), unlike]
    return np.array([[by_engine[i] for i in range(len(nodes))], *found]), np.array(faults, dtype=float)


def faults_of(order: list[int], arrows: Array) -> tuple[int, int]:
    """Arrows whose source ran before its consumer, and steps that did not take the newest ready node.

    Told from the arrows alone; a leaf, which has no inputs, goes before everything else.
    """
    place = {node: i for i, node in enumerate(order)}
    wrong = sum(place[int(u)] >= place[int(v)] for u, v in np.argwhere(arrows))
    left, older = set(order), 0
    leaves = set(np.flatnonzero(~arrows.any(axis=1)))
    for node in order:
        ready = [v for v in left if not any(arrows[u, v] for u in left)]
        older += node not in leaves and node != max(ready, key=lambda v: (v in leaves, v))
        left.remove(node)
    return wrong, older


@cache
def as_often_shown() -> tuple[int, bool]:
    """How many nodes the usual sort returns for a cycle, and whether it trips over a sink that is no key."""
    returned = len(queue_sort(read_edges(CYCLIC)))
    try:
        queue_sort({"x": ["Wx"], "W": ["Wx"]})
    except KeyError:
        return returned, True
    return returned, False


@np.errstate(all="ignore")  # a formula may leave its domain: that is shown, not an error
def run(settings: Settings, tick: Tick = no_tick) -> Result:
    """Walk the chosen graph forward and backward; then the worked ones, the network and the sorts."""
    text, at = formula(settings)
    nodes = tape(graph_of(text, at))
    slopes, arrows = local_derivatives(nodes)
    described = [describe(node) for node in nodes]
    courses, collected, refused = call_backward(nodes, settings.calls, settings.retain)
    gradients = np.zeros(len(nodes))
    for node, gradient, _ in courses[0]:
        gradients[node] = gradient
    leaves = tuple(node.name for node in nodes if not node.inputs)
    differences = np.array([stencil(text, at, name) for name in leaves], dtype=float)
    slide = slide_along(text, at, settings.watch)
    slope = gradients[leaves.index(settings.watch)] if settings.watch in leaves else 0.0
    moved = watched_at(settings) - settings.alpha * slope
    after = graph_of(text, {**at, settings.watch: moved}).data
    tick(0.4)
    beside = worked(settings.seed)
    multiplications = np.array([products(n) for n in SIZES])
    tick(0.8)
    yours = orders_of(settings.edges)
    last = dict(zip(leaves, collected[-1], strict=True))
    summary = {
        "value": float(nodes[-1].data),
        "gradient_watched": float(slope),
        "watched_after_step": float(moved),
        "value_after_step": float(after),
        **{f"{name}_grad": float(last.get(name, np.nan)) for name in NAMES},
        "calls_done": float(settings.calls if not refused[0] else refused[0] - 1),
        "nodes": float(len(nodes)),
        "arrows": float(arrows.sum()),
        "paths": float(path_sum(arrows)[: len(leaves)].sum()),
        "valid_orders": float(yours.possible),
    }
    result = Result(
        settings, leaves, tuple(d[0] for d in described), tuple(d[1] for d in described),
        tuple(node.op for node in nodes), np.array([float(node.data) for node in nodes]), slopes, arrows,
        gradients, courses, collected, refused, differences, slide, np.array([moved, after], dtype=float),
        *beside[:4], multiplications, *beside[4:], orders_of(LAYER), yours, as_often_shown(),
        search_at_random(settings.seed), summary,
    )  # fmt: skip
    tick(1.0)
    return result


def short(value: float) -> str:
    """A number in four digits with a proper minus sign."""
    return f"{value:.4g}".replace("-", "−")


SIGNS = {"+": "+", "-": "−", "*": "×", "/": "÷", "**": "^", "sigmoid": "σ", "neg": "−"}


def describe(node: Value) -> tuple[str, str]:
    """A short label for a node, with its constant if it has one, and its computation in numbers."""
    sign = SIGNS.get(node.op, node.op)
    if not node.inputs:
        return node.name, f"{node.name} = {short(float(node.data))}"
    parts = [short(float(v.data if isinstance(v, Value) else v)) for v in node.inputs]
    fixed = ["" if isinstance(v, Value) else short(float(v)) for v in node.inputs]
    value = short(float(node.data))
    if len(parts) == 2:
        parts = [f"({part})" if part[0] == "−" and i else part for i, part in enumerate(parts)]
        return sign.join(fixed), f"{parts[0]} {sign} {parts[1]} = {value}"
    return sign, f"{node.op}({parts[0]}) = {value}"


# --- Theory against measurement -----------------------------------------------------------------------


@np.errstate(all="ignore")
def claims(result: Result) -> list[Claim]:
    """The worked graphs, the chain rule, what calls and switches do, and putting graphs in order."""
    return [
        _squared_loss(result), _neuron(result), _chain(result), _product_order(result), _sample(result),
        _accumulates(result), _leaves_only(result), _queue(result), _short_list(result),
        _engine_order(result), _search(result),
    ]  # fmt: skip


def _worked(result: Result, key: str, what: str, decimals: int = 9) -> Check:
    rule = contract.rounded(decimals) if decimals < 9 else contract.identity()
    return Check(what=what, predicted=by_hand()[key], measured=result.engine[key], **rule)


def _squared_loss(result: Result) -> Claim:
    start = 1 - 7 / 3
    steps = [
        Check(what=f"distance from 7/3 after {DESCENT} steps of α = {rate:.4g}: shrunk by |1 − 18α| each",
              predicted=abs(start) * abs(1 - 18 * rate) ** DESCENT, measured=float(result.descent[-1, i]),
              **contract.identity(abs(start) * abs(1 - 18 * rate) ** DESCENT))
        for i, rate in enumerate(RATES)
    ]  # fmt: skip
    return Claim(
        id="2.2-mse-01",
        statement=r"$L = (wx - y)^2$ at x = 3, y = 7, w = 1: the loss is 16, its slope in w −24, and a step "
        "of α = 0.01 takes w to 1.24.",
        predicted=by_hand()["loss w"],
        measured=result.engine["loss w"],
        **contract.identity(24),
        also=(
            _worked(result, "loss L", "L"),
            _worked(result, "loss w after", "w after the step", 2),
            _worked(result, "loss L after", "L after the step", 4),
            Check(what="distance from 7/3 after one step of α = 1/18", predicted=0.0,
                  measured=float(result.descent[1, 1]), **contract.identity()),
            *steps,
            Check(what="past α = 1/9 the distance grows: last against first", predicted=abs(start),
                  relation=">", measured=float(result.descent[-1, 3]), **contract.exact()),
        ),
        reason="The curvature is 2x² = 18, so a step multiplies the distance from 7/3 by 1 − 18α: nothing is "
        "left at 1/18, and past 1/9 it grows.",
    )  # fmt: skip


def _neuron(result: Result) -> Claim:
    listed = {"z": "z", "L": "L", "a": "∂L/∂a", "z.grad": "∂L/∂z", "b": "∂L/∂b", "x": "∂L/∂x"}
    return Claim(
        id="2.2-bp-01",
        statement=r"One neuron, $L = (\mathrm{relu}(Wx + b) - y)^2$ at x = 2, W = 0.5, b = 0.1, y = 1: the "
        "slope in W is 0.4, and a step of α = 0.01 takes W to 0.496.",
        predicted=by_hand()["neuron w"],
        measured=result.engine["neuron w"],
        **contract.identity(),
        also=(
            *(_worked(result, f"neuron {key}", what) for key, what in listed.items()),
            _worked(result, "neuron w after", "W after the step", 3),
        ),
        reason="Each factor is local: 2(a − y) = 0.2, then 1 from the ReLU, then the input x = 2.",
    )


def undefined(result: Result) -> str:
    """Why the graph shown has no gradient at these inputs; empty where it has one."""
    bad = np.flatnonzero(~np.isfinite(result.values))
    if len(bad):
        return f"the graph shown has no finite value here: {result.worded[bad[0]]}"
    if not (np.isfinite(result.gradients).all() and np.isfinite(result.slopes).all()):
        return "the graph shown has no finite slope at these inputs"
    if not result.differences[:, 2].all():
        return "a ReLU turns, or the formula ends, right at these inputs"
    return ""


def _chain(result: Result) -> Claim:
    net, unmet = result.network, undefined(result)
    worst = int(np.abs(net.engine - net.product).argmax())
    probed = net.engine[net.probed]
    far = int((np.abs(net.difference - probed) - net.neglected).argmax())
    also = [
        Check(what=f"central difference of {PROBED} weights, the one furthest from its bound",
              predicted=float(net.difference[far]), measured=float(probed[far]),
              tolerance=float(net.neglected[far]) + 1e-9,
              rule="h²/6 times a bound on the third derivative, and rounding")
    ]  # fmt: skip
    if not unmet:
        paths, size = path_sum(result.slopes), path_sum(np.abs(result.slopes))
        unit = 2 * np.finfo(float).eps  # 4u: each node is off by about an ulp, at both ends of the step
        passed_on = float(np.abs(result.values * result.gradients).sum())
        for i, name in enumerate(result.leaves):
            difference, neglected, _ = result.differences[i]
            # Values h away differ from these by h times their slopes: the second term.
            h, slope = STEP * max(1.0, abs(result.values[i])), float(result.gradients[i])
            also += [
                Check(what=f"{name} of the graph shown: sum over its paths", predicted=float(paths[i]),
                      measured=slope, **contract.identity(float(size[i]))),
                Check(what=f"{name} of the graph shown: central difference", predicted=float(difference),
                      measured=slope,
                      tolerance=float(neglected + unit * (passed_on / h + len(paths) * size[i])),
                      rule="O(h²): what doubling the step changes; and rounding, 4u·Σ|value · gradient|/h"),
            ]  # fmt: skip
    return Claim(
        id="2.2-chain-01",
        statement="The engine's gradients are products of local derivatives, summed over paths, and agree "
        f"with central differences: a 64-16-10 network on a digit ({len(net.engine):,} entries; shown: where "
        "they differ most), and the graph above.",
        predicted=float(net.product[worst]),
        measured=float(net.engine[worst]),
        **contract.identity(),
        also=tuple(also),
        unmet=unmet,
        reason="The chain rule is all there is; backward visits each arrow once instead of each path.",
    )


def _product_order(result: Result) -> Claim:
    n, (left, right, gap) = SIZES[-1], result.multiplications[-1]
    smaller = [
        Check(what=f"n = {m}: {side}", predicted=float(theory), measured=float(result.multiplications[i, j]),
              **contract.exact())
        for i, m in enumerate(SIZES[:-1])
        for j, (side, theory) in enumerate((("from the left", 2 * m**2), ("from the right", m**3 + m**2)))
    ]  # fmt: skip
    return Claim(
        id="2.2-chain-02",
        statement=r"Backward evaluates $\frac{\partial L}{\partial a} \frac{\partial a}{\partial z} "
        r"\frac{\partial z}{\partial x}$ from the left, as it is written, starting at the loss: for n = 1000 "
        "that takes this many multiplications.",
        often_taught="The terms of the product are evaluated from right to left.",
        text_verdict="wrong",
        predicted=2.0 * n**2,
        measured=float(left),
        **contract.exact(),
        also=(
            Check(what="the other way", predicted=float(n**3 + n**2), measured=float(right),
                  **contract.exact()),
            Check(what="as often as many", predicted=(n + 1) / 2, measured=float(right / left),
                  **contract.identity(n / 2)),
            Check(what="largest difference between the two products", predicted=0.0, measured=float(gap),
                  **contract.identity()),
            *smaller,
        ),
        reason="The loss is one number, so its derivative is a row, and a row times a matrix stays a row. "
        "From the right, two square matrices are multiplied first.",
    )  # fmt: skip


def _sample(result: Result) -> Claim:
    return Claim(
        id="2.2-ad-02",
        statement=r"$z = wx^2 + 5$ at x = 2, w = 3: after one backward call x.grad is $2wx$ = 12.",
        predicted=by_hand()["sample x"],
        measured=result.engine["sample x"],
        **contract.exact(),
        also=tuple(
            Check(what=what, predicted=by_hand()[f"sample {key}"], measured=result.engine[f"sample {key}"],
                  **contract.exact())
            for key, what in (("z", "z"), ("w", "w.grad = x²"))
        ),
        reason="All numbers are small whole ones, so nothing is rounded.",
    )  # fmt: skip


def _accumulates(result: Result) -> Claim:
    settings, calls, found = result.settings, np.arange(1, len(result.collected) + 1), result.switches
    stops = (
        settings.calls > 1
        and not settings.retain
        and any(op not in (*NEEDS_NOTHING, "") for op in result.ops)
    )
    also = [
        Check(what="sample: w.grad after two calls", predicted=2 * by_hand()["sample w"],
              measured=found["w twice"], **contract.exact()),
        Check(what="sample: a call after the graph was freed raises", predicted=1.0,
              measured=found["freed raises"], **contract.exact()),
        Check(what="the graph shown: the call that is refused (0: none)", predicted=2.0 * stops,
              measured=float(result.refused[0]), **contract.exact()),
    ]  # fmt: skip
    if not stops and np.isfinite(result.collected).all():
        expected = np.outer(calls, result.gradients[: len(result.leaves)])
        worst = np.unravel_index(np.abs(expected - result.collected).argmax(), expected.shape)
        also.append(
            Check(what=f"the graph shown: {result.leaves[worst[1]]}.grad after call {worst[0] + 1}",
                  predicted=float(expected[worst]), measured=float(result.collected[worst]),
                  **contract.identity(float(expected[worst])))
        )  # fmt: skip
    return Claim(
        id="2.2-ad-03",
        statement="Gradients accumulate: a second backward call on the sample makes x.grad 24; without "
        "keeping the graph it raises.",
        predicted=2 * by_hand()["sample x"],
        measured=found["x twice"],
        **contract.exact(),
        also=tuple(also),
        reason="A leaf adds what arrives to what it has, until you clear it. The numbers that products and "
        "functions need are freed by the call that used them.",
    )


def _leaves_only(result: Result) -> Claim:
    found = result.switches
    expected = {
        "leaves with grad": (2, "leaves of two that have a .grad"),
        "w past detach": (4, "w.grad where x² was detached"),
        "x past detach": (0, "x has a .grad where x² was detached"),
        "z written through detach": (10, "z after 10 was written to its detached copy"),
        "recorded under no_grad": (0, "inputs noted, and need of a gradient, under no_grad"),
    }
    return Claim(
        id="2.2-ad-04",
        statement="Only leaves that need a gradient get a .grad: of the sample's three inner nodes, this "
        "many have one after backward. A detached value shares its memory; no_grad records nothing.",
        often_taught="After backward, .grad holds the gradient of a tensor; detach makes a copy.",
        text_verdict="conditional",
        predicted=0.0,
        measured=found["others with grad"],
        **contract.exact(),
        also=tuple(
            Check(what=what, predicted=float(number), measured=found[key], **contract.exact())
            for key, (number, what) in expected.items()
        ),
        reason="An inner gradient is needed only until its node has run; keeping all would cost memory.",
    )


def _matching(one: Any, other: Any) -> int:
    return sum(a == b for a, b in zip(one, other, strict=False))


def _queue(result: Result) -> Claim:
    layer, yours = result.layer, result.yours
    printed = ("x", "W", "b", "Wx", "Wx+b")
    also = [
        Check(what="arrows that the depth-first order breaks", predicted=0.0, **contract.exact(),
              measured=float(broken(layer.search.order, layer.graph))),
        Check(what="places where the depth-first order agrees with it", predicted=5.0, relation="<",
              measured=float(_matching(layer.search.order, printed)), **contract.exact()),
        # x and W in either order, then Wx: 2 orders; b goes in any of 4 places; Wx+b last.
        Check(what="valid orders", predicted=2.0 * 4, measured=float(layer.possible), **contract.exact()),
    ]  # fmt: skip
    if yours.possible:
        for name, order in (("queue", yours.queue), ("depth-first", yours.search.order)):
            also.append(Check(what=f"your graph: arrows that the {name} order breaks", predicted=0.0,
                              measured=float(broken(order, yours.graph)), **contract.exact()))  # fmt: skip
    return Claim(
        id="2.7-topo-01",
        statement="The usual sample sorts by a queue of nodes without open inputs (Kahn), not by depth-first "
        "search. It gives x, W, b, Wx, Wx+b (shown: places that agree); a depth-first search gives "
        f"{', '.join(layer.search.order)}, another of 8 valid orders.",
        often_taught="This is topological sorting via DFS.",
        text_verdict="wrong",
        predicted=5.0,
        measured=float(_matching(layer.queue, printed)),
        **contract.exact(),
        also=tuple(also),
        reason="A queue takes what is ready first; a depth-first search places a node when everything behind "
        "it is placed.",
    )


def _short_list(result: Result) -> Claim:
    cyclic, yours = read_edges(CYCLIC), result.yours
    also = [
        Check(what="a sink that is no key raises KeyError", predicted=1.0, measured=float(result.short[1]),
              **contract.exact()),
        Check(what="your graph: nodes the queue returns, those with no cycle before them",
              predicted=float(before_cycles(yours.graph)), measured=float(len(yours.queue)),
              **contract.exact()),
        Check(what="your graph: valid orders (none if there is a cycle)", predicted=0.5,
              relation="<" if yours.search.cycle else ">", measured=float(yours.possible),
              **contract.exact()),
    ]  # fmt: skip
    return Claim(
        id="2.7-topo-02",
        statement="As usually written, that sort needs two repairs: every sink must be a key, and the length "
        f"must be compared. Of the {len(cyclic)} nodes of {CYCLIC} it returns this many, without an error.",
        often_taught="The sample sorts a graph.",
        text_verdict="wrong",
        predicted=float(before_cycles(cyclic)),
        measured=float(result.short[0]),
        **contract.exact(),
        also=tuple(also),
        reason="Nodes on a cycle, and all behind it, wait for each other and never join the queue.",
    )


def before_cycles(graph: dict[str, list[str]]) -> int:
    """Nodes that no cycle leads to, from the matrix of paths."""
    there = reach(graph)
    on_cycle = np.diag(there) > 0
    return int((~(on_cycle | (there[on_cycle] > 0).any(axis=0))).sum())


def _engine_order(result: Result) -> Claim:
    order = [node for node, _, _ in result.courses[0]]
    wrong, older = faults_of(order, result.arrows)
    engine, by_queue, by_depth, early = result.along
    yours = result.yours
    also = [
        Check(what="the graph shown: steps that did not take the newest ready node", predicted=0.0,
              measured=float(older), **contract.exact()),
        Check(what="the graph shown: nodes that ran", predicted=float(len(result.values)),
              measured=float(len(set(order))), **contract.exact()),
        Check(what="small layer: arrows broken", predicted=0.0, measured=float(result.engine_faults[0]),
              **contract.exact()),
        Check(what="small layer: steps that did not take the newest ready node", predicted=0.0,
              measured=float(result.engine_faults[1]), **contract.exact()),
        Check(what="small layer: places unlike the queue's order reversed", predicted=0.0, relation=">",
              measured=float(result.engine_faults[2]), **contract.exact()),
        *(Check(what=f"small layer: largest gap to the gradients by the {name} reversed", predicted=0.0,
                measured=float(np.abs(engine - other).max()), **contract.identity())
          for name, other in (("queue", by_queue), ("depth-first order", by_depth))),
        Check(what="small layer: gradients that are wrong if nodes run before their consumers", predicted=0.0,
              measured=float(np.sum(np.abs(early - engine) > 1e-9)), relation=">", **contract.exact()),
    ]  # fmt: skip
    if yours.possible:
        also.append(
            Check(what="your graph: arrows that the engine's order, reversed, breaks", predicted=0.0,
                  measured=float(broken(yours.engine[::-1], yours.graph)), **contract.exact())
        )  # fmt: skip
    return Claim(
        id="2.7-autograd-01",
        statement="The engine does not sort: it counts each node's open consumers and runs the newest node "
        "that has none. The order it takes is a valid one; arrows of the graph shown that it breaks:",
        often_taught="Autograd sorts the graph topologically, then walks it in reverse.",
        text_verdict="conditional",
        predicted=0.0,
        measured=float(wrong),
        **contract.exact(),
        also=tuple(also),
        reason="Any order in which consumers come first gives the same sums; no list has to be made first.",
    )


def _search(result: Result) -> Claim:
    search, graph, random = result.yours.search, result.yours.graph, result.at_random
    size = len(graph) + sum(map(len, graph.values()))
    cyclic = bool(np.trace(reach(graph)))
    ring = [*search.cycle, *search.cycle[:1]]
    also = [
        Check(what="your graph has a cycle: by matrix, by search", predicted=float(cyclic),
              measured=float(bool(search.cycle)), **contract.exact()),
        Check(what="steps of the cycle that are no arrow", predicted=0.0, **contract.exact(),
              measured=float(sum(head not in graph[tail] for tail, head in pairwise(ring)))),
        Check(what="30 random graphs: nodes and arrows looked at", predicted=float(random[:, 0].sum()),
              measured=float(random[:, 1].sum()), **contract.exact()),
        Check(what="30 random graphs: cycle told rightly", predicted=float(len(random)), **contract.exact(),
              measured=float(np.sum(random[:, 2] == random[:, 3]))),
    ]  # fmt: skip
    if not cyclic:
        also.append(Check(what="your graph: arrows that the order breaks", predicted=0.0,
                          measured=float(broken(search.order, graph)), **contract.exact()))  # fmt: skip
    return Claim(
        id="2.7-dfs-01",
        statement="A depth-first search finds a cycle if there is one, else it sorts, and looks at every "
        "node and arrow of your graph once: V + E in all.",
        predicted=float(size),
        measured=float(search.nodes + search.arrows),
        **contract.exact(),
        also=tuple(also),
        reason="An arrow to a node that is still open closes a cycle; without one, a node finishes after all "
        "that lie behind it.",
    )


# --- Tables -------------------------------------------------------------------------------------------


def layers(arrows: Array) -> Array:
    """The layer of each node (n,): as near to the last node as its consumers allow."""
    before = np.zeros(len(arrows), dtype=int)  # arrows on the longest way to the last node
    for u in reversed(range(len(arrows))):
        before = np.where(arrows[u] > 0, np.maximum(before, before[u] + 1), before)
    return before.max() - before


Places = dict[tuple[int, ...], tuple[float, float]]


def places(arrows: Array) -> Places:
    """Where to draw each node ``(v,)`` and each bend ``(u, v, layer)`` of a long arrow, both from 0 to 1.

    Within a layer everything goes by the mean place of its neighbours, a few times over (Sugiyama, 1981).
    """
    depth = layers(arrows)
    rows: list[list[tuple[int, ...]]] = [[] for _ in range(depth.max() + 1)]
    for v, d in enumerate(depth):
        rows[d].append((v,))
    near: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for u, v in np.argwhere(arrows):
        bends = [(int(u), int(v), d) for d in range(depth[v] + 1, depth[u])]
        for bend in bends:
            rows[bend[2]].append(bend)
        for one, other in pairwise([(int(v),), *bends, (int(u),)]):
            near.setdefault(one, []).append(other)
            near.setdefault(other, []).append(one)
    at = {cell: (i + 0.5) / len(row) for row in rows for i, cell in enumerate(row)}
    for _ in range(6):
        for row in rows:
            row.sort(key=lambda cell: np.mean([at[other] for other in near[cell]]))
            at |= {cell: (i + 0.5) / len(row) for i, cell in enumerate(row)}
    return {cell: (d / (len(rows) - 1), at[cell]) for d, row in enumerate(rows) for cell in row}


def walk(result: Result, at: Places) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every node in every frame, and what each frame says: leaves, a node a frame forward, then backward."""
    leaves, n = len(result.leaves), len(result.values)
    frames = [("before", 0, -1, "Only the inputs have values. Slide on.")]
    frames += [("forward", 0, v, f"forward {v - leaves + 1} of {n - leaves}\n{result.worded[v]}")
               for v in range(leaves, n)]  # fmt: skip
    arrived, kept, shown = np.full(n, np.nan), np.zeros(leaves), []
    shown += [arrived.copy() for _ in frames]
    for call, course in enumerate(result.courses, 1):
        arrived[leaves:] = np.nan
        for step, (v, gradient, parts) in enumerate(course, 1):
            arrived[v] = gradient
            if v < leaves:
                kept[v] += gradient
                arrived[v] = kept[v]
            says = [f"{short(part)} to {result.labels[source]}" for source, part in parts]
            said = (
                f"sends {' and '.join(says)}" if says else f"{result.labels[v]}.grad is {short(arrived[v])}"
            )
            which = (
                f"backward {step} of {n}" if len(result.courses) == 1 else f"call {call}, step {step} of {n}"
            )
            frames.append(("backward", call, v, f"{which}: gradient {short(gradient)}\n{said}"))
            shown.append(arrived.copy())
    if result.refused[0]:
        call, v = result.refused
        said = f"call {call} is refused at {result.labels[v]}\nits numbers were freed by call {call - 1}"
        frames.append(("refused", call, v, said))
        shown.append(arrived.copy())
    F, place = len(frames), [at[(v,)] for v in range(n)]
    phases, calls, active, texts = (list(column) for column in zip(*frames, strict=True))
    numbers = list(map(short, result.values))
    known = [v < leaves or f > v - leaves for f in range(F) for v in range(n)]
    nodes = pd.DataFrame(
        {
            "frame": np.repeat(np.arange(F), n),
            "node": np.tile(np.arange(n), F),
            "label": list(result.labels) * F,
            "along": [along for along, _ in place] * F,
            "across": [across for _, across in place] * F,
            "active": np.tile(np.arange(n), F) == np.repeat(active, n),
            "phase": np.repeat(np.array(phases, dtype=object), n),
            "value": [
                number if is_known else "" for number, is_known in zip(numbers * F, known, strict=True)
            ],
            "gradient": ["" if np.isnan(g) else short(g) for row in shown for g in row.tolist()],
        }
    )
    steps = {"phase": phases, "call": calls, "node": active, "text": texts, "frame": np.arange(F)}
    return nodes, pd.DataFrame(steps)


def arrows_table(result: Result, at: Places) -> pd.DataFrame:
    """The arrows as points to be joined, with the frames in which something moves along them."""
    depth, leaves, rows = layers(result.arrows), len(result.leaves), []
    starts = np.cumsum([len(result.values) - leaves + 1, *map(len, result.courses)])
    ran = [
        {node: start + i for i, (node, _, _) in enumerate(course)}
        for start, course in zip(starts, result.courses, strict=False)
    ]
    for arrow, (u, v) in enumerate(np.argwhere(result.arrows).tolist()):
        back = [*(frames.get(u, -1) for frames in ran), -1, -1, -1][:3]
        points = [at[cell] for cell in ((v,), *((u, v, d) for d in range(depth[v] + 1, depth[u])), (u,))]
        middle = np.mean(points[:2], axis=0)  # where the local derivative is written
        for i, point in enumerate(points):
            slope = "" if i else short(result.slopes[u, v])
            rows.append((arrow, i, *point, u - leaves + 1, *back, slope, *middle))
    columns = ["arrow", "point", "along", "across", "forward", "back_1", "back_2", "back_3", "slope"]
    return pd.DataFrame(rows, columns=[*columns, "middle_along", "middle_across"])


def orders_table(orders: Orders) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Names by method and place, and each arrow as an arc beside them; those that point back are marked."""
    lists = {
        "queue": orders.queue,
        "depth first": orders.search.order,
        "engine, reversed": orders.engine[::-1],
    }
    pairs = [(tail, head) for tail, heads in orders.graph.items() for head in heads]
    names, arcs, turns = [], [], np.linspace(0, np.pi, 13)
    for column, (method, order) in enumerate(lists.items()):
        left = [node for node in orders.graph if node not in order]
        if not order:  # the engine has none where there is a cycle, nor the queue if all nodes lie on one
            continue
        row = [*order, *left]
        names += [(method, column, place, name, name in left) for place, name in enumerate(row)]
        for arc, (tail, head) in enumerate(pairs):
            a, b = row.index(tail), row.index(head)
            down = (a + b) / 2 - (b - a) / 2 * np.cos(turns) if a != b else a + 0.3 * np.sin(2 * turns)
            out = column + (0.8 if b <= a else 0.5) * np.sin(turns) * (0.3 + abs(b - a)) / len(row)
            wrong = b <= a or tail in left
            arcs += [(column, arc, float(t), x, y, wrong) for t, x, y in zip(turns, out, down, strict=True)]
    return (
        pd.DataFrame(names, columns=["method", "column", "place", "name", "never_ready"]),
        pd.DataFrame(arcs, columns=["column", "arc", "turn", "out", "down", "wrong"]),
    )


@np.errstate(all="ignore")
def tables(result: Result) -> dict[str, pd.DataFrame]:
    """Tidy tables: the walk, the gradients, the slide, the worked numbers, the network, products, orders."""
    place = places(result.arrows)
    nodes, steps = walk(result, place)
    names, arcs = orders_table(result.yours)
    leaves, net = len(result.leaves), result.network
    sizes, theory = np.array(SIZES, dtype=float), by_hand()
    log10 = np.log10(result.multiplications[:, :2])
    at = watched_at(result.settings)
    slope, reach = result.summary["gradient_watched"], np.array([-2.0, 2.0])
    return {
        "slide": pd.DataFrame(result.slide, columns=["input", "value", "gradient", "difference"]),
        "tangent": pd.DataFrame({"input": at + reach, "value": result.summary["value"] + slope * reach}),
        "nodes": nodes,
        "steps": steps,
        "arrows": arrows_table(result, place),
        "gradients": pd.DataFrame(
            {
                "input": result.leaves,
                "value": result.values[:leaves],
                "one_call": result.gradients[:leaves],
                "sum_over_paths": path_sum(result.slopes)[:leaves],
                "central_difference": result.differences[:, 0],
                "paths": path_sum(result.arrows)[:leaves].astype(int),
                "grad": result.collected[-1],
            }
        ),
        "worked": pd.DataFrame(
            {"quantity": list(theory), "by_hand": theory.values(), "engine": result.engine.values()}
        ),
        "network": pd.DataFrame({"engine": net.engine[net.probed], "difference": net.difference}),
        "products": pd.DataFrame(
            {
                "log10_n": np.log10(sizes),
                "left": log10[:, 0],
                "right": log10[:, 1],
                "left_theory": np.log10(2 * sizes**2),
                "right_theory": np.log10(sizes**3 + sizes**2),
            }
        ),
        "orders": names,
        "arcs": arcs,
    }


# --- Predict, then see --------------------------------------------------------------------------------


def _what_changed(result: Result) -> str:
    """Which leaves a second call has credited."""
    first, second = result.collected[0], result.collected[-1]
    credited = int(np.sum(first != second))
    return REFUSED[0] if not credited else REFUSED[2] if credited == len(first) else REFUSED[1]


REFUSED = ("nothing", "only b's gradient, which doubles", "all three double")
CHALLENGES = (
    Challenge(
        prompt="z = w·x² + 5 at x = 2, w = 3. One backward call gives w.grad = 4. You call it again on the "
        "same graph, which was kept. What is w.grad?",
        options=(),
        settings={"graph": "sample", "calls": 2, "retain": True},
        answer=lambda result: result.summary["w_grad"],
        why="A leaf adds what arrives to what it has. That is why training loops clear gradients first.",
    ),
    Challenge(
        prompt="L = (wx − y)² with x = 3 and y = 7. What is the slope of L in w at w = 1?",
        options=(),
        settings={"graph": "squared loss"},
        answer=lambda result: result.summary["gradient_watched"],
        curve=("slide", "input", "gradient"),
        at=1.0,
        why="2(wx − y) is −8, and w reaches the error through x = 3.",
    ),
    Challenge(
        prompt="w·x + b, the graph not kept. What does a second backward call change, though it is refused?",
        options=REFUSED,
        settings={"graph": OWN, "expression": "w*x + b", "calls": 2},
        answer=_what_changed,
        why="The sum runs first and needs no stored numbers, so b is credited again. The product then finds "
        "its factors freed, and nothing is undone.",
    ),
)
