//! Load over a fixed number of keep-alive connections: as fast as answers arrive, or at a fixed rate.
//!
//! At a fixed rate, latency counts from the time at which a unit was due, not from the time at which it could be sent. So the
//! percentiles of a proxy that stalls include the units that waited for it.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::flow::{Next, Unit, What};
use crate::random::Random;
use crate::{Failure, http, proc};

const TIMER: u64 = u64::MAX;

pub struct Plan {
    pub to: SocketAddr,
    pub what: What,
    pub connections: usize,
    /// Seconds before counting begins.
    pub warm: f64,
    pub seconds: f64,
    /// Units a second; 0: as fast as answers arrive.
    pub rate: u64,
    /// The number of units after which it stops.
    pub count: u64,
    /// The process whose CPU is read at the beginning and the end of the counted time; 0: none.
    pub process: u32,
}

struct Connection {
    stream: TcpStream,
    unit: Unit,
    /// When the current unit was due.
    due: Instant,
    received: Vec<u8>,
}

struct Run<'a> {
    plan: &'a Plan,
    random: Random,
    connections: Vec<Connection>,
    out: Vec<u8>,
    /// Connections without a unit, the one that has waited longest first.
    free: VecDeque<usize>,
    /// Units that are due and wait for a connection.
    waiting: VecDeque<Instant>,
    /// Microseconds of each unit that finished in the counted time.
    latencies: Vec<u32>,
    finished: u64,
}

pub fn run(plan: &Plan) -> Result<(), Failure> {
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut run = Run {
        plan,
        random: Random::new(),
        connections: Vec::new(),
        out: Vec::new(),
        free: (0..plan.connections).collect(),
        waiting: VecDeque::new(),
        latencies: Vec::with_capacity(1 << 20),
        finished: 0,
    };
    for at in 0..plan.connections {
        let stream = TcpStream::connect(plan.to)?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        epoll::add(
            &poll,
            &stream,
            EventData::new_u64(at as u64),
            EventFlags::IN,
        )?;
        run.connections.push(Connection {
            stream,
            unit: Unit::new(),
            due: Instant::now(),
            received: Vec::with_capacity(4096),
        });
    }
    let started = Instant::now();
    let timer = (plan.rate > 0)
        .then(|| ticking(&poll, plan.rate))
        .transpose()?;
    if timer.is_none() {
        for _ in 0..plan.connections {
            run.start(Instant::now())?;
        }
    }
    let counts_from = started + Duration::from_secs_f64(plan.warm);
    let ends = counts_from + Duration::from_secs_f64(plan.seconds);
    let mut counting = None;
    let mut due = 0;
    let mut events = Vec::with_capacity(256);
    let patience = Timespec {
        tv_sec: 5,
        tv_nsec: 0,
    };
    loop {
        events.clear();
        epoll::wait(&poll, spare_capacity(&mut events), Some(&patience))?;
        if events.is_empty() {
            return Err("nothing came back for five seconds".into());
        }
        for event in &events {
            match (event.data.u64(), &timer) {
                (TIMER, Some(timer)) => {
                    let mut ticks = [0; 8];
                    if rustix::io::read(timer, &mut ticks).is_err() {
                        continue;
                    }
                    for _ in 0..u64::from_ne_bytes(ticks) {
                        due += 1;
                        run.start(started + Duration::from_nanos(due * 1_000_000_000 / plan.rate))?;
                    }
                }
                (at, _) => run.turn(at as usize)?,
            }
        }
        let now = Instant::now();
        if counting.is_none() && now >= counts_from {
            counting = Some((now, proc::cpu(plan.process), run.finished));
            run.latencies.clear();
        }
        if now >= ends || run.finished >= plan.count {
            let (from, cpu, finished) = counting.unwrap_or((started, 0.0, 0));
            report(
                &mut run.latencies,
                run.finished - finished,
                now - from,
                proc::cpu(plan.process) - cpu,
            );
            return Ok(());
        }
    }
}

/// A timer that reports how many units have become due, with the precision of the kernel's high-resolution timers.
fn ticking(poll: &OwnedFd, rate: u64) -> Result<OwnedFd, Failure> {
    let timer = timerfd_create(
        TimerfdClockId::Monotonic,
        TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
    )?;
    let interval = Timespec {
        tv_sec: (1 / rate) as i64,
        tv_nsec: (1_000_000_000 / rate % 1_000_000_000) as i64,
    };
    let every = Itimerspec {
        it_interval: interval,
        it_value: interval,
    };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &every)?;
    epoll::add(poll, &timer, EventData::new_u64(TIMER), EventFlags::IN)?;
    Ok(timer)
}

impl Run<'_> {
    /// Starts a unit that is due on a free connection, or lets it wait for one.
    fn start(&mut self, due: Instant) -> Result<(), Failure> {
        let Some(at) = self.free.pop_front() else {
            self.waiting.push_back(due);
            return Ok(());
        };
        let connection = &mut self.connections[at];
        connection.due = due;
        connection
            .unit
            .begin(self.plan.what, &mut self.random, &mut self.out);
        connection.stream.write_all(&self.out)?;
        Ok(())
    }

    /// Reads what has arrived on a connection.
    fn turn(&mut self, at: usize) -> Result<(), Failure> {
        let connection = &mut self.connections[at];
        let mut chunk = [0; 8192];
        match connection.stream.read(&mut chunk) {
            Ok(0) => return Err("the proxy closed a connection".into()),
            Ok(read) => connection.received.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let Some(answer) = http::message(&connection.received)? else {
            return Ok(());
        };
        let next = connection
            .unit
            .proceed(self.plan.what, &answer, &mut self.out)?;
        connection.received.clear();
        match next {
            Next::Send => connection.stream.write_all(&self.out)?,
            Next::Done => {
                let micros = connection.due.elapsed().as_micros();
                self.latencies
                    .push(u32::try_from(micros).unwrap_or(u32::MAX));
                self.finished += 1;
                self.free.push_back(at);
                if self.plan.rate == 0 {
                    self.start(Instant::now())?;
                } else if let Some(due) = self.waiting.pop_front() {
                    self.start(due)?;
                }
            }
        }
        Ok(())
    }
}

/// The result as one line of JSON.
fn report(latencies: &mut [u32], units: u64, took: Duration, cpu: f64) {
    latencies.sort_unstable();
    let percentile = |percent: usize| {
        let at = (latencies.len() * percent / 100).min(latencies.len().saturating_sub(1));
        latencies.get(at).copied().unwrap_or(0)
    };
    println!(
        r#"{{"units":{units},"seconds":{:.6},"cpu":{cpu:.2},"p50":{},"p99":{}}}"#,
        took.as_secs_f64(),
        percentile(50),
        percentile(99)
    );
}
