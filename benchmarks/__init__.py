"""Speed of the harness and of the CPU engine, as ratios measured side by side in one run.

Run by `make bench`, or `python -m benchmarks NAME`. These are measurements, not tests: a goal that
is missed is reported, and fails nothing.
"""
