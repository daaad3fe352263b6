"""Experiments: the cells of a paper's tables, each a recipe and the figures that were published for it.

Published figures are package data, `<experiment>.csv`, one value per line.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from falsum.errors import UserError
from falsum.evaluation.metrics import METRICS
from falsum.recipe.settings import Recipe
from falsum.recipes import kamigaito2021, takamoto2025

# (split, metric) -> published value.
Figures = Mapping[tuple[str, str], float]


@dataclass(frozen=True)
class Cell:
    """A run that a paper reports.

    graph: a name or path that `falsum.load` takes. band: how far from the published MRR still counts as reproduced.
    source: the name of the cell whose best weights this one starts from.
    """

    name: str
    graph: str
    recipe: Recipe
    published: Figures
    band: float = 0.005
    source: str | None = None

    @property
    def judged(self) -> tuple[str, float] | None:
        """(split, published MRR) that the verdict is about: test where the paper has it, else validation."""
        for split in ("test", "valid"):
            if (split, "mrr") in self.published:
                return split, self.published[split, "mrr"]
        return None


def verdict(mrr: float, published: float, band: float) -> str:
    """Whether an MRR lies in the band around a published one, or how far beyond which end of it."""
    beyond = abs(mrr - published) - band
    if beyond <= 1e-9:  # 0.477 - 0.005 is 0.472 but for its last bits
        return "inside"
    return f"outside by {beyond if mrr > published else -beyond:+.4f}"


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper: some metrics of some cells (by name) on one split."""

    title: str
    split: str
    metrics: tuple[str, ...]
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Experiment:
    """The cells of one paper, and how it shows them. A cell comes after the one that it starts from."""

    name: str
    title: str
    cells: tuple[Cell, ...]
    tables: tuple[PaperTable, ...]

    def cell(self, name: str) -> Cell:
        """Raises UserError for a name that is none, listing those that are."""
        for cell in self.cells:
            if cell.name == name:
                return cell
        raise UserError(f"{self.title} has no cell {name!r}; it has: {', '.join(c.name for c in self.cells)}.")


def published(name: str) -> dict[tuple[str, ...], dict[tuple[str, str], float]]:
    """What identifies a cell in the file of the paper `name` -> (split, metric) -> value, as printed.

    Its columns end in split, metric, value; those before them identify a cell.
    """
    figures: dict[tuple[str, ...], dict[tuple[str, str], float]] = {}
    with (files("falsum.reproduce") / f"{name}.csv").open(encoding="utf-8") as file:
        lines = csv.reader(file)
        next(lines)
        for *key, split, metric, value in lines:
            figures.setdefault(tuple(key), {})[split, metric] = float(value)
    return figures


@cache
def kamigaito() -> Experiment:
    """Kamigaito & Hayashi (ACL 2021): Tables 2 and 3 (test), 7, 8 and 9 (validation).

    Their validation figures, like the stopping of their runs, are filtered by test answers too. Bands: 0.008 for the
    models with a matrix per relation, whose runs differ most between seeds, else 0.005.
    """
    figures = published("kamigaito2021")
    cells = tuple(
        Cell(
            name,
            cell.graph,
            kamigaito2021.recipe(name),
            figures[cell.graph, cell.model, cell.loss, cell.source],
            band=0.008 if cell.model in ("rescal", "tucker") else 0.005,
            source=cell.before.name if cell.before else None,
        )
        for name, cell in kamigaito2021.CELLS.items()
    )
    return Experiment("kamigaito2021", "Kamigaito & Hayashi 2021", cells, _kamigaito_tables())


def _kamigaito_tables() -> tuple[PaperTable, ...]:
    table2, table3, valid = [], [], []
    for graph in kamigaito2021.GRAPHS:
        own = {name: cell for name, cell in kamigaito2021.CELLS.items() if cell.graph == graph}
        targets = {cell.name.rpartition("/from-")[0] for cell in own.values() if cell.source}
        plain = tuple(n for n, cell in own.items() if not cell.source and cell.loss in kamigaito2021.TABLE2)
        # Each target without pre-training, then from each of its sources.
        chains = tuple(n for target in own for n in own if target in targets and n.partition("/from-")[0] == target)
        table2.append(PaperTable(f"Table 2: {graph}, test", "test", METRICS, plain))
        table3.append(PaperTable(f"Table 3: {graph}, test, with pre-training", "test", METRICS, chains))
        valid.append(PaperTable(f"Tables 7, 8 and 9: {graph}, best on validation", "valid", ("mrr",), tuple(own)))
    return (*table2, *table3, *valid)


@cache
def takamoto() -> Experiment:
    """Takamoto et al. (TMLR 2025): Tables 1, 2, 8, 9, 10, 12, 13 and 14, and the controls that they lack.

    Both sides are ranked, filtered by all splits, as theirs; their ties are in the order of a sort that is not stable,
    here at their mean.
    """
    figures = published("takamoto2025")
    cells: list[Cell] = []
    for name, cell in takamoto2025.CELLS.items():
        recipe = takamoto2025.recipe(name)
        source = recipe.pretraining and recipe.pretraining.source
        begun = f"{name}/first-half" if isinstance(source, Recipe) else None
        if isinstance(source, Recipe):
            cells.append(Cell(f"{name}/first-half", cell.graph, source, {}))
        cells.append(Cell(name, cell.graph, recipe, figures.get((name,), {}), source=begun))
    return Experiment("takamoto2025", "Takamoto et al. 2025", tuple(cells), _takamoto_tables())


def _takamoto_tables() -> tuple[PaperTable, ...]:
    names, metrics = tuple(takamoto2025.CELLS), ("mrr", "hits@10")

    def table(title: str, *methods: str, graphs: tuple[str, ...] = takamoto2025.GRAPHS) -> tuple[PaperTable, ...]:
        chosen = [
            (g, [n for n in names if n.split("/")[1] == g and "/".join(n.split("/")[3:]) in methods]) for g in graphs
        ]
        return tuple(PaperTable(f"{title}: {g}", "test", metrics, tuple(own)) for g, own in chosen if own)

    only, table_1 = ("fb15k-237",), ("d-200-n-64", "d-1000-n-64", "d-200", "d-1000")
    controls = ("uni/no-l3", *(f"{method}/l3" for method in takamoto2025.TABLE_13[:3]))
    table_12 = (f"uni-emu/{variant}" for variant in takamoto2025.TABLE_12)
    return (
        *table("Tables 8 and 9", *takamoto2025.TABLE_8),
        *table("Table 1: other sizes", *(f"{method}/{size}" for method in takamoto2025.TABLE_8 for size in table_1)),
        *table("Table 2: Mixup", "uni-mixup"),
        *table("Table 10: NSCaching", "nscaching", "nscaching-emu", graphs=only),
        *table("Table 13: what EMU is made of", *takamoto2025.TABLE_13, *controls, graphs=only),
        *table("Table 14: label smoothing of 0.2", "vanilla-smoothing", graphs=only),
        *table("Table 12: alpha, n_P/d, beta", *table_12, graphs=only),
        *table(
            "Figure 5: other numbers of negatives",
            *(f"{m}/{n}" for m in ("uni", "uni-emu") for n in takamoto2025.FIGURE_5),
        ),
        *table("How the paper is to be read", "uni-emu/equation-6", "uni-emu/script", "uni-emu/adam", graphs=only),
    )


EXPERIMENTS: dict[str, Callable[[], Experiment]] = {"kamigaito2021": kamigaito, "takamoto2025": takamoto}


def experiment(name: str) -> Experiment:
    """An experiment by name. Raises UserError that lists the names."""
    if name not in EXPERIMENTS:
        raise UserError(f"There is no experiment {name!r}; legal: {', '.join(EXPERIMENTS)}.")
    return EXPERIMENTS[name]()
