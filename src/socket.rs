//! Sockets whose small writes go out together.
//!
//! A write wakes whoever reads at the other end, and to wake somebody costs more than to write. What is written in one turn of
//! a worker's loop is kept until the end of the turn, and then goes out at once: the first write wakes, the others find the
//! reader at work. Nothing waits for more to come, and nothing large is kept.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Bytes that are kept of one socket; what is larger goes out by itself.
const MOST: usize = 4096;
/// Buffers that are kept for the next turn.
const BUFFERS: usize = 64;

/// One worker's writes. All clones are the same.
#[derive(Clone, Default)]
pub struct Batch(Arc<Mutex<Turn>>);

/// What one turn has written so far. One thread uses it and its sockets; so it is no matter that the turn locks itself and then a
/// socket, and whoever writes a socket and then the turn.
#[derive(Default)]
struct Turn {
    sockets: Vec<Arc<Out>>,
    /// Writes it out; at the end of the turn, because it is woken by the first write.
    task: Option<Waker>,
    buffers: Vec<Vec<u8>>,
}

impl Batch {
    /// A socket of this worker's.
    pub fn socket(&self, tcp: TcpStream) -> Socket {
        let (read, write) = tcp.into_split();
        let out = Arc::new(Out {
            write,
            kept: Mutex::default(),
        });
        Socket {
            read,
            out,
            batch: self.clone(),
        }
    }

    /// Writes out what each turn has left, for ever.
    pub async fn run(self) {
        std::future::poll_fn(|cx| {
            self.write_out(cx);
            Poll::<()>::Pending
        })
        .await;
    }

    fn write_out(&self, cx: &Context<'_>) {
        let mut turn = lock(&self.0);
        turn.task = Some(cx.waker().clone());
        let mut sockets = mem::take(&mut turn.sockets);
        for out in sockets.drain(..) {
            let buffer = out.write_out();
            if buffer.capacity() > 0 && turn.buffers.len() < BUFFERS {
                turn.buffers.push(buffer);
            }
        }
        turn.sockets = sockets;
    }

    /// At the end of this turn.
    fn add(&self, out: &Arc<Out>) {
        let mut turn = lock(&self.0);
        turn.sockets.push(Arc::clone(out));
        if let Some(task) = turn.task.take() {
            task.wake();
        }
    }

    fn buffer(&self) -> Vec<u8> {
        lock(&self.0).buffers.pop().unwrap_or_default()
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Batch")
    }
}

/// A TCP connection.
pub struct Socket {
    read: OwnedReadHalf,
    out: Arc<Out>,
    batch: Batch,
}

struct Out {
    write: OwnedWriteHalf,
    kept: Mutex<Kept>,
}

/// What was written to a socket, but not to the kernel.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    /// The turn will write them.
    is_added: bool,
    /// The kernel takes no more: from now on whoever writes waits, as with any socket.
    is_stuck: bool,
    broken: Option<ErrorKind>,
    /// Whoever wrote them.
    owner: Option<Waker>,
}

impl Kept {
    fn check(&self) -> io::Result<()> {
        self.broken.map_or(Ok(()), |broken| Err(broken.into()))
    }

    /// Who is woken for it: always whoever asked last.
    fn belongs_to(&mut self, task: &Waker) {
        match &mut self.owner {
            Some(owner) => owner.clone_from(task),
            none => *none = Some(task.clone()),
        }
    }
}

impl Out {
    /// At the end of a turn. Returns the buffer when there is nothing left in it.
    fn write_out(&self) -> Vec<u8> {
        let kept = &mut *lock(&self.kept);
        kept.is_added = false;
        if kept.is_stuck {
            return Vec::new();
        }
        if kept.bytes.is_empty() {
            return mem::take(&mut kept.bytes);
        }
        match self.write.try_write(&kept.bytes) {
            Ok(written) if written == kept.bytes.len() => {
                kept.bytes.clear();
                return mem::take(&mut kept.bytes);
            }
            Ok(written) => drop(kept.bytes.drain(..written)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => {
                kept.broken = Some(error.kind());
                kept.bytes = Vec::new();
            }
        }
        kept.is_stuck = kept.broken.is_none();
        if let Some(owner) = &kept.owner {
            let waits = kept.is_stuck
                && self
                    .write
                    .as_ref()
                    .poll_write_ready(&mut Context::from_waker(owner))
                    .is_pending();
            if !waits {
                owner.wake_by_ref();
            }
        }
        Vec::new()
    }

    /// Writes what is kept, waiting for the kernel to take it.
    fn poll_out(&self, kept: &mut Kept, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        kept.check()?;
        if !kept.bytes.is_empty() {
            kept.belongs_to(cx.waker());
        }
        while !kept.bytes.is_empty() {
            let written = ready!(self.poll_try(cx, |write| write.try_write(&kept.bytes)))?;
            kept.bytes.drain(..written);
        }
        kept.is_stuck = false;
        Poll::Ready(Ok(()))
    }

    /// One write to the kernel, which waits until it takes something.
    fn poll_try(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&OwnedWriteHalf) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.write.as_ref().poll_write_ready(cx))?;
            match write(&self.write) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl Socket {
    /// Keeps `length` bytes if that is not too much; else writes them by itself.
    fn poll_write_or_keep<'b>(
        &self,
        cx: &mut Context<'_>,
        length: usize,
        pieces: impl Iterator<Item = &'b [u8]>,
        write: impl Fn(&OwnedWriteHalf) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let kept = &mut *lock(&self.out.kept);
        kept.check()?;
        if kept.is_stuck || kept.bytes.len() + length > MOST {
            ready!(self.out.poll_out(kept, cx))?;
            return self.out.poll_try(cx, write);
        }
        if kept.bytes.capacity() == 0 {
            kept.bytes = self.batch.buffer();
        }
        pieces.for_each(|piece| kept.bytes.extend_from_slice(piece));
        kept.belongs_to(cx.waker());
        if !mem::replace(&mut kept.is_added, true) {
            self.batch.add(&self.out);
        }
        Poll::Ready(Ok(length))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let pieces = [buf].into_iter();
        self.poll_write_or_keep(cx, buf.len(), pieces, |write| write.try_write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = bufs.iter().map(|buf| buf.len()).sum();
        let pieces = bufs.iter().map(|buf| &**buf);
        self.poll_write_or_keep(cx, length, pieces, |write| write.try_write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What is kept goes out with this turn; only a socket that is stuck has to be waited for.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let kept = &mut *lock(&self.out.kept);
        if kept.is_stuck {
            return self.out.poll_out(kept, cx);
        }
        Poll::Ready(kept.check())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.out.poll_out(&mut lock(&self.out.kept), cx))?;
        Poll::Ready(SockRef::from(self.out.write.as_ref()).shutdown(std::net::Shutdown::Write))
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Socket")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
