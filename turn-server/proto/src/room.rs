//! When a table gives memory back.

/// Tables with room for so few keep it.
const LEAST: usize = 64;

/// The room that a table of `len` entries is to shrink to, if too much of its own lies idle.
///
/// It shrinks when three quarters are unused, to twice what is used: at least as many entries have
/// left by then as are moved, and as many must come before it grows again.
pub const fn spare_room(len: usize, capacity: usize) -> Option<usize> {
    let wanted = if 2 * len > LEAST { 2 * len } else { LEAST };
    // A hash table rounds up to what it can have, at most twice as much.
    if len < capacity / 4 && 2 * wanted < capacity { Some(wanted) } else { None }
}

/// Gives back the idle room of a list, see [`spare_room`]. Whether there was some.
pub fn give_back<T>(list: &mut Vec<T>) -> bool {
    let Some(room) = spare_room(list.len(), list.capacity()) else { return false };
    list.shrink_to(room);
    true
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn tables_shrink_to_what_they_need_and_few_times() {
        for peak in [1_usize, 100, 1000, 10_000] {
            let mut list: Vec<usize> = (0..peak).collect();
            let mut map: HashMap<usize, usize> = (0..peak).map(|i| (i, i)).collect();
            let mut moved = 0;
            for left in (0..peak).rev() {
                list.pop();
                map.remove(&left);
                if give_back(&mut list) {
                    moved += list.len();
                }
                if let Some(room) = spare_room(map.len(), map.capacity()) {
                    map.shrink_to(room);
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
