"""The checks of a verification, one function each: a finding, and whether it is as it should be."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from random import Random

from shards.checkpoint import Checkpoint
from shards.engines.base import Engine, afresh, readable
from shards.machine.memory import free_bytes
from shards.pairs import TokenizedPair
from shards.tools.verify.agreement import DOCUMENTS, Question, agreement, questions
from shards.tools.verify.memory import needed_bytes
from shards.tools.verify.published import published_for
from shards.worker.canary_check import CanaryCheck

_SHUFFLED = 12  # pairs, for the check of batches
_GIB = 1 << 30

# How far the same pair may score apart in other batches: an absolute bound, and a share of the
# largest margin.
_BATCH_BOUNDS = {"fp32": (1e-5, 1e-5), "fp16": (0.02, 0.01), "bf16": (0.1, 0.03)}
_LOOSEST_BOUND = (0.25, 0.05)

LEAST_SPEARMAN, LEAST_TOP_1 = 0.95, 0.9
"""The least agreement of a quantised model with the model before."""

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        name: the name, which programs may rely on.
        passed: `None` if the check could not be made, or was not asked for.
        said: the finding, in one line.
        figures: the measured figures.
    """

    name: str
    passed: bool | None
    said: str
    figures: dict[str, object] = field(default_factory=dict)


def canaries(canary_check: CanaryCheck, report: Callable[[str], None]) -> Check:
    """Run the canary check of the engine, as a shard does before it serves."""
    said, notes = canary_check.after_load(report)
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
    score, asked = afresh(engine), questions(_SHUFFLED)
    pairs = [pair for question in asked for pair in _tokenized(engine, question)]
    alone = [score([pair])[0] for pair in pairs]
    together = score(pairs)
    order = Random(7).sample(range(len(pairs)), len(pairs))
    half = len(order) // 2
    margins = [
        *score([pairs[at] for at in order[:half]]),
        *score([pairs[at] for at in order[half:]]),
    ]
    shuffled = [margin for _, margin in sorted(zip(order, margins, strict=True))]
    apart = max(
        abs(margin - exact)
        for margins in (together, shuffled)
        for exact, margin in zip(alone, margins, strict=True)
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
    for row in known:
        (pair,) = engine.tokenizer.tokenize(
            row.query, (row.document,), instruction=row.instruction, max_document_tokens=0
        )
        score = 0.5 * (1.0 + math.tanh(0.5 * engine.score([pair])[0]))
        rows.append((row, score, abs(score - row.score) <= row.tolerance))
    wrong = [
        f"{row.query!r} with {row.document!r}: {score:.4f}, published is {row.score:g} "
        f"(tolerance {row.tolerance:g})"
        for row, score, is_near in rows
        if not is_near
    ]
    figures: dict[str, object] = {
        "scores": [
            {"query": row.query, "document": row.document, "published": row.score, "score": score}
            for row, score, _ in rows
        ]
    }
    said = "; ".join(wrong) or f"{len(rows)} of {len(rows)} published scores are met"
    return Check("published", not wrong, said, figures)


def own_margins(engine: Engine, asked: Sequence[Question], advance: Advance) -> list[float]:
    """Return our margins of all questions, in order."""
    margins: list[float] = []
    for question in asked:
        margins += engine.score(_tokenized(engine, question))
        advance(len(question.documents))
    return margins


def no_room(checkpoint: Checkpoint, name: str = "agreement") -> Check | None:
    """Return a check that lacks the memory for plain transformers; `None` if that fits."""
    needed, free = needed_bytes(checkpoint), free_bytes()
    if needed <= free:
        return None
    return Check(
        name,
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
        f"{found.pairs} pairs against plain transformers in fp32: at most {found.difference:.1e} "
        f"of margin apart, Spearman {found.spearman:.4f}, the same best one of {DOCUMENTS} for "
        f"{found.top_1:.0%} of queries",
        asdict(found),
    )


def quantisation(ours: Sequence[float], theirs: Sequence[float]) -> Check:
    """Compare the margins of a quantised model with those of the same model before."""
    found = agreement(ours, theirs, "")
    return Check(
        "quantisation",
        found.spearman >= LEAST_SPEARMAN and found.top_1 >= LEAST_TOP_1,
        f"{found.pairs} pairs against the unquantised model in fp32: at most "
        f"{found.difference:.2f} of margin apart, Spearman {found.spearman:.4f}, the same best one "
        f"of {DOCUMENTS} for {found.top_1:.0%} of queries; {LEAST_SPEARMAN} and {LEAST_TOP_1:.0%} "
        "are needed",
        asdict(found),
    )


def _tokenized(engine: Engine, question: Question) -> list[TokenizedPair]:
    query = readable(engine.tokenizer, question.query)
    return engine.tokenizer.tokenize(
        query, question.documents, instruction="", max_document_tokens=0
    )
