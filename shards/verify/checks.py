"""The checks of a verification, one function each: what was found, and whether it is as it should be."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from random import Random

from shards.checkpoint import Checkpoint
from shards.engines.base import Engine
from shards.pairs import EncodedPair
from shards.proof import Proof
from shards.verify.agreement import DOCUMENTS, Question, agreement, questions
from shards.verify.memory import free_bytes, needed_bytes
from shards.verify.published import published_for

_SHUFFLED = 12  # pairs, for the check of batches
_GIB = 1 << 30

# How far the same pair may score apart in other batches: absolute, and of the largest margin.
_BATCH_BOUNDS = {"fp32": (1e-5, 1e-5), "fp16": (0.02, 0.01), "bf16": (0.1, 0.03)}
_LOOSEST_BOUND = (0.25, 0.05)

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        name: stable, for programs.
        passed: `None` if it could not be made, or was not asked for.
        said: what was found, in one line.
        figures: what was measured.
    """

    name: str
    passed: bool | None
    said: str
    figures: dict[str, object] = field(default_factory=dict)


def canaries(proof: Proof, report: Callable[[str], None]) -> Check:
    """Have the engine prove itself as it would before it serves."""
    said, notes = proof.after_load(report)
    figures: dict[str, object] = {
        "mode": said.mode,
        "findings": list(said.findings),
        "notes": list(notes),
        "spread": said.spread[0] if said.spread else None,
        "margins": list(said.margins),
    }
    if said.findings:
        return Check("canaries", False, "; ".join(said.findings), figures)
    spread = (
        f", right answers {said.spread[0]:.2f} of margin above wrong ones" if said.spread else ""
    )
    noted = f" ({'; '.join(notes)})" if notes else ""
    return Check(
        "canaries", True, f"{said.mode}: {len(said.margins)} known pairs{spread}{noted}", figures
    )


def batches(engine: Engine) -> Check:
    """Score pairs alone, together, and together in another order."""
    asked = questions(_SHUFFLED)
    pairs = [pair for one in asked for pair in _encoded(engine, one)]
    alone = [engine.score([pair])[0] for pair in pairs]
    together = engine.score(pairs)
    order = Random(7).sample(range(len(pairs)), len(pairs))
    half = len(order) // 2
    margins = [
        *engine.score([pairs[at] for at in order[:half]]),
        *engine.score([pairs[at] for at in order[half:]]),
    ]
    shuffled = [margin for _, margin in sorted(zip(order, margins, strict=True))]
    apart = max(
        abs(one - other)
        for margins in (together, shuffled)
        for one, other in zip(alone, margins, strict=True)
    )
    absolute, relative = _BATCH_BOUNDS.get(engine.facts.dtype, _LOOSEST_BOUND)
    bound = absolute + relative * max(map(abs, alone))
    passed = math.isfinite(apart) and apart <= bound
    return Check(
        "batches",
        passed,
        f"{len(pairs)} pairs alone, together and shuffled: {apart:.1e} of margin apart, "
        f"{bound:.1e} is allowed in {engine.facts.dtype}",
        {"pairs": len(pairs), "difference": apart, "bound": bound},
    )


def published(engine: Engine, checkpoint: Checkpoint) -> Check:
    """Compare with the scores that others have published for this checkpoint."""
    known = published_for(f"{checkpoint.full_name} {checkpoint.folder.name}", checkpoint.config)
    if not known:
        return Check("published", None, "none are known for this checkpoint")
    rows = []
    for one in known:
        (pair,) = engine.encoder.encode(
            one.query, (one.document,), instruction=one.instruction, max_document_tokens=0
        )
        score = 0.5 * (1.0 + math.tanh(0.5 * engine.score([pair])[0]))
        rows.append((one, score, abs(score - one.score) <= one.tolerance))
    wrong = [
        f"{one.query!r} with {one.document!r}: {score:.4f}, published is {one.score:g} "
        f"(tolerance {one.tolerance:g})"
        for one, score, is_near in rows
        if not is_near
    ]
    figures: dict[str, object] = {
        "scores": [
            {"query": one.query, "document": one.document, "published": one.score, "score": score}
            for one, score, _ in rows
        ]
    }
    said = "; ".join(wrong) or f"{len(rows)} of {len(rows)} published scores are met"
    return Check("published", not wrong, said, figures)


def own_margins(engine: Engine, asked: Sequence[Question], advance: Advance) -> list[float]:
    """Return our margins of all questions, in order."""
    margins: list[float] = []
    for question in asked:
        margins += engine.score(_encoded(engine, question))
        advance(len(question.documents))
    return margins


def no_room(checkpoint: Checkpoint) -> Check | None:
    """Say why plain transformers cannot be asked; `None` if it can."""
    needed, free = needed_bytes(checkpoint), free_bytes()
    if needed <= free:
        return None
    return Check(
        "agreement",
        None,
        f"plain transformers in fp32 needs {needed / _GIB:.1f} GiB of memory, {free / _GIB:.1f} "
        "are free",
    )


def agrees(
    ours: Sequence[float],
    dtype: str,
    theirs: Sequence[float],
) -> Check:
    """Compare our margins with those of plain transformers in fp32."""
    found = agreement(ours, theirs, dtype)
    return Check(
        "agreement",
        found.is_within,
        f"{found.pairs} pairs against plain transformers in fp32: at most {found.difference:.1e} of "
        f"margin apart, Spearman {found.spearman:.4f}, the same best one of {DOCUMENTS} for "
        f"{found.top_1:.0%} of queries",
        asdict(found),
    )


def _encoded(engine: Engine, question: Question) -> list[EncodedPair]:
    return engine.encoder.encode(
        question.query, question.documents, instruction="", max_document_tokens=0
    )
