"""Figures: nDCG@10, MRR@10 and top-1 of models and baselines on the held-out sets.

Re-ranking: the candidates of a query are the best 20 documents of plain BM25 over the held-out
documents of the same set, and every ranker orders the same candidates. Where BM25 did not find the
right document, no ranker can, and the query counts 0. The everyday list has a few documents of
its own per query. Equal scores keep the candidates' order only by chance: ties are
broken at random with a fixed seed, so a constant score is worth random order.
"""

import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .bm25 import Bm25, plain_words, stemmed_words
from .scoring import Reranker
from .sources import Pair, Split

HERE = Path(__file__).parent
CANDIDATES = 20
RESAMPLES = 2000


@dataclass(frozen=True)
class Question:
    query: str
    documents: list[str]
    right: int | None  # None: not among the candidates


@dataclass(frozen=True)
class Set:
    name: str
    language: str
    questions: list[Question]
    collection: list[str]  # the documents BM25 takes its statistics from


@dataclass(frozen=True)
class Figures:
    """Means over the queries of one set, and the per-query nDCG@10 they come from."""

    ndcg: float
    low: float
    high: float
    mrr: float
    top1: float
    each: np.ndarray


Ranker = Callable[[Set], list[Sequence[float]]]


def retrieval_set(
    name: str, pairs: Sequence[Pair], split: Split, candidates: int = CANDIDATES
) -> Set:
    chosen = [p for p in pairs if p.source == name and p.split == split]
    documents = list(dict.fromkeys(p.document for p in chosen))
    index = Bm25(documents)
    place = {document: number for number, document in enumerate(documents)}
    questions = []
    for pair in chosen:
        best = index.best(pair.query, candidates)
        right = place[pair.document]
        found = best.index(right) if right in best else None
        questions.append(Question(pair.query, [documents[n] for n in best], found))
    return Set(name, chosen[0].language, questions, documents)


def everyday_set(language: str, name: str = "everyday") -> Set:
    """`everyday`: a third of the queries meet a document that shares a word and is wrong;
    `everyday-hard`: nearly all do, and the right document often shares none."""
    lines = (HERE / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    records = [record for record in map(json.loads, lines) if record["language"] == language]
    questions = [Question(r["query"], r["documents"], r["right"]) for r in records]
    collection = [document for question in questions for document in question.documents]
    return Set(f"{name}-{language}", language, questions, collection)


def written_set(name: str, pairs: Sequence[Pair], strangers: int = 3) -> Set:
    """Shaped like the everyday list, out of the `choice` part of the texts written for training:
    the answer, the text that shares words with the question, answers to other questions."""
    chosen = [p for p in pairs if p.source == name and p.split == "choice"]
    collection = list(dict.fromkeys(text for p in chosen for text in (p.document, p.wrong)))
    chance, questions = random.Random(0), []
    for pair in chosen:
        others = [text for text in collection if text not in (pair.document, pair.wrong)]
        documents = [pair.document, pair.wrong, *chance.sample(others, strangers)]
        questions.append(Question(pair.query, documents, 0))
    return Set(name, chosen[0].language, questions, collection)


def model_ranker(reranker: Reranker) -> Ranker:
    """Each text is encoded once; all rows of the set are scored in batches of like length."""

    def rank(held: Set) -> list[Sequence[float]]:
        texts = list(dict.fromkeys(d for q in held.questions for d in q.documents))
        encoded = dict(zip(texts, reranker.encode(texts), strict=True))
        queries = reranker.encode([q.query for q in held.questions])
        rows = [
            reranker.layout.row(query, encoded[document])
            for query, question in zip(queries, held.questions, strict=True)
            for document in question.documents
        ]
        margins = iter(reranker.score(rows))
        return [[next(margins) for _ in question.documents] for question in held.questions]

    return rank


def bm25_ranker(stemmed: bool) -> Ranker:
    def rank(held: Set) -> list[Sequence[float]]:
        words = stemmed_words(held.language) if stemmed else plain_words
        index = Bm25(held.collection, words)
        place = {document: number for number, document in enumerate(held.collection)}
        found: list[Sequence[float]] = []
        for question in held.questions:
            scores = index.scores(question.query)
            found.append([float(scores[place[document]]) for document in question.documents])
        return found

    return rank


def random_ranker(held: Set) -> list[Sequence[float]]:
    return [[0.0] * len(question.documents) for question in held.questions]


def rank_of_right(scores: Sequence[float], right: int | None, chance: np.random.Generator) -> int:
    """1 for the first place; 0 where the right document is not a candidate."""
    if right is None:
        return 0
    order = np.lexsort((chance.random(len(scores)), -np.asarray(scores)))
    return int(np.flatnonzero(order == right)[0]) + 1


def figures(held: Set, scores: Iterable[Sequence[float]]) -> Figures:
    chance = np.random.default_rng(0)
    ranks = np.array(
        [rank_of_right(s, q.right, chance) for s, q in zip(scores, held.questions, strict=True)]
    )
    near = (ranks > 0) & (ranks <= 10)
    gain = np.where(near, 1 / np.log2(np.maximum(ranks, 1) + 1), 0.0)
    low, high = interval(gain)
    mrr = float(np.where(near, 1 / np.maximum(ranks, 1), 0.0).mean())
    return Figures(float(gain.mean()), low, high, mrr, float((ranks == 1).mean()), gain)


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of the mean, queries drawn with replacement."""
    chance = np.random.default_rng(0)
    draws = chance.integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(values[draws].mean(1), [2.5, 97.5])
    return float(low), float(high)


def baselines() -> dict[str, Ranker]:
    return {
        "random": random_ranker,
        "BM25": bm25_ranker(stemmed=False),
        "BM25, stemmed": bm25_ranker(stemmed=True),
    }


def misses(rank: Ranker, sets: Sequence[Set]) -> list[str]:
    """Queries whose right document is not first, each with the document that is."""
    missed = []
    for held in sets:
        for question, scores in zip(held.questions, rank(held), strict=True):
            best = max(range(len(scores)), key=scores.__getitem__)
            if best != question.right:
                missed.append(f"{held.name}: {question.query} -> {question.documents[best]}")
    return missed
