//! Loads and attaches the programs.

use std::os::fd::AsFd;

use aya::maps::Array;
use aya::programs::links::FdLink;
use aya::programs::{BtfTracePoint, Iter, ProgramError, RawTracePoint};
use aya::{Btf, Ebpf, EbpfError, EbpfLoader, Endianness};
use longwave_ebpf_abi::{BUCKET_KEYS, Offsets, Settings};
use longwave_pipeline::component::with_causes;
use zerocopy::IntoBytes;

use super::cgroup_scope::MAX_SCOPE;
use super::cgroup_watch::CgroupWatch;
use super::diagnosis::{explain, preflight, root_cause};
use super::sampler::{self, SAMPLE};
use super::steps::{Step, Steps};
use super::walk::Walk;
use super::{Diagnosis, Options, btf, layout, object};

const TRACEPOINT: &str = "inet_sock_set_state";
/// Sizes of a ring buffer that the kernel accepts, in bytes.
const MIN_RING_BYTES: u32 = 4096;
const MAX_RING_BYTES: u32 = 1 << 30;

/// Names of the programs, in the order of loading and attaching.
pub const PROGRAMS: [&str; 8] = [
    "state",
    "state_again",
    "state_third",
    SAMPLE,
    "seed_files",
    "seed_namespace",
    "cgroup_created",
    "cgroup_removed",
];

/// Names of the copies of `state`. Each handles the events that the earlier copies missed. Kernels before 7.0 need the first two only.
const COPIES: [&str; 3] = ["state", "state_again", "state_third"];

/// The loaded programs and their links. Dropping it detaches them.
pub struct Attached {
    pub ebpf: Ebpf,
    pub copies: Copies,
    /// Walk over the descriptors of all processes; `None` if the kernel refused it.
    pub seed_files: Option<Walk>,
    /// Walk over the sockets of a network namespace; `None` if the kernel refused it.
    pub seed_namespace: Option<Walk>,
    pub cgroups: CgroupWatch,
    pub offsets: Offsets,
    pub buckets: u32,
    pub transitions_bytes: u32,
    pub samples_bytes: u32,
}

/// The copies of `state` that this kernel needs, with the links of the attached ones.
pub struct Copies {
    names: &'static [&'static str],
    links: Vec<CopyLink>,
}

/// An attached copy of `state`. Dropping it detaches the copy.
struct CopyLink {
    name: &'static str,
    link: FdLink,
    /// Id that the kernel gave to the program.
    program: u32,
}

/// Loads every program, runs `sample` once over no buckets, and attaches.
///
/// Adds the outcome of each step to `steps`. Continues after a failed step with those that do not depend on it. Returns `None` if a step
/// failed that the receiver needs.
pub fn attach(options: &Options, steps: &mut Steps) -> Option<Attached> {
    steps.need(Step::Host, preflight())?;
    let (types, offsets) = steps.need(Step::Types, read_types())?;
    let settings = steps.need(Step::Settings, layout::settings(options, &offsets))?;
    let (transitions_bytes, samples_bytes) =
        (ring_bytes(options.transitions_ring_bytes), ring_bytes(options.samples_ring_bytes));
    let maps = create_maps(options, &offsets, &settings, &types, (transitions_bytes, samples_bytes));
    let mut ebpf = steps.need(Step::Maps, maps)?;

    let names = &COPIES[..usize::from(settings.state_copies)];
    for name in names.iter().copied().chain([SAMPLE]) {
        let loaded = load(&mut ebpf, name, &types);
        steps.need(Step::Load(name), loaded.map_err(|error| refused("loading", name, &error)));
    }
    let mut walk = |name| {
        let attached = attach_walk(&mut ebpf, name, &types);
        steps.want(Step::Load(name), attached.map_err(|error| refused("loading", name, &error)))
    };
    let (seed_files, seed_namespace) = (walk("seed_files"), walk("seed_namespace"));
    if steps.failed() {
        return None;
    }
    let run = sampler::run(&ebpf, 0, 0);
    steps.need(Step::Run(SAMPLE), run.map_err(|error| refused("running", SAMPLE, &error)));
    // Attached first, so that the cgroup of each connection is known.
    let cgroups = CgroupWatch::attach(&mut ebpf, options, &offsets, steps);
    let mut copies = Copies { names, links: Vec::new() };
    for &name in names {
        let attached = attach_tracepoint(&mut ebpf, name);
        let link =
            steps.need(Step::Attach(name), attached.map_err(|error| refused("attaching", name, &error)));
        copies.links.extend(link);
    }
    if steps.failed() {
        return None;
    }
    Some(Attached {
        cgroups: cgroups?,
        ebpf,
        copies,
        seed_files,
        seed_namespace,
        offsets,
        buckets: settings.buckets,
        transitions_bytes,
        samples_bytes,
    })
}

fn read_types() -> Result<(Btf, Offsets), Diagnosis> {
    let bytes = std::fs::read(btf::VMLINUX).map_err(Diagnosis::unreadable_btf)?;
    let offsets = btf::of_this_kernel(&bytes)?;
    let types = Btf::parse(&bytes, Endianness::default())
        .map_err(|error| Diagnosis::Btf { reason: format!("cannot be parsed: {}", with_causes(&error)) })?;
    Ok((types, offsets))
}

fn create_maps(
    options: &Options,
    offsets: &Offsets,
    settings: &Settings,
    types: &Btf,
    (transitions_bytes, samples_bytes): (u32, u32),
) -> Result<Ebpf, Diagnosis> {
    let mut ebpf = EbpfLoader::new()
        .btf(Some(types))
        .override_global("OFFSETS", offsets.as_bytes(), true)
        .override_global("SETTINGS", settings.as_bytes(), true)
        .map_max_entries("keys", settings.buckets)
        .map_max_entries("entries", settings.buckets * BUCKET_KEYS)
        .map_max_entries("transitions", transitions_bytes)
        .map_max_entries("samples", samples_bytes)
        .map_max_entries("cgroup_scope", if options.cgroup.is_some() { MAX_SCOPE } else { 1 })
        .load(&object::bytes()?)
        .map_err(|error| explain("creating the maps", root_cause(&error), with_causes(&error)))?;
    if let Some(map) = ebpf.map_mut("port_scope") {
        Array::<_, [u64; 1024]>::try_from(map)
            .and_then(|mut ports| ports.set(0, layout::ports(options), 0))
            .map_err(|error| explain("setting the port scope", root_cause(&error), with_causes(&error)))?;
    }
    Ok(ebpf)
}

/// Returns the nearest size that the kernel accepts for a ring buffer.
fn ring_bytes(wanted: u32) -> u32 {
    wanted.clamp(MIN_RING_BYTES, MAX_RING_BYTES).next_power_of_two()
}

fn refused(action: &str, name: &str, error: &(dyn std::error::Error + 'static)) -> Diagnosis {
    explain(format!("{action} `{name}`"), root_cause(error), with_causes(error))
}

fn load(ebpf: &mut Ebpf, name: &str, types: &Btf) -> Result<(), EbpfError> {
    let program = ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?;
    match name {
        SAMPLE => <&mut RawTracePoint>::try_from(program)?.load()?,
        "seed_files" => <&mut Iter>::try_from(program)?.load("task_file", types)?,
        "seed_namespace" => <&mut Iter>::try_from(program)?.load("tcp", types)?,
        _ => <&mut BtfTracePoint>::try_from(program)?.load(TRACEPOINT, types)?,
    }
    Ok(())
}

fn tracepoint<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut BtfTracePoint, ProgramError> {
    ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}

fn attach_tracepoint(ebpf: &mut Ebpf, name: &'static str) -> Result<CopyLink, EbpfError> {
    let copy = tracepoint(ebpf, name)?;
    let id = copy.attach()?;
    let link = FdLink::from(copy.take_link(id)?);
    let program = copy.info()?.id();
    Ok(CopyLink { name, link, program })
}

// === impl Copies ===

impl Copies {
    /// Detaches all copies, and attaches them again if `attached` is true.
    pub fn set_attached(&mut self, ebpf: &mut Ebpf, attached: bool) -> Result<(), Diagnosis> {
        self.links.clear();
        for &name in self.names.iter().filter(|_| attached) {
            let link = attach_tracepoint(ebpf, name).map_err(|error| refused("attaching", name, &error))?;
            self.links.push(link);
        }
        Ok(())
    }

    /// Returns why a copy no longer sees opens and closes, as the kernel reports. `None` if all copies are attached.
    pub fn fault(&self) -> Option<String> {
        self.names.iter().find_map(|name| {
            let Some(attached) = self.links.iter().find(|attached| attached.name == *name) else {
                return Some(format!("the program `{name}` is detached"));
            };
            match attached.link.info() {
                Ok(info) if info.program_id() == attached.program => None,
                Ok(_) => Some(format!("the program `{name}` is detached: its link is of another program")),
                Err(error) => Some(format!("the program `{name}` is detached: {}", with_causes(&error))),
            }
        })
    }
}

fn attach_walk(ebpf: &mut Ebpf, name: &'static str, types: &Btf) -> Result<Walk, EbpfError> {
    load(ebpf, name, types)?;
    let program = ebpf.program(name).ok_or(ProgramError::NotLoaded)?;
    let attached = Walk::attach(name, program.fd()?.as_fd());
    attached.map_err(|error| EbpfError::ProgramError(ProgramError::IOError(error)))
}
