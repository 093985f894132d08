"""What is computed in another way where that is faster, and is the same."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F

from napari_sam2.model.layers import attention, linear

# Queries and keys: windows of 4, pooled queries, windows of 8, and one key too many.
LENGTHS = [(16, 16), (16, 64), (64, 64), (64, 65), (1, 1)]


@pytest.mark.parametrize("how", ["inference", "gradients", "bfloat16"])
@pytest.mark.parametrize(("queries", "keys"), LENGTHS)
def test_attention_to_few_keys(queries: int, keys: int, how: str) -> None:
    torch.manual_seed(0)
    q = torch.randn(6, 2, queries, 32)
    k, v = 3 * torch.randn(2, 6, 2, keys, 32)
    expected = F.scaled_dot_product_attention(q, k, v)
    lower = torch.autocast("cpu", torch.bfloat16)
    with (
        torch.set_grad_enabled(how == "gradients"),
        lower if how == "bfloat16" else nullcontext(),
    ):
        found = attention(q, k, v)
    tolerance = 5e-2 if how == "bfloat16" else 1e-5
    torch.testing.assert_close(found.float(), expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize(("queries", "keys"), LENGTHS)
def test_attention_that_learns_in_bfloat16(queries: int, keys: int) -> None:
    torch.manual_seed(0)
    q = torch.randn(6, 2, queries, 32)
    k, v = 3 * torch.randn(2, 6, 2, keys, 32)
    expected = F.scaled_dot_product_attention(q, k, v)
    with torch.autocast("cpu", torch.bfloat16):
        found = attention(q, k, v).float()
    # Scores are rounded too, so that single values are less exact than by torch's.
    assert (found - expected).square().mean().sqrt() < 2e-2 * expected.std()
    torch.testing.assert_close(found, expected, atol=0.2, rtol=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_keys_are_dropped_in_training(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 1, 4096, 8)
    v = torch.ones(1, 1, 4096, 8)
    with torch.autocast("cpu", dtype) if dtype != torch.float32 else nullcontext():
        found = attention(q, 0 * k, v, dropout=0.75)
    assert 0.5 < found.float().min() < 0.95
    assert found.float().mean() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("rows", [8, 4096])
def test_linear_maps_of_many_rows(rows: int) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(rows, 64), torch.randn(128, 64), torch.randn(128)
    with torch.no_grad():
        found = linear(x, weight, bias)
    torch.testing.assert_close(found, x @ weight.T + bias, atol=1e-4, rtol=1e-5)
