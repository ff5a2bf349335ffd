#!/usr/bin/env python3
"""How connection strings reach a SQL Server: every spelling, encryption, certificates, refusals by name; against the endpoint of tests/tds."""
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading

from cli_support import FIXTURE, PROGRAM, Failed, Result, main, same

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tds"))
from tds_support import Endpoint  # noqa: E402

PASSWORD = "p\u00e4ss;w'or\"d 1"
QUOTED = "\"" + PASSWORD.replace('"', '""') + "\""
LOGIN = f"User ID=shop;Password={QUOTED}"


class Shop:
    def __init__(self, endpoint, folder):
        self.endpoint, self.folder = endpoint, folder
        self.config = os.path.join(folder, "conf")
        with open(os.open(self.config, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as f:
            f.write(f"[nopsnap]\ncatalog = {folder}/catalog\n")
        self.nopsnap("init").expect(0)

    def nopsnap(self, *argv, **environment):
        run = subprocess.run([PROGRAM, "--config", self.config, *argv], capture_output=True, text=True, timeout=120, check=False,
                             env={**os.environ, "HOME": self.folder, **environment})
        if PASSWORD in run.stdout + run.stderr or PASSWORD[:4] in run.stderr:
            raise Failed("the password was printed:\n" + run.stdout + run.stderr)
        return Result(["nopsnap", *argv], run.returncode, run.stdout, run.stderr)

    def connect(self, string, **environment):
        """A dump of the database that the string names."""
        site = tempfile.mkdtemp(dir=self.folder)
        file = os.path.join(self.folder, "string")
        with open(file, "w", encoding="utf-8") as f:
            f.write(string)
        subprocess.run([sys.executable, os.path.join(FIXTURE, "make_site.py"), os.path.join(site, "s"), "--files", "20", "--weight", "0.01", "--provider",
                        "sqlserver", "--connection", file], check=True, stdout=subprocess.DEVNULL)
        return self.nopsnap("snapshot", os.path.join(site, "s"), "--database-only", **environment)


@contextlib.contextmanager
def shop(**options):
    with tempfile.TemporaryDirectory(prefix="nopsnap-connect-") as folder:
        os.chmod(folder, 0o755)
        with Endpoint(model=True, clean=False, accounts={"shop": PASSWORD, "sa": "secret of sa", "poor": PASSWORD}, admin="shop", **options) as endpoint:
            yield Shop(endpoint, folder)


def string__of_every_spelling_connects():
    with shop() as s:
        p = s.endpoint.port
        for one in (f"Data Source=127.0.0.1,{p};Initial Catalog=shop;{LOGIN};Encrypt=False", f"server = tcp:127.0.0.1,{p} ; DATABASE=shop;uid=shop;PWD={QUOTED};encrypt=no",
                    f"Address=127.0.0.1,{p};Database=shop;{LOGIN};Encrypt=Optional;MultipleActiveResultSets=True;Pooling=false;Persist Security Info=False",
                    f"Network Address=(local),{p};Database=shop;User={'shop'};Password={QUOTED};Encrypt=False;Connect Timeout=0",
                    f"Addr=.,{p};Initial Catalog=SHOP;{LOGIN};Encrypt=False;Application Name=x;Workstation ID=y",
                    f"Data Source=localhost\\SQLEXPRESS,{p};Initial Catalog=shop;{LOGIN};Encrypt=False;Integrated Security=False",
                    f"Data Source=127.0.0.1;Port={p};Initial Catalog=shop;{LOGIN};Encrypt=False;Authentication=Sql Password"):
            s.connect(one).expect(0, out="database  dump of")
        seen = s.endpoint.log("login")
        same("databases and passwords that arrived", {x.get("database", "").lower() for x in seen} - {"master"}, {"shop"})


def option__that_can_not_be_honoured_is_refused_by_name():
    with shop() as s:
        base = f"Data Source=127.0.0.1,{s.endpoint.port};Initial Catalog=shop;{LOGIN};"
        for option, name in (("Encrypt=Strict", '"Encrypt"'), ("Authentication=Active Directory Password", '"Authentication"'), ("AttachDbFilename=x.mdf", '"AttachDbFilename"'),
                             ("HostNameInCertificate=db", '"HostNameInCertificate"'), ("Column Encryption Setting=Enabled", '"Column Encryption Setting"'),
                             ("Encrypt=perhaps", '"Encrypt"'), ("Colour=red", '"Colour"'), ("User Instance=true", '"User Instance"')):
            s.connect(base + option).expect(1, err=name, hint="database-admin")
        for host in ("np:\\\\db\\pipe", "lpc:db", "(localdb)\\v11", "admin:db"):
            s.connect(f"Data Source={host};Initial Catalog=shop;{LOGIN}").expect(1, err="TCP only", hint="database-admin")
        s.connect(f"Data Source=127.0.0.1;Initial Catalog=shop;User ID={'u' * 129};Password=x").expect(1, err="more than 128 bytes")
        s.connect("Data Source=127.0.0.1;Initial Catalog=shop;User ID=x;Password=" + "\u00e4" * 65).expect(1, err="password in the connection string has more than 128 bytes")
        s.connect("Data Source=127.0.0.1;Initial Catalog=shop;Encrypt=False").expect(1, err="names no user")
        same("logins", s.endpoint.log("login"), [])


def encryption__is_asked_for_unless_the_string_says_no():
    for tls, option, seen in (("login", "", "all"), ("login", ";TrustServerCertificate=True", "all"), ("login", ";Encrypt=False", "login"),
                              ("require", ";Encrypt=False", "all"), ("login", ";Encrypt=True;TrustServerCertificate=True", "all")):
        with shop(tls=tls) as s:
            s.connect(f"Data Source=127.0.0.1,{s.endpoint.port};Initial Catalog=shop;{LOGIN}{option}").expect(0)
            same(f"encryption with {tls} {option}", {x["encrypted"] for x in s.endpoint.log("login")}, {seen})


def encryption__that_a_server_has_not_keeps_the_password_at_home():
    with shop() as s:
        for option in ("", ";Encrypt=True;TrustServerCertificate=True"):
            s.connect(f"Data Source=127.0.0.1,{s.endpoint.port};Initial Catalog=shop;{LOGIN}{option}").expect(1, err="not with an encrypted connection",
                                                                                                         hint="Encrypt=False")
        same("logins", s.endpoint.log("login"), [])


def encryption__of_the_login_alone_is_refused():
    with shop(tls="downgrade") as s:
        for option in ("", ";Encrypt=True;TrustServerCertificate=True"):
            s.connect(f"Data Source=127.0.0.1,{s.endpoint.port};Initial Catalog=shop;{LOGIN}{option}").expect(1, err="would encrypt the login alone", hint="Encrypt=False")
        same("what was said in clear", s.endpoint.log("batch"), [])
        s.connect(f"Data Source=127.0.0.1,{s.endpoint.port};Initial Catalog=shop;{LOGIN};Encrypt=False").expect(0)


def value__that_the_library_would_cut_is_refused():
    with shop(tls="require") as s:
        for path in ("/tmp/a;b.pem", "/tmp/a#b.pem"):
            s.connect(f"Data Source=127.0.0.1,{s.endpoint.port};Initial Catalog=shop;{LOGIN};Server Certificate='{path}'").expect(1, err="would cut off", hint="database-admin")
        same("logins", s.endpoint.log("login"), [])


def synonym__that_comes_last_counts():
    with shop() as s:
        base = f"Data Source=127.0.0.1,{s.endpoint.port};Initial Catalog=shop;{LOGIN};Encrypt=False"
        s.connect(base + ";Integrated Security=True;Trusted_Connection=False").expect(0)
        s.connect(base + ";Trusted_Connection=True;Integrated Security=False;Integrated Security=False").expect(0)


def certificate__is_checked_when_the_string_says_so():
    with shop(tls="require") as s:
        base = f"Data Source=127.0.0.1,{s.endpoint.port};Initial Catalog=shop;{LOGIN};"
        s.connect(base + "Encrypt=True").expect(1, err="certificate that is trusted", hint="TrustServerCertificate=True")
        s.connect(base + "TrustServerCertificate=False").expect(1, err="certificate that is trusted")
        same("logins", s.endpoint.log("login"), [])
        s.connect(base + f"Encrypt=True;Server Certificate={s.endpoint.ca}").expect(0)
    with shop(tls="require", tls_host="other.test") as s:
        s.connect(f"Data Source=127.0.0.1,{s.endpoint.port};Initial Catalog=shop;{LOGIN};Server Certificate={s.endpoint.ca}").expect(1, err="trusted for 127.0.0.1")
        same("logins", s.endpoint.log("login"), [])


def failure__is_told_apart():
    with shop() as s:
        base = f"Data Source=127.0.0.1,{s.endpoint.port};Encrypt=False;"
        s.connect(base + "Initial Catalog=shop;User ID=shop;Password=wrong one").expect(1, err="refuses the login", hint="user and password")
        s.connect(base + f"Initial Catalog=nowhere;{LOGIN}").expect(1, err="nowhere")
        # A login that does not see every database proves nothing by not seeing one: it must not be taken for dropped, and made again.
        poor = s.connect(base + f"Initial Catalog=nowhere;User ID=poor;Password={QUOTED}").expect(1, err="Cannot open database", hint="may not enter")
        if "dumping" in poor.err:
            raise Failed(f"taken for a database that was dropped:\n{poor}")
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            s.connect(f"Data Source=127.0.0.1,{closed.getsockname()[1]};Initial Catalog=shop;{LOGIN}").expect(1, err="can't be reached", hint="firewall")
        s.connect(f"Data Source=nobody.invalid;Initial Catalog=shop;{LOGIN}").expect(1, err="no such host")


def timeout__of_the_string_holds():
    with shop() as s, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        held = []
        threading.Thread(target=lambda: [held.append(silent.accept()) for _ in range(4)], daemon=True).start()
        done = s.connect(f"Data Source=127.0.0.1,{silent.getsockname()[1]};Initial Catalog=shop;{LOGIN};Connect Timeout=2")
        done.expect(1, err="does not answer within 2 s", hint="firewall")


@contextlib.contextmanager
def browser(host, *answers):
    """A SQL Server Browser that gives these answers to each question; yields the questions."""
    questions = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((host, 1434))
        s.settimeout(0.1)
        ended = threading.Event()

        def serve():
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    question, who = s.recvfrom(1024)
                    questions.append(question)
                    for answer in answers:
                        s.sendto(answer, who)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield questions
        finally:
            ended.set()
            thread.join()


def instance(name, rest):
    text = f"ServerName;DB;InstanceName;{name};IsClustered;No;Version;15.0.2000.5;{rest};;".encode()
    return b"\5" + len(text).to_bytes(2, "little") + text


def instance__is_found_by_the_browser():
    # An address of this process's own, since the Browser's port is not to be chosen.
    host = f"127.{100 + os.getpid() % 100}.{os.getpid() // 100 % 250}.{1 + os.getpid() // 25000 % 250}"
    with shop(host=host) as s:
        string = f"Data Source={host}\\SQLEXPRESS;Initial Catalog=shop;{LOGIN};Encrypt=False;Connect Timeout=2"
        junk = [b"", b"\5", b"\5\xff\xffInstanceName;SQLEXPRESS;tcp;1;;", instance("OTHER", "tcp;1"), b"\5\3\0;;;", b"\5\x0c\0InstanceName", b"\4" + b"x" * 1500]
        with browser(host, *junk, instance("sqlexpress", f"tcp;{s.endpoint.port};np;\\\\DB\\pipe")) as questions:
            s.connect(string).expect(0, out="database  dump of")
        same("questions", set(questions), {b"\4SQLEXPRESS\0"})
        logins = len(s.endpoint.log("login"))
        for rest in ("np;\\\\DB\\pipe", "tcp;0", "tcp;65536", "tcp;", "tcp"):
            with browser(host, instance("SQLEXPRESS", rest)):
                s.connect(string).expect(1, err="does not listen on TCP", hint="Configuration Manager")
        with browser(host, *junk):
            s.connect(string).expect(1, err="does not answer within 2 s", hint="host,port")
        s.connect(string).expect(1, err="no SQL Server Browser there", hint="host,port")
        s.connect(f"Data Source=nobody.invalid\\X;Initial Catalog=shop;{LOGIN}").expect(1, err="no such host")
        same("logins", len(s.endpoint.log("login")), logins)


def ticket__that_is_not_there_or_has_expired_is_said_before_anything():
    with shop() as s:
        tools = os.path.join(s.folder, "tools")
        os.mkdir(tools)

        def klist(status):
            with open(os.open(os.path.join(tools, "klist"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o755), "w", encoding="ascii") as f:
                f.write(f'#!/bin/sh\n[ "$*" = -s ] || exit 9\nexit {status}\n')
            return s.connect(f"Data Source=127.0.0.1,{s.endpoint.port};Initial Catalog=shop;Integrated Security=True;Encrypt=False", PATH=tools + ":" + os.environ["PATH"],
                             KRB5CCNAME=f"FILE:{s.folder}/none")

        klist(1).expect(1, err="has no valid ticket", hint="kinit")
        klist(0).expect(1, err="given up at the login with Kerberos", hint="kinit")
        same("logins", s.endpoint.log("login"), [])


def environment__of_the_library_changes_nothing():
    with shop() as s:
        dump = os.path.join(s.folder, "dump")
        conf = os.path.join(s.folder, "other.conf")
        with open(conf, "w", encoding="ascii") as f:
            f.write(f"[global]\ndump file = {dump}\n[127.0.0.1]\nport = 1\n")
        for d in (s.folder, ):
            with open(os.path.join(d, ".freetds.conf"), "w", encoding="ascii") as f:
                f.write(f"[global]\ndump file = {dump}\n")
        s.connect(f"Data Source=127.0.0.1,{s.endpoint.port};Initial Catalog=shop;{LOGIN};Encrypt=False", TDSDUMP=dump, TDSDUMPCONFIG=dump, TDSVER="5.0", TDSPORT="1",
                  TDSHOST="192.0.2.1", TDSQUERY="x", DSQUERY="x", FREETDSCONF=conf, LC_ALL="C").expect(0)
        if os.path.exists(dump):
            raise Failed("the library wrote what passes through it to a file")


if __name__ == "__main__":
    main([string__of_every_spelling_connects, option__that_can_not_be_honoured_is_refused_by_name, encryption__is_asked_for_unless_the_string_says_no,
          encryption__that_a_server_has_not_keeps_the_password_at_home, encryption__of_the_login_alone_is_refused, value__that_the_library_would_cut_is_refused,
          synonym__that_comes_last_counts, certificate__is_checked_when_the_string_says_so, failure__is_told_apart,
          timeout__of_the_string_holds, instance__is_found_by_the_browser, ticket__that_is_not_there_or_has_expired_is_said_before_anything,
          environment__of_the_library_changes_nothing])
