//! Handle of the loaded programs.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aya::Ebpf;
use aya::maps::{Map, MapData, PerCpuArray};
use longwave_ebpf_abi::{ConnectionEvent, Offsets, flag, kind, tally};
use longwave_pipeline::component::cgroup::{CgroupPaths, Mount, Pattern};

use super::attach::{self, Attached, Copies, PROGRAMS};
use super::cgroup_watch::CgroupWatch;
use super::ring::Ring;
use super::sampler::{self, BUCKETS_PER_RUN, PassError};
use super::signals::SharedSignals;
use super::steps::{Step, Steps};
use super::transition;
use super::walk::{Walk, WalkError};
use super::{Diagnosis, Losses, Options, ProgramStatistics, SeedReport, Transition, memory, seed, sys};

/// Result of a sampling pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassReport {
    /// Events passed to the callback.
    pub events: usize,
    /// Events that are heartbeats of idle connections.
    pub heartbeats: usize,
    /// Events of connections whose close was missed.
    pub vanished: usize,
    /// Connections visited.
    pub visited: u64,
    /// Runs of `sample` in the pass.
    pub runs: u64,
    /// Duration of the pass, callbacks included.
    pub duration: Duration,
    /// Duration of the longest run, during which the kernel does not preempt the program.
    pub longest_run: Duration,
}

/// The running kernel side. Dropping it detaches and frees everything.
pub struct Kernel {
    transitions: Ring,
    samples: Ring,
    signals: SharedSignals,
    offsets: Offsets,
    buckets: u32,
    seed_files: Option<Walk>,
    seed_namespace: Option<Walk>,
    /// Why the kernel refused walks over older connections.
    refused_walks: Vec<String>,
    /// Why the kernel does not report new cgroups.
    refused_cgroups: Option<String>,
    cgroups: CgroupWatch,
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
    /// Loads and attaches the programs, which record every connection that opens or closes from now on. [`Kernel::seed`] adds older ones.
    ///
    /// # Errors
    /// What this host lacks, with the remedy.
    pub fn load(options: &Options) -> Result<Self, Diagnosis> {
        let mut steps = Steps::default();
        match Self::load_in_steps(options, &mut steps) {
            Some(kernel) => kernel,
            None => Err(steps.into_failure().unwrap_or_else(|| Diagnosis::missing_map("everything"))),
        }
    }

    /// Does what [`Self::load`] does, and adds the outcome of each step to `steps`. Returns `None` if a step failed that the receiver
    /// needs.
    pub(super) fn load_in_steps(options: &Options, steps: &mut Steps) -> Option<Result<Self, Diagnosis>> {
        memory::keep_resident_memory_small();
        let attached = attach::attach(options, steps)?;
        Some(Self::from_attached(attached, steps))
    }

    fn from_attached(attached: Attached, steps: &Steps) -> Result<Self, Diagnosis> {
        let refused = |is_walk: bool| {
            let refusals = steps.refusals().filter(move |(step, _)| matches!(step, Step::Load(_)) == is_walk);
            refusals.map(|(_, reason)| reason.to_string())
        };
        let Attached {
            mut ebpf,
            copies,
            seed_files,
            seed_namespace,
            cgroups,
            offsets,
            buckets,
            transitions_bytes,
            samples_bytes,
        } = attached;
        let transitions = Ring::of(&ebpf, "transitions", transitions_bytes)?;
        let samples = Ring::of(&ebpf, "samples", samples_bytes)?;
        let signals = signals(&ebpf)?;
        let tallies = ebpf.take_map("tallies").and_then(|map| map.try_into().ok());
        let tallies = tallies.ok_or_else(|| Diagnosis::missing_map("tallies"))?;
        Ok(Self {
            transitions,
            samples,
            signals,
            offsets,
            buckets,
            seed_files,
            seed_namespace,
            refused_walks: refused(true).collect(),
            refused_cgroups: refused(false).next(),
            cgroups,
            copies,
            tallies,
            ebpf,
            malformed: 0,
            stuck: 0,
        })
    }

    /// Detaches the copies of `state`, or attaches them again, to measure their cost. Opens and closes while they are detached are missed.
    ///
    /// # Errors
    /// The kernel refused to detach or attach a program.
    pub fn set_attached(&mut self, attached: bool) -> Result<(), Diagnosis> {
        self.copies.set_attached(&mut self.ebpf, attached)
    }

    /// Returns the offsets of the kernel's fields. Those of fields that it lacks are [`ABSENT`](longwave_ebpf_abi::offsets::ABSENT).
    pub fn offsets(&self) -> &Offsets {
        &self.offsets
    }

    /// Returns why opens and closes are no longer seen, as the kernel reports. `None` if all programs are attached. One system call for each
    /// copy of `state`.
    pub fn fault(&self) -> Option<String> {
        self.copies.fault()
    }

    /// Reports the paths of cgroups that are created to `paths`, each before the first event of a socket in it, and removals.
    pub fn report_cgroups(&mut self, paths: Arc<CgroupPaths>) {
        self.cgroups.report_to(paths);
    }

    /// Returns why the kernel does not report new cgroups, so that their paths are known only if their directories can still be read. With
    /// [`Options::cgroup`], connections of a new cgroup are then reported from the next pass on. `None` if the kernel does report them.
    pub fn refused_cgroups(&self) -> Option<&str> {
        self.refused_cgroups.as_deref().filter(|_| !self.cgroups.has_events())
    }

    /// Returns the pattern of [`Options::cgroup`] and the mount of cgroup2 if no cgroup matches now.
    pub fn unmatched_cgroup(&self) -> Option<(&Pattern, &Mount)> {
        self.cgroups.scope()?.without_match()
    }

    /// Adds the connections of all namespaces that are older than the programs, and reports all listeners as transitions. Idempotent.
    ///
    /// Blocks for a few microseconds per descriptor and socket of the host.
    pub fn seed(&mut self) -> SeedReport {
        let before = self.losses().seeded;
        self.signals.set_seeding(true);
        let mut report = seed::run(self.seed_files.as_ref(), self.seed_namespace.as_ref());
        self.signals.set_seeding(false);
        self.signals.clear_walker();
        report.failures.extend(self.refused_walks.iter().cloned());
        SeedReport { seeded: self.losses().seeded - before, ..report }
    }

    /// Walks the descriptors of all processes: stores in the connection table which process has a descriptor of a connection whose process is
    /// unknown, and reports the processes of all listeners as transitions. Passes every transition to `on_transition`. Does nothing if
    /// [`Self::can_look_up_holders`] is false.
    ///
    /// Blocks for a few microseconds per descriptor of the host.
    ///
    /// # Errors
    /// The kernel refused to run the program.
    pub fn look_up_holders(
        &mut self,
        on_transition: &mut dyn FnMut(Transition<'_>),
    ) -> Result<(), WalkError> {
        let Some(files) = self.seed_files.take() else { return Ok(()) };
        let result = files.run(|| {
            self.drain_transitions(on_transition);
        });
        self.seed_files = Some(files);
        self.signals.clear_walker();
        result
    }

    /// Returns false if the kernel refused the program that walks the descriptors of all processes.
    pub fn can_look_up_holders(&self) -> bool {
        self.seed_files.is_some()
    }

    /// Visits every tracked connection once. Passes one event to `on_event` for each that made progress, has
    /// a heartbeat due, or has vanished.
    ///
    /// Occupies a CPU in the kernel for at most about a millisecond at a time, and drains the samples in between.
    ///
    /// # Errors
    /// The kernel refused to run the program. Events of earlier runs have been passed.
    pub fn pass(&mut self, on_event: &mut dyn FnMut(&ConnectionEvent)) -> Result<PassReport, PassError> {
        let mut report = PassReport::default();
        let start = Instant::now();
        self.cgroups.begin_pass(self.lost_cgroups());
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
        // The socket of an event was in its cgroup before the event was read.
        let end = self.samples.end();
        self.cgroups.drain();
        let (malformed, cgroups) = (&mut self.malformed, &self.cgroups);
        let mut whole = ConnectionEvent::default();
        let drained =
            self.samples.drain_to(end, &mut |record| match transition::connection(record, &mut whole) {
                Some(event) if !cgroups.includes(event.owner.socket_cgroup) => {}
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

    /// Passes every transition that was committed before the call to `on`. Returns their number.
    pub fn drain_transitions(&mut self, on: &mut dyn FnMut(Transition<'_>)) -> usize {
        // As for samples.
        let end = self.transitions.end();
        self.cgroups.drain();
        let (malformed, cgroups) = (&mut self.malformed, &self.cgroups);
        let mut whole = ConnectionEvent::default();
        let drained =
            self.transitions.drain_to(end, &mut |record| match Transition::parse(record, &mut whole) {
                Some(transition) if !cgroups.includes(transition.owner().socket_cgroup) => {}
                Some(transition) => on(transition),
                None => *malformed += 1,
            });
        self.stuck += u64::from(drained.stuck);
        drained.records
    }

    /// Returns a descriptor that becomes readable, once per call, when [`Options::wake_bytes`] of transitions are unread.
    ///
    /// Call it again after draining. Wait with a timeout and drain after it too, because fewer bytes do not wake.
    pub fn armed_transitions_fd(&self) -> BorrowedFd<'_> {
        self.signals.arm();
        self.transitions.as_fd()
    }

    /// Returns losses by reason, and other counts.
    pub fn losses(&self) -> Losses {
        let mut sums = [0u64; tally::COUNT];
        for cpus in (0..tally::PROGRAMS).filter_map(|program| self.tallies.get(&program, 0).ok()) {
            for cpu in cpus.iter() {
                for (sum, count) in sums.iter_mut().zip(cpu) {
                    *sum += count;
                }
            }
        }
        let mut losses = Losses::from_tallies(&sums, self.malformed + self.cgroups.malformed(), self.stuck);
        losses.cgroup_scope_full += self.cgroups.refused();
        losses
    }

    /// Returns the number of creations and removals of cgroups that were lost.
    fn lost_cgroups(&self) -> u64 {
        let counts = self.tallies.get(&(tally::Program::Cgroup as u32), 0);
        counts.map_or(0, |cpus| cpus.iter().map(|counts| counts[tally::CGROUP_RING_FULL as usize]).sum())
    }

    /// Returns the statistics of each program, except those that the kernel does not report.
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

fn signals(ebpf: &Ebpf) -> Result<SharedSignals, Diagnosis> {
    match ebpf.map("signals") {
        Some(Map::Array(map)) => {
            SharedSignals::new(map.fd().as_fd()).map_err(|source| Diagnosis::unmapped("signals", source))
        }
        _ => Err(Diagnosis::missing_map("signals")),
    }
}
