"""Tables of a status below its models."""

from gateway.cli.operate.tables import key_table, memory_table


def test_each_key_has_a_line_with_its_usage() -> None:
    used = {"open": 1, "requests": 1234, "refused": 5, "documents": 60_000, "tokens": 7_000_000}
    keys = [
        {
            "id": "k1",
            "name": "[b]search[/b]",
            "state": "good",
            "admin": False,
            "weight": 2.5,
            **used,
        },
        {"id": "k2", "name": "", "state": "expired", "admin": True, "weight": 1.0, **used},
    ]
    lines = [" ".join(line.plain.split()) for line in key_table(keys).lines(None)]
    assert "k1 [b]search[/b] good 2.5 1 1,234 5 60,000 7,000,000" in lines
    assert "k2 expired (admin) 1.0 1 1,234 5 60,000 7,000,000" in lines


def test_memory_lists_each_pool_with_its_holders() -> None:
    holders = [
        {"model": "a", "phase": "loaded", "bytes": 2**30, "busy": True, "fixed": True},
        {"model": "b", "phase": "waiting", "bytes": 2**29, "busy": False, "fixed": False},
    ]
    pool = {"pool": "machine", "budget_bytes": 2**31, "held_bytes": 2**30, "holders": holders}
    lines = [line.plain.split() for line in memory_table([pool]).lines(None)]
    assert lines[2:] == [
        ["machine", "2.0", "GiB", "1.0", "GiB"],
        ["a", "loaded,", "busy,", "fixed", "1.0", "GiB"],
        ["b", "waiting", "512", "MiB"],
    ]
