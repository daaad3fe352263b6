"""Study: the runs of a comparison. Each loss first finds its learning rate on the validation split, then trains with
every seed; all trainings have the same budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from falsum.comparison.budget import Budget, Cost, epoch_cost
from falsum.comparison.findings import Comparison, Setup, Trained, Trial, differences
from falsum.comparison.intervals import triple_questions, triple_values
from falsum.comparison.losses import Pair, base_recipe, check, loss_recipe
from falsum.errors import UserError
from falsum.evaluation.questions import Questions
from falsum.graph.graph import Graph
from falsum.recipe.assemble import assemble
from falsum.recipe.settings import Recipe
from falsum.run.contents import Result
from falsum.run.folder import graph_facts
from falsum.run.run import Run
from falsum.seeds import derive
from falsum.training.loop import Diverged, Record, Trainer

# Learning rates that are tried, as multiples of the recipe's, in this order.
FACTORS = (1.0, 0.3, 3.0, 0.1, 10.0, 0.03, 30.0)
# The seed that finds the learning rate; those that are compared count from 1.
TUNING_SEED = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a study stands: a run, and its last record, or None when the run is over."""

    loss: str
    rate: float
    seed: int
    run: Run
    record: Record | None

    @property
    def trial(self) -> bool:
        """Whether the run only tries a learning rate."""
        return self.seed == TUNING_SEED


@dataclass(frozen=True)
class Study:
    """A comparison to be made. pairs: of losses that are compared. seeds: models per loss. tune: learning rates tried.

    settings: dotted recipe settings for all losses, see `losses.base_recipe` and `losses.loss_recipe`. folder: of all
    runs: <loss>/seed-<n>, and <loss>/lr-<rate> where learning rates were tried.

    Raises UserError when a part cannot be used.
    """

    graph: Graph
    model: str
    pairs: tuple[Pair, ...]
    seeds: int
    budget: Budget
    tune: int
    folder: Path
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.seeds < 2:
            raise UserError("A comparison needs 2 seeds or more: one seed shows nothing of their spread.")
        if not 1 <= self.tune <= len(FACTORS):
            raise UserError(f"The number of learning rates to try lies between 1 and {len(FACTORS)}.")
        needed = {"train": 1, "test": 2} | ({"valid": 1} if self.tune > 1 else {})
        for split, least in needed.items():
            if len(self.graph.splits.get(split, ())) < least:
                raise UserError(
                    f"Graph {self.graph.name!r} has fewer than {least} {split} triples, so losses cannot be compared "
                    "on it." + (" Without a validation split, use --tune 1." if split == "valid" else "")
                )
        if not Questions.of(self.graph.splits["test"].numpy()).freedom:
            raise UserError(
                f"All test triples of graph {self.graph.name!r} belong to one question, (h, r, ?) or (?, r, t), so "
                "nothing tells how much a difference depends on it. Use a test split that asks more."
            )
        check(self.settings, self.losses)
        for loss in self.losses:
            _ = self.recipe(loss, self.rates[0], TUNING_SEED)

    @property
    def losses(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(loss for pair in self.pairs for loss in pair))

    @cached_property
    def base(self) -> Recipe:
        return base_recipe(self.graph, self.model, self.settings)

    @cached_property
    def rates(self) -> tuple[float, ...]:
        """The learning rates that are tried."""
        return tuple(float(f"{self.base.optimizer['lr'] * factor:.3g}") for factor in FACTORS[: self.tune])

    @cached_property
    def costs(self) -> dict[str, Cost]:
        """What an epoch of each loss takes."""
        recipes = {loss: loss_recipe(loss, self.base, self.graph, self.settings) for loss in self.losses}
        return {loss: epoch_cost(assemble(recipe, self.graph)) for loss, recipe in recipes.items()}

    def recipe(self, loss: str, rate: float, seed: int) -> Recipe:
        """The recipe of one run. What is random in it no other run has: losses are independent samples."""
        own = {**self.budget.settings(self.costs[loss]), "optimizer.lr": rate, "train.seed": seed_of(loss, seed)}
        return loss_recipe(loss, self.base, self.graph, self.settings).changed(**own)

    @property
    def num_runs(self) -> int:
        """Trainings in all: those that find the learning rates, and those that are compared."""
        return len(self.losses) * (len(self.tried) + self.seeds)

    def train(self) -> Iterator[Standing]:
        """Train what is not trained yet, and rank the test split with every model that is compared.

        Runs that are finished are kept, and interrupted ones go on. A learning rate that diverges has lost. Raises
        UserError when the folder holds runs with other settings, or every learning rate of a loss diverges.
        """
        for loss in self.losses:
            if self.budget.unit == "seconds":  # what is compiled at the first step is not counted
                Trainer(assemble(self.recipe(loss, self.rates[0], TUNING_SEED), self.graph)).step()
            for rate in self.tried:
                yield from self._run(loss, rate, TUNING_SEED)
            chosen = self.best_rate(loss)
            for seed in self.seed_numbers:
                yield from self._run(loss, chosen, seed)

    def _run(self, loss: str, rate: float, seed: int) -> Iterator[Standing]:
        run = self._open(self.recipe(loss, rate, seed), self.place(loss, rate, seed))
        if not run.finished:
            try:
                for stage in run.stages():
                    for record in stage.train():
                        yield Standing(loss, rate, seed, run, record)
            except Diverged:
                if seed != TUNING_SEED:
                    raise
        if seed != TUNING_SEED and run.kept().result is None:
            run.evaluate("test")
        yield Standing(loss, rate, seed, run, None)

    def place(self, loss: str, rate: float, seed: int) -> Path:
        """The folder of a run."""
        return self.folder / loss / (f"lr-{rate:g}" if seed == TUNING_SEED else f"seed-{seed}")

    def _open(self, recipe: Recipe, folder: Path) -> Run:
        """The run of a recipe in a folder, new or as it stands. Raises UserError when another recipe is there."""
        if not (folder / "recipe.toml").exists():
            return Run.create(self.graph, recipe, folder)
        run = Run.open(folder)
        there, wanted = (_flat(each.model_dump()) for each in (run.recipe, recipe))
        if wanted["train.precision"] == "auto":  # a run holds what auto came to
            wanted["train.precision"] = there["train.precision"]
        changed = [
            f"{key} was {there.get(key)} and would be {wanted.get(key)}"
            for key in {**there, **wanted}
            if there.get(key) != wanted.get(key)
        ]
        if graph_facts(folder).sha256 != self.graph.sha256:
            changed.append("the graph is another one")
        if changed:
            raise UserError(
                f"{folder} holds a run with other settings: {'; '.join(changed)}. Give the same options to go on with "
                "it, or another folder."
            )
        return run

    @property
    def seed_numbers(self) -> range:
        """The seeds that are compared."""
        return range(TUNING_SEED + 1, TUNING_SEED + 1 + self.seeds)

    @property
    def tried(self) -> tuple[float, ...]:
        """The learning rates that are trained to choose from; none where there is no choice."""
        return self.rates if self.tune > 1 else ()

    def trials(self, loss: str) -> list[Trial]:
        """What trying the learning rates of a loss came to."""
        runs = {rate: Run.open(self.place(loss, rate, TUNING_SEED)) for rate in self.tried}
        return [Trial(loss, rate, best(run)[1] if run.finished else None) for rate, run in runs.items()]

    def best_rate(self, loss: str) -> float:
        """The learning rate with the best validation; of equals the first that was tried."""
        if not self.tried:
            return self.rates[0]
        ended = [trial for trial in self.trials(loss) if trial.valid is not None]
        if not ended:
            rates = ", ".join(f"{rate:g}" for rate in self.rates)
            raise UserError(f"Every learning rate of {loss} diverged ({rates}): set a lower optimizer.lr.")
        return max(ended, key=lambda trial: trial.valid or 0.0).rate

    def conclude(self) -> Comparison:
        """What the runs say. Raises UserError when one is not trained to its end and ranked."""
        runs = {loss: [self._ended(loss, seed) for seed in self.seed_numbers] for loss in self.losses}
        first = runs[self.losses[0]][0]
        setup = Setup(
            graph=self.graph.name,
            graph_sha256=self.graph.sha256,
            model=self.model,
            dim=self.base.model["dim"],
            budget=self.budget,
            seeds=self.seeds,
            rates=self.rates,
            settings=self.settings,
            recipes={loss: seeds[0].recipe.model_dump() for loss, seeds in runs.items()},
            protocol=_result(first).protocol.model_dump(mode="json"),
            environment=first.environment.model_dump(mode="json"),
        )
        frames = {loss: [run.ranks() for run in runs[loss]] for loss in runs}
        values = {loss: [triple_values(frame, setup.protocol["tie"]) for frame in frames[loss]] for loss in runs}
        return Comparison(
            setup=setup,
            trials=tuple(trial for loss in self.losses for trial in self.trials(loss)),
            trained=tuple(
                self._trained(loss, seed, run)
                for loss in runs
                for seed, run in zip(self.seed_numbers, runs[loss], strict=True)
            ),
            differences=differences(values, self.pairs, triple_questions(frames[self.losses[0]][0])),
        )

    def _ended(self, loss: str, seed: int) -> Run:
        run = Run.open(self.place(loss, self.best_rate(loss), seed))
        if not run.finished:
            raise UserError(f"{run.folder} is not trained to its end yet.")
        _result(run)
        return run

    def _trained(self, loss: str, seed: int, run: Run) -> Trained:
        last = run.history()[-1]
        epoch, valid = best(run)
        return Trained(
            loss=loss,
            seed=seed,
            rate=run.recipe.optimizer["lr"],
            epochs=last["epoch"],
            best_epoch=epoch,
            steps=last["step"],
            scores=last["epoch"] * self.costs[loss].scores,
            seconds=last["step_seconds"],
            valid=valid,
            metrics=_result(run).metrics,
        )


def _result(run: Run) -> Result:
    """The evaluation of a run. Raises UserError when there is none of its present weights."""
    kept = run.kept()
    if kept.result is None:
        raise UserError(f"{run.folder} is not ranked yet{kept.stale and f': {kept.stale}'}.")
    return kept.result


def seed_of(loss: str, number: int) -> int:
    """The recipe's seed of a loss's `number`-th model."""
    return derive(number, loss) % 2**31


def best(run: Run) -> tuple[int, float | None]:
    """(epoch of the weights that are kept, their validation metric); the last epoch where nothing was validated."""
    lines, metric = run.history(), run.recipe.validation.metric
    validated = [line for line in lines if line.get("best")]
    return (validated[-1]["epoch"], validated[-1]["metrics"][metric]) if validated else (lines[-1]["epoch"], None)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
