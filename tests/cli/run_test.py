#!/usr/bin/env python3
"""Nightly runs on a shop with a real PostgreSQL, by a clock of their own: weeks, a machine that was off, a clock set back or ahead, a flagged snapshot, damage, others at work."""
import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import time

from cli_support import PROGRAM, Bench, Failed, main, same

DAY = 86400 * 10**9
START = 1_780_000_000 * 10**9


class Night:
    def __init__(self, bench):
        self.b, self.now = bench, START
        self.clock = os.path.join(bench.folder, "clock")

    def environment(self):
        with open(self.clock, "w", encoding="utf-8") as f:
            f.write(str(self.now))
        return {**self.b.environment(), "NOPSNAP_CLOCK": self.clock}

    def run(self, *argv, days=1):
        self.now += int(days * DAY)
        return self.b.run("run", "shop", *argv, env=self.environment())


def config(b, *lines):
    b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\n[shop]\npath = {b.site}\nstop = true\nstart = true\n" + "".join(line + "\n" for line in lines))


def rows(b):
    return b.objects("list")


def live_through_weeks(b, n):
    log = os.path.join(b.folder, "copied")
    config(b, "keep = last 2, daily 4", f"after-run = flock -n -x $NOPSNAP_CATALOG/locks/catalog.lock echo $NOPSNAP_CATALOG $NOPSNAP_SNAPSHOT >> {log}")
    for i in range(6):
        n.run().expect(0, out=["snapshot ", "no damage"])
    same("kept", len(rows(b)), 4)
    same("kinds", {r["kind"] for r in rows(b)}, {"scheduled"})
    with open(log, encoding="utf-8") as f:
        copied = f.read().split()
    same("copied", (len(copied), copied[-2], copied[-1]), (12, b.catalog, rows(b)[0]["id"]))
    n.run(days=21).expect(0)
    same("after three weeks", len(rows(b)), 4)
    good = rows(b)[0]["id"]
    n.run(days=-300).expect(0)  # what is of the future takes no place and is not dropped
    if good not in [r["id"] for r in rows(b)]:
        raise Failed("a clock that was set back made a snapshot go")
    n.run(days=301).expect(0)


def follow_the_order_of_commits(b, n):
    """A clock that is set back by less than an hour: what comes later is newer all the same."""
    config(b, "keep = last 1")
    before = {r["id"] for r in rows(b)}
    for days in (1, -50 / 1440, -30 / 1440):
        n.run(days=days).expect(0)
        mine = {r["id"]: r["made_ns"] for r in rows(b) if r["id"] not in before}
        same("kept", list(mine.values()), [n.now])
        before -= set(mine)
    n.now += DAY


def look_past_the_future(b, n):
    """A night by a clock that was ten months ahead; then three that nobody made."""
    good = rows(b)[0]["id"]
    config(b, "keep = last 2, daily 4", "expect-every = 1d")
    n.run(days=300).expect(0)
    ahead = rows(b)[0]["id"]
    n.now -= 297 * DAY
    problems = [o["problems"] for o in b.objects("status", status=3, env=n.environment()) if o["type"] == "site"][0]
    same("problems", [p["code"] for p in problems], ["clock", "late"])
    b.run("rollback", "shop", "--dry-run", env=n.environment()).expect(0, out=[good[:8], ahead[:8], "its date lies in the future"])
    b.run("rollback", "shop", "--yes", env=n.environment()).expect(1, hint="--to")
    same("drilled", b.objects("drill", "shop", env=n.environment())[-1]["snapshot"], good)
    b.run("forget", ahead).expect(0)


def flag_what_lost_most(b, n):
    good = rows(b)[0]["id"]
    b.server.sql('delete from "Log"; delete from "QueuedEmail"', "shop")
    n.run().expect(0)  # what nopCommerce itself empties is no loss
    good = rows(b)[0]["id"]
    b.server.sql('delete from "UrlRecord"', "shop")
    n.run().expect(3, err=["flagged", "UrlRecord has 0 of", good[:8]])
    flagged = rows(b)[0]
    same("flagged", flagged["suspicious"], True)
    b.run("rebuild").expect(0)  # P7
    same("flagged after a rebuild", rows(b)[0]["suspicious"], True)
    for _ in range(5):
        n.run().expect(3)
    if good not in [r["id"] for r in rows(b)]:
        raise Failed("flagged snapshots pushed out the good one")
    b.run("rollback", "shop", "--dry-run").expect(0, out=good[:8])
    b.run("accept", rows(b)[0]["id"]).expect(0)
    n.run().expect(0)


def repair_damage(b, n):
    packs = sorted((os.path.getsize(p), p) for p in
                   (os.path.join(d, f) for d, _, fs in os.walk(os.path.join(b.catalog, "packs")) for f in fs))
    os.chmod(packs[-1][1], 0o600)
    with open(packs[-1][1], "r+b") as f:
        f.seek(packs[-1][0] // 3)
        byte = f.read(1)
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte[0] ^ 0xff]))
    n.run(days=40).expect(3, err="stored anew")
    n.run().expect(0)


def lose_record(b, snapshot):
    """Its own pack alone, as a failing disk might. The next runs see damage, too."""
    with sqlite3.connect(f"file:{b.catalog}/catalog.sqlite?mode=ro", uri=True) as index:
        name = index.execute("select p.name from snapshots s join chunks c on c.hash = s.hash and c.attempt = s.attempt"
                             " join packs p on p.number = c.pack where s.id = ?", [snapshot]).fetchone()[0].hex()
    pack = os.path.join(b.catalog, "packs", name[:2], name + ".pack")
    os.chmod(pack, 0o600)
    with open(pack, "r+b") as f:
        f.truncate(os.path.getsize(pack) // 2)


def mistrust_without_a_measure(b, n):
    """The newest good snapshot can't be read: the next older one is the measure, and stays. Where none can be read, that is flagged, too."""
    def now():
        return next(r for r in rows(b) if r["made_ns"] == n.now)

    config(b, "keep = last 2", "verify-budget = 1s")
    good, lost = (n.run().expect(0) and now()["id"] for _ in range(2))
    b.server.sql('delete from "CustomerPassword"', "shop")
    lose_record(b, lost)
    config(b, "keep = last 1", "verify-budget = 1s")
    told = n.run()
    same("flagged", (now()["suspicious"], "CustomerPassword has 0 of" in told.err, good[:8] in told.err), (True, True, True))
    same("what can be read stays", good in [r["id"] for r in rows(b)], True)
    for row in rows(b):
        if row["id"] != lost and not row["suspicious"]:
            lose_record(b, row["id"])
    told = n.run()
    same("flagged", (now()["suspicious"], "can be read to compare" in told.err), (True, True))


def stay_away_from_others(b, n):
    before = len(rows(b))
    with open(os.path.join(b.catalog, "locks", next(f for f in os.listdir(os.path.join(b.catalog, "locks")) if f.startswith("run-"))), "rb") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        n.run("--skip").expect(6)
    same("while another runs", len(rows(b)), before)
    told = b.run("status").out
    same("which is no failure", ("the last run met another command" in told, "failed" in told), (True, False))
    config(b, "keep = last 2, dayly 4")
    n.run().expect(2, err="line 7")
    config(b, "verify-budget = soon")
    n.run().expect(2, err="line 7")
    secret = os.path.join(b.folder, "secret")
    with open(secret, "w", encoding="utf-8") as f:
        f.write("https://chat.example/hooks/4711\n")
    for mode, owner, line in ((0o644, 0, f"notify-webhook = {secret}"), (0o600, 65534, f"notify-webhook = {secret}"), (0o600, 0, f"notify-webhook = {secret}.gone")):
        os.chmod(secret, mode)
        os.chown(secret, owner, owner)
        config(b, "keep = last 2", line)
        n.run().expect(2, err=[secret, "line 8"], hint="")
    config(b, "keep = last 2")
    same("with a wrong config", len(rows(b)), before)
    b.run("verify", "--read-data").expect(0)


def journal_of(b):
    return os.path.join(os.path.dirname(b.site), ".nopsnap-" + os.path.basename(b.site), "journal")


def begin_rollback(b):
    child = subprocess.Popen([PROGRAM, "--config", b.config, "-q", "rollback", "shop", "--to", rows(b)[0]["id"], "--yes"], env=b.environment(),
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not os.path.exists(journal_of(b)):
        if child.poll() is not None:
            raise Failed("the rollback is over already")
        time.sleep(0.01)
    return child


def stay_out_of_transactions(b, n):
    """One that is under way: 6; one that waits for recover: 5. Nothing is taken, nothing dropped."""
    go = os.path.join(b.folder, "go")
    config(b, "keep = last 1")
    with open(b.config, encoding="utf-8") as f:
        text = f.read()
    b.write_config(text.replace("stop = true", f"stop = for i in $(seq 1200); do [ -e {go} ] && break; sleep 0.1; done"))
    before = [r["id"] for r in rows(b)]
    child = begin_rollback(b)
    n.run("--wait", "1s").expect(6)
    same("beside a rollback", [r["id"] for r in rows(b)], before)
    with open(go, "w", encoding="utf-8"):
        pass
    same("the rollback", child.wait(120) in (0, 3), True)
    os.unlink(go)
    before = [r["id"] for r in rows(b)]
    child = begin_rollback(b)
    child.send_signal(signal.SIGKILL)
    child.wait()
    config(b, "keep = last 1")
    n.run().expect(5, hint="nopsnap recover")
    same("before recover", [r["id"] for r in rows(b)], before)
    b.run("recover", "shop").expect(0)
    n.run().expect(0)


def fail_without_forgetting(b, n):
    """No new snapshot: no rule is applied, and the rest goes on."""
    config(b, "keep = last 9")
    n.run().expect(0)
    settings = os.path.join(b.site, "App_Data", "appsettings.json")
    with open(settings, encoding="utf-8") as f:
        text = f.read()
    before = [r["id"] for r in rows(b)]
    config(b, "keep = last 1")
    b.put("App_Data/appsettings.json", text.replace("Password=", "Password=no longer "))
    n.now += DAY
    said = b.run("--json", "run", "shop", env=n.environment()).expect(1)
    steps = {s["name"]: s["outcome"] for s in json.loads(said.out.splitlines()[-1])["steps"]}
    same("steps", (steps["snapshot"], steps["retention"], steps["verify"]), ("failed", "skipped", "done"))
    same("nothing was forgotten", [r["id"] for r in rows(b)], before)
    b.put("App_Data/appsettings.json", text)


def make_up_for_a_prune(b, n):
    """Whoever reads puts the removal off; the run is killed; the next one forgets nothing, and prunes all the same."""
    locks = os.path.join(b.catalog, "locks")
    n.now += DAY
    b.put("wwwroot/new.bin", os.urandom(200000).hex())
    n.run("--keep", "last 50").expect(0)
    b.put("wwwroot/new.bin", "")
    n.now += DAY
    with open(os.path.join(locks, "catalog.lock"), "rb") as f:
        fcntl.flock(f, fcntl.LOCK_SH)
        b.run("run", "shop", "--keep", "last 1", env=b.hurried(n.environment())).expect(3, out=["prune      0 B freed; removal postponed: others are reading"],
                                                                                        err="the next run removes what was forgotten")
        p = subprocess.Popen([PROGRAM, "--config", b.config, "run", "shop", "--keep", "last 1"], env=n.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if not any("removing what nobody needs" in line for line in p.stderr):
            raise Failed("the run did not come to its prune")
        p.kill()
        p.communicate()
    run = b.objects("run", "shop", "--keep", "last 50", env=n.environment())[-1]
    same("forgotten, and postponed", (run["forgotten"], run["removal_postponed"]), (0, False))
    if run["freed_bytes"] < 100000:
        raise Failed(f"freed {run['freed_bytes']}")
    same("the next prune", [s["outcome"] for s in b.objects("run", "shop", "--keep", "last 50", env=n.environment())[-1]["steps"] if s["name"] == "prune"], ["skipped"])
    before = len(rows(b))
    # A transaction has the site: `forget SITE` waits for it.
    with open(os.path.join(locks, next(f for f in os.listdir(locks) if f.startswith("site-"))), "rb") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        p = subprocess.Popen([PROGRAM, "--config", b.config, "forget", "shop", "--keep", "last 1"], env=n.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if "in use" not in p.stderr.readline():
            raise Failed("forget did not wait for the site")
        same("while another has the site", len(rows(b)), before)
    same("forget", p.wait(timeout=60), 0)
    same("then", len(rows(b)), before - 2)


def survive_kills(b, n):
    config(b, "keep = last 2")
    for ms in (10, 40, 80, 120, 180, 250):
        env = n.environment()
        n.now += DAY
        b.put("wwwroot/new.txt", str(ms))
        p = subprocess.Popen([PROGRAM, "--config", b.config, "-q", "run", "shop"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(ms / 1000)
        p.send_signal(signal.SIGKILL)
        p.wait()
    if n.run().status not in (0, 3):
        raise Failed("the run after the kills is not well")
    b.run("verify", "--read-data").expect(0)


def run__looks_after_itself():
    with Bench("postgresql", files=60) as b:
        n = Night(b)
        b.run("init").expect(0)
        live_through_weeks(b, n)
        look_past_the_future(b, n)
        flag_what_lost_most(b, n)
        stay_away_from_others(b, n)
        stay_out_of_transactions(b, n)
        follow_the_order_of_commits(b, n)
        fail_without_forgetting(b, n)
        config(b, "keep = last 2")
        make_up_for_a_prune(b, n)
        repair_damage(b, n)
        survive_kills(b, n)
        mistrust_without_a_measure(b, n)


if __name__ == "__main__":
    main([run__looks_after_itself])
