"""A sleep that works beside libfaketime, which refuses the one of Python 3.11 with EINVAL.

Python sleeps until a moment of CLOCK_MONOTONIC; libfaketime takes that for one of the time of day.
"""

import select
import time
from typing import SupportsIndex


def _sleep(seconds: float | SupportsIndex) -> None:
    select.select([], [], [], float(seconds))


time.sleep = _sleep
