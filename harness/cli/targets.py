"""`enginebench targets`."""

from __future__ import annotations

from harness.cli.output import Output


def targets(*, json: bool = False) -> None:
    """List the GPU types and CPUs that engines are built for.

    Parameters
    ----------
    json
        Write the targets to standard output as JSON.
    """
    from build_engine.target import load_target, target_names

    out = Output(as_json=json)
    found = [load_target(name) for name in target_names()]
    precisions = ("bf16", "int8", "fp8", "int4")
    out.table(
        ["target", "hardware", "SM", "memory GiB", "GB/s", *(f"{p} TFLOPS" for p in precisions)],
        [
            [
                target.name,
                target.title,
                str(target.sm or "-"),
                _figure(target.memory_gib),
                _figure(target.bandwidth_gb_s),
                *(_figure(target.dense_tflops.get(precision)) for precision in precisions),
            ]
            for target in found
        ],
        title="Dense peaks; sources in configs/targets",
    )
    out.result([target.model_dump() for target in found])
    out.next("enginebench recipes --target cpu")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,g}"
