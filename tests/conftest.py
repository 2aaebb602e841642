"""The common setup of all tests."""

import signal
from contextlib import suppress

from shards.native.build import BuildError, build

# Tests that run in the background ignore Ctrl-C, and so would the processes that they start; some
# tests send Ctrl-C to a command.
with suppress(ValueError):  # not the main thread
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure() -> None:
    """Compile the kernels unless that is done; tests/shards/native reports a failure."""
    with suppress(BuildError):
        build()
