"""The command about theory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from falsum.cli.console import load_graph
from falsum.cli.tables import frame_table
from falsum.cli.terminal import out, say, show
from falsum.errors import UserError
from falsum.graph.graph import BOTH_SIDES
from falsum.report.theory import divergences, table_1, write_figures
from falsum.theory.shift import shift, single_answers


def theory(graphs: Sequence[str], queries: int, folder: Path | None) -> None:
    """Print Table 1 and the shapes of the divergences, the shift of graphs, and write the figures."""
    out.print("One query whose answers have shares p = .40 .25 .15 .10 .07 .03 in training, and frequencies")
    out.print("q = .05 .10 .30 .25 .20 .10 over all queries. Scores are free numbers, trained to the optimum.\n")
    show(frame_table(table_1(), title="Table 1, measured through the library's own objectives and noises"))
    out.print()
    lines = divergences().lines
    at = [0, 18, 48, 98, 148, 178, 196]
    for line in lines:
        out.print(f"d(0.5, p), {line.name:3s}: " + "  ".join(f"p={line.x[i]:.2f} {line.y[i]:.4f}" for i in at))
    values = {}
    for name in graphs:
        loaded = load_graph(name)
        if not len(loaded.splits.get("test", ())):
            raise UserError(f"Graph {loaded.name!r} has no test split, so there is no shift from training to test.")
        tails, heads = (f"{100 * single_answers(loaded, side):.1f} %" for side in BOTH_SIDES)
        say(f"{loaded.name}: training triples that alone answer their question: {tails} of tails, {heads} of heads")
        values[loaded.name] = shift(loaded, queries=queries)
        found = values[loaded.name]
        say(f"{loaded.name}: D(train || test) {found.mean():.3f} nats on average, {len(found):,} test questions")
    if folder is not None:
        for path in write_figures(folder, values):
            say(f"figure: {path}")
