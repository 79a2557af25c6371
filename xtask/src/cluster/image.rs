//! Creates images without a registry, as archives in the format of `docker save`, and imports them into the kubelet's store.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use tar::{Builder, EntryType, Header};

use super::components::ctr;
use super::layout::Layout;
use crate::sh;
use crate::vm::suite;

const BUSYBOX: &str = "/bin/busybox";
/// Label that the Kubernetes plugin of containerd sets on an image once it lists the image.
const LISTED_LABEL: &str = "io.cri-containerd.image=managed";

/// `cargo xtask cluster image`
#[derive(Args)]
pub struct Options {
    /// The program, a static binary. It becomes /<file name> and the entry point; busybox becomes /bin/busybox, with a link for each tool.
    /// `bin:longwave` and `test:<name>` are built first, from this workspace.
    program: String,
    /// Name and tag of the image, as in pods: `longwave/peer:1`.
    name: String,
    /// The archive to write.
    #[arg(long, short, value_name = "TAR")]
    output: PathBuf,
    /// Another file: HOST, which becomes PATH in the image, with the mode that it has on the host. Repeatable.
    #[arg(long = "file", value_name = "HOST:PATH")]
    files: Vec<String>,
    /// One word of the command that replaces the program as the entry point. Repeatable.
    #[arg(long = "command", value_name = "WORD", allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Writes the image that the options describe.
pub fn main(options: &Options) -> Result<()> {
    let (program, name) = program(&options.program)?;
    let mut layer = Layer::new();
    let mut command = options.command.clone();
    if name == "busybox" {
        layer.busybox(&program)?;
        if command.is_empty() {
            command.push("/bin/sh".to_owned());
        }
    } else {
        layer.host_file(&program, &name)?;
        if command.is_empty() {
            command.push(format!("/{name}"));
        }
    }
    for file in &options.files {
        let Some((host, path)) = file.split_once(':') else {
            bail!("cluster: --file {file}: must be HOST:PATH")
        };
        layer.host_file(Path::new(host), path)?;
    }
    write(&options.name, &command, layer, &options.output)
}

/// Returns the path of the program on the host, and its name in the image. Builds it if it is of this workspace.
fn program(named: &str) -> Result<(PathBuf, String)> {
    let built = match named.split_once(':') {
        Some(("bin", name)) => suite::build(&["build", "--package", name, "--bin", name])?,
        Some(("test", name)) => {
            suite::build(&["test", "--no-run", "--package", "longwave-tests", "--test", name])?
        }
        _ => {
            let path = PathBuf::from(named);
            let name = path.file_name().with_context(|| format!("cluster: {named}: has no file name"))?;
            return Ok((path.clone(), name.to_string_lossy().into_owned()));
        }
    };
    let binary =
        built.into_iter().next().with_context(|| format!("cluster: cargo built nothing for {named}"))?;
    Ok((binary.path, binary.name))
}

/// Writes an image of busybox with its tools.
pub fn busybox(name: &str, command: &[&str], output: &Path) -> Result<()> {
    let mut layer = Layer::new();
    layer.busybox(Path::new(BUSYBOX))?;
    let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    write(name, &command, layer, output)
}

/// Imports an archive, and waits until the Kubernetes plugin of containerd lists its images.
pub fn load(layout: &Layout, archive: &Path) -> Result<()> {
    if !layout.exists() {
        bail!("cluster: is down: run `cargo xtask cluster up`");
    }
    let output = sh::output(ctr(layout).args(["images", "import"]).arg(archive))?;
    let names: Vec<&str> =
        output.lines().filter_map(|line| line.strip_prefix("unpacking ")?.split(' ').next()).collect();
    if names.is_empty() {
        bail!("cluster: {}: contains no image with a name: {output}", archive.display());
    }
    let until = Instant::now() + Duration::from_secs(60);
    for name in names {
        eprintln!("cluster: image {name}");
        let filter = format!("name=={name}");
        while !sh::output(ctr(layout).args(["images", "list", &filter]))?.contains(LISTED_LABEL) {
            if Instant::now() > until {
                bail!("cluster: {name}: the Kubernetes plugin of containerd does not list it");
            }
            // The plugin handles containerd's events in the background. Only the list shows when it has.
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

/// Writes an image of one layer in the format of `docker save`.
fn write(name: &str, command: &[String], layer: Layer, output: &Path) -> Result<()> {
    if !name.contains(':') {
        bail!("cluster: {name}: has no tag: a name like longwave/peer:1 keeps the kubelet from pulling");
    }
    let layer = layer.finish()?;
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "Entrypoint": command, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer)?)]},
        "history": [{"created_by": "cargo xtask cluster image"}],
    })
    .to_string();
    let config_name = format!("{}.json", sha256(config.as_bytes())?);
    let manifest = json!([{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]).to_string();
    let file = fs::File::create(output).with_context(|| format!("cluster: create {}", output.display()))?;
    let mut archive = Builder::new(file);
    [(&*config_name, config.as_bytes()), ("layer.tar", &layer), ("manifest.json", manifest.as_bytes())]
        .into_iter()
        .try_for_each(|(name, data)| append_file(&mut archive, name, 0o644, data))
        .and_then(|()| archive.finish())
        .with_context(|| format!("cluster: write {}", output.display()))
}

fn append_file(archive: &mut Builder<impl Write>, path: &str, mode: u32, data: &[u8]) -> io::Result<()> {
    archive.append_data(&mut header(EntryType::Regular, mode, data.len() as u64), path, data)
}

/// Returns the header of an entry that root owns. Its time is the epoch, so that equal contents give equal bytes.
fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn sha256(data: &[u8]) -> Result<String> {
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cluster: sha256sum could not be started: install coreutils")?;
    // sha256sum writes its only line after it has read everything, so no pipe can fill up.
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(data).context("cluster: write to sha256sum")?;
    }
    let output = child.wait_with_output().context("cluster: wait for sha256sum")?;
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    line.split(' ')
        .next()
        .filter(|sum| sum.len() == 64)
        .map(str::to_owned)
        .context("cluster: sha256sum printed no sum")
}

/// The files of an image.
struct Layer {
    archive: Builder<Vec<u8>>,
    folders: BTreeSet<String>,
}

// === impl Layer ===

impl Layer {
    fn new() -> Self {
        Self { archive: Builder::new(Vec::new()), folders: BTreeSet::new() }
    }

    fn busybox(&mut self, program: &Path) -> Result<()> {
        self.host_file(program, "bin/busybox")?;
        let tools = sh::output(Command::new(program).arg("--list"))
            .with_context(|| format!("cluster: {}: install busybox-static", program.display()))?;
        for tool in tools.lines().filter(|tool| *tool != "busybox") {
            self.link(&format!("bin/{tool}"), "busybox")?;
        }
        self.file("etc/passwd", 0o644, b"root:x:0:0:root:/:/bin/sh\n")?;
        self.file("etc/group", 0o644, b"root:x:0:\n")?;
        self.folder("tmp/", 0o1777)
    }

    fn host_file(&mut self, host: &Path, path: &str) -> Result<()> {
        let data = fs::read(host).with_context(|| format!("cluster: read {}", host.display()))?;
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &fs::metadata(host).with_context(|| format!("cluster: read {}", host.display()))?.permissions(),
        );
        self.file(path.trim_start_matches('/'), mode & 0o7777, &data)
    }

    fn file(&mut self, path: &str, mode: u32, data: &[u8]) -> Result<()> {
        self.parents(path)?;
        append_file(&mut self.archive, path, mode, data).with_context(|| format!("cluster: image: {path}"))
    }

    /// Adds a link to `target`, which is relative to the folder of the link.
    fn link(&mut self, path: &str, target: &str) -> Result<()> {
        self.parents(path)?;
        let mut header = header(EntryType::Symlink, 0o777, 0);
        self.archive.append_link(&mut header, path, target).with_context(|| format!("cluster: image: {path}"))
    }

    fn parents(&mut self, path: &str) -> Result<()> {
        path.match_indices('/').try_for_each(|(at, _)| self.folder(&path[..=at], 0o755))
    }

    /// Adds a folder, unless it was added before. `path` ends with a slash.
    fn folder(&mut self, path: &str, mode: u32) -> Result<()> {
        if self.folders.insert(path.to_owned()) {
            let mut header = header(EntryType::Directory, mode, 0);
            self.archive
                .append_data(&mut header, path, io::empty())
                .with_context(|| format!("cluster: image: {path}"))?;
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<u8>> {
        self.archive.into_inner().context("cluster: image")
    }
}

#[cfg(test)]
mod tests;
