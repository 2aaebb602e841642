"""The file of calibrations that `gateway calibrate` writes: one section per model, by name."""

import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.config.abandonable import read_text
from gateway.config.problems import ConfigError, Problem
from gateway.config.settings import Settings
from gateway.domain.request import Calibration

NAME = "calibration.toml"
"""The default name of the file."""

_KEY = ("calibration_file",)
_HEAD = """\
# Made by `gateway calibrate`. relevance_score = sigmoid(slope * margin + intercept). `weights` is
# the fingerprint of the checkpoint whose margins were fitted, `made` the time, `pairs` the number
# of labelled pairs. ECE is the expected calibration error, before and after the fit, on pairs that
# were held out.
"""

Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationEntry:
    """A model's calibration, and the data that it was fitted to.

    Attributes:
        slope, intercept: the map.
        made: time of the fit, RFC 3339, UTC.
        pairs: number of labelled pairs.
        relevant: number of pairs that are relevant.
        ece_before, ece_after: expected calibration error, in [0, 1].
        weights: fingerprint of the checkpoint; empty where it has none.
    """

    slope: Annotated[float, Meta(gt=0)]
    intercept: float
    made: str
    pairs: Count
    relevant: Count
    ece_before: Share
    ece_after: Share
    weights: str = ""

    @property
    def map(self) -> Calibration:
        """The map from margins to relevance scores."""
        return Calibration(self.slope, self.intercept)

    def is_stale(self, weights: str) -> bool:
        """True if the entry was made for other weights; false if either fingerprint is unknown."""
        return bool(weights and self.weights and weights != self.weights)


def read_calibrations(file: Path) -> dict[str, CalibrationEntry]:
    """Return the calibrations of a file, by the public name of the model.

    Raises:
        ConfigError: the file cannot be read, or its contents cannot be used.
    """
    try:
        tree = tomllib.loads(read_text(file))
        entries = msgspec.convert(tree.pop("models", {}), dict[str, CalibrationEntry])
    except OSError as error:
        raise _wrong(file, f"cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise _wrong(file, f"cannot be used: {error}") from None
    if tree:
        raise _wrong(file, f"has {', '.join(tree)}, and there are only [models.NAME]")
    for name, entry in entries.items():
        if not (math.isfinite(entry.slope) and math.isfinite(entry.intercept)):
            raise _wrong(file, f"has a map for {name!r} that is not finite")
    return entries


def calibrations_of(settings: Settings) -> dict[str, CalibrationEntry]:
    """Return the calibrations of the file that settings name, if they name one.

    Raises:
        ConfigError: as for `read_calibrations`.
    """
    return read_calibrations(settings.calibration_file) if settings.calibration_file else {}


def write_calibration(file: Path, name: str, entry: CalibrationEntry) -> None:
    """Add or replace the calibration of a model in a file, atomically; others stay.

    Raises:
        ConfigError: the present file cannot be read.
        OSError: the file cannot be written.
    """
    known = read_calibrations(file) if file.exists() else {}
    text = as_text({**known, name: entry})
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)


def as_text(entries: Mapping[str, CalibrationEntry]) -> str:
    """Return the text of a file."""
    # JSON's strings and numbers are valid TOML.
    sections = []
    for name, entry in entries.items():
        exact = replace(entry, slope=float(entry.slope), intercept=float(entry.intercept))
        lines = [
            f"{key} = {msgspec.json.encode(value).decode()}" for key, value in asdict(exact).items()
        ]
        sections.append("\n".join([f"\n[models.{msgspec.json.encode(name).decode()}]", *lines, ""]))
    return _HEAD + "".join(sections)


def _wrong(file: Path, message: str) -> ConfigError:
    remedy = (
        f"Make it with `gateway calibrate LABELLED.jsonl --output {file}`, "
        "or leave calibration_file out"
    )
    return ConfigError([Problem(path=_KEY, message=f"{file} {message}", remedy=remedy, origin="")])
