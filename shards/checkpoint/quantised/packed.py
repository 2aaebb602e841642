"""Codes of 2, 4 or 8 bits that are packed into words of 32 bits, the first one lowest."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

BITS = (2, 4, 8)
WORD = 32


def words_for(codes: int, bits: int) -> int:
    """Return the number of words that hold some codes."""
    return -(-codes * bits // WORD)


def unpacked(words: "torch.Tensor", bits: int) -> "torch.Tensor":
    """Return the codes of each row of words, `[rows, words]` to `[rows, words * 32 / bits]`.

    Codes are from 0 to `2 ** bits - 1`, in 16 bits.
    """
    import torch

    rows, number = words.shape
    codes = torch.empty(rows, number, WORD // bits, dtype=torch.int16)
    for place in range(WORD // bits):
        codes[:, :, place] = (words >> (place * bits)) & (2**bits - 1)
    return codes.flatten(1)
