"""`gateway key`: new keys are shown once and work; keys are listed and revoked; errors."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli.operate.key import key
from gateway.http.keys import KeyFile, read_keys
from tests.gateway.cli.conftest import gateway, on_read_only_disk


def run(*arguments: str, file: Path | None = None, **environ: str) -> Result:
    options = ["--keys-file", str(file)] if file else []
    clean = {"GATEWAY_CONFIG": None, "GATEWAY_KEYS_FILE": None, **environ}
    return CliRunner(env=clean).invoke(key, [*arguments, *options])


def listed(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("list", "--json", file=file).stdout)
    return found


def test_a_new_key_is_shown_once_and_works(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    made = gateway("key", "new", "search team", "--keys-file", str(file))
    assert made.returncode == 0
    secret = made.stdout.strip()
    assert made.stdout == f"{secret}\n" and secret.startswith("rk_")
    assert "the only time it is shown" in made.stderr and str(file) in made.stderr
    found = read_keys(file).ring.find(secret)
    assert found is not None and found.name == "search team"
    for again in (run("list", file=file), run("list", "--json", file=file)):
        assert found.id in again.stdout
        assert secret.split("_", 2)[2] not in again.stdout + file.read_text()
        assert "sha256" not in again.stdout


def test_every_option_is_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    options = ["--models", "a/b, c", "--rate", "600", "--concurrency", "8", "--weight", "2.5"]
    made = run("new", "x", *options, "--admin", "--expires", "90d", "--json", file=file)
    printed = json.loads(made.stdout)
    (key_,) = KeyFile(file).read()
    assert printed["key"].startswith(f"rk_{key_.id}_")
    assert (key_.models, key_.requests_per_minute, key_.concurrency) == (("a/b", "c"), 600, 8)
    assert (key_.weight, key_.admin, printed["state"]) == (2.5, True, "good")
    assert key_.created is not None and key_.expires == key_.created + timedelta(days=90)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2999-01-31", datetime(2999, 1, 31, tzinfo=UTC)),
        ("2999-01-31T12:00:00Z", datetime(2999, 1, 31, 12, tzinfo=UTC)),
        ("2999-01-31T12:00:00+02:00", datetime(2999, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_expires_at_a_moment(tmp_path: Path, text: str, moment: datetime) -> None:
    file = tmp_path / "keys.toml"
    assert run("new", "x", "--expires", text, file=file).exit_code == 0
    assert KeyFile(file).read()[0].expires == moment


def test_a_key_is_revoked_by_id_or_by_name(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    for name in ("one", "two", "two"):
        run("new", name, file=file)
    ids = [key["id"] for key in listed(file)]
    assert run("revoke", "one", file=file).exit_code == 0
    several = run("revoke", "two", file=file)
    assert several.exit_code == 1
    assert ids[1] in several.stderr and ids[2] in several.stderr
    assert json.loads(run("revoke", ids[2], "--json", file=file).stdout)["state"] == "revoked"
    assert run("revoke", "two", file=file).exit_code == 0
    assert [key["state"] for key in listed(file)] == ["revoked"] * 3
    again, unknown = run("revoke", "two", file=file), run("revoke", "three", file=file)
    assert (again.exit_code, unknown.exit_code) == (1, 1)
    assert "revoked before" in again.stderr and "no key 'three'" in unknown.stderr


def test_the_file_may_be_named_by_a_configuration_or_the_environment(tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('keys_file = "sub/keys.toml"\n')
    (tmp_path / "sub").mkdir()
    file = tmp_path / "sub" / "keys.toml"
    assert run("new", "a", "--config", str(config)).exit_code == 0
    assert run("new", "b", GATEWAY_KEYS_FILE=str(file)).exit_code == 0
    assert run("new", "c", GATEWAY_CONFIG=str(config)).exit_code == 0
    assert [key["name"] for key in listed(file)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("new", "x"), "no file of keys"),
        (("new", "x", "--expires", "soon"), "--expires soon"),
        (("new", "x", "--expires", "2020-01-01"), "in the past"),
        (("new", "x", "--rate", "0"), "--rate 0"),
        (("new", "x", "--weight", "nan"), "--weight nan"),
        (("new", "x", "--models", "a!"), "--models a!"),
    ],
)
def test_wrong_options(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    found = run(*arguments, file=None if words == "no file of keys" else tmp_path / "keys.toml")
    assert found.exit_code == 2
    assert words in found.stderr
    assert not list(tmp_path.iterdir())


def test_a_broken_file_is_named_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text("[a]\nhash = 1\n")
    for arguments in (("new", "x"), ("list",), ("revoke", "a")):
        found = run(*arguments, file=file)
        assert found.exit_code == 78
        assert f"{file}: a.hash" in found.stderr
    assert file.read_text() == "[a]\nhash = 1\n"


def test_a_file_that_does_not_exist(tmp_path: Path) -> None:
    for arguments in (("list",), ("revoke", "a")):
        found = run(*arguments, file=tmp_path / "keys.toml")
        assert found.exit_code == 1
        assert "does not exist" in found.stderr
    found = run("new", "x", file=tmp_path / "nowhere" / "keys.toml")
    assert found.exit_code == 1
    assert f"{tmp_path / 'nowhere'} does not exist" in found.stderr


def test_a_read_only_disk_is_reported_and_nothing_has_changed(tmp_path: Path) -> None:
    run("new", "first", file=(file := tmp_path / "keys.toml"))
    text = file.read_text()
    found = on_read_only_disk(tmp_path, "key", "new", "x", "--keys-file", str(file))
    assert found.returncode == 73
    assert f"{file} cannot be written (Read-only file system); nothing has changed" in found.stderr
    assert found.stdout == ""
    assert file.read_text() == text
