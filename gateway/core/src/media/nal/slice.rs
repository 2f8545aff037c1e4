//! The first fields of a slice header, from which a broken slice is recognized, and SEI messages.

use super::bits::BitReader;
use super::parameter_sets::ParameterSets;
use super::unit::NalKind;
use crate::media::codec::NalCodec;

/// Number of bytes of a slice header that are read: three Exp-Golomb codes fit.
const HEADER_BYTES: usize = 16;

/// SEI payload type of a recovery point, in H.264 (§D.1) and in H.265 (§D.2.1).
const RECOVERY_POINT: u8 = 6;

/// Returns true if a slice with this NAL unit header begins as the standard says and names a
/// picture parameter set that exists.
pub(crate) fn is_plausible_slice(sets: &ParameterSets, header: &[u8], body: &[u8]) -> bool {
    let mut bits = BitReader::new(body.get(..HEADER_BYTES).unwrap_or(body));
    let set = match sets.codec() {
        // Data partitions B and C begin otherwise.
        NalCodec::H264 if header.first().is_some_and(|first| matches!(first & 0x1f, 3 | 4)) => {
            return true;
        }
        // first_mb_in_slice, slice_type, pic_parameter_set_id (H.264 §7.3.3).
        NalCodec::H264 => {
            let first_macroblock = bits.ue();
            let slice_type = bits.ue().filter(|slice_type| *slice_type <= 9);
            first_macroblock.and(slice_type).and(bits.ue())
        }
        // first_slice_segment_in_pic_flag, no_output_of_prior_pics_flag of random access points,
        // slice_pic_parameter_set_id (H.265 §7.3.6.1).
        NalCodec::H265 => {
            let is_random_access = NalKind::of(NalCodec::H265, header) == NalKind::KeySlice;
            bits.skip(if is_random_access { 2 } else { 1 }).and(bits.ue())
        }
    };
    set.is_some_and(|id| sets.may_have_pps(id))
}

/// The beginning of a slice of H.264, kept to see if the next one follows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SliceStart {
    header: u8,
    body: [u8; HEADER_BYTES],
}

impl SliceStart {
    /// Keeps the beginning of a slice, given as the header of its NAL unit and what follows.
    pub(crate) fn new(header: &[u8], body: &[u8]) -> Self {
        let header = header.first().copied().unwrap_or_default();
        let mut start = Self { header, body: [u8::MAX; HEADER_BYTES] };
        start.body.iter_mut().zip(body).for_each(|(to, from)| *to = *from);
        start
    }

    /// Returns false if pictures that others refer to are missing between the slice `before` and
    /// this one, as their frame numbers tell (H.264 §7.4.3). H.265 has no such numbers.
    pub(crate) fn follows(&self, before: &Self, sets: &ParameterSets) -> bool {
        self.step_from(before, sets).is_none_or(|step| step <= u32::from(before.is_reference()))
    }

    /// Returns true if this slice begins the very next picture after that of the slice `before`, as
    /// far as frame numbers tell.
    pub(crate) fn is_next(&self, before: &Self, sets: &ParameterSets) -> bool {
        let is_step = |step| step == u32::from(before.is_reference());
        begins_picture(&self.body) && self.step_from(before, sets).is_none_or(is_step)
    }

    fn is_reference(&self) -> bool {
        self.header & 0x60 != 0
    }

    /// Returns the distance of the frame numbers; `None` if there are none that can be compared.
    fn step_from(&self, before: &Self, sets: &ParameterSets) -> Option<u32> {
        let is_key_slice = self.header & 0x1f == 5;
        if is_key_slice || sets.codec() == NalCodec::H265 {
            return None;
        }
        let ((number, bits), (last, last_bits)) =
            (self.frame_number(sets)?, before.frame_number(sets)?);
        (bits == last_bits).then(|| number.wrapping_sub(last) & ((1 << bits) - 1))
    }

    /// Returns the frame number and the number of its bits.
    fn frame_number(&self, sets: &ParameterSets) -> Option<(u32, u32)> {
        // Data partitions B and C have none.
        let has_number = matches!(self.header & 0x1f, 1 | 2 | 5);
        let mut bits = BitReader::new(&self.body);
        let _first_macroblock = bits.ue().filter(|_| has_number)?;
        let _slice_type = bits.ue()?;
        let len = sets.frame_number_bits(bits.ue()?)?;
        Some((bits.bits(len)?, len))
    }
}

/// Returns true for the first slice of a picture, given what follows its NAL unit header:
/// `first_mb_in_slice` is 0, which is one bit (H.264 §7.4.3), or
/// `first_slice_segment_in_pic_flag` is 1 (H.265 §7.4.7.1).
pub(crate) fn begins_picture(body: &[u8]) -> bool {
    body.first().is_some_and(|first| first & 0x80 != 0)
}

/// Returns true if a NAL unit is an SEI that begins with a recovery point.
pub(crate) fn is_recovery_point(codec: NalCodec, unit: &[u8]) -> bool {
    match (codec, unit) {
        (NalCodec::H264, [header, kind, ..]) => header & 0x1f == 6 && *kind == RECOVERY_POINT,
        (NalCodec::H265, [header, _, kind, ..]) => {
            header >> 1 & 0x3f == 39 && *kind == RECOVERY_POINT
        }
        _ => false,
    }
}
