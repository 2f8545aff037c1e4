//! Compares servers. They are measured in turn, repeatedly, so that changes on the machine affect
//! all of them.

use anyhow::{Result, ensure};

use crate::case::{Case, Effort};
use crate::cli::Compare;
use crate::environment::{Environment, Network};
use crate::table::Table;
use crate::under_test::{Contender, version_of_coturn};
use crate::{case, progress, report, serve_turn_crate};

pub(crate) fn run(options: &Compare) -> Result<()> {
    let network = match options.veth {
        true => Network::Veth { coalesced: options.coalesced() },
        false => Network::Loopback,
    };
    let effort = Effort {
        measured: options.measured(),
        warm_up: options.warm_up(),
        allocations: options.allocations,
    };
    let mut contenders = contenders(options)?;
    if network == Network::Loopback {
        // The fast path works on packets of an interface, of which loopback has none.
        contenders.retain(|contender| *contender != Contender::PortholeKernel);
    }
    let cases: Vec<Case> = case::all(effort, network)
        .into_iter()
        .filter(|case| options.includes(&case.name()))
        .collect();
    ensure!(!cases.is_empty(), "no case has {:?} in its name", options.only);
    let environment = Environment::new(!options.no_pin, network)?;
    let repetitions = options.repetitions();
    let mut table = Table::new(conditions(options, &environment, &contenders), &contenders);
    for repetition in 1..=repetitions {
        for case in &cases {
            for contender in &contenders {
                let name = contender.name();
                let log = |text: &str| progress(&format!("[{repetition}/{repetitions}] {text}"));
                match case.run(*contender, &environment, effort) {
                    Ok(values) => {
                        for (row, value) in values {
                            let (title, unit) = (&row.title, row.unit);
                            log(&format!("{title}: {name} {value:.2} {unit}"));
                            table.add(*contender, row, value);
                        }
                    }
                    Err(error) if contender.is_ours() => return Err(error),
                    Err(error) => {
                        let reason = format!("{error:#}");
                        log(&format!("{}: {name} fails: {reason}", case.name()));
                        table.fail(*contender, case.name(), reason);
                    }
                }
            }
        }
    }
    report::print(options.json, &table, &table.lines())?;
    let missed = table.missed();
    ensure!(!options.strict || missed.is_empty(), "targets missed: {}", missed.join("; "));
    Ok(())
}

/// Returns the servers named by the options, or all that are installed.
fn contenders(options: &Compare) -> Result<Vec<Contender>> {
    if options.servers.is_empty() {
        let (installed, missing): (Vec<_>, Vec<_>) =
            Contender::ALL.into_iter().partition(|contender| contender.is_installed());
        for contender in missing {
            progress(&format!("{} is left out: it is not installed", contender.name()));
        }
        return Ok(installed);
    }
    for contender in &options.servers {
        let name = contender.name();
        ensure!(contender.is_installed(), "{name} is not installed: leave it out of --servers");
    }
    Ok(options.servers.clone())
}

fn conditions(
    options: &Compare,
    environment: &Environment,
    contenders: &[Contender],
) -> Vec<String> {
    let coturn = contenders.contains(&Contender::Coturn).then(version_of_coturn).flatten();
    let seconds = options.measured().as_secs_f64();
    let repetitions = format!("median of {}, interleaved, {seconds} s each", options.repetitions());
    let mut conditions = [vec![repetitions], environment.describe()].concat();
    if options.veth {
        conditions.push(format!(
            "the receiver polls for packets every {} µs",
            options.coalesced().as_micros()
        ));
    }
    conditions.extend(coturn.map(|version| format!("coturn {version}")));
    let turn_crate = contenders.contains(&Contender::TurnCrate);
    let turn_crate = turn_crate.then(serve_turn_crate::version).flatten();
    conditions.extend(turn_crate.map(|version| format!("turn crate {version}")));
    conditions
}
