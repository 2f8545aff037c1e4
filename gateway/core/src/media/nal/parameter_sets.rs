//! The parameter sets of a camera, kept as they come in band or in an SDP, so that they can be sent
//! ahead of each key frame.

use bytes::Bytes;

use super::unit::{NalKind, Picture};
use super::{h264, h265};
use crate::media::codec::{Format, NalCodec};
use crate::media::stream::IngestError;

/// Maximum size of all sets of a kind together, in bytes: all of them precede each key frame.
/// Cameras use one of some 30 bytes, encoders with several resolutions a few.
const MAX_SETS_LEN: usize = 16 * 1024;

/// Maximum length of one set in bytes. Lists of scaling factors fill two thousand.
pub(crate) const MAX_SET_LEN: usize = 4096;

/// The latest parameter sets of a camera, by kind and id.
#[derive(Debug)]
pub(crate) struct ParameterSets {
    codec: NalCodec,
    vps: Sets,
    sps: Sets,
    pps: Sets,
    picture: Option<Picture>,
    /// A set has changed since they were last sent.
    have_changed: bool,
}

type Sets = Vec<(u32, Bytes)>;

impl ParameterSets {
    pub(crate) fn new(codec: NalCodec) -> Self {
        let (vps, sps, pps) = (Vec::new(), Vec::new(), Vec::new());
        Self { codec, vps, sps, pps, picture: None, have_changed: false }
    }

    /// Keeps a set. It replaces an earlier one with the same id.
    pub(crate) fn insert(&mut self, kind: NalKind, unit: &[u8]) -> Result<(), IngestError> {
        if unit.len() > MAX_SET_LEN {
            return Err(IngestError::ParameterSet);
        }
        let (id, sets) = match (kind, self.codec) {
            (NalKind::Vps, _) => (h265::vps_id(unit), &mut self.vps),
            (NalKind::Sps, codec) => {
                let sps = match codec {
                    NalCodec::H264 => h264::sps(unit),
                    NalCodec::H265 => h265::sps(unit),
                };
                let (id, picture) = sps.ok_or(IngestError::ParameterSet)?;
                self.picture = Some(picture);
                (Some(id), &mut self.sps)
            }
            (NalKind::Pps, NalCodec::H264) => (h264::pps_id(unit), &mut self.pps),
            (NalKind::Pps, NalCodec::H265) => (h265::pps_id(unit), &mut self.pps),
            (NalKind::KeySlice | NalKind::Slice | NalKind::Other, _) => return Ok(()),
        };
        let id = id.ok_or(IngestError::ParameterSet)?;
        if sets.iter().any(|(known, set)| *known == id && set == unit) {
            return Ok(());
        }
        sets.retain(|(known, _)| *known != id);
        let len_of = |sets: &Sets| sets.iter().map(|(_, set)| set.len()).sum::<usize>();
        while len_of(sets) + unit.len() > MAX_SETS_LEN {
            sets.remove(0);
        }
        // A copy, so that a set of 20 bytes does not keep its whole datagram alive.
        sets.push((id, Bytes::copy_from_slice(unit)));
        self.have_changed = true;
        Ok(())
    }

    /// Returns the format that the sets describe; `None` until they are complete.
    pub(crate) fn format(&self) -> Option<Format> {
        let picture = self.picture?;
        let complete = !self.sps.is_empty()
            && !self.pps.is_empty()
            && (self.codec == NalCodec::H264 || !self.vps.is_empty());
        let units = |sets: &Sets| sets.iter().map(|(_, unit)| unit.clone()).collect();
        complete.then(|| Format {
            codec: self.codec.into(),
            profile: Some(picture.profile),
            width: picture.width,
            height: picture.height,
            vps: units(&self.vps),
            sps: units(&self.sps),
            pps: units(&self.pps),
        })
    }

    /// Returns the codec of the sets.
    pub(super) fn codec(&self) -> NalCodec {
        self.codec
    }

    /// Returns true if a slice may name the picture parameter set with this id: it is known, or
    /// none is.
    pub(super) fn may_have_pps(&self, id: u32) -> bool {
        self.pps.is_empty() || self.pps.iter().any(|(known, _)| *known == id)
    }

    /// Returns the number of bits of the frame numbers of H.264 in slices that name this picture
    /// parameter set; `None` if the sets do not tell.
    pub(super) fn frame_number_bits(&self, pps_id: u32) -> Option<u32> {
        let find = |sets: &Sets, id| sets.iter().position(|(known, _)| *known == id);
        let (_, pps) = self.pps.get(find(&self.pps, pps_id)?)?;
        let (_, sps) = self.sps.get(find(&self.sps, h264::sps_id_of_pps(pps)?)?)?;
        h264::frame_number_bits(sps)
    }

    /// Returns true if a set has changed since the last [`Self::mark_sent`].
    pub(crate) fn have_changed(&self) -> bool {
        self.have_changed
    }

    /// Marks the sets as sent and returns all of them, in the order in which a decoder needs them.
    pub(crate) fn mark_sent(&mut self) -> Vec<Bytes> {
        self.have_changed = false;
        let sets = self.vps.iter().chain(&self.sps).chain(&self.pps);
        sets.map(|(_, unit)| unit.clone()).collect()
    }
}
