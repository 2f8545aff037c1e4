#!/usr/bin/python3
"""An RTSP camera for tests: GStreamer's RTSP server with a moving test picture.

The script prints "ready PORT" once it listens. It ends on SIGTERM or when its standard input ends.
It needs the packages python3-gi, gir1.2-gst-rtsp-server-1.0 and GStreamer's good, bad and ugly
plugins.
"""

import argparse
import signal
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

ENCODERS = {
    "h264": "x264enc {order} bitrate={kbit} key-int-max={keyint}"
    " ! video/x-h264,profile={profile} ! rtph264pay name=pay0 pt=96"
    " config-interval={config} mtu={mtu}",
    "h265": "x265enc speed-preset=ultrafast tune=zerolatency bitrate={kbit} key-int-max={keyint}"
    " ! rtph265pay name=pay0 pt=96 config-interval={config} mtu={mtu}",
    "vp8": "vp8enc deadline=1 target-bitrate={kbit}000 keyframe-max-dist={keyint}"
    " ! rtpvp8pay name=pay0 pt=96 mtu={mtu}",
    "jpeg": "jpegenc ! rtpjpegpay name=pay0 pt=26 mtu={mtu}",
}

# Encoders of sound, each for a tone of 440 Hz.
SOUNDS = {
    "pcma": "alawenc ! rtppcmapay name=pay1 pt=8",
    "pcmu": "mulawenc ! rtppcmupay name=pay1 pt=0",
    "l16": "rtpL16pay name=pay1 pt=97",
    "g726": "avenc_g726 ! rtpg726pay name=pay1 pt=97",
    "opus": "opusenc ! rtpopuspay name=pay1 pt=97",
    "aac": "avenc_aac ! aacparse ! rtpmp4gpay name=pay1 pt=97",
    "latm": "avenc_aac ! aacparse ! rtpmp4apay name=pay1 pt=97",
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 means any free port")
    parser.add_argument("--path", default="/camera")
    parser.add_argument("--codec", choices=ENCODERS, default="h264")
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--kbit", type=int, default=800)
    parser.add_argument("--keyframe-interval", type=float, default=1.0, help="in seconds")
    parser.add_argument("--b-pictures", action="store_true", help="two after each other picture")
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    parser.add_argument("--basic", action="store_true", help="basic instead of digest authentication")
    parser.add_argument("--mtu", type=int, default=1400)
    parser.add_argument(
        "--sets-in-sdp-only", action="store_true", help="send no parameter sets within the stream"
    )
    parser.add_argument("--sound", choices=SOUNDS)
    parser.add_argument("--rate", type=int, default=8000, help="of the sound, in hertz")
    parser.add_argument("--channels", type=int, default=1, help="of the sound")
    parser.add_argument("--group", help="send to this multicast group only")
    parser.add_argument("--interface", help="where the group is")
    parser.add_argument("--stdin", action="store_true", help="exit when standard input ends")
    return parser.parse_args()


def pipeline(options):
    width, height = options.size.split("x")
    in_order = "speed-preset=ultrafast tune=zerolatency"
    encoder = ENCODERS[options.codec].format(
        order="speed-preset=veryfast bframes=2" if options.b_pictures else in_order,
        profile="main" if options.b_pictures else "constrained-baseline",
        kbit=options.kbit,
        keyint=max(1, round(options.fps * options.keyframe_interval)),
        config=0 if options.sets_in_sdp_only else -1,
        mtu=options.mtu,
    )
    return (
        f"( videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width={width},"
        f"height={height},framerate={options.fps}/1 ! {encoder} {sound(options)} )"
    )


def sound(options):
    """Returns the part of the pipeline that makes the sound, if there is any."""
    if options.sound is None:
        return ""
    return (
        "audiotestsrc is-live=true freq=440 volume=0.5 ! audioconvert"
        f" ! audio/x-raw,rate={options.rate},channels={options.channels} ! audioconvert"
        f" ! {SOUNDS[options.sound]}"
    )


def protect(server, factory, options):
    """Restricts the stream to the user."""
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    if options.basic:
        basic = GstRtspServer.RTSPAuth.make_basic(options.user, options.password)
        auth.add_basic(basic, token)
    else:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(options.user, options.password, token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_role("viewer")
    permissions.add_permission_for_role("viewer", "media.factory.access", True)
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)
    factory.set_permissions(permissions)


def send_to_a_group(factory, options):
    """Sends to the group alone, with a time to live of 1."""
    pool = GstRtspServer.RTSPAddressPool()
    pool.add_range(options.group, options.group, 5000, 5001, 1)
    factory.set_address_pool(pool)
    factory.set_protocols(GstRtsp.RTSPLowerTrans.UDP_MCAST)
    factory.set_multicast_iface(options.interface)


def main():
    options = arguments()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address(options.address)
    server.set_service(str(options.port))
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(pipeline(options))
    # The server aborts (in gst_rtsp_media_get_rates) when one client ends a shared stream while
    # another one starts it.
    factory.set_shared(options.group is not None)
    if options.group is not None:
        send_to_a_group(factory, options)
    if options.user is not None:
        protect(server, factory, options)
    server.get_mount_points().add_factory(options.path, factory)
    if not server.attach(None):
        sys.exit(f"cannot listen on {options.address}:{options.port}")
    loop = GLib.MainLoop()
    GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal.SIGTERM, loop.quit)
    GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal.SIGINT, loop.quit)
    if options.stdin:
        wait = threading.Thread(target=lambda: (sys.stdin.read(), loop.quit()), daemon=True)
        wait.start()
    print("ready", server.get_bound_port(), flush=True)
    loop.run()


if __name__ == "__main__":
    main()
