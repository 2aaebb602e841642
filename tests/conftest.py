"""The common setup of all tests."""

import os
import signal
from contextlib import suppress

from shards.machine.instructions import limit_libraries
from shards.native.build import BuildError, build

limit_libraries(os.environ)  # GATEWAY_CPU limits tests as well; PyTorch is not imported yet

# Tests that run in the background ignore Ctrl-C, and so would the processes that they start; some
# tests send Ctrl-C to a command.
with suppress(ValueError):  # not the main thread
    signal.signal(signal.SIGINT, signal.default_int_handler)


# A loaded machine pauses any process, so no example has a time limit of its own. Every run has the
# same examples, so that a run that fails can be repeated.
with suppress(ImportError):  # as in the environment of scripts/test-clients
    from hypothesis import HealthCheck, settings

    settings.register_profile(
        "suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("suite")


def pytest_configure() -> None:
    """Compile the kernels unless that is done; tests/shards/native reports a failure."""
    with suppress(BuildError):
        build()
