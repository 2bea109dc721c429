"""The results folder, which can be published without changes."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from reportgen.captures.file import load_key
from reportgen.captures.record import Capture
from reportgen.files import atomic_write, make_folder, remove_leftovers, uncreatable, unwritable
from reportgen.pages.artifacts import Artifacts
from reportgen.pages.assets import BOKEH_FILE, read_bokeh
from reportgen.pages.cards import Card, FailureCard
from reportgen.pages.data_tables import TABLE_NAMES, is_table
from reportgen.pages.heads import PageSummary, make_heads_key, render_heads
from reportgen.pages.index import render_index
from reportgen.pages.links import (
    HEADS_FILE,
    PREVIEWS_FOLDER,
    check_site_url,
    make_heads_link,
    make_index_link,
    make_sitemap,
)
from reportgen.pages.options import PageOptions
from reportgen.pages.templates import GENERATOR
from reportgen.records import EXPORT_FORMATS, Shard
from reportgen.records.errors import OptionError, SiteError
from reportgen.site.files import (
    PageFile,
    SiteReport,
    check_inside,
    check_ours,
    is_bokeh,
    make_inside,
    read_key,
    read_page,
    read_report,
    read_summary,
    remove_ours,
    write_ours,
)
from reportgen.site.lock import lock_site


@dataclass(frozen=True)
class Run:
    """The part of a report that describes the run that wrote it; the rest depends only on the files in the folder.

    Attributes:
        totals: totals of the run, such as the number of pages built and the time in seconds.
        prompts: details by slug of the prompt, such as whether its page was built, and the seconds of each stage.
        options: options of the last build by name, as in ``SiteReport.options``.
        compared: what ``reportgen compare`` has shown side by side, as in ``SiteReport.compared``.
    """

    totals: Mapping[str, Any] = field(default_factory=dict)
    prompts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    compared: Sequence[tuple[str, str, str]] = ()

    @property
    def site_url(self) -> str:
        """URL where the site will be published, as returned by ``check_site_url``; empty if unknown."""
        return str(self.options.get("site_url", ""))

    def at(self, site_url: str) -> Run:
        """Return this run with another URL of the site; an empty one changes nothing."""
        return replace(self, options={**self.options, "site_url": site_url}) if site_url else self


class Site:
    """A results folder. This class defines every path in it, and reads and writes its files.

    Attributes:
        root: path of the folder.
    """

    def __init__(self, root: Path | str) -> None:
        """Store the path of the folder, which need not exist."""
        self.root = Path(root)
        self._locks: ExitStack | None = None  # inside ``lock``
        self._is_locked = False
        self._shard: Shard | None = None
        self._pages: dict[str, PageFile] | None = None
        self._report: SiteReport | None = None
        self._captures: Mapping[str, Path] | None = None  # by numbers key

    @property
    def index(self) -> Path:
        """Path of the index page."""
        return self.root / "index.html"

    @property
    def heads(self) -> Path:
        """Path of the page of all heads, over all prompts."""
        return self.root / HEADS_FILE

    @property
    def report(self) -> Path:
        """Path of the report, which holds the outcome of each prompt of the last run as JSON."""
        return self.root / "report.json"

    @property
    def sitemap(self) -> Path:
        """Path of the sitemap, which is only written if the site's URL is known."""
        return self.root / "sitemap.xml"

    def page(self, slug: str) -> Path:
        """Return the path of the page of a prompt or a comparison."""
        return self.root / f"{slug}.html"

    def tables(self, slug: str) -> Path:
        """Return the path of the folder that holds a page's tables."""
        return self.root / "data" / slug

    def capture(self, slug: str) -> Path:
        """Return the path of the capture of a page."""
        return self.captures / f"{slug}.safetensors"

    @property
    def captures(self) -> Path:
        """Path of the folder that holds captures."""
        return self.root / "captures"

    def preview(self, slug: str) -> Path:
        """Return the path of the preview picture of a page, which link previews show."""
        return self.root / PREVIEWS_FOLDER / f"{slug}.png"

    @contextmanager
    def lock(self, shard: Shard | None = None) -> Iterator[None]:
        """Lock the folder against other runs, as ``lock_site`` does; each page in it is then read only once.

        A folder that does not exist is locked when ``open`` creates it.
        """
        with ExitStack() as self._locks:
            self._shard = shard
            if self._exists():
                self._take_lock()
            try:
                yield
            finally:
                self._locks, self._is_locked = None, False
                self._pages, self._report, self._captures = None, None, None

    def _exists(self) -> bool:
        try:
            return self.root.is_dir()
        except OSError as error:  # such as a name that is too long
            raise uncreatable(self.root, error) from error

    def _take_lock(self) -> None:
        if self._locks is not None and not self._is_locked:
            self._locks.enter_context(lock_site(self.root, self._shard))
            self._is_locked, self._pages, self._report = True, None, None

    def remove_leftovers(self) -> None:
        """Remove temporary files of a run that was killed; no other run may write to the folder meanwhile."""
        remove_leftovers([self.root, self.captures, self.preview("").parent, *self.root.glob("data/*")])

    def open(self, slugs: Iterable[str] = (), options: PageOptions = PageOptions()) -> Site:
        """Create the folder and prepare it for pages.

        Args:
            slugs: slugs of the pages that will be written; their paths are checked now, before any work is done.
            options: how pages are drawn: decides whether BokehJS is written to the folder, and whether a sitemap will
                be.

        Returns:
            This site.

        Raises:
            SiteError: the folder cannot be created or written, or a file that reportgen did not write is in the way.
        """
        make_folder(self.root)
        self._take_lock()
        for path in (self.index, self.heads, self.report, *[self.sitemap] * bool(options.site_url)):
            check_ours(path)
        for slug in slugs:
            self._check_page(slug, options)
        if not os.path.lexists(self.root / ".nojekyll"):  # whatever has this name serves its purpose
            atomic_write(self.root / ".nojekyll", "")
        if options.shared_assets:
            make_inside(self.root, (self.root / BOKEH_FILE).parent)
            check_ours(self.root / BOKEH_FILE, is_bokeh)
            atomic_write(self.root / BOKEH_FILE, read_bokeh())
        return self

    def _check_page(self, slug: str, options: PageOptions) -> None:
        """Check that a page and the files that belong to it overwrite nothing that reportgen did not write."""
        check_ours(self.page(slug))
        if options.keep_captures:
            check_inside(self.root, self.captures)
            check_ours(self.capture(slug))
        if options.site_url:
            check_inside(self.root, self.preview(slug).parent)
            check_ours(self.preview(slug))
        if options.export_data:
            check_inside(self.root, self.tables(slug))
            for name in TABLE_NAMES:
                check_ours(self.tables(slug) / f"{name}.{options.export_data}", is_table)

    def write(self, slug: str, artifacts: Artifacts) -> Path:
        """Write a page and the files that belong to it, and return the path of the page.

        Tables and a capture of an earlier page are removed. The page is written last, so that a page that exists has
        all of its files.

        Raises:
            InTheWay: a file that reportgen did not write is in the place of one of the files.
            SiteError: a file cannot be written.
        """
        with _removing(self.page(slug)):
            _remove_tables(self.tables(slug), keep=artifacts.tables)
            if artifacts.kept is None:
                remove_ours(self.capture(slug))
        if artifacts.tables:
            self.write_tables(slug, artifacts.tables)
        if artifacts.kept is not None:
            self.write_capture(slug, artifacts.kept, artifacts.keys.numbers)
        if artifacts.preview:
            self.write_preview(slug, artifacts.preview)
        return self.write_page(slug, artifacts.html)

    def write_page(self, slug: str, html: str) -> Path:
        """Write one page and return its path.

        Raises:
            InTheWay: a file that reportgen did not write is in its place.
            SiteError: the page cannot be written.
        """
        path = write_ours(self.page(slug), html)
        if self._pages is not None and (page := read_page(path)):
            self._pages[slug] = page
        return path

    def write_tables(self, slug: str, files: Mapping[str, bytes]) -> None:
        """Write the tables of one page to ``data/<slug>/``.

        Args:
            slug: slug of the page.
            files: content of each file, by name: that of a table, with the ending of its format.

        Raises:
            InTheWay: a file that reportgen did not write is in the place of a table.
            SiteError: a table cannot be written.
        """
        data = self.tables(slug)
        make_inside(self.root, data)
        for name in files:
            check_ours(data / name, is_table)
        for name, content in files.items():
            atomic_write(data / name, content)

    def has_tables(self, slug: str, kind: str) -> bool:
        """Return whether all tables that were written with a page exist in a format, ``csv`` or ``parquet``."""
        names = self.pages[slug].keys.tables.split()
        return bool(names) and all((self.tables(slug) / f"{name}.{kind}").is_file() for name in names)

    def find_capture(self, slug: str, numbers_key: str) -> Path | None:
        """Return the capture with a numbers key: that of a page, or of another one if the page was renamed."""
        path = self.capture(slug)
        if path.is_file() and load_key(path) == numbers_key:
            return path
        if self._captures is None:
            self._captures = {load_key(path): path for path in sorted(self.captures.glob("*.safetensors"))}
        return self._captures.get(numbers_key)

    def write_capture(self, slug: str, capture: Capture, key: str = "") -> None:
        """Write the capture of one page to ``captures/<slug>.safetensors``.

        Args:
            slug: slug of the page.
            capture: data of the page.
            key: its numbers key; empty if it is unknown.

        Raises:
            InTheWay: a file that reportgen did not write is in its place.
            SiteError: the capture cannot be written.
        """
        path = self.capture(slug)
        make_inside(self.root, path.parent)
        check_ours(path)
        try:
            capture.save(path, key)
        except OSError as error:
            raise unwritable(path, error) from error

    def write_preview(self, slug: str, picture: bytes) -> None:
        """Write the preview picture of a page to ``previews/<slug>.png``.

        Args:
            slug: slug of the page.
            picture: content of the PNG file.

        Raises:
            InTheWay: a file that reportgen did not write is in its place.
            SiteError: the picture cannot be written.
        """
        path = self.preview(slug)
        make_inside(self.root, path.parent)
        check_ours(path)
        atomic_write(path, picture)

    def has_preview(self, slug: str) -> bool:
        """Return whether the preview picture of a page exists."""
        return self.preview(slug).is_file()

    @property
    def pages(self) -> Mapping[str, PageFile]:
        """The pages in the folder by slug, sorted by file name.

        Raises:
            SiteError: a file in the folder cannot be read.
        """
        pages = self._pages
        if pages is None:
            paths = sorted(self.root.glob("*.html"))
            pages = {path.stem: page for path in paths if (page := read_page(path))}
            self._pages = pages if self._is_locked else None  # without the lock, another run may change the folder
        return pages

    @property
    def last_report(self) -> SiteReport:
        """The report of the last run.

        Raises:
            SiteError: it cannot be read.
        """
        report = self._report or read_report(self.report)
        self._report = report if self._is_locked else None
        return report

    def find_current(self, slug: str, key: str, options: PageOptions) -> Card | None:
        """Return the card of a page that is up to date, or ``None``.

        Args:
            slug: slug of the page.
            key: key that the page must have; the page must also be complete.
            options: which files must be next to the page.
        """
        page = self.pages.get(slug)
        if page is None or not key or page.keys.page != key or not page.is_whole or isinstance(page.card, str):
            return None
        if options.export_data and not self.has_tables(slug, options.export_data):
            return None
        if options.keep_captures and load_key(self.capture(slug)) != page.keys.numbers:
            return None
        return page.card if not options.site_url or self.has_preview(slug) else None

    def find_stale(self) -> list[tuple[str, list[str]]]:
        """Return the comparisons that show an earlier run of a prompt, each with the slugs of these prompts."""
        pages = self.pages
        sides = [(slug, page.keys.sides) for slug, page in pages.items()]
        changed = [
            (slug, [side for side, key in keys.items() if side in pages and pages[side].keys.numbers != key])
            for slug, keys in sides
        ]
        return [(slug, others) for slug, others in changed if others]

    def prune(self, slugs: Iterable[str]) -> list[Path]:
        """Remove pages with their tables, captures and previews, and return the paths of the pages.

        Files that reportgen did not write are kept.

        Raises:
            SiteError: a file cannot be removed.
        """
        removed = []
        for slug in slugs:
            path = self.page(slug)
            if not read_page(path):
                continue
            with _removing(path):
                path.unlink()
                _remove_tables(self.tables(slug))
                remove_ours(self.capture(slug))
                remove_ours(self.preview(slug))
            removed.append(path)
        self._pages = None
        return removed

    def write_index(
        self, cards: Sequence[Card | FailureCard], left_out: Sequence[str] = (), run: Run | None = None
    ) -> Path:
        """Write ``index.html``, ``heads.html`` and ``report.json``, and return the path of the index.

        If the site's URL is known, ``sitemap.xml`` is written too.

        Args:
            cards: cards of pages and failures, in the order in which the index shows them.
            left_out: slugs of pages that are in the folder but not among the cards; ``read_cards`` leaves them out
                too.
            run: counts and times of this run; ``None`` keeps those in the report of the last run.

        Raises:
            SiteError: a file cannot be written.
        """
        run = run or self.read_run()
        self.write_report(self.make_outcomes(cards, run), left_out, run)
        path = self.index
        pages = [card for card in cards if isinstance(card, Card)]
        pictured = next((card.slug for card in pages if run.site_url and self.has_preview(card.slug)), "")
        self._write_heads(pages, run.site_url)
        atomic_write(path, render_index(cards, make_index_link(run.site_url, pictured)))
        _write_sitemap(self.sitemap, run.site_url, pages)
        return path

    def _write_heads(self, cards: Sequence[Card], site_url: str) -> None:
        """Write ``heads.html``, unless it is there and no page has changed since; then no summary is read."""
        pages, link = self.pages, make_heads_link(site_url)
        made_from = [(card, pages[card.slug].keys.page) for card in cards if card.slug in pages]
        key = make_heads_key(made_from, link)
        if not key or read_key(self.heads) != key:
            atomic_write(self.heads, render_heads([*self.read_summaries(cards)], link, key))

    def write_report(self, outcomes: Sequence[Mapping[str, Any]], left_out: Sequence[str], run: Run) -> None:
        """Write ``report.json``.

        Args:
            outcomes: outcome of each prompt, as returned by ``make_outcomes``.
            left_out: slugs of pages that are in the folder but not in the index.
            run: the run to describe; the outcomes already hold its details of the prompts.

        Raises:
            SiteError: the report cannot be written.
        """
        report = {"generator": GENERATOR, "prompts": outcomes, "left_out": list(left_out), "run": run.totals}
        report |= {"options": run.options, "compared": run.compared}
        atomic_write(self.report, json.dumps(report, ensure_ascii=False, indent=1) + "\n")
        self._report = None

    def make_outcomes(self, cards: Sequence[Card | FailureCard], run: Run) -> list[dict[str, Any]]:
        """Return the outcome of each prompt, as stored in ``report.json``."""
        keys = {slug: page.keys.page for slug, page in self.pages.items()}
        return [{**_describe_card(card, keys.get(card.slug, "")), "run": run.prompts.get(card.slug)} for card in cards]

    def read_cards(self) -> list[Card | FailureCard]:
        """Return the cards of existing pages: those of the last run in its order, then the others by name.

        Pages that the last run left out of the index are not included. A prompt that failed in the last run gives a
        failure card, unless its page has been built since.

        Raises:
            SiteError: the folder does not exist, or a page or the report in it cannot be read.
        """
        if not self._exists():
            raise SiteError(f"{self.root}: is not a folder; name the folder that reportgen build wrote")
        pages = dict(self.pages)
        for slug in self.last_report.left_out:
            pages.pop(slug, None)
        unseen = {slug: page.get_card() for slug, page in pages.items()}
        cards: list[Card | FailureCard] = []
        for outcome in self.last_report.outcomes:
            slug = str(outcome.get("slug", ""))
            card = unseen.pop(slug, None)
            if card and not _is_earlier(outcome, pages[slug].keys.page):
                cards.append(card)
            elif outcome.get("status") == "failed":
                texts = (str(outcome.get(key, "")) for key in ("title", "model", "error"))
                cards.append(FailureCard(slug, *texts, earlier_page=card.href if card else ""))
        return [*cards, *unseen.values()]

    def read_summaries(self, cards: Iterable[Card | FailureCard]) -> Iterator[PageSummary]:
        """Yield the summary of the heads of each page among some cards; comparisons have none.

        Raises:
            SiteError: a page cannot be read.
        """
        pages = self.pages
        for card in cards:
            if isinstance(card, Card) and card.slug in pages and (summary := read_summary(pages[card.slug].path)):
                yield PageSummary(card.slug, card.title, card.tags, summary)

    def read_left_out(self) -> list[str]:
        """Return the slugs of existing pages that the last run left out of the index.

        Raises:
            SiteError: the report of the last run cannot be read.
        """
        pages = self.pages
        return [slug for slug in self.last_report.left_out if slug in pages]

    def read_run(self) -> Run:
        """Return the counts and times of the run that wrote the report; empty if the report cannot be read."""
        try:
            report = self.last_report
            runs = {outcome["slug"]: outcome["run"] for outcome in report.outcomes}
            options = {**report.options, "site_url": check_site_url(str(report.options.get("site_url", "")))}
            return Run(report.totals, runs, options if options["site_url"] else report.options, report.compared)
        except (SiteError, KeyError, OptionError):
            return Run()


def _is_earlier(outcome: Mapping[str, Any], key: str) -> bool:
    """Return whether the page of a failed prompt, which has this key, is still the page from before the failure."""
    return outcome.get("status") == "failed" and bool(outcome.get("earlier_page")) and outcome.get("key", "") == key


def _describe_card(card: Card | FailureCard, key: str) -> dict[str, Any]:
    same = {"slug": card.slug, "title": card.title, "model": card.model}
    if isinstance(card, Card):
        claims = [asdict(claim) for claim in card.claims]
        return {**same, "status": "written", "page": card.href, "key": key, **({"claims": claims} if claims else {})}
    return {**same, "status": "failed", "error": card.error, "earlier_page": card.earlier_page, "key": key}


@contextmanager
def _removing(path: Path) -> Iterator[None]:
    """Turn an error while files of a page are removed into one that names a file."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise SiteError(f"{where}: cannot be removed, {error.strerror}; remove it by hand") from error


def _remove_tables(folder: Path, keep: Collection[str] = ()) -> None:
    """Remove the tables in a folder except those with the given names."""
    if folder.is_symlink() or folder.parent.is_symlink() or not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.stem in TABLE_NAMES and path.suffix[1:] in EXPORT_FORMATS and path.name not in keep:
            remove_ours(path, is_table)
    with suppress(OSError):  # the folder holds files that reportgen did not write
        folder.rmdir()
        folder.parent.rmdir()


def _write_sitemap(path: Path, site_url: str, pages: Iterable[Card]) -> None:
    """Write the sitemap; if the site's URL is unknown, remove the sitemap of an earlier run."""
    if site_url:
        check_ours(path)
        atomic_write(path, make_sitemap(site_url, (page.href for page in pages)))
        return
    with _removing(path):
        remove_ours(path)
