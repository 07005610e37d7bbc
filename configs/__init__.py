"""What can be asked for, as YAML: targets, recipes, workloads, rounds, and for plans the
dimensions of models and published results; no logic.

A file's stem is its name. `build_engine.config` finds and checks the files here.
"""
