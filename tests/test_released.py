"""The released losses of encoder-decoders, against a word-for-word transcription of the paper's
dossier (section 2 of its table and notes T5-a, T5-b), in values and gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from raykd import losses, released

B, T_SOURCE, T_TARGET, D, V, DEPTH, PAD = 3, 7, 6, 5, 11, 2, 0


def batch(
    track: released.Track, seed: int, targets: tuple[int, ...] = (6, 3, 4)
) -> dict[str, Tensor]:
    """Texts of 7, 4 and 2 source tokens; targets of so many with the one that ends them.
    What the decoder reads begins with the padding's token in T5, with the end's in BART."""
    draw = torch.Generator().manual_seed(seed)
    source = (torch.arange(T_SOURCE)[None] < torch.tensor([7, 4, 2])[:, None]).long()
    labels = torch.randint(3, V, (B, T_TARGET), generator=draw)
    for row, length in enumerate(targets):
        labels[row, length - 1], labels[row, length:] = 1, -100
    read = labels.roll(1, 1).masked_fill(labels.roll(1, 1) == -100, PAD)
    read[:, 0] = PAD if track == "t5" else 1
    return {"source": source, "labels": labels, "read": read}


def leaves(seed: int, *shape: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draw, dtype=torch.float64).requires_grad_()


def states(seed: int, length: int) -> Tensor:
    """[L + 1, B, T, D], with a mean and a spread of their own."""
    return leaves(seed, DEPTH + 1, B, length, D)


def others(seed: int) -> list[Tensor]:
    """The teacher's logits and states: of another mean and spread, without gradients."""
    found = [
        leaves(seed + 1, B, T_TARGET, V),
        states(seed + 11, T_SOURCE),
        states(seed + 21, T_TARGET),
    ]
    return [x.detach() * 2 + 0.5 for x in found]


def transcribed(
    track: released.Track, data: dict[str, Tensor], logits: tuple[Tensor, Tensor],
    encoder: tuple[Tensor, Tensor], decoder: tuple[Tensor, Tensor],
) -> Tensor:  # fmt: skip
    """Position by position, as the dossier has it."""
    student, teacher = logits
    temperature = 2.0 if track == "t5" else 1.0

    def softmax(x: Tensor) -> Tensor:
        return x.exp() / x.exp().sum()

    ce, tokens = torch.zeros((), dtype=torch.float64), 0
    kl, positions = torch.zeros((), dtype=torch.float64), 0
    for b in range(B):
        for t in range(T_TARGET):
            label = int(data["labels"][b, t])
            if label != -100:  # token mean CE, pad ignored
                ce, tokens = ce - softmax(student[b, t])[label].log(), tokens + 1
            if int(data["read"][b, t]) != PAD:  # positions whose decoder input is not pad
                p = softmax(teacher[b, t] / temperature)
                q = softmax(student[b, t] / temperature)
                kl, positions = kl + (p * (p.log() - q.log())).sum(), positions + 1
    kl = kl / positions * temperature**2

    def normalised(x: Tensor) -> Tensor:  # T5-b: each layer over the whole batch x time x hidden
        count = math.prod(x.shape[1:])
        mean = x.sum(dim=(1, 2, 3), keepdim=True) / count
        spread = ((x - mean) ** 2).sum(dim=(1, 2, 3), keepdim=True) / count
        return (x - mean) / (spread + 1e-5).sqrt()

    def hid(pair: tuple[Tensor, Tensor], valid: Tensor) -> Tensor:
        own, told = (normalised(x) if track == "t5" else x for x in pair)
        total = torch.zeros((), dtype=torch.float64)
        for m in range(DEPTH + 1):  # the sum over L_S + 1 states
            squares = [
                (own[m, b, t] - told[m, b, t]) ** 2
                for b in range(B)
                for t in range(valid.shape[1])
                if valid[b, t]
            ]
            total = total + torch.cat(squares).mean()  # over valid tokens and dims
        return total

    hidden = hid(encoder, data["source"] == 1) + hid(decoder, data["read"] != PAD)
    return ce / tokens + kl + 3 * hidden


@pytest.mark.parametrize("track", ["bart", "t5"])
@pytest.mark.parametrize("seed", range(3))
def test_the_losses_are_the_released_ones(track: released.Track, seed: int) -> None:
    data = batch(track, seed)
    ours = [leaves(seed, B, T_TARGET, V), states(seed + 10, T_SOURCE), states(seed + 20, T_TARGET)]
    told = others(seed)

    wanted = transcribed(track, data, (ours[0], told[0]), (ours[1], told[1]), (ours[2], told[2]))
    expected = torch.autograd.grad(wanted, ours)

    said = data["labels"] != -100
    ce = losses.cross_entropy(ours[0][said], data["labels"][said], int(said.sum()))
    read = released.decoder_mask(data["read"], PAD)
    kl = released.kl(ours[0], told[0], read, released.TEMPERATURE[track])
    each = released.hidden(track, list(zip(ours[1], told[1], strict=True)), data["source"] == 1)
    each += released.hidden(track, list(zip(ours[2], told[2], strict=True)), read)
    found = released.total(ce, kl, each)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)
    for own, other in zip(torch.autograd.grad(found, ours), expected, strict=True):
        assert torch.allclose(own, other, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("seed", range(3))
def test_the_kind_paper_bart_is_the_release_in_the_students_own_loss(seed: int) -> None:
    """As a sweep trains it, over valid tokens and loss positions: the places of the release where
    no target is shorter than its batch mates."""
    data = batch("bart", seed, (6, 6, 6))
    ours = [leaves(seed, B, T_TARGET, V), states(seed + 10, T_SOURCE), states(seed + 20, T_TARGET)]
    told = others(seed)
    wanted = transcribed("bart", data, (ours[0], told[0]), (ours[1], told[1]), (ours[2], told[2]))
    said, source = data["labels"] != -100, data["source"] == 1
    count = int(said.sum())
    ce = losses.cross_entropy(ours[0][said], data["labels"][said], count)
    kl = losses.kl(ours[0][said], told[0][said], 1.0, count)
    pairs = [(s[source], t[source]) for s, t in zip(ours[1], told[1], strict=True)]
    pairs += [(s[said], t[said]) for s, t in zip(ours[2], told[2], strict=True)]
    tokens = [int(source.sum())] * (DEPTH + 1) + [count] * (DEPTH + 1)
    hidden, _ = losses.hidden("paper_bart", pairs, tokens, B)
    found = ce + kl + 3 * hidden
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)
    expected = torch.autograd.grad(wanted, ours)
    for own, other in zip(torch.autograd.grad(found, ours), expected, strict=True):
        assert torch.allclose(own, other, rtol=1e-4, atol=1e-7)


def test_the_released_mask_counts_a_position_behind_the_end_and_t5s_not_the_first() -> None:
    """By its arithmetic, `decoder_input_ids != pad`: BART has the former in common with T5."""
    wanted = [[True] * 6, [True] * 4 + [False] * 2, [True] * 5 + [False]]
    assert released.decoder_mask(batch("bart", 0)["read"], PAD).tolist() == wanted
    without = [[False, *row[1:]] for row in wanted]
    assert released.decoder_mask(batch("t5", 0)["read"], PAD).tolist() == without


def test_in_t5_a_texts_loss_depends_on_its_batch_mates() -> None:
    own, told = states(1, T_SOURCE).detach(), states(2, T_SOURCE).detach()
    mask = torch.zeros(B, T_SOURCE, dtype=torch.bool)
    mask[0] = True
    louder = own.clone()
    louder[:, 1] *= 10

    def loss(x: Tensor) -> float:
        pairs = list(zip(x, told, strict=True))
        return float(torch.stack(released.hidden("t5", pairs, mask)).sum())

    assert loss(own) != pytest.approx(loss(louder), rel=1e-3)
