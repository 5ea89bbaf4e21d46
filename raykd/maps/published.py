"""Published matching methods as strategies: the map of each method, and its hidden loss.

A map states the teacher blocks that a method can use. Where it has a range, the loss of the method
(losses/hidden/kinds/) mixes the blocks of the range, or draws from it each epoch. Plain Python, no
torch.
"""

from __future__ import annotations

import random as stdlib_random
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, replace

from raykd.maps.layer_map import LayerMap
from raykd.maps.strategies import STRATEGIES, Strategy, forward, last, reverse

RELATION_SHARE = 7 / 8  # in a deep teacher: block 21 of 24, as the authors use for BERT-large


@dataclass(frozen=True)
class Published:
    """`rule` yields the map; `loss` is the kind of hidden loss of the method (losses/hidden/)."""

    rule: Strategy
    loss: str


def pkd_skip(teacher: int, student: int, seed: int) -> LayerMap:
    """Every (teacher / student)-th teacher block; the last student block is unmatched
    (PKD-Skip; Sun et al. 2019, arXiv 1908.09355, section 3.2: [2, 4, 6, 8, 10] for 12 to 6)."""
    blocks = forward(teacher, student, seed).blocks
    return LayerMap((*blocks[:-1], None))


def pkd_last(teacher: int, student: int, seed: int) -> LayerMap:
    """The teacher blocks just below its last; the last student block is unmatched
    (PKD-Last; Sun et al. 2019, arXiv 1908.09355, section 3.2: [7, 8, 9, 10, 11] for 12 to 6)."""
    below = (max(1, teacher - student + k) for k in range(1, student))
    return LayerMap((*below, None))


def tinybert(teacher: int, student: int, seed: int) -> LayerMap:
    """Uniform, including the embedding output: student state m imitates state m * teacher / student
    (Jiao et al. 2020, arXiv 1909.10351, section 3.1)."""
    return replace(forward(teacher, student, seed), embedding=0)


def minilm(teacher: int, student: int, seed: int) -> LayerMap:
    """Only the last block (Wang et al. 2020, arXiv 2002.10957, section 3)."""
    return last(teacher, student, seed)


def minilm_v2(teacher: int, student: int, seed: int, *, block: int | None = None) -> LayerMap:
    """The last student block and one teacher block: the last block of teachers of up to 12 blocks,
    one in the upper middle of a deeper teacher, or `block` if stated (Wang et al. 2021, arXiv
    2012.15828)."""
    default = teacher if teacher <= 12 else round(teacher * RELATION_SHARE)
    return LayerMap((None,) * (student - 1) + (block or default,))


def rail_kd(teacher: int, student: int, seed: int) -> LayerMap:
    """The teacher blocks that each student block except the last can be assigned in some epoch, if
    distinct blocks below the last are drawn in order (Haidar et al. 2022, arXiv 2109.10164)."""
    count, below = student - 1, teacher - 1
    if not count or not below:
        return LayerMap((None,) * student)
    lowest = range(1, count + 1) if count <= below else [1] * count
    spare = max(0, below - count) if count <= below else below - 1
    return LayerMap((*lowest, None), upto=(*(a + spare for a in lowest), None))


def redrawn(layer_map: LayerMap, seed: int, epoch: int) -> LayerMap:
    """The map of one epoch, drawn from the ranges of `rail_kd`; it depends on seed and epoch
    alone."""
    matched = [(s, of_block[-1].block) for s, of_block in enumerate(layer_map.targets) if of_block]
    rng = stdlib_random.Random(f"raykd rail_kd {layer_map} {seed} {epoch}")
    highest = range(1, matched[-1][1] + 1)
    pick = (
        rng.sample
        if len(matched) <= len(highest)
        else lambda population, k: rng.choices(population, k=k)
    )
    blocks: list[int | None] = [None] * len(layer_map.blocks)
    for (student, _), block in zip(matched, sorted(pick(highest, len(matched))), strict=True):
        blocks[student] = block
    return LayerMap(tuple(blocks))


def alp_kd(teacher: int, student: int, seed: int) -> LayerMap:
    """Every student block and all teacher blocks (Passban et al. 2021, arXiv 2012.14022)."""
    return LayerMap((1,) * student, upto=(teacher,) * student)


def bert_emd(teacher: int, student: int, seed: int) -> LayerMap:
    """Every student block and all teacher blocks, with the embedding outputs (Li et al. 2020, arXiv
    2010.06133)."""
    return replace(alp_kd(teacher, student, seed), embedding=0)


def learned_mix(teacher: int, student: int, seed: int) -> LayerMap:
    """Every student block and all teacher blocks, mixed with weights that are trained with the
    student: the scalar mix of Peters et al. (2018, arXiv 1802.05365, equation 1) on the teacher's
    side, the simplest of the learned combinations introduced by Wu et al. (2020, aclanthology.org
    2020.emnlp-main.74)."""
    return alp_kd(teacher, student, seed)


def distilbert(teacher: int, student: int, seed: int) -> LayerMap:
    """Only the last block; the init is `every_other` (Sanh et al. 2019, arXiv 1910.01108)."""
    return last(teacher, student, seed)


PUBLISHED: Mapping[str, Published] = {
    "pkd_skip": Published(pkd_skip, "pkd"),
    "pkd_last": Published(pkd_last, "pkd"),
    "tinybert": Published(tinybert, "tinybert"),
    "minilm": Published(minilm, "minilm"),
    "minilm_v2": Published(minilm_v2, "minilm_v2"),
    "rail_kd": Published(rail_kd, "rail_kd"),
    "alp_kd": Published(alp_kd, "alp_kd"),
    "bert_emd": Published(bert_emd, "bert_emd"),
    "learned_mix": Published(learned_mix, "learned_mix"),
    "distilbert": Published(distilbert, "cosine"),
}
RULES: Mapping[str, Strategy] = ChainMap({n: p.rule for n, p in PUBLISHED.items()}, STRATEGIES)
"""All named strategies, also those that are registered later; the published methods last."""


def own_loss(strategy: str) -> str | None:
    """The hidden loss of a published method; None for other strategies."""
    return PUBLISHED[strategy].loss if strategy in PUBLISHED else None


def every_other(teacher: int, student: int, seed: int) -> LayerMap:
    """An init map: evenly spaced from the first teacher block to the last, which is the list of
    DistilBERT's authors, [1, 3, 5, 8, 10, 12] for 12 to 6 (their extract_distilbert.py)."""
    if student == 1:
        return LayerMap((1,))
    steps = (k * (teacher - 1) / (student - 1) for k in range(student))
    return LayerMap(tuple(int(1 + step + 0.5) for step in steps))


def lower_blocks(teacher: int, student: int, seed: int) -> LayerMap:
    """An init map: the lowest blocks of the teacher ("How to Distill your BERT", Wang et al. 2023,
    arXiv 2305.15032)."""
    return LayerMap(tuple(range(1, student + 1)))


def upper_blocks(teacher: int, student: int, seed: int) -> LayerMap:
    """An init map: the highest blocks of the teacher (the same study)."""
    return LayerMap(tuple(max(1, teacher - student + k) for k in range(1, student + 1)))


INIT_MAPS: Mapping[str, Strategy] = {
    "forward": forward, "reverse": reverse, "every_other": every_other, "lower": lower_blocks,
    "upper": upper_blocks,
}  # fmt: skip
"""The named init maps, which state the teacher block that each student block starts from."""
