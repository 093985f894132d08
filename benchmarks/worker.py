"""Takes measurements in a process of its own; started by ``benchmark.py``.

``python worker.py`` reads a request as JSON from standard input and writes the answer
as JSON to standard output.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import sys
from contextlib import redirect_stdout, suppress
from dataclasses import asdict
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from clock import time_in_turn
from peers import hugging_face, published
from records import PARTS, SHARED_PARTS, PeakMemory, Setting, Timing
from subject import Inputs, OwnSubject, Video

from napari_sam2 import build_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from subject import Subject

    from napari_sam2.model.sam2 import Sam2

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")

_PACKAGES = ("napari-sam2", "torch", "numpy", "sam2", "transformers")

_PEERS = {
    "published": (published.can_time, published.PublishedSubject),
    "transformers": (hugging_face.can_time, hugging_face.HuggingFaceSubject),
}


def main() -> None:
    """Answer one request."""
    request = json.load(sys.stdin)
    given = request["setting"]
    setting = Setting(
        **given | {key: tuple(given[key]) for key in ("objects", "subjects")}
    )
    torch.set_num_threads(setting.threads)
    with redirect_stdout(sys.stderr), torch.inference_mode():
        answer = _TASKS[request["task"]](setting)
    json.dump(answer, sys.stdout)


def describe(setting: Setting) -> dict[str, Any]:
    """Say which machine, versions and network these are, and who is installed."""
    model = _build(setting)
    device = model.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "processors": os.cpu_count(),
            "accelerator": name,
            "threads": torch.get_num_threads(),
        },
        "versions": {"python": platform.python_version()} | _versions(),
        "network": {
            "image_size": model.image_size,
            "device": str(device),
            "precision": str(model.precision).removeprefix("torch."),
            "parameters": sum(p.numel() for p in model.parameters()),
        },
        "peers": [name for name, (can_time, _) in _PEERS.items() if can_time(model)],
    }


def time_parts(setting: Setting) -> list[dict[str, Any]]:
    """Time every part of every subject."""
    model = _build(setting)
    subjects = {name: _subject(name, setting, model) for name in setting.subjects}
    timings = []
    for count in setting.objects:
        for part in PARTS:
            if part in SHARED_PARTS and count != setting.objects[0]:
                continue
            with model.autocast():
                timings += _time_part(part, count, setting, model, subjects)
    return [asdict(timing) for timing in timings]


def peak_memory(setting: Setting) -> list[dict[str, Any]]:
    """Track some frames and measure the most memory held meanwhile."""
    (name,), (count,) = setting.subjects, setting.objects
    model = _build(setting)
    subject = _subject(name, setting, model)
    device, precision = model.device, model.precision
    frames = model.num_maskmem + 1 + setting.repeats
    video = Video.seeded(model.image_size, count, frames, setting.seed)
    del model  # where a peer is measured, our network shall not count
    gc.collect()
    start = _forget_peak(device)
    reduced = precision != torch.float32
    dtype = precision if reduced else None
    with torch.autocast(device.type, dtype=dtype, enabled=reduced):
        for _ in subject.frames(video):
            pass
    memory = PeakMemory(
        subject=name,
        objects=count,
        start_bytes=start,
        peak_bytes=_peak_bytes(device),
        kind="cuda" if device.type == "cuda" else "resident",
    )
    return [asdict(memory)]


def _time_part(
    part: str,
    count: int,
    setting: Setting,
    model: Sam2,
    subjects: Mapping[str, Subject],
) -> list[Timing]:
    """Time a part of all subjects in turn."""
    if part == "whole frame":
        # Memories must be full, which takes one frame for each.
        warm_up = model.num_maskmem + 1
        frames = warm_up + setting.repeats + 2
        video = Video.seeded(model.image_size, count, frames, setting.seed)
        runs = {
            name: partial(next, subject.frames(video))
            for name, subject in subjects.items()
        }
        most_calls = 1
    else:
        inputs = Inputs.seeded(model, count, setting.seed)
        runs = {
            name: getattr(subject, part.replace(" ", "_"))(inputs)
            for name, subject in subjects.items()
        }
        warm_up, most_calls = 2, 1000
    taken = time_in_turn(
        runs,
        model.device,
        repeats=setting.repeats,
        warm_up=warm_up,
        most_calls=most_calls,
    )
    return [
        Timing(
            subject=name,
            part=part,
            objects=count,
            seconds=tuple(repeats.seconds),
            foreign_load=tuple(repeats.foreign_load),
        )
        for name, repeats in taken.items()
    ]


def _build(setting: Setting) -> Sam2:
    overrides = []
    if setting.image_size is not None:
        overrides.append(f"image_size={setting.image_size}")
    return build_model(
        setting.config,
        checkpoint=None,
        device=setting.device,
        precision=setting.precision,
        overrides=overrides,
        seed=setting.seed,
    )


def _subject(name: str, setting: Setting, model: Sam2) -> Subject:
    if name == "ours":
        return OwnSubject(model)
    return _PEERS[name][1](setting, model)


def _forget_peak(device: torch.device) -> int:
    """Start a new peak, where the system can; return the bytes held now."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    if _CLEAR_REFS.exists():
        _CLEAR_REFS.write_text("5")
    return _peak_bytes(device)


def _peak_bytes(device: torch.device) -> int:
    """Return the most bytes held since the last `_forget_peak`."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if _STATUS.exists():
        # getrusage would count what the parent process held when it started this one.
        lines = _STATUS.read_text().splitlines()
        (peak,) = (line for line in lines if line.startswith("VmHWM:"))
        return 1024 * int(peak.split()[1])
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _versions() -> dict[str, str]:
    """Return the versions of the packages concerned that are installed."""
    versions = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def _processor() -> str:
    """Return the name of the processor, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


_TASKS = {"describe": describe, "time": time_parts, "memory": peak_memory}

if __name__ == "__main__":
    main()
