//! The table that a person reads.

use std::io::Write;

/// Figures, one a line.
pub(crate) struct Table {
    title: String,
    rows: Vec<[String; 3]>,
}

impl Table {
    pub(crate) fn new(machine: &str) -> Self {
        Self {
            title: format!("tapline, release build, on {machine}"),
            rows: Vec::new(),
        }
    }

    /// Adds a figure with its unit, and what the figure should be.
    pub(crate) fn add(&mut self, what: impl Into<String>, figure: String, target: &str) {
        self.rows.push([what.into(), figure, target.to_owned()]);
    }

    pub(crate) fn print(&self) -> std::io::Result<()> {
        let width = |column: usize| {
            let widths = self.rows.iter().map(|row| row[column].chars().count());
            widths.max().unwrap_or_default()
        };
        let (first, second) = (width(0), width(1));
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n{}\n", self.title)?;
        for [what, figure, target] in &self.rows {
            writeln!(out, "{what:<first$}  {figure:>second$}  {target}")?;
        }
        Ok(())
    }
}

/// The middle value; zero of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
