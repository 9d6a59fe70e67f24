"""Downloads one file: continues what an earlier attempt has left, retries a broken connection, shows progress."""

import contextlib
import errno
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ppface.core.errors import UserError

TIMEOUT_S = 30.0  # without a byte
ATTEMPTS = 4  # one after another that bring no byte
RETRY_S = 1.0  # before the next attempt
BLOCK = 1 << 16
MISSING = (401, 403, 404, 410, 451)  # codes of servers that will not have the file in a second either


class DownloadError(UserError):
    """A file that could not be downloaded; the message is the reason alone."""


class SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but none from https to anything else."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            fp.close()
            raise DownloadError(f"the server redirects to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@dataclass
class Part:
    """What has been downloaded of a file, beside it as `.NAME.part`, and `.NAME.etag`, the server's mark of its version.

    Args:
        target: the complete file, in a folder that exists.
        trusted: whether a digest is known, so that a mixture of two versions would be noticed.
    """

    target: Path
    trusted: bool

    @property
    def file(self) -> Path:
        return self.target.with_name(f".{self.target.name}.part")

    @property
    def mark(self) -> Path:
        return self.target.with_name(f".{self.target.name}.etag")

    def have(self) -> int:
        """How many bytes of the file are here."""
        return self.file.stat().st_size if self.file.exists() else 0

    def headers(self) -> dict[str, str]:
        """The request's headers that continue at the end of the part, if it can be continued."""
        have = self.have()
        version = self.mark.read_text(encoding="utf-8") if self.mark.exists() else ""
        if not have or not (version or self.trusted):
            return {}
        return {"Range": f"bytes={have}-"} | ({"If-Range": version} if version else {})

    def remove(self) -> None:
        self.file.unlink(missing_ok=True)
        self.mark.unlink(missing_ok=True)


def download(address: str, target: Path, size: int | None, trusted: bool) -> None:
    """Downloads the file at an address to `target`.

    Args:
        address: http or https; redirections are followed, but not from https to http.
        target: a file in a folder that exists.
        size: in bytes, if it is known.
        trusted: whether the caller compares the file with a known digest.

    Raises:
        DownloadError: the server has no such file or cannot be reached, or the disk is full; what has arrived is kept for the next call.
    """
    part, failures, most = Part(target, trusted), 0, 0  # most: bytes that any attempt has brought; a restart alone is no progress
    while True:
        most = max(most, part.have())
        try:
            if _receive(address, part, size):
                with _disk(target):
                    part.file.replace(target)
                part.remove()
                return
            reason = "the connection ended too early"
        except urllib.error.HTTPError as error:
            error.close()
            reason = f"the server answers {error.code} {' '.join(str(error.reason).split())}"  # of a loop of redirections it has lines
            if error.code in MISSING:
                raise DownloadError(reason) from None
            if error.code == 416:  # the part is longer than the file
                part.remove()
        except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: a redirection to what is no address
            reason = str(getattr(error, "reason", None) or error) or type(error).__name__
        failures = 0 if part.have() > most else failures + 1
        if failures == ATTEMPTS:
            raise DownloadError(reason)
        time.sleep(RETRY_S)


def _receive(address: str, part: Part, size: int | None) -> bool:
    """One attempt; whether the file is complete."""
    from tqdm import tqdm

    request = urllib.request.Request(address, headers={"User-Agent": "ppface", **part.headers()})
    with urllib.request.build_opener(SafeRedirects).open(request, timeout=TIMEOUT_S) as response:
        continued = response.status == 206
        start = part.have() if continued else 0
        if continued and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            part.remove()
            return False
        if response.headers.get_content_type() == "text/html":  # of a login, or of a network that asks for one
            raise DownloadError("the server sends a web page instead of the file")
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else size
        if size is not None and total != size:
            raise DownloadError(f"the server offers a file of {total} bytes, expected {size}")
        with _disk(part.file):
            _check_space(part.file, (total or 0) - start)
            part.mark.write_text(response.headers.get("ETag", ""), encoding="utf-8")
            handle = part.file.open("ab" if continued else "wb")
        with handle, tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=part.target.name, disable=None) as progress:
            while block := response.read(BLOCK):
                start += len(block)
                if total is not None and start > total:
                    part.remove()
                    raise DownloadError(f"the server sends more than the {total} bytes of the file")
                with _disk(part.file):
                    handle.write(block)
                    handle.flush()  # so that a full disk is noticed here
                progress.update(len(block))
    return start > 0 and (total is None or part.file.stat().st_size >= total)


@contextlib.contextmanager
def _disk(file: Path) -> Iterator[None]:
    """Tells errors of the disk, which are reported at once, from those of the network, which are retried."""
    try:
        yield
    except OSError as error:
        raise DownloadError(f"cannot write {file}: {error.strerror}") from None


def _check_space(file: Path, needed: int) -> None:
    free = shutil.disk_usage(file.parent).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {needed >> 20} MB are needed, {free >> 20} MB are free")
