"""Errors that a user can act on: what was given, what is needed, what to do."""


class Sam2Error(Exception):
    """Something the user gave cannot be used; the message says what to do."""


class CheckpointError(Sam2Error):
    """A weights file is missing, damaged, unsafe, or made for another network."""


class ConfigError(Sam2Error):
    """A configuration cannot be composed or does not describe a SAM 2 network."""


class ImageError(Sam2Error):
    """An image or label stack cannot be read, written or understood."""


class PromptError(Sam2Error):
    """A prompt is empty, out of range, or does not fit the session."""
