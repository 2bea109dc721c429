"""What a shell offers when Tab is pressed: its script, slugs of the prompt file, names of models.

A shell runs the program anew for each Tab, so nothing here imports torch. A file that cannot be read offers nothing: an
error would be written into the line that is being typed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

SHELLS = ("bash", "zsh", "fish")


def make_script(shell: str, command: click.Command, program: str) -> str:
    """Return the script that teaches a shell to complete a program's command line.

    Args:
        shell: one of ``SHELLS``.
        command: what the program runs.
        program: its name, as it is typed.

    Raises:
        ValueError: Click knows no such shell.
    """
    found = get_completion_class(shell)
    if found is None:
        raise ValueError(f"no shell {shell!r}; there are {', '.join(SHELLS)}")
    return found(command, {}, program, f"_{program.upper()}_COMPLETE").source()


def complete_slugs(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the slugs of the prompt file that the command names, those of comparisons where they may be asked for."""
    from reportgen.prompts.prompt_file import read_prompt_file
    from reportgen.records.errors import ReportgenError

    try:
        file = read_prompt_file(_prompt_file_of(context))
    except ReportgenError:
        return []
    entries = [*file.prompts, *(file.comparisons if parameter.name == "slugs" else ())]
    return _offer(((entry.slug, entry.title) for entry in entries), incomplete)


def complete_models(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the embedded models, and files and folders where a name may be one."""
    from reportgen.models.bundled import BUNDLED

    found = _offer(((name, model.title) for name, model in BUNDLED.items()), incomplete)
    return found or complete_files(context, parameter, incomplete)


def complete_files(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Leave it to the shell, which knows its files."""
    return [CompletionItem(incomplete, type="file")]


def _prompt_file_of(context: click.Context) -> Path:
    """Return the prompt file of a command line that may end with an option that still lacks its value.

    Click leaves the arguments of such a line where they are.
    """
    left = (path for path in map(Path, context.args) if path.is_file())
    return next(left, context.params.get("prompts") or Path("prompts.yaml"))


def _offer(names: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name, help=told) for name, told in names if name and name.startswith(incomplete)]
