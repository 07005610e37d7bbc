"""`enginebench targets`."""

from __future__ import annotations

from harness.cli.output import Output

_PRECISIONS = {"bf16": "TFLOPS", "int8": "TOPS", "fp8": "TFLOPS", "int4": "TOPS"}
_PEAKS = tuple(f"{precision}\n{unit}" for precision, unit in _PRECISIONS.items())


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
    out.table(
        ["target", "SM", "memory\nGiB", "GB/s", *_PEAKS, "hardware"],
        [
            [
                target.name,
                str(target.sm or "-"),
                _figure(target.memory_gib),
                _figure(target.bandwidth_gb_s),
                *(_figure(target.dense_tflops.get(precision)) for precision in _PRECISIONS),
                target.title,
            ]
            for target in found
        ],
        title="Dense peaks; sources in configs/targets",
    )
    out.result([target.model_dump() for target in found])
    out.next("recipes", "--target", "cpu")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,g}"
