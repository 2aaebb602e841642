"""docs/reliability.md names tests: each of them exists, and each row has one or a reason."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(\S+\.py)::(test_\w+)`", PAGE)))
ROWS = re.findall(r"^\| (\d+)(?: – (\d+))? \|(.*)\|$", PAGE, re.MULTILINE)
ELSEWHERE = {*range(37, 40), *range(46, 51), *range(58, 73)}
"""Rows that stand under Clients and HTTP, without their numbers."""


@cache
def _functions(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, kinds)}


@pytest.mark.parametrize(("file", "test"), NAMED, ids=lambda part: part)
def test_every_test_in_the_table_exists(file: str, test: str) -> None:
    assert test in _functions(TESTS / file)


def test_every_fault_of_the_catalogue_has_its_row() -> None:
    there = {
        number for first, last, _ in ROWS for number in range(int(first), int(last or first) + 1)
    }
    assert there | ELSEWHERE == set(range(1, 73))


def test_every_row_has_a_test_or_a_reason() -> None:
    for number, _, row in ROWS:
        *_, test, measured = (cell.strip() for cell in row.split("|"))
        assert test.startswith("`") or (test == "none" and measured), f"row {number}"
