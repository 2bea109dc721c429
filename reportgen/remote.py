"""A site that is not on this machine: written to a folder here, from which each finished file is sent.

What is there already is looked at first, by the beginning and the end of each page: a stub stands for it here, as long
as the page itself, so that a run finds what is up to date as in a folder of its own. A stub is never sent.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from reportgen.errors import SiteError
from reportgen.options import Progress
from reportgen.pages.links import PREVIEWS_FOLDER
from reportgen.records import Failure, Prompt
from reportgen.site import CAPTURES_FOLDER, CARD_BYTES, DATA_FOLDER, INDEX_FILE, REPORT_FILE

_TAIL_BYTES = 64


class Mirror:
    """A folder here, and the place that it is sent to.

    Attributes:
        folder: here.
        url: there.
    """

    def __init__(self, url: str, folder: Path) -> None:
        """Look at what is there.

        Args:
            url: as fsspec takes it, such as ``s3://bucket/site``.
            folder: empty.

        Raises:
            SiteError: the address cannot be used, or what is there cannot be read.
        """
        self.url, self.folder = url.rstrip("/"), folder
        try:
            from fsspec.core import url_to_fs

            self._there, self._root = url_to_fs(self.url)
            self._pull()
        except ImportError as error:
            raise SiteError(f"{url}: {error}; pip install 'reportgen[s3]', or what else fsspec asks for") from error
        except Exception as error:  # each file system has errors of its own
            raise SiteError(f"{url}: cannot be read, {error}; check the address and who may use it") from error
        self._known = self._list()

    def _pull(self) -> None:
        self._there.invalidate_cache()
        found = self._there.find(self._root, detail=True)
        names = {name.removeprefix(self._root).strip("/"): int(info["size"]) for name, info in found.items()}
        # A place that others write to may have names that lead out of a folder.
        sizes = {name: size for name, size in names.items() if not any(part[:1] == "." for part in name.split("/"))}
        whole = [name for name in sizes if name == INDEX_FILE or ("/" not in name and name.endswith(".json"))]
        pages = [name for name in sizes if "/" not in name and name.endswith(".html") and name != INDEX_FILE]
        for name, size in sizes.items():
            self._make_stub(self.folder / name, size)
        for name in whole:
            (self.folder / name).write_bytes(self._there.cat_file(self._join(name)))
        heads = self._read(pages, [(0, min(CARD_BYTES, sizes[name])) for name in pages])
        tails = self._read(pages, [(max(0, sizes[name] - _TAIL_BYTES), sizes[name]) for name in pages])
        for name, head, tail in zip(pages, heads, tails, strict=True):
            with (self.folder / name).open("rb+") as file:
                file.write(head)
                file.seek(max(0, sizes[name] - _TAIL_BYTES))
                file.write(tail)

    @staticmethod
    def _make_stub(path: Path, size: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(size)  # a hole, which takes no room

    def _read(self, names: list[str], ranges: list[tuple[int, int]]) -> list[bytes]:
        starts, ends = [start for start, _ in ranges], [end for _, end in ranges]
        return self._there.cat_ranges([self._join(name) for name in names], starts, ends, on_error="raise")

    def _join(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def _list(self) -> dict[str, tuple[int, int]]:
        """Return size and time of every file here, by name; what begins with a dot is nobody's but this machine's."""
        files = [path for path in self.folder.rglob("*") if path.is_file() and path.name[0] != "."]
        return {path.relative_to(self.folder).as_posix(): _state_of(path) for path in files}

    def name(self, path: Path) -> str:
        """Return the address of a file by its path here."""
        return f"{self.url}/{path.relative_to(self.folder).as_posix()}"

    def tell(self, progress: Progress) -> Progress:
        """Return who sends each page when it is done, and tells another of everything."""
        return _Sending(self, progress)

    def send_page(self, slug: str) -> None:
        """Send a page, after what stands beside it.

        Raises:
            SiteError: it cannot be written there.
        """
        beside = [
            *(self.folder / DATA_FOLDER / slug).glob("*"),
            self.folder / CAPTURES_FOLDER / f"{slug}.safetensors",
            self.folder / PREVIEWS_FOLDER / f"{slug}.png",
        ]
        self._send([path for path in (*beside, self.folder / f"{slug}.html") if path.is_file()])

    def send(self) -> None:
        """Send whatever was written and not sent, the report and the index last, and remove what is gone.

        Raises:
            SiteError: it cannot be written there.
        """
        now = self._list()
        last = (REPORT_FILE, INDEX_FILE)
        self._send([self.folder / name for name in sorted(now) if name not in last])
        self._send([self.folder / name for name in last if name in now])
        with self._writing():
            for name in self._known.keys() - now.keys():
                self._there.rm_file(self._join(name))
        self._known = now

    def _send(self, paths: Iterable[Path]) -> None:
        for path in paths:
            name, state = path.relative_to(self.folder).as_posix(), _state_of(path)
            if self._known.get(name) != state:
                with self._writing():
                    self._put(name)
                self._known[name] = state

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each file system has errors of its own
            raise SiteError(f"{self.url}: cannot be written, {error}; what was sent before is kept") from error

    def _put(self, name: str) -> None:
        target = self._join(name)
        if "file" in self._there.protocol:  # others have no folders to make
            Path(target).parent.mkdir(parents=True, exist_ok=True)
        self._there.put_file(str(self.folder / name), target)


def _state_of(path: Path) -> tuple[int, int]:
    """Return what changes when a file is written anew."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


class _Sending:
    """Progress that sends each page when it is done, and tells another of everything."""

    def __init__(self, mirror: Mirror, progress: Progress) -> None:
        """Take both."""
        self._mirror, self._progress = mirror, progress

    def stage(self, prompt: Prompt, stage: str) -> None:
        """Tell it."""
        self._progress.stage(prompt, stage)

    def ablating(self, prompt: Prompt, done: int, total: int, seconds: float) -> None:
        """Tell it."""
        self._progress.ablating(prompt, done, total, seconds)

    def warn(self, prompt: Prompt, warning: str) -> None:
        """Tell it."""
        self._progress.warn(prompt, warning)

    def skip(self, count: int) -> None:
        """Tell it."""
        self._progress.skip(count)

    def done(self, prompt: Prompt, outcome: Path | Failure) -> None:
        """Send what was written."""
        if isinstance(outcome, Path):
            self._mirror.send_page(prompt.slug)
        self._progress.done(prompt, outcome)


@contextmanager
def mirrored(url: str) -> Iterator[Mirror]:
    """Give a folder for a site that is elsewhere; however the block ends, what it wrote is sent.

    Nobody keeps other runs from the same address: there are no locks there.

    Raises:
        SiteError: the address cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="reportgen-") as folder:
        mirror = Mirror(url, Path(folder))
        try:
            yield mirror
        finally:
            mirror.send()
