"""Encoder-decoders through the loop: what is told of both stacks, what is written, what is frozen.
The loop's invariants over every class are in test_model_classes.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from raykd.config.cohort import Cohort
from raykd.config.sweep import load
from raykd.config.trial import TrialSpec
from raykd.planning.resolve import resolve
from raykd.planning.study import Study
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.runtime.execution import Execution
from raykd.sweep.fine_tune import fine_tune
from raykd.training.recorder import Memory
from raykd.training.trainer import CohortTrainer

from ..support.loop import run_cohort, series
from ..support.world_seq2seq import write_sweep

STRATEGIES: list[Any] = [
    "none",
    "forward",
    {"strategy": "forward", "decoder": "reverse"},
    "random",
    {"strategy": "custom", "name": "own", "map": {"encoder": [4, None], "decoder": [1, 1]}},
]


class World:
    def __init__(self, folder: Path, kind: str, **changes: Any) -> None:
        changes.setdefault("confirm", {"strategies": STRATEGIES, "inits": ["copied", "random"]})
        self.folder, sweep = folder, write_sweep(folder, kind, **changes)
        self.study: Study = resolve(load(sweep), folder / "home", str(sweep))
        self.sources = training_inputs(self.study, fine_tune(self.study).folder)
        self.trials = [t for t in confirm_trials(self.study) if t.seed == 0]

    def train(self, trials: list[TrialSpec], **options: Any) -> Memory:
        torch.set_num_threads(1)
        memory = Memory()
        sources = options.pop("sources", self.sources)
        run_cohort(Cohort(tuple(trials)), sources, memory, **options)
        return memory


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("t5"), "t5")


@pytest.fixture(scope="module")
def memory(world: World) -> Memory:
    return world.train(world.trials[:5])


def test_the_losses_of_both_stacks_are_told_apart(world: World, memory: Memory) -> None:
    names = {name for _, name in series(memory, world.trials[4])}
    assert {"hidden_1_to_4", "hidden_decoder_1_to_decoder_1"} <= names
    assert "hidden_2_to_4" not in names


def test_what_was_written_is_told_with_its_length(world: World, memory: Memory) -> None:
    test = memory.results[world.trials[0].id].metrics
    assert {"test_chrf", "test_bleu", "test_cut_off"} <= test.keys()
    rows = memory.results[world.trials[0].id].predictions
    assert {"id", "label", "predicted", "correct", "score", "tokens", "cut_off"} == set(rows)
    assert sum(rows["cut_off"]) == test["test_cut_off"]


def test_an_exported_student_writes_by_plain_transformers(world: World, tmp_path: Path) -> None:
    """It loads with AutoModelForSeq2SeqLM and writes the predictions that were recorded."""
    trial, kept = world.trials[1], {}

    class Keeping(Memory):
        def finish(self, trial: TrialSpec, result: Any) -> None:
            kept[trial.id] = AutoModelForSeq2SeqLM.from_pretrained(result.student)
            kept["tokenizer"] = AutoTokenizer.from_pretrained(result.student)
            super().finish(trial, result)

    memory = Keeping()
    run_cohort(Cohort((trial,)), world.sources, memory, keep=frozenset({trial.id}))
    model, tok = kept[trial.id].eval(), kept["tokenizer"]
    assert model.config.num_hidden_layers == 2 and len(model.get_decoder().state_dict()) > 0
    rows = memory.results[trial.id].predictions
    split = world.study.prepared.rows("test")
    texts = dict(zip(split["id"][:], split["text"][:], strict=True))
    for name, said in list(zip(rows["id"], rows["predicted"], strict=True))[:5]:
        read = tok([texts[name]], return_tensors="pt")
        ids = model.generate(
            input_ids=read["input_ids"], attention_mask=read["attention_mask"],
            max_new_tokens=8, num_beams=1, do_sample=False,
        )  # fmt: skip
        assert tok.batch_decode(ids, skip_special_tokens=True)[0].strip() == said


def test_what_is_frozen_stays_and_the_rest_learns(tmp_path: Path) -> None:
    training = {"steps": 4, "batch": 16, "lr": 1e-2, "evaluations": 1, "precision": "fp32"}
    made = World(tmp_path, "t5", training={**training, "freeze_embeddings": True})
    first = next(t for t in made.trials if t.init.kind == "random" and t.strategy == "forward")
    kept: dict[str, Any] = {}

    class Keeping(Memory):
        def finish(self, trial: TrialSpec, result: Any) -> None:
            kept["after"] = AutoModelForSeq2SeqLM.from_pretrained(result.student).state_dict()
            super().finish(trial, result)

    materials = CohortTrainer.load(made.sources, Execution())
    before = materials.build(first).state_dict()
    materials.run(Cohort((first,)), Keeping(), keep=frozenset({first.id}))
    assert torch.equal(kept["after"]["shared.weight"], before["shared.weight"])
    name = "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    assert not torch.equal(kept["after"][name], before[name])


def test_beams_are_another_experiment(world: World) -> None:
    """And where texts are longer than they may be, what was cut off is counted."""
    config = world.study.config.model_dump(exclude_unset=True, mode="json")
    task = {**config["task"], "max_target_length": 1, "generation": {"beams": 2}}
    beams = write_sweep(world.folder, "t5", task=task, confirm=config["confirm"])
    other = resolve(load(beams), world.folder / "home", "beams.yaml")
    assert other.data != world.study.data
    sources = replace(world.sources, task=other.config.task)
    memory = world.train([world.trials[1]], sources=sources)
    rows = memory.results[world.trials[1].id].predictions
    assert max(rows["tokens"]) == 1 and all(rows["cut_off"])
