"""Known pairs, and the verdict on a model by their margins. Standard library only.

`pairs` holds queries with right and wrong documents, `judge` turns their margins into findings,
`findings` has the words. Nothing here computes a margin: a shard judges its own engine by it, and
`gateway verify URL` a server that shows nothing but scores.
"""

from shards.canary.findings import Finding
from shards.canary.judge import Own, Verdict, as_score, judge, judge_own, judge_same
from shards.canary.pairs import KNOWN, Pair, known_pairs

__all__ = [
    "KNOWN",
    "Finding",
    "Own",
    "Pair",
    "Verdict",
    "as_score",
    "judge",
    "judge_own",
    "judge_same",
    "known_pairs",
]
