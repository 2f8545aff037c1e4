//! A timecode in the picture: the time it was drawn, as cells that a program can read back.
//!
//! Format: 64 square cells of [`CELL`] × [`CELL`] pixels in [`ROWS`] rows of [`COLUMNS`], in the
//! top left corner of the picture; cell 0 is the leftmost of the topmost row, cells follow left
//! to right, then top to bottom. A cell is white (luma 235) for 1 and black (luma 16) for 0,
//! chroma is neutral. The cells are, most significant bit first:
//!
//! | cells | bits | meaning |
//! |---|---|---|
//! | 0–7 | 8 | sync: `1010_1100` |
//! | 8–55 | 48 | milliseconds since the Unix epoch, low 48 bits |
//! | 56–63 | 8 | CRC-8 (polynomial 0x07, initial value 0) of the 6 bytes before |
//!
//! A reader averages the inner half of each cell, takes the mean of the sync cells' brightest and
//! darkest as the threshold, and trusts the value only if sync and CRC hold. Sixteen pixels are
//! one macroblock, so that a cell costs next to nothing to encode and no other cell blurs into it.

/// Width and height of a cell in pixels.
pub const CELL: usize = 16;
/// Number of cells in a row.
pub const COLUMNS: usize = 16;
/// Number of rows of cells.
pub const ROWS: usize = 4;
/// Width of the timecode in pixels.
pub const WIDTH: usize = CELL * COLUMNS;
/// Height of the timecode in pixels.
pub const HEIGHT: usize = CELL * ROWS;

const SYNC: u8 = 0b1010_1100;
const WHITE: u8 = 235;
const BLACK: u8 = 16;
/// Minimum difference between white and black cells, or there is no timecode: a third of their full
/// distance.
const MIN_CONTRAST: u32 = 73;

/// Draws the timecode into a luma plane. A plane that is too small for it stays unchanged.
pub fn encode(luma: &mut [u8], stride: usize, milliseconds: u64) {
    if stride < WIDTH || luma.len() < stride * HEIGHT {
        return;
    }
    let word = word(milliseconds);
    let rows = luma.chunks_exact_mut(stride).take(HEIGHT);
    for (y, row) in rows.enumerate() {
        for (column, cell) in row.chunks_exact_mut(CELL).take(COLUMNS).enumerate() {
            let index = y / CELL * COLUMNS + column;
            cell.fill(if word >> (63 - index) & 1 == 1 { WHITE } else { BLACK });
        }
    }
}

/// Reads the milliseconds since the Unix epoch (low 48 bits) from a luma plane. `None` if there is
/// no valid timecode.
#[must_use]
pub fn decode(luma: &[u8], stride: usize) -> Option<u64> {
    if stride < WIDTH || luma.len() < stride * HEIGHT {
        return None;
    }
    let mut means = [0; COLUMNS * ROWS];
    for (index, mean) in means.iter_mut().enumerate() {
        *mean = cell_mean(luma, stride, index % COLUMNS, index / COLUMNS)?;
    }
    let sync = means.first_chunk::<8>()?;
    let (bright, dark) = (*sync.iter().max()?, *sync.iter().min()?);
    if bright - dark < MIN_CONTRAST {
        return None;
    }
    let threshold = u32::midpoint(bright, dark);
    let read = means.iter().fold(0, |word, mean| word << 1 | u64::from(*mean > threshold));
    let milliseconds = read >> 8 & MASK;
    (read == word(milliseconds)).then_some(milliseconds)
}

const MASK: u64 = (1 << 48) - 1;

/// Returns the 64 cells as bits.
fn word(milliseconds: u64) -> u64 {
    let milliseconds = milliseconds & MASK;
    u64::from(SYNC) << 56 | milliseconds << 8 | u64::from(crc(milliseconds))
}

/// Returns the CRC-8 of the low 48 bits, most significant byte first.
fn crc(milliseconds: u64) -> u8 {
    let [_, _, bytes @ ..] = milliseconds.to_be_bytes();
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ byte, |crc, _| if crc & 0x80 != 0 { crc << 1 ^ 0x07 } else { crc << 1 })
    })
}

/// Returns the mean luma of the inner half of a cell.
fn cell_mean(luma: &[u8], stride: usize, column: usize, row: usize) -> Option<u32> {
    const INSET: usize = CELL / 4;
    const INNER: usize = CELL / 2;
    let mut sum = 0;
    for y in 0..INNER {
        let start = (row * CELL + INSET + y) * stride + column * CELL + INSET;
        sum += luma.get(start..start + INNER)?.iter().map(|&pixel| u32::from(pixel)).sum::<u32>();
    }
    u32::try_from(INNER * INNER).ok().map(|pixels| sum / pixels)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STRIDE: usize = WIDTH + 24;

    fn plane(milliseconds: u64) -> Vec<u8> {
        let mut luma = vec![128; STRIDE * (HEIGHT + 8)];
        encode(&mut luma, STRIDE, milliseconds);
        luma
    }

    #[test]
    fn a_picture_without_timecode_has_no_time() {
        for luma in [vec![128; STRIDE * HEIGHT], vec![0; STRIDE * HEIGHT], vec![255; 10], vec![]] {
            assert_eq!(decode(&luma, STRIDE), None);
        }
        assert_eq!(decode(&[0; 100], 0), None);
    }

    #[test]
    fn one_wrong_cell_is_noticed() {
        for index in 0..COLUMNS * ROWS {
            let mut luma = plane(1_700_000_000_123);
            for y in 0..CELL {
                let start = (index / COLUMNS * CELL + y) * STRIDE + index % COLUMNS * CELL;
                for pixel in &mut luma[start..start + CELL] {
                    *pixel = 251 - *pixel;
                }
            }
            assert_eq!(decode(&luma, STRIDE), None, "cell {index}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(milliseconds in 0..=MASK, faded in 1_u8..3, noise in 0_u8..40) {
            let mut luma = plane(milliseconds);
            prop_assert_eq!(decode(&luma, STRIDE), Some(milliseconds));
            for (index, pixel) in luma.iter_mut().enumerate() {
                *pixel = *pixel / faded + if index % 3 == 0 { noise / 2 } else { 0 };
            }
            prop_assert_eq!(decode(&luma, STRIDE), Some(milliseconds));
        }

        #[test]
        fn any_plane_is_read_or_refused(
            luma in prop::collection::vec(any::<u8>(), 0..40_000),
            stride in 0_usize..400,
        ) {
            let _ = decode(&luma, stride);
        }
    }
}
