//! The handle on the loaded programs.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use aya::Ebpf;
use aya::maps::{Map, MapData, PerCpuArray};
use longwave_ebpf_abi::{ConnectionEvent, flag, kind, tally};

use super::attach::{self, Attached, Copies, PROGRAMS};
use super::ring::Ring;
use super::sampler::{self, BUCKETS_PER_RUN, PassError};
use super::signals::SharedSignals;
use super::steps::Steps;
use super::transition::{self, Transition};
use super::walk::Walk;
use super::{Diagnosis, Losses, Options, ProgramStatistics, SeedReport, memory, seed, sys};

/// What one sampling pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassReport {
    /// Events handed over.
    pub events: usize,
    /// Of those, heartbeats of idle connections.
    pub heartbeats: usize,
    /// Of those, connections found gone.
    pub vanished: usize,
    /// Connections visited.
    pub visited: u64,
    /// Runs of the program that the pass took.
    pub runs: u64,
    /// The pass's duration, handing over included.
    pub duration: Duration,
    /// The longest single run: for so long the kernel held the CPU.
    pub longest_run: Duration,
}

/// The kernel side, running. Dropping it detaches and frees everything.
pub struct Kernel {
    transitions: Ring,
    samples: Ring,
    signals: SharedSignals,
    buckets: u32,
    seed_files: Option<Walk>,
    seed_namespace: Option<Walk>,
    /// What the kernel refused that this works without, in words.
    refused: Vec<String>,
    copies: Copies,
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
        let mut steps = Steps::default();
        match Self::load_in_steps(options, &mut steps) {
            Some(kernel) => kernel,
            None => Err(steps.into_failure().unwrap_or_else(|| missing("everything"))),
        }
    }

    /// Like [`Self::load`], with the outcome of each step in `steps`; `None` if one failed that is needed.
    pub(super) fn load_in_steps(options: &Options, steps: &mut Steps) -> Option<Result<Self, Diagnosis>> {
        memory::keep_resident_memory_small();
        let attached = attach::attach(options, steps)?;
        let refused = steps.refusals().map(ToString::to_string).collect();
        Some(Self::over(attached, refused))
    }

    fn over(attached: Attached, refused: Vec<String>) -> Result<Self, Diagnosis> {
        let Attached {
            mut ebpf,
            copies,
            seed_files,
            seed_namespace,
            buckets,
            transitions_bytes,
            samples_bytes,
        } = attached;
        let transitions = ring(&ebpf, "transitions", transitions_bytes)?;
        let samples = ring(&ebpf, "samples", samples_bytes)?;
        let signals = signals(&ebpf)?;
        let tallies = ebpf.take_map("tallies").and_then(|map| map.try_into().ok());
        let tallies = tallies.ok_or_else(|| missing("tallies"))?;
        Ok(Self {
            transitions,
            samples,
            signals,
            buckets,
            seed_files,
            seed_namespace,
            refused,
            copies,
            tallies,
            ebpf,
            malformed: 0,
            stuck: 0,
        })
    }

    /// Detaches the programs of connection changes, or attaches them again: for measuring what they cost. What begins or ends meanwhile is not seen.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn set_attached(&mut self, attached: bool) -> Result<(), Diagnosis> {
        self.copies.set_attached(&mut self.ebpf, attached)
    }

    /// Adds the connections that are older than the programs, of all processes and namespaces, and reports all listeners
    /// (as transitions). Idempotent. Blocks for a few microseconds per descriptor and socket of the host.
    pub fn seed(&mut self) -> SeedReport {
        let before = self.losses().seeded;
        self.signals.set_seeding(true);
        let mut report = seed::run(self.seed_files.as_ref(), self.seed_namespace.as_ref());
        self.signals.set_seeding(false);
        report.failures.extend(self.refused.iter().cloned());
        SeedReport { seeded: self.losses().seeded - before, ..report }
    }

    /// Visits every tracked connection once: one event for each that moved since its last, or is due a heartbeat, or is
    /// gone. Holds a CPU for about a millisecond at a time at most, and drains the samples in between.
    ///
    /// # Errors
    /// The kernel refused to run the program. What was sampled before was handed over.
    pub fn pass(&mut self, on_event: &mut dyn FnMut(&ConnectionEvent)) -> Result<PassReport, PassError> {
        let mut report = PassReport::default();
        let start = Instant::now();
        for first in (0..self.buckets).step_by(BUCKETS_PER_RUN as usize) {
            let run_began = Instant::now();
            let visited = sampler::run(&self.ebpf, first, BUCKETS_PER_RUN.min(self.buckets - first))?;
            report.longest_run = report.longest_run.max(run_began.elapsed());
            report.visited += u64::from(visited);
            report.runs += 1;
            self.drain_samples(&mut report, on_event);
        }
        report.duration = start.elapsed();
        Ok(report)
    }

    fn drain_samples(&mut self, report: &mut PassReport, on_event: &mut dyn FnMut(&ConnectionEvent)) {
        let malformed = &mut self.malformed;
        let drained = self.samples.drain(&mut |record| match transition::connection(record) {
            Some(event) => {
                report.events += 1;
                report.vanished += usize::from(event.kind == kind::VANISHED);
                report.heartbeats += usize::from(event.flags & flag::HEARTBEAT != 0);
                on_event(event);
            }
            None => *malformed += 1,
        });
        self.stuck += u64::from(drained.stuck);
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

    /// A descriptor that becomes readable when [`Options::wake_bytes`] of transitions wait: once for each call, so call again after
    /// draining. Wait with a timeout and drain then too: fewer bytes do not wake.
    pub fn armed_transitions_fd(&self) -> BorrowedFd<'_> {
        self.signals.arm();
        self.transitions.as_fd()
    }

    /// What was lost, by cause, and other counts.
    pub fn losses(&self) -> Losses {
        let mut sums = [0u64; tally::COUNT];
        for cpus in (0..tally::PROGRAMS).filter_map(|program| self.tallies.get(&program, 0).ok()) {
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
        _ => Err(missing(what)),
    }
}

fn signals(ebpf: &Ebpf) -> Result<SharedSignals, Diagnosis> {
    match ebpf.map("signals") {
        Some(Map::Array(map)) => {
            SharedSignals::new(map.fd().as_fd()).map_err(|source| Diagnosis::Map { what: "signals", source })
        }
        _ => Err(missing("signals")),
    }
}

fn missing(what: &str) -> Diagnosis {
    Diagnosis::Program { what: what.into(), reason: "the object lacks this map".into() }
}
