"""`gateway calibrate`: a map from margins to probabilities, fitted to labelled pairs."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import exit_codes
from gateway.cli.completion import model_names
from gateway.cli.console import fail, warn
from gateway.cli.help_text import examples
from gateway.cli.inputs import BadInput
from gateway.cli.measure.calibration.fit import FEW, CannotCalibrate, fit, held_out
from gateway.cli.measure.calibration.reliability import calibration_error
from gateway.cli.measure.calibration_report import FittedMap, LabelledPairs, plot_map, report
from gateway.cli.measure.data_options import (
    DataOptions,
    data_options,
    has_collection,
    judged_data,
)
from gateway.cli.measure.judged import JudgedQuery
from gateway.cli.plots import check_plot, plot_option
from gateway.cli.score.batch import score_questions
from gateway.cli.score.progress import progress_bar
from gateway.cli.score.scorer import Refused, Scorer, Unreachable
from gateway.cli.score.scorer_options import scorer_of, scorer_options
from gateway.domain.request import sigmoid

if TYPE_CHECKING:
    from gateway.config import CalibrationEntry


@click.command(
    epilog=examples(
        "gateway calibrate labelled.jsonl --model qwen3 --config gateway.toml",
        "gateway calibrate labelled.jsonl --model qwen3 --url http://127.0.0.1:8080 \\",
        "    --plot diagram.svg",
    )
)
@click.argument("files", nargs=-1)
@click.option(
    "--model",
    metavar="[NAME=]SOURCE",
    shell_complete=model_names,
    help="Name of a model at --url or in --config; else a folder, a Hugging Face id or an embedded "
    "model (default: the default model).",
)
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    envvar="GATEWAY_CONFIG",
    help="Configuration that describes the model and names the calibration_file (default: none; "
    "env: GATEWAY_CONFIG).",
)
@data_options
@scorer_options
@click.option(
    "--output",
    "--out",
    "out",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of calibrations (default: that of the configuration, or calibration.toml beside "
    "it).",
)
@click.option(
    "--relevant-from",
    metavar="N",
    type=click.IntRange(min=1),
    default=1,
    help="Lowest grade that counts as relevant (default: 1).",
)
@click.option("--temperature", is_flag=True, help="Fit of the slope alone, with intercept 0.")
@click.option("--dry-run", is_flag=True, help="Report only; no file is written.")
@plot_option("Reliability diagram, .svg or .png (default: none).")
@click.option("--json", "as_json", is_flag=True, help="Figures as JSON instead of a table.")
def calibrate(
    files: tuple[str, ...],
    data: DataOptions,
    config: Path | None,
    out: Path | None,
    relevant_from: int,
    temperature: bool,
    dry_run: bool,
    plot: Path | None,
    as_json: bool,
    **scored_by: Any,
) -> None:
    """Fit relevance scores to labelled pairs, as probabilities.

    The fitted map is relevance_score = sigmoid(slope * margin + intercept); it never changes an
    order. The files are JSON lines: {"query", "documents": [...], "labels": [...]}, {"query",
    "positive": [...], "negative": [...]}, or one pair per line: {"query", "document", "label"};
    folders of datasets with such rows; or BEIR folders. The map takes effect when the gateway
    reloads its configuration.

    \b
    Exit codes:
      0   fitted and written
      1   the labels do not support a map, or a file is wrong; nothing is written
      2   the gateway cannot be reached
      73  the file cannot be written
      78  the configuration or the file of calibrations has errors
    """
    if not files and not has_collection(data):
        raise click.UsageError("name FILES, or a collection by --queries, --corpus and --qrels")
    if plot:
        check_plot(plot)
    target, is_named = _target(config, out)
    try:
        scoring = scorer_of(**scored_by, details=True, config=config)
        pairs = asyncio.run(_score_pairs(scoring, judged_data(files, data), relevant_from))
        for query, error in pairs.errors.items():
            warn(f"query {query} is left out: {error}")
        fitted = _fit(pairs, shifts=not temperature)
    except (BadInput, Refused, CannotCalibrate) as error:
        fail(str(error), exit_codes.REFUSED)
    except Unreachable as error:
        fail(str(error), exit_codes.DOWN)
    entry = _entry(pairs, fitted)
    _warn(pairs, fitted)
    if not dry_run:
        _write(target, pairs.identity.name, entry)
    if plot:
        plot_map(plot, pairs, fitted)
    report(pairs, fitted, entry, None if dry_run else target, as_json=as_json)
    if not dry_run and not is_named:
        place = config or "the configuration"
        click.echo(f'add calibration_file = "{target}" to {place}, then `gateway reload`', err=True)


def _target(config: Path | None, out: Path | None) -> tuple[Path, bool]:
    """Return the file to write, and whether the configuration names it."""
    from gateway.config import CALIBRATIONS, ConfigError, load

    named = None
    if config:
        try:
            named = load(config).calibration_file
        except ConfigError:
            named = None  # the scorer reads the configuration once more, and reports its errors
    folder = config.resolve().parent if config else Path.cwd()
    target = out or named or folder / CALIBRATIONS
    return target, named is not None and target.resolve() == named.resolve()


async def _score_pairs(
    scoring: AbstractAsyncContextManager[Scorer], judged: Sequence[JudgedQuery], relevant_from: int
) -> LabelledPairs:
    """Score the documents that have a label."""
    known = [labelled for each in judged if (labelled := each.labelled()).question.documents]
    questions = [each.question for each in known]
    margins: list[float] = []
    labels: list[bool] = []
    groups: list[int] = []
    errors: dict[str, str] = {}
    with progress_bar(sum(len(question.documents) for question in questions)) as progress:
        async with scoring as scorer:
            group = 0
            async for found in score_questions(scorer, questions, progress.advance):
                grades = known[group].labels
                group += 1
                if found.error:
                    errors[found.question.id] = found.error
                    continue
                margins += [_margin(score.details) for score in found.scores]
                labels += [(grade or 0) >= relevant_from for grade in grades]
                groups += [group] * len(grades)
            if errors and not margins:
                raise Refused(next(iter(errors.values())))
            identity = await scorer.identity()
    return LabelledPairs(identity, margins, labels, groups, errors)


def _margin(details: Any) -> float:
    if "margin" not in details:
        raise Refused("the server at --url does not return margins: it is no rerank gateway")
    return float(details["margin"])


def _fit(pairs: LabelledPairs, *, shifts: bool) -> FittedMap:
    found = fit(pairs.margins, pairs.labels, shifts=shifts)
    after = held_out(pairs.margins, pairs.labels, pairs.groups, shifts=shifts)
    return FittedMap(
        found,
        [sigmoid(margin) for margin in pairs.margins],
        [found.score(margin) for margin in pairs.margins] if after is None else after,
        after is not None,
    )


def _entry(pairs: LabelledPairs, fitted: FittedMap) -> "CalibrationEntry":
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


def _warn(pairs: LabelledPairs, fitted: FittedMap) -> None:
    relevant = sum(pairs.labels)
    others = len(pairs.labels) - relevant
    if min(relevant, others) < FEW:
        warn(
            f"{relevant} relevant pairs and {others} others give a rough map; {FEW} of each or "
            "more give a reliable one"
        )
    if not fitted.is_held_out:
        warn(
            "too few queries to hold some out: the figures after calibration are those of the "
            "pairs that the map was fitted to, and look too good"
        )
    before, after = (
        calibration_error(scores, pairs.labels) for scores in (fitted.before, fitted.after)
    )
    if after > before:
        warn("the scores were better calibrated without this map")


def _write(target: Path, name: str, entry: "CalibrationEntry") -> None:
    from gateway.config import ConfigError, write_calibration

    try:
        write_calibration(target, name, entry)
    except ConfigError as error:
        fail("; ".join(map(str, error.problems)), exit_codes.CONFIG)
    except OSError as error:
        fail(f"{target} cannot be written: {error.strerror}", exit_codes.CANNOT_CREATE)
