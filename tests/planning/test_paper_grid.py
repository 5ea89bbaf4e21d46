"""Every file of the paper's grid, in both variants: valid, its maps the paper's, its students built
at full size on the meta device. Of each class of teacher, hidden loss and variant one runs end to
end, on a tiny teacher of the same class and depth; the others do in the long tests."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from raykd.analysis.summary.published import published_scores
from raykd.config.cohort import Cohort
from raykd.config.sweep import SweepConfig
from raykd.config.trial import TrialSpec
from raykd.models import student
from raykd.models.capture import stacks
from raykd.models.stacks import depth
from raykd.planning.teacher_source import training_inputs
from raykd.planning.trials import confirm_trials
from raykd.sweep.fine_tune import fine_tune
from raykd.tasks.registry import task as task_of

from ..support import paper_maps
from ..support.loop import train
from ..support.paper_grid import CASES, FILES, VARIANTS, hub, read, shrunk, study
from ..support.paper_models import BART, QWEN, T5, TEACHERS, write_full, write_tiny

each = pytest.mark.parametrize(("name", "variant"), CASES)
ARMS = ["none", "forward", "reverse", "all_to_one", "random"]


@pytest.fixture(scope="module")
def at_full_size(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("full")
    for repository in TEACHERS:
        write_full(folder / "models" / repository, repository)
    with hub(folder / "models"):
        yield folder / "home"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models; teachers, once fine-tuned, are shared by files of one task."""
    folder = tmp_path_factory.mktemp("tiny")
    for repository in TEACHERS:
        write_tiny(folder / "models" / repository, repository)
    return folder


def trials(name: str, variant: str, home: Path) -> tuple[TrialSpec, ...]:
    return confirm_trials(study(read(name, variant), name, home))


def copied(config: SweepConfig) -> list[list[int]]:
    """The init map that the paper has for such a file, in each stack."""
    blocks, model = config.student.blocks, config.teacher.model
    assert isinstance(blocks, int)
    if model == QWEN:
        return [paper_maps.COPIED_QWEN[config.variant]]
    if model == T5 and config.variant == "as_released":
        return [paper_maps.COPIED_T5[blocks]] * 2
    return [paper_maps.COPIED[blocks]] * (1 if model not in (BART, T5) else 2)


# What the files say


def test_every_task_of_the_paper_is_there() -> None:
    main = {n for n in FILES if not re.search(r"_(6|9|3x\d+)$", n)}
    assert main == {
        "mnli", "qqp", "qnli", "sst2", "dart", "wmt16_en_ro", "hellaswag", "coqa", "commonsense_qa",
    }  # fmt: skip
    assert set(FILES) - main == {
        "mnli_9", "mnli_3x384", "mnli_3x576",
        *(f"dart_{x}" for x in ("6", "9", "3x512", "3x768")),
        *(f"wmt16_en_ro_{x}" for x in ("6", "9", "3x384", "3x576")),
    }  # fmt: skip


@each
def test_arms_and_inits(name: str, variant: str) -> None:
    config = read(name, variant)
    assert config.confirm is not None
    arms = [s.label for s in config.confirm.strategies]
    assert arms == ARMS + ["in_order_random"] * (variant == "clean")
    inits = {"random" if i == "random" else "copied" for i in config.confirm.inits}
    wide = config.student.width is not None
    alone = name == "mnli_9" or config.teacher.model == QWEN
    assert inits == ({"random"} if wide else {"copied"} if alone else {"copied", "random"})
    assert config.confirm.seed_list == ((42,) if variant == "as_released" else tuple(
        range(10 if name in ("mnli", "qqp", "qnli", "sst2") else 5)
    ))  # fmt: skip


@each
def test_released_arithmetic_and_quirks_are_in_that_variant_alone(name: str, variant: str) -> None:
    config, released = read(name, variant), variant == "as_released"
    model, rates = config.teacher.model, config.confirm and config.confirm.strategies
    kinds = {BART: "paper_bart", T5: "paper_t5", QWEN: "paper_qwen"}
    assert config.losses.kind == (kinds.get(model, "paper") if released else "normalized_mse")
    assert config.losses.hidden == (3 if released else 1)
    assert config.losses.temperature == (2 if released and model == T5 else 1)
    two_stacks = model in (BART, T5)
    assert config.training.freeze_embeddings == (released and two_stacks)
    assert config.teacher.dropout == (released and two_stacks)
    frozen = released and name.startswith("mnli_3x")
    assert config.student.projections == ("frozen" if frozen else "trained")
    own = {s.label: s.lr for s in rates or () if s.lr is not None}
    halved = released and name in ("qqp", "qnli", "sst2")
    assert own == ({"all_to_one": 1e-5, "random": 1e-5} if halved else {})


@pytest.mark.parametrize("name", FILES)
def test_what_is_had_from_the_hub_is_pinned(name: str) -> None:
    config = read(name, "clean")
    pins = [config.teacher.revision] + [config.task.revision] * (config.task.data != "GEM/dart")
    assert all(pin and re.fullmatch("[0-9a-f]{40}", pin) for pin in pins)


@pytest.mark.parametrize("name", [n for n in FILES if re.search(r"_(6|9|3x\d+)$", n)])
def test_another_size_differs_from_its_task_in_nothing_else(name: str) -> None:
    main = name.rsplit("_", 1)[0]
    for variant in VARIANTS:
        but = {"name", "variant", "published"}
        own, whole = (read(n, variant).model_dump(exclude=but) for n in (name, main))
        for part in (own, whole):
            part.pop("student")
            for key in ("inits", "seeds", "strategies"):
                part["confirm"].pop(key)
            part.pop("angles")
        assert own == whole


# What they mean at full size


@each
def test_maps_are_the_papers(name: str, variant: str, at_full_size: Path) -> None:
    config, embedding = read(name, variant), variant == "as_released"
    blocks, teacher = config.student.blocks, 36 if config.teacher.model == QWEN else 12
    assert isinstance(blocks, int)
    embedding = embedding and teacher == 12
    forward = paper_maps.written("forward", blocks, teacher)
    assert forward is not None
    for trial in trials(name, variant, at_full_size):
        for half in trial.layer_map.halves:
            found, known = (
                half.matched_blocks(),
                paper_maps.written(trial.strategy, blocks, teacher),
            )
            if known is not None:
                assert found == tuple(p for p in known if p[0] or embedding)
                continue
            assert [s for s, _ in found] == list(range(0 if embedding else 1, blocks + 1))
            named = [t for s, t in found if s]
            if trial.strategy == "in_order_random":
                assert all(a < b for a, b in pairwise([0, *named, teacher + 1]))
                continue
            assert not embedding or found[0] == (0, 0)
            assert sorted(named) == [t for s, t in forward if s]
            if teacher == 36 and variant == "as_released":
                assert found == paper_maps.pairs(paper_maps.QWEN_DRAWN)
        drawn = [t for h in trial.layer_map.halves for s, t in h.matched_blocks() if s]
        if trial.strategy == "random" and variant == "clean":
            assert drawn != [t for s, t in forward if s] * len(trial.layer_map.halves)


@each
def test_weights_are_copied_from_the_papers_blocks(
    name: str, variant: str, at_full_size: Path
) -> None:
    config = read(name, variant)
    for trial in trials(name, variant, at_full_size):
        named = trial.init.layer_map
        if named is not None:
            assert [list(half.blocks) for half in named.halves] == copied(config)
            fresh = variant == "as_released" and config.task.kind == "classification"
            assert trial.init.head == (not fresh)


@contextmanager
def on_meta(*_: Any) -> Iterator[None]:
    with torch.device("meta"):
        yield


@cache
def full_teacher(repository: str, labels: int) -> PreTrainedModel:
    teacher = TEACHERS[repository]
    config = teacher.full.__class__.from_dict(teacher.full.to_dict())
    if labels:
        config.num_labels = labels
    with on_meta():
        model: PreTrainedModel = teacher.auto.from_config(config)
    return model


def parameters(*modules: torch.nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


@pytest.mark.parametrize("repository", TEACHERS)
def test_full_configurations_are_the_real_ones(repository: str) -> None:
    model = full_teacher(repository, 2 if repository not in (BART, T5, QWEN) else 0)
    assert parameters(model) == TEACHERS[repository].parameters


@each
def test_students_are_built_at_full_size(
    name: str, variant: str, at_full_size: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a byte of weights: shapes and names are checked as they are copied."""
    monkeypatch.setattr(student, "seeded", on_meta)
    made = study(read(name, variant), name, at_full_size)
    teacher = full_teacher(made.config.teacher.model, len(made.prepared.labels)
                           if made.config.task.kind == "classification" else 0)  # fmt: skip
    for shape, init in {(t.shape, t.init) for t in confirm_trials(made)}:
        built = student.build_student(teacher, shape, init, 0)
        assert type(built) is type(teacher)
        assert {p.device.type for p in built.parameters()} == {"meta"}
        blocks, width = made.config.student.blocks, made.config.student.width
        assert depth(built.config) == made.depth
        assert {len(stack) for stack in stacks(built).values()} == {blocks}
        if width is None:
            cut = [b for stack in stacks(teacher).values() for b in list(stack)[shape.blocks :]]
            assert parameters(built) == parameters(teacher) - parameters(*cut)
            continue
        assert built.config.hidden_size == width
        for stack in stacks(built).values():
            shapes = {tuple(p.shape) for p in stack[0].parameters()}
            assert {(width, width), (4 * width, width), (width, 4 * width)} <= shapes


@pytest.mark.parametrize("name", [n for n in FILES if read(n, "clean").published])
def test_every_published_cell_has_an_arm(name: str, at_full_size: Path) -> None:
    published = published_scores(read(name, "clean"), str(FILES[name]))
    cells = {(s.init, s.shape, s.strategy) for s in published}
    assert cells
    for variant in VARIANTS:
        found = {
            (str(t.init).split()[0], str(t.shape), t.strategy)
            for t in trials(name, variant, at_full_size)
        }
        assert cells <= found


# The whole of it, tiny


def told_apart(trials: tuple[TrialSpec, ...]) -> tuple[TrialSpec, ...]:
    """Every arm with the first init, and forward with the other."""
    first = trials[0].init
    return tuple(t for t in trials if t.init == first or t.strategy == "forward")


SOON = {
    ("mnli", "clean"), ("mnli_3x384", "as_released"), ("dart", "clean"),
    ("dart_3x512", "as_released"), ("wmt16_en_ro_3x384", "clean"), ("wmt16_en_ro", "as_released"),
    ("hellaswag", "clean"), ("coqa", "as_released"),
}  # fmt: skip
"""Every class, loss and variant once: with copied weights and with another width, trained and
frozen projections, by choices and by texts that are written."""


def test_every_class_and_loss_runs_end_to_end_in_each_variant() -> None:
    def kind(name: str, variant: str) -> tuple[str, str, str]:
        config = read(name, variant)
        return config.teacher.model, config.losses.kind, variant

    assert sorted(kind(*case) for case in SOON) == sorted({kind(*case) for case in CASES})


@pytest.mark.parametrize(
    ("name", "variant"),
    [pytest.param(*c, marks=[pytest.mark.long] * (c not in SOON)) for c in CASES],
)
def test_it_runs_end_to_end(name: str, variant: str, tiny: Path) -> None:
    with hub(tiny / "models"):
        made = study(shrunk(read(name, variant)), name, tiny / "home")
    stored = fine_tune(made)
    cohort = Cohort(told_apart(confirm_trials(made)))
    memory = train(cohort, training_inputs(made, stored.folder))
    assert not memory.failures
    metric, family = made.config.task.metric, task_of(made.config.task.kind)
    told = [metric, *family.secondary_metrics(metric, made.prepared.labels)]
    parts = list(made.prepared.parts)[1:]
    assert parts == (["mm"] if name.startswith("mnli") else [])
    wanted = {f"test_{m}" for m in told} | {f"test_{m}_{part}" for m in told for part in parts}
    for trial in cohort.trials:
        result = memory.results[trial.id]
        assert wanted <= result.metrics.keys()
        assert all(math.isfinite(value) for value in result.metrics.values())
        assert len(result.predictions["id"]) == made.prepared.counts["test"]
        assert (trial.layer_map.pairs() == ()) == (trial.strategy == "none")


def test_both_scores_of_qqp_are_told(tiny: Path) -> None:
    """F1 is of duplicates, the second of the set's own classes."""
    with hub(tiny / "models"):
        made = study(shrunk(read("qqp", "clean")), "qqp", tiny / "home")
    assert made.prepared.labels == ("not_duplicate", "duplicate")
    assert task_of("classification").secondary_metrics("accuracy", made.prepared.labels) == ("f1",)


# What is written of it


def row(name: str, home: Path) -> str:
    config = read(name, "clean")
    assert config.confirm is not None
    inits = ["random" if i == "random" else "copied" for i in config.confirm.inits]
    data = config.task.data + (f" {config.task.subset}" if config.task.subset else "")
    counts = [len(trials(name, variant, home)) for variant in VARIANTS]
    cells = (
        f"`{name}`", data, config.teacher.model, config.student.blocks, config.student.width or "",
        ", ".join(inits), len(config.confirm.seed_list), *counts,
    )  # fmt: skip
    return f"| {' | '.join(map(str, cells))} |"


def test_the_page_has_the_files(at_full_size: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "paper-grid.md").read_text(encoding="utf-8")
    shown = [line for line in page.splitlines() if line.startswith("| `") and "/" in line]
    assert shown == [row(name, at_full_size) for name in FILES]
