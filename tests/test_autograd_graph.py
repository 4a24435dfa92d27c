"""The graph behind a gradient: against torch and networkx, laws, worked cases, and spoiled results."""

import heapq
from dataclasses import replace
from itertools import permutations
from types import SimpleNamespace

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import ValidationError

from experiments import autograd_graph as graph
from experiments.autograd_graph import CHALLENGES, EXAMPLES, NAMES, Settings, claims, run, tables
from lab.contract import bounds, choices, problems
from lab.data import digits

FORMULAS = [
    *(text for text, _ in EXAMPLES.values()),
    "sigmoid(w*x + b) * tanh(x) - log(exp(y) + 1)",
    "x*x*x - x/w + 2**b - (-y)",
    "exp(x*w) / (1 + exp(b)) + relu(x - 3)*y",
    "(x + w)**3 * (x + w)**b",
    "3 - x + (x*x + w*x)*(w + b)",
]
AT = {"x": 0.7, "w": 1.3, "b": -0.4, "y": 0.9}
FUNCTIONS = {name: getattr(torch, name) for name in graph.FUNCTIONS}


@pytest.fixture(scope="module")
def result():
    return run(Settings())


def claim(result, claim_id):
    return next(c for c in claims(result) if c.id == claim_id)


def by_torch(text, at=AT):
    """The same formula in torch: the root and its leaves."""
    leaves = {n: torch.tensor(v, dtype=torch.float64, requires_grad=True) for n, v in at.items()}
    return eval(text, {"__builtins__": {}}, {**FUNCTIONS, **leaves}), leaves


def grads(leaves):
    return {name: leaf.grad.item() for name, leaf in leaves.items() if leaf.grad is not None}


def ours(text, at=AT):
    nodes = graph.tape(graph.graph_of(text, at))
    return nodes[-1], [node for node in nodes if not node.inputs]


def own(text, **more):
    return Settings(graph="your own", expression=text, **more)


# --- reference ---


@pytest.mark.parametrize("text", FORMULAS)
def test_values_and_gradients_are_those_of_torch(text):
    theirs, leaves = by_torch(text)
    theirs.backward()
    root, mine = ours(text)
    graph.backward(root)
    assert float(root.data) == pytest.approx(theirs.item(), rel=1e-13)
    assert {leaf.name: float(leaf.grad) for leaf in mine} == pytest.approx(grads(leaves), rel=1e-12)


@pytest.mark.parametrize("text", FORMULAS)
def test_nodes_run_in_the_order_in_which_torch_runs_them(text):
    theirs, _ = by_torch(text)
    found, stack, ran = {theirs.grad_fn}, [theirs.grad_fn], []
    while stack:
        for parent, _ in stack.pop().next_functions:
            if parent is not None and parent not in found:
                found.add(parent)
                stack.append(parent)
    made = sorted((f for f in found if "Accumulate" not in f.name()), key=lambda f: f._sequence_nr())
    for place, function in enumerate(made):
        function.register_prehook(lambda _, place=place: ran.append(place))
    theirs.backward()
    course = []
    root, leaves = ours(text)
    nodes = graph.tape(root)
    graph.backward(root, course=course)
    assert [nodes.index(move.node) - len(leaves) for move in course if move.node.inputs] == ran


@pytest.mark.parametrize(
    "text", [*FORMULAS, "x + w - b", "w*x + b", "(w*x + b) + sigmoid(y)", "-x + 3", "x*2"]
)
def test_a_second_call_on_a_freed_graph_ends_as_in_torch(text):
    theirs, leaves = by_torch(text)
    theirs.backward()
    root, mine = ours(text)
    graph.backward(root)
    refused = []
    for call, error in (
        (theirs.backward, RuntimeError),
        (lambda: graph.backward(root), graph.FreedGraphError),
    ):
        try:
            call()
            refused.append(False)
        except error:
            refused.append(True)
    assert refused[0] == refused[1]
    assert {leaf.name: float(leaf.grad) for leaf in mine} == pytest.approx(grads(leaves), rel=1e-12)


def test_leaves_detach_and_no_grad_behave_as_in_torch(result):
    x, w = (torch.tensor(v, requires_grad=True) for v in (2.0, 3.0))
    product = w * x**2
    z = product + 5
    assert not product.is_leaf
    z.backward(retain_graph=True)
    z.backward()
    assert (x.grad.item(), w.grad.item()) == (result.switches["x twice"], result.switches["w twice"])
    z.detach()[...] = 10.0
    assert z.item() == result.switches["z written through detach"]
    w.grad, x.grad = None, None
    (w * (x**2).detach() + 5).backward()
    assert (w.grad.item(), x.grad) == (result.switches["w past detach"], None)
    with torch.no_grad():
        assert (w * x**2 + 5).grad_fn is None


@pytest.mark.parametrize("seed", range(3))
def test_the_network_has_the_gradients_of_torch(seed):
    rng = np.random.default_rng(seed)
    w1, b1 = rng.standard_normal((16, 64)) / 8, 0.1 * rng.standard_normal(16)
    w2, b2 = rng.standard_normal((10, 16)) / 4, 0.1 * rng.standard_normal(10)
    chosen = rng.integers(1797)
    scan, first, bias = (torch.tensor(v, requires_grad=True) for v in (digits()[0][chosen] / 16, w1, b1))
    logits = torch.tensor(w2) @ torch.tanh(first @ scan + bias) + torch.tensor(b2)
    torch.nn.functional.cross_entropy(logits, torch.tensor(int(digits()[1][chosen]))).backward()
    expected = torch.cat([scan.grad, first.grad.ravel(), bias.grad]).numpy()
    assert np.allclose(graph.network(seed).engine, expected, rtol=1e-10, atol=1e-14)


names = st.sampled_from("abcdefg")
edge_lists = st.lists(st.tuples(names, names), min_size=2, max_size=12).filter(
    lambda e: len(set(sum(e, ()))) > 1
)


@examples(max_examples=60, deadline=None)
@given(edge_lists)
def test_sorts_cycles_and_counts_are_those_of_networkx(edges):
    orders = graph.orders_of(", ".join(f"{a}>{b}" for a, b in edges))
    theirs = nx.DiGraph(edges)
    assert bool(orders.search.cycle) != nx.is_directed_acyclic_graph(theirs)
    closure = nx.to_numpy_array(nx.transitive_closure(theirs, reflexive=False), nodelist=list(orders.graph))
    assert np.array_equal(graph.reach(orders.graph), closure)
    assert orders.search.nodes + orders.search.arrows == len(theirs) + theirs.number_of_edges()
    assert len(orders.queue) == graph.before_cycles(orders.graph)
    if orders.search.cycle:
        assert orders.possible == 0
        assert nx.is_simple_path(theirs, orders.search.cycle)
        assert theirs.has_edge(orders.search.cycle[-1], orders.search.cycle[0])
    else:
        assert orders.possible == sum(1 for _ in nx.all_topological_sorts(theirs))
        for order in (orders.queue, orders.search.order, orders.engine[::-1]):
            assert sorted(order) == sorted(theirs)
            assert graph.broken(order, orders.graph) == 0


# --- invariant ---

atoms = st.sampled_from(["x", "w", "b", "y", "2", "0.5"])
formulas = st.recursive(
    atoms,
    lambda part: st.one_of(
        st.builds("({} {} {})".format, part, st.sampled_from(["+", "-", "*", "/", "**"]), part),
        st.builds("{}({})".format, st.sampled_from(graph.FUNCTIONS), part),
        st.builds("-{}".format, part),
    ),
    max_leaves=7,
).filter(lambda text: set(text) & set("xwby") and text not in NAMES)


@examples(max_examples=50, deadline=None)
@given(formulas, st.fixed_dictionaries({name: st.integers(-30, 30) for name in NAMES}), st.integers(1, 3))
def test_no_formula_refutes_a_claim_or_leaves_the_page_without_tables(text, tenths, calls):
    try:
        settings = own(text, calls=calls, **{name: value / 10 for name, value in tenths.items()})
    except ValidationError:  # a constant part that is not finite, or no input left
        return
    outcome = run(settings)
    assert {c.verdict for c in claims(outcome)} <= {"confirmed", "not at these settings"}
    assert sum(len(frame) for frame in tables(outcome).values()) < 12_000
    assert graph.undefined(outcome) or np.isfinite(outcome.gradients).all()


@pytest.mark.parametrize("seed", range(10))
def test_every_claim_holds_for_more_seeds(seed):
    assert {c.verdict for c in claims(run(Settings(seed=seed)))} == {"confirmed"}


def test_any_valid_order_gives_the_same_gradients_and_any_other_loses_some():
    root, _ = ours("relu(w*x + b)*x")
    nodes = graph.tape(root)
    slopes, arrows = graph.local_derivatives(nodes)
    for inner in permutations(range(3, len(nodes))):  # the leaves, which send nothing, come last
        order = [*inner, 0, 1, 2]
        found = graph.backward_along([nodes[i] for i in order])
        same = np.allclose([float(found[node]) for node in nodes], graph.path_sum(slopes))
        assert same == (graph.faults_of(order, arrows)[0] == 0)


def test_frames_run_from_the_inputs_to_the_last_gradient(result):
    nodes, steps = graph.walk(result, graph.places(result.arrows))
    n, leaves = len(result.values), len(result.leaves)
    assert len(steps) == 1 + (n - leaves) + n
    first, last = nodes[nodes.frame == 0], nodes[nodes.frame == steps.frame.max()]
    assert (first.value != "").sum() == leaves
    assert not first.gradient.any()
    assert last.gradient.tolist() == [graph.short(g) for g in result.gradients]


# --- known case ---


def test_the_worked_numbers_are_those_worked_by_hand(result):
    found = {name: round(value, 10) for name, value in result.engine.items()}
    assert [found[f"sample {k}"] for k in "zxw"] == [17, 12, 4]
    assert [found[f"loss {k}"] for k in ("L", "w", "w after", "L after")] == [16, -24, 1.24, 10.7584]
    neuron = ("z", "L", "a", "z.grad", "w", "b", "x", "w after")
    assert [found[f"neuron {k}"] for k in neuron] == [1.1, 0.01, 0.2, 0.2, 0.4, 0.2, 0.1, 0.496]


def test_the_textbook_graph_is_sorted_as_printed(result):
    assert result.layer.queue == ("x", "W", "b", "Wx", "Wx+b")
    assert result.layer.search.order == ("b", "W", "x", "Wx", "Wx+b")
    assert result.layer.possible == 8
    valid = [p for p in permutations(result.layer.graph) if not graph.broken(p, result.layer.graph)]
    assert len(valid) == 8


def test_the_cost_of_a_product_depends_on_its_direction():
    assert graph.products(1000)[:2] == (2_000_000, 1_001_000_000)


def test_a_refused_call_has_credited_what_ran_before_it():
    outcome = run(own("w*x + b", calls=2))
    assert outcome.refused == (2, 3)
    assert outcome.collected.tolist() == [[3, 2, 1], [3, 2, 2]]
    assert run(own("w + x - b", calls=3)).refused == (0, 0)


def test_a_cycle_is_named_and_the_usual_sort_says_nothing():
    yours = run(Settings(edges="x>a>b>a, b>c")).yours
    assert (yours.queue, yours.search.cycle, yours.possible) == (("x",), ("a", "b"), 0)
    with pytest.raises(KeyError):
        graph.queue_sort({"x": ["y"]})


def test_a_formula_without_a_value_is_a_result_that_says_why():
    outcome = run(own("log(x) + w", x=-2.0))
    assert "log(−2)" in graph.undefined(outcome)
    assert claim(outcome, "2.2-chain-01").verdict == "not at these settings"
    assert "ReLU" in graph.undefined(run(own("relu(x)*w", x=0.0)))


def test_the_challenges_have_the_answers_worked_by_hand():
    answers = [challenge.answer(run(Settings(**challenge.settings))) for challenge in CHALLENGES]
    assert answers == [8.0, -24.0, graph.REFUSED[1]]
    kept = run(Settings(**{**CHALLENGES[2].settings, "retain": True}))
    assert CHALLENGES[2].answer(kept) == graph.REFUSED[2]


# --- bad input ---

HOSTILE = [
    "__import__('os').system('x')", "x.__class__", "lambda: x", "[x]", "x if y else w", "(x:=3)+x", "x;y", "",
    "x", "3+4", "relu", "relu(*x)", "relu(x, w)", "sin(x)", "x@w", "True*x", "1j*x", "'a'*x", "9**9**9*x",
    "1/0*x",
    "x*1e999", "-" * 119 + "x", "(" * 100 + "x", "+".join("x" * 30), "x\x00", "f'{x}'+x", "x<w", "é*x",
    "log(x)(w)",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_only_formulas_of_the_list_are_accepted_and_nothing_is_executed(text):
    with pytest.raises(ValidationError) as caught:
        own(text)
    line = problems(caught.value, Settings)[0]
    assert line.startswith("expression = ")
    assert len(line) < 300


@pytest.mark.parametrize(
    "text", ["", "x", "x>", "x>>y", "x<y", "`a`>b", "abcdefghi>b", ",".join("abcdefghijklm")]
)
def test_a_graph_that_cannot_be_read_is_refused_by_name(text):
    with pytest.raises(ValidationError) as caught:
        Settings(edges=text)
    assert problems(caught.value, Settings)[0].startswith("edges = ")


ENDS = [
    {field: end}
    for field, info in Settings.model_fields.items()
    if info.annotation is not str
    for end in (choices(info) or ((False, True) if info.annotation is bool else bounds(info)))
]


@pytest.mark.parametrize("shown", ["small layer", "your own"])
@pytest.mark.parametrize("extreme", ENDS, ids=str)
def test_the_ends_of_every_control_run(extreme, shown):
    outcome = run(Settings(**{"graph": shown, "inputs": "sliders", "calls": 3, "retain": True, **extreme}))
    assert "refuted" not in {c.verdict for c in claims(outcome)}
    assert sum(len(frame) for frame in tables(outcome).values()) < 12_000


# --- negative control ---


def at(array, place, factor=1.001, more=0.01):
    spoiled = array.copy()
    spoiled[place] = spoiled[place] * factor + more
    return spoiled


def engine(key):
    return lambda r: {"engine": {**r.engine, key: r.engine[key] * 1.1}}


def switch(key):
    return lambda r: {"switches": {**r.switches, key: r.switches[key] + 1}}


def net(**changes):
    return lambda r: {
        "network": r.network._replace(**{k: change(r.network) for k, change in changes.items()})
    }


def orders(which, **changes):
    return lambda r: {
        which: getattr(r, which)._replace(**{k: f(getattr(r, which)) for k, f in changes.items()})
    }


def search(**changes):
    return orders("yours", search=lambda o: o.search._replace(**{k: f(o.search) for k, f in changes.items()}))


SPOILED = [
    *(("2.2-mse-01", engine(f"loss {key}")) for key in ("L", "w", "w after", "L after")),
    *(("2.2-mse-01", lambda r, i=i: {"descent": at(r.descent, (-1, i))}) for i in range(4)),
    ("2.2-mse-01", lambda r: {"descent": at(r.descent, (1, 1))}),
    *(("2.2-bp-01", engine(f"neuron {key}")) for key in ("z", "L", "a", "z.grad", "w", "b", "x", "w after")),
    ("2.2-chain-01", net(engine=lambda n: n.engine * 1.001)),
    ("2.2-chain-01", net(product=lambda n: at(n.product, 3))),
    ("2.2-chain-01", net(difference=lambda n: at(n.difference, 5))),
    ("2.2-chain-01", net(probed=lambda n: n.probed[::-1])),
    ("2.2-chain-01", lambda r: {"gradients": at(r.gradients, 1)}),
    ("2.2-chain-01", lambda r: {"slopes": r.slopes.T}),
    ("2.2-chain-01", lambda r: {"differences": at(r.differences, (0, 0))}),
    ("2.2-chain-02", lambda r: {"multiplications": r.multiplications[:, [1, 0, 2]]}),
    ("2.2-chain-02", lambda r: {"multiplications": at(r.multiplications, (0, 0))}),
    ("2.2-chain-02", lambda r: {"multiplications": at(r.multiplications, (-1, 2))}),
    *(("2.2-ad-02", engine(f"sample {key}")) for key in "zxw"),
    *(("2.2-ad-03", switch(key)) for key in ("x twice", "w twice", "freed raises")),
    ("2.2-ad-03", lambda r: {"collected": at(r.collected, (0, 0))}),
    ("2.2-ad-03", lambda r: {"refused": (2, 3)}),
    ("2.2-ad-03", lambda r: {"settings": Settings(calls=2)}),
    *(("2.2-ad-04", switch(key)) for key in (
        "others with grad", "leaves with grad", "w past detach", "x past detach", "z written through detach",
        "recorded under no_grad")),
    ("2.7-topo-01", orders("layer", queue=lambda o: o.search.order)),
    ("2.7-topo-01", orders("layer", search=lambda o: o.search._replace(order=o.queue))),
    ("2.7-topo-01", orders("layer", search=lambda o: o.search._replace(order=o.queue[::-1]))),
    ("2.7-topo-01", orders("layer", possible=lambda o: 7)),
    ("2.7-topo-01", orders("yours", queue=lambda o: o.queue[::-1])),
    ("2.7-topo-02", lambda r: {"short": (4, True)}),
    ("2.7-topo-02", lambda r: {"short": (1, False)}),
    ("2.7-topo-02", orders("yours", queue=lambda o: o.queue[:-1])),
    ("2.7-topo-02", orders("yours", possible=lambda o: 0)),
    ("2.7-autograd-01", lambda r: {"courses": (r.courses[0][::-1],)}),
    ("2.7-autograd-01",
     lambda r: {"courses": ((*r.courses[0][:2], *r.courses[0][3:1:-1], *r.courses[0][4:]),)}),
    *(("2.7-autograd-01", lambda r, i=i: {"along": at(r.along, (i, 2), more=0.1)}) for i in (0, 1, 2)),
    ("2.7-autograd-01", lambda r: {"along": r.along[[0, 1, 2, 0]]}),
    *(("2.7-autograd-01", lambda r, i=i: {"engine_faults": 1 - np.minimum(r.engine_faults, 1) * (i == 2)})
      for i in (0, 2)),
    ("2.7-autograd-01", orders("yours", engine=lambda o: o.engine[::-1])),
    ("2.7-dfs-01", search(arrows=lambda s: s.arrows - 1)),
    ("2.7-dfs-01", search(cycle=lambda s: ("x", "Wx"))),
    ("2.7-dfs-01", search(order=lambda s: s.order[::-1])),
    ("2.7-dfs-01", lambda r: {"at_random": at(r.at_random, (0, 1), more=1)}),
    ("2.7-dfs-01", lambda r: {"at_random": np.roll(r.at_random, 1, axis=1)}),
]  # fmt: skip


@pytest.mark.parametrize(("claim_id", "spoil"), SPOILED)
def test_a_spoiled_result_refutes_its_claim(result, claim_id, spoil):
    assert claim(result, claim_id).verdict == "confirmed"
    assert claim(replace(result, **spoil(result)), claim_id).verdict == "refuted"


@pytest.fixture
def forgetful():
    """What the engine did is not remembered from before a test that spoils it, nor kept after."""
    graph.worked.cache_clear()
    yield
    graph.worked.cache_clear()


@pytest.mark.parametrize(
    ("op", "wrong"),
    [
        ("*", lambda g, i, out: (g * i[0], g * i[1])),
        ("-", lambda g, i, out: (g, g)),
        ("relu", lambda g, i, out: (g * out,)),
        ("**", lambda g, i, out: (g * out, g)),
    ],
)
def test_an_engine_with_a_wrong_rule_is_caught(monkeypatch, forgetful, op, wrong):
    monkeypatch.setitem(graph.RULES, op, (graph.RULES[op][0], wrong))
    verdicts = {c.id: c.verdict for c in claims(run(Settings()))}
    assert "refuted" in (verdicts["2.2-chain-01"], verdicts["2.2-bp-01"])


def test_an_engine_that_runs_the_oldest_first_is_caught_though_its_gradients_are_right(
    monkeypatch, forgetful
):
    push = heapq.heappush
    oldest = SimpleNamespace(heappop=heapq.heappop, heappush=lambda h, e: push(h, (-e[0], *e[1:])))
    monkeypatch.setattr(graph, "heapq", oldest)
    verdicts = {c.id: c.verdict for c in claims(run(Settings(graph="small layer")))}
    assert verdicts["2.7-autograd-01"] == "refuted"
    assert verdicts["2.2-chain-01"] == verdicts["2.2-mse-01"] == "confirmed"
