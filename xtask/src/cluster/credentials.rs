//! Clients of the API server, each with a token, and the keys of the cluster.

use std::fs;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::json;

use super::layout::{Layout, NODE, api_url};
use crate::sh;

/// One client of the API server.
pub struct Client {
    /// Also the name of its kubeconfig: `<dir>/<name>.kubeconfig`.
    pub name: &'static str,
    user: &'static str,
    group: &'static str,
}

/// All clients. Their rights come from Kubernetes' default bindings, and those of the kubelet from the node authorizer.
pub const CLIENTS: [Client; 5] = [
    Client { name: "admin", user: "admin", group: "system:masters" },
    Client { name: "controller-manager", user: "system:kube-controller-manager", group: "" },
    Client { name: "scheduler", user: "system:kube-scheduler", group: "" },
    Client { name: "kube-proxy", user: "system:kube-proxy", group: "" },
    Client { name: "kubelet", user: "system:node:longwave-node", group: "system:nodes" },
];

/// Writes tokens, kubeconfigs and keys. The kubeconfigs refer to a CA file, which is written after the API server has created its
/// certificate.
pub fn write(layout: &Layout) -> Result<()> {
    let mut tokens = String::new();
    for client in &CLIENTS {
        debug_assert!(client.name != "kubelet" || client.user.ends_with(NODE));
        let token = token()?;
        tokens.push_str(&format!("{token},{},{},\"{}\"\n", client.user, client.name, client.group));
        let file = kubeconfig_path(layout, client.name);
        secret(&file, &kubeconfig(layout, client.user, &token))?;
        if client.name == "admin" {
            secret(&layout.token(), &token)?;
            secret(&layout.header(), &format!("Authorization: Bearer {token}\n"))?;
        }
    }
    secret(&layout.path("tokens.csv"), &tokens)?;
    keys(layout)
}

/// Returns the path of the kubeconfig of one of [`CLIENTS`].
pub fn kubeconfig_path(layout: &Layout, client: &str) -> std::path::PathBuf {
    if client == "admin" { layout.kubeconfig() } else { layout.path(&format!("{client}.kubeconfig")) }
}

/// Creates the key that signs the tokens of service accounts, and the certificate that the API server presents to the kubelet. The
/// certificate is self-signed, and the kubelet trusts no other.
fn keys(layout: &Layout) -> Result<()> {
    openssl(
        Command::new("openssl").args(["genrsa", "-out"]).arg(layout.path("service-account.key")).arg("2048"),
    )?;
    openssl(
        Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-keyout"])
            .arg(layout.path("kubelet-client.key"))
            .arg("-out")
            .arg(layout.path("kubelet-client.crt"))
            .args(["-subj", "/O=system:masters/CN=kube-apiserver"]),
    )
}

/// Runs openssl without its progress output.
fn openssl(command: &mut Command) -> Result<()> {
    sh::output_silent(command).map(|_| ())
}

fn kubeconfig(layout: &Layout, user: &str, token: &str) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "longwave", "cluster": {"server": api_url(), "certificate-authority": layout.ca()}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "longwave", "context": {"cluster": "longwave", "user": user}}],
        "current-context": "longwave",
    });
    format!("{config:#}\n")
}

fn token() -> Result<String> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes a file that only its owner can read.
fn secret(path: &Path, text: &str) -> Result<()> {
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
        .with_context(|| format!("cluster: write {}", path.display()))
}
