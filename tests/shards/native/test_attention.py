"""The attention kernel beside attention in fp32, over any lengths, heads and spans."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shards.engines.layers.attention import Grouped, attention_for
from shards.engines.layers.packed_layout import Segment
from shards.native.arguments import WrongArgument
from shards.native.attention import SegmentAttention, Span
from shards.native.library import kernels, without_kernels
from tests.shards.native.here import needs_kernels

pytestmark = needs_kernels

BOUND = 2**-7
"""The bound of a result, in parts of the largest value: weights and results are rounded once."""

Segments = list[tuple[Span, list[Span]]]


def attending(
    segments: Segments, *, causal: bool = True, reach: int | None = None
) -> SegmentAttention:
    library = kernels()
    assert library is not None
    return SegmentAttention(library, segments, causal=causal, reach=reach)


def exact(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    segments: Segments,
    causal: bool,
    reach: int | None = None,
) -> torch.Tensor:
    """Return attention by its definition, in fp32; rows of no segment are NaN."""
    heads, rows, width = queries.shape
    dim = keys.shape[2]
    out = torch.full((heads, rows, width // dim, dim), float("nan"))
    for (first, length), attended in segments:
        seen = torch.cat([torch.arange(start, start + count) for start, count in attended])
        asked = queries[:, first : first + length].float().view(heads, length, -1, dim)
        scores = torch.einsum("hqsd,hkd->hqsk", asked, keys[:, seen].float())
        if causal:
            hidden = torch.ones(length, len(seen)).triu(1 + len(seen) - length).bool()
            scores = scores.masked_fill(hidden[:, None], float("-inf"))
        if reach is not None:
            far = (torch.arange(length)[:, None] - torch.arange(len(seen))).abs() > reach
            scores = scores.masked_fill(far[:, None], float("-inf"))
        weighted = torch.einsum("hqsk,hkd->hqsd", scores.softmax(-1), values[:, seen].float())
        out[:, first : first + length] = weighted
    return out.view(heads, rows, width)


def states(heads: int, rows: int, width: int, rows_first: bool) -> torch.Tensor:
    """Return random states, heads first, in either layout."""
    if rows_first:
        return torch.randn(rows, heads, width).to(torch.bfloat16).transpose(0, 1)
    return torch.randn(heads, rows, width).to(torch.bfloat16)


def compare(
    segments: Segments,
    *,
    heads: int = 2,
    share: int = 2,
    dim: int = 64,
    causal: bool = True,
    rows_first: bool = True,
    spread: float = 1.0,
    reach: int | None = None,
) -> None:
    rows = 2 + max(first + length for (first, length), _ in segments)
    pool = max(first + count for _, attended in segments for first, count in attended)
    queries = states(heads, rows, share * dim, rows_first) * spread / dim**0.5
    keys, values = states(heads, pool, dim, rows_first), states(heads, pool, dim, False)
    out = torch.full_like(queries, float("nan"))
    attending(segments, causal=causal, reach=reach)(queries, keys, values, out)
    expected = exact(queries, keys, values, segments, causal, reach)
    bound = BOUND * float(values.abs().max())
    torch.testing.assert_close(out.float(), expected, atol=bound, rtol=0, equal_nan=True)


@st.composite
def batches(draw: st.DrawFn) -> Segments:
    """Draw segments that attend to kept rows, to an earlier segment, and to themselves."""
    flags = st.booleans()
    kept = draw(st.integers(0, 40))
    segments: Segments = []
    row = draw(st.integers(0, 3))
    lengths = st.lists(st.integers(1, 90) | st.integers(200, 400), min_size=1, max_size=5)
    for length in draw(lengths):
        attended: list[Span] = []
        if kept and draw(flags):
            first = draw(st.integers(0, kept - 1))
            attended.append((first, draw(st.integers(1, kept - first))))
        attends_to_another = draw(flags)
        if segments and attends_to_another:
            attended.append(segments[draw(st.integers(0, len(segments) - 1))][1][-1])
        segments.append(((row, length), [*attended, (kept + row, length)]))
        row += length
    return segments


@given(
    batches(),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([1, 2, 3, 5]),
    st.sampled_from([2, 16, 26, 32, 64, 80, 96, 128, 160, 256]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.01, 1.0, 8.0]),
)
@settings(max_examples=40, deadline=None)
def test_any_lengths_heads_and_spans(
    segments: Segments,
    heads: int,
    share: int,
    dim: int,
    causal: bool,
    rows_first: bool,
    spread: float,
) -> None:
    compare(
        segments,
        heads=heads,
        share=share,
        dim=dim,
        causal=causal,
        rows_first=rows_first,
        spread=spread,
    )


@pytest.mark.parametrize("length", [1, 2, 8, 15, 16, 17, 63, 64, 65, 128, 129, 255, 256, 257, 513])
def test_lengths_around_the_sizes_of_tiles_and_blocks(length: int) -> None:
    for past in (0, 1, 255, 256):
        compare([((0, length), [(0, past + length)])], share=1, dim=32)
        compare([((0, length), [(0, past + length)])], share=1, dim=32, causal=False)


@given(
    st.lists(st.integers(1, 90) | st.integers(200, 700), min_size=1, max_size=3),
    st.sampled_from([0, 1, 15, 16, 63, 64, 65, 128, 300, 1000]),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([2, 26, 64, 160]),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_rows_with_a_limited_reach(
    lengths: list[int], reach: int, share: int, dim: int, of_first: bool
) -> None:
    """All rows attend, or the first row of each segment alone."""
    firsts = [sum(lengths[:at]) for at in range(len(lengths))]
    spans = list(zip(firsts, lengths, strict=True))
    segments: Segments = [((span[0], 1) if of_first else span, [span]) for span in spans]
    compare(segments, share=share, dim=dim, causal=False, reach=reach, spread=4.0)


def test_the_last_row_alone_sees_all() -> None:
    compare([((0, 1), [(0, 300)]), ((1, 1), [(40, 7), (0, 12)])])


def test_scores_that_are_far_apart_do_not_overflow() -> None:
    """The largest score of a row is in its last block, hundreds above the others."""
    keys = torch.zeros(1, 600, 32, dtype=torch.bfloat16)
    keys[0, :, 0] = torch.linspace(-300, 300, 600)
    values = torch.randn(1, 600, 32).to(torch.bfloat16)
    queries = torch.zeros(1, 1, 32, dtype=torch.bfloat16)
    queries[..., 0] = 1
    segments: Segments = [((0, 1), [(0, 600)])]
    out = torch.zeros_like(queries)
    attending(segments)(queries, keys, values, out)
    expected = exact(queries, keys, values, segments, True)
    torch.testing.assert_close(out.float(), expected, atol=BOUND * 4, rtol=0)


def test_nan_stays_in_its_segment() -> None:
    keys, values = torch.randn(2, 1, 60, 32).to(torch.bfloat16)
    values[:, 20:40] = float("nan")
    queries = torch.randn(1, 60, 32).to(torch.bfloat16)
    out = torch.zeros_like(queries)
    attending([((at, 20), [(at, 20)]) for at in (0, 20, 40)])(queries, keys, values, out)
    assert out.isfinite().all(-1)[0].tolist() == [*[True] * 20, *[False] * 20, *[True] * 20]


def test_other_companions_and_threads_change_nothing() -> None:
    """The bits of a segment's result depend on neither other segments nor threads."""
    spans = [((0, 70), [(0, 90)]), ((70, 33), [(5, 40)]), ((103, 200), [(0, 300)])]
    segments: Segments = [(rows, list(attended)) for rows, attended in spans]
    queries, keys, values = (states(3, 303, width, True) for width in (128, 64, 64))
    together = torch.zeros_like(queries)
    attending(segments)(queries, keys, values, together)
    alone = torch.zeros_like(queries)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    for segment in segments:
        attending([segment])(queries, keys, values, alone)
    torch.set_num_threads(before)
    assert torch.equal(together, alone)


def test_memory_does_not_grow_with_length() -> None:
    """Ten thousand rows have 10^8 scores; none of them is kept."""
    queries, keys, values = (states(1, 10_000, 32, True) for _ in range(3))
    segments: Segments = [((0, 10_000), [(0, 10_000)])]
    out = torch.zeros_like(queries)
    attending(segments)(queries, keys, values, out)
    last = attending([((9_999, 1), [(0, 10_000)])])
    again = torch.zeros_like(queries)
    last(queries, keys, values, again)
    assert torch.equal(out[:, -1], again[:, -1])


@pytest.mark.parametrize(
    ("rows", "attended"),
    [
        ((0, 4), []),
        ((-1, 4), [(0, 4)]),
        ((0, 0), [(0, 4)]),
        ((0, 4), [(0, 2), (3, 0), (3, 2)]),
        ((0, 4), [(0, 3)]),
    ],
)
def test_impossible_segments_are_rejected(rows: Span, attended: Sequence[Span]) -> None:
    with pytest.raises(WrongArgument, match="cannot attend to"):
        attending([(rows, list(attended))])


@pytest.mark.parametrize(("causal", "reach"), [(True, 4), (False, -2)])
def test_an_impossible_reach_is_rejected(causal: bool, reach: int) -> None:
    with pytest.raises(WrongArgument, match="to both sides"):
        attending([((0, 4), [(0, 4)])], causal=causal, reach=reach)


def test_tensors_that_are_too_small_or_of_another_kind_are_rejected() -> None:
    attend = attending([((0, 4), [(0, 6)])])
    valid = [states(2, 6, width, True) for width in (64, 32, 32, 64)]
    attend(valid[0], valid[1], valid[2], valid[3])
    wrong = [
        (0, valid[0][:, :3], "queries"),
        (1, valid[1][:, :5], "keys"),
        (2, valid[2][:1], "values"),
        (3, valid[3].float(), "out"),
        (3, valid[3][..., ::2], "out"),
        (2, states(2, 6, 64, True)[..., ::2], "values"),
        (0, states(2, 6, 80, True), "even numbers up to 256"),
        (1, states(2, 6, 16, True), "values"),
    ]
    for at, tensor, message in wrong:
        with pytest.raises(WrongArgument, match=message):
            given = [*valid[:at], tensor, *valid[at + 1 :]]
            attend(given[0], given[1], given[2], given[3])


def test_the_kernel_is_chosen_where_it_can_be_used() -> None:
    segments = [Segment((0, 4), ((0, 4),))]
    assert isinstance(attention_for(segments, 4, "cpu", torch.bfloat16, 128), SegmentAttention)
    assert isinstance(attention_for(segments, 4, "cpu", torch.float32, 128), Grouped)
    assert isinstance(attention_for(segments, 4, "cpu", torch.bfloat16, 512), Grouped)
    with without_kernels():
        assert isinstance(attention_for(segments, 4, "cpu", torch.bfloat16, 128), Grouped)
