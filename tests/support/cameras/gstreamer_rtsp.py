"""A camera: GStreamer's RTSP server with a moving picture at rtsp://127.0.0.1:PORT/camera.

Usage: gstreamer_rtsp.py PORT [--user USER --password PASSWORD] [--codec h264|jpeg]
"""

import argparse

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

PICTURE = (
    "videotestsrc is-live=true pattern=ball "
    "! video/x-raw,format=I420,width=640,height=360,framerate=30/1"
)
CODECS = {
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=60 bitrate=1000 "
    "! video/x-h264,profile=constrained-baseline ! rtph264pay name=pay0 pt=96",
    "jpeg": "jpegenc ! rtpjpegpay name=pay0 pt=26",
}


def protect(server, factory, user, password):
    """Lets in only who knows the password, asked for by digest."""
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    auth.add_digest(user, password, token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_role("viewer")
    permissions.add_permission_for_role("viewer", "media.factory.access", True)
    permissions.add_permission_for_role("viewer", "media.factory.construct", True)
    factory.set_permissions(permissions)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("port")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--codec", choices=CODECS, default="h264")
    arguments = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(arguments.port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( {PICTURE} ! {CODECS[arguments.codec]} )")
    factory.set_shared(True)
    if arguments.user is not None:
        protect(server, factory, arguments.user, arguments.password)
    server.get_mount_points().add_factory("/camera", factory)
    server.attach(None)
    GLib.MainLoop().run()


main()
