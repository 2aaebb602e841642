"""Compiles the kernels when the package is built or installed, see `shards/native/build.py`.

A wheel has the files of `gateway files` as well.

A machine without a compiler gets a package without kernels. That package computes the same, slower,
and reports the lack.
"""

import runpy
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Kernels(BuildHookInterface[Any]):
    """Puts the compiled library into a wheel, which is then for one kind of machine."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files of the wheel are collected, and add those of other folders."""
        if version == "standard":  # an editable one has them in the checkout
            build_data["force_include"].update(self.config["files"])
        build = runpy.run_path(str(Path(self.root, "shards", "native", "build.py")))
        if build["main"]() == 0 and version == "standard":
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["artifacts"].append("shards/native/kernels.so")
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{platform}"
