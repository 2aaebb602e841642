"""What all tests start from."""

import signal
from contextlib import suppress

from shards.native.build import BuildError, build

# Whoever runs the tests in the background has them ignore Ctrl-C, and what they start would inherit
# that; some tests send it to see what a command makes of it.
with suppress(ValueError):  # not the main thread
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure() -> None:
    """Compile the kernels, if that is not done; where it cannot be, tests/shards/native says why."""
    with suppress(BuildError):
        build()
