"""What the labels of a classification head count in the margin.

One label: the margin is its logit. Two labels: the positive one's logit less the other's, so that
its sigmoid is the softmax.
"""

from collections.abc import Mapping
from typing import Any

from shards.refusal import Refusal

_POSITIVE = frozenset({"yes", "relevant", "positive", "entailment", "1", "true"})


def labels_of(config: Mapping[str, Any]) -> dict[int, str]:
    """Return the labels by their number, as transformers reads a config.json: two if it is silent."""
    named = config.get("id2label")
    if isinstance(named, Mapping) and named:
        return {int(id): str(label) for id, label in named.items()}
    return {id: f"LABEL_{id}" for id in range(int(config.get("num_labels") or 2))}


def label_weights(
    id2label: Mapping[int, str], name: str
) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Return what each label's logit counts in the margin, and warnings.

    Args:
        name: of the checkpoint, for messages.

    Raises:
        Refusal: there are more than two labels.
    """
    if len(id2label) == 1:
        return (1.0,), ()
    if len(id2label) != 2:
        raise Refusal(
            f"{name} has {len(id2label)} labels ({', '.join(id2label.values())}); a reranker has "
            "one or two: use a checkpoint that was trained to rank"
        )
    positive = [id for id, label in id2label.items() if label.lower() in _POSITIVE]
    if len(positive) == 1:
        return ((1.0, -1.0) if positive == [0] else (-1.0, 1.0)), ()
    labels = f"{id2label[0]!r} and {id2label[1]!r}"
    return (-1.0, 1.0), (f"labels {labels} do not say which is positive; guessed the last",)
