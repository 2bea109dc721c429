"""How a published page is linked to: its address, and what search engines and the cards of links show of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from reportgen.pages.templates import GENERATOR
from reportgen.records.errors import OptionError

PREVIEW_SIZE = (1200, 630)
"""Width and height of a preview, in pixels, as Open Graph's readers show it uncut."""
PREVIEWS_FOLDER = "previews"
_DESCRIPTION = 200
_MOST_ADDRESSES = 50_000
"""A sitemap with more is not read."""


@dataclass(frozen=True)
class Link:
    """What the head of a published page says of it.

    Attributes:
        url: its one address, whatever others lead to it.
        title: its name, alone.
        description: a line of text.
        picture: address of its preview; empty where there is none.
        kind: what Open Graph calls it, ``article`` or ``website``.
    """

    url: str
    title: str
    description: str
    picture: str
    kind: str = "article"
    picture_size: tuple[int, int] = PREVIEW_SIZE


def key_at(key: str, site_url: str) -> str:
    """Return the key of a page that says where it will be published.

    It is made of the key of the same page without that, so that a page is made again for another address from its
    capture alone.

    Args:
        key: as ``build.cache_key`` makes it.
        site_url: as ``check_site_url`` returns it; empty leaves the key as it is.
    """
    return hashlib.sha256(f"{key} {site_url}".encode()).hexdigest() if key and site_url else key


def check_site_url(url: str) -> str:
    """Return the address of a site as others are appended to it; the empty text for none.

    Args:
        url: where the folder will be published, such as ``https://ada.github.io/heads/``.

    Raises:
        OptionError: it is no web address of a folder.
    """
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise _wrong(url, f"is no address: {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise _wrong(url, "is no web address")
    if any(character.isspace() or not character.isprintable() or character in '"<>\\^`{|}' for character in url):
        raise _wrong(url, "holds characters that no address has")
    if parts.username is not None or parts.query or parts.fragment or url.endswith(("?", "#")):
        raise _wrong(url, "holds more than a site and a folder")
    if parts.path.endswith((".html", ".htm")):
        raise _wrong(url, "is a page")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}/"


def _wrong(url: str, what: str) -> OptionError:
    return OptionError(
        "--site-url", f"{url!r} {what}; write the address of the folder, such as https://name.github.io/project/"
    )


def make_link(site_url: str, slug: str, title: str, description: str) -> Link | None:
    """Return what a page says of itself; ``None`` where it is not known where it will be published.

    Args:
        site_url: as ``check_site_url`` returns it.
        slug: of the page.
        title: of the page.
        description: cut after 200 characters, white space as spaces.
    """
    if not site_url:
        return None
    line = " ".join(description.split())
    short = line if len(line) <= _DESCRIPTION else f"{line[: _DESCRIPTION - 1]}…"
    return Link(f"{site_url}{slug}.html", title, short, f"{site_url}{PREVIEWS_FOLDER}/{slug}.png")


def make_index_link(site_url: str, pictured: str) -> Link | None:
    """Return what the index says of itself; ``None`` where it is not known where it will be published.

    Args:
        site_url: as ``check_site_url`` returns it.
        pictured: slug of the page whose preview stands for the site; empty for none.
    """
    if not site_url:
        return None
    picture = f"{site_url}{PREVIEWS_FOLDER}/{pictured}.png" if pictured else ""
    description = "Which token each head of a language model attends to: one page per prompt."
    return Link(site_url, "Attention reports", description, picture, "website")


def make_sitemap(site_url: str, pages: Iterable[str]) -> str:
    """Return a list of a site's addresses for search engines: the index, then pages, 50,000 in all at most.

    Args:
        site_url: as ``check_site_url`` returns it.
        pages: addresses relative to it.

    Returns:
        A sitemap (sitemaps.org, version 0.9). It has no dates, so that the same pages give the same text.
    """
    addresses = [site_url, *(f"{site_url}{page}" for page in pages)][:_MOST_ADDRESSES]
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            f"<!-- {GENERATOR} -->",
            '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">',
            *(f"<url><loc>{escape(address)}</loc></url>" for address in addresses),
            "</urlset>\n",
        ]
    )
