"""On a real cluster of two nodes on this machine: the bytes of a local run, whatever becomes of a worker."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # Ray would look for an address that others can reach

import psutil
import pytest
from click.testing import CliRunner
from ray.cluster_utils import Cluster as Nodes
from tiny import make_gpt2, make_tokenizer, save_llama

from reportgen.build.build import build_site
from reportgen.build.engines import ray as engine
from reportgen.build.interrupts import Stop
from reportgen.build.options import BuildOptions, Cluster, NullProgress
from reportgen.cli import main as cli
from reportgen.records import Comparison, Failure, Prompt
from reportgen.records.errors import ClusterError, ModelError
from reportgen.site.site import Site

pytestmark = pytest.mark.system

NODE = {
    "num_cpus": 1, "object_store_memory": 100 * 2**20, "node_ip_address": "127.0.0.1", "include_dashboard": False,
    "include_log_monitor": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Return the address of a cluster of two nodes of one processor each."""
    nodes = Nodes()
    nodes.add_node(**NODE)
    nodes.add_node(**NODE)
    yield nodes.address
    nodes.shutdown()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two tiny models."""
    folder = tmp_path_factory.mktemp("models")
    save_llama(folder / "llama")
    make_gpt2().save_pretrained(folder / "gpt2")
    make_tokenizer().save_pretrained(folder / "gpt2")
    return folder


def make_prompts(models: Path) -> list[Prompt]:
    """Return prompts of two models, one of which is too long."""
    texts = ["The cat sat", "The dog sat", "A hen", "The cow stood", "x" * 600, "The owl sat", "A fox", "The bee flew"]
    names = ["llama", "llama", "gpt2", "llama", "llama", "llama", "gpt2", "llama"]
    return [
        Prompt(text=text, slug=f"p{number}", model=str(models / name), max_new_tokens=2)
        for number, (text, name) in enumerate(zip(texts, names, strict=True))
    ]


COMPARED = (
    Comparison(("p0", "p2")),
    Comparison(("p1", "p4")),
    Comparison(("p5", "p0", "p3"), slug="three"),
    Comparison(("p0", "p1"), slug="patched", evidence=("patching",), answers=("x", "y")),
)


class Recorder(NullProgress):
    """Progress that is written down, and may be acted on."""

    def __init__(self, act: Callable[[str, str], None] = lambda *_: None) -> None:
        self.told: list[tuple[str, str]] = []
        self._act = act

    def stage(self, prompt: Prompt, stage: str) -> None:
        self.told.append((stage, prompt.slug))
        self._act(stage, prompt.slug)

    def done(self, prompt: Prompt, outcome: Path | Failure) -> None:
        self.told.append(("written" if isinstance(outcome, Path) else "failed", prompt.slug))
        self._act("done", prompt.slug)

    def of(self, stage: str) -> list[str]:
        return sorted(slug for told, slug in self.told if told == stage)


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file of a site but its report, by name."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "report.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def report(folder: Path) -> list[dict[str, object]]:
    outcomes = json.loads((folder / "report.json").read_text("utf-8"))["prompts"]
    return [{key: value for key, value in outcome.items() if key != "run"} for outcome in outcomes]


def test_a_run_on_two_nodes_has_the_bytes_of_a_local_one(address: str, models: Path, tmp_path: Path) -> None:
    options = BuildOptions(batch_size=2, keep_captures=True, export_data="csv")
    here, there = Recorder(), Recorder()
    prompts = make_prompts(models)
    build_site(prompts, tmp_path / "here", options, here, comparisons=COMPARED)
    outcome = build_site(
        prompts, tmp_path / "there", replace(options, cluster=Cluster(address)), there, comparisons=COMPARED
    )
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert (tmp_path / "there" / "three.html").exists()
    assert report(tmp_path / "there") == report(tmp_path / "here")
    for stage in ("capture", "page", "written", "failed"):
        assert there.of(stage) == here.of(stage) != []
    (failure,) = outcome.failures
    assert "Traceback" in failure.details
    again = build_site(
        prompts[:4], tmp_path / "there", replace(options, cluster=Cluster(address)), comparisons=COMPARED[:1]
    )
    assert (again.pages, len(again.up_to_date)) == ((), 5)


def find_running() -> list[int]:
    """Return the process ids of the workers that are at a batch."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        title = " ".join(process.info["cmdline"] or ())
        if title.startswith("ray::_Remote.run"):
            found.append(process.pid)
    return found


def kill_worker() -> int:
    """Kill a worker in the middle of a batch, and return which."""
    deadline = time.monotonic() + 30
    while not (running := find_running()) and time.monotonic() < deadline:
        pass
    os.kill(running[0], signal.SIGKILL)
    return running[0]


def test_a_batch_whose_worker_is_killed_is_run_again_and_written_once(
    address: str, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = Prompt(text="ab " * 60, slug="slow", model=str(models / "llama"), evidence=("ablation",), max_new_tokens=5)
    prompts = [*make_prompts(models), slow]
    killed: list[int] = []

    def act(stage: str, slug: str) -> None:
        if (stage, slug) == ("capture", "slow") and not killed:
            killed.append(kill_worker())

    recorder = Recorder(act)
    options = BuildOptions(batch_size=2, cluster=Cluster(address, workers=1))
    build_site(prompts, tmp_path / "there", options, recorder, comparisons=COMPARED)
    assert len(killed) == 1
    assert capsys.readouterr().out == ""  # what Ray says of it is not among the paths
    assert not psutil.pid_exists(killed[0])
    assert recorder.of("capture").count("slow") == 2
    written = recorder.of("written")
    assert written == sorted({*written}) == sorted(prompt.slug for prompt in prompts if prompt.slug != "p4")
    build_site(prompts, tmp_path / "here", replace(options, cluster=None), comparisons=COMPARED)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_a_batch_that_no_worker_survives_fails_and_the_others_go_on(address: str, models: Path, tmp_path: Path) -> None:
    slow = Prompt(text="ab " * 60, slug="slow", model=str(models / "llama"), evidence=("ablation",), max_new_tokens=5)
    recorder = Recorder(lambda stage, slug: kill_worker() and None if (stage, slug) == ("capture", "slow") else None)
    outcome = build_site(
        [slow, *make_prompts(models)[:2]], tmp_path, BuildOptions(cluster=Cluster(address, workers=1)), recorder
    )
    assert recorder.of("capture").count("slow") == 3
    assert [path.stem for path in outcome.pages] == ["p0", "p1"]
    assert [failure.error for failure in outcome.failures] == [
        "prompt: 3 workers were lost while running its batch; see Ray's logs, or try a smaller --batch-size"
    ]


def test_a_cluster_whose_last_node_is_gone_ends_the_run(models: Path, tmp_path: Path) -> None:
    """Ray would wait without end for a node; the head of this cluster has no processor for workers."""
    nodes = Nodes()
    nodes.add_node(**{**NODE, "num_cpus": 0})
    worker = nodes.add_node(**NODE)
    slow = Prompt(text="ab " * 60, slug="slow", model=str(models / "llama"), evidence=("ablation",), max_new_tokens=9)
    gone: list[float] = []

    def act(stage: str, slug: str) -> None:
        if (stage, slug) == ("capture", "slow") and not gone:
            nodes.remove_node(worker, allow_graceful=False)
            gone.append(time.monotonic())

    prompts = [make_prompts(models)[2], slow]
    try:
        with pytest.raises(
            ClusterError, match=r"no node is left with 1 CPUs and 0 GPUs; .* run the same command again"
        ):
            build_site(prompts, tmp_path, BuildOptions(batch_size=1, cluster=Cluster(nodes.address)), Recorder(act))
        assert time.monotonic() - gone[0] < 60
    finally:
        nodes.shutdown()
    assert [card.slug for card in Site(tmp_path).read_cards()] == ["p2"]


def test_the_first_failure_ends_a_run_that_shall_fail_fast(address: str, models: Path, tmp_path: Path) -> None:
    prompts = [replace(prompt, text="x" * 600) for prompt in make_prompts(models)]
    options = BuildOptions(batch_size=1, fail_fast=True, cluster=Cluster(address, workers=1))
    outcome = build_site(prompts, tmp_path, options)
    assert (len(outcome.failures), outcome.not_run) == (1, len(prompts) - 1)


def test_a_run_that_is_asked_to_stop_ends_after_the_batches_at_work(address: str, models: Path, tmp_path: Path) -> None:
    stop = Stop()
    recorder = Recorder(lambda stage, _: stop.interrupt() if stage == "done" and not stop.asked else None)
    prompts = [replace(prompt, model=str(models / "llama")) for prompt in make_prompts(models)]
    options = BuildOptions(batch_size=1, cluster=Cluster(address))
    outcome = build_site(prompts, tmp_path, options, recorder, stop)
    assert 1 <= len(outcome.pages) <= 3
    assert outcome.not_run == len(prompts) - len(outcome.pages)
    assert recorder.of("written") == sorted(path.stem for path in outcome.pages)


def test_shards_of_a_cluster_run_their_part(address: str, models: Path, tmp_path: Path) -> None:
    prompts = make_prompts(models)[:4]
    for shard in ("1/2", "2/2"):
        lines = [f"- {{text: {one.text}, slug: {one.slug}, model: {one.model}}}" for one in prompts]
        (tmp_path / "prompts.yaml").write_text("\n".join(lines), "utf-8")
        done = CliRunner().invoke(
            cli.main,
            ["build", str(tmp_path / "prompts.yaml"), "-o", str(tmp_path / "parts"), "--shard", shard,
             "--engine", "ray", "--ray-address", address, "--batch-size", "2"],
        )  # fmt: skip
        assert done.exit_code == 0, done.stderr
    done = CliRunner().invoke(cli.main, ["build", str(tmp_path / "prompts.yaml"), "-o", str(tmp_path / "whole"),
                                         "--batch-size", "2"])  # fmt: skip
    assert done.exit_code == 0
    pages = {path.name: path.read_bytes() for path in (tmp_path / "whole").glob("p*.html")}
    assert {path.name: path.read_bytes() for path in (tmp_path / "parts").glob("p*.html")} == pages


def test_what_cannot_be_run_on_a_cluster_is_told(
    address: str, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = make_prompts(models)[:1]
    with pytest.raises(ClusterError, match=r"--ray-address 127\.0\.0\.1:1: cannot be reached, .*; write HOST:PORT"):
        build_site(prompts, tmp_path, BuildOptions(cluster=Cluster("127.0.0.1:1")))
    monkeypatch.setenv("RAY_ADDRESS", "nowhere")
    with pytest.raises(
        ClusterError, match=r"of this machine: cannot be used, .*; give its --ray-address, or start one"
    ):
        build_site(prompts, tmp_path, BuildOptions(cluster=Cluster()))
    monkeypatch.setenv("RAY_ADDRESS", "")
    with pytest.raises(
        ClusterError, match="has no room for 3 workers of 0 GPUs, it has 2 CPUs and 0 GPUs; request fewer"
    ):
        build_site(prompts, tmp_path, BuildOptions(cluster=Cluster(address, workers=3)))
    with pytest.raises(ClusterError, match="no room for 1 workers of 1 GPUs"):
        build_site(prompts, tmp_path, BuildOptions(cluster=Cluster(address, workers=1, gpus_per_worker=1)))
    with pytest.raises(ModelError, match="cuda"):
        build_site(prompts, tmp_path, BuildOptions(device="cuda", cluster=Cluster(address)))
    monkeypatch.setattr(engine, "_hash_program", lambda: "another")
    with pytest.raises(ClusterError, match="has another reportgen, or other packages; install the same on every node"):
        build_site(prompts, tmp_path, BuildOptions(cluster=Cluster(address)))


def test_without_ray_the_error_says_what_to_install(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "reportgen.build.engines.ray")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ClusterError, match=r"ray: is not installed; pip install 'attention-reportgen\[ray\]'"):
        build_site(make_prompts(models)[:1], tmp_path, BuildOptions(cluster=Cluster()))


def test_options_of_a_cluster_need_one() -> None:
    done = CliRunner().invoke(cli.main, ["build", "--workers", "2"])
    assert (done.exit_code, "--workers: is for a cluster; add --engine ray" in done.stderr) == (2, True)
