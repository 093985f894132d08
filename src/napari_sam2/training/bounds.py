"""Bounds of settings, refused with a sentence that names the setting."""

from __future__ import annotations

import math

from napari_sam2.errors import ConfigError


def check_bounds(owner: object, least: float, most: float, *names: str) -> None:
    """Refuse numbers, or ranges of them, that leave their bounds.

    Parameters
    ----------
    owner : object
        A record of settings.
    least, most : float
        Both allowed.
    names : str
        Its attributes: numbers, or tuples of them, which must be in order.

    Raises
    ------
    ConfigError
        For the first attribute out of bounds.
    """
    for name in names:
        value = getattr(owner, name)
        is_range = isinstance(value, tuple)
        numbers = list(value) if is_range else [value]
        if all(least <= number <= most for number in numbers) and (
            numbers == sorted(numbers)
        ):
            continue
        needed = f"{least} or more" if most == math.inf else f"from {least} to {most}"
        raise ConfigError(
            f"{type(owner).__name__}.{name} is {numbers if is_range else value}; it "
            f"must be {needed}{', in order' if is_range else ''}."
        )
