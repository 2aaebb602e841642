"""`gateway calibrate`: from labelled pairs to relevance scores that are probabilities."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.calibration.fit import FEW, CannotCalibrate, fit, held_out
from gateway.calibration.reliability import bins, calibration_error, log_loss
from gateway.cli import exits
from gateway.cli.completion import model_names
from gateway.cli.inputs import BadInput
from gateway.cli.judged import Judged, read_judged
from gateway.cli.say import console, fail
from gateway.cli.scorers import Identity, Refused, Scorer, Unreachable
from gateway.cli.scoring import progress_bar, score_questions, scorer_of, scorer_options
from gateway.domain import Calibration, sigmoid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gateway.config import CalibrationEntry


@dataclass(frozen=True, slots=True)
class Pairs:
    """The labelled pairs of a model, as columns.

    Attributes:
        identity: which model it is.
        margins: one per pair.
        labels: whether the pair is relevant.
        groups: the number of its query.
        errors: why queries were refused, by their ids.
    """

    identity: Identity
    margins: list[float]
    labels: list[bool]
    groups: list[int]
    errors: dict[str, str]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A map, and what it does.

    Attributes:
        calibration: the map, fitted to all pairs.
        before, after: scores without it, and with one that was fitted to the other queries.
        is_held_out: whether that was possible; else `after` are the scores of the map itself.
    """

    calibration: Calibration
    before: list[float]
    after: list[float]
    is_held_out: bool


@click.command(
    epilog="Examples: `gateway calibrate labelled.jsonl --model qwen3 --config gateway.toml`, "
    "`gateway calibrate labelled.jsonl --model qwen3 --url http://127.0.0.1:8080 --plot diagram.svg`."
)
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--model",
    metavar="[NAME=]SOURCE",
    shell_complete=model_names,
    help="With --url or --config a name that is known there; else a folder, a Hugging Face id or an "
    "embedded model.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    envvar="GATEWAY_CONFIG",
    help="The configuration that describes the model and names the calibration_file.",
)
@scorer_options
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file of calibrations; default that of the configuration, or calibration.toml beside it.",
)
@click.option(
    "--relevant-from",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="The lowest grade that counts as relevant.",
)
@click.option(
    "--temperature", is_flag=True, help="Fit the slope alone: the middle stays where it is."
)
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@click.option(
    "--plot", type=click.Path(path_type=Path), help="Draw a reliability diagram: .svg or .png."
)
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def calibrate(
    files: tuple[str, ...],
    config: Path | None,
    out: Path | None,
    relevant_from: int,
    temperature: bool,
    dry_run: bool,
    plot: Path | None,
    as_json: bool,
    **scored_by: Any,
) -> None:
    """Fit relevance_score = sigmoid(slope * margin + intercept) to labelled pairs.

    The files are JSON lines: {"query", "documents": [...], "labels": [...]}, {"query", "positive":
    [...], "negative": [...]}, or a pair a line: {"query", "document", "label"}. The map never changes
    an order. It takes effect when the gateway reads its configuration again.

    Exit code 0: fitted and written. 1: the labels do not support a map, or a file is wrong; nothing is
    written. 2: the gateway cannot be reached. 73: the file cannot be written.
    """
    if plot:
        _check(plot)
    target, is_named = _target(config, out)
    try:
        scoring = scorer_of(**scored_by, details=True, config=config)
        pairs = asyncio.run(_margins(scoring, read_judged(files), relevant_from))
        for query, error in pairs.errors.items():
            click.echo(f"warning: query {query} is left out: {error}", err=True)
        fitted = _fit(pairs, shifts=not temperature)
    except (BadInput, Refused, CannotCalibrate) as error:
        fail(str(error), exits.REFUSED)
    except Unreachable as error:
        fail(str(error), exits.DOWN)
    entry = _entry(pairs, fitted)
    _warn(pairs, fitted)
    if not dry_run:
        _write(target, pairs.identity.name, entry)
    if plot:
        _plot(plot, pairs, fitted)
    _report(pairs, fitted, entry, None if dry_run else target, as_json=as_json)
    if not dry_run and not is_named:
        where = config or "the configuration"
        click.echo(f'add calibration_file = "{target}" to {where}, then `gateway reload`', err=True)


def _target(config: Path | None, out: Path | None) -> tuple[Path, bool]:
    """Return the file to write, and whether the configuration names it."""
    from gateway.config import CALIBRATIONS, ConfigError, load

    named = None
    if config:
        try:
            named = load(config).calibration_file
        except ConfigError:
            named = None  # whoever loads the model says what is wrong
    folder = config.resolve().parent if config else Path.cwd()
    target = out or named or folder / CALIBRATIONS
    return target, named is not None and target.resolve() == named.resolve()


def _check(plot: Path) -> None:
    from gateway.plots import CannotPlot, check_plot

    try:
        check_plot(plot)
    except CannotPlot as error:
        raise click.BadParameter(str(error), param_hint="--plot") from None


async def _margins(
    scoring: AbstractAsyncContextManager[Scorer], judged: Sequence[Judged], relevant_from: int
) -> Pairs:
    """Score the labelled pairs; others are left alone."""
    known = [one for each in judged if (one := each.labelled()).question.documents]
    margins: list[float] = []
    labels: list[bool] = []
    groups: list[int] = []
    errors: dict[str, str] = {}
    with progress_bar(sum(len(one.question.documents) for one in known)) as progress:
        async with scoring as scorer:
            asked = [one.question for one in known]
            group = 0
            async for found in score_questions(scorer, asked, progress.advance):
                grades = known[group].labels
                group += 1
                if found.error:
                    errors[found.question.id] = found.error
                    continue
                margins += [_margin(one.details) for one in found.scores]
                labels += [(grade or 0) >= relevant_from for grade in grades]
                groups += [group] * len(grades)
            if errors and not margins:
                raise Refused(next(iter(errors.values())))
            identity = await scorer.identity()
    return Pairs(identity, margins, labels, groups, errors)


def _margin(details: Any) -> float:
    if "margin" not in details:
        raise Refused("the server behind --url does not tell margins: it is no rerank gateway")
    return float(details["margin"])


def _fit(pairs: Pairs, *, shifts: bool) -> Fitted:
    found = fit(pairs.margins, pairs.labels, shifts=shifts)
    after = held_out(pairs.margins, pairs.labels, pairs.groups, shifts=shifts)
    return Fitted(
        found,
        [sigmoid(one) for one in pairs.margins],
        [found.score(one) for one in pairs.margins] if after is None else after,
        after is not None,
    )


def _entry(pairs: Pairs, fitted: Fitted) -> "CalibrationEntry":
    from gateway.config import CalibrationEntry

    return CalibrationEntry(
        slope=fitted.calibration.slope,
        intercept=fitted.calibration.intercept,
        made=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        pairs=len(pairs.labels),
        relevant=sum(pairs.labels),
        ece_before=round(calibration_error(fitted.before, pairs.labels), 6),
        ece_after=round(calibration_error(fitted.after, pairs.labels), 6),
        weights=pairs.identity.weights,
    )


def _warn(pairs: Pairs, fitted: Fitted) -> None:
    relevant = sum(pairs.labels)
    fewest = min(relevant, len(pairs.labels) - relevant)
    if fewest < FEW:
        click.echo(
            f"warning: {relevant} relevant pairs and {len(pairs.labels) - relevant} others make a "
            f"rough map; {FEW} of each or more make one that can be relied on",
            err=True,
        )
    if not fitted.is_held_out:
        click.echo(
            "warning: too few queries to hold some out: the figures after are those of the pairs that "
            "the map was fitted to, and look too good",
            err=True,
        )
    if calibration_error(fitted.after, pairs.labels) > calibration_error(
        fitted.before, pairs.labels
    ):
        click.echo("warning: the scores were better calibrated without this map", err=True)


def _write(target: Path, name: str, entry: "CalibrationEntry") -> None:
    from gateway.config import ConfigError, write_calibration

    try:
        write_calibration(target, name, entry)
    except ConfigError as error:
        fail("; ".join(map(str, error.problems)), exits.CONFIG)
    except OSError as error:
        fail(f"{target} cannot be written: {error.strerror}", exits.CANNOT_CREATE)


def _report(
    pairs: Pairs, fitted: Fitted, entry: "CalibrationEntry", target: Path | None, *, as_json: bool
) -> None:
    losses = [log_loss(scores, pairs.labels) for scores in (fitted.before, fitted.after)]
    if as_json:
        import orjson

        found = {
            "model": pairs.identity.name,
            **asdict(entry),
            "log_loss_before": losses[0],
            "log_loss_after": losses[1],
            "held_out": fitted.is_held_out,
            "refused": pairs.errors,
            "file": str(target) if target else None,
        }
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_header=False)
    table.add_row("model", pairs.identity.name)
    table.add_row("pairs, relevant", f"{entry.pairs}, {entry.relevant}")
    table.add_row("slope, intercept", f"{entry.slope:.4f}, {entry.intercept:+.4f}")
    table.add_row("ECE before, after", f"{entry.ece_before:.4f}, {entry.ece_after:.4f}")
    table.add_row("log loss before, after", "{:.4f}, {:.4f}".format(*losses))
    table.add_row("written to", str(target) if target else "nothing: --dry-run")
    console().print(table)


def _plot(path: Path, pairs: Pairs, fitted: Fitted) -> None:
    from gateway.plots import save_plot

    def draw(figure: "Figure") -> None:
        diagram, counts = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
        diagram.plot([0, 1], [0, 1], linewidth=0.8, color="grey")
        for name, scores in (("before", fitted.before), ("after", fitted.after)):
            found = bins(scores, pairs.labels)
            error = calibration_error(scores, pairs.labels)
            places, shares = [one.score for one in found], [one.relevant for one in found]
            diagram.plot(places, shares, "o-", label=f"{name}, ECE {error:.3f}")
        counts.hist([fitted.before, fitted.after], bins=10, range=(0, 1), log=True)
        diagram.set(ylabel="share that is relevant")
        diagram.legend()
        counts.set(xlabel="relevance score", ylabel="pairs")

    save_plot(path, draw)
