"""From a secret to its key, and where clients put it."""

import pytest

from gateway.keys import KeyRing
from gateway.keys.secret import claimed_id, digest, new_id, new_secret
from gateway.keys.sent import sent_key
from tests.gateway.keys.making import made


def test_secrets_have_32_random_bytes_and_name_their_id() -> None:
    secrets = {new_secret("k2") for _ in range(100)}
    assert len(secrets) == 100
    for secret in secrets:
        assert secret.startswith("rk_k2_")
        assert len(secret.split("_", 2)[2]) == 43  # 32 bytes in base64
        assert claimed_id(secret) == "k2"
    assert len({new_id() for _ in range(100)}) == 100


def test_what_is_kept_is_the_sha256_of_the_whole_key() -> None:
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
def test_any_text_can_be_asked_for(secret: str) -> None:
    assert KeyRing([made("k")[1]]).find(secret) is None


@pytest.mark.parametrize(
    ("secret", "id_"),
    [("rk_k_wrong", "k"), ("rk_other_wrong", ""), ("rk_k", ""), ("xx_k_y", ""), ("", "")],
)
def test_the_id_that_a_wrong_secret_names_is_told_if_it_is_ours(secret: str, id_: str) -> None:
    assert KeyRing([made("k")[1]]).meant(secret) == id_


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
def test_where_clients_put_it(headers: dict[str, str], key: str | None) -> None:
    assert sent_key(headers) == key
