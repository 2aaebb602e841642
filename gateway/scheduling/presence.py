"""The presence of a model in memory: its loads, and when it is unloaded. Pure: time is passed in.

A model is *wanted* from its start, or from the first request that needs it, until it has had no
request for `idle_seconds`, or until its operator unloads it. It leaves only while no request is
inside. A request that comes while its operator waits for it to become empty cancels the unloading;
one that comes when its shards are ending already waits until they are there again.

A *cold* request comes while no shard is ready, and waits for a load. The time of a load is taken
from the last one: a cold request whose deadline is before its end is refused at once, and told the
time that is left. It begins the load all the same, so that its next try finds the model.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

_OVERTIME_SHARE = 0.25
"""The part that is left of a load that takes longer than the last one, as a share of its time."""


@dataclass(slots=True)
class Presence:
    """The loads of one model.

    Attributes:
        is_wanted: whether it is loaded, or to be loaded.
        is_leaving: whether its operator has unloaded it, and requests are still inside.
        loads: the loads that were begun because it was wanted.
        cold_requests: the requests that had to wait for one.
        cold_seconds: the time that they have waited.
        load_seconds: the time of the last load until its first shard was ready; 0 if unknown.
        loaded_since: seconds when the last load ended.
        last_use: seconds when a request was last inside.
    """

    is_wanted: bool
    is_leaving: bool = False
    loads: int = 0
    cold_requests: int = 0
    cold_seconds: float = 0.0
    load_seconds: float = 0.0
    loaded_since: float = 0.0
    last_use: float = 0.0
    _loading_since: float | None = None
    _cold: dict[int, float] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def want(self, now: float) -> bool:
        """Have the model loaded; return whether that is a change."""
        self.is_leaving = False
        self.last_use = now
        if self.is_wanted:
            return False
        self.is_wanted = True
        self.loads += 1
        self._loading_since = now
        return True

    @property
    def is_loading(self) -> bool:
        """True from the time when it is wanted until its first shard is ready."""
        return self._loading_since is not None

    def begin_load(self, now: float) -> None:
        """Note that a load begins, maybe after a wait for room."""
        self._loading_since = now

    def withdraw(self) -> None:
        """Note that it is wanted no longer, before its load has begun."""
        self.loads -= 1
        self.leave()

    def is_loaded(self, now: float) -> float | None:
        """Note that a shard is ready; return the time of the load if this one ended it."""
        if self._loading_since is None:
            return None
        self.load_seconds = now - self._loading_since
        self.end_load(now)
        return self.load_seconds

    def end_load(self, now: float) -> None:
        """Note that a load has ended or was given up, whose time is then not that of a load."""
        self._loading_since = None
        self.loaded_since = now
        for number in list(self._cold):
            self.depart(number, now)
        self.used(now)

    def leave(self) -> None:
        """Note that the model is unloaded."""
        self.is_wanted = self.is_leaving = False
        self._loading_since = None

    def used(self, now: float) -> None:
        """Note that a request was inside until now."""
        self.last_use = max(self.last_use, now)

    def arrive(self, now: float) -> int:
        """Count a request, if it is cold; return its number for `depart`."""
        number = next(self._numbers)
        if self._loading_since is not None:
            self.cold_requests += 1
            self._cold[number] = now
        return number

    def depart(self, number: int, now: float) -> None:
        """Note that a request has left, or need not wait any longer."""
        self.used(now)
        if (since := self._cold.pop(number, None)) is not None:
            self.cold_seconds += now - since

    def is_due(self, now: float, idle_seconds: float) -> bool:
        """Return whether an empty model that is ready is to leave now; 0 seconds mean never."""
        if not self.is_wanted or self._loading_since is not None:
            return False
        return bool(idle_seconds) and now - self.last_use >= idle_seconds

    def seconds_left(self, now: float) -> float:
        """Return the time until a load that was begun ends; 0 if that is unknown."""
        if self._loading_since is None or not self.load_seconds:
            return 0.0
        gone = now - self._loading_since
        return max(self.load_seconds - gone, gone * _OVERTIME_SHARE)
