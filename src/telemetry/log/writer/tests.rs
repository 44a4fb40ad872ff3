use super::*;
use crate::clock::Clock;
use std::panic::{self, AssertUnwindSafe};

/// A writer that reports the beginning of each write, and blocks until the test takes the bytes.
struct Slow {
    begun: Sender<()>,
    taken: SyncSender<Vec<u8>>,
}

/// The test's side of [`Slow`].
struct Reader {
    begun: Receiver<()>,
    taken: Receiver<Vec<u8>>,
}

fn slow(ahead: usize) -> (Slow, Reader) {
    let (say, begun) = mpsc::channel();
    let (give, taken) = mpsc::sync_channel(ahead);
    let slow = Slow {
        begun: say,
        taken: give,
    };
    (slow, Reader { begun, taken })
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = io::Error::from(ErrorKind::BrokenPipe);
        let said = self.begun.send(()).is_ok();
        if said && self.taken.send(bytes.to_vec()).is_ok() {
            Ok(bytes.len())
        } else {
            Err(gone)
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Reader {
    fn begun(&self) {
        self.begun.recv_timeout(PATIENCE).expect("a write");
    }

    fn next(&self) -> String {
        next(&self.taken)
    }
}

/// A writer with prepared results for the first writes; then it accepts everything.
struct Stubborn {
    writes: Vec<io::Result<usize>>,
    flush: fn() -> io::Result<()>,
    taken: Sender<Vec<u8>>,
}

impl Write for Stubborn {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = if self.writes.is_empty() {
            bytes.len()
        } else {
            self.writes.remove(0)?
        };
        self.taken.send(bytes[..taken].to_vec()).unwrap();
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        (self.flush)()
    }
}

const PATIENCE: Duration = Duration::from_secs(30);

fn next(taken: &Receiver<Vec<u8>>) -> String {
    let received = taken.recv_timeout(PATIENCE);
    String::from_utf8(received.expect("lines")).unwrap()
}

/// A queue whose line about lost lines is short.
fn queue(
    out: impl Write + Send + 'static,
    error: impl FnOnce(&io::Error) + Send + 'static,
) -> (Queue, End) {
    let lost = |lines| format!("lost {lines}\n").into_bytes();
    Queue::to(out, error, lost)
}

impl Queue {
    fn add_text(&self, line: &str) {
        self.add(line.as_bytes().to_vec());
    }

    fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

#[track_caller]
fn until(is_so: impl Fn() -> bool) {
    for _ in 0..30_000 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("timed out");
}

#[test]
fn a_single_line_is_written_at_once_and_queued_lines_together() {
    // A write blocks until the test takes it; lines added meanwhile are queued.
    let (out, reader) = slow(0);
    let (lines, end) = queue(out, |_| {});
    lines.add_text("alone\n");
    assert_eq!(reader.next(), "alone\n");
    lines.add_text("first\n");
    reader.begun();
    reader.begun();
    for line in ["second\n", "third\n", "fourth\n"] {
        lines.add_text(line);
    }
    assert_eq!(reader.next(), "first\n", "must be written alone");
    assert_eq!(reader.next(), "second\nthird\nfourth\n");
    assert_eq!(lines.lost().get(), 0);
    drop((reader, end));
}

#[test]
fn consecutive_lines_share_a_write() {
    let (out, reader) = slow(1000);
    let (lines, end) = queue(out, |_| {});
    let clock = Clock::system();
    let begun = clock.now();
    for _ in 0..500 {
        lines.add_text("line\n");
        thread::yield_now(); // a writer without pauses would have time to take it
    }
    drop(end);
    let rests = clock.now().since(begun).as_millis() / REST.as_millis();
    let writes: Vec<_> = reader.taken.try_iter().collect();
    assert_eq!(writes.concat(), b"line\n".repeat(500));
    // The first write, one after each pause, and one at the end.
    assert!(writes.len() as u128 <= rests + 2, "{rests}");
}

#[test]
fn at_the_end_queued_lines_are_written_and_later_ones_are_lost() {
    let (out, reader) = slow(10);
    let (lines, end) = queue(out, |_| {});
    for _ in 0..1000 {
        lines.add_text("line\n");
    }
    drop(end);
    let all: Vec<u8> = reader.taken.try_iter().flatten().collect();
    assert_eq!(all, b"line\n".repeat(1000));
    lines.add_text("late\n");
    assert_eq!((lines.lost().get(), lines.waiting()), (1, 0));
}

#[test]
fn a_panic_does_not_lose_queued_lines() {
    let (out, reader) = slow(10);
    let unwound = panic::catch_unwind(AssertUnwindSafe(|| {
        let (lines, _end) = queue(out, |_| {});
        lines.add_text("before\n");
        panic::resume_unwind(Box::new(()));
    }));
    assert!(unwound.is_err());
    let all: Vec<u8> = reader.taken.try_iter().flatten().collect();
    assert_eq!(all, b"before\n");
}

#[test]
fn lines_lost_by_a_hanging_reader_are_reported_when_it_continues() {
    let (out, reader) = slow(0);
    let (lines, end) = queue(out, |_| {});
    let line = format!("{}\n", "x".repeat(1023));
    lines.add_text(&line);
    reader.begun();
    // The line that is being written also counts.
    let (fit, more) = (CAPACITY / line.len() - 1, 100);
    for _ in 0..fit + more {
        lines.add_text(&line);
    }
    assert_eq!(lines.lost().get(), more as u64);
    assert_eq!(lines.waiting(), CAPACITY);
    assert_eq!(reader.next(), line);
    assert_eq!(reader.next(), "lost 100\n");
    assert_eq!(reader.next(), line.repeat(fit));
    lines.add_text("again\n");
    assert_eq!(reader.next(), "again\n", "reported once");
    until(|| lines.waiting() == 0);
    drop((reader, end));
}

#[test]
fn a_hanging_reader_does_not_prevent_the_end() {
    let (out, reader) = slow(0);
    let (lines, end) = queue(out, |_| {});
    lines.add_text("one\n");
    reader.begun();
    drop(end); // returns
    drop(reader);
}

#[test]
fn unwritable_lines_are_counted_and_the_next_line_is_tried() {
    let (taken, written) = mpsc::channel();
    let out = Stubborn {
        writes: vec![
            Err(ErrorKind::Interrupted.into()),
            Ok(3),
            Err(ErrorKind::StorageFull.into()),
            Ok(0),
        ],
        flush: || Ok(()),
        taken,
    };
    let (say, said) = mpsc::channel();
    let (lines, end) = queue(out, move |error| say.send(error.kind()).unwrap());
    lines.add_text("1234\n5678\n");
    assert_eq!(next(&written), "123");
    until(|| lines.lost().get() == 2);
    lines.add_text("lost too\n");
    assert_eq!(next(&written), "");
    until(|| lines.lost().get() == 3);
    lines.add_text("there\n");
    assert_eq!(next(&written), "there\n");
    assert_eq!(next(&written), "lost 3\n");
    assert_eq!(lines.lost().get(), 3);
    drop(end);
    // Reported once.
    assert_eq!(said.iter().collect::<Vec<_>>(), [ErrorKind::StorageFull]);
}

#[test]
fn a_flush_error_is_reported_once() {
    let (taken, written) = mpsc::channel();
    let out = Stubborn {
        writes: Vec::new(),
        flush: || Err(ErrorKind::BrokenPipe.into()),
        taken,
    };
    let (say, said) = mpsc::channel();
    let (lines, end) = queue(out, move |error| say.send(error.kind()).unwrap());
    for line in ["one\n", "two\n"] {
        lines.add_text(line);
        assert_eq!(next(&written), line);
    }
    drop(end);
    assert_eq!(said.iter().collect::<Vec<_>>(), [ErrorKind::BrokenPipe]);
}
