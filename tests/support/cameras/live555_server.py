#!/usr/bin/python3
"""An RTSP camera for tests, served by live555's proxy server in front of a GStreamer camera.

Debian 12 has no live555, but Debian unstable has. Unless it is installed, its binaries are downloaded
once with apt from the mirror that this machine uses, unpacked into --cache and run with the C library
for which they were built. Nothing is installed. Several scripts may share a cache: one downloads, the
others wait for it.

The script prints "ready PORT" once the stream can be described. It ends on SIGTERM or when its
standard input ends. The GStreamer camera then ends, too, even if this script is killed.
The path of the stream is always /proxyStream.
"""

import argparse
import contextlib
import ctypes
import fcntl
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

PROXY = "live555ProxyServer"
PR_SET_PDEATHSIG = 1
CAMERA = pathlib.Path(__file__).with_name("rtsp_server.py")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", required=True, type=pathlib.Path)
    parser.add_argument("--port", type=int, default=8555)
    parser.add_argument("--fetch-only", action="store_true", help="fill the cache and exit")
    parser.add_argument("--stdin", action="store_true", help="exit when standard input ends")
    parser.add_argument("camera", nargs="*", help="options of rtsp_server.py, after --")
    return parser.parse_args()


@contextlib.contextmanager
def locked(cache):
    """Locks the cache, so that only one process fills it; the lock ends with its owner."""
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def installed_or_fetched(cache):
    """Returns the command of the proxy, without arguments."""
    installed = shutil.which(PROXY)
    if installed:
        return [installed]
    root = cache.resolve() / "root"
    with locked(cache):
        if not root.exists():
            fetch(cache.resolve(), root)
    loader = next(root.glob("usr/lib/*/ld-linux-*.so.*"))
    return [loader, "--library-path", loader.parent, root / "usr/bin" / PROXY]


def fetch(cache, root):
    """Downloads and unpacks the packages, from the machine's own mirror and with its keys."""
    for folder in ["debs", "unpacking"]:
        # Left over from an earlier attempt.
        shutil.rmtree(cache / folder, ignore_errors=True)
    for folder in ["lists/partial", "archives/partial", "debs"]:
        (cache / folder).mkdir(parents=True, exist_ok=True)
    (cache / "status").touch()
    (cache / "sources.list").write_text(f"deb {mirror()} sid main\n")
    apt = ["apt-get", "-qq", "-o", f"Dir::Etc::SourceList={cache}/sources.list",
           "-o", "Dir::Etc::SourceParts=/dev/null", "-o", f"Dir::State::Lists={cache}/lists",
           "-o", f"Dir::State::status={cache}/status", "-o", f"Dir::Cache={cache}",
           "-o", "APT::Sandbox::User="]
    subprocess.run([*apt, "update"], check=True, timeout=180, stdout=sys.stderr)
    packages = needed([option for option in apt if option != "-qq"][1:])
    subprocess.run([*apt, "download", *packages], check=True, timeout=180, stdout=sys.stderr,
                   cwd=cache / "debs")
    unpacked = cache / "unpacking"
    for package in sorted((cache / "debs").glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, unpacked], check=True, timeout=60)
    # The last step: the cache is complete if this folder exists.
    unpacked.rename(root)


def needed(options):
    """Returns the package and all its dependencies, whose names change with each release."""
    command = ["apt-cache", *options, "depends", "--recurse", "--no-recommends", "--no-suggests",
               "--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances", "livemedia-utils"]
    listed = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True)
    lines = listed.stdout.splitlines()
    return [line for line in lines if line and line[0].isalnum()]


def mirror():
    """Returns the Debian mirror in the configuration of apt."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(LABEL)",
               "Created-By: Packages"]
    listed = subprocess.run(command, check=True, timeout=30, capture_output=True, text=True)
    for line in listed.stdout.splitlines():
        uri, _, origin = line.partition(" ")
        if origin == "Debian Debian":
            return uri
    sys.exit("apt has no Debian mirror: run apt-get update first")


def start_camera(options):
    command = [sys.executable, CAMERA, "--stdin", *options]
    camera = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    ready = camera.stdout.readline().split()
    if ready[:1] != ["ready"]:
        sys.exit("the GStreamer camera does not start")
    return camera, ready[1]


def start_proxy(proxy, port, camera_port):
    command = [*proxy, "-p", str(port), f"rtsp://127.0.0.1:{camera_port}/camera"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, preexec_fn=die_with_the_script)


def die_with_the_script():
    """Makes the kernel kill the proxy when the script is killed, which nothing else would do."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def describable(port):
    """Returns true if the proxy has the camera's stream; until then it responds with 404."""
    request = (f"DESCRIBE rtsp://127.0.0.1:{port}/proxyStream RTSP/1.0\r\n"
               "CSeq: 1\r\nAccept: application/sdp\r\n\r\n")
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(request.encode())
            return b" 200 " in connection.recv(200).split(b"\r\n")[0]
    except OSError:
        return False


def main():
    options = arguments()
    command = installed_or_fetched(options.cache)
    if options.fetch_only:
        return
    ended = threading.Event()
    for number in [signal.SIGTERM, signal.SIGINT]:
        signal.signal(number, lambda *_: ended.set())
    camera, camera_port = start_camera(options.camera)
    proxy = start_proxy(command, options.port, camera_port)
    try:
        deadline = time.monotonic() + 20
        while not describable(options.port):
            if time.monotonic() > deadline or proxy.poll() is not None:
                sys.exit(f"live555 does not serve on port {options.port}")
            time.sleep(0.2)
        print("ready", options.port, flush=True)
        if options.stdin:
            wait = threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True)
            wait.start()
        while not ended.wait(timeout=0.2):
            if proxy.poll() is not None:
                sys.exit("live555 has ended")
    finally:
        proxy.kill()
        camera.kill()
        proxy.wait()
        camera.wait()


if __name__ == "__main__":
    main()
