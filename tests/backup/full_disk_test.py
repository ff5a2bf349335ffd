#!/usr/bin/env python3
"""A catalogue whose disk is full: it can be read, nothing ends by a signal, `status` says so, and forget and prune empty it."""
import os
import subprocess
import sys

from overview_support import Bench, Failed, main, same

INSIDE = "NOPSNAP_TEST_INSIDE"
KINDS = {"tmpfs": "mount -t tmpfs -o size=40m none {0}",
         "ext4": "truncate -s 40M {0}.img && mkfs.ext4 -q -m 0 -b 1024 {0}.img && mount -o loop {0}.img {0}"}  # blocks smaller than pages


class Full(Bench):
    """A catalogue on a disk of its own: forgotten are three snapshots, whose packs nobody needs but for one file in the first."""

    def __init__(self, kind):
        super().__init__(files=5)
        self.disk = os.path.join(self.folder, "disk")
        self.catalog = os.path.join(self.disk, "catalog")
        self.kind = kind

    def __enter__(self):
        super().__enter__()
        os.mkdir(self.disk)
        subprocess.run(["sh", "-c", KINDS[self.kind].format(self.disk)], check=True)
        self.run("init").expect(0)
        self.big("stays")
        for _ in range(4):
            self.big("changes")
            self.run("snapshot", "shop").expect(0)
        self.ids = [row["id"] for row in self.rows()]
        return self

    def __exit__(self, *what):
        subprocess.run(["umount", self.disk], check=False)
        super().__exit__(*what)

    def big(self, name):
        with open(os.path.join(self.site, name), "wb") as f:
            f.write(os.urandom(3000000))

    def fill(self, left):
        """Leaves about so many bytes."""
        path = os.path.join(self.disk, "fill")
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for size in (1 << 20, 1 << 14, 1 << 10):
            try:
                while True:
                    os.write(fd, b"x" * size)
                    os.fsync(fd)
            except OSError:
                pass
        os.ftruncate(fd, max(0, os.fstat(fd).st_size - left))
        os.fsync(fd)
        os.close(fd)

    def reads(self):
        same("rows", [row["id"] for row in self.rows()], self.ids)
        self.run("verify").expect(0)
        target = os.path.join(self.folder, "restored")
        self.run("restore", self.ids[0], "--target", target).expect(0)
        subprocess.run(["rm", "-r", target], check=True)
        self.run("status").expect(3, err=["the disk of the catalogue", "is full", "nopsnap prune"])


def read_and_emptied(kind):
    with Full(kind) as b:
        b.fill(512 << 10)
        b.run("status").expect(3, err=["the disk of the catalogue", "is nearly full", "nopsnap prune"])
        b.fill(0)
        b.reads()
        b.big("new")
        b.run("run", "shop").expect(1, err="No space left", hint="nopsnap prune")
        b.reads()
        b.run("forget", *b.ids[1:]).expect(0)
        freed = b.objects("prune")[-1]
        if freed["packs_removed"] < 3 or freed["packs_rewritten"] != 1 or freed["bytes_freed"] < 8500000:
            raise Failed(f"{freed}")
        del b.ids[1:]
        b.run("verify", "--read-data").expect(0)
        same("rows", [row["id"] for row in b.rows()], b.ids)
        b.run("run", "shop").expect(0)
        b.run("status").expect(0)


def read_without_reserve(kind):
    with Full(kind) as b:
        os.remove(os.path.join(b.catalog, "reserve"))
        for left in (0, 12 << 10, 28 << 10):
            b.fill(left)
            b.reads()
            b.run("run", "shop").expect(1, err=": No space left on device", hint="nopsnap prune")
            os.remove(os.path.join(b.disk, "fill"))


def emptied_where_copies_find_no_room(kind):
    """What lies in a pack that is needed stays, and so does what nobody could be sure of; the rest goes."""
    with Full(kind) as b:
        b.run("forget", b.ids[3], b.ids[2]).expect(0)
        b.fill(0)
        os.remove(os.path.join(b.catalog, "reserve"))
        freed = b.objects("prune", status=0)[-1]
        same("removed", (freed["packs_rewritten"], freed["packs_removed"] >= 2, freed["bytes_freed"] > 5500000), (1, True, True))


def disk__that_is_full_is_read_and_emptied():
    each(read_and_emptied)


def disk__without_reserve_is_read_all_the_same():
    each(read_without_reserve)


def prune__goes_on_where_copies_find_no_room():
    each(emptied_where_copies_find_no_room)


def each(test):
    for kind in KINDS:
        probe = subprocess.run(["sh", "-c", f"d=$(mktemp -d) && {KINDS[kind].format('$d')} && umount $d; s=$?; rm -rf $d $d.img; exit $s"], check=False, capture_output=True)
        if probe.returncode:
            print(f"      ({kind} can't be mounted here: skipped)")
        else:
            test(kind)


if __name__ == "__main__":
    if INSIDE not in os.environ:
        words = ["unshare", *([] if os.geteuid() == 0 else ["-Ur"]), "-m"]
        if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
            print("skip  no mounts of one's own here")
            sys.exit(0)
        os.execvpe("unshare", [*words, sys.executable, *sys.argv], {**os.environ, INSIDE: "1"})
    main([value for name, value in list(globals().items()) if "__" in name and not name.startswith("__")])
