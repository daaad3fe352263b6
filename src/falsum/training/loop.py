"""The training loop: steps, validation, schedules, early stopping. Yields records, prints and writes nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from falsum.errors import UserError
from falsum.evaluation.metrics import metrics
from falsum.evaluation.ranks import rank
from falsum.graph.graph import BOTH_SIDES, Query
from falsum.noise.base import Candidates, Live
from falsum.scan.loss import live, loss
from falsum.scan.scoring import Asked
from falsum.seeds import derive, generator
from falsum.training.batches import Batches
from falsum.training.job import Job
from falsum.training.learned import LearnedNumbers
from falsum.training.optimizers import Adam, Updater


@dataclass(frozen=True)
class Record:
    """Where training stands. epoch counts finished epochs; loss is the mean per triple and side since the epoch began.

    seconds: since training began; step_seconds: of the steps alone, without validations and the writing of files.
    learned: numbers that the objectives learn, and settings of the noise that follow a curve, by name.
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
    learned: dict[str, float] = field(default_factory=dict)
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
        self.device = job.scoring.device
        self.weights = job.scoring.parameters()
        by_rows = {name: table for name, table in job.scoring.tables.items() if table.row_wise}
        whole = {name: p for name, p in self.weights.items() if name not in by_rows}
        self.learned = [LearnedNumbers(term.objective.learned, self.device) for term in job.terms]
        own = {f"objective.{i}.{name}": (p, lr) for i, held in enumerate(self.learned) for name, p, lr in held.listed()}
        self.updaters = {"optimizer": Updater(job.optimizer, whole, by_rows)}
        self.updaters |= {f"adam.{name}": Updater(Adam(lr), {"value": p}) for name, (p, lr) in own.items()}
        if generator := dict(job.sampler.named_parameters()):
            self.updaters["adam.noise"] = Updater(Adam(job.sampler.lr), generator)
        self.batches = Batches(job)
        self.steps_per_epoch = self.batches.per_epoch
        self.triples_per_step = len(job.graph.splits["train"]) / self.steps_per_epoch

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
        """One optimizer step over both sides; the mean loss per triple and side. Advances the position."""
        job, step = self.job, self.position.step
        epoch, inside = divmod(step, self.steps_per_epoch)
        now = step / self.steps_per_epoch
        job.scoring.model.train()
        view = live(job.scoring, now)
        total = torch.zeros((), device=self.device)
        drawn = []
        for part, batch in enumerate(self.batches.at(epoch, inside)):
            candidates = job.sampler.draw(batch, derive(job.seed, step, "noise", part), view)
            asked = job.scoring.ask(batch, candidates, derive(job.seed, step, "dropout", part))
            value = self._loss(batch, candidates, asked, part, view) / self.triples_per_step
            total += value.detach()
            (value + self._penalty(asked)).backward()
            drawn.append((batch, candidates))
        self._table_penalty()
        self.updaters["optimizer"].step(self._scale())
        self._learn(drawn, view)
        self.position.step += 1
        return float(total) / len(BOTH_SIDES)

    def _loss(self, batch: Query, candidates: Candidates, asked: Asked, part: int, view: Live) -> Tensor:
        """0-dim: the weighted sum of the terms over the batch's targets."""
        job, step = self.job, self.position.step
        batch = job.weighting.now(batch, view)
        total = torch.zeros((), device=self.device)
        for i, (term, held) in enumerate(zip(job.terms, self.learned, strict=True)):
            objective, own = term.objective.at(view.epoch, held.values()), candidates
            if term.redraw:
                own = job.sampler.draw(batch, derive(job.seed, step, "noise", part, "term", i), view)
            values = loss(job.scoring, objective, batch, own, asked.seed, mutation=term.mutation, asked=asked)
            total = total + term.weight * (values * batch.weight).sum()
        return total

    def _learn(self, drawn: list[tuple[Query, Candidates]], view: Live) -> None:
        """What follows a step: the objectives' own numbers, and the sampler's caches and parameters."""
        for part, (batch, candidates) in enumerate(drawn):
            seed = derive(self.job.seed, self.position.step, "learn", part)
            value = self.job.sampler.learn(batch, candidates, view, seed)
            if value is not None:
                value.backward()
        for name, updater in self.updaters.items():
            if name != "optimizer":
                updater.step()

    def _penalty(self, asked: Asked) -> Tensor:
        """Penalties of the batch, averaged as its losses."""
        zero = torch.zeros((), device=self.device)
        if not self.job.penalties:
            return zero
        factors = asked.factors()
        values = [penalty.of_batch(factors) for penalty in self.job.penalties]
        return sum((value for value in values if value is not None), start=zero).sum() / self.triples_per_step

    def _table_penalty(self) -> None:
        for penalty in self.job.penalties:
            value = penalty.of_tables(*(self.job.scoring.table(name).whole for name in ("entities", "relations")))
            if value is not None:
                value.backward()

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
        own = {name: float(v.detach()) for held in self.learned for name, v in held.values().items()}
        now = step / self.steps_per_epoch
        own |= {f"noise.{name}": value for name, value in self.job.sampler.watched(now).items()}
        return Record(epoch, step, self.steps_per_epoch, mean, speed, seconds, spent, lr, own, **more)  # type: ignore[arg-type]

    def _scale(self) -> float:
        step = self.position.step
        return self.job.schedule.factor(step, step / self.steps_per_epoch, self.position.history)

    def state(self) -> tuple[dict[str, Tensor], dict[str, object]]:
        """(tensors, scalars) that `restore` continues from to the same bits.

        Raises Diverged when a weight is not finite, so that no such state is ever saved.
        """
        tensors = {f"weights.{name}": p.detach() for name, p in self.weights.items()}
        for name, weight in tensors.items():
            if not bool(torch.isfinite(weight).all()):
                raise self._diverged(f"The {name} became NaN or infinite")
        tensors |= {f"buffers.{name}": b for name, b in self.job.scoring.model.named_buffers()}
        tensors |= self._beside()
        for name, updater in self.updaters.items():
            tensors |= {f"{name}.{key}": t for key, t in updater.state().items()}
        return tensors, {**asdict(self.position), "updates": self.updaters["optimizer"].steps}

    def _beside(self) -> dict[str, Tensor]:
        """What is learned or kept beside the model: it is part of a checkpoint, and of no model file."""
        own = {f"objective.{i}.{name}": p.detach() for i, h in enumerate(self.learned) for name, p, _ in h.listed()}
        return own | {f"noise.{name}": t.detach() for name, t in self.job.sampler.state_dict().items()}

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor], scalars: dict[str, object]) -> None:
        """Take up a saved state."""
        for name, parameter in self.weights.items():
            parameter.copy_(tensors[f"weights.{name}"])
        for name, buffer in self.job.scoring.model.named_buffers():
            buffer.copy_(tensors[f"buffers.{name}"])
        for name, tensor in self._beside().items():
            tensor.copy_(tensors[name])
        values = dict(scalars)
        steps = values.pop("updates")
        assert isinstance(steps, int)
        for name, updater in self.updaters.items():
            prefix = f"{name}."
            updater.restore({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}, steps)
        self.position.__dict__.update(values)
