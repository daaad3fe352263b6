"""Candidates on which a step would help to answer training questions set aside, to first order."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad, softplus

from falsum.curves import Constant, Curve
from falsum.errors import in_range
from falsum.graph.graph import Graph, Query, Side
from falsum.noise.base import Candidates, Live, Size
from falsum.noise.drawing import even_draws
from falsum.noise.proposals.base import Proposer
from falsum.noise.proposals.ranked import Chooser, Offer, Ranked
from falsum.noise.request import Request
from falsum.seeds import derive, generator

# Numbers of the candidate rows of one block: 4 MB, so that what is made of them stays in a cache.
BLOCK = 1 << 20
# What is added to the mean square gradient of a column, as a share of that of all columns.
DAMPING = 0.1


@dataclass(frozen=True)
class Influence(Ranked):
    """Of `of` draws, those that help, in proportion to e^(help / temperature); those that harm are left out.

    The help of a candidate is how much a step on it, as a negative of its question, would lower the loss of a slice of
    the training triples, to first order and through its own row: <g, H^-1 dl/drow>, with l = softplus(score), g the
    running mean gradient of the slice's loss by that row, and H the running mean square of these gradients, column by
    column. (An influence function is minus that.) What harms would push down an answer of like questions: likely true.
    It is divided by its standard deviation among a question's draws. Without a slice's gradient yet, draws are even.

    share: of the training triples in the slice, which are trained on like all others; validation and test triples are
    never looked at. After each step `batch` slice questions with `negatives` even draws each give a gradient; memory
    is the weight of the mean so far. width: columns that are kept; wider rows are folded onto them with random signs
    (a count sketch), which keeps products on average.

    A reconstruction of influence-based sampling (IF-NS; Cai, Deng & Xiong 2025), whose text could not be had: nothing
    of its exact form is known to us. State: (entities x width) float32. Costs `of` row gradients per question.
    """

    of: int = 64
    temperature: Curve = Constant(1.0)  # noqa: RUF009 (frozen)
    share: float = 0.05
    batch: int = 256
    negatives: int = 16
    memory: float = 0.9
    width: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        for end in self.temperature.ends:
            in_range("[1e-3, 1e6]", temperature=end)
        in_range("(0, 1]", share=self.share)
        in_range("[1, 1e6]", batch=self.batch, negatives=self.negatives, width=self.width)
        in_range("[0, 1)", memory=self.memory)

    def bind(self, graph: Graph, device: torch.device) -> Proposer:
        return Influenced(self, graph, device)

    def triples(self, num: int) -> int:
        """How many of `num` training triples are set aside."""
        return max(1, round(self.share * num))

    def state_bytes(self, size: Size) -> int:
        aside = 2 * 3 * 8 * self.triples(size.triples)
        return super().state_bytes(size) + 4 * self.width * (size.entities + 1) + aside


class Influenced(Chooser):
    """gradient (E, width): of the slice's loss by every row. square (width,): mean square of such gradients.

    anchor, relation, target by slot: the questions of the slice.
    """

    def __init__(self, settings: Influence, graph: Graph, device: torch.device) -> None:
        super().__init__(settings, graph, device)
        self.settings = settings
        self.gradient: Tensor
        self.square: Tensor
        self.register_buffer("gradient", torch.zeros(graph.num_entities, settings.width, device=device))
        self.register_buffer("square", torch.zeros(settings.width, device=device))
        train = graph.splits["train"]
        order = torch.randperm(len(train), generator=generator(derive(0, "influence", "slice")))
        aside = train[order[: settings.triples(len(train))]]
        for slot in Side:
            query = graph.queries(aside, slot, grouped=False)
            for name, part in (("anchor", query.anchor), ("relation", query.relation), ("target", query.target)):
                self.register_buffer(f"{name}_{slot.value}", part.clone().to(device), persistent=False)

    def draw(self, request: Request) -> Tensor:
        offer = self.offer(request)
        weight = self._odds(self.help(request.query, offer, request.live), offer.open, request.live.epoch)
        return offer.take(torch.multinomial(weight, request.num, replacement=True, generator=request.random))

    def _odds(self, help_: Tensor, open_: Tensor, epoch: float) -> Tensor:
        """(b, m): what each candidate is drawn in proportion to."""
        helps = open_ & (help_ >= 0)
        usable = torch.where(helps.any(1, keepdim=True), helps, open_)
        usable = usable | ~usable.any(1, keepdim=True)
        spread = help_.std(1, keepdim=True, correction=0).clamp(min=torch.finfo(help_.dtype).tiny)
        scale = spread * self.settings.temperature.at(epoch)
        return (help_ / scale).masked_fill(~usable, -torch.inf).softmax(1)

    def help(self, query: Query, offer: Offer, live: Live) -> Tensor:
        """(b, m): how much a step on each candidate offered would lower the slice's loss."""
        parts, one = [], torch.ones((), device=offer.ids.device)
        shared = self._offered(offer.ids, live) if len(offer.ids) == 1 else None
        size = max(1, BLOCK // max(1, offer.ids.shape[1] * self.settings.width))
        for block in torch.arange(len(query), device=offer.ids.device).split(size):
            rows, towards = shared or self._offered(offer.ids[block], live)
            slope = self._gradients(query.select(block), rows.expand(len(block), -1, -1), live, one)
            parts.append((self.folded(slope) * towards).sum(-1))
        return torch.cat(parts)

    def _offered(self, ids: Tensor, live: Live) -> tuple[Tensor, Tensor]:
        """Rows of ids (c, n), and the slice's gradient by them over the curvature."""
        return live.rows(ids), self.gradient[ids] / self._curvature()

    def _gradients(self, query: Query, rows: Tensor, live: Live, sign: Tensor) -> Tensor:
        """(b, n, w): the gradient of softplus(sign score) by each row; sign: 1 for negatives, -1 for targets."""
        with torch.enable_grad():
            rows = rows.detach().requires_grad_()
            loss = softplus(sign * live.against(query, rows)).sum()
        return torch.autograd.grad(loss, rows)[0]

    def _curvature(self) -> Tensor:
        mean = self.square.mean()
        return torch.where(mean > 0, self.square + DAMPING * mean, 1)

    def folded(self, rows: Tensor) -> Tensor:
        """(..., w) -> (..., width): padded, or folded with signs."""
        wide, width = rows.shape[-1], self.settings.width
        if wide > width:
            random = generator(derive(0, "influence", "signs", wide), rows.device)
            sign = 2 * torch.randint(2, (wide,), generator=random, device=rows.device) - 1
            rows = rows * sign.to(rows.dtype)
        if wide == width:
            return rows
        return pad(rows, (0, -wide % width)).unflatten(-1, (-1, width)).sum(-2)

    def learn(self, query: Query, drawn: Candidates, live: Live, seed: int) -> Tensor | None:
        """Take the gradient of some questions of the slice with the slot that was open."""
        random = generator(seed, self.device)
        asked = self._aside(query, random)
        others = even_draws((len(asked), self.settings.negatives), self.num_entities, random)
        ids = torch.cat([asked.target[:, None], others], 1)
        sign = torch.ones(ids.shape[1], device=self.device)
        sign[0] = -1
        slope = self._gradients(asked, live.rows(ids), live, sign)
        slope[:, 1:] /= self.settings.negatives
        self._remember(ids, self.folded(slope).to(self.gradient.dtype))
        return super().learn(query, drawn, live, derive(seed, "pool"))

    def _remember(self, ids: Tensor, slope: Tensor) -> None:
        entities, at = torch.unique(ids, return_inverse=True)
        keep, width = self.settings.memory, slope.shape[-1]
        total = slope.new_zeros(len(entities), width).index_add(0, at.flatten(), slope.reshape(-1, width))
        self.gradient[entities] = keep * self.gradient[entities] + (1 - keep) * total
        self.square.copy_(keep * self.square + (1 - keep) * total.square().mean(0))

    def _aside(self, query: Query, random: torch.Generator) -> Query:
        """Questions of the slice, asked as the batch was."""
        slot = query.slot.value
        parts = [self.get_buffer(f"{name}_{slot}") for name in ("anchor", "relation", "target")]
        num = min(self.settings.batch, len(parts[0]))
        pick = torch.randint(len(parts[0]), (num,), generator=random, device=random.device)
        anchor, relation, target = (part[pick] for part in parts)
        row = torch.arange(num, device=pick.device)
        return Query(anchor, relation, target, row, torch.ones(num, device=pick.device), query.side, query.slot)
