"""WordNet's files, in the form of their manual pages."""

from pathlib import Path

import pytest

from scripts.embedded.wordnet import PARTS, read_senses

LICENCE = "  1 This software and database is being provided to you, the LICENSEE.\n"
DATA = """00000010 06 n 02 kettle 0 tea_kettle 0 001 @ 00000020 n 0000 | a pot for boiling water
00000020 06 n 01 pot 0 001 ~ 00000010 n 0000 | a metal vessel; "a pot of soup"
00000030 06 n 01 kettle 1 000 | a hollow made by ice
"""
INDEX = """kettle n 2 1 @ 2 1 00000010 00000030
pot n 1 1 ~ 1 1 00000020
tea_kettle n 1 1 @ 1 0 00000010
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part in PARTS:
        (tmp_path / f"data.{part}").write_text(LICENCE)
        (tmp_path / f"index.{part}").write_text(LICENCE)
    (tmp_path / "data.noun").write_text(LICENCE + DATA)
    (tmp_path / "index.noun").write_text(LICENCE + INDEX)
    return tmp_path


def test_the_words_of_a_sense_are_its_synonyms_and_hypernyms(folder: Path) -> None:
    assert read_senses(folder) == [
        ("kettle, tea kettle, pot", "a pot for boiling water"),
        ("pot", 'a metal vessel; "a pot of soup"'),
    ]


def test_the_error_for_a_missing_wordnet_has_the_package_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="wordnet-base"):
        read_senses(tmp_path)
