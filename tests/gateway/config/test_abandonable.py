"""Work in threads that can be left behind: results, errors, time limits, and the file to blame."""

import asyncio
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.config import (
    ConfigError,
    abandonable,
    load,
    read_calibrations,
    read_text,
    reading,
    run_abandonable,
    run_patiently,
)
from gateway.http.keys import KeyFile

PATIENCE_SECONDS = 120.0


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A named pipe without a writer: a read of it blocks."""
    path = tmp_path / "blocked.toml"
    os.mkfifo(path)
    return path


def read(path: Path) -> str:
    with reading(path):
        return path.read_text()


async def test_results_and_errors_are_passed_on() -> None:
    assert await run_abandonable(lambda: 7) == 7
    with pytest.raises(ValueError, match="invalid literal"):
        await run_abandonable(lambda: int("x"))
    with pytest.raises(TimeoutError, match="own"):
        await run_abandonable(lambda: (_ for _ in ()).throw(TimeoutError("own")))


def test_a_file_that_is_too_long_is_refused_by_its_name(tmp_path: Path) -> None:
    huge = tmp_path / "huge.toml"
    huge.write_text("#" * abandonable.MOST_CHARACTERS)
    assert len(read_text(huge)) == abandonable.MOST_CHARACTERS
    with huge.open("a") as file:
        file.write("\n")
    for read_it in (load, read_calibrations, lambda path: KeyFile(path).read()):
        with pytest.raises(ConfigError, match=r"huge\.toml:? cannot be read \(it is longer"):
            read_it(huge)


async def test_a_read_that_blocks_is_left_behind_and_its_file_named(pipe: Path) -> None:
    with pytest.raises(ConfigError, match=r"blocked\.toml: is not read within 0\.05 s"):
        await run_abandonable(lambda: read(pipe), 0.05)
    pipe.write_text("")  # lets the thread end


async def test_too_many_blocked_reads_are_refused(pipe: Path) -> None:
    for _ in range(abandonable.MOST_BLOCKED):
        with pytest.raises(ConfigError, match="not read within"):
            await run_abandonable(lambda: read(pipe), 0.01)
    with pytest.raises(ConfigError, match="16 reads of files are blocked already"):
        await run_abandonable(lambda: 7)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while abandonable._threads:
            with suppress(OSError):  # a thread that has read, or is about to
                os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
            await asyncio.sleep(0.01)
    assert await run_abandonable(lambda: 7) == 7


def test_a_patient_read_names_its_file_and_goes_on(pipe: Path) -> None:
    blocked: list[str] = []

    def let_it_go_on(file: str) -> None:
        blocked.append(file)
        if len(blocked) == 2:
            threading.Thread(target=pipe.write_text, args=("late",), daemon=True).start()

    assert run_patiently(lambda: read(pipe), let_it_go_on, 0.05) == "late"
    assert blocked[:2] == [str(pipe)] * 2


def test_a_blocked_read_does_not_keep_the_interpreter(pipe: Path) -> None:
    code = (
        "import asyncio, sys, pathlib\n"
        "from gateway.config import ConfigError, run_abandonable\n"
        "async def main():\n"
        "    try: await run_abandonable(pathlib.Path(sys.argv[1]).read_text, 0.1)\n"
        "    except ConfigError: print('left')\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(pipe)], capture_output=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"left\n"), done.stderr
