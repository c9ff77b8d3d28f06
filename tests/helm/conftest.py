"""Each test of rendered objects runs for every example."""

import pytest

from tests.helm.rendering import EXAMPLES, Rendered, render


@pytest.fixture(params=EXAMPLES)
def rendered(request: pytest.FixtureRequest) -> Rendered:
    """The objects of one of the examples."""
    return render(request.param)
