"""The entry point: runs a command and turns bad input into one line."""

import signal
import sys

from fedet.cli import bench, data, detect, evaluate, report, train  # noqa: F401  these register the commands
from fedet.cli.app import app, say
from fedet.errors import InputError

COMMANDS = [
    "synth",
    "detect",
    "train",
    "crossval",
    "results",
    "learn",
    "evaluate",
    "convert",
    "pretrain",
    "report",
    "bench",
]  # in the help
app.registered_commands.sort(key=lambda command: COMMANDS.index(command.callback.__name__))


def main() -> None:
    """Runs the command; bad input ends with one line and exit code 2, a signal as Ctrl-C does."""
    for number in {signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}:
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP, and so it stays
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        app()
    except InputError as error:
        say(error)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        place = f"{error.filename}: " if error.filename is not None else ""
        say(f"{place}{error.strerror or error}; name another place")
        sys.exit(2)
