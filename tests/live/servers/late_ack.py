# SPDX-License-Identifier: MIT
"""A TCP client on a TUN device, so that its last ACK of the handshake comes when it likes: after the answer.

usage: late_ack.py PORT PATH ID…      in a network namespace of its own; raw.py is its child
The SYN carries the request (TCP Fast Open, for which this namespace needs no cookie). For each ID a connection: the whole
answer has come before the first ACK is sent. Prints the first line of each answer.
"""
import fcntl
import os
import select
import struct
import subprocess
import sys

TUNSETIFF, IFF_TUN_NO_PI = 0x400454CA, 0x1001
SERVER, CLIENT = bytes([10, 77, 0, 1]), bytes([10, 77, 0, 2])
SYN, ACK, PUSH, FIN = 2, 16, 8, 1
FAST_OPEN = bytes([34, 2, 1, 1])  # asks for a cookie, as a first SYN does
WAIT_S = 5


def checksum(data):
    """The Internet's."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(ports, sequence, acknowledged, flags, payload=b"", options=b""):
    """An IPv4 packet from the client."""
    def tcp(check):
        return struct.pack("!HHIIBBHHH", *ports, sequence, acknowledged, (20 + len(options)) << 2, flags, 65535, check, 0) \
            + options + payload

    pseudo = CLIENT + SERVER + struct.pack("!BBH", 0, 6, len(tcp(0)))
    segment = tcp(checksum(pseudo + tcp(0)))
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0, 64, 6, 0) + CLIENT + SERVER
    return ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + segment


def received(tun, port):
    """(flags, sequence, payload) of the next packet to a port of the client."""
    while select.select([tun], [], [], WAIT_S)[0]:
        data = os.read(tun, 65536)
        if data[0] >> 4 == 4 and data[9] == 6:
            segment = data[(data[0] & 15) * 4:struct.unpack("!H", data[2:4])[0]]
            if struct.unpack("!H", segment[2:4])[0] == port:
                return segment[13], struct.unpack("!I", segment[4:8])[0], segment[(segment[12] >> 4) * 4:]
    sys.exit("no packet came")


def ask(tun, port, server_port, request):
    """One connection: the answer to a request in the SYN."""
    ports, first = (port, server_port), 1000
    os.write(tun, packet(ports, first, 0, SYN, request, FAST_OPEN))
    sequence, answer = None, b""
    while b"\r\n\r\nok" not in answer:
        flags, at, payload = received(tun, port)
        if flags & SYN:
            sequence = at
        elif at == sequence + 1 + len(answer):
            answer += payload
    after = first + 1 + len(request)
    os.write(tun, packet(ports, after, sequence + 1 + len(answer), ACK))
    os.write(tun, packet(ports, after, sequence + 1 + len(answer), FIN | ACK))
    while not received(tun, port)[0] & FIN:
        pass
    os.write(tun, packet(ports, after + 1, sequence + 2 + len(answer), ACK))
    return answer


def open_tun():
    """The device, with the server's address on this side."""
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", b"late", IFF_TUN_NO_PI))
    for command in ("ip link set lo up", "ip addr add 10.77.0.1/24 dev late", "ip link set late up"):
        subprocess.run(command.split(), check=True)
    with open("/proc/sys/net/ipv4/tcp_fastopen", "w", encoding="ascii") as knob:
        knob.write(str(0x1 | 0x2 | 0x200 | 0x400))  # by every listener, without a cookie
    return tun


def main():
    """Asks raw.py."""
    port, path, names = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    tun = open_tun()
    raw = os.path.join(os.path.dirname(os.path.abspath(__file__)), "raw.py")
    with subprocess.Popen([sys.executable, raw, str(port), "0.0.0.0"], stdout=subprocess.PIPE) as server:
        server.stdout.readline()
        try:
            for number, name in enumerate(names):
                head = "GET %s HTTP/1.1\r\nHost: x\r\nX-Request-ID: %s\r\n\r\n" % (path, name)
                print(ask(tun, 20000 + number, port, head.encode()).splitlines()[0].decode(), flush=True)
        finally:
            server.kill()


if __name__ == "__main__":
    main()
