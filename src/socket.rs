//! Sockets whose small writes are sent together.
//!
//! A write wakes the reader at the other end, and the wake-up costs more than the write. So bytes written during one
//! turn of a worker's loop are kept and sent together at the end of the turn: the first write wakes the reader, and the
//! others find it running. Nothing waits for later writes, and large writes are not kept.
//!
//! The states of a socket's writing side are those of `Kept`. It relies on the following behaviour of tokio and the
//! system. For each item, `socket/habits.rs` has a test with its number, which fails if the behaviour changes:
//!
//! 1. In tokio's `current_thread` runtime, a task that is woken during a turn runs after all tasks that were ready
//!    before: that is the end of the turn.
//! 2. `try_write` writes as much as the kernel accepts and returns the number of bytes. If the kernel has no room it
//!    returns `WouldBlock`; then `poll_write_ready` is pending until there is room, and then wakes its waker.
//! 3. The two halves of a socket have separate wakers: a task that waits for room does not prevent the wake-up of one
//!    that waits for bytes.
//! 4. If several wakers wait for room, the last one is woken.
//! 5. After a connection reset, `poll_write_ready` is ready and the write returns the error.
//! 6. `shutdown(Write)` and the drop of the writing half send the end after all bytes that the kernel has accepted; the
//!    other direction stays open.

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

use crate::clock::rounds::Rounds;

/// The maximum number of bytes kept for one socket; more is written directly.
const MOST: usize = 4096;
/// The maximum number of buffers kept for the next turn.
const BUFFERS: usize = 64;

/// Shared by all connections of one worker: the rounds that enforce time limits, and the writes at the end of a turn.
#[derive(Debug, Clone)]
pub(crate) struct WorkerLoop {
    /// Joined by everything that has a time limit.
    pub rounds: Rounds,
    pub batch: Batch,
}

/// The kept writes of one worker. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Batch(Arc<Mutex<Turn>>);

/// The sockets written to in the current turn. A batch and its sockets are used by one thread only, so the lock order
/// does not matter: the end of a turn locks the batch and then a socket, a write the other way round.
#[derive(Default)]
struct Turn {
    sockets: Vec<Arc<Out>>,
    /// The task that sends the kept bytes; woken by the first write, so it runs at the end of the turn.
    task: Option<Waker>,
    buffers: Vec<Vec<u8>>,
}

impl Batch {
    pub(crate) fn socket(&self, tcp: TcpStream) -> Socket {
        let (read, write) = tcp.into_split();
        let out = Arc::new(Out {
            write,
            pending: Mutex::new(Pending {
                kept: Kept::Nothing,
                writer: Waker::noop().clone(),
            }),
        });
        Socket {
            read,
            out,
            batch: self.clone(),
        }
    }

    /// Sends the kept bytes at the end of each turn; never returns.
    pub(crate) async fn run(self) {
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

    /// Registers a socket for the end of this turn.
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

pub(crate) struct Socket {
    read: OwnedReadHalf,
    out: Arc<Out>,
    batch: Batch,
}

struct Out {
    write: OwnedWriteHalf,
    pending: Mutex<Pending>,
}

struct Pending {
    kept: Kept,
    /// The task that wrote or waited last: woken if kept bytes could not be sent, and when they can be.
    writer: Waker,
}

/// Bytes that were written to the socket but not yet to the kernel.
enum Kept {
    /// None. A small write changes this to `UntilTurn`; a large one is written directly.
    Nothing,
    /// The socket is registered with the batch, which sends these bytes at the end of the turn. (A large write sends
    /// them first and leaves none.) Then the state is `Nothing`, or `Stuck` if the kernel does not accept all, or
    /// `Broken`.
    UntilTurn(Vec<u8>),
    /// The kernel accepts no more, and these bytes remain: further writes wait, as with any socket, until they are
    /// sent. Then the state is `Nothing`.
    Stuck(Vec<u8>),
    /// The connection broke at the end of a turn. All further operations return this error.
    Broken(ErrorKind),
}

impl Kept {
    fn check(&self) -> io::Result<()> {
        match self {
            Self::Nothing | Self::UntilTurn(_) | Self::Stuck(_) => Ok(()),
            Self::Broken(kind) => Err((*kind).into()),
        }
    }

    /// Sends the bytes at the end of a turn. Returns the next state, and the buffer if it is empty.
    fn written_by(self, write: &OwnedWriteHalf) -> (Self, Vec<u8>) {
        let mut bytes = match self {
            Self::UntilTurn(bytes) => bytes,
            Self::Nothing | Self::Stuck(_) | Self::Broken(_) => return (self, Vec::new()),
        };
        if bytes.is_empty() {
            return (Self::Nothing, bytes);
        }
        match write.try_write(&bytes) {
            Ok(written) if written == bytes.len() => {
                bytes.clear();
                return (Self::Nothing, bytes);
            }
            Ok(written) => drop(bytes.drain(..written)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return (Self::Broken(error.kind()), Vec::new()),
        }
        (Self::Stuck(bytes), Vec::new())
    }
}

impl Out {
    /// Sends the bytes at the end of a turn. Returns the buffer if it is empty.
    fn write_out(&self) -> Vec<u8> {
        let Pending { kept, writer } = &mut *lock(&self.pending);
        let (after, buffer) = mem::replace(kept, Kept::Nothing).written_by(&self.write);
        *kept = after;
        let is_told = match kept {
            Kept::Nothing | Kept::UntilTurn(_) => false,
            Kept::Broken(_) => true,
            // If it is not ready, the poll registers the writer's waker.
            Kept::Stuck(_) => self
                .write
                .as_ref()
                .poll_write_ready(&mut Context::from_waker(writer))
                .is_ready(),
        };
        if is_told {
            writer.wake_by_ref();
        }
        buffer
    }

    /// Sends the kept bytes, and waits until the kernel accepts them.
    fn poll_out(&self, pending: &mut Pending, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Pending { kept, writer } = pending;
        kept.check()?;
        if let Kept::UntilTurn(bytes) | Kept::Stuck(bytes) = kept {
            if !bytes.is_empty() {
                writer.clone_from(cx.waker());
            }
            while !bytes.is_empty() {
                let written = ready!(self.poll_try(cx, |write| write.try_write(bytes)))?;
                bytes.drain(..written);
            }
        }
        if let Kept::Stuck(_) = kept {
            *kept = Kept::Nothing;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes to the kernel, and waits until it accepts something.
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
    /// Keeps the bytes if they are few enough; otherwise writes them directly.
    fn poll_write_or_keep<'b>(
        &self,
        cx: &mut Context<'_>,
        length: usize,
        pieces: impl Iterator<Item = &'b [u8]>,
        write: impl Fn(&OwnedWriteHalf) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let pending = &mut *lock(&self.out.pending);
        pending.kept.check()?;
        let is_added = match &mut pending.kept {
            Kept::Nothing if length <= MOST => {
                pending.kept = Kept::UntilTurn(self.batch.buffer());
                false
            }
            Kept::UntilTurn(bytes) if bytes.len() + length <= MOST => true,
            Kept::Nothing | Kept::UntilTurn(_) | Kept::Stuck(_) | Kept::Broken(_) => {
                ready!(self.out.poll_out(pending, cx))?;
                return self.out.poll_try(cx, write);
            }
        };
        if let Kept::UntilTurn(bytes) = &mut pending.kept {
            pieces.for_each(|piece| bytes.extend_from_slice(piece));
        }
        pending.writer.clone_from(cx.waker());
        if !is_added {
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

    /// Kept bytes are sent at the end of the turn in any case, so only a stuck socket has to wait.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let pending = &mut *lock(&self.out.pending);
        match &pending.kept {
            Kept::Stuck(_) => self.out.poll_out(pending, cx),
            Kept::Nothing | Kept::UntilTurn(_) | Kept::Broken(_) => {
                Poll::Ready(pending.kept.check())
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.out.poll_out(&mut lock(&self.out.pending), cx))?;
        Poll::Ready(SockRef::from(self.out.write.as_ref()).shutdown(std::net::Shutdown::Write))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod habits;
#[cfg(test)]
mod tests;
