"""No file of ours above 350 lines, no Python function above 60: prints every offender."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("gateway", "shards", "scripts", "tests")
SUFFIXES = {".py", ".js", ".css", ".html", ".c", ".h"}
FILE_LINES = 350
FUNCTION_LINES = 60


def offenders(root: Path) -> Iterator[str]:
    """Yield one line for each file and function that is too long."""
    for folder in FOLDERS:
        for file in sorted(
            file for file in (root / folder).rglob("*.*") if file.suffix in SUFFIXES
        ):
            text = file.read_text(encoding="utf-8")
            name, lines = file.relative_to(root), text.count("\n")
            if lines > FILE_LINES:
                yield f"{name}: {lines} lines, the limit is {FILE_LINES}"
            for node in ast.walk(ast.parse(text if file.suffix == ".py" else "")):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    length = (node.end_lineno or node.lineno) - node.lineno + 1
                    if length > FUNCTION_LINES:
                        yield (
                            f"{name}:{node.lineno}: {node.name} has {length} lines, "
                            f"the limit is {FUNCTION_LINES}"
                        )


if __name__ == "__main__":
    found = list(offenders(Path(__file__).resolve().parent.parent))
    sys.stdout.write("".join(f"{line}\n" for line in found) or "Sizes kept.\n")
    sys.exit(bool(found))
