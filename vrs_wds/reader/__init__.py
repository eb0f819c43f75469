"""Reads shards: by index in any order, or without one from start to end."""
