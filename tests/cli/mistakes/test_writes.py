"""Mistakes about models that write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ...support.lm_world import write_lm_sweep
from ...support.world_seq2seq import write_sweep as write_pairs_sweep
from . import Edit, change, refused

HALVES = {"strategy": "custom", "map": {"encoder": [2, 4], "decoder": [4, 2]}}
# What tokens alone show is told when the teacher is made.
WRITES: dict[str, tuple[str, Callable[[Path], Path], Edit, tuple[str, ...]]] = {
    "halves of a map for a decoder alone": (
        "plan", write_lm_sweep, lambda d: d["confirm"].update(strategies=[HALVES]),
        ("confirm.strategies.0.map", "has a half for a decoder", "one stack", "write a list"),
    ),
    "a map without its decoder's half": (
        "plan", write_pairs_sweep,
        lambda d: d["confirm"].update(strategies=[{"strategy": "custom", "map": [2, 4]}]),
        ("confirm.strategies.0.map", "[2, 4]", "no half for the decoder", "{encoder: [2, 4], dec"),
    ),
    "a decoder alone where a text is to be written of another": (
        "plan", write_lm_sweep,
        lambda d: d.update(task={"kind": "seq2seq", "data": d["task"]["data"], "source": "text",
                                 "target": "label"}),
        ("task.kind", "the teacher has no decoder"),
    ),
    "adapters on layers that are not there": (
        "plan", write_lm_sweep, lambda d: d["training"].update(lora={"targets": ["q_prj"]}),
        ("training.lora.targets", "'q_prj' matches no linear layer", "q_proj, k_proj"),
    ),
    "a prompt of a column that is missing": (
        "plan", write_lm_sweep, lambda d: d["task"].update(prompt="{review}?"),
        ("task.prompt", "'review'", "text, label"),
    ),
    "a completion that is missing": (
        "plan", write_lm_sweep, lambda d: d["task"].update(completion="answer"),
        ("task.completion", "'answer'", "text, label"),
    ),
    "a target that is missing": (
        "plan", write_pairs_sweep, lambda d: d["task"].update(target="fr"),
        ("task.target", "'fr'", "en, ro"),
    ),
    "angles in two stacks": (
        "angles", write_pairs_sweep, lambda d: None,
        ("teacher.model", "models of one stack", "is an encoder-decoder"),
    ),
    "completions longer than may be written": (
        "teacher", write_lm_sweep,
        lambda d: d.update(task={**d["task"], "choices": None, "generate": 1}),
        ("task.generate", "1 tokens", "training targets are longer", "at least 2"),
    ),
    "targets longer than may be written": (
        "teacher", write_pairs_sweep, lambda d: d["task"].update(generation={"max_length": 3}),
        ("task.generation.max_length", "3 tokens", "training targets are longer", "at least 7"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRITES)
def test_a_mistake_about_a_model_that_writes(folder: Path, case: str) -> None:
    command, write, edit, wanted = WRITES[case]
    (folder / "own").mkdir()
    write(folder / "own")
    path = change(folder / "own", edit)
    refused(command, path, wanted=wanted)
