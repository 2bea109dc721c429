"""Slugs and titles: the file name of a prompt's page and its heading."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from reportgen.records import Comparison, Prompt
from reportgen.records.errors import PromptError, PromptFileError
from reportgen.records.messages import text_of
from reportgen.records.slug import RESERVED_SLUGS

_SLUG_LENGTH = 60
_TITLE_LENGTH = 80


def check_unique(slugs: Iterable[tuple[str, str]]) -> list[tuple[int, str]]:
    """Find duplicate slugs, ignoring case as many file systems do.

    Args:
        slugs: pairs of a slug and a description of where it is used, for the message.

    Returns:
        For each repeated slug its index in ``slugs`` and an error message.
    """
    first: dict[str, str] = {}
    problems = []
    for index, (slug, where) in enumerate(slugs):
        if slug.lower() in first:
            problems.append((index, f"slug {slug!r} is used before, {first[slug.lower()]}; choose another"))
        first.setdefault(slug.lower(), where)
    return problems


def name_pages(prompts: Sequence[Prompt]) -> tuple[Prompt, ...]:
    """Give a slug and a title to every prompt that has none.

    Args:
        prompts: all prompts of a run, from a file or created in Python.

    Returns:
        The prompts in the same order. Slugs and titles that are given are kept. A new slug is derived from the title or
        the text, in lower-case ASCII, with ``-2``, ``-3``, … appended if it is taken; a new title is the start of the
        text. A prompt with several return sequences or continuations becomes one prompt for each, whose slug ends in
        ``-1``, ``-2``, … and whose title says which it is.

    Raises:
        PromptFileError: a given slug is used twice.
    """
    prompts = [one for prompt in prompts for one in _split(prompt)]
    with_slug = [prompt for prompt in prompts if prompt.slug]
    _check_given(with_slug)
    taken = {prompt.slug.lower() for prompt in with_slug} | RESERVED_SLUGS
    counts: dict[str, int] = {}
    named = []
    for number, prompt in enumerate(prompts, 1):
        title = title_of(prompt)
        end = _end_of(prompt)
        slug = prompt.slug or _free(f"{_slug_of(title) or f'prompt-{number}'}{end}", taken, counts)
        title = title or slug
        if end and not prompt.title:
            title += f" ({prompt.generation.return_sequence} of {prompt.generation.num_return_sequences})"
        named.append(prompt.with_name(slug, title))
    return tuple(named)


def name_page(prompt: Prompt) -> Prompt:
    """Give a slug and a title to a prompt that is run alone.

    Raises:
        PromptError: it stands for several pages.
    """
    named, *others = name_pages([prompt])
    if prompt.continuation and others:
        raise PromptError(
            f"{prompt.place.of('continuation')}: {1 + len(others)} continuations make as many pages, and one is "
            "wanted; keep one of them"
        )
    if others:
        count = prompt.generation.num_return_sequences
        raise PromptError(
            f"{prompt.place.of('generation')}: generation.num_return_sequences makes {count} pages, and one is wanted; "
            f"add return_sequence, from 1 to {count}"
        )
    return named


def count_pages(prompt: Prompt) -> int:
    """Return for how many pages a prompt stands: its return sequences, or its continuations."""
    return sum(1 for _ in _split(prompt))


def _split(prompt: Prompt) -> Iterator[Prompt]:
    """Yield a prompt for each return sequence or continuation; the prompt itself if it has no several."""
    if len(prompt.continuation) > 1:
        for number, text in enumerate(prompt.continuation, 1):
            title = shorten(f"{prompt.title}: {text}") if prompt.title else ""
            slug = f"{prompt.slug}-{number}" if prompt.slug else ""
            yield replace(prompt, continuation=(text,), slug=slug, title=title)
        return
    generation = prompt.generation
    if generation.num_return_sequences == 1 or generation.return_sequence is not None:
        yield prompt
        return
    for number in range(1, generation.num_return_sequences + 1):
        one = replace(prompt, generation=replace(generation, return_sequence=number))
        end = _end_of(one)
        title = f"{prompt.title} ({number} of {generation.num_return_sequences})" if prompt.title else ""
        yield replace(one, slug=f"{prompt.slug}{end}" if prompt.slug else "", title=title)


def _end_of(prompt: Prompt) -> str:
    """Return what the slug of one of several return sequences ends in; empty for other prompts."""
    several = prompt.generation.num_return_sequences > 1
    return f"-{prompt.generation.return_sequence}" if several else ""


def name_comparisons(
    comparisons: Sequence[Comparison], prompts: Sequence[Prompt]
) -> tuple[tuple[Comparison, ...], list[tuple[int, str]]]:
    """Give a slug and a title to every comparison that has none, and find invalid comparisons.

    Args:
        comparisons: all comparisons of a run.
        prompts: all prompts of the run, with slugs and titles.

    Returns:
        The comparisons in the same order; and for each comparison that names a missing prompt, or whose slug is already
        used, its index and an error message.
    """
    titles = {prompt.slug: prompt.title for prompt in prompts}
    slugs = [(prompt.slug, f"by the prompt {prompt.title!r}") for prompt in prompts]
    slugs += [(item.slug, f"at {item.place.of('slug')}") for item in comparisons if item.slug]
    owners = [-1] * len(prompts) + [i for i, item in enumerate(comparisons) if item.slug]
    problems = [(owners[i], message) for i, message in check_unique(slugs) if owners[i] >= 0]
    taken = {slug.lower() for slug, _ in slugs} | RESERVED_SLUGS
    counts: dict[str, int] = {}
    named = []
    for i, item in enumerate(comparisons):
        problems += [(i, _advise_slug(slug, titles)) for slug in item.prompts if slug not in titles]
        between = " beside " if len(item.prompts) == 2 else ", "
        title = item.title or shorten(between.join(titles.get(slug, slug) for slug in item.prompts))
        slug = item.slug or _free(_cut("-and-".join(item.prompts), _SLUG_LENGTH, "-").lower(), taken, counts)
        named.append(replace(item, slug=slug, title=title))
    return tuple(named), problems


def _advise_slug(slug: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(slug, known, 1)
    advice = f"did you mean {close[0]!r}?" if close else f"the slugs are {', '.join(known)}"
    return f"compare names {slug!r}, which no prompt has; {advice}"


def _check_given(prompts: Sequence[Prompt]) -> None:
    pairs = [(prompt.slug, f"at {prompt.place.of('slug')}") for prompt in prompts]
    problems = [f"{prompts[index].place.of('slug')}: {message}" for index, message in check_unique(pairs)]
    if problems:
        raise PromptFileError(problems)


def title_of(prompt: Prompt) -> str:
    """Return the title of a prompt, or the start of its text if it has none."""
    return prompt.title or shorten(_main_text(prompt))


def _main_text(prompt: Prompt) -> str:
    """Return the text of a prompt, or the last user message of its chat."""
    if prompt.text or not prompt.messages:
        return "".join((prompt.text, *prompt.continuation[:1]))
    contents = [text_of(message) for message in prompt.messages if message["role"] == "user"]
    return contents[-1] if contents else text_of(prompt.messages[-1])


def shorten(text: str) -> str:
    """Return the start of a text, in one line that fits into a title."""
    line = " ".join(text.lstrip()[: 10 * _TITLE_LENGTH].split())
    return line if len(line) <= _TITLE_LENGTH else f"{_cut(line, _TITLE_LENGTH - 1, ' ')}…"


def _slug_of(title: str) -> str:
    folded = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode("ascii").lower()
    return _cut(re.sub(r"[^a-z0-9]+", "-", folded).strip("-"), _SLUG_LENGTH, "-")


def _cut(text: str, length: int, gap: str) -> str:
    """Cut a text after the last whole word that fits, or inside a word that is longer than ``length``."""
    if len(text) <= length:
        return text
    return text[: length + 1].rpartition(gap)[0] or text[:length]


def _free(base: str, taken: set[str], counts: dict[str, int]) -> str:
    slug = base
    while slug in taken:
        counts[base] = counts.get(base, 1) + 1
        slug = f"{base}-{counts[base]}"
    taken.add(slug)
    return slug
