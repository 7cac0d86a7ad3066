"""`python -m bench`: the command line."""

from __future__ import annotations

import sys

from bench.cli.app import app
from bench.errors import BenchError


def main() -> None:
    """Run the command line; the one place where an error becomes a message and an exit code."""
    try:
        app()
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough. Python must not try to flush what nobody reads.
        sys.stdout = None
        sys.exit(141)  # 128 + SIGPIPE, as a shell reports it


if __name__ == "__main__":
    main()
