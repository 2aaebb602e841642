"""Options that name judged data for `calibrate` and `compare`: TREC, BEIR, JSONL, datasets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from gateway.cli import exit_codes
from gateway.cli.console import fail, warn
from gateway.cli.inputs import BadInput, path_of
from gateway.cli.measure.evaluation.collection import CollectionFiles, beir_files, read_collection
from gateway.cli.measure.evaluation.extra import CannotEvaluate, check_extra
from gateway.cli.measure.judged import JudgedQuery, read_judged

_OPTIONS = (
    ("--queries", "Queries of TREC: JSON lines with _id and text, or TSV (default: none)."),
    ("--corpus", "Documents of TREC: JSON lines with _id and text, or TSV (default: none)."),
    ("--qrels", "Judgements in the format of TREC or BEIR (default: none)."),
    ("--run", "TREC run with the candidates (default: BM25 finds them)."),
)


@dataclass(frozen=True, slots=True)
class DataOptions:
    """The values of `data_options`."""

    queries: str | None
    corpus: str | None
    qrels: str | None
    run: str | None
    split: str
    top_k: int


def data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options, which become the argument `data`."""

    @wraps(command)
    def with_data(
        queries: str | None,
        corpus: str | None,
        qrels: str | None,
        run: str | None,
        split: str,
        top_k: int,
        **rest: Any,
    ) -> Any:
        return command(data=DataOptions(queries, corpus, qrels, run, split, top_k), **rest)

    decorated: Callable[..., Any] = with_data
    top_k = click.option(
        "--top-k",
        metavar="N",
        type=click.IntRange(min=1),
        default=100,
        help="Number of candidates per query that BM25 finds (default: 100).",
    )
    split = click.option(
        "--split",
        metavar="NAME",
        default="test",
        help="Split of a BEIR folder or of datasets (default: test).",
    )
    for option in (top_k, split):
        decorated = option(decorated)
    for name, help in reversed(_OPTIONS):
        decorated = click.option(name, metavar="FILE", help=help)(decorated)
    return decorated


def judged_data(files: Sequence[str], options: DataOptions) -> list[JudgedQuery]:
    """Return the queries of all files and folders, and of the options.

    Raises:
        BadInput: a file or line cannot be read.
    """
    folders = {file: beir_files(path_of(file), options.split) for file in files}
    rows = [file for file, beir in folders.items() if beir is None]
    collections = [beir for beir in folders.values() if beir is not None]
    if has_collection(options):
        texts = (options.queries, options.corpus, options.qrels)
        collections.append(CollectionFiles(*texts, options.run, ()))
    found = read_judged(rows, options.split) if rows else []
    for files_of_one in collections:
        further = _collection(files_of_one, options.top_k)
        known = {each.question.id for each in found}
        if twice := [each.question.id for each in further if each.question.id in known]:
            raise BadInput(
                f"{files_of_one.queries}: query {twice[0]!r} is in other data as well: give one "
                "collection at a time"
            )
        found += further
    return found


def has_collection(options: DataOptions) -> bool:
    """Return whether the options name a collection; end the command if they name a part of one."""
    needed = (options.queries, options.corpus, options.qrels)
    if any((*needed, options.run)) and not all(needed):
        raise click.UsageError("a collection needs --queries, --corpus and --qrels")
    return all(needed)


def _collection(files: CollectionFiles, top_k: int) -> list[JudgedQuery]:
    if not files.run:
        try:
            check_extra()
        except CannotEvaluate as error:
            fail(str(error), exit_codes.UNAVAILABLE)
    return with_unjudged(read_collection(files, top_k, ""), files.qrels or "")


def with_unjudged(judged: Sequence[JudgedQuery], name: str) -> list[JudgedQuery]:
    """Return queries whose candidates all have a label, if no document is judged not relevant.

    Collections as those of BEIR have judgements of relevant documents only.
    """
    if any(grade == 0 for each in judged for grade in each.grades.values()):
        return list(judged)
    warn(
        f"{name} judges no document not relevant: candidates without a judgement count as not "
        "relevant"
    )
    return [JudgedQuery(each.question, {**_zeros(each), **each.grades}) for each in judged]


def _zeros(judged: JudgedQuery) -> dict[str, int]:
    return {document.id: 0 for document in judged.question.documents}
