"""A reply in parts: whole for short ones and HTTP/1.0, else part by part with turns for others."""

import asyncio
from collections.abc import Iterator

import pytest
from starlette.types import Message

from gateway.http.parted_reply import PartedReply


async def sent(parts: list[bytes], version: str = "1.1") -> list[Message]:
    """Return what is sent for these parts."""
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    async def receive() -> Message:
        raise AssertionError("a reply reads nothing")

    scope = {"type": "http", "http_version": version}
    await PartedReply(iter(parts), {"x-name": "value"}, "text/plain")(scope, receive, send)
    return messages


def names(head: Message) -> dict[bytes, bytes]:
    assert (head["type"], head["status"]) == ("http.response.start", 200)
    return dict(head["headers"])


@pytest.mark.parametrize(
    ("parts", "version"), [([b"whole"], "1.1"), ([b"wh", b"o", b"le"], "1.0"), ([b"whole"], "1.0")]
)
async def test_a_reply_that_is_sent_whole_has_its_length(parts: list[bytes], version: str) -> None:
    head, body = await sent(parts, version)
    assert names(head)[b"content-length"] == b"5"
    assert names(head)[b"x-name"] == b"value"
    assert body["body"] == b"whole"


@pytest.mark.parametrize("parts", [[b"a", b"b"], [b"a", b"b", b"c", b"d"]])
async def test_parts_are_sent_one_by_one_and_the_last_ends_the_reply(parts: list[bytes]) -> None:
    head, *bodies = await sent(parts)
    assert b"content-length" not in names(head)
    assert [body["body"] for body in bodies] == parts
    assert [body.get("more_body", False) for body in bodies] == [True] * (len(parts) - 1) + [False]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_others_have_turns_between_the_parts(version: str) -> None:
    made: list[int] = []
    seen: list[int] = []

    def parts() -> Iterator[bytes]:
        for number in range(20):
            made.append(number)
            yield b"x"

    async def other() -> None:
        while len(made) < 20:
            seen.append(len(made))
            await asyncio.sleep(0)

    async def send(message: Message) -> None:
        return None

    async def receive() -> Message:
        raise AssertionError("a reply reads nothing")

    beside = asyncio.create_task(other())
    scope = {"type": "http", "http_version": version}
    await PartedReply(parts(), {}, "text/plain")(scope, receive, send)
    await beside
    assert len(set(seen)) > 10
