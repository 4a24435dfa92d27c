"""Eigenvectors: against LAPACK and networkx, laws, cases by hand, and spoiled results."""

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
import scipy.linalg
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from experiments import eigen_explorer as eigen
from experiments.eigen_explorer import CHALLENGES, PRESETS, Settings, claims, run, tables
from lab.contract import bounds, choices

tenths = st.integers(-90, 90)
matrices = st.tuples(tenths, tenths, tenths, tenths).map(lambda t: np.array(t).reshape(2, 2) / 10)
small = st.tuples(*[st.integers(-1, 1)] * 4).map(lambda t: np.array(t, dtype=float).reshape(2, 2))
any_matrix = matrices | small


@pytest.fixture(scope="module")
def result():
    return run(Settings())


def claim(result, claim_id):
    return next(c for c in claims(result) if c.id == claim_id)


def verdicts(result):
    return {c.id: c.verdict for c in claims(result)}


def of(matrix, **more):
    """The run on a matrix, with few random matrices beside it."""
    a, b, c, d = np.ravel(matrix)
    return run(Settings(a=a, b=b, c=c, d=d, draws=500, **more))


# --- reference ---


@examples(max_examples=100, deadline=None)
@given(any_matrix)
def test_eigenvalues_and_stretches_equal_those_of_scipy(matrix):
    expected = scipy.linalg.eigvals(matrix)
    found = eigen.eigenvalues(matrix)
    # A double eigenvalue is known to the root of rounding only.
    assert np.allclose(np.sort_complex(found), np.sort_complex(expected), atol=1e-6)
    longest, second = eigen.stretches(matrix)
    assert np.allclose([longest, abs(second)], scipy.linalg.svdvals(matrix), atol=1e-12)


@examples(max_examples=100, deadline=None)
@given(any_matrix)
@example(np.array([[0.0, 1.0], [0.0, -1.0]]))
@example(np.array([[8.9, 9.0], [-0.1, 9.0]]))
@example(np.array([[9.0, 9.0], [0.0, 8.9]]))
def test_looking_finds_the_real_eigenvectors_of_scipy_and_no_others(matrix):
    kept, every = eigen.kept_directions(matrix)
    values, vectors = scipy.linalg.eig(matrix)
    disc = eigen.invariants(matrix)[2]
    assert len(kept) == (2 if every or disc > 0 else 1 if disc == 0 else 0)
    if disc > 0:
        for value, vector in zip(values, vectors.T, strict=True):
            lines = np.abs(eigen.on_circle(kept) @ vector.real)
            assert lines.max() == pytest.approx(1, abs=1e-9)
            assert eigen.stretch_along(matrix, kept)[lines.argmax()] == pytest.approx(value.real, abs=1e-9)


def test_the_club_and_what_its_iteration_settles_to_are_those_of_networkx(result):
    graph = nx.karate_club_graph()
    assert eigen.karate()[0].sum() == 2 * graph.number_of_edges() == 156
    expected = nx.eigenvector_centrality_numpy(graph, weight=None)
    assert np.allclose(result.club[-1], [expected[i] for i in range(34)], atol=1e-7)


def test_the_condition_of_the_eigenvectors_is_that_of_numpy():
    rng = np.random.default_rng(1)
    for matrix in rng.integers(-90, 91, (200, 2, 2)) / 10:
        if eigen.invariants(matrix)[2]:
            expected = np.linalg.cond(scipy.linalg.eig(matrix)[1])
            assert eigen.condition(eigen.cosine_between(matrix)) == pytest.approx(expected)


# --- invariant ---


@examples(max_examples=25, deadline=None)
@given(any_matrix, st.integers(0, 180), st.integers(1, 60), st.sampled_from(["matrix", "karate"]))
def test_no_matrix_and_no_start_refutes_a_claim(matrix, start, steps, iterate):
    outcome = of(matrix, start=start, steps=steps, iterate=iterate)
    assert "refuted" not in verdicts(outcome).values()
    assert sum(len(frame) for frame in tables(outcome).values()) < 8000


@pytest.mark.parametrize("seed", range(1, 7))
def test_claims_hold_for_further_seeds(seed):
    assert set(verdicts(run(Settings(seed=seed))).values()) == {"confirmed"}


@examples(max_examples=100, deadline=None)
@given(any_matrix)
def test_turn_stretch_turn_gives_the_matrix_back(matrix):
    v, longest, second, u = eigen.turn_stretch_turn(matrix)
    again = eigen.rotation(u) @ np.diag([longest, second]) @ eigen.rotation(-v)
    assert np.allclose(again, matrix, atol=1e-12)
    assert np.sign(np.round(second, 9)) == np.sign(eigen.invariants(matrix)[1])


@examples(max_examples=100, deadline=None)
@given(any_matrix)
def test_over_half_a_circle_the_curve_of_turns_comes_back_or_falls_by_a_full_turn(matrix):
    turn = eigen.turn_curve(matrix, np.linspace(0, np.pi, 361))
    det = eigen.invariants(matrix)[1]
    if det:
        assert turn[-1] - turn[0] == pytest.approx(0 if det > 0 else -360)
        kept, _ = eigen.kept_directions(matrix)
        assert len(kept) == 2 or det > 0  # falling by a full turn, it meets 0 and 180


def test_the_curve_of_turns_has_no_jumps():
    flat = np.array([[9.0, 8.9], [9.0, 9.0]])  # an ellipse 350 times as long as wide
    angle = np.linspace(0, np.pi, 20_001)
    assert np.abs(np.diff(eigen.turn_curve(flat, angle))).max() < 10


def test_steps_of_power_iteration_are_unit_vectors_on_the_line_of_powers(result):
    start = result.iterates[0]
    for k, x in enumerate(result.iterates):
        power = np.linalg.matrix_power(result.matrix, k) @ start
        assert np.allclose(x, power / np.linalg.norm(power))


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_what_it_is_called_and_overrides_the_entries(preset):
    outcome = run(Settings(preset=preset, a=7.0, draws=500))
    m, (trace, det, disc) = outcome.matrix, eigen.invariants(outcome.matrix)
    is_so = {
        "shear": trace == 2 and det == 1 and disc == 0,
        "rotation": np.array_equal(m.T @ m, np.eye(2)) and det == 1,
        "reflection": np.allclose(m @ m, np.eye(2)) and det == -1,
        "defective": eigen.independent(m) == 1,
        "symmetric": np.array_equal(m, m.T) and det < 0,
        "projection": np.allclose(m @ m, m) and det == 0,
    }
    assert is_so[preset]
    assert "refuted" not in verdicts(outcome).values()


# --- known case ---


def test_the_worked_matrix_by_hand(result):
    assert np.array_equal(eigen.eigenvalues(result.matrix), [5, 2])
    assert np.allclose(np.tan(result.kept), [1 / 2, -1])
    assert np.array_equal(result.matrix @ [2, 1], [10, 5])
    assert np.array_equal(result.matrix @ [-1, 1], [-2, 2])
    # (1, 0) = ((2, 1) - (-1, 1)) / 3, so C = (√2/√5) sin 71.57° = 0.6.
    law = eigen.error_law(result.matrix, np.array([1.0, 0.0]), 3)
    assert np.allclose(law, [0.6, 0.24, 0.096, 0.0384])
    assert result.error[0] == pytest.approx(0.5)


def test_the_club_forgets_by_0_740_a_step(result):
    assert round(result.summary["karate_rate"], 3) == 0.740
    assert round(result.summary["rate"], 4) == 0.4


def test_a_shear_adds_up_as_one_over_k():
    outcome = run(Settings(preset="shear", start=90, draws=500))
    assert np.allclose(outcome.error[1:], 1 / np.arange(1, 13))  # (k, 1) after k steps
    assert np.allclose(eigen.error_law(outcome.matrix, np.array([0.0, 1.0]), 12)[1:], outcome.error[1:])
    assert "1/k" in claim(outcome, "2.1-eig-05").unmet


def test_chances_of_real_eigenvalues_are_powers_of_one_half():
    assert [eigen.all_real(n) for n in (1, 2, 4)] == pytest.approx([1, np.sqrt(1 / 2), 1 / 8])


def test_the_challenges_have_the_answers_of_the_formulas():
    fate, error, real = (c.answer(run(Settings(**c.settings))) for c in CHALLENGES)
    assert fate == "It turns by 180° and doubles"
    assert error == pytest.approx(np.log10(0.6 * 0.4**10), abs=1e-3)
    assert real == pytest.approx(1 / 8, abs=4 * np.sqrt(7 / 64 / 2000))
    assert CHALLENGES[0].answer(run(Settings())) == "It keeps its direction"


# --- special cases ---


@pytest.mark.parametrize(
    ("changed", "claim_id", "words"),
    [
        ({"preset": "rotation"}, "2.1-eig-01", "no direction is kept"),
        ({"preset": "rotation"}, "2.1-eig-05", "no unique dominant direction"),
        ({"preset": "reflection"}, "2.1-eig-05", "no unique dominant direction"),
        ({"a": 3.0, "b": -2.0, "c": 1.0, "d": -3.0}, "2.1-eig-05", "λ and −λ"),  # λ = ±√7
        ({"start": 135, "steps": 20}, "2.1-eig-05", "lies on v₂"),
        ({"b": 0.0, "c": 0.0, "start": 0}, "2.1-eig-05", "lies on v₁"),
        ({"start": 134, "steps": 1}, "2.1-eig-05", "too few steps"),
        ({"a": 2.0, "b": 0.0, "c": 0.0, "d": 2.0}, "2.1-eig-05", "every direction is an eigenvector"),
        ({"a": 0.0, "b": 1.0, "c": 0.0, "d": 0.0}, "2.1-eig-05", "both eigenvalues are 0"),
    ],
    ids=str,
)
def test_where_a_condition_is_missing_the_claim_says_which(changed, claim_id, words):
    found = claim(run(Settings(draws=500, **changed)), claim_id)
    assert found.verdict == "not at these settings"
    assert words in found.unmet


def test_rounding_frees_a_start_on_the_weaker_eigenvector():
    outcome = run(Settings(start=135, steps=60, draws=500))
    assert outcome.error[1] > 1
    assert outcome.error[-1] < 1e-6


ENDS = [{f: end} for f, info in Settings.model_fields.items() for end in (choices(info) or bounds(info))]


@pytest.mark.parametrize("extreme", [e for e in ENDS if e != {"draws": 20_000}], ids=str)
def test_the_ends_of_every_control_run(extreme):
    outcome = run(Settings(**({"draws": 500} | extreme)))
    assert "refuted" not in verdicts(outcome).values()
    assert all(len(frame) or name == "directions" for name, frame in tables(outcome).items())


# --- negative control ---


def nudged(name, *index, by=1e-6):
    """The array ``name`` with one entry moved."""

    def spoil(result):
        array = getattr(result, name).copy()
        array[index] += by
        return {name: array}

    return spoil


@pytest.mark.parametrize(
    ("claim_id", "spoil"),
    [
        ("2.1-eig-01", nudged("stretch", 0)),
        ("2.1-eig-01", nudged("stretch", 1)),
        ("2.1-eig-01", lambda r: {"stretch": r.stretch[::-1]}),
        ("2.1-eig-01", lambda r: {"kept": r.kept[::-1]}),
        ("2.1-eig-02", nudged("real_share", 0, by=0.05)),
        ("2.1-eig-02", nudged("real_share", 2, by=-0.05)),
        ("2.1-eig-02", lambda r: {"turns": r.turns[::-1]}),
        ("2.1-eig-02", nudged("turns", 1, 1)),
        ("2.1-eig-02", lambda r: {"kept": np.append(r.kept, 1.0)}),
        ("2.1-eig-02", lambda r: {"every": True}),
        ("2.1-eig-03", lambda r: {"lapack_vectors": np.array([[1, 1], [1, 1 + 1e-7]])}),
        ("2.1-eig-03", lambda r: {"jordan_vectors": np.eye(2)}),
        ("2.1-eig-03", lambda r: {"nearly_condition": 1.00001 * r.nearly_condition}),
        ("2.1-eig-03", nudged("lapack_values", 0)),
        ("2.1-eig-03", lambda r: {"lapack_vectors": r.lapack_vectors * [1, 2]}),
        ("2.1-eig-04", nudged("symmetric_gram", 7, 0, 1)),
        ("2.1-eig-04", nudged("symmetric_values", 7, 0, by=1e-12j)),
        ("2.1-eig-04", nudged("symmetric_left", 7)),
        ("2.1-eig-04", nudged("symmetric_kept", 0)),
        ("2.1-eig-04", nudged("kept", 0)),
        ("2.1-eig-05", lambda r: {"error": r.error * 1.0001}),
        ("2.1-eig-05", nudged("error", 12, by=1e-9)),
        ("2.1-eig-05", lambda r: {"club_error": r.club_error**1.001}),
        ("2.1-eig-05", lambda r: {"matrix": np.array([[4, 2], [1, 2.9]])}),
        ("2.1-svd-02", nudged("parts", 0, 1)),
        ("2.1-svd-02", nudged("parts", 0, 2)),
        ("2.1-svd-02", lambda r: {"parts": np.abs(r.parts)}),
        ("2.1-svd-02", lambda r: {"unmirrored": r.unmirrored[::-1]}),
        ("2.1-svd-02", nudged("lapack_values", 1)),
    ],
)
def test_a_spoiled_result_refutes_its_claim(result, claim_id, spoil):
    assert claim(result, claim_id).verdict == "confirmed"
    assert claim(replace(result, **spoil(result)), claim_id).verdict == "refuted"


def test_taking_the_eigenvalues_for_the_singular_values_is_refuted(result):
    """What is often taught: the stretches of the ellipse are |λ|."""
    parts = result.parts.copy()
    parts[0, 1:3] = np.abs(eigen.eigenvalues(result.matrix))
    assert claim(replace(result, parts=parts), "2.1-svd-02").verdict == "refuted"
