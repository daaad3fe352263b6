"""A path to a graph: find the files of the splits, decide what they are, read and number them."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl

from falsum.errors import UserError
from falsum.graph.formats.bytes import FIRST_BYTES, name_and_suffix, printable, read_bytes
from falsum.graph.formats.layouts import read_dicts, read_libkge, read_openke
from falsum.graph.formats.number import number
from falsum.graph.formats.parsed import (
    FALSE,
    PARTS,
    SPLITS,
    SPLITTING,
    USES,
    Layout,
    Numbered,
    Options,
    Parsed,
    by_part,
    refuse_unused,
)
from falsum.graph.formats.rdf import FORMATS, read_rdf
from falsum.graph.formats.split import split_triples
from falsum.graph.formats.tables import read_jsonl, read_parquet
from falsum.graph.formats.text import read_text
from falsum.graph.formats.truth import check_truth
from falsum.graph.graph import Graph
from falsum.graph.inspect import contradictions

SPLIT_NAMES = {
    "train": "train", "training": "train",
    "valid": "valid", "validation": "valid", "dev": "valid", "val": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip
PART_NAMES = {
    **SPLIT_NAMES,
    "false": "train" + FALSE,
    **{f"{name}_{word}": split + FALSE for name, split in SPLIT_NAMES.items() for word in ("false", "negatives")},
}
LAYOUT_OF: dict[str, Layout] = {
    ".txt": "text", ".tsv": "text", ".csv": "text", "": "text", ".parquet": "parquet", ".pq": "parquet",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".del": "libkge", **dict.fromkeys(FORMATS, "rdf"),
}  # fmt: skip
IDS = {"openke": read_openke, "dict": read_dicts, "libkge": read_libkge}
N_TRIPLES_LINE = re.compile(rb"^\s*(<[^<>\s]*>|_:\S+)\s+<[^<>\s]*>\s+(<[^<>\s]*>|_:\S+|\".*\"\S*)\s*\.\s*$")
LEGAL = (
    "Legal are a folder with train and, if wanted, valid and test (.txt .tsv .csv .parquet .jsonl .nt .ttl .rdf .del, "
    "or OpenKE's train2id.txt; also .gz and .zst), or one file of triples, which falsum splits."
)


def read_graph(path: Path, name: str, options: Options) -> Graph:
    """The graph at `path`, which is there: a folder of splits, one file, or a pipe.

    Raises: UserError if there is nothing to read, or more than one way to read it.
    """
    if options.layout is not None and options.layout not in USES:
        raise UserError(f"layout={options.layout!r} is unknown. Legal: {', '.join(USES)}.")
    if options.truth not in (None, False) and not (isinstance(options.truth, str) and options.truth):
        raise UserError(f"truth={options.truth!r} is unknown. Legal: the name of a column, or False for none.")
    numbered = read_folder(path, options) if path.is_dir() else read_file(path, options)
    graph = Graph(
        name=printable(name),
        splits={split: numbered.parts[split] for split in SPLITS if split in numbered.parts},
        entities=numbered.entities.rename("entity"),
        relations=numbered.relations.rename("relation"),
        num_base_relations=len(numbered.relations),
        source=numbered.source,
        false={split: numbered.parts[split + FALSE] for split in SPLITS if split + FALSE in numbered.parts},
    )
    return replace(graph, notes=tuple(map(printable, (*numbered.notes, *false_notes(graph)))))


def false_notes(graph: Graph) -> tuple[str, ...]:
    """Sentences on the triples that are stated false, and on those that are stated true as well."""
    if not graph.false:
        return ()
    counts = ", ".join(f"{split} {len(triples):,}" for split, triples in graph.false.items())
    note = f"Triples stated false: {counts}. They are no facts: neither trained on as such, nor ranked, nor known."
    both = contradictions(graph)
    if not len(both):
        return (note,)
    head, relation, tail = both[0].tolist()
    first = ", ".join((graph.entities[head], graph.relations[relation], graph.entities[tail]))
    return note, f"{len(both):,} triples are stated true and false; the first: {first}. They stay facts."


def read_folder(folder: Path, options: Options) -> Numbered:
    """Read the files of the splits in the one layout that the folder has."""
    refuse_splitting(folder, options)
    found = find_layouts(folder)
    notes: tuple[str, ...] = ()
    if options.layout == "text" and "dict" in found:
        found = {"text": found["dict"]}
    elif options.layout is not None:
        found = {layout: files for layout, files in found.items() if layout == options.layout}
    elif "libkge" in found and (folder / "dataset.yaml").exists() and len(found) > 1:
        notes = (f"The other files beside the .del files of LibKGE ({folder.name}/dataset.yaml) are not read.",)
        found = {"libkge": found["libkge"]}
    if not found:
        here = ", ".join(sorted(map(shown, folder.iterdir()))[:12]) or "nothing"
        asked = f" with layout={options.layout!r}" if options.layout else ""
        raise UserError(f"{folder}: the folder holds no files of triples{asked}; it holds {here}. {LEGAL}")
    if len(found) > 1:
        raise UserError(
            f"{folder}: the folder holds triples in {len(found)} layouts: "
            + "; ".join(f"{layout} ({files[0].name})" for layout, files in found.items())
            + f". Say which one to read: layout={next(iter(found))!r}."
        )
    layout, paths = next(iter(found.items()))
    files = one_per_part(folder, paths)
    if options.truth is False and not files.keys() <= set(SPLITS):
        names = ", ".join(path.name for part, path in files.items() if part not in SPLITS)
        notes += (f"{names}: not read as false triples, as told (truth=False).",)
        files = {part: path for part, path in files.items() if part in SPLITS}
    if layout in IDS:
        refuse_unused(str(folder), layout, options)
        numbered = IDS[layout](folder, files, options)
    else:
        numbered = read_labels(files, layout, options)
    if "train" not in numbered.parts:
        raise UserError(f"{files['train']}: all its triples are stated false. A graph needs a fact to train on.")
    missing = tuple(f"The graph has no {split} split." for split in SPLITS if split not in numbered.parts)
    return replace(numbered, notes=numbered.notes + notes + missing)


def refuse_splitting(folder: Path, options: Options) -> None:
    told = sorted(options.told() & SPLITTING)
    if told:
        raise UserError(
            f"{folder}: {', '.join(f'{name}={getattr(options, name)!r}' for name in told)} was told, but only a single "
            "file is split; a folder has a file for each split. Leave it out, or give the path of one file."
        )


def shown(entry: Path) -> str:
    return entry.name + ("/" if entry.is_dir() else "" if entry.is_file() else " (not a regular file)")


def find_layouts(folder: Path) -> dict[Layout, list[Path]]:
    """The files of splits in a folder by layout."""
    found: dict[Layout, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        stem, suffix = name_and_suffix(path)
        if not path.is_file() or suffix not in LAYOUT_OF:
            continue
        if suffix == ".txt" and stem.removesuffix("2id") != stem and stem.removesuffix("2id") in PART_NAMES:
            found.setdefault("openke", []).append(path)
        elif stem in PART_NAMES:
            found.setdefault(LAYOUT_OF[suffix], []).append(path)
    if "text" in found and (folder / "entities.dict").exists():
        found["dict"] = found["text"]
        del found["text"]
    return found


def one_per_part(folder: Path, paths: list[Path]) -> dict[str, Path]:
    """The one file of each part in the order of PARTS. Raises: UserError for two of a kind, and for none of train."""
    files: dict[str, Path] = {}
    for path in paths:
        part = PART_NAMES[name_and_suffix(path)[0].removesuffix("2id")]
        if part in files:
            what = f"{part} split" if part in SPLITS else f"false triples of {part.removesuffix(FALSE)}"
            raise UserError(
                f"{folder}: both {files[part].name} and {path.name} may be the {what}. Remove or rename one."
            )
        files[part] = path
    if "train" not in files:
        raise UserError(
            f"{folder}: there is {', '.join(path.name for path in files.values())} but no train file. A graph needs "
            "train; to split one file, give the path of the file itself."
        )
    return {part: files[part] for part in PARTS if part in files}


def read_labels(files: Mapping[str, Path], layout: Layout, options: Options) -> Numbered:
    """Read parts of labels and number them; `source` tells how train was read, and the others if they differ."""
    parsed = {part: read_one(path, read_bytes(path), layout, options) for part, path in files.items()}
    frames = {part: one.frame for part, one in parsed.items()}
    check_truth(files, frames, options)
    numbered = number(by_part(frames))
    source = parsed["train"].source
    for part, one in parsed.items():
        if one.source != source:
            source += f"; {part}: {one.source}"
    notes = tuple(dict.fromkeys(note for one in parsed.values() for note in one.notes))
    return replace(numbered, source=source, notes=notes)


def read_one(path: Path, data: bytes, layout: Layout, options: Options) -> Parsed:
    """Read the bytes of one file of labels. N-Triples are known by their look too, whatever the name."""
    suffix = name_and_suffix(path)[1]
    if layout == "text" and suffix in (".txt", "") and options.told() <= {"literals", "truth"} | SPLITTING:
        first = next((line for line in data[:FIRST_BYTES].splitlines() if line.strip()), b"")
        layout = "rdf" if N_TRIPLES_LINE.match(first) else layout
    refuse_unused(str(path), layout, options)
    if layout == "parquet":
        return read_parquet(path, data, options)
    if layout == "jsonl":
        return read_jsonl(path, data, options)
    if layout == "rdf":
        return read_rdf(path, data, options, suffix if suffix in FORMATS else ".nt")
    return read_text(path, data, options)


def read_file(path: Path, options: Options) -> Numbered:
    """One file of triples, split by the seed; false ones are split alike."""
    stem, suffix = name_and_suffix(path)
    layout = options.layout or LAYOUT_OF.get(suffix, "text")
    if layout in IDS or (stem.endswith("2id") and stem.removesuffix("2id") in PART_NAMES):
        raise UserError(
            f"{path}: a file of ids means nothing without the labels beside it. Give the folder: {path.parent}."
        )
    refuse_devices(path)
    parsed = read_one(path, read_bytes(path), layout, options)
    check_truth({"train": path}, {"train": parsed.frame}, options)
    given = by_part({"train": parsed.frame})
    if "train" not in given:
        raise UserError(f"{path}: all its triples are stated false. A graph needs a fact to train on.")
    told = {name: getattr(options, name) for name in options.told() & SPLITTING}
    frames: dict[str, pl.DataFrame] = {}
    for part, frame in given.items():
        ids = number({part: frame}).parts[part]
        masks = split_triples(ids, covering=part == "train", **told)
        frames |= {part.replace("train", split): frame.filter(mask.numpy()) for split, mask in masks.items()}
    numbered = number({part: frames[part] for part in PARTS if part in frames})
    sizes = " / ".join(f"{len(frame)} {split}" for split, frame in frames.items() if split in SPLITS)
    if frames.keys() & set(SPLITS) == {"train"}:
        note = f"The one file of {len(given['train'])} triples is all train: there is nothing that valid or test could "
        note += "take."
        if options.valid == options.test == 0:
            note = "The one file is all train, as told (valid=0, test=0)."
    else:
        note = f"One file, split at random by seed {options.seed or 0}: {sizes}; train keeps every entity and relation."
    return replace(numbered, source=parsed.source, notes=(*parsed.notes, note, *sibling_note(path)))


def refuse_devices(path: Path) -> None:
    """Raises: UserError for what is neither a file nor a pipe: a device may never end."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
        raise UserError(f"{path}: neither a file, a folder nor a pipe. {LEGAL}")


def sibling_note(path: Path) -> tuple[str, ...]:
    """A sentence if the file is one split of a folder."""
    stem, suffix = name_and_suffix(path)
    if stem not in SPLIT_NAMES:
        return ()
    others = [(other, *name_and_suffix(other)) for other in sorted(path.parent.iterdir())]
    own = SPLIT_NAMES[stem]
    beside = [other.name for other, name, kind in others if kind == suffix and SPLIT_NAMES.get(name, own) != own]
    if not beside:
        return ()
    return (f"{', '.join(beside)} beside it is not read; give the folder to read its splits.",)
