"""Bundles that cannot be trusted: nothing is written that does not fit, all models or none."""

import json
import random
import shutil
import tarfile
import tracemalloc
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.cli.models import unbundle
from gateway.cli.models.bundle import BundleError, pack
from gateway.cli.models.unbundle import unpack, verify
from tests.gateway.cli.conftest import gateway

WEIGHTS = b"weights" * 100
DIGEST = sha256(b"x").hexdigest()
GB = 10**9


def silent(_size: int) -> None:
    return


def packed(folder: Path, *names: str) -> Path:
    """Return a bundle of models of these names."""
    model = folder / "model"
    model.mkdir(exist_ok=True)
    (model / "config.json").write_bytes(b"{}")
    (model / "model.safetensors").write_bytes(WEIGHTS)
    pack([(name, "source", model) for name in names], folder / "bundle.tar", silent)
    return folder / "bundle.tar"


def manifest(**changes: object) -> bytes:
    file = {"path": "x", "bytes": 1, "sha256": DIGEST}
    model = {"name": "m", "source": "", "files": [file]}
    return json.dumps({"format": 1, "models": [model], **changes}).encode()


def header(
    name: str, size: int, kind: bytes = tarfile.REGTYPE, pax: dict[str, str] | None = None
) -> bytes:
    """Return a header, which may lie."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.type, entry.pax_headers = size, kind, pax or {}
    return entry.tobuf(tarfile.PAX_FORMAT)


def block(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def bundle_of(folder: Path, *entries: tuple[str, bytes] | bytes) -> Path:
    """Write a bundle of entries (name and content, or raw blocks)."""
    path = folder / "crafted.tar"
    parts = [
        entry if isinstance(entry, bytes) else header(entry[0], len(entry[1])) + block(entry[1])
        for entry in entries
    ]
    path.write_bytes(b"".join(parts) + bytes(1024))
    return path


def refused(path: Path, folder: Path) -> str:
    """Return the reason why a bundle is refused, both checked and unpacked; nothing is left."""
    with pytest.raises(BundleError):
        verify(path, silent)
    with pytest.raises(BundleError) as error:
        unpack(path, folder / "there", silent)
    assert list((folder / "there").iterdir()) == []
    assert "\n" not in str(error.value)
    assert str(error.value).isprintable()
    return str(error.value)


def gnu_sparse() -> bytes:
    """Return an old GNU sparse member of 512 bytes that claims three gigabytes."""
    raw = bytearray(header("m/x", 512, tarfile.GNUTYPE_SPARSE))
    raw[257:265] = b"ustar  \0"
    for place, number in ((386, 0), (398, 512), (483, 3 * GB)):
        raw[place : place + 12] = b"%011o\0" % number
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw) + bytes(512)


SPARSE = {
    "old": gnu_sparse(),
    "0.0": header(
        "m/x",
        512,
        pax={
            "GNU.sparse.size": str(3 * GB),
            "GNU.sparse.numblocks": "1",
            "GNU.sparse.offset": "0",
            "GNU.sparse.numbytes": "512",
        },
    )
    + bytes(512),
    "0.1": header("m/x", 512, pax={"GNU.sparse.size": str(3 * GB), "GNU.sparse.map": "0,512"})
    + bytes(512),
    "1.0": header(
        "m/x",
        1024,
        pax={
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.realsize": str(3 * GB),
        },
    )
    + block(b"1\n0\n512\n")
    + bytes(512),
}


@pytest.mark.parametrize("form", SPARSE)
def test_a_sparse_member_is_refused(tmp_path: Path, form: str) -> None:
    path = bundle_of(tmp_path, SPARSE[form], ("manifest.json", manifest()))
    assert "do not trust" in refused(path, tmp_path)


@pytest.mark.parametrize("size", [3 * GB, 2**40, 2**62])
def test_a_member_that_claims_more_than_is_there_is_refused(tmp_path: Path, size: int) -> None:
    path = bundle_of(tmp_path, header("m/x", size) + bytes(512), ("manifest.json", manifest()))
    assert f"has {size} bytes, more than are left of it" in refused(path, tmp_path)


def test_extended_headers_do_not_fill_the_memory(tmp_path: Path) -> None:
    path = bundle_of(tmp_path)
    with path.open("wb") as file:
        file.write(header("x", 400_000_000, tarfile.XHDTYPE))
        file.truncate(400_000_000)  # a hole: nothing is written
    tracemalloc.start()
    assert "do not trust" in refused(path, tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_headers_upon_headers_are_refused(tmp_path: Path) -> None:
    extension = header("x", 12, tarfile.XHDTYPE) + block(b"12 path=m/x\n")
    assert "bundle" in refused(bundle_of(tmp_path, extension * 3000), tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ["m/x", "m/x"],
        ["m/x", "m/x/y"],
        ["m/x/y", "m/x"],
        ["."],
        ["m/" + "x" * 250],
        ["/".join("m" * 600)],
        ["m/\x1b[2J"],
        ["m/\udcff"],
        ["manifest.json/x"],
    ],
)
def test_paths_that_pack_does_not_write_are_refused(tmp_path: Path, names: list[str]) -> None:
    entries = [(name, b"x") for name in names]
    path = bundle_of(tmp_path, *entries, ("manifest.json", manifest()))
    assert "do not trust" in refused(path, tmp_path)


def test_nothing_may_follow_the_manifest(tmp_path: Path) -> None:
    path = bundle_of(tmp_path, ("m/x", b"x"), ("manifest.json", manifest()), ("m/y", b"y"))
    assert "do not trust" in refused(path, tmp_path)


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unbundle, "MOST_FILES", 3)
    path = bundle_of(tmp_path, *((f"m/{place}", b"x") for place in range(4)))
    assert "do not trust" in refused(path, tmp_path)


FILE = {"path": "x", "bytes": 1, "sha256": DIGEST}
MODEL = {"name": "m", "source": "", "files": [FILE]}
MANIFESTS = {
    "empty": b"",
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "no JSON": b"{",
    "not UTF-8": b'{"format": 1, "models": [{"name": "\xff\xfe"}]}',
    "deep": b'{"format":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a huge number": b'{"format": 1, "models": ' + b"9" * 10_000 + b"}",
    "no models": b'{"format": 1}',
    "models no list": manifest(models=3),
    "a model no object": manifest(models=["m"]),
    "a model without files": manifest(models=[{"name": "m", "source": ""}]),
    "a name no text": manifest(models=[{**MODEL, "name": 3}]),
    "a name of control characters": manifest(models=[{**MODEL, "name": "\x1b[2J\n"}]),
    "a lone surrogate": manifest(models=[{**MODEL, "name": "\ud800"}]),
    "a source of control characters": manifest(models=[{**MODEL, "source": "\x1b"}]),
    "files no list": manifest(models=[{**MODEL, "files": 3}]),
    "a file no object": manifest(models=[{**MODEL, "files": [3]}]),
    "a path no text": manifest(models=[{**MODEL, "files": [{**FILE, "path": 3}]}]),
    "bytes no number": manifest(models=[{**MODEL, "files": [{**FILE, "bytes": "1"}]}]),
    "bytes negative": manifest(models=[{**MODEL, "files": [{**FILE, "bytes": -1}]}]),
    "a file twice": manifest(models=[{**MODEL, "files": [FILE, FILE]}]),
    "a model twice": manifest(models=[MODEL, MODEL]),
    "a model in a model": manifest(models=[MODEL, {**MODEL, "name": "m/n"}]),
    "a key twice": b'{"format": 1, "models": [], "models": []}',
    "format a list": manifest(format=[1]),
    "format long": manifest(format="x\n" * 1000, gateway=["y" * 1000]),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_an_odd_manifest_is_one_line_of_error(tmp_path: Path, name: str) -> None:
    path = bundle_of(tmp_path, ("m/x", b"x"), ("manifest.json", MANIFESTS[name]))
    assert len(refused(path, tmp_path)) < 600 + len(str(tmp_path))


def test_the_crafted_bundle_itself_is_a_good_one(tmp_path: Path) -> None:
    """Otherwise the other tests would test nothing."""
    path = bundle_of(tmp_path, ("m/x", b"x"), ("manifest.json", manifest()))
    unpack(path, tmp_path / "there", silent)
    assert (tmp_path / "there" / "m" / "x").read_bytes() == b"x"


def test_a_bundle_above_the_limit_is_refused_before_it_is_written(tmp_path: Path) -> None:
    path = packed(tmp_path, "a", "b")
    total = 2 * (len(WEIGHTS) + 2)
    with pytest.raises(BundleError, match="--max-bytes"):
        unpack(path, tmp_path / "there", silent, most_bytes=total - 1)
    assert list((tmp_path / "there").iterdir()) == []
    assert len(unpack(path, tmp_path / "there", silent, most_bytes=total)) == 2


def test_a_bundle_larger_than_the_disk_is_refused_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = packed(tmp_path, "a")
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(OSError, match="702 bytes or more are needed, 100 are free"):
        unpack(path, tmp_path / "there", silent)
    assert list((tmp_path / "there").iterdir()) == []


@pytest.mark.parametrize("failing", range(6))
def test_a_failed_rename_leaves_all_models_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    path, there = packed(tmp_path, "a", "owner/b", "c"), tmp_path / "there"
    (there / "a").mkdir(parents=True)
    (there / "a" / "mine").write_text("kept")
    (there / "c").symlink_to("nowhere")
    before = sorted(map(str, there.rglob("*")))
    done = iter(range(100))
    real = Path.replace

    def fails(self: Path, target: Path) -> Path:
        if next(done) == failing:
            raise OSError(5, "the disk fails")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", fails)
    if failing < 5:
        with pytest.raises(OSError, match="the disk fails"):
            unpack(path, there, silent, replace=True)
        assert sorted(map(str, there.rglob("*"))) == before
        assert (there / "a" / "mine").read_text() == "kept"
        assert (there / "c").readlink() == Path("nowhere")
    else:
        unpack(path, there, silent, replace=True)
        assert (there / "owner" / "b" / "config.json").read_text() == "{}"
        assert not (there / "a" / "mine").exists()
        assert (there / "c" / "config.json").read_text() == "{}"
        assert sorted(folder.name for folder in there.iterdir()) == ["a", "c", "owner"]


def damaged(whole: bytes) -> Iterator[bytes]:
    """Yield a bundle with random damage, most of it in headers and in the manifest."""
    dice = random.Random(17)
    starts = [*range(0, len(whole), 512)]
    for _ in range(400):
        raw = bytearray(whole)
        for _ in range(dice.randint(1, 4)):
            start = dice.choice(starts)
            raw[min(len(raw) - 1, start + dice.randrange(512))] = dice.randrange(256)
        if dice.random() < 0.3:
            start = dice.choice(starts)
            raw[148 + start : 156 + start] = b" " * 8  # a header whose sum is right again
            raw[148 + start : 156 + start] = b"%06o\0 " % sum(raw[start : start + 512])
        yield bytes(raw[: dice.choice([len(raw), dice.randrange(len(raw))])])


def test_no_damage_is_anything_but_an_error(tmp_path: Path) -> None:
    path = packed(tmp_path, "a", "b")
    whole = path.read_bytes()
    for number, raw in enumerate(damaged(whole)):
        path.write_bytes(raw)
        there = tmp_path / "there" / str(number)
        try:
            unpack(path, there, silent)
        except BundleError:
            assert list(there.iterdir()) == []


def test_the_command_ends_with_a_line_and_an_exit_code(tmp_path: Path) -> None:
    path = bundle_of(tmp_path, SPARSE["old"], ("manifest.json", manifest()))
    done = gateway("unpack", str(path), "--to", str(tmp_path / "there"))
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (1, 1), done.stderr
    path = packed(tmp_path, "a")
    done = gateway("unpack", str(path), "--to", str(tmp_path / "there"), "--max-bytes", "9")
    assert (done.returncode, "--max-bytes" in done.stderr) == (1, True)
    assert list((tmp_path / "there").iterdir()) == []
