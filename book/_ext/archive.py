"""The built book as one zip for reading offline, and links to what was made from the book.

Equal pages give equal archives: names are sorted, times and permissions fixed.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from bs4 import BeautifulSoup

FOLDER = "collapse-book"
DOWNLOADS = "downloads"
# The oldest time that a zip can hold.
TIME = (1980, 1, 1, 0, 0, 0)


def pack(html: Path, target: Path) -> None:
    """Pack the built book; ``index.html`` in the archive's one folder opens it.

    Args:
        html: The folder of the built book.
        target: The zip file to write.
    """
    files = [path for path in sorted(html.rglob("*")) if path.is_file()]
    part = target.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in files:
            name = path.relative_to(html)
            # Hidden files serve the next build; an archive that holds archives would grow.
            if name.parts[0] != DOWNLOADS and not any(p.startswith(".") for p in name.parts):
                entry = zipfile.ZipInfo(f"{FOLDER}/{name.as_posix()}", TIME)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, path.read_bytes())
    part.replace(target)


def offer(html: Path, page: str, file: Path, words: str) -> None:
    """Put a file beside the built book and a link to it under a page.

    The next build writes the page anew, without the link: the file may be out of date by then.

    Args:
        html: The folder of the built book.
        page: The page's name in the table of contents.
        file: What to offer.
        words: The text of the link.
    """
    (html / DOWNLOADS).mkdir(exist_ok=True)
    shutil.copyfile(file, html / DOWNLOADS / file.name)
    path = html / f"{page}.html"
    soup = BeautifulSoup(path.read_text("utf-8"), "html.parser")
    stamp = soup.select_one("ul.page-stamp")
    if stamp is None:
        raise ValueError(f"{page}: expected a stamp under the page, found none")
    address = f"{'../' * page.count('/')}{DOWNLOADS}/{file.name}"
    if soup.find("a", href=address) is None:
        size = file.stat().st_size / 2**20
        item, link = soup.new_tag("li"), soup.new_tag("a", href=address, download="")
        link.string = words
        item.extend([link, f" ({size:.0f} MB)"])
        stamp.append(item)
        path.write_text(str(soup), "utf-8")
