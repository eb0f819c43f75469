"""Feeds training: streams, the loader, and map-style access for `torch.utils.data`."""
