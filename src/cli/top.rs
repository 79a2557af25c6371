//! `longwave top`: shows connections on the whole screen. Without a running Longwave it is one itself, with a socket of its own.

use std::fs::{DirBuilder, remove_dir_all};
use std::io::{IsTerminal, stdout};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use longwave_exporters::Downloads;
use longwave_exporters::live::DEFAULT_PATH;
use longwave_pipeline::component::Registry;
use longwave_processors::filter::Expression;
use longwave_top::Source;
use longwave_top::app::{App, Origin};
use longwave_top::model::Model;
use longwave_top::source::live;
use longwave_top::source::notices::Notices;
use longwave_top::source::recording::Recording;

use super::check::view::View;
use super::configuration::try_bpf;
use super::default::{self, Names};
use super::run::{Service, executor};
use super::signals::Signals;
use super::{SourceArgs, TopArgs, configuration, logging, running};

/// What the flags request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Record file or socket. `None`: this host.
    pub(super) path: Option<PathBuf>,
    /// Condition on the connections; empty: all.
    pub(super) filter: String,
}

/// A directory that only this user can enter. It is removed at the end.
struct PrivateDirectory(PathBuf);

pub(super) fn run(args: &TopArgs, registry: &Registry) -> anyhow::Result<()> {
    check_terminal(stdout().is_terminal(), std::env::var("TERM").ok().as_deref())?;
    let view = View::of_this_process();
    let Request { path, filter } = Request::new(args, &view)?;
    let executor = executor()?;
    let notices = Notices::default();
    let Some(path) = path else {
        logging::init_notices(notices.clone());
        return executor.block_on(run_alone(&filter, &view, notices, registry));
    };
    let kind = path.metadata().map(|about| about.file_type());
    let is_socket = kind.is_ok_and(|kind| kind.is_socket());
    let shown = path.display().to_string();
    let (mut app, source) = if is_socket {
        let feeds = live::follow(&path).map_err(|why| anyhow!(why))?;
        (App::new(Origin::Live(shown), Model::default()), Source::Live(feeds))
    } else {
        let mut recording = Recording::open(&path)?;
        let name = path.file_name().map_or(shown, |name| name.to_string_lossy().into_owned());
        let mut app = App::new(recording.origin(name), Model::default());
        if let Err(error) = recording.begin(&mut app) {
            app.notice = Some(error.to_string());
        }
        (app, Source::Recording(Box::new(recording)))
    };
    set_filter(&mut app, &filter)?;
    executor.block_on(show(app, source, notices))
}

/// Starts pipelines that read the kernel, and shows what they send.
async fn run_alone(filter: &str, view: &View, notices: Notices, registry: &Registry) -> anyhow::Result<()> {
    let directory = PrivateDirectory::create()?;
    let socket = directory.0.join("live.sock");
    let (receiver, label) = match try_bpf() {
        Ok(()) => ("bpf", "kernel of this host".to_owned()),
        Err(reason) => {
            // The reason is several lines long.
            notices.show(&format!("less exact, because BPF cannot run: {}", first_line(&reason.to_string())));
            ("sock_diag", "sockets of this host (sock_diag)".to_owned())
        }
    };
    let config = vec![format!("yaml:{}", self::configuration(&socket, receiver, default::names(view)))];
    let sources = SourceArgs { config, set: Vec::new() };
    let configured = configuration::plan(&sources, registry, Downloads::default())?;
    let service = Service::start(configured, &sources, registry).await.with_context(|| {
        format!(
            "no Longwave sends records at {DEFAULT_PATH}, and the sockets of this host cannot be read instead"
        )
    })?;
    let feeds = live::follow(&socket).map_err(|why| anyhow!(why))?;
    let mut app = App::new(Origin::Live(label), Model::default());
    set_filter(&mut app, filter)?;
    service.run_beside(show(app, Source::Live(feeds), notices)).await?
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Shows the source until the user quits or a signal arrives.
async fn show(app: App, source: Source, notices: Notices) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let stop = async {
        // SIGHUP, too: the terminal has gone.
        signals.next().await;
    };
    longwave_top::run(app, source, notices, stop).await.context("the terminal failed")
}

fn set_filter(app: &mut App, filter: &str) -> anyhow::Result<()> {
    app.set_filter(filter).map_err(|error| anyhow!("\n{}", error.with_caret()))
}

/// Checks that a screen can be shown.
///
/// # Errors
/// Stdout is not a terminal, or one without a cursor.
pub(super) fn check_terminal(is_terminal: bool, term: Option<&str>) -> anyhow::Result<()> {
    ensure!(
        is_terminal,
        "stdout is not a terminal, and top needs a screen: `longwave observe` prints lines, for pipes and files"
    );
    ensure!(
        term != Some("dumb"),
        "this terminal has no cursor (TERM=dumb), and top needs a screen: `longwave observe` prints lines"
    );
    Ok(())
}

/// Returns the configuration of the pipelines of `top` itself, as YAML.
pub(super) fn configuration(socket: &Path, receiver: &str, named_by: Names) -> String {
    let path = serde_json::Value::from(socket.display().to_string()).to_string().replace('$', "$$");
    let Names { yaml, extensions, processors } = named_by;
    let ids: Vec<&str> = processors.iter().map(|(id, _)| *id).collect();
    let settings: Vec<String> =
        processors.iter().map(|(id, settings)| format!("{id}: {{{settings}}}")).collect();
    format!(
        "{yaml}receivers: {{{receiver}: {{interval: 1s}}}}\nprocessors: {{{}}}\n\
         exporters: {{live: {{path: {path}, max_clients: 1, max_client_bytes: 64MiB}}}}\n\
         service:\n  extensions: [{}]\n  telemetry: {{metrics: {{level: none}}, logs: {{level: warn}}}}\n  \
         pipelines: {{logs: {{receivers: [{receiver}], processors: [{}], exporters: [live]}}}}\n",
        settings.join(", "),
        extensions.join(", "),
        ids.join(", "),
    )
}

// === impl Request ===

impl Request {
    /// Reads the flags. An argument that is the name of a file is a record file.
    ///
    /// # Errors
    /// The condition has a mistake, or a Longwave does not accept this user.
    pub(super) fn new(args: &TopArgs, view: &View) -> anyhow::Result<Self> {
        if let (None, [name]) = (&args.file, args.expression.as_slice())
            && Path::new(name).exists()
        {
            return Ok(Self { path: Some(name.into()), filter: String::new() });
        }
        let filter = args.expression.join(" ").trim().to_owned();
        if !filter.is_empty() {
            filter.parse::<Expression>().map_err(|error| anyhow!("\n{}", error.with_caret()))?;
        }
        let path = running::file_or_socket(args.file.as_deref(), view)?;
        Ok(Self { path, filter })
    }
}

// === impl PrivateDirectory ===

impl PrivateDirectory {
    fn create() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("longwave-top-{}", std::process::id()));
        // An existing directory is refused: another user could have created it.
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("{}: a directory for the socket cannot be created", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        // If it cannot be removed, it stays in the directory for temporary files.
        let _ = remove_dir_all(&self.0);
    }
}
