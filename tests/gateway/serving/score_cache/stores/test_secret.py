"""Secrets: one that a file has, or one that is made once beside the scores."""

from pathlib import Path

import pytest

from gateway.config import ConfigError
from gateway.serving.score_cache.stores.secret import configured_secret, own_secret


def test_an_own_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "scores.secret"
    secret = own_secret(file)
    assert len(secret) == 32
    assert own_secret(file) == secret
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_another_file_is_no_own_secret(tmp_path: Path) -> None:
    file = tmp_path / "scores.secret"
    file.write_text("letter")
    with pytest.raises(OSError, match="not a secret of scores"):
        own_secret(file)
    with pytest.raises(OSError, match="No such file"):
        own_secret(tmp_path / "missing" / "scores.secret")


def test_a_configured_secret_is_long_enough_and_there(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("short\n")
    with pytest.raises(ConfigError, match=r"has 5 bytes, fewer than 32.*openssl rand -hex 32"):
        configured_secret(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        configured_secret(tmp_path / "missing")
    file.write_text("0123456789abcdef" * 2 + "\n")
    assert configured_secret(file) == b"0123456789abcdef" * 2
    file.write_text("0123456789abcdef" * 10)
    assert len(configured_secret(file)) == 64
