"""Keys and values of prefixes that were computed before, in so many bytes. Pure.

What is kept is found by token ids, so it is exact. A prefix is kept in parts that build on each
other: system prompt and instruction, which every request of a model has; then the query. There are
two shelves:

- What is *awaited*: pairs that are not scored yet will need it. It stays until the last of them has been
  scored or dropped, for without it each batch of a request would compute its query anew; and for a few
  batches more, as the next job of the request may still be on its way. It has four times the bound;
  beyond that the prefix used last stays, however long it is, as it had to lie in memory for its own
  batch anyway.
- Of all the rest the parts used last stay, for queries that are repeated.

So both together take at most five times the bound, or the bound and one prefix.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from shards.pairs import Part, Prefix

_AWAITED_TIMES = 4  # three queries of 3,000 tokens, with the usual bound and Qwen3-0.6B in bf16
_BATCHES_AFTER = 4  # others have their turn between two jobs of a request, a portion each


class PrefixCache:
    """What is kept of parts; a container of these."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._holds = 0
        self._wanted: dict[Part, int] = {}  # when: by the number of `hold`
        self._awaited = _Shelf(_AWAITED_TIMES * most_bytes, spares_last=True)
        self._others = _Shelf(most_bytes)

    def __len__(self) -> int:
        return len(self._awaited.states) + len(self._others.states)

    def __contains__(self, part: object) -> bool:
        return part in self._awaited.states or part in self._others.states

    @property
    def held_bytes(self) -> int:
        """How much all that is kept takes."""
        return self._awaited.held_bytes + self._others.held_bytes

    def get(self, part: Part) -> Any | None:
        """Return what is kept of a part, which is now the one used last."""
        shelf = self._awaited if part in self._awaited.states else self._others
        return shelf.use(part) if part in shelf.states else None

    def keep(self, part: Part, states: Any) -> None:
        """Keep the states of a part (a tensor, or anything that knows `nbytes`), if there is room."""
        if part in self:
            return
        if part in self._wanted:
            self._awaited.put(part, states)
            self._awaited.shrink()
        else:
            self._set_aside(part, states)

    def hold(self, awaited: Iterable[Prefix]) -> None:
        """Take the prefixes of all pairs that are not scored yet; to be called before each batch."""
        self._holds += 1
        wanted = {part: self._holds for prefix in awaited for part in prefix.parts}
        self._wanted |= wanted
        self._release(self._holds - _BATCHES_AFTER)
        for part in [part for part in wanted if part in self._others.states]:
            self._awaited.put(part, self._others.take(part))
            self._awaited.states.move_to_end(part, last=False)  # it has not been used yet
        self._awaited.shrink()

    def rest(self, awaited: Iterable[Prefix]) -> None:
        """Take the prefixes that are awaited all the same when there has been no batch for a while."""
        self.hold(awaited)
        self._release(self._holds)

    def clear(self) -> None:
        """Keep nothing that is there now, awaited or not; to give memory back."""
        self._awaited.clear()
        self._others.clear()

    def _release(self, hold: int) -> None:
        """Set aside what was not awaited since then."""
        self._wanted = {part: at for part, at in self._wanted.items() if at >= hold}
        for part in [part for part in self._awaited.states if part not in self._wanted]:
            self._set_aside(part, self._awaited.take(part))

    def _set_aside(self, part: Part, states: Any) -> None:
        if states.nbytes <= self._most_bytes:  # or it would only drive out all the others
            self._others.put(part, states)
            self._others.shrink()


class _Shelf:
    """Parts within a bound.

    Attributes:
        states: what is kept of each, the one used last at the end.
        held_bytes: how much they take.
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
        """Drop those used longest ago until the rest fits; not the last one, if it is spared."""
        spared = next(reversed(self.states), None) if self._spares_last else None
        excess = self.held_bytes - self._most_bytes
        doomed = []
        for part, states in self.states.items():
            if excess <= 0:
                break
            if spared is None or not spared.builds_on(part):
                doomed.append(part)
                excess -= states.nbytes
        for part in doomed:
            self.take(part)

    def clear(self) -> None:
        self.states.clear()
        self.held_bytes = 0
