"""Time the parts of a network and its memory, alone and against its peers.

``python benchmarks/benchmark.py --help``; see README.md beside this file. Every
measurement runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from records import PeakMemory, Setting, Timing
from report import further_objects, further_table, memory_table, times_table
from rich.console import Console

_WORKER = Path(__file__).with_name("worker.py")


def main(
    config: Annotated[
        str, typer.Argument(help="A model's name, or the path of a YAML.")
    ] = "sam2.1_hiera_tiny",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    precision: Annotated[
        str, typer.Option(help="auto, float32, bfloat16, float16.")
    ] = "auto",
    image_size: Annotated[
        int | None, typer.Option(help="Input side in pixels, instead of the YAML's.")
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads of torch.")] = 2,
    objects: Annotated[
        str, typer.Option(help="Numbers of objects, separated by commas.")
    ] = "1,4,16",
    repeats: Annotated[int, typer.Option(min=1, help="Timed repeats.")] = 9,
    seed: Annotated[int, typer.Option(help="Of weights and inputs.")] = 0,
    peers: Annotated[
        bool, typer.Option(help="Time other implementations, where installed.")
    ] = False,
    memory: Annotated[bool, typer.Option(help="Measure peak memory as well.")] = True,
    out: Annotated[
        Path | None, typer.Option(help="Write everything to a JSON file.")
    ] = None,
) -> None:
    """Time the parts of a network, and the memory that it takes."""
    console = Console()
    setting = Setting(
        config=config,
        device=device,
        precision=precision,
        image_size=image_size,
        threads=threads,
        objects=tuple(sorted({int(count) for count in objects.split(",")})),
        subjects=("ours",),
        repeats=repeats,
        seed=seed,
    )
    with console.status("building the network"):
        about = _answer("describe", setting)
    if peers:
        setting = replace(setting, subjects=("ours", *about["peers"]))
    with console.status("timing"):
        timings = [
            Timing(**_with_tuples(row, "seconds", "foreign_load"))
            for row in _answer("time", setting)
        ]
    console.print(times_table(timings))
    further = further_objects(timings)
    if further:
        console.print(further_table(further))
    memories = []
    if memory:
        for name in setting.subjects:
            for count in setting.objects:
                with console.status(f"memory of {name}, {count} objects"):
                    alone = replace(setting, subjects=(name,), objects=(count,))
                    rows = _answer("memory", alone)
                memories += [PeakMemory(**row) for row in rows]
        console.print(memory_table(memories))
    if out is not None:
        result = about | {
            "setting": asdict(setting),
            "times": [
                {**asdict(t), "median": t.median, "unit": "seconds"} for t in timings
            ],
            "frames_per_second": [
                {"subject": t.subject, "objects": t.objects, "value": 1 / t.median}
                for t in timings
                if t.part == "whole frame"
            ],
            "further_object": {"seconds": further},
            "memory": [{**asdict(m), "unit": "bytes"} for m in memories],
        }
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = out.with_name(out.name + ".partial")
        partial.write_text(json.dumps(result, indent=1) + "\n")
        partial.replace(out)


def _answer(task: str, setting: Setting) -> Any:
    """Have a new process do a task."""
    request = json.dumps({"task": task, "setting": asdict(setting)})
    done = subprocess.run(
        [sys.executable, str(_WORKER)],
        input=request,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env=os.environ | {"TQDM_DISABLE": "1"},  # a peer's bars
    )
    if done.returncode:
        raise SystemExit(f"benchmark: the task {task!r} failed; see above.")
    return json.loads(done.stdout)


def _with_tuples(row: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Turn lists of JSON into tuples."""
    return row | {key: tuple(row[key]) for key in keys}


if __name__ == "__main__":
    typer.run(main)
