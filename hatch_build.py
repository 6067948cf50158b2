"""Compile the core while a wheel is built.

What runs per order (``ROOMS``) is plain typed Python, and mypyc compiles it as it is. Where that cannot
be done, because there is no C compiler, say, the wheel holds it as Python: the same results, byte for
byte, but slower. pip shows the reason on ``-v`` only; ``exchange --version`` tells which core runs.

``EXCHANGE_COMPILE=1`` makes it an error when they cannot be compiled, ``EXCHANGE_COMPILE=0`` leaves them
as they are. An editable install (``pip install -e``) is compiled only on ``EXCHANGE_COMPILE=1``, in place:
it must be done anew after every change, or the change has no effect.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOMS = (
    "exchange/ledger",
    "exchange/mechanisms",
    "exchange/engine",
    "exchange/views",
    "exchange/adapters/gateway.py",
    "exchange/daemon/host.py",
)
GROUP = "exchange_core"
"""Names the one shared library behind the modules."""

PROBE = "#include <Python.h>\nPyMODINIT_FUNC PyInit_probe(void) { return NULL; }\n"
"""Next to nothing, which compiles where the core does."""

CHOICES = ("", "0", "1")


class CompileCore(BuildHookInterface[Any]):
    """Put compiled modules into the wheel, beside their sources."""

    _scratch: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the wheel is put together."""
        choice = os.environ.get("EXCHANGE_COMPILE", "")
        if choice not in CHOICES:
            message = f"EXCHANGE_COMPILE is {choice!r}; set it to 1 (must compile), 0 (must not) or not at all"
            raise ValueError(message)
        root = Path(self.root)
        is_editable = version == "editable"
        if is_editable:
            # What an earlier install left would hide the sources.
            remove_compiled(root)
        if choice == "0" or (is_editable and choice != "1"):
            return
        # It lives until the wheel is put together.
        self._scratch = tempfile.TemporaryDirectory(prefix="exchange-core-")
        target = Path(self._scratch.name)
        try:
            modules = compile_core(root, target)
        except (Exception, SystemExit) as error:
            # A compiler can fail in any way, and mypyc exits.
            if choice == "1":
                raise
            self.app.display_warning(f"the core stays interpreted, since it could not be compiled: {error!r}")
            return
        for module in modules:
            path = module.relative_to(target)
            if is_editable:
                shutil.copy2(module, root / path)
            else:
                build_data["force_include"][str(module)] = str(path)
        build_data["pure_python"] = is_editable
        build_data["infer_tag"] = not is_editable

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Drop what was compiled: the wheel holds it now."""
        del version, build_data, artifact_path
        if self._scratch is not None:
            self._scratch.cleanup()


def compile_core(root: Path, target: Path) -> list[Path]:
    """Compile the rooms below ``root`` into ``target``; return the modules that were made."""
    from mypyc.build import mypycify
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    class ParallelBuild(build_ext):
        """Compile as many files at once as there are processors."""

        def build_extensions(self) -> None:
            compile_all = self.compiler.compile

            def compile_each(files: list[str], **options: Any) -> list[str]:
                with ThreadPoolExecutor(os.cpu_count()) as pool:
                    compiled = pool.map(lambda file: compile_all([file], **options), files)
                    return [name for names in compiled for name in names]

            self.compiler.compile = compile_each
            super().build_extensions()

    scratch = str(target / "build")

    def build(extensions: list[Any]) -> None:
        # Nothing is read from the project's own configuration: this builds modules, not a package.
        known = {"name": "exchange", "ext_modules": extensions, "cmdclass": {"build_ext": ParallelBuild}}
        command = Distribution(known).get_command_obj("build_ext")
        command.build_lib, command.build_temp = str(target), scratch
        command.ensure_finalized()
        command.run()

    before = Path.cwd()
    os.chdir(root)
    try:
        sources = [str(path) for room in ROOMS for path in find_sources(Path(room))]
        # Mypyc works for a minute before it asks for a C compiler; without one that is in vain.
        probe = target / "probe.c"
        probe.write_text(PROBE)
        build([Extension("probe", [str(probe)])])
        # What the other rooms import need not be installed yet.
        options = ["--follow-imports=silent", "--ignore-missing-imports"]
        # As a file per module, which several processors can share: one file of all takes minutes more.
        extensions = mypycify(
            [*options, *sources],
            opt_level="3",
            debug_level="0",
            multi_file=True,
            group_name=GROUP,
            target_dir=scratch,
        )
        for extension in extensions:
            if os.name == "posix":
                # Calls within the library need not go through its table of symbols.
                extension.extra_compile_args.append("-fvisibility=hidden")
            if sys.platform == "linux":
                # The linker inlines over the borders of files, with as many processes as there are processors.
                extension.extra_compile_args.append("-flto")
                extension.extra_link_args.extend(["-O3", "-flto=auto"])
        build(extensions)
    finally:
        os.chdir(before)
    shutil.rmtree(scratch)
    modules = [path for path in target.rglob("*") if path.suffix in {".so", ".pyd"}]
    return sorted(path for path in modules if path.name.partition(".")[0] != "probe")


def find_sources(room: Path) -> list[Path]:
    """Return the modules of a room, which may be a single one."""
    return sorted(room.rglob("*.py")) if room.is_dir() else [room]


def remove_compiled(root: Path) -> None:
    """Delete the modules that an earlier editable install compiled in place."""
    for suffix in (".so", ".pyd"):
        for path in [*(root / "exchange").rglob(f"*{suffix}"), *root.glob(f"{GROUP}__mypyc*{suffix}")]:
            path.unlink()
