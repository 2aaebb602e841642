"""The cleared sources and our own texts, read into (query, passage) pairs, and split.

Every passage belongs to one split, and the split is a function of what the passage is about, not
of chance: PHP pages are divided by page (the same page in both languages falls into the same
part), Natural Questions by Wikipedia article, PubMedQA by its own published test list, the texts
written for this project by subject (both languages together). WordNet is all `train`. Only
`train` is ever used for the vocabulary, the vectors, the term weights and the training lists.
`choice` serves decisions (how long to train, what to average), `held_out` only the figures of the
model card.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .wordnet import read_senses
from .written import read_written

Split = Literal["train", "choice", "held_out"]

LEXICON_FOLDER = Path(__file__).parent / "lexicon"


@dataclass(frozen=True)
class Pair:
    """A query and the passage that answers it."""

    source: str
    language: str
    split: Split
    query: str
    document: str
    wrong: str = ""  # a document that shares words with the query and does not answer it


def bucket(key: str, buckets: int) -> int:
    """A number below `buckets` that is the same on every machine and in every run."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % buckets


def split_of(key: str) -> Split:
    number = bucket(key, 20)
    if number < 2:
        return "held_out"
    return "choice" if number == 2 else "train"


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def php_pairs(data: Path, language: str) -> list[Pair]:
    records = read_json_lines(data / "php-docs" / f"pairs.{language}.jsonl")
    return [
        Pair(f"php-{language}", language, split_of(r["id"]), r["query"], r["doc"]) for r in records
    ]


def untokenise(text: str) -> str:
    """Natural Questions text has spaces around punctuation; ordinary text has none."""
    text = text.replace("``", '"').replace("''", '"').replace("( ", "(").replace(" - ", "-")
    return re.sub(r" ([.,;:!?)%]|'s\b|n't\b)", r"\1", text)


def question_pairs(data: Path) -> list[Pair]:
    """Google questions with their Wikipedia paragraphs; dev articles met in train are dropped."""
    folder = data / "qed-nq"
    train = [r for path in sorted(folder.glob("nq-train-*")) for r in read_json_lines(path)]
    titles = {record["title_text"] for record in train}
    dev = read_json_lines(folder / "qed-dev.jsonlines")
    pairs = []
    for record in train:
        split: Split = "choice" if bucket(record["title_text"], 25) == 0 else "train"
        pairs.append(question_pair(record, split))
    fresh = [question_pair(r, "held_out") for r in dev if r["title_text"] not in titles]
    return pairs + fresh


def question_pair(record: dict[str, Any], split: Split) -> Pair:
    passage = untokenise(record["paragraph_text"])
    return Pair("qed-nq", "en", split, record["question_text"], passage)


def medical_pairs(data: Path) -> list[Pair]:
    folder = data / "pubmedqa"
    records = json.loads((folder / "ori_pqal.json").read_text(encoding="utf-8"))
    test = json.loads((folder / "test_ground_truth.json").read_text(encoding="utf-8"))
    pairs = []
    for number, record in records.items():
        split: Split = "held_out" if number in test else "train"
        if split == "train" and bucket(number, 10) == 0:
            split = "choice"
        abstract = " ".join(record["CONTEXTS"])
        pairs.append(Pair("pubmedqa", "en", split, record["QUESTION"], abstract))
    return pairs


def dialogue_pairs(data: Path, questions_each: int = 3) -> list[Pair]:
    """Russian premises with a few of their questions; the rest only turn the word order round."""
    questions: dict[str, list[str]] = {}
    premise = ""
    for path in sorted((data / "koziev-qa").glob("premise_*.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("T: "):
                premise = line[3:].strip()
            elif line.startswith("Q: "):
                questions.setdefault(premise, []).append(line[3:].strip())
    return [
        Pair("koziev-qa", "ru", split_of(premise), question, premise)
        for premise, asked in questions.items()
        for question in sorted(set(asked), key=lambda text: bucket(text, 1 << 30))[:questions_each]
    ]


def sense_pairs(folder: Path) -> list[Pair]:
    """WordNet's words of one sense, with its gloss."""
    return [Pair("wordnet", "en", "train", words, gloss) for words, gloss in read_senses(folder)]


def written_split(number: int) -> Split:
    return "choice" if bucket(f"written {number}", 10) == 0 else "train"


def written_pairs() -> list[Pair]:
    items, _ = read_written()
    return [
        Pair(
            f"written-{item.language}",
            item.language,
            written_split(item.number),
            query,
            item.right,
            item.wrong,
        )
        for item in items
        for query in item.queries
    ]


def read_pairs(data: Path) -> list[Pair]:
    """The pairs of every source but WordNet, which is for training alone."""
    return [
        *php_pairs(data, "en"),
        *php_pairs(data, "ru"),
        *question_pairs(data),
        *medical_pairs(data),
        *dialogue_pairs(data),
        *written_pairs(),
    ]


def read_lexicon() -> list[tuple[str, str]]:
    """(language, line) of the project's own word groups: everyday words that belong together."""
    lines: list[tuple[str, str]] = []
    for path in sorted(LEXICON_FOLDER.glob("*.txt")):
        text = path.read_text(encoding="utf-8").splitlines()
        lines += [(path.stem, line.strip()) for line in text if line and not line.startswith("#")]
    return lines
