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
from raykd.tasks.family import Names

if TYPE_CHECKING:
    from raykd.config.task import Task

Pair = tuple[str, str]
"""A prompt, and what follows it, as texts."""


def encode(
    prepared: Prepared, split: str, tokenizer: PreTrainedTokenizerBase, names: Names, task: Task,
    home: Path,
) -> Encoded:  # fmt: skip
    """To learn from: prompts with their completion, which ends with the end-of-text token. To be
    answered: prompts with each of their choices; or prompts alone. What does not fit `max_length`
    is cut, prompts at their beginning. Raises UserError for a chat template that is not there, and
    for targets longer than may be written, or cut more often than `task.cut_completions`."""
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
    found = encoded(home, digest(parts), lambda: _arrays(prepared, split, tokenizer, task, limit))
    if split == "train" and task.choices is None:
        assert found.whole_targets is not None
        loading.refuse_long("task.generate", task.generate, found.whole_targets)
    refuse_cut(found, task, limit)
    return found


def refuse_cut(found: Encoded, task: Task, limit: int) -> None:
    """Raises UserError where more completions than the file allows are cut at `limit` tokens: they
    lose their end, and models that learn from them never end a text."""
    if found.whole_targets is None:
        return
    longer = found.whole_targets > np.diff(found.position_offsets)
    if longer.mean() > task.cut_completions:
        mend = f"write at least {found.whole_targets.max() + 1}"
        if limit < task.max_length:
            mend = "the model has no more positions: shorten them"
        raise UserError(
            f"task.max_length: {longer.sum():,} of {len(longer):,} completions are cut at {limit} "
            f"tokens and lose their end; {mend}, or allow it: "
            f"`cut_completions: {np.ceil(longer.mean() * 100) / 100:g}`"
        )


def _arrays(
    prepared: Prepared, split: str, tokenizer: PreTrainedTokenizerBase, task: Task, limit: int
) -> dict[str, np.ndarray]:
    rows = prepared.rows(split)
    ids, prompts = np.array(rows["id"][:]), rows["text"][:]
    choices = rows["choices"][:] if "choices" in rows.column_names else None
    labels = {"labels": np.array(rows["label"][:])} if split == "select" else {}
    if split == "train":
        right = rows["label"][:]
        if choices is not None:
            right = [own[i] for own, i in zip(choices, right, strict=True)]
        whole = [_pair(tokenizer, task, *x, end=True) for x in zip(prompts, right, strict=True)]
        found = tokens(whole, tokenizer, task, limit)
        return {**_flat(found), "ids": ids}
    if choices is None:
        starts = tokens([_pair(tokenizer, task, p, "") for p in prompts], tokenizer, task, limit)
        whole_prompts = np.array([x.whole for x in starts], np.int32)
        return {
            **flat("input_ids", "offsets", [x.prompt for x in starts]),
            "ids": ids, "whole": whole_prompts, **labels,
        }  # fmt: skip
    pairs = [
        _pair(tokenizer, task, p, c) for p, own in zip(prompts, choices, strict=True) for c in own
    ]
    counts = np.array([len(own) for own in choices])
    return {
        **_flat(tokens(pairs, tokenizer, task, limit)),
        "ids": np.repeat(ids, counts),
        "groups": np.concatenate([[0], np.cumsum(counts)]),
        "chars": np.array([len(c) for own in choices for c in own]),
        **labels,
    }


@dataclass(frozen=True)
class Tokens:
    """A row as it is learned from, and how many tokens it and its completion had before the cut."""

    prompt: list[int]
    completion: list[int]
    whole: int
    whole_completion: int


def _flat(found: Sequence[Tokens]) -> dict[str, np.ndarray]:
    return {
        **flat("input_ids", "offsets", [x.prompt + x.completion for x in found]),
        **flat("targets", "target_offsets", [x.completion for x in found]),
        "whole": np.array([x.whole for x in found], np.int32),
        "whole_targets": np.array([x.whole_completion for x in found], np.int32),
    }


def _pair(
    tokenizer: PreTrainedTokenizerBase, task: Task, prompt: str, completion: str, end: bool = False
) -> Pair:
    """The texts as the model sees them; with its `end`, a completion is whole."""
    if not task.chat:
        stop = tokenizer.eos_token if end and tokenizer.eos_token else ""
        return (prompt, f"{task.separator}{completion}{stop}" if completion else "")
    asked = [{"role": "user", "content": prompt}]
    before: str = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    if not end:
        return before, completion
    answered = [*asked, {"role": "assistant", "content": completion}]
    whole: str = tokenizer.apply_chat_template(answered, tokenize=False)
    if not whole.startswith(before):  # a template that writes an answered turn in another way
        return before, completion + (tokenizer.eos_token or "")
    return before, whole.removeprefix(before).rstrip("\n")


def tokens(
    pairs: Sequence[Pair], tokenizer: PreTrainedTokenizerBase, task: Task, limit: int
) -> list[Tokens]:
    """Prompt and completion as tokens of one text, so that a word is not cut in two where they
    meet. A prompt has at least one token, from which the first of the completion is told."""
    wholes = tokenizer([p + c for p, c in pairs], add_special_tokens=False)["input_ids"]
    # A space before a completion is part of its first token.
    heads = tokenizer([p.rstrip(" ") if c else p for p, c in pairs], add_special_tokens=False)
    begin = [] if task.chat else _begin(tokenizer)
    found = []
    for whole, head, (_, completion) in zip(wholes, heads["input_ids"], pairs, strict=True):
        cut = min(len(head), len(whole) - 1) if completion else len(whole)
        prompt, rest = begin + whole[:cut], whole[cut:][: limit - 1]
        if not prompt:
            prompt = [tokenizer.eos_token_id or 0]
        after = len(whole) - cut
        kept = prompt[-(limit - len(rest)) :]
        found.append(Tokens(kept, rest, len(prompt) + after, after))
    return found


def _begin(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The token that the tokenizer puts before every text, where it does."""
    bos = tokenizer.bos_token_id
    return [bos] if bos is not None and bos in tokenizer("x")["input_ids"] else []
