"""The layout of a batch without padding: all tokens in one row, each prefix in it once.

The row is made of *segments*: parts of prefixes that are not cached yet, and the own tokens of each
pair. A segment attends to the tokens before it in its pair (parts of its prefix, cached or in this
batch) and to itself. So parts are computed in the same pass as the pairs that build on them.

A kernel library generates a kernel for each new shape, which takes as long as a short request. So
where such a library computes the products, the row is padded to a multiple of eight tokens, lengths
in a group likewise, and groups have 1, 2, 4, ... segments: there are few shapes, and they recur.

Keys and values of a layer lie in one pool: first the cached parts that the batch uses, then the
row. A `Group` lists the rows of the pool that some segments of similar length attend to. Only a
group has padding, and only attention sees it: queries are padded on the right (with reads and
writes of row `tokens`, which is no token's), keys on the left, where `left` hides them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from shards.cost import Work, packed_work
from shards.engines.prefix_cache import PrefixCache
from shards.machine.devices import moved
from shards.pairs import Batch, Part

Span = tuple[int, int]  # first row and number of rows

_PADDED_SHARE = 0.1  # of a group's scores; beyond it the next segment starts another group
_FREE_SCORES = 1 << 14  # of one head; below it a group costs its launch, whatever its padding
STEP = 8  # of the sizes of rows and lengths, where kernels are generated for shapes


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows that attend to rows of the pool; the last of these are its own."""

    rows: Span
    attended: tuple[Span, ...]

    @property
    def length(self) -> int:
        return self.rows[1]

    @property
    def past(self) -> int:
        """The number of rows that all of its rows attend to."""
        return sum(length for _, length in self.attended) - self.length


@dataclass(frozen=True, slots=True)
class Group:
    """Segments that attend in one product.

    Attributes:
        rows: of the batch, `[segments * length]`.
        attended: rows of the pool, `[segments * (past + length)]`.
        length, past: of each segment, padding included.
        left: added to the scores of the first keys, `[segments, 1, keys]` of 0 and -inf; `None`
            without padding.
    """

    rows: torch.Tensor
    attended: torch.Tensor
    length: int
    past: int
    left: torch.Tensor | None

    def on(self, device: str) -> "Group":
        """Return the group on another device."""
        left = None if self.left is None else moved(self.left, device)
        rows, attended = moved(self.rows, device), moved(self.attended, device)
        return replace(self, rows=rows, attended=attended, left=left)


@dataclass(frozen=True, slots=True)
class Plan:
    """One pass over the tokens of a batch.

    Attributes:
        token_ids, positions: of the row, `[tokens]`.
        kept: the states of cached parts, in the order of their rows in the pool.
        kept_rows: the number of these rows.
        new: the parts in the row, with their rows.
        segments: the segments of the row, in order.
        ends: the row of each pair's last token; padded like the row.
        last_segments: segments for the last layer, which computes the last tokens alone.
        work: the cost of the pass.
    """

    token_ids: torch.Tensor
    positions: torch.Tensor
    kept: list[Any]
    kept_rows: int
    new: list[tuple[Part, Span]]
    segments: list[Segment]
    ends: torch.Tensor
    last_segments: list[Segment]
    work: Work

    @property
    def tokens(self) -> int:
        return len(self.token_ids)


class _Row:
    """The row while it grows."""

    def __init__(self) -> None:
        self.token_ids: list[int] = []
        self.positions: list[int] = []

    def add(self, token_ids: Sequence[int], position: int) -> Span:
        span = (len(self.token_ids), len(token_ids))
        self.token_ids.extend(token_ids)
        self.positions.extend(range(position, position + len(token_ids)))
        return span

    def pad(self, step: int) -> int:
        """Pad the row to a multiple of `step` with unread tokens; return their number."""
        missing = -len(self.token_ids) % step
        self.add([0] * missing, 0)
        return missing


class _Parts:
    """The parts of a batch's prefixes: the cached ones, the new ones, and the rows of all."""

    def __init__(self, chains: Sequence[Sequence[Part]], cache: PrefixCache) -> None:
        found = {part: cache.get(part) for chain in chains for part in chain}
        self.kept = {part: states for part, states in found.items() if states is not None}
        self.kept_rows = 0
        self.spans: dict[Part, Span] = {}
        for part in self.kept:
            self.spans[part] = (self.kept_rows, len(part))
            self.kept_rows += len(part)
        self.new = [part for part in found if part not in self.kept]
        self._chains = chains

    def compute(self, row: _Row) -> tuple[list[tuple[Part, Span]], list[Segment]]:
        """Put the new parts into the row; return them with their rows, and their segments."""
        placed = []
        for part in self.new:
            span = row.add(part.token_ids[part.start :], part.start)
            self.spans[part] = self.in_pool(span)
            placed.append((part, span))
        before = {part: chain[:at] for chain in self._chains for at, part in enumerate(chain)}
        segments = [Segment(span, self.attended(before[part], span)) for part, span in placed]
        return placed, segments

    def in_pool(self, span: Span) -> Span:
        return (self.kept_rows + span[0], span[1])

    def attended(self, before: Iterable[Part], own: Span) -> tuple[Span, ...]:
        return (*(self.spans[part] for part in before), self.in_pool(own))


def plan_batch(batch: Batch, cache: PrefixCache, step: int = 1) -> Plan:
    """Lay a batch out beside its cached prefixes; pad row and ends to multiples of `step`."""
    parts, row = _Parts(list({pair.parts: None for pair in batch}), cache), _Row()
    new, segments = parts.compute(row)
    ends: list[int] = []
    last_segments: list[Segment] = []
    for pair in batch:
        start = len(pair) - pair.own_tokens
        span = row.add(pair.token_ids[start:], start)
        attended = parts.attended(pair.parts, span)
        segments.append(Segment(span, attended))
        last_segments.append(Segment((len(ends), 1), attended))
        ends.append(span[0] + span[1] - 1)
    work = packed_work(batch, parts.kept)
    padding = row.pad(step)
    ends += [0] * (-len(ends) % step)
    return Plan(
        token_ids=torch.tensor(row.token_ids),
        positions=torch.tensor(row.positions),
        kept=list(parts.kept.values()),
        kept_rows=parts.kept_rows,
        new=new,
        segments=segments,
        ends=torch.tensor(ends),
        last_segments=last_segments,
        work=replace(
            work,
            computed=[work.computed[0] + padding, *work.computed[1:]],
            prefix_hits=len(parts.kept),
            prefix_misses=len(new),
        ),
    )


def group_segments(
    segments: Iterable[Segment], *, rows: int, most_scores: int, step: int = 1
) -> list[Group]:
    """Group segments of similar length.

    Args:
        rows: the number of rows; also the index of the row of padding.
        most_scores: of one head in one group, unless a single segment has more.
        step: lengths are padded to multiples of it; if not 1, groups have 1, 2, 4, ... segments.
    """
    groups: list[list[Segment]] = []
    useful = 0
    for segment in sorted(segments, key=lambda segment: (segment.length, segment.past)):
        scores = segment.length * (segment.past + segment.length)
        if groups and _joins(groups[-1], segment, useful + scores, most_scores):
            groups[-1].append(segment)
            useful += scores
        else:
            groups.append([segment])
            useful = scores
    if step > 1:
        groups = [part for members in groups for part in _in_powers(members)]
    return [_grouped(members, rows, step) for members in groups]


def _in_powers(members: list[Segment]) -> Iterator[list[Segment]]:
    """Cut a group into parts of 1, 2, 4, ... segments, the largest first."""
    while members:
        size = 1 << (len(members).bit_length() - 1)
        yield members[:size]
        members = members[size:]


def _joins(members: list[Segment], segment: Segment, useful: int, most_scores: int) -> bool:
    length = segment.length  # the longest: segments come by length
    past = max(segment.past, *(member.past for member in members))
    scores = (len(members) + 1) * length * (past + length)
    if scores > most_scores:
        return False
    return scores <= _FREE_SCORES or scores - useful <= scores * _PADDED_SHARE


def _grouped(members: list[Segment], rows: int, step: int) -> Group:
    length = max(member.length for member in members)
    length += -length % step if length > 1 else 0
    past = max(member.past for member in members)
    past += -(past + length) % step
    segment_rows: list[int] = []
    attended: list[int] = []
    for member in members:
        first, padding = member.rows[0], length - member.length
        segment_rows += [*range(first, first + member.length), *[rows] * padding]
        attended += [0] * (past - member.past)
        for first, count in member.attended:
            attended += range(first, first + count)
        attended += [0] * padding
    return Group(
        torch.tensor(segment_rows), torch.tensor(attended), length, past, _left(members, past)
    )


def _left(members: list[Segment], past: int) -> torch.Tensor | None:
    padding = torch.tensor([past - member.past for member in members])
    most = int(padding.max())
    if not most:
        return None
    hidden = torch.arange(most) < padding[:, None]
    return torch.zeros(hidden.shape).masked_fill_(hidden, float("-inf"))[:, None]
