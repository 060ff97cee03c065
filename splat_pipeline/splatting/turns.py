"""Sums over sixteen lanes, and squares of numbers turned on their side. See lanes.py."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from splat_pipeline.splatting.lanes import LANES, VECTOR, WIDTH, shuffle, vectors


@intrinsic
def total(_typing: Any, value: Any) -> Any:
    """Return the sum of the lanes, a float32. Its order is LLVM's to choose, and always the same."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType(), VECTOR])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fadd.v{WIDTH}f32")
        return builder.call(function, [ir.Constant(ir.FloatType(), -0.0), *args], fastmath=("reassoc",))

    return types.float32(value), generate


def _half_sums(builder: Any, a: Any, b: Any, step: int) -> Any:
    """Return a vector whose lanes with bit ``step`` unset hold sums of pairs of ``a``, the others of ``b``."""
    low = [lane if not lane & step else WIDTH + lane - step for lane in range(WIDTH)]
    high = [lane + step if not lane & step else WIDTH + lane for lane in range(WIDTH)]
    return builder.fadd(shuffle(builder, a, b, low), shuffle(builder, a, b, high))


@intrinsic
def totals(_typing: Any, values: Any) -> Any:
    """Return Lanes whose lane i is the sum over the lanes of ``values[i]``, a tuple of two to sixteen Lanes."""

    def generate(_context: Any, builder: Any, signature: Any, args: Any) -> Any:
        left = [builder.extract_value(args[0], i) for i in range(len(signature.args[0]))]
        for step in (8, 4, 2, 1):
            left.append(left[-1])
            left = [_half_sums(builder, left[i], left[i + 1], step) for i in range(0, len(left) - 1, 2)]
        turned = [int(f"{lane:04b}"[::-1], 2) for lane in range(WIDTH)]
        return shuffle(builder, left[0], left[0], turned)

    return LANES(values), generate


@intrinsic
def weave(_typing: Any, array: Any, _at: Any) -> Any:
    """Turn four rows of sixteen from ``at`` on in ``array`` into four blocks of 4x4, one after the other; or back."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        first = vectors(builder, context, signature.args[0], *args)
        places = [builder.gep(first, [ir.Constant(ir.IntType(64), i)]) for i in range(4)]
        rows = [builder.load(place, align=4) for place in places]
        for step in (2, 1):
            rows = _swap(builder, rows, step, 4)
        for row, place in zip(rows, places, strict=True):
            builder.store(row, place, align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


def _swap(builder: Any, rows: list[Any], step: int, size: int) -> list[Any]:
    """Swap the off-diagonal quarters of each square of 2 x 2 blocks, ``step`` elements of ``size`` lanes a side."""
    low, high = [], []
    for lane in range(WIDTH):
        upper = bool((lane // size) & step)
        low.append(WIDTH + lane - step * size if upper else lane)
        high.append(WIDTH + lane if upper else lane + step * size)
    out = list(rows)
    for i in range(len(rows)):
        if not i & step:
            out[i] = shuffle(builder, rows[i], rows[i + step], low)
            out[i + step] = shuffle(builder, rows[i], rows[i + step], high)
    return out


@intrinsic
def transpose(_typing: Any, array: Any, _at: Any) -> Any:
    """Turn the sixteen lines of sixteen floats from ``at`` on in ``array`` into sixteen columns, in place."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        first = vectors(builder, context, signature.args[0], *args)
        places = [builder.gep(first, [ir.Constant(ir.IntType(64), i)]) for i in range(WIDTH)]
        rows = [builder.load(place, align=4) for place in places]
        for step in (8, 4, 2, 1):
            rows = _swap(builder, rows, step, 1)
        for row, place in zip(rows, places, strict=True):
            builder.store(row, place, align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64), generate
