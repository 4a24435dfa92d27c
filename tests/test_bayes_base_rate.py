"""Base rates: against scikit-learn and SciPy, exact fractions, laws, and spoiled results."""

from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from experiments import bayes_base_rate as bayes
from experiments.bayes_base_rate import CHALLENGES, READINGS, Settings, claims, run, tables
from lab.contract import bounds, choices
from lab.data import breast_cancer

shares = st.floats(1e-4, 1 - 1e-4)
rates = st.floats(0.5, 1)


@pytest.fixture(scope="module")
def result():
    return run(Settings())


def claim(result, claim_id):
    return next(c for c in claims(result) if c.id == claim_id)


def failed(result, claim_id):
    return [check.what for check in claim(result, claim_id).also if not check.passed]


# --- reference ---


@pytest.mark.parametrize("reading", READINGS)
def test_cross_validated_scores_equal_those_of_scikit_learn(reading):
    features, benign = breast_cancer()
    model = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-10, max_iter=10_000))
    columns = features[:, list(READINGS[reading])]
    expected = cross_val_predict(
        model, columns, 1 - benign, cv=StratifiedKFold(5), method="decision_function"
    )
    malignant, score = bayes.fitted_score(reading)
    assert np.array_equal(malignant, 1 - benign)
    assert np.allclose(score, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("n", "p"), [(1, 0.5), (198, 0.5), (2014, 0.4), (964, 0.99), (1000, 0.9999), (10**6, 0.1)]
)
def test_the_band_of_a_counted_share_is_that_of_the_binomial_distribution(n, p):
    expected = stats.binom.ppf([bayes.FALSE_ALARM / 2, 1 - bayes.FALSE_ALARM / 2], n, p) / n
    assert np.allclose(bayes.binomial_band(n, p), expected)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (10, 10), (204, 212), (354, 357)])
def test_limits_of_a_share_equal_those_of_scipy(successes, trials):
    expected = stats.binomtest(successes, trials).proportion_ci(0.975, method="exact")
    assert np.allclose(bayes.limits(successes, trials, 0.975), [expected.low, expected.high])


@pytest.mark.parametrize("prevalence", [0.5, 0.01, 0.001])
def test_the_reweighted_share_is_the_weighted_precision_of_scikit_learn(result, prevalence):
    alarm, ill = bayes.alarms_of(result.score, 0.5), result.malignant
    weight = np.where(ill == 1, prevalence / 212, (1 - prevalence) / 357)
    expected = precision_score(ill, alarm, sample_weight=weight)
    assert bayes.reweighted_ppv(ill, alarm, prevalence) == pytest.approx(expected)


@pytest.mark.parametrize("copying", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_a_row_of_positives_has_the_chance_found_by_listing_every_course(copying, k):
    """Every result of every fresh test and every decision to copy, each with its probability."""
    rate, total = 0.8, 0.0
    for fresh, copies in product(product((0, 1), repeat=k), product((0, 1), repeat=k - 1)):
        results = [fresh[0]]
        for copy, new in zip(copies, fresh[1:], strict=True):
            results.append(results[-1] if copy else new)
        chance = np.prod([rate if f else 1 - rate for f in fresh])
        chance *= np.prod([copying if c else 1 - copying for c in copies])
        total += chance * all(results)
    assert bayes.in_a_row(rate, k, copying) == pytest.approx(total)


# --- invariant ---


@examples(max_examples=200, deadline=None)
@given(shares, rates, rates)
def test_belief_is_right_on_average_over_positive_and_negative_tests(prior, hit, specificity):
    false_alarm = 1 - specificity
    positive = bayes.positive_share(prior, hit, false_alarm)
    after_positive = bayes.posterior(prior, hit, false_alarm)
    after_negative = bayes.posterior(prior, 1 - hit, 1 - false_alarm)
    assert positive * after_positive + (1 - positive) * after_negative == pytest.approx(prior)
    assert after_negative <= prior + 1e-12 <= after_positive + 2e-12


@examples(max_examples=200, deadline=None)
@given(shares, rates, rates, st.integers(2, 4), st.floats(0, 1))
def test_copying_repeats_never_say_more_than_independent_ones(prevalence, hit, specificity, k, copying):
    settings = Settings(prevalence=min(prevalence, 0.5), sensitivity=hit, specificity=specificity)
    prior = settings.prevalence
    once, copied = bayes.after(prior, settings, 1), bayes.after(prior, settings, k, copying)
    assert once - 1e-12 <= copied <= bayes.after(prior, settings, k) + 1e-12


@examples(max_examples=200, deadline=None)
@given(st.floats(0.01, 0.99), rates, st.floats(0.5, 0.999))
def test_the_prevalence_asked_for_gives_the_value_asked_for(ppv, hit, specificity):
    needed = bayes.prevalence_for(ppv, hit, 1 - specificity)
    assert bayes.posterior(needed, hit, 1 - specificity) == pytest.approx(ppv)
    assert bayes.bisect_prevalence(ppv, hit, 1 - specificity) == pytest.approx(needed)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "other",
    [
        {"sensitivity": 0.8, "specificity": 0.9, "prevalence": 0.2, "tests": 3, "copying": 0.25},
        {"prevalence": 0.0001, "population": 20_000, "reading": "worst perimeter", "alarm": 0.2},
        {"population": 1000, "sensitivity": 0.7},
    ],
)
def test_claims_hold_at_other_settings(seed, other):
    assert {c.verdict for c in claims(run(Settings(seed=seed, **other)))} == {"confirmed"}


def test_the_table_of_people_holds_everyone_who_is_ill_or_positive(result):
    people = tables(result)["people"]
    for kind, column in enumerate(bayes.REPEATS):
        codes = np.zeros((100, 100), dtype=int)
        codes[people.row, people.column] = people[column] + 5 * people.ill
        assert np.array_equal(codes.ravel(), result.people[kind])
    shown = tables(result)["posteriors"]
    assert (shown.shown_ill + shown.shown_healthy)[shown.positives == 0].tolist() == [10_000, 10_000]
    assert shown.shown_ill[6] == np.sum(result.people[1] >= 6)


def test_folds_keep_the_classes_even():
    malignant = bayes.fitted_score("all 30")[0]
    fold = bayes.folds_of(malignant)
    sizes = [np.bincount(fold[malignant == kind]) for kind in (0, 1)]
    assert all(size.max() - size.min() <= 1 for size in sizes)


def test_copying_shows_in_the_streaks_of_the_simulated_people():
    settings = Settings(prevalence=0.5, sensitivity=0.7, specificity=0.7, copying=0.6)
    codes = bayes.take_tests(np.random.default_rng(0), 200_000, settings)
    for kind, copying in enumerate((0.0, 0.6)):
        for start, rate in ((0, 0.3), (5, 0.7)):
            streak = codes[kind][codes[kind] // 5 == start // 5] - start
            expected = [rate * (copying + (1 - copying) * rate) ** (k - 1) for k in (1, 2, 3, 4)]
            assert np.allclose([np.mean(streak >= k) for k in (1, 2, 3, 4)], expected, atol=4 * 0.5 / 300)
    assert np.all(codes[1] // 5 == codes[0] // 5)


# --- known case ---


def test_ninety_nine_of_the_hundred_and_ninety_eight_positives_are_ill():
    prior, hit, false_alarm = Fraction(1, 100), Fraction(99, 100), Fraction(1, 100)
    assert bayes.positive_share(prior, hit, false_alarm) == Fraction(198, 10_000)
    assert bayes.posterior(prior, hit, false_alarm) == Fraction(1, 2)
    assert bayes.prevalence_for(Fraction(9, 10), hit, false_alarm) == Fraction(1, 12)


def test_three_positives_in_turn_give_the_values_worked_by_hand(result):
    # Odds of 1 to 99, times 99 each time: 1, 99, 9801.
    assert np.allclose(result.updated[:4], [0.01, 1 / 2, 99 / 100, 9801 / 9802])
    # A copying repeat brings (0.5 + 0.5 · 0.99)/(0.5 + 0.5 · 0.01) = 0.995/0.505 only.
    settings = result.settings
    assert bayes.after(0.01, settings, 2, 0.5) == pytest.approx(0.995 / (0.995 + 0.505))
    assert bayes.after(0.01, settings, 4, 1.0) == pytest.approx(0.5)


def test_the_real_test_finds_204_of_212_and_clears_354_of_357(result):
    alarm = bayes.alarms_of(result.score, 0.5)
    assert (alarm[result.malignant == 1].sum(), alarm[result.malignant == 0].sum()) == (204, 3)
    assert result.reweighted[0] == pytest.approx(204 / 207)


def test_the_limits_named_in_the_text_are_those_of_the_table(result):
    row = tables(result)["real_test"].set_index("prevalence").loc[0.001]
    assert (round(row.low, 2), round(row.high, 2)) == (0.03, 0.43)


def test_the_challenges_have_the_answers_of_the_formulas():
    answers = [challenge.answer(run(Settings(**challenge.settings))) for challenge in CHALLENGES]
    assert answers[0] == pytest.approx(0.5)
    assert answers[1] == "about 66 %"
    assert answers[2] == pytest.approx(0.10284, abs=5e-6)
    copied_always = run(Settings(tests=2, copying=1.0))
    assert CHALLENGES[1].answer(copied_always) == "about 50 %"


# --- special cases ---


def test_a_test_that_is_a_coin_leaves_every_belief_where_it_was():
    result = run(Settings(sensitivity=0.5, specificity=0.5))
    assert np.allclose(result.updated, 0.01)
    assert result.summary["likelihood_ratio"] == 1
    assert result.found == pytest.approx(0.9)
    assert {c.verdict for c in claims(result)} == {"confirmed"}


def test_a_specificity_of_one_makes_every_positive_certain():
    result = run(Settings(specificity=1.0))
    assert np.allclose(result.updated[1:], 1)
    assert result.summary["ppv_counted"] == 1
    assert result.summary["likelihood_ratio"] == np.inf
    assert {c.verdict for c in claims(result)} == {"confirmed"}


def test_nothing_is_claimed_of_positives_where_there_are_none():
    nobody = run(Settings(specificity=1.0, prevalence=0.0001, population=1000))
    verdicts = {c.id: c.verdict for c in claims(nobody)}
    assert verdicts["2.3-bayes-01"] == verdicts["2.3-bayes-02"] == "not at these settings"
    assert "tested positive" in claim(nobody, "2.3-bayes-01").unmet
    silent = run(Settings(reading="mean texture", alarm=0.99))
    assert claim(silent, "2.3-bayes-03").verdict == "not at these settings"
    assert tables(silent)["real_test"].empty


ENDS = [
    {field: end} for field, info in Settings.model_fields.items() for end in (choices(info) or bounds(info))
]


@pytest.mark.parametrize("extreme", ENDS, ids=str)
def test_the_ends_of_every_control_run(extreme):
    outcome = run(Settings(**extreme))
    assert "refuted" not in {c.verdict for c in claims(outcome)}
    assert sum(len(frame) for frame in tables(outcome).values()) < 8000


# --- negative control ---


def counts(result, kind, k, healthy):
    """The counts with ``healthy`` times the healthy people at k positives, and five more."""
    spoiled = result.at_least.copy()
    spoiled[kind, 0, k] = healthy * spoiled[kind, 0, k] + 5
    return {"at_least": spoiled}


@pytest.mark.parametrize(
    ("claim_id", "spoil"),
    [
        ("2.3-axiom-01", lambda r: {"union": r.union + 1 / 1797}),
        ("2.3-axiom-01", lambda r: {"joint": r.joint - 1 / 1797}),
        ("2.3-axiom-01", lambda r: {"digit_share": r.digit_share * 1.001}),
        ("2.3-axiom-01", lambda r: {"digit_share": np.roll(r.digit_share, 1)}),
        ("2.3-axiom-01", lambda r: {"digit_share": r.digit_share - [1, -1, *8 * [0]]}),
        ("2.3-axiom-01", lambda r: {"low": np.roll(r.low, 700)}),
        ("2.3-bayes-01", lambda r: counts(r, 0, 1, 1.3)),
        ("2.3-bayes-01", lambda r: {"at_least": r.at_least * 1.1}),
        ("2.3-bayes-01", lambda r: {"at_least": r.at_least[:, ::-1]}),
        ("2.3-bayes-01", lambda r: {"settings": Settings(prevalence=0.012)}),
        ("2.3-bayes-02", lambda r: counts(r, 0, 2, 10)),
        ("2.3-bayes-02", lambda r: counts(r, 1, 3, 1.4)),
        ("2.3-bayes-02", lambda r: {"at_least": r.at_least[::-1]}),
        ("2.3-bayes-02", lambda r: {"updated": np.roll(r.updated, 1)}),
        ("2.3-bayes-02", lambda r: {"found": r.found + 1e-6}),
        ("2.3-bayes-02", lambda r: {"settings": Settings(copying=0.3)}),
        ("2.3-bayes-03", lambda r: {"reweighted": r.reweighted * 1.000001}),
        ("2.3-bayes-03", lambda r: {"drawn": r.drawn * [[1], [0.9]]}),
        ("2.3-bayes-03", lambda r: {"score": r.score + 0.5}),
        ("2.3-bayes-03", lambda r: {"malignant": np.roll(r.malignant, 1)}),
        ("2.3-bayes-03", lambda r: {"real_prevalence": r.real_prevalence[::-1]}),
    ],
)
def test_a_spoiled_result_refutes_its_claim(result, claim_id, spoil):
    assert claim(result, claim_id).verdict == "confirmed"
    assert claim(replace(result, **spoil(result)), claim_id).verdict == "refuted"


def test_digits_whose_parity_says_nothing_are_seen_not_to_be_dependent(result):
    """Even and below five made independent by hand: the check of dependence fails, the rules still hold."""
    even, low = (np.tile(pattern, 450)[:1797].astype(float) for pattern in ([0, 1, 0, 1], [0, 0, 1, 1]))
    both, either = float(np.mean(even * low)), float(np.mean(np.maximum(even, low)))
    independent = replace(result, even=even, low=low, joint=both, union=either)
    assert any("−" in what for what in failed(independent, "2.3-axiom-01"))
    assert not any("even |" in what for what in failed(independent, "2.3-axiom-01"))
