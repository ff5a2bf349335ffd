#!/usr/bin/env python3
"""Upgrades as an owner sees them: the real program, a stand-in for nopCommerce that migrates on a real server, a model of systemd.

    upgrade_test.py postgresql|mysql [PART OF A TEST'S NAME]...
"""
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "fixture"))
sys.path.insert(0, HERE)
import standin_bench  # noqa: E402
import standin_release  # noqa: E402
from cli_support import PROGRAM, Failed, Result  # noqa: E402
from harness import tree_digest  # noqa: E402
from standin_database import Pool  # noqa: E402
from standin_bench import StandIn, wait_until  # noqa: E402

FROM, TO = "4.60.3", "4.70.2"
RESTLESS = ("Log", "Customer", "Customer_CustomerRole_Mapping", "ActivityLog", "GenericAttribute")  # every start and every visitor writes there


class Shop(StandIn):
    """The stand-in, with a catalogue, a config, and releases to upgrade to."""

    def prepare(self):
        self.catalog = os.path.join(self.folder, "catalog")
        self.config = os.path.join(self.folder, "config")
        self.configure()
        self.plant()
        self.start()
        self.visit()
        self.stop()
        self.release = self.make_release("good")
        self.keep()

    def configure(self, **keys):
        words = {"path": self.site, "service": "nop.service", "url": f"http://127.0.0.1:{self.port}/", **keys}
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(f"[nopsnap]\ncatalog = {self.catalog}\n[shop]\n" + "".join(f"{k} = {v}\n" for k, v in words.items() if v))
        os.chmod(self.config, 0o600)

    def plant(self):
        """What a real shop has gathered: files of the old program that the new one has not, and things of the owner's."""
        for name, text in (("Nop.Old.dll", "of the old version alone"), ("wwwroot/.well-known/proof.txt", "the owner's"),
                           ("App_Data/api-token-signing-key.json", '{"Key": "a plugin\'s secret"}'), ("wwwroot/bundles/old.js", "made by the old version"),
                           ("wwwroot/files/manual.pdf", "an editor's"), ("wwwroot/db_backups/old.bak", "a backup")):
            os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
            with open(self.path(name), "w", encoding="utf-8") as f:
                f.write(text)

    def visit(self):
        page = self.get("/")
        same(page.status, 200, "the shop answers")

    def make_release(self, name, version=TO, **knobs):
        root = os.path.join(self.folder, "release-" + name)
        standin_release.make_release(root, version, files=120, knobs=knobs, archive=root + ".zip", folder="nopCommerce")
        shutil.rmtree(root)
        return root + ".zip"

    def begin(self):
        self.pool.close()
        super().begin()
        shutil.rmtree(self.catalog, ignore_errors=True)
        for name in os.listdir(os.path.dirname(self.site)):
            if name.startswith(".nopsnap"):
                shutil.rmtree(os.path.join(os.path.dirname(self.site), name))
        self.configure()
        self.start()
        self.nopsnap("init").expect(0)

    def environment(self):
        units = os.path.join(self.units.folder, "units")
        return {**os.environ, "PATH": os.path.join(self.units.folder, "bin") + ":" + os.environ["PATH"], "NOPSNAP_SYSTEMD_ETC": units,
                "NOPSNAP_SYSTEMD_PATH": units}

    def popen(self, *argv):
        return subprocess.Popen([PROGRAM, "--config", self.config, *argv], env=self.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def nopsnap(self, *argv):
        child = self.popen(*argv)
        out, err = child.communicate(timeout=300)
        self.pool.close()  # its sessions were ended by an exchange
        return Result(["nopsnap", *argv], child.returncode, out, err)

    def stop_by(self, *lines):
        """The stop command does this in the site's folder first: the last moment of the open shop."""
        stop = os.path.join(self.folder, "stop")
        with open(stop, "w", encoding="utf-8") as f:
            f.write("\n".join(["#!/bin/sh", f"cd {self.site} || exit 1", *lines, f"exec {self.units.folder}/bin/systemctl stop nop.service", ""]))
        os.chmod(stop, 0o755)
        self.configure(stop=stop, start=f"{self.units.folder}/bin/systemctl start nop.service")

    def own_commands(self, **keys):
        """A shop without systemd: commands of the owner's start and stop it, and nobody starts it again."""
        for name, lines in (("up", [f"cd {self.site} || exit 1", f"STANDIN_PORT={self.port} setsid ./Nop.Web </dev/null >/dev/null 2>&1 &",
                                    f"echo $! >{self.folder}/pid"]),
                            ("down", [f"[ -e {self.folder}/pid ] && kill $(cat {self.folder}/pid) 2>/dev/null", f"rm -f {self.folder}/pid"])):
            with open(os.path.join(self.folder, name), "w", encoding="utf-8") as f:
                f.write("\n".join(["#!/bin/sh", *lines, ""]))
            os.chmod(os.path.join(self.folder, name), 0o755)
        self.configure(service=None, start=os.path.join(self.folder, "up"), stop=os.path.join(self.folder, "down"), **keys)

    def upgrade(self, release=None, *more):
        return self.nopsnap("upgrade", "shop", release or self.release, "--yes", *more)

    # What is compared ---------------------------------------------------------------------------------------------

    def files(self):
        """Names and content: the app's own start may rewrite a file with what it holds."""
        return {line[0]: line[-1] for line in tree_digest(self.site)}

    def rows(self):
        """All but what every start and every visitor writes. A dump's lines belong to the table that was named last."""
        out, table = [], ""
        for line in self.server.digest():
            named = re.search(r"(?:TABLE|INTO) `(\w+)`", line[-1]) if line[0] == "dump" else re.search(r"\w+\.\"?(\w+)", line[0])
            table = named.group(1) if named else table
            if table not in RESTLESS and not (line[0].startswith("sequence") and any(word in line[0] for word in RESTLESS)):
                out.append(line)
        return out

    def list(self):
        return [json.loads(line) for line in self.nopsnap("--json", "list").out.splitlines()]

    def kept(self):
        folder = os.path.join(os.path.dirname(self.site), ".nopsnap-shop")
        return sorted(n for n in os.listdir(folder) if n != "lock") if os.path.isdir(folder) else []


SHOP = None


def check(condition, *words):
    if not condition:
        raise Failed(" ".join(str(w) for w in words))


def same(a, b, what=""):
    if a != b:
        raise Failed(f"{what}: {a!r:.2000}\nis not\n{b!r:.2000}")


def is_old(s, before):
    same(sorted(set(before[0].items()) ^ set(s.files().items())), [], "files of before, or of now")
    now = s.rows()
    same([r for r in now if r not in before[1]] + [r for r in before[1] if r not in now], [], "rows of now, or of before")
    same(s.get("/").status, 200)
    same(set(s.applied()), before[2], "migrations")


def state(s):
    return s.files(), s.rows(), set(s.applied())


def read(path):
    with open(path, "rb") as f:
        return f.read()


def picture(s, which=0):
    return "wwwroot/images/" + sorted(n for n in os.listdir(s.path("wwwroot/images")) if n.endswith("_0.jpeg"))[which]


def rewrite(path):
    """In place, perhaps through a link, and as long as before."""
    with open(path, "r+b") as f:
        f.write(b"NEW!")


def upgrade__carries_over_what_is_the_shops_and_replaces_the_rest():
    s = SHOP
    pictures = {n: read(s.path("wwwroot/images/" + n)) for n in os.listdir(s.path("wwwroot/images")) if n.endswith(".jpeg")}
    thumbs = set(os.listdir(s.path("wwwroot/images/thumbs")))
    settings = s.json("App_Data/appsettings.json")["ConnectionStrings"]
    keys = sorted(os.listdir(s.path("App_Data/DataProtectionKeys")))
    check(pictures and keys and len(thumbs) > 1, "the fixture has pictures, keys and thumbs", thumbs)
    s.upgrade().expect(0, out=[f"from nopCommerce {FROM} to {TO}", f"is nopCommerce {TO} now", "trial"])
    same(s.get("/").status, 200, "the new shop answers")
    same({n: read(s.path("wwwroot/images/" + n)) for n in pictures}, pictures, "pictures")
    same(s.json("App_Data/appsettings.json")["ConnectionStrings"]["ConnectionString"], settings["ConnectionString"], "connection")
    same(sorted(os.listdir(s.path("App_Data/DataProtectionKeys"))), keys, "keys")
    for name in ("wwwroot/.well-known/proof.txt", "App_Data/api-token-signing-key.json", "wwwroot/files/manual.pdf", "wwwroot/db_backups/old.bak",
                 "Plugins/Acme.OrderExport/plugin.json", "Themes/Acme"):
        check(os.path.exists(s.path(name)), name, "did not come over")
    for name in ("Nop.Old.dll", "wwwroot/bundles/old.js"):
        check(not os.path.exists(s.path(name)), name, "of the old version is still there")
    check(thumbs <= set(os.listdir(s.path("wwwroot/images/thumbs"))), "thumbnails came over")
    check(len(s.applied()) > 20, s.applied())
    s.nopsnap("status").expect(0, out=[f"of the upgrade from {FROM} to {TO}", "nopsnap confirm"])


def trial__rollback_brings_back_exactly_what_was():
    s = SHOP
    before = state(s)
    time.sleep(2.1)  # what has just changed is not linked
    s.upgrade().expect(0)
    check(set(s.applied()) > before[2], "it has migrated")
    # Nights pass, and rules that would keep one snapshot alone; what the new shop rewrites through a link is in the first of the upgrade's two.
    rewrite(s.path(picture(s)))
    s.configure(keep="last 1")
    first = [r for r in s.list() if r.get("kind") == "before-upgrade" and not r["held"]][0]["id"]
    s.nopsnap("run", "shop").expect(0)
    s.nopsnap("forget", "shop", "--dry-run").expect(0, out="what a transaction kept needs it")
    s.nopsnap("forget", "--all").expect(0)
    s.nopsnap("forget", first).expect(1, err="is needed by what is still kept", hint="nopsnap confirm")
    s.nopsnap("prune").expect(0)
    s.nopsnap("rollback", "shop", "--yes").expect(0, out=[f"before the upgrade to {TO}", "is back"])
    is_old(s, before)
    same(s.kept(), [], "nothing is kept")
    # And that is undone by one more.
    s.nopsnap("rollback", "shop", "--yes").expect(0)
    check(set(s.applied()) > before[2], "it is the new one again")
    same(s.get("/").status, 200)


def trial__confirmed_frees_the_room_and_the_snapshot_still_leads_back():
    s = SHOP
    before = state(s)
    s.upgrade().expect(0)
    s.upgrade(None, "--allow-same").expect(1, err=["still in its trial"], hint="--dry-run")
    s.nopsnap("snapshot", "shop").expect(0)
    check("kept" in s.kept(), "a snapshot does not end the trial", s.kept())
    s.nopsnap("confirm", "shop").expect(0, out="is confirmed")
    same(s.kept(), [])
    check(not [d for d in s.server.others() if "nopsnap" in d], s.server.others())
    s.nopsnap("confirm", "shop").expect(1, err="no upgrade", hint="history")
    held = [r for r in s.list() if r["type"] == "row" and r["held"]]
    same(len(held), 1, "one is held")
    # A snapshot is newer than the upgrade: the owner says which.
    s.nopsnap("rollback", "shop", "--yes").expect(1, out="before the last upgrade", hint="--to")
    s.nopsnap("rollback", "shop", "--to", held[0]["id"], "--yes").expect(0)
    is_old(s, before)


def trial__confirmed_and_nothing_newer_goes_back_by_itself():
    s = SHOP
    before = state(s)
    s.upgrade().expect(0)
    s.nopsnap("confirm", "shop").expect(0)
    s.nopsnap("rollback", "shop", "--yes").expect(0, out="before the last upgrade")
    is_old(s, before)


def trial__whose_kept_tree_or_database_is_gone_goes_back_by_the_snapshot():
    s = SHOP
    before = state(s)
    for remove in (lambda: shutil.rmtree(glob.glob(os.path.join(os.path.dirname(s.site), ".nopsnap-shop", "tx-*", "site"))[0]),
                   lambda: [s.server.sql(f'drop database "{d}"' if s.server.name == "postgresql" else f"drop database `{d}`", "postgres" if s.server.name == "postgresql" else None)
                            for d in s.server.others() if "nopsnap" in d]):
        s.upgrade().expect(0)
        remove()
        point = [r for r in s.list() if r["type"] == "row" and r["held"]][0]["id"]
        s.nopsnap("rollback", "shop", "--yes").expect(1, out="is gone: nopsnap rollback", hint="nothing was changed")
        check(set(s.applied()) > before[2], "it is the new one still")
        same(s.get("/").status, 200)
        s.nopsnap("rollback", "shop", "--to", point, "--yes").expect(0)
        is_old(s, before)
        same(s.kept(), [])
        s.nopsnap("release", point).expect(0)


def trial__ends_by_itself():
    s = SHOP
    s.upgrade(None, "--trial", "1s").expect(0)
    time.sleep(1)
    s.nopsnap("run", "shop").expect(0)
    same(s.kept(), [])


def lose_the_first(s):
    """Behind nopsnap's back: while it can't know that an upgrade is in its trial. It asks at the other sites of the catalogue, too."""
    kept = os.path.join(os.path.dirname(s.site), ".nopsnap-shop", "kept")
    other = os.path.join(os.path.dirname(s.site), "other")
    first = [r for r in s.list() if r.get("kind") == "before-upgrade" and not r["held"]][0]["id"]
    os.mkdir(other)
    os.mkdir(os.path.join(os.path.dirname(s.site), ".nopsnap-other"), 0o700)
    s.nopsnap("snapshot", other).expect(0)
    os.rename(kept, kept.replace("-shop", "-other"))
    s.nopsnap("forget", first).expect(1, err="kept in " + os.path.dirname(kept).replace("-shop", "-other"))
    s.nopsnap("forget", "shop", "--keep", "last 1").expect(0)
    os.rename(kept.replace("-shop", "-other"), kept + "-away")
    s.nopsnap("forget", first).expect(0)
    os.rename(kept + "-away", kept)
    os.rmdir(other)


def late__changes_until_the_stop_are_in_the_new_shop_and_in_the_old_one():
    """What happens between the first snapshot and the stop: the stop command is the last moment of that."""
    s = SHOP
    time.sleep(2.1)  # what has just changed is not linked
    images = s.path("wwwroot/images")
    names = sorted(n for n in os.listdir(images) if n.endswith("_0.jpeg"))
    body = read(os.path.join(images, names[0]))
    stop = os.path.join(s.folder, "stop")
    with open(stop, "w", encoding="utf-8") as f:
        f.write(f"""#!/bin/sh
cd {s.site}/wwwroot || exit 1
printf XX | dd of=images/{names[0]} conv=notrunc status=none        # in place, perhaps through a link
echo new >images/9999999_0.jpeg
mkdir -p files/new/deep && echo deep >files/new/deep/file.txt
rm images/{names[1]}
rm -f files/manual.pdf && mkdir files/manual.pdf && echo inside >files/manual.pdf/now-a-folder
chmod 600 images/{names[2]}
exec {s.units.folder}/bin/systemctl stop nop.service
""")
    os.chmod(stop, 0o755)
    s.configure(stop=stop, start=f"{s.units.folder}/bin/systemctl start nop.service")
    s.upgrade().expect(0)
    late = {"images/" + names[0]: b"XX" + body[2:], "images/9999999_0.jpeg": b"new\n", "files/new/deep/file.txt": b"deep\n", "files/manual.pdf/now-a-folder": b"inside\n"}
    for when in ("upgraded", "taken back"):
        same({n: read(s.path("wwwroot/" + n)) for n in late}, late, when)
        check(not os.path.exists(os.path.join(images, names[1])), names[1], "was removed before the stop", when)
        same(os.stat(os.path.join(images, names[2])).st_mode & 0o777, 0o600, "mode " + when)
        s.configure()
        if when == "upgraded":
            # The new shop writes through what may be a link: the old one has its own again, also when the snapshot that was linked from is lost.
            old = read(os.path.join(images, names[3]))[:4]
            rewrite(os.path.join(images, names[3]))
            lose_the_first(s)
            s.nopsnap("rollback", "shop", "--yes").expect(0)
    same(read(os.path.join(images, names[3]))[:4], old, "a picture that the new shop rewrote in place")
    undone = [r for r in s.list() if r["kind"] == "safety"]
    saved = subprocess.run([PROGRAM, "--config", s.config, "cat", undone[0]["id"] + ":wwwroot/images/" + names[3]], check=True, capture_output=True).stdout
    same(saved[:4], b"NEW!", "what it wrote is in the snapshot")


def late__a_linked_file_that_is_rewritten_in_place_until_the_stop_is_not_lost():
    """Links are made of files that have been at rest for a while; the old shop then writes through one of them, as the last thing that it does."""
    s = SHOP
    picture = s.path("wwwroot/images/" + sorted(n for n in os.listdir(s.path("wwwroot/images")) if n.endswith("_0.jpeg"))[0])
    if s.server.name == "postgresql":  # once with so many links that they are remembered before the stop
        os.mkdir(s.path("wwwroot/files/many"))
        for n in range(5001):
            with open(s.path(f"wwwroot/files/many/{n}"), "wb") as f:
                f.write(b"%d" % n)
    time.sleep(2.1)
    body = read(picture)
    stop = os.path.join(s.folder, "stop")
    with open(stop, "w", encoding="utf-8") as f:
        f.write(f"""#!/bin/sh
[ $(stat -c %h {picture}) = 2 ] || exit 1
printf XX | dd of={picture} conv=notrunc status=none
exec {s.units.folder}/bin/systemctl stop nop.service
""")
    os.chmod(stop, 0o755)
    s.configure(stop=stop, start=f"{s.units.folder}/bin/systemctl start nop.service")
    result = s.upgrade().expect(0)
    if s.server.name == "postgresql":
        check("remembering what the files look like now" in result.err, "the links were not remembered")
    s.configure()
    same(read(picture), b"XX" + body[2:], "in the new shop")
    point = [r for r in s.list() if r["type"] == "row" and r["held"]][0]["id"]
    saved = subprocess.run([PROGRAM, "--config", s.config, "cat", point + ":" + os.path.relpath(picture, s.site)], check=True, capture_output=True).stdout
    same(saved, b"XX" + body[2:], "in the restore point")
    s.nopsnap("confirm", "shop").expect(0)
    same(s.kept(), [], "what was taken away is in the restore point")
    s.nopsnap("rollback", "shop", "--yes").expect(0)
    same(read(picture), b"XX" + body[2:], "in the old shop")


def late__who_else_writes_while_the_stopped_shop_is_saved_is_not_overheard():
    """Another web server, or an import: its rows must not stay behind in the database that is taken away."""
    s = SHOP
    string = s.json("App_Data/appsettings.json")["ConnectionStrings"]["ConnectionString"]
    said = []
    ended = threading.Event()

    def write():
        while not ended.is_set():
            pool = Pool(s.server.name, string)
            try:
                with pool.session() as session:
                    n = 700000 + len(said)
                    session.run(f'insert into "Setting" ("Name", "Value", "StoreId") values (\'elsewhere.{n}\', \'1\', 0)')
                    said.append(f"elsewhere.{n}")
            except Exception:  # kept out, or its session was ended
                pass
            finally:
                pool.close()
            time.sleep(0.005)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        result = s.upgrade()
    finally:
        ended.set()
        writer.join()
    # PostgreSQL's door stays closed until the copy is made; a dump has to leave it open, so that whoever came in is found out.
    if s.server.name == "postgresql":
        result.expect(0)
    else:
        result.expect(4, err="somebody wrote into the database", hint="whatever else uses it")
    there = {row[0] for row in s.ask('select "Name" from "Setting"')}
    check(said, "the writer was never let in")
    same([name for name in said if name not in there], [], "rows that were written and are gone")


def killed__before_the_restore_point_has_its_dump():
    """Where the server copied the database, that is dumped once the shop runs again. Till then the way back is what was kept."""
    s = SHOP
    if s.server.name != "postgresql":
        return
    before = state(s)
    kept = os.path.join(os.path.dirname(s.site), ".nopsnap-shop", "kept")
    for then in ("rollback", "snapshot"):
        child = s.popen("upgrade", "shop", s.release, "--yes")
        wait_until(lambda: os.path.exists(kept) and not os.path.exists(kept[:-4] + "journal") or child.poll() is not None, "the end of the transaction")
        child.send_signal(signal.SIGKILL)
        child.communicate()
        check(b'"database_later":true' in read(kept).replace(b" ", b""), "it was killed too late")
        whole = [r for r in s.list() if r["type"] == "row" and r["part"] == "whole" and r["held"]]
        same(["upgrade" in (r["tags"] or "") for r in whole], [True], "the snapshot of before the stop is held until then")
        s.nopsnap("rollback", "shop", "--dry-run").expect(0, out=f"before the upgrade to {TO}")
        s.nopsnap(then, "shop", *(["--yes"] if then == "rollback" else [])).expect(0)
        if then == "snapshot":
            point = [r for r in s.list() if r["type"] == "row" and r["held"]]
            same([(r["kind"], r["part"], r["tags"] or "") for r in point], [("before-upgrade", "whole", "")], "the restore point is whole, and held")
            s.nopsnap("confirm", "shop").expect(0)
            s.nopsnap("rollback", "shop", "--to", point[0]["id"], "--yes").expect(0)
        is_old(s, before)


def attributes__of_what_comes_over_are_what_they_were():
    s = SHOP
    picture = s.path("wwwroot/images/" + sorted(n for n in os.listdir(s.path("wwwroot/images")) if n.endswith("_0.jpeg"))[0])
    folder = s.path("wwwroot/files/odd")
    os.mkdir(folder)
    os.chmod(folder, 0o2775)
    os.chown(folder, 33, 33)
    odd = os.path.join(os.fsencode(folder), b"na\nme \xff.txt")
    with open(odd, "wb") as f:
        f.write(b"odd")
    os.link(odd, odd + b".twin")
    os.symlink("../elsewhere", os.path.join(folder, "link"))
    os.chown(picture, 33, 33)
    os.setxattr(picture, "user.note", b"the owner's")
    subprocess.run(["setfacl", "-m", "u:33:rw", folder], check=True)
    os.chown(s.path("wwwroot"), 33, 33)
    before = {p: (os.lstat(p).st_mode, os.lstat(p).st_uid, os.lstat(p).st_mtime_ns) for p in (folder, odd, os.path.join(folder, "link"), picture)}
    s.upgrade().expect(0)
    same({p: (os.lstat(p).st_mode, os.lstat(p).st_uid, os.lstat(p).st_mtime_ns) for p in before}, before, "attributes")
    same(os.getxattr(picture, "user.note"), b"the owner's")
    check("system.posix_acl_access" in os.listxattr(folder), "the ACL")
    same(os.stat(odd).st_ino, os.stat(odd + b".twin").st_ino, "two names of one file")
    same(os.stat(s.path("wwwroot")).st_uid, 33, "a folder that both releases have keeps its owner")


def move_to(s, folder, name, target=None):
    """A folder of the shop lies elsewhere from now on, and a link leads there."""
    shutil.move(s.path(name), folder)
    os.symlink(target or folder, s.path(name))


def links__to_folders_elsewhere_come_over_as_links_and_back():
    s = SHOP
    disk = os.path.join(s.folder, "disk")
    os.mkdir(disk)
    move_to(s, disk + "/images", "wwwroot/images")
    move_to(s, disk + "/keys", "App_Data/DataProtectionKeys", os.path.relpath(disk + "/keys", s.path("App_Data")))
    move_to(s, disk + "/logs", "logs")
    move_to(s, disk + "/db_backups", "wwwroot/db_backups")
    move_to(s, s.path("files_of_ours"), "wwwroot/files", "../files_of_ours")
    move_to(s, disk + "/plugins.json", "App_Data/plugins.json")
    os.unlink(disk + "/images/default-image.png")
    links = {n: os.readlink(s.path(n)) for n in ("wwwroot/images", "App_Data/DataProtectionKeys", "logs", "wwwroot/db_backups", "wwwroot/files")}
    before = state(s)
    there = {line[0]: line for line in tree_digest(disk)}
    plan = s.nopsnap("upgrade", "shop", s.release, "--dry-run").expect(0)
    for name in links:
        line = next(line for line in plan.out.splitlines() if line.startswith(f"  {name}: stays a link to {links[name]} ("))
        same("in no snapshot" in line, name != "wwwroot/files", line)
    check("wwwroot/images: 1 file of the release has no place there, since it is a link: default-image.png; put" in plan.out, plan)
    s.upgrade().expect(0)
    same({n: os.readlink(s.path(n)) for n in links}, links, "links")
    same(read(s.path("files_of_ours/manual.pdf")), b"an editor's", "what a link in the shop leads to")
    check(f"App_Data/plugins.json: a link to {disk}/plugins.json; the new version gets a file of its own" in plan.out, plan)
    check(not os.path.islink(s.path("App_Data/plugins.json")), "settings are the new tree's own")
    same(s.get("/").status, 200)
    s.nopsnap("rollback", "shop", "--yes").expect(0)
    is_old(s, before)
    now = {line[0]: line for line in tree_digest(disk)}
    same([n for n in there if now.get(n) != there[n] and not there[n][1].startswith("0o4")], [], "what was changed behind the links")
    same([n for n in now if n not in there and not n.startswith(("images/thumbs/", "keys/", "logs/"))], [], "what was written behind the links")
    # What nobody can get right is said before anything is changed.
    os.rename(disk + "/images", disk + "/unmounted")
    s.upgrade().expect(1, out=f"wwwroot/images is a link to {disk}/images, which can't be reached", hint="nothing was changed")
    os.rename(disk + "/unmounted", disk + "/images")
    move_to(s, disk + "/themes", "Themes")
    s.upgrade().expect(1, out=f"Themes is a link to {disk}/themes, and the new version needs a folder of its own there")
    shutil.rmtree(disk)


def failure__amid_the_migrations_is_undone():
    s = SHOP
    before = state(s)
    s.upgrade(s.make_release("fails", fail_at_row=3), "--health-timeout", "3s").expect(4, out="undone: ")
    is_old(s, before)
    same(s.kept(), [], "what was taken away is a snapshot")
    undone = [r for r in s.list() if "undone" in (r.get("tags") or "")]
    same([r["version"] for r in undone], [TO], "the version of what was taken away")
    check(not [r for r in s.list() if r.get("kind") == "before-upgrade" and "upgrade" not in (r.get("tags") or "")], "its restore point is gone", s.list())
    check(not [r for r in s.list() if r.get("held")], "nothing is held", s.list())


def failure__of_each_kind_is_undone():
    s = SHOP
    before = state(s)
    for knobs in ({"start_error": True}, {"never_listen": True}):
        s.upgrade(s.make_release("bad" + "".join(knobs), **knobs), "--health-timeout", "2s").expect(4)
        is_old(s, before)
    s.configure(service=None, stop="false", start="true")
    s.upgrade().expect(4)
    s.configure()
    is_old(s, before)
    is_told_of_a_shop_that_does_not_come_back_to_life(s)


def own__commands_start_a_shop_whose_end_is_seen():
    """No unit tells of its process: a dead shop is not waited for, there and back."""
    s = SHOP
    if s.server.name != "mysql":  # processes are no engine's
        return
    s.stop()
    s.own_commands()
    subprocess.run([os.path.join(s.folder, "up")], check=True)
    s.wait_listening()
    before = state(s)
    s.upgrade(s.make_release("crashes", fail_at_row=3, migrate_delay_ms=300), "--health-timeout", "2m").expect(
        4, err=["the new shop is not well: the shop's process has ended", "; until then it recorded "], hint="its own log tells more")
    is_old(s, before)
    s.nopsnap("snapshot", "shop").expect(0)
    good = s.list()[0]["id"]
    s.set_knobs(start_error=True, slow_start_ms=1000)
    for name in ("down", "up"):
        subprocess.run([os.path.join(s.folder, name)], check=True)
    s.nopsnap("snapshot", "shop").expect(0)
    ill = s.list()[0]["id"]
    s.nopsnap("rollback", "shop", "--to", good, "--yes").expect(0)
    s.nopsnap("rollback", "shop", "--to", ill, "--yes").expect(4, out=["undone: ", "what did not work is snapshot"], err="the shop's process has ended", hint="`url`")
    # What was ill when it was taken away comes back as ill as it was.
    plan = s.nopsnap("rollback", "shop", "--dry-run").expect(0, out=["what the last rollback took away", "did not answer well when this was taken away"])
    s.nopsnap("rollback", "shop", "--yes").expect(3, out="is back at snapshot", err="the shop that is back is not well: the shop's process has ended")
    check(os.path.exists(s.path("standin.json")), plan)
    s.nopsnap("rollback", "shop", "--yes").expect(0)
    is_old(s, before)
    subprocess.run([os.path.join(s.folder, "down")], check=True)


def is_told_of_a_shop_that_does_not_come_back_to_life(s):
    """Undone, and the old program runs without ever answering: a signal ends the waiting for it, and nothing else."""
    with open(s.path("standin.json"), "w", encoding="utf-8") as f:
        json.dump({"never_listen": True}, f)
    child = s.popen("--json", "upgrade", "shop", os.path.join(s.folder, "release-badstart_error.zip"), "--yes", "--health-timeout", "2s")
    err = ""
    for line in child.stderr:
        err += line
        if line == "waiting for the shop to answer\n":
            child.send_signal(signal.SIGTERM)
    result = [json.loads(line) for line in child.communicate(timeout=60)[0].splitlines()][-1]
    same((child.returncode, result["type"], result["outcome"]), (4, "upgrade", "undone"), err)
    check("undoing" in err and "nobody waited for the shop that is back to answer" in err and "signal 15" in result["unwell"], err, result)
    s.nopsnap("history", "shop").expect(0, out="nobody waited")


def killed__while_it_migrates_and_the_machine_starts_again():
    s = SHOP
    before = state(s)
    child = s.popen("upgrade", "shop", s.make_release("slow", migrate_delay_ms=300), "--yes")
    wait_until(lambda: os.path.exists(s.path("standin.json")) and b"migrate_delay" in read(s.path("standin.json")), "the exchange")
    time.sleep(0.5)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    s.units.reboot()
    s.pool.close()
    s.nopsnap("snapshot", "shop").expect(5, hint="nopsnap recover")
    s.nopsnap("recover", "shop").expect(0, out="undone: the old state stands")
    s.wait_listening()
    is_old(s, before)
    s.nopsnap("snapshot", "shop").expect(0)
    check(not [r for r in s.list() if r.get("held")], "nothing is held", s.list())
    check(not [r for r in s.list() if r.get("kind") == "before-upgrade" and "upgrade" not in (r.get("tags") or "")], "its restore point is gone", s.list())


def refused__before_anything_is_changed():
    s = SHOP
    before = state(s)
    s.upgrade(s.make_release("same", version=FROM)).expect(1, out="--allow-same", hint="nothing was changed")
    s.upgrade(s.make_release("older", version="4.50.1")).expect(1, out="--allow-downgrade")
    s.upgrade(s.release, "--sha256", "0" * 64).expect(1, err="SHA-256")
    s.nopsnap("upgrade", "shop", s.release + ".missing", "--yes").expect(1)
    os.makedirs(s.path("Plugins/Uploaded"), exist_ok=True)
    with open(s.path("Plugins/Uploaded/new.zip"), "w", encoding="utf-8") as f:
        f.write("a plugin")
    s.upgrade().expect(1, out="Plugins/Uploaded is not empty")
    os.unlink(s.path("Plugins/Uploaded/new.zip"))
    s.configure(exclude="wwwroot/images")
    s.nopsnap("upgrade", "shop", s.release, "--dry-run").expect(1, out="wwwroot/images is left out of snapshots as a whole by `exclude`, and the new version has a folder of that name: with `exclude = /wwwroot/images/**` and `include = /wwwroot/images` what")
    s.configure(exclude="/wwwroot/images/**", include="/wwwroot/images")
    s.nopsnap("upgrade", "shop", s.release, "--dry-run").expect(0, not_out="left out of snapshots as a whole")
    s.configure()
    s.nopsnap("upgrade", "shop", s.release, "--dry-run").expect(0, out=["comes over", "Acme.OrderExport"])
    s.nopsnap("upgrade", "shop", s.release).expect(1, err="nobody to ask")
    is_old(s, before)
    same(s.kept(), [])
    same([r for r in s.list() if r["type"] == "row"], [], "no snapshot")


def downgrade__brings_every_settings_file_and_none_of_the_releases():
    """The connection is said by the file of the environment alone; the release brings files that would be read instead."""
    s = SHOP
    root = os.path.join(s.folder, "release-older")
    standin_release.make_release(root, "4.50.1", files=120)
    for name, text in (("App_Data/dataSettings.json", '{"DataConnectionString": "Host=elsewhere", "DataProvider": "postgresql"}'), ("App_Data/appsettings.Other.json", "{}")):
        with open(os.path.join(root, name), "w", encoding="utf-8") as f:
            f.write(text)
    standin_release.pack(root, root + ".zip", "nopCommerce", True)
    shutil.rmtree(root)
    settings = s.json("App_Data/appsettings.json")
    own = {"App_Data/appsettings.Production.json": json.dumps({"ConnectionStrings": settings["ConnectionStrings"]}), "appsettings.Production.json": '{"Kestrel": {}}',
           "App_Data/plugins.json": read(s.path("App_Data/plugins.json")).decode()}
    settings["ConnectionStrings"] = {**settings["ConnectionStrings"], "ConnectionString": "Host=nowhere"}
    own["App_Data/appsettings.json"] = json.dumps(settings)
    for name, text in own.items():
        with open(s.path(name), "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(s.path(name), 0o640)
        os.chown(s.path(name), 33, 33)
    s.nopsnap("upgrade", "shop", root + ".zip", "--dry-run", "--allow-downgrade").expect(
        0, out=["App_Data/appsettings.Production.json is copied as it is", "not turned back: nopCommerce 4.50.1"])
    s.upgrade(root + ".zip", "--allow-downgrade").expect(0)
    for name in own:
        if name != "App_Data/plugins.json":  # the shop writes it at its start
            check(json.loads(read(s.path(name))).items() >= json.loads(own[name]).items(), name, "has lost something")
        same((os.stat(s.path(name)).st_mode & 0o777, os.stat(s.path(name)).st_uid), (0o640, 33), name)
    for name in ("App_Data/dataSettings.json", "App_Data/appsettings.Other.json"):
        check(not os.path.exists(s.path(name)), name, "of the release is there")
    s.nopsnap("rollback", "shop", "--yes").expect(0)
    # One that reads another form would find no database; a patch less is nothing of the kind.
    s.upgrade(s.make_release("old-form", "4.40.3"), "--allow-downgrade").expect(1, out="would not use the shop's database", hint="nothing was changed")
    s.upgrade(s.make_release("patch", "4.60.2"), "--allow-downgrade").expect(0)
    check(os.path.exists(s.path("App_Data/appsettings.Production.json")), "settings of the environment")
    same(s.get("/").status, 200)


def plan__names_what_the_owner_changed_in_the_old_release():
    s = SHOP
    with open(s.path("Views/_Changed.cshtml"), "w", encoding="utf-8") as f:
        f.write("@* the owner's own view *@")
    changed = next(os.path.join(folder, n) for folder, _, names in os.walk(s.path("Views")) for n in sorted(names) if n.endswith(".cshtml") and n != "_Changed.cshtml")
    old = s.make_release("old", version=FROM)
    s.nopsnap("upgrade", "shop", s.release, "--dry-run", "--from-release", old).expect(0, not_out=os.path.relpath(changed, s.site))
    with open(changed, "a", encoding="utf-8") as f:
        f.write("@* and a change of the owner's *@")
    s.nopsnap("upgrade", "shop", s.release, "--dry-run", "--from-release", old).expect(0, out=os.path.relpath(changed, s.site))
    s.nopsnap("upgrade", "shop", s.release, "--dry-run", "--from-release", s.release).expect(1, out="--from-release is nopCommerce")


def era__of_440_becomes_470_with_settings_and_robots_where_they_are_read():
    s = SHOP
    before = state(s)
    string = s.json("App_Data/dataSettings.json")["DataConnectionString"]
    s.nopsnap("upgrade", "shop", s.release, "--dry-run").expect(0, out=["robots.custom.txt: moved to wwwroot/robots.custom.txt", "App_Data/dataSettings.json"])
    os.mkfifo(s.path("robots.additions.txt"))
    s.nopsnap("upgrade", "shop", s.release, "--dry-run").expect(0, out="robots.additions.txt: not carried over to wwwroot/robots.additions.txt (neither")
    os.unlink(s.path("robots.additions.txt"))
    s.configure(exclude="robots.custom.txt")
    s.nopsnap("upgrade", "shop", s.release, "--dry-run").expect(0, out="robots.custom.txt: left out of snapshots, so it keeps its name; the new version looks for it at wwwroot/")
    # An admin goes on until the stop: what has another name in the new version is none the worse for that.
    s.stop_by("echo changed >>robots.custom.txt", "echo new >robots.additions.txt")
    s.upgrade().expect(0)
    s.configure()
    robots = read(s.path("wwwroot/robots.custom.txt"))
    check(robots.endswith(b"changed\n"), "robots as they were at the stop", robots)
    same(read(s.path("wwwroot/robots.additions.txt")), b"new\n", "robots that came before the stop")
    check(not os.path.exists(s.path("App_Data/dataSettings.json")), "the old settings would redirect the shop")
    same(s.json("App_Data/appsettings.json")["ConnectionStrings"]["ConnectionString"], string, "connection")
    same(read(s.path("wwwroot/robots.custom.txt")), robots, "robots")
    check(not os.path.exists(s.path("robots.custom.txt")), "robots at the old place")
    same(s.get("/").status, 200)
    s.nopsnap("rollback", "shop", "--yes").expect(0)
    same((read(s.path("robots.custom.txt")), read(s.path("robots.additions.txt"))), (robots, b"new\n"), "the old shop's robots")
    os.unlink(s.path("robots.additions.txt"))
    with open(s.path("robots.custom.txt"), "wb") as f:
        f.write(robots[:-len(b"changed\n")])
    is_old(s, before)


def era__of_440_comes_to_470_by_way_of_460_in_one_transaction():
    s = SHOP
    if s.server.name != "postgresql":
        return
    before = state(s)
    string = s.json("App_Data/dataSettings.json")["DataConnectionString"]
    robots = read(s.path("robots.custom.txt"))
    thumbs = set(os.listdir(s.path("wwwroot/images/thumbs")))
    pictures = {n: read(s.path("wwwroot/images/" + n)) for n in os.listdir(s.path("wwwroot/images")) if n.endswith(".jpeg")}
    move_to(s, os.path.join(s.folder, "files"), "wwwroot/files")
    before = state(s)
    middle = s.make_release("middle", FROM)
    s.nopsnap("upgrade", "shop", s.release, "--via", s.release, "--via", middle, "--dry-run").expect(1, out=f"{FROM} does not come after {TO}")
    s.upgrade(None, "--via", middle).expect(0, out=["from 4.40.3 to 4.60.3, which migrates at its first start: release-middle.zip", f"from 4.60.3 to {TO}, which"])
    check(not os.path.exists(s.path("App_Data/dataSettings.json")), "the old settings would redirect the shop")
    same(s.json("App_Data/appsettings.json")["ConnectionStrings"]["ConnectionString"], string, "connection")
    same(read(s.path("wwwroot/robots.custom.txt")), robots, "robots")
    same({n: read(s.path("wwwroot/images/" + n)) for n in pictures}, pictures, "pictures")
    check(thumbs <= set(os.listdir(s.path("wwwroot/images/thumbs"))), "thumbnails came over")
    for name in ("wwwroot/db_backups/old.bak", "wwwroot/.well-known/proof.txt", "Plugins/Acme.OrderExport/plugin.json", "Themes/Acme/theme.json"):
        check(os.path.exists(s.path(name)), name, "did not come over")
    same((os.path.islink(s.path("wwwroot/files")), read(s.path("wwwroot/files/manual.pdf"))), (True, b"an editor's"), "files behind a link")
    for name in ("Nop.Old.dll", "wwwroot/bundles/old.js"):
        check(not os.path.exists(s.path(name)), name, "of the old version is still there")
    # What both releases put there is the tree of a direct upgrade.
    root = os.path.join(s.folder, "release-tree")
    standin_release.make_release(root, TO, files=120)
    shipped = {line[0]: line[-1] for line in tree_digest(root)}
    now = s.files()
    same([n for n in shipped if n not in now and not n.startswith("wwwroot/files/")], [], "files of the release")
    same([n for n in now if n.endswith(".dll") and n not in shipped and "Acme" not in n], [], "programs of another version")
    shutil.rmtree(root)
    same([d for d in s.server.others() if "nopsnap" in d][1:], [], "one database is kept")
    check({f"SchemaMigration for {v}.0" for v in ("4.60", "4.70")} <= set(s.applied().values()), s.applied())
    s.nopsnap("-v", "history", "shop").expect(0, out=["waiting for the new shop, 4.60.3", f"from 4.60.3 to {TO}", f"waiting for the new shop, {TO}"])
    s.nopsnap("rollback", "shop", "--yes").expect(0)
    is_old(s, before)


def era__that_fails_in_its_second_stage_is_undone_to_the_old_shop():
    s = SHOP
    if s.server.name != "postgresql":  # the stages are the transaction's: one engine tells
        return
    before = state(s)
    s.upgrade(s.make_release("fails", fail_at_row=1), "--via", s.make_release("middle", FROM), "--health-timeout", "2s").expect(4, out="undone: ", err=f"from {FROM} to {TO}")
    is_old(s, before)
    same(s.kept(), [], "what was taken away is a snapshot")
    child = s.popen("upgrade", "shop", s.release, "--via", s.make_release("slow", FROM, slow_start_ms=1000), "--yes")
    wait_until(lambda: os.path.exists(s.path("standin.json")) and b"slow_start" in read(s.path("standin.json")), "the first stage")
    wait_until(lambda: b"slow_start" not in read(s.path("standin.json")) if os.path.exists(s.path("standin.json")) else False, "the second")
    child.send_signal(signal.SIGKILL)
    child.communicate()
    s.units.reboot()
    s.pool.close()
    s.nopsnap("recover", "shop").expect(0, out="undone: the old state stands")
    s.wait_listening()
    is_old(s, before)


# What these attack has nothing to do with the engine: once is enough.
OF_FILES = [f.__name__ for f in (
    trial__confirmed_frees_the_room_and_the_snapshot_still_leads_back, trial__confirmed_and_nothing_newer_goes_back_by_itself, trial__ends_by_itself,
    late__a_linked_file_that_is_rewritten_in_place_until_the_stop_is_not_lost, links__to_folders_elsewhere_come_over_as_links_and_back, attributes__of_what_comes_over_are_what_they_were,
    failure__of_each_kind_is_undone, downgrade__brings_every_settings_file_and_none_of_the_releases, refused__before_anything_is_changed, plan__names_what_the_owner_changed_in_the_old_release,
    era__of_440_becomes_470_with_settings_and_robots_where_they_are_read)]


def main():
    global SHOP
    engine, parts = sys.argv[1], sys.argv[2:]
    missing = standin_bench.missing(engine)
    if missing or os.geteuid() != 0:
        print("skipped:", missing or "who is not root can't see that nobody is in the tree")
        sys.exit(77)
    tests = [f for name, f in globals().items() if "__" in name and not name.startswith("__") and callable(f)]
    if parts:
        tests = [f for f in tests if any(part in f.__name__ for part in parts)]
    elif engine != "postgresql":
        tests = [f for f in tests if f.__name__ not in OF_FILES]
    for version in (FROM, "4.40.3"):
        of_it = [t for t in tests if t.__name__.startswith("era__") == (version != FROM)]
        if not of_it:
            continue
        with Shop(engine, version, files=120) as SHOP:
            SHOP.prepare()
            for test in of_it:
                since = time.monotonic()
                SHOP.begin()
                test()
                print(f"ok    {test.__name__} ({time.monotonic() - since:.1f} s)", flush=True)


if __name__ == "__main__":
    main()
