#!/usr/bin/env python3
"""Restore drills on a real server: a good one, rows that differ, damage, a signal and a kill in the middle, a right that is missing, runs that drill when it is due.

    drill_test.py postgresql|mysql
"""
import http.server
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

from cli_support import PROGRAM, Bench, Failed, main, same

DAY = 86400
START = 1_780_000_000

# While a copy of the shop is loaded: a check that comes with the dump, and does what the role's own setting says.
POSTGRESQL = """
create function thief(i int) returns boolean language plpgsql as $$
begin
    if current_database() like '%nopsnap%' and current_setting('drill.mode', true) = 'steal' then
        delete from public."Log" where "Id" = (select min("Id") from public."Log");
    elsif current_database() like '%nopsnap%' and current_setting('drill.mode', true) = 'sleep' then
        perform pg_sleep(60);
    end if;
    return true;
end $$;
create table "Zthief" (i int check (public.thief(i)));
insert into "Zthief" values (1);
alter table "Zthief" owner to shop; alter function thief owner to shop;
"""
# The client that loads, in a folder of PATH before the server's own.
MYSQL = """#!/bin/sh
[ "$1" = --version ] && exec {real} "$@"
[ "$(cat {mode})" = sleep ] && exec sleep 60
{real} "$@" || exit
[ "$(cat {mode})" = steal ] || exit 0
for d in $({real} --no-defaults -S {socket} -u root -N -B -e "show databases like '%nopsnap%'"); do
    {real} --no-defaults -S {socket} -u root -e 'delete from `Log` order by Id limit 1' "$d" 2>/dev/null
done
exit 0
"""


class Drilled(Bench):
    def prepare(self):
        self.scratch = os.path.join(self.folder, "scratch")
        self.postgresql = self.server.name == "postgresql"
        os.mkdir(self.scratch)
        if self.postgresql:
            self.server.sql(POSTGRESQL)
        else:
            real = subprocess.run(["which", "mariadb"], check=True, capture_output=True, text=True).stdout.strip()
            self.bin, self.mode = os.path.join(self.folder, "bin"), os.path.join(self.folder, "mode")
            os.mkdir(self.bin)
            with open(os.open(os.path.join(self.bin, "mariadb"), os.O_WRONLY | os.O_CREAT, 0o755), "w", encoding="utf-8") as f:
                f.write(MYSQL.format(real=real, mode=self.mode, socket=self.server.socket))
        self.load("")

    def environment(self):
        env = super().environment()
        return env if self.postgresql else {**env, "PATH": self.bin + ":" + env["PATH"]}

    def load(self, mode):
        """What happens to the copy of the database: nothing, "steal" a row, "sleep"."""
        if self.postgresql:
            self.server.sql(f"alter role shop set drill.mode = '{mode}'", "postgres")
        else:
            with open(self.mode, "w", encoding="utf-8") as f:
                f.write(mode)

    def left(self):
        """What a drill makes: in the catalogue, in a folder of the owner's choice, on the server."""
        return [n for n in os.listdir(self.catalog) if n.startswith("drill")] + os.listdir(self.scratch) + [n for n in self.server.others() if "nopsnap" in n]

    def drills(self):
        return [o for o in self.objects("history", "shop") if o["what"] == "drill"]

    def forget_history(self):
        for name in os.listdir(self.catalog):
            if name.startswith("catalog.sqlite"):
                os.unlink(os.path.join(self.catalog, name))
        self.run("rebuild").expect(0)

    def configure(self, *lines):
        self.write_config(f"[nopsnap]\ncatalog = {self.catalog}\n[shop]\npath = {self.site}\nstop = true\nstart = true\n" + "".join(line + "\n" for line in lines))

    def begin_one(self, *argv):
        """One that hangs in its load, with its files restored."""
        self.load("sleep")
        child = subprocess.Popen([PROGRAM, "--config", self.config, "-q", "drill", "shop", *argv], env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 60
        while not any("nopsnap" in n for n in self.server.others()) and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.4)
        time.sleep(0.2)
        if child.poll() is not None:
            raise Failed(f"the drill has ended: {child.stdout.read()}")
        self.load("")
        return child


def prove_a_good_one(b):
    result = json.loads(b.run("--json", "drill", "shop").expect(0).out.splitlines()[-1])
    show = b.objects("show", "latest")[0]
    same("the object", (result["type"], result["proved"], result["status"], result["snapshot"]), ("drill", True, 0, b.newest()))
    same("files", result["files"], show["roots"][0]["files"])
    same("rows", (result["tables"], result["rows"]), (len(show["database"]["tables"]), sum(t["rows"] for t in show["database"]["tables"])))
    b.run("drill", "shop", b.newest()[:8], "--scratch", b.scratch).expect(0, out=["proved restorable: ", f"{result['files']} files, {result['tables']} tables, {result['rows']} rows"])
    same("left", b.left(), [])
    same("recorded", [(d["status"], d["detail"]["rows"]) for d in b.drills()], [(0, result["rows"])] * 2)
    b.run("-v", "status", "shop").expect(0, out="last proved restorable: ")
    b.run("drill", "shop", "--scratch", b.site).expect(1, err="inside the shop", hint="--scratch")
    b.run("drill", "shop", "ffffffff").expect(1, hint="nopsnap list")
    same("removed", "removing" in b.run("-v", "drill", "shop", "--scratch", "/nowhere/at/all").expect(1, err="/nowhere/at/all", hint="--scratch").err, False)
    other = os.path.join(b.folder, "other")
    os.makedirs(os.path.join(other, "App_Data"))
    b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\n[shop]\npath = {b.site}\n[other]\npath = {other}\n")
    b.run("drill", "shop", "--scratch", os.path.join(other, "App_Data")).expect(1, err="inside a shop", hint="--scratch")
    b.configure()
    b.run("snapshot", other, "--files-only").expect(0)
    b.run("drill", "shop", "--scratch", os.path.join(other, "App_Data")).expect(1, err="inside a shop", hint="--scratch")
    b.run("forget", "latest").expect(0)
    same("refusals are no drills", len(b.drills()), 2)


def miss_a_row(b):
    b.load("steal")
    b.run("drill", "shop").expect(7, err=["is not what was dumped", "Log"])
    b.load("")
    same("recorded", (b.drills()[0]["status"], "Log" in b.drills()[0]["detail"]["text"]), (7, True))
    same("left", b.left(), [])
    b.run("status", "shop").expect(3, out=["the last drill failed", "exit status 7", "nopsnap drill shop"])


def end_it_in_the_middle(b):
    first = b.begin_one("--scratch", b.scratch)
    b.run("drill", "shop").expect(6, err="the site's drill is in use")
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=60)
    same("ended by a signal", first.returncode, 128 + signal.SIGTERM)
    same("left by a signal", b.left(), [])
    recorded = len(b.drills())
    killed = b.begin_one()
    killed.kill()
    killed.communicate(timeout=60)
    same("left by a kill", len(b.left()), 3)
    b.run("drill", "shop").expect(0)
    same("left", b.left(), [])
    same("neither is in the record", len(b.drills()), recorded + 1)
    # A folder that is no drill's is not removed.
    strange = os.path.join(b.scratch, ".nopsnap-" + next(n for n in os.listdir(os.path.join(b.catalog, "locks")) if n.startswith("drill-"))[:-len(".lock")])
    os.makedirs(os.path.join(strange, "tree"))
    b.run("drill", "shop", "--scratch", b.scratch).expect(1, err="has no mark")
    os.rmdir(os.path.join(strange, "tree"))
    os.rmdir(strange)


def find_what_a_kill_left(b):
    """In whatever place that was: by its note in the catalogue, the database also without the folder; and nothing else in that place."""
    def kill_one(*argv):
        killed = b.begin_one(*argv)
        killed.kill()
        killed.communicate(timeout=60)
        same("left by a kill", len(b.left()), 3)  # and the note

    kill_one("--scratch", b.scratch)
    b.run("drill", "shop").expect(0)
    same("left", b.left(), [])
    b.configure(f"drill-folder = {b.scratch}")
    kill_one()
    name = os.listdir(b.scratch)[0]
    b.configure()
    b.run("run", "shop").expect(0, out="what was left of a drill that was ended is removed")
    same("left", b.left(), [])
    # Another disk is mounted there, with a folder of that name, of somebody else's drill.
    kill_one("--scratch", b.scratch)
    os.rename(b.scratch, b.scratch + ".away")
    strange = os.path.join(b.scratch, name)
    os.makedirs(os.path.join(strange, "tree"))
    for mark in ("nopsnap drill 01234567 database\n", "mine\n", None):
        with open(os.path.join(strange, "mark"), "w", encoding="utf-8") as f:
            f.write(mark or "")
        if not mark:
            os.unlink(f.name)
        b.run("run", "shop").expect(0, out="what was left of a drill that was ended is removed" if "nopsnap" in (mark or "") else "no drill = ")
        same("a stranger's", sorted(os.listdir(strange)), ["mark", "tree"] if mark else ["tree"])
        same("databases", [n for n in b.server.others() if "nopsnap" in n], [])
    os.rename(b.scratch, b.scratch + ".strange")
    os.rename(b.scratch + ".away", b.scratch)
    b.run("run", "shop").expect(0, out="what was left of a drill that was ended is removed")
    same("left", b.left(), [])
    # Its owner has removed the folder, and put one of his own there.
    kill_one("--scratch", b.scratch)
    shutil.rmtree(os.path.join(b.scratch, name))
    os.rename(os.path.join(b.scratch + ".strange", name), strange)
    b.run("drill", "shop").expect(0)
    same("left", b.left(), [name])
    os.rmdir(os.path.join(strange, "tree"))
    os.rmdir(strange)


def lack_the_right(b):
    if b.postgresql:
        b.server.sql("alter role shop nocreatedb", "postgres")
    else:
        b.server.sql("revoke all on `shop%`.* from shop@localhost; grant all on `shop`.* to shop@localhost")
    b.run("drill", "shop").expect(1, err="creating a database beside shop", hint="database-admin")
    same("recorded", b.drills()[0]["status"], 1)
    same("left", b.left(), [])
    if b.postgresql:
        b.server.sql("alter role shop createdb", "postgres")
    else:
        b.server.sql("revoke all on `shop`.* from shop@localhost; grant all on `shop%`.* to shop@localhost")


def restore_what_is_damaged(b):
    """The pack with the most bytes is overwritten in its middle, then as it was."""
    packs = sorted((os.path.getsize(p), p) for p in (os.path.join(d, f) for d, _, fs in os.walk(os.path.join(b.catalog, "packs")) for f in fs))
    size, pack = packs[-1]
    os.chmod(pack, 0o600)
    with open(pack, "r+b") as f:
        f.seek(size // 4)
        was = f.read(size // 4)
        f.seek(size // 4)
        f.write(bytes(len(was)))
        f.flush()
        b.run("drill", "shop").expect(7, err=["warning: damaged: ", "can't be restored whole: "], hint="verify --read-data")
        same("recorded", b.drills()[0]["status"], 7)
        same("left", b.left(), [])
        f.seek(size // 4)
        f.write(was)
    b.run("drill", "shop").expect(0)


class Told(http.server.ThreadingHTTPServer):
    """A webhook."""
    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.events = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

        def do_POST(self):
            self.server.events.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()


def drill_when_it_is_due(b):
    def night(day, *words, status=0):
        b.clock(START + int(day * DAY))
        result = b.run("run", "shop").expect(status, out=[*words])
        return result

    b.forget_history()
    told = Told()
    with open(os.open(os.path.join(b.folder, "hook"), os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as f:
        f.write(f"http://127.0.0.1:{told.server_address[1]}/\n")
    hook = f"notify-webhook = {os.path.join(b.folder, 'hook')}"
    b.configure("drill = often")
    b.run("run", "shop").expect(2, err=["daily, weekly, monthly", "line 7"])
    night_word = "drill      proved restorable: "
    b.configure("drill = daily", "drill-folder = /nowhere/at/all", hook)
    night(0.9, "drill      failed", status=3)
    b.configure("drill = daily", f"drill-folder = {b.scratch}", hook)
    night(1, night_word)
    same("newest first", [o["what"] for o in b.objects("history", "shop") if o["what"] in ("run", "drill")][:2], ["run", "drill"])
    same("told", [(e["event"], "/nowhere" in e["text"]) for e in told.events], [("failure", True), ("recovery", False)])
    b.configure("drill = weekly")
    night(7.8, "drill      not done: the last good one is recent enough")
    night(7.95, night_word)
    b.load("steal")
    b.clock(START + 15 * DAY)
    b.run("run", "shop").expect(7, out="drill      failed", err="is not what was dumped")
    b.load("")
    b.configure("drill = weekly", hook)
    night(15.5, "drill      not done: the last one failed, and is tried again later")
    same("still failed", [(e["event"], "Log" in e["text"]) for e in told.events[2:]], [("failure", True)])
    same("recorded", [d["status"] for d in b.drills()], [7, 0, 0])
    night(15.95, night_word)
    same("well again", [e["event"] for e in told.events[3:]], ["recovery"])
    b.configure()
    killed = b.begin_one()
    killed.kill()
    killed.communicate(timeout=60)
    night(30, "what was left of a drill that was ended is removed")
    same("left", b.left(), [])
    b.configure("drill = weekly")
    b.run("status", "shop").expect(3, out=["no restore was proved for ", "nopsnap drill shop"])


def prove_one_without_a_database(b):
    plain = os.path.join(b.folder, "plain")
    os.makedirs(os.path.join(plain, "pictures"))
    for i in range(3):
        with open(os.path.join(plain, "pictures", f"{i}.txt"), "w", encoding="utf-8") as f:
            f.write("x" * 100 * i)
    os.chmod(os.path.join(plain, "pictures"), 0o2750)
    b.run("snapshot", plain).expect(0)
    locks = set(os.listdir(os.path.join(b.catalog, "locks")))
    b.run("drill", plain).expect(0, out=["proved restorable: ", "3 files"], not_out="tables")
    same("left", b.left(), [])
    # What is in a note is not believed.
    lock = next(n for n in set(os.listdir(os.path.join(b.catalog, "locks"))) - locks if n.startswith("drill-"))
    note = os.path.join(b.catalog, lock.replace(".lock", ".json"))
    for text in ("", '{"left":[{"folder":"../www","token":"01234567","database":false}]}', '{"left":[{"folder":"/","token":"01234567"}]}',
                 '{"left":[{"folder":"/srv/x","token":"0123456/","database":false}]}'):
        with open(note, "w", encoding="utf-8") as f:
            f.write(text)
        b.run("drill", plain).expect(3, out="proved restorable: ", err=[note, "it is set aside as"])
        aside, = b.left()  # what it names is nowhere else
        with open(os.path.join(b.catalog, aside), encoding="utf-8") as f:
            same("set aside", f.read(), text)
        os.unlink(os.path.join(b.catalog, aside))
    os.mkdir(note)  # can't be read
    b.run("drill", plain).expect(1, err=note, hint="no drill is made until it can be read")
    os.rmdir(note)


def kill_one_at_every_step(b):
    """What is made, renamed and removed, one call after the other."""
    plain, log, kills = os.path.join(b.folder, "plain"), os.path.join(b.folder, "strace"), 0
    for call in ("mkdir", "mkdirat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir"):
        for n in itertools.count(1):
            b.run("drill", plain, "--scratch", b.scratch, prefix=["strace", "-f", "-o", log, "-e", "trace=" + call, "-e", f"inject={call}:signal=KILL:when={n}"])
            with open(log, encoding="utf-8") as f:
                if "killed by SIGKILL" not in f.read():
                    break
            kills += 1
            b.run("drill", plain).expect(0)
            same(f"left by a kill at {call} {n}", b.left(), [])
    same("each at its step", kills > 10, True)


def drill__proves_or_tells():
    with Drilled(sys.argv[1], files=60) as b:
        b.prepare()
        b.run("init").expect(0)
        b.run("drill", "shop").expect(1, err="no good snapshot", hint="nopsnap snapshot")
        b.run("snapshot", "shop").expect(0)
        before = b.state()
        same("one without a snapshot is recorded", [d["status"] for d in b.drills()], [1])
        b.forget_history()
        prove_a_good_one(b)
        miss_a_row(b)
        end_it_in_the_middle(b)
        find_what_a_kill_left(b)
        lack_the_right(b)
        if b.postgresql:
            restore_what_is_damaged(b)
            drill_when_it_is_due(b)
        prove_one_without_a_database(b)
        if not b.postgresql:  # which the sanitizers do without
            kill_one_at_every_step(b)
        same("the shop", b.state(), before)


if __name__ == "__main__":
    main([drill__proves_or_tells])
