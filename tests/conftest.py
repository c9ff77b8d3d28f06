"""Fixtures that every test may ask for."""

from tests.fixtures.stack import (  # noqa: F401 - pytest finds fixtures by their names here
    milvus_server,
    model_repository,
    stack,
    stack_settings,
    stack_under_test,
    tiny_repository,
    triton_server,
)
