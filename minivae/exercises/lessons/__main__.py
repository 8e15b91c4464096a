"""Run a lesson: `python -m minivae.exercises.lessons 3`."""

import argparse
import sys

from minivae.app.runner import run
from minivae.exercises.lessons import command


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser("python -m minivae.exercises.lessons", description=command.ABOUT)
    command.add_options(parser)
    return run(parser, argv)


if __name__ == "__main__":
    sys.exit(main())
