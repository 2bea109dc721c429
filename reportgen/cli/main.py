"""The command line: options in, errors shown, exit codes.

Progress and notes go to standard error, paths of what was written to standard output.
"""

from __future__ import annotations

import click

from reportgen import __version__
from reportgen.cli.build import build
from reportgen.cli.check import check
from reportgen.cli.compare import compare
from reportgen.cli.export import export
from reportgen.cli.index import index
from reportgen.cli.look_up import completion, models, schema
from reportgen.cli.new import new
from reportgen.cli.render import render


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="reportgen")
def main() -> None:
    """See attention: a YAML list of prompts in, a folder of self-contained pages of heatmaps out."""


for command in (build, check, compare, completion, export, index, models, new, render, schema):
    main.add_command(command)
