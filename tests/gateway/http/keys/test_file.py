"""The file of keys: read whole, checked, replaced in one step; every problem is named."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import ConfigError, Settings
from gateway.http.keys import KeyFile, keys_of, read_keys
from gateway.http.keys.text import parse, with_key, without
from tests.gateway.http.keys.making import FUTURE, PAST, made, write_keys

HASH = "sha256:" + 64 * "a"
NOW = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    secret, key = made(
        "k2",
        name='"Suche" \\ поиск # [x]',
        created=NOW,
        expires=FUTURE,
        revoked=PAST,
        models=("a/b", "c"),
        requests_per_minute=3,
        concurrency=4,
        weight=0.5,
        admin=True,
    )
    file = tmp_path / "keys.toml"
    KeyFile(file).change(lambda text: with_key(text, key))
    assert KeyFile(file).read() == (key,)
    assert read_keys(file).ring.find(secret) == key
    assert secret not in file.read_text()


@given(st.text(max_size=50))
def test_any_name_can_be_written(name: str) -> None:
    key = made("k", name=name)[1]
    try:
        text = with_key("", key)
        text.encode()
    except UnicodeEncodeError:
        return
    keys, problems = parse(text)
    assert (keys, problems) == ([key], [])


def test_a_change_touches_its_own_lines_only(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    write_keys(file, a={}, b={}, c={"name": "[b]"})
    text = "# mine\n" + file.read_text().replace("[b]\n", "[b]  # the old one\n", 1)
    file.write_text(text)
    KeyFile(file).change(lambda text: without(text, "b", NOW))
    new = file.read_text().splitlines()
    assert [line for line in new if line not in text.splitlines()] == [
        "revoked = 2026-11-21T12:30:00Z"
    ]
    assert new[new.index("[b]  # the old one") + 1].startswith("revoked")
    assert [key.id for key in KeyFile(file).read() if key.revoked] == ["b"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o440])
def test_mode_and_owner_are_kept(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "keys.toml"
    KeyFile(file).change(lambda text: with_key(text, made("a")[1]))
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(mode)
    KeyFile(file).change(lambda text: with_key(text, made("b")[1]))
    assert file.stat().st_mode & 0o777 == mode
    assert [path.name for path in tmp_path.iterdir()] == ["keys.toml"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.toml", tmp_path / "keys.toml"
    write_keys(real, a={})
    link.symlink_to(real)
    KeyFile(link).change(lambda text: without(text, "a", NOW))
    assert link.is_symlink()
    assert KeyFile(real).read()[0].revoked == NOW


def test_concurrent_changes_undo_nothing(tmp_path: Path) -> None:
    """Many threads add a key at the same time; the file has all keys."""
    file = tmp_path / "keys.toml"

    def make(number: int) -> None:
        key = made(f"k{number}")[1]
        KeyFile(file).change(lambda text: with_key(text, key))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, range(40)))
    assert sorted(key.id for key in KeyFile(file).read()) == sorted(f"k{n}" for n in range(40))


def test_an_invalid_change_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    write_keys(file, a={})
    before = file.read_text()
    with pytest.raises(ConfigError, match="unknown key"):
        KeyFile(file).change(lambda text: f"{text}\nx = 1\n")
    with pytest.raises(ConfigError, match="is not TOML"):
        KeyFile(file).change(lambda text: f"{text}\n[a]\n")
    assert file.read_text() == before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[a", "is not TOML"),
        ("a = 1", "a: this should be a section"),
        ("[a]", "a.hash: is missing"),
        (f'[a]\nhash = "{HASH}"\nrate = 3', "a.rate: unknown key. "),
        (f'[a]\nhash = "{HASH}"\nadmn = true', "a.admn: unknown key. Did you mean admin?"),
        ('[a]\nhash = "rk_a_secret"', "a.hash: is not sha256: and 64 hexadecimal digits"),
        (f'[a]\nhash = "{HASH}"\nweight = 0', "a.weight: found 0: "),
        (f'[a]\nhash = "{HASH}"\nconcurrency = 0', "a.concurrency: found 0: "),
        (f'[a]\nhash = "{HASH}"\nrequests_per_minute = "x"', "a.requests_per_minute: found 'x': "),
        (f'[a]\nhash = "{HASH}"\nexpires = 2027-01-01T00:00:00', "a.expires: found "),
        (f'[a]\nhash = "{HASH}"\nmodels = ["no name!"]', "a.models.0: found 'no name!': "),
        (f'["a b"]\nhash = "{HASH}"', "'a b' is not a valid id"),
        (f'[a]\nhash = "{HASH}"\n[b]\nhash = "{HASH}"', "b.hash: is the hash of a, too"),
        ("", "has no keys, so every request would be refused"),
        ("# nothing\n", "gateway key new NAME --keys-file"),
    ],
)
def test_each_problem_is_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as found:
        read_keys(file)
    assert str(file) in str(found.value)
    assert words in str(found.value)
    assert "rk_a_secret" not in str(found.value)


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    file.write_text("[a]\nweight = -1\n[b]\nadmin = 7\nx = 1\n")
    with pytest.raises(ConfigError) as found:
        read_keys(file)
    keys = [problem.key for problem in found.value.problems]
    assert keys == ["a.hash", "a.weight", "b.hash", "b.admin", "b.x"]


def test_dates_are_the_start_of_their_day(tmp_path: Path) -> None:
    keys, problems = parse(f'[a]\nhash = "{HASH}"\nexpires = 2027-01-31')
    assert not problems
    assert keys[0].expires == datetime(2027, 1, 31, tzinfo=UTC)
    assert keys[0].state(datetime(2027, 1, 30, 23, 59, tzinfo=UTC)) == "good"
    assert keys[0].state(datetime(2027, 1, 31, tzinfo=UTC)) == "expired"


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    for make, words in (
        (lambda file: None, "is not there"),
        (lambda file: file.mkdir(), "cannot be read (Is a directory)"),
        (lambda file: file.write_bytes(b"\xff"), "is not UTF-8"),
    ):
        file = tmp_path / words[:9].replace(" ", "-") / "keys.toml"
        file.parent.mkdir()
        make(file)
        with pytest.raises(ConfigError) as found:
            read_keys(file)
        assert words in str(found.value)


@pytest.mark.parametrize("closed", ["keys.toml", "."])
def test_a_file_of_another_user_is_named(closed: str) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_keys(folder / "keys.toml", a={})
        folder.chmod(0o755)
        (folder / closed).chmod(0)
        with _another_user(), pytest.raises(ConfigError) as found:
            read_keys(folder / "keys.toml")
        folder.chmod(0o700)
    assert "keys.toml: cannot be read (Permission denied)" in str(found.value)


@contextmanager
def _another_user() -> Iterator[None]:
    """Run as another user for a while, because root may read every file."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_world_writable_file_is_refused_and_a_readable_one_warned_of(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    write_keys(file, a={})
    assert read_keys(file).warnings == ()
    file.chmod(0o644)
    (warning,) = read_keys(file).warnings
    assert "all users of this machine can read" in warning and "0644" in warning
    file.chmod(0o606)
    with pytest.raises(ConfigError, match="can be written by all users"):
        read_keys(file)


def test_a_model_that_is_not_served_is_warned_of(tmp_path: Path) -> None:
    file = tmp_path / "keys.toml"
    write_keys(file, a={"models": ("embedded", "typo")})
    found = keys_of(Settings(keys_file=file))
    assert found is not None
    assert found.warnings == ("keys_file: key a is for model 'typo', which is not served",)
    assert keys_of(Settings()) is None
