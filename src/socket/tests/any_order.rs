//! Writes, flushes and turns in any order.

use std::io::IoSlice;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    Vectored(Vec<usize>),
    Flush,
    Turn,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = prop_oneof![4 => 0..600_usize, 2 => 600..5000_usize, 1 => 5000..20_000_usize];
    let step = prop_oneof![
        4 => size.clone().prop_map(Step::Write),
        4 => prop::collection::vec(size, 0..5).prop_map(Step::Vectored),
        1 => Just(Step::Flush),
        2 => Just(Step::Turn),
    ];
    prop::collection::vec(step, 0..60)
}

/// Writes all content, step by step.
async fn write(mut socket: Socket, steps: &[Step], content: &[u8], by_shutdown: bool) {
    let mut rest = content;
    for step in steps {
        match step {
            Step::Flush => socket.flush().await.unwrap(),
            Step::Turn => yield_now().await,
            Step::Write(length) => {
                let (now, later) = rest.split_at(*length);
                socket.write_all(now).await.unwrap();
                rest = later;
            }
            Step::Vectored(lengths) => {
                let mut slices = Vec::new();
                for length in lengths {
                    let (now, later) = rest.split_at(*length);
                    slices.push(IoSlice::new(now));
                    rest = later;
                }
                let mut slices = slices.as_mut_slice();
                while slices.iter().any(|slice| !slice.is_empty()) {
                    let written = socket.write_vectored(slices).await.unwrap();
                    IoSlice::advance_slices(&mut slices, written);
                }
            }
        }
    }
    if by_shutdown {
        socket.shutdown().await.unwrap();
    } else {
        // Unflushed bytes of a stuck socket are lost on drop.
        yield_now().await;
        socket.flush().await.unwrap();
    }
}

/// Reads everything, in pieces of some size, with some turns between them.
async fn read(mut peer: TcpStream, habits: Vec<(usize, u8)>) -> Vec<u8> {
    let mut came = Vec::new();
    for (size, pauses) in habits.into_iter().cycle() {
        for _ in 0..pauses {
            yield_now().await;
        }
        let mut piece = vec![0; size];
        match peer.read(&mut piece).await.unwrap() {
            0 => break,
            length => came.extend_from_slice(&piece[..length]),
        }
    }
    came
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn all_written_bytes_arrive_unchanged(
        steps in steps(),
        habits in prop::collection::vec((1000..30_000_usize, 0..20_u8), 1..5),
        by_shutdown: bool,
    ) {
        let sizes = steps.iter().map(|step| match step {
            Step::Write(length) => *length,
            Step::Vectored(lengths) => lengths.iter().sum(),
            Step::Flush | Step::Turn => 0,
        });
        let content = bytes(sizes.sum());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let came = runtime.block_on(async {
            let batch = Batch::default();
            let tasks = TaskTracker::new();
            tasks.spawn(batch.clone().run());
            let (ours, peer) = connection().await;
            let reader = tasks.spawn(read(peer, habits));
            let writes = write(batch.socket(ours), &steps, &content, by_shutdown);
            timeout(PATIENCE, writes).await.expect("everything must be written");
            timeout(PATIENCE, reader).await.expect("everything must be read").unwrap()
        });
        prop_assert!(came == content, "{} bytes of {} came", came.len(), content.len());
    }
}
