//! Quirks of sequence numbers, timestamps and the order of packets.

use std::sync::atomic::{AtomicU16, Ordering};

use super::Quirk;
use crate::scripted_camera::{FIRST_SEQUENCE, Packet, ScriptedCamera, TICKS};

pub(crate) fn order() -> Vec<Quirk> {
    vec![
        Quirk::new("neighbours swapped", ScriptedCamera::swapping).udp(),
        Quirk::new("one in 60 late by 30 ms", ScriptedCamera::lagging).udp().without_clock(),
        Quirk::new("groups of five, reversed", |camera| {
            camera.packets(|_, packets| packets.chunks_mut(5).for_each(<[_]>::reverse))
        })
        .udp(),
        Quirk::new("whole pictures, reversed", |camera| {
            camera.packets(|_, packets| packets.reverse())
        })
        .udp(),
        Quirk::new("whole pictures, reversed", |camera| {
            camera.packets(|_, packets| packets.reverse())
        })
        .udp()
        .h265(),
        Quirk::new("over TCP", |camera| {
            camera.packets(|number, packets| {
                let len = packets.len();
                if number % 4 == 3 && len > 2 {
                    packets.swap(len - 2, len - 1);
                }
            })
        }),
    ]
}

/// Changes the packets of a camera, each of which is given with the number of its picture.
fn each(camera: ScriptedCamera, change: fn(u32, &mut Packet)) -> ScriptedCamera {
    camera.packets(move |number, packets| {
        let number = u32::try_from(number).expect("a short test");
        packets.iter_mut().for_each(|packet| change(number, packet));
    })
}

/// Sends a packet of sound in the middle of each picture, which has small packets, and counts both
/// together.
fn sharing(camera: ScriptedCamera) -> ScriptedCamera {
    let camera = camera.sdp(|sdp| format!("{sdp}m=audio 0 RTP/AVP 8\r\na=control:track2\r\n"));
    let count = AtomicU16::new(0);
    camera.packetize(|picture| picture.payloads(200)).packets(move |_, packets| {
        let mut sound = packets[0].clone();
        (sound.payload, sound.payload_type, sound.channel) = (vec![0xd5; 160], 8, 2);
        packets.insert(packets.len() / 2, sound);
        for packet in packets {
            packet.sequence = count.fetch_add(1, Ordering::Relaxed);
        }
    })
}

pub(crate) fn numbers() -> Vec<Quirk> {
    fn low(number: u32) -> u16 {
        u16::try_from(number % 65_536).expect("16 bits")
    }
    fn left_out(camera: ScriptedCamera) -> ScriptedCamera {
        each(camera, |number, packet| {
            packet.sequence = packet.sequence.wrapping_add(low(number));
        })
    }
    /// Numbers the packets of so many pictures from the first one.
    fn of_group(camera: ScriptedCamera, group: usize) -> ScriptedCamera {
        let count = AtomicU16::new(0);
        camera.packets(move |picture, packets| {
            if picture % group == 0 {
                count.store(0, Ordering::Relaxed);
            }
            for packet in packets {
                packet.sequence = count.fetch_add(1, Ordering::Relaxed);
            }
        })
    }
    fn another_ssrc(camera: ScriptedCamera) -> ScriptedCamera {
        each(camera, |number, packet| packet.ssrc = number)
    }
    vec![
        Quirk::new("one left out after each picture", left_out),
        Quirk::new("one left out after each fifth packet", |camera| {
            each(camera, |_, packet| {
                let index = packet.sequence.wrapping_sub(FIRST_SEQUENCE);
                packet.sequence = packet.sequence.wrapping_add(index / 5);
            })
        }),
        Quirk::new("they begin again after 50 packets", |camera| {
            each(camera, |_, packet| {
                packet.sequence = packet.sequence.wrapping_sub(FIRST_SEQUENCE) % 50;
            })
        }),
        Quirk::new("they begin again at 16000 after 50 packets", |camera| {
            each(camera, |_, packet| {
                let index = packet.sequence.wrapping_sub(FIRST_SEQUENCE);
                packet.sequence = (index / 50).wrapping_mul(16_000).wrapping_add(index % 50);
            })
        }),
        Quirk::new("one left out after each picture", left_out).h265(),
        Quirk::new("one left out after each picture", left_out).udp(),
        Quirk::new("one counter for picture and sound", sharing),
        Quirk::new("one counter for picture and sound", sharing).h265(),
        Quirk::new("five thousand left out after each picture", |camera| {
            each(camera, |number, packet| {
                packet.sequence = packet.sequence.wrapping_add(low(number).wrapping_mul(5000));
            })
        }),
        Quirk::new("they begin again with each key frame", |camera| of_group(camera, 15)),
        Quirk::new("they begin again with each key frame", |camera| of_group(camera, 15)).udp(),
        Quirk::new("they begin again with each picture", |camera| of_group(camera, 1)),
        Quirk::new("one for each picture", |camera| {
            each(camera, |number, packet| packet.sequence = low(number))
        }),
        Quirk::new("one for all", |camera| each(camera, |_, packet| packet.sequence = 7)),
        Quirk::new("counting down", |camera| {
            each(camera, |_, packet| packet.sequence = packet.sequence.wrapping_neg())
        }),
        Quirk::new("at random", |camera| {
            each(camera, |_, packet| packet.sequence = packet.sequence.wrapping_mul(7919))
        }),
        Quirk::new("at random", |camera| {
            each(camera, |_, packet| packet.sequence = packet.sequence.wrapping_mul(7919))
        })
        .h265(),
        Quirk::new("another SSRC for each picture", another_ssrc),
        Quirk::new("another SSRC for each picture", another_ssrc).udp(),
        Quirk::new("another SSRC and numbers each 4 pictures", |camera| {
            each(camera, |number, packet| {
                packet.ssrc = number / 4;
                packet.sequence = packet.sequence.wrapping_add(low(number / 4 * 16_000));
            })
        }),
    ]
}

pub(crate) fn repeated() -> Vec<Quirk> {
    fn each_twice(camera: ScriptedCamera) -> ScriptedCamera {
        camera.packets(|_, packets| {
            *packets = packets.iter().flat_map(|packet| [packet.clone(), packet.clone()]).collect();
        })
    }
    fn pictures_twice(camera: ScriptedCamera) -> ScriptedCamera {
        camera.packets(|_, packets| packets.extend_from_within(..))
    }
    vec![
        Quirk::new("each packet twice", each_twice),
        Quirk::new("each packet twice", each_twice).udp(),
        Quirk::new("each picture twice", pictures_twice),
        Quirk::new("each picture twice", pictures_twice).udp(),
        Quirk::new("each picture twice", pictures_twice).udp().h265(),
    ]
}

/// Changes the timestamps of packets that hold no slice.
fn beside(camera: ScriptedCamera, change: fn(u32, u32) -> u32) -> ScriptedCamera {
    camera.packets(move |number, packets| {
        let number = u32::try_from(number).expect("a short test");
        for packet in packets.iter_mut().filter(|packet| matches!(packet.payload[0] & 0x1f, 6..=9))
        {
            packet.timestamp = change(number, packet.timestamp);
        }
    })
}

pub(crate) fn timestamps() -> Vec<Quirk> {
    type Script = fn(ScriptedCamera) -> ScriptedCamera;
    fn of_pictures(camera: ScriptedCamera, timestamp: fn(u32) -> u32) -> ScriptedCamera {
        camera.packets(move |number, packets| {
            let number = u32::try_from(number).expect("a short test");
            packets.iter_mut().for_each(|packet| packet.timestamp = timestamp(number));
        })
    }
    fn of_packets(camera: ScriptedCamera) -> ScriptedCamera {
        camera.packets(|_, packets| {
            (0..).zip(packets).for_each(|(index, packet)| {
                packet.timestamp = packet.timestamp.wrapping_add(index);
            });
        })
    }
    let pictures =
        |name, script: Script| [Quirk::new(name, script), Quirk::new(name, script).h265()];
    let without_clock: [(&str, Script); 7] = [
        ("one for all", |camera| of_pictures(camera, |_| 7)),
        ("set back with each key frame", |camera| {
            of_pictures(camera, |number| number % 15 * TICKS)
        }),
        ("set back with each fifth picture", |camera| {
            of_pictures(camera, |number| number % 5 * TICKS)
        }),
        ("counting down", |camera| of_pictures(camera, |n| 90_000_000 - n * TICKS)),
        ("at random", |camera| of_pictures(camera, |number| number.wrapping_mul(2_654_435_761))),
        ("in milliseconds", |camera| of_pictures(camera, |number| number * 1000 / 15)),
        ("in microseconds", |camera| of_pictures(camera, |number| number * 66_667)),
    ];
    let without_clock = without_clock.into_iter().flat_map(|(name, script)| pictures(name, script));
    let sets: [(&str, Script); 4] = [
        ("zero for parameter sets", |camera| beside(camera, |_, _| 0)),
        ("old ones for parameter sets", |camera| beside(camera, |_, at| at.wrapping_sub(9000))),
        ("late ones for parameter sets", |camera| beside(camera, |_, at| at.wrapping_add(9000))),
        ("random ones for parameter sets", |camera| {
            beside(camera, |number, _| number.wrapping_mul(2_654_435_761))
        }),
    ];
    let mut quirks: Vec<_> = without_clock.map(Quirk::without_clock).collect();
    quirks.extend(sets.into_iter().map(|(name, script)| Quirk::new(name, script)));
    let each = pictures("another one for each packet", of_packets);
    quirks.extend(each.into_iter().map(Quirk::without_clock));
    quirks
}
