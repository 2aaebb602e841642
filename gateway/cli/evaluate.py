"""`gateway eval`: how well a model orders, by the judgements of people, beside BM25 and a first stage."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import exits
from gateway.cli.candidates import read_texts
from gateway.cli.completion import model_names
from gateway.cli.inputs import BadInput, Question
from gateway.cli.judged import Judged, read_judged, read_qrels, read_run, with_grades
from gateway.cli.say import console, fail
from gateway.cli.scorers import Scorer, Unreachable
from gateway.cli.scoring import progress_bar, score_questions, scorer_of, scorer_options

if TYPE_CHECKING:
    from gateway.evaluation.figures import Quality

FIRST, BM25, RERANKED = "first stage", "BM25", "reranked"


@dataclass(frozen=True, slots=True)
class Files:
    """Where queries, texts, judgements and candidates are."""

    queries: str | None
    corpus: str | None
    qrels: str | None
    run: str | None
    candidates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of reranking: an order by query, and why queries have none."""

    orders: Mapping[str, Sequence[str]]
    errors: Mapping[str, str]
    warnings: tuple[str, ...] = field(default=())


@click.command(
    name="eval",
    epilog="Examples: `gateway eval --data beir/scifact --top-k 100`, "
    "`gateway eval Qwen/Qwen3-Reranker-0.6B --queries q.jsonl --corpus c.jsonl --qrels test.tsv "
    "--run bm25.run`, `gateway eval qwen3 --url http://127.0.0.1:8080 --candidates labelled.jsonl`.",
)
@click.argument("model", required=False, shell_complete=model_names)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="A folder as BEIR has it: queries.jsonl, corpus.jsonl, qrels/SPLIT.tsv.",
)
@click.option("--split", default="test", show_default=True, help="Which qrels of --data.")
@click.option("--queries", metavar="FILE", help="Queries: JSON lines with _id and text, or TSV.")
@click.option("--corpus", metavar="FILE", help="Documents: JSON lines with _id and text, or TSV.")
@click.option("--qrels", metavar="FILE", help="Judgements, as BEIR or TREC has them.")
@click.option(
    "--run", metavar="FILE", help="A first stage as a TREC run; else BM25 finds candidates."
)
@click.option(
    "--candidates",
    metavar="FILE",
    multiple=True,
    help="JSON lines of queries with candidates, in the order of the first stage, and labels.",
)
@click.option(
    "--top-k",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="How many candidates of each query are reranked.",
)
@click.option(
    "--recall",
    "recall",
    type=click.IntRange(min=1),
    multiple=True,
    default=(10, 100),
    show_default=True,
    help="Recall among so many; repeat for several.",
)
@click.option(
    "--stem", metavar="LANGUAGE", default="", help="Stem BM25's words: english, russian..."
)
@click.option("--limit", type=click.IntRange(min=1), help="Only the first so many queries.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the bootstrap.")
@scorer_options
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def evaluate(
    model: str | None,
    data: Path | None,
    split: str,
    queries: str | None,
    corpus: str | None,
    qrels: str | None,
    run: str | None,
    candidates: tuple[str, ...],
    top_k: int,
    recall: tuple[int, ...],
    stem: str,
    limit: int | None,
    seed: int,
    as_json: bool,
    **scored_by: Any,
) -> None:
    """Measure nDCG@10, MRR@10 and recall of an order: that of the first stage, BM25's, the model's.

    MODEL is a name at --url, or else a folder, a Hugging Face id or an embedded model. All rankings
    order the same candidates. Each figure has a 95 % interval (bootstrap over queries), and so has
    the difference to the first stage, query by query.

    Exit code 0: every query was answered. 1: some were refused and are left out, or a file is wrong.
    2: the gateway cannot be reached.
    """
    _check_libraries(stem)
    files = _files(data, split, queries, corpus, qrels, run, candidates)
    try:
        judged = _judged(files, top_k, stem)[:limit]
        if not any(grade > 0 for one in judged for grade in one.grades.values()):
            raise BadInput("no query has a document that is judged relevant: nothing to measure")
        outcome = asyncio.run(_rerank(scorer_of(model=model, **scored_by), judged))
    except BadInput as error:
        fail(str(error), exits.REFUSED)
    except Unreachable as error:
        fail(str(error), exits.DOWN)
    for line in outcome.warnings:
        click.echo(f"warning: {line}", err=True)
    for query, error_text in outcome.errors.items():
        click.echo(f"error: query {query}: {error_text}; it is left out", err=True)
    _report(_measured(judged, outcome, files, recall, stem, seed), outcome, as_json=as_json)
    raise SystemExit(exits.REFUSED if outcome.errors else exits.OK)


def _check_libraries(stem: str) -> None:
    from gateway.evaluation.extra import CannotEvaluate, check_extra

    try:
        check_extra()
    except CannotEvaluate as error:
        fail(str(error), exits.UNAVAILABLE)
    from gateway.evaluation.first_stage import languages

    if stem and stem not in languages():
        raise click.BadParameter(f"{stem} is none of {', '.join(languages())}", param_hint="--stem")


def _files(
    data: Path | None,
    split: str,
    queries: str | None,
    corpus: str | None,
    qrels: str | None,
    run: str | None,
    candidates: tuple[str, ...],
) -> Files:
    if data:
        queries = queries or str(data / "queries.jsonl")
        corpus = corpus or str(data / "corpus.jsonl")
        qrels = qrels or str(data / "qrels" / f"{split}.tsv")
    if candidates and (run or data or queries or corpus):
        raise click.UsageError(
            "--candidates has queries and documents: give --qrels beside it at most"
        )
    if not candidates and not (queries and corpus and qrels):
        raise click.UsageError(
            "nothing to measure: give --data FOLDER, or --queries, --corpus and --qrels, or --candidates"
        )
    return Files(queries, corpus, qrels, run, candidates)


def _judged(files: Files, top_k: int, stem: str) -> list[Judged]:
    """Return the judged queries with their best candidates of the first stage."""
    grades = read_qrels(files.qrels) if files.qrels else {}
    if files.candidates:
        found = read_judged(files.candidates)
        found = with_grades(found, grades) if files.qrels else found
    elif files.run:
        assert files.queries and files.corpus
        found = read_run(files.run, files.queries, files.corpus, grades)
        found += _not_found(files.queries, grades, found)
    else:
        found = _by_bm25(files, grades, top_k, stem)
    return [
        Judged(Question(q.query, q.documents[:top_k], q.id), one.grades)
        for one in found
        for q in (one.question,)
    ]


def _not_found(
    queries: str, grades: Mapping[str, Mapping[str, int]], found: Sequence[Judged]
) -> list[Judged]:
    """Return the judged queries for which a run has nothing: they count 0, as in trec_eval -c."""
    left = grades.keys() - {one.question.id for one in found}
    texts = read_texts(queries, left)
    return [Judged(Question(one.text, (), id), grades[id]) for id, one in texts.items()]


def _by_bm25(
    files: Files, grades: Mapping[str, Mapping[str, int]], top_k: int, stem: str
) -> list[Judged]:
    """Find candidates in the whole corpus."""
    from gateway.evaluation.first_stage import Bm25

    assert files.queries and files.corpus
    documents = list(read_texts(files.corpus).values())
    texts = read_texts(files.queries, grades.keys())
    if not documents or not texts:
        raise BadInput(f"{files.corpus} is empty, or {files.queries} has no query that is judged")
    index = Bm25([one.text for one in documents], stem)
    return [
        Judged(
            Question(
                one.text, tuple(documents[place] for place in index.best(one.text, top_k)), id
            ),
            grades[id],
        )
        for id, one in texts.items()
    ]


async def _rerank(
    scoring: AbstractAsyncContextManager[Scorer], judged: Sequence[Judged]
) -> Outcome:
    orders, errors = {}, {}
    asked = [one.question for one in judged if one.question.documents]
    with progress_bar(sum(len(one.documents) for one in asked)) as progress:
        async with scoring as scorer:
            async for found in score_questions(scorer, asked, progress.advance):
                if found.error:
                    errors[found.question.id] = found.error
                    continue
                places = range(len(found.scores))
                best = sorted(places, key=lambda place: -found.scores[place].order)
                orders[found.question.id] = [found.question.documents[one].id for one in best]
        return Outcome(orders, errors, tuple(scorer.warnings))


def _measured(
    judged: Sequence[Judged],
    outcome: Outcome,
    files: Files,
    recall: Sequence[int],
    stem: str,
    seed: int,
) -> "dict[str, Quality]":
    """Return the quality of each ranking; queries that were refused are left out of all."""
    from gateway.evaluation.figures import measure

    kept = [one for one in judged if one.question.id not in outcome.errors]
    given = {q.id: [one.id for one in q.documents] for q in (each.question for each in kept)}
    rankings: dict[str, Mapping[str, Sequence[str]]] = {}
    if files.run or files.candidates:
        rankings[FIRST] = given
        rankings[BM25] = _bm25_orders(kept, stem)
    else:
        rankings[BM25] = given
    rankings[RERANKED] = outcome.orders
    grades = {one.question.id: one.grades for one in kept}
    if not any(grade > 0 for each in grades.values() for grade in each.values()):
        fail("every query with a relevant document was refused: nothing to measure", exits.REFUSED)
    return measure(rankings, grades, recall, seed=seed)


def _bm25_orders(judged: Sequence[Judged], stem: str) -> dict[str, list[str]]:
    """Order the candidates of each query by BM25; words are counted in the candidates of all."""
    from gateway.evaluation.first_stage import Bm25

    texts = dict.fromkeys(one.text for each in judged for one in each.question.documents)
    place = {text: number for number, text in enumerate(texts)}
    index = Bm25(list(texts), stem)
    orders = {}
    for question in (each.question for each in judged):
        scores = index.scores(question.query)
        best = sorted(question.documents, key=lambda one: -scores[place[one.text]])
        orders[question.id] = [one.id for one in best]
    return orders


def _report(found: "Mapping[str, Quality]", outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        import orjson

        whole = {
            "queries": len(outcome.orders),
            "refused": dict(outcome.errors),
            "rankings": {name: asdict(one) for name, one in found.items()},
        }
        click.echo(orjson.dumps(whole, option=orjson.OPT_INDENT_2).decode())
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    first = next(iter(found))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("ranking")
    for title in found[first].measures:
        table.add_column(title, justify="right")
    for name, one in found.items():
        spans = (f"{f.mean:.4f} [{f.low:.4f}, {f.high:.4f}]" for f in one.measures.values())
        table.add_row(name, *spans)
        if one.gains:
            gains = (f"{f.mean:+.4f} [{f.low:+.4f}, {f.high:+.4f}]" for f in one.gains.values())
            table.add_row(f"  less {first}", *gains)
    console().print(table)
    console().print(f"{len(outcome.orders)} queries were reranked; in brackets 95 % intervals")
