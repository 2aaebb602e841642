"""A file of scores keeps its bound, drops the oldest, and wipes what is not valid."""

import os
from pathlib import Path

from gateway.serving.score_cache.stores.backend import Entry
from gateway.serving.score_cache.stores.score_file import ScoreFile, connect, read

IDENTITY, OTHER, EPOCH = b"i" * 32, b"o" * 32, b"epoch 01"
NOW = 1_700_000_000.0


def entries(number: int, identity: bytes = IDENTITY, seconds: float = 60.0) -> list[Entry]:
    return [Entry(identity, os.urandom(16), b"s" * 41, seconds) for _ in range(number)]


def opened(tmp_path: Path) -> ScoreFile:
    file = ScoreFile(tmp_path / "scores.db", 16)
    for identity in (IDENTITY, OTHER):
        assert file.epoch(identity, EPOCH) == EPOCH
    return file


def test_a_file_keeps_its_bound_and_its_newest_scores(tmp_path: Path) -> None:
    file, most = opened(tmp_path), 0
    first = entries(500)
    file.write(first, NOW)
    last = first
    for _ in range(300):
        last = entries(500)
        file.write(last, NOW)
        most = max(most, file.size)
    assert 10 * 2**20 < most <= 16 * 2**20
    assert 70_000 < file.entries < 100_000
    reader = connect(tmp_path / "scores.db")
    assert len(read(reader, IDENTITY, [entry.key for entry in last])[1]) == 500
    assert read(reader, IDENTITY, [entry.key for entry in first]) == (EPOCH, {})
    reader.close()
    file.close()
    again = ScoreFile(tmp_path / "scores.db", 16)
    assert again.entries == file.entries  # as it was counted along
    again.close()


def test_a_lower_bound_shrinks_the_file(tmp_path: Path) -> None:
    file = ScoreFile(tmp_path / "scores.db", 32)
    file.epoch(IDENTITY, EPOCH)
    for _ in range(18):
        file.write(entries(10_000), NOW)
    file.close()
    assert (tmp_path / "scores.db").stat().st_size > 17 * 2**20
    file = ScoreFile(tmp_path / "scores.db", 16)
    for _ in range(60):
        file.write(entries(10), NOW)
        file.tidy()
    file.close()
    assert (tmp_path / "scores.db").stat().st_size <= 16 * 2**20


def test_an_epoch_stays_until_it_is_renewed(tmp_path: Path) -> None:
    file = opened(tmp_path)
    assert file.epoch(IDENTITY, b"another1") == EPOCH
    file.renew(IDENTITY, b"another1")
    assert file.epoch(IDENTITY, EPOCH) == b"another1"
    assert file.epoch(OTHER, b"another1") == EPOCH
    file.close()


def test_scores_of_an_ended_epoch_are_removed_in_steps(tmp_path: Path) -> None:
    file = opened(tmp_path)
    for _ in range(10):
        file.write([*entries(2500), *entries(2500, OTHER)], NOW)
    file.renew(IDENTITY, b"another1")
    file.tidy()
    assert 25_000 < file.entries < 50_000
    for _ in range(3):
        file.tidy()
    assert file.entries == 25_000
    file.close()


def test_scores_past_their_life_make_room(tmp_path: Path) -> None:
    file = opened(tmp_path)
    file.write(entries(1000, seconds=60), NOW)
    file.write(entries(1000, seconds=600), NOW)
    file.write(entries(1), NOW + 100)
    assert file.entries == 1001
    again = entries(1)
    file.write(again, NOW + 100)
    file.write(again, NOW + 100)  # in place of itself
    assert file.entries == 1002
    file.close()
