"""Prompts and completions as token arrays: the rows of a causal language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from transformers import PreTrainedTokenizerBase

from raykd.data.encoded import Encoded, encoded, tokenizer_fingerprint
from raykd.data.prepared import Prepared
from raykd.data.token_lists import flat
from raykd.errors import UserError
from raykd.models import loading
from raykd.runtime.memo import digest

if TYPE_CHECKING:
    from raykd.config.task import TaskConfig

Pair = tuple[str, str]
"""A prompt and its completion, as texts."""


def encode(
    prepared: Prepared, split: str, tokenizer: PreTrainedTokenizerBase, task: TaskConfig,
    home: Path,
) -> Encoded:  # fmt: skip
    """For training: prompts with their completions, which end with the end-of-text token. For
    evaluation: prompts with each of their choices, or prompts only. Texts longer than `max_length`
    are cut, prompts at their beginning. Raises UserError if the chat template is missing, and if
    targets are longer than the limit on generated texts or cut more often than
    `task.cut_completions`."""
    if task.chat and not tokenizer.chat_template:
        raise UserError(
            "task.chat: the teacher's tokenizer has no chat template; leave `chat` out, or name a "
            "teacher that was tuned to chat"
        )
    limit = min(task.max_length, tokenizer.model_max_length)
    if task.choices is None and task.generate >= tokenizer.model_max_length:
        raise UserError(
            f"task.generate: {task.generate} tokens leave no room for a prompt in the teacher's "
            f"{tokenizer.model_max_length} positions; write fewer"
        )
    parts = [
        "prompted", prepared.fingerprint, split, tokenizer_fingerprint(tokenizer), limit,
        task.separator, tokenizer.chat_template if task.chat else None, task.generate,
    ]  # fmt: skip
    arrays = encoded(home, digest(parts), lambda: _arrays(prepared, split, tokenizer, task, limit))
    if split == "train" and task.choices is None:
        assert arrays.whole_targets is not None
        loading.refuse_long("task.generate", task.generate, arrays.whole_targets)
    refuse_cut(arrays, task, limit)
    return arrays


def refuse_cut(arrays: Encoded, task: TaskConfig, limit: int) -> None:
    """Raises UserError if more completions than the sweep file allows are cut at `limit` tokens:
    they lose their end token, and models trained on them never end a text."""
    if arrays.whole_targets is None:
        return
    longer = arrays.whole_targets > np.diff(arrays.position_offsets)
    if longer.mean() > task.cut_completions:
        advice = f"write at least {arrays.whole_targets.max() + 1}"
        if limit < task.max_length:
            advice = "the model has no more positions: shorten them"
        raise UserError(
            f"task.max_length: {longer.sum():,} of {len(longer):,} completions are cut at {limit} "
            f"tokens and lose their end; {advice}, or allow it: "
            f"`cut_completions: {np.ceil(longer.mean() * 100) / 100:g}`"
        )


def _arrays(
    prepared: Prepared, split: str, tokenizer: PreTrainedTokenizerBase, task: TaskConfig, limit: int
) -> dict[str, np.ndarray]:
    rows = prepared.rows(split)
    ids, prompts = np.array(rows["id"][:]), rows["text"][:]
    choices = rows["choices"][:] if "choices" in rows.column_names else None
    labels = {"labels": np.array(rows["label"][:])} if split == "select" else {}
    if split == "train":
        completions = rows["label"][:]
        if choices is not None:
            completions = [
                row_choices[i] for row_choices, i in zip(choices, completions, strict=True)
            ]
        pairs = [
            _pair(tokenizer, task, *x, end=True) for x in zip(prompts, completions, strict=True)
        ]
        return {**_flat(tokens(pairs, tokenizer, task, limit)), "ids": ids}
    if choices is None:
        prompt_tokens = tokens(
            [_pair(tokenizer, task, p, "") for p in prompts], tokenizer, task, limit
        )
        whole_prompts = np.array([x.whole for x in prompt_tokens], np.int32)
        return {
            **flat("input_ids", "offsets", [x.prompt for x in prompt_tokens]),
            "ids": ids, "whole": whole_prompts, **labels,
        }  # fmt: skip
    pairs = [
        _pair(tokenizer, task, p, c)
        for p, row_choices in zip(prompts, choices, strict=True)
        for c in row_choices
    ]
    counts = np.array([len(row_choices) for row_choices in choices])
    return {
        **_flat(tokens(pairs, tokenizer, task, limit)),
        "ids": np.repeat(ids, counts),
        "groups": np.concatenate([[0], np.cumsum(counts)]),
        "chars": np.array([len(c) for row_choices in choices for c in row_choices]),
        **labels,
    }


@dataclass(frozen=True)
class Tokens:
    """A row for training, and the numbers of tokens of the row and of its completion before the
    cut."""

    prompt: list[int]
    completion: list[int]
    whole: int
    whole_completion: int


def _flat(token_rows: Sequence[Tokens]) -> dict[str, np.ndarray]:
    return {
        **flat("input_ids", "offsets", [row.prompt + row.completion for row in token_rows]),
        **flat("targets", "target_offsets", [row.completion for row in token_rows]),
        "whole": np.array([row.whole for row in token_rows], np.int32),
        "whole_targets": np.array([row.whole_completion for row in token_rows], np.int32),
    }


def _pair(
    tokenizer: PreTrainedTokenizerBase,
    task: TaskConfig,
    prompt: str,
    completion: str,
    end: bool = False,
) -> Pair:
    """The texts as the model sees them; with `end`, the completion includes its end token."""
    if not task.chat:
        end_token = tokenizer.eos_token if end and tokenizer.eos_token else ""
        return (prompt, f"{task.separator}{completion}{end_token}" if completion else "")
    question = [{"role": "user", "content": prompt}]
    prompt_text: str = tokenizer.apply_chat_template(
        question, tokenize=False, add_generation_prompt=True
    )
    if not end:
        return prompt_text, completion
    dialogue = [*question, {"role": "assistant", "content": completion}]
    full_text: str = tokenizer.apply_chat_template(dialogue, tokenize=False)
    if not full_text.startswith(prompt_text):  # the template formats an answered turn differently
        return prompt_text, completion + (tokenizer.eos_token or "")
    return prompt_text, full_text.removeprefix(prompt_text).rstrip("\n")


def tokens(
    pairs: Sequence[Pair], tokenizer: PreTrainedTokenizerBase, task: TaskConfig, limit: int
) -> list[Tokens]:
    """Prompt and completion as tokens of one text, so that no word is split where they meet. A
    prompt has at least one token, from which the first token of the completion is predicted."""
    all_ids = tokenizer([p + c for p, c in pairs], add_special_tokens=False)["input_ids"]
    # A space before a completion is part of its first token.
    all_prompt_ids = tokenizer(
        [p.rstrip(" ") if c else p for p, c in pairs], add_special_tokens=False
    )
    begin = [] if task.chat else first_tokens(tokenizer)
    token_rows = []
    for ids, prompt_ids, (_, completion) in zip(
        all_ids, all_prompt_ids["input_ids"], pairs, strict=True
    ):
        prompt_length = min(len(prompt_ids), len(ids) - 1) if completion else len(ids)
        prompt, completion_ids = begin + ids[:prompt_length], ids[prompt_length:][: limit - 1]
        if not prompt:
            prompt = [tokenizer.eos_token_id or 0]
        completion_length = len(ids) - prompt_length
        prompt_end = prompt[-(limit - len(completion_ids)) :]
        token_rows.append(
            Tokens(prompt_end, completion_ids, len(prompt) + completion_length, completion_length)
        )
    return token_rows


def first_tokens(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The token that the tokenizer adds at the beginning of every text, if it does."""
    bos = tokenizer.bos_token_id
    return [bos] if bos is not None and bos in tokenizer("x")["input_ids"] else []
