"""The command line `vrs-wds`: one file a command."""
