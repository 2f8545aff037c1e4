"""A WHEP player made with GStreamer's webrtcbin: webrtcbin_player.py URL TOKEN SECTIONS BUNDLE
FRAMES SOUNDS.

SECTIONS is a list of video (H.264), h265, vp8, vp9, audio (A-law), opus and data in the order of the
offer, BUNDLE a bundle policy of webrtcbin. Prints the size of each decoded picture and ends after
FRAMES and SOUNDS; with opus it prints the tone in the sound, too.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC

import tone
import whep

FEEDBACK = "rtcp-fb-nack=true,rtcp-fb-nack-pli=true"
VIDEO = f"application/x-rtp,media=video,clock-rate=90000,payload=96,{FEEDBACK},encoding-name="
CAPS = {
    "video": VIDEO + "H264,packetization-mode=(string)1,profile-level-id=(string)42e01f",
    "h265": VIDEO + "H265",
    "vp8": VIDEO + "VP8",
    "vp9": VIDEO + "VP9",
    "audio": "application/x-rtp,media=audio,encoding-name=PCMA,clock-rate=8000,payload=8",
    "opus": "application/x-rtp,media=audio,encoding-name=OPUS,clock-rate=48000,payload=111"
    ",encoding-params=(string)2",
}
DECODERS = {
    "H264": "rtph264depay ! h264parse ! avdec_h264",
    "H265": "rtph265depay ! h265parse ! avdec_h265",
    "VP8": "rtpvp8depay ! vp8dec",
    "VP9": "rtpvp9depay ! vp9dec",
    "PCMA": "rtppcmadepay ! alawdec",
    "OPUS": f"rtpopusdepay ! opusdec ! audioconvert ! {tone.CAPS}",
}
SINK = "fakesink name=sink signal-handoffs=true sync=false"


class Player:
    def __init__(self, url, token, sections, bundle, frames, sounds):
        self.url, self.token = url, token
        self.frames, self.sounds = frames, sounds
        self.tone = tone.Tone() if "opus" in sections else None
        self.loop = GLib.MainLoop()
        self.error = None
        self.pipeline = Gst.Pipeline.new(None)
        self.webrtc = Gst.ElementFactory.make("webrtcbin", None)
        if self.webrtc is None:
            raise SystemExit("webrtcbin is not installed")
        self.webrtc.set_property("bundle-policy", bundle)
        self.pipeline.add(self.webrtc)
        self.webrtc.connect("pad-added", self.on_pad)
        self.webrtc.connect("notify::ice-gathering-state", self.on_gathering)
        self.pipeline.set_state(Gst.State.READY)
        receive = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
        for section in sections:
            if section == "data":
                self.webrtc.emit("create-data-channel", "data", None)
            else:
                caps = Gst.Caps.from_string(CAPS[section])
                self.webrtc.emit("add-transceiver", receive, caps)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self.on_error)

    def run(self):
        self.pipeline.set_state(Gst.State.PLAYING)
        promise = Gst.Promise.new_with_change_func(self.on_offer)
        self.webrtc.emit("create-offer", None, promise)
        self.loop.run()
        self.pipeline.set_state(Gst.State.NULL)
        if self.error:
            raise SystemExit(self.error)
        if self.tone:
            print(self.tone.describe(), flush=True)

    def fail(self, error):
        self.error = error
        self.loop.quit()

    def on_error(self, _bus, message):
        error, detail = message.parse_error()
        self.fail(f"{error.message} ({detail})")

    def on_offer(self, promise):
        # The description lives in the reply.
        reply = promise.get_reply()
        offer = reply.get_value("offer")
        self.webrtc.emit("set-local-description", offer, Gst.Promise.new())

    def on_gathering(self, webrtc, _property):
        if webrtc.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            GLib.idle_add(self.exchange)

    def exchange(self):
        description = self.webrtc.get_property("local-description")
        offer = description.sdp.as_text()
        print(offer, file=sys.stderr)
        try:
            answer = whep.post(self.url, self.token, offer)
        except SystemExit as error:
            self.fail(str(error))
            return False
        print(answer, file=sys.stderr)
        _, message = GstSdp.SDPMessage.new_from_text(answer)
        kind = GstWebRTC.WebRTCSDPType.ANSWER
        description = GstWebRTC.WebRTCSessionDescription.new(kind, message)
        promise = Gst.Promise.new_with_change_func(self.on_answer)
        self.webrtc.emit("set-remote-description", description, promise)
        return False

    def on_answer(self, promise):
        reply = promise.get_reply()
        if reply is not None and reply.has_field("error"):
            GLib.idle_add(self.fail, str(reply.get_value("error")))

    def on_pad(self, _webrtc, pad):
        if pad.direction != Gst.PadDirection.SRC:
            return
        codec = pad.get_current_caps().get_structure(0).get_string("encoding-name")
        decoder = Gst.parse_bin_from_description(f"{DECODERS[codec]} ! {SINK}", True)
        decoder.get_by_name("sink").connect("handoff", self.on_decoded)
        self.pipeline.add(decoder)
        decoder.sync_state_with_parent()
        pad.link(decoder.get_static_pad("sink"))

    def on_decoded(self, _sink, buffer, pad):
        caps = pad.get_current_caps()
        structure = caps.get_structure(0)
        if structure.get_name().startswith("audio"):
            self.sounds -= 1
            if self.tone:
                self.tone.add(buffer, caps)
        else:
            size = f"{structure.get_value('width')}x{structure.get_value('height')}"
            print(f"picture {size}", flush=True)
            self.frames -= 1
        is_measured = self.tone is None or self.tone.is_enough()
        if self.frames <= 0 and self.sounds <= 0 and is_measured:
            self.loop.quit()


Gst.init(None)
url, token, sections, bundle, frames, sounds = sys.argv[1:7]
Player(url, token, sections.split(","), bundle, int(frames), int(sounds)).run()
