"""Downloads from a hub on loopback: what is fetched, at which revision, and what is refused when it arrives broken."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import bertx
from bertx.hub import download
from fake_hub import Answer, Elsewhere, Repo, Request, Server, folder_files, serving, unreachable
from fixture_files import CHECKPOINTS

FOLDER = CHECKPOINTS / "BertForMaskedLM" / "safetensors"
FILES = folder_files(FOLDER)
WEIGHTS = "model.safetensors"
SHARDED = CHECKPOINTS / "variants" / "safetensors_sharded"
SHARDS = sorted(path.name for path in SHARDED.glob("model-*"))
# Files of every repo that a model needs none of.
OTHERS = dict.fromkeys(
    (".gitattributes", "README.md", "training_args.bin", "optimizer.pt", "model.fp16.safetensors", "onnx/model.onnx"),
    b"not for bertx",
)


@pytest.fixture(scope="module")
def hub():
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def workers(hub, tmp_path_factory):
    started = []

    def get() -> Elsewhere:
        if not started or not started[-1].alive:
            started.append(Elsewhere(tmp_path_factory.mktemp("elsewhere"), hub.address))
        return started[-1]

    yield get
    for worker in started:
        worker.kill()


@pytest.fixture
def elsewhere(workers):
    """A process that several tests share: each has a repo of its own name."""
    return workers()


@pytest.fixture
def repo(hub):
    return hub.add(FILES)


@pytest.fixture(scope="module")
def total(workers):
    """Σ|output| of the model of `FILES`."""
    return workers().load(str(FOLDER))[1]


def other_weights(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files of another model of the same sizes."""
    return {**files, WEIGHTS: one_byte(files[WEIGHTS])}


def one_byte(content: bytes) -> bytes:
    """One byte is another: in the weights a bit of the exponent of the last value, in a config the activation."""
    if b"gelu" in content:
        return content.replace(b"gelu", b"relu")
    return content[:-1] + bytes([content[-1] ^ 2])


def shorter(content: bytes) -> bytes:
    return content[:-1]


def longer(content: bytes) -> bytes:
    return content + b"\n"


def refused(answer: list, *words: str) -> None:
    kind, message = answer
    assert kind == "CheckpointError", answer
    for word in words:
        assert word in message


def loaded(answer: list, total: float, commit: str | None = None) -> None:
    place, found = answer
    assert found == total, answer
    assert commit is None or Path(place).name == commit


def safe(answers: list[list], total: float) -> None:
    """What was refused at first was not loaded later either, and is right in the end."""
    refused(answers[0])
    assert all(answer[0] == "CheckpointError" or answer[1] == total for answer in answers), (answers, total)
    loaded(answers[-1], total)


def meddle_with(repo: Repo, kind: str, answer: Answer, name: str | None = None, attempts: int = 99) -> list[Request]:
    """Puts an answer in place of those to requests of a kind ("second info": all but the first); gives these."""
    met, first = [], 2 if kind.startswith("second ") else 1

    def meddle(request, _):
        matches = request.kind == kind.split()[-1] and name in (None, request.name)
        if matches and first <= request.attempt <= attempts:
            met.append(request)
            return Answer(**vars(answer))
        return None

    repo.meddle = meddle
    return met


def damage(repo: Repo, *names: str, how=one_byte, attempts: int = 1) -> None:
    """The content of these files is damaged on its way, the first times; what the hub says of them is right."""

    def meddle(request, answer):
        if request.kind == "get" and request.name in names and request.attempt <= attempts:
            answer.content = how(answer.content)

    repo.meddle = meddle


def given_time(condition, seconds: float = 1) -> bool:
    """Whether a condition comes to hold."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


# --- what is fetched ------------------------------------------------------------------------------

FORMATS = {
    "safetensors": ("BertForMaskedLM/safetensors", {"model.safetensors"}),
    "safetensors in shards": ("variants/safetensors_sharded", {"model.safetensors.index.json", *SHARDS}),
    "pytorch": ("BertForMaskedLM/pytorch", {"pytorch_model.bin"}),
    "pytorch in shards": (
        "variants/pytorch_sharded",
        {"pytorch_model.bin.index.json", *(f"pytorch_model-0000{i}-of-00003.bin" for i in (1, 2, 3))},
    ),
    "tensorflow": ("BertForMaskedLM/tensorflow", {"tf_model.h5"}),
    "tensorflow in shards": (
        "variants/tensorflow_sharded",
        {"tf_model.h5.index.json", *(f"tf_model-0000{i}-of-00003.h5" for i in (1, 2, 3))},
    ),
    "flax": ("BertForMaskedLM/flax", {"flax_model.msgpack"}),
    "flax in shards": (
        "variants/flax_sharded",
        {"flax_model.msgpack.index.json", *(f"flax_model-0000{i}-of-00003.msgpack" for i in (1, 2, 3))},
    ),
    "npz": ("npz", {"model.npz"}),
    "keras-hub": ("BertForMaskedLM/keras_hub", {"model.weights.h5", "task.weights.h5", "tokenizer.json", "task.json"}),
    "tf1": ("BertForMaskedLM/tf1", {"bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"}),
    "tf2": ("BertForMaskedLM/tf2", {"bert_model.ckpt-1.index", "bert_model.ckpt-1.data-00000-of-00001"}),
}
SMALL = {
    "config.json",
    "bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "assets/tokenizer/vocabulary.txt",
    "metadata.json",
}
# Of a KerasHub preset, beside its weights.
PRESET = {"task.json", "preprocessor.json"}


def format_folder(name: str, tmp_path: Path) -> Path:
    if name == "npz":
        bertx.convert(FOLDER, tmp_path / "npz", format="npz")
        return tmp_path / "npz"
    return CHECKPOINTS / FORMATS[name][0]


@pytest.mark.parametrize("name", FORMATS)
def test_a_model_in_one_format_is_loaded_with_its_tokenizer(hub, elsewhere, tmp_path, name):
    folder, weights = format_folder(name, tmp_path), FORMATS[name][1]
    repo = hub.add(folder_files(folder) | OTHERS)
    here, expected = elsewhere.load(str(folder))
    assert here == str(folder), expected
    loaded(elsewhere.load(repo.hub_id), expected)
    assert weights <= set(repo.fetched) <= weights | SMALL | PRESET
    assert len(repo.fetched) == len(set(repo.fetched))
    assert elsewhere.ask("tokenizer", repo.hub_id) == elsewhere.ask("tokenizer", str(folder))
    # Offline the same folder, and one that only has the small files is none.
    place, _ = elsewhere.ask("resolve", repo.hub_id)
    repo.meddle = lambda request, answer: Answer(503)
    assert elsewhere.ask("resolve", repo.hub_id) == [place, 0]
    for file in weights - SMALL - {"task.json"}:
        (Path(place) / file).unlink()
        refused(elsewhere.load(repo.hub_id))


def test_of_several_formats_only_the_first_is_fetched(hub, elsewhere, tmp_path):
    """Each time the weights that were fetched last are left out."""
    left = dict(OTHERS)
    for name in FORMATS:
        left |= folder_files(format_folder(name, tmp_path))
    left |= FILES  # one config for them all
    for name, (_, weights) in FORMATS.items():
        if name not in ("keras-hub", "tf1", "tf2"):  # of which the config is another one
            repo = hub.add(left)
            _, found = elsewhere.ask("resolve", repo.hub_id)
            assert found == 0, found
            assert set(repo.fetched) - SMALL - PRESET == weights
            left = {file: content for file, content in left.items() if file not in weights}


def test_the_small_files_that_a_checkpoint_may_have_are_fetched(hub, elsewhere):
    names = ("added_tokens.json", "generation_config.json", "special_tokens_map.json", "tokenizer_config.json")
    small = {name: f'{{"of": "{name}"}}'.encode() for name in names}
    repo = hub.add(FILES | small | {"sentence_bert_config.json": b"{}", "2_Dense/config.json": b"{}"})
    elsewhere.load(repo.hub_id)
    assert set(repo.fetched) == {*FILES, *names}  # without modules.json the others are of no module


def modules(*entries: tuple[str, str]) -> bytes:
    """A modules.json of (class, folder)."""
    listed = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(entries)
    ]
    return json.dumps(listed).encode()


def test_the_files_of_every_module_of_sentence_transformers_are_fetched(hub, elsewhere):
    files = {
        "modules.json": modules(
            ("Transformer", ""), ("Pooling", "own_pooling"), ("Dense", "2_Dense"), ("Normalize", "3")
        ),
        "own_pooling/config.json": b'{"word_embedding_dimension": 12, "pooling_mode_cls_token": true}',
        "2_Dense/config.json": b"{}",
        "2_Dense/model.safetensors": b"of the module",
        "sentence_bert_config.json": b'{"max_seq_length": 9}',
        "config_sentence_transformers.json": b'{"prompts": {"query": "find: "}}',
    }
    repo = hub.add(FILES | files | OTHERS | {"4_Other/config.json": b"{}", "2_Dense_old/config.json": b"{}"})
    assert elsewhere.ask("tokenizer", repo.hub_id)[0] == "tokenizer"
    assert set(repo.fetched) == {*FILES, *files} - {WEIGHTS, "2_Dense/model.safetensors"}
    place, _ = elsewhere.ask("resolve", repo.hub_id)
    assert set(repo.fetched) == {*FILES, *files}
    repo.meddle = lambda request, answer: Answer(503)
    assert elsewhere.ask("resolve", repo.hub_id) == [place, 0]


@pytest.mark.parametrize("subfolder", ["0_Transformer", "0_BERT"])
def test_an_encoder_in_a_subfolder_is_fetched_from_there(hub, elsewhere, subfolder):
    of_encoder = {f"{subfolder}/{name}": content for name, content in FILES.items()}
    files = {
        "modules.json": modules((subfolder[2:], subfolder), ("Pooling", "1_Pooling")),
        "1_Pooling/config.json": b'{"pooling_mode_mean_tokens": true}',
        f"{subfolder}/sentence_bert_config.json": b'{"max_seq_length": 9}',
    }
    repo = hub.add(of_encoder | files | {"pytorch_model.bin": b"of another", "README.md": b"read"})
    assert elsewhere.ask("resolve", repo.hub_id)[1] == 0
    assert set(repo.fetched) == {*of_encoder, *files}


@pytest.mark.parametrize("path", ["../../../outside", "1_Pooling/../../../outside", "/tmp/outside", "..\\outside"])
def test_modules_that_lead_out_of_the_cache_are_refused(hub, elsewhere, path):
    before = outside(elsewhere)
    repo = hub.add(FILES | {"modules.json": modules(("Pooling", path)), f"{path}/config.json": b"{}"})
    refused(elsewhere.load(repo.hub_id), "modules.json", "expected a subfolder")
    assert outside(elsewhere) == before


def test_files_of_a_module_that_lead_out_of_the_cache_are_not_fetched(hub, elsewhere):
    before = outside(elsewhere)
    names = ("1_Pooling/../../../../../../outside.json", "1_Pooling/..\\..\\outside.json", "1_Pooling//outside.json")
    repo = hub.add(FILES | {"modules.json": modules(("Pooling", "1_Pooling"))} | dict.fromkeys(names, b"{}"))
    assert elsewhere.ask("resolve", repo.hub_id)[1] == 0
    assert set(repo.fetched) == {*FILES, "modules.json"}
    assert outside(elsewhere) == before


def test_a_tokenizer_or_a_config_fetches_no_weights_and_the_model_only_those(hub, elsewhere, total):
    repo = hub.add(FILES | OTHERS | {"pytorch_model.bin": b"not for bertx"})
    assert elsewhere.ask("tokenizer", repo.hub_id) == elsewhere.ask("tokenizer", str(FOLDER))
    assert elsewhere.ask("config", repo.hub_id) == ["config", 12]
    assert set(repo.fetched) == set(FILES) - {WEIGHTS}
    # That is no model yet, where the hub cannot be reached.
    repo.meddle = lambda request, answer: Answer(503)
    refused(elsewhere.load(repo.hub_id), "could not be reached", "503")
    assert elsewhere.ask("config", repo.hub_id) == ["config", 12]
    repo.meddle = lambda request, answer: None
    repo.requests.clear()
    loaded(elsewhere.load(repo.hub_id), total)
    assert repo.fetched == [WEIGHTS]


def test_a_tokenizer_needs_no_weights_on_the_hub(hub, elsewhere):
    repo = hub.add({name: content for name, content in FILES.items() if name != WEIGHTS})
    assert elsewhere.ask("tokenizer", repo.hub_id)[0] == "tokenizer"
    assert elsewhere.ask("config", repo.hub_id)[0] == "config"


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("README.md", "config.json", "onnx/model.onnx"),
        ("config.json", "model-00001-of-00002.safetensors", "pytorch_model.bin.old"),
        ("config.json", "steps/bert_model.ckpt.index", "steps/bert_model.ckpt.data-00000-of-00001"),
        ("config.json", "sub/model.safetensors", "sub/pytorch_model.bin", "sub/vocab.txt"),
    ],
)
def test_a_repo_without_weights_is_an_error_that_lists_its_files_and_fetches_none(hub, elsewhere, names):
    repo = hub.add(dict.fromkeys(names, b"{}"))
    refused(elsewhere.load(repo.hub_id), "no weights that bertx reads", repo.hub_id, *names or ["no files"])
    assert repo.fetched == []


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "modules.json", "1_Pooling/config.json"])
def test_a_small_file_that_the_hub_declares_to_be_huge_is_not_fetched(hub, elsewhere, name):
    listed = {"modules.json": modules(("Pooling", "1_Pooling")), "1_Pooling/config.json": b"{}"}
    repo = hub.add(FILES | listed)

    def meddle(request, answer):
        if request.kind == "info":
            said = json.loads(answer.content)
            for file in said["siblings"]:
                file["size"] = 2**40 if file["rfilename"] == name else file["size"]
            answer.content = json.dumps(said).encode()

    repo.meddle = meddle
    refused(elsewhere.load(repo.hub_id), name, str(2**40), "at most")
    assert name not in repo.fetched


# --- the revision ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "revision",
    ["../../../../evil", "a/../../../../../evil", "/tmp/evil", "..", "", "a//b", ".hidden", "a\\..\\b", "x" * 300],
)
def test_a_revision_that_would_be_a_path_is_refused_without_asking(elsewhere, repo, revision):
    before = outside(elsewhere)
    for what in ("load", "tokenizer", "config"):
        answer = elsewhere.ask(what, repo.hub_id, revision)
        assert answer[0] == "ValueError" and "expected the name of a branch or tag, or a commit" in answer[1], answer
    assert outside(elsewhere) == before and repo.requests == []


def test_a_model_is_downloaded_and_then_cached_even_where_the_hub_cannot_be_reached(hub, repo, total, tmp_path):
    with Elsewhere(tmp_path / "home", hub.address) as first:
        answer = first.load(repo.hub_id)
        loaded(answer, total, repo.head)
        assert Path(answer[0]).is_relative_to(tmp_path)
        assert repo.fetched == sorted(FILES)
        assert first.load(repo.hub_id) == answer
    with Elsewhere(tmp_path / "home", unreachable()) as second:
        assert second.load(repo.hub_id) == answer
    with Elsewhere(tmp_path / "home", hub.address, HF_HUB_OFFLINE="1") as third:
        repo.requests.clear()
        assert third.load(repo.hub_id) == answer
        assert third.load(repo.hub_id, repo.head) == answer
        # What was not asked for before is not there: not another name's commit instead.
        repo.refs["v1"] = repo.head
        refused(third.load(repo.hub_id, "v1"), repo.hub_id, "offline")
        refused(third.load(repo.hub_id, "0" * 40), repo.hub_id, "offline")
        refused(third.load("someone/else"), "someone/else", "offline")
        assert repo.requests == []


def test_a_branch_a_tag_and_a_commit_are_what_is_loaded(elsewhere, repo, total):
    first, files = repo.head, other_weights(FILES)
    repo.refs["v1"] = first
    second = repo.commit(files)
    third = repo.commit({**FILES, "README.md": b"of a pull request"}, "refs/pr/1")
    place, changed = elsewhere.load(repo.hub_id)
    assert Path(place).name == second and changed != total
    for revision, commit, expected in [
        ("main", second, changed),
        ("v1", first, total),
        (first, first, total),
        (second, second, changed),
        ("refs/pr/1", third, total),
    ]:
        loaded(elsewhere.load(repo.hub_id, revision), expected, commit)
        loaded([elsewhere.ask("resolve", repo.hub_id, revision)[0], expected], expected, commit)
    # Offline by the same names.
    repo.meddle = lambda request, answer: Answer(500)
    for revision, commit in [(None, second), ("v1", first), (first, first), ("refs/pr/1", third)]:
        assert Path(elsewhere.load(repo.hub_id, revision)[0]).name == commit


def test_a_commit_is_pinned_while_its_branch_moves(elsewhere, repo, total):
    commit = repo.head
    repo.commit(other_weights(FILES))
    loaded(elsewhere.load(repo.hub_id, commit), total, commit)


def test_a_branch_that_has_moved_is_fetched_anew_but_for_files_that_stayed(elsewhere, repo, total):
    loaded(elsewhere.load(repo.hub_id), total, repo.head)
    repo.requests.clear()
    new = repo.commit(other_weights(FILES))
    place, changed = elsewhere.load(repo.hub_id)
    assert Path(place).name == new and changed != total
    assert repo.fetched == [WEIGHTS]


def test_a_branch_that_moves_while_it_is_fetched_gives_one_commit_or_none(elsewhere, repo, total):
    def meddle(request, answer):
        if request.kind == "info" and len(repo.commits) == 1:
            repo.commit(other_weights(FILES))

    repo.meddle = meddle
    first, (old, new) = elsewhere.load(repo.hub_id), repo.commits
    if first[0] == "CheckpointError":
        assert "changed on the hub while it was fetched: try again" in first[1]
    else:
        loaded(first, total, old)
    place, changed = elsewhere.load(repo.hub_id)
    assert Path(place).name == new and changed != total


@pytest.mark.parametrize("when", ["later", "where the hub is away"])
def test_a_branch_that_moves_to_damaged_files_while_it_is_fetched_does_not_load_them(elsewhere, repo, total, when):
    # The new commit holds the weights of `total`; the old one, others.
    repo.commits[repo.head] = other_weights(FILES)
    damage(repo, WEIGHTS)
    damaging = repo.meddle

    def meddle(request, answer):
        if request.kind == "info" and len(repo.commits) == 1:
            repo.commit(FILES)
        return damaging(request, answer)

    repo.meddle = meddle
    answers = [elsewhere.load(repo.hub_id)]
    if when == "where the hub is away":
        repo.meddle = lambda request, answer: Answer(503)
    answers += [elsewhere.load(repo.hub_id) for _ in range(3)]
    assert all(answer[1] == total for answer in answers if Path(answer[0]).name == repo.refs["main"]), answers
    if when == "later":
        loaded(answers[-1], total)


def test_a_repo_that_has_another_name_now_is_found_by_its_old_one(hub, elsewhere, repo, total):
    old = hub.add({})
    old.moved_to = repo.hub_id
    loaded(elsewhere.load(old.hub_id), total, repo.head)
    assert repo.fetched == sorted(FILES)


def test_a_model_that_the_hub_does_not_have_is_an_error(elsewhere):
    answer = elsewhere.load("someone/else")
    refused(answer)
    assert answer[1].startswith("there is no folder someone/else, and no such model on the hub: ")


def test_a_revision_that_the_hub_does_not_have_is_named(elsewhere, repo):
    answer = elsewhere.load(repo.hub_id, "v9")
    refused(answer)
    assert answer[1].startswith(f"there is no folder {repo.hub_id}, and no such model on the hub at revision v9: ")


def test_two_processes_that_fetch_one_model_at_the_same_time_both_have_it(hub, repo, total, tmp_path):
    with Elsewhere(tmp_path / "home", hub.address) as one, Elsewhere(tmp_path / "home", hub.address) as other:
        one.start("load", repo.hub_id)
        loaded(other.load(repo.hub_id), total)
        loaded(one.answer(), total)


def test_small_files_may_come_compressed(elsewhere, repo, total):
    """As they do from the hub: in gzip, without a length."""

    def meddle(request, answer):
        if request.kind == "get" and request.name != WEIGHTS:
            answer.content = gzip.compress(answer.content)
            answer.headers |= {"Content-Encoding": "gzip", "Content-Length": None}

    repo.meddle = meddle
    loaded(elsewhere.load(repo.hub_id), total)


# --- files that arrive otherwise than the hub declares them ---------------------------------------


@pytest.mark.parametrize("how", [shorter, longer, one_byte])
@pytest.mark.parametrize("name", [WEIGHTS, "config.json"])
@pytest.mark.parametrize("headers", ["right", "of the file as it is", "without sizes"])
def test_a_file_that_is_not_what_the_hub_declares_is_refused_and_fetched_anew(
    elsewhere, repo, total, name, how, headers
):
    wrong = how(FILES[name])

    def meddle(request, answer):
        if request.name != name or request.attempt > 1 or request.kind not in ("head", "get"):
            return
        if request.kind == "get":
            answer.content = wrong
        if headers == "without sizes":
            answer.headers |= {"Content-Length": None, "X-Linked-Size": None}
        elif headers == "of the file as it is":
            answer.headers["ETag"] = '"of-the-file-as-it-is"'
            if answer.status == 302:
                answer.headers |= {"X-Linked-Size": str(len(wrong)), "X-Linked-ETag": '"of-the-file-as-it-is"'}
            else:
                answer.content = wrong

    repo.meddle = meddle
    answer = elsewhere.load(repo.hub_id)
    refused(answer, repo.hub_id)
    if headers != "right":
        if how is one_byte:
            assert re.search("(SHA-256|git hash) [0-9a-f]+, the hub declares [0-9a-f]+", answer[1])
        else:
            assert f"{len(wrong)} bytes, the hub declares {len(FILES[name])}" in answer[1]
        assert name in answer[1] and "removed" in answer[1]
    assert not os.path.lexists(elsewhere.folder(repo) / "snapshots" / repo.head / name)
    assert all(blob.read_bytes() != wrong for blob in (elsewhere.folder(repo) / "blobs").iterdir())
    loaded(elsewhere.load(repo.hub_id), total, repo.head)
    assert repo.fetched == sorted([*FILES, name])
    cached = elsewhere.cached(repo)
    assert {name: cached[f"{repo.head}/{name}"] for name in FILES} == FILES


@pytest.mark.parametrize("name", [WEIGHTS, "vocab.txt"])
def test_where_the_hub_declares_only_a_size_that_is_checked(elsewhere, repo, total, name):
    def meddle(request, answer):
        if request.kind == "info":
            said = json.loads(answer.content)
            said["siblings"] = [{key: file.get(key) for key in ("rfilename", "size")} for file in said["siblings"]]
            answer.content = json.dumps(said).encode()
        elif request.name == name and request.attempt == 1:
            answer.headers |= {"Content-Length": None, "X-Linked-Size": None}
            answer.content = shorter(answer.content)

    repo.meddle = meddle
    refused(elsewhere.load(repo.hub_id), f"{len(FILES[name]) - 1} bytes, the hub declares {len(FILES[name])}")
    loaded(elsewhere.load(repo.hub_id), total)


def test_of_two_damaged_files_neither_is_loaded_later(elsewhere, repo, total):
    damage(repo, "config.json", WEIGHTS)
    safe([elsewhere.load(repo.hub_id) for _ in range(3)], total)


@pytest.mark.parametrize("kind", ["head", "get"])
def test_a_damaged_file_is_not_loaded_after_another_could_not_be_fetched(elsewhere, repo, total, kind):
    damage(repo, WEIGHTS)
    damaging = repo.meddle

    def meddle(request, answer):
        if request.name == "vocab.txt" and request.kind == kind and request.attempt == 1:
            given_time(lambda: any(path.endswith(f"/{WEIGHTS}") for path in elsewhere.cached(repo)))
            return Answer(403)
        return damaging(request, answer)

    repo.meddle = meddle
    safe([elsewhere.load(repo.hub_id) for _ in range(3)], total)


def test_a_damaged_file_is_not_loaded_after_a_kill_before_it_was_checked(hub, repo, total, tmp_path):
    damage(repo, WEIGHTS)
    damaging = repo.meddle

    def meddle(request, answer):
        if request.name == "config.json" and request.kind == "get" and request.attempt == 1:
            return Answer(200, answer.content, answer.headers, cut=10, stall=True)
        return damaging(request, answer)

    repo.meddle = meddle
    with Elsewhere(tmp_path / "home", hub.address) as first:
        first.start("load", repo.hub_id)
        assert repo.stalled.wait(20)
        given_time(lambda: any(path.endswith(f"/{WEIGHTS}") for path in first.cached(repo)))
        first.kill()
    with Elsewhere(tmp_path / "home", hub.address) as second:
        safe([second.load(repo.hub_id) for _ in range(3)], total)


def test_a_damaged_file_that_a_kill_left_unchecked_in_the_cache_is_not_loaded(elsewhere, repo, total):
    """As the library leaves it: a blob of the declared name, and the link to it."""
    elsewhere.ask("tokenizer", repo.hub_id)
    blob = elsewhere.folder(repo) / "blobs" / hashlib.sha256(FILES[WEIGHTS]).hexdigest()
    blob.write_bytes(one_byte(FILES[WEIGHTS]))
    (elsewhere.folder(repo) / "snapshots" / repo.head / WEIGHTS).symlink_to(blob)
    safe([elsewhere.load(repo.hub_id) for _ in range(2)], total)


def test_a_damaged_shard_is_refused_and_the_other_ones_are_kept(hub, elsewhere):
    repo = hub.add(folder_files(SHARDED))
    damage(repo, SHARDS[1])
    refused(elsewhere.load(repo.hub_id), SHARDS[1], "SHA-256")
    loaded(elsewhere.load(repo.hub_id), elsewhere.load(str(SHARDED))[1])
    assert repo.fetched == sorted([*folder_files(SHARDED), SHARDS[1]])


@pytest.mark.parametrize(("what", "name"), [("tokenizer", "vocab.txt"), ("config", "config.json")])
def test_a_damaged_file_of_a_tokenizer_or_config_is_refused(elsewhere, repo, what, name):
    damage(repo, name, how=shorter)
    refused(elsewhere.ask(what, repo.hub_id), name)
    assert elsewhere.ask(what, repo.hub_id) == elsewhere.ask(what, str(FOLDER))


def test_a_damaged_file_that_another_is_equal_to_is_fetched_anew_for_both(hub, elsewhere, total):
    equal = {"added_tokens.json": b"{ }", "generation_config.json": b"{ }"}
    repo = hub.add(FILES | equal)
    damage(repo, *equal, how=lambda content: b"{1}")
    safe([elsewhere.load(repo.hub_id) for _ in range(4)], total)
    cached = elsewhere.cached(repo)
    assert {name: cached[f"{repo.head}/{name}"] for name in equal} == equal


def test_a_file_that_stays_damaged_is_refused_each_time(elsewhere, repo):
    damage(repo, WEIGHTS, attempts=9)
    for _ in range(3):
        refused(elsewhere.load(repo.hub_id), WEIGHTS, "SHA-256")
    # Nor is it there once the hub is away.
    repo.meddle = lambda request, answer: Answer(503)
    refused(elsewhere.load(repo.hub_id), "could not be reached")


def test_a_cache_without_links_refuses_as_well(hub, repo, total, tmp_path):
    damage(repo, WEIGHTS)
    with Elsewhere(tmp_path / "home", hub.address, HF_HUB_DISABLE_SYMLINKS="1") as elsewhere:
        refused(elsewhere.load(repo.hub_id), WEIGHTS, "SHA-256", "removed")
        assert not any(path.endswith(f"/{WEIGHTS}") for path in elsewhere.cached(repo))
        loaded(elsewhere.load(repo.hub_id), total)


# --- broken transfers -----------------------------------------------------------------------------


def test_a_connection_that_drops_in_the_weights_is_resumed_where_it_broke(elsewhere, repo, total):
    def meddle(request, answer):
        if request.kind == "get" and request.name == WEIGHTS and request.attempt == 1:
            answer.cut = 9000

    repo.meddle = meddle
    loaded(elsewhere.load(repo.hub_id), total)
    starts = [request.start for request in repo.requests if request.kind == "get" and request.name == WEIGHTS]
    assert len(starts) == 2 and starts[0] == 0 < starts[1] <= 9000


def test_a_connection_that_falls_silent_is_resumed(elsewhere, repo, total):
    def meddle(request, answer):
        if request.kind == "get" and request.name == WEIGHTS and request.attempt == 1:
            answer.cut, answer.stall = 9000, True

    repo.meddle = meddle
    loaded(elsewhere.load(repo.hub_id), total)
    assert repo.fetched.count(WEIGHTS) == 2


def test_a_hub_without_ranges_sends_the_weights_whole_again(elsewhere, repo, total):
    def meddle(request, answer):
        if request.kind == "get" and request.name == WEIGHTS:
            answer.ranges = False
            answer.cut = 9000 if request.attempt == 1 else None

    repo.meddle = meddle
    loaded(elsewhere.load(repo.hub_id), total)
    assert repo.fetched.count(WEIGHTS) == 2


def test_weights_that_are_resumed_at_the_wrong_place_are_refused(elsewhere, repo, total):
    size = len(FILES[WEIGHTS])

    def meddle(request, answer):
        if request.kind != "get" or request.name != WEIGHTS or request.attempt > 2:
            return None
        if not request.start:
            return Answer(200, answer.content, answer.headers, cut=9000)
        place = {"Content-Range": f"bytes {request.start}-{size - 1}/{size}"}
        return Answer(206, FILES[WEIGHTS][: size - request.start], answer.headers | place, ranges=False)

    repo.meddle = meddle
    refused(elsewhere.load(repo.hub_id), WEIGHTS, "SHA-256")
    assert [request.start > 0 for request in repo.requests if request.kind == "get" and request.name == WEIGHTS] == [
        False,
        True,
    ]
    loaded(elsewhere.load(repo.hub_id), total)


@pytest.mark.parametrize("cut", [0, 9000])
def test_a_connection_that_keeps_dropping_is_an_error_and_leaves_nothing(elsewhere, repo, total, cut):
    def meddle(request, answer):
        if request.kind == "get" and request.name == WEIGHTS:
            answer.cut = cut if request.attempt == 1 else 0

    repo.meddle = meddle
    refused(elsewhere.load(repo.hub_id), repo.hub_id, "could not be fetched")
    assert not any(path.endswith(f"/{WEIGHTS}") for path in elsewhere.cached(repo))
    assert not list((elsewhere.folder(repo) / "blobs").glob("*.incomplete"))
    refused(elsewhere.load(repo.hub_id))
    repo.meddle = lambda request, answer: Answer(503)
    refused(elsewhere.load(repo.hub_id), "could not be reached")
    repo.meddle = lambda request, answer: None
    loaded(elsewhere.load(repo.hub_id), total)


@pytest.mark.parametrize("kind", ["info", "second info", "tree", "head"])
def test_a_connection_that_drops_before_the_weights_is_an_error_or_tried_again(elsewhere, repo, total, kind):
    met = meddle_with(repo, kind, Answer(0), WEIGHTS if kind == "head" else None)
    answer = elsewhere.load(repo.hub_id)
    if met:
        refused(answer, repo.hub_id)
    repo.meddle = lambda request, answer: None
    loaded(elsewhere.load(repo.hub_id), total)


@pytest.mark.parametrize("kind", ["info", "second info", "tree", "head"])
def test_a_hub_that_takes_the_question_and_says_nothing_does_not_keep_us(elsewhere, repo, total, kind):
    times = 2 if kind == "second info" else 1
    met = meddle_with(repo, kind, Answer(0, stall=True), WEIGHTS if kind == "head" else None, times)
    answer = elsewhere.load(repo.hub_id, seconds=10)
    if met and kind != "head":  # for which the library asks again
        refused(answer, repo.hub_id)
    else:
        loaded(answer, total)


def kill_in(hub: Server, repo: Repo, home: Path, name: str, until) -> None:
    """Starts to load, and kills the process when part of a file was sent and `until(worker)` holds."""

    def meddle(request, answer):
        if request.kind == "get" and request.name == name and request.attempt == 1:
            answer.cut, answer.stall = len(answer.content) * 3 // 4, True

    repo.meddle = meddle
    with Elsewhere(home, hub.address) as worker:
        worker.start("load", repo.hub_id)
        assert repo.stalled.wait(20)
        assert given_time(lambda: until(worker), 20)
        worker.kill()


def test_a_download_that_is_killed_in_the_middle_is_not_loaded_and_fetched_again(hub, repo, total, tmp_path):
    def half(worker):
        return any(path.stat().st_size > 0 for path in (worker.folder(repo) / "blobs").glob("*.incomplete"))

    kill_in(hub, repo, tmp_path / "home", WEIGHTS, half)
    with Elsewhere(tmp_path / "home", hub.address, HF_HUB_OFFLINE="1") as offline:
        assert not any(path.endswith(f"/{WEIGHTS}") for path in offline.cached(repo))
        refused(offline.load(repo.hub_id), repo.hub_id)
    with Elsewhere(tmp_path / "home", hub.address) as again:
        loaded(again.load(repo.hub_id), total, repo.head)
    assert repo.fetched.count(WEIGHTS) == 2


@pytest.mark.parametrize("listing", ["kept", "lost"])
def test_a_download_that_is_killed_between_shards_is_not_loaded_and_then_completed(hub, tmp_path, listing):
    repo = hub.add(folder_files(SHARDED))

    def one_whole(worker):
        return any(path.endswith(SHARDS[0]) for path in worker.cached(repo))

    kill_in(hub, repo, tmp_path / "home", SHARDS[1], one_whole)
    with Elsewhere(tmp_path / "home", hub.address, HF_HUB_OFFLINE="1") as offline:
        if listing == "lost":  # an older huggingface_hub keeps none
            shutil.rmtree(offline.folder(repo) / "trees", ignore_errors=True)
        refused(offline.load(repo.hub_id))
        refused(offline.load(repo.hub_id, repo.head))
    with Elsewhere(tmp_path / "home", hub.address) as again:
        loaded(again.load(repo.hub_id), again.load(str(SHARDED))[1])
    assert [repo.fetched.count(shard) for shard in SHARDS[:2]] == [1, 2]


def test_a_download_that_is_killed_after_the_weights_is_not_loaded_without_its_vocabulary(hub, repo, total, tmp_path):
    def weights(worker):
        return given_time(lambda: any(path.endswith(f"/{WEIGHTS}") for path in worker.cached(repo))) or True

    kill_in(hub, repo, tmp_path / "home", "vocab.txt", weights)
    with Elsewhere(tmp_path / "home", hub.address, HF_HUB_OFFLINE="1") as offline:
        refused(offline.load(repo.hub_id))
        refused(offline.ask("tokenizer", repo.hub_id))
        refused(offline.load(repo.hub_id, repo.head))
    with Elsewhere(tmp_path / "home", hub.address) as again:
        loaded(again.load(repo.hub_id), total)
        assert again.ask("tokenizer", repo.hub_id) == again.ask("tokenizer", str(FOLDER))


def test_a_whole_download_of_which_the_listing_is_lost_is_loaded_offline(hub, elsewhere, repo, total):
    loaded(elsewhere.load(repo.hub_id), total)
    with Elsewhere(elsewhere.home, hub.address, HF_HUB_OFFLINE="1") as offline:
        shutil.rmtree(offline.folder(repo) / "trees", ignore_errors=True)
        loaded(offline.load(repo.hub_id), total)


# --- a hub that is ill ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_hub_that_cannot_answer_now_is_an_error_unless_the_model_is_cached(elsewhere, repo, total, status):
    def ill(request, answer):
        return Answer(status, b"<html>overloaded</html>", {"Retry-After": "1"})

    repo.meddle = ill
    refused(elsewhere.load(repo.hub_id), f"there is no folder {repo.hub_id}", "could not be reached", str(status))
    repo.meddle = lambda request, answer: None
    answer = elsewhere.load(repo.hub_id)
    loaded(answer, total)
    repo.meddle = ill
    assert elsewhere.load(repo.hub_id) == answer


@pytest.mark.parametrize("status", [403, 404, 429, 500, 503])
@pytest.mark.parametrize("kind", ["second info", "tree", "head", "get"])
def test_a_hub_that_fails_in_the_middle_is_an_error_and_works_the_next_time(elsewhere, repo, total, kind, status):
    answer = Answer(status, b"", {"Retry-After": "0"})
    met = meddle_with(repo, kind, answer, WEIGHTS if kind in ("head", "get") else None)
    answer = elsewhere.load(repo.hub_id)
    if met:
        refused(answer, repo.hub_id)
    repo.meddle = lambda request, answer: None
    loaded(elsewhere.load(repo.hub_id), total)


@pytest.mark.parametrize(("kind", "status"), [("head", 503), ("head", 429), ("get", 429)])
def test_a_hub_that_fails_twice_for_a_file_is_asked_again(elsewhere, repo, total, kind, status):
    met = meddle_with(repo, kind, Answer(status, b"", {"Retry-After": "0"}), WEIGHTS, attempts=2)
    loaded(elsewhere.load(repo.hub_id), total)
    assert len(met) == 2


GARBAGE = {
    "a page": b"<!doctype html><html>Welcome to the hotel</html>",
    "nothing": b"",
    "half": b'{"id": "someone/tiny',
    "no text": b"\xff\xfe\x00{",
    "depth": b"[" * 100_000,
    "null": b"null",
    "a list": b"[]",
    "an empty object": b"{}",
    "no commit": b'{"id": "a/b", "sha": null, "siblings": [{"rfilename": "model.safetensors"}]}',
    "a number as commit": b'{"id": "a/b", "sha": 5, "siblings": [{"rfilename": "model.safetensors"}]}',
    "no files": b'{"id": "a/b", "sha": "SHA", "siblings": null}',
    "numbers as files": b'{"id": "a/b", "sha": "SHA", "siblings": [5]}',
    "numbers as names": b'{"id": "a/b", "sha": "SHA", "siblings": [{"rfilename": 5}]}',
    "a number and names": b'{"id": "a/b", "sha": "SHA", "siblings": [{"rfilename": 5}, {"rfilename": "config.json"}]}',
    "a word as size": b'{"id": "a/b", "sha": "SHA", "siblings": [{"rfilename": "model.safetensors", "size": "big"}]}',
    "no hash": b'{"id": "a/b", "sha": "SHA", "siblings": [{"rfilename": "model.safetensors", "lfs": {"size": 9}}]}',
    "a number as hash": b'{"id": "a/b", "sha": "SHA", "siblings": [{"rfilename": "model.safetensors", "blobId": 9}]}',
}


@pytest.mark.parametrize("what", ["load", "tokenizer"])
@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_in_place_of_the_listing_is_an_error(elsewhere, repo, garbage, what):
    meddle_with(repo, "info", Answer(200, GARBAGE[garbage].replace(b"SHA", repo.head.encode())))
    answer = elsewhere.ask(what, repo.hub_id)
    if what == "tokenizer" and answer[0] == "FileNotFoundError":
        assert "has no tokenizer" in answer[1]
    else:
        refused(answer)


@pytest.mark.parametrize("garbage", [b"<html>", b"", b"null", b"{}", b"[{}]", b"[5]", b"[" * 100_000, b"\xff"])
@pytest.mark.parametrize("kind", ["second info", "tree"])
def test_garbage_in_place_of_the_second_listing_is_an_error(elsewhere, repo, total, kind, garbage):
    met = meddle_with(repo, kind, Answer(200, garbage))
    answer = elsewhere.load(repo.hub_id)
    if met:
        refused(answer, repo.hub_id)
    repo.meddle = lambda request, answer: None
    loaded(elsewhere.load(repo.hub_id), total)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("kind", ["info", "tree", "head", "get"])
def test_a_gated_repo_is_an_error_that_says_so(elsewhere, repo, kind, status):
    headers = {"X-Error-Code": "GatedRepo", "X-Error-Message": f"Access to {repo.hub_id} is restricted"}
    met = meddle_with(repo, kind, Answer(status, b"", headers))
    answer = elsewhere.load(repo.hub_id)
    if met:
        refused(answer, repo.hub_id, "gated")
        assert "no such model" not in answer[1]


def test_a_hub_that_cannot_be_reached_is_an_error(tmp_path):
    with Elsewhere(tmp_path / "home", unreachable()) as elsewhere:
        answer = elsewhere.load("someone/tiny-bert")
    refused(answer)
    assert answer[1].startswith("there is no folder someone/tiny-bert, and the hub could not be reached: ")


def test_offline_without_a_cached_copy_is_an_error_and_asks_nobody(hub, repo, tmp_path):
    with Elsewhere(tmp_path / "home", hub.address, HF_HUB_OFFLINE="1") as elsewhere:
        refused(elsewhere.load(repo.hub_id), repo.hub_id, "offline")
    assert repo.requests == []


# --- caches that another has filled, or that cannot be written ------------------------------------


def as_another_library(worker: Elsewhere, repo: Repo, hub_id: str | None = None, without: tuple[str, ...] = ()) -> Path:
    """The cache as huggingface_hub leaves it for transformers: links to blobs, a ref, and no file of ours."""
    storage = worker.home / "hub" / f"models--{(hub_id or repo.hub_id).replace('/', '--')}"
    folder = storage / "snapshots" / repo.head
    for name, content in repo.commits[repo.head].items():
        if name not in without:
            digest = hashlib.sha256(content).hexdigest() if name == WEIGHTS else git_hash(content)
            blob = storage / "blobs" / digest
            blob.parent.mkdir(parents=True, exist_ok=True)
            blob.write_bytes(content)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(os.path.relpath(blob, (folder / name).parent))
    (storage / "refs").mkdir()
    (storage / "refs" / "main").write_text(repo.head)
    return folder


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def test_a_cache_that_another_library_has_filled_serves_offline(hub, repo, total, tmp_path):
    with Elsewhere(tmp_path / "home", unreachable()) as worker:
        folder = as_another_library(worker, repo)
        loaded(worker.load(repo.hub_id), total, repo.head)
        loaded(worker.load(repo.hub_id, repo.head), total, repo.head)
        assert not (folder / ".bertx.json").exists()
        refused(worker.load(repo.hub_id, "v1"), "could not be reached")
    # Also where it downloaded what it needs alone, and has a listing of all.
    with Elsewhere(tmp_path / "other", unreachable()) as worker:
        as_another_library(worker, repo, without=("vocab.txt", "special_tokens_map.json"))
        tree = worker.folder(repo) / "trees" / f"{repo.head}.json"
        tree.parent.mkdir()
        tree.write_text(json.dumps({name: {"size": len(c), "blob_id": git_hash(c)} for name, c in FILES.items()}))
        loaded(worker.load(repo.hub_id), total)


@pytest.mark.parametrize(
    ("without", "said"), [((WEIGHTS,), "expected config.json and the weights"), (("config.json",), "config.json")]
)
def test_a_part_of_a_snapshot_is_said_to_be_one(hub, repo, tmp_path, without, said):
    with Elsewhere(tmp_path / "home", unreachable()) as worker:
        folder = as_another_library(worker, repo, without=without)
        answer = worker.load(repo.hub_id)
        refused(answer, said, str(folder))
        if WEIGHTS in without:
            refused(answer, "could not be reached", "is not whole")
            assert worker.ask("config", repo.hub_id) == ["config", 12]


def test_a_part_of_the_shards_is_said_to_be_one(hub, tmp_path):
    repo = hub.add(folder_files(SHARDED))
    with Elsewhere(tmp_path / "home", hub.address, HF_HUB_OFFLINE="1") as worker:
        as_another_library(worker, repo, without=SHARDS[1:2])
        refused(worker.load(repo.hub_id), "offline", "is not whole", SHARDS[1])


@pytest.mark.parametrize(
    ("cached", "asked"),
    [
        ("bert-base-uncased", ("bert-base-uncased", "bert-base", "google-bert/bert-base-uncased")),
        ("google-bert/bert-large-cased", ("bert-large-cased", "google-bert/bert-large-cased")),
        ("bert-base-cased-finetuned-mrpc", ("google-bert/bert-base-cased-finetuned-mrpc",)),
        ("google-bert/bert-base-cased-finetuned-mrpc", ("bert-base-cased-finetuned-mrpc",)),
    ],
)
def test_offline_a_model_is_found_under_the_name_that_it_had_before_organisations(
    hub, repo, total, tmp_path, cached, asked
):
    with Elsewhere(tmp_path / "home", unreachable()) as worker:
        folder = as_another_library(worker, repo, cached)
        for name in asked:
            assert worker.load(name) == [str(folder), total]


def test_no_other_organisation_is_taken_for_that(hub, repo, tmp_path):
    with Elsewhere(tmp_path / "home", unreachable()) as worker:
        as_another_library(worker, repo, "bert-base-uncased")
        for name in ("someone/bert-base-uncased", "google/bert-base-uncased"):
            refused(worker.load(name), "could not be reached")


@pytest.mark.parametrize("variable", ["HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"])
def test_the_cache_is_where_the_environment_says(hub, repo, total, tmp_path, variable):
    place = tmp_path / "place"
    with Elsewhere(tmp_path / "home", hub.address, **{variable: str(place)}) as worker:
        loaded(worker.load(repo.hub_id), total)
    cache = place / "hub" if variable == "HF_HOME" else place
    assert (cache / f"models--{repo.hub_id.replace('/', '--')}" / "refs" / "main").read_text() == repo.head
    with Elsewhere(tmp_path / "home", hub.address, **{variable: str(place), "HF_HUB_OFFLINE": "1"}) as worker:
        loaded(worker.load(repo.hub_id), total)


def test_a_snapshot_is_a_folder_like_any_other(hub, elsewhere, repo, total, tmp_path, monkeypatch):
    """Through a link, relative, and as "."; its files are links to the model's blobs."""
    folder = Path(elsewhere.load(repo.hub_id)[0])
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "cache").symlink_to(folder.parents[2])
    inside = tmp_path / "cache" / folder.relative_to(folder.parents[2])
    for source in (tmp_path / "link", inside, os.path.relpath(folder, elsewhere.home)):
        assert elsewhere.load(str(source)) == [str(source), total]
    monkeypatch.chdir(folder)
    model = bertx.load(".", backend="numpy")
    assert bertx.inspect(".").loads and model.tokenizer("cat")["input_ids"]
    model.save(tmp_path / "saved")
    bertx.convert(".", tmp_path / "converted", "npz")
    assert not any(path.is_symlink() for place in ("saved", "converted") for path in (tmp_path / place).rglob("*"))


@contextlib.contextmanager
def read_only(folder: Path):
    """Nobody can write there but root, as which a worker does not act with `obeys_modes`."""
    paths = [folder, *folder.rglob("*")]
    before = {path: path.stat().st_mode for path in paths if not path.is_symlink()}
    for path, mode in before.items():
        path.chmod(mode & ~0o222 | 0o555 if path.is_dir() else mode & ~0o222 | 0o444)
    try:
        yield
    finally:
        for path, mode in before.items():
            path.chmod(mode)


@pytest.mark.parametrize("filled_by", ["bertx", "another library"])
def test_a_cache_that_is_read_only_serves_with_the_hub_reachable(hub, repo, total, tmp_path, filled_by):
    home = tmp_path / "home"
    with Elsewhere(home, hub.address) as worker:
        if filled_by == "bertx":
            loaded(worker.load(repo.hub_id), total)
        else:
            as_another_library(worker, repo)
    cache = home / "hub"
    with (
        read_only(cache),
        Elsewhere(tmp_path / "user", hub.address, obeys_modes=True, HF_HUB_CACHE=str(cache)) as worker,
    ):
        repo.requests.clear()
        for revision in (None, "main", repo.head):
            loaded(worker.load(repo.hub_id, revision), total, repo.head)
        assert worker.ask("tokenizer", repo.hub_id) == worker.ask("tokenizer", str(FOLDER))
        assert repo.fetched == []
        # The hub has moved on: what is there is used, and that is said.
        old, new = repo.head, repo.commit(other_weights(FILES))
        loaded(worker.load(repo.hub_id), total, old)
        assert f"is {new} on the hub now" in worker.stderr.read_text()
        refused(worker.load(repo.hub_id, new), "cache cannot be written", "HF_HUB_CACHE")
        other = hub.add(FILES)
        refused(worker.load(other.hub_id), "cache cannot be written", str(cache), "HF_HUB_CACHE")


def test_downloads_at_the_same_time_lose_nothing(hub, total, tmp_path):
    """One fetches the tokenizer's files, others the model: offline all of it is there."""
    for _ in range(5):
        repo = hub.add(FILES)
        with contextlib.ExitStack() as stack:
            workers = [stack.enter_context(Elsewhere(tmp_path / "home", hub.address)) for _ in range(3)]
            for worker, what in zip(workers, ("tokenizer", "load", "config"), strict=True):
                worker.start(what, repo.hub_id)
            for worker in workers:
                assert worker.answer()[0] != "CheckpointError"
            state = json.loads((workers[0].folder(repo) / "snapshots" / repo.head / ".bertx.json").read_text())
            assert state["small"] and state["weights"] and set(state["checked"]) == set(FILES)


def test_the_state_of_a_snapshot_keeps_what_others_add(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda i: download._update_state(tmp_path / "it", {f"{i}": (i, None)}, i == 3, i == 5),
                range(200),
            )
        )
    state = json.loads((tmp_path / "it" / ".bertx.json").read_text())
    assert state["checked"] == {f"{i}": [i, None] for i in range(200)} and state["small"] and state["weights"]
    assert os.listdir(tmp_path / "it") == [".bertx.json"]


# --- what is written where ------------------------------------------------------------------------


def outside(worker: Elsewhere) -> set[str]:
    """All files around the worker's cache, those of the repos in it left out."""
    found = set()
    for place, folders, files in os.walk(worker.home.parent):
        folders[:] = [folder for folder in folders if not folder.startswith(("models--", ".locks"))]
        found |= {os.path.join(place, file) for file in files}
    return found


@pytest.mark.parametrize(
    "names",
    [
        ("{}evil.ckpt.index", "{}evil.ckpt.data-00000-of-00001"),
        ("{}vocab.txt", "{}model.safetensors", "{}pytorch_model.bin"),
        ("model.safetensors.index.json", "model-{}evil.safetensors"),
    ],
)
def test_names_that_lead_out_of_the_cache_are_not_written(hub, elsewhere, repo, total, tmp_path, names):
    loaded(elsewhere.load(repo.hub_id), total)
    before = outside(elsewhere)
    for place in ("../../../../", "../" * 9, f"{tmp_path}/", "..\\..\\..\\..\\", "sub/../../../../../"):
        repo = hub.add({"config.json": b"{}"} | {name.format(place): b"{}" for name in names})
        refused(elsewhere.load(repo.hub_id))
    assert outside(elsewhere) == before


@pytest.mark.parametrize("commit", ["../../../../evil", "{}/evil", ".."])
def test_a_commit_that_leads_out_of_the_cache_is_not_written(hub, elsewhere, repo, total, tmp_path, commit):
    loaded(elsewhere.load(repo.hub_id), total)
    before = outside(elsewhere)
    other, commit = hub.add(FILES), commit.format(tmp_path)
    other.commits[commit], other.refs["main"] = FILES, commit
    refused(elsewhere.load(other.hub_id))
    assert outside(elsewhere) == before


@pytest.mark.parametrize("name", [WEIGHTS, "config.json"])
def test_a_hash_that_names_a_file_outside_of_the_cache_does_not_remove_it(elsewhere, repo, tmp_path, name):
    (tmp_path / "precious").write_text("of the user")
    place = os.path.relpath(tmp_path / "precious", elsewhere.folder(repo) / "blobs")

    def meddle(request, answer):
        if request.kind == "head" and request.name == name:
            answer.headers |= {"ETag": f'"{place}"'} | ({"X-Linked-ETag": f'"{place}"'} if name == WEIGHTS else {})

    repo.meddle = meddle
    refused(elsewhere.load(repo.hub_id))
    assert (tmp_path / "precious").read_text() == "of the user"


def test_progress_is_not_written_to_stdout(hub, repo, total, tmp_path):
    with Elsewhere(tmp_path / "home", hub.address, TQDM_POSITION="-1") as elsewhere:  # though stderr is no terminal
        loaded(elsewhere.load(repo.hub_id), total)
        assert elsewhere.finish() == ""
        assert "100%" in elsewhere.stderr.read_text()


def test_a_cache_that_cannot_be_written_is_an_error(hub, repo, tmp_path):
    (tmp_path / "file").touch()
    with Elsewhere(tmp_path / "home", hub.address, HF_HUB_CACHE=str(tmp_path / "file")) as elsewhere:
        refused(elsewhere.load(repo.hub_id), "could not be fetched", str(tmp_path / "file"))
