"""Requests of a benchmark, made from a seed or read from a file. Pure.

The texts are common words in seeded order: no two documents are alike, so no cache but the one
under test helps, and a tokenizer gets ordinary words. The lengths of passages follow the log-normal
distribution of passages in retrieval: a median of 100 words, a few of several hundred.

| workload | a request |
|---|---|
| `short3` | a new query, 3 documents of one sentence |
| `rag20`, `rag100` | a new query, 20 or 100 passages |
| `repeat` | the same query each time, 3 new documents of one sentence |
| `mixed` | 95 % `short3`, 5 % `rag100` |
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

_TEXT = (
    "water house light engine garden market river window system paper music winter number "
    "morning travel doctor office answer city letter memory school network river price summer "
    "kitchen station battery copper forest island journey pressure question service surface "
    "teacher village weather account bridge camera danger energy factory harbour industry the of "
    "and to in is that for with as on by from at which this are was be has it its or an can may "
    "вода дом свет сад рынок река окно бумага музыка зима число утро врач город письмо память "
    "школа цена лето кухня станция лес остров вопрос служба учитель погода мост энергия завод "
    "the of and to in is that for with as on by from at which this are was be has it its или на"
)
_WORDS = _TEXT.split()
_SENTENCE_WORDS = (8, 20)
_QUERY_WORDS = (5, 12)
_MEDIAN_WORDS, _SPREAD, _LONGEST_WORDS = 100, 0.5, 1500
_LARGE_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Request:
    """Query and documents of one request."""

    query: str
    documents: tuple[str, ...]

    def body(self, model: str | None) -> bytes:
        """Return the request as JSON."""
        fields: dict[str, object] = {"query": self.query, "documents": self.documents}
        return json.dumps(fields | ({"model": model} if model else {}), ensure_ascii=False).encode()


def _words(chance: random.Random, count: int) -> str:
    return " ".join(chance.choices(_WORDS, k=count))


def _query(chance: random.Random) -> str:
    return _words(chance, chance.randint(*_QUERY_WORDS)) + "?"


def _sentence(chance: random.Random) -> str:
    return _words(chance, chance.randint(*_SENTENCE_WORDS)) + "."


def _passage(chance: random.Random) -> str:
    count = int(_MEDIAN_WORDS * chance.lognormvariate(0.0, _SPREAD))
    return _words(chance, min(max(count, 5), _LONGEST_WORDS)) + "."


def _short(chance: random.Random, number: int = 3) -> Request:
    return Request(_query(chance), tuple(_sentence(chance) for _ in range(number)))


def _rag(chance: random.Random, number: int) -> Request:
    return Request(_query(chance), tuple(_passage(chance) for _ in range(number)))


def _repeat(chance: random.Random) -> Request:
    return Request("which of these is it?", _short(chance).documents)


def _mixed(chance: random.Random) -> Request:
    return _rag(chance, 100) if chance.random() < _LARGE_SHARE else _short(chance)


WORKLOADS: dict[str, Callable[[random.Random], Request]] = {
    "short3": _short,
    "rag20": lambda chance: _rag(chance, 20),
    "rag100": lambda chance: _rag(chance, 100),
    "repeat": _repeat,
    "mixed": _mixed,
}


def requests(workload: str, seed: int) -> Iterator[Request]:
    """Yield the requests of a workload without end; a seed always gives the same ones."""
    chance = random.Random(f"{workload}-{seed}")
    while True:
        yield WORKLOADS[workload](chance)


def requests_of(lines: Sequence[str], name: str) -> Iterator[Request]:
    """Yield the requests of a JSONL file repeatedly: objects with `query` and `documents`.

    Raises:
        ValueError: a line is not such an object; the message names file and line.
    """
    found = [
        _read(line, f"{name}, line {number}")
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]
    if not found:
        raise ValueError(f"{name} holds no request: one JSON object per line, query and documents")
    return cycle(found)


def _read(line: str, place: str) -> Request:
    try:
        fields = json.loads(line)
        query, documents = fields["query"], fields["documents"]
    except (ValueError, TypeError, KeyError):
        raise ValueError(f'{place} is not {{"query": "...", "documents": ["...", ...]}}') from None
    is_valid = isinstance(query, str) and isinstance(documents, list) and documents
    if not is_valid or not all(isinstance(document, str) for document in documents):
        raise ValueError(f"{place}: query must be a string and documents a list of strings")
    return Request(query, tuple(documents))
