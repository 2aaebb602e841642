"""The choice of a model of a split for a request. Pure.

A subject (a key, or a query) keeps its model: subject and model are hashed together, and the model
with the highest weighted hash wins (weighted rendezvous hashing: Schindelhauer, Schomaker 2005). So
the choice is the same in every gateway and after every restart; a changed weight moves no more
subjects than it must, and only to or from the model whose weight was changed; and when a model
cannot score, its subjects alone go elsewhere, and come back.

The hash is keyed with the name of the split, so that two splits choose independently.
"""

import hashlib
import math
from collections.abc import Collection, Mapping

_BYTES = 8


def deal(split: str, weights: Mapping[str, float], subject: str, among: Collection[str]) -> str:
    """Return the model for a subject.

    Args:
        split: its name.
        weights: of its models, 0 or more.
        subject: the key or query that keeps its model.
        among: the models to choose from; at least one of them is in `weights`.
    """
    candidates = [model for model in weights if model in among]
    return max(candidates, key=lambda model: _rank(split, model, weights[model], subject))


def share(weights: Mapping[str, float], model: str) -> float:
    """Return the share of all subjects that a model has, in [0, 1]."""
    return weights[model] / sum(weights.values())


def _rank(split: str, model: str, weight: float, subject: str) -> float:
    """Return a number that is a model's largest of several as often as its weight says."""
    if not weight:
        return -math.inf
    key = hashlib.blake2b(split.encode(), digest_size=32).digest()
    text = f"{model}\x00{subject}".encode("utf-8", "surrogatepass")
    seen = hashlib.blake2b(text, key=key, digest_size=_BYTES).digest()
    # -log of a number evenly spread in (0, 1) is an exponential waiting time; divided by the
    # weight it is that of a clock which ticks `weight` times as fast, and the first tick wins.
    evenly = (int.from_bytes(seen, "big") + 1) / (2 ** (8 * _BYTES) + 2)
    return math.log(evenly) / weight
