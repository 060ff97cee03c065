"""Sixteen float32 at a time, for kernels that LLVM would not turn into vector code by itself.

``Lanes`` is a numba type of sixteen float32, ``Mask`` one of sixteen truths. They become LLVM's ``<16 x float>``, which
is one register of AVX-512, two of AVX2, four of NEON or SSE: the same source everywhere, nothing is written for one
processor. Between ``Lanes``, or ``Lanes`` and a float32, ``+ - * /`` and comparisons work as one expects; ``&`` joins
masks. Nothing here may be called outside of compiled code.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, models, register_model

from splat_pipeline.splatting.layout import FAST

WIDTH = 16
ONE = np.float32(1)
TWO = np.float32(2)
EXP_MOST, EXP_LEAST = np.float32(88), np.float32(-87)
LOG2_E, LOG_2 = np.float32(np.log2(np.e)), np.float32(np.log(2))
X2, X3, X4, X5, X6 = (np.float32(1 / n) for n in (2, 6, 24, 120, 720))
L3, L5, L7, L9, L11 = (np.float32(2 / n) for n in (3, 5, 7, 9, 11))
_FRACTION, _BIAS = 23, 127
"""How a float32 is made: bits of its fraction, what is added to its exponent."""
_VECTOR = ir.VectorType(ir.FloatType(), WIDTH)
_WHOLE = ir.VectorType(ir.IntType(32), WIDTH)
_TRUTH = ir.VectorType(ir.IntType(1), WIDTH)


class LanesType(types.Type):
    """Sixteen float32."""


class MaskType(types.Type):
    """Sixteen truths."""


LANES = LanesType("Lanes")
MASK = MaskType("Mask")


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)


@register_model(MaskType)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _TRUTH)


def _spread(builder: Any, value: Any) -> Any:
    if value.type == _VECTOR:
        return value
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return _shuffle(builder, one, one, [0] * WIDTH)


def _shuffle(builder: Any, a: Any, b: Any, places: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places))


def _vectors(builder: Any, context: Any, kind: Any, array: Any, at: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), _VECTOR.as_pointer())


def _operator(symbol: Any, result: Any, emit: Callable[[Any, Any, Any], Any]) -> None:
    """Teach numba ``symbol`` between Lanes, and between Lanes and a float32."""

    class Template(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            if LANES in args and all(arg in {LANES, types.float32} for arg in args) and not kws:
                return signature(result, *args)
            return None

    infer_global(symbol)(Template)

    def lower(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return emit(builder, *(_spread(builder, arg) for arg in args))

    for pair in ((LanesType, LanesType), (LanesType, types.Float), (types.Float, LanesType)):
        lower_builtin(symbol, *pair)(lower)


_operator(operator.add, LANES, lambda builder, a, b: builder.fadd(a, b))
_operator(operator.sub, LANES, lambda builder, a, b: builder.fsub(a, b))
_operator(operator.mul, LANES, lambda builder, a, b: builder.fmul(a, b))
_operator(operator.truediv, LANES, lambda builder, a, b: builder.fdiv(a, b))
_operator(operator.lt, MASK, lambda builder, a, b: builder.fcmp_ordered("<", a, b))
_operator(operator.le, MASK, lambda builder, a, b: builder.fcmp_ordered("<=", a, b))
_operator(operator.gt, MASK, lambda builder, a, b: builder.fcmp_ordered(">", a, b))
_operator(operator.ge, MASK, lambda builder, a, b: builder.fcmp_ordered(">=", a, b))


@infer_global(operator.neg)
class _Neg(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(LANES, *args) if args == (LANES,) and not kws else None


@lower_builtin(operator.neg, LanesType)
def _neg(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
    return builder.fneg(args[0])


@infer_global(operator.and_)
class _And(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(MASK, *args) if args == (MASK, MASK) and not kws else None


@lower_builtin(operator.and_, MaskType, MaskType)
def _and(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
    return builder.and_(*args)


@njit(cache=True)
def room(floats: int) -> Any:
    """Return an array of ``floats`` float32, not filled, that starts on a cache line: Lanes across two cost double."""
    raw = np.empty(floats + WIDTH, np.float32)
    skip = (-raw.ctypes.data % 64) // 4
    return raw[skip : skip + floats]


@intrinsic
def load(_typing: Any, array: Any, at: Any) -> Any:
    """Return the sixteen floats of the one-dimensional ``array`` from ``at`` on. Bounds are not looked at."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_vectors(builder, context, signature.args[0], *args), align=4)

    return LANES(array, types.int64), generate


@intrinsic
def store(_typing: Any, array: Any, at: Any, value: Any) -> Any:
    """Write ``value`` to ``array`` from ``at`` on. Bounds are not looked at."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _vectors(builder, context, signature.args[0], *args[:2])
        builder.store(_spread(builder, args[2]), pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, LANES if value == LANES else types.float32), generate


@intrinsic
def fetch(_typing: Any, array: Any, at: Any) -> Any:
    """Have the cache line of ``array[at]``, of one dimension, brought near without waiting for it."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        kinds = [cgutils.voidptr_t, *[ir.IntType(32)] * 3]
        kind = ir.FunctionType(ir.VoidType(), kinds)
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        place = builder.bitcast(builder.gep(data, [args[1]]), cgutils.voidptr_t)
        builder.call(function, [place, *(ir.Constant(ir.IntType(32), choice) for choice in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


@intrinsic
def lanes(_typing: Any, value: Any) -> Any:
    """Return sixteen times the float32 ``value``."""
    return LANES(types.float32), lambda _context, builder, _signature, args: _spread(builder, args[0])


def _choice(symbol: str) -> Callable[[Any, Any, Any, Any], Any]:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        a, b = (_spread(builder, arg) for arg in args)
        return builder.select(builder.fcmp_ordered(symbol, a, b), a, b)

    return generate


@intrinsic
def lesser(_typing: Any, a: Any, b: Any) -> Any:
    """Return the lesser of each pair of lanes; ``b`` where one is not a number."""
    return LANES(a, b), _choice("<")


@intrinsic
def greater(_typing: Any, a: Any, b: Any) -> Any:
    """Return the greater of each pair of lanes; ``b`` where one is not a number."""
    return LANES(a, b), _choice(">")


@intrinsic
def choose(_typing: Any, mask: Any, a: Any, b: Any) -> Any:
    """Return ``a`` where ``mask`` is true, else ``b``."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.select(args[0], _spread(builder, args[1]), _spread(builder, args[2]))

    return LANES(mask, a, b), generate


@intrinsic
def bits(_typing: Any, mask: Any) -> Any:
    """Return the truths of ``mask`` as the lowest sixteen bits of an int64."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.zext(builder.bitcast(args[0], ir.IntType(WIDTH)), ir.IntType(64))

    return types.int64(mask), generate


@intrinsic
def first_bit(_typing: Any, value: Any) -> Any:
    """Return the place of the lowest bit set in ``value``, an int64 other than 0."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


def _unary(name: str) -> Callable[[Any, Any, Any, Any], Any]:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(_VECTOR, [_VECTOR])
        function = cgutils.get_or_insert_function(builder.module, kind, f"{name}.v{WIDTH}f32")
        return builder.call(function, args)

    return generate


@intrinsic
def root(_typing: Any, value: Any) -> Any:
    """Return the square roots."""
    return LANES(value), _unary("llvm.sqrt")


@intrinsic
def size(_typing: Any, value: Any) -> Any:
    """Return the absolute values."""
    return LANES(value), _unary("llvm.fabs")


@intrinsic
def total(_typing: Any, value: Any) -> Any:
    """Return the sum of the lanes, a float32. Its order is LLVM's to choose, and always the same."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.FloatType(), [ir.FloatType(), _VECTOR])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fadd.v{WIDTH}f32")
        return builder.call(function, [ir.Constant(ir.FloatType(), -0.0), *args], fastmath=("reassoc",))

    return types.float32(value), generate


@intrinsic
def nearest(_typing: Any, value: Any) -> Any:
    """Return the nearest whole numbers."""
    return LANES(value), _unary("llvm.rint")


@intrinsic
def power_of_two(_typing: Any, value: Any) -> Any:
    """Return 2 to the power of whole numbers between -126 and 127."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        whole = builder.add(builder.fptosi(args[0], _WHOLE), ir.Constant(_WHOLE, [_BIAS] * WIDTH))
        return builder.bitcast(builder.shl(whole, ir.Constant(_WHOLE, [_FRACTION] * WIDTH)), _VECTOR)

    return LANES(value), generate


@intrinsic
def parts(_typing: Any, value: Any) -> Any:
    """Return (e, m) with positive ``value`` = 2^e m and m in [1, 2)."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        whole = builder.bitcast(args[0], _WHOLE)
        raised = builder.lshr(whole, ir.Constant(_WHOLE, [_FRACTION] * WIDTH))
        exponent = builder.sitofp(builder.sub(raised, ir.Constant(_WHOLE, [_BIAS] * WIDTH)), _VECTOR)
        fraction = builder.and_(whole, ir.Constant(_WHOLE, [(1 << _FRACTION) - 1] * WIDTH))
        mantissa = builder.or_(fraction, ir.Constant(_WHOLE, [_BIAS << _FRACTION] * WIDTH))
        pair = [exponent, builder.bitcast(mantissa, _VECTOR)]
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


def _half_sums(builder: Any, a: Any, b: Any, step: int) -> Any:
    """Return a vector whose lanes with bit ``step`` unset hold sums of pairs of ``a``, the others of ``b``."""
    low = [lane if not lane & step else WIDTH + lane - step for lane in range(WIDTH)]
    high = [lane + step if not lane & step else WIDTH + lane for lane in range(WIDTH)]
    return builder.fadd(_shuffle(builder, a, b, low), _shuffle(builder, a, b, high))


@intrinsic
def totals(_typing: Any, values: Any) -> Any:
    """Return Lanes whose lane i is the sum over the lanes of ``values[i]``, a tuple of two to sixteen Lanes."""

    def generate(_context: Any, builder: Any, signature: Any, args: Any) -> Any:
        left = [builder.extract_value(args[0], i) for i in range(len(signature.args[0]))]
        for step in (8, 4, 2, 1):
            left.append(left[-1])
            left = [_half_sums(builder, left[i], left[i + 1], step) for i in range(0, len(left) - 1, 2)]
        turned = [int(f"{lane:04b}"[::-1], 2) for lane in range(WIDTH)]
        return _shuffle(builder, left[0], left[0], turned)

    return LANES(values), generate


@intrinsic
def weave(_typing: Any, array: Any, at: Any) -> Any:
    """Turn four rows of sixteen from ``at`` on in ``array`` into four blocks of 4x4, one after the other; or back."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        first = _vectors(builder, context, signature.args[0], *args)
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
            out[i] = _shuffle(builder, rows[i], rows[i + step], low)
            out[i + step] = _shuffle(builder, rows[i], rows[i + step], high)
    return out


@intrinsic
def transpose(_typing: Any, array: Any, at: Any) -> Any:
    """Turn the sixteen lines of sixteen floats from ``at`` on in ``array`` into sixteen columns, in place."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        first = _vectors(builder, context, signature.args[0], *args)
        places = [builder.gep(first, [ir.Constant(ir.IntType(64), i)]) for i in range(WIDTH)]
        rows = [builder.load(place, align=4) for place in places]
        for step in (8, 4, 2, 1):
            rows = _swap(builder, rows, step, 1)
        for row, place in zip(rows, places, strict=True):
            builder.store(row, place, align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64), generate
