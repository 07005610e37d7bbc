"""One small file for each part of a tree; each check yields sentences about what is wrong."""
