"""The weights of a classification head's labels in the margin.

One label: the margin is its logit. Two labels: the margin is the logit of the positive label less
that of the other, so that its sigmoid is the softmax.
"""

import re
from collections.abc import Mapping

from shards.checkpoint.expect import File
from shards.refusal import Refusal

_POSITIVE = frozenset(
    {
        *("yes", "relevant", "positive", "pos", "entailment", "entailed", "1", "true", "match"),
        *("duplicate", "similar", "good", "answer", "related", "correct", "high"),
    }
)
_NEGATIVE = frozenset(
    {
        *("no", "irrelevant", "not_relevant", "not relevant", "non_relevant", "non-relevant"),
        *("negative", "neg", "not_entailment", "contradiction", "0", "false", "no_match"),
        *("not_duplicate", "dissimilar", "bad", "unrelated", "other", "incorrect", "low"),
    }
)

_DENIED = re.compile(r"(not|no|non|is not|isn't)[ _-]+(?=\w)")


def labels_of(config: File) -> dict[int, str]:
    """Return the labels by their number, as transformers reads a config.json: two by default."""
    named = config.object("id2label").content
    if named:
        return {int(id): str(label) for id, label in sorted(named.items(), key=_number)}
    return {id: f"LABEL_{id}" for id in range(config.count("num_labels", most=1 << 20) or 2)}


def _number(named: tuple[str, object]) -> int:
    return int(named[0])


def label_weights(
    id2label: Mapping[int, str], name: str
) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Return the weight of each label's logit in the margin, and warnings.

    Args:
        name: the name of the checkpoint, for messages.

    Raises:
        Refusal: there are more than two labels.
    """
    if len(id2label) == 1:
        return (1.0,), ()
    if len(id2label) != 2:
        shown = list(id2label.values())[:8]
        raise Refusal(
            f"{name} has {len(id2label)} labels ({', '.join(shown)}): it sorts pairs into classes; "
            "a reranker has one or two: use a checkpoint that was trained to rank"
        )
    signs = {id: _sign(label) for id, label in id2label.items()}
    if signs[0] != signs[1]:
        return ((1.0, -1.0) if signs[0] > signs[1] else (-1.0, 1.0)), ()
    labels = f"{id2label[0]!r} and {id2label[1]!r}"
    return (-1.0, 1.0), (f"labels {labels} do not say which is positive; guessed the last",)


def _sign(label: str) -> int:
    word = label.strip().lower()
    if denied := _DENIED.match(word):
        return -_sign(word[denied.end() :])
    return (word in _POSITIVE) - (word in _NEGATIVE)
