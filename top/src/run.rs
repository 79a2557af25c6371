//! The loop that handles keys, records and time, and draws the screen.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::app::{Action, App, Seek};
use crate::screen::Screen;
use crate::source::live::Feed;
use crate::source::notices::Notices;
use crate::source::recording::Recording;

/// Time between two screens, if only records have come.
const RECORDS_SPACING: Duration = Duration::from_millis(100);
/// Time between two screens, if a key was pressed.
const KEY_SPACING: Duration = Duration::from_millis(30);
const SECOND: Duration = Duration::from_secs(1);

/// Where the records come from.
#[derive(Debug)]
pub enum Source {
    /// A socket.
    Live(mpsc::Receiver<Feed>),
    /// A file.
    Recording(Box<Recording>),
}

/// When to draw next.
struct Drawing {
    last: Option<Instant>,
    due: Option<Instant>,
}

/// Shows the records until the user quits, or until `stop` resolves.
///
/// # Errors
/// The terminal fails.
pub async fn run(
    mut app: App,
    mut source: Source,
    notices: Notices,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut screen = Screen::new()?;
    let mut events = EventStream::new();
    let mut seconds = interval(SECOND);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut drawing = Drawing { last: None, due: None };
    drawing.request(Duration::ZERO);
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => return Ok(()),
            event = events.next() => match event {
                Some(Ok(event)) => {
                    let action = handle(&mut app, &mut screen, &event)?;
                    drawing.request(KEY_SPACING);
                    match action {
                        Action::Draw => {}
                        Action::Quit => return Ok(()),
                        Action::Suspend => screen.suspend()?,
                        Action::Seek(seek) => seek_to(&mut app, &mut source, seek),
                    }
                }
                Some(Err(error)) => return Err(error),
                // The terminal was closed.
                None => return Ok(()),
            },
            () = drawing.wait() => {
                screen.draw(&mut app)?;
                drawing.done();
            }
            _ = seconds.tick() => {
                app.silence += SECOND;
                if let Some(notice) = notices.take() {
                    app.notice = Some(notice);
                }
                if app.plays {
                    seek_to(&mut app, &mut source, Seek::Next);
                }
                drawing.request(RECORDS_SPACING);
            }
            // The last branch, because on a busy host there is always a batch.
            feed = source.next() => {
                take(&mut app, feed);
                drawing.request(RECORDS_SPACING);
            }
        }
    }
}

fn handle(app: &mut App, screen: &mut Screen, event: &Event) -> io::Result<Action> {
    match event {
        Event::Key(key) if key.kind == KeyEventKind::Release => Ok(Action::Draw),
        Event::Key(KeyEvent { code: KeyCode::Char('l'), modifiers, .. })
            if modifiers.contains(KeyModifiers::CONTROL) =>
        {
            screen.clear()?;
            Ok(Action::Draw)
        }
        Event::Key(key) => Ok(app.key(*key)),
        _ => Ok(Action::Draw),
    }
}

fn take(app: &mut App, feed: Feed) {
    match feed {
        Feed::Batch(batch) => app.take(&batch),
        Feed::Restart => app.restart(),
        Feed::Notice(notice) => app.notice = notice,
    }
}

fn seek_to(app: &mut App, source: &mut Source, seek: Seek) {
    let Source::Recording(recording) = source else { return };
    match recording.seek(seek, app) {
        Ok(true) => app.notice = None,
        Ok(false) => {
            app.plays = false;
            app.notice = Some("the recording ends here".to_owned());
        }
        Err(error) => {
            app.plays = false;
            app.notice = Some(error.to_string());
        }
    }
}

// === impl Source ===

impl Source {
    /// Waits for the next feed. Never resolves for a recording, or if the thread that reads the socket has ended.
    async fn next(&mut self) -> Feed {
        match self {
            Self::Live(feeds) => match feeds.recv().await {
                Some(feed) => feed,
                None => std::future::pending().await,
            },
            Self::Recording(_) => std::future::pending().await,
        }
    }
}

// === impl Drawing ===

impl Drawing {
    /// Requests to draw at most `spacing` after the last time.
    fn request(&mut self, spacing: Duration) {
        let now = Instant::now();
        let due = self.last.map_or(now, |last| (last + spacing).max(now));
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
    }

    async fn wait(&self) {
        match self.due {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    fn done(&mut self) {
        (self.last, self.due) = (Some(Instant::now()), None);
    }
}
