#!/usr/bin/env python3
"""Every verb: its help, its objects, its usage errors; a terminal's bar and question. Without a database server."""
import fcntl
import json
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
import time

from cli_support import PROGRAM, Bench, Failed, main, same

VERBS = ["init", "snapshot", "list", "rollback", "upgrade", "rehearse", "confirm", "recover", "restore", "export", "show", "ls", "cat", "diff", "sql", "status", "report", "history", "hold",
         "release", "accept", "forget", "prune", "verify", "drill", "run", "schedule", "rebuild", "notify"]


def shop():
    return Bench(files=40)


def on_terminal(b, *argv, answer=None, columns=80):
    """Runs with a terminal for everything; returns the exit status and what it showed."""
    child, fd = pty.fork()
    if child == 0:
        env = b.environment()
        del env["COLUMNS"]
        os.execve(PROGRAM, [PROGRAM, "--config", b.config, *argv], env)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    seen, deadline = b"", time.time() + 60
    while time.time() < deadline:
        if select.select([fd], [], [], 0.2)[0]:
            try:
                part = os.read(fd, 4096)
            except OSError:
                break
            if not part:
                break
            seen += part
        if answer and b"[y/N]" in seen:
            os.write(fd, answer)
            answer = None
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), seen.decode(errors="replace")


def help__is_there_for_every_verb_with_examples():
    with shop() as b:
        listed = b.run("--help").expect(0, out=["--catalog DIR", "--config FILE", "--json", "--quiet", "--verbose"]).out
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "nopsnap.1"), encoding="utf-8") as f:
            manual = f.read().replace("\\-", "-")
        for verb in VERBS:
            if f"\n  {verb} " not in listed:
                raise Failed(f"{verb} is not in --help:\n{listed}")
            text = b.run(verb, "--help").expect(0, out=[f"nopsnap {verb}", "Example"]).out
            same(f"not in the manual, of {verb}", [option for option in re.findall(r"^  .*?(--[a-z-]+)", text, re.M) if option not in manual], [])
            wide = [line for line in text.splitlines() if len(line) > 120]
            same(f"lines of {verb} --help that are too wide", wide, [])
        same("verbs in --help", re.findall(r"^  (\w+) ", listed, re.M).__len__(), len(VERBS))
        for verb in re.findall(r"nopsnap (?:-v |--catalog \S+ )?(\w+)", "".join(b.run(v, "--help").out for v in VERBS)):
            if verb not in VERBS:
                raise Failed(f"the help names a verb that there is not: {verb}")


def usage__errors_say_what_and_where_to_look():
    with shop() as b:
        b.run().expect(2)
        b.run("snapshto", "x").expect(2, err="nopsnap: snapshto: no such command", hint="did you mean nopsnap snapshot?")
        b.run("lsit").expect(2, hint="nopsnap list")
        b.run("qqqqqq").expect(2, hint="nopsnap --help")
        for argv in (["snapshot"], ["snapshot", "a", "b"], ["rollback"], ["recover"], ["restore"], ["export", "x"], ["show"], ["ls"], ["cat"],
                     ["diff"], ["report"], ["history"], ["hold"], ["release"], ["accept"], ["forget"], ["prune", "x"], ["verify", "x"], ["rebuild", "x"], ["run"], ["run", "x", "--all"], ["drill"], ["drill", "a", "b", "c"], ["schedule", "--at", "03:00"], ["schedule", "a", "b"], ["schedule", "a", "--remove", "--at", "03:00"], ["notify", "shop"], ["notify", "--test", "a", "b"], ["notify", "nobody", "--test"],
                     ["init", "x"], ["list", "a", "b"], ["status", "a", "b"], ["snapshot", "x", "--mode", "half"], ["rollback", "x", "--only", "y"],
                     ["verify", "--read-data=0%"], ["verify", "--read-data=soon"], ["prune", "--max-unused", "10"],
                     ["snapshot", "x", "--files-only", "--database-only"], ["snapshot", "x", "--tag"], ["list", "--wrong"]):
            b.run(*argv).expect(2, err="nopsnap: ", hint=f"nopsnap {argv[0]} --help")


def json__is_one_object_a_line_of_every_type():
    with shop() as b:
        types = {}

        def see(*argv, status=0):
            for o in b.objects(*argv, status=status):
                types.setdefault(o["type"], []).append(o)

        see("init")
        see("snapshot", "shop", "--tag", "t1", "--tag", "t2")
        b.put("new.txt", "came later")
        see("list")
        see("show", "latest")
        see("ls", "latest")
        see("diff", "latest", status=3)
        see("rollback", "shop", "--dry-run")
        see("rollback", "shop", "--yes")
        see("recover", "shop")
        see("status")
        see("schedule", "shop", "--at", "03:00", "--dry-run")
        see("report", "--html", os.path.join(b.folder, "r.html"))
        see("history", "shop")
        see("restore", "latest", "--target", os.path.join(b.folder, "r"))
        see("export", "latest", os.path.join(b.folder, "e.zip"))
        see("hold", "latest")
        see("release", "latest")
        see("verify", "--read-data=100%")
        see("forget", b.newest())
        see("prune", "--max-unused", "0%")
        see("rebuild")
        see("show", "nothing", status=2)
        expected = {"catalog", "snapshot", "row", "show", "entry", "difference", "plan", "rollback", "recover", "site", "event", "restore",
                    "schedule_written", "export", "hold", "release", "verify", "forget", "prune", "rebuild", "error", "note"}
        same("types", sorted(expected - set(types)), [])
        same("tags", types["show"][0]["tags"], ["t1", "t2"])
        same("the difference", [o["path"] for o in types["difference"] if o["kind"] == "added"], ["new.txt"])
        same("the error", types["error"][0]["status"], 2)
        with open(os.path.join(os.path.dirname(__file__), "..", "..", "docs", "operations.md"), encoding="utf-8") as f:
            documented = set(re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in f.read().split("## JSON")[1].splitlines() if line.startswith("| `"))))
        same("types that are not documented", sorted(set(types) - documented), [])


def tables__fit_eighty_columns():
    with shop() as b:
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        for argv in (["list"], ["history", "shop"]):
            for line in b.run(*argv).expect(0).out.splitlines():
                if len(line) > 80:
                    raise Failed(f"{argv}: {len(line)} columns: {line}")


def forget__by_rules_tells_why_and_keeps_what_must_stay():
    with shop() as b:
        b.run("init").expect(0)
        day = 86400
        for n in range(6):
            b.clock(1767225600 + n * day)
            b.run("snapshot", b.site).expect(0)
        ids = [r["id"] for r in b.rows()]
        b.run("hold", ids[5]).expect(0)
        b.run("forget", b.site).expect(2, err="has no rules", hint="--keep")
        b.run("forget", b.site, "--keep", "often 3").expect(2, err="often 3", hint="weekly 5")
        b.run("forget", ids[0], "--keep", "last 1").expect(2, err="rules are for sites")
        dry = b.run("forget", b.site, "--keep", "daily 2", "--dry-run").expect(0, out=["daily 2", "the newest good one", "held", "no rule keeps it", "3 kept, 3 would be forgotten"])
        assert len(b.rows()) == 6, dry
        b.run("forget", b.site, "--keep", "daily 2").expect(0, out=["3 kept, 3 forgotten", "\nforgot "])
        assert [r["id"] for r in b.rows()] == [ids[0], ids[1], ids[5]]
        b.run("verify").expect(0)


def hold__keeps_from_forget_and_forget_gives_room_to_prune():
    with shop() as b:
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        with open(os.path.join(b.site, "big.bin"), "wb") as f:
            f.write(os.urandom(3 << 20))
        b.run("snapshot", "shop").expect(0)
        newest = b.newest()
        b.run("hold", newest, "--reason", "before the move").expect(0)
        b.run("show", newest).expect(0, out="before the move")
        b.run("list").expect(0, out=" H ")
        b.run("forget", newest).expect(1, err="before the move", hint="nopsnap release")
        b.run("rebuild").expect(0)
        b.run("forget", newest).expect(1, err="before the move")
        b.run("release", newest).expect(0)
        b.run("forget", newest, "abcdef0123").expect(1)
        same("after a wrong id", len(b.objects("list")), 2)
        b.run("forget", newest).expect(0, out="nopsnap prune")
        told = [o for o in b.objects("prune", "--max-unused", "0%", "--dry-run") if o["type"] == "prune"][0]
        pruned = [o for o in b.objects("prune", "--max-unused", "0%") if o["type"] == "prune"][0]
        if pruned["bytes_freed"] < 3 << 20:
            raise Failed(f"prune freed too little: {pruned}")
        if abs(told["bytes_freed"] - pruned["bytes_freed"]) > 64 << 10 or not told["packs_removed"]:
            raise Failed(f"prune would have done {told}, and did {pruned}")
        b.run("verify", "--read-data").expect(0)
        b.run("rebuild").expect(0)
        same("after a rebuild", len(b.objects("list")), 1)


def export__is_read_by_tar_and_unzip():
    with shop() as b:
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        tar, archive = os.path.join(b.folder, "e.tar.zst"), os.path.join(b.folder, "e.zip")
        b.run("export", "latest", tar).expect(0, out="keep it private")
        b.run("export", "latest", archive).expect(0)
        same("mode", oct(os.stat(tar).st_mode & 0o777), "0o600")
        names = subprocess.run(["tar", "--zstd", "-tf", tar], capture_output=True, text=True, check=True).stdout
        if "Nop.Core.dll" not in names:
            raise Failed(names)
        subprocess.run(["unzip", "-qt", archive], check=True, stdout=subprocess.DEVNULL)
        b.run("export", "latest", tar).expect(1, err="is there already")
        served = os.path.join(b.site, "wwwroot", "e.zip")
        b.run("export", "latest", served).expect(1, err="visitors could read it", hint="elsewhere")
        if os.path.lexists(served):
            raise Failed("an archive with passwords under the served root")
        b.run("export", "latest", os.path.join(b.folder, "e.rar")).expect(2, err=".tar.zst")


def cat__gives_the_very_bytes():
    with shop() as b:
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        done = subprocess.run([PROGRAM, "--config", b.config, "cat", "latest:Nop.Core.dll"], capture_output=True, env=b.environment(), check=True)
        with open(os.path.join(b.site, "Nop.Core.dll"), "rb") as f:
            same("bytes", done.stdout, f.read())
        b.run("ls", "latest:wwwroot", "--recursive").expect(0, out="wwwroot/images/")
        b.run("cat", "latest:wwwroot").expect(2, err="is no file", hint="nopsnap ls")


def restore__of_one_folder_brings_only_that():
    with shop() as b:
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        target = os.path.join(b.folder, "r")
        b.run("restore", "latest", "--target", target, "--include", "Views/**").expect(0)
        same("top", sorted(os.listdir(target)), ["Views"])
        left = subprocess.run(["diff", "-r", os.path.join(b.site, "Views"), os.path.join(target, "Views")], capture_output=True, text=True, check=False)
        same("differences", left.stdout, "")


def stopped__stops_and_starts_the_shop():
    with shop() as b:
        seen = os.path.join(b.folder, "seen")
        b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\n[shop]\npath = {b.site}\nstop = echo stop >> {seen}\nstart = echo start >> {seen}\n")
        b.run("init").expect(0)
        b.run("snapshot", "shop", "--mode", "stopped").expect(0)
        with open(seen, encoding="utf-8") as f:
            same("commands", f.read().split(), ["stop", "start"])
        same("recorded", b.objects("show", "latest")[0]["stopped"], True)


def plain_folder__is_saved_and_said():
    with shop() as b:
        b.run("init").expect(0)
        plain = os.path.join(b.folder, "plain")
        os.makedirs(os.path.join(plain, "a/b"))
        with open(os.path.join(plain, "a/b/c"), "w", encoding="utf-8") as f:
            f.write("text")
        b.run("snapshot", plain).expect(0, err="nopCommerce")
        shutil.rmtree(os.path.join(plain, "a"))
        # An ordinary user can't prove that nobody is at work there; the config says how it is stopped.
        b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\n[plain]\npath = {plain}\nstop = true\nstart = true\n")
        b.run("rollback", "plain", "--yes").expect(0)
        with open(os.path.join(plain, "a/b/c"), encoding="utf-8") as f:
            same("content", f.read(), "text")


def terminal__gets_a_bar_and_a_question():
    with shop() as b:
        b.run("init").expect(0)
        status, seen = on_terminal(b, "snapshot", "shop", columns=60)
        same("status", status, 0)
        if "\r\x1b[K" not in seen:
            raise Failed(f"no bar: {seen!r}")
        for part in re.split(r"[\r\n]|\x1b\[K", seen):
            if re.search(r"/s\b", part) and len(part) >= 60:
                raise Failed(f"the bar is too wide: {part!r}")
        b.put("new.txt", "came later")
        status, seen = on_terminal(b, "rollback", "shop", answer=b"n\n")
        same("declined", status, 1)
        if "nothing was changed" not in seen or not os.path.exists(os.path.join(b.site, "new.txt")):
            raise Failed(seen)
        status, seen = on_terminal(b, "rollback", "shop", answer=b"\x03")
        same("Ctrl-C", status, 130)
        if "nothing was changed" not in seen or not os.path.exists(os.path.join(b.site, "new.txt")):
            raise Failed(seen)
        status, seen = on_terminal(b, "rollback", "shop", answer=b"y\n")
        same("agreed", status, 0)
        same("new.txt", os.path.exists(os.path.join(b.site, "new.txt")), False)


def quiet__says_nothing_of_what_went_well():
    with shop() as b:
        file = os.path.join(b.folder, "e.zip")
        for argv in (["init"], ["snapshot", "shop"], ["rollback", "shop", "--yes"], ["recover", "shop"], ["snapshot", "shop"], ["export", "latest", file],
                     ["restore", "latest", "--target", os.path.join(b.folder, "r")], ["hold", "latest"], ["release", "latest"], ["verify"],
                     ["forget", "latest"], ["prune"], ["rebuild"]):
            done = b.run("-q", *argv).expect(0)
            same(f"said by -q {argv}", done.out + done.err, "")
        b.run("-q", "forget", "abcdef0123").expect(1, err="nopsnap: ", hint="nopsnap list")
        if not b.run("-q", "list").expect(0).out or not b.run("-q", "show", "latest").expect(0).out:
            raise Failed("what was asked for is no chatter")


def latest__is_of_the_site_that_is_named():
    with shop() as b:
        other = os.path.join(b.folder, "www", "other")
        os.makedirs(other)
        with open(os.path.join(other, "f"), "w", encoding="utf-8") as f:
            f.write("another shop")
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        mine = b.newest()
        b.run("snapshot", other).expect(0)
        same("the newest of all", b.newest() != mine, True)
        b.run("diff", "latest", "shop").expect(0, out="equal")
        b.run("diff", mine, "latest").expect(0, out="equal")
        b.run("diff", "latest", other).expect(0, out="equal")
        b.run("rollback", "shop", "--to", "latest", "--dry-run").expect(0, out=mine[:8])
        copy = os.path.join(b.folder, "www", "copy")
        subprocess.run(["cp", "-a", other, copy], check=True)
        b.run("diff", "latest", copy).expect(0, out="equal")  # it has none of its own


def lock__that_is_waited_for_is_said():
    with shop() as b:
        b.run("init").expect(0)
        path = os.path.join(b.catalog, "locks", "catalog.lock")
        with open(path, "r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            child = subprocess.Popen([PROGRAM, "--config", b.config, "list"], env=b.environment(), stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            line = child.stderr.readline()
        rest = child.communicate(timeout=60)[1]
        same("status", child.returncode, 0)
        if not line.endswith("waiting\n") or "in use by" not in line or "waiting\n" in rest:
            raise Failed(f"it waited and said {line!r}, then {rest!r}")


def hint__what_to_do_about_a_missing_config_and_an_unknown_ending():
    with shop() as b:
        b.run("--config", os.path.join(b.folder, "none"), "list", config=False).expect(2, err="none", hint="/etc/nopsnap.conf")
        b.run("init").expect(0)
        b.run("snapshot", "shop").expect(0)
        b.run("export", "latest", os.path.join(b.folder, "e.rar")).expect(2, err=".tar.zst", hint="e.rar.tar.zst")


def sql__of_another_engine_is_refused_with_what_to_use():
    """Without a connection: there is no server."""
    with shop() as b:
        for provider, name, tool in (("postgresql", "PostgreSQL", "psql"), ("mysql", "MySQL", "mysql or mariadb client")):
            settings = {"ConnectionString": "Host=127.0.0.1;Server=127.0.0.1;Port=1;Database=x;Username=x;User ID=x;Password=x", "DataProvider": provider}
            b.put("App_Data/appsettings.json", json.dumps({"ConnectionStrings": settings}))
            b.run("sql", "shop", b.config).expect(1, err=["SQL Server only", name], hint=tool)


TESTS = [value for name, value in list(globals().items()) if "__" in name and not name.startswith("__") and callable(value)]
if len(sys.argv) > 1:
    TESTS = [t for t in TESTS if sys.argv[1] in t.__name__]
main(TESTS)
