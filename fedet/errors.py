"""The one error that a user's input can cause."""


class InputError(ValueError):
    """Bad input: the message quotes the value and the file and says what to do, in one line."""
