"""A share of the time of a request, for one of several tries or stages. Reads the clock."""

import time


def part_of_time(deadline: float, share: float) -> float:
    """Return the moment at which a share of the time until a deadline has passed.

    Args:
        deadline: monotonic seconds.
        share: in [0, 1].
    """
    now = time.monotonic()
    return now + share * (deadline - now)
