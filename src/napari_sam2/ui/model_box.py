"""Which network is used: by name or by file, where it runs, what must be downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QStackedWidget,
    QWidget,
)

from napari_sam2.ui.fold import FoldButton
from napari_sam2.ui.options_dialog import OptionsDialog
from napari_sam2.ui.records import ModelRequest, ModelStage, ModelStatus

if TYPE_CHECKING:
    from napari_sam2.ui.connections import Connections
    from napari_sam2.ui.controller import Controller

_DEVICES = {
    "auto": "Automatic",
    "cpu": "Processor (cpu)",
    "cuda": "NVIDIA graphics card (cuda)",
    "mps": "Apple graphics (mps)",
}
_PRECISIONS = {
    "auto": "Automatic",
    "float32": "float32: exact",
    "bfloat16": "bfloat16: faster on new cards",
    "float16": "float16: faster on older cards",
}
_MEGABYTE = 10**6


class ModelBox(QWidget):
    """Chooses the network; folded below it, files of one's own, device and options.

    Parameters
    ----------
    controller : Controller
        Of the viewer.
    rivals : list of FoldButton
        Of which one at most is open.
    """

    def __init__(self, controller: Controller, rivals: list[FoldButton]) -> None:
        super().__init__()
        self._controller = controller
        self.model = QComboBox()
        self.model.setAccessibleName("Model")
        self.model.setToolTip(
            "The network. Larger ones are more exact and slower. Models that are not "
            "on this computer yet are downloaded once, when you ask for it."
        )
        self.model.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.model.setMinimumContentsLength(8)
        self.model.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.load = QPushButton("Load")
        self.stop = QPushButton("Stop")
        self.stop.setToolTip("Stop; a download goes on from here the next time.")
        self.buttons = QStackedWidget()
        self.buttons.addWidget(self.load)
        self.buttons.addWidget(self.stop)
        self.buttons.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
        self.status = QLabel()
        self.status.setTextFormat(Qt.TextFormat.PlainText)
        self.status.setWordWrap(True)
        self.bar = QProgressBar()
        self.details = self._make_details()
        self.fold = FoldButton("Mo&del", self.details, rivals)
        self.fold.setToolTip("Weights and configurations of your own, device, options.")

        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(1)
        layout.setColumnStretch(1, 1)
        layout.addWidget(self.fold, 0, 0)
        layout.addWidget(self.model, 0, 1)
        layout.addWidget(self.buttons, 0, 2)
        layout.addWidget(self.status, 1, 1, 1, 2)
        layout.addWidget(self.bar, 2, 1, 1, 2)
        layout.addWidget(self.details, 3, 0, 1, 3)
        self.model.activated.connect(self._choose_model)
        self.load.clicked.connect(self._load)
        self.stop.clicked.connect(lambda: controller.cancel_loading())

    def connect_controller(self, connections: Connections) -> None:
        """Follow the controller until the connections are released."""
        connections.connect(self._controller.model_changed, self.show_status)
        self.show_models()

    def _make_details(self) -> QWidget:
        """Make what is folded."""
        details = QWidget()
        line = details.fontMetrics().height()
        self.checkpoint, checkpoint_row = _path_row(
            "Weights of your own: a .pt, .pth or .safetensors file, for example "
            "fine-tuned ones. Empty: the published weights."
        )
        self.config, config_row = _path_row(
            "A YAML file that describes the network. Empty: that of the model above."
        )
        browse_weights = checkpoint_row.findChild(QPushButton)
        browse_config = config_row.findChild(QPushButton)
        browse_weights.clicked.connect(self._browse_weights)
        browse_config.clicked.connect(self._browse_config)
        self.overrides = QLineEdit()
        self.overrides.setPlaceholderText("image_size=512")
        self.overrides.setToolTip(
            "Changes to the configuration, separated by spaces. image_size=512 makes "
            "the network several times faster, and blind to the finest detail."
        )
        self.device = _choice_of(_DEVICES, "Where the network runs.")
        self.precision = _choice_of(_PRECISIONS, "With how many digits it computes.")
        self.options = QPushButton("Tracking options...")
        self.options.setToolTip("How prompts, memory and masks are treated.")
        self.options.clicked.connect(self._show_options)

        form = QFormLayout(details)
        form.setContentsMargins(line, 0, 0, 0)
        form.setVerticalSpacing(2)
        form.addRow("Weights", checkpoint_row)
        form.addRow("Configuration", config_row)
        form.addRow("Changes", self.overrides)
        form.addRow("Device", self.device)
        form.addRow("Precision", self.precision)
        form.addRow("", self.options)
        for label, field in ((0, self.checkpoint), (1, self.config)):
            form.itemAt(label, QFormLayout.ItemRole.LabelRole).widget().setBuddy(field)
        for edit in (self.checkpoint, self.config, self.overrides):
            edit.textChanged.connect(self._show_buttons)
        for box in (self.device, self.precision):
            box.activated.connect(self._show_buttons)
        return details

    def show_models(self) -> None:
        """List the models that go by name."""
        status = self._controller.model
        with QSignalBlocker(self.model):
            chosen = self.model.currentData()
            self.model.clear()
            for choice in self._controller.models():
                self.model.addItem(choice.title, choice)
            asked = None if status.request is None else str(status.request.config)
            wanted = asked or (None if chosen is None else chosen.name)
            for index in range(self.model.count()):
                if self.model.itemData(index).name == wanted:
                    self.model.setCurrentIndex(index)
        self.show_status(status)

    def request(self) -> ModelRequest | None:
        """Return what the box asks for; None without a model to choose."""
        choice = self.model.currentData()
        config = self.config.text().strip()
        if choice is None and not config:
            return None
        own_weights = self.checkpoint.text().strip()
        return ModelRequest(
            config=config or choice.name,
            checkpoint=own_weights or "auto",
            device=self.device.currentData(),
            precision=self.precision.currentData(),
            overrides=tuple(self.overrides.text().split()),
        )

    def load_if_ready(self) -> None:
        """Load the chosen model, unless it must be downloaded or one is there."""
        choice = self.model.currentData()
        if self._controller.model.stage == ModelStage.NONE and choice is not None:
            if choice.ready:
                self._load()
            else:
                self.show_status(self._controller.model)

    def show_status(self, status: ModelStatus) -> None:
        """Show how far the model has come."""
        downloading = status.stage == ModelStage.DOWNLOADING
        busy = downloading or status.stage == ModelStage.LOADING
        self.bar.setVisible(busy)
        if downloading and status.bytes_total:
            done, total = status.bytes_done, status.bytes_total
            self.bar.setRange(0, 1000)
            self.bar.setValue(round(1000 * done / total))
            self.bar.setFormat(f"{done // _MEGABYTE} of {total // _MEGABYTE} MB")
        else:
            self.bar.setRange(0, 0)
        text = status.text
        if status.stage == ModelStage.NONE:
            text = "No model is loaded yet."
        self.status.setText(text)
        self.status.setVisible(bool(text) and not (downloading and not text))
        self.buttons.setCurrentWidget(self.stop if busy else self.load)
        self.stop.setEnabled(busy)
        if status.stage in (ModelStage.READY, ModelStage.FAILED):
            self._refresh_titles()
        self._show_buttons()

    def _refresh_titles(self) -> None:
        """Show which models are ready now."""
        titles = {choice.name: choice for choice in self._controller.models()}
        for index in range(self.model.count()):
            choice = titles.get(self.model.itemData(index).name)
            if choice is not None:
                self.model.setItemText(index, choice.title)
                self.model.setItemData(index, choice)

    def _show_buttons(self, *_: object) -> None:
        """Say on the button what it will do."""
        choice, request = self.model.currentData(), self.request()
        own = bool(self.config.text().strip() or self.checkpoint.text().strip())
        download = choice is not None and not choice.ready and not own
        self.load.setText(
            f"Download {choice.bytes_to_download / _MEGABYTE:.0f} MB"
            if download
            else "Load"
        )
        status = self._controller.model
        there = status.stage == ModelStage.READY and status.request == request
        self.load.setEnabled(request is not None and not there)
        self.load.setToolTip(
            "This model is in use."
            if there
            else "Use this model; prompts and approved frames are kept."
        )

    def _choose_model(self, *_: object) -> None:
        """Load what is ready at once; a download waits for the button."""
        choice = self.model.currentData()
        self.config.clear()
        self.checkpoint.clear()
        self._show_buttons()
        if choice is not None and choice.ready and self.load.isEnabled():
            self._load()

    def _load(self) -> None:
        """Load, or download and load, what the box asks for."""
        request = self.request()
        if request is not None:
            self._controller.load_model(request)

    def _browse_weights(self) -> None:
        """Choose weights of one's own."""
        path, _ = QFileDialog.getOpenFileName(
            self, "Weights", "", "Weights (*.pt *.pth *.safetensors);;All files (*)"
        )
        if path:
            self.checkpoint.setText(path)

    def _browse_config(self) -> None:
        """Choose a configuration of one's own."""
        path, _ = QFileDialog.getOpenFileName(
            self, "Configuration", "", "YAML (*.yaml *.yml);;All files (*)"
        )
        if path:
            self.config.setText(path)

    def _show_options(self) -> None:
        """Open the window of tracking options."""
        OptionsDialog(self._controller, self).open()


def _choice_of(titles: dict[str, str], help_text: str) -> QComboBox:
    """Return a combo box of values and what they are called."""
    box = QComboBox()
    for value, title in titles.items():
        box.addItem(title, value)
    box.setToolTip(help_text)
    return box


def _path_row(help_text: str) -> tuple[QLineEdit, QWidget]:
    """Return a field for a path, and a row of it with a button to browse."""
    edit, browse, row = QLineEdit(), QPushButton("..."), QWidget()
    edit.setToolTip(help_text)
    browse.setToolTip("Choose a file")
    browse.setAccessibleName("Choose a file")
    browse.setMaximumWidth(browse.fontMetrics().horizontalAdvance(" ... ") * 2)
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(edit, 1)
    layout.addWidget(browse)
    return edit, row
