"""Builds the trials of a study, each with its map, init, losses and seed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache, partial
from random import Random

from raykd.config.design import TIES, Confirm, MapHalves, Strategy, rules
from raykd.config.explore import Init as StatedInit
from raykd.config.sweep import SweepConfig, too_few_examples
from raykd.config.trial import Lora, Loss, Phase, TargetKind, Training, TrialSpec
from raykd.config.value_types import stated_map
from raykd.losses.hidden.registry import hidden_loss, pair_problem
from raykd.maps.layer_map import LayerMap, check, everywhere
from raykd.maps.published import PUBLISHED, own_loss
from raykd.maps.strategies import apply_to_stacks, match_embedding
from raykd.planning import inits, schedules
from raykd.planning.study import Study
from raykd.runtime.plugins import plugin_hash
from raykd.search.space import space_of
from raykd.tasks.kinds.metric import metric_of

TOO_SHALLOW = (
    "leaves the last blocks to the logits, so it needs a student and a teacher of two blocks or "
    "more; take another"
)


def strategy_map(study: Study, strategy: Strategy, seed: int) -> LayerMap:
    """Return the map of a strategy of the file under a seed, with the embeddings of the file.

    Raises ValueError for a stated map that does not fit the student."""
    if strategy.strategy == "custom":
        assert strategy.map is not None
        depth = study.depth
        if isinstance(strategy.map, MapHalves):
            half = stated_map(strategy.map.decoder, depth.decoder or depth.encoder)
            encoder = stated_map(strategy.map.encoder, depth.encoder)
            layer_map = replace(encoder, decoder=half)
        else:
            layer_map = stated_map(strategy.map, depth.encoder)
    else:
        rule, decoder = rules(strategy)
        layer_map = apply_to_stacks(rule, study.base.depths, study.depth, seed, decoder)
    decoder_strategy = None if strategy.decoder in TIES else strategy.decoder
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
            try:
                layer_map = strategy_map(study, strategy, 0)
            except ValueError as error:
                problems.append(f"{key}.map: {error}")
                continue
            problem = check(layer_map, teacher, student) or _pair_problem(
                study, strategy, layer_map
            )
            problems += [f"{key}.map: {problem}"] if problem else []
            if strategy.strategy in PUBLISHED and not layer_map.pairs():
                problems.append(f"{key}.strategy: {strategy.strategy} {TOO_SHALLOW}")
    return problems


def _pair_problem(study: Study, strategy: Strategy, layer_map: LayerMap) -> str | None:
    """Return the problem of the weights and losses of a map's pairs in one line, if any."""
    config = study.config
    kind = own_loss(strategy.strategy) or config.losses.kind
    if problem := pair_problem(layer_map, kind):
        return problem
    micro = config.cluster.micro_batch
    whole = sorted(name for name in layer_map.pair_losses if not hidden_loss(name).divisible)
    if micro is not None and whole:
        return f"{layer_map}: {whole[0]} is of a whole batch; leave `cluster.micro_batch` out"
    return next(filter(None, (too_few_examples(config, name) for name in whole)), None)


def confirm_trials(study: Study, best: Iterable[LayerMap] = ()) -> tuple[TrialSpec, ...]:
    """Return a trial for every strategy, init and seed of the file and for the best explored maps.
    Seeds vary slowest, so trials that share their batches are adjacent."""
    confirm = study.config.confirm
    if confirm is None:
        return ()
    maps = tuple(best)[: confirm.best]
    return study.designs.get(maps) or study.designs.setdefault(maps, _design(study, confirm, maps))


def _design(
    study: Study, confirm: Confirm, best_maps: tuple[LayerMap, ...]
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
                _matched(study, stated(name, blank, init, 0, loss, lr), m, seed, t)
                for name, m, t, loss, lr in arms
            ]
            trials += [t for arm_trial in arm_trials for t in _variants(study, arm_trial)]
    return tuple(trials)


def _matched(
    study: Study, blank: TrialSpec, layer_map: LayerMap, seed: int, targets: TargetKind
) -> TrialSpec:
    """Return the trial with a map, a seed and targets."""
    if layer_map.pair_losses:
        kinds = (blank.loss.kind, *layer_map.pair_losses)
        blank = replace(blank, plugins=_plugins(study.config, kinds))
    return replace(blank, layer_map=layer_map, seed=seed, targets=targets)


def _variants(study: Study, trial: TrialSpec) -> list[TrialSpec]:
    """Return the trial under every schedule and hidden weight. One that matches nothing has one
    hidden weight, and is listed once if several schedules leave it the same."""
    stages = schedules.of_confirm(study).values()
    if study.hidden_weights == (trial.loss.hidden,) or not trial.layer_map.pairs():
        weighted = [trial]
    else:
        weighted = [
            replace(trial, loss=replace(trial.loss, hidden=w)) for w in study.hidden_weights
        ]
    if not any(stages):
        return weighted
    return list(dict.fromkeys(schedules.under(study, t, s) for s in stages for t in weighted))


def sampled_maps(study: Study, confirm: Confirm) -> list[tuple[str, LayerMap]]:
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
    explored = trial(study, "explore", "explored", matched, explore.init, explore.seed)
    return schedules.under(study, explored, study.config.losses.schedule or ())


def largest_explore_trial(study: Study) -> TrialSpec:
    """Return an explore trial with as many matched pairs as any."""
    assert study.config.explore is not None
    encoder, *decoder = (
        LayerMap((1,) * blocks, upto=(min(study.config.explore.targets, teacher),) * blocks)
        for blocks, teacher in zip(study.depth.stacks, study.base.depths.stacks, strict=True)
    )
    return explore_trial(study, replace(encoder, decoder=decoder[0] if decoder else None))


def trial(
    study: Study, phase: Phase, strategy: str, layer_map: LayerMap, init: StatedInit, seed: int,
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
        plugins=_plugins(config, (loss or losses.kind,)),
        training=Training(steps=max(1, round(study.steps * share)), **training),
        seed=seed,
    )


def _plugins(config: SweepConfig, losses: Iterable[str]) -> tuple[str, ...]:
    """Return hashes of the plug-ins of a trial. A strategy needs none, as its map is in the id."""
    task = config.task
    metric = metric_of(task.kind, task.metric)
    functions = (hidden_loss(loss).function for loss in losses)
    used = (*functions, task.of_kind.implementation, metric.function)
    hashes = {plugin_hash(part) for part in used if not isinstance(part, str)}
    return tuple(sorted(h for h in hashes if h is not None))
