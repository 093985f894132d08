"""Keys of the plugin, and that none of them is napari's."""

from __future__ import annotations

import pytest
from napari.components import ViewerModel
from napari.settings import get_settings
from napari.utils.key_bindings import KeymapHandler, coerce_keybinding

from napari_sam2.ui.shortcut_list import ShortcutList
from napari_sam2.ui.shortcuts import (
    SHORTCUTS,
    KeyBindings,
    Shortcut,
    key_text,
    keys_in_use,
)


@pytest.fixture
def viewer():
    return ViewerModel()


@pytest.fixture
def own_shortcuts():
    """The user's preferences for keys, put back afterwards."""
    settings = get_settings().shortcuts
    before = dict(settings.shortcuts)
    yield settings
    settings.shortcuts = before


def press(viewer, key, layer=None):
    """What napari does when a key is pressed on the canvas."""
    handler = KeymapHandler()
    handler.keymap_providers = [viewer] if layer is None else [layer, viewer]
    return handler.press_key(key)


def test_no_key_is_used_by_napari(viewer):
    users = keys_in_use(viewer)
    taken = {
        shortcut.key: users[str(coerce_keybinding(shortcut.key))]
        for shortcut in SHORTCUTS
        if str(coerce_keybinding(shortcut.key)) in users
    }
    assert taken == {}


def test_keys_in_use_know_viewer_layers_and_preferences(viewer):
    viewer.bind_key("F5", lambda viewer: None)
    users = keys_in_use(viewer)
    assert users["V"] == "toggle selected visibility"  # viewer
    assert "M" in users  # Labels: new label
    assert "Shift+L" in users  # Shapes: polyline
    assert "Ctrl+Z" in users  # bound to the class, not an action
    assert "F5" in users


def test_every_shortcut_has_a_key_of_its_own():
    keys = [str(coerce_keybinding(shortcut.key)) for shortcut in SHORTCUTS]
    names = [shortcut.name for shortcut in SHORTCUTS]
    assert len(set(keys)) == len(keys)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("shortcut", SHORTCUTS, ids=lambda s: s.name)
def test_a_key_does_its_action(viewer, shortcut):
    done = []
    keys = KeyBindings(viewer, {shortcut.name: lambda: done.append(shortcut.name)})
    layer = viewer.add_points()
    assert press(viewer, shortcut.key, layer)
    assert done == [shortcut.name]
    keys.release()
    assert not press(viewer, shortcut.key, layer)
    assert done == [shortcut.name]


def test_a_key_that_the_user_gave_to_napari_stays_napari_s(viewer, own_shortcuts):
    own_shortcuts.shortcuts = {
        **own_shortcuts.shortcuts,
        "napari:reset_view": [coerce_keybinding("N")],
    }
    keys = KeyBindings(viewer, {"new_object": lambda: None, "cancel": lambda: None})
    assert keys.taken == {"new_object": "reset view"}
    assert coerce_keybinding("N") not in viewer.keymap
    assert keys.key_text("new_object") == ""
    assert keys.with_key("Start", "new_object") == "Start"
    assert ("(taken: reset view)", "Start the next object") in keys.rows()


def test_a_key_that_another_plugin_bound_stays_its_own(viewer):
    def theirs(viewer):
        """Another plugin's."""

    viewer.bind_key("G", theirs)
    keys = KeyBindings(viewer, {"propagate_both": lambda: None})
    keys.release()
    assert viewer.keymap[coerce_keybinding("G")] is theirs


def test_releasing_leaves_a_key_that_was_bound_anew(viewer):
    def theirs(viewer):
        """Another plugin's."""

    keys = KeyBindings(viewer, {"propagate_both": lambda: None})
    viewer.bind_key("G", theirs, overwrite=True)
    keys.release()
    assert viewer.keymap[coerce_keybinding("G")] is theirs


def test_two_viewers_have_their_own_keys(viewer):
    done = []
    other = ViewerModel()
    KeyBindings(viewer, {"new_object": lambda: done.append("here")})
    KeyBindings(other, {"new_object": lambda: done.append("there")})
    press(other, "N")
    press(viewer, "N")
    assert done == ["there", "here"]


def test_tooltips_name_the_key(viewer):
    keys = KeyBindings(viewer, {"approve_span": lambda: None})
    assert (
        keys.with_key("Approve", "approve_span") == f"Approve ({key_text('Shift-W')})"
    )
    assert "W" in key_text("Shift-W")
    assert "Shift-W" not in key_text("Shift-W")


def test_the_list_shows_all_keys(qtbot, viewer):
    actions = {shortcut.name: lambda: None for shortcut in SHORTCUTS}
    window = ShortcutList(KeyBindings(viewer, actions), None)
    qtbot.addWidget(window)
    window.show()
    titles = {title for _, title in window.rows}
    assert {shortcut.title for shortcut in SHORTCUTS} <= titles


def test_actions_that_are_missing_get_no_key(viewer):
    keys = KeyBindings(viewer, {"other": lambda: None}, (Shortcut("one", "F7", "One"),))
    assert keys.shortcuts == ()
    assert not press(viewer, "F7")
