"""The parameters of a notebook: read from its tagged cell, checked before anything runs."""

import ast
import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fedet.errors import InputError

TYPES = {"int": int, "float": float, "str": str, "bool": bool}
TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Parameter:
    """One line of the cell: `name: type = default  # comment`."""

    name: str
    type: str  # of TYPES, or whatever else the notebook says
    default: object
    comment: str


def parameters_of(notebook, source: str) -> dict[str, Parameter]:
    """The parameters of a notebook by name, in its order.

    Args:
        notebook: as nbformat reads it.
        source: the file's name, for messages.

    Raises:
        InputError: the cell tagged `parameters` does more than set values, or is not Python.
    """
    found = {}
    for cell in notebook.cells:
        if "parameters" not in cell.metadata.get("tags", []):
            continue
        lines = cell.source.splitlines()
        for node in _statements(cell.source, source):
            if isinstance(node, ast.AnnAssign) and node.value:
                target, kind = node.target, ast.unparse(node.annotation)
            elif isinstance(node, ast.Assign) and len(node.targets) == 1:
                target, kind = node.targets[0], ""
            else:
                target = None
            if not isinstance(target, ast.Name):
                raise InputError(f"{source}: {ast.unparse(node)!r} among the parameters sets no value")
            default = _literal(node.value, source)
            comment = lines[node.end_lineno - 1][node.end_col_offset :].strip().lstrip("#").strip()
            kind = kind or type(default).__name__
            found[target.id] = Parameter(target.id, kind, default, comment)
    return found


def _statements(text: str, source: str) -> list[ast.stmt]:
    try:
        return ast.parse(text).body
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{source}: the cell of parameters is not Python ({error}); correct it") from error


def _literal(node, source: str):
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        raise InputError(f"{source}: a parameter is {ast.unparse(node)!r}, not a plain value") from error


def checked(value, parameter: Parameter, source: str):
    """The value as the parameter's type; a text is read, e.g. "3" for an int, "yes" for a bool.

    Raises InputError if it is of another type.
    """
    wanted = TYPES.get(parameter.type)
    wrong = InputError(f"{source}: {parameter.name}={value!r} is not {article(parameter.type)}")
    if wanted is None or wanted is str:
        if wanted is str and not isinstance(value, str):
            raise wrong
        return value
    if wanted is bool:
        known = value if isinstance(value, bool) else TRUTHS.get(str(value).lower())
        if known is None:
            raise wrong
        return known
    try:
        number = wanted(value)
    except (TypeError, ValueError, OverflowError):
        raise wrong from None
    if isinstance(value, bool) or (wanted is int and not isinstance(value, str) and number != value):
        raise wrong
    return number


def article(noun: str) -> str:
    return f"an {noun}" if noun[:1] in "aeio" else f"a {noun}"


def split(texts: Iterable[str]) -> dict[str, str]:
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
        InputError: no notebook has such a parameter (the nearest name is told), or a value is of
            another type.
    """
    chosen: dict[str, dict] = {name: {} for name in notebooks}
    for key, value in sorted(values.items(), key=lambda item: "." in item[0]):  # one beats all
        which, dot, name = key.rpartition(".")
        where = [n for n, known in notebooks.items() if name in known and _is(n, which)]
        if not where:
            raise InputError(f"{source} {key}={value}: {unknown(key, notebooks)}")
        for notebook in where:
            parameter = notebooks[notebook][name]
            chosen[notebook][name] = checked(located(value, parameter), parameter, f"{source}, {notebook}")
    return chosen


def _is(notebook: str, which: str) -> bool:
    return which in ("", notebook, notebook.split("_")[0])


def unknown(key: str, notebooks: dict[str, dict[str, Parameter]]) -> str:
    """Why a parameter is refused, with the nearest name that there is."""
    which, _, name = key.rpartition(".")
    if not any(_is(notebook, which) for notebook in notebooks):
        return f"no notebook {which!r}; there are {', '.join(notebooks)}"
    known = {n for notebook, known in notebooks.items() if _is(notebook, which) for n in known}
    named = ", ".join(notebook for notebook in notebooks if _is(notebook, which))
    said = f"{named} has no parameter {name!r}" if which else f"no notebook has the parameter {name!r}"
    if others := [notebook for notebook, known in notebooks.items() if name in known]:
        return f"{said}, but {', '.join(others)} {'have' if len(others) > 1 else 'has'}"
    if near := difflib.get_close_matches(name, sorted(known), 1, 0.5):
        return f"{said}; did you mean {near[0]!r}?"
    return f"{said}; there are {', '.join(sorted(known)) or 'none'}"


def located(value, parameter: Parameter):
    """A path that exists from here as an absolute one: notebooks run in their own folder."""
    if parameter.type == "str" and isinstance(value, str) and value and Path(value).exists():
        return str(Path(value).resolve())
    return value
