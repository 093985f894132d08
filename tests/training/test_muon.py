from __future__ import annotations

import pytest
import torch

from napari_sam2.training.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(32, 32), (16, 96), (96, 16)])
def test_singular_values_come_near_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    given = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonal(1e3 * matrix)
    values = given.U.T @ found @ given.Vh.T  # in the bases of what was given
    off = values - values.diag().diag()
    assert off.abs().max() < 1e-3
    large = values.diag()[given.S > 0.1 * given.S.max()]  # noqa: SIM300
    assert large.min() > 0.65
    assert large.max() < 1.25


def test_a_matrix_of_zeros_stays():
    assert not orthogonal(torch.zeros(8, 4)).any()


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch before 2.9")
def test_the_steps_are_those_of_torch():
    chance = torch.Generator().manual_seed(0)
    start = torch.randn(24, 40, generator=chance)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    settings = {"lr": 0.1, "weight_decay": 0.1}
    mine = Muon([{"params": [ours], **settings}])
    published = torch.optim.Muon([theirs], adjust_lr_fn="match_rms_adamw", **settings)
    for _ in range(4):
        gradient = torch.randn(24, 40, generator=chance)
        for weight, one in ((ours, mine), (theirs, published)):
            weight.grad = gradient.clone()
            one.step()
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.03 * moved  # torch's are in bfloat16


def test_what_has_no_gradient_stays():
    weight = torch.nn.Parameter(torch.ones(4, 4))
    Muon([{"params": [weight], "weight_decay": 0.5}], lr=1.0).step()
    assert torch.equal(weight, torch.ones(4, 4))


def test_vectors_are_refused():
    with pytest.raises(ValueError, match="a tensor of 1 axes"):
        Muon([{"params": [torch.nn.Parameter(torch.ones(4))]}])
