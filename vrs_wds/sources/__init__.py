"""From foreign datasets to samples: each source is a sequence of `SourceSample`."""
