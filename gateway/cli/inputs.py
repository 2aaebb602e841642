"""Input files of commands: texts, documents one a line or as JSON, whole requests.

A file is written as `file`, `@file`, `file:///path` or `file://relative/path`; `-` is standard
input. Where a text is expected, `@file` and `file://` stand for the whole file, and `@@...` for a
text that begins with `@`. The name decides how a file is read: `.jsonl` and `.ndjson` have a JSON
value per line, `.json` is one array or object, any other file has a text per line.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

from gateway.cli.json_values import BadJson, json_values

STDIN = "-"
ID_NAMES = ("_id", "id", "docid")
MOST_LINE_BYTES = 64 * 1024 * 1024
_FILE_URL = "file://"
_THIS_MACHINE = "localhost/"
_JSON_LINES = (".jsonl", ".ndjson")


class BadInput(Exception):
    """A file or line that cannot be read; the message names it and the reason."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document, and its id if the file has one."""

    text: str
    id: str = ""


OPTION_INSTEAD = {
    "model": "use --model for all of them",
    "instruction": "use --instruction for all of them",
    "top_n": "use --top-n for all of them",
    "top_k": "use --top-n for all of them",
    "max_tokens_per_doc": "send it to a gateway over HTTP",
    "rank_fields": "send it to a gateway over HTTP",
}
"""Request fields that would change the answer and are rejected here; others are ignored."""


@dataclass(frozen=True, slots=True)
class Question:
    """One query with its documents, and its id if the file has one."""

    query: str
    documents: tuple[Document, ...]
    id: str = ""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of a file that is no request: its number from 1, and the reason with file and place."""

    number: int
    error: str


def read_text(given: str) -> str:
    """Return a text, or the content of the file named instead, without newlines at its end.

    Raises:
        BadInput: the file cannot be read.
    """
    if given.startswith("@@"):
        return given[1:]
    if not given.startswith(("@", _FILE_URL)):
        return given
    with open_input(given) as stream:
        return _decoded(stream.read(), given, bom=True).rstrip("\r\n")


def read_documents(files: Sequence[str], given: Sequence[str]) -> tuple[Document, ...]:
    """Return the documents of all files, then those given one by one.

    A JSON value is a string, an object with `text`, or an object with a list of `documents`. A line
    of any other file, and of standard input, is a document. Empty lines are skipped.

    Raises:
        BadInput: a file or line cannot be read.
    """
    read = [document for file in files for document in _documents(file)]
    return (*read, *(Document(read_text(text)) for text in given))


def read_questions(file: str) -> Iterator[Question | BadRow]:
    """Yield the requests of a file: a `{"query": ..., "documents": [...]}` per line or item.

    A line or item that is no request is yielded as a `BadRow`.

    Raises:
        BadInput: the file cannot be read, or from a place on it is no JSON.
    """
    rows: Iterator[tuple[str, str | bytes]] = _items(file) if is_json(file) else _lines(file)
    for number, (place, raw) in enumerate(rows, 1):
        try:
            text = raw if isinstance(raw, str) else _line(raw, place, is_first=number == 1)
            if text.strip():
                yield _question(as_json(text, place), place)
        except BadInput as error:
            yield BadRow(number, str(error))


def lines(file: str) -> Iterator[tuple[str, str]]:
    """Yield place and text of each line that is not empty.

    Raises:
        BadInput: the file cannot be read, or is not UTF-8.
    """
    for number, (place, raw) in enumerate(_lines(file), 1):
        line = _line(raw, place, is_first=number == 1)
        if line.strip():
            yield place, line


def as_json(line: str, place: str) -> Any:
    """Parse a line of JSON; raises `BadInput`."""
    import orjson

    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"{place}: not JSON ({error})") from None


def as_document(value: Any, place: str) -> Document:
    """Return a document from a string, or from an object with `text`, `title` and an id.

    Raises:
        BadInput: it is neither.
    """
    if isinstance(value, str):
        return Document(value)
    text = value.get("text") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise BadInput(f'{place}: a document is a string, or an object with a "text" string')
    title = value.get("title")
    return Document(f"{title}\n{text}" if isinstance(title, str) and title else text, id_of(value))


def id_of(value: dict[str, Any]) -> str:
    """Return the id of a query or document as a string; empty without one."""
    found = (value.get(name) for name in ID_NAMES)
    return next((str(id) for id in found if isinstance(id, str | int)), "")


def is_json(file: str) -> bool:
    """Return whether a file is read as JSON as a whole, by its name."""
    return file.lower().endswith(".json")


def path_of(file: str) -> Path:
    """Return the path of a file in any spelling."""
    path = file.removeprefix("@")
    if path.startswith(_FILE_URL):
        path = path.removeprefix(_FILE_URL)
        path = unquote(path.removeprefix("localhost") if path.startswith(_THIS_MACHINE) else path)
    return Path(path).expanduser()


def open_input(file: str) -> IO[bytes]:
    """Open a file in any spelling, or standard input; raises `BadInput`."""
    if file == STDIN:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    path = path_of(file)
    try:
        return path.open("rb")
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None


def _documents(file: str) -> Iterator[Document]:
    has_json = is_json(file) or file.lower().endswith(_JSON_LINES)
    for place, text in _items(file) if is_json(file) else lines(file):
        yield from _documents_in(as_json(text, place), place) if has_json else [Document(text)]


def _documents_in(value: Any, place: str) -> Iterator[Document]:
    """Yield the document that a JSON value is, or those in its list of documents."""
    documents = value.get("documents") if isinstance(value, dict) else None
    if not isinstance(documents, list):
        yield as_document(value, place)
        return
    if "query" in value:
        raise BadInput(f'{place}: it has a "query" of its own, beside the one of -q: leave -q out')
    for document in documents:
        yield as_document(document, place)


def _lines(file: str) -> Iterator[tuple[str, bytes]]:
    """Yield place and bytes of each line; of a line over the limit its first bytes."""
    name = _name(file)
    with open_input(file) as stream:
        number = 0
        while raw := stream.readline(MOST_LINE_BYTES):
            number += 1
            yield f"{name}, line {number}", raw
            while _is_cut(raw):
                raw = stream.readline(MOST_LINE_BYTES)


def _items(file: str) -> Iterator[tuple[str, str]]:
    """Yield place and text of each value of a JSON file."""
    name = _name(file)
    number = 0
    with open_input(file) as stream:
        try:
            for number, text in enumerate(json_values(stream), 1):
                yield f"{name}, item {number}", text
        except BadJson as error:
            raise BadInput(f"{name}, after item {number}: {error}") from None


def _is_cut(raw: bytes) -> bool:
    return len(raw) == MOST_LINE_BYTES and not raw.endswith(b"\n")


def _line(raw: bytes, place: str, *, is_first: bool) -> str:
    """Return the text of a line without its end; raises `BadInput`."""
    if _is_cut(raw):
        raise BadInput(f"{place}: it is longer than the limit of {MOST_LINE_BYTES} bytes")
    return _decoded(raw, place, bom=is_first).strip("\r\n")


def _name(file: str) -> str:
    return "standard input" if file == STDIN else file


def _decoded(raw: bytes, place: str, *, bom: bool) -> str:
    try:
        return raw.decode("utf-8-sig" if bom else "utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{place}: not UTF-8 ({error.reason})") from None


def _question(value: Any, place: str) -> Question:
    if not isinstance(value, dict) or not isinstance(value.get("query"), str):
        raise BadInput(
            f'{place}: a request is {{"query": "...", "documents": [...]}}; for plain documents '
            "give the query with -q"
        )
    for key in value.keys() & OPTION_INSTEAD:
        raise BadInput(f'{place}: "{key}" cannot be given per line; {OPTION_INSTEAD[key]}')
    documents = value.get("documents")
    if not isinstance(documents, list) or not documents:
        raise BadInput(f'{place}: "documents" must be a list with at least one document')
    read = tuple(as_document(document, place) for document in documents)
    return Question(value["query"], read, id_of(value))
