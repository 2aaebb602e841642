"""Similarity of documents to those that were refused: variations of one poison. Pure.

A text that ends shards becomes a new text when one word of it is changed, and ends two more shards
before it is refused. So when several refused documents have much in common, a document that has as
much in common with two of them is scored in isolation from the start: not refused, only kept away
from other jobs.

The words at both ends of a document are compared, as hashes that no other process can compute; no
text is kept. Nothing is compared before there are enough refused documents.
"""

from collections import deque

_ENDS = 32  # words
_MOST = 16  # refused documents
_ENOUGH = 3  # refused documents, before any other is compared
_SIMILAR = 2  # of them
_COMMON_SHARE = 0.5
_COMMON_WORDS = 2
_TTL_SECONDS = 600.0


class RefusedTexts:
    """The refused documents of the last ten minutes, up to a number."""

    def __init__(self) -> None:
        self._refused: deque[tuple[float, frozenset[int]]] = deque(maxlen=_MOST)

    def add(self, document: str, now: float) -> None:
        """Remember a document that was refused."""
        self._refused.append((now, _words(document)))

    def are_enough(self, now: float) -> bool:
        """Return whether there are enough of them to compare with."""
        while self._refused and self._refused[0][0] <= now - _TTL_SECONDS:
            self._refused.popleft()
        return len(self._refused) >= _ENOUGH

    def resemble(self, document: str) -> bool:
        """Return whether a document has at least half of its words in common with two of them."""
        words = _words(document)
        similar = 0
        for _, refused in self._refused:
            enough = max(_COMMON_WORDS, _COMMON_SHARE * min(len(words), len(refused)))
            similar += len(words & refused) >= enough
            if similar == _SIMILAR:
                return True
        return False


def _words(document: str) -> frozenset[int]:
    start = document[: _ENDS * 16].split(maxsplit=_ENDS)[:_ENDS]
    end = document[-_ENDS * 16 :].split()[-_ENDS:]
    return frozenset(map(hash, (*start, *end)))  # str hashes are keyed anew in each process
