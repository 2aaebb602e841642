"""Keys and values of prefixes that were computed before, the last used ones, in so many bytes. Pure.

What is kept is found by token ids, so it is exact. A prefix is kept in parts that build on each
other: system prompt and instruction, which every request of a model has; then the query. A part is
named by all tokens up to its end and by where it starts, for its numbers depend on all of them.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from shards.pairs import Prefix


@dataclass(frozen=True, slots=True)
class Part:
    """The tokens from `start` to the end of `token_ids`, after those before."""

    start: int
    token_ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.token_ids) - self.start


def parts_of(prefix: Prefix | None) -> Iterator[Part]:
    """Yield the parts of a prefix, the first ones first; none of them is empty."""
    if prefix is not None:
        for start, end in pairwise((0, *prefix.ends)):
            if end > start:
                yield Part(start, prefix.token_ids[:end])


class PrefixCache:
    """The parts that were used last.

    Attributes:
        held_bytes: how much they take.
    """

    def __init__(self, most_bytes: int) -> None:
        self.held_bytes = 0
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Part, Any] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, part: Part) -> Any | None:
        """Return what is kept of a part, which is now the one used last."""
        if part not in self._kept:
            return None
        self._kept.move_to_end(part)
        return self._kept[part]

    def keep(self, part: Part, states: Any) -> None:
        """Keep the states of a part (a tensor, or anything that knows `nbytes`), if it fits at all."""
        if part in self._kept or states.nbytes > self._most_bytes:
            return
        self._kept[part] = states
        self.held_bytes += states.nbytes
        while self.held_bytes > self._most_bytes:
            _, dropped = self._kept.popitem(last=False)
            self.held_bytes -= dropped.nbytes

    def clear(self) -> None:
        """Keep nothing any more; to give memory back."""
        self._kept.clear()
        self.held_bytes = 0
