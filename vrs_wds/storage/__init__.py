"""Places that hold bytes by name. `open_store(url)` is the one door to them."""
