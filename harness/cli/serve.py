"""`enginebench serve`."""

from __future__ import annotations

from pathlib import Path

from harness.cli.output import Output


def serve(
    engine: str,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    name: str | None = None,
    api_key_file: Path | None = None,
    max_requests: int | None = None,
    max_body_bytes: int = 4 * 2**20,
    trust_request_chat_template: bool = False,
    json: bool = False,
) -> None:
    """Answer OpenAI's requests with a built engine, until Ctrl-C.

    Parameters
    ----------
    engine
        Its key (the first characters do), its folder, or model/target/recipe.
    host
        The address; others than this machine reach it only where there is a key.
    port
        The port; 0 takes a free one.
    name
        What clients call the model, instead of its own name.
    api_key_file
        A file with the key that clients must send; ENGINEBENCH_API_KEY when left out.
    max_requests
        Requests that are open at once, answered or waiting (256, or four batches of the engine,
        when left out); more of them are told when to come again.
    max_body_bytes
        Bytes of the largest request.
    trust_request_chat_template
        Let a chat request bring its own chat template (`chat_template`), which runs in a sandbox.
    json
        Write the URL and the model's name to standard output when requests are taken.
    """
    from build_engine.paths import cache_root
    from build_engine.store.engine import open_engine
    from build_engine.store.resolve import resolve
    from build_engine.store.store import EngineStore
    from build_engine.validation import counted
    from runtime.backend import engine_spec, load, require_executable
    from runtime.server import serve as server
    from runtime.server.settings import ServerSettings, read_key_digest

    out = Output(as_json=json)
    server.require_libraries()
    key_digest = read_key_digest(api_key_file)
    found = open_engine(resolve([EngineStore(cache_root())], engine)[1].folder)
    require_executable(found.backend, found.limits.tensor_parallel)
    settings = ServerSettings(
        name=name or found.model,
        max_requests=(
            max(256, 4 * found.limits.max_batch_size) if max_requests is None else max_requests
        ),
        max_body_bytes=max_body_bytes,
        key_digest=key_digest,
        trusts_templates=trust_request_chat_template,
    )
    max_connections = server.allow_connections(settings.max_requests)

    def tell() -> None:
        url = f"{server.url(bound)}/v1"
        out.say(f"Serving {found.names[0]} as `{settings.name}` until Ctrl-C.")
        out.result({"url": url, "model": settings.name, "engine": found.key})
        out.advice(f"set an OpenAI client's base URL to {url}")

    with server.bind(host, port, has_key=key_digest is not None) as bound:
        out.say(f"Loading {found.names[0]}.")
        executor = load(engine_spec(found))
        try:
            num_cut = server.serve(executor, found, settings, bound, tell, max_connections)
        finally:
            executor.close()
    if num_cut:
        out.say(f"{counted(num_cut, 'request')} could not be answered in time.")
