"""Small and large packets to the gateway's resolver and to a closed range, from as
many sockets as the kernel takes."""
import os, socket, time

end = time.time() + SECONDS
print("noise-" "on MARK.", flush=True)
pid = os.fork()
question = bytes.fromhex("abcd01000001000000000000") + b"\x05noise\x04test\x00\x00\x01\x00\x01"
sent = refused = 0
while time.time() < end:
    ways = [
        (socket.socket(socket.AF_INET, socket.SOCK_DGRAM), where, what)
        for where, what in [
            (("192.168.100.1", 53), question),
            (("10.255.255.1", 9), b"x"),
            (("10.255.255.1", 9), b"x" * 1400),
        ]
    ]
    for way, where, what in ways * 100:
        try:
            way.sendto(what, where)
            sent += 1
        except OSError:
            refused += 1
    for way, _, _ in ways:
        way.close()
if pid:
    os.waitpid(pid, 0)
    print(f"did send {sent} packets and was refused {refused} times", flush=True)
