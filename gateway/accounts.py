"""What an answered job adds to the metrics."""

from gateway.metrics import Metrics
from shards.wire.messages import Scores


def count_answer(
    metrics: Metrics, model: str, shard: str, scores: Scores, *, line_seconds: float
) -> None:
    """Count a job that a shard has answered, and the batches it has told of.

    Args:
        metrics: where.
        model: its public name.
        shard: who scored it.
        scores: the answer.
        line_seconds: how long it stood in the gateway's line.
    """
    tokens = sum(scores.tokens)
    metrics.job_answered(
        model,
        shard,
        documents=len(scores.margins),
        tokens=tokens,
        padded_tokens=scores.computed_tokens - (tokens - scores.saved_tokens),
        saved_tokens=scores.saved_tokens,
        truncated=len(scores.truncated),
        passages=sum(count for count in scores.passages if count > 1),
        queue_seconds=line_seconds + scores.queue_ns / 1e9,
        compute_seconds=scores.compute_ns / 1e9,
    )
    metrics.batches_computed(model, scores.batches)
    metrics.prefixes_looked_up(model, hits=scores.prefix_hits, misses=scores.prefix_misses)
