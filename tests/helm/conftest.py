"""Each test of rendered objects runs for every example."""

import pytest

from tests.helm.rendering import EXAMPLES, LOAD_ALONE, Rendered, render

_RENDERINGS = {**{example: (example,) for example in EXAMPLES}, "load from one pod": ("minimal", *LOAD_ALONE)}


@pytest.fixture(params=_RENDERINGS.values(), ids=_RENDERINGS)
def rendered(request: pytest.FixtureRequest) -> Rendered:
    """The objects of one of the examples, and of one with the load test that none of them has."""
    return render(*request.param)
