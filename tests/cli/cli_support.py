"""What the tests of the program share: a shop on a real server, runs of nopsnap, and checks that tell what they saw.

    with Bench("postgresql") as b:
        b.run("snapshot", b.site).expect(0, out="snapshot ")
"""
import os
import shutil
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURE = os.path.join(HERE, "..", "fixture")
sys.path.insert(0, os.path.join(HERE, "..", "fault"))
from harness import ENGINES, scratch, tree_digest  # noqa: E402

PROGRAM = os.environ.get("NOPSNAP_PROGRAM") or os.path.join(HERE, "..", "..", "build", "gcc", "cli", "nopsnap")
HURRY = os.environ.get("HURRY") or os.path.join(os.path.dirname(PROGRAM), "..", "tests", "fixture", "hurry.so")
PASSWORD = "secret of shop"


class Failed(Exception):
    pass


class Result:
    def __init__(self, argv, status, out, err):
        self.argv, self.status, self.out, self.err = argv, status, out, err

    def expect(self, status, out=None, err=None, hint=None, not_out=None):
        """Exit status, and words that stdout, stderr and the hint must hold."""
        if self.status != status:
            raise Failed(f"{self}\nexit status {self.status}, expected {status}")
        for words, stream, name in ((out, self.out, "stdout"), (err, self.err, "stderr")):
            for word in [words] if isinstance(words, str) else words or []:
                if word not in stream:
                    raise Failed(f"{self}\n{name} does not say: {word}")
        if not_out and not_out in self.out:
            raise Failed(f"{self}\nstdout says: {not_out}")
        if hint is not None:
            hints = [line for line in self.err.splitlines() if line.startswith("hint: ")]
            if not any(hint in line for line in hints):
                raise Failed(f"{self}\nno hint says: {hint}")
        return self

    def __str__(self):
        return f"$ {' '.join(self.argv)}\n{self.out}{self.err}"


class CommandLines(threading.Thread):
    """Reads the arguments of all that this test started, again and again: no password may ever be seen there (P10). Other tests that run
    meanwhile have the same password, and may show it."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seen, self.samples, self.ending = [], 0, False

    @staticmethod
    def parent(pid):
        with open(f"/proc/{pid}/stat", "rb") as f:
            return int(f.read().rpartition(b")")[2].split()[1])

    @classmethod
    def is_ours(cls, pid):
        while pid > 1 and pid != os.getpid():
            pid = cls.parent(pid)
        return pid > 1

    def run(self):
        while not self.ending:
            self.samples += 1
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as f:
                        line = f.read()
                    if PASSWORD.encode() in line and self.is_ours(int(pid)):
                        self.seen.append(line)
                except OSError:
                    continue

    def end(self):
        self.ending = True
        self.join()
        return self.seen


class Bench:
    clock_file = None

    def __init__(self, engine=None, files=80, folder=None):
        self.folder = folder or (scratch.folder("nc-") if engine else tempfile.mkdtemp(prefix="nc-", dir="/tmp"))
        os.chmod(self.folder, 0o755)
        self.site = os.path.join(folder, "shop") if folder else os.path.join(self.folder, "www", "shop")
        self.catalog = os.path.join(self.folder, "catalog")
        self.config = os.path.join(self.folder, "nopsnap.conf")
        self.said = ""
        self.files = files
        self.server = None
        if engine:
            self.server = ENGINES[engine](os.path.join(self.folder, "db"))

    def __enter__(self):
        try:
            os.makedirs(os.path.dirname(self.site), exist_ok=True)
            self.write_config()
            if self.server:
                self.server.start()
                self.connection = self.server.make_shop()
            self.make_site(self.site)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.server:
            self.server.stop()
        subprocess.run(["rm", "-rf", self.folder], check=False)

    def make_site(self, path):
        argv = [sys.executable, os.path.join(FIXTURE, "make_site.py"), path, "--files", str(self.files), "--weight", "0.02"]
        if self.server:
            # By a file, so that nothing but nopsnap could put it on a command line.
            file = os.path.join(self.folder, "connection")
            with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
                f.write(self.connection)
            argv += ["--provider", self.server.name, "--connection", file]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
        if not self.server:  # a folder of plain files: a shop is not saved whole without its database
            for name in ("App_Data", "Plugins"):
                shutil.rmtree(os.path.join(path, name))

    def write_config(self, text=None):
        """An ordinary user can't look at every process: the config names stop and start, so that it need not."""
        if text is None:
            text = f"[nopsnap]\ncatalog = {self.catalog}\n[shop]\npath = {self.site}\nstop = true\nstart = true\n"
        with open(os.open(self.config, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
            f.write(text)

    def hurried(self, env=None):
        """nopsnap waits for locks as if a minute were a second."""
        return {**(env or self.environment()), "LD_PRELOAD": HURRY}

    def environment(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("NOPSNAP", "PG", "XDG", "MYSQL"))}
        if self.clock_file:
            env["NOPSNAP_CLOCK"] = self.clock_file
        env.update(HOME=os.path.join(self.folder, "home"), COLUMNS="80", TZ="UTC")
        return env

    def clock(self, seconds):
        """What nopsnap takes for now, from here on."""
        self.clock_file = os.path.join(self.folder, "clock")
        with open(self.clock_file, "w", encoding="utf-8") as f:
            f.write(f"{seconds}000000000")

    def rows(self):
        return [o for o in self.objects("list") if o["type"] == "row"]

    def run(self, *argv, config=True, stdin=None, env=None, prefix=()):
        words = [*prefix, PROGRAM, *(["--config", self.config] if config else []), *argv]
        done = subprocess.run(words, env=env or self.environment(), input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
                              capture_output=True, timeout=120)
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        self.said += out + err
        return Result(["nopsnap", *argv], done.returncode, out, err)

    def objects(self, *argv, status=0, env=None):
        """Every line of stdout is one object."""
        import json
        result = self.run("--json", *argv, env=env).expect(status)
        return [json.loads(line) for line in result.out.splitlines()]

    def newest(self):
        return self.objects("list")[0]["id"]

    def state(self):
        return tree_digest(self.site), self.database_state()

    def database_state(self):
        # PostgreSQL writes the grants that every database has from the start as nothing at all: the same, said otherwise.
        return [(line[0], line[1].replace("|null|", "|{=Tc/shop,shop=CTc/shop}|")) + tuple(line[2:]) if line[0] == "database" else line
                for line in self.server.digest()] if self.server else []

    def keep(self):
        """Remember how everything is, so that begin() can start the next test from there."""
        self.server.freeze()
        subprocess.run(["cp", "-a", self.site, self.site + ".kept"], check=True)

    def begin(self):
        """The shop and its database as keep() saw them, no catalogue, no output."""
        parent = os.path.dirname(self.site)
        for name in os.listdir(parent):
            if name != "shop.kept":
                shutil.rmtree(os.path.join(parent, name))
        for name in os.listdir(self.folder):
            if name not in ("www", "db", "nopsnap.conf", "connection"):
                subprocess.run(["rm", "-rf", os.path.join(self.folder, name)], check=True)
        subprocess.run(["cp", "-a", self.site + ".kept", self.site], check=True)
        self.server.thaw()
        self.write_config()
        self.said = ""

    def files_state(self):
        return tree_digest(self.site)

    def remove_site(self):
        shutil.rmtree(self.site)

    def put(self, path, text):
        full = os.path.join(self.site, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as f:
            f.write(text)


def same(what, a, b):
    if a != b:
        lacks = [x for x in b if x not in a][:5] if isinstance(a, list) else b
        extra = [x for x in a if x not in b][:5] if isinstance(a, list) else a
        raise Failed(f"{what}: has {extra}, lacks {lacks}")


def main(tests):
    """Runs each test, names it, and fails with what the first failing one saw."""
    failed = 0
    for test in tests:
        try:
            test()
            print(f"ok    {test.__name__}", flush=True)
        except Failed as e:
            failed += 1
            print(f"FAIL  {test.__name__}\n{e}", flush=True)
    sys.exit(1 if failed else 0)
