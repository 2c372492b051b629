"""Runs each call of calls/ on real exports, compares the cells with the truth, and writes the table of docs/loading.md."""

import argparse
import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import judge  # noqa: E402
import servers  # noqa: E402
import truth  # noqa: E402

BEGIN, END = "<!-- loaders: begin -->", "<!-- loaders: end -->"
# The files of calls/, in the order of the table.
CALLS = ["python", "programs", "node", "r", "go"]
DEADLINE_S = 200
RIGHT = "**every value**"
# Programs run in a zone with an offset, so that a moment that is shifted differs.
ZONE = "America/New_York"
FORMATS = {"data.csv": "CSV", "data.tsv": "TSV", "data.ndjson": "NDJSON", "data.parquet": "Parquet", "data.xlsx": "XLSX",
           "envelope.csv": "CSV, envelope"}


class Failed(Exception):
    """A call that ended with an error; the text is its cause in one line."""


def main():
    """Reads the options, runs the calls, and prints or writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sluice", required=True, help="the program that makes the files")
    parser.add_argument("--folder", required=True, type=Path, help="the folder of the files, which is emptied")
    parser.add_argument("--node-modules", type=Path, help="the folder of the packages of package.json")
    parser.add_argument("--postgres", help="the folder of the programs of PostgreSQL")
    parser.add_argument("--page", type=Path, help="the page that gets the table")
    parser.add_argument("--tool", help="only this tool")
    parser.add_argument("--keep", action="store_true", help="use the files that an earlier run made")
    options = parser.parse_args()
    if not options.keep:
        shutil.rmtree(options.folder, ignore_errors=True)
        truth.export(options.sluice, options.folder)
    tools = [tool for name in CALLS for tool in tomllib.loads((HERE / f"calls/{name}.toml").read_text())["tool"]]
    for tool in tools:
        for call in tool["call"]:
            call["run"] = call["code"].replace("{types}", tool.get("types", "")).replace("{print}", tool.get("print", ""))
    tools = [tool for tool in tools if options.tool in (None, tool["name"])]
    wanted = any(tool["language"] == "psql" for tool in tools)
    with servers.postgres(options.postgres if wanted else None) as port:
        machine, typed = (Machine(folder.resolve(), options.node_modules, port) for folder in (options.folder, options.folder / truth.TYPED))
        lines = table(machine, typed, tools)
    print("\n".join(lines))
    if options.page and not options.tool:
        put(options.page, lines)


def table(machine, typed, tools):
    """The lines of the Markdown table; tools that are not on the machine are left out. `typed` runs calls of XLSX on the plain rows."""
    expected = truth.rows()
    lines = ["| tool | file | call | what the program gets |", "|---|---|---|---|"]
    for tool in tools:
        if not (version := machine.version(tool)):
            print(f"{tool['name']} is not on this machine and is left out", file=sys.stderr)
            continue
        for call in sorted(tool["call"], key=lambda call: (list(FORMATS).index(call["file"]), not call.get("advice", True))):
            verdict = judged(machine, tool, call, expected)
            if call["file"] == "data.xlsx":
                in_types = judged(typed, tool, call, expected[: truth.FIRST_QUOTE - 1])
                if in_types not in (verdict, RIGHT):
                    verdict = f"{'every value in text cells' if verdict == RIGHT else verdict}; in typed cells: {in_types}"
            name = f"{tool['name']} {version}"
            line = f"| {name} | {FORMATS[call['file']]} | {shown(call)} | {verdict} |"
            print(line, file=sys.stderr, flush=True)
            lines.append(line)
    return lines


def judged(machine, tool, call, expected):
    """What the call gives in place of the expected rows, in words."""
    try:
        got = machine.cells(tool, call)
    except Failed as failed:
        return f"fails: {escape(str(failed))}"
    except subprocess.TimeoutExpired:
        return f"no end after {DEADLINE_S} s"
    return judge.compare(expected, got, FORMATS[call["file"]].lower()) or RIGHT


def shown(call):
    """The call as one cell of a Markdown table."""
    if "show" in call:
        return call["show"]
    code = call["code"].strip()
    short = re.sub(r"^(df|const rows) (=|<-) ", "", code)
    code = code if "rows" in short.replace("rows(", "") else short
    code = code.replace(", {print}", "").replace(" SETTINGS {print}", "")
    return "<br>".join(f"`` {escape(line)} ``" if "`" in line else f"`{escape(line)}`" for line in code.splitlines())


def escape(text):
    """Text that does not end a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def put(page, lines):
    """Replaces what stands between the two markers of the page."""
    text = page.read_text()
    before, rest = text.split(BEGIN)
    page.write_text(before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + rest.split(END)[1])


class Machine:
    """Runs programs in each language, in the folder of the files."""

    def __init__(self, folder, modules, port):
        self.folder, self.modules, self.port = folder, modules, port
        self.out = folder / "cells.json"
        link = folder / "node_modules"
        if modules and not link.exists():
            link.symlink_to(modules.resolve())

    def run(self, command, **options):
        """Runs a command and returns its standard output."""
        env = os.environ | {"PYTHONPATH": str(HERE), "LOADERS_OUT": str(self.out), "LC_ALL": "C.UTF-8", "TZ": ZONE, "PYTHONWARNINGS": "ignore"}
        # Go finds the packages of Debian, and asks no other computer for packages or for another Go.
        env |= {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOTOOLCHAIN": "local", "GOCACHE": str(self.folder / "go-cache")}
        env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
        try:
            done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, timeout=DEADLINE_S, **options)
        except FileNotFoundError as missing:
            raise Failed(str(missing)) from missing
        if done.returncode != 0:
            raise Failed(cause(done.stderr.decode(errors="replace")))
        return done.stdout.decode()

    def version(self, tool):
        """The version of the tool, or None if the tool is not here."""
        try:
            printed = getattr(self, "version_" + tool["language"], self.version_shell)(tool)
        except Failed:
            return None
        found = re.search(r"\d+(\.\d+)+", printed)
        return found and found.group()

    def version_shell(self, tool):
        return self.run(["bash", "-c", "set -o pipefail; " + tool["version"]])

    def version_psql(self, tool):
        return self.version_shell(tool) if self.port else ""

    def version_python(self, tool):
        return self.run([sys.executable, "-c", f"{tool['prelude']}\nprint({tool['version']})"])

    def version_r(self, tool):
        return self.run(["Rscript", "-e", f"{tool.get('prelude', '')}\ncat({tool['version']})"])

    def version_node(self, tool):
        if "package" not in tool:
            return self.run(["node", "--version"])
        manifest = self.folder / "node_modules" / tool["package"] / "package.json"
        if not manifest.exists():
            raise Failed("not installed")
        return json.loads(manifest.read_text())["version"]

    def cells(self, tool, call):
        """The rows of a call, as lists of texts and None."""
        self.out.unlink(missing_ok=True)
        return getattr(self, tool["language"])(tool, call)

    def python(self, tool, call):
        code = f"from emit import *\n{tool['prelude']}\n{call['run']}\n{tool['emit']}\n"
        return arrays(self.run([sys.executable, "-c", code]))

    def node(self, tool, call):
        program = self.folder / "call.mjs"
        emit = (HERE / "emit.mjs").read_text()
        program.write_text(f"{tool.get('prelude', '')}\n{emit}\n{call['run']}\nemit(rows);\n")
        self.run(["node", "--max-old-space-size=4096", str(program)])
        return arrays(self.out.read_text())

    def r(self, tool, call):
        program = self.folder / "call.R"
        program.write_text(f"{tool.get('prelude', '')}\n{call['run']}\n" + (HERE / "emit.R").read_text())
        self.run(["Rscript", str(program)])
        return arrays(self.out.read_text())

    def go(self, tool, call):
        imports = "".join(f'import "{path}"\n' for path in tool["imports"] if path.split("/")[-1] + "." in call["run"])
        (self.folder / "call.go").write_text(f"package main\n\n{imports}\nfunc main() {{\n{call['run']}\nemit(rows, err)\n}}\n")
        shutil.copy(HERE / "emit.go", self.folder)
        self.run(["go", "run", "call.go", "emit.go"])
        return arrays(self.out.read_text())

    def shell(self, tool, call):
        printed = self.run(["bash", "-c", "set -o pipefail; " + call["run"]])
        if call.get("prints") == "ndjson":
            rows = [loaded(line) for line in printed.split("\n") if line]
            return [[plain(row.get(name)) for name in truth.COLUMNS] for row in rows]
        return list(csv.reader(io.StringIO(printed, newline="")))[1:]

    def sqlite(self, tool, call):
        path = self.folder / "table.sqlite"
        path.unlink(missing_ok=True)
        self.run(["sqlite3", str(path)], input=call["run"].encode())
        return servers.sqlite_rows(path)

    def psql(self, tool, call):
        base = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", "postgres"]
        self.run([*base, "-c", "DROP TABLE IF EXISTS loaders, lines"])
        self.run(base, input=call["run"].encode())
        cells = ", ".join(f'"{name}"::text' for name in truth.COLUMNS)
        return arrays(self.run([*base, "-At", "-c", "SET TimeZone = 'UTC'", "-c", f"SELECT json_build_array({cells}) FROM loaders ORDER BY id"]))


def arrays(printed):
    """The rows of a text with one JSON array in each line."""
    return [[plain(cell) for cell in json.loads(line, parse_int=str, parse_float=str)] for line in printed.split("\n") if line]


def loaded(line):
    """The object of a line of JSON, with numbers as they are written."""
    try:
        return json.loads(line, parse_int=str, parse_float=str, parse_constant=str)
    except json.JSONDecodeError as error:
        raise Failed("it prints a line that is not JSON") from error


def plain(value):
    """A cell of JSON as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if value is None or isinstance(value, str) else str(value)


def cause(said):
    """The line of an error output that names the cause, without paths of the machine."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("    at ") and "Node.js v" not in line]
    named = [line for line in lines if re.search(r"(Error|ERROR|Exception|error|ArrowInvalid)\b", line) and not line.startswith("File ")]
    text = (named or lines or ["it printed nothing"])[-1 if not named or "Traceback" in said else 0]
    return re.sub(r"(/[\w.+@-]+){2,}/?", "…", text)[:160].replace("`", "'")


if __name__ == "__main__":
    main()
