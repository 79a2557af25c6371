#![allow(clippy::unwrap_used)]

mod links;
mod metrics_page;
mod settings_page;

use std::io::ErrorKind;
use std::os::unix::net::UnixListener;

use anyhow::{Context, anyhow};
use clap::CommandFactory;
use longwave_config::{Sources, load};
use longwave_pipeline::runtime::Plan;

use super::check::view::View;
use super::*;

/// The file tree of a host.
struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Returns the path below the tree, and creates its directory.
    fn at(&self, path: &str) -> PathBuf {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn listen(&self, path: &str) -> UnixListener {
        UnixListener::bind(self.at(path)).unwrap()
    }

    fn add_service_account(&self) {
        for file in ["token", "ca.crt"] {
            std::fs::write(self.at(&format!("var/run/secrets/kubernetes.io/serviceaccount/{file}")), "x")
                .unwrap();
        }
    }

    /// Returns what a process sees that runs on the host, or in a pod.
    fn view(&self, pod: bool) -> View {
        View::new(self.0.path(), move |name| {
            (pod && name == "KUBERNETES_SERVICE_HOST").then(|| "10.96.0.1".to_owned())
        })
    }
}

/// Returns the plan of a configuration, which has to be valid.
fn plan(configs: Vec<String>) -> Plan {
    let loaded = load(&Sources::new(configs.clone(), Vec::new())).unwrap();
    Plan::new(&loaded.document, &registry()).unwrap_or_else(|errors| panic!("{errors}\n{configs:?}"))
}

fn plan_of(yaml: &str) -> Plan {
    plan(vec![format!("yaml:{yaml}")])
}

/// *Scenario*: an error whose message quotes its cause, wrapped in an error whose message does not.
/// *Guarantees*: each is printed once, the outer first.
#[test]
fn causes_are_printed_once() {
    let quoting = Err::<(), _>(anyhow!("No such file")).context("receivers::replay: x.lwr: No such file");
    let error = quoting.context("failed to start receivers::replay").unwrap_err();
    assert_eq!(with_causes(error.as_ref()), "failed to start receivers::replay: x.lwr: No such file");
}

/// *Scenario*: `print-config` for the embedded configuration, and for one with every component and its defaults. Neither has secrets.
/// *Guarantees*: the output is a configuration with the same meaning.
#[test]
fn printed_configuration_can_be_loaded() {
    let every = "
receivers: {bpf: , sock_diag: , replay: {path: 'a$$b.lwr'}}
processors: {workload: , filter: {include: {ports: [80]}}, window: }
exporters:
  stdout:
  otlp_grpc: {endpoint: 'localhost:4317', tls: {insecure: true}}
  otlp_http: {endpoint: 'http://localhost:4318'}
  record_file: {path: 0123}
service:
  pipelines:
    metrics: {receivers: [bpf, sock_diag], processors: [workload, filter, window], exporters: [stdout, otlp_grpc]}
    logs: {receivers: [replay], exporters: [record_file, otlp_http]}
";
    for yaml in [include_str!("../../config/examples/default.yaml"), every] {
        let first = plan_of(yaml);
        let printed = first.to_yaml().unwrap();
        assert_eq!(plan_of(&printed).effective, first.effective, "{printed}");
    }
}

/// *Scenario*: no `--config`: on a host with nothing, on one with Podman, in a pod on a node with Docker, in a pod without a service account,
/// and in a container without cgroup2.
/// *Guarantees*: each gives a valid plan whose sources are those that were found, with cgroups last, or processes where there are no cgroups.
#[test]
fn without_a_configuration_the_available_sources_are_used() {
    let host = Host::new();
    let sources = |pod: bool| {
        let defaults = default::for_host(&host.view(pod), || Ok::<(), String>(()));
        assert_eq!(defaults.warning, None);
        let text = plan(defaults.configs).to_yaml().unwrap();
        let sources: Vec<String> = text
            .lines()
            .skip_while(|line| line.trim() != "workload:")
            .skip_while(|line| line.trim() != "sources:")
            .skip(1)
            .map_while(|line| line.trim().strip_prefix("- ").map(str::to_owned))
            .collect();
        (sources.join(" "), text)
    };
    assert_eq!(sources(false).0, "cgroup");
    assert_eq!(sources(true).0, "cgroup", "a pod without a service account");
    let podman_socket = host.listen("run/podman/podman.sock");
    let (podman, text) = sources(false);
    assert_eq!(podman, "docker cgroup");
    assert!(text.contains("unix:///run/podman/podman.sock"), "{text}");
    let docker_socket = host.listen("var/run/docker.sock");
    host.add_service_account();
    let (both, text) = sources(true);
    assert_eq!(both, "kubernetes docker cgroup");
    assert!(text.contains("unix:///var/run/docker.sock"), "{text}");
    std::fs::write(host.at("proc/self/mountinfo"), "41 31 0:38 / / rw - ext4 /dev/vda rw\n").unwrap();
    assert_eq!(sources(true).0, "kubernetes docker process");
    drop((podman_socket, docker_socket));
    assert_eq!(sources(false).0, "process");
}

/// *Scenario*: no `--config`, on a host where BPF cannot run.
/// *Guarantees*: the plan has the receiver `sock_diag` instead of `bpf`, and the same processors. One line says what is less exact, and
/// ends
/// with the reason and the remedy.
#[test]
fn without_bpf_the_embedded_configuration_uses_sock_diag() {
    let defaults = default::for_host(&Host::new().view(false), || Err("missing CAP_BPF: run as root"));
    let text = plan(defaults.configs).to_yaml().unwrap();
    assert!(text.contains("- sock_diag") && !text.contains("bpf"), "{text}");
    assert!(text.contains("- workload") && text.contains("- window"), "{text}");
    let warning = defaults.warning.unwrap();
    assert!(
        !warning.contains('\n') && warning.ends_with("To get the rest: missing CAP_BPF: run as root"),
        "{warning}"
    );
}

/// *Scenario*: `init` on a host with nothing, on one with Docker, and in a pod; then the same with every comment that is YAML made active.
/// *Guarantees*: each configuration is valid without warnings about unused components, and names the sources that the host has.
#[test]
fn init_writes_valid_configurations() {
    let host = Host::new();
    let written = |pod: bool| init::configuration(&host.view(pod));
    let nothing = written(false);
    host.add_service_account();
    let _docker = host.listen("var/run/docker.sock");
    let (docker, both) = (written(false), written(true));
    for text in [&nothing, &docker, &both] {
        assert_eq!(plan_of(text).warnings, Vec::<String>::new(), "{text}");
        let setting =
            |line: &str| line.trim_start().starts_with("# ") && (line.ends_with(':') || line.contains(": "));
        let is_prose = |line: &str| line.contains(". ") || line.ends_with('.');
        let active: Vec<String> =
            text.lines()
                .map(|line| {
                    if setting(line) && !is_prose(line) {
                        line.replacen("# ", "", 1)
                    } else {
                        line.to_owned()
                    }
                })
                .collect();
        assert!(active.iter().any(|line| line == "  otlp_grpc:"), "{active:?}");
        plan_of(&active.join("\n"));
    }
    insta::assert_snapshot!("init_with_nothing", nothing);
    insta::assert_snapshot!("init_in_a_pod_with_docker", both);
}

/// *Scenario*: a terminal and a pipe, with `NO_COLOR` unset, empty, and set.
/// *Guarantees*: only a terminal without `NO_COLOR` has colors; an empty value counts as unset.
#[test]
fn no_color_is_respected_on_stderr() {
    use std::ffi::OsStr;

    use logging::is_colored;
    assert!(is_colored(true, None) && is_colored(true, Some(OsStr::new(""))));
    assert!(!is_colored(true, Some(OsStr::new("1"))) && !is_colored(false, None));
}

/// *Scenario*: `--config` and `--set` before and after each command that reads no configuration.
/// *Guarantees*: the command is refused with the remedy, so that no flag is ignored.
#[test]
fn flags_that_mean_nothing_are_refused() {
    let refused = |line: &str| parse_line(line).err().unwrap().to_string();
    let commands = [
        "components",
        "version",
        "man",
        "completions bash",
        "init -",
        "top",
        "top rtt>5ms",
        "observe",
        "observe rtt>5ms",
    ];
    for command in commands {
        let first = parse_line(&format!("longwave -c /nope {command}")).ok().unwrap();
        let lines = [
            run_command(first, &registry()).unwrap_err().to_string(),
            refused(&format!("longwave {command} -c /nope")),
            refused(&format!("longwave {command} --config=/nope")),
            refused(&format!("longwave {command} --set a=b")),
        ];
        for refused in lines {
            assert!(refused.contains("leave out --config and --set"), "{command}: {refused}");
        }
    }
    insta::assert_snapshot!(refused("longwave top --config my.yaml"), @r"
    error: unexpected argument '--config' found

      tip: this command reads no configuration: leave out --config and --set

    Usage: longwave top [OPTIONS] [EXPRESSION]...

    For more information, try '--help'.
    ");
}

/// *Scenario*: a file that does not exist, before and after each command that reads a configuration, and flags on both sides.
/// *Guarantees*: the command reads the file. Flags before the command precede those after it.
#[test]
fn configurations_stand_before_and_after_a_command() {
    for command in ["run", "validate", "print-config", "check"] {
        for line in [format!("longwave -c /nope {command}"), format!("longwave {command} --config /nope")] {
            let error = run_command(parse_line(&line).ok().unwrap(), &registry()).unwrap_err().to_string();
            assert!(error.contains("/nope"), "{line}: {error}");
        }
    }
    let mut before = SourceArgs { config: vec!["a".to_owned()], set: vec!["b=1".to_owned()] };
    before.append(&SourceArgs { config: vec!["c".to_owned()], set: vec!["b=2".to_owned()] });
    assert_eq!((before.config.join(" "), before.set.join(" ")), ("a c".to_owned(), "b=1 b=2".to_owned()));
}

/// *Scenario*: the help of `longwave` and of each command.
/// *Guarantees*: each lists the flags that the command takes, and no others.
#[test]
fn help_lists_what_a_command_takes() {
    let mut cli = Cli::command();
    cli.build();
    let mut help = cli.render_long_help().to_string();
    for command in cli.get_subcommands_mut().filter(|command| command.get_name() != "help") {
        let text = command.render_long_help();
        help += &format!("\n# {}\n\n{text}", command.get_name());
    }
    insta::assert_snapshot!(help);
}

fn parse_line(line: &str) -> Result<Cli, clap::Error> {
    parse(line.split(' ').map(OsString::from))
}

/// *Scenario*: `observe` with each output, with and without a file, with an expression that has quotes, `$` and spaces; and with one that
/// is
/// wrong.
/// *Guarantees*: each gives a valid plan with the expression as it was written. A Longwave with an exporter `live` is preferred to the
/// kernel. The wrong one is refused with a caret at the mistake.
#[test]
fn observe_writes_valid_pipelines() {
    let host = Host::new();
    let view = host.view(false);
    let args = |line: &[&str]| match Cli::parse_from([&["longwave", "observe"], line].concat()).command {
        Some(Command::Observe(args)) => args,
        _ => panic!("{line:?}"),
    };
    // With a character that combines with the one before it, and one that a terminal obeys.
    let odd_path = "odd $HOME \"e\u{301}\u{1b}\".lwr";
    let odd = r#"workload="a $b 'c" or process='\d'"#;
    for output in ["text", "json", "table"] {
        for file in [&[][..], &["--file", odd_path]] {
            for expression in [&[][..], &["port=443", "rtt>5ms"], &[odd]] {
                let line = [&["-o", output], file, expression].concat();
                let plan = plan(observe::configs(&args(&line), &view, || "bpf").unwrap());
                let filter = plan.effective.get("processors").and_then(|processors| processors.get("filter"));
                let printed = filter.and_then(|filter| filter.get("where")).cloned();
                let expected =
                    (!expression.is_empty()).then(|| longwave_config::Value::Str(expression.join(" ")));
                assert_eq!(printed, expected);
                let replay = plan.effective.get("receivers").and_then(|receivers| receivers.get("replay"));
                let path = replay.and_then(|replay| replay.get("path")).cloned();
                assert_eq!(path, file.last().map(|path| longwave_config::Value::Str((*path).to_owned())));
            }
        }
    }
    let listener = host.listen("run/longwave/live.sock");
    let configs = || observe::configs(&args(&[]), &view, || "sock_diag").unwrap();
    let live = || configs().join("\n").contains("/run/longwave/live.sock");
    assert!(live());
    drop(listener);
    assert!(!live(), "no process listens any more");
    let error = observe::configs(&args(&["port=443", "rrt>5ms"]), &view, || "bpf").unwrap_err().to_string();
    assert_eq!(error, "\nport=443 rrt>5ms\n         ^ unknown field \"rrt\" (did you mean rtt?)");
}

/// *Scenario*: `observe` and `top` find no socket of a running Longwave, one on which no process listens, and one that refuses this user.
/// *Guarantees*: the first two mean that none runs. The last is an error that names the group that may connect: the kernel would have less.
#[test]
fn a_socket_that_refuses_the_user_is_an_error() {
    for none in [ErrorKind::NotFound, ErrorKind::ConnectionRefused] {
        assert_eq!(running::accepted(Err(none.into())).unwrap(), None);
    }
    let error = running::accepted(Err(ErrorKind::PermissionDenied.into())).unwrap_err().to_string();
    assert!(error.contains("exporters::live::group"), "{error}");
}

/// *Scenario*: `top` without a Longwave that sends records, with one, with a record file as argument or flag, with a condition, with both,
/// and with one that
/// is wrong.
/// *Guarantees*: the source is the file if there is one, else the socket if it accepts this process, else the kernel, for which the
/// configuration is
/// valid. A condition is read as by `observe`.
#[test]
fn top_finds_its_source() {
    let host = Host::new();
    let view = host.view(false);
    let args = |line: &[&str]| match Cli::parse_from([&["longwave", "top"], line].concat()).command {
        Some(Command::Top(args)) => args,
        _ => panic!("{line:?}"),
    };
    let request = |line: &[&str]| top::Request::new(&args(line), &view).map_err(|error| error.to_string());
    let file = host.at("x.lwr");
    std::fs::write(&file, "").unwrap();
    let path = file.to_str().unwrap();
    assert_eq!(request(&[]), Ok(top::Request { path: None, filter: String::new() }));
    let of_file = |filter: &str| Ok(top::Request { path: Some(file.clone()), filter: filter.to_owned() });
    assert_eq!(request(&[path]), of_file(""));
    assert_eq!(request(&["-f", path, "port=443", "rtt>5ms"]), of_file("port=443 rtt>5ms"));
    let error = request(&["port=443", "rrt>5ms"]).unwrap_err();
    assert_eq!(error, "\nport=443 rrt>5ms\n         ^ unknown field \"rrt\" (did you mean rtt?)");
    let _listener = host.listen("run/longwave/live.sock");
    let live = Some(PathBuf::from("/run/longwave/live.sock"));
    assert_eq!(request(&[]), Ok(top::Request { path: live, filter: String::new() }));
    for receiver in ["bpf", "sock_diag"] {
        let yaml = top::configuration(&host.at("live.sock"), receiver, default::names(&view));
        assert_eq!(plan_of(&yaml).warnings, Vec::<String>::new());
    }
}

/// *Scenario*: `top` with a stdout that is no terminal, as that of a test.
/// *Guarantees*: it is refused, and the error names the command for pipes.
#[test]
fn top_needs_a_terminal() {
    let refused = top::check_terminal(false, None).unwrap_err().to_string();
    assert!(refused.contains("longwave observe"), "{refused}");
    assert!(top::check_terminal(true, Some("dumb")).is_err());
    assert!(top::check_terminal(true, Some("xterm")).is_ok());
}
