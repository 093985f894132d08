"""The network that a command asks for: its name, how it is built and introduced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam2.build import build_model, locate_network
from napari_sam2.checkpoints import default_model
from napari_sam2.cli.console import Progress, note
from napari_sam2.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam2.model.sam2 import Sam2


def build_network(
    network: str | None,
    checkpoint: str | None,
    *,
    device: str,
    precision: str,
    overrides: Sequence[str],
    seed: int,
) -> Sam2:
    """Build a network, showing the download of its weights if there is one.

    Parameters
    ----------
    network : str, optional
        A registered name or the path of a YAML; None: the default model.
    checkpoint : str, optional
        As for `build_model`; None: random weights, fixed by `seed`.
    device, precision, overrides
        As for `build_model`.
    seed : int
        Of random weights.
    """
    with Progress("Downloading weights", total=None, unit="bytes") as bar:
        return build_model(
            network,
            checkpoint=checkpoint,
            device=device,
            precision=precision,
            overrides=overrides,
            seed=seed if checkpoint is None else None,
            progress=bar.show,
        )


def check_weights(network: str | None, checkpoint: str | None) -> None:
    """Refuse a network whose own weights are asked for and that has none.

    Parameters
    ----------
    network : str, optional
        A registered name or the path of a YAML; None: the default model.
    checkpoint : str, optional
        As for `build_model`; only "auto" asks for the network's own.

    Raises
    ------
    CheckpointError
        If there are none.
    ConfigError
        If the network is neither registered nor the path of a readable file.
    """
    if checkpoint != "auto":
        return
    _, found = locate_network(network)
    if found is None or not found.has_weights:
        raise CheckpointError(
            f"No weights are published for {network_name(network)}. Give --checkpoint"
            " the path of a weights file, or --checkpoint none to try it out with"
            " random weights."
        )


def network_name(network: str | None) -> str:
    """Return the name or path of the network that is meant."""
    return network or default_model().name


def introduce_network(network: str | None, model: Sam2) -> None:
    """Say which network computes, where, and in what."""
    precision = str(model.precision).removeprefix("torch.")
    note(f"{network_name(network)} on {model.device}, computing in {precision}")
