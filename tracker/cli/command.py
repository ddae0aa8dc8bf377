"""Verbs and groups of verbs whose help speaks no Python: typer shows a flag as <bool>, ids as <list[str]>."""

from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption


class Verb(TyperCommand):
    """One verb."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Its arguments and options, `--help` too."""
        return [_without_type(one) for one in super().get_params(ctx)]


class Verbs(TyperGroup):
    """A group of verbs."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Its options, `--help` too."""
        return [_without_type(one) for one in super().get_params(ctx)]


def _without_type(parameter: Any) -> Any:
    """A flag takes nothing, and an argument is named already."""
    if isinstance(parameter, TyperOption) and parameter.is_flag:
        parameter.metavar = ""
    elif isinstance(parameter, TyperArgument):
        parameter.display_type_rich = _nothing  # type: ignore[method-assign]
    return parameter


def _nothing(ctx: object) -> None:
    return None
