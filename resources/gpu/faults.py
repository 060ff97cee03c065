"""What went wrong on the device, as errors of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from splat_pipeline.domain.errors import DriverLost, OutOfMemory

NO_ROOM = re.compile(r"out of memory|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED", re.IGNORECASE)
LOST = re.compile(
    r"CUDA error|CUDA driver|device-side assert|illegal memory access|launch failure|ECC|no CUDA-capable|Xid",
    re.IGNORECASE,
)


@contextmanager
def classified(what: str) -> Iterator[None]:
    """Raise ``OutOfMemory`` or ``DriverLost`` for what the device says inside. ``what``: to do what, in words."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(f"no GPU memory {what}: {_first_line(error)}") from error
    except MemoryError as error:
        raise OutOfMemory(f"no memory {what}") from error
    except RuntimeError as error:
        if NO_ROOM.search(str(error)):
            raise OutOfMemory(f"no GPU memory {what}: {_first_line(error)}") from error
        if LOST.search(str(error)):
            raise DriverLost(f"the GPU gave up where it was asked {what}: {_first_line(error)}") from error
        raise


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
