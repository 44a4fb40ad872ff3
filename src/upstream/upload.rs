//! The progress of a request body.

use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body::Body;

use super::smuggling::Lookalike;

/// A request body that can be sent to an upstream.
pub(crate) trait Outgoing:
    Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static
{
}

impl<B> Outgoing for B where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static
{
}

/// The progress of a request body, for the task that waits for the response.
#[derive(Debug)]
pub(crate) struct Upload(Mutex<Progress>);

#[derive(Debug)]
struct Progress {
    pieces: u64,
    state: State,
    lookalike: Lookalike,
}

/// The state of a body. The first end is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Coming,
    Through,
    /// The client broke it off; the upstream is not the cause.
    Broken,
}

impl Upload {
    /// `lookalike` has examined the part of the body that was already read.
    pub(crate) fn after(lookalike: Lookalike) -> Self {
        Self(Mutex::new(Progress {
            pieces: 0,
            state: State::Coming,
            lookalike,
        }))
    }

    pub(crate) fn advance(&self, piece: &[u8]) {
        let mut progress = self.progress();
        progress.pieces += 1;
        progress.lookalike.feed(piece);
    }

    /// Records that the client broke the body off; the upstream is not the cause.
    pub(crate) fn break_off(&self) {
        self.progress().ends(State::Broken);
    }

    /// Records that the last piece was sent.
    pub(crate) fn finish(&self) {
        self.progress().ends(State::Through);
    }

    /// Whether the body so far could be read as a request.
    pub(crate) fn is_lookalike(&self) -> bool {
        self.progress().lookalike.is_one()
    }

    pub(super) fn is_through(&self) -> bool {
        self.progress().state == State::Through
    }

    pub(super) fn is_broken(&self) -> bool {
        self.progress().state == State::Broken
    }

    pub(super) fn pieces(&self) -> u64 {
        self.progress().pieces
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn ends(&mut self, how: State) {
        if self.state == State::Coming {
            self.state = how;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_ends_once() {
        type End = fn(&Upload);
        let ends: [(End, End, bool); 2] = [
            (Upload::finish, Upload::break_off, true),
            (Upload::break_off, Upload::finish, false),
        ];
        for (end, other, is_through) in ends {
            let upload = Upload::after(Lookalike::default());
            assert!(!upload.is_through() && !upload.is_broken());
            end(&upload);
            other(&upload);
            assert_eq!(upload.is_through(), is_through);
            assert_eq!(upload.is_broken(), !is_through);
        }
    }
}
