"""What is asked for in a benchmark: requests made from a seed, or from a file of one's own. Pure.

The texts are made of common words in seeded order: no two documents are alike, so no cache but the
one under test helps, and a tokenizer sees ordinary words. Lengths of passages follow the log-normal
distribution that retrieval finds: a median of 100 words, a few of them several hundred.

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
class Asked:
    """One request: its query and documents."""

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


def _short(chance: random.Random, number: int = 3) -> Asked:
    return Asked(_query(chance), tuple(_sentence(chance) for _ in range(number)))


def _rag(chance: random.Random, number: int) -> Asked:
    return Asked(_query(chance), tuple(_passage(chance) for _ in range(number)))


def _repeat(chance: random.Random) -> Asked:
    return Asked("which of these is it?", _short(chance).documents)


def _mixed(chance: random.Random) -> Asked:
    return _rag(chance, 100) if chance.random() < _LARGE_SHARE else _short(chance)


WORKLOADS: dict[str, Callable[[random.Random], Asked]] = {
    "short3": _short,
    "rag20": lambda chance: _rag(chance, 20),
    "rag100": lambda chance: _rag(chance, 100),
    "repeat": _repeat,
    "mixed": _mixed,
}


def requests(workload: str, seed: int) -> Iterator[Asked]:
    """Yield the requests of a workload, without end; the same ones for the same seed."""
    chance = random.Random(f"{workload}-{seed}")
    while True:
        yield WORKLOADS[workload](chance)


def requests_of(lines: Sequence[str], name: str) -> Iterator[Asked]:
    """Yield the requests of a JSONL file, over and over: objects with `query` and `documents`.

    Raises:
        ValueError: a line is not such an object; the message names file and line.
    """
    found = [_read(line, f"{name}, line {n}") for n, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise ValueError(f"{name} holds no request: one JSON object per line, query and documents")
    return cycle(found)


def _read(line: str, where: str) -> Asked:
    try:
        fields = json.loads(line)
        query, documents = fields["query"], fields["documents"]
    except (ValueError, TypeError, KeyError):
        raise ValueError(f'{where} is not {{"query": "...", "documents": ["...", ...]}}') from None
    is_right = isinstance(query, str) and isinstance(documents, list) and documents
    if not is_right or not all(isinstance(one, str) for one in documents):
        raise ValueError(f"{where}: query must be a string and documents a list of strings")
    return Asked(query, tuple(documents))
