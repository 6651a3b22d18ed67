"""A disk as the journal of power_cut.c tells it: what is durable, what is only written, and what of
it a power cut may leave. power_cut.py reads one journal for each life of the relay into it. The rules
are those of `Disk` (EkidenRuntime): of the writes of a file since its last sync that ended well any
subset, each possibly torn at a sector; of the names made, renamed or removed in a directory since its
last sync any subset. A sync speaks for what had ended when it began."""

import os
import random
import stat
import struct

from test_bed import Broken

SECTOR = 512
MARKER = 0x4C4E524A
(OPEN, WRITE, TRUNCATE, ALLOCATE, SYNC, RENAME, UNLINK, MKDIR, RMDIR, CLOSE, UNKNOWN) = range(1, 12)
CREATES, TRUNCATES = 1, 4


class Change:
    """Bytes written, or length changed, and not known to be durable."""

    def __init__(self, begun, offset, data=None, length=None):
        self.begun, self.ended, self.when = begun, None, None
        self.offset, self.data, self.length = offset, data, length

    def pieces(self):
        """The change cut at the sectors of the file: offset and bytes; a new length is one piece."""
        if self.data is None:
            return [None]
        start, pieces = 0, []
        while start < len(self.data):
            end = min(start + SECTOR - (self.offset + start) % SECTOR, len(self.data))
            pieces.append((start, end))
            start = end
        return pieces

    def apply(self, content, pieces=None):
        if self.data is None:
            if len(content) < self.length:
                content.extend(bytes(self.length - len(content)))
            return
        for start, end in pieces if pieces is not None else [(0, len(self.data))]:
            if start == end:
                continue
            if len(content) < self.offset + end:
                content.extend(bytes(self.offset + end - len(content)))
            content[self.offset + start:self.offset + end] = self.data[start:end]


class File:
    def __init__(self, durable=b""):
        self.durable = bytearray(durable)
        self.pending = []

    def sync(self, begun):
        """Durable is what had ended when the sync began."""
        done = [c for c in self.pending if c.ended and c.ended < begun]
        for change in done:
            change.apply(self.durable)
        self.pending = [c for c in self.pending if not (c.ended and c.ended < begun)]
        return done

    def current(self):
        content = bytearray(self.durable)
        for change in self.pending:
            change.apply(content)
        return content

    def after_cut(self, dice, style, counts):
        content = bytearray(self.durable)
        share = dice.choice((0.1, 0.5, 0.9))
        last = dice.randrange(len(self.pending) + 1)
        for number, change in enumerate(self.pending):
            counts["writes"] += 1
            pieces = change.pieces()
            if style == "none" or (style == "writes" and dice.random() > share) \
                    or (style == "early" and number >= last) or (style == "late" and number < last):
                kept = []
            elif style == "sectors" or (style == "late" and number == last):
                kept = [piece for piece in pieces if dice.random() < share]
            else:
                kept = pieces
            if kept:
                change.apply(content, None if change.data is None else kept)
            counts["writes dropped"] += not kept
            counts["writes torn"] += 0 < len(kept) < len(pieces)
        return content


def records(journal):
    """The records of a journal and what belongs to each; the last may be cut short."""
    with open(journal, "rb") as file:
        data = memoryview(file.read())
    at = 0
    while at + 64 <= len(data):
        head = struct.unpack_from("<IIQQqqqqIHBB", data, at)
        if head[0] != MARKER:
            raise Broken(f"no record at {at} of {journal}")
        if at + 64 + head[1] > len(data):
            break
        yield head, data[at + 64:at + 64 + head[1]]
        at += 64 + head[1]


DIRECTORY = "directory"


class NameChange:
    """Names given (to a file or directory) and taken (None) by one call in one directory."""

    def __init__(self, begun, edits):
        self.begun, self.ended, self.edits = begun, None, edits

    def apply(self, names):
        for path, node in self.edits:
            if node is None:
                names.pop(path, None)
            else:
                names[path] = node


def parent(path):
    return path.rpartition("/")[0]


class Disk:
    """What is durable, what is there, and what lies between, after each record of a journal."""

    def __init__(self, image, lie=(), share=1.0):
        self.durable = {path: DIRECTORY if content is None else File(content)
                        for path, content in image.items()}
        self.current = dict(self.durable)
        self.pending = {}  # directory: its NameChanges
        self.handles = {}
        self.under_way = {}
        # Syncs that count for nothing: of what, and how many of them.
        self.lie, self.share, self.liar = lie, share, random.Random(len(image))
        # Of all syncs, and of all writes to the log from their end to that of their sync: seconds.
        self.longest_sync = self.longest_wait = 0.0

    def read(self, journal):
        """Takes in the records one by one; gives the time of each once it is taken in."""
        for (_, _, order, begun, when, offset, length, result, handle, flags, kind,
             phase), payload in records(journal):
            if kind == UNKNOWN:
                raise Broken(f"the relay made a call there is no rule for: {bytes(payload)}")
            if kind == CLOSE:
                self.handles.pop(handle, None)
            elif phase == 0:
                self.begin(order, kind, handle, flags, offset, length, payload, when)
            else:
                self.end(order, begun, result, handle, when)
            yield when / 1e9

    def begin(self, order, kind, handle, flags, offset, length, payload, when):
        changes, node = [], None
        if kind in (WRITE, TRUNCATE, ALLOCATE):
            node = self.handles[handle]
            if kind == WRITE:
                change = Change(order, offset, bytes(length) if flags & 1 else bytes(payload))
            else:
                if kind == TRUNCATE and length < len(node.current()):
                    raise Broken("a file was made shorter; there is no rule for that")
                change = Change(order, 0, length=offset + length)
            node.pending.append(change)
            changes = [(node.pending, change)]
        elif kind == SYNC:
            node = self.handles[handle]
        else:
            paths = [part.decode() for part in bytes(payload).split(b"\0")]
            path, edits = paths[0], []
            node = self.current.get(path, DIRECTORY if path == "" else None)
            if kind == OPEN:
                if node is None and flags & CREATES:
                    node = File()
                    edits = [[(path, node)]]
                elif flags & TRUNCATES and node.current():
                    raise Broken("a file was emptied; there is no rule for that")
                if node is DIRECTORY:
                    node = path
            elif kind == MKDIR and node is None:
                edits = [[(path, DIRECTORY)]]
            elif kind in (UNLINK, RMDIR) and node is not None:
                edits = [[(path, None)]]
            elif kind == RENAME and node is not None:
                edits = [[(path, None), (paths[1], node)]]
                if parent(path) != parent(paths[1]):
                    edits = [[edit] for edit in edits[0]]
            for edit in edits:
                change = NameChange(order, edit)
                pending = self.pending.setdefault(parent(edit[0][0]), [])
                pending.append(change)
                changes.append((pending, change))
        self.under_way[order] = (kind, node, changes, when)

    def end(self, order, begun, result, handle, when):
        kind, node, changes, since = self.under_way.pop(begun)
        if result < 0 or (kind == WRITE and result == 0):
            for pending, change in changes:
                pending.remove(change)
            return
        for _, change in changes:
            change.ended, change.when = order, when
            if isinstance(change, NameChange):
                change.apply(self.current)
            elif kind == WRITE:
                change.data = change.data[:result]
        if kind == OPEN:
            self.handles[handle] = node
        elif kind == SYNC:
            self.longest_sync = max(self.longest_sync, (when - since) / 1e9)
            self.sync(node, begun, when)

    def sync(self, node, begun, when):
        kind = "files" if isinstance(node, File) else "names"
        if kind in self.lie and self.liar.random() < self.share:
            return
        if kind == "files":
            done = node.sync(begun)
            if node in self.log_files():
                self.waited(done, when)
        else:
            pending = self.pending.get(node, [])
            for change in [c for c in pending if c.ended and c.ended < begun]:
                change.apply(self.durable)
                pending.remove(change)

    def log_files(self):
        return [node for path, node in self.current.items() if path.endswith(".segment")]

    def waited(self, changes, when):
        for change in changes:
            if change.when:
                self.longest_wait = max(self.longest_wait, (when - change.when) / 1e9)

    def wait_until(self, when):
        """The end is there: the longest time for which a write to the log was not durable."""
        for node in self.log_files():
            self.waited(node.pending, when * 1e9)
        return self.longest_wait

    def differences(self, directory):
        """Paths where the journal, all of it, and what is really there are not the same. A call that
        had not ended may have had its effect or not."""
        open_paths = {path for _, _, changes, _ in self.under_way.values() for _, change in changes
                      if isinstance(change, NameChange) for path, _ in change.edits}
        real = {}
        for folder, directories, files in os.walk(directory):
            for name in directories + files:
                path = os.path.join(folder, name)
                if not stat.S_ISSOCK(os.lstat(path).st_mode):
                    real[os.path.relpath(path, directory)] = path
        different = [path for path in real.keys() ^ self.current.keys() if path not in open_paths]
        for path in real.keys() & self.current.keys():
            node = self.current[path]
            if node is DIRECTORY or path in open_paths:
                continue
            if any(change.ended is None for change in node.pending):
                continue
            with open(real[path], "rb") as file:
                if file.read() != node.current():
                    different.append(path)
        return sorted(different)

    def after_cut(self, dice, counts):
        """The spool as a power cut may leave it: content by path, None for a directory."""
        styles = ("none", "all", "early", "late", "writes", "sectors")
        style = dice.choice(styles) if dice.random() < 0.5 else None
        left = dict(self.durable)
        for directory in sorted(self.pending):
            share = dice.choice((0, 0.1, 0.5, 0.9, 1))
            for change in self.pending[directory]:
                counts["names"] += 1
                if dice.random() < share:
                    change.apply(left)
                else:
                    counts["names dropped"] += 1
        image = {}
        for path in sorted(left):
            # A directory that is gone takes along what is in it.
            if parent(path) and parent(path) not in image:
                continue
            node = left[path]
            image[path] = None if node is DIRECTORY else node.after_cut(
                dice, style or dice.choice(styles), counts)
        return image


def put_down(image, directory):
    os.mkdir(directory, 0o700)
    for path, content in sorted(image.items()):
        if content is None:
            os.mkdir(f"{directory}/{path}", 0o700)
        else:
            with open(f"{directory}/{path}", "wb") as file:
                file.write(content)
