"""Shards are spawned by the main thread: the parent-death signal is tied to the thread that
spawned.

A shard whose spawning thread ended would be killed with it, long before the gateway ends. The event
loop runs in the main thread, so it is enough that no code passes `spawn` to another one.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]


def _uses_of_spawn(file: Path) -> Iterator[ast.AST]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    calls = {
        node.func
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and not isinstance(node.func, ast.Call)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "spawn" and isinstance(node.ctx, ast.Load):
            yield node
            assert node in calls, f"{file.name}:{node.lineno} passes spawn on instead of calling it"


def test_spawn_is_called_on_the_event_loop_in_one_place() -> None:
    users = {
        file.name: len(uses)
        for file in sorted((ROOT / "gateway").rglob("*.py"))
        if (uses := list(_uses_of_spawn(file)))
    }
    assert users == {"shard_process.py": 1}
