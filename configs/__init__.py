"""What can be asked for, as YAML: `targets/`, `recipes/` and `workloads/`; no logic.

A file's stem is its name. `build_engine.config` finds and checks the files here.
"""
