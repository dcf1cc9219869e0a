"""Any mix of uses of one weight: stored once, every use right."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from compressor.passes.quantization.options import Scheme, WeightType
from tests.passes.quantization.drawn import draw, least_sqnr, normal, quantize, run_both, worst_sqnr

SIDE = 40
USES = (
    "y{n} = MatMul(x, w)",
    "y{n} = MatMul(w, x)",
    "t{n} = Transpose<perm = [1, 0]>(w) y{n} = MatMul(x, t{n})",
    "t{n} = Transpose<perm = [1, 0]>(w) i{n} = Identity(t{n}) y{n} = Gemm<transA = 1, alpha = 0.5>(x, i{n})",
    "y{n} = Gemm(x, w)",
    "y{n} = Gemm<transB = 1, alpha = -2.0>(x, w)",
    "y{n} = Gemm<beta = 3.0>(w, x, x)",
    "y{n} = Gemm<transA = 1, transB = 1>(w, x)",
    "y{n} = Gather(w, ids)",
    "y{n} = Gather<axis = 1>(w, ids)",
    "t{n} = Transpose<perm = [1, 0]>(w) y{n} = Gather(t{n}, ids)",
    "y{n} = Concat<axis = 0>(w, x) ",
    "b{n} = Constant<value_ints = [5, 8, 40]>() t{n} = Reshape(w, b{n}) s{n} = Constant<value_ints = [40, 40]>()"
    " r{n} = Reshape(t{n}, s{n}) y{n} = MatMul(x, r{n})",
)
"""Every operator with a role, in every orientation; `x` and `w` are square so that all fit together."""


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    uses=st.lists(st.sampled_from(USES), min_size=1, max_size=4),
    scheme=st.sampled_from(Scheme),
    weight_type=st.sampled_from(WeightType),
)
@example(uses=[USES[2], USES[1], USES[11]], scheme=Scheme.DYNAMIC, weight_type=WeightType.INT8)
def test_every_mix_of_uses_is_right_and_leaves_one_copy(
    uses: list[str], scheme: Scheme, weight_type: WeightType
) -> None:
    nodes = " ".join(use.format(n=n) for n, use in enumerate(uses))
    rows = [80 if "Concat" in use else 40 for use in uses]
    outputs = ", ".join(f"float[{row}, {SIDE}] y{n}" for n, row in enumerate(rows))
    model = draw(f"g (float[{SIDE}, {SIDE}] x, int64[{SIDE}] ids) => ({outputs}) {{ {nodes} }}", w=normal(SIDE, SIDE))
    result = quantize(model, scheme=scheme, weight_type=weight_type)
    tensors = [value.const_value for value in result.model.graph.initializers.values()]
    large = [tensor for tensor in tensors if tensor is not None and tensor.size >= SIDE * SIDE / 2]
    assert len(large) == 1
    assert (large[0].dtype.itemsize < 4) == result.is_changed
    for expected, actual in run_both(model, result, x=normal(SIDE, SIDE, seed=1), ids=np.arange(SIDE)[::-1]):
        assert worst_sqnr(expected, actual, None) > least_sqnr(result)
