//! Cost of the memory store.
//!
//! ```text
//! cargo bench --bench store               time per login, with 1,000 and 1,000,000 pending authorizations
//! cargo bench --bench store -- memory     bytes per record, what a full store refuses, the longest batch of a sweep
//! cargo bench --bench store -- logins N   that many logins and nothing else, to be counted in instructions
//! ```
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a bench reports rounded numbers, and stops at the first surprise"
)]

use std::hint::black_box;
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput};
use pkce_gate::parts::{
    Application, AuthorizationCode, Bound, ClientId, ClientState, Clock, CodeChallenge, Digest,
    HandleKey, Held, Issued, Key, ManualClock, MemoryStore, Pending, PendingAuthorization, Place,
    Presented, Redeemed, RedirectUri, Settings, Settlement, StoreError,
};

const MILLION: usize = 1_000_000;

/// A new code of 43 characters, as long as 32 bytes in base64url.
fn code(length: usize) -> AuthorizationCode {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let mut text = *b"SplxlOBeZQQYbYS6WxSbIAdBjftJeZ4CVPmB92K27uh";
    let mut number = NUMBER.fetch_add(1, Ordering::Relaxed);
    for digit in text.iter_mut().take(10) {
        *digit = b'a' + (number % 16) as u8;
        number /= 16;
    }
    AuthorizationCode::new(std::str::from_utf8(&text[..length]).unwrap()).unwrap()
}

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    let after = |name| {
        let at = arguments.iter().position(|argument| argument == name)?;
        Some(arguments.get(at + 1).map_or("", String::as_str))
    };
    if let Some(part) = after("memory") {
        memory(part);
    } else if let Some(number) = after("logins") {
        steady(number.parse().unwrap());
    } else {
        let mut criterion = Criterion::default().configure_from_args();
        time(&mut criterion);
        criterion.final_summary();
    }
}

fn request(client: &str) -> PendingAuthorization {
    PendingAuthorization {
        own: None,
        application: Application {
            client: ClientId::new(client).digest(),
            redirect: Some(RedirectUri::new("https://app.example/callback").digest()),
            response_type: Some("code".into()),
            response_mode: None,
            pushed: None,
        }
        .into(),
        challenge: Some(CodeChallenge::S256([7; 32])),
        state: ClientState::value("0123456789abcdef".repeat(4)),
        browser: None,
    }
}

/// Sign-ins of this many clients, with one redirect URI each.
fn requests(clients: usize) -> Vec<PendingAuthorization> {
    (0..clients)
        .map(|number| request(&format!("client {number}")))
        .collect()
}

fn store(settings: &Settings) -> (MemoryStore, ManualClock) {
    let (clock, manual) = Clock::manual();
    (
        MemoryStore::new(settings, HandleKey::for_upstream("bench"), clock),
        manual,
    )
}

fn hold(store: &MemoryStore, pending: &PendingAuthorization) -> Digest {
    match store.hold(Place::Handle, pending, None) {
        Ok(Held::Handle(handle)) => handle.digest(),
        other => unreachable!("{other:?}"),
    }
}

fn redeem(store: &MemoryStore, bound: &Key) -> bool {
    match store.redeem(bound, |_| Presented::Matches) {
        Redeemed::Claimed(claim) => {
            store.settle(claim, Settlement::Burn);
            true
        }
        // A thread that did not run while the other one advanced the clock.
        Redeemed::Expired(_) | Redeemed::Unknown(_) => false,
        Redeemed::AlreadyRedeemed(_) | Redeemed::Burnt(_) | Redeemed::Mismatch(_) => unreachable!(),
    }
}

/// One sign-in, from its first request to its token.
fn login(store: &MemoryStore, pending: &PendingAuthorization) {
    let held = hold(store, pending);
    let bound = store.bind(held, Issued::Handle, code(43));
    if let Ok(Bound::Handle(handle)) = bound {
        redeem(store, &handle.into());
    }
}

/// The clock advances by a second with each operation, and the lifetime in seconds equals the number of records. So each
/// operation meets a store of that size, in which as many records expire as are added.
const STEP: Duration = Duration::from_secs(1);

fn steady(records: u32) -> (MemoryStore, ManualClock) {
    let (store, clock) = store(&Settings {
        pending: STEP * records,
        code: STEP * records / 3,
        capacity: usize::MAX,
        ..Settings::default()
    });
    for request in requests(100).iter().cycle().take(records as usize) {
        login(&store, request);
        clock.advance(STEP);
    }
    (store, clock)
}

fn time(criterion: &mut Criterion) {
    let requests = requests(100);
    for records in [1_000, 1_000_000] {
        let (store, clock) = steady(records);
        let mut group = criterion.benchmark_group(format!("{records} pending"));
        group.throughput(Throughput::Elements(1));
        group.sampling_mode(SamplingMode::Flat);
        for threads in [1, 2] {
            group.bench_function(format!("hold and read, threads: {threads}"), |bencher| {
                bencher.iter_custom(|times| {
                    on(threads, times, |number| {
                        let held = hold(&store, &requests[number % requests.len()]);
                        black_box(store.pending(held));
                        clock.advance(STEP);
                    })
                });
            });
            group.bench_function(
                format!("hold, bind, redeem, settle, threads: {threads}"),
                |bencher| {
                    bencher.iter_custom(|times| {
                        on(threads, times, |number| {
                            login(&store, &requests[number % requests.len()]);
                            clock.advance(STEP);
                        })
                    });
                },
            );
        }
        group.finish();
        println!("{:?}", store.statistics());
    }
}

/// The average processor time of `times` operations on each thread. On a shared machine real time depends on the other
/// processes.
fn on(threads: u32, times: u64, work: impl Fn(usize) + Sync) -> Duration {
    let barrier = Barrier::new(threads as usize);
    let one = || {
        barrier.wait();
        let before = processor_time();
        (0..times).for_each(|time| work(time as usize));
        processor_time().saturating_sub(before)
    };
    let all: Duration = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    all / threads
}

/// The processor time of this thread, to a few milliseconds.
fn processor_time() -> Duration {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(times.split(' ').next().unwrap().parse().unwrap())
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn measure<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// Each part runs in a separate process, so that none reuses memory that another one has left.
fn memory(part: &str) {
    const PARTS: [&str; 6] = [
        "full",
        "churn",
        "codes 32",
        "codes 43",
        "clients 1000",
        "clients 1000000",
    ];
    match part.split_once(' ').unwrap_or((part, "")) {
        ("full", _) => full(),
        ("churn", _) => churn(),
        ("codes", length) => codes(length.parse().unwrap()),
        ("clients", clients) => fill(clients.parse().unwrap()),
        _ => {
            println!("S256, client state of 64 bytes, 100 clients unless it says otherwise");
            for part in PARTS {
                let program = std::env::current_exe().unwrap();
                assert!(
                    Command::new(program)
                        .args(["memory", part])
                        .status()
                        .unwrap()
                        .success()
                );
            }
        }
    }
}

/// Fills a store, tries to add more, and lets everything expire.
fn full() {
    let settings = Settings::default();
    let (store, clock) = store(&settings.clone());
    let requests = requests(100);
    let mut keys = vec![Digest::from_bytes([1; 16]); MILLION];
    let before = Memory::now(&store);
    for (key, request) in keys.iter_mut().zip(requests.iter().cycle()) {
        *key = hold(&store, request);
    }
    before.report("pending authorization", &store, MILLION);

    let surplus = MILLION / 4;
    let (refused, taken) = measure(|| {
        let more = requests.iter().cycle().take(surplus);
        more.filter(|request| {
            matches!(
                store.hold(Place::Handle, request, None),
                Err(StoreError::NoRoom(..))
            )
        })
        .count()
    });
    println!(
        "  {surplus} more: {refused} refused, in {:?} each",
        taken / surplus as u32
    );
    assert_eq!(
        (refused, store.statistics().refused),
        (surplus, surplus as u64)
    );
    let is_alive = |key: &&Digest| matches!(store.pending(**key), Pending::Live(_));
    let alive = keys.iter().filter(is_alive).count();
    println!("  alive afterwards: {alive}");
    assert_eq!(alive, MILLION);

    expire(&store, &clock, settings.pending);
    before.report_left(&store);
}

/// A store that has been near its capacity for some time.
fn churn() {
    let (store, clock) = store(&Settings {
        pending: STEP * 999_900,
        ..Settings::default()
    });
    let before = Memory::now(&store);
    for request in requests(100).iter().cycle().take(4 * MILLION) {
        hold(&store, request);
        clock.advance(STEP);
    }
    let records = store.statistics().pending;
    before.report(
        "the same, after three million have come and gone",
        &store,
        records,
    );
    println!("  of them {} above the number alive", records - 999_900);
}

fn codes(length: usize) {
    let settings = Settings {
        per_client: 1.0,
        ..Settings::default()
    };
    let (store, clock) = store(&settings.clone());
    let requests = requests(100);
    let held: Vec<_> = (0..MILLION / 5)
        .map(|number| hold(&store, &requests[number % 100]))
        .collect();
    let mut keys = vec![Digest::from_bytes([1; 16]); MILLION];
    let sign_ins = store.statistics().bytes;
    let before = Memory::now(&store);
    for (number, key) in keys.iter_mut().enumerate() {
        let code = code(length);
        *key = code.digest();
        let bound = store.bind(held[number / 5], Issued::Raw, code);
        assert_eq!(bound, Ok(Bound::Raw));
    }
    before.report(&format!("bound code of {length} bytes"), &store, MILLION);
    assert!(keys.into_iter().all(|key| redeem(&store, &key.into())));
    assert_eq!(store.statistics().tombstones, MILLION);
    println!("  all of them redeemed, so that only tombstones are left");
    clock.advance(settings.code + Duration::from_mins(1));
    store.sweep();
    while store.statistics().tombstones > 0 {
        store.sweep();
    }
    let traces = (store.statistics().bytes - sign_ins) / MILLION;
    println!("  expired, so that only traces are left: {traces} bytes counted for each");
    expire(&store, &clock, settings.pending + settings.code);
    before.report_left(&store);
}

fn fill(clients: usize) {
    let (store, _clock) = store(&Settings::default());
    let mut client = String::with_capacity(64);
    let before = Memory::now(&store);
    for number in 0..MILLION {
        client.clear();
        client.push_str("client ");
        client.push_str(&(number % clients).to_string());
        hold(&store, &request(&client));
    }
    before.report(
        &format!("pending authorization, {clients} clients"),
        &store,
        MILLION,
    );
}

/// Everything expires, batch by batch. A batch during which the scheduler ran another thread is excluded, because its time is
/// not the store's.
fn expire(store: &MemoryStore, clock: &ManualClock, lifetime: Duration) {
    clock.advance(lifetime + Duration::from_mins(2));
    let (mut batches, mut interrupted) = (Vec::new(), Vec::new());
    let mut records = 0;
    loop {
        let before = interruptions();
        let (dropped, taken) = measure(|| store.sweep_batch());
        if dropped == 0 {
            break;
        }
        records += dropped;
        if interruptions() == before {
            &mut batches
        } else {
            &mut interrupted
        }
        .push(taken);
    }
    let all: Duration = batches.iter().chain(&interrupted).sum();
    batches.sort_unstable();
    let at = |part: f64| batches[((batches.len() - 1) as f64 * part) as usize];
    println!(
        "  swept {records} in {all:?}; batches: median {:?}, 99.9 % {:?}, longest {:?} ({} interrupted: {:?})",
        at(0.5),
        at(0.999),
        at(1.0),
        interrupted.len(),
        interrupted.iter().max().copied().unwrap_or_default(),
    );
    store.sweep();
}

/// How often the scheduler has preempted this thread.
fn interruptions() -> usize {
    status("/proc/thread-self/status", "nonvoluntary_ctxt_switches:")
}

fn status(file: &str, name: &str) -> usize {
    let status = std::fs::read_to_string(file).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The memory of the process, and the memory that the store reports.
struct Memory {
    resident: usize,
    counted: usize,
}

impl Memory {
    fn now(store: &MemoryStore) -> Self {
        Self {
            resident: status("/proc/self/status", "VmRSS:") * 1024,
            counted: store.statistics().bytes,
        }
    }

    fn report(&self, name: &str, store: &MemoryStore, records: usize) {
        let now = Self::now(store);
        let resident = now.resident - self.resident;
        let counted = now.counted - self.counted;
        println!(
            "{name}: {:.1} bytes resident, {:.1} counted ({:+.1} %), {records} records",
            resident as f64 / records as f64,
            counted as f64 / records as f64,
            (counted as f64 / resident as f64 - 1.0) * 100.0,
        );
    }

    fn report_left(&self, store: &MemoryStore) {
        let now = Self::now(store);
        println!(
            "  when all is gone: {} KB resident, {} KB counted more than before the first",
            now.resident.saturating_sub(self.resident) / 1024,
            now.counted.saturating_sub(self.counted) / 1024,
        );
    }
}
