"""How weights move: by AdamW, or matrices by Muon and all else by AdamW."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from napari_sam2.training.muon import Muon

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch.optim import Optimizer

    from napari_sam2.model.sam2 import Sam2
    from napari_sam2.training.ranks import Ranks
    from napari_sam2.training.settings import StageParameters, TrainingParameters

_FRAME_PARTS = ("image_encoder.", "sam_prompt_encoder.", "sam_mask_decoder.")
# Matrices with fewer rows or columns are heads; Muon is for hidden layers.
_LEAST_SIDE = 16


class WeightOptimizer:
    """The optimisers of a stage as one.

    Vectors (biases, norms) do not decay. With Muon (arXiv 2502.16982: steps are scaled
    to be as long as AdamW's, so that one rate is right for both) the matrices of linear
    layers move by it, convolutions and embeddings by AdamW.

    Parameters
    ----------
    model : Sam2
        Whose weights move, all that are not frozen.
    parameters : TrainingParameters
        The run: decays.
    stage : StageParameters
        Which optimiser, and at what share of the rate the parts move that see single
        frames.
    ranks : Ranks, optional
        The processes of the run, which share the work of Muon.
    """

    def __init__(
        self,
        model: Sam2,
        parameters: TrainingParameters,
        stage: StageParameters,
        ranks: Ranks | None = None,
    ) -> None:
        by_muon = set()
        if stage.optimizer == "muon":
            by_muon = _hidden_matrices(model)
        muon, adamw = [], []
        decay = parameters.weight_decay
        for share, of_frames in ((stage.frame_rate, True), (1.0, False)):
            chosen = {
                name: parameter
                for name, parameter in model.named_parameters()
                if parameter.requires_grad
                and name.startswith(_FRAME_PARTS) == of_frames
            }
            hidden = [p for name, p in chosen.items() if name in by_muon]
            rest = [p for name, p in chosen.items() if name not in by_muon]
            muon.append(_group(hidden, share, decay))
            adamw.append(_group((p for p in rest if p.ndim > 1), share, decay))
            adamw.append(_group((p for p in rest if p.ndim <= 1), share, 0.0))
        betas = (0.9, parameters.beta2)
        self.optimizers: list[Optimizer] = [torch.optim.AdamW(adamw, betas=betas)]
        if any(group["params"] for group in muon):
            self.optimizers.append(Muon(muon, dtype=model.precision, ranks=ranks))

    def set_rate(self, rate: float) -> None:
        """Set the learning rate, of which some weights have but a share."""
        for group in chain(*(one.param_groups for one in self.optimizers)):
            group["lr"] = rate * group["share"]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for one in self.optimizers:
            one.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Move the weights; those without gradients stay."""
        for one in self.optimizers:
            one.step()

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on."""
        return {type(one).__name__: one.state_dict() for one in self.optimizers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned, for the same parameters."""
        for one in self.optimizers:
            one.load_state_dict(state[type(one).__name__])


def _group(
    parameters: Iterable[nn.Parameter], share: float, decay: float
) -> dict[str, Any]:
    """Return a group of weights that move at the same rate."""
    return {"params": list(parameters), "weight_decay": decay, "share": share}


def _hidden_matrices(model: Sam2) -> set[str]:
    """Return the names of the matrices of linear layers, heads left out."""
    return {
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and min(module.weight.shape) >= _LEAST_SIDE
    }
