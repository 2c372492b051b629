"""Tests of ops/kubernetes/tool without a cluster: the job that it creates, and its exit code.

    tool_test.py KUBECTL

KUBECTL renders the patterns; everything that would reach a cluster is answered by a stand-in, which writes down what it was
asked and given.
"""

import json
import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import unittest

import yaml

ROOT = pathlib.Path(__file__).parents[2]
TOOL = ROOT / "ops/kubernetes/tool"
KUBECTL = ""

# `$STATE/USER` is the job that a cluster would create from the CronJob; `PHASE` is its pod's phase, `JOB` its result; `FAILS` is a part of
# a command that fails.
STAND_IN = """#!/bin/sh
printf '%s\\n' "$*" >>"$STATE/asked"
case "$*" in *"$FAILS"*) exit 1 ;; esac
case "$*" in
  *--dry-run=client*) for last in "$@"; do case $last in --from=cronjob/*) cat "$STATE/${last#--from=cronjob/}" ;; esac; done ;;
  *"create --filename=-"*) cat >"$STATE/made" ;;
  *"logs "*) echo "what it says" ;;
  *"get pods"*) printf %s "$PHASE" ;;
  *"get job"*) printf %s "$JOB" ;;
esac
"""


class Tool(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        stand_in = self.folder / "kubectl"
        stand_in.write_text(STAND_IN, encoding="utf-8")
        stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
        rendered = subprocess.run([KUBECTL, "kustomize", ROOT / "ops/kubernetes/overlays/production"],
                                  capture_output=True, check=True).stdout
        for o in yaml.safe_load_all(rendered):
            if o["kind"] == "CronJob":
                job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"},
                       "spec": o["spec"]["jobTemplate"]["spec"]}
                (self.folder / o["metadata"]["name"]).write_text(json.dumps(job), encoding="utf-8")

    def run_tool(self, *arguments, job="Complete", phase="Running", fails="nothing at all"):
        env = {"PATH": f"{self.folder}:{os.environ['PATH']}", "STATE": str(self.folder), "JOB": job, "PHASE": phase,
               "FAILS": fails, "TOOL_START_S": "1"}
        return subprocess.run([TOOL, *arguments], env=env, capture_output=True, text=True, check=False, timeout=120)

    def made(self):
        return json.loads((self.folder / "made").read_text(encoding="utf-8"))

    def test_each_user_has_its_own_rights_and_the_words_of_the_command_line(self):
        for user, words in (("operator", ["ops", "exports", "--tenant", "a b\"c"]), ("backup", ["backup", "verify"]),
                            ("restore", ["restore", "s3://b/p", "--yes"])):
            done = self.run_tool("sluice", user, *words)
            self.assertEqual((done.returncode, done.stdout), (0, "what it says\n"), done.stderr)
            spec = self.made()["spec"]
            (container,) = spec["template"]["spec"]["containers"]
            self.assertEqual(container["args"], words)
            self.assertIn({"name": "SLUICE_NATS__USER", "value": user}, container["env"])
            self.assertEqual(spec["backoffLimit"], 0, "it is not done a second time")
            self.assertGreater(spec["ttlSecondsAfterFinished"], 0)

    def test_it_ends_as_the_command_did(self):
        self.assertEqual(self.run_tool("sluice", "operator", "ops", "dead-letters", job="Failed").returncode, 1)
        self.assertNotEqual(self.run_tool("sluice", "operator", "ops", "dead-letters", fails="create --filename").returncode, 0)
        done = self.run_tool("sluice", "operator", "ops", "dead-letters", fails="logs ")
        self.assertEqual(done.returncode, 1)
        self.assertIn("may still run", done.stderr)

    def test_a_pod_that_does_not_start_is_described_and_taken_back(self):
        for phase in ("Pending", ""):
            done = self.run_tool("sluice", "restore", "restore", "s3://b/p", "--yes", phase=phase)
            self.assertEqual(done.returncode, 1)
            asked = (self.folder / "asked").read_text(encoding="utf-8")
            for part in ("describe pods", "delete job restore-"):
                self.assertIn(part, asked)
            self.assertNotIn(" logs ", asked)

    def test_other_users_and_no_words_are_refused_before_anything_is_asked(self):
        for wrong in (("sluice", "notifier", "schedule"), ("sluice", "operator"), ()):
            self.assertEqual(self.run_tool(*wrong).returncode, 2)
        self.assertFalse((self.folder / "asked").exists())


if __name__ == "__main__":
    KUBECTL = sys.argv.pop(1)
    unittest.main()
