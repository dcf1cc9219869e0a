"""Choose sizes for the axes that the graph leaves open, so that inputs fit each other."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from compressor.evaluation.signature import InputSpec, Kind


class Role(Enum):
    """What an open axis counts."""

    BATCH = auto()
    LENGTH = auto()
    TARGET = auto()
    PAST = auto()
    TOTAL = auto()
    SIDE = auto()
    LATENT_SIDE = auto()
    CHOICES = auto()
    CHANNELS = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Sizes for one run.

    Attributes:
        batch: rows.
        length: steps, tokens or frames.
        target: the same on the decoder's side.
        past: steps already in the cache.
        side: height and width of images.
        timid: take only 0 and 1 for integers whose range is not known.
    """

    batch: int
    length: int
    target: int
    past: int = 0
    side: int = 224
    timid: bool = False

    def size(self, role: Role) -> int:
        """Size of an axis of this role."""
        return {
            Role.BATCH: self.batch,
            Role.LENGTH: self.length,
            Role.TARGET: self.target,
            Role.PAST: self.past,
            Role.TOTAL: self.past + self.length,
            Role.SIDE: self.side,
            # Attention over a latent image grows with the fourth power of its side.
            Role.LATENT_SIDE: self.side // 7,
            Role.CHOICES: 2,
            Role.CHANNELS: 3,
        }[role]


# The first word found in an axis's name decides; single letters must be the whole name.
_ROLE_WORDS: tuple[tuple[Role, tuple[str, ...]], ...] = (
    (Role.TOTAL, ("total",)),
    (Role.PAST, ("past", "cache")),
    (Role.CHOICES, ("choice",)),
    (Role.CHANNELS, ("channel",)),
    (Role.SIDE, ("height", "width")),
    (Role.TARGET, ("decoder", "target", "tgt", "label")),
    # Before the batch: "max_seq_len_in_batch" is a length.
    (Role.LENGTH, ("seq", "len", "time", "token", "frame", "sample", "audio")),
    (Role.BATCH, ("batch", "bsz")),
)
_ROLE_LETTERS = {"n": Role.BATCH, "b": Role.BATCH, "h": Role.SIDE, "w": Role.SIDE, "s": Role.LENGTH, "t": Role.LENGTH}
_SUM = re.compile(r"[+*/-]")


def assign_roles(specs: Sequence[InputSpec]) -> dict[str, Role]:
    """Give each named axis one role, by its name first and by where it stands second."""
    roles: dict[str, Role] = {}
    has_cache = any(spec.kind is Kind.CACHE for spec in specs)
    for spec in specs:
        for position, axis in enumerate(spec.axes):
            if isinstance(axis, str) and axis not in roles and not _is_expression(axis):
                roles[axis] = role_by_name(axis) or _role_by_place(spec, position)
    for axis in roles:
        users = [spec for spec in specs if axis in spec.axes]
        if roles[axis] is Role.SIDE and any(_is_latent(spec) for spec in users):
            roles[axis] = Role.LATENT_SIDE
        if roles[axis] is not Role.LENGTH:
            continue
        # A length that only caches have is the cache's length; the encoder's side of a cache is not.
        if all(spec.kind is Kind.CACHE for spec in users) and not _is_encoder(users[0].name, axis):
            roles[axis] = Role.PAST
        # A length that only the mask has, beside a cache, spans the cache and the new steps.
        if has_cache and all(spec.kind in {Kind.MASK, Kind.SCORE_MASK} for spec in users):
            roles[axis] = Role.TOTAL
    return roles


def role_by_name(axis: str) -> Role | None:
    """Read the role off a name such as ``past_sequence_length``."""
    name = axis.lower()
    if name in _ROLE_LETTERS:
        return _ROLE_LETTERS[name]
    return next((role for role, words in _ROLE_WORDS if any(word in name for word in words)), None)


def choose_shape(
    spec: InputSpec, roles: Mapping[str, Role], plan: Plan, known: Mapping[str, int] | None = None
) -> tuple[int, ...]:
    """Size every axis of an input; `known` sizes go before those of the plan."""
    return tuple(_size(axis, roles, plan, known or {}) for axis in spec.axes)


def _size(axis: int | str, roles: Mapping[str, Role], plan: Plan, known: Mapping[str, int]) -> int:
    if isinstance(axis, int):
        return axis
    if axis in known:
        return known[axis]
    if axis in roles:
        return plan.size(roles[axis])
    try:
        return max(0, _evaluate(ast.parse(axis, mode="eval").body, roles, plan))
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return plan.length  # not a sum after all, or one that Python's parser gives up on


def _evaluate(node: ast.expr, roles: Mapping[str, Role], plan: Plan) -> int:
    """Evaluate sums such as ``past_sequence_length + sequence_length``, which exporters write into axis names."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.Name):
        role = roles.get(node.id) or role_by_name(node.id) or Role.LENGTH
        return plan.size(role)
    if isinstance(node, ast.BinOp):
        left, right = _evaluate(node.left, roles, plan), _evaluate(node.right, roles, plan)
        match node.op:
            case ast.Add():
                return left + right
            case ast.Sub():
                return left - right
            case ast.Mult():
                return left * right
            case ast.Div() | ast.FloorDiv():
                return left // right
    raise ValueError("not a sum, difference, product or quotient of names and numbers")


def _role_by_place(spec: InputSpec, position: int) -> Role:
    if position == 0:
        return Role.BATCH
    if spec.kind is Kind.IMAGE or "pixel" in spec.name:
        return Role.SIDE if spec.kind is not Kind.IMAGE or position > 1 or spec.axes[-1] in (1, 3, 4) else Role.CHANNELS
    return Role.LENGTH


def _is_latent(spec: InputSpec) -> bool:
    """Images that an encoder has made small have 4 channels or more."""
    return len(spec.axes) == 4 and (spec.axes[1] == 4 or "latent" in spec.name)


def _is_expression(axis: str) -> bool:
    return bool(_SUM.search(axis)) and not axis.isidentifier()


def _is_encoder(*names: str) -> bool:
    return any("encoder" in name or "cross" in name for name in names)
