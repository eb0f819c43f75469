"""Stages: callables from iterator to iterator, at home in any `wds.DataPipeline`."""
