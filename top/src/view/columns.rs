//! [`Columns`]: which columns fit. They depend on the screen, the view and the user's choice. They do not depend on the rows, so that columns
//! do not move.

use crate::app::{App, Column};

/// Cells for the mark of failing, lossy and ended rows.
pub(super) const MARK: u16 = 2;
/// Maximum width of a name.
const MAX_NAME: u16 = 56;

/// Columns and their positions.
pub(super) struct Columns {
    /// Width of each of the two names.
    pub(super) name: u16,
    pub(super) chosen: Vec<Column>,
    pub(super) gap: u16,
}

// === impl Columns ===

impl Columns {
    pub(super) fn choose(app: &App, width: u16) -> Self {
        let (gap, least_name) = match width {
            ..100 => (1, 15),
            100..140 => (1, 20),
            _ => (2, 26),
        };
        let forced = Column::ALL.into_iter().filter(|column| app.columns.get(column) == Some(&true));
        let here = app.both_ends.then_some(Column::Here).into_iter();
        let usual = app.kind().columns().filter(|column| app.is_chosen(*column));
        let (mut chosen, mut used) = (Vec::new(), MARK + 2 * least_name + gap);
        for column in here.chain(forced).chain(usual) {
            let cells = column.width() + gap;
            if !chosen.contains(&column) && used + cells <= width {
                used += cells;
                chosen.push(column);
            }
        }
        chosen.sort();
        let name = (least_name + width.saturating_sub(used) / 2).min(MAX_NAME);
        Self { name, chosen, gap }
    }
}
