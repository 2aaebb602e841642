"""The file of calibrations, which `gateway calibrate` writes: one section a model, by its public name."""

import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from gateway.config.problems import ConfigError, Problem
from gateway.domain import Calibration

if TYPE_CHECKING:
    from gateway.config.settings import Settings

NAME = "calibration.toml"
"""What the file is called, unless somebody says otherwise."""

_KEY = ("calibration_file",)
_HEAD = """\
# Made by `gateway calibrate`. relevance_score = sigmoid(slope * margin + intercept); `weights` is the
# fingerprint of the checkpoint whose margins were looked at, `made` when, on so many `pairs`. ECE is
# the expected calibration error, before and after (on pairs that were held out).
"""

Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationEntry:
    """What is known of a model's calibration.

    Attributes:
        slope, intercept: the map.
        made: when, as RFC 3339 has it, in UTC.
        pairs: on how many labelled pairs.
        relevant: how many of them were relevant.
        ece_before, ece_after: the expected calibration error, in [0, 1].
        weights: the fingerprint of the checkpoint; empty where it has none.
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
        """Whether it was made for other weights than these; no if either is not known."""
        return bool(weights and self.weights and weights != self.weights)


def read_calibrations(file: Path) -> dict[str, CalibrationEntry]:
    """Return the calibrations of a file, by the public name of the model.

    Raises:
        ConfigError: it cannot be read, or what it says cannot be used.
    """
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
        entries = msgspec.convert(tree.pop("models", {}), dict[str, CalibrationEntry])
    except OSError as error:
        raise _wrong(file, f"cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise _wrong(file, f"cannot be used: {error}") from None
    if tree:
        raise _wrong(file, f"has {', '.join(tree)}, and there are only [models.NAME]")
    for name, one in entries.items():
        if not (math.isfinite(one.slope) and math.isfinite(one.intercept)):
            raise _wrong(file, f"has a map for {name!r} that is not finite")
    return entries


def calibrations_of(settings: "Settings") -> dict[str, CalibrationEntry]:
    """Return the calibrations that settings name; raises `ConfigError` as `read_calibrations`."""
    return read_calibrations(settings.calibration_file) if settings.calibration_file else {}


def write_calibration(file: Path, name: str, entry: CalibrationEntry) -> None:
    """Put the calibration of a model into a file, in one step; others stay.

    Raises:
        ConfigError: what is there cannot be read.
        OSError: it cannot be written.
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
    """Return the text of a file; JSON's strings and numbers are TOML's as well."""
    sections = []
    for name, entry in entries.items():
        exact = replace(entry, slope=float(entry.slope), intercept=float(entry.intercept))
        lines = [
            f"{key} = {msgspec.json.encode(value).decode()}" for key, value in asdict(exact).items()
        ]
        sections.append("\n".join([f"\n[models.{msgspec.json.encode(name).decode()}]", *lines, ""]))
    return _HEAD + "".join(sections)


def _wrong(file: Path, message: str) -> ConfigError:
    remedy = f"Make it with `gateway calibrate LABELLED.jsonl --out {file}`, or leave calibration_file out"
    return ConfigError([Problem(path=_KEY, message=f"{file} {message}", remedy=remedy, origin="")])
