//! Lines at the bottom of a terminal, out of the way of what scrolls above.
//!
//! The terminal's own scrolling region (DECSTBM, VT100) keeps log lines above the panel, so that
//! nothing has to be drawn again when one is written.

use std::io::{IsTerminal, Write};

use terminal_size::{Height, Width, terminal_size};

/// The panel; gives the whole terminal back when dropped.
pub(crate) struct Panel {
    lines: u16,
    /// Height for which the scrolling region is set.
    height: u16,
}

/// Rows that log lines keep, however many the panel wants.
const ROWS_FOR_LOGS: u16 = 4;

impl Panel {
    /// A panel if both outputs are a terminal that understands cursor movement.
    pub(crate) fn on_terminal() -> Option<Self> {
        let understands = std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        let is_terminal = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        (understands && is_terminal).then_some(Self {
            lines: 0,
            height: 0,
        })
    }

    /// Shows `lines`; what does not fit is left out.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(crate) fn draw(&mut self, lines: &[String]) -> std::io::Result<()> {
        let Some((Width(width), Height(height))) = terminal_size() else {
            return Ok(());
        };
        let room = height.saturating_sub(ROWS_FOR_LOGS);
        let count = u16::try_from(lines.len()).unwrap_or(u16::MAX).min(room);
        let mut frame = Vec::new();
        if (count, height) != (self.lines, self.height) {
            frame.extend(reserve(height, count));
            (self.lines, self.height) = (count, height);
        }
        frame.extend(paint(&lines[..usize::from(count)], width, height));
        write(&frame)
    }
}

impl Drop for Panel {
    fn drop(&mut self) {
        if self.height > 0 {
            // The whole screen scrolls again; the cursor goes to the last row.
            let reset = format!("\x1b[r\x1b[{};1H\n", self.height);
            // A terminal that is gone needs nothing back.
            let _gone = write(reset.as_bytes());
        }
    }
}

fn write(frame: &[u8]) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(frame)?;
    stdout.flush()
}

/// Scrolls what is there out of the panel's rows, and lets only the rows above scroll.
fn reserve(height: u16, count: u16) -> Vec<u8> {
    let above = height - count;
    let up = "\n".repeat(usize::from(count));
    format!("\x1b[r\x1b[{height};1H{up}\x1b[1;{above}r\x1b[{above};1H").into_bytes()
}

/// Draws the lines in the last rows, and puts the cursor back where it was.
fn paint(lines: &[String], width: u16, height: u16) -> Vec<u8> {
    let first = usize::from(height) + 1 - lines.len();
    let mut frame = b"\x1b7".to_vec();
    for (row, line) in (first..).zip(lines) {
        let cut: String = line.chars().take(usize::from(width)).collect();
        frame.extend_from_slice(format!("\x1b[{row};1H\x1b[2K{cut}").as_bytes());
    }
    frame.extend_from_slice(b"\x1b8");
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(frame: Vec<u8>) -> String {
        String::from_utf8(frame).expect("text")
    }

    #[test]
    fn the_panel_takes_the_last_rows_and_leaves_the_cursor_alone() {
        let lines = ["wide line".to_owned(), "b".to_owned()];
        let frame = text(paint(&lines, 4, 24));
        assert_eq!(frame, "\x1b7\x1b[23;1H\x1b[2Kwide\x1b[24;1H\x1b[2Kb\x1b8");
    }

    #[test]
    fn only_the_rows_above_the_panel_scroll() {
        let frame = text(reserve(24, 2));
        assert!(frame.ends_with("\x1b[1;22r\x1b[22;1H"), "{frame:?}");
    }
}
