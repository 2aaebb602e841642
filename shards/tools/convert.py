"""Conversion of a checkpoint: the process behind `gateway convert`.

The command starts this program and does not import it: the gateway has no model library. Progress
goes to stdout, one JSON object a line: `{"stage": TEXT}` along the way; at the end `{"folder":
TEXT, "record": {...}, "notes": [TEXT, ...]}`, or `{"refused": TEXT}` and the exit code of the
refusal.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from shards.pairs import QueryTooLong, TokenizedPair
from shards.refusal import Refusal
from shards.wire.exit_codes import ExitCode
from shards.wire.spec import ShardSpec


def main() -> int:
    """Convert by the command line; return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("--revision", default="")
    parser.add_argument("--dtype", required=True)
    parser.add_argument("--calibration", type=Path)
    parser.add_argument("--anyway", action="store_true")
    options = parser.parse_args()
    try:
        write_line(**_converted(options))
    except Refusal as refusal:
        write_line(refused=str(refusal))
        return int(refusal.exit_code)
    return 0


def write_line(**fields: Any) -> None:
    """Write one line to the command."""
    os.write(_OUTPUT, json.dumps(fields).encode() + b"\n")


def _converted(options: argparse.Namespace) -> dict[str, Any]:
    from shards.checkpoint import open_checkpoint
    from shards.engines.encoder.bert_formats import pairs_to_measure
    from shards.engines.encoder.setup import expect_own_head, pair_setup
    from shards.engines.graph.conversion import as_json, notes_of
    from shards.engines.graph.openvino_convert import Calibration, convert

    spec = ShardSpec(
        name="convert/cpu", model="convert", source=options.source, revision=options.revision
    )

    def report(stage: str) -> None:
        write_line(stage=stage)

    checkpoint = open_checkpoint(spec, report)
    parts = pair_setup(spec, checkpoint)
    expect_own_head(parts.recipe, checkpoint.name, "openvino")
    calibration = (
        Calibration(pairs_to_measure(parts.tokenizer), "built-in")
        if options.calibration is None
        else Calibration(
            read_calibration(options.calibration, parts.tokenizer), options.calibration.name
        )
    )
    folder, record = convert(
        checkpoint,
        parts,
        dtype=options.dtype,
        calibration=calibration,
        anyway=options.anyway,
        report=report,
    )
    notes = list(notes_of(record))
    if record.agreement:
        notes.append(f"int8 against bf16: {record.agreement}")
    return {"folder": str(folder), "record": as_json(record), "notes": notes}


def read_calibration(path: Path, tokenizer: Any) -> list[TokenizedPair]:
    """Return the pairs of a file: a JSON object a line, `query` and `documents` or `document`.

    Raises:
        Refusal: the file cannot be read, a line is not of that form, or there are no pairs.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Refusal(f"{path} cannot be read: {error}", ExitCode.SPEC) from error
    pairs: list[TokenizedPair] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            pairs += _pairs_of_line(line, f"{path}, line {number}", tokenizer)
    if not pairs:
        raise Refusal(f"{path} holds no pairs", ExitCode.SPEC)
    return pairs


def _pairs_of_line(line: str, where: str, tokenizer: Any) -> list[TokenizedPair]:
    try:
        parsed = json.loads(line)
        query = parsed["query"]
        documents = parsed["documents"] if "documents" in parsed else [parsed["document"]]
        if not all(isinstance(text, str) for text in (query, *documents)):
            raise TypeError
        tokenized: list[TokenizedPair] = tokenizer.tokenize(
            query, documents, instruction="", max_document_tokens=0
        )
    except (ValueError, KeyError, TypeError):
        raise Refusal(
            f'{where}: {{"query": TEXT, "documents": [TEXT, ...]}} is expected', ExitCode.SPEC
        ) from None
    except QueryTooLong as error:
        raise Refusal(f"{where}: {error}", ExitCode.SPEC) from error
    return tokenized


def _keep_stdout() -> int:
    """Return a descriptor of stdout for this program alone; prints of libraries go to stderr."""
    stdout = os.dup(1)
    os.dup2(2, 1)
    return stdout


if __name__ == "__main__":
    _OUTPUT = _keep_stdout()
    sys.exit(main())
