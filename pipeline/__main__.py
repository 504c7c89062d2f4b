"""``python -m pipeline``, and the console script."""

import sys

from pipeline.terminal import quiet_imports, refuse_python


def main() -> None:
    """Runs the command line."""
    quiet_imports()
    try:
        from pipeline import run
    except KeyboardInterrupt:
        print("Stopped before anything was embedded.", file=sys.stderr)
        sys.exit(130)
    except ModuleNotFoundError as error:
        refuse_python(error)
    run.main()


if __name__ == "__main__":
    main()
