"""The outcome of `gateway calibrate`: a table or JSON, and a reliability diagram."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.console import print_json, print_table
from gateway.cli.measure.calibration.reliability import bins, calibration_error, log_loss
from gateway.cli.plots import save_plot
from gateway.cli.score.scorer import ModelIdentity
from gateway.cli.table import facts_table
from gateway.domain.request import Calibration

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gateway.config import CalibrationEntry


@dataclass(frozen=True, slots=True)
class LabelledPairs:
    """The labelled pairs of a model, as columns.

    Attributes:
        identity: the model.
        margins: margin of each pair.
        labels: whether the pair is relevant.
        groups: number of the query of the pair.
        errors: reasons of refused queries, by their ids.
    """

    identity: ModelIdentity
    margins: list[float]
    labels: list[bool]
    groups: list[int]
    errors: dict[str, str]


@dataclass(frozen=True, slots=True)
class FittedMap:
    """A map, and scores before and after it.

    Attributes:
        calibration: the map, fitted to all pairs.
        before: scores without the map.
        after: scores by a map that was fitted to the other queries.
        is_held_out: whether that was possible; if not, `after` are scores of the map itself.
    """

    calibration: Calibration
    before: list[float]
    after: list[float]
    is_held_out: bool


def report(
    pairs: LabelledPairs,
    fitted: FittedMap,
    entry: "CalibrationEntry",
    target: Path | None,
    *,
    as_json: bool,
) -> None:
    """Print the figures of a map; `target` is the file written, None for a dry run."""
    losses = [log_loss(scores, pairs.labels) for scores in (fitted.before, fitted.after)]
    if as_json:
        found = {
            "model": pairs.identity.name,
            **asdict(entry),
            "log_loss_before": losses[0],
            "log_loss_after": losses[1],
            "held_out": fitted.is_held_out,
            "refused": pairs.errors,
            "file": str(target) if target else None,
        }
        print_json(found, indent=True)
        return
    facts = (
        ("model", pairs.identity.name),
        ("pairs, relevant", f"{entry.pairs}, {entry.relevant}"),
        ("slope, intercept", f"{entry.slope:.4f}, {entry.intercept:+.4f}"),
        ("ECE before, after", f"{entry.ece_before:.4f}, {entry.ece_after:.4f}"),
        ("log loss before, after", "{:.4f}, {:.4f}".format(*losses)),
        ("written to", str(target) if target else "nothing: --dry-run"),
    )
    print_table(facts_table(facts))


def plot_map(path: Path, pairs: LabelledPairs, fitted: FittedMap) -> None:
    """Write the reliability diagram before and after the map."""

    def draw(figure: "Figure") -> None:
        diagram, counts = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
        diagram.plot([0, 1], [0, 1], linewidth=0.8, color="grey")
        for name, scores in (("before", fitted.before), ("after", fitted.after)):
            found = bins(scores, pairs.labels)
            error = calibration_error(scores, pairs.labels)
            means, shares = [each.score for each in found], [each.relevant for each in found]
            diagram.plot(means, shares, "o-", label=f"{name}, ECE {error:.3f}")
        counts.hist([fitted.before, fitted.after], bins=10, range=(0, 1), log=True)
        diagram.set(ylabel="share that is relevant")
        diagram.legend()
        counts.set(xlabel="relevance score", ylabel="pairs")

    save_plot(path, f"Calibration of {pairs.identity.name}", draw)
