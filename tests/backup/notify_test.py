#!/usr/bin/env python3
"""Notifications over real sockets: a webhook, a dead man's switch and a mail server, with TLS by a certificate made here, that answer, fail, hang and lie."""
import argparse
import base64
import contextlib
import email
import email.policy
import http.server
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

PROGRAM = os.environ["NOPSNAP_PROGRAM"]
TOOL = ""
OK, USAGE, CANCELLED = 0, 1, 12
SECRET = "T0ps3cret"
USER, PASSWORD = "postman@shop.example", "Pa55w0rd"


class Web(http.server.ThreadingHTTPServer):
    """Answers with the statuses of `plan`, one after the other, then 200."""
    daemon_threads = True

    def __init__(self, context=None):
        super().__init__(("127.0.0.1", 0), self.Handler)
        self.asked, self.plan, self.hang = [], [], 0
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def handle_error(self, request, client_address):
        """A client that distrusts or gives up is what some tests are about."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.server.asked.append((self.command, self.path, dict(self.headers), body))
            time.sleep(self.server.hang)
            status = self.server.plan.pop(0) if self.server.plan else 200
            with contextlib.suppress(OSError):
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"/elsewhere/{SECRET}")
                self.send_header("Content-Length", "0")
                self.end_headers()

        do_GET = do_POST = answer


class Mail:
    """As much of SMTP as a client needs: EHLO, STARTTLS, AUTH PLAIN and LOGIN, MAIL, RCPT, DATA. `refuse`: a line for the next RCPT."""

    def __init__(self, context, starttls=True):
        self.context, self.starttls = context, starttls
        self.taken, self.seen, self.refuse = [], [], None
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection = self.socket.accept()[0]
                threading.Thread(target=self.quietly, args=(connection,), daemon=True).start()

    def quietly(self, connection):
        with connection, contextlib.suppress(OSError):
            self.talk(connection)

    def talk(self, connection):
        f, tls, user, mail = connection.makefile("rb"), False, None, {}

        def say(line):
            connection.sendall(line.encode() + b"\r\n")

        say("220 mail.example ESMTP")
        while line := f.readline().decode().strip():
            verb = line.split(" ")[0].upper()
            self.seen.append(("tls " if tls else "plain ") + line)
            if verb == "EHLO":
                say("250-mail.example\r\n250-" + ("AUTH PLAIN LOGIN" if tls else "STARTTLS" if self.starttls else "8BITMIME") + "\r\n250 SIZE 100000")
            elif verb == "STARTTLS":
                say("220 go ahead")
                connection = self.context.wrap_socket(connection, server_side=True)
                f, tls = connection.makefile("rb"), True
            elif verb == "AUTH":
                if len(line.split(" ")) == 2:
                    say("334 ")
                    line += " " + f.readline().decode().strip()
                given = base64.b64decode(line.split(" ")[2]).decode().split("\0")
                user = given[1] if given[1:] == [USER, PASSWORD] else None
                say("235 welcome" if user else "535 no")
            elif verb == "MAIL":
                mail = {"from": line, "to": [], "tls": tls, "user": user}
                say("250 ok")
            elif verb == "RCPT":
                mail["to"].append(line.split("<")[1].split(">")[0])
                say(self.refuse or "250 ok")
            elif verb == "DATA":
                say("354 go ahead")
                lines = []
                while (line := f.readline()) != b".\r\n":
                    lines.append(line[1:] if line.startswith(b"..") else line)
                self.taken.append({**mail, "raw": b"".join(lines)})
                say("250 taken")
            elif verb == "QUIT":
                say("221 bye")
                return
            else:
                say("250 ok")


class Notify(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="ns-")
        cls.pem = os.path.join(cls.folder, "server.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", cls.pem + ".key", "-out", cls.pem], check=True, capture_output=True)
        cls.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        cls.context.load_cert_chain(cls.pem, cls.pem + ".key")
        cls.catalogs = 0

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def setUp(self):
        type(self).catalogs += 1
        self.catalog = os.path.join(self.folder, f"catalog{self.catalogs}")
        self.site = os.path.join(self.folder, "shop")
        os.makedirs(self.site, exist_ok=True)
        self.config = os.path.join(self.folder, "nopsnap.conf")
        self.clock = None
        self.write_config("")
        self.nopsnap("init")
        self.web = Web()
        self.addCleanup(self.web.server_close)
        self.addCleanup(self.web.shutdown)

    def environment(self):
        clean = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and k != "CREDENTIALS_DIRECTORY"}
        return {**clean, **({"NOPSNAP_CLOCK": self.clock} if self.clock else {})}

    def write_config(self, own, common=""):
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(f"[nopsnap]\ncatalog = {self.catalog}\n{common}[shop]\npath = {self.site}\n{own}")

    def secret(self, name, text, mode=0o600):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def url(self, web=None, path="/hook/" + SECRET, scheme="http"):
        return f"{scheme}://localhost:{(web or self.web).server_address[1]}{path}"

    def run_checked(self, argv, status):
        run = subprocess.run(argv, capture_output=True, env=self.environment(), timeout=100)
        said = (run.stdout + run.stderr).decode()
        for word in (SECRET, PASSWORD, "Sanitizer"):
            self.assertNotIn(word, said)
        self.assertEqual(run.returncode, status, said)
        return said

    def nopsnap(self, *argv, status=0):
        return self.run_checked([PROGRAM, "--config", self.config, *argv], status)

    def tell(self, *argv, status=OK, site="shop"):
        return self.run_checked([TOOL, self.config, self.catalog, site, *argv], status)

    def use_webhook(self, template="", **more):
        file = self.secret("webhook", self.url(**more) + "\n")
        self.write_config(f"notify-webhook = {file}\nnotify-ca-file = {self.pem}\nnotify-timeout = 4s\n{template}")

    def use_mail(self, server, login=True, to="admin@shop.example, second@shop.example"):
        text = f"notify-mail-to = {to}\nnotify-mail-from = nopsnap@shop.example\nnotify-mail-server = {server}\nnotify-ca-file = {self.pem}\nnotify-timeout = 4s\n"
        if login:
            text += f"notify-mail-login = {self.secret('login', f'{USER}{chr(10)}{PASSWORD}{chr(10)}')}\n"
        self.write_config(text)

    # The webhook ------------------------------------------------------------------------------------------------------

    def test_webhook__gets_an_object_over_tls_and_a_template_is_escaped(self):
        web = Web(self.context)
        self.addCleanup(web.server_close)
        self.addCleanup(web.shutdown)
        self.use_webhook(web=web, scheme="https")
        self.assertIn("webhook at localhost: taken", self.nopsnap("notify", "shop", "--test"))
        method, path, headers, body = web.asked[-1]
        self.assertEqual((method, path, headers["Content-Type"]), ("POST", "/hook/" + SECRET, "application/json"))
        self.assertEqual(json.loads(body)["event"], "test")
        self.use_webhook('notify-webhook-template = {"text": "[{event} {status}] {message}{nothing}", "n": [1, null, {"a": "{site}"}], "z": null}\n', web=web,
                         scheme="https")
        self.tell("failure", "snapshot", 'a "quoted" \\ line\nand ü, \x1b[31m')
        sent = json.loads(web.asked[-1][3])
        self.assertEqual(sent["n"], [1, None, {"a": "shop"}])
        self.assertIsNone(sent["z"])
        self.assertTrue(sent["text"].startswith("[failure 1] Backup of shop on "), sent)
        self.assertTrue(sent["text"].endswith("{nothing}"), sent)
        self.assertIn('\na "quoted" \\ line\\nand ü, \\x1b[31m\n', sent["text"])

    def test_webhook__distrusts_a_certificate_that_nobody_named(self):
        web = Web(self.context)
        self.addCleanup(web.server_close)
        self.addCleanup(web.shutdown)
        self.use_webhook(web=web, scheme="https")
        with open(self.config, encoding="utf-8") as f:
            text = f.read()
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(text.replace(f"notify-ca-file = {self.pem}\n", ""))
        self.assertIn("certificate", self.nopsnap("notify", "shop", "--test", status=3))
        self.assertEqual(web.asked, [])

    def test_webhook__what_passes_is_tried_again_and_what_does_not_is_not(self):
        self.use_webhook()
        self.web.plan = [500, 503]
        self.assertIn("taken", self.nopsnap("notify", "shop", "--test"))
        self.assertEqual(len(self.web.asked), 3)
        for status, words, attempts in ((404, "it answers 404", 1), (302, "another address", 1), (500, "it answers 500", 3)):
            self.web.asked, self.web.plan = [], [status] * 3
            self.assertIn(words, self.nopsnap("notify", "shop", "--test", status=3))
            self.assertEqual(len(self.web.asked), attempts)

    def test_webhook__that_hangs_or_is_dead_ends_in_a_warning_in_time(self):
        self.use_webhook()
        self.web.hang = 60
        begun = time.monotonic()
        self.assertIn("warning webhook at localhost was not told", self.tell("failure", "snapshot"))
        self.assertLess(time.monotonic() - begun, 40)  # 4 s on a machine that has time
        self.assertGreater(len(self.web.asked), 1)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.write_config(f"notify-webhook = {self.secret('dead', f'http://127.0.0.1:{s.getsockname()[1]}/{SECRET}')}\n")
            self.assertIn("was not told", self.tell("failure", "snapshot"))
            said = self.nopsnap("--json", "notify", "shop", "--test", status=3)
        answers = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        self.assertEqual([(a["endpoint"], a["host"], a["taken"]) for a in answers if a["type"] == "notify"], [("webhook", "127.0.0.1", False)])

    # Who is told when -------------------------------------------------------------------------------------------------

    def events(self):
        return [json.loads(a[3])["event"] for a in self.web.asked if a[0] == "POST"]

    def test_news__a_failure_is_told_once_then_its_end(self):
        self.use_webhook()
        for outcome, cause in (("success", ""), ("failure", "snapshot"), ("failure", "snapshot"), ("failure", "verify"), ("success", ""), ("success", ""),
                               ("failure", "verify"), ("failure", "verify")):
            self.tell(outcome, cause)
        self.assertEqual(self.events(), ["failure", "failure", "recovery", "failure"])
        # What it did not take is told the next time.
        self.web.plan = [404]
        self.tell("success", "")
        self.tell("success", "")
        self.tell("success", "")
        self.assertEqual(self.events()[4:], ["recovery", "recovery"])

    def test_news__is_repeated_when_that_is_wanted(self):
        self.clock = os.path.join(self.folder, "clock")
        now = 1_800_000_000
        self.use_webhook("notify-repeat = 24h\n")
        for hours in (0, 1, 23, 24, 25, 47, 48):
            with open(self.clock, "w", encoding="ascii") as f:
                f.write(str((now + hours * 3600) * 10**9))
            self.tell("failure", "snapshot")
        self.assertEqual(self.events(), ["failure"] * 3)

    def test_overdue__is_told_once_until_a_success(self):
        self.use_webhook()
        self.tell("overdue")
        self.assertEqual(self.events(), [])  # nobody expects a snapshot
        self.use_webhook("expect-every = 24h\n")
        for _ in range(2):
            self.tell("overdue")
        self.assertEqual(self.events(), ["overdue"])
        self.assertIn("there is no snapshot yet", json.loads(self.web.asked[0][3])["text"])
        self.tell("failure", "snapshot")
        self.tell("overdue")
        self.tell("success", "")
        self.nopsnap("notify")
        self.assertEqual(self.events()[1:], ["failure", "recovery", "overdue"])

    def test_ping__start_success_and_failure_have_an_url_each(self):
        lines = "".join(f"{word} {self.url(path=f'/{word}/{SECRET}')}\n" for word in ("start", "success", "failure"))
        self.write_config("", f"notify-ping = {self.secret('ping', lines)}\n")
        for outcome in ("start", "success", "start", "failure", "start", "failure"):
            self.tell(outcome, "snapshot")
        self.assertEqual([a[1].split("/")[1] for a in self.web.asked], ["start", "success", "start", "failure", "start", "failure"])
        self.assertEqual({a[0] for a in self.web.asked}, {"GET"})
        self.tell("start", site="/not/in/the/config")
        self.assertEqual(self.web.asked[-1][1], f"/start/{SECRET}")
        self.assertEqual(self.nopsnap("notify", "--test").count("ping at localhost: taken"), 3)
        self.web.plan = [404]
        self.assertIn("warning ping at localhost was not taken", self.tell("start"))

    # Mail -------------------------------------------------------------------------------------------------------------

    def test_mail__goes_by_starttls_with_the_login_and_stays_ascii(self):
        server = Mail(self.context)
        self.use_mail(f"smtp://localhost:{server.port}")
        with open(self.config, "a", encoding="utf-8") as f:
            f.write(f"[Büro für Märchen und lange Geschichten]\npath = {self.folder}\nnotify-mail-to = one@shop.example\n"
                    f"notify-mail-from = nopsnap@shop.example\nnotify-mail-server = smtp://localhost:{server.port}\nnotify-ca-file = {self.pem}\n")
        self.tell("failure", "snapshot", "the disk is full\r\nBcc: everybody@evil.example\r\n.\r\nMAIL FROM:<x@evil.example>")
        mail = server.taken[-1]
        self.assertEqual((mail["to"], mail["tls"], mail["user"]), (["admin@shop.example", "second@shop.example"], True, USER))
        self.assertFalse([line for line in server.seen if line.startswith("plain ") and line.split()[1] not in ("EHLO", "STARTTLS")])
        parsed = email.message_from_bytes(mail["raw"], policy=email.policy.default)
        self.assertEqual(sorted(parsed.keys()), sorted(["Date", "From", "To", "Subject", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type",
                                                        "Content-Transfer-Encoding"]))
        self.assertIsNotNone(parsed["Date"].datetime)
        self.assertIn(r"the disk is full\r\nBcc: everybody@evil.example", parsed.get_content())
        self.assertTrue(parsed["Subject"].startswith("Backup of shop on "))
        name = "Büro für Märchen und lange Geschichten"
        self.tell("failure", "snapshot", "es ist ü\nber", site=name)
        mail = server.taken[-1]
        self.assertTrue(mail["raw"].isascii())
        self.assertEqual([line for line in mail["raw"].split(b"\r\n") if len(line) > 78], [])
        parsed = email.message_from_bytes(mail["raw"], policy=email.policy.default)
        self.assertEqual(parsed.defects, [])
        self.assertTrue(parsed["Subject"].startswith(f"Backup of {name} on "), parsed["Subject"])
        self.assertIn(r"es ist ü\nber", parsed.get_content())

    def test_mail__never_goes_in_the_clear_where_tls_is_missing(self):
        server = Mail(self.context, starttls=False)
        self.use_mail(f"smtp://localhost:{server.port}")
        self.assertIn("was not told", self.tell("failure", "snapshot"))
        self.assertFalse([line for line in server.seen if "AUTH" in line or "MAIL" in line])
        # Without a login, and on this host, it may.
        self.use_mail(f"smtp://localhost:{server.port}", login=False)
        self.assertEqual(self.tell("failure", "snapshot"), "")
        self.assertEqual(len(server.taken), 1)

    def test_mail__that_is_refused_is_a_warning(self):
        server = Mail(self.context)
        self.use_mail(f"smtp://localhost:{server.port}")
        server.refuse = f"550 no such user {SECRET}"
        self.assertIn("warning mail at localhost was not told", self.tell("failure", "snapshot"))
        self.assertEqual(server.taken, [])
        self.secret("login", f"{USER}\nwrong\n")
        server.refuse = None
        self.assertIn("Login denied (535)", self.nopsnap("notify", "shop", "--test", status=3))

    # The config -------------------------------------------------------------------------------------------------------

    def test_secrets__have_one_reader_and_the_config_s_line_is_named(self):
        cases = [("webhook", f"http://h/{SECRET}", 0o640, "open to others"), ("webhook", "", 0o600, "is empty"), ("webhook", f"ftp://h/{SECRET}", 0o600, "does not hold one"),
                 ("webhook", f"http://h/{SECRET}\nhttp://h/{SECRET}\n", 0o600, "does not hold one"), ("ping", f"http://h/{SECRET}", 0o600, "none of"),
                 ("ping", f"success http://h/{SECRET}\nsuccess http://h/{SECRET}", 0o600, "none of")]
        for key, text, mode, words in cases:
            self.write_config(f"notify-{key} = {self.secret('bad', text, mode)}\n")
            said = self.nopsnap("notify", "shop", "--test", status=2)
            self.assertIn(f"{self.config} line 5: ", said)
            self.assertIn(words, said)
            self.assertIn("hint: ", said)
            self.tell("start", status=USAGE)
        self.write_config(f"notify-mail-to = a@b\nnotify-mail-server = smtp://h\nnotify-mail-login = {self.secret('bad', PASSWORD)}\n")
        self.assertIn("line 7", self.nopsnap("notify", "shop", "--test", status=2))
        self.write_config("notify-webhook = /nowhere/at/all\n")
        self.assertIn("line 5", self.nopsnap("notify", "shop", "--test", status=2))
        if os.geteuid() == 0:
            os.chown(self.secret("bad", f"http://h/{SECRET}"), 65534, 65534)
            self.write_config(f"notify-webhook = {self.folder}/bad\n")
            self.assertIn("another user", self.nopsnap("notify", "shop", "--test", status=2))
        # A wrong one is no obstacle for what has nothing to tell.
        self.nopsnap("list")

    def test_config__values_that_make_no_sense_are_refused_with_their_line(self):
        for line, words in (("notify-webhook-template = {\"text\": ", "JSON object"), ("notify-webhook-template = [1]", "JSON object"),
                            ("notify-mail-to = a@b, c", "addresses"), ("notify-mail-to = a@b\\r\\nBcc:x@y", "addresses"), ("notify-mail-from = <a@b>", "addresses"),
                            (f"notify-mail-server = smtp://{USER}:{PASSWORD}@h", "notify-mail-login"), ("notify-mail-server = h:25", "smtp://"),
                            ("notify-timeout = soon", "30m"), ("notify-repeat = 0h", "30m"), ("notify-webhook = https://h/x", "absolute path")):
            self.write_config(line + "\n")
            said = self.nopsnap("notify", "--test", status=2)
            self.assertIn("line 5", said)
            self.assertIn(words, said)
        self.write_config(f"notify-ping = {self.secret('ping', 'success ' + self.url() + chr(10))}\n")
        said = self.nopsnap("notify", "--test")
        self.assertEqual((said.count("ping at localhost: taken"), said.count("shop: ping")), (1, 1))
        self.write_config("")
        self.assertIn("names nobody", self.nopsnap("notify", "--test", status=2))

    def test_credentials__of_the_service_manager_are_taken_instead_of_the_file(self):
        self.use_webhook()
        name = subprocess.run([TOOL, "name", os.path.join(self.folder, "webhook")], capture_output=True, check=True).stdout.decode().strip()
        folder = os.path.join(self.folder, "credentials")
        os.makedirs(folder)
        shutil.move(os.path.join(self.folder, "webhook"), os.path.join(folder, name))
        self.nopsnap("notify", "shop", "--test", status=2)
        os.environ["CREDENTIALS_DIRECTORY"] = folder
        try:
            run = subprocess.run([PROGRAM, "--config", self.config, "notify", "shop", "--test"], capture_output=True)
        finally:
            del os.environ["CREDENTIALS_DIRECTORY"]
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(len(self.web.asked), 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    arguments, rest = parser.parse_known_args()
    TOOL = arguments.tool
    unittest.main(argv=["notify_test.py", *rest], warnings="ignore")
