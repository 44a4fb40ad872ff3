//! The log writer: a bounded queue, and a thread that writes its contents.
//!
//! A thread adds its line to the queue and continues; it never waits. The writer takes all queued lines, writes them at
//! once and pauses briefly: a single line is written immediately, and under load one write and one wake-up serve
//! hundreds. Lines that do not fit or cannot be written are lost and counted. When lines can be written again, a line
//! reports the number of lost ones.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;

/// Maximum size of queued lines, in bytes: some 10,000 lines.
const CAPACITY: usize = 4 * 1024 * 1024;

/// Capacity of the writer's buffer that is kept after a burst, in bytes.
const KEPT: usize = 64 * 1024;

/// Pause between two writes; too short for readers to notice.
const REST: Duration = Duration::from_millis(10);

/// Maximum time for which the end of the process waits for the reader.
const LAST: Duration = Duration::from_secs(1);

/// Accepts lines. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    messages: Sender<Message>,
    /// Bytes of the lines that are queued or being written.
    waiting: Arc<AtomicUsize>,
    lost: Counter,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    /// Ends the writer, which then drops the sender to notify the other side.
    End(SyncSender<()>),
}

/// On drop, also during a panic, waits until all queued lines are written.
#[derive(Debug)]
#[must_use]
pub(crate) struct End(Queue);

impl Queue {
    /// Starts a thread that writes to `out`. Calls `error` with the first write error; `lost` formats the line about lost
    /// lines.
    pub(super) fn to(
        out: impl Write + Send + 'static,
        error: impl FnOnce(&io::Error) + Send + 'static,
        lost: impl Fn(u64) -> Vec<u8> + Send + 'static,
    ) -> (Self, End) {
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
            let end = writer.write_until_the_end(&received, error, lost);
            // The queue is closed before the end is reported: later lines are lost and counted.
            drop(received);
            drop(end);
        };
        // If the thread cannot be started, the receiver is dropped, and every line is lost.
        let _spawned = thread::Builder::new().name("log".to_owned()).spawn(work);
        (queue.clone(), End(queue))
    }

    pub(super) fn lost(&self) -> Counter {
        self.lost.clone()
    }

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
            // Limited, because a hanging reader must not prevent the process from ending.
            let _ended = ended.recv_timeout(LAST);
        }
    }
}

struct Writer<W> {
    out: W,
    waiting: Arc<AtomicUsize>,
    lost: Counter,
    /// The number of lost lines that were reported.
    said: u64,
}

impl<W: Write> Writer<W> {
    /// Returns the sender to drop when everything has ended.
    fn write_until_the_end(
        mut self,
        received: &Receiver<Message>,
        error: impl FnOnce(&io::Error),
        lost: impl Fn(u64) -> Vec<u8>,
    ) -> Option<SyncSender<()>> {
        let (mut batch, mut on_error) = (Vec::new(), Some(error));
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
            let written = self.write(&batch).and_then(|()| self.say_lost(&lost));
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

    /// Writes how many lines were lost since the last such line.
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
        // Standard output may have buffered a part of a line; it is retried with the next flush.
        let flushed = self.out.flush();
        result.and(flushed)
    }
}

#[cfg(test)]
mod tests;
