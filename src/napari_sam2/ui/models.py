"""Which models can be chosen, and the one that is loaded."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_sam2.checkpoints import (
    default_model,
    is_downloaded,
    registered_models,
)
from napari_sam2.errors import CheckpointError, Sam2Error
from napari_sam2.inference.options import PredictorOptions
from napari_sam2.ui.engine import LESS_MEMORY
from napari_sam2.ui.jobs import Job
from napari_sam2.ui.records import (
    Message,
    ModelChoice,
    ModelRequest,
    ModelStage,
    ModelStatus,
    Severity,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam2.checkpoints import RegisteredModel
    from napari_sam2.ui.engine import Predictor
    from napari_sam2.ui.jobs import Lane, Report

    Bytes = Callable[[int, int | None], None]
    MakePredictor = Callable[[ModelRequest, PredictorOptions | None, Bytes], Predictor]


class _Cancelled(Sam2Error):
    """The download is not wanted any more."""


def model_choices() -> tuple[ModelChoice, ...]:
    """Return the models with weights, those that are on this computer first."""
    choices = [_choice(model) for model in registered_models() if model.has_weights]
    return tuple(sorted(choices, key=lambda choice: not choice.ready))


def default_request() -> ModelRequest | None:
    """Return the model to begin with: one that is here; None if none is."""
    ready = [choice.name for choice in model_choices() if choice.ready]
    first = default_model().name
    if not ready:
        return None
    return ModelRequest(first if first in ready else ready[0])


def make_predictor(
    request: ModelRequest, options: PredictorOptions | None, progress: Bytes
) -> Predictor:
    """Build a network and load its weights; takes seconds, and loads torch.

    Raises
    ------
    ConfigError, CheckpointError
        As `build_model`; also if there is not enough memory.
    """
    load_library_of_torch()
    from napari_sam2.build import build_model
    from napari_sam2.devices import telling_full_memory
    from napari_sam2.inference.predictor import VideoPredictor

    try:
        with telling_full_memory(LESS_MEMORY):
            model = build_model(
                request.config,
                checkpoint=request.checkpoint,
                device=request.device,
                precision=request.precision,
                overrides=request.overrides,
                progress=progress,
            )
    except OSError as error:
        raise CheckpointError(
            f"{_name(request)} cannot be loaded: {error.strerror or error}."
        ) from error
    return VideoPredictor(model, options)


def load_library_of_torch() -> None:
    """Load torch's library in a way that lets other threads run.

    ``import torch`` holds Python's lock while the system loads it, which is when the
    window would stand still for a second; a foreign call does not.
    """
    if sys.platform == "win32" or "torch" in sys.modules:
        return
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return
    suffix = "dylib" if sys.platform == "darwin" else "so"
    library = Path(found.origin).parent / "lib" / f"libtorch_cpu.{suffix}"
    if library.is_file():
        dlopen = ctypes.CDLL(None).dlopen
        dlopen.argtypes, dlopen.restype = (
            (ctypes.c_char_p, ctypes.c_int),
            ctypes.c_void_p,
        )
        dlopen(os.fsencode(library), os.RTLD_NOW)


class ModelLoader:
    """Loads models in the background; the one before stays until the next is there.

    Attributes
    ----------
    changed : Signal(ModelStatus)
        It has come further.
    loaded : Signal(Predictor)
        It is there.
    message : Signal(Message)
        Why it did not come.
    """

    changed = Signal(ModelStatus)
    loaded = Signal(object)
    message = Signal(Message)

    def __init__(self, lane: Lane, make: MakePredictor) -> None:
        self._lane = lane
        self._make = make
        self._chosen: PredictorOptions | None = None  # until then, the model's own
        self.predictor: Predictor | None = None
        self.status = ModelStatus()
        self._settled = ModelStatus()  # what is true when nothing is on its way
        self._wanted: object = None

    def load(self, request: ModelRequest) -> None:
        """Load a model; a load under way is given up."""
        token = self._wanted = object()
        options = self._chosen

        def work(report: Report) -> Predictor:
            if self._wanted is not token:
                raise _Cancelled

            def progress(done: int, total: int | None) -> None:
                if self._wanted is not token or not report((done, total or 0)):
                    raise _Cancelled

            return self._make(request, options, progress)

        def done(predictor: Predictor) -> None:
            if self._wanted is token:
                self._take(predictor, request)

        def failed(error: Sam2Error) -> None:
            if self._wanted is token:
                self._fail(request, error)

        def reported(count: tuple[int, int]) -> None:
            if self._wanted is token:
                self._downloaded(request, *count)

        self._become(
            ModelStatus(ModelStage.LOADING, request, f"Loading {_name(request)} ...")
        )
        self._lane.submit(
            Job(work, done, failed, reported=reported, abandoned=self.cancel)
        )

    def cancel(self) -> None:
        """Give up a load under way; the model before stays."""
        if self.status.stage in (ModelStage.LOADING, ModelStage.DOWNLOADING):
            self._wanted = None
            self._become(self._settled)

    @property
    def options(self) -> PredictorOptions:
        """How prompts, memories and masks are treated: as chosen, or by the model."""
        if self._chosen is not None:
            return self._chosen
        return PredictorOptions() if self.predictor is None else self.predictor.options

    def set_options(self, options: PredictorOptions) -> None:
        """Let the model in use treat prompts, memories and masks otherwise."""
        self._chosen = options
        if self.predictor is not None:
            # A predictor is a network and options, nothing else.
            self.predictor = type(self.predictor)(self.predictor.model, options)
            self.loaded.emit(self.predictor)

    def _take(self, predictor: Predictor, request: ModelRequest) -> None:
        if self._chosen is not None and predictor.options != self._chosen:
            predictor = type(predictor)(predictor.model, self._chosen)
        self.predictor = predictor
        text = f"{_name(request)} on {_device(predictor)}"
        self._settled = ModelStatus(ModelStage.READY, request, text)
        self._become(self._settled)
        self.loaded.emit(predictor)

    def _fail(self, request: ModelRequest, error: Sam2Error) -> None:
        if self.predictor is None:
            self._settled = ModelStatus(ModelStage.FAILED, request, str(error))
        self._become(self._settled)
        self.message.emit(Message(str(error), Severity.ERROR))

    def _downloaded(self, request: ModelRequest, done: int, total: int) -> None:
        stage = ModelStage.LOADING if done == total else ModelStage.DOWNLOADING
        verb = "Loading" if done == total else "Downloading"
        self._become(
            ModelStatus(stage, request, f"{verb} {_name(request)} ...", done, total)
        )

    def _become(self, status: ModelStatus) -> None:
        self.status = status
        self.changed.emit(status)


def _choice(model: RegisteredModel) -> ModelChoice:
    ready = is_downloaded(model)
    size = 0 if ready else model.size or 0
    title = model.name if ready else f"{model.name} (download, {size / 1e6:,.0f} MB)"
    return ModelChoice(model.name, title, ready, size)


def _name(request: ModelRequest) -> str:
    """Return what to call a model."""
    path = Path(request.config)
    name = path.stem if path.suffix in (".yaml", ".yml") else str(request.config)
    own = request.checkpoint
    if own is None:
        return f"{name} without weights"
    return name if own == "auto" else f"{name} ({Path(own).name})"


def _device(predictor: Predictor) -> str:
    return str(getattr(predictor.model, "device", "cpu"))
