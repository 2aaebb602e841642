"""BM25, the ranking to beat: plain words, or words stemmed by the Snowball stemmers."""

import importlib
import math
import re
from collections import Counter
from collections.abc import Callable

import numpy as np

Words = Callable[[str], list[str]]

WORD = re.compile(r"\w+")


def plain_words(text: str) -> list[str]:
    return WORD.findall(text.lower().replace("ё", "е"))


def stemmed_words(language: str) -> Words:
    """Words cut by the Snowball stemmer of the language, a stemmer we did not write."""
    snowball = importlib.import_module("snowballstemmer")  # untyped, and needed here alone
    stemmer = snowball.stemmer({"en": "english", "ru": "russian"}[language])
    return lambda text: list(stemmer.stemWords(plain_words(text)))


class Bm25:
    """An index of one collection, k1 0.9 and b 0.4 as in Lucene-based baselines."""

    def __init__(
        self, documents: list[str], words: Words = plain_words, k1: float = 0.9, b: float = 0.4
    ) -> None:
        self.words = words
        counts = [Counter(words(document)) for document in documents]
        lengths = np.array([max(1, c.total()) for c in counts])
        damping = k1 * (1 - b + b * lengths / lengths.mean())
        postings: dict[str, list[tuple[int, float]]] = {}
        for number, count in enumerate(counts):
            for word, times in count.items():
                weight = times * (k1 + 1) / (times + damping[number])
                postings.setdefault(word, []).append((number, weight))
        self.size = len(documents)
        self.postings = {w: self.weighted(found) for w, found in postings.items()}

    def weighted(self, found: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
        numbers, weights = zip(*found, strict=True)
        idf = math.log(1 + (self.size - len(found) + 0.5) / (len(found) + 0.5))
        return np.array(numbers), np.array(weights) * idf

    def scores(self, query: str) -> np.ndarray:
        total = np.zeros(self.size)
        for word in self.words(query):
            if word in self.postings:
                numbers, weights = self.postings[word]
                total[numbers] += weights
        return total

    def best(self, query: str, count: int) -> list[int]:
        """The numbers of the `count` best documents, the earlier document first in a tie."""
        return [int(number) for number in np.argsort(-self.scores(query), kind="stable")[:count]]
