//! Tests of the behaviour of tokio and the system that `socket.rs` relies on, numbered as in its documentation.

use std::net::Shutdown;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio_util::task::TaskTracker;

use super::tests::{PATIENCE, Woken, connection};
use super::*;

/// Polls for room, and otherwise registers `waker`.
fn room(write: &OwnedWriteHalf, waker: &Arc<Woken>) -> Poll<io::Result<()>> {
    let waker = Waker::from(Arc::clone(waker));
    write
        .as_ref()
        .poll_write_ready(&mut Context::from_waker(&waker))
}

/// Writes until there is no room, and registers `waker`. Returns the number of bytes.
fn fill(write: &OwnedWriteHalf, waker: &Arc<Woken>) -> usize {
    let piece = [b'x'; 1024];
    let mut written = 0;
    loop {
        match write.try_write(&piece) {
            Ok(length) => written += length,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                if room(write, waker).is_pending() {
                    return written;
                }
            }
        }
    }
}

async fn take(peer: &mut TcpStream, length: usize) {
    let mut taken = vec![0; length];
    peer.read_exact(&mut taken).await.unwrap();
}

#[tokio::test]
async fn habit_1_a_woken_task_runs_after_those_that_were_ready() {
    let (order, bell) = (Arc::<Mutex<Vec<&str>>>::default(), Arc::<Notify>::default());
    let tasks = TaskTracker::new();
    let woken = (Arc::clone(&order), Arc::clone(&bell));
    tasks.spawn(async move {
        woken.1.notified().await;
        lock(&woken.0).push("woken");
    });
    yield_now().await;
    for name in ["first", "second", "third"] {
        let (order, bell) = (Arc::clone(&order), Arc::clone(&bell));
        tasks.spawn(async move {
            bell.notify_one();
            lock(&order).push(name);
        });
    }
    tasks.close();
    tasks.wait().await;
    assert_eq!(*lock(&order), ["first", "second", "third", "woken"]);
}

#[tokio::test]
async fn habit_2_a_write_without_room_returns_would_block_and_room_wakes() {
    let (ours, mut peer) = connection().await;
    let (_read, write) = ours.into_split();
    let woken = Arc::<Woken>::default();
    let written = fill(&write, &woken);
    assert!(written > 0);
    take(&mut peer, written).await;
    woken.wait().await;
    assert!(room(&write, &woken).is_ready());
    assert_eq!(write.try_write(b"more").unwrap(), 4);
    take(&mut peer, 4).await;
}

#[tokio::test]
async fn habit_3_reader_and_writer_are_woken_separately() {
    let (ours, mut peer) = connection().await;
    let (mut read, write) = ours.into_split();
    let (reader, writer) = (Arc::<Woken>::default(), Arc::<Woken>::default());
    let written = fill(&write, &writer);
    let waker = Waker::from(Arc::clone(&reader));
    let cx = &mut Context::from_waker(&waker);
    let mut piece = [0; 8];
    let mut piece = ReadBuf::new(&mut piece);
    assert!(Pin::new(&mut read).poll_read(cx, &mut piece).is_pending());
    peer.write_all(b"bytes").await.unwrap();
    reader.wait().await;
    take(&mut peer, written).await;
    writer.wait().await;
}

#[tokio::test]
async fn habit_4_the_last_waker_that_waits_for_room_is_woken() {
    let (ours, mut peer) = connection().await;
    let (_read, write) = ours.into_split();
    let (first, last) = (Arc::<Woken>::default(), Arc::<Woken>::default());
    let written = fill(&write, &first) + fill(&write, &last);
    take(&mut peer, written).await;
    last.wait().await;
}

#[tokio::test]
async fn habit_5_a_reset_connection_is_ready_and_the_write_fails() {
    let (ours, peer) = connection().await;
    let (_read, write) = ours.into_split();
    let woken = Arc::<Woken>::default();
    fill(&write, &woken);
    SockRef::from(&peer)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
    drop(peer);
    woken.wait().await;
    assert!(room(&write, &woken).is_ready());
    let error = write.try_write(b"lost").unwrap_err();
    assert_ne!(error.kind(), ErrorKind::WouldBlock);
}

#[tokio::test]
async fn habit_6_the_end_follows_all_accepted_bytes_and_the_other_direction_stays_open() {
    for by_drop in [false, true] {
        let (ours, mut peer) = connection().await;
        let (mut read, write) = ours.into_split();
        let written = fill(&write, &Arc::default());
        if by_drop {
            drop(write);
        } else {
            SockRef::from(write.as_ref())
                .shutdown(Shutdown::Write)
                .unwrap();
        }
        let mut came = Vec::new();
        let reads = tokio::time::timeout(PATIENCE, peer.read_to_end(&mut came));
        reads.await.unwrap().unwrap();
        assert_eq!(came.len(), written);
        peer.write_all(b"back").await.unwrap();
        let mut back = [0; 4];
        read.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"back");
    }
}
