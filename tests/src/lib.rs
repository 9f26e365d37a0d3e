//! Real services and small helpers for the end-to-end tests.
//!
//! A service that a test starts is a child process on free loopback ports with its files in a
//! temporary folder; dropping its handle ends it. `make test` installs them and sets
//! `TAPLINE_E2E=1`; without that the tests say that they were skipped.

pub mod arrivals;
pub mod cable;
pub mod clock;
pub mod disk;
pub mod ledger;
pub mod pipeline;
pub mod ports;
pub mod process;
pub mod program;
pub mod receiver;
pub mod services;
pub mod tls_front;

/// Whether the services are installed, as `make test` says.
///
/// Tests begin with `if !tapline_e2e::enabled() { return; }`.
pub fn enabled() -> bool {
    let enabled = std::env::var_os("TAPLINE_E2E").is_some();
    if !enabled {
        eprintln!("skipped: needs the services that `make test` installs");
    }
    enabled
}

/// Waits until `ready` answers, or fails after `seconds` with what was waited for.
pub async fn wait_for<T>(what: &str, seconds: u64, mut ready: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    loop {
        if let Some(value) = ready().await {
            return value;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{what}: not within {seconds} s"
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
