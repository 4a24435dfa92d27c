r"""**Why does training hover where theory says it should blow up?**

A small network learns handwritten digits by gradient descent on all of them at once. The curvature of its
loss climbs until the learning rate is too large for it. On a quadratic the loss would now explode. The
network stays at that edge, and goes on learning.

**The edge.** Gradient descent is $w \leftarrow w - \alpha\,\nabla L(w)$. Here $L$ is half the mean squared
distance between the ten outputs and the digit in one-hot form. Its curvature at $w$ is the Hessian $H(w)$,
and the largest eigenvalue of that is the **sharpness** $S$. Were $H$ the same everywhere, a step would
multiply the gradient along the steepest direction $u$ by

$$1 - \alpha S .$$

Beyond $S = 2/\alpha$ that is below $-1$: a zigzag that grows. But a network can move to where its curvature
is another.

**What happens.** Three things follow each other.

1. *Progressive sharpening.* As long as $S$ is below $2/\alpha$, the loss falls at every step and $S$ climbs.
2. *The edge.* Past $2/\alpha$ a zigzag along $u$ grows, by the factor $\alpha S - 1$ a step.
3. *Self-stabilisation.* A wide zigzag feels how $S$ changes across the valley, and is pushed to where $S$ is
   lower. Below $2/\alpha$ the zigzag dies down, $S$ climbs again, and so on.

**How far does it stray?** Let $z = \alpha S - 2$, let $r$ be how much $\alpha S$ rises a step when nothing
holds it, and $q$ the size of the zigzag in units of the one that just balances $r$. To leading order, and
for one direction,

$$\Delta \ln q = z, \qquad \Delta z = r\,(1 - q^2).$$

That is a swing in a well: $z^2/2 + r\,(q^2/2 - \ln q)$ stays the same. So while the zigzag swells by the
factor $F$ from its smallest to its largest size, $S$ strays no further than

$$|z| \le \sqrt{2\,r \ln F} .$$

This is the band of the first claim. Here $r$ comes from the careful walk at $\alpha/4$, which sharpens
freely below its own edge, and $F$ from the zigzag itself. It is the bound of a model. Where several
directions reach the edge they turn into one another, and $S$ sits a little above $2/\alpha$.

**One step, exactly.** For every smooth loss Taylor's theorem with its remainder says of the step
$-\alpha g$

$$\Delta L = -\alpha \lVert g \rVert^2 \Big(1 - \frac{\alpha \bar s}{2}\Big).$$

Here $\bar s$ is the curvature along the step, averaged with the weight $2(1-\theta)$ at the share $\theta$
of the way. So a step raises the loss exactly if $\bar s > 2/\alpha$. And $1 - \alpha \bar s/2$ is the share
that is **kept** of the promised descent $\alpha\lVert g\rVert^2$: nearly all at a small rate, next to
nothing at the edge.

**Without the matrix.** $S$ needs only products $Hv$. Differentiate each line of the forward and of the
backward pass along $v$ (Pearlmutter's R-operator): such a product costs about two gradients. The Lanczos
method makes $S$ and $u$ of a dozen of them, starting from the $u$ before.

**What to try.** Move the rate and see the plateau move to $2/\alpha$. Set it to 0.2: the edge is out of
reach, and not one step goes up. Drag the slider under the valley and watch the weights jump from wall to
wall. Raise the rate until even the network is lost. Take ReLU: its slope has jumps, so the formulas lose
their ground. The edge stays.

**What surprises.** Of the last steps about two in five go up, and the loss still falls. The walk keeps
less than a hundredth of the descent that its gradients promise. It is ahead of the careful walk, which
keeps all of it.

Weights start normal with standard deviation $1/(2\sqrt{n_{\text{in}}})$, biases at 0; the last layer is
linear. The scans are averaged over 2×2 pixels to 16 numbers, each with mean 0 and spread 1. The curvature
is looked at an odd number of steps apart, so from both walls of the valley in turn.

*References.* B. Pearlmutter (1994), Fast exact multiplication by the Hessian. C. Lanczos (1950) for the
eigenvalues. J. Cohen, S. Kaur, Y. Li, Z. Kolter and A. Talwalkar (2021), Gradient descent on neural
networks typically occurs at the edge of stability. A. Damian, E. Nichani and J. Lee (2023),
Self-stabilization: the implicit bias of gradient descent at the edge of stability. A. Lewkowycz et al.
(2020), The large learning rate phase of deep learning, for starts beyond the edge.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab import contract
from lab.contract import Array, Challenge, Check, Claim, Tick, control, exact, identity, no_tick, seed_control
from lab.data import digits

MULTIPLES = np.array([0.25, 0.5, 1.0])  # of the chosen rate; the first walk is the careful one
SLOW, CHOSEN = 0, -1
LOOKS = 50  # times the curvature is looked at, an odd number of steps apart: from both walls in turn
STRETCH = 5  # steps between weights that are remembered
LATE, EARLIER = 40, 30  # looks at which the last fifth, and the one before it, begin
FIRST_LANCZOS, LANCZOS, FINE_LANCZOS = 30, 12, 60  # products for the first look, a later one, a last digit
GAIN = 0.5
FROM_ROUNDING = 36  # e-folds from 2e-16 to 1
LOST = 1e4  # a loss this many times that of the start is lost
NODES, WEIGHTS = np.polynomial.legendre.leggauss(6)
PANEL, MOST_PANELS = 0.1, 40  # longer steps are cut into panels of this length before they are integrated
GAPS = 0.2 / 2.0 ** np.arange(5)  # h of the finite differences, each half of the one before
ACROSS = 25  # points of a slice through the valley


class Settings(contract.Settings):
    """What you can turn."""

    alpha: float = control(
        0.8, "Learning rate α", ge=0.05, le=3, log=True,
        help="Two more walks go beside it, at a half and a quarter of the rate.",
    )  # fmt: skip
    steps: int = control(450, "Steps", ge=50, le=950, step=100, help="Gradient steps on all scans at once.")
    layers: int = control(2, "Hidden layers", ge=1, le=3, step=1, help="Deeper networks sharpen faster.")
    width: int = control(12, "Width", ge=4, le=24, step=1, help="Units in each hidden layer.")
    rows: int = control(80, "Scans", ge=20, le=200, step=10, help="Digits to learn, drawn by the seed.")
    activation: Literal["tanh", "ReLU"] = control(
        "tanh", "Activation", help="tanh is smooth; ReLU has a kink, where there is no second derivative."
    )
    seed: int = seed_control()


@dataclass(frozen=True)
class Result:
    """Everything the charts, the claims and the tests need. T steps, R = 3 rates, K = 51 looks, P weights."""

    settings: Settings
    rates: Array  # (R,) ascending, the last is the chosen one
    loss: Array  # (T + 1, R); NaN after a walk is lost
    squared_gradient: Array  # (T + 1, R)
    looks: Array  # (K,) steps at which the curvature was looked at
    sharpness: Array  # (K, R)
    residual: Array  # (K, R) |Hu - Su|: an eigenvalue lies within
    position: Array  # (K, R) along u, from the bottom of the local parabola: slope over sharpness
    slice_at: Array  # (ACROSS,) places along u, the bottom of the parabola at 0
    slice_loss: Array  # (K, ACROSS) chosen walk: the loss there
    landing_loss: Array  # (K, 2) on the slice, where the weights are and where the step along u ends
    tested: Array  # (M,) steps of the chosen walk whose curvature was averaged
    step_curvature: Array  # (M,) its average along the step, weight 2(1 - θ)
    frozen_sharpness: float  # where the last fifth begins, to the last digit
    frozen_residual: float
    frozen: Array  # (2, T/5 + 1) uᵀg and |g| of the walk on the quadratic that touches the loss there
    tail_slope: Array  # (T/5 + 1,) uᵀg of the network's own walk, u as above
    product: Array  # (P,) Hv at the end of the careful walk, v of length 1
    differences: Array  # (5, P) (g(w + hv) - g(w - hv)) / 2h for h in GAPS
    summary: dict[str, float]


# --- The network --------------------------------------------------------------------------------------
#
# B walks stand side by side: weights (B, P), each layer a matrix (in + 1, out) whose last row is the bias.


@cache
def scans() -> tuple[Array, Array]:
    """Every scan as 16 numbers (1797, 16), averaged over 2×2 pixels, mean 0, spread 1; digits (1797,)."""
    pixels, label = digits()
    pooled = pixels.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16)
    return (pooled - pooled.mean(axis=0)) / pooled.std(axis=0), label


@dataclass(frozen=True, eq=False)
class Problem:
    """The data and the shape of the network."""

    X: Array  # (n, 17) a column of ones last
    Y: Array  # (n, 10) one-hot
    sizes: tuple[int, ...]  # 16, the hidden widths, 10
    smooth: bool  # tanh, or else ReLU

    @cached_property
    def cuts(self) -> list[tuple[slice, tuple[int, int]]]:
        """Where each layer's matrix lies among the weights, and its shape, bias included."""
        shapes = [(a + 1, b) for a, b in pairwise(self.sizes)]
        ends = np.cumsum([0, *(a * b for a, b in shapes)]).tolist()
        return [(slice(*ends_of), shape) for ends_of, shape in zip(pairwise(ends), shapes, strict=True)]

    def layers(self, w: Array) -> list[Array]:
        """Weights (B, P) as matrices (B, in + 1, out)."""
        return [w[:, part].reshape(-1, *shape) for part, shape in self.cuts]

    def start(self, rng: np.random.Generator) -> Array:
        """First weights (P,): normal, standard deviation GAIN/√in; biases 0."""
        parts = [np.vstack([rng.standard_normal((a - 1, b)) * GAIN / math.sqrt(a - 1), np.zeros(b)])
                 for _, (a, b) in self.cuts]  # fmt: skip
        return np.concatenate([part.ravel() for part in parts])


def problem(settings: Settings) -> Problem:
    """The scans that the seed draws, and a network of the chosen shape."""
    smooth = settings.activation == "tanh"
    return _problem(settings.seed, settings.rows, settings.layers, settings.width, smooth)


@lru_cache(maxsize=4)
def _problem(seed: int, rows: int, layers: int, width: int, smooth: bool) -> Problem:
    """One and the same for the same arguments, so that its walks can be remembered."""
    features, label = scans()
    drawn = np.random.default_rng(seed).permutation(len(label))[:rows]
    X = np.column_stack([features[drawn], np.ones(len(drawn))])
    return Problem(X, np.eye(10)[label[drawn].astype(int)], (16, *[width] * layers, 10), smooth)


def forward(net: Problem, w: Array) -> tuple[list[Array], list[Array]]:
    """Activations of every layer [(B, n, in + 1)], and their derivatives [(B, n, in)]; the output is last.

    The first are the scans, (1, n, 17), the same for all.
    """
    A, bend, W = [net.X[None]], [], net.layers(w)
    for matrix in W[:-1]:
        Z = A[-1] @ matrix
        a = np.tanh(Z) if net.smooth else np.maximum(Z, 0)
        bend.append(1 - a * a if net.smooth else (a > 0).astype(float))
        A.append(np.ones((*Z.shape[:2], Z.shape[2] + 1)))  # a column of ones stays: it carries the bias
        A[-1][..., :-1] = a
    return [*A, A[-1] @ W[-1]], bend


def mean_loss(net: Problem, output: Array) -> Array:
    """Half the squared distance to the one-hot digit, averaged over scans: (B,)."""
    gap = output - net.Y
    return 0.5 * np.einsum("bnk,bnk->b", gap, gap) / len(net.Y)


def loss_at(net: Problem, w: Array) -> Array:
    """The loss of each of the weights (B, P): (B,)."""
    return mean_loss(net, forward(net, w)[0][-1])


class Passes(NamedTuple):
    """What both passes through the network leave behind at some weights."""

    W: list[Array]  # of each layer (B, in + 1, out)
    A: list[Array]  # activations and output, as of ``forward``
    bend: list[Array]
    D: list[Array]  # the derivative of the loss by what enters each layer (B, n, out)


def both_passes(net: Problem, w: Array) -> Passes:
    """Forward and backward."""
    (A, bend), W = forward(net, w), net.layers(w)
    D = [(A[-1] - net.Y) / len(net.Y)]
    for matrix, slope in zip(W[:0:-1], bend[::-1], strict=True):
        D.append(D[-1] @ matrix[:, :-1].swapaxes(1, 2) * slope)
    return Passes(W, A, bend, D[::-1])


def slope_of(at: Passes) -> Array:
    """The gradient (B, P)."""
    parts = [(a.swapaxes(1, 2) @ d).reshape(len(d), -1) for a, d in zip(at.A, at.D, strict=False)]
    return np.concatenate(parts, axis=1)


def gradient(net: Problem, w: Array) -> tuple[Array, Array]:
    """Loss (B,) and gradient (B, P)."""
    at = both_passes(net, w)
    return mean_loss(net, at.A[-1]), slope_of(at)


def curvature(net: Problem, w: Array) -> Callable[[Array], Array]:
    """The map v (B, P) to Hv (B, P) at w."""
    return curvature_of(net, both_passes(net, w))


def curvature_of(net: Problem, at: Passes) -> Callable[[Array], Array]:
    """The same: each line of both passes differentiated along v (Pearlmutter 1994).

    R stands for that derivative, ∂/∂ε at w + εv. RZ: of what enters a layer; RA: of what leaves it; RD: of
    the errors. For ReLU the second derivative is 0 away from the kink, and the kink is passed over.
    """
    (W, A, bend, D), n = at, len(net.Y)
    back = [matrix[:, :-1].swapaxes(1, 2) for matrix in W]
    # φ'' = -2φφ' for tanh; D_in is the error before it is multiplied by φ'
    twist = [d @ b * (-2 * a[..., :-1] * s if net.smooth else 0 * s)
             for d, b, a, s in zip(D[1:], back[1:], A[1:-1], bend, strict=True)]  # fmt: skip

    def product(v: Array) -> Array:
        V = net.layers(v)
        RZ, RA = [A[0] @ V[0]], []
        for layer, slope in enumerate(bend, start=1):
            RA.append(slope * RZ[-1])
            RZ.append(A[layer] @ V[layer] + RA[-1] @ W[layer][:, :-1])
        RD, parts = RZ[-1] / n, []
        for layer in range(len(W) - 1, 0, -1):
            part = A[layer].swapaxes(1, 2) @ RD
            part[:, :-1] += RA[layer - 1].swapaxes(1, 2) @ D[layer]
            parts.append(part.reshape(len(v), -1))
            RD = RD @ back[layer] + D[layer] @ V[layer][:, :-1].swapaxes(1, 2)
            RD = RD * bend[layer - 1] + twist[layer - 1] * RZ[layer - 1]
        parts.append((A[0].swapaxes(1, 2) @ RD).reshape(len(v), -1))
        return np.concatenate(parts[::-1], axis=1)

    return product


# --- The curvature ------------------------------------------------------------------------------------


def lanczos(product: Callable[[Array], Array], start: Array, m: int) -> tuple[Array, Array, Array]:
    """Largest eigenvalue S (B,), its unit vector u (B, P) and |Hu - Su| (B,), from m products (Lanczos 1950).

    H is seen through the space of start, H·start, ... (B, P); there it is tridiagonal. Each new vector is
    made orthogonal to all before, as rounding would let the old ones back in.
    """
    Q = np.zeros((len(start), m + 1, start.shape[1]))
    Q[:, 0] = start / np.linalg.norm(start, axis=1, keepdims=True)
    T = np.zeros((len(start), m + 1, m + 1))
    for j in range(m):
        v = product(Q[:, j])
        T[:, j, j] = np.einsum("bp,bp->b", v, Q[:, j])
        seen = Q[:, : j + 1]
        v = v - ((seen @ v[..., None]).swapaxes(1, 2) @ seen)[:, 0]
        length = np.linalg.norm(v, axis=1)
        T[:, j, j + 1] = T[:, j + 1, j] = length
        Q[:, j + 1] = v / np.maximum(length, 1e-300)[:, None]
    values, vectors = np.linalg.eigh(T[:, :m, :m])
    y = vectors[:, :, -1]  # (B, m)
    u = (y[:, None] @ Q[:, :m])[:, 0]
    return values[:, -1], u, T[:, m - 1, m] * np.abs(y[:, -1])


def along_step(net: Problem, w: Array, step: Array) -> float:
    """Curvature along a step (P,) from w (P,): ∫ 2(1 - θ) ŝᵀH(w + θ·step)ŝ dθ, six Gauss points a panel."""
    length = float(np.linalg.norm(step))
    panels = min(MOST_PANELS, math.ceil(length / PANEL))
    theta = (np.arange(panels)[:, None] + (1 + NODES) / 2).ravel() / panels
    unit = np.repeat(step[None] / length, len(theta), axis=0)
    bends = np.einsum("bp,bp->b", curvature(net, w + theta[:, None] * step)(unit), unit)
    return float(np.sum(np.tile(WEIGHTS, panels) * (1 - theta) * bends) / panels)


def walk_frozen(product: Callable[[Array], Array], g: Array, u: Array, rate: float, steps: int) -> Array:
    """Descend the quadratic of this gradient (1, P) and curvature: uᵀg and |g| a step (2, steps + 1)."""
    rows = []
    for _ in range(steps + 1):
        rows.append((np.vdot(u, g), np.linalg.norm(g)))
        g = g - rate * product(g)
    return np.array(rows).T


def differences(net: Problem, w: Array, v: Array) -> Array:
    """(g(w + hv) - g(w - hv)) / 2h for every h in GAPS (5, P)."""
    steps = GAPS[:, None] * v
    return (gradient(net, w + steps)[1] - gradient(net, w - steps)[1]) / (2 * GAPS[:, None])


def extrapolate(rows: Array) -> Array:
    """The limit h to 0 of rows with errors in h², h⁴, ..., h halved each time (Richardson 1911)."""
    order = 4.0
    while len(rows) > 1:
        rows, order = rows[1:] + (rows[1:] - rows[:-1]) / (order - 1), 4 * order
    return np.asarray(rows[0])


# --- The run ------------------------------------------------------------------------------------------


@lru_cache(maxsize=191)  # the longest walk
def stretch(net: Problem, seed: int, alpha: float, number: int) -> tuple[Array, Array, Array, Array]:
    """A few steps of all walks: weights before them and after (R, P), loss and |g|² (STRETCH, R).

    Loss and |g|² are NaN from where a walk is lost. Remembered: the same however many steps follow.
    """
    rates = alpha * MULTIPLES
    if number:
        _, w, before, _ = stretch(net, seed, alpha, number - 1)
        start, alive = stretch(net, seed, alpha, 0)[2][0], ~np.isnan(before[-1])
    else:
        w = np.repeat(net.start(np.random.default_rng([seed, 1]))[None], len(rates), axis=0)
        start, alive = loss_at(net, w), np.ones(len(rates), dtype=bool)
    first = w
    loss, squared = np.full((2, STRETCH, len(rates)), np.nan)
    for t in range(STRETCH):
        now, g = gradient(net, w)
        alive = alive & (now < LOST * start)
        loss[t, alive], squared[t, alive] = now[alive], np.einsum("bp,bp->b", g, g)[alive]
        w = w - np.where(alive, rates, 0.0)[:, None] * g
    return first, w, loss, squared


def follow(net: Problem, w: Array, rates: Array) -> tuple[Array, list[Array]]:
    """Where walks from w (B, P) are after a step at each of the rates (T, B); all gradients [(B, P)]."""
    slopes: list[Array] = []
    for rate in rates:
        slopes.append(slope_of(both_passes(net, w)))
        w = w - rate[:, None] * slopes[-1]
    return w, slopes


def run(settings: Settings, tick: Tick = no_tick) -> Result:
    """Walk at three rates side by side, look at the curvature 51 times, and try the quadratic at the end."""
    net, rng = problem(settings), np.random.default_rng([settings.seed, 1])
    rates, every = settings.alpha * MULTIPLES, settings.steps // LOOKS
    S, residual, position = np.full((3, LOOKS + 1, len(rates)), np.nan)
    net.start(rng)  # the walks begin there; the looks go on with the same draws
    u = rng.standard_normal((len(rates), net.cuts[-1][0].stop))
    stretches: list[tuple[Array, Array, Array, Array]] = []
    seen, tested, bends = [], [], []  # the chosen walk: weights and u; steps and their curvature
    late: tuple[Array, Array] | None = None  # its weights and u where the last fifth begins
    for look in range(LOOKS + 1):
        number, ahead = divmod(look * every, STRETCH)
        while len(stretches) <= number:
            stretches.append(stretch(net, settings.seed, settings.alpha, len(stretches)))
        w, _, loss, _ = stretches[number]
        w, _ = follow(net, w, np.where(np.isnan(loss[:ahead]), 0.0, rates))
        at, alive = both_passes(net, w), ~np.isnan(loss[ahead])
        g = slope_of(at)
        unit = g / np.linalg.norm(g, axis=1, keepdims=True)
        found = lanczos(curvature_of(net, at), u + 0.3 * unit, LANCZOS if look else FIRST_LANCZOS)
        u = found[1] * np.where(np.einsum("bp,bp->b", found[1], u) < 0, -1.0, 1.0)[:, None]
        S[look, alive], residual[look, alive] = found[0][alive], found[2][alive]
        position[look, alive] = (np.einsum("bp,bp->b", u, g) / found[0])[alive]
        if alive[CHOSEN]:
            seen.append((w[CHOSEN], u[CHOSEN]))
            if look % 2 == 0 and look < LOOKS:
                tested.append(look * every)
                bends.append(along_step(net, w[CHOSEN], -rates[CHOSEN] * g[CHOSEN]))
            if look == LATE:
                late = w[[CHOSEN]], u[[CHOSEN]]
        tick(0.9 * look / LOOKS)
    loss, squared = (np.concatenate([part[i] for part in stretches])[: settings.steps + 1] for i in (2, 3))
    sharp, wrong, frozen, slope = _frozen(net, late, loss[LATE * every : -1, CHOSEN], float(rates[CHOSEN]))
    tick(0.95)
    slices = _slices(net, seen, position[: len(seen), CHOSEN], rates[CHOSEN] * S[: len(seen), CHOSEN])
    direction = rng.standard_normal((1, w.shape[1]))
    direction /= np.linalg.norm(direction)
    end = w[[SLOW]] - (rates[SLOW] if alive[SLOW] else 0.0) * g[[SLOW]]
    product = curvature(net, end)(direction)[0]
    tick(1.0)
    result = Result(
        settings, rates, loss, squared, every * np.arange(LOOKS + 1.0), S, residual, position, *slices,
        np.array(tested), np.array(bends), sharp, wrong, frozen, slope, product,
        differences(net, end, direction), {},
    )  # fmt: skip
    result.summary.update(summarise(result))
    return result


def _frozen(
    net: Problem, late: tuple[Array, Array] | None, loss: Array, rate: float
) -> tuple[float, float, Array, Array]:
    """Where the last fifth begins: sharpness, residual, the walk on the quadratic, the network's slope.

    ``loss`` (T/5,) is that of the chosen walk from there on, NaN once it is lost.
    """
    steps = len(loss)
    if late is None:
        return math.nan, math.nan, np.full((2, steps + 1), np.nan), np.full(steps + 1, np.nan)
    w, u = late
    end, tail = follow(net, w, np.where(np.isnan(loss), 0.0, rate)[:, None])
    tail.append(gradient(net, end)[1])
    product = curvature(net, w)
    S, u, residual = lanczos(product, u, FINE_LANCZOS)
    walk = walk_frozen(product, tail[0], u, rate, steps)
    return float(S[0]), float(residual[0]), walk, np.concatenate(tail) @ u[0]


def _slices(
    net: Problem, seen: list[tuple[Array, Array]], at: Array, pace: Array
) -> tuple[Array, Array, Array]:
    """The valley along u at every look: places (ACROSS,), losses (K, ACROSS), and those of the step (K, 2).

    ``at`` is where the weights are, ``pace`` the rate times the sharpness: the step ends at (1 - pace)·at.
    """
    later = slice(len(at) // 2, None)  # the first burst would make the settled zigzag invisible
    half = max(2.5 * np.abs(at[later]).max(), 2.5 * np.abs((1 - pace) * at)[later].max(), 0.05)
    across = np.linspace(-half, half, ACROSS)
    losses, landing = np.full((LOOKS + 1, ACROSS), np.nan), np.full((LOOKS + 1, 2), np.nan)
    for look in range(0, len(seen), 2):
        w, u = seen[look]
        places = np.append(across, [at[look], (1 - pace[look]) * at[look]]) - at[look]
        found = loss_at(net, w + places[:, None] * u)
        losses[look], landing[look] = found[:ACROSS], found[ACROSS:]
    return across, losses, landing


# --- What the run says --------------------------------------------------------------------------------


def rises(loss: Array) -> NDArray[np.int64]:
    """How many steps raise the loss, of each column of (T + 1, R): (R,)."""
    return np.sum(np.diff(loss, axis=0) > 0, axis=0)


def kept(loss: Array, squared_gradient: Array, rates: Array) -> Array:
    """Share of the promised descent αΣ|g|² that the loss really fell, of each column (T' + 1, R): (R,)."""
    return np.asarray((loss[0] - loss[-1]) / (rates * squared_gradient[:-1].sum(axis=0)))


def free_rise(result: Result) -> float:
    """r: how much αS rises a step when free, from the fastest fifth of the careful walk.

    Small steps follow one path in the time rate × steps, so a rise there is scaled to the chosen rate.
    """
    fifth, alpha, slow = LOOKS // 5, result.rates[CHOSEN], result.rates[SLOW]
    gain = np.max(result.sharpness[fifth:, SLOW] - result.sharpness[:-fifth, SLOW])
    return float(alpha * gain / (result.looks[fifth] * slow / alpha))


def swelling(result: Result) -> float:
    """F: the largest over the smallest zigzag of the chosen walk, in its last two fifths."""
    size = np.abs(result.position[EARLIER:, CHOSEN])
    return float(size.max() / size.min())


def band(r: float, F: float) -> float:
    """How far αS strays from 2 at most, √(2 r ln F)."""
    return math.sqrt(2 * max(r, 0.0) * math.log(F))


def growth(result: Result) -> float:
    """How many e-folds the zigzag of the chosen walk could grow: the sum of ln(αS - 1) where positive."""
    pace = result.rates[CHOSEN] * result.sharpness[:-1, CHOSEN]
    return float(np.nansum(np.log(np.maximum(pace - 1, 1.0))) * result.looks[1])


def summarise(result: Result) -> dict[str, float]:
    """The headline numbers."""
    late = int(result.looks[LATE])
    share = kept(result.loss[late:], result.squared_gradient[late:], result.rates)
    alpha = float(result.rates[CHOSEN])
    return {
        "edge": 2 / alpha,
        "sharpness_start": float(result.sharpness[0, CHOSEN]),
        "sharpness_late": float(result.sharpness[LATE:, CHOSEN].mean()),
        "sharpness_end": float(result.sharpness[-1, CHOSEN]),
        "rate_times_sharpness_late": float(alpha * result.sharpness[LATE:, CHOSEN].mean()),
        "rate_times_sharpness_peak": float(alpha * np.nanmax(result.sharpness[:, CHOSEN])),
        "loss_start": float(result.loss[0, CHOSEN]),
        "loss_end": float(result.loss[-1, CHOSEN]),
        "loss_end_careful": float(result.loss[-1, SLOW]),
        "rises": float(rises(result.loss)[CHOSEN]),
        "rises_late": float(rises(result.loss[late:])[CHOSEN]),
        "kept_late": float(share[CHOSEN]),
        "kept_late_careful": float(share[SLOW]),
        "lost_at_step": lost_at(result),
    }


def lost_at(result: Result) -> float:
    """The first step at which the chosen walk is lost; NaN where it is not."""
    gone = np.flatnonzero(np.isnan(result.loss[:, CHOSEN]))
    return float(gone[0]) if len(gone) else math.nan


# --- Theory against measurement -----------------------------------------------------------------------


def claims(result: Result) -> list[Claim]:
    """The five claims on the edge."""
    return [_hover(result), _descent(result), _products(result), _one_step(result), _frozen_claim(result)]


def _lost(result: Result) -> str:
    step = lost_at(result)
    return "" if math.isnan(step) else f"the walk is lost at step {step:.0f}"


def _careful(result: Result) -> str:
    """What keeps the careful walk from being the reference, if anything."""
    pace = result.rates[SLOW] * result.sharpness[:, SLOW]
    return "" if np.all(pace < 2) else "even a quarter of the rate reaches its edge"


def _hover(result: Result) -> Claim:
    s, late = result.summary, int(result.looks[LATE])
    unmet = _lost(result) or _careful(result)
    if not unmet and not rises(result.loss[: late + 1])[CHOSEN]:
        unmet = "no step goes up before the last fifth: the edge is not reached, or only just"
    if not unmet and result.settings.activation == "ReLU":
        unmet = "the argument needs a third derivative, and ReLU has a kink"
    width, rule = math.nan, "√(2 r ln F)"
    if not unmet:
        r, F = free_rise(result), swelling(result)
        width, rule = band(r, F), f"√(2 r ln F), r = {r:.2g} a step, F = {F:.2g}"
    return Claim(
        id="2.6-eos-01",
        statement=r"Over the last fifth of training the sharpness hovers at $2/\alpha$: on average "
        r"$\alpha S = 2$, within the swing of self-stabilisation.",
        predicted=2.0,
        measured=s["rate_times_sharpness_late"],
        tolerance=width,
        rule=f"{rule}: leading order of self-stabilisation, Damian et al. (2023)",
        text_verdict="conditional",
        often_taught="Beyond 2/λ_max gradient descent diverges, so the rate must stay below it.",
        reason="Above the edge the zigzag grows and pushes the sharpness down; below, it fades and lets go.",
        unmet=unmet,
    )


def _descent(result: Result) -> Claim:
    s, late = result.summary, int(result.looks[LATE])
    ups = rises(result.loss)
    share = kept(result.loss[late:], result.squared_gradient[late:], result.rates)[SLOW]
    unmet = _lost(result) or _careful(result)
    if not unmet and result.settings.activation == "ReLU":
        unmet = "the descent lemma needs a slope without jumps, and ReLU has a kink"
    folds = growth(result)
    if not unmet and not ups[CHOSEN] and folds < FROM_ROUNDING:
        unmet = f"the zigzag has had {folds:.0f} e-folds to grow; from rounding it may take {FROM_ROUNDING}"
        unmet = unmet if folds else "this rate stays below its edge throughout, so no step can go up"
    return Claim(
        id="2.6-eos-02",
        statement="At the edge single steps raise the loss, and it still ends lower than it began. At a "
        "quarter of the rate, below the edge throughout, it falls at every step.",
        predicted=s["loss_start"],
        measured=s["loss_end"],
        relation="<",
        **exact(),
        also=(
            Check(
                what="steps that raise the loss",
                predicted=0, measured=float(ups[CHOSEN]), relation=">", **exact(),
            ),
            Check(what="those at a quarter of the rate", predicted=0, measured=float(ups[SLOW]), **exact()),
            Check(
                what="there, share of the promised descent kept over the last fifth, at least 1 − αS/2",
                predicted=float(1 - result.rates[SLOW] * np.max(result.sharpness[LATE:, SLOW]) / 2),
                measured=float(share),
                tolerance=float(result.rates[SLOW] * np.max(result.residual[LATE:, SLOW]) / 2),
                rule="residual of the eigenvalue, α|Hu − Su|/2",
                relation=">=",
            ),
        ),
        text_verdict="conditional",
        often_taught="At a stable rate the loss falls at every step.",
        reason="Across the valley the steps jump from wall to wall; along it they keep going down.",
        unmet=unmet,
    )  # fmt: skip


def _products(result: Result) -> Claim:
    limit = extrapolate(result.differences)
    worst = int(np.abs(limit - result.product).argmax())
    gap = np.linalg.norm(result.differences - result.product, axis=1)  # (5,)
    orders = np.log2(gap[:-1] / gap[1:])  # (4,), tends to 2 with an error that is quartered each time
    return Claim(
        id="2.6-eos-03",
        statement=r"The product $Hv$ is the limit of $\frac{g(w+hv)-g(w-hv)}{2h}$, with an error of order "
        f"$h^2$ (shown: weight {worst + 1}, where they differ most).",
        predicted=float(limit[worst]),
        measured=float(result.product[worst]),
        **identity(float(np.abs(limit).max())),
        also=(
            Check(
                what=f"order of the error between h = {GAPS[2]:g} and {GAPS[3]:g}",
                predicted=2.0,
                measured=float(orders[2]),
                tolerance=float(abs(orders[0] - 2)),
                rule=f"next order in h²: at most what is missing at h = {GAPS[0]:g}",
            ),
        ),
        reason="The terms of even order cancel in a central difference; the next one left is h²/6 · g‴.",
        unmet="" if result.settings.activation == "tanh" else "ReLU has a kink: across it there is no order",
    )  # fmt: skip


def _one_step(result: Result) -> Claim:
    unmet = _lost(result)
    if not unmet and result.settings.activation == "ReLU":
        unmet = "Taylor's theorem needs a second derivative all along the step, and ReLU has a kink"
    steps = result.tested.astype(int)
    change = relative_change(result)
    expected = result.rates[CHOSEN] * result.step_curvature / 2 - 1
    worst = int(np.abs(change - expected).argmax())
    return Claim(
        id="2.6-eos-04",
        statement=r"A step raises the loss exactly if the curvature along it, $\bar s$, exceeds $2/\alpha$: "
        r"$\frac{\Delta L}{\alpha\lVert g\rVert^2} = \frac{\alpha\bar s}{2} - 1$ "
        f"(shown: step {steps[worst] + 1}, where they differ most).",
        predicted=float(expected[worst]),
        measured=float(change[worst]),
        **identity(float(np.abs(expected).max())),
        also=(
            Check(
                what=f"of {len(steps)} steps, those that rise",
                predicted=float(np.sum(expected > 0)),
                measured=float(np.sum(change > 0)),
                **exact(),
            ),
        ),
        reason="Taylor's theorem with its remainder along a line. The descent lemma is one half of it.",
        unmet=unmet,
    )


def _frozen_claim(result: Result) -> Claim:
    alpha, (slope, length) = float(result.rates[CHOSEN]), np.abs(result.frozen)
    pace, factor, tolerance = alpha * result.frozen_sharpness, math.nan, math.nan
    unmet = _lost(result)
    if not unmet and pace <= 2:
        unmet = "where the last fifth begins, the sharpness is below 2/α"
    if not unmet:
        wrong = result.frozen_residual + np.finfo(float).eps * result.frozen_sharpness
        factor = float((slope[-1] / slope[0]) ** (1 / (len(slope) - 1)))
        tolerance = identity()["tolerance"] + float(alpha * wrong * np.max(length / slope))
    return Claim(
        id="2.6-eos-05",
        statement="Freeze the curvature where the last fifth begins, and the same rate from the same weights "
        r"diverges: along $u$ the gradient grows by the factor $\alpha S - 1$ a step.",
        predicted=pace - 1,
        measured=factor,
        tolerance=tolerance,
        rule="1e-9 for rounding, and the residual of the eigenvector: α|Hu − Su|·max(|g|/|uᵀg|)",
        reason="On a quadratic the edge is a wall. A network stays there because its curvature gives way.",
        unmet=unmet,
    )


def relative_change(result: Result) -> Array:
    """ΔL/(α|g|²) of the tested steps (M,): -1 as promised, above 0 a rise."""
    steps = result.tested.astype(int)
    change = result.loss[steps + 1, CHOSEN] - result.loss[steps, CHOSEN]
    return np.asarray(change / (result.rates[CHOSEN] * result.squared_gradient[steps, CHOSEN]))


# --- Tables -------------------------------------------------------------------------------------------


def tables(result: Result) -> dict[str, pd.DataFrame]:
    """What the charts draw; a walk that is lost ends at its last good look."""
    T, alpha = result.settings.steps, float(result.rates[CHOSEN])
    looks = result.looks.astype(int)
    walks = pd.DataFrame(
        {
            "step": np.tile(looks, len(result.rates)),
            "rate": np.repeat(result.rates, len(looks)),
            "sharpness": result.sharpness.T.ravel(),
            "edge": np.repeat(2 / result.rates, len(looks)),
            "zigzag": np.abs(result.position.T.ravel()),
        }
    ).dropna()
    walks["rate_times_sharpness"] = walks["rate"] * walks["sharpness"]
    mine = walks[walks["rate"] == alpha].drop(columns="rate").reset_index(drop=True)
    steps = np.arange(T + 1)
    loss = pd.DataFrame(
        {
            "step": np.tile(steps, len(result.rates)),
            "rate": np.repeat(result.rates, T + 1),
            "loss": result.loss.T.ravel(),
            "rose": np.diff(result.loss, axis=0, prepend=np.inf).T.ravel() > 0,
        }
    ).dropna()
    slope = np.abs(result.frozen[0])  # (T/5 + 1,)
    frozen = pd.DataFrame(
        {
            "step": steps[-len(slope) :],
            "network": np.abs(result.tail_slope),
            "quadratic": slope,
            "predicted": slope[0] * abs(1 - alpha * result.frozen_sharpness) ** np.arange(len(slope)),
        }
    ).dropna()
    tested = pd.DataFrame(
        {
            "step": result.tested.astype(int) + 1,
            "rate_times_curvature": alpha * result.step_curvature,
            "change": relative_change(result),
            "predicted": alpha * result.step_curvature / 2 - 1,
        }
    )
    return {
        "main": mine,
        "walks": walks,
        "loss": loss,
        "steps": tested,
        **_valley(result),
        "frozen": frozen,
        "differences": pd.DataFrame(
            {"h": GAPS, "error": np.linalg.norm(result.differences - result.product, axis=1)}
        ),
    }


def _valley(result: Result) -> dict[str, pd.DataFrame]:
    """The slices along u with the parabola that touches, and the step across; losses above its bottom."""
    good = np.flatnonzero(np.isfinite(result.slice_loss).all(axis=1))
    S, at = result.sharpness[good, CHOSEN], result.position[good, CHOSEN]  # (K',)
    bottom = result.loss[result.looks[good].astype(int), CHOSEN] - S * at**2 / 2
    slices = pd.DataFrame(
        {
            "frame": np.repeat(np.arange(len(good)), ACROSS),
            "place": np.tile(result.slice_at, len(good)),
            "height": (result.slice_loss[good] - bottom[:, None]).ravel(),
            "parabola": np.outer(S, result.slice_at**2 / 2).ravel(),
        }
    )
    frames = pd.DataFrame(
        {
            "frame": np.arange(len(good)),
            "step": result.looks[good].astype(int),
            "from": at,
            "from_height": result.landing_loss[good, 0] - bottom,
            "to": (1 - result.rates[CHOSEN] * S) * at,
            "to_height": result.landing_loss[good, 1] - bottom,
            "rate_times_sharpness": result.rates[CHOSEN] * S,
        }
    )
    return {"slices": slices, "frames": frames}


# --- Predict, then see --------------------------------------------------------------------------------


def _how_many_rise(result: Result) -> str:
    share = result.summary["rises"] / result.settings.steps
    return "none" if share == 0 else "about one in five" if share < 0.35 else "about half"


def _frozen_fate(result: Result) -> str:
    growth = abs(result.frozen[0, -1] / result.frozen[0, 0])
    if growth > 10:
        return "It grows more than tenfold"
    return "It keeps its size" if growth > 0.1 else "It dies down"


CHALLENGES = (
    Challenge(
        prompt="You train at α = 0.6 for 650 steps. At what sharpness does it end?",
        options=(),
        settings={"alpha": 0.6, "steps": 650},
        answer=lambda result: result.summary["sharpness_end"],
        curve=("main", "step", "sharpness"),
        at=650,
        why="The rate alone decides: 2/α = 3.33. Digits, width and start only say how soon.",
    ),
    Challenge(
        prompt="At α = 0.8 the loss falls more than tenfold in 450 steps. How many of them raise it?",
        options=("none", "about one in five", "about half"),
        settings={},
        answer=_how_many_rise,
        why="None before the edge is reached, then up to every second one: the zigzag swells and fades.",
    ),
    Challenge(
        prompt="At step 520 of 650 you freeze the curvature and go on. What does the zigzag do in 130 steps?",
        options=("It dies down", "It keeps its size", "It grows more than tenfold"),
        settings={"steps": 650},
        answer=_frozen_fate,
        why="A quadratic a tenth past its edge grows by a tenth a step, as nothing in it can give way.",
    ),
)
