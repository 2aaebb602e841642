"""BM25, the baseline: by bm25s, with the parameters of Lucene-based baselines.

k1 0.9 and b 0.4 are those of Anserini, the usual baseline on BEIR and MS MARCO. Words are the
matches of `\\w+` in lower case; with a language they are stemmed by its Snowball stemmer. Documents
with equal scores keep their order.
"""

import logging
import re
from collections.abc import Callable, Sequence

K1, B = 0.9, 0.4

_WORD = re.compile(r"\w+")


class Bm25:
    """An index of documents."""

    def __init__(self, documents: Sequence[str], language: str = "") -> None:
        import bm25s

        logging.getLogger("bm25s").setLevel(logging.WARNING)  # it logs every step of the index
        self._words = _stemmed(language) if language else _plain
        self._count = len(documents)
        self._index = bm25s.BM25(k1=K1, b=B)
        # a document without words would be a row without columns: give it a word that no query has
        words = [self._words(document) or [""] for document in documents]
        self._known = {word for each in words for word in each}
        self._index.index(words, show_progress=False)

    def scores(self, query: str) -> list[float]:
        """Return the score of each document; 0 for one without a word of the query."""
        words = [word for word in self._words(query) if word in self._known]
        if not words:
            return [0.0] * self._count
        found: list[float] = self._index.get_scores(words).tolist()
        return found

    def best(self, query: str, count: int) -> list[int]:
        """Return the indices of the best documents that have a word of the query."""
        scores = self.scores(query)
        found = [index for index, score in enumerate(scores) if score > 0]
        found.sort(key=lambda index: -scores[index])
        return found[:count]


def languages() -> tuple[str, ...]:
    """Return the languages that have a stemmer."""
    import snowballstemmer

    return tuple(snowballstemmer.algorithms())


def _plain(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _stemmed(language: str) -> Callable[[str], list[str]]:
    import snowballstemmer

    stemmer = snowballstemmer.stemmer(language)
    return lambda text: list(stemmer.stemWords(_plain(text)))
