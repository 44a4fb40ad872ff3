//! A simulator: honest and hostile clients, gates that restart, servers that fail over, an upstream that errs, all on a virtual
//! clock and without a network. The stores and the rules are the real ones; for Redis it is the whole store in front of a model of the
//! server. A run is a function of a [`Plan`], so a failure can be repeated.
//!
//! - `kernel`, `dice`: tasks on the virtual clock, and reproducible random numbers.
//! - `world`: the gates with their stores, and restarts; `servers`: Redis, and the network to it; `upstream`.
//! - `gate`: what a gate does at each step; `actor`: what clients and attackers do; `scene`: one flow.
//! - `ledger`: what really happened, compared with the invariants I1 and I2.

mod actor;
mod dice;
mod gate;
mod kernel;
mod ledger;
mod scene;
mod servers;
mod tests;
mod upstream;
mod world;

use std::rc::Rc;

use world::{Plan, Report, World};

/// Runs a plan.
fn run(plan: Plan) -> Report {
    let world = World::new(plan);
    world.run(|world: Rc<World>, flow| scene::scene(world, flow))
}

/// The breaches of a run as text, with the trace of the flow of the first one.
fn explained(plan: Plan, report: &Report) -> String {
    let Some(first) = report.breaches.first() else {
        return String::new();
    };
    let again = run(Plan {
        watched: Some(first.flow),
        ..plan
    });
    let breaches = report.breaches.iter().take(10);
    let breaches: Vec<String> = breaches
        .map(|breach| format!("flow {}: {}", breach.flow, breach.what))
        .collect();
    format!(
        "{plan:?}\n{} breaches:\n{}\nflow {}:\n{}",
        report.breaches.len(),
        breaches.join("\n"),
        first.flow,
        again.watched.join("\n")
    )
}
