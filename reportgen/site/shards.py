"""The shards of a run: write the partial report of each, and join the partial reports into one.

A shard writes ``report.2-of-8.json`` instead of ``report.json`` and the index. Shards that wrote to separate folders
can be merged by copying the files into one folder, because no two shards write a file of the same name.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reportgen.pages.cards import Card, FailureCard
from reportgen.pages.templates import GENERATOR
from reportgen.records import Shard
from reportgen.records.errors import SiteError
from reportgen.site.files import write_ours
from reportgen.site.site import Run, Site

_PARTS = "report.*-of-*.json"


@dataclass(frozen=True)
class _Part:
    """The partial report of a shard: like ``report.json``, and each prompt has its position in the whole run."""

    shard: Shard
    keep_earlier: bool
    outcomes: Sequence[Mapping[str, Any]]
    run: Run


def write_part(
    site: Site, shard: Shard, cards: Mapping[int, Card | FailureCard], run: Run, *, keep_earlier: bool
) -> Path:
    """Write the partial report of a shard and return its path.

    Args:
        site: results folder.
        shard: shard that was run.
        cards: cards of pages and failures, by position in the whole run.
        run: counts and times of this shard.
        keep_earlier: whether the index keeps pages of earlier runs.

    Raises:
        SiteError: the report cannot be written, or a file that reportgen did not write is in its place.
    """
    outcomes = site.make_outcomes(list(cards.values()), run)
    report = {
        "generator": GENERATOR,
        "shard": [shard.number, shard.count],
        "keep_earlier": keep_earlier,
        "prompts": [{**outcome, "place": position} for position, outcome in zip(cards, outcomes, strict=True)],
        "run": run.totals,
        "options": run.options,
        "compared": run.compared,
    }
    path = site.root / f"report.{shard.number}-of-{shard.count}.json"
    return write_ours(path, json.dumps(report, ensure_ascii=False, indent=1) + "\n")


def remove_parts(folder: Path, shard: Shard | None = None) -> None:
    """Remove partial reports of earlier runs.

    Args:
        folder: results folder.
        shard: shard that starts; the partial reports of the other shards of its run are kept.

    Raises:
        SiteError: a partial report cannot be read.
    """
    for path in folder.glob(_PARTS):
        other = _read_part(path).shard
        if shard is None or other == shard or other.count != shard.count:
            path.unlink(missing_ok=True)


def join_parts(site: Site) -> list[str] | None:
    """Join the partial reports of a folder's shards into ``report.json``, from which the index is then built.

    If a shard has not finished, pages of earlier runs stay in the index, as after a run that was interrupted.

    Args:
        site: results folder, locked.

    Returns:
        A line for each shard that is missing or incomplete; ``None`` if the folder has no partial reports, in which
        case the report is unchanged.

    Raises:
        SiteError: a partial report cannot be read, or the partial reports are from runs with different numbers of
            shards.
    """
    folder = site.root
    parts = [_read_part(path) for path in sorted(folder.glob(_PARTS))]
    if not parts:
        return None
    if len(counts := {part.shard.count for part in parts}) > 1:
        raise SiteError(f"{folder}: holds shards of {len(counts)} runs; remove the report.*-of-*.json of all but one")
    missing = [*_find_missing(parts)]
    outcomes = _join([outcome for part in parts for outcome in part.outcomes])
    report = site.last_report
    known = {outcome["slug"] for outcome in outcomes}
    if missing or any(part.keep_earlier for part in parts):
        outcomes += [dict(outcome) for outcome in report.outcomes if outcome.get("slug") not in known]
        left_out = [slug for slug in report.left_out if slug not in known]
    else:
        left_out = [slug for slug in site.pages if slug not in known]
    totals = _add_up([part.run.totals for part in parts], outcomes)
    site.write_report(outcomes, left_out, replace(parts[0].run, totals=totals))
    return missing


def _find_missing(parts: Sequence[_Part]) -> Iterable[str]:
    count, by_number = parts[0].shard.count, {part.shard.number: part for part in parts}
    for number in range(1, count + 1):
        if number not in by_number:
            yield f"shard {number}/{count} has not ended"
        elif not_run := by_number[number].run.totals.get("not_run"):
            yield f"shard {number}/{count} was stopped, {not_run} not run"


def _join(outcomes: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one outcome per prompt, in the order of the prompts.

    If several shards report a prompt, the shard that built its page wins, then one that failed, then one that found
    the page up to date.
    """
    joined: dict[str, Mapping[str, Any]] = {}
    for outcome in sorted(outcomes, key=_weigh):
        joined[outcome["slug"]] = outcome
    ordered = sorted(joined.values(), key=lambda outcome: outcome["place"])
    return [{key: value for key, value in outcome.items() if key != "place"} for outcome in ordered]


def _weigh(outcome: Mapping[str, Any]) -> int:
    return 2 * outcome["run"]["built"] + (outcome["status"] == "failed")


def _add_up(totals: Sequence[Mapping[str, Any]], outcomes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    seconds: Counter[str] = Counter()
    for total in totals:
        seconds.update(total["seconds"])
    counts = {name: sum(total[name] for total in totals) for name in ("built", "failed", "not_run")}
    up_to_date = sum(outcome["status"] == "written" for outcome in outcomes) - counts["built"]
    return {**counts, "up_to_date": up_to_date, "seconds": {stage: round(took, 3) for stage, took in seconds.items()}}


def _read_part(path: Path) -> _Part:
    try:
        if path.is_symlink():
            raise ValueError("it is a link")
        if not path.is_file():
            raise ValueError("it is not a file")
        report = json.loads(path.read_text("utf-8"))
        shard = Shard(*map(int, report["shard"]))
        run = Run(report["run"], options=report["options"], compared=report["compared"])
        return _Part(shard, bool(report["keep_earlier"]), report["prompts"], run)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SiteError(f"{path}: cannot be read, {error}; build that shard again") from error
