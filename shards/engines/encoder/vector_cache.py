"""The vectors of texts that a bi-encoder has encoded before, those used longest ago dropped first.

One block of memory holds the vectors, so that those of a batch are read in one step. A text is
known by a hash of its token ids: the cache holds no text.
"""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b

import torch

_MIB = 1 << 20
_KEY_BYTES = 16
_OVERHEAD_BYTES = 256  # of an entry's key and place


def text_key(token_ids: Sequence[int]) -> bytes:
    """Return the key of a text, by its token ids."""
    return blake2b(repr(token_ids).encode(), digest_size=_KEY_BYTES).digest()


class VectorCache:
    """Vectors by the keys of their texts, within a bound of memory."""

    def __init__(self, megabytes: int) -> None:
        """Take the most MiB; 0 for none."""
        self._bytes = megabytes * _MIB
        self._rows: torch.Tensor | None = None
        self._places: OrderedDict[bytes, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._places)

    def read(self, keys: Sequence[bytes]) -> tuple[torch.Tensor, list[int]]:
        """Return the known vectors of these texts in order, and the places of the other texts."""
        places, unknown = [], []
        for at, key in enumerate(keys):
            if key in self._places:
                self._places.move_to_end(key)
                places.append(self._places[key])
            else:
                unknown.append(at)
        return torch.empty(0) if self._rows is None else self._rows[places], unknown

    def keep(self, keys: Sequence[bytes], vectors: torch.Tensor) -> None:
        """Keep the vectors of texts, `[texts, width]`, but for those with numbers not finite."""
        most = self._bytes // (vectors.shape[1] * vectors.element_size() + _OVERHEAD_BYTES)
        if self._rows is None:
            self._rows = vectors.new_empty(most, vectors.shape[1])  # memory comes with use
        is_finite = vectors.isfinite().all(1).tolist()
        kept = [row for row in range(len(keys)) if is_finite[row]][:most]
        places = [self._place(keys[row]) for row in kept]
        if places:
            self._rows[places] = vectors[kept]

    def _place(self, key: bytes) -> int:
        """Return the place for a text, that of the one used longest ago if none is free."""
        assert self._rows is not None
        place = self._places.pop(key, None)
        if place is None and len(self._places) == len(self._rows):
            _, place = self._places.popitem(last=False)
        self._places[key] = len(self._places) if place is None else place
        return self._places[key]
