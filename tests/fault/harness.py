"""A small shop on a real database server, with a state "old" (wrecked) and a state "new" (its snapshot), for fault tests.

    with Shop("postgresql", program, folder) as shop:             in_place=True: its login may make no other database
                                                                  upgrade=True: "new" is that shop, wrecked as it is, upgraded to a release
        shop.reset()                                  the wrecked shop, and the catalogue with the good snapshot
        code = shop.run("rollback", ..., fault="nth=17;errno=EIO")
        shop.state()                                  "old", "new", or what differs from both

Files and database are compared together (P1): a digest of the tree, what snapshots leave out apart, and one of every
table, sequence and of what belongs to the database itself.
"""
import hashlib
import http.server
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from sqlserver_shop import SqlServer  # noqa: E402

FIXTURE = os.path.join(HERE, "..", "fixture")
sys.path.insert(0, FIXTURE)
import scratch  # noqa: E402,F401
import standin_units  # noqa: E402

LEFT_OUT = ("logs", "Logs", "wwwroot/images/thumbs", "wwwroot/bundles", "wwwroot/sitemaps", "App_Data/TempUploads",
            "wwwroot/db_backups", "Plugins/bin")


def tree_digest(root):
    """One line a path; a missing tree has none."""
    lines = []
    for folder, folders, files in os.walk(os.fsencode(root)):
        folders.sort()
        rel = os.path.relpath(folder, os.fsencode(root))
        for name in sorted(files) + sorted(f for f in folders if os.path.islink(os.path.join(folder, f))) + [b"."]:
            path = os.path.normpath(os.path.join(folder, name))
            shown = os.path.relpath(path, os.fsencode(root))
            text = os.fsdecode(shown)
            if any(text == p or text.startswith(p + "/") for p in LEFT_OUT) and name != b"placeholder.txt":
                continue
            st = os.lstat(path)
            if stat.S_ISSOCK(st.st_mode):
                continue
            content = ""
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as f:
                    content = hashlib.blake2b(f.read(), digest_size=12).hexdigest()
            elif stat.S_ISLNK(st.st_mode):
                content = os.fsdecode(os.readlink(path))
            # A folder's time is not compared where a left-out child moved in or out of it.
            moved = stat.S_ISDIR(st.st_mode) and (any(text == os.path.dirname(p) or text == p for p in LEFT_OUT) or text == ".")
            lines.append((text, oct(st.st_mode), st.st_uid, st.st_gid, 0 if moved else st.st_mtime_ns,
                          st.st_size if stat.S_ISREG(st.st_mode) else 0, content))
        del rel
    return sorted(lines)


class Postgres:
    name = "postgresql"

    def __init__(self, folder, in_place=False):
        self.dir = folder
        self.in_place = in_place

    def start(self):
        subprocess.run([os.path.join(FIXTURE, "postgres.sh"), "start", self.dir], check=True, stdout=subprocess.DEVNULL)

    def stop(self, *how):
        subprocess.run([os.path.join(FIXTURE, "postgres.sh"), "stop", self.dir, *how], check=False, stdout=subprocess.DEVNULL)

    def crash(self):
        """As if the machine went: no session ends in order, and the next start recovers from the log."""
        self.stop("immediate")

    def make_shop(self):
        out = subprocess.run([os.path.join(FIXTURE, "postgres.sh"), "shop", self.dir, "shop"], check=True, capture_output=True, text=True)
        self.sql('comment on database shop is \'the shop\'; alter database shop set work_mem = \'5MB\'; alter database shop connection limit 40')
        if self.in_place:
            self.sql("alter role shop nocreatedb", "postgres")
        return out.stdout.strip()

    def sql(self, text, database="shop", script=False):
        """A script may have psql's own commands, and each of its statements is a transaction."""
        out = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-h", self.dir, "-U", "nop", "-d", database, "-v", "ON_ERROR_STOP=1", *(["-f", "-"] if script else ["-c", text])],
                             input=text if script else None, capture_output=True, text=True)
        if out.returncode:
            raise RuntimeError(out.stderr)
        return out.stdout

    def wreck(self):
        self.sql('delete from "OrderNote"; insert into "Customer" select * from "Customer" where false; '
                 'update "Product" set "Name" = \'broken\'; drop table "Log" cascade; '
                 'create table "Half" (id int); insert into "Half" values (1); alter table "Half" owner to shop')

    def freeze(self):
        """Keep the wrecked database as a template to start each case from."""
        self.sql("drop database if exists frozen", "postgres")
        self.sql("create database frozen template shop", "postgres")

    def migration(self, file):
        """A command that does once what a first start does."""
        with open(file, "w", encoding="utf-8") as f:
            f.write('create table if not exists "Migrated" (id int); alter table "Migrated" owner to shop; insert into "MigrationVersionInfo" '
                    "values (638000000000000000, '2026-01-01', 'SchemaMigration for 4.70.0') on conflict do nothing;")
        return f"psql -X -q -h {self.dir} -U nop -d shop -f {file} 2>/dev/null"

    def others(self):
        return [d for d in self.sql("select datname from pg_database", "postgres").split()
                if d not in ("postgres", "template0", "template1", "frozen", "shop")]

    def thaw(self):
        for d in self.others() + ["shop"]:
            self.sql(f'drop database if exists "{d}" with (force)', "postgres")
        self.sql("create database shop template frozen owner shop", "postgres")
        self.sql("comment on database shop is 'the shop'; alter database shop set work_mem = '5MB'; alter database shop connection limit 40")

    def digest(self):
        try:
            own = self.sql("select r.rolname, datallowconn, datconnlimit, (select string_agg(a::text, ',' order by a::text) from unnest(coalesce(datacl, acldefault('d', datdba))) a), coalesce(shobj_description(d.oid, 'pg_database'), ''), "
                           "coalesce((select setconfig::text from pg_db_role_setting where setdatabase = d.oid and setrole = 0), '') "
                           "from pg_database d join pg_roles r on r.oid = datdba where datname = 'shop'", "postgres")
        except RuntimeError as e:
            return [("database", str(e))]
        if not own:
            return [("database", "gone")]
        lines = [("database", own.strip())]
        # One session for all of it: psql runs the query that the first one makes.
        found = self.sql("select string_agg(format($q$select %L, count(*)::text, coalesce(md5(string_agg(md5(x::text), '' order by md5(x::text))), '') from %s x$q$, t, t), ' union all ' order by t) "
                         "from (select quote_ident(schemaname) || '.' || quote_ident(tablename) t from pg_tables where schemaname not in ('pg_catalog', 'information_schema')) n \\gexec\n"
                         "select 'sequence ' || concat_ws('|', schemaname, sequencename, last_value) from pg_sequences order by schemaname, sequencename;\n"
                         "select 'constraint ' || conname || '|' || pg_get_constraintdef(oid) from pg_constraint where connamespace = 'public'::regnamespace order by conname, 1;\n", script=True)
        return lines + [(row,) if row.startswith(("sequence ", "constraint ")) else tuple(row.split("|")) for row in found.split("\n") if row]

    def set_picture_path(self, path):
        self.sql(f"insert into \"Setting\" (\"Name\", \"Value\", \"StoreId\") values ('mediasettings.picturepath', '{path}', 0)")


class MariaDB:
    name = "mysql"

    def __init__(self, folder, in_place=False):
        self.dir = folder
        self.in_place = in_place
        self.socket = os.path.join(folder, "sock")

    def start(self):
        os.makedirs(self.dir, exist_ok=True)
        said = os.path.join(self.dir, "started")  # not a pipe: the server would hold it open
        with open(said, "w", encoding="utf-8") as f:
            subprocess.run([os.path.join(FIXTURE, "mariadb.sh"), "start", self.dir], check=True, stdout=f, stderr=f, stdin=subprocess.DEVNULL)
        with open(said, encoding="utf-8") as f:
            self.socket = f.read().strip().splitlines()[-1]

    def stop(self):
        subprocess.run([os.path.join(FIXTURE, "mariadb.sh"), "stop", self.dir], check=False, stdout=subprocess.DEVNULL)

    def crash(self):
        """As if the machine went: no session ends in order, and the next start recovers from the log."""
        with open(os.path.join(self.dir, "pid"), encoding="utf-8") as f:
            pid = int(f.read())
        os.kill(pid, signal.SIGKILL)
        standin_units.wait_until(lambda: not standin_units.alive(pid), "the server's end")
        os.unlink(os.path.join(self.dir, "pid"))

    def sql(self, text, database=None):
        argv = ["mariadb", "--no-defaults", "-S", self.socket, "-u", "root", "-N", "-B", "--default-character-set=utf8mb4"]
        out = subprocess.run(argv + ([database] if database else []), input=text, capture_output=True, text=True)
        if out.returncode:
            raise RuntimeError(out.stderr)
        return out.stdout

    def make_shop(self):
        self.sql("create database shop character set utf8mb4; create user shop@localhost identified by 'secret of shop'; "
                 f"grant all on `{'shop' if self.in_place else 'shop%'}`.* to shop@localhost; grant process, reload, super on *.* to shop@localhost")
        with open(os.path.join(FIXTURE, "shop_mysql.sql"), encoding="utf-8") as f:
            self.sql(f.read(), "shop")
        return f"Server={self.socket};Database=shop;User ID=shop;Password=secret of shop;Allow User Variables=True"

    def wreck(self):
        self.sql("set foreign_key_checks=0; delete from `OrderNote`; update `Product` set `Name` = 'broken'; drop table `Log`; "
                 "create table `Half` (id int); insert into `Half` values (1)", "shop")

    def dump(self, name):
        return subprocess.run(["mariadb-dump", "--no-defaults", "-S", self.socket, "-u", "root", "--routines", "--triggers", "--events", "--skip-dump-date",
                               "--skip-comments", "--hex-blob", "--order-by-primary", "--ignore-table=" + name + ".nopsnap_marker", name],
                              check=True, capture_output=True, text=True, errors="surrogateescape").stdout

    def freeze(self):
        self.frozen = self.dump("shop")

    def migration(self, file):
        with open(file, "w", encoding="utf-8") as f:
            f.write("create table if not exists Migrated (id int); insert ignore into MigrationVersionInfo "
                    "values (638000000000000000, '2026-01-01', 'SchemaMigration for 4.70.0');")
        return f"mariadb --no-defaults -S {self.socket} -u root shop <{file}"

    def others(self):
        return [d for d in self.sql("show databases").split() if d not in ("information_schema", "mysql", "performance_schema", "sys", "shop")]

    def thaw(self):
        for d in self.others() + ["shop"]:
            self.sql(f"drop database if exists `{d}`")
        self.sql("create database shop character set utf8mb4")
        subprocess.run(["mariadb", "--no-defaults", "-S", self.socket, "-u", "root", "shop"], input=self.frozen, check=True, text=True,
                       errors="surrogateescape")

    def digest(self):
        try:
            return [("dump", line) for line in self.dump("shop").split("\n") if line and "AUTO_INCREMENT=" not in line.split("ENGINE")[0]]
        except subprocess.CalledProcessError as e:
            return [("database", e.stderr)]

    def set_picture_path(self, path):
        self.sql(f"insert into `Setting` (`Name`, `Value`, `StoreId`) values ('mediasettings.picturepath', '{path}', 0)", "shop")


def missing(engine):
    """What is not installed, or None."""
    import glob
    if engine == "sqlserver":
        return None if shutil.which("tsql") else "no tsql (package freetds-bin)"
    if engine == "postgresql":
        found = glob.glob("/usr/lib/postgresql/*/bin/postgres")
        return None if found and shutil.which("psql") else "no PostgreSQL server (package postgresql)"
    return None if shutil.which("mariadbd") and shutil.which("mariadb") else "no MariaDB server (package mariadb-server)"


ENGINES = {"postgresql": Postgres, "mysql": MariaDB, "sqlserver": SqlServer}


class Shop:
    def __init__(self, engine, program, folder, faultlib=None, files=60, link=False, pictures=None, in_place=False, upgrade=False, via=False):
        self.program = program
        self.folder = folder
        self.faultlib = faultlib
        self.files = files
        self.server = ENGINES[engine](os.path.join(folder, "db"), in_place)
        self.site = os.path.join(folder, "www", "shop")
        self.catalog = os.path.join(folder, "catalog")
        self.link = link
        self.pictures = pictures  # their folder outside the site (4.90), or None
        self.target = None
        self.rebooted = False
        self.release = os.path.join(folder, "release") if upgrade else None
        self.middle = os.path.join(folder, "middle") if via else None  # a release on the way

    def __enter__(self):
        os.makedirs(os.path.dirname(self.site))
        os.chmod(self.folder, 0o755)
        self.server.start()
        try:
            self.make()
        except BaseException:
            self.server.stop()
            raise
        return self

    def __exit__(self, *_):
        self.server.stop()

    def make(self):
        connection = os.path.join(self.folder, "connection")
        with open(connection, "w", encoding="utf-8") as f:
            f.write(self.server.make_shop())
        elsewhere = ["--version", "4.90", "--picture-path", self.pictures] if self.pictures else []
        subprocess.run([sys.executable, os.path.join(FIXTURE, "make_site.py"), self.site, "--files", str(self.files), "--weight", "0.02",
                        "--provider", self.server.name, "--connection", connection, *elsewhere], check=True, stdout=subprocess.DEVNULL)
        if self.pictures:
            self.server.set_picture_path(self.pictures)
        with open(os.path.join(self.folder, "config"), "w", encoding="utf-8") as f:
            f.write(f"[nopsnap]\ncatalog = {self.catalog}\n[shop]\npath = {self.site}\nstop = true\nstart = true\n")
        os.chmod(os.path.join(self.folder, "config"), 0o600)
        self.must("init")
        self.new = self.digest()
        self.must("snapshot", "shop")
        self.target = self.list()[0]
        self.wreck_files()
        self.server.wreck()
        self.old = self.digest()
        self.server.freeze()
        shutil.copytree(self.site, self.site + ".wrecked", symlinks=True)
        if self.pictures:
            subprocess.run(["cp", "-a", self.pictures, os.path.join(self.folder, "pictures.wrecked")], check=True)
        subprocess.run(["cp", "-a", self.catalog, self.catalog + ".good"], check=True)
        if self.release:
            self.make_release()
            self.must(*self.upgrade_argv())
            self.new = self.digest()

    def upgrade_argv(self):
        return ("upgrade", "shop", self.release, "--yes", *(("--via", self.middle) if self.middle else ()))

    def make_release(self):
        """A later version, whose start migrates the database as the first start of nopCommerce does."""
        for tree, patch in ((self.release, "3"), (self.middle, "1")):
            if not tree:
                continue
            subprocess.run([sys.executable, os.path.join(FIXTURE, "make_site.py"), tree, "--version", "4.70", "--patch", patch, "--files", str(self.files), "--weight",
                            "0.02", "--pictures", "0", "--empty-settings"], check=True, stdout=subprocess.DEVNULL)
            for name, text in (("Nop.Web.dll", "the program"), ("migrates", "at its first start")):
                with open(os.path.join(tree, name), "w", encoding="utf-8") as f:
                    f.write(text)
        start = os.path.join(self.folder, "start")
        with open(start, "w", encoding="utf-8") as f:
            f.write(f"#!/bin/sh\n[ ! -e {self.site}/migrates ] || exec {self.server.migration(os.path.join(self.folder, 'migration.sql'))}\n")
        os.chmod(start, 0o755)
        with open(os.path.join(self.folder, "config"), "w", encoding="utf-8") as f:
            f.write(f"[nopsnap]\ncatalog = {self.catalog}\n[shop]\npath = {self.site}\nstop = true\nstart = {start}\nurl = {self.answers()}\n")

    def answers(self):
        """A server that answers everything, for whoever asks whether the shop is well."""
        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(b"<html><body>the shop</body></html>")

            def log_message(self, *_):
                pass
        self.web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.web.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.web.server_port}/"

    def wreck_files(self):
        with open(os.path.join(self.site, "App_Data", "plugins.json"), "w", encoding="utf-8") as f:
            f.write("{}")
        shutil.rmtree(os.path.join(self.site, "Plugins"))
        with open(os.path.join(self.site, "new.txt"), "w", encoding="utf-8") as f:
            f.write("came after the snapshot")
        if self.pictures:
            os.unlink(os.path.join(self.pictures, "0000001_0.jpeg"))
            with open(os.path.join(self.pictures, "9000001_0.jpeg"), "w", encoding="utf-8") as f:
                f.write("uploaded after the snapshot")

    def is_upgraded(self):
        return self.release and os.path.exists(os.path.join(self.site, "migrates"))

    def digest(self):
        files = tree_digest(self.site)
        if self.is_upgraded():  # a folder of the new tree is as old as its last entry, settings as their conversion
            files = [line[:4] + (0,) + line[5:] if line[1].startswith("0o4") or re.match("App_Data/[^/]*json$", line[0]) else line for line in files]
        return (files + (tree_digest(self.pictures) if self.pictures else []), self.server.digest())

    def list(self):
        import json
        out = self.must("--json", "list")
        return [json.loads(line)["id"] for line in out.splitlines() if '"row"' in line]

    def reset(self):
        self.rebooted = False
        parent = os.path.dirname(self.site)
        for name in os.listdir(parent):
            if name != "shop.wrecked":
                shutil.rmtree(os.path.join(parent, name))
        shutil.rmtree(self.catalog, ignore_errors=True)
        if self.pictures:
            shutil.rmtree(os.path.dirname(self.pictures))
            os.mkdir(os.path.dirname(self.pictures))
            subprocess.run(["cp", "-a", os.path.join(self.folder, "pictures.wrecked"), self.pictures], check=True)
        subprocess.run(["cp", "-a", self.site + ".wrecked", self.site], check=True)
        subprocess.run(["cp", "-a", self.catalog + ".good", self.catalog], check=True)
        self.server.thaw()

    def strike(self):
        """Kill what runs for this shop, its server apart: what a killed nopsnap left, and whatever it had started."""
        mine = os.fsencode(self.folder)
        struck = []
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    words = f.read().split(b"\0")
            except OSError:
                continue
            if os.path.basename(words[0]) not in (b"postgres", b"mariadbd") and any(mine in w for w in words):
                standin_units.kill(pid, signal.SIGKILL)
                struck.append(pid)
        standin_units.wait_until(lambda: not any(standin_units.alive(pid) for pid in struck), "the end of every process")

    def reboot(self):
        """The machine goes and comes back: no process is left, the server recovers, then the shop's unit starts if the fence lets it."""
        self.strike()
        self.server.crash()
        self.server.start()
        self.rebooted = True
        fence = os.path.join(os.path.dirname(self.site), ".nopsnap-" + os.path.basename(self.site), "fence")
        start = os.path.join(self.folder, "start")
        if os.path.exists(start) and not os.path.exists(fence):
            subprocess.run([start], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def environment(self, fault):
        env = {k: v for k, v in os.environ.items() if k not in ("LD_PRELOAD", "NOPSNAP_FAULT")}
        if fault:
            env["LD_PRELOAD"] = self.faultlib
            env["NOPSNAP_FAULT"] = fault
        return env

    def run(self, *argv, fault=None, kill_after=None, timeout=120):
        """Exit status (negative for a signal); the words are in self.said."""
        child = subprocess.Popen([self.program, "--config", os.path.join(self.folder, "config"), *argv], env=self.environment(fault),
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if kill_after is not None:
            time.sleep(kill_after)
            child.send_signal(signal.SIGKILL)
        try:
            out, _ = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            child.kill()
            out, _ = child.communicate()
            self.said = out.decode(errors="replace") + "\n(timed out)"
            return 124
        self.said = out.decode(errors="replace")
        return child.returncode

    def must(self, *argv):
        code = self.run(*argv)
        if code not in (0, 3):
            raise RuntimeError(f"{argv} ended with {code}: {self.said}")
        return self.said

    def state(self):
        now = self.digest()
        for word, state in (("old", self.old), ("new", self.new)):
            if now == state:
                return word
        return "mixture: " + "; ".join(self.explain(now, word, state) for word, state in (("old", self.old), ("new", self.new)))

    @staticmethod
    def explain(now, word, state):
        parts = []
        for what, a, b in (("files", now[0], state[0]), ("database", now[1], state[1])):
            extra = [x for x in a if x not in b][:3]
            lacks = [x for x in b if x not in a][:3]
            if extra or lacks:
                parts.append(f"{what} has {extra} lacks {lacks}")
        return f"against {word}: " + (" and ".join(parts) or "order differs")

    def leftovers(self):
        """Databases beside, folders of a transaction: nothing may be left once recover and one more writing command ran."""
        left = [d for d in self.server.others() if "nopsnap" in d]
        for folder, folders, files in [f for top in [self.site, self.pictures] if top for f in os.walk(os.path.dirname(top))]:
            if os.path.basename(folder).startswith(".nopsnap-"):
                left += [os.path.join(folder, n) for n in folders + files if n != "lock"]
        return left
