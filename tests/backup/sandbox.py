#!/usr/bin/env python3
"""Runs a command as systemd would by what a unit says, as far as that goes without systemd.

    unshare --mount --propagation private sandbox.py UNIT COMMAND...

ProtectSystem=strict with ReadWritePaths=, PrivateDevices= as an empty /dev/shm, NoNewPrivileges=, MemoryDenyWriteExecute= and UMask= are done with the
same calls of the kernel that systemd uses. /var/tmp is private; /tmp is not, since the shops of the tests are there: it is read-only but for what
the unit names below it, which is stricter than the unit. SystemCallFilter= and RestrictAddressFamilies= are not done: see allowed_calls().
"""
import ctypes
import os
import subprocess
import sys

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_NOATIME, MS_RELATIME = 1, 2, 4, 8, 32, 4096, 16384, 1024, 1 << 21
PR_SET_NO_NEW_PRIVS, PR_SET_MDWE = 38, 65
libc = ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind, flags):
    if libc.mount(source.encode(), target.encode(), kind.encode() if kind else None, flags, None):
        raise OSError(ctypes.get_errno(), f"mount of {target}")


def mounts():
    """Every mount point with the flags that it has."""
    words = {"nosuid": MS_NOSUID, "nodev": MS_NODEV, "noexec": MS_NOEXEC, "noatime": MS_NOATIME, "relatime": MS_RELATIME}
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        for line in f:
            fields = line.split()
            yield fields[4].encode().decode("unicode_escape"), sum(words.get(w, 0) for w in fields[5].split(","))


def is_below(path, tops):
    return any(path == top or path.startswith(top.rstrip("/") + "/") for top in tops)


def read_only_but(paths):
    for path in sorted(paths):
        mount(path, path, None, MS_BIND | MS_REC)
    for point, flags in list(mounts()):
        if not is_below(point, ["/proc", "/sys", "/dev", *paths]):
            mount("none", point, None, MS_REMOUNT | MS_BIND | MS_RDONLY | flags)
    mount("tmpfs", "/var/tmp", "tmpfs", 0)


def writable(unit):
    paths = []
    for line in unit.splitlines():
        if line.startswith('ReadWritePaths="'):
            path = line.split('"')[1].replace("%%", "%")
            if not path.startswith("-") or os.path.exists(path[1:]):
                paths.append(path.lstrip("-"))
    return paths


def allowed_calls():
    """The names that SystemCallFilter=@system-service lets through, by systemd's own list."""
    def names(group):
        said = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True).stdout
        for word in said.split("\n")[1:]:
            word = word.strip()
            if word.startswith("@"):
                yield from names(word)
            elif word and not word.startswith("#"):
                yield word
    return set(names("@system-service"))


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        text = file.read()
    assert "ProtectSystem=strict" in text and "NoNewPrivileges=true" in text and "MemoryDenyWriteExecute=true" in text, text
    read_only_but(writable(text))
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(PR_SET_MDWE, 1, 0, 0, 0)  # from Linux 6.3 on; systemd has a filter for it
    os.umask(0o077)
    os.environ["TMPDIR"] = "/var/tmp"
    os.execvp(sys.argv[2], sys.argv[2:])
