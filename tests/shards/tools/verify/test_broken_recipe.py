"""A verification fails where the engine's reading of a folder is wrong, as in broken recipes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from shards.checkpoint import reading
from shards.engines import load_engine
from shards.prompts import TEMPLATES, Answers
from shards.recipe import Recipe
from shards.tools.verify import checks
from shards.tools.verify.agreement import questions
from shards.tools.verify.reference import Reference
from tests.shards.checkpoint.kinds import SERVED
from tests.shards.checkpoint.specs import spec_of

_KINDS = {
    "causal": "a default instruction",
    "modules": "modules, mean",
    "pair": "BERT with a default prompt",
    "labels": "Qwen3 with two labels",
}
_BROKEN: dict[str, tuple[str, Callable[[Recipe], Recipe]]] = {
    "another prompt": ("causal", lambda good: replace(good, prompt=TEMPLATES["qwen3-reranker"])),
    "no prompt": ("causal", lambda good: replace(good, prompt=None)),
    "other tokens": ("causal", lambda good: replace(good, answers=Answers(true=30, false=20))),
    "a true token alone": ("causal", lambda good: replace(good, answers=Answers(true=10))),
    "another pooling": ("modules", lambda good: replace(good, pooling="cls")),
    "a module left out": ("modules", lambda good: replace(good, modules=good.modules[1:])),
    "no prompt before the query": ("pair", lambda good: replace(good, before_query="")),
    "the other label": ("labels", lambda good: replace(good, label_weights=(1.0, -1.0))),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: SERVED[kind](tmp_path_factory.mktemp(name)) for name, kind in _KINDS.items()}


@pytest.mark.parametrize("how", _BROKEN)
def test_a_recipe_that_is_broken_on_purpose_fails(
    how: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, broken = _BROKEN[how]
    right = reading._Reading.recipe
    monkeypatch.setattr(reading._Reading, "recipe", lambda self: broken(right(self)))
    assert not _check(folders[kind]).passed


@pytest.mark.parametrize("kind", _KINDS)
def test_the_right_recipe_passes(kind: str, folders: dict[str, Path]) -> None:
    found = _check(folders[kind])
    assert found.passed, found.said


def _check(folder: Path) -> checks.Check:
    engine, reference = load_engine(spec_of(folder), lambda line: None), Reference(folder)
    asked = questions(8)
    ours = checks.own_margins(engine, asked, lambda steps: None)
    theirs = [
        margin
        for question in asked
        for margin in reference.margins(question.query, question.documents, lambda steps: None)
    ]
    return checks.agrees(ours, "fp32", theirs)
