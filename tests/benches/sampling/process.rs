//! Reads what a process has used from `/proc`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// Returns the CPU time of all threads, by the scheduler's own accounting.
pub fn cpu_time(pid: u32) -> Duration {
    let nanos = |task: fs::DirEntry| -> u64 {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or(0)
    };
    let tasks = fs::read_dir(PathBuf::from(format!("/proc/{pid}/task"))).unwrap();
    Duration::from_nanos(tasks.flatten().map(nanos).sum())
}

/// Returns the resident memory in MiB. `None` if the process has ended.
pub fn resident_mib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? / 1024)
}
