#!/usr/bin/env python3
"""Compare nopsnap with tar+zstd, restic, borg and rsync on the same data in the same run.

    bench.py --program build/cli/nopsnap --work DIR [--tree NAME=PATH]... [--small N] [--database MB] [--big GB] [--runs 5]
             [--other-runs 5] [--out FILE]

Every figure is a ratio of medians, taken in one run with warm caches; what is written is synced on both sides
(`... && sync -f`). Memory is nopsnap's own peak (VmHWM by wait4), not that of children. restic, borg and rsync are
measured when they are installed. Nothing here is a test: nothing fails because it is slow.

  --tree       a tree to measure, by name; may be repeated
  --small      also a generated tree of N files of about 8 KiB
  --database   also a PostgreSQL database of about that many MB (pgbench's accounts and a shop-like table)
  --big        also one file of that many GB
  --other-runs how often restic, borg and rsync are run: they take most of the time
"""
import argparse
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def run(argv, env=None, shell=False, check=True, stdout=subprocess.DEVNULL):
    """Wall seconds, CPU seconds and peak KiB of one child."""
    began = time.monotonic()
    child = subprocess.Popen(argv, env=env, shell=shell, stdout=stdout, stderr=subprocess.PIPE,
                             executable="/bin/bash" if shell else None)
    err = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    took = time.monotonic() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if check and child.returncode not in (0, 3):
        sys.exit(f"bench: {argv!r} ended with {child.returncode}: {err.decode(errors='replace')[-2000:]}")
    return took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def sync(path):
    subprocess.run(["sync", "-f", path], check=True)


def warm(path):
    subprocess.run(f"tar -C {path!r} -cf - . | cat >/dev/null", shell=True, check=True)


def size_of(path):
    if os.path.isfile(path):
        return os.path.getsize(path)
    return sum(os.lstat(os.path.join(d, f)).st_size for d, _, files in os.walk(path) for f in files)


class Bench:
    def __init__(self, args):
        self.args = args
        self.work = args.work
        self.rows = []
        self.peak = 0
        self.env = dict(os.environ, RESTIC_PASSWORD="bench", BORG_UNENCRYPTED_REPO_ACCESS_IS_OK="yes",
                        BORG_RELOCATED_REPO_ACCESS_IS_OK="yes", BORG_BASE_DIR=os.path.join(args.work, "borg-base"),
                        RESTIC_CACHE_DIR=os.path.join(args.work, "restic-cache"), HOME=args.work)
        self.has = {tool: shutil.which(tool) for tool in ("restic", "borg", "rsync")}

    def path(self, *names):
        return os.path.join(self.work, *names)

    def clear(self, *names):
        for name in names:
            path = self.path(name)
            if os.path.isdir(path):
                shutil.rmtree(path)
            elif os.path.exists(path):
                os.unlink(path)

    def nopsnap(self, *argv, catalog="catalog"):
        took, cpu, peak = run([self.args.program, "-q", "--catalog", self.path(catalog), *argv], env=self.env)
        self.peak = max(self.peak, peak)
        return took, peak

    def together(self, *pairs):
        """Median wall seconds of each (before, act), taken in turns: a machine that slows down does so for all of them."""
        taken = [[] for _ in pairs]
        for _ in range(self.args.runs):
            for seconds, (before, act) in zip(taken, pairs):
                before()
                began = time.monotonic()
                act()
                sync(self.work)
                seconds.append(time.monotonic() - began)
        return [statistics.median(seconds) for seconds in taken]

    def times(self, before, act):
        """Median wall seconds of another tool, whose before() is not timed."""
        taken = []
        for _ in range(self.args.other_runs):
            before()
            began = time.monotonic()
            act()
            sync(self.work)
            taken.append(time.monotonic() - began)
        return statistics.median(taken)

    def row(self, what, tree, ours, theirs, target, others=None, unit="s"):
        ratio = ours / theirs if theirs else float("nan")
        self.rows.append((what, tree, ours, theirs, ratio, target, others or {}, unit))
        extra = " ".join(f"{k} {v / theirs:.2f}" for k, v in (others or {}).items())
        print(f"{what:<34} {tree:<12} {ours:>9.3f} / {theirs:<9.3f} {unit:<3} = {ratio:5.2f}  to reach {target:<8} {extra}",
              flush=True)

    # ---- files ----

    def files(self, name, tree):
        parent, base = os.path.split(tree.rstrip("/"))
        warm(tree)
        tar = f"tar -C {parent!r} -c {base!r} | zstd -3 -T2 -q -o {self.path('tree.tar.zst')!r} -f"

        def fresh():
            self.clear("catalog")
            run([self.args.program, "--catalog", self.path("catalog"), "init"], env=self.env)

        theirs, ours = self.together((lambda: self.clear("tree.tar.zst"), lambda: run(tar, shell=True)),
                                     (fresh, lambda: self.nopsnap("snapshot", tree, "--files-only")))
        others = {}
        if self.has["restic"]:
            def fresh_restic():
                self.clear("restic")
                run(["restic", "-q", "-r", self.path("restic"), "init"], env=self.env)
            others["restic"] = self.times(fresh_restic, lambda: run(["restic", "-q", "-r", self.path("restic"), "backup", tree], env=self.env))
        if self.has["borg"]:
            def fresh_borg():
                self.clear("borg")
                run(["borg", "init", "-e", "none", self.path("borg")], env=self.env)
            others["borg"] = self.times(fresh_borg, lambda: run(["borg", "create", "-C", "zstd,3", self.path("borg") + "::a", tree], env=self.env))
        if self.has["rsync"]:
            others["rsync"] = self.times(lambda: self.clear("rsync"), lambda: run(["rsync", "-aHAX", tree + "/", self.path("rsync")], env=self.env))
        self.row("first snapshot", name, ours, theirs, "<= 0.60", others)
        sizes = {tool: size_of(self.path(tool)) / 1e6 for tool in others}
        self.row("size of the catalogue", name, size_of(self.path("catalog")) / 1e6, size_of(self.path("tree.tar.zst")) / 1e6,
                 "<= 0.70" if name == "source" else "<= 1.00", sizes, "MB")
        self.unchanged(name, tree)
        self.restore(name, tree)
        self.rollback(name, tree)

    def unchanged(self, name, tree):
        find = f"find {tree!r} -printf '%p %s %T@\\n' >/dev/null"
        time.sleep(2.5)
        self.nopsnap("snapshot", tree, "--files-only")
        theirs, ours = self.together((lambda: None, lambda: run(find, shell=True)),
                                     (lambda: None, lambda: self.nopsnap("snapshot", tree, "--files-only")))
        others = {}
        if self.has["restic"]:
            others["restic"] = self.times(lambda: None, lambda: run(["restic", "-q", "-r", self.path("restic"), "backup", tree], env=self.env))
        if self.has["borg"]:
            n = iter(range(1000))
            others["borg"] = self.times(lambda: None, lambda: run(["borg", "create", "-C", "zstd,3", f"{self.path('borg')}::b{next(n)}", tree], env=self.env))
        if self.has["rsync"]:
            others["rsync"] = self.times(lambda: None, lambda: run(["rsync", "-aHAX", tree + "/", self.path("rsync")], env=self.env))
        self.row("snapshot of the unchanged tree", name, ours, theirs, "<= 3", others)

    def restore(self, name, tree):
        unpack = f"mkdir {self.path('out')!r} && zstd -dc {self.path('tree.tar.zst')!r} | tar -x -C {self.path('out')!r}"
        theirs, ours = self.together(
            (lambda: self.clear("out"), lambda: run(unpack, shell=True)),
            (lambda: self.clear("out"), lambda: self.nopsnap("restore", "latest", "--target", self.path("out"))))
        others = {}
        if self.has["restic"]:
            others["restic"] = self.times(lambda: self.clear("out"), lambda: run(["restic", "-q", "-r", self.path("restic"), "restore", "latest", "--target", self.path("out")], env=self.env))
        if self.has["borg"]:
            def extract():
                os.mkdir(self.path("out"))
                run(f"cd {self.path('out')!r} && borg extract {self.path('borg')!r}::a", shell=True, env=self.env)
            others["borg"] = self.times(lambda: self.clear("out"), extract)
        if self.has["rsync"]:
            others["rsync"] = self.times(lambda: self.clear("out"), lambda: run(["rsync", "-aHAX", self.path("rsync") + "/", self.path("out")], env=self.env))
        self.full_restore = ours
        self.row("full restore", name, ours, theirs, "<= 0.70", others)
        self.clear("out")

    def rollback(self, name, tree):
        """A copy of the tree is snapshotted; each run changes 5 % of its files and goes back."""
        live = self.path("live")
        self.clear("live", "catalog", ".nopsnap-live")
        subprocess.run(["cp", "-a", tree, live], check=True)
        run([self.args.program, "--catalog", self.path("catalog"), "init"], env=self.env)
        time.sleep(2.5)
        self.nopsnap("snapshot", live, "--files-only")
        target = self.latest()
        files = sorted(os.path.join(d, f) for d, _, fs in os.walk(live) for f in fs if not os.path.islink(os.path.join(d, f)))
        back, whole = [], []
        for i in range(self.args.runs):
            for f in random.Random(i).sample(files, len(files) // 20):
                if os.path.isfile(f):
                    with open(f, "ab") as out:
                        out.write(b"changed\n")
            time.sleep(2.5)
            self.nopsnap("snapshot", live, "--files-only")
            sync(self.work)
            began = time.monotonic()
            out = subprocess.run([self.args.program, "-q", "--json", "--catalog", self.path("catalog"), "rollback", live, "--only",
                                  "files", "--to", target, "--yes"], env=self.env, capture_output=True, text=True)
            whole.append(time.monotonic() - began)
            if out.returncode not in (0, 3):
                sys.exit(f"bench: rollback ended with {out.returncode}: {out.stderr}")
            result = [json.loads(line) for line in out.stdout.splitlines() if '"rollback"' in line][-1]
            back.append(result["back_ms"] / 1000)
            time.sleep(2.5)
            self.nopsnap("snapshot", live, "--files-only")
        self.row("rollback after 5 %: shop back", name, statistics.median(back), self.full_restore, "<= 0.25")
        self.row("  the whole command", name, statistics.median(whole), self.full_restore, "")
        self.clear("live", "catalog", ".nopsnap-live")

    def latest(self):
        out = subprocess.run([self.args.program, "--json", "--catalog", self.path("catalog"), "list"], env=self.env,
                             capture_output=True, text=True, check=True)
        return json.loads(out.stdout.splitlines()[0])["id"]

    # ---- database ----

    def database(self, megabytes):
        fixture = os.path.join(HERE, "..", "tests", "fixture", "postgres.sh")
        pg = tempfile.mkdtemp(prefix="npb", dir="/tmp")
        os.chmod(pg, 0o755)
        subprocess.run([fixture, "start", pg], check=True, stdout=subprocess.DEVNULL)
        try:
            connection = subprocess.run([fixture, "shop", pg, "bench"], check=True, capture_output=True, text=True).stdout.strip()
            self.fill(pg, megabytes)
            self.dump(pg, connection)
        finally:
            subprocess.run([fixture, "stop", pg], check=False, stdout=subprocess.DEVNULL)
            shutil.rmtree(pg, ignore_errors=True)

    def sql(self, pg, text):
        subprocess.run(["psql", "-q", "-h", pg, "-U", "nop", "-d", "bench", "-v", "ON_ERROR_STOP=1", "-c", text], check=True,
                       stdout=subprocess.DEVNULL)

    def fill(self, pg, megabytes):
        rows = megabytes * 2200  # about 460 bytes each in the dump
        self.sql(pg, f"""create table "Bulk" ("Id" int primary key, "Name" text, "Body" text, "Price" numeric(18,4), "CreatedOnUtc" timestamp);
            insert into "Bulk" select i, 'row ' || i || ' ' || md5(i::text),
              repeat(md5((i*7)::text) || ' product description words ' || (i % 977), 3) || md5((i*13)::text) || md5((i*17)::text), (i % 10007) / 7.0,
              timestamp '2020-01-01' + i * interval '1 minute' from generate_series(1, {rows}) i;
            alter table "Bulk" owner to bench""")
        self.rows_in_bulk = rows

    def dump(self, pg, connection):
        site = self.path("dbsite")
        self.clear("dbsite", "catalog")
        conn = self.path("connection")
        with open(conn, "w") as f:
            f.write(connection)
        subprocess.run([sys.executable, os.path.join(HERE, "..", "tests", "fixture", "make_site.py"), site, "--files", "60", "--connection",
                        conn], check=True, stdout=subprocess.DEVNULL)
        plain = f"pg_dump -h {pg} -U nop -Fc -Z0 bench >/dev/null"

        def fresh():
            self.clear("catalog")
            run([self.args.program, "--catalog", self.path("catalog"), "init"], env=self.env)

        pipe = f"pg_dump -h {pg} -U nop -Fc -Z0 bench | zstd -q -1 -T2 -f -o {self.path('dump.zst')!r}"
        theirs, ours, zstd = self.together((lambda: None, lambda: run(plain, shell=True)),
                                           (fresh, lambda: self.nopsnap("snapshot", site, "--database-only")),
                                           (lambda: self.clear("dump.zst"), lambda: run(pipe, shell=True)))
        self.row("dump into the catalogue", "database", ours, theirs, "<= 1.15", {"the same | zstd -1 -T2": zstd})
        first = size_of(self.path("catalog"))
        n = self.rows_in_bulk
        self.sql(pg, f"""update "Bulk" set "Name" = "Name" || '!' where "Id" between {n // 3} and {n // 3 + n // 1000};
            insert into "Bulk" select "Id" + {n}, "Name", md5("Body") || "Body", "Price", "CreatedOnUtc" from "Bulk" where "Id" <= {9 * n // 1000}""")
        self.nopsnap("snapshot", site, "--database-only")
        self.row("growth after 1 %, clustered", "database", (size_of(self.path("catalog")) - first) / 1e6, first / 1e6, "<= 0.10", unit="MB")
        self.scattered(pg, site, n)

    def scattered(self, pg, site, n):
        """1 % of the rows, at random places: beside restic and borg fed with the same dump."""
        others = {}
        dump = f"pg_dump -h {pg} -U nop -Fc -Z0 bench"
        restic = f"{dump} | restic -q -r {self.path('restic')!r} backup --stdin"
        borg = f"{dump} | borg create -C zstd,3 {self.path('borg')!r}::%s -"
        before = {}
        if self.has["restic"]:
            self.clear("restic")
            run(["restic", "-q", "-r", self.path("restic"), "init"], env=self.env)
            run(restic, shell=True, env=self.env)
            before["restic"] = size_of(self.path("restic"))
        if self.has["borg"]:
            self.clear("borg")
            run(["borg", "init", "-e", "none", self.path("borg")], env=self.env)
            run(borg % "a", shell=True, env=self.env)
            before["borg"] = size_of(self.path("borg"))
        first = size_of(self.path("catalog"))
        self.sql(pg, f"""update "Bulk" set "Name" = "Name" || '?' where hashint4("Id") % 100 = 0""")
        self.nopsnap("snapshot", site, "--database-only")
        if "restic" in before:
            run(restic, shell=True, env=self.env)
            others["restic"] = (size_of(self.path("restic")) - before["restic"]) / 1e6
        if "borg" in before:
            run(borg % "b", shell=True, env=self.env)
            others["borg"] = (size_of(self.path("borg")) - before["borg"]) / 1e6
        self.row("growth after 1 %, scattered", "database", (size_of(self.path("catalog")) - first) / 1e6, first / 1e6, "report", others, "MB")

    # ---- one big file ----

    def big(self, gigabytes):
        tree = self.path("big")
        self.clear("big", "catalog")
        os.mkdir(tree)
        block = random.Random(7).randbytes(1 << 20)
        with open(os.path.join(tree, "backup.bin"), "wb") as f:
            for i in range(gigabytes << 10):
                f.write(i.to_bytes(8, "little") + block[8:])
        run([self.args.program, "--catalog", self.path("catalog"), "init"], env=self.env)
        _, peak = self.nopsnap("snapshot", tree, "--files-only")
        self.row(f"peak memory, one {gigabytes} GB file", "big", peak / 1024, 100, "<= 1", unit="MiB")
        self.clear("big", "catalog")

    def small(self, count):
        tree = self.path("small")
        if not os.path.isdir(tree):
            rnd = random.Random(3)
            words = [bytes(rnd.choices(b"abcdefghijklmnopqrstuvwxyz", k=rnd.randint(3, 9))) for _ in range(2000)]
            for i in range(count):
                folder = os.path.join(tree, f"{i % 97:02d}", f"{i % 1009:04d}")
                os.makedirs(folder, exist_ok=True)
                with open(os.path.join(folder, f"file{i}.txt"), "wb") as f:
                    f.write(b" ".join(rnd.choices(words, k=rnd.randint(100, 2400))))
        self.files("small", tree)

    def report(self):
        lines = ["| what | data | nopsnap | compared with | ratio | to reach | others, as ratios |", "|---|---|---|---|---|---|---|"]
        for what, tree, ours, theirs, ratio, target, others, unit in self.rows:
            extra = ", ".join(f"{k} {v / theirs:.2f}" for k, v in others.items())
            lines.append(f"| {what.strip()} | {tree} | {ours:.3f} {unit} | {theirs:.3f} {unit} | {ratio:.2f} | {target} | {extra} |")
        lines.append("")
        lines.append(f"Peak memory of nopsnap in all of the above: {self.peak / 1024:.0f} MiB.")
        return "\n".join(lines) + "\n"


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--program", required=True)
    p.add_argument("--work", required=True)
    p.add_argument("--tree", action="append", default=[])
    p.add_argument("--small", type=int, default=0)
    p.add_argument("--database", type=int, default=0)
    p.add_argument("--big", type=int, default=0)
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--other-runs", type=int, default=5)
    p.add_argument("--out")
    args = p.parse_args()
    args.program = os.path.abspath(args.program)
    args.work = os.path.abspath(args.work)
    os.makedirs(args.work, exist_ok=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    bench = Bench(args)
    for spec in args.tree:
        name, _, path = spec.partition("=")
        bench.files(name, os.path.abspath(path))
    if args.small:
        bench.small(args.small)
    if args.database:
        bench.database(args.database)
    if args.big:
        bench.big(args.big)
    text = bench.report()
    if args.out:
        with open(args.out, "w") as f:
            f.write(text)
    print(text)


if __name__ == "__main__":
    main()
