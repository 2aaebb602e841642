"""Secrets: generated, hashed, found in a ring and in the headers of clients."""

import statistics
import time

import pytest

from gateway.http.keys import KeyRing
from gateway.http.keys.secret import claimed_id, digest, new_id, new_secret
from gateway.http.keys.sent import sent_key
from tests.gateway.http.keys.making import made


def test_secrets_have_32_random_bytes_and_name_their_id() -> None:
    secrets = {new_secret("k2") for _ in range(100)}
    assert len(secrets) == 100
    for secret in secrets:
        assert secret.startswith("rk_k2_")
        assert len(secret.split("_", 2)[2]) == 43  # 32 bytes in base64
        assert claimed_id(secret) == "k2"
    assert len({new_id() for _ in range(100)}) == 100


def test_the_hash_is_the_sha256_of_the_whole_key() -> None:
    assert digest("abc") == (
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_a_secret_finds_its_key_and_no_other() -> None:
    pairs = [made(f"k{number}") for number in range(50)]
    ring = KeyRing([key for _, key in pairs])
    for secret, key in pairs:
        assert ring.find(secret) is key
        for wrong in (secret[:-1], secret + " ", secret.swapcase(), key.hash, key.id, ""):
            assert ring.find(wrong) is None


@pytest.mark.parametrize("secret", ["\udcff", "\x00", "\U0001f511" * 1000])
def test_any_text_can_be_looked_up(secret: str) -> None:
    assert KeyRing([made("k")[1]]).find(secret) is None


@pytest.mark.parametrize(
    ("secret", "id_"),
    [("rk_k_wrong", "k"), ("rk_other_wrong", ""), ("rk_k", ""), ("xx_k_y", ""), ("", "")],
)
def test_the_claimed_id_of_a_wrong_secret_is_returned_if_it_exists(secret: str, id_: str) -> None:
    assert KeyRing([made("k")[1]]).claimed_id(secret) == id_


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"authorization": "Bearer k"}, "k"),
        ({"authorization": "bearer   k  "}, "k"),
        ({"authorization": "k"}, "k"),
        ({"authorization": "Bearer k k"}, "k k"),
        ({"x-api-key": "k"}, "k"),
        ({"api-key": "k"}, "k"),
        ({"authorization": "Bearer a", "x-api-key": "b"}, "a"),
        ({"authorization": "Bearer null", "x-api-key": "b"}, "b"),
        ({"authorization": "Basic abc", "x-api-key": "b"}, "b"),
        ({"authorization": "Negotiate abc"}, None),
        ({"authorization": "Bearer undefined"}, None),
        ({"authorization": "Bearer"}, None),
        ({"x-api-key": "None"}, None),
        ({}, None),
    ],
)
def test_the_key_is_found_in_the_headers_of_clients(
    headers: dict[str, str], key: str | None
) -> None:
    assert sent_key(headers) == key


def _medians(looked_up: dict[str, tuple[KeyRing, str]], rounds: int) -> dict[str, float]:
    """Return the median time of each look-up, in nanoseconds; their turns are mixed."""
    taken: dict[str, list[int]] = {name: [] for name in looked_up}
    for _ in range(rounds):
        for name, (ring, secret) in looked_up.items():
            started = time.perf_counter_ns()
            ring.find(secret)
            taken[name].append(time.perf_counter_ns() - started)
    return {name: statistics.median(times) for name, times in taken.items()}


def test_the_time_of_a_look_up_reveals_neither_keys_nor_their_number() -> None:
    """Measured: 1.0 µs with one key and with 20,000, and for a secret wrong in its last letter."""
    pairs = [made(f"k{number}") for number in range(20_000)]
    ring, (secret, key) = KeyRing([key for _, key in pairs]), pairs[10_000]
    one = KeyRing([key])
    nearly = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    found = _medians(
        {
            "one key": (one, secret),
            "many keys": (ring, secret),
            "wrong in the last letter": (ring, nearly),
            "wrong in all letters": (ring, "x" * len(secret)),
            "wrong, one key": (one, "x" * len(secret)),
        },
        rounds=2_000,
    )
    # A scan of all keys would take a thousand times as long; the rest is noise of the machine.
    assert max(found.values()) < 10 * min(found.values()), found
