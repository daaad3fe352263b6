"""Drawn noise: a proposal, and what is made of its draws: who shares them, how many count, which are left out.

Every named noise that draws is a `Drawn` with a proposal of its own; `Composed` takes any.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from falsum.curves import Constant
from falsum.errors import in_range
from falsum.graph.graph import Graph, Query, Side
from falsum.noise.base import Candidates, Live, Noise, Sampler, Size, each
from falsum.noise.counts import Count, Same
from falsum.noise.dials import Dial
from falsum.noise.drawing import distinct, even_draws, repeated
from falsum.noise.known import KnownAnswers, OwnTarget
from falsum.noise.proposals.base import Proposal, once, past
from falsum.noise.proposals.odds import Even
from falsum.noise.request import Request
from falsum.noise.slots import Both, Slot
from falsum.noise.suspects import Nobody, Suspects
from falsum.seeds import generator

# Draws per query beyond any use; ids of so many candidates fill the memory before a score is made.
MAX_NUM = 10_000_000
Sharing = Literal["query", "batch", "chunk"]
Filter = bool | Literal["target"]
Correction = Literal["none", "classic", "refined"]


@dataclass(frozen=True)
class Drawn(Noise):
    """A noise that draws `num` candidates per query by a proposal (num_head overrides it where the head is open).

    shared: "query", each query draws its own; "batch", one draw serves all queries, which turns gathers into one
    matrix product, and equal queries share a row; "chunk", one draw per `chunk` queries.

    filtered: True leaves out known training answers: own draws that hit one are drawn again, at most REDRAWS times, the
    last time evenly among all entities; what still hits, and shared or corrected draws that hit, are not counted.
    "target" leaves out only the answer that is asked for. False: draws may hit the target itself, as in Kamigaito &
    Hayashi 2021.

    replacement: whether one draw may hold an entity twice.

    correction: by log q, the log of how often a draw of n holds a candidate, n q(e), added with a minus to its score.
    "refined": candidates only, so that a softmax over the target and its draws tends to the one over all entities
    (Bengio & Senecal 2008; the positive is no draw: Khrylchenko et al. 2025). "classic": candidates and target (Yi
    et al. 2019); negative sampling becomes noise-contrastive estimation (Gutmann & Hyvarinen 2010). Needs a proposal
    that knows its odds.

    slot, count, suspects: how much each side counts, how many draws count per question, which draws are doubted.
    """

    num: int = 256
    num_head: int | None = None
    shared: Sharing = "query"
    chunk: int = 64
    filtered: Filter = False
    replacement: bool = True
    correction: Correction = "none"
    slot: Slot = Both()  # noqa: RUF009 (frozen)
    count: Count = Same()  # noqa: RUF009 (frozen)
    suspects: Suspects = Nobody()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        in_range(f"[1, {MAX_NUM}]", num=self.num, num_head=self.num_head, chunk=self.chunk)
        proposal = self.proposes()
        if self.shared != "query" and proposal.sees == "query":
            raise ValueError(
                f'shared must be "query": what is drawn depends on the question; got {self.shared!r}. '
                "Shared draws can be even, counted, or targets of the batch"
            )
        if self.shared != "query" and not isinstance(self.count, Same):
            raise ValueError(f'count must be "same" where draws are shared; got shared = {self.shared!r}')
        if self.correction != "none" and not proposal.exact:
            raise ValueError(f'correction must be "none": the odds of these draws are not known; got {self.correction}')
        if self.correction != "none" and not (self.replacement or isinstance(proposal, Even)):
            raise ValueError('correction must be "none": how often distinct draws of uneven odds come is not known')

    @abstractmethod
    def proposes(self) -> Proposal:
        """How candidates are drawn."""

    @property
    def groups(self) -> bool:
        return self.shared == "batch" and isinstance(self.suspects, Nobody)

    @property
    def blind(self) -> bool:
        plain = not self.filtered and isinstance(self.slot, Both) and self.num_head in (None, self.num)
        return self.groups and plain and self.proposes().sees == "nothing"

    @property
    def looks(self) -> int:
        return self.proposes().looks

    def bind(self, graph: Graph, device: torch.device) -> Sampler:
        return Draws(self, graph, device)

    def state_bytes(self, size: Size) -> int:
        counts = not isinstance(self.count, Same)
        known = KnownAnswers.bytes(size) if self.filtered is True or counts else 0
        slots = 0 if isinstance(self.slot, Both) else 16 * size.relations
        odds = 0 if self.replacement else 16 * size.entities  # kept where draws are many: see `Draws`
        return self.proposes().state_bytes(size) + known + slots + odds + self.suspects.state_bytes(size)


@dataclass(frozen=True)
class Composed(Drawn):
    """A noise put together by hand: any proposal."""

    proposal: Proposal = Even()  # noqa: RUF009 (frozen)

    def proposes(self) -> Proposal:
        return self.proposal


# How often what is barred is drawn again; the last time evenly, for queries whose answers are nearly all of their pool.
REDRAWS = 6
# How often repeats are: that ends almost surely, and what is left does not count.
DISTINCT_REDRAWS = 100
# Share of the entities that distinct draws and what they avoid may take for drawing again to end.
SPARSE = 0.75


class Draws(Sampler):
    """A drawn noise on a graph. Raises ValueError when more distinct entities are asked for than have odds."""

    def __init__(self, settings: Drawn, graph: Graph, device: torch.device) -> None:
        super().__init__()
        self.settings, self.device, self.num_entities = settings, device, graph.num_entities
        self.num_base_relations = graph.num_base_relations
        proposal = settings.proposes()
        self.sees = proposal.sees
        self.proposer = proposal.bind(graph, device)
        self.lr = self.proposer.lr
        counts = not isinstance(settings.count, Same)
        self.known = KnownAnswers(graph, device) if settings.filtered is True or counts else None
        self.filter = {True: self.known, "target": OwnTarget(graph.num_entities), False: None}[settings.filtered]
        self.detector = settings.suspects.bind(graph, device)
        shares = settings.slot.shares(graph)
        self.register_buffer("shares", None if shares is None else shares.to(device), persistent=False)
        self.dense = not settings.replacement and self._dense()

    def num(self, query: Query) -> int:
        head = self.settings.num_head if query.slot is Side.HEAD else None
        return self.settings.num if head is None else head

    def draw(self, query: Query, seed: int, live: Live) -> Candidates:
        request = self._request(query, seed, live)
        ids, barred = self._ids(request)
        shift, own_shift = self._shifts(request, ids)
        if barred is not None:
            plain = barred.float() if shift is None else each(shift, len(query)).expand(barred.shape)
            shift = plain.masked_fill(barred, -torch.inf)
        weight, share = self._weight(request, ids), self._share(query)
        return Candidates(ids, weight, shift=shift, own_shift=own_shift, share=share)

    def learn(self, query: Query, drawn: Candidates, live: Live, seed: int) -> Tensor | None:
        return self.proposer.learn(query, drawn, live, seed)

    def watched(self, epoch: float) -> dict[str, float]:
        dials = {name: part for name, part in self.proposer.named_modules() if isinstance(part, Dial)}
        return {name: dial.at(epoch) for name, dial in dials.items() if not isinstance(dial.curve, Constant)}

    def _request(self, query: Query, seed: int, live: Live) -> Request:
        rows = {"query": len(query), "batch": 1, "chunk": -(-len(query) // self.settings.chunk)}
        # Sorted, so that equal questions may share a row without a change of what is drawn.
        targets = query.target.sort().values if self.sees == "batch" else query.target
        random = generator(seed, self.device)
        return Request(query, rows[self.settings.shared], self.num(query), targets, random, live, self.filter)

    # Which entities

    def _ids(self, request: Request) -> tuple[Tensor, Tensor | None]:
        """(rows, n) entities, and which of them, (b, n), are drawn but barred; None where none is."""
        # Corrected draws stay as they are: what is barred is left out, and the odds of the others are known.
        again = request.filter is not None and self.settings.shared == "query" and self.settings.correction == "none"
        if self.dense:
            odds = self.get_buffer(f"dense_{request.query.slot.value}")
            ids = distinct(*request.shape, odds, request.barred if again else None, request.random)
        else:
            ids = self.proposer.draw(request)
            if not self.settings.replacement:
                ids = self._distinct(request, ids, again=again)
            elif again:
                return self._past(request, ids)
        if request.filter is None:
            return ids, None
        barred = request.bars(each(ids, len(request.query)))
        return ids, barred if bool(barred.any()) else None

    def _past(self, request: Request, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """Own draws with what is barred drawn again, the last time evenly, and what is barred still."""
        look = request.look()
        barred = past(self.proposer, self.sees, request, ids, look, REDRAWS - 1)
        where = barred.nonzero(as_tuple=True)
        if len(where[0]) == 0:
            return ids, None
        drawn = even_draws(where[0].shape, self.num_entities, request.random)
        ids.index_put_(where, drawn)
        return ids, barred.index_put_(where, look(where[0], drawn))

    def _distinct(self, request: Request, ids: Tensor, *, again: bool) -> Tensor:
        """The draws with repeats, and (if again) what is barred, drawn again; what is left of them does not count."""
        look = request.look()
        rows = torch.arange(len(ids), device=ids.device)[:, None]
        for _ in range(DISTINCT_REDRAWS):
            bad = repeated(ids)
            where = (bad | look(rows, ids) if again else bad).nonzero(as_tuple=True)
            if len(where[0]) == 0:
                break
            ids.index_put_(where, once(self.proposer, self.sees, request, where[0]))
        return ids

    def _dense(self) -> bool:
        """Whether distinct draws are so many that drawing again would not end soon; then the odds (E,) are kept."""
        settings, most = self.settings, max(self.settings.num, self.settings.num_head or 0)
        if self.sees not in ("nothing", "slot") or not settings.proposes().exact:
            return False
        odds = {slot: self._odds_of(slot) for slot in Side}
        support = min(int((each > 0).sum()) for each in odds.values())
        if most > support:
            raise ValueError(f"cannot draw {most} of {support} entities without replacement")
        if self.known and settings.shared == "query":
            answers = [self.known.counts(slot) for slot in Side]
            most += max((int(each.max()) for each in answers if len(each)), default=0)
        even = all(bool((each == each[0]).all()) for each in odds.values())
        if even and most <= SPARSE * support:
            return False
        for slot, part in odds.items():
            self.register_buffer(f"dense_{slot.value}", part, persistent=False)
        return True

    def _odds_of(self, slot: Side) -> Tensor:
        none, asked = torch.zeros(1, dtype=torch.int64, device=self.device), torch.ones(1, device=self.device)
        query = Query(none, none, none, none, asked, Side.TAIL, slot)
        request = Request(query, 1, 1, none, generator(0, self.device), DEAD)
        return self.proposer.log_q(request, torch.arange(self.num_entities, device=self.device)[None])[0].exp()

    # How much they count

    def _weight(self, request: Request, ids: Tensor) -> Tensor | None:
        """(b, n) or (1, n), or None: draws past a question's count, repeats and doubts."""
        settings, parts = self.settings, []
        if not settings.replacement and not self.dense:
            again = repeated(ids)
            if bool(again.any()):
                parts.append(each((~again).float(), len(request.query)))
        if not isinstance(settings.count, Same):
            places = torch.arange(request.num, device=ids.device)
            parts.append((places < self._counts(request)[:, None]).float())
        if self.detector is not None:
            parts.append(1 - self.detector.doubt(request.query, ids, request.live).float())
        return None if not parts else torch.stack(torch.broadcast_tensors(*parts)).prod(0)

    def _counts(self, request: Request) -> Tensor:
        """(b,): how many draws count."""
        query = request.query
        assert self.known is not None
        row = self.known.row(query)
        counts = self.settings.count.of(request.num, self.known.counts(query.slot)[row])
        return torch.full_like(row, request.num) if counts is None else counts

    def _share(self, query: Query) -> Tensor | None:
        if self.shares is None:
            return None
        slot = 0 if query.slot is Side.TAIL else 1
        return self.get_buffer("shares")[slot, query.relation % self.num_base_relations]

    def _shifts(self, request: Request, ids: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Minus the log of how often a draw holds each candidate, and each target."""
        if self.settings.correction == "none":
            return None, None
        query = request.query
        many = self._counts(request)[:, None] if not isinstance(self.settings.count, Same) else request.num
        log_num = torch.as_tensor(many, device=ids.device).double().log()
        often = self.proposer.log_q(request, ids) + log_num
        shift = -(often if self.settings.replacement else often.clamp(max=0))
        # What a draw cannot give (drawn evenly in the end, or a target outside the pool) is not corrected.
        shift = shift.masked_fill(shift == torch.inf, 0)
        if self.settings.correction == "refined":
            return shift, None
        singly = replace(request, filter=None).single(query.row) if self.sees == "query" else request
        own = self.proposer.log_q(singly, query.target[:, None] if self.sees == "query" else query.target[None])
        own_shift = -(own.flatten() + log_num.expand(len(query), 1)[query.row, 0])
        return shift, own_shift.masked_fill(own_shift == torch.inf, 0)


def _nothing(*_: object) -> Tensor:
    raise AssertionError("odds that are asked for when a noise is bound do not depend on the model")


DEAD = Live(_nothing, _nothing, _nothing, 0.0)
