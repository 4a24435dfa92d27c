r"""**Which optimiser wins, and on which ground?**

Seven rules turn the same gradient $g$ into a step. You race them through a narrow canyon, turn the canyon,
and race them again on a network that reads digits, each at the rate that suits it best.

A *canyon* is a quadratic with curvatures $1$ and $1/\kappa$ along two directions at a right angle:

$$
L(\theta) = \tfrac12\,(\theta-\theta^*)^\top H\,(\theta-\theta^*).
$$

**The rules.** SGD takes $\theta \leftarrow \theta - \alpha g$. Momentum remembers:

$$
v \leftarrow \beta v + g, \qquad \theta \leftarrow \theta - \alpha v ,
$$

and Nesterov steps along $g + \beta v$ instead. Adam keeps two averages, each weight on its own:

$$
m \leftarrow \beta_1 m + (1-\beta_1)\,g,
$$

$$
v \leftarrow \beta_2 v + (1-\beta_2)\,g^2,
$$

$$
\theta \leftarrow \theta - \alpha\,\frac{\hat m}{\sqrt{\hat v}+\varepsilon},
$$

$$
\hat m = \frac{m}{1-\beta_1^t}, \qquad \hat v = \frac{v}{1-\beta_2^t}.
$$

RMSProp has the $v$ alone, uncorrected. AdamW first shrinks the weights, $\theta \leftarrow (1-\alpha\lambda)
\theta$, instead of adding $\lambda\theta$ to $g$. Adafactor keeps only the row means $r$ and column means $c$
of $g^2$ and takes $\hat v = r c^\top / \bar r$; its steps are relative to the size of the weights.

- $\alpha$: the rate; $\beta = 0.9$: momentum; $\beta_1, \beta_2 = 0.9,\ 0.999$; $\varepsilon = 10^{-8}$
- $\kappa$: the condition number; $\lambda$: the weight decay

**What theory says.** SGD and momentum do not know where your axes are: turn the problem and the path turns
with it. Adam divides each coordinate by its own history. In a canyon along the axes that cancels $\kappa$
altogether, and the path is straight. In a tilted one both coordinates see the same mixture, and there is
nothing left to cancel. The units of the gradient drop out either way.

**What to try.** Turn the canyon to 45° and drag the steps. Then put the rate at 3: at $\kappa$ = 100 that
heals Adam, at 10,000 nothing does. Raise $\kappa$ at 0°: Adam does not notice. Put the rate at 10: SGD leaves
the canyon, Adam only overshoots. Set the decay to 1 and AdamW stops short of the minimum.

**What surprises.** On the digits the leaders' test accuracies differ by less than chance explains. Being off
by ten in the rate costs far more. And old momentum, in Nesterov's form, fits about as fast as Adam.

**The fine print.** "Best" is the best of a grid, ten rates per decade in the canyon and two on the digits,
by the training loss at the end. In the canyon only AdamW decays; on the digits its $\lambda$ is 0.01.

*References.* B. Polyak (1964) for the heavy ball. Y. Nesterov (1983), for his look ahead. T. Tieleman and
G. Hinton (2012) for RMSProp. D. Kingma and J. Ba (2015), Adam. S. Reddi, S. Kale and S. Kumar (2018), On
the convergence of Adam and beyond, for the trap. N. Shazeer and M. Stern (2018), Adafactor. I. Loshchilov
and F. Hutter (2019), Decoupled weight decay regularization. Data: E. Alpaydin and C. Kaynak (1998), digits.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab import contract
from lab.contract import Array, Challenge, Check, Claim, Tick, control, no_tick, seed_control
from lab.data import digits

BETA, BETA_1, BETA_2, RHO, EPSILON = 0.9, 0.9, 0.999, 0.99, 1e-8
START, GOAL_POINT = (2.0, 2.0), (1.0, 1.0)  # along the eigenvectors; the start is √2 from the minimum
RATES = 10.0 ** (np.arange(-30, 11) / 10)  # tried in the canyon
ANGLES = np.arange(0, 91, 7.5)  # degrees, beside your own
SOLVED = 1e-16  # a loss below this, a distance of about 1e-8, counts as this
HUGE = 1e6  # a loss beyond this has diverged; the drawing ends there

KAPPAS = np.array([25.0, 50, 100, 200, 400, 800, 1600])  # for the law of momentum
GOAL = 1e-6  # distance at which a canyon is done
CANYON, CANYON_RATE, CANYON_STEPS = 100.0, 0.05, 4000  # Adam, axis-aligned against turned by 45°
GRADIENT_SCALE = 1e4
TRAP = (3.0, -1.0, -1.0)  # gradients in turn, on [−1, 1]: their mean is positive, so the optimum is −1
TRAP_RATE, TRAP_STEPS = 0.5, 1500

DECAY_SCALES = 10.0 ** (np.arange(-3, 4) / 3)  # sizes of the gradient
DECAY_RATE, DECAY_STEPS, DECAY_PAIRS = 0.01, 1000, 32
FACTOR_SHAPE, FACTOR_DRAWS = (64, 32), 64
LARGE = 4096  # rows and columns of a large matrix

HIDDEN, BATCH, DIGIT_STEPS, DIGIT_ROWS, DIGIT_DECAY = 24, 32, 300, 600, 0.01
SEEN = (10, 25, 50, 100, 150, 200, 250, 300)  # steps after which the training loss is measured
OFF = 10.0 ** np.array([-1, -0.5, 0, 0.5, 1])  # digits: rates tried, in multiples of ``DIGIT_RATES``
DIGIT_RATES = {
    "SGD": 0.5, "momentum": 0.2, "Nesterov": 0.2, "RMSProp": 0.01, "Adam": 0.02, "AdamW": 0.02,
    "Adafactor": 0.1,
}  # fmt: skip

# What the authors of large language models report (each in its own paper or report).
PUBLISHED = (
    ("T5", 2020, "Adafactor"), ("GPT-3", 2020, "Adam"), ("PaLM", 2022, "Adafactor"),
    ("Llama", 2023, "AdamW"), ("GPT-4", 2023, "not disclosed"), ("Gemini", 2023, "not disclosed"),
)  # fmt: skip


class Settings(contract.Settings):
    """What you can turn."""

    kappa: float = control(
        100.0,
        "Condition number κ",
        ge=1,
        le=1e4,
        log=True,
        help="Length of the canyon over its width, squared.",
    )
    rotation: int = control(
        0, "Rotation", ge=0, le=90, step=1, unit="°", help="Angle between the canyon and the axes."
    )
    rate: float = control(
        1.0, "Rate × best", ge=0.1, le=10, log=True,
        help="Every optimiser's rate in the canyon, in multiples of its own best.",
    )  # fmt: skip
    decay: float = control(
        0.01, "Weight decay λ", ge=0, le=1, step=0.01, help="Of AdamW in the canyon, and in the decay chart."
    )
    steps: int = control(200, "Steps", ge=50, le=500, step=10, help="Steps in the canyon.")
    networks: int = control(
        4, "Networks", ge=3, le=6, step=1, help="Digit networks for each optimiser and rate, trained at once."
    )
    seed: int = seed_control()


@dataclass(frozen=True)
class Result:
    """Everything the charts, the claims and the tests need. K = 7 optimisers, T your steps."""

    settings: Settings
    angles: Array  # (A,) degrees: ``ANGLES`` and yours
    here: int  # place of your rotation among them
    settled: Array  # (K, A, 41) mean loss of the last tenth of the steps, at each of RATES; inf if diverged
    best: Array  # (K,) the smallest rate with the lowest at 0°
    path: Array  # (T+1, K, 2) θ − θ* at your rotation and rate
    loss: Array  # (T+1, K)
    diverged: Array  # (K,) step at which the loss passed HUGE; NaN if it did not
    turned: Array  # (2, T+1, K, 2) θ − θ* at 0° and at 45°, turned back; the best rates of 0° for both
    straight: Array  # (T+1, 2) Adam, ε = 0, at 0°: the share of each coordinate's first error
    scaled: Array  # (3, T+1, 2) Adam: gradients × 10⁴; ε ÷ 10⁴ instead; neither
    rebuilt: Array  # (T+1, 2) the last path from weighted averages of all gradients so far
    first_step: Array  # (2, 2) Adam's first step over −α sign g, corrected and not
    first_slope: Array  # (2,) the g it took it from
    adam_steps: Array  # (2,) steps until Adam stays within 1e-3 of the minimum, at 0° and 45°
    needed: NDArray[np.int64]  # (2, 7) steps to GOAL by SGD and heavy ball at their best, at KAPPAS
    valley: Array  # (2, 301) one dimension, α = 0.1/λ: SGD and momentum, from 1
    flat_gain: float  # how much faster momentum is than SGD on a slope that never changes, after T steps
    trap: Array  # (2, steps + 1) Adam and AMSGrad
    left: Array  # (2, 7, pairs) weight left from 1 at DECAY_SCALES: Adam + L2, AdamW; mirrored pairs' means
    coupling: Array  # (2, 2) SGD and momentum, decay in the gradient and outside: a weight after 50 steps
    factor_error: Array  # (64,) relative error of Adafactor's rcᵀ on random matrices
    rank_one_error: float  # the same on matrices of rank one
    state: dict[str, int]  # numbers kept for the digit network
    large_state: int  # numbers Adafactor keeps for a LARGE × LARGE matrix
    digit_rates: Array  # (K, 5)
    digit_loss: Array  # (8, K, 5, networks) training loss at SEEN
    digit_accuracy: Array  # (K, 5, networks) on the digits left out
    factored: Array  # (5,) relative error of rcᵀ on the first layer's averaged g², along a run
    published: tuple[tuple[str, int, str], ...]
    summary: dict[str, float]


# --- The optimisers -----------------------------------------------------------------------------------
#
# A parameter has any number of batch axes and two of its own: a matrix, or a vector as a single row.
# ``memory`` is what is kept of it, ``t`` counts from 1, ``rate`` broadcasts, ``decay`` is λ.

Memory = dict[str, Any]
Rule = Callable[..., Any]


def new_memory(rule: str, shape: tuple[int, ...], kind: Any = float) -> Memory:
    """The state of an optimiser for a parameter of this shape, at zero."""
    zeros = {"m": shape, "v": shape, "r": (*shape[:-1], 1), "c": (*shape[:-2], 1, shape[-1])}
    kept = {"SGD": "", "momentum": "m", "Nesterov": "m", "RMSProp": "v", "Adam": "mv", "AdamW": "mv"}
    names = kept.get(rule, "rc" if shape[-2] > 1 else "v")
    return {name: np.zeros(zeros[name], kind) for name in names}


def sgd(theta: Any, g: Any, memory: Memory, t: int, rate: Any, decay: float = 0.0) -> Any:
    """θ − αg, with λθ added to g."""
    return theta - rate * (g + decay * theta)


def momentum(
    theta: Any, g: Any, memory: Memory, t: int, rate: Any, decay: float = 0.0, beta: Any = BETA
) -> Any:
    """Heavy ball: v ← βv + g, then θ − αv (Polyak, 1964)."""
    memory["m"] = beta * memory["m"] + (g + decay * theta)
    return theta - rate * memory["m"]


def nesterov(theta: Any, g: Any, memory: Memory, t: int, rate: Any, decay: float = 0.0) -> Any:
    """v ← βv + g, then θ − α(g + βv): the gradient is taken where momentum will have led."""
    g = g + decay * theta
    memory["m"] = BETA * memory["m"] + g
    return theta - rate * (g + BETA * memory["m"])


def rmsprop(theta: Any, g: Any, memory: Memory, t: int, rate: Any, decay: float = 0.0) -> Any:
    """v ← ρv + (1 − ρ)g², then θ − αg/(√v + ε)."""
    g = g + decay * theta
    memory["v"] = RHO * memory["v"] + (1 - RHO) * g * g
    return theta - rate * g / (np.sqrt(memory["v"]) + EPSILON)


def adam(
    theta: Any, g: Any, memory: Memory, t: int, rate: Any, decay: float = 0.0, epsilon: float = EPSILON,
    corrected: bool = True,
) -> Any:  # fmt: skip
    """Moving averages m of g and v of g², both corrected for their start at 0; θ − α m̂/(√v̂ + ε)."""
    g = g + decay * theta if decay else g
    memory["m"] = BETA_1 * memory["m"] + (1 - BETA_1) * g
    memory["v"] = BETA_2 * memory["v"] + (1 - BETA_2) * g * g
    share_m, share_v = (1 - BETA_1**t, 1 - BETA_2**t) if corrected else (1.0, 1.0)
    return theta - rate * (memory["m"] / share_m) / (np.sqrt(memory["v"] / share_v) + epsilon)


def adamw(theta: Any, g: Any, memory: Memory, t: int, rate: Any, decay: float = 0.0) -> Any:
    """Adam on θ(1 − αλ): the decay stays outside of the averages (Loshchilov and Hutter, 2019)."""
    return adam(theta * (1 - rate * decay), g, memory, t, rate)


def root_mean_square(x: Any) -> Any:
    """√mean x² of each parameter, over its own two axes."""
    return np.sqrt(np.mean(x * x, axis=(-2, -1), keepdims=True))


def second_moment(memory: Memory) -> Any:
    """Adafactor's v̂: kept whole for a vector, else r cᵀ / mean r."""
    if "v" in memory:
        return memory["v"]
    mean = np.mean(memory["r"], axis=-2, keepdims=True)
    return memory["r"] * memory["c"] / np.maximum(mean, np.finfo(mean.dtype).eps)


def adafactor(theta: Any, g: Any, memory: Memory, t: int, rate: Any, decay: float = 0.0) -> Any:
    """g/√v̂, clipped to RMS 1, times min(α, 1/√t) and the RMS of θ (Shazeer and Stern, 2018)."""
    squares, newest = g * g, t**-0.8
    for name, seen in (
        ("v", squares),
        ("r", squares.mean(-1, keepdims=True)),
        ("c", squares.mean(-2, keepdims=True)),
    ):
        if name in memory:
            memory[name] = memory[name] + newest * (seen - memory[name])
    tiny = np.finfo(squares.dtype).eps ** 2
    update = g / np.sqrt(np.maximum(second_moment(memory), tiny))
    size = np.minimum(rate, t**-0.5) * np.maximum(1e-3, root_mean_square(theta))
    return theta * (1 - rate * decay) - size * update / np.maximum(1, root_mean_square(update))


RULES: dict[str, Rule] = {
    "SGD": sgd, "momentum": momentum, "Nesterov": nesterov, "RMSProp": rmsprop, "Adam": adam, "AdamW": adamw,
    "Adafactor": adafactor,
}  # fmt: skip
NAMES = tuple(RULES)
ADAM = NAMES.index("Adam")


def step_all(theta: Any, g: Any, memories: list[Memory], t: int, rate: Any, decay: float) -> Any:
    """One step of all seven on the first axis of ``theta`` (K, ...); only AdamW decays."""
    return np.stack([
        rule(theta[k], g[k], memories[k], t, rate[k], decay if name == "AdamW" else 0.0)
        for k, (name, rule) in enumerate(RULES.items())
    ])  # fmt: skip


# --- The canyon ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Canyon:
    """Quadratics with curvatures 1 and 1/κ, turned by some angles (A,)."""

    straight: Array  # (A, 1, 1, 2) diagonal of H
    cross: Array  # (A, 1, 1, 1) H₁₂
    start: Array  # (A, 1, 1, 2) θ₀
    minimum: Array  # (A, 1, 1, 2) θ*


def canyon(kappa: float, degrees: Any) -> Canyon:
    """The canyon at each angle; start and minimum are turned with it."""
    turn = np.radians(np.asarray(degrees, dtype=float))
    c, s = np.cos(turn), np.sin(turn)
    frame = np.stack(
        [np.stack([c, s], -1), np.stack([-s, c], -1)], axis=-2
    )  # (A, 2, 2), eigenvectors as rows
    straight = np.stack([c**2 + s**2 / kappa, s**2 + c**2 / kappa], -1)
    shape = (len(turn), 1, 1, 2)
    return Canyon(
        straight.reshape(shape), (c * s * (1 - 1 / kappa)).reshape(*shape[:3], 1),
        (START @ frame).reshape(shape), (GOAL_POINT @ frame).reshape(shape),
    )  # fmt: skip


def slope(place: Canyon, error: Any) -> Any:
    """H(θ − θ*), for errors (..., A, R, 1, 2)."""
    return place.straight * error + place.cross * error[..., ::-1]


def race(place: Canyon, rates: Array, steps: int, decay: float) -> Iterator[tuple[Array, Array]]:
    """All seven from the start: errors θ − θ* and gradients (K, A, R, 1, 2), at first and after each step.

    ``rates`` (K, A or 1, R).
    """
    shape = np.broadcast_shapes(rates.shape, (len(RULES), len(place.start), 1))
    theta = np.broadcast_to(place.start, (*shape, 1, 2))
    memories = [new_memory(name, theta.shape[1:]) for name in NAMES]
    rate = np.broadcast_to(rates, shape)[..., None, None]
    for t in range(1, steps + 2):
        error = theta - place.minimum
        g = slope(place, error)
        yield error, g
        theta = step_all(theta, g, memories, t, rate, decay)


def sweep(settings: Settings, angles: Array, tick: Callable[[float], None]) -> Array:
    """The mean loss of the last tenth of the steps (K, A, 41), for every angle and every rate at once."""
    steps, total = settings.steps, 0.0
    for t, (error, g) in enumerate(
        race(canyon(settings.kappa, angles), RATES[None, None], steps, settings.decay)
    ):
        if t > steps - steps // 10:
            total = total + 0.5 * np.sum(error * g, axis=(-2, -1))
        if t % 50 == 0:
            tick(t / steps)
    mean = np.asarray(total) / (steps // 10)
    return np.where(np.isfinite(mean), np.maximum(mean, SOLVED), np.inf)


def one_race(kappa: float, degrees: float, rates: Array, steps: int, decay: float) -> tuple[Array, Array]:
    """Errors (T+1, K, 2) and losses (T+1, K) at one angle, each optimiser at its own rate (K,)."""
    seen = list(race(canyon(kappa, [degrees]), rates[:, None, None], steps, decay))
    errors, slopes = (np.array(part)[:, :, 0, 0, 0] for part in zip(*seen, strict=True))
    return errors, 0.5 * np.sum(errors * slopes, axis=-1)


def sgd_loss(kappa: float, rate: float, t: Any) -> Array:
    """½ Σ λ e² (1 − αλ)^{2t}: what plain gradient descent has left after t steps, at any angle."""
    first = np.subtract(START, GOAL_POINT)
    return np.sum(
        [
            0.5 * lam * e**2 * (1 - rate * lam) ** (2 * np.asarray(t))
            for lam, e in zip((1, 1 / kappa), first, strict=True)
        ],
        axis=0,
    )


def sgd_leaves(kappa: float, rate: float, steps: int) -> float:
    """The first step at which that loss passes HUGE, NaN if none of so many does."""
    with np.errstate(over="ignore"):
        beyond = sgd_loss(kappa, rate, np.arange(steps + 1)) > HUGE
    return float(beyond.argmax()) if beyond.any() else math.nan


def adam_path(
    gradient: Callable[[Array], Array], start: Array, rate: float, steps: int, **options: Any
) -> Array:
    """Adam alone from ``start`` (T+1, and the shape of the start)."""
    point, memory = start, new_memory("Adam", start.shape)
    seen = [point]
    for t in range(1, steps + 1):
        point = adam(point, gradient(point), memory, t, rate, **options)
        seen.append(point)
    return np.array(seen)


def averaged_path(gradients: Array, start: Array, rate: float) -> Array:
    """Adam's path from its gradients (T, n) without a recursion: m̂ and v̂ are weighted means of all so far."""
    points, count = [start], len(gradients)
    moments = []
    for beta, values in ((BETA_1, gradients), (BETA_2, gradients**2)):
        age = np.subtract.outer(np.arange(count), np.arange(count))  # (T, T) how long ago
        weight = np.where(age >= 0, beta ** np.maximum(age, 0.0), 0.0)
        moments.append(weight @ values / weight.sum(axis=1, keepdims=True))
    for mean, square in zip(*moments, strict=True):
        points.append(points[-1] - rate * mean / (np.sqrt(square) + EPSILON))
    return np.array(points)


@cache
def canyon_steps() -> Array:
    """Steps until Adam is within 1e-3 of the minimum for good, at 0° and at 45° (2,)."""
    place = canyon(CANYON, [0, 45])
    path = adam_path(lambda p: slope(place, p - place.minimum), place.start, CANYON_RATE, CANYON_STEPS)
    outside = np.linalg.norm(path - place.minimum, axis=-1).reshape(-1, 2) >= 1e-3  # (T+1, 2)
    last = CANYON_STEPS - np.argmax(outside[::-1], axis=0)
    return np.where(last < CANYON_STEPS, last + 1.0, np.inf)


@dataclass(frozen=True)
class Alone:
    """Adam on its own; fields as in ``Result``."""

    straight: Array
    scaled: Array
    rebuilt: Array
    first_step: Array
    first_slope: Array


def adam_alone(kappa: float, rate: float, steps: int) -> Alone:
    """Adam at 0° with ε = 0, and at 30° with its gradients scaled, rebuilt and uncorrected."""
    along, tilted = canyon(kappa, [0]), canyon(kappa, [30])

    def walk(place: Canyon, scale: float, steps: int = steps, **options: Any) -> Array:
        path = adam_path(
            lambda p: scale * slope(place, p - place.minimum), place.start, rate, steps, **options
        )
        return path.reshape(-1, 2)

    straight = walk(along, 1.0, epsilon=0.0) - GOAL_POINT
    plain = walk(tilted, 1.0)
    gradients = slope(tilted, plain[:-1, None, None] - tilted.minimum).reshape(-1, 2)
    scaled = walk(tilted, GRADIENT_SCALE), walk(tilted, 1.0, epsilon=EPSILON / GRADIENT_SCALE), plain
    first = [walk(tilted, 1.0, 1, corrected=on)[1] - plain[0] for on in (True, False)]
    unit = -rate * np.sign(gradients[0])
    return Alone(
        straight / straight[0], np.array(scaled), averaged_path(gradients, plain[0], rate),
        np.array(first) / unit, gradients[0],
    )  # fmt: skip


# --- What momentum buys -------------------------------------------------------------------------------


def best_constants(kappa: Any) -> tuple[Any, Any, Any]:
    """SGD's best rate, and the best rate and β of the heavy ball, for curvatures 1 and 1/κ (Polyak, 1964)."""
    root = np.sqrt(kappa)
    return 2 * kappa / (kappa + 1), 4 * kappa / (root + 1) ** 2, ((root - 1) / (root + 1)) ** 2


@cache
def steps_needed() -> NDArray[np.int64]:
    """Steps from (1, 1) to a distance of GOAL (2, 7), by SGD and by heavy ball at their best constants."""
    plain, rate, beta = best_constants(KAPPAS)
    curvature = np.stack([np.ones_like(KAPPAS), 1 / KAPPAS])  # (2, 7)
    found = []
    for alpha, b in ((plain, 0.0), (rate, beta)):
        error, memory, far = (
            np.ones_like(curvature),
            {"m": np.zeros_like(curvature)},
            np.zeros(len(KAPPAS), dtype=np.int64),
        )
        outside = np.ones(len(KAPPAS), dtype=bool)
        while outside.any():
            error = momentum(error, curvature * error, memory, 0, alpha, beta=b)
            far += outside
            outside &= np.square(error).sum(axis=0) >= GOAL**2
        found.append(far)
    return np.array(found)


def predicted_steps() -> NDArray[np.int64]:
    """The same (2, 7) from closed forms: |1 − αλ|ᵗ, and (1 + Bt)(±√β)ᵗ, for its roots are double."""
    plain = np.ceil(np.log(math.sqrt(2) / GOAL) / np.log((KAPPAS + 1) / (KAPPAS - 1)))
    _, rate, beta = best_constants(KAPPAS)
    root, t = np.sqrt(beta), np.arange(2000)[:, None]
    steep, flat = ((1 - rate * lam) / r - 1 for lam, r in ((1, -root), (1 / KAPPAS, root)))  # B, from e₁
    distance = root**t * np.sqrt((1 + steep * t) ** 2 + (1 + flat * t) ** 2)
    return np.stack([plain, np.argmax(distance < GOAL, axis=0)]).astype(np.int64)


def valley_walk(beta: float, steps: int = 300) -> Array:
    """Heavy ball from 1 on ½e², curvature 1, α = 0.1 (steps + 1,)."""
    seen, memory = [np.ones(1)], {"m": np.zeros(1)}
    for t in range(1, steps + 1):
        seen.append(momentum(seen[-1], seen[-1], memory, t, 0.1, beta=beta))
    return np.array(seen)[:, 0]


def flat_gain(steps: int) -> float:
    """The last of so many momentum steps on a slope of 1, over the step of SGD."""
    point, memory, before = np.zeros(1), {"m": np.zeros(1)}, np.zeros(1)
    for t in range(1, steps + 1):
        before, point = point, momentum(point, np.ones(1), memory, t, 1.0)
    return float((before - point)[0])


def swing(t: Any, pull: float, beta: float) -> Array:
    """Closed form of e_{t+1} = (1 + β − αλ)e_t − βe_{t−1} from rest at 1, roots complex: a damped swing."""
    root = complex((1 + beta - pull) / 2, math.sqrt(beta - ((1 + beta - pull) / 2) ** 2))
    first = ((1 - pull) - root.conjugate()) / (root - root.conjugate())
    return 2 * np.real(first * root ** np.asarray(t))


def fitted_slope(x: Array, y: Array, deviation: float) -> tuple[float, float]:
    """Least-squares slope, and how much deviations of y up to ``deviation`` can change it."""
    centred = x - x.mean()
    return float(centred @ y / (centred @ centred)), float(
        deviation * np.abs(centred).sum() / (centred @ centred)
    )


# --- Where Adam goes wrong, and what decay does -------------------------------------------------------


@cache
def trap() -> Array:
    """Adam with β₁ = 0, β₂ = 0.1 and AMSGrad on gradients 3, −1, −1 over [−1, 1], α/√t (2, steps + 1)."""
    x, v, highest = np.zeros(2), 0.0, 0.0
    seen = [x]
    for t in range(1, TRAP_STEPS + 1):
        g = TRAP[(t - 1) % 3]
        v = 0.1 * v + 0.9 * g * g
        highest = max(highest, v)
        x = np.clip(x - TRAP_RATE / math.sqrt(t) * g / np.sqrt([v, highest]), -1, 1)
        seen.append(x)
    return np.array(seen).T


@lru_cache(maxsize=32)
def decayed(seed: int, decay: float) -> Array:
    """What noise of seven sizes and decay leave of a weight of 1 (2, 7, pairs): Adam + L2, AdamW.

    Each noise is used together with its mirror image and the two weights are averaged: what the noise adds
    to one it takes from the other.
    """
    rng = np.random.default_rng([seed, 2])
    noise = rng.standard_normal((DECAY_STEPS, DECAY_PAIRS))
    size = DECAY_SCALES[:, None, None] * np.array([1.0, -1.0])[:, None]  # (7, 2, 1)
    left = []
    for rule in (adam, adamw):
        weight = np.ones((len(DECAY_SCALES), 2, DECAY_PAIRS))
        memory = new_memory("Adam", weight.shape)
        for t, kick in enumerate(noise, start=1):
            weight = rule(weight, size * kick, memory, t, DECAY_RATE, decay)
        left.append(weight.mean(axis=1))
    return np.array(left)


def l2_left(decay: float) -> Array:
    """First-order prediction for Adam + L2 (7,): a step of αλw/√(s² + λ²w²), as v̂ is about s² + λ²w²."""
    weight = np.ones(len(DECAY_SCALES))
    for _ in range(DECAY_STEPS):
        weight = weight - DECAY_RATE * decay * weight / np.hypot(DECAY_SCALES, decay * weight)
    return weight


def coupled_or_not(decay: float) -> Array:
    """A weight on ½(w − 1)² from 2 after 50 steps of 0.05: decay in the gradient, and outside (2, 2)."""
    table = []
    for rule, name in ((sgd, "SGD"), (momentum, "momentum")):
        inside, outside = np.full((1, 1), 2.0), np.full((1, 1), 2.0)
        first, second = new_memory(name, (1, 1)), new_memory(name, (1, 1))
        for t in range(1, 51):
            inside = rule(inside, inside - 1, first, t, 0.05, decay)
            outside = rule(outside, outside - 1, second, t, 0.05) - 0.05 * decay * outside
        table.append([inside.item(), outside.item()])
    return np.array(table)


def factored_error(squares: Any) -> Any:
    """|V − r cᵀ / mean r| / |V| of matrices V (..., rows, columns)."""
    rebuilt = second_moment({"r": squares.mean(-1, keepdims=True), "c": squares.mean(-2, keepdims=True)})
    return np.linalg.norm(squares - rebuilt, axis=(-2, -1)) / np.linalg.norm(squares, axis=(-2, -1))


def state_size(rule: str, shapes: Sequence[tuple[int, ...]]) -> int:
    """How many numbers an optimiser keeps for parameters of these shapes."""
    return sum(array.size for shape in shapes for array in new_memory(rule, shape).values())


# --- Digits -------------------------------------------------------------------------------------------

LAYERS = ((64, HIDDEN), (1, HIDDEN), (HIDDEN, 10), (1, 10))  # weights and biases of two layers


def predict(layers: Sequence[Any], x: Any) -> tuple[Any, Any]:
    """Hidden units and class probabilities (..., rows, 10) of softmax(tanh(xW₁ + b₁)W₂ + b₂)."""
    hidden = np.tanh(x @ layers[0] + layers[1])
    scores = hidden @ layers[2] + layers[3]
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return hidden, powers / powers.sum(axis=-1, keepdims=True)


def network_gradient(layers: Sequence[Any], x: Any, target: Any) -> list[Any]:
    """Gradients of the mean cross-entropy, back through the softmax, W₂, tanh and W₁."""
    hidden, probability = predict(layers, x)
    slip = (probability - target) / x.shape[-2]
    back = (slip @ layers[2].swapaxes(-1, -2)) * (1 - hidden * hidden)
    return [
        x.swapaxes(-1, -2) @ back, back.sum(axis=-2, keepdims=True),
        hidden.swapaxes(-1, -2) @ slip, slip.sum(axis=-2, keepdims=True),
    ]  # fmt: skip


def cross_entropy(layers: Sequence[Any], x: Any, target: Any) -> Any:
    """Mean −ln p of the true class; a network that has diverged to no number counts as infinite."""
    chosen = np.sum(predict(layers, x)[1] * target, axis=-1)
    loss = -np.log(np.maximum(chosen, 1e-30)).mean(axis=-1)
    return np.where(np.isnan(loss), np.inf, loss)


@dataclass(frozen=True)
class DigitRace:
    """What is kept of the race on digits; fields as in ``Result``."""

    rates: Array
    loss: Array
    accuracy: Array
    factored: Array


_finished: dict[tuple[int, int], DigitRace] = {}


def race_on_digits(seed: int, networks: int, tick: Callable[[float], None]) -> DigitRace:
    """Train all optimisers at all rates from all first weights at once: 7 · 5 · networks.

    Networks of one place in the row share rows, batches and first weights, so optimisers are compared in
    pairs. In float32.
    """
    pixels, label = digits()
    x, target = (pixels / 16).astype(np.float32), np.eye(10, dtype=np.float32)[label.astype(int)]
    rng = np.random.default_rng([seed, 7])
    order = np.stack([rng.permutation(len(x)) for _ in range(networks)])
    train, test = order[:, :DIGIT_ROWS], order[:, DIGIT_ROWS:]
    batches = np.take_along_axis(
        train[None], rng.integers(DIGIT_ROWS, size=(DIGIT_STEPS, networks, BATCH)), axis=2
    )
    stack = (len(RULES), len(OFF), networks)
    first = [rng.standard_normal((networks, *s)) / math.sqrt(s[0]) * (s[0] > 1) for s in LAYERS]
    layers = [np.broadcast_to(w, (*stack, *w.shape[1:])).astype(np.float32) for w in first]
    memories = [[new_memory(name, w.shape[1:], np.float32) for name in NAMES] for w in layers]
    rates = np.array([DIGIT_RATES[name] * OFF for name in NAMES])
    rate, losses, factored = rates.astype(np.float32)[..., None, None, None], [], []
    for t, rows in enumerate(batches, start=1):
        slopes = network_gradient(layers, x[rows], target[rows])
        layers = [
            step_all(w, g, kept, t, rate, DIGIT_DECAY)
            for w, g, kept in zip(layers, slopes, memories, strict=True)
        ]
        if t in SEEN:
            losses.append(cross_entropy(layers, x[train], target[train]))
        if t % (DIGIT_STEPS // 5) == 0:  # Adam's v of the first layer, at the middle rate
            factored.append(float(np.mean(factored_error(memories[0][ADAM]["v"][2]))))
        if t % 10 == 0:
            tick(t / DIGIT_STEPS)
    guess = predict(layers, x[test])[1].argmax(axis=-1)
    accuracy = np.mean(guess == label[test], axis=-1)
    return DigitRace(rates, np.array(losses, dtype=float), accuracy, np.array(factored))


# --- The run ------------------------------------------------------------------------------------------


def quick(settings: Settings) -> bool:
    """Whether the networks are trained already, so that only the canyon is left."""
    return (settings.seed, settings.networks) in _finished


def run(settings: Settings, tick: Tick = no_tick) -> Result:
    """Race through the canyon at every angle and rate, then the small laboratories, then on digits."""
    with np.errstate(over="ignore", invalid="ignore"):
        return _run(settings, tick)


def _run(settings: Settings, tick: Tick) -> Result:
    kappa, T = settings.kappa, settings.steps
    known = quick(settings)
    share = 0.8 if known else 0.15  # of the work that is not digits
    angles = np.unique(np.append(ANGLES, settings.rotation))
    here = int(np.searchsorted(angles, settings.rotation))
    settled = sweep(settings, angles, lambda done: tick(0.6 * share * done))
    best = RATES[settled[:, 0].argmin(axis=-1)]
    path, loss = one_race(kappa, settings.rotation, settings.rate * best, T, settings.decay)
    tick(0.7 * share)
    beyond = ~(loss <= HUGE)
    diverged = np.where(beyond.any(axis=0), beyond.argmax(axis=0), np.nan)
    turned = np.stack([one_race(kappa, angle, best, T, settings.decay)[0] for angle in (0, 45)])
    turned[1] = turned[1] @ np.array([[1, -1], [1, 1]]) / math.sqrt(2)  # back along the eigenvectors
    tick(0.8 * share)

    alone = adam_alone(kappa, float(best[ADAM]), T)
    tick(0.85 * share)
    needed, steps_of_adam, fallen = steps_needed(), canyon_steps(), trap()
    valley = np.array([valley_walk(beta) for beta in (0.0, BETA)])
    left = decayed(settings.seed, settings.decay)
    rng = np.random.default_rng([settings.seed, 3])
    rows, columns = FACTOR_SHAPE
    vectors = rng.random((FACTOR_DRAWS, rows, 1)), rng.random((FACTOR_DRAWS, 1, columns))
    rank_one = factored_error(vectors[0] * vectors[1]).max()
    factor_error = factored_error(rng.random((FACTOR_DRAWS, rows, columns)))
    tick(share)

    key = (settings.seed, settings.networks)
    raced = _finished.get(key)
    if raced is None:
        raced = race_on_digits(*key, lambda done: tick(share + 0.99 * (1 - share) * done))
        if len(_finished) >= 32:
            _finished.pop(next(iter(_finished)), None)
        _finished[key] = raced
    result = Result(
        settings, angles, here, settled, best, path, loss, diverged, turned, alone.straight,
        alone.scaled, alone.rebuilt, alone.first_step, alone.first_slope, steps_of_adam, needed, valley,
        flat_gain(T), fallen, left, coupled_or_not(settings.decay), factor_error, float(rank_one),
        {name: state_size(name, LAYERS) for name in NAMES}, state_size("Adafactor", [(LARGE, LARGE)]),
        raced.rates, raced.loss, raced.accuracy, raced.factored, PUBLISHED, {},
    )  # fmt: skip
    result.summary.update(_summary(result))
    tick(1.0)
    return result


def _best_on_digits(result: Result) -> tuple[NDArray[np.int64], Array, Array]:
    """The rate of the lowest mean training loss (K,); loss and accuracy there (K, networks)."""
    chosen = result.digit_loss[-1].mean(axis=-1).argmin(axis=-1)
    row = np.arange(len(NAMES))
    return chosen, result.digit_loss[-1][row, chosen], result.digit_accuracy[row, chosen]


def accuracy_error(result: Result, p: float) -> float:
    """Standard error of the difference of two accuracies near p, over the digits left out of all networks.

    √(2 p(1 − p)/n): as if the two erred independently, which networks of one place in the row do not.
    """
    rows = (len(digits()[1]) - DIGIT_ROWS) * result.settings.networks
    return math.sqrt(2 * p * (1 - p) / rows)


def _summary(result: Result) -> dict[str, float]:
    _, loss, accuracy = _best_on_digits(result)
    chosen = result.settings
    return {
        **{f"best_rate_{name}": float(rate) for name, rate in zip(NAMES, result.best, strict=True)},
        "sgd_diverged_at": float(result.diverged[0]),
        "sgd_predicted_to_diverge_at": sgd_leaves(chosen.kappa, chosen.rate * result.best[0], chosen.steps),
        "adam_steps_along": float(result.adam_steps[0]),
        "adam_steps_tilted": float(result.adam_steps[1]),
        **{f"digits_loss_{name}": float(value) for name, value in zip(NAMES, loss.mean(axis=1), strict=True)},
        "digits_best_accuracy": float(accuracy.mean(axis=1).max()),
        "digits_lowest_accuracy": float(accuracy.mean(axis=1).min()),
    }


# --- Theory against measurement -----------------------------------------------------------------------


def claims(result: Result) -> list[Claim]:
    """Two claims on momentum, four on Adam, two on decay, one each on Adafactor and on the default."""
    return [
        _momentum_law(result), _momentum_limits(result), _adam_formula(result), _adam_scale(result),
        _adam_axes(result), _adam_trap(result), _decay(result), _published(result), _factored(result),
        _default(result),
    ]  # fmt: skip


def _momentum_law(result: Result) -> Claim:
    x, steps = np.log(KAPPAS), result.needed
    # SGD: ln((κ+1)/(κ−1)) is 2/κ but for a share 1/3κ². Heavy ball: with t = √κ L/2 and L = ln((1 + 2t)/GOAL)
    # the slope is ½ L/(L − 1). Steps are whole, which moves each by at most one.
    plain, band = fitted_slope(
        x, np.log(steps[0]), 1 / predicted_steps()[0].min() + 1 / (3 * KAPPAS.min() ** 2)
    )
    heavy, rounding = fitted_slope(x, np.log(steps[1]), 1 / predicted_steps()[1].min())
    growth = 2 * predicted_steps()[1] / np.sqrt(KAPPAS)  # L
    local = 0.5 * growth / (growth - 1)
    at = int(np.flatnonzero(KAPPAS == 100)[0])
    return Claim(
        id="2.6-mom-01",
        statement=rf"With the best constants the steps to a distance of $10^{{-6}}$ grow as $\kappa$ for SGD "
        rf"and as $\sqrt\kappa$ for the heavy ball, $\kappa$ = {KAPPAS[0]:g} to {KAPPAS[-1]:g} "
        "(shown: the power of SGD).",
        predicted=1.0, measured=plain, tolerance=band,
        rule=f"whole steps and the neglected 1/3κ², as far as they bend the slope: {band:.2g}",
        reason="A factor (κ − 1)/(κ + 1) a step against (√κ − 1)/(√κ + 1).",
        also=(
            Check(what="power of the heavy ball: ½ and its logarithm, ½ L/(L − 1), L = ln((1 + 2t)/10⁻⁶)",
                  predicted=float(local[len(local) // 2]), measured=heavy,
                  tolerance=float(np.ptp(local)) + rounding,
                  rule=f"spread of the local slope + whole steps: {np.ptp(local) + rounding:.2g}"),
            Check(what="steps of SGD at κ = 100", predicted=float(predicted_steps()[0, at]),
                  measured=float(steps[0, at]), **contract.exact()),
            Check(what="steps of the heavy ball at κ = 100", predicted=float(predicted_steps()[1, at]),
                  measured=float(steps[1, at]), **contract.exact()),
        ),
    )  # fmt: skip


def steps_inside(walk: Array) -> float:
    """Steps until |e| is below GOAL for good."""
    return float(np.flatnonzero(np.abs(walk) >= GOAL)[-1] + 1)


def _momentum_limits(result: Result) -> Claim:
    t = np.arange(result.valley.shape[1])
    theory = swing(t, 0.1, BETA)
    T = result.settings.steps
    return Claim(
        id="2.6-mom-02",
        statement=r"Momentum speeds up *flat* directions, by $1/(1-\beta)$ = 10. In a single direction at "
        r"$\alpha = 0.1/\lambda$ it adds the oscillation it is said to remove: it swings through the minimum "
        "to the other side (shown) and takes longer than SGD.",
        text_verdict="conditional",
        often_taught="Momentum dampens oscillation in steep directions; adaptive rates help in flat ones.",
        predicted=float(theory.min()), measured=float(result.valley[1].min()), **contract.identity(),
        reason="Where the slope keeps its sign, steps add up; where it changes, the sum arrives late.",
        also=(
            Check(what=f"step {T} on a slope that never changes, over SGD's: (1 − βᵗ)/(1 − β)",
                  predicted=(1 - BETA**T) / (1 - BETA), measured=result.flat_gain, **contract.identity(10.0)),
            Check(what="steps of SGD to a millionth, for good",
                  predicted=float(math.ceil(math.log(GOAL) / math.log(0.9))),
                  measured=steps_inside(result.valley[0]), **contract.exact()),
            Check(what="steps of momentum", predicted=steps_inside(theory),
                  measured=steps_inside(result.valley[1]), **contract.exact()),
        ),
    )  # fmt: skip


def _adam_formula(result: Result) -> Claim:
    size, worst = np.abs(result.first_slope), int(np.abs(result.first_step[0] - 1).argmax())
    without = (1 - BETA_1) * size / (math.sqrt(1 - BETA_2) * size + EPSILON)
    gap = float(np.abs(result.rebuilt - result.scaled[2]).max())
    return Claim(
        id="2.6-adam-01",
        statement=r"The corrected moments are weighted means of all gradients so far, so Adam's first step "
        r"is $-\alpha\,\mathrm{sign}(g)$, whatever the gradient (shown: its length over $\alpha$).",
        predicted=float(size[worst] / (size[worst] + EPSILON)), measured=float(result.first_step[0, worst]),
        **contract.identity(),
        reason="(1 − β) Σ βᵗ⁻ⁱ gᵢ has weights that add up to 1 − βᵗ, which the correction divides by.",
        also=(
            Check(what="without the correction: (1 − β₁)/√(1 − β₂) = 3.16 times that",
                  predicted=float(without[0]), measured=float(result.first_step[1, 0]),
                  **contract.identity()),
            Check(what="largest gap between the path and one built from those weighted means",
                  predicted=0.0, measured=gap, **contract.identity()),
        ),
    )  # fmt: skip


def _adam_scale(result: Result) -> Claim:
    gap = float(np.abs(result.scaled[0] - result.scaled[1]).max())
    only = float(np.abs(result.scaled[0] - result.scaled[2]).max())
    return Claim(
        id="2.6-adam-02",
        statement=rf"Adam does not notice the units of the loss: with all gradients $\times 10^4$ it "
        rf"walks the path of $\varepsilon/10^4$ (shown: the gap; from that of $\varepsilon$: {only:.1g}).",
        predicted=0.0, measured=gap, **contract.identity(),
        reason="m̂ and √v̂ both carry the unit; only ε does not.",
        also=(
            Check(what="shortest first step at 10⁴ times the gradient, over α", relation=">=",
                  predicted=1 / (1 + EPSILON / float(np.abs(result.first_slope).min())),
                  measured=float(np.abs(result.scaled[0, 1] - result.scaled[0, 0]).min() / result.best[ADAM]),
                  **contract.identity()),
        ),
    )  # fmt: skip


def _adam_axes(result: Result) -> Claim:
    gap = np.abs(result.turned[1] - result.turned[0]).max(axis=(0, 2))  # (K,)
    linear = float(gap[:3].max())
    return Claim(
        id="2.6-adam-03",
        statement=rf"Adam is straight where the canyon runs along the axes, and only there. Turned by 45°, "
        rf"$\kappa$ = {CANYON:g}, it takes more steps to come within 0.001 for good than along the axes.",
        text_verdict="conditional",
        often_taught="Adam takes a direct path to the minimum.",
        predicted=float(result.adam_steps[0]), measured=float(result.adam_steps[1]), relation=">",
        **contract.exact(),
        reason="Dividing each coordinate by its own history cancels its curvature if each has its own.",
        also=(
            Check(what="along the axes, ε = 0: largest gap between the two coordinates' shares, whatever κ",
                  predicted=0.0, measured=float(np.abs(np.diff(result.straight, axis=1)).max()),
                  **contract.identity()),
            Check(what="SGD, momentum, Nesterov: largest gap once the turned path is turned back",
                  predicted=0.0, measured=linear, **contract.identity()),
            Check(what="Adam: that gap", relation=">", predicted=0.0, measured=float(gap[ADAM]),
                  **contract.identity()),
        ),
    )  # fmt: skip


def trap_end() -> float:
    """Where AMSGrad stands after TRAP_STEPS, a multiple of three: two steps of gradient −1 off −1.

    Its v̂ is the largest v, just after the gradient 3; v at the end of a round solves
    v = 0.1³ v + 0.9 (0.01·9 + 0.1 + 1).
    """
    largest = 0.1 * 0.9 * (0.01 * 9 + 0.1 + 1) / (1 - 0.001) + 0.9 * 9
    return -1 + TRAP_RATE * (TRAP_STEPS**-0.5 + (TRAP_STEPS - 1) ** -0.5) / math.sqrt(largest)


def _adam_trap(result: Result) -> Claim:
    rounds = result.trap[0, ::3]
    late = rounds[len(rounds) // 2 :]
    return Claim(
        id="2.6-adam-04",
        statement=r"Adam can run to the worst point and stay. With gradients 3, −1, −1 in turn on $[-1, 1]$ "
        r"and $\beta_2$ = 0.1 it ends every round at +1; the optimum is −1. AMSGrad finds it.",
        text_verdict="conditional",
        often_taught="Adam is robust and works well on most problems.",
        predicted=1.0, measured=float(late.min()), **contract.exact(),
        reason="The one large gradient is divided by the large √v̂ it makes itself, the two small ones are "
        "not. AMSGrad never lets v̂ fall.",
        also=(
            Check(what="where AMSGrad ends: two small steps off −1", predicted=trap_end(),
                  measured=float(result.trap[1, -1]), **contract.identity()),
        ),
    )  # fmt: skip


def _decay(result: Result) -> Claim:
    lam = result.settings.decay
    kept = (1 - DECAY_RATE * lam) ** DECAY_STEPS
    mean, sd = result.left.mean(axis=-1), result.left.std(axis=-1, ddof=1)
    worst = int(np.abs(mean[1] - kept).argmax())
    pairs = result.left.shape[-1]
    inside, outside = result.coupling.T
    return Claim(
        id="2.6-wd-01",
        statement=rf"L2 in Adam's gradient is not weight decay. AdamW leaves "
        rf"$(1-\alpha\lambda)^{{{DECAY_STEPS}}}$ of a weight at any size of the gradient (shown: where "
        "it differs most); Adam + L2 decays it the less, the larger the gradients are.",
        predicted=kept, measured=float(mean[1, worst]), **contract.identity(),
        unmet="" if lam else "λ = 0: nothing decays, by either rule",
        reason="In the gradient λθ is divided by √v̂ like all the rest. Weights are averaged over a noise and "
        "its mirror image, which cancel.",
        also=(
            Check(what=f"Adam + L2: weight left at gradient size {DECAY_SCALES[-1]:g} over that at "
                  f"{DECAY_SCALES[0]:g}", relation=">", predicted=float(mean[0, 0]),
                  measured=float(mean[0, -1]),
                  **contract.separation(sd[0, 0], pairs, sd[0, -1], pairs)),
            Check(what=f"Adam + L2 against AdamW at gradient size {DECAY_SCALES[-1]:g}", relation=">",
                  predicted=kept, measured=float(mean[0, -1]),
                  **contract.four_standard_errors(float(sd[0, -1]) / math.sqrt(pairs), "sd/√pairs")),
            Check(what="plain SGD: both ways are one", predicted=float(outside[0]), measured=float(inside[0]),
                  **contract.identity()),
            Check(what="with momentum they are two: how far apart after 50 steps", relation=">",
                  predicted=0.0, measured=float(abs(inside[1] - outside[1])), **contract.identity()),
        ),
    )  # fmt: skip


def _published(result: Result) -> Claim:
    told = [rule for _, _, rule in result.published]
    other = [name for name, _, rule in result.published if rule == "Adafactor"]
    return Claim(
        id="2.6-wd-02",
        statement=f"Not every large language model uses AdamW: {' and '.join(other) or 'none'} report "
        "Adafactor, and some reports do not say (shown: counterexamples, of which one is enough).",
        text_verdict="wrong",
        often_taught="AdamW is the optimiser of every major large language model.",
        predicted=1.0, measured=float(len(other)), relation=">=", **contract.exact(),
        reason="Counted in the table of reports below the charts (PaLM used Adafactor without its factors). "
        "What is not disclosed supports nobody.",
        also=(
            Check(what="reports that do not disclose the optimiser", relation=">=", predicted=1.0,
                  measured=float(told.count("not disclosed")), **contract.exact()),
        ),
    )  # fmt: skip


def _factored(result: Result) -> Claim:
    rows, columns = FACTOR_SHAPE
    # Uniform g² has variance 1/12 and mean square 1/3; a sum of rows and columns explains all but this share.
    off = math.sqrt((1 / 12) * (rows - 1) * (columns - 1) / (rows * columns) / (1 / 3))
    error = float(result.factor_error.std(ddof=1)) / math.sqrt(FACTOR_DRAWS)
    formula = sum(r + c if r > 1 else c for r, c in LAYERS)
    return Claim(
        id="2.6-ada-01",
        statement=f"Adafactor does keep state: rows + columns numbers for a matrix, {2 * LARGE:,} instead of "
        f"{LARGE**2:,} for {LARGE:,}², and all of them for a vector (shown: for the digit network).",
        text_verdict="wrong",
        often_taught="Adafactor keeps no state per parameter.",
        predicted=float(formula), measured=float(result.state["Adafactor"]), **contract.exact(),
        reason="Row and column means of g² are kept; their outer product stands in for the table.",
        also=(
            Check(what=f"numbers kept for a {LARGE:,}² matrix", predicted=2.0 * LARGE,
                  measured=float(result.large_state), **contract.exact()),
            Check(what="error of the outer product where g² has rank one", predicted=0.0,
                  measured=result.rank_one_error, **contract.identity()),
            Check(what=f"its relative error on random g², {rows}×{columns}, uniform in 0 to 1", predicted=off,
                  measured=float(result.factor_error.mean()), tolerance=4 * error + off / (rows * columns),
                  rule=f"4 SE + next order 1/(r · c): 4 · {error:.2g} + {off / rows / columns:.2g}"),
        ),
    )  # fmt: skip


def _default(result: Result) -> Claim:
    _, loss, accuracy = _best_on_digits(result)
    share, mean = accuracy.mean(axis=1), loss.mean(axis=1)
    others = [k for k in range(len(NAMES)) if k != ADAM]
    rival, fastest = max(others, key=lambda k: share[k]), min(others, key=lambda k: mean[k])
    error, k = accuracy_error(result, float(share[ADAM])), result.settings.networks
    spread = loss.std(axis=1, ddof=1)
    by_rate = result.digit_accuracy[ADAM].mean(axis=-1)
    rule = contract.four_standard_errors(error, "√(2p(1 − p)/digits seen)")
    return Claim(
        id="2.6-opt-01",
        statement=f"Adam is a fair default, not a better one. On the digits, each at its best rate, its test "
        f"accuracy is not separably above that of {NAMES[rival]} (shown: its lead).",
        text_verdict="conditional",
        often_taught="Adam is the default optimiser for most problems.",
        predicted=0.0, measured=float(share[ADAM] - share[rival]), relation="<=", **rule,
        reason="A lead, if any, is below four standard errors. *Not separable* is a result, and not a tie.",
        also=(
            Check(what=f"its training loss is not separably lowest: {NAMES[fastest]}'s less Adam's",
                  relation="<=", predicted=0.0, measured=float(mean[fastest] - mean[ADAM]),
                  **contract.separation(float(spread[fastest]), k, float(spread[ADAM]), k)),
            Check(what="what the rate can cost Adam: best less worst accuracy of the five rates",
                  relation=">", predicted=0.0, measured=float(np.ptp(by_rate)), **rule),
        ),
    )  # fmt: skip


# --- What the charts draw -----------------------------------------------------------------------------


def tables(result: Result) -> dict[str, pd.DataFrame]:
    """Tidy tables, one per chart."""
    turned = _rotation_table(result)
    adam_only = turned[turned.optimiser == "Adam"].drop(columns="optimiser").reset_index(drop=True)
    tenth = np.arange(result.settings.steps + 1)[-(result.settings.steps // 10) :]
    left = sgd_loss(result.settings.kappa, float(result.best[0]), tenth).mean()
    trapped = pd.DataFrame(
        {"step": np.arange(TRAP_STEPS + 1), "Adam": result.trap[0], "AMSGrad": result.trap[1]}
    )
    mean, scales = result.left.mean(axis=-1), len(DECAY_SCALES)
    kept = (1 - DECAY_RATE * result.settings.decay) ** DECAY_STEPS
    return {
        "main": adam_only.assign(log10_sgd_predicted=float(_log10(left))),
        "rotations": turned,
        "rates": _rate_table(result),
        "paths": _path_table(result),
        "contours": _contour_table(result),
        "sgd_theory": _theory_table(result),
        "momentum": pd.DataFrame({
            "method": np.repeat(["SGD", "heavy ball"], len(KAPPAS)), "kappa": np.tile(KAPPAS, 2),
            "measured": result.needed.ravel(), "predicted": predicted_steps().ravel(),
        }),
        "trap": trapped[trapped.step <= 150].melt("step", var_name="optimiser", value_name="x"),
        "decay": pd.DataFrame({
            "rule": np.repeat(["Adam + L2", "AdamW"], scales),
            "gradient_size": np.tile(DECAY_SCALES, 2), "measured": mean.ravel(),
            "predicted": np.append(l2_left(result.settings.decay), np.full(scales, kept)),
        }),
        "state": pd.DataFrame({
            "optimiser": NAMES, "numbers_kept": list(result.state.values()),
            "per_weight": np.array(list(result.state.values())) / sum(a * b for a, b in LAYERS),
        }),
        **_digit_tables(result),
        "reports": pd.DataFrame(result.published, columns=["model", "year", "optimiser"]),
    }  # fmt: skip


def _log10(loss: Any) -> Any:
    return np.log10(np.maximum(loss, SOLVED))


def _rotation_table(result: Result) -> pd.DataFrame:
    """Loss at the best rate of 0°, and with the rate tuned again for each angle."""
    kept = np.abs(np.log(RATES / result.best[:, None])).argmin(axis=1)
    held = np.take_along_axis(result.settled, kept[:, None, None], axis=2)[..., 0]  # (K, A)
    return pd.DataFrame({
        "optimiser": np.repeat(NAMES, len(result.angles)), "rotation": np.tile(result.angles, len(NAMES)),
        "log10_loss": _log10(held).ravel(), "log10_retuned": _log10(result.settled.min(axis=-1)).ravel(),
    })  # fmt: skip


def _rate_table(result: Result) -> pd.DataFrame:
    rows = []
    for where, at in (("along the axes", 0), ("your angle", result.here)):
        rows.append(pd.DataFrame({
            "angle": where, "optimiser": np.repeat(NAMES, len(RATES)),
            "log10_rate": np.tile(np.log10(RATES), len(NAMES)),
            "log10_loss": _log10(result.settled[:, at]).ravel(),
        }))  # fmt: skip
    table = pd.concat(rows, ignore_index=True)
    return table[table.log10_loss < 1].reset_index(drop=True)


def _path_table(result: Result) -> pd.DataFrame:
    """The paths up to where they leave the canyon for good or diverge: a browser cannot draw 1e150."""
    steps, count = len(result.path), len(NAMES)
    table = pd.DataFrame({
        "optimiser": np.tile(NAMES, steps), "step": np.repeat(np.arange(steps), count),
        "x": result.path[..., 0].ravel(), "y": result.path[..., 1].ravel(),
        "log10_loss": _log10(result.loss).ravel(),
    })  # fmt: skip
    lost = np.maximum.accumulate(~(result.loss <= HUGE), axis=0).ravel()
    return table[~lost].reset_index(drop=True)


def _contour_table(result: Result) -> pd.DataFrame:
    kappa, turn = result.settings.kappa, math.radians(result.settings.rotation)
    around = np.linspace(0, 2 * np.pi, 241)
    frames = []
    for level in (2.0, 0.5, 0.1, 0.01, 0.001):
        across, along = math.sqrt(2 * level) * np.cos(around), math.sqrt(2 * level * kappa) * np.sin(around)
        frames.append(pd.DataFrame({
            "loss": level, "point": np.arange(241), "x": math.cos(turn) * across - math.sin(turn) * along,
            "y": math.sin(turn) * across + math.cos(turn) * along,
        }))  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def _theory_table(result: Result) -> pd.DataFrame:
    steps = np.arange(len(result.loss))
    with np.errstate(over="ignore"):
        loss = sgd_loss(result.settings.kappa, result.settings.rate * float(result.best[0]), steps)
    return pd.DataFrame({"step": steps, "log10_loss": _log10(loss)})[loss <= HUGE]


def _digit_tables(result: Result) -> dict[str, pd.DataFrame]:
    chosen, loss, accuracy = _best_on_digits(result)
    networks, row = result.settings.networks, np.arange(len(NAMES))
    curves = result.digit_loss[:, row, chosen].mean(axis=-1)  # (8, K)
    by_rate = pd.DataFrame({
        "optimiser": np.repeat(NAMES, len(OFF)), "rate": result.digit_rates.ravel(),
        "log10_rate": np.log10(result.digit_rates.ravel()),
        "loss": result.digit_loss[-1].mean(axis=-1).ravel(),
        "accuracy": result.digit_accuracy.mean(axis=-1).ravel(),
    })  # fmt: skip
    error = accuracy_error(result, float(accuracy.mean())) / math.sqrt(2)
    scores = pd.DataFrame({
        "optimiser": np.repeat(NAMES, networks), "network": np.tile(np.arange(1, networks + 1), len(NAMES)),
        "rate": np.repeat(result.digit_rates[row, chosen], networks), "loss": loss.ravel(),
        "accuracy": accuracy.ravel(),
    })  # fmt: skip
    means = scores.groupby("optimiser", sort=False, as_index=False)[["loss", "accuracy"]].mean()
    spread = loss.std(axis=1, ddof=1) / math.sqrt(networks)
    ahead = means.accuracy.max() - means.accuracy
    means = means.assign(
        loss_se=spread, low=means.accuracy - error, high=means.accuracy + error,
        separable=ahead > 4 * math.sqrt(2) * error,
    )  # fmt: skip
    return {
        "digit_curves": pd.DataFrame({
            "optimiser": np.tile(NAMES, len(SEEN)), "step": np.repeat(SEEN, len(NAMES)),
            "loss": curves.ravel(),
            "log10_loss": np.log10(np.maximum(curves.ravel(), 1e-6)),
        }),
        "digit_rates": by_rate, "digit_scores": scores, "digit_means": means,
    }  # fmt: skip


# --- Predict, then see --------------------------------------------------------------------------------


def _who_turns_along(result: Result) -> str:
    gap = np.abs(result.turned[1] - result.turned[0]).max(axis=(0, 2))
    return min(("momentum", "RMSProp", "Adam"), key=lambda name: gap[NAMES.index(name)])


def _who_is_ahead(result: Result) -> str:
    share = _best_on_digits(result)[2].mean(axis=1)
    second, first = np.sort(share)[-2:]
    if first - second <= 4 * accuracy_error(result, float(first)):
        return "Nobody's"
    return "Adam's" if share.argmax() == ADAM else "Another's"


CHALLENGES = (
    Challenge(
        prompt="The canyon turns by 45°, start and minimum with it, and everyone keeps the rate. Whose path "
        "is the old one, turned?",
        options=("momentum", "RMSProp", "Adam"),
        settings={"rotation": 45},
        answer=_who_turns_along,
        why="Momentum adds gradients up, and a turned sum is the sum of what was turned. The others "
        "divide each coordinate by its own history, and coordinates are not turned.",
    ),
    Challenge(
        prompt="At κ = 1,000 Adam gets the rate that suits it best along the axes. Then the canyon is turned "
        "by 45°. Which power of ten is its loss at the end of 200 steps (−3 for a thousandth)?",
        options=(),
        settings={"kappa": 1000},
        answer=lambda result: float(
            np.interp(45, *tables(result)["main"][["rotation", "log10_loss"]].to_numpy().T)
        ),
        curve=("main", "rotation", "log10_loss"),
        at=45,
        why="Along the axes each coordinate divides its own curvature away. At 45° both see the same "
        "mixture, mostly of the steep one, and the flat direction waits.",
    ),
    Challenge(
        prompt="Seven optimisers train the same networks on digits, each at its best rate. Whose test "
        "accuracy is ahead of all others by more than four standard errors?",
        options=("Adam's", "Another's", "Nobody's"),
        settings={},
        answer=_who_is_ahead,
        why="The leaders differ by less than chance explains. That does not make them equal; it means that "
        "these digits cannot tell.",
    ),
)
