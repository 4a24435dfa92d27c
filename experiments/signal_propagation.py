r"""**Does a signal survive depth?**

Ten handwritten digits go through a deep network that has learnt nothing yet, and the gradient of the loss
comes back. You see what each layer leaves of both, and the factor theory predicts before a weight is drawn.

$$
\begin{aligned}
h_1 &= W_1 x, \qquad \text{logits} = V \varphi(u_L) \\
h_{l+1} &= [\,h_l +\,] \; W_{l+1}\, \varphi(u_l) \\
u_l &= h_l \;\text{ or }\; \mathrm{LayerNorm}(h_l)
\end{aligned}
$$

- $h_l$: the **signal** at layer $l$, $n$ numbers; $q_l$: its second moment, the mean of their squares
- $\varphi$: the activation; $[\,h_l +\,]$: the residual connection, if you switch it on
- $W_l$: random weights of mean 0, no biases; $\sigma^2 = n \operatorname{Var} W$
- $g_l = \partial \mathcal L/\partial h_l$: the **activation gradient**, from one scan's cross-entropy

In a wide layer every number of $h_l$ is a sum of many independent terms, so it is Gaussian, and one number
says all there is to know. With $z \sim N(0, 1)$, both directions multiply by factors that can be computed:

$$
\begin{aligned}
q_{l+1} &= [\,q_l +\,] \; \sigma^2\, \mathbb E\, \varphi(\sqrt{q_l}\, z)^2 \\
\frac{\mathbb E \lVert g_l \rVert^2}{\mathbb E \lVert g_{l+1} \rVert^2}
&= [\,1 +\,] \; \sigma^2\, \mathbb E\, \varphi'(\sqrt{q_l}\, z)^2
\end{aligned}
$$

With LayerNorm the $\sqrt{q_l}$ inside becomes 1, and the gradient's second term is divided by $q_l$. For ReLU
both factors are $\sigma^2/2$: 1 with He's variance $2/n$, ½ with $1/n$, and 1/6 with a library's default
$1/(3n)$. As the width is finite, a typical network keeps a little less: $e^{-5/2n}$ of it a layer.

**What to try.** ReLU with LeCun's $1/n$: each layer halves the second moment, and two billionths are left
after 30. Then the sigmoid: the signal stays and the gradient dies, because its slope is never above ¼. Then
float16 with a scale of 4: the page names the layer at which a number no longer fits.

**What surprises.** Residual connections do not tame a ReLU network with He's variance, they *double* the
second moment at every layer; with LayerNorm inside them it grows only in proportion to the layer's
number. LayerNorm before a sigmoid helps less than a residual connection does. And one of the five usual cures
does nothing at all against vanishing: clipping.

**A caution.** In a ReLU network without biases $\langle W_l, \partial \mathcal L/\partial W_l \rangle$ is
the same for every layer, however fast the signal dies. So the gradients drawn here are those of the
activations, not of the weights.

*References.* S. Hochreiter (1991), Untersuchungen zu dynamischen neuronalen Netzen. X. Glorot and Y. Bengio
(2010), Understanding the difficulty of training deep feedforward neural networks. K. He et al. (2015),
Delving deep into rectifiers. S. Schoenholz et al. (2017), Deep information propagation. B. Hanin and
D. Rolnick (2018), How to start training, for finite width.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import model_validator
from scipy.special import erf, expit

from lab import contract
from lab.contract import Challenge, Check, Claim, Tick, control, no_tick, seed_control, setting_error
from lab.data import digits
from lab.memory import fixed, remembered

Array = NDArray[Any]  # networks run in single precision, statistics in double
Activation = Literal["ReLU", "tanh", "sigmoid", "linear"]
Rule = Literal["LeCun", "Glorot", "He", "default"]

MOST_WEIGHTS = 32e6  # of all networks together: 128 MB in single precision
LN_EPSILON = 1e-5  # added to the variance by LayerNorm, as usual
BINS = 48

# The comparison of cures is the same whatever you turn, so that its claims always mean the same networks.
LAB_WIDTH, LAB_DEPTH, LAB_NETS = 64, 30, 8
WIDTHS = {24: 40, 32: 24}  # networks at each small width, where the effect of finite width is large
CHAIN = 100  # factors in a row
SCALES = 2.0 ** np.linspace(-1, 1, 9)  # of the weights, where clipping is shown
GLOROT_NETS = 64  # matrices of 256 → 10


class Settings(contract.Settings):
    """What you can turn."""

    init: Rule = control(
        "He", "Initialisation",
        help="Variance of a weight: LeCun 1/n_in, Glorot 2/(n_in + n_out), He 2/n_in, default 1/(3 n_in), "
        "which is what PyTorch's linear layer draws (evenly spread; the others are normal).",
    )  # fmt: skip
    scale: float = control(
        1.0, "Scale s of the weights", ge=0.1, le=4, log=True,
        help="Every weight times s, so every σ² times s².",
    )  # fmt: skip
    activation: Activation = control("ReLU", "Activation φ", help="What each layer does to its numbers.")
    depth: int = control(30, "Depth L", ge=2, le=60, step=1, unit="layers", help="How many layers.")
    width: int = control(256, "Width n", ge=32, le=512, step=16, help="Numbers in each layer.")
    residual: bool = control(False, "Residual", help="Each layer adds to its input instead of replacing it.")
    layernorm: bool = control(
        False, "LayerNorm", help="Each scan's numbers get mean 0 and variance 1 before the activation."
    )
    clip: float = control(
        1.0, "Clip at norm c", ge=0.01, le=100, log=True,
        help="Gradient clipping: if the gradient of all weights is longer than c, it is shortened to c.",
    )  # fmt: skip
    precision: Literal["float32", "float16"] = control(
        "float32", "Number format",
        help="float16 rounds the signal and gradient of every layer to half precision: nothing above 65,504.",
    )  # fmt: skip
    nets: int = control(
        2, "Networks", ge=1, le=8, step=1, help="Drawn independently: how much do they differ?"
    )
    seed: int = seed_control()

    @model_validator(mode="after")
    def _bounded(self) -> "Settings":
        most = int(MOST_WEIGHTS // (self.depth * self.width**2))
        if self.nets > most:
            raise setting_error(
                "nets", self.nets, f"{self.depth} layers of width {self.width} allow 1 to {most} networks"
            )
        return self


@dataclass(frozen=True)
class Net:
    """What a layer does, without its weights."""

    activation: Activation
    residual: bool = False
    layernorm: bool = False
    half: bool = False  # round to float16 after every layer


@dataclass(frozen=True)
class Lab:
    """The comparisons that depend on the seed only. R = 8 runs, L = 30 layers, S = 8 networks."""

    log_gradient: Array  # (R, L, S) mean over the scans of log |g_l|
    log_signal: Array  # (R, L, S) mean over the scans of log q_l
    norms: Array  # (R, S) length of the gradient of all weights
    steepest: float  # largest slope of any sigmoid in the starting network
    default_log_signal: Array  # (L, S) a ReLU network as a library draws it
    width_factors: dict[int, Array]  # width -> (networks,) mean log factor a layer, He and ReLU
    scaled_norms: Array  # (9, 4) length of the gradient of all weights, at SCALES
    chains: Array  # (3,) gradient through 100 factors of 0.9, of 1.1, and through 1 − 1/k², k = 2..100
    glorot: Array  # (2, 3) LeCun and Glorot, 256 → 10: variance, forward factor, backward factor


@dataclass(frozen=True)
class Result:
    """Everything the charts, the claims and the tests need. L layers, S networks, B = 10 scans."""

    settings: Settings
    log_signal: Array  # (L, S, B) log of the mean square of h_l; NaN from an overflow on
    log_gradient: Array  # (L, S, B) log |∂L/∂h_l|; −inf where it is exactly 0, NaN where there is none
    predicted_signal: Array  # (L,) q_l in an infinitely wide network
    predicted_ratio: Array  # (L - 1,) E|g_l|² / E|g_{l+1}|² in an infinitely wide network
    gradient_norm: Array  # (S,) length of the gradient of all weights, before clipping
    overflow_layer: int  # the first layer with a number too large for the format; 0 if none
    gradient_overflow_layer: int  # the same on the way back, if the signal is still finite
    edges: Array  # (BINS + 1,) of log10 |h|
    histogram: Array  # (L, BINS) share of the numbers of a layer in each bin
    lab: Lab
    scaled_after: Array  # (9, 4) lab.scaled_norms after clipping at c
    tiny_after: Array  # (2,) the gradient (1e-9, 2e-9) after clipping at c
    summary: dict[str, float]


# --- One layer, forward and backward ------------------------------------------------------------------


def activate(u: Array, kind: Activation) -> Array:
    """φ(u), entry by entry."""
    if kind == "linear":
        return u
    return {"ReLU": lambda: np.maximum(u, 0), "tanh": lambda: np.tanh(u), "sigmoid": lambda: expit(u)}[kind]()


def slope(u: Array, kind: Activation) -> Array:
    """φ'(u), entry by entry; ReLU's at 0 is taken as 0."""
    if kind == "linear":
        return np.ones_like(u)
    if kind == "ReLU":
        return (u > 0).astype(u.dtype)
    value = activate(u, kind)
    return 1 - value**2 if kind == "tanh" else value * (1 - value)


def layer_norm(h: Array) -> tuple[Array, Array]:
    """$(h - \\bar h)/s$ and 1/s, with $s^2 = \\operatorname{Var} h + 10^{-5}$ over the layer's numbers."""
    centred = h - h.mean(axis=-2, keepdims=True)
    inverse = 1 / np.sqrt(np.mean(centred**2, axis=-2, keepdims=True) + LN_EPSILON)
    return centred * inverse, inverse


def output(h: Array, net: Net) -> Array:
    """φ(u) with u = h or LayerNorm(h), (..., n, B)."""
    return activate(layer_norm(h)[0] if net.layernorm else h, net.activation)


def output_backward(h: Array, v: Array, net: Net) -> Array:
    """Gradient in h of ⟨v, φ(u)⟩, (..., n, B): through the slope, then through LayerNorm.

    LayerNorm's Jacobian is $(I - \\frac1n 11^T - \\frac1n uu^T)/s$: it removes what would shift or stretch h.
    """
    if not net.layernorm:
        return v * slope(h, net.activation)
    u, inverse = layer_norm(h)
    w = v * slope(u, net.activation)
    shift, stretch = w.mean(axis=-2, keepdims=True), np.mean(w * u, axis=-2, keepdims=True)
    return inverse * (w - shift - u * stretch)


def rounded_to(net: Net, values: Array) -> Array:
    """The values as the number format holds them: float16 turns what is above 65,504 into infinity."""
    return values.astype(np.float16).astype(values.dtype) if net.half else values


# --- A whole network ----------------------------------------------------------------------------------


def forward(x: Array, first: Array, hidden: Array, net: Net) -> tuple[Array, Array]:
    """Signals $h_l$ and outputs $φ(u_l)$, both (L, S, n, B), of S networks at once.

    ``x`` (d, B) the scans, ``first`` (S, n, d), ``hidden`` (L-1, S, n, n).
    """
    h = np.empty((len(hidden) + 1, *first.shape[:2], x.shape[1]), first.dtype)
    a = np.empty_like(h)
    h[0] = rounded_to(net, first @ x)
    a[0] = output(h[0], net)
    for layer, weights in enumerate(hidden):
        step = weights @ a[layer]
        h[layer + 1] = rounded_to(net, h[layer] + step if net.residual else step)
        a[layer + 1] = output(h[layer + 1], net)
    return h, a


def backward(h: Array, hidden: Array, top: Array, net: Net) -> Array:
    """$g_l = ∂L/∂h_l$ (L, S, n, B) from $g_L$ = ``top`` (S, n, B): the chain rule, layer by layer."""
    g = np.empty_like(h)
    g[-1] = rounded_to(net, top)
    for layer in range(len(hidden) - 1, -1, -1):
        back = output_backward(h[layer], hidden[layer].swapaxes(-1, -2) @ g[layer + 1], net)
        g[layer] = rounded_to(net, g[layer + 1] + back if net.residual else back)
    return g


def loss_gradient(logits: Array, label: Array) -> Array:
    """Of each scan's cross-entropy in its logits (S, 10, B): softmax(logits) minus the label's indicator."""
    share = np.exp(logits - logits.max(axis=-2, keepdims=True))
    share = share / share.sum(axis=-2, keepdims=True)
    share[:, label, np.arange(len(label))] -= 1
    return share


def weight_gradient_norm(gradients: list[Array], inputs: list[Array]) -> Array:
    """Length of the gradient of the mean loss in all weights (S,).

    One matrix has $∂L/∂W = \\frac1B \\sum_b g_b a_b^T$, so $\\lVert ∂L/∂W \\rVert^2$ is
    $\\frac{1}{B^2} \\sum_{b,c} (g_b \\cdot g_c)(a_b \\cdot a_c)$: no matrix of the weights' size is needed.
    """
    total = 0.0
    for g, a in zip(gradients, inputs, strict=True):
        g, a = g.astype(float), a.astype(float)
        total = total + np.sum((g.swapaxes(-1, -2) @ g) * (a.swapaxes(-1, -2) @ a), axis=(-1, -2))
    return np.sqrt(np.maximum(total, 0)) / inputs[0].shape[-1]


def there_and_back(
    x: Array, label: Array, first: Array, hidden: Array, last: Array, net: Net
) -> tuple[Array, Array, Array]:
    """Signals and their gradients, both (L, S, n, B), and the length of the weights' gradient (S,)."""
    h, a = forward(x, first, hidden, net)
    error = loss_gradient(last @ a[-1], label)
    g = backward(h, hidden, output_backward(h[-1], last.swapaxes(-1, -2) @ error, net), net)
    return h, g, weight_gradient_norm([g[0], *g[1:], error], [x, *a[:-1], a[-1]])


def clipped(norm: Array, most: float) -> Array:
    """Length of a gradient after clipping: min(norm, most)."""
    return norm * clip_factor(norm, most)


def clip_factor(norm: Array, most: float) -> Array:
    """What clipping multiplies a gradient by: 1 unless it is longer than ``most``."""
    norm = np.asarray(norm, dtype=float)
    return np.where(norm > most, most / np.maximum(norm, most), 1.0)


# --- Weights and scans --------------------------------------------------------------------------------


def variance(rule: Rule, n_in: int, n_out: int) -> float:
    """Variance of a weight between ``n_in`` and ``n_out`` numbers."""
    return {"LeCun": 1 / n_in, "Glorot": 2 / (n_in + n_out), "He": 2 / n_in, "default": 1 / (3 * n_in)}[rule]


def draw(rng: np.random.Generator, rule: Rule, shape: tuple[int, ...], out: Array | None = None) -> Array:
    """Weights (..., n_out, n_in) in single precision: normal, or uniform on ±1/√n_in for the default."""
    sd = np.float32(np.sqrt(variance(rule, shape[-1], shape[-2])))
    out = np.empty(shape, np.float32) if out is None else out
    if rule == "default":
        rng.random(dtype=np.float32, out=out)
        out -= np.float32(0.5)
        out *= np.float32(np.sqrt(12)) * sd
    else:
        rng.standard_normal(dtype=np.float32, out=out)
        out *= sd
    return out


@cache
def ten_scans() -> tuple[Array, Array]:
    """The first scan of each digit, scaled to mean square 1: (64, 10), and the labels 0 to 9."""
    pixels, label = digits()
    x = np.stack([pixels[label == digit][0] for digit in range(10)], axis=1)
    return fixed(((x / np.sqrt(np.mean(x**2, axis=0))).astype(np.float32), np.arange(10)))


# --- What theory predicts -----------------------------------------------------------------------------

_Z = np.linspace(-8, 8, 1601)
_DENSITY = np.exp(-(_Z**2) / 2) / np.exp(-(_Z**2) / 2).sum()


def gaussian_moments(kind: Activation, q: float) -> tuple[float, float]:
    """$E φ(\\sqrt q z)^2$ and $E φ'(\\sqrt q z)^2$: known for linear and ReLU, else the trapezoid rule."""
    if kind in ("linear", "ReLU"):
        share = 1.0 if kind == "linear" else 0.5
        return share * q, share
    u = np.sqrt(q) * _Z
    return float(_DENSITY @ activate(u, kind) ** 2), float(_DENSITY @ slope(u, kind) ** 2)


def predict(net: Net, sigma2: float, q1: float, depth: int) -> tuple[Array, Array]:
    """Second moments $q_l$ (L,) and the gradient's factors from layer l+1 to l (L-1,) at infinite width."""
    q, ratio = [q1], []
    for _ in range(depth - 1):
        inside, stretch = (
            (q[-1] / (q[-1] + LN_EPSILON), q[-1] + LN_EPSILON) if net.layernorm else (q[-1], 1.0)
        )
        value, steepness = gaussian_moments(net.activation, inside)
        q.append(net.residual * q[-1] + sigma2 * value)
        ratio.append(net.residual + sigma2 * steepness / stretch)
    return np.array(q), np.array(ratio)


def finite_width_factor(width: int) -> float:
    """$e^{-5/2n}$: of a ReLU layer's second moment, beside σ²/2, in a typical network of width n.

    The factor is $\\frac2n \\sum \\max(z_i, 0)^2$ with mean 1 and variance 5/n, so its logarithm has
    mean about $-\\frac12 \\cdot 5/n$; the next term is $-4.08/n^2$.
    """
    return float(np.exp(-2.5 / width))


# --- The comparisons ----------------------------------------------------------------------------------

CURES = ("activation", "initialisation", "residual", "LayerNorm", "clipping")
CURE_WORDS = ("ReLU", "He", "residual", "LayerNorm", "clipping")
# Runs 0-4: sigmoid with 1/n, then each of the first four cures alone; 5-7: ReLU + He + residual + LayerNorm.
LAB_RUNS = (
    (Net("sigmoid"), 1.0), (Net("ReLU"), 1.0), (Net("sigmoid"), 2.0), (Net("sigmoid", residual=True), 1.0),
    (Net("sigmoid", layernorm=True), 1.0), (Net("ReLU"), 2.0), (Net("ReLU", residual=True), 2.0),
    (Net("ReLU", residual=True, layernorm=True), 2.0),
)  # fmt: skip
VIEWS = {"alone": (0, 1, 2, 3, 4, 0), "added": (0, 1, 5, 6, 7, 7)}  # run of the start and of each cure


@cache
def lab_law(run: int) -> Array:
    """Theory's factors of the gradient a layer (LAB_DEPTH - 1,) in one of ``LAB_RUNS``."""
    net, sigma2 = LAB_RUNS[run]
    return predict(net, sigma2, sigma2, LAB_DEPTH)[1]


def second_moment(h: Array) -> Array:
    """Mean square over the layer's numbers (..., B), in double precision."""
    return np.mean(h.astype(float) ** 2, axis=-2)


def log_length(g: Array) -> Array:
    """log |g_l| over each layer's numbers (L, S, B); −inf where a gradient has become exactly 0.

    NaN for a scan whose loss is exactly 0 from the start (an exploded network that happens to name it right),
    and where the gradient is no longer a number.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = 0.5 * np.log(np.sum(g.astype(float) ** 2, axis=-2))
    return np.where((logs[-1] == -np.inf) | (logs == np.inf), np.nan, logs)


def mean_of_known(values: Array, axis: int | tuple[int, ...]) -> Array:
    """The mean over ``axis`` of what is not NaN; NaN where nothing is known."""
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def chain_gradients() -> Array:
    """Gradients (3,) that backpropagation returns through layers of one linear unit: 0.9, 1.1, 1 − 1/k²."""
    shrinking = 1 - 1 / np.arange(2.0, CHAIN + 1) ** 2
    found = []
    for factors in (np.full(CHAIN, 0.9), np.full(CHAIN, 1.1), shrinking):
        hidden, one = factors.reshape(-1, 1, 1, 1), np.ones((1, 1, 1))
        h, _ = forward(np.ones((1, 1)), one, hidden, Net("linear"))
        found.append(backward(h, hidden, one, Net("linear"))[0].item())
    return np.array(found)


def glorot_against_lecun(rng: np.random.Generator) -> Array:
    """(2, 3) for LeCun and Glorot, 256 → 10: variance of the weights, factor of Wx, factor of W^T g."""
    rows = []
    for rule in ("LeCun", "Glorot"):
        weights = draw(rng, rule, (GLOROT_NETS, 10, 256)).astype(float)
        x, g = rng.standard_normal((GLOROT_NETS, 256, 1)), rng.standard_normal((GLOROT_NETS, 10, 1))
        ahead = second_moment(weights @ x) / second_moment(x)
        back = second_moment(weights.swapaxes(1, 2) @ g) / second_moment(g)
        rows.append([np.mean(weights**2), ahead.mean(), back.mean()])
    return np.array(rows)


def small_widths(rng: np.random.Generator, x: Array) -> tuple[dict[int, Array], Array]:
    """Mean log factor a layer of ReLU networks with He's variance per small width, and the last weights."""
    factors = {}
    for width, nets in WIDTHS.items():
        first = draw(rng, "He", (nets, width, 64))
        hidden = draw(rng, "He", (LAB_DEPTH - 1, nets, width, width))
        q = second_moment(forward(x[:, :1], first, hidden, Net("ReLU"))[0][[0, -1]])[..., 0]
        alive = q[1] > 0  # once in thousands of seeds every unit of a narrow layer is off
        factors[width] = np.log(q[1] / q[0], where=alive, out=np.full(nets, np.nan)) / (LAB_DEPTH - 1)
    return factors, hidden


@lru_cache(maxsize=8)
def laboratory(seed: int) -> Lab:
    """All comparisons at fixed sizes; kept for the last seeds, since no other control changes them."""
    rng = np.random.default_rng([seed, 1])
    x, label = ten_scans()
    first = draw(rng, "LeCun", (LAB_NETS, LAB_WIDTH, 64))
    hidden = draw(rng, "LeCun", (LAB_DEPTH - 1, LAB_NETS, LAB_WIDTH, LAB_WIDTH))
    last = draw(rng, "LeCun", (LAB_NETS, 10, LAB_WIDTH))
    gradients, signals, norms, steepest = [], [], [], 0.0
    for index, (net, sigma2) in enumerate(LAB_RUNS):
        gain = np.float32(np.sqrt(sigma2))
        h, g, norm = there_and_back(x, label, gain * first, gain * hidden, last, net)
        gradients.append(mean_of_known(log_length(g), -1))
        signals.append(np.log(second_moment(h)).mean(axis=-1))
        norms.append(norm)
        if index == 0:
            steepest = float(slope(h.astype(float), "sigmoid").max())
    uniform = draw(rng, "default", hidden.shape)
    h, _ = forward(x, first, uniform, Net("ReLU"))
    factors, narrow = small_widths(rng, x)
    weights = SCALES[:, None, None, None].astype(np.float32) * narrow[:, None, :4]  # (29, 9, 4, 32, 32)
    ends = [draw(rng, "He", (1, 4, *shape)) for shape in ((32, 64), (10, 32))]
    first, last = (
        (SCALES[:, None, None, None].astype(np.float32) * w).reshape(36, *w.shape[2:]) for w in ends
    )
    scaled = there_and_back(x, label, first, weights.reshape(-1, 36, 32, 32), last, Net("ReLU"))[2]
    return Lab(
        np.array(gradients), np.array(signals), np.array(norms), steepest,
        np.log(second_moment(h)).mean(axis=-1), factors, scaled.reshape(9, 4), chain_gradients(),
        glorot_against_lecun(rng),
    )  # fmt: skip


# --- The run ------------------------------------------------------------------------------------------


class Passage(NamedTuple):
    """What one pass through the networks and back leaves; the fields are those of ``Result``."""

    log_signal: Array
    log_gradient: Array
    gradient_norm: Array
    overflow_layer: int
    gradient_overflow_layer: int
    edges: Array
    histogram: Array


def send(settings: Settings, tick: Tick) -> Passage:
    """Draw the networks, send ten digits through and the gradient back."""
    rng = np.random.default_rng([settings.seed, 0])
    x, label = ten_scans()
    depth, width, nets = settings.depth, settings.width, settings.nets
    scale, half = np.float32(settings.scale), settings.precision == "float16"
    net = Net(settings.activation, settings.residual, settings.layernorm, half)
    first = draw(rng, settings.init, (nets, width, 64)) * scale
    last = draw(rng, settings.init, (nets, 10, width)) * scale
    hidden = np.empty((depth - 1, nets, width, width), np.float32)
    for layer, weights in enumerate(hidden):
        draw(rng, settings.init, weights.shape, weights)
        weights *= scale
        tick(0.6 * (layer + 1) / depth)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        h, g, norm = there_and_back(x, label, first, hidden, last, net)
        finite = np.isfinite(h).all(axis=(1, 2, 3))
        overflow = 0 if finite.all() else int(finite.argmin()) + 1
        held = np.arange(depth) < (overflow - 1 if overflow else depth)
        log_signal = np.where(held[:, None, None], np.log(second_moment(h)), np.nan)
    log_gradient, overflow_back = without_overflow(log_length(g))
    tick(0.8)
    return Passage(log_signal, log_gradient, norm, overflow, overflow_back, *magnitudes(h, held))


# Passes made before: clipping comes after them. 20 to 100 kB each.
_sent: dict[Settings, Passage] = {}


def run(settings: Settings, tick: Tick = no_tick) -> Result:
    """Draw the networks, send ten digits through and the gradient back, and compare the cures."""
    key = settings.model_copy(update={"clip": 1.0})
    passage = remembered(_sent, key, 4, lambda: send(settings, tick))
    lab = laboratory(settings.seed)
    tick(1.0)

    width = settings.width
    sigma2 = width * variance(settings.init, width, width) * settings.scale**2
    q1 = 64 * variance(settings.init, 64, width) * settings.scale**2
    q, ratio = predict(
        Net(settings.activation, settings.residual, settings.layernorm), sigma2, q1, settings.depth
    )
    result = Result(
        settings, passage.log_signal, passage.log_gradient, q, ratio, *passage[2:], lab,
        clipped(lab.scaled_norms, settings.clip),
        np.array([1e-9, 2e-9]) * clip_factor(np.hypot(1e-9, 2e-9), settings.clip), {},
    )  # fmt: skip
    result.summary.update(headline(result))
    return result


def without_overflow(log_gradient: Array) -> tuple[Array, int]:
    """The logs with NaN from the layer on where the way back first leaves the format, and that layer or 0."""
    lost = (np.isnan(log_gradient) & ~np.isnan(log_gradient[-1])).any(axis=(1, 2))
    layer = int(np.flatnonzero(lost)[-1]) + 1 if lost.any() else 0
    below = np.arange(len(log_gradient)) < layer
    return np.where(below[:, None, None], np.nan, log_gradient), layer


def magnitudes(h: Array, held: Array) -> tuple[Array, Array]:
    """Edges (BINS + 1,) of log10 |h| and the share of each layer's numbers between them (L, BINS)."""
    size = np.sqrt(second_moment(h[held]).mean(axis=(1, 2)))
    size = np.log10(size[size > 0]) if held.any() and size.any() else np.zeros(1)
    ends = (size.min() - 2, size.max() + 1)
    shares = np.zeros((len(h), BINS))
    with np.errstate(divide="ignore"):
        for layer in np.flatnonzero(held):
            logs = np.log10(np.abs(h[layer], dtype=float))
            shares[layer] = np.histogram(logs, BINS, ends)[0] / logs.size
    return np.linspace(*ends, BINS + 1), shares


def per_layer(logs: Array) -> float:
    """Factor a layer (geometric mean) between the first and the last layer that hold a number above 0."""
    curve = mean_of_known(logs, (1, 2))
    good = np.flatnonzero(np.isfinite(curve))
    if len(good) < 2:
        return float("nan")
    return float(np.exp((curve[good[-1]] - curve[good[0]]) / (good[-1] - good[0])))


def headline(result: Result) -> dict[str, float]:
    """The numbers on top of the page; a factor is per layer, the gradient's counted from last to first."""
    steps = len(result.predicted_ratio)
    curve = mean_of_known(result.log_gradient, (1, 2))
    vanished = np.flatnonzero(curve == -np.inf)
    silent = np.flatnonzero((result.log_signal == -np.inf).all(axis=(1, 2)))
    growth = np.log(result.predicted_signal[-1] / result.predicted_signal[0]) / steps
    return {
        "signal_factor": per_layer(result.log_signal),
        "predicted_signal_factor": float(np.exp(growth)),
        "gradient_factor": per_layer(result.log_gradient[::-1]),
        "predicted_gradient_factor": float(np.exp(np.log(result.predicted_ratio).mean() / 2)),
        "gradient_left_at_first_layer": float(np.exp(curve[0] - curve[-1])),
        "weight_gradient_norm": float(result.gradient_norm.mean()),
        "weight_gradient_norm_clipped": float(clipped(result.gradient_norm, result.settings.clip).mean()),
        "overflow_layer": float(result.overflow_layer),
        "gradient_overflow_layer": float(result.gradient_overflow_layer),
        "signal_exactly_0_from_layer": float(silent[0] + 1) if len(silent) else 0.0,
        "gradient_exactly_0_to_layer": float(vanished[-1] + 1) if len(vanished) else 0.0,
    }


# --- Theory against measurement -----------------------------------------------------------------------


def claims(result: Result) -> list[Claim]:
    """Three claims on depth and two on where to start."""
    return [
        _products(result),
        _sigmoid(result),
        _cures(result),
        _glorot(result),
        _he(result),
    ]


def lab_factors(lab: Lab) -> Array:
    """Log factor of the gradient a layer (R, S), from the last to the first, of each run and network."""
    return (lab.log_gradient[:, 0] - lab.log_gradient[:, -1]) / (LAB_DEPTH - 1)


def _products(result: Result) -> Claim:
    below, above, telescoping = result.lab.chains
    limit = (CHAIN + 1) / (2 * CHAIN)
    return Claim(
        id="2.2-vanish-01",
        statement="A hundred factors of 0.9 leave 2.66e-5, of 1.1 make 13,781: exponential, as they keep "
        r"away from 1. Factors that creep up to 1 need not vanish: $\prod_{k=2}^{100}(1-1/k^2) = 0.505$.",
        predicted=limit,
        measured=float(telescoping),
        **contract.identity(limit),
        text_verdict="conditional",
        often_taught="If every local factor is below 1, their product dies exponentially with depth.",
        also=(
            Check(what="0.9 to the 100th", predicted=2.66e-5, measured=float(below), **contract.rounded(7)),
            Check(what="1.1 to the 100th", predicted=13781, measured=float(above), **contract.rounded(0)),
        ),
        reason="1 − 1/k² = (k−1)(k+1)/k², so nearly everything cancels and (N+1)/2N is left.",
    )


def _sigmoid(result: Result) -> Claim:
    steps = (LAB_DEPTH - 1) * LAB_NETS
    measured = float(np.exp(lab_factors(result.lab)[0].mean()))
    expected = float(np.exp(np.log(lab_law(0)).mean() / 2 - 1 / (2 * LAB_WIDTH)))
    # |W^T g|²/|g|² is χ²_n/n: variance 2/n and mean of the logarithm −1/n; a length takes half of each.
    noise = contract.four_standard_errors(
        measured * 0.5 * np.sqrt(2 / (LAB_WIDTH * steps)), f"factor · ½√(2/({LAB_WIDTH} · {steps}))"
    )
    return Claim(
        id="2.2-vanish-02",
        statement="A sigmoid network with variance 1/n keeps less than a quarter of the gradient a layer "
        f"(geometric mean over {LAB_DEPTH} layers).",
        predicted=0.25,
        measured=measured,
        relation="<",
        **noise,
        also=(
            Check(
                what="largest slope of any of its sigmoids", predicted=0.25, measured=result.lab.steepest,
                relation="<=", **contract.exact(),
            ),
            Check(what="factor a layer from theory", predicted=expected, measured=measured, **noise),
        ),
        reason="σ' = σ(1 − σ) ≤ ¼, and weights of variance 1/n leave the length of a vector as it is.",
    )  # fmt: skip


def _cures(result: Result) -> Claim:
    factors, c = lab_factors(result.lab), result.settings.clip
    mean, sd = factors.mean(axis=1), factors.std(axis=1, ddof=1)
    also = [
        Check(
            what=f"log factor a layer with {CURE_WORDS[run - 1]}, against the start's", relation=">",
            predicted=float(mean[0]), measured=float(mean[run]),
            **contract.separation(sd[0], LAB_NETS, sd[run], LAB_NETS),
        )
        for run in range(1, 5)
    ]  # fmt: skip
    before, after = result.lab.scaled_norms, result.scaled_after
    also.append(
        Check(
            what="the gradient (1e-9, 2e-9) after clipping, over before",
            predicted=1.0, measured=float(np.max(result.tiny_after / [1e-9, 2e-9])), **contract.exact(),
        )
    )  # fmt: skip
    also.append(
        Check(
            what=f"an exploded gradient (weights × {SCALES[-1]:g}) after clipping",
            predicted=c, measured=float(after[-1].max()), **contract.identity(c),
        )
    )  # fmt: skip
    return Claim(
        id="2.2-vanish-03",
        statement="Of the five usual cures, ReLU, He's variance, residual connections and LayerNorm each "
        "raise what a vanishing gradient keeps. Clipping does not: it bounds an exploding gradient and "
        "leaves a small one as it is.",
        predicted=1.0,
        measured=float(np.max(after[0] / before[0])),
        **contract.exact(),
        text_verdict="conditional",
        often_taught="ReLU, good initialisation, residual connections, normalisation and gradient clipping "
        "cure vanishing and exploding gradients.",
        also=tuple(also),
        reason=f"Clipping multiplies by min(1, c/|g|), never by more than 1 (weights × {SCALES[0]:g}: by 1).",
    )


def _glorot(result: Result) -> Claim:
    lecun, glorot = result.lab.glorot
    n_in, n_out = 256, 10
    ratio = 2 * n_in / (n_in + n_out)
    drawn = GLOROT_NETS * n_in * n_out
    ahead_se = ratio * np.sqrt(2 / (GLOROT_NETS * n_out) + 2 / (GLOROT_NETS * n_in))
    back_se = ratio * n_out / n_in * np.sqrt(2 / (GLOROT_NETS * n_out) + 2 / (GLOROT_NETS * n_in))
    return Claim(
        id="2.3-init-01",
        statement="The variance of Glorot (Xavier) is $2/(n_{in}+n_{out})$; $1/n_{in}$ is LeCun's. From 256 "
        "numbers to 10 the first is 1.92 times the second.",
        predicted=ratio,
        measured=float(glorot[0] / lecun[0]),
        **contract.four_standard_errors(ratio * np.sqrt(4 / drawn), f"ratio · √(4/{drawn:,} weights)"),
        text_verdict="wrong",
        often_taught="Xavier initialisation draws weights of variance 1/n_in.",
        also=(
            Check(
                what="ratio of the two rules", predicted=1.92,
                measured=variance("Glorot", n_in, n_out) / variance("LeCun", n_in, n_out),
                **contract.rounded(2),
            ),
            Check(
                what="Glorot's factor forward", predicted=ratio, measured=float(glorot[1]),
                **contract.four_standard_errors(ahead_se, "factor · √(2/640 + 2/16384)"),
            ),
            Check(
                what="Glorot's factor backward", predicted=2 - ratio, measured=float(glorot[2]),
                **contract.four_standard_errors(back_se, "factor · √(2/640 + 2/16384)"),
            ),
        ),
        reason="No variance keeps the size both ways unless the layer is square; Glorot's makes the two "
        "factors add up to 2. In square layers it is LeCun's.",
    )  # fmt: skip


def _he(result: Result) -> Claim:
    lab, checks = result.lab, []
    runs = [
        ("1/n_in (½)", LAB_WIDTH, 0.5, lab.log_signal[1]),
        ("a library's default (1/6)", LAB_WIDTH, 1 / 6, lab.default_log_signal),
    ]
    for name, width, share, logs in runs:
        factor = float(np.exp((logs[-1] - logs[0]).mean() / (LAB_DEPTH - 1)))
        checks.append(_factor_check(name, width, share, factor, (LAB_DEPTH - 1) * LAB_NETS))
    for width, every in lab.width_factors.items():
        logs = every[~np.isnan(every)]
        steps = (LAB_DEPTH - 1) * len(logs)
        checks.append(_factor_check(f"He, width {width}", width, 1.0, float(np.exp(logs.mean())), steps))
    mine = result.settings
    plain = (
        mine.activation == "ReLU" and not (mine.residual or mine.layernorm) and mine.precision == "float32"
    )
    if plain and result.log_signal.min() > np.log(1e-60):  # smaller numbers lose digits in single precision
        share = mine.width * variance(mine.init, mine.width, mine.width) * mine.scale**2 / 2
        measured = result.summary["signal_factor"]
        steps = len(result.predicted_ratio) * mine.nets
        checks.append(_factor_check("your network", mine.width, share, measured, steps))
    main = checks.pop(3)
    return Claim(
        id="2.3-init-02",
        statement="He's variance $2/n_{in}$ keeps the second moment of a ReLU network up to its finite "
        f"width, $e^{{-5/2n}}$ a layer (shown: n = {max(WIDTHS)}); $1/n_{{in}}$ keeps ½, a library's default "
        "1/6.",
        predicted=main.predicted,
        measured=main.measured,
        tolerance=main.tolerance,
        rule=main.rule,
        also=tuple(checks),
        reason="ReLU passes half of a symmetric signal's square, so σ²/2 must be 1. The mean is kept "
        "exactly; a typical network lies below the mean of a skewed product.",
    )


def _factor_check(name: str, width: int, share: float, measured: float, steps: int) -> Check:
    """A ReLU network's factor a layer against share · e^{−5/2n}."""
    predicted = share * finite_width_factor(width)
    error = float(np.sqrt(5 / (width * steps)))
    return Check(
        what=f"second moment kept a layer, {name}",
        predicted=predicted,
        measured=measured,
        tolerance=predicted * (4 * error + 4.08 / width**2),
        rule=f"factor · (4 SE + 4.08/n²), SE = √(5/({width} · {steps})) = {error:.3g}",
    )


# --- Tables -------------------------------------------------------------------------------------------


def tables(result: Result) -> dict[str, pd.DataFrame]:
    """Tidy tables: signal, gradient, each network, sizes, cures, clipping, widths, 256 → 10."""
    layer = np.arange(1, result.settings.depth + 1)
    signal = result.log_signal.mean(axis=-1) / np.log(10)  # (L, S)
    gradient = mean_of_known(result.log_gradient, -1) / np.log(10)
    gradient = gradient - gradient[-1]
    log_ratio = np.append(np.log10(result.predicted_ratio) / 2, 0.0)
    backward_law = np.cumsum(log_ratio[::-1])[::-1]
    depth, nets = signal.shape
    networks = pd.DataFrame(
        {
            "net": np.repeat(np.arange(1, nets + 1), depth),
            "layer": np.tile(layer, nets),
            "log10_signal": _finite(signal.T.ravel()),
            "log10_gradient": _finite(gradient.T.ravel()),
        },
        index=np.tile(layer - 1, nets),
    )
    curves = {view: cure_curves(result, view) for view in VIEWS}
    return {
        "main": _curve(layer, mean_of_known(signal, 1), np.log10(result.predicted_signal)),
        "gradient": _curve(layer, mean_of_known(gradient, 1), backward_law),
        "networks": networks,
        "histogram": _histogram_table(result),
        "cures": _cure_table(curves),
        "cure_factors": _cure_factors(curves),
        "clipping": _clipping_table(result),
        "widths": _width_table(result),
        "from_256_to_10": _glorot_table(result),
    }


def _finite(values: Array) -> Array:
    """The values, with NaN where one is infinite."""
    return np.where(np.isfinite(values), values, np.nan)


def _curve(layer: Array, measured: Array, predicted: Array) -> pd.DataFrame:
    return pd.DataFrame({"layer": layer, "log10_measured": _finite(measured), "log10_predicted": predicted})


def _histogram_table(result: Result) -> pd.DataFrame:
    """Share of a layer's numbers by size, and the share that N(0, q) would put there."""
    depth, q = len(result.histogram), result.predicted_signal
    below = erf(10**result.edges / np.sqrt(2 * q[:, None]))  # (L, BINS + 1)
    return pd.DataFrame(
        {
            "layer": np.repeat(np.arange(1, depth + 1), BINS),
            "bin": np.tile(np.arange(BINS), depth),
            "left": np.tile(result.edges[:-1], depth),
            "right": np.tile(result.edges[1:], depth),
            "share": result.histogram.ravel(),
            "predicted": np.diff(below, axis=1).ravel(),
        }
    )


Curve = tuple[str, Array, Array]  # name, log10 of the gradient's length (L,) and its prediction


def cure_curves(result: Result, view: str) -> list[Curve]:
    """The curves of the start and of each cure."""
    words = CURE_WORDS if view == "alone" else tuple(f"+ {word}" for word in CURE_WORDS)
    curves = []
    for name, run in zip(("sigmoid, 1/n", *words), VIEWS[view], strict=True):
        logs = result.lab.log_gradient[run]
        if "clipping" in name:
            logs = logs + np.log(clip_factor(result.lab.norms[run], result.settings.clip))
        measured = mean_of_known(logs, 1) / np.log(10)
        law = np.log10(lab_law(run)) / 2
        curves.append((name, measured, measured[-1] + np.append(np.cumsum(law[::-1])[::-1], 0)))
    return curves


def _cure_table(curves: dict[str, list[Curve]]) -> pd.DataFrame:
    rows = [(view, order, *curve) for view in VIEWS for order, curve in enumerate(curves[view])]
    view, order, name, measured, predicted = zip(*rows, strict=True)
    layer = np.tile(np.arange(1, LAB_DEPTH + 1), len(rows))
    return _curve(layer, np.concatenate(measured), np.concatenate(predicted)).assign(
        view=np.repeat(view, LAB_DEPTH), cure=np.repeat(name, LAB_DEPTH), order=np.repeat(order, LAB_DEPTH)
    )


def _cure_factors(curves: dict[str, list[Curve]]) -> pd.DataFrame:
    """What each network keeps of the gradient a layer; clipping shortens all layers alike."""
    rows = []
    for view in VIEWS:
        for order, (name, measured, predicted) in enumerate(curves[view]):
            kept = [10 ** ((log10[0] - log10[-1]) / (LAB_DEPTH - 1)) for log10 in (measured, predicted)]
            rows.append([view, order, name, *kept, 10 ** measured[0]])
    columns = ["view", "order", "cure", "measured", "predicted", "gradient_at_layer_1"]
    return pd.DataFrame(rows, columns=columns)


def _clipping_table(result: Result) -> pd.DataFrame:
    before, after = (np.log10(n).mean(axis=1) for n in (result.lab.scaled_norms, result.scaled_after))
    middle = len(SCALES) // 2
    predicted = before[middle] + LAB_DEPTH * np.log10(SCALES)
    return pd.DataFrame(
        {"scale": SCALES, "log10_before": before, "log10_after": after, "log10_predicted": predicted}
    )


def _width_table(result: Result) -> pd.DataFrame:
    he = result.lab.log_signal[5]
    logs = {**result.lab.width_factors, LAB_WIDTH: (he[-1] - he[0]) / (LAB_DEPTH - 1)}
    law = [16, 20, 40, 48, 80, 96, 128, 192, 256, 384, 512]  # where the curve is drawn without a measurement
    rows = [[width, np.nan, np.nan, np.nan, finite_width_factor(width)] for width in law]
    for width, every in logs.items():
        values = every[~np.isnan(every)]
        error = np.sqrt(5 / (width * (LAB_DEPTH - 1) * len(values)))
        kept = np.exp([values.mean(), values.mean() - 2 * error, values.mean() + 2 * error])
        rows.append([width, *kept, finite_width_factor(width)])
    frame = pd.DataFrame(rows, columns=["width", "measured", "low", "high", "predicted"])
    return frame.sort_values("width", ignore_index=True)


def _glorot_table(result: Result) -> pd.DataFrame:
    rules: tuple[Rule, ...] = ("LeCun", "Glorot")
    law = np.array([variance(rule, 256, 10) for rule in rules])
    measured = result.lab.glorot
    return pd.DataFrame(
        {
            "rule": rules, "variance": measured[:, 0], "variance_by_rule": law, "forward": measured[:, 1],
            "forward_predicted": 256 * law, "backward": measured[:, 2], "backward_predicted": 10 * law,
        }
    )  # fmt: skip


# --- Predict, then see --------------------------------------------------------------------------------


def _fate(factor: float, depth: int) -> str:
    total = depth * np.log10(factor)
    return FATES[0] if total < -2 else FATES[2] if total > 2 else FATES[1]


def _useless(result: Result) -> str:
    """The cure that, alone, raises the gradient at layer 1 least."""
    start, *cures = (measured[0] for _, measured, _ in cure_curves(result, "alone"))
    return CURE_WORDS[int(np.argmin(np.array(cures) - start))]


FATES = ("it vanishes", "it stays about the same", "it explodes")
CHALLENGES = (
    Challenge(
        prompt="ReLU with LeCun's variance 1/n, 30 layers. What is log₁₀ of the second moment at the last?",
        options=(),
        settings={"init": "LeCun"},
        answer=lambda result: float(result.log_signal[-1].mean() / np.log(10)),
        why="ReLU lets half of the square through, so 29 layers keep 2⁻²⁹: not quite nine powers of ten.",
        curve=("main", "layer", "log10_measured"),
        at=30,
    ),
    Challenge(
        prompt="A ReLU network with He's variance keeps its signal. You add residual connections. And now?",
        options=FATES,
        settings={"residual": True},
        answer=lambda result: _fate(result.summary["signal_factor"], result.settings.depth),
        why="He's factor 1 comes on top of the 1 that the connection carries: together 2 a layer.",
    ),
    Challenge(
        prompt="The gradient of a deep sigmoid network has vanished. Which cure, on its own, does nothing?",
        options=CURE_WORDS,
        settings={"activation": "sigmoid", "init": "LeCun"},
        answer=_useless,
        why="Clipping shortens what is too long. A gradient that is too short it hands through.",
    ),
)
