"""Tests of ops/deploy without a cluster: the order of the scripts' requests, and their behaviour on failures.

    deploy_test.py KUBECTL

KUBECTL renders; everything that would reach a cluster is answered by a stand-in, which writes down what it was asked. What a
cluster makes of it, these tests can't show.
"""

import base64
import hashlib
import http.server
import json
import os
import pathlib
import stat
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse

ROOT = pathlib.Path(__file__).parents[2]
DEPLOY = ROOT / "ops/deploy"
SERVICES = ("gateway", "exporter", "notifier", "sluice")
KUBECTL = ""

# `commit` is the commit that a pod reports. `FAILS` is a part of a command that fails; `JOB` is the result of the migration.
STAND_IN = """#!/bin/sh
if [ "$1" = kustomize ]; then exec "$REAL" "$@"; fi
printf '%s\\n' "$*" >>"$ASKED"
case "$*" in
  *"get job migrate"*) printf %s "$JOB" ;;
  *"get deployment"*commit*) cat "$STATE/commit" 2>/dev/null ;;
  *"get replicasets"*) cat "$STATE/replicasets" 2>/dev/null ;;
  *"get deployment"*) cat "$STATE/revision" 2>/dev/null ;;
esac
if [ -n "$FAILS" ]; then case "$*" in *"$FAILS"*) exit 1 ;; esac; fi
case "$*" in "apply "*phase!=migrate*) echo 8 >"$STATE/revision" ;; esac
exit 0
"""


FILE = b"# export_rows: 0\n"


def token(ends_in_s):
    """An unsigned token, because these tests verify none."""
    claims = json.dumps({"sub": "smoke", "exp": int(time.time()) + ends_in_s}).encode()
    return "e30." + base64.urlsafe_b64encode(claims).decode().rstrip("=") + ".c2ln"


class Platform(http.server.ThreadingHTTPServer):
    """Answers like a gateway and its issuer. `status` is the export's status, `refused` the slug that refuses it, `takes` the number of
    requests that accept the token, and `file` the bytes in place of the sealed ones."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.token, self.takes, self.status, self.refused, self.file = token(3600), 1000, "completed", "", FILE
        self.asked, self.bodies, self.issues = [], [], True
        self.datasets = [{"name": "flights", "rows_estimate": 3000000}, {"name": "menu_category_counts", "rows_estimate": 10}]
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Answers(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body, **headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def is_let_in(self):
        platform = self.server
        if self.headers["authorization"] != f"Bearer {platform.token}" or platform.takes <= 0:
            self.answer(401, {"type": "/problems/unauthorized"}, www_authenticate="Bearer")
            return False
        platform.takes -= 1
        return True

    def do_GET(self):
        platform = self.server
        platform.asked.append(self.path)
        if self.path in ("/readyz", "/healthz"):
            return self.answer(200, {})
        if self.path == "/v1/openapi.json":
            return self.answer(200, {"info": {"title": "Sluice"}})
        if self.path == "/metrics":
            return self.answer(404, {})
        if not self.is_let_in():
            return None
        if self.path == "/v1/datasets":
            return self.answer(200, {"items": platform.datasets})
        if self.path == "/v1/exports/one/file":
            return self.answer(200, platform.file)
        sealed = {"sha256": hashlib.sha256(FILE).hexdigest(), "size": len(FILE)}
        return self.answer(200, {"id": "one", "status": platform.status, "file": sealed})

    def do_POST(self):
        platform = self.server
        platform.asked.append(self.path)
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        if self.path == "/token":
            platform.bodies.append(urllib.parse.parse_qs(body))
            return self.answer(200 if platform.issues else 401, {"access_token": platform.token})
        if not self.is_let_in():
            return None
        platform.bodies.append(json.loads(body))
        if platform.refused:
            return self.answer(429, {"type": f"/problems/{platform.refused}"})
        return self.answer(202, {"id": "one"})

    def log_message(self, *_):
        pass


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

    def run_script(self, name, *arguments, fails="", job="Complete", **more):
        asked = self.folder / "asked"
        asked.unlink(missing_ok=True)
        env = {"PATH": f"{self.folder}:{os.environ['PATH']}", "REAL": KUBECTL, "ASKED": str(asked),
               "STATE": str(self.folder), "FAILS": fails, "JOB": job, "MIGRATE_WITHIN_S": "0", "SMOKE_WITHIN_S": "0"} | more
        done = subprocess.run([DEPLOY / name, *map(str, arguments)], env=env, capture_output=True, text=True,
                              check=False, timeout=120)
        calls = asked.read_text(encoding="utf-8").splitlines() if asked.exists() else []
        self.assertEqual(list(DEPLOY.glob(".rollout.*")), [], "its folder is left")
        return done, calls

    def deploy(self, *more, **how):
        return self.run_script("deploy.sh", ROOT / "ops/kubernetes/overlays/production", self.images, *more, **how)

    def platform(self):
        platform = Platform()
        thread = threading.Thread(target=platform.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(platform.server_close)
        self.addCleanup(platform.shutdown)
        return platform

    def deploy_and_try(self, platform, good=None, **how):
        (self.folder / "revision").write_text("7\n", encoding="utf-8")
        file = self.folder / "token"
        file.write_text(good or platform.token, encoding="utf-8")
        return self.deploy(platform.url, file, **how)

    def assert_kept(self, done, calls):
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse([call for call in calls if "undo" in call], done.stderr)

    def assert_taken_back(self, done, calls):
        self.assertNotEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len([call for call in calls if "undo" in call]), 3, done.stderr)

    def assert_nothing_was_changed(self, done, calls):
        self.assertNotEqual(done.returncode, 0, done.stderr)
        self.assertFalse([call for call in calls if " get " not in call], done.stderr)

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
        # The rollback fails too, which must not stop the other rollbacks.
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

    def test_a_platform_that_makes_a_file_is_deployed_and_the_smallest_dataset_will_do(self):
        platform = self.platform()
        done, calls = self.deploy_and_try(platform)
        self.assert_kept(done, calls)
        self.assertNotIn("warning", done.stderr)
        self.assertEqual(platform.bodies, [{"dataset": "menu_category_counts", "params": {"muscles": ["muscle1"]}}])
        platform.datasets = [{"name": "large", "rows_estimate": 9000}, {"name": "unknown", "rows_estimate": None},
                             {"name": "small", "rows_estimate": 12}]
        for wanted, how in (({"dataset": "small"}, {}), ({"dataset": "large"}, {"SMOKE_DATASET": "large"}),
                            ({"dataset": "a", "filter": {}}, {"SMOKE_REQUEST": '{"dataset": "a", "filter": {}}'})):
            self.assert_kept(*self.deploy_and_try(platform, **how))
            self.assertEqual(platform.bodies[-1], wanted)

    def test_who_has_no_credits_left_takes_no_release_back(self):
        for slug in ("credits-exhausted", "too-many-exports", "rate-limited"):
            platform = self.platform()
            platform.refused = slug
            done, calls = self.deploy_and_try(platform, GITHUB_ACTIONS="true")
            self.assert_kept(done, calls)
            self.assertIn(slug, done.stderr)
            self.assertIn("::warning", done.stdout)

    def test_a_file_that_takes_long_takes_no_release_back_but_one_that_nobody_makes_does(self):
        platform = self.platform()
        platform.status = "running"
        done, calls = self.deploy_and_try(platform)
        self.assert_kept(done, calls)
        self.assertIn("still runs", done.stderr)
        for status in ("queued", "dispatched", "failed"):
            platform.status = status
            self.assert_taken_back(*self.deploy_and_try(platform))

    def test_a_file_that_is_not_what_was_sealed_takes_them_back(self):
        platform = self.platform()
        platform.file = FILE.upper()
        self.assert_taken_back(*self.deploy_and_try(platform))

    def test_a_token_that_is_refused_stops_it_before_anything_is_changed(self):
        self.assert_nothing_was_changed(*self.deploy_and_try(self.platform(), good=token(-60)))

    def test_a_token_that_ends_on_the_way_takes_nothing_back_and_a_good_one_that_is_refused_does(self):
        platform = self.platform()
        # the earlier request and one more
        platform.token, platform.takes = token(-60), 2
        done, calls = self.deploy_and_try(platform)
        self.assert_kept(done, calls)
        self.assertIn("the token has ended", done.stderr)
        platform.token, platform.takes = token(3600), 2
        self.assert_taken_back(*self.deploy_and_try(platform))

    def test_the_issuer_gives_a_token_for_each_use(self):
        platform = self.platform()
        issuer = {"SMOKE_TOKEN_URL": f"{platform.url}/token", "SMOKE_CLIENT_ID": "deploy", "SMOKE_CLIENT_SECRET": "s&cret",
                  "SMOKE_AUDIENCE": "sluice"}
        self.assert_kept(*self.deploy(platform.url, **issuer))
        self.assertEqual(platform.asked.count("/token"), 2)
        self.assertEqual(platform.bodies[0], {"grant_type": ["client_credentials"], "client_id": ["deploy"],
                                              "client_secret": ["s&cret"], "scope": ["export:*"], "audience": ["sluice"]})
        self.assertIn("/v1/exports/one/file", platform.asked)
        platform.issues = False
        self.assert_nothing_was_changed(*self.deploy(platform.url, **issuer))

    def test_an_older_commit_than_the_one_that_runs_is_refused(self):
        history = {"GIT_DIR": str(self.folder / "history"), "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com",
                   "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.com"}

        def git(*arguments):
            ran = subprocess.run(["git", *arguments], env=os.environ | history, capture_output=True, text=True, check=True)
            return ran.stdout.strip()

        git("init", "--quiet", "--bare", history["GIT_DIR"])
        tree = git("hash-object", "-t", "tree", "-w", "/dev/null")
        older = git("commit-tree", "-m", "older", tree)
        newer = git("commit-tree", "-m", "newer", "-p", older, tree)
        running = self.folder / "commit"
        running.write_text(newer, encoding="utf-8")
        self.assert_nothing_was_changed(*self.deploy(COMMIT=older, **history))
        self.assert_kept(*self.deploy(COMMIT=newer, **history))
        for runs in (older, "", "ab" * 20):
            running.write_text(runs, encoding="utf-8")
            self.assert_kept(*self.deploy(COMMIT=newer, **history))

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

    def test_after_a_rollback_the_release_before_is_the_bad_one_so_revisions_have_to_be_named(self):
        # a cluster's list: the running revision 7 was revision 5 before, and 6 was rolled back
        (self.folder / "replicasets").write_text("6 \n7 5\n", encoding="utf-8")
        done, calls = self.run_script("rollback.sh", "sluice")
        self.assertNotEqual(done.returncode, 0)
        self.index(calls, "rollout history deployment/notifier")
        self.assertFalse([call for call in calls if "undo" in call])
        done, calls = self.run_script("rollback.sh", "sluice", "gateway=4")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.index(calls, "undo deployment/gateway --to-revision=4")
        # an older rollback that is not running does not count
        (self.folder / "replicasets").write_text("6 2\n7 \n", encoding="utf-8")
        done, _ = self.run_script("rollback.sh", "sluice")
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    KUBECTL = sys.argv.pop(1)
    unittest.main()
