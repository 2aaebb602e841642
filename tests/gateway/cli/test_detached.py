"""The files of gateways in the background: locks, stale process ids, and the end of a process."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.detached import Place, PlaceTaken, places, running_places, state_folder

HOLD = "import sys; sys.stdin.read()"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return Place(state_folder(), 8080)


class Holder:
    """A process that inherits a descriptor, as the gateway does, until it is told to end."""

    def __init__(self, descriptor: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD],
            stdin=subprocess.PIPE,
            pass_fds=[descriptor],
        )

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)


@pytest.fixture
def holder(place: Place) -> Iterator[Holder]:
    """A process that has the place, as its pid file says."""
    descriptor = place.claim()
    holder = Holder(descriptor)
    os.write(descriptor, f"{holder.process.pid}\n".encode())
    os.close(descriptor)
    yield holder
    holder.end()


def test_a_process_that_holds_the_pid_file_runs(place: Place, holder: Holder) -> None:
    with place.running() as running:
        assert running is not None
        assert running.pid == holder.process.pid
        assert not running.is_stopping
        assert not running.has_ended()
        place.mark_stopping()
        holder.end()
        assert running.has_ended(None)
        running.ask_to_end()  # harmless
    with place.running() as running:
        assert running is None
    assert place.remove_stale()
    assert not place.pid_file.exists()
    assert not place.remove_stale()


def test_a_place_is_claimed_once(place: Place, holder: Holder) -> None:
    with pytest.raises(PlaceTaken, match=str(holder.process.pid)):
        place.claim()
    assert not place.remove_stale()
    assert place.pid_file.exists()


def test_the_next_gateway_takes_the_place_of_one_that_has_ended(
    place: Place, holder: Holder
) -> None:
    holder.end()
    descriptor = place.claim()
    assert place.pid_file.read_text() == ""  # no stale number, from the first moment on
    os.close(descriptor)


def test_a_stop_that_was_asked_for_is_remembered(place: Place, holder: Holder) -> None:
    place.mark_stopping()
    with place.running() as running:
        assert running is not None
        assert running.is_stopping


def test_a_foreign_process_with_the_number_is_not_taken_for_the_gateway(place: Place) -> None:
    with subprocess.Popen(["sleep", "600"]) as foreign:
        descriptor = place.claim()
        os.write(descriptor, f"{foreign.pid}\n".encode())
        with place.running() as running:  # locked by another process
            assert running is None
        os.close(descriptor)
        with place.running() as running:  # not locked
            assert running is None
        assert running_places() == []
        foreign.kill()


@pytest.mark.parametrize("text", ["", "\n", "x\n", "0\n", "-1\n", "999999999999\n", "\xff\n"])
def test_a_pid_file_without_a_process_is_stale(place: Place, text: str) -> None:
    place.folder.mkdir(parents=True)
    place.pid_file.write_text(text, encoding="latin-1")
    with place.running() as running:
        assert running is None
    assert place.remove_stale()


def test_a_file_that_is_removed_while_it_is_claimed_is_claimed_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock
    removed: list[int] = []

    def remove_before_locking(descriptor: int, kind: int) -> None:
        if not removed:
            place.pid_file.unlink()
            removed.append(descriptor)
        lock(descriptor, kind)

    monkeypatch.setattr(fcntl, "flock", remove_before_locking)
    descriptor = place.claim()
    assert os.path.samestat(os.fstat(descriptor), place.pid_file.stat())
    os.close(descriptor)


def test_a_link_in_place_of_the_pid_file_is_not_followed(place: Place, tmp_path: Path) -> None:
    place.folder.mkdir(parents=True)
    target = tmp_path / "target"
    target.write_text("keep")
    place.pid_file.symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        place.claim()
    assert target.read_text() == "keep"


def test_a_log_is_new_and_the_one_before_is_kept(place: Place) -> None:
    os.close(place.claim())
    for text in (b"one", b"two", b"three"):
        descriptor = place.new_log()
        os.write(descriptor, text)
        os.close(descriptor)
    assert place.log.read_text() == "three"
    assert place.old_log.read_text() == "two"
    assert place.log.stat().st_mode & 0o777 == 0o600
    assert place.folder.stat().st_mode & 0o777 == 0o700


def test_places_are_found_by_their_files(place: Place, holder: Holder) -> None:
    os.close(place.new_log())
    (place.folder / "9000.log").touch()
    (place.folder / "notes.log").touch()
    assert {found.port for found in places()} == {8080, 9000}
    assert running_places() == [place]


def test_a_process_ends_at_sigterm(place: Place, holder: Holder) -> None:
    with place.running() as running:
        assert running is not None
        running.ask_to_end()
        assert running.has_ended(None)
    assert holder.process.wait(60) == -signal.SIGTERM


def test_a_relative_state_folder_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "here")
    assert state_folder() == Path.home() / ".local/state/rerank-gateway"
