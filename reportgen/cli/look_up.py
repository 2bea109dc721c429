"""reportgen models, schema and completion: print models, the JSON Schema and shell completion scripts."""

from __future__ import annotations

import json

import click

from reportgen.cli.completion import SHELLS, complete_models, make_script
from reportgen.cli.errors import shows_errors
from reportgen.cli.options import VERBOSE


@click.command()
@click.option(
    "--fetch", metavar="NAME", shell_complete=complete_models,
    help="Install a bundled model on this machine and print its folder.",
)  # fmt: skip
@click.option(
    "--clear", is_flag=True,
    help="Remove the converted GGUF files from the user's cache; bundled models and those of the hub stay.",
)  # fmt: skip
@VERBOSE
@shows_errors("; nothing of the model is kept")
def models(fetch: str | None, clear: bool, verbose: bool) -> None:
    """List the bundled models, the converted GGUF files and the models in the Hugging Face cache of this machine."""
    from reportgen.models.bundled import fetch_model, list_models
    from reportgen.models.cache import clear_converted, describe_size

    if clear:
        count, num_bytes = clear_converted()
        click.echo(
            f"{count} converted GGUF {'file' if count == 1 else 'files'} removed, {describe_size(num_bytes)} freed"
        )
    if fetch is not None:
        click.echo(fetch_model(fetch))
    if clear or fetch is not None:
        return
    for row in list_models():
        click.echo(row)


@click.command()
def schema() -> None:
    """Print the JSON Schema of the prompt file, for editors."""
    from reportgen.prompts.prompt_file import prompt_file_schema

    click.echo(json.dumps(prompt_file_schema(), ensure_ascii=False, indent=2))


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that lets SHELL complete this command with Tab, including slugs and models.

    In ~/.bashrc: eval "$(reportgen completion bash)". In ~/.zshrc: the same with zsh. For fish, once: reportgen
    completion fish > ~/.config/fish/completions/reportgen.fish.
    """
    click.echo(make_script(shell, context.find_root().command, "reportgen"))
