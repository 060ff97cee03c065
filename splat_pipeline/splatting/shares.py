"""Work that threads take piece by piece.

numba deals the turns of a ``prange`` out beforehand: the thread with the fuller tiles, or on the busier core, keeps the
others waiting. So the turns of the costly kernels are only workers, which take the next tile from a common counter
until none is left. Which thread does a tile changes nothing in what comes of it.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

WORKERS = 64
"""Turns of a ``prange``: more than there are threads; those that come late find nothing left to do."""


@intrinsic
def take_next(_typing: Any, counter: Any) -> Any:
    """Return ``counter[0]`` (an int64 array of one) and add one to it, as one indivisible step."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.atomic_rmw("add", array.data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(counter), generate
