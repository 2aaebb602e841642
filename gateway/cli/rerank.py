"""`gateway rerank`: order documents from files, with a gateway or with shards of our own.

Documents are scored in parts, which shows progress and lets one call be as long as it likes: a
score depends on its own query and document only, so the parts can be merged.
"""

import asyncio
import contextlib
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import exits
from gateway.cli.answers import PRINTERS, Answer, Printer, Ranked
from gateway.cli.candidates import read_candidates, read_top_lists
from gateway.cli.completion import model_names
from gateway.cli.flags import model_options, one_model
from gateway.cli.inputs import BadInput, Question, read_documents, read_questions, read_text
from gateway.cli.remote import api_key_option, read_key
from gateway.cli.say import console, fail
from gateway.cli.scorers import Reading, Refused, Score, Scorer, Unreachable, local, remote
from gateway.cli.spoken import SPOKEN

if TYPE_CHECKING:
    from gateway.domain import Policy

PART = 128
"""Documents of one question that are scored together."""

AHEAD = 4
"""Questions of a batch that are under way at once."""

PROGRESS_AFTER_SECONDS = 2.0


@click.command(
    epilog="Examples: `gateway rerank -q 'reset password' manual.txt`, "
    "`cat lines.txt | gateway rerank -q @query.txt - --top-n 3`, "
    "`gateway rerank questions.jsonl --url http://127.0.0.1:8080`, "
    "`gateway rerank bm25.run --queries queries.jsonl --corpus corpus.jsonl --format trec`."
)
@click.argument("files", nargs=-1)
@click.option("-q", "--query", help="The query, or @FILE. Without it the files hold the queries.")
@click.option(
    "-d", "--document", "given", multiple=True, help="A document, or @FILE; repeat for several."
)
@click.option("--queries", metavar="FILE", help="The queries of candidate files.")
@click.option("--corpus", metavar="FILE", help="The documents of candidate files.")
@click.option(
    "--model",
    metavar="[NAME=]SOURCE",
    shell_complete=model_names,
    help="With --url a name that is served there; else a folder, a Hugging Face id or an embedded "
    "model; default embedded-bert.",
)
@model_options
@click.option("--instruction", help="What relevance means, for models that read it.")
@click.option(
    "--long-documents",
    type=click.Choice(["truncate", "passages", "error"]),
    help="What happens to documents that are too long; default what the model is set to.",
)
@click.option(
    "--max-passages",
    type=click.IntRange(min=1),
    help="Read long documents in passages, at most so many of each.",
)
@click.option(
    "--details", is_flag=True, help="Show margin, tokens, truncation and the best passage's span."
)
@click.option("--top-n", type=click.IntRange(min=1), help="Only the best ones.")
@click.option(
    "--url", envvar="GATEWAY_URL", help="A running gateway; else shards are started here."
)
@click.option(
    "--dialect", type=click.Choice(list(SPOKEN)), default="jina", help="The API of --url."
)
@api_key_option
@click.option(
    "--format", "form", type=click.Choice(list(PRINTERS)), help="Default: table on a terminal."
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format jsonl.")
def rerank(
    files: tuple[str, ...],
    query: str | None,
    given: tuple[str, ...],
    queries: str | None,
    corpus: str | None,
    top_n: int | None,
    form: str | None,
    as_json: bool,
    **scored_by: Any,
) -> None:
    """Order documents by relevance to a query.

    With -q the files hold documents: one per line, or in a .jsonl file one string or {"text": ...}
    per line; - is standard input. Without -q they are JSON lines of {"query": ..., "documents":
    [...]}, or .tsv files with query id, document id, query and document. With --queries and
    --corpus they are candidates: TREC runs or BEIR qrels. JSONL output has one line per document,
    or one per request without -q.

    Exit code 0: all were answered. 1: a request was refused. 2: the gateway cannot be reached.
    """
    _check_use(files, query, given, queries, corpus)
    batch = query is None
    name = form or ("jsonl" if as_json or not sys.stdout.isatty() else "table")
    try:
        questions = _questions(files, query, given, queries, corpus)
        scorer = _scorer(**scored_by)
        failed = asyncio.run(
            _run(scorer, questions, PRINTERS[name](batch), top_n=top_n, batch=batch)
        )
    except BadInput as error:
        fail(str(error), exits.REFUSED)
    except Unreachable as error:
        fail(str(error), exits.DOWN)
    raise SystemExit(exits.REFUSED if failed else exits.OK)


def _check_use(
    files: Sequence[str],
    query: str | None,
    given: Sequence[str],
    queries: str | None,
    corpus: str | None,
) -> None:
    if query is None and given:
        raise click.UsageError("-d needs a query: -q QUERY")
    if (queries is None) != (corpus is None) or (query is not None and queries is not None):
        raise click.UsageError("candidate files need --queries and --corpus, and no -q")
    if not files and not given:
        raise click.UsageError("nothing to rerank: name files, - for standard input, or use -d")


def _questions(
    files: Sequence[str],
    query: str | None,
    given: Sequence[str],
    queries: str | None,
    corpus: str | None,
) -> Iterable[Question]:
    """Read what is asked: one question for -q, else those of the files; raises `BadInput`."""
    if query is not None:
        return [Question(read_text(query), read_documents(files, given))]
    if queries is not None and corpus is not None:
        return read_candidates(files, queries, corpus)
    return chain.from_iterable(
        (read_top_lists if file.endswith(".tsv") else read_questions)([file]) for file in files
    )


def _scorer(
    url: str | None,
    dialect: str,
    api_key: str | None,
    model: str | None,
    instruction: str | None,
    long_documents: "Policy | None",
    max_passages: int | None,
    details: bool,
    **described: Any,
) -> AbstractAsyncContextManager[Scorer]:
    reading = Reading(long_documents, max_passages, details)
    if url:
        idle = [name for name, value in described.items() if value not in (None, ())]
        if idle:
            raise click.UsageError(f"{', '.join(idle)}: the gateway behind --url decides that")
        options = {"model": model, "instruction": instruction, **reading.fields()}
        return remote(url, SPOKEN[dialect], options, read_key(api_key))
    settings = one_model(model, described)
    from gateway import logs

    logs.configure("warning")
    return local(settings, next(iter(settings.models)), instruction, reading)


async def _run(
    scoring: AbstractAsyncContextManager[Scorer],
    questions: Iterable[Question],
    printer: Printer,
    *,
    top_n: int | None,
    batch: bool,
) -> bool:
    """Answer everything, print as it comes; return whether anything was refused."""
    failed = False
    total = None if batch else sum(len(one.documents) for one in questions)
    with _progress(total, shown=not (batch and sys.stdout.isatty())) as progress:
        async with scoring as scorer:
            async for answer in _answers(scorer, questions, top_n, progress.advance):
                if not batch:
                    progress.stop()
                if answer.error:
                    failed = True
                    click.echo(f"error: {answer.error}", err=True)
                printer.show(answer)
        for warning in scorer.warnings:
            click.echo(f"warning: {warning}", err=True)
    printer.end()
    return failed


async def _answers(
    scorer: Scorer, questions: Iterable[Question], top_n: int | None, advance: Callable[[int], None]
) -> AsyncIterator[Answer]:
    """Yield answers in the order of the questions, with a few under way ahead."""
    under_way: deque[asyncio.Task[Answer]] = deque()
    try:
        for question in questions:
            under_way.append(asyncio.create_task(_answer(scorer, question, top_n, advance)))
            if len(under_way) > AHEAD:
                yield await under_way.popleft()
        while under_way:
            yield await under_way.popleft()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _answer(scorer: Scorer, question: Question, top_n: int | None, advance: Any) -> Answer:
    documents = question.documents
    scores: list[Score] = []
    try:
        for start in range(0, len(documents), PART):
            part = documents[start : start + PART]
            scores += await scorer.score(question.query, [one.text for one in part])
            advance(len(part))
    except Refused as error:
        return Answer(question, error=str(error))
    order = sorted(range(len(scores)), key=lambda index: (-scores[index].order, index))
    return Answer(
        question,
        tuple(
            Ranked(index, scores[index].relevance_score, documents[index], scores[index].details)
            for index in order[:top_n]
        ),
    )


@dataclass(frozen=True, slots=True)
class Progress:
    """What counts scored documents, and what takes the count off the terminal."""

    advance: Callable[[int], None]
    stop: Callable[[], None]


@contextlib.contextmanager
def _progress(total: int | None, *, shown: bool) -> Iterator[Progress]:
    """Yield a progress bar on the terminal that appears when it takes long."""
    if not shown or not sys.stderr.isatty():
        yield Progress(advance=lambda _count: None, stop=lambda: None)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("documents"), TimeElapsedColumn())
    bar = Bar(*columns, console=console(stderr=True), transient=True, refresh_per_second=4)
    line = bar.add_task("", total=total)
    timer = asyncio.get_running_loop().call_later(PROGRESS_AFTER_SECONDS, bar.start)

    def stop() -> None:
        timer.cancel()
        bar.stop()

    try:
        yield Progress(advance=lambda count: bar.update(line, advance=count), stop=stop)
    finally:
        stop()
