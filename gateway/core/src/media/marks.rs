//! The end of a picture of a camera that marks every slice.
//!
//! Only the last marker may be forwarded, or a browser takes each slice for a picture: it then has
//! two pictures of one time, and shows nothing until the next key frame.

/// Number of pictures in a row that must have the same number of marked slices before it is
/// expected of the next one, if an earlier picture had another number.
const STEADY: u32 = 30;

/// The number of markers of a stream's pictures: one, except for cameras that mark every slice.
#[derive(Debug)]
pub(super) struct Marks {
    per_picture: u32,
    /// Number of pictures that must still agree.
    doubt: u32,
    /// More of a picture came after all its markers.
    are_wrong: bool,
}

impl Marks {
    /// Begins a stream, of which nothing is known before its first picture has ended.
    pub(super) fn new() -> Self {
        Self { per_picture: 0, doubt: 1, are_wrong: false }
    }

    /// Returns true while the last marker of a picture shows only when nothing more of it comes.
    pub(super) fn are_uncertain(&self) -> bool {
        self.doubt > 0 || self.are_wrong
    }

    /// Returns true if no earlier picture had more markers.
    pub(super) fn may_be_all(&self, count: u32) -> bool {
        count >= self.per_picture
    }

    /// Learns that a picture went on after its end: the camera marks something else.
    pub(super) fn handle_more(&mut self) {
        self.are_wrong |= !self.are_uncertain();
    }

    /// Returns true if this many markers may be all of a picture.
    pub(super) fn are_complete(&self, count: u32) -> bool {
        self.are_uncertain() || self.may_be_all(count)
    }

    /// Learns from a whole picture, which had this many markers.
    pub(super) fn learn(&mut self, count: u32) {
        let is_first = self.per_picture == 0;
        if is_first || count == self.per_picture {
            self.doubt = self.doubt.saturating_sub(1);
        } else {
            self.doubt = STEADY;
        }
        self.per_picture = count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_expected_once_enough_pictures_agree() {
        let mut marks = Marks::new();
        assert!(marks.are_uncertain(), "nothing is known of the first picture");
        marks.learn(2);
        assert!(!marks.are_uncertain() && !marks.are_complete(1) && marks.are_complete(2));
        // One picture has lost a slice.
        marks.learn(1);
        for picture in 0..=STEADY {
            assert!(marks.are_uncertain() && marks.are_complete(1), "picture {picture}");
            marks.learn(2);
        }
        assert!(!marks.are_uncertain() && !marks.are_complete(1) && marks.are_complete(2));
    }
}
