"""
BACKUP and RESTORE of the model: the file is real, lies in a folder of the server's, and holds the database. Only what can't be written down
(compiled computed columns) stays behind in memory, under a number.
"""
import hashlib
import io
import json
import os
import pickle
import types

from tds_types import BadValue, Column, Type
from tsql_objects import Database, File

MAGIC = b"MODEL BACKUP\n"
MAJOR = 15
FUNCTIONS = []


class Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        if not isinstance(obj, types.FunctionType):
            return None
        FUNCTIONS.append(obj)
        return len(FUNCTIONS) - 1


class Unpickler(pickle.Unpickler):
    def persistent_load(self, pid):
        return FUNCTIONS[pid]


def paths(d):
    """Logical name: (type, physical name)."""
    return {f.name: (f.kind, f.path) for f in d.files}


class Native:
    def _real(self, device, what):
        """Where a device of the server's really lies: it writes and reads only in the folders that it was given."""
        for server, real in self.model.files:
            if device.startswith(server.rstrip("/") + "/") and "/" not in device[len(server.rstrip("/")) + 1:]:
                return os.path.join(real, device[len(server.rstrip("/")) + 1:])
        self._broken(what, 3201, f"Cannot open backup device '{device}'. Operating system error 5(Access is denied.).")

    def _broken(self, what, number, text):
        self.message(number, 16, text)
        raise BadValue(3013, f"{what} is terminating abnormally.")

    def _half(self, what):
        """The fault "half": the statement is cut short in the midst of its work."""
        fault = self.session.state.half
        self.session.state.half = None
        if fault.get("wait"):
            self.session.wire.flush()
            self.reply.pause(fault["wait"])
        if fault.get("kill"):
            self.model._end(self.session, fault)
        self._broken(what, fault.get("number", 3202), fault.get("text", "Write on the device failed: 112(There is not enough space on the disk.)"))

    def _percents(self):
        for n in (10, 50, 100):
            self.reply.info(f"{n} percent processed.", number=3211, flush=True)

    # ---- BACKUP ----

    def backup(self, name, disks, options):
        what = "BACKUP DATABASE"
        if self.session.transaction:
            raise BadValue(3021, "Cannot perform a backup or restore operation within a transaction.")
        db = self.model.database(name)
        if not self.model.has_right(self.session.login.user, name):
            self._broken(what, 262, f"BACKUP DATABASE permission denied in database '{name}'.")
        if db.snapshot_of or db.state != "ONLINE":
            self._broken(what, 3002, "Cannot BACKUP or RESTORE a database snapshot, nor one that is not online.")
        if "COPY_ONLY" not in options:
            db.differential_base = (db.differential_base or 0) + 1
        if len(disks) != 1:
            self._broken(what, 3231, "The model writes one device.")
        path = self._real(disks[0], what)
        if os.path.exists(path) and "INIT" not in options:
            self._broken(what, 3241, "The model appends to nothing.")
        state = io.BytesIO()
        Pickler(state).dump(db)
        header = {"database": db.name, "major": MAJOR, "copy_only": "COPY_ONLY" in options, "checksums": "CHECKSUM" in options,
                  "files": paths(db), "digest": hashlib.sha256(state.getvalue()).hexdigest()}
        whole = MAGIC + json.dumps(header).encode() + b"\n" + state.getvalue()
        try:
            with open(path, "wb") as f:
                f.write(whole[:len(whole) // 2])
                f.flush()
                if self.session.state.half:
                    self._half(what)
                f.write(whole[len(whole) // 2:])
        except OSError as e:
            self._broken(what, 3201, f"Cannot open backup device '{disks[0]}'. Operating system error {e.errno}({e.strerror}).")
        if "STATS" in options:
            self._percents()
        self.reply.info(f"BACKUP DATABASE successfully processed {len(whole) // 8192 + 1} pages.", number=3014)

    # ---- RESTORE ----

    def _read(self, disks, what):
        """Header and state of a backup, checked."""
        path = self._real(disks[0], what)
        try:
            with open(path, "rb") as f:
                data = f.read()
        except OSError as e:
            self._broken(what, 3201, f"Cannot open backup device '{disks[0]}'. Operating system error {e.errno}({e.strerror}).")
        if not data.startswith(MAGIC):
            self._broken(what, 3241, f"The media family on device '{disks[0]}' is incorrectly formed. SQL Server cannot process this media family.")
        line, _, state = data[len(MAGIC):].partition(b"\n")
        header = json.loads(line)
        if hashlib.sha256(state).hexdigest() != header["digest"]:
            self._broken(what, 3189, "Damage to the backup set was detected.")
        return {**header, **(self.session.state.header or {})}, state

    def restore_header(self, disks, options):
        h, _ = self._read(disks, "RESTORE HEADERONLY")
        spec = (("BackupName", Type("nvarchar", 256), None), ("BackupType", Type("smallint"), 1), ("Position", Type("smallint"), 1),
                ("DatabaseName", Type("nvarchar", 256), h["database"]), ("SoftwareVersionMajor", Type("int"), h["major"]),
                ("HasBackupChecksums", Type("bit"), int(h["checksums"])), ("IsDamaged", Type("bit"), 0), ("IsCopyOnly", Type("bit"), int(h["copy_only"])))
        self.replies.append(("rows", ([Column(n, t) for n, t, _ in spec], [tuple(v for _, _, v in spec)])))

    def restore_files(self, disks, options):
        h, _ = self._read(disks, "RESTORE FILELISTONLY")
        columns = [Column("LogicalName", Type("nvarchar", 256)), Column("PhysicalName", Type("nvarchar", 520)), Column("Type", Type("char", 1)),
                   Column("Size", Type("bigint"))]
        self.replies.append(("rows", (columns, [(logical, physical, kind, 8 << 20) for logical, (kind, physical) in h["files"].items()])))

    def restore_verify(self, disks, options):
        h, _ = self._read(disks, "RESTORE VERIFYONLY")
        if "CHECKSUM" in options and not h["checksums"]:
            self._broken("RESTORE VERIFYONLY", 3187, "RESTORE WITH CHECKSUM cannot be specified because the backup set does not contain checksum information.")
        self.reply.info("The backup set on file 1 is valid.", number=3262)

    def restore_database(self, name, disks, options, moves):
        what, model = "RESTORE DATABASE", self.model
        if self.session.transaction:
            raise BadValue(3021, "Cannot perform a backup or restore operation within a transaction.")
        header, state = self._read(disks, what)
        if header["major"] > MAJOR:
            self._broken(what, 3169, "The database was backed up on a server running a newer version.")
        there = model.find_database(name)
        if there and model.snapshots_of(there):
            self._broken(what, 3137, f"Database '{name}' cannot be restored while a database snapshot refers to it.")
        if not there and not model.has_right(self.session.login.user, None):
            self._broken(what, 262, "CREATE DATABASE permission denied in database 'master'.")
        if there and "REPLACE" not in options and there.state != "RESTORING":
            self._broken(what, 3154, f"The backup set holds a backup of a database other than the existing '{name}' database.")
        if there and model.users_of(there):
            self._broken(what, 3101, "Exclusive access could not be obtained because the database is in use.")
        moved = dict(moves)
        if set(moved) - set(header["files"]):
            self._broken(what, 3234, f"Logical file '{(set(moved) - set(header['files'])).pop()}' is not part of database '{header['database']}'.")
        placed = {logical: (kind, moved.get(logical, physical)) for logical, (kind, physical) in header["files"].items()}
        taken = {p for d in model.databases.values() if d is not there for _, p in paths(d).values()}
        for _, physical in placed.values():
            if physical in taken:
                self._broken(what, 1834, f"The file '{physical}' cannot be overwritten. It is being used by another database.")
        number = there.number if there else model.next_database()
        half = Database(name, number)
        half.state, half.files = "RESTORING", [File(logical, kind, physical, 1024, 8192) for logical, (kind, physical) in placed.items()]
        model.databases[name.lower()] = half
        if self.session.state.half:
            self._half(what)
        if "NORECOVERY" in options:
            return
        new = Unpickler(io.BytesIO(state)).load()
        new.name, new.number, new.made, new.snapshot_of = name, number, half.made, None
        for f in new.files:
            f.path = placed[f.name][1]
        model.databases[name.lower()] = new
        if "STATS" in options:
            self._percents()
        self.reply.info("RESTORE DATABASE successfully processed 1 pages.", number=3014)
