//! The resources that a process and its children have used, from /proc.

use std::collections::HashMap;
use std::fs;

/// /proc/PID/stat counts in hundredths of a second, independently of the kernel's own ticks.
const TICKS: f64 = 100.0;

/// Seconds of CPU of the process, its living descendants, and its children that have ended.
pub fn cpu(root: u32) -> f64 {
    let mut stats = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        if let Some(stat) = fs::read_to_string(entry.path().join("stat"))
            .ok()
            .as_deref()
            .and_then(parse)
        {
            stats.insert(pid, stat);
        }
    }
    let within = |mut pid: u32| {
        loop {
            if pid == root {
                return true;
            }
            match stats.get(&pid) {
                Some((parent, _)) if *parent != 0 => pid = *parent,
                _ => return false,
            }
        }
    };
    let ticks: u64 = stats
        .iter()
        .filter(|(pid, _)| within(**pid))
        .map(|(_, (_, ticks))| ticks)
        .sum();
    ticks as f64 / TICKS
}

/// The parent, and utime + stime + cutime + cstime.
fn parse(stat: &str) -> Option<(u32, u64)> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let parent = fields.get(1)?.parse().ok()?;
    let ticks = fields
        .get(11..15)?
        .iter()
        .filter_map(|text| text.parse::<u64>().ok())
        .sum();
    Some((parent, ticks))
}
