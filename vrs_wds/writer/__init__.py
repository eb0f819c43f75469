"""Writes shards, index, manifest and card: `write_shards`."""
