"""What `gateway rerank` reads: texts, documents one per line or as JSON lines, whole requests.

A file may be written `file`, `@file` or `file:///path`; `-` is standard input. Where a text is
expected, `@file` and `file://` mean the whole file, and `@@...` a text that begins with `@`.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

STDIN = "-"
ID_NAMES = ("_id", "id", "docid")
_FILE_URL = "file://"


class BadInput(Exception):
    """A line cannot be read; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document, and its id if the file gives it one."""

    text: str
    id: str = ""


FLAG_OF = {
    "model": "use --model for all of them",
    "instruction": "use --instruction for all of them",
    "top_n": "use --top-n for all of them",
    "top_k": "use --top-n for all of them",
    "max_tokens_per_doc": "ask a gateway over HTTP for that",
    "rank_fields": "ask a gateway over HTTP for that",
}
"""Fields of the APIs that would change the answer and are not read here; others are left alone."""


@dataclass(frozen=True, slots=True)
class Question:
    """One query with its documents, and its id if the file gives it one."""

    query: str
    documents: tuple[Document, ...]
    id: str = ""


def read_text(given: str) -> str:
    """Return a text, or the content of the file that it names, without the newlines at its end.

    Raises:
        BadInput: the file cannot be read.
    """
    if given.startswith("@@"):
        return given[1:]
    if not given.startswith(("@", _FILE_URL)):
        return given
    with _open(given) as stream:
        return _decoded(stream.read(), given, bom=True).rstrip("\r\n")


def read_documents(files: Sequence[str], given: Sequence[str]) -> tuple[Document, ...]:
    """Return the documents of all files, then those given one by one.

    A file whose name ends in `.jsonl` has one string or one object with `text` per line; any other
    file, and standard input, has one document per line. Empty lines are no documents.

    Raises:
        BadInput: a file or line cannot be read.
    """
    read = [document for file in files for document in _documents(file)]
    return (*read, *(Document(read_text(text)) for text in given))


def read_questions(files: Sequence[str]) -> Iterator[Question]:
    """Yield the requests of JSONL files: `{"query": ..., "documents": [...]}` per line.

    Raises:
        BadInput: a file or line cannot be read.
    """
    for file in files:
        for where, line in lines(file):
            yield _question(as_json(line, where), where)


def lines(file: str) -> Iterator[tuple[str, str]]:
    """Yield where a line is, and the line, without empty ones.

    Raises:
        BadInput: the file cannot be read, or is not UTF-8.
    """
    name = "standard input" if file == STDIN else file
    with _open(file) as stream:
        for number, raw in enumerate(stream, 1):
            where = f"{name}, line {number}"
            line = _decoded(raw, where, bom=number == 1).strip("\r\n")
            if line.strip():
                yield where, line


def as_json(line: str, where: str) -> Any:
    """Read a line of JSON; raises `BadInput`."""
    import orjson

    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"{where}: not JSON ({error})") from None


def as_document(value: Any, where: str) -> Document:
    """Read a string, or an object with `text`, and `title` and an id if it has them.

    Raises:
        BadInput: it is neither.
    """
    if isinstance(value, str):
        return Document(value)
    text = value.get("text") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise BadInput(f'{where}: a document is a string, or an object with a "text" string')
    title = value.get("title")
    return Document(f"{title}\n{text}" if isinstance(title, str) and title else text, id_of(value))


def id_of(value: dict[str, Any]) -> str:
    """Return the id of a query or document as a string; empty if it has none."""
    found = (value.get(name) for name in ID_NAMES)
    return next((str(one) for one in found if isinstance(one, str | int)), "")


def _documents(file: str) -> Iterator[Document]:
    for where, line in lines(file):
        yield (
            as_document(as_json(line, where), where) if file.endswith(".jsonl") else Document(line)
        )


def _open(file: str) -> IO[bytes]:
    if file == STDIN:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    path = file.removeprefix("@")
    if path.startswith(_FILE_URL):
        path = unquote(urlsplit(path).path)
    try:
        return Path(path).expanduser().open("rb")
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None


def _decoded(raw: bytes, where: str, *, bom: bool) -> str:
    try:
        return raw.decode("utf-8-sig" if bom else "utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{where}: not UTF-8 ({error.reason})") from None


def _question(value: Any, where: str) -> Question:
    if not isinstance(value, dict) or not isinstance(value.get("query"), str):
        raise BadInput(
            f'{where}: a request is {{"query": "...", "documents": [...]}}; for plain documents '
            "give the query with -q"
        )
    for key in value.keys() & FLAG_OF:
        raise BadInput(f'{where}: "{key}" cannot be given by line; {FLAG_OF[key]}')
    documents = value.get("documents")
    if not isinstance(documents, list) or not documents:
        raise BadInput(f'{where}: "documents" must be a list with at least one document')
    read = tuple(as_document(document, where) for document in documents)
    return Question(value["query"], read, id_of(value))
