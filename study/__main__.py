"""`study`, and `python -m study`."""

import shlex
import sys

from study.core.text import printable


def main() -> None:
    """Run the command line. An interrupt while it is still being loaded ends it with one line, too."""
    try:
        from study.cli.main import main as run
    except KeyboardInterrupt:
        command = printable(shlex.join(["study", *sys.argv[1:]]))
        print(f"Interrupted. Nothing was started. To continue: {command}", file=sys.stderr)
        exec("")  # see `study.cli.main`
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
