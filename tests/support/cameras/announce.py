#!/usr/bin/python3
"""Announces a service with multicast DNS, as cameras do, until it is ended.

The script needs the package python3-zeroconf.
"""

import argparse
import signal
import socket
import threading

from zeroconf import IPVersion, ServiceInfo, Zeroconf


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--service", default="_axis-video._tcp.local.")
    parser.add_argument("--name", required=True)
    parser.add_argument("--mac", required=True)
    options = parser.parse_args()
    info = ServiceInfo(
        options.service,
        f"{options.name}.{options.service}",
        addresses=[socket.inet_aton(options.address)],
        port=options.port,
        properties={"macaddress": options.mac},
        server="camera.local.",
    )
    zeroconf = Zeroconf(interfaces=[options.address], ip_version=IPVersion.V4Only)
    zeroconf.register_service(info)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    print("ready", options.port, flush=True)
    ended.wait()
    zeroconf.close()


if __name__ == "__main__":
    main()
