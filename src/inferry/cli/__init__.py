"""The command line: one file per command, each named like it. `main` finds and loads only the one asked for."""
