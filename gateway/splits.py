"""Which model of a split answers a request. Pure.

Whoever asks stays with a model: the subject (a key, or a query) and each model are hashed together, and
the highest hash, weighted, wins (weighted rendezvous hashing: Schindelhauer, Schomaker 2005). So the
answer is the same in every gateway and after every restart; a changed weight moves no more subjects than
it must, and only to or from the model whose weight was changed; and when a model is away, its subjects
alone go elsewhere, and come back.

The hash is keyed with the name of the split, so that two splits deal out independently.
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
        subject: who, or what, stays with one model.
        among: the models that come into question; at least one of them is in `weights`.
    """
    candidates = [model for model in weights if model in among]
    return max(candidates, key=lambda model: _rank(split, model, weights[model], subject))


def share(weights: Mapping[str, float], model: str) -> float:
    """Return which part of all subjects a model has, in [0, 1]."""
    return weights[model] / sum(weights.values())


def _rank(split: str, model: str, weight: float, subject: str) -> float:
    """Return a number whose largest one, of several models, is a model's as often as its weight says."""
    if not weight:
        return -math.inf
    key = hashlib.blake2b(split.encode(), digest_size=32).digest()
    text = f"{model}\x00{subject}".encode("utf-8", "surrogatepass")
    seen = hashlib.blake2b(text, key=key, digest_size=_BYTES).digest()
    # -log of a number evenly spread in (0, 1) waits like a clock; the model with weight w ticks w times
    # as fast, and the first tick wins.
    evenly = (int.from_bytes(seen, "big") + 1) / (2 ** (8 * _BYTES) + 2)
    return math.log(evenly) / weight
