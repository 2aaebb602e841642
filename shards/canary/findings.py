"""The faults that margins can show, in plain words: observation, meaning and remedy.

Most were reported against other servers, where they went unnoticed because a wrong score looks like
a score. A signature is a test on the margins of several pairs that no healthy model passes. The
table is read from the top, and the first signature that fits is reported.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_EQUAL = 1e-6
_NEARLY_EQUAL = 0.1  # margins that are nearer than this differ by noise only
_SATURATED = 34.0  # a relevance score of 1e-15, or of 1 - 1e-15
_TIED_SHARE = 1 / 3

Margins = Sequence[float]


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault of a model.

    Attributes:
        code: stable, for programs.
        found: the observation.
        meaning: the likely cause and the remedy.
    """

    code: str
    found: str
    meaning: str

    def __str__(self) -> str:
        return f"{self.found}: {self.meaning}"


@dataclass(frozen=True, slots=True)
class _Signature:
    code: str
    fits: Callable[[Margins], bool]
    found: str
    meaning: str
    is_numeric: bool = False


MEANINGS = {
    "order": "no trained reranker does that. The prompt is missing or another model's (see "
    "`template`), the head is random, or the checkpoint is no reranker. Weights that are random or "
    'experimental on purpose are served with canary = "numeric" (--canary numeric); a model of a '
    'field or language of its own is checked by its own pairs: canary = "own", and `canaries`',
    "inverted": "yes and no, or the two labels, are swapped: check id2label in config.json, and "
    "`template`",
    "spread": "right and wrong answers get nearly the same score: the prompt is there twice, its "
    "end is cut off, or the weights are damaged; check `template` and `max_length`, and download "
    "the checkpoint again",
    "changed": "the same weights must give the same scores. A part of the model is random or was "
    "damaged in memory; if it comes back, test the memory of this device",
    "own": "`canaries` in the configuration expect otherwise. Correct them, or find the change in "
    "the model since they were written",
}
"""Cause and remedy of the findings that have no signature."""

_SIGNATURES = (
    _Signature(
        "not_finite",
        lambda margins: not all(map(math.isfinite, margins)),
        "a score is not a number (NaN or infinite)",
        "fp16 overflows, or a mask or a weight is broken: use bf16 or fp32 (`dtype`), and download "
        "the checkpoint again if that does not help",
        is_numeric=True,
    ),
    _Signature(
        "all_half",
        lambda margins: max(map(abs, margins)) < _EQUAL,
        "every score is exactly 0.5 (margin 0)",
        "the head is zero or missing, for example an untied lm_head that was not saved, or yes and "
        "no are the same token: use a checkpoint that was saved as a reranker",
        is_numeric=True,
    ),
    _Signature(
        "all_equal",
        lambda margins: _width(margins) < _EQUAL * max(1.0, abs(margins[0])),
        "every pair has the same score",
        "the model does not see query and document: its head is constant, or everything was cut; "
        "check `max_length`, and use a checkpoint that was saved as a reranker",
        is_numeric=True,
    ),
    _Signature(
        "all_zero",
        lambda margins: max(margins) < -_SATURATED,
        "every score is next to 0 (1e-15 and less)",
        "the head is missing or was converted wrongly (GGUF files without cls.output.weight give "
        "1e-20): take the original checkpoint",
    ),
    _Signature(
        "all_one",
        lambda margins: min(margins) > _SATURATED,
        "every score is next to 1",
        "the head is missing or was converted wrongly: take the original checkpoint",
    ),
    _Signature(
        "sigmoid_twice",
        lambda margins: min(margins) >= 0.0 and max(margins) <= 1.0,
        "every score lies between 0.5 and 0.7311",
        "the model's output is a probability already, and sigmoid is applied to it again: remove "
        "the activation from the checkpoint's head",
    ),
    _Signature(
        "nearly_equal",
        lambda margins: _width(margins) < _NEARLY_EQUAL,
        f"all scores lie within {_NEARLY_EQUAL} of margin",
        "the head is random, the prompt is there twice, or its end is cut off: check `template` "
        "and that the checkpoint was trained as a reranker",
    ),
    _Signature(
        "ties",
        lambda margins: _tied(margins) > _TIED_SHARE * len(margins),
        "many different pairs have exactly the same score",
        "scores are rounded to 8 or 11 bits before they are compared (bf16 or fp16 logits, "
        "quantised weights), or the letters are unknown to the tokenizer: use fp32 (`dtype`)",
    ),
)


def signature(margins: Margins, *, numeric: bool) -> Finding | None:
    """Return the fault that these margins of different pairs show, if any.

    Args:
        numeric: whether to report only faults that not even an untrained model has.
    """
    for candidate in _SIGNATURES:
        if (candidate.is_numeric or not numeric) and candidate.fits(margins):
            return Finding(candidate.code, candidate.found, candidate.meaning)
    return None


def finding(code: str, found: str) -> Finding:
    """Return a finding of `MEANINGS`."""
    return Finding(code, found, MEANINGS[code])


def _width(margins: Margins) -> float:
    return max(margins) - min(margins)


def _tied(margins: Margins) -> int:
    """Return the number of pairs that share their margin with another."""
    return sum(count for count in Counter(margins).values() if count > 1)
