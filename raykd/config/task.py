"""The section `task` of a sweep file: the task, its data and its metric."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from raykd.config.value_types import Positive
from raykd.config.yaml_file import Compound, Model, Plain, by, unknown
from raykd.runtime.plugins import plugin_hash
from raykd.tasks.kinds.metric import Metric, default_metric, metric_of, metrics
from raykd.tasks.kinds.task_kind import FIELD, KEYS, TaskKind, in_words, task_kind, task_kinds

CLASS_KEYS = ("rows_by", "min_class_rows", "class_weights")
PART = re.compile(r"[A-Za-z0-9]+")


def _known_kind(name: object) -> object:
    if name not in [*task_kinds()]:
        *others, last = (f"'{kind}'" for kind in task_kinds())
        expected = f"{', '.join(others)} or {last}"
        raise PydanticCustomError("literal_error", "unknown", {"expected": expected})
    return name


Kind = Annotated[
    str,
    BeforeValidator(_known_kind),
    # Evaluated on use, as a plug-in may add kinds.
    Field(json_schema_extra=lambda schema: schema.update(enum=[*task_kinds()])),
]


class Generation(Model):
    """How texts are written when a model that writes is evaluated: greedily, or by beam search."""

    beams: Positive = Field(1, description="1: greedily")
    max_length: Positive | None = Field(
        None, description="tokens; default: `max_target_length`. What is cut off is counted"
    )


class Files(Model):
    """One data set in several files. A split without one is cut from train by hash."""

    train: str = Field(examples=["train.csv"])
    select: str | None = None
    test: str | None = Field(None, examples=["test.csv"])


class TaskConfig(Model):
    """What is learned, and from which rows."""

    kind: Kind = "classification"
    data: Annotated[Annotated[str, Plain] | Annotated[Files, Compound], by(Files)] = Field(
        examples=["movie-reviews"],
        description="`movie-reviews`, `snippets` (texts without labels), a CSV/TSV/JSONL/Parquet "
        "path, a folder with train.csv and test.csv, or a hub name",
    )
    revision: str | None = Field(None, description="a hub data set's revision (commit or tag)")
    subset: str | None = Field(None, description="a hub data set's configuration name")
    text: Annotated[Annotated[str, Plain] | Annotated[tuple[str, ...], Compound], by(tuple)] = (
        Field("text", description="one text column, or two for pairs")
    )
    label: str = "label"
    source: str = Field("source", description="seq2seq: the column of what is read")
    target: str = Field("target", description="seq2seq: the column of what is to be written")
    prefix: str = Field("", description="seq2seq: stands before every source, as T5 has it")
    references: str | None = Field(
        None, description="seq2seq: a column with a list of what is right beside the target"
    )
    languages: tuple[str, ...] | None = Field(
        None, description="seq2seq: source and target as mBART's tokenizer names them"
    )
    max_target_length: Positive = Field(
        128, description="seq2seq: tokens of a target; longer ones are cut for training"
    )
    generation: Generation = Generation()
    prompt: str | None = Field(
        None, description="causal_lm: a column, or a text with {columns} in braces"
    )
    completion: str | None = Field(
        None, description="causal_lm: a column with what follows the prompt, or the right choice"
    )
    choices: (
        Annotated[
            Annotated[str, Plain] | Annotated[tuple[str, ...], Compound],
            by(tuple),
        ]
        | None
    ) = Field(None, description="causal_lm: what may follow, or a column with a list of it")
    separator: str = Field(" ", description="causal_lm: between prompt and completion")
    chat: bool = Field(False, description="causal_lm: wrap both in the tokenizer's chat template")
    generate: Positive = Field(64, description="causal_lm: tokens to write at most, to be scored")
    cut_completions: float = Field(
        0.01, ge=0, le=1,
        description="causal_lm: share of completions that `max_length` may cut; more are refused",
    )  # fmt: skip
    split: str | None = Field(None, description="a column holding train / select / test")
    test_splits: dict[str, str] | None = Field(
        None,
        description="parts of test, each a split of the data's own; the metric is of the first",
    )
    join: tuple[str, ...] = Field(
        (), description="between the parts of a text that is a list, then of lists within it"
    )
    unfold: Literal["coqa"] | None = Field(None, description="how a row becomes several")
    drop_empty: bool = Field(False, description="leave rows out in which a text or answer is empty")
    select_share: float = Field(0.1, gt=0, lt=1, description="share of rows split off by hash")
    test_share: float = Field(0.2, gt=0, lt=1, description="share of rows split off by hash")
    rows: Positive | None = Field(None, description="train on at most so many rows")
    rows_by: Literal["class", "hash"] = Field(
        "class",
        description="classification: how `rows` are chosen. class: each class keeps its share, and "
        "one row at least; hash: by their hashes alone, as in 0.1.0",
    )
    min_class_rows: Positive | None = Field(
        None, description="classification: leave classes out that have fewer training rows"
    )
    class_weights: Literal["balanced"] | dict[str, float] | None = Field(
        None,
        examples=["balanced", {"urgent": 3.0}],
        description="classification: weights in the cross entropy of teacher and students. "
        "balanced: the inverse of a class's share; or a mapping, 1 for classes it leaves out",
    )
    max_length: Positive = Field(128, description="tokens; longer texts are cut")
    metric: str = Field("accuracy", description="default: accuracy, acc, exact_match, chrf or nats")

    @field_validator("class_weights", mode="before")
    @classmethod
    def _weights(cls, value: Any) -> Any:
        if value is None or value == "balanced":
            return value
        numbers = [*value.values()] if isinstance(value, dict) else []
        if not numbers or not all(type(n) in (int, float) and 0 < n < math.inf for n in numbers):
            raise ValueError(
                f"{value!r} is neither `balanced` nor a mapping of labels to numbers above 0, such "
                "as {urgent: 3.0}"
            )
        return {str(label): float(number) for label, number in value.items()}

    @field_validator("languages")
    @classmethod
    def _a_pair(cls, languages: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if languages is not None and len(languages) != 2:
            raise ValueError("name two languages, such as [en_XX, ro_RO]")
        return languages

    @field_validator("test_splits")
    @classmethod
    def _parts(cls, parts: dict[str, str] | None) -> dict[str, str] | None:
        if parts is None:
            return None
        if len(parts) < 2 or len({*parts.values()}) < len(parts):
            raise ValueError("name two different splits or more, such as {m: matched, mm: other}")
        if invalid := [part for part in parts if not PART.fullmatch(part)]:
            raise ValueError(f"{invalid[0]!r} is part of a metric's name; write letters and digits")
        return parts

    @field_validator("text")
    @classmethod
    def _one_or_two(cls, text: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not isinstance(text, str) and len(text) not in (1, 2):
            raise ValueError("name one text column, or two for a pair of texts")
        return text

    @model_validator(mode="before")
    @classmethod
    def _usual_metric(cls, value: Any) -> Any:
        if isinstance(value, dict) and "metric" not in value:
            kind = value.get("kind", "classification")
            metric = default_metric(str(kind), value.get("choices") is not None)
            return value if metric is None else {**value, "metric": metric}
        return value

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str, info: ValidationInfo) -> str:
        if "kind" not in info.data:  # an error of `kind` itself
            return metric
        kind = info.data["kind"]
        metrics_of_kind = metrics(kind)
        if metric not in metrics_of_kind:
            raise ValueError(unknown(metric, tuple(metrics_of_kind)))
        return metric

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        rows = self.of_kind.rows
        other_keys = {k for keys in KEYS.values() for k in keys} - {*KEYS[rows]}
        defaults = {k: type(self).model_fields[k].default for k in other_keys}
        if foreign := sorted(k for k in other_keys if getattr(self, k) != defaults[k]):
            kinds = in_words(k for k in task_kinds().values() if foreign[0] in KEYS[k.rows])
            raise ValueError(f"`{foreign[0]}` goes with {kinds}; leave it out, or write that kind")
        stated = (k for k in CLASS_KEYS if getattr(self, k) != type(self).model_fields[k].default)
        if not self.of_kind.classes and (key := next(stated, None)):
            raise ValueError(f"`{key}` is for classes, and `kind: {self.kind}` has none")
        if rows == "prompt":
            self._with_what_follows()
        if rows == "plain" and not (isinstance(self.text, str) or len(self.text) == 1):
            raise ValueError(f"`kind: {self.kind}` reads one `text` column")
        if rows == "plain" and self.max_length < 2:
            raise ValueError("`max_length` is 1, and the first token is not predicted; write more")
        return self

    def _with_what_follows(self) -> None:
        if self.prompt is None or self.completion is None:
            missing = "prompt" if self.prompt is None else "completion"
            raise ValueError(
                f"`kind: {self.kind}` needs a `{missing}`; write for example "
                '`prompt: "Review: {text} Sentiment:"` and `completion: label`'
            )
        if not isinstance(self.choices, str | None) and len({*self.choices}) < 2:
            raise ValueError("`choices` are a list of two different texts or more, or a column")
        if metric_of(self.kind, self.metric).choices != (self.choices is not None):
            fitting = [
                name for name, other in metrics(self.kind).items()
                if other.choices == (self.choices is not None)
            ]  # fmt: skip
            write = " or ".join(fitting)
            raise ValueError(
                f"metric {self.metric} is "
                + ("of choices, and there are none" if self.choices is None else "of a free text")
                + f"; write {write}"
            )

    @property
    def named(self) -> str:
        """Name of the data in messages."""
        if isinstance(self.data, str):
            return self.data
        return ", ".join(path for _, path in self.data if path is not None)

    @property
    def has_default_metric(self) -> bool:
        return self.metric == default_metric(self.kind, self.choices is not None)

    @property
    def scored_by(self) -> Metric:
        """The metric that selects students."""
        return metric_of(self.kind, self.metric)

    @property
    def of_kind(self) -> TaskKind:
        """The description of the task kind."""
        return task_kind(self.kind)

    @property
    def reading(self) -> object:
        """All settings that decide how rows become tokens and answers, except the tokenizer."""
        reading = [self.kind, self._reading] if self.of_kind.named else self._reading
        implementation = self.of_kind.implementation
        plugin = None if isinstance(implementation, str) else plugin_hash(implementation)
        return reading if plugin is None else [reading, plugin]

    @property
    def _reading(self) -> object:
        if self.of_kind.rows in ("text", "plain"):
            return self.max_length
        if self.of_kind.rows == "source":
            keys = {"max_length", "max_target_length", "prefix", "languages", "generation"}
            return self.model_dump(mode="json", include=keys)
        return [self.max_length, self.separator, self.chat, self.generate]

    @property
    def writes(self) -> int | None:
        """The most tokens of a generated answer; None if answers are not texts."""
        if not self.of_kind.generates or self.choices is not None:
            return None
        if self.of_kind.rows == "source":
            return self.generation.max_length or self.max_target_length
        return self.generate

    @property
    def prompt_columns(self) -> list[str]:
        """Columns that the prompt names in braces; a prompt without braces names one column."""
        return list(dict.fromkeys(FIELD.findall(self.prompt or ""))) or [self.prompt or ""]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the input."""
        if self.of_kind.rows == "source":
            return (self.source,)
        return (self.text,) if isinstance(self.text, str) else self.text
