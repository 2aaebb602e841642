"""The verification process: load, check, compare, and tell it all in JSON, one object a line.

{"stage": "loading weights, 1192 MB"}            what is being done
{"progress": [12, 64]}                           steps of the comparison
{"report": {...}}                                the end: model, passed, facts, checks
"""

import gc
import json
import logging
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from shards import devices
from shards.checkpoint import Checkpoint, is_graph_only, open_checkpoint, open_graph
from shards.encoder import Template, choose_template
from shards.engines import load_engine
from shards.process import belong_to
from shards.proof import Proof
from shards.refusal import Refusal
from shards.verify import checks
from shards.verify.agreement import Question, questions
from shards.verify.checks import Check
from shards.verify.facts import load_facts
from shards.wire.spec import ShardSpec


def main(spec: ShardSpec, fd: int, pairs: int, parent_pid: int) -> None:
    """Verify what `spec` describes on `pairs` pairs, and write what is found to `fd`."""
    belong_to(parent_pid)
    logging.basicConfig(format="%(levelname)s: %(message)s")
    with os.fdopen(fd, "w", encoding="utf-8", buffering=1) as out:
        try:
            _tell(out, report=Verification(spec, out, pairs).report())
        except Refusal as refusal:
            refused = Check("load", False, str(refusal), {"exit_code": int(refusal.exit_code)})
            _tell(out, report=_report(spec, {"source": spec.source}, [refused]))


def _tell(out: IO[str], **said: Any) -> None:
    out.write(json.dumps(said, ensure_ascii=False) + "\n")


@dataclass(slots=True)
class _Examined:
    """What our engine has shown; it has no checkpoint if it needs no files."""

    facts: dict[str, str]
    found: list[Check]
    dtype: str
    checkpoint: Checkpoint | None = None
    template: Template | None = None
    ours: list[float] = field(default_factory=list)


def _report(spec: ShardSpec, facts: dict[str, str], found: list[Check]) -> dict[str, Any]:
    return {
        "model": spec.model,
        "passed": all(check.passed is not False for check in found),
        "facts": facts,
        "checks": [asdict(check) for check in found],
    }


class Verification:
    """One checkpoint under examination."""

    def __init__(self, spec: ShardSpec, out: IO[str], pairs: int) -> None:
        self._spec = spec
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
        gc.collect()  # our engine is gone before another copy of the weights is read
        found = examined.found
        if examined.checkpoint is not None:
            found.append(self._compare(examined, examined.checkpoint))
        return _report(self._spec, examined.facts, found)

    def _examine(self) -> "_Examined":
        """Check what can be checked with our engine alone."""
        engine = load_engine(self._spec, self._stage)
        self._stage("warming")
        engine.warm_up()
        proof = Proof(engine, self._spec)
        found = [
            Check("load", True, "every tensor was there, and none is random"),
            checks.canaries(proof, self._stage),
        ]
        self._stage("scoring in other batches")
        found.append(checks.batches(engine))
        dtype = engine.facts.dtype
        if not engine.facts.fingerprint:
            return _Examined({"engine": engine.facts.engine}, found, dtype)
        checkpoint = self._opened()
        template = None
        if engine.facts.engine == "causal":
            name = checkpoint.full_name
            template = choose_template(self._spec.template, checkpoint.model_type, name)
        facts = load_facts(self._spec, checkpoint, engine, template)
        if proof.mode == "numeric":
            found.append(Check("published", None, "not asked for with canary = numeric"))
        else:
            found.append(checks.published(engine, checkpoint))
        self._stage("scoring pairs to compare")
        ours = checks.own_margins(engine, self._questions, self._advance)
        return _Examined(facts, found, dtype, checkpoint, template, ours)

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
        from shards.verify.reference import Reference

        self._stage("loading plain transformers in fp32")
        reference = Reference(checkpoint, examined.template, instruction=self._spec.instruction)
        self._stage("comparing with plain transformers in fp32")
        theirs = [
            margin
            for question in self._questions
            for margin in reference.margins(question.query, question.documents, self._advance)
        ]
        return checks.agrees(examined.ours, examined.dtype, theirs)

    def _stage(self, line: str) -> None:
        _tell(self._out, stage=line)

    def _advance(self, steps: int) -> None:
        self._steps += steps
        _tell(self._out, progress=[self._steps, 2 * _pairs(self._questions)])


def _pairs(asked: list[Question]) -> int:
    return sum(len(one.documents) for one in asked)
