"""The counts of a model's answers: by shard, of its scores, and in the metrics. Pure.

Times are passed in, in monotonic seconds.
"""

import math
from collections import deque
from collections.abc import Iterable, Sequence

from gateway.domain.request import Scored
from gateway.domain.timeline import job_times
from gateway.scheduling.dispatch import QueuedJob
from gateway.supervision.supervisor import Supervisor
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.score_drift import ScoreLog
from shards.wire.messages import Scores

_RATE_SECONDS = 10.0
_LATENCIES = 512


class Tally:
    """The counts of one shard since the gateway started, and its last latencies.

    Attributes:
        documents: documents scored.
        tokens: tokens read for them.
    """

    def __init__(self) -> None:
        self.documents = 0
        self.tokens = 0
        self._latencies: deque[float] = deque(maxlen=_LATENCIES)
        self._recent: deque[tuple[float, int]] = deque()

    def add(self, *, documents: int, tokens: int, seconds: float, now: float) -> None:
        """Count one answered job that took `seconds`."""
        self.documents += documents
        self.tokens += tokens
        self._latencies.append(seconds)
        self._recent.append((now, documents))
        self._forget(now)

    def documents_per_second(self, now: float) -> float:
        """Return the rate over the last ten seconds."""
        self._forget(now)
        return sum(documents for _, documents in self._recent) / _RATE_SECONDS

    def latency_seconds(self, *quantiles: float) -> tuple[float, ...]:
        """Return quantiles of the last latencies, which are sorted once; 0 before the first."""
        ordered = sorted(self._latencies) or [0.0]
        return tuple(ordered[min(len(ordered) - 1, int(each * len(ordered)))] for each in quantiles)

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0][0] <= now - _RATE_SECONDS:
            self._recent.popleft()


class Accounting:
    """The counts of one model.

    Attributes:
        tallies: those of each shard.
        scores: the distribution of its margins.
        cleaned: the number of texts that were cleaned before they were scored.
    """

    def __init__(self, model: str, shards: Iterable[Supervisor], metrics: Metrics) -> None:
        self.tallies = {shard: Tally() for shard in shards}
        self.scores = ScoreLog()
        self.cleaned = 0
        self._model = model
        self._metrics = metrics

    def job_answered(self, queued: QueuedJob, scores: Scores, now: float) -> None:
        """Count a job that a shard has answered."""
        assert queued.assignment is not None  # or there would be no answer
        shard = queued.assignment[0]
        self.tallies[shard].add(
            documents=len(scores.margins),
            tokens=sum(scores.tokens),
            seconds=now - queued.sent,
            now=now,
        )
        name = shard.spec.name
        queued.job.timeline.note(job_times(name, queued.joined, queued.sent, now, scores))
        queued_seconds = queued.sent - queued.joined
        self._metrics.job_answered(self._model, name, scores, queued_seconds=queued_seconds)

    def result_given(self, scored: Sequence[Scored], tied: int, *, cleaned: int = 0) -> None:
        """Count the scores of a result: so many documents are tied, so many texts were cleaned."""
        finite = [document for document in scored if math.isfinite(document.margin)]
        margins = [document.margin for document in finite]
        truncated = sum(document.truncated for document in scored)
        self.scores.add(margins, truncated=truncated, tied=tied)
        scores = [document.relevance_score for document in finite]
        self._metrics.result_given(self._model, scores, tied=tied)
        self.texts_cleaned(cleaned)

    def texts_cleaned(self, texts: int) -> None:
        """Count texts that were cleaned before they were scored."""
        self.cleaned += texts
        self._metrics.texts_cleaned(self._model, texts)
