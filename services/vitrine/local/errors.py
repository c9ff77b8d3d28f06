"""What keeps the embedded stack from starting, stopping or answering; each is one sentence and one exit status."""

from vitrine.errors import StackError


class PlatformUnsupported(StackError):
    """The engines' binaries cannot run on this machine."""

    code = "platform_unsupported"


class EnginesMissing(StackError):
    """The engines' environment is absent, incomplete, or of a Python that Triton has no stub for."""

    code = "engines_missing"


class PortInUse(StackError):
    """Another process listens where one of ours must."""

    code = "port_in_use"


class StackRunning(StackError):
    """The stack of this state folder is up already."""

    code = "stack_running"


class StackNotRunning(StackError):
    """The stack of this state folder is down."""

    code = "stack_not_running"


class StateUnusable(StackError):
    """The state folder cannot be written, or its disk is full."""

    code = "state_unusable"


class RulesMissing(StackError):
    """Prometheus is to be started, and the folder of its rules is empty."""

    code = "rules_missing"


class ServiceFailed(StackError):
    """A process died, or did not become ready in time, while the stack was starting."""

    code = "service_failed"


class StopFailed(StackError):
    """Something outlived every signal."""

    code = "stop_failed"
