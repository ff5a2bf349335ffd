#!/usr/bin/env python3
"""The whole story on a live shop: a snapshot, an upgrade that fails and is undone by itself, one that works, a breakage, one command, the proof.

Everything is made in a folder of its own, which goes at the end: a PostgreSQL server on a socket, a stand-in for nopCommerce that serves the shop
from its tree and migrates its database at the first start of a new version, and a model of systemd. Runs as root and as an ordinary user.
"""
import hashlib
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURE = os.path.join(HERE, "..", "fixture")
sys.path.insert(0, FIXTURE)
import standin_bench  # noqa: E402
import standin_release  # noqa: E402

PROGRAM = os.environ.get("NOPSNAP_PROGRAM") or sys.exit("demo: NOPSNAP_PROGRAM names the program; ./dev demo sets it")
FROM, TO, FAILING = "4.60.5", "4.70.5", "4.70.4"
BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
# Whoever visits, and every start, writes there; all else has to be the same.
RESTLESS = ("Log", "Customer", "Customer_CustomerRole_Mapping", "ActivityLog", "GenericAttribute")
LEFT_OUT = ("logs", "Logs", "wwwroot/bundles", "wwwroot/images/thumbs", "wwwroot/sitemaps", "App_Data/TempUploads")


def chapter(text):
    print(f"\n{BOLD}{text}{PLAIN}", flush=True)


def release_name(version):
    return f"nopCommerce_{version}_NoSource_linux_x64.zip"


class Demo(standin_bench.StandIn):
    def prepare(self):
        self.config = os.path.join(self.folder, "nopsnap.conf")
        control = os.path.join(self.units.folder, "bin", "systemctl")
        with open(os.open(self.config, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as f:
            # A shop that systemd really runs needs no stop and start: it is found by itself.
            f.write(f"[nopsnap]\ncatalog = {self.folder}/catalog\n[shop]\npath = {self.site}\nstop = {control} stop nop.service\n"
                    f"start = {control} start nop.service\nurl = http://127.0.0.1:{self.port}/\n")
        for version, knobs in ((TO, {}), (FAILING, {"fail_at_row": 2})):
            root = os.path.join(self.folder, "release-" + version)
            standin_release.make_release(root, version, files=1200, knobs=knobs, archive=os.path.join(self.folder, release_name(version)))
            shutil.rmtree(root)

    def shown(self, text):
        return text.replace(self.folder + "/www", "/var/www").replace(self.folder + "/", "").replace(self.units.folder, "")

    def nopsnap(self, *argv, status=(0, 3)):
        print(f"{BOLD}$ nopsnap {' '.join(argv)}{PLAIN}", flush=True)
        child = subprocess.Popen([PROGRAM, "--config", self.config, *argv], env={**os.environ, **self.units.environment()}, cwd=self.folder,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in child.stdout:
            print(self.shown(line), end="", flush=True)
        self.pool.close()
        if child.wait() not in status:
            sys.exit(f"demo: nopsnap {argv[0]} ended with {child.returncode}")
        return child.returncode

    def visit(self):
        answer = self.get("/")
        print(f"{BOLD}The shop:{PLAIN} it answers with {answer.status}" if answer else "no answer")
        orders = self.one('select count(*) from "Order"')
        print(f"  its database has {len(self.applied())} migrations and {orders} orders")

    def proof(self):
        files = hashlib.sha256()
        for folder, folders, names in os.walk(self.site):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                shown = os.path.relpath(path, self.site)
                if not shown.startswith(tuple(p + "/" for p in LEFT_OUT)):
                    with open(path, "rb") as f:
                        files.update(shown.encode() + b"\0" + hashlib.sha256(f.read()).digest())
        rows = hashlib.sha256()
        for line in self.server.digest():
            if not any(f".\"{t}\"" in line[0] or f".{t}" == line[0][-len(t) - 1:] or f"|{t}_" in line[0] for t in RESTLESS):
                rows.update(repr(line).encode())
        return f"files  {files.hexdigest()[:16]}\ntables {rows.hexdigest()[:16]}"

    def prove(self, before):
        after = self.proof()
        print(after)
        if after != before:
            sys.exit("demo: the shop is NOT what it was")
        print("equal")

    def order(self):
        with self.pool.session() as s:
            s.run('insert into "Order" select * from (select (jsonb_populate_record(o, jsonb_build_object(\'Id\', (select max("Id") from "Order") + 1, '
                  "'CreatedOnUtc', now() at time zone 'utc'))).* from \"Order\" o order by \"Id\" limit 1) n")


def story(shop):
    chapter(f"A shop: nopCommerce {FROM} (a stand-in that behaves like it), 1,200 files, a PostgreSQL database")
    shop.prepare()
    shop.start()
    shop.visit()
    before = shop.proof()
    print(before)

    chapter("Before touching anything: a snapshot, while customers shop")
    shop.nopsnap("init")
    shop.nopsnap("-q", "snapshot", "shop")
    shop.nopsnap("list")

    chapter("Upgrade night, first try: the migration fails half way. The upgrade is undone by itself")
    shop.nopsnap("upgrade", "shop", release_name(FAILING), "--yes", "--health-timeout", "20s", status=(4,))
    shop.wait_listening()
    shop.visit()
    shop.prove(before)

    chapter("Second try, with the next release")
    shop.nopsnap("-q", "upgrade", "shop", release_name(TO), "--yes")
    shop.visit()
    shop.nopsnap("status")

    chapter("A customer orders. Then somebody breaks the shop: plugins deleted, tables changed")
    shop.order()
    shutil.rmtree(os.path.join(shop.site, "Plugins"))
    with shop.pool.session() as s:
        s.run('delete from "Setting"')
        s.run('alter table "Product" rename to "Product_old"')
    shop.visit()

    chapter("One command, in the trial")
    os.makedirs(os.path.join(shop.folder, "lost"))
    shop.nopsnap("rollback", "shop", "--yes", "--export-lost", os.path.join(shop.folder, "lost"))
    shop.wait_listening()
    shop.visit()

    chapter("Proof: the same files, the same rows")
    shop.prove(before)
    print(f"{BOLD}$ head -2 lost/Order.csv{PLAIN}")
    with open(os.path.join(shop.folder, "lost", "Order.csv"), encoding="utf-8") as f:
        print("".join(f.readlines()[:2]), end="")

    chapter("What was taken away is a snapshot too: one more rollback would undo this one")
    shop.nopsnap("list")
    shop.nopsnap("history", "shop")


def main():
    missing = standin_bench.missing("postgresql")
    if missing:
        sys.exit(f"demo: {missing}; ./dev demo installs it")
    with Demo("postgresql", FROM, files=1200) as shop:
        story(shop)


main()
