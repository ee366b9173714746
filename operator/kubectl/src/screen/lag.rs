//! How far the projections of a platform are behind.

use wallex_crd::ProjectionStatus;

use super::super::facts::Facts;
use super::super::lag::{Group, Lag};
use super::super::text::{Cell, Drawing, Paint};

pub(super) fn lag(drawing: &mut Drawing, facts: &Facts) {
    let events = |lag: Option<i64>| match lag {
        Some(0) => Cell::new(Paint::Good, "0"),
        Some(lag) => lag.to_string().into(),
        None => Cell::new(Paint::Warn, "not known"),
    };
    drawing.section("LAG (events of the journal that a projection has not applied)");
    match &facts.lag {
        Ok(Lag::Projections(projections)) => {
            let row = |row: &ProjectionStatus| {
                vec![
                    row.name.clone().into(),
                    events(Some(row.lag_events)),
                    format!("{}s", row.lag_seconds).into(),
                ]
            };
            let rows: Vec<Vec<Cell>> = projections.iter().map(row).collect();
            drawing.table(2, &["PROJECTION", "EVENTS", "AGE"], &rows);
        }
        Ok(Lag::Groups(groups)) => {
            let text = "by committed offsets, which trail: the image does not serve /health/projections yet";
            drawing.paragraph(2, Paint::Plain, text);
            let row = |group: &Group| vec![group.name.clone().into(), events(group.lag)];
            let rows: Vec<Vec<Cell>> = groups.iter().map(row).collect();
            drawing.table(2, &[], &rows);
        }
        Err(why) => drawing.paragraph(2, Paint::Warn, &format!("not known: {why}")),
    }
}
