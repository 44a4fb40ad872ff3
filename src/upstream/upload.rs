//! A request's body on its way.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::lookalike::Lookalike;

/// How far the body of a request has come, for whoever waits for the response to it.
#[derive(Debug)]
pub(crate) struct Upload(Mutex<Progress>);

#[derive(Debug)]
struct Progress {
    pieces: u64,
    state: State,
    lookalike: Lookalike,
}

/// How a body stands. Nothing follows an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// More of it is to come.
    Coming,
    /// The last piece went through.
    Through,
    /// It broke off, which is not the upstream's doing.
    Broken,
}

impl Upload {
    /// With what was seen of the body so far.
    pub(crate) fn after(lookalike: Lookalike) -> Self {
        Self(Mutex::new(Progress {
            pieces: 0,
            state: State::Coming,
            lookalike,
        }))
    }

    /// A piece of the body went through.
    pub(crate) fn advance(&self, piece: &[u8]) {
        let mut progress = self.progress();
        progress.pieces += 1;
        progress.lookalike.feed(piece);
    }

    /// It broke off, which is not the upstream's doing.
    pub(crate) fn break_off(&self) {
        self.progress().ends(State::Broken);
    }

    /// The last piece went through.
    pub(crate) fn finish(&self) {
        self.progress().ends(State::Through);
    }

    /// Whether what was seen of it could be read as a request.
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
