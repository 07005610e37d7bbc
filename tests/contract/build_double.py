"""A `trtllm-build` without TensorRT, made from the facts: it takes the flags that there are and no
others, applies the builder's rules by their names, and writes what the builder writes, in order.

Its machine is what the environment says: DOUBLE_SM, DOUBLE_GPUS; DOUBLE_STOP=before-engine ends it
between its two files, DOUBLE_SAY is printed before a failure, DOUBLE_WAIT_S passes before the end,
DOUBLE_LIE (`dotted.field=JSON`) is written instead of the truth.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from build_engine.trtllm.facts import BuildToolFacts, Flag, build_tool_facts

FP8 = ("FP8", "W4A8_AWQ", "NVFP4")
SMOOTH = (
    "smooth_quant_gemm_plugin",
    "rmsnorm_quantization_plugin",
    "layernorm_quantization_plugin",
)


def parser(facts: BuildToolFacts) -> argparse.ArgumentParser:
    """Takes every flag of the facts; neither abbreviations nor anything else."""
    made = argparse.ArgumentParser(
        prog="trtllm-build",
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    for flag in facts.flags:
        text = (flag.note or "known").replace("%", "%%")
        made.add_argument(flag.name, *flag.aliases, **_options(flag), help=text)
    return made


def _options(flag: Flag) -> dict[str, Any]:
    if flag.kind == "switch":
        return {"action": "store_true"}
    options: dict[str, Any] = {"default": flag.default, "choices": flag.choices}
    if flag.name == "--kv_cache_type":
        options["type"] = str.lower
    if flag.kind == "number":
        options["type"] = int
    if flag.kind == "texts":
        options["nargs"] = "+"
    return options


class Build:
    """What `build()` looks at and changes."""

    def __init__(self, facts: BuildToolFacts, args: argparse.Namespace) -> None:
        self.facts, self.args = facts, args
        self.sm, self.gpus = int(os.environ.get("DOUBLE_SM", "80")), _number("DOUBLE_GPUS", 1)
        self.folder = Path(args.checkpoint_dir)
        self.model: dict[str, Any] = json.loads((self.folder / "config.json").read_text())
        quantization = self.model.setdefault("quantization", {})
        for key in quantization:
            if key not in {field.name for field in facts.quant_config}:
                raise TypeError(f"QuantConfig() got an unexpected keyword argument '{key}'")
        self.algo, self.kv = quantization.get("quant_algo"), quantization.get("kv_cache_quant_algo")
        assert self.algo is None or self.algo in facts.quant_algos, self.algo
        self.parts = self.model.get("mapping", {}).get("tp_size", 1)
        self.plugin: dict[str, Any] = {field.name: field.default for field in facts.plugin_config}
        self.config: dict[str, Any] = {
            field.name: getattr(args, field.name, field.default) for field in facts.build_config
        }
        self.config["speculative_decoding_mode"] = 1
        for field in facts.plugin_config:
            if field.cli:
                self.plugin[field.name] = _value(getattr(args, field.name), field.type)
        if args.logits_dtype:
            self.model["logits_dtype"] = args.logits_dtype

    def apply(self) -> None:
        """All rules, in the order of the facts."""
        for rule in self.facts.rules:
            if RULES[rule.name](self) and rule.message:
                say(f"[TRT-LLM] [W] {rule.message}")

    def change(self, **fields: Any) -> bool:
        """Set plugin fields; whether any had another value."""
        changed = any(self.plugin[name] != value for name, value in fields.items())
        self.plugin.update(fields)
        return changed

    def limit(self, name: str, value: int, when: bool) -> bool:
        """Set a size where it must be changed."""
        if when:
            self.config[name] = value
        return when

    def fail(self, when: bool, message: str = "") -> bool:
        """What the builder stops at."""
        if when:
            raise RuntimeError(message)
        return False


def _checkpoint_dtype(build: Build) -> bool:
    build.config["kv_cache_type"] = build.config["kv_cache_type"] or "paged"
    return build.change(dtype=build.model["dtype"], paged_state=False)


def _seq_len(build: Build) -> bool:
    positions = build.model["max_position_embeddings"]
    return build.limit("max_seq_len", positions, build.config["max_seq_len"] is None)


def _opt_tokens(build: Build) -> bool:
    config = build.config
    usual = min(config["max_batch_size"] * config["max_beam_width"], config["max_num_tokens"])
    when = config["opt_num_tokens"] is None and not build.plugin["multiple_profiles"]
    if build.plugin["multiple_profiles"]:
        build.fail(config["opt_num_tokens"] is not None, "opt_num_tokens with multiple_profiles")
    return build.limit("opt_num_tokens", usual, when)


def _tokens_reduced(build: Build) -> bool:
    most = build.config["max_seq_len"] * build.config["max_batch_size"]
    return build.limit("max_num_tokens", most, build.config["max_num_tokens"] > most)


def _tokens_raised(build: Build) -> bool:
    least = build.plugin["tokens_per_block"]
    short = build.plugin["context_fmha"] is True and build.config["max_num_tokens"] < least
    return build.limit("max_num_tokens", least, short)


def _opt_reduced(build: Build) -> bool:
    most, best = build.config["max_num_tokens"], build.config["opt_num_tokens"]
    return build.limit("opt_num_tokens", most, best is not None and best > most)


def _fp8_off(build: Build) -> bool:
    off = {"use_fp8_context_fmha": False}
    if build.kv == "FP8":
        off["use_paged_context_fmha"] = False
    return build.change(**off)


def _fp8_kv(build: Build) -> bool:
    able = build.algo in FP8 and build.sm >= 89 and build.plugin["use_paged_context_fmha"]
    return bool(able and build.kv != "FP8" and build.change(use_fp8_context_fmha=False))


def _fp8_forced(build: Build) -> bool:
    able = build.algo in FP8 and build.sm >= 89 and build.plugin["use_paged_context_fmha"]
    return bool(able and build.kv == "FP8" and build.change(use_fp8_context_fmha=True))


def _no_blackwell(build: Build) -> bool:
    integers = "INT8" in (build.algo, build.kv) or "8A8" in str(build.algo)
    return build.fail(100 <= build.sm < 120 and (integers or "W4" in str(build.algo)), "SM>=100")


def _smooth(build: Build) -> bool:
    if not (build.algo or "").startswith("W8A8_SQ") or not build.algo.endswith("_PLUGIN"):
        return False
    types = dict.fromkeys(SMOOTH, build.model["dtype"])
    return build.change(**types, quantize_per_token_plugin=True, quantize_tensor_plugin=True)


def _no_engine(build: Build) -> bool:
    if build.algo in FP8 and build.sm < 89:
        say("[TRT] [E] Networks with FP8 Q/DQ layers require hardware with FP8 support.")
        raise AssertionError(build.facts.rule("no-engine").message)
    return False


def _nothing(build: Build) -> bool:
    """A rule that warns only, or that changes no field of config.json."""
    return False


RULES: dict[str, Callable[[Build], bool]] = {
    "checkpoint-dtype": _checkpoint_dtype,
    "seq-len-from-positions": _seq_len,
    "seq-len-beyond-positions": _nothing,
    "input-len-clipped": lambda b: b.limit(
        "max_input_len",
        b.config["max_seq_len"],
        b.config["max_input_len"] > b.config["max_seq_len"],
    ),
    "input-len-ignored": lambda b: bool(
        b.plugin["remove_input_padding"] and b.plugin["context_fmha"]
    ),
    "opt-tokens-from-batch": _opt_tokens,
    "many-tokens-warned": _nothing,
    "tokens-reduced": _tokens_reduced,
    "tokens-raised": _tokens_raised,
    "opt-tokens-reduced": _opt_reduced,
    "reduce-fusion-alone": lambda b: b.parts == 1 and b.change(reduce_fusion=False),
    "user-buffer-alone": lambda b: not b.plugin["reduce_fusion"] and b.change(user_buffer=False),
    "norm-quant-fusion-off": lambda b: b.algo != "NVFP4" and b.change(norm_quant_fusion=False),
    "no-context-fmha": lambda b: (
        not b.plugin["context_fmha"]
        and b.change(use_fp8_context_fmha=False, use_paged_context_fmha=False)
    ),
    "fp8-fmha-not-fp8": lambda b: b.algo not in FP8 and _fp8_off(b),
    "fp8-fmha-old-gpu": lambda b: b.algo in FP8 and b.sm < 89 and _fp8_off(b),
    "fp8-fmha-kv": _fp8_kv,
    "fp8-fmha-forced": _fp8_forced,
    "int8-kv-not-paged": lambda b: b.kv == "INT8" and b.change(use_paged_context_fmha=False),
    "blackwell-int8": _no_blackwell,
    "weight-only-plugin": lambda b: (
        b.algo in ("W8A16", "W4A16") and b.change(weight_only_quant_matmul_plugin=b.model["dtype"])
    ),
    "groupwise-plugin": lambda b: (
        b.algo in ("W4A16_AWQ", "W4A8_AWQ", "W4A16_GPTQ", "W8A16_GPTQ")
        and b.change(weight_only_groupwise_quant_matmul_plugin=b.model["dtype"])
    ),
    "smooth-quant-plugins": _smooth,
    "nccl-alone": lambda b: b.parts == 1 and b.change(nccl_plugin=None),
    "nvfp4-gemm": lambda b: b.algo == "NVFP4" and b.change(gemm_plugin="nvfp4"),
    "swiglu-needs-fused-mlp": lambda b: b.fail(
        bool(b.plugin["gemm_swiglu_plugin"]) and not b.plugin["use_fused_mlp"]
    ),
    "streamingllm": lambda b: b.fail(bool(b.plugin["streamingllm"])),
    "no-engine": _no_engine,
    "fused-mlp": _nothing,
}


def _value(text: Any, kind: str) -> Any:
    if kind == "bool":
        return text == "enable"
    return None if text == "disable" else text


def _number(name: str, default: int) -> int:
    return int(os.environ.get(name, default))


def say(line: str) -> None:
    """A line of the log."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def write(build: Build) -> None:
    """config.json, then the engines."""
    folder = Path(build.args.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    hidden = ("dry_run", "visualize_network")
    config = {name: value for name, value in build.config.items() if name not in hidden}
    document: dict[str, Any] = {
        "version": build.facts.version,
        "pretrained_config": build.model,
        "build_config": {**config, "plugin_config": build.plugin},
    }
    lie, _, value = os.environ.get("DOUBLE_LIE", "").partition("=")
    if lie:
        section, *path = lie.split(".")
        inner = document if not path else document[section]
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1] if path else section] = json.loads(value)
    (folder / "config.json").write_text(json.dumps(document))
    if os.environ.get("DOUBLE_STOP") == "before-engine":
        sys.exit(0)
    for rank in range(build.parts):
        (folder / f"rank{rank}.engine").write_bytes(b"plan")


def main(arguments: list[str]) -> None:
    """One command."""
    facts = build_tool_facts()
    args = parser(facts).parse_args(arguments)
    partners = [name for name in os.environ if name.startswith(("SLURM_", "PMIX_", "OMPI_COMM_"))]
    assert partners == [], f"MPI waits for partners: {partners}"
    build = Build(facts, args)
    assert build.gpus > 0, "min(torch.cuda.device_count(), workers) is 0"
    for rank in range(build.parts):
        assert (build.folder / f"rank{rank}.safetensors").is_file(), "Required but not provided"
    for name, value in build.plugin.items():
        say(f"[TRT-LLM] [I] Set {name} to {value}.")
    say("[TRT] [I] Local timing cache in use.")
    if "DOUBLE_SAY" in os.environ:
        say(os.environ["DOUBLE_SAY"])
        sys.exit(1)
    time.sleep(float(os.environ.get("DOUBLE_WAIT_S", "0")))
    build.apply()
    Path(args.output_timing_cache).write_bytes(b"timings")
    write(build)
    say("[TRT-LLM] [I] Total time of building all engines: 00:00:01")


if __name__ == "__main__":
    main(sys.argv[1:])
