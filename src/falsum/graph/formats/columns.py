"""Which column is the head, the relation, the tail: the names that are known, and what the user said."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from falsum.errors import UserError
from falsum.graph.formats.parsed import Options

# Head and tail names come in pairs: "o r s" may be three labels, "s p o" is a header.
ENDS = (
    ("head", "tail"),
    ("h", "t"),
    ("subject", "object"),
    ("subj", "obj"),
    ("s", "o"),
    ("source", "target"),
    ("src", "dst"),
    ("from", "to"),
    ("start", "end"),
    ("start_id", "end_id"),
    ("head_id", "tail_id"),
    ("subject_id", "object_id"),
    ("source_id", "target_id"),
)
LETTERS = {"r", "p"}
RELATIONS = {
    "relation", "rel", "predicate", "pred", "type", "label", "edge", "edge_type", "relation_type", "relationship",
    "relation_id", "predicate_id", "property",
}  # fmt: skip
# Names of a column that says which triples are true. "label" may also be the relation: see find_roles.
TRUTH = {"label", "truth", "truth_value", "is_true", "is_fact", "is_positive"}
HOW = 'columns=("head", "relation", "tail") in the order of the file, with "_" for a column to skip'


@dataclass(frozen=True, slots=True)
class Picked:
    """Where head, relation and tail stand (from 0), whether line 1 holds names, and the words for people.

    truth: where the column stands that says which triples are true; None if there is none.
    """

    at: tuple[int, int, int]
    header: bool
    said: str
    truth: int | None = None


def normal(name: str) -> str:
    return name.strip().strip(":").lower().replace(" ", "_").replace("-", "_")


def find_roles(names: Sequence[str], truth: Collection[int] = ()) -> tuple[list[int], list[int], list[int]]:
    """The positions of head, relation and tail names, from the first pair of ends that is (partly) there.

    truth: columns that may say which triples are true. One of them is the relation only where nothing else is.
    """
    known = [normal(name) for name in names]
    best: tuple[list[int], list[int], list[int]] = ([], [], [])
    for head, tail in ENDS:
        relations = LETTERS | RELATIONS if len(head) == 1 else RELATIONS
        roles = tuple([i for i, name in enumerate(known) if name in group] for group in ({head}, relations, {tail}))
        if sum(map(bool, roles)) > sum(map(bool, best)):
            best = (roles[0], roles[1], roles[2])
    head_at, relation_at, tail_at = best
    if len(relation_at) > 1:
        relation_at = [i for i in relation_at if i not in truth]
    return head_at, relation_at, tail_at


def single(roles: tuple[list[int], list[int], list[int]]) -> tuple[int, int, int] | None:
    """The three positions, if each role is there once."""
    head, relation, tail = roles
    return (head[0], relation[0], tail[0]) if len(head) == len(relation) == len(tail) == 1 else None


def pick(first: Sequence[str], where: str, options: Options, truth: Collection[int] = ()) -> Picked:
    """Decide from the fields of the first line and the options.

    where: file:line for messages. truth: columns whose name and values both say which triples are true.
    Raises: UserError if the columns cannot be told apart.
    """
    if options.columns is not None:
        picked = pick_by_user(first, where, options.columns, options.header, truth)
    else:
        picked = pick_by_names(first, where, options.header, truth)
    if options.truth is False or picked.truth is not None:
        return replace(picked, truth=None) if options.truth is False else picked
    return replace(picked, truth=pick_truth(first, where, options.truth, picked, truth))


def pick_by_names(first: Sequence[str], where: str, header: bool | None, truth: Collection[int]) -> Picked:
    """Decide by the names of line 1, or by there being three columns."""
    roles = find_roles(first, truth)
    at = single(roles)
    if header is not False and at is not None:
        return Picked(at, True, f"columns {' '.join(first[i].strip() for i in at)}" + extra(len(first)))
    found = [role for role, places in zip(("head", "relation", "tail"), roles, strict=True) if places]
    if header is not False and (header or len(found) >= 2):
        raise UserError(
            f"{where}: line 1 looks like a header ({', '.join(first)}), but it does not name head, relation and tail "
            f"once each (found: {', '.join(found) or 'none'}). Legal names are for instance head/relation/tail, "
            f"subject/predicate/object, source/type/target, from/relation/to. Say which columns are meant: {HOW} "
            "or the names of the header; or header=False if line 1 is a triple."
        )
    if len(first) != 3:
        raise UserError(
            f"{where}: {len(first)} columns and no header that names head, relation and tail. A file without header "
            f'must have exactly three. Say which are meant: {HOW}, and "truth" for one that says which triples are '
            "true."
        )
    return Picked((0, 1, 2), False, "columns head relation tail (assumed)")


def pick_by_user(
    first: Sequence[str], where: str, columns: tuple[str, ...], header: bool | None, truth: Collection[int]
) -> Picked:
    """Decide by `columns`: role words name the columns of the file in order; other names must be in the header."""
    given = single(find_roles(columns))
    here = [name.strip() for name in first]
    if given is None:
        if len(columns) != 3 or header is False:
            raise UserError(f"columns={columns!r} does not name a head, a relation and a tail. Give {HOW}.")
        missing = [name for name in columns if name not in here]
        if missing:
            raise UserError(
                f"{where}: no column named {', '.join(missing)}; the columns are {', '.join(here)}. Give {HOW}, "
                "or three names of the header in the order head, relation, tail."
            )
        at = (here.index(columns[0]), here.index(columns[1]), here.index(columns[2]))
        return Picked(at, True, f"columns {' '.join(columns)}" + extra(len(first)))
    names = [columns[i] for i in given]
    lower = [name.lower() for name in here]
    if header is not False and all(name.lower() in lower for name in names):
        at = (lower.index(names[0].lower()), lower.index(names[1].lower()), lower.index(names[2].lower()))
        told = lower.index("truth") if "truth" in columns and "truth" in lower else None
        return Picked(at, True, f"columns {' '.join(names)}" + extra(len(first)), told)
    # The train file of a graph with stated false triples often lacks the column that valid and test have.
    if columns[-1] == "truth" and len(first) == len(columns) - 1:
        columns = columns[:-1]
    if len(columns) != len(first):
        raise UserError(
            f"{where}: columns={columns!r} names {len(columns)} columns, but the line has {len(first)}. Give {HOW}."
        )
    named = header is True or (header is None and single(find_roles(first, truth)) is not None)
    told = columns.index("truth") if "truth" in columns else None
    return Picked(given, named, f"columns {' '.join(columns)} (as told)", told)


def pick_truth(
    first: Sequence[str], where: str, told: str | None, picked: Picked, truth: Collection[int]
) -> int | None:
    """The column that says which triples are true: the one told, or the one found. Raises: UserError for two."""
    if not picked.header:
        return None
    if told is not None:
        here = [name.strip() for name in first]
        return here.index(told) if told in here else None
    free = [i for i in truth if i not in picked.at]
    if len(free) > 1:
        names = " and ".join(first[i].strip() for i in free)
        raise UserError(
            f"{where}: both {names} may say which triples are true. Say which: truth={first[free[0]].strip()!r}, or "
            "truth=False for none."
        )
    return free[0] if free else None


def extra(width: int) -> str:
    return "" if width == 3 else f" of {width}"


def ignored_note(first: Sequence[str], picked: Picked, denied: bool = False) -> tuple[str, ...]:
    """A sentence on the columns that are not read. denied: the user said that no column tells what is true."""
    rest = [first[i].strip() for i in range(len(first)) if i not in picked.at and i != picked.truth]
    if not rest or not picked.header:
        return (f"{len(rest)} more columns are ignored.",) if rest else ()
    weights = [name for name in rest if normal(name) in {"weight", "confidence", "score", "probability"}]
    labels = [name for name in rest if normal(name) in TRUTH and picked.truth is None and not denied]
    note = f"Columns that are ignored: {', '.join(rest)}."
    note += f" Weights ({', '.join(weights)}) are not used yet." if weights else ""
    note += f" {labels[0]} does not say which triples are true: not all its values are of one kind." if labels else ""
    return (note,)
