"""The import rule: which layer may load what."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import napari_sam2

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(napari_sam2.__file__).parent
SCREEN = {"napari", "qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6", "magicgui"}
HYDRA = {"hydra", "omegaconf"}
FILES = {"zarr", "tifffile", "dask", "imagecodecs", "PIL", "pooch", "safetensors"}

# What the files of a layer must not import; the longest prefix that fits counts.
FORBIDDEN = {
    "": SCREEN | HYDRA,
    "errors": {"torch", "numpy", "napari_sam2"} | SCREEN | HYDRA,
    "model": {
        "numpy",
        "napari_sam2.inference",
        "napari_sam2.data",
        "napari_sam2.build",
        "napari_sam2.checkpoints",
        "napari_sam2.ui",
        "napari_sam2.cli",
    }
    | SCREEN
    | HYDRA
    | FILES,
    "data": {
        "torch",
        "napari_sam2.inference",
        "napari_sam2.model",
        "napari_sam2.build",
        "napari_sam2.ui",
        "napari_sam2.cli",
    }
    | SCREEN
    | HYDRA,
    "inference": {
        "napari_sam2.build",
        "napari_sam2.checkpoints",
        "napari_sam2.ui",
        "napari_sam2.cli",
    }
    | SCREEN
    | HYDRA
    | FILES,
    "ui": HYDRA,
    "build": SCREEN,
    "composition": SCREEN,
    "config_": SCREEN,
}


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Names that a file imports, with their lines, but for the type checker."""
    tree = ast.parse(path.read_text("utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield node.lineno, str(node.module)
            yield from (
                (node.lineno, f"{node.module}.{alias.name}") for alias in node.names
            )


def layer(path: Path) -> str:
    name = path.relative_to(PACKAGE).with_suffix("").as_posix()
    return max((p for p in FORBIDDEN if name.startswith(p)), key=len)


def breaches(path: Path, forbidden: set[str]) -> list[str]:
    return sorted(
        {
            f"{path.relative_to(PACKAGE)}:{line} imports {name}"
            for line, name in imported(path)
            if any(name == bad or name.startswith(f"{bad}.") for bad in forbidden)
        }
    )


def test_every_file_keeps_to_its_layer() -> None:
    files = sorted(PACKAGE.rglob("*.py"))
    assert {layer(path) for path in files} >= {"model", "data", "inference", "errors"}
    found = [line for path in files for line in breaches(path, FORBIDDEN[layer(path)])]
    assert found == []


def test_only_functions_of_the_interface_import_torch() -> None:
    found = []
    for path in sorted((PACKAGE / "ui").rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        inner = {
            child.lineno
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for child in ast.walk(node)
            if isinstance(child, ast.Import | ast.ImportFrom)
        }
        found += [
            f"{path.name}:{line}"
            for line, name in imported(path)
            if name.split(".")[0] == "torch" and line not in inner
        ]
    assert found == []


def test_a_breach_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.PACKAGE", tmp_path)
    file = tmp_path / "model" / "part.py"
    file.parent.mkdir()
    file.write_text(
        "from typing import TYPE_CHECKING\n"
        "import torch\n"
        "if TYPE_CHECKING:\n    import napari\n"
        "def f():\n    from napari_sam2 import inference\n    import numpy.typing\n"
    )
    assert layer(file) == "model"
    assert breaches(file, FORBIDDEN["model"]) == [
        "model/part.py:6 imports napari_sam2.inference",
        "model/part.py:7 imports numpy.typing",
    ]


HEAVY = ["torch", "napari", "qtpy", "PyQt6", "PySide6", "magicgui", *sorted(HYDRA)]


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("napari_sam2", [*HEAVY, "zarr", "dask", "skimage", "scipy"]),
        ("napari_sam2.inference.prompt", HEAVY),
        ("napari_sam2.inference.options", HEAVY),
        ("napari_sam2.checkpoints", HEAVY),
        ("napari_sam2.data.frames", HEAVY),
        ("napari_sam2.cli", HEAVY),
    ],
)
def test_a_module_loads_little(module: str, absent: list[str]) -> None:
    code = (
        f"import sys, {module}\n"
        f"print(*[name for name in {absent!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == []


def test_every_public_name_can_be_had() -> None:
    for name in napari_sam2.__all__:
        assert getattr(napari_sam2, name) is not None
    assert sorted(napari_sam2.__all__) == dir(napari_sam2)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = napari_sam2.nothing


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "2000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "active"}, "None"),
    ],
)
def test_threads_are_asked_not_to_spin_unless_the_user_says_how_they_wait(
    given: dict[str, str], found: str
) -> None:
    names = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}
    environment = {key: value for key, value in os.environ.items() if key not in names}
    code = "import os, napari_sam2; print(os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | given,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == found
