//! Loading and attaching the programs.

use std::os::fd::AsFd;

use aya::maps::{Array, Map};
use aya::programs::{BtfTracePoint, Iter};
use aya::{Btf, Ebpf, EbpfLoader, Endianness};
use longwave_ebpf_abi::{Offsets, Settings};
use longwave_pipeline::causes::with_causes;

use super::diagnosis::{explain, preflight, root_cause};
use super::iterator::Iterator;
use super::{Diagnosis, Options, btf, layout, object};

const TRACEPOINT: &str = "inet_sock_set_state";
const PAGE: u32 = 4096;
const LARGEST_RING: u32 = 1 << 30;

/// Programs by name, in the order in which they are attached: `state` before `state_again`.
pub const PROGRAMS: [&str; 5] = ["state", "state_again", "sample", "seed_files", "seed_namespace"];

/// What was loaded and attached; dropping it detaches.
pub struct Attached {
    pub ebpf: Ebpf,
    pub sample: Iterator,
    pub seed_files: Iterator,
    pub seed_namespace: Iterator,
    pub transitions_bytes: u32,
    pub samples_bytes: u32,
}

/// Plain data whose bytes the programs read.
trait Global {}
impl Global for Offsets {}
impl Global for Settings {}

fn bytes<T: Global>(value: &T) -> &[u8] {
    // SAFETY: `#[repr(C)]` without padding.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// Loads every program and attaches it; nothing is seeded yet.
pub fn attach(options: &Options) -> Result<Attached, Diagnosis> {
    preflight()?;
    let types = std::fs::read(btf::VMLINUX).map_err(|source| Diagnosis::NoBtf { source })?;
    let offsets = btf::of_this_kernel(&types)?;
    let settings = layout::settings(options, &offsets)?;
    let types = Btf::parse(&types, Endianness::default())
        .map_err(|error| Diagnosis::Btf { reason: format!("cannot be parsed: {}", with_causes(&error)) })?;
    let (transitions_bytes, samples_bytes) =
        (ring(options.transitions_ring_bytes), ring(options.samples_ring_bytes));

    let mut ebpf = EbpfLoader::new()
        .btf(Some(&types))
        .override_global("OFFSETS", bytes(&offsets), true)
        .override_global("SETTINGS", bytes(&settings), true)
        .map_max_entries("connections", options.max_connections.max(1))
        .map_max_entries("transitions", transitions_bytes)
        .map_max_entries("samples", samples_bytes)
        .load(&object::bytes()?)
        .map_err(|error| explain("loading the maps", root_cause(&error), with_causes(&error)))?;
    if let Some(map) = ebpf.map_mut("port_scope") {
        Array::<_, [u64; 1024]>::try_from(map)
            .and_then(|mut ports| ports.set(0, layout::ports(options), 0))
            .map_err(|error| explain("setting the port scope", root_cause(&error), with_causes(&error)))?;
    }

    for name in PROGRAMS {
        load(&mut ebpf, name, &types)
            .map_err(|error| explain(format!("loading `{name}`"), root_cause(&error), with_causes(&error)))?;
    }
    let sample = iterator(&ebpf, "sample", true)?;
    let seed_files = iterator(&ebpf, "seed_files", false)?;
    let seed_namespace = iterator(&ebpf, "seed_namespace", false)?;
    for name in ["state", "state_again"] {
        attach_tracepoint(&mut ebpf, name).map_err(|error| {
            explain(format!("attaching `{name}`"), root_cause(&error), with_causes(&error))
        })?;
    }
    Ok(Attached { ebpf, sample, seed_files, seed_namespace, transitions_bytes, samples_bytes })
}

/// A size that the kernel takes for a ring buffer.
fn ring(wanted: u32) -> u32 {
    wanted.clamp(PAGE, LARGEST_RING).next_power_of_two()
}

fn load(ebpf: &mut Ebpf, name: &str, types: &Btf) -> Result<(), aya::EbpfError> {
    let Some(program) = ebpf.program_mut(name) else {
        return Err(aya::programs::ProgramError::NotLoaded.into());
    };
    match name {
        "sample" => <&mut Iter>::try_from(program)?.load("bpf_map_elem", types)?,
        "seed_files" => <&mut Iter>::try_from(program)?.load("task_file", types)?,
        "seed_namespace" => <&mut Iter>::try_from(program)?.load("tcp", types)?,
        _ => <&mut BtfTracePoint>::try_from(program)?.load(TRACEPOINT, types)?,
    }
    Ok(())
}

fn attach_tracepoint(ebpf: &mut Ebpf, name: &str) -> Result<(), aya::EbpfError> {
    if let Some(program) = ebpf.program_mut(name) {
        <&mut BtfTracePoint>::try_from(program)?.attach()?;
    }
    Ok(())
}

/// Attaches an iterator program; to the connection table where `over_table`.
fn iterator(ebpf: &Ebpf, name: &'static str, over_table: bool) -> Result<Iterator, Diagnosis> {
    let missing =
        || Diagnosis::Program { what: format!("attaching `{name}`"), reason: "the object lacks it".into() };
    let program = ebpf.program(name).ok_or_else(missing)?.fd().map_err(|_| missing())?;
    let map = match ebpf.map("connections") {
        Some(Map::HashMap(map)) if over_table => Some(map.fd().as_fd()),
        _ => None,
    };
    Iterator::attach(name, program.as_fd(), map)
        .map_err(|error| explain(format!("attaching `{name}`"), root_cause(&error), with_causes(&error)))
}
