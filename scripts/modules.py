"""Writes the table of modules in docs/architecture.md from their docstrings; --check compares.

A module's first paragraph is its one line in the documents, so the two cannot drift apart.
"""

import ast
import sys
from pathlib import Path

_ROOT = Path(__file__).parent.parent
_PAGE = _ROOT / "docs" / "architecture.md"
_BEGIN, _END = "<!-- modules: scripts/docs -->\n", "<!-- end of modules -->\n"


def main(arguments: list[str]) -> int:
    """Write the table, or with `--check` say by the exit code whether it is up to date."""
    page = _PAGE.read_text()
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    wanted = before + _BEGIN + _table() + _END + after
    if arguments == ["--check"]:
        if page != wanted:
            sys.stderr.write(f"{_PAGE.name} is not what the modules say; run scripts/docs\n")
        return int(page != wanted)
    _PAGE.write_text(wanted)
    return 0


def _table() -> str:
    paths = [path for package in ("gateway", "shards") for path in (_ROOT / package).rglob("*.py")]
    rows = [f"| `{path.relative_to(_ROOT)}` | {_first_paragraph(path)} |" for path in sorted(paths)]
    return "\n".join(["| module | what it is |", "|---|---|", *rows]) + "\n"


def _first_paragraph(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
