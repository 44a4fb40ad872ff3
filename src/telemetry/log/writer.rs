//! Lines on their way out of the process: a bounded queue, and one thread that writes what is in it.
//!
//! A thread that has a line adds it to the queue and goes on; it never waits. The writer takes all lines that are there, writes
//! them at once and rests a moment: a line that comes alone is out at once, and under load one write and one wake-up serve
//! hundreds. What does not fit, and what cannot be written, is lost and counted. When lines can be written again, a line says
//! how many were lost.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

/// Bytes that may wait for a slow reader: some 10,000 lines.
const CAPACITY: usize = 4 * 1024 * 1024;

/// What the writer keeps of its memory after a burst.
const KEPT: usize = 64 * 1024;

/// Between two writes. A reader of the log does not see the difference.
const REST: Duration = Duration::from_millis(10);

/// How long the end of the process may wait for a reader.
const LAST: Duration = Duration::from_secs(1);

/// Takes lines. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    messages: Sender<Message>,
    /// Bytes that lines in the queue, and those that are being written, take.
    waiting: Arc<AtomicUsize>,
    lost: Counter,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    /// Nothing more is written. What the sender waits for is dropped with it.
    End(SyncSender<()>),
}

/// The end of the writer: when it is dropped, also by a panic, the lines that are in the queue are written first.
#[derive(Debug)]
#[must_use]
pub(crate) struct End(Queue);

/// What the writer needs to know about what it writes.
pub(super) struct Told {
    /// Called with the first error of a write.
    pub(super) error: Box<dyn FnOnce(&io::Error) + Send>,
    /// Makes the line that says how many lines were lost.
    pub(super) lost: Box<dyn Fn(u64) -> Vec<u8> + Send>,
}

impl Queue {
    /// With a thread that writes to `out`.
    pub(super) fn to(out: impl Write + Send + 'static, told: Told) -> (Self, End) {
        let (messages, received) = mpsc::channel();
        let queue = Self {
            messages,
            waiting: Arc::default(),
            lost: Counter::default(),
        };
        let writer = Writer {
            out,
            waiting: Arc::clone(&queue.waiting),
            lost: queue.lost.clone(),
            said: 0,
        };
        let work = move || {
            let end = writer.write_until_the_end(&received, told);
            // The end is told when the queue is gone: what comes later is lost, and counted.
            drop(received);
            drop(end);
        };
        // Without a thread the receiver is gone, and every line is lost.
        let _spawned = thread::Builder::new().name("log".to_owned()).spawn(work);
        (queue.clone(), End(queue))
    }

    /// How many were lost.
    pub(super) fn lost(&self) -> Counter {
        self.lost.clone()
    }

    /// Adds a whole line.
    pub(super) fn add(&self, line: Vec<u8>) {
        let bytes = line.capacity();
        let before = self.waiting.fetch_add(bytes, Ordering::Relaxed);
        let has_room = before.saturating_add(bytes) <= CAPACITY;
        if !has_room || self.messages.send(Message::Line(line)).is_err() {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.lost.inc();
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let (done, ended) = mpsc::sync_channel(0);
        if self.0.messages.send(Message::End(done)).is_ok() {
            // Not longer: a reader that hangs must not keep the process.
            let _ended = ended.recv_timeout(LAST);
        }
    }
}

struct Writer<W> {
    out: W,
    waiting: Arc<AtomicUsize>,
    lost: Counter,
    /// How many lost lines a line has told.
    said: u64,
}

impl<W: Write> Writer<W> {
    /// Returns who waits for the end.
    fn write_until_the_end(
        mut self,
        received: &Receiver<Message>,
        told: Told,
    ) -> Option<SyncSender<()>> {
        let (mut batch, mut on_error) = (Vec::new(), Some(told.error));
        while let Ok(first) = received.recv() {
            let (mut taken, mut end) = (0, None);
            for message in std::iter::once(first).chain(received.try_iter()) {
                match message {
                    Message::Line(line) => {
                        taken += line.capacity();
                        batch.extend_from_slice(&line);
                    }
                    Message::End(done) => {
                        end = Some(done);
                        break;
                    }
                }
            }
            let written = self.write(&batch).and_then(|()| self.say_lost(&told.lost));
            self.waiting.fetch_sub(taken, Ordering::Relaxed);
            if let Err(error) = written
                && let Some(on_error) = on_error.take()
            {
                on_error(&error);
            }
            if end.is_some() {
                return end;
            }
            batch.clear();
            batch.shrink_to(KEPT);
            thread::sleep(REST);
        }
        None
    }

    /// Says how many lines were lost since it was last said.
    fn say_lost(&mut self, line: &dyn Fn(u64) -> Vec<u8>) -> io::Result<()> {
        let lost = self.lost.get();
        if lost > self.said {
            self.write(&line(lost - self.said))?;
            self.said = lost;
        }
        Ok(())
    }

    fn write(&mut self, mut lines: &[u8]) -> io::Result<()> {
        let mut result = Ok(());
        while !lines.is_empty() {
            let error = match self.out.write(lines) {
                Ok(written @ 1..) => {
                    lines = lines.get(written..).unwrap_or_default();
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Ok(0) => ErrorKind::WriteZero.into(),
                Err(error) => error,
            };
            let lost = memchr::memchr_iter(b'\n', lines).count();
            self.lost.inc_by(u64::try_from(lost).unwrap_or(u64::MAX));
            result = Err(error);
            break;
        }
        // What standard output keeps of a line that did not fit, it tries again with the next one.
        let flushed = self.out.flush();
        result.and(flushed)
    }
}

#[cfg(test)]
mod tests;
