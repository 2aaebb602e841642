#!/usr/bin/env bash
# A command that is not idempotent, to a server that answers late.
# Version: redis (redis-py) 8.1.0 with a server that takes 0.6 s for its first three answers.
# Expected: incr, called once, is sent once; after socket_timeout=0.2 it raises TimeoutError.
# Seen: it is sent four times, each over a new connection, and the server carries out all of them.
# The call takes three times as long as the time-out and returns normally. A pipeline does the same.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile \
    'redis==8.1.0'
cd "$folder"
venv/bin/python - <<'EOF'
import socket
import threading
import time
from contextlib import suppress

import redis

commands = []
HELLO = b"%2\r\n+proto\r\n:3\r\n+server\r\n+redis\r\n"


def serve(connection):
    with suppress(OSError), connection.makefile("rb") as stream:
        while line := stream.readline():
            words = []
            for _ in range(int(line[1:])):
                words.append(stream.read(int(stream.readline()[1:])))
                stream.read(2)
            name = words[0].upper()
            if name in (b"HELLO", b"CLIENT"):  # what the client sends first on a connection
                connection.sendall(HELLO if name == b"HELLO" else b"+OK\r\n")
                continue
            commands.append(words)
            if len(commands) < 4:
                time.sleep(0.6)
            connection.sendall(b":%d\r\n" % len(commands))


def accept():
    while True:
        threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()


server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=accept, daemon=True).start()
client = redis.Redis(port=server.getsockname()[1], socket_timeout=0.2)
for name in ("command", "pipeline"):
    commands.clear()
    started = time.monotonic()
    if name == "command":
        value = client.incr("n")
    else:
        (value,) = client.pipeline(transaction=False).incr("n").execute()
    print(name, "sent", len(commands), "value", value, f"after {time.monotonic() - started:.1f} s")
    assert len(commands) == value == 4
EOF
