"""The time limit of a shutdown, in a process whose main thread is blocked."""

import subprocess
import sys
import time

import pytest

PATIENCE_SECONDS = 120.0


def run(code: str) -> tuple[int, str, float]:
    """Run code in an interpreter of its own; return exit code, stderr and seconds."""
    head = "import logging, os, signal, sys, threading, time\n"
    imports = "from gateway.cli.serve.signals import EndGuard, EndSignals\n"
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", head + imports + code],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return done.returncode, done.stderr, time.monotonic() - started


@pytest.mark.parametrize(
    "blocked",
    [
        "time.sleep(600)",
        "threading.Thread(target=time.sleep, args=(600,)).start()",  # joined at the exit
        "logging.getLogger().handlers[0].acquire(); time.sleep(600)",
    ],
)
def test_a_blocked_shutdown_ends_by_its_time_limit(blocked: str) -> None:
    code, err, seconds = run(
        "logging.basicConfig()\n"
        "guard = EndGuard(0.5, lambda: os.write(2, b'left the shards'))\n"
        "guard.start()\n" + blocked
    )
    assert code == 0, err
    assert "left the shards" in err
    assert ("takes more than 0.5 s" in err) is ("acquire" not in blocked)
    assert seconds < PATIENCE_SECONDS / 2


def test_an_error_of_what_is_left_behind_does_not_keep_the_process() -> None:
    code, err, _ = run("EndGuard(0.1, lambda: 1 / 0).start()\ntime.sleep(600)")
    assert code == 0, err


def test_a_signal_before_the_server_ends_the_process_even_in_a_callback() -> None:
    """`SystemExit` in a destructor would be printed and lost."""
    code, err, _ = run(
        "EndSignals().install()\n"
        "class Last:\n"
        "    def __del__(self): os.kill(os.getpid(), signal.SIGTERM); time.sleep(0.1)\n"
        "Last()\n"
        "os._exit(9)\n"
    )
    assert (code, err) == (0, "")


def test_a_signal_that_the_server_raises_again_is_ignored() -> None:
    code, err, _ = run(
        "signals = EndSignals()\n"
        "signals.install()\n"
        "signals.has_begun = True\n"
        "signal.raise_signal(signal.SIGTERM)\n"
        "os._exit(9)\n"
    )
    assert (code, err) == (9, "")
