"""Cores and memory nodes as people write them."""

from collections.abc import Sequence


def ranges(cores: Sequence[int]) -> str:
    """Return core numbers as Linux writes them: `0-3,8`."""
    runs: list[list[int]] = []
    for core in cores:
        if runs and core == runs[-1][-1] + 1:
            runs[-1].append(core)
        else:
            runs.append([core])
    return (
        ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs) or "any"
    )


def where(cores: Sequence[int], nodes: Sequence[int]) -> str:
    """Return where a shard runs: its cores and, where there are several, its memory nodes."""
    return f"{ranges(cores)} @ node {ranges(nodes)}" if nodes else ranges(cores)
