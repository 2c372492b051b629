"""Lays out the verdicts for docs/loading.md: a table of tools and formats, and then one block for each tool."""

import re

FORMATS = {"data.csv": "CSV", "data.ndjson": "NDJSON", "data.parquet": "Parquet", "data.xlsx": "XLSX", "envelope.csv": "CSV with envelope"}
# The formats that each tool must read, or say that it can't.
TABLE = ["CSV", "NDJSON", "Parquet", "XLSX"]
RIGHT = "every value"
NO_READER, NO_CALL = "no reader", "no call keeps the rows"
HEAD = ["| tool | " + " | ".join(TABLE) + " |", "|---" * (len(TABLE) + 1) + "|"]
# How each kind of difference is called in the table.
SHORT = {
    "NULL is the empty string": "NULL",
    "the empty string is NULL": "the empty string",
    "line ends change": "line ends",
    "rounded": "long numbers",
    "digits are rounded": "long numbers",
    "a number's spelling": "long numbers",
    "leading zeros are lost": "leading zeros",
    "a carriage return is the text `_x000D_`": "carriage returns",
    "white space at the ends is cut or added": "edge spaces",
    "moments are off by less than a second": "fractions of a second",
    "another date": "dates",
    "no date": "dates",
    "NaN is NULL": "NaN",
    "a value is NULL": "some values",
    "another text": "some texts",
    "another number": "NaN and infinities",
}
# The language of a block of code, and how a comment begins there.
LANGUAGES = {"python": ("python", "#"), "r": ("r", "#"), "node": ("js", "//"), "go": ("go", "//"), "shell": ("sh", "#"),
             "sqlite": ("sql", "--"), "psql": ("sql", "--")}


def row(tool, verdicts):
    """The line of a tool in the table; `verdicts` has one (call, verdict) for each call, the recommended calls first."""
    return line(tool, [cell(tool, name, verdicts) for name in TABLE])


def line(tool, cells):
    """A line of the table."""
    return f"| [{tool['name']}](#{anchor(tool['name'])}) | " + " | ".join(cells) + " |"


def cell(tool, name, verdicts):
    """What the first recommended call for a format keeps, in few words."""
    calls = [(call, verdict) for call, verdict in verdicts if FORMATS[call["file"]] == name]
    if not calls and name in tool["no_reader"]:
        return NO_READER
    if not calls:
        raise ValueError(f"{tool['name']} has neither a call for {name} nor a word that it has no reader")
    call, verdict = calls[0]
    if not call.get("advice", True) or verdict.startswith(("fails", "no end")):
        return NO_CALL
    if verdict == RIGHT:
        return RIGHT
    lost = [SHORT.get(kind, kind) for kind in re.findall(r"(?:^|; |: )([^;:(]+?) \(`", verdict)]
    return "all but " + ", ".join(dict.fromkeys(lost))


def block(tool, version, verdicts):
    """The part of the page for one tool: its recommended calls as code, and what other calls give."""
    language, comment = LANGUAGES[tool["language"]]
    lines = [f"### {tool['name']}", "", f"Run with {version}." + (f" {tool['note']}" if "note" in tool else ""), ""]
    advised = [(call, verdict) for call, verdict in verdicts if call.get("advice", True)]
    coded = [(call, verdict) for call, verdict in advised if "show" not in call]
    if coded:
        lines += [f"```{language}"]
        for call, verdict in coded:
            lines += [f"{comment} {FORMATS[call['file']]}{since(call)}: {verdict.replace('`', '')}", *code(call).splitlines()]
        lines += ["```", ""]
    others = [(call, verdict) for call, verdict in verdicts if (call, verdict) not in coded]
    lines += [f"- {FORMATS[call['file']]}{since(call)}, {shown(call)}: {verdict}" for call, verdict in others]
    return lines + [""] * bool(others)


def unrun(tool):
    """The line and the block of a program that does not run here, from its steps for each format."""
    cells = [NO_READER if tool["steps"][name].startswith(NO_READER) else "not run" for name in TABLE]
    lines = [f"- {name}: {tool['steps'][name]}" for name in TABLE]
    return line(tool, cells), [f"### {tool['name']}", "", tool["note"], "", *lines, ""]


def since(call):
    """The oldest version in which a call holds, with the way in which this is known; empty if only one version was run."""
    known = call.get("since", {})
    if "run" in known:
        return f", since {known['run']}"
    if "notes" in known:
        return f", since {known['notes']} by its own notes"
    return f", also with {known['oldest']}" if "oldest" in known else ""


def code(call):
    """The call without what only the comparison needs."""
    text = call["code"].strip()
    short = re.sub(r"^(df|const rows) (=|<-) ", "", text)
    text = text if "rows" in short.replace("rows(", "") else short
    return text.replace(", {print}", "").replace(" SETTINGS {print}", "")


def shown(call):
    """The call inside of a sentence."""
    if "show" in call:
        return call["show"]
    return ", ".join(f"`` {line} ``" if "`" in line else f"`{line}`" for line in code(call).splitlines())


def anchor(name):
    """The fragment that a heading gets."""
    return re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-")


def kept(page, name):
    """The line and the block of a tool that stand in the page already, for a tool that is not on this machine; None if there are none."""
    rows = [text for text in page.splitlines() if text.startswith(f"| [{name}](#")]
    blocks = re.findall(rf"^### {re.escape(name)}\n.*?(?=^###? |^<!--|\Z)", page, re.MULTILINE | re.DOTALL)
    return (rows[0], blocks[0].rstrip("\n").splitlines() + [""]) if rows and blocks else None


def whole(parts):
    """The lines between the markers of the page, from the line and the block of each tool."""
    return [*HEAD, *[first for first, _ in parts], "", *[text for _, lines in parts for text in lines]]
