"""Shell completion: the script for each shell, slugs of the prompt file, names of models.

The shell starts the program again at every press of Tab, so nothing here imports torch. A file that cannot be read
gives no completions, because an error message would appear in the line that the user is typing.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

SHELLS = ("bash", "zsh", "fish")


def make_script(shell: str, command: click.Command, program: str) -> str:
    """Return the shell script that enables completion for a program.

    Args:
        shell: one of ``SHELLS``.
        command: the program's root command.
        program: name of the program on the command line.

    Raises:
        ValueError: click does not support the shell.
    """
    completion = get_completion_class(shell)
    if completion is None:
        raise ValueError(f"unknown shell {shell!r}; choose one of {', '.join(SHELLS)}")
    return completion(command, {}, program, f"_{program.upper()}_COMPLETE").source()


def complete_slugs(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete slugs of the command's prompt file, including slugs of comparisons if the parameter accepts them."""
    from reportgen.prompts.prompt_file import read_prompt_file
    from reportgen.records.errors import ReportgenError

    try:
        file = read_prompt_file(_prompt_file_of(context))
    except ReportgenError:
        return []
    entries = [*file.prompts, *(file.comparisons if parameter.name == "slugs" else ())]
    return _offer(((entry.slug, entry.title) for entry in entries), incomplete)


def complete_models(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete names of bundled models; if none matches, complete files and folders."""
    from reportgen.models.bundled import BUNDLED

    names = _offer(((name, model.title) for name, model in BUNDLED.items()), incomplete)
    return names or complete_files(context, parameter, incomplete)


def complete_files(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete file names."""
    return [CompletionItem(incomplete, type="file")]


def _prompt_file_of(context: click.Context) -> Path:
    """Return the prompt file named on a command line whose last option may not have its value yet.

    Click does not parse the arguments of such a line; they stay in ``context.args``.
    """
    left = (path for path in map(Path, context.args) if path.is_file())
    return next(left, context.params.get("prompts") or Path("prompts.yaml"))


def _offer(names: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name, help=title) for name, title in names if name and name.startswith(incomplete)]
