"""TDS packets over a socket, TLS wrapped in PRELOGIN packets and the faults that a test may ask for."""
import select
import socket
import ssl
import struct
import time

BATCH, RPC, REPLY, ATTENTION, BULK, TRANSACTION, LOGIN, PRELOGIN = 1, 3, 4, 6, 7, 14, 16, 18
EOM = 1
PACKET_MIN, PACKET_MAX = 512, 32767
MESSAGE_MAX = 1 << 30


class Gone(Exception):
    """The other side is away, or a fault took it away."""


class Refused(Exception):
    """What arrived is no TDS."""


class Interrupted(Exception):
    """An attention came while a reply was being sent."""


class Wire:
    """One connection: whole messages in, packets out. Everything of the session that is bytes rather than meaning."""

    def __init__(self, sock):
        self.sock = sock
        self.tls = None
        self.inbox, self.outbox = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.size = 4096
        self.out = bytearray()
        self.packet_id = 1
        self.sent = self.received = 0
        self.reset_at = None  # at the n-th packet sent from now
        self.kept = bytearray()  # bytes that arrived and are not yet used
        self.tls_wrapped = False
        self.recv_packets = []

    # ---- bytes ----

    def _recv_raw(self):
        try:
            part = self.sock.recv(262144)
        except OSError as e:
            raise Gone(str(e)) from e
        if not part:
            raise Gone("the client closed the connection")
        return part

    def _more(self):
        if not self.tls:
            self.kept += self._recv_raw()
            return
        while True:
            try:
                self.kept += self.tls.read(262144)
                return
            except ssl.SSLWantReadError:
                self.inbox.write(self._recv_raw())
            except ssl.SSLError as e:
                raise Gone(str(e)) from e

    def _send_raw(self, data):
        try:
            self.sock.sendall(data)
        except OSError as e:
            raise Gone(str(e)) from e

    def _send(self, data):
        if self.tls:
            self.tls.write(data)
            data = self.outbox.read()
        self._send_raw(data)

    def _take(self, n):
        while len(self.kept) < n:
            self._more()
        part = bytes(self.kept[:n])
        del self.kept[:n]
        return part

    # ---- packets in ----

    def packet(self):
        """The next packet: (type, status, bytes)."""
        if self.recv_packets:
            return self.recv_packets.pop(0)
        return self._packet()

    def _packet(self):
        kind, status, length, _, _, _ = struct.unpack(">BBHHBB", self._take(8))
        if length < 8:
            raise Refused(f"a packet of {length} bytes")
        body = self._take(length - 8)
        self.received += 1
        return kind, status, body

    def message(self):
        """The next whole message: (type, bytes, reset) where reset says that the client wants a fresh session."""
        parts, total = [], 0
        kind, status, body = self.packet()
        reset = status & 0x18
        first = kind
        while True:
            if kind != first:
                if kind == ATTENTION:
                    return ATTENTION, b"", 0
                raise Refused(f"a packet of type {kind} within a message of type {first}")
            parts.append(body)
            total += len(body)
            if total > MESSAGE_MAX:
                raise Refused("a message that does not end")
            if status & EOM:
                return first, b"".join(parts), reset
            kind, status, body = self.packet()
            if status & 2 and status & EOM and kind == first:
                return first, None, reset  # the client took it back

    def _readable(self):
        if self.kept or self.recv_packets:
            return True
        return bool(select.select([self.sock], [], [], 0)[0])

    def attention_waits(self):
        """Has the client asked to stop? Takes the attention off the wire."""
        while self._readable():
            kind, status, body = self._packet()
            if kind == ATTENTION:
                return True
            self.recv_packets.append((kind, status, body))
        return False

    def pause(self, seconds):
        """Waits, listening: raises Interrupted at once when an attention comes and Gone when the client goes."""
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            if left <= 0:
                return
            # One that came together with the batch is on the wire no more.
            if (self.kept or select.select([self.sock], [], [], left)[0]) and self.attention_waits():
                raise Interrupted()

    # ---- packets out ----

    def put(self, data):
        self.out += data
        room = self.size - 8
        while len(self.out) > room:
            part = bytes(self.out[:room])
            del self.out[:room]
            self._packet_out(part, 0)

    def _packet_out(self, body, status, kind=REPLY):
        if self.reset_at is not None:
            if self.reset_at <= 0:
                self.reset()
            self.reset_at -= 1
        header = struct.pack(">BBHHBB", kind, status, len(body) + 8, 51, self.packet_id & 255, 0)
        self.packet_id += 1
        self._send(header + body)
        self.sent += 1

    def flush(self):
        """What was put so far leaves now, the reply goes on."""
        if self.out:
            part, self.out = bytes(self.out), bytearray()
            self._packet_out(part, 0)

    def end(self):
        part, self.out = bytes(self.out), bytearray()
        self._packet_out(part, EOM)
        self.packet_id = 1

    def reset(self):
        """Closes so that the client sees a reset, not an end."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()
        raise Gone("reset as the test asked")

    def drop(self):
        """Sends what is pending and closes in the middle of it all."""
        self.flush()
        self.close()
        raise Gone("dropped as the test asked")

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass

    # ---- TLS ----

    def tls_begin(self, context):
        """The handshake, its records within PRELOGIN packets in both directions; afterwards they are bare."""
        tls = context.wrap_bio(self.inbox, self.outbox, server_side=True)
        while True:
            try:
                tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            except ssl.SSLError as e:
                raise Gone(f"TLS: {e}") from e
            data = self.outbox.read()
            if data:
                self.packet_id = 1
                for at in range(0, len(data), PACKET_MIN * 8 - 8):
                    part = data[at:at + PACKET_MIN * 8 - 8]
                    self._packet_out(part, EOM if at + len(part) == len(data) else 0, PRELOGIN)
            if done:
                break
            kind, _, body = self.packet()
            if kind != PRELOGIN:
                raise Refused(f"a packet of type {kind} within the TLS handshake")
            self.inbox.write(body)
        self.packet_id = 1
        self.tls = tls

    def tls_end(self):
        """Only the login was to be encrypted."""
        self.kept += self.inbox.read()
        self.tls = None


def tls_context(certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # As SQL Server up to 2019 does: with 1.3 the tickets would come after the wrapped handshake.
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context
