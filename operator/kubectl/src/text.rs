//! Tables, ages and colours for the screens. Pure.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::console::harmless;

/// The meaning of a cell's colour, if colours are on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Paint {
    #[default]
    Plain,
    Good,
    Warn,
    Bad,
    Faint,
    Title,
}

impl Paint {
    /// Parameters of the terminal's SGR sequence; empty: none.
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "31",
            Self::Faint => "2",
            Self::Title => "1",
        }
    }
}

/// A piece of text in one colour.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    text: String,
    paint: Paint,
}

impl Cell {
    pub(super) fn new(paint: Paint, text: impl Into<String>) -> Self {
        let text = harmless(&text.into()).into_owned();
        Self { text, paint }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }

    fn draw(&self, colour: bool, to: &mut String) {
        let code = self.paint.code();
        if colour && !code.is_empty() && !self.text.is_empty() {
            // Writing to a String can't fail.
            let _ = write!(to, "\x1b[{code}m{}\x1b[0m", self.text);
        } else {
            to.push_str(&self.text);
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(Paint::Plain, text)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(Paint::Plain, text)
    }
}

/// A screen under construction.
#[derive(Debug, Default)]
pub(super) struct Drawing {
    text: String,
    colour: bool,
}

impl Drawing {
    pub(super) fn new(colour: bool) -> Self {
        Self {
            text: String::new(),
            colour,
        }
    }

    /// A line of cells, separated by blanks.
    pub(super) fn line(&mut self, cells: impl IntoIterator<Item = Cell>) {
        for (number, cell) in cells.into_iter().enumerate() {
            if number > 0 {
                self.text.push(' ');
            }
            cell.draw(self.colour, &mut self.text);
        }
        self.text.push('\n');
    }

    /// Text with any number of lines, each indented.
    pub(super) fn paragraph(&mut self, indent: usize, paint: Paint, text: &str) {
        for line in text.lines() {
            self.text.push_str(&" ".repeat(indent));
            Cell::new(paint, line).draw(self.colour, &mut self.text);
            self.text.push('\n');
        }
    }

    /// An empty line and a heading.
    pub(super) fn section(&mut self, title: &str) {
        self.text.push('\n');
        self.line([Cell::new(Paint::Title, title)]);
    }

    /// A table, indented by `indent`. Columns are as wide as their widest cell; the last one is not padded.
    pub(super) fn table(&mut self, indent: usize, header: &[&str], rows: &[Vec<Cell>]) {
        let header: Vec<Cell> = header
            .iter()
            .map(|title| Cell::new(Paint::Faint, *title))
            .collect();
        let all = || {
            std::iter::once(&header)
                .filter(|header| !header.is_empty())
                .chain(rows)
        };
        let columns = all().map(Vec::len).max().unwrap_or_default();
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                all()
                    .filter(|row| column + 1 < row.len())
                    .map(|row| row[column].width())
                    .max()
                    .unwrap_or_default()
            })
            .collect();
        for row in all() {
            let mut line = " ".repeat(indent);
            for (column, cell) in row.iter().enumerate() {
                cell.draw(self.colour, &mut line);
                if column + 1 < row.len() {
                    line.push_str(&" ".repeat(widths[column].saturating_sub(cell.width()) + 2));
                }
            }
            self.text.push_str(line.trim_end());
            self.text.push('\n');
        }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

/// The first line of a text, marked if there are more.
pub(super) fn first_line(text: &str) -> String {
    let text = text.trim();
    text.split_once('\n')
        .map_or_else(|| text.to_owned(), |(first, _)| format!("{} …", first.trim_end()))
}

/// How long ago, as kubectl writes it: 45s, 3m, 5h, 2d.
pub(super) fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).as_secs().max(0);
    match seconds {
        ..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn ages_have_one_unit() {
        let now = Timestamp::from_second(1_000_000_000).unwrap();
        for (seconds, expected) in [
            (-5, "0s"),
            (119, "119s"),
            (120, "2m"),
            (7199, "119m"),
            (7200, "2h"),
            (172_799, "47h"),
            (172_800, "2d"),
        ] {
            let since = Timestamp::from_second(1_000_000_000 - seconds).unwrap();
            assert_eq!(age(since, now), expected);
        }
    }

    #[test]
    fn colours_do_not_move_columns() {
        let rows = [
            vec![Cell::new(Paint::Good, "True"), "a".into()],
            vec![Cell::new(Paint::Bad, "False"), "b".into()],
        ];
        let drawn = |colour| {
            let mut drawing = Drawing::new(colour);
            drawing.table(2, &[], &rows);
            drawing.finish()
        };
        assert_eq!(drawn(false), "  True   a\n  False  b\n");
        let coloured = drawn(true);
        assert_eq!(
            coloured
                .replace("\x1b[32m", "")
                .replace("\x1b[31m", "")
                .replace("\x1b[0m", ""),
            drawn(false)
        );
        assert_ne!(coloured, drawn(false));
    }
}
