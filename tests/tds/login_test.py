#!/usr/bin/env python3
"""The endpoint as Debian's tsql sees it: login, TLS, batches, messages, errors, faults."""
import re
import time

from tds_support import Endpoint, Failed, main, same

SETTINGS = {"any": True, "like": r"set .*"}
ONE = {"like": "select 1", "reply": [{"rows": [["n", "int not null"]], "data": [[1]]}]}


def has(text, *wanted):
    for w in wanted:
        if w not in text:
            raise Failed(f"{w!r} is not in:\n{text}")


def login__without_tls():
    with Endpoint([SETTINGS, ONE]) as e:
        status, out, _ = e.tsql("select 1")
        same("status", status, 0)
        has(out, "n\n1\n")
        same("encryption", [x["encrypted"] for x in e.log("login")], [""])


def login__encrypted_alone_by_default():
    with Endpoint([SETTINGS, ONE], tls="login") as e:
        has(e.tsql("select 1")[1], "n\n1\n")
        same("encryption", [x["encrypted"] for x in e.log("login")], ["login"])


def login__everything_encrypted_when_either_side_wants_it():
    for tls, settings in (("login", {"encryption": "require"}), ("require", {})):
        with Endpoint([SETTINGS, ONE], tls=tls) as e:
            has(e.tsql("select 1", **settings)[1], "n\n1\n")
            same("encryption", [x["encrypted"] for x in e.log("login")], ["all"])


def login__require_refuses_a_server_without_tls():
    with Endpoint([SETTINGS]) as e:
        status = e.tsql("select 1", encryption="require")[0]
        if status == 0:
            raise Failed("logged in")
        same("logins", e.log("login"), [])


def certificate__checked_when_told():
    with Endpoint([SETTINGS, ONE], tls="require") as e:
        settings = {"encryption": "require", "ca file": e.ca, "check certificate hostname": "no"}
        has(e.tsql("select 1", **settings)[1], "n\n1\n")
    with Endpoint([SETTINGS], tls="require") as e:
        if e.tsql("select 1", encryption="require", **{"ca file": "system"})[0] == 0:
            raise Failed("a certificate of nobody's was taken")
        same("logins", e.log("login"), [])


def certificate__of_another_host_is_refused():
    with Endpoint([SETTINGS], tls="require", tls_host="other.test") as e:
        settings = {"encryption": "require", "ca file": e.ca, "check certificate hostname": "yes"}
        if e.tsql("select 1", **settings)[0] == 0:
            raise Failed("the name was not checked")
        same("logins", e.log("login"), [])


def password__wrong_is_18456():
    with Endpoint([SETTINGS]) as e:
        status, _, err = e.tsql("select 1", password="no")
        has(err, "18456", "Login failed for user 'sa'.")
        if status == 0:
            raise Failed("logged in")


def database__unknown_is_4060():
    with Endpoint([SETTINGS]) as e:
        has(e.tsql("select 1", database="nowhere")[2], "4060", "nowhere")


def packets__of_the_size_that_was_asked():
    rows = [{"like": "long", "reply": [{"rows": [["v", "varchar(max)"]], "data": [[{"repeat": "x", "times": 200000}]]}]}]
    for size in (4096, 8192, 32767):
        with Endpoint([SETTINGS, *rows]) as e:
            _, out, _ = e.tsql("long", **{"initial block size": size, "text size": 1000000})
            same("length", len(max(out.split("\n"), key=len)), 200000)
            same("size", e.log("login")[0]["packet_size"], size)


def message__of_any_severity():
    replies = [{"info": "just said", "number": 0}, {"error": 50000, "severity": 9, "text": "nine"},
               {"error": 8134, "severity": 16, "text": "sixteen", "line": 7}]
    with Endpoint([SETTINGS, {"like": "talk", "reply": replies}, ONE]) as e:
        _, out, err = e.tsql("talk", "select 1")
        has(err, "just said", "nine", "Msg 8134 (severity 16, state 1)", "Line 7", "sixteen")
        has(out, "n\n1\n")


def severity__of_20_ends_the_connection():
    with Endpoint([SETTINGS, {"like": "die", "reply": [{"error": 21, "severity": 20, "text": "fatal"}]}]) as e:
        has(e.tsql("die")[2], "fatal", "severity 20")


def drop__in_the_middle_of_a_row():
    step = {"like": "rows", "reply": [{"rows": [["n", "int"], ["t", "nvarchar(50)"]], "data": [[1, "one"], [2, "two"]], "drop_in_row": 1}]}
    with Endpoint([SETTINGS, step]) as e:
        out = e.tsql("rows")[1]
        if re.search(r"^2\t", out, re.M):
            raise Failed(f"the torn row is there:\n{out}")


def reset__before_the_second_packet():
    rows = {"rows": [["v", "varchar(8000)"]], "data": [["x" * 4000], ["y" * 4000]]}
    with Endpoint([SETTINGS, {"like": "rows", "reply": [{"reset_at_packet": 1}, rows]}]) as e:
        if "y" * 4000 in e.tsql("rows")[1]:
            raise Failed("all came")


def wait__is_waited():
    with Endpoint([SETTINGS, {"like": "slow", "reply": [{"wait": 0.3}, {"info": "done"}]}]) as e:
        began = time.monotonic()
        has(e.tsql("slow")[2], "done")
        if time.monotonic() - began < 0.3:
            raise Failed("it did not wait")


def mismatch__is_an_error_and_a_complaint():
    e = Endpoint([SETTINGS, ONE], clean=False)
    with e:
        has(e.tsql("select 2")[2], "expected 'select 1'")
    same("status", e.status, 1)
    has(e.words, "expected 'select 1'", "never came: select 1")


def order__is_checked():
    e = Endpoint([SETTINGS, {"expect": "first"}, {"expect": "second"}], clean=False)
    with e:
        has(e.tsql("second", "first")[2], "step 1")
    same("status", e.status, 1)


if __name__ == "__main__":
    main([v for k, v in list(globals().items()) if "__" in k and callable(v)])
