"""Converts a checkpoint; the process behind `gateway convert`.

It is started by the command and not imported by it: the gateway has no model library. What happens
goes to stdout, one JSON object a line: `{"stage": TEXT}` along the way; at the end
`{"folder": TEXT, "record": {...}, "notes": [TEXT, ...]}`, or `{"refused": TEXT}` and the exit code of the refusal.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from shards.pairs import EncodedPair, QueryTooLong
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode
from shards.wire.spec import ShardSpec


def main() -> int:
    """Do what the command line says; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("--revision", default="")
    parser.add_argument("--dtype", required=True)
    parser.add_argument("--calibration", type=Path)
    parser.add_argument("--anyway", action="store_true")
    asked = parser.parse_args()
    try:
        say(**_converted(asked))
    except Refusal as refusal:
        say(refused=str(refusal))
        return int(refusal.exit_code)
    return 0


def say(**what: Any) -> None:
    """Write one line to the command."""
    os.write(_ANSWERS, json.dumps(what).encode() + b"\n")


def _converted(asked: argparse.Namespace) -> dict[str, Any]:
    from shards.checkpoint import expect_engine, open_checkpoint
    from shards.engines.around import around
    from shards.engines.bert_formats import pairs_to_measure
    from shards.engines.conversion import as_json, notes_of
    from shards.engines.openvino_convert import Calibration, convert

    spec = ShardSpec(
        name="convert/cpu", model="convert", source=asked.source, revision=asked.revision
    )

    def report(stage: str) -> None:
        say(stage=stage)

    checkpoint = open_checkpoint(spec, report)
    expect_engine(checkpoint, "classifier")
    parts = around(spec, checkpoint)
    calibration = (
        Calibration(pairs_to_measure(parts.encoder), "built-in")
        if asked.calibration is None
        else Calibration(read_calibration(asked.calibration, parts.encoder), asked.calibration.name)
    )
    folder, record = convert(
        checkpoint,
        parts,
        dtype=asked.dtype,
        calibration=calibration,
        anyway=asked.anyway,
        report=report,
    )
    notes = list(notes_of(record))
    if record.agreement:
        notes.append(f"int8 against bf16: {record.agreement}")
    return {"folder": str(folder), "record": as_json(record), "notes": notes}


def read_calibration(path: Path, encoder: Any) -> list[EncodedPair]:
    """Return the pairs of a file: a JSON object a line, `query` and `documents` or `document`.

    Raises:
        Refusal: it cannot be read, a line is not of that form, or there are none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{path} cannot be read: {error}", ExitCode.SPEC) from error
    pairs: list[EncodedPair] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            pairs += _pairs_of_line(line, f"{path}, line {number}", encoder)
    if not pairs:
        raise Refusal(f"{path} holds no pairs", ExitCode.SPEC)
    return pairs


def _pairs_of_line(line: str, where: str, encoder: Any) -> list[EncodedPair]:
    try:
        parsed = json.loads(line)
        query = parsed["query"]
        documents = parsed["documents"] if "documents" in parsed else [parsed["document"]]
        if not all(isinstance(text, str) for text in (query, *documents)):
            raise TypeError
        encoded: list[EncodedPair] = encoder.encode(
            query, documents, instruction="", max_document_tokens=0
        )
    except (ValueError, KeyError, TypeError):
        raise Refusal(
            f'{where}: {{"query": TEXT, "documents": [TEXT, ...]}} is expected', ExitCode.SPEC
        ) from None
    except QueryTooLong as error:
        raise Refusal(f"{where}: {error}", ExitCode.SPEC) from error
    return encoded


def _keep_stdout() -> int:
    """Return where answers go; what libraries print goes to stderr, not between them."""
    answers = os.dup(1)
    os.dup2(2, 1)
    return answers


if __name__ == "__main__":
    _ANSWERS = _keep_stdout()
    sys.exit(main())
