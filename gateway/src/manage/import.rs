//! The cameras in a file of another program, which was sealed to this gateway.

use std::time::Instant;

use porthole_gateway_core::import;
use porthole_gateway_core::import::{Entry, Import, Login, Note, Place};
use porthole_gateway_core::question::{Answer, Progress, QuestionEvent, QuestionId};
use porthole_signaling_proto::manage::{
    ImportEntry, ImportLogin, ImportNote, ProbeParams, ReadConfigurationParams,
    ReadConfigurationResult,
};
use porthole_signaling_proto::rpc::{Fault, code};
use tracing::info;

use super::Manager;
use crate::ingest::{Address, Credentials, Source};

/// A camera of a file that is probed.
#[derive(Debug, Clone)]
pub(super) struct Imported {
    pub(super) place: Place,
    pub(super) on_demand: bool,
    /// The login in the file.
    pub(super) credentials: Option<Credentials>,
}

impl Manager {
    /// Takes a piece of a file. With the last one, reads the file and tells its cameras.
    pub(super) async fn read_configuration(
        &mut self,
        id: QuestionId,
        params: ReadConfigurationParams,
    ) -> Result<Answer, Fault> {
        let ReadConfigurationParams { sealed, piece, pieces, by, .. } = params;
        let now = Instant::now();
        let whole = self.imports.add_piece(now, sealed, piece, pieces);
        let Some(sealed) = whole.map_err(|error| refused(&error.to_string()))? else {
            return Ok(Answer::Read(ReadConfigurationResult::default()));
        };
        let file = self.sealing.open_file(now, &sealed).map_err(|_| {
            refused("this file was sealed for another gateway, or took too long: choose it again")
        })?;
        let read = tokio::task::spawn_blocking(move || import::read(&file)).await;
        let mut read = match read {
            Ok(read) => read.map_err(|error| refused(&error.to_string()))?,
            Err(_) => {
                let text = "this gateway could not read the file because of a defect: please \
                            report what its log says";
                return Err(Fault::new(code::INTERNAL_ERROR, text));
            }
        };
        self.mark_known(&mut read);
        let cameras = read.entries.len();
        info!(by, program = %read.program, cameras, "a configuration was read");
        for (number, entry) in (0..).zip(&read.entries) {
            let told = QuestionEvent::Progress(id, Progress::Imported(told(number, entry)));
            // Fails once the gateway is stopping; the progress does not matter then.
            let _ = self.channels.answers.send(told).await;
        }
        // The driver's generator: an id that cannot be guessed.
        let key = format!("{:016x}", rand::random::<u64>());
        let result = ReadConfigurationResult {
            import: Some(key.clone()),
            program: Some(read.program.to_string()),
            left_out: u32::try_from(read.left_out).unwrap_or(u32::MAX),
        };
        self.imports.keep(now, key, read);
        Ok(Answer::Read(result))
    }

    /// Marks the cameras of a file whose address the gateway knows already.
    fn mark_known(&self, import: &mut Import) {
        let configured = self.cameras.configured();
        let configured = configured.iter().filter_map(|camera| match &camera.source {
            Source::Rtsp(rtsp) => Some((&rtsp.address, &camera.name)),
            Source::Rtp { .. } | Source::RtpSdp { .. } | Source::Test(_) => None,
        });
        let stored = self.shelf.store.cameras().map(|kept| (&kept.place.main, &kept.name));
        let known: Vec<(&Address, &String)> = configured.chain(stored).collect();
        for entry in &mut import.entries {
            let Some(Place::Streams { main, .. }) = &entry.place else { continue };
            if let Some((_, name)) = known.iter().find(|(address, _)| *address == main) {
                entry.notes.push(Note::Known((*name).clone()));
                entry.wanted = false;
            }
        }
    }

    /// Returns the camera of a file that a probe names; `None` if it names none.
    pub(super) fn imported(&mut self, params: &ProbeParams) -> Result<Option<Imported>, Fault> {
        let Some(choice) = &params.import else { return Ok(None) };
        let entry = self.imports.entry(Instant::now(), &choice.import, choice.entry);
        let found = entry.and_then(|entry| Some((entry, entry.place.clone()?)));
        let Some((entry, place)) = found else {
            let text = "this file was read too long ago: choose it again";
            return Err(Fault::new(code::NOT_FOUND, text));
        };
        if place.address() != params.address {
            return Err(refused("this address is not the one in the file: choose the file again"));
        }
        // Nobody has sealed the agreement to it, as with a password that was typed.
        if params.login.is_none() && params.allows_text {
            let text = "type the password of this camera: the one in the file is not sent as \
                        readable text";
            return Err(refused(text));
        }
        let credentials = match &entry.login {
            Login::Known(credentials) => Some(credentials.clone()),
            Login::Open | Login::Missing => None,
        };
        Ok(Some(Imported { place, on_demand: entry.on_demand, credentials }))
    }
}

/// Returns a camera of a file as it is told, without its password.
fn told(number: u32, entry: &Entry) -> ImportEntry {
    let sub = match &entry.place {
        Some(Place::Streams { sub, .. }) => sub.as_ref().map(ToString::to_string),
        Some(Place::Device(_)) | None => None,
    };
    let note = |note: &Note| ImportNote {
        key: note.key().to_owned(),
        failure: note.is_failure(),
        text: note.to_string(),
        values: note.values(),
    };
    ImportEntry {
        number,
        name: entry.name.clone(),
        address: entry.place.as_ref().map(Place::address),
        sub,
        login: match entry.login {
            Login::Open => ImportLogin::None,
            Login::Known(_) => ImportLogin::Known,
            Login::Missing => ImportLogin::Missing,
        },
        wanted: entry.wanted,
        notes: entry.notes.iter().map(note).collect(),
    }
}

fn refused(text: &str) -> Fault {
    Fault::new(code::BAD_REQUEST, text)
}
