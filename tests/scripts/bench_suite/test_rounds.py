"""Real, small servers: started, stopped while others are measured, compared, counted, ended."""

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from scripts.bench_suite.contestants import Contestant, Places
from scripts.bench_suite.rounds import Plan, measured
from scripts.bench_suite.servers import CannotStart, Server, started

PROGRAM = """
import json, os, signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply(b"{}")

    def do_POST(self):
        documents = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["documents"]
        with open(sys.argv[3], "a") as ledger:
            print(sys.argv[2], len(documents), file=ledger)
        scores = [1 / (len(document) + 2) for document in documents]
        if sys.argv[2] == "wrong":
            scores.reverse()
        self.reply(json.dumps({"results": [
            {"index": index, "relevance_score": score} for index, score in enumerate(scores)
        ]}).encode())

    def reply(self, raw):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_):
        pass

if sys.argv[2] == "forks" and os.fork() == 0:
    signal.pause()
HTTPServer(("127.0.0.1", int(sys.argv[1])), Answers).serve_forever()
"""


def small(name: str, ledger: Path) -> Server:
    """Return a server that scores by length; `wrong` gives its scores to the wrong documents."""
    command = (sys.executable, "-c", PROGRAM, "{port}", name, str(ledger))
    return Server(command=command, ready_path="/", patience_seconds=120)


def contestant(name: str, ledger: Path, *, rounds_alone: int = 0) -> Contestant:
    return Contestant(
        name=name,
        title=name,
        family="causal",
        dtype="fp32",
        server=lambda _: small(name, ledger),
        rounds_alone=rounds_alone,
    )


def alive(parent: psutil.Process) -> Sequence[psutil.Process]:
    return parent.children(recursive=True)


def until(process: psutil.Process, status: str) -> None:
    """Wait until a process has a status, or is gone."""
    end = time.monotonic() + 120
    with suppress(psutil.NoSuchProcess):
        while process.status() != status:
            assert time.monotonic() < end, process
            time.sleep(0.001)


def test_the_slow_go_first_and_the_others_in_turn(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    field_of = [contestant(name, ledger) for name in ("one", "two")]
    field_of.insert(1, contestant("slow", ledger, rounds_alone=2))
    places = Places(checkpoint=tmp_path, scratch=tmp_path)
    plan = Plan(workloads=["rag20"], once=["rag100"], workloads_alone=["rag20"], rounds=2)
    lines: list[str] = []
    before = set(alive(psutil.Process()))
    with measured(field_of, places, plan, lines.append) as field:
        servers = set(alive(psutil.Process())) - before
        assert len(servers) == 2
        for server in servers:
            until(server, psutil.STATUS_STOPPED)
    assert not set(alive(psutil.Process())) - before
    asked = [tuple(line.split()) for line in ledger.read_text().splitlines()]
    assert asked == [
        ("slow", "8"), *[("slow", "3"), ("slow", "20")] * 2,
        ("one", "8"), ("one", "3"), ("one", "20"), ("two", "8"), ("two", "3"), ("two", "20"),
        ("one", "3"), ("one", "20"), ("one", "20"), ("one", "100"),
        ("two", "3"), ("two", "20"), ("two", "20"), ("two", "100"),
        ("two", "3"), *[("two", "20")] * 2, ("one", "3"), *[("one", "20")] * 2,
    ]  # fmt: skip
    one = field.figures["one"]
    assert {name: len(found) for name, found in one.seconds.items()} == {
        "rag20": 2,
        "rag20, repeated query": 2,
        "rag100": 1,
    }
    assert one.agreement is not None
    assert one.agreement.largest_difference == 0
    assert field.figures["slow"].agreement is None  # the others are compared with it
    assert 5 < one.peak_mb < 500
    assert lines[-1] == "one"


def test_a_contestant_with_other_scores_is_not_measured(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    contestants = [contestant("one", ledger), contestant("wrong", ledger)]
    places = Places(checkpoint=tmp_path, scratch=tmp_path)
    plan = Plan(workloads=["short3"], rounds=1, repeats=False)
    with measured(contestants, places, plan, lambda _: None) as field:
        assert list(field.running) == ["one"]
    assert list(field.figures) == ["one"]
    assert "margins differ by" in field.skipped["wrong"]
    assert "wrong 3" not in ledger.read_text()


def test_the_last_line_of_a_server_that_ends_is_reported(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "import sys; sys.exit('no such model')")
    server = Server(command=command, ready_path="/")
    with (
        pytest.raises(CannotStart, match="ended with 1: no such model"),
        started(server, tmp_path / "log"),
    ):
        pass


def test_memory_is_that_of_all_processes_and_all_are_ended(tmp_path: Path) -> None:
    before = set(alive(psutil.Process()))
    with started(small("alone", tmp_path / "ledger"), tmp_path / "log") as running:
        alone = running.peak_mb()
    with started(small("forks", tmp_path / "ledger"), tmp_path / "log") as running:
        processes = set(alive(psutil.Process())) - before
        assert len(processes) == 2
        assert running.peak_mb() > 1.3 * alone
        assert running.seconds_to_ready > 0
    for process in processes:
        until(process, psutil.STATUS_ZOMBIE)
