"""What a model needs, and how fast a machine can be at best, from the architecture alone."""
