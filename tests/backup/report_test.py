#!/usr/bin/env python3
"""`nopsnap report`: whole HTML that loads nothing, whatever a shop is called; drawn by chromium where there is one (else that part is skipped)."""
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

from overview_support import Failed, Planted, same

VOID = {"meta", "br"}
CLOSED = {"line", "path", "rect"}  # written <line .../>


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.tags = [], [], []
        self.feed(text)
        self.close()
        same("left open", self.open, [])

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "action") or name.startswith("on") or "//" in (value or "") and "title" != name:
                raise Failed(f"<{tag} {name}={value!r}>")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in CLOSED:
            raise Failed(f"<{tag}/>")

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            raise Failed(f"</{tag}> closes nothing that is open")

    def handle_data(self, data):
        self.texts.append(data)


def report_of(b):
    file = os.path.join(b.folder, "r.html")
    b.run("report", "--html", file).expect(0, out=file)
    same("mode", oct(os.stat(file).st_mode & 0o777), "0o600")
    with open(file, encoding="utf-8") as f:
        text = f.read()
    if "url(" in text or "@import" in text or "http" in text:
        raise Failed("the page names something elsewhere")
    return file, text, Page(text)


def page__is_whole_and_escapes_every_name():
    with Planted(name="<script>alert(1)\udcff\"'&amp;") as b:
        b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\n")
        _, text, page = report_of(b)
        words = "".join(page.texts)
        same("scripts", [t for t in page.tags if t in ("script", "img", "iframe")], [])
        for word in ("<script>alert(1)", "\\xff", "<b>odd</b>", "nopCommerce 4.70.2", "6900", "Scheduled runs", "Restore drills", "well"):
            if word not in words:
                raise Failed(f"the page does not say {word!r}")
        same("a tick for each snapshot", text.count("class='tick k-"), 60)
        same("the upgrade", text.count("class='tick up'"), 1)
        same("the run that failed", len(re.findall(r"<i class=b title='[^']*exit status 1'>", text)), 1)
        if not re.search(r"Order</td><td class=n>\+11<", text):
            raise Failed("rows that came are not told")
        b.at(3 * 86400)
        if "problem warning" not in report_of(b)[1] or "look at it" not in report_of(b)[1]:
            raise Failed("what is wrong is not on the page")
        b.at(70 * 86400)
        text = report_of(b)[1]
        if not text.index("</header>") < text.index("was not read for") < text.index("<h2>"):
            raise Failed("what is wrong with the catalogue does not come first")


def page__is_written_nowhere_where_visitors_could_read_it():
    with Planted(snapshots=3) as b:
        b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\n")  # no section names that shop
        served = os.path.join(b.site, "wwwroot", "seo")
        os.makedirs(served)
        os.makedirs(os.path.join(b.site, "App_Data"))
        os.symlink(served, os.path.join(b.folder, "pages"))
        for file in (os.path.join(served, "r.html"), os.path.join(b.folder, "pages", "r.html")):
            b.run("report", "--html", file).expect(1, err=f"{file} is inside a site: visitors could read it", hint="elsewhere")
        os.rmdir(served)
        os.rmdir(os.path.dirname(served))  # from now on only the catalogue tells that this is a shop
        b.run("report", "--html", os.path.join(b.site, "App_Data", "r.html")).expect(1, err="is inside a site", hint="elsewhere")
        os.makedirs(served)
        b.write_config()
        b.run("report", "--html", os.path.join(b.site, "App_Data", "r.html")).expect(1, err="is inside a site", hint="elsewhere")
        same("written", [os.listdir(served), os.listdir(os.path.join(b.site, "App_Data"))], [[], []])


def page__works_without_data():
    with Planted(snapshots=0) as b:
        report_of(b)
        b.write_config(f"[nopsnap]\ncatalog = {b.catalog}\n")
        if "No shop is known yet" not in report_of(b)[1]:
            raise Failed("nothing is said of no shops")


def page__of_one_and_of_many_snapshots_is_bounded():
    with Planted(snapshots=1) as b:
        report_of(b)
    with Planted(snapshots=400, every=3600) as b:
        size = len(report_of(b)[1])
        if size > 60000:
            raise Failed(f"{size} bytes")


def browser__draws_it_within_a_phone():
    """No wider than the window: a page that is gets cut by the screenshot, so the browser is asked for its width."""
    chromium = shutil.which("chromium")
    if not chromium:
        print("skip  no chromium here")
        return
    with Planted() as b:
        file, text, _ = report_of(b)
        probe = file + ".probe.html"
        with open(probe, "w", encoding="utf-8") as f:  # the only script is the test's, around the page
            f.write(f"<iframe id=f width=375 height=800 style='border:0' src='file://{file}'></iframe><p id=w>none</p>"
                    "<script>onload=()=>{const d=document.getElementById('f').contentDocument.documentElement;"
                    "document.getElementById('w').textContent='wide:'+d.scrollWidth+' of '+d.clientWidth}</script>")
        argv = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", f"--user-data-dir={b.folder}/chromium"]
        seen = subprocess.run([*argv, "--dump-dom", "--virtual-time-budget=2000", "file://" + probe], capture_output=True, text=True, timeout=100, check=False).stdout
        found = re.search(r">wide:(\d+) of (\d+)<", seen)
        if not found or found[1] != found[2]:
            raise Failed(f"at 375 pixels: {found and found[0]} {seen[-300:]}")
        shot = os.path.join(b.folder, "shot.png")
        subprocess.run([*argv, f"--screenshot={shot}", "--window-size=1100,1500", "--hide-scrollbars", "file://" + file], capture_output=True, timeout=100, check=False)
        if os.path.getsize(shot) < 20000:
            raise Failed("the screenshot is empty")
        if len(sys.argv) > 2:
            shutil.copy(shot, sys.argv[2])


if __name__ == "__main__":
    from overview_support import main
    main([v for n, v in list(globals().items()) if "__" in n and not n.startswith("__") and (len(sys.argv) < 2 or sys.argv[1] in n)])
