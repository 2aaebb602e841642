"""A cache for the keys and values of prefixes, bounded in bytes. Pure.

Entries are found by token ids, so they are exact. A prefix is cached in parts that build on each
other: system prompt and instruction, which every request of a model has; then the query. There are
two shelves:

- *Awaited* parts: pairs that are not scored yet need them. A part stays until the last of these
  pairs has been scored or dropped, since otherwise each batch of a request would compute its query
  anew. It stays for a few batches more, as the next job of the request may still be on its way.
  This shelf has four times the bound. Beyond that the prefix used last stays, however long it is,
  as it had to lie in memory for its own batch anyway.
- Of all other parts those used last stay, for queries that are repeated.

So both together take at most five times the bound, or the bound and one prefix.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from shards.pairs import Part, Prefix

_AWAITED_TIMES = 4  # three queries of 3,000 tokens, with the usual bound and Qwen3-0.6B in bf16
_BATCHES_AFTER = 4  # others have their turn between two jobs of a request, a portion each


class PrefixCache:
    """The cached parts; a container of these."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._batches = 0
        self._awaited_at: dict[Part, int] = {}  # the last batch before which a part was awaited
        self._awaited = _Shelf(_AWAITED_TIMES * most_bytes, spares_last=True)
        self._others = _Shelf(most_bytes)

    def __len__(self) -> int:
        return len(self._awaited.states) + len(self._others.states)

    def __contains__(self, part: object) -> bool:
        return part in self._awaited.states or part in self._others.states

    @property
    def held_bytes(self) -> int:
        """The size of all cached states."""
        return self._awaited.held_bytes + self._others.held_bytes

    def get(self, part: Part) -> Any | None:
        """Return the states of a part, which is now the one used last; `None` if it is absent."""
        shelf = self._awaited if part in self._awaited.states else self._others
        return shelf.use(part) if part in shelf.states else None

    def put(self, part: Part, states: Any) -> None:
        """Cache the states of a part (any object with `nbytes`, as a tensor), if there is room."""
        if part in self:
            return
        if part in self._awaited_at:
            self._awaited.put(part, states)
            self._awaited.shrink()
        else:
            self._set_aside(part, states)

    def set_awaited(self, prefixes: Iterable[Prefix]) -> None:
        """Take the prefixes of all pairs that are not scored yet; called before each batch."""
        self._batches += 1
        awaited = {part: self._batches for prefix in prefixes for part in prefix.parts}
        self._awaited_at |= awaited
        self._release(self._batches - _BATCHES_AFTER)
        for part in [part for part in awaited if part in self._others.states]:
            self._awaited.put(part, self._others.take(part))
            self._awaited.states.move_to_end(part, last=False)  # it has not been used yet
        self._awaited.shrink()

    def release_others(self, prefixes: Iterable[Prefix]) -> None:
        """Release all but these awaited prefixes; called after a while without a batch."""
        self.set_awaited(prefixes)
        self._release(self._batches)

    def clear(self) -> None:
        """Drop all entries, awaited or not, to free their memory."""
        self._awaited.clear()
        self._others.clear()

    def _release(self, batch: int) -> None:
        """Set aside the parts that were not awaited since this batch."""
        self._awaited_at = {part: at for part, at in self._awaited_at.items() if at >= batch}
        for part in [part for part in self._awaited.states if part not in self._awaited_at]:
            self._set_aside(part, self._awaited.take(part))

    def _set_aside(self, part: Part, states: Any) -> None:
        if states.nbytes <= self._most_bytes:  # a larger one would only evict all the others
            self._others.put(part, states)
            self._others.shrink()


class _Shelf:
    """Parts within a bound.

    Attributes:
        states: their states, the part used last at the end.
        held_bytes: the size of these.
    """

    def __init__(self, most_bytes: int, *, spares_last: bool = False) -> None:
        self.states: OrderedDict[Part, Any] = OrderedDict()
        self.held_bytes = 0
        self._most_bytes = most_bytes
        self._spares_last = spares_last

    def use(self, part: Part) -> Any:
        self.states.move_to_end(part)
        return self.states[part]

    def put(self, part: Part, states: Any) -> None:
        self.states[part] = states
        self.held_bytes += states.nbytes

    def take(self, part: Part) -> Any:
        states = self.states.pop(part)
        self.held_bytes -= states.nbytes
        return states

    def shrink(self) -> None:
        """Evict the parts used longest ago until the rest fits; spare the last one, if asked."""
        spared = next(reversed(self.states), None) if self._spares_last else None
        excess = self.held_bytes - self._most_bytes
        evicted = []
        for part, states in self.states.items():
            if excess <= 0:
                break
            if spared is None or not spared.builds_on(part):
                evicted.append(part)
                excess -= states.nbytes
        for part in evicted:
            self.take(part)

    def clear(self) -> None:
        self.states.clear()
        self.held_bytes = 0
