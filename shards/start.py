"""From a spec to an engine that may serve: loaded, warm, and proved by its canaries."""

import time
from typing import NamedTuple

from shards import devices
from shards.engines import load_engine
from shards.engines.base import CountsWork, Engine, KeepsPrefixes
from shards.engines.prefixes import PrefixCache
from shards.heap import keeping_freed_memory
from shards.pace import Pace
from shards.pairs import Batch
from shards.proof import CanaryFailed, Proof
from shards.wire.messages import Ready, Stage
from shards.wire.pipe import ShardEnd
from shards.wire.spec import ShardSpec
from shards.work import Work, packed_work, padded_work

_PROBES = (("As long as this takes here.",), ("As long as a batch of this size takes.",) * 4)


class Started(NamedTuple):
    """An engine that may serve, how long its batches take, and how it proves itself again."""

    engine: Engine
    pace: Pace
    proof: Proof


def start(spec: ShardSpec, pipe: ShardEnd) -> Started:
    """Load, warm and prove an engine, telling the gateway how far it is.

    Raises:
        Refusal: the spec cannot be served.
        CanaryFailed: it can, with wrong scores.
    """
    devices.prepare(spec)
    pipe.send(Stage("loading", spec.source))
    with keeping_freed_memory():
        engine = load_engine(spec, lambda detail: pipe.send(Stage("loading", detail)))
    facts = engine.facts
    pipe.send(Stage("warming", f"{facts.engine} on {facts.device} in {facts.dtype}"))
    engine.warm_up()
    pace = _first_pace(engine)
    proof = Proof(engine, spec)
    notes = _prove(proof, pipe)
    (empty,) = engine.encoder.encode("", ("",), instruction="", max_document_tokens=0)
    pipe.send(
        Ready(
            engine=facts.engine,
            device=facts.device,
            dtype=facts.dtype,
            prompt_tokens=empty.own_tokens,
            shared_tokens=len(empty) - empty.own_tokens,
            max_length=facts.max_length,
            token_budget=facts.token_budget,
            activation=facts.activation,
            uses_instruction=facts.uses_instruction,
            demonstration=facts.demonstration,
            warnings=facts.warnings + notes + proof.doubts,
            notes=facts.notes,
            doubts=facts.doubts + proof.doubts,
            weights=facts.fingerprint,
        )
    )
    return Started(engine, pace, proof)


def _prove(proof: Proof, pipe: ShardEnd) -> tuple[str, ...]:
    """Tell the gateway what the canaries say, and return notes; raise if they forbid to serve."""
    said, notes = proof.after_load(lambda detail: pipe.send(Stage("proving", detail)))
    pipe.send(said)
    if said.findings:
        raise CanaryFailed(said.findings)
    return notes


def _first_pace(engine: Engine) -> Pace:
    """Time warm batches, so that even the first real one has something to be measured by."""
    pace = Pace()
    for documents in _PROBES:
        pairs = engine.encoder.encode("How long?", documents, instruction="", max_document_tokens=0)
        started_ns = time.monotonic_ns()
        engine.score(pairs)
        pace.learn(sum(work_of(engine, pairs).computed), time.monotonic_ns() - started_ns)
    return pace


def prefixes_of(engine: Engine) -> PrefixCache:
    """Return what an engine keeps of prefixes; nothing, if it shares none."""
    return engine.prefixes if isinstance(engine, KeepsPrefixes) else PrefixCache(0)


def expected_work(engine: Engine, pairs: Batch) -> Work:
    """Return what a batch will cost, with the prefixes that are kept now."""
    if not engine.facts.packed:
        return padded_work(pairs)
    return packed_work(pairs, prefixes_of(engine))


def work_of(engine: Engine, pairs: Batch) -> Work:
    """Return what the batch that was just scored has cost."""
    return engine.last_work if isinstance(engine, CountsWork) else expected_work(engine, pairs)
