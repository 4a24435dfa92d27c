r"""**What is a positive test worth?**

A test that is right 99 times in 100 finds an illness that one person in 100 has. You are about to meet
10,000 people who took it, and to see how many of those it calls ill really are.

A probability gives every event a share between 0 and 1, gives 1 to the set of all outcomes, and adds over
events that exclude each other. Everything else follows, among it the two rules used here:

$$
P(A \cup B) = P(A) + P(B) - P(A \cap B)
$$

$$
P(A \mid B) = \frac{P(A \cap B)}{P(B)}
$$

Write the second rule both ways round, and it becomes Bayes' rule for a positive test $+$:

$$
P(\text{ill} \mid +) = \frac{s\,\pi}{s\,\pi + f\,(1 - \pi)}
$$

$$
\frac{P(\text{ill} \mid +)}{P(\text{healthy} \mid +)} = \frac{\pi}{1 - \pi} \cdot \frac{s}{f}
$$

- $\pi$: the **prevalence** or base rate, the share of people who are ill
- $s = P(+ \mid \text{ill})$: the **sensitivity**; $1 - f = P(- \mid \text{healthy})$: the **specificity**
- $P(\text{ill} \mid +)$: the **positive predictive value**, PPV; not $s$, which is conditioned the other way
- $s/f$: the **likelihood ratio**; each further positive multiplies the odds by it once more, *if* the tests
  err independently given the state
- $\varrho$: the chance that a repeat copies the result before it instead of looking afresh. It then
  multiplies the odds by $\frac{\varrho + (1-\varrho)s}{\varrho + (1-\varrho)f}$ only

**What to try.** Raise the prevalence until a positive means 90 %; one in twelve will do. Ask for a second
positive, then let the repeats copy each other: at $\varrho$ = 0.5 the step from 50 % to 99 % shrinks to one
from 50 % to 66 %. Set sensitivity and specificity to 0.5: the test is a coin, and no number of positives
moves you. Then read a real tumour off its texture alone, and move the alarm.

**What surprises.** A good test of a rare illness is mostly wrong when it is positive, and nothing is the
matter with the test. It also takes an accurate *specificity* to say how wrong: three false alarms among 357
healthy leave the PPV at one ill in 1,000 anywhere between 3 % and 43 %.

*References.* T. Bayes (1763), An essay towards solving a problem in the doctrine of chances. A. N. Kolmogorov
(1933), Grundbegriffe der Wahrscheinlichkeitsrechnung, for the axioms. D. M. Eddy (1982), Probabilistic
reasoning in clinical medicine. G. Gigerenzer and U. Hoffrage (1995), How to improve Bayesian reasoning
without instruction: frequency formats, for the field of people. C. Clopper and E. Pearson (1934) for the
limits of a share. Data: W. H. Wolberg, W. N. Street and O. L. Mangasarian (1995), Breast Cancer Wisconsin
(Diagnostic).
"""

from copy import deepcopy
from dataclasses import dataclass
from functools import cache, lru_cache
from math import nan, sqrt
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import bdtr, betaincinv, expit

from lab import contract
from lab.contract import Array, Challenge, Check, Claim, Tick, Tolerance, control, no_tick, seed_control
from lab.data import breast_cancer, digits
from lab.memory import fixed, remembered

MOST_TESTS = 4
SHOWN_PEOPLE = 10_000
BLOCK = 100_000  # people simulated between two ticks
ASKED_PPV = 0.9
FALSE_ALARM = 6.3e-5  # that of four standard errors
REPEATS = ("independent", "copying")
PREVALENCES = np.append(np.arange(-80, -6) / 20, np.log10(0.5))  # log₁₀ π of the curves; -2 is on the grid
SWEPT = np.append(np.arange(-16, -1) / 4, np.log10(0.5))  # log₁₀ π of the further populations
SCREENED = (0.01, 0.001)  # prevalences at which the real test is tried, beside the two others
FOLDS = 5
READINGS = {"all 30": range(30), "worst perimeter": [22], "mean texture": [1]}
KNOWN_REAL = (0.962, 0.992, 0.986, 0.536, 0.103)  # sensitivity, specificity, PPV at 37, 1 and 0.1 %


class Settings(contract.Settings):
    """What you can turn."""

    prevalence: float = control(
        0.01, "Prevalence π", ge=1e-4, le=0.5, log=True,
        help="The base rate: the share of people who are ill, before anyone is tested.",
    )  # fmt: skip
    sensitivity: float = control(
        0.99, "Sensitivity s", ge=0.5, le=1, step=0.001, help="How many of the ill test positive."
    )
    specificity: float = control(
        0.99, "Specificity 1 − f", ge=0.5, le=1, step=0.001, help="How many of the healthy test negative."
    )
    tests: int = control(
        1, "Positives in a row", ge=1, le=MOST_TESTS, step=1, help="How many tests in a row were positive."
    )
    copying: float = control(
        0.5, "Copying repeats ϱ", ge=0, le=1, step=0.05,
        help="Chance that a repeat copies the result before it. Every chart of repeats shows 0 as well.",
    )  # fmt: skip
    population: int = control(
        100_000, "Population", ge=1000, le=1_000_000, log=True, unit="people",
        help="More people, less noise in what is counted.",
    )  # fmt: skip
    reading: Literal["all 30", "worst perimeter", "mean texture"] = control(
        "all 30", "Tumour measurements", help="What the real test of a tumour looks at."
    )
    alarm: float = control(
        0.5, "Alarm from", ge=0.01, le=0.99, step=0.01,
        help="The real test is positive from this fitted probability of a malignant tumour on.",
    )  # fmt: skip
    seed: int = seed_control()


@dataclass(frozen=True)
class Result:
    """Everything the charts, the claims and the tests need."""

    settings: Settings
    digit_share: Array  # (10,) share of each digit among the scans
    even: Array  # (1797,) 1 where the digit is even
    low: Array  # (1797,) 1 where it is below five
    joint: float  # share of scans that are even and below five, counted
    union: float  # share that are even or below five, counted
    at_least: Array  # (2, 2, 5) people by REPEATS, healthy or ill, and at least k positives in a row
    people: Array  # (2, m) the first people, by REPEATS: positives in a row, and 5 more for the ill
    swept: Array  # (2, 16) further populations at SWEPT: positives in all tests, and the ill among them
    updated: Array  # (5,) P(ill) after 0 to 4 positives, each posterior taken as the next prior
    found: float  # prevalence at which the PPV is ASKED_PPV, by bisection
    malignant: Array  # (569,) 1 where the tumour is
    score: Array  # (569,) fitted log-odds of a malignant tumour, by a fit without the patient's fold
    real_prevalence: Array  # (4,) as in the data, SCREENED, as set
    reweighted: Array  # (4,) PPV in the data, each class weighted to that prevalence
    drawn: Array  # (2, 4) patients drawn at that prevalence: alarms, and the malignant among them
    summary: dict[str, float]


# --- The mathematics ----------------------------------------------------------------------------------


def positive_share(prior: Array | float, hit: float, false_alarm: float) -> Array | float:
    """Total probability of a positive, $P(+) = sπ + f(1 - π)$."""
    return hit * prior + false_alarm * (1 - prior)


def posterior(prior: Array | float, hit: float, false_alarm: float) -> Array | float:
    """Bayes' rule for a positive: $P(ill | +) = sπ / P(+)$, for priors of any shape."""
    return hit * prior / positive_share(prior, hit, false_alarm)


def in_a_row(rate: float, k: int, copying: float) -> float:
    """Chance that k tests are all positive where each is with chance ``rate``: $r(ϱ + (1 - ϱ)r)^{k-1}$.

    A repeat copies the result before it with chance ϱ, so results form a Markov chain with correlation ϱ.
    """
    return rate * (copying + (1 - copying) * rate) ** (k - 1) if k else 1.0


def after(prior: Array | float, settings: Settings, k: int, copying: float = 0.0) -> Array | float:
    """P(ill) after k positives in a row, the k tests taken as one."""
    hit = in_a_row(settings.sensitivity, k, copying)
    return posterior(prior, hit, in_a_row(1 - settings.specificity, k, copying))


def prevalence_for(ppv: float, hit: float, false_alarm: float) -> float:
    """Bayes' rule solved for the prior: $π = Pf / (Pf + (1 - P)s)$ gives a PPV of P."""
    return ppv * false_alarm / (ppv * false_alarm + (1 - ppv) * hit)


def bisect_prevalence(ppv: float, hit: float, false_alarm: float) -> float:
    """The same prior by halving: the PPV rises with the prevalence, so 60 halvings pin it down."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if posterior(middle, hit, false_alarm) >= ppv else (middle, high)
    return high


def update_in_turn(prior: float, hit: float, false_alarm: float) -> Array:
    """P(ill) after 0 to 4 positives (5,), each posterior being the prior of the next test."""
    belief = [prior]
    for _ in range(MOST_TESTS):
        belief.append(float(posterior(belief[-1], hit, false_alarm)))
    return np.array(belief)


def limits(successes: int, trials: int, confidence: float) -> tuple[float, float]:
    """Exact limits of a share (Clopper and Pearson, 1934)."""
    tail, failures = (1 - confidence) / 2, trials - successes
    low = betaincinv(successes, failures + 1, tail) if successes else 0.0
    high = betaincinv(successes + 1, failures, 1 - tail) if failures else 1.0
    return float(low), float(high)


@lru_cache(maxsize=256)
def binomial_band(n: float, p: float) -> tuple[float, float]:
    """Ends of the middle 1 - FALSE_ALARM of a share of n that each count with chance p, exactly."""
    reach = 6 * sqrt(n * p * (1 - p)) + 20
    k = np.arange(max(0, int(n * p - reach)), min(int(n), int(n * p + reach)) + 1)
    below = bdtr(k, int(n), min(max(p, 0.0), 1.0))  # rounding can leave [0, 1]
    ends = np.searchsorted(below, [FALSE_ALARM / 2, 1 - FALSE_ALARM / 2])
    low, high = k[np.minimum(ends, len(k) - 1)] / n
    return float(low), float(high)


def counted(n: float, p: float) -> Tolerance:
    """The tolerance for a share counted among n: right where positives are few, as 4 SE would not be."""
    low, high = binomial_band(n, p)
    rule = f"binomial quantiles for n = {n:,.0f}, wrong once in 16,000 (as 4 SE)"
    return {"tolerance": max(p - low, high - p), "rule": rule}


# --- The simulated population -------------------------------------------------------------------------


def take_tests(rng: np.random.Generator, n: int, settings: Settings) -> Array:
    """Positives in a row of n people (2, n) by REPEATS: 0 to 4, and 5 more for the ill.

    Both kinds of repeat share the fresh results; the copying ones now and then keep the one before.
    """
    ill = rng.random(n) < settings.prevalence
    rate = np.where(ill, settings.sensitivity, 1 - settings.specificity)
    fresh = rng.random((MOST_TESTS, n)) < rate
    copies = rng.random((MOST_TESTS - 1, n)) < settings.copying
    chain = fresh.copy()
    for test in range(1, MOST_TESTS):
        np.copyto(chain[test], chain[test - 1], where=copies[test - 1])
    return np.stack([streak(fresh), streak(chain)]) + 5 * ill


def streak(results: NDArray[np.bool_]) -> NDArray[np.int8]:
    """Positives in a row (n,), from the first of the results (tests, n) to the first that is negative."""
    going, length = np.ones(results.shape[1], dtype=bool), np.zeros(results.shape[1], dtype=np.int8)
    for positive in results:
        going &= positive
        length += going
    return length


def count_at_least(codes: Array) -> Array:
    """People (2, 2, 5) by REPEATS, healthy or ill, and at least k positives in a row."""
    exactly = np.stack([np.bincount(row, minlength=10).reshape(2, 5) for row in codes])
    return exactly[..., ::-1].cumsum(axis=-1)[..., ::-1]


def sweep(rng: np.random.Generator, settings: Settings) -> Array:
    """A further population at each of SWEPT (2, 16): positive in all tests, and the ill among them."""
    ill = rng.binomial(settings.population, 10**SWEPT)
    true = rng.binomial(ill, in_a_row(settings.sensitivity, settings.tests, 0))
    false_alarm = in_a_row(1 - settings.specificity, settings.tests, 0)
    return np.stack([true + rng.binomial(settings.population - ill, false_alarm), true]).astype(float)


# --- The real test ------------------------------------------------------------------------------------


def logistic_weights(features: Array, target: Array) -> Array:
    """Weights (d+1,), the last for the intercept, by Newton's method.

    Minimises $½|w|² + Σ log(1 + e^{-y z})$; the ½ keeps weights finite and leaves the intercept alone.
    """
    design = np.column_stack([features, np.ones(len(features))])
    ridge = np.append(np.ones(features.shape[1]), 0.0)
    weights = np.zeros(design.shape[1])
    for _ in range(25):
        p = expit(design @ weights)
        gradient = design.T @ (p - target) + ridge * weights
        curvature = (design.T * (p * (1 - p))) @ design + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        weights -= step
        if np.abs(step).max() < 1e-10:
            break
    return weights


def folds_of(target: Array) -> Array:
    """Fold 0-4 of each patient (n,): each class is cut into five stretches of nearly equal length."""
    order = np.argsort(target != target[0], kind="stable")  # the class of the first patient first
    slots, fold = np.arange(len(target)) % FOLDS, np.empty(len(target), dtype=int)
    for kind in (0, 1):
        fold[target == kind] = np.sort(slots[target[order] == kind])
    return fold


@cache
def fitted_score(reading: str) -> tuple[Array, Array]:
    """Malignant or not (569,), and its log-odds by a fit that has not seen the patient's fold."""
    features, benign = breast_cancer()
    features, target = features[:, list(READINGS[reading])], 1.0 - benign
    score, fold = np.empty(len(target)), folds_of(target)
    for held_out in range(FOLDS):
        seen, unseen = features[fold != held_out], features[fold == held_out]
        mean, deviation = seen.mean(axis=0), seen.std(axis=0)
        weights = logistic_weights((seen - mean) / deviation, target[fold != held_out])
        score[fold == held_out] = (unseen - mean) / deviation @ weights[:-1] + weights[-1]
    return fixed((target, score))


def alarms_of(score: Array, threshold: float) -> Array:
    """1 where the fitted probability reaches the threshold (569,), else 0."""
    return (expit(score) >= threshold).astype(float)


def quality(malignant: Array, alarm: Array) -> tuple[float, float]:
    """Sensitivity and specificity, counted."""
    return float(alarm[malignant == 1].mean()), float(1 - alarm[malignant == 0].mean())


def reweighted_ppv(malignant: Array, alarm: Array, prevalence: float) -> float:
    """Share of the weight of the alarms that is malignant, each class weighing what it should."""
    share = malignant.mean()
    weight = np.where(malignant == 1, prevalence / share, (1 - prevalence) / (1 - share))
    return float(weight[(alarm == 1) & (malignant == 1)].sum() / weight[alarm == 1].sum())


def draw_patients(
    rng: np.random.Generator, malignant: Array, alarm: Array, prevalence: float, n: int
) -> Array:
    """Alarms, and the malignant among them (2,), of n patients drawn with replacement at that prevalence."""
    ill = rng.binomial(n, prevalence)
    true = alarm[malignant == 1][rng.integers(int(malignant.sum()), size=ill)].sum()
    false = alarm[malignant == 0][rng.integers(int((1 - malignant).sum()), size=n - ill)].sum()
    return np.array([true + false, true], dtype=float)


def real_limits(malignant: Array, alarm: Array, prevalence: Array) -> tuple[Array, Array]:
    """Ends of the PPV, at any prevalences, over 95 % joint limits of sensitivity and specificity.

    Each has 97.5 % limits of its own, and the PPV rises with both, so the corners are the ends.
    """
    ill, healthy = int(malignant.sum()), int((1 - malignant).sum())
    hit = limits(int(alarm[malignant == 1].sum()), ill, 0.975)
    quiet = limits(int((1 - alarm)[malignant == 0].sum()), healthy, 0.975)
    low, high = (posterior(prevalence, hit[end], 1 - quiet[end]) for end in (0, 1))
    return np.asarray(low), np.asarray(high)


# --- The run ------------------------------------------------------------------------------------------


class Tested(NamedTuple):
    """A population that was tested; the first two fields are those of ``Result``."""

    at_least: Array
    people: Array
    rng: np.random.Generator  # as these tests left it, to copy


def examine(settings: Settings, tick: Tick) -> Tested:
    """Test a population, block by block, and count."""
    rng = np.random.default_rng(settings.seed)
    at_least, shown = np.zeros((2, 2, 5)), np.zeros((2, 0), dtype=int)
    for start in range(0, settings.population, BLOCK):
        codes = take_tests(rng, min(BLOCK, settings.population - start), settings)
        at_least += count_at_least(codes)
        shown = codes[:, :SHOWN_PEOPLE].copy() if start == 0 else shown
        tick(0.6 * min(1.0, (start + BLOCK) / settings.population))
    return fixed(Tested(at_least, shown, rng))


# Populations tested before: how many positives are asked for, and the real test, have no part in them.
# 160 kB each.
_tested: dict[Settings, Tested] = {}


@cache
def _digit_events() -> tuple[Array, Array, Array, float, float]:
    """The digits of the axioms, as ``Result`` lists them: no setting has a part in them."""
    label = digits()[1]
    even, low = label % 2 == 0, label < 5
    arrays = (np.bincount(label.astype(int)) / len(label), even.astype(float), low.astype(float))
    return *fixed(arrays), float(np.mean(even & low)), float(np.mean(even | low))


def run(settings: Settings, tick: Tick = no_tick) -> Result:
    """Test a population, count; then screen with a test that a classifier of tumours makes."""
    key = settings.model_copy(update={"tests": 1, "reading": "all 30", "alarm": 0.5})
    tested = remembered(_tested, key, 8, lambda: examine(settings, tick))
    at_least, shown, rng = tested.at_least, tested.people, deepcopy(tested.rng)
    swept = sweep(rng, settings)
    hit, false_alarm = settings.sensitivity, 1 - settings.specificity
    k_hit, k_false = (in_a_row(rate, settings.tests, 0) for rate in (hit, false_alarm))

    malignant, score = fitted_score(settings.reading)
    tick(0.8)
    alarm = alarms_of(score, settings.alarm)
    real_prevalence = np.array([malignant.mean(), *SCREENED, settings.prevalence])
    any_alarm = alarm.any()
    reweighted = [reweighted_ppv(malignant, alarm, p) if any_alarm else nan for p in real_prevalence]
    drawn = [draw_patients(rng, malignant, alarm, p, settings.population) for p in real_prevalence]
    tick(0.95)

    sensitivity, specificity = quality(malignant, alarm)
    result = Result(
        settings, *_digit_events(), at_least, shown, swept,
        update_in_turn(settings.prevalence, hit, false_alarm),
        bisect_prevalence(ASKED_PPV, k_hit, k_false), malignant, score, real_prevalence,
        np.array(reweighted), np.stack(drawn, axis=1), {},
    )  # fmt: skip
    result.summary.update(
        ppv=float(posterior(settings.prevalence, hit, false_alarm)),
        ppv_counted=_share(at_least[0, :, 1]),
        positive_share=float(at_least[0, :, 1].sum() / settings.population),
        after_all_tests=float(after(settings.prevalence, settings, settings.tests)),
        after_all_tests_copying=float(after(settings.prevalence, settings, settings.tests, settings.copying)),
        likelihood_ratio=hit / false_alarm if false_alarm else float("inf"),
        prevalence_for_90=prevalence_for(ASKED_PPV, k_hit, k_false),
        alarm_at_log10_odds=float(np.log10(settings.alarm / (1 - settings.alarm))),
        real_sensitivity=sensitivity,
        real_specificity=specificity,
        **{f"real_ppv_at_{p:g}": value for p, value in zip(SCREENED, reweighted[1:3], strict=True)},
    )
    tick(1.0)
    return result


def _share(healthy_and_ill: Array) -> float:
    """The ill among both; NaN where there is nobody."""
    total = healthy_and_ill.sum()
    return float(healthy_and_ill[1] / total) if total else nan


# --- Theory against measurement -----------------------------------------------------------------------


def claims(result: Result) -> list[Claim]:
    """The axioms on digits, then one positive, several, and a real test."""
    return [_axioms(result), _one_positive(result), _more_positives(result), _real_test(result)]


def _axioms(result: Result) -> Claim:
    even, low, n = result.even.mean(), result.low.mean(), len(result.even)
    # Of a sum of n products of two independent 0-1 deviations: what independence would leave of the gap.
    gap_se = sqrt(even * (1 - even) * low * (1 - low) / n)
    either = float(even + low - result.joint)
    return Claim(
        id="2.3-axiom-01",
        statement=r"$P(A \cup B) = P(A) + P(B) - P(A \cap B)$: this share of the scanned digits is even or "
        "below five. The two events are dependent.",
        predicted=either,
        measured=result.union,
        **contract.identity(),
        also=(
            Check(what="shares of the ten digits add to", predicted=1.0,
                  measured=float(result.digit_share.sum()), **contract.identity()),
            Check(what="smallest share", predicted=0.0, relation=">=",
                  measured=float(result.digit_share.min()), **contract.exact()),
            Check(what="P(even) is the sum over 0, 2, 4, 6, 8", measured=float(even),
                  predicted=float(result.digit_share[::2].sum()), **contract.identity()),
            Check(what="P(even and below five), ten equal digits", predicted=0.3, measured=result.joint,
                  **contract.four_standard_errors(sqrt(0.3 * 0.7 / n), "√(0.3·0.7/n)")),
            # Of a product of two shares of a half whose covariance is (0.3 - 0.25)/n, by the delta method.
            Check(what="P(even) P(below five), ten equal digits", predicted=0.25, measured=float(even * low),
                  **contract.four_standard_errors(sqrt(0.15 / n), "√(0.15/n)")),
            Check(what="P(even and below five) − P(even) P(below five)", predicted=0.0, relation=">",
                  measured=float(result.joint - even * low),
                  **contract.four_standard_errors(gap_se, "√(P(A)P(Ā)P(B)P(B̄)/n)")),
            Check(what="P(even | below five) = P(even and below five) / P(below five)",
                  predicted=float(result.joint / low), measured=float(result.even[result.low == 1].mean()),
                  **contract.identity()),
        ),
        reason="Adding the two shares counts the digits 0, 2 and 4 twice. Three of five low digits are even, "
        "but only five of all ten, so one event tells about the other.",
    )  # fmt: skip


def _one_positive(result: Result) -> Claim:
    settings, n = result.settings, result.settings.population
    hit, false_alarm = settings.sensitivity, 1 - settings.specificity
    positives = result.at_least[0, :, 1]
    predicted = float(posterior(settings.prevalence, hit, false_alarm))
    share = float(positive_share(settings.prevalence, hit, false_alarm))
    healthy, ill = result.at_least[0, :, 0]
    also = [
        Check(what="P(+)", predicted=share, measured=float(positives.sum() / n), **counted(n, share)),
        Check(what="P(ill)", predicted=settings.prevalence, measured=float(ill / n),
              **counted(n, settings.prevalence)),
        Check(what="P(+ | healthy)", predicted=false_alarm, measured=float(positives[0] / healthy),
              **counted(healthy, false_alarm)),
    ]  # fmt: skip
    if ill:
        also.append(
            Check(what="P(+ | ill), the sensitivity", predicted=hit, measured=float(positives[1] / ill),
                  **counted(ill, hit))
        )  # fmt: skip
    return Claim(
        id="2.3-bayes-01",
        statement=f"With {settings.prevalence:.4g} of people ill, a positive from a test of sensitivity "
        f"{settings.sensitivity:g} and specificity {settings.specificity:g} is right with this probability.",
        predicted=predicted,
        measured=_share(positives),
        **(counted(positives.sum(), predicted) if positives.any() else contract.exact()),
        also=tuple(also),
        unmet="" if positives.any() else "nobody in this population tested positive",
        reason="The healthy are many, so a small share of them can outnumber a large share of the ill.",
    )


def _more_positives(result: Result) -> Claim:
    settings, prior = result.settings, result.settings.prevalence
    twice = result.at_least[0, :, 2]
    predicted = float(after(prior, settings, 2))
    also = [
        Check(what=f"after {k} positives, each posterior made the next prior",
              predicted=float(after(prior, settings, k)), measured=float(result.updated[k]),
              **contract.identity())
        for k in range(2, MOST_TESTS + 1)
    ]  # fmt: skip
    for kind, copying in enumerate((0.0, settings.copying)):
        for k in range(2, MOST_TESTS + 1):
            value, both = float(after(prior, settings, k, copying)), result.at_least[kind, :, k]
            if both.any() and (kind, k) != (0, 2):
                what = f"counted after {k} positives" + (
                    f", repeats copying at ϱ = {copying:g}" if kind else ""
                )
                also.append(
                    Check(what=what, predicted=value, measured=_share(both), **counted(both.sum(), value))
                )
    hit, false_alarm = (
        in_a_row(r, settings.tests, 0) for r in (settings.sensitivity, 1 - settings.specificity)
    )
    positives = "one positive" if settings.tests == 1 else f"{settings.tests} positives"
    also.append(
        Check(what=f"prevalence at which {positives} mean{'s' * (settings.tests == 1)} 90 %, by bisection",
              predicted=prevalence_for(ASKED_PPV, hit, false_alarm), measured=result.found,
              **contract.identity())
    )  # fmt: skip
    return Claim(
        id="2.3-bayes-02",
        statement="A second positive multiplies the odds by the likelihood ratio again, if the two tests err "
        "independently given the state. P(ill) after two:",
        predicted=predicted,
        measured=_share(twice),
        **(counted(twice.sum(), predicted) if twice.any() else contract.exact()),
        also=tuple(also),
        unmet="" if twice.any() else "nobody in this population tested positive twice",
        reason="What the first test concluded is the base rate of the second. A repeat that copies brings a "
        "smaller ratio, since the healthy who were called ill are called ill again.",
    )


def _real_test(result: Result) -> Claim:
    settings = result.settings
    alarm = alarms_of(result.score, settings.alarm)
    hit, specificity = quality(result.malignant, alarm)
    predicted = [
        float(posterior(p, hit, 1 - specificity)) if alarm.any() else nan for p in result.real_prevalence
    ]
    names = [f"{p:.3g}" for p in result.real_prevalence]
    names[0] += " (as in the data)"
    also = [
        Check(what=f"PPV at prevalence {names[i]}, data reweighted", predicted=predicted[i],
              measured=float(result.reweighted[i]), **contract.identity())
        for i in (0, 2, 3)
    ]  # fmt: skip
    true = result.malignant[alarm == 1]
    if len(true):
        also.append(Check(what="malignant among the alarms, plainly counted", predicted=predicted[0],
                          measured=float(true.mean()), **contract.identity()))  # fmt: skip
    for i, (alarms, malignant) in enumerate(result.drawn.T):
        if alarms:
            what = f"PPV at prevalence {names[i]}, patients drawn"
            also.append(Check(what=what, predicted=predicted[i], measured=float(malignant / alarms),
                              **counted(alarms, predicted[i])))  # fmt: skip
    if settings.reading == "all 30" and settings.alarm == 0.5:
        measured = (hit, specificity, *(float(v) for v in result.reweighted[:3]))
        names = [
            "sensitivity",
            "specificity",
            *(f"PPV at prevalence {p:.3g}" for p in result.real_prevalence[:3]),
        ]
        also += [
            Check(
                what=f"{what}, as known for this data set",
                predicted=known,
                measured=value,
                **contract.rounded(3),
            )
            for what, known, value in zip(names, KNOWN_REAL, measured, strict=True)
        ]
    return Claim(
        id="2.3-bayes-03",
        statement=f"A real test of tumours ({settings.reading}; sensitivity {hit:.3f}, specificity "
        f"{specificity:.3f}): where 1 % are malignant, this share of its alarms is.",
        predicted=predicted[1],
        measured=float(result.reweighted[1]),
        **contract.identity(),
        also=tuple(also),
        unmet="" if alarm.any() else "no patient reaches this alarm",
        reason="Sensitivity and specificity belong to the test; what an alarm means belongs to the place. "
        "Only the mix of patients changes here: cases as severe as these are assumed everywhere.",
    )


# --- Tables -------------------------------------------------------------------------------------------


def tables(result: Result) -> dict[str, pd.DataFrame]:
    """Tidy tables: curve, people, posteriors, populations, the real test, its patients, the digits."""
    settings = result.settings
    prevalence, ks = 10**PREVALENCES, np.arange(1, MOST_TESTS + 1)
    ppv = np.array([after(prevalence, settings, int(k)) for k in ks])  # (4, p)
    place = {"prevalence": prevalence, "log10_prevalence": PREVALENCES}
    positive, true = result.swept
    some = positive > 0
    swept = pd.DataFrame(
        {
            "prevalence": 10 ** SWEPT[some], "log10_prevalence": SWEPT[some], "positive": positive[some],
            "ill": true[some], "measured": true[some] / positive[some],
            "predicted": after(10 ** SWEPT[some], settings, settings.tests),
        }
    )  # fmt: skip
    return {
        "main": pd.DataFrame({**place, "positives": settings.tests, "ppv": ppv[settings.tests - 1]}),
        "curves": pd.DataFrame(
            {
                **{name: np.tile(values, len(ks)) for name, values in place.items()},
                "positives": np.repeat(ks, len(prevalence)), "ppv": ppv.ravel(),
            }
        ),
        "populations": swept,
        "people": _people(result),
        "posteriors": _posteriors(result),
        **_real_tables(result),
        "digits": pd.DataFrame(
            {
                "event": ["even", "below five", "both", "either", "product"],
                "measured": [result.even.mean(), result.low.mean(), result.joint, result.union,
                             result.even.mean() * result.low.mean()],
                "predicted": [0.5, 0.5, 0.3, 0.7, 0.25],
            }
        ),
    }  # fmt: skip


def _people(result: Result) -> pd.DataFrame:
    """Those shown who are ill or test positive at first: place in the field, positives in a row.

    The others, healthy and negative at once, are the rest of the field, filled row by row.
    """
    some = np.flatnonzero(result.people[0] > 0)  # the first result is the same for both kinds of repeat
    side = int(np.ceil(np.sqrt(result.people.shape[1])))
    place = {"row": some // side, "column": some % side, "ill": result.people[0, some] >= 5}
    streaks = {name: codes[some] % 5 for name, codes in zip(REPEATS, result.people, strict=True)}
    return pd.DataFrame({**place, **streaks})


def _posteriors(result: Result) -> pd.DataFrame:
    """P(ill) after 0 to 4 positives by kind of repeat, with its band, and among the people shown."""
    rows, both_shown = [], count_at_least(result.people)
    for kind, (name, copying) in enumerate(zip(REPEATS, (0.0, result.settings.copying), strict=True)):
        shown = both_shown[kind]
        for k in range(MOST_TESTS + 1):
            predicted = float(after(result.settings.prevalence, result.settings, k, copying))
            healthy, ill = result.at_least[kind, :, k]
            band = binomial_band(healthy + ill, predicted) if healthy + ill else (nan, nan)
            rows.append(
                {
                    "prevalence": result.settings.prevalence,
                    "log10_prevalence": float(np.log10(result.settings.prevalence)),
                    "positives": k, "repeats": name, "predicted": predicted,
                    "measured": _share(result.at_least[kind, :, k]), "low": band[0], "high": band[1],
                    "healthy": int(healthy), "ill": int(ill), "shown_healthy": int(shown[0, k]),
                    "shown_ill": int(shown[1, k]),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _real_tables(result: Result) -> dict[str, pd.DataFrame]:
    """PPV of the real test against prevalence with its limits, where it was tried, and the patients."""
    alarm = alarms_of(result.score, result.settings.alarm)
    hit, specificity = quality(result.malignant, alarm)
    if not alarm.any():
        empty = pd.DataFrame({"log10_prevalence": PREVALENCES, "ppv": nan, "low": nan, "high": nan})
        tried = pd.DataFrame(columns=["prevalence", "log10_prevalence", "predicted", "reweighted", "drawn"])
    else:
        low, high = real_limits(result.malignant, alarm, 10**PREVALENCES)
        ppv = posterior(10**PREVALENCES, hit, 1 - specificity)
        empty = pd.DataFrame({"log10_prevalence": PREVALENCES, "ppv": ppv, "low": low, "high": high})
        low, high = real_limits(result.malignant, alarm, result.real_prevalence)
        alarms = np.where(result.drawn[0] > 0, result.drawn[0], nan)
        tried = pd.DataFrame(
            {
                "prevalence": result.real_prevalence, "log10_prevalence": np.log10(result.real_prevalence),
                "predicted": posterior(result.real_prevalence, hit, 1 - specificity),
                "reweighted": result.reweighted, "drawn": result.drawn[1] / alarms, "low": low, "high": high,
            }
        )  # fmt: skip
    patients = pd.DataFrame(
        {
            "patient": np.arange(len(alarm)), "probability": expit(result.score),
            "log10_odds": result.score / np.log(10),
            "tumour": np.where(result.malignant == 1, "malignant", "benign"), "alarm": alarm == 1,
        }
    )  # fmt: skip
    return {"real_curve": empty, "real_test": tried, "patients": patients}


# --- Predict, then see --------------------------------------------------------------------------------

_REPEATED = ("about 50 %", "about 66 %", "about 99 %")

CHALLENGES = (
    Challenge(
        prompt="One person in 100 is ill; the test is right for 99 % of the ill and 99 % of the healthy. You "
        "test positive. How probable is it that you are ill (0 to 1)?",
        options=(),
        settings={},
        answer=lambda result: result.summary["ppv"],
        curve=("main", "prevalence", "ppv"),
        at=0.01,
        why="Of 10,000 people, 99 of the 100 ill test positive, and so do 99 of the 9,900 healthy.",
    ),
    Challenge(
        prompt="You take that test again, and it is positive again. But half of the time the second run only "
        "copies the first. How probable is illness now?",
        options=_REPEATED,
        settings={"tests": 2, "copying": 0.5},
        answer=lambda result: _REPEATED[
            int(np.abs(result.summary["after_all_tests_copying"] - np.array([0.5, 0.66, 0.99])).argmin())
        ],
        why="A false alarm is repeated at least half the time, so the odds double instead of rising 99-fold.",
    ),
    Challenge(
        prompt="A classifier finds 96 % of malignant tumours and clears 99 % of benign ones. It screens "
        "people of whom one in 1,000 has one. What share of its alarms is right (0 to 1)?",
        options=(),
        settings={"prevalence": 0.001},
        answer=lambda result: result.summary["real_ppv_at_0.001"],
        why="In the hospital, where 37 % are malignant, 99 % of its alarms are right. In a screening nine "
        "of ten are not: it is the same classifier among other people.",
    ),
)
