"""Runs the endpoint and Debian's FreeTDS tools against it."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PASSWORD = "secret of sa"


class Failed(Exception):
    pass


def same(what, a, b):
    if a != b:
        raise Failed(f"{what}: is {a!r}, should be {b!r}")


class Endpoint:
    """with Endpoint(steps) or Endpoint(model=True): a running endpoint in a temporary folder."""

    def __init__(self, steps=None, model=False, clean=True, accounts=None, **options):
        self.folder = tempfile.mkdtemp(prefix="nopsnap-tds-")
        self.clean = clean
        self.ca = os.path.join(self.folder, "ca.pem")
        argv = [sys.executable, os.path.join(HERE, "server.py"), "--port", "0", "--port-file", self._path("port"), "--log",
                self._path("log"), "--ca-file", self.ca]
        if model:
            argv += ["--model", "--faults", self._path("faults")]
        else:
            with open(self._path("scenario"), "w", encoding="ascii") as f:
                json.dump(steps, f)
            argv += ["--scenario", self._path("scenario")]
        if accounts:
            with open(self._path("accounts"), "w", encoding="utf-8") as f:
                f.write("".join(f"{user}:{password}\n" for user, password in accounts.items()))
            argv += ["--accounts", self._path("accounts")]
        for name, value in options.items():
            for one in value if isinstance(value, list) else [value]:
                argv += ["--" + name.replace("_", "-"), str(one)]
        self.complaints = open(self._path("stderr"), "w+", encoding="utf-8")  # closed in __exit__
        self.process = subprocess.Popen(argv, stderr=self.complaints)
        until = time.monotonic() + 60
        while not os.path.exists(self._path("port")):
            if self.process.poll() is not None or time.monotonic() > until:
                raise Failed(f"the endpoint did not start: {self._words()}")
            time.sleep(0.02)
        with open(self._path("port"), encoding="ascii") as f:
            self.port = int(f.read())

    def _path(self, name):
        return os.path.join(self.folder, name)

    def _words(self):
        self.complaints.flush()
        with open(self._path("stderr"), encoding="utf-8") as f:
            return f.read()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.process.terminate()
        status = self.process.wait()
        words = self._words()
        self.complaints.close()
        shutil.rmtree(self.folder)
        if kind is None and self.clean and (status or words):
            raise Failed(f"the endpoint complains ({status}): {words}")
        self.status, self.words = status, words

    def log(self, event=None):
        with open(self._path("log"), encoding="ascii") as f:
            return [e for e in map(json.loads, f) if event in (None, e["event"])]

    def faults(self, **what):
        with open(self._path("faults.new"), "w", encoding="ascii") as f:
            json.dump(what, f)
        os.replace(self._path("faults.new"), self._path("faults"))

    def section(self, **settings):
        """A freetds.conf of one section "endpoint"; returns its environment."""
        path = self._path("freetds.conf")
        lines = {"host": "127.0.0.1", "port": self.port, "tds version": "7.4", "client charset": "UTF-8", **settings}
        with open(path, "w", encoding="ascii") as f:
            f.write("[endpoint]\n" + "".join(f"  {k} = {v}\n" for k, v in lines.items()))
        return {**os.environ, "FREETDSCONF": path, "LC_ALL": "C.UTF-8"}

    def tsql(self, *batches, user="sa", password=PASSWORD, database="shop", timeout=120, **settings):
        """Runs the batches in one session; (status, output, messages)."""
        text = "".join(b + "\ngo\n" for b in batches) + "exit\n"
        run = subprocess.run(["tsql", "-S", "endpoint", "-U", user, "-P", password, "-D", database, "-o", "q"], input=text,
                             env=self.section(**settings), capture_output=True, text=True, timeout=timeout, check=False)
        return run.returncode, run.stdout, run.stderr

    def freebcp(self, *argv, data=None, **settings):
        path = self._path("data")
        if data is not None:
            with open(path, "wb") as f:
                f.write(data)
        run = subprocess.run(["freebcp", argv[0], argv[1], path, "-S", "endpoint", "-U", "sa", "-P", PASSWORD, "-D", "shop", *argv[2:]],
                             env=self.section(**settings), capture_output=True, timeout=120, check=False)
        with open(path, "rb") as f:
            return run.returncode, f.read(), (run.stdout + run.stderr).decode(errors="replace")


def main(tests):
    failed = 0
    for test in tests:
        try:
            test()
            print(f"ok    {test.__name__}", flush=True)
        except Failed as e:
            failed += 1
            print(f"FAIL  {test.__name__}\n{e}", flush=True)
    sys.exit(1 if failed else 0)
