"""Outlier detection: the trust in one replica at the moment. Pure: time is passed in, in seconds.

Three kinds of replicas are ready, but not as good as their siblings:

- *A replica that errs* while another one scores the same job is at fault. After five such errors in
  a streak, or more than a fifth of twenty answers, it is *ejected*: it gets no jobs for ten
  seconds, and twice as long each further time. Then it is *probed*: it gets one job at a time until
  three were right. An error that a second replica makes too is the pair's fault and counts against
  no replica; otherwise a client with a text that fails could eject every replica.
- *A replica that fails fast* is idle at once, so a search for the idlest replica returns it again
  and again. Each recent error or crash therefore reduces its share of the work.
- *A replica that has just started* has cold caches and no record: its share grows from a quarter to
  the whole within ten seconds.

A share is the part of its window that a replica may fill *beside its siblings*: the best of them
counts as whole, so a model whose replicas are all new, or that has only one, is not slowed down.
The last replica is never ejected, and never more than half of them: then the fault lies elsewhere.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum

_FIRST_SHARE = 0.25
_RAMP_SECONDS = 10.0
_FAILURE_SECONDS = 10.0
_ERRORS_IN_A_ROW = 5
_ANSWERS = 20
_ERROR_SHARE = 0.2
_PROBES = 3
_LONGEST_SECONDS = 300.0


class Trust(Enum):
    """The work that a replica may get."""

    FULL = "full"
    STARTING = "starting"  # less than its siblings: it is new, or has failed lately
    EJECTED = "ejected"  # nothing
    PROBED = "probed"  # one job at a time


@dataclass(frozen=True, slots=True)
class EjectionPolicy:
    """The length of an ejection.

    Attributes:
        first_seconds: the first time; doubled each further time, up to five minutes.
    """

    first_seconds: float = 10.0


@dataclass(slots=True, eq=False)
class ErrorStreak:
    """Errors of one replica with no right answer in between.

    Attributes:
        epoch: the epoch of the replica in which it began; each start and each ejection begins one.
        errors: those that another replica did not make.
    """

    epoch: int
    errors: int = 0


class OutlierDetector:
    """The record of one replica, and the trust that follows from it.

    Attributes:
        ejections: the number of its ejections.
        errors: the number of its errors that another replica did not make.
    """

    def __init__(self, policy: EjectionPolicy) -> None:
        self.ejections = 0
        self.errors = 0
        self._policy = policy
        self._unforgiven_ejections = 0
        self._ready_since = float("-inf")
        self._ejected_until: float | None = None
        self._probes_left = 0
        self._right_in_a_row = 0
        self._epoch = 0
        self._streak: ErrorStreak | None = None  # the one that goes on
        self._answers: deque[bool] = deque(maxlen=_ANSWERS)  # whether each was right
        self._failures: deque[float] = deque(maxlen=_ANSWERS)

    def record_start(self, now: float) -> None:
        """Record a new process: the answers of the old one are forgotten, its crash is not."""
        self._ready_since = now
        self._ejected_until = None
        self._probes_left = 0
        self._begin_epoch()

    def record_crash(self, now: float) -> None:
        """Record an end by the replica's own fault."""
        self._failures.append(now)

    def record_answer(self) -> None:
        """Record an answer with scores, which counts as right."""
        self._answers.append(True)
        self._streak = None
        self._right_in_a_row += 1
        self._probes_left = max(0, self._probes_left - 1)
        if self._right_in_a_row >= _ANSWERS:
            self._unforgiven_ejections = 0

    def current_streak(self) -> ErrorStreak:
        """Return the streak of a failed job, for `record_error` if another replica scores it."""
        self._streak = self._streak or ErrorStreak(self._epoch)
        return self._streak

    def record_error(self, streak: ErrorStreak, now: float, *, may_eject: bool) -> bool:
        """Record a failed job that another replica scored; return whether this one is ejected."""
        self.errors += 1
        self._failures.append(now)
        streak.errors += 1
        self._right_in_a_row = 0
        if streak.epoch != self._epoch:  # of another process, or punished by an ejection already
            return False
        self._answers.append(False)
        if not may_eject or self.is_ejected(now) or not self._is_outlier(streak):
            return False
        self._eject(now)
        return True

    def _is_outlier(self, streak: ErrorStreak) -> bool:
        is_full = len(self._answers) == _ANSWERS
        share = self._answers.count(False) / _ANSWERS
        return (
            self._probes_left > 0
            or streak.errors >= _ERRORS_IN_A_ROW
            or (is_full and share > _ERROR_SHARE)
        )

    def _eject(self, now: float) -> None:
        doublings = min(self._unforgiven_ejections, 30)
        seconds = min(_LONGEST_SECONDS, self._policy.first_seconds * 2.0**doublings)
        self._ejected_until = now + seconds
        self._probes_left = _PROBES
        self._unforgiven_ejections += 1
        self.ejections += 1
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        self._answers.clear()
        self._right_in_a_row = 0
        self._streak = None
        self._epoch += 1

    def is_ejected(self, now: float) -> bool:
        """Return whether the replica gets no jobs."""
        return self._ejected_until is not None and now < self._ejected_until

    def ejection_seconds_left(self, now: float) -> float:
        """Return the rest of the ejection."""
        return max(0.0, self._ejected_until - now) if self._ejected_until is not None else 0.0

    def is_probed(self, now: float) -> bool:
        """Return whether the replica gets one job at a time."""
        return self._probes_left > 0 and not self.is_ejected(now)

    def share(self, now: float) -> float:
        """Return the share of its window that the replica may fill beside others, in (0, 1]."""
        while self._failures and self._failures[0] <= now - _FAILURE_SECONDS:
            self._failures.popleft()
        age = now - self._ready_since
        ramp = min(1.0, _FIRST_SHARE + (1.0 - _FIRST_SHARE) * age / _RAMP_SECONDS)
        return ramp / (1 + len(self._failures))

    def trust(self, now: float) -> Trust:
        """Return the trust in the replica as one word."""
        if self.is_ejected(now):
            return Trust.EJECTED
        if self.is_probed(now):
            return Trust.PROBED
        return Trust.FULL if self.share(now) == 1.0 else Trust.STARTING
