"""NBFNet: a generalised Bellman-Ford iteration from the anchor of a question makes a row for every entity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear, relu
from torch.nn.utils import skip_init
from torch.utils.checkpoint import checkpoint

from falsum.errors import in_range
from falsum.kernels.compare import Compare
from falsum.kernels.edges import Edges
from falsum.models.base import MAX_DIM, Network, NetworkModule, even
from falsum.rows.initialisers import normal, uniform
from falsum.seeds import derive

Message = Literal["distmult", "transe", "rotate"]
Aggregate = Literal["pna", "sum"]

# Reals of the distinct messages that are in memory together: 8 MiB in fp32, so that a few of such tensors stay in a
# cache. Questions are taken so many at a time.
MESSAGES = 1 << 21


@dataclass(frozen=True)
class NBFNet(Network):
    """Zhu et al. 2021 (Neural Bellman-Ford Networks), Eqs. 3 to 5, with their PNA aggregation.

    The row of entity v for a question (h, r, ?) starts as q = Q_r where v = h, else 0 (the boundary). Each of `layers`
    layers sends m = row_u * w_s along every edge (u, s, v), inverses included, and the boundary to each entity itself.
    With "pna" an entity takes mean, maximum, minimum and standard deviation of what arrives, each times 1, s and 1 / s,
    s = log(number of arrivals) over its mean; with "sum" their sum. The next row is row_v + relu(norm(W [row_v | taken]
    + b)), norm a layer norm. The score is a perceptron of [row_v | q] with one hidden layer of 2 `dim`.

    message: "distmult" multiplies by w_s, "transe" adds it, "rotate" multiplies halves as complex numbers (so `dim` is
    even). dependent: w_s = W_s q + b_s with a matrix for each relation and layer; else a vector for each.
    remove_one_hop: True hides pairs, False triples, see `Network`.

    Parameters start as those of linear layers in torch do, Q and free w as N(0, 1); nothing is read of `init`.
    """

    dim: int = 32
    layers: int = 6
    message: Message = "distmult"
    aggregate: Aggregate = "pna"
    dependent: bool = True
    remove_one_hop: bool = False

    def __post_init__(self) -> None:
        in_range(f"[1, {MAX_DIM}]", dim=self.dim)
        in_range("[1, 100]", layers=self.layers)
        if self.message == "rotate":
            even(self.dim, "NBFNet with message rotate")

    @property
    def hides(self) -> Literal["triple", "pair"]:
        return "pair" if self.remove_one_hop else "triple"

    def built(self, num_relations: int) -> BellmanFord:
        return BellmanFord(self, num_relations)

    def working(self, edges: int, pairs: int, entities: int, questions: int) -> int:
        """Rows of all entities for all questions: of each layer, the last ones once more as they are handed out, and
        gradients of these; then what one layer makes of some questions; then the edges.
        """
        turn = min(questions, at_a_time(pairs, self.dim))
        rows = (self.layers + 4) * questions * entities * self.dim
        layer = (16 * pairs + 40 * entities) * turn * self.dim
        return 4 * (rows + layer) + 80 * edges


def at_a_time(pairs: int, dim: int) -> int:
    """How many questions go through a layer together."""
    return max(1, MESSAGES // max(1, pairs * dim))


class BellmanFord(NetworkModule):
    """The parameters of an NBFNet, and its pass over a graph. Every layer is computed again in the backward pass."""

    def __init__(self, settings: NBFNet, num_relations: int) -> None:
        super().__init__()
        self.settings, self.num_relations, self.dim = settings, num_relations, settings.dim
        dim, both = settings.dim, 2 * num_relations
        self.query = skip_init(nn.Embedding, both, dim)
        self.layers = nn.ModuleList(_Layer(settings, both) for _ in range(settings.layers))
        self.hidden = skip_init(nn.Linear, 2 * dim, 2 * dim)
        self.out = skip_init(nn.Linear, 2 * dim, 1)
        self.compare = Compare("perceptron", self._score)

    @torch.no_grad()
    def reset(self, seed: int) -> None:
        for name, module in self.named_modules():
            if isinstance(module, nn.Embedding):
                normal(module.weight, derive(seed, "init", name))
            elif isinstance(module, nn.Linear):
                bound = module.in_features**-0.5
                for key, parameter in module.named_parameters():
                    uniform(parameter, derive(seed, "init", name, key), low=-bound, high=bound)

    def forward(self, edges: Edges, anchor: Tensor, relation: Tensor) -> Tensor:
        scales = _scales(edges, self.query.weight.dtype)
        size = at_a_time(len(edges.start), self.dim)
        turns = zip(anchor.split(size), self.query(relation).split(size), strict=True)
        parts = [self._turn(edges, scales, *turn).transpose(0, 1) for turn in turns]
        return torch.cat(parts) if parts else scales.new_zeros(0, edges.num_nodes, self.dim)

    def _turn(self, edges: Edges, scales: Tensor, anchor: Tensor, query: Tensor) -> Tensor:
        """(E, c, d) rows for some questions."""
        rows = _boundary(edges, anchor, query)
        for layer in self.layers:
            inputs = edges, scales, anchor, query, rows
            if torch.is_grad_enabled():
                # Reentrant: the first pass then keeps no places of extremes, which take longer than all else.
                rows = checkpoint(layer, *inputs, use_reentrant=True, preserve_rng_state=False)
            else:
                rows = layer(*inputs)
        return rows

    def vector(self, relation: Tensor) -> Tensor:
        """(b, 2 d): what the query adds to the hidden layer of the perceptron."""
        return linear(self.query(relation), self.hidden.weight[:, self.dim :], self.hidden.bias)

    def _score(self, query: Tensor, rows: Tensor) -> Tensor:
        """(..., m, 2 d), (..., n, d) -> (..., m, n)."""
        hidden = linear(rows, self.hidden.weight[:, : self.dim])
        if query.dim() == rows.dim() and query.shape[-2] == 1:
            hidden = hidden.add_(query).unsqueeze(-3)  # one tensor of hidden units, not two
        else:
            hidden = hidden.unsqueeze(-3) + query.unsqueeze(-2)
        out: Tensor = self.out(hidden.relu_()).squeeze(-1)
        return out


class _Layer(nn.Module):
    """One iteration for c questions. Rows are (E, c, d): what an edge carries for all of them is contiguous."""

    def __init__(self, settings: NBFNet, relations: int) -> None:
        super().__init__()
        self.settings, self.relations, dim = settings, relations, settings.dim
        if settings.dependent:
            self.relation = skip_init(nn.Linear, dim, relations * dim)
        else:
            self.relation = skip_init(nn.Embedding, relations, dim)
        self.update = skip_init(nn.Linear, (13 if settings.aggregate == "pna" else 2) * dim, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, edges: Edges, scales: Tensor, anchor: Tensor, query: Tensor, rows: Tensor) -> Tensor:
        messages = self._messages(edges, query, rows)
        taken = self._taken(edges, scales, messages, _boundary(edges, anchor, query))
        dim = self.settings.dim
        fresh = linear(rows, self.update.weight[:, :dim], self.update.bias) + taken
        return relu(layer_norm(fresh, (dim,), self.norm.weight, self.norm.bias)) + rows

    def _messages(self, edges: Edges, query: Tensor, rows: Tensor) -> Tensor:
        """(p, c d): one for each distinct (entity, relation), not for each edge."""
        if self.settings.dependent:
            vectors = self.relation(query).view(len(query), self.relations, -1).transpose(0, 1).contiguous()
        else:
            vectors = self.relation.weight.unsqueeze(1)
        row, vector = rows.index_select(0, edges.start), vectors.index_select(0, edges.relation)
        if self.settings.message == "transe":
            return (row + vector).flatten(1)
        if self.settings.message == "distmult":
            return (row * vector).flatten(1)
        (a, b), (c, d) = row.chunk(2, -1), vector.chunk(2, -1)
        return torch.cat([a * c - b * d, a * d + b * c], -1).flatten(1)

    def _taken(self, edges: Edges, scales: Tensor, messages: Tensor, boundary: Tensor) -> Tensor:
        """(E, c, d): the update's product with what each entity takes of its arrivals.

        A scale belongs to an entity, so W (scale x taken) = scale x (W taken): one product for three scales, and the
        twelve scaled parts are never made.
        """
        nodes, count, dim = boundary.shape
        own = boundary.flatten(1)
        weight = self.update.weight[:, dim:]
        total, squares = edges.sums(messages)
        total = total + own
        if self.settings.aggregate == "sum":
            return linear(total.view(nodes, count, dim), weight)
        arrivals = (edges.degree + 1).to(own.dtype)[:, None]
        mean = total / arrivals
        spread = ((squares + own.square()) / arrivals - mean.square()).clamp(min=1e-6).sqrt()
        alone = (edges.degree == 0)[:, None]
        most = torch.where(alone, own, torch.maximum(edges.extremes(messages, "amax"), own))
        least = torch.where(alone, own, torch.minimum(edges.extremes(messages, "amin"), own))
        parts = torch.cat([part.view(nodes, count, dim) for part in (mean, most, least, spread)], -1)
        products = linear(parts, weight.reshape(3 * dim, 4 * dim)).view(nodes, count, dim, 3)
        return (products * scales[:, None, None]).sum(-1)


def _boundary(edges: Edges, anchor: Tensor, query: Tensor) -> Tensor:
    """(E, c, d): each query at its anchor, else 0."""
    none = query.new_zeros(edges.num_nodes, *query.shape)
    return none.index_put((anchor, torch.arange(len(anchor), device=anchor.device)), query)


def _scales(edges: Edges, dtype: torch.dtype) -> Tensor:
    """(E, 3): 1, s and 1 / max(s, 0.01)."""
    size = torch.log1p(edges.degree.to(dtype))
    size = size / size.mean().clamp(min=1e-12)
    return torch.stack([torch.ones_like(size), size, 1 / size.clamp(min=1e-2)], 1)
