"""The file of calibrations."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config import (
    CalibrationEntry,
    ConfigError,
    load,
    model_specs,
    read_calibrations,
    write_calibration,
)
from gateway.config.advice import advice
from gateway.domain.request import UNCALIBRATED, Calibration
from gateway.supervision.machine import Machine

ENTRY = CalibrationEntry(
    slope=0.75,
    intercept=-1.0,
    made="2026-11-21T12:00:00Z",
    pairs=500,
    relevant=100,
    ece_before=0.25,
    ece_after=0.03,
    weights="abc",
)
MACHINE = Machine(sockets=((0, 1),), gpus=0, mps=False)


def test_a_written_file_reads_back(tmp_path: Path) -> None:
    file = tmp_path / "calibration.toml"
    write_calibration(file, "Qwen/Qwen3-Reranker-0.6B", ENTRY)
    other = replace(ENTRY, slope=2.0, intercept=0.0, weights="")
    write_calibration(file, "b", other)
    write_calibration(file, "b", replace(other, pairs=7))
    expected = {"Qwen/Qwen3-Reranker-0.6B": ENTRY, "b": replace(other, pairs=7)}
    assert read_calibrations(file) == expected
    assert [file.name for file in tmp_path.iterdir()] == ["calibration.toml"]


def test_a_configuration_names_its_calibration_file(tmp_path: Path) -> None:
    write_calibration(tmp_path / "calibration.toml", "a", ENTRY)
    write_calibration(tmp_path / "calibration.toml", "gone", ENTRY)
    config = tmp_path / "gateway.toml"
    config.write_text(
        'calibration_file = "calibration.toml"\n'
        '[models.a]\nsource = "embedded:bert"\n[models.b]\nsource = "embedded:bert"\n'
    )
    settings = load(config)
    a, b = model_specs(settings, MACHINE)
    assert a.scale == Calibration(0.75, -1.0)
    assert (b.scale, b.calibration) == (UNCALIBRATED, None)
    (line,) = [line for line in advice(settings, MACHINE) if "calibration" in line]
    assert "'gone', which is not served" in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("slope =", "cannot be used"),
        ("[models.a]\nslope = -1.0\nintercept = 0.0", "slope|> 0"),
        ("[models.a]\nintercept = 0.0", "slope"),
        ("[others.a]", "has others, and"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str | None, words: str) -> None:
    file = tmp_path / "calibration.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        read_calibrations(file)
    (problem,) = caught.value.problems
    assert problem.key == "calibration_file"
    assert str(file) in problem.message
    assert "gateway calibrate" in problem.remedy


def test_a_negative_slope_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "calibration.toml"
    write_calibration(file, "a", ENTRY)
    for number in ("-0.75", "0.0", "inf", "nan"):
        file.write_text(file.read_text().replace("slope = 0.75", f"slope = {number}"))
        with pytest.raises(ConfigError):
            read_calibrations(file)
        file.write_text(file.read_text().replace(f"slope = {number}", "slope = 0.75"))


def test_an_entry_is_stale_for_other_weights_only() -> None:
    assert ENTRY.is_stale("other")
    assert not ENTRY.is_stale("abc")
    assert not ENTRY.is_stale("")
    assert not replace(ENTRY, weights="").is_stale("other")
