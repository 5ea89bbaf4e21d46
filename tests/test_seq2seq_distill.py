"""The loop's invariants (design, section 8) over encoder-decoders, end to end in one process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from raykd.config import load
from raykd.distill import Where
from raykd.fine_tune import fine_tune
from raykd.materials import Materials, run_cohort
from raykd.recorder import Memory
from raykd.sites import states
from raykd.sources import Sources
from raykd.study import Study, confirm_trials, resolve
from raykd.trial import Cohort, TrialSpec

from .loop import series, told
from .world_seq2seq import write_sweep

KINDS = ("t5", "mt5", "bart", "mbart", "marian", "pegasus")
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
        sweep = write_sweep(folder, kind, **changes)
        self.study: Study = resolve(load(sweep), folder / "home", str(sweep))
        self.sources = Sources.of(self.study, fine_tune(self.study).folder)
        self.trials = [t for t in confirm_trials(self.study) if t.seed == 0]

    def train(self, trials: list[TrialSpec], **options: Any) -> Memory:
        torch.set_num_threads(1)
        memory = Memory()
        sources = options.pop("sources", self.sources)
        run_cohort(Cohort(tuple(trials)), sources, memory, **options)
        return memory


@pytest.fixture(scope="module", params=KINDS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp(request.param), request.param)


def test_a_trial_alone_equals_the_same_trial_in_a_cohort_bitwise(world: World) -> None:
    """Invariant 1, with dropout on; and both stacks' losses are told apart."""
    trials = world.trials[:5]
    together = world.train(trials)
    for trial in (trials[1], trials[4]):
        assert told(world.train([trial]), trial) == told(together, trial)
    names = {name for _, name in series(together, trials[4])}
    assert {"hidden_1_to_4", "hidden_decoder_1_to_decoder_1"} <= names
    assert "hidden_2_to_4" not in names
    test = together.results[trials[0].id].metrics
    assert {"test_chrf", "test_bleu", "test_cut_off"} <= test.keys()
    rows = together.results[trials[0].id].predictions
    assert {"id", "label", "predicted", "correct", "score", "tokens", "cut_off"} == set(rows)
    assert sum(rows["cut_off"]) == test["test_cut_off"]


def test_a_stored_teacher_gives_the_losses_of_a_live_one(world: World, tmp_path: Path) -> None:
    """Invariant 3, teacher-forced states of both stacks and outputs at every target token."""
    stored = replace(
        world.sources, source="cached", cache=str(tmp_path), states=tuple(states((4, 4)))
    )
    trials = world.trials[1:5]
    live, cached = world.train(trials), world.train(trials, sources=stored)
    for trial in trials:
        a, b = series(live, trial), series(cached, trial)
        assert a.keys() == b.keys()
        losses = [k for k in a if not k[1].startswith("select")]
        assert [b[k] for k in losses] == pytest.approx([a[k] for k in losses], rel=1e-2, abs=1e-3)
    assert cached.opened[trials[0].id]["teacher_source"] == "cached float16"
    assert next(tmp_path.rglob("state-decoder_4.*.safetensors"))


def test_an_interrupted_training_ends_like_a_whole_one(world: World) -> None:
    """Invariant 4."""

    class Stop(Exception):
        pass

    class Interrupting:
        def __init__(self) -> None:
            self.state: dict[str, Any] = {}

        def progress(self, *args: Any) -> None: ...

        def checkpoint(self, step: int, state: Callable[[], dict[str, Any]]) -> None:
            if not self.state:
                self.state = copied(state())
                raise Stop

    trials = world.trials[1:3]
    whole, hooks = world.train(trials), Interrupting()
    with pytest.raises(Stop):
        world.train(trials, hooks=hooks)
    again = world.train(trials, resume=hooks.state)
    for trial in trials:
        assert told(again, trial)[:2] == told(whole, trial)[:2]


def copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {k: copied(v) for k, v in value.items()}
    return [copied(v) for v in value] if isinstance(value, list) else value


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

    materials = Materials.load(made.sources, Where())
    before = materials.build(first).state_dict()
    materials.run(Cohort((first,)), Keeping(), keep=frozenset({first.id}))
    assert torch.equal(kept["after"]["shared.weight"], before["shared.weight"])
    name = "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    assert not torch.equal(kept["after"][name], before[name])


def test_a_teacher_learns_to_write_and_beams_are_another_experiment(tmp_path: Path) -> None:
    teacher = {"model": str(tmp_path / "model"), "epochs": 60, "lr": 5e-3}
    made = World(tmp_path, "t5", teacher=teacher)
    found = fine_tune(made.study)
    assert found.metric == "chrf" and found.test > found.test_majority + 20
    task = made.study.config.task.model_dump()
    config = made.study.config.model_dump(exclude_unset=True, mode="json")
    beams = write_sweep(
        tmp_path, "t5", teacher=teacher,
        task={k: task[k] for k in ("kind", "data", "source", "target", "max_target_length")}
        | {"generation": {"beams": 2, "max_length": 3}}, confirm=config["confirm"],
    )  # fmt: skip
    other = resolve(load(beams), tmp_path / "home", "beams.yaml")
    assert other.data != made.study.data
    sources = replace(made.sources, task=other.config.task)
    memory = made.train([made.trials[1]], sources=sources)
    rows = memory.results[made.trials[1].id].predictions
    assert max(rows["tokens"]) <= 3 and np.mean(rows["cut_off"]) > 0.5
