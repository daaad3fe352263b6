"""The ledger: a CSV file with one line per finished run, only ever appended to."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from falsum.errors import UserError
from falsum.files import opened

# CSV has no None: an empty field.
Maybe = Annotated[float | None, BeforeValidator(lambda value: None if value == "" else value)]


class Entry(BaseModel):
    """A finished run.

    mrr and hits@k: on test, ties as the paper counts them. mrr_falsum: ties at their mean rank. valid_mrr: the best
    while training. paper_...: the published figures. settings: what differs from the cell's recipe. seconds: of
    training, validations included. processor to falsum: where training began. commit: of falsum, "" outside a
    checkout. recipe_sha256: see `plan.fingerprint`. date: when the line was written, UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    cell: str
    seed: int
    settings: str
    mrr: float
    hits_1: float = Field(alias="hits@1")
    hits_3: float = Field(alias="hits@3")
    hits_10: float = Field(alias="hits@10")
    mrr_falsum: float
    valid_mrr: Maybe
    paper_mrr: Maybe
    paper_valid_mrr: Maybe
    verdict: str
    epochs: int
    seconds: float
    threads: int
    processor: str
    device: str
    torch: str
    falsum: str
    commit: str
    recipe_sha256: str
    date: str

    def value(self, split: str, metric: str) -> float | None:
        """A figure of the run, where it was kept."""
        if split == "valid":
            return self.valid_mrr if metric == "mrr" else None
        return {"mrr": self.mrr, "hits@1": self.hits_1, "hits@3": self.hits_3, "hits@10": self.hits_10}[metric]


COLUMNS = tuple(field.alias or name for name, field in Entry.model_fields.items())


def read(path: Path) -> list[Entry]:
    """Every line, oldest first; none where there is no file. Raises UserError naming the line that cannot be read."""
    if not path.exists():
        return []
    try:
        with io.TextIOWrapper(opened(path), encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            header = next(reader, list(COLUMNS))
            _check_header(path, header)
            return [_entry(path, reader.line_num, row) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from None


def best_valid(history: Iterable[Mapping[str, Any]]) -> float | None:
    """The best MRR on validation in the lines of a run's metrics.jsonl; None before the first validation."""
    return max((line["metrics"]["mrr"] for line in history if line.get("metrics")), default=None)


def append(path: Path, entry: Entry) -> None:
    """Add a line in one write. Raises UserError when the file has other columns, or cannot be written."""
    fresh = not path.exists() or not path.stat().st_size
    if not fresh:
        read(path)
    values = entry.model_dump(by_alias=True)
    lines = ([COLUMNS] if fresh else []) + [["" if values[c] is None else values[c] for c in COLUMNS]]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", newline="") as file:
            file.write(_csv(lines))
    except OSError as error:
        raise UserError(
            f"{path} could not be written: {error.strerror}. The run itself is kept: do it again."
        ) from None


def find(entries: Iterable[Entry], cell: str, recipe_sha256: str, seed: int) -> Entry | None:
    """The latest line of a cell under a recipe and a seed."""
    own = (e for e in entries if (e.cell, e.recipe_sha256, e.seed) == (cell, recipe_sha256, seed))
    return next(reversed(list(own)), None)


def _csv(lines: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def _check_header(path: Path, header: list[str]) -> None:
    if tuple(header) != COLUMNS:
        raise UserError(f"{path} is no ledger of this falsum: its first line must be {','.join(COLUMNS)}.")


def _entry(path: Path, line: int, row: list[str]) -> Entry:
    try:
        return Entry.model_validate(dict(zip(COLUMNS, row, strict=True)))
    except ValidationError as error:
        where = ", ".join(str(part) for part in error.errors()[0]["loc"])
        raise UserError(f"{path}:{line} cannot be read: {where}: {error.errors()[0]['msg']}. Mend it.") from None
    except ValueError:
        raise UserError(f"{path}:{line} has {len(row)} fields and not {len(COLUMNS)}. Mend it or delete it.") from None
