"""Candidates made from the caller's documents: a text, metadata, a first-stage score.

A document is a string, a mapping or an object. Of mappings and objects the text is the first of
`page_content`, `text` and `content` that is a string, which fits the documents of LangChain,
LlamaIndex and Haystack, and plain JSON. Metadata is their `metadata` or `meta`; a mapping without
either is its own metadata. A tuple of a document and a number is a document with its score from
a first stage.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, SupportsFloat

from gateway.client.errors import InvalidRequest

TEXT_NAMES = ("page_content", "text", "content")
METADATA_NAMES = ("metadata", "meta")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One document to be scored; `document` is the caller's own."""

    document: Any
    text: str
    metadata: Mapping[str, object] = field(default_factory=dict)
    first_stage_score: float | None = None


def read_candidates(documents: Sequence[object]) -> tuple[Candidate, ...]:
    """Return one candidate per document, in order.

    Raises:
        InvalidRequest: a document has no text, or a first-stage score that is no finite number.
    """
    if isinstance(documents, str):
        raise InvalidRequest("documents is one string: send a list of documents")
    return tuple(_read(given, f"documents[{index}]") for index, given in enumerate(documents))


def _read(given: object, name: str) -> Candidate:
    if isinstance(given, tuple) and len(given) == 2:
        document, score = given
        return Candidate(
            document, _text(document, name), _metadata(document), _first_stage(score, name)
        )
    return Candidate(given, _text(given, name), _metadata(given))


def _text(document: object, name: str) -> str:
    if isinstance(document, str):
        return document
    found = (_get(document, key) for key in TEXT_NAMES)
    text = next((value for value in found if isinstance(value, str)), None)
    if text is None:
        raise InvalidRequest(
            f"{name} is {type(document).__name__} without a text: give a string, or a mapping or "
            f"object with one of {', '.join(TEXT_NAMES)}"
        )
    return text


def _metadata(document: object) -> Mapping[str, object]:
    found = (_get(document, key) for key in METADATA_NAMES)
    metadata = next((value for value in found if isinstance(value, Mapping)), None)
    if metadata is None:
        return document if isinstance(document, Mapping) else {}
    return metadata


def _get(document: object, key: str) -> object:
    return document.get(key) if isinstance(document, Mapping) else getattr(document, key, None)


def _first_stage(score: object, name: str) -> float:
    number = float(score) if isinstance(score, SupportsFloat) else math.nan
    if not math.isfinite(number):
        raise InvalidRequest(f"{name} has the first-stage score {score!r}: give a finite number")
    return number
