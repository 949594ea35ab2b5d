"""The command line: one Typer app per command, joined in `study.cli.main.main`."""
