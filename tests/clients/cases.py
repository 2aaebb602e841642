"""The request that every client sends, and the check of its results."""

from dataclasses import dataclass

import pytest

MODEL = "embedded"
QUERY = "What is the capital of France?"
DOCUMENTS = [
    "Berlin is the capital of Germany.",
    "Paris is the capital of France.",
    "Bananas are yellow.",
]
BEST = DOCUMENTS[1]

NO_MODEL = "model 'no-such-model' is not served here"
NO_DOCUMENTS = "is empty: send at least one document"
TOO_MUCH = "(limits.queue_tokens)"
NO_SUCH_KEY = "this API key is not known here"
WRONG_KEY = "rk_wrong"


@dataclass(frozen=True)
class Keyed:
    """A gateway that requires a key, and a valid key."""

    url: str
    key: str


@dataclass(frozen=True)
class Expected:
    """The right order, and the best score."""

    order: list[int]
    best_score: float

    def check(self, indices: list[int], best_score: float) -> None:
        """Compare; the demonstration model's scores may differ a little from batch to batch."""
        assert indices == self.order[: len(indices)]
        assert indices[0] == 1
        assert best_score == pytest.approx(self.best_score, abs=1e-3)

    def check_texts(self, texts: list[str], best_score: float) -> None:
        """Compare texts instead of indices."""
        self.check([DOCUMENTS.index(text) for text in texts], best_score)
