"""The tests that docs/reliability.md names exist, and each fault has a test or a reason."""

import re

import pytest

from tests.named_tests import TESTS, functions, named_tests

PAGE = (TESTS.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
NAMED = named_tests(PAGE)
FAULTS = re.findall(r"^- \*\*(\d+)(?: – (\d+))?(?: \w)?\. (.*\n(?:  .*\n)*)", PAGE, re.MULTILINE)
"""First and last number of each fault, and the lines about it."""
ELSEWHERE = {*range(37, 40), *range(46, 51), *range(58, 73)}
"""Faults under Clients and HTTP, which the page lists without their numbers."""


@pytest.mark.parametrize(("file", "test"), NAMED, ids=lambda part: part)
def test_every_test_in_the_table_exists(file: str, test: str) -> None:
    assert test in functions(TESTS / file)


def test_every_fault_of_the_catalogue_is_on_the_page() -> None:
    there = {
        number for first, last, _ in FAULTS for number in range(int(first), int(last or first) + 1)
    }
    assert there | ELSEWHERE == set(range(1, 73))


def test_every_fault_has_a_test_or_a_reason() -> None:
    for number, _, text in FAULTS:
        assert "\n  - `" in text or "*No test*: " in text, f"fault {number}"
