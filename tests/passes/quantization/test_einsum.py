"""Einsum: integers are multiplied where it is a product with a weight, and stored for any other."""

from __future__ import annotations

import numpy as np
import pytest

from compressor.passes.quantization.options import Scheme
from tests.passes.quantization.drawn import assert_near, draw, normal, quantize, run_both, uneven, worst_sqnr

SHAPES = {
    "bsd,dnh->bsnh": ((2, 5, 32), (32, 4, 16), (2, 5, 4, 16)),
    "bsnh,nhd->bsd": ((2, 5, 4, 16), (4, 16, 32), (2, 5, 32)),
    "...i,io->...o": ((2, 5, 32), (32, 48), (2, 5, 48)),
    "...i,oi->...o": ((2, 5, 32), (48, 32), (2, 5, 48)),
    "bsd,nhd->bsnh": ((2, 5, 32), (4, 16, 32), (2, 5, 4, 16)),
    "bsnh,dnh->bsd": ((2, 5, 3, 5), (32, 3, 5), (2, 5, 32)),
    "i,io->o": ((32,), (32, 48), (48,)),
    "bi,oi->ob": ((4, 32), (48, 32), (48, 4)),
    "bi,bio->bo": ((4, 32), (4, 32, 16), (4, 16)),
    "bi,oi": ((4, 32), (48, 32), (4, 48)),
    "bi,jo->bo": ((4, 32), (32, 48), (4, 48)),
    "...d,dnh->...nh": ((2, 5, 32), (32, 4, 16), (2, 5, 4, 16)),
    "bsd,dnh->bshn": ((2, 5, 32), (32, 4, 16), (2, 5, 16, 4)),
}
PRODUCTS = list(SHAPES)[:7]
"""Those that are a product once axes are joined."""


@pytest.mark.parametrize("scheme", [Scheme.DYNAMIC, Scheme.WEIGHT_ONLY])
@pytest.mark.parametrize("equation", SHAPES)
@pytest.mark.parametrize("order", ["x, w", "w, x"])
def test_any_equation_with_a_constant_operand(equation: str, scheme: Scheme, order: str) -> None:
    x, w, y = SHAPES[equation]
    equation_as_given = equation
    if order == "w, x":
        operands, arrow, kept = equation.partition("->")
        equation = ",".join(operands.split(",")[::-1]) + arrow + (kept if arrow else "")
    model = draw(
        f"g (float[{', '.join(map(str, x))}] x) => (float[{', '.join('ABCD'[: len(y)])}] y)"
        f'{{ y = Einsum<equation = "{equation}">({order}) }}',
        w=uneven(*w),
    )
    result = quantize(model, scheme=scheme)
    is_product = scheme is Scheme.DYNAMIC and equation_as_given in PRODUCTS
    assert result.counts == {"weights_quantized": 1, "einsum_in_int8" if is_product else "decoded_to_float": 1}
    assert_near(model, result, channel_axis=None, x=normal(*x, seed=1))


def test_an_operand_with_uneven_channels_is_scaled_along_those_the_result_keeps() -> None:
    w = uneven(32, 48)
    w[:, :24] *= 1e-4
    model = draw('g (float[64, 32] x) => (float[64, 48] y) { y = Einsum<equation = "bi,io->bo">(x, w) }', w=w)
    assert_near(model, quantize(model, scheme=Scheme.WEIGHT_ONLY), x=normal(64, 32, seed=1))


def test_channels_of_a_joined_axis_keep_their_own_size() -> None:
    w = uneven(32, 4, 16)
    w[:, 1, 3] *= 1e-5
    model = draw('g (float[9, 32] x) => (float[9, 4, 16] y) { y = Einsum<equation = "sd,dnh->snh">(x, w) }', w=w)
    result = quantize(model)
    assert result.counts["einsum_in_int8"] == 1
    assert_near(model, result, channel_axis=1, x=normal(9, 32, seed=1))
    for expected, actual in run_both(model, result, x=normal(9, 32, seed=1)):
        assert worst_sqnr(expected[:, 1, 3], actual[:, 1, 3], None) > 25


@pytest.mark.parametrize(("heads", "size"), [(3, 5), (4, 4)])
def test_no_sum_saturates_across_joined_axes(heads: int, size: int) -> None:
    """With an odd size the last of one head and the first of the next are neighbours."""
    w = 0.1 * normal(heads, size, 32)
    flat = w.reshape(-1, 32)
    flat[4:6] = 1.0
    model = draw(
        f'g (float[9, {heads}, {size}] x) => (float[9, 32] y){{ y = Einsum<equation = "snh,nhd->sd">(x, w) }}', w=w
    )
    result = quantize(model)
    assert result.counts["einsum_in_int8"] == 1
    tensor = result.model.graph.initializers["w_int8"].const_value
    assert tensor is not None
    magnitudes = np.abs(tensor.numpy().astype(int)).reshape(-1, 32)
    even, odd = magnitudes[0::2], magnitudes[1::2]
    assert (even[: len(odd)] + odd).max() <= 128


def test_a_tied_table_and_a_projection_share_their_integers() -> None:
    model = draw(
        'g (int64[A] i) => (float[A, 100] y) { h = Gather(w, i) y = Einsum<equation = "sd,vd->sv">(h, w) }',
        w=uneven(100, 64),
    )
    result = quantize(model)
    assert result.counts == {"weights_quantized": 1, "einsum_in_int8": 1, "gather_in_int8": 1}
    assert_near(model, result, channel_axis=None, i=normal(9).argsort())


def test_no_rows_give_no_rows() -> None:
    model = draw(
        'g (float[N, S, 32] x) => (float[N, S, 4, 16] y) { y = Einsum<equation = "bsd,dnh->bsnh">(x, w) }',
        w=uneven(32, 4, 16),
    )
    for expected, actual in run_both(model, quantize(model), x=normal(2, 0, 32)):
        assert expected.shape == actual.shape == (2, 0, 4, 16)
