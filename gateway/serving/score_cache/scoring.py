"""One request that is being scored through the score cache."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from gateway.domain.request import Calibration, Caller, RerankRequest, Scored, Source
from gateway.domain.timeline import Timeline
from gateway.scheduling.model import Model
from gateway.serving.score_cache.score_cache import NO_IDENTITY, CacheUse, Identity, LateScores
from gateway.serving.unscored import below, unscored
from shards.wire.messages import Scores


@dataclass(slots=True, kw_only=True)
class Scoring:
    """One request that is being scored.

    Attributes:
        request: the request.
        model: the model that scores it.
        deadline: monotonic seconds.
        remaining_seconds: the time until then when it came.
        caller: the caller that pays for it.
        timeline: the record of the times of its jobs.
        use: its use of the cache.
        is_partial: whether it is answered at its deadline with what has a score by then.
        identity: that of the model when the keys were made.
        keys: the key of each document's pair.
        found: the scores so far, by key.
        elsewhere: the keys of pairs that other gateways score now.
        late: the scores that a store has not given in time, if there may be some.
        answers: the answers to its own jobs.
    """

    request: RerankRequest
    model: Model
    deadline: float
    remaining_seconds: float
    caller: Caller
    timeline: Timeline
    use: CacheUse
    is_partial: bool = False
    identity: Identity = NO_IDENTITY
    keys: Sequence[bytes] = ()
    found: dict[bytes, Scored] = field(default_factory=dict)
    elsewhere: set[bytes] = field(default_factory=set)
    late: LateScores | None = None
    answers: list[Scores] = field(default_factory=list)

    @property
    def left_seconds(self) -> float:
        """The time until the deadline now."""
        return max(0.0, self.deadline - time.monotonic())

    @property
    def missing(self) -> dict[bytes, int]:
        """The keys without a score, and the first document of each."""
        first: dict[bytes, int] = {}
        for index, key in enumerate(self.keys):
            if key not in self.found:
                first.setdefault(key, index)
        return first

    def scored(self, scale: Calibration) -> tuple[Scored, ...]:
        """Return the scores of all documents, in input order; late ones follow in that order."""
        scored = list(self._each(scale))
        if len(scored) < len(self.keys):
            found = {one.index for one in scored}
            late = [index for index in range(len(self.keys)) if index not in found]
            scored += unscored(late, below(scored), scale)
            scored.sort(key=lambda one: one.index)
        return tuple(scored)

    def _each(self, scale: Calibration) -> Iterator[Scored]:
        seen: set[bytes] = set()
        for index, key in enumerate(self.keys):
            if (score := self.found.get(key)) is None:
                continue
            is_repeated = score.source == "computed" and key in seen
            seen.add(key)
            source: Source = "duplicate" if is_repeated else score.source
            yield replace(score, index=index, calibration=scale, source=source)
