"""Command-line options for every value of a recipe, generated from `Recipe` itself."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer

from pyasync.cli.options import flag
from pyasync.errors import InputError, expected
from pyasync.study import Recipe
from pyasync.study.recipe import values_of_toml

PANEL = "Recipe"
# Values that hold several numbers, written as 64,64,64 on a command line.
NUMBERS = ("hidden", "forward_group_size", "shift_channels")
SHORT = {"forward_group_size": "-F"}


def recipe_options() -> dict[str, Any]:
    """The option for each value of a recipe, by name."""
    hints, described = get_type_hints(Recipe), _descriptions()
    return {
        field.name: _annotation(field, hints[field.name], described.get(field.name, ""))
        for field in dataclasses.fields(Recipe)
    }


def changes_of(config: Path | None, values: dict[str, Any]) -> dict[str, Any]:
    """The values from a TOML file, if any, overridden by those of the options given.

    Raises
    ------
    FileError, InputError
        If the file or a value is not as `Recipe` describes.
    """
    changes = {} if config is None else values_of_toml(config)
    given = {
        name: integers(name, value) if name in NUMBERS else value
        for name, value in values.items()
        if value is not None
    }
    for name in ("forward_group_size", "shift_channels"):
        if len(given.get(name, ())) == 1:
            (given[name],) = given[name]
    return changes | given


def shape_of(how: dict[str, Any]) -> tuple[int, ...] | None:
    """The input shape given as an option for reading samples, or None."""
    text = how["input_shape"]
    return None if text is None else integers("input_shape", text)


def integers(name: str, text: str) -> tuple[int, ...]:
    """Parse integers separated by commas; () for empty text."""
    try:
        return tuple(int(part) for part in text.split(",") if text.strip())
    except ValueError:
        accepted = "integers with commas between them, such as 64,64,64"
        raise InputError(expected(name, repr(text), accepted)) from None


def _annotation(field: dataclasses.Field[Any], hint: Any, text: str) -> Any:
    name = flag(field.name)
    names = [name, SHORT[field.name]] if field.name in SHORT else [name]
    kind = _without_none(hint)
    if kind is bool:
        names = [f"{name}/--no-{name[2:]}"]
    default = "" if field.default is None else f"  \\[default: {_shown(field.default)}]"
    option = typer.Option(
        *names,
        help=text.replace("None:", "Not given:") + default,
        rich_help_panel=PANEL,
        show_default=False,
        metavar="N[,N…]" if field.name in NUMBERS else None,
    )
    return Annotated[(str if field.name in NUMBERS else kind) | None, option]


def _without_none(hint: Any) -> Any:
    """Strip None from a type: int for `int | None`."""
    if get_origin(hint) is Literal or not get_args(hint):
        return hint
    return next((each for each in get_args(hint) if each is not type(None)), hint)


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    if isinstance(default, bool):
        return "yes" if default else "no"
    return str(default)


def _descriptions() -> dict[str, str]:
    """The description of each parameter in the docstring of `Recipe`, joined to one line."""
    text = inspect.getdoc(Recipe) or ""
    section = text.partition("Parameters\n----------\n")[2].partition("\nRaises\n")[0]
    found = re.findall(r"^(\w+) : .*\n((?:    .*\n?)+)", section, re.MULTILINE)
    return {name: " ".join(lines.replace("`", "").split()) for name, lines in found}
