//! Sequence numbers that the tracks of a connection share, although each should have its own.

/// Number of changes of the channel in a row at which the numbers must go on for them to be shared.
/// By chance they do at one change in 65 536.
const MIN_CHANGES: u32 = 4;

/// Maximum number of channels with shared numbers: two for each of the tracks that are set up.
const MAX_CHANNELS: usize = 16;

/// The numbers of a connection's interleaved packets. Nothing is lost there, so that what is
/// missing in those of one channel is found in the others.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    /// Channel and number of the latest packet.
    latest: Option<(u8, u16)>,
    /// Number of changes of the channel in a row at which the numbers went on.
    changes: u32,
    /// Number of packets by channel since the numbers are known to be shared.
    own: Vec<(u8, u16)>,
    /// Number of packets of all channels since then.
    all: u16,
}

impl Numbering {
    /// Returns the number that a packet would have if its channel had numbers of its own; `None` if
    /// it has.
    pub(super) fn number(&mut self, channel: u8, packet: &[u8]) -> Option<u16> {
        let &[_, _, high, low, ..] = packet else { return None };
        let sequence = u16::from_be_bytes([high, low]);
        let before = self.latest.replace((channel, sequence));
        if let Some((_, number)) = before.filter(|(other, _)| *other != channel) {
            let goes_on = number.wrapping_add(1) == sequence;
            self.changes = if goes_on { self.changes.saturating_add(1) } else { 0 };
        }
        if self.changes < MIN_CHANGES {
            (self.all, self.own) = (0, Vec::new());
            return None;
        }
        let index = self.own.iter().position(|(known, _)| *known == channel);
        let index = index.unwrap_or_else(|| {
            self.own.truncate(MAX_CHANNELS - 1);
            self.own.push((channel, 0));
            self.own.len() - 1
        });
        let (_, own) = self.own.get_mut(index)?;
        let foreign = self.all.wrapping_sub(*own);
        *own = own.wrapping_add(1);
        self.all = self.all.wrapping_add(1);
        Some(sequence.wrapping_sub(foreign))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_tracks_share_become_those_of_each() {
        let channels = [0, 0, 2, 0, 0, 0, 2, 0, 2, 0, 0, 2, 0, 0, 2, 2, 2, 0, 0, 0, 2, 0];
        let run = |number: fn(u16) -> u16| {
            let mut numbering = Numbering::default();
            let packets = (0..).zip(channels).map(|(index, channel)| {
                let sequence = number(index);
                let [high, low] = sequence.to_be_bytes();
                let own = numbering.number(channel, &[0x80, 96, high, low, 0, 0]);
                (channel, own.unwrap_or(sequence))
            });
            packets.collect::<Vec<_>>()
        };
        let gaps = |packets: &[(u8, u16)], channel| {
            let numbers: Vec<_> = packets
                .iter()
                .filter(|(of, _)| *of == channel)
                .map(|(_, number)| *number)
                .collect();
            let gaps = numbers.windows(2).map(|two| two[1].wrapping_sub(two[0]).wrapping_sub(1));
            gaps.collect::<Vec<_>>()
        };
        let shared = run(|index| index.wrapping_add(65_520));
        assert_eq!(gaps(&shared, 0)[..5], [0, 1, 0, 0, 1], "until it is known");
        assert!(gaps(&shared, 0)[5..].iter().all(|gap| *gap == 0), "{shared:?}");
        assert!(gaps(&shared, 2)[1..].iter().all(|gap| *gap == 0), "{shared:?}");
        let others = run(|index| index.wrapping_mul(7));
        assert!(others.iter().zip(0_u16..).all(|((_, number), index)| *number == index * 7));
    }
}
