"""The budget of lost jobs that are scored again. Pure: time is passed in, in seconds.

A job whose shard has ended is scored by another one: that is work on top of the work there is. Once
retries are the rule rather than the exception, the work done twice keeps the rest from being done,
and everything ends in time-outs. So within ten seconds at most a fifth of a model's jobs, and a few
a second for each of its replicas, are scored again; a lost job beyond that fails at once.

The few are the cost of the loss of one full replica, so that a death by itself fails no request
however few jobs there were before. The numbers are those of Finagle's retry budget.
"""

from collections import deque
from dataclasses import dataclass

WINDOW_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The jobs that may be scored again.

    Attributes:
        share: of the jobs of the last ten seconds.
        per_second: beside that, for each replica.
    """

    share: float = 0.2
    per_second: float = 10.0


class RetryBudget:
    """The jobs of one model that may be scored again.

    Attributes:
        spent: jobs scored again since the start.
        refused: jobs beyond the budget.
    """

    def __init__(self, policy: RetryPolicy, replicas: int) -> None:
        self.spent = 0
        self.refused = 0
        self._policy = policy
        self._floor = policy.per_second * WINDOW_SECONDS * replicas
        self._jobs = _Recent()
        self._retries = _Recent()

    def add_job(self, now: float) -> None:
        """Count a job."""
        self._jobs.add(now)

    def take(self, now: float) -> bool:
        """Return whether one more lost job may be scored again; if so, count it."""
        if self._take(now, self.most(now)):
            return True
        self.refused += 1
        return False

    def take_to_doubt(self, now: float) -> bool:
        """Return whether a failed job may be scored again; half of the budget is for lost jobs."""
        return self._take(now, self.most(now) / 2)

    def _take(self, now: float, most: float) -> bool:
        if self._retries.count(now) + 1 > most:
            return False
        self._retries.add(now)
        self.spent += 1
        return True

    def most(self, now: float) -> float:
        """Return the most jobs that may be scored again within ten seconds."""
        return self._floor + self._policy.share * self._jobs.count(now)


class _Recent:
    """The number of events in the last ten seconds, counted by the second."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, int]] = deque()
        self._total = 0

    def add(self, now: float) -> None:
        second, before = int(now), 0
        if self._seconds and self._seconds[-1][0] == second:
            before = self._seconds.pop()[1]
        self._seconds.append((second, before + 1))
        self._total += 1
        self._forget(now)

    def count(self, now: float) -> int:
        self._forget(now)
        return self._total

    def _forget(self, now: float) -> None:
        while self._seconds and self._seconds[0][0] <= now - WINDOW_SECONDS - 1:
            self._total -= self._seconds.popleft()[1]
