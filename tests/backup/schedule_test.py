#!/usr/bin/env python3
"""`nopsnap schedule`: units that systemd's own tools take, crontabs that cron's own take, odd paths, hand edits, kills, the clock.

No test starts a timer: units and crontabs go to folders of the test, and the systemctl that is called is one that writes down what it was told.
"""
import calendar as calendar_module
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
import sandbox  # noqa: E402
from overview_support import PROGRAM, Bench, Failed, main, same, systemctl_that_says  # noqa: E402

NOW = 1790000000  # 2026-09-21 14:13:20 UTC
ODD = ["my shop", "100% off", 'a "quoted" one', "it's", "back\\slash", "b\\\\%n", "end\\", "$HOME ${x} `id`", "läden-ünd-crêpes", "semi;colon #1", "-rf"]


class Timers(Bench):
    """tz: where the machine is."""

    def __init__(self, tz="UTC"):
        super().__init__(files=5)
        self.tz, self.keys, self.shared, self.path = tz, "", "", None
        self.units, self.cron = os.path.join(self.folder, "units"), os.path.join(self.folder, "cron.d")
        for folder in (self.units, self.cron):
            os.makedirs(folder)

    def __enter__(self):
        super().__enter__()
        self.run("init").expect(0)
        self.clock(NOW)
        return self

    def make_site(self, path):
        os.makedirs(path)
        self.put("index.html", "hello")

    def write_config(self, text=None):
        super().write_config(text or f"[nopsnap]\ncatalog = {self.catalog}\n{self.shared}[shop]\npath = {self.site}\nstop = true\nstart = true\n{self.keys}")

    def config_with(self, keys="", shared=""):
        self.keys, self.shared = keys, shared
        self.write_config()

    def environment(self):
        env = super().environment()
        env.update(NOPSNAP_SYSTEMD_ETC=self.units, NOPSNAP_CRON_ETC=self.cron, TZ=self.tz)
        if self.path:
            env["PATH"] = self.path
        return env

    def systemd(self, *argv, site="shop", status=3):
        """Status 3: on this machine no systemd runs that could start it."""
        return self.run("schedule", site, "--systemd", *argv).expect(status)

    def written(self):
        """Every file and link below both folders, with what it holds."""
        found = {}
        for top in (self.units, self.cron):
            for folder, _, names in os.walk(top):
                for name in names:
                    path = os.path.join(folder, name)
                    found[os.path.relpath(path, self.folder)] = os.readlink(path) if os.path.islink(path) else read(path)
        return found

    def listed(self, site=None):
        return [o for o in self.objects("schedule") if o["type"] == "schedule" and site in (None, o["site"])]


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def values(unit, key):
    return [line.split("=", 1)[1] for line in unit.splitlines() if line.startswith(key + "=")]


def words(value, command=False):
    """systemd's words of a value by systemd.syntax(7): an independent reader of what nopsnap wrote."""
    out, at = [], 0
    while at < len(value):
        if value[at] == " ":
            at += 1
            continue
        quoted, word = value[at] == '"', ""
        at += quoted
        while at < len(value) and value[at] != ('"' if quoted else " "):
            if value[at] == "\\":
                at += 1
                if value[at] not in '\\"':
                    raise Failed(f"an escape that systemd does not know: {value}")
            elif value[at] in ("%$" if command and out else "%"):
                at += 1
                if value[at] != value[at - 1]:
                    raise Failed(f"a specifier or a variable: {value}")
            word += value[at]
            at += 1
        at += quoted
        out.append(word)
    return out


def verify(b):
    units = [os.path.join(b.units, n) for n in os.listdir(b.units) if n.endswith((".timer", ".service"))]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, env={**os.environ, "SYSTEMD_UNIT_PATH": b.units + ":"})
    same("what systemd-analyze verify says", (done.returncode, done.stderr), (0, ""))


def crontab_accepts(text):
    """cron's own reader; a user's table has no column for the user."""
    own = re.sub(r"^(\S+ \S+ \S+ \S+ \S+) root ", r"\1 ", text, flags=re.M)
    done = subprocess.run(["/usr/bin/crontab", "-n", "-"], input=own, capture_output=True, text=True)
    same("what crontab -n says", done.returncode, 0)
    same("no user", own != text, True)


def handed_to_shell(line, collapses):
    """What cron hands to sh: the text up to an unescaped %; \\% is %, and in some crons \\\\ is one \\."""
    out, at = "", 0
    while at < len(line):
        if line[at] == "\\" and at + 1 < len(line):
            following = line[at + 1]
            out += following if following == "%" or (following == "\\" and collapses) else line[at:at + 2]
            at += 2
            continue
        if line[at] == "%":
            raise Failed(f"cron ends the command here: {line[:at]}")
        out += line[at]
        at += 1
    return out


def units__of_odd_paths_are_what_systemd_reads():
    with Timers() as b:
        paths = [b.site] + [os.path.join(b.folder, "www", name) for name in ODD]
        # A program in a folder of such a name: systemd-analyze looks whether the file is there, so that it reads the quotes as well.
        odd_program = os.path.join(b.folder, 'pro gram 100% é')
        os.makedirs(odd_program)
        shutil.copy2(PROGRAM, os.path.join(odd_program, "nopsnap"))
        for path in paths:
            os.makedirs(path, exist_ok=True)
            done = subprocess.run([os.path.join(odd_program, "nopsnap"), "--config", b.config, "schedule", "--systemd", "--at", "03:00",
                                   "--keep", "last 3, within 2d, daily 7", "--", path], env=b.environment(), capture_output=True, text=True)
            same(f"status for {path}: {done.stderr}", done.returncode, 3)
        verify(b)
        files = b.written()
        services = {k: v for k, v in files.items() if k.endswith(".service") and not k.endswith("--failed.service")}
        same("services", (len(services), len([k for k in files if k.endswith("--failed.service")])), (len(paths), len(paths)))
        seen = set()
        for name, text in services.items():
            argv = words(values(text, "ExecStart")[0], command=True)
            same("the command", argv[:-1], [os.path.join(odd_program, "nopsnap"), "-q", "--config", b.config, "run", "--keep", "last 3, within 2d, daily 7", "--"])
            seen.add(argv[-1])
            same("writable", [words(v)[0] for v in values(text, "ReadWritePaths")[:2]], ["-" + b.catalog, os.path.join(b.folder, "www")])
            same("mounts", [words(v)[0] for v in values(text, "RequiresMountsFor")], [argv[-1]])
            same(f"enabled {name}", files.get("units/timers.target.wants/" + os.path.basename(name).replace(".service", ".timer")),
                 os.path.join(b.folder, name.replace(".service", ".timer")))
            same("mode", oct(os.stat(os.path.join(b.folder, name)).st_mode & 0o777), "0o644")
            told = [os.path.basename(name).replace(".service", "--failed.service")]
            same("who tells", values(text, "OnFailure"), told)
            same("and of what", words(values(files["units/" + told[0]], "ExecStart")[0], command=True),
                 [os.path.join(odd_program, "nopsnap"), "-q", "--config", b.config, "notify", "--failed", os.path.basename(name), "--", argv[-1]])
        same("each its own", seen, set(paths))
        same("the list", {o["site"].replace("\\\\", "\\") for o in b.listed()}, set(paths))
        b.run("schedule").expect(0, out=["NEXT", "2026-09-22 03:00", "never"])
        for path in paths:
            b.run("schedule", "--remove", "--", path).expect(0, out="removed")
        same("left", b.written(), {})


def units__keep_the_run_from_what_it_does_not_need():
    with Timers() as b:
        b.systemd("--at", "03:00")
        unit = os.path.join(b.units, "nopsnap-shop.service")
        done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=45", "--no-pager", unit], capture_output=True, text=True)
        same("exposed above 4.5", (done.returncode, done.stdout[-200:] if done.returncode else ""), (0, ""))
        timer = b.written()["units/nopsnap-shop.timer"]
        for line in ("Persistent=true", "RandomizedDelaySec=600", "OnCalendar=*-*-* 03:00:00"):
            same(line, line in timer, True)
        # The database's socket may be in /tmp, the owner's own command may need anything: then less is kept out, and only the service changes.
        strict = b.written()["units/nopsnap-shop.service"]
        b.config_with("after-run = rsync -a /backup elsewhere:\n")
        out = b.run("schedule", "shop").expect(3, out=["changed   " + unit, "unchanged " + unit.replace("service", "timer")])
        own = b.written()["units/nopsnap-shop.service"]
        same("with a command of the owner's", ("ProtectSystem=strict" in strict, "ProtectSystem" in own, "SystemCallFilter" in own), (True, False, False))
        same("quiet", b.run("-q", "schedule", "shop").expect(0).out, "")
        b.config_with()
        b.run("schedule", "shop").expect(3)
        # Where nothing that is needed lies in /tmp (but for this test all does), it is the run's own.
        odd = "/.srv/cata-log é.d/new x%y"
        with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
            config = os.path.join(elsewhere, "nopsnap.conf")
            with open(os.open(config, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as f:
                f.write(f"[nopsnap]\ncatalog = {odd}\nmetrics-file = /srv/metrics/nopsnap.prom\n[far]\npath = /srv/www/far\nsqlserver-backup-path = /srv/mssql\n[top]\npath = /top\n[home]\npath = /home/home\n")
            env = {**b.environment(), "HOME": "/root"}
            texts = {}
            for name in ("far", "top", "home"):
                out = b.run("--json", "--config", config, "schedule", name, "--systemd", "--at", "03:00", "--dry-run", config=False, env=env).expect(0).out
                for file in next(o for o in map(json.loads, out.splitlines()) if o["type"] == "schedule_written")["files"]:
                    if "text" not in file:
                        continue
                    texts[name] = texts.get(name, "") + file["text"]
                    with open(os.path.join(b.units, os.path.basename(file["path"])), "w", encoding="utf-8") as f:
                        f.write(file["text"])
            same("written to", [words(v)[0] for v in values(texts["far"], "ReadWritePaths")], [f"-{odd}", "/srv/www", "-/srv/mssql", "-/srv/metrics"])
            # Without its disk the run starts all the same, and tells: a unit that systemd does not start tells nobody.
            folders = odd.split("/")[1:]
            points = ["/" + "/".join(folders[:n + 1]) for n in range(len(folders))]
            names = subprocess.run(["systemd-escape", "--path", "--suffix=mount", *points], capture_output=True, text=True, check=True).stdout.strip()
            same("mounts", [[names in values(texts["far"], key) for key in ("Wants", "After")], values(texts["far"], "RequiresMountsFor")], [[True, True], ['"/srv/www/far"']])
            private = os.path.realpath(PROGRAM).startswith(("/tmp", "/var/tmp")) or any(n.startswith((".s.PGSQL", "mysql.sock")) for n in os.listdir("/tmp"))
            same("limits", [tuple(values(texts[n], k) for k in ("ProtectSystem", "ProtectHome", "PrivateTmp")) for n in ("far", "top", "home")],
                 [(["strict"], ["read-only"], [] if private else ["true"]), (["full"], [], [] if private else ["true"]), (["strict"], [], [] if private else ["true"])])
            verify(b)
        b.config_with("after-run = true\n")
        b.run("schedule").expect(3, out="no room for it: nopsnap schedule shop", err=f"there is no catalogue at {odd}")
        verify(b)
        assert out


def cron__that_does_not_run_is_warned_of():
    if os.geteuid() != 0 or not os.path.exists("/usr/sbin/cron") or not os.path.isdir("/etc/cron.d"):
        print("skip  without root and cron there is no machine of one's own")
        return
    with Timers() as b:
        os.makedirs(os.path.join(b.folder, "bin"))
        daemon = shutil.copy(shutil.which("sleep"), os.path.join(b.folder, "bin", "cron"))
        box = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--propagation", "private", "env", "-u", "NOPSNAP_CRON_ETC", "sh", "-c"]
        alone = f"mount --bind {b.cron} /etc/cron.d && exec "
        for before, status, said in (("", 3, "cron does not run"), (f"{daemon} 60 & ", 0, "")):
            b.run("schedule", "shop", "--cron", "--at", "03:00", "--force", prefix=[*box, f'{before}{alone}"$@"', "sh"]).expect(status, err=said)


def secrets__are_named_never_copied():
    with Timers() as b:
        secrets = {"webhook": "https://127.0.0.1:9/hook-s3cret", "ping": "success https://127.0.0.1:9/ping-s3cret", "mail-login": "user\nmail-s3cret"}
        keys, paths = "", {}
        for name, text in secrets.items():
            paths[name] = os.path.join(b.folder, name + " 100%")
            with open(os.open(paths[name], os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as f:
                f.write(text + "\n")
            keys += f"notify-{name} = {paths[name]}\n"
        b.config_with("notify-timeout = 1s\n", keys + "notify-mail-to = a@b.example\nnotify-mail-server = smtp://127.0.0.1:9\n")
        b.systemd("--at", "03:00")
        verify(b)
        for name, text in b.written().items():
            if "s3cret" in text:
                raise Failed(f"a secret in {name}")
        given = os.path.join(b.folder, "credentials")
        os.makedirs(given)
        loaded = values(b.written()["units/nopsnap-shop.service"], "LoadCredential")
        same("credentials", sorted(v.split(":", 1)[1].replace("%%", "%") for v in loaded), sorted(paths.values()))
        for value in loaded:  # what systemd does
            name, path = value.split(":", 1)
            os.rename(path.replace("%%", "%"), os.path.join(given, name))
        b.run("run", "shop").expect(2, err="webhook")
        b.run("run", "shop", env={**b.environment(), "CREDENTIALS_DIRECTORY": given}).expect(3, out="snapshot", err="ping at 127.0.0.1 was not taken")
        # The service that tells of a failure has neither those nor the sandbox, with the very words of the unit.
        failed = b.written()["units/nopsnap-shop--failed.service"]
        same("shared", [k for k in ("LoadCredential", "ReadWritePaths", "ProtectSystem", "RequiresMountsFor", "PrivateTmp") if values(failed, k)], [])
        for value in loaded:
            name, path = value.split(":", 1)
            os.rename(os.path.join(given, name), path.replace("%%", "%"))
        b.path = systemctl_that_says(b.folder, "Result=exit-code", "ExecMainCode=1", "ExecMainStatus=243")
        done = subprocess.run(words(values(failed, "ExecStart")[0], command=True), env=b.environment(), capture_output=True, text=True)
        same(f"status: {done.stderr}", (done.returncode, "webhook at 127.0.0.1 was not told" in done.stderr), (3, True))
        same("recorded", (b.listed()[0]["last_run_status"], "243 (CREDENTIALS" in b.run("status").expect(3).out), (1, True))
        # systemd's own end of what takes too long is a SIGTERM, too: nobody knows of that.
        ended = f"ExecMainExitTimestampMonotonic={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"
        for result, told in (("timeout", True), ("signal", False)):
            b.path = systemctl_that_says(b.folder, "Result=" + result, "ExecMainCode=2", "ExecMainStatus=15", ended)
            done = subprocess.run(words(values(failed, "ExecStart")[0], command=True), env=b.environment(), capture_output=True, text=True)
            same(f"{result}: {done.stderr}", "was not told" in done.stderr, told)


def rerun__changes_only_what_differs():
    with Timers() as b:
        b.systemd("--every", "6h", "--keep", "last 3")
        before = {n: os.stat(os.path.join(b.folder, n), follow_symlinks=False) for n in b.written()}
        for argv in (["--every", "6h"], [], ["--keep", "last 3"], ["--systemd"]):
            out = b.run("schedule", "shop", *argv).expect(0).out
            same("unchanged", [line.split()[0] for line in out.splitlines()], ["unchanged"] * 4)
        after = {n: os.stat(os.path.join(b.folder, n), follow_symlinks=False) for n in b.written()}
        same("touched", [n for n in before if (before[n].st_ino, before[n].st_mtime_ns) != (after[n].st_ino, after[n].st_mtime_ns)], [])
        text = b.written()
        dry = b.run("schedule", "shop", "--at", "04:00", "--dry-run").expect(0, out=["changed", "OnCalendar=*-*-* 04:00:00"]).out
        same("a dry run writes nothing", (b.written(), "unchanged" in dry), (text, True))
        out = b.systemd("--at", "04:00").out
        same("only the timer", [line.split()[0] for line in out.splitlines()], ["unchanged", "unchanged", "changed", "unchanged"])
        same("rules stay", b.listed()[0]["keep"], "last 3")
        b.systemd("--keep", "")
        same("rules of the config", (b.listed()[0]["keep"], "--keep" in b.written()["units/nopsnap-shop.service"]), ("", False))
        # From one kind to the other, and under another name: never two.
        b.run("schedule", "shop", "--cron", "--at", "05:10").expect(0, out=["new", "removed"])
        same("cron alone", sorted(b.written()), ["cron.d/nopsnap-shop"])
        b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\n[other]\npath = {b.site}\n")
        b.run("schedule", b.site).expect(0)
        same("under its new name", sorted(b.written()), ["cron.d/nopsnap-other"])
        b.run("schedule", "other", "--remove", "--dry-run").expect(0, out="removed")
        same("a dry run removes nothing", len(b.written()), 1)
        b.run("schedule", "other", "--remove").expect(0)
        same("left", b.written(), {})
        b.run("schedule", "other", "--remove").expect(1, err="has no schedule")


def hand_edits__are_not_lost():
    with Timers() as b:
        b.systemd("--at", "03:00")
        unit, timer = (os.path.join(b.units, "nopsnap-shop." + kind) for kind in ("service", "timer"))
        with open(unit, "a", encoding="utf-8") as f:
            f.write("CPUQuota=10%\n")
        edited = read(unit)
        for argv in (["--at", "04:00"], ["--remove"], ["--cron"]):
            b.run("schedule", "shop", *argv).expect(1, err=["nopsnap-shop.service", "changed by hand"], hint="systemctl edit")
            same("untouched", (read(unit), "03:00" in read(timer), os.listdir(b.cron)), (edited, True, []))
        os.makedirs(os.path.join(b.units, "nopsnap-folder.timer"))
        for name, text in (("nopsnap-long.timer", "x" * (1 << 20)), ("nopsnap-binary.timer", "# nopsnap-schedule 1 \0"), ("nopsnap-empty.timer", "")):
            with open(os.path.join(b.units, name), "w", encoding="utf-8") as f:
                f.write(text)
        same("of others", len(b.run("schedule").expect(0, out="was changed by hand").out.splitlines()), 3)
        for name in ("long", "binary", "empty"):
            os.remove(os.path.join(b.units, f"nopsnap-{name}.timer"))
        b.systemd("--force", "--at", "04:00")
        same("aside", (read(unit + ".bak"), "CPUQuota" in read(unit), "04:00" in read(timer)), (edited, False, True))
        with open(unit, "a", encoding="utf-8") as f:
            f.write("CPUQuota=20%\n")
        b.systemd("--force", "--at", "04:00")
        same("both aside", (read(unit + ".bak"), "CPUQuota=20%" in read(unit + ".bak.2")), (edited, True))
        os.remove(unit + ".bak.2")
        telling = unit.replace(".service", "--failed.service")
        with open(telling, "a", encoding="utf-8") as f:
            f.write("Nice=5\n")
        for argv in ([], ["--remove"], ["--cron"]):
            b.run("schedule", "shop", *argv).expect(1, err=["nopsnap-shop--failed.service", "changed by hand"], hint="systemctl edit nopsnap-shop--failed.service")
        b.run("schedule").expect(0, out="was changed by hand")
        b.systemd("--force")
        same("aside", ("Nice=5" in read(telling + ".bak"), "Nice=5" in read(telling)), (True, False))
        os.remove(telling + ".bak")
        # A file that nopsnap never wrote, and one of another site.
        os.makedirs(os.path.join(b.folder, "www", "two"))
        b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\n[shop]\npath = {b.folder}/www/two\n")
        b.run("schedule", "shop", "--systemd", "--at", "01:00").expect(1, err=["another site", b.site], hint="--remove")
        with open(os.path.join(b.cron, "nopsnap-shop"), "w", encoding="utf-8") as f:
            f.write("0 3 * * * root true\n")
        b.run("schedule", "shop", "--cron", "--at", "01:00").expect(1, err="has not written it", hint="--force")
        os.makedirs(os.path.join(b.units, "nopsnap-shop.service.d"))
        b.run("schedule", b.site, "--remove").expect(0, out="removed", err="is your own and stays")
        same("what is left is the owner's", sorted(b.written()), ["cron.d/nopsnap-shop", "units/nopsnap-shop.service.bak"])


def cron__gets_the_very_path():
    with Timers() as b:
        tool = os.path.join(b.folder, "bin")
        os.makedirs(tool)
        for path in [b.site] + [os.path.join(b.folder, "www", name) for name in ODD]:
            os.makedirs(path, exist_ok=True)
            b.run("schedule", "--cron", "--every", "6h", "--keep", "last 3", "--", path).expect(0)
        tables = [t for n, t in b.written().items()]
        same("files that cron takes", [n for n in os.listdir(b.cron) if not re.fullmatch(r"[A-Za-z0-9_-]+", n)], [])
        seen = set()
        for table in tables:
            crontab_accepts(table)
            line = table.splitlines()[-1]
            same("fields", line.split(" ")[:6], ["0", "*/6", "*", "*", "*", "root"])
            for collapses in (False, True):
                command = handed_to_shell(line.split(" ", 6)[6], collapses).replace("nice -n 15 ionice -c 3 ", "printf '%s\\0' ")
                said = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True).stdout.split("\0")[:-1]
                same("the command", said[:-1], [os.path.realpath(PROGRAM), "-q", "--config", b.config, "run", "--keep", "last 3", "--"])
                seen.add(said[-1])
        same("paths", seen, {b.site} | {os.path.join(b.folder, "www", name) for name in ODD})
        for argv, fields in ((["--at", "23:05"], "5 23 * * *"), (["--every", "5m"], "*/5 * * * *"), (["--every", "1h"], "0 * * * *"), (["--every", "1d"], "0 0 * * *"),
                             (["--every", "1w"], "0 0 * * 1")):
            b.run("schedule", "shop", *argv).expect(0)
            crontab_accepts(b.written()["cron.d/nopsnap-shop"])
            same("fields", b.written()["cron.d/nopsnap-shop"].splitlines()[-1].split(" root ")[0], fields)
        b.run("schedule", "shop", "--cron", "--on-calendar", "Mon 03:00").expect(1, err="cron knows no", hint="--at")
        b.run("schedule", "shop", "--delay", "5m").expect(2, err="no random delay")
        long = os.path.join(b.folder, "www", *["x" * 240] * 5)
        os.makedirs(long)
        b.run("schedule", long, "--cron", "--at", "03:00").expect(1, err="too long for cron", hint="--systemd")


def wrong__is_told_before_anything_is_written():
    with Timers() as b:
        for argv, hint in ((["--at", "3:00"], "03:00"), (["--at", "24:00"], "03:00"), (["--at", "03:60"], "03:00"), (["--at", "03:00:00"], "03:00"), (["--at", "٠٣:00"], "03:00"),
                           (["--every", "7h"], "6h"), (["--every", "90m"], "--on-calendar"), (["--every", "1m"], "5m"), (["--every", "2d"], "1d"), (["--every", "soon"], "6h"),
                           (["--every", "0h"], "6h"), (["--on-calendar", "Funday 03:00"], "systemd.time"), (["--on-calendar", "daily\nUser=x"], "systemd.time"),
                           (["--on-calendar", ""], "systemd.time"), (["--on-calendar", "2020-01-01"], "systemd-analyze"), (["--at", "03:00", "--every", "6h"], "--help"),
                           (["--at", "03:00", "--keep", "often"], "weekly"), (["--at", "03:00", "--delay", "-1"], "--help"), (["--at", "03:00", "--cron", "--systemd"], "--help"),
                           (["--remove", "--at", "03:00"], "--help"), ([], "--at 03:00")):
            b.run("schedule", "shop", *argv).expect(2, err="nopsnap: ", hint=hint)
        b.run("schedule", "--at", "03:00").expect(2, hint="--help")
        b.run("schedule", "shop", "shop", "--at", "03:00").expect(2, hint="--help")
        b.run("schedule", "nowhere", "--systemd", "--at", "03:00").expect(1, err="is no site", hint="shop")
        odd = os.path.join(b.folder, "www", "two\nlines")
        os.makedirs(odd)
        for way in ("--systemd", "--cron"):
            b.run("schedule", odd, way, "--at", "03:00").expect(1, err="can't name", hint="script of your own")
        for way, folder in (("--systemd", b.units), ("--cron", b.cron)):
            os.rename(folder, folder + ".away")
            b.run("schedule", "shop", way, "--at", "03:00").expect(1, err=folder, hint="cron")
            os.rename(folder + ".away", folder)
        same("nothing was written", b.written(), {})
        b.run("run", "shop", "--keep", "often").expect(2, err="often")


def starts(b, calendar, begin, end):
    """What systemd starts in that time, one after the other: after each it asks for the next one, as it does in the machine."""
    said = subprocess.run(["systemd-analyze", "calendar", f"--base-time=@{begin}", "--iterations=150", calendar], capture_output=True, text=True,
                          env={**os.environ, "TZ": b.tz, "LC_ALL": "C"}, check=True).stdout
    all_of_them = [calendar_module.timegm(time.strptime(t, "%Y-%m-%d %H:%M:%S")) for t in re.findall(r"\(in UTC\): \S+ (.*) UTC", said)]
    same("enough of them", all_of_them[-1] > end, True)
    return all_of_them


def next__is_what_systemd_says_whatever_the_clock_does():
    def compare(b, rhythms, moments, offsets):
        expected = {}
        for n, argv in enumerate(rhythms):
            site = os.path.join(b.folder, "www", f"s{n}")
            os.makedirs(site)
            b.systemd(*argv, site=site)
        for moment in moments:
            for name, text in b.written().items():
                if name.endswith(".timer") and "wants" not in name:
                    expected[text.split("# site: ")[1].split("\n")[0]] = starts(b, values(text, "OnCalendar")[0], moment + min(offsets) - 1, moment + max(offsets))
            for off in offsets:
                b.clock(moment + off)
                listed = {o["site"]: o["next_run_ns"] // 10**9 for o in b.listed()}
                same(f"at {moment} {off:+}", listed, {site: min(t for t in known if t > moment + off) for site, known in expected.items()})

    spring, autumn = 1806195600, 1792890000  # 2027-03-28 and 2026-10-25 01:00 UTC: Berlin's clock goes on to 03:00, and back to 02:00
    with Timers(tz="Europe/Berlin") as b:
        compare(b, (["--at", "02:30"], ["--every", "1h"], ["--every", "20m"], ["--every", "1w"], ["--on-calendar", "Sun *-*-* 03:15"]), (spring, autumn),
                (-90000, -1, 0, 1800, 3600))
        b.clock(spring - 90000)
        b.systemd("--at", "02:30").expect(3, err=["on 2027-03-28 the clock skips that time"])
        same("no such day", "skips" in b.systemd("--at", "03:30").err, False)
        # cron starts what was skipped right afterwards, and what comes twice once.
        b.run("schedule", "shop", "--cron", "--at", "02:30").expect(0)
        for now, expected in ((spring - 7200, spring), (spring, spring + 86400 - 1800), (autumn - 7200, autumn - 1800), (autumn - 1800, autumn + 86400 + 1800)):
            b.clock(now)
            same(f"cron at {now}", b.listed(b.site)[0]["next_run_ns"] // 10**9, expected)
    with Timers(tz="Australia/Lord_Howe") as b:  # half an hour, on 2026-10-04 and 2027-04-04
        compare(b, (["--every", "30m"], ["--at", "01:45"]), (1791041400, 1806764400), (-1799, -1, 0, 1800))


def status__knows_the_timer_and_the_list_the_last_run():
    def site(status):
        return [o for o in b.objects("status", status=status) if o["type"] == "site"][0]

    with Timers() as b:
        b.systemd("--every", "6h")
        o = site(3)
        same("before any run", (o["scheduled"], o["next_run_ns"] // 10**9, o["expect_ms"], [p["code"] for p in o["problems"]]),
             (True, NOW // 21600 * 21600 + 21600, (6 * 3600 + 1800) * 1000, ["none"]))
        b.run("run", "shop").expect(0)
        same("the last run", (b.listed()[0]["last_run_ns"] // 10**9, b.listed()[0]["last_run_status"]), (NOW, 0))
        b.run("schedule").expect(0, out=["every 6h", "2026-09-21 18:00", "2026-09-21 14:13", "well"])
        same("well", [p["code"] for p in site(0)["problems"]], [])
        off = NOW + 21 * 86400  # the machine was off for three weeks
        b.clock(off)
        o = site(3)
        same("after three weeks", (o["next_run_ns"] // 10**9, [p["code"] for p in o["problems"]]), (off // 21600 * 21600 + 21600, ["late"]))
        b.systemd("--on-calendar", "Mon..Fri 03:00")
        same("over the weekend", site(3)["expect_ms"], 3 * 86400 * 1000 + 6 * 3600 * 1000)
        b.systemd("--on-calendar", "Mon..Fri *:0/15")
        same("many a day, none on two", (site(3)["expect_ms"], b.listed()[0]["delay_ms"]), ((2 * 86400 + 900) * 1000 * 13 // 12, 75000))
        b.run("schedule", "shop").expect(0, not_out="changed  ")
        os.remove(os.path.join(b.units, "timers.target.wants", "nopsnap-shop.timer"))
        b.run("schedule").expect(0, out="not enabled")
        o = site(3)
        same("a timer that is not enabled", (o["expect_ms"], o["next_run_ns"], [p["code"] for p in o["problems"]]), (26 * 3600 * 1000, 0, ["late", "timer"]))
        b.run("status").expect(3, out="systemctl enable --now nopsnap-shop.timer")
        with open(os.path.join(b.site, "index.html"), "a", encoding="utf-8") as f:
            f.write("more")
        b.run("run", "shop", "--keep", "last 1").expect(0, out="1 kept, 1 forgotten")


def in_namespace(b, script, *argv, env=None):
    """Under mounts of its own, which only root can make."""
    return b.run(*argv, env=env, prefix=["unshare", "--mount", "--propagation", "private", "sh", "-c", script + '\nexec "$@"', "sh"])


def sandbox__lets_a_run_do_its_work_and_nothing_else():
    if os.geteuid() != 0:
        print("skip  without root there are no mounts of one's own")
        return
    with Timers() as b:
        b.put("for a group/index.html", "hello")
        os.chmod(os.path.join(b.site, "for a group"), 0o2750)  # a drill sets that again
        b.config_with("drill = daily\n")
        b.systemd("--at", "03:00", "--keep", "last 1")
        unit, log = os.path.join(b.units, "nopsnap-shop.service"), os.path.join(b.catalog, "strace")
        box = ["unshare", "--mount", "--propagation", "private", sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "sandbox.py"), unit]
        trace = ["strace", "-f", "-qq", "-o", log, "-e", "trace=all"]
        env = {**b.environment(), "ASAN_OPTIONS": "detect_leaks=0"}
        for path, status in (("/etc/nopsnap-probe", 1), (os.path.join(b.folder, "probe"), 1), (os.path.join(b.site, "..", ".nopsnap-probe"), 0)):
            same(f"touch {path}", subprocess.run([*box, "touch", path], capture_output=True).returncode, status)
        b.run("snapshot", "shop").expect(0)
        b.put("index.html", "changed")
        b.clock(NOW + 60)
        # With the very words of the unit.
        command = words(values(read(unit), "ExecStart")[0], command=True)
        done = subprocess.run([*box, *trace, *command], env=env, capture_output=True, text=True)
        same(f"status: {done.stderr}", done.returncode, 0)
        same("silent, but for what the owner should know", [line for line in done.stderr.splitlines() if not line.startswith("warning: ")], [])
        same("what it did", [r["kind"] for r in b.rows()], ["scheduled"])
        same("its drill", [o["status"] for o in b.objects("history", "shop") if o.get("what") == "drill"], [0])
        same("set-group bits", "RestrictSUIDSGID" in read(unit), False)
        said = read(log)
        used = set(re.findall(r"^\d+ +(\w+)\(", said, re.M))
        same("calls that the filter refuses", used - sandbox.allowed_calls(), set())
        same("calls that were seen", {"openat", "statx", "renameat2"} & used != set(), True)
        same("families", set(re.findall(r"socket\((\w+)", said)) - {"AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"}, set())
        if "asan" not in said.lower():
            same("memory that can be written and run", re.findall(r".*PROT_WRITE\|PROT_EXEC.*", said), [])


def systemd__is_told_in_the_right_order():
    if os.geteuid() != 0:
        print("skip  without root there is no /run of one's own")
        return
    booted = "mount -t tmpfs none /run && mkdir -p /run/systemd/system"
    with Timers(tz="Europe/Berlin") as b:
        tools, log = os.path.join(b.folder, "tools"), os.path.join(b.folder, "systemctl.log")
        os.makedirs(tools)

        def systemctl(body):
            with open(os.path.join(tools, "systemctl"), "w", encoding="utf-8") as f:
                f.write(f'#!/bin/sh\necho "$*" >>{log}\n{body}\n')
            os.chmod(f.name, 0o755)
            if os.path.exists(log):
                os.remove(log)

        def told():
            return [line for line in read(log).splitlines() if not line.startswith("show")] if os.path.exists(log) else []

        b.path = tools + ":" + os.environ["PATH"]
        systemctl("exit 0")
        in_namespace(b, booted, "schedule", "shop", "--at", "03:00").expect(0)
        same("told", told(), ["daemon-reload", "restart nopsnap-shop.timer"])
        systemctl("exit 0")
        in_namespace(b, booted, "schedule", "shop").expect(0)
        same("nothing is new", told(), [])
        # systemd knows the delay and the owner's drop-ins, in whatever order its answer is.
        answer = "[ $TZ = UTC ] && printf 'NextElapseUSecRealtime=Tue 2026-09-22 05:39:15 UTC\\nId=nopsnap-shop.timer\\nActiveState=active\\n\\nId=nopsnap-other.timer\\nNextElapseUSecRealtime=Tue 2026-09-22 08:44:26 UTC\\n'"
        systemctl(answer)
        listed = in_namespace(b, booted, "--json", "schedule").expect(0).out
        same("by systemd", '"next_run_ns":1790055555000000000' in listed, True)
        for answer in (answer.replace("State=active", "State=inactive"), "exit 0"):  # somebody has stopped it; systemd does not know it
            systemctl(answer)
            in_namespace(b, booted, "schedule").expect(0, out="not running")
            in_namespace(b, booted, "status").expect(3, out=["is not running", "systemctl enable --now nopsnap-shop.timer"])
        systemctl("echo 'Failed to connect to bus' >&2; exit 1")
        same("by ourselves", '"next_run_ns":1790038800000000000' in in_namespace(b, booted, "--json", "schedule").expect(0).out, True)
        in_namespace(b, booted, "schedule", "shop", "--at", "04:00").expect(3, err=["it is written and enabled", "Failed to connect to bus", "systemctl daemon-reload && systemctl restart nopsnap-shop.timer"])
        in_namespace(b, booted, "schedule", "shop", "--remove").expect(3, err=["systemctl stop nopsnap-shop.timer"])
        same("it is gone all the same", b.written(), {})
        in_namespace(b, booted, "schedule", "shop", "--at", "04:00").expect(3)
        # What was stopped for a schedule that can't be written goes on.
        systemctl("exit 0")
        in_namespace(b, booted + f" && mount -t tmpfs -o nr_inodes=1 none {b.cron}", "schedule", "shop", "--cron", "--at", "05:00").expect(1)
        same("goes on", told(), ["stop nopsnap-shop.timer", "clean --what=state nopsnap-shop.timer", "daemon-reload", "start nopsnap-shop.timer"])
        systemctl("exit 0")
        in_namespace(b, booted, "schedule", "shop", "--remove").expect(0)
        same("stopped before it goes", told(), ["stop nopsnap-shop.timer", "clean --what=state nopsnap-shop.timer", "daemon-reload"])


def put_back(b, files):
    for name in b.written():
        os.remove(os.path.join(b.folder, name))
    for name, text in files.items():
        path = os.path.join(b.folder, name)
        if "wants" in name:
            os.symlink(text, path)
        else:
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)


def break_at(b, argv, begin, end, inject, n):
    """One run that breaks at the nth such call; returns whether there was an nth."""
    log = os.path.join(b.folder, "strace")
    put_back(b, begin)
    b.run("schedule", "shop", *argv, env={**b.environment(), "ASAN_OPTIONS": "detect_leaks=0"},
          prefix=["strace", "-o", log, "-e", "trace=" + inject.split(":")[0], "-e", f"inject={inject}:when={n}"])
    whole = {name: text for name, text in b.written().items() if ".nopsnap-draft-" not in name}
    for name, text in whole.items():
        if text not in (begin.get(name), end.get(name)):
            raise Failed(f"{argv}, {inject} {n}: {name} is neither old nor new:\n{text}")
    if any("wants" in name for name in whole) and not {"units/nopsnap-shop.service", "units/nopsnap-shop.timer"} <= set(whole):
        raise Failed(f"{argv}, {inject} {n}: a timer without its service: {sorted(whole)}")
    said = read(log)
    return "INJECTED" in said or "killed by SIGKILL" in said


def kills__leave_no_half_file():
    with Timers() as b:
        b.systemd("--at", "03:00")
        old = b.written()
        write = ["--systemd", "--at", "04:00", "--keep", "last 3"]
        b.run("schedule", "shop", *write).expect(3)
        new = b.written()
        names = "rename,renameat,renameat2,unlink,unlinkat,symlink:signal=KILL"
        for argv, begin, end, inject in ((write, {}, new, names), (write, old, new, "fsync:signal=KILL"), (write, old, new, "write:error=ENOSPC"), (["--remove"], old, {}, names)):
            n = 1
            while break_at(b, argv, begin, end, inject, n):
                n += 1
            same(f"{argv}, {inject} {n}: in the end", b.written(), end)
            same("it was broken at each of several steps", n > 3, True)
        # A removal that was killed is finished by the next, whatever is left.
        alone = {n: t for n, t in old.items() if n.endswith(".service")}
        for left in (alone, {n: t for n, t in alone.items() if n.endswith("--failed.service")}):
            put_back(b, left)
            same("listed once", len(b.listed()), 1)
            b.run("schedule", "shop", "--remove").expect(0, out=[f"removed   {os.path.join(b.folder, n)}" for n in left])
            same("left", b.written(), {})
        put_back(b, {**old, "units/.nopsnap-draft-1": "half", "units/timers.target.wants/.nopsnap-draft-nopsnap-shop.timer": "/nowhere"})
        b.run("schedule", "shop", *write).expect(3)


main([value for name, value in list(globals().items()) if "__" in name and not name.startswith("__")])
