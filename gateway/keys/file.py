"""The file of keys: read whole, checked, written in one step.

Who can write the file can let anybody in, so one that all users of the machine can write is refused.
That they can read it is worth a warning and no more: the hashes give no key away (see the package).
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

from gateway.config import ConfigError, Problem, Settings
from gateway.keys.key import Key
from gateway.keys.ring import KeyRing
from gateway.keys.text import parse

_NEW_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Keys:
    """What a file says, and what should be known about it."""

    ring: KeyRing
    warnings: tuple[str, ...] = ()


def read_keys(path: Path) -> Keys:
    """Return the keys that a gateway is to ask for.

    Raises:
        ConfigError: the file cannot be read, is not safe, has anything wrong in it, or no keys.
    """
    try:
        keys = KeyFile(path).read()
    except FileNotFoundError:
        raise _error(path, "is not there", f"Make a first key: {_make(path)}") from None
    mode = path.stat().st_mode
    if mode & stat.S_IWOTH:
        raise _error(
            path,
            f"can be written by everybody on this machine (mode {stat.S_IMODE(mode):04o})",
            f"chmod 0640 {path}, and look whose keys are in it",
        )
    if not keys:
        raise _error(path, "has no keys, so nobody could get in", f"Make one: {_make(path)}")
    return Keys(KeyRing(keys), tuple(_warnings(path, mode)))


def keys_of(settings: Settings) -> Keys | None:
    """Return the keys that settings want to be asked for; `None` if they want none.

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
        if settings.model_name(name) is None and name not in settings.splits
    ]
    return Keys(found.ring, (*found.warnings, *unknown))


class KeyFile:
    """A file of keys, as `gateway key` uses it; it need not be there yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> tuple[Key, ...]:
        """Return its keys.

        Raises:
            FileNotFoundError: it is not there.
            ConfigError: it cannot be read, or has anything wrong in it.
        """
        return self._checked(self._text())

    def change(self, edit: Callable[[str], str]) -> None:
        """Replace its text in one step, if what comes out is fine; one change at a time.

        Raises:
            ConfigError: what is there, or what `edit` returns, has anything wrong in it.
            OSError: it cannot be written.
        """
        target = self.path.resolve()
        with _alone(target.parent):
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
            return self.path.read_text(encoding="utf-8")
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
            raise ConfigError([one.at(str(self.path)) for one in problems])
        return tuple(keys)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder, so that of two who change a file in it none undoes the other's change."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(target: Path, text: str) -> None:
    """Put a text in the place of a file; readers see the old one or the new one, never a part."""
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            _take_after(target, descriptor)
            os.fsync(descriptor)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _take_after(target: Path, descriptor: int) -> None:
    """Give the new file the mode and, if we may, the owner of the old one."""
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
            f"keys_file: everybody on this machine can read {path} (mode "
            f"{stat.S_IMODE(mode):04o}): whose keys there are and what they may; chmod 0640"
        )


def _make(path: Path) -> str:
    return f"gateway key new NAME --keys-file {path}"


def _error(path: Path, message: str, remedy: str) -> ConfigError:
    return ConfigError([Problem(path=(), message=message, remedy=remedy, origin=str(path))])
