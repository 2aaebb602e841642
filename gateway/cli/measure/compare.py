"""`gateway compare A B`: agreement of two models, before one replaces the other."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import exit_codes
from gateway.cli.completion import model_names
from gateway.cli.console import fail, print_json, print_table, warn
from gateway.cli.help_text import examples
from gateway.cli.inputs import BadInput
from gateway.cli.measure.agreement import Agreement, ModelRun, agreement, run_model
from gateway.cli.measure.data_options import (
    DataOptions,
    data_options,
    has_collection,
    judged_data,
)
from gateway.cli.measure.judged import JudgedQuery
from gateway.cli.measure.shadow_agreement import show_shadows
from gateway.cli.plots import check_plot, plot_option, save_plot
from gateway.cli.remote import Target, default_url, read_key
from gateway.cli.score.client_apis import CLIENT_APIS
from gateway.cli.score.scorer import Unreachable
from gateway.cli.score.scorer_options import scorer_of, scorer_options
from gateway.cli.table import facts_table
from gateway.telemetry.rank_correlation import kendall_tau, order

if TYPE_CHECKING:
    from matplotlib.figure import Figure

A, B = "a", "b"


@click.command(
    epilog=examples(
        "gateway compare embedded embedded-qwen3 --data questions.jsonl",
        "gateway compare dity qwen3 --url http://127.0.0.1:8080 \\",
        "    --data questions.jsonl --plot agree.svg",
        "gateway compare ./qwen3 ./qwen3 --dtype fp32 --dtype-b bf16 \\",
        "    --data questions.jsonl --json",
        "gateway compare --url http://127.0.0.1:8080 dity",
    )
)
@click.argument("a", required=False, shell_complete=model_names)
@click.argument("b", required=False, shell_complete=model_names)
@click.option(
    "--data",
    "files",
    metavar="FILE",
    multiple=True,
    help="JSON lines of queries with documents, with or without labels, a folder of datasets with "
    "such rows, or a BEIR folder; repeatable (default: none, shadows are compared).",
)
@data_options
@scorer_options
@click.option("--url-b", metavar="URL", help="URL of the gateway of B (default: --url).")
@click.option(
    "--dialect-b",
    metavar="API",
    type=click.Choice(list(CLIENT_APIS)),
    help="API of the server of B (default: --dialect).",
)
@click.option("--dtype-b", metavar="FORMAT", help="Number format of B (default: --dtype).")
@click.option("--engine-b", metavar="NAME", help="Engine of B (default: --engine).")
@click.option(
    "--at",
    "k",
    metavar="N",
    type=click.IntRange(min=1),
    default=10,
    help="Number of best documents for the overlap (default: 10).",
)
@click.option("--json", "as_json", is_flag=True, help="Figures as JSON instead of a table.")
@plot_option("Plot of both scores of each pair, .svg or .png (default: none).")
def compare(
    a: str | None,
    b: str | None,
    files: tuple[str, ...],
    data: DataOptions,
    url_b: str | None,
    dialect_b: str | None,
    dtype_b: str | None,
    engine_b: str | None,
    k: int,
    as_json: bool,
    plot: Path | None,
    **scored_by: Any,
) -> None:
    """Compare the orders and scores of two models.

    The figures are rank correlation, the same best document, overlap, differences of scores, and
    time. A and B are names at --url; or folders, Hugging Face ids or embedded models, which are
    loaded here one after the other. Questions are scored one at a time. Where the data has labels,
    nDCG@10 of both is measured as well (extra `eval`).

    Without --data: agreement of the models of a running gateway with their shadows, or of model A
    with its own.

    \b
    Exit codes:
      0  both models answered every question
      1  some questions were refused and are left out, or a file is wrong
      2  a gateway cannot be reached
    """
    if not files and not has_collection(data):
        _compare_shadows(a, b, scored_by, as_json=as_json)
        return
    if a is None or b is None:
        raise click.UsageError("name both models: gateway compare A B --data FILE")
    if plot:
        check_plot(plot)
    options_b = {
        **scored_by,
        **_given(url=url_b, dialect=dialect_b, dtype=dtype_b, engine=engine_b),
    }
    try:
        judged = judged_data(files, data)
        run_a = asyncio.run(run_model(scorer_of(model=a, **scored_by), judged, a))
        run_b = asyncio.run(run_model(scorer_of(model=b, **options_b), judged, b))
    except BadInput as error:
        fail(str(error), exit_codes.REFUSED)
    except Unreachable as error:
        fail(str(error), exit_codes.DOWN)
    _print_errors({a: run_a, b: run_b} if a != b else {f"{a} (A)": run_a, f"{b} (B)": run_b})
    answered = run_a.scores.keys() & run_b.scores.keys()
    both = [each for each in judged if each.question.id in answered]
    if not both:
        fail("no question was answered by both", exit_codes.REFUSED)
    found = agreement(both, run_a, run_b, k)
    _report(a, b, found, _ndcg(both, run_a, run_b), k, as_json=as_json)
    if plot:
        _plot(plot, both, (a, run_a), (b, run_b))
    raise SystemExit(exit_codes.REFUSED if run_a.errors or run_b.errors else exit_codes.OK)


def _compare_shadows(
    a: str | None, b: str | None, options: Mapping[str, Any], *, as_json: bool
) -> None:
    if b is not None:
        raise click.UsageError("two models are compared on data: give --data FILE")
    target = Target(options["url"] or default_url(), read_key(options["api_key"]))
    show_shadows(target, a, as_json=as_json)


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


def _print_errors(runs: Mapping[str, ModelRun]) -> None:
    for name, run in runs.items():
        for line in run.warnings:
            warn(f"{name}: {line}")
        for query, error in run.errors.items():
            click.echo(f"error: {name}: query {query}: {error}; it is left out", err=True)


def _ndcg(judged: Sequence[JudgedQuery], a: ModelRun, b: ModelRun) -> dict[str, Any] | None:
    """Return nDCG@10 of both runs and its difference; None without labels."""
    if not any(grade > 0 for each in judged for grade in each.grades.values()):
        return None
    from gateway.cli.measure.evaluation.extra import CannotEvaluate, check_extra

    try:
        check_extra()
    except CannotEvaluate as error:
        warn(f"the data has labels, and nDCG is not measured: {error}")
        return None
    from gateway.cli.measure.evaluation.figures import NDCG, measure

    rankings = {A: _orders(judged, a), B: _orders(judged, b)}
    found = measure(rankings, {each.question.id: each.grades for each in judged}, (), seed=1)
    return {
        A: asdict(found[A].measures[NDCG]),
        B: asdict(found[B].measures[NDCG]),
        "gain": asdict(found[B].gains[NDCG]),
    }


def _orders(judged: Sequence[JudgedQuery], run: ModelRun) -> dict[str, list[str]]:
    """Return the ids of the documents of each question, best first."""
    orders = {}
    for question in (each.question for each in judged):
        best = order([score.rank_score for score in run.scores[question.id]])
        orders[question.id] = [question.documents[index].id for index in best]
    return orders


def _report(
    a: str, b: str, found: Agreement, ndcg: dict[str, Any] | None, k: int, *, as_json: bool
) -> None:
    if as_json:
        whole = {A: a, B: b, **asdict(found), "overlap_at": k, "ndcg_at_10": ndcg}
        print_json(whole, indent=True)
        return
    print_table(facts_table(_lines(a, b, found, ndcg, k)))


def _lines(
    a: str, b: str, found: Agreement, ndcg: dict[str, Any] | None, k: int
) -> list[tuple[str, str]]:
    def cell(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    lines = [
        ("questions, documents", f"{found.questions}, {found.documents}"),
        ("Kendall's tau", cell(found.kendall_tau)),
        ("Spearman's rho", cell(found.spearman_rho)),
        ("same best document", f"{found.top1:.1%}"),
        (f"same among the best {k}", f"{found.overlap:.1%}"),
        ("mean score difference, B less A", f"{found.mean_difference:+.4f}"),
        ("mean absolute difference", cell(found.mean_absolute_difference)),
        ("largest difference", f"{found.largest_difference:+.4f}"),
        ("time of B over A, median", f"{found.latency_ratio:.2f}"),
    ]
    if ndcg:
        for name, side in ((f"nDCG@10, {a} (A)", A), (f"nDCG@10, {b} (B)", B)):
            lines.append((name, "{mean:.4f} [{low:.4f}, {high:.4f}]".format(**ndcg[side])))
        gain = "{mean:+.4f} [{low:+.4f}, {high:+.4f}]".format(**ndcg["gain"])
        lines.append(("nDCG@10, B less A", gain))
    return lines


def _plot(
    path: Path, judged: Sequence[JudgedQuery], a: tuple[str, ModelRun], b: tuple[str, ModelRun]
) -> None:
    (name_a, run_a), (name_b, run_b) = a, b
    ids = [each.question.id for each in judged]
    columns = [
        [score.relevance_score for id in ids for score in run.scores[id]] for run in (run_a, run_b)
    ]
    taus = [
        kendall_tau(
            [score.rank_score for score in run_a.scores[id]],
            [score.rank_score for score in run_b.scores[id]],
        )
        for id in ids
    ]

    def draw(figure: "Figure") -> None:
        scores, spread = figure.subplots(1, 2)
        scores.plot([0, 1], [0, 1], linewidth=0.8, color="grey")
        scores.plot(*columns, ".", markersize=3)
        scores.set(xlabel=f"relevance score of {name_a}", ylabel=f"relevance score of {name_b}")
        spread.hist([tau for tau in taus if tau is not None], bins=20, range=(-1, 1))
        spread.set(
            xlabel="Kendall's tau of a question", ylabel="questions", xticks=(-1, -0.5, 0, 0.5, 1)
        )

    save_plot(path, f"{name_a} and {name_b}", draw)
