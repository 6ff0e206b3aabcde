"""Raw files: downloaded or copied from a mirror, and checked."""
