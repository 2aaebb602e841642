#!/usr/bin/env bash
# An answer that the caller changes, with the cache of redis-py's client.
# Version: redis (redis-py) 8.1.0 with cache_config=CacheConfig(), as for a server of version 7.4.
# Expected: what a program does with a returned dict or list has no effect on later reads.
# Seen: the cache returns the same object each time: a key that the program adds to the answer of
# hgetall is in the answer of the next hgetall, and so are numbers appended to an lrange, until another
# client writes the key. Nothing is sent to the server.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv --without-pip "$folder/venv"
python3 -m pip --python "$folder/venv/bin/python" install -qq --disable-pip-version-check \
    --no-compile \
    redis==8.1.0
cd "$folder"
venv/bin/python - <<'EOF'
import socket
import threading
from contextlib import suppress

import redis
from redis.cache import CacheConfig

ANSWERS = {
    b"HELLO": b"%3\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.4.0\r\n$5\r\nproto\r\n:3\r\n",
    b"CLIENT": b"+OK\r\n",
    b"HGETALL": b"%1\r\n$1\r\na\r\n$1\r\n1\r\n",
    b"LRANGE": b"*1\r\n$1\r\na\r\n",
}
commands = []


def serve(connection):
    with suppress(OSError), connection.makefile("rb") as stream:
        while line := stream.readline():
            words = []
            for _ in range(int(line[1:])):
                words.append(stream.read(int(stream.readline()[1:])))
                stream.read(2)
            commands.append(words[0].upper())
            connection.sendall(ANSWERS[commands[-1]])


def accept():
    while True:
        threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()


server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=accept, daemon=True).start()
port = server.getsockname()[1]
for cache in (None, CacheConfig()):
    client = redis.Redis(port=port, protocol=3, cache_config=cache, decode_responses=True)
    client.hgetall("hash")["added"] = "here"
    client.lrange("list", 0, -1).append("here")
    answers = client.hgetall("hash"), client.lrange("list", 0, -1)
    print("with the cache" if cache else "without", *answers)
    assert ("added" in answers[0]) == ("here" in answers[1]) == bool(cache)
assert commands.count(b"HGETALL") == 2 + 1
EOF
