"""Fixtures shared by the tests of the network and of inference."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam2 import Session, VideoPredictor
    from napari_sam2.model.sam2 import Sam2

# A loaded machine is slow, not wrong.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# torch and the package load inside the fixtures: many tests need neither.


@pytest.fixture(autouse=True)
def threads(request: pytest.FixtureRequest) -> None:
    """One thread, which is faster for small networks; all for the official ones."""
    torch = sys.modules.get("torch")
    if torch is not None:
        official = request.node.get_closest_marker("official") is not None
        torch.set_num_threads((os.cpu_count() or 1) if official else 1)


@pytest.fixture(scope="session")
def micro() -> Sam2:
    """The smallest network, with weights by which objects are always present."""
    return _micro("fill")


@pytest.fixture(scope="session")
def micro_hard() -> Sam2:
    """The smallest network, with weights by which objects come and go."""
    return _micro("fill_hard")


def _micro(formula: str) -> Sam2:
    from golden import seeded
    from napari_sam2 import build_model

    model = build_model("micro", checkpoint=None, device="cpu")
    return seeded.seed_weights(model, getattr(seeded, formula))


@pytest.fixture
def predictor(micro: Sam2) -> VideoPredictor:
    """A predictor with the default options."""
    from napari_sam2 import PredictorOptions, VideoPredictor

    return VideoPredictor(micro, PredictorOptions())


@pytest.fixture
def session(predictor: VideoPredictor) -> Session:
    """A session on the scene, without prompts."""
    from sessions import SCENE

    return predictor.start(SCENE.frames)


@pytest.fixture
def record_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[object, str], list[tuple[Any, ...]]]:
    """Record the positional arguments that a method is called with from now on."""

    def record(owner: object, name: str) -> list[tuple[Any, ...]]:
        calls: list[tuple[Any, ...]] = []
        method = getattr(owner, name)

        def recorded(*args: Any, **kwargs: Any) -> Any:
            calls.append(args)
            return method(*args, **kwargs)

        monkeypatch.setattr(owner, name, recorded)
        return calls

    return record
