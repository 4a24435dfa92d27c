"""The table of contents. Everything that lists experiments reads it; it imports none of them."""

from dataclasses import dataclass
from typing import Literal

CHAPTERS = {
    "2.1": "Linear algebra",
    "2.2": "Calculus and gradients",
    "2.3": "Probability",
    "2.4": "Bayesian inference",
    "2.5": "Information theory",
    "2.6": "Optimisation",
    "2.7": "Graphs",
}
# As a menu names them, short enough that all seven stand side by side.
MENU = {
    "2.1": "Algebra",
    "2.2": "Calculus",
    "2.3": "Probability",
    "2.4": "Bayes",
    "2.5": "Information",
    "2.6": "Descent",
    "2.7": "Graphs",
}


@dataclass(frozen=True)
class Experiment:
    """One row: where it belongs, what it asks, how long it takes, what it checks, what to read before.

    The home page runs each experiment in small: it draws ``preview`` (a table, its horizontal and its
    vertical column), shows ``preview_claim``, and departs from the defaults by ``preview_settings``.
    """

    name: str
    chapter: str
    title: str
    question: str
    kind: Literal["instant", "training"]
    icon: str
    claim_ids: tuple[str, ...]
    preview: tuple[str, str, str]
    preview_claim: str
    read_first: tuple[str, ...] = ()
    preview_settings: tuple[tuple[str, object], ...] = ()


def _ids(prefix: str, count: int) -> tuple[str, ...]:
    return tuple(f"{prefix}-{i:02d}" for i in range(1, count + 1))


EXPERIMENTS = (
    Experiment(
        "eigen_explorer", "2.1", "Eigenvectors",
        "What does a matrix leave pointing the same way?",
        "instant", "explore", (*_ids("2.1-eig", 5), "2.1-svd-02"),
        preview=("main", "direction", "turn"), preview_claim="2.1-eig-01",
    ),
    Experiment(
        "pca_digits", "2.1", "PCA on digits",
        "How many directions carry a handwritten digit?",
        "instant", "grid_on", _ids("2.1-pca", 5),
        preview=("spectrum", "component", "cumulative_share"), preview_claim="2.1-pca-02",
        read_first=("eigen_explorer",),
    ),
    Experiment(
        "svd_low_rank", "2.1", "Low-rank SVD",
        "How few terms can stand in for a whole matrix, even one with gaps?",
        "instant", "layers", ("2.1-svd-01", "2.1-svd-03", "2.1-svd-04", "2.1-svd-06"),
        preview=("main", "k", "relative_error"), preview_claim="2.1-svd-03",
        read_first=("pca_digits",),
    ),
    Experiment(
        "taylor_curvature", "2.2", "Slope and curvature",
        "How far can slope and curvature be trusted?",
        "instant", "function",
        (
            *_ids("2.2-deriv", 1), *_ids("2.2-grad", 2), *_ids("2.2-hess", 1), *_ids("2.2-crit", 3),
            *_ids("2.2-taylor", 2),
        ),
        preview=("main", "log10_h", "log10_error"), preview_claim="2.2-deriv-01",
    ),
    Experiment(
        "autograd_graph", "2.2", "The graph behind a gradient",
        "Where does each gradient come from, and in what order?",
        "instant", "account_tree",
        (
            *_ids("2.2-mse", 1), *_ids("2.2-bp", 1), *_ids("2.2-chain", 2), "2.2-ad-02", "2.2-ad-03",
            "2.2-ad-04", *_ids("2.7-topo", 2), *_ids("2.7-autograd", 1), *_ids("2.7-dfs", 1),
        ),
        preview=("slide", "input", "gradient"), preview_claim="2.2-ad-03",
        preview_settings=(("graph", "small layer"),),
        read_first=("taylor_curvature",),
    ),
    Experiment(
        "signal_propagation", "2.2", "Signal through depth",
        "Does a signal survive depth?",
        "instant", "waterfall_chart", (*_ids("2.2-vanish", 3), *_ids("2.3-init", 2)),
        preview=("main", "layer", "log10_measured"), preview_claim="2.2-vanish-02",
        preview_settings=(("init", "LeCun"), ("width", 64)),
        read_first=("autograd_graph",),
    ),
    Experiment(
        "bayes_base_rate", "2.3", "Base rates",
        "What is a positive test worth?",
        "instant", "grid_view", (*_ids("2.3-axiom", 1), *_ids("2.3-bayes", 3)),
        preview=("main", "log10_prevalence", "ppv"), preview_claim="2.3-bayes-01",
    ),
    Experiment(
        "decoding", "2.3", "Decoding",
        "How do temperature, top-k and top-p reshape the next symbol?",
        "instant", "text_fields",
        (*_ids("2.3-softmax", 1), *_ids("2.3-vocab", 1), *_ids("2.3-temp", 3), *_ids("2.3-topp", 1),
         *_ids("2.3-greedy", 1)),
        preview=("distinct", "log10_tau", "distinct_4"), preview_claim="2.3-greedy-01",
    ),
    Experiment(
        "clt_batch_variance", "2.3", "Batch variance and the CLT",
        "Does doubling the batch halve the variance of the gradient?",
        "instant", "bar_chart", (*_ids("2.3-batch", 1), *_ids("2.3-clt", 5)),
        preview=("main", "doublings", "log10_measured"), preview_claim="2.3-clt-02",
        preview_settings=(("replacement", False),),
    ),
    Experiment(
        "em_gmm", "2.4", "EM on a Gaussian mixture",
        "Does EM always climb, and where does it end?",
        "instant", "bubble_chart", _ids("2.4-em", 5),
        preview=("climb", "half_step", "log_likelihood"), preview_claim="2.4-em-02",
        read_first=("bayes_base_rate",),
    ),
    Experiment(
        "mcmc_vi", "2.4", "Sampling and VI",
        "What do sampling and VI get wrong?",
        "instant", "route", (*_ids("2.4-mcmc", 1), *_ids("2.4-vi", 1)),
        preview=("sweep", "log10_step", "log10_ess"), preview_claim="2.4-vi-01",
        read_first=("bayes_base_rate",),
    ),
    Experiment(
        "entropy_perplexity", "2.5", "Entropy and perplexity",
        "How uncertain is a symbol?",
        "instant", "casino", (*_ids("2.5-info", 1), *_ids("2.5-ent", 2), *_ids("2.5-ppl", 4)),
        preview=("main", "n", "held_out_bits"), preview_claim="2.5-ppl-03",
        read_first=("decoding",),
    ),
    Experiment(
        "kl_directions", "2.5", "Two directions of KL",
        "When does the divergence cover both modes, and when does it choose one?",
        "instant", "call_split", _ids("2.5-kl", 7),
        preview=("main", "separation", "centre"), preview_claim="2.5-kl-05",
        read_first=("entropy_perplexity",),
    ),
    Experiment(
        "gd_lr_sweep", "2.6", "Learning-rate sweep",
        "Where is the edge of stability?",
        "instant", "trending_down", (*_ids("2.6-gd", 5), *_ids("2.2-gd", 1)),
        preview=("main", "multiple", "log10_excess_loss"), preview_claim="2.2-gd-01",
        read_first=("eigen_explorer", "taylor_curvature"),
    ),
    Experiment(
        "edge_of_stability", "2.6", "Edge of stability",
        "Why does training hover where theory says it should blow up?",
        "instant", "surfing", _ids("2.6-eos", 5),
        preview=("main", "step", "sharpness"), preview_claim="2.6-eos-01",
        read_first=("gd_lr_sweep",),
    ),
    Experiment(
        "sgd_noise", "2.6", "SGD noise",
        "What does the noise of small batches cost, and what does it buy?",
        "instant", "grain", (*_ids("2.6-batch", 4), *_ids("2.6-accum", 1)),
        preview=("main", "epoch", "excess_loss"), preview_claim="2.6-batch-02",
        read_first=("clt_batch_variance", "gd_lr_sweep"),
    ),
    Experiment(
        "optimizer_race", "2.6", "Optimiser race",
        "Which optimiser wins, and on which ground?",
        "training", "sprint",
        (
            *_ids("2.6-mom", 2), *_ids("2.6-adam", 4), *_ids("2.6-wd", 2), *_ids("2.6-ada", 1),
            *_ids("2.6-opt", 1),
        ),
        preview=("main", "rotation", "log10_loss"), preview_claim="2.6-adam-03",
        preview_settings=(("networks", 3),),
        read_first=("sgd_noise",),
    ),
    Experiment(
        "message_passing", "2.7", "Message passing",
        "How far, and how finely, does a graph network see?",
        "instant", "forum", (*_ids("2.7-mp", 4), *_ids("2.7-sage", 1), *_ids("2.7-gin", 1)),
        preview=("main", "layers", "seen"), preview_claim="2.7-mp-01",
        read_first=("eigen_explorer",),
    ),
    Experiment(
        "gcn_cora", "2.7", "GCN on Cora",
        "What do citations add to words?",
        "training", "hub", (*_ids("2.7-gcn", 3), *_ids("2.7-gat", 1), *_ids("2.7-gnn", 1)),
        preview=("main", "epoch", "test_accuracy"), preview_claim="2.7-gcn-02",
        preview_settings=(("compare", "none"), ("seeds", 1)),
        read_first=("message_passing", "sgd_noise"),
    ),
    Experiment(
        "attention_graph", "2.7", "Attention as a graph",
        "Is attention message passing?",
        "instant", "device_hub", (*_ids("2.7-attn", 2), *_ids("2.1-attn", 3), "2.1-hadamard-02"),
        preview=("main", "token", "effective_neighbours"), preview_claim="2.7-attn-01",
        preview_settings=(("mask", "causal"),),
        read_first=("message_passing", "decoding"),
    ),
    Experiment(
        "transe_kg", "2.7", "TransE on a knowledge graph",
        "Can vectors infer that Paris is in Europe?",
        "instant", "share", (*_ids("2.7-transe", 3), *_ids("2.7-kg", 1)),
        preview=("training", "step", "mrr"), preview_claim="2.7-transe-02",
        read_first=("sgd_noise",),
    ),
)  # fmt: skip

BY_NAME = {experiment.name: experiment for experiment in EXPERIMENTS}
