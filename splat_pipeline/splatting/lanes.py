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

WIDTH = 16
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
def fetch(_typing: Any, table: Any, row: Any) -> Any:
    """Have the start of ``table[row]`` brought into the cache, without waiting for it."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        step = cgutils.unpack_tuple(builder, array.strides)[0]
        place = cgutils.pointer_add(builder, array.data, builder.mul(args[1], step), return_type=cgutils.voidptr_t)
        kinds = [cgutils.voidptr_t, *[ir.IntType(32)] * 3]
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), kinds), "llvm.prefetch.p0i8"
        )
        builder.call(function, [place, *(ir.Constant(ir.IntType(32), choice) for choice in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(table, types.int64), generate


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
