"""The pair of certificate and key: whatever is wrong with it is named, and nobody is asked for more."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config import ConfigError, Settings, TlsSettings
from gateway.config.load import load
from gateway.editions import without_effect
from gateway.tls import Tls, check_pair
from tests.certificates import make_pair


def test_a_pair_is_fine(tmp_path: Path) -> None:
    certificate, key = make_pair(tmp_path, "a")
    settings = TlsSettings(certificate=certificate, key=key, minimum_version="1.3")
    check_pair(settings)
    assert Tls(settings).context.minimum_version is ssl.TLSVersion.TLSv1_3
    check_pair(TlsSettings())


def _other_key(folder: Path) -> tuple[Path, Path]:
    return make_pair(folder, "a")[0], make_pair(folder, "b")[1]


def _no_certificate(folder: Path) -> tuple[Path, Path]:
    return folder / "none.pem", make_pair(folder, "a")[1]


def _no_key(folder: Path) -> tuple[Path, Path]:
    return make_pair(folder, "a")[0], folder / "none.key"


def _swapped(folder: Path) -> tuple[Path, Path]:
    certificate, key = make_pair(folder, "a")
    return key, certificate


def _folder(folder: Path) -> tuple[Path, Path]:
    return folder, make_pair(folder, "a")[1]


def _cut(folder: Path) -> tuple[Path, Path]:
    certificate, key = make_pair(folder, "a")
    certificate.write_text(certificate.read_text()[:200])
    return certificate, key


def _encrypted(folder: Path) -> tuple[Path, Path]:
    return make_pair(folder, "a", "-passout", "pass:secret")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_other_key, ["tls.key: ", "b.key does not belong to the certificate"]),
        (_no_certificate, ["tls.certificate: ", "none.pem cannot be read (No such file"]),
        (_no_key, ["tls.key: ", "none.key cannot be read (No such file"]),
        (_swapped, ["tls.certificate: ", "tls.key: ", "a.key has no certificate in PEM form"]),
        (_folder, ["tls.certificate: ", "cannot be read (Is a directory)"]),
        (_cut, ["tls.certificate: ", "a.pem and", "cannot be used"]),
        (_encrypted, ["tls.key: ", "a.key is encrypted"]),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, make: Callable[[Path], tuple[Path, Path]], words: list[str]
) -> None:
    certificate, key = make(tmp_path)
    with pytest.raises(ConfigError) as found:
        check_pair(TlsSettings(certificate=certificate, key=key))
    for word in words:
        assert word in str(found.value)


@pytest.mark.parametrize("given", ["certificate", "key"])
def test_half_a_pair_is_refused(given: str, tmp_path: Path) -> None:
    (file := tmp_path / "gateway.toml").write_text(f'[tls]\n{given} = "x.pem"\n')
    with pytest.raises(ConfigError, match="the other half of the pair is there"):
        load(file)


def test_files_are_seen_from_the_configuration(tmp_path: Path) -> None:
    text = 'admin_socket = "run/admin.sock"\n[tls]\ncertificate = "tls/a.pem"\nkey = "/b.key"\n'
    (file := tmp_path / "gateway.toml").write_text(text)
    settings = load(file)
    assert settings.tls.certificate == tmp_path / "tls" / "a.pem"
    assert settings.tls.key == Path("/b.key")
    assert settings.admin_socket == tmp_path / "run" / "admin.sock"


def test_another_pair_is_reloaded_and_everything_else_about_tls_is_not() -> None:
    def settings(name: str | None, version: str = "1.2") -> Settings:
        pair = {"certificate": f"/{name}.pem", "key": f"/{name}.key"} if name else {}
        return Settings.model_validate({"tls": {**pair, "minimum_version": version}})

    assert without_effect(settings("a"), settings("b")) == ()
    assert without_effect(settings("a"), settings("b", "1.3")) == ("tls.minimum_version",)
    assert without_effect(settings("a"), settings(None)) == ("tls.certificate", "tls.key")
    assert without_effect(settings(None), settings("a")) == ("tls.certificate", "tls.key")
