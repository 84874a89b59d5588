"""Opens an address in the person's browser, if one can open outside the terminal."""

import os
import sys
import threading
import webbrowser
from contextlib import suppress
from pathlib import Path


def obstacle() -> str:
    """Return why no browser can be opened here; empty if one can be tried."""
    if os.environ.get("BROWSER"):
        return ""
    if sys.platform in ("win32", "darwin"):
        if os.environ.get("SSH_CONNECTION"):
            return "this is a remote session"
        return ""
    if _is_wsl():
        return "this is WSL, and browsers run in Windows"
    if os.environ.get("SSH_CONNECTION") and not os.environ.get("DISPLAY"):
        return "this is a remote session"
    # Without a screen, Python would open a browser that takes over the terminal.
    if not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY"):
        return "no screen was found"
    return ""


def _is_wsl() -> bool:
    with suppress(OSError):
        return "microsoft" in Path("/proc/sys/kernel/osrelease").read_text(encoding="ascii", errors="replace").lower()
    return False


def is_remote() -> bool:
    """Return whether the person sits at another machine."""
    return bool(os.environ.get("SSH_CONNECTION"))


def tunnel(port: int) -> str:
    """Return the command that forwards a port of this machine to the machine that the person sits at."""
    user = os.environ.get("USER") or os.environ.get("LOGNAME") or "USER"
    host = os.environ.get("SSH_CONNECTION", "").split()[2:3] or ["HOST"]
    return f"ssh -N -L {port}:127.0.0.1:{port} {user}@{host[0]}"


def open_browser(address: str) -> threading.Thread:
    """Open an address in a thread, and return the thread. If no browser opens, people have the printed address."""

    def start() -> None:
        with suppress(Exception):  # whatever a browser's script does, the page can be opened by hand
            webbrowser.open(address)

    opening = threading.Thread(target=start, daemon=True)
    opening.start()
    return opening
