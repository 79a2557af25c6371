//! The root file system of the guest. The cpio archive is not compressed, because under emulation it takes longer to decompress it than to
//! read it.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use cpio::newc::{Builder, trailer};

use super::kernel::Kernel;
use super::machine::Job;
use super::module;
use crate::sh;

/// Programs of the host that are copied into the guest, with their libraries. `true`: the tests need the program.
const TOOLS: &[(&str, bool)] =
    &[("dash", true), ("ip", true), ("nft", true), ("tc", false), ("ss", false), ("bpftool", false)];

const FILE: u32 = 0o100_755;
const FOLDER: u32 = 0o040_755;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// Writes an initramfs that runs the job's command and powers off.
pub fn write(out: impl Write, kernel: &Kernel, job: &Job) -> Result<()> {
    let mut archive = Archive { out, inode: 0, written: BTreeSet::new() };
    archive.device("dev/console", 5, 1)?;
    archive.file("init", include_bytes!("init.sh"))?;
    archive.file("command", command_script(kernel, job).as_bytes())?;
    archive.host_file("bin/busybox", &busybox()?)?;
    archive.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")?;
    archive.file("etc/group", b"root:x:0:\n")?;
    archive.file("etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n")?;
    for (tool, required) in TOOLS {
        match find(tool) {
            Some(path) => archive.tool(tool, &path)?,
            None if *required => bail!("vm: `{tool}` was not found: install dash, iproute2 and nftables"),
            None => {}
        }
    }
    let mut list = String::new();
    for module in module::load_order(&kernel.modules)? {
        archive.file(&format!("lib/modules/{}.ko", module.name), &module.object)?;
        list.push_str(&module.name);
        list.push('\n');
    }
    archive.file("lib/modules/list", list.as_bytes())?;
    for file in &job.files {
        archive.host_file(&file.guest, &file.host)?;
    }
    archive.finish()
}

/// Returns the job as a shell script, so that the guest needs no parser for environment and arguments.
fn command_script(kernel: &Kernel, job: &Job) -> String {
    let mut script = format!("#!/bin/busybox sh\nexport LONGWAVE_VM={}\n", kernel.version());
    for pair in &job.env {
        if let Some((name, value)) = pair.split_once('=') {
            script.push_str(&format!("export {name}={}\n", quote(value)));
        }
    }
    script.push_str("exec");
    for word in &job.command {
        script.push(' ');
        script.push_str(&quote(word));
    }
    script.push('\n');
    script
}

fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn find(tool: &str) -> Option<PathBuf> {
    let folders = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    folders.iter().map(|folder| Path::new(folder).join(tool)).find(|path| path.is_file())
}

fn busybox() -> Result<PathBuf> {
    let path = find("busybox").context("vm: busybox was not found: install busybox-static")?;
    if !libraries(&path)?.is_empty() {
        bail!("vm: {}: is not static: install busybox-static", path.display());
    }
    Ok(path)
}

/// Returns the paths of the shared libraries that a program needs, and of the loader.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let Ok(listing) = sh::output_silent(Command::new("ldd").arg(program)) else {
        // ldd fails for a static program.
        return Ok(Vec::new());
    };
    if let Some(missing) = listing.lines().find(|line| line.contains("not found")) {
        bail!("vm: {}: {}", program.display(), missing.trim());
    }
    let words = listing.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(words.map(PathBuf::from).collect())
}

/// A cpio archive that is being written.
struct Archive<W> {
    out: W,
    inode: u32,
    written: BTreeSet<String>,
}

// === impl Archive ===

impl<W: Write> Archive<W> {
    fn tool(&mut self, name: &str, path: &Path) -> Result<()> {
        for library in libraries(path)? {
            self.host_file(&library.to_string_lossy(), &library)?;
        }
        // /usr/sbin comes before /bin on the guest's PATH, where busybox has limited commands of the same names.
        self.host_file(&format!("usr/sbin/{name}"), path)
    }

    fn host_file(&mut self, guest: &str, host: &Path) -> Result<()> {
        let data = fs::read(host).with_context(|| format!("vm: read {}", host.display()))?;
        self.file(guest, &data)
    }

    fn file(&mut self, path: &str, data: &[u8]) -> Result<()> {
        self.entry(path, FILE, (0, 0), data)
    }

    fn device(&mut self, path: &str, major: u32, minor: u32) -> Result<()> {
        self.entry(path, CHARACTER_DEVICE, (major, minor), &[])
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), data: &[u8]) -> Result<()> {
        let path = path.trim_start_matches('/');
        for (at, _) in path.match_indices('/') {
            if self.written.insert(path[..at].to_owned()) {
                self.raw(&path[..at], FOLDER, (0, 0), &[])?;
            }
        }
        // Two tools may share a library.
        if self.written.insert(path.to_owned()) {
            self.raw(path, mode, device, data)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        trailer(&mut self.out).and_then(Write::flush).context("vm: write the initramfs")
    }

    fn raw(&mut self, path: &str, mode: u32, device: (u32, u32), data: &[u8]) -> Result<()> {
        self.inode += 1;
        let size = u32::try_from(data.len()).with_context(|| format!("vm: {path}: is 4 GiB or more"))?;
        let entry = Builder::new(path).ino(self.inode).mode(mode).rdev_major(device.0).rdev_minor(device.1);
        let mut entry = entry.write(&mut self.out, size);
        entry.write_all(data).context("vm: write the initramfs")?;
        entry.finish().context("vm: write the initramfs")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
