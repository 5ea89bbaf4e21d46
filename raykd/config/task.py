"""The part of the sweep file that says what is learned, and from which rows."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from raykd.config.design import Positive
from raykd.config.task_keys import FIELD, KEYS, METRICS, OF_CHOICES, default_metric
from raykd.config.yaml_file import Compound, Model, Plain, by, unknown

PART = re.compile(r"[A-Za-z0-9]+")


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


class Task(Model):
    """What is learned, and from which rows."""

    kind: Literal["classification", "seq2seq", "causal_lm"] = "classification"
    data: Annotated[Annotated[str, Plain] | Annotated[Files, Compound], by(Files)] = Field(
        examples=["movie-reviews"],
        description="`movie-reviews`, a CSV/TSV/JSONL/Parquet path, a folder with train.csv and "
        "test.csv, or a hub name",
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
    max_length: Positive = Field(128, description="tokens; longer texts are cut")
    metric: str = Field("accuracy", description="default: accuracy, acc, exact_match or chrf")

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
        if odd := [part for part in parts if not PART.fullmatch(part)]:
            raise ValueError(f"{odd[0]!r} is part of a metric's name; write letters and digits")
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
            usual = default_metric(value.get("kind"), value.get("choices") is not None)
            return {**value, "metric": usual}
        return value

    @field_validator("metric")
    @classmethod
    def _known(cls, metric: str, info: ValidationInfo) -> str:
        known = METRICS.get(info.data.get("kind", ""), (metric,))
        if metric not in known:
            raise ValueError(unknown(metric, known))
        return metric

    @model_validator(mode="after")
    def _of_its_kind(self) -> Self:
        others = {k for keys in KEYS.values() for k in keys} - {*KEYS[self.kind]}
        usual = {k: type(self).model_fields[k].default for k in others}
        if alien := sorted(k for k in others if getattr(self, k) != usual[k]):
            kinds = " or ".join(f"`kind: {k}`" for k, keys in KEYS.items() if alien[0] in keys)
            raise ValueError(f"`{alien[0]}` goes with {kinds}; leave it out, or write that kind")
        if self.kind == "causal_lm":
            self._with_what_follows()
        return self

    def _with_what_follows(self) -> None:
        if self.prompt is None or self.completion is None:
            lacking = "prompt" if self.prompt is None else "completion"
            raise ValueError(
                f"`kind: causal_lm` needs a `{lacking}`; write for example "
                '`prompt: "Review: {text} Sentiment:"` and `completion: label`'
            )
        if not isinstance(self.choices, str | None) and len({*self.choices}) < 2:
            raise ValueError("`choices` are a list of two different texts or more, or a column")
        if (self.metric in OF_CHOICES) != (self.choices is not None):
            write = "exact_match or f1" if self.choices is None else "acc or acc_norm"
            raise ValueError(
                f"metric {self.metric} is "
                + ("of choices, and there are none" if self.choices is None else "of a free text")
                + f"; write {write}"
            )

    @property
    def named(self) -> str:
        """The data, in words."""
        if isinstance(self.data, str):
            return self.data
        return ", ".join(path for _, path in self.data if path is not None)

    @property
    def reading(self) -> object:
        """What decides how rows come to be tokens and answers, beside the tokenizer."""
        if self.kind == "classification":
            return self.max_length
        if self.kind == "seq2seq":
            own = {"max_length", "max_target_length", "prefix", "languages", "generation"}
            return self.model_dump(mode="json", include=own)
        return [self.max_length, self.separator, self.chat, self.generate]

    @property
    def writes(self) -> int | None:
        """Tokens that an answer may have; None where answers are no texts."""
        if self.kind == "seq2seq":
            return self.generation.max_length or self.max_target_length
        return self.generate if self.kind == "causal_lm" and self.choices is None else None

    @property
    def prompt_columns(self) -> list[str]:
        """The columns that a prompt names in braces; a prompt without any is itself a column."""
        return list(dict.fromkeys(FIELD.findall(self.prompt or ""))) or [self.prompt or ""]

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of what is read."""
        if self.kind == "seq2seq":
            return (self.source,)
        return (self.text,) if isinstance(self.text, str) else self.text
