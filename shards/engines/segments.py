"""A batch without padding: all tokens in one flat row, each prefix in it once.

The row is made of *segments*: parts of prefixes that are not kept yet, and the own tokens of each
pair. A segment attends to what comes before it in its pair (parts of its prefix, kept or in this
batch) and to itself. So parts are computed in the same pass as the pairs that build on them.

A kernel library makes a kernel for each new shape, which takes as long as a short request. So where
products are such a library's the row is filled up to a multiple of eight with tokens that nobody reads, lengths in a group as
well, and groups have 1, 2, 4, ... segments: there are few shapes, and they have been seen before.

Keys and values of a layer lie in one pool: first the kept parts that the batch uses, then the row.
A `Group` says which rows of the pool some segments of like length attend to. Only in a group is there
padding, and only attention sees it: queries on the right (they read and write row `tokens`, which is
nobody's), keys on the left, where `left` hides them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from shards.devices import moved
from shards.engines.prefixes import PrefixCache
from shards.pairs import Batch, Part
from shards.work import Work, packed_work

Span = tuple[int, int]  # first row and number of rows

_PADDED_SHARE = 0.1  # of a group's scores; beyond it the next segment starts another group
_FREE_SCORES = 1 << 14  # of one head; below it a group costs its launch, however it is padded
STEP = 8  # of the sizes of rows and lengths, where kernels are made for shapes


@dataclass(frozen=True, slots=True)
class Asking:
    """Rows that attend, and what to: rows of the pool, the last of them its own."""

    rows: Span
    attended: tuple[Span, ...]

    @property
    def length(self) -> int:
        return self.rows[1]

    @property
    def past(self) -> int:
        """How many rows all of its rows attend to."""
        return sum(length for _, length in self.attended) - self.length


@dataclass(frozen=True, slots=True)
class Group:
    """Segments that attend in one product.

    Attributes:
        rows: of the batch, `[segments * length]`.
        attended: rows of the pool, `[segments * (past + length)]`.
        length, past: of each segment, padding included.
        left: what to add to the scores of the first keys, `[segments, 1, keys]` of 0 and -inf;
            `None` where nothing is padded.
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
        token_ids, positions: of the flat row, `[tokens]`.
        kept: the states of kept parts, in the order of their rows in the pool.
        kept_rows: how many rows these are.
        new: the parts in the row, and where they are.
        askings: who attends to what: one for each segment.
        ends: where in the row the last token of each pair is; filled up like the row.
        last_askings: the same for the last layer, which computes the last tokens alone.
        work: what it costs.
    """

    token_ids: torch.Tensor
    positions: torch.Tensor
    kept: list[Any]
    kept_rows: int
    new: list[tuple[Part, Span]]
    askings: list[Asking]
    ends: torch.Tensor
    last_askings: list[Asking]
    work: Work

    @property
    def tokens(self) -> int:
        return len(self.token_ids)


class _Row:
    """The flat row while it grows."""

    def __init__(self) -> None:
        self.token_ids: list[int] = []
        self.positions: list[int] = []

    def add(self, token_ids: Sequence[int], position: int) -> Span:
        span = (len(self.token_ids), len(token_ids))
        self.token_ids.extend(token_ids)
        self.positions.extend(range(position, position + len(token_ids)))
        return span

    def fill_up(self, step: int) -> int:
        """Add tokens that nobody reads up to a multiple of `step`; return how many."""
        missing = -len(self.token_ids) % step
        self.add([0] * missing, 0)
        return missing


class _Parts:
    """The parts of a batch's prefixes: which are kept, which have to be computed, and where all are."""

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

    def compute(self, row: _Row) -> tuple[list[tuple[Part, Span]], list[Asking]]:
        """Put the new parts into the row; return where they are, and who they attend to."""
        placed = []
        for part in self.new:
            span = row.add(part.token_ids[part.start :], part.start)
            self.spans[part] = self.in_pool(span)
            placed.append((part, span))
        before = {part: chain[:at] for chain in self._chains for at, part in enumerate(chain)}
        askings = [Asking(span, self.attended(before[part], span)) for part, span in placed]
        return placed, askings

    def in_pool(self, span: Span) -> Span:
        return (self.kept_rows + span[0], span[1])

    def attended(self, before: Iterable[Part], own: Span) -> tuple[Span, ...]:
        return (*(self.spans[part] for part in before), self.in_pool(own))


def plan_batch(batch: Batch, cache: PrefixCache, step: int = 1) -> Plan:
    """Lay a batch out, with what is kept of its prefixes; row and ends in multiples of `step`."""
    parts, row = _Parts(list({pair.parts: None for pair in batch}), cache), _Row()
    new, askings = parts.compute(row)
    ends: list[int] = []
    last_askings: list[Asking] = []
    for pair in batch:
        start = len(pair) - pair.own_tokens
        span = row.add(pair.token_ids[start:], start)
        attended = parts.attended(pair.parts, span)
        askings.append(Asking(span, attended))
        last_askings.append(Asking((len(ends), 1), attended))
        ends.append(span[0] + span[1] - 1)
    work = packed_work(batch, parts.kept)
    padding = row.fill_up(step)
    ends += [0] * (-len(ends) % step)
    return Plan(
        token_ids=torch.tensor(row.token_ids),
        positions=torch.tensor(row.positions),
        kept=list(parts.kept.values()),
        kept_rows=parts.kept_rows,
        new=new,
        askings=askings,
        ends=torch.tensor(ends),
        last_askings=last_askings,
        work=replace(
            work,
            computed=[work.computed[0] + padding, *work.computed[1:]],
            prefix_hits=len(parts.kept),
            prefix_misses=len(new),
        ),
    )


def group(askings: Iterable[Asking], *, rows: int, most_scores: int, step: int = 1) -> list[Group]:
    """Put segments of like length together.

    Args:
        rows: of the whole row; also the number of the row that is nobody's.
        most_scores: of one head in one group, unless a single segment has more.
        step: what lengths are multiples of; if not 1, groups have 1, 2, 4, ... segments.
    """
    groups: list[list[Asking]] = []
    useful = 0
    for asking in sorted(askings, key=lambda one: (one.length, one.past)):
        scores = asking.length * (asking.past + asking.length)
        if groups and _joins(groups[-1], asking, useful + scores, most_scores):
            groups[-1].append(asking)
            useful += scores
        else:
            groups.append([asking])
            useful = scores
    if step > 1:
        groups = [part for members in groups for part in _in_powers(members)]
    return [_grouped(members, rows, step) for members in groups]


def _in_powers(members: list[Asking]) -> Iterator[list[Asking]]:
    """Cut a group into parts of 1, 2, 4, ... segments, the largest first."""
    while members:
        size = 1 << (len(members).bit_length() - 1)
        yield members[:size]
        members = members[size:]


def _joins(members: list[Asking], asking: Asking, useful: int, most_scores: int) -> bool:
    length = asking.length  # the longest: they come by length
    past = max(asking.past, *(one.past for one in members))
    scores = (len(members) + 1) * length * (past + length)
    if scores > most_scores:
        return False
    return scores <= _FREE_SCORES or scores - useful <= scores * _PADDED_SHARE


def _grouped(members: list[Asking], rows: int, step: int) -> Group:
    length = max(one.length for one in members)
    length += -length % step if length > 1 else 0
    past = max(one.past for one in members)
    past += -(past + length) % step
    asking_rows: list[int] = []
    attended: list[int] = []
    for one in members:
        first = one.rows[0]
        asking_rows += [*range(first, first + one.length), *[rows] * (length - one.length)]
        attended += [0] * (past - one.past)
        for first, count in one.attended:
            attended += range(first, first + count)
        attended += [0] * (length - one.length)
    return Group(
        torch.tensor(asking_rows), torch.tensor(attended), length, past, _left(members, past)
    )


def _left(members: list[Asking], past: int) -> torch.Tensor | None:
    padding = torch.tensor([past - one.past for one in members])
    most = int(padding.max())
    if not most:
        return None
    hidden = torch.arange(most) < padding[:, None]
    return torch.zeros(hidden.shape).masked_fill_(hidden, float("-inf"))[:, None]
