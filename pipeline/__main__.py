"""``python -m pipeline``, and the console script."""

import logging
import sys


def main() -> None:
    """Runs the command line."""
    # Beam warns at import of a client that it does not find and that nobody here needs.
    logging.getLogger().setLevel(logging.ERROR)
    try:
        from pipeline import run
    except KeyboardInterrupt:
        print("Stopped before anything was embedded.", file=sys.stderr)
        sys.exit(130)
    run.main()


if __name__ == "__main__":
    main()
