"""The training loop: steps, validation, schedules, early stopping. Yields records, prints and writes nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn

from falsum.errors import UserError
from falsum.evaluation.metrics import metrics
from falsum.evaluation.ranks import rank
from falsum.graph.graph import BOTH_SIDES, Query, joined
from falsum.objectives.penalties import Penalty, TableLp
from falsum.scan.loss import factors, loss
from falsum.scan.scoring import Gathered, gather
from falsum.seeds import derive, generator
from falsum.training.job import Job
from falsum.training.optimizers import Updater


@dataclass(frozen=True)
class Record:
    """Where training stands. epoch counts finished epochs; loss is the mean per triple and side since the epoch began.

    seconds: since training began; step_seconds: of the steps alone, without validations and the writing of files.
    metrics: of a validation just made, else empty. best: whether it is the best so far. done: why training ended.
    """

    epoch: int
    step: int
    steps_per_epoch: int
    loss: float
    triples_per_second: float
    seconds: float
    step_seconds: float
    lr: float
    metrics: dict[str, float] = field(default_factory=dict)
    best: bool = False
    done: str = ""


@dataclass
class Position:
    """The scalars of a training state; with the tensors of `Trainer.state` they are enough to go on."""

    step: int = 0
    history: list[float] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    loss_sum: float = 0.0
    seconds: float = 0.0
    step_seconds: float = 0.0


class Diverged(UserError):
    """The loss became non-finite."""


class Trainer:
    """Runs a job from a position. Everything random is derived from (seed, step), so position and tensors suffice."""

    def __init__(self, job: Job, *, rank_progress: Callable[[int], None] = lambda done: None) -> None:
        self.job, self.position = job, Position()
        self.rank_progress = rank_progress
        scoring = job.scoring
        self.parameters: dict[str, nn.Parameter] = {
            "entities": scoring.entities.weight,
            "relations": scoring.relations.weight,
            **{f"model.{name}": p for name, p in scoring.model.named_parameters()},
        }
        self.updater = Updater(job.optimizer, self.parameters, job.row_wise)
        triples = job.graph.splits["train"]
        self.device = scoring.entities.weight.device
        weights = {side: job.weighting(job.graph, side) for side in BOTH_SIDES}
        sides = [
            job.graph.queries(triples, side, grouped=job.grouped, weight=weights[side].float()).to(self.device)
            for side in BOTH_SIDES
        ]
        self.queries = [joined(sides)] if job.joined else sides
        self.steps_per_epoch = max(1, math.ceil(len(triples) / job.batch_size))
        self.triples_per_step = len(triples) / self.steps_per_epoch
        self._orders: tuple[int, list[Tensor]] | None = None

    def run(self) -> Iterator[Record]:
        """Train to the end, yielding a record after every step and every validation."""
        position = self.position
        start = time.perf_counter() - position.seconds
        while True:
            epoch, inside = divmod(position.step, self.steps_per_epoch)
            if inside == 0 and position.step and self._validation_due(epoch):
                yield self._validate(epoch, time.perf_counter() - start)
            if reason := self._finished(epoch, inside):
                yield self._record(0.0, time.perf_counter() - start, done=reason)
                return
            if inside == 0:
                position.loss_sum = 0.0
            began = time.perf_counter()
            value = self.step()
            position.loss_sum += value
            position.step += 1
            now = time.perf_counter()
            position.seconds, position.step_seconds = now - start, position.step_seconds + now - began
            if not math.isfinite(value):
                raise self._diverged(f"The loss became {value}")
            yield self._record(self.triples_per_step / (now - began), position.seconds)

    def _diverged(self, what: str) -> Diverged:
        step = self.position.step
        return Diverged(
            f"{what} at step {step} (epoch {math.ceil(step / self.steps_per_epoch)}). The usual causes: a learning "
            f"rate that is too high (now {self.job.optimizer.lr}), an initialiser with a large scale, or a penalty "
            "that is too strong. The last checkpoint before this is kept: lower optimizer.lr in recipe.toml and "
            "resume from it, or train again."
        )

    def step(self) -> float:
        """One optimizer step over both sides; the mean loss per triple and side."""
        job, step = self.job, self.position.step
        epoch, inside = divmod(step, self.steps_per_epoch)
        job.scoring.model.train()
        torch.manual_seed(derive(job.seed, step, "model"))  # for dropout inside a score model
        touched: dict[str, list[Tensor]] = {"entities": [], "relations": []}
        total = torch.zeros((), device=self.device)
        objective = job.objective.at(step / self.steps_per_epoch)
        for part, query in enumerate(self.queries):
            batch = query.select(self._rows(part, epoch, inside))
            candidates = job.draw(batch, derive(job.seed, step, "noise", part))
            rows = gather(job.scoring, batch)
            seed = derive(job.seed, step, "dropout", part)
            values = loss(job.scoring, objective, batch, candidates, seed, rows)
            value = (values * batch.weight).sum() / self.triples_per_step
            total += value.detach()
            (value + self._penalty(batch, rows)).backward()
            if job.row_wise:
                touched["entities"] += [batch.anchor, batch.target]
                if isinstance(candidates.ids, Tensor):
                    touched["entities"].append(candidates.ids.flatten())
                touched["relations"].append(batch.relation)
        self._table_penalty()
        self.updater.step(self._scale(), {name: torch.cat(ids) for name, ids in touched.items() if ids})
        return float(total) / len(BOTH_SIDES)

    def _penalty(self, batch: Query, rows: Gathered) -> Tensor:
        """Penalties of the batch, averaged as its losses."""
        penalties = [p for p in self.job.penalties if isinstance(p, Penalty)]
        if not penalties:
            return torch.zeros((), device=self.device)
        parts = factors(self.job.scoring, batch, rows)
        value = sum((penalty(parts) for penalty in penalties), start=torch.zeros((), device=self.device))
        return value.sum() / self.triples_per_step

    def _table_penalty(self) -> None:
        for penalty in self.job.penalties:
            if isinstance(penalty, TableLp):
                penalty.total(self.parameters["entities"], self.parameters["relations"]).backward()

    def _rows(self, part: int, epoch: int, inside: int) -> Tensor:
        """The queries of one batch: a slice of the epoch's permutation."""
        if self._orders is None or self._orders[0] != epoch:
            seeds = [derive(self.job.seed, epoch, "order", i) for i in range(len(self.queries))]
            orders = [torch.randperm(len(q), generator=generator(s)) for q, s in zip(self.queries, seeds, strict=True)]
            self._orders = (epoch, [order.to(self.device) for order in orders])
        order = self._orders[1][part]
        low, high = (len(order) * i // self.steps_per_epoch for i in (inside, inside + 1))
        return order[low:high].sort().values

    def _validation_due(self, epoch: int) -> bool:
        job = self.job
        wanted = job.validation.every and "valid" in job.graph.splits and len(job.graph.splits["valid"])
        if not wanted or epoch in self.position.epochs:
            return False
        share = self._share(epoch)
        if job.validation.times and share < 1:
            return int(share * job.validation.times) > len(self.position.history)
        return epoch % job.validation.every == 0 or share >= 1

    def _share(self, epoch: int) -> float:
        """How much of the training is over: of its epochs, or of its seconds where these run out first."""
        seconds = self.job.seconds
        return max(epoch / self.job.epochs, self.position.step_seconds / seconds if seconds else 0.0)

    def _validate(self, epoch: int, seconds: float) -> Record:
        job, position, rules = self.job, self.position, self.job.validation
        triples = job.graph.splits["valid"]
        if 0 < rules.queries < len(triples):
            order = torch.randperm(len(triples), generator=generator(derive(job.seed, "validation")))
            triples = triples[order[: rules.queries]]
        job.scoring.model.eval()
        ranks = rank(job.scoring, job.graph, triples, filter_splits=rules.filter_splits, progress=self.rank_progress)
        values = metrics(ranks.frame)
        best = not position.history or values[rules.metric] > max(position.history)
        position.history.append(values[rules.metric])
        position.epochs.append(epoch)
        position.seconds = seconds
        return self._record(0.0, seconds, metrics=values, best=best)

    def _finished(self, epoch: int, inside: int) -> str:
        job, rules, history = self.job, self.job.validation, self.position.history
        if inside:
            return ""
        if epoch >= job.epochs:
            return f"all {job.epochs} epochs done"
        if self._share(epoch) >= 1:
            return f"{job.seconds:g} s of training are over"
        if rules.patience and history:
            since = len(history) - 1 - history.index(max(history))
            if since >= rules.patience:
                return f"no better validation {rules.metric} in {since} validations"
        if history and epoch > rules.floor_epochs and max(history) < rules.floor:
            return f"validation {rules.metric} stayed below {rules.floor} for {epoch} epochs"
        return ""

    def _record(self, speed: float, seconds: float, **more: object) -> Record:
        epoch, inside = divmod(self.position.step, self.steps_per_epoch)
        done_steps = inside or self.steps_per_epoch
        mean = self.position.loss_sum / done_steps if self.position.step else 0.0
        lr = self.job.optimizer.lr * self._scale()
        step, spent = self.position.step, self.position.step_seconds
        return Record(epoch, step, self.steps_per_epoch, mean, speed, seconds, spent, lr, **more)  # type: ignore[arg-type]

    def _scale(self) -> float:
        step = self.position.step
        return self.job.schedule.factor(step, step / self.steps_per_epoch, self.position.history)

    def state(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """(tensors, scalars) that `restore` continues from to the same bits.

        Raises Diverged when a weight is not finite, so that no such state is ever saved.
        """
        tensors = {f"weights.{name}": p.detach() for name, p in self.parameters.items()}
        for name, weight in tensors.items():
            if not bool(torch.isfinite(weight).all()):
                raise self._diverged(f"The {name} became NaN or infinite")
        tensors |= {f"buffers.{name}": b for name, b in self.job.scoring.model.named_buffers()}
        tensors |= {f"optimizer.{name}": t for name, t in self.updater.state().items()}
        return tensors, {**asdict(self.position), "updates": self.updater.steps}

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor], scalars: dict[str, object]) -> None:
        """Take up a saved state."""
        for name, parameter in self.parameters.items():
            parameter.copy_(tensors[f"weights.{name}"])
        for name, buffer in self.job.scoring.model.named_buffers():
            buffer.copy_(tensors[f"buffers.{name}"])
        values = dict(scalars)
        steps = values.pop("updates")
        assert isinstance(steps, int)
        optimizer = {k.removeprefix("optimizer."): v for k, v in tensors.items() if k.startswith("optimizer.")}
        self.updater.restore(optimizer, steps)
        self.position.__dict__.update(values)
