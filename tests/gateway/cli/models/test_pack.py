"""`gateway pack` and `gateway unpack`, and bundles that cannot be trusted."""

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.cli.models.bundle import BundleError, pack
from gateway.cli.models.unbundle import unpack, verify
from tests.gateway.cli.conftest import gateway

FILES = {
    "config.json": b"{}",
    "model.safetensors": b"weights" * 1000,
    "tokenizer.json": b"{}",
    "1_Pooling/config.json": b"{}",
    "README.md": b"a card",
    "pytorch_model.bin": b"never packed",
    "onnx/model.onnx": b"never packed",
}
PACKED = {name for name, content in FILES.items() if content != b"never packed"}


def silent(_size: int) -> None:
    return


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def bundle(tmp_path: Path, model: Path) -> Path:
    pack([("owner/name", "owner/name", model)], tmp_path / "bundle.tar", silent)
    return tmp_path / "bundle.tar"


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def rewritten(
    bundle: Path, contents: Mapping[str, bytes], manifest: Mapping[str, object] | None
) -> Path:
    """Write a bundle of these contents over another."""
    with tarfile.open(bundle, "w") as tar:
        entries = dict(contents)
        if manifest is not None:
            entries["manifest.json"] = json.dumps(manifest).encode()
        for name, content in entries.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return bundle


def test_a_model_arrives_as_it_was(bundle: Path, tmp_path: Path) -> None:
    (found,) = unpack(bundle, tmp_path / "there", silent)
    assert found.name == "owner/name"
    arrived = files(tmp_path / "there" / "owner" / "name")
    assert arrived == {name: FILES[name] for name in PACKED}
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["owner"]


def test_the_same_model_gives_the_same_bundle(bundle: Path, model: Path, tmp_path: Path) -> None:
    pack([("owner/name", "owner/name", model)], tmp_path / "again.tar", silent)
    assert (tmp_path / "again.tar").read_bytes() == bundle.read_bytes()


@pytest.mark.parametrize("where", [0.1, 0.5, 0.9, 1])
def test_a_truncated_bundle_leaves_nothing(bundle: Path, tmp_path: Path, where: float) -> None:
    whole = bundle.read_bytes()
    bundle.write_bytes(whole[: int(whole.index(b'"sha256"') * where)])  # padding may be missing
    with pytest.raises(BundleError, match="copy it again"):
        unpack(bundle, tmp_path / "there", silent)
    assert list((tmp_path / "there").iterdir()) == []


def test_a_flipped_byte_is_found(bundle: Path, tmp_path: Path) -> None:
    whole = bytearray(bundle.read_bytes())
    whole[whole.index(b"weightsweights") + 100] ^= 1
    bundle.write_bytes(whole)
    with pytest.raises(BundleError, match=r"owner/name/model\.safetensors"):
        verify(bundle, silent)
    with pytest.raises(BundleError, match="copy it again"):
        unpack(bundle, tmp_path / "there", silent)
    assert list((tmp_path / "there").iterdir()) == []


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "a//b"])
def test_a_path_that_leaves_the_folder_is_refused(bundle: Path, tmp_path: Path, name: str) -> None:
    rewritten(bundle, {name: b"x"}, {"format": 1, "models": []})
    with pytest.raises(BundleError, match="do not trust"):
        unpack(bundle, tmp_path / "deep" / "there", silent)
    assert not (tmp_path / "deep" / "evil").exists()


def test_a_link_is_refused(bundle: Path, tmp_path: Path) -> None:
    with tarfile.open(bundle, "w") as tar:
        entry = tarfile.TarInfo("m/config.json")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(entry)
    with pytest.raises(BundleError, match="not a plain file"):
        unpack(bundle, tmp_path / "there", silent)


@pytest.mark.parametrize("name", ["..", "../..", "", "/", "a/.."])
def test_a_model_whose_name_is_no_folder_of_its_own_is_refused(
    bundle: Path, tmp_path: Path, name: str
) -> None:
    there = tmp_path / "deep" / "there"
    there.mkdir(parents=True)
    (there / "mine").write_text("kept")
    listed = {"name": name, "source": "", "files": []}
    rewritten(bundle, {}, {"format": 1, "models": [listed]})
    with pytest.raises(BundleError, match="do not trust"):
        unpack(bundle, there, silent, replace=True)
    assert (there / "mine").read_text() == "kept"


def test_an_invalid_manifest_is_refused(bundle: Path) -> None:
    rewritten(bundle, {}, {"format": 1, "models": [{"name": "x"}]})
    with pytest.raises(BundleError, match="an invalid manifest"):
        verify(bundle, silent)


def test_a_bundle_of_the_future_is_refused(bundle: Path) -> None:
    rewritten(bundle, {}, {"format": 2, "gateway": "9.0", "models": []})
    with pytest.raises(BundleError, match=r"format 2.*use the gateway that packed it \(9\.0\)"):
        verify(bundle, silent)


def test_a_model_is_replaced_on_request_only(bundle: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    unpack(bundle, there, silent)
    changed = there / "owner" / "name" / "config.json"
    changed.write_text("mine")
    with pytest.raises(BundleError, match="--replace"):
        unpack(bundle, there, silent)
    assert changed.read_text() == "mine"
    unpack(bundle, there, silent, replace=True)
    assert changed.read_text() == "{}"


def test_the_commands_from_end_to_end(tmp_path: Path) -> None:
    bundle, there = tmp_path / "bundle.tar", tmp_path / "there"
    packed = gateway("pack", "embedded:bert", "-o", str(bundle), "--json")
    assert packed.returncode == 0, packed.stderr
    (model,) = json.loads(packed.stdout)["models"]
    assert model["name"] == "embedded-bert"
    assert model["bytes"] > 1_000_000
    assert gateway("unpack", str(bundle), "--check").returncode == 0
    done = gateway("unpack", str(bundle), "--to", str(there))
    assert done.returncode == 0
    assert f'source = "{there / "embedded-bert"}"' in done.stdout
    ranked = gateway(
        "rerank",
        "--model",
        f"m={there / 'embedded-bert'}",
        "-q",
        "capital of France",
        "-d",
        "Bread is baked.",
        "-d",
        "Paris is the capital of France.",
        "--format",
        "json",
    )
    assert ranked.returncode == 0, ranked.stderr


def test_a_missing_model_is_refused(tmp_path: Path) -> None:
    done = gateway("pack", "owner/nothing", "-o", str(tmp_path / "b.tar"), HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert "gateway download owner/nothing" in done.stderr
    assert not (tmp_path / "b.tar").exists()


def test_a_folder_without_safe_weights_is_refused(tmp_path: Path, model: Path) -> None:
    (model / "model.safetensors").unlink()
    done = gateway("pack", str(model), "-o", str(tmp_path / "b.tar"))
    assert done.returncode == 1
    assert "no *.safetensors" in done.stderr


def test_a_bundle_that_cannot_be_written_is_named(tmp_path: Path, model: Path) -> None:
    done = gateway("pack", str(model), "-o", str(tmp_path / "missing" / "b.tar"))
    assert done.returncode == 73
    assert str(tmp_path / "missing" / "b.tar") in done.stderr


def test_a_missing_bundle_is_named(tmp_path: Path) -> None:
    done = gateway("unpack", str(tmp_path / "b.tar"))
    assert done.returncode == 1
    assert str(tmp_path / "b.tar") in done.stderr
