use ratatui::style::Color;

use super::*;
use crate::app::Origin;
use crate::testing::{app, press, tick};

fn drawn(app: &mut App, columns: u16, lines: u16, is_colored: bool) -> Buffer {
    let area = Rect::new(0, 0, columns, lines);
    let mut buffer = Buffer::empty(area);
    app.fit(page(area));
    draw(app, area, &mut buffer, Theme { is_colored });
    buffer
}

fn text(buffer: &Buffer) -> String {
    let line = |y: u16| {
        let cells = (0..buffer.area.width).map(|x| buffer[(x, y)].symbol());
        cells.collect::<String>().trim_end().to_owned()
    };
    (0..buffer.area.height).map(line).collect::<Vec<_>>().join("\n")
}

/// Returns the screens after each group of keys, one after the other.
fn screens(columns: u16, lines: u16, keys: &[&str]) -> String {
    let mut app = app(4);
    let mut all = String::new();
    for keys in keys {
        press(&mut app, keys);
        let screen = text(&drawn(&mut app, columns, lines, true));
        all += &format!("=== {keys}\n{screen}\n");
    }
    all
}

/// *Scenario*: every screen at 80×24.
/// *Guarantees*: the text, compared with a snapshot that people read.
#[test]
fn every_screen_at_80_columns() {
    let keys = [
        "1",
        "2",
        "3",
        "4",
        "5",
        "1<Enter>",
        "<Enter>",
        "<Esc><Esc>",
        "<Esc>",
        "<Enter>t",
        "tb",
        "b?",
        "<Esc>c",
        "<Esc>/port=x<Enter>",
        "<Esc> ",
    ];
    insta::assert_snapshot!(screens(80, 24, &keys));
}

/// *Scenario*: the views and the details at 120×40 and 200×60.
/// *Guarantees*: the text, compared with a snapshot. More columns are on the screen.
#[test]
fn screens_at_120_and_200_columns() {
    let keys = ["1", "3", "4", "5<Enter>", "<Esc><Down><Enter>"];
    insta::assert_snapshot!("screens_120", screens(120, 40, &keys));
    insta::assert_snapshot!("screens_200", screens(200, 60, &["1", "5", "<Enter>", "<Esc>?"]));
}

/// *Scenario*: the details of each connection at 80×24, with both ends on this host and with one, some with reasons why it is slow.
/// *Guarantees*: addresses, workload and process of its ends are above the reasons, so that they are on the screen.
#[test]
fn what_identifies_a_connection_is_above_the_reasons() {
    let mut app = app(4);
    press(&mut app, "5");
    let mut slow = 0;
    for _ in 0..4 {
        press(&mut app, "<Enter>");
        let screen = text(&drawn(&mut app, 80, 24, true));
        let line = |start: &str| screen.lines().position(|line| line.starts_with(start));
        let above = ["address ", "workload ", "process "].map(|label| line(label).unwrap_or(usize::MAX));
        assert!(screen.contains("server (here)") || line("peer ").is_some(), "{screen}");
        if let Some(reason) = line("▲ ") {
            assert!(above.iter().all(|above| *above < reason), "{screen}");
            slow += 1;
        }
        press(&mut app, "<Esc><Down>");
    }
    assert!(slow >= 2, "{slow}");
}

/// *Scenario*: every screen with colors and with NO_COLOR.
/// *Guarantees*: the text is the same, and without colors no cell has one. Failures and losses have their marks.
#[test]
fn no_color_changes_only_colors() {
    let mut app = app(4);
    for keys in ["1", "2", "3", "4", "5", "<Enter>", "<Esc>?"] {
        press(&mut app, keys);
        let (colored, plain) = (drawn(&mut app, 100, 30, true), drawn(&mut app, 100, 30, false));
        assert_eq!(text(&colored), text(&plain));
        assert!(plain.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
        assert!(colored.content.iter().any(|cell| cell.fg != Color::Reset));
        assert!(text(&plain).contains('✖') && text(&plain).contains('▲'));
    }
}

/// *Scenario*: any size from nothing to larger than usual, in every screen.
/// *Guarantees*: nothing panics, and failures are on every screen that is large enough.
#[test]
fn any_size_is_drawn() {
    let mut app = app(4);
    for keys in ["1", "5", "<Enter>", "<Esc>?", "<Esc>c", "<Esc>/rrt>1<Enter>"] {
        press(&mut app, keys);
        for (columns, lines) in [(0, 0), (1, 1), (59, 24), (60, 12), (61, 13), (79, 15), (300, 100)] {
            let screen = text(&drawn(&mut app, columns, lines, true));
            if columns >= 60 && !keys.contains('?') && !keys.contains('c') {
                assert!(screen.contains("3 failed"), "{columns}×{lines}\n{screen}");
            }
        }
    }
}

/// *Scenario*: a start without records, a recording, a source that is silent, and one with a notice.
/// *Guarantees*: the screen shows each of them.
#[test]
fn the_state_of_the_source_is_shown() {
    let mut starting = crate::testing::app(0);
    assert!(text(&drawn(&mut starting, 80, 24, true)).contains("waiting for the first interval"));
    let mut app = app(2);
    app.silence = std::time::Duration::from_secs(12);
    assert!(text(&drawn(&mut app, 80, 24, true)).contains("no data for 12s"));
    app.notice = Some("Longwave has stopped: connecting again".to_owned());
    assert!(text(&drawn(&mut app, 80, 24, true)).contains("connecting again"));
    app.origin = Origin::Recording {
        name: "x.lwr".to_owned(),
        first: tick(0),
        last: tick(9),
        fault: Some(String::new()),
    };
    assert!(text(&drawn(&mut app, 80, 24, true)).contains("x.lwr, 08:00:05 – 08:00:50 (incomplete)"));
}
