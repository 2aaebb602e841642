"""Changes of one line of any file of a good folder: the score stays, is right, or is refused.

A score is never wrong, and only a refusal ends a load. Each key of each JSON file is dropped, given
a value of another type, and another value of its own type. A run of the suite draws some of these
changes; `EVERY_MUTATION=1` takes all.
"""

import copy
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from shards.engines import load_engine
from shards.refusal import Refusal
from shards.tools.verify.reference import Reference
from tests.shards.checkpoint import kinds
from tests.shards.checkpoint.specs import spec_of

_PAIRS = (
    ("What is the capital of France?", "The capital of France is Paris."),
    ("Как часто?", "Два раза в год, говорят врачи."),
)
_DRAWN = 8  # of each folder
_SKIPPED = ("tokenizer.json", "generation_config.json", "model.safetensors.index.json")
_GOOD: dict[str, Callable[[Path], Path]] = {
    "causal": kinds.SERVED["a default instruction"],
    "modules": kinds.SERVED["modules on BERT, mean, prompt"],
    "classifier": kinds.SERVED["BERT with a default prompt"],
    "positions": kinds.SERVED["XLM-R"],
    "both ways": kinds.SERVED["nemotron: Llama both ways, mean"],
}


def mutations(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Yield file, key and kind of change of every possible mutation of a folder."""
    for path in sorted(folder.rglob("*.json")):
        name = path.relative_to(folder).as_posix()
        if name not in _SKIPPED:
            for key in _keys(json.loads(path.read_text())):
                for how in ("drop", "type", "value"):
                    yield name, "/".join(map(str, key)), how


def _keys(content: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in items:
        yield (*above, key)
        if isinstance(value, dict | list) and len(value) < 20:
            yield from _keys(value, (*above, key))


def mutate(folder: Path, file: str, key: str, how: str) -> None:
    path = folder / file
    content = json.loads(path.read_text())
    holder: Any = content
    *outer, last = key.split("/")
    for part in outer:
        holder = holder[int(part)] if isinstance(holder, list) else holder[part]
    place: Any = int(last) if isinstance(holder, list) else last
    if how == "drop":
        del holder[place]
    else:
        holder[place] = (_other_type if how == "type" else _other_value)(holder[place])
    path.write_text(json.dumps(content))


def _other_type(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return [value]
    return {"a": 1} if isinstance(value, str) else "text"


def _other_value(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value * 2 + 1
    if isinstance(value, str):
        return f"{value}x" if value else "x"
    if isinstance(value, dict):
        return {**copy.deepcopy(value), "added": 1}
    return [*value, "added"] if isinstance(value, list) else 3


def _cases(kind: str) -> list[tuple[str, str, str]]:
    """Return the mutations of this run."""
    every = _every(kind)
    if os.environ.get("EVERY_MUTATION"):
        return every
    return Random(kind).sample(every, min(_DRAWN, len(every)))


def _every(kind: str) -> list[tuple[str, str, str]]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return list(mutations(_GOOD[kind](Path(folder))))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: make(tmp_path_factory.mktemp(kind)) for kind, make in _GOOD.items()}


@pytest.mark.timeout(3600 if os.environ.get("EVERY_MUTATION") else 300)  # some loads each
@pytest.mark.parametrize("kind", _GOOD)
def test_a_mutated_line_never_makes_a_wrong_score(
    kind: str, good: dict[str, Path], tmp_path: Path
) -> None:
    expected = _ours(good[kind])
    wrong = []
    for at, case in enumerate(_cases(kind)):
        folder = Path(shutil.copytree(good[kind], tmp_path / str(at)))
        mutate(folder, *case)
        try:
            found = _ours(folder)
        except Refusal:
            continue
        theirs = _theirs(folder)
        is_right = found == pytest.approx(theirs, abs=1e-3) if theirs else False
        if not is_right and (theirs or found != pytest.approx(expected, abs=1e-3)):
            wrong.append((case, found, theirs, expected))
    assert not wrong, "\n".join(map(str, wrong))


def _ours(folder: Path) -> list[float]:
    engine = load_engine(spec_of(folder), lambda line: None)
    return [
        engine.score(
            engine.tokenizer.tokenize(query, (text,), instruction="", max_document_tokens=0)
        )[0]
        for query, text in _PAIRS
    ]


def _theirs(folder: Path) -> list[float]:
    """Return the reference's margins of a folder; none where the reference cannot read it."""
    try:
        reference = Reference(folder)
        return [reference.margins(query, [text], lambda done: None)[0] for query, text in _PAIRS]
    except Exception:
        return []
