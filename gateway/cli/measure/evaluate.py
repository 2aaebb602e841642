"""`gateway eval`: quality of a model's ranking by judgements, beside BM25 and a first stage."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import exit_codes
from gateway.cli.completion import model_names
from gateway.cli.console import console, fail, print_json, print_table, warn
from gateway.cli.help_text import examples
from gateway.cli.inputs import BadInput
from gateway.cli.measure.cascade_report import (
    Cascade,
    cascade_values,
    plot_cascade,
    print_cascade,
)
from gateway.cli.measure.dataset_rows import is_dataset
from gateway.cli.measure.evaluation.collection import (
    CollectionFiles,
    beir_files,
    bm25_orders,
    read_collection,
)
from gateway.cli.measure.judged import JudgedQuery
from gateway.cli.measure.reranked_run import RerankedRun, has_relevant, rerank, swept
from gateway.cli.plots import check_plot, plot_option
from gateway.cli.score.scorer import Unreachable
from gateway.cli.score.scorer_options import scorer_of, scorer_options
from gateway.cli.table import Column, Row, Table

if TYPE_CHECKING:
    from gateway.cli.measure.evaluation.figures import Quality

FIRST, BM25, RERANKED = "first stage", "BM25", "reranked"


@click.command(
    name="eval",
    epilog=examples(
        "gateway eval --data beir/scifact --top-k 100",
        "gateway eval Qwen/Qwen3-Reranker-0.6B --queries q.jsonl --corpus c.jsonl \\",
        "    --qrels test.tsv --run bm25.run",
        "gateway eval qwen3 --url http://127.0.0.1:8080 --candidates labelled.jsonl",
        "gateway eval qwen3 --first embedded --url 127.0.0.1:8080 --data beir/scifact",
    ),
)
@click.argument("model", required=False, shell_complete=model_names)
@click.option(
    "--data",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="BEIR folder: queries.jsonl, corpus.jsonl, qrels/SPLIT.tsv; or a folder of datasets, or a "
    "Parquet file, with rows as --candidates has lines (default: none).",
)
@click.option(
    "--split",
    metavar="NAME",
    default="test",
    help="Split of --data (default: test).",
)
@click.option(
    "--queries",
    metavar="FILE",
    help="Queries: JSON lines with _id and text, or TSV (default: those of --data).",
)
@click.option(
    "--corpus",
    metavar="FILE",
    help="Documents: JSON lines with _id and text, or TSV (default: those of --data).",
)
@click.option(
    "--qrels",
    metavar="FILE",
    help="Judgements in the format of BEIR or TREC (default: those of --data).",
)
@click.option(
    "--run", metavar="FILE", help="TREC run of a first stage (default: BM25 finds candidates)."
)
@click.option(
    "--candidates",
    metavar="FILE",
    multiple=True,
    help="JSON lines of queries with candidates, in the order of the first stage, and labels, or a "
    "folder of datasets with such rows; repeatable (default: none).",
)
@click.option(
    "--top-k",
    metavar="N",
    type=click.IntRange(min=1),
    default=100,
    help="Number of candidates per query to rerank (default: 100).",
)
@click.option(
    "--recall",
    "recall",
    metavar="N",
    type=click.IntRange(min=1),
    multiple=True,
    default=(10, 100),
    help="Cut-off of recall in documents; repeatable (default: 10, 100).",
)
@click.option(
    "--stem",
    metavar="LANGUAGE",
    default="",
    help="Language of BM25's stemmer, such as english or russian (default: no stemming).",
)
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=1),
    help="Limit of queries, the first ones (default: all).",
)
@click.option(
    "--seed", metavar="N", type=int, default=1, help="Seed of the bootstrap (default: 1)."
)
@click.option(
    "--first",
    metavar="MODEL",
    shell_complete=model_names,
    help="First model of a cascade before MODEL: its quality and time at each keep, and the keep "
    "to take (default: none).",
)
@plot_option("SVG or PNG file for a plot of the cascade over keep (default: none).")
@scorer_options
@click.option("--json", "as_json", is_flag=True, help="Figures as JSON instead of a table.")
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
    first: str | None,
    plot: Path | None,
    as_json: bool,
    **scored_by: Any,
) -> None:
    """Measure nDCG, MRR and recall of rankings.

    The same candidates are ranked by the first stage, by BM25 and by MODEL, which is a name at
    --url; or a folder, a Hugging Face id or an embedded model. The figures are nDCG@10, MRR@10 and
    recall, each with a 95 % interval (bootstrap over queries), and differences to the first stage,
    query by query. With --first both models rank all candidates; the cascade of the two follows
    from that for each keep.

    \b
    Exit codes:
      0   every query was answered
      1   some queries were refused and are left out, or a file is wrong
      2   the gateway cannot be reached
      69  the libraries of the extra `eval` are missing
    """
    _check_libraries(stem)
    _check_cascade(first, plot)
    files = _files(data, split, queries, corpus, qrels, run, candidates)
    try:
        judged = read_collection(files, top_k, stem)[:limit]
        if not has_relevant(judged):
            raise BadInput("no query has a document that is judged relevant: nothing to measure")
        scored_by["is_timed"] = first is not None
        reranked = asyncio.run(rerank(scorer_of(model=model, **scored_by), judged))
        ahead = asyncio.run(rerank(scorer_of(model=first, **scored_by), judged)) if first else None
    except BadInput as error:
        fail(str(error), exit_codes.REFUSED)
    except Unreachable as error:
        fail(str(error), exit_codes.DOWN)
    refused = _report_problems(reranked, *([ahead] if ahead else []))
    figures = _measure(judged, reranked, files, recall, stem, seed)
    cascade = Cascade(first, swept(judged, ahead, reranked, seed)) if first and ahead else None
    _report(figures, reranked, cascade, as_json=as_json)
    if plot and cascade and not cascade.figures:
        warn(f"{plot} is not written: no query has more than 5 candidates")
    elif plot and cascade:
        plot_cascade(plot, cascade, model or "the default model")
    raise SystemExit(exit_codes.REFUSED if refused else exit_codes.OK)


def _check_cascade(first: str | None, plot: Path | None) -> None:
    if plot and not first:
        raise click.UsageError("--plot shows a cascade over keep: give --first MODEL as well")
    if plot:
        check_plot(plot)


def _report_problems(*runs: RerankedRun) -> bool:
    """Print the warnings and refused queries of each run; return whether a query was refused."""
    for run in runs:
        for line in run.warnings:
            warn(line)
        for query, error_text in run.errors.items():
            click.echo(f"error: query {query}: {error_text}; it is left out", err=True)
    return any(run.errors for run in runs)


def _check_libraries(stem: str) -> None:
    from gateway.cli.measure.evaluation.extra import CannotEvaluate, check_extra

    try:
        check_extra()
    except CannotEvaluate as error:
        fail(str(error), exit_codes.UNAVAILABLE)
    from gateway.cli.measure.evaluation.first_stage import languages

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
) -> CollectionFiles:
    if data and is_dataset(str(data)) and not beir_files(data, split):
        data, candidates = None, (*candidates, str(data))
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
            "nothing to measure: give --data FOLDER, or --queries, --corpus and --qrels, or "
            "--candidates"
        )
    return CollectionFiles(queries, corpus, qrels, run, candidates, split)


def _measure(
    judged: Sequence[JudgedQuery],
    reranked: RerankedRun,
    files: CollectionFiles,
    recall: Sequence[int],
    stem: str,
    seed: int,
) -> "dict[str, Quality]":
    """Return the quality of each ranking; refused queries are left out of all."""
    from gateway.cli.measure.evaluation.figures import measure

    kept = [each for each in judged if each.question.id not in reranked.errors]
    questions = [each.question for each in kept]
    given = {
        question.id: [document.id for document in question.documents] for question in questions
    }
    rankings: dict[str, Mapping[str, Sequence[str]]] = {}
    if files.run or files.candidates:
        rankings[FIRST] = given
        rankings[BM25] = bm25_orders(kept, stem)
    else:
        rankings[BM25] = given
    rankings[RERANKED] = reranked.orders
    if not has_relevant(kept):
        fail(
            "every query with a relevant document was refused: nothing to measure",
            exit_codes.REFUSED,
        )
    return measure(rankings, {each.question.id: each.grades for each in kept}, recall, seed=seed)


def _report(
    found: "Mapping[str, Quality]",
    reranked: RerankedRun,
    cascade: Cascade | None,
    *,
    as_json: bool,
) -> None:
    if as_json:
        whole = {
            "queries": len(reranked.orders),
            "refused": dict(reranked.errors),
            "rankings": {name: asdict(quality) for name, quality in found.items()},
            **({"cascade": cascade_values(cascade)} if cascade else {}),
        }
        print_json(whole, indent=True)
        return
    first = next(iter(found))
    columns = (Column("ranking"), *(Column(name, right=True) for name in found[first].measures))
    rows: list[Row] = []
    for name, quality in found.items():
        spans = {
            title: f"{f.mean:.4f} [{f.low:.4f}, {f.high:.4f}]"
            for title, f in quality.measures.items()
        }
        rows.append({"ranking": name, **spans})
        if quality.gains:
            gains = {
                title: f"{f.mean:+.4f} [{f.low:+.4f}, {f.high:+.4f}]"
                for title, f in quality.gains.items()
            }
            rows.append({"ranking": f"  less {first}", **gains})
    print_table(Table(columns, rows))
    console().print(f"{len(reranked.orders)} queries were reranked; in brackets 95 % intervals")
    if cascade:
        print_cascade(cascade)
