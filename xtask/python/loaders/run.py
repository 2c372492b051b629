"""Runs each call of calls/ on real exports, compares the cells with the truth, and writes the table of docs/loading.md."""

import argparse
import csv
import hashlib
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
import page  # noqa: E402
import servers  # noqa: E402
import truth  # noqa: E402

BEGIN, END = "<!-- loaders: begin -->", "<!-- loaders: end -->"
# The files of calls/, in the order of the table.
CALLS = ["python", "programs", "node", "r", "go"]
# Programs run in a zone with an offset, so that a moment that is shifted differs.
ZONE = "America/New_York"


class Failed(Exception):
    """A call that ended with an error; the text is its cause in one line."""


def main():
    """Reads the options, runs the calls, and prints or writes the part of the page between the markers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sluice", required=True, help="the program that makes the files")
    parser.add_argument("--folder", required=True, type=Path, help="the folder of the files, which is emptied")
    parser.add_argument("--node-modules", type=Path, help="the folder of the packages of package.json")
    parser.add_argument("--postgres", help="the folder of the programs of PostgreSQL")
    parser.add_argument("--page", type=Path, help="the page that gets the table and the blocks")
    parser.add_argument("--tool", action="append", help="run this tool only (may be repeated); the others keep what the page has")
    parser.add_argument("--with", dest="others", action="append", default=[], help="a package of Python in another version, such as polars==1.2.0, in place of the pinned one (may be repeated); the page stays as it is")
    parser.add_argument("--deadline", type=int, default=200, help="the longest time of a call, in seconds")
    parser.add_argument("--keep", action="store_true", help="use the files that an earlier run made")
    options = parser.parse_args()
    if not options.keep:
        shutil.rmtree(options.folder, ignore_errors=True)
        truth.export(options.sluice, options.folder)
    tools = read_tools()
    wanted = [tool for tool in tools if not options.tool or tool["name"] in options.tool]
    for tool in wanted:
        tool["packages"] = tool.get("packages", []) + options.others
        if options.others:
            tool["call"] = [call for call in tool.get("call", []) if call.get("advice", True)]
    with servers.postgres(options.postgres if any(tool.get("language") == "psql" for tool in wanted) else None) as port:
        machine, typed = machines(options.folder, options.node_modules, port, options.deadline)
        lines = results(machine, typed, tools, wanted, options.page.read_text() if options.page else "")
    print("\n".join(lines))
    if options.page and not options.others:
        put(options.page, lines)


def read_tools():
    """The tools of calls/; the `run` of a call is its code with the types of the columns."""
    tools = [tool for name in CALLS for tool in tomllib.loads((HERE / f"calls/{name}.toml").read_text())["tool"]]
    for tool in tools:
        for call in tool.get("call", []):
            call["run"] = call["code"].replace("{types}", tool.get("types", "")).replace("{print}", tool.get("print", ""))
    return tools


def machines(folder, modules, port, deadline):
    """One machine in the folder of all rows, and one in the folder of the plain rows."""
    return [Machine(part.resolve(), modules, port, deadline) for part in (folder, folder / truth.TYPED)]


def results(machine, typed, tools, wanted, old):
    """The lines for the page. Tools that are not wanted, or not on the machine, keep their part of the `old` page."""
    expected = truth.rows()
    parts = []
    for tool in tools:
        if "steps" in tool:
            parts.append(page.unrun(tool))
            continue
        version = machine.version(tool) if tool in wanted else None
        if not version:
            kept = page.kept(old, tool["name"])
            if tool in wanted:
                print(f"{tool['name']} is not on this machine; {'the page keeps what it had' if kept else 'it is left out'}", file=sys.stderr)
            parts += [kept] if kept else []
            continue
        verdicts = []
        for call in sorted(tool["call"], key=lambda call: (list(page.FORMATS).index(call["file"]), not call.get("advice", True))):
            verdicts.append((call, verdict(machine, typed, tool, call, expected)))
            print(f"{tool['name']} {version}: {page.code(call)}: {verdicts[-1][1]}", file=sys.stderr, flush=True)
        parts.append((page.row(tool, verdicts), page.block(tool, version, verdicts)))
    return page.whole(parts)


def verdict(machine, typed, tool, call, expected):
    """What the call gives in place of the expected rows, in words; for a workbook also what it gives in cells with types, if that is worse."""
    found = judged(machine, tool, call, expected)
    if call["file"] != "data.xlsx":
        return found
    in_types = judged(typed, tool, call, expected[: truth.FIRST_QUOTE - 1])
    if in_types in (found, page.RIGHT):
        return found
    return f"{'every value in text cells' if found == page.RIGHT else found}; in typed cells: {in_types}"


def judged(machine, tool, call, expected):
    """What the call gives in place of the expected rows, in words."""
    try:
        got = machine.cells(tool, call)
    except Failed as failed:
        return f"fails: {failed}"
    except subprocess.TimeoutExpired:
        return f"no end after {machine.deadline} s"
    return judge.compare(expected, got, page.FORMATS[call["file"]].lower()) or page.RIGHT


def put(path, lines):
    """Replaces what stands between the two markers of the page."""
    text = path.read_text()
    before, rest = text.split(BEGIN)
    path.write_text(before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + rest.split(END)[1])


class Machine:
    """Runs programs in each language, in the folder of the files."""

    def __init__(self, folder, modules, port, deadline):
        self.folder, self.modules, self.port, self.deadline = folder, modules, port, deadline
        self.out = folder / "cells.json"
        link = folder / "node_modules"
        if modules and not link.exists():
            link.symlink_to(modules.resolve())

    def run(self, command, packages="", **options):
        """Runs a command, with a folder of packages for Python, and returns its standard output."""
        env = os.environ | {"PYTHONPATH": f"{packages}:{HERE}".lstrip(":"), "LOADERS_OUT": str(self.out), "LC_ALL": "C.UTF-8", "TZ": ZONE, "PYTHONWARNINGS": "ignore"}
        # Go finds the packages of Debian, and asks no other computer for packages or for another Go.
        # A package that Debian lacks may stand in a GOPATH that the caller sets.
        env |= {"GO111MODULE": "off", "GOPATH": os.pathsep.join(filter(None, [os.environ.get("GOPATH"), "/usr/share/gocode"])),
                "GOTOOLCHAIN": "local", "GOCACHE": str(self.folder / "go-cache")}
        env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
        try:
            done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, timeout=self.deadline, **options)
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
        return self.run([sys.executable, "-c", f"{tool['prelude']}\nprint({tool['version']})"], self.packages(tool))

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
        return arrays(self.run([sys.executable, "-c", code], self.packages(tool)))

    def packages(self, tool):
        """The folder with the `packages` of a tool that needs others than the rest, or an empty text."""
        wanted = tool.get("packages", [])
        if not wanted:
            return ""
        folder = Path(sys.prefix).parent / ("loaders-" + hashlib.sha256(" ".join(wanted).encode()).hexdigest()[:16])
        if not folder.exists():
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(part), *wanted], check=True)
            part.rename(folder)
        return folder

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
        imports = "".join(f'import "{path}"\n' for path in tool["imports"] if path.split("/")[-1].removesuffix("-go") + "." in call["run"])
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
