"""What the integration makes of hostile servers, addresses and viewers: tables.

Run with the folder that has custom_components in PYTHONPATH.
"""

import asyncio
import json
import unittest

import aiohttp
from aiohttp import web
from custom_components.porthole import address, api, const, whep

CAMERA = {"gateway": "gw-a", "id": "door", "address": "door", "name": "Door", "state": "live"}
WATCHED = {**CAMERA, "permissions": ["watch"]}


def answer(status=200, text="", **headers):
    """Returns a handler with this response."""
    return lambda _: web.Response(status=status, text=text, headers=headers)


class Hostile(unittest.IsolatedAsyncioTestCase):
    """A server that answers every request in one way, and notes what came."""

    async def asyncSetUp(self):
        self.handler = answer()
        self.requests = []

        async def handle(request):
            self.requests.append((request.method, request.path, await request.text()))
            return self.handler(request)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        port = self.runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/cams"
        self.session = aiohttp.ClientSession()
        self.server = api.Server(self.session, self.url, "token")

    async def asyncTearDown(self):
        await self.session.close()
        await self.runner.cleanup()

    async def test_a_list_of_cameras_is_read_as_far_as_it_makes_sense(self):
        many = [{**WATCHED, "id": str(number)} for number in range(const.MAX_CAMERAS + 1)]
        for cameras, expected in [
            ([], 0),
            ([WATCHED], 1),
            ([WATCHED, None, 7, [], {}, {**WATCHED, "name": 7}, {**WATCHED, "id": ""}], 1),
            ([{**WATCHED, "address": "../../api/v1/tokens"}], 0),
            ([{**WATCHED, "address": "a\r\nb"}], 0),
            (many, const.MAX_CAMERAS),
        ]:
            self.handler = answer(text=json.dumps({"cameras": cameras}))
            self.assertEqual(len(await self.server.cameras()), expected, str(cameras)[:80])
        long = {**CAMERA, "name": "n" * 999, "reason": "r" * 999}
        self.handler = answer(text=json.dumps({"cameras": [long]}))
        [camera] = await self.server.cameras()
        found = (len(camera.name), len(camera.reason), camera.watchable)
        self.assertEqual(found, (const.MAX_NAME_CHARS, const.MAX_REASON_CHARS, False))

    async def test_what_is_no_list_is_an_error_in_a_sentence(self):
        deep = "[" * 100_000
        for handler, error, sentence in [
            (answer(text="<html>"), api.UnreachableError, "not that of a Porthole server"),
            (answer(text="[]"), api.UnreachableError, "not that of a Porthole server"),
            (answer(text=deep), api.UnreachableError, "not that of a Porthole server"),
            (answer(text='{"cameras": 1}'), api.UnreachableError, "not that of a Porthole"),
            (answer(text=" " * (const.MAX_RESPONSE_BYTES + 1)), api.UnreachableError, "bytes"),
            (answer(302, Location="/other"), api.UnreachableError, "names another address"),
            (answer(401, '{"error": "revoked"}'), api.SignInError, "revoked"),
            (answer(403, '{"error": "no scope"}'), api.RefusedError, "no scope"),
            (answer(500, "<html>"), api.RefusedError, "500"),
            (answer(503, json.dumps({"error": "x" * 999})), api.RefusedError, "x" * 300),
        ]:
            self.handler = handler
            with self.assertRaisesRegex(error, sentence) as caught:
                await self.server.cameras()
            self.assertLessEqual(len(str(caught.exception)), 300)
        # No redirect was followed.
        self.assertEqual({path for _, path, _ in self.requests}, {"/cams/api/v1/cameras"})

    async def test_ice_servers_are_bounded_in_number_kind_and_time(self):
        turn = {"urls": ["turn:h:1"], "username": "u", "credential": "c"}
        for servers, lifetime_s, expected in [
            ([turn], 600, (1, 600)),
            ([turn] * 99, 10**12, (const.MAX_ICE_SERVERS, const.MAX_LIFETIME_S)),
            ([{"urls": ["https://h"]}, {"urls": "turn:h"}, 7, {}], -1, (0, 0)),
        ]:
            body = {"iceServers": servers, "lifetimeS": lifetime_s}
            self.handler = answer(text=json.dumps(body))
            found = await self.server.ice_servers()
            self.assertEqual((len(found.servers), found.lifetime_s), expected)

    async def test_a_session_is_at_the_same_server_or_nowhere(self):
        for location, is_taken in [
            ("/cams/whep/door/1", True),
            (f"{self.url}/whep/door/1", True),
            ("", False),
            ("https://elsewhere.example/whep/door/1", False),
            ("//elsewhere.example/whep/door/1", False),
            ("http://[", False),
        ]:
            self.handler = answer(201, "v=0", Location=location, ETag='"1"')
            if is_taken:
                session = await self.server.offer("door", "v=0")
                self.assertEqual(session.answer, "v=0")
                self.handler = answer(204)
                await session.close()
                self.assertEqual(self.requests[-1][:2], ("DELETE", "/cams/whep/door/1"))
            else:
                with self.assertRaisesRegex(api.UnreachableError, "no session"):
                    await self.server.offer("door", "v=0")

    async def test_a_session_that_is_over_ends_without_an_error(self):
        for status, error in [(200, None), (404, None), (500, api.RefusedError)]:
            self.handler = answer(201, "v=0", Location="/cams/whep/door/1")
            session = await self.server.offer("door", "v=0")
            self.handler = answer(status)
            if error is None:
                await session.close()
            else:
                with self.assertRaises(error):
                    await session.close()


class Text(unittest.TestCase):
    """Text that is read and written without a server."""

    def test_a_fragment_has_the_credentials_and_sections_of_its_offer(self):
        video = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:v\r\n"
        offer = f"v=0\r\na=ice-ufrag:uf\r\na=ice-pwd:pw\r\nm=audio 9 X 0\r\na=mid:a\r\n{video}"
        head = "a=ice-ufrag:uf\r\na=ice-pwd:pw\r\n"
        audio = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:a\r\n"
        video = "m=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:v\r\n"
        for candidates, expected in [
            ([("candidate:1", "a", None)], f"{head}{audio}a=candidate:1\r\n"),
            ([("candidate:1", None, 1)], f"{head}{video}a=candidate:1\r\n"),
            ([("candidate:1", "none", 0)], f"{head}a=candidate:1\r\n"),
            ([("candidate:1", None, 99)], f"{head}a=candidate:1\r\n"),
            ([("", "v", 1)], f"{head}{video}a=end-of-candidates\r\n"),
            (
                [("candidate:1", "a", 0), ("candidate:2", "a", 0), ("candidate:3", "v", 1)],
                f"{head}{audio}a=candidate:1\r\na=candidate:2\r\n{video}a=candidate:3\r\n",
            ),
        ]:
            made = [whep.Candidate(*candidate) for candidate in candidates]
            self.assertEqual(whep.fragment(whep.Offer.parse(offer), made), expected)
        nothing = whep.Offer.parse("m=" * 9 + "\r\na=mid\r\n" + "m=x\r\n" * 999)
        self.assertLessEqual(len(nothing.sections), whep.MAX_SECTIONS)

    def test_an_address_is_one_of_a_server_or_refused(self):
        for text, expected in [
            (" https://h/ ", "https://h"),
            ("https://h/cams/?a=1#t=secret", "https://h/cams"),
            ("http://[fd00::1]:8080", "http://[fd00::1]:8080"),
            ("h", None),
            ("ftp://h", None),
            ("https://", None),
            ("https://user:password@h", None),
            ("https://h:99999", None),
        ]:
            if expected is None:
                with self.assertRaisesRegex(address.InvalidAddressError, "invalid_url"):
                    address.normalise(text)
            else:
                self.assertEqual(address.normalise(text), expected)

    def test_plain_http_is_for_networks_of_ones_own(self):
        for url, refused in [
            ("https://1.1.1.1", False),
            ("http://127.0.0.1:8080", False),
            ("http://192.168.1.2", False),
            ("http://[fd00::1]", False),
            ("http://1.1.1.1", True),
            ("http://[2606:4700::1]", True),
        ]:
            if refused:
                with self.assertRaisesRegex(address.InvalidAddressError, "insecure_url"):
                    asyncio.run(address.check_transport(url))
            else:
                asyncio.run(address.check_transport(url))


unittest.main()
