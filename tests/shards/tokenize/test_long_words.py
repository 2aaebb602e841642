"""Documents without an end in sight: half a megabyte of one letter takes seconds, not minutes.

A tokenizer that is quadratic in the length of a word would take a thousand times the bound.
"""

import time
from pathlib import Path

import pytest

from tests.shards.tokenize.tokenizers_made import causal, encode, pair

SIZE = 500_000
BOUND_SECONDS = 20.0
TEXTS = {
    "letter": "a" * SIZE,
    "Cyrillic letter": "а" * (SIZE // 2),
    "spaces": " " * SIZE,
    "emoji": "🙂" * (SIZE // 4),
    "digits": "1" * SIZE,
    "accents": "e" + "\u0301" * (SIZE // 2),
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_time_is_bounded(text: str, chat: Path, words: Path, pieces: Path) -> None:
    for tokenizer in (pair(words), pair(pieces), causal(chat)):
        started = time.process_time()
        (encoded,) = encode(tokenizer, "query", [text])
        assert time.process_time() - started < BOUND_SECONDS
        assert len(encoded) <= tokenizer.max_length
