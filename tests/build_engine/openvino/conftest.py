"""What tests of INT8 arithmetic need of the CPU."""

from __future__ import annotations

import pytest

from build_engine.errors import EnvironmentFault
from build_engine.openvino.activations import require_int8


@pytest.fixture
def int8_arithmetic() -> None:
    """Skips on a CPU that has none."""
    try:
        require_int8()
    except EnvironmentFault as reason:
        pytest.skip(str(reason))
