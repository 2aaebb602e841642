"""OpenVINO: conversions equal the checkpoint; only checked and fresh ones serve."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from shards.checkpoint import open_checkpoint
from shards.engines import formats, load_engine
from shards.engines.base import Engine
from shards.engines.encoder.bert_formats import pairs_to_measure
from shards.engines.encoder.setup import pair_setup
from shards.engines.formats import Agreement, margins_of_known_pairs
from shards.engines.graph import openvino, openvino_convert
from shards.engines.graph.conversion import Record, folder_of
from shards.engines.graph.openvino_convert import Calibration
from shards.refusal import Refusal
from shards.wire.spec import ShardSpec
from tests import checkpoints
from tests.shards.engines import reference

DOCUMENTS = [*checkpoints.SAMPLES, "", "Paris", "planets " * 90]
INT8_TOLERANCE = 0.8  # margins of these models spread over about 4
BF16_TOLERANCE = 0.35

pytestmark = pytest.mark.timeout(400)  # conversions take some seconds of a core, which may be busy


def quiet(line: str) -> None:
    pass


def spec_of(folder: Path, **settings: Any) -> ShardSpec:
    return ShardSpec(name="m/cpu", model="m", source=str(folder), **settings)


def converted(folder: Path, dtype: str) -> Record:
    checkpoint = open_checkpoint(spec_of(folder), quiet)
    parts = pair_setup(spec_of(folder), checkpoint)
    _, record = openvino_convert.convert(
        checkpoint,
        parts,
        dtype=dtype,
        calibration=Calibration(pairs_to_measure(parts.tokenizer), "built-in"),
        anyway=True,
        report=quiet,
    )
    return record


def margins_of(engine: Engine, documents: list[str]) -> list[float]:
    pairs = engine.tokenizer.tokenize("planets", documents, instruction="", max_document_tokens=0)
    return engine.score(pairs[:3]) + engine.score(pairs[3:])


@pytest.fixture(scope="module", params=["bert", "xlm-roberta"])
def folder(
    request: pytest.FixtureRequest,
    models: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Return a checkpoint with a conversion in fp32."""
    copied: Path = tmp_path_factory.mktemp("converted") / str(request.param)
    shutil.copytree(models[request.param], copied)
    record = converted(copied, "fp32")
    assert record.largest_difference < 1e-4
    assert len({tokens for _, tokens in record.shapes}) == 2
    return copied


def test_a_conversion_equals_transformers(folder: Path) -> None:
    engine = load_engine(spec_of(folder, engine="openvino", dtype="fp32", threads=1), quiet)
    assert (engine.facts.engine, engine.facts.dtype) == ("openvino", "fp32")
    assert engine.facts.notes[0].startswith("converted by OpenVINO 20")
    expected = reference.classifier_margins(
        folder, "planets", DOCUMENTS, limit=engine.facts.max_length
    )
    assert margins_of(engine, DOCUMENTS) == pytest.approx(expected, abs=1e-4)
    assert max(expected) - min(expected) > 0.5
    engine.warm_up()


def test_other_weights_are_refused_with_the_command_to_run(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "m")
    checkpoints.change_config(tmp_path / "m", hidden_dropout_prob=0.2)
    spec = spec_of(tmp_path / "m", engine="openvino", dtype="fp32")
    with pytest.raises(
        Refusal, match=r"has changed since .*: run `gateway convert .* --dtype fp32`"
    ):
        load_engine(spec, quiet)
    engine = load_engine(spec_of(tmp_path / "m", dtype="fp32"), quiet)
    assert engine.facts.engine == "classifier"
    assert "the conversion for OpenVINO in fp32 is not used" in engine.facts.warnings[-1]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("record.json", None, "without a record of its check"),
        ("record.json", "{}", "without a record of its check"),
        ("model.bin", "x", "has changed since its check"),
        ("model.bin", None, "has changed since its check"),
        ("model.xml", None, "has not been converted"),
    ],
)
def test_a_conversion_that_is_not_whole_is_refused(
    folder: Path, tmp_path: Path, name: str, content: str | None, why: str
) -> None:
    shutil.copytree(folder, tmp_path / "m")
    broken = tmp_path / "m" / "openvino" / "fp32" / name
    broken.unlink()
    if content is not None:
        broken.write_text(content)
    spec = spec_of(tmp_path / "m", engine="openvino", dtype="fp32")
    with pytest.raises(Refusal, match=why):
        load_engine(spec, quiet)


def test_a_format_that_was_not_converted_is_refused(folder: Path) -> None:
    with pytest.raises(Refusal, match=r"has not been converted .* --dtype int8"):
        load_engine(spec_of(folder, engine="openvino", dtype="int8"), quiet)


def test_auto_takes_the_faster_one_and_notes_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {"classifier": 3.0, "openvino": 2.0}
    monkeypatch.setattr(openvino, "_seconds", lambda engine, batch: seconds[engine.facts.engine])
    facts = load_engine(spec_of(folder, dtype="fp32"), quiet).facts
    assert facts.engine == "openvino"
    assert facts.notes[-1] == (
        "engine openvino in fp32 measured 1.5 times as fast as classifier in fp32"
    )
    seconds["classifier"] = 1.0
    facts = load_engine(spec_of(folder, dtype="fp32"), quiet).facts
    assert (facts.engine, facts.notes[-1][:26]) == ("classifier", "engine classifier in fp32 ")


def test_without_a_conversion_auto_measures_nothing(models: dict[str, Path]) -> None:
    facts = load_engine(spec_of(models["bert"], dtype="fp32"), quiet).facts
    assert facts.engine == "classifier"
    assert not any("measured" in note for note in facts.notes)


def test_a_conversion_with_other_scores_may_not_serve(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(models["xlm-roberta"], tmp_path / "m")
    monkeypatch.setitem(openvino_convert._BOUNDS, "fp32", (0.0, 0.0))
    with pytest.raises(Refusal, match="where the checkpoint gives"):
        converted(tmp_path / "m", "fp32")
    checkpoint = open_checkpoint(spec_of(tmp_path / "m"), quiet)
    assert not (folder_of(checkpoint, "fp32") / "record.json").exists()


@pytest.fixture(scope="module")
def rounded(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint with conversions in bf16 and in int8."""
    copied: Path = tmp_path_factory.mktemp("rounded") / "bert"
    shutil.copytree(models["bert"], copied)
    for dtype in ("bf16", "int8"):
        converted(copied, dtype)
    return copied


def copy_of(folder: Path, copy: Path, *, agrees: bool) -> Path:
    """Return a copy of a model whose bf16 margins are those of its int8, or their negatives.

    The figures of its record state the contrary: only the measurement counts.
    """
    shutil.copytree(folder, copy)
    spec = spec_of(folder, engine="openvino", dtype="int8", int8_anyway=True)
    engine = load_engine(spec, quiet)
    margins = margins_of_known_pairs(engine.tokenizer, engine.score)
    record = changed(copy, bf16_margins=margins if agrees else [-margin for margin in margins])
    figures = record["agreement"] | {"spearman": -1.0 if agrees else 1.0, "suffices": not agrees}
    changed(copy, agreement=figures)
    return copy


def changed(folder: Path, **changes: Any) -> dict[str, Any]:
    """Change the record of a conversion to int8."""
    path = folder / "openvino" / "int8" / "record.json"
    record: dict[str, Any] = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(record))
    return record


def test_int8_and_bf16_stay_near(rounded: Path) -> None:
    exact = reference.classifier_margins(rounded, "planets", DOCUMENTS, limit=512)
    for dtype, bound in (("bf16", BF16_TOLERANCE), ("int8", INT8_TOLERANCE)):
        spec = spec_of(rounded, engine="openvino", dtype=dtype, int8_anyway=True)
        engine = load_engine(spec, quiet)
        assert (engine.facts.engine, engine.facts.dtype) == ("openvino", dtype)
        assert engine.facts.warnings == ()
        assert margins_of(engine, DOCUMENTS) == pytest.approx(exact, abs=bound)
    assert engine.facts.notes[1] == "int8 takes its ranges from 72 pairs (built-in)"
    assert engine.facts.notes[2].startswith("int8 against bf16: Spearman ")


def test_the_record_has_the_agreement_of_int8_with_bf16(rounded: Path) -> None:
    bf16, int8 = (
        json.loads((rounded / "openvino" / dtype / "record.json").read_text())
        for dtype in ("bf16", "int8")
    )
    assert (bf16["agreement"], bf16["calibration"]) == (None, "")
    assert int8["calibration"] == "72 pairs (built-in)"
    figures = int8["agreement"]
    suffices = figures.pop("suffices")
    agreement = Agreement(**figures)
    assert suffices == agreement.suffices
    assert (agreement.pairs, agreement.queries) == (27, 9)
    assert 0.8 < agreement.spearman < 1  # near, and not the same list


def test_int8_that_agrees_serves(rounded: Path, tmp_path: Path) -> None:
    folder = copy_of(rounded, tmp_path / "m", agrees=True)
    facts = load_engine(spec_of(folder, engine="openvino", dtype="int8"), quiet).facts
    assert (facts.engine, facts.dtype, facts.warnings) == ("openvino", "int8", ())


def test_where_int8_does_not_agree_bf16_of_the_engine_serves(rounded: Path, tmp_path: Path) -> None:
    folder = copy_of(rounded, tmp_path / "m", agrees=False)
    facts = load_engine(spec_of(folder, engine="openvino", dtype="int8"), quiet).facts
    assert (facts.engine, facts.dtype) == ("openvino", "bf16")
    (warning,) = facts.warnings
    assert warning.startswith("int8 does not agree with bf16 (Spearman -1.0000 over 27 known pairs")
    assert warning.endswith("bf16 is used; `int8_anyway = true` serves int8 all the same")


def test_int8_that_does_not_agree_is_refused_without_bf16(rounded: Path, tmp_path: Path) -> None:
    folder = copy_of(rounded, tmp_path / "m", agrees=False)
    shutil.rmtree(folder / "openvino" / "bf16")
    with pytest.raises(Refusal, match=r"does not agree with bf16 .*`gateway convert .*int8_anyway"):
        load_engine(spec_of(folder, engine="openvino", dtype="int8"), quiet)


def test_auto_leaves_int8_that_does_not_agree_to_the_other_engine(
    rounded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {"classifier": 3.0, "openvino": 2.0}
    monkeypatch.setattr(openvino, "_seconds", lambda engine, batch: seconds[engine.facts.engine])
    folder = copy_of(rounded, tmp_path / "m", agrees=False)
    shutil.rmtree(folder / "openvino" / "bf16")
    facts = load_engine(spec_of(folder, dtype="int8"), quiet).facts
    assert facts.engine == "classifier"
    assert facts.warnings[-1].startswith(
        "the conversion for OpenVINO in int8 is not used: int8 does not agree with bf16"
    )
    facts = load_engine(spec_of(folder, dtype="int8", int8_anyway=True), quiet).facts
    assert (facts.engine, facts.dtype) == ("openvino", "int8")


def test_auto_serves_bf16_of_the_faster_engine_with_the_reason_against_int8(
    rounded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {"classifier": 3.0, "openvino": 2.0}
    monkeypatch.setattr(openvino, "_seconds", lambda engine, batch: seconds[engine.facts.engine])
    monkeypatch.setattr(formats, "int8_gain", lambda *sizes: 1.0)
    monkeypatch.setattr(formats, "instead", lambda: "bf16")
    folder = copy_of(rounded, tmp_path / "m", agrees=False)
    facts = load_engine(spec_of(folder, dtype="int8"), quiet).facts
    assert (facts.engine, facts.dtype) == ("openvino", "bf16")
    assert (
        facts.warnings[0]
        == "int8 measured 1.0 times as fast as bf16 at this model's size: bf16 is used"
    )
    assert "in int8 is not used: int8 does not agree" in facts.warnings[1]
    folder = copy_of(rounded, tmp_path / "agreeing", agrees=True)
    facts = load_engine(spec_of(folder, dtype="int8"), quiet).facts
    assert (facts.engine, facts.dtype, facts.warnings) == ("openvino", "int8", ())


def test_a_record_without_the_agreement_is_refused(rounded: Path, tmp_path: Path) -> None:
    shutil.copytree(rounded, folder := tmp_path / "m")
    changed(folder, agreement="Spearman 0.9990 over 27 known pairs", bf16_margins=[])
    spec = spec_of(folder, engine="openvino", dtype="int8", int8_anyway=True)
    with pytest.raises(
        Refusal, match=r"record of its agreement with bf16: run `gateway convert .* --dtype int8`"
    ):
        load_engine(spec, quiet)


def test_a_gpu_is_refused(folder: Path) -> None:
    with pytest.raises(Refusal, match="computes on CPUs, not on cuda:0"):
        load_engine(spec_of(folder, engine="openvino", device="cuda:0"), quiet)
