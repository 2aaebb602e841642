"""Release notes from the fragments of changelog.d.

python scripts/changelog.py             check the fragments, and print the notes they make
python scripts/changelog.py --release   put them into docs/release-notes.md, and delete them
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

KINDS = {
    "added": "New",
    "changed": "Changed",
    "fixed": "Fixed",
    "removed": "Removed",
    "security": "Security",
}
FOLDER = "changelog.d"
NOTES = "docs/release-notes.md"

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\.(?P<kind>[a-z]+)\.md")
_INTRODUCTION = "README.md"
_COLUMNS = 120


def fragments(folder: Path) -> list[Path]:
    """Return the fragments by name."""
    return sorted(path for path in folder.iterdir() if path.name != _INTRODUCTION)


def problems(folder: Path) -> Iterator[str]:
    """Yield one line for each rule of changelog.d/README.md that a fragment breaks."""
    for path in fragments(folder):
        found = _NAME.fullmatch(path.name)
        if not found or found["kind"] not in KINDS:
            yield f"{path.name}: the name is NAME.KIND.md, KIND one of {', '.join(KINDS)}"
        text = path.read_text(encoding="utf-8")
        if not text.startswith("- ") or not text.endswith("\n"):
            yield f"{path.name}: a fragment is a list item that begins with '- ' and ends its line"
        if re.search(r"^#", text, re.MULTILINE):
            yield f"{path.name}: a fragment has no heading"
        if max(map(len, text.splitlines()), default=0) > _COLUMNS:
            yield f"{path.name}: lines have at most {_COLUMNS} columns"


def notes(folder: Path) -> str:
    """Return the fragments as a part of the release notes, in the order of `KINDS`."""
    parts = []
    for kind, title in KINDS.items():
        items = [
            path.read_text(encoding="utf-8")
            for path in fragments(folder)
            if path.name.endswith(f".{kind}.md")
        ]
        if items:
            parts.append(f"### {title}\n\n" + "".join(items))
    return "\n".join(parts)


def release(root: Path, version: str) -> None:
    """Put the fragments at the head of the release notes, below a version, and delete them.

    Notes that have a section of this version already get the fragments in it.
    """
    page = root / NOTES
    text = page.read_text(encoding="utf-8")
    heading = f"## {version}\n\n"
    title, _, rest = text.partition("\n\n")
    if rest.startswith(heading):
        rest = rest.removeprefix(heading)
    folder = root / FOLDER
    page.write_text(f"{title}\n\n{heading}{notes(folder)}\n{rest}", encoding="utf-8")
    for path in fragments(folder):
        path.unlink()


def main() -> None:
    """Check, then print or release."""
    from gateway import __version__

    root = Path(__file__).parents[1]
    found = list(problems(root / FOLDER))
    for line in found:
        sys.stderr.write(f"{FOLDER}/{line}\n")
    if found:
        sys.exit(1)
    if sys.argv[1:] == ["--release"]:
        release(root, __version__)
    else:
        sys.stdout.write(notes(root / FOLDER))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
