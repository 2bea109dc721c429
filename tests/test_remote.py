"""Sites that are elsewhere: what is there is found, what is new is sent, the index last."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fsspec.implementations.memory import MemoryFileSystem
from tiny import save_llama

from reportgen import cli
from reportgen.errors import SiteError
from reportgen.remote import mirrored

PROMPTS = """\
model: ./llama
defaults: {max_new_tokens: 1}
prompts:
  - {text: The cat, slug: cat}
  - {text: A dog, slug: dog}
"""
URL = "memory://bucket/site"


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryFileSystem]:
    """Return an empty store, while the working folder has a prompt file and a tiny model."""
    save_llama(tmp_path / "llama")
    (tmp_path / "prompts.yaml").write_text(PROMPTS, "utf-8")
    monkeypatch.chdir(tmp_path)
    store = MemoryFileSystem()
    yield store
    store.store.clear()
    store.pseudo_dirs[:] = [""]


def run(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli.main, arguments)


def contents(store: MemoryFileSystem) -> dict[str, bytes]:
    """Return every file but the report, which has times in it, by name."""
    found = {path.removeprefix("/bucket/site/"): store.cat_file(path) for path in store.find("/bucket/site")}
    return {name: content for name, content in found.items() if name != "report.json"}


def test_site_elsewhere_has_the_bytes_of_one_here(there: MemoryFileSystem) -> None:
    options = ("--keep-captures", "--export-data", "csv", "--shared-assets")
    assert run("build", "-o", "here", *options).exit_code == 0
    done = run("build", "-o", URL, *options)
    assert (done.exit_code, done.stdout) == (0, f"{URL}/cat.html\n{URL}/dog.html\n{URL}/index.html\n")
    here = [path for path in Path("here").rglob("*") if path.is_file() and path.name[0] != "."]
    files = {path.relative_to("here").as_posix(): path.read_bytes() for path in here}
    del files["report.json"]
    assert contents(there) == files
    assert len(files) > 10


def test_second_build_finds_what_is_there_and_sends_what_is_new(
    there: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("build", "-o", URL)
    sent: list[str] = []
    put = MemoryFileSystem.put_file
    monkeypatch.setattr(
        MemoryFileSystem, "put_file", lambda self, *names, **rest: sent.append(names[1]) or put(self, *names, **rest)
    )
    before = contents(there)
    assert run("build", "-o", URL).stderr == "2 up to date, 0 built\n"
    assert sent == ["/bucket/site/report.json", "/bucket/site/index.html"]
    assert contents(there) == before
    sent.clear()
    path = Path("prompts.yaml")
    path.write_text(path.read_text("utf-8").replace("A dog", "The dog"), "utf-8")
    assert run("build", "-o", URL).stderr == "1 up to date, 1 built\n"
    assert sent == ["/bucket/site/dog.html", "/bucket/site/report.json", "/bucket/site/index.html"]
    there.pipe_file("/bucket/site/cat.html", before["cat.html"][:-20])  # half a copy
    assert run("build", "-o", URL).stderr == "1 up to date, 1 built\n"
    assert contents(there)["cat.html"] == before["cat.html"]


def test_pages_of_prompts_that_left_are_removed_there(there: MemoryFileSystem) -> None:
    run("build", "-o", URL, "--keep-captures")
    path = Path("prompts.yaml")
    path.write_text(path.read_text("utf-8").replace("slug: dog", "slug: hen"), "utf-8")
    assert f"kept, not in the index: {URL}/dog.html" in run("build", "-o", URL, "--keep-captures").stderr
    assert f"removed: {URL}/dog.html" in run("build", "-o", URL, "--keep-captures", "--prune").stderr
    assert sorted(contents(there)) == [
        "captures/cat.safetensors", "captures/hen.safetensors", "cat.html", "hen.html", "index.html"
    ]  # fmt: skip


def test_shares_elsewhere_are_joined_there(there: MemoryFileSystem) -> None:
    run("build", "-o", "here", "--batch-size", "1")
    for share in ("1/2", "2/2"):
        assert run("build", "-o", URL, "--batch-size", "1", "--share", share).exit_code == 0
    assert "index.html" not in contents(there)
    done = run("index", URL)
    assert (done.stdout, done.stderr) == (f"{URL}/index.html\n", "")
    names = ("cat.html", "dog.html", "index.html")
    assert {name: contents(there)[name] for name in names} == {name: Path("here", name).read_bytes() for name in names}


def test_what_was_done_before_an_error_is_there(there: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    put = MemoryFileSystem.put_file

    def refuse(self: MemoryFileSystem, source: str, target: str, **rest: object) -> None:
        if target.endswith("dog.html"):
            raise OSError("no room")
        put(self, source, target, **rest)

    monkeypatch.setattr(MemoryFileSystem, "put_file", refuse)
    done = run("build", "-o", URL, "--batch-size", "1")
    assert done.exit_code == 1
    assert f"error: {URL}: cannot be written, no room; what was sent before is kept" in done.stderr
    assert list(contents(there)) == ["cat.html"]
    monkeypatch.undo()


def test_files_of_others_stay_as_they_are(there: MemoryFileSystem) -> None:
    there.pipe_file("/bucket/site/dog.html", b"<p>mine")
    there.pipe_file("/bucket/site/../evil.html", b"<p>out")
    done = run("build", "-o", URL)
    assert done.exit_code == 1
    assert "dog.html: is in the way and was not made by reportgen" in done.stderr
    assert contents(there)["dog.html"] == b"<p>mine"


def test_a_folder_may_be_named_by_its_address(there: MemoryFileSystem, tmp_path: Path) -> None:
    assert there.store == {}
    address = (tmp_path / "out" / "site").as_uri()
    assert run("build", "-o", address).exit_code == 0
    assert run("build", "-o", address).stderr == "2 up to date, 0 built\n"
    assert sorted(path.name for path in (tmp_path / "out" / "site").iterdir()) == [
        "cat.html", "dog.html", "index.html", "report.json"
    ]  # fmt: skip


def test_what_cannot_be_used_is_told(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match="nowhere://x: cannot be read, .*nowhere"), mirrored("nowhere://x"):
        pass
    with pytest.raises(SiteError, match=r"s3://x/y: .*s3fs.*; pip install 'reportgen\[s3\]'"), mirrored("s3://x/y"):
        pass
    assert "--results s3://x/y and --open exclude each other" in run("build", "-o", "s3://x/y", "--open").stderr
    assert list(tmp_path.iterdir()) == []
