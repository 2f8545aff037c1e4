"""aioice's TURN client: client.py HOST PORT USER PASSWORD TRANSPORT PEER_HOST PEER_PORT.

Allocates, sends to a peer that echoes, and frees the allocation. With TLS the server's certificate
is the one in the file named by PORTHOLE_TURN_CA. Prints the relayed address.
"""

import asyncio
import os
import ssl
import sys

from aioice import turn

ROUNDS = 20


class Receiver(asyncio.DatagramProtocol):
    def __init__(self):
        self.received = asyncio.Queue(maxsize=ROUNDS)

    def datagram_received(self, data, addr):
        self.received.put_nowait((data, addr))


async def main(host, port, user, password, transport, peer_host, peer_port):
    tls = False
    if transport == "tls":
        transport = "tcp"
        tls = ssl.create_default_context(cafile=os.environ["PORTHOLE_TURN_CA"])
    relay, receiver = await turn.create_turn_endpoint(
        Receiver,
        server_addr=(host, int(port)),
        username=user,
        password=password,
        ssl=tls,
        transport=transport,
    )
    print(relay.get_extra_info("sockname"))
    peer = (peer_host, int(peer_port))
    for number in range(ROUNDS):
        message = bytes([number]) * (number * 50)
        relay.sendto(message, peer)
        data, addr = await asyncio.wait_for(receiver.received.get(), 10)
        assert data == message and addr == peer, (number, data, addr)
    relay.close()
    await asyncio.sleep(0.2)


asyncio.run(main(*sys.argv[1:]))
