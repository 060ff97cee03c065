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
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, models, register_model

from splat_pipeline.splatting.kernels import njit

WIDTH = 16
VECTOR = ir.VectorType(ir.FloatType(), WIDTH)
TRUTH = ir.VectorType(ir.IntType(1), WIDTH)


class LanesType(types.Type):
    """Sixteen float32."""


class MaskType(types.Type):
    """Sixteen truths."""


LANES = LanesType("Lanes")
MASK = MaskType("Mask")


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, VECTOR)


@register_model(MaskType)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, TRUTH)


def spread(builder: Any, value: Any) -> Any:
    """Emit sixteen times ``value``, unless it is Lanes already."""
    if value.type == VECTOR:
        return value
    one = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return shuffle(builder, one, one, [0] * WIDTH)


def shuffle(builder: Any, a: Any, b: Any, places: list[int]) -> Any:
    """Emit the lanes ``places`` of ``a`` followed by ``b``."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(places)), places))


def vectors(builder: Any, context: Any, kind: Any, array: Any, at: Any) -> Any:
    """Emit a pointer to the Lanes at ``array[at]``."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), VECTOR.as_pointer())


def _operator(symbol: Any, result: Any, emit: Callable[[Any, Any, Any], Any]) -> None:
    """Teach numba ``symbol`` between Lanes, and between Lanes and a float32."""

    class Template(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            if LANES in args and all(arg in {LANES, types.float32} for arg in args) and not kws:
                return signature(result, *args)
            return None

    infer_global(symbol)(Template)

    def lower(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return emit(builder, *(spread(builder, arg) for arg in args))

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
    """Return an array of ``floats`` float32, not filled, that starts on a cache line: Lanes across two cost more."""
    raw = np.empty(floats + WIDTH, np.float32)
    skip = (-raw.ctypes.data % 64) // 4
    return raw[skip : skip + floats]


# The arguments of an intrinsic are their types; what is done with them stands in ``generate``.


@intrinsic
def load(_typing: Any, array: Any, _at: Any) -> Any:
    """Return the sixteen floats of the one-dimensional ``array`` from ``at`` on. Bounds are not looked at."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(vectors(builder, context, signature.args[0], *args), align=4)

    return LANES(array, types.int64), generate


@intrinsic
def store(_typing: Any, array: Any, _at: Any, value: Any) -> Any:
    """Write ``value`` to ``array`` from ``at`` on. Bounds are not looked at."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = vectors(builder, context, signature.args[0], *args[:2])
        builder.store(spread(builder, args[2]), pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, LANES if value == LANES else types.float32), generate


@intrinsic
def store_ten(_typing: Any, array: Any, _at: Any, _value: Any) -> Any:
    """Write the first ten of Lanes to ``array`` from ``at`` on. Bounds are not looked at."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        for first, count in ((0, 8), (8, 2)):
            part = shuffle(builder, args[2], args[2], list(range(first, first + count)))
            place = builder.gep(data, [builder.add(args[1], ir.Constant(ir.IntType(64), first))])
            builder.store(part, builder.bitcast(place, part.type.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, LANES), generate


@intrinsic
def fetch(_typing: Any, array: Any, _at: Any) -> Any:
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
def lanes(_typing: Any, _value: Any) -> Any:
    """Return sixteen times the float32 ``value``."""
    return LANES(types.float32), lambda _context, builder, _signature, args: spread(builder, args[0])


def _choice(symbol: str) -> Callable[[Any, Any, Any, Any], Any]:
    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        a, b = (spread(builder, arg) for arg in args)
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
        return builder.select(args[0], spread(builder, args[1]), spread(builder, args[2]))

    return LANES(mask, a, b), generate


@intrinsic
def bits(_typing: Any, mask: Any) -> Any:
    """Return the truths of ``mask`` as the lowest sixteen bits of an int64."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.zext(builder.bitcast(args[0], ir.IntType(WIDTH)), ir.IntType(64))

    return types.int64(mask), generate


@intrinsic
def first_bit(_typing: Any, _value: Any) -> Any:
    """Return the place of the lowest bit set in ``value``, an int64 other than 0."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


@njit(cache=True)
def column(block: Any, j: int) -> Any:
    """Return column ``j`` of ``block``, sixteen floats a column."""
    return load(block, j * WIDTH)
