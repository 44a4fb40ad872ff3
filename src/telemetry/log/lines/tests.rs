use super::*;
use crate::clock::Clock;
use std::sync::mpsc::{Sender, SyncSender, sync_channel};

/// Gives each write to the test, which may take its time.
struct Slow(SyncSender<Vec<u8>>);

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.send(bytes.to_vec());
        sent.map_err(|_| io::Error::from(ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Fails as told before it takes what comes.
struct Stubborn(Vec<io::Result<usize>>, Sender<Vec<u8>>);

impl Write for Stubborn {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = if self.0.is_empty() {
            bytes.len()
        } else {
            self.0.remove(0)?
        };
        self.1.send(bytes[..taken].to_vec()).unwrap();
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(ErrorKind::BrokenPipe.into())
    }
}

/// The next write.
fn next(written: &Receiver<Vec<u8>>) -> String {
    let received = written.recv_timeout(Duration::from_secs(30));
    String::from_utf8(received.expect("lines")).unwrap()
}

/// Waits for the thread.
#[track_caller]
fn until(is_so: impl Fn() -> bool) {
    for _ in 0..30_000 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("it takes too long");
}

/// Waits until the thread has taken what there was.
#[track_caller]
fn until_taken(lines: &Lines) {
    until(|| lines.lock().bytes.is_empty());
}

#[test]
fn a_line_alone_is_written_at_once_and_lines_in_a_row_together() {
    // A write ends when the test takes it: what is added until then waits together.
    let (sender, written) = sync_channel(0);
    let (lines, end) = Lines::to(Slow(sender), |_| {});
    lines.add(b"alone\n");
    assert_eq!(next(&written), "alone\n");
    lines.add(b"first\n");
    until_taken(&lines);
    for line in ["second\n", "third\n", "fourth\n"] {
        lines.add(line.as_bytes());
    }
    assert_eq!(next(&written), "first\n", "without a second one");
    assert_eq!(next(&written), "second\nthird\nfourth\n");
    assert_eq!(lines.dropped().get(), 0);
    drop((written, end));
}

#[test]
fn lines_that_come_one_after_the_other_share_a_write() {
    let (sender, written) = sync_channel(1000);
    let (lines, end) = Lines::to(Slow(sender), |_| {});
    let clock = Clock::system();
    let begun = clock.now();
    for _ in 0..500 {
        lines.add(b"line\n");
        thread::yield_now(); // time enough to take it, for who does not rest
    }
    drop(end);
    let rests = clock.now().since(begun).as_millis() / REST.as_millis();
    let writes: Vec<_> = written.try_iter().collect();
    assert_eq!(writes.concat(), b"line\n".repeat(500));
    // The first one, one after each rest, and the one at the end.
    assert!(writes.len() as u128 <= rests + 2, "{rests}");
}

#[test]
fn at_the_end_everything_is_written_and_nothing_more_is_taken() {
    let (sender, written) = sync_channel(10);
    let (lines, end) = Lines::to(Slow(sender), |_| {});
    for _ in 0..1000 {
        lines.add(b"line\n");
    }
    drop(end);
    let all: Vec<u8> = written.try_iter().flatten().collect();
    assert_eq!(all, b"line\n".repeat(1000));
    lines.add(b"late\n");
    assert_eq!(lines.dropped().get(), 1);
    assert!(lines.lock().bytes.is_empty());
}

#[test]
fn a_reader_that_hangs_costs_lines_and_neither_memory_nor_the_end() {
    let (sender, written) = sync_channel(0);
    let (lines, end) = Lines::to(Slow(sender), |_| {});
    let line = [b"x".repeat(1023), vec![b'\n']].concat();
    let (fit, more) = (CAPACITY / line.len(), 100);
    lines.add(&line);
    until_taken(&lines);
    for _ in 0..fit + more {
        lines.add(&line);
    }
    assert_eq!(lines.dropped().get(), more as u64);
    assert_eq!(lines.lock().bytes.len(), CAPACITY);
    drop(end); // comes back
    drop(written);
}

#[test]
fn what_cannot_be_written_is_counted_and_the_next_line_is_tried() {
    let (sender, written) = mpsc::channel();
    let errors = vec![
        Err(ErrorKind::Interrupted.into()),
        Ok(3),
        Err(ErrorKind::StorageFull.into()),
        Ok(0),
    ];
    let (say, said) = mpsc::channel();
    let told = move |error: &io::Error| say.send(error.kind()).unwrap();
    let (lines, end) = Lines::to(Stubborn(errors, sender), told);
    lines.add(b"1234\n5678\n");
    assert_eq!(next(&written), "123");
    until(|| lines.dropped().get() == 2);
    lines.add(b"lost too\n");
    assert_eq!(next(&written), "");
    until(|| lines.dropped().get() == 3);
    lines.add(b"there\n");
    assert_eq!(next(&written), "there\n");
    assert_eq!(lines.dropped().get(), 3);
    drop(end);
    // Once.
    assert_eq!(said.iter().collect::<Vec<_>>(), [ErrorKind::StorageFull]);
}

#[test]
fn a_burst_does_not_keep_its_memory() {
    let (lines, end) = Lines::to(io::sink(), |_| {});
    for _ in 0..3 {
        lines.add(&b"line\n".repeat(KEPT));
        until(|| lines.lock().asleep);
    }
    assert!(lines.lock().bytes.capacity() <= KEPT);
    drop(end);
}
