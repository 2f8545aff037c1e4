"""A WHEP player of few skills: whep_player.py URL TOKEN TRANSPORT.

TRANSPORT is "none": it ignores `Link`, so that its offer has host candidates only; or "udp" or
"tcp": it asks for the ICE servers by OPTIONS first, and reaches the TURN server so. It never sends a
PATCH. It connects by ICE, without media, and prints `connected` and the types of the candidates.
"""

import asyncio
import re
import sys
import urllib.request

import aioice

DEADLINE = 20


def request(method, url, token, body=None):
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/sdp"}
    data = None if body is None else body.encode()
    return urllib.request.urlopen(
        urllib.request.Request(url, data=data, headers=headers, method=method), timeout=DEADLINE
    )


def ice_servers(url, token, transport):
    """Returns what aioice needs to know of the servers in `Link`."""
    found = {}
    with request("OPTIONS", url, token) as response:
        links = response.headers.get_all("Link")
    for link in links:
        uri, parameters = re.match(r"<([^>]*)>(.*)", link).groups()
        scheme, host, port = re.match(r"(\w+):([^:?]+):(\d+)", uri).groups()
        if scheme == "stun":
            found["stun_server"] = (host, int(port))
        elif f"transport={transport}" in uri:
            values = dict(re.findall(r'(\w[\w-]*)="([^"]*)"', parameters))
            found["turn_server"] = (host, int(port))
            found["turn_username"] = values["username"]
            found["turn_password"] = values["credential"]
            found["turn_transport"] = transport
    return found


def offer(connection):
    lines = [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "m=video 9 UDP/TLS/RTP/SAVPF 96",
        "c=IN IP4 0.0.0.0",
        "a=mid:0",
        "a=recvonly",
        "a=rtcp-mux",
        "a=rtpmap:96 H264/90000",
        "a=fmtp:96 packetization-mode=1;profile-level-id=42e01f;level-asymmetry-allowed=1",
        f"a=ice-ufrag:{connection.local_username}",
        f"a=ice-pwd:{connection.local_password}",
        "a=fingerprint:sha-256 " + ":".join(["01"] * 32),
        "a=setup:actpass",
    ]
    lines += [f"a=candidate:{one.to_sdp()}" for one in connection.local_candidates]
    lines.append("a=end-of-candidates")
    return "".join(line + "\r\n" for line in lines)


async def main(url, token, transport):
    servers = {} if transport == "none" else ice_servers(url, token, transport)
    connection = aioice.Connection(ice_controlling=True, **servers)
    await connection.gather_candidates()
    text = offer(connection)
    answer = await asyncio.to_thread(lambda: request("POST", url, token, text).read().decode())
    connection.remote_username = re.search(r"a=ice-ufrag:(\S+)", answer).group(1)
    connection.remote_password = re.search(r"a=ice-pwd:(\S+)", answer).group(1)
    for line in re.findall(r"a=candidate:(.*)", answer):
        candidate = aioice.Candidate.from_sdp(line.strip())
        if candidate.transport.lower() == "udp":
            await connection.add_remote_candidate(candidate)
    await connection.add_remote_candidate(None)
    await asyncio.wait_for(connection.connect(), DEADLINE)
    pair = connection._nominated[1]
    print("connected", pair.local_candidate.type, pair.remote_candidate.type)
    await connection.close()


asyncio.run(main(*sys.argv[1:]))
