"""The command line: one Typer app per command; `study.cli.main` joins them."""
