"""A checkpoint converted for OpenVINO: its folder, its record, and the check before it serves.

A conversion lies in the checkpoint's folder, `openvino/DTYPE/`, with a record beside it: a hash of
the weights that it was made from, a hash of itself, the distance of its scores from theirs, and for
int8 the margins of bf16 for the known pairs, since agreement is measured again on the machine that
serves. The record is written last, after the check: a conversion without one was not checked.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shards.checkpoint import Checkpoint
from shards.engines.formats import Agreement, how_many_known
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode

FORMATS = ("fp32", "bf16", "int8")

_GRAPH = "model.xml"
_RECORD = "record.json"
_BLOCK = 1 << 22


@dataclass(frozen=True, slots=True)
class Record:
    """The record of a conversion.

    Attributes:
        source: hash of the weights and the config.json it was made from.
        graph: hash of the conversion itself.
        openvino: the version that made it.
        largest_difference: of a margin from the exact one, over all pairs of the check.
        shapes: of the batches of the check, pairs and tokens.
        agreement: of int8 with bf16 on known pairs at the conversion; `None` for other formats.
        bf16_margins: of the known pairs; empty for other formats.
        calibration: a description of the pairs for the ranges of int8; empty for other formats.
    """

    source: str
    graph: str
    openvino: str
    largest_difference: float
    shapes: tuple[tuple[int, int], ...]
    agreement: Agreement | None = None
    bf16_margins: tuple[float, ...] = ()
    calibration: str = ""


def folder_of(checkpoint: Checkpoint, dtype: str) -> Path:
    """Return the folder for the conversion of a checkpoint."""
    return checkpoint.folder / "openvino" / dtype


def graph_of(folder: Path) -> Path:
    """Return the file that OpenVINO reads."""
    return folder / _GRAPH


def source_hash(checkpoint: Checkpoint) -> str:
    """Return a hash of all weights of a checkpoint and of its config.json."""
    return _hash([checkpoint.folder / "config.json", *checkpoint.files])


def graph_hash(folder: Path) -> str:
    """Return a hash of a conversion."""
    return _hash([folder / _GRAPH, folder / "model.bin"])


def _hash(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def notes_of(record: Record) -> tuple[str, ...]:
    """Return the notes on a conversion for an operator."""
    made = (
        f"converted by OpenVINO {record.openvino}; margins were at most "
        f"{record.largest_difference:.2g} from the checkpoint's"
    )
    ranges = f"int8 takes its ranges from {record.calibration}"
    return (made, ranges) if record.calibration else (made,)


def as_json(record: Record) -> dict[str, Any]:
    """Return a record as it is stored and shown, with the verdict on its agreement."""
    found = asdict(record)
    if record.agreement:
        found["agreement"]["suffices"] = record.agreement.suffices
    return found


def write_record(folder: Path, record: Record) -> None:
    (folder / _RECORD).write_text(json.dumps(as_json(record), indent=2) + "\n")


def _read_record(folder: Path) -> Record:
    stored: dict[str, Any] = json.loads((folder / _RECORD).read_bytes())
    shapes = tuple((int(pairs), int(tokens)) for pairs, tokens in stored.pop("shapes"))
    bf16 = tuple(map(float, stored.pop("bf16_margins", ())))
    return Record(
        shapes=shapes,
        bf16_margins=bf16,
        agreement=_read_agreement(stored.pop("agreement")),
        **stored,
    )


def _read_agreement(figures: Any) -> Agreement | None:
    if not isinstance(figures, dict):  # older records have a sentence without figures
        return None
    del figures["suffices"]  # it follows from the others
    return Agreement(**figures)


def converted(checkpoint: Checkpoint) -> list[str]:
    """Return the formats with a conversion, fresh or not."""
    return [dtype for dtype in FORMATS if graph_of(folder_of(checkpoint, dtype)).is_file()]


def checked_record(checkpoint: Checkpoint, dtype: str) -> Record:
    """Return the record of a conversion that may serve.

    Raises:
        Refusal: there is none, it was not checked, or conversion or checkpoint has changed since.
    """
    folder = folder_of(checkpoint, dtype)
    if not graph_of(folder).is_file():
        raise _refused(checkpoint, dtype, "has not been converted for OpenVINO")
    try:
        record = _read_record(folder)
    except (OSError, ValueError, KeyError, TypeError):
        raise _refused(
            checkpoint, dtype, f"has a conversion in {folder} without a record of its check"
        ) from None
    if record.source != source_hash(checkpoint):
        raise _refused(checkpoint, dtype, f"has changed since it was converted to {folder}")
    try:
        is_whole = record.graph == graph_hash(folder)
    except OSError:
        is_whole = False
    if not is_whole:
        raise _refused(
            checkpoint, dtype, f"has a conversion in {folder} that has changed since its check"
        )
    if dtype == "int8" and len(record.bf16_margins) != how_many_known():
        raise _refused(
            checkpoint,
            dtype,
            f"has a conversion in {folder} without a record of its agreement with bf16",
        )
    return record


def _refused(checkpoint: Checkpoint, dtype: str, why: str) -> Refusal:
    return Refusal(
        f"{checkpoint.name} {why}: run `gateway convert {checkpoint.name} --dtype {dtype}`",
        ExitCode.SPEC,
    )
