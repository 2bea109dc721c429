"""The shares of a run: what each leaves beside its pages, and how these are joined into one report.

A share writes ``report.2-of-8.json`` instead of ``report.json`` and the index. Shares that wrote into folders of their
own are put into one by copying: no two of them write a file of the same name.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reportgen.errors import SiteError
from reportgen.pages.cards import Card, FailureCard
from reportgen.pages.templates import GENERATOR
from reportgen.records import Share
from reportgen.site import REPORT_FILE, Run, find_pages, make_outcomes, read_report, write_ours, write_report

_PARTS = "report.*-of-*.json"


@dataclass(frozen=True)
class _Part:
    """What a share says of its run: as ``report.json``, each prompt with its place in the whole run."""

    share: Share
    keep_earlier: bool
    outcomes: Sequence[Mapping[str, Any]]
    totals: Mapping[str, Any]
    site_url: str


def write_part(
    folder: Path, share: Share, cards: Mapping[int, Card | FailureCard], run: Run, *, keep_earlier: bool
) -> Path:
    """Write what became of the prompts of a share, and return the path.

    Args:
        folder: the site.
        share: which.
        cards: pages and failures, by place in the whole run.
        run: what the report says of this share.
        keep_earlier: whether the index shall keep pages of earlier runs.

    Raises:
        SiteError: it cannot be written, or a file that reportgen did not make is in its place.
    """
    outcomes = make_outcomes(folder, list(cards.values()), run)
    report = {
        "generator": GENERATOR,
        "share": [share.number, share.count],
        "keep_earlier": keep_earlier,
        "prompts": [{**outcome, "place": place} for place, outcome in zip(cards, outcomes, strict=True)],
        "run": run.totals,
        "site_url": run.site_url,
    }
    path = folder / f"report.{share.number}-of-{share.count}.json"
    return write_ours(path, json.dumps(report, ensure_ascii=False, indent=1) + "\n")


def remove_parts(folder: Path, share: Share | None = None) -> None:
    """Remove what the shares of an earlier run left.

    Args:
        folder: the site.
        share: the one that begins; the others of its run keep theirs.

    Raises:
        SiteError: one cannot be read.
    """
    for path in folder.glob(_PARTS):
        other = _read_part(path).share
        if share is None or other == share or other.count != share.count:
            path.unlink(missing_ok=True)


def join_parts(folder: Path) -> list[str] | None:
    """Make the report of a folder from what its shares left; the index is then made from it.

    Where a share has not ended, earlier pages stay in the index, as they do after a run that was stopped.

    Returns:
        What is missing, a line each; ``None`` where there are no shares, and the report is as it was.

    Raises:
        SiteError: what a share left cannot be read, or is of a run of another number of shares.
    """
    parts = [_read_part(path) for path in sorted(folder.glob(_PARTS))]
    if not parts:
        return None
    if len(counts := {part.share.count for part in parts}) > 1:
        raise SiteError(f"{folder}: holds shares of {len(counts)} runs; remove the report.*-of-*.json of all but one")
    missing = [*_find_missing(parts)]
    outcomes = _join([outcome for part in parts for outcome in part.outcomes])
    earlier, left_out = read_report(folder / REPORT_FILE)
    known = {outcome["slug"] for outcome in outcomes}
    if missing or any(part.keep_earlier for part in parts):
        outcomes += [outcome for outcome in earlier if outcome.get("slug") not in known]
        left_out = [slug for slug in left_out if slug not in known]
    else:
        left_out = [slug for slug in find_pages(folder) if slug not in known]
    write_report(folder, outcomes, left_out, _add_up([part.totals for part in parts], outcomes), parts[0].site_url)
    return missing


def _find_missing(parts: Sequence[_Part]) -> Iterable[str]:
    count, there = parts[0].share.count, {part.share.number: part for part in parts}
    for number in range(1, count + 1):
        if number not in there:
            yield f"share {number}/{count} has not ended"
        elif not_run := there[number].totals.get("not_run"):
            yield f"share {number}/{count} was stopped, {not_run} not run"


def _join(outcomes: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Put what shares say into the order of the prompts; who made a page knows more than who failed to, or saw it."""
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
        report = json.loads(path.read_text("utf-8"))
        share = Share(*map(int, report["share"]))
        return _Part(share, bool(report["keep_earlier"]), report["prompts"], report["run"], report["site_url"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SiteError(f"{path}: cannot be read, {error}; build that share again") from error
