//! The text that binds what was shown: the settings as they were read, and the changes.
//!
//! A plan has the facts that were measured, because applying it does not measure again, and a hash
//! of everything else. It gives no rights: whoever may apply one may also ask for another one.

use porthole_signaling_proto::StreamRole;
use sha2::{Digest as _, Sha256};

use super::decide::{Clock, Decision, changes};
use super::encoder::Encoder;
use super::{Change, Facts};

/// Beginning of every plan; another one is of another version.
const VERSION: &str = "1";

/// Returns the plan for a decision.
pub(super) fn plan(
    [main, second]: [Option<&Encoder>; 2],
    clock: Option<&Clock>,
    decision: &Decision,
    facts: [Facts; 2],
) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        // The length parts a text from the next one.
        hash.update(text.len().to_be_bytes());
        hash.update(text.as_bytes());
    };
    for (role, encoder, values) in
        [(StreamRole::Main, main, &decision.main), (StreamRole::Sub, second, &decision.second)]
    {
        add(encoder.map_or("", Encoder::source));
        let changes = encoder.zip(values.as_ref()).map(|(it, to)| changes(role, &it.values, to));
        for Change { key, before, after, .. } in changes.unwrap_or_default() {
            [key, &before, &after].into_iter().for_each(&mut add);
        }
    }
    // The time itself is another one at each look.
    let zone = clock.filter(|_| decision.sets_clock).map(|clock| (clock.is_summer, &clock.zone));
    add(&format!("{zone:?}"));
    let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let facts = facts.map(|facts| if facts.has_b_pictures { "b" } else { "-" }).concat();
    format!("{VERSION}{facts}{digits}")
}

/// Returns the facts that a plan was made with; `None` if the text is no plan.
pub(super) fn facts(plan: &str) -> Option<[Facts; 2]> {
    let facts = plan.strip_prefix(VERSION)?.as_bytes();
    let [main @ (b'b' | b'-'), sub @ (b'b' | b'-'), ..] = facts else { return None };
    Some([main, sub].map(|fact| Facts { has_b_pictures: *fact == b'b', ..Facts::default() }))
}
