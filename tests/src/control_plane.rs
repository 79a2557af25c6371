//! A real API server and etcd, for tests that need neither a node nor controllers. Several control planes can run at the same time.

use std::fs::{self, File};
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::api_server::ApiServer;
use crate::cgroup;
use crate::cluster::programs;
use crate::longwave::free_address;

/// Time limit of a start. A start usually takes 5 s, and longer under load.
const LIMIT: Duration = Duration::from_secs(120);

/// Both processes and their files. When dropped, the processes are killed and the files removed.
pub struct ControlPlane {
    /// The API server.
    pub server: ApiServer,
    /// Token of the administrator.
    pub token: String,
    _processes: [Process; 2],
    folder: TempDir,
}

/// A process that is killed when dropped, and when the test dies.
struct Process {
    child: Child,
    log: PathBuf,
}

// === impl ControlPlane ===

impl ControlPlane {
    /// Starts both processes. Skips the test if a program is missing.
    ///
    /// # Panics
    /// If a process does not start, with the end of its log. If a program is missing and `LONGWAVE_REQUIRE_PEERS` is `1`.
    pub fn start() -> Self {
        let programs = programs(&["etcd", "kube-apiserver"]);
        let folder = tempfile::tempdir().unwrap();
        let store = free_address();
        let mut etcd = Process::start(&programs.join("etcd"), folder.path(), &etcd(folder.path(), store));

        let path = |name| folder.path().join(name);
        let token =
            [(); 2].map(|()| format!("{:016x}", std::hash::RandomState::new().hash_one(0u8))).concat();
        fs::write(path("tokens.csv"), format!("{token},admin,admin,\"system:masters\"\n")).unwrap();
        let key = path("service-account.key");
        let made = Command::new("openssl").args(["genrsa", "-out"]).arg(&key).arg("2048").output().unwrap();
        assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
        let address = free_address();
        let flags = api_server(folder.path(), address, store);
        let mut server = Process::start(&programs.join("kube-apiserver"), folder.path(), &flags);

        let ca = path("ca.crt");
        for wait in [&mut etcd, &mut server] {
            wait.alive();
        }
        server.until(|| authority(&path("apiserver.crt")).is_some_and(|text| fs::write(&ca, text).is_ok()));
        server.until(|| std::net::TcpStream::connect(address).is_ok());
        let client = ApiServer::at(address, &ca);
        let mut session = client.session(&token);
        server.until(|| session.request("GET", "/readyz", "application/json", "").0 == 200);
        Self { server: client, token, _processes: [server, etcd], folder }
    }

    /// Writes a kubeconfig of the administrator and returns its path.
    pub fn kubeconfig(&self) -> PathBuf {
        let path = self.folder.path().join("kubeconfig");
        let cluster = json!({
            "server": format!("https://{}", self.server.address),
            "certificate-authority": self.folder.path().join("ca.crt"),
        });
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": self.token}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        });
        fs::write(&path, text.to_string()).unwrap();
        path
    }
}

/// Returns etcd's flags. Its data need not survive a power cut, so it does not sync to the disk.
fn etcd(folder: &Path, client: SocketAddr) -> Vec<String> {
    let peer = free_address();
    vec![
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls=http://{client}"),
        format!("--advertise-client-urls=http://{client}"),
        format!("--listen-peer-urls=http://{peer}"),
        format!("--initial-advertise-peer-urls=http://{peer}"),
        format!("--initial-cluster=default=http://{peer}"),
        "--unsafe-no-fsync".to_owned(),
    ]
}

/// Returns the API server's flags. It listens on loopback, which must not be an endpoint of the service `kubernetes`. So this service has
/// no endpoint.
fn api_server(folder: &Path, address: SocketAddr, store: SocketAddr) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    vec![
        format!("--etcd-servers=http://{store}"),
        format!("--bind-address={}", address.ip()),
        format!("--secure-port={}", address.port()),
        "--advertise-address=127.0.0.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--cert-dir={}", folder.display()),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--anonymous-auth=false".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("service-account.key")),
        format!("--service-account-signing-key-file={}", file("service-account.key")),
    ]
}

/// Returns the second certificate in the file, that of the CA, if it is complete. The first is that of the server.
fn authority(chain: &Path) -> Option<String> {
    let chain = fs::read_to_string(chain).ok()?;
    let (begin, _) = chain.match_indices("-----BEGIN CERTIFICATE-----").nth(1)?;
    chain[begin..].contains("-----END CERTIFICATE-----").then(|| chain[begin..].to_owned())
}

// === impl Process ===

impl Process {
    fn start(program: &Path, folder: &Path, flags: &[String]) -> Self {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let log = folder.join(format!("{name}.log"));
        let _lock = cgroup::lock_original();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(program)
            .args(flags)
            // The environment could contain settings of etcd (ETCD_…) or a proxy.
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder)
            // Collects garbage less often: the test has enough memory, but not enough CPU time.
            .env("GOGC", "300")
            .env("GOMEMLIMIT", "2GiB")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// Polls until `done` returns true, because there is no event to wait for.
    fn until(&mut self, mut done: impl FnMut() -> bool) {
        let end = Instant::now() + LIMIT;
        while !done() {
            self.alive();
            assert!(Instant::now() < end, "not ready within {LIMIT:?}:\n{}", self.tail());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn alive(&mut self) {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "{}: {ended:?}:\n{}", self.log.display(), self.tail());
    }

    fn tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(4000)..]).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
