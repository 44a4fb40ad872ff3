//! Logging and metrics. Everything that happens is one [`Event`], which is passed to both, so that they agree: the
//! metrics count every event, and a log line says how many similar events before it were left out. Responses are the
//! exception: they are counted when their head is known ([`Upstream::answered`]), and logged at `debug` when they have
//! ended.
//!
//! An event cannot contain a secret: its fields are labels, identifiers and numbers. Client identifiers are in the log
//! but never in metric labels, because an attacker could create any number of series.

mod decided;
mod event;
mod families;
pub(crate) mod libraries;
mod line_budget;
pub(crate) mod log;
pub(crate) mod metrics;
mod sampler;
mod settings;
mod sinks;
mod step;
pub(crate) mod tally;
mod upstream;

pub(crate) use decided::Decided;
pub(crate) use event::{Ended, Event, RequestId};
pub(crate) use settings::{Format, Level, Settings};
pub(crate) use sinks::Telemetry;
pub(crate) use step::Step;
pub(crate) use upstream::Upstream;
