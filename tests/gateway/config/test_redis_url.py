"""URLs of Redis: every form is understood, and no password is shown."""

from typing import Any

import pytest

from gateway.config.redis_url import RedisTarget, WrongUrl, parse_redis_url


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("redis://h", {"kind": "single", "nodes": (("h", 6379),)}),
        ("redis://h:1/3", {"nodes": (("h", 1),), "database": 3}),
        ("redis://u:p%40%3A@h", {"username": "u", "password": "p@:"}),
        ("redis://:p@[::1]:7", {"nodes": (("::1", 7),), "username": "", "password": "p"}),
        ("rediss://h?ssl_ca_certs=/ca", {"tls": True, "options": {"ssl_ca_certs": "/ca"}}),
        ("unix:///run/r.sock?db=2", {"path": "/run/r.sock", "database": 2, "nodes": ()}),
        (
            "redis+sentinel://a,b:3/scores/1?sentinel_password=s",
            {
                "kind": "sentinel",
                "nodes": (("a", 26379), ("b", 3)),
                "service": "scores",
                "database": 1,
                "options": {"sentinel_password": "s"},
            },
        ),
        ("rediss+cluster://a:1,b/", {"kind": "cluster", "nodes": (("a", 1), ("b", 6379))}),
    ],
)
def test_a_url_names_its_servers(url: str, found: dict[str, Any]) -> None:
    target = parse_redis_url(url)
    assert {name: getattr(target, name) for name in found} == found


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://h", "scheme"),
        ("h:6379", "scheme"),
        ("redis://", "no host"),
        ("redis://u:hidden@", "no host"),
        ("redis://u:hidden@h:70000", "port"),
        ("redis://u:hidden@h:x", "port"),
        ("redis://u:hidden@[::1", "not a URL"),
        ("redis://u:hidden@h/a", "database"),
        ("redis://u:hidden@h/1/2", "too many"),
        ("redis://a,b", "redis\\+sentinel"),
        ("redis+sentinel://a", "names its service"),
        ("redis+cluster://a/1", "too many"),
        ("redis://h?ssl_ca_certs=x", "option 'ssl_ca_certs' is none of none"),
        ("rediss://h?password=hidden", "option 'password'"),
        ("unix://", "no socket"),
        ("redis://u:hidden@ho\u2100st", "not a URL"),
    ],
)
def test_another_text_is_refused_without_its_password(url: str, word: str) -> None:
    with pytest.raises(WrongUrl, match=word) as refused:
        parse_redis_url(url)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:hidden@h/1",
        "unix://u:hidden@/run/r.sock",
        "redis+sentinel://u:hidden@a,b/s?sentinel_password=hidden",
    ],
)
def test_no_password_is_shown(url: str) -> None:
    target: RedisTarget = parse_redis_url(url)
    assert "hidden" not in target.shown + repr(target)
    assert target.shown.startswith(url.partition(":")[0])
