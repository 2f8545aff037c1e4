//! The cameras in the report of a gateway: which are accepted, and how they are shown.

use std::collections::BTreeSet;

use porthole_signaling_proto::method::RefusedCamera;
use porthole_signaling_proto::names::is_shown;
use porthole_signaling_proto::{
    CameraId, CameraPermission, CameraReport, CameraState, ROTATIONS, StreamReport, StreamRole,
};

use super::plain_name;

/// The longest reason of a camera's failure: a sentence.
const MAX_REASON_CHARS: usize = 300;
/// The longest name of a codec, such as `H264`.
const MAX_CODEC_CHARS: usize = 16;
/// Most streams of a camera: main and sub.
const MAX_STREAMS: usize = 2;

/// Most provisional cameras of a gateway: the sources of a large recorder.
const MAX_PROVISIONAL: usize = 64;

/// Splits reported cameras into accepted and refused ones.
pub(super) fn accept(
    cameras: Vec<CameraReport>,
    limit: usize,
) -> (Vec<CameraReport>, Vec<RefusedCamera>) {
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    let mut seen = BTreeSet::new();
    for camera in cameras {
        let reason = if !seen.insert(camera.id.clone()) {
            "this id is used twice; choose another id".to_owned()
        } else if accepted.len() >= limit {
            format!("a gateway can have at most {limit} cameras; run another gateway")
        } else {
            accepted.push(displayable(camera));
            continue;
        };
        refused.push(RefusedCamera { id: camera.id, reason });
    }
    (fold_sub_streams(accepted), refused)
}

/// Returns the provisional cameras of a report, as many as are kept.
pub(super) fn accept_provisional(cameras: Vec<CameraReport>) -> Vec<CameraReport> {
    cameras.into_iter().take(MAX_PROVISIONAL).map(displayable).collect()
}

/// Cuts the texts and lists of a report to a size and form that can be displayed and stored.
fn displayable(camera: CameraReport) -> CameraReport {
    let cut = |text: String, max| text.chars().filter(|c| is_shown(*c)).take(max).collect();
    let name = plain_name(&camera.name);
    let mut streams = camera.streams;
    // Any other id could be that of another camera.
    let sub = camera.id.sub_stream();
    streams.retain(|stream| match stream.role {
        StreamRole::Main => stream.id == camera.id,
        StreamRole::Sub => Some(&stream.id) == sub.as_ref(),
    });
    streams.truncate(MAX_STREAMS);
    for stream in &mut streams {
        stream.reason = stream.reason.take().map(|reason| cut(reason, MAX_REASON_CHARS));
        stream.codec = stream.codec.take().map(|codec| cut(codec, MAX_CODEC_CHARS));
    }
    let mut control = camera.control;
    if let Some(control) = &mut control {
        control.held_by = control.held_by.take().map(|name| plain_name(&name));
    }
    let mut sound = camera.sound;
    if let Some(sound) = &mut sound {
        sound.codec = cut(std::mem::take(&mut sound.codec), MAX_CODEC_CHARS);
        sound.reason = sound.reason.take().map(|reason| cut(reason, MAX_REASON_CHARS));
    }
    CameraReport {
        name: if name.is_empty() { camera.id.to_string() } else { name },
        reason: camera.reason.map(|reason| cut(reason, MAX_REASON_CHARS)),
        codec: camera.codec.map(|codec| cut(codec, MAX_CODEC_CHARS)),
        streams,
        control,
        sound,
        rotation: if ROTATIONS.contains(&camera.rotation) { camera.rotation } else { 0 },
        ..camera
    }
}

/// Makes sub streams of cameras that older gateways report, and older databases list, as cameras of
/// their own: `ID.sub` beside `ID`.
pub(super) fn fold_sub_streams(cameras: Vec<CameraReport>) -> Vec<CameraReport> {
    let ids: BTreeSet<_> = cameras.iter().map(|camera| camera.id.clone()).collect();
    let is_sub =
        |camera: &CameraReport| camera.id.main_stream().is_some_and(|main| ids.contains(&main));
    let (subs, mut cameras): (Vec<_>, Vec<_>) = cameras.into_iter().partition(is_sub);
    for sub in subs {
        let main = sub.id.main_stream();
        let Some(camera) = cameras.iter_mut().find(|camera| Some(&camera.id) == main.as_ref())
        else {
            continue;
        };
        camera.viewers = camera.viewers.saturating_add(sub.viewers);
        if camera.streams.is_empty() {
            camera.streams = vec![stream_of(camera, StreamRole::Main)];
        }
        if camera.streams.len() < MAX_STREAMS {
            camera.streams.push(stream_of(&sub, StreamRole::Sub));
        }
    }
    cameras
}

fn stream_of(camera: &CameraReport, role: StreamRole) -> StreamReport {
    StreamReport {
        id: camera.id.clone(),
        role,
        state: camera.state,
        reason: camera.reason.clone(),
        codec: camera.codec.clone(),
        width: camera.width,
        height: camera.height,
    }
}

/// Returns the ids under which a camera can be watched: its own, then those of further streams.
pub(super) fn profiles(camera: &CameraReport) -> impl Iterator<Item = &CameraId> {
    let streams = camera.streams.iter().map(|stream| &stream.id);
    std::iter::once(&camera.id).chain(streams.filter(|id| **id != camera.id))
}

/// Returns the camera as somebody may see it, with what may be done with it: the whole camera, or
/// each stream that may be seen as a camera of its own. `permissions` returns `None` for those that
/// may not be seen.
pub(super) fn visible(
    camera: &CameraReport,
    permissions: impl Fn(&CameraId) -> Option<Vec<CameraPermission>>,
) -> Vec<(CameraReport, Vec<CameraPermission>)> {
    if let Some(on_camera) = permissions(&camera.id) {
        return vec![(camera.clone(), on_camera)];
    }
    let seen = camera.streams.iter();
    let seen = seen.filter_map(|stream| Some((stream, permissions(&stream.id)?)));
    let alone = seen.map(|(stream, on_stream)| {
        let report = CameraReport {
            id: stream.id.clone(),
            name: format!("{} (low resolution)", camera.name),
            state: stream.state,
            reason: stream.reason.clone(),
            codec: stream.codec.clone(),
            width: stream.width,
            height: stream.height,
            viewers: 0,
            streams: Vec::new(),
            provisional: camera.provisional,
            control: camera.control.clone(),
            motion: camera.motion.clone(),
            rotation: camera.rotation,
            mirrored: camera.mirrored,
            sound: camera.sound.clone(),
        };
        (report, on_stream)
    });
    alone.collect()
}

pub(super) fn offline(mut camera: CameraReport) -> CameraReport {
    for stream in &mut camera.streams {
        stream.state = CameraState::Offline;
        stream.reason = None;
    }
    if let Some(control) = &mut camera.control {
        control.held_by = None;
    }
    if let Some(motion) = &mut camera.motion {
        motion.active = false;
    }
    CameraReport { state: CameraState::Offline, reason: None, viewers: 0, ..camera }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::tests::camera;

    #[test]
    fn sub_streams_that_are_listed_as_cameras_become_streams_of_their_camera() {
        type Case = (&'static [&'static str], &'static [(&'static str, &'static [&'static str])]);
        let table: [Case; 4] = [
            (&["door"], &[("door", &[])]),
            (&["door.sub", "door", "yard"], &[("door", &["door", "door.sub"]), ("yard", &[])]),
            (&["attic.sub"], &[("attic.sub", &[])]),
            (&["a", "a.sub", "a.sub.sub"], &[("a", &["a", "a.sub"])]),
        ];
        for (reported, expected) in table {
            let folded = fold_sub_streams(reported.iter().map(|id| camera(id)).collect());
            let folded: Vec<_> = folded
                .iter()
                .map(|camera| {
                    let streams = camera.streams.iter().map(|stream| stream.id.as_str());
                    (camera.id.as_str(), streams.collect::<Vec<_>>())
                })
                .collect();
            let expected: Vec<_> = expected.iter().map(|(id, ids)| (*id, ids.to_vec())).collect();
            assert_eq!(folded, expected, "{reported:?}");
        }
    }
}
