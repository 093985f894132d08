"""One lane of background work: jobs one after the other, never two at once."""

from __future__ import annotations

from typing import Protocol


class Lane(Protocol):
    """Runs jobs in the background, one at a time, and answers on the GUI thread."""
