//! Sockets whose small writes go out together.
//!
//! A write wakes whoever reads at the other end, and to wake somebody costs more than to write. What is written in one turn of
//! a worker's loop is kept until the end of the turn, and then goes out at once: the first write wakes, the others find the
//! reader at work. Nothing waits for more to come, and nothing large is kept.
//!
//! The states of a socket's writing side are those of `Kept`. What it relies on, each with a test of that number in
//! `socket/habits.rs`, which fails when tokio or the system changes it:
//!
//! 1. A task of tokio's `current_thread` runtime that is woken in the middle of a turn has its own turn after all tasks that were
//!    ready before: that is the end of the turn.
//! 2. `try_write` writes what the kernel has room for and says how much. Where there is no room it says `WouldBlock`; then
//!    `poll_write_ready` is pending until there is room again, and wakes its waker then.
//! 3. The two halves of a socket have a waker each: who waits for room does not keep the other from being woken for bytes.
//! 4. Of several wakers that wait for room, the last one is woken.
//! 5. A connection that is reset is no longer waited for: `poll_write_ready` is ready, and the write is the error.
//! 6. `shutdown(Write)` and the drop of the writing half send the end after all that the kernel has taken; the other direction
//!    stays open.

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

/// Bytes that are kept of one socket; what is larger goes out by itself.
const MOST: usize = 4096;
/// Buffers that are kept for the next turn.
const BUFFERS: usize = 64;

/// What the connections of one worker share: the rounds that end waits that are too long, and what is written at the end of a turn.
#[derive(Debug, Clone)]
pub(crate) struct WorkerLoop {
    /// To be joined by what waits.
    pub rounds: Rounds,
    /// Makes the sockets.
    pub batch: Batch,
}

/// One worker's writes. All clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Batch(Arc<Mutex<Turn>>);

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

    /// Writes out what each turn has left, for ever.
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
    /// Who wrote or waited last: woken when what is kept has not gone out, and when it can.
    writer: Waker,
}

/// What was written to a socket, but not to the kernel.
enum Kept {
    /// Nothing. A small write leads to `UntilTurn`; a large one goes to the kernel by itself.
    Nothing,
    /// The batch has the socket in its list, and writes this out at the end of the turn. (A large write takes it along, and leaves
    /// no bytes.) It leads to `Nothing`, to `Stuck` where the kernel does not take all, and to `Broken`.
    UntilTurn(Vec<u8>),
    /// The kernel takes no more, and these bytes are left: from now on who writes waits, as with any socket, until they are out.
    /// That leads to `Nothing`.
    Stuck(Vec<u8>),
    /// The connection broke at the end of a turn: the error of all that is done with it. It stays so.
    Broken(ErrorKind),
}

impl Kept {
    fn check(&self) -> io::Result<()> {
        match self {
            Self::Nothing | Self::UntilTurn(_) | Self::Stuck(_) => Ok(()),
            Self::Broken(kind) => Err((*kind).into()),
        }
    }

    /// At the end of a turn. Returns the state after it, and the buffer when there is nothing left in it.
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
    /// At the end of a turn. Returns the buffer when there is nothing left in it.
    fn write_out(&self) -> Vec<u8> {
        let Pending { kept, writer } = &mut *lock(&self.pending);
        let (after, buffer) = mem::replace(kept, Kept::Nothing).written_by(&self.write);
        *kept = after;
        let is_told = match kept {
            Kept::Nothing | Kept::UntilTurn(_) => false,
            Kept::Broken(_) => true,
            // Else it is told when there is room.
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

    /// Writes what is kept, waiting for the kernel to take it.
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

    /// What is kept goes out with this turn; only a socket that is stuck has to be waited for.
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

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Socket")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod habits;
#[cfg(test)]
mod tests;
