"""Choose the task that labels are for, and make it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx_ir as ir

from compressor.errors import OptionError
from compressor.evaluation.settings import TASKS
from compressor.evaluation.tasks.classification import Classification
from compressor.evaluation.tasks.contract import Labelling, OutputPort, Task
from compressor.evaluation.tasks.multi_label import MultiLabel
from compressor.evaluation.tasks.perplexity import Perplexity
from compressor.evaluation.tasks.question_answering import QuestionAnswering
from compressor.evaluation.tasks.regression import Regression
from compressor.evaluation.tasks.retrieval import Retrieval
from compressor.evaluation.tasks.similarity import Similarity
from compressor.evaluation.tasks.token_classification import TokenClassification

ALIGNED = frozenset({"token-classification", "question-answering", "perplexity", "similarity", "retrieval"})
"""Tasks that ask where in the text a token comes from, or which positions are none and only fill a row up."""

EMBEDDING = frozenset({"similarity", "retrieval"})
"""Tasks for which a model without a head embeds each text by itself."""

UNLABELLED = frozenset({"retrieval", "perplexity"})
"""Tasks that can do without a label column."""

_HEADS = (
    ("ForSequenceClassification", "classification"),
    ("ForImageClassification", "classification"),
    ("ForAudioClassification", "classification"),
    ("ForTokenClassification", "token-classification"),
    ("ForQuestionAnswering", "question-answering"),
)
_PROBLEMS = {"regression": "regression", "multi_label_classification": "multi-label"}
_FINAL = frozenset({"Sigmoid", "Softmax"})
_CARRIERS = frozenset({"Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze"})


def has_head(config: Mapping[str, Any]) -> bool:
    """Tell whether ``config.json`` names a model that reads a pair of texts together."""
    return any(head in name for name in _architectures(config) for head, _ in _HEADS)


def guess_task(config: Mapping[str, Any], ports: Sequence[OutputPort], first_label: object) -> tuple[str, str]:
    """Say which task labels are for, and what that was taken from.

    Raises:
        OptionError: nothing says it.
    """
    # An array of shape (rows, 1) has one label a row.
    is_list = isinstance(first_label, list | tuple) or getattr(first_label, "size", 1) > 1
    for name in _architectures(config):
        for head, task in _HEADS:
            if head in name:
                told = _PROBLEMS.get(str(config.get("problem_type")), task)
                single = told == "classification" and _label_count(config) == 1
                chosen = "multi-label" if task == "classification" and is_list else "regression" if single else told
                return chosen, f"config.json: {name}"
    named = [port.name for port in ports]
    if any("start" in name for name in named) and any("end" in name for name in named):
        return "question-answering", f"outputs {', '.join(named)}"
    first = ports[0] if ports else OutputPort(name="", rank=None, width=None)
    seen = f"output {first.name} with {first.rank} axes"
    if first.rank == 3 and is_list:
        return "token-classification", seen
    if first.rank == 2 and first.width == 1:
        return "regression", f"{seen}, the last of size 1"
    if first.rank == 2:
        return ("multi-label" if is_list else "classification"), seen
    raise OptionError(f"labels are given, but nothing says what for; name one with --task: {', '.join(TASKS)}")


def make_task(name: str, labelling: Labelling, ids: str) -> Task:
    """Make the task called `name`; `ids` is the input with the tokens, empty where there is none.

    Raises:
        OptionError: labels or outputs are not those of the task.
    """
    if not labelling.values and name not in UNLABELLED:
        raise OptionError(f"task {name} needs labels; name the column with --labels")
    if name == "perplexity" and labelling.values:
        raise OptionError(
            "task perplexity takes the next token for its label; leave out --labels, or name another --task"
        )
    match name:
        case "classification":
            return Classification.of(labelling)
        case "multi-label":
            return MultiLabel.of(labelling)
        case "token-classification":
            return TokenClassification.of(labelling)
        case "regression":
            return Regression.of(labelling)
        case "similarity":
            return Similarity.of(labelling)
        case "retrieval":
            return Retrieval.of(labelling)
        case "question-answering":
            return QuestionAnswering.of(labelling)
    if not ids:
        raise OptionError(
            "task perplexity needs an input with tokens, such as input_ids; the model has none in the data"
        )
    return Perplexity.of(labelling, ids)


def read_ports(model: ir.Model) -> tuple[OutputPort, ...]:
    """Describe the outputs as the graph declares them."""
    return tuple(_read_port(value) for value in model.graph.outputs)


def _read_port(value: ir.Value) -> OutputPort:
    dims = value.shape
    width = dims[-1] if dims is not None and len(dims) else None
    return OutputPort(
        name=value.name or "",
        rank=None if dims is None else len(dims),
        width=width if isinstance(width, int) else None,
        is_probability=_is_probability(value),
    )


def _is_probability(value: ir.Value | None) -> bool:
    for _ in range(8):
        node = value.producer() if value is not None else None
        if node is None or node.op_type not in _CARRIERS:
            return node is not None and node.op_type in _FINAL
        value = node.inputs[0]
    return False


def _architectures(config: Mapping[str, Any]) -> Sequence[str]:
    names = config.get("architectures")
    return [str(name) for name in names] if isinstance(names, list) else []


def _label_count(config: Mapping[str, Any]) -> int:
    names = config.get("id2label")
    return len(names) if isinstance(names, dict) else 0
