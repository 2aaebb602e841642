"""WordNet 3.0 as (words, gloss) pairs: what English words mean, said in other words.

The files are those of Debian's package `wordnet-base` (`/usr/share/wordnet`; without installing:
`apt-get download wordnet-base`, `dpkg -x`). Taken are the senses that were met in WordNet's tagged
texts: the plain meanings of plain words. The words of a sense are its synonyms, then the first word
of each broader sense; its gloss is a definition and sometimes example sentences.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PARTS = ("noun", "verb", "adj", "adv")
BROADER = {"@", "&"}  # hypernym; similar adjective
POINTER_FIELDS = 4  # symbol, offset, part of speech, which words


@dataclass(frozen=True)
class Sense:
    words: list[str]
    broader: list[str]  # offsets of the broader senses in the same file
    gloss: str


def tagged_offsets(path: Path) -> set[str]:
    """An index line: lemma, part, senses, pointers, their symbols, senses, tagged senses, offsets,
    the most frequent sense first."""
    found: set[str] = set()
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            continue  # the licence
        fields = line.split()
        after = 4 + int(fields[3])
        tagged = int(fields[after + 1])
        found.update(fields[after + 2 : after + 2 + tagged])
    return found


def senses(path: Path) -> Iterator[tuple[str, Sense]]:
    """A data line: offset, file, part, words (in hexadecimal), each with an id, pointers, `|`,
    gloss."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith(" "):
            continue
        head, _, gloss = line.partition(" | ")
        fields = head.split()
        count = int(fields[3], 16)
        words = [
            re.sub(r"\(\w+\)$", "", w).replace("_", " ") for w in fields[4 : 4 + 2 * count : 2]
        ]
        pointers = fields[5 + 2 * count :]
        broader = [
            pointers[n + 1]
            for n in range(0, POINTER_FIELDS * int(fields[4 + 2 * count]), POINTER_FIELDS)
            if pointers[n] in BROADER
        ]
        yield fields[0], Sense(words, broader, gloss.strip())


def read_senses(folder: Path) -> list[tuple[str, str]]:
    """(words, gloss) of every tagged sense."""
    pairs = []
    for part in PARTS:
        if not (folder / f"data.{part}").exists():
            raise FileNotFoundError(
                f"{folder} holds no WordNet; install Debian's wordnet-base, or name a folder that "
                "holds it with --wordnet"
            )
        known = dict(senses(folder / f"data.{part}"))
        tagged = tagged_offsets(folder / f"index.{part}")
        for offset, sense in known.items():
            if offset in tagged:
                wider = [known[other].words[0] for other in sense.broader if other in known]
                pairs.append((", ".join([*sense.words, *wider]), sense.gloss))
    return pairs
