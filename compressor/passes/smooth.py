"""Divide large features of activations and multiply the weights they meet, so that int8 products lose less."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from compressor.errors import OptionError
from compressor.passes.contract import Calibration, Claim, FeatureStatistics, Pass, PassResult
from compressor.passes.quantization.weights import find_float_weights
from compressor.passes.smoothing.factors import choose_factors
from compressor.passes.smoothing.normalized import Normalizations
from compressor.passes.smoothing.products import Group, Product, grouped, obstacle, products_of
from compressor.passes.smoothing.rewrite import Scaling, apply_scalings
from compressor.report import Skip


@dataclass(frozen=True)
class SmoothActivations(Pass):
    """Even out the features of activations before they are quantized; the products stay the same to the last bit.

    Where an activation comes from a normalization that nothing else reads, the factors go into its weight and bias;
    elsewhere one multiplication is added.

    Attributes:
        strength: 1 gives all features of an activation the same size, 0 all features of the weights. 0.7: between 0.65
            and 0.8 nothing changes on all-MiniLM-L6-v2, at 0.5 half of the gain is lost.
        most_error: share of an activation's rounding error, as foreseen from its features, above which it is left
            alone: an added multiplication takes 0.1 to 0.5 % of the time. On all-MiniLM-L6-v2 more than 0.7 gains
            nothing, and 0.5 leaves out what comes from GELU, a third of what real inputs bring.
        min_elements: weights with fewer elements are left alone, as by ``quantize``.
    """

    name: ClassVar[str] = "smooth"
    claim: ClassVar[Claim] = Claim.EQUIVALENT

    strength: float = 0.7
    most_error: float = 0.7
    min_elements: int = 4096

    def __post_init__(self) -> None:
        """Refuse what is no share.

        Raises:
            OptionError: `strength` or `most_error` is not within 0 and 1.
        """
        for option in ("strength", "most_error"):
            if not 0 <= getattr(self, option) <= 1:
                raise OptionError(f"smooth: {option} is {getattr(self, option)}; it takes a share from 0 to 1")

    def run(self, model: ir.Model) -> PassResult:
        """Leave `model` as it is: which features are large shows only when it runs."""
        return PassResult(model=model, note="left as it was: it must see the model run, and nothing was run")

    def attempts(self, model: ir.Model, calibration: Calibration | None) -> Iterator[PassResult]:
        """Watch the activations of `model` once, then smooth those where it pays."""
        yield self.run(model) if calibration is None else self._smooth(model, calibration)

    def _smooth(self, model: ir.Model, calibration: Calibration) -> PassResult:
        normalizations = Normalizations(model)
        groups, skipped = self._candidates(model, normalizations if calibration.is_generated else None)
        names = {value.name or "" for group in groups for value in group.activations}
        seen = calibration.observe(model, sorted(names)) if names else {}
        if isinstance(seen, str):
            return PassResult(model=model, skipped=tuple(skipped), note=f"left as it was: the model {seen}")
        scalings: list[Scaling] = []
        for group in groups:
            decision = self._decide(group, seen)
            if isinstance(decision, Scaling):
                scalings.append(decision)
            else:
                skipped.append(Skip(candidate=group.activations[0].name or "", reason=decision))
        counts = apply_scalings(model, scalings, normalizations)
        return PassResult(model=model, counts=counts, skipped=tuple(skipped), note=_note(scalings, calibration))

    def _candidates(self, model: ir.Model, wanted: Normalizations | None) -> tuple[list[Group], list[Skip]]:
        """Find groups of products, those with an activation from one of the `wanted` normalizations (None: all)."""
        products: list[Product] = []
        skipped: list[Skip] = []
        for weight in find_float_weights(model, max(1, self.min_elements)):
            own = products_of(weight, model.graph)
            reason = obstacle(weight, own)
            if not reason:
                products += own
            elif any(wanted is None or wanted.origin(product.activation) for product in own):
                skipped.append(Skip(candidate=weight.name, reason=reason))
        groups = grouped(products)
        if wanted is not None:
            groups = [group for group in groups if any(map(wanted.origin, group.activations))]
        return groups, skipped

    def _decide(self, group: Group, seen: Mapping[str, FeatureStatistics]) -> Scaling | str:
        if any(value.name not in seen for value in group.activations):
            return "is no value that a run can show"
        chosen = choose_factors(group, seen, self.strength)
        if chosen is None:
            return "its features, or those of its weights, are all zero, not finite or of extreme size"
        factors, left = chosen
        if left > self.most_error:
            return f"smoothing would leave {left:.0%} of its rounding error"
        return Scaling(group, factors)


def _note(scalings: list[Scaling], calibration: Calibration) -> str:
    if not scalings:
        return ""
    if calibration.is_generated:
        return "seen on generated inputs, so only activations from a normalization were smoothed"
    return "seen on the same inputs that the figures come from"
