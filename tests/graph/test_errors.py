"""Bad input gives one paragraph with file and line, and the way out."""

from __future__ import annotations

import gzip
import io
import os
import threading
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest

from falsum.errors import UserError
from falsum.graph import load


def failure(path: Path, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        load(path, **options)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return message


def parquet(frame: pl.DataFrame) -> bytes:
    content = io.BytesIO()
    frame.write_parquet(content)
    return content.getvalue()


def rdf(declared: str, used: str) -> str:
    """RDF/XML that links http://e/a and http://e/USED, under declarations."""
    return (
        f"<!DOCTYPE rdf:RDF [{declared}]>"
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:e="http://e/">'
        f'<rdf:Description rdf:about="http://e/a"><e:p rdf:resource="http://e/{used}"/></rdf:Description></rdf:RDF>'
    )


GOOD = "a\tr\tb\nb\tr\tc\nc\tr\td\n"

BAD_FILES = {
    "one column in the middle": ("t.tsv", "a\tr\tb\nb\tr\tc\nlonely\nc\tr\td\n", "t.tsv:3: 1 field where 3"),
    "one column at the top": ("t.tsv", "A title\na\tr\tb\n", "t.tsv:1: 1 field where 3"),
    "four fields in the middle": ("t.tsv", GOOD + "d\tr\te\tx\n", "t.tsv:4: 4 fields where 3"),
    "two fields, late": ("t.txt", "a\tr\tb\n" * 5000 + "a\tr\n", "t.txt:5001: 2 fields where 3"),
    "line numbers count empty lines": ("t.tsv", "a\tr\tb\n\nb\tr\tc\nx\n", "t.tsv:4: 1 field"),
    "csv, late": ("t.csv", "a,r,b\n" * 300 + "a,r\n", "t.csv:301: 2 fields where 3"),
    "quoted csv": ("t.csv", '"a\nb",r,c\nd,"r"\n"e",r,f\n', "t.csv:3: 2 fields where 3"),
    "open quote": ("t.csv", 'a,r,b\na,"r,b\n', "t.csv:2: the quotes"),
    "text after a quote": ("t.csv", 'a,r,b\na,"r"x,b\n', "t.csv:2: the quotes"),
    "empty file": ("t.tsv", "", "t.tsv: the file is empty"),
    "blank file": ("t.tsv", "\n \n", "t.tsv: the file is empty"),
    "header only": ("t.tsv", "head\trelation\ttail\n", "t.tsv:1: the file holds a header and no triples"),
    "binary": ("t.tsv", b"a\tr\tb\n\x00\x01\x02", "t.tsv:2: the file is binary"),
    "latin-1": ("t.tsv", "a\tr\tb\nb\tr\tc\nc\tr\t\xe9t\xe9\n".encode("latin-1"), "t.tsv:3: byte 0xe9 is not UTF-8"),
    "utf-16": ("t.tsv", "a\tr\tb\n".encode("utf-16"), "UTF-16"),
    "CR alone": ("t.tsv", "a\tr\tb\rb\tr\tc\r", "t.tsv:1: the lines end in CR alone"),
    "empty label": ("t.tsv", "a\tr\tb\n\tr\tc\n", "t.tsv:2: the head is empty"),
    "empty tail in csv": ("t.csv", 'a,r,b\nb,r,""\n', "t.csv:2: the tail is empty"),
    "two columns": ("t.tsv", "a\tb\nb\tc\n", "t.tsv:1: the lines have two columns"),
    "missing column": ("t.csv", "head,tail,weight\na,b,1\n", "t.csv:1: line 1 looks like a header"),
    "a column twice": ("t.csv", "source,target,type,label\na,b,r,x\n", "found: head, relation, tail"),
    "four columns, no header": ("t.tsv", "a\tr\tb\tx\n" * 3, "t.tsv:1: 4 columns and no header"),
    "no separator": ("t.txt", "alpha\nbeta\n", "t.txt:1: the line does not split"),
    "two separators": ("t.txt", "a,b;r,c;d\n", "t.txt:1: the lines can be split by commas (3 columns) or"),
    "header or triple": ("t.tsv", "h\tr\tt\nh\tr\tx\n", "t.tsv:1: line 1 (h, r, t) may be a header or a triple"),
    "N-Triples": ("t.nt", "<http://a> <http://b> <http://c> .\n<http://a> <http://b> .\n", "t.nt:2: not valid N-T"),
    "Turtle": ("t.ttl", "@prefix : <http://e/> .\n:a :p :b .\n:a :p .\n:a :p :b .\n", "t.ttl:3: not valid Turtle"),
    "RDF without links": ("t.nt", '<http://a> <http://b> "c" .\n', "t.nt: no triple links two entities"),
    "not gzip": ("t.tsv.gz", b"a\tr\tb\n", None),
    "not zst": ("t.tsv.zst", b"a\tr\tb\n", "t.tsv.zst: the file name says that it is compressed"),
    "not Parquet": ("t.parquet", b"a\tr\tb\n", "t.parquet: not a readable Parquet file"),
    "truncated Parquet": ("t.parquet", parquet(pl.DataFrame({"head": ["a"] * 99}))[:-40], "not a readable Parq"),
    "list as label": (
        "t.parquet", parquet(pl.DataFrame({"head": [["a"]], "relation": ["r"], "tail": ["b"]})),
        "Columns of lists and structs are not read",
    ),
    "list as label in JSON": ("t.jsonl", '{"head": ["a"], "relation": "r", "tail": "b"}\n', "column head holds List"),
    "JSON lines that are none": ("t.jsonl", "a\tr\tb\n", "t.jsonl: not readable as JSON lines"),
    "JSON without the keys": ("t.jsonl", '{"a": "b"}\n', "names head, relation and tail"),
    "JSON with half a character": ("t.jsonl", '{"head": "\\ud800", "relation": "r", "tail": "b"}\n', "row 1: the head"),
    "deep JSON": (
        "t.jsonl", '{"head": "a", "relation": "r", "tail": "b", "x": ' + "[" * 9999 + "]" * 9999 + "}\n", "JSON lines"
    ),
    "JSON lines by another name": ("t.tsv", '{"head": "a", "relation": "r", "tail": "b"}\n' * 3, "the file is JSON"),
    "JSON in a tab file": ("t.tsv", '{"head":\t"a",\t"relation":\t"r"}\n' * 3, "t.tsv:1: the file is JSON"),
    "JSON in many lines": ("t.csv", '[\n{"head": 1, "relation": 2, "tail": 3},\n{"a": 1, "b": 2}\n]\n', "is JSON"),
    "HTML": ("t.csv", "<!DOCTYPE html>\n<p>no, not, here\n<p>a, b, c\n", "t.csv:1: the file is an HTML page"),
    "XML": ("t.txt", '<?xml version="1.0" encoding="UTF-8" ?>\n', "t.txt:1: the file is XML"),
    "entities in entities": ("t.rdf", rdf('<!ENTITY a "ha"><!ENTITY b "&a;&a;">', "&b;"), "t.rdf:1: an XML entity"),
    "an entity from a file": ("t.owl", rdf('<!ENTITY a SYSTEM "file:///etc/passwd">', "&a;"), "t.owl:1: an XML entity"),
    "a parameter entity": ("t.xml", rdf('<!ENTITY % a "b">', "x"), "t.xml:1: an XML entity that"),
    "a long entity": ("t.rdf", rdf(f'<!ENTITY a "{"x" * 9999}">', "&a;" * 5000), "more than 10 times as large"),
    "ids alone": ("train2id.txt", "1\n0 0 0\n", "means nothing without the labels"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_file(tmp_path: Path, case: str) -> None:
    name, content, expected = BAD_FILES[case]
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert (expected or "cannot be decompressed") in failure(path)


def test_line_numbers_inside_gzip(tmp_path: Path) -> None:
    (tmp_path / "t.tsv.gz").write_bytes(gzip.compress(b"a\tr\tb\nx\nb\tr\tc\n"))
    assert "t.tsv.gz:2: 1 field" in failure(tmp_path / "t.tsv.gz")


def test_truncated_gzip(tmp_path: Path) -> None:
    (tmp_path / "t.tsv.gz").write_bytes(gzip.compress(GOOD.encode() * 50)[:-9])
    assert "cannot be decompressed" in failure(tmp_path / "t.tsv.gz")


def test_wrong_separator_names_the_right_one(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text(GOOD)
    message = failure(tmp_path / "t.tsv", separator=",")
    assert "t.tsv:1: 1 field where 3 are expected" in message
    assert "tabs" in message


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"separator": "ab"}, "not one character"),
        ({"columns": ("a", "b")}, "does not name a head"),
        ({"columns": ("x", "y", "z")}, "t.tsv:1: no column named x, y, z"),
        ({"columns": ("head", "relation", "tail", "_")}, "names 4 columns, but the line has 3"),
        ({"header": True}, "t.tsv:1: line 1 looks like a header"),
        ({"layout": "json"}, "layout='json' is unknown"),
        ({"literals": "keep"}, "t.tsv: literals='keep' was told, but this is read as text, which has no such option"),
        ({"literals": "drop"}, "Layouts that have it: rdf"),
        (
            {"layout": "rdf", "separator": ","},
            "read as rdf, which has no such option. Layouts that have it: text, dict",
        ),
        ({"layout": "parquet", "header": True}, "read as parquet, which has no such option"),
        ({"truth": "label"}, "no column is named 'label'"),
        ({"truth": True}, "truth=True is unknown"),
        ({"truth": ""}, "truth='' is unknown"),
        ({"columns": ("head", "relation", "tail", "truth")}, "no column is named 'truth'"),
        ({"seed": 1 << 64}, "is no seed"),
        ({"seed": -(1 << 64)}, "is no seed"),
        ({"seed": "one"}, "seed='one' is no seed"),
        ({"valid": "much"}, "valid=much"),
        ({"valid": 0.6, "test": 0.6}, "valid=0.6 and test=0.6"),
        ({"valid": -0.1}, "valid=-0.1"),
    ],
)
def test_bad_options(tmp_path: Path, options: dict[str, object], expected: str) -> None:
    (tmp_path / "t.tsv").write_text(GOOD)
    assert expected in failure(tmp_path / "t.tsv", **options)


BAD_FOLDERS: dict[str, tuple[dict[str, str], str]] = {
    "empty": ({}, "holds no files of triples; it holds nothing"),
    "strange": ({"notes.md": "x"}, "it holds notes.md"),
    "valid without train": ({"valid.txt": GOOD, "test.txt": GOOD}, "there is test.txt, valid.txt but no train file"),
    "train twice": ({"train.txt": GOOD, "train.tsv": GOOD}, "both train.tsv and train.txt may be the train split"),
    "valid twice": ({"train.txt": GOOD, "dev.txt": GOOD, "valid.txt": GOOD}, "may be the valid split"),
    "two layouts": ({"train.txt": GOOD, "train2id.txt": "1\n0 0 0\n"}, "2 layouts: text (train.txt); openke"),
    "bad valid": ({"train.txt": GOOD, "valid.txt": GOOD + "x\n"}, "valid.txt:4: 1 field"),
    "empty test": ({"train.txt": GOOD, "test.txt": ""}, "test.txt: the file is empty"),
    "one dict": ({"train.txt": GOOD, "entities.dict": "0\ta\n"}, "belong together"),
    "dict without a label": (
        {"train.txt": GOOD, "entities.dict": "0\ta\n1\tb\n2\tc\n", "relations.dict": "0\tr\n"},
        "train.txt:3: the tail 'd' is not in entities.dict",
    ),
    "dict with a gap": (
        {"train.txt": GOOD, "entities.dict": "0\ta\n7\tb\n", "relations.dict": "0\tr\n"},
        "entities.dict:2: id 7, but the file has 2 lines",
    ),
    "dict the wrong way": (
        {"train.txt": GOOD, "entities.dict": "0\ta\nb\t1\n", "relations.dict": "0\tr\n"},
        "entities.dict:2: not of the form `id TAB label`",
    ),
    "del that is no id": (
        {"train.del": "0\t0\t1\n0\tx\t1\n"}, "train.del:2: not three ids (head relation tail)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_bad_folder(tmp_path: Path, case: str) -> None:
    files, expected = BAD_FOLDERS[case]
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert expected in failure(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("train2id.txt", "3\n0 1 0\n1 2 0\n", "train2id.txt:1: the count line says '3', but 2 lines follow"),
        ("train2id.txt", "0 1 0\n1 2 0\n", "train2id.txt:1: the count line says '0 1 0'"),
        ("train2id.txt", "٢\n0 1 0\n1 2 0\n", "train2id.txt:1: the count line says '٢'"),
        ("train2id.txt", "9" * 5000 + "\n0 1 0\n1 2 0\n", "train2id.txt:1: the count line says"),
        ("train2id.txt", "2\n0 1 0\n١ ٢ ٠\n", "train2id.txt:3: not three ids (head tail relation)"),
        ("entity2id.txt", "1\na\t٠\n", "entity2id.txt:2: not of the form"),
        ("train2id.txt", "2\n0 1 0\n1 9 0\n", "train2id.txt:3: tail id 9, but there are only 4 labels"),
        ("train2id.txt", "2\n0 1 0\n1 2\n", "train2id.txt:3: not three ids (head tail relation)"),
        ("train2id.txt", "2\n0 1 0\n1 0 3\n", "train2id.txt:3: OpenKE files are read as head tail relation"),
        ("entity2id.txt", "4\na\t0\nb\t1\nc\t2\nc\t3\n", "entity2id.txt:5: the label c occurs a second time"),
        ("entity2id.txt", "4\na\t0\nb\t1\nc\t1\nd\t3\n", "entity2id.txt:4: the id 1 occurs a second time"),
    ],
)
def test_bad_openke(tmp_path: Path, name: str, content: str, expected: str) -> None:
    files = {
        "entity2id.txt": "4\na\t0\nb\t1\nc\t2\nd\t3\n",
        "relation2id.txt": "2\nr\t0\ns\t1\n",
        "train2id.txt": "1\n0 1 0\n",
    }
    for file, text in {**files, name: content}.items():
        (tmp_path / file).write_text(text)
    assert expected in failure(tmp_path)


@pytest.mark.parametrize("name", ["train2id.txt", "train.del"])
@pytest.mark.parametrize("at", range(3))
def test_ids_beyond_all_bounds(tmp_path: Path, name: str, at: int) -> None:
    ids = ["0", "0", "0"]
    ids[at] = "9" * 18
    (tmp_path / name).write_text(("2\n" if name.endswith(".txt") else "") + "0 0 0\n" + " ".join(ids) + "\n")
    assert f"id {'9' * 18}, which is far more than the triples can hold" in failure(tmp_path)


@pytest.mark.parametrize(
    ("option", "value"), [("seed", 0), ("valid", 0.1), ("test", 0.0), ("separator", "tab"), ("literals", "keep")]
)
@pytest.mark.parametrize("files", [{"train.nt": "<x:a> <x:r> <x:b> .\n"}, {"train2id.txt": "1\n0 0 0\n"}])
def test_an_option_that_a_folder_has_no_use_for(
    tmp_path: Path, option: str, value: object, files: dict[str, str]
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    if option == "literals" and "train.nt" in files:
        assert load(tmp_path, literals="keep").num_entities == 2
    else:
        assert f"{option}={value!r} was told, but" in failure(tmp_path, **{option: value})


def test_entities_that_shorten_iris_are_legal(tmp_path: Path) -> None:
    (tmp_path / "t.owl").write_text(rdf('<!ENTITY e "b">', "&e;c"))
    assert load(tmp_path / "t.owl").entities.to_list() == ["http://e/a", "http://e/bc"]


def test_damaged_parquet_is_refused_or_read(tmp_path: Path) -> None:
    """Some damage makes polars panic, which is no Exception."""
    whole = parquet(pl.DataFrame({"head": ["a", "b"], "relation": ["r"] * 2, "tail": ["c", "d"]}))
    for at in range(4, len(whole), 7):
        (tmp_path / "t.parquet").write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        with suppress(UserError):
            load(tmp_path / "t.parquet")


@pytest.mark.parametrize("name", ["a\0b", "a/\0b", "\ud800", "a/\ud800", "~no-such-user/x"])
def test_names_that_no_system_takes(name: str) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        load(name)


def test_a_name_too_long() -> None:
    with pytest.raises(UserError, match="cannot be looked up"):
        load("a" * 300)


def test_a_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"n\xff")
    folder.mkdir()
    (folder / "train.tsv").write_text(GOOD + "\n")
    graph = load(folder)
    for text in (graph.name, graph.source, *graph.notes):
        text.encode()
    assert graph.name == "n\\udcff"


def test_devices_are_refused() -> None:
    assert "neither a file, a folder nor a pipe" in failure(Path("/dev/zero"))


def test_pipes_inside_a_folder_are_left_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train.tsv")
    assert "it holds train.tsv (not a regular file)" in failure(tmp_path)
    (tmp_path / "train2id.txt").write_text("1\n0 0 0\n")
    os.mkfifo(tmp_path / "entity2id.txt")
    assert any("the ids are the labels" in note for note in load(tmp_path).notes)


def test_a_pipe_is_read_once_as_a_file(tmp_path: Path) -> None:
    for content, options in ((GOOD, {}), ("<x:a> <x:r> <x:b> .\n", {"layout": "rdf"}), ("<x:a> <x:r> <x:b> .\n", {})):
        os.mkfifo(tmp_path / "pipe")
        writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=(content,))
        writer.start()
        graph = load(tmp_path / "pipe", **options)  # type: ignore[arg-type]
        writer.join()
        (tmp_path / "pipe").unlink()
        assert graph.name == "pipe"
        assert sum(map(len, graph.splits.values())) == content.count("\n")


def test_missing_path(tmp_path: Path) -> None:
    assert "there is no such file or folder" in failure(tmp_path / "nowhere.tsv")


@pytest.mark.parametrize("rows", ["a\tr\tb\n", "a\tr\ta\n"])
def test_one_triple_is_a_graph(tmp_path: Path, rows: str) -> None:
    (tmp_path / "t.tsv").write_text(rows)
    graph = load(tmp_path / "t.tsv")
    assert list(graph.splits) == ["train"]
    assert any("all train" in note for note in graph.notes)


def test_one_relation_is_a_graph(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text(GOOD)
    assert load(tmp_path).num_relations == 1
