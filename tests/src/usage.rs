//! Reads from `/proc` what a process has used.

use std::fs;
use std::time::Duration;

/// Returns the CPU time of all threads, by the scheduler's own accounting. 0 if the process has ended.
pub fn cpu_time(pid: u32) -> Duration {
    let nanos = |task: fs::DirEntry| -> u64 {
        // The first field is the CPU time.
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or(0)
    };
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    Duration::from_nanos(tasks.map(nanos).sum())
}

/// Returns a field of `/proc/<pid>/status` in bytes, for example `VmRSS`. `None` if the process has ended.
pub fn memory(pid: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(value.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}
