"""What options may be: layers and heads, devices, parts of a run."""

from __future__ import annotations

import os
import re
from typing import Any

import click

from reportgen.records import Shard
from reportgen.records.selection import Selection, parse_selection


class SelectionType(click.ParamType):
    """Layers or heads, such as ``0-4, -1``."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Selection:
        """Read a value, or say what is wrong with it."""
        try:
            return parse_selection(value)
        except ValueError as error:
            self.fail(f"{error}; write numbers and ranges such as 0-4,-1, or all", param, ctx)


class DeviceType(click.ParamType):
    """A device by its name; whether this machine has it is found out later, since that takes torch."""

    name = "device"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read a value, or say what is wrong with it."""
        if not re.fullmatch(r"auto|(cpu|cuda|mps)(:\d{1,3})?", value):
            self.fail(
                f"unknown device {value!r}; write auto, cpu, cuda or mps, or with a number, as cuda:1", param, ctx
            )
        return value


class BatchType(click.ParamType):
    """How many at once: a number, or ``auto``, which is 0."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read a value, or say what is wrong with it."""
        if value == "auto":
            return 0
        if not str(value).isdigit() or int(value) < 1:
            self.fail(f"{value!r} is no number from 1 on; write one, or auto", param, ctx)
        return int(value)


class ShardType(click.ParamType):
    """A part of a run, as ``2/8``."""

    name = "part"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Shard:
        """Read a value, or say what is wrong with it."""
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", str(value))
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            self.fail(f"{value!r} is no part of a run; write 1/8 for the first of eight, up to 8/8", param, ctx)
        return Shard(int(found[1]), int(found[2]))


def find_shard(context: click.Context, param: click.Parameter, given: Shard | None) -> Shard | None:
    """Return the shard that is asked for, or the one of a launcher that numbers its processes, if there are several."""
    rank, size = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
    if given is not None or not rank or size in ("", "1"):
        return given
    if not (rank.isdigit() and size.isdigit() and int(rank) < int(size)):
        raise click.BadParameter(f"RANK={rank} and WORLD_SIZE={size} name no part; unset them, or give --shard 1/8")
    click.echo(f"shard {int(rank) + 1}/{size}, by RANK and WORLD_SIZE", err=True)
    return Shard(int(rank) + 1, int(size))


class ModelType(click.ParamType):
    """The name of a model."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read a value, or say what is wrong with it."""
        if not value.strip():
            self.fail("is empty; write a model, such as smollm2-135m, or leave the option out", param, ctx)
        return value
