#!/usr/bin/env python3
"""Rows of table Picture whose file is not in the snapshot are counted and told: on a shop with 61 pictures, each of which has its file.

    missing_pictures_test.py postgresql|mysql [PART OF A TEST'S NAME]
"""
import contextlib
import os
import shutil
import subprocess
import sys

from cli_support import FIXTURE, Bench, main, same

ENGINE = sys.argv[1]
EIGHT_DIGITS = 10_000_000
IDS = list(range(1, 61)) + [EIGHT_DIGITS]
ENDINGS = ["jpeg", "png", "webp", "svg+xml", ""]  # the last: a row without a type
IMAGES = "wwwroot/images"


@contextlib.contextmanager
def fresh():
    SHOP.begin()
    SHOP.run("init").expect(0)
    yield SHOP


def sql(b, text):
    b.server.sql(text.replace('"', "`") if ENGINE == "mysql" else text, "shop")


def name_of(picture):
    return f"{picture:07d}_0.{ENDINGS[picture % len(ENDINGS)]}"


def remove(b, *pictures):
    for picture in pictures:
        os.unlink(os.path.join(b.site, IMAGES, name_of(picture)))


def says(b, words, *options, missing):
    """What the snapshot, its object and its record say about pictures; nothing where words is None. It is no warning: as the shop was."""
    result = b.run("snapshot", "shop", *options).expect(0)
    told = [line for line in result.err.splitlines() if "table Picture" in line]
    same("told", told, [words] if words else [])
    same("recorded", [note for note in b.objects("show", "latest")[0]["notes"] if "table Picture" in note], [words] if words else [])
    same("missing", b.objects("snapshot", "shop", *options)[-1].get("pictures_missing"), missing)


def says__nothing_where_every_row_has_its_file():
    with fresh() as b:
        says(b, None, missing=0)


def says__which_rows_have_none():
    with fresh() as b:
        remove(b, 3, EIGHT_DIGITS)
        # None of these is the original of number 3.
        for decoy in ("thumbs/0000003_0.jpeg", "0000003_1.jpeg", "00000003_0.jpeg", "000003_0.jpeg", "0000003_0", "0000003_name_415.jpeg"):
            b.put(f"{IMAGES}/{decoy}", "no original")
        os.mkdir(os.path.join(b.site, IMAGES, "0000003_0.jpeg"))
        says(b, f"2 rows of table Picture have no file in {IMAGES} of the snapshot: 0000003_0.*, 10000000_0.*", missing=2)
        b.put(f"{IMAGES}/{name_of(EIGHT_DIGITS)}", "back again")
        says(b, f"1 row of table Picture has no file in {IMAGES} of the snapshot: 0000003_0.*", missing=1)
        b.put(f"{IMAGES}/0000003_0.gif", "of another type")
        says(b, None, missing=0)


def says__five_names_and_how_many_more():
    with fresh() as b:
        remove(b, *IDS)
        first = ", ".join(f"{i:07d}_0.*" for i in range(1, 6))
        says(b, f"61 rows of table Picture have no file in {IMAGES} of the snapshot: {first} and 56 more", missing=61)
        shutil.rmtree(os.path.join(b.site, IMAGES))
        says(b, f"61 rows of table Picture have no file in {IMAGES} of the snapshot: {first} and 56 more", missing=61)


def says__that_a_link_in_the_folders_place_has_them_elsewhere():
    with fresh() as b:
        elsewhere = os.path.join(b.folder, "elsewhere")
        os.rename(os.path.join(b.site, IMAGES), elsewhere)
        os.symlink(elsewhere, os.path.join(b.site, IMAGES))
        first = ", ".join(f"{i:07d}_0.*" for i in range(1, 6))
        says(b, f"61 rows of table Picture have no file in {IMAGES} of the snapshot: {first} and 56 more", missing=61)


def says__nothing_of_pictures_in_the_database():
    with fresh() as b:
        remove(b, *IDS)
        sql(b, """update "Setting" set "Value" = 'True' where "Name" = 'media.images.storeindb'""")
        says(b, None, missing=None)
        sql(b, """delete from "Setting" where "Name" = 'media.images.storeindb'""")
        says(b, None, missing=None)


def says__nothing_of_half_a_shop_or_pictures_that_the_owner_leaves_out():
    with fresh() as b:
        remove(b, 3)
        says(b, None, "--files-only", missing=None)
        says(b, None, "--database-only", missing=None)
        for pattern in (f"{IMAGES}/**", "wwwroot", "*.png"):
            says(b, None, "--exclude", pattern, missing=None)
        says(b, f"1 row of table Picture has no file in {IMAGES} of the snapshot: 0000003_0.*", "--exclude", "*.ico", missing=1)


def says__it_of_pictures_outside_the_site_too():
    with fresh() as b:
        outside = os.path.join(b.folder, "outside")
        shutil.rmtree(b.site)
        subprocess.run([sys.executable, os.path.join(FIXTURE, "make_site.py"), b.site, "--files", "40", "--weight", "0.02", "--version", "4.90",
                        "--pictures", "60", "--picture-path", outside, "--provider", ENGINE, "--connection", os.path.join(b.folder, "connection")],
                       check=True, stdout=subprocess.DEVNULL)
        b.server.set_picture_path(outside)
        says(b, f"1 row of table Picture has no file in {outside} of the snapshot: 10000000_0.*", missing=1)
        # A transaction keeps what it took away beside them: a timer's sandbox has room for that.
        b.run("schedule", "shop", "--at", "03:00", "--systemd", "--dry-run").expect(0, out=f'ReadWritePaths="-{os.path.dirname(outside)}"')
        b.put(f"../../outside/{name_of(EIGHT_DIGITS)}", "the last one")
        says(b, None, missing=0)
        os.unlink(os.path.join(outside, "0000060_0.jpeg"))
        says(b, f"1 row of table Picture has no file in {outside} of the snapshot: 0000060_0.*", missing=1)


with Bench(ENGINE) as SHOP:
    for number in range(1, 9):
        os.unlink(os.path.join(SHOP.site, IMAGES, f"{number:07d}_0.jpeg"))
    for number in IDS:
        SHOP.put(f"{IMAGES}/{name_of(number)}", f"picture {number}")
    sql(SHOP, f"""insert into "Picture" ("Id", "MimeType", "IsNew") values ({EIGHT_DIGITS}, 'image/png', {'0' if ENGINE == 'mysql' else 'false'})""")
    SHOP.keep()
    tests = [says__nothing_where_every_row_has_its_file, says__which_rows_have_none, says__five_names_and_how_many_more,
             says__that_a_link_in_the_folders_place_has_them_elsewhere, says__nothing_of_pictures_in_the_database,
             says__nothing_of_half_a_shop_or_pictures_that_the_owner_leaves_out, says__it_of_pictures_outside_the_site_too]
    main([t for t in tests if len(sys.argv) < 3 or sys.argv[2] in t.__name__])
