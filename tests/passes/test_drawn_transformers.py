"""Transformers drawn at random, in every mixture of spellings, compute the same after `fuse`, for both targets."""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import partial

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from compressor.passes.fuse import FuseTransformer
from compressor.passes.target import Target
from tests.passes.fusions.fusing import Array, draw, normal, operators, run

DRAWN = 60
TOLERANCE = 2e-5
"""Largest difference, relative to the largest output: float32 rounding through two layers of 30 operators each."""

LOWEST = float(np.finfo(np.float32).min)


class Drawing:
    """A transformer in ONNX text, drawn with one random generator.

    Attributes:
        attentions: how many layers of attention it has.
        has_past: whether cached keys and values are inputs.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._weights: dict[str, Array] = {}
        self._lines: list[str] = []
        self._count = 0
        choose = self._random.choice
        self.key_heads = choose([1, 2, 3])
        self.group = choose([1, 1, 2])
        self.size = choose([4, 6, 8])
        self.has_past = choose([False, False, True])
        self.opset = choose([13, 17, 18, 20, 23])
        self.attentions = choose([1, 2])
        self.shares_weights = choose([False, True])
        self.is_pre_normalized = choose([False, True])
        self._draw()

    @property
    def heads(self) -> int:
        """Heads of the query."""
        return self.key_heads * self.group

    @property
    def width(self) -> int:
        """Features of the hidden states."""
        return self.heads * self.size

    def model(self) -> ir.Model:
        """The graph."""
        past = "".join(f", float[B, {self.key_heads}, P, {self.size}] past_{part}" for part in "kv")
        given = f"float[B, S, {self.width}] x, int64[B, T] mask{past if self.has_past else ''}"
        return draw(
            f"g ({given}) => (float[B, S, {self.width}] y) {{ {' '.join(self._lines)} }}", self._weights, self.opset
        )

    def feeds(self, batch: int, length: int, past: int, seed: int) -> dict[str, Array]:
        """Inputs with padding left, right, holes, full rows and rows of one key, in turn."""
        past *= self.has_past
        generator = np.random.default_rng(seed)
        mask = np.ones((batch, past + length), np.int64)
        for row in range(batch):
            cut = int(generator.integers(0, past + length))
            style = int(generator.integers(0, 5))
            if style == 0:
                mask[row, :cut] = 0
            elif style == 1:
                mask[row, cut + 1 :] = 0
            elif style == 2:
                mask[row] = generator.integers(0, 2, past + length)
            elif style == 3:
                mask[row] = 0
        found: dict[str, Array] = {"x": normal(batch, length, self.width, seed=seed), "mask": mask}
        if self.has_past:
            for place, part in enumerate("kv", start=1):
                found[f"past_{part}"] = normal(batch, self.key_heads, past, self.size, seed=seed + place)
        return found

    def _draw(self) -> None:
        free = self._mask()
        hidden = "x"
        for layer in range(self.attentions):
            place = 0 if self.shares_weights else layer
            attention = partial(self._attention, free=free, place=place)
            for part in (attention, partial(self._feed_forward, place=place)):
                if self.is_pre_normalized:
                    hidden = self._made(f"Add({hidden}, {part(self._normalized(hidden))})")
                else:
                    hidden = self._normalized(self._made(f"Add({part(hidden)}, {hidden})"))
        self._lines.append(f"y = Tanh({hidden})")

    def _made(self, expression: str) -> str:
        self._count += 1
        self._lines.append(f"v{self._count} = {expression}")
        return f"v{self._count}"

    def _weight(self, name: str, *shape: int) -> str:
        seed = sum(map(ord, name))
        self._weights.setdefault(name, (normal(*shape, seed=seed) / np.sqrt(shape[0])).astype(np.float32))
        return name

    def _number(self, value: float) -> str:
        name = f"n{len(self._weights)}"
        self._weights[name] = np.asarray(value, np.float32)
        return name

    def _integers(self, *values: int) -> str:
        name = "i" + "_".join(str(value).replace("-", "m") for value in values)
        self._weights.setdefault(name, np.asarray(values))
        return name

    def _mask(self) -> str:
        """Where a query may look: (B, 1, S, T), (B, 1, 1, T) or a mixture, as booleans."""
        flags = self._made(f"Cast <to=9> ({self._made(f'Unsqueeze(mask, {self._integers(1, 2)})')})")
        if self._random.random() < 0.5:
            return flags
        lengths = [self._made(f"Squeeze({self._length(name, axis)})") for name, axis in (("x", 1), ("mask", 1))]
        zero, one = "zero", "one"
        self._weights |= {zero: np.asarray(0), one: np.asarray(1)}
        keys = self._made(f"Range({zero}, {lengths[1]}, {one})")
        queries = self._made(f"Range({zero}, {lengths[0]}, {one})")
        queries = self._made(f"Add({queries}, {self._made(f'Sub({lengths[1]}, {lengths[0]})')})")
        causal = self._made(f"LessOrEqual({keys}, {self._made(f'Unsqueeze({queries}, {self._integers(1)})')})")
        return self._made(f"And({flags}, {causal})")

    def _length(self, value: str, axis: int) -> str:
        return self._made(f"Gather({self._made(f'Shape({value})')}, {self._integers(axis)})")

    def _attention(self, value: str, free: str, place: int) -> str:
        choose = self._random.choice
        query = self._in_heads(value, "q", self.heads, place)
        key, values = (self._remembered(self._in_heads(value, part, self.key_heads, place), part) for part in "kv")
        if self.group > 1:
            key, values = self._repeated(key), self._repeated(values)
        scale = choose([self.size**-0.5, 1.0, 0.3])
        where = choose(["query", "both", "scores", "divided"])
        if where == "query":
            query = self._made(f"Mul({query}, {self._number(scale)})")
        key = self._made(f"Transpose <perm=[0, 1, 3, 2]> ({key})")
        if where == "both":
            root = self._number(scale**0.5)
            query, key = self._made(f"Mul({query}, {root})"), self._made(f"Mul({root}, {key})")
        scores = self._made(f"MatMul({query}, {key})")
        if where == "scores":
            scores = self._made(f"Mul({self._number(scale)}, {scores})")
        if where == "divided":
            scores = self._made(f"Div({scores}, {self._number(1 / scale)})")
        probabilities = self._made(f"Softmax <axis=-1> ({self._masked(scores, free)})")
        context = self._made(f"MatMul({probabilities}, {values})")
        turned = self._made(f"Transpose <perm=[0, 2, 1, 3]> ({context})")
        merged = self._made(f"Reshape({turned}, {self._integers(0, 0, self.width)})")
        return self._made(f"MatMul({merged}, {self._weight(f'wo{place}', self.width, self.width)})")

    def _in_heads(self, value: str, part: str, heads: int, place: int) -> str:
        features = heads * self.size
        made = self._made(f"MatMul({value}, {self._weight(f'w{part}{place}', self.width, features)})")
        if self._random.random() < 0.5:
            made = self._made(f"Add({made}, {self._weight(f'b{part}{place}', features)})")
        target = self._integers(0, 0, heads, self.size)
        if self._random.random() < 0.3:
            sizes = [self._length(value, 0), self._length(value, 1), self._integers(heads), self._integers(self.size)]
            target = self._made(f"Concat <axis=0> ({', '.join(sizes)})")
        return self._made(f"Transpose <perm=[0, 2, 1, 3]> ({self._made(f'Reshape({made}, {target})')})")

    def _remembered(self, value: str, part: str) -> str:
        return self._made(f"Concat <axis=2> (past_{part}, {value})") if self.has_past else value

    def _repeated(self, value: str) -> str:
        parted = self._made(f"Unsqueeze({value}, {self._integers(2)})")
        copies = self._made(f"Expand({parted}, {self._integers(1, 1, self.group, 1, 1)})")
        return self._made(f"Reshape({copies}, {self._integers(0, self.heads, -1, self.size)})")

    def _masked(self, scores: str, free: str) -> str:
        choose = self._random.choice
        style = choose(["added", "filled", "filled where not", "arithmetic", "filled twice", "biased", "none"])
        # A number that swallows no score shows how scores and biases are rounded, in rows in which every key is masked.
        low = self._number(choose([LOWEST, -1e9] if style == "biased" else [LOWEST, -1e9, -1e4]))
        zero = self._number(0.0)
        if style == "filled":
            return self._made(f"Where({free}, {scores}, {low})")
        if style == "filled where not":
            return self._made(f"Where({self._made(f'Not({free})')}, {low}, {scores})")
        if style == "filled twice":
            inner = self._made(f"Where({free}, {scores}, {self._number(choose([LOWEST, -1e9, -1e4]))})")
            return self._made(f"Where({free}, {inner}, {low})")
        if style == "biased":
            relative = self._weight("relative", self.heads, 1, 1)
            scores = self._made(f"Add({scores}, {relative})")
        if style == "none":
            return scores
        if style == "arithmetic":
            number = self._made(f"Sub({self._number(1.0)}, {self._made(f'Cast <to=1> ({free})')})")
            return self._made(f"Add({self._made(f'Mul({number}, {low})')}, {scores})")
        return self._made(f"Add({scores}, {self._made(f'Where({free}, {zero}, {low})')})")

    def _normalized(self, value: str) -> str:
        style = self._random.choice(["layer", "layer by product", "root mean square"])
        centered = value
        if style != "root mean square":
            centered = self._made(f"Sub({value}, {self._mean(value)})")
        squares = self._random.choice([f"Mul({centered}, {centered})", f"Pow({centered}, {self._number(2.0)})"])
        variance = self._made(f"Add({self._mean(self._made(squares))}, {self._number(1e-5)})")
        root = self._made(f"Sqrt({variance})")
        if style == "layer":
            centered = self._made(f"Div({centered}, {root})")
        else:
            centered = self._made(f"Mul({self._made(f'Reciprocal({root})')}, {centered})")
        scaled = self._made(f"Mul({centered}, {self._weight('norm', self.width)})")
        if style == "root mean square":
            return scaled
        return self._made(f"Add({scaled}, {self._weight('shift', self.width)})")

    def _mean(self, value: str) -> str:
        if self.opset < 18:
            return self._made(f"ReduceMean <axes=[-1]> ({value})")
        return self._made(f"ReduceMean({value}, {self._integers(-1)})")

    def _feed_forward(self, value: str, place: int) -> str:
        inner = 2 * self.width
        up = self._made(f"MatMul({value}, {self._weight(f'up{place}', self.width, inner)})")
        style = self._random.choice(["erf", "tanh", "quick", "gated", "relu"])
        if style == "relu":
            up = self._made(f"Relu({up})")
        if style == "erf":
            erf = self._made(f"Erf({self._made(f'Div({up}, {self._number(2**0.5)})')})")
            gate = self._made(f"Mul({up}, {self._made(f'Add({erf}, {self._number(1.0)})')})")
            up = self._made(f"Mul({gate}, {self._number(0.5)})")
        if style == "tanh":
            cube = self._made(f"Mul({self._number(0.044715)}, {self._made(f'Pow({up}, {self._number(3.0)})')})")
            total = self._made(f"Mul({self._made(f'Add({up}, {cube})')}, {self._number((2 / np.pi) ** 0.5)})")
            gate = self._made(f"Add({self._made(f'Tanh({total})')}, {self._number(1.0)})")
            up = self._made(f"Mul({self._made(f'Mul({up}, {self._number(0.5)})')}, {gate})")
        if style in ("quick", "gated"):
            inside = self._made(f"Mul({up}, {self._number(1.702)})") if style == "quick" else up
            activated = self._made(f"Mul({up}, {self._made(f'Sigmoid({inside})')})")
            other = self._made(f"MatMul({value}, {self._weight(f'gate{place}', self.width, inner)})")
            up = self._made(f"Mul({activated}, {other})") if style == "gated" else activated
        return self._made(f"MatMul({up}, {self._weight(f'down{place}', inner, self.width)})")


SIZES: tuple[Mapping[str, int], ...] = (
    {"batch": 3, "length": 6, "past": 4, "seed": 1},
    {"batch": 1, "length": 1, "past": 0, "seed": 2},
    {"batch": 2, "length": 1, "past": 9, "seed": 3},
)


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize("seed", range(DRAWN))
def test_a_drawn_transformer_computes_the_same_after_it_is_fused(seed: int, target: Target) -> None:
    drawing = Drawing(seed)
    model = drawing.model()
    step = FuseTransformer(target=target)
    result = step.run(model.clone())
    onnx.checker.check_model(ir.to_proto(result.model))
    for sizes in SIZES:
        feed = drawing.feeds(**sizes)
        before, after = run(model, feed)[0], run(result.model, feed)[0]
        np.testing.assert_allclose(after, before, rtol=0, atol=TOLERANCE * float(np.abs(before).max()))
    if target is Target.ORT:
        left = operators(result.model)["Softmax"]
        assert operators(result.model)["MultiHeadAttention"] == drawing.attentions - left
        assert len([skip for skip in result.skipped if "replaced by" in skip.reason]) == left, "each for a reason"
    again = step.run(result.model.clone())
    assert not again.counts, "a second run changes nothing"
    assert ir.to_proto(again.model) == ir.to_proto(result.model)
