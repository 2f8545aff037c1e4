//! The command that sets a new password for a user.

use porthole_signaling::admin;
use porthole_signaling::admin::{AddedOne, Given, Reset};
use porthole_signaling_proto::rest::Removed;

use crate::admin::table::ago;
use crate::admin::{in_words, print_removed};
use crate::cameras::password;
use crate::cli::ResetUser;
use crate::config::Config;
use crate::console;

/// Runs `porthole user reset`.
pub async fn run(config: &Config, flags: &ResetUser) -> anyhow::Result<()> {
    let name = &flags.name;
    let password = password::read(name, flags.password_file.as_deref(), "")?;
    let given = if flags.everything { Given::Removed } else { Given::Kept };
    let reset = admin::reset_user(&config.data, name, password, given).await?;
    print_removed(reset.removed)?;
    for line in advice(name, &reset) {
        console::print_line(line)?;
    }
    Ok(())
}

/// Returns what there is to look at in case that somebody else had the password, a line each.
fn advice(name: &str, Reset { removed: _, left, added }: &Reset) -> Vec<String> {
    let mut lines = Vec::new();
    if *left != Removed::default() {
        let left = in_words(*left);
        lines.push(format!(
            "still valid, given by {name}: {left}. If somebody else had the password, remove them \
             too, with --everything"
        ));
    }
    let lists = [
        ("people who have joined", &added.people, "porthole user remove"),
        ("gateways that were enrolled", &added.gateways, "porthole gateway remove"),
    ];
    for (what, list, command) in lists {
        if !list.is_empty() {
            let list = list.iter().map(shown).collect::<Vec<_>>().join(", ");
            lines.push(format!(
                "{what} through {name}: {list}. `{command}` removes one that should not be there"
            ));
        }
    }
    lines.push(format!("`porthole audit` shows what else was done as {name}"));
    lines
}

fn shown(AddedOne { name, at_s }: &AddedOne) -> String {
    format!("{name} ({})", ago(Some(*at_s)))
}

#[cfg(test)]
mod tests {
    use porthole_signaling::admin::Added;

    use super::*;

    #[test]
    fn what_stays_after_a_reset_is_told_and_where_to_look() {
        let one = |name: &str| vec![AddedOne { name: name.to_owned(), at_s: 0 }];
        let both = Added { people: one("cid"), gateways: one("Barn (gw-a)") };
        let tokens = Removed { tokens: 2, ..Removed::default() };
        let look = "`porthole audit` shows what else was done as bob";
        let table: [(Removed, Added, &[&str]); 3] = [
            (Removed::default(), Added::default(), &[look]),
            (tokens, Added::default(), &["given by bob: 2 × token. If", look]),
            (
                Removed::default(),
                both,
                &[
                    "people who have joined through bob: cid (",
                    "gateways that were enrolled through bob: Barn (gw-a) (",
                    look,
                ],
            ),
        ];
        for (left, added, expected) in table {
            let lines = advice("bob", &Reset { removed: Removed::default(), left, added });
            assert_eq!(lines.len(), expected.len(), "{lines:?}");
            for (line, part) in lines.iter().zip(expected) {
                assert!(line.contains(part), "{line}");
            }
        }
    }
}
