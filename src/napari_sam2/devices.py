"""Where a network runs, and in which precision."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from napari_sam2.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@contextmanager
def telling_full_memory(advice: str) -> Iterator[None]:
    """Say what to do where memory is full.

    Parameters
    ----------
    advice : str
        What makes the work need less, such as "choose a smaller model".

    Raises
    ------
    ConfigError
        In place of what torch or Python raise when memory is full.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error).lower()
        if isinstance(error, torch.OutOfMemoryError) or "out of memory" in text:
            raise ConfigError(
                f"The memory of the graphics card is full: {advice}, close what else "
                "uses it, or take the device cpu."
            ) from error
        # What torch's allocators for processors raise has no type of its own.
        words = ("allocate memory", "not enough memory")
        if isinstance(error, MemoryError) or any(word in text for word in words):
            raise ConfigError(
                f"There is not enough memory: {advice}, or close other programs."
            ) from error
        raise


def _emulates_bfloat16() -> bool:
    """Return whether the CPU is known to lack instructions for bfloat16."""
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return supported is not None and not supported()
