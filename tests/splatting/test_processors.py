"""Kernels are written for no processor in particular: LLVM makes NEON code of them where there is no AVX.

What is compiled here is not run: LLVM's own form of a kernel, as it stands when the machine code of this computer is
made, is turned into machine code of a 64-bit Arm server instead.
"""

import re

import llvmlite.binding as llvm
import numba
import pytest
from numba import types

from splat_pipeline.splatting import blend, project, pullback

TRIPLE, PROCESSOR = "aarch64-unknown-linux-gnu", "neoverse-n1"
REAL, LINE, TABLE = types.float32, types.float32[::1], types.float32[:, ::1]
WHO, BITS = types.int32[::1], types.uint16[::1]
KERNELS = {
    blend.blend_tile: (TABLE, WHO, BITS, LINE, LINE, REAL, REAL, types.boolean, REAL),
    blend.differentiate_tile: (TABLE, WHO, WHO, BITS, LINE, LINE, REAL, REAL, TABLE),
    project.flatten: (LINE, LINE, REAL, REAL, LINE),
    pullback.pull_columns: (TABLE, LINE, types.int64, types.UniTuple(REAL, 2)),
}


@pytest.fixture(scope="module")
def arm():
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        target = llvm.Target.from_triple(TRIPLE)
    except RuntimeError as error:
        pytest.skip(f"this LLVM makes code for this processor only: {error}")
    return target.create_target_machine(cpu=PROCESSOR, opt=2, reloc="pic")


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.py_func.__name__)
def test_kernels_become_vector_code_of_arm(kernel, arm):
    # Anew and not kept: of what lies on the disk LLVM's form is lost.
    options = {"nopython": True, "fastmath": kernel.targetoptions["fastmath"], "error_model": "numpy"}
    fresh = numba.jit(**options)(kernel.py_func)
    fresh.compile(KERNELS[kernel])
    (text,) = fresh.inspect_llvm().values()
    # How an x86 counts down the references to an array: LLVM's choice, not the kernels'; a call as good as any here.
    text = text.replace("llvm.x86.atomic.sub.cc.i64", "count_down")
    assert "llvm.x86" not in text, "nothing that only one maker's processors can do"
    module = llvm.parse_assembly(text)
    module.triple, module.data_layout = TRIPLE, str(arm.target_data)
    assert len(arm.emit_object(module)) > 1000
    code = arm.emit_assembly(module)
    assert len(re.findall(r"\bfmla\s+v\d+\.4s", code)) > 10, "four numbers at a time"
    called = set(re.findall(r"\bbl\s+([a-zA-Z_]\w*)", code))
    assert not {name for name in called if re.fullmatch(r"(exp|log|sqrt|ceil|floor|rint|pow)f?", name)}, called
