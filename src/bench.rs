//! The command that measures this program, or another build of it, on this machine.

use crate::cli::Bench;

/// Measures, and prints the results. Must be called before any thread has been started.
#[cfg(target_os = "linux")]
pub fn run(Bench::Signal(flags): &Bench) -> anyhow::Result<()> {
    let program = match &flags.porthole {
        Some(program) => program.clone(),
        None => std::env::current_exe()?,
    };
    let plan = porthole_signaling_bench::Plan {
        program,
        gateways: flags.gateways,
        rate: flags.rate,
        seconds: flags.seconds,
        calm: std::time::Duration::from_secs(flags.calm),
    };
    porthole_signaling_bench::run(&plan, &|line| crate::console::print_line(line))
}

/// Refuses: what a process takes is read from files that only Linux has.
#[cfg(not(target_os = "linux"))]
pub fn run(_: &Bench) -> anyhow::Result<()> {
    anyhow::bail!("this command measures on Linux only")
}
