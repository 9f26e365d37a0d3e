//! Capture of log lines, to prove what is not in them.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Everything that is logged, at every level, on the thread that made it, until it is dropped.
///
/// Make it inside a `#[tokio::test]` of the current-thread kind: then tasks are captured too.
pub struct LogCapture {
    text: Text,
    _guard: DefaultGuard,
}

/// Other threads of the test process log to nobody. Without this, tracing may decide there that a
/// line is wanted by nobody just when a capture begins here, and leave it out here too.
fn want_everything_everywhere() {
    // An error means that it was done before.
    let _done_before = tracing::subscriber::set_global_default(tracing_subscriber::registry());
}

#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl LogCapture {
    /// Starts capturing.
    pub fn start() -> Self {
        want_everything_everywhere();
        let text = Text::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(text.clone())
            .finish();
        Self {
            text,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    /// What was logged until now.
    pub fn text(&self) -> String {
        let bytes = self.text.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Fails if one of the secrets was logged.
    ///
    /// # Panics
    /// With the line, the secret replaced.
    pub fn assert_absent(&self, secrets: &[&str]) {
        for line in self.text().lines() {
            for secret in secrets {
                let shown = line.replace(secret, "<SECRET>");
                assert!(!line.contains(secret), "a secret was logged: {shown}");
            }
        }
    }
}

impl<'a> MakeWriter<'a> for Text {
    type Writer = Text;

    fn make_writer(&'a self) -> Text {
        self.clone()
    }
}

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a secret was logged")]
    fn a_logged_secret_fails_the_test() {
        let logs = LogCapture::start();
        tracing::debug!(token = "hunter2", "asked");
        logs.assert_absent(&["other", "hunter2"]);
    }

    #[test]
    fn lines_without_the_secret_pass() {
        let logs = LogCapture::start();
        tracing::debug!(token = "***", "asked");
        logs.assert_absent(&["hunter2"]);
        assert!(logs.text().contains("asked"));
    }
}
