"""The executor over replicas: their head is a process of its own, `runtime/replicas/worker.py`.

So LoadGen's process has nothing of Ray in it, and a Ray that crashes is an engine that died.
"""

from __future__ import annotations

from build_engine.errors import EnvironmentFault
from runtime.messages import Fatal
from runtime.process import Child, Hangup
from runtime.remote import RemoteExecutor
from runtime.replicas.messages import ForgetTimes, Nodes, Survey
from runtime.replicas.spec import LOCAL, ReplicasSpec
from runtime.signs import LEAST_S

_WORKER = "runtime.replicas.worker"
_SURVEY_S = 60.0
_SURVEY_GRACE_S = 1.0
_GRACE_S = 10.0  # for Ray to end, and its folder with it


class HeadExecutor(RemoteExecutor):
    """An Executor whose process is a head with replicas.

    It says something at every moment, whatever its replicas do: those it watches itself.
    """

    silence_s = LEAST_S

    def forget_times(self) -> None:
        """See `Timing.forget_times`."""
        self._tell(ForgetTimes())


class ReplicasExecutor(HeadExecutor):
    """An Executor over several, on the machines of a Ray cluster.

    Raises EnvironmentFault where these lack what they need, EngineDied where not all of them start.
    """

    close_grace_s = _GRACE_S

    def __init__(self, spec: ReplicasSpec) -> None:
        super().__init__(_WORKER, spec)


def survey(address: str, *, cores: bool = False) -> Nodes:
    """The machines of the Ray cluster at `address`, with their physical `cores` where these matter.
    Raises EnvironmentFault where it cannot be reached within a minute, or Ray is not installed.
    """
    child = Child("the process that asked Ray", _WORKER)
    try:
        child.line.tell(Survey(address, cores))
        reply = child.line.receive(_SURVEY_S)
        if isinstance(reply, Nodes):
            return reply
        if isinstance(reply, Fatal):
            raise EnvironmentFault(reply.cause)
    except Hangup:
        raise EnvironmentFault(f"Ray at {address} told nothing: {child.obituary()}") from None
    finally:
        child.end(_GRACE_S if address == LOCAL else _SURVEY_GRACE_S)
    raise EnvironmentFault(
        f"Ray at {address} told nothing within {_SURVEY_S:.0f} s; `ray status` shows how it is."
    )
