"""Looks at samples, batches and columns: pictures with outlines, texts, counts."""
