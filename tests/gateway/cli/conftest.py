"""A running gateway with the fake engine, and the command line as a process."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

TIMEOUT_SECONDS = 120.0

CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("GATEWAY_", "HF_")) and name != "COLUMNS"
}
"""An environment without settings of the gateway."""


def gateway(*arguments: str, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command line and wait for its end."""
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        input=stdin,
        env={**CLEAN, **environ},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


def on_read_only_disk(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line where a folder is read-only, even for root."""
    enter = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if subprocess.run([*enter, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not allow private mounts")
    mounts = f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}"
    command = [*enter, "sh", "-c", f'{mounts} && exec "$@"', "sh", sys.executable, "-m", "gateway"]
    return subprocess.run(
        [*command, *arguments],
        env=CLEAN,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )


class Serving:
    """A `gateway serve` process whose log can be read while it runs."""

    def __init__(self, *arguments: str, log: Path, **environ: str) -> None:
        self.log = log
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve", *arguments],
                stdout=subprocess.PIPE,
                stderr=stream,
                env={**CLEAN, **environ},
            )

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait for a line in the log; fail with the log if it does not come."""
        end = time.monotonic() + TIMEOUT_SECONDS
        while not (found := re.search(pattern, self.log.read_text())):
            assert self.process.poll() is None, f"the process has ended: {self.log.read_text()}"
            assert time.monotonic() < end, f"no {pattern!r} in: {self.log.read_text()}"
            time.sleep(0.02)
        return found

    @property
    def url(self) -> str:
        return self.wait_for(r"ready at (http://[^\"\s]+)")[1]

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT_SECONDS)

    def __enter__(self) -> "Serving":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a gateway whose one model, `demo`, is the fake engine's."""
    log = tmp_path_factory.mktemp("served") / "log"
    with Serving(
        "--port", "0", "--model", "demo=fake", "--engine", "fake", "--device", "cpu:0", log=log
    ) as serving:
        yield serving.url


def svg_texts(file: Path) -> list[str]:
    """Return the texts of a plot."""
    return re.findall(r"<text [^>]*>([^<]*)</text>", file.read_text(encoding="utf-8"))
