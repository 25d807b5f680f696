"""`python -m poster_service.loadtest`: the same as `poster-service loadtest`, on its own."""

import argparse
import sys

from poster_service.loadtest import command


def main() -> None:
    """Entry point; the exit status is the command's."""
    parser = argparse.ArgumentParser(
        prog="poster-service loadtest",
        description="Drives the service from outside and counts what is left behind.",
    )
    command.add_options(parser)
    sys.exit(command.run(parser.parse_args()))


if __name__ == "__main__":
    main()
