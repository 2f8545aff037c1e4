//! The files that a gateway was sent, until their cameras are added.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use porthole_signaling_proto::manage::{MAX_PIECES, PROVISIONAL_S, Sealed};
use thiserror::Error;

use super::{Entry, Import};

/// Maximum number of files whose pieces arrive at once. With more, the oldest one is forgotten.
const MAX_UPLOADS: usize = 4;

/// Maximum number of files whose cameras can be asked for. With more, the oldest one is forgotten.
const MAX_KEPT: usize = 4;

/// Time for which a file is kept, as long as a camera that was probed.
const TIME: Duration = Duration::from_secs(PROVISIONAL_S);

/// Reason for refusing a piece of a file: it does not continue what came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this file has arrived in part only: choose it again")]
pub struct BrokenUpload;

/// A file of which some pieces have arrived.
#[derive(Debug)]
struct Upload {
    sealed: Sealed,
    pieces: u32,
    arrived: u32,
    until: Instant,
}

/// A file that was read.
#[derive(Debug)]
struct Kept {
    id: String,
    import: Import,
    until: Instant,
}

/// The files that a gateway was sent. Passwords in them are overwritten when they are dropped.
#[derive(Debug, Default)]
pub struct Imports {
    uploads: VecDeque<Upload>,
    kept: VecDeque<Kept>,
}

impl Imports {
    /// Adds piece number `piece` of `pieces` of a sealed file, whose ciphertext it has. Returns the
    /// whole file with its last piece.
    ///
    /// # Errors
    /// If the piece is not the next one of its file.
    pub fn add_piece(
        &mut self,
        now: Instant,
        sealed: Sealed,
        piece: u32,
        pieces: u32,
    ) -> Result<Option<Sealed>, BrokenUpload> {
        self.forget(now);
        if !(1..=MAX_PIECES).contains(&pieces) {
            return Err(BrokenUpload);
        }
        let known = self.uploads.iter().position(|upload| upload.sealed.nonce == sealed.nonce);
        let before = known.and_then(|index| self.uploads.remove(index));
        let upload = match before {
            None if piece == 0 => Upload { sealed, pieces, arrived: 1, until: now + TIME },
            Some(mut upload) if piece == upload.arrived && pieces == upload.pieces => {
                upload.sealed.ciphertext.push_str(&sealed.ciphertext);
                upload.arrived += 1;
                upload
            }
            None | Some(_) => return Err(BrokenUpload),
        };
        if upload.arrived == upload.pieces {
            return Ok(Some(upload.sealed));
        }
        if self.uploads.len() >= MAX_UPLOADS {
            self.uploads.pop_front();
        }
        self.uploads.push_back(upload);
        Ok(None)
    }

    /// Keeps a file that was read, under an id that cannot be guessed.
    pub fn keep(&mut self, now: Instant, id: String, import: Import) {
        self.forget(now);
        if self.kept.len() >= MAX_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Kept { id, import, until: now + TIME });
    }

    /// Returns a camera of a file, which is kept as long again.
    pub fn entry(&mut self, now: Instant, id: &str, number: u32) -> Option<&Entry> {
        self.forget(now);
        let kept = self.kept.iter_mut().find(|kept| kept.id == id)?;
        kept.until = now + TIME;
        kept.import.entries.get(usize::try_from(number).ok()?)
    }

    fn forget(&mut self, now: Instant) {
        self.uploads.retain(|upload| upload.until > now);
        self.kept.retain(|kept| kept.until > now);
    }

    /// Returns the time at which [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let uploads = self.uploads.iter().map(|upload| upload.until);
        uploads.chain(self.kept.iter().map(|kept| kept.until)).min()
    }

    /// Forgets the files that nobody has asked for.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.forget(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::read;

    fn sealed(nonce: &str, text: &str) -> Sealed {
        let (nonce, ciphertext) = (nonce.to_owned(), text.to_owned());
        Sealed { nonce, enc: "e".to_owned(), ciphertext }
    }

    #[test]
    fn a_file_is_complete_once_all_pieces_have_arrived_in_order() {
        type Case =
            (&'static [(&'static str, u32, u32)], Result<Option<&'static str>, BrokenUpload>);
        let cases: &[Case] = &[
            (&[("a", 0, 1)], Ok(Some("0"))),
            (&[("a", 0, 3), ("a", 1, 3), ("a", 2, 3)], Ok(Some("012"))),
            (&[("a", 0, 2), ("b", 0, 2), ("a", 1, 2)], Ok(Some("01"))),
            (&[("a", 0, 2)], Ok(None)),
            (&[("a", 1, 2)], Err(BrokenUpload)),
            (&[("a", 0, 3), ("a", 2, 3)], Err(BrokenUpload)),
            (&[("a", 0, 3), ("a", 0, 3)], Err(BrokenUpload)),
            (&[("a", 0, 3), ("a", 1, 2)], Err(BrokenUpload)),
            (&[("a", 0, 0)], Err(BrokenUpload)),
            (&[("a", 0, MAX_PIECES + 1)], Err(BrokenUpload)),
            // The oldest one of too many is forgotten.
            (
                &[("a", 0, 2), ("b", 0, 2), ("c", 0, 2), ("d", 0, 2), ("e", 0, 2), ("a", 1, 2)],
                Err(BrokenUpload),
            ),
        ];
        for (pieces, expected) in cases {
            let (mut imports, now) = (Imports::default(), Instant::now());
            let mut last = Ok(None);
            for (nonce, piece, count) in *pieces {
                last = imports.add_piece(now, sealed(nonce, &piece.to_string()), *piece, *count);
            }
            let last = last.map(|sealed| sealed.map(|sealed| sealed.ciphertext.clone()));
            assert_eq!(last, expected.map(|text| text.map(str::to_owned)), "{pieces:?}");
        }
    }

    #[test]
    fn files_are_forgotten_after_a_while() {
        let (mut imports, start) = (Imports::default(), Instant::now());
        let file = || read(b"streams: {a: rtsp://u:p@h/1}").unwrap();
        assert_eq!(imports.poll_timeout(), None);
        imports.add_piece(start, sealed("n", "x"), 0, 2).unwrap();
        assert_eq!(imports.poll_timeout(), Some(start + TIME));
        imports.handle_timeout(start + TIME);
        assert_eq!(imports.add_piece(start + TIME, sealed("n", "y"), 1, 2), Err(BrokenUpload));

        imports.keep(start, "i".to_owned(), file());
        let almost = start + TIME.mul_f32(0.9);
        assert_eq!(imports.entry(almost, "i", 0).unwrap().name, "a");
        assert!(imports.entry(almost, "i", 1).is_none() && imports.entry(almost, "j", 0).is_none());
        assert!(imports.entry(start + TIME, "i", 0).is_some(), "it was asked for meanwhile");
        assert!(imports.entry(start + TIME * 3, "i", 0).is_none());
        for number in 0..=MAX_KEPT {
            imports.keep(start, number.to_string(), file());
        }
        assert!(imports.entry(start, "0", 0).is_none() && imports.entry(start, "1", 0).is_some());
    }
}
