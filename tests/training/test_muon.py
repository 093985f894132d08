from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Barrier

import pytest
import torch

from napari_sam2.training.muon import Muon, orthogonal, shared_out
from napari_sam2.training.ranks import Ranks


@dataclass(frozen=True)
class Together(Ranks):
    """Threads of one process in the place of processes."""

    given: dict[int, torch.Tensor] = field(default_factory=dict)
    barrier: Barrier = field(default_factory=lambda: Barrier(2))

    def total(self, values):
        self.given[self.rank] = values.clone()
        self.barrier.wait(timeout=60)
        return values.copy_(sum(self.given.values()))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-3), (torch.bfloat16, 0.05)]
)
@pytest.mark.parametrize("shape", [(32, 32), (16, 96), (96, 16)])
def test_singular_values_come_near_one(shape, dtype, tolerance):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    given = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonal(1e3 * matrix, dtype)
    assert found.dtype == torch.float32
    values = given.U.T @ found @ given.Vh.T  # in the bases of what was given
    off = values - values.diag().diag()
    assert off.abs().max() < tolerance
    large = values.diag()[given.S > 0.1 * given.S.max()]  # noqa: SIM300
    assert large.min() > 0.65
    assert large.max() < 1.25


def test_a_matrix_of_zeros_stays():
    assert not orthogonal(torch.zeros(8, 4)).any()


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch before 2.9")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_steps_are_those_of_torch(dtype):
    chance = torch.Generator().manual_seed(0)
    start = torch.randn(24, 40, generator=chance)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    settings = {"lr": 0.1, "weight_decay": 0.1}
    mine = Muon([{"params": [ours], **settings}], dtype=dtype)
    published = torch.optim.Muon([theirs], adjust_lr_fn="match_rms_adamw", **settings)
    for _ in range(4):
        gradient = torch.randn(24, 40, generator=chance)
        for weight, one in ((ours, mine), (theirs, published)):
            weight.grad = gradient.clone()
            one.step()
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.03 * moved  # torch's are in bfloat16


def test_processes_share_the_work():
    chance = torch.Generator().manual_seed(0)
    shapes = [(8, 8), (16, 4), (4, 12)]
    starts = [torch.randn(shape, generator=chance) for shape in shapes]
    gradients = [torch.randn(shape, generator=chance) for shape in shapes]

    def stepped(ranks):
        weights = [torch.nn.Parameter(start.clone()) for start in starts]
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient.clone()
        Muon([{"params": weights}], lr=0.1, ranks=ranks).step()
        return [weight.detach() for weight in weights]

    alone = stepped(None)
    first = Together(0, 2)
    second = Together(1, 2, given=first.given, barrier=first.barrier)
    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(stepped, (first, second)))
    for found in both:
        assert all(map(torch.equal, found, alone))
    one, other = (first.given[rank] != 0 for rank in (0, 1))
    assert not (one & other).any()
    assert (one | other).all()


def test_processes_exchange_nothing_where_no_matrix_has_a_gradient():
    weight = torch.nn.Parameter(torch.ones(4, 4))
    Muon([{"params": [weight]}], ranks=Together(0, 2)).step()
    assert torch.equal(weight, torch.ones(4, 4))


@pytest.mark.parametrize(
    ("costs", "count", "owners"),
    [
        ([], 2, []),
        ([1, 5, 3], 1, [0, 0, 0]),
        ([1, 5, 3], 2, [1, 0, 1]),
        ([2, 2, 2, 6], 2, [1, 1, 1, 0]),
        ([1, 1], 3, [0, 1]),
    ],
)
def test_tasks_are_shared_out_so_that_all_end_together(costs, count, owners):
    assert shared_out(costs, count) == owners


def test_what_has_no_gradient_stays():
    weight = torch.nn.Parameter(torch.ones(4, 4))
    Muon([{"params": [weight], "weight_decay": 0.5}], lr=1.0).step()
    assert torch.equal(weight, torch.ones(4, 4))


def test_vectors_are_refused():
    with pytest.raises(ValueError, match="a tensor of 1 axes"):
        Muon([{"params": [torch.nn.Parameter(torch.ones(4))]}])
