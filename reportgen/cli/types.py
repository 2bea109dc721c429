"""Parameter types of options: layers and heads, devices, batch sizes, shards, models."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import click

from reportgen.records import Shard
from reportgen.records.selection import Selection, parse_selection


class SelectionType(click.ParamType):
    """Layers or heads, such as ``0-4, -1``."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Selection:
        """Convert a value, or fail with an error message."""
        try:
            return parse_selection(value)
        except ValueError as error:
            self.fail(f"{error}; write numbers and ranges such as 0-4,-1, or all", param, ctx)


class DeviceType(click.ParamType):
    """A device name, such as ``cuda:1``; whether this machine has it is checked later, because that needs torch."""

    name = "device"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Convert a value, or fail with an error message."""
        if not re.fullmatch(r"auto|(cpu|cuda|mps)(:[0-9]{1,3})?", value):
            self.fail(
                f"unknown device {value!r}; write auto, cpu, cuda or mps, or with a number, as cuda:1", param, ctx
            )
        return value


class BatchType(click.ParamType):
    """A batch size: a positive number, or ``auto``, which is converted to 0."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Convert a value, or fail with an error message."""
        if value == "auto":
            return 0
        if not re.fullmatch("0*[1-9][0-9]{0,8}", str(value)):
            self.fail(f"{value!r} is not a positive number; write 1 or more, or auto", param, ctx)
        return int(value)


class FolderType(click.Path):
    """A folder, which need not exist; the name must not be empty."""

    def __init__(self) -> None:
        """Refuse files."""
        super().__init__(file_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Convert a value, or fail with an error message."""
        if not str(value).strip():
            self.fail("is empty; write a folder, such as results, or . for the current one", param, ctx)
        folder: Any = super().convert(value, param, ctx)
        return folder


class AmountType(click.FloatRange):
    """A finite number that is not negative."""

    def __init__(self) -> None:
        """Allow numbers from 0."""
        super().__init__(min=0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Convert a value, or fail with an error message."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number; write one such as 0.5 or 25", param, ctx)
        return number


class ShardType(click.ParamType):
    """A shard of a run, such as ``2/8``."""

    name = "part"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Shard:
        """Convert a value, or fail with an error message."""
        match = re.fullmatch("([0-9]{1,9})/([0-9]{1,9})", str(value))
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            self.fail(f"{value!r} is not a shard; write 1/8 for the first of eight, up to 8/8", param, ctx)
        return Shard(int(match[1]), int(match[2]))


def find_shard(context: click.Context, param: click.Parameter, shard: Shard | None) -> Shard | None:
    """Return the shard given by ``--shard``, or else the one that a launcher such as torchrun set in the environment.

    ``RANK`` and ``WORLD_SIZE`` are used if they name more than one process.

    Raises:
        BadParameter: ``RANK`` and ``WORLD_SIZE`` are not a valid pair.
    """
    rank, size = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
    if shard is not None or not rank or size in ("", "1"):
        return shard
    if not (rank.isdecimal() and size.isdecimal() and int(rank) < int(size)):
        raise click.BadParameter(f"RANK={rank} and WORLD_SIZE={size} are invalid; unset them, or give --shard 1/8")
    click.echo(f"shard {int(rank) + 1}/{size}, from RANK and WORLD_SIZE", err=True)
    return Shard(int(rank) + 1, int(size))


class ModelType(click.ParamType):
    """The name of a model, which must not be empty."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Convert a value, or fail with an error message."""
        if not value.strip():
            self.fail("is empty; write a model, such as smollm2-135m, or leave the option out", param, ctx)
        return value
