//! One file per command; the demo, which is made of all of them, has a folder of its own.

pub(crate) mod backfill;
pub(crate) mod dead_letters;
pub(crate) mod normalize;
pub(crate) mod run;
pub(crate) mod simulate;
pub(crate) mod state;
pub(crate) mod validate;

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

/// How long the program's end waits for blocking work that nobody waits for any more.
const LEFT_BEHIND: Duration = Duration::from_secs(1);

/// Runs a future on the program's only runtime.
pub(crate) fn block_on<F: Future>(future: F) -> std::io::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let output = runtime.block_on(future);
    // Dropping the runtime would wait without a limit.
    runtime.shutdown_timeout(LEFT_BEHIND);
    Ok(output)
}

/// Completes at the first SIGHUP from now on: a closed terminal.
pub(crate) async fn hang_up() -> std::io::Result<()> {
    signal(SignalKind::hangup())?.recv().await;
    Ok(())
}

/// Completes at the first SIGINT or SIGTERM from now on.
pub(crate) async fn stop_signal() -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
