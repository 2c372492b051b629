"""ops/deploy without a cluster: what the scripts ask of one, in which order, and what they do when something fails.

    deploy_test.py KUBECTL

KUBECTL renders; everything that would reach a cluster is answered by a stand-in, which writes down what it was asked. What a
cluster makes of it, these tests can't show.
"""

import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).parents[2]
DEPLOY = ROOT / "ops/deploy"
SERVICES = ("gateway", "exporter", "notifier", "sluice")
KUBECTL = ""

# `FAILS` is a part of a command that fails; `JOB` is how the migration ends.
STAND_IN = """#!/bin/sh
if [ "$1" = kustomize ]; then exec "$REAL" "$@"; fi
printf '%s\\n' "$*" >>"$ASKED"
case "$*" in
  *"get job migrate"*) printf %s "$JOB" ;;
  *"get deployment"*) cat "$STATE/revision" 2>/dev/null ;;
esac
if [ -n "$FAILS" ]; then case "$*" in *"$FAILS"*) exit 1 ;; esac; fi
case "$*" in "apply "*phase!=migrate*) echo 8 >"$STATE/revision" ;; esac
exit 0
"""


class Scripts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        stand_in = self.folder / "kubectl"
        stand_in.write_text(STAND_IN, encoding="utf-8")
        stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
        self.images = self.folder / "images"
        self.write_images({name: f"registry.example.com/sluice-{name}@sha256:{'ab' * 32}" for name in SERVICES})
        (self.folder / "revision").write_text("7\n", encoding="utf-8")

    def write_images(self, images):
        self.images.write_text("".join(f"{name} {image}\n" for name, image in images.items()), encoding="utf-8")

    def run_script(self, name, *arguments, fails="", job="Complete"):
        asked = self.folder / "asked"
        asked.unlink(missing_ok=True)
        env = {"PATH": f"{self.folder}:{os.environ['PATH']}", "REAL": KUBECTL, "ASKED": str(asked),
               "STATE": str(self.folder), "FAILS": fails, "JOB": job, "MIGRATE_WITHIN_S": "0", "SMOKE_WITHIN_S": "0"}
        done = subprocess.run([DEPLOY / name, *map(str, arguments)], env=env, capture_output=True, text=True,
                              check=False, timeout=120)
        calls = asked.read_text(encoding="utf-8").splitlines() if asked.exists() else []
        self.assertEqual(list(DEPLOY.glob(".rollout.*")), [], "its folder is left")
        return done, calls

    def deploy(self, *more, **how):
        return self.run_script("deploy.sh", ROOT / "ops/kubernetes/overlays/production", self.images, *more, **how)

    def index(self, calls, part):
        found = [i for i, call in enumerate(calls) if part in call]
        self.assertTrue(found, f"{part} isn't in {calls}")
        return found[0]

    def test_tables_come_first_and_every_service_is_waited_for(self):
        done, calls = self.deploy()
        self.assertEqual(done.returncode, 0, done.stderr)
        order = ["delete job migrate", "selector sluice.dev/phase=migrate", "get job migrate",
                 "selector sluice.dev/phase!=migrate", "status deployment/notifier", "status deployment/exporter",
                 "status deployment/gateway"]
        at = [self.index(calls, part) for part in order]
        self.assertEqual(at, sorted(at), calls)
        self.assertFalse([call for call in calls if "undo" in call])

    def test_a_failed_or_endless_migration_changes_nothing_else(self):
        for job in ("Failed", ""):
            done, calls = self.deploy(job=job)
            self.assertNotEqual(done.returncode, 0)
            self.assertFalse([call for call in calls if "phase!=migrate" in call], job)

    def test_a_service_that_is_not_ready_takes_all_of_them_back(self):
        # It fails on the way back as well, which must not keep the others from going back.
        done, calls = self.deploy(fails="status deployment/exporter")
        self.assertNotEqual(done.returncode, 0)
        undone = [call for call in calls if "undo" in call]
        wanted = [f"--namespace sluice rollout undo deployment/{name} --to-revision=7"
                  for name in ("gateway", "exporter", "notifier")]
        self.assertEqual(undone, wanted)

    def test_a_smoke_test_that_fails_takes_them_back(self):
        done, calls = self.deploy("http://127.0.0.1:1")
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(len([call for call in calls if "undo" in call]), 3, done.stderr)
        self.assertIn("rolled back", done.stderr)

    def test_what_was_not_there_before_stays(self):
        (self.folder / "revision").write_text("", encoding="utf-8")
        _, calls = self.deploy(fails="status deployment/gateway")
        self.assertFalse([call for call in calls if "undo" in call])

    def test_images_are_named_by_digest(self):
        whole = {name: f"registry.example.com/{name}@sha256:{'ab' * 32}" for name in SERVICES}
        for wrong in (whole | {"gateway": "registry.example.com/gateway:latest"}, whole | {"sluice": "a@sha256:12"},
                      {name: image for name, image in whole.items() if name != "notifier"}):
            self.write_images(wrong)
            done, calls = self.deploy()
            self.assertNotEqual(done.returncode, 0)
            self.assertEqual(calls, [], "nothing is asked of a cluster")

    def test_by_hand_everything_goes_to_the_release_before(self):
        done, calls = self.run_script("rollback.sh", "sluice")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len([call for call in calls if "undo" in call and call.endswith("--to-revision=0")]), 3)
        done, _ = self.run_script("rollback.sh", "sluice", "gateway")
        self.assertNotEqual(done.returncode, 0)


if __name__ == "__main__":
    KUBECTL = sys.argv.pop(1)
    unittest.main()
