//! Warnings and errors that libraries log through `tracing`: their origin, never their text.

use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Subscriber, dispatcher};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use super::event::Event;
use super::settings::Level;
use super::sinks::Telemetry;

/// Passes the warnings and errors of libraries on for the whole process. A second call in the same process (in tests)
/// has no effect.
pub(crate) fn forward(telemetry: Telemetry) {
    let _first = dispatcher::set_global_default(dispatch(telemetry));
}

pub(super) fn dispatch(telemetry: Telemetry) -> Dispatch {
    let libraries = Libraries(telemetry).with_filter(LevelFilter::WARN);
    Dispatch::new(tracing_subscriber::registry().with(libraries))
}

#[derive(Debug)]
struct Libraries(Telemetry);

impl<S: Subscriber> Layer<S> for Libraries {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let level = if *metadata.level() == tracing::Level::ERROR {
            Level::Error
        } else {
            Level::Warn
        };
        self.0.tell(&Event::Library {
            level,
            target: metadata.target(),
            line: metadata.line(),
        });
    }
}
