"""Keys of the plugin: bound while the widget is open, never one that napari uses.

napari reads no keys from a plugin's manifest, so they are bound to the viewer when the
widget opens and given back when it closes. A key that napari, a layer type or the
user's preferences already use stays theirs: the action is then without a key, and the
list of shortcuts says who has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app_model import Application
from napari.components import ViewerModel
from napari.layers import Image, Labels, Points, Shapes
from napari.settings import get_settings
from napari.utils.interactions import Shortcut as KeyText
from napari.utils.key_bindings import coerce_keybinding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import napari

_WORKED_WITH = (Image, Labels, Points, Shapes)


@dataclass(frozen=True, slots=True)
class Shortcut:
    """An action and its key.

    Attributes
    ----------
    name : str
        Of the action, as in the mapping given to `KeyBindings`.
    key : str
        As napari writes it: ``"N"``, ``"Shift-N"``.
    title : str
        What it does, in a few words.
    """

    name: str
    key: str
    title: str


# Letters that no layer type of napari 0.9 has: G H J K N Q U W.
SHORTCUTS = (
    Shortcut("new_object", "N", "Start the next object"),
    Shortcut("toggle_negative", "Shift-N", "Clicks say 'not this', on or off"),
    Shortcut("previous_object", "J", "Previous object"),
    Shortcut("next_object", "K", "Next object"),
    Shortcut("propagate_both", "G", "Propagate both ways"),
    Shortcut("propagate_backward", ",", "Propagate backward"),
    Shortcut("propagate_forward", ".", "Propagate forward"),
    Shortcut("pause_or_resume", "H", "Pause, or go on"),
    Shortcut("cancel", "Shift-H", "Cancel, keeping what is done"),
    Shortcut("next_doubtful", "Q", "Next doubtful frame"),
    Shortcut("worst_frame", "Shift-Q", "Most doubtful frame of all"),
    Shortcut("approve_frame", "W", "Approve this frame of the object"),
    Shortcut("approve_span", "Shift-W", "Approve up to the next prompts, or back"),
    Shortcut("clear_prompts", "U", "Take back the object's prompts on this frame"),
)


class KeyBindings:
    """The keys of one viewer, bound until they are released.

    Parameters
    ----------
    viewer : napari.Viewer
        Its key map takes the keys.
    actions : mapping of str to callable
        What each shortcut's name does; called without arguments. Shortcuts without
        an action are left out.
    shortcuts : tuple of Shortcut
        Those to bind.

    Attributes
    ----------
    taken : dict of str to str
        Names of the actions that got no key, each with what has its key.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        actions: Mapping[str, Callable[[], object]],
        shortcuts: tuple[Shortcut, ...] = SHORTCUTS,
    ) -> None:
        self._viewer = viewer
        self.shortcuts = tuple(s for s in shortcuts if s.name in actions)
        self.taken: dict[str, str] = {}
        self._bound: dict[str, Callable[..., object]] = {}
        users = keys_in_use(viewer)
        for shortcut in self.shortcuts:
            key = str(coerce_keybinding(shortcut.key))
            user = users.get(key)
            if user is not None:
                self.taken[shortcut.name] = user
                continue
            callback = _without_viewer(actions[shortcut.name])
            viewer.bind_key(shortcut.key, callback)
            self._bound[shortcut.key] = callback

    def release(self) -> None:
        """Give the keys back; those bound anew by someone else stay as they are."""
        for key, callback in self._bound.items():
            if self._viewer.keymap.get(coerce_keybinding(key)) is callback:
                self._viewer.bind_key(key, None)
        self._bound.clear()

    def key_text(self, name: str) -> str:
        """Return the key of an action as this platform writes it, or ``""``."""
        for shortcut in self.shortcuts:
            if shortcut.name == name and shortcut.key in self._bound:
                return key_text(shortcut.key)
        return ""

    def with_key(self, text: str, name: str) -> str:
        """Return a tooltip with the key of its action behind it."""
        key = self.key_text(name)
        return f"{text} ({key})" if key else text

    def rows(self) -> list[tuple[str, str]]:
        """Return key and title of every action, for the list of shortcuts."""
        return [
            (self.key_text(s.name) or f"(taken: {self.taken[s.name]})", s.title)
            for s in self.shortcuts
        ]


def key_text(key: str) -> str:
    """Return a key as this platform writes it: ``"Shift-N"`` becomes ``"Shift+N"``."""
    text: str = KeyText(key).platform
    return text.replace("\u21e7+", "Shift+").replace("\u2303+", "Ctrl+")


def keys_in_use(viewer: Any) -> dict[str, str]:
    """Return the keys that napari uses, each with what for.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose key map counts too.

    Returns
    -------
    dict of str to str
        By the key as `KeyBinding` writes it, for example ``"Ctrl+Shift+T"``: the user's
        preferences, the keys of viewers and of the layer types one works with here,
        those of the menus.
    """
    return dict(_users(viewer))


def _users(viewer: Any) -> Iterator[tuple[str, str]]:
    """Yield keys and their users, the most telling name last."""
    # Plugins get a proxy of the viewer, whose type is not the viewer's.
    for owner in (*_WORKED_WITH, ViewerModel, viewer):
        for key, function in owner.class_keymap.items():
            yield str(key), _name_of(function)
    for key, function in viewer.keymap.items():
        yield str(key), _name_of(function)
    application = Application.get_app("napari")
    if application is not None:
        for binding in application.keybindings:
            yield str(binding.keybinding), binding.command_id
    for action, keys in get_settings().shortcuts.shortcuts.items():
        for key in keys:
            yield str(key), action.partition(":")[2].replace("_", " ")


def _name_of(function: object) -> str:
    """Return what a bound function is called, in words."""
    return getattr(function, "__name__", "another key binding").replace("_", " ")


def _without_viewer(action: Callable[[], object]) -> Callable[..., object]:
    """Return a callback as key maps want it, taking the viewer."""

    def callback(viewer: object) -> None:
        action()

    return callback
