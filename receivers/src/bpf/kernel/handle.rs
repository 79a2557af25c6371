//! The handle on the loaded programs.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use aya::Ebpf;
use aya::maps::{Map, MapData, PerCpuArray};
use longwave_ebpf_abi::{ConnectionEvent, flag, kind, tally};

use super::attach::{self, Attached, PROGRAMS};
use super::iterator::{Iterator, PassError};
use super::ring::Ring;
use super::transition::{self, Transition};
use super::{Diagnosis, Losses, Options, ProgramStatistics, SeedReport, seed, sys};

/// What one sampling pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassReport {
    /// Events handed over.
    pub events: usize,
    /// Of those, heartbeats of idle connections.
    pub heartbeats: usize,
    /// Of those, connections found gone.
    pub vanished: usize,
    /// Reads that the pass took.
    pub reads: u64,
    /// The pass's duration, handing over included.
    pub duration: Duration,
    /// The longest single read: for so long the kernel held the CPU.
    pub longest_read: Duration,
}

/// The kernel side, running. Dropping it detaches and frees everything.
pub struct Kernel {
    transitions: Ring,
    samples: Ring,
    sample: Iterator,
    seed_files: Iterator,
    seed_namespace: Iterator,
    tallies: PerCpuArray<MapData, [u64; tally::COUNT]>,
    ebpf: Ebpf,
    malformed: u64,
    stuck: u64,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel")
            .field("malformed", &self.malformed)
            .field("stuck", &self.stuck)
            .finish_non_exhaustive()
    }
}

impl Kernel {
    /// Loads and attaches. From here on every connection that opens or closes is recorded; [`Kernel::seed`] adds those that
    /// are older.
    ///
    /// # Errors
    /// What this host lacks, and what to do about it.
    pub fn load(options: &Options) -> Result<Self, Diagnosis> {
        let Attached { mut ebpf, sample, seed_files, seed_namespace, transitions_bytes, samples_bytes } =
            attach::attach(options)?;
        let transitions = ring(&ebpf, "transitions", transitions_bytes)?;
        let samples = ring(&ebpf, "samples", samples_bytes)?;
        let missing =
            || Diagnosis::Program { what: "tallies".into(), reason: "the object lacks them".into() };
        let tallies = ebpf.take_map("tallies").ok_or_else(missing)?.try_into().map_err(|_| missing())?;
        Ok(Self {
            transitions,
            samples,
            sample,
            seed_files,
            seed_namespace,
            tallies,
            ebpf,
            malformed: 0,
            stuck: 0,
        })
    }

    /// Adds the connections that are older than the programs, of all processes and namespaces, and reports all listeners
    /// (as transitions). Idempotent. Blocks for a few microseconds per descriptor and socket of the host.
    pub fn seed(&mut self) -> SeedReport {
        let before = self.losses().seeded;
        let report = seed::run(&self.seed_files, &self.seed_namespace);
        SeedReport { seeded: self.losses().seeded - before, ..report }
    }

    /// Visits every tracked connection once: one event for each that moved since its last, or is due a heartbeat, or is
    /// gone. Holds a CPU for at most a few milliseconds at a time, and drains the samples in between.
    ///
    /// # Errors
    /// The kernel refused to walk the table. What was read before was handed over.
    pub fn pass(&mut self, on_event: &mut dyn FnMut(&ConnectionEvent)) -> Result<PassReport, PassError> {
        let mut report = PassReport::default();
        let (samples, malformed, stuck) = (&mut self.samples, &mut self.malformed, &mut self.stuck);
        let start = Instant::now();
        let mut read_began = start;
        let reads = self.sample.run(&mut || {
            report.longest_read = report.longest_read.max(read_began.elapsed());
            let drained = samples.drain(&mut |record| match transition::connection(record) {
                Some(event) => {
                    report.events += 1;
                    report.vanished += usize::from(event.kind == kind::VANISHED);
                    report.heartbeats += usize::from(event.flags & flag::HEARTBEAT != 0);
                    on_event(event);
                }
                None => *malformed += 1,
            });
            *stuck += u64::from(drained.stuck);
            read_began = Instant::now();
        });
        report.duration = start.elapsed();
        report.reads = reads?;
        Ok(report)
    }

    /// Hands over every transition that was committed before the call; returns how many.
    pub fn drain_transitions(&mut self, on: &mut dyn FnMut(Transition<'_>)) -> usize {
        let malformed = &mut self.malformed;
        let drained = self.transitions.drain(&mut |record| match Transition::parse(record) {
            Some(transition) => on(transition),
            None => *malformed += 1,
        });
        self.stuck += u64::from(drained.stuck);
        drained.records
    }

    /// Readable when [`Options::wake_bytes`] of transitions wait. Wait with a timeout and drain then too: fewer bytes do
    /// not wake.
    pub fn transitions_fd(&self) -> BorrowedFd<'_> {
        self.transitions.as_fd()
    }

    /// What was lost, by cause, and other counts.
    pub fn losses(&self) -> Losses {
        let mut sums = [0u64; tally::COUNT];
        if let Ok(cpus) = self.tallies.get(&0, 0) {
            for cpu in cpus.iter() {
                for (sum, count) in sums.iter_mut().zip(cpu) {
                    *sum += count;
                }
            }
        }
        Losses::from_tallies(&sums, self.malformed, self.stuck)
    }

    /// What the kernel tells of each program; those that it does not tell of are left out.
    pub fn program_stats(&self) -> Vec<ProgramStatistics> {
        PROGRAMS.into_iter().filter_map(|name| self.statistics(name)).collect()
    }

    fn statistics(&self, name: &'static str) -> Option<ProgramStatistics> {
        let info = sys::program_info(self.ebpf.program(name)?.fd().ok()?.as_fd()).ok()?;
        Some(ProgramStatistics {
            name,
            recursion_misses: info.recursion_misses,
            run_cnt: info.run_cnt,
            run_time_ns: info.run_time_ns,
            translated_bytes: info.xlated_prog_len,
            verified_instructions: info.verified_insns,
        })
    }
}

fn ring(ebpf: &Ebpf, what: &'static str, size: u32) -> Result<Ring, Diagnosis> {
    match ebpf.map(what) {
        Some(Map::RingBuf(map)) => {
            Ring::new(map.fd().as_fd(), size).map_err(|source| Diagnosis::Map { what, source })
        }
        _ => {
            Err(Diagnosis::Program { what: what.into(), reason: "the object lacks this ring buffer".into() })
        }
    }
}
