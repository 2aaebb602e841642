"""The rule of claims: when a claim pays, its lifetime, and the time that others wait. Pure.

A claim costs one more use of the store, and what it may save is a computation. So it pays where
computing takes `PAYS_SECONDS` at least, `PAYS_ROUND_TRIPS` times as long as the store lately took
to answer, and `PAYS_SECONDS_A_PAIR` for each pair, as each has a command of its own. A request with
more than `MOST_PAIRS` pairs to score makes no claims: so many commands take too long.

A request that waits for the score of another gateway never waits longer than it is expected to
take to compute it here, behind the work that is before it, and keeps the time to compute by its
deadline. So a claim whose holder has died costs others no more than the time of one computation.
"""

from typing import NamedTuple

PAYS_SECONDS = 0.05
PAYS_ROUND_TRIPS = 50
PAYS_SECONDS_A_PAIR = 0.001
MOST_PAIRS = 100
WAITED_SHARE = 1.0  # of the expected time to compute

_DEADLINE_SHARE = 0.8  # of the time that is left, as in `admission`
_LIFETIMES = 2
_LONGEST_LIFETIME_SECONDS = 60.0
_LOOKS = 20  # in a wait, so that each is late by a twentieth of it at most
_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.005, 0.25


class Terms(NamedTuple):
    """The terms on which a request claims pairs.

    Attributes:
        seconds: the time that computing its pairs takes here; 0 if it is not known.
        ahead_seconds: the time until that begins, as other work is before it.
        remaining_seconds: the time until the deadline.
    """

    seconds: float
    ahead_seconds: float
    remaining_seconds: float

    def of(self, share: float) -> "Terms":
        """Return the terms of a share of the pairs."""
        return self._replace(seconds=self.seconds * share)

    @property
    def all_seconds(self) -> float:
        """The time until the scores would be there."""
        return self.ahead_seconds + self.seconds


def pays(terms: Terms, pairs: int, answer_seconds: float) -> bool:
    """Return whether claims on so many pairs pay; the store takes some time to answer."""
    in_time = terms.all_seconds <= _DEADLINE_SHARE * terms.remaining_seconds
    least = max(PAYS_SECONDS, PAYS_ROUND_TRIPS * answer_seconds, PAYS_SECONDS_A_PAIR * pairs)
    return 0 < pairs <= MOST_PAIRS and terms.seconds >= least and in_time


def lifetime(terms: Terms) -> float:
    """Return the life of a claim, in seconds."""
    return min(_LONGEST_LIFETIME_SECONDS, _LIFETIMES * terms.all_seconds)


def longest_wait(terms: Terms) -> float:
    """Return the longest time to wait for scores that could be computed on these terms."""
    left = _DEADLINE_SHARE * terms.remaining_seconds - terms.all_seconds
    return max(0.0, min(WAITED_SHARE * terms.all_seconds, left))


def pause(wait_seconds: float) -> float:
    """Return the time between two looks for scores that are waited for so long at most."""
    wanted = wait_seconds / _LOOKS
    return min(_LONGEST_PAUSE_SECONDS, max(_SHORTEST_PAUSE_SECONDS, wanted))
