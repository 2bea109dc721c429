"""The root command of the command line.

Progress and notes go to standard error, the paths of written files to standard output.
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
from reportgen.cli.show import show


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="reportgen")
def main() -> None:
    """Run a YAML list of prompts on a language model and write self-contained pages with attention heatmaps."""


for command in (build, check, compare, completion, export, index, models, new, render, schema, show):
    main.add_command(command)
