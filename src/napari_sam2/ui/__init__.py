"""The napari side of the plugin."""
