"""Names for the arrays that the modules of this package pass around."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Labels = NDArray[np.uint16]
Mask = NDArray[np.bool_]
Vector = NDArray[np.floating[Any]]
Frames = NDArray[np.uint8] | NDArray[np.uint16]
