"""Tries every target at once and says of each how it ended, in one line:
`target=open`, `target=refused`, `target=silent` or `target=<error>`. Usage:
probe.py SECONDS TARGET…

Targets: tcp:ADDRESS:PORT, udp:ADDRESS:PORT, ping:ADDRESS, name:NAME. A name may
stand for an address; it is asked of the resolver that /etc/resolv.conf names.

One thread, few modules, names as bytes (no `idna`): an emulated guest is slow."""

import errno
import select
import socket
import sys
import time

REFUSED = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.EACCES, errno.EPERM)
# What getaddrinfo makes of an answer's code: -3 to be tried again, -2 no such name.
CODES = {2: "gai-3", 3: "gai-2", 5: "gai-3"}
PING = bytes([8, 0, 0xF7, 0xFF, 0, 0, 0, 0])


class Attempt:
    """One target on its way: asking for its name, connecting or waiting."""

    def __init__(self, target):
        self.target, self.ended, self.socket, self.asking = target, None, None, False
        self.kind, _, rest = target.partition(":")
        self.port = 0
        if self.kind in ("tcp", "udp"):
            rest, _, port = rest.rpartition(":")
            self.port = int(port)
        self.host = rest
        self.begin()

    def begin(self):
        try:
            if self.kind == "name" or not is_address(self.host):
                self.ask()
            else:
                self.connect(self.host)
        except OSError as error:
            self.fail(error)

    def ask(self):
        self.asking = True
        self.open(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect((RESOLVER, 53))
        labels = b"".join(bytes([len(part)]) + part for part in self.host.encode().split(b"."))
        question = b"\0\1\1\0\0\1\0\0\0\0\0\0" + labels + b"\0\0\1\0\1"
        self.socket.send(question)

    def open(self, family, kind, protocol=0):
        self.socket = socket.socket(family, kind, protocol)
        self.socket.setblocking(False)

    def connect(self, address):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        if self.kind == "tcp":
            self.open(family, socket.SOCK_STREAM)
            code = self.socket.connect_ex((address.encode(), self.port) if family == socket.AF_INET else v6(address, self.port))
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, "")
        elif self.kind == "udp":
            self.open(family, socket.SOCK_DGRAM)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            self.socket.connect((address.encode(), self.port))
            self.socket.send(b"anybody there?")
        else:
            # As ping does it; a process for each would be slow in an emulated guest.
            self.open(family, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
            self.socket.sendto(PING, (address.encode(), 0))

    def writes(self):
        return self.kind == "tcp" and not self.asking

    def ready(self):
        try:
            if self.asking:
                self.named(self.socket.recv(2048))
            elif self.kind == "tcp":
                code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    raise OSError(code, "")
                self.ended = "open"
            else:
                self.socket.recv(64)
                self.ended = "open"
        except BlockingIOError:
            pass
        except OSError as error:
            self.fail(error)

    def named(self, answer):
        addresses = sorted(set(found(answer)))
        if not addresses:
            self.ended = CODES.get(answer[3] & 15, "gai-5")
        elif self.kind == "name":
            self.ended = ",".join(addresses)
        else:
            self.asking = False
            self.socket.close()
            self.connect(addresses[0])

    def fail(self, error):
        refused = error.errno in REFUSED
        self.ended = "refused" if refused else errno.errorcode.get(error.errno, "?")


def is_address(host):
    return ":" in host or host.replace(".", "").isdigit()


def v6(address, port):
    address, _, zone = address.partition("%")
    return (address, port, 0, socket.if_nametoindex(zone) if zone else 0)


def found(answer):
    """The addresses of an answer to one question (RFC 1035, 4.1)."""
    at = answer.index(0, 12) + 5
    for _ in range(int.from_bytes(answer[6:8], "big")):
        at = at + 2 if answer[at] & 0xC0 else answer.index(0, at) + 1
        kind, size = int.from_bytes(answer[at : at + 2], "big"), int.from_bytes(answer[at + 8 : at + 10], "big")
        if kind == 1:
            yield socket.inet_ntoa(answer[at + 10 : at + 10 + size])
        at += 10 + size


with open("/etc/resolv.conf", encoding="ascii") as lines:
    RESOLVER = next((line.split()[1] for line in lines if line.startswith("nameserver")), "192.168.100.1")
until = time.monotonic() + float(sys.argv[1])
attempts = [Attempt(target) for target in sys.argv[2:]]
while True:
    left = [attempt for attempt in attempts if attempt.ended is None]
    patience = until - time.monotonic()
    if not left or patience <= 0:
        break
    reads = {attempt.socket: attempt for attempt in left if not attempt.writes()}
    writes = {attempt.socket: attempt for attempt in left if attempt.writes()}
    can_read, can_write, _ = select.select(list(reads), list(writes), [], patience)
    for ready in can_read:
        reads[ready].ready()
    for ready in can_write:
        writes[ready].ready()
print(" ".join(f"{attempt.target}={attempt.ended or 'silent'}" for attempt in attempts))
