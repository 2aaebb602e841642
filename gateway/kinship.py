"""Documents that resemble each other: variations of one poison. Pure.

Who changes a word of a text that ends shards has a new text, which ends two more before it is known.
So when several refused documents have much in common, a document that has as much in common with two of
them is scored alone before it has done anything: not refused, only kept away from the others.

Compared are the words at both ends of a document, as hashes that nobody outside this process can
compute; no text is kept. Nothing is compared as long as there is no family.
"""

from collections import deque

_ENDS = 32  # words
_MOST = 16  # refused documents
_FAMILY = 3  # refused documents that are needed before anybody is compared
_RELATIVES = 2
_COMMON_SHARE = 0.5
_COMMON_WORDS = 2
_TTL_SECONDS = 600.0


class Kinship:
    """The refused documents of the last ten minutes, as far as they are remembered."""

    def __init__(self) -> None:
        self._refused: deque[tuple[float, frozenset[int]]] = deque(maxlen=_MOST)

    def refused(self, document: str, now: float) -> None:
        """Remember a document that was refused."""
        self._refused.append((now, _words(document)))

    def is_wary(self, now: float) -> bool:
        """Whether there are enough of them to compare with."""
        while self._refused and self._refused[0][0] <= now - _TTL_SECONDS:
            self._refused.popleft()
        return len(self._refused) >= _FAMILY

    def resembles(self, document: str) -> bool:
        """Whether it has at least half of its words in common with two of them."""
        words = _words(document)
        relatives = 0
        for _, refused in self._refused:
            enough = max(_COMMON_WORDS, _COMMON_SHARE * min(len(words), len(refused)))
            relatives += len(words & refused) >= enough
            if relatives == _RELATIVES:
                return True
        return False


def _words(document: str) -> frozenset[int]:
    start = document[: _ENDS * 16].split(maxsplit=_ENDS)[:_ENDS]
    end = document[-_ENDS * 16 :].split()[-_ENDS:]
    return frozenset(map(hash, (*start, *end)))  # str hashes are keyed anew in each process
