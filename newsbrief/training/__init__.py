"""The scripts that made the bundled checkpoint; using the checkpoint does not need them."""
