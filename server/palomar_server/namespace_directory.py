"""The directory of named network namespaces: what lies in it, and when to look again.

In: a directory such as /run/netns, where `ip netns`, CNI plugins and container runtimes bind-mount
(or link to) namespaces under a name. Out: a descriptor per network namespace in it, and a wake-up
when something changed. Called by `namespaces`.

Two kernel interfaces, since neither tells all: inotify(7) for names that come and go, and the mount
table (proc_pid_mountinfo(5) reports changes as POLLPRI), because a namespace is mounted over its
name after the name was made, of which inotify says nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import select
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

_IN_ATTRIB = 0x4
_IN_MOVED_FROM = 0x40
_IN_MOVED_TO = 0x80
_IN_CREATE = 0x100
_IN_DELETE = 0x200
_IN_DELETE_SELF = 0x400
_IN_MOVE_SELF = 0x800
_IN_ONLYDIR = 0x1000000
_ENTRY_EVENTS = _IN_CREATE | _IN_DELETE | _IN_MOVED_FROM | _IN_MOVED_TO | _IN_ATTRIB
_OWN_EVENTS = _IN_DELETE_SELF | _IN_MOVE_SELF

_NS_GET_NSTYPE = 0xB703
"""ioctl on a namespace file: which kind it is (include/uapi/linux/nsfs.h)."""
_CLONE_NEWNET = 0x40000000

_MOUNT_TABLE = Path("/proc/self/mountinfo")
_OWN_NAMESPACE = Path("/proc/self/ns/net")

_libc = ctypes.CDLL(None, use_errno=True)


class NamespaceFile(NamedTuple):
    """A named network namespace, open."""

    name: str
    fd: int
    """Open only while the iteration stands on it: held longer, it would keep the namespace."""
    inode: int
    """Its number in nsfs, which is also how kernel events name it."""


def network_namespaces(
    directory: Path, first: Container[str] = frozenset()
) -> Iterator[NamespaceFile]:
    """Open each network namespace in a directory in turn, ordered by name, those in `first` first.

    Anything else there is passed over: leftovers of a crash (plain empty files), dangling links,
    namespaces of other kinds, and the namespace of this process, which is no endpoint but the host.
    A directory that does not exist has none.
    """
    own = _OWN_NAMESPACE.stat()
    try:
        paths = sorted(directory.iterdir(), key=lambda path: (path.name not in first, path.name))
    except FileNotFoundError:
        return
    for path in paths:
        fd = _open_namespace(path, own)
        if fd < 0:
            continue
        try:
            yield NamespaceFile(path.name, fd, os.fstat(fd).st_ino)
        finally:
            os.close(fd)


def _open_namespace(path: Path, own: os.stat_result) -> int:
    """A descriptor of the network namespace at `path`; -1 if there is none or it is our own."""
    try:
        # Looked at before it is opened: opening a device or a FIFO may do something.
        found = path.stat()
        if not _is_foreign_namespace(found, own):
            return -1
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return -1
    try:
        opened = os.fstat(fd)
        if _is_foreign_namespace(opened, own) and fcntl.ioctl(fd, _NS_GET_NSTYPE) == _CLONE_NEWNET:
            return fd
    except OSError:
        pass
    os.close(fd)
    return -1


def _is_foreign_namespace(found: os.stat_result, own: os.stat_result) -> bool:
    # All namespaces live on one nsfs, so our own one's device number tells them.
    on_nsfs = stat.S_ISREG(found.st_mode) and found.st_dev == own.st_dev
    return on_nsfs and found.st_ino != own.st_ino


class DirectoryWatch:
    """Wakes a poller when the directory's names, or what is mounted on them, may have changed."""

    def __init__(self, directory: Path) -> None:
        """Start watching; the directory need not exist yet.

        Raises:
            OSError: No inotify instance is left (EMFILE; sysctl fs.inotify.max_user_instances).
        """
        self._directory = directory
        self._inotify = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._inotify < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"inotify_init1: {os.strerror(code)}")
        self._ancestor_watch = -1
        try:
            self._mounts = os.open(_MOUNT_TABLE, os.O_RDONLY | os.O_CLOEXEC)
            self._arm()
        except OSError:
            self.close()
            raise

    def polled(self) -> dict[int, int]:
        """File descriptor -> epoll events to wait for."""
        return {self._inotify: select.EPOLLIN, self._mounts: select.EPOLLPRI}

    def drain(self) -> None:
        """Take note of what woke the poller. A changed mount table needs nothing read."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._inotify, 1 << 16):
                pass
        self._arm()

    def _arm(self) -> None:
        """Watch the directory, or while it does not exist its nearest ancestor that does."""
        for _ in range(2):
            if self._watch(self._directory, _ENTRY_EVENTS | _OWN_EVENTS) >= 0:
                if self._ancestor_watch >= 0:
                    _libc.inotify_rm_watch(self._inotify, self._ancestor_watch)
                    self._ancestor_watch = -1
                return
            for ancestor in self._directory.absolute().parents:
                self._ancestor_watch = self._watch(ancestor, _IN_CREATE | _IN_MOVED_TO)
                if self._ancestor_watch >= 0:
                    break
            # Once more: the directory may have been made before its ancestor was watched.

    def _watch(self, path: Path, events: int) -> int:
        """A watch number, the same for the same directory; -1 where there is no such directory."""
        number = int(
            _libc.inotify_add_watch(self._inotify, os.fsencode(path), events | _IN_ONLYDIR)
        )
        if number < 0 and (code := ctypes.get_errno()) not in (errno.ENOENT, errno.ENOTDIR):
            raise OSError(code, f"inotify_add_watch: {os.strerror(code)}", str(path))
        return number

    def close(self) -> None:
        """Stop watching."""
        os.close(self._inotify)
        with contextlib.suppress(AttributeError):
            os.close(self._mounts)
