use longwave_pipeline::model::{Batch, Level};
use proptest::prelude::*;

use super::*;
use crate::testing::{app, pass_end, press, record, shop};

fn names(app: &App) -> Vec<String> {
    let rows = app.view().list.order().iter().map(|id| app.model().row(*id).unwrap());
    rows.map(|row| format!("{} → {}", row.names.source, row.names.destination)).collect()
}

/// *Scenario*: each view, the levels by Enter and Esc, details, overlays and prompts, by keys.
/// *Guarantees*: every screen is reached, and Esc returns to where the user was.
#[test]
fn keys_reach_every_screen() {
    let mut app = app(3);
    for (key, kind) in ["1", "2", "3", "4", "5"].into_iter().zip(ViewKind::ALL) {
        press(&mut app, key);
        assert_eq!(app.kind(), kind);
        assert!(!app.view().list.order().is_empty(), "{kind:?}");
    }
    press(&mut app, "<Tab>");
    assert_eq!((app.kind(), app.view().level), (ViewKind::Talkers, Level::Workload));
    press(&mut app, "<Esc>");
    assert_eq!(app.view().level, Level::Service);
    press(&mut app, "<Enter>");
    assert_eq!(app.view().level, Level::Workload);
    assert_eq!(names(&app), ["frontend.shop → cart.shop"]);
    press(&mut app, "<Enter>");
    assert_eq!(
        (app.view().level, names(&app)),
        (Level::Connection, vec!["frontend.shop:40001 → cart.shop:8080".to_owned()])
    );
    press(&mut app, "<Enter>");
    assert!(app.detail.is_some());
    press(&mut app, "<Esc><Esc><Esc>");
    assert_eq!((app.detail, app.view().level, &app.view().scope), (None, Level::Service, &None));
    press(&mut app, "?");
    assert_eq!(app.overlay, Some(Overlay::Help(0)));
    press(&mut app, "<Esc>c<Down> <Esc>");
    assert_eq!((app.overlay.clone(), app.columns.get(&Column::ALL[1])), (None, Some(&true)));
    press(&mut app, "/");
    assert!(matches!(app.prompt, Some(Prompt::Filter(..))));
    press(&mut app, "<Esc>tb");
    assert!(app.prompt.is_none() && app.totals && app.both_ends);
    assert_eq!(press(&mut app, "q"), [Action::Quit]);
}

/// *Scenario*: each view of the same five workloads.
/// *Guarantees*: each shows only the rows that belong to it, the worst first.
#[test]
fn views_show_what_they_are_about() {
    let mut app = app(2);
    let mut shown = |keys: &str| {
        press(&mut app, keys);
        names(&app)
    };
    assert_eq!(shown("1")[0], "frontend.shop → cart.shop");
    assert_eq!(shown("2")[0], "cart.shop → db.shop");
    assert_eq!(shown("3"), ["backup.shop → 203.0.113.9:443"]);
    assert_eq!(shown("4"), ["frontend.shop → 10.1.0.9:81"]);
    assert_eq!(shown("5").len(), 10, "four are open, six have failed");
}

/// *Scenario*: a filter with a mistake, one that is right, and none.
/// *Guarantees*: the mistake is marked below its column and the former rows stay; the right one selects; an empty one removes it.
#[test]
fn the_filter_is_that_of_observe() {
    let mut app = app(2);
    press(&mut app, "/workload=cart rrt>5ms<Enter>");
    let Some(Prompt::Filter(_, Some(message))) = &app.prompt else { panic!("{:?}", app.prompt) };
    assert_eq!(message, "              ^ unknown field \"rrt\" (did you mean rtt?)");
    assert!(names(&app).len() > 3);
    press(&mut app, "<Esc>/workload=cart<Enter>");
    assert_eq!(names(&app), ["frontend.shop → cart.shop", "cart.shop → db.shop"]);
    assert_eq!(app.model().all().last.once.open, 2);
    app.take(&Batch::records(shop(2)));
    app.take(&Batch::PassEnd(pass_end(2)));
    assert_eq!(names(&app).len(), 2);
    press(&mut app, "/");
    let Some(Prompt::Filter(input, _)) = &app.prompt else { panic!() };
    assert_eq!(input.text(), "workload=cart");
    (0..13).for_each(|_| app.prompt = app.prompt.take().map(|_| Prompt::Filter(Input::default(), None)));
    press(&mut app, "<Enter>");
    assert!(names(&app).len() > 3);
}

/// *Scenario*: the screen is frozen, and two intervals pass.
/// *Guarantees*: nothing on it changes. After it is resumed, everything that happened meanwhile is counted.
#[test]
fn a_frozen_screen_stays_and_nothing_is_lost() {
    let mut app = app(2);
    press(&mut app, " ");
    let (before, bytes) = (names(&app), app.model().all().total.once.bytes());
    for number in 2..4 {
        app.take(&Batch::records(shop(number)));
        app.take(&Batch::PassEnd(pass_end(number)));
    }
    assert_eq!((names(&app), app.model().all().total.once.bytes()), (before, bytes));
    press(&mut app, " ");
    assert!(app.model().all().total.once.bytes() > bytes && !app.is_frozen());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// *Scenario*: any bytes of some connections, some of which come later or go, over many intervals, without a key.
    /// *Guarantees*: once the list has settled, rows that stay keep their order, and new ones come after them. With r all are sorted.
    #[test]
    fn rows_do_not_jump(intervals in proptest::collection::vec(proptest::collection::vec((0..30_u64, 0..1_000_000_u64), 1..20), 4..10)) {
        let mut app = App::new(Origin::Live(String::new()), Model::default());
        let mut former: Vec<RowId> = Vec::new();
        for (number, interval) in intervals.into_iter().enumerate() {
            let records: Vec<_> = interval
                .into_iter()
                .map(|(socket, bytes)| {
                    record(socket, &format!("10.0.{socket}.1:4000"), "10.1.0.1:80", number as u64, (bytes, 0))
                })
                .collect();
            app.take(&Batch::records(records));
            app.take(&Batch::PassEnd(pass_end(number as u64)));
            let now = app.view().list.order().to_vec();
            if number >= 2 {
                let stayed: Vec<RowId> = former.iter().copied().filter(|id| now.contains(id)).collect();
                prop_assert_eq!(&now[..stayed.len()], stayed.as_slice());
            }
            former = now;
        }
        press(&mut app, "r");
        let bytes: Vec<u64> = former_bytes(&app);
        prop_assert!(bytes.is_sorted_by(|one, other| one >= other), "{:?}", bytes);
    }
}

fn former_bytes(app: &App) -> Vec<u64> {
    app.view().list.order().iter().map(|id| app.model().row(*id).unwrap().last.once.bytes()).collect()
}

/// *Scenario*: times that a user gives in a recording from 08:00:05 to 08:00:30.
/// *Guarantees*: each is read as UTC of that day; one that is no time or later than the end is refused with the reason.
#[test]
fn times_are_read() {
    let mut app = app(1);
    app.origin = Origin::Recording {
        name: "x.lwr".to_owned(),
        first: crate::testing::tick(0),
        last: crate::testing::tick(5),
        fault: None,
    };
    let jump = |app: &mut App, text: &str| press(app, &format!("g{text}<Enter>")).pop().unwrap();
    assert_eq!(jump(&mut app, "8:00"), Action::Seek(Seek::To(crate::testing::tick(0))));
    assert_eq!(jump(&mut app, "08:00:15"), Action::Seek(Seek::To(crate::testing::tick(2))));
    for wrong in ["8", "25:00", "9:30", "x:y"] {
        assert_eq!(jump(&mut app, wrong), Action::Draw);
        assert!(matches!(&app.prompt, Some(Prompt::Jump(_, Some(_)))), "{wrong}");
        press(&mut app, "<Esc>");
    }
    assert_eq!(press(&mut app, "<Right>]"), [Action::Seek(Seek::Next), Action::Seek(Seek::By(60))]);
}
