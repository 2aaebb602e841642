"""The pair of certificate and key: its problems are named, and no password is asked for."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config import ConfigError, Settings, TlsSettings
from gateway.config.load import load
from gateway.http.tls import Tls, check_pair
from gateway.serving.revisions import without_effect
from tests.certificates import make_expired_pair, make_pair


def test_a_valid_pair_is_loaded(tmp_path: Path) -> None:
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
def test_each_problem_is_named(
    tmp_path: Path, make: Callable[[Path], tuple[Path, Path]], words: list[str]
) -> None:
    certificate, key = make(tmp_path)
    with pytest.raises(ConfigError) as found:
        check_pair(TlsSettings(certificate=certificate, key=key))
    for word in words:
        assert word in str(found.value)


def test_a_certificate_that_has_expired_is_warned_of(tmp_path: Path) -> None:
    certificate, key = make_expired_pair(tmp_path, "old")
    (warning,) = check_pair(TlsSettings(certificate=certificate, key=key))
    assert "old.pem has expired; clients that check it refuse the connection" in warning
    certificate, key = make_pair(tmp_path, "new")
    assert check_pair(TlsSettings(certificate=certificate, key=key)) == ()


def test_a_renewal_is_refused_if_its_certificate_has_expired(tmp_path: Path) -> None:
    """The one in effect stays, even if it has expired, too: other changes need the reload."""
    certificate, key = make_expired_pair(tmp_path, "old")
    tls = Tls(TlsSettings(certificate=certificate, key=key))
    _, warnings = tls.renewal(TlsSettings(certificate=certificate, key=key))
    assert "old.pem has expired" in warnings[0]
    certificate, key = make_expired_pair(tmp_path, "new")
    with pytest.raises(ConfigError, match=r"new\.pem has expired"):
        tls.renewal(TlsSettings(certificate=certificate, key=key))


@pytest.mark.parametrize("given", ["certificate", "key"])
def test_half_a_pair_is_refused(given: str, tmp_path: Path) -> None:
    (file := tmp_path / "gateway.toml").write_text(f'[tls]\n{given} = "x.pem"\n')
    with pytest.raises(ConfigError, match="the other half of the pair is there"):
        load(file)


def test_paths_are_relative_to_the_configuration_file(tmp_path: Path) -> None:
    text = 'admin_socket = "run/admin.sock"\n[tls]\ncertificate = "tls/a.pem"\nkey = "/b.key"\n'
    (file := tmp_path / "gateway.toml").write_text(text)
    settings = load(file)
    assert settings.tls.certificate == tmp_path / "tls" / "a.pem"
    assert settings.tls.key == Path("/b.key")
    assert settings.admin_socket == tmp_path / "run" / "admin.sock"


def test_only_the_pair_is_reloaded_of_the_tls_settings() -> None:
    def settings(name: str | None, version: str = "1.2") -> Settings:
        pair = {"certificate": f"/{name}.pem", "key": f"/{name}.key"} if name else {}
        return Settings.model_validate({"tls": {**pair, "minimum_version": version}})

    assert without_effect(settings("a"), settings("b")) == ()
    assert without_effect(settings("a"), settings("b", "1.3")) == ("tls.minimum_version",)
    assert without_effect(settings("a"), settings(None)) == ("tls.certificate", "tls.key")
    assert without_effect(settings(None), settings("a")) == ("tls.certificate", "tls.key")
