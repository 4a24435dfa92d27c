"""Terms of the field in one line each, with the experiment that shows what they mean."""

TERMS: dict[str, tuple[str, str]] = {
    "accumulation": (
        "Adding the gradients of several small batches before one update.",
        "sgd_noise",
    ),
    "Adafactor": (
        "Adam's second moments kept as row and column means of a matrix only.",
        "optimizer_race",
    ),
    "Adam": (
        "Averages of the gradient and its square, kept per weight; the step is their quotient.",
        "optimizer_race",
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
    "colour refinement": (
        "Recolouring nodes by their neighbours' colours until nothing splits: the 1-WL test.",
        "message_passing",
    ),
    "composition": (
        "Following one relation after another: capital of, then part of.",
        "transe_kg",
    ),
    "computation graph": (
        "A formula as nodes and arrows: each node is computed from those that point at it.",
        "autograd_graph",
    ),
    "condition number": (
        "Largest over smallest curvature, κ: how slow gradient descent must be.",
        "gd_lr_sweep",
    ),
    "cross-entropy": (
        "What it costs to code P with a code made for Q: H(P) + D(P‖Q).",
        "kl_directions",
    ),
    "decoupled weight decay": (
        "Shrinking the weights beside the gradient step (AdamW), not through the gradient.",
        "optimizer_race",
    ),
    "defective matrix": (
        "A matrix with too few eigenvectors to be written QΛQ⁻¹.",
        "eigen_explorer",
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
    "effective sample size": (
        "How many independent draws a correlated chain is worth for a mean.",
        "mcmc_vi",
    ),
    "eigenvector": (
        "A vector that a matrix leaves on its line, stretched by its eigenvalue.",
        "eigen_explorer",
    ),
    "ELBO": (
        "A lower bound of the log-likelihood that EM raises in turns.",
        "em_gmm",
    ),
    "embedding": (
        "A vector for each thing, placed so that geometry stands for meaning.",
        "transe_kg",
    ),
    "entropy": (
        "The mean surprise −log p: how uncertain an outcome is before it is seen.",
        "entropy_perplexity",
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
    "Hamiltonian Monte Carlo": (
        "Draws by rolling a ball over −log p: long moves that are mostly accepted.",
        "mcmc_vi",
    ),
    "He initialisation": (
        "Weights of variance 2/n_in, which keep the second moment of a ReLU network.",
        "signal_propagation",
    ),
    "heavy ball": (
        "Gradient descent with a memory of its last step; turns κ into √κ.",
        "gd_lr_sweep",
    ),
    "held-out text": (
        "Text a model is scored on and has not read; only there is lower perplexity better.",
        "entropy_perplexity",
    ),
    "Hessian": (
        "The matrix of second derivatives; its eigenvalues are curvatures.",
        "taylor_curvature",
    ),
    "Hessian-vector product": (
        "Curvature along one direction, Hv, for the price of two gradients and without the matrix.",
        "edge_of_stability",
    ),
    "Hits@k": (
        "The share of questions whose right answer is among the first k.",
        "transe_kg",
    ),
    "KL divergence": (
        "The extra cost of coding P with a code for Q; not symmetric, and infinite where Q lacks what P has.",
        "kl_directions",
    ),
    "Lanczos method": (
        "Finds the largest eigenvalue of a matrix from products with a dozen vectors.",
        "edge_of_stability",
    ),
    "leaf": (
        "An input of a computation graph; the only kind of node whose gradient is kept.",
        "autograd_graph",
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
    "mean-field": (
        "Approximating a distribution by one whose coordinates are independent.",
        "mcmc_vi",
    ),
    "message passing": (
        "Every node makes one message of its neighbours' states and updates itself; one round a layer.",
        "message_passing",
    ),
    "Metropolis-Hastings": (
        "Jump at random, accept with probability min(1, p′/p): draws from any p known up to a factor.",
        "mcmc_vi",
    ),
    "moment matching": (
        "Giving a fit the mean and variance of its target: what forward KL asks of a Gaussian.",
        "kl_directions",
    ),
    "nat": (
        "Information counted with the natural logarithm; 1.443 bits.",
        "entropy_perplexity",
    ),
    "Nesterov momentum": (
        "Heavy ball with the gradient taken where the momentum is about to lead.",
        "optimizer_race",
    ),
    "normal matrix": (
        "One that commutes with its transpose; its singular values are its |λ|.",
        "eigen_explorer",
    ),
    "over-smoothing": (
        "Deep graph networks make all nodes alike.",
        "gcn_cora",
    ),
    "perplexity": (
        "2 to the mean surprise in bits: the number of even choices as uncertain.",
        "entropy_perplexity",
    ),
    "positive predictive value": (
        "The share of positive tests that are right; falls with the base rate.",
        "bayes_base_rate",
    ),
    "power iteration": (
        "Multiplying by a matrix again and again until only its strongest direction is left.",
        "eigen_explorer",
    ),
    "principal component": (
        "A direction of largest variance, given those before it.",
        "pca_digits",
    ),
    "progressive sharpening": (
        "The climb of the largest curvature while a network trains below its edge.",
        "edge_of_stability",
    ),
    "R-hat": (
        "Spread of all chains together over that within one; 1 where they agree, right or wrong.",
        "mcmc_vi",
    ),
    "receptive field": (
        "The nodes that can change an output: K layers see K hops.",
        "gcn_cora",
    ),
    "responsibility": (
        "The share of a point that a mixture component answers for.",
        "em_gmm",
    ),
    "reverse mode": (
        "Derivatives from the output back: one pass gives the gradient in every input.",
        "autograd_graph",
    ),
    "rotation invariance": (
        "Turning the problem turns the path: true of SGD and momentum, not of Adam.",
        "optimizer_race",
    ),
    "saddle point": (
        "Flat, but a minimum one way and a maximum another; noise leaves it.",
        "sgd_noise",
    ),
    "self-stabilisation": (
        "At the edge a wide zigzag lowers the curvature, and so calms itself.",
        "edge_of_stability",
    ),
    "sharpness": (
        "The largest eigenvalue of the Hessian of a loss.",
        "edge_of_stability",
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
    "surprise": (
        "−log of the probability a model gave to what came: what one symbol costs.",
        "entropy_perplexity",
    ),
    "top-p": (
        "Draws only from the fewest symbols that hold the share p together.",
        "decoding",
    ),
    "topological order": (
        "An order of a graph's nodes in which every arrow points forward; none exists with a cycle.",
        "autograd_graph",
    ),
    "vanishing gradient": (
        "A gradient that shrinks at every layer on its way back, until early layers learn nothing.",
        "signal_propagation",
    ),
}
