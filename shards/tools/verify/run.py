"""The verification process: load, check, compare, and report in JSON, one object a line.

{"stage": "loading weights, 1192 MB"}            the present step
{"progress": [12, 64]}                           steps of the comparison
{"report": {...}}                                the end: model, passed, facts, checks
"""

import gc
import json
import logging
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from shards.checkpoint import (
    Checkpoint,
    is_graph_only,
    open_checkpoint,
    open_graph,
    read_recipe,
)
from shards.engines import load_engine
from shards.machine import devices
from shards.machine.process import belong_to
from shards.refusal import Refusal
from shards.tools.verify import checks
from shards.tools.verify.agreement import Question, questions
from shards.tools.verify.checks import Check
from shards.tools.verify.dequantised import in_floats
from shards.tools.verify.facts import load_facts
from shards.wire.spec import ShardSpec
from shards.worker.canary_check import CanaryCheck


def main(spec: ShardSpec, fd: int, pairs: int, unquantised: str, parent_pid: int) -> None:
    """Verify the checkpoint of `spec` on `pairs` pairs, and write the findings to `fd`."""
    belong_to(parent_pid)
    logging.basicConfig(format="%(levelname)s: %(message)s")
    with os.fdopen(fd, "w", encoding="utf-8", buffering=1) as out:
        try:
            _write(out, report=Verification(spec, out, pairs, unquantised).report())
        except Refusal as refusal:
            refused = Check("load", False, str(refusal), {"exit_code": int(refusal.exit_code)})
            _write(out, report=_report(spec, {"source": spec.source}, [refused]))


def _write(out: IO[str], **message: Any) -> None:
    out.write(json.dumps(message, ensure_ascii=False) + "\n")


@dataclass(slots=True)
class _Examined:
    """The findings on our engine; `checkpoint` is `None` for an engine that needs no files."""

    facts: dict[str, str]
    found: list[Check]
    dtype: str
    checkpoint: Checkpoint | None = None
    ours: list[float] = field(default_factory=list)


def _report(spec: ShardSpec, facts: dict[str, str], found: list[Check]) -> dict[str, Any]:
    return {
        "model": spec.model,
        "passed": all(check.passed is not False for check in found),
        "facts": facts,
        "checks": [asdict(check) for check in found],
    }


class Verification:
    """One checkpoint under examination.

    Args:
        spec: the shard that would serve it.
        out: takes stages and progress.
        pairs: the number of pairs to compare.
        unquantised: the source of the same model with plain weights; empty without one.
    """

    def __init__(self, spec: ShardSpec, out: IO[str], pairs: int, unquantised: str = "") -> None:
        self._spec = spec
        self._unquantised = unquantised
        self._out = out
        self._questions = questions(pairs) if pairs else []
        self._steps = 0

    def report(self) -> dict[str, Any]:
        """Check everything; return the report.

        Raises:
            Refusal: the checkpoint cannot be served at all.
        """
        devices.prepare(self._spec)
        examined = self._examine()
        gc.collect()  # free our engine's weights before another copy of them is read
        found = examined.found
        if examined.checkpoint is not None:
            found.append(self._compare(examined, examined.checkpoint))
            if self._unquantised:
                found.append(self._quantisation(examined))
        return _report(self._spec, examined.facts, found)

    def _examine(self) -> "_Examined":
        """Make the checks that need our engine alone."""
        engine = load_engine(self._spec, self._stage)
        self._stage("warming")
        engine.warm_up()
        canary_check = CanaryCheck(engine, self._spec)
        found = [
            Check("load", True, "every tensor was there, and none is random"),
            checks.canaries(canary_check, self._stage),
        ]
        self._stage("scoring in other batches")
        found.append(checks.batches(engine))
        dtype = engine.facts.dtype
        if not engine.facts.fingerprint:
            return _Examined({"engine": engine.facts.engine}, found, dtype)
        checkpoint = self._opened()
        facts = load_facts(self._spec, checkpoint, engine)
        if canary_check.mode == "numeric":
            found.append(Check("published", None, "not asked for with canary = numeric"))
        else:
            found.append(checks.published(engine, checkpoint))
        self._stage("scoring pairs to compare")
        ours = checks.own_margins(engine, self._questions, self._advance)
        return _Examined(facts, found, dtype, checkpoint, ours)

    def _opened(self) -> Checkpoint:
        if is_graph_only(Path(self._spec.source).expanduser()):
            return open_graph(self._spec).checkpoint
        return open_checkpoint(self._spec, self._stage)

    def _compare(self, examined: "_Examined", checkpoint: Checkpoint) -> Check:
        """Compare with another implementation."""
        if not self._questions:
            return Check("agreement", None, "not asked for (--pairs 0)")
        if is_graph_only(checkpoint.folder):
            return Check("agreement", None, "the folder has a graph and no weights to compare with")
        if missing := checks.no_room(checkpoint):
            return missing
        if read_recipe(checkpoint, self._spec).late is not None:
            return Check("agreement", None, "late interaction has no other computation here")
        self._stage("loading plain transformers in fp32")
        return checks.agrees(examined.ours, examined.dtype, self._theirs(self._spec, checkpoint))

    def _quantisation(self, examined: "_Examined") -> Check:
        """Compare with the model before it was quantised."""
        spec = replace(self._spec, source=self._unquantised)
        checkpoint = open_checkpoint(spec, self._stage)
        if missing := checks.no_room(checkpoint, "quantisation"):
            return missing
        self._stage("loading the unquantised model in fp32")
        return checks.quantisation(examined.ours, self._theirs(spec, checkpoint))

    def _theirs(self, spec: ShardSpec, checkpoint: Checkpoint) -> list[float]:
        """Return the margins of a checkpoint by plain transformers."""
        with in_floats(checkpoint) as folder:
            reference = _reference(spec, checkpoint, folder)
            self._stage("comparing with plain transformers in fp32")
            return [
                margin
                for question in self._questions
                for margin in reference.margins(question.query, question.documents, self._advance)
            ]

    def _stage(self, line: str) -> None:
        _write(self._out, stage=line)

    def _advance(self, steps: int) -> None:
        self._steps += steps
        computations = 3 if self._unquantised else 2
        _write(self._out, progress=[self._steps, computations * _pairs(self._questions)])


def _reference(spec: ShardSpec, checkpoint: Checkpoint, folder: Path) -> Any:
    """Return what computes margins of a checkpoint's folder by another way than our engine."""
    # Imported late: these need model libraries.
    from shards.tools.verify.reference import Reference
    from shards.tools.verify.similarity import SimilarityReference

    name = f"{checkpoint.full_name} {checkpoint.folder}"
    if read_recipe(checkpoint, spec).similarity is None:
        return Reference(folder, name=name, template=spec.template, instruction=spec.instruction)
    return SimilarityReference(
        folder,
        name=name,
        query_prompt=spec.query_prompt,
        document_prompt=spec.document_prompt,
        instruction=spec.instruction,
    )


def _pairs(asked: list[Question]) -> int:
    return sum(len(question.documents) for question in asked)
