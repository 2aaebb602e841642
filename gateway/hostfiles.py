"""The files in which Linux tells of the machine and of our cgroup, below a root that tests can make.

What cannot be read says nothing: a kernel without the file, a container that hides it, another system.
"""

from pathlib import Path


def read_text(file: Path) -> str:
    """Return what a file says, without white space around it; empty where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def groups(root: Path) -> dict[str, str]:
    """Return our cgroups: the path, without its first slash, by controller; v2's is `""`."""
    found = {}
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        found.update(dict.fromkeys(controllers.split(","), path.lstrip("/")))
    return found


def group_folders(root: Path) -> tuple[Path, ...]:
    """Return the folder of our cgroup (v2) and those above it: a limit of each of them holds.

    Inside a container our group is the root of what is mounted, so the path in /proc leads nowhere,
    and the root is among those above.
    """
    group = root / "sys/fs/cgroup" / groups(root).get("", "")
    return (group, *group.parents)
