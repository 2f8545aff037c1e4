"""A person and a browser of Home Assistant: driver.py ADDRESS FILE COMMAND ARGUMENTS.

FILE keeps the access token of Home Assistant from one command to the next. Each command prints one
line of JSON with what it has found.
"""

import asyncio
import json
import pathlib
import sys

import aiohttp
import aioice
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription

# The server answers an offer within 15 s.
ANSWER_TIMEOUT_S = 20
PICTURES_TIMEOUT_S = 20


class Browser:
    """The HTTP and WebSocket interfaces that Home Assistant's own pages use."""

    def __init__(self, session, address, file):
        self.session = session
        self.address = address
        self.file = pathlib.Path(file)

    async def send(self, method, path, body=None, form=None):
        headers = {}
        if self.file.exists():
            headers["Authorization"] = f"Bearer {self.file.read_text()}"
        url = f"{self.address}{path}"
        request = self.session.request(method, url, json=body, data=form, headers=headers)
        async with request as response:
            text = await response.text()
            if response.status >= 300:
                raise SystemExit(f"{method} {path}: {response.status}: {text}")
            return json.loads(text)

    async def onboard(self):
        """Creates the owner, and signs in."""
        client = f"{self.address}/"
        owner = {
            "client_id": client,
            "name": "Owner",
            "username": "owner",
            "password": "correct horse",
            "language": "en",
        }
        code = (await self.send("POST", "/api/onboarding/users", owner))["auth_code"]
        form = {"grant_type": "authorization_code", "code": code, "client_id": client}
        self.file.write_text((await self.send("POST", "/auth/token", form=form))["access_token"])
        return {}

    async def add(self, url, token):
        """Fills in the dialog in which a server is added."""
        flows = "/api/config/config_entries/flow"
        form = await self.send("POST", flows, {"handler": "porthole"})
        data = {"url": url, "token": token, "verify_ssl": True}
        return await self.send("POST", f"{flows}/{form['flow_id']}", data)

    async def sign_in_again(self, token):
        """Fills in the dialog that asks for another access token."""
        flows = await self.command("config_entries/flow/progress")
        waiting = [flow for flow in flows if flow["context"]["source"] == "reauth"]
        path = f"/api/config/config_entries/flow/{waiting[0]['flow_id']}"
        await self.send("GET", path)
        return await self.send("POST", path, {"token": token})

    async def dialogs(self):
        """Lists where the dialogs that wait for the person come from."""
        flows = await self.command("config_entries/flow/progress")
        return [flow["context"]["source"] for flow in flows if flow["handler"] == "porthole"]

    async def cameras(self):
        """Lists the cameras with their states."""
        states = await self.send("GET", "/api/states")
        return [state for state in states if state["entity_id"].startswith("camera.")]

    async def devices(self):
        """Lists the devices."""
        return await self.command("config/device_registry/list")

    async def picture(self, entity):
        """Gets the still picture of a camera as a page shows it."""
        headers = {"Authorization": f"Bearer {self.file.read_text()}"}
        url = f"{self.address}/api/camera_proxy/{entity}"
        async with self.session.get(url, headers=headers) as response:
            return [response.status, response.content_type, len(await response.read())]

    async def command(self, kind, **fields):
        """Sends one command over a WebSocket."""
        async with Socket(self) as socket:
            return await socket.command(kind, **fields)

    async def play(self, entity, pictures):
        """Plays a camera until it has shown as many pictures."""
        async with Socket(self) as socket:
            return await play(socket, entity, int(pictures), lambda answer: answer)

    async def be_found(self, entity, pictures):
        """Plays a camera without looking for its gateway, which must find the viewer."""
        async with Socket(self) as socket:
            return await play(socket, entity, int(pictures), with_a_dead_candidate)

    async def leave(self, entity):
        """Offers, and closes the session before there can be an answer."""
        async with Socket(self) as socket:
            connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            connection.addTransceiver("video", direction="recvonly")
            await connection.setLocalDescription(await connection.createOffer())
            offer = connection.localDescription.sdp
            await connection.close()
            number = await socket.send("camera/webrtc/offer", entity_id=entity, offer=offer)
            await socket.command("unsubscribe_events", subscription=number)
            return {}


class Socket:
    """A WebSocket of Home Assistant."""

    def __init__(self, browser):
        self.browser = browser
        self.number = 0
        self.results = {}
        self.events = asyncio.Queue()

    async def __aenter__(self):
        url = f"{self.browser.address}/api/websocket"
        self.socket = await self.browser.session.ws_connect(url)
        await self.socket.receive_json()
        await self.socket.send_json({"type": "auth", "access_token": self.browser.file.read_text()})
        answer = await self.socket.receive_json()
        assert answer["type"] == "auth_ok", answer
        self.reader = asyncio.create_task(self.read())
        return self

    async def __aexit__(self, *_):
        self.reader.cancel()
        await self.socket.close()

    async def read(self):
        async for message in self.socket:
            value = message.json()
            if value["type"] == "event":
                self.events.put_nowait(value["event"])
            else:
                self.results[value["id"]].set_result(value)

    async def send(self, kind, **fields):
        self.number += 1
        self.results[self.number] = asyncio.get_running_loop().create_future()
        await self.socket.send_json({"id": self.number, "type": kind, **fields})
        return self.number

    async def command(self, kind, **fields):
        number = await self.send(kind, **fields)
        result = await asyncio.wait_for(self.results[number], ANSWER_TIMEOUT_S)
        if not result["success"]:
            raise SystemExit(f"{kind}: {result['error']}")
        return result["result"]

    async def event(self, kind):
        """Waits for an event of a session, and skips others."""
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            while True:
                event = await self.events.get()
                if event["type"] == "error":
                    return event
                if event["type"] == kind:
                    return event


async def play(socket, entity, pictures, hear):
    capabilities = await socket.command("camera/capabilities", entity_id=entity)
    client = await socket.command("camera/webrtc/get_client_config", entity_id=entity)
    servers = client["configuration"].get("iceServers", [])
    connection = RTCPeerConnection(RTCConfiguration([RTCIceServer(**one) for one in servers]))
    tracks = asyncio.Queue()
    connection.on("track", tracks.put_nowait)
    connection.addTransceiver("audio", direction="recvonly")
    connection.addTransceiver("video", direction="recvonly")
    await connection.setLocalDescription(await connection.createOffer())
    offer, candidates = without_candidates(connection.localDescription.sdp)
    found = {
        "types": capabilities["frontend_stream_types"],
        "relayed": await relayed(servers),
        "candidates": len(candidates),
        "pictures": 0,
    }
    try:
        number = await socket.send("camera/webrtc/offer", entity_id=entity, offer=offer)
        session = await socket.event("session")
        # As a browser does, before there is an answer.
        for candidate in candidates:
            await socket.send(
                "camera/webrtc/candidate",
                entity_id=entity,
                session_id=session["session_id"],
                candidate=candidate,
            )
        answer = await socket.event("answer")
        if answer["type"] == "error":
            return {**found, "error": answer["message"]}
        answer = RTCSessionDescription(hear(answer["answer"]), "answer")
        await connection.setRemoteDescription(answer)
        async with asyncio.timeout(PICTURES_TIMEOUT_S):
            while (track := await tracks.get()).kind != "video":
                pass
            for _ in range(pictures):
                frame = await track.recv()
                found["pictures"] += 1
        found["size"] = f"{frame.width}x{frame.height}"
        await socket.command("unsubscribe_events", subscription=number)
        return found
    finally:
        await connection.close()


def without_candidates(offer):
    """Returns an offer as a browser sends it at once, and the candidates that follow."""
    lines, candidates, index = [], [], -1
    for line in offer.splitlines(keepends=True):
        index += line.startswith("m=")
        if line.startswith("a=candidate:"):
            candidates.append((index, line[2:].strip()))
        elif not line.startswith("a=end-of-candidates"):
            lines.append(line)
    offer = "".join(lines)
    mids = [line[6:].strip() for line in lines if line.startswith("a=mid:")]
    return offer, [
        {"candidate": text, "sdpMid": mids[index], "sdpMLineIndex": index}
        for index, text in candidates
    ]


def with_a_dead_candidate(answer):
    """Returns an answer whose only candidate leads to nobody: only the gateway can begin."""
    lines = [line for line in answer.splitlines() if not line.startswith("a=candidate:")]
    lines = [line for line in lines if line != "a=end-of-candidates"]
    section = next(index for index, line in enumerate(lines) if line.startswith("a=mid:"))
    dead = "a=candidate:1 1 udp 1 127.0.0.1 9 typ host"
    return "".join(f"{line}\r\n" for line in [*lines[: section + 1], dead, *lines[section + 1 :]])


async def relayed(servers):
    """Counts the candidates that a TURN server gives for the credentials in the configuration."""
    for server in servers:
        for url in server["urls"] if isinstance(server["urls"], list) else [server["urls"]]:
            if not url.startswith("turn:") or "transport=tcp" in url:
                continue
            host, _, port = url.removeprefix("turn:").partition("?")[0].rpartition(":")
            connection = aioice.Connection(
                ice_controlling=True,
                turn_server=(host, int(port)),
                turn_username=server["username"],
                turn_password=server["credential"],
                transport_policy=aioice.TransportPolicy.RELAY,
            )
            await connection.gather_candidates()
            found = [one for one in connection.local_candidates if one.type == "relay"]
            await connection.close()
            return len(found)
    return 0


async def main(address, file, command, *arguments):
    async with aiohttp.ClientSession() as session:
        browser = Browser(session, address, file)
        print(json.dumps(await getattr(browser, command)(*arguments)), flush=True)


asyncio.run(main(*sys.argv[1:]))
