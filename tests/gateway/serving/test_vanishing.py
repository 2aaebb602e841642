"""Names that a reload would take away: refused, unless it is on purpose."""

from pathlib import Path

import pytest

from gateway.config import ConfigError, load
from gateway.serving.vanishing import refuse_vanishing

A = '[models.a]\nsource = "fake"\nengine = "fake"\naliases = ["prod"]\n'
B = '[models.b]\nsource = "fake"\nengine = "fake"\n'
SPLIT = "[splits.s]\nmodels = { a = 1, b = 2 }\n"


def change(folder: Path, old: str, new: str) -> None:
    file = folder / "gateway.toml"
    file.write_text(old)
    before = load(file)
    file.write_text(new)
    refuse_vanishing(before, load(file))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (A + B, "", ["model 'a'", "model 'b'", "alias 'prod'", "embedded models embedded"]),
        (A + B, "port = 1\n", ["model 'a'", "gateway reload --remove"]),
        (A + B, A, ["remove model 'b'. Restore"]),
        (A + B, A.replace('aliases = ["prod"]', "") + B, ["remove alias 'prod'. Restore"]),
        (A + B + SPLIT, A + B, ["remove split 's'. Restore"]),
        (A + B + SPLIT, "", ["split 's'"]),
    ],
)
def test_names_that_vanish_are_refused(
    tmp_path: Path, old: str, new: str, words: list[str]
) -> None:
    with pytest.raises(ConfigError) as found:
        change(tmp_path, old, new)
    for word in words:
        assert word in str(found.value)


@pytest.mark.parametrize("length", range(len(A + B + SPLIT)))
def test_no_beginning_of_a_file_removes_a_name(tmp_path: Path, length: int) -> None:
    """At whatever byte a file is cut: it is refused, or all names are there."""
    whole = A + B + SPLIT
    with pytest.raises(ConfigError):
        change(tmp_path, whole, whole[:length])
        assert whole[length:].strip(" }\n") == ""
        raise ConfigError([])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (A, A + B),
        (A + B, "models = {}\n"),  # on purpose
        ("", A),  # the embedded models are not the operator's
        ("", ""),
        ("models = {}\n", A),
        (A + B, A.replace("[models.a]", "[models.c]").replace('"prod"', '"a", "prod"') + B),
        (A + B, A.replace('aliases = ["prod"]', "") + B + 'aliases = ["prod"]\n'),
    ],
)
def test_what_takes_no_name_away_is_accepted(tmp_path: Path, old: str, new: str) -> None:
    change(tmp_path, old, new)


def test_models_of_the_command_line_cannot_vanish(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("")
    flags = {"models": {"a": {"source": "fake", "engine": "fake"}}}
    refuse_vanishing(load(file, flags), load(file, flags))


def test_an_empty_table_of_models_means_the_embedded_models(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text("models = {}\n")
    assert list(load(file).models) == ["embedded", "embedded-qwen3"]
