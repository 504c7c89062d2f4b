"""``python -m pipeline``, and the console script."""

import sys

from pipeline.terminal import quiet_imports


def main() -> None:
    """Runs the command line."""
    quiet_imports()
    try:
        from pipeline import run
    except KeyboardInterrupt:
        print("Stopped before anything was embedded.", file=sys.stderr)
        sys.exit(130)
    run.main()


if __name__ == "__main__":
    main()
