# SPDX-License-Identifier: Apache-2.0
"""Where everything lies in a log directory, by docs/log-format.md: what a damage hits, and what must
follow from it."""

import bisect
import collections
import struct

PAGE = 4096
DATA = 1  # type of an ordinary block
BLOCK_MAGIC = b"gro-blk1"
SEGMENT_FIELDS = (0, 8, 16, 20, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 1023, 1024, 1028, 1030,
                  1032, 1036, 1040, 1048, 1056, 1064, 1072, 1080, 4095)
BLOCK_FIELDS = (0, 8, 16, 18, 20, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120, 2175,
                2176, 4095)
ROW = 32

# start, end: bytes in the segment, header page and padding included. sections: (start, end of the
# records) in the segment.
Block = collections.namedtuple("Block", "seq type epoch durable incarnation segment start end sections")


class Log:
    """A sound log; the blocks up to its cut, from block 0."""

    def __init__(self, folder):
        self.folder = folder
        self.files = sorted(folder.glob("*.wal"))
        self.bytes = [file.read_bytes() for file in self.files]
        self.segment_bytes = len(self.bytes[0])
        self.blocks = []
        for segment, data in enumerate(self.bytes):
            offset = PAGE
            while block := self._block(segment, data, offset):
                self.blocks.append(block)
                offset = block.end
        self.starts = [(block.segment, block.start) for block in self.blocks]
        self.headers = list(self.blocks)  # also of torn blocks: a header alone can be a witness

    def _block(self, segment, data, offset):
        page = data[offset:offset + PAGE]
        if page[8:16] != BLOCK_MAGIC:
            return None
        kind, count = struct.unpack_from("<HI", page, 18)
        place = struct.unpack_from("<QQ", page, 32)
        seq, epoch, _, durable, incarnation, payload = struct.unpack_from("<6Q", page, 48)
        # The chain's hashes are the reader's business; numbers and places end the log well enough.
        if place != (segment, offset) or seq != len(self.blocks) or (
                self.blocks and incarnation < self.blocks[-1].incarnation):
            return None
        rows = [struct.unpack_from("<QQ", page, 128 + ROW * row) for row in range(count)]
        return Block(seq, kind, epoch, durable, incarnation, segment, offset,
                     offset + PAGE + payload,
                     [(offset + start, offset + start + size) for start, size in rows])

    def cut(self, count):
        """Only the first `count` blocks are the log."""
        del self.blocks[count:], self.starts[count:]

    def witnessed(self, seq):
        """Does a later block say that this one was durable?"""
        return any(block.durable > seq for block in self.headers[seq + 1:])

    def hit(self, segment, offset):
        """The number of the block that damage at this byte makes unreadable; None: of none."""
        if offset < PAGE:
            return next((block.seq for block in self.blocks if block.segment == segment), None)
        at = bisect.bisect_right(self.starts, (segment, offset)) - 1
        if at < 0 or self.blocks[at].segment != segment or offset >= self.blocks[at].end:
            return None
        return at

    def used(self, segment):
        """The end of the last block in a segment; 0 if there is none."""
        return max((block.end for block in self.blocks if block.segment == segment), default=0)
