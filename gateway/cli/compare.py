"""`gateway compare A B`: how far two models agree, before one takes the place of the other."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.agreement import kendall_tau, order
from gateway.cli import exits
from gateway.cli.comparison import Agreement, Side, agreement, answers
from gateway.cli.completion import model_names
from gateway.cli.inputs import BadInput
from gateway.cli.judged import Judged, read_judged
from gateway.cli.remote import Target, default_url, read_key
from gateway.cli.say import console, fail
from gateway.cli.scorers import Unreachable
from gateway.cli.scoring import scorer_of, scorer_options
from gateway.cli.shadows import show_shadows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEFT, RIGHT = "a", "b"


@click.command(
    epilog="Examples: `gateway compare embedded-bert embedded-qwen3 --data questions.jsonl`, "
    "`gateway compare dity qwen3 --url http://127.0.0.1:8080 --data questions.jsonl --plot agree.svg`, "
    "`gateway compare ./qwen3 ./qwen3 --dtype fp32 --dtype-b bf16 --data questions.jsonl --json`, "
    "`gateway compare --url http://127.0.0.1:8080 dity`."
)
@click.argument("a", required=False, shell_complete=model_names)
@click.argument("b", required=False, shell_complete=model_names)
@click.option(
    "--data",
    "files",
    metavar="FILE",
    multiple=True,
    help="JSON lines of queries with documents, with labels or without.",
)
@scorer_options
@click.option("--url-b", metavar="URL", help="Where B is, if it is not where A is.")
@click.option("--dialect-b", metavar="API", help="The API of --url-b; default that of A.")
@click.option("--dtype-b", metavar="FORMAT", help="B's number format, if it is not A's.")
@click.option("--engine-b", metavar="NAME", help="B's engine, if it is not A's.")
@click.option(
    "--at",
    "k",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Overlap at so many.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option(
    "--plot", type=click.Path(path_type=Path), help="Draw both scores of each pair: .svg or .png."
)
def compare(
    a: str | None,
    b: str | None,
    files: tuple[str, ...],
    url_b: str | None,
    dialect_b: str | None,
    dtype_b: str | None,
    engine_b: str | None,
    k: int,
    as_json: bool,
    plot: Path | None,
    **scored_by: Any,
) -> None:
    """Compare the orders and scores of models A and B: rank correlation, top-1, overlap, time.

    A and B are names at --url, or folders, Hugging Face ids or embedded models, which are loaded here
    one after the other. Questions are asked one at a time. Where the data has labels, nDCG@10 of
    both is measured as well (extra `eval`).

    Without --data: how far the models of a running gateway agree with their shadows, or model A with
    its own.

    Exit code 0: both answered everything. 1: some questions were refused and are left out, or a file
    is wrong. 2: a gateway cannot be reached.
    """
    if not files:
        _online(a, b, scored_by, as_json=as_json)
        return
    if a is None or b is None:
        raise click.UsageError("name both models: gateway compare A B --data FILE")
    if plot:
        _check(plot)
    other = {
        **scored_by,
        **_given(url=url_b, dialect=dialect_b, dtype=dtype_b, engine=engine_b),
    }
    try:
        judged = read_judged(files)
        left = asyncio.run(answers(scorer_of(model=a, **scored_by), judged, a))
        right = asyncio.run(answers(scorer_of(model=b, **other), judged, b))
    except BadInput as error:
        fail(str(error), exits.REFUSED)
    except Unreachable as error:
        fail(str(error), exits.DOWN)
    _tell({a: left, b: right} if a != b else {f"{a} (A)": left, f"{b} (B)": right})
    both = [one for one in judged if one.question.id in left.scores.keys() & right.scores.keys()]
    if not both:
        fail("no question was answered by both", exits.REFUSED)
    found = agreement(both, left, right, k)
    _report(a, b, found, _ndcg(both, left, right), k, as_json=as_json)
    if plot:
        _plot(plot, both, (a, left), (b, right))
    raise SystemExit(exits.REFUSED if left.errors or right.errors else exits.OK)


def _online(a: str | None, b: str | None, asked: Mapping[str, Any], *, as_json: bool) -> None:
    if b is not None:
        raise click.UsageError("two models are compared on data: say --data FILE")
    target = Target(asked["url"] or default_url(), read_key(asked["api_key"]))
    show_shadows(target, a, as_json=as_json)


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


def _check(plot: Path) -> None:
    from gateway.plots import CannotPlot, check_plot

    try:
        check_plot(plot)
    except CannotPlot as error:
        raise click.BadParameter(str(error), param_hint="--plot") from None


def _tell(sides: Mapping[str, Side]) -> None:
    for name, side in sides.items():
        for line in side.warnings:
            click.echo(f"warning: {name}: {line}", err=True)
        for query, error in side.errors.items():
            click.echo(f"error: {name}: query {query}: {error}; it is left out", err=True)


def _ndcg(judged: Sequence[Judged], left: Side, right: Side) -> dict[str, Any] | None:
    """Return nDCG@10 of both and its difference, where there are labels; `None` where not."""
    if not any(grade > 0 for one in judged for grade in one.grades.values()):
        return None
    from gateway.evaluation.extra import CannotEvaluate, check_extra

    try:
        check_extra()
    except CannotEvaluate as error:
        click.echo(f"warning: the data has labels, and nDCG is not measured: {error}", err=True)
        return None
    from gateway.evaluation.figures import NDCG, measure

    rankings = {LEFT: _orders(judged, left), RIGHT: _orders(judged, right)}
    found = measure(rankings, {one.question.id: one.grades for one in judged}, (), seed=1)
    return {
        LEFT: asdict(found[LEFT].measures[NDCG]),
        RIGHT: asdict(found[RIGHT].measures[NDCG]),
        "gain": asdict(found[RIGHT].gains[NDCG]),
    }


def _orders(judged: Sequence[Judged], side: Side) -> dict[str, list[str]]:
    return {
        one.id: [one.documents[place].id for place in order([s.order for s in side.scores[one.id]])]
        for one in (each.question for each in judged)
    }


def _report(
    a: str, b: str, found: Agreement, ndcg: dict[str, Any] | None, k: int, *, as_json: bool
) -> None:
    if as_json:
        import orjson

        whole = {LEFT: a, RIGHT: b, **asdict(found), "overlap_at": k, "ndcg_at_10": ndcg}
        click.echo(orjson.dumps(whole, option=orjson.OPT_INDENT_2).decode())
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_header=False)
    for line in _lines(a, b, found, ndcg, k):
        table.add_row(*line)
    console().print(table)


def _lines(
    a: str, b: str, found: Agreement, ndcg: dict[str, Any] | None, k: int
) -> list[tuple[str, str]]:
    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    lines = [
        ("questions, documents", f"{found.questions}, {found.documents}"),
        ("Kendall's tau", shown(found.kendall_tau)),
        ("Spearman's rho", shown(found.spearman_rho)),
        ("same best document", f"{found.top1:.1%}"),
        (f"same among the best {k}", f"{found.overlap:.1%}"),
        ("mean score difference, B less A", f"{found.mean_difference:+.4f}"),
        ("mean absolute difference", shown(found.mean_absolute_difference)),
        ("largest difference", f"{found.largest_difference:+.4f}"),
        ("time of B over A, median", f"{found.latency_ratio:.2f}"),
    ]
    if ndcg:
        for name, side in ((f"nDCG@10, {a} (A)", LEFT), (f"nDCG@10, {b} (B)", RIGHT)):
            lines.append((name, "{mean:.4f} [{low:.4f}, {high:.4f}]".format(**ndcg[side])))
        gain = "{mean:+.4f} [{low:+.4f}, {high:+.4f}]".format(**ndcg["gain"])
        lines.append(("nDCG@10, B less A", gain))
    return lines


def _plot(
    path: Path, judged: Sequence[Judged], left: tuple[str, Side], right: tuple[str, Side]
) -> None:
    from gateway.plots import save_plot

    (a, first), (b, second) = left, right
    ids = [one.question.id for one in judged]
    columns = [
        [one.relevance_score for id in ids for one in side.scores[id]] for side in (first, second)
    ]
    taus = [
        kendall_tau([s.order for s in first.scores[id]], [s.order for s in second.scores[id]])
        for id in ids
    ]

    def draw(figure: "Figure") -> None:
        scores, spread = figure.subplots(1, 2)
        scores.plot([0, 1], [0, 1], linewidth=0.8, color="grey")
        scores.plot(*columns, ".", markersize=3)
        scores.set(xlabel=f"relevance score of {a}", ylabel=f"relevance score of {b}")
        spread.hist([tau for tau in taus if tau is not None], bins=20, range=(-1, 1))
        spread.set(
            xlabel="Kendall's tau of a question", ylabel="questions", xticks=(-1, -0.5, 0, 0.5, 1)
        )

    save_plot(path, draw)
