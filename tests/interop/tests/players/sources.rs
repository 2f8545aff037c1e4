//! Codecs other than H.264, pushed over RTP and watched by a player that decodes them.

use porthole_test_support::cameras::{Camera, Kind};

use super::*;

#[test]
fn pushed_vp8_vp9_and_h265_are_played() {
    let needs = [Need::Program, Need::Webrtcbin, Kind::FfmpegVp8.need()];
    scene("pushed_vp8_vp9_and_h265_are_played", &needs, |scene| {
        let table =
            [(Kind::FfmpegVp8, "vp8"), (Kind::FfmpegVp9, "vp9"), (Kind::FfmpegH265, "h265")];
        for (kind, codec) in table {
            let mut camera = Camera::new(scene, kind)?;
            camera.start()?;
            let installation = Installation::start(scene, codec, &camera.source())?;
            let pictures = installation.watch(Player::Webrtcbin, codec, "max-bundle")?;
            ensure!(pictures.last().is_some_and(|last| last == "picture 320x240"), "{codec}");
        }
        Ok(())
    });
}

#[test]
fn a_camera_without_sound_is_played_whatever_else_is_offered() {
    let needs = [
        Need::Program,
        Need::PythonPackages,
        Need::Webrtcbin,
        Need::NodePackages("interop/tests/players/werift"),
        Kind::FfmpegRtp.need(),
    ];
    scene("a_camera_without_sound_is_played_whatever_else_is_offered", &needs, |scene| {
        let mut camera = Camera::new(scene, Kind::FfmpegRtp)?;
        camera.start()?;
        let installation = Installation::start(scene, "server", &camera.source())?;
        let installation = Installation { sounds: 0, ..installation };
        let players = [
            (Player::Aiortc, ["max-bundle", "none"]),
            (Player::Webrtcbin, ["max-bundle", "none"]),
            (Player::Werift, ["max-bundle", "disable"]),
        ];
        for (player, bundles) in players {
            for bundle in bundles {
                for sections in
                    ["video,audio", "audio,video", "video,audio,data", "audio,data,video"]
                {
                    installation.watch(player, sections, bundle)?;
                }
            }
        }
        Ok(())
    });
}
