"""Memory near the cores: which nodes a shard takes its memory from.

A page lies on the node of the core that first writes it, as long as that node has room; but a model's
file may already lie in the page cache of another node, and a full node makes the kernel go elsewhere
in silence. So a pinned shard asks for its own nodes by set_mempolicy(2). It prefers and does not
insist: with MPOL_BIND a full node would end the shard while the machine has memory left.
"""

import ctypes
import platform
from collections.abc import Sequence

_SET_MEMPOLICY = {"x86_64": 238, "aarch64": 237}
_PREFERRED, _PREFERRED_MANY = 1, 5  # the second since Linux 5.15
_MOST_NODES = 1024


def prefer_memory_of(nodes: Sequence[int]) -> str:
    """Take memory from these nodes while they have some; return why that cannot be, or nothing."""
    call = _SET_MEMPOLICY.get(platform.machine())
    if call is None or platform.system() != "Linux":
        return f"no memory policy on {platform.system()} {platform.machine()}"
    if max(nodes) >= _MOST_NODES:
        return f"memory node {max(nodes)} is beyond the {_MOST_NODES} that are known here"
    mask = (ctypes.c_ulong * (_MOST_NODES // 64))()
    for node in nodes:
        mask[node // 64] |= 1 << (node % 64)
    libc = ctypes.CDLL(None, use_errno=True)
    policy = _PREFERRED if len(nodes) == 1 else _PREFERRED_MANY
    if libc.syscall(call, policy, ctypes.byref(mask), ctypes.c_ulong(_MOST_NODES + 1)) == 0:
        return ""
    return f"set_mempolicy: {ctypes.get_errno()} for nodes {', '.join(map(str, nodes))}"
