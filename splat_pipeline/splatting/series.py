"""Functions of sixteen float32 at once: roots, powers, logarithms. See lanes.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from splat_pipeline.splatting.kernels import njit
from splat_pipeline.splatting.lanes import LANES, VECTOR, WIDTH, greater, lesser
from splat_pipeline.splatting.layout import FAST

ONE = np.float32(1)
TWO = np.float32(2)
EXP_MOST, EXP_LEAST = np.float32(88), np.float32(-87)
LOG2_E, LOG_2 = np.float32(np.log2(np.e)), np.float32(np.log(2))
X2, X3, X4, X5, X6 = (np.float32(1 / n) for n in (2, 6, 24, 120, 720))
L3, L5, L7, L9, L11 = (np.float32(2 / n) for n in (3, 5, 7, 9, 11))
_FRACTION, _BIAS = 23, 127
"""How a float32 is made: bits of its fraction, what is added to its exponent."""
_WHOLE = ir.VectorType(ir.IntType(32), WIDTH)


def _unary(name: str) -> Callable[[Any, Any, Any, Any], Any]:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(VECTOR, [VECTOR])
        function = cgutils.get_or_insert_function(builder.module, kind, f"{name}.v{WIDTH}f32")
        return builder.call(function, args)

    return generate


@intrinsic
def root(_typing: Any, value: Any) -> Any:
    """Return the square roots."""
    return LANES(value), _unary("llvm.sqrt")


@intrinsic
def upwards(_typing: Any, value: Any) -> Any:
    """Return the least whole numbers not below."""
    return LANES(value), _unary("llvm.ceil")


@intrinsic
def downwards(_typing: Any, value: Any) -> Any:
    """Return the greatest whole numbers not above."""
    return LANES(value), _unary("llvm.floor")


@intrinsic
def size(_typing: Any, value: Any) -> Any:
    """Return the absolute values."""
    return LANES(value), _unary("llvm.fabs")


@intrinsic
def nearest(_typing: Any, value: Any) -> Any:
    """Return the nearest whole numbers."""
    return LANES(value), _unary("llvm.rint")


@intrinsic
def power_of_two(_typing: Any, value: Any) -> Any:
    """Return 2 to the power of whole numbers between -126 and 127."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        whole = builder.add(builder.fptosi(args[0], _WHOLE), ir.Constant(_WHOLE, [_BIAS] * WIDTH))
        return builder.bitcast(builder.shl(whole, ir.Constant(_WHOLE, [_FRACTION] * WIDTH)), VECTOR)

    return LANES(value), generate


@intrinsic
def parts(_typing: Any, value: Any) -> Any:
    """Return (e, m) with positive ``value`` = 2^e m and m in [1, 2)."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        whole = builder.bitcast(args[0], _WHOLE)
        raised = builder.lshr(whole, ir.Constant(_WHOLE, [_FRACTION] * WIDTH))
        exponent = builder.sitofp(builder.sub(raised, ir.Constant(_WHOLE, [_BIAS] * WIDTH)), VECTOR)
        fraction = builder.and_(whole, ir.Constant(_WHOLE, [(1 << _FRACTION) - 1] * WIDTH))
        mantissa = builder.or_(fraction, ir.Constant(_WHOLE, [_BIAS << _FRACTION] * WIDTH))
        pair = [exponent, builder.bitcast(mantissa, VECTOR)]
        return context.make_tuple(builder, signature.return_type, pair)

    return types.UniTuple(LANES, 2)(value), generate


@njit(cache=True, fastmath=FAST, error_model="numpy")
def exponential(value: Any) -> Any:
    """Return e to the power of ``value``, cut to [-87, 88] (88 where it is not a number), relative error 1e-6."""
    v = greater(lesser(value, EXP_MOST), EXP_LEAST)
    n = nearest(v * LOG2_E)
    r = v - n * LOG_2
    series = ONE + r * (ONE + r * (X2 + r * (X3 + r * (X4 + r * (X5 + r * X6)))))
    return series * power_of_two(n)


@njit(cache=True, fastmath=FAST, error_model="numpy")
def logarithm(value: Any) -> Any:
    """Return the natural logarithm of ``value`` > 0, error 3e-7 (absolute, below 255)."""
    exponent, mantissa = parts(value)
    t = (mantissa - ONE) / (mantissa + ONE)
    s = t * t
    return exponent * LOG_2 + t * (TWO + s * (L3 + s * (L5 + s * (L7 + s * (L9 + s * L11)))))
