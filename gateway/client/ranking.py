"""From scores to an order: merging parts, mixing in the first stage, boosts by metadata.

The score that decides is

    score = ((1 - w) * relevance_score + w * first_stage) * (1 + sum of boosts)

where `w` is `first_stage_weight`, `first_stage` the first stage's score moved to [0, 1] over the
candidates of this call, (s - min) / (max - min), and 0 for all if they are all the same, and the
sum runs over the keys of `boosts` that are set in the document's metadata: there, and not false,
0, empty or `None`. Equal scores keep the model's order.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.client.candidates import Candidate
from gateway.client.errors import InvalidRequest
from gateway.client.wire import Details, Scored


@dataclass(frozen=True, slots=True)
class Ranked:
    """One result.

    Attributes:
        index: the document's place in the caller's list.
        document: the caller's own object; `None` if it did not want documents back.
        relevance_score: the model's, in [0, 1].
        score: what decided the order; the same unless the first stage or boosts had a say.
        first_stage_score: as the caller gave it, if it did.
        details: how the document was read, if that was asked for.
    """

    index: int
    document: Any
    relevance_score: float
    score: float
    first_stage_score: float | None = None
    details: Details | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """What a call returns: the results, best first, and what the server said about them.

    Attributes:
        results: best first.
        model: the model's name, as the server has it.
        tokens: how many the server counted.
        request_ids: one for each request that was needed.
        warnings: what the caller should know, such as truncated documents.
    """

    results: tuple[Ranked, ...]
    model: str
    tokens: int
    request_ids: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Ranked]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)


@dataclass(frozen=True, slots=True)
class Blend:
    """What else than the model's score has a say; see the formula above."""

    first_stage_weight: float = 0.0
    boosts: Mapping[str, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.first_stage_weight or self.boosts)

    def check(self, candidates: Sequence[Candidate]) -> None:
        """Refuse what has no meaning, before anything is sent; raises `InvalidRequest`."""
        if not 0 <= self.first_stage_weight <= 1:
            raise InvalidRequest(
                f"first_stage_weight is {self.first_stage_weight}: it must be from 0 to 1"
            )
        for index, candidate in enumerate(candidates):
            if self.first_stage_weight and candidate.first_stage_score is None:
                raise InvalidRequest(
                    f"documents[{index}] has no first-stage score: with first_stage_weight give "
                    "each as (document, score)"
                )

    def scores(
        self, relevance_scores: Sequence[float], candidates: Sequence[Candidate]
    ) -> list[float]:
        """Return the scores that decide, for relevance scores in the order of the candidates."""
        weight = self.first_stage_weight
        first = _normalised([one.first_stage_score for one in candidates]) if weight else None
        return [
            _mixed(relevance, weight, first[i] if first else 0.0) * self._boost(one.metadata)
            for i, (relevance, one) in enumerate(zip(relevance_scores, candidates, strict=True))
        ]

    def _boost(self, metadata: Mapping[str, object]) -> float:
        return 1 + sum(weight for key, weight in self.boosts.items() if metadata.get(key))


def _mixed(relevance_score: float, weight: float, first_stage: float) -> float:
    return (1 - weight) * relevance_score + weight * first_stage


def _normalised(scores: Sequence[float | None]) -> list[float]:
    """Move scores to [0, 1]; none is missing, as `Blend.check` saw. Halves keep sums finite."""
    known = [(score or 0.0) / 2 for score in scores]
    low, high = min(known, default=0.0), max(known, default=0.0)
    return [(score - low) / (high - low) if high > low else 0.0 for score in known]


def ranked(
    scored: Sequence[Scored], candidates: Sequence[Candidate], blend: Blend, top_n: int | None
) -> tuple[Ranked, ...]:
    """Return the best `top_n` (all if `None`) of what came back, which is in the model's order."""
    asked = [candidates[one.index] for one in scored]
    scores = blend.scores([one.relevance_score for one in scored], asked)
    order = sorted(range(len(scored)), key=lambda place: -scores[place])  # stable: model's order
    return tuple(
        Ranked(
            index=scored[place].index,
            document=asked[place].document,
            relevance_score=scored[place].relevance_score,
            score=scores[place],
            first_stage_score=asked[place].first_stage_score,
            details=scored[place].details,
        )
        for place in order[:top_n]
    )
