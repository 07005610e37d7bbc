"""Ray, as far as replicas need it: a connection, an actor for each replica, and their end.

Ray finds GPUs, starts the processes, carries what is said and notices who is gone. Which machine a
replica with cores is on is said to it (`placing.py`), since Ray knows only of logical CPUs. All
waits here have an end, and whatever goes wrong is one sentence.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_engine.errors import EngineDied, EnvironmentFault, MissingLibrary
from build_engine.store.engine import open_engine
from build_engine.store.received import Offer, read_part
from build_engine.temporary import mark, sweep
from runtime.messages import Fatal
from runtime.replicas.cores import num_physical, own_cores
from runtime.replicas.machines import cause_of, nodes, on_node
from runtime.replicas.messages import Core, Loaded, Place, in_parts, of_parts
from runtime.replicas.placing import (
    cores_of,
    require_apart,
    require_places,
    require_versions,
    spread,
)
from runtime.replicas.replica import Replica
from runtime.replicas.spec import LOCAL, ReplicasSpec, host_and_port

if TYPE_CHECKING:
    from concurrent.futures import Future

    from runtime.messages import Chunks, Work
    from runtime.spec import ExecutorSpec

STORE_BYTES = 80 * 2**20
"""Of a Ray that is ours alone: all that is said fits into its calls."""

ENGINES_FIRST = ("RAY_worker_niceness", "0")
"""A setting of Ray's environment: without it replicas, and the engines that they start, come after
all else that a machine does (`nice` 15).
"""

_LISTENER_S = 10.0
_PLACE_S = 120.0  # until every replica has a process; other work may hold what it needs
_START_S = 5.0  # and for each one that this machine may have to start
_LOAD_S = 1800.0  # the largest engines load in minutes
_READ_S = 120.0  # for a part of an engine's file to cross
_CLOSE_S = 3.0
_TICK_S = 0.5
_OUR_FOLDER = "ebray"  # short: the paths of Ray's sockets may have 107 bytes in all
_LONGEST_FOLDER = 30
_VERSIONS = "Version mismatch"


@contextlib.contextmanager
def connected(address: str) -> Iterator[None]:
    """A connection to the Ray cluster at `address`, or a Ray of our own, which ends with it.

    Raises MissingLibrary, and EnvironmentFault with the remedy for a cluster that cannot be reached
    or has other versions.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nobody asked for a report of this to anyone
    if address == LOCAL:
        # for the processes of this Ray alone; nothing of it is written to the disk
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
        os.environ.setdefault(*ENGINES_FIRST)
    try:
        import ray
    except ImportError:
        raise MissingLibrary("ray", "ray") from None
    with contextlib.ExitStack() as stack:
        options: dict[str, bool | int | str] = {"log_to_driver": False, "logging_level": "ERROR"}
        if address == LOCAL:
            options |= {
                "include_dashboard": False,
                "num_cpus": num_physical(own_cores()),  # as many as there are places
                "object_store_memory": STORE_BYTES,
                "_temp_dir": str(stack.enter_context(_own_folder())),
            }
        stack.callback(ray.shutdown)
        with _explained(address):
            _require_listener(address)
            ray.init(address, **options)
        yield


class RayHandle:
    """A replica that runs in an actor of Ray."""

    most = None

    def __init__(self, actor: Any, place: Place, cores: Sequence[Core] | None) -> None:
        self.actor = actor
        self.node = place.node
        self.device = _device(place, cores)

    def submit(self, work: Work) -> Future[None]:
        """See `Handle.submit`."""
        sent: Future[None] = self.actor.submit_parts.remote(*in_parts(work)).future()
        return sent

    def poll(self) -> Future[Chunks | Fatal]:
        """See `Handle.poll`."""
        asked = self.actor.poll.options(concurrency_group="poll").remote()
        future: Future[Chunks | Fatal] = asked.future()
        return future


def offer_of(spec: ReplicasSpec) -> Offer | None:
    """The engine that the replicas execute; None for those without one. Raises EngineError."""
    folder = spec.engine_folder
    return None if folder is None else Offer.of(open_engine(folder))


@contextlib.contextmanager
def actors(spec: ReplicasSpec) -> Iterator[list[Any]]:
    """An actor for each replica of `spec`, on the cluster that we are connected to; they are gone
    at the end of the block. Raises EnvironmentFault where the cluster has no place for them.
    """
    made = [_actor(spec, node_id) for node_id in _node_ids(spec)]
    try:
        yield made
    finally:
        _end(made)


def loaded(
    actors: Sequence[Any], spec: ReplicasSpec, offer: Offer | None, stopped: Callable[[], bool]
) -> tuple[list[RayHandle], list[Loaded]]:
    """The replicas of `spec` in these actors, all of them loaded.

    Raises EnvironmentFault where the cluster, or a machine of it, lacks what they need, EngineDied
    where one cannot be loaded for another reason, and InterruptedError when `stopped` says so.
    """
    places: list[Place] = _all(
        [actor.where.remote(offer) for actor in actors], _place_s(spec), _no_place(spec), stopped
    )
    require_versions(places)
    require_apart(places, by_cores=spec.device == "cores")
    cores = _cores(spec, places)
    handles = [RayHandle(*each) for each in zip(actors, places, cores, strict=True)]
    source = None
    if offer is not None and not all(place.has_engine for place in places):
        source = _source(offer.folder)
    sharing = Counter(place.node for place in places)
    loading = [
        actor.load_from.remote(
            spec.spec_of(number), cores[number], sharing[places[number].node], offer, source
        )
        for number, actor in enumerate(actors)
    ]
    late = EngineDied(f"a replica was not ready within {_LOAD_S:.0f} s")
    told: list[Loaded | Fatal] = _all(loading, _LOAD_S, late, stopped)
    return handles, [_require_loaded(*pair) for pair in zip(told, handles, strict=True)]


def _actor(spec: ReplicasSpec, node_id: str | None) -> Any:
    import ray

    needs = {
        "gpu": {"num_gpus": 1, "num_cpus": 0},
        "cores": {"num_cpus": spec.cores_each or 1},
        "none": {"num_cpus": 0},
    }
    made = ray.remote(
        concurrency_groups={"poll": 1},
        scheduling_strategy="SPREAD" if node_id is None else on_node(node_id),
        max_restarts=0,
        **needs[spec.device],
    )
    return made(_RayReplica).remote()


def _node_ids(spec: ReplicasSpec) -> list[str] | list[None]:
    """The machine of each replica, None where Ray chooses. Raises EnvironmentFault where the
    cluster never has enough for all of them.
    """
    if spec.device == "gpu":
        require_places(spec.count, nodes().gpus, "GPU", spec.address)
    if spec.device != "cores":
        return [None] * spec.count
    there, each = nodes(cores=True), spec.cores_each or 1
    require_places(spec.count, there.usable_cores, "core", spec.address, each)
    return [there.ids[machine] for machine in spread(spec.count, there.usable_cores, each)]


class _RayReplica(Replica):
    """A replica in an actor: what of it needs Ray."""

    def __init__(self) -> None:
        import ray

        super().__init__(ray.util.get_node_ip_address())

    def where(self, offer: Offer | None) -> Place:
        """See `Replica.place`."""
        import ray

        gpus = [str(gpu) for gpu in ray.get_gpu_ids()]
        return self.place(offer, gpus, ray.get_runtime_context().get_node_id())

    def load_from(
        self,
        spec: ExecutorSpec,
        cores: Sequence[Core] | None,
        num_sharing: int,
        offer: Offer | None,
        source: Any,
    ) -> Loaded | Fatal:
        """See `Replica.load`; an engine that is not here comes from the actor `source`."""
        import ray

        def read(name: str, offset: int) -> bytes:
            part: bytes = ray.get(source.read.remote(name, offset), timeout=_READ_S)
            return part

        try:
            return self.load(spec, cores, num_sharing, offer, read)
        except ray.exceptions.RayError as error:
            return Fatal(f"the engine could not be fetched from the head: {cause_of(error)}")

    def submit_parts(self, *parts: bytes) -> None:
        """See `Replica.submit`."""
        self.submit(of_parts(parts))


class _Source:
    """The engine's files, for machines that do not have them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str, offset: int) -> bytes:
        """See `read_part`."""
        return read_part(self._folder, name, offset)


def _source(folder: Path) -> Any:
    """On this machine, which has them."""
    import ray

    here = on_node(ray.get_runtime_context().get_node_id())
    return ray.remote(num_cpus=0, scheduling_strategy=here)(_Source).remote(folder)


def _all(
    refs: Sequence[Any], limit_s: float, late: Exception, stopped: Callable[[], bool]
) -> list[Any]:
    """What the calls return. Raises EngineDied for one that fails, and `late` where one takes too
    long.
    """
    import ray

    until_s = time.monotonic() + limit_s
    left = list(refs)
    while left:
        done, left = ray.wait(left, num_returns=len(left), timeout=_TICK_S)
        try:
            ray.get(done)
        except ray.exceptions.RayError as error:
            raise EngineDied(f"a replica could not be started: {cause_of(error)}") from None
        if stopped():
            raise InterruptedError
        if left and time.monotonic() > until_s:
            raise late
    results: list[Any] = ray.get(list(refs))
    return results


def _end(actors: Sequence[Any]) -> None:
    """The engines are closed where that can still be asked, and every actor is gone."""
    import ray

    with contextlib.suppress(ray.exceptions.RayError):
        ray.wait(
            [actor.close.remote() for actor in actors], num_returns=len(actors), timeout=_CLOSE_S
        )
    for actor in actors:
        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(actor)


def _place_s(spec: ReplicasSpec) -> float:
    return _PLACE_S + _START_S * spec.count


def _no_place(spec: ReplicasSpec) -> EnvironmentFault:
    what = {"gpu": "GPU", "cores": "core", "none": "process"}[spec.device]
    return EnvironmentFault(
        f"Not every one of the {spec.count} replicas had a {what} within {_place_s(spec):.0f} s; "
        "look at who else uses the Ray cluster, or give fewer --replicas."
    )


def _cores(spec: ReplicasSpec, places: Sequence[Place]) -> list[tuple[Core, ...]] | list[None]:
    """The cores of each replica, None where it has none to itself."""
    return cores_of(places, spec.cores_each) if spec.device == "cores" else [None] * len(places)


def _require_loaded(told: Loaded | Fatal, handle: RayHandle) -> Loaded:
    if isinstance(told, Fatal):
        cause = f"replica on {handle.node} could not be loaded: {told.cause}"
        raise EnvironmentFault(f"The {cause}") if told.lacking else EngineDied(f"the {cause}")
    return told


def _device(place: Place, cores: Sequence[Core] | None) -> str:
    if place.gpus:
        return f"GPU {', '.join(place.gpus)}"
    return "" if cores is None else f"CPU {', '.join(str(core.cpu) for core in cores)}"


def _require_listener(address: str) -> None:
    """Raise OSError where nobody listens: Ray itself would try for minutes."""
    place = host_and_port(address)
    if place is not None:
        socket.create_connection(place, timeout=_LISTENER_S).close()


@contextlib.contextmanager
def _explained(address: str) -> Iterator[None]:
    """A failure to connect, as a sentence."""
    import ray

    try:
        yield
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = " ".join(lines[:1] if _VERSIONS not in str(error) else lines)
        raise EnvironmentFault(
            f"No connection to Ray at {address}: {said.rstrip('.')}; this machine must be one of "
            "the cluster (`ray start`), with the same versions of Ray and Python and the same "
            "RAY_AUTH_TOKEN as the others."
        ) from None


@contextlib.contextmanager
def _own_folder() -> Iterator[Path]:
    """A folder for the files of our own Ray; those of killed processes are removed."""
    parent = Path(tempfile.gettempdir())
    if len(str(parent)) > _LONGEST_FOLDER:
        parent = Path("/tmp")
    sweep(parent, _OUR_FOLDER)
    folder = parent / f"{_OUR_FOLDER}{mark()}"
    folder.mkdir(exist_ok=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
