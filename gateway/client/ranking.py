"""The final order: relevance score, first stage, boosts by metadata.

The deciding score is

    score = ((1 - w) * relevance_score + w * first_stage) * (1 + sum of boosts)

`w` is `first_stage_weight`. `first_stage` is the first stage's score, scaled to [0, 1] over the
candidates of the call: (s - min) / (max - min), or 0 for all if all are equal. The sum runs over
the keys of `boosts` that the document's metadata has with a value other than false, 0, empty or
`None`. Equal scores keep the model's order.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.client.candidates import Candidate
from gateway.client.errors import InvalidRequest
from gateway.client.wire import Details, Scored

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, slots=True)
class Ranked:
    """One result.

    Attributes:
        index: the document's index in the caller's list.
        document: the caller's own object; `None` without `return_documents`.
        relevance_score: the model's score, in [0, 1].
        score: the deciding score; equal to `relevance_score` without first stage and boosts.
        first_stage_score: the caller's, if there was one.
        details: counts and span of the document, with `return_details`.
    """

    index: int
    document: Any
    relevance_score: float
    score: float
    first_stage_score: float | None = None
    details: Details | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """The result of a call.

    Attributes:
        results: best first.
        model: the server's name of the model.
        tokens: number of tokens that the server counted.
        request_ids: one for each request that was sent.
        warnings: the server's warnings, for example about truncated documents.
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

    def to_list(self) -> list[dict[str, Any]]:
        """Return the results as dictionaries, best first, with details where there are any."""
        return [_row(result) for result in self.results]

    def to_pandas(self) -> "DataFrame":
        """Return the results as a DataFrame: the rows of `to_list`.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            from pandas import DataFrame
        except ModuleNotFoundError:
            raise ImportError(
                "a DataFrame needs pandas: pip install pandas; `to_list` has the same rows"
            ) from None
        return DataFrame(self.to_list())


def _row(result: Ranked) -> dict[str, Any]:
    row = {name: getattr(result, name) for name in ("index", "relevance_score", "score")}
    if result.first_stage_score is not None:
        row["first_stage_score"] = result.first_stage_score
    if details := result.details:
        row |= {name: getattr(details, name) for name in ("margin", "tokens", "truncated")}
        row["passages"] = details.passages
        row["start"], row["end"] = details.span or (None, None)
    return {**row, "document": result.document}


@dataclass(frozen=True, slots=True)
class Blend:
    """Weights of the first stage and of metadata; see the formula above."""

    first_stage_weight: float = 0.0
    boosts: Mapping[str, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.first_stage_weight or self.boosts)

    def check(self, candidates: Sequence[Candidate]) -> None:
        """Reject weights that cannot apply, before a request is sent.

        Raises:
            InvalidRequest: a weight is out of range, or a first-stage score is missing.
        """
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
        """Return the deciding scores, for relevance scores in the order of the candidates."""
        weight = self.first_stage_weight
        first = [0.0] * len(candidates)
        if weight:
            first = _normalised([candidate.first_stage_score for candidate in candidates])
        return [
            _mixed(relevance, weight, first_stage) * self._boost(candidate.metadata)
            for relevance, first_stage, candidate in zip(
                relevance_scores, first, candidates, strict=True
            )
        ]

    def _boost(self, metadata: Mapping[str, object]) -> float:
        return 1 + sum(weight for key, weight in self.boosts.items() if metadata.get(key))


def _mixed(relevance_score: float, weight: float, first_stage: float) -> float:
    return (1 - weight) * relevance_score + weight * first_stage


def _normalised(scores: Sequence[float | None]) -> list[float]:
    """Scale scores to [0, 1]. `Blend.check` has rejected missing ones."""
    halves = [(score or 0.0) / 2 for score in scores]  # the difference of two halves is finite
    low, high = min(halves, default=0.0), max(halves, default=0.0)
    return [(half - low) / (high - low) if high > low else 0.0 for half in halves]


def ranked(
    scored: Sequence[Scored], candidates: Sequence[Candidate], blend: Blend, top_n: int | None
) -> tuple[Ranked, ...]:
    """Return the best `top_n` results (all if `None`); `scored` is in the model's order."""
    chosen = [candidates[result.index] for result in scored]
    scores = blend.scores([result.relevance_score for result in scored], chosen)
    order = sorted(range(len(scored)), key=lambda at: -scores[at])  # stable: the model's order
    return tuple(
        Ranked(
            index=scored[at].index,
            document=chosen[at].document,
            relevance_score=scored[at].relevance_score,
            score=scores[at],
            first_stage_score=chosen[at].first_stage_score,
            details=scored[at].details,
        )
        for at in order[:top_n]
    )
