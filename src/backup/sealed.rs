//! A stream encrypted with a passphrase.
//!
//! The key is made from the passphrase with Argon2id (RFC 9106 §4, the second recommended option).
//! The stream is cut into chunks of 64 KiB, each sealed with XChaCha20-Poly1305; its nonce has the
//! number of the chunk and whether it is the last (STREAM of Hoang, Reyhanitabar, Rogaway and
//! Vizár), so that chunks can neither be changed nor left out, moved or added.

use std::io::{self, Read, Write};

use anyhow::{Context as _, anyhow, ensure};
use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};

/// The first bytes of a backup, with the version of its format.
const MAGIC: &[u8] = b"porthole backup 1\n";
const SALT_LEN: usize = 16;
const PREFIX_LEN: usize = 19;
const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;
const CHUNK: usize = 64 * 1024;
/// 64 MiB, three passes: about a fifth of a second for whoever knows the passphrase.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;

/// The cipher of one stream, and the nonce of its next chunk.
struct Chunks {
    cipher: XChaCha20Poly1305,
    prefix: [u8; PREFIX_LEN],
    number: u32,
}

impl Chunks {
    fn new(passphrase: &str, header: &Header) -> anyhow::Result<Self> {
        let invalid = |error: argon2::Error| anyhow!("cannot make a key of the password: {error}");
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(invalid)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut key = zeroize::Zeroizing::new([0; 32]);
        argon2
            .hash_password_into(passphrase.as_bytes(), &header.salt, key.as_mut())
            .map_err(invalid)?;
        let cipher = XChaCha20Poly1305::new(&Key::from(*key));
        Ok(Self { cipher, prefix: header.prefix, number: 0 })
    }

    /// Returns the nonce of the next chunk.
    fn next_nonce(&mut self, is_last: bool) -> io::Result<XNonce> {
        let mut nonce = [0; NONCE_LEN];
        let (prefix, rest) = nonce.split_at_mut(PREFIX_LEN);
        prefix.copy_from_slice(&self.prefix);
        let (number, last) = rest.split_at_mut(4);
        number.copy_from_slice(&self.number.to_be_bytes());
        last.fill(u8::from(is_last));
        self.number = self.number.checked_add(1).ok_or_else(|| io::Error::other("too long"))?;
        Ok(XNonce::from(nonce))
    }
}

/// The random parts at the beginning of a backup.
struct Header {
    salt: [u8; SALT_LEN],
    prefix: [u8; PREFIX_LEN],
}

/// Encrypts what is written to it. Without [`Self::finish`] the stream cannot be read.
pub(super) struct SealedWriter<W> {
    to: W,
    chunks: Chunks,
    waiting: Vec<u8>,
}

impl<W: Write> SealedWriter<W> {
    pub(super) fn new(mut to: W, passphrase: &str) -> anyhow::Result<Self> {
        let header = Header { salt: rand::random(), prefix: rand::random() };
        to.write_all(MAGIC)?;
        to.write_all(&header.salt)?;
        to.write_all(&header.prefix)?;
        let chunks = Chunks::new(passphrase, &header)?;
        Ok(Self { to, chunks, waiting: Vec::with_capacity(CHUNK) })
    }

    /// Writes the last chunk, and returns what was written to.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.seal(true)?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn seal(&mut self, is_last: bool) -> io::Result<()> {
        let nonce = self.chunks.next_nonce(is_last)?;
        let payload = Payload { msg: &self.waiting, aad: MAGIC };
        let sealed = self.chunks.cipher.encrypt(&nonce, payload);
        let sealed = sealed.map_err(|_| io::Error::other("a chunk cannot be encrypted"))?;
        self.waiting.clear();
        self.to.write_all(&sealed)
    }
}

impl<W: Write> Write for SealedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full chunk is written once more follows: the last one is marked.
        if self.waiting.len() == CHUNK {
            self.seal(false)?;
        }
        let room = CHUNK - self.waiting.len();
        let taken = bytes.get(..bytes.len().min(room)).unwrap_or_default();
        self.waiting.extend_from_slice(taken);
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Decrypts a stream. Nothing is returned of a chunk that was changed.
pub(super) struct SealedReader<R> {
    from: R,
    chunks: Chunks,
    /// The decrypted chunk, and how much of it was read.
    chunk: Vec<u8>,
    taken: usize,
    /// The sealed chunk that follows.
    next: Vec<u8>,
    has_ended: bool,
}

impl<R: Read> SealedReader<R> {
    /// Reads the beginning of a stream.
    ///
    /// # Errors
    ///
    /// Fails if it is no backup, if it is damaged, or if the passphrase is wrong.
    pub(super) fn new(mut from: R, passphrase: &str) -> anyhow::Result<Self> {
        let mut magic = vec![0; MAGIC.len()];
        let (mut salt, mut prefix) = ([0; SALT_LEN], [0; PREFIX_LEN]);
        from.read_exact(&mut magic).context("this is no backup of Porthole")?;
        ensure!(magic == MAGIC, "this is no backup of Porthole, or one of a newer version");
        let cut = "the backup ends too early: it is damaged";
        from.read_exact(&mut salt).context(cut)?;
        from.read_exact(&mut prefix).context(cut)?;
        let chunks = Chunks::new(passphrase, &Header { salt, prefix })?;
        let next = read_sealed(&mut from)?;
        let (chunk, taken, has_ended) = (Vec::new(), 0, false);
        let mut reader = Self { from, chunks, chunk, taken, next, has_ended };
        reader.open_next().map_err(|_| anyhow!("the password is wrong, or the backup damaged"))?;
        Ok(reader)
    }

    fn open_next(&mut self) -> io::Result<()> {
        let following = read_sealed(&mut self.from)?;
        let is_last = following.is_empty();
        let nonce = self.chunks.next_nonce(is_last)?;
        let payload = Payload { msg: &self.next, aad: MAGIC };
        let opened = self.chunks.cipher.decrypt(&nonce, payload);
        self.chunk = opened.map_err(|_| io::Error::other("the backup is damaged"))?;
        (self.taken, self.next, self.has_ended) = (0, following, is_last);
        Ok(())
    }
}

impl<R: Read> Read for SealedReader<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.chunk.len() && !self.has_ended {
            self.open_next()?;
        }
        let left = self.chunk.get(self.taken..).unwrap_or_default();
        let count = left.len().min(to.len());
        if let (Some(to), Some(left)) = (to.get_mut(..count), left.get(..count)) {
            to.copy_from_slice(left);
        }
        self.taken += count;
        Ok(count)
    }
}

/// Reads one sealed chunk; it is empty at the end.
fn read_sealed(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut sealed = Vec::with_capacity(CHUNK + TAG_LEN);
    let bound = u64::try_from(CHUNK + TAG_LEN).unwrap_or(u64::MAX);
    from.take(bound).read_to_end(&mut sealed)?;
    Ok(sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(bytes: &[u8]) -> Vec<u8> {
        let mut writer = SealedWriter::new(Vec::new(), "a long password").unwrap();
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    fn opened(sealed: &[u8], passphrase: &str) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        SealedReader::new(sealed, passphrase)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn what_was_sealed_is_opened_with_the_same_password_only() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 17] {
            let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let sealed = sealed(&bytes);
            assert!(opened(&sealed, "a long password").unwrap() == bytes, "{length}");
            let error = opened(&sealed, "another one").unwrap_err().to_string();
            assert_eq!(error, "the password is wrong, or the backup damaged", "{length}");
        }
    }

    #[test]
    fn a_stream_that_was_changed_cut_or_reordered_is_refused() {
        let whole = sealed(&vec![7; 3 * CHUNK]);
        let start = MAGIC.len() + SALT_LEN + PREFIX_LEN;
        let chunk = CHUNK + TAG_LEN;
        let without = |from: usize, to: usize| [&whole[..from], &whole[to..]].concat();
        let mut flipped = whole.clone();
        flipped[start + chunk + 5] ^= 1;
        let mut swapped = whole.clone();
        swapped[start..start + 2 * chunk].rotate_left(chunk);
        for (what, changed) in [
            ("a bit", flipped),
            ("two chunks swapped", swapped),
            ("the last chunk gone", without(start + 2 * chunk, whole.len())),
            ("the first chunk gone", without(start, start + chunk)),
            ("one in the middle gone", without(start + chunk, start + 2 * chunk)),
            ("the last byte gone", without(whole.len() - 1, whole.len())),
            ("a byte more", [whole.as_slice(), &[0]].concat()),
            ("only the header", whole[..start].to_vec()),
            ("half of the header", whole[..MAGIC.len() + 3].to_vec()),
            ("another file", b"PK\x03\x04 something else entirely".to_vec()),
            ("nothing", Vec::new()),
        ] {
            assert!(opened(&changed, "a long password").is_err(), "{what}");
        }
    }
}
