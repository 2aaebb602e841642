"""`gateway rerank`: order documents from files, with a gateway or with shards of our own."""

import asyncio
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import chain
from typing import Any

import click

from gateway.cli import exits
from gateway.cli.answers import PRINTERS, Answer, Printer, Ranked
from gateway.cli.candidates import read_candidates, read_top_lists
from gateway.cli.completion import model_names
from gateway.cli.inputs import BadInput, Question, read_documents, read_questions, read_text
from gateway.cli.say import fail
from gateway.cli.scorers import Scorer, Unreachable
from gateway.cli.scoring import Scores, progress_bar, score_questions, scorer_of, scorer_options


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
@click.option(
    "--details", is_flag=True, help="Show margin, tokens, truncation and the best passage's span."
)
@click.option("--top-n", type=click.IntRange(min=1), help="Only the best ones.")
@scorer_options
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
        scorer = scorer_of(**scored_by)
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
    with progress_bar(total, shown=not (batch and sys.stdout.isatty())) as progress:
        async with scoring as scorer:
            async for found in score_questions(scorer, questions, progress.advance):
                answer = _answer(found, top_n)
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


def _answer(found: Scores, top_n: int | None) -> Answer:
    """Return the best documents, or why there are none."""
    question, scores = found.question, found.scores
    if found.error:
        return Answer(question, error=found.error)
    order = sorted(range(len(scores)), key=lambda index: (-scores[index].order, index))
    return Answer(
        question,
        tuple(
            Ranked(
                index,
                scores[index].relevance_score,
                question.documents[index],
                scores[index].details,
            )
            for index in order[:top_n]
        ),
    )
