"""`gateway rerank`: order documents from files, by a gateway or with shards of its own."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import click

from gateway.cli import exit_codes
from gateway.cli.completion import model_names
from gateway.cli.console import fail, warn
from gateway.cli.help_text import examples
from gateway.cli.inputs import (
    STDIN,
    BadInput,
    Question,
    open_input,
    read_documents,
    read_questions,
    read_text,
)
from gateway.cli.score.batch import score_question
from gateway.cli.score.candidates import read_candidates, read_top_lists
from gateway.cli.score.output_formats import PRINTERS
from gateway.cli.score.progress import progress_bar
from gateway.cli.score.row_source import Row, may_block
from gateway.cli.score.rows import CONCURRENCY
from gateway.cli.score.rows_run import BadRows, Batch, answer_of, run_batch
from gateway.cli.score.run_output import CannotResume, CannotWrite
from gateway.cli.score.scorer import RETRY_SECONDS, RunRefused, Scorer, Unreachable
from gateway.cli.score.scorer_options import scorer_of, scorer_options

JSON_LINES = "jsonl"
_SECRET = {"api_key"}


@dataclass(frozen=True, slots=True)
class Inputs:
    """The files and texts that a command names."""

    files: Sequence[str]
    query: str | None
    given: Sequence[str]
    queries: str | None
    corpus: str | None

    @property
    def is_batch(self) -> bool:
        return self.query is None

    @property
    def all_files(self) -> list[str]:
        return [*self.files, *(file for file in (self.queries, self.corpus) if file)]

    def check(self) -> None:
        """Raise `click.UsageError` for options that do not go together."""
        if self.query is None and self.given:
            raise click.UsageError("-d needs a query: -q QUERY")
        has_other = self.query is not None and self.queries is not None
        if (self.queries is None) != (self.corpus is None) or has_other:
            raise click.UsageError("candidate files need --queries and --corpus, and no -q")
        if not self.files and not self.given:
            raise click.UsageError("nothing to rerank: give files, - for standard input, or -d")

    def question(self) -> Question:
        """Return the question of -q; raises `BadInput`."""
        return Question(read_text(self.query or ""), read_documents(self.files, self.given))

    def rows(self) -> Iterator[Row]:
        """Yield the requests of the files.

        Raises:
            BadInput: a file cannot be read; at once if it cannot be opened.
        """
        if self.queries is not None and self.corpus is not None:
            return iter(read_candidates(self.files, self.queries, self.corpus))
        for file in self.files:
            if file != STDIN and not may_block([file]):
                open_input(file).close()
        return chain.from_iterable(
            (read_top_lists([file]) if file.endswith(".tsv") else read_questions(file))
            for file in self.files
        )


@click.command(
    epilog=examples(
        "gateway rerank -q 'reset password' manual.txt",
        "cat lines.txt | gateway rerank -q @query.txt - --top-n 3",
        "gateway rerank questions.jsonl --url http://127.0.0.1:8080",
        "gateway rerank questions.jsonl --url 127.0.0.1:8080 \\",
        "    --output answers.jsonl --resume",
        "gateway rerank bm25.run --queries queries.jsonl --corpus corpus.jsonl \\",
        "    --format trec",
    )
)
@click.argument("files", nargs=-1)
@click.option(
    "-q",
    "--query",
    metavar="TEXT|@FILE",
    help="Query, or the file that holds it (default: queries come from the files).",
)
@click.option(
    "-d",
    "--document",
    "given",
    metavar="TEXT|@FILE",
    multiple=True,
    help="Document, or the file that holds it; repeatable (default: none).",
)
@click.option("--queries", metavar="FILE", help="Queries of candidate files (default: none).")
@click.option("--corpus", metavar="FILE", help="Documents of candidate files (default: none).")
@click.option(
    "--model",
    metavar="[NAME=]SOURCE",
    shell_complete=model_names,
    help="Name of a model at --url; else a folder, a Hugging Face id or an embedded model "
    "(default: that of --url; else embedded).",
)
@click.option(
    "--details",
    is_flag=True,
    help="Results with margin, tokens, truncation and the span of the best passage.",
)
@click.option(
    "--top-n",
    metavar="N",
    type=click.IntRange(min=1),
    help="Number of best documents to print (default: all).",
)
@scorer_options
@click.option(
    "--format",
    "form",
    metavar="FORMAT",
    type=click.Choice(list(PRINTERS)),
    help=f"Output format: {', '.join(PRINTERS)} (default: table on a terminal, else jsonl).",
)
@click.option("--json", "as_json", is_flag=True, help="Short form of --format jsonl.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="File for the output, which must not exist yet (default: standard output).",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the --output of an interrupted run, after its last whole row; a new run if "
    "there is none.",
)
@click.option(
    "--concurrency",
    metavar="N",
    type=click.IntRange(1, 1000),
    default=CONCURRENCY,
    help=f"Maximum number of requests in progress (default: {CONCURRENCY}).",
)
@click.option(
    "--strict", is_flag=True, help="End at the first malformed row (default: report it, go on)."
)
@click.option(
    "--retry-for",
    "retry_seconds",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    default=RETRY_SECONDS,
    help="Time for a gateway that restarts or is full, after which the run ends "
    f"(default: {RETRY_SECONDS:g}).",
)
def rerank(
    files: tuple[str, ...],
    query: str | None,
    given: tuple[str, ...],
    queries: str | None,
    corpus: str | None,
    top_n: int | None,
    form: str | None,
    as_json: bool,
    output: Path | None,
    resume: bool,
    concurrency: int,
    strict: bool,
    retry_seconds: float,
    **scored_by: Any,
) -> None:
    """Order documents by relevance to a query.

    With -q the files hold documents: one per line; in a .jsonl file one string or {"text": ...}
    per line; in a .json file an array of these, or {"documents": [...]}. - is standard input.
    Without -q they hold requests: {"query": ..., "documents": [...]} per line, or in the array of a
    .json file, or .tsv files with query id, document id, query and document. With --queries and
    --corpus they hold candidates: TREC runs or BEIR qrels. JSONL output has one line per document,
    or without -q one per request, in the order of the input.

    \b
    Exit codes:
      0    all requests were answered
      1    a request was refused, or an input cannot be read
      2    the gateway cannot be reached, or not any more
      65   rows of the input are malformed, and all others were answered
      73   the output cannot be written, exists, or is that of another run
      130  interrupted by Ctrl-C
    """
    inputs = Inputs(files, query, given, queries, corpus)
    inputs.check()
    form = form or (JSON_LINES if as_json or output or not _shows_tables() else "table")
    if resume:
        _check_resume(inputs, form, output)
    if form == "trec" and not scored_by["url"]:  # other servers might reject a field for margins
        scored_by["details"] = True
    scorer = scorer_of(
        **scored_by, retry_seconds=retry_seconds, connections=concurrency, takes_degraded=True
    )
    batch = Batch(
        files=inputs.all_files,
        row_files=inputs.files if queries is None else (),
        top_n=top_n,
        concurrency=concurrency,
        output=output,
        resume=resume,
        strict=strict,
        record={"top_n": top_n, **{name: scored_by[name] for name in scored_by.keys() - _SECRET}},
        shows_progress=output is not None or not sys.stdout.isatty(),
    )
    with _errors_end(output), ExitStack() as stack:
        if output and not (inputs.is_batch and form == JSON_LINES):
            stack.enter_context(_printing_to(output))
        run = _run_question if not inputs.is_batch else _run_rows
        raise SystemExit(asyncio.run(run(scorer, inputs, batch, form)))


def _shows_tables() -> bool:
    return sys.stdout.isatty() and find_spec("rich") is not None


def _check_resume(inputs: Inputs, form: str, output: Path | None) -> None:
    if output is None or not inputs.is_batch or form != JSON_LINES:
        raise click.UsageError("--resume needs --output, requests from files, and --format jsonl")
    if may_block(inputs.all_files):
        raise click.UsageError(
            "--resume reads the input from its start: give a file, and no pipe or standard input"
        )


@contextmanager
def _printing_to(output: Path) -> Iterator[None]:
    """Print to a new file instead of standard output."""
    try:
        stream = output.open("x", encoding="utf-8")
    except FileExistsError:
        raise CannotWrite(f"{output} exists: remove it, or choose another name") from None
    except OSError as error:
        raise CannotWrite(f"{output} cannot be written: {error.strerror}") from None
    with stream, redirect_stdout(stream):
        yield


@contextmanager
def _errors_end(output: Path | None) -> Iterator[None]:
    """End the command with a message and an exit code for each kind of error."""
    rest = f"; --resume goes on with {output}" if output else ""
    try:
        yield
    except (BadInput, RunRefused) as error:
        fail(str(error), exit_codes.REFUSED)
    except BadRows as error:
        fail(str(error), exit_codes.BAD_DATA)
    except Unreachable as error:
        fail(f"{error}{rest}", exit_codes.DOWN)
    except (CannotResume, CannotWrite) as error:
        fail(str(error), exit_codes.CANNOT_CREATE)
    except KeyboardInterrupt:
        fail(f"interrupted{rest}", exit_codes.INTERRUPTED)


async def _run_rows(
    scoring: AbstractAsyncContextManager[Scorer], inputs: Inputs, batch: Batch, form: str
) -> int:
    """Score and print the rows of files; return the exit code."""
    printer = None if form == JSON_LINES else PRINTERS[form](True)
    return await run_batch(scoring, inputs.rows(), batch, printer)


async def _run_question(
    scoring: AbstractAsyncContextManager[Scorer], inputs: Inputs, batch: Batch, form: str
) -> int:
    """Score and print one question; return the exit code."""
    question, printer = inputs.question(), PRINTERS[form](False)
    with progress_bar(len(question.documents)) as progress:
        async with scoring as scorer:
            scored = await score_question(scorer, question, progress.advance)
            progress.stop()
            if scored.error:
                click.echo(f"error: {scored.error}", err=True)
            printer.show(answer_of(scored, batch.top_n))
        for warning in scorer.warnings:
            warn(warning)
    printer.end()
    return exit_codes.REFUSED if scored.error else exit_codes.OK
