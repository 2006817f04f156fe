"""The parameters of a notebook: read from its tagged cell, checked before anything runs."""

import ast
import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode
from papermill.translators import PythonTranslator

from fedet.errors import InputError

TYPES = {"int": int, "float": float, "str": str, "bool": bool}
TRUTH_VALUES = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Parameter:
    """One line of the cell: `name: type = default  # comment`."""

    name: str
    type: str  # of TYPES, or whatever else the notebook says
    default: object
    comment: str


def parameters_of(notebook: NotebookNode, source: str) -> dict[str, Parameter]:
    """The parameters of a notebook by name, in its order, as papermill reads them.

    Args:
        notebook: as nbformat reads it.
        source: the file's name, for messages.

    Raises:
        InputError: the cell tagged `parameters` is not Python, or has a line that papermill cannot read.
    """
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if not tagged:
        return {}
    try:
        statements = [ast.unparse(node) for node in ast.parse(tagged[0].source).body]
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{source}: the cell of parameters is not Python ({error}); correct it") from error
    found = {p.name: p for p in PythonTranslator.inspect(tagged[0])}
    for text in statements:
        if "=" not in text or text.partition("=")[0].partition(":")[0].strip() not in found:
            raise InputError(
                f"{source}: {text!r} among the parameters is not a line like `seed: int = 1  # comment`; "
                "correct it, papermill would ignore it"
            )
    return {name: _parameter(p, source) for name, p in found.items()}


def _parameter(inspected, source: str) -> Parameter:
    try:
        default = ast.literal_eval(inspected.default)
    except (ValueError, TypeError, SyntaxError) as error:
        raise InputError(f"{source}: a parameter is {inspected.default!r}, not a plain value") from error
    kind = inspected.inferred_type_name
    kind = type(default).__name__ if kind == "None" else kind
    return Parameter(inspected.name, kind, default, inspected.help)


def check_value(value, parameter: Parameter, source: str):
    """The value as the parameter's type; text is converted, e.g. "3" for an int, "yes" for a bool.

    Raises InputError if it is of another type.
    """
    wanted = TYPES.get(parameter.type)
    article = "an" if parameter.type[:1] in "aeio" else "a"
    error = InputError(f"{source}: {parameter.name}={value!r} is not {article} {parameter.type}")
    if wanted is None or wanted is str:
        if wanted is str and not isinstance(value, str):
            raise error
        return value
    if wanted is bool:
        truth = value if isinstance(value, bool) else TRUTH_VALUES.get(str(value).lower())
        if truth is None:
            raise error
        return truth
    try:
        number = wanted(value)
    except (TypeError, ValueError, OverflowError):
        raise error from None
    if isinstance(value, bool) or (wanted is int and not isinstance(value, str) and number != value):
        raise error
    return number


def split_assignments(texts: Iterable[str]) -> dict[str, str]:
    """Texts like "seconds=20" as a dict. Raises InputError for others and for a name given twice."""
    values: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise InputError(f"-p {text!r} is not like seconds=20")
        if name in values:
            raise InputError(f"-p {name} is given twice: {values[name]!r} and {value!r}")
        values[name.strip()] = value
    return values


def assign(values: dict, notebooks: dict[str, dict[str, Parameter]], source: str = "-p") -> dict[str, dict]:
    """Which notebook gets which value: all that have the parameter, or one ("01_explore.fps").

    Args:
        values: by parameter, or by "NN.parameter" for one notebook only.
        notebooks: the parameters of each notebook, by its name.

    Raises:
        InputError: no notebook has such a parameter (the message names the nearest one), or a value is of
            another type.
    """
    assigned: dict[str, dict] = {name: {} for name in notebooks}
    for key, value in sorted(values.items(), key=lambda item: "." in item[0]):  # a value for one wins
        number, _, name = key.rpartition(".")
        takers = [n for n, known in notebooks.items() if name in known and _is_meant(n, number)]
        if not takers:
            raise InputError(f"{source} {key}={value}: {unknown_parameter(key, notebooks)}")
        for notebook in takers:
            parameter = notebooks[notebook][name]
            value_here = check_value(_absolute(value, parameter), parameter, f"{source}, {notebook}")
            assigned[notebook][name] = value_here
    return assigned


def _is_meant(notebook: str, number: str) -> bool:
    return number in ("", notebook, notebook.split("_")[0])


def unknown_parameter(key: str, notebooks: dict[str, dict[str, Parameter]]) -> str:
    """Why a parameter is refused, with the nearest name that there is."""
    number, _, name = key.rpartition(".")
    meant = [notebook for notebook in notebooks if _is_meant(notebook, number)]
    if not meant:
        return f"no notebook {number!r}; there are {', '.join(notebooks)}"
    known = sorted({parameter for notebook in meant for parameter in notebooks[notebook]})
    problem = f"{', '.join(meant)} has no" if number else "no notebook has the"
    if others := [notebook for notebook, parameters in notebooks.items() if name in parameters]:
        verb = "have" if len(others) > 1 else "has"
        return f"{problem} parameter {name!r}, but {', '.join(others)} {verb}"
    if near := difflib.get_close_matches(name, known, 1, 0.5):
        return f"{problem} parameter {name!r}; did you mean {near[0]!r}?"
    return f"{problem} parameter {name!r}; there are {', '.join(known) or 'none'}"


def _absolute(value, parameter: Parameter):
    """A path that exists from here as an absolute one: notebooks run in their own folder."""
    if parameter.type == "str" and isinstance(value, str) and value and Path(value).exists():
        return str(Path(value).resolve())
    return value
