"""Training lists: a query, the document that answers it, and documents that do not.

Kinds of query. *Asked*: the sources' own questions and titles. *Cut out* (inverse cloze): a
sentence of a passage asks for its passage, from which it is mostly taken away. *Keywords*: a few
weighty words of a passage, bare or inside a question's frame. *Named*: a word or two of WordNet
asks for its gloss. *Group*: some everyday words ask for others that belong to them.

The negatives come from the head of a stemmed BM25 ranking, deep or shallow, so that common words
alone do not decide, and from anywhere, so that hundreds of candidates do no harm; a question that
was written with a wrong answer always meets it. Some documents are cut short and some joined with
another, so that length says nothing.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from .bm25 import Bm25
from .pairs import Ids, encode

Draw = tuple[Ids, int, Ids, int | None]  # query, right passage, its text for this list, wrong one

NEGATIVES = 5
HARD = [5, 5, 4, 3, 1]  # of the negatives, how many are from the head of the ranking
HARD_DEPTHS = [20, 60, 100]

FRAMES = {
    "en": [
        "{}", "{}", "{}", "what is {}", "how to {}", "how do I {}?", "why {}", "who {}",
        "where is {}", "when {}", "{} explained", "can you tell me about {}", "which {}",
        "what does {} mean?",
    ],
    "ru": [
        "{}", "{}", "{}", "что такое {}", "как {}", "почему {}", "кто {}", "где {}", "когда {}",
        "сколько {}", "расскажи про {}", "какой {}", "зачем {}", "что значит {}?",
    ],
}  # fmt: skip

# How often each kind of query is drawn from each source.
MIXTURE = {
    ("asked", "qed-nq"): 18,
    ("asked", "php-en"): 6,
    ("asked", "php-ru"): 7,
    ("asked", "pubmedqa"): 3,
    ("asked", "koziev-qa"): 8,
    ("asked", "written-en"): 12,
    ("asked", "written-ru"): 14,
    ("cut", "qed-nq"): 8,
    ("cut", "php-en"): 2,
    ("cut", "php-ru"): 4,
    ("cut", "pubmedqa"): 3,
    ("keywords", "qed-nq"): 5,
    ("keywords", "php-en"): 2,
    ("keywords", "php-ru"): 4,
    ("keywords", "pubmedqa"): 2,
    ("keywords", "koziev-qa"): 4,
    ("named", "wordnet"): 5,
    ("group", "lexicon-en"): 4,
    ("group", "lexicon-ru"): 5,
}
KEEP_SENTENCE = 0.2

SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-ZА-ЯЁ0-9\"«])")


@dataclass(frozen=True)
class Passage:
    source: str
    language: str
    text: str


@dataclass(frozen=True)
class Asked:
    query: str
    passage: int
    wrong: int | None = None  # the passage written to be taken for it


@dataclass(frozen=True)
class TrainingList:
    """Token ids; the first document is the right one."""

    query: Ids
    documents: list[Ids]


class ListMaker:
    """Draws lists without end; the same seed draws the same lists."""

    def __init__(
        self,
        passages: Sequence[Passage],
        asked: Sequence[Asked],
        tokenizer: Tokenizer,
        weights: Sequence[float],
        seed: int,
        lengths: Sequence[int],
    ) -> None:
        self.passages, self.tokenizer, self.weights = passages, tokenizer, weights
        self.random, self.lengths = random.Random(seed), lengths
        self.encoded = encode(tokenizer, [p.text for p in passages])
        self.groups = group_by_source(passages)
        self.asked: dict[str, list[Asked]] = {source: [] for source in self.groups}
        for question in asked:
            self.asked[passages[question.passage].source].append(question)
        self.indexes = {
            source: Bm25([spell(self.encoded[n]) for n in members], str.split)
            for source, members in self.groups.items()
        }

    def draw(self) -> TrainingList:
        """The next list; a draw that comes to nothing (no sentence, no token) is drawn again."""
        while True:
            kind, source = self.random.choices(list(MIXTURE), list(MIXTURE.values()))[0]
            drawn = getattr(self, f"draw_{kind}")(source)
            if drawn and drawn[0] and drawn[2]:
                return self.build(*drawn)

    def draw_asked(self, source: str) -> Draw | None:
        question = self.random.choice(self.asked[source])
        [query] = encode(self.tokenizer, [question.query])
        return query, question.passage, self.encoded[question.passage], question.wrong

    def draw_named(self, source: str) -> Draw | None:
        question = self.random.choice(self.asked[source])
        words = question.query.split(", ")
        chosen = self.random.sample(words, min(len(words), self.random.choice([1, 1, 2, 3])))
        [query] = encode(self.tokenizer, [" ".join(chosen)])
        return query, question.passage, self.encoded[question.passage], None

    def draw_cut(self, source: str) -> Draw | None:
        """A sentence of a passage asks for the passage; mostly it is taken out of it."""
        right = self.random.choice(self.groups[source])
        parts = sentences(self.passages[right].text)
        if len(parts) < 2:
            return None
        asked = self.random.randrange(len(parts))
        kept = self.random.random() < KEEP_SENTENCE
        rest = [part for n, part in enumerate(parts) if kept or n != asked]
        query, document = encode(self.tokenizer, [parts[asked], " ".join(rest)])
        return query[: self.random.choice([6, 12, 24, 48])], right, document, None

    def draw_keywords(self, source: str) -> Draw | None:
        right = self.random.choice(self.groups[source])
        document = self.encoded[right]
        if len(document) < 3:
            return None
        frame = self.random.choice(FRAMES[self.passages[right].language])
        before, after = encode(self.tokenizer, frame.split("{}"))
        return [*before, *self.keywords(document), *after], right, document, None

    def draw_group(self, source: str) -> Draw | None:
        """Words of a lexicon line ask for the other words of the line."""
        right = self.random.choice(self.groups[source])
        words = self.passages[right].text.split()
        if len(words) < 2:
            return None
        self.random.shuffle(words)
        count = 1 if len(words) < 5 else self.random.choice([1, 2, 3])
        start = 0 if self.random.random() < KEEP_SENTENCE else count
        query, document = encode(
            self.tokenizer, [" ".join(words[:count]), " ".join(words[start : count + 10])]
        )
        return query, right, document, None

    def best(self, query: Ids, source: str) -> list[int]:
        """Hard negatives: the source's passages that share the most weighty tokens."""
        scores = self.indexes[source].scores(spell(query))
        depth = min(self.random.choice(HARD_DEPTHS), len(scores) - 1)
        head = np.argpartition(-scores, depth)[:depth]
        members = self.groups[source]
        return [members[n] for n in head if scores[n] > 0]

    def build(self, query: Ids, right: int, document: Ids, wrong: int | None) -> TrainingList:
        source = self.passages[right].source
        hard = [n for n in self.best(query, source) if self.encoded[n] != self.encoded[right]]
        chosen = self.random.sample(hard, min(self.random.choice(HARD), len(hard)))
        if wrong is not None:
            chosen = [wrong, *(n for n in chosen if n != wrong)][:NEGATIVES]
        while len(chosen) < NEGATIVES:
            group = self.groups[self.random.choice([source, *self.near(source)])]
            number = self.random.choice(group)
            if self.encoded[number] != self.encoded[right]:
                chosen.append(number)
        documents = [document, *(self.encoded[n] for n in chosen)]
        return TrainingList(query[:48], [self.vary(d) for d in documents])

    def near(self, source: str) -> list[str]:
        language = self.passages[self.groups[source][0]].language
        return [s for s, m in self.groups.items() if self.passages[m[0]].language == language]

    def vary(self, document: Ids) -> Ids:
        """Cut to a random length; now and then with a stranger's text in front or behind."""
        longest = self.random.choice(self.lengths)
        if len(document) < 60 and self.random.random() < 0.15:
            other = self.encoded[self.random.randrange(len(self.encoded))][:60]
            document = document + other if self.random.random() < 0.5 else other + document
        return document[:longest]

    def keywords(self, ids: Ids) -> Ids:
        """One to five different tokens of a passage, the weighty ones more often."""
        distinct = list(dict.fromkeys(ids))
        chances = np.array([self.weights[token] for token in distinct]) ** 2 + 1e-6
        count = min(len(distinct), self.random.choice([1, 2, 2, 3, 3, 4, 5]))
        draw = np.random.default_rng(self.random.randrange(1 << 30))
        chosen = draw.choice(len(distinct), count, replace=False, p=chances / chances.sum())
        return [distinct[n] for n in chosen]


def spell(ids: Ids) -> str:
    return " ".join(map(str, ids))


def group_by_source(passages: Sequence[Passage]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for number, passage in enumerate(passages):
        groups.setdefault(passage.source, []).append(number)
    return groups


def sentences(text: str) -> list[str]:
    return [part for part in SENTENCE.split(text) if len(part) > 20]
