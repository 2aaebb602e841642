"""Everyday questions written for this project, and what keeps them apart from the everyday list.

`written/*.jsonl` holds one subject a line, in English and Russian: a few ways to ask, a text that
answers, and a text that shares words with the question and does not. Their writers had not seen the
everyday list of the evaluation. An item one of whose texts says nearly the same as a text of that
list is dropped all the same, in both languages.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
FUNCTION_WORDS = HERE / "function_words.txt"
LANGUAGES = ("en", "ru")
STEM_LETTERS = 5
NEAR = 0.6  # shared content words of two texts, of all their content words
FEWEST = 2  # content words below which a text is too short to be told from another


@dataclass(frozen=True)
class Item:
    number: int
    language: str
    queries: list[str]
    right: str
    wrong: str

    @property
    def texts(self) -> list[str]:
        return [*self.queries, self.right, self.wrong]


@cache
def read_function_words() -> frozenset[str]:
    return frozenset(FUNCTION_WORDS.read_text(encoding="utf-8").split())


def content_words(text: str) -> frozenset[str]:
    """The words that carry meaning, cut to their first letters in place of a stem."""
    words = re.findall(r"\w+", text.lower().replace("ё", "е"))
    return frozenset(word[:STEM_LETTERS] for word in words if word not in read_function_words())


def near(one: frozenset[str], other: frozenset[str]) -> bool:
    shared = len(one & other)
    return one == other or (shared >= FEWEST and shared >= NEAR * len(one | other))


def evaluation_texts() -> list[str]:
    """Every query and document of the everyday lists."""
    texts: list[str] = []
    for path in sorted(HERE.glob("everyday*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            texts += [record["query"], *record["documents"]]
    return texts


def near_copies(items: Sequence[Item], texts: Sequence[str]) -> set[int]:
    """The numbers of the items with a text that nearly is one of `texts`."""
    holding: dict[str, list[frozenset[str]]] = {}
    for words in {content_words(text) for text in texts}:
        for word in words:
            holding.setdefault(word, []).append(words)
    return {
        item.number
        for item in items
        for own in map(content_words, item.texts)
        if any(near(own, other) for word in own for other in holding.get(word, []))
    }


def every_item() -> Iterator[Item]:
    lines = [
        line
        for path in sorted((HERE / "written").glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    for number, line in enumerate(lines):
        record = json.loads(line)
        for language in LANGUAGES:
            said = record[language]
            yield Item(number, language, said["queries"], said["right"], said["wrong"])


@cache
def read_written() -> tuple[list[Item], int]:
    """The items without the near copies, and how many of those were dropped."""
    items = list(every_item())
    copies = near_copies(items, evaluation_texts())
    return [item for item in items if item.number not in copies], len(copies)
