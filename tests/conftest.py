"""Fixtures that every test may ask for."""

import os
import signal

# Engines are forked from this process, in which gRPC is in use; its own fork handlers then abort the child at times.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# A shell that runs the tests in the background has them ignore Ctrl-C, and so would every process they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from tests.fixtures.stack import (  # noqa: F401 - pytest finds fixtures by their names here
    milvus_server,
    model_repository,
    stack,
    stack_settings,
    stack_under_test,
    tiny_repository,
    triton_server,
)
