"""What the tests of monitoring share."""

import os
import shutil

import pytest


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus' own checker of rules."""
    found = shutil.which("promtool")
    if found is None and "CI" not in os.environ:
        pytest.skip("there is no promtool here (Debian: apt-get install prometheus)")
    assert found is not None, "CI installs promtool"
    return found
