"""``report``: one call from a prompt to a page that a notebook shows."""

from __future__ import annotations

import subprocess
import sys
import webbrowser
from html import unescape
from pathlib import Path
from types import SimpleNamespace

import pytest
from html_tree import parse_html
from samples import HOSTILE, make_capture
from tiny import make_llama, make_tokenizer, save_llama

from reportgen import Report, ReportgenError, notebook, report, wrap_model
from reportgen.models.model import LoadedModel
from reportgen.records import Generation
from reportgen.records.errors import ModelNotFound, OptionError, PromptError, SiteError
from reportgen.records.selection import parse_selection


def frame_of(shown: Report) -> dict[str, str]:
    """Return the attributes of the frame that a notebook shows, the page decoded."""
    (frame,) = parse_html(shown._repr_html_()).find("iframe")
    return frame.attributes


def test_text_becomes_a_page_and_its_capture(tiny_llama: LoadedModel) -> None:
    made = report("The cat", model=tiny_llama, max_new_tokens=2, layers="0,-1", heads=[1, 3], title="A cat")
    capture = made.capture
    assert (capture.layers, capture.heads, len(capture.steps)) == ((0, 2), (1, 3), 2)
    page = parse_html(made.html)
    assert [heading.text for heading in page.find("h1")] == ["A cat"]
    assert [link for link in page.find("a") if link.attributes["href"] == "index.html"] == []


def test_keys_are_those_of_prompts_and_generation() -> None:
    prompt = notebook.make_prompt(
        "", "m", {"messages": [{"role": "user", "content": "Hi"}], "tags": ["a"], "evidence": ["ablation"], "seed": 3,
                  "do_sample": True, "temperature": 0.5, "layers": "0-1"},
    )  # fmt: skip
    assert prompt.generation == Generation(do_sample=True, temperature=0.5, seed=3)
    assert (prompt.tags, prompt.evidence, prompt.layers) == (("a",), ("ablation",), parse_selection("0-1"))
    assert (prompt.title, prompt.slug, prompt.model) == ("Hi", "hi", "m")
    both = notebook.make_prompt("a", "m", {"generation": Generation(num_beams=2), "seed": 5}).generation
    assert both == Generation(num_beams=2, seed=5)


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"layer": "1"}, "report: unknown argument 'layer'; did you mean 'layers'?"),
        (
            {"place": 1},
            "report: unknown argument 'place'; there are adapter, add_special_tokens, chat_template, ",
        ),
    ],
)
def test_unknown_arguments_are_told(keys: dict[str, object], what: str) -> None:
    with pytest.raises(TypeError) as caught:
        report("a", model="nowhere", **keys)
    assert str(caught.value).startswith(what)


def test_wrong_values_are_told(tiny_llama: LoadedModel) -> None:
    with pytest.raises(OptionError, match="height: must be a number of CSS pixels, got .tall.; give one such as 800"):
        report("a", model=tiny_llama, height="tall")  # pyright: ignore[reportArgumentType]
    with pytest.raises(PromptError, match="layers cannot be read: .+; write numbers"):
        report("a", model=tiny_llama, layers="x")
    with pytest.raises(PromptError):
        report("a", model=tiny_llama, layers="99")
    with pytest.raises(ReportgenError):
        report("", model=tiny_llama)
    with pytest.raises(ModelNotFound):
        report("a", model="./nowhere")


def test_wrapped_network_is_run_and_a_bare_one_is_an_error(tiny_llama: LoadedModel) -> None:
    network, tokenizer = make_llama(), make_tokenizer()
    made = report("The cat", model=wrap_model(network, tokenizer), max_new_tokens=1)
    assert made.capture.model.name == "LlamaForCausalLM"
    same = report("The cat", model=tiny_llama, max_new_tokens=1).capture
    assert (made.capture.triangles == same.triangles).all()
    with pytest.raises(TypeError, match=r"model is a LlamaForCausalLM; pass wrap_model\(model, tokenizer\)"):
        report("a", model=network)  # pyright: ignore[reportArgumentType]


def test_model_of_the_last_call_is_kept_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "_kept", {})
    for name in ("one", "two"):
        save_llama(tmp_path / name)

    def kept_after(name: str, **keys: object) -> LoadedModel:
        report("a", model=str(tmp_path / name), max_new_tokens=0, **keys)
        (model,) = notebook._kept.values()
        return model

    first = kept_after("one")
    assert kept_after("one", seed=7) is first
    assert kept_after("one", dtype="bfloat16").info.dtype == "bfloat16"
    again = kept_after("one")
    assert again is not first
    assert kept_after("two") is not again
    before = kept_after("one")
    make_llama(seed=1).save_pretrained(tmp_path / "one")
    assert kept_after("one") is not before


@pytest.mark.system
def test_nothing_is_printed_and_nothing_downloaded(tmp_path: Path) -> None:
    save_llama(tmp_path / "llama")
    program = "from reportgen import report\nreport('The cat', model='llama', max_new_tokens=2)._repr_html_()"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.system
def test_import_stays_light() -> None:
    program = (
        "import sys\nfrom reportgen import Report, report\n"
        "assert not {'torch', 'transformers', 'bokeh', 'IPython'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_frame_holds_the_very_page_and_may_do_little() -> None:
    made = Report(make_capture(), height=500)
    frame = frame_of(made)
    assert frame["srcdoc"] == made.html
    assert "height: 500px" in frame["style"]
    assert "allow-scripts" in frame["sandbox"]
    assert "allow-same-origin" not in frame["sandbox"]
    assert "allow-top-navigation" not in frame["sandbox"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_in_the_frame(text: str) -> None:
    shown = Report(make_capture(HOSTILE, title=text))._repr_html_()
    root = parse_html(shown)
    assert [child.tag for child in root.children if not isinstance(child, str)] == ["iframe"]
    assert unescape(text) in unescape(root.find("iframe")[0].attributes["title"])


def test_height_is_a_number() -> None:
    with pytest.raises(ValueError, match="format code 'd'"):
        Report(make_capture(), height='1px" onload="x')._repr_html_()  # pyright: ignore[reportArgumentType]


def test_page_is_saved_where_it_is_told(tmp_path: Path) -> None:
    made = Report(make_capture())
    assert made.save(tmp_path) == tmp_path / "cat.html"
    assert made.save(str(tmp_path / "a" / "b.html")) == tmp_path / "a" / "b.html"
    assert (tmp_path / "cat.html").read_text("utf-8") == (tmp_path / "a" / "b.html").read_text("utf-8") == made.html
    with pytest.raises(SiteError, match=r"cat\.html: cannot be created, "):
        made.save(tmp_path / "cat.html" / "b.html")


def test_show_opens_a_browser_where_there_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    made = Report(make_capture())
    made.show()
    (address,) = opened
    path = Path(address.removeprefix("file://"))
    assert path.read_text("utf-8") == made.html
    path.unlink()
    path.parent.rmdir()


def test_report_is_small_in_words() -> None:
    assert repr(Report(make_capture())) == "Report(height=800)"
