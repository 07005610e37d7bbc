"""Programs that a benchmark runs in the peers' own virtual environment; they import nothing of the
project but each other.
"""
