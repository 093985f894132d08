"""What a run tells while it trains: a table, curves, a line with the time left."""

from __future__ import annotations

import csv
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from napari_sam2.whole_file import whole_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class MetricLog:
    """A CSV file of numbers by step, and TensorBoard's files where it is installed.

    Parameters
    ----------
    folder : Path
        Where ``metrics.csv`` lies.
    columns : tuple of str
        Names of the numbers.
    step : int
        The step that the run goes on from; rows from there on are dropped, since
        they will be written again.
    """

    def __init__(self, folder: Path, columns: tuple[str, ...], step: int) -> None:
        self.path = folder / "metrics.csv"
        self.columns = ("step", *columns)
        kept = [row for row in _read_rows(self.path) if row and int(row[0]) < step]
        with (
            whole_file(self.path) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            csv.writer(file).writerows([self.columns, *kept])
        self._curves: Any = None
        if find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._curves = SummaryWriter(str(folder / "tensorboard"), purge_step=step)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append the numbers of a step; columns without one stay empty."""
        row = [step, *(_text(values.get(name)) for name in self.columns[1:])]
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(row)
        if self._curves is not None:
            for name, value in values.items():
                self._curves.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is left."""
        if self._curves is not None:
            self._curves.close()


def _read_rows(path: Path) -> list[list[str]]:
    """Return the whole rows of a table, its header left out."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    # A run that was killed may have left half a row.
    return [row for row in rows[1:] if len(row) == len(rows[0])]


def _text(value: float | None) -> str:
    """Return a number for the table; nothing for none and NaN."""
    return "" if value is None or value != value else f"{value:.6g}"
