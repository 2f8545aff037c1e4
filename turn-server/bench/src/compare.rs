//! One server beside the other, one after the other, again and again: what changes on the machine
//! meanwhile meets all of them.

use anyhow::{Result, ensure};

use crate::case::{self, Case, Effort};
use crate::cli::Compare;
use crate::place::{Network, Place};
use crate::progress;
use crate::report;
use crate::serve_turn_crate;
use crate::table::Table;
use crate::under_test::{Contender, version_of_coturn};

pub(crate) fn run(how: &Compare) -> Result<()> {
    let network = match how.veth {
        true => Network::Veth { coalesced: how.coalesced() },
        false => Network::Loopback,
    };
    let effort =
        Effort { measured: how.measured(), warm_up: how.warm_up(), allocations: how.allocations };
    let mut contenders = contenders(how)?;
    if network == Network::Loopback {
        // Nothing comes in from an interface there.
        contenders.retain(|contender| *contender != Contender::PortholeKernel);
    }
    let cases: Vec<Case> =
        case::all(effort, network).into_iter().filter(|case| how.includes(&case.name())).collect();
    ensure!(!cases.is_empty(), "no case has {:?} in its name", how.only);
    let place = Place::new(!how.no_pin, network)?;
    let repetitions = how.repetitions();
    let mut table = Table::new(conditions(how, &place, &contenders), &contenders);
    for repetition in 1..=repetitions {
        for case in &cases {
            for contender in &contenders {
                let name = contender.name();
                let say = |text: &str| progress(&format!("[{repetition}/{repetitions}] {text}"));
                match case.run(*contender, &place, effort) {
                    Ok(values) => {
                        for (row, value) in values {
                            let (title, unit) = (&row.title, row.unit);
                            say(&format!("{title}: {name} {value:.2} {unit}"));
                            table.add(*contender, row, value);
                        }
                    }
                    Err(error) if contender.is_ours() => return Err(error),
                    Err(error) => {
                        let reason = format!("{error:#}");
                        say(&format!("{}: {name} fails: {reason}", case.name()));
                        table.fail(*contender, case.name(), reason);
                    }
                }
            }
        }
    }
    report::print(how.json, &table, &table.lines())?;
    let missed = table.missed();
    ensure!(!how.strict || missed.is_empty(), "not as wanted: {}", missed.join("; "));
    Ok(())
}

/// Those that were named, or all that are here.
fn contenders(how: &Compare) -> Result<Vec<Contender>> {
    if how.servers.is_empty() {
        let (here, missing): (Vec<_>, Vec<_>) =
            Contender::ALL.into_iter().partition(|contender| contender.is_installed());
        for contender in missing {
            progress(&format!("{} is left out: it is not installed", contender.name()));
        }
        return Ok(here);
    }
    for contender in &how.servers {
        let name = contender.name();
        ensure!(contender.is_installed(), "{name} is not installed: leave it out of --servers");
    }
    Ok(how.servers.clone())
}

fn conditions(how: &Compare, place: &Place, contenders: &[Contender]) -> Vec<String> {
    let coturn = contenders.contains(&Contender::Coturn).then(version_of_coturn).flatten();
    let seconds = how.measured().as_secs_f64();
    let often = format!("median of {}, interleaved, {seconds} s each", how.repetitions());
    let mut conditions = [vec![often], place.describe()].concat();
    if how.veth {
        conditions.push(format!("packets are looked at every {} µs", how.coalesced().as_micros()));
    }
    conditions.extend(coturn.map(|version| format!("coturn {version}")));
    let turn_crate = contenders.contains(&Contender::TurnCrate);
    let turn_crate = turn_crate.then(serve_turn_crate::version).flatten();
    conditions.extend(turn_crate.map(|version| format!("turn crate {version}")));
    conditions
}
