"""Check docs/compatibility.md: each entry has every field, and its tests and scripts exist."""

import os
import re

import pytest

from tests.named_tests import TESTS, functions, named_tests

ROOT = TESTS.parent
PAGE = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
ENTRIES = dict(re.findall(r"^- \*\*(.+?)\*\*\n((?:  .*\n)+)", PAGE, re.MULTILINE))
"""Title of each entry, and the lines about it."""
FIELDS = ["Version", "Behaviour", "What we do", "Test", "Source"]
NAMED = named_tests(PAGE)
SCRIPTS = sorted(path.name for path in (ROOT / "findings").glob("*.sh"))
LIST = (ROOT / "findings" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("file", "test"), NAMED, ids=lambda part: part)
def test_every_test_on_the_page_exists(file: str, test: str) -> None:
    assert test in functions(TESTS / file)


@pytest.mark.parametrize("title", ENTRIES)
def test_every_entry_has_every_field_and_a_test(title: str) -> None:
    assert re.findall(r"^  - \*(.+?)\*:", ENTRIES[title], re.MULTILINE) == FIELDS
    assert re.search(r"`\S+\.py::test_\w+`|`findings/\w+\.sh`", ENTRIES[title])


def test_every_line_of_the_list_belongs_to_an_entry() -> None:
    assert PAGE.count("\n- ") == len(ENTRIES)


def test_the_scripts_are_those_on_the_page_and_in_their_list() -> None:
    assert sorted(set(re.findall(r"`findings/(\w+\.sh)`", PAGE))) == SCRIPTS
    assert sorted(re.findall(r"^- `(\w+\.sh)`: ", LIST, re.MULTILINE)) == SCRIPTS


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_can_be_run_and_pin_what_they_install(name: str) -> None:
    script = ROOT / "findings" / name
    assert os.access(script, os.X_OK)
    text = script.read_text(encoding="utf-8")
    (packages,) = re.findall(r"(?:--no-compile|npm install).*\\\n((?: {4}.+\n)+)", text)
    assert all(re.search(r"\w(==|@)\d", name) for name in packages.replace("\\\n", " ").split())
