//! The scenarios, one module each.

mod arrivals;
mod backlog;
mod connections;
mod copy;
mod deploy;
mod drain;
mod fleet;
mod held;
mod idle;
mod large_args;
mod many;
mod no_history;
mod pickup;
mod response;
mod scheduled;
mod single;
mod slots;
mod soak;
mod steady;

use super::error::BenchError;
use super::plan::Scenario;
use super::rig::Rig;

/// Measures one scenario. The rig receives its figures.
pub(super) async fn measure(rig: &mut Rig<'_>, scenario: Scenario) -> Result<(), BenchError> {
    rig.scenario = scenario;
    rig.advance(0, 1);
    match scenario {
        Scenario::Single => single::measure(rig).await?,
        Scenario::Connections => connections::measure(rig).await?,
        Scenario::Many => many::measure(rig).await?,
        Scenario::Copy => copy::measure(rig).await?,
        Scenario::Drain => drain::measure(rig).await?,
        Scenario::Steady => steady::measure(rig).await?,
        Scenario::Pickup => pickup::measure(rig).await?,
        Scenario::Response => response::measure(rig).await?,
        Scenario::Arrivals => arrivals::measure(rig).await?,
        Scenario::Idle => idle::measure(rig).await?,
        Scenario::Backlog => backlog::measure(rig).await?,
        Scenario::Scheduled => scheduled::measure(rig).await?,
        Scenario::Held => held::measure(rig).await?,
        Scenario::Soak => soak::measure(rig).await?,
        Scenario::Fleet => fleet::measure(rig).await?,
        Scenario::Slots => slots::measure(rig).await?,
        Scenario::NoHistory => no_history::measure(rig).await?,
        Scenario::LargeArgs => large_args::measure(rig).await?,
        Scenario::Deploy => deploy::measure(rig).await?,
    }
    rig.advance(1, 1);
    Ok(())
}
