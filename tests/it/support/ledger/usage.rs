//! I8: what a gate process uses.

use std::fs;

use super::Report;

/// What a process uses at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) process: u32,
    /// Resident, in bytes.
    pub(crate) memory: usize,
    /// Open files and sockets.
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    /// Open connections of clients, and requests being processed.
    pub(crate) busy: usize,
}

/// Memory that the allocator may keep: 16 MiB and 5 %. Descriptors of connections to the upstream that wait for the next request.
const MEMORY: usize = 16 << 20;
const DESCRIPTORS: usize = 24;

impl Usage {
    /// Of a running gate.
    pub(super) fn of(process: u32, busy: usize) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let word = line.and_then(|line| line.split_whitespace().next());
            word.and_then(|word| word.parse::<usize>().ok())
                .expect("a number")
        };
        let open = fs::read_dir(format!("/proc/{process}/fd")).expect("it runs");
        Self {
            process,
            memory: 1024 * value("VmRSS:"),
            descriptors: open.count(),
            threads: value("Threads:"),
            busy,
        }
    }

    /// What exceeds the usage before the faults, which was under load.
    pub(super) fn beyond(&self, before: &Self) -> Vec<String> {
        let bounds = [
            (
                "bytes of memory",
                self.memory,
                before.memory + before.memory / 20 + MEMORY,
            ),
            (
                "descriptors",
                self.descriptors,
                before.descriptors + DESCRIPTORS,
            ),
            ("threads", self.threads, before.threads),
            ("requests and connections", self.busy, 0),
        ];
        let beyond = bounds.into_iter().filter(|(_, now, most)| now > most);
        beyond
            .map(|(what, now, most)| format!("{now} {what} are left, more than {most}"))
            .collect()
    }
}

pub(super) fn bounds(report: &Report) -> Vec<String> {
    let runs = report.gates.iter().enumerate();
    let found = runs.flat_map(|(number, run)| {
        let beyond = run.usage.map(|[before, after]| after.beyond(&before));
        let beyond = beyond.into_iter().flatten();
        beyond.map(move |what| format!("gate {number}: {what}"))
    });
    found.collect()
}
