"""The entry point: runs a command and turns bad input into one line."""

import signal
import sys
from types import FrameType

from fedet.cli import agree, bench, data, detect, evaluate, export, report, review, train  # noqa: F401  these register the commands
from fedet.cli.app import app, print_error
from fedet.errors import InputError, missing_library

COMMANDS = [
    "synth",
    "detect",
    "review",
    "train",
    "crossval",
    "results",
    "learn",
    "evaluate",
    "agree",
    "convert",
    "pretrain",
    "report",
    "bench",
    "export",
]  # in the help
app.registered_commands.sort(key=lambda command: COMMANDS.index(command.callback.__name__))


def stop(number: int, frame: FrameType | None) -> None:
    """Handles signals that end a process: reports them at once, then exits with all clean-up."""
    print("\nstopping; what is finished is kept", file=sys.stderr, flush=True)
    signal.signal(number, signal.default_int_handler)  # a second signal prints nothing
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def main() -> None:
    """Runs the command; bad input ends with one line and exit code 2, a signal as Ctrl-C does."""
    defaults = (signal.SIG_DFL, signal.default_int_handler)
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        number = getattr(signal, name, signal.SIGINT)
        if signal.getsignal(number) in defaults:  # nohup ignores SIGHUP; leave that
            signal.signal(number, stop)
    try:
        app(prog_name="fedet")
    except InputError as error:
        print_error(error)
        sys.exit(2)
    except ModuleNotFoundError as error:
        if (hint := missing_library(error)) is None:
            raise
        print_error(hint)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:
        path = f"{error.filename}: " if error.filename is not None else ""
        print_error(f"{path}{error.strerror or error}; name another place")
        sys.exit(2)
