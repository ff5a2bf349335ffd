#!/usr/bin/env python3
"""What is told of real runs, to a webhook and a dead man's switch that this script plays: each way to fail, to be in doubt, and to be well again."""
import fcntl
import json
import os
import signal
import subprocess
import time

from notify_test import Web
from overview_support import DAY, PLANT, PROGRAM, Bench, Failed, main, same, systemctl_that_says

START = 1_780_000_000


class Told(Bench):
    """A shop of plain files. What was asked since the last look: pings by their word, messages as objects."""

    def __init__(self):
        super().__init__(files=20)
        self.now, self.web = START, Web()

    def __exit__(self, *rest):
        self.web.shutdown()
        self.web.server_close()
        super().__exit__(*rest)

    def environment(self):
        return {k: v for k, v in super().environment().items() if not k.lower().endswith("_proxy")}

    def secret(self, name, text, mode=0o600):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def tell(self, own="", common="", section=True, expect="90d"):
        url = f"http://127.0.0.1:{self.web.server_address[1]}"
        pings = "".join(f"{word} {url}/{word}\n" for word in ("start", "success", "failure"))
        text = (f"[nopsnap]\ncatalog = {self.catalog}\nnotify-webhook = {self.secret('webhook', url + '/hook')}\nnotify-timeout = 4s\n"
                f"notify-ping = {self.secret('ping', pings)}\n{common}")
        self.write_config(text + (f"[shop]\npath = {self.site}\nstop = true\nstart = true\nexpect-every = {expect}\n{own}" if section else ""))

    def night(self, status, *argv, **words):
        """A run a day later; what was told of it."""
        self.now += DAY
        self.clock(self.now)
        self.run("run", *(argv or ("shop",))).expect(status, **words)
        return self.heard()

    def heard(self):
        asked, self.web.asked = self.web.asked, []
        return [path[1:] for method, path, _, _ in asked if method == "GET"], [json.loads(body) for method, _, _, body in asked if method == "POST"]

    def expect(self, heard, pings, events, *words):
        same("pings", heard[0], pings)
        same("messages", [m["event"] for m in heard[1]], events)
        for word in words:
            if word not in heard[1][0]["text"]:
                raise Failed(f"the message does not say {word!r}: {heard[1][0]['text']}")

    def problems(self, status):
        return [p["code"] for o in self.objects("status", status=status) if o["type"] == "site" for p in o["problems"]]


def a_step_that_fails_is_a_failure(b):
    b.tell("after-run = echo out of room; exit 9\n")
    b.expect(b.night(3), ["start", "failure"], ["failure"], "after-run: the command of after-run: /bin/sh failed with status 9: out of room", "snapshot of this run: ",
             "last good snapshot: ")
    same("status", b.problems(3), ["step"])
    b.run("history", "shop").expect(0, out=["  stored ", "  after-run failed: the command of after-run", ": out of room"], not_out="_ns")
    b.run("-v", "history", "shop").expect(0, out=["snapshot: done", "after-run: failed, the command"])
    b.run("status").expect(3, out=["a step of the last run failed: ", "after-run: the command"])
    b.expect(b.night(3), ["start", "failure"], [])  # the same cause
    b.tell()
    b.expect(b.night(0), ["start", "success"], ["recovery"], "last good snapshot: ")
    same("status", b.problems(0), [])


def what_keeps_a_run_from_beginning_is_told_by_its_cause(b):
    os.rename(b.site, b.site + ".away")
    b.expect(b.night(1), ["failure"], ["failure"], f"run: {b.site} does not exist", "hint: nopsnap rollback ", "last good snapshot: ")
    b.expect(b.night(1), ["failure"], [])
    b.secret("www/shop", "a file")
    b.expect(b.night(1), ["failure"], ["failure"], "run: ")  # another cause
    os.remove(b.site)
    os.rename(b.site + ".away", b.site)
    b.expect(b.night(0), ["start", "success"], ["recovery"])
    # A secret that others may read is told by the others.
    b.secret("webhook", "http://127.0.0.1/", 0o644)
    b.expect(b.night(2, err="webhook"), ["failure"], [])
    b.tell()
    b.secret("ping", "failure http://127.0.0.1/", 0o644)
    b.expect(b.night(2, err="ping"), [], ["failure"], "run: ", "line 5")
    b.tell()
    b.expect(b.night(0), ["start", "success"], ["recovery"])


def a_config_that_can_not_be_loaded_is_told_by_what_of_it_can(b):
    b.tell("keep = last 3, dayly 4\n")
    b.expect(b.night(2, err="line 11"), ["failure"], ["failure"], "run: ", "line 11", "last good snapshot: ")
    b.expect(b.night(2), ["failure"], [])
    b.tell("no such line\n[nopsnap]\n")
    b.expect(b.night(2, "--all"), ["failure"], [])
    b.run("run", "shop", "--dry-run").expect(2)
    b.expect(b.heard(), [], [])
    os.chmod(b.config, 0o666)  # whoever may write it could have anything asked
    b.expect(b.night(2, err="can be written by others"), [], [])
    os.chmod(b.config, 0o600)
    b.tell()
    same("recorded", len([o for o in b.objects("history", "shop") if o.get("what") == "run" and "line 11" in o["detail"].get("refused", "")]), 3)
    b.expect(b.night(0), ["start", "success"], ["recovery"])


def a_catalogue_out_of_reach_is_told_for_each_site(b):
    b.tell("[other]\npath = /somewhere/else\n")
    os.rename(b.catalog, b.catalog + ".away")
    for _ in range(2):  # nothing can be remembered
        heard = b.night(1, "--all", err="no catalogue")
        b.expect(heard, ["failure"] * 2, ["failure"] * 2, b.catalog, "hint: ")
        same("sites", [m["site"] for m in heard[1]], ["shop", "other"])
    os.rename(b.catalog + ".away", b.catalog)
    b.tell()
    b.expect(b.night(0), ["start", "success"], [])


def a_catalogue_that_can_not_be_opened_is_told(b):
    """Somebody has it for himself for more than a minute; its index is damaged. Nothing of it can be remembered."""
    b.tell("notify-timeout = 10m\n")  # which is ten seconds here
    with open(os.path.join(b.catalog, "locks", "catalog.lock"), "rb") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        b.now += DAY
        b.clock(b.now)
        b.run("run", "shop", env=b.hurried()).expect(6, err="in use")
        b.expect(b.heard(), ["failure"], ["failure"], "run: the catalogue ", "in use")
    b.tell()
    index = os.path.join(b.catalog, "catalog.sqlite")
    os.rename(index, index + ".away")
    b.secret("catalog/catalog.sqlite", "This was a database once. " * 400)
    for _ in range(2):
        b.expect(b.night(7, err="not a database"), ["failure"], ["failure"], "run: ", "not a database", "nopsnap rebuild")
    os.rename(index + ".away", index)
    b.expect(b.night(0), ["start", "success"], [])


def somebody_else_at_work_is_not_told(b):
    locks = os.path.join(b.catalog, "locks")
    with open(os.path.join(locks, next(f for f in os.listdir(locks) if f.startswith("run-"))), "rb") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        b.expect(b.night(6, "shop", "--skip"), [], [])
        # Nor when a signal ends the waiting: nobody was told of a beginning.
        p = subprocess.Popen([PROGRAM, "--config", b.config, "run", "shop"], env=b.environment(), stderr=subprocess.PIPE, text=True)
        if not any("in use" in line for line in p.stderr):
            raise Failed("the run did not wait")
        p.send_signal(signal.SIGTERM)
        p.communicate(timeout=60)
        same("status", p.returncode, 143)
        b.expect(b.heard(), [], [])


def a_unit_that_failed_is_told_unless_its_run_has_told(b):
    """What was seen of systemd 252: a dependency that fails leaves every word of the run before as it was."""
    def failed(*lines, ago=0, status=0):
        b.now += DAY
        b.clock(b.now)
        b.run("notify", "--failed", "nopsnap-shop.service", "--", b.site, env={**b.environment(), "PATH": systemctl_that_says(b.folder, *lines, ago=ago)}).expect(status)
        return b.heard()

    ended = ("ActiveState=failed", "Result=exit-code", "ExecMainCode=1")
    for status in (1, 5, 7, 143):
        b.expect(failed(*ended, f"ExecMainStatus={status}"), [], [])
    b.expect(failed("Result=signal", "ExecMainCode=2", "ExecMainStatus=15"), [], [])
    b.expect(failed("ActiveState=activating", *ended[1:], "ExecMainStatus=226"), [], [])
    b.expect(failed(*ended, "ExecMainStatus=226"), ["failure"], ["failure"], "run: systemd could not start it: exit-code, status 226 (NAMESPACE, ",
             "hint: journalctl -u nopsnap-shop.service", "last good snapshot: ")
    b.expect(failed(*ended, "ExecMainStatus=226"), ["failure"], [])
    b.expect(failed(*ended, "ExecMainStatus=243"), ["failure"], ["failure"], "CREDENTIALS")
    b.run("status").expect(3, out=["the last run failed", "243 (CREDENTIALS"])
    b.expect(failed(*ended, "ExecMainStatus=1", ago=300), ["failure"], ["failure"], "did not start it: something that it requires is not there")
    b.expect(failed("Result=resources", "ExecMainCode=0", "ExecMainStatus=0", ago=3000), ["failure"], ["failure"], "did not start it: resources")
    b.expect(failed("Result=oom-kill", "ExecMainCode=2", "ExecMainStatus=9"), ["failure"], ["failure"], "signal 9 (KILL), since the machine had no memory left")
    b.run("notify", "--failed", "x.service", b.site, env={**b.environment(), "PATH": "/nowhere"}).expect(0)
    b.expect(b.heard(), ["failure"], ["failure"], "why can't be asked")
    b.expect(b.night(0), ["start", "success"], ["recovery"])
    os.rename(b.catalog, b.catalog + ".away")
    b.expect(failed(*ended, "ExecMainStatus=226", status=3), ["failure"], ["failure"], "NAMESPACE")
    os.rename(b.catalog + ".away", b.catalog)
    for argv in (["--failed", "x.service"], ["--failed", "x.service", "--test", "shop"]):
        b.run("notify", *argv).expect(2, hint="notify --help")
    b.heard()


def a_signal_ends_what_was_begun(b):
    mark = os.path.join(b.folder, "mark")
    b.tell(f"after-run = touch {mark}; exec sleep 60\n")
    p = subprocess.Popen([PROGRAM, "--config", b.config, "-q", "run", "shop"], env=b.environment(), stderr=subprocess.DEVNULL)
    while not os.path.exists(mark) and p.poll() is None:
        time.sleep(0.02)
    p.send_signal(signal.SIGTERM)
    same("status", p.wait(timeout=60), 143)
    b.expect(b.heard(), ["start", "failure"], [])
    b.tell()
    b.expect(b.night(0), ["start", "success"], [])


def a_flagged_snapshot_is_a_doubt_and_no_recovery(b):
    # Its snapshots had a database, and now there is none.
    b.catalog += ".planted"
    subprocess.run([PLANT, b.catalog, os.path.realpath(b.site), str(b.now), "3", str(DAY)], check=True, env=b.environment())
    b.tell(expect="24h")
    b.expect(b.night(3), ["start", "failure"], ["doubtful"], "the snapshot is flagged: it has no database", "hint: if that is how it should be: nopsnap accept ",
             "last good snapshot: ")
    # The newest good one gets too old: told once, and not taken back by the next flagged one.
    b.expect(b.night(3), ["start", "failure"], ["overdue"])
    for _ in range(2):
        b.expect(b.night(3), ["start", "failure"], [])
    b.tell("after-run = false\n", expect="24h")
    b.expect(b.night(3), ["start", "failure"], ["failure"], "after-run: ", "the snapshot is flagged: ")
    b.tell(expect="24h")
    b.run("accept", b.newest()).expect(0)
    b.expect(b.night(0), ["start", "success"], ["recovery"])


def a_site_of_no_section_is_told_of_too(b):
    metrics = os.path.join(b.folder, "nopsnap.prom")
    b.tell(common=f"metrics-file = {metrics}\n", section=False)
    b.expect(b.night(0, b.site), ["start", "success"], [])
    with open(metrics, encoding="utf-8") as f:
        same("the run's own figures", [line.split()[-1] for line in f if line.startswith("nopsnap_site_last_run_timestamp_seconds{")], [str(b.now)])
    b.clock(b.now + 5 * DAY)
    for events in (["overdue"], []):
        b.run("notify").expect(0)
        heard = b.heard()
        b.expect(heard, [], events)
        same("site", [m["site"] for m in heard[1]], [b.site] * len(events))
    b.tell(common="metrics-file = /nowhere/x.prom\n", section=False)
    b.now += 5 * DAY
    b.expect(b.night(3, b.site, err="/nowhere"), ["start", "success"], ["recovery"])
    # Nobody reads the figures from the web: a copy of a shop's folder is enough to know what is served.
    served = os.path.join(b.folder, "copy", "wwwroot")
    os.makedirs(os.path.join(b.folder, "copy", "App_Data"))
    os.makedirs(served)
    b.tell(common=f"metrics-file = {served}/x.prom\n", section=False)
    b.expect(b.night(3, b.site, err=f"{served}/x.prom is inside a site"), ["start", "success"], [])
    same("written", os.listdir(served), [])


def run__tells_whom_it_concerns():
    with Told() as b:
        b.run("init").expect(0)
        b.tell()
        b.expect(b.night(0), ["start", "success"], [])
        for part in (a_step_that_fails_is_a_failure, what_keeps_a_run_from_beginning_is_told_by_its_cause,
                     a_config_that_can_not_be_loaded_is_told_by_what_of_it_can, a_catalogue_out_of_reach_is_told_for_each_site,
                     a_catalogue_that_can_not_be_opened_is_told, somebody_else_at_work_is_not_told, a_unit_that_failed_is_told_unless_its_run_has_told, a_signal_ends_what_was_begun, a_flagged_snapshot_is_a_doubt_and_no_recovery,
                     a_site_of_no_section_is_told_of_too):
            try:
                part(b)
            except Failed as e:
                raise Failed(f"{part.__name__}: {e}") from e


if __name__ == "__main__":
    main([run__tells_whom_it_concerns])
