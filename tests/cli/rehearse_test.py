#!/usr/bin/env python3
"""Rehearsals of an upgrade: the stand-in shop on a real server, and a start command that tells what the copy finds before it runs.

    rehearse_test.py postgresql|mysql [PART OF A TEST'S NAME]
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import upgrade_test  # noqa: E402
from upgrade_test import FROM, TO, Shop, check, read, same, wait_until  # noqa: E402
import standin_bench  # noqa: E402

# Runs in the copy's place: what would go out is told, then the program is what it is.
STARTER = """
import json, os, socket, sys
sys.path.insert(0, {fixture!r})
from standin_database import Pool
folder, port, outside = sys.argv[1:4]
def reaches(port):
    try:
        socket.create_connection(("127.0.0.1", port), 2).close()
        return True
    except OSError:
        return False
string = os.environ["ConnectionStrings__ConnectionString"]
pool = Pool({engine!r}, string)
with pool.session() as s:
    found = dict(hosts=[h for (h,) in s.ask('select "Host" from "EmailAccount"')],
                 passwords=[p for (p,) in s.ask('select "Password" from "EmailAccount"')],
                 mails=s.one('select count(*) from "QueuedEmail" where "SentOnUtc" is null'),
                 tasks=s.one('select count(*) from "ScheduleTask" where "Enabled"'),
                 stores=[u for (u,) in s.ask('select "Url" from "Store"')],
                 settings=dict(s.ask('select "Name", "Value" from "Setting"')))
pool.close()
with open("App_Data/appsettings.json", encoding="utf-8-sig") as f:
    found["file"] = json.load(f)
found["environment"] = string
if os.path.islink("wwwroot/images"):
    found["behind"] = len(os.listdir("wwwroot/images"))
    open("wwwroot/images/thumbs/of-the-copy", "w").close()
found["reached"] = reaches(int(outside))
found["cwd"] = os.getcwd()
found["variables"] = dict(os.environ)
with open({told!r}, "w") as f:
    json.dump(found, f)
os.environ["STANDIN_PORT"] = port
os.execv(folder + "/Nop.Web", [folder + "/Nop.Web"])
"""


class Rehearsed(Shop):
    def prepare(self):
        self.told = os.path.join(self.folder, "told")
        self.starter = os.path.join(self.folder, "starter.py")
        with open(self.starter, "w", encoding="utf-8") as f:
            f.write(STARTER.format(fixture=os.path.join(HERE, "..", "fixture"), engine=self.server.name, told=self.told))
        self.outside = socket.create_server(("127.0.0.1", 0))
        super().prepare()

    def start_command(self):
        return f"{sys.executable} {self.starter} {{dir}} {{port}} {self.outside.getsockname()[1]}"

    def configure(self, **keys):
        super().configure(**{"rehearse-start": self.start_command(), **keys})

    def environment(self):
        return {**super().environment(), "AzureBlobConfig__ConnectionString": "AccountName=shop", "DOTNET_Azure__Key": "x"}

    def begin(self):
        super().begin()
        if os.path.exists(self.told):
            os.unlink(self.told)
        with self.pool.session() as s:
            for name, value in (("acmepaymentsettings.apikey", "sk_live_4711"), ("customersettings.passwordminlength", "6"),
                                ("storeinformationsettings.facebooklink", "https://www.facebook.com/shop")):
                s.run('insert into "Setting" ("Name", "Value", "StoreId") values (%s, %s, 0)', name, value)

    def beside(self):
        parent = os.path.dirname(self.site)
        return sorted(n for n in os.listdir(parent) if "rehearse" in n), sorted(d for d in self.server.others() if "nopsnap" in d)

    def rehearse(self, release=None, *more):
        return self.nopsnap("rehearse", "shop", release or self.release, *more)

    def found(self):
        return json.loads(read(self.told))


def may_set_apart():
    """Where the machine lets root have network namespaces (a container may not)."""
    return subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0


def may_cover(folder):
    """Where root may have mounts of its own, and this filesystem can be the upper one of an overlay."""
    words = 'cd "$1" && mkdir o o/low o/up o/work && mount -t overlay o -o lowerdir=o/low,upperdir=o/up,workdir=o/work o/low'
    done = subprocess.run(["unshare", "--mount", "sh", "-c", words, "sh", folder], capture_output=True, check=False)
    shutil.rmtree(os.path.join(folder, "o"), ignore_errors=True)
    return done.returncode == 0


SHOP = None
NOTHING = ([], [])


def outgoing(s):
    return [s.ask(f'select * from "{t}"') for t in ("EmailAccount", "QueuedEmail", "ScheduleTask", "Store", "Setting")]


def of_a_login_that_may_make_no_database(s):
    """It is told before anything is done; then an administrative one makes the copy, for the shop's own to work in."""
    s.server.sql("revoke all privileges, grant option from shop@localhost; grant all on shop.* to shop@localhost; grant process on *.* to shop@localhost")
    s.rehearse().expect(1, err="shop@localhost lacks SELECT, INSERT", hint="GRANT ALL PRIVILEGES ON `shop\\_nopsnap\\_%`.* TO 'shop'@'localhost'")
    same([r for r in s.list() if r["type"] == "row"], [], "no snapshot")
    admin = os.path.join(s.folder, "admin")
    with open(admin, "w", encoding="utf-8") as f:
        f.write(f"[client]\nuser = root\nsocket = {s.server.socket}\n")
    os.chmod(admin, 0o600)
    s.configure(**{"database-admin": admin})
    admin_of_no_use(s)


def admin_of_no_use(s):
    """Another login than the shop's: its file is named, and what does not need it goes on."""
    wrong, own = os.path.join(s.folder, "wrong"), os.path.join(s.folder, "own")
    for path, text in ((wrong, f"[client]\nuser = nobody\nsocket = {s.server.socket}\n"), (own, s.json("App_Data/appsettings.json")["ConnectionStrings"]["ConnectionString"])):
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, 0o600)
    right = read(s.config)
    s.configure(**{"database-admin": wrong})
    s.nopsnap("snapshot", "shop").expect(3, err=f"database-admin ({wrong}) is of no use, and the shop's own login is used: MySQL shop by {wrong}: ")
    s.nopsnap("rollback", "shop", "--dry-run").expect(1, out=[f"database-admin ({wrong}) is of no use", "GRANT ALL PRIVILEGES ON `shop\\_nopsnap\\_%`.*"])
    s.nopsnap("restore", "latest", "--database", own).expect(1, err="shop is not empty", hint="that is there and empty")
    with open(s.config, "wb") as f:
        f.write(right)


def rehearse__works_on_a_copy_and_leaves_nothing():
    s = SHOP
    files, applied, before = s.files(), set(s.applied()), outgoing(s)
    check(s.one('select count(*) from "QueuedEmail" where "SentOnUtc" is null') and s.one('select count(*) from "ScheduleTask" where "Enabled"'), "the fixture has mails and tasks")
    if s.server.name == "mysql":
        of_a_login_that_may_make_no_database(s)
    # The whole way of an upgrade: once also by way of another release.
    by = ["4.60.9"] if s.server.name == "postgresql" else []
    done = s.nopsnap("--json", "rehearse", "shop", s.release, *(word for v in by for word in ("--via", s.make_release("middle", v)))).expect(0)
    check(all(f"starting nopCommerce {v} on the copy" in done.err for v in [*by, TO]), done)
    result = json.loads(done.out.splitlines()[-1])
    check(result["type"] == "rehearsal" and result["well"] and "acmepaymentsettings.apikey" in result["emptied"] and result["expected_closed_ms"] > 0, result)
    found = s.found()
    same(found["reached"], not may_set_apart(), "it reached who listens outside")
    same("host_network" in result, not may_set_apart(), result)
    check(len(result["pages"]) > 2 and not any(p["differs"] for p in result["pages"]), result["pages"])
    check(all(p["copy"]["status"] == 200 and p["copy"]["title"] and p["copy"]["title"] == p["live"]["title"] for p in result["pages"]), result["pages"])
    same(set(found["hosts"]), {"127.0.0.1"}, "where mail would go")
    same(set(found["passwords"]) - {""}, set(), "of mail accounts")
    same(found["mails"], 0, "mails that wait")
    same(found["tasks"], 0, "tasks that run")
    check(all(u.startswith("http://127.0.0.1:") for u in found["stores"]), found["stores"])
    same(found["settings"]["acmepaymentsettings.apikey"], "", "a payment key")
    same(found["settings"]["customersettings.passwordminlength"], "6", "no secret")
    same(found["settings"]["storeinformationsettings.facebooklink"], "https://www.facebook.com/shop", "a link")
    live = s.json("App_Data/appsettings.json")["ConnectionStrings"]["ConnectionString"]
    same(found["file"]["ConnectionStrings"]["ConnectionString"], found["environment"], "file and environment")
    check("_nopsnap_" in found["environment"] and found["environment"] != live, "the copy's database")
    check(".nopsnap-rehearse-shop" in found["cwd"], found["cwd"])
    check("PATH" in found["variables"] and not [v for v in found["variables"] if v.startswith(("NOPSNAP", "Azure"))], found["variables"])
    # The live shop is as it was, and nothing is left.
    if s.server.name == "mysql":
        check("nopsnap" not in s.server.sql("show grants for shop@localhost"), "the copy's grants went with it", s.server.sql("show grants for shop@localhost"))
    same(s.files(), files, "the live tree")
    same(set(s.applied()), applied, "the live database's migrations")
    same(outgoing(s), before, "the live database")
    same(s.beside(), NOTHING, "left")
    same(s.get("/").status, 200)
    s.nopsnap("history", "shop").expect(0, out=["rehearse", f"to {TO}"])


def rehearse__tells_what_breaks_and_leaves_nothing():
    s = SHOP
    applied = set(s.applied())
    s.rehearse(s.make_release("broken", fail_at_row=2)).expect(1, out=["broken: the shop's process has ended by signal 6", "Unhandled exception. ", "it does not work"], not_out="closed for")
    same(set(s.applied()), applied)
    same(s.beside(), NOTHING, "left")


def rehearse__refuses_an_address_that_nobody_knows():
    s = SHOP
    s.run('insert into "Setting" ("Name", "Value", "StoreId") values (\'acme.erp\', \'https://erp.shop.example/push\', 0)')
    s.rehearse().expect(1, err="acme.erp", hint="rehearse-allow")
    check(not os.path.exists(s.told), "it was started")
    same(s.beside(), NOTHING, "left")
    plugin = os.path.join(s.site, "App_Data", "acme.json")
    with open(plugin, "w", encoding="utf-8") as f:
        json.dump({"ApiKey": "sk_live", "Servers": [{"Host": "erp:8443"}]}, f)
    s.configure(**{"rehearse-allow": "acme.erp"})
    s.rehearse().expect(1, err=["acme.json", "Servers.0.Host"], hint="rehearse-allow")
    os.unlink(plugin)
    # The copy would make its thumbnails in the live shop's folder.
    upgrade_test.move_to(s, os.path.join(s.folder, "images"), "wwwroot/images", "../../../images")
    images = os.path.join(s.folder, "images")
    os.rename(images + "/thumbs", s.folder + "/thumbs")
    os.symlink("../thumbs", images + "/thumbs")
    os.mkdir(s.folder + "/through")
    os.symlink("images/../through", s.path("wwwroot/through"))  # by its name in the tree
    s.get("/")
    there = upgrade_test.tree_digest(images), upgrade_test.tree_digest(s.folder + "/thumbs")
    s.rehearse(None, "--host-network").expect(1, err="the copy would write behind 2 links that lead out of it: wwwroot/images, ...", hint="rehearse-allow = wwwroot/images")
    done = s.rehearse()
    if may_cover(s.folder):
        done.expect(0, out="behind    3 links lead out of the copy")
        same(s.found()["behind"], len(os.listdir(images)), "what the copy saw there")
    else:
        done.expect(1, err="can't be kept apart", hint="rehearse-allow = wwwroot/images")
    same((upgrade_test.tree_digest(images), upgrade_test.tree_digest(s.folder + "/thumbs")), there, "behind the links")
    same(s.beside(), NOTHING, "left")
    s.configure(**{"rehearse-allow": "acme.erp\nrehearse-allow = wwwroot/images*\nrehearse-allow = wwwroot/through"})
    s.rehearse(None, "--host-network").expect(0, out=[f"{TO} on a copy of", "it works", "closed for about", "had this machine's: so you asked", "the copy is removed"])
    check(s.found()["reached"], "it has the machine's network, as asked")
    check(os.path.exists(s.folder + "/thumbs/of-the-copy"), "it wrote where it may")
    s.rehearse(s.make_release("titles", other_titles=True)).expect(3, out="differ", err=["is another page in the copy", "(new)"])
    s.configure(**{"rehearse-start": None})
    s.rehearse().expect(1, err="how to start a copy", hint="rehearse-start")
    s.configure(**{"rehearse-start": "/bin/true"})
    s.rehearse().expect(1, err="no {dir}")


def rehearse__ended_by_a_signal_or_killed_is_cleared():
    s = SHOP
    slow = s.make_release("slow", migrate_delay_ms=400)
    template = "update pg_database set datistemplate = {} where datname like 'shop_nopsnap_%'"  # such a one can't be dropped
    # As with runuser: who is started by nopsnap is not the shop, and the shop leads a session of its own.
    s.configure(**{"rehearse-start": "setsid --fork --wait " + s.start_command()})
    for number, stuck in ((signal.SIGTERM, False), (signal.SIGTERM, s.server.name == "postgresql"), (signal.SIGKILL, False)):
        if os.path.exists(s.told):
            os.unlink(s.told)
        child = s.popen("rehearse", "shop", slow)
        wait_until(lambda: os.path.exists(s.told) and s.found_whole(), "the start of the copy")
        time.sleep(0.3)
        if stuck:
            s.server.sql(template.format("true"), "postgres")
        child.send_signal(number)
        _, err = child.communicate(timeout=60)
        if number == signal.SIGTERM:
            same(child.returncode, 128 + signal.SIGTERM)
        if stuck:
            check("warning: removing the copy: " in err and "the next rehearsal of this shop tries it again" in err, "what stays is told:", err)
            check(s.beside()[1], "a database that can't be dropped stays")
            s.server.sql(template.format("false"), "postgres")
        elif number == signal.SIGTERM:
            same(s.beside(), NOTHING, "left by a signal")
        else:
            check(s.beside() != NOTHING, "a kill leaves what the next one clears")
            tree = os.path.join(os.path.dirname(s.site), s.beside()[0][0], "tree")
            if may_set_apart():
                wait_until(lambda: not at_work_in(tree), "the end of the copy with nopsnap")
            left = subprocess.Popen(["sleep", "600"], cwd=tree, start_new_session=True)
    s.rehearse().expect(0)
    same(s.beside(), NOTHING, "left")
    same(left.wait(5), -signal.SIGKILL, "who was in the tree")
    same(at_work_in(tree), [], "processes")
    same(s.get("/").status, 200)


def at_work_in(tree):
    """Who has it, or what was it, as the working directory."""
    there = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/cwd").startswith(tree):
                there.append(pid)
        except OSError:
            pass
    return there


def found_whole(self):
    try:
        return bool(self.found())
    except ValueError:
        return False


Rehearsed.found_whole = found_whole


def main():
    global SHOP
    engine, part = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
    missing = standin_bench.missing(engine)
    if missing or os.geteuid() != 0:
        print("skipped:", missing or "who is not root can't see that nobody is in the tree")
        sys.exit(77)
    with Rehearsed(engine, FROM, files=120) as SHOP:
        upgrade_test.SHOP = SHOP
        SHOP.prepare()
        for test in [f for name, f in globals().items() if name.startswith("rehearse__") and part in name]:
            since = time.monotonic()
            SHOP.begin()
            test()
            print(f"ok    {test.__name__} ({time.monotonic() - since:.1f} s)", flush=True)


if __name__ == "__main__":
    main()
