"""Message passing: against networkx, torch and scikit-learn, invariants, cases by hand, spoiled results."""

from dataclasses import replace
from itertools import combinations, product

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.neighbors import NearestCentroid

from experiments import message_passing as mp
from experiments.message_passing import AGGREGATORS, CHALLENGES, PAIRS, Settings, claims, run, tables
from lab.cora import load_cora


@pytest.fixture(scope="module")
def result():
    return run(Settings())


def verdict(result, claim_id):
    return next(claim.verdict for claim in claims(result) if claim.id == claim_id)


@st.composite
def graphs(draw, most=7):
    n = draw(st.integers(1, most))
    edges = draw(st.sets(st.sampled_from(list(combinations(range(n), 2))))) if n > 1 else set()
    return mp.from_edges(n, sorted(edges))


# --- reference ---


def test_karate_and_atlas_are_those_of_networkx(result):
    assert np.array_equal(result.adjacency, nx.to_numpy_array(nx.karate_club_graph(), weight=None))
    for own, reference in zip(mp.atlas(), nx.graph_atlas_g(), strict=False):
        assert np.array_equal(own, nx.to_numpy_array(reference, nodelist=range(len(reference))))
    assert len(mp.atlas()) == 209


@pytest.mark.parametrize("how", AGGREGATORS)
def test_the_jacobian_written_by_hand_is_that_of_autograd(how):
    rng = np.random.default_rng(3)
    adjacency = mp.karate().adjacency
    x, (own, other) = rng.standard_normal((34, 3)), rng.standard_normal((2, 3, 3)) / 2
    links = torch.tensor(adjacency)

    def layers(states, depth):
        for _ in range(depth):
            if how == "max":
                heard = torch.where(links[:, :, None] > 0, states[None], -torch.inf).amax(dim=1)
            else:
                heard = links @ states
            heard = heard / links.sum(dim=1, keepdim=True) if how == "mean" else heard
            states = torch.tanh(states @ torch.tensor(own) + heard @ torch.tensor(other))
        return states

    found = mp.influences(adjacency, x, own, other, how)
    for depth in (1, 2, 4):
        slope = torch.autograd.functional.jacobian(lambda s, d=depth: layers(s, d), torch.tensor(x))
        expected = slope.abs().amax(dim=(1, 3)).numpy()  # (34, 34)
        assert np.allclose(found[depth], expected / expected.max(), atol=1e-12)


def test_steps_are_those_of_networkx(result):
    for node, lengths in nx.all_pairs_shortest_path_length(nx.karate_club_graph()):
        assert all(result.hops[node, other] == steps for other, steps in lengths.items())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_colour_refinement_makes_the_classes_of_networkx():
    six, refined, _ = mp.six_nodes()
    hashes = [nx.weisfeiler_lehman_graph_hash(nx.from_numpy_array(graph), iterations=6) for graph in six]
    pairs = set(zip(hashes, refined.tolist(), strict=True))
    assert len(pairs) == len(set(hashes)) == len(set(refined.tolist())) == 152


def test_every_pair_is_of_two_graphs_that_are_not_isomorphic():
    same_colour = nx.algorithms.isomorphism.categorical_node_match("colour", 0)
    for pair in PAIRS.values():
        one, two = (nx.from_numpy_array(graph.adjacency) for graph in pair)
        for graph, drawn in zip((one, two), pair, strict=True):
            nx.set_node_attributes(graph, dict(enumerate(drawn.colour.tolist())), "colour")
        assert not nx.is_isomorphic(one, two, node_match=same_colour)
        assert np.array_equal(np.sort(pair[0].colour), np.sort(pair[1].colour))


def test_trees_are_counted_as_networkx_counts_them():
    kinds = [1, 1, 2, 4, 9, 20]  # rooted trees, A000081
    assert [len(mp.rooted_trees(n)) for n in range(1, 7)] == kinds
    graph = mp.atlas()[130]
    path, claw = nx.path_graph(3), nx.star_graph(3)
    counts = mp.tree_counts(graph[None], 4)[0]
    for tree in (path, claw):
        maps = np.indices((6,) * len(tree)).reshape(len(tree), -1)
        ways = np.prod([graph[maps[a], maps[b]] for a, b in tree.edges], axis=0).sum()
        assert ways in counts


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("depth", [0, 2, 4])
def test_nearest_class_means_are_those_of_scikit_learn(depth):
    cora, (words, links, _) = load_cora(), mp.cora_matrices()
    scale = sparse.diags((np.asarray(links.sum(axis=1)).ravel() + 1) ** -0.5)
    z = words.toarray()
    for _ in range(depth):
        z = scale @ (links @ (scale @ z) + scale @ z)
    reference = NearestCentroid().fit(z[cora.train], cora.label[cora.train])
    right = mp.cora_by_depth()[0][mp.CORA_LAYERS.index(depth)]
    assert (
        np.mean((reference.predict(z[cora.test]) == cora.label[cora.test]) == right) > 0.998
    )  # but for ties


def test_the_limit_on_cora_is_a_mean_over_each_component_weighted_by_degree():
    words, _, root = mp.cora_matrices()
    component, z = root.indices, words[:, :50].toarray()
    square = np.bincount(component, root.data**2)
    mean = np.stack([np.bincount(component, root.data * column) for column in z.T], axis=1)
    expected = root.data[:, None] * mean[component] / square[component, None]
    unit = root @ sparse.diags(square**-0.5)
    assert np.allclose(unit @ (unit.T @ z), expected)
    assert len(square) == 78


# --- invariant ---


@settings(max_examples=25, deadline=None)
@given(graphs(), st.sampled_from(AGGREGATORS[:2]), st.integers(0, 99))
def test_any_graph_is_seen_exactly_to_k_hops(adjacency, how, seed):
    rng = np.random.default_rng(seed)
    x, (own, other) = rng.standard_normal((len(adjacency), 3)), rng.standard_normal((2, 3, 3)) / 2
    seen = mp.influences(adjacency, x, own, other, how) > 0
    within = mp.steps_between(adjacency) <= np.arange(mp.DEPTH + 1)[:, None, None]
    assert np.array_equal(seen, within)


@settings(max_examples=25, deadline=None)
@given(graphs(), st.integers(0, 99))
def test_a_max_never_sees_further_than_k_hops(adjacency, seed):
    rng = np.random.default_rng(seed)
    x, (own, other) = rng.standard_normal((len(adjacency), 3)), rng.standard_normal((2, 3, 3)) / 2
    seen = mp.influences(adjacency, x, own, other, "max") > 0
    assert not np.any(seen & (mp.steps_between(adjacency) > np.arange(mp.DEPTH + 1)[:, None, None]))


@settings(max_examples=30, deadline=None)
@given(graphs(), st.integers(0, 99))
def test_what_is_left_falls_at_least_as_fast_as_the_second_eigenvalue(adjacency, seed):
    x = np.random.default_rng(seed).standard_normal((len(adjacency), 3))
    matrix, end = mp.normalised(adjacency), mp.limit(adjacency, mp.steps_between(adjacency))
    assert np.allclose(end @ matrix, end)
    far = mp.distances_from_limit(matrix, end, x)
    top = mp.second_modulus(np.linalg.eigvalsh(matrix))
    assert np.all(far <= far[0] * top ** np.arange(mp.DEPTH + 1) + 1e-9)


@settings(max_examples=30, deadline=None)
@given(graphs(), st.sampled_from(AGGREGATORS), st.randoms(use_true_random=False))
def test_renumbering_the_nodes_changes_no_colour_count_and_no_readout(adjacency, how, random):
    n = len(adjacency)
    order = random.sample(range(n), n)
    both = np.stack([adjacency, adjacency[np.ix_(order, order)]])
    plain = np.zeros((2, n), dtype=int)
    colours = np.sort(mp.settle(both, plain, how), axis=1)
    assert np.array_equal(colours[0], colours[1])
    said = mp.readout(both, plain, mp.random_gin(np.random.default_rng(0)), how)
    assert np.allclose(said[0], said[1], atol=1e-10)


@settings(max_examples=30, deadline=None)
@given(graphs(), st.sampled_from(("gcn", *AGGREGATORS)), st.integers(1, 9))
def test_messages_and_matrices_agree_on_any_graph(adjacency, how, layers):
    rng = np.random.default_rng(layers)
    x, weights = rng.standard_normal((len(adjacency), 3)), rng.standard_normal((3, 3))
    matrix, message = mp.both_forms(adjacency, x, weights, layers, how)
    assert message == pytest.approx(matrix, abs=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_every_claim_holds_for_further_seeds(seed):
    assert {claim.verdict for claim in claims(run(Settings(seed=100 + seed, draws=1000)))} == {"confirmed"}


@pytest.mark.parametrize("number", range(1, 209, 15))
def test_no_graph_of_the_atlas_refutes_a_claim(number):
    found = run(Settings(graph="atlas", atlas=number, draws=1000, seed=number))
    assert "refuted" not in {claim.verdict for claim in claims(found)}
    assert tables(found)["view"]["node"].max() == len(found.adjacency) - 1


# --- known case ---


def test_the_share_of_the_club_that_is_seen_grows_as_known(result):
    shares = np.mean(result.influence > 0, axis=(1, 2))
    assert [round(100 * share) for share in shares[1:6]] == [16, 62, 86, 99, 100]
    assert result.summary["second_eigenvalue"] == pytest.approx(0.8961, abs=5e-5)


def test_a_ring_is_seen_two_nodes_a_layer_and_has_known_eigenvalues():
    found = run(Settings(graph="ring", layers=7))
    assert found.summary["seen_at_k"] == pytest.approx(15 / 34)
    assert found.summary["layers_to_see_all"] == 17
    assert found.summary["second_eigenvalue"] == pytest.approx((1 + 2 * np.cos(2 * np.pi / 34)) / 3)


def test_an_isolated_node_hears_zero():
    lonely = np.zeros((2, 2))
    for how in AGGREGATORS:
        assert np.array_equal(mp.aggregate(lonely, np.ones((2, 3)), how), np.zeros((2, 3)))
    found = run(Settings(graph="atlas", atlas=2))
    assert verdict(found, "2.7-sage-01") == "not at these settings"
    assert verdict(found, "2.7-mp-02") == "not at these settings"


def test_sums_means_and_maxima_by_hand():
    star = mp.star([0, 0, 0]).adjacency
    states = np.array([[9.0], [1.0], [2.0], [6.0]])
    centre = [float(mp.aggregate(star, states, how)[0, 0]) for how in AGGREGATORS]
    assert centre == [9.0, 3.0, 6.0]


def test_each_pair_takes_one_aggregator_out_of_the_race(result):
    assert result.told.sum(axis=1).tolist() == [3, 2, 1, 0, 0]
    assert np.array_equal(result.told, np.sort(result.told, axis=1)[:, ::-1])


def test_star_and_path_part_in_the_first_round_and_hexagon_and_triangles_never():
    assert mp.first_difference(mp.refined_pair(PAIRS["star/path"], "sum")) == 1
    assert mp.first_difference(mp.refined_pair(PAIRS["star/path"], "mean")) == np.inf
    colours = mp.refined_pair(PAIRS["hexagon/triangles"], "sum")
    assert not colours.any()


def test_two_of_three_drawn_without_replacement_by_hand():
    values = np.array([0.0, 3.0, 6.0])  # pairs have the means 1.5, 3, 4.5
    assert mp.sample_variance(values, 2) == pytest.approx(1.5)
    assert mp.sample_variance(values, 2, replacement=True) == pytest.approx(3.0)
    assert mp.sample_variance(values, 3) == 0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=6), st.data())
def test_moments_of_a_sampled_mean_are_those_of_all_samples_listed(numbers, data):
    values = np.array(numbers, dtype=float)
    size = data.draw(st.integers(1, min(len(values), 4)))
    samples = {False: combinations(values, size), True: product(values, repeat=size)}
    for replacement, listed in samples.items():
        away = np.mean(list(listed), axis=1) - values.mean()
        assert mp.sample_variance(values, size, replacement) == pytest.approx(np.mean(away**2), abs=1e-9)
        assert mp.fourth_moment(values, size, replacement) == pytest.approx(np.mean(away**4), abs=1e-7)


def test_only_square_weights_fit_the_figure(result):
    figure, general = result.widths
    assert np.array_equal(figure == 2, np.eye(6, dtype=bool))
    assert np.all(figure[0, 1:] == 1)
    assert np.all(figure[1:, 0] == 1)
    assert np.all(general == 2)


def test_cora_gains_from_two_layers_and_is_lost_after_256(result):
    accuracy = dict(zip(mp.CORA_LAYERS, result.cora_right.mean(axis=1), strict=True))
    assert accuracy[0] == pytest.approx(0.569, abs=0.002)
    assert accuracy[2] == pytest.approx(0.790, abs=0.002)
    assert accuracy[256] == pytest.approx(0.165, abs=0.002)


def test_challenges_are_answered_as_theory_says(result):
    assert CHALLENGES[0].answer(result) == pytest.approx(720 / 1156)
    assert CHALLENGES[1].answer(result) == nx.diameter(nx.karate_club_graph())
    assert CHALLENGES[2].answer(run(Settings(pair="hexagon/triangles"))) == "never"


# --- negative control ---


def swapped(array, at, value):
    changed = array.copy()
    changed[at] = value
    return changed


@pytest.mark.parametrize(
    ("claim_id", "spoil"),
    [
        ("2.7-mp-01", lambda r: {"influence": swapped(r.influence, (2, 16, 33), 1.0)}),
        ("2.7-mp-01", lambda r: {"influence": swapped(r.influence, (9, 16, 33), 0.0)}),
        ("2.7-mp-02", lambda r: {"left": r.left**1.01}),
        ("2.7-mp-02", lambda r: {"left": r.left * np.append(1.0, np.full(60, 10.0))}),
        ("2.7-mp-02", lambda r: {"cora_right": r.cora_right[::-1]}),
        ("2.7-mp-02", lambda r: {"cora_limit": r.cora_right[0]}),
        ("2.7-mp-03", lambda r: {"widths": np.full_like(r.widths, 2)}),
        ("2.7-mp-03", lambda r: {"widths": r.widths[::-1]}),
        ("2.7-mp-03", lambda r: {"with_identity": (r.with_identity[0], r.with_identity[1] + 1e-6)}),
        ("2.7-mp-04", lambda r: {"forms": r.forms + np.array([0.0, 1e-6])}),
        ("2.7-mp-04", lambda r: {"forms": swapped(r.forms, (3, 1), 0.5)}),
        ("2.7-sage-01", lambda r: {"moments": r.moments[::-1]}),
        ("2.7-sage-01", lambda r: {"moments": r.moments + np.array([0.1, 0.0])}),
        ("2.7-sage-01", lambda r: {"sage_right": r.cora_right[:6] & False}),
        ("2.7-gin-01", lambda r: {"refined": np.arange(156)}),
        ("2.7-gin-01", lambda r: {"by_network": np.arange(156)}),
        ("2.7-gin-01", lambda r: {"by_network": np.roll(r.by_network, 1)}),
        ("2.7-gin-01", lambda r: {"distance": swapped(r.distance, (3, 0), 0.1)}),
        ("2.7-gin-01", lambda r: {"told": ~r.told}),
    ],
)
def test_a_spoiled_result_refutes_its_claim(result, claim_id, spoil):
    assert verdict(result, claim_id) == "confirmed"
    assert verdict(replace(result, **spoil(result)), claim_id) == "refuted"


def test_a_max_makes_no_claim_on_exactly_k_hops():
    assert verdict(run(Settings(aggregator="max")), "2.7-mp-01") == "not at these settings"
