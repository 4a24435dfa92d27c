"""The same work in well-known libraries, as their documentation writes it. Each gives its quality back."""

import numpy as np

EPOCHS = 200


def pyg_gcn(seed: int) -> float:
    """PyTorch Geometric's example of a GCN on Cora, evaluated after every epoch: test accuracy."""
    import torch
    import torch.nn.functional as F
    from torch_geometric.nn import GCNConv

    from lab.cora import load_cora

    cora = load_cora()
    torch.manual_seed(seed)
    x = torch.tensor(np.asarray(cora.words.todense()), dtype=torch.float)
    x = x / x.sum(dim=1, keepdim=True)
    edges = torch.tensor(np.concatenate([cora.links, cora.links[:, ::-1]]).T.copy(), dtype=torch.long)
    y, parts = torch.tensor(cora.label, dtype=torch.long), [cora.train, cora.validation, cora.test]

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = GCNConv(1433, 16, cached=True), GCNConv(16, 7, cached=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = F.dropout(x, training=self.training)
            x = F.dropout(self.first(x, edges).relu(), training=self.training)
            return self.second(x, edges)

    net = Net()
    decay = [
        {"params": net.first.parameters(), "weight_decay": 5e-4},
        {"params": net.second.parameters()},
    ]
    adam = torch.optim.Adam(decay, lr=0.01)
    right = [0.0]
    for _ in range(EPOCHS):
        net.train()
        adam.zero_grad()
        F.cross_entropy(net(x)[cora.train], y[cora.train]).backward()
        adam.step()
        net.eval()
        with torch.no_grad():
            answer = net(x).argmax(dim=1)
        right = [float((answer[part] == y[part]).float().mean()) for part in parts]
    return right[-1]


def umls() -> tuple[np.ndarray, np.ndarray] | None:
    """UMLS, which PyKEEN ships as text: training and test triples (k, 3); None without PyKEEN."""
    try:
        from pykeen.datasets import UMLS
    except ImportError:
        return None
    data = UMLS()
    return data.training.mapped_triples.numpy(), data.testing.mapped_triples.numpy()


def pykeen_transe(seed: int) -> float:
    """PyKEEN's pipeline as shipped: filtered, realistic mean reciprocal rank over heads and tails."""
    from pykeen.pipeline import pipeline

    done = pipeline(
        dataset="UMLS", model="TransE", model_kwargs={"embedding_dim": 50, "scoring_fct_norm": 2},
        loss="marginranking", loss_kwargs={"margin": 1.0}, optimizer="Adam", optimizer_kwargs={"lr": 0.01},
        training_kwargs={"num_epochs": 100, "batch_size": 256, "use_tqdm": False}, random_seed=seed,
        evaluator_kwargs={"filtered": True}, evaluation_kwargs={"use_tqdm": False}, device="cpu",
    )  # fmt: skip
    return float(done.metric_results.get_metric("both.realistic.inverse_harmonic_mean_rank"))


def torchkge_transe(train: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """torchkge's training loop: entity and relation vectors after 100 epochs."""
    import torch
    from torchkge.data_structures import KnowledgeGraph
    from torchkge.models import TransEModel
    from torchkge.sampling import UniformNegativeSampler
    from torchkge.utils import DataLoader, MarginLoss

    torch.manual_seed(seed)
    heads, relations, tails = (torch.tensor(train[:, i].copy()) for i in (0, 1, 2))
    n, m = int(max(train[:, 0].max(), train[:, 2].max())) + 1, int(train[:, 1].max()) + 1
    graph = KnowledgeGraph(
        kg={"heads": heads, "tails": tails, "relations": relations},
        ent2ix={i: i for i in range(n)}, rel2ix={i: i for i in range(m)},
    )  # fmt: skip
    model, loss, sampler = TransEModel(50, n, m, "L2"), MarginLoss(1.0), UniformNegativeSampler(graph)
    adam = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(100):
        for h, t, r in DataLoader(graph, batch_size=256):
            other_h, other_t = sampler.corrupt_batch(h, t, r)
            adam.zero_grad()
            good, bad = model(h, t, r, other_h, other_t)
            loss(good, bad).backward()
            adam.step()
        model.normalize_parameters()
    entity, relation = model.get_embeddings()
    return entity.detach().double().numpy(), relation.detach().double().numpy()


def sklearn_mixture(data: np.ndarray, weights, means, covariances, steps: int) -> float:
    """scikit-learn's GaussianMixture from the same start: mean log-likelihood of the last E-step."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(
        len(weights), tol=0.0, reg_covar=1e-6, max_iter=steps, weights_init=weights, means_init=means,
        precisions_init=np.linalg.inv(covariances),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(data)
    return float(mixture.lower_bound_)


def sklearn_pca(pixels: np.ndarray) -> float:
    """scikit-learn's PCA, two components and the scores: the share of variance they keep."""
    from sklearn.decomposition import PCA

    pca = PCA(2)
    pca.fit_transform(pixels)
    return float(pca.explained_variance_ratio_.sum())


def torch_softmax_loop(pixels: np.ndarray, label: np.ndarray, rates: np.ndarray, steps: int) -> np.ndarray:
    """One ``torch.optim.SGD`` run a rate, as most people would write it: the final losses."""
    import torch

    x = torch.tensor(pixels, dtype=torch.float32)
    y, losses = torch.tensor(label), []
    for rate in rates:
        weights = torch.zeros(x.shape[1], 10, requires_grad=True)
        sgd = torch.optim.SGD([weights], lr=float(rate))
        for _ in range(steps):
            sgd.zero_grad()
            torch.nn.functional.cross_entropy(x @ weights, y).backward()
            sgd.step()
        losses.append(float(torch.nn.functional.cross_entropy(x @ weights, y).detach()))
    return np.array(losses)


def numpy_softmax_loop(pixels: np.ndarray, label: np.ndarray, rates: np.ndarray, steps: int) -> np.ndarray:
    """The same in a plain loop of NumPy: the final losses."""
    x, hot, losses = pixels.astype(np.float32), np.eye(10, dtype=np.float32)[label], []

    def probability(weights: np.ndarray) -> np.ndarray:
        powers = np.exp((s := x @ weights) - s.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    for rate in rates.astype(np.float32):
        weights = np.zeros((x.shape[1], 10), dtype=np.float32)
        for _ in range(steps):
            weights -= rate / np.float32(len(x)) * (x.T @ (probability(weights) - hot))
        losses.append(float(-np.log(probability(weights)[np.arange(len(x)), label] + 1e-30).mean()))
    return np.array(losses)


def numpy_sgd_loop(x: np.ndarray, y: np.ndarray, rate: float, steps: int, seeds: int, batch: int) -> float:
    """One run after the other, one batch after the other, least squares: the mean final loss."""
    final = []
    for seed in range(seeds):
        rng, w = np.random.default_rng(seed), np.zeros(x.shape[1])
        for _ in range(steps):
            rows = rng.integers(len(x), size=batch)
            w -= rate / batch * (x[rows].T @ (x[rows] @ w - y[rows]))
        final.append(0.5 * np.mean((x @ w - y) ** 2))
    return float(np.mean(final))


def torch_sgd_loop(x: np.ndarray, y: np.ndarray, rate: float, steps: int, seeds: int, batch: int) -> float:
    """The same with ``torch.optim.SGD``: the mean final loss."""
    import torch

    features, target, final = torch.tensor(x), torch.tensor(y), []
    for seed in range(seeds):
        torch.manual_seed(seed)
        w = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
        sgd = torch.optim.SGD([w], lr=rate)
        for _ in range(steps):
            rows = torch.randint(len(x), (batch,))
            sgd.zero_grad()
            (0.5 * ((features[rows] @ w - target[rows]) ** 2).mean()).backward()
            sgd.step()
        final.append(float(0.5 * ((features @ w.detach() - target) ** 2).mean()))
    return float(np.mean(final))


DRAWS = {
    "uniform": lambda g, s: g.random(s),
    "exponential": lambda g, s: g.exponential(size=s),
    "normal": lambda g, s: g.standard_normal(s),
    "Bernoulli": lambda g, s: g.random(s) < 0.1,
}


def numpy_means(law: str, n: int, count: int, seed: int) -> float:
    """All draws at once in one array, the usual way: the variance of the means times n."""
    return float(DRAWS[law](np.random.default_rng(seed), (count, n)).mean(axis=1).var() * n)
