"""Looks at samples: pictures with their boxes, and their texts beside them."""
