"""A WHEP player made with aiortc: aiortc_player.py URL TOKEN SECTIONS BUNDLE FRAMES SOUNDS.

SECTIONS is a list of video, audio and data in the order of the offer, BUNDLE one of max-bundle,
balanced, max-compat and none. Prints the size of each decoded picture and ends after FRAMES, once
SOUNDS pieces of sound have been decoded.
"""

import asyncio
import sys

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)

import whep


async def main(url, token, sections, bundle, frames, sounds):
    policy = None if bundle == "none" else RTCBundlePolicy(bundle)
    configuration = RTCConfiguration(iceServers=[])
    if policy is not None:
        configuration.bundlePolicy = policy
    connection = RTCPeerConnection(configuration)
    tracks = asyncio.Queue()
    connection.on("track", tracks.put_nowait)
    for section in sections:
        if section == "data":
            connection.createDataChannel("data")
        else:
            connection.addTransceiver(section, direction="recvonly")
    await connection.setLocalDescription(await connection.createOffer())
    offer = connection.localDescription.sdp
    if bundle == "none":
        offer = whep.without_group(offer)
    print(offer, file=sys.stderr)
    answer = await asyncio.to_thread(whep.post, url, token, offer)
    print(answer, file=sys.stderr)
    await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    wanted = {"video"} if sounds == 0 else {"video", "audio"}
    received = {}
    while not wanted <= received.keys():
        track = await tracks.get()
        received[track.kind] = track
    for _ in range(frames):
        frame = await received["video"].recv()
        print(f"picture {frame.width}x{frame.height}", flush=True)
    for _ in range(sounds):
        frame = await received["audio"].recv()
    if sounds:
        print(f"sound of {frame.sample_rate} Hz", flush=True)
    print(f"connection {connection.connectionState}", flush=True)
    await connection.close()


url, token, sections, bundle, frames, sounds = sys.argv[1:7]
asyncio.run(main(url, token, sections.split(","), bundle, int(frames), int(sounds)))
