"""The rows of the embedding table with which both computed starts begin.

The first coordinates of the hidden state are reserved: each holds one plain fact (how much a token
weighs, which segment it stands in, whether it found a match). The others are the content: the
token's vector, about 1 in each coordinate, so that the projection of a token on itself is large and
on a stranger near 0.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

NOISE_SHARE = 0.35
LOG_WEIGHT_SCALE, LOG_WEIGHT_SHIFT = 1.5, 1.1


def random_rotation(size: int, generator: torch.Generator) -> Tensor:
    rotation: Tensor = torch.linalg.qr(torch.randn(size, size, generator=generator))[0]
    return rotation


def content_rows(vectors: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Meaning with some noise (see vectors.py); tokens without a meaning are all noise."""
    meaning = torch.zeros(len(vectors), size)
    meaning[:, : min(size, vectors.shape[1])] = vectors[:, :size]
    meaning = normalize(meaning, dim=1) @ random_rotation(size, generator)
    noise = normalize(torch.randn(meaning.shape, generator=generator), dim=1)
    mixed = math.sqrt(1 - NOISE_SHARE) * meaning + math.sqrt(NOISE_SHARE) * noise
    return normalize(mixed, dim=1) * math.sqrt(size)


def weight_column(weights: Tensor) -> Tensor:
    """The logarithm of the weight: a softmax over it is an average by weight."""
    return LOG_WEIGHT_SCALE * (weights.log() + LOG_WEIGHT_SHIFT)
