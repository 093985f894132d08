"""What a run tells: table, curves, pictures, time left."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from PIL import Image

from napari_sam2.training import progress
from napari_sam2.training.logs import MetricLog
from napari_sam2.training.pictures import save_picture
from napari_sam2.training.progress import StepProgress
from napari_sam2.training.samples import StepSample


def test_a_table_goes_on_where_the_run_does(tmp_path):
    log = MetricLog(tmp_path, ("loss", "tracked"), 0)
    for step in (0, 20, 40):
        log.write(step, {"loss": 1 / (step + 1), "tracked": math.nan})
    log.close()
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("60,0.")  # killed in the midst of a row
    log = MetricLog(tmp_path, ("loss", "tracked"), 40)
    log.write(40, {"loss": 0.5})
    log.close()
    assert (tmp_path / "metrics.csv").read_text().splitlines() == [
        "step,loss,tracked",
        "0,1,",
        "20,0.047619,",
        "40,0.5,",
    ]


def test_curves_where_tensorboard_is_installed(tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    log = MetricLog(tmp_path, ("loss",), 0)
    for step in range(3):
        log.write(step, {"loss": 1.0 - step / 4})
    log.close()
    log = MetricLog(tmp_path, ("loss",), 2)  # the last step is done again
    log.write(2, {"loss": 0.25})
    log.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(one.step, one.value) for one in events.Scalars("loss")] == [
        (0, 1.0),
        (1, 0.75),
        (2, 0.25),
    ]


@pytest.mark.parametrize("colours", [1, 3])
def test_pictures_show_true_and_found_outlines(tmp_path, colours):
    masks = torch.zeros(2, 2, 32, 32, dtype=torch.bool)
    masks[:, :, 8:20, 8:20] = True
    found = torch.full((2, 2, 8, 8), -5.0)
    found[:, :, 4:7, 4:7] = 5.0
    images = torch.full((2, 1, colours, 32, 32), 100, dtype=torch.uint8)
    path = tmp_path / "picture.png"
    save_picture(path, StepSample(images, masks, ()), found)
    picture = np.asarray(Image.open(path))
    assert picture.shape == (32, 64, 3)  # a clip in a row, its frames in columns
    assert picture[8, 8].tolist() == [0, 200, 0]
    assert picture[12, 12].tolist() == [100, 100, 100]
    magenta = (picture == [255, 0, 200]).all(axis=-1)
    rows, columns = np.nonzero(magenta[:, :32])
    assert (rows.min(), rows.max()) == (columns.min(), columns.max())
    assert 15 <= rows.min() <= 17
    assert 26 <= rows.max() <= 28
    assert not list(tmp_path.glob("*.partial"))


def test_time_left_counts_the_steps_of_this_part_of_the_run(monkeypatch, capsys):
    clock = iter([0.0, 10.0, 40.0, 41.0, 100.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with StepProgress(1000, 500) as shown:
        monkeypatch.undo()
        monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
        shown.show(505, "clips, loss 1.0")
        shown.show(520, "clips, loss 0.9")
        shown.show(521, "clips, loss 0.9")
    told = capsys.readouterr().err
    assert re.fullmatch(r"520 of 1,000 steps, clips, loss 0\.9, 0:16:00 left\n", told)


def test_processes_other_than_the_first_are_silent(capsys):
    with StepProgress(2, 0, shown=False) as shown:
        shown.show(2, "clips")
    assert capsys.readouterr().err == ""
