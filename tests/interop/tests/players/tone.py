"""Measures a tone of 440 Hz in decoded sound. As a program it plays the sound of an RTSP camera with
GStreamer's own decoder: tone.py URL.
"""

import array
import math
import sys

HZ = 440
# What comes first is the encoder's and the decoder's beginning.
SKIPPED_S = 0.5
MEASURED_S = 1
CAPS = "audio/x-raw,format=S16LE,layout=interleaved"


class Tone:
    def __init__(self):
        self.samples = array.array("h")
        self.rate = None

    def add(self, buffer, caps):
        """Takes the next decoded samples; of several channels, the first."""
        structure = caps.get_structure(0)
        self.rate = structure.get_value("rate")
        taken = array.array("h", buffer.extract_dup(0, buffer.get_size()))
        self.samples.extend(taken[:: structure.get_value("channels")])

    def is_enough(self):
        return self.rate and len(self.samples) >= (SKIPPED_S + MEASURED_S) * self.rate

    def describe(self):
        """Returns the amplitude of the tone, and by how many decibels it is louder than the rest."""
        first = int(SKIPPED_S * self.rate)
        samples = [s / 32768 for s in self.samples[first : first + MEASURED_S * self.rate]]
        turn = 2 * math.pi * HZ / self.rate
        real = sum(s * math.cos(turn * n) for n, s in enumerate(samples)) * 2 / len(samples)
        imaginary = sum(s * math.sin(turn * n) for n, s in enumerate(samples)) * 2 / len(samples)
        rest = sum(
            (s - real * math.cos(turn * n) - imaginary * math.sin(turn * n)) ** 2
            for n, s in enumerate(samples)
        )
        amplitude = math.hypot(real, imaginary)
        power = amplitude**2 / 2
        decibels = 10 * math.log10(power / max(rest / len(samples), 1e-9))
        return f"tone {amplitude:.3f} {decibels:.1f}"


def main(url):
    import gi

    gi.require_version("Gst", "1.0")
    from gi.repository import GLib, Gst

    Gst.init(None)
    pipeline = Gst.parse_launch(
        f"uridecodebin uri={url} caps=audio/x-raw expose-all-streams=false ! audioconvert"
        f" ! {CAPS} ! fakesink name=sink signal-handoffs=true sync=false"
    )
    loop, tone, errors = GLib.MainLoop(), Tone(), []

    def on_decoded(_sink, buffer, pad):
        tone.add(buffer, pad.get_current_caps())
        if tone.is_enough():
            loop.quit()

    def on_error(_bus, message):
        errors.append(message.parse_error())
        loop.quit()

    pipeline.get_by_name("sink").connect("handoff", on_decoded)
    bus = pipeline.get_bus()
    bus.add_signal_watch()
    bus.connect("message::error", on_error)
    pipeline.set_state(Gst.State.PLAYING)
    loop.run()
    pipeline.set_state(Gst.State.NULL)
    if errors:
        raise SystemExit(str(errors))
    print(tone.describe(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
