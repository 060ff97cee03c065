"""numba's ``njit`` with a cache of machine code that is never stale.

numba keeps machine code by the source of the kernel's own file; a kernel is made of other files too. Here it is kept by
all that it is made of: the texts of its module and of every module of the project that this one imports, however far
away; the versions of Python, numba, llvmlite and numpy; numba's settings that change code. So nothing has to be removed
after an update. What was compiled for another processor is kept under a name of its own.

    <root>/<module>-<digest>/<kernel>-<line>-<signature, processor and bytecode>.py311.nbi|.nbc

``root`` is ``NUMBA_CACHE_DIR``, or else ``__pycache__/kernels`` beside this file; what cannot be written there goes to
the user's cache folder, and is looked for in both. Files are numba's own (pickles: whoever can write the folder can run
code, as with ``.pyc`` files), replaced as a whole, so that processes may share a folder. Folders that nobody
used for ``KEEP_S`` are removed when another is made.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import shutil
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError  # the name of an error, nothing is read by us
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core import config
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, _CacheLocator
from numba.misc.appdirs import AppDirs

HERE = Path(__file__).parent
DOMAIN = HERE.parent / "domain"
Stamp = tuple[int, int]
"""Time of change in ns and size in bytes of a file."""
KEEP_S = 30 * 86400
"""Seconds for which machine code that nobody uses is kept."""
TOUCH_S = 86400
"""Seconds after which a folder in use is marked as used again."""
SETTINGS = ("OPT", "BOUNDSCHECK", "LOOP_VECTORIZE", "SLP_VECTORIZE", "DEBUGINFO_DEFAULT")
"""Settings of numba that change machine code and that it does not look at itself."""
_SAID: list[str] = []
_IMPORT = re.compile(rb"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+)?import[ \t]+(\([^)]*\)|[^\n]*)", re.MULTILINE)


def njit(*, cache: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return numba's ``njit(**options)``; with ``cache``, machine code is kept on disk as described above."""

    def decorate(function: Any) -> Any:
        kernel: Any = numba.njit(**options)(function)
        if cache and not config.DISABLE_JIT and is_known(Path(function.__code__.co_filename)):
            kernel._cache = KernelCache(function)  # noqa: SLF001  # what numba's enable_caching does
        return kernel

    return decorate


@functools.cache
def stamps() -> dict[Path, Stamp]:
    """Return the files that a kernel may be made of, as they were when this process first asked."""
    return {path: _stamp(path) for folder in (HERE, DOMAIN) for path in sorted(folder.rglob("*.py"))}


def _stamp(path: Path) -> Stamp:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


@functools.cache
def made_of(file: Path) -> dict[Path, bytes]:
    """Return the files that ``file`` is made of, itself included, and their texts.

    Every word of an import that is the name of a file counts: it is better to compile once too often.
    """
    named: dict[bytes, set[Path]] = defaultdict(set)
    for path in stamps():
        named[(path.parent.name if path.stem == "__init__" else path.stem).encode()].add(path)
    found, todo = {}, [file]
    while todo:
        path = todo.pop()
        if path not in found:
            found[path] = path.read_bytes()
            for match in _IMPORT.finditer(found[path]):
                for word in set(re.findall(rb"\w+", match[0])):
                    todo += named.get(word, ())
    return {path: found[path] for path in sorted(found)}


def is_known(file: Path) -> bool:
    """Tell whether ``file`` may be kept: one of the package, made of what lay on the disk when this process began.

    A process that outlives an update may hold some modules from before it and some from after: what it compiles from
    the two is not for others.
    """
    if file.parent != HERE or file not in stamps():
        return False
    try:
        return all(_stamp(path) == stamps()[path] for path in made_of(file))
    except FileNotFoundError:
        return False


@functools.cache
def digest(file: Path) -> str:
    """Return the digest of all that kernels of ``file`` are made of."""
    versions = (sys.version_info[:3], numba.__version__, llvmlite.__version__, np.__version__)
    total = hashlib.sha256(repr((versions, [getattr(config, name) for name in SETTINGS])).encode())
    for path, text in made_of(file).items():
        total.update(f"\n{path.relative_to(HERE.parent)} {len(text)}\n".encode() + text)
    return total.hexdigest()[:16]


def folders(file: Path) -> list[Path]:
    """Return the folders in which machine code of ``file`` is looked for; the first that can be written gets it."""
    first = Path(config.CACHE_DIR) / "splat_pipeline" if config.CACHE_DIR else HERE / "__pycache__" / "kernels"
    second = Path(AppDirs("splat_pipeline", appauthor=False).user_cache_dir) / "kernels"
    return [root / f"{file.stem}-{digest(file)}" for root in (first, second)]


def _open(folder: Path) -> None:
    """Make ``folder`` and remove those beside it that nobody has used for long."""
    if folder.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for other in folder.parent.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process removes the same
            if re.fullmatch(r"\w+-[0-9a-f]{16}", other.name) and time.time() - other.stat().st_mtime > KEEP_S:
                shutil.rmtree(other)


def _mark(folder: Path) -> None:
    """Say that ``folder`` is in use."""
    with contextlib.suppress(OSError):  # a folder that only others may write is theirs to keep
        if time.time() - folder.stat().st_mtime > TOUCH_S:
            os.utime(folder)


def _warn(why: str) -> None:
    """Say once a process why kernels are not kept."""
    if _SAID:
        return
    _SAID.append(why)
    warnings.warn(
        f"compiled kernels cannot be kept ({why}): every process will spend half a minute on compiling them; "
        "set NUMBA_CACHE_DIR to a folder that can be written",
        stacklevel=2,
    )


@dataclass(frozen=True, kw_only=True)
class KeyedFiles:
    """Fulfils numba's ``IndexDataCacheFile`` with an index of its own for every key.

    In numba's one index for all signatures of a kernel, two processes that compile two signatures at once may give both
    the same number and, in the end, one the machine code of the other.
    """

    folders: list[Path]
    base: str

    def _files(self, key: Any) -> Iterator[IndexDataCacheFile]:
        name = f"{self.base}-{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}"
        for folder in self.folders:
            yield IndexDataCacheFile(str(folder), name, source_stamp=folder.name)

    def load(self, key: Any) -> Any:
        """Return what was saved for ``key``, None if there is nothing that can be read."""
        for folder, file in zip(self.folders, self._files(key), strict=True):
            # A file that a crash of the machine left empty counts as none, like one that only others may read.
            with contextlib.suppress(OSError, EOFError, UnpicklingError):
                data = file.load(key)
                if data is not None:
                    _mark(folder)
                    return data
        return None

    def save(self, key: Any, data: Any) -> None:
        """Keep ``data`` for ``key``."""
        reasons = []
        for folder, file in zip(self.folders, self._files(key), strict=True):
            try:
                _open(folder)
                file.save(key, data)
            except OSError as error:
                reasons.append(str(error))
            else:
                return
        _warn("; ".join(reasons))

    def flush(self) -> None:
        """Forget what was saved for any key."""
        for folder in self.folders:
            for file in folder.glob(f"{self.base}-*"):
                file.unlink(missing_ok=True)


class _Locator(_CacheLocator):
    """Says where a kernel's files lie, and touches nothing yet: an import shall not write."""

    def __init__(self, py_func: Any, py_file: str) -> None:
        self._py_file, self._line = py_file, py_func.__code__.co_firstlineno
        self.folders = folders(Path(py_file))

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> _Locator:
        return cls(py_func, py_file)

    def ensure_cache_path(self) -> None:
        """Leave it to ``KeyedFiles``, which may have to write elsewhere."""

    def get_cache_path(self) -> str:
        return str(self.folders[0])

    def get_source_stamp(self) -> str:
        return self.folders[0].name

    def get_disambiguator(self) -> str:
        return str(self._line)


class _Impl(CompileResultCacheImpl):
    _locator_classes = [_Locator]  # noqa: RUF012  # as numba has it


class KernelCache(FunctionCache):
    """Keeps the machine code of one kernel."""

    _impl_class = _Impl

    def __init__(self, py_func: Any) -> None:
        """Write and read nothing yet."""
        super().__init__(py_func)
        self._cache_file = KeyedFiles(folders=self._impl.locator.folders, base=self._impl.filename_base)
