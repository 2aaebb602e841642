"""The layout of a batch for MLX: all tokens in one row, each prefix in it once. Pure.

Products and norms see the row, without padding. Attention sees *groups*: segments behind the same
prefix and of similar length. A segment is the own tokens of a pair, or a part of a prefix that is
not cached yet. It is padded on the right, where a causal mask hides the padding from all tokens
that are read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shards.pairs import Batch, Part

Span = tuple[int, int]  # first row and number of rows

_MOST_KEYS = 1 << 15  # of a group, since each segment has a copy of the keys of its prefix
_PADDED_SHARE = 0.25  # of the longest segment; a shorter one starts another group


@dataclass(frozen=True, slots=True)
class Group:
    """Segments that attend in one product.

    Attributes:
        before: the parts of their prefix, in order.
        spans: the rows of each segment, longest first.
        pairs: the places of their pairs in the batch; empty for a part of a prefix.
    """

    before: tuple[Part, ...]
    spans: tuple[Span, ...]
    pairs: tuple[int, ...] = ()

    @property
    def length(self) -> int:
        """The length of the longest segment."""
        return self.spans[0][1]

    @property
    def past(self) -> int:
        """The number of tokens in front of each segment."""
        return sum(map(len, self.before))

    def rows(self) -> list[list[int]]:
        """Return the rows of the segments, padded with the last row of each."""
        return [
            [first + min(at, length - 1) for at in range(self.length)]
            for first, length in self.spans
        ]


@dataclass(frozen=True, slots=True)
class Plan:
    """One pass over the tokens of a batch.

    Attributes:
        token_ids, positions: of the row.
        groups: all segments; a part comes before the segments behind it.
        new: the rows of each part that is computed.
    """

    token_ids: list[int]
    positions: list[int]
    groups: list[Group]
    new: dict[Part, Span]

    def places(self) -> list[int]:
        """Return the place of each row among the padded rows of all groups, one after another."""
        found = [0] * len(self.token_ids)
        start = 0
        for group in self.groups:
            for first, length in group.spans:
                found[first : first + length] = range(start, start + length)
                start += group.length
        return found


def plan_batch(batch: Batch, missing: Sequence[Part]) -> Plan:
    """Lay out a batch.

    Args:
        batch: the pairs.
        missing: the parts of their prefixes that are not cached, each after those before it.
    """
    plan = Plan([], [], [], {})
    before = {part: pair.parts[:at] for pair in batch for at, part in enumerate(pair.parts)}
    for part in missing:
        span = _add(plan, part.token_ids[part.start :], part.start)
        plan.new[part] = span
        plan.groups.append(Group(before[part], (span,)))
    behind: dict[tuple[Part, ...], list[int]] = {}
    spans = []
    for place, pair in enumerate(batch):
        start = len(pair) - pair.own_tokens
        spans.append(_add(plan, pair.token_ids[start:], start))
        behind.setdefault(pair.parts, []).append(place)
    for parts, places in behind.items():
        ordered = sorted(places, key=lambda place: -spans[place][1])
        for some in _similar(ordered, spans, sum(map(len, parts))):
            plan.groups.append(Group(parts, tuple(spans[place] for place in some), tuple(some)))
    return plan


def _add(plan: Plan, token_ids: Sequence[int], position: int) -> Span:
    span = (len(plan.token_ids), len(token_ids))
    plan.token_ids.extend(token_ids)
    plan.positions.extend(range(position, position + len(token_ids)))
    return span


def _similar(ordered: Sequence[int], spans: Sequence[Span], past: int) -> Iterator[list[int]]:
    """Yield runs of pairs, longest first, of similar length and within the bound of keys."""
    some: list[int] = []
    for place in ordered:
        longest = spans[some[0]][1] if some else spans[place][1]
        is_short = spans[place][1] < (1 - _PADDED_SHARE) * longest
        if some and (is_short or (len(some) + 1) * (past + longest) > _MOST_KEYS):
            yield some
            some = []
        some.append(place)
    yield some
