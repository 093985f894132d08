from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_sam2.whole_file import whole_file

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("before", [None, "old"])
@pytest.mark.parametrize("error", [None, OSError, KeyboardInterrupt])
def test_a_file_is_written_whole_or_not_at_all(
    tmp_path: Path, before: str | None, error: type[BaseException] | None
) -> None:
    path = tmp_path / "a.csv"
    if before is not None:
        path.write_text(before)
    try:
        with whole_file(path) as temporary:
            temporary.write_text("half")
            if error is not None:
                raise error
    except (OSError, KeyboardInterrupt):
        pass
    expected = before if error is not None else "half"
    there = {one.name: one.read_text() for one in tmp_path.iterdir()}
    assert there == ({} if expected is None else {"a.csv": expected})


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / "no" / "a"
    with pytest.raises(FileNotFoundError), whole_file(path) as temporary:
        temporary.write_text("")
