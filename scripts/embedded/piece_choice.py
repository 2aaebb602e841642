"""The pieces of a large vocabulary that some languages need, by how often texts use them.

The words of a language come with their frequencies (the lists of the package wordfreq), in small
letters and with a capital; the cleared sources add the punctuation, digits and terms of real texts.
A piece counts as much as in the language that uses it most. Single letters, digits and marks stay
in any case, so that no text of these alphabets has an unknown character.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tokenizers import Tokenizer

CAPITALS = {"de": 0.5}
OTHER_CAPITALS = 0.15
SHARES = {"en": 1.0, "ru": 1.0, "text-en": 1.0, "text-ru": 1.0}
OTHER_SHARE = 0.5  # of the languages that come after English and Russian
_ALPHABETS = ("LATIN", "CYRILLIC", "GREEK", "DIGIT")
_MARKS = "PSN"  # punctuation, symbols, numbers

Use = Mapping[int, float]


def use_by_words(tokenizer: Tokenizer, language: str, words: Sequence[tuple[str, float]]) -> Use:
    """Return the share of each piece in a language, by the frequencies of its words."""
    capitals = CAPITALS.get(language, OTHER_CAPITALS)
    forms = [(word, share * (1 - capitals)) for word, share in words]
    forms += [(word[:1].upper() + word[1:], share * capitals) for word, share in words]
    counts: Counter[int] = Counter()
    encodings = tokenizer.encode_batch([form for form, _ in forms], add_special_tokens=False)
    for (_, share), encoding in zip(forms, encodings, strict=True):
        for piece in encoding.ids:
            counts[piece] += share  # type: ignore[assignment]  # counts here are shares
    return _shares(counts)


def use_by_texts(tokenizer: Tokenizer, texts: Iterable[str]) -> Use:
    """Return the share of each piece in texts."""
    counts: Counter[int] = Counter()
    for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False):
        counts.update(encoding.ids)
    return _shares(counts)


def _shares(counts: Mapping[int, float]) -> Use:
    total = sum(counts.values())
    return {piece: count / total for piece, count in counts.items()}


def chosen(pieces: Sequence[str], uses: Mapping[str, Use], special: int, size: int) -> list[int]:
    """Return the ids of so many pieces, in order.

    Args:
        special: the number of special pieces, which come first.
    """
    weights: dict[int, float] = {}
    for name, use in uses.items():
        for piece, share in use.items():
            counted = share * SHARES.get(name, OTHER_SHARE)
            weights[piece] = max(weights.get(piece, 0.0), counted)
    kept = set(range(special)) | {at for at, piece in enumerate(pieces) if is_letter(piece)}
    for piece in sorted(weights, key=weights.__getitem__, reverse=True):
        if len(kept) >= size:
            break
        kept.add(piece)
    return sorted(kept)


def is_letter(piece: str) -> bool:
    """Return whether a piece is one letter of the alphabets, a mark, or the start of a word."""
    letter = piece.lstrip("▁")
    if len(letter) != 1:
        return piece == "▁"
    named = unicodedata.name(letter, "").startswith(_ALPHABETS)
    return named or unicodedata.category(letter)[0] in _MARKS


def coverage(kept: Iterable[int], use: Use) -> float:
    """Return the share of a language's pieces that are kept."""
    return sum(use.get(piece, 0.0) for piece in kept)
