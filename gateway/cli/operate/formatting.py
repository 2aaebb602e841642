"""Values in the cells of tables and lines: CPU cores, bytes, durations, figures."""

from collections.abc import Sequence


def core_ranges(cores: Sequence[int]) -> str:
    """Return core numbers as Linux writes them: `0-3,8`; `any` for none."""
    runs: list[list[int]] = []
    for core in cores:
        if runs and core == runs[-1][-1] + 1:
            runs[-1].append(core)
        else:
            runs.append([core])
    return (
        ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs) or "any"
    )


def shard_cores(cores: Sequence[int], nodes: Sequence[int]) -> str:
    """Return the cores of a shard and, on a machine with several, its memory nodes."""
    return f"{core_ranges(cores)} @ node {core_ranges(nodes)}" if nodes else core_ranges(cores)


def byte_size(count: int) -> str:
    """Return a number of bytes in GiB or MiB."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def duration(seconds: float) -> str:
    """Return a time by its two largest units, such as `1 d 1 h`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    shown = [f"{number} {unit}" for number, unit in parts if number][:2]
    return " ".join(shown) or "0 s"


def figure(value: float | None, digits: int = 1) -> str:
    """Return a number with separators between thousands; a dash for a figure without a value."""
    return "-" if value is None else f"{value:,.{digits}f}"
