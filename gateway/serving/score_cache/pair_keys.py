"""The keys of pairs in the score cache: keyed hashes of all that decides a score. Pure.

Two pairs have one key only if the same revision of a model reads the same texts under the same
limits. The hash has a secret, so that no key shows which text was scored; no text is kept.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, astuple

import msgspec

from gateway.config import ModelSpec
from gateway.domain.request import LongDocuments, RerankRequest
from shards.wire.facts import Facts

KEY_BYTES = 16
_PERSON = b"pair score"

_NOT_SCORING = frozenset(
    {
        # of a shard: its place, its budget, its checks
        "name", "model", "generation", "cores", "memory_nodes", "device_required", "offline",
        "whole_files", "first_token_budget", "prefix_cache_mb", "vector_cache_mb", "canary",
        "canaries", "canary_seconds", "canary_batches", "remembered",
        # of the facts: lines and estimates
        "prompt_tokens", "shared_tokens", "demonstration", "warnings", "notes", "doubts",
        "languages", "labels", "markers", "has_meaning",
    }
)  # fmt: skip
"""The fields of a shard and of its facts that decide no score; a field that is new does.

`source` does: the prompt of a checkpoint may follow its name.
"""


def scoring_identity(spec: ModelSpec, facts: Facts, build: bytes) -> bytes:
    """Return a hash of all that decides a model's scores beside the request.

    Args:
        spec: the model. Its calibration and its names decide no margin.
        facts: the properties of the loaded model; its fingerprint covers its files.
        build: a hash of the code and the machine that compute, see `build`; a random one where
            scores do not outlive the process.
    """
    shards = sorted({msgspec.json.encode(_deciding(asdict(shard))) for shard in spec.shards})
    text = b"\0".join([*shards, msgspec.json.encode(_deciding(asdict(facts))), build])
    return hashlib.blake2b(text, digest_size=32, person=_PERSON).digest()


def _deciding(fields: dict[str, object]) -> dict[str, object]:
    kind = str(fields["device"]).partition(":")[0]  # its number is a place
    found = {name: value for name, value in fields.items() if name not in _NOT_SCORING}
    return found | {"device": kind}


def pair_keys(
    request: RerankRequest, reading: LongDocuments, identity: bytes, secret: bytes
) -> Sequence[bytes]:
    """Return the key of each document's pair.

    Args:
        request: the request.
        reading: its treatment of long documents.
        identity: that of the model, see `scoring_identity`.
        secret: at most 64 bytes; caches with one secret have the same keys.
    """
    limits = (
        request.max_tokens_per_doc,
        request.max_tokens_per_pair,
        request.max_tokens_per_query,
        request.keep_end,
        *astuple(reading),
    )
    start = hashlib.blake2b(
        identity + repr(limits).encode(), digest_size=KEY_BYTES, key=secret, person=_PERSON
    )
    if len(request.queries) == 1 and not request.instructions:
        asked = _with(start, request.queries[0], request.instruction or "")
        return [_key(asked, document.text) for document in request.documents]
    shared = len(request.queries) == 1
    return [
        _key(
            _with(start, request.queries[0 if shared else index], request.instruction_of(index)),
            document.text,
        )
        for index, document in enumerate(request.documents)
    ]


def _with(start: "hashlib.blake2b", query: str, instruction: str) -> "hashlib.blake2b":
    """Return a hash that has read a query and an instruction, each with its length before it."""
    asked = start.copy()
    for text in (query.encode(), instruction.encode()):
        asked.update(len(text).to_bytes(8, "little"))
        asked.update(text)
    return asked


def _key(asked: "hashlib.blake2b", document: str) -> bytes:
    key = asked.copy()
    key.update(document.encode())
    return key.digest()
