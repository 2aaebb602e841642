"""The glossary is complete: all classes on the way of a request, no word that the code lacks."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
BOLD = re.findall(r"\*\*([^*]+)\*\*", PAGE)
WAY = (
    "gateway/http/server/protocol.py",
    "gateway/http/middleware.py",
    "gateway/http/request_context.py",
    "gateway/http/rerank_endpoint.py",
    "gateway/http/model_access.py",
    "gateway/dialects/base.py",
    "gateway/dialects/request_body.py",
    "gateway/domain/request.py",
    "gateway/domain/job.py",
    "gateway/serving/reranker.py",
    "gateway/serving/scatter_gather.py",
    "gateway/serving/score_cache/flights.py",
    "gateway/serving/score_cache/memory.py",
    "gateway/serving/score_cache/score_cache.py",
    "gateway/serving/score_cache/shared_scoring.py",
    "gateway/scheduling/admission.py",
    "gateway/scheduling/dispatch.py",
    "gateway/scheduling/job_scorer.py",
    "gateway/scheduling/model.py",
    "gateway/scheduling/queue.py",
    "gateway/supervision/replica.py",
    "shards/wire/pipe.py",
    "shards/worker/batcher.py",
    "shards/worker/documents.py",
    "shards/worker/intake.py",
    "shards/worker/loop.py",
    "shards/worker/open_jobs.py",
    "shards/worker/runner.py",
    "shards/worker/scheduler.py",
)
"""The modules that `scripts/request_way.py` finds, but for those without a class of their own."""

PRIVATE = (
    *("attendant", "concession", "desk", "door", "edition", "kinship", "lease", "pulse"),
    *("proof", "solo", "standing", "trial"),
)
"""Words of earlier versions; the field has other words for them."""

EXAMPLES = {"gateway/http/web/examples.js"}
"""Texts about everyday life."""


def classes(file: Path) -> Iterator[str]:
    """Yield the classes of a module that other modules use."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name


def is_value(name: str) -> bool:
    """True if a class is no error and no part of a reply: their own docstrings explain these."""
    endings = ("Error", "Errors", "Closed", "Full", "Lost", "TooLong", "Reply", "Detail", "Changed")
    return not name.endswith(endings) or name in BOLD


@pytest.mark.parametrize("module", WAY)
def test_the_classes_on_the_way_of_a_request_are_in_the_glossary(module: str) -> None:
    assert [name for name in classes(ROOT / module) if is_value(name) and name not in BOLD] == []


def test_every_class_of_the_glossary_is_in_the_code() -> None:
    known = {
        name
        for package in ("gateway", "shards")
        for file in (ROOT / package).rglob("*.py")
        for name in classes(file)
    } | {"Batch"}  # a name for a list
    named = {word for word in BOLD if re.fullmatch(r"(?:[A-Z][a-z]+)+", word)}
    assert len(named) > 40
    assert sorted(named - known) == []


def test_the_glossary_has_each_word_once() -> None:
    assert [word for word, number in Counter(BOLD).items() if number > 1] == []


def texts() -> Iterator[tuple[str, str]]:
    """Yield name and text of every file of the product and of the documents."""
    folders = ((ROOT / "gateway", ("*.py", "*.js")), (ROOT / "shards", ("*.py", "*.c", "*.h")))
    for folder, patterns in (*folders, (ROOT / "docs", ("*.md",))):
        for pattern in patterns:
            for file in sorted(folder.rglob(pattern)):
                yield file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")


@pytest.mark.parametrize("word", PRIVATE)
def test_private_words_are_gone(word: str) -> None:
    private = re.compile(rf"(?<![a-z]){word}s?(?![a-z])", re.IGNORECASE)
    assert [name for name, text in texts() if name not in EXAMPLES and private.search(text)] == []
