"""Rows in packs, their number in files, and the size of packs."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli.inputs import BadInput, BadRow, Document, Question, read_questions
from gateway.cli.score.row_source import (
    MOST_PACK_CHARACTERS,
    MOST_PACK_DOCUMENTS,
    PackSize,
    Row,
    RowSource,
    count_rows,
    may_block,
)

ROW = Question("q", (Document("a"), Document("b"), Document("c")))


async def packs(rows: list[Row], most: int) -> list[int]:
    source = RowSource(iter(rows), may_block=False)
    sizes = []
    while pack := await source.take(most):
        sizes.append(len(pack))
    return sizes


async def test_a_pack_ends_at_each_limit() -> None:
    assert await packs([ROW] * 10, 4) == [4, 4, 2]
    assert await packs([ROW, BadRow(2, "bad"), ROW], 2) == [2, 1]
    many = Question("q", ROW.documents * (MOST_PACK_DOCUMENTS // 6))
    assert await packs([many] * 5, 100) == [3, 2]
    long = Question("q", (Document("x" * (MOST_PACK_CHARACTERS // 2)),))
    assert await packs([long] * 3, 100) == [2, 1]
    repeated = Question("q" * (MOST_PACK_CHARACTERS // 6), ROW.documents)  # sent with each document
    assert await packs([repeated] * 3, 100) == [2, 1]


async def test_rows_before_an_error_are_not_lost() -> None:
    def rows() -> Iterator[Row]:
        yield ROW
        raise BadInput("the rest cannot be read")

    for blocks in (False, True):
        source = RowSource(rows(), may_block=blocks)
        assert await source.take(5) == [ROW]
        with pytest.raises(BadInput, match="the rest"):
            await source.take(5)


async def test_the_loop_runs_while_a_pipe_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert may_block([str(tmp_path / "pipe")])
    source = RowSource(read_questions(str(tmp_path / "pipe")), may_block=True)
    taking = asyncio.create_task(source.take(1))  # opens it, which waits for the other end
    await asyncio.sleep(0)
    with (tmp_path / "pipe").open("wb", buffering=0) as stream:
        for query in ("first", "second"):
            stream.write(json.dumps({"query": query, "documents": ["a"]}).encode() + b"\n")
            (row,) = await taking
            assert isinstance(row, Question) and row.query == query
            taking = asyncio.create_task(source.take(1))
    assert await taking == []


def test_rows_are_counted_as_they_are_read(tmp_path: Path) -> None:
    row = '{"query": "q",\n "documents": ["a"]}'
    contents = {
        "a.jsonl": '{"query": "q", "documents": ["a"]}\n\n  \nbad',
        "b.json": f"[{row}, {row}, 3]",
        "c.tsv": "1\t7\tfirst\tone\n1\t8\tfirst\ttwo\n2\t7\tsecond\tone\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    files = [str(tmp_path / name) for name in contents]
    assert [count_rows([file]) for file in files] == [2, 3, 2]
    assert count_rows(files) == 7
    assert count_rows([str(tmp_path / "gone.jsonl")]) is None
    assert not may_block(files)
    assert may_block([*files, "-"])


def test_packs_of_a_quick_model_grow() -> None:
    size = PackSize()
    for _ in range(20):
        size.took(size.rows, 0.01)
    assert size.rows == size.most
    size.took(size.rows // 2, 0.01)
    assert size.rows == size.most


def test_packs_of_a_slow_model_are_single_rows() -> None:
    size = PackSize(rows=64)
    for _ in range(10):
        size.took(size.rows, 5.0)
    assert size.rows == 1
    size.took(1, 0.5)
    assert size.rows == 1


def test_a_short_pack_is_no_reason_to_grow() -> None:
    size = PackSize(rows=8)
    size.took(3, 0.01)
    assert size.rows == 8


def test_a_refused_pack_sets_the_largest_size() -> None:
    size = PackSize(rows=64)
    size.was_refused(64)
    size.took(32, 0.01)
    assert (size.rows, size.most) == (32, 32)
