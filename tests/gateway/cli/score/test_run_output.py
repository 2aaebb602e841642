"""The output of a batch and its record: a run goes on only with what it began with."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.cli.inputs import BadRow, Document, Question
from gateway.cli.score.row_source import Row
from gateway.cli.score.run_output import (
    CannotResume,
    CannotWrite,
    RunRecord,
    open_output,
    record_of,
    skip_done,
)

OPTIONS = {"model": "m", "instruction": None, "details": False, "top_n": 3, "devices": ("a", "b")}


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "in.jsonl"
    path.write_text("content")
    return str(path)


@pytest.fixture
def record(file: str) -> RunRecord:
    return record_of(OPTIONS, [file], "w1")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def begun(output: Path, record: RunRecord, content: bytes) -> None:
    started = open_output(output, record, resume=False)
    started.write(content)
    started.close()


@pytest.mark.parametrize("tail", [b"", b'{"query": "to', b"x" * 200_000, b"\0" * 9])
def test_a_run_goes_on_after_its_last_whole_row(
    output: Path, record: RunRecord, tail: bytes
) -> None:
    rows = b'{"query":"a"}\n' * 3
    begun(output, record, rows + tail)
    resumed = open_output(output, record, resume=True)
    assert resumed.done == 3
    resumed.write(b'{"query":"b"}\n')
    resumed.close()
    assert output.read_bytes() == rows + b'{"query":"b"}\n'


def test_a_run_without_a_whole_row_begins_anew(output: Path, record: RunRecord) -> None:
    for content in (None, b"", b'{"query'):
        if content is not None:
            begun(output, record, content)
        resumed = open_output(output, record, resume=True)
        assert resumed.done == 0
        resumed.close()
        assert output.read_bytes() == b""
        output.unlink()


def test_an_output_is_not_overwritten(output: Path, record: RunRecord, tmp_path: Path) -> None:
    output.write_text("mine")
    with pytest.raises(CannotWrite, match=r"out\.jsonl exists: .*--resume"):
        open_output(output, record, resume=False)
    with pytest.raises(CannotResume, match=r"no record of their run in .*out\.jsonl\.run\.json"):
        open_output(output, record, resume=True)
    assert output.read_text() == "mine"
    with pytest.raises(CannotWrite, match="cannot be written: No such file"):
        open_output(tmp_path / "gone" / "out", record, resume=False)


def test_two_runs_cannot_write_one_output(output: Path, record: RunRecord) -> None:
    first = open_output(output, record, resume=False)
    with pytest.raises(CannotWrite, match="written by another run"):
        open_output(output, record, resume=True)
    first.close()
    open_output(output, record, resume=True).close()


def test_other_options_or_files_are_refused(
    output: Path, record: RunRecord, file: str, tmp_path: Path
) -> None:
    begun(output, record, b'{"query":"a"}\n')
    copy = tmp_path / "copy.jsonl"
    copy.write_text("content")
    open_output(output, record_of(OPTIONS, [str(copy)], "w1"), resume=True).close()
    open_output(output, record_of(OPTIONS, [file]), resume=True).close()
    changed = tmp_path / "changed.jsonl"
    changed.write_text("contend")
    others = {
        "model was m and is now n": record_of({**OPTIONS, "model": "n"}, [file], "w1"),
        "top_n was 3 and is now not given": record_of({**OPTIONS, "top_n": None}, [file], "w1"),
        "details was not given and is now True": record_of(
            {**OPTIONS, "details": True}, [file], "w1"
        ),
        "changed.jsonl is not the file that it was": record_of(OPTIONS, [str(changed)], "w1"),
        "it had 1 input files, and now there are 2": record_of(OPTIONS, [file, file], "w1"),
        "the model has other weights now": record_of(OPTIONS, [file], "w2"),
    }
    for reason, other in others.items():
        with pytest.raises(CannotResume, match=reason):
            open_output(output, other, resume=True)
    with pytest.raises(CannotResume, match="cannot be read twice"):
        open_output(output, None, resume=True)
    assert output.read_bytes() == b'{"query":"a"}\n'


def rows() -> Iterator[Row]:
    yield Question("a", (Document("x"),), "1")
    yield BadRow(2, "in.jsonl, line 2: not JSON")
    yield Question("c", (Document("x"),))
    yield Question("d", (Document("x"),))


DONE: list[dict[str, object]] = [
    {"id": "1", "query": "a", "results": [{"index": 0, "relevance_score": 0.5}]},
    {"row": 2, "error": "in.jsonl, line 2: not JSON"},
    {"query": "c", "error": "refused"},
]


def written(output: Path, record: RunRecord, done: list[dict[str, object]]) -> tuple[int, int]:
    begun(output, record, b"".join(json.dumps(row).encode() + b"\n" for row in done))
    left = rows()
    with closing(open_output(output, record, resume=True)) as resumed:
        found = skip_done(resumed, left)
    assert [row.query for row in left if isinstance(row, Question)][-1] == "d"
    return found


def test_rows_that_are_done_are_passed_over(output: Path, record: RunRecord) -> None:
    assert written(output, record, DONE) == (1, 1)


@pytest.mark.parametrize(
    ("at", "row"),
    [
        (0, {"query": "b", "id": "1"}),
        (0, {"query": "a", "id": "2"}),
        (1, {"query": "a"}),
        (2, {"row": 3, "error": "in.jsonl, line 3: not JSON"}),
        (2, {"query": 3}),
    ],
)
def test_answers_to_other_rows_are_refused(
    output: Path, record: RunRecord, at: int, row: dict[str, object]
) -> None:
    changed = [*DONE[:at], row, *DONE[at + 1 :]]
    with pytest.raises(CannotResume, match=rf"out\.jsonl, line {at + 1}: it is not the answer"):
        written(output, record, changed)


def test_more_answers_than_rows_are_refused(output: Path, record: RunRecord) -> None:
    more: list[dict[str, object]] = [*DONE, {"query": "d"}, {"query": "e"}]
    with pytest.raises(CannotResume, match="line 5: it is not the answer to row 5"):
        written(output, record, more)
