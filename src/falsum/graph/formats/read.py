"""A path to a graph: find the files of the splits, decide what they are, read and number them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from falsum.errors import UserError
from falsum.graph.formats.bytes import name_and_suffix, read_bytes
from falsum.graph.formats.layouts import read_dicts, read_libkge, read_openke
from falsum.graph.formats.number import number
from falsum.graph.formats.parquet import read_parquet
from falsum.graph.formats.parsed import LAYOUTS, Layout, Numbered, Options, Parsed
from falsum.graph.formats.rdf import FORMATS, read_rdf
from falsum.graph.formats.split import split_triples
from falsum.graph.formats.text import read_text
from falsum.graph.graph import Graph

SPLITS = ("train", "valid", "test")
SPLIT_NAMES = {
    "train": "train", "training": "train",
    "valid": "valid", "validation": "valid", "dev": "valid", "val": "valid",
    "test": "test", "testing": "test",
}  # fmt: skip
LAYOUT_OF: dict[str, Layout] = {
    ".txt": "text", ".tsv": "text", ".csv": "text", "": "text",
    ".parquet": "parquet", ".pq": "parquet", ".del": "libkge", **dict.fromkeys(FORMATS, "rdf"),
}  # fmt: skip
IDS = {"openke": read_openke, "dict": read_dicts, "libkge": read_libkge}
FIRST_BYTES = 1 << 16
N_TRIPLES_LINE = re.compile(rb"^\s*(<[^<>\s]*>|_:\S+)\s+<[^<>\s]*>\s+(<[^<>\s]*>|_:\S+|\".*\"\S*)\s*\.\s*$")
LEGAL = (
    "Legal are a folder with train and, if wanted, valid and test (.txt .tsv .csv .parquet .nt .ttl .rdf .del, or "
    "OpenKE's train2id.txt; also .gz and .zst), or one file of triples, which falsum splits."
)


def read_graph(path: Path, name: str, options: Options) -> Graph:
    """The graph at `path`, a folder of splits or one file.

    Raises: UserError if there is nothing to read, or more than one way to read it.
    """
    if options.layout is not None and options.layout not in LAYOUTS:
        raise UserError(f"layout={options.layout!r} is unknown. Legal: {', '.join(LAYOUTS)}.")
    if not path.exists():
        raise UserError(f"{path}: there is no such file or folder. {LEGAL}")
    numbered = read_folder(path, options) if path.is_dir() else read_file(path, options)
    return Graph(
        name=name,
        splits={split: numbered.splits[split] for split in SPLITS if split in numbered.splits},
        entities=numbered.entities.rename("entity"),
        relations=numbered.relations.rename("relation"),
        num_base_relations=len(numbered.relations),
        source=numbered.source,
        notes=numbered.notes,
    )


def read_folder(folder: Path, options: Options) -> Numbered:
    """Read the files of the splits in the one layout that the folder has."""
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
        here = ", ".join(sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir())[:12]) or "nothing"
        asked = f" with layout={options.layout!r}" if options.layout else ""
        raise UserError(f"{folder}: the folder holds no files of triples{asked}; it holds {here}. {LEGAL}")
    if len(found) > 1:
        raise UserError(
            f"{folder}: the folder holds triples in {len(found)} layouts: "
            + "; ".join(f"{layout} ({files[0].name})" for layout, files in found.items())
            + f". Say which one to read: layout={next(iter(found))!r}."
        )
    layout, paths = next(iter(found.items()))
    files = one_per_split(folder, paths)
    read = IDS.get(layout)
    numbered = read(folder, files, options) if read else read_labels(files, layout, options)
    missing = tuple(f"The graph has no {split} split." for split in SPLITS if split not in files)
    return replace(numbered, notes=numbered.notes + notes + missing)


def find_layouts(folder: Path) -> dict[Layout, list[Path]]:
    """The files of splits in a folder by layout."""
    found: dict[Layout, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        stem, suffix = name_and_suffix(path)
        if not path.is_file() or suffix not in LAYOUT_OF:
            continue
        if suffix == ".txt" and stem.removesuffix("2id") != stem and stem.removesuffix("2id") in SPLIT_NAMES:
            found.setdefault("openke", []).append(path)
        elif stem in SPLIT_NAMES:
            found.setdefault(LAYOUT_OF[suffix], []).append(path)
    if "text" in found and (folder / "entities.dict").exists():
        found["dict"] = found["text"]
        del found["text"]
    return found


def one_per_split(folder: Path, paths: list[Path]) -> dict[str, Path]:
    """The one file of each split, train first. Raises: UserError for two of a kind, and for none of train."""
    files: dict[str, Path] = {}
    for path in paths:
        split = SPLIT_NAMES[name_and_suffix(path)[0].removesuffix("2id")]
        if split in files:
            raise UserError(
                f"{folder}: both {files[split].name} and {path.name} may be the {split} split. Remove or rename one."
            )
        files[split] = path
    if "train" not in files:
        raise UserError(
            f"{folder}: there is {', '.join(path.name for path in files.values())} but no train file. A graph needs "
            "train; to split one file, give the path of the file itself."
        )
    return {split: files[split] for split in SPLITS if split in files}


def read_labels(files: Mapping[str, Path], layout: Layout, options: Options) -> Numbered:
    """Read splits of labels and number them; `source` tells how train was read, and the others if they differ."""
    parsed = {split: read_one(path, layout, options) for split, path in files.items()}
    numbered = number({split: one.frame for split, one in parsed.items()})
    source = parsed["train"].source
    for split, one in parsed.items():
        if one.source != source:
            source += f"; {split}: {one.source}"
    notes = tuple(dict.fromkeys(note for one in parsed.values() for note in one.notes))
    return replace(numbered, source=source, notes=notes)


def read_one(path: Path, layout: Layout, options: Options) -> Parsed:
    """Read one file of labels. N-Triples are known by their look too, whatever the name."""
    if layout == "parquet":
        return read_parquet(path, options)
    suffix = name_and_suffix(path)[1]
    if layout == "rdf":
        return read_rdf(path, options, suffix if suffix in FORMATS else ".nt")
    if options.layout is None and options.columns is None and suffix in (".txt", ""):
        first = next((line for line in read_bytes(path, FIRST_BYTES).splitlines() if line.strip()), b"")
        if N_TRIPLES_LINE.match(first):
            return read_rdf(path, options, ".nt")
    return read_text(path, options)


def read_file(path: Path, options: Options) -> Numbered:
    """One file of triples, split by the seed."""
    stem, suffix = name_and_suffix(path)
    layout = options.layout or LAYOUT_OF.get(suffix, "text")
    if layout in IDS or (stem.endswith("2id") and stem.removesuffix("2id") in SPLIT_NAMES):
        raise UserError(
            f"{path}: a file of ids means nothing without the labels beside it. Give the folder: {path.parent}."
        )
    parsed = read_one(path, layout, options)
    ids = number({"train": parsed.frame}).splits["train"]
    masks = split_triples(ids, seed=options.seed, valid=options.valid, test=options.test)
    numbered = number({split: parsed.frame.filter(mask.numpy()) for split, mask in masks.items()})
    sizes = " / ".join(f"{int(mask.sum())} {split}" for split, mask in masks.items())
    if len(masks) == 1:
        note = f"The one file of {len(ids)} triples is all train: there is nothing that valid or test could take."
        if options.valid == options.test == 0:
            note = "The one file is all train, as told (valid=0, test=0)."
    else:
        note = f"One file, split at random by seed {options.seed}: {sizes}; train keeps every entity and relation."
    return replace(numbered, source=parsed.source, notes=(*parsed.notes, note, *sibling_note(path)))


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
