"""``python -m pipeline``, and the console script."""

from pipeline.terminal import refuse_python


def main() -> None:
    """Runs the command line."""
    try:
        from pipeline import run
    except ModuleNotFoundError as error:
        refuse_python(error)
    run.main()


if __name__ == "__main__":
    main()
