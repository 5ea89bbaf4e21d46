"""Earth mover's distance between a student's blocks and a teacher's, all blocks weighing alike."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import linear_sum_assignment


def flows(costs_BST: np.ndarray) -> np.ndarray:
    """For each example, how much of each teacher block goes to each student block, [B, S, T]:
    the cheapest way in which every student block gives 1 / S and every teacher block takes 1 / T.

    Such a transport has a best solution in whole parts of 1 / lcm(S, T), so it is an assignment
    between blocks that are cut into these parts, which scipy solves exactly.
    """
    _, S, T = costs_BST.shape
    parts = math.lcm(S, T)
    student, teacher = np.repeat(np.arange(S), parts // S), np.repeat(np.arange(T), parts // T)
    found = np.zeros_like(costs_BST)
    for costs_ST, flow_ST in zip(costs_BST, found, strict=True):
        rows, columns = linear_sum_assignment(costs_ST[np.ix_(student, teacher)])
        np.add.at(flow_ST, (student[rows], teacher[columns]), 1 / parts)
    return found
