from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import nn

from napari_sam2.training.muon import Muon
from napari_sam2.training.optimizer import WeightOptimizer


def built(model, parameters, **settings):
    stage = replace(parameters.stages[0], **settings)
    return WeightOptimizer(model, parameters, stage)


def groups(weights):
    return [group for one in weights.optimizers for group in one.param_groups]


def test_every_weight_is_in_one_group_and_vectors_do_not_decay(
    model, images, optimizer
):
    model.image_encoder.requires_grad_(False)
    weights = built(model, images, optimizer=optimizer, frame_rate=0.5)
    moved = [p for group in groups(weights) for p in group["params"]]
    learned = [p for p in model.parameters() if p.requires_grad]
    assert len(moved) == len(learned)
    assert {id(p) for p in moved} == {id(p) for p in learned}
    for group in groups(weights):
        for parameter in group["params"]:
            assert (group["weight_decay"] > 0) == (parameter.ndim > 1)


def test_muon_moves_the_matrices_of_hidden_layers(model, images):
    weights = built(model, images, optimizer="muon")
    muon = next(one for one in weights.optimizers if isinstance(one, Muon))
    moved = {id(p) for group in muon.param_groups for p in group["params"]}
    layer = model.memory_attention.layers[0]
    assert id(layer.linear1.weight) in moved
    assert id(layer.linear1.bias) not in moved
    heads = [
        module.weight
        for module in model.modules()
        if isinstance(module, nn.Linear) and module.out_features == 1
    ]
    assert heads
    assert not moved & {id(weight) for weight in heads}


def test_parts_that_see_single_frames_have_a_share_of_the_rate(
    model, images, optimizer
):
    weights = built(model, images, optimizer=optimizer, frame_rate=0.25)
    weights.set_rate(0.01)
    rates = {id(p): group["lr"] for group in groups(weights) for p in group["params"]}
    for part, rate in ((model.image_encoder, 0.0025), (model.memory_attention, 0.01)):
        assert {rates[id(p)] for p in part.parameters()} == {rate}


def test_weights_move_and_go_on_as_before_from_a_state(model, images, optimizer):
    layer = model.memory_attention.layers[0].linear1
    chance = torch.Generator().manual_seed(0)
    gradients = [
        [torch.randn(p.shape, generator=chance) for p in layer.parameters()]
        for _ in range(3)
    ]

    def learn(weights, some):
        weights.set_rate(1e-2)
        for one in some:
            weights.zero_grad()
            for parameter, gradient in zip(layer.parameters(), one, strict=True):
                parameter.grad = gradient.clone()
            weights.step()

    weights = built(model, images, optimizer=optimizer)
    start = layer.weight.detach().clone()
    learn(weights, gradients[:2])
    moved = (layer.weight - start).std().item()
    assert 1e-3 < moved < 2e-2  # the rate twice, times less than 1
    model_state = copy.deepcopy(model.state_dict())
    state = copy.deepcopy(weights.state_dict())
    learn(weights, gradients[2:])
    through = layer.weight.detach().clone()

    model.load_state_dict(model_state)
    again = built(model, images, optimizer=optimizer)
    again.load_state_dict(state)
    learn(again, gradients[2:])
    assert torch.equal(layer.weight, through)
