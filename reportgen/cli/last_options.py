"""Options of the last build of a site, which commands that add to the site use unless they are given others."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import click
from click.core import ParameterSource

from reportgen.records.errors import SiteError

_EXCLUSIVE = ({"device", "device_map"},)
"""Options of which only one can be given."""


def use_last_options(
    settings: Mapping[str, Any], build: click.Command, names: Collection[str] | None = None
) -> dict[str, Any]:
    """Return the options of the current command, with those of the last build where none are given.

    Args:
        settings: options of the current command by name, among them ``results``.
        build: the build command, whose parameters convert the recorded options.
        names: options to take from the last build; ``None`` takes all.

    Raises:
        SiteError: the recorded options cannot be read.
    """
    from reportgen.site.site import Site  # imports NumPy, which --help need not wait for

    context, site = click.get_current_context(), Site(settings["results"])
    last = site.last_report.options if site.root.is_dir() else {}
    given = {name for name in settings if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    given |= set().union(*(pair for pair in _EXCLUSIVE if pair & given))
    chosen = dict(settings)
    for param in build.params:
        name = param.name or ""
        if name in last and name not in given and (names is None or name in names):
            try:
                chosen[name] = param.type_cast_value(context, last[name])
            except (click.BadParameter, TypeError, AttributeError) as error:
                raise SiteError(f"{site.report}: the option {name!r} cannot be read, {error}; build again") from error
    return chosen
