#!/usr/bin/env python3
"""./dev installs on a shop's machine what building needs, and takes nothing away from it. apt and dpkg are stand-ins."""
import os
import pathlib
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SERVERS = {"mariadb-server", "postgresql-15"}

# Nothing is installed, and whatever is would take Oracle's server away.
APT = """#!/bin/sh
echo "$@" >>"$LOG"
case " $* " in
*" -s "*) echo "Inst mariadb-server"; echo "Remv mysql-community-server [8.0.36]" ;;
*" install "*) exit 100 ;;
esac
"""


def dev(folder, *arguments):
    log = folder / "log"
    log.write_text("")
    r = subprocess.run([SOURCE / "dev", *arguments], capture_output=True, text=True, timeout=60, check=False,
                       env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "LOG": str(log)})
    return r, [line.split() for line in log.read_text().splitlines()]


def refuses(folder, arguments, servers):
    r, calls = dev(folder, *arguments)
    assert r.returncode == 1 and "would remove: mysql-community-server" in r.stderr, r
    assert [c for c in calls if "install" in c and "-s" not in c] == [], calls
    wanted = set(calls[-1])
    assert {"gcc", "cmake", "libpq-dev"} <= wanted, wanted
    assert wanted & SERVERS == servers, (arguments, wanted)
    assert servers or not wanted & {"strace", "cron", "clang", "systemd"}, wanted


def main():
    with tempfile.TemporaryDirectory(prefix="nopsnap-dev-") as name:
        folder = pathlib.Path(name)
        for program, text in (("apt-get", APT), ("dpkg-query", "#!/bin/sh\nexit 1\n"), ("sudo", '#!/bin/sh\nexec "$@"\n')):
            (folder / program).write_text(text)
            (folder / program).chmod(0o755)
        for arguments in (["build"], ["setup"]):
            refuses(folder, arguments, set())
        for arguments in (["test"], ["demo"], ["torture"], ["bench"], ["setup", "test"]):
            refuses(folder, arguments, SERVERS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
