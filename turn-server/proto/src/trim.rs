//! Returning the memory of tables that were once larger.

/// Capacity, in entries, below which a table is not worth shrinking.
const LEAST: usize = 64;

/// Returns the capacity that a table of `len` entries should shrink to, or `None` if it should
/// keep what it has.
///
/// A table shrinks when three quarters are unused, to twice what is used: at least as many entries
/// have left by then as are moved, and as many must come before it grows again.
pub const fn trimmed_capacity(len: usize, capacity: usize) -> Option<usize> {
    let wanted = if 2 * len > LEAST { 2 * len } else { LEAST };
    // A hash table rounds its capacity up, to at most twice what is asked for.
    if len < capacity / 4 && 2 * wanted < capacity { Some(wanted) } else { None }
}

/// Shrinks a list that uses little of its memory, see [`trimmed_capacity`]. Returns true if it
/// was shrunk.
pub fn trim<T>(list: &mut Vec<T>) -> bool {
    let Some(capacity) = trimmed_capacity(list.len(), list.capacity()) else { return false };
    list.shrink_to(capacity);
    true
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn tables_shrink_to_what_they_need_and_not_often() {
        for peak in [1_usize, 100, 1000, 10_000] {
            let mut list: Vec<usize> = (0..peak).collect();
            let mut map: HashMap<usize, usize> = (0..peak).map(|i| (i, i)).collect();
            let mut moved = 0;
            for left in (0..peak).rev() {
                list.pop();
                map.remove(&left);
                if trim(&mut list) {
                    moved += list.len();
                }
                if let Some(capacity) = trimmed_capacity(map.len(), map.capacity()) {
                    map.shrink_to(capacity);
                    moved += map.len();
                }
                for capacity in [list.capacity(), map.capacity()] {
                    assert!(capacity <= 4 * LEAST.max(left) + 4, "{capacity} for {left}");
                }
            }
            assert!(moved <= 2 * peak, "{moved} moves for {peak}");
        }
    }
}
