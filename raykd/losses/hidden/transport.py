"""The cheapest transports between the blocks of a student and of a teacher, on the device.

scipy solves one example after another on the host, which has to wait for the costs. Here all
examples of a batch are solved together by successive shortest paths (Ahuja, Magnanti and Orlin
1993, Network Flows, section 9.7) with a number of operations that depends on the numbers of blocks
alone, so the host never waits. Costs are whole numbers, so no rounding hides a shorter path.

Shapes: B examples, S student blocks, T teacher blocks.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

NEVER = 2**62  # longer than any path


def cheapest_flows(costs_BST: Tensor) -> Tensor:
    """Flow from each student block to each teacher block, [B, S, T] in fp64: the cheapest transport
    in which every student block gives 1 / S and every teacher block receives 1 / T.

    Costs of an example are rounded to 2^-52 of its largest one (of more than 15 student blocks, to
    a few bits less); the transport is the cheapest one for these. Of several that are, any may be
    returned. Costs that are not finite have a flow too, of no meaning.
    """
    import torch

    B, S, T = costs_BST.shape
    parts = math.lcm(S, T)  # an optimal transport exists in multiples of 1 / parts
    device, taken = costs_BST.device, parts // T
    cost_BST = _whole(costs_BST)
    # The cost of passing a part of teacher block t on, from student block s to s2: [B, S, S2, T].
    # The 1 makes a shorter way win a tie, so no way passes the same part on twice.
    pass_on_BSST = (cost_BST[:, None] - cost_BST[:, :, None]) + 1
    units_BST = torch.zeros(B, S * T, dtype=torch.int64, device=device)
    room_BS = torch.full((B, S), parts // S, dtype=torch.int64, device=device)
    one_B1 = torch.ones(B, 1, dtype=torch.int64, device=device)
    for part in range(parts):
        t = part // taken
        # A new part of block t goes to some student block, one of whose parts is passed on, and so
        # on, to a student block that has room.
        owned_BS1T = (units_BST > 0).view(B, S, 1, T)
        step_BSS, which_BSS = torch.where(owned_BS1T, pass_on_BSST, NEVER).min(-1)
        step_BSS.diagonal(dim1=1, dim2=2).zero_()
        length_BS, before = cost_BST[:, :, t], []
        for _ in range(S - 1):
            length_BS, before_BS = (length_BS[:, :, None] + step_BSS).min(1)
            before.append(before_BS)
        way = [length_BS.masked_fill(room_BS == 0, NEVER).argmin(1, keepdim=True)]
        for before_BS in reversed(before):
            way.append(before_BS.gather(1, way[-1]))
        way_BS = torch.cat(way[::-1], 1)
        from_BW, to_BW = way_BS[:, :-1], way_BS[:, 1:]
        which_BW = which_BSS.flatten(1).gather(1, from_BW * S + to_BW)
        passed_BW = (from_BW != to_BW).long()
        units_BST.scatter_add_(1, way_BS[:, :1] * T + t, one_B1)
        units_BST.scatter_add_(1, from_BW * T + which_BW, -passed_BW)
        units_BST.scatter_add_(1, to_BW * T + which_BW, passed_BW)
        room_BS.scatter_add_(1, way_BS[:, -1:], -one_B1)
    return units_BST.view(B, S, T).double() / parts


def _whole(costs_BST: Tensor) -> Tensor:
    """Costs as whole numbers, as large as the lengths of ways between all blocks allow, and
    multiples of the most steps of a way."""
    import torch

    S = costs_BST.shape[1]
    steps = 2 ** S.bit_length()
    bits = min(52, 61 - (2 * S * steps).bit_length())
    largest_B11 = costs_BST.double().abs().amax((1, 2), keepdim=True).clamp_min(1e-300)
    shares_BST = torch.nan_to_num(costs_BST.double() / largest_B11).clamp(-1, 1)
    whole_BST: Tensor = (shares_BST * 2.0**bits).round().long() * steps
    return whole_BST
