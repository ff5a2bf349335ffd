"""A catalogue with a made history, and nopsnap at a made moment."""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
from cli_support import PROGRAM, Bench, Failed, main, same  # noqa: E402,F401

NOW = 1790000000  # a moment of 2026
DAY = 86400
PLANT = os.environ.get("NOPSNAP_PLANT") or os.path.join(os.path.dirname(PROGRAM), "..", "tests", "backup", "backup_plant_history")


def systemctl_that_says(folder, *lines, ago=0):
    """PATH with a systemctl before systemd's: what it answers of a service whose process has ended so many seconds ago."""
    tools = os.path.join(folder, "told-by-systemctl")
    os.makedirs(tools, exist_ok=True)
    ended = int((time.clock_gettime(time.CLOCK_MONOTONIC) - ago) * 10**6)
    with open(os.open(os.path.join(tools, "systemctl"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o755), "w", encoding="utf-8") as f:
        f.write("#!/bin/sh\ncat <<'E'\n" + "\n".join((*lines, f"ExecMainExitTimestampMonotonic={ended}")) + "\nE\n")
    return tools + ":" + os.environ["PATH"]


class Planted(Bench):
    """path: what the shop's folder is called."""

    def __init__(self, snapshots=60, every=DAY, name="shop", config=""):
        super().__init__(files=5)
        self.snapshots, self.every, self.more, self.clock = snapshots, every, config, None
        self.site = os.path.join(self.folder, "www", name)

    def make_site(self, path):
        os.makedirs(path, exist_ok=True)
        self.at(0)
        if self.snapshots:
            subprocess.run([PLANT, self.catalog, os.path.realpath(path), str(NOW), str(self.snapshots), str(self.every)], check=True,
                           env=self.environment())
        else:
            self.run("init").expect(0)

    def write_config(self, text=None):
        text = text or (f"[nopsnap]\ncatalog = {self.catalog}\n[shop]\npath = {self.site}\nstop = true\nstart = true\n{self.more}")
        super().write_config(text.encode("utf-8", "replace").decode())  # a name of odd bytes can't be in a config

    def at(self, seconds):
        """From now on it is so many seconds after NOW."""
        self.clock = os.path.join(self.folder, "clock")
        with open(self.clock, "w", encoding="utf-8") as f:
            f.write(str((NOW + seconds) * 10**9))

    def environment(self):
        env = super().environment()
        if self.clock:
            env["NOPSNAP_CLOCK"] = self.clock
        return env
