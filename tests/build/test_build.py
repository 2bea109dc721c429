"""The whole program: prompts in, a site out, whatever happens in between."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from html_tree import parse_html
from root import ROOT
from tiny import make_gpt2, make_llama, make_tokenizer, save_adapter
from transformers import PreTrainedModel
from unpacking import decode_bytes, unpack_triangles

from reportgen.build import build
from reportgen.build.build import build_site
from reportgen.build.capture import capture, capture_in_turn
from reportgen.build.engines import worker
from reportgen.build.options import BuildOptions, Outcome
from reportgen.captures.quantization import dequantize_sqrt
from reportgen.captures.record import Capture
from reportgen.models.model import LoadedModel, wrap_model
from reportgen.pages.cards import Card, FailureCard
from reportgen.prompts.prompt_file import load_prompts
from reportgen.records import EncodedPrompt, Failure, Prompt
from reportgen.records.errors import ModelError, PromptFileError, SiteInUse
from reportgen.records.selection import parse_selection
from reportgen.site.site import Site

TOO_LONG = Prompt(text="x" * 600, slug="long", max_new_tokens=0)


@dataclass
class Recorder:
    """Progress that remembers what it was told, and calls back."""

    told: list[tuple[str, ...]] = field(default_factory=list)
    on_stage: Callable[[Prompt, str], None] = lambda prompt, stage: None

    def stage(self, prompt: Prompt, stage: str) -> None:
        self.told.append((stage, prompt.slug))
        self.on_stage(prompt, stage)

    def ablating(self, prompt: Prompt, done: int, total: int, seconds: float) -> None:
        pass

    def warn(self, prompt: Prompt, warning: str) -> None:
        self.told.append(("warn", prompt.slug, warning))

    def skip(self, count: int) -> None:
        self.told.append(("skip", str(count)))

    def done(self, prompt: Prompt, outcome: Path | Failure) -> None:
        self.told.append(("done", prompt.slug, "failed" if isinstance(outcome, Failure) else outcome.name))


def prompts(*slugs: str) -> list[Prompt]:
    """Return short prompts with these slugs."""
    return [Prompt(text=f"{slug} sat", slug=slug, max_new_tokens=2) for slug in slugs]


def slugs_in_index(folder: Path) -> list[str]:
    """Return the pages that an index links to, in its order."""
    index = parse_html((folder / "index.html").read_text("utf-8"))
    links = [str(link.attributes["href"]) for main in index.find("main") for link in main.find("a")]
    return [link.removesuffix(".html") for link in links if link.endswith(".html")]


def report_apart_from_the_run(folder: Path) -> dict[str, object]:
    """Return a report without what it says of the run that wrote it, seconds among it."""
    report = json.loads((folder / "report.json").read_text("utf-8"))
    for part in (report, *report["prompts"]):
        del part["run"]
    return report


def save_models(folder: Path) -> tuple[str, str]:
    """Save two tiny models into folders and return their names."""
    for name, network in (("llama", make_llama()), ("gpt2", make_gpt2())):
        network.save_pretrained(folder / name)
        make_tokenizer().save_pretrained(folder / name)
    return str(folder / "llama"), str(folder / "gpt2")


def test_site_has_a_page_for_each_prompt_and_an_index(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    outcome = build_site(prompts("cat", "dog"), tmp_path / "site", BuildOptions(model=tiny_llama))
    assert outcome == Outcome(
        index=tmp_path / "site" / "index.html",
        pages=(tmp_path / "site" / "cat.html", tmp_path / "site" / "dog.html"),
        failures=(),
    )
    names = {path.name for path in (tmp_path / "site").iterdir()}
    assert names == {"cat.html", "dog.html", "heads.html", "index.html", "report.json", ".nojekyll", ".reportgen.lock"}
    assert slugs_in_index(tmp_path / "site") == ["cat", "dog"]


def test_prompt_made_of_a_text_alone_is_named(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    outcome = build_site([Prompt(text="A cat"), Prompt(text="A cat")], str(tmp_path), BuildOptions(model=tiny_llama))
    assert [path.name for path in outcome.pages] == ["a-cat.html", "a-cat-2.html"]


def test_same_input_gives_the_same_bytes(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    for name in ("one", "two"):
        build_site(prompts("cat"), tmp_path / name, BuildOptions(model=tiny_llama))
    for file in ("cat.html", "index.html"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    assert report_apart_from_the_run(tmp_path / "one") == report_apart_from_the_run(tmp_path / "two")


def test_failing_prompt_is_shown_and_the_run_goes_on(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    cat, dog = prompts("cat", "dog")
    outcome = build_site([cat, TOO_LONG, dog], tmp_path, BuildOptions(model=tiny_llama))
    assert [path.name for path in outcome.pages] == ["cat.html", "dog.html"]
    (failure,) = outcome.failures
    assert failure.prompt.slug == "long"
    assert "600" in failure.error
    assert "512" in failure.error
    assert failure.error in parse_html((tmp_path / "index.html").read_text("utf-8")).text
    assert [card.slug for card in Site(tmp_path).read_cards()] == ["cat", "long", "dog"]
    assert not (tmp_path / "long.html").exists()


def test_selection_that_the_model_lacks_stops_before_anything_is_written(
    tiny_llama: LoadedModel, tmp_path: Path
) -> None:
    wrong = [
        Prompt(text="a", layers=parse_selection("7"), slug="a"), Prompt(text="b", heads=parse_selection("-9"), slug="b")
    ]  # fmt: skip
    with pytest.raises(PromptFileError) as caught:
        build_site([*prompts("cat"), *wrong], tmp_path / "site", BuildOptions(model=tiny_llama))
    assert len(caught.value.problems) == 2
    assert not (tmp_path / "site").exists()


def test_every_stage_is_told(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    recorder = Recorder()
    build_site([*prompts("cat"), TOO_LONG], tmp_path, BuildOptions(model=tiny_llama), recorder)
    assert recorder.told == [
        ("load", "cat"), ("capture", "cat"), ("page", "cat"), ("done", "cat", "cat.html"),
        ("capture", "long"), ("done", "long", "failed"),
    ]  # fmt: skip


def test_chat_that_may_not_be_meant_is_warned_of(tmp_path: Path, tiny_llama: LoadedModel) -> None:
    """To who watches the run; beside the other prompts of its batch."""
    turns = ({"role": "user", "content": "Who?"}, {"role": "assistant", "content": "It was"})
    both = [
        Prompt(messages=turns, slug="closed", max_new_tokens=1),
        Prompt(messages=turns, slug="open", max_new_tokens=1, continue_final_message=True),
    ]
    recorder = Recorder()
    build_site(both, tmp_path, BuildOptions(model=tiny_llama), recorder)
    ((_, slug, warning),) = [told for told in recorder.told if told[0] == "warn"]
    assert slug == "closed"
    assert warning.endswith("set continue_final_message: true to continue it")


@pytest.mark.parametrize(("dtype", "factor", "warned"), [("float32", 1.1, True), ("bfloat16", 1.0, False),
                                                         ("bfloat16", 3.0, True)])  # fmt: skip
def test_pass_that_is_far_from_the_generation_is_warned_of(
    tmp_path: Path, dtype: str, factor: float, warned: bool
) -> None:
    """On the page and to who watches; the tokens are those of the generation. Half precision is given more room."""
    expected = ids_of(wrap_model(make_llama().to(getattr(torch, dtype)), make_tokenizer()))
    model = wrap_model(make_llama().to(getattr(torch, dtype)), make_tokenizer())

    def spoil(_module: object, _inputs: object, logits: torch.Tensor) -> torch.Tensor:
        return logits * factor if model.network.config._attn_implementation == "eager" else logits

    model.network.lm_head.register_forward_hook(spoil)
    assert ids_of(model) == expected
    recorder = Recorder()
    build_site(prompts("cat"), tmp_path, BuildOptions(model=model), recorder)
    text = parse_html((tmp_path / "cat.html").read_text("utf-8")).text
    warnings = [told[2] for told in recorder.told if told[0] == "warn"]
    assert len(warnings) == warned
    assert ("Warning:" in text) == warned
    for warning in warnings:
        assert f"more than rounding in {dtype} does" in warning
        assert f"{warning}." in " ".join(text.split())


def ids_of(model: LoadedModel) -> list[int]:
    """Return the tokens of a capture."""
    return [token.token_id for token in capture(model, prompts("cat")[0]).tokens]


def test_interrupt_leaves_finished_pages_and_their_index(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    def interrupt(prompt: Prompt, stage: str) -> None:
        if (prompt.slug, stage) == ("dog", "page"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_site(prompts("cat", "dog", "hen"), tmp_path, BuildOptions(model=tiny_llama), Recorder(on_stage=interrupt))
    assert {path.name for path in tmp_path.glob("*.html")} == {"cat.html", "heads.html", "index.html"}
    assert slugs_in_index(tmp_path) == ["cat"]


def test_model_that_cannot_be_loaded_fails_its_prompts_and_the_others_go_on(tmp_path: Path) -> None:
    llama, gpt2 = save_models(tmp_path)
    (tmp_path / "gpt2" / "model.safetensors").write_bytes(b"cut off")
    given = [
        replace(prompt, model=model)
        for prompt, model in zip(prompts("cat", "dog", "hen"), (gpt2, llama, gpt2), strict=True)
    ]
    recorder = Recorder()
    outcome = build_site(given, tmp_path / "site", progress=recorder)
    assert [path.stem for path in outcome.pages] == ["dog"] == slugs_in_index(tmp_path / "site")
    assert [failure.prompt.slug for failure in outcome.failures] == ["cat", "hen"]
    text = parse_html((tmp_path / "site" / "index.html").read_text("utf-8")).text
    for failure in outcome.failures:
        assert failure.error.startswith(f"model '{gpt2}': its weights cannot be read")
        assert failure.error.replace(gpt2, "gpt2") in text
    assert [told for told in recorder.told if told[0] == "done"] == [
        ("done", "cat", "failed"), ("done", "hen", "failed"), ("done", "dog", "dog.html"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "error"), [({"device": "cuda"}, "no cuda device"), ({"dtype": "int4"}, "unknown dtype")]
)
def test_device_or_dtype_that_is_not_there_stops_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str], error: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ModelError, match=error):
        build_site([Prompt(text="a")], tmp_path / "site", BuildOptions(**options))  # pyright: ignore[reportArgumentType]
    assert not (tmp_path / "site").exists()


def test_run_without_a_page_keeps_the_earlier_ones_in_the_index(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    def interrupt(prompt: Prompt, stage: str) -> None:
        raise KeyboardInterrupt

    build_site(prompts("cat", "dog"), tmp_path, BuildOptions(model=tiny_llama))
    made = (tmp_path / "index.html").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        build_site(prompts("dog", "hen"), tmp_path, BuildOptions(model=tiny_llama), Recorder(on_stage=interrupt))
    assert (tmp_path / "index.html").read_bytes() == made
    build_site([TOO_LONG], tmp_path, BuildOptions(model=tiny_llama))
    assert slugs_in_index(tmp_path) == ["cat", "dog"]
    assert [card.slug for card in Site(tmp_path).read_cards()] == ["cat", "dog", "long"]


def test_run_that_ends_early_keeps_what_it_did_not_come_to(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    def interrupt(prompt: Prompt, stage: str) -> None:
        if (prompt.slug, stage) == ("cat", "page"):
            raise KeyboardInterrupt

    build_site(prompts("cat", "dog"), tmp_path, BuildOptions(model=tiny_llama))
    with pytest.raises(KeyboardInterrupt):
        build_site(prompts("hen", "cat"), tmp_path, BuildOptions(model=tiny_llama), Recorder(on_stage=interrupt))
    assert slugs_in_index(tmp_path) == ["cat", "dog", "hen"]


def test_pages_of_other_runs_are_named_and_stay_out_of_the_index(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    assert build_site(prompts("cat", "dog"), tmp_path, BuildOptions(model=tiny_llama)).left_out == ()
    outcome = build_site(prompts("hen", "dog"), tmp_path, BuildOptions(model=tiny_llama, update=False))
    assert outcome.left_out == (tmp_path / "cat.html",)
    assert [card.slug for card in Site(tmp_path).read_cards()] == ["hen", "dog"] == slugs_in_index(tmp_path)
    outcome = build_site(prompts("dog"), tmp_path, BuildOptions(model=tiny_llama, update=True))
    assert outcome.left_out == (tmp_path / "cat.html",)
    assert slugs_in_index(tmp_path) == ["hen", "dog"]


def test_pages_of_other_runs_stay_in_the_index_unless_asked_otherwise(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    build_site(prompts("cat", "dog"), tmp_path, BuildOptions(model=tiny_llama))
    outcome = build_site(prompts("owl"), tmp_path, BuildOptions(model=tiny_llama))
    assert (outcome.left_out, slugs_in_index(tmp_path)) == ((), ["cat", "dog", "owl"])


def test_each_model_is_loaded_once_and_pages_keep_the_order_of_the_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llama, gpt2 = save_models(tmp_path)
    given = [
        Prompt(**vars(prompt) | {"model": model})
        for prompt, model in zip(prompts("a", "b", "c", "d"), (llama, gpt2, llama, gpt2), strict=True)
    ]
    recorder = Recorder()
    outcome = build_site(given, tmp_path / "site", progress=recorder)
    assert [slug for stage, slug, *_ in recorder.told if stage == "load"] == ["a", "b"]
    assert [slug for stage, slug, *_ in recorder.told if stage == "capture"] == ["a", "c", "b", "d"]
    assert [path.stem for path in outcome.pages] == ["a", "b", "c", "d"] == slugs_in_index(tmp_path / "site")


def test_model_with_and_without_adapter_are_two_of_which_one_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llama, gpt2 = save_models(tmp_path)
    adapter = str(tmp_path / "lora")
    save_adapter(tmp_path / "lora", make_llama())
    models = ((llama, ""), (llama, adapter), (gpt2, ""), (llama, ""), (llama, adapter))
    given = [
        replace(prompt, model=model, adapter=adapter)
        for prompt, (model, adapter) in zip(prompts("a", "b", "c", "d", "e"), models, strict=True)
    ]
    networks: list[weakref.ref[PreTrainedModel]] = []
    alive: list[int] = []
    load = worker.load_model

    def note(name: str, **rest: str) -> LoadedModel:
        alive.append(sum(network() is not None for network in networks))
        loaded = load(name, **rest)  # pyright: ignore[reportArgumentType]
        networks.append(weakref.ref(loaded.network))
        return loaded

    monkeypatch.setattr(worker, "load_model", note)
    recorder = Recorder()
    outcome = build_site(given, tmp_path / "site", progress=recorder)
    assert outcome.failures == ()
    assert alive == [0, 0, 0]
    assert [slug for stage, slug, *_ in recorder.told if stage == "capture"] == ["a", "d", "b", "e", "c"]
    assert [card.model for card in Site(tmp_path / "site").read_cards()] == [
        "llama",
        "llama + lora",
        "gpt2",
        "llama",
        "llama + lora",
    ]
    page = parse_html((tmp_path / "site" / "b.html").read_text("utf-8")).text
    assert "llama with the adapter lora" in " ".join(page.split())


def test_adapter_that_cannot_be_merged_fails_its_prompts_and_the_others_go_on(tmp_path: Path) -> None:
    llama, gpt2 = save_models(tmp_path)
    save_adapter(tmp_path / "lora", make_llama())
    wrong, right = prompts("cat", "dog")
    given = [replace(wrong, model=gpt2, adapter=str(tmp_path / "lora")), replace(right, model=llama)]
    outcome = build_site(given, tmp_path / "site")
    assert [path.stem for path in outcome.pages] == ["dog"]
    assert [card.model for card in Site(tmp_path / "site").read_cards()] == ["gpt2 + lora", "llama"]
    assert outcome.failures[0].error.startswith(f"adapter '{tmp_path / 'lora'}' on model '{gpt2}': it was made for an")


def test_page_of_a_prompt_that_fails_now_stays_and_its_failure_says_so(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    """It is not what was asked for, but it is better than nothing: the index shows the failure and links to it."""
    build_site(prompts("cat", "dog"), tmp_path, BuildOptions(model=tiny_llama))
    before = (tmp_path / "dog.html").read_bytes()
    failing = [*prompts("cat"), replace(TOO_LONG, slug="dog")]
    outcome = build_site(failing, tmp_path, BuildOptions(model=tiny_llama))
    assert (outcome.left_out, [failure.prompt.slug for failure in outcome.failures]) == ((), ["dog"])
    assert (tmp_path / "dog.html").read_bytes() == before
    text = " ".join(parse_html((tmp_path / "index.html").read_text("utf-8")).text.split())
    assert "· failed The page of an earlier run is kept." in text
    assert outcome.failures[0].error in text
    assert slugs_in_index(tmp_path) == ["cat", "dog"]
    failed = Site(tmp_path).read_cards()[1]
    assert isinstance(failed, FailureCard)
    assert failed.earlier_page == "dog.html"
    Site(tmp_path).write_index(Site(tmp_path).read_cards())
    assert Site(tmp_path).read_cards()[1] == failed
    Site(tmp_path).write_page("dog", before.decode().replace('<meta name="desc', f'{make_meta("1")}<meta name="desc'))
    assert isinstance(Site(tmp_path).read_cards()[1], Card)


def make_meta(digit: str) -> str:
    """Return how a page carries a key."""
    return f'<meta name="reportgen-key" content="{digit * 64}">\n'


@pytest.mark.parametrize(("update", "shown"), [(False, ["dog"]), (True, ["cat", "dog", "hen"])])
def test_earlier_pages_stay_in_the_index_on_demand(
    tiny_llama: LoadedModel, tmp_path: Path, update: bool, shown: list[str]
) -> None:
    build_site(prompts("cat", "dog", "hen"), tmp_path, BuildOptions(model=tiny_llama))
    build_site(prompts("dog"), tmp_path, BuildOptions(model=tiny_llama, update=update))
    assert slugs_in_index(tmp_path) == shown
    assert {path.stem for path in tmp_path.glob("*.html")} == {"cat", "dog", "hen", "heads", "index"}


def test_shared_assets_make_pages_light(tiny_llama: LoadedModel, tmp_path: Path) -> None:
    build_site(prompts("cat"), tmp_path, BuildOptions(model=tiny_llama, shared_assets=True))
    (script,) = (tmp_path / "assets").iterdir()
    assert f'src="assets/{script.name}"' in (tmp_path / "cat.html").read_text("utf-8")
    assert (tmp_path / "cat.html").stat().st_size < 250_000 < script.stat().st_size


@pytest.fixture(scope="module")
def shipped(smollm2: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, dict[str, Capture]]:
    """Run the shipped prompts on the bundled model, as ``make report`` does, and keep what was captured."""
    captures: dict[str, Capture] = {}

    def keep(model: LoadedModel, prompts: Sequence[EncodedPrompt], *_: object) -> Iterator[object]:
        made = [*capture_in_turn(model, prompts)]
        captures.update({captured.prompt.slug: captured for captured in made if isinstance(captured, Capture)})
        return iter(made)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "capture_in_turn", keep)
        folder = tmp_path_factory.mktemp("shipped")
        outcome = build_site(load_prompts(ROOT / "prompts.yaml"), folder, BuildOptions(model=smollm2))
    return outcome, captures


def test_shipped_prompts_give_six_pages(shipped: tuple[Outcome, dict[str, Capture]]) -> None:
    outcome, captures = shipped
    assert outcome.failures == ()
    assert [path.stem for path in outcome.pages] == list(captures)
    assert len(captures) == 6
    for captured in captures.values():
        assert (len(captured.layers), len(captured.heads)) == (30, 9)
        prompt_tokens = captured.tokens[: captured.num_prompt_tokens]
        assert "".join(token.text for token in prompt_tokens) == captured.prompt.text
        assert len(captured.steps) == captured.prompt.max_new_tokens
        assert max(step.logprob_drift for step in captured.steps) < 1e-4


def test_ten_steps_follow_the_last_shipped_prompt(shipped: tuple[Outcome, dict[str, Capture]]) -> None:
    captured = shipped[1]["generated-tokens"]
    assert captured.num_prompt_tokens == 5
    assert [captured.query_pos_of_step(step.step) for step in captured.steps] == list(range(4, 14))
    assert all(step.raw.rank == 1 for step in captured.steps)


def test_shipped_pages_carry_what_was_captured(shipped: tuple[Outcome, dict[str, Capture]]) -> None:
    outcome, captures = shipped
    for path in outcome.pages:
        captured = captures[path.stem]
        page = parse_html(path.read_text("utf-8"))
        n = captured.num_tokens
        for layer in (0, 17, 29):
            (block,) = page.find("script", id=f"block-layer-{layer}")
            codes = unpack_triangles(decode_bytes(block.text), 9)
            for head in (0, 8):
                weights = captured.attention[layer, head][np.tril_indices(n)]
                assert np.abs(dequantize_sqrt(codes[head]) - weights).max() < 0.004
        shown = [token.text for token in page.find(class_="token")]
        assert shown == [token.shown for token in captured.tokens]


def test_report_says_what_became_of_the_shipped_prompts(shipped: tuple[Outcome, dict[str, Capture]]) -> None:
    outcome, captures = shipped
    report = json.loads((outcome.index.parent / "report.json").read_text("utf-8"))
    assert [(each["slug"], each["status"]) for each in report["prompts"]] == [(slug, "written") for slug in captures]


def test_pages_are_trusted_only_under_the_lock(
    tiny_llama: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run that starts at the same time could remove a page that this run has found to be up to date."""
    build_site(prompts("cat", "dog"), tmp_path, BuildOptions(model=tiny_llama))
    usual, looked = build.Cache.find_pages, []

    def look(*arguments: Any) -> Any:
        with pytest.raises(SiteInUse), Site(tmp_path).lock():
            pass
        looked.append(1)
        return usual(*arguments)

    monkeypatch.setattr(build.Cache, "find_pages", look)
    build_site(prompts("cat", "dog"), tmp_path, BuildOptions(model=tiny_llama))
    assert looked == [1]
    late = Site(tmp_path)
    assert list(late.pages) == ["cat", "dog"]
    with Site(tmp_path).lock():
        assert Site(tmp_path).prune(["cat"]) == [tmp_path / "cat.html"]
    with late.lock():
        assert list(late.pages) == ["dog"]
