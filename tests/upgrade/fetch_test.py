#!/usr/bin/env python3
"""Releases from a real HTTP server that redirects, drops connections, changes its mind and lies."""
import argparse
import base64
import hashlib
import http.server
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import zipfile

OK, USAGE, NOT_FOUND, BUSY, REFUSED, REMOTE, CANCELLED = 0, 1, 2, 4, 7, 8, 12
PASSWORD = "Pa55word"
TOKEN = "T0ken"
TOOL = ""


def release(filler):
    """A small shop of 4.80.9 whose zip is about half a megabyte, so that a drop leaves something to go on with."""
    literal = "4.80.9".encode("utf-16-le")
    files = {
        "Nop.Core.dll": b"MZ" + bytes([len(literal)]) + literal + b"\x00",
        "Nop.Web.dll": b"MZ",
        "Nop.Web": b"\x7fELF",
        "wwwroot/filler.bin": hashlib.shake_256(filler).digest(500_000),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo("nop/" + name, (2025, 1, 2, 3, 4, 6)), content)
    return out.getvalue()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        self.server.play(self)

    # What the plays below are made of.
    def status(self, code, headers=(), body=b""):
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def drop(self):
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(2)

    def file(self, body, validators=(), cut=None, honour=True):
        """The whole or the range that was asked for; `cut` bytes of it and then nothing more."""
        names = dict(validators)
        wanted = self.headers.get("Range")
        condition = self.headers.get("If-Range")
        unchanged = [self.headers.get("If-None-Match"), self.headers.get("If-Modified-Since")]
        if names and any(u and u in names.values() for u in unchanged):
            self.send_response(304)
            self.end_headers()
            return
        start = 0
        if wanted and honour and (condition is None or condition in names.values()):
            start = int(wanted[len("bytes="):-1])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        for name, value in validators:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        if cut is None:
            self.wfile.write(body[start:])
        else:
            self.wfile.write(body[start:start + cut])
            self.drop()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that ends early is what some tests are about."""

    def __init__(self, play):
        super().__init__(("127.0.0.1", 0), Handler)
        self.play = play
        self.asked = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def url(self, path="/release.zip", host="127.0.0.1", credentials=""):
        return f"http://{credentials}{host}:{self.server_address[1]}{path}"


class Fetch(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="ns")
        self.work = os.path.join(self.folder, "work")
        os.mkdir(self.work, 0o700)
        self.servers = []
        self.body = release(b"one")
        self.sum = hashlib.sha256(self.body).hexdigest()

    def tearDown(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()
        shutil.rmtree(self.folder)

    def serve(self, play):
        self.servers.append(Server(play))
        return self.servers[-1]

    def command(self, source, **options):
        return [TOOL, source] + [f"{name.replace('_', '-')}={value}" for name, value in options.items()]

    def environment(self, **more):
        clean = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        return {**clean, **more}

    def run_tool(self, source, environment=None, **options):
        options.setdefault("work", self.work)
        run = subprocess.run(self.command(source, **options), capture_output=True, timeout=100,
                             env=self.environment(**(environment or {})))
        out = run.stdout.decode()
        self.assertNotIn("AddressSanitizer", run.stderr.decode())
        for secret in (PASSWORD, TOKEN):
            self.assertNotIn(secret, out + run.stderr.decode())
        self.assertIn("\nkind ", "\n" + out, run.stderr.decode())
        return out

    def expect(self, out, kind, *words):
        self.assertIn(f"kind {kind}\n", out)
        for word in words:
            self.assertIn(word, out)

    def ranges(self, server):
        return [headers.get("Range") for _, headers in server.asked]

    # ---- it works ----

    def test_a_plain_download_is_unpacked(self):
        server = self.serve(lambda h: h.file(self.body))
        target = os.path.join(self.folder, "tree")
        out = self.run_tool(server.url(), target=target)
        self.expect(out, OK, f"sha256 {self.sum}", "version 4.80.9", f"note the SHA-256 of", "warning ", "http, where anybody")
        with open(os.path.join(target, "wwwroot/filler.bin"), "rb") as f:
            self.assertEqual(f.read(), hashlib.shake_256(b"one").digest(500_000))
        self.assertEqual(len(server.asked), 1)
        for name in os.listdir(self.work):
            self.assertEqual(os.stat(os.path.join(self.work, name)).st_mode & 0o7777, 0o600)

    def test_the_right_sum_is_taken_and_the_wrong_one_is_not(self):
        server = self.serve(lambda h: h.file(self.body, [("ETag", '"1"')]))
        out = self.run_tool(server.url(), sha256="0" * 64, target=os.path.join(self.folder, "tree"))
        self.expect(out, REFUSED, self.sum, "do not use it")
        self.assertFalse(os.path.exists(os.path.join(self.folder, "tree")))
        out = self.run_tool(server.url(), sha256=self.sum.upper())
        self.expect(out, OK)
        self.assertNotIn("warning", out)
        self.assertEqual(len(server.asked), 2)  # what had the wrong sum was not used again
        self.assertIsNone(server.asked[1][1].get("If-None-Match"))

    def test_a_whole_download_is_not_fetched_again(self):
        validators = [("ETag", '"1"')]
        server = self.serve(lambda h: h.file(self.body, validators))
        self.expect(self.run_tool(server.url()), OK)
        self.expect(self.run_tool(server.url()), OK, self.sum)
        self.assertEqual([headers.get("If-None-Match") for _, headers in server.asked], [None, '"1"'])
        self.expect(self.run_tool(server.url(), sha256=self.sum), OK)  # the sum says it: nobody is asked
        self.assertEqual(len(server.asked), 2)
        validators[0] = ("ETag", '"2"')
        self.body = release(b"two")
        self.expect(self.run_tool(server.url()), OK, hashlib.sha256(self.body).hexdigest())

    def test_without_a_folder_nothing_stays(self):
        server = self.serve(lambda h: h.file(self.body))
        temporary = os.path.join(self.folder, "tmp")
        os.mkdir(temporary)
        run = subprocess.run(self.command(server.url()), capture_output=True, timeout=100,
                             env=self.environment(TMPDIR=temporary))
        self.expect(run.stdout.decode(), OK, self.sum)
        self.assertEqual(os.listdir(temporary), [])

    def test_an_answer_without_a_length(self):
        def play(h):
            h.send_response(200)
            h.send_header("Transfer-Encoding", "chunked")
            h.end_headers()
            for at in range(0, len(self.body), 100_000):
                piece = self.body[at:at + 100_000]
                h.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            h.wfile.write(b"0\r\n\r\n")
        self.expect(self.run_tool(self.serve(play).url()), OK, self.sum)

    def test_the_environments_proxy_is_used(self):
        server = self.serve(lambda h: h.file(self.body))
        out = self.run_tool("http://shop.invalid/release.zip",
                            environment={"http_proxy": server.url("/", credentials=f"me:{PASSWORD}@")})
        self.expect(out, OK, self.sum)
        self.assertEqual(server.asked[0][0], "http://shop.invalid/release.zip")
        out = self.run_tool("http://shop.invalid/release.zip",
                            environment={"http_proxy": f"http://me:{PASSWORD}@[broken"})
        self.expect(out, REMOTE)

    # ---- drops ----

    def resume(self, validators, expected_condition):
        def play(h):
            h.file(self.body, validators, cut=200_000 if len(server.asked) < 3 else None)
        server = self.serve(play)
        self.expect(self.run_tool(server.url()), OK, self.sum, "note the download broke off")
        self.assertEqual(len(server.asked), 3)
        self.assertIsNone(self.ranges(server)[0])
        for _, headers in server.asked[1:]:
            self.assertRegex(headers.get("Range"), r"^bytes=[1-9][0-9]*-$")
            self.assertEqual(headers.get("If-Range"), expected_condition)

    def test_a_drop_is_gone_on_with_by_etag(self):
        self.resume([("ETag", '"abc"'), ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")], '"abc"')

    def test_a_weak_etag_does_not_count(self):
        moment = "Mon, 01 Jan 2024 00:00:00 GMT"
        self.resume([("ETag", 'W/"abc"'), ("Last-Modified", moment)], moment)

    def test_a_drop_is_gone_on_with_by_size(self):
        self.resume([], None)

    def test_the_next_process_goes_on(self):
        gone = []

        def play(h):
            if not gone:
                h.send_response(200)
                h.send_header("ETag", '"1"')
                h.send_header("Content-Length", str(len(self.body)))
                h.end_headers()
                h.wfile.write(self.body[:300_000])
                h.wfile.flush()
                stopped.wait(60)
            else:
                h.file(self.body, [("ETag", '"1"')])
        stopped = threading.Event()
        server = self.serve(play)
        process = subprocess.Popen(self.command(server.url(), work=self.work), stdout=subprocess.PIPE,
                                   env=self.environment())

        def arrived():
            return sum(os.stat(os.path.join(self.work, n)).st_size for n in os.listdir(self.work)) >= 300_000
        while not arrived():
            self.assertIsNone(process.poll())
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        out = process.communicate()[0].decode()
        self.expect(out, CANCELLED)
        gone.append(True)
        stopped.set()
        self.expect(self.run_tool(server.url()), OK, self.sum)
        self.assertEqual(self.ranges(server), [None, "bytes=300000-"])

    def test_another_release_meanwhile_is_not_mixed_in(self):
        other = release(b"two")

        def play(h):
            if len(server.asked) == 1:
                h.file(self.body, [("ETag", '"1"')], cut=200_000)
            else:
                h.file(other, [("ETag", '"2"')])
        server = self.serve(play)
        self.expect(self.run_tool(server.url()), OK, hashlib.sha256(other).hexdigest())

    def test_a_server_that_lies_about_ranges(self):
        """It says that it goes on, with another size, another ETag or from another place: begun anew."""
        def lie(content_range, etag):
            def play(h):
                if len(server.asked) == 2:
                    h.status(206, [("ETag", etag), ("Content-Range", content_range)], b"x" * 100)
                else:
                    h.file(self.body, [("ETag", '"1"')], cut=200_000 if len(server.asked) == 1 else None)
            server = self.serve(play)
            self.expect(self.run_tool(server.url()), OK, self.sum)
            self.assertEqual([bool(r) for r in self.ranges(server)], [False, True, False])
        size = len(self.body)
        lie(f"bytes 0-{size - 1}/{size}", '"1"')
        lie(f"bytes 200000-{size}/{size + 1}", '"1"')
        lie("nonsense", '"1"')

    def test_416_begins_anew(self):
        def play(h):
            if len(server.asked) == 2:
                h.status(416)
            else:
                h.file(self.body, cut=200_000 if len(server.asked) == 1 else None)
        server = self.serve(play)
        self.expect(self.run_tool(server.url()), OK, self.sum)

    def test_a_server_that_knows_no_ranges(self):
        def play(h):
            h.file(self.body, cut=200_000 if len(server.asked) < 2 else None, honour=False)
        server = self.serve(play)
        self.expect(self.run_tool(server.url()), OK, self.sum)
        self.assertEqual(len(server.asked), 2)

    def test_a_server_that_is_busy_for_a_moment(self):
        def play(h):
            if len(server.asked) < 3:
                h.status(503, body=b"later")
            else:
                h.file(self.body)
        server = self.serve(play)
        self.expect(self.run_tool(server.url()), OK, self.sum)

    def test_a_stalled_download_is_broken_off_and_gone_on_with(self):
        def play(h):
            if len(server.asked) > 1:
                h.file(self.body)
                return
            h.send_response(200)
            h.send_header("Content-Length", str(len(self.body)))
            h.end_headers()
            h.wfile.write(self.body[:150])  # libcurl takes the mean of some seconds
            h.wfile.flush()
            done.wait(60)
        done = threading.Event()
        server = self.serve(play)
        self.expect(self.run_tool(server.url(), stall=1000), OK, self.sum)
        self.assertEqual(self.ranges(server), [None, "bytes=150-"])
        done.set()

    # ---- redirects ----

    def test_redirects_are_followed(self):
        def play(h):
            if h.path == "/release.zip":
                h.status(302, [("Location", "/a/b")], b"moved " * 1000)
            elif h.path == "/a/b":
                h.status(307, [("Location", "../c?token=" + TOKEN)])
            else:
                h.file(self.body)
        server = self.serve(play)
        out = self.run_tool(server.url())
        self.expect(out, OK, self.sum)
        self.assertEqual([path for path, _ in server.asked], ["/release.zip", "/a/b", "/c?token=" + TOKEN])

    def test_credentials_stay_with_their_host(self):
        other = self.serve(lambda h: h.file(self.body))

        def play(h):
            if h.path.startswith("/release.zip"):
                h.status(302, [("Location", "/again")])
            else:
                h.status(302, [("Location", other.url("/x", host="localhost"))])
        server = self.serve(play)
        out = self.run_tool(server.url("/release.zip?key=" + TOKEN + "#f", credentials=f"me:{PASSWORD}@"))
        self.expect(out, OK, self.sum)
        login = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()
        self.assertEqual([headers.get("Authorization") for _, headers in server.asked], [login, login])
        self.assertIsNone(other.asked[-1][1].get("Authorization"))
        self.assertIn("name http://127.0.0.1:", out)

    def test_a_circle_ends(self):
        server = self.serve(lambda h: h.status(302, [("Location", "/release.zip")]))
        self.expect(self.run_tool(server.url()), REMOTE, "more than 10 times")
        self.assertEqual(len(server.asked), 11)

    def test_a_redirect_to_a_file_or_nowhere_is_refused(self):
        server = self.serve(lambda h: h.status(302, [("Location", "file:///etc/passwd")]))
        self.expect(self.run_tool(server.url()), REFUSED, "none of the web's")
        server = self.serve(lambda h: h.status(302))
        self.expect(self.run_tool(server.url()), REMOTE, "does not say where")

    # ---- refusals ----

    def test_statuses(self):
        for status, kind in ((404, NOT_FOUND), (410, NOT_FOUND), (403, REMOTE), (401, REMOTE), (204, REMOTE), (304, REMOTE)):
            server = self.serve(lambda h, s=status: h.status(s, body=b"" if s in (204, 304) else b"<html>no</html>"))
            url = server.url("/release.zip?key=" + TOKEN, credentials=f"me:{PASSWORD}@")
            out = self.run_tool(url)
            self.expect(out, kind, f"status {status}", f"error fetching http://127.0.0.1:{server.server_address[1]}/release.zip:")
            self.assertEqual(len(server.asked), 1)

    def test_a_web_page_is_no_release(self):
        server = self.serve(lambda h: h.status(200, body=b"<!DOCTYPE html><p>log in first"))
        self.expect(self.run_tool(server.url()), REFUSED, "hint it looks like a web page")

    def test_too_large_is_refused_before_and_meanwhile(self):
        server = self.serve(lambda h: h.file(self.body))
        self.expect(self.run_tool(server.url(), max_archive=100_000), REFUSED, "larger than")

        def endless(h):
            h.send_response(200)
            h.send_header("Transfer-Encoding", "chunked")
            h.end_headers()
            try:
                while True:
                    h.wfile.write(b"10000\r\n" + bytes(65536) + b"\r\n")
            except OSError:
                h.close_connection = True
        self.expect(self.run_tool(self.serve(endless).url(), max_archive=1_000_000), REFUSED, "larger than")

    def test_nobody_there(self):
        server = Server(lambda h: None)
        url = server.url()
        server.shutdown()
        server.server_close()
        self.expect(self.run_tool(url), REMOTE, "error fetching http://127.0.0.1:")

    def test_addresses_that_are_none(self):
        for url in ("ftp://127.0.0.1/x.zip", "file:///etc/passwd", "http://", f"http://me:{PASSWORD}@[x/y", "https://a b/"):
            self.expect(self.run_tool(url), USAGE)

    def test_two_at_once(self):
        def play(h):
            h.send_response(200)
            h.send_header("Content-Length", str(len(self.body)))
            h.end_headers()
            h.wfile.write(self.body[:1000])
            h.wfile.flush()
            done.wait(60)
            h.wfile.write(self.body[1000:])
        done = threading.Event()
        server = self.serve(play)
        first = subprocess.Popen(self.command(server.url(), work=self.work), stdout=subprocess.PIPE,
                                 env=self.environment())
        while not server.asked:
            time.sleep(0.01)
        self.expect(self.run_tool(server.url()), BUSY, "another process")
        done.set()
        self.expect(first.communicate()[0].decode(), OK, self.sum)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    known, rest = parser.parse_known_args()
    TOOL = known.tool
    unittest.main(argv=sys.argv[:1] + rest)
