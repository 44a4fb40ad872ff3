//! What happened: one [`Event`], told to the log and to the metrics, so that they agree exactly: the metrics count every event,
//! and a line of the log says how many like it, before it, had none. Answers are the exception: they are counted when their head
//! is there ([`Upstream::answered`]), and have a line at `debug` when they have ended.
//!
//! No event can hold a secret: its fields are labels, identifiers and numbers. Client identifiers stand in the log,
//! never in a metric's label, where an attacker could make as many as he likes.

mod decided;
mod event;
mod families;
pub(crate) mod libraries;
mod lines;
pub(crate) mod log;
pub(crate) mod metrics;
mod sampler;
mod settings;
mod tell;
mod upstream;

pub(crate) use decided::Decided;
pub(crate) use event::{Ended, Event, RequestId};
pub(crate) use settings::{Format, Level, Settings};
pub(crate) use tell::Telemetry;
pub(crate) use upstream::Upstream;
