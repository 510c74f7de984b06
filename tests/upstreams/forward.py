"""Forward TCP ports of 127.0.0.1, and run a program that ends with the forwarding.

    forward.py [--apart] LISTEN:HOST:PORT ... [-- PROGRAM ARGUMENT ...]

With --apart the program and the targets are in a network namespace of their own, where port 389 is free
whatever else this machine runs; that needs CAP_SYS_ADMIN. A script of the standard library only.
"""

import asyncio
import ctypes
import fcntl
import functools
import os
import signal
import socket
import struct
import sys

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def enter_namespace() -> None:
    """Move this process to a network namespace of its own and bring its loopback up."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        sys.exit(f"unshare: {os.strerror(ctypes.get_errno())}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction until it ends or breaks."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()


async def forward(host: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Join a client with the target, or reset it where nothing listens: the nearest to a refusal."""
    try:
        inner_reader, inner_writer = await asyncio.open_connection(host, port)
    except OSError:
        client: socket.socket = writer.get_extra_info("socket")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        writer.transport.abort()
        return
    try:
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))
    finally:
        writer.close()
        inner_writer.close()


def listen(port: int) -> socket.socket:
    """A listening socket on loopback; made before the namespace is left, it stays in it."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


async def serve(routes: list[tuple[socket.socket, str, int]], program: list[str]) -> int:
    """Forward until told to end, or until the program has ended; return its exit code."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    _servers = [
        await asyncio.start_server(functools.partial(forward, host, port), sock=listener)
        for listener, host, port in routes
    ]
    if not program:
        await told.wait()
        return 0
    child = await asyncio.create_subprocess_exec(*program)
    ends = [asyncio.create_task(told.wait()), asyncio.create_task(child.wait())]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if child.returncode is None:
        child.terminate()
    return await child.wait()


def main() -> int:
    """Read the command line, and serve."""
    words = sys.argv[1:]
    split = words.index("--") if "--" in words else len(words)
    apart = "--apart" in words[:split]
    routes = []
    for route in words[apart:split]:
        outside, host, inside = route.split(":")
        routes.append((listen(int(outside)), host, int(inside)))
    if apart:
        enter_namespace()
    return asyncio.run(serve(routes, words[split + 1 :]))


if __name__ == "__main__":
    sys.exit(main())
