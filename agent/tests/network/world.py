"""Everything outside a worker, in one namespace: the internet, a metadata server,
a VPC, and the worker's own resolver. Answers whoever reaches it; who reached what
is counted by the namespace's nftables, not here."""

import socket
import struct
import sys
import threading

NAMES = {
    "open.test": ["203.0.113.10"],
    "twin.test": ["203.0.113.10"],
    "other.test": ["203.0.113.20"],
    "deep.open.test": ["203.0.113.30"],
    "rebind.test": ["169.254.169.254"],
    "half.test": ["203.0.113.10", "10.128.0.77"],
    "vm.c.project.internal": ["10.128.0.77"],
}


def answer(question):
    """One DNS answer, by hand: header, question, A records of a minute."""
    at, labels = 12, []
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode().lower())
        at += 1 + question[at]
    kind = struct.unpack(">H", question[at + 1 : at + 3])[0]
    asked = question[12 : at + 5]
    found = NAMES.get(".".join(labels))
    code = 0x8180 if found else 0x8183
    records = b"".join(
        b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(address)
        for address in (found or [] if kind == 1 else [])
    )
    count = len(records) // 16
    return question[:2] + struct.pack(">HHHHH", code, 1, count, 0, 0) + asked + records


def names():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("198.51.100.1", 53))
        while True:
            question, whom = server.recvfrom(2048)
            server.sendto(answer(question), whom)


def echo():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("", 9))
        # The answer must come from where the question went: hear where that was.
        server.setsockopt(socket.IPPROTO_IP, 8, 1)
        while True:
            data, extra, _, whom = server.recvmsg(2048, 256)
            info = [value for level, kind, value in extra if (level, kind) == (0, 8)]
            server.sendmsg([data], [(0, 8, bytes(4) + info[0][8:12] + bytes(4))], 0, whom)


def serve(port):
    with socket.create_server(("", port), backlog=512) as server:
        while True:
            client, _ = server.accept()
            threading.Thread(target=talk, args=(client,), daemon=True).start()


def talk(client):
    try:
        with client:
            client.sendall(b"HTTP/1.0 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\nworld\r\n")
            while data := client.recv(65536):
                client.sendall(data)
    except OSError:
        pass


ports = sys.argv[1:]
answers = [names] if "names" in ports else []
ports = [int(port) for port in ports if port != "names"]
for target in [*answers, echo, *(lambda port=port: serve(port) for port in ports)]:
    threading.Thread(target=target, daemon=True).start()
print("world", flush=True)
sys.stdin.read()
