"""The file of keys: read whole, checked, replaced in one step.

A user who can write the file can admit any client, so a file that all users of the machine can
write is refused. A file that they can read causes a warning only: the hashes reveal no key (see the
package).
"""

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.config import ConfigError, Problem, Settings, model_name, read_text, reading
from gateway.http.keys.key import Key
from gateway.http.keys.ring import KeyRing
from gateway.http.keys.text import parse

_NEW_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a file, and warnings about the file."""

    ring: KeyRing
    warnings: tuple[str, ...] = ()


def read_keys(path: Path) -> Keys:
    """Return the keys of a file, for a gateway to authenticate with.

    Raises:
        ConfigError: the file cannot be read, is not safe, is not valid, or has no keys.
    """
    try:
        keys = KeyFile(path).read()
    except FileNotFoundError:
        raise _error(path, "is not there", f"Make a first key: {_make(path)}") from None
    with reading(path):
        mode = path.stat().st_mode
    if mode & stat.S_IWOTH:
        raise _error(
            path,
            f"can be written by all users of this machine (mode {stat.S_IMODE(mode):04o})",
            f"chmod 0640 {path}, and check whose keys are in it",
        )
    if not keys:
        raise _error(
            path, "has no keys, so every request would be refused", f"Make one: {_make(path)}"
        )
    return Keys(KeyRing(keys), tuple(_warnings(path, mode)))


def keys_of(settings: Settings) -> Keys | None:
    """Return the keys of the settings; `None` if no file of keys is configured.

    Raises:
        ConfigError: as `read_keys`.
    """
    if settings.keys_file is None:
        return None
    found = read_keys(settings.keys_file)
    unknown = [
        f"keys_file: key {key.id} is for model {name!r}, which is not served"
        for key in found.ring.keys
        for name in key.models
        if model_name(settings.models, name) is None
        and name not in {*settings.splits, *settings.cascades}
    ]
    return Keys(found.ring, (*found.warnings, *unknown))


class KeyFile:
    """A file of keys, as `gateway key` uses it; it may not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[Key, ...]:
        """Return its keys.

        Raises:
            FileNotFoundError: it does not exist.
            ConfigError: it cannot be read, or is not valid.
        """
        return self._checked(self._text())

    def change(self, edit: Callable[[str], str]) -> None:
        """Replace its text in one step, if the result is valid; one change at a time.

        Raises:
            ConfigError: the current text, or the one that `edit` returns, is not valid.
            OSError: the file cannot be written.
        """
        target = self.path.resolve()
        with _locked(target.parent):
            try:
                text = self._text()
            except FileNotFoundError:
                text = ""
            self._checked(text)
            new = edit(text)
            self._checked(new)
            _replace(target, new)

    def _text(self) -> str:
        try:
            return read_text(self.path)
        except FileNotFoundError:
            raise
        except OSError as error:
            reason = f"cannot be read ({error.strerror})"
            raise _error(self.path, reason, "Check the path and its permissions") from None
        except UnicodeDecodeError as error:
            reason = f"is not UTF-8 ({error.reason})"
            raise _error(self.path, reason, "Save the file as UTF-8") from None

    def _checked(self, text: str) -> tuple[Key, ...]:
        keys, problems = parse(text)
        if problems:
            raise ConfigError([problem.at(str(self.path)) for problem in problems])
        return tuple(keys)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock the folder, so that two processes cannot undo each other's change."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(target: Path, text: str) -> None:
    """Replace a file by a text; readers see the old file or the new one, never a part."""
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            _copy_mode_and_owner(target, descriptor)
            os.fsync(descriptor)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _copy_mode_and_owner(target: Path, descriptor: int) -> None:
    """Give the new file the mode and, if permitted, the owner of the old one."""
    try:
        old = target.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, _NEW_MODE)
        return
    with contextlib.suppress(PermissionError):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _warnings(path: Path, mode: int) -> Iterator[str]:
    if mode & stat.S_IROTH:
        yield (
            f"keys_file: all users of this machine can read {path} (mode "
            f"{stat.S_IMODE(mode):04o}): whose keys there are and what they allow; chmod 0640"
        )


def _make(path: Path) -> str:
    return f"gateway key new NAME --keys-file {path}"


def _error(path: Path, message: str, remedy: str) -> ConfigError:
    return ConfigError([Problem(path=(), message=message, remedy=remedy, origin=str(path))])
