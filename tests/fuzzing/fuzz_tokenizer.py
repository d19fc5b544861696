"""Fuzzing of the files of a tokenizer: mutated folders load and tokenise, or are refused with the file named.

    python tests/fuzzing/fuzz_tokenizer.py --count 10000 --seed 0

Case i of a seed is always the same folder. What is neither loaded nor a CheckpointError that names the folder is
printed: an exception of another type, one without a place, a hang, a file outside the folder that was read.
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import json
import random
import re
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fixture_files import CASES

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE)]
SEEDS = (
    CASES / "01_added_tokens_slow" / "folder",
    CASES / "02_added_tokens_before_4_34" / "folder",
    CASES / "03_japanese" / "folder_wordpiece",
    CASES / "24_additional_special_tokens" / "folder",
)
TEXTS = ["the quick brown fox", "Grüße an den Hund", "a dog jumps over the river", "☃ 日本語"]
KEYS = ("do_lower_case", "never_split", "model_max_length", "padding_side", "tokenizer_class", "auto_map", "mask_token")
KEYS += ("additional_special_tokens", "extra_special_tokens", "added_tokens_decoder", "model_input_names", "max_len")
KEYS += ("clean_up_tokenization_spaces", "truncation_side", "strip_accents", "image_token", "word_tokenizer_type")
KEYS += ("add_prefix_space", "trim_offsets", "sp_model_kwargs")
SECONDS = 10


def seeds(scratch: Path) -> list[dict[str, bytes]]:
    """The folders that are changed: the cases, one that bertx saved, a preset of KerasHub, RoBERTa's and XLM-R's."""
    from bertx.tokenizers.auto import read_tokenizer
    from bertx.tokenizers.bert import BertTokenizer
    from bertx.tokenizers.files import copy_tokenizer
    from bertx.tokenizers.names import FILES

    BertTokenizer.from_pretrained(SEEDS[0]).save_pretrained(scratch / "saved")
    (scratch / "preset").mkdir()
    copy_tokenizer(SEEDS[1], scratch / "preset", keras=True)
    folders = [*SEEDS, scratch / "saved", scratch / "preset"]
    for folder in (byte_pairs(scratch), unigram(scratch, "nmt_nfkc"), unigram(scratch, "identity")):
        read_tokenizer(folder).save_pretrained(scratch / f"{folder.name} saved")
        folders += [folder, scratch / f"{folder.name} saved"]
    return [
        {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.name in (*FILES, "vocabulary.txt")
        }
        for folder in folders
    ]


def byte_pairs(scratch: Path) -> Path:
    """A folder with vocab.json and merges.txt."""
    from tokenizers.pre_tokenizers import ByteLevel

    folder = scratch / "byte_pairs"
    folder.mkdir()
    merges = ["t h", "Ġ t", "th e", "Ġt h", "Ġth e", "o x", "Ġ f", "Ġf ox", "r o", "e r"]
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *sorted(ByteLevel.alphabet())]
    tokens += [*(merge.replace(" ", "") for merge in merges), "<mask>"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "RobertaTokenizer", "model_max_length": 512}')
    return folder


def unigram(scratch: Path, rule: str) -> Path:
    """A folder with sentencepiece.bpe.model."""
    import sentencepiece

    folder = scratch / f"unigram {rule}"
    folder.mkdir()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 9),
        model_prefix=str(folder / "sentencepiece.bpe"),
        vocab_size=60,
        hard_vocab_limit=False,
        normalization_rule_name=rule,
        user_defined_symbols=["<X>"],
        num_threads=1,
        minloglevel=2,
    )
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "XLMRobertaTokenizerFast"}')
    return folder


def generate(seed: int, case: int, known: list[dict[str, bytes]]) -> dict[str, object]:
    """The files of a case."""
    import mutations as m

    rng = random.Random(f"tokenizer/{seed}/{case}")
    files: dict[str, object] = dict(rng.choice(known))
    donor = rng.choice(known)
    for _ in range(rng.choices((1, 2, 4), (70, 20, 10))[0]):
        plain = [name for name, content in files.items() if isinstance(content, bytes)]
        name = rng.choice(plain) if plain else "vocab.txt"
        content, kind = files.get(name, b""), rng.random()
        if kind < 0.06:
            m.change_files(rng, files, donor)
        elif kind < 0.2 and name.endswith(".json"):
            try:
                values = json.loads(content)
                values[rng.choice(KEYS)] = m.json_value(rng, values.get(rng.choice(KEYS)))
                files[name] = json.dumps(values).encode("utf-8", "surrogatepass")
            except (ValueError, TypeError, AttributeError, RecursionError):
                files[name] = m.change_bytes(rng, content)
        elif kind < 0.75 and name.endswith(".json"):
            try:
                files[name] = m.change_json(rng, content)
            except (RecursionError, OverflowError):
                files[name] = m.change_bytes(rng, content)
        else:
            files[name] = m.change_bytes(rng, content, None, donor.get(name, b"x"))
    return files


def examine(folder: Path, target: Path) -> tuple[str, str]:
    """(outcome, in words) of a folder."""
    from bertx.tokenizers.auto import read_tokenizer
    from bertx_weights import CheckpointError

    try:
        tokenizer = read_tokenizer(folder)
        padding = tokenizer.pad_token is not None
        batch = tokenizer(["the [E1] dog", "ACME " * 9], ["on", "x"], padding=padding, truncation=True, max_length=20)
        tokenizer.decode(batch["input_ids"][0])
        tokenizer.get_special_tokens_mask(batch["input_ids"][0], already_has_special_tokens=True)
        tokenizer.save_pretrained(target)
    except (CheckpointError, FileNotFoundError) as error:
        return ("refused" if str(folder) in str(error) else "no place"), str(error)
    except BaseException as error:
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if "bertx" in frame.filename]
        at = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "?"
        return "escape", f"{type(error).__name__} at {at}: {str(error)[:300]}"
    try:
        again = read_tokenizer(target)
    except BaseException as error:
        return "not read again", f"{type(error).__name__}: {str(error)[:300]}"
    same = again(["the [E1] dog", "ACME"])["input_ids"] == tokenizer(["the [E1] dog", "ACME"])["input_ids"]
    return ("loaded", "") if same else ("not read again", "as other ids")


def main() -> None:
    """Prints a line of JSON: how many of each outcome, the failures, and the shapes of refusals."""
    from fuzz import write

    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="only this one, which is kept in /tmp/fuzz-tokenizer")
    given = parser.parse_args()
    outcomes, failures, refused = collections.Counter(), {}, collections.Counter()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        known = seeds(scratch)
        for case in range(given.count) if given.case is None else (given.case,):
            folder, target = scratch / "case", scratch / "target"
            for path in (folder, target):
                shutil.rmtree(path, ignore_errors=True)
            write(folder, generate(given.seed, case, known))
            if given.case is not None:
                shutil.copytree(folder, "/tmp/fuzz-tokenizer", symlinks=True, dirs_exist_ok=True)
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            outcome, said = examine(folder, target)
            faulthandler.cancel_dump_traceback_later()
            outcomes[outcome] += 1
            said = said.replace(str(folder), "")
            if outcome == "refused":
                refused[re.sub(r"[\d'\"].*", "", said.split("\n")[0])[:60]] += 1
            elif outcome != "loaded":
                failures.setdefault(f"{outcome} {said[:90]}", (case, said[:400]))
    print(json.dumps({"outcomes": outcomes, "failures": list(failures.values()), "refused": len(refused)}))


if __name__ == "__main__":
    main()
