"""Where a network runs, and in which precision."""

from __future__ import annotations

import logging

import torch

from napari_sam2.errors import ConfigError

_log = logging.getLogger(__name__)

_PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def choose_device(device: str | torch.device = "auto") -> torch.device:
    """Return the device that a name means on this machine.

    Parameters
    ----------
    device : str or torch.device
        "auto" (the first CUDA device, else Apple's GPU, else the CPU), "cpu", "cuda",
        "cuda:1" or "mps".

    Raises
    ------
    ConfigError
        If there is no such device here; the message lists those that there are.
    """
    name = str(device).strip().lower()
    there = available_devices()
    if name == "auto":
        return torch.device(there[0])
    if name == "cuda" and "cuda:0" in there:
        return torch.device("cuda", torch.cuda.current_device())
    if name == "mps:0":
        name = "mps"
    if name not in there:
        raise ConfigError(
            f"The device {name!r} is not available: this machine has "
            f"{', '.join(there)}. Give one of these, or 'auto'."
        )
    return torch.device(name)


def available_devices() -> tuple[str, ...]:
    """Return the names of the devices of this machine, the fastest first."""
    devices = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return (*devices, "cpu")


def choose_precision(precision: str, device: torch.device) -> torch.dtype:
    """Return the type of number in which a network shall compute on a device.

    Parameters
    ----------
    precision : str
        "auto" (bfloat16 on CUDA devices that compute it natively, float32 elsewhere),
        "float32", "bfloat16" or "float16".
    device : torch.device
        Where it runs.

    A CPU that only emulates bfloat16 is told of in a warning: it is many times slower.

    Raises
    ------
    ConfigError
        If it is none of these, or float16 on a CPU.
    """
    if precision == "auto":
        native = device.type == "cuda" and torch.cuda.is_bf16_supported(
            including_emulation=False
        )
        return torch.bfloat16 if native else torch.float32
    dtype = _PRECISIONS.get(precision)
    if dtype is None:
        raise ConfigError(
            f"The precision {precision!r} is not known: give 'auto', "
            f"{', '.join(map(repr, _PRECISIONS))}."
        )
    if dtype == torch.float16 and device.type == "cpu":
        raise ConfigError(
            "float16 is slow and imprecise on a CPU: give 'float32' or 'bfloat16'."
        )
    if dtype == torch.bfloat16 and device.type == "cpu" and _emulates_bfloat16():
        _log.warning(
            "This processor does not compute in bfloat16, only emulates it, many times "
            "slower than float32: give 'float32' or 'auto'."
        )
    return dtype


def _emulates_bfloat16() -> bool:
    """Return whether the CPU is known to lack instructions for bfloat16."""
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return supported is not None and not supported()
