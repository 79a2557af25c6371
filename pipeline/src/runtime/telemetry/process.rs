//! Metrics of the process, with the names of Prometheus' conventions, which dashboards and alerts for any process use.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::metrics::Meter;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Registers the instruments. A value that cannot be read is left out.
pub(super) fn observe(meter: &Meter) {
    // Does not change: a clock that is set later must not move it.
    let started = start_time();
    meter
        .f64_observable_counter("process_cpu_seconds")
        .with_unit("s")
        .with_description("CPU time of the process, in user space and in the kernel.")
        .with_callback(|observer| observer.observe(cpu_seconds(), &[]))
        .build();
    gauge(meter, "process_resident_memory_bytes", "By", "Resident memory.", || Some(memory()?.1));
    gauge(meter, "process_virtual_memory_bytes", "By", "Size of the address space.", || Some(memory()?.0));
    gauge(meter, "process_open_fds", "{descriptor}", "Open file descriptors.", open_descriptors);
    let text = "Limit on open file descriptors.";
    gauge(meter, "process_max_fds", "{descriptor}", text, || {
        Some(getrlimit(Resource::Nofile).current? as f64)
    });
    let text = "Start of the process, in seconds since the Unix epoch.";
    gauge(meter, "process_start_time_seconds", "s", text, move || started);
    let text = "Time since the start of the process.";
    gauge(meter, "process_uptime_seconds", "s", text, move || Some((now()? - started?).max(0.0)));
}

fn gauge(
    meter: &Meter,
    name: &'static str,
    unit: &'static str,
    text: &'static str,
    read: impl Fn() -> Option<f64> + Send + Sync + 'static,
) {
    let callback = move |observer: &dyn opentelemetry::metrics::AsyncInstrument<f64>| {
        if let Some(value) = read() {
            observer.observe(value, &[]);
        }
    };
    meter.f64_observable_gauge(name).with_unit(unit).with_description(text).with_callback(callback).build();
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Returns the size of the address space and the resident part of it, in bytes.
fn memory() -> Option<(f64, f64)> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = text.split_whitespace().map(str::parse::<u64>);
    let mut bytes = || Some((pages.next()?.ok()? * rustix::param::page_size() as u64) as f64);
    Some((bytes()?, bytes()?))
}

fn open_descriptors() -> Option<f64> {
    // One of them is that of the directory itself.
    Some((std::fs::read_dir("/proc/self/fd").ok()?.count() as f64 - 1.0).max(0.0))
}

fn now() -> Option<f64> {
    Some(SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64())
}

/// Returns the time when the process started, as other tools compute it: the kernel's start time after boot, plus the time of the boot.
fn start_time() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let boot = std::fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + start_ticks(&stat)? as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Returns field 22 of `/proc/<pid>/stat`. The name of the process, which is in parentheses, may contain spaces and parentheses.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    // Field 3 is the first one after the name.
    after_name.split_whitespace().nth(22 - 3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// *Scenario*: the file of a process whose name has spaces and parentheses.
    /// *Guarantees*: the start time is found.
    #[test]
    fn start_ticks_are_found() {
        let fields: Vec<String> = (4..=52).map(|field| (field * 10).to_string()).collect();
        let stat = format!("1 (a) b (c)) S {}", fields.join(" "));
        assert_eq!(start_ticks(&stat), Some(220));
        assert_eq!(start_ticks("1 (a) S 1"), None);
    }

    /// *Scenario*: the values of this process.
    /// *Guarantees*: they are of the right magnitude: a file that is opened counts, an allocation that is written is resident, and the
    /// process started before now and after the boot.
    #[test]
    fn values_are_those_of_this_process() {
        let before = open_descriptors().unwrap();
        let files: Vec<_> = (0..50).map(|_| std::fs::File::open("/proc/self/stat").unwrap()).collect();
        assert!(open_descriptors().unwrap() > before);
        drop(files);
        let (size, resident) = memory().unwrap();
        let written = vec![1_u8; 64 << 20];
        let (_, more) = memory().unwrap();
        assert!(more > resident && more - resident < 128e6 && size > resident, "{resident} {more} {size}");
        drop(written);
        let (started, now) = (start_time().unwrap(), now().unwrap());
        assert!(started <= now + 1.0 && now - started < 3600.0, "{started} {now}");
        assert!(cpu_seconds() > 0.0);
    }
}
