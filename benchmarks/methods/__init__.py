"""Ways to read the same samples: ours and peers', a file each, run in a process of its own.

A module here has `make(job)`, which opens the data and returns a function that gives one pass over
them; peers with a format of their own also have `prepare(job)`, which writes their copy once. A
peer's module runs in the peer's environment: beside the peer it may import what `vrs_wds` depends
on, but not `vrs_wds`.
"""
