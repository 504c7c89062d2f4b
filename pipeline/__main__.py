"""``python -m pipeline``, and the console script."""

import logging


def main() -> None:
    """Runs the command line."""
    # Beam warns at import of a client that it does not find and that nobody here needs.
    logging.getLogger().setLevel(logging.ERROR)
    from pipeline import run

    run.main()


if __name__ == "__main__":
    main()
