"""A check of the prose in code and documents: prints every offender.

The rules: no docstring opens with a question word, no text names an unknown person (`_VAGUE`), no
line of a document has more than 120 columns. Ruff checks the length of Python lines.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

DOCUMENT_COLUMNS = 120
TEXTS = {".py", ".md", ".toml", ".js", ".css", ".html", ".c", ".h", ".yml", ".yaml", ".sh", ""}

_QUESTION = re.compile(r"(What|Who|Whose|Whether|How|Which|Where|When|Why)\b")
_VAGUE = re.compile("who" + "ever|no" + "body|some" + "body|every" + "body", re.IGNORECASE)
_LINK = re.compile(r"\s*\[[^]]+\]: ")


def offenders(root: Path) -> Iterator[str]:
    """Yield one line for each place that breaks a rule."""
    for name in _tracked(root):
        file = root / name
        if file.suffix not in TEXTS or not file.is_file():
            continue
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        yield from _vague_words(name, text)
        if file.suffix == ".py":
            yield from _questions(name, text)
        if file.suffix == ".md":
            yield from _long_lines(name, text)


def _tracked(root: Path) -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return sorted(subprocess.check_output(command, cwd=root, text=True).splitlines())


def _vague_words(name: str, text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        if found := _VAGUE.search(line):
            yield f"{name}:{number}: {found[0]!r}: say who or what"


def _questions(name: str, text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            text_of = node.value.value  # a string that stands alone, also one of an attribute
            if isinstance(text_of, str) and _QUESTION.match(text_of.strip()):
                yield f"{name}:{node.lineno}: the docstring opens with a question word"


def _long_lines(name: str, text: str) -> Iterator[str]:
    """Link definitions cannot be wrapped, so they have no limit."""
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > DOCUMENT_COLUMNS and not _LINK.match(line):
            yield f"{name}:{number}: {len(line)} columns, the limit is {DOCUMENT_COLUMNS}"


if __name__ == "__main__":
    found = list(offenders(Path(__file__).resolve().parent.parent))
    sys.stdout.write("".join(f"{line}\n" for line in found) or "Prose kept.\n")
    sys.exit(bool(found))
