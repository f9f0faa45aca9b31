"""Tries every target at once and says of each how it ended, in one line:
`target=open`, `target=refused`, `target=silent` or `target=<error>`. Usage:
probe.py SECONDS TARGET…

Targets: tcp:ADDRESS:PORT, udp:ADDRESS:PORT, ping:ADDRESS, name:NAME."""

import errno
import re
import socket
import sys
import threading

WITHIN = float(sys.argv[1])
found = {}


def tcp(host, port):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    where = socket.getaddrinfo(host, int(port), family, socket.SOCK_STREAM)[0][4]
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(WITHIN)
        client.connect(where)
        return "open"


def udp(host, port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(WITHIN)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.connect((host, int(port)))
        client.send(b"anybody there?")
        client.recv(64)
        return "open"


def ping(host):
    # As ping does it; a process for each would be slow in an emulated guest.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as client:
        client.settimeout(WITHIN)
        client.sendto(bytes([8, 0, 0xF7, 0xFF, 0, 0, 0, 0]), (host, 0))
        client.recv(64)
        return "open"


def name(host):
    return ",".join(sorted({found[4][0] for found in socket.getaddrinfo(host, None, socket.AF_INET)}))


def attempt(target):
    kind, _, rest = target.partition(":")
    try:
        parts = re.fullmatch(r"(.+):(\d+)", rest).groups() if kind in ("tcp", "udp") else (rest,)
        found[target] = globals()[kind](*parts)
    except TimeoutError:
        found[target] = "silent"
    except socket.gaierror as error:
        found[target] = f"gai{error.errno}"
    except OSError as error:
        refused = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.EACCES, errno.EPERM)
        found[target] = "refused" if error.errno in refused else errno.errorcode.get(error.errno, "?")


targets = sys.argv[2:]
threads = [threading.Thread(target=attempt, args=(target,)) for target in targets]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(" ".join(f"{target}={found.get(target, 'nothing')}" for target in targets))
