//! Lines on their way out of the process.
//!
//! Whoever has a line adds it to a buffer and goes on. A thread of its own takes all that is there, writes it at once
//! and rests a moment: a line that comes alone is out at once, and under load one write and one wake-up serve hundreds.
//! The buffer is bounded. What does not fit, and what cannot be written, is lost and counted.

use std::convert::Infallible;
use std::io::{self, ErrorKind, Write};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{mem, thread};

use prometheus_client::metrics::counter::Counter;
use tracing_subscriber::fmt::MakeWriter;

/// Bytes that may wait for a slow reader: some 16,000 lines.
const CAPACITY: usize = 4 * 1024 * 1024;

/// What a buffer keeps of its memory after a burst.
const KEPT: usize = 64 * 1024;

/// Between two writes. Nobody who reads a log sees the difference.
const REST: Duration = Duration::from_millis(10);

/// How long the end of the process may wait for a reader.
const LAST: Duration = Duration::from_secs(1);

/// Takes lines. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    dropped: Counter,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// The thread has nothing to do and wants to be woken.
    asleep: bool,
    ended: bool,
}

/// The end of the thread: dropped, it lets it write what is there.
#[derive(Debug)]
pub(super) struct End {
    lines: Lines,
    /// Closed when the thread has ended.
    thread: Receiver<Infallible>,
}

impl Lines {
    /// With a thread that writes them to `out`, and that says to `told` why it cannot, the first time.
    pub(super) fn to(
        out: impl Write + Send + 'static,
        told: impl FnOnce(&io::Error) + Send + 'static,
    ) -> (Self, End) {
        let lines = Self(Arc::new(Shared {
            waiting: Mutex::default(),
            changed: Condvar::new(),
            dropped: Counter::default(),
        }));
        let (alive, thread) = mpsc::channel();
        let theirs = lines.clone();
        let work = move || {
            theirs.write_until_the_end(out, told);
            drop(alive);
        };
        let spawned = thread::Builder::new().name("log".to_owned()).spawn(work);
        if spawned.is_err() {
            lines.lock().ended = true;
        }
        let end = End {
            lines: lines.clone(),
            thread,
        };
        (lines, end)
    }

    /// How many were lost.
    pub(super) fn dropped(&self) -> Counter {
        self.0.dropped.clone()
    }

    /// Adds whole lines.
    pub(super) fn add(&self, lines: &[u8]) {
        let mut waiting = self.lock();
        if waiting.ended || waiting.bytes.len().saturating_add(lines.len()) > CAPACITY {
            drop(waiting);
            self.lose(lines);
            return;
        }
        waiting.bytes.extend_from_slice(lines);
        if mem::take(&mut waiting.asleep) {
            drop(waiting);
            self.0.changed.notify_one();
        }
    }

    fn write_until_the_end(&self, mut out: impl Write, told: impl FnOnce(&io::Error)) {
        let (mut batch, mut told) = (Vec::new(), Some(told));
        while self.take(&mut batch) {
            if let Err(error) = self.write(&mut out, &batch)
                && let Some(told) = told.take()
            {
                told(&error);
            }
            batch.clear();
            batch.shrink_to(KEPT);
            self.rest();
        }
    }

    /// Waits for lines. False: there will be none.
    fn take(&self, batch: &mut Vec<u8>) -> bool {
        let mut waiting = self.lock();
        while waiting.bytes.is_empty() && !waiting.ended {
            waiting.asleep = true;
            let woken = self.0.changed.wait(waiting);
            waiting = woken.unwrap_or_else(PoisonError::into_inner);
        }
        mem::swap(batch, &mut waiting.bytes);
        !batch.is_empty()
    }

    fn write(&self, out: &mut impl Write, mut lines: &[u8]) -> io::Result<()> {
        let mut result = Ok(());
        while !lines.is_empty() {
            let error = match out.write(lines) {
                Ok(written @ 1..) => {
                    lines = lines.get(written..).unwrap_or_default();
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Ok(0) => ErrorKind::WriteZero.into(),
                Err(error) => error,
            };
            self.lose(lines);
            result = Err(error);
            break;
        }
        // What standard output keeps of a line that did not fit, it tries again with the next one.
        let flushed = out.flush();
        result.and(flushed)
    }

    /// Until more may have come; the end comes at once.
    fn rest(&self) {
        let goes_on = |waiting: &mut Waiting| !waiting.ended;
        drop(
            self.0
                .changed
                .wait_timeout_while(self.lock(), REST, goes_on),
        );
    }

    fn lose(&self, lines: &[u8]) {
        let lost = memchr::memchr_iter(b'\n', lines).count();
        self.0
            .dropped
            .inc_by(u64::try_from(lost).unwrap_or(u64::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.lines.lock().ended = true;
        self.lines.0.changed.notify_one();
        // Not longer: a reader that hangs must not keep the process.
        let _ended = self.thread.recv_timeout(LAST);
    }
}

impl Write for &Lines {
    /// Never fails: that a line is lost is counted, and nobody's business who has one.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.add(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

#[cfg(test)]
mod tests;
