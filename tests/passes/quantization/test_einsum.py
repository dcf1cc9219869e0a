"""Einsum: a constant operand is stored in integers, scaled along the axes that the result keeps."""

from __future__ import annotations

import pytest

from compressor.passes.quantization.options import Scheme
from tests.passes.quantization.drawn import assert_near, draw, normal, quantize, uneven

SHAPES = {
    "bsd,dnh->bsnh": ((2, 5, 32), (32, 4, 16), (2, 5, 4, 16)),
    "bsnh,nhd->bsd": ((2, 5, 4, 16), (4, 16, 32), (2, 5, 32)),
    "...i,io->...o": ((2, 5, 32), (32, 48), (2, 5, 48)),
    "...i,oi->...o": ((2, 5, 32), (48, 32), (2, 5, 48)),
    "bi,oi->ob": ((4, 32), (48, 32), (48, 4)),
    "bi,bio->bo": ((4, 32), (4, 32, 16), (4, 16)),
    "bi,oi": ((4, 32), (48, 32), (4, 48)),
    "bi,jo->bo": ((4, 32), (32, 48), (4, 48)),
}


@pytest.mark.parametrize("scheme", [Scheme.DYNAMIC, Scheme.WEIGHT_ONLY])
@pytest.mark.parametrize("equation", SHAPES)
@pytest.mark.parametrize("order", ["x, w", "w, x"])
def test_any_equation_with_a_constant_operand(equation: str, scheme: Scheme, order: str) -> None:
    x, w, y = SHAPES[equation]
    if order == "w, x":
        operands, arrow, kept = equation.partition("->")
        equation = ",".join(operands.split(",")[::-1]) + arrow + (kept if arrow else "")
    model = draw(
        f"g (float[{', '.join(map(str, x))}] x) => (float[{', '.join('ABCD'[: len(y)])}] y)"
        f'{{ y = Einsum<equation = "{equation}">({order}) }}',
        w=uneven(*w),
    )
    result = quantize(model, scheme=scheme)
    assert result.counts["weights_quantized"] == 1
    assert_near(model, result, channel_axis=None, x=normal(*x, seed=1))


def test_an_operand_with_uneven_channels_is_scaled_along_those_the_result_keeps() -> None:
    w = uneven(32, 48)
    w[:, :24] *= 1e-4
    model = draw('g (float[64, 32] x) => (float[64, 48] y) { y = Einsum<equation = "bi,io->bo">(x, w) }', w=w)
    assert_near(model, quantize(model, scheme=Scheme.WEIGHT_ONLY), x=normal(64, 32, seed=1))
