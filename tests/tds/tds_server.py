"""The connections of the endpoint: login, then batch by batch to whoever answers, a script or the model."""
import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback

import tds_login
import tds_tokens as tokens
from tds_types import DEFAULT_COLLATION, BadValue, Collation, column_metadata, row
from tds_wire import (ATTENTION, BATCH, BULK, LOGIN, PACKET_MAX, PACKET_MIN, PRELOGIN, RPC, TRANSACTION, Gone, Interrupted, Refused,
                      Wire, tls_context)


class Reply:
    """What an answerer writes to. Tokens leave when a packet is full, at flush() and at the end."""

    def __init__(self, session):
        self.session, self.wire = session, session.wire
        self.columns = None
        self.open_status = None  # the DONE that is held back until it is known whether more follows
        self.failed = False
        self.rows_until_look = 0

    def _before(self):
        if self.open_status is not None:
            status, count, token = self.open_status
            self.open_status = None
            self.wire.put(tokens.done(status | tokens.MORE | self._transaction(), count, token))

    def _transaction(self):
        return tokens.IN_TRANSACTION if self.session.transaction else 0

    def message(self, number, severity, text, state=1, procedure="", line=1, flush=False):
        self._before()
        self.wire.put(tokens.message(number, severity, text, state, procedure, line))
        if severity > 10:
            self.failed = True
        if flush:
            self.wire.flush()

    def info(self, text, number=0, severity=0, **more):
        self.message(number, severity, text, **more)

    def raw(self, data):
        self._before()
        self.wire.put(data)

    def begin_rows(self, columns):
        self._before()
        self.columns = columns
        self.count = 0
        self.wire.put(column_metadata(columns))

    def row(self, values):
        self.wire.put(row(self.columns, values))
        self.count += 1
        self.rows_until_look -= 1
        if self.rows_until_look <= 0:
            self.rows_until_look = 64
            if self.wire.attention_waits():
                raise Interrupted()

    def end_rows(self, token=tokens.DONE):
        self.done(self.count, token)
        self.columns = None

    def done(self, rows=None, token=tokens.DONE):
        """A statement ended."""
        self._before()
        status = tokens.ERROR if self.failed and rows is None else 0
        self.failed = False
        self.open_status = (status, rows, token)

    def pause(self, seconds):
        self.wire.pause(seconds)

    def finish(self):
        if self.open_status is None:
            self.open_status = (tokens.ERROR if self.failed else 0, None, tokens.DONE)
        status, count, token = self.open_status
        self.wire.put(tokens.done(status | self._transaction(), count, token))
        self.wire.end()


class Session:
    """One login. `state` is the answerer's."""

    def __init__(self, server, sock, number):
        self.server, self.number = server, number
        self.wire = Wire(sock)
        self.login = None
        self.database = None
        self.transaction = 0
        self.state = None
        self.encrypted = None
        self.pending_bulk = None
        self.dead = False

    def run(self):
        try:
            if self._log_in():
                self._serve()
        except Gone:
            pass
        except Refused as e:
            self.server.complain(f"connection {self.number}: {e}")
        except Exception:
            self.server.complain(f"connection {self.number}: {traceback.format_exc()}")
        finally:
            self.server.answerer.closed(self)
            self.wire.close()

    # ---- login ----

    def _log_in(self):
        kind, data, _ = self.wire.message()
        if kind != PRELOGIN:
            raise Refused(f"a message of type {kind} before PRELOGIN")
        options = tds_login.prelogin_read(data)
        answer, self.encrypted = tds_login.encryption_agreed(options[1][0], self.server.tls_mode)
        self.wire.put(tds_login.prelogin_reply(answer))
        self.wire.end()
        if self.encrypted:
            self.wire.tls_begin(self.server.tls_context)
        kind, data, _ = self.wire.message()
        if kind != LOGIN:
            raise Refused(f"a message of type {kind} instead of LOGIN7")
        if self.encrypted == "login":
            self.wire.tls_end()
        self.login = login = tds_login.Login(data)
        self.server.log("login", user=login.user, database=login.database, application=login.application, library=login.library,
                        packet_size=login.packet_size, encrypted=self.encrypted or "", read_only=login.read_only_intent)
        if self.server.tls_mode == "require" and not self.encrypted:
            return False
        return self._greet(login)

    def _refuse(self, number, severity, text, also=()):
        self.wire.put(tokens.message(number, severity, text))
        for extra in also:
            self.wire.put(tokens.message(*extra))
        self.wire.put(tokens.done(tokens.ERROR))
        self.wire.end()
        return False

    def _greet(self, login):
        accounts = self.server.accounts
        known = {name.lower(): password for name, password in accounts.items()}
        if login.user.lower() not in known or known[login.user.lower()] != login.password:
            return self._refuse(18456, 14, f"Login failed for user '{login.user}'.")
        wanted = login.database or "master"
        found = self.server.answerer.open_database(self, wanted)
        if found is None:
            return self._refuse(4060, 11, f'Cannot open database "{wanted}" requested by the login. The login failed.',
                                [(18456, 14, f"Login failed for user '{login.user}'.")])
        if isinstance(found, tuple):
            return self._refuse(*found)
        self.database = found
        old = self.wire.size
        size = min(max(login.packet_size, PACKET_MIN), PACKET_MAX)
        put = self.wire.put
        put(tokens.env_change(1, found, "master"))
        put(tokens.message(5701, 0, f"Changed database context to '{found}'.", state=2))
        put(tokens.env_collation(Collation.of(DEFAULT_COLLATION).wire))
        put(tokens.env_change(2, "us_english"))
        put(tokens.message(5703, 0, "Changed language setting to us_english."))
        put(tokens.login_ack(0x74000004))
        put(tokens.env_change(4, str(size), str(old)))
        put(tokens.done())
        self.wire.end()
        self.wire.size = size
        return True

    # ---- batches ----

    def _serve(self):
        answerer = self.server.answerer
        answerer.opened(self)
        while not self.dead:
            kind, data, reset = self.wire.message()
            if data is None:
                continue
            if reset:
                answerer.reset(self)
            if kind == ATTENTION:
                self._attention()
                continue
            if kind not in (BATCH, BULK, RPC, TRANSACTION):
                raise Refused(f"a message of type {kind}")
            self._answer(kind, data)

    def _answer(self, kind, data):
        answerer, reply = self.server.answerer, Reply(self)
        try:
            if kind == BATCH:
                sql = self._batch_text(data)
                self.server.log("batch", connection=self.number, sql=sql)
                answerer.batch(self, sql, reply)
            elif kind == BULK:
                if self.pending_bulk is None:
                    raise Refused("bulk data without INSERT BULK")
                pending, self.pending_bulk = self.pending_bulk, None
                answerer.bulk(self, pending, data, reply)
            else:
                raise Refused("a remote procedure call" if kind == RPC else "a transaction manager request")
            reply.finish()
        except Interrupted:
            self._attention(reply)
        except BadValue as e:
            reply.message(e.number, e.severity, e.text)
            reply.finish()

    def _attention(self, reply=None):
        """What was under way ends here; the acknowledgement is a message's last DONE."""
        self.server.log("attention", connection=self.number)
        if reply is not None:
            self.server.answerer.interrupted(self)
        self.wire.put(tokens.done(tokens.ATTENTION_ACK))
        self.wire.end()

    def _batch_text(self, data):
        if len(data) < 4 or int.from_bytes(data[:4], "little") > len(data):
            raise Refused("a batch without headers")
        text = data[int.from_bytes(data[:4], "little"):]
        if len(text) % 2:
            raise Refused("a batch of an odd number of bytes")
        return text.decode("utf-16-le", "surrogatepass")

    def use(self, database, reply):
        old, self.database = self.database, database
        reply.raw(tokens.env_change(1, database, old or ""))
        reply.message(5701, 0, f"Changed database context to '{database}'.", state=2)


class Server:
    """Listens on 127.0.0.1. tls_mode: off, login (as a SQL Server with its own certificate) or require."""

    def __init__(self, answerer, accounts, tls_mode="off", certificate=None, log=None):
        import socket
        self.answerer, self.accounts, self.tls_mode = answerer, accounts, tls_mode
        self.complaints, self.lock, self.log_file = [], threading.Lock(), log
        self.tls_context = tls_context(*certificate) if tls_mode != "off" else None
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket = socket

    def listen(self, port, host="127.0.0.1"):
        self.listener.bind((host, port))
        self.listener.listen(64)
        return self.listener.getsockname()[1]

    def serve(self):
        number = 0
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(self.socket.IPPROTO_TCP, self.socket.TCP_NODELAY, 1)
            number += 1
            threading.Thread(target=Session(self, sock, number).run, daemon=True).start()

    def complain(self, text):
        with self.lock:
            self.complaints.append(text)
        print(f"tds: {text}", file=sys.stderr, flush=True)
        self.log("complaint", text=text)

    def log(self, event, **what):
        """One line of JSON for each thing that happened, for the tests to read. Passwords never come here."""
        if self.log_file is None:
            return
        with self.lock:
            self.log_file.write(json.dumps({"event": event, **what}) + "\n")
            self.log_file.flush()


def make_certificate(folder, host="127.0.0.1"):
    """A test CA and a certificate of it for host: (certificate, key, ca) as paths."""
    paths = {name: os.path.join(folder, name) for name in ("ca.pem", "ca.key", "server.pem", "server.key", "server.csr", "ext")}
    name = f"IP:{host}" if host.replace(".", "").isdigit() else f"DNS:{host}"
    with open(paths["ext"], "w", encoding="ascii") as f:
        f.write(f"subjectAltName={name},DNS:localhost\nbasicConstraints=CA:FALSE\n")
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=endpoint test CA", "-keyout", paths["ca.key"], "-out", paths["ca.pem"]], **quiet)
    subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={host}",
                    "-keyout", paths["server.key"], "-out", paths["server.csr"]], **quiet)
    subprocess.run(["openssl", "x509", "-req", "-in", paths["server.csr"], "-CA", paths["ca.pem"], "-CAkey", paths["ca.key"],
                    "-CAcreateserial", "-days", "2", "-extfile", paths["ext"], "-out", paths["server.pem"]], **quiet)
    return paths["server.pem"], paths["server.key"], paths["ca.pem"]


def write_port_file(path, port):
    """Whole or not at all: who waits for it reads a number."""
    with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(os.path.abspath(path)), delete=False) as f:
        f.write(f"{port}\n")
    os.replace(f.name, path)
