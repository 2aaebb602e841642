"""The tests that a document names as `file.py::test_name`, and those that there are."""

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent


def named_tests(page: str) -> list[tuple[str, str]]:
    """Return the file, below `tests`, and the name of each test on a page."""
    return sorted(set(re.findall(r"`(\S+\.py)::(test_\w+)`", page)))


@cache
def functions(file: Path) -> set[str]:
    """Return the names of the functions of a module."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, kinds)}
