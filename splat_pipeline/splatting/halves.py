"""Sixteen bfloat16 at a time: the upper halves of float32, kept as uint16, and how numbers are rounded to them.

See lanes.py. ``Noise`` is a numba type of sixteen integers that are added to the bits before the lower halves are cut.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

from splat_pipeline.splatting.lanes import LANES, VECTOR, WIDTH, shuffle

WHOLE = ir.VectorType(ir.IntType(32), WIDTH)
HALVES = ir.VectorType(ir.IntType(16), WIDTH)


class NoiseType(types.Type):
    """Sixteen integers of 32 bits."""


NOISE = NoiseType("Noise")


@register_model(NoiseType)
class _NoiseModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, WHOLE)


@intrinsic
def load_half(_typing: Any, array: Any, _at: Any) -> Any:
    """Return the sixteen bfloat16 (the upper halves of float32) of ``array``, of uint16, from ``at`` on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.bitcast(builder.gep(data, [args[1]]), HALVES.as_pointer())
        wide = builder.zext(builder.load(place, align=2), WHOLE)
        return builder.bitcast(builder.shl(wide, ir.Constant(WHOLE, [16] * WIDTH)), VECTOR)

    return LANES(array, types.int64), generate


@intrinsic
def store_half(_typing: Any, array: Any, _at: Any, _value: Any, _noise: Any) -> Any:
    """Write Lanes, with a noise of integers below 2^16 added to their bits, as bfloat16 to ``array`` of uint16.

    Noise of 2^15 rounds to the nearest; evenly distributed noise rounds up as often as keeps the mean.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.bitcast(builder.gep(data, [args[1]]), HALVES.as_pointer())
        raised = builder.add(builder.bitcast(args[2], WHOLE), args[3])
        upper = builder.lshr(raised, ir.Constant(WHOLE, [16] * WIDTH))
        builder.store(builder.trunc(upper, HALVES), place, align=2)
        return context.get_dummy_value()

    return types.void(array, types.int64, LANES, NOISE), generate


@intrinsic
def even_noise(_typing: Any) -> Any:
    """Return what rounds to the nearest."""
    return NOISE(), lambda *_: ir.Constant(WHOLE, [1 << 15] * WIDTH)


@intrinsic
def hashed_noise(_typing: Any, _key: Any) -> Any:
    """Return sixteen integers below 2^16 that the int64 ``key`` decides and that look like chance.

    Two rounds of multiply and xor-shift, as in the finaliser of MurmurHash3.
    """

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        def all_lanes(number: int) -> Any:
            return ir.Constant(WHOLE, [number] * WIDTH)

        key = builder.trunc(args[0], ir.IntType(32))
        one = builder.insert_element(ir.Constant(WHOLE, ir.Undefined), key, ir.Constant(ir.IntType(32), 0))
        x = shuffle(builder, one, one, [0] * WIDTH)
        x = builder.add(x, ir.Constant(WHOLE, [lane * 0x9E3779B1 & 0xFFFFFFFF for lane in range(WIDTH)]))
        x = builder.mul(builder.xor(x, builder.lshr(x, all_lanes(15))), all_lanes(0x85EBCA6B))
        x = builder.mul(builder.xor(x, builder.lshr(x, all_lanes(13))), all_lanes(0xC2B2AE35))
        return builder.lshr(x, all_lanes(16))

    return NOISE(types.int64), generate
