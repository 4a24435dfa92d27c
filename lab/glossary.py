"""Terms of the field in one line each, with the experiment that shows what they mean."""

TERMS: dict[str, tuple[str, str]] = {
    "accumulation": (
        "Adding the gradients of several small batches before one update.",
        "sgd_noise",
    ),
    "alternating least squares": (
        "Fitting two factors to a matrix in turns, each turn a regression; gaps are simply left out.",
        "svd_low_rank",
    ),
    "attention weight": (
        "The share of a token's attention that another gets: the weight of an edge into it.",
        "attention_graph",
    ),
    "base rate": (
        "How common a thing is before any test: the prior of Bayes' rule.",
        "bayes_base_rate",
    ),
    "Berry-Esseen bound": (
        "How far a standardised mean can still be from normal at sample size n.",
        "clt_batch_variance",
    ),
    "BIC": (
        "Log-likelihood less a charge for each parameter; compares models of different size.",
        "em_gmm",
    ),
    "bisection": (
        "Halving an interval around a threshold until it is known to rounding.",
        "gd_lr_sweep",
    ),
    "causal mask": (
        "Lets a token see itself and what came before: a graph without cycles.",
        "attention_graph",
    ),
    "central limit theorem": (
        "Standardised means of draws with finite variance tend to N(0, 1).",
        "clt_batch_variance",
    ),
    "composition": (
        "Following one relation after another: capital of, then part of.",
        "transe_kg",
    ),
    "condition number": (
        "Largest over smallest curvature, κ: how slow gradient descent must be.",
        "gd_lr_sweep",
    ),
    "Dirichlet energy": (
        "How much a signal differs between neighbours of a graph; zero when over-smoothed.",
        "gcn_cora",
    ),
    "distinct-n": (
        "The share of a text's runs of n that differ; near 0 where it goes in circles.",
        "decoding",
    ),
    "Eckart-Young theorem": (
        "No matrix of rank k is closer than the first k terms of the SVD.",
        "svd_low_rank",
    ),
    "edge of stability": (
        "The learning rate 2/λ_max past which gradient descent diverges.",
        "gd_lr_sweep",
    ),
    "ELBO": (
        "A lower bound of the log-likelihood that EM raises in turns.",
        "em_gmm",
    ),
    "embedding": (
        "A vector for each thing, placed so that geometry stands for meaning.",
        "transe_kg",
    ),
    "equivariance": (
        "Changing the input in some way changes the output in the same way, and in no other.",
        "attention_graph",
    ),
    "explained variance ratio": (
        "The share of all variance that lies along a component.",
        "pca_digits",
    ),
    "finite difference": (
        "A slope from two nearby values; truncation and rounding fight over the step.",
        "taylor_curvature",
    ),
    "finite-population correction": (
        "(N − B)/(N − 1): draws without replacement vary less.",
        "clt_batch_variance",
    ),
    "gradient clipping": (
        "Shortening a gradient that is longer than a bound; helps against explosion only.",
        "signal_propagation",
    ),
    "gradient noise scale": (
        "tr(Σ)/|G|²: the batch size at which noise and signal are even.",
        "sgd_noise",
    ),
    "graph convolution": (
        "A layer that averages over neighbours before it mixes features.",
        "gcn_cora",
    ),
    "He initialisation": (
        "Weights of variance 2/n_in, which keep the second moment of a ReLU network.",
        "signal_propagation",
    ),
    "heavy ball": (
        "Gradient descent with a memory of its last step; turns κ into √κ.",
        "gd_lr_sweep",
    ),
    "Hessian": (
        "The matrix of second derivatives; its eigenvalues are curvatures.",
        "taylor_curvature",
    ),
    "Hits@k": (
        "The share of questions whose right answer is among the first k.",
        "transe_kg",
    ),
    "likelihood ratio": (
        "How much likelier a result is in one state than in the other; multiplies the odds.",
        "bayes_base_rate",
    ),
    "log-sum-exp": (
        "Adding probabilities through their logarithms without underflow.",
        "em_gmm",
    ),
    "low-rank approximation": (
        "Replacing a matrix by a sum of a few column-times-row patterns.",
        "svd_low_rank",
    ),
    "margin ranking loss": (
        "Asks a true fact to beat a corrupted one by a margin.",
        "transe_kg",
    ),
    "mean reciprocal rank": (
        "The average of 1/rank of the right answer.",
        "transe_kg",
    ),
    "over-smoothing": (
        "Deep graph networks make all nodes alike.",
        "gcn_cora",
    ),
    "positive predictive value": (
        "The share of positive tests that are right; falls with the base rate.",
        "bayes_base_rate",
    ),
    "principal component": (
        "A direction of largest variance, given those before it.",
        "pca_digits",
    ),
    "receptive field": (
        "The nodes that can change an output: K layers see K hops.",
        "gcn_cora",
    ),
    "responsibility": (
        "The share of a point that a mixture component answers for.",
        "em_gmm",
    ),
    "saddle point": (
        "Flat, but a minimum one way and a maximum another; noise leaves it.",
        "sgd_noise",
    ),
    "singular value": (
        "How much a matrix stretches along one of its directions.",
        "pca_digits",
    ),
    "softmax temperature": (
        "Divides the logits: below 1 favours the likely, above 1 evens all out.",
        "decoding",
    ),
    "stationary floor": (
        "The loss that constant-rate SGD keeps above the minimum, about α/B.",
        "sgd_noise",
    ),
    "top-p": (
        "Draws only from the fewest symbols that hold the share p together.",
        "decoding",
    ),
    "vanishing gradient": (
        "A gradient that shrinks at every layer on its way back, until early layers learn nothing.",
        "signal_propagation",
    ),
}
