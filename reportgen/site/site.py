"""The results folder, which is published as it is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reportgen.captures.file import save_capture
from reportgen.captures.record import Capture
from reportgen.files import atomic_write, make_folder, remove_leftovers, unwritable
from reportgen.pages.artifacts import Artifacts
from reportgen.pages.assets import BOKEH_FILE, read_bokeh
from reportgen.pages.cards import Card, FailureCard
from reportgen.pages.data_tables import TABLE_NAMES
from reportgen.pages.index import render_index
from reportgen.pages.links import PREVIEWS_FOLDER, check_site_url, make_index_link, make_sitemap
from reportgen.pages.templates import GENERATOR
from reportgen.records import EXPORT_FORMATS, Shard
from reportgen.records.errors import OptionError, SiteError
from reportgen.site.files import (
    check_ours,
    is_page,
    is_whole,
    make_inside,
    read_card,
    read_key,
    read_report,
    remove_ours,
    write_ours,
)
from reportgen.site.lock import lock_site


@dataclass(frozen=True)
class Run:
    """What a report says of the run that wrote it; everything else in it depends on the folder alone.

    Attributes:
        totals: of the whole run, such as how many pages were built, and in how many seconds.
        prompts: of each prompt by its slug, such as whether its page was built, and the seconds of each stage.
        site_url: where the site will be published, as ``check_site_url`` returns it; empty where that is not known.
    """

    totals: Mapping[str, Any]
    prompts: Mapping[str, Mapping[str, Any]]
    site_url: str = ""


class Site:
    """A results folder: every path in it is spelled here, and all that is read and written there goes through it.

    Attributes:
        root: the folder.
    """

    def __init__(self, root: Path | str) -> None:
        """Name a folder, which need not be there."""
        self.root = Path(root)

    @property
    def index(self) -> Path:
        """The first page."""
        return self.root / "index.html"

    @property
    def report(self) -> Path:
        """What became of each prompt of the last run, for programs."""
        return self.root / "report.json"

    @property
    def sitemap(self) -> Path:
        """The list of pages for search engines, where it is known where the site will be published."""
        return self.root / "sitemap.xml"

    def page(self, slug: str) -> Path:
        """Return where the page of a prompt or a comparison is."""
        return self.root / f"{slug}.html"

    def tables(self, slug: str) -> Path:
        """Return the folder of a page's tables."""
        return self.root / "data" / slug

    def capture(self, slug: str) -> Path:
        """Return where the capture of a page is kept."""
        return self.captures / f"{slug}.safetensors"

    @property
    def captures(self) -> Path:
        """The folder of kept captures."""
        return self.root / "captures"

    def preview(self, slug: str) -> Path:
        """Return where the picture is that stands for a page in cards of links."""
        return self.root / PREVIEWS_FOLDER / f"{slug}.png"

    def lock(self, shard: Shard | None = None) -> AbstractContextManager[Path]:
        """Keep other runs out, as ``lock_site`` does."""
        return lock_site(self.root, shard)

    def remove_leftovers(self) -> None:
        """Remove what a killed run left of files that it was at; nobody else may write there meanwhile."""
        remove_leftovers([self.root, self.captures, self.preview("").parent, *self.root.glob("data/*")])

    def open(self, slugs: Iterable[str] = (), *, shared_assets: bool = False, site_url: str = "") -> Site:
        """Make the folder ready for pages.

        Args:
            slugs: the pages that will be written, so that a file in their place is found before any work is done.
            shared_assets: put BokehJS beside the pages.
            site_url: where the site will be published, which takes more files.

        Returns:
            The site.

        Raises:
            SiteError: the folder cannot be made or written, or a file that reportgen did not make is in the way.
        """
        make_folder(self.root)
        for path in (self.index, self.report, *[self.sitemap] * bool(site_url), *map(self.page, slugs)):
            check_ours(path)
        atomic_write(self.root / ".nojekyll", "")
        if shared_assets:
            make_inside(self.root, (self.root / BOKEH_FILE).parent)
            atomic_write(self.root / BOKEH_FILE, read_bokeh())
        return self

    def write(self, slug: str, artifacts: Artifacts) -> Path:
        """Write a page and what belongs to it, the page last: one that is there has all that belongs to it.

        Raises:
            InTheWay: something that reportgen did not make stands in the place of a file.
            SiteError: a file cannot be written.
        """
        if artifacts.tables:
            self.write_tables(slug, artifacts.tables)
        if artifacts.kept is not None:
            self.write_capture(slug, artifacts.kept, artifacts.key)
        if artifacts.preview:
            self.write_preview(slug, artifacts.preview)
        return self.write_page(slug, artifacts.html)

    def write_page(self, slug: str, html: str) -> Path:
        """Write one page and return its path.

        Raises:
            InTheWay: something that reportgen did not make has come into its place meanwhile.
            SiteError: it cannot be written.
        """
        return write_ours(self.page(slug), html)

    def write_tables(self, slug: str, files: Mapping[str, bytes]) -> None:
        """Write the tables of one page to ``data/<slug>/``.

        Args:
            slug: of the page.
            files: content by name.

        Raises:
            SiteError: they cannot be written.
        """
        data = self.tables(slug)
        make_inside(self.root, data)
        for name, content in files.items():
            atomic_write(data / name, content)

    def has_tables(self, slug: str, kind: str) -> bool:
        """Say whether tables of a format stand beside a page."""
        return any((self.tables(slug) / f"{name}.{kind}").is_file() for name in TABLE_NAMES)

    def has_capture(self, slug: str) -> bool:
        """Say whether the capture of a page stands beside it."""
        return self.capture(slug).is_file()

    def write_capture(self, slug: str, capture: Capture, key: str = "") -> None:
        """Write the capture of one page to ``captures/<slug>.safetensors``.

        Args:
            slug: of the page.
            capture: what the page shows.
            key: what the page says that it was made from; empty where it says nothing.

        Raises:
            SiteError: it cannot be written.
        """
        path = self.capture(slug)
        make_inside(self.root, path.parent)
        try:
            save_capture(capture, path, key)
        except OSError as error:
            raise unwritable(path, error) from error

    def write_preview(self, slug: str, picture: bytes) -> None:
        """Write the picture that stands for a page in cards of links to ``previews/<slug>.png``.

        Raises:
            InTheWay: something that reportgen did not make stands there.
            SiteError: it cannot be written.
        """
        path = self.preview(slug)
        make_inside(self.root, path.parent)
        check_ours(path)
        atomic_write(path, picture)

    def has_preview(self, slug: str) -> bool:
        """Say whether the preview of a page stands beside it."""
        return self.preview(slug).is_file()

    def find_pages(self) -> list[str]:
        """Return the slugs of all pages in the folder, by name.

        Raises:
            SiteError: a file in it cannot be read.
        """
        return [path.stem for path in sorted(self.root.glob("*.html")) if is_page(path)]

    def find_current(self, slug: str, keys: set[str]) -> Card | None:
        """Return the card of a page that need not be made again, or ``None``.

        Args:
            slug: of the page.
            keys: one of them must be the page's, and the page must be whole.
        """
        path = self.page(slug)
        try:
            if path.is_symlink() or not path.is_file() or read_key(path) not in keys or not is_whole(path):
                return None
            return read_card(path)
        except (OSError, SiteError):  # it is made again, which says what is wrong
            return None

    def prune(self, slugs: Iterable[str]) -> list[Path]:
        """Remove pages, with the tables and captures beside them, and return their paths; what is not ours stays.

        Raises:
            SiteError: one cannot be removed.
        """
        removed = []
        for slug in slugs:
            path = self.page(slug)
            if path.is_symlink() or not is_page(path):
                continue
            try:
                path.unlink()
                _remove_tables(self.tables(slug))
                _remove_capture(self.capture(slug))
                remove_ours(self.preview(slug))
            except OSError as error:
                raise SiteError(f"{path}: cannot be removed, {error.strerror}; remove it by hand") from error
            removed.append(path)
        return removed

    def write_index(
        self, cards: Sequence[Card | FailureCard], left_out: Sequence[str] = (), run: Run | None = None
    ) -> Path:
        """Write ``index.html`` and ``report.json``, what became of each prompt, and return the path of the index.

        Where it is known where the site will be published, ``sitemap.xml`` lists the pages for search engines.

        Args:
            cards: pages and failures, in the order in which the index shows them.
            left_out: slugs of pages that are in the folder and not among the cards; ``read_cards``
                leaves them out too.
            run: what the report says of this run; without it, what it said of the last one.

        Raises:
            SiteError: they cannot be written.
        """
        run = run or self.read_run()
        self.write_report(self.make_outcomes(cards, run), left_out, run.totals, run.site_url)
        path = self.index
        pages = [card for card in cards if isinstance(card, Card)]
        pictured = next((card.slug for card in pages if run.site_url and self.has_preview(card.slug)), "")
        atomic_write(path, render_index(cards, make_index_link(run.site_url, pictured)))
        _write_sitemap(self.sitemap, run.site_url, pages)
        return path

    def write_report(
        self,
        outcomes: Sequence[Mapping[str, Any]],
        left_out: Sequence[str],
        totals: Mapping[str, Any],
        site_url: str = "",
    ) -> None:
        """Write ``report.json``; arguments are those of ``write_index``, as ``make_outcomes`` and a run give them."""
        report = {"generator": GENERATOR, "prompts": outcomes, "left_out": list(left_out), "run": totals}
        report |= {"site_url": site_url} if site_url else {}
        atomic_write(self.report, json.dumps(report, ensure_ascii=False, indent=1) + "\n")

    def make_outcomes(self, cards: Sequence[Card | FailureCard], run: Run) -> list[dict[str, Any]]:
        """Return what a report says of each prompt."""
        return [{**self._describe_card(card), "run": run.prompts.get(card.slug)} for card in cards]

    def _describe_card(self, card: Card | FailureCard) -> dict[str, Any]:
        key = read_key(self.page(card.slug))
        same = {"slug": card.slug, "title": card.title, "model": card.model}
        if isinstance(card, Card):
            return {**same, "status": "written", "page": card.href, "key": key}
        return {**same, "status": "failed", "error": card.error, "earlier_page": card.earlier_page, "key": key}

    def read_cards(self) -> list[Card | FailureCard]:
        """Return the cards of the pages that are there, those of the last run first, in its order, then by name.

        Pages that the last run left out of the index stay out. Failures of the last run are kept where no page has
        their slug.

        Raises:
            SiteError: there is no such folder, or a page or the report of the last run in it cannot be read.
        """
        if not self.root.is_dir():
            raise SiteError(f"{self.root}: is not a folder; name the folder that reportgen build wrote")
        left_out = self.read_left_out()
        paths = [self.page(slug) for slug in self.find_pages() if slug not in left_out]
        pages = {card.slug: card for card in map(read_card, paths)}
        cards: list[Card | FailureCard] = []
        for outcome in read_report(self.report)[0]:
            slug = str(outcome.get("slug", ""))
            page = pages.pop(slug, None)
            if page and not self._is_earlier(outcome):
                cards.append(page)
            elif outcome.get("status") == "failed":
                texts = (str(outcome.get(key, "")) for key in ("title", "model", "error"))
                cards.append(FailureCard(slug, *texts, earlier_page=page.href if page else ""))
        return [*cards, *pages.values()]

    def _is_earlier(self, outcome: Mapping[str, Any]) -> bool:
        """Say whether the page of a prompt that failed is still the one that was there before."""
        if outcome.get("status") != "failed" or not outcome.get("earlier_page"):
            return False
        return outcome.get("key", "") == read_key(self.page(outcome["slug"]))

    def read_left_out(self) -> list[str]:
        """Return the slugs of the pages that the last run left out of the index.

        Raises:
            SiteError: the report of the last run cannot be read.
        """
        return [slug for slug in read_report(self.report)[1] if self.page(slug).is_file()]

    def read_run(self) -> Run:
        """Return what the report says of the run that wrote it, as far as it can be read."""
        try:
            report = json.loads((self.report).read_text("utf-8"))
            prompts = {outcome["slug"]: outcome["run"] for outcome in report["prompts"]}
            return Run(report["run"], prompts, check_site_url(report.get("site_url", "")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OptionError):
            return Run({}, {})


def _remove_tables(folder: Path) -> None:
    if folder.is_symlink() or folder.parent.is_symlink() or not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.stem in TABLE_NAMES and path.suffix[1:] in EXPORT_FORMATS:
            path.unlink()
    with suppress(OSError):  # somebody else's files are in them
        folder.rmdir()
        folder.parent.rmdir()


def _remove_capture(path: Path) -> None:
    if not path.parent.is_symlink():
        path.unlink(missing_ok=True)


def _write_sitemap(path: Path, site_url: str, pages: Iterable[Card]) -> None:
    """List the pages; one that an earlier run wrote goes where it is no longer known where they will be."""
    if site_url:
        check_ours(path)
        atomic_write(path, make_sitemap(site_url, (page.href for page in pages)))
        return
    try:
        remove_ours(path)
    except OSError as error:
        raise SiteError(f"{path}: cannot be removed, {error.strerror}; remove it by hand") from error
