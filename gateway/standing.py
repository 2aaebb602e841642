"""How far a replica can be trusted at the moment. Pure: time is passed in, in seconds.

Three things are known about replicas that are ready, but not as good as their siblings:

- *One that errs*, while another replica scores the same job without complaint, is the one at fault.
  After five such errors in a row, or more than a fifth of twenty answers, it is taken out of the
  hand-out (ejected) for ten seconds, twice as long each further time. Then it is probed: one job at a
  time, until three were right. An error that a second replica makes too is the pair's, and counts
  against nobody: or who finds a text that fails could eject every replica.
- *One that fails fast* is idle at once, and who looks for the idlest replica finds it again and
  again. So each recent failure, be it an error or a death, makes its share of the work smaller.
- *One that has just started* has cold caches and has proved nothing: its share grows from a quarter
  to the whole within ten seconds.

A share says how much of its window a replica may fill *beside its siblings*: the best of them counts
as whole, so a model whose replicas are all new, or that has only one, is not slowed down. The last
replica is never ejected, and never more than half of them: then the fault lies elsewhere.
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
    """What may be handed to a replica."""

    FULL = "full"
    STARTING = "starting"  # less than its siblings: it is new, or has failed lately
    EJECTED = "ejected"  # nothing
    PROBED = "probed"  # one job at a time


@dataclass(frozen=True, slots=True)
class EjectionPolicy:
    """How long a replica that errs is left out.

    Attributes:
        first_seconds: the first time; doubled each further time, up to five minutes.
    """

    first_seconds: float = 10.0


@dataclass(slots=True, eq=False)
class Row:
    """Errors of one replica with no right answer in between.

    Attributes:
        past: how often the replica had been forgiven everything when it began.
        errors: those that another replica did not make.
    """

    past: int
    errors: int = 0


class Standing:
    """One replica, as far as it can be trusted.

    Attributes:
        ejections: how often it was left out.
        errors: how many of its errors another replica did not make.
    """

    def __init__(self, policy: EjectionPolicy) -> None:
        self.ejections = 0
        self.errors = 0
        self._policy = policy
        self._turns = 0  # ejections that are not forgiven
        self._ready_since = float("-inf")
        self._ejected_until: float | None = None
        self._probes_left = 0
        self._good_in_a_row = 0
        self._past = 0
        self._row: Row | None = None  # that goes on
        self._answers: deque[bool] = deque(maxlen=_ANSWERS)  # whether each was right
        self._failures: deque[float] = deque(maxlen=_ANSWERS)

    def started(self, now: float) -> None:
        """It is ready, in a new process: what the old one did is forgotten, not that it died."""
        self._ready_since = now
        self._ejected_until = None
        self._probes_left = 0
        self._forget_answers()

    def died(self, now: float) -> None:
        """It ended by its own doing."""
        self._failures.append(now)

    def answered(self) -> None:
        """An answer of its was right, as far as anyone can tell."""
        self._answers.append(True)
        self._row = None
        self._good_in_a_row += 1
        self._probes_left = max(0, self._probes_left - 1)
        if self._good_in_a_row >= _ANSWERS:
            self._turns = 0

    def doubted(self) -> Row:
        """It could not score a job; return what `erred` wants to know if another one can."""
        self._row = self._row or Row(self._past)
        return self._row

    def erred(self, row: Row, now: float, *, may_eject: bool) -> bool:
        """It could not score what another one could; return whether it is left out for that."""
        self.errors += 1
        self._failures.append(now)
        row.errors += 1
        self._good_in_a_row = 0
        if row.past != self._past:  # of another process, or it was left out for them
            return False
        self._answers.append(False)
        if not may_eject or self.is_ejected(now) or not self._is_outlier(row):
            return False
        self._eject(now)
        return True

    def _is_outlier(self, row: Row) -> bool:
        is_full = len(self._answers) == _ANSWERS
        share = self._answers.count(False) / _ANSWERS
        return (
            self._probes_left > 0
            or row.errors >= _ERRORS_IN_A_ROW
            or (is_full and share > _ERROR_SHARE)
        )

    def _eject(self, now: float) -> None:
        seconds = min(_LONGEST_SECONDS, self._policy.first_seconds * 2.0 ** min(self._turns, 30))
        self._ejected_until = now + seconds
        self._probes_left = _PROBES
        self._turns += 1
        self.ejections += 1
        self._forget_answers()

    def _forget_answers(self) -> None:
        self._answers.clear()
        self._good_in_a_row = 0
        self._row = None
        self._past += 1

    def is_ejected(self, now: float) -> bool:
        """Whether it gets nothing."""
        return self._ejected_until is not None and now < self._ejected_until

    def seconds_out(self, now: float) -> float:
        """Return how long it will be left out."""
        return max(0.0, self._ejected_until - now) if self._ejected_until is not None else 0.0

    def is_probed(self, now: float) -> bool:
        """Whether it gets one job at a time."""
        return self._probes_left > 0 and not self.is_ejected(now)

    def share(self, now: float) -> float:
        """Return how much it may take, in (0, 1], beside others."""
        while self._failures and self._failures[0] <= now - _FAILURE_SECONDS:
            self._failures.popleft()
        age = now - self._ready_since
        ramp = min(1.0, _FIRST_SHARE + (1.0 - _FIRST_SHARE) * age / _RAMP_SECONDS)
        return ramp / (1 + len(self._failures))

    def trust(self, now: float) -> Trust:
        """Return all that in a word."""
        if self.is_ejected(now):
            return Trust.EJECTED
        if self.is_probed(now):
            return Trust.PROBED
        return Trust.FULL if self.share(now) == 1.0 else Trust.STARTING
