"""What the pytest fixture `orchestrator` is."""

from orchestrator.testing.called import acall, call
from orchestrator.testing.running import arun, run


class Kit:
    """The functions of `orchestrator.testing`; see there."""

    call = staticmethod(call)
    acall = staticmethod(acall)
    run = staticmethod(run)
    arun = staticmethod(arun)
