//! Images without a registry: made by hand as `docker save` would, imported where the kubelet looks.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;

use super::components::ctr;
use super::layout::Layout;
use super::tar::{Archive, Kind};
use crate::sh;
use crate::vm::suite;

const BUSYBOX: &str = "/bin/busybox";
/// The label by which containerd's Kubernetes side marks the images that it knows.
const KNOWN: &str = "io.cri-containerd.image=managed";

/// `cargo xtask cluster image`
#[derive(Args)]
pub struct Options {
    /// The program: static. It becomes /<file name> and the entry point; busybox becomes /bin/busybox, with a link for each tool.
    /// `bin:longwave` and `test:<name>` are built first, from this workspace.
    program: String,
    /// The image's name and tag, as pods will write it: `longwave/peer:1`.
    name: String,
    /// The archive to write.
    #[arg(long, short, value_name = "TAR")]
    output: PathBuf,
    /// More files: HOST:PATH in the image, with the host's mode. Repeatable.
    #[arg(long = "file", value_name = "HOST:PATH")]
    files: Vec<String>,
    /// The command, instead of the program itself. Repeatable, a word each.
    #[arg(long = "command", value_name = "WORD", allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Writes an image as told.
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

/// The file, and what it is called in the image.
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

/// Imports an archive, and waits until the kubelet's side of containerd knows its images.
pub fn load(layout: &Layout, archive: &Path) -> Result<()> {
    if !layout.exists() {
        bail!("cluster: is down: run `cargo xtask cluster up`");
    }
    let output = sh::output(ctr(layout).args(["images", "import"]).arg(archive))?;
    let names: Vec<&str> =
        output.lines().filter_map(|line| line.strip_prefix("unpacking ")?.split(' ').next()).collect();
    if names.is_empty() {
        bail!("cluster: {}: holds no named image: {output}", archive.display());
    }
    let until = Instant::now() + Duration::from_secs(60);
    for name in names {
        eprintln!("cluster: image {name}");
        let filter = format!("name=={name}");
        while !sh::output(ctr(layout).args(["images", "list", &filter]))?.contains(KNOWN) {
            if Instant::now() > until {
                bail!("cluster: {name}: containerd does not tell the kubelet's side of it");
            }
            // It follows containerd's events, and shows that it did only in the list.
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

/// One layer, as `docker save` lays it out.
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
    let mut archive = Archive::new(file);
    archive
        .add(&config_name, 0o644, &Kind::File(config.as_bytes()))
        .and_then(|()| archive.add("layer.tar", 0o644, &Kind::File(&layer)))
        .and_then(|()| archive.add("manifest.json", 0o644, &Kind::File(manifest.as_bytes())))
        .and_then(|()| archive.finish().map(|_| ()))
        .with_context(|| format!("cluster: write {}", output.display()))
}

fn sha256(data: &[u8]) -> Result<String> {
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cluster: sha256sum could not be started: install coreutils")?;
    // Its answer is one line, written after all has been read: no pipe can fill.
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(data).context("cluster: write to sha256sum")?;
    }
    let output = child.wait_with_output().context("cluster: wait for sha256sum")?;
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    line.split(' ')
        .next()
        .filter(|sum| sum.len() == 64)
        .map(str::to_owned)
        .context("cluster: sha256sum gave no sum")
}

/// The files of an image.
struct Layer {
    archive: Archive<Vec<u8>>,
    folders: BTreeSet<String>,
}

// === impl Layer ===

impl Layer {
    fn new() -> Self {
        Self { archive: Archive::new(Vec::new()), folders: BTreeSet::new() }
    }

    fn busybox(&mut self, program: &Path) -> Result<()> {
        self.host_file(program, "bin/busybox")?;
        let tools = sh::output(Command::new(program).arg("--list"))
            .with_context(|| format!("cluster: {}: install busybox-static", program.display()))?;
        for tool in tools.lines().filter(|tool| *tool != "busybox") {
            self.add(&format!("bin/{tool}"), 0o777, &Kind::Link("busybox"))?;
        }
        self.add("etc/passwd", 0o644, &Kind::File(b"root:x:0:0:root:/:/bin/sh\n"))?;
        self.add("etc/group", 0o644, &Kind::File(b"root:x:0:\n"))?;
        self.folder("tmp/", 0o1777)
    }

    fn host_file(&mut self, host: &Path, path: &str) -> Result<()> {
        let data = fs::read(host).with_context(|| format!("cluster: read {}", host.display()))?;
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &fs::metadata(host).with_context(|| format!("cluster: read {}", host.display()))?.permissions(),
        );
        self.add(path.trim_start_matches('/'), mode & 0o7777, &Kind::File(&data))
    }

    /// An entry, after the folders above it.
    fn add(&mut self, path: &str, mode: u32, kind: &Kind) -> Result<()> {
        for (at, _) in path.match_indices('/') {
            self.folder(&path[..=at], 0o755)?;
        }
        self.archive.add(path, mode, kind).with_context(|| format!("cluster: image: {path}"))
    }

    fn folder(&mut self, path: &str, mode: u32) -> Result<()> {
        if self.folders.insert(path.to_owned()) {
            self.archive.add(path, mode, &Kind::Folder).with_context(|| format!("cluster: image: {path}"))?;
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<u8>> {
        self.archive.finish().context("cluster: image")
    }
}
