"""``python -m reportgen``, and the command ``reportgen``."""

import io
import sys


def main() -> None:
    """Run the command line; Ctrl-C while it is still being imported ends it without a traceback."""
    for stream in (sys.stdout, sys.stderr):  # of any encoding: what it lacks is printed as an escape
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        from reportgen.cli.main import main as run
    except KeyboardInterrupt:
        sys.stderr.write("stopped; nothing was written\n")
        raise SystemExit(130) from None
    run()


if __name__ == "__main__":
    main()
