"""Graphs that the field knows by name: what they hold, where their files are looked for and fetched from."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from falsum.errors import UserError
from falsum.graph.graph import Graph

ROTATE = "https://raw.githubusercontent.com/DeepGraphLearning/KnowledgeGraphEmbedding/master/data"
CODEX = "https://raw.githubusercontent.com/tsafavi/codex/master/data/triples"
PYKEEN = "https://raw.githubusercontent.com/pykeen/pykeen/master/src/pykeen/datasets"
OPENKE = "https://raw.githubusercontent.com/thunlp/OpenKE/OpenKE-PyTorch/benchmarks"

TEXT_FILES: Mapping[str, str] = {"train.txt": "", "valid.txt": "", "test.txt": ""}
CODEX_FILES: Mapping[str, str] = {**TEXT_FILES, "valid_negatives.txt": "", "test_negatives.txt": ""}
DATA_VARIABLE, CACHE_VARIABLE, OFFLINE_VARIABLE = "FALSUM_DATA", "FALSUM_CACHE", "FALSUM_OFFLINE"


@dataclass(frozen=True, slots=True)
class NamedGraph:
    """A known graph. sizes: triples of train, valid, test. files: file name -> SHA-256, "" where none is known.

    folders: where its files may lie inside a folder of graphs, beside the folder of its own name.
    """

    name: str
    aliases: tuple[str, ...] = ()
    entities: int | None = None
    relations: int | None = None
    sizes: tuple[int, int, int] | None = None
    files: Mapping[str, str] = field(default_factory=lambda: TEXT_FILES)
    url: str = ""
    folders: tuple[str, ...] = ()


COUNTRIES_VALID = "f4b27648148a44f87e627140ec3a02ca4c884c32d348591147ca72f1d6fff5b0"
COUNTRIES_TEST = "262ca5ae5ed3aa1927026e0f258cc52b10830185b93465b93b9360727e719158"


def text(train: str, valid: str, test: str) -> Mapping[str, str]:
    return {"train.txt": train, "valid.txt": valid, "test.txt": test}


def openke(entity: str, relation: str, train: str, valid: str, test: str) -> Mapping[str, str]:
    return {
        "entity2id.txt": entity, "relation2id.txt": relation,
        "train2id.txt": train, "valid2id.txt": valid, "test2id.txt": test,
    }  # fmt: skip


GRAPHS: tuple[NamedGraph, ...] = (
    NamedGraph(
        "fb15k-237", ("fb237", "freebase15k237"), 14541, 237, (272115, 17535, 20466),
        text(
            "6e4c2782169af21e9743f3b1d200886f5d595bf6bc504ec1351720949c5cdfae",
            "cf6309010852f6a8d47a45df830a426415d1ee6f7a3970a8376ff1fb81db4a5c",
            "5711cf41623ceb4eacc50eb6108a3ca6565c7492e3caaf82a3e355cc660d1574",
        ),
        f"{ROTATE}/FB15k-237",
    ),
    NamedGraph(
        "wn18rr", ("wnrr", "wordnet18rr"), 40943, 11, (86835, 3034, 3134),
        text(
            "038612e783c215ee5f3ca9fbfca27b8d0739be1028fe4ee7c174aecf0b83d5df",
            "453ce7202afa58094a04d2b1560ee2b02660f1c260b32ce6651c8ccedd1028ab",
            "0383bceaaa1096cf3c03ec021ed0048068e2355dbfc0239b292cefdac821cec5",
        ),
        f"{ROTATE}/wn18rr",
    ),
    NamedGraph(
        "yago3-10", ("yago310", "yago"), 123182, 37, (1079040, 5000, 5000), url=f"{ROTATE}/YAGO3-10",
        folders=("openke/YAGO3-10",),
    ),
    NamedGraph(
        "codex-s", ("codexsmall",), 2034, 42, (32888, 1827, 1828), CODEX_FILES, f"{CODEX}/codex-s",
        folders=("codex/codex-s", "codex/data/triples/codex-s"),
    ),
    NamedGraph(
        "codex-m", ("codexmedium",), 17050, 51, (185584, 10310, 10311), CODEX_FILES, f"{CODEX}/codex-m",
        folders=("codex/codex-m", "codex/data/triples/codex-m"),
    ),
    NamedGraph(
        "codex-l", ("codexlarge",), 77951, 69, (551193, 30622, 30622), url=f"{CODEX}/codex-l",
        folders=("codex/codex-l", "codex/data/triples/codex-l"),
    ),
    NamedGraph(
        "umls", (), 135, 46, (5216, 652, 661),
        text(
            "873ef4925516b83e7f6f8cc02b4be51d848828710a7f65a956f0ac4a9e452f35",
            "025c98f8a4891e2a6582ec5b40ee0d904031edad9c52554522f4b7904820c98e",
            "a7eb529a3d2810fcc96341ccc97c625a5e202f8389673aa6bd317eeebbb79014",
        ),
        f"{PYKEEN}/umls",
    ),
    NamedGraph(
        "nations", ("nation",), 14, 55, (1592, 199, 201),
        text(
            "0830fa9da8e5bba2ccdaa45b7bdc9130451ba66b09ff2708f35fccaf82473e57",
            "2b337a62e51a2f45c283eac98a70d21b7e0e102136be1539b2a52c652a7b0530",
            "3971085165b47b6aeaec68058c6d8d98b3005e929db81268410b95ae4db770ab",
        ),
        f"{PYKEEN}/nations",
    ),
    NamedGraph("kinships", ("kinship",), 104, 25, (8544, 1068, 1074), url=f"{PYKEEN}/kinships"),
    NamedGraph(
        "countries-s1", ("countries",), 271, 2, (1111, 24, 24),
        text("5256bf3fc4181d7e87d819571e3acfa5425fc5af365b9ebe5c113740534ca561", COUNTRIES_VALID, COUNTRIES_TEST),
        f"{ROTATE}/countries_S1",
    ),
    NamedGraph(
        "countries-s2", (), 271, 2, (1063, 24, 24),
        text("84c8f310fa076f902760f0909716b13bc0853a105ab9e0145e4e5135d855f68a", COUNTRIES_VALID, COUNTRIES_TEST),
        f"{ROTATE}/countries_S2",
    ),
    NamedGraph(
        "countries-s3", (), 271, 2, (985, 24, 24),
        text("80a8e3a26aff58b78fd5a453ec2a37591466bad621df8d05185f26763b663a0c", COUNTRIES_VALID, COUNTRIES_TEST),
        f"{ROTATE}/countries_S3",
    ),
    NamedGraph(
        "fb15k", ("freebase15k",), 14951, 1345, (483142, 50000, 59071), url=f"{ROTATE}/FB15k",
        folders=("openke/FB15K",),
    ),
    NamedGraph(
        "wn18", ("wordnet18",), 40943, 18, (141442, 5000, 5000),
        openke(
            "a0e127ef59529a4662dbf5f12b1278efbcab9d4636eb80e5828a75311ebbb427",
            "b0f326f55f4c4ca403e97e97c495e93627bea3fb8f08b9592afd31ef5bcf9752",
            "1bcaff005ba0a5cdd9f9f9982812ac9a0750a84989b4335a50e4c93e13d158c0",
            "86cf1437161c5982b9a9ef26d5f8400161a700aa4b3350a6c347d508369a9cc6",
            "ab06e417090ba904b98796d72fa72c3a5d00241639a849859b2b458074e16ba6",
        ),
        f"{OPENKE}/WN18", ("openke/WN18",),
    ),
    NamedGraph(
        "fb13", ("freebase13",), 75043, 13, (316232, 5908, 23733),
        openke(
            "84e7b9907bebf3c8272214bd14691d49fa24fa635b50d1f983620d3a74c90fef",
            "96b8f1a02d149bbf6784d6d23e5ff60a9b8f527250e6dc0a2c8572574659b01a",
            "41a6064615aee4da5940dace314a3c7c7410471cfce636165e52fa104ae8f50c",
            "d4510b25be5d84f93803d92251b46c989f6907053a1dc51d3bf478bc5a405a67",
            "34d98f98a8875a27667db837a4fe5fcfbb5e0f7265fa42f09bf491a03be96518",
        ),
        f"{OPENKE}/FB13", ("openke/FB13",),
    ),
    NamedGraph("world", (), files={"train.tsv": "", "valid.tsv": "", "test.tsv": ""}),
)  # fmt: skip


def key(name: str) -> str:
    """What is left of a name for comparison: its letters and digits, in lower case."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def known(name: str) -> NamedGraph | None:
    """The graph of that name or alias, whatever its case, hyphens and underscores."""
    wanted = key(name)
    return next((g for g in GRAPHS if wanted in {key(alias) for alias in (g.name, *g.aliases)}), None)


def close_names(name: str) -> list[str]:
    """Names of graphs that a mistyped name may have meant."""
    spelled = {key(alias): graph.name for graph in GRAPHS for alias in (graph.name, *graph.aliases)}
    return list(dict.fromkeys(spelled[k] for k in difflib.get_close_matches(key(name), spelled, n=3, cutoff=0.7)))


def data_folder() -> Path | None:
    """The folder of graphs that FALSUM_DATA names, if it is set. Raises: UserError if there is no such folder."""
    value = os.environ.get(DATA_VARIABLE)
    if not value:
        return None
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise UserError(f"{DATA_VARIABLE}={value}: there is no such folder. Name a folder of graphs, or unset it.")
    return folder


def cache_folder() -> Path:
    """Where fetched graphs lie: FALSUM_CACHE, or ~/.cache/falsum."""
    value = os.environ.get(CACHE_VARIABLE)
    return Path(value).expanduser() if value else Path.home() / ".cache" / "falsum"


def find(graph: NamedGraph) -> Path | None:
    """The folder that has the files of the graph: bundled, then in FALSUM_DATA, then in the cache."""
    if graph.name == "world":
        return Path(str(resources.files("falsum.graph") / "world"))
    for root in (data_folder(), cache_folder()):
        folder = root and find_inside(root, graph)
        if folder:
            return folder
    return None


def find_inside(root: Path, graph: NamedGraph) -> Path | None:
    """The folder of the graph in a folder of graphs: by its folders, then by any spelling of its names."""
    if not root.is_dir():
        return None
    wanted = {key(alias) for alias in (graph.name, *graph.aliases)}
    spelled = sorted(entry for entry in root.iterdir() if key(entry.name) in wanted)
    places = [root / graph.name, *spelled, *(root / inner for inner in graph.folders)]
    return next((place for place in places if place.is_dir() and any(place.iterdir())), None)


def digests(data: bytes) -> set[str]:
    """SHA-256 of the bytes, and of the same text with LF and with CRLF ends: git may have turned one into the other."""
    plain = data.replace(b"\r\n", b"\n")
    return {hashlib.sha256(version).hexdigest() for version in (data, plain, plain.replace(b"\n", b"\r\n"))}


def check_files(graph: NamedGraph, folder: Path) -> tuple[str, ...]:
    """Sentences on files whose SHA-256 is known: one that all agree, or one for each that differs."""
    present = {name: digest for name, digest in graph.files.items() if digest and (folder / name).is_file()}
    wrong = [name for name, digest in present.items() if digest not in digests((folder / name).read_bytes())]
    if wrong:
        return tuple(
            f"{folder / name} differs from the known file of {graph.name} (SHA-256): numbers may not compare with "
            "published ones."
            for name in wrong
        )
    return (f"The SHA-256 of {len(present)} files agrees with the known ones.",) if present else ()


def check_counts(named: NamedGraph, graph: Graph) -> tuple[str, ...]:
    """A sentence for each count that differs from the known one."""
    sizes = dict(zip(("train", "valid", "test"), named.sizes, strict=True)) if named.sizes else {}
    expected = {"entities": named.entities, "relations": named.relations, **sizes}
    got = {"entities": graph.num_entities, "relations": graph.num_base_relations}
    got |= {split: len(graph.splits.get(split, ())) for split in sizes}
    return tuple(
        f"{named.name} is known to have {count:,} {what}, but {got[what]:,} were read."
        for what, count in expected.items()
        if count is not None and count != got[what]
    )
