"""Builds the trials of a study, each with its map, init, losses and seed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache, partial
from random import Random

from raykd.config import design
from raykd.config.sweep import SweepConfig
from raykd.config.trial import Lora, Loss, Phase, Training, TrialSpec
from raykd.losses.hidden.registry import hidden_loss
from raykd.maps.layer_map import LayerMap, check, everywhere
from raykd.maps.published import PUBLISHED, own_loss
from raykd.maps.strategies import apply_to_stacks, match_embedding
from raykd.planning import inits
from raykd.planning.study import Study
from raykd.runtime.plugins import plugin_hash
from raykd.search.space import space_of
from raykd.tasks.kinds.metric import metric_of

TOO_SHALLOW = (
    "leaves the last blocks to the logits, so it needs a student and a teacher of two blocks or "
    "more; take another"
)


def strategy_map(study: Study, strategy: design.Strategy, seed: int) -> LayerMap:
    """Return the map of a strategy of the file under a seed, with the embeddings of the file."""
    if strategy.strategy == "custom":
        if isinstance(strategy.map, design.MapHalves):
            layer_map = LayerMap(strategy.map.encoder, decoder=LayerMap(strategy.map.decoder))
        else:
            assert strategy.map is not None
            layer_map = LayerMap(strategy.map)
    else:
        rule, decoder = design.rules(strategy)
        layer_map = apply_to_stacks(rule, study.base.depths, study.depth, seed, decoder)
    decoder_strategy = None if strategy.decoder in design.TIES else strategy.decoder
    return _with_embedding(study, layer_map, strategy.strategy, decoder_strategy)


def _with_embedding(
    study: Study, layer_map: LayerMap, strategy: str, decoder: str | None = None
) -> LayerMap:
    losses = study.config.losses
    if strategy in PUBLISHED:  # it matches what its paper matches, unless the file leaves it out
        return replace(layer_map, embedding=None) if losses.embedding is False else layer_map
    matches_embedding = losses.embedding
    if matches_embedding is None:
        matches_embedding = hidden_loss(losses.kind).embedding
    return match_embedding(layer_map, strategy, decoder) if matches_embedding else layer_map


def strategy_problems(study: Study) -> list[str]:
    """A line for each strategy of the file that does not fit the depths of teacher and student."""
    teacher, student, problems = study.base.depths, study.depth, []
    strategies = study.config.confirm.strategies if study.config.confirm else ()
    for index, strategy in enumerate(strategies):
        key = f"{study.file}: confirm.strategies.{index}"
        if strategy.decoder is not None and teacher.decoder is None:
            problems.append(f"{key}.decoder: the teacher has one stack; leave it out")
            continue
        for option, model, depth in (
            ("block", "teacher", teacher),
            ("student_block", "student", student),
            ("k", "student", student),
        ):
            block, blocks = getattr(strategy, option), min(depth.stacks)
            if block is not None and block > blocks:
                problems.append(f"{key}.{option}: {block}, the {model} has {blocks} blocks")
                break
        else:
            layer_map = strategy_map(study, strategy, 0)
            problem = check(layer_map, teacher, student)
            problems += [f"{key}.map: {problem}"] if problem else []
            if strategy.strategy in PUBLISHED and not layer_map.pairs():
                problems.append(f"{key}.strategy: {strategy.strategy} {TOO_SHALLOW}")
    return problems


def confirm_trials(study: Study, best: Iterable[LayerMap] = ()) -> tuple[TrialSpec, ...]:
    """Return a trial for every strategy, init and seed of the file and for the best explored maps.
    Seeds vary slowest, so trials that share their batches are adjacent."""
    confirm = study.config.confirm
    if confirm is None:
        return ()
    maps = tuple(best)[: confirm.best]
    return study.designs.get(maps) or study.designs.setdefault(maps, _design(study, confirm, maps))


def _design(
    study: Study, confirm: design.Confirm, best_maps: tuple[LayerMap, ...]
) -> tuple[TrialSpec, ...]:
    trials: list[TrialSpec] = []
    named_maps = [(f"best_{i}", m) for i, m in enumerate(best_maps, 1)]
    named_maps += sampled_maps(study, confirm)
    # Everything except map and seed is built once, as there may be thousands of seeds.
    blank, stated = everywhere(study.depth, None), cache(partial(trial, study, "confirm"))
    for count, seed in enumerate(confirm.seed_list, 1):
        arms = [
            (s.label, strategy_map(study, s, seed), s.targets, own_loss(s.strategy), s.lr)
            for s in confirm.strategies
            if not s.control or confirm.control_seeds is None or count <= confirm.control_seeds
        ]
        arms += [(name, m, "teacher", None, None) for name, m in named_maps]
        for init in confirm.inits:
            arm_trials = [
                replace(stated(name, blank, init, 0, loss, lr), layer_map=m, seed=seed, targets=t)
                for name, m, t, loss, lr in arms
            ]
            trials += [t for arm_trial in arm_trials for t in _weighted(study, arm_trial)]
    return tuple(trials)


def _weighted(study: Study, trial: TrialSpec) -> list[TrialSpec]:
    """Return the trial under every hidden weight, or once if it matches nothing."""
    if study.hidden_weights == (trial.loss.hidden,) or not trial.layer_map.pairs():
        return [trial]
    return [replace(trial, loss=replace(trial.loss, hidden=w)) for w in study.hidden_weights]


def sampled_maps(study: Study, confirm: design.Confirm) -> list[tuple[str, LayerMap]]:
    """Return distinct maps, drawn uniformly from the space with the seed of the file. They are the
    same under every confirm seed, so effects of maps and of seeds can be separated."""
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
    """Return the explore trial of a map."""
    explore = study.config.explore
    assert explore is not None
    matched = _with_embedding(study, layer_map, "explored")
    return trial(study, "explore", "explored", matched, explore.init, explore.seed)


def trial(
    study: Study, phase: Phase, strategy: str, layer_map: LayerMap, init: design.Init, seed: int,
    loss: str | None = None, lr: float | None = None,
) -> TrialSpec:  # fmt: skip
    """Return a trial. `loss`, `lr`: hidden loss and learning rate, if not those of the file."""
    config, losses = study.config, study.config.losses
    share = config.explore.fidelity if phase == "explore" and config.explore else 1.0
    training = config.training.model_dump(exclude={"epochs", "steps", "lora"})
    training["buffers"] = config.training.own_buffers
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
        loss=Loss(
            losses.ce,
            losses.kl,
            losses.hidden,
            losses.temperature,
            loss or losses.kind,
            losses.stated_options if loss is None else None,
            study.class_weights,
        ),
        plugins=_plugins(config, loss or losses.kind),
        training=Training(steps=max(1, round(study.steps * share)), **training),
        seed=seed,
    )


def _plugins(config: SweepConfig, loss: str) -> tuple[str, ...]:
    """Return hashes of the plug-ins of a trial. A strategy needs none, as its map is in the id."""
    task = config.task
    metric = metric_of(task.kind, task.metric)
    used = (hidden_loss(loss).function, task.of_kind.implementation, metric.function)
    hashes = {plugin_hash(part) for part in used if not isinstance(part, str)}
    return tuple(sorted(h for h in hashes if h is not None))
