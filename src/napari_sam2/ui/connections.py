"""Signal connections that are all let go at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Connections:
    """Callbacks of signals that outlive a widget, such as the controller's.

    Works with every signal that has ``connect`` and ``disconnect``.
    """

    def __init__(self) -> None:
        self._made: list[tuple[Any, Callable[..., object]]] = []
        self._at_release: list[Callable[[], object]] = []

    def connect(self, signal: Any, callback: Callable[..., object]) -> None:
        """Call back at each emission, until released."""
        signal.connect(callback)
        self._made.append((signal, callback))

    def at_release(self, callback: Callable[[], object]) -> None:
        """Call back once, when released."""
        self._at_release.append(callback)

    def release(self) -> None:
        """Disconnect everything."""
        while self._made:
            signal, callback = self._made.pop()
            signal.disconnect(callback)
        while self._at_release:
            self._at_release.pop()()
