"""A sweep file met with its data and its teacher: every trial it asks for, fully stated."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from random import Random

from raykd.config import design
from raykd.config.sweep import SweepConfig
from raykd.config.trial import Init, Lora, Loss, Phase, Shape, Training, TrialSpec
from raykd.data.prepared import Prepared, prepare
from raykd.errors import UserError
from raykd.maps.activations import Depth
from raykd.maps.halves import apply
from raykd.maps.layer_map import LayerMap, check, everywhere, match_embedding
from raykd.maps.published import PUBLISHED, WITH_EMBEDDINGS, own_loss
from raykd.planning import inits, loss_checks
from raykd.planning.blocks import deeper, other_stacks, student_depth, unfit_for_stacks
from raykd.runtime.memo import digest
from raykd.search.space import space_of
from raykd.teachers import model_facts
from raykd.teachers import teacher as teachers

DEFAULT_EPOCHS = 3.0


@dataclass(frozen=True)
class Study:
    """A resolved sweep: the file's choices, the data, the teacher's base and name."""

    config: SweepConfig
    file: str
    home: Path
    prepared: Prepared
    base: teachers.Base
    teacher: str
    data: str

    @property
    def steps(self) -> int:
        """Optimisation steps of a full-length training."""
        t = self.config.training
        if t.steps:
            return t.steps
        epochs, rows = t.epochs or DEFAULT_EPOCHS, self.prepared.counts["train"]
        return math.ceil(epochs * math.ceil(rows / self.batch_rows))

    @property
    def batch_rows(self) -> float:
        """Rows of a global batch; under a token budget the mean, roughly."""
        t = self.config.training
        return t.batch if t.batch_tokens is None else max(1.0, t.batch_tokens / self.mean_tokens)

    @property
    def mean_tokens(self) -> float:
        """Of a training row, roughly: word pieces and the special tokens."""
        return min(self.prepared.mean_words * 1.3 + 2, self.config.task.max_length)

    @cached_property
    def designs(self) -> dict[tuple[LayerMap, ...], tuple[TrialSpec, ...]]:
        """`confirm_trials` by the best maps, kept: with their ids, thousands take a while."""
        return {}

    @property
    def hidden_weights(self) -> tuple[float, ...]:
        """Those under which confirm's strategies are tried."""
        stated = self.config.confirm.hidden_weights if self.config.confirm else None
        return stated or (self.config.losses.hidden,)

    @cached_property
    def shape(self) -> Shape:
        stated = self.config.student
        depth = student_depth(stated.blocks, self.base.depths, self.file)
        return replace(Shape.of(depth), **stated.model_dump(exclude={"blocks", "projections"}))

    @property
    def depth(self) -> Depth:
        """The student's, of both stacks where there are two."""
        return self.shape.depth


def resolve(config: SweepConfig, home: Path, file: str) -> Study:
    """Read the data, find the teacher's base, and check all that the file names against them."""
    base = teachers.find_base(config.teacher, home, file)
    if problem := model_facts.foreign_tokenizer(base, home):
        raise UserError(f"{file}: teacher.model: {config.teacher.model}: {problem}")
    prepared = prepare(config.task, home, file)
    task = config.task
    name = teachers.fingerprint(config.teacher, base, prepared, task.reading, task.metric)
    data = digest([prepared.fingerprint, base.fingerprint, config.task.reading])
    if not config.teacher.fine_tune and config.task.kind == "classification":
        teachers.in_order(base.labels, prepared.labels, file)
    study = Study(config, file, home, prepared, base, name, data)
    _check(study)
    return study


def _check(study: Study) -> None:
    """Everything the file says of blocks, against the depths; one line a mistake."""
    config, file, depth = study.config, study.file, study.base.depths
    blocks, problems = study.depth, []
    for key, init in inits.stated(config).items():
        problem = model_facts.misfit(study.base, study.shape, Init("random"), study.home)
        if problem:
            problems.append(f"{file}: student: {problem}")
        elif init != "random" and (too_deep := deeper(blocks, depth)):
            own, theirs = too_deep
            problems.append(
                f"{file}: student.blocks: {own} is deeper than the teacher's {theirs}, which "
                f"{key} copies from; write at most {theirs}, or the init `random`"
            )
        elif problem := other_stacks(inits.resolved(study, init).layer_map, depth, blocks):
            problems.append(f"{file}: {key}: {problem}")
        elif problem := model_facts.misfit(
            study.base, study.shape, inits.resolved(study, init), study.home
        ):
            problems.append(
                f"{file}: {key}: {problem}; leave that size of the student out, or write `random`"
            )
        elif problem := model_facts.unequal(
            study.base, study.shape, inits.resolved(study, init), study.home
        ):
            problems.append(f"{file}: {key}: {problem}; copy other blocks, or write `random`")
    for index, strategy in enumerate(config.confirm.strategies if config.confirm else ()):
        key = f"{file}: confirm.strategies.{index}"
        if strategy.decoder is not None and isinstance(depth, int):
            problems.append(f"{key}.decoder: the teacher has one stack; leave it out")
            continue
        for option, whose, has in (
            ("block", "teacher", depth),
            ("student_block", "student", blocks),
        ):
            value, limit = getattr(strategy, option), has if isinstance(has, int) else min(has)
            if value is not None and value > limit:
                problems.append(f"{key}.{option}: {value}, the {whose} has {limit} blocks")
                break
        else:
            layer_map = strategy_map(study, strategy, 0)
            problem = check(layer_map, depth, blocks)
            problems += [f"{key}.map: {problem}"] if problem else []
            if strategy.strategy in PUBLISHED and not layer_map.pairs():
                problems.append(f"{key}.strategy: {strategy.strategy} {loss_checks.TOO_SHALLOW}")
    problems += loss_checks.problems(config, study.base, study.shape, study.home, file)
    problems += [f"{file}: {told}" for told in unfit_for_stacks(config, depth, blocks)]
    lora = config.training.lora
    if lora is not None and lora.targets is not None and not problems:
        kind = config.task.kind
        problem = model_facts.lora_misfit(study.base, study.shape, lora.targets, study.home, kind)
        problems += [f"{file}: training.lora.targets: {problem}"] if problem else []
    maps = space_of(depth, blocks).size()
    if config.confirm and config.confirm.sampled > maps:
        problems.append(
            f"{file}: confirm.sampled: {config.confirm.sampled}, there are {maps} maps of "
            f"{study.shape} blocks onto {Shape.of(depth)}; write at most so many"
        )
    if problems:
        raise UserError(*dict.fromkeys(problems))


def strategy_map(study: Study, strategy: design.Strategy, seed: int) -> LayerMap:
    """The map a strategy of the file yields under a seed, embeddings as the file says."""
    if strategy.strategy == "custom":
        if isinstance(strategy.map, design.MapHalves):
            layer_map = LayerMap(strategy.map.encoder, decoder=LayerMap(strategy.map.decoder))
        else:
            assert strategy.map is not None
            layer_map = LayerMap(strategy.map)
    else:
        rule, decoder = design.rules(strategy)
        layer_map = apply(rule, study.base.depths, study.depth, seed, decoder)
    own = None if strategy.decoder in design.TIES else strategy.decoder
    return _with_embedding(study, layer_map, strategy.strategy, own)


def _with_embedding(
    study: Study, layer_map: LayerMap, strategy: str, decoder: str | None = None
) -> LayerMap:
    losses = study.config.losses
    if strategy in PUBLISHED:  # it matches what its paper does, but for what the file leaves out
        return replace(layer_map, embedding=None) if losses.embedding is False else layer_map
    wanted = losses.kind in WITH_EMBEDDINGS if losses.embedding is None else losses.embedding
    return match_embedding(layer_map, strategy, decoder) if wanted else layer_map


def confirm_trials(study: Study, best: Iterable[LayerMap] = ()) -> tuple[TrialSpec, ...]:
    """Every strategy x init x seed of the file, and the best explored maps; seeds outermost, so
    that the trials that share their batches stand together."""
    confirm = study.config.confirm
    if confirm is None:
        return ()
    maps = tuple(best)[: confirm.best]
    return study.designs.get(maps) or study.designs.setdefault(maps, _design(study, confirm, maps))


def _design(
    study: Study, confirm: design.Confirm, best_maps: tuple[LayerMap, ...]
) -> tuple[TrialSpec, ...]:
    trials: list[TrialSpec] = []
    drawn = [(f"best_{i}", m) for i, m in enumerate(best_maps, 1)] + sampled_maps(study, confirm)
    # All but map and seed is stated once: there may be thousands of seeds.
    blank, stated = everywhere(study.depth, None), cache(partial(trial, study, "confirm"))
    for count, seed in enumerate(confirm.seed_list, 1):
        arms = [
            (s.label, strategy_map(study, s, seed), s.targets, own_loss(s.strategy), s.lr)
            for s in confirm.strategies
            if not s.control or confirm.control_seeds is None or count <= confirm.control_seeds
        ]
        arms += [(name, m, "teacher", None, None) for name, m in drawn]
        for init in confirm.inits:
            made = [
                replace(stated(name, blank, init, 0, loss, lr), layer_map=m, seed=seed, targets=t)
                for name, m, t, loss, lr in arms
            ]
            trials += [t for one in made for t in _weighted(study, one)]
    return tuple(trials)


def _weighted(study: Study, one: TrialSpec) -> list[TrialSpec]:
    """A trial at every hidden weight; once where it matches nothing."""
    if study.hidden_weights == (one.loss.hidden,) or not one.layer_map.pairs():
        return [one]
    return [replace(one, loss=replace(one.loss, hidden=w)) for w in study.hidden_weights]


def sampled_maps(study: Study, confirm: design.Confirm) -> list[tuple[str, LayerMap]]:
    """Distinct maps, uniformly among all there are, by the file's own seed: the same under every
    confirm seed, so that what a map does and what a seed does can be told apart."""
    if not confirm.sampled:
        return []
    space = space_of(study.base.depths, study.depth)
    rng = Random(f"raykd sampled {confirm.sampled_seed}")
    maps = space.unseen((), confirm.sampled, rng)
    return [
        (f"uniform_random_{i:02}", _with_embedding(study, m, "uniform_random"))
        for i, m in enumerate(maps, 1)
    ]


def explore_trial(study: Study, layer_map: LayerMap) -> TrialSpec:
    """The explore trial of a map."""
    explore = study.config.explore
    assert explore is not None
    matched = _with_embedding(study, layer_map, "explored")
    return trial(study, "explore", "explored", matched, explore.init, explore.seed)


def trial(
    study: Study, phase: Phase, strategy: str, layer_map: LayerMap, init: design.Init, seed: int,
    loss: str | None = None, lr: float | None = None,
) -> TrialSpec:  # fmt: skip
    """`loss`: a kind of hidden loss in place of the file's; `lr` likewise."""
    config, stated = study.config, study.config.losses.model_dump(exclude={"embedding"})
    share = config.explore.fidelity if phase == "explore" and config.explore else 1.0
    training = config.training.model_dump(exclude={"epochs", "steps", "lora"})
    training["lora"] = (lora := config.training.lora) and Lora(**lora.model_dump())
    training["frozen_projections"] = config.student.projections == "frozen"
    training |= {"lr": lr or config.training.lr, "teacher_dropout": config.teacher.dropout}
    return TrialSpec(
        task=config.task.kind,
        metric=config.task.metric,
        data=study.data,
        teacher=study.teacher,
        shape=study.shape,
        init=inits.resolved(study, init),
        phase=phase,
        strategy=strategy,
        layer_map=layer_map,
        loss=Loss(**{**stated, "kind": loss or config.losses.kind}),
        training=Training(steps=max(1, round(study.steps * share)), **training),
        seed=seed,
    )
