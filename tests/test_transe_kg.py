"""TransE: against torch, SciPy and scikit-learn, invariants, worked cases, files, and spoiled results."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError
from scipy.linalg import null_space
from sklearn.decomposition import PCA

from experiments import transe_kg
from experiments.transe_kg import (
    FOUR,
    NOT_HERE,
    Settings,
    claims,
    encode,
    parse_facts,
    read_triples,
    run,
    tables,
)
from lab.contract import problems

NORMS = ["L1", "L2"]


@pytest.fixture(scope="module")
def result():
    return run(Settings())


@pytest.fixture(scope="module")
def world():
    return run(Settings(data="countries"))


def claim(result, claim_id):
    return next(claim for claim in claims(result) if claim.id == claim_id)


def verdict(result, claim_id):
    return claim(result, claim_id).verdict


def some_world(seed, n=6, m=3, k=12, d=4):
    """Random vectors and random facts, each corrupted once."""
    rng = np.random.default_rng(seed)
    facts = np.stack([rng.integers(n, size=k), rng.integers(m, size=k), rng.integers(n, size=k)], axis=1)
    return rng.standard_normal((n, d)), rng.standard_normal((m, d)), facts, transe_kg.corrupt(rng, facts, n)


# --- reference ---


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", range(3))
def test_gradients_equal_those_of_torch(norm, seed):
    import torch

    entity, relation, facts, other = some_world(seed)
    counts = np.arange(len(facts)) % 4 != 0
    hinge, by_entity, by_relation = transe_kg.margin_loss(entity, relation, facts, other, counts, 0.7, norm)
    e, r = (torch.tensor(x, requires_grad=True) for x in (entity, relation))
    p = 1 if norm == "L1" else 2

    def score(rows):
        return torch.linalg.vector_norm(e[rows[:, 0]] + r[rows[:, 1]] - e[rows[:, 2]], ord=p, dim=1)

    true, false = score(torch.tensor(facts)), score(torch.tensor(other))
    loss = (torch.relu(0.7 + true - false) * torch.tensor(counts)).sum()
    loss.backward()
    assert 0 < np.sum(hinge > 0) < len(facts)
    assert hinge.sum() == pytest.approx(loss.item())
    assert np.allclose(by_entity, e.grad.numpy())
    assert np.allclose(by_relation, r.grad.numpy())


def test_the_error_matrix_gives_head_plus_relation_minus_tail():
    rng = np.random.default_rng(0)
    facts, table = rng.integers(7, size=(40, 3)), rng.standard_normal((7, 3))
    expected = table[facts[:, 0]] + table[facts[:, 1]] - table[facts[:, 2]]
    assert np.allclose(transe_kg.error_matrix(facts, 7) @ table, expected)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("side", [0, 2])
def test_ranks_equal_those_counted_one_by_one(norm, side):
    entity, relation, facts, _ = some_world(5)
    facts = np.unique(facts, axis=0)
    graph = transe_kg.Graph(tuple("abcdef"), tuple("xyz"), facts[:-3], facts[-3:])
    known = {tuple(fact) for fact in facts.tolist()}
    other = transe_kg.other_answers(graph, facts, side)
    raw, filtered = transe_kg.ranks(entity, relation, facts, side, norm, other)
    for row, fact in enumerate(facts.tolist()):

        def distance(candidate, fact=fact):
            h, r, t = (candidate if place == side else x for place, x in enumerate(fact))
            return np.linalg.norm(entity[h] + relation[r] - entity[t], ord=1 if norm == "L1" else 2)

        nearer = [c for c in range(6) if distance(c) < distance(fact[side])]
        unknown = [c for c in nearer if tuple(c if p == side else x for p, x in enumerate(fact)) not in known]
        assert raw[row] == 1 + len(nearer)
        assert filtered[row] == 1 + len(unknown)
    assert np.any(filtered < raw)


@pytest.mark.parametrize("data", ["countries", "symmetric", "one-to-many", "transitive"])
def test_exact_fits_span_the_null_space_of_scipy(data):
    graph = transe_kg.choose_graph(Settings(data=data))[1]
    matrix = np.zeros((len(graph.train), len(graph.entities) + len(graph.relations)))
    for row, (h, r, t) in enumerate(graph.train):
        matrix[row, h] += 1
        matrix[row, len(graph.entities) + r] += 1
        matrix[row, t] -= 1
    ours, reference = transe_kg.exact_fits(graph), null_space(matrix)
    assert np.allclose(ours @ ours.T, reference @ reference.T)


def test_the_plane_is_that_of_scikit_learn(world):
    reference = PCA(2, svd_solver="full").fit(world.model.entity[0])
    expected = reference.transform(world.model.entity[0])
    signs = np.sign(np.sum(expected * world.film.entity[-1], axis=0))
    assert np.allclose(world.film.entity[-1] * signs, expected)
    assert world.film.plane_share == pytest.approx(reference.explained_variance_ratio_.sum())


@pytest.mark.parametrize("n", [1, 2, 5, 108])
def test_chance_is_the_mean_over_all_equally_likely_ranks(n):
    levels = transe_kg.chance(np.full(3, float(n)))
    assert levels["MRR"] == pytest.approx(float(sum(Fraction(1, rank) for rank in range(1, n + 1)) / n))
    assert levels["mean rank"] == pytest.approx(sum(range(1, n + 1)) / n)
    assert levels["hits@3"] == pytest.approx(sum(rank <= 3 for rank in range(1, n + 1)) / n)


# --- invariant ---

vectors = arrays(float, (6, 3), elements=st.floats(-2, 2).map(lambda x: round(x, 3)))


@settings(max_examples=150, deadline=None)
@given(vectors, arrays(float, (2, 3), elements=st.floats(-2, 2)), st.sampled_from(NORMS))
def test_whatever_the_vectors_a_promised_answer_ranks_first(entity, relation, norm):
    graph = transe_kg.Graph(
        tuple("abcdef"), ("cap", "part"), np.array([[0, 0, 1], [1, 1, 2]]), np.empty((0, 3), int)
    )
    model = transe_kg.model_of(graph, norm, entity[None], relation[None])
    answer = np.array([2])
    first, second = model.miss(("a", "cap", "b")), model.miss(("b", "part", "c"))
    walk = transe_kg.to_all(
        model, model.entity_of("a") + model.relation_of("cap") + model.relation_of("part")
    )
    after = transe_kg.to_all(model, model.entity_of("b") + model.relation_of("part"))
    assert walk[0, 2] <= first[0] + second[0] + 1e-9
    if np.sort(after[0])[1] - after[0, 2] > 2 * first[0] + 1e-6:
        assert transe_kg.promised(after, answer, first).all()
    if transe_kg.promised(after, answer, first + 1e-6).all():
        assert transe_kg.pessimistic_rank(walk, answer)[0] == 1


def test_promises_are_made_and_kept_near_an_exact_fit():
    rng, kept = np.random.default_rng(0), 0
    for _ in range(200):
        france, arrows = rng.standard_normal(3), rng.standard_normal((2, 3))
        paris, europe = france - arrows[0] + rng.normal(0, 0.2, 3), france + arrows[1]
        entity = np.stack([paris, france, europe, *rng.standard_normal((3, 3))])[None]
        graph = transe_kg.Graph(
            tuple("abcdef"), ("cap", "part"), np.array([[0, 0, 1]]), np.empty((0, 3), int)
        )
        model = transe_kg.model_of(graph, "L2", entity, arrows[None])
        after = transe_kg.to_all(model, entity[:, 1] + arrows[1])
        walk = transe_kg.to_all(model, entity[:, 0] + arrows.sum(axis=0))
        if transe_kg.promised(after, np.array([2]), model.miss(("a", "cap", "b"))).all():
            kept += 1
            assert transe_kg.pessimistic_rank(walk, np.array([2]))[0] == 1
    assert kept > 100


@pytest.mark.parametrize("n", [11, 108])
def test_a_scorer_that_gives_all_the_same_gets_no_credit(n):
    answer = np.arange(n) % n
    score = transe_kg.metrics(transe_kg.pessimistic_rank(np.full((n, n), 0.3), answer))
    level = transe_kg.chance(np.full(n, float(n)))
    assert score["mean rank"] == n > level["mean rank"]
    assert score["MRR"] == pytest.approx(1 / n)
    assert score["MRR"] < level["MRR"]
    assert [score[f"hits@{k}"] for k in (1, 3, 10)] == [0, 0, 0]


def test_vectors_that_have_collapsed_get_no_credit():
    _, relation, facts, _ = some_world(2, n=12, k=20)
    entity = np.ones((12, 4)) / 2 + np.random.default_rng(0).normal(
        0, 1e-13, (12, 4)
    )  # equal but for rounding
    rank = transe_kg.ranks(entity, relation, facts, 2, "L2", np.zeros((20, 12), bool))
    assert np.all(rank == 12)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 40))
def test_a_corrupted_fact_differs_in_its_head_or_in_its_tail_and_nowhere_else(seed, n):
    rng = np.random.default_rng(seed)
    facts = np.stack([rng.integers(n, size=30), rng.integers(3, size=30), rng.integers(n, size=30)], axis=1)
    other = transe_kg.corrupt(rng, facts, n)
    assert np.all(np.sum(other != facts, axis=1) == 1)
    assert np.all(other[:, 1] == facts[:, 1])
    assert other.min() >= 0
    assert other[:, [0, 2]].max() < n


@pytest.mark.parametrize("norm", NORMS)
def test_entities_stay_on_the_unit_sphere_and_the_loss_falls(norm):
    graph = transe_kg.choose_graph(Settings(data="countries"))[1]
    seen = list(transe_kg.training(graph, Settings(norm=norm, steps=300)))
    for _, entity, _, _ in seen:
        assert np.allclose(np.linalg.norm(entity, axis=-1), 1)
    assert seen[-1][3] < 0.5 * seen[0][3]
    assert [s for s, *_ in seen] == transe_kg.frame_steps(300)
    assert (seen[0][0], seen[-1][0]) == (0, 300)


@pytest.mark.parametrize("norm", NORMS)
def test_a_step_that_looks_only_at_the_entities_it_touches_is_the_same_step(norm, monkeypatch):
    rng = np.random.default_rng(0)
    facts = np.column_stack([rng.integers(size, size=1500) for size in (300, 7, 300)])
    names = tuple(map(str, range(300))), tuple(map(str, range(7)))
    graph = transe_kg.Graph(*names, facts, facts[:0])
    ways = []
    for few in (3, np.inf):  # 3 · 40 < 300, so the first way gathers
        monkeypatch.setattr(transe_kg, "FEW", few)
        ways.append(list(transe_kg.training(graph, Settings(norm=norm, steps=200), batch_size=40)))
    for some, everyone in zip(*ways, strict=True):
        for one, other in zip(some, everyone, strict=True):
            assert np.allclose(one, other, atol=1e-9)


def test_known_facts_are_never_used_as_corrupted_ones(monkeypatch):
    graph, honest, seen = encode(FOUR), transe_kg.margin_loss, []

    def spy(entity, relation, fact, corrupted, counts, *rest):
        n, m = len(graph.entities), len(graph.relations)
        plain = corrupted % np.array([n, m, n])
        known = {tuple(row) for row in graph.train.tolist()}
        seen.extend((tuple(row) in known, bool(c)) for row, c in zip(plain.tolist(), counts, strict=True))
        return honest(entity, relation, fact, corrupted, counts, *rest)

    monkeypatch.setattr(transe_kg, "margin_loss", spy)
    list(transe_kg.training(graph, Settings(steps=200)))
    assert {known != used for known, used in seen} == {True}
    assert any(known for known, _ in seen)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    ("data", "dimension", "margin", "alpha"),
    [("four facts", 2, 0.1, 0.1), ("countries", 5, 3.0, 0.001), ("transitive", 32, 1.0, 0.05)],
)
def test_no_setting_refutes_a_theorem(norm, data, dimension, margin, alpha):
    chosen = {"data": data, "dimension": dimension, "margin": margin, "alpha": alpha}
    outcome = run(Settings(**chosen, norm=norm, steps=200, seed=5))
    assert "refuted" not in {c.verdict for c in claims(outcome)}


# --- known case ---


def test_margin_loss_of_a_pair_worked_by_hand():
    entity, relation = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 6.0]]), np.array([[0.0, 0.0]])
    fact, other, counts = np.array([[0, 0, 1]]), np.array([[0, 0, 2]]), np.array([True])
    hinge, by_entity, by_relation = transe_kg.margin_loss(entity, relation, fact, other, counts, 2.0, "L2")
    assert hinge[0] == 2 + 5 - 6
    assert np.allclose(by_entity, [[-0.6, -0.8 + 1], [0.6, 0.8], [0, -1]])
    assert np.allclose(by_relation, [[-0.6, -0.8 + 1]])
    hinge, *gradients = transe_kg.margin_loss(entity, relation, fact, other, counts, 0.5, "L2")
    assert hinge[0] == 0
    assert not any(g.any() for g in gradients)


@pytest.mark.parametrize(
    ("data", "together", "vanishing"),
    [
        ("four facts", {("Paris", "London"), ("France", "UK")}, []),
        ("symmetric", {("Ada", "Ben"), ("Cleo", "Dan")}, ["isMarriedTo"]),
        ("one-to-many", {("France", "Italy", "Spain"), ("Paris", "Rome"), ("Japan", "Nepal"),
                         ("Tokyo", "Kathmandu")}, []),
        ("transitive", {("Ada", "Ben", "Cleo", "Dan")}, ["isAncestorOf"]),
    ],
)  # fmt: skip
def test_who_is_forced_to_become_one_point(data, together, vanishing):
    outcome = run(Settings(data=data, steps=200))
    assert set(outcome.forced) == {tuple(group) for group in together}
    assert outcome.vanishing == vanishing


def test_a_chain_of_three_different_facts_can_be_met_exactly():
    graph = encode([("a", "r", "b"), ("b", "s", "c"), ("c", "t", "d")])
    assert transe_kg.coincidences(graph, transe_kg.exact_fits(graph)) == ([], [])


def test_the_countries_are_consistent():
    facts = transe_kg.countries()
    by = {name: {h: t for h, r, t in facts if r == name} for name in {r for _, r, _ in facts}}
    assert Counter(r for _, r, _ in facts) == dict.fromkeys(
        ("isCapitalOf", "isPartOf", "inRegion", "locatedIn"), 42
    )
    assert len(set(facts)) == 168
    capitals, nations = set(by["isCapitalOf"]), set(by["isCapitalOf"].values())
    regions, parts = set(by["isPartOf"].values()), set(by["inRegion"].values())
    assert len(capitals) == len(nations) == 42
    assert set(by["isPartOf"]) == set(by["inRegion"]) == nations
    assert set(by["locatedIn"]) == capitals
    for capital, nation in by["isCapitalOf"].items():
        assert by["locatedIn"][capital] == by["isPartOf"][nation]
    for part in parts:
        assert len({by["isPartOf"][n] for n in nations if by["inRegion"][n] == part}) == 1
    groups = [capitals, nations, regions, parts]
    assert len(set().union(*groups)) == sum(map(len, groups)) == 108
    assert transe_kg.chance(np.array([108.0]))["MRR"] == pytest.approx(0.0487, abs=5e-5)
    assert set(FOUR) <= set(facts)


def test_hidden_capitals_are_never_trained_on_and_all_answered(world):
    graph = world.model.graph
    hidden = {graph.words(fact) for fact in graph.held_out.tolist()}
    assert len(hidden) == 12
    assert {r for _, r, _ in hidden} == {"locatedIn"}
    assert hidden.isdisjoint(graph.rows)
    assert hidden | set(graph.rows) == set(transe_kg.countries())
    assert np.all(world.world_rank == 1)
    assert world.summary["held_out_mrr"] > 10 * world.summary["held_out_chance"]


def test_the_composed_question_puts_paris_in_europe(result):
    answers = transe_kg.query(result, "Paris", "isCapitalOf + isPartOf")
    assert answers["tail"][0] == "Europe"
    assert list(answers["rank"]) == [1, 2, 3, 4, 5]
    assert answers.distance.is_monotonic_increasing
    at, to = result.model.entity[0, [0, 2]]
    walk = at + result.model.relation[0].sum(axis=0)
    assert answers.distance[0] == pytest.approx(np.linalg.norm(walk - to))
    known = transe_kg.query(result, "France", "isPartOf")
    assert list(known["tail"][known["fact"]]) == ["Europe"]


def test_a_query_for_something_unknown_lists_what_is_known(result):
    with pytest.raises(
        ValueError, match=r"unknown entity 'Berlin'; there are Paris, France, Europe, London, UK"
    ):
        transe_kg.query(result, "Berlin", "isPartOf")
    with pytest.raises(ValueError, match=r"unknown relation 'isNear'; there are isCapitalOf, isPartOf"):
        transe_kg.query(result, "Paris", "isCapitalOf + isNear")


def test_under_l1_nothing_is_promised_at_a_margin_of_one():
    assert verdict(run(Settings(norm="L1")), "2.7-transe-02") == "not at these settings"
    assert verdict(run(Settings(norm="L1", margin=3, dimension=8)), "2.7-transe-02") == "confirmed"


def test_a_marriage_shrinks_and_a_table_shows_every_frame():
    outcome = run(Settings(data="symmetric"))
    marriage = outcome.film.length[:, 0]
    assert marriage[0] == pytest.approx(1)
    assert marriage[-1] < 0.5
    shown = tables(outcome)
    assert set(shown["points"].frame) == set(shown["arrows"].frame) == set(shown["training"].frame)
    assert list(shown["forced"].becomes) == ["one point", "one point", "zero arrow"]


# --- facts as typed, and files ---


def test_facts_may_be_parted_by_lines_or_semicolons_or_tabs():
    expected = [("a", "r", "b"), ("b", "r", "c")]
    assert parse_facts("a r b\n\n b  r c \n") == expected
    assert parse_facts("a r b; b r c;") == expected
    assert parse_facts("a\tr\tb\nb r c") == expected
    assert parse_facts("Côte-d'Ivoire r St.Kitts&Nevis") == [("Côte-d'Ivoire", "r", "St.Kitts&Nevis")]
    assert parse_facts("New York\tis in\tUSA") == [("New York", "is in", "USA")]
    assert parse_facts(" ; \n") == list(FOUR)
    assert parse_facts("a r b; a r b; b r a") == [("a", "r", "b"), ("b", "r", "a")]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Paris isCapitalOf France\nFrance isPartOf", "line 2 has 2 words"),
        ("a r b; c", "line 2 has 1 word;"),
        ("a r b c", "line 1 has 4 words"),
        ("a r a", "one entity only"),
        ("a r b\x07", "line 1 has a name with a sign other than"),
        ("a r b\na ![x](http://x/y.png) b", "line 2 has a name with a sign other than"),
        ("<script>alert(1)</script>", "line 1 has 1 word;"),
        ("{0} {1}", "line 1 has 2 words"),
    ],
)
def test_malformed_facts_are_refused_with_their_line(text, why):
    with pytest.raises(ValidationError) as caught:
        Settings(facts=text)
    (line,) = problems(caught.value, Settings)
    assert line.startswith("facts = ")
    assert why in line
    assert "\n" not in line


def test_own_facts_are_learned_and_make_no_claim_about_paris():
    outcome = run(Settings(facts="Ann likes Bob; Bob likes Cid; Cid likes Ann", steps=300))
    assert outcome.source == "own facts"
    assert outcome.model.graph.entities == ("Ann", "Bob", "Cid")
    assert claim(outcome, "2.7-transe-01").unmet == claim(outcome, "2.7-transe-02").unmet == NOT_HERE
    assert verdict(outcome, "2.7-transe-03") == "confirmed"
    assert tables(outcome)["questions"]["question"][0] == "likes + likes"


def test_a_symmetric_fact_added_to_the_four_vanishes_in_an_exact_fit():
    text = "\n".join([*(" ".join(fact) for fact in FOUR), "France borders UK", "UK borders France"])
    outcome = run(Settings(facts=text))
    assert outcome.vanishing == ["borders"]
    assert verdict(outcome, "2.7-transe-01") == "confirmed"
    assert verdict(outcome, "2.7-transe-02") in ("confirmed", "not at these settings")


def test_a_file_is_read_with_comments_a_mark_and_windows_line_ends(tmp_path):
    path = tmp_path / "facts.tsv"
    path.write_bytes("\ufeff# a comment\r\nNew York\tin\tUSA\r\n\r\nSão Paulo\tin\tBrazil\r\n".encode())
    assert read_triples(path) == [("New York", "in", "USA"), ("São Paulo", "in", "Brazil")]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"# only\n\n  \n", "is empty"),
        (b"a\tr\tb\n\x00\x01", "is a binary file"),
        (b"a\tr\tb\nM\xfcnchen\tr\tb\n", "line 2 is not UTF-8"),
        (b"a\tr\tb\nb\tr\n", "line 2 has 2 fields"),
        (b"a r b\n", "line 1 has 1 field;"),
        (b"a\tr\tb\tc\n", "line 1 has 4 fields"),
        (b"a\tr\t\n", "line 1 has a name that is empty"),
        (b"a\tr\tb\n" + b"x" * 300 + b"\tr\tb\n", "line 2 has a name that is longer"),
        (b"a\tr\ta\n", "one entity only"),
        (b"a\tr\tb\n" * 400_000, "is larger than 2 MB"),
        ("".join(f"e{i}\tr\te{i + 1}\n" for i in range(6000)).encode(), "6,000 facts on 6,001 entities"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path, content, why):
    path = tmp_path / "facts.tsv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=why) as caught:
        read_triples(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no such file"):
        read_triples(tmp_path / "none.tsv")
    with pytest.raises(ValueError, match="cannot be read"):
        read_triples(tmp_path)


def test_a_file_is_learned_and_tested_on_facts_it_did_not_see():
    outcome = run(Settings(steps=600), triples=list(transe_kg.countries()))
    graph = outcome.model.graph
    assert outcome.source == "file"
    assert (len(graph.train), len(graph.held_out)) == (151, 17)
    assert set(graph.held_out[:, [0, 2]].ravel()) <= set(graph.train[:, [0, 2]].ravel())
    assert set(graph.held_out[:, 1]) <= set(graph.train[:, 1])
    assert outcome.summary["held_out_mrr"] > 2 * outcome.summary["held_out_chance"]
    assert len(tables(outcome)["ranking"]) == 80


@pytest.mark.slow
def test_a_large_file_is_learned_in_batches():
    rng = np.random.default_rng(0)
    place, arrow = rng.standard_normal((135, 2)), rng.standard_normal((46, 2))
    facts = set()
    while len(facts) < 5000:
        h, r = int(rng.integers(135)), int(rng.integers(46))
        near = np.argsort(np.linalg.norm(place[h] + arrow[r] - place, axis=1))[:4]
        facts.add((f"e{h}", f"r{r}", f"e{rng.choice(near)}"))
    outcome = run(Settings(), triples=sorted(facts))
    assert outcome.model.entity.shape == (1, 135, 20)
    assert len(outcome.model.graph.held_out) == 300
    assert claim(outcome, "2.7-transe-01").unmet == NOT_HERE
    assert outcome.summary["held_out_mrr"] > 4 * outcome.summary["held_out_chance"]
    assert sum(len(frame) for frame in tables(outcome).values()) <= 40_000


# --- negative control ---


def scaled_error(name, factor, at=slice(None)):
    """Spoil the errors that training measured, of one model."""

    def spoil(result):
        model = getattr(result, name)
        error = model.error.copy()
        error[:, at] *= factor
        return {name: replace(model, error=error)}

    return spoil


@pytest.mark.parametrize(
    ("claim_id", "spoil"),
    [
        ("2.7-transe-01", lambda r: {"four_basis": np.linalg.qr(np.arange(21.0).reshape(7, 3) ** 2)[0]}),
        ("2.7-transe-01", lambda r: {"four_basis": r.four_basis[:, :2]}),
        ("2.7-transe-01", lambda r: {"collapse_hinge": 0.0}),
        ("2.7-transe-01", scaled_error("witness", 0.5)),
        ("2.7-transe-02", lambda r: {"composed": -r.composed}),
        ("2.7-transe-02", lambda r: {"composed": r.composed + 1}),
        ("2.7-transe-02", lambda r: {"direct": r.direct * 3}),
        ("2.7-transe-02", lambda r: {"world_rank": np.full_like(r.world_rank, 2)}),
        ("2.7-transe-02", lambda r: {"world_distance": r.world_distance + 2}),
        ("2.7-transe-02", scaled_error("world", 0.1)),
        ("2.7-transe-03", scaled_error("symmetric", 1.01)),
        ("2.7-transe-03", scaled_error("transitive", 0.99)),
        ("2.7-transe-03", lambda r: {"flat_relations": r.flat_relations + 0.01}),
    ],
)
def test_a_spoiled_result_refutes_its_claim(result, claim_id, spoil):
    assert verdict(result, claim_id) == "confirmed"
    assert verdict(replace(result, **spoil(result)), claim_id) == "refuted"


def test_hidden_capitals_ranked_no_better_than_chance_refute_the_shortcut(result):
    spoiled = replace(result, world_rank=np.full_like(result.world_rank, 50))
    last = claim(spoiled, "2.7-transe-02").also[-1]
    assert last.what.startswith("countries: MRR")
    assert not last.passed


def test_what_nothing_can_check_is_said_to_be_so(result):
    assert verdict(result, "2.7-kg-01") == "not checkable"
