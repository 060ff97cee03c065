"""Which GPU a training takes, where there are several: one that no other training of this machine has."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import torch


def emptiest_first() -> list[int]:
    """Return the numbers of all GPUs, that with the most free memory first."""
    count = torch.cuda.device_count()
    return sorted(range(count), key=lambda number: -torch.cuda.mem_get_info(number)[0])


@contextmanager
def taken(numbers: list[int], folder: Path | None = None) -> Iterator[Any]:
    """Give the first device of ``numbers`` that nobody has locked, locked; the first of all where all are.

    How many train at a time is for the pool ``gpu`` to say; locks only spread them. ``folder``: of the lock files.
    """
    with ExitStack() as stack:
        for number in numbers:
            file = stack.enter_context(((folder or Path(tempfile.gettempdir())) / f"splat-gpu-{number}.lock").open("a"))
            if _lock(file):
                yield torch.device("cuda", number)
                return
        yield torch.device("cuda", numbers[0])


def _lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
