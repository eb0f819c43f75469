"""Shards, indexes and manifests as bytes and values. Nothing here opens a file."""
