//! Missing numbers between two packets, which may be no loss.

/// Number of the last distances between pictures that are compared.
const COMPARED: usize = 3;

/// Numbers that are missing before the next slice.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Gap {
    pub(super) missing: u64,
    /// Packets may be lost on the way, so that nothing but the pictures tells if some are.
    pub(super) may_be_lost: bool,
}

impl Gap {
    pub(super) fn add(&mut self, missing: u64, may_be_lost: bool) {
        self.missing += missing;
        self.may_be_lost |= may_be_lost;
    }
}

/// The distances of the latest pictures, from which a missing one shows.
#[derive(Debug, Default)]
pub(super) struct Steps([i32; COMPARED]);

impl Steps {
    /// Adds the distance of the current picture from the one before, in ticks of the RTP clock.
    pub(super) fn push(&mut self, step: i32) {
        self.0.rotate_right(1);
        self.0[0] = step;
    }

    /// Returns true if the pictures have the same distance, as far as clocks in milliseconds tell.
    pub(super) fn are_steady(&self) -> bool {
        let [latest, earlier @ ..] = self.0;
        let is_same = |step: &i32| step.abs_diff(latest) <= latest.unsigned_abs() / 8;
        latest > 0 && earlier.iter().all(is_same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_picture_shows_in_the_distances() {
        let table: [(&str, &[i32], bool); 6] = [
            ("unknown", &[3600, 3600], false),
            ("steady", &[9, 3600, 3600, 3600], true),
            ("in milliseconds", &[2970, 2970, 3060], true),
            ("one is missing", &[3600, 3600, 7200], false),
            ("one was missing", &[3600, 7200, 3600], false),
            ("back", &[-3600, -3600, -3600], false),
        ];
        for (case, distances, expected) in table {
            let mut steps = Steps::default();
            distances.iter().for_each(|step| steps.push(*step));
            assert_eq!(steps.are_steady(), expected, "{case}");
        }
    }
}
