"""What to run: cells by glob, the folder and recipe of each, and what it may cost."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from falsum.errors import UserError
from falsum.recipe.parts import FAMILIES, options
from falsum.recipe.settings import Recipe
from falsum.reproduce.experiments import Cell, Experiment
from falsum.run.run import Run

# Settings of a chain that its source has no use for start like this.
PRETRAINING = "pretraining."


@dataclass(frozen=True)
class Task:
    """A cell to train with a seed. settings: dotted changes of its recipe, which make it a variant."""

    cell: Cell
    seed: int = 0
    runs: Path = Path("runs")
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def recipe(self) -> Recipe:
        """The cell's recipe with this seed and these settings, in its source too. Raises UserError as `changed`."""
        changes = {"train.seed": self.seed, **self.settings}
        source = self.cell.recipe.pretraining and self.cell.recipe.pretraining.source
        if not isinstance(source, Recipe):
            return self.cell.recipe.changed(**changes)
        before = {k: v for k, v in changes.items() if not k.startswith(PRETRAINING)}
        nested = source.changed(**before).model_dump()
        return self.cell.recipe.changed(**{**changes, "pretraining.source": nested})

    @property
    def folder(self) -> Path:
        """Where the run lies: <runs>/<cell>/seed-<seed>, with the settings after it."""
        changes = "".join(f"-{key}={json.dumps(value)}" for key, value in self.settings.items())
        return self.runs / self.cell.name / f"seed-{self.seed}{re.sub(r'[^A-Za-z0-9_.=+-]+', '_', changes)[:150]}"

    @property
    def changes(self) -> str:
        """The settings as a line of text, as --set takes them."""
        return " ".join(f"{key}={json.dumps(value)}" for key, value in self.settings.items())

    def begun(self) -> Run | None:
        """The run in the folder; None where there is none. Raises UserError when its recipe or seed is another."""
        if not (self.folder / "recipe.toml").exists():
            return None
        run, recipe = Run.open(self.folder), self.recipe
        # What "auto" came to is written in the folder, and differs between machines.
        found = run.recipe.changed(**{"train.precision": recipe.train.precision})
        if recipe.pretraining:  # in a folder its source is one too, whose recipe is not told again
            recipe = recipe.changed(**{"pretraining.source": "a folder"})
        if (fingerprint(found), found.train.seed) != (fingerprint(recipe), recipe.train.seed):
            raise UserError(
                f"{self.folder} holds a run of another recipe than {self.cell.name} has now. Move it away, or choose "
                "other --runs."
            )
        return run

    def source(self, experiment: Experiment) -> Task | None:
        """The task whose weights this one starts from."""
        if self.cell.source is None:
            return None
        shared = {k: v for k, v in self.settings.items() if not k.startswith(PRETRAINING)}
        return replace(self, cell=experiment.cell(self.cell.source), settings=shared)


def tasks(experiment: Experiment, cells: str, seed: int, runs: Path, settings: Mapping[str, Any]) -> list[Task]:
    """A task for every cell whose name matches the glob `cells`, the experiment's own name at its start or not.

    Raises UserError when none does, or a setting is unknown.
    """
    globs = (cells, f"{experiment.name}/{cells}")
    found = [cell for cell in experiment.cells if any(fnmatch.fnmatchcase(cell.name, glob) for glob in globs)]
    if not found:
        names = ", ".join(cell.name.removeprefix(f"{experiment.name}/") for cell in experiment.cells)
        raise UserError(f"No cell of {experiment.name} matches {cells!r}. Its cells: {names}.")
    if any(key.startswith("pretraining.source") for key in settings):
        raise UserError("pretraining.source is the run of another cell and cannot be set here.")
    planned = [Task(cell, seed, runs, settings) for cell in found]
    for task in planned:
        task.recipe  # noqa: B018  an unknown setting is an error before anything is trained
    return planned


def fingerprint(recipe: Recipe) -> str:
    """12 hexadecimal digits of the SHA-256 of what a recipe asks for.

    The seed is left out, a ledger has its own column for it. So is what stands at its default, so that an option that
    a later falsum adds changes no fingerprint; "auto" counts as itself, whatever a machine makes of it. A source of
    pre-training counts as its recipe, but not as a folder.
    """
    text = json.dumps(_essence(recipe), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _essence(recipe: Recipe) -> dict[str, Any]:
    values = recipe.changed(**{"train.seed": 0}).model_dump(exclude_defaults=True)
    if recipe.pretraining:
        source = recipe.pretraining.source
        values["pretraining"]["source"] = _essence(source) if isinstance(source, Recipe) else ""
    for family in FAMILIES.keys() & values.keys() - {"penalty", "init"}:
        values[family] = _own(family, values[family])
    values["penalty"] = [_own("penalty", part) for part in recipe.penalty]
    values["init"] = {key: _own("init", part) for key, part in values.get("init", {}).items()}
    return values


def _own(family: str, part: Mapping[str, Any]) -> dict[str, Any]:
    """A part without the options that stand at their defaults."""
    fields = options(family, part["name"]).model_fields
    return {key: value for key, value in part.items() if key == "name" or value != fields[key].default}
