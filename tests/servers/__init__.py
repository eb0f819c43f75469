"""Servers that tests start, each a file with its fixtures."""
