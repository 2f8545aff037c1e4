//! The `webrtc` crate, whose every layer is another one than the gateway's, as a player.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use porthole_test_support::http;
use webrtc::api::APIBuilder;
use webrtc::api::interceptor_registry::register_default_interceptors;
use webrtc::api::media_engine::MediaEngine;
use webrtc::interceptor::registry::Registry;
use webrtc::peer_connection::RTCPeerConnection;
use webrtc::peer_connection::configuration::RTCConfiguration;
use webrtc::peer_connection::policy::bundle_policy::RTCBundlePolicy;
use webrtc::peer_connection::sdp::session_description::RTCSessionDescription;
use webrtc::rtp_transceiver::RTCRtpTransceiverInit;
use webrtc::rtp_transceiver::rtp_codec::RTPCodecType;
use webrtc::rtp_transceiver::rtp_transceiver_direction::RTCRtpTransceiverDirection;

use super::*;

/// Interval at which the pictures that have arrived are counted.
const LOOK: Duration = Duration::from_millis(50);

#[test]
fn the_webrtc_crate_plays_whatever_else_it_offers() {
    scene("the_webrtc_crate_plays_whatever_else_it_offers", &[Need::Program], |scene| {
        let installation = Installation::start(scene, "server", "test:640x360")?;
        let runtime = tokio::runtime::Runtime::new()?;
        let policies =
            [RTCBundlePolicy::MaxBundle, RTCBundlePolicy::Balanced, RTCBundlePolicy::MaxCompat];
        for policy in policies {
            for sections in ORDERS {
                let what = format!("an offer of {sections}, bundled as {policy}");
                let watched = watch(&installation.server, &installation.token, sections, policy);
                runtime.block_on(watched).context(what)?;
            }
        }
        Ok(())
    });
}

/// Watches until enough pictures and sounds have arrived; decoding is not this crate's.
pub(crate) async fn watch(
    server: &Server<'_>,
    token: &str,
    sections: &str,
    policy: RTCBundlePolicy,
) -> Result<()> {
    let connection = connection(sections, policy).await?;
    let counts = count_media(&connection);
    let offer = gathered_offer(&connection).await?;
    let url = server.url("/whep/camera");
    let token = token.to_owned();
    let posted = move || http::post_offer(Place::Here, &url, &token, &offer);
    let response = tokio::task::spawn_blocking(posted).await??;
    ensure!(response.status == 201, "{}: {}", response.status, response.body);
    let answer = RTCSessionDescription::answer(response.body)?;
    connection.set_remote_description(answer).await?;
    let enough = async {
        while counts.pictures() < PICTURES || counts.sounds() < sounds(sections) {
            tokio::time::sleep(LOOK).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, enough).await;
    connection.close().await?;
    in_time.with_context(|| {
        format!("{} pictures and {} packets of sound only", counts.pictures(), counts.sounds())
    })
}

async fn connection(sections: &str, bundle_policy: RTCBundlePolicy) -> Result<RTCPeerConnection> {
    let mut media = MediaEngine::default();
    media.register_default_codecs()?;
    let interceptors = register_default_interceptors(Registry::new(), &mut media)?;
    let builder =
        APIBuilder::new().with_media_engine(media).with_interceptor_registry(interceptors);
    let configuration = RTCConfiguration { bundle_policy, ..RTCConfiguration::default() };
    let connection = builder.build().new_peer_connection(configuration).await?;
    for section in sections.split(',') {
        let kind = match section {
            "video" => RTPCodecType::Video,
            "audio" => RTPCodecType::Audio,
            _ => {
                connection.create_data_channel("data", None).await?;
                continue;
            }
        };
        let direction = RTCRtpTransceiverDirection::Recvonly;
        let init = RTCRtpTransceiverInit { direction, send_encodings: Vec::new() };
        connection.add_transceiver_from_kind(kind, Some(init)).await?;
    }
    Ok(connection)
}

/// The media that has arrived.
#[derive(Default)]
struct Counts {
    pictures: AtomicUsize,
    sounds: AtomicUsize,
}

impl Counts {
    fn pictures(&self) -> usize {
        self.pictures.load(Ordering::Relaxed)
    }

    fn sounds(&self) -> usize {
        self.sounds.load(Ordering::Relaxed)
    }
}

/// Counts the ends of pictures, by their marker bits, and packets of sound.
fn count_media(connection: &RTCPeerConnection) -> Arc<Counts> {
    let counts = Arc::new(Counts::default());
    let counter = Arc::clone(&counts);
    connection.on_track(Box::new(move |track, _, _| {
        let counter = Arc::clone(&counter);
        let read = async move {
            let is_sound = track.kind() == RTPCodecType::Audio;
            while let Ok((packet, _)) = track.read_rtp().await {
                if is_sound {
                    counter.sounds.fetch_add(1, Ordering::Relaxed);
                } else {
                    let ends = usize::from(packet.header.marker);
                    counter.pictures.fetch_add(ends, Ordering::Relaxed);
                }
            }
        };
        tokio::spawn(read);
        Box::pin(std::future::ready(()))
    }));
    counts
}

/// Returns an offer with all candidates.
async fn gathered_offer(connection: &RTCPeerConnection) -> Result<String> {
    let offer = connection.create_offer(None).await?;
    let mut gathered = connection.gathering_complete_promise().await;
    connection.set_local_description(offer).await?;
    tokio::time::timeout(PATIENCE, gathered.recv()).await.context("gathering does not end")?;
    let offer = connection.local_description().await.context("no local description")?;
    Ok(offer.sdp)
}
