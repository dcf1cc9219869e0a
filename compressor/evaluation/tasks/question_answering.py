"""Score question answering: F1 between the words of the span found and those of the answer (SQuAD)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from compressor.errors import OptionError
from compressor.evaluation.contract import Array
from compressor.evaluation.tasks.contract import Alignment, Batch, Labelling
from compressor.evaluation.tasks.labels import list_of
from compressor.evaluation.tasks.outputs import read_output

LONGEST_ANSWER = 30
"""Tokens of an answer at most, as the scripts that came with BERT have it."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionAnswering:
    """A span of the context for each question.

    Attributes:
        start, end: the outputs with a number for each position.
        answers: the texts that are right for each sample; an empty one where there is no answer.
        alignment: the characters of each token.
    """

    start: str
    end: str
    answers: Sequence[Sequence[str]]
    alignment: Sequence[Alignment]
    name: str = "question-answering"
    metric: str = "F1"
    is_less_better: bool = False
    is_right_or_wrong: bool = False

    @classmethod
    def of(cls, labelling: Labelling) -> QuestionAnswering:
        """Make the task from answers: a text, a list of texts, or an object as in SQuAD with its texts in ``text``."""
        names = [port.name for port in labelling.outputs]
        starts, ends = ([name for name in names if word in name] for word in ("start", "end"))
        if not starts or not ends:
            raise OptionError(
                f"task question-answering needs outputs for start and end, the model has {', '.join(names)}; "
                "name another --task"
            )
        if not labelling.alignment:
            raise OptionError("task question-answering needs the question and its context as text columns")
        answers = [_texts(value) for value in labelling.values]
        return cls(start=starts[0], end=ends[0], answers=answers, alignment=labelling.alignment)

    def read(self, batch: Batch) -> Array:
        """Keep the first and the last token of the best span."""
        start, end = (read_output(batch, name, 2, self.name) for name in (self.start, self.end))
        spans = np.zeros((len(start), 2), np.int64)
        for row, place in enumerate(batch.places):
            known = self.alignment[place]
            shift = start.shape[1] - len(known.parts) if known.is_left_padded else 0
            inside = slice(shift, shift + len(known.parts))
            spans[row] = self._span(start[row, inside], end[row, inside], known)
        return spans

    def _span(self, start: Array, end: Array, known: Alignment) -> tuple[int, int]:
        """Choose a span of the last text; none where some questions have no answer and the first token scores more."""
        first, last = best_span(start, end, known.parts == max(known.parts.max(initial=0), 0))
        may_be_none = first >= 0 and any("" in answers for answers in self.answers)
        return (-1, -1) if may_be_none and start[0] + end[0] > start[first] + end[last] else (first, last)

    def score(self, facts: Array, original: Array) -> Array:
        """Compare the text of each span with the answers, and take the best match."""
        found = [self._text(place, *span) for place, span in enumerate(facts.tolist())]
        matched = zip(found, self.answers, strict=True)
        return np.array([max(word_f1(text, answer) for answer in answers) for text, answers in matched])

    def _text(self, place: int, first: int, last: int) -> str:
        known = self.alignment[place]
        return known.text[known.starts[first] : known.ends[last]] if first >= 0 else ""

    def summarize(self, scores: Array) -> float:
        """Give the mean F1."""
        return float(scores.mean())

    def each(self, scores: Array) -> Array:
        """Score samples by themselves."""
        return scores


def best_span(start: Array, end: Array, allowed: Array) -> tuple[int, int]:
    """Find the span of at most `LONGEST_ANSWER` allowed tokens with the largest sum of both; (-1, -1) where none is."""
    where = np.flatnonzero(allowed)
    if not where.size:
        return -1, -1
    sums = start[where, None].astype(np.float64) + end[None, where].astype(np.float64)
    length = where[None, :] - where[:, None]
    sums = np.where((length >= 0) & (length < LONGEST_ANSWER) & ~np.isnan(sums), sums, -np.inf)
    first, last = divmod(int(np.argmax(sums)), len(where))
    return int(where[first]), int(where[last])


def word_f1(found: str, answer: str) -> float:
    """Compute F1 over words, as SQuAD's script does (Rajpurkar et al., EMNLP 2016)."""
    first, second = _words(found), _words(answer)
    if not first or not second:
        return float(first == second)
    common = sum((Counter(first) & Counter(second)).values())
    return 2 * common / (len(first) + len(second))


def _words(text: str) -> list[str]:
    """Lower the case, drop punctuation and articles, cut at blanks."""
    return _ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split()


def _texts(value: object) -> Sequence[str]:
    if isinstance(value, Mapping):
        value = value.get("text", [])
    if isinstance(value, str) and not value.strip().startswith("["):
        return [value]
    return [str(text) for text in list_of(value)] or [""]
