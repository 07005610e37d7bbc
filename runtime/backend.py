"""The executors, by the names of the backends that build for them: what each is made from, and what
runs it.

An entry names code by its dotted path and loads it when it is needed, so that looking a backend up
costs nothing. `build_engine/backend.py` has the builders, under the same names. Adding an engine is
a folder and an entry on each floor; an installed package brings its own executor as an entry point
of the group `enginebench.executors`, which names its `Backend`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import PlainValidator, SerializeAsAny

from build_engine.errors import EngineError, UnknownName
from build_engine.plugins import brought, brought_names, load_object
from build_engine.validation import validated
from runtime.spec import EngineFolderSpec, ExecutorSpec

if TYPE_CHECKING:
    from build_engine.store.engine import Engine
    from runtime.executor import Executor

ENTRY_POINTS = "enginebench.executors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """What executes engines. Code is given as `module:name`."""

    name: str
    spec: str
    """A subclass of `ExecutorSpec` whose `backend` is this one's name."""
    executor: str
    """`(spec) -> Executor`: starts an engine and returns when it takes requests."""
    room: str | None = None
    """`(spec) -> None`: raises EnvironmentFault where this machine has too little memory free; None
    where an executor needs none worth asking for.
    """
    spreads: bool = False
    """Whether it executes an engine that several GPUs share."""
    measured: bool = True
    """Whether an engine computes the answers, so that their times are a measurement."""

    @property
    def spec_class(self) -> type[ExecutorSpec]:
        """What an executor is made from."""
        found: type[ExecutorSpec] = load_object(self.spec)
        return found


BACKENDS = {
    backend.name: backend
    for backend in (
        Backend(
            name="openvino",
            spec="runtime.openvino.spec:OpenVINOSpec",
            executor="runtime.openvino.executor:OpenVINOExecutor",
            room="runtime.openvino.room:require_room",
        ),
        Backend(
            name="tensorrt-llm",
            spec="runtime.trtllm.spec:TRTLLMSpec",
            executor="runtime.trtllm.executor:TRTLLMExecutor",
            room="runtime.trtllm.room:require_room",
        ),
        Backend(
            name="emulated",
            spec="runtime.openvino.spec:EmulatedSpec",
            executor="runtime.openvino.executor:EmulatedExecutor",
            room="runtime.openvino.room:require_room",
            measured=False,
        ),
        Backend(
            name="replicas",
            spec="runtime.replicas.spec:ReplicasSpec",
            executor="runtime.replicas.executor:ReplicasExecutor",
        ),
        Backend(
            name="endpoint",
            spec="runtime.endpoint.spec:EndpointSpec",
            executor="runtime.endpoint.executor:EndpointExecutor",
        ),
        Backend(
            name="simulated",
            spec="runtime.simulated.spec:SimulatedSpec",
            executor="runtime.simulated.executor:SimulatedExecutor",
            measured=False,
        ),
    )
}


def require_executable(name: str, num_gpus: int) -> None:
    """Raise EngineError for an engine that so many GPUs share, where the executor of the backend
    `name` takes one.
    """
    if num_gpus > 1 and not backend(name).spreads:
        raise EngineError(
            f"An engine that {num_gpus} GPUs share is built here and not executed: the executor of "
            f"`{name}` has one GPU; build it with `--tensor-parallel 1`, and a recipe with smaller "
            "weights if it does not fit."
        )


def backend(name: str) -> Backend:
    """The backend of this name: our own, or that of an installed package. Raises UnknownName."""
    if name in BACKENDS:
        return BACKENDS[name]
    others = brought_names(ENTRY_POINTS)
    if name not in others:
        raise UnknownName("backend", name, {*BACKENDS, *others})
    found: Backend = brought(ENTRY_POINTS, name)
    return found


def load(spec: ExecutorSpec) -> Executor:
    """Start the engine of `spec`; return when it is ready to take requests.

    Raises EngineError when the engine does not fit this machine, EnvironmentFault when the machine
    lacks what it needs, such as its runtime, and EngineDied when it fails to start.
    """
    executor: Executor = load_object(backend(spec.backend).executor)(spec)
    return executor


def require_room(spec: ExecutorSpec) -> None:
    """Return where this machine has memory free for what `spec` executes, or where nothing is known
    of that. Raises EnvironmentFault, with what to lower.
    """
    room = backend(spec.backend).room
    if room is not None:
        load_object(room)(spec)


def engine_spec(engine: Engine) -> ExecutorSpec:
    """What executes an engine of the store: its own backend, as the engine was planned. Raises
    UnknownName for a backend that is not here, EngineError for one that executes no engine folder.
    """
    name = engine.backend
    spec_class = backend(name).spec_class
    if not issubclass(spec_class, EngineFolderSpec):
        raise EngineError(
            f"`{engine.folder}` is of the backend `{name}`, which executes no engine folder; build "
            f"it for another target."
        )
    return spec_class.of(engine)


def _checked(value: object) -> ExecutorSpec:
    """A spec as it is, or from plain JSON values by the backend that they name."""
    if isinstance(value, ExecutorSpec):
        return value
    name = value.get("backend") if isinstance(value, dict) else None
    if not isinstance(name, str):
        raise ValueError("it has no `backend`.")
    try:
        spec_class = backend(name).spec_class
    except UnknownName as error:
        raise ValueError(str(error)) from None
    return validated(spec_class, value)


AnySpec = Annotated[SerializeAsAny[ExecutorSpec], PlainValidator(_checked)]
"""A field of a record that holds the spec of any backend."""
