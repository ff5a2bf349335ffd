"""
The model: databases in memory behind the endpoint. It parses every batch itself, keeps what CREATE, ALTER and INSERT BULK bring, and answers
SELECT from it, the catalog views included. Batches run one after the other; a reader in a SNAPSHOT transaction sees the databases as they
were at its first look.
"""
import functools
import json
import os
import signal
import struct
import threading

import tds_bulk
from tds_types import DEFAULT_COLLATION, BadValue, Type, Variant
from tds_wire import Gone
from tsql_exec import Executor, State
from tsql_objects import Database


class Model:
    def __init__(self, databases, faults=None, files=(), admins=(), owners=(), snapshots=True, creators=()):
        self.databases, self.sessions, self.lock = {}, [], threading.RLock()
        self.faults_file, self.server = faults, None
        self.admins = {"sa", *map(str.lower, admins)}
        self.owners, self.creators = set(map(str.lower, [*owners, *creators])), set(map(str.lower, creators))
        self.numbers = 4
        self.sids = {"sa": b"\1"}
        self.snapshots = snapshots  # does the edition have database snapshots?
        self.files = [tuple(f.split("=", 1)) for f in files]  # folders: as the server names them, where they are
        for number, name in enumerate(("master", "tempdb", "model", "msdb"), 1):
            self.databases[name] = Database(name, number)
            self.databases[name].options["RECOVERY"] = "SIMPLE"
        for name in databases:
            name, _, collation = name.partition(":")
            self.databases[name.lower()] = Database(name, self.next_database(), collation or None)

    # ---- databases ----

    def next_database(self):
        self.numbers += 1
        return self.numbers

    def find_database(self, name):
        return self.databases.get(name.lower())

    def database(self, name):
        found = self.find_database(name)
        if not found:
            raise BadValue(911, f"Database '{name}' does not exist. Make sure that the name is entered correctly.")
        return found

    def replace(self, db, kept):
        kept.name = db.name
        self.databases[db.name.lower()] = kept

    def db_id(self, name):
        found = self.find_database(name) if name else None
        return found.number if found else None

    def db_name(self, number):
        return next((d.name for d in self.databases.values() if d.number == number), None)

    def users_of(self, db):
        return [s for s in self.sessions if s.database and s.database.lower() == db.name.lower() and not s.dead]

    def snapshots_of(self, db):
        return [d for d in self.databases.values() if d.snapshot_of == db.number]

    def kick(self, session):
        session.dead = True
        session.database = None
        try:
            session.wire.sock.shutdown(2)
        except OSError:
            pass

    def sid(self, login):
        """Of a login that there is; a login that is dropped and made again has another."""
        if login.lower() not in [a.lower() for a in self.server.accounts]:
            raise BadValue(15007, f"'{login}' is not a valid login or you do not have permission.")
        return self.sids.setdefault(login.lower(), struct.pack("<I12s", 0x51d00000 + len(self.sids), b"of the model"))

    def login_of(self, sid):
        return next((name for name in self.server.accounts if sid is not None and self.sids.get(name.lower()) == sid), None)

    def is_role(self, user, role):
        return 1 if user.lower() in self.admins or role.lower() == "public" else 0

    def has_right(self, user, name):
        """To something in a database; without a name, to something of the server's."""
        return 1 if user.lower() in self.admins or (name is None and user.lower() in self.creators) or (name is not None and user.lower() in self.owners) else 0

    def server_property(self, what):
        return {"engineedition": 3, "productversion": "15.0.4153.1", "productlevel": "RTM", "edition": "Developer Edition (64-bit)", "editionid": -2117995310,
                "servername": "ENDPOINT", "machinename": "ENDPOINT", "collation": DEFAULT_COLLATION, "instancedefaultdatapath": "/var/opt/mssql/data/",
                "instancedefaultlogpath": "/var/opt/mssql/data/", "instancedefaultbackuppath": self.files[0][0] + "/" if self.files else "/var/opt/mssql/data/", "isclustered": 0,
                "isfulltextinstalled": 0, "productmajorversion": "15", "isintegratedsecurityonly": 0}.get(what)

    def database_property(self, name, what):
        db = self.find_database(name or "")
        if not db:
            return None
        value = {"status": db.state, "useraccess": db.access, "collation": db.collation, "recovery": db.options["RECOVERY"],
                 "updateability": "READ_ONLY" if db.options["READ_ONLY"] else "READ_WRITE"}.get(what.lower())
        return None if value is None else Variant(Type("nvarchar", 256), value)

    @staticmethod
    def dependencies(db):
        """Pairs (who, on whom): the words of a module's text that name an object."""
        from tsql_catalog import MODULES
        from tsql_lex import NAME, WORD, tokens
        for o in db.of_kind(*MODULES):
            words = {t.text.lower() for t in tokens(o.definition) if t.kind in (NAME, WORD)}
            for other in db.objects.values():
                if other is not o and other.kind in MODULES + ("U", "SO", "SN") and other.name.lower() in words:
                    yield o.id, other.id

    # ---- as the server asks ----

    def open_database(self, session, name):
        with self.lock:
            db = self.find_database(name)
            if not db:
                return None
            return self.may_enter(session, db) or db.name

    def may_enter(self, session, db):
        """None, or the refusal (number, severity, text)."""
        if db.state == "RESTORING":  # of a snapshot it says the same: both are unavailable while the server goes back
            return 4060, 11, f'Cannot open database "{db.name}" requested by the login. The login failed.'
        if db.state == "SUSPECT":
            return 4060, 11, f'Cannot open database "{db.name}" requested by the login. The login failed.'
        if db.state != "ONLINE":
            return 942, 14, f"Database '{db.name}' cannot be opened because it is offline."
        if db.access == "SINGLE_USER" and [s for s in self.users_of(db) if s is not session]:
            return 924, 14, f"Database '{db.name}' is already open and can only have one user at a time."
        if db.access == "RESTRICTED_USER" and not self.is_role(session.login.user, "sysadmin"):
            return 4060, 11, f'Cannot open database "{db.name}" requested by the login. The login failed.'
        return None

    def opened(self, session):
        session.state = State()
        with self.lock:
            self.sessions.append(session)

    def closed(self, session):
        with self.lock:
            if session.transaction:
                Executor(self, session, None).undo()
            if session in self.sessions:
                self.sessions.remove(session)

    def reset(self, session):
        with self.lock:
            if session.transaction:
                Executor(self, session, None).undo()
            session.state = State()

    interrupted = staticmethod(lambda session: None)

    @staticmethod
    def unmet():
        return []

    def _faults(self, session, what, reply):
        """
        Faults on demand: a JSON object in the file, {"match": part of a statement, "skip": how many that match go by, "count": how often it is
        still met, and one of "error" with "severity" and "text", "drop", "reset", "wait", "kill" (the client's process), "drop_after_rows",
        "reset_at_packet", "drop_in_bulk", "header" (what a backup says of itself), "suspect" (the volume of the database snapshots is full)}. With "half" a BACKUP or RESTORE is cut short in its midst. With "done" a drop or a kill comes when the statement has done its work, before the client hears of it.
        """
        session.state.drop_after = None
        session.state.end_after = session.state.half = session.state.header = None
        if not self.faults_file or not os.path.exists(self.faults_file):
            return
        with self.lock:
            with open(self.faults_file, encoding="utf-8") as f:
                fault = json.load(f)
            if not fault or fault.get("match", "").lower() not in what.lower() or fault.get("count", 1) <= 0:
                return
            skipped = fault.get("skip", 0) > 0
            if skipped:
                fault["skip"] -= 1
            else:
                fault["count"] = fault.get("count", 1) - 1
            with open(self.faults_file + ".new", "w", encoding="utf-8") as f:
                json.dump(fault, f)
            os.replace(self.faults_file + ".new", self.faults_file)
        if skipped:
            return
        self.server.log("fault", fault={k: v for k, v in fault.items() if k != "count"})
        session.state.header = fault.get("header")
        if fault.get("half"):  # in the midst of a BACKUP or RESTORE, see tsql_native.py
            session.state.half = fault
            return
        if "wait" in fault:
            session.wire.flush()
            reply.pause(fault["wait"])
        if fault.get("suspect"):
            for d in self.databases.values():
                d.state = "SUSPECT" if d.snapshot_of is not None else d.state
        if "error" in fault:
            raise BadValue(fault["error"], fault.get("text", "the fault that was asked for"), fault.get("severity", 16))
        if fault.get("drop") or fault.get("kill"):
            end = functools.partial(self._end, session, fault)
            if fault.get("done"):
                session.state.end_after = end
            else:
                end()
        if fault.get("reset"):
            session.wire.reset()
        if "reset_at_packet" in fault:
            session.wire.reset_at = fault["reset_at_packet"]
        session.state.drop_after = fault.get("drop_after_rows")

    @staticmethod
    def _end(session, fault):
        if fault.get("kill"):
            os.kill(session.login.process, signal.SIGKILL)
        session.wire.drop()

    def batch(self, session, sql, reply):
        self._faults(session, sql, reply)
        with self.lock:
            executor = Executor(self, session, reply)
            executor.run(sql)
        if session.state.end_after:
            session.state.end_after()
        self._send(session, executor.replies, reply)
        if session.dead:
            raise Gone("its connection was ended by another")

    def _send(self, session, replies, reply):
        """What the batch said, told outside the lock: a slow reader holds nobody up."""
        for what, arguments in replies:
            if what == "rows":
                columns, rows = arguments
                reply.begin_rows(columns)
                drop = session.state.drop_after
                for n, r in enumerate(rows):
                    if drop is not None and n == drop:
                        from tds_types import row as encoded
                        whole = encoded(columns, r)
                        session.wire.put(whole[:max(1, len(whole) // 2)])
                        session.wire.drop()
                    reply.row(r)
                reply.end_rows()
            elif what == "wait":
                session.wire.flush()
                reply.pause(arguments)
            elif what == "use":
                session.use(arguments, reply)
            elif what == "message":
                reply.message(*arguments[:3], **arguments[3])
            else:
                getattr(reply, what)(*arguments)

    def bulk(self, session, pending, data, reply):
        self._faults(session, "bulk data", reply)
        with self.lock:
            columns, rows = tds_bulk.decode(data)
            executor = Executor(self, session, reply)
            executor.bulk_rows(pending, columns, rows)
            if session.state.end_after:
                session.state.end_after()
            self.server.log("bulk", connection=session.number, table=".".join(pending["table"]), rows=len(rows), hints=pending["hints"])
        reply.done(len(rows))
