"""Link metadata of published pages: canonical URLs, link previews and the sitemap."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from reportgen.pages.templates import GENERATOR
from reportgen.records.errors import OptionError

PREVIEW_SIZE = (1200, 630)
"""Width and height of a preview in pixels; sites that read Open Graph tags show this size without cropping."""
PREVIEWS_FOLDER = "previews"
HEADS_FILE = "heads.html"
"""Name of the page of all heads of a site."""
_DESCRIPTION = 200
_MOST_ADDRESSES = 50_000
"""Maximum number of URLs in a sitemap; search engines do not read a longer one."""


@dataclass(frozen=True)
class Link:
    """Link metadata in the head of a published page.

    Attributes:
        url: canonical URL of the page.
        title: title of the page.
        description: one line of text.
        picture: URL of the preview picture; empty if there is none.
        picture_alt: description of the picture for readers who do not see it.
        kind: Open Graph type, ``article`` or ``website``.
        picture_size: width and height of the preview picture in pixels.
    """

    url: str
    title: str
    description: str
    picture: str
    picture_alt: str
    kind: str = "article"
    picture_size: tuple[int, int] = PREVIEW_SIZE


def check_site_url(url: str) -> str:
    """Check the URL of a site and return it with a slash at its end; an empty text is returned unchanged.

    Args:
        url: URL where the folder will be published, such as ``https://ada.github.io/heads/``.

    Raises:
        OptionError: it is not an HTTP or HTTPS URL of a folder.
    """
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise _wrong(url, f"is not a valid URL: {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise _wrong(url, "is not a web address")
    if any(character.isspace() or not character.isprintable() or character in '"<>\\^`{|}' for character in url):
        raise _wrong(url, "contains characters that a URL cannot have")
    if parts.username is not None or parts.query or parts.fragment or url.endswith(("?", "#")):
        raise _wrong(url, "contains more than a site and a folder")
    if parts.path.endswith((".html", ".htm")):
        raise _wrong(url, "is the URL of a page")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}/"


def _wrong(url: str, what: str) -> OptionError:
    return OptionError(
        "--site-url", f"{url!r} {what}; write the URL of the folder, such as https://name.github.io/project/"
    )


def make_link(site_url: str, slug: str, title: str, description: str) -> Link | None:
    """Return the link metadata of a page; ``None`` if the site's URL is unknown.

    Args:
        site_url: URL of the site, as returned by ``check_site_url``.
        slug: slug of the page.
        title: title of the page.
        description: description of the page; white space is collapsed, and the text is cut to 200 characters.
    """
    if not site_url:
        return None
    line = " ".join(description.split())
    short = line if len(line) <= _DESCRIPTION else f"{line[: _DESCRIPTION - 1]}…"
    return Link(f"{site_url}{slug}.html", title, short, f"{site_url}{PREVIEWS_FOLDER}/{slug}.png", _describe(title))


def make_index_link(site_url: str, pictured: str) -> Link | None:
    """Return the link metadata of the index; ``None`` if the site's URL is unknown.

    Args:
        site_url: URL of the site, as returned by ``check_site_url``.
        pictured: slug of the page whose preview is used for the index; empty for none.
    """
    if not site_url:
        return None
    picture = f"{site_url}{PREVIEWS_FOLDER}/{pictured}.png" if pictured else ""
    description = "Which token each head of a language model attends to: one page per prompt."
    return Link(site_url, "Attention reports", description, picture, _describe("the first page"), "website")


def make_heads_link(site_url: str) -> Link | None:
    """Return the link metadata of the page of all heads; ``None`` if the site's URL is unknown."""
    if not site_url:
        return None
    description = "What each head of a language model does on every prompt: mean, spread and the prompts it fails on."
    return Link(f"{site_url}{HEADS_FILE}", "Heads over all prompts", description, "", "", "website")


def _describe(title: str) -> str:
    return f"Map of all heads of the model, beside the prompt and what the model wrote: {title}"


def make_sitemap(site_url: str, pages: Iterable[str]) -> str:
    """Return the sitemap of a site: the index, the page of all heads and then the pages, at most 50,000 URLs in total.

    Args:
        site_url: URL of the site, as returned by ``check_site_url``.
        pages: URLs of the pages, relative to the site.

    Returns:
        A sitemap (sitemaps.org, version 0.9). It has no dates, so that the same pages give the same text.
    """
    addresses = [site_url, f"{site_url}{HEADS_FILE}", *(f"{site_url}{page}" for page in pages)][:_MOST_ADDRESSES]
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            f"<!-- {GENERATOR} -->",
            '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">',
            *(f"<url><loc>{escape(address)}</loc></url>" for address in addresses),
            "</urlset>\n",
        ]
    )
