//! The gateway that one writes with the `webrtc` crate and nothing else: RTP in, one track a
//! camera, a peer connection a viewer. The benchmark starts it and speaks to it over its standard
//! input and output, a line of JSON each.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Parser;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::UdpSocket;
use webrtc::api::interceptor_registry::register_default_interceptors;
use webrtc::api::media_engine::{MIME_TYPE_H264, MediaEngine};
use webrtc::api::setting_engine::SettingEngine;
use webrtc::api::{API, APIBuilder};
use webrtc::ice_transport::ice_candidate::RTCIceCandidateInit;
use webrtc::interceptor::registry::Registry;
use webrtc::peer_connection::RTCPeerConnection;
use webrtc::peer_connection::configuration::RTCConfiguration;
use webrtc::peer_connection::sdp::session_description::RTCSessionDescription;
use webrtc::rtp::packet::Packet;
use webrtc::rtp_transceiver::rtp_codec::{
    RTCRtpCodecCapability, RTCRtpCodecParameters, RTPCodecType,
};
use webrtc::track::track_local::TrackLocalWriter as _;
use webrtc::track::track_local::track_local_static_rtp::TrackLocalStaticRTP;
use webrtc::util::marshal::Unmarshal as _;

/// Size of the largest packet of a camera.
const PACKET_BYTES: usize = 1500;

/// Forward RTP to viewers with the webrtc crate
#[derive(Debug, Parser)]
struct Arguments {
    /// The address that viewers reach
    address: IpAddr,
    /// The ports of the cameras
    ports: Vec<u16>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { address, ports } = Arguments::parse();
    let api = api(address)?;
    let mut tracks = Vec::new();
    for port in ports {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let name = format!("cam{port}");
        let track = Arc::new(TrackLocalStaticRTP::new(codec(), name.clone(), name));
        tracks.push(Arc::clone(&track));
        tokio::spawn(async move { forward(&socket, &track).await });
    }
    let mut connections: HashMap<u64, RTCPeerConnection> = HashMap::new();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    write(&json!({ "ready": true }))?;
    while let Some(line) = lines.next_line().await? {
        let request: Value = serde_json::from_str(&line)?;
        let viewer = request["viewer"].as_u64().context("viewer")?;
        if let Some(camera) = request["camera"].as_u64() {
            let track = tracks.get(usize::try_from(camera)?).context("no such camera")?;
            let connection = api.new_peer_connection(RTCConfiguration::default()).await?;
            let offer = offer(&connection, track).await?;
            connections.insert(viewer, connection);
            write(&json!({ "viewer": viewer, "offer": offer }))?;
        } else if let Some(connection) = connections.get(&viewer) {
            let answer = request["answer"].as_str().context("answer")?.to_owned();
            let answer = RTCSessionDescription::answer(answer)?;
            connection.set_remote_description(answer).await?;
            for candidate in request["candidates"].as_array().into_iter().flatten() {
                let candidate = candidate.as_str().unwrap_or_default().to_owned();
                let candidate = RTCIceCandidateInit { candidate, ..Default::default() };
                connection.add_ice_candidate(candidate).await?;
            }
        }
    }
    Ok(())
}

/// Returns the codec of all cameras.
fn codec() -> RTCRtpCodecCapability {
    RTCRtpCodecCapability {
        mime_type: MIME_TYPE_H264.to_owned(),
        clock_rate: 90_000,
        sdp_fmtp_line: "packetization-mode=1;profile-level-id=42e01f".to_owned(),
        ..RTCRtpCodecCapability::default()
    }
}

fn api(address: IpAddr) -> Result<API> {
    let mut media = MediaEngine::default();
    let video = RTCRtpCodecParameters {
        capability: codec(),
        payload_type: 96,
        ..RTCRtpCodecParameters::default()
    };
    media.register_codec(video, RTPCodecType::Video)?;
    let interceptors = register_default_interceptors(Registry::new(), &mut media)?;
    let mut settings = SettingEngine::default();
    settings.set_ip_filter(Box::new(move |ip| ip == address));
    let builder = APIBuilder::new().with_media_engine(media).with_setting_engine(settings);
    Ok(builder.with_interceptor_registry(interceptors).build())
}

/// Forwards a camera's packets to all viewers until the program ends.
async fn forward(socket: &UdpSocket, track: &TrackLocalStaticRTP) -> Result<()> {
    let mut buffer = [0; PACKET_BYTES];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let packet = Packet::unmarshal(&mut buffer.get(..length).unwrap_or_default())?;
        // Viewers that have left are no reason to stop.
        let _ = track.write_rtp(&packet).await;
    }
}

/// Returns an offer with all candidates.
async fn offer(connection: &RTCPeerConnection, track: &Arc<TrackLocalStaticRTP>) -> Result<String> {
    let sender = connection.add_track(Arc::clone(track) as _).await?;
    // The interceptors answer reports only if somebody reads.
    tokio::spawn(async move {
        let mut buffer = vec![0; PACKET_BYTES];
        while sender.read(&mut buffer).await.is_ok() {}
    });
    let offer = connection.create_offer(None).await?;
    let mut gathered = connection.gathering_complete_promise().await;
    connection.set_local_description(offer).await?;
    let _ = gathered.recv().await;
    let description = connection.local_description().await.context("no offer")?;
    Ok(description.sdp)
}

fn write(line: &Value) -> Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")?;
    Ok(output.flush()?)
}
