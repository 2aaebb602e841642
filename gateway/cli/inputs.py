"""What `gateway rerank` reads: documents one per line, or JSON lines; whole requests as JSON lines."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

STDIN = "-"


class BadInput(Exception):
    """A line cannot be read; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Question:
    """One query with its documents."""

    query: str
    documents: tuple[str, ...]


def read_documents(files: Sequence[str], given: Sequence[str]) -> tuple[str, ...]:
    """Return the documents of all files, then those given one by one.

    A file whose name ends in `.jsonl` has one string or one object with `text` per line; any other
    file, and standard input, has one document per line. Empty lines are no documents.

    Raises:
        BadInput: a file or line cannot be read.
    """
    read = [document for file in files for document in _documents(file)]
    return (*read, *given)


def read_questions(files: Sequence[str]) -> Iterator[Question]:
    """Yield the requests of JSONL files: `{"query": ..., "documents": [...]}` per line.

    Raises:
        BadInput: a file or line cannot be read.
    """
    for file in files:
        for where, line in _lines(file):
            yield _question(_json(line, where), where)


def _documents(file: str) -> Iterator[str]:
    for where, line in _lines(file):
        yield _text(_json(line, where), where) if file.endswith(".jsonl") else line


def _lines(file: str) -> Iterator[tuple[str, str]]:
    """Yield where a line is, and the line, without empty ones."""
    try:
        with _open(file) as stream:
            for number, raw in enumerate(stream, 1):
                where = f"{'standard input' if file == STDIN else file}, line {number}"
                try:
                    line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r\n")
                except UnicodeDecodeError as error:
                    raise BadInput(f"{where}: not UTF-8 ({error.reason})") from None
                if line.strip():
                    yield where, line
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}") from None


def _open(file: str) -> IO[bytes]:
    if file == STDIN:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    return Path(file).open("rb")


def _json(line: str, where: str) -> Any:
    import orjson

    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"{where}: not JSON ({error})") from None


def _text(value: Any, where: str) -> str:
    text = value.get("text") if isinstance(value, dict) else value
    if not isinstance(text, str):
        raise BadInput(f'{where}: a document is a string, or an object with a "text" string')
    return text


def _question(value: Any, where: str) -> Question:
    if not isinstance(value, dict) or not isinstance(value.get("query"), str):
        raise BadInput(
            f'{where}: a request is {{"query": "...", "documents": [...]}}; for plain documents '
            "give the query with -q"
        )
    documents = value.get("documents")
    if not isinstance(documents, list) or not documents:
        raise BadInput(f'{where}: "documents" must be a list with at least one document')
    return Question(value["query"], tuple(_text(document, where) for document in documents))
