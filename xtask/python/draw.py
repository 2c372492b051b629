"""Draws doc comments of a crate, or names of settings and metrics, at random, for a reader who does not know the code.

    python3 xtask/python/draw.py --crate exporter --count 60 --seed 7
    python3 xtask/python/draw.py --names 30 --seed 7

The same seed draws the same sample from the same sources. With `--names`, the descriptions follow after all names.
"""

import argparse
import random
import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 120


def comments(folder: Path) -> list[tuple[str, str, str]]:
    """Each doc comment below a folder: its place, the line of its item, and its text."""
    found = []
    for path in sorted(folder.rglob("*.rs")):
        lines = path.read_text(encoding="utf-8").splitlines()
        index = 0
        while index < len(lines):
            marker = lines[index].strip()[:3]
            if marker not in ("///", "//!"):
                index += 1
                continue
            start, words = index, []
            while index < len(lines) and lines[index].strip().startswith(marker):
                words.append(lines[index].strip()[3:])
                index += 1
            below = (line.strip() for line in lines[index:])
            item = next((line for line in below if line and not line.startswith("#")), "")
            text = " ".join(" ".join(words).split())
            item = item if marker == "///" else f"the file {path.name}"
            found.append((f"{path.relative_to(ROOT)}:{start + 1}", item, text))
    return found


def names() -> list[tuple[str, str]]:
    """Each setting and metric of the reference pages, with its description."""
    found, section = [], ""
    for line in (ROOT / "docs/settings.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line.strip("# `[]").replace("Top level", "")
        elif row := re.match(r"\| `(\w+)` \|.*\| (.+) \|$", line):
            found.append((f"{section}.{row[1]}".strip("."), row[2]))
    for line in (ROOT / "docs/metrics.md").read_text(encoding="utf-8").splitlines():
        if row := re.match(r"\| `(sluice_\w+)`.*\| (.+) \| [^|]+ \|$", line):
            found.append((row[1], row[2]))
    return found


def main() -> None:
    """Prints the sample."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crate", help="the folder of the crate, such as exporter")
    parser.add_argument("--count", type=int, default=60, help="the number of doc comments (default 60)")
    parser.add_argument("--names", type=int, default=0, metavar="N", help="draw N names of settings and metrics")
    parser.add_argument("--seed", type=int, required=True, help="the seed of the draw")
    options = parser.parse_args()
    if not options.crate and not options.names:
        parser.error("give --crate or --names")
    draw = random.Random(options.seed)
    if options.crate:
        sources = ROOT / options.crate / "src"
        if not sources.is_dir():
            parser.error(f"there is no folder {options.crate}/src")
        drawn = comments(sources)
        for number, (place, item, text) in enumerate(draw.sample(drawn, min(options.count, len(drawn))), 1):
            print(f"{number}. {place}\n   {item}")
            print(textwrap.indent(textwrap.fill(text, WIDTH), "   > "), end="\n\n")
    if options.names:
        drawn = names()
        drawn = draw.sample(drawn, min(options.names, len(drawn)))
        for number, (name, _) in enumerate(drawn, 1):
            print(f"{number}. {name}")
        print("\nWhat they are, to compare with the guesses:\n")
        for number, (name, text) in enumerate(drawn, 1):
            print(textwrap.fill(f"{number}. {name}: {text}", WIDTH))


if __name__ == "__main__":
    main()
