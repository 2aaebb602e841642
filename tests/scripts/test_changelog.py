"""Changelog fragments: those of this checkout are well-formed, and become release notes."""

from pathlib import Path

import pytest

from scripts.changelog import FOLDER, NOTES, fragments, notes, problems, release

ROOT = Path(__file__).parents[2]


def test_the_fragments_of_this_checkout_are_well_formed() -> None:
    assert list(problems(ROOT / FOLDER)) == []


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("Cache.added.md", "- A cache.\n", "the name is NAME.KIND.md"),
        ("cache.improved.md", "- A cache.\n", "KIND one of added"),
        ("cache.added.md", "A cache.\n", "a list item"),
        ("cache.added.md", "- A cache.", "ends its line"),
        ("cache.added.md", "- A cache.\n# Cache\n", "no heading"),
        ("cache.added.md", "- " + "cache " * 30 + "\n", "at most 120 columns"),
    ],
)
def test_a_fragment_that_breaks_a_rule_is_named(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    (tmp_path / "README.md").write_text("# Changelog fragments\n")
    (tmp_path / name).write_text(text)
    (found,) = problems(tmp_path)
    assert found.startswith(f"{name}: ")
    assert problem in found


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with two fragments and the notes of an old version."""
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "README.md").write_text("# Changelog fragments\n")
    (tmp_path / FOLDER / "hang.fixed.md").write_text("- A hang is found.\n")
    (tmp_path / FOLDER / "cache.added.md").write_text("- A cache.\n")
    (tmp_path / NOTES).parent.mkdir()
    (tmp_path / NOTES).write_text("# Release notes\n\n## 0.1.0\n\nThe first version.\n")
    return tmp_path


def test_fragments_are_sorted_by_kind(checkout: Path) -> None:
    assert notes(checkout / FOLDER) == (
        "### New\n\n- A cache.\n\n### Fixed\n\n- A hang is found.\n"
    )


def test_a_release_has_the_fragments_and_leaves_none(checkout: Path) -> None:
    release(checkout, "0.2.0")
    text = (checkout / NOTES).read_text()
    assert text.startswith("# Release notes\n\n## 0.2.0\n\n### New\n\n- A cache.\n")
    assert text.endswith("- A hang is found.\n\n## 0.1.0\n\nThe first version.\n")
    assert fragments(checkout / FOLDER) == []


def test_a_version_that_has_notes_gets_the_fragments_in_them(checkout: Path) -> None:
    release(checkout, "0.1.0")
    text = (checkout / NOTES).read_text()
    assert text.count("## 0.1.0") == 1
    assert text.endswith("- A hang is found.\n\nThe first version.\n")
