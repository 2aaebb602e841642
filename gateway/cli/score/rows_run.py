"""A batch from its files to its output: scoring, errors of single rows, progress, the end."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import click

from gateway.cli import exit_codes
from gateway.cli.console import warn
from gateway.cli.inputs import BadRow, Question
from gateway.cli.score.batch import ScoredQuestion
from gateway.cli.score.output_formats import Answer, Printer, Result
from gateway.cli.score.progress import Progress, progress_bar
from gateway.cli.score.row_source import PackSize, Row, RowSource, count_rows, may_block
from gateway.cli.score.rows import ScoredRow, score_rows
from gateway.cli.score.run_output import RunOutput, open_output, record_of, skip_done
from gateway.cli.score.scorer import Refused, Scorer

_MOST_SHOWN_ERRORS = 20


_NO_QUESTION = Question("", ())


class BadRows(Exception):
    """The first malformed row of a run that accepts none."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The options of a batch.

    Attributes:
        files: all input files; the first `row_files` of them have rows that can be counted.
        row_files: the files with one request per row.
        top_n: the number of results of each row; `None` for all.
        concurrency: maximum number of requests in progress.
        output: the output file; `None` for standard output.
        resume: whether to go on with the output of an interrupted run.
        strict: whether a malformed row ends the run.
        record: options that decide the answers, which a resumed run must have, too.
        shows_progress: whether a progress bar may be shown.
    """

    files: Sequence[str]
    row_files: Sequence[str]
    top_n: int | None
    concurrency: int
    output: Path | None
    resume: bool
    strict: bool
    record: Mapping[str, object]
    shows_progress: bool


@dataclass(slots=True)
class _Faults:
    """Rows without scores, of which the first ones are reported on stderr."""

    refused: int = 0
    malformed: int = 0

    def report(self, rows: Iterable[ScoredRow]) -> None:
        for row in rows:
            if not row.error:
                continue
            if self.refused + self.malformed < _MOST_SHOWN_ERRORS:
                click.echo(f"error: {row.error}", err=True)
            if isinstance(row, BadRow):
                self.malformed += 1
            else:
                self.refused += 1

    @property
    def exit_code(self) -> int:
        if self.refused:
            return exit_codes.REFUSED
        return exit_codes.BAD_DATA if self.malformed else exit_codes.OK

    def sum_up(self, rows: int) -> None:
        if self.refused or self.malformed:
            click.echo(
                f"{self.refused + self.malformed} of {rows} rows have no scores: {self.refused} "
                f"refused, {self.malformed} malformed",
                err=True,
            )


async def run_batch(
    scoring: AbstractAsyncContextManager[Scorer],
    rows: Iterator[Row],
    batch: Batch,
    printer: Printer | None,
) -> int:
    """Score and print all rows in turn; return the exit code.

    Args:
        scoring: the scorer.
        rows: the rows of the files.
        batch: the options.
        printer: prints the answers; `None` for JSON lines.

    Raises:
        BadInput: a file cannot be read.
        BadRows: a row is malformed, and the run is strict.
        CannotResume: the output is not that of an interrupted run like this one.
        CannotWrite: the output cannot be written.
        Refused: the server rejects every request of this run.
        Unreachable: the server does not answer, or not any more.
    """
    faults = _Faults()
    async with scoring as scorer:
        output = await _opened(scorer, batch) if printer is None and batch.output else None
        try:
            if output and output.done:
                faults.refused, faults.malformed = skip_done(output, rows)
            write = _printed(printer, batch.top_n) if printer else _json_lines(output, batch.top_n)
            done = await _score(scorer, rows, batch, faults, write, output.done if output else 0)
        finally:
            if output:
                output.close()
        for warning in scorer.warnings:
            warn(warning)
    if printer:
        printer.end()
    faults.sum_up(done)
    return faults.exit_code


async def _opened(scorer: Scorer, batch: Batch) -> RunOutput:
    """Open the output file, with a record if the files can be read again."""
    assert batch.output
    record = None
    if not may_block(batch.files):
        try:
            weights = (await scorer.identity()).weights
        except Refused:
            weights = ""  # it has no list of models, or does not answer yet
        record = record_of(batch.record, batch.files, weights)
    return open_output(batch.output, record, resume=batch.resume)


async def _score(
    scorer: Scorer,
    rows: Iterator[Row],
    batch: Batch,
    faults: _Faults,
    write: Callable[[Sequence[ScoredRow]], None],
    done: int,
) -> int:
    """Score the rows that are left, and write each pack; return the number of all rows."""
    source = RowSource(rows, may_block=may_block(batch.files))
    size = PackSize() if await scorer.takes_pairs() else PackSize(most=1)
    with progress_bar(None, shown=batch.shows_progress, unit="requests", done=done) as progress:
        if progress.is_shown:
            _count_in_thread(batch.row_files, progress)
        async for scored in score_rows(scorer, source, size, batch.concurrency):
            bad = _first_bad_row(scored) if batch.strict else None
            write(scored[:bad])
            if bad is not None:
                raise BadRows(scored[bad].error)
            faults.report(scored)
            progress.advance(len(scored))
            done += len(scored)
    return done


def _first_bad_row(scored: Sequence[ScoredRow]) -> int | None:
    return next((at for at, row in enumerate(scored) if isinstance(row, BadRow)), None)


def _count_in_thread(files: Sequence[str], progress: Progress) -> None:
    """Give the progress bar its total as soon as it is counted."""

    def count() -> None:
        total = count_rows(files)
        if total is not None:
            progress.set_total(total)

    if files and not may_block(files):
        threading.Thread(target=count, daemon=True).start()


def _json_lines(
    output: RunOutput | None, top_n: int | None
) -> Callable[[Sequence[ScoredRow]], None]:
    """Return a function that writes one JSON line per row."""
    import orjson

    def write(rows: Sequence[ScoredRow]) -> None:
        lines = b"".join(
            [orjson.dumps(_as_json(row, top_n), option=orjson.OPT_APPEND_NEWLINE) for row in rows]
        )
        output.write(lines) if output else click.echo(lines, nl=False)

    return write


def _printed(printer: Printer, top_n: int | None) -> Callable[[Sequence[ScoredRow]], None]:
    """Return a function that prints rows; a malformed one is an answer without a question."""

    def write(rows: Sequence[ScoredRow]) -> None:
        for row in rows:
            if isinstance(row, BadRow):
                printer.show(Answer(_NO_QUESTION, error=row.error))
            else:
                printer.show(answer_of(row, top_n))

    return write


def _as_json(row: ScoredRow, top_n: int | None) -> dict[str, object]:
    if isinstance(row, BadRow):
        return {"row": row.number, "error": row.error}
    return answer_of(row, top_n).as_json()


def answer_of(scored: ScoredQuestion, top_n: int | None) -> Answer:
    """Return the best documents of a question, or the reason why there are none."""
    question, scores = scored.question, scored.scores
    if scored.error:
        return Answer(question, error=scored.error)
    ranked = [each.details.get("margin", each.rank_score) for each in scores]
    order = sorted(range(len(scores)), key=lambda index: (-ranked[index], index))
    results = [
        Result(
            index, scores[index].relevance_score, question.documents[index], scores[index].details
        )
        for index in order[:top_n]
    ]
    return Answer(question, tuple(results))
