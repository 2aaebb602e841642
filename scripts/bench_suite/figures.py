"""Measurements as data: written as JSON, read again, turned into medians and ratios. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from gateway.telemetry.rank_correlation import spearman_rho, top1
from scripts.bench_suite.machine import Machine

BOUNDS = {"fp32": 1e-3, "bf16": 0.05, "int8": 0.25}
"""The most that a margin may be from the exact one, by number format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Agreement of one contestant's margins with the exact ones.

    Attributes:
        spearman: of the ranks; `None` where nothing can be said.
        same_best: whether the best document is the same.
    """

    largest_difference: float
    spearman: float | None
    same_best: bool


def agreement(margins: Sequence[float], exact: Sequence[float]) -> Agreement:
    """Compare margins of the same documents."""
    return Agreement(
        largest_difference=max(abs(a - b) for a, b in zip(margins, exact, strict=True)),
        spearman=spearman_rho(margins, exact),
        same_best=top1(margins, exact),
    )


def differ_too_much(found: Agreement, dtype: str, reference: str) -> bool:
    """Return whether scores are wrong beyond the rounding of their number formats."""
    return not found.largest_difference <= BOUNDS[dtype] + BOUNDS[reference]


@dataclass(slots=True, kw_only=True)
class Figures:
    """Figures of one contestant.

    Attributes:
        peak_mb: the most memory of all its processes.
        seconds: of each request, by workload.
        computed_tokens: of each request, by workload; 0 where the server does not say.
        agreement: with the contestant that is exact; `None` for that one itself.
    """

    seconds_to_ready: float
    peak_mb: float = 0.0
    seconds: dict[str, list[float]] = field(default_factory=dict)
    computed_tokens: dict[str, list[int]] = field(default_factory=dict)
    agreement: Agreement | None = None

    def median(self, workload: str) -> float | None:
        """Return the median of the seconds of a workload, if it was asked."""
        found = self.seconds.get(workload)
        return median(found) if found else None


@dataclass(slots=True, kw_only=True)
class Findings:
    """All of one run.

    Attributes:
        contestants: figures by name.
        skipped: reasons why others were not measured, by name.
        bf16_ceilings: GFLOP/s of one product at the head of each round, which tell how even the
            machine was.
        token_flop: FLOP of the linears of the causal model for one token, and for one document.
        padding_share: of all tokens that our server computed, in bf16.
        seconds_per_document: of the embedded model, by the number of documents in one request.
        classifier_seconds_per_document: the same of the classifier of usual size.
        overhead: rows of `scripts/bench-gateway`.
    """

    machine: Machine
    rounds: int
    contestants: dict[str, Figures] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    bf16_ceilings: list[int] = field(default_factory=list)
    token_flop: tuple[float, float] = (0.0, 0.0)
    padding_share: float | None = None
    seconds_per_document: dict[str, float] = field(default_factory=dict)
    classifier_seconds_per_document: dict[str, float] = field(default_factory=dict)
    overhead: list[dict[str, float]] = field(default_factory=list)

    def machine_reached(self, ceilings: Mapping[str, int]) -> None:
        """Add the rates of products at another moment; the best ones count."""
        self.bf16_ceilings.append(ceilings["bf16"])
        best = {name: max(n, ceilings.get(name, 0)) for name, n in self.machine.ceilings.items()}
        self.machine = replace(self.machine, ceilings=best)

    def seconds(self, name: str, workload: str) -> float | None:
        """Return the median of a contestant's seconds for a workload, if there is one."""
        figures = self.contestants.get(name)
        return figures.median(workload) if figures else None

    def times(self, name: str, baseline: str, workload: str) -> float | None:
        """Return how many times as fast as a baseline a contestant is.

        The result is the median over the requests that both got, one by one. A contestant that was
        measured alone got the first of them.
        """
        found = [self.contestants.get(one) for one in (baseline, name)]
        theirs, ours = ([] if one is None else one.seconds.get(workload, []) for one in found)
        ratios = [a / b for a, b in zip(theirs, ours, strict=False)]
        return median(ratios) if ratios else None

    def share_of_ceiling(self, name: str, workload: str, documents: int) -> float | None:
        """Return the share of the bf16 ceiling on the tokens that had to be computed."""
        figures = self.contestants.get(name)
        if figures is None or not any(figures.computed_tokens.get(workload, ())):
            return None
        pairs = zip(figures.computed_tokens[workload], figures.seconds[workload], strict=True)
        per_token, per_document = self.token_flop
        rates = [(per_token * tokens + per_document * documents) / sec for tokens, sec in pairs]
        return median(rates) / (self.machine.ceilings["bf16"] * 1e9)


def spread(per_document: Mapping[str, float]) -> float | None:
    """Return how far the dearest document is above the cheapest; `None` for fewer than two."""
    if len(per_document) < 2:
        return None
    return max(per_document.values()) / min(per_document.values()) - 1
