"""`python -m study` is `study`."""

from study.cli.main import main

main()
