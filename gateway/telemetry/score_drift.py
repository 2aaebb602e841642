"""Score drift: the scores of a model, lately and in the long run. Pure, and of fixed size.

The last thousand margins are kept; older ones are counted in bins, so the cost of the long run is
constant. Its counts are halved when they have grown large, so that the long run follows new scores
slowly. Drift is the distance of the recent median from that of the long run, in units of the long
run's interquartile range: 0 is no change; beyond 1 or below -1 the typical score of today was rare.
Causes are questions of another kind, or a model that has changed.

Margins are compared rather than relevance scores, which are all alike near 0 and 1.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from gateway.domain.request import UNCALIBRATED, Calibration

RECENT = 1000
"""The number of recent margins."""

_LOWEST, _BINS, _WIDTH = -20.0, 400, 0.1  # margins outside count in the first or last bin
_FORGET_AT = 200_000  # margins in the bins; then all counts are halved
_SMALLEST_SPREAD = 2 * _WIDTH  # less is not distinguishable from rounding into bins


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoresStatus:
    """Scores of one model.

    `documents`, `truncated` and `tied` count since the start; `p10`, `p50` and `p90` are relevance
    scores of the last thousand documents, 0 before the first; `drift` compares these with the ones
    before, and is 0 until there are a thousand of each.
    """

    documents: int = 0
    truncated: int = 0
    tied: int = 0
    p10: float = 0.0
    p50: float = 0.0
    p90: float = 0.0
    drift: float = 0.0

    @property
    def truncated_share(self) -> float:
        return self.truncated / max(1, self.documents)

    @property
    def tied_share(self) -> float:
        return self.tied / max(1, self.documents)


class ScoreLog:
    """The margins of one model, and its truncated and tied documents."""

    def __init__(self) -> None:
        self._documents = 0
        self._truncated = 0
        self._tied = 0
        self._recent: deque[float] = deque()
        self._bins = [0] * _BINS
        self._in_bins = 0

    def add(self, margins: Iterable[float], *, truncated: int, tied: int) -> None:
        """Add the scores of one request."""
        self._truncated += truncated
        self._tied += tied
        for margin in margins:
            self._documents += 1
            self._recent.append(margin)
            if len(self._recent) > RECENT:
                self._bins[_bin_of(self._recent.popleft())] += 1
                self._in_bins += 1
        if self._in_bins > _FORGET_AT:
            self._bins = [count // 2 for count in self._bins]
            self._in_bins = sum(self._bins)

    def status(self, scale: Calibration = UNCALIBRATED) -> ScoresStatus:
        """Return a snapshot, with relevance scores on this scale."""
        ordered = sorted(self._recent)
        p10, p50, p90 = (round(_quantile(ordered, share, scale), 6) for share in (0.1, 0.5, 0.9))
        return ScoresStatus(
            documents=self._documents,
            truncated=self._truncated,
            tied=self._tied,
            p10=p10,
            p50=p50,
            p90=p90,
            drift=round(self._drift(ordered), 3),
        )

    def _drift(self, ordered: Sequence[float]) -> float:
        ends = list(accumulate(self._bins))
        if ends[-1] < RECENT:
            return 0.0
        low, median, high = (_margin_at(ends, share) for share in (0.25, 0.5, 0.75))
        recent = _margin_of(_bin_of(ordered[len(ordered) // 2]))
        return (recent - median) / max(_SMALLEST_SPREAD, high - low)


def _quantile(ordered: Sequence[float], share: float, scale: Calibration) -> float:
    """Return a quantile of the sorted margins, as a relevance score."""
    if not ordered:
        return 0.0
    return scale.score(ordered[min(len(ordered) - 1, int(share * len(ordered)))])


def _bin_of(margin: float) -> int:
    return max(0, min(_BINS - 1, int((margin - _LOWEST) / _WIDTH)))


def _margin_of(bin_: int) -> float:
    return _LOWEST + (bin_ + 0.5) * _WIDTH


def _margin_at(ends: Sequence[int], share: float) -> float:
    """Return a quantile of the bins, given their cumulative counts."""
    wanted = share * ends[-1]
    return _margin_of(next(bin_ for bin_, end in enumerate(ends) if end > wanted))
