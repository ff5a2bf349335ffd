"""
A scripted peer: what it expects and what it answers, in order. A mismatch is an error to the client and a complaint, with which the
endpoint ends.

A scenario is a JSON list of steps. One step is one batch (or one bulk load) on one connection:
    {"expect": "SELECT * FROM ...",            exactly, white space aside; or "like": a regular expression for the whole batch
     "bulk": [[...], ...],                     instead: the rows that a bulk load must bring, as texts (null for NULL, hex for bytes)
     "reply": [...],                           what comes back, see below; nothing: an empty success
     "any": true}                              this step may be met any number of times, at any place, also never
Replies, in order:
    {"rows": [["name", "type", ...], ...], "data": [[...], ...]}    a result; types as in CREATE TABLE, values as JSON or hex
    {"error": number, "severity": n, "text": "...", "line": n}      any severity
    {"info": "text", "number": n, "live": true}                     live: on its way before the next
    {"done": rows}  {"wait": seconds}  {"drop": true}  {"reset": true}  {"drop_in_row": n}  {"reset_at_packet": n}  {"use": "database"}
"""
import json
import re
import threading
from decimal import Decimal

import tds_bulk
from tds_types import Column, Type, cell
from tds_wire import Refused


def parse_type(text):
    m = re.fullmatch(r"\s*(\w+)\s*(?:\(\s*(\w+)\s*(?:,\s*(\d+)\s*)?\))?\s*(?:collate\s+(\w+))?\s*(not null)?\s*", text, re.I)
    if not m:
        raise ValueError(f"type {text!r}")
    name, a, b, collation, required = m.group(1).lower(), m.group(2), m.group(3), m.group(4), m.group(5)
    if name in ("decimal", "numeric"):
        t = Type(name, precision=int(a or 18), scale=int(b or 0))
    elif name in ("time", "datetime2", "datetimeoffset"):
        t = Type(name, scale=7 if a is None else int(a))
    elif name in ("char", "varchar", "nchar", "nvarchar", "binary", "varbinary"):
        wide = 2 if name in ("nchar", "nvarchar") else 1
        t = Type(name, -1 if a and a.lower() == "max" else wide * int(a or 1), collation=collation)
    else:
        t = Type(name, collation=collation)
    return t, not required


def value(t, v):
    """A value of JSON as one of the type."""
    if v is None:
        return None
    if t.name in ("decimal", "numeric", "money", "smallmoney"):
        return Decimal(v)
    if t.name in ("float", "real"):
        return float(v)
    if isinstance(v, dict) and "hex" in v:
        from tds_types import value_of
        return value_of(t, bytes.fromhex(v["hex"]))
    if isinstance(v, dict) and "repeat" in v:
        return v["repeat"] * v["times"]
    if t.name in ("binary", "varbinary", "image", "timestamp", "uniqueidentifier", "hierarchyid", "geography", "geometry"):
        return bytes.fromhex(v)
    return tuple(v) if isinstance(v, list) else v


class Scenario:
    def __init__(self, path, databases=("master", "shop")):
        with open(path, encoding="utf-8") as f:
            self.steps = json.load(f)
        self.at = 0
        self.lock = threading.Lock()
        self.databases = {name.lower(): name for name in databases}
        self.server = None

    # ---- as the server asks ----

    def open_database(self, _session, name):
        return self.databases.get(name.lower())

    def opened(self, session):
        pass

    def closed(self, session):
        pass

    def reset(self, session):
        pass

    def interrupted(self, session):
        pass

    @staticmethod
    def _same(step, sql):
        if "like" in step:
            return re.fullmatch(step["like"], sql.strip(), re.S | re.I)
        return " ".join(step.get("expect", "\0").split()) == " ".join(sql.split())

    def _step(self, fits):
        with self.lock:
            while self.at < len(self.steps) and self.steps[self.at].get("any"):
                self.at += 1
            if self.at < len(self.steps) and fits(self.steps[self.at]):
                self.at += 1
                return self.steps[self.at - 1]
            for step in self.steps:
                if step.get("any") and fits(step):
                    return step
            return None

    def _fail(self, reply, text):
        self.server.complain(text)
        reply.message(50000, 16, text[:1000])

    def _expected(self):
        if self.at >= len(self.steps):
            return "nothing more"
        step = self.steps[self.at]
        return step.get("expect") or step.get("like") or "a bulk load"

    def batch(self, session, sql, reply):
        step = self._step(lambda s: "bulk" not in s and self._same(s, sql))
        if step is None:
            self._fail(reply, f"step {self.at}: expected {self._expected()!r}, got {sql!r}")
            return
        if step.get("begin_bulk"):
            session.pending_bulk = sql
        self._play(session, step, reply)

    def bulk(self, session, pending, data, reply):
        step = self._step(lambda s: "bulk" in s)
        if step is None:
            self._fail(reply, f"step {self.at}: expected {self._expected()!r}, got a bulk load")
            return
        _, rows = tds_bulk.decode(data)
        brought = [[None if v is None else v.hex() if isinstance(v, bytes) else str(v) for v in r] for r in rows]
        if brought != step["bulk"]:
            self._fail(reply, f"step {self.at - 1}: expected rows {step['bulk']!r}, got {brought!r}")
            return
        reply.done(len(rows))
        self._play(session, step, reply)

    def unmet(self):
        """What should still have come."""
        with self.lock:
            left = [s for s in self.steps[self.at:] if not s.get("any")]
        return [s.get("expect") or s.get("like") or "a bulk load" for s in left]

    # ---- playing ----

    def _play(self, session, step, reply):
        for what in step.get("reply", []):
            if "rows" in what:
                self._rows(what, reply)
            elif "error" in what:
                severity = what.get("severity", 16)
                reply.message(what["error"], severity, what["text"], what.get("state", 1), what.get("procedure", ""), what.get("line", 1),
                              flush=what.get("live", False))
                if severity < 11:
                    continue
                if severity >= 20:
                    reply.finish()
                    session.wire.drop()
                reply.done()
            elif "info" in what:
                reply.info(what["info"], what.get("number", 0), what.get("severity", 0), line=what.get("line", 1),
                           flush=what.get("live", False))
            elif "done" in what:
                reply.done(what["done"])
            elif "wait" in what:
                session.wire.flush()
                reply.pause(what["wait"])
            elif "drop" in what:
                session.wire.drop()
            elif "reset" in what:
                session.wire.reset()
            elif "reset_at_packet" in what:
                session.wire.reset_at = what["reset_at_packet"]
            elif "use" in what:
                session.use(what["use"], reply)
            else:
                raise Refused(f"the scenario has a reply {what!r}")

    @staticmethod
    def _rows(what, reply):
        columns = [Column(c[0], *parse_type(c[1])) for c in what["rows"]]
        reply.begin_rows(columns)
        drop = what.get("drop_in_row")
        for i, values in enumerate(what.get("data", [])):
            values = [value(c.type, v) for c, v in zip(columns, values)]
            if drop == i:
                whole = b"\xd1" + b"".join(cell(c, v) for c, v in zip(columns, values))
                reply.wire.put(whole[:max(1, len(whole) // 2)])
                reply.wire.drop()
            for _ in range(what.get("times", 1)):
                reply.row(values)
            if what.get("wait_each"):
                reply.wire.flush()
                reply.pause(what["wait_each"])
        reply.end_rows()
