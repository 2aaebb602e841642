"""Ten questions a language against the ten answers of all of them: how many rights come first.

`python -m scripts.embedded.languages FOLDER...` compares folders of bi-encoders, for example one
with a cut vocabulary and one without: `scripts/adopt-embedded --pieces 250002` makes the second.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from .engine_ranker import engine_ranker
from .evaluation import Question, Set

_FILE = Path(__file__).parent / "languages.jsonl"


def language_sets() -> list[Set]:
    rows = [json.loads(line) for line in _FILE.read_text(encoding="utf-8").splitlines()]
    sets = []
    for language in dict.fromkeys(row["language"] for row in rows):
        own = [row for row in rows if row["language"] == language]
        documents = [row["document"] for row in own]
        questions = [Question(row["query"], documents, at) for at, row in enumerate(own)]
        sets.append(Set(language, language, questions, documents))
    return sets


def firsts(held: Set, scores: Sequence[Sequence[float]]) -> int:
    best = (max(range(len(row)), key=row.__getitem__) for row in scores)
    return sum(at == question.right for at, question in zip(best, held.questions, strict=True))


def main(folders: Sequence[str]) -> None:
    for folder in folders:
        rank = engine_ranker(Path(folder))
        found = {held.name: firsts(held, rank(held)) for held in language_sets()}
        print(folder, found)


if __name__ == "__main__":
    main(sys.argv[1:])
